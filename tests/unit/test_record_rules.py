"""What holds between the fields of a row, in the stream: ages, codes, flags, withheld rows, the DWP's data, numbers."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Sequence
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.domain.agreement import CodeList, RecordSchema
from server.domain.findings import Finding
from server.records import Agreed, CsvCheck, RecordSummary
from server.records.identifiers import uln_ok
from server.records.learners import Learners
from server.records.row_rules import Terms
from server.records.table import Table

DUE = date(2026, 12, 31)
COLUMNS = {
    "given_name": "person_name", "family_name": "person_name", "dob": "date_of_birth", "activity_code": "code",
    "address": "address", "postcode": "postcode", "uln": "uln", "phone": "phone", "email": "email",
    "activity_start": "date", "establishment_name": "establishment", "urn": "urn", "lddd_flag": "flag",
    "withheld": "flag", "source": "source", "date_verified": "date", "residence_la": "la_code", "study_la": "la_code",
}  # fmt: skip
NAMES = tuple(COLUMNS)
REQUIRED = ("given_name", "family_name", "dob", "activity_code")
SCHEMA = RecordSchema.model_validate(
    {
        "id": "people",
        "columns": [
            {
                "name": name,
                "type": kind,
                "required": name in REQUIRED,
                "filled": name in REQUIRED,
                "codes": "activity" if kind == "code" else None,
            }
            for name, kind in COLUMNS.items()
        ],
    }
)
CODES = CodeList.model_validate(
    {
        "id": "activity",
        "title": "Activity",
        "source": "a test",
        "codes": [
            {"code": "110", "label": "school", "compulsory_age": True},
            {"code": "210", "label": "sixth form"},
            {"code": "280", "label": "special", "needs_flag": "lddd_flag"},
            {"code": "330", "label": "work"},
            {"code": "440", "label": "programme", "min_age": 18},
            {"code": "520", "label": "offer", "needs_filled": "email"},
            {"code": "530", "label": "year 12 only", "year_groups": [12]},
            {"code": "615", "label": "agreed start"},
        ],
    }
)
LISTS = {"activity": {code.code: code for code in CODES.codes}}
TERMS = Terms(DUE, youngest=16, oldest=24, codes=LISTS)
GOOD = {
    "given_name": "Aster", "family_name": "Example", "dob": "2009-03-14", "activity_code": "330",
    "address": "1 Nowhere Lane, Exampleton", "postcode": "CM1 1QH",
}  # fmt: skip


def a_file(*rows: dict[str, str], names: Sequence[str] = NAMES) -> bytes:
    """A CSV with these rows; what is not said is as in a good one."""
    out = io.StringIO()
    table = csv.DictWriter(out, names, restval="", extrasaction="ignore", lineterminator="\r\n")
    table.writeheader()
    table.writerows({**GOOD, **row} for row in rows)
    return out.getvalue().encode()


def checked(data: bytes, *cuts: int, terms: Terms = TERMS) -> RecordSummary:
    """The summary of `data`, fed in pieces that end at `cuts`."""
    check = CsvCheck(Agreed(SCHEMA.required, SCHEMA.names), lambda names: Table(terms, SCHEMA, names))
    begin = 0
    for cut in (*sorted(cuts), len(data)):
        check.feed(data[begin:cut])
        begin = max(begin, cut)
    return check.finish()


def said(*rows: dict[str, str], terms: Terms = TERMS) -> list[str]:
    """`RULE severity field` of every finding."""
    return [f"{f.rule} {f.severity} {f.field}" for f in checked(a_file(*rows), terms=terms).findings]


def test_a_good_row_has_nothing_to_say() -> None:
    """Optional fields may be empty."""
    summary = checked(a_file({}))
    assert (summary.rows, summary.findings, summary.warnings) == (1, (), 0)


def test_r021_age_is_checked_on_the_due_day() -> None:
    """Clause 2: 13 to 19, to 25 with learning difficulties: 12 is refused; 22 needs the flag, and passes with it."""
    assert said({"dob": "2014-01-01"}) == ["AGE_OUTSIDE refuse dob"]
    assert said({"dob": "2004-06-01"}) == ["AGE_NEEDS_LDD warn dob"]
    assert said({"dob": "2004-06-01", "lddd_flag": "Y"}) == []
    assert said({"dob": "2000-12-31", "lddd_flag": "Y"}) == ["AGE_OUTSIDE refuse dob"]
    assert said({"dob": "2007-01-01"}) == []


def test_r023_the_flag_is_the_ground_for_those_over_19_and_nothing_else_is() -> None:
    """No, empty, or a word that is not Y does not stand for the flag."""
    for flag in ("N", "", "maybe"):
        assert "AGE_NEEDS_LDD warn dob" in said({"dob": "2004-06-01", "lddd_flag": flag})


def test_the_birthday_counts_on_the_due_day_itself() -> None:
    """Sixteen from the birthday on; the day before is another age."""
    assert said({"dob": "2010-12-31"}) == []
    assert said({"dob": "2011-01-01"}) == ["AGE_NOT_IN_EXCHANGE warn dob"]


def test_year_groups_are_academic() -> None:
    """Born in March 2009 is year 13 in December 2026."""
    terms = Terms(DUE, year_groups=(12,), codes=LISTS)
    assert said({"dob": "2009-03-14"}, terms=terms) == ["YEAR_GROUP warn dob"]
    assert said({"dob": "2010-03-14"}, terms=terms) == []


def test_codes_have_ages_flags_and_year_groups() -> None:
    """Compulsory age, a least age, a flag, a year group, a field to fill: each is said at the code."""
    assert said({"activity_code": "110", "urn": "123456"}) == ["CODE_COMPULSORY_AGE warn activity_code"]
    assert said({"activity_code": "110", "urn": "123456", "dob": "2010-09-01"}) == []
    assert said({"activity_code": "440"}) == ["CODE_MIN_AGE warn activity_code"]
    assert said({"activity_code": "440", "dob": "2008-03-14"}) == []
    assert said({"activity_code": "280", "urn": "123456"}) == ["CODE_NEEDS_FLAG warn activity_code"]
    assert said({"activity_code": "280", "urn": "123456", "lddd_flag": "Y"}) == []
    assert said({"activity_code": "530"}) == ["CODE_YEAR_GROUP refuse activity_code"]
    assert said({"activity_code": "530", "dob": "2010-03-14"}) == []
    assert said({"activity_code": "520"}) == ["CODE_NEEDS_FIELD warn activity_code"]
    assert said({"activity_code": "520", "email": "aster@example.org"}) == []


def test_a_field_that_the_file_does_not_have_is_not_asked_for() -> None:
    """An offer's institution is wanted only where the columns are."""
    names = ("given_name", "family_name", "dob", "activity_code")
    assert checked(a_file({"activity_code": "520"}, names=names)).findings == ()


