"""When an exchange falls due: its window in each month of the sharing year, and the due moment, London's wall clock.

A due day is a working day and never before its window. A window without a working day reaches to the next one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from server.domain.agreement import Calendar, Due, Exchange, PolicySet, Window
from server.domain.calendar import (
    CalendarUncovered,
    last_of_month,
    monday_of,
    working_days,
    working_days_after,
    working_days_of_month,
    working_from,
    working_until,
)
from server.domain.schedule import LONDON, Period, add_months, london_day

FIRST_MONTH = 4
"""The sharing year runs from April to March."""
FRIDAY = timedelta(days=4)
WEEK = timedelta(days=7)
_YEAR = re.compile(r"20[0-9]{2}-[0-9]{2}\Z")

READINGS: tuple[tuple[str, Window], ...] = (
    ("1st: days 1-7", Window.model_validate({"kind": "days", "from": 1, "to": 7})),
    ("1st: first full week", Window(kind="week", n=1, first="full")),
    ("1st: week with the 1st", Window(kind="week", n=1, first="containing_1st")),
    ("1st: week of 1st working day", Window(kind="week", n=1, first="containing_first_working_day")),
    ("1st: working days 1-5", Window.model_validate({"kind": "working_days", "from": 1, "to": 5})),
    ("3rd: days 15-21", Window.model_validate({"kind": "days", "from": 15, "to": 21})),
    ("3rd: full week", Window(kind="week", n=3, first="full")),
    ("3rd: working days 11-15", Window.model_validate({"kind": "working_days", "from": 11, "to": 15})),
)
"""What "1st week" and "3rd week" of a month may mean."""


@dataclass(frozen=True, slots=True, order=True)
class DueDate:
    """One round of an exchange: the month that its files cover, the days of its window, and when it is due (aware)."""

    due: datetime
    period: Period
    opens: date
    closes: date


def due_dates(exchange: Exchange, calendar: Calendar, year: int) -> tuple[DueDate, ...]:
    """Every round of the sharing year that begins in April of `year`, in order of time.

    None for an exchange without a window: one that is asked for, that waits for an event, that is done elsewhere.
    Raises CalendarUncovered if the calendar does not reach over the whole of it.
    """
    return tuple(due_in(exchange, calendar, month) for month in months_due(exchange, year))


def due_ahead(exchange: Exchange, calendar: Calendar, now: datetime, horizon_months: int) -> tuple[DueDate, ...]:
    """The rounds that fall due after `now` (aware), to the horizon or the end of the calendar, whichever is nearer."""
    today = london_day(now)
    until = min(add_months(today, horizon_months), calendar.covers_until)
    near, far = add_months(today.replace(day=1), -1), add_months(until, 1)
    months = [m for year in range(sharing_year(near), far.year + 1) for m in months_due(exchange, year)]
    rounds = [_covered(exchange, calendar, month) for month in months if near <= month <= far]
    return tuple(sorted(r for r in rounds if r is not None and now < r.due and london_day(r.due) <= until))


def due_after_event(exchange: Exchange, calendar: Calendar, event: date) -> datetime | None:
    """When an exchange is due that waits for an event, given the event's day; None if it waits for none."""
    recurrence = exchange.recurrence
    if recurrence is None or recurrence.after_event is None:
        return None
    days = int(recurrence.after_event.within.removesuffix("wd"))
    return _moment(working_days_after(calendar, event, days), recurrence.due)


def months_due(exchange: Exchange, year: int) -> tuple[date, ...]:
    """The first days of the months of that sharing year in which the exchange has a window; a blank says none."""
    recurrence = exchange.recurrence
    if recurrence is None or recurrence.window is None:
        return ()
    months = tuple(months_of(year))
    if recurrence.window.kind == "dates":
        named = {day.replace(day=1) for day in recurrence.window.dates}
        return tuple(month for month in months if month in named)
    if recurrence.months is None:
        return ()
    return tuple(month for month in months if recurrence.months == "all" or month.month in recurrence.months)


def due_in(exchange: Exchange, calendar: Calendar, month: date) -> DueDate:
    """The round of one month (its first day); the exchange has a window. Raises CalendarUncovered."""
    recurrence = exchange.recurrence
    if recurrence is None or recurrence.window is None:
        raise ValueError(f"{exchange.id} has no window")
    opens, closes = window_days(recurrence.window, calendar, month)
    day = _due_day(recurrence.due, calendar, month, opens, closes)
    covered = month if exchange.covers_its_month else add_months(month, -1)
    return DueDate(_moment(day, recurrence.due), Period(covered.year, covered.month), opens, closes)


