"""The record check in the stream: what it says, how it is split, and what it never repeats."""

from __future__ import annotations

import csv
import io
import random
import tracemalloc
from datetime import date
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.domain.agreement import ExchangeBasis
from server.domain.findings import Finding, spreadsheet_cell
from server.policy.load import load
from server.records import Agreed, CsvCheck, NoInspection, RecordSummary, check_for

ROOT = Path(__file__).resolve().parent.parent.parent
REQUIRED = ("uln", "surname", "dob")
OPTIONAL = ("note",)
AGREED = Agreed(REQUIRED, OPTIONAL)
GOOD = b"uln,surname,dob\n9000000016,Example,2008-03-14\n9000000024,Sample,2009-01-02\n"


def checked(data: bytes, *cuts: int) -> RecordSummary:
    """The summary of `data`, fed in pieces that end at `cuts`."""
    check = CsvCheck(AGREED)
    begin = 0
    for cut in (*sorted(cuts), len(data)):
        check.feed(data[begin:cut])
        begin = max(begin, cut)
    return check.finish()


def by_rule(summary: RecordSummary, rule: str) -> Finding:
    """The only finding of that rule."""
    found = [finding for finding in summary.findings if finding.rule == rule]
    assert len(found) == 1, [finding.rule for finding in summary.findings]
    return found[0]


def rules(summary: RecordSummary) -> list[str]:
    return [finding.rule for finding in summary.findings]


def test_a_good_file_is_counted_and_nothing_is_said() -> None:
    """Rows are counted without the header; a regular file has no finding."""
    assert checked(GOOD) == RecordSummary(2, (), False, "utf-8", ",", {})


def test_columns_may_stand_in_any_order_and_optional_ones_may_be_there() -> None:
    """Misordered is fine."""
    assert checked(b"note,dob,uln,surname\n1,2,3,4\n").findings == ()


def test_a_missing_column_is_named() -> None:
    """A missing column refuses the file, by its agreed name."""
    found = by_rule(checked(b"uln,surname\n1,2\n"), "COLUMN_MISSING")
    assert (found.line, found.field, found.severity) == (1, "dob", "refuse")
    assert "`dob`" in found.sentence


def test_an_unknown_column_is_told_by_its_place_and_never_by_its_heading() -> None:
    """A heading that was not agreed is data: only its place is said."""
    found = by_rule(checked(b"uln,surname,dob,religion\n1,2,3,4\n"), "COLUMN_NOT_IN_AGREEMENT")
    assert (found.line, found.column, found.cell, found.field) == (1, 4, "D1", None)
    assert "column 4 (D1)" in found.sentence
    assert "religion" not in repr(found)


def test_a_column_without_a_heading_is_refused_with_its_place() -> None:
    """An empty column at the right, as spreadsheets leave it, is told as such."""
    assert by_rule(checked(b"uln,surname,dob,\n1,2,3,\n"), "COLUMN_UNNAMED").cell == "D1"


def test_a_senders_own_headings_are_read_as_the_agreement_maps_them() -> None:
    """Whatever their capitals and spaces; an agreed name is itself, and a mapped one is said."""
    agreed = Agreed(REQUIRED, OPTIONAL, aliases={"Learner No": "uln", "Date of  birth": "dob", "surname": "note"})
    check = CsvCheck(agreed)
    check.feed(b"learner no ,surname,DATE OF BIRTH\n1,2,3\n")
    assert [(f.rule, f.field, f.severity) for f in check.finish().findings] == [
        ("COLUMN_MAPPED", "uln", "info"), ("COLUMN_MAPPED", "dob", "info"),
    ]  # fmt: skip


def test_a_misspelt_heading_is_told_what_it_may_be_meant_for() -> None:
    """The nearest agreed name that is missing; an odd word has none."""
    found = by_rule(checked(b"uln,sirname,dob\n1,2,3\n"), "COLUMN_NOT_IN_AGREEMENT")
    assert "`surname`" in found.remedy
    assert "sirname" not in repr(found)
    assert "meant" not in by_rule(checked(b"uln,surname,dob,religion\n"), "COLUMN_NOT_IN_AGREEMENT").remedy