def test_the_establishment_is_named_in_one_form_at_least() -> None:
    """Where the code says that one is attended."""
    assert said({"activity_code": "210"}) == ["ESTABLISHMENT_EMPTY warn establishment_name"]
    assert said({"activity_code": "210", "urn": "123456"}) == []
    assert said({"activity_code": "210", "establishment_name": "Example Sixth Form"}) == []


def test_an_address_is_there() -> None:
    """A warning: a person may be known without one."""
    assert said({"address": ""}) == ["ADDRESS_EMPTY warn address"]


def test_a_start_after_the_due_day_is_for_agreed_starts() -> None:
    """615 and 616 begin later; others have begun. Nothing was verified before it began."""
    assert said({"activity_start": "2027-02-01"}) == ["START_IN_FUTURE warn activity_start"]
    assert said({"activity_start": "2027-02-01", "activity_code": "615"}) == []
    assert said({"activity_start": "2026-10-01", "date_verified": "2026-09-30"}) == [
        "VERIFIED_BEFORE_START warn date_verified"
    ]


def test_r035_the_dwps_data_goes_only_where_a_gateway_covers_it() -> None:
    """ESA 2008 section 15: a row from the DWP is refused unless the exchange cites a gateway that covers it."""
    for written in ("dwp", "DWP", " Dwp "):
        assert "DWP_WITHOUT_GATEWAY refuse source" in said({"source": written})
    assert said({"source": "dwp"}, terms=Terms(DUE, dwp=True, codes=LISTS)) == []
    assert said({"source": "school"}) == []


def test_r042_a_withheld_row_holds_name_address_and_date_of_birth_alone() -> None:
    """ESA 2008 section 14(4): any other filled cell of the row is refused, by its place; even the code stays empty."""
    bare = {"withheld": "Y", "activity_code": ""}
    assert said(bare) == []
    (found,) = checked(a_file({}, {**bare, "phone": "01632 960123"})).findings
    assert (found.rule, found.severity, found.line, found.column, found.cell) == ("WITHHELD", "refuse", 3, 8, "H3")
    assert said({"withheld": "Y"}) == ["WITHHELD refuse activity_code"]
    assert said({"withheld": "N", "activity_code": ""}) == ["CELL_EMPTY refuse activity_code"]


