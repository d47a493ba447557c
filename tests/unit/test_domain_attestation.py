"""What a recipient may say of its copies: counts that add up, honest options, days that are clamped and never moved."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.agreement import Calendar, RetentionRule
from server.domain.attestation import (
    METHODS,
    NOT_HELD,
    PLACES,
    Counts,
    Unclear,
    check_counts,
    counts_of,
    day_of,
    destruction_of,
    is_overdue,
    use_by_reminders,
    working_days_on,
)
from server.domain.attested_forms import Filled, name_of, read, read_table, table, text_of, written
from server.domain.errors import Refused
from server.domain.schedule import LONDON, use_by
from tests.small_exchange import ROOT

TODAY = date(2027, 1, 5)
numbers = st.integers(min_value=0, max_value=100_000)


@pytest.fixture(scope="module")
def calendar() -> Calendar:
    from server.policy.load import load

    found = load(ROOT / "policies" / "ccis-v2").notice_calendar
    assert found is not None
    return found


@pytest.fixture(scope="module")
def rule() -> RetentionRule:
    from server.policy.load import load

    return load(ROOT / "policies" / "ccis-v2").retention.rules[0]


# ---------------------------------------------------------------- counts


@given(numbers, numbers, numbers, numbers)
def test_only_counts_that_add_up_are_taken(received: int, kept: int, others: int, rejected: int) -> None:
    """Received is kept and not ours and rejected, whatever the numbers are."""
    counts = Counts(received, kept, others, rejected)
    if received == kept + others + rejected:
        check_counts(counts, None, ())
        check_counts(counts, received, ())
        return
    with pytest.raises(Unclear) as refused:
        check_counts(counts, None, ())
    assert refused.value.code == "COUNTS_DO_NOT_ADD_UP"
    assert f"{received:,} were received" in refused.value.sentence


@given(numbers, numbers)
def test_another_number_than_the_delivery_had_is_refused(known: int, said: int) -> None:
    """Where we counted the records ourselves, the person's number is ours."""
    counts = Counts(said, said, 0, 0)
    if known == said:
        check_counts(counts, known, ())
        return
    with pytest.raises(Unclear, match="This delivery had"):
        check_counts(counts, known, ())


@given(st.lists(numbers, min_size=9, max_size=9), st.integers(min_value=-3, max_value=3))
def test_what_each_authority_keeps_adds_up_to_what_is_kept(parts: list[int], off: int) -> None:
    """A representative says it for each of its nine; their sum is what is kept."""
    las = [f"{200 + n}" for n in range(9)]
    kept = max(0, sum(parts) + off)
    counts = Counts(kept, kept, 0, 0, dict(zip(las, parts, strict=True)))
    if kept == sum(parts):
        check_counts(counts, kept, las)
        return
    with pytest.raises(Unclear, match="each of the 9"):
        check_counts(counts, kept, las)


def test_an_authority_that_is_not_represented_is_refused() -> None:
    """Nobody states what another member's authority keeps."""
    with pytest.raises(Unclear, match="does not receive for authority 886"):
        check_counts(Counts(3, 3, 0, 0, {"201": 1, "886": 2}), 3, ["201", "203"])


@pytest.mark.parametrize(
    ("typed", "wrong"),
    [
        ({"received": "318", "kept": "290", "not_ours": "28", "rejected": "0"}, ()),
        ({"received": " 1,318 ", "kept": "1318", "not_ours": "0", "rejected": "0"}, ()),
        ({"received": "318", "kept": "-1", "not_ours": "28", "rejected": ""}, ("kept", "rejected")),
        ({"received": "3.5", "kept": "three", "not_ours": "1e3", "rejected": "99999999"}, (
            "received", "kept", "not_ours", "rejected",
        )),
        ({"received": "٣", "kept": "0", "not_ours": "0", "rejected": "0"}, ("received",)),
        ({}, ("received", "kept", "not_ours", "rejected")),
    ],
)  # fmt: skip
def test_a_count_is_a_plain_number(typed: dict[str, str], wrong: tuple[str, ...]) -> None:
    """Every field that is not one is named; commas of thousands are fine."""
    if not wrong:
        assert counts_of(typed).received in {318, 1318}
        return
    with pytest.raises(Unclear) as refused:
        counts_of(typed)
    assert set(refused.value.errors) == set(wrong)


