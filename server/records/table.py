"""Some whole rows against every rule of their columns: where what is wrong. Keeps no row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from server.domain.agreement import RecordSchema
from server.domain.findings import Finding, spreadsheet_cell
from server.records.fault import EMPTY, Fault
from server.records.fields import Field, field_for
from server.records.row_rules import Columns, RowFault, RowRules, Terms

_UNFINISHED = Fault(
    "CELL_UNFINISHED",
    "the file ends in this cell without a line end, and what is there breaks a rule.",
    "Check that the file is complete; if it is, correct the cell and end the row with a line end.",
    "warn",
)


class Table:
    """The rules for one file whose header has these names (None: a field that was not agreed)."""

    def __init__(self, terms: Terms, schema: RecordSchema, names: Sequence[str | None]) -> None:
        columns = [schema.column(name) if name else None for name in names]
        codes = [terms.codes.get(column.codes or "", {}) if column else {} for column in columns]
        self._fields: list[Field | None] = [
            field_for(column, known, terms.day) if column else None
            for column, known in zip(columns, codes, strict=True)
        ]
        self._names = names
        self._uln = next((at for at, column in enumerate(columns) if column and column.type == "uln"), None)
        self.rules = RowRules(terms, names, columns)

    def faults(self, columns: Columns) -> list[RowFault]:
        """What is wrong in these whole rows, by row and column."""
        found: list[RowFault] = []
        bad_ulns: Iterable[str] = ()
        for at, (field, values) in enumerate(zip(self._fields, columns, strict=True)):
            bad = field.faults(values) if field else {}
            if not bad:
                continue
            if at == self._uln:
                bad_ulns = bad
            found += [(row, at, bad[value]) for row, value in enumerate(values) if value in bad]
        if found:
            found = [each for each in found if not self._rightly_empty(columns, each)]
        found += self.rules.faults(columns, tuple(bad_ulns))
        return sorted(found, key=lambda each: (each[0], each[1], each[2].rule))

    def _rightly_empty(self, columns: Columns, fault: RowFault) -> bool:
        """Whether a cell is empty because its row is withheld."""
        row, at, what = fault
        return what.rule == EMPTY.rule and self.rules.withheld(columns, row, at)

    @staticmethod
    def unfinished(fault: RowFault) -> RowFault:
        """What is said instead of a fault in the cell in which the file ends: it may have been cut off there."""
        return fault[0], fault[1], _UNFINISHED

    def finding(self, fault: Fault, at: int, line: int, row: int) -> Finding:
        """The fault of field `at` (from 0) in the record that begins on physical `line`, the spreadsheet's `row`."""
        name, cell = self._names[at], spreadsheet_cell(row, at + 1)
        where = f"Line {line}, column {at + 1} ({cell})" + (f", `{name}`" if name else "")
        return Finding(line, at + 1, cell, name, fault.rule, f"{where}: {fault.says}", fault.remedy, fault.severity)
