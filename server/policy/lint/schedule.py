"""Each exchange says when it comes round: months, days, a calendar that reaches; all carry what the text promises.

Blank cells of the schedule (appendix 1) are findings, never "all months".
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from server.domain.agreement import Calendar, Exchange, Window
from server.domain.agreement.terms import after
from server.policy.lint.frame import Check, Desk, LintFinding

SHORT_MONTHS = 6
"""A calendar that covers less than this ahead is short, whatever the horizon is."""
UNSCHEDULED = frozenset({"on_request", "ad_hoc"})


def _months(desk: Desk) -> Iterator[LintFinding]:
    for exchange in desk.policy.exchanges:
        if _says_when(exchange):
            continue
        yield desk.finding(
            "SCHEDULE_MONTHS_BLANK",
            "warn",
            ("exchanges", exchange.id, "recurrence"),
            f"{exchange.id} does not say in which months it is due.",
            "Agree the months, then write recurrence.months: a list, or all.",
        )


def _says_when(exchange: Exchange) -> bool:
    """Whether its months are stated, or it follows no calendar."""
    recurrence, event = exchange.recurrence, exchange.external_event
    if recurrence is not None and (recurrence.months or recurrence.after_event is not None):
        return True
    if recurrence is not None and recurrence.window is not None and recurrence.window.kind == "dates":
        return True
    if exchange.obligation == "external":
        return event is not None and bool(event.expected_months)
    return exchange.obligation in UNSCHEDULED and recurrence is None


def _frequency(desk: Desk) -> Iterator[LintFinding]:
    for exchange in desk.policy.exchanges:
        path, recurrence = ("exchanges", exchange.id), exchange.recurrence
        if exchange.obligation == "external":
            yield desk.finding(
                "SCHEDULE_FREQ_EXTERNAL",
                "info",
                (*path, "obligation"),
                f"{exchange.id} is something that its members do elsewhere; no file comes through here.",
                "If that is meant, nothing is to be done: its members are asked to attest it.",
            )
        elif exchange.obligation is None or (
            exchange.obligation not in UNSCHEDULED
            and (recurrence is None or (recurrence.window is None and recurrence.after_event is None))
        ):
            yield desk.finding(
                "SCHEDULE_FREQ_BLANK",
                "error",
                path,
                f"{exchange.id} does not say how often it is due.",
                "Agree it, then write obligation, and recurrence.window or recurrence.after_event.",
            )


def _windows(desk: Desk) -> Iterator[LintFinding]:
    for exchange in desk.policy.exchanges:
        window = exchange.recurrence.window if exchange.recurrence else None
        path = ("exchanges", exchange.id, "recurrence", "window")
        if window is None:
            continue
        if window.first == "containing_1st":
            yield desk.finding(
                "WEEK_CONTAINING_FIRST",
                "error",
                (*path, "first"),
                f"The week with the first of the month can end before the month begins: {exchange.id} would be due "
                "too early.",
                "Write first: full, or working_days from and to.",
            )
        if lack := _lacks(window) or _due_lacks(exchange):
            yield desk.finding(
                "WINDOW_INCOMPLETE",
                "error",
                path,
                f"The schedule of {exchange.id} does not say {lack}: there are several readings, days apart.",
                f"Write {lack}.",
            )


def _lacks(window: Window) -> str:
    """What the window leaves open; empty if nothing."""
    if window.kind in ("working_days", "days"):
        if window.from_ is None or window.to is None:
            return "from and to"
        return "" if window.from_ <= window.to else "a from that comes before its to"
    if window.kind == "week":
        return "" if window.n is not None and window.first is not None else "n and first"
    return "dates" if window.kind == "dates" and not window.dates else ""


def _due_lacks(exchange: Exchange) -> str:
    """What the due day leaves open; empty if nothing."""
    due = exchange.recurrence.due if exchange.recurrence else None
    return "due.n" if due is not None and due.at in ("nth_working_day", "day") and due.n is None else ""


def _calendars(desk: Desk) -> Iterator[LintFinding]:
    named = {exchange.recurrence.calendar for exchange in desk.policy.exchanges if exchange.recurrence}
    rights = desk.policy.rights
    if rights is not None:
        named |= {rights.sar.calendar, rights.foi.calendar}
    for calendar in desk.policy.calendars:
        if calendar.id in named:
            yield from _horizon(desk, calendar)
    for exchange in desk.policy.exchanges:
        recurrence = exchange.recurrence
        if recurrence is not None and recurrence.months and recurrence.calendar is None:
            yield desk.finding(
                "CALENDAR_NOT_NAMED",
                "error",
                ("exchanges", exchange.id, "recurrence"),
                f"{exchange.id} is due on working days, and no calendar says which those are.",
                "Add recurrence.calendar.",
            )


def _horizon(desk: Desk, calendar: Calendar) -> Iterator[LintFinding]:
    """How far ahead it reaches. An uncovered day is an error at the time, never a working day."""
    months, end = desk.policy.policy.horizon_months, calendar.covers_until
    short, wanted = _ahead(desk, SHORT_MONTHS), _ahead(desk, months)
    covers_today = calendar.covers_from <= desk.today <= end
    if covers_today and end >= max(short, wanted):
        return
    yield desk.finding(
        "CALENDAR_HORIZON_SHORT",
        "error" if not covers_today else "warn" if end < short else "info",
        ("calendars", calendar.id, "covers_until"),
        f"The calendar {calendar.id} covers {calendar.covers_from} to {end}; {months} months ahead are planned.",
        "Add the years that have been published since: nothing is due where no calendar reaches.",
    )


def _ahead(desk: Desk, months: int) -> date:
    return after(desk.today, f"P{months}M")


def _types(desk: Desk) -> Iterator[LintFinding]:
    """What the text promises, and the rows that carry it (appendix 1, R-110)."""
    promised = desk.policy.agreement.information_types
    for information in promised:
        if not information.exchanges:
            yield desk.finding(
                "TYPE_WITHOUT_SCHEDULE",
                "warn",
                ("agreement", "information_types", information.id),
                f"The text promises “{information.text}”, and no row of the schedule carries it.",
                "Agree a row, or take the promise out.",
                target=f"agreement/{information.id}",
            )
    carried = {exchange_id for information in promised for exchange_id in information.exchanges}
    for exchange in desk.policy.exchanges if promised else ():
        if exchange.source_row is not None and exchange.id not in carried:
            yield desk.finding(
                "SCHEDULE_WITHOUT_TYPE",
                "warn",
                ("exchanges", exchange.id),
                f"{exchange.id} carries what the text nowhere names as information that may be shared.",
                "Name it in agreement.information_types.",
            )


CHECKS: tuple[Check, ...] = (_months, _frequency, _windows, _calendars, _types)
