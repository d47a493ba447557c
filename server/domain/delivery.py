"""The states of a delivery, on three axes that are not one line, and the only moves between them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from server.domain.errors import Refused


class Status(StrEnum):
    """Where a delivery stands between the two members."""

    SENT = "sent"
    HELD = "held"
    AVAILABLE = "available"
    COLLECTED = "collected"
    ACKNOWLEDGED = "acknowledged"
    QUERIED = "queried"
    REJECTED = "rejected"
    RECALLED = "recalled"
    SUPERSEDED = "superseded"


class SealedCopy(StrEnum):
    """What the exchange itself still has of it."""

    KEPT = "kept"
    HELD = "held"
    PURGED = "purged"


class Use(StrEnum):
    """What the recipient has said it did with its own copy."""

    OPEN = "open"
    PROCESSED = "processed"
    DESTROYED = "destroyed"


_S = Status
MOVES: Mapping[Status, frozenset[Status]] = {
    _S.SENT: frozenset({_S.HELD, _S.AVAILABLE, _S.RECALLED, _S.SUPERSEDED}),
    _S.HELD: frozenset({_S.SENT, _S.AVAILABLE, _S.RECALLED, _S.SUPERSEDED}),
    _S.AVAILABLE: frozenset({_S.COLLECTED, _S.QUERIED, _S.REJECTED, _S.RECALLED, _S.SUPERSEDED}),
    _S.COLLECTED: frozenset({_S.ACKNOWLEDGED, _S.QUERIED, _S.REJECTED, _S.SUPERSEDED}),
    _S.ACKNOWLEDGED: frozenset({_S.QUERIED, _S.REJECTED, _S.SUPERSEDED}),
    _S.QUERIED: frozenset({_S.ACKNOWLEDGED, _S.REJECTED, _S.RECALLED, _S.SUPERSEDED}),
    _S.REJECTED: frozenset({_S.RECALLED, _S.SUPERSEDED}),
    _S.RECALLED: frozenset(),
    _S.SUPERSEDED: frozenset(),
}
COPY_MOVES: Mapping[SealedCopy, frozenset[SealedCopy]] = {
    SealedCopy.KEPT: frozenset({SealedCopy.HELD, SealedCopy.PURGED}),
    SealedCopy.HELD: frozenset({SealedCopy.KEPT}),
    SealedCopy.PURGED: frozenset(),
}
USE_MOVES: Mapping[Use, frozenset[Use]] = {
    Use.OPEN: frozenset({Use.PROCESSED, Use.DESTROYED}),
    Use.PROCESSED: frozenset({Use.DESTROYED}),
    Use.DESTROYED: frozenset(),
}
UNRELEASED = frozenset({Status.SENT, Status.HELD})
VISIBLE = frozenset({Status.AVAILABLE, Status.COLLECTED, Status.ACKNOWLEDGED, Status.QUERIED})
"""What a recipient sees in its inbox. Superseded, rejected and recalled deliveries leave it."""
REPLACED = frozenset({Status.REJECTED, Status.SUPERSEDED})
"""Whose copies, where they were collected, are of no use any more and are destroyed."""
CURRENT = UNRELEASED | VISIBLE
"""What a new file of the same name supersedes or repeats."""


def move(before: Status, after: Status) -> Status:
    """`after`, or Refused when the table has no such move."""
    if after not in MOVES[before]:
        raise Refused(f"A delivery that is {before} cannot become {after}.", code="NO_SUCH_MOVE")
    return after


def move_use(before: Use, after: Use) -> Use:
    """`after`, or Refused when the table has no such move."""
    if after not in USE_MOVES[before]:
        raise Refused(f"What is {before} cannot become {after}.", code="NO_SUCH_MOVE")
    return after


def diagram(moves: Mapping[StrEnum, frozenset[StrEnum]] | Mapping[Status, frozenset[Status]]) -> str:
    """The table as a Mermaid state diagram: what ARCHITECTURE.md shows."""
    lines = ["stateDiagram-v2"]
    for before, afters in moves.items():
        lines += [f"    {before} --> {after}" for after in sorted(afters)]
        if not afters:
            lines.append(f"    {before} --> [*]")
    return "\n".join(lines)
