"""When whom is reminded of what it owes: the stages of one round, by the exchange's own reminders. Pure.

What is asked for, or done elsewhere, and names no reminders is chased as its acknowledgement says. Best efforts are
told of once, when their window opens (R-112).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time

from server.domain.agreement import Calendar, Exchange
from server.domain.agreement.exchanges import Reminder
from server.domain.agreement.terms import Role
from server.domain.calendar import CalendarUncovered, working_days_after, working_days_before
from server.domain.obligation import Kind
from server.domain.schedule import LONDON, london_day

MORNING = time(9, 30)


@dataclass(frozen=True, slots=True)
class Prompt:
    """One stage: its name, when it comes (aware), the roles of the sender that it is for."""

    stage: str
    at: datetime
    roles: tuple[Role, ...]


def prompts(exchange: Exchange, kind: Kind, calendar: Calendar, opens: date, due: datetime) -> tuple[Prompt, ...]:
    """The stages of one round in the order in which they come; none on a day that the calendar does not cover."""
    if exchange.reminders:
        found = [_reminder(one, calendar, opens, due) for one in exchange.reminders if _fits(one, kind)]
    else:
        found = list(_unwritten(exchange, kind, calendar, opens, due))
    if kind == "on_request" and exchange.reminders:
        found.insert(0, Prompt("asked", _at(opens, time(9)), ("designated_person",)))
    merged: dict[str, Prompt] = {}
    for prompt in found:
        if prompt is None:
            continue
        other = merged.get(prompt.stage)
        roles = tuple(dict.fromkeys((*other.roles, *prompt.roles))) if other else prompt.roles
        merged[prompt.stage] = Prompt(prompt.stage, min(prompt.at, other.at) if other else prompt.at, roles)
    return tuple(sorted(merged.values(), key=lambda one: one.at))


def _fits(reminder: Reminder, kind: Kind) -> bool:
    return kind != "best_efforts" or reminder.at == "window_start"


def _reminder(one: Reminder, calendar: Calendar, opens: date, due: datetime) -> Prompt | None:
    roles = tuple(dict.fromkeys((*one.to, *(("governance_lead",) if one.style == "escalate" else ()))))
    day, clock = london_day(due), time.fromisoformat(one.time)
    try:
        if one.at == "window_start":
            return Prompt("window-start", _at(opens, clock), roles)
        if one.before_due is not None:
            before = working_days_before(calendar, day, _days(one.before_due))
            return Prompt(f"before-{one.before_due}", _at(before, clock), roles)
        if one.after_due is not None:
            after = working_days_after(calendar, day, _days(one.after_due))
            return Prompt(f"after-{one.after_due}", _at(after, clock), roles)
    except CalendarUncovered:
        return None
    return Prompt("due-day", _at(day, clock), roles)


def _unwritten(
    exchange: Exchange, kind: Kind, calendar: Calendar, opens: date, due: datetime
) -> Iterator[Prompt | None]:
    """Told at once, on the due day, then chased as an acknowledgement would be (clause 9)."""
    role: Role = "data_manager" if kind == "external" else "designated_person"
    yield Prompt("window-start", _at(opens, time(9)), (role,))
    if kind == "best_efforts":
        return
    yield Prompt("due-day", _at(london_day(due), MORNING), (role,))
    rule = exchange.acknowledge
    for number in range(1, rule.max_chases + 2):
        last = number > rule.max_chases
        try:
            day = working_days_after(calendar, london_day(due), number * _days(rule.chase_every))
        except CalendarUncovered:
            return
        yield Prompt(f"chase-{number}", _at(day, MORNING), (rule.then if last else role,))


def _days(text: str) -> int:
    return int(text.removesuffix("wd"))


def _at(day: date, clock: time) -> datetime:
    return datetime.combine(day, clock, tzinfo=LONDON)
