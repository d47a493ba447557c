"""Workbooks are read as CSV is, in a process of their own: same rules, spreadsheet cells, bounds; never on disk."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from datetime import date
from pathlib import Path

import pytest

from server.policy.load import load
from server.records import RecordSummary, check_for
from server.records.xlsx import LARGEST, EitherCheck, XlsxCheck
from tests.workbook import Formula, Sheet, sheet_xml, workbook

POLICY = load(Path(__file__).resolve().parent.parent.parent / "policies" / "ccis-v2")
HEADER = ["given_name", "family_name", "dob", "activity_code", "uln", "postcode"]
GOOD = ["Aster", "Example", date(2009, 3, 14), 330, 9276308686.0, "CM1 1QH"]
BAD = ["Bramble", "Sample", 39886, 999, 9276308687, "nowhere"]


def a_check(name: str = "kent.xlsx") -> XlsxCheck:
    """A check of Essex's file of that name."""
    check = check_for(POLICY, POLICY.exchange_by_id["post16-destinations"], "kent", name, date(2026, 12, 31))
    assert isinstance(check, XlsxCheck)
    return check


def checked(data: bytes, piece: int = 1 << 20) -> RecordSummary:
    check = a_check()
    for at in range(0, len(data), piece):
        check.feed(data[at : at + piece])
    return check.finish()


def rules(data: bytes) -> list[str]:
    return [finding.rule for finding in checked(data).findings]


def test_days_become_iso_dates_and_numbers_become_digits() -> None:
    """A date cell, a number as Excel stores it: nothing to say. The workbook is whole, so nobody is asked."""
    summary = checked(workbook([HEADER, GOOD, GOOD]))
    assert (summary.rows, summary.findings, summary.complete, summary.encoding) == (2, (), True, "xlsx")


def test_findings_name_the_spreadsheets_cells() -> None:
    """Row and cell as the spreadsheet shows them, blank rows and line breaks in cells notwithstanding."""
    rows: Sheet = [[], HEADER, GOOD, [], [*GOOD[:5], "two\nlines"], BAD]
    found = [(f.rule, f.cell, f.line) for f in checked(workbook(rows)).findings]
    assert found == [
        ("POSTCODE_FORMAT", "F5", 5), ("DATE_EXCEL_SERIAL", "C6", 6), ("CODE_UNKNOWN", "D6", 6),
        ("ULN_CHECKSUM", "E6", 6), ("POSTCODE_FORMAT", "F6", 6),
    ]  # fmt: skip


def test_a_sheet_that_begins_further_right_keeps_its_cells() -> None:
    """An empty first column is told as such."""
    assert [(f.rule, f.cell) for f in checked(workbook([[None, *HEADER], [None, *GOOD]])).findings] == [
        ("COLUMN_UNNAMED", "A1")
    ]


def test_a_column_that_was_not_agreed_is_refused_in_a_workbook_too() -> None:
    """R-027 holds for every format."""
    assert rules(workbook([[*HEADER, "religion"], [*GOOD, "x"]])) == ["COLUMN_NOT_IN_AGREEMENT"]


def test_how_the_stream_was_split_is_of_no_matter() -> None:
    """A workbook byte by byte, and in one piece."""
    data = workbook([HEADER, GOOD, BAD])
    assert checked(data, 1) == checked(data)


def test_a_formula_is_flagged() -> None:
    """Its last result is checked; the receiver's spreadsheet would run it."""
    summary = checked(workbook([HEADER, [*GOOD[:5], Formula("1+1", "CM1 1QH")]]))
    assert (summary.counts, summary.warnings) == ({"FORMULA": 1}, 1)
    assert [(f.cell, f.line, f.column) for f in summary.findings] == [("F2", 2, 6)]


def test_two_sheets_with_something_in_them_are_refused_and_empty_ones_are_not() -> None:
    """What stands on a hidden sheet could not be checked."""
    assert rules(workbook([HEADER, GOOD], [["hidden"]])) == ["XLSX_SHEETS"]
    assert rules(workbook([HEADER, GOOD], [], [])) == []
    assert rules(workbook([], [HEADER, GOOD])) == []
    assert rules(workbook([], [])) == ["XLSX_EMPTY"]