def test_of_a_group_of_columns_one_must_be_there() -> None:
    """Any one of them."""
    for header, rules_found in ((b"uln,town", []), (b"uln,street", []), (b"uln,note", ["COLUMN_MISSING"])):
        check = CsvCheck(Agreed(("uln",), ("street", "town", "note"), one_of=(("street", "town"),)))
        check.feed(header + b"\n1,2\n")
        assert [f.rule for f in check.refusals] == rules_found


POLICY = load(ROOT / "policies" / "ccis-v2")


def refused(exchange: str, header: str) -> list[tuple[str, int | None]]:
    """Rule and column of what refuses a file with this header in an exchange of the shipped set."""
    check = check_for(POLICY, POLICY.exchange_by_id[exchange], "kent", "a.csv", date(2026, 12, 31))
    check.feed(f"{header}\r\n".encode())
    check.finish()
    return [(finding.rule, finding.column) for finding in check.refusals]


def test_r027_columns_beyond_appendix_1_are_refused() -> None:
    """Clause 3: only what appendix 1 outlines. A column that nobody agreed to refuses the file, by its place."""
    agreed = "given_name,family_name,dob,activity_code"
    assert refused("post16-destinations", agreed) == []
    assert refused("post16-destinations", f"{agreed},ethnicity") == [("COLUMN_NOT_IN_AGREEMENT", 5)]


def test_r028_each_exchange_has_its_own_columns() -> None:
    """Clause 3: data minimisation. A UPN is for rows A3 and A4 alone; September Guarantee has no e-mail either."""
    offers = "given_name,family_name,dob,sg_status"
    assert refused("september-guarantee", offers) == []
    for extra in ("upn", "email", "postcode"):
        assert refused("september-guarantee", f"{offers},{extra}") == [("COLUMN_NOT_IN_AGREEMENT", 5)]
    assert refused("post16-destinations", "given_name,family_name,dob,activity_code,upn") == [
        ("COLUMN_NOT_IN_AGREEMENT", 5)
    ]
    assert refused("year11-residents", "given_name,family_name,dob,upn") == []


def judged(header: str, row: str, *, gateways: tuple[str, ...] | None = None) -> list[tuple[str, str, int | None]]:
    """Rule, severity and column of what is said of one row of row A1, under other gateways if some are given."""
    exchange = POLICY.exchange_by_id["post16-destinations"]
    if gateways is not None:
        exchange = exchange.model_copy(update={"lawful_basis": ExchangeBasis(article6=("6(1)(e)",), gateways=gateways)})
    check = check_for(POLICY, exchange, "kent", "a.csv", date(2026, 12, 7))
    check.feed(f"given_name,family_name,dob,activity_code,{header}\r\nAster,Example,{row}\r\n".encode())
    return [(finding.rule, finding.severity, finding.column) for finding in check.finish().findings]


def test_r021_the_shipped_agreement_is_about_13_to_25_year_olds() -> None:
    """Clause 2, row A1: 12 is refused; 22 without the flag is said; 22 with it passes."""
    assert judged("lddd_flag", "2014-05-01,330,N") == [("AGE_OUTSIDE", "refuse", 3)]
    assert judged("lddd_flag", "2004-05-01,330,N") == [("AGE_NEEDS_LDD", "warn", 3)]
    assert judged("lddd_flag", "2004-05-01,330,Y") == []


def test_r035_is_judged_by_the_gateways_that_the_exchange_cites() -> None:
    """The DWP's data goes under section 17, which covers it; without that gateway the row is refused."""
    assert judged("source", "2009-05-01,330,dwp") == []
    assert judged("source", "2009-05-01,330,dwp", gateways=("esa2008-s10",)) == [("DWP_WITHOUT_GATEWAY", "refuse", 5)]
    assert judged("source", "2009-05-01,330,school", gateways=("esa2008-s10",)) == []


def test_r042_a_withheld_row_is_refused_at_the_cell_that_must_be_empty() -> None:
    """Of such a row the phone number may not be filled; the code, which others must have, is empty."""
    assert judged("withheld,phone_1", "2009-05-01,,Y,01632 960123") == [("WITHHELD", "refuse", 6)]
    assert judged("withheld,phone_1", "2009-05-01,,Y,") == []


