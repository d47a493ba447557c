"""Every record has as many fields as the header: exact on every row, quick on the usual ones, in bounded memory.

The quick test deletes from a block all bytes but the structural ones (delimiter, line ends, quotes). What is left of
whole, regular rows is one pattern repeated, and comparing it with that repetition is exact: a row with one field too
few does not make up for one with one too many. A block that fails it is walked byte class by byte class, with
the rules of RFC 4180 as Python's csv module reads them: a quote opens only at the start of a field.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import IntEnum

BLOCK = 64 * 1024
"""Largest block in bytes for `Rows.take`; below FIELD_LIMIT, so that no field in a quick block is too long."""
FIELD_LIMIT = 100_000
"""Bytes a field may have."""

_QUOTE, _LF, _CR = b'"\n\r'


class _Place(IntEnum):
    ROW_START = 0
    FIELD_START = 1
    PLAIN = 2
    QUOTED = 3
    CLOSED = 4
    """Right behind a quote in a quoted field: closed, unless the next byte is a quote too."""


class Rows:
    """Counts the rows of a stream of bytes behind the header, and tells each one that is not as wide as the header."""

    __slots__ = (
        "_after_cr", "_blank", "_delete", "_delimiter", "_end", "_fields", "_last_short", "_opened", "_place",
        "_quoted_field", "_row_line", "_size", "_stop", "_told_long", "_width", "line", "rows", "too_long",
        "wrong_width",
    )  # fmt: skip

    def __init__(
        self,
        delimiter: str,
        width: int,
        line: int,
        after_cr: bool,
        wrong_width: Callable[[int, int], None],
        too_long: Callable[[int, int, int], None],
    ) -> None:
        """Rows of `width` fields, the first on physical line `line`.

        `after_cr`: the header ended in a carriage return, so that a line feed still belongs to it.
        `wrong_width(line, fields)` is called when such a row ends, `too_long(line, column, rows below the header)`
        when a field passes FIELD_LIMIT.
        """
        self.rows = 0
        self.line = line
        self.wrong_width = wrong_width
        self.too_long = too_long
        self._width = width
        self._delimiter = delimiter.encode()
        special = re.escape(self._delimiter) + rb"\r\n"
        self._delete = bytes(byte for byte in range(256) if byte not in self._delimiter + b'\r\n"')
        self._stop = re.compile(b"[" + special + b"]")
        # A quoted field: the lookbehind wants the start of the block, a delimiter or a line end before its first quote.
        self._quoted_field = re.compile(rb'"(?<![^' + special + rb']")[^"]*+(?:""[^"]*+)*+"')
        self._opened = re.compile(rb'"(?<![^' + special + rb']")')
        self._end = b"\n"
        self._after_cr = after_cr
        self._place = _Place.ROW_START
        self._blank = 0
        self._fields = 1
        self._size = 0
        self._row_line = line
        self._last_short = False
        self._told_long = False

    @property
    def in_quotes(self) -> bool:
        """Whether the bytes so far end within a quoted field."""
        return self._place is _Place.QUOTED

    @property
    def row_line(self) -> int:
        """Physical line on which the present (or last walked) record begins."""
        return self._row_line

    def take(self, block: bytes) -> None:
        """The next bytes, at most BLOCK of them, split anywhere."""
        at = self._walk(block, 0, until_row=True)
        if at == len(block):
            return
        rest = block[at:] if at else block
        self._walk(rest, self._quick(rest), until_row=False)

    def finish(self) -> bool:
        """Ends the last record. True if the stream may have been cut inside it."""
        if self._after_cr and self._end == b"\r\n":
            return True
        if self._place is _Place.ROW_START:
            return self._last_short
        self.rows += 1
        if self._fields > self._width:
            self.wrong_width(self._row_line, self._fields)
        return True

    def _quick(self, block: bytes) -> int:
        """Bytes from the block's start that are whole rows of the right width, as far as a comparison tells."""
        mark = self._end[-1:]
        quoted = b'"' in block
        cut = _outside_quotes(block, mark) if quoted else block.rfind(mark) + 1
        if not cut:
            return 0
        whole = block[:cut]
        found = self._regular_rows(whole, quoted)
        if not found:
            return 0
        self.rows += found
        self.line += whole.count(b"\n") if quoted else found
        if quoted and mark == b"\r":
            self.line += found
        self._after_cr = mark == b"\r"
        self._last_short = False
        return cut

    def _regular_rows(self, whole: bytes, quoted: bool) -> int:
        """Number of rows, if all of them are regular and none is blank; else 0."""
        if self._width == 1 and (quoted or whole.startswith((b"\r", b"\n")) or self._end * 2 in whole):
            return 0
        shape = whole.translate(None, self._delete)
        if quoted:
            # An even number of quotes with nothing structural between them leaves no field open, however it is read.
            shape = shape.replace(b'""', b"")
            if b'"' in shape:
                shape = self._quoted_field.sub(b"", whole)
                if self._opened.search(shape):
                    return 0
                shape = shape.translate(None, self._delete + b'"')
        row = self._delimiter * (self._width - 1) + self._end
        count = len(shape) // len(row)
        return count if shape == row * count else 0

    def _walk(self, block: bytes, at: int, *, until_row: bool) -> int:
        """Reads on from `at`, to the end of the block or until a record begins. Returns where it stopped."""
        while at < len(block):
            if self._after_cr:
                self._after_cr = False
                self._end = b"\r\n" if block[at] == _LF else b"\r"
                at += block[at] == _LF
            elif self._place is _Place.ROW_START and until_row:
                return at
            elif self._place is _Place.QUOTED:
                at = self._walk_quoted(block, at)
            else:
                at = self._walk_plain(block, at)
        return at

    def _walk_quoted(self, block: bytes, at: int) -> int:
        stop = block.find(_QUOTE, at)
        end = len(block) if stop < 0 else stop + 1
        self.line += block.count(b"\n", at, end)
        self._grow(end - at)
        if stop >= 0:
            self._place = _Place.CLOSED
        return end

    def _walk_plain(self, block: bytes, at: int) -> int:
        if block[at] == _QUOTE and self._place is not _Place.PLAIN:
            self._begin_row()
            self._place = _Place.QUOTED
            self._grow(1)
            return at + 1
        found = self._stop.search(block, at)
        stop = found.start() if found else len(block)
        if stop > at:
            self._begin_row()
            self._place = _Place.PLAIN
            self._grow(stop - at)
        if not found:
            return stop
        if block[stop] in (_LF, _CR):
            self._end_row(block[stop])
        else:
            self._begin_row()
            self._next_field()
        return stop + 1

    def _begin_row(self) -> None:
        if self._place is _Place.ROW_START:
            self._row_line = self.line

    def _next_field(self) -> None:
        self._place = _Place.FIELD_START
        self._fields += 1
        self._size = 0
        self._told_long = False

    def _end_row(self, byte: int) -> None:
        if self._place is _Place.ROW_START:
            self._blank += 1
        else:
            self.rows += 1
            self._last_short = self._fields < self._width
            if self._fields != self._width:
                self.wrong_width(self._row_line, self._fields)
        self._next_field()
        self._fields = 1
        self._place = _Place.ROW_START
        self.line += 1
        self._after_cr = byte == _CR
        if byte == _LF:
            self._end = b"\n"

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > FIELD_LIMIT and not self._told_long:
            self._told_long = True
            self.too_long(self._row_line, self._fields, self.rows + self._blank + 1)


def _outside_quotes(block: bytes, mark: bytes) -> int:
    """Behind the last line end with an even number of quotes before it; 0 if there is none. A guess, to be verified."""
    quotes = block.count(b'"')
    stop = len(block)
    while True:
        at = block.rfind(mark, 0, stop)
        if at < 0:
            return 0
        quotes -= block.count(b'"', at, stop)
        if quotes % 2 == 0:
            return at + 1
        stop = at
