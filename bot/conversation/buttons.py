"""A press of a button becomes one verb of the exchange. Who presses is a person id that the front end has proved."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from bot.conversation import copies, owed
from bot.conversation.answer import Choice, Field, Form, Reply
from bot.conversation.questions import ASKS, QUESTIONS, TICKS, check
from server.domain import guard
from server.domain.attestation import Unclear, counts_of, destruction_of
from server.domain.attested_forms import cell, counts_in_rows
from server.domain.delivery import VISIBLE
from server.domain.errors import SafehandError
from server.domain.schedule import london_day
from server.domain.yearly import KIND
from server.exchange import Exchange
from server.exchange.away import days_said
from server.exchange.delivery import Outcome
from server.exchange.signing import signs
from server.exchange.use import SeveralRefused
from server.exchange.use_forms import group_of

_SUBJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9:-]{0,127}")
_NOBODY = "-"
GONE = "That button is no longer in use. Please open the latest message."


class Buttons:
    """Carries out what people press. Every method blocks: call it in a thread."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._verbs: Mapping[str, Callable[[str, str, Mapping[str, str], str], Outcome]] = {
            "acknowledge": lambda who, what, _, via: exchange.acknowledgement.acknowledge(who, what, via=via),
            "problem": self._problem,
            "recall": lambda who, what, _, via: exchange.delivery.recall(who, what, via=via),
            "all-there": lambda who, what, _, via: exchange.delivery.all_there(who, what, via=via),
            "discard": lambda who, what, _, via: exchange.delivery.discard(who, what, via=via),
            "approve-ad-hoc": lambda who, what, said, via: exchange.ad_hoc.approve(who, what, _why(said), via=via),
            "refuse-ad-hoc": lambda who, what, said, via: exchange.ad_hoc.refuse(who, what, _why(said), via=via),
            "approve-change": lambda who, what, _, via: exchange.revisions.approve(who, what, via=via),
            "refuse-change": lambda who, what, said, via: exchange.revisions.refuse(who, what, _why(said), via=via),
            "approve-key": lambda who, what, said, via: exchange.revisions.approve(
                who, what, via=via, heard=said.get("heard", "")
            ),
            "refuse-key": lambda who, what, said, via: exchange.revisions.refuse(who, what, _why(said), via=via),
            "withdraw-key": lambda who, what, _, via: exchange.revisions.withdraw(who, what, via=via),
            "sign-agreement": lambda who, what, _, via: exchange.signing.sign(who, what, via=via),
            "attest-destroyed": lambda who, what, _, via: exchange.departures.attest(who, what, via=via),
            "correct": lambda who, what, said, via: exchange.corrections.correct(
                who, what, said.get("line", ""), said.get("field", ""), via=via
            ),
            "accept-correction": lambda who, what, _, via: exchange.corrections.accept(who, what, via=via),
            "decline-correction": lambda who, what, said, via: exchange.corrections.decline(
                who, what, _why(said), via=via
            ),
            "attest-yearly": lambda who, what, said, via: exchange.yearly.attest_yearly(who, what, said, via=via),
            "review": lambda who, _, said, via: exchange.reviews.ask(who, _why(said), via=via),
            "close-review": lambda who, what, _, via: exchange.reviews.close(who, what, via=via),
            "processed": self._processed,
            "destroyed": self._destroyed,
            "countersign": lambda who, what, _, via: exchange.use.countersign(who, what, via=via),
            "hold": lambda who, what, said, via: exchange.holds.hold(who, what, _why(said), via=via),
            "release-hold": lambda who, what, _, via: exchange.holds.release(who, what, via=via),
            "nudge": lambda who, what, _, via: exchange.nudges.nudge(who, what, via=via),
            "snooze": lambda who, what, _, via: exchange.snoozes.snooze(who, what, via=via),
            "away": self._away,
            "back": lambda who, what, _, via: exchange.absences.back(what, by=who, via=via),
            "nil": self._nil,
            "cannot": self._cannot,
            "done": self._done,
            "ask-for": lambda who, what, said, via: exchange.obligations.ask_for(who, what, owed.whom(said), via=via),
            "suspend": lambda who, what, *_: exchange.people.suspend(what, by=who),
            "resume": lambda who, what, *_: exchange.people.resume(what, by=who),
        }

        self._fitted: Mapping[str, Callable[[str, str, Form], Reply | Form]] = {
            "problem": self._about_delivery,
            "suspend": self._about_person,
            "approve-change": self._about_change,
            "refuse-change": self._about_change,
            "approve-key": self._about_key,
            "refuse-key": self._about_key,
            "sign-agreement": self._about_text,
            "attest-yearly": self._about_statement,
            "away": self._about_absence,
        }

    def press(
        self, person_id: str, verb: str, subject: str, answers: Mapping[str, str] | None = None, *, via: str
    ) -> Reply | Form:
        """The answer to a press. `answers` None: just pressed; else what the form asked for ({} confirms).

        Never raises a SafehandError: what the exchange refuses is the Reply.
        """
        carry_out = self._verbs.get(verb)
        if carry_out is None or _SUBJECT.fullmatch(subject) is None:
            return Reply(GONE, "attention")
        if answers is None and verb in ASKS:
            return self.ask(person_id, verb, subject)
        asked = check(verb, subject, answers or {})
        if asked is not None:
            return self._again(person_id, asked) if verb in copies.VERBS | owed.VERBS else asked
        try:
            outcome = carry_out(person_id, subject, answers or {}, via)
        except (Unclear, SeveralRefused) as error:
            wrong = Form(verb, subject, "", "", "", answers=dict(answers or {}), errors=_errors(error))
            return self._again(person_id, wrong)
        except SafehandError as error:
            return Reply(error.sentence, "attention")
        return Reply(outcome.sentence, "good" if outcome.changed else "info", outcome.changed)

    def ask(self, person_id: str, verb: str, subject: str) -> Reply | Form:
        """The question before this verb; changes nothing. A Reply when the verb is unknown or asks nothing."""
        if verb in copies.VERBS and _SUBJECT.fullmatch(subject) is not None:
            return self._about_copies(person_id, verb, subject)
        if verb in owed.VERBS and _SUBJECT.fullmatch(subject) is not None:
            return self._about_owed(person_id, verb, subject)
        question = QUESTIONS.get(verb)
        if question is None or _SUBJECT.fullmatch(subject) is None:
            return Reply(GONE, "attention")
        form = replace(question, subject=subject, title=question.title.format(subject))
        fitted = self._fitted.get(verb)
        try:
            return fitted(person_id, subject, form) if fitted else form
        except SafehandError as error:
            return Reply(error.sentence, "attention")

    # -- questions that say more about their subject

    def _about_copies(self, person_id: str, verb: str, subject: str) -> Reply | Form:
        """Everything that is known is filled in; a Reply with where it stands when it is not open to this any more."""
        try:
            asked = self._exchange.use_forms.asked(person_id, subject, verb)
        except SafehandError as error:
            return Reply(error.sentence, "attention")
        return copies.processed(subject, asked) if verb == "processed" else copies.destroyed(subject, asked)

    def _about_owed(self, person_id: str, verb: str, subject: str) -> Reply | Form:
        """What is left of it, and whom it is about; a Reply with who answered when nothing is left."""
        place, obligations = owed.place_of(subject), self._exchange.obligations
        try:
            if verb == "ask-for":
                return owed.form(verb, subject, obligations.askable(person_id, subject))
            return owed.form(verb, subject, obligations.left(person_id, *place)) if place else Reply(GONE, "attention")
        except SafehandError as error:
            return Reply(error.sentence, "attention")

    def _nil(self, person_id: str, subject: str, answers: Mapping[str, str], via: str) -> Outcome:
        """To the member that was chosen, or to all that are left."""
        exchange, period = owed.place_of(subject) or (subject, "")
        obligations, member = self._exchange.obligations, owed.whom(answers)
        left = [one for one, _ in obligations.left(person_id, exchange, period).members] if member is None else member
        return obligations.nil(person_id, exchange, period, left, via=via)

    def _cannot(self, person_id: str, subject: str, answers: Mapping[str, str], via: str) -> Outcome:
        exchange, period = owed.place_of(subject) or (subject, "")
        reason = _why(answers)
        return self._exchange.obligations.cannot(person_id, exchange, period, owed.whom(answers), reason, via=via)

    def _done(self, person_id: str, subject: str, answers: Mapping[str, str], via: str) -> Outcome:
        exchange, period = owed.place_of(subject) or (subject, "")
        return self._exchange.obligations.done(person_id, exchange, period, answers.get("day", ""), via=via)

    def _again(self, person_id: str, wrong: Form) -> Reply | Form:
        """The whole form once more, with what was typed and what is wrong with it."""
        about = self._about_copies if wrong.verb in copies.VERBS else self._about_owed
        form = about(person_id, wrong.verb, wrong.subject)
        return form if isinstance(form, Reply) else replace(form, answers=wrong.answers, errors=wrong.errors)

    def _about_delivery(self, person_id: str, subject: str, form: Form) -> Reply | Form:
        return self._settled(person_id, subject) or form

    def _about_person(self, person_id: str, subject: str, form: Form) -> Form:
        return replace(form, title=QUESTIONS["suspend"].title.format(self._called(person_id, subject)))

    def _about_absence(self, person_id: str, subject: str, form: Form) -> Form:
        """Who could stand in: the colleagues who share a role."""
        choices = tuple(Choice(one.id, one.name) for one in self._exchange.absences.stand_ins(person_id, subject))
        nobody = Choice(_NOBODY, "Nobody", "It goes to whoever has the same role, else to a governance lead.")
        fields = (
            Field("first", "First day", "date"),
            Field("last", "Last day, included", "date"),
            Field("cover", "Who stands in?", "choice", choices=(*choices, nobody)),
        )
        name = "I am" if subject == person_id else f"{self._called(person_id, subject)} is"
        return replace(form, title=f"{name} away", fields=fields, heading="Away")

    def _away(self, person_id: str, subject: str, answers: Mapping[str, str], via: str) -> Outcome:
        first, last = days_said(answers.get("first", ""), answers.get("last", ""))
        cover = answers.get("cover", "")
        return self._exchange.absences.away(
            subject, first, last, None if cover == _NOBODY else cover, by=person_id, via=via
        )

    def _about_change(self, person_id: str, subject: str, form: Form) -> Reply | Form:
        """Who approves a new text of the agreement signs it, and sees its hash before."""
        view = self._exchange.revisions.proposal(person_id, subject)
        if form.verb not in {button.verb for button in view.buttons}:
            mine = next((answer for person, _, answer, _ in view.answers if person == person_id), None)
            said = f"You {mine} {view.id} already. " if mine and view.status == "open" else f"{view.id}: "
            return Reply(f"{said}{view.needs_words}", "info")
        if form.verb != "approve-change" or not view.changes_text:
            return form
        policy = self._exchange.policy
        person = policy.person(person_id)
        member = policy.member(person.member) if person else None
        if person is None or member is None or not signs(policy, person):
            return replace(form, intro="It makes this the text that the members sign:", document=view.document_sha256)
        return replace(
            form,
            intro=f"Approving signs this text for {member.called}, as soon as it is applied:",
            document=view.document_sha256,
            submit="Approve and sign",
        )

    def _about_key(self, person_id: str, subject: str, form: Form) -> Reply | Form:
        """Whom to call, and that what they hear is typed; a Reply when there is nothing to answer any more."""
        view = self._exchange.revisions.proposal(person_id, subject)
        if form.verb not in {button.verb for button in view.buttons}:
            return Reply(f"{view.id}: {view.needs_words}", "info")
        owner = self._exchange.policy.person(view.key_of)
        return replace(form, intro=form.intro.format(owner.name if owner else view.key_of))

    def _about_text(self, person_id: str, subject: str, form: Form) -> Reply | Form:
        """The exact hash that is signed, and for whom."""
        view = self._exchange.signing.document(person_id)
        if subject != view.sha256:
            return Reply(
                f"That is not the text in force any more; it is document {view.sha256[:12]}… now. Please look at it "
                "first.",
                "attention",
            )
        button = next((button for button in view.buttons if button.verb == form.verb), None)
        if button is None:
            return Reply("There is nothing for you to sign: your organisation has signed, or you may not.", "info")
        return replace(
            form,
            title=f"{button.label}?",
            intro=f"{view.title}, version {view.version}. You sign exactly the text with this SHA-256:",
            heading="Sign the agreement",
            document=view.sha256,
        )

    def _processed(self, person_id: str, subject: str, answers: Mapping[str, str], via: str) -> Outcome:
        if group_of(subject) is None:
            return self._exchange.use.processed(person_id, subject, counts_of(answers), via=via)
        return self._exchange.use.processed_many(person_id, counts_in_rows(answers), via=via)

    def _destroyed(self, person_id: str, subject: str, answers: Mapping[str, str], via: str) -> Outcome:
        said = destruction_of(answers, london_day(self._exchange.now()))
        wanted = [subject] if group_of(subject) is None else copies.ticked(answers)
        return self._exchange.use.destroyed_many(person_id, dict.fromkeys(wanted, said), via=via)

    def _about_statement(self, person_id: str, subject: str, form: Form) -> Reply | Form:
        """The statement with its ticks, and how it stands."""
        views = self._exchange.yearly.table(person_id)
        person = self._exchange.policy.person(person_id)
        view = next((v for v in views if v.kind == subject and person is not None and v.member == person.member), None)
        kind = KIND.get(subject)
        if view is None or kind is None:
            return Reply("There is no such statement to give.", "attention")
        fields = tuple(Field(name, words, "choice", choices=TICKS) for name, words in kind.ticks)
        intro = f"For {view.called}, clause {kind.clause}. Now: {view.words}. Everybody sees that it was given."
        return replace(form, title=f"{kind.title}: yearly statement", intro=intro, heading=kind.title, fields=fields)

    def _problem(self, person_id: str, subject: str, answers: Mapping[str, str], via: str) -> Outcome:
        reason = guard.reason(_why(answers))
        if answers.get("kind") == "rejected":
            return self._exchange.acknowledgement.problem(person_id, subject, "rejected", reason, via=via)
        return self._exchange.acknowledgement.problem(person_id, subject, "queried", reason, via=via)

    def _settled(self, person_id: str, subject: str) -> Reply | None:
        """Why nobody needs to be asked about this delivery any more; None when a problem can be told."""
        view = next((view for view in self._exchange.views.received(person_id) if view.id == subject), None)
        if view is None:
            return Reply("There is no such delivery.", "attention")
        return None if view.status in VISIBLE else Reply(f"{subject}: {view.words}.", "attention")

    def _called(self, person_id: str, other: str) -> str:
        names = {colleague.id: colleague.name for colleague in self._exchange.views.colleagues(person_id)}
        return names.get(other, "this person")


def _why(answers: Mapping[str, str]) -> str:
    return answers.get("reason", "")


def _errors(error: Unclear | SeveralRefused) -> Mapping[str, str]:
    """What is wrong with which field; of several deliveries, with which row."""
    if isinstance(error, Unclear):
        return error.errors
    found: dict[str, str] = {}
    for delivery, each in error.errors.items():
        wrong = each.errors if isinstance(each, Unclear) else {"kept": each.sentence}
        found |= {cell(name, delivery): f"{delivery}: {sentence}" for name, sentence in wrong.items()}
    return found