def test_a_withheld_flag_that_cannot_be_read_withholds() -> None:
    """What is not N or empty is taken for Y: a slip never lets a row go."""
    assert said({"withheld": "yes", "phone": "01632 960123", "activity_code": ""}) == [
        "WITHHELD refuse phone", "FLAG_UNKNOWN warn withheld",
    ]  # fmt: skip


def test_one_uln_for_two_people_is_refused_and_for_one_person_is_not() -> None:
    """Rule 907: told apart by names, whatever their case, and date of birth; spaces around the number hide nothing."""
    first, number = {"uln": "9000000016"}, "9000000016"
    assert said(first, {"uln": number, "family_name": "EXAMPLE"}) == []
    assert said(first, {"uln": number, "dob": "14/03/2009"}) == []
    assert said(first, {"uln": number, "family_name": "Sample"}) == ["ULN_DUPLICATE refuse uln"]
    assert said(first, {"uln": number, "dob": "2009-03-15"}) == ["ULN_DUPLICATE refuse uln"]
    assert "ULN_DUPLICATE refuse uln" in said(first, {"uln": f"{number} ", "given_name": "Ivy"})


def test_many_learners_are_told_apart_within_the_bound() -> None:
    """Two hundred thousand numbers grow the table several times and none is mistaken."""
    numbers = [f"{n}0" for n in range(100_000_000, 100_200_000)]
    learners = Learners()
    assert learners.others((number, hash(number)) for number in numbers) == []
    assert learners.others((number, hash(number)) for number in numbers) == []
    assert learners.others((number, hash(number) + 1) for number in numbers[:50]) == list(range(50))
    assert learners.used == len(numbers)


def test_what_the_receiver_wants_to_know_is_counted() -> None:
    """R-086, R-088, R-082: sources, records verified in the last twelve months, authorities of residence and study."""
    rows = [
        {"source": "school", "date_verified": "2026-06-01", "residence_la": "881"},
        {"source": "school", "date_verified": "2025-12-30", "residence_la": "886", "study_la": "887"},
        {"source": "survey", "date_verified": "2025-12-31", "residence_la": "881"},
    ]
    tallies = checked(a_file(*rows)).tallies
    assert tallies is not None
    assert (tallies.verified, dict(tallies.sources)) == (2, {"school": 2, "survey": 1})
    assert dict(tallies.authorities) == {("881", ""): 2, ("886", "887"): 1}


def test_lines_and_cells_are_those_of_the_file() -> None:
    """The physical line counts line breaks in quotes, the spreadsheet's row does not; blank lines count in both."""
    data = a_file({"address": "1 Nowhere Lane\nExampleton"}, {"activity_code": "999"})
    data = data.replace(b"\r\nAster", b"\r\n\r\nAster", 1)
    (found,) = checked(data).findings
    assert (found.rule, found.line, found.cell) == ("CODE_UNKNOWN", 5, "D4")


def test_a_row_of_another_width_is_not_judged_by_its_fields() -> None:
    """Its cells cannot be told; the rows around it are judged."""
    lines = a_file({}, {"activity_code": "999"}).splitlines(keepends=True)
    summary = checked(lines[0] + b"a,b\r\n" + lines[1] + lines[2])
    assert [(f.rule, f.line) for f in summary.findings] == [("ROW_WIDTH", 2), ("CODE_UNKNOWN", 4)]


def test_windows_1252_is_judged_as_what_it_is() -> None:
    """A letter of another encoding is a letter."""
    assert [f.rule for f in checked(a_file({"family_name": "Renée"}).decode().encode("cp1252")).findings] == [
        "ENCODING_WINDOWS_1252"
    ]


def test_a_cell_in_which_the_file_ends_is_asked_about_and_not_refused() -> None:
    """A cut cannot be told from a slip: the cells before it are judged, the last one is warned of."""
    names = (*REQUIRED, "source")
    whole = a_file({"source": "dwp"}, names=names).removesuffix(b"\r\n")
    assert [(f.rule, f.severity) for f in checked(whole).findings] == [("CELL_UNFINISHED", "warn")]
    cut = whole[: whole.index(b"-14")]
    assert [(f.rule, f.field) for f in checked(cut).findings] == [("CELL_UNFINISHED", "dob")]
    bad = a_file({"dob": "14.3.09", "source": "school"}, names=names).removesuffix(b"\r\n")
    assert [(f.rule, f.severity) for f in checked(bad).findings] == [("DATE_AMBIGUOUS", "refuse")]


