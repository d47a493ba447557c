"""A record file is checked while it streams past: agreed columns, whole rows, readable text. It is never quoted."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Sequence

from server.domain.findings import Finding, Severity, spreadsheet_cell
from server.records import header as headers
from server.records.cells import Cells
from server.records.collected import Collected, by_line
from server.records.header import Agreed
from server.records.row_rules import RowFault
from server.records.rows import BLOCK, FIELD_LIMIT, RECORD_LIMIT, Rows
from server.records.signatures import LENGTH, binary, not_csv
from server.records.summary import Bytes, RecordSummary
from server.records.table import Table

_BOM = codecs.BOM_UTF8
_LINE_END = re.compile(rb"[\r\n]")

MakeTable = Callable[[Sequence[str | None]], Table]
"""The rules for the fields of a file whose header has these agreed names."""


class CsvCheck:
    """Checks one stream of bytes as CSV with the agreed columns, in any order. Raises nothing; keeps no row."""

    __slots__ = (
        "_agreed", "_cells", "_decoder", "_encoding", "_fields", "_head", "_header", "_header_line", "_make_table",
        "_refusals", "_rows", "_start", "_stopped", "_structural", "_summary", "_table",
    )  # fmt: skip

    def __init__(self, agreed: Agreed, table: MakeTable | None = None) -> None:
        """`table` makes the rules for the fields; None: only columns and rows are looked at."""
        self._agreed, self._make_table = agreed, table
        self._structural, self._fields = Collected(), Collected()
        self._refusals: tuple[Finding, ...] = ()
        self._start: bytearray | None = bytearray()
        self._head = bytearray()
        self._header: headers.Header | None = None
        self._header_line = 1
        self._rows: Rows | None = None
        self._table: Table | None = None
        self._cells: Cells | None = None
        self._decoder: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder("utf-8")()
        self._encoding: str | None = "utf-8"
        self._stopped = False
        self._summary: RecordSummary | None = None

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """What refuses the file, as far as the bytes so far tell: the first 200."""
        return self._refusals

    def feed(self, chunk: Bytes) -> None:
        """The next bytes, of any number and split anywhere."""
        if self._stopped or self._summary is not None:
            return
        if self._start is not None:
            chunk = self._past_start(chunk)
        if len(chunk) <= BLOCK:
            self._text(bytes(chunk))
            return
        view = memoryview(chunk).cast("B")
        for at in range(0, len(view), BLOCK):
            self._text(bytes(view[at : at + BLOCK]))

    def finish(self) -> RecordSummary:
        """The stream has ended. The summary is the same however the bytes were split; asking again gives it again."""
        if self._summary is None:
            inside = self._end()
            self._refusals = by_line((*self._structural.refusals, *self._fields.refusals))
            others = (*self._structural.others, *self._fields.others)
            self._summary = RecordSummary(
                rows=None if self._stopped else self._rows.rows if self._rows else 0,
                findings=by_line((*self._structural.refusals, *self._fields.refusals, *others)),
                ends_inside_record=inside,
                encoding=self._encoding,
                delimiter=self._header.delimiter if self._header else None,
                counts=dict(sorted((self._structural.counts + self._fields.counts).items())),
                warnings=self._structural.warnings + self._fields.warnings,
                tallies=self._table.rules.tallies if self._table and not self._stopped else None,
            )
        return self._summary

    def _end(self) -> bool:
        """Ends what is still open. True if the file may have been cut."""
        if self._start is not None and not self._stopped:
            self._text(self._past_start(b"", last=True))
        if self._stopped:
            return False
        if self._rows is None:
            return self._end_without_rows()
        inside = self._rows.finish()
        if self._cells is not None:
            self._cells.finish()
        if self._table is not None and self._table.rules.learners.full:
            self._find(_many_learners(self._header_line))
        if self._rows.in_quotes:
            self._find(_quote_open(self._rows.row_line))
        if not self._rows.rows and not self._refusals:
            self._find(_no_rows(self._header_line))
        return inside

    def _end_without_rows(self) -> bool:
        """The file ended before its header did: empty, or a header without a line end."""
        head = bytes(self._head).removeprefix(_BOM)
        if not head.strip(b"\r\n"):
            self._find(_empty())
            return False
        blank = len(head) - len(head.lstrip(b"\r\n"))
        found = _LINE_END.search(head, blank)
        self._header = self._read_header(head[blank : found.start() if found else None], head[:blank])
        if not self._refusals:
            self._find(_no_rows(self._header_line))
        return True

    def _past_start(self, chunk: Bytes, *, last: bool = False) -> bytes:
        """Holds back the first bytes until they tell what kind of file this is; then gives them with the rest."""
        start = self._start
        if start is None:
            return bytes(chunk)
        start += chunk
        if len(start) < LENGTH and not last:
            return b""
        self._start = None
        refusal = not_csv(bytes(start[:LENGTH]))
        if refusal is None:
            return bytes(start)
        if refusal.rule == "ENCODING_UTF16":
            self._encoding = "utf-16"
        else:
            self._encoding = None
        self._stop(refusal)
        return b""

    def _text(self, block: bytes) -> None:
        """One block of what should be text: NUL and the first bytes that are not UTF-8 are told with their line."""
        if self._stopped:
            return
        nul = block.find(b"\0")
        text = block if nul < 0 else block[:nul]
        wrong = self._not_utf8(text)
        if wrong is not None:
            self._structure(text[:wrong])
            self._encoding = "windows-1252"
            if self._cells is not None:
                self._cells.flush()
                self._cells.encoding = "cp1252"
            self._find(_not_utf8(self._line))
            text = text[wrong:]
        self._structure(text)
        if nul >= 0 and not self._stopped:
            self._encoding = None
            self._stop(binary(self._line))

    def _not_utf8(self, text: bytes) -> int | None:
        """Offset of the first byte that cannot be UTF-8 (0 if it came with an earlier block); None if all can be."""
        decoder = self._decoder
        if decoder is None:
            return None
        held = len(decoder.getstate()[0])
        if not held and text.isascii():
            return None
        try:
            decoder.decode(text)
        except UnicodeDecodeError as error:
            self._decoder = None
            return max(0, error.start - held)
        return None

    @property
    def _line(self) -> int:
        """Physical line that the next byte is on."""
        return self._rows.line if self._rows else _line_after(bytes(self._head))

    def _structure(self, text: bytes) -> None:
        if self._stopped or not text:
            return
        if self._rows is not None:
            self._rows.take(text)
            if self._cells is not None:
                self._cells.take(text)
            return
        self._head += text
        if len(self._head) > headers.LIMIT or _LINE_END.search(text):
            self._try_header()

    def _try_header(self) -> None:
        """Reads the header if it is whole by now; what stands behind it are rows."""
        head = bytes(self._head)
        begin = len(_BOM) if head.startswith(_BOM) else 0
        first = begin + len(head[begin:]) - len(head[begin:].lstrip(b"\r\n"))
        end = _header_end(head, first)
        if end is None:
            if len(head) > headers.LIMIT:
                self._stop(_header_too_long(_line_after(head[:first])))
            return
        self._header = self._read_header(head[first:end], head[begin:first])
        after_cr = head[end : end + 1] == b"\r"
        self._rows = Rows(
            self._header.delimiter, self._header.width, line=_line_after(head[: end + 1]), after_cr=after_cr,
            wrong_width=self._wrong_width, too_long=self._too_long,
        )  # fmt: skip
        if self._make_table is not None and any(self._header.names):
            self._table = self._make_table(self._header.names)
            self._cells = Cells(
                self._table, self._rows, self._header.delimiter, self._header.width, self._header_line, after_cr,
                self._field_fault,
            )  # fmt: skip
            self._cells.encoding = "utf-8" if self._encoding == "utf-8" else "cp1252"
        self._head.clear()
        rest = head[end + 1 :]
        for at in range(0, len(rest), BLOCK):
            self._structure(rest[at : at + BLOCK])

    def _read_header(self, raw: bytes, blank_lines: bytes) -> headers.Header:
        if self._head.startswith(_BOM):
            self._find(_byte_order_mark())
        self._header_line = _line_after(blank_lines)
        header = headers.read_header(raw, self._header_line, self._agreed)
        for finding in header.findings:
            self._find(finding)
        return header

    def _wrong_width(self, line: int, fields: int) -> None:
        self._find(_row_width(line, fields, self._header.width if self._header else 0))

    def _too_long(self, line: int, column: int | None, row: int) -> None:
        if column is None:
            self._find(_record_too_long(line))
        else:
            self._find(_field_too_long(line, column, self._header_line + row))

    def _field_fault(self, fault: RowFault, line: int, row: int) -> None:
        """One fault of a field; the sentence is made only while it is to be listed."""
        assert self._table is not None
        _, at, what = fault
        refuses = what.severity == "refuse"
        if not self._fields.wanted(refusal=refuses):
            self._fields.count(what.rule, warning=what.severity == "warn")
            return
        finding = self._table.finding(what, at, line, row)
        self._fields.add(finding)
        if refuses:
            self._refusals = (*self._refusals, finding)

    def _stop(self, refusal: Finding) -> None:
        """Nothing behind this can be read."""
        if self._cells is not None:
            self._cells.flush()
        self._stopped = True
        self._head.clear()
        self._find(refusal)

    def _find(self, finding: Finding) -> None:
        wanted = self._structural.wanted(refusal=finding.severity == "refuse")
        self._structural.add(finding)
        if finding.severity == "refuse" and wanted:
            self._refusals = (*self._refusals, finding)


def _header_end(head: bytes, first: int) -> int | None:
    """Offset of the line end that ends the header: the first outside quotes. None if it is not there, or too far."""
    quotes, at = 0, first
    for found in _LINE_END.finditer(head, first, headers.LIMIT + 1):
        quotes += head.count(b'"', at, found.start())
        at = found.start()
        if quotes % 2 == 0:
            return at
    return None


def _line_after(text: bytes) -> int:
    """Physical line on which the byte behind `text` stands, if `text` begins the file."""
    return 1 + text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n")


def _finding(severity: Severity, line: int, rule: str, sentence: str, remedy: str) -> Finding:
    return Finding(line, None, None, None, rule, sentence, remedy, severity)


def _row_width(line: int, fields: int, width: int) -> Finding:
    remedy = (
        "Put fields that hold the delimiter or a line break in double quotes, or export the file again."
        if fields > width
        else "Look for a line break inside a field or a missing field, or export the file again."
    )
    sentence = f"Line {line} has {_fields(fields)}, the header has {width}."
    return _finding("refuse", line, "ROW_WIDTH", sentence, remedy)


def _fields(number: int) -> str:
    return "1 field" if number == 1 else f"{number} fields"


def _field_too_long(line: int, column: int, row: int) -> Finding:
    cell = spreadsheet_cell(row, column)
    return Finding(
        line, column, cell, None, "FIELD_TOO_LONG",
        f"In the row that begins on line {line}, column {column} ({cell}) is longer than {FIELD_LIMIT // 1000} kB.",
        "Look in that row for a double quote that is opened and never closed.", "refuse",
    )  # fmt: skip


def _record_too_long(line: int) -> Finding:
    return _finding(
        "refuse", line, "RECORD_TOO_LONG",
        f"The row that begins on line {line} is longer than {RECORD_LIMIT // 1000} kB.",
        "Look in that row for a double quote that is opened and never closed.",
    )  # fmt: skip


def _header_too_long(line: int) -> Finding:
    return _finding(
        "refuse", line, "HEADER_TOO_LONG",
        f"The first row is longer than {headers.LIMIT // 1000} kB, so it is no header.",
        "Check that the file is a CSV with the column names in its first row, and that its quotes are closed.",
    )  # fmt: skip


def _quote_open(line: int) -> Finding:
    return _finding(
        "warn", line, "QUOTE_OPEN", f"The row that begins on line {line} opens a double quote that is never closed.",
        "Check that the file is complete; if it is, close the quote and send it again.",
    )  # fmt: skip


def _many_learners(line: int) -> Finding:
    return _finding(
        "info", line, "ULN_DUPLICATES_IN_PART",
        "The file has more ULNs than are compared with each other; those behind the first three million were not.",
        "Send it in parts if one ULN may stand for two people.",
    )  # fmt: skip


def _not_utf8(line: int) -> Finding:
    return _finding(
        "warn", line, "ENCODING_WINDOWS_1252",
        f"The file is not UTF-8 (first seen on line {line}); it is taken as Windows-1252.",
        "Next time save it as 'CSV UTF-8 (Comma delimited)', so that accents arrive as they are.",
    )  # fmt: skip


def _byte_order_mark() -> Finding:
    return _finding(
        "info",
        1,
        "BYTE_ORDER_MARK",
        "The file begins with a UTF-8 byte order mark, which is accepted.",
        "Nothing to do.",
    )


def _no_rows(line: int) -> Finding:
    return _finding(
        "warn", line, "NO_ROWS", "The file has a header and no rows.",
        "If there is nothing to send this period, send an empty file named NIL instead.",
    )  # fmt: skip


def _empty() -> Finding:
    return _finding(
        "refuse", 1, "EMPTY", "The file is empty.",
        "Export the records again; if there is nothing to send this period, send an empty file named NIL.",
    )  # fmt: skip
