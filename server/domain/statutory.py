"""When the law wants an answer: subject access, freedom of information, complaints, the ICO. Pure: days in, days out.

Wall-clock days are London's; the 72 hours are elapsed time, nights and holidays included. A day that the calendar does
not cover is an error (CalendarUncovered). Where a date rests on a reading of the law, it says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from server.domain.agreement.exchanges import Calendar
from server.domain.agreement.rules import Breach, Complaint, Consultation, Freedom, SubjectAccess
from server.domain.calendar import DAY, working_days_after, working_from
from server.domain.errors import Refused
from server.domain.schedule import LONDON, add_months, day_after, in_words, moment_after

CONFIRM = "confirm with your DPO"
"""Said beside a date that rests on a reading of the law."""
FORTY_DAYS = 40


@dataclass(frozen=True, slots=True)
class Regime:
    """The data protection law of requests received from `first` on."""

    first: date
    name: str


DPA_1998 = Regime(date(2000, 3, 1), "Data Protection Act 1998")
GDPR = Regime(date(2018, 5, 25), "UK GDPR and Data Protection Act 2018")
DUAA = Regime(date(2026, 2, 5), "UK GDPR as amended by the Data (Use and Access) Act 2025")
REGIMES = (DPA_1998, GDPR, DUAA)
"""Oldest first (R-030): the agreement of 2016 names the first "or any subsequent replacement legislation"."""


@dataclass(frozen=True, slots=True)
class Clarification:
    """Days on which a request waited for what was reasonably asked of the person; `answered` None while it waits."""

    asked: date
    answered: date | None = None


@dataclass(frozen=True, slots=True)
class SubjectAccessClock:
    """When a subject access request is due: `due` is None while the clock is stopped.

    `stopped` days did not count; `tell_by` is the last day on which an extension can be told.
    """

    regime: Regime
    due: date | None
    tell_by: date | None
    stopped: int
    confirm: bool

    @property
    def note(self) -> str:
        """What stands beside the date; nothing where the date is plain."""
        if not self.stopped and self.due is not None:
            return ""
        days = f"{self.stopped} day{'' if self.stopped == 1 else 's'} stopped for clarification"
        return f"{days if self.due else 'the clock is stopped for clarification'}: {CONFIRM}"


def regime_on(received: date) -> Regime:
    """The law for a request received on that day. Raises Refused before the Act of 1998 was in force."""
    found = [regime for regime in REGIMES if regime.first <= received]
    if not found:
        raise Refused("No law that this agreement names was in force on that day: check the day of receipt.")
    return found[-1]


def subject_access(
    received: date,
    rule: SubjectAccess,
    calendar: Calendar,
    *,
    clarifications: Iterable[Clarification] = (),
    extended: bool = False,
) -> SubjectAccessClock:
    """The clock of a request received on a day (Article 12; R-052).

    One month to the corresponding date, clamped to a shorter month's end; days from an ask to its answer, both
    included, do not count; then on to the next working day. Two months more where it was extended. Received under the
    Act of 1998: forty days, and no day is skipped. Raises Refused for days that cannot be.
    """
    regime = regime_on(received)
    if regime is DPA_1998:
        day = received + FORTY_DAYS * DAY
        return SubjectAccessClock(regime, day, None, 0, confirm=False)
    waits = _merged(received, clarifications)
    plain = _answer_by(add_months(received, _months(rule.length)), waits, calendar)
    months = _months(rule.length) + (_months(rule.extension) if extended else 0)
    due, stopped = _answer_by(add_months(received, months), waits, calendar)
    return SubjectAccessClock(regime, due, plain[0], stopped, confirm=bool(stopped) or due is None)


def freedom(received: date, rule: Freedom, calendar: Calendar) -> date:
    """The last day for an answer (FOIA section 10; R-055): working days of all four nations after receipt."""
    return working_days_after(calendar, received, _working(rule.within))


def acknowledge_complaint(received: date, rule: Complaint) -> date:
    """The last day to acknowledge a complaint (DPA 2018 section 164A): the day after receipt is the first."""
    return day_after(received, rule.acknowledge)


def advice(asked: date, rule: Consultation, calendar: Calendar) -> tuple[date, date | None]:
    """(due, chased on): when an originator's advice is due, and when it is chased (R-054); None where it is not."""
    chased = working_days_after(calendar, asked, _working(rule.chase)) if rule.chase else None
    return working_days_after(calendar, asked, _working(rule.within)), chased


def ico_deadline(aware: datetime, rule: Breach) -> datetime:
    """When a breach must have reached the ICO (Article 33; R-107): hours elapsed since this controller was aware."""
    return moment_after(aware, rule.ico_deadline)


def left_words(deadline: datetime, now: datetime) -> str:
    """How long there is: 38 h 12 m left; 2 h 5 m over once it has passed. Whole minutes, never more than there is."""
    left = deadline.astimezone(UTC) - now.astimezone(UTC)
    over = left < timedelta()
    minutes = int(abs(left) / timedelta(minutes=1))
    hours, rest = divmod(minutes, 60)
    return f"{f'{hours} h ' if hours else ''}{rest} m {'over' if over else 'left'}"


def deadline_words(deadline: datetime) -> str:
    """The moment with the name of London's time: Tue 31 Mar 2026 11:00 BST."""
    return f"{in_words(deadline)} {deadline.astimezone(LONDON):%Z}"


def _answer_by(base: date, waits: tuple[Clarification, ...], calendar: Calendar) -> tuple[date | None, int]:
    """(due, days that did not count). An ask after the last day stops nothing: the time had run out."""
    stopped = 0
    for wait in waits:
        if wait.asked > working_from(calendar, base + stopped * DAY):
            break
        if wait.answered is None:
            return None, stopped
        stopped += (wait.answered - wait.asked).days + 1
    return working_from(calendar, base + stopped * DAY), stopped


def _merged(received: date, clarifications: Iterable[Clarification]) -> tuple[Clarification, ...]:
    """In order of time, each day once. Raises Refused for an ask before receipt, or an answer before its ask."""
    found: list[Clarification] = []
    for wait in sorted(clarifications, key=lambda c: c.asked):
        if wait.asked < received:
            raise Refused("Clarification was asked for before the request was received: check the two days.")
        if wait.answered is not None and wait.answered < wait.asked:
            raise Refused("The answer came before it was asked for: check the two days.")
        found = list(_joined(found, wait))
    return tuple(found)


def _joined(found: list[Clarification], wait: Clarification) -> Iterator[Clarification]:
    """`found` with one more, which is part of the last where they overlap."""
    yield from found[:-1]
    last = found[-1] if found else None
    if last is None:
        yield wait
    elif last.answered is None:
        yield last
    elif wait.asked > last.answered:
        yield from (last, wait)
    else:
        until = None if wait.answered is None else max(last.answered, wait.answered)
        yield Clarification(last.asked, until)


def _months(span: str) -> int:
    return int(span[1:-1])


def _working(days: str) -> int:
    return int(days.removesuffix("wd"))
