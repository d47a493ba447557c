"""The answer to a question about the agreement: permit or deny, and every rule that was looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

Path = tuple[str | int, ...]
TOLD = 3
"""How many reasons are told in one sentence to whoever tried."""


class Act(StrEnum):
    """What somebody wants to do. SEND is asked by a `Question`, the others by a `Deed`."""

    SEND = "send"
    LOG_IN = "log-in"
    LOOK = "look"
    READ = "read"
    ACKNOWLEDGE = "acknowledge"
    PROPOSE = "propose"
    APPROVE = "approve"
    SIGN = "sign"
    APPROVE_AD_HOC = "approve-ad-hoc"
    ATTEST = "attest"
    COUNTERSIGN = "countersign"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the store knows and the policy set does not.

    `suspended` holds ids of people, `left` ids of members that have left, `signed` the document hashes that a member's
    governance lead signed in chat or on the desk: {member: hashes}.
    """

    suspended: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()
    signed: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule that was looked at: code, whether it holds, a sentence, the clause and the place in the policy set."""

    code: str
    holds: bool
    sentence: str
    clause: str
    place: Path


@dataclass(frozen=True, slots=True)
class Decision:
    """Permit only if every rule holds; `rules` are all that were looked at, in order."""

    rules: tuple[Rule, ...]

    @property
    def permit(self) -> bool:
        return bool(self.rules) and all(rule.holds for rule in self.rules)

    @property
    def reasons(self) -> tuple[Rule, ...]:
        """Every rule that does not hold, not only the first."""
        return tuple(rule for rule in self.rules if not rule.holds)

    @property
    def codes(self) -> frozenset[str]:
        """The codes of the reasons."""
        return frozenset(rule.code for rule in self.reasons)

    @property
    def sentence(self) -> str:
        """What a person is told: the first failing rules, and how many more there are."""
        if self.permit:
            return "Permitted."
        if not self.reasons:
            return "Denied: no rule permits it."
        more = len(self.reasons) - TOLD
        tail = f" ({more} more reason{'s' if more > 1 else ''}: safehand access explain)" if more > 0 else ""
        return " ".join(rule.sentence for rule in self.reasons[:TOLD]) + tail


@dataclass(frozen=True, slots=True)
class Deed:
    """One person's act. `recipient` is the member whose delivery it is about, `sent_by` the person who sent that."""

    act: Act
    person: str
    now: datetime
    recipient: str | None = None
    sent_by: str | None = None
    facts: Facts = field(default_factory=Facts)
