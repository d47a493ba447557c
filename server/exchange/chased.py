"""What can be reminded of: each life cycle plans its stages, says whom a stage asks, and lists what a person has to do.

A stage is a row that fires once. When it fires, its `ask` says whom it is for, or nothing when it is not needed any
more; those people get one message for the day, and everything that waits for them stands in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from sqlmodel import Session

from server.domain.audience import Hat
from server.domain.notice import Button, Tone

Group = Literal["overdue", "send", "acknowledge", "destroy", "decide", "renew", "know"]
"""Headings of a digest, in the order in which they are shown."""
GROUPS: tuple[Group, ...] = ("overdue", "send", "acknowledge", "destroy", "decide", "renew", "know")


@dataclass(frozen=True, slots=True)
class Planned:
    """A stage to be made: `about` "ack:D-2026-000417", `stage` "chase-1", and the first moment at which it fires.

    Stages of one `about` are in order of `due_at`; of several that have come, only the latest is told.
    """

    about: str
    stage: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Ask:
    """For whom a stage is that fires now: the hats, and ids of people besides. `facts` go into the ledger entry."""

    hats: tuple[Hat, ...] = ()
    people: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """One line of what a person has to do, or should know, today. `subject` is what buttons and the desk name it by.

    `label` says what it is (at most 60 characters), `words` what to do and by when; `path` the exact place to put it.
    """

    about: str
    group: Group
    label: str
    words: str
    due_at: datetime | None = None
    tone: Tone = "info"
    buttons: tuple[Button, ...] = ()
    path: str = ""


class Chased(Protocol):
    """A life cycle that is reminded of. All methods only read; they are called inside a transaction or a read."""

    @property
    def prefixes(self) -> frozenset[str]:
        """What its `about` begin with, before the first colon."""
        ...

    def plan(self, session: Session, now: datetime) -> Iterable[Planned]:
        """Stages that should exist and may not yet; those that exist are left as they are. Cheap when none are new."""
        ...

    def ask(self, session: Session, about: str, stage: str, now: datetime) -> Ask | None:
        """For whom the stage is, as things stand now; None when there is nothing left to say."""
        ...

    def items(self, session: Session, hat: Hat, now: datetime) -> Iterable[Item]:
        """What waits for whoever wears this hat, most urgent first, and what they should know today."""
        ...
