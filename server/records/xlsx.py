"""A workbook is checked as a CSV is: read in a process of its own, in memory alone, its one sheet row by row.

It is kept here while it streams to its seal, up to a bound, and read when its last byte has passed. What is not in its
rows (other sheets, comments, embedded or linked files, macros) could not be checked, so it is refused.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import threading
import zipfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from server.domain.findings import Finding
from server.records.collected import by_line
from server.records.csv_check import CsvCheck
from server.records.summary import Bytes, RecordSummary

LARGEST = 20 * 1024 * 1024
"""Bytes of a workbook."""
UNPACKED = 300 * 1024 * 1024
"""Bytes of all its parts, as its directory tells; what it does not tell meets the reader's bound of memory."""
PARTS, ROWS, COLUMNS = 500, 200_000, 200
MEMORY_MIB, SECONDS = 1536, 30
_READER = Path(__file__).with_name("xlsx_reader.py")
_PIECE = 64 * 1024
_MORE_THAN_ROWS = re.compile(
    r"xl/(?:vbaproject|pivot|externallinks|embeddings|activex|media|drawings|comments|threadedcomments|persons|"
    r"macrosheets|dialogsheets|chartsheets|querytables|model|connections|slicer).*|.*\.bin",
    re.IGNORECASE,
)
_HARMLESS = re.compile(r"xl/printersettings/[^/]+\.bin", re.IGNORECASE)
_one_at_a_time = threading.BoundedSemaphore(1)
"""However many workbooks arrive at once, one is read: the memory is that of one."""

_WORDS = {
    "XLSX_NOT": (
        "The file is not an .xlsx workbook (perhaps an old one, or one with a password).",
        "Save it as 'Excel Workbook (.xlsx)' without a password, or as CSV UTF-8.",
    ),
    "XLSX_UNREADABLE": (
        "The workbook cannot be read: it is damaged, cut off, or far too large when unpacked.",
        "Save it again and send it whole, or save it as CSV UTF-8.",
    ),
    "XLSX_TOO_LARGE": (
        f"The workbook is too large: at most {LARGEST // 1024**2} MiB, {ROWS:,} rows and {COLUMNS} columns.",
        "Save it as CSV UTF-8, which may be larger. Delete empty rows and columns that are formatted.",
    ),
    "XLSX_SHEETS": (
        "More than one sheet of the workbook has something in it, so it is not clear which one is meant.",
        "Keep one sheet, and delete the others, hidden ones too.",
    ),
    "XLSX_PARTS": (
        "The workbook holds more than rows: comments, pictures, pivot tables, linked or embedded files, or macros.",
        "Copy the rows as values into a new workbook, or save the sheet as CSV UTF-8.",
    ),
    "XLSX_EMPTY": (
        "The workbook has nothing in it.",
        "Export the records again; if there is nothing to send this period, send an empty file named NIL.",
    ),
}


@dataclass(frozen=True, slots=True)
class _Report:
    """What the reader said of a workbook."""

    error: str | None = None
    formulas: int = 0
    cells: tuple[str, ...] = ()
    """The first 200 cells with a formula."""

    @classmethod
    def of(cls, said: bytes) -> _Report:
        """From the reader's line of JSON."""
        try:
            told = json.loads(said.splitlines()[-1])
            return cls(told.get("error"), int(told.get("formulas", 0)), tuple(told.get("cells", ())))
        except (ValueError, IndexError, AttributeError, TypeError):
            return cls(error="XLSX_UNREADABLE")