def test_kept_follows_from_what_each_authority_keeps() -> None:
    """Whoever gives all nine need not add them up; a blank is nought, and the sum is still checked."""
    counts = counts_of({"received": "5", "kept": "", "kept_201": "2", "kept_203": "3", "kept_209": "",
                        "not_ours": "0", "rejected": "0"})  # fmt: skip
    assert (counts.kept, counts.authorities) == (5, {"201": 2, "203": 3, "209": 0})


# ---------------------------------------------------------------- destroying


def answered(**changed: str) -> dict[str, str]:
    return {"downloads": "deleted", "backups": "none"} | changed


@pytest.mark.parametrize("method", [method for method in METHODS if method != NOT_HELD])
@pytest.mark.parametrize("place", PLACES)
def test_every_place_and_method_can_be_said(place: str, method: str) -> None:
    """In any case, with hyphens or not."""
    said = destruction_of({place: method.replace(" ", "-").upper(), "backups": "none"}, TODAY)
    assert said.places == {place: method}


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ({"downloads": ""}, "import_folder", "at least one place"),
        ({"downloads": "burnt"}, "downloads", "is one of"),
        ({"backups": ""}, "backups", "about backups"),
        ({"backups": "expires"}, "backups_until", "the day"),
        ({"backups": "expires", "backups_until": "soon"}, "backups_until", "the day"),
        ({"backups": "expires on 2027-01-04"}, "backups", "has passed"),
        ({"backups": "expires on 2127-01-04"}, "backups", "has passed"),
        ({"backups": "certainly gone"}, "backups", "the day"),
        ({"subcontractors": "perhaps"}, "subcontractors", "is one of"),
        ({"subcontractors": "kept"}, "exceptions", "what subcontractors still have"),
        ({"exceptions": "ask bob@example.org"}, "exceptions", "e-mail address"),
    ],
)
def test_what_is_unclear_is_said_of_its_field(changed: dict[str, str], field: str, words: str) -> None:
    """With a sentence that says what to change."""
    with pytest.raises(Unclear) as refused:
        destruction_of(answered(**changed), TODAY)
    assert words in refused.value.errors[field]


@pytest.mark.parametrize(
    ("backups", "until", "kept"),
    [
        ("none", "", "none"),
        ("None", "", "none"),
        ("beyond use", "", "beyond use"),
        ("put beyond use", "", "beyond use"),
        ("beyond-use", "", "beyond use"),
        ("expires", "2027-03-31", "2027-03-31"),
        ("expires", "31/03/2027", "2027-03-31"),
        ("expires on 31/3/2027", "", "2027-03-31"),
        ("Expires on 2027-03-31", "", "2027-03-31"),
        ("2027-01-05", "", "2027-01-05"),
    ],
)
def test_backups_are_gone_or_beyond_use_or_expire_on_a_day(backups: str, until: str, kept: str) -> None:
    """Nobody certifies a deletion that they cannot see."""
    assert destruction_of(answered(backups=backups, backups_until=until), TODAY).backups == kept


def test_what_is_left_is_an_exception() -> None:
    """A governance lead has to look at it; the word "none" is none."""
    assert not destruction_of(answered(exceptions="none"), TODAY).exceptional
    left = destruction_of(answered(subcontractors="kept", exceptions="until the contract ends in May"), TODAY)
    assert left.exceptional


# ---------------------------------------------------------------- days


