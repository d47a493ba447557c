"""Periods, months and London's clock: what the calendar says is what the exchange does."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.schedule import (
    LONDON,
    Period,
    add_months,
    clock_words,
    current_period,
    in_words,
    london_day,
    open_periods,
    use_by,
)

moments = st.datetimes(datetime(2016, 8, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
days = st.dates(date(2016, 8, 1), date(2100, 1, 1))
months = st.integers(0, 36)
NOVEMBER = Period(2026, 11)


def at(text: str) -> datetime:
    """A wall-clock time in London."""
    return datetime.fromisoformat(text).replace(tzinfo=LONDON)


@pytest.mark.parametrize(
    ("now", "is_open"),
    [
        ("2026-11-30T23:59:59", False),
        ("2026-12-01T00:00:00", True),
        ("2026-12-01T09:00:00", True),
        ("2027-01-31T12:00:00", True),
        ("2027-02-01T23:59:59", True),
        ("2027-02-02T00:00:00", False),
    ],
)
def test_november_opens_on_1_december_and_can_be_sent_to_1_february(now: str, is_open: bool) -> None:
    """The journey of DOMAIN.md: one month to fill it, then two calendar months for late files and corrections."""
    assert NOVEMBER.opens == date(2026, 12, 1)
    assert NOVEMBER.closes(2) == date(2027, 2, 1)
    assert NOVEMBER.is_open(at(now), 2) is is_open
    assert (NOVEMBER in open_periods(at(now), 2)) is is_open


def test_a_month_that_is_covered_within_itself_opens_on_its_first_day() -> None:
    """What is due on the month's last working day can be sent all that month, and as late as any other."""
    assert [NOVEMBER.is_open(at(f"2026-{day}T12:00:00"), 2, within=True) for day in ("10-31", "11-01")] == [False, True]
    assert open_periods(at("2026-11-30T12:00:00"), 2, within=True)[0] == NOVEMBER
    assert open_periods(at("2026-11-30T12:00:00"), 2)[0] == Period(2026, 10)
    assert NOVEMBER in open_periods(at("2027-02-01T12:00:00"), 2, within=True)
    assert NOVEMBER not in open_periods(at("2027-02-02T12:00:00"), 2, within=True)


@pytest.mark.parametrize(
    ("utc", "day"),
    [
        (datetime(2026, 3, 29, 0, 30, tzinfo=UTC), date(2026, 3, 29)),
        (datetime(2026, 3, 31, 22, 59, 59, tzinfo=UTC), date(2026, 3, 31)),
        (datetime(2026, 3, 31, 23, 0, tzinfo=UTC), date(2026, 4, 1)),
        (datetime(2026, 10, 24, 23, 0, tzinfo=UTC), date(2026, 10, 25)),
        (datetime(2026, 10, 25, 23, 0, tzinfo=UTC), date(2026, 10, 25)),
        (datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC), date(2026, 10, 31)),
        (datetime(2026, 11, 1, 0, 0, tzinfo=UTC), date(2026, 11, 1)),
    ],
)
def test_a_day_begins_at_midnight_in_london_in_summer_and_in_winter(utc: datetime, day: date) -> None:
    """In British Summer Time an hour before midnight UTC, else at midnight UTC."""
    assert london_day(utc) == day


@pytest.mark.parametrize(
    ("utc", "period"),
    [
        (datetime(2026, 6, 30, 22, 59, 59, tzinfo=UTC), Period(2026, 5)),
        (datetime(2026, 6, 30, 23, 0, 0, tzinfo=UTC), Period(2026, 6)),
        (datetime(2026, 3, 31, 23, 0, 0, tzinfo=UTC), Period(2026, 3)),
        (datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC), Period(2026, 9)),
        (datetime(2026, 11, 1, 0, 0, 0, tzinfo=UTC), Period(2026, 10)),
        (datetime(2027, 1, 1, 0, 0, 0, tzinfo=UTC), Period(2026, 12)),
    ],
)
def test_a_new_period_opens_at_londons_midnight(utc: datetime, period: Period) -> None:
    """A file dropped at 00:30 British Summer Time on 1 July is about June."""
    assert current_period(utc) == period
    assert open_periods(utc, 2)[0] == period


