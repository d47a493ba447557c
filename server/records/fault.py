"""What can be wrong with a value, and the faults that spreadsheets make in any column. Said without the value."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace

from server.domain.findings import Severity

TEXT_COLUMN = "Format the column as Text in the spreadsheet, fill it again from its source and export again"
_RUN = ("=", "+", "-", "@", "\t", "\r")
_SCIENTIFIC = re.compile(r"[+-]?\d(?:[.,]\d+)?E[+-]?\d{1,3}", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Fault:
    """A rule that a value breaks. `says` completes "Line 4, column 3 (C4), `dob`: …"; no part of it is the value."""

    rule: str
    says: str
    remedy: str
    severity: Severity

    def at(self, severity: Severity | None) -> Fault:
        """The same with another severity; None keeps its own."""
        return self if severity is None or self.severity == severity else replace(self, severity=severity)


EMPTY = Fault("CELL_EMPTY", "the cell is empty and must not be.", "Fill it, or leave the row out.", "refuse")
SPACES = Fault(
    "SPACES_AROUND", "there are spaces before or behind the value.", "Trim the column in the export.", "warn"
)
FORMULA = Fault(
    "FORMULA",
    "it begins like a formula, which a spreadsheet would run.",
    "Take the leading = + - @ or tab away at the source; the receiver opens the file as text.",
    "warn",
)
CONTROL = Fault(
    "CONTROL_CHARACTER", "it holds a character that cannot be seen.", "Type the value again at the source.", "warn"
)
SCIENTIFIC = Fault(
    "SCIENTIFIC_NOTATION",
    "a spreadsheet has shortened a long number (like 9.28E+09), and its last digits are lost.",
    f"{TEXT_COLUMN}.",
    "refuse",
)


def too_long(limit: int) -> Fault:
    """The warning for a text of more than `limit` characters."""
    return Fault("TOO_LONG", f"it is longer than {limit} characters.", "Shorten it at the source.", "warn")


def runs(value: str) -> bool:
    """Whether a spreadsheet would take the value for a formula."""
    return value.startswith(_RUN)


def is_scientific(value: str) -> bool:
    """Whether a spreadsheet has written a long number as 9.28E+09."""
    return _SCIENTIFIC.fullmatch(value) is not None


def has_control(value: str, allowed: str = "") -> bool:
    """Whether there is a character that cannot be seen, but for those in `allowed`."""
    return any(unicodedata.category(ch) in {"Cc", "Cf", "Cs", "Co"} and ch not in allowed for ch in value)
