"""A workbook's rows as CSV: run as a program of its own, with bounds, so that no workbook can harm the exchange.

`python -I xlsx_reader.py ROWS COLUMNS MIB SECONDS < workbook > rows.csv`, and on standard error one line of JSON:
{"error": CODE} or {"formulas": number, "cells": the first 200 of them}. It imports nothing of the exchange, opens no
file, runs no formula, and may write nothing but its two pipes. A line break in a cell is written as a carriage return,
so that a line of the CSV is a row of the sheet.
"""

from __future__ import annotations

import csv
import io
import json
import re
import resource
import sys
import zipfile
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import Any

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook

LISTED = 200
_SHEET = re.compile(r"xl/worksheets/[^/]+\.xml")
_FORMULA = re.compile(rb'<(?:\w+:)?c\b[^>]*?\br="([A-Z]{1,3}[0-9]{1,7})"[^>]*>\s*<(?:\w+:)?f\b')


def limit(mib: int, seconds: int) -> None:
    """Memory and processor time end where they are told to; no file grows, and no core is left behind."""
    size = mib * 1024 * 1024
    for what, most in (
        (resource.RLIMIT_AS, size),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def only_sheet(book: CalamineWorkbook) -> CalamineSheet | str:
    """The one sheet that has something in it, hidden or not; or the code of what is wrong."""
    sheets = [book.get_sheet_by_index(at) for at in range(len(book.sheet_names))]
    filled = [sheet for sheet in sheets if sheet.height]
    if not filled:
        return "XLSX_EMPTY"
    return filled[0] if len(filled) == 1 else "XLSX_SHEETS"


def text_of(value: object) -> str:
    """A cell as it would stand in a CSV: ISO dates, whole numbers without a point."""
    if isinstance(value, datetime):
        return value.date().isoformat() if not (value.hour or value.minute or value.second) else value.isoformat(" ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value).replace("\r\n", "\r").replace("\n", "\r")


def lines(rows: Iterable[list[Any]], left: int) -> Iterator[list[str]]:
    """The rows as text, with `left` empty columns before them; a row without anything is an empty line."""
    for row in rows:
        cells = [text_of(value) for value in row]
        yield [""] * left + cells if any(cells) else []


def formulas(data: bytes) -> list[str]:
    """The cells that hold a formula, of every sheet."""
    found: list[str] = []
    with zipfile.ZipFile(io.BytesIO(data)) as book:
        for name in book.namelist():
            if _SHEET.fullmatch(name):
                found += [cell.decode() for cell in _FORMULA.findall(book.read(name))]
    return found


def read(data: bytes, rows: int, columns: int) -> dict[str, object]:
    """Writes the rows to standard output; what is to be said of them."""
    try:
        sheet = only_sheet(CalamineWorkbook.from_filelike(io.BytesIO(data)))
        if isinstance(sheet, str):
            return {"error": sheet}
        if sheet.total_height > rows or sheet.total_width > columns:
            return {"error": "XLSX_TOO_LARGE"}
        left = sheet.start[1] if sheet.start else 0
        out = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", errors="replace", newline="", write_through=False)
        csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(lines(sheet.iter_rows(), left))
        out.flush()
        found = formulas(data)
    except (CalamineError, zipfile.BadZipFile, ValueError, KeyError, NotImplementedError, MemoryError):
        # NotImplementedError: a compression that zipfile lacks; MemoryError: this process's own bound
        return {"error": "XLSX_UNREADABLE"}
    return {"formulas": len(found), "cells": found[:LISTED]}


def main() -> None:
    """Reads standard input to its end, under the bounds of the command line."""
    rows, columns, mib, seconds = map(int, sys.argv[1:5])
    limit(mib, seconds)
    print(json.dumps(read(sys.stdin.buffer.read(), rows, columns)), file=sys.stderr)


if __name__ == "__main__":
    main()