@pytest.mark.parametrize(
    ("day", "later", "expected"),
    [
        (date(2026, 12, 31), 2, date(2027, 2, 28)),
        (date(2025, 12, 29), 2, date(2026, 2, 28)),
        (date(2027, 12, 30), 2, date(2028, 2, 29)),
        (date(2026, 7, 31), 2, date(2026, 9, 30)),
        (date(2026, 12, 1), 2, date(2027, 2, 1)),
        (date(2026, 3, 31), -1, date(2026, 2, 28)),
        (date(2026, 1, 1), -1, date(2025, 12, 1)),
        (date(2026, 1, 31), 12, date(2027, 1, 31)),
    ],
)
def test_months_are_calendar_months_clamped_to_the_months_end(day: date, later: int, expected: date) -> None:
    """31 December and two months is 28 February: never sixty days, never rolled into March (clause 8)."""
    assert add_months(day, later) == expected


@given(days, months)
def test_adding_months_never_rolls_into_the_month_after(day: date, later: int) -> None:
    """The month is the one asked for; the day is the same or the last of that month."""
    after = add_months(day, later)
    assert (after.year * 12 + after.month) - (day.year * 12 + day.month) == later
    assert after.day == day.day or (after.day < day.day and (after + timedelta(days=1)).day == 1)


@pytest.mark.parametrize(
    ("available", "expected"),
    [
        ("2026-12-01T09:02:00", date(2027, 2, 1)),
        ("2026-12-31T23:59:59", date(2027, 2, 28)),
        ("2025-12-29T09:00:00", date(2026, 2, 28)),
        ("2026-07-31T00:10:00", date(2026, 9, 30)),
        ("2027-12-30T00:00:00", date(2028, 2, 29)),
        ("2027-12-30T12:00:00", date(2028, 2, 29)),
    ],
)
def test_the_use_by_date_counts_from_londons_day_of_availability(available: str, expected: date) -> None:
    """00:10 on 31 July in London is still 30 July in UTC; London's day counts."""
    assert use_by(at(available), 2) == expected


def test_two_months_are_not_sixty_days() -> None:
    """From 31 December 2026 sixty days reach to 1 March; the use-by date is 28 February, a Sunday, and stays there."""
    assert date(2026, 12, 31) + timedelta(days=60) == date(2027, 3, 1)
    last = use_by(at("2026-12-31T12:00:00"), 2)
    assert (last, last.weekday()) == (date(2027, 2, 28), 6)


@given(moments, st.integers(1, 36))
def test_every_open_period_is_open_and_no_open_one_is_left_out(now: datetime, use_by_months: int) -> None:
    """Newest first, without gaps, from the month before this one back to the last whose use-by date has not passed."""
    listed = open_periods(now, use_by_months)
    first = add_months(london_day(now).replace(day=1), -use_by_months - 4)
    around = [add_months(first, step) for step in range(use_by_months + 8)]
    expected = {p for p in (Period(d.year, d.month) for d in around) if p.is_open(now, use_by_months)}
    assert set(listed) == expected
    assert list(listed) == sorted(listed, reverse=True)
    assert listed[0] == current_period(now)


@given(moments)
def test_this_month_can_never_be_sent(now: datetime) -> None:
    """A period is over before it can be sent."""
    today = london_day(now)
    assert not Period(today.year, today.month).is_open(now, 36)


@given(st.integers(1900, 2999), st.integers(1, 12))
def test_a_period_is_read_as_it_is_written(year: int, month: int) -> None:
    """2026-11 and nothing else; whatever is read has a day on which it opens, and one on which it closes."""
    period = Period(year, month)
    assert period.first_day < period.opens < period.closes(36)
    assert Period.parse(str(period)) == period
    assert str(period) == f"{year}-{month:02d}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-13",
        "2026-00",
        "2026-1",
        "26-11",
        "2026/11",
        "2026-11-01",
        " 2026-11",
        "2026-11\n",
        "2026–11",
        "0000-11",
        "1899-12",
        "9999-12",
    ],
)
def test_what_is_no_month_is_no_period(text: str) -> None:
    """Anything but four digits from 1900 to 2999, a hyphen and 01 to 12 names nothing."""
    assert Period.parse(text) is None


def test_times_are_told_as_people_in_london_read_them() -> None:
    """Summer time is said as it stands on the wall; today without its day."""
    summer = datetime(2026, 7, 1, 8, 5, tzinfo=UTC)
    assert in_words(summer) == "Wed 1 Jul 2026 09:05"
    assert clock_words(summer, datetime(2026, 7, 1, 20, 0, tzinfo=UTC)) == "09:05"
    assert clock_words(summer, datetime(2026, 7, 1, 23, 30, tzinfo=UTC)) == "Wed 1 Jul 09:05"
    assert NOVEMBER.words == "Nov 2026"
