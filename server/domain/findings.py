"""What a check found in a file: where, which rule, and what to do. Never a value from the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LISTED = 200
"""Findings of one file that are listed; the others are counted."""

Severity = Literal["refuse", "warn", "info"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to say about a file. Its own text appears nowhere: names of columns are the agreed ones."""

    line: int
    """Physical line, from 1, as a text editor counts."""
    column: int | None
    """Number of the field, from 1."""
    cell: str | None
    """The same place in a spreadsheet, such as C1."""
    field: str | None
    """The agreed column's name, where it is one of ours."""
    rule: str
    """Stable code, such as COLUMN_MISSING."""
    sentence: str
    remedy: str
    severity: Severity


def spreadsheet_cell(line: int, column: int) -> str:
    """The cell's name in a spreadsheet (A1 style): row `line` and field `column`, both from 1.

    Raises ValueError below 1. `line` is the spreadsheet's row, which falls behind the physical line where a quoted
    field holds a line break.
    """
    if line < 1 or column < 1:
        raise ValueError("rows and columns of a spreadsheet begin at 1")
    letters = ""
    while column:
        column, letter = divmod(column - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return f"{letters}{line}"
