"""Due dates: the table of the readings, each kind of window, and what holds for every calendar and every schedule."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.domain.agreement import Calendar, Exchange, Window
from server.domain.calendar import (
    CalendarUncovered,
    is_working,
    working_days,
    working_days_after,
    working_days_of_month,
    working_until,
)
from server.domain.due import (
    READINGS,
    due_after_event,
    due_ahead,
    due_dates,
    months_of,
    sharing_year,
    window_days,
)
from server.domain.schedule import LONDON, Period, day_words
from server.policy.load import load

SHIPPED = load(Path(__file__).parents[2] / "policies" / "ccis-v2")
CALENDAR = next(calendar for calendar in SHIPPED.calendars if calendar.id == "england-and-wales")

GOLDEN = """
Apr 26 | Tue 7 | Fri 10 | Thu 2      | Thu 2 | Thu 9 | Tue 21 | Fri 24 | Thu 23
May 26 | Thu 7 | Fri 8  | Fri 1      | Fri 1 | Fri 8 | Thu 21 | Fri 22 | Fri 22
Jun 26 | Fri 5 | Fri 5  | Fri 5      | Fri 5 | Fri 5 | Fri 19 | Fri 19 | Fri 19
Jul 26 | Tue 7 | Fri 10 | Fri 3      | Fri 3 | Tue 7 | Tue 21 | Fri 24 | Tue 21
Aug 26 | Fri 7 | Fri 7  | Fri 31 Jul | Fri 7 | Fri 7 | Fri 21 | Fri 21 | Fri 21
Sep 26 | Mon 7 | Fri 11 | Fri 4      | Fri 4 | Mon 7 | Mon 21 | Fri 25 | Mon 21
Oct 26 | Wed 7 | Fri 9  | Fri 2      | Fri 2 | Wed 7 | Wed 21 | Fri 23 | Wed 21
Nov 26 | Fri 6 | Fri 6  | Fri 30 Oct | Fri 6 | Fri 6 | Fri 20 | Fri 20 | Fri 20
Dec 26 | Mon 7 | Fri 11 | Fri 4      | Fri 4 | Mon 7 | Mon 21 | Thu 24 | Mon 21
Jan 27 | Thu 7 | Fri 8  | Thu 31 Dec | Fri 8 | Fri 8 | Thu 21 | Fri 22 | Fri 22
Feb 27 | Fri 5 | Fri 5  | Fri 5      | Fri 5 | Fri 5 | Fri 19 | Fri 19 | Fri 19
Mar 27 | Fri 5 | Fri 5  | Fri 5      | Fri 5 | Fri 5 | Fri 19 | Fri 19 | Fri 19
"""
"""The last working day of each window in the sharing year 2026-27, for the eight readings in their order."""
LAST = "30 Apr, 29 May, 30 Jun, 31 Jul, 28 Aug, 30 Sep, 30 Oct, 30 Nov, 31 Dec, 29 Jan, 26 Feb, 31 Mar"


def an_exchange(window: dict[str, Any] | None = None, **recurrence: Any) -> Exchange:
    """An exchange with this window in all months, unless said otherwise."""
    recurrence = {"months": "all", "window": window, "covers": "previous_month", **recurrence}
    whole = {"id": "some", "title": "Some", "clause": "1", "members": "all", "recurrence": recurrence}
    return Exchange.model_validate(whole)


def shipped(exchange_id: str) -> Exchange:
    found = SHIPPED.exchange(exchange_id)
    assert found is not None
    return found


def london(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=LONDON)


def shortly(day: date, month: date) -> str:
    return f"{day:%a} {day.day}" if day.month == month.month else f"{day:%a} {day.day} {day:%b}"


@pytest.mark.parametrize(("column", "name"), list(enumerate(name for name, _ in READINGS)), ids=lambda x: str(x))
def test_every_reading_of_a_week_ends_where_the_table_says(column: int, name: str) -> None:
    """All twelve months of 2026-27; the week that contains the 1st ends before the month three times."""
    rows = [[cell.strip() for cell in line.split("|")] for line in GOLDEN.strip().splitlines()]
    months = list(months_of(2026))
    ends = [window_days(READINGS[column][1], CALENDAR, month)[1] for month in months]
    assert [f"{month:%b %y}" for month in months] == [row[0] for row in rows]
    told = [shortly(end, month) for end, month in zip(ends, months, strict=True)]
    assert told == [row[column + 1] for row in rows], name


def test_the_last_working_days_of_2026_27() -> None:
    """What "monthly" means: the September Guarantee is due at 17:00 on the last working day."""
    rounds = due_dates(shipped("september-guarantee"), CALENDAR, 2026)
    assert ", ".join(f"{r.due.day} {r.due:%b}" for r in rounds) == LAST
    assert {r.due.time().isoformat() for r in rounds} == {"17:00:00"}
    assert [str(r.period) for r in rounds[:2]] == ["2026-04", "2026-05"]


def test_the_six_exchanges_fall_due_as_the_schedule_says() -> None:
    """Working day 5 for rows A1 and A2, 15 for A5, the month's last for A6; A3 is elsewhere, A4 waits for it."""
    ends = {
        exchange.id: [shortly(r.due.date(), r.due.date()) for r in due_dates(exchange, CALENDAR, 2026)][7:9]
        for exchange in SHIPPED.exchanges
    }
    assert ends == {
        "post16-destinations": ["Fri 6", "Mon 7"],
        "movers": ["Fri 6", "Mon 7"],
        "activity-survey": [],
        "year11-residents": [],
        "year14-destinations": ["Fri 20", "Mon 21"],
        "september-guarantee": ["Mon 30", "Thu 31"],
        "safeguarding": [],
        "trial": [],
    }


