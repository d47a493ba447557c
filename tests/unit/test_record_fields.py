"""The field dictionary (DOMAIN 2.4): every vector, for each type of column, value by value."""

from __future__ import annotations

from datetime import date
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.agreement import Column
from server.domain.agreement.exchanges import ColumnType
from server.records.dates import age_on, compulsory_until, year_group_on
from server.records.fields import Field, field_for
from server.records.identifiers import UPN_LETTERS, uln_ok, ulns_ok, upn_letter, upn_ok

DUE = date(2026, 12, 31)


def a_field(kind: ColumnType, codes: tuple[str, ...] = (), *, name: str = "some_column", **told: object) -> Field:
    """A field of that type, due at the end of 2026."""
    return field_for(Column.model_validate({"name": name, "type": kind, **told}), codes, DUE)


def said(field: Field, value: str) -> str:
    """`RULE severity` of the value, or nothing. A whole column says the same as the value alone."""
    fault = field.fault(value)
    assert field.faults([value, value]) == ({value: fault} if fault else {})
    return f"{fault.rule} {fault.severity}" if fault else ""


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("person_name", "Aster", ""),
        ("person_name", "Zoë O’Néill-Smith Jr.", ""),
        ("person_name", "D'Arcy", ""),
        ("person_name", "Łucja", ""),
        ("person_name", "Ζωή", ""),
        ("person_name", "नीलम", ""),
        ("person_name", "X" * 100, ""),
        ("person_name", "X" * 101, "TOO_LONG warn"),
        ("person_name", "Person 1", "NAME_DIGITS warn"),
        ("person_name", "Zoe\u0308", "NAME_NOT_NFC warn"),
        ("person_name", "Smith*", "NAME_CHARACTERS warn"),
        ("person_name", "Smi\u200bth", "CONTROL_CHARACTER warn"),
        ("person_name", "=cmd", "FORMULA warn"),
        ("person_name", "+Smith", "FORMULA warn"),
        ("person_name", "-Smith", "FORMULA warn"),
        ("person_name", "@Smith", "FORMULA warn"),
        ("person_name", "\tSmith", "FORMULA warn"),
        ("address", "1 Nowhere Lane, Exampleton", ""),
        ("address", "1 Nowhere Lane\nExampleton\nES1 1ES", ""),
        ("address", "1 " + "x" * 99, "TOO_LONG warn"),
        ("address", "=1+1", "FORMULA warn"),
        ("address", "1 Nowhere\x0bLane", "CONTROL_CHARACTER warn"),
        ("postcode", "CM1 1QH", ""),
        ("postcode", "M1 1AA", ""),
        ("postcode", "B33 8TH", ""),
        ("postcode", "CR2 6XH", ""),
        ("postcode", "DN55 1PT", ""),
        ("postcode", "W1A 1HQ", ""),
        ("postcode", "EC1A 1BB", ""),
        ("postcode", "cm11qh", "POSTCODE_SPACING warn"),
        ("postcode", "CM1  1QH", "POSTCODE_SPACING warn"),
        ("postcode", "ZZ99 3VZ", "POSTCODE_PSEUDO warn"),
        ("postcode", "zz993vz", "POSTCODE_PSEUDO warn"),
        ("postcode", "CM1", "POSTCODE_FORMAT warn"),
        ("postcode", "12345", "POSTCODE_FORMAT warn"),
        ("uln", "9276308686", ""),
        ("uln", "9000000016", ""),
        ("uln", "9000000024", ""),
        ("uln", "9000000032", ""),
        ("uln", "1234567899", ""),
        ("uln", "", ""),
        ("uln", "9276308687", "ULN_CHECKSUM warn"),
        ("uln", "9999999999", "ULN_DEFAULT refuse"),
        ("uln", "9.28E+09", "SCIENTIFIC_NOTATION refuse"),
        ("uln", "9.27630868E9", "SCIENTIFIC_NOTATION refuse"),
        ("uln", "0123456789", "ULN_FORMAT warn"),
        ("uln", "927630868", "ULN_FORMAT warn"),
        ("uln", "9276308686.0", "ULN_FORMAT warn"),
        ("uln", "٩٢٧٦٣٠٨٦٨٦", "ULN_FORMAT warn"),
        ("uln", " 9276308686", "SPACES_AROUND warn"),
        ("uln", " ", "SPACES_AROUND warn"),
        ("uln", "=9276308686", "FORMULA warn"),
        ("upn", "B801200005001", ""),
        ("upn", "P207000016049", ""),
        ("upn", "A801200005001", "UPN_CHECK_LETTER warn"),
        ("upn", "Q207000016049", "UPN_CHECK_LETTER warn"),
        ("upn", "X80120000A001", "UPN_FORMAT warn"),
        ("upn", "I929999914032", "UPN_FORMAT warn"),
        ("upn", "B8012000050010", "UPN_FORMAT warn"),
        ("date_of_birth", "2009-03-14", ""),
        ("date_of_birth", "14/03/2009", ""),
        ("date_of_birth", "44629", "DATE_EXCEL_SERIAL refuse"),
        ("date_of_birth", "2022-01-27 00:00:00", "DATE_WITH_TIME refuse"),
        ("date_of_birth", "27/01/2009 00:00", "DATE_WITH_TIME refuse"),
        ("date_of_birth", "2009-01-27T00:00:00Z", "DATE_WITH_TIME refuse"),
        ("date_of_birth", "03/04/09", "DATE_AMBIGUOUS refuse"),
        ("date_of_birth", "3/4/2009", "DATE_AMBIGUOUS refuse"),
        ("date_of_birth", "03-04-2009", "DATE_AMBIGUOUS refuse"),
        ("date_of_birth", "12/31/2009", "DATE_MONTH_FIRST refuse"),
        ("date_of_birth", "2009-02-30", "DATE_IMPOSSIBLE refuse"),
        ("date_of_birth", "31/02/2009", "DATE_IMPOSSIBLE refuse"),
        ("date_of_birth", "14 March 2009", "DATE_FORMAT refuse"),
        ("date_of_birth", "########", "DATE_MANGLED refuse"),
        ("date_of_birth", "2027-01-01", "DATE_FUTURE refuse"),
        ("date", "2026-09-01", ""),
        ("date", "2027-12-31", ""),
        ("date", "2028-01-01", "START_TOO_LATE warn"),
        ("date", "44629", "DATE_EXCEL_SERIAL warn"),
        ("phone", "01632 960123", ""),
        ("phone", "(01632) 960-123", ""),
        ("phone", "07700 900123", ""),
        ("phone", "+44 7700 900123", ""),
        ("phone", "+447700900123", ""),
        ("phone", "+33 1 23 45 67 89", ""),
        ("phone", "7700900123", "PHONE_LOST_ZERO warn"),
        ("phone", "1632960123", "PHONE_LOST_ZERO warn"),
        ("phone", "2079460123", "PHONE_LOST_ZERO warn"),
        ("phone", "+44 (0)7700 900123", "PHONE_FORMAT warn"),
        ("phone", "07700 900123 / 07700 900456", "PHONE_FORMAT warn"),
        ("phone", "7.7E+09", "SCIENTIFIC_NOTATION warn"),
        ("phone", "+cmd|' /C calc'!A0", "FORMULA warn"),
        ("phone", "-07700900123", "FORMULA warn"),
        ("email", "aster.example@example.org", ""),
        ("email", "aster@example", "EMAIL_FORMAT warn"),
        ("email", "aster@@example.org", "EMAIL_FORMAT warn"),
        ("email", "aster example@example.org", "EMAIL_FORMAT warn"),
        ("email", f"{'x' * 250}@example.org", "EMAIL_FORMAT warn"),
        ("email", "=aster@example.org", "FORMULA warn"),
        ("establishment", "Example Sixth Form", ""),
        ("establishment", "@SUM(A1)", "FORMULA warn"),
        ("laestab", "8814000", ""),
        ("laestab", "9999", ""),
        ("laestab", "881/4000", "LAESTAB_FORMAT warn"),
        ("laestab", "0014000", "LAESTAB_FORMAT warn"),
        ("urn", "123456", ""),
        ("urn", "12345", "URN_FORMAT warn"),
        ("ukprn", "10012345", ""),
        ("ukprn", "20012345", "UKPRN_FORMAT warn"),
        ("text", "Level 2 bricklaying", ""),
        ("text", "x" * 101, "TOO_LONG warn"),
        ("text", '=HYPERLINK("x")', "FORMULA warn"),
        ("level", "E", ""),
        ("level", "8", ""),
        ("level", "other", ""),
        ("level", "9", "LEVEL_UNKNOWN warn"),
        ("la_code", "881", ""),
        ("la_code", "999", "LA_CODE_UNKNOWN warn"),
        ("flag", "Y", ""),
        ("flag", "N", ""),
        ("flag", "yes", "FLAG_UNKNOWN warn"),
        ("source", "dwp", ""),
        ("source", "survey", ""),
        ("source", "neighbour", "SOURCE_UNKNOWN warn"),
    ],
)
def test_each_value_of_the_field_dictionary(kind: ColumnType, value: str, expected: str) -> None:
    """What is right passes; what is not names its rule and its severity."""
    assert said(a_field(kind), value) == expected