def test_a_refusal_behind_two_hundred_warnings_still_refuses() -> None:
    """The list is full, the file is refused all the same."""
    rows = [{"postcode": "nowhere"}] * 300 + [{"activity_code": "999"}]
    data = a_file(*rows)
    check = CsvCheck(Agreed(SCHEMA.required, SCHEMA.names), lambda names: Table(TERMS, SCHEMA, names))
    check.feed(data)
    summary = check.finish()
    assert [f.rule for f in check.refusals] == ["CODE_UNKNOWN"]
    assert (len(summary.findings), summary.counts) == (200, {"CODE_UNKNOWN": 1, "POSTCODE_FORMAT": 300})
    assert summary.warnings == 300


def test_a_very_long_record_is_refused_and_those_behind_it_are_judged() -> None:
    """Bounded memory: a record of half a megabyte is not kept, and the count goes on."""
    row = ",".join(["Aster", "Example", "2009-03-14", "330", *["x" * 90_000] * 5, *[""] * (len(NAMES) - 9)])
    data = a_file({}) + f"{row}\r\n".encode() + a_file({"activity_code": "999"}).split(b"\r\n", 1)[1]
    summary = checked(data, *range(0, len(data), 50_000))
    assert summary.counts["RECORD_TOO_LONG"] == 1
    assert [f.line for f in summary.findings if f.rule == "CODE_UNKNOWN"] == [4]


# ---------------------------------------------------------------- any file

ULNS = [number for first in range(900_000_000, 900_000_060) for d in range(10) if uln_ok(number := f"{first}{d}")]
LETTERS = st.text(st.sampled_from("abcdefgh éłß’-"), max_size=8).map(lambda tail: f"A{tail}b")


@st.composite
def valid_rows(draw: st.DrawFn) -> list[dict[str, str]]:
    """Rows of sixteen to nineteen year olds as the field dictionary wants them."""
    rows = []
    for uln in draw(st.lists(st.sampled_from(ULNS), unique=True, max_size=12)):
        born = date(2007, 1, 1) + timedelta(days=draw(st.integers(0, 1400)))
        rows.append(
            {
                "given_name": draw(LETTERS),
                "family_name": draw(LETTERS),
                "dob": draw(st.sampled_from([born.isoformat(), born.strftime("%d/%m/%Y")])),
                "activity_code": draw(st.sampled_from(["330", "615"])),
                "address": draw(st.sampled_from(["1 Nowhere Lane", 'The "Old" Barn, Exampleton', "1 A\nB", "Zoë"])),
                "postcode": draw(st.sampled_from(["CM1 1QH", "W1A 1HQ", ""])),
                "uln": uln,
                "phone": draw(st.sampled_from(["01632 960123", "+447700900123", ""])),
                "email": draw(st.sampled_from(["aster@example.org", ""])),
                "activity_start": draw(st.sampled_from(["2026-09-01", "01/10/2026", ""])),
                "withheld": draw(st.sampled_from(["N", ""])),
                "source": draw(st.sampled_from(["school", ""])),
                "residence_la": draw(st.sampled_from(["881", "886", ""])),
            }
        )
    return rows


@given(valid_rows())
@settings(max_examples=150, deadline=None)
def test_any_valid_rows_pass(rows: list[dict[str, str]]) -> None:
    """Nothing is said of what is right."""
    summary = checked(a_file(*rows))
    assert [f for f in summary.findings if f.rule != "NO_ROWS"] == []
    assert summary.rows == len(rows)


ODD = st.sampled_from(
    ["", " ", "9000000016", "9000000024", "9.28E+09", "=1+1", "44629", "2009-01-01", "dwp", "Y", "330", "a\nb", 'a"b',
     "Zoë", "x,y", "CM1 1QH", "a\rb", "x\x1d,y"]
)  # fmt: skip


@st.composite
def odd_files(draw: st.DrawFn) -> bytes:
    """Files with everything in every place."""
    rows = draw(st.lists(st.dictionaries(st.sampled_from(NAMES), ODD, max_size=4), max_size=6))
    data = a_file(*(rows * draw(st.sampled_from([1, 1, 60]))))
    if draw(st.booleans()):
        data = data.replace(b"\r\n", draw(st.sampled_from([b"\n", b"\r", b"\r\n\r\n"])))
    data += draw(st.sampled_from([b"", b"a,b\r\n", b'Aster,"Exam', b"Aster,Example,2009-03-14,3", b"\n\n"]))
    return data.decode().encode(draw(st.sampled_from(["utf-8", "cp1252"])))


