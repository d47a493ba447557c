"""Whole rows, column by column, out of the stream that `Rows` has looked at. In memory: one batch of rows, no more."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence

from server.records.row_rules import RowFault
from server.records.rows import RECORD_LIMIT, Rows
from server.records.table import Table

BATCH = 128 * 1024
"""Bytes of whole rows that are worth a look."""
_LOST = RECORD_LIMIT + 200_000
"""Bytes of one record behind which it is not kept: `Rows` has refused it, or will when its width is known."""

_STANDS = ("\x1d", "\x1e", "\x1f")
"""Stand for the delimiter, a carriage return and a line feed that a quoted field holds."""
_APART = "\0"
"""Stands between fields: no text that is read has one."""

Tell = Callable[[RowFault, int, int], None]
"""Told of a fault, the physical line on which its record begins, and the record's row in the spreadsheet."""


class Cells:
    """Keeps what is fed until rows are whole, and gives them to the table."""

    __slots__ = (
        "_after_cr", "_blank", "_buffer", "_counted", "_delimiter", "_line", "_lost", "_odd", "_row", "_rows", "_table",
        "_tell", "_width", "encoding",
    )  # fmt: skip

    def __init__(
        self, table: Table, rows: Rows, delimiter: str, width: int, header_line: int, after_cr: bool, tell: Tell
    ) -> None:
        """`rows` has looked at nothing yet and is given every block before `take` is."""
        self._table, self._rows, self._delimiter, self._width, self._tell = table, rows, delimiter, width, tell
        self.encoding = "utf-8"
        self._buffer = bytearray()
        self._after_cr = after_cr
        self._lost = False
        self._line, self._row = rows.line, header_line + 1
        self._counted = self._odd = self._blank = 0

    def take(self, block: bytes) -> None:
        """The bytes that `rows` has just taken."""
        if self._lost:
            block = self._behind_lost(block)
        self._buffer += block
        whole = len(self._buffer) - self._rows.pending
        if whole >= BATCH:
            self._check(whole)
        if self._rows.pending > _LOST and not self._lost:
            self._check(len(self._buffer) - self._rows.pending)
            self._buffer.clear()
            self._lost = True

    def flush(self) -> None:
        """Looks at every row that is whole: what follows is in another encoding, or nothing follows."""
        if not self._lost:
            self._check(len(self._buffer) - self._rows.pending)

    def finish(self) -> None:
        """The stream has ended: the last record too, as far as it goes."""
        self.flush()
        if self._lost or not self._buffer:
            return
        record = next(iter(self._records(self._buffer.decode(self.encoding, "replace"))), [])
        if not record or len(record) > self._width:
            return
        last = len(record) - 1
        padded = [[cell] for cell in record] + [[""]] * (self._width - len(record))
        for fault in self._table.faults(padded):
            if fault[1] <= last:
                self._tell(self._table.unfinished(fault) if fault[1] == last else fault, self._line, self._row)

    def _behind_lost(self, block: bytes) -> bytes:
        """What of the block follows the record that was not kept."""
        at, line, below = self._rows.first
        if at == len(block) and self._rows.pending:
            return b""
        self._row += below - self._counted - self._blank
        self._line, self._lost = line, False
        self._counted, self._blank, self._odd = below, 0, -1
        self._after_cr = block[at - 1 : at] == b"\r"
        return block[at:]

    def _check(self, whole: int) -> None:
        """Looks at the first `whole` bytes that are kept, which are whole records."""
        if not whole:
            return
        text = self._buffer[:whole].decode(self.encoding, "replace")
        del self._buffer[:whole]
        if self._after_cr:
            text = text.removeprefix("\n")
        self._after_cr = text.endswith("\r")
        rows = self._rows
        regular = (rows.odd, rows.blank) == (self._odd, self._blank)
        columns = self._split(text, rows.rows - self._counted) if regular else None
        if columns is not None:
            self._look(columns, text)
        elif text:
            records = self._records(text)
            good = [record for record in records if len(record) == self._width]
            self._look(list(map(list, zip(*good, strict=True))), text)
        self._row += rows.rows - self._counted + (rows.blank - self._blank)
        self._counted, self._odd, self._blank = rows.rows, rows.odd, rows.blank
        self._line = rows.next_line

    def _split(self, text: str, rows: int) -> Sequence[Sequence[str]] | None:
        """The columns of rows that are all regular: one split of the whole text. None: they want a closer look."""
        stood_in = False
        if '"' in text:
            bare = self._without_quotes(text)
            if bare is None:
                return None
            text, stood_in = bare
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        cells = text.replace("\n", self._delimiter).split(self._delimiter)
        if cells.pop() or len(cells) != rows * self._width:
            return None
        columns = [cells[at :: self._width] for at in range(self._width)]
        return [self._restored(column) for column in columns] if stood_in else columns

    def _without_quotes(self, text: str) -> tuple[str, bool] | None:
        """The text with its quotes gone and signs that stand for what they held; whether there are such signs.

        None where a quote is doubled, or opens or closes anywhere but at the edges of a field.
        """
        parts = text.split('"')
        edges = f"{self._delimiter}\r\n"
        if len(parts) % 2 == 0 or (parts[0] and parts[0][-1] not in edges) or parts[-1][:1] not in edges:
            return None
        if any(not part or part[0] not in edges or part[-1] not in edges for part in parts[2:-1:2]):
            return None
        inner = _APART.join(parts[1::2])
        held = inner
        for sign, stand in zip(edges, _STANDS, strict=True):
            held = held.replace(sign, stand)
        if held == inner:
            return "".join(parts), False
        if any(stand in text for stand in _STANDS):
            return None
        parts[1::2] = held.split(_APART)
        return "".join(parts), True

    def _restored(self, column: list[str]) -> list[str]:
        """A column with what the signs stand for."""
        text = _APART.join(column)
        for stand, sign in zip(_STANDS, f"{self._delimiter}\r\n", strict=True):
            if stand in text:
                text = text.replace(stand, sign)
        return text.split(_APART) if text else column

    def _records(self, text: str) -> list[list[str]]:
        """Records as Python's csv module reads them, blank lines as empty ones; none where a field is far too long."""
        try:
            return list(csv.reader(io.StringIO(text, newline=""), delimiter=self._delimiter))
        except csv.Error:
            return []

    def _look(self, columns: Sequence[Sequence[str]], text: str) -> None:
        if not columns:
            return
        faults = self._table.faults(columns)
        if not faults:
            return
        places = self._places(self._records(text))
        for fault in faults:
            self._tell(fault, *places[fault[0]])

    def _places(self, records: list[list[str]]) -> list[tuple[int, int]]:
        """Physical line and spreadsheet row of each record of the right width."""
        found, line = [], self._line
        for row, record in enumerate(records, self._row):
            if len(record) == self._width:
                found.append((line, row))
            line += 1 + sum(cell.count("\n") for cell in record)
        return found
