"""What is asked before a verb is carried out: a reason, a choice, or "are you sure?". Pure: a chat can ask at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bot.conversation import copies, owed
from bot.conversation.answer import Choice, Field, Form
from server.domain import guard
from server.domain.errors import Refused

ASKS = frozenset(
    {
        "problem", "recall", "discard", "suspend", "approve-ad-hoc", "refuse-ad-hoc", "review", "close-review",
        "approve-change", "refuse-change", "correct", "decline-correction", "attest-yearly", "sign-agreement",
        "attest-destroyed", "processed", "destroyed", "hold", "release-hold", "approve-key", "refuse-key",
        "withdraw-key", "away",
        "nil", "cannot", "done", "ask-for",
    }
)  # fmt: skip
"""Verbs that ask something before they are carried out: a reason, or "are you sure?"."""

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
TICKS = (Choice("yes", "Yes"), Choice("no", "Not yet"))
QUESTIONS: Mapping[str, Form] = {
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
    "hold": Form(
        "hold",
        "",
        "Hold {0}?",
        "The sealed copy here stays, whatever its rule says, until a governance lead of your organisation releases it.",
        "Hold it",
        fields=(replace(REASON, label="Why must it stay?", hint="For the record. No names or other personal data."),),
    ),
    "release-hold": Form(
        "release-hold",
        "",
        "Release {0}?",
        "Unless another hold stands, the sealed copy goes when its rule says, which may be at once.",
        "Release it",
        danger=True,
    ),
    "attest-yearly": Form("attest-yearly", "", "A yearly statement", "", "Give it"),
    "correct": Form(
        "correct",
        "",
        "What is wrong in {0}?",
        "Only where it is, never what it says or should say: its sender looks it up and sends the file again.",
        "Ask for a correction",
        fields=(
            Field("line", "Which line of the file?", "text", hint="A number; the header is line 1.", max_length=8),
            Field("field", "Which field?", "text", hint="Its name as in the header, such as address.", max_length=60),
        ),
    ),
    "decline-correction": Form(
        "decline-correction",
        "",
        "Is the record right?",
        "Everybody who has the file reads your reason.",
        "It is right",
        fields=(replace(REASON, label="Why is it right as it is?", hint="Without names or other personal data."),),
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
    "away": Form(
        "away",
        "",
        "Away",
        "Reminders and new deliveries go to whoever stands in; what is left comes back on the day of the return.",
        "Say so",
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
    "approve-change": Form(
        "approve-change",
        "",
        "Approve {0}?",
        "Your approval counts towards its quorum. It takes effect when it is applied.",
        "Approve",
    ),
    "refuse-change": Form(
        "refuse-change",
        "",
        "Refuse {0}?",
        "Everybody who is asked can read your reason.",
        "Refuse",
        danger=True,
        fields=(replace(WHY_REFUSED, hint="A few words for the others, without personal data."),),
    ),
    "approve-key": Form(
        "approve-key",
        "",
        "Is it their key?",
        "Call {0} on a number that you know. They read out the fingerprint; you type how it ends.",
        "It is their key",
        heading="Check a key",
        fields=(Field("heard", "The last 8 characters that you heard", "text", max_length=20),),
    ),
    "refuse-key": Form(
        "refuse-key",
        "",
        "Refuse this key?",
        "Everybody who is asked, and {0}, can read your reason.",
        "Refuse",
        danger=True,
        heading="Refuse a key",
        fields=(replace(WHY_REFUSED, hint="A few words for the others, without personal data."),),
    ),
    "withdraw-key": Form("withdraw-key", "", "Withdraw {0}?", "Your key is not added.", "Withdraw", danger=True),
    "sign-agreement": Form("sign-agreement", "", "Sign the agreement?", "You sign exactly this text.", "Sign"),
    "attest-destroyed": Form(
        "attest-destroyed",
        "",
        "Is everything destroyed?",
        "You attest for your organisation that no copy is left of what it received through this exchange: not in its "
        "systems, not in anybody's folders, not with its processors; backups too.",
        "All destroyed",
        danger=True,
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


def check(verb: str, subject: str, answers: Mapping[str, str]) -> Form | None:
    """None when the answers can be sent on; else the form again with what is wrong. Pure: a chat can ask at once."""
    if verb in copies.VERBS:
        return copies.check(verb, subject, answers)
    if verb in owed.VERBS:
        return owed.check(verb, subject, answers)
    question = QUESTIONS.get(verb)
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