def window_days(window: Window, calendar: Calendar, month: date) -> tuple[date, date]:
    """First and last day of the window in the month that begins on `month`. It has a working day, and ends on one.

    Several dates in one month are one window, from the first of them to the last.
    """
    opens, closes = _as_written(window, calendar, month)
    inside = working_days(calendar, opens, closes)
    return opens, inside[-1] if inside else working_from(calendar, max(opens, closes))


def _as_written(window: Window, calendar: Calendar, month: date) -> tuple[date, date]:
    last = last_of_month(month)
    match window.kind:
        case "working_days":
            return _between_working_days(window, calendar, month)
        case "days":
            first_day = min(window.from_ or 1, last.day)
            return month.replace(day=first_day), month.replace(day=max(first_day, min(window.to or 31, last.day)))
        case "week":
            monday = _first_week(window, calendar, month) + WEEK * ((window.n or 1) - 1)
            return monday, monday + FRIDAY
        case "month":
            return month, last
        case "dates":
            named = [day for day in window.dates if day.replace(day=1) == month]
            return min(named), max(named)


def _between_working_days(window: Window, calendar: Calendar, month: date) -> tuple[date, date]:
    """From the n-th to the m-th working day, as far as the month has so many."""
    days = working_days_of_month(calendar, month)
    first = max(window.from_ or 1, 1)
    inside = days[first - 1 : max(window.to or len(days), first)]
    if inside:
        return inside[0], inside[-1]
    after = last_of_month(month) + timedelta(days=1)
    return after, after


def _first_week(window: Window, calendar: Calendar, month: date) -> date:
    """The Monday of the month's first week, as the window reads it; a full week where it does not say."""
    match window.first:
        case "containing_1st":
            return monday_of(month)
        case "containing_first_working_day":
            return monday_of(working_from(calendar, month))
        case _:
            return monday_of(month + timedelta(days=6))


def _due_day(due: Due, calendar: Calendar, month: date, opens: date, closes: date) -> date:
    match due.at:
        case "window_end":
            return closes
        case "last_working_day":
            return max(closes, working_until(calendar, last_of_month(month)))
        case "nth_working_day":
            inside = working_days(calendar, opens, closes)
            return inside[min(due.n or len(inside), len(inside)) - 1]
        case "day":
            wanted = month.replace(day=min(due.n or 31, last_of_month(month).day))
            return _rolled(due, calendar, max(wanted, opens), opens)


def _rolled(due: Due, calendar: Calendar, day: date, opens: date) -> date:
    """A fixed day, moved as agreed if it is no working day; never back to before the window."""
    if due.roll == "none":
        return day
    before = working_until(calendar, day)
    return before if due.roll == "previous" and before >= opens else working_from(calendar, day)


def _moment(day: date, due: Due) -> datetime:
    return datetime.combine(day, time.fromisoformat(due.time), tzinfo=LONDON)


def _covered(exchange: Exchange, calendar: Calendar, month: date) -> DueDate | None:
    try:
        return due_in(exchange, calendar, month)
    except CalendarUncovered:
        return None


def due_day(policy: PolicySet, exchange: Exchange, period: Period) -> date:
    """The day on which files of this period are due, for which ages are counted.

    Where no window or no calendar tells: the last day of the month after the period.
    """
    recurrence = exchange.recurrence
    calendar = next((c for c in policy.calendars if recurrence and c.id == recurrence.calendar), None)
    month = period.first_sent(within=exchange.covers_its_month)
    if recurrence is not None and recurrence.window is not None and calendar is not None:
        round_ = _covered(exchange, calendar, month)
        if round_ is not None:
            return london_day(round_.due)
    return last_of_month(period.opens)


def sharing_year(day: date) -> int:
    """The year in whose April the sharing year of `day` began."""
    return day.year if day.month >= FIRST_MONTH else day.year - 1


def year_words(year: int) -> str:
    """The sharing year that begins in April of `year`: 2026-27."""
    return f"{year}-{(year + 1) % 100:02d}"


def year_named(text: str) -> int | None:
    """The year in whose April the sharing year begins that is written 2026-27; None for anything else."""
    if _YEAR.match(text) is None:
        return None
    year = int(text[:4])
    return year if text == year_words(year) else None


def months_of(year: int) -> Iterator[date]:
    """The first days of the twelve months of the sharing year that begins in April of `year`."""
    yield from (add_months(date(year, FIRST_MONTH, 1), number) for number in range(12))
