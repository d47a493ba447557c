"""The ledger's entries and their chain. Pure. The hash is over the stored text itself, never over re-made JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

GENESIS = "0" * 64
Fact = str | int | bool | None | Sequence[str]


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, before it has a number: kind ("delivery.acknowledged"), who, about which ids, and coded facts.

    No personal data about the people in the files, and no file names: ids, counts, hashes, codes.
    """

    kind: str
    actor: str
    subjects: tuple[str, ...]
    data: Mapping[str, Fact]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the ledger, every field as the text that is stored."""

    number: int
    at: str
    kind: str
    actor: str
    subjects: str
    data: str
    revision: str
    previous: str
    hash: str


STORED_LENGTH = 27
"""Of 2026-12-01T09:00:00.000000Z."""


def text_of(moment: datetime) -> str:
    """The stored form of a time: UTC, microseconds, Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment_of(text: str) -> datetime:
    """The time that a stored form names. Raises ValueError for any other form."""
    if len(text) != STORED_LENGTH or not text.endswith("Z"):
        raise ValueError("not a stored time")
    return datetime.fromisoformat(text)  # twenty times quicker than strptime, and every row has several


def digest(number: int, at: str, kind: str, actor: str, subjects: str, data: str, revision: str, previous: str) -> str:
    """SHA-256, as hex, over the lines of an entry; no field may hold a line end, so that the lines are unambiguous."""
    lines = (str(number), at, kind, actor, subjects, data, revision, previous)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def entry(event: Event, *, number: int, at: datetime, revision: str, previous: str) -> Entry:
    """The event as the ledger's next entry."""
    subjects = json.dumps(list(event.subjects), ensure_ascii=False, separators=(",", ":"))
    data = json.dumps(dict(event.data), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    fields = (number, text_of(at), event.kind, event.actor, subjects, data, revision, previous)
    return Entry(*fields, hash=digest(*fields))


def fault(row: Entry, *, number: int, previous: str) -> str | None:
    """Why this row cannot be the entry `number` after `previous`; None when it holds."""
    if row.number != number:
        return f"entry {number} is missing: the next row says {row.number}"
    if row.previous != previous:
        return f"entry {number} does not follow the entry before it"
    texts = (row.at, row.kind, row.actor, row.subjects, row.data, row.revision, row.previous)
    if not all(isinstance(text, str) for text in (*texts, row.hash)):
        return f"entry {number} was changed: a field of it is no text any more"
    if any("\n" in text for text in texts):
        return f"entry {number} has a line end inside a field"
    if digest(row.number, *texts) != row.hash:
        return f"entry {number} was changed: its hash does not fit its content"
    return None
