"""The clocks of the law: each vector of the agreement's requirements, and what holds for every day and calendar."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from server.domain.agreement import Calendar
from server.domain.agreement.rules import Breach, Complaint, Consultation, Freedom, SubjectAccess
from server.domain.calendar import CalendarUncovered, is_working, working_days
from server.domain.errors import Refused
from server.domain.schedule import LONDON
from server.domain.statutory import (
    CONFIRM,
    DPA_1998,
    DUAA,
    GDPR,
    Clarification,
    acknowledge_complaint,
    advice,
    deadline_words,
    freedom,
    ico_deadline,
    left_words,
    regime_on,
    subject_access,
)
from server.policy.load import load

SHIPPED = load(Path(__file__).parents[2] / "policies" / "ccis-v2")
assert SHIPPED.rights is not None
SAR, FOI = SHIPPED.rights.sar, SHIPPED.rights.foi
ENGLAND, KINGDOM = SHIPPED.calendar("england-and-wales"), SHIPPED.calendar("uk-any-nation")
assert ENGLAND is not None
assert KINGDOM is not None
OLD = Calendar(
    id="old",
    source="of 2018 to 2020, for these tests",
    covers_from=date(2018, 1, 1),
    covers_until=date(2020, 12, 31),
    holidays=(date(2018, 8, 27), date(2018, 12, 25), date(2018, 12, 26), date(2019, 1, 1)),
)
EVERY_DAY = Calendar(
    id="plain", source="none", covers_from=date(2018, 1, 1), covers_until=date(2060, 1, 1), holidays=()
)


def day(text: str) -> date:
    return date.fromisoformat(text)


def london(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=LONDON)


# ------------------------------------------------------------------ subject access


@pytest.mark.parametrize(
    ("received", "due"),
    [
        ("2026-01-31", "2026-03-02"),  # 28 February is a Saturday
        ("2026-01-30", "2026-03-02"),  # clamped likewise
        ("2026-02-05", "2026-03-05"),
        ("2026-03-03", "2026-04-07"),  # Good Friday, then Easter Monday
        ("2026-11-25", "2026-12-29"),  # Christmas Day, a weekend and its bank holiday
        ("2026-12-31", "2027-02-01"),  # 31 January is a Sunday
        ("2026-08-31", "2026-09-30"),  # received on a bank holiday; clamped
        ("2026-07-31", "2026-09-01"),  # 31 August is a bank holiday
    ],
)
def test_a_request_is_answered_within_one_month_on_a_working_day(received: str, due: str) -> None:
    """R-052: the corresponding date of the next month, the last of a shorter one, then the next working day."""
    assert subject_access(day(received), SAR, ENGLAND).due == day(due)


def test_r030_the_law_of_the_day_of_receipt_rules() -> None:
    """R-030: received on 24 May 2018, forty days under the Act of 1998; a day later, one month."""
    before = subject_access(day("2018-05-24"), SAR, OLD)
    assert (before.regime, before.due) == (DPA_1998, day("2018-07-03"))
    assert before.due == day("2018-05-24") + timedelta(days=40)
    after = subject_access(day("2018-05-25"), SAR, OLD)
    assert (after.regime, after.due) == (GDPR, day("2018-06-25"))
    assert [regime_on(day(text)) for text in ("2026-02-04", "2026-02-05")] == [GDPR, DUAA]
    with pytest.raises(Refused, match="check the day of receipt"):
        regime_on(day("1999-12-31"))


def test_an_extension_adds_two_months_to_the_day_of_receipt() -> None:
    """Not to the due date, which was moved to a working day; it is told before the first month is over."""
    plain = subject_access(day("2026-01-31"), SAR, ENGLAND)
    longer = subject_access(day("2026-01-31"), SAR, ENGLAND, extended=True)
    assert longer.due == day("2026-04-30")
    assert longer.tell_by == plain.due == day("2026-03-02")


def test_days_from_the_ask_to_the_answer_do_not_count() -> None:
    """Received 3 March 2026, asked on the 5th, answered on the 12th: 8 days; Good Friday and 8 is a Saturday."""
    clock = subject_access(
        day("2026-03-03"), SAR, ENGLAND, clarifications=[Clarification(day("2026-03-05"), day("2026-03-12"))]
    )
    assert (clock.stopped, clock.due) == (8, day("2026-04-13"))
    assert clock.confirm
    assert clock.note == f"8 days stopped for clarification: {CONFIRM}"
    plain = subject_access(day("2026-03-03"), SAR, ENGLAND)
    assert (plain.confirm, plain.note) == (False, "")


@pytest.mark.parametrize(
    ("waits", "stopped"),
    [
        ([("03-05", "03-05")], 1),
        ([("03-05", "03-12"), ("03-20", "03-21")], 10),
        ([("03-05", "03-12"), ("03-10", "03-14")], 10),  # the days that two asks share count once
        ([("03-10", "03-14"), ("03-05", "03-12")], 10),
        ([("03-05", "03-12"), ("03-06", "03-07")], 8),
        ([("05-05", "05-12")], 0),  # the time had run out: nothing to stop
    ],
)
def test_each_day_of_waiting_stops_the_clock_once(waits: list[tuple[str, str]], stopped: int) -> None:
    """Whatever order they are told in, and however they overlap."""
    asks = [Clarification(day(f"2026-{asked}"), day(f"2026-{answered}")) for asked, answered in waits]
    assert subject_access(day("2026-03-03"), SAR, ENGLAND, clarifications=asks).stopped == stopped


def test_a_clock_that_is_stopped_has_no_due_date_yet() -> None:
    """It says so, and that the data protection officer should confirm it."""
    clock = subject_access(day("2026-03-03"), SAR, ENGLAND, clarifications=[Clarification(day("2026-03-05"))])
    assert (clock.due, clock.confirm) == (None, True)
    assert clock.note == f"the clock is stopped for clarification: {CONFIRM}"


@pytest.mark.parametrize(
    ("asked", "answered", "words"),
    [("2026-03-02", None, "before the request was received"), ("2026-03-05", "2026-03-04", "before it was asked for")],
)
def test_days_that_cannot_be_are_refused(asked: str, answered: str | None, words: str) -> None:
    """A mistyped day is asked about and not counted."""
    wait = Clarification(day(asked), day(answered) if answered else None)
    with pytest.raises(Refused, match=words):
        subject_access(day("2026-03-03"), SAR, ENGLAND, clarifications=[wait])


def test_a_year_that_no_calendar_covers_has_no_due_date() -> None:
    """Never a due date that nobody checked against holidays."""
    with pytest.raises(CalendarUncovered):
        subject_access(day("2027-12-15"), SAR, ENGLAND)


# ------------------------------------------------------------------ freedom of information, complaints, advice


@pytest.mark.parametrize(
    ("received", "due"),
    [
        ("2026-11-16", "2026-12-15"),  # 30 November is a holiday in Scotland: not the 14th
        ("2026-11-15", "2026-12-14"),  # a Sunday: Monday is the first day
        ("2026-03-02", "2026-03-31"),  # 17 March is a holiday in Northern Ireland
        ("2026-12-01", "2026-12-31"),
    ],
)
def test_a_holiday_anywhere_in_the_kingdom_does_not_count_for_foi(received: str, due: str) -> None:
    """R-055: twenty working days after the day of receipt, by the calendar of all four nations."""
    assert freedom(day(received), FOI, KINGDOM) == day(due)


def test_a_complaint_is_acknowledged_within_thirty_days_counted_from_the_day_after() -> None:
    """Received on 1 December 2026: the 31st, and no day is skipped."""
    assert acknowledge_complaint(day("2026-12-01"), Complaint()) == day("2026-12-31")
    assert acknowledge_complaint(day("2026-12-05"), Complaint()) == day("2027-01-04")


def test_an_originators_advice_is_due_in_five_working_days_and_chased_after_three() -> None:
    """R-054: asked on Thursday 3 December 2026, chased on Tuesday, due on Thursday."""
    assert advice(day("2026-12-03"), SAR.consult, ENGLAND) == (day("2026-12-10"), day("2026-12-08"))
    assert advice(day("2026-12-03"), Consultation(within="5wd"), ENGLAND) == (day("2026-12-10"), None)


# ------------------------------------------------------------------ the 72 hours


@pytest.mark.parametrize(
    ("aware", "deadline"),
    [
        ("2026-03-28T10:00", "Tue 31 Mar 2026 11:00 BST"),  # an hour is lost on the 29th
        ("2026-10-24T10:00", "Tue 27 Oct 2026 09:00 GMT"),  # an hour is won on the 25th
        ("2026-12-24T20:40", "Sun 27 Dec 2026 20:40 GMT"),  # nights, weekends and holidays count
        ("2026-07-01T00:00", "Sat 4 Jul 2026 00:00 BST"),
    ],
)
def test_seventy_two_hours_are_elapsed_time(aware: str, deadline: str) -> None:
    """In UTC, whatever London's clocks do meanwhile."""
    found = ico_deadline(london(aware), Breach())
    assert found - london(aware).astimezone(UTC) == timedelta(hours=72)
    assert deadline_words(found) == deadline


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (timedelta(hours=38, minutes=12), "38 h 12 m left"),
        (timedelta(hours=38, minutes=12, seconds=59), "38 h 12 m left"),
        (timedelta(hours=72), "72 h 0 m left"),
        (timedelta(minutes=59), "59 m left"),
        (timedelta(), "0 m left"),
        (-timedelta(hours=2, minutes=5), "2 h 5 m over"),
        (-timedelta(minutes=1), "1 m over"),
    ],
)
def test_what_is_left_is_told_in_hours_and_minutes(left: timedelta, words: str) -> None:
    """Never more than there is; what is over is said too."""
    now = datetime(2026, 3, 29, 20, 48, tzinfo=UTC)
    assert left_words(now + left, now) == words
    assert left_words((now + left).astimezone(LONDON), now.astimezone(LONDON)) == words