@pytest.mark.parametrize(
    ("available", "last"),
    [
        (date(2026, 7, 31), date(2026, 9, 30)),
        (date(2026, 12, 31), date(2027, 2, 28)),
        (date(2025, 12, 29), date(2026, 2, 28)),
        (date(2027, 12, 30), date(2028, 2, 29)),
    ],
)
def test_r081_two_calendar_months_are_clamped_and_never_rolled_forward(available: date, last: date) -> None:
    """Clause 8; from the day in London on which it became available."""
    moment = datetime.combine(available, datetime.min.time(), tzinfo=LONDON) + timedelta(hours=12)
    assert use_by(moment.astimezone(UTC), 2) == last


def test_r081_two_months_are_not_sixty_days() -> None:
    """From 31 December 2026, sixty days would reach into March."""
    moment = datetime(2026, 12, 31, 12, 0, tzinfo=UTC)
    assert moment.date() + timedelta(days=60) == date(2027, 3, 1)
    assert use_by(moment, 2) == date(2027, 2, 28)


def test_r081_reminders_move_to_the_working_day_before(rule: RetentionRule, calendar: Calendar) -> None:
    """Available on 31 December 2026: use by Sunday 28 February 2027, and the last reminder is on Friday the 26th."""
    found = use_by_reminders(rule, calendar, date(2026, 12, 31), date(2027, 2, 28))
    days = [moment.date().isoformat() for _, moment in found]
    assert days == ["2027-02-05", "2027-02-12", "2027-02-19", "2027-02-26"]
    assert [span for span, _ in found] == ["P21D", "P14D", "P7D", "P2D"]
    assert {moment.strftime("%H:%M") for _, moment in found} == {"09:30"}
    assert working_days_on(calendar, date(2027, 2, 28), "1wd").date() == date(2027, 3, 1)


def test_a_short_time_has_no_reminder_before_it_began(rule: RetentionRule, calendar: Calendar) -> None:
    """A file outside the schedule that is usable for a fortnight is not reminded of on the day it comes, or before."""
    found = use_by_reminders(rule, calendar, date(2027, 1, 4), date(2027, 1, 18))
    assert [span for span, _ in found] == ["P7D", "P2D"]
    assert [moment.date() for _, moment in found] == [date(2027, 1, 11), date(2027, 1, 15)]


@given(st.dates(min_value=date(2026, 9, 1), max_value=date(2027, 9, 30)))
def test_every_reminder_is_on_a_working_day_and_before_the_end(available: date) -> None:
    """For every day of the covered year on which something can become available."""
    from server.policy.load import load

    policy = _loaded(load)
    found_calendar = policy.notice_calendar
    assert found_calendar is not None
    last = use_by(datetime.combine(available, datetime.min.time(), tzinfo=LONDON), 2)
    found = use_by_reminders(policy.retention.rules[0], found_calendar, available, last)
    assert len(found) == 4
    for _, moment in found:
        assert available < moment.date() <= last
        assert moment.weekday() < 5 and moment.date() not in found_calendar.holidays
    assert [moment for _, moment in found] == sorted({moment for _, moment in found})


def _loaded(load, kept={}):  # type: ignore[no-untyped-def]  # noqa: B006
    if "policy" not in kept:
        kept["policy"] = load(ROOT / "policies" / "ccis-v2")
    return kept["policy"]


def test_r084_overdue_begins_with_the_first_moment_of_the_day_after() -> None:
    """In London: at a quarter past midnight in summer it is still yesterday in UTC."""
    last = date(2026, 9, 30)
    assert not is_overdue(last, datetime(2026, 9, 30, 22, 59, 59, tzinfo=UTC))
    assert is_overdue(last, datetime(2026, 9, 30, 23, 0, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "day"),
    [("2027-02-28", date(2027, 2, 28)), ("28/02/2027", date(2027, 2, 28)), ("30/02/2027", None), ("", None)],
)
def test_a_day_is_read_as_people_and_spreadsheets_write_it(text: str, day: date | None) -> None:
    """Never a month first."""
    assert day_of(text) == day