def test_a_duplicate_column_is_told_with_both_places() -> None:
    """The second column of a name is refused."""
    found = by_rule(checked(b"uln,surname,uln,dob\n1,2,3,4\n"), "COLUMN_DUPLICATE")
    assert (found.column, found.cell, found.field) == (3, "C1", "uln")
    assert "column 1 (A1)" in found.sentence


@pytest.mark.parametrize(
    ("heading", "difference"),
    [
        (b"ULN", "capitals"),
        (b" uln ", "spaces around it"),
        (b" Uln", "capitals and in spaces around it"),
        (b"u-l-n", "capitals, spaces or punctuation"),
    ],
)
def test_a_nearly_right_heading_is_told_exactly(heading: bytes, difference: str) -> None:
    """Capitals and spaces are said exactly, and the column does not count as missing."""
    summary = checked(heading + b",surname,dob\n1,2,3\n")
    assert f"differs only in {difference}: write `uln`" in by_rule(summary, "COLUMN_SPELLING").sentence
    assert rules(summary) == ["COLUMN_SPELLING"]


def test_a_file_without_a_header_row_is_told_so() -> None:
    """A first row that names none of the agreed columns is taken for data, and is not repeated."""
    found = by_rule(checked(b"9000000016,Example,2008-03-14\n"), "HEADER_MISSING")
    assert found.severity == "refuse"
    assert "uln, surname, dob, note" in found.remedy


def test_a_check_without_agreed_columns_refuses_every_header() -> None:
    """Nothing agreed means nothing accepted."""
    check = CsvCheck(Agreed())
    check.feed(GOOD)
    assert [finding.rule for finding in check.refusals] == ["COLUMNS_NOT_AGREED"]


@pytest.mark.parametrize(("mark", "word"), [(b";", "semicolons"), (b"\t", "tabs")])
def test_another_delimiter_is_accepted_and_said(mark: bytes, word: str) -> None:
    """Semicolons and tabs are read, with a warning."""
    summary = checked(GOOD.replace(b",", mark))
    assert (summary.rows, summary.delimiter) == (2, mark.decode())
    found = by_rule(summary, "DELIMITER")
    assert found.severity == "warn"
    assert word in found.sentence


def test_a_byte_order_mark_is_accepted_and_said() -> None:
    """Excel's UTF-8 begins with a mark: information, no more."""
    summary = checked(b"\xef\xbb\xbf" + GOOD)
    assert (summary.rows, by_rule(summary, "BYTE_ORDER_MARK").severity) == (2, "info")


def test_windows_1252_is_accepted_and_said_with_the_line() -> None:
    """Bytes that are not UTF-8 make the file Windows-1252, with a warning."""
    summary = checked(GOOD.replace(b"Sample", b"Ren\xe9e"))
    found = by_rule(summary, "ENCODING_WINDOWS_1252")
    assert (summary.encoding, summary.rows, found.line, found.severity) == ("windows-1252", 2, 3, "warn")


def test_utf8_letters_stay_utf8_even_when_the_stream_is_cut_inside_one() -> None:
    """An incomplete last letter is a cut, not another encoding."""
    data = GOOD + "9000000032,Zoë".encode()[:-1]
    summary = checked(data)
    assert (summary.encoding, summary.ends_inside_record) == ("utf-8", True)


@pytest.mark.parametrize(
    ("start", "rule"),
    [
        (GOOD.decode().encode("utf-16"), "ENCODING_UTF16"),
        (GOOD.decode().encode("utf-16-le"), "ENCODING_UTF16"),
        (GOOD.decode().encode("utf-16-be"), "ENCODING_UTF16"),
        (b"PK\x03\x04\x14\x00\x06\x00", "NOT_CSV_SPREADSHEET"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "NOT_CSV_SPREADSHEET"),
        (b"%PDF-1.7\n", "NOT_CSV_PDF"),
        (b"\x1f\x8b\x08\x00", "NOT_CSV_COMPRESSED"),
        (b"-----BEGIN PGP MESSAGE-----\n", "NOT_CSV_ENCRYPTED"),
        (b"\x84\x5e\x03" + bytes(range(40, 60)), "NOT_CSV_ENCRYPTED"),
        (b"\x85\x02\x0c\x03" + bytes(range(40, 60)), "NOT_CSV_ENCRYPTED"),
        (GOOD[:40] + b"\0" + GOOD[40:], "NOT_CSV_BINARY"),
    ],
)
def test_a_file_that_is_not_text_is_refused_with_what_to_do(start: bytes, rule: str) -> None:
    """What it is and what to send instead; nothing is counted."""
    summary = checked(start)
    found = by_rule(summary, rule)
    assert (found.severity, summary.rows) == ("refuse", None)
    assert found.remedy


