"""Periods and months. Wall-clock rules are Europe/London; durations are UTC."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

LONDON = ZoneInfo("Europe/London")
_PERIOD = re.compile(r"((?:19|2\d)\d{2})-(0[1-9]|1[0-2])")
_SPAN = re.compile(r"P(?:(\d{1,4})([DMY])|T(\d{1,4})([HMS]))")


def add_months(day: date, months: int) -> date:
    """The same day `months` later, clamped to the month's end, never rolled into the next (31 Dec + 2 = 28 Feb)."""
    index = day.year * 12 + day.month - 1 + months
    year, month = divmod(index, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def day_after(day: date, span: str, times: int = 1) -> date:
    """The day so many spans (P7D, P6M, P3Y) later, or earlier with a negative `times`; months and years are clamped.

    Raises ValueError for a span of hours, minutes or seconds: it names no day.
    """
    found = _SPAN.fullmatch(span)
    if found is None or found[2] is None:
        raise ValueError(f"{span} is no number of days, months or years")
    number = int(found[1]) * times
    if found[2] == "D":
        return day + timedelta(days=number)
    return add_months(day, number * (12 if found[2] == "Y" else 1))


def moment_after(moment: datetime, span: str) -> datetime:
    """The moment one span later, in UTC: days, months and years by the clock in London, hours and less as they pass."""
    found = _SPAN.fullmatch(span)
    if found is None:
        raise ValueError(f"{span} is no span")
    if found[4] is not None:
        unit = {"H": timedelta(hours=1), "M": timedelta(minutes=1), "S": timedelta(seconds=1)}[found[4]]
        return moment.astimezone(UTC) + int(found[3]) * unit
    local = moment.astimezone(LONDON)
    return datetime.combine(day_after(local.date(), span), local.timetz()).astimezone(UTC)


def london_day(now: datetime) -> date:
    """The calendar day in London at `now` (aware)."""
    return now.astimezone(LONDON).date()


def midnight(day: date) -> datetime:
    """The first moment of the day in London, in UTC."""
    return datetime.combine(day, time.min, tzinfo=LONDON).astimezone(UTC)


def end_of(day: date) -> datetime:
    """The last minute of the day in London, in UTC: by then something is to be done."""
    return datetime.combine(day, time(23, 59), tzinfo=LONDON).astimezone(UTC)


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """The month that a file describes, written 2026-11."""

    year: int
    month: int

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"

    @classmethod
    def parse(cls, text: str) -> Period | None:
        """The period that `text` names, or None."""
        found = _PERIOD.fullmatch(text)
        return cls(int(found[1]), int(found[2])) if found else None

    @property
    def first_day(self) -> date:
        return date(self.year, self.month, 1)

    @property
    def opens(self) -> date:
        """The first day after it, from which it is sent unless its exchange covers the same month."""
        return add_months(self.first_day, 1)

    def closes(self, use_by_months: int) -> date:
        """The last day on which it can be sent: its use-by date."""
        return add_months(self.opens, use_by_months)

    def first_sent(self, *, within: bool = False) -> date:
        """The first day on which it can be sent; `within`: in its own month already."""
        return self.first_day if within else self.opens

    def is_open(self, now: datetime, use_by_months: int, *, within: bool = False) -> bool:
        return self.first_sent(within=within) <= london_day(now) <= self.closes(use_by_months)

    @property
    def words(self) -> str:
        """As people say it: Nov 2026."""
        return self.first_day.strftime("%b %Y")


def current_period(now: datetime) -> Period:
    """The month before the month of `now`, in London."""
    before = add_months(london_day(now).replace(day=1), -1)
    return Period(before.year, before.month)


def open_periods(now: datetime, use_by_months: int, *, within: bool = False) -> tuple[Period, ...]:
    """Every period that can be sent now, newest first; `within`: a month is sent in that month already."""
    newest = london_day(now).replace(day=1)
    months = (add_months(newest, -back) for back in range(use_by_months + 3))
    candidates = (Period(day.year, day.month) for day in months)
    return tuple(period for period in candidates if period.is_open(now, use_by_months, within=within))


def use_by(available: datetime, months: int) -> date:
    """The day until which a delivery may be used: calendar months from availability, clamped."""
    return add_months(london_day(available), months)


def day_words(day: date) -> str:
    """A day as people read it: Mon 1 Feb 2027."""
    return f"{day:%a} {day.day} {day:%b %Y}"


def in_words(moment: datetime) -> str:
    """A moment as people in London read it: Tue 1 Dec 2026 09:05."""
    local = moment.astimezone(LONDON)
    return f"{day_words(local.date())} {local:%H:%M}"


def clock_words(moment: datetime, now: datetime) -> str:
    """A moment said shortly: 09:05 today, else with its day."""
    local = moment.astimezone(LONDON)
    if local.date() == london_day(now):
        return f"{local:%H:%M}"
    return f"{local:%a} {local.day} {local:%b} {local:%H:%M}"
