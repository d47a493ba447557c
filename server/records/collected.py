"""The findings of one file: all are counted by rule, the first 200 are kept, and a refusal is never crowded out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from server.domain.findings import LISTED, Finding


class Collected:
    """Findings in the order of the file, of one kind of look at it. Refusals and the rest have a list each."""

    __slots__ = ("counts", "others", "refusals", "warnings")

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.warnings = 0
        self.refusals: list[Finding] = []
        self.others: list[Finding] = []

    def add(self, finding: Finding) -> None:
        """One more."""
        self.counts[finding.rule] += 1
        if finding.severity == "refuse":
            if len(self.refusals) < LISTED:
                self.refusals.append(finding)
            return
        self.warnings += finding.severity == "warn"
        if len(self.others) < LISTED:
            self.others.append(finding)

    def wanted(self, *, refusal: bool) -> bool:
        """Whether one more would be listed; otherwise `count` is enough."""
        return len(self.refusals if refusal else self.others) < LISTED

    def count(self, rule: str, *, warning: bool) -> None:
        """One more that is not listed."""
        self.counts[rule] += 1
        self.warnings += warning


def by_line(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The first 200, in the order of their lines."""
    return tuple(sorted(findings, key=lambda finding: finding.line)[:LISTED])
