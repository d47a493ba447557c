"""The smallest .xlsx workbooks, made by hand: sheets of text, numbers, days and formulas, and parts that do harm."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from xml.sax.saxutils import escape

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PKG = "http://schemas.openxmlformats.org/package/2006"


@dataclass(frozen=True, slots=True)
class Formula:
    """A cell that a spreadsheet would compute."""

    text: str
    result: str = ""


Cell = str | int | float | date | Formula | None
Sheet = Sequence[Sequence[Cell]]


def letters(column: int) -> str:
    """A for 0, Z for 25; enough for tests."""
    return chr(ord("A") + column)


def _cell(value: Cell, at: str) -> str:
    if value is None:
        return ""
    if isinstance(value, Formula):
        return f'<c r="{at}" t="str"><f>{escape(value.text)}</f><v>{escape(value.result)}</v></c>'
    if isinstance(value, date):
        return f'<c r="{at}" s="1"><v>{(value - date(1899, 12, 30)).days}</v></c>'
    if isinstance(value, int | float):
        return f'<c r="{at}"><v>{value!r}</v></c>'
    return f'<c r="{at}" t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'


def sheet_xml(rows: Sheet) -> str:
    lines = []
    for number, row in enumerate(rows, 1):
        cells = "".join(_cell(value, f"{letters(at)}{number}") for at, value in enumerate(row))
        if cells:
            lines.append(f'<row r="{number}">{cells}</row>')
    return f'<worksheet xmlns="{_MAIN}"><sheetData>{"".join(lines)}</sheetData></worksheet>'


def workbook(*sheets: Sheet, parts: Mapping[str, bytes] | None = None) -> bytes:
    """A workbook with these sheets, the second hidden; `parts` are added, or take the place of its own."""
    hidden = ["", ' state="hidden"', ""]
    names = "".join(
        f'<sheet name="S{n}" sheetId="{n}" r:id="rId{n}"{hidden[n - 1]}/>' for n in range(1, len(sheets) + 1)
    )
    links = "".join(
        f'<Relationship Id="rId{n}" Type="{_REL}/worksheet" Target="worksheets/sheet{n}.xml"/>'
        for n in range(1, len(sheets) + 1)
    )
    styles = f'<Relationship Id="rId99" Type="{_REL}/styles" Target="styles.xml"/>'
    content = {
        "[Content_Types].xml": f'<Types xmlns="{_PKG}/content-types"/>',
        "_rels/.rels": f'<Relationships xmlns="{_PKG}/relationships"><Relationship Id="r" '
        f'Type="{_REL}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_REL}"><sheets>{names}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PKG}/relationships">{links}{styles}</Relationships>',
        "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><cellXfs count="2"><xf numFmtId="0"/>'
        '<xf numFmtId="14" applyNumberFormat="1"/></cellXfs></styleSheet>',
        **{f"xl/worksheets/sheet{n}.xml": sheet_xml(rows) for n, rows in enumerate(sheets, 1)},
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as book:
        for name, text in content.items():
            if not parts or name not in parts:
                book.writestr(name, text)
        for name, added in (parts or {}).items():
            book.writestr(name, added)
    return out.getvalue()
