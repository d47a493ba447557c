"""Forms about a recipient's own copies: what was kept, and where what is not theirs was destroyed. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from bot.conversation.answer import Choice, Field, Form
from server.domain import guard
from server.domain.attestation import (
    BACKUPS,
    METHODS,
    NOT_HELD,
    PLACES,
    SUBCONTRACTORS,
    Unclear,
    check_counts,
    counts_of,
    destruction_of,
)
from server.domain.attested_forms import cell, counts_in_rows, row_name
from server.exchange.use_forms import Asked, group_of

VERBS = frozenset({"processed", "destroyed"})
NOBODY = "-"
MOST_TICKS = 10
"""Deliveries that one tick list of a chat holds."""
_LABELS = {
    "received": "Records received",
    "kept": "Relevant, kept",
    "not_ours": "Not ours",
    "rejected": "Could not be used",
}


def check(verb: str, subject: str, answers: Mapping[str, str]) -> Form | None:
    """None when the answers can be sent on; else a form without its questions that says what is wrong with which."""
    try:
        if verb == "destroyed":
            destruction_of(answers, None)
            if group_of(subject) is not None and not ticked(answers):
                raise Unclear({"deliveries": "Please tick at least one delivery."})
        elif group_of(subject) is not None:
            if not counts_in_rows(answers):
                raise Unclear({next(iter(answers), "kept"): "Please fill in at least one row."})
        else:
            counts = counts_of(answers)
            check_counts(counts, None, counts.authorities)
    except Unclear as error:
        return Form(verb, subject, "", "", "", answers=dict(answers), errors=error.errors)
    return None


def ticked(answers: Mapping[str, str]) -> list[str]:
    """The deliveries that a tick list's answer names."""
    return [delivery for delivery in answers.get("deliveries", "").split(",") if delivery]


def processed(subject: str, asked: Asked) -> Form:
    """What was in one delivery, or a table of several."""
    several = group_of(subject) is not None
    intro = "The relevant records are yours once you have used them. What is not yours is destroyed next."
    fields, answers = (_rows(asked), {}) if several else _counts(asked)
    return Form(
        "processed", subject, f"What was in {asked.what}?", intro, "Processed", heading="Processed",
        fields=fields, answers=answers,
    )  # fmt: skip


def _counts(asked: Asked) -> tuple[tuple[Field, ...], dict[str, str]]:
    copy = asked.copies[0]
    fields = tuple(Field(name, label, "number") for name, label in _LABELS.items())
    known = {} if copy.received is None else {"received": str(copy.received)}
    return fields + _by_authority(asked, ""), known | {"rejected": "0"}


def _by_authority(asked: Asked, delivery: str) -> tuple[Field, ...]:
    """How many are kept for each authority, where the member represents several."""
    named = ((f"kept_{la}", name) for la, name in asked.authorities)
    return tuple(
        Field(cell(name, delivery) if delivery else name, f"Kept for {label}", "number", optional=True)
        for name, label in named
    )


def _rows(asked: Asked) -> tuple[Field, ...]:
    return tuple(
        Field(
            row_name(copy.delivery, copy.received), copy.words, "row",
            hint="Kept, not ours, could not be used: such as 290, 28, 0. Blank: not yet.", optional=True,
            parts=(
                *(Field(cell(name, copy.delivery), label, "number", optional=True) for name, label in _LABELS.items()),
                *_by_authority(asked, copy.delivery),
            ),
        )
        for copy in asked.copies
    )  # fmt: skip


def destroyed(subject: str, asked: Asked) -> Form:
    """Where it lay, how it was destroyed there, and what is left: filled in as the member said it last time."""
    several = group_of(subject) is not None
    ticks = (_ticks(asked),) if several else ()
    number = sum(copy.to_destroy for copy in asked.copies)
    intro = (
        f"{number:,} record{'' if number == 1 else 's'}, and the file itself wherever it lay. You attest it for your "
        "organisation as far as you can know; a backup may expire on a day to come."
    )
    answers = dict(asked.habit) | {"witness": NOBODY}
    if several:
        answers["deliveries"] = ",".join(copy.delivery for copy in asked.copies)
    fields = (*ticks, *_places(), *_left(), _witness(asked))
    return Form(
        "destroyed", subject, f"Destroyed: {asked.what}", intro, "Destroyed: sign", danger=True,
        heading="Destroyed", fields=fields, answers=answers,
    )  # fmt: skip


def _ticks(asked: Asked) -> Field:
    choices = tuple(Choice(copy.delivery, copy.words) for copy in asked.copies)
    return Field("deliveries", "Which deliveries?", "choices", choices=choices)


def _places() -> tuple[Field, ...]:
    methods = tuple(Choice(method, method.capitalize()) for method in (NOT_HELD, *METHODS[:-1]))
    return tuple(Field(place, label, "select", choices=methods) for place, label in PLACES.items())


def _left() -> tuple[Field, ...]:
    backups = tuple(Choice(value, label) for value, label in BACKUPS.items())
    others = tuple(Choice(value, label) for value, label in SUBCONTRACTORS.items())
    hint = "What is left, why, and until when: in a few words, without personal data."
    return (
        Field("backups", "Backups", "select", choices=backups),
        Field("backups_until", "The last backup expires on", "date", optional=True),
        Field("subcontractors", "Subcontractors", "select", choices=others),
        Field("exceptions", "Exceptions", "text", hint=hint, max_length=guard.MAX_REASON, optional=True),
    )


def _witness(asked: Asked) -> Field:
    none = () if asked.witness_required and asked.colleagues else ((NOBODY, "Nobody"),)
    people = none + asked.colleagues
    choices = tuple(Choice(person, name) for person, name in people)
    return Field("witness", "Witness", "select", choices=choices, optional=not asked.witness_required)
