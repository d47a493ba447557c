"""What a finding is, and what the checks look at: the policy set and the day. Pure; no loadable set makes it raise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from server.domain.agreement import Member, PolicySet
from server.domain.errors import Refused
from server.domain.schedule import london_day

Severity = Literal["error", "warn", "info"]
LISTS = frozenset({"members", "people", "exchanges", "schemas", "codelists", "mappings", "calendars"})
"""Sections whose items a finding's target names by id."""
Path = tuple[str | int, ...]
CLOSING = frozenset({
    "AGREEMENT_REVIEW_OVERDUE", "CHANNEL_NOT_AUTHORISED", "MEMBER_WITHOUT_SUMMARY_ROW", "MEMBER_WITHOUT_DATA_MANAGER",
    "MEMBER_WITHOUT_SIGNATURE_BLOCK", "SIGNATURE_BLANK",
})  # fmt: skip
"""Errors under which the exchange, or a member's part of it, is shut and nothing can go wrong."""


@dataclass(frozen=True, slots=True)
class LintFinding:
    """One finding. `line` and `column` count from 1; "" and 0 for a set that came from no file.

    `target` is what it is about, as `members/kent` or `agreement`: what a waiver names. `waived` says until when and
    why somebody answers for it; None where nobody does.
    """

    code: str
    severity: Severity
    target: str
    file: str
    line: int
    column: int
    sentence: str
    remedy: str
    waived: str | None = None

    @property
    def is_error(self) -> bool:
        """Whether it keeps the set from being put in force: an error that nobody has waived."""
        return self.severity == "error" and self.waived is None

    @property
    def only_closes(self) -> bool:
        """Whether it says that less can be sent, not that the text is wrong: what somebody may want, at once."""
        return self.code in CLOSING

    def __str__(self) -> str:
        grade = f"waived {self.severity}" if self.waived else self.severity
        waiver = f" ({self.waived})" if self.waived else ""
        place = f"{self.file}:{self.line}:{self.column}"
        line = f"{place}: {grade}: {self.code}: {self.sentence} {self.remedy}{waiver}"
        return "".join(sign if sign.isprintable() else " " for sign in line.rstrip())


class PolicyRefused(Refused):
    """The set can be read, but its text is wrong. `findings` lists its errors, in the order of the files."""

    code = "POLICY_REFUSED"

    def __init__(self, errors: Sequence[LintFinding]) -> None:
        self.findings = tuple(errors)
        count = "one error" if len(errors) == 1 else f"{len(errors)} errors"
        super().__init__(f"The policy set has {count}; nothing was changed. Mend it, then apply it again.")


@dataclass(frozen=True, slots=True)
class Desk:
    """What the checks look at: the set, the day in London, and the members that have signed."""

    policy: PolicySet
    today: date
    signatories: frozenset[str]

    @classmethod
    def at(cls, policy: PolicySet, now: datetime) -> Desk:
        """The desk at `now` (aware)."""
        signed = frozenset(s.member for s in policy.agreement.signatures if s.state == "signed")
        return cls(policy, london_day(now), signed)

    def finding(
        self, code: str, severity: Severity, path: Path, sentence: str, remedy: str, *, target: str = ""
    ) -> LintFinding:
        """A finding at `path`, or at the nearest thing around it that is written."""
        place = self.policy.place(*path)
        file, line, column = (place.file, place.line, place.column) if place else ("", 0, 0)
        return LintFinding(code, severity, target or target_of(path), file, line, column, sentence, remedy)

    def takes_part(self, member: Member) -> bool:
        """Whether the member has signed. What only a working member needs is not asked of one that has not."""
        return member.id in self.signatories


Check = Callable[[Desk], Iterator[LintFinding]]


def target_of(path: Path) -> str:
    """What a path is about: `members/kent` for anything of Kent's, the section's name for the rest."""
    return f"{path[0]}/{path[1]}" if path[0] in LISTS and len(path) > 1 else str(path[0])