# ---------------------------------------------------------------- forms

FIELDS = ("received", "kept", "not_ours", "rejected")


@given(st.fixed_dictionaries({name: st.integers(0, 10**6).map(str) for name in FIELDS}), st.booleans())
def test_a_form_comes_back_as_it_was_written(answers: dict[str, str], windows: bool) -> None:
    """Explanations, Windows line ends, a mark in front: what was filled in is what is read."""
    text = written(["D-2026-000417: what it had in it.", ""], answers, {"kept": "used: they are ours"})
    content = b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode() if windows else text.encode()
    assert read(text_of(content), FIELDS).answers == answers


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("received: 3\nkepp: 2", "Line 2 is none"),
        ("# x\n\nreceived 3", "Line 3 has no colon"),
        ("kept: 1\nKept : 2", "Line 2 says .kept. a second time \\(first on line 1\\)"),
    ],
)
def test_a_line_that_is_no_answer_is_named(text: str, words: str) -> None:
    """By its number: the editor shows it."""
    with pytest.raises(Refused, match=words):
        read(text, FIELDS)


def test_a_wrong_answer_is_told_with_its_line() -> None:
    """Of a form its line, of a table its row."""
    filled = read("received: 3\nkept: three\nnot ours: 0\nrejected: 0", FIELDS)
    with pytest.raises(Unclear) as refused:
        counts_of(filled.answers)
    assert filled.located(refused.value).sentence.startswith("Line 2: ")


@pytest.mark.parametrize("sign", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_table_is_read_however_a_spreadsheet_saved_it(sign: str, encoding: str) -> None:
    """Commas, semicolons or tabs; with empty rows at the end."""
    head = ["delivery", "from", "received", "kept", "not ours", "rejected"]
    rows = [["D-2026-000417", "Essex", "318", "290", "28", "0"], ["d-2026-000418", "Medway", "1", "1", "0", "0"]]
    text = "\r\n".join(sign.join(row) for row in (head, *rows, [""] * 6, [""] * 6)) + "\r\n"
    found = read_table(text_of(text.encode(encoding)), ("delivery", "from", *FIELDS))
    assert list(found) == ["D-2026-000417", "D-2026-000418"]
    assert counts_of(found["D-2026-000417"].answers) == Counts(318, 290, 28, 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Line 1 must be the table's header"),
        ("kept,received\n1,2", "Line 1 must be the table's header"),
        ("delivery,kept,kept\nD-1,1,1", "Line 1: the header"),
        ("delivery,surname\nD-1,X", "Line 1: the header"),
        ("sep=;\ndelivery;kept\n;3", "Line 3 does not say which delivery"),
        ("delivery,kept\nD-1,1\nd-1,2", "Line 3: D-1 is there twice"),
    ],
)
def test_a_table_that_cannot_be_read_is_told_with_its_line(text: str, words: str) -> None:
    """Nothing of it is taken."""
    with pytest.raises(Refused, match=words):
        read_table(text, ("delivery", *FIELDS))


def test_a_table_comes_back_as_it_was_written() -> None:
    """The one that lies in /attest/ is one that can be put back."""
    rows = [{"delivery": "D-2026-000417", "received": "318"}, {"delivery": "D-2026-000418", "received": ""}]
    found = read_table(table(("delivery", *FIELDS), rows), ("delivery", *FIELDS))
    assert [filled.answers["received"] for filled in found.values()] == ["318", ""]
    assert Filled({}, {}).located(Unclear({"kept": "Please."})).sentence == "Please."


@pytest.mark.parametrize(
    ("written_as", "name"), [("Not ours", "not_ours"), ("kept 201 (City of London)", "kept_201"), ("KEPT", "kept")]
)
def test_a_name_is_known_however_it_is_written(written_as: str, name: str) -> None:
    """In any case, with spaces, hyphens or underscores, and a name behind the authority's number."""
    assert name_of(written_as) == name
