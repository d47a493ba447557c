"""What a person types to Safehand in chat: link, unlink, status, help. An account is who it is linked to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from bot.conversation.answer import Account, Reply
from server.domain.delivery import Status
from server.domain.errors import SafehandError
from server.domain.notice import Button
from server.exchange import Exchange
from server.exchange.away import days_said
from server.exchange.delivery import Outcome
from server.exchange.digests import HEADINGS, told
from server.exchange.views import DeliveryView

HOW_TO_LINK = (
    "This chat account is not linked to anybody yet. Fetch the code from the folder link/ of your Safehand mailbox, or "
    "from the desk, then type: /safehand link CODE"
)
HELP = (
    "/safehand due: what you have to do, the most urgent first\n"
    "/safehand status: what waits for you, and what you sent\n"
    "/safehand away 2026-12-21 2027-01-04 COLLEAGUE: you are away, and who stands in; /safehand back: you are back\n"
    "/safehand nudge D-…: ask a recipient for its acknowledgement\n"
    "/safehand owed: what your organisation has to send, by when and where; nothing to send, cannot send\n"
    "/safehand ask EXCHANGE MEMBER: ask for what is sent on request\n"
    "/safehand changes: what is proposed, what it would change, and your answer\n"
    "/safehand agreement: its text, who has signed it, and your signature\n"
    "/safehand statements: what your organisation says again each year, and whether it has\n"
    "/safehand correct D-… line 44 address: a record may be wrong; only where, never what it says\n"
    "/safehand review REASON: ask every governance lead whether the agreement still fits\n"
    "/safehand hold D-… REASON: keep a sealed copy from disposal (governance leads); alone: your holds\n"
    "/safehand link CODE: tie this chat account to you; the code is in link/ of your mailbox, or on the desk\n"
    "/safehand unlink: end that\n"
    "Everything here can also be done in your mailbox (attest/) and on the desk."
)
SHOWN = 10
ANSWERED = 3
"""How many proposals are shown with buttons at a time."""
_ANSWERS = frozenset({"approve-ad-hoc", "refuse-ad-hoc"})
_WAITING = frozenset({Status.AVAILABLE, Status.COLLECTED, Status.QUERIED})
_UNDER_WAY = frozenset({Status.SENT, Status.HELD, Status.AVAILABLE, Status.COLLECTED, Status.QUERIED})


class Words:
    """Answers what is typed. Every method blocks: call it in a thread."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def who(self, account: Account) -> str | None:
        """The id of the person that this account is linked to, or None."""
        person = self._exchange.people.of_account(account.platform, account.team, account.account)
        return person.id if person else None

    def say(self, account: Account, text: str) -> Reply:
        """The answer to a typed line. Never raises a SafehandError: what the exchange refuses is the Reply."""
        word, _, rest = text.strip().partition(" ")
        try:
            match word.casefold():
                case "link":
                    return self._link(account, rest.strip().strip("`\"'<>"))
                case "unlink":
                    unlinked = self._exchange.people.unlink_chat(account.platform, account.team, account.account)
                    return Reply(unlinked, "good", changed=True)
                case "status":
                    return self._status(account)
                case "due":
                    return self._as_person(account, self._due)
                case "away":
                    return self._as_person(account, lambda person: self._away(account, person, rest.split()))
                case "back":
                    return self._as_person(
                        account,
                        lambda person: _told(self._exchange.absences.back(person, by=person, via=account.platform)),
                    )
                case "nudge":
                    return self._as_person(
                        account,
                        lambda person: _told(
                            self._exchange.nudges.nudge(person, rest.strip().upper(), via=account.platform)
                        ),
                    )
                case "changes":
                    return self._as_person(account, self._changes)
                case "agreement":
                    return self._as_person(account, self._agreement)
                case "statements":
                    return self._as_person(account, self._statements)
                case "correct":
                    return self._as_person(account, lambda person: self._correct(account, person, rest.split()))
                case "owed":
                    return self._as_person(account, self._owed)
                case "ask":
                    return self._as_person(account, lambda person: self._ask_for(account, person, rest.split()))
                case "review":
                    return self._review(account, rest.strip().strip("`\"'“”"))
                case "hold":
                    return self._as_person(account, partial(self._hold, rest.strip(), account.platform))
                case "help" | "":
                    return Reply(HELP)
                case _:
                    return Reply(f"Safehand does not know that word.\n{HELP}")
        except SafehandError as error:
            return Reply(error.sentence, "attention")

    def _link(self, account: Account, code: str) -> Reply:
        if not code:
            return Reply(
                "Type the code too: /safehand link CODE. It is in the folder link/ of your mailbox, or on the desk.",
                "attention",
            )
        linked = self._exchange.people.link_chat(account.platform, account.team, account.account, code)
        return Reply(linked, "good", changed=True)

    def _status(self, account: Account) -> Reply:
        person_id = self.who(account)
        if person_id is None:
            return Reply(HOW_TO_LINK, "attention")
        views, review = self._exchange.views, self._exchange.reviews.under_way(person_id)
        owes = self._exchange.status.owes(person_id)
        about = [*([f"The agreement is {review.words}"] if review else []), *([f"{owes}."] if owes else [])]
        decisions, buttons = self._to_decide(person_id)
        uses, more = self._to_use(person_id)
        received = [view for view in views.received(person_id) if view.status in _WAITING]
        sent = [view for view in views.sent_deliveries(person_id) if view.status in _UNDER_WAY]
        lines = [*about, *decisions, *uses]
        lines += _lines("For you", received, lambda view: f"from {view.sender_name}")
        lines += _lines("Sent", sent, lambda view: f"to {view.recipient_name}")
        if received or sent or decisions or uses:
            return Reply("\n".join(lines), buttons=(*buttons, *more))
        nothing = "Nothing waits for you, and everything you sent is acknowledged."
        return Reply("\n".join([*about, nothing]), "info" if about else "good")

    def _due(self, person_id: str) -> Reply:
        """The list of the day's message, whole groups under their headings."""
        items = self._exchange.digests.today(person_id)
        if not items:
            return Reply("Nothing waits for you. Everything is done.", "good")
        lines: list[str] = []
        for group, heading in HEADINGS.items():
            found = [item for item in items if item.group == group]
            if found:
                more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
                lines += [f"{heading}:", *(f"• {item.label}: {told(item)}" for item in found[:SHOWN]), *more]
        buttons = [button for item in items for button in item.buttons if button.style == "primary"]
        return Reply("\n".join(lines), "attention", buttons=tuple(_named(dict.fromkeys(buttons))[: 2 * ANSWERED]))

    def _away(self, account: Account, person_id: str, said: list[str]) -> Reply:
        """Two days, and who stands in."""
        if len(said) not in {2, 3}:
            return Reply(
                "Say from which day to which, and who stands in: /safehand away 2026-12-21 2027-01-04 p-kent-2",
                "attention",
            )
        first, last = days_said(said[0], said[1])
        cover = said[2].casefold() if len(said) > 2 else None
        return _told(self._exchange.absences.away(person_id, first, last, cover, by=person_id, via=account.platform))

    def _to_decide(self, person_id: str) -> tuple[list[str], tuple[Button, ...]]:
        """Proposals and files outside the schedule that wait for this person's answer, and its buttons."""
        revisions = self._exchange.revisions
        changes = revisions.proposals(person_id) if revisions.concern(person_id) else ()
        lines, buttons = [], []
        for view in changes:
            if any(button.style == "primary" for button in view.buttons):
                lines.append(f"{view.id}, version {view.label} of the policy: {view.needs_words}")
                buttons += _named(view.buttons)
        for delivery in self._exchange.views.sent_deliveries(person_id):
            mine = [button for button in delivery.buttons if button.verb in _ANSWERS]
            if mine:
                to = f"{delivery.consignment} to {delivery.recipient_name}"
                lines.append(f"{to}, {delivery.exchange_title}: {delivery.words}")
                buttons += _named(mine)
        shown = [*lines[:SHOWN], *([f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else [])]
        return (["To decide:", *shown] if lines else []), tuple(buttons[: 2 * ANSWERED])

    def _to_use(self, person_id: str) -> tuple[list[str], tuple[Button, ...]]:
        """What was acknowledged and waits to be used, or to be destroyed, with a button for each."""
        found = self._exchange.use_forms.waiting(person_id)
        lines = [f"{words} ({'what was in it' if step == 'processed' else 'to destroy'})" for _, step, words in found]
        buttons = [Button(step, f"{step.capitalize()} {subject}", subject) for subject, step, _ in found[:ANSWERED]]
        shown = [*lines[:SHOWN], *([f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else [])]
        return (["To use and destroy:", *shown] if lines else []), tuple(buttons)

    def _as_person(self, account: Account, answer: Callable[[str], Reply]) -> Reply:
        person_id = self.who(account)
        return Reply(HOW_TO_LINK, "attention") if person_id is None else answer(person_id)

    def _review(self, account: Account, reason: str) -> Reply:
        person_id = self.who(account)
        if person_id is None:
            return Reply(HOW_TO_LINK, "attention")
        asked = self._exchange.reviews.ask(person_id, reason, via=account.platform)
        return Reply(asked.sentence, "good" if asked.changed else "info", asked.changed)

    def _correct(self, account: Account, person_id: str, said: list[str]) -> Reply:
        """Correct D-2026-000417 line 44 address: where it is, and nothing else."""
        if len(said) != 4 or said[1].casefold() != "line":
            return Reply("Say which: /safehand correct D-2026-000417 line 44 address", "attention")
        delivery, _, line, field = said
        asked = self._exchange.corrections.correct(person_id, delivery.upper(), line, field, via=account.platform)
        return Reply(asked.sentence, "good" if asked.changed else "info", asked.changed)

    def _owed(self, person_id: str) -> Reply:
        """What the member has to send: one line an exchange and month, with where to put it and the buttons."""
        items = self._exchange.obligations.mine(person_id)
        if not items:
            return Reply("Your organisation has nothing to send now.", "good")
        lines = [f"{item.label}: {item.words}{f'. Put: {item.path}' if item.path else ''}" for item in items]
        lines = [*lines[:SHOWN], *([f"and {len(lines) - SHOWN} more, on the desk"] if len(lines) > SHOWN else [])]
        known = [button for item in items[:ANSWERED] for button in item.buttons if button.verb != "snooze"]
        return Reply("\n".join(lines), "attention", buttons=tuple(_named(known)))

    def _ask_for(self, account: Account, person_id: str, said: list[str]) -> Reply:
        """Ask year11-residents essex: from one member, or from everybody."""
        if not 1 <= len(said) <= 2:
            return Reply("Say what, and of whom: /safehand ask year11-residents essex", "attention")
        sender = said[1].casefold() if len(said) == 2 else None
        asked = self._exchange.obligations.ask_for(person_id, said[0].casefold(), sender, via=account.platform)
        return Reply(asked.sentence, "good" if asked.changed else "info", asked.changed)

    def _changes(self, person_id: str) -> Reply:
        """The open proposals with their consequences; buttons for the newest few."""
        views = [view for view in self._exchange.revisions.proposals(person_id) if view.status == "open"]
        if not views:
            return Reply("No change of the agreement is proposed.", "good")
        lines: list[str] = []
        for view in views[:ANSWERED]:
            lines += [f"{view.id}, version {view.label}, proposed by {view.by}:"]
            lines += [f"• {line}" for line in view.lines[:SHOWN]]
            lines += [f"• and {len(view.lines) - SHOWN} more, on the desk"] if len(view.lines) > SHOWN else []
            lines += [f"Its text of the agreement: {view.document_sha256}"] if view.changes_text else []
            lines += [view.needs_words]
        if len(views) > ANSWERED:
            lines += [f"And {len(views) - ANSWERED} more, on the desk."]
        buttons = [button for view in views[:ANSWERED] for button in _named(view.buttons)]
        return Reply("\n".join(lines), "attention", buttons=tuple(buttons))

    def _hold(self, rest: str, via: str, person_id: str) -> Reply:
        """Places a hold; without a delivery the holds that the member has placed, with the button to release each."""
        delivery, _, reason = rest.partition(" ")
        if delivery:
            placed = self._exchange.holds.hold(person_id, delivery.upper(), reason.strip("`\"'“”"), via=via)
            return Reply(placed.sentence, "good" if placed.changed else "info", placed.changed)
        views = self._exchange.holds.of_person(person_id)
        if not views:
            return Reply("Your organisation has no legal hold on anything. To place one: /safehand hold D-… REASON")
        lines = [f"{view.id} on {view.delivery}: {view.words}: {view.reason}" for view in views[:SHOWN]]
        lines += [f"and {len(views) - SHOWN} more, on the desk"] if len(views) > SHOWN else []
        return Reply("\n".join(lines), buttons=tuple(b for v in views[:ANSWERED] for b in _named(v.buttons)))

    def _agreement(self, person_id: str) -> Reply:
        """The text in force by its hash, every member's signature, and the button to sign."""
        view, review = self._exchange.signing.document(person_id), self._exchange.reviews.under_way(person_id)
        lines = [f"{view.title}, version {view.version}", f"Document: {view.sha256}"]
        lines += [f"It is {review.words}"] if review else []
        lines += [f"{member}: {words}" for member, words in view.states]
        buttons = (*view.buttons, *(review.buttons if review else ()))
        return Reply("\n".join(lines), "attention" if view.buttons else "info", buttons=buttons)

    def _statements(self, person_id: str) -> Reply:
        """The yearly statements of the person's own member, with buttons for who may give them."""
        person, views = self._exchange.policy.person(person_id), self._exchange.yearly.table(person_id)
        mine = [view for view in views if person is not None and view.member == person.member]
        lines = [f"{view.title}: {view.words}" for view in mine]
        buttons = [replace(b, label=f"Give: {view.title}") for view in mine for b in view.buttons]
        others = [view for view in views if view not in mine]
        lines += [f"Other members: {sum(view.counts for view in others)} of {len(others)} are provided"]
        return Reply("\n".join(lines), "attention" if buttons else "info", buttons=tuple(buttons))


def _told(outcome: Outcome) -> Reply:
    return Reply(outcome.sentence, "good" if outcome.changed else "info", outcome.changed)


def _named(buttons: Iterable[Button]) -> list[Button]:
    """Buttons that stand beside those of other things: each says what it is about."""
    return [replace(button, label=f"{button.label} {button.subject}") for button in buttons]


def _lines(title: str, found: list[DeliveryView], partner: Callable[[DeliveryView], str]) -> list[str]:
    """At most SHOWN deliveries, one a line, under their title; nothing when there is none."""
    if not found:
        return []
    lines = [f"{view.id} {partner(view)}, {view.exchange_title} {view.period_words}: {view.words}" for view in found]
    more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return [f"{title}:", *lines[:SHOWN], *more]
