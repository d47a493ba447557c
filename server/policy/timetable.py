"""When everything is due in one sharing year, and what other readings of "1st week" would make of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from server.domain.agreement import Calendar, Exchange, PolicySet
from server.domain.calendar import CalendarUncovered
from server.domain.due import READINGS, due_in, months_due, months_of, window_days, year_words
from server.domain.schedule import day_words, in_words
from server.domain.schedule_words import clause_words, obligation_words, schedule_words


def timetable(policy: PolicySet, year: int) -> Iterator[str]:
    """Every exchange with its rounds in the sharing year that begins in April of `year`."""
    yield f"Due dates of {year_words(year)}, April to March. Times are London's."
    calendars = {calendar.id: calendar for calendar in policy.calendars}
    for exchange in policy.exchanges:
        yield ""
        yield f"{exchange.id}: {exchange.called} ({clause_words(exchange.clause)})"
        yield f"  {obligation_words(exchange)}. {schedule_words(exchange)}"
        recurrence = exchange.recurrence
        calendar = calendars.get(recurrence.calendar) if recurrence and recurrence.calendar else None
        if calendar is not None:
            yield from _rounds(exchange, calendar, year)


def _rounds(exchange: Exchange, calendar: Calendar, year: int) -> Iterator[str]:
    for month in months_due(exchange, year):
        try:
            found = due_in(exchange, calendar, month)
        except CalendarUncovered as uncovered:
            yield f"  {month:%b %Y}  {uncovered.sentence}"
        else:
            yield f"  for {found.period.words}: from {day_words(found.opens)}, due {in_words(found.due)}"


def readings(policy: PolicySet, year: int) -> Iterator[str]:
    """The last working day of each month's window, for every reading, side by side; one table a calendar in use."""
    used = {e.recurrence.calendar for e in policy.exchanges if e.recurrence and e.recurrence.window}
    for calendar in policy.calendars:
        if calendar.id in used:
            yield ""
            yield f"The readings of “1st week” and “3rd week”, calendar {calendar.id}: the last working day of each."
            yield from _columns([["", *(name for name, _ in READINGS)], *(_row(calendar, m) for m in months_of(year))])
            yield "(!) is before the month begins."


def _row(calendar: Calendar, month: date) -> list[str]:
    return [f"{month:%b %Y}", *(_end(calendar, month, number) for number in range(len(READINGS)))]


def _end(calendar: Calendar, month: date, number: int) -> str:
    try:
        _, end = window_days(READINGS[number][1], calendar, month)
    except CalendarUncovered:
        return "not covered"
    return f"{end:%a} {end.day}" if end >= month else f"{end:%a} {end.day} {end:%b} (!)"


def _columns(rows: list[list[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
