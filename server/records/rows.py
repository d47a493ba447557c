"""Every record has as many fields as the header: exact on every row, quick on the usual ones, in bounded memory.

The quick test takes the quoted fields out of a block and deletes all bytes but delimiters and line ends. What is left
of whole, regular rows is one pattern repeated, and comparing it with that repetition is exact: a row with one field too
few does not make up for one with one too many. Where quotes are many, whole rows are matched one by one. What is odd is
walked from one structural byte to the next, by the rules of RFC 4180 as Python's csv module reads them: a quote opens
only at the start of a field. All ways give the same counts, so that it does not matter how the stream was split.
"""

from __future__ import annotations

import re
from collections.abc import Callable

BLOCK = 64 * 1024
"""Largest block in bytes for `Rows.take`; below FIELD_LIMIT, so that no field in a quick block is too long."""
FIELD_LIMIT = 100_000
"""Bytes a field may have."""
RECORD_LIMIT = 400_000
"""Bytes that the fields of a record may have together."""

_SPARSE = 20
"""With fewer than one quote in so many bytes, cutting the quoted fields out is quicker than matching whole rows."""
_WIDEST = 200
"""Fields in the widest row that a pattern is made for."""
_QUOTE, _LF, _CR = b'"\n\r'


# Where the next byte stands. CLOSED: right behind a quote in a quoted field, closed unless the next byte is one too.
_ROW_START, _FIELD_START, _PLAIN, _QUOTED, _CLOSED = range(5)