def test_a_round_names_the_month_that_its_files_cover() -> None:
    """What is due in January 2027 covers December 2026, unless it covers its own month."""
    january = due_dates(shipped("post16-destinations"), CALENDAR, 2026)[9]
    assert (january.period, day_words(january.due.date())) == (Period(2026, 12), "Fri 8 Jan 2027")
    assert (january.opens, january.closes) == (date(2027, 1, 4), date(2027, 1, 8))
    own = an_exchange({"kind": "month"}, covers="same_month")
    assert due_dates(own, CALENDAR, 2026)[0].period == Period(2026, 4)


def test_a_due_time_is_londons_all_the_year_round() -> None:
    """17:00 is 16:00 UTC in summer and 17:00 UTC in winter."""
    rounds = due_dates(shipped("post16-destinations"), CALENDAR, 2026)
    assert rounds[3].due.astimezone(UTC).hour == 16
    assert rounds[8].due.astimezone(UTC).hour == 17


def test_a_window_without_a_working_day_reaches_to_the_next() -> None:
    """1 to 3 January 2027 is a holiday and a weekend: due on Monday the 4th. A single holiday likewise."""
    assert due_of({"kind": "days", "from": 1, "to": 3}, 2027, 1) == date(2027, 1, 4)
    assert due_of({"kind": "dates", "dates": [date(2026, 12, 28)]}, 2026, 12) == date(2026, 12, 29)
    assert due_of({"kind": "working_days", "from": 24, "to": 25}, 2026, 4) == date(2026, 5, 1)


def due_of(window: dict[str, Any], year: int, month: int, **recurrence: Any) -> date:
    """The due day of that month, under a window."""
    exchange = an_exchange(window, **recurrence)
    rounds = due_dates(exchange, CALENDAR, sharing_year(date(year, month, 1)))
    covered = Period(year, month)
    exchange_round = next(r for r in rounds if _month_after(r.period) == covered)
    return exchange_round.due.date()


def _month_after(period: Period) -> Period:
    return Period(period.opens.year, period.opens.month)


@pytest.mark.parametrize(
    ("window", "due", "expected"),
    [
        ({"kind": "working_days", "from": 1, "to": 5}, {"at": "nth_working_day", "n": 3}, date(2026, 12, 3)),
        ({"kind": "working_days", "from": 1, "to": 5}, {"at": "nth_working_day", "n": 9}, date(2026, 12, 7)),
        ({"kind": "month"}, {"at": "nth_working_day", "n": 10}, date(2026, 12, 14)),
        ({"kind": "month"}, {"at": "day", "n": 26, "roll": "next"}, date(2026, 12, 29)),
        ({"kind": "month"}, {"at": "day", "n": 26, "roll": "previous"}, date(2026, 12, 24)),
        ({"kind": "month"}, {"at": "day", "n": 26, "roll": "none"}, date(2026, 12, 26)),
        ({"kind": "days", "from": 26, "to": 31}, {"at": "day", "n": 26, "roll": "previous"}, date(2026, 12, 29)),
        ({"kind": "days", "from": 10, "to": 12}, {"at": "day", "n": 3}, date(2026, 12, 10)),
        ({"kind": "days", "from": 1, "to": 7}, {"at": "last_working_day"}, date(2026, 12, 31)),
        ({"kind": "week", "n": 2, "first": "full"}, {"at": "window_end"}, date(2026, 12, 18)),
    ],
)
def test_a_due_day_is_chosen_as_the_exchange_says(window: dict[str, Any], due: dict[str, Any], expected: date) -> None:
    """Window's end, n-th working day of the window, last of the month, or a fixed day that is moved as agreed."""
    assert due_of(window, 2026, 12, due=due) == expected


