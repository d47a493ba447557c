"""Which days are working days. A day that the calendar does not cover is an error, never a day without holidays."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from server.domain.agreement import Calendar
from server.domain.errors import SafehandError
from server.domain.schedule import add_months, day_words

DAY = timedelta(days=1)
MONDAY, SATURDAY = 0, 5


class CalendarUncovered(SafehandError):
    """Nobody has entered the holidays of that day's year yet."""

    code = "CALENDAR_UNCOVERED"

    def __init__(self, calendar: Calendar, day: date) -> None:
        super().__init__(
            f"The calendar {calendar.id} does not cover {day_words(day)}: enter that year's holidays in the policy set."
        )


def is_covered(calendar: Calendar, day: date) -> bool:
    """Whether the calendar says anything of this day."""
    return calendar.covers_from <= day <= calendar.covers_until


def is_working(calendar: Calendar, day: date) -> bool:
    """Monday to Friday and no holiday. Raises CalendarUncovered for a day that the calendar does not cover."""
    if not is_covered(calendar, day):
        raise CalendarUncovered(calendar, day)
    return day.weekday() < SATURDAY and day not in calendar.holidays


def working_from(calendar: Calendar, day: date) -> date:
    """The first working day on or after `day`."""
    while not is_working(calendar, day):
        day += DAY
    return day


def working_until(calendar: Calendar, day: date) -> date:
    """The last working day on or before `day`."""
    while not is_working(calendar, day):
        day -= DAY
    return day


def working_days(calendar: Calendar, first: date, last: date) -> tuple[date, ...]:
    """The working days from `first` to `last`, both included."""
    return tuple(day for day in _days(first, last) if is_working(calendar, day))


def working_days_of_month(calendar: Calendar, first: date) -> tuple[date, ...]:
    """The working days of the month that begins on `first`."""
    return working_days(calendar, first, last_of_month(first))


def working_days_after(calendar: Calendar, day: date, count: int) -> date:
    """The `count`-th working day after `day`, which counts for nothing itself; for 0 the first one on or after it."""
    day = working_from(calendar, day) if count == 0 else day
    for _ in range(count):
        day = working_from(calendar, day + DAY)
    return day


def working_days_before(calendar: Calendar, day: date, count: int) -> date:
    """The `count`-th working day before `day`, which counts for nothing itself; for 0 the last one on or before it."""
    day = working_until(calendar, day) if count == 0 else day
    for _ in range(count):
        day = working_until(calendar, day - DAY)
    return day


def last_of_month(first: date) -> date:
    """The last day of the month that begins on `first`."""
    return add_months(first, 1) - DAY


def monday_of(day: date) -> date:
    """The Monday of the week in which `day` is, Sunday being its last."""
    return day - timedelta(days=day.weekday())


def _days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += DAY