class XlsxCheck:
    """Checks one stream of bytes as a workbook. Raises nothing; keeps the workbook until it was read."""

    __slots__ = ("_held", "_refusal", "_rows", "_summary")

    def __init__(self, rows: CsvCheck) -> None:
        """`rows` checks what the workbook's sheet holds."""
        self._rows = rows
        self._held = bytearray()
        self._refusal: Finding | None = None
        self._summary: RecordSummary | None = None

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """What refuses the file, as far as the bytes so far tell."""
        return (self._refusal,) if self._refusal else self._rows.refusals

    def feed(self, chunk: Bytes) -> None:
        """The next bytes, of any number and split anywhere."""
        if self._refusal is not None or self._summary is not None:
            return
        self._held += chunk
        if len(self._held) > LARGEST:
            self._refuse("XLSX_TOO_LARGE")
        elif len(self._held) >= 4 and not self._held.startswith(b"PK\x03\x04"):
            self._refuse("XLSX_NOT")

    def finish(self) -> RecordSummary:
        """The stream has ended: the workbook is read now. Asking again gives the same summary again."""
        if self._summary is None:
            report = self._read(bytes(self._held)) if self._refusal is None else _Report()
            self._held.clear()
            self._summary = self._summarised(report)
        return self._summary

    def _summarised(self, report: _Report) -> RecordSummary:
        if self._refusal is not None:
            return RecordSummary(None, (self._refusal,), False, None, None, {self._refusal.rule: 1})
        found = self._rows.finish()
        counts = Counter(found.counts) + Counter({"FORMULA": report.formulas})
        return replace(
            found,
            findings=by_line((*map(_formula, report.cells), *found.findings)),
            ends_inside_record=False,
            encoding="xlsx",
            delimiter=None,
            counts=dict(sorted(counts.items())),
            warnings=found.warnings + report.formulas,
            complete=True,
        )

    def _refuse(self, code: str) -> None:
        sentence, remedy = _WORDS[code]
        self._refusal = Finding(1, None, None, None, code, sentence, remedy, "refuse")
        self._held.clear()

    def _read(self, data: bytes) -> _Report:
        """Gives the rows to their check."""
        wrong = _directory(data)
        report = _Report(error=wrong)
        if wrong is None:
            with _one_at_a_time:
                report = self._rows_from_reader(data)
        if report.error is not None:
            self._refuse(report.error if report.error in _WORDS else "XLSX_UNREADABLE")
        return report

    def _rows_from_reader(self, data: bytes) -> _Report:
        """What the reader says when it has ended, however it did."""
        arguments = map(str, (ROWS, COLUMNS, MEMORY_MIB, SECONDS))
        with subprocess.Popen(
            [sys.executable, "-I", str(_READER), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={},
            cwd="/",
        ) as reader:
            assert reader.stdin is not None and reader.stdout is not None and reader.stderr is not None
            late = threading.Timer(SECONDS * 2, reader.kill)
            late.start()
            try:
                _give(reader.stdin, data)
                while piece := reader.stdout.read(_PIECE):
                    self._rows.feed(piece)
                said = reader.stderr.read(_PIECE)
                ended = reader.wait()
            finally:
                late.cancel()
        return _Report.of(said) if ended == 0 else _Report(error="XLSX_UNREADABLE")


class EitherCheck:
    """For a file under a temporary name: its first bytes tell whether it is a workbook or a CSV."""

    __slots__ = ("_check", "_rows", "_start")

    def __init__(self, rows: CsvCheck) -> None:
        self._rows = rows
        self._start = bytearray()
        self._check: CsvCheck | XlsxCheck | None = None

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """What refuses the file, as far as the bytes so far tell."""
        return self._check.refusals if self._check else ()

    def feed(self, chunk: Bytes) -> None:
        """The next bytes, of any number and split anywhere."""
        if self._check is not None:
            self._check.feed(chunk)
            return
        self._start += chunk
        if len(self._start) >= 4:
            self._decide()

    def finish(self) -> RecordSummary:
        """The stream has ended."""
        return (self._check or self._decide()).finish()

    def _decide(self) -> CsvCheck | XlsxCheck:
        workbook = self._start.startswith(b"PK\x03\x04")
        self._check = XlsxCheck(self._rows) if workbook else self._rows
        self._check.feed(bytes(self._start))
        self._start.clear()
        return self._check


def _give(pipe: IO[bytes], data: bytes) -> None:
    try:
        with pipe:
            pipe.write(data)
    except BrokenPipeError:
        return  # it ended early, which its exit status says


def _directory(data: bytes) -> str | None:
    """The code of what is wrong with the workbook's parts, as its directory lists them; None if nothing is."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as book:
            parts = book.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):  # the last: a feature of zip that zipfile lacks
        return "XLSX_UNREADABLE"
    names = [part.filename for part in parts]
    if len(parts) > PARTS or sum(part.file_size for part in parts) > UNPACKED:
        return "XLSX_TOO_LARGE"
    if any(part.flag_bits & 1 for part in parts) or len(set(names)) != len(names):
        return "XLSX_UNREADABLE"
    if any(_MORE_THAN_ROWS.fullmatch(name) and not _HARMLESS.fullmatch(name) for name in names):
        return "XLSX_PARTS"
    return None if "xl/workbook.xml" in names else "XLSX_NOT"


def _formula(cell: str) -> Finding:
    letters = cell.rstrip("0123456789")
    column, row = sum((ord(ch) - 64) * 26**at for at, ch in enumerate(reversed(letters))), int(cell[len(letters) :])
    return Finding(
        row, column, cell, None, "FORMULA",
        f"Line {row}, column {column} ({cell}): the cell holds a formula, which the receiver's spreadsheet would run.",
        "Copy the rows as values before you save; its last result was checked.", "warn",
    )  # fmt: skip