def test_dates_that_are_named_fall_due_in_their_months_only() -> None:
    """Two dates in a year are two rounds; two in one month are one window."""
    exchange = an_exchange(
        {"kind": "dates", "dates": [date(2026, 10, 5), date(2026, 10, 9), date(2027, 1, 31)]}, months=None
    )
    assert [r.due.date() for r in due_dates(exchange, CALENDAR, 2026)] == [date(2026, 10, 9), date(2027, 2, 1)]


def test_blank_months_make_nothing_due() -> None:
    """Nobody said which months: none, not all."""
    assert due_dates(an_exchange({"kind": "month"}, months=None), CALENDAR, 2026) == ()
    assert len(due_dates(an_exchange({"kind": "month"}, months=[5, 6]), CALENDAR, 2026)) == 2


def test_after_an_event_it_is_due_so_many_working_days_later() -> None:
    """The download of 7 July 2026 makes the residents due on the 21st, at 17:00."""
    assert due_after_event(shipped("year11-residents"), CALENDAR, date(2026, 7, 7)) == london("2026-07-21T17:00")
    assert due_after_event(shipped("trial"), CALENDAR, date(2026, 7, 7)) is None
    assert working_days_after(CALENDAR, date(2026, 12, 24), 1) == date(2026, 12, 29)
    assert working_days_after(CALENDAR, date(2026, 12, 25), 0) == date(2026, 12, 29)


def test_a_year_that_no_calendar_covers_is_an_error() -> None:
    """Never a year without holidays: the sentence names the calendar and the day."""
    with pytest.raises(CalendarUncovered, match="england-and-wales does not cover Sat 1 Jan 2028"):
        due_dates(shipped("post16-destinations"), CALENDAR, 2027)
    with pytest.raises(CalendarUncovered):
        is_working(CALENDAR, date(2025, 12, 31))


def test_rounds_ahead_end_at_the_horizon_or_with_the_calendar() -> None:
    """From now on, never a past one; fourteen months, or as far as the calendar reaches."""
    exchange, now = shipped("post16-destinations"), london("2026-11-06T17:00")
    near = due_ahead(exchange, CALENDAR, now, 2)
    assert [day_words(r.due.date()) for r in near] == ["Mon 7 Dec 2026"]
    far = due_ahead(exchange, CALENDAR, now, 36)
    assert (len(far), day_words(far[-1].due.date())) == (13, "Tue 7 Dec 2027")
    before = due_ahead(exchange, CALENDAR, now - timedelta(seconds=1), 2)
    assert day_words(before[0].due.date()) == "Fri 6 Nov 2026"


def test_a_holiday_anywhere_in_the_united_kingdom_is_no_working_day_for_foi() -> None:
    """Received on Mon 16 Nov 2026, 20 working days end on Tue 15 Dec: 30 November is a holiday in Scotland."""
    kingdom = next(calendar for calendar in SHIPPED.calendars if calendar.id == "uk-any-nation")
    assert working_days_after(kingdom, date(2026, 11, 16), 20) == date(2026, 12, 15)
    assert working_days_after(CALENDAR, date(2026, 11, 16), 20) == date(2026, 12, 14)


@pytest.mark.parametrize("exchange_id", ["post16-destinations", "year14-destinations", "september-guarantee"])
def test_what_is_due_can_be_sent_from_the_windows_first_day_on(exchange_id: str) -> None:
    """The period is open in the whole of its window, whether it covers the month before or the same month."""
    exchange = shipped(exchange_id)
    for each in due_dates(exchange, CALENDAR, 2026):
        for moment in (datetime.combine(each.opens, time(0), LONDON), each.due):
            assert each.period.is_open(moment, 2, within=exchange.covers_its_month)


# ------------------------------------------------------------------ what holds for every calendar and every schedule

YEARS = range(2020, 2050)


@st.composite
def calendars(draw: st.DrawFn, year: int) -> Calendar:
    """A calendar of the years around, with up to forty holidays wherever, whole weeks of them at times."""
    first = date(year - 1, 1, 1)
    holidays = set(draw(st.lists(st.dates(first, date(year + 2, 12, 31)), max_size=40)))
    for start in draw(st.lists(st.dates(first, date(year + 2, 12, 1)), max_size=3)):
        holidays |= {start + timedelta(days=n) for n in range(draw(st.integers(1, 21)))}
    return Calendar(
        id="drawn", source="drawn", covers_from=first, covers_until=date(year + 3, 6, 30), holidays=tuple(holidays)
    )