def test_a_spreadsheet_is_refused_at_its_first_bytes() -> None:
    """The refusal is known before the second write."""
    check = CsvCheck(Agreed(REQUIRED))
    check.feed(b"PK\x03\x04\x14\x00\x06\x00")
    assert [finding.rule for finding in check.refusals] == ["NOT_CSV_SPREADSHEET"]


def test_a_nul_byte_is_told_with_its_line() -> None:
    """A damaged text file says where."""
    assert by_rule(checked(GOOD + b"90000\0\n"), "NOT_CSV_BINARY").line == 4


@pytest.mark.parametrize(
    ("row", "fields"), [(b"1,2", "2 fields"), (b"1", "1 field"), (b"1,2,3,4,5", "5 fields"), (b'"1,2",3', "2 fields")]
)
def test_a_row_of_another_width_is_refused_with_its_line(row: bytes, fields: str) -> None:
    """Fewer or more fields than the header: line, both numbers, at once."""
    check = CsvCheck(AGREED)
    check.feed(GOOD + row + b"\n" + GOOD[16:])
    assert [finding.sentence for finding in check.refusals] == [f"Line 4 has {fields}, the header has 3."]
    assert check.finish().rows == 5


def test_a_row_too_short_does_not_make_up_for_one_too_long() -> None:
    """Two wrong rows whose delimiters add up are both found."""
    assert checked(GOOD + b"1,2\n1,2,3,4\n").counts == {"ROW_WIDTH": 2}


def test_the_first_200_findings_are_listed_and_all_are_counted() -> None:
    """A thousand broken rows make a readable list and a true number."""
    summary = checked(GOOD + b"1,2\n" * 1000)
    assert (len(summary.findings), summary.counts, summary.rows) == (200, {"ROW_WIDTH": 1000}, 1002)


def test_line_breaks_in_quotes_belong_to_the_record_and_count_as_lines() -> None:
    """The line is the physical one, the record is one row."""
    summary = checked(GOOD + b'1,"two\nlines, and\nthree",3\n1,2\n')
    assert (summary.rows, by_rule(summary, "ROW_WIDTH").line) == (4, 7)


@pytest.mark.parametrize("tail", [b"9000000032", b"9000000032,Oth", b"9000000032,Other,2008-03-14", b'9000000032,"Oth'])
def test_a_file_that_ends_inside_a_record_is_asked_about_and_not_refused(tail: bytes) -> None:
    """A cut cannot be told from a missing line end."""
    summary = checked(GOOD + tail)
    assert summary.ends_inside_record
    assert summary.rows == 3
    assert not [finding for finding in summary.findings if finding.severity == "refuse"]


def test_an_open_quote_at_the_end_is_told_with_its_line() -> None:
    """The person who is asked is told where the open record begins."""
    assert by_rule(checked(GOOD + b'9000000032,"Oth\ner'), "QUOTE_OPEN").line == 4


def test_a_short_last_record_with_a_line_end_is_refused_and_may_be_a_cut() -> None:
    """It is broken either way."""
    summary = checked(GOOD + b"9000000032,Other\n")
    assert (rules(summary), summary.ends_inside_record) == (["ROW_WIDTH"], True)


def test_a_cut_between_carriage_return_and_line_feed_is_seen() -> None:
    """One byte is missing, and that is enough to ask."""
    crlf = GOOD.replace(b"\n", b"\r\n")
    assert not checked(crlf).ends_inside_record
    assert checked(crlf[:-1]).ends_inside_record


