"""What is known of a file when its last byte has passed, and the check that looks at nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from server.domain.findings import Finding
from server.records.row_rules import Tallies

Bytes = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class RecordSummary:
    """The result of a whole stream."""

    rows: int | None
    """Records without the header; None where they cannot be counted."""
    findings: tuple[Finding, ...]
    """The first 200, in the order of the file."""
    ends_inside_record: bool
    """The stream may have been cut: it ends in quotes, in a short record, or without a line end."""
    encoding: str | None
    delimiter: str | None
    counts: Mapping[str, int] = field(default_factory=dict)
    """How many findings of each rule there are, the unlisted ones included."""
    warnings: int = 0
    """How many findings warn, the unlisted ones included."""
    complete: bool = False
    """The file's own form tells that it is whole."""
    tallies: Tallies | None = None
    """What was counted of the rows; None where no row was looked at."""


class RecordCheck(Protocol):
    """A check in the stream: bytes in any pieces, refusals as soon as they are known, a summary at the end."""

    @property
    def refusals(self) -> tuple[Finding, ...]: ...

    def feed(self, chunk: Bytes) -> None: ...

    def finish(self) -> RecordSummary: ...


class NoInspection:
    """For exchanges whose content is nobody's business (`content_inspection: none`): refuses and counts nothing."""

    __slots__ = ()

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """None, ever."""
        return ()

    def feed(self, chunk: Bytes) -> None:
        """Looks at nothing."""

    def finish(self) -> RecordSummary:
        """A summary that claims nothing."""
        return RecordSummary(rows=None, findings=(), ends_inside_record=False, encoding=None, delimiter=None)
