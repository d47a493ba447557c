"""What a delivered file was warned of: kept as JSON beside the consignment, shown to both sides. Never a value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from server.domain.findings import Finding
from server.records import RecordSummary


@dataclass(frozen=True, slots=True)
class Quality:
    """A file's findings and counts."""

    rows: int
    warnings: int
    counts: Mapping[str, int]
    """Findings by rule, the unlisted ones included."""
    findings: tuple[Finding, ...]
    """The first 200."""
    verified: int | None = None
    """Rows verified in the last twelve months (R-088); None where the file does not say."""
    sources: Mapping[str, int] | None = None
    """Rows by where they come from (R-086)."""
    authorities: tuple[tuple[str, str, int], ...] = ()
    """Rows by authority of residence and of study (R-082)."""

    @classmethod
    def of(cls, summary: RecordSummary) -> Quality | None:
        """The quality of an accepted file; None where there is nothing to say of it."""
        tallies = summary.tallies
        if summary.rows is None or tallies is None:
            return None
        authorities = tuple((*pair, rows) for pair, rows in sorted(tallies.authorities.items()))
        if not summary.warnings and tallies.verified is None and not tallies.sources and not authorities:
            return None
        return cls(
            summary.rows, summary.warnings, dict(summary.counts), summary.findings, tallies.verified,
            dict(sorted(tallies.sources.items())) or None, authorities,
        )  # fmt: skip

    def to_json(self) -> str:
        """The stored form."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Quality:
        """From the stored form."""
        told = json.loads(text)
        told["findings"] = tuple(Finding(**finding) for finding in told["findings"])
        told["authorities"] = tuple((*pair,) for pair in told["authorities"])
        return cls(**told)

    @property
    def verified_percent(self) -> int | None:
        """Percent of the rows that were verified in the last twelve months, rounded down."""
        return None if self.verified is None or not self.rows else self.verified * 100 // self.rows

    def relevant(self, represented: set[str]) -> int | None:
        """Rows of people who live or study with one of these authorities; None where the file does not say."""
        if not self.authorities:
            return None
        return sum(rows for home, study, rows in self.authorities if represented & {home, study})


def warning_words(warnings: int) -> str:
    """`3 warnings`; nothing where there are none."""
    return f"{warnings:,} warning{'' if warnings == 1 else 's'}" if warnings else ""
