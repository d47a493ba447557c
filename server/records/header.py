"""The first row against the agreed columns: any order, no column missing, none that was not agreed."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from server.domain.findings import Finding, spreadsheet_cell

LIMIT = 64_000
"""Bytes a header may have."""

_LOOKED_AT = 100
"""Columns whose misspelt heading is compared with the agreed ones."""
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}


@dataclass(frozen=True, slots=True)
class Agreed:
    """The columns that a file may have, and what its sender's export calls them."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    one_of: tuple[tuple[str, ...], ...] = ()
    """Of each of these groups at least one column must be there."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """{their heading: the agreed name}, as the policy maps this sender's exports."""

    @property
    def names(self) -> tuple[str, ...]:
        """Every agreed name, the required ones first."""
        return (*self.required, *(name for name in self.optional if name not in self.required))


@dataclass(frozen=True, slots=True)
class Header:
    """What the header says of the rows below it."""

    delimiter: str
    width: int
    """Number of fields."""
    findings: tuple[Finding, ...]
    names: tuple[str | None, ...] = ()
    """The agreed name of each field; None where it has none, or repeats an earlier one."""


@dataclass(frozen=True, slots=True)
class _Match:
    """An agreed name for a header cell, and in what the cell differs from it (empty: in nothing)."""

    name: str
    differs: str
    mapped: bool = False
    """The policy says that this sender's exports call it so."""


def read_header(raw: bytes, line: int, agreed: Agreed) -> Header:
    """The header in `raw` (without line end and byte order mark), which stands on physical line `line`."""
    text, known = _decoded(raw), _Names(agreed)
    readings = [(mark, cells, [known.match(cell) for cell in cells]) for mark, cells in _every_way(text)]
    delimiter, cells, matches = max(readings, key=lambda read: (sum(map(bool, read[2])), len(read[1])))
    findings: list[Finding] = []
    names: tuple[str | None, ...] = (None,) * len(cells)
    if delimiter != ",":
        findings.append(_other_delimiter(line, delimiter))
    if not agreed.names:
        findings.append(_nothing_agreed(line))
    elif not any(matches):
        findings.append(no_header(line, agreed.names))
    else:
        names = _named(matches)
        findings.extend(_columns(cells, matches, line, agreed))
    return Header(delimiter, len(cells), tuple(findings), names)


def _named(matches: Sequence[_Match | None]) -> tuple[str | None, ...]:
    names: list[str | None] = []
    for match in matches:
        names.append(match.name if match and match.name not in names else None)
    return tuple(names)


def no_header(line: int, agreed: Sequence[str]) -> Finding:
    """The refusal of a file whose first row names none of the agreed columns."""
    return Finding(
        line, None, None, None, "HEADER_MISSING",
        f"Line {line} names none of the agreed columns, so the file seems to have no header row.",
        f"Put the column names in the first row, and nothing above them: {', '.join(agreed)}.", "refuse",
    )  # fmt: skip


def _columns(cells: Sequence[str], matches: Sequence[_Match | None], line: int, agreed: Agreed) -> list[Finding]:
    findings: list[Finding] = []
    first: dict[str, int] = {}
    there = {match.name for match in matches if match}
    missing = [name for name in agreed.names if name not in there]
    for column, (text, match) in enumerate(zip(cells, matches, strict=True), 1):
        if match is None:
            near = _nearest(text, missing) if column <= _LOOKED_AT else None
            findings.append(_unknown(line, column, near) if text.strip() else _unnamed(line, column))
        elif match.name in first:
            findings.append(_duplicate(line, column, match.name, first[match.name]))
        else:
            first[match.name] = column
            if match.differs:
                findings.append(_spelling(line, column, match))
            elif match.mapped:
                findings.append(_mapped(line, column, match.name))
    findings.extend(_missing(line, name) for name in agreed.required if name not in first)
    findings.extend(_none_of(line, group) for group in agreed.one_of if not first.keys() & set(group))
    return findings


def _nearest(text: str, names: Sequence[str]) -> str | None:
    """The agreed name, missing so far, that a misspelt heading is probably meant for."""
    heading = "_".join(text.casefold().split())[:80]
    return next(iter(get_close_matches(heading, names, 1, 0.75)), None)


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


def _every_way(text: str) -> list[tuple[str, list[str]]]:
    """The header's cells by each delimiter."""
    return [(mark, next(csv.reader(io.StringIO(text, newline=""), delimiter=mark), [])) for mark in _DELIMITERS]