class Rows:
    """Counts the rows of a stream of bytes behind the header, and tells each one that is not as wide as the header."""

    __slots__ = (
        "_after_cr", "_delete", "_delimiter", "_end", "_fields", "_last_short", "_place", "_quoted_field", "_row",
        "_row_line", "_row_size", "_size", "_stop", "_told_long", "_width", "blank", "first", "line", "odd", "pending",
        "rows", "too_long", "wrong_width",
    )  # fmt: skip

    def __init__(
        self,
        delimiter: str,
        width: int,
        line: int,
        after_cr: bool,
        wrong_width: Callable[[int, int], None],
        too_long: Callable[[int, int | None, int], None],
    ) -> None:
        """Rows of `width` fields, the first on physical line `line`.

        `after_cr`: the header ended in a carriage return, so that a line feed still belongs to it.
        `wrong_width(line, fields)` is called when such a row ends, `too_long(line, column, rows below the header)`
        when a field passes FIELD_LIMIT, or (column None) all fields of a record pass RECORD_LIMIT.
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
        self._row: re.Pattern[bytes] | None = None
        # A quoted field: the lookbehind wants the start of the block, a delimiter or a line end before its first quote.
        self._quoted_field = re.compile(rb'"(?<![^' + special + rb']")[^"]*+(?:""[^"]*+)*+"')
        self._end = b"\n"
        self._after_cr = after_cr
        self._place: int = _ROW_START
        self.blank = 0
        """Blank lines."""
        self.odd = 0
        """Rows of another width."""
        self.pending = 0
        """Bytes of the record that is not at its end yet."""
        self.first = (0, line, 0)
        """Of the last block: where the first record in it begins, its line, and the rows and blank lines before it."""
        self._fields = 1
        self._size = 0
        self._row_size = 0
        self._row_line = line
        self._last_short = False
        self._told_long = False

    @property
    def in_quotes(self) -> bool:
        """Whether the bytes so far end within a quoted field."""
        return self._place == _QUOTED

    @property
    def row_line(self) -> int:
        """Physical line on which the present (or last walked) record begins."""
        return self._row_line

    @property
    def next_line(self) -> int:
        """Physical line on which the record begins that is not at its end yet."""
        return self._row_line if self.pending else self.line

    def take(self, block: bytes) -> None:
        """The next bytes, at most BLOCK of them, split anywhere."""
        self.pending += len(block)
        at = self._walk(block, 0, until_row=True)
        self.first = (at, self.line, self.rows + self.blank)
        if at == len(block):
            return
        rest = block[at:] if at else block
        quotes = rest.count(b'"')
        done = self._compare(rest, quotes) if quotes * _SPARSE < len(rest) else 0
        if not done and quotes and self._width <= _WIDEST:
            done = self._match(rest)
        self._walk(rest, done, until_row=False)

    def finish(self) -> bool:
        """Ends the last record. True if the stream may have been cut inside it."""
        if self._after_cr and self._end == b"\r\n":
            return True
        if self._place == _ROW_START:
            return self._last_short
        self.rows += 1
        if self._fields > self._width:
            self._wrong_width(self._row_line, self._fields)
        return True

    def _wrong_width(self, line: int, fields: int) -> None:
        self.odd += 1
        self.wrong_width(line, fields)

    def _compare(self, block: bytes, quotes: int) -> int:
        """Bytes from the block's start that are whole rows and are counted now; 0 if this needs a closer look."""
        mark = self._end[-1:]
        cut = _outside_quotes(block, mark, quotes) if quotes else block.rfind(mark) + 1
        if not cut:
            return 0
        whole = block[:cut]
        bare = self._quoted_field.sub(b"q", whole) if quotes else whole
        if not self._all_regular(bare):
            if quotes:
                return 0
            self._by_line(bare)
        if quotes:
            self.line += whole.count(b"\n") - bare.count(b"\n")
        self._after_cr = mark == b"\r"
        self.pending = len(block) - cut
        return cut

    def _match(self, block: bytes) -> int:
        """Counts row after row and walks the odd ones. Returns how far it came: to the end of the block."""
        if self._row is None:
            field = b'(?:"[^"]*+(?:""[^"]*+)*+"|[^"\r\n' + self._delimiter + b"]*+)"
            self._row = re.compile(self._delimiter.join([field] * self._width) + rb"\r?\n")
        at = 0
        while at < len(block):
            begin = at
            while (row := self._row.match(block, at)) and (self._width > 1 or block[at] not in b"\r\n"):
                at = row.end()
                self.rows += 1
            if at > begin:
                self.line += block.count(b"\n", begin, at)
                self._last_short = False
                self._end = b"\r\n" if block[at - 2] == _CR else b"\n"
                self.pending = len(block) - at
            at = self._walk(block, at, until_row=True, from_row=True)
        return at

    def _all_regular(self, bare: bytes) -> bool:
        """Counts the rows and says so, if all are of the right width and end as the last one did.

        A quote that is left, be it of an open field or a letter among letters, makes a row irregular.
        """
        if self._width == 1 and (bare.startswith((b"\r", b"\n")) or self._end * 2 in bare):
            return False
        row = self._delimiter * (self._width - 1) + self._end
        shape = bare.translate(None, self._delete)
        count = len(shape) // len(row)
        if shape != row * count:
            return False
        self.rows += count
        self.line += count
        self._last_short = False
        return True

    def _by_line(self, bare: bytes) -> None:
        """Counts rows without quotes where some are blank, end otherwise or have a wrong width."""
        widths = [line.count(self._delimiter) + 1 if line else 0 for line in bare.splitlines()]
        for line, width in enumerate(widths, self.line):
            if width == 0:
                self.blank += 1
                continue
            self.rows += 1
            self._last_short = width < self._width
            if width != self._width:
                self._wrong_width(line, width)
        self.line += len(widths)
        if bare.endswith(b"\n"):
            self._end = b"\r\n" if bare.endswith(b"\r\n") else b"\n"

    def _walk(self, block: bytes, at: int, *, until_row: bool, from_row: bool = False) -> int:
        """Reads on from `at`, to the end of the block or until a record begins. Returns where it stopped.

        `from_row`: a record begins at `at` and is to be read, up to the next one.
        """
        while at < len(block):
            if self._after_cr:
                self._after_cr = False
                self._end = b"\r\n" if block[at] == _LF else b"\r"
                at += block[at] == _LF
                self.pending = len(block) - at
            elif self._place == _ROW_START and until_row and not from_row:
                return at
            elif self._place == _QUOTED:
                at = self._walk_quoted(block, at)
            else:
                at = self._walk_plain(block, at)
                if self._place == _ROW_START:
                    self.pending = len(block) - at
            from_row = False
        return at

    def _walk_quoted(self, block: bytes, at: int) -> int:
        stop = block.find(_QUOTE, at)
        end = len(block) if stop < 0 else stop + 1
        self.line += block.count(b"\n", at, end)
        self._grow(end - at)
        if stop >= 0:
            self._place = _CLOSED
        return end

    def _walk_plain(self, block: bytes, at: int) -> int:
        if block[at] == _QUOTE and self._place != _PLAIN:
            self._begin_row()
            self._place = _QUOTED
            self._grow(1)
            return at + 1
        found = self._stop.search(block, at)
        stop = found.start() if found else len(block)
        if stop > at:
            self._begin_row()
            self._place = _PLAIN
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
        if self._place == _ROW_START:
            self._row_line, self._row_size = self.line, 0

    def _next_field(self) -> None:
        self._place = _FIELD_START
        self._fields += 1
        self._size = 0
        self._told_long = False

    def _end_row(self, byte: int) -> None:
        if self._place == _ROW_START:
            self.blank += 1
        else:
            self.rows += 1
            self._last_short = self._fields < self._width
            if self._fields != self._width:
                self._wrong_width(self._row_line, self._fields)
        self._next_field()
        self._fields = 1
        self._place = _ROW_START
        self.line += 1
        self._after_cr = byte == _CR
        if byte == _LF:
            self._end = b"\n"

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > FIELD_LIMIT and not self._told_long:
            self._told_long = True
            self.too_long(self._row_line, self._fields, self.rows + self.blank + 1)
        before, self._row_size = self._row_size, self._row_size + size
        if before <= RECORD_LIMIT < self._row_size:
            self.too_long(self._row_line, None, self.rows + self.blank + 1)


def _outside_quotes(block: bytes, mark: bytes, quotes: int) -> int:
    """Behind the last line end with an even number of quotes before it; 0 if there is none. A guess, to be verified."""
    stop = len(block)
    while True:
        at = block.rfind(mark, 0, stop)
        if at < 0:
            return 0
        quotes -= block.count(b'"', at, stop)
        if quotes % 2 == 0:
            return at + 1
        stop = at