day_of_month = st.integers(1, 31)
windows = st.one_of(
    st.fixed_dictionaries({"kind": st.just("working_days"), "from": st.integers(1, 25), "to": st.integers(1, 25)}),
    st.fixed_dictionaries({"kind": st.just("days"), "from": day_of_month, "to": day_of_month}),
    st.fixed_dictionaries(
        {
            "kind": st.just("week"),
            "n": st.integers(1, 5),
            "first": st.sampled_from(["full", "containing_1st", "containing_first_working_day"]),
        }
    ),
    st.just({"kind": "month"}),
)
dues = st.fixed_dictionaries(
    {
        "at": st.sampled_from(["window_end", "nth_working_day", "last_working_day", "day"]),
        "n": st.none() | day_of_month,
        "roll": st.sampled_from(["previous", "next"]),
        "time": st.sampled_from(["00:00", "01:30", "17:00", "23:59"]),
    }
)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), year=st.sampled_from(YEARS), window=windows, due=dues)
def test_a_due_day_is_a_working_day_and_never_before_its_window(
    data: st.DataObject, year: int, window: dict[str, Any], due: dict[str, Any]
) -> None:
    """Thirty years, any calendar, any window, any way of choosing the day; twelve rounds, each later than the last."""
    calendar = data.draw(calendars(year))
    rounds = due_dates(an_exchange(window, due=due), calendar, year)
    assert len(rounds) == 12
    for each in rounds:
        assert is_working(calendar, each.due.date())
        assert each.opens <= each.due.date()
        assert each.opens <= each.closes
        assert is_working(calendar, each.closes)
        assert each.due.tzinfo is LONDON


@settings(max_examples=100, deadline=None)
@given(data=st.data(), year=st.sampled_from(YEARS), window=windows, day=day_of_month)
def test_only_a_policy_that_says_so_makes_something_due_on_another_day(
    data: st.DataObject, year: int, window: dict[str, Any], day: int
) -> None:
    """`roll: none` is the day as written, working or not, and still never before the window; every month has one."""
    calendar = data.draw(calendars(year))
    written = due_dates(an_exchange(window, due={"at": "day", "n": day, "roll": "none"}), calendar, year)
    moved = due_dates(an_exchange(window, due={"at": "day", "n": day, "roll": "next"}), calendar, year)
    for plain, rolled in zip(written, moved, strict=True):
        assert plain.opens <= plain.due.date() <= rolled.due.date()
        assert is_working(calendar, plain.due.date()) == (plain.due == rolled.due)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), year=st.sampled_from(YEARS), window=windows)
def test_what_is_ahead_is_what_the_years_say(data: st.DataObject, year: int, window: dict[str, Any]) -> None:
    """The rounds ahead are those of the sharing years, from now to the horizon, each once and in order."""
    calendar, exchange = data.draw(calendars(year)), an_exchange(window)
    now = data.draw(st.datetimes(datetime(year, 4, 1), datetime(year + 1, 3, 31), timezones=st.just(LONDON)))
    every = sorted(r for y in (year - 1, year, year + 1) for r in _whole(exchange, calendar, y))
    until = now.date() + timedelta(days=180)
    ahead = due_ahead(exchange, calendar, now, 6)
    assert [r for r in ahead if r.due.date() <= until - timedelta(days=10)] == [
        r for r in every if now < r.due and r.due.date() <= until - timedelta(days=10)
    ]
    assert list(ahead) == sorted(set(ahead))


def _whole(exchange: Exchange, calendar: Calendar, year: int) -> tuple[Any, ...]:
    try:
        return due_dates(exchange, calendar, year)
    except CalendarUncovered:
        return ()


@settings(max_examples=60, deadline=None)
@given(data=st.data(), year=st.sampled_from(YEARS), count=st.integers(1, 60))
def test_counting_working_days_agrees_with_listing_them(data: st.DataObject, year: int, count: int) -> None:
    """The n-th after a day is the n-th of the list of the days after it."""
    calendar, start = data.draw(calendars(year)), date(year, 4, 1)
    end = working_days_after(calendar, start, count)
    assert len(working_days(calendar, start + timedelta(days=1), end)) == count
    assert working_until(calendar, end) == end
    assert set(working_days_of_month(calendar, start)) <= set(working_days(calendar, start, start.replace(day=30)))


def test_a_window_is_read_as_the_file_says_it() -> None:
    """`from` and `to` are the names in the file."""
    assert READINGS[4][1] == Window.model_validate({"kind": "working_days", "from": 1, "to": 5})
