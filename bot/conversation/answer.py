"""What a conversation answers: a sentence, or a question. Values only; the front ends decide how they look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from server.domain.notice import Button, Tone


@dataclass(frozen=True, slots=True)
class Reply:
    """A sentence for the person who asked. `changed` False: nothing moved, what was shown may be stale."""

    text: str
    tone: Tone = "info"
    changed: bool = False
    buttons: tuple[Button, ...] = ()
    """What the person can do about it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the answers to choose from."""

    value: str
    label: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """One question of a form; `max_length` in characters, for kind "text".

    "choice" is one of a few that are all seen, "select" one of a list that folds, "choices" several of a list (its
    answer is their values with commas). A "row" is one line of a table: `parts` are its cells, and where there is no
    room for a table it is one text with the cells' answers.
    """

    name: str
    label: str
    kind: Literal["choice", "text", "number", "select", "date", "choices", "row"]
    hint: str = ""
    choices: tuple[Choice, ...] = ()
    max_length: int = 0
    optional: bool = False
    parts: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class Form:
    """A question before the verb is carried out; without fields it only asks "are you sure?".

    `errors` maps a field's name to what is wrong with `answers`, which are shown again to whoever typed them.
    """

    verb: str
    subject: str
    title: str
    intro: str
    submit: str
    danger: bool = False
    heading: str = ""
    """A few words where there is room for no more; the subject if empty."""
    document: str = ""
    """The whole hash of the text that the answer signs or makes the text."""
    fields: tuple[Field, ...] = ()
    answers: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Account:
    """A chat account: the platform ("slack"), its workspace or tenant, and the user's id there."""

    platform: Literal["slack"]
    team: str
    account: str