def test_a_header_without_rows_is_said() -> None:
    """A header alone is whole, and the NIL file is named."""
    summary = checked(b"uln,surname,dob\n")
    assert (rules(summary), summary.rows, summary.ends_inside_record) == (["NO_ROWS"], 0, False)


def test_a_header_without_its_line_end_is_read_at_the_end() -> None:
    """A file that ends inside its header is judged by what is there, and asked about."""
    summary = checked(b"uln,surname,dob")
    assert (rules(summary), summary.rows, summary.ends_inside_record) == (["NO_ROWS"], 0, True)


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", b"\r\n\r\n"])
def test_an_empty_file_is_refused(data: bytes) -> None:
    """Nothing in it: the NIL file is named."""
    assert rules(checked(data)) == ["EMPTY"]


def test_a_field_over_the_limit_is_refused_once_with_its_cell() -> None:
    """An unclosed quote swallows the rest of the file: told at 100 kB, by row and cell."""
    check = CsvCheck(Agreed(REQUIRED))
    check.feed(GOOD + b'1,"' + b"x\n" * 60_000)
    (found,) = check.refusals
    assert (found.rule, found.line, found.column, found.cell) == ("FIELD_TOO_LONG", 4, 2, "B4")


def test_a_header_over_the_limit_is_refused() -> None:
    """No header is that long."""
    assert rules(checked(b"x" * 64_001)) == ["HEADER_TOO_LONG"]


@pytest.mark.parametrize("start", [b"1,2,", b'1,2,"'])
def test_memory_is_bounded_whatever_a_line_holds(start: bytes) -> None:
    """A single line without end, of one field or of ever more, quoted or not, leaves nothing behind."""
    for piece in (b"x" * 60_000, b"x" * 60_000 + b",,"):
        check = CsvCheck(Agreed(REQUIRED))
        check.feed(GOOD + start)
        tracemalloc.start()
        for _ in range(100):
            check.feed(piece)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 500_000


def test_no_inspection_counts_and_refuses_nothing() -> None:
    """Exchanges without inspection take any bytes."""
    check = NoInspection()
    check.feed(b"PK\x03\x04\0\0\0\0")
    assert check.refusals == ()
    assert check.finish() == RecordSummary(None, (), False, None, None, {})


def test_cells_are_named_as_spreadsheets_name_them() -> None:
    """A1, Z, AA, and the last column of a worksheet."""
    assert [spreadsheet_cell(3, n) for n in (1, 26, 27, 52, 702, 703, 16384)] == [
        "A3", "Z3", "AA3", "AZ3", "ZZ3", "AAA3", "XFD3",
    ]  # fmt: skip


NASTY = st.text(st.sampled_from('ab,;\t"\n\rxé \x1a'), max_size=8)
FIELDS = st.lists(NASTY, min_size=1, max_size=4)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A file of random rows under an agreed header, written by Python's csv module or by nobody in particular."""
    out = io.StringIO()
    quoting: Literal[0, 1] = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    writer = csv.writer(out, lineterminator=draw(ENDS), quoting=quoting)
    writer.writerow(REQUIRED)
    repeat = draw(st.sampled_from([1, 1, 40]))
    writer.writerows(draw(st.lists(FIELDS, max_size=8)) * repeat)
    text = out.getvalue() + draw(st.text(st.sampled_from('ab,"\n\r'), max_size=12))
    return text.encode(draw(st.sampled_from(["utf-8", "cp1252"])))


@given(files(), st.lists(st.integers(0, 400), max_size=12))
@settings(max_examples=300, deadline=None)
def test_any_split_gives_the_same_summary(data: bytes, cuts: list[int]) -> None:
    """Where the client's writes end is of no matter, be it every byte."""
    whole = checked(data)
    assert checked(data, *(cut for cut in cuts if cut < len(data))) == whole
    assert checked(data, *range(len(data))) == whole