@pytest.mark.parametrize(
    "part",
    ["xl/vbaProject.bin", "xl/comments1.xml", "xl/pivotCache/pivotCacheRecords1.xml", "xl/embeddings/a.bin",
     "xl/externalLinks/externalLink1.xml", "xl/media/image1.png", "XL/Comments1.xml"],
)  # fmt: skip
def test_what_is_not_in_the_rows_is_refused(part: str) -> None:
    """Macros, comments, caches, pictures, embedded and linked files."""
    assert rules(workbook([HEADER, GOOD], parts={part: b"x"})) == ["XLSX_PARTS"]


def test_a_workbook_over_the_bound_is_refused_while_it_arrives() -> None:
    """Twenty megabytes are kept in memory, no more."""
    check = a_check()
    check.feed(b"PK\x03\x04")
    for _ in range(LARGEST // (1 << 20) + 1):
        check.feed(bytes(1 << 20))
    assert [f.rule for f in check.refusals] == ["XLSX_TOO_LARGE"]


def test_a_zip_bomb_is_refused_by_its_directory() -> None:
    """A part of a gigabyte is never unpacked."""
    assert rules(workbook([HEADER], parts={"xl/worksheets/sheet1.xml": bytes(400 * 1024 * 1024)})) == ["XLSX_TOO_LARGE"]


def test_a_zip_bomb_that_lies_in_its_directory_meets_the_readers_bound() -> None:
    """The reader has a bound of memory of its own, and its end is a refusal."""
    start, end = sheet_xml([HEADER, GOOD]).encode().split(b"</sheetData>")
    rows = b"".join(b'<row r="%d"><c r="A%d"><v>1</v></c></row>' % (n, n) for n in range(3, 200_000))
    data = workbook([], parts={"xl/worksheets/sheet1.xml": start + rows + b"</sheetData>" + end})
    size = len(start + rows + b"</sheetData>" + end)
    assert rules(data.replace(struct.pack("<I", size), struct.pack("<I", 1000))) != []


def test_a_cell_at_the_far_end_of_the_sheet_is_refused() -> None:
    """Two cells would span seventeen thousand million: the reader dies of it, the exchange does not."""
    sheet = sheet_xml([["a"]]).replace(
        "</sheetData>", '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
    )
    (found,) = checked(workbook([], parts={"xl/worksheets/sheet1.xml": sheet.encode()})).findings
    assert found.rule in {"XLSX_UNREADABLE", "XLSX_TOO_LARGE"}


@pytest.mark.parametrize("cut", [5, 300, 1000])
def test_a_workbook_that_was_cut_off_is_refused(cut: int) -> None:
    """Its directory stands at its end."""
    data = workbook([HEADER, GOOD])
    assert rules(data[:cut]) == ["XLSX_UNREADABLE"]


@pytest.mark.parametrize(
    "data", [b"given_name,family_name\r\n", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"PK\x05\x06....", b""]
)
def test_what_is_no_workbook_is_told_so(data: bytes) -> None:
    """A CSV under the wrong name, an old or a protected workbook, nothing at all."""
    assert rules(data) in (["XLSX_NOT"], ["XLSX_UNREADABLE"])


def test_other_archives_are_no_workbooks() -> None:
    """A zip of something else."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as book:
        book.writestr("a.txt", "x")
    assert rules(out.getvalue()) == ["XLSX_NOT"]


def test_the_name_or_else_the_first_bytes_tell_what_a_file_is() -> None:
    """kent.xlsx.filepart is a workbook; a temporary name without an ending is looked into."""
    a_check("kent.xlsx.filepart")
    for data, encoding in ((workbook([HEADER, GOOD]), "xlsx"), (b",".join([b"given_name"]) + b"\r\n", "utf-8")):
        check = check_for(
            POLICY, POLICY.exchange_by_id["post16-destinations"], "kent", "upload.tmp", date(2026, 12, 31)
        )
        assert isinstance(check, EitherCheck)
        for at in range(len(data)):
            check.feed(data[at : at + 1])
        assert check.finish().encoding == encoding


def test_nothing_of_a_workbook_is_written_to_disk_or_said(tmp_path: Path) -> None:
    """No temporary file is made, and no finding repeats a value."""
    before = {*Path("/tmp").iterdir()}
    summary = checked(workbook([HEADER, ["Quagmire9", "Q", "quagmire", "quagmire", "quagmire", "quagmire"]]))
    new = {path for path in {*Path("/tmp").iterdir()} - before if path.is_file() and path.stat().st_uid == os.getuid()}
    assert not [path for path in new if b"uagmire" in path.read_bytes()]
    assert "uagmire" not in repr(summary)
    assert summary.findings
