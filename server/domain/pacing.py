"""When people may be told: outside quiet hours, on working days, a few messages a day. Pure: the policy and `now`.

All of it is by the wall clock in London. A day that no calendar covers counts as working from Monday to Friday, so that
nothing is lost, and `uncovered` says so: that is a finding, never a silent rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from server.domain.agreement import PolicySet
from server.domain.calendar import SATURDAY, is_covered, is_working
from server.domain.schedule import LONDON, day_words, london_day

DIGEST = "digest"
"""The kind of the day's one message, and the beginning of its thread."""
INCIDENTS = frozenset({"suspended", "resumed", "incident", "breach", "finding"})
"""Kinds that are told at once, each in a message of its own, whatever the hour and however many there were."""
AT_ONCE = INCIDENTS | {"sent", "refused", "interrupted", "key-unusable", "ad-hoc"}
"""Kinds that are told at any hour: incidents, and answers to what somebody is doing at this moment."""
_FARTHEST = 400
"""Days that are looked at for one on which somebody may be told."""


def digest_thread(day: date) -> str:
    """The thread of that day's one message."""
    return f"{DIGEST}:{day.isoformat()}"


def uncovered(policy: PolicySet, now: datetime) -> str | None:
    """What is wrong when the calendar of the notices says nothing of today; None when it does."""
    calendar, today = policy.notice_calendar, london_day(now)
    if not policy.notifications.quiet.non_working_days or (calendar is not None and is_covered(calendar, today)):
        return None
    which = f"The calendar {calendar.id} does not cover" if calendar is not None else "No calendar covers"
    return (
        f"{which} {day_words(today)}: people are told from Monday to Friday, bank holidays included, until that year's "
        "holidays are entered in the policy set."
    )


def is_open_day(policy: PolicySet, member: str, day: date) -> bool:
    """Whether this member's people are told anything on that day ("" for nobody's in particular)."""
    if day in policy.notifications.closures.get(member, ()):
        return False
    if not policy.notifications.quiet.non_working_days:
        return True
    calendar = policy.notice_calendar
    if calendar is None or not is_covered(calendar, day):
        return day.weekday() < SATURDAY
    return is_working(calendar, day)


def may_tell(policy: PolicySet, member: str, now: datetime) -> bool:
    """Whether this member's people may be told now: an open day, and no quiet hour."""
    local = now.astimezone(LONDON)
    return is_open_day(policy, member, local.date()) and not _quiet(policy, local.time())


def next_open(policy: PolicySet, member: str, now: datetime) -> datetime:
    """The first moment from `now` on (aware; UTC comes back) at which this member's people may be told.

    `now` itself when the policy leaves no such moment in more than a year: better told than lost.
    """
    if may_tell(policy, member, now):
        return now.astimezone(UTC)
    moments = (moment for day in _days(london_day(now)) for moment in sorted(_wakings(policy, day)))
    return next((moment for moment in moments if moment > now and may_tell(policy, member, moment)), now).astimezone(
        UTC
    )


def may_remind(policy: PolicySet, member: str, now: datetime) -> bool:
    """Whether a reminder may fire now: as `may_tell`, and not before the hour of the day's one message."""
    begins = time.fromisoformat(policy.notifications.digest_daily)
    local = now.astimezone(LONDON)
    return may_tell(policy, member, now) and (local.time() >= begins or _quiet(policy, begins))


def next_reminding(policy: PolicySet, member: str, now: datetime) -> datetime:
    """The first moment from `now` on at which a reminder for this member may fire; `now` as in `next_open`."""
    if may_remind(policy, member, now):
        return now.astimezone(UTC)
    begins = time.fromisoformat(policy.notifications.digest_daily)
    moments = (m for day in _days(london_day(now)) for m in sorted((*_wakings(policy, day), *_at(day, begins))))
    found = (moment for moment in moments if moment > now and may_remind(policy, member, moment))
    return next(found, now).astimezone(UTC)


def next_open_day(policy: PolicySet, member: str, day: date) -> date:
    """The first day after `day` on which this member's people may be told; the next day when there is none."""
    later = (day + timedelta(days=number) for number in range(1, _FARTHEST))
    return next((found for found in later if is_open_day(policy, member, found)), day + timedelta(days=1))


def _days(first: date) -> Iterator[date]:
    yield from (first + timedelta(days=number) for number in range(_FARTHEST))


def _spans(policy: PolicySet) -> Iterator[tuple[time, time]]:
    for hours in policy.notifications.quiet.hours:
        begins, _, ends = hours.partition("-")
        yield time.fromisoformat(begins), time.fromisoformat(ends)


def _quiet(policy: PolicySet, local: time) -> bool:
    """Whether that wall-clock time lies in a span; its first minute does, its last does not."""
    at = local.replace(tzinfo=None, fold=0)
    return any(begins <= at < ends if begins <= ends else at >= begins or at < ends for begins, ends in _spans(policy))


def _wakings(policy: PolicySet, day: date) -> Iterator[datetime]:
    """When people may begin to be told on a day: its beginning, and the end of each quiet span."""
    yield from _at(day, time(0))
    for _, ends in _spans(policy):
        yield from _at(day, ends)


def _at(day: date, clock: time) -> Iterator[datetime]:
    """The moments that London's clock shows so: two of them in the night in which it goes back."""
    first = datetime.combine(day, clock, tzinfo=LONDON)
    yield first.astimezone(UTC)
    if (second := first.replace(fold=1)).utcoffset() != first.utcoffset():
        yield second.astimezone(UTC)