_READINGS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("spaces around it", str.strip),
    ("capitals", str.casefold),
    ("capitals and in spaces around it", lambda text: text.strip().casefold()),
    ("capitals, spaces or punctuation", lambda text: "".join(filter(str.isalnum, text.casefold()))),
)
"""In what a heading may differ from an agreed name, the least first."""


class _Names:
    """Finds the agreed name that a header cell is, or nearly is, or that the policy maps it to."""

    def __init__(self, agreed: Agreed) -> None:
        self._agreed = set(agreed.names)
        mapped = {_plain(heading): name for heading, name in agreed.aliases.items() if name in self._agreed}
        self._mapped = {heading: _Match(name, "", mapped=True) for heading, name in mapped.items() if heading}
        self._near = [
            (reading, {reading(name): _Match(name, differs) for name in reversed(agreed.names)})
            for differs, reading in _READINGS
        ]

    def match(self, cell: str) -> _Match | None:
        """The agreed name for this cell; None if there is none."""
        if cell in self._agreed:
            return _Match(cell, "")
        found = self._mapped.get(_plain(cell))
        for reading, names in self._near:
            found = found or names.get(reading(cell))
        return found


def _plain(heading: str) -> str:
    return " ".join(heading.casefold().split())


def _refusal(line: int, column: int, field: str | None, rule: str, sentence: str, remedy: str) -> Finding:
    return Finding(line, column, spreadsheet_cell(line, column), field, rule, sentence, remedy, "refuse")


def _place(line: int, column: int) -> str:
    return f"column {column} ({spreadsheet_cell(line, column)})"


def _missing(line: int, name: str) -> Finding:
    return Finding(
        line, None, None, name, "COLUMN_MISSING",
        f"The agreed column `{name}` is missing from the header on line {line}.",
        f"Add a column headed `{name}`, exactly so.", "refuse",
    )  # fmt: skip


def _none_of(line: int, group: Sequence[str]) -> Finding:
    names = " or ".join(f"`{name}`" for name in group)
    return Finding(
        line, None, None, group[0], "COLUMN_MISSING",
        f"The header on line {line} has none of the columns of which one is agreed to be there: {names}.",
        f"Add a column headed {names}, exactly so.", "refuse",
    )  # fmt: skip


def _mapped(line: int, column: int, name: str) -> Finding:
    return Finding(
        line, column, spreadsheet_cell(line, column), name, "COLUMN_MAPPED",
        f"Line {line}, {_place(line, column)} is read as `{name}`, as the agreement maps this sender's export.",
        "Nothing to do.", "info",
    )  # fmt: skip


def _unknown(line: int, column: int, near: str | None) -> Finding:
    meant = f" If it is meant to be `{near}`, write that." if near else ""
    return _refusal(
        line, column, None, "COLUMN_NOT_IN_AGREEMENT",
        f"Line {line}, {_place(line, column)} is not one of the agreed columns.",
        f"Remove the whole column, or correct its heading if it is an agreed one.{meant}",
    )  # fmt: skip


def _unnamed(line: int, column: int) -> Finding:
    return _refusal(
        line, column, None, "COLUMN_UNNAMED",
        f"Line {line}, {_place(line, column)} has no heading.",
        "Delete the whole column in the spreadsheet, even if it looks empty, and save again.",
    )  # fmt: skip


def _duplicate(line: int, column: int, name: str, first: int) -> Finding:
    return _refusal(
        line, column, name, "COLUMN_DUPLICATE",
        f"Line {line}, {_place(line, column)} repeats `{name}`, which is already {_place(line, first)}.",
        f"Keep one column headed `{name}`.",
    )  # fmt: skip


def _spelling(line: int, column: int, match: _Match) -> Finding:
    return _refusal(
        line, column, match.name, "COLUMN_SPELLING",
        f"Line {line}, {_place(line, column)} differs only in {match.differs}: write `{match.name}`.",
        f"Write `{match.name}`, exactly so, in cell {spreadsheet_cell(line, column)}.",
    )  # fmt: skip


def _nothing_agreed(line: int) -> Finding:
    return Finding(
        line, None, None, None, "COLUMNS_NOT_AGREED",
        "No columns are agreed for this exchange, so none can be accepted.",
        "Ask the administrator to list the agreed columns in the policy.", "refuse",
    )  # fmt: skip


def _other_delimiter(line: int, delimiter: str) -> Finding:
    return Finding(
        line, None, None, None, "DELIMITER",
        f"The fields are separated by {_DELIMITERS[delimiter]}, not commas; the file is read that way.",
        "Next time save it as 'CSV UTF-8 (Comma delimited)'.", "warn",
    )  # fmt: skip
