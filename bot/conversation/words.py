"""What a person types to Safehand in chat: link, unlink, status, help. An account is who it is linked to."""

from __future__ import annotations

from collections.abc import Callable

from bot.conversation.answer import Account, Reply
from server.domain.delivery import Status
from server.domain.errors import SafehandError
from server.exchange import Exchange
from server.exchange.views import DeliveryView

HOW_TO_LINK = (
    "This chat account is not linked to anybody yet. Fetch the code from the folder link/ of your Safehand mailbox, "
    "then type: /safehand link CODE"
)
HELP = (
    "/safehand status: what waits for you, and what you sent\n"
    "/safehand review REASON: ask every governance lead whether the agreement still fits\n"
    "/safehand link CODE: tie this chat account to you; the code is in the folder link/ of your mailbox\n"
    "/safehand unlink: end that\n"
    "Everything here can also be done in your mailbox (attest/) and on the desk."
)
SHOWN = 10
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
                case "review":
                    return self._review(account, rest.strip().strip("`\"'“”"))
                case "help" | "":
                    return Reply(HELP)
                case _:
                    return Reply(f"Safehand does not know that word.\n{HELP}")
        except SafehandError as error:
            return Reply(error.sentence, "attention")

    def _link(self, account: Account, code: str) -> Reply:
        if not code:
            return Reply(
                "Type the code too: /safehand link CODE. It is in the folder link/ of your mailbox.", "attention"
            )
        linked = self._exchange.people.link_chat(account.platform, account.team, account.account, code)
        return Reply(linked, "good", changed=True)

    def _status(self, account: Account) -> Reply:
        person_id = self.who(account)
        if person_id is None:
            return Reply(HOW_TO_LINK, "attention")
        views, review = self._exchange.views, self._exchange.reviews.under_way(person_id)
        about = [f"The agreement is {review.words}"] if review else []
        received = [view for view in views.received(person_id) if view.status in _WAITING]
        sent = [view for view in views.sent_deliveries(person_id) if view.status in _UNDER_WAY]
        if not received and not sent:
            nothing = "Nothing waits for you, and everything you sent is acknowledged."
            return Reply("\n".join([*about, nothing]), "info" if about else "good")
        lines = about + _lines("For you", received, lambda view: f"from {view.sender_name}")
        lines += _lines("Sent by you", sent, lambda view: f"to {view.recipient_name}")
        return Reply("\n".join(lines))

    def _review(self, account: Account, reason: str) -> Reply:
        person_id = self.who(account)
        if person_id is None:
            return Reply(HOW_TO_LINK, "attention")
        asked = self._exchange.reviews.ask(person_id, reason, via=account.platform)
        return Reply(asked.sentence, "good" if asked.changed else "info", asked.changed)


def _lines(title: str, found: list[DeliveryView], partner: Callable[[DeliveryView], str]) -> list[str]:
    """At most SHOWN deliveries, one a line, under their title; nothing when there is none."""
    if not found:
        return []
    lines = [f"{view.id} {partner(view)}, {view.exchange_title} {view.period_words}: {view.words}" for view in found]
    more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return [f"{title}:", *lines[:SHOWN], *more]
