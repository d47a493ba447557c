"""A press of a button becomes one verb of the exchange. Who presses is a person id that the front end has proved."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from bot.conversation.answer import Choice, Field, Form, Reply
from server.domain import guard
from server.domain.delivery import VISIBLE
from server.domain.errors import Refused, SafehandError
from server.exchange import Exchange
from server.exchange.delivery import Outcome

ASKS = frozenset(
    {"problem", "recall", "discard", "suspend", "approve-ad-hoc", "refuse-ad-hoc", "review", "close-review"}
)
"""Verbs that ask something before they are carried out: a reason, or "are you sure?"."""
_SUBJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")

KIND = Field(
    "kind",
    "What would you like to do?",
    "choice",
    choices=(
        Choice("queried", "Ask the sender about it", "You keep the file while the sender answers."),
        Choice("rejected", "Reject it", "It leaves your inbox, and the sender is asked for a new file."),
    ),
)
REASON = Field(
    "reason",
    "What is wrong?",
    "text",
    hint="A few words for the sender. No names, dates of birth or other personal data.",
    max_length=guard.MAX_REASON,
)
WHY_APPROVED = replace(
    REASON, label="Why must it go?", hint="For the record. No names, dates of birth or other personal data."
)
WHY_REFUSED = replace(REASON, label="Why not?")
_QUESTIONS: Mapping[str, Form] = {
    "approve-ad-hoc": Form(
        "approve-ad-hoc",
        "",
        "Approve {0}?",
        "It leaves the agreed schedule on your word: one file, to one member, for a limited time.",
        "Approve",
        fields=(WHY_APPROVED,),
    ),
    "refuse-ad-hoc": Form(
        "refuse-ad-hoc",
        "",
        "Refuse {0}?",
        "Nothing of it goes. Its sender is told why.",
        "Refuse",
        danger=True,
        fields=(WHY_REFUSED,),
    ),
    "problem": Form("problem", "", "Problem with {0}", "The sender is told at once.", "Send", fields=(KIND, REASON)),
    "recall": Form(
        "recall",
        "",
        "Recall {0}?",
        "The recipient can no longer collect it, and is told. A copy that was collected already cannot be called back.",
        "Recall",
        danger=True,
    ),
    "discard": Form(
        "discard",
        "",
        "Discard {0}?",
        "What arrived is deleted, and the recipient never sees it. Send the file again when you are ready.",
        "Discard",
        danger=True,
    ),
    "review": Form(
        "review",
        "",
        "Ask for a review of the agreement?",
        "Every governance lead is asked whether it still fits (clause 1).",
        "Ask for it",
        fields=(replace(REASON, label="What changed?", hint="A few words for the others, without personal data."),),
    ),
    "close-review": Form(
        "close-review",
        "",
        "Is the review done?",
        "Every governance lead is told so. What the review changes goes its own way, as a proposal.",
        "The review is done",
    ),
    "suspend": Form(
        "suspend",
        "",
        "Suspend {0}?",
        "Their connections, desk sessions and chat links end at once. Two people are needed to lift it.",
        "Suspend",
        danger=True,
    ),
}


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
            "review": lambda who, _, said, via: exchange.reviews.ask(who, _why(said), via=via),
            "close-review": lambda who, what, _, via: exchange.reviews.close(who, what, via=via),
            "suspend": lambda who, what, *_: exchange.people.suspend(what, by=who),
            "resume": lambda who, what, *_: exchange.people.resume(what, by=who),
        }

    def press(
        self, person_id: str, verb: str, subject: str, answers: Mapping[str, str] | None = None, *, via: str
    ) -> Reply | Form:
        """The answer to a press. `answers` None: just pressed; else what the form asked for ({} confirms).

        Never raises a SafehandError: what the exchange refuses is the Reply.
        """
        carry_out = self._verbs.get(verb)
        if carry_out is None or _SUBJECT.fullmatch(subject) is None:
            return Reply("That button is no longer in use. Please open the latest message.", "attention")
        if answers is None and verb in ASKS:
            return self.ask(person_id, verb, subject)
        asked = check(verb, subject, answers or {})
        if asked is not None:
            return asked
        try:
            outcome = carry_out(person_id, subject, answers or {}, via)
        except SafehandError as error:
            return Reply(error.sentence, "attention")
        return Reply(outcome.sentence, "good" if outcome.changed else "info", outcome.changed)

    def ask(self, person_id: str, verb: str, subject: str) -> Reply | Form:
        """The question before this verb; changes nothing. A Reply when the verb is unknown or asks nothing."""
        question = _QUESTIONS.get(verb)
        if question is None or _SUBJECT.fullmatch(subject) is None:
            return Reply("That button is no longer in use. Please open the latest message.", "attention")
        try:
            settled = self._settled(person_id, subject) if verb == "problem" else None
            called = self._called(person_id, subject) if verb == "suspend" else subject
        except SafehandError as error:
            return Reply(error.sentence, "attention")
        if settled is not None:
            return settled
        return replace(question, subject=subject, title=question.title.format(called))

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


def check(verb: str, subject: str, answers: Mapping[str, str]) -> Form | None:
    """None when the answers can be sent on; else the form again with what is wrong. Pure: a chat can ask at once."""
    question = _QUESTIONS.get(verb)
    if question is None or not question.fields:
        return None
    errors = {}
    for asked in question.fields:
        given = answers.get(asked.name, "")
        if asked.kind == "choice" and given not in {choice.value for choice in asked.choices}:
            errors[asked.name] = "Please choose one."
        elif asked.kind == "text":
            try:
                guard.reason(given)
            except Refused as error:
                errors[asked.name] = error.sentence
    if not errors:
        return None
    return replace(
        question, subject=subject, title=question.title.format(subject), answers=dict(answers), errors=errors
    )