@given(files())
@settings(max_examples=300, deadline=None)
def test_rows_and_widths_agree_with_pythons_csv_module(data: bytes) -> None:
    """Independent reading: as many records, and as many of another width, as csv.reader finds."""
    text = data.decode(checked(data).encoding or "utf-8")
    records = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    summary = checked(data)
    assert summary.rows == len(records) - 1
    wrong = sum(len(row) != 3 for row in records[1:])
    cut_short = summary.ends_inside_record and len(records) > 1 and len(records[-1]) < 3
    assert summary.counts.get("ROW_WIDTH", 0) in ({wrong, wrong - 1} if cut_short else {wrong})


@given(st.lists(st.sampled_from(["Quagmire", '"Quagmire"', "Quag\nmire", "Quagmire,,", "é", "\0"]), max_size=8))
@settings(max_examples=200, deadline=None)
def test_what_is_in_the_file_is_never_repeated(values: list[str]) -> None:
    """Planted words come back in no finding and no repr, as heading or as value."""
    head = ",".join((*REQUIRED, *values[:2]))
    check = CsvCheck(Agreed(REQUIRED))
    check.feed((head + "\n" + "\n".join(values)).encode("cp1252"))
    said = repr(check) + repr(check.finish()) + repr(check.refusals)
    assert "Quag" not in said
    assert "mire" not in said


def a_large_file(chance: random.Random, width: int) -> str:
    """Some hundred rows with quotes in few, many or all fields, and sometimes odd rows and stray quotes."""
    quoted, odd = chance.choice([0, 0.01, 0.5, 1]), chance.choice([0, 0.01, 0.1])
    letters = chance.choice(["abc", "abc,", "abc\n", 'ab"c', 'a",\r\n'])
    end = chance.choice(["\n", "\r\n", "\r"])
    rows = [",".join(REQUIRED[:width])]
    for _ in range(300):
        fields = []
        for _ in range(chance.randrange(width + 2) if chance.random() < odd else width):
            value = "".join(chance.choices(letters, k=chance.randrange(1, 9)))
            if chance.random() < quoted or set(value) & set(',"\r\n'):
                value = '"' + value.replace('"', '""') + '"'
            fields.append(value + chance.choice(['"', ' x"', '""', "\r"]) if chance.random() < odd else value)
        rows.append(",".join(fields))
    return end.join(rows) + end


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("seed", range(12))
def test_large_files_are_read_as_pythons_csv_module_reads_them_however_they_are_split(seed: int, width: int) -> None:
    """The quick ways and the walk give the same counts, for sparse, dense, stray and doubled quotes alike."""
    chance = random.Random(seed * 3 + width)
    text = a_large_file(chance, width)
    records = [row for row in csv.reader(io.StringIO(text, newline="")) if row][1:]
    data = text.encode()
    summaries = []
    for size in (len(data), 1000, 1):
        check = CsvCheck(Agreed(REQUIRED[:width]))
        for at in range(0, len(data), size):
            check.feed(data[at : at + size])
        summaries.append(check.finish())
    assert summaries[0] == summaries[1] == summaries[2]
    assert summaries[0].rows == len(records)
    if not summaries[0].ends_inside_record:
        assert summaries[0].counts.get("ROW_WIDTH", 0) == sum(len(row) != width for row in records)


def test_whole_rows_behind_a_short_one_end_the_file_whole() -> None:
    """Only the last record says whether the stream may have been cut."""
    assert not checked(GOOD + b"1,2\n" + GOOD[16:], len(GOOD) + 4).ends_inside_record


@pytest.mark.parametrize("data", [b"uln\n1\n\n2\n", b"uln\n\n1\n2\n", b'uln\n"1"\n\n"2"\n'])
def test_blank_lines_are_no_rows_of_a_single_column(data: bytes) -> None:
    """A blank line is skipped, as spreadsheets and the csv module do."""
    check = CsvCheck(Agreed(("uln",)))
    check.feed(data)
    assert (check.finish().rows, check.refusals) == (2, ())


def test_a_stray_quote_in_a_field_is_a_letter() -> None:
    """A quote opens only at the start of a field: inches in an address swallow nothing."""
    rows = b'1,3" pipe,3\n' + b"1,2,3\n" * 30 + b'1,2,"a\nb"\n'
    assert checked(GOOD + rows, len(GOOD)).rows == 34
