"""The schedule in plain words: window, due time, months, as people read it in a timetable and in the published text."""

from __future__ import annotations

from datetime import date

from server.domain.agreement import Due, Exchange, Recurrence, Window
from server.domain.schedule import day_words

_MONTHS = tuple(f"{date(2000, number, 1):%B}" for number in range(1, 13))
_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_WEEKS = {
    "full": "the {n} full week, Monday to Friday",
    "containing_1st": "the {n} week, counted from the one with the 1st in it",
    "containing_first_working_day": "the {n} week, counted from the one with the first working day in it",
    None: "the {n} week (the text does not say how weeks are counted)",
}
_OBLIGATIONS = {
    "required": "Required",
    "best_efforts": "Where relevant and able",
    "external": "Done elsewhere",
    "on_request": "On request",
    "ad_hoc": "Outside the schedule, each time by itself",
    None: "Not stated",
}
_ACRONYMS = frozenset({"nccis", "dfe", "dwp"})
_UNITS = {"D": "day", "M": "month", "Y": "year", "TH": "hour", "TM": "minute", "TS": "second"}


def obligation_words(exchange: Exchange) -> str:
    """Whether it must be sent."""
    return _OBLIGATIONS[exchange.obligation]


def schedule_words(exchange: Exchange) -> str:
    """When it is sent: one sentence."""
    recurrence = exchange.recurrence
    if exchange.obligation == "external":
        return f"{_event_words(exchange)}; no file goes through this exchange."
    if exchange.obligation == "ad_hoc":
        return "When there is a reason, and a governance lead has approved it."
    if recurrence is None:
        return "Whenever it is asked for." if exchange.obligation == "on_request" else "Nobody has said when."
    if recurrence.after_event is not None:
        return f"Within {working_days_words(recurrence.after_event.within)} of “{_said(recurrence.after_event.event)}”."
    if recurrence.window is None:
        return "Nobody has said when."
    days = f"{_capital(window_words(recurrence.window))} of {_months(recurrence)}"
    covers = "the month before" if recurrence.covers == "previous_month" else "the same month"
    return f"{days}; {due_words(recurrence.due)}; for {covers}."


def window_words(window: Window) -> str:
    """The days of a month in which it falls."""
    match window.kind:
        case "working_days":
            return f"working days {window.from_ or 1} to {window.to or 'the last'}"
        case "days":
            return f"days {window.from_ or 1} to {window.to or 'the last'}"
        case "week":
            return _WEEKS[window.first].format(n=_ORDINALS[(window.n or 1) - 1])
        case "month":
            return "any day"
        case "dates":
            return ", ".join(map(day_words, window.dates))


def due_words(due: Due) -> str:
    """When in the window it is due."""
    match due.at:
        case "window_end":
            day = "due on the last working day of these"
        case "last_working_day":
            day = "due on the month's last working day"
        case "nth_working_day":
            day = f"due on working day {due.n} of these" if due.n else "due on the last working day of these"
        case "day":
            moved = {
                "previous": "or the working day before",
                "next": "or the next working day",
                "none": "whatever day it is",
            }
            day = f"due on day {due.n or 'the last'} of the month, {moved[due.roll]}"
    return f"{day} at {due.time}"


def clause_words(clause: str) -> str:
    """clause 2.7, or the place in the text as it is named."""
    return f"clause {clause}" if clause[:1].isdigit() else clause


def working_days_words(count: str) -> str:
    """2wd as people say it."""
    number = int(count.removesuffix("wd"))
    return "one working day" if number == 1 else f"{number} working days"


def span_words(span: str) -> str:
    """P2M or PT72H as people say it."""
    unit = _UNITS[("T" if "T" in span else "") + span[-1]]
    number = int(span.strip("PTDMYHS"))
    return f"one {unit}" if number == 1 else f"{number} {unit}s"


def date_words(day: date) -> str:
    """A day in full: 1 September 2026."""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def listed(words: tuple[str, ...]) -> str:
    """a, b and c."""
    return " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else "".join(words)


def _months(recurrence: Recurrence) -> str:
    if recurrence.months == "all":
        return "every month"
    if recurrence.months is None:
        return "months that nobody has stated"
    return listed(tuple(_MONTHS[number - 1] for number in recurrence.months if 1 <= number <= 12))


def _event_words(exchange: Exchange) -> str:
    event = exchange.external_event
    if event is None:
        return "Each member does it elsewhere"
    months = listed(tuple(_MONTHS[number - 1] for number in event.expected_months if 1 <= number <= 12))
    return f"After “{_said(event.name)}”" + (f", expected in {months}" if months else "")


def _said(name: str) -> str:
    """An id as words, its acronyms in capitals."""
    return " ".join(word.upper() if word in _ACRONYMS else word for word in name.split("-"))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