@given(odd_files(), st.lists(st.integers(0, 3000), max_size=8))
@settings(max_examples=150, deadline=None)
def test_any_split_gives_the_same_summary_of_fields(data: bytes, cuts: list[int]) -> None:
    """Where the client's writes end is of no matter to what is said of the fields."""
    whole = checked(data)
    assert checked(data, *(cut for cut in cuts if cut < len(data))) == whole
    if len(data) < 3000:
        assert checked(data, *range(len(data))) == whole


def a_large_file(chance: random.Random) -> tuple[bytes, list[int]]:
    """Some thousand rows with line breaks, quotes, blank lines and odd rows; the lines whose code is wrong."""
    end = chance.choice(["\n", "\r\n"])
    out, line, wrong = [",".join(NAMES) + end], 2, []
    for _ in range(6000):
        kind = chance.random()
        if kind < 0.01:
            out.append(end)
            line += 1
            continue
        if kind < 0.02:
            out.append(f"a,b{end}")
            line += 1
            continue
        address = chance.choice(
            ["1 Nowhere Lane", '"1 Nowhere Lane, Exampleton"', '"1 Nowhere\nLane"', '"The ""Barn"""']
        )
        code = "999" if chance.random() < 0.02 else "330"
        if code == "999":
            wrong.append(line)
        given = chance.choice(["Aster", '"Aster"', "Zoë"])
        rest = "," * (len(NAMES) - 5)
        out.append(f"{given},Example,2009-03-14,{code},{address}{rest}{end}")
        line += 1 + address.count("\n")
    return "".join(out).encode(chance.choice(["utf-8", "cp1252"])), wrong


@pytest.mark.parametrize("seed", range(6))
def test_large_files_are_judged_alike_however_they_are_split_and_lines_are_right(seed: int) -> None:
    """Batches, blocks and writes end anywhere; the lines are those that were counted when the file was made."""
    data, wrong = a_large_file(random.Random(seed))
    whole = checked(data)
    for size in (len(data) // 2, 60_000, 32_768, 977):
        assert checked(data, *range(size, len(data), size)) == whole
    assert [f.line for f in whole.findings if f.rule == "CODE_UNKNOWN"] == wrong[:200]
    assert whole.counts.get("CODE_UNKNOWN", 0) == len(wrong)


def words(finding: Finding) -> str:
    return f"{finding.sentence} {finding.remedy} {finding.field} {finding.cell}"


@given(st.lists(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(
    ["Quagmire7", "=Quagmire7", "Quagmire7 ", "7777777777", "1.7777E+09", "77777", "07.07.77", "quagmire7@", "Q77 7"]
), min_size=1), min_size=1, max_size=6))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_no_finding_ever_repeats_a_value(rows: list[dict[str, str]]) -> None:
    """Planted identifiers come back in no sentence, no remedy and no repr, wherever they stand."""
    check = CsvCheck(Agreed(SCHEMA.required, SCHEMA.names), lambda names: Table(TERMS, SCHEMA, names))
    check.feed(a_file(*rows))
    summary = check.finish()
    told = " ".join(map(words, (*summary.findings, *check.refusals))) + repr(check) + repr(summary)
    for planted in ("quagmire", "77777", "1.7777", "07.07", "q77 7"):
        assert planted not in told.casefold()


def test_the_list_of_columns_of_the_tests_is_complete() -> None:
    """A row builder that forgot a type would leave a rule untried."""
    assert {column.type for column in SCHEMA.columns} >= {"flag", "source", "la_code", "uln", "date"}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_quick_split_reads_as_the_csv_module_does(end: str) -> None:
    """With and without quotes the findings are the same."""
    rows = [{"activity_code": "999" if n % 7 == 0 else "330", "address": "1 Nowhere Lane"} for n in range(3000)]
    plain = a_file(*rows).replace(b"\r\n", end.encode())
    quoted = plain.replace(b"1 Nowhere Lane", b'"1 Nowhere Lane"')
    assert checked(plain).findings == checked(quoted).findings
    assert checked(plain).counts == checked(quoted).counts == {"CODE_UNKNOWN": 429}