def test_every_type_of_column_has_a_rule() -> None:
    """No type passes unlooked at: a formula is found in each."""
    for kind in get_args(ColumnType):
        assert said(a_field(kind, ("210",)), "=1+1") != ""


def test_a_code_is_one_of_its_list_exactly() -> None:
    """A required column's unknown code refuses, an optional one's warns; codes are text."""
    activity = a_field("code", ("210", "010"), required=True)
    assert [said(activity, value) for value in ("210", "010", "10", "EDU", "210.0")] == [
        "", "", "CODE_LOST_ZERO refuse", "CODE_UNKNOWN refuse", "CODE_UNKNOWN refuse",
    ]  # fmt: skip
    assert said(a_field("code", ("A level",)), "a level") == "CODE_UNKNOWN warn"


def test_a_code_column_without_a_list_takes_nothing() -> None:
    """Nothing agreed means nothing accepted."""
    assert said(a_field("code", required=True), "210") == "CODE_UNKNOWN refuse"


@pytest.mark.parametrize(("severity", "expected"), [("reject", "refuse"), ("warn", "warn")])
def test_a_columns_own_severity_goes_before_its_types(severity: str, expected: str) -> None:
    """The agreement may be stricter, or milder, than the field dictionary."""
    assert said(a_field("uln", severity=severity), "9276308687") == f"ULN_CHECKSUM {expected}"
    assert said(a_field("uln", severity=severity), "9999999999") == f"ULN_DEFAULT {expected}"
    assert said(a_field("email", filled=True, severity=severity), "") == f"CELL_EMPTY {expected}"


