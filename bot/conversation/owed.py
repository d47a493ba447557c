"""Forms about what is owed: nothing to send, cannot, done elsewhere, please send. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date

from bot.conversation.answer import Choice, Field, Form
from server.domain import guard
from server.domain.errors import Refused
from server.exchange.answers import Left

VERBS = frozenset({"nil", "cannot", "done", "ask-for"})
ALL = "all"
_PLACE = re.compile(r"([a-z0-9-]+)-(\d{4}-\d{2})")
_WHY = "Without names, dates of birth or other personal data."


def place_of(subject: str) -> tuple[str, str] | None:
    """(exchange, period) of `post16-destinations-2026-11`; None when it is no such thing."""
    found = _PLACE.fullmatch(subject)
    return (found[1], found[2]) if found else None


def whom(answers: Mapping[str, str]) -> str | None:
    """The member that was chosen; None for all of them."""
    given = answers.get("member", ALL)
    return None if given in {ALL, ""} else given


def check(verb: str, subject: str, answers: Mapping[str, str]) -> Form | None:
    """None when the answers can be sent on; else a form without its questions that says what is wrong with which."""
    errors: dict[str, str] = {}
    if verb == "cannot":
        try:
            guard.reason(answers.get("reason", ""))
        except Refused as error:
            errors["reason"] = error.sentence
    if verb == "done":
        try:
            date.fromisoformat(answers.get("day", ""))
        except ValueError:
            errors["day"] = "Please give the day."
    if not errors:
        return None
    return Form(verb, subject, "", "", "", answers=dict(answers), errors=errors)


def form(verb: str, subject: str, left: Left) -> Form:
    """The question of this verb, about what is left."""
    everybody = "All that are left" if verb != "ask-for" else "Every member"
    choices = (Choice(ALL, everybody), *(Choice(member, name) for member, name in left.members))
    members = (Field("member", "Which member?", "select", choices=choices),) if left.members else ()
    match verb:
        case "nil":
            title, intro, fields = f"Nothing to send: {left.what}?", "They are told so, and stop waiting.", members
            return _made(verb, subject, title, intro, "Nothing to send", fields)
        case "cannot":
            reason = Field("reason", "Why not?", "text", hint=_WHY, max_length=guard.MAX_REASON)
            intro = "Reminders end, and whoever waits for it can read your reason."
            return _made(verb, subject, f"Cannot: {left.what}?", intro, "Cannot send", (*members, reason))
        case "done":
            day = Field("day", "On which day?", "date")
            return _made(verb, subject, f"{left.what}: done?", "It is done elsewhere; say when.", "Done", (day,))
        case _:
            title = f"Ask for {left.what}?"
            return _made(verb, subject, title, "It is due as the agreement says, from today.", "Ask", members)


def _made(verb: str, subject: str, title: str, intro: str, submit: str, fields: tuple[Field, ...]) -> Form:
    answers = {"member": ALL} if any(field.name == "member" for field in fields) else {}
    return Form(verb, subject, title, intro, submit, heading=submit, fields=fields, answers=answers)