# ------------------------------------------------------------------ what holds for every day and every calendar

FIRST, LAST = date(2018, 5, 25), date(2050, 1, 1)
receipts = st.dates(FIRST, LAST)


@st.composite
def calendars(draw: st.DrawFn, start: date) -> Calendar:
    """Two years of any holidays around a day, whole weeks of them at times."""
    first, last = start - timedelta(days=40), start + timedelta(days=900)
    holidays = set(draw(st.lists(st.dates(first, last), max_size=60)))
    for begun in draw(st.lists(st.dates(start, start + timedelta(days=120)), max_size=2)):
        holidays |= {begun + timedelta(days=n) for n in range(draw(st.integers(1, 21)))}
    return Calendar(id="drawn", source="drawn", covers_from=first, covers_until=last, holidays=tuple(holidays))


@st.composite
def waits(draw: st.DrawFn, received: date) -> list[Clarification]:
    """Up to four answered asks in the first three months, in any order."""
    found = []
    for _ in range(draw(st.integers(0, 4))):
        asked = received + timedelta(days=draw(st.integers(0, 90)))
        found.append(Clarification(asked, asked + timedelta(days=draw(st.integers(0, 30)))))
    return found


@settings(max_examples=200, deadline=None)
@given(data=st.data(), received=receipts)
def test_a_due_date_is_a_working_day_and_not_before_receipt(data: st.DataObject, received: date) -> None:
    """Thirty years, any calendar, any clarifications; an extension never shortens, nor does a clarification."""
    calendar, asks = data.draw(calendars(received)), data.draw(waits(received))
    plain = subject_access(received, SAR, calendar)
    stopped = subject_access(received, SAR, calendar, clarifications=asks)
    longer = subject_access(received, SAR, calendar, clarifications=asks, extended=True)
    assert plain.due is not None
    assert stopped.due is not None
    assert longer.due is not None
    for clock in (plain, stopped, longer):
        assert clock.due is not None
        assert is_working(calendar, clock.due)
        assert clock.due > received
    assert plain.due <= stopped.due <= longer.due
    assert longer.tell_by == stopped.due
    assert stopped.confirm == bool(stopped.stopped)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), received=receipts)
def test_twenty_working_days_are_twenty_working_days(data: st.DataObject, received: date) -> None:
    """The due date is a working day, and the twentieth after receipt."""
    calendar = data.draw(calendars(received))
    due = freedom(received, Freedom(calendar="drawn", consult=Consultation(within="5wd")), calendar)
    assert is_working(calendar, due)
    assert len(working_days(calendar, received + timedelta(days=1), due)) == 20


@given(received=receipts, asked=st.integers(0, 25), waited=st.integers(0, 40))
def test_a_day_more_of_waiting_never_shortens(received: date, asked: int, waited: int) -> None:
    """Where every day but the weekend works, each day of waiting moves the due date by a day or to the same Monday."""
    first = received + timedelta(days=asked)
    assume(first.weekday() < 5)
    rule = SubjectAccess(calendar="plain", consult=Consultation(within="5wd"))
    dues = [
        subject_access(
            received, rule, EVERY_DAY, clarifications=[Clarification(first, first + timedelta(days=waited + more))]
        ).due
        for more in (0, 1)
    ]
    assert dues[0] is not None
    assert dues[1] is not None
    assert timedelta() <= dues[1] - dues[0] <= timedelta(days=3)
