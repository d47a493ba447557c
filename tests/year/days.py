"""Days for the oracle, from the policy's YAML alone: nothing of the product's own arithmetic is used here."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ruamel.yaml import YAML

LONDON = ZoneInfo("Europe/London")
DAY = timedelta(days=1)
POLICY = Path(__file__).parents[2] / "policies" / "ccis-v2"


def read(name: str) -> Any:
    """One file of the shipped policy set as plain values."""
    return YAML(typ="safe").load((POLICY / name).read_text())


def at(day: date, clock: str) -> datetime:
    """That moment by London's clock."""
    return datetime.combine(day, time.fromisoformat(clock), tzinfo=LONDON)


def clock(moment: datetime) -> str:
    """2026-12-07 17:00 by London's clock; seconds do not count."""
    return moment.astimezone(LONDON).strftime("%Y-%m-%d %H:%M")


def months_later(day: date, months: int) -> date:
    """The same day of the month, or its last."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def each(first: date, last: date) -> Iterator[date]:
    """Every day from the first to the last."""
    while first <= last:
        yield first
        first += DAY


@dataclass(frozen=True)
class Days:
    """Working days: Monday to Friday without these."""

    holidays: frozenset[date]

    @classmethod
    def shipped(cls) -> Days:
        return cls(frozenset(read("calendars/england-and-wales.yaml")["holidays"]))

    def working(self, day: date) -> bool:
        return day.weekday() < 5 and day not in self.holidays

    def after(self, day: date, count: int) -> date:
        """The count-th working day after it; before it for a negative count."""
        step = DAY if count > 0 else -DAY
        for _ in range(abs(count)):
            day += step
            while not self.working(day):
                day += step
        return day

    def until(self, day: date) -> date:
        """The last working day on or before it."""
        return day if self.working(day) else self.after(day, -1)

    def on_or_after(self, day: date) -> date:
        return day if self.working(day) else self.after(day, 1)

    def of_month(self, first: date) -> list[date]:
        last = months_later(first, 1) - DAY
        return [day for day in each(first, last) if self.working(day)]


@dataclass(frozen=True)
class Round:
    """One month of one exchange, as the oracle reads the schedule."""

    exchange: str
    period: str
    opens: date
    due: datetime
    reminders: tuple[tuple[datetime, tuple[str, ...]], ...]
    """When, and which roles of the sender are reminded."""
    kind: str

    @property
    def begins(self) -> datetime:
        """When anybody first hears of it, or its window opens."""
        return min(at(self.opens, "00:00"), *(when for when, _ in self.reminders))

    @property
    def due_day(self) -> date:
        return self.due.astimezone(LONDON).date()


FILES = {
    "post16-destinations": "a1-post16-destinations",
    "movers": "a2-movers",
    "year14-destinations": "a5-year14-destinations",
    "september-guarantee": "a6-september-guarantee",
}
"""The exchanges with a window, and the files that they stand in."""


def rounds(days: Days, first: date, last: date) -> list[Round]:
    """Every round that falls due from the first day to the last, in order."""
    found = []
    for exchange, file in FILES.items():
        text = read(f"exchanges/{file}.yaml")
        month = first.replace(day=1)
        while month <= last:
            found.append(_round(days, exchange, text, month))
            month = months_later(month, 1)
    return sorted((r for r in found if first <= r.due_day <= last), key=lambda r: (r.due, r.exchange))


def _round(days: Days, exchange: str, text: Any, month: date) -> Round:
    recurrence, window = text["recurrence"], text["recurrence"]["window"]
    working = days.of_month(month)
    if window["kind"] == "working_days":
        opens, due_day = working[window["from"] - 1], working[window["to"] - 1]
    else:
        assert (window["kind"], recurrence["due"]["at"]) == ("month", "last_working_day")
        opens, due_day = month, working[-1]
    covered = month if recurrence["covers"] == "same_month" else months_later(month, -1)
    told = []
    for each_one in text["reminders"]:
        if each_one.get("at") == "window_start":
            day = opens
        elif each_one.get("at") == "due_day":
            day = due_day
        elif "before_due" in each_one:
            day = days.after(due_day, -_wd(each_one["before_due"]))
        else:
            day = days.after(due_day, _wd(each_one["after_due"]))
        told.append((at(day, str(each_one["time"])), tuple(each_one["to"])))
    due = at(due_day, str(recurrence["due"]["time"]))
    return Round(exchange, f"{covered:%Y-%m}", opens, due, tuple(told), text["obligation"])


def _wd(text: str) -> int:
    return int(text.removesuffix("wd"))