def test_a_name_and_a_date_of_birth_that_are_required_are_filled() -> None:
    """Others may be empty unless the agreement says `filled`."""
    for kind in ("person_name", "date_of_birth"):
        assert said(a_field(kind, required=True), "") == "CELL_EMPTY refuse"
        assert said(a_field(kind, required=True), "  ") == "CELL_EMPTY refuse"
    assert said(a_field("person_name", name="middle_name"), "") == ""
    assert said(a_field("postcode", required=True), "") == ""
    assert said(a_field("postcode", filled=True), "") == "CELL_EMPTY refuse"


def test_a_verification_is_never_in_the_future() -> None:
    """Unlike a start, which may be agreed for later."""
    assert said(a_field("date", name="date_verified"), "2027-01-01") == "DATE_FUTURE warn"


def test_the_remedy_of_a_spreadsheets_harm_tells_how_to_mend_the_export() -> None:
    """Not only what is wrong, but what to do in the spreadsheet."""
    for field, value in ((a_field("uln"), "9.28E+09"), (a_field("phone"), "7700900123")):
        fault = field.fault(value)
        assert fault is not None
        assert "Text" in fault.remedy
    serial = a_field("date_of_birth").fault("44629")
    assert serial is not None
    assert "YYYY-MM-DD" in serial.remedy


@given(st.integers(100_000_000, 999_999_999))
def test_the_uln_agrees_with_the_other_published_form(first_nine: int) -> None:
    """The check digit is 10 less the remainder of the first nine (weights 10 to 2); remainder 0 has none."""
    rest = sum(int(digit) * weight for digit, weight in zip(str(first_nine), range(10, 1, -1), strict=True)) % 11
    valid = [f"{first_nine}{last}" for last in range(10) if uln_ok(f"{first_nine}{last}")]
    assert valid == ([] if rest == 0 else [f"{first_nine}{10 - rest}"])
    assert ulns_ok(valid)


@given(st.from_regex(r"[0-9]{12}|[0-9]{11}[A-HJ-NP-RT-Z]", fullmatch=True))
def test_a_upn_has_just_one_right_letter(body: str) -> None:
    """Of the 23 letters one fits."""
    assert [letter for letter in UPN_LETTERS if upn_ok(letter + body)] == [upn_letter(body)]


@given(
    st.lists(
        st.text(max_size=12) | st.sampled_from(["=x", "9000000016", "ZZ99 3VZ", "a\nb", "Zoë", "", " ", " =x", "  Y"])
    )
)
def test_a_whole_column_is_judged_as_its_values_are(values: list[str]) -> None:
    """The quick way over a column never passes what the judge of one value would not."""
    for kind in get_args(ColumnType):
        field = a_field(kind, ("210",), required=True, filled=len(values) % 2 == 1)
        one_by_one = {value: fault for value in values if (fault := field.fault(value)) is not None}
        assert field.faults(values) == one_by_one


@pytest.mark.parametrize(
    ("born", "day", "age", "group"),
    [
        (date(2009, 3, 1), date(2026, 12, 31), 17, 13),
        (date(2008, 8, 31), date(2026, 12, 31), 18, 14),
        (date(2008, 9, 1), date(2026, 12, 31), 18, 13),
        (date(2010, 9, 1), date(2026, 8, 31), 15, 10),
        (date(2010, 9, 1), date(2026, 9, 1), 16, 11),
        (date(2008, 2, 29), date(2026, 2, 28), 17, 13),
        (date(2008, 2, 29), date(2026, 3, 1), 18, 13),
    ],
)
def test_age_and_year_group_on_the_due_day(born: date, day: date, age: int, group: int) -> None:
    """A school year is September to August; a birthday on 29 February is on 1 March in other years."""
    assert (age_on(born, day), year_group_on(born, day)) == (age, group)


def test_compulsory_school_age_ends_on_the_last_friday_in_june_of_year_11() -> None:
    """For everybody of the same school year alike."""
    assert compulsory_until(date(2009, 9, 1)) == compulsory_until(date(2010, 8, 31)) == date(2026, 6, 26)
