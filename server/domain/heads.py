"""Heads of the ledger that were handed out, found again in whatever they stand in. Pure.

A head is the number of an entry and its hash. Whoever was given one holds the ledger to it: the entry of that number
has that hash for ever, because every later hash stands on it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_HEAD = re.compile(
    r"(?<![0-9A-Za-z,-])(\d[\d,]{0,14})(?:\s+entries)?[\s,:;|=\"'()\[\]{}·-]{1,16}"
    r"(?:(?:head|hash)\b[\s,:;|=\"'()\[\]{}·-]{1,16})?([0-9A-Fa-f]{64})(?![0-9A-Za-z])"
)
_TAG = re.compile(r"<[^<>]{0,400}>")


@dataclass(frozen=True, slots=True, order=True)
class Head:
    """The ledger at one moment: the number of its last entry, and that entry's hash in small letters."""

    number: int
    hash: str

    @property
    def words(self) -> str:
        """As it stands in papers and messages: twelve digits, then the hash."""
        return f"entry {self.number:012d}, head {self.hash}"


def heads_in(text: str) -> tuple[Head, ...]:
    """Every head that the text names, once each, by number: "entry 000000001234, head 0a1b…" and what is like it."""
    plain = _TAG.sub(" ", text)
    found = {_head(number, digest) for number, digest in _HEAD.findall(plain)}
    return tuple(sorted(head for head in found if head is not None))


def heads_of(told: object) -> tuple[Head, ...]:
    """Every head in a document that was JSON: mappings with `entry` and `hash`, however deep, and texts."""
    return tuple(sorted(set(_walked(told))))


def _walked(told: object) -> list[Head]:
    if isinstance(told, str):
        return list(heads_in(told))
    if isinstance(told, list):
        return [head for each in told for head in _walked(each)]
    if not isinstance(told, dict):
        return []
    own = _head(str(told.get("entry", "")), str(told.get("hash", "")))
    return [*([own] if own else []), *(head for each in told.values() for head in _walked(each))]


def _head(number: str, digest: str) -> Head | None:
    digits = number.replace(",", "")
    if not (digits.isascii() and digits.isdigit()) or not re.fullmatch(r"[0-9A-Fa-f]{64}", digest):
        return None
    return Head(int(digits), digest.lower()) if int(digits) > 0 else None
