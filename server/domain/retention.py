"""When the exchange's sealed copy of a delivery goes, and by which clause. Pure: values and the rule in, a verdict out.

A copy goes when it was acknowledged and the grace is over, or when its use-by day in London is over, whichever is first
(clause 8). What was rejected or replaced after its recipient saw it goes after the same grace. A hold beats all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

from server.domain.agreement import RetentionRule
from server.domain.delivery import UNRELEASED, Status
from server.domain.schedule import LONDON, day_words, in_words, london_day, moment_after, use_by

Rule = Literal["acknowledged", "use_by", "rejected", "superseded", "recalled", "unreleased", "uncovered"]
CLAUSES: Mapping[str, str] = {
    "acknowledged": "8 (retention: what is received is not kept here longer than it has to be)",
    "use_by": "8 (retention: used within the agreed months, never rolled forward)",
    "rejected": "8 (retention: its recipient does not want it)",
    "superseded": "8 and 9 (a newer file is the accurate one)",
    "recalled": "6 (its sender took it back before its recipient collected it)",
    "unreleased": "8 (retention: it never went to its recipient)",
    "uncovered": "none",
}
"""Which clause of the agreement ends a copy, by rule."""


@dataclass(frozen=True, slots=True)
class StoredCopy:
    """What the verdict looks at. Times are aware; `use_by` is the last day in London on which it may be used."""

    delivery: str
    status: Status
    received_at: datetime
    available_at: datetime | None = None
    acknowledged_at: datetime | None = None
    ended_at: datetime | None = None
    use_by: date | None = None
    held_by: tuple[str, ...] = ()
    """Ids of the legal holds that stand."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """When the copy goes (aware; None: nothing says when), by which rule and clause, in words, and what holds it."""

    delivery: str
    goes_at: datetime | None
    rule: Rule
    clause: str
    words: str
    held_by: tuple[str, ...] = ()
    covered: bool = True
    """Whether a retention rule in force speaks of it."""

    def is_due(self, now: datetime) -> bool:
        """Whether its time has come, held or not."""
        return self.goes_at is not None and self.goes_at <= now


def end_of(day: date) -> datetime:
    """The moment at which the day is over in London, in UTC."""
    return datetime.combine(day + timedelta(days=1), time(), tzinfo=LONDON).astimezone(UTC)


def is_locked(use_by: str | None, now: datetime) -> bool:
    """Whether its use-by day (2027-02-01) is over: nobody reads it here any more, held or not."""
    return use_by is not None and use_by < london_day(now).isoformat()


def verdict(copy: StoredCopy, rule: RetentionRule | None) -> Verdict:
    """What becomes of the copy. `rule` None: no exchange of the policy in force carries it any more.

    Without a rule the use-by day that it was given still ends it, but nothing else does.
    """
    ends = [end for end in (_ended(copy, rule), _used_up(copy, rule)) if end is not None]
    if not ends:
        return _verdict(copy, None, "uncovered", "no rule says when it goes", covered=False)
    goes_at, why, words = min(ends, key=lambda end: end[0])
    return _verdict(copy, goes_at, why, words, covered=rule is not None)


def _verdict(copy: StoredCopy, goes_at: datetime | None, why: Rule, words: str, *, covered: bool) -> Verdict:
    return Verdict(copy.delivery, goes_at, why, CLAUSES[why], words, copy.held_by, covered)


def _ended(copy: StoredCopy, rule: RetentionRule | None) -> tuple[datetime, Rule, str] | None:
    """The end that follows from where it stands between the two members."""
    match copy.status:
        case Status.RECALLED:
            return copy.ended_at or copy.received_at, "recalled", "its sender took it back"
        case Status.SUPERSEDED if copy.available_at is None:
            return copy.ended_at or copy.received_at, "superseded", "it was replaced before its recipient saw it"
        case Status.SUPERSEDED:
            return _after_grace(copy.ended_at, "superseded", "replaced", rule)
        case Status.REJECTED:
            return _after_grace(copy.ended_at, "rejected", "rejected", rule)
        case Status.ACKNOWLEDGED:
            return _after_grace(copy.acknowledged_at, "acknowledged", "acknowledged", rule)
        case _:
            return None


def _after_grace(
    moment: datetime | None, why: Rule, word: str, rule: RetentionRule | None
) -> tuple[datetime, Rule, str] | None:
    if moment is None or rule is None:
        return None
    grace = rule.server_copy.acknowledged_plus
    return moment_after(moment, grace), why, f"{word} {in_words(moment)}, and the grace of {span_words(grace)} is over"


def _used_up(copy: StoredCopy, rule: RetentionRule | None) -> tuple[datetime, Rule, str] | None:
    """The end of its use-by day; for what was never released, as if it had been the day it was received."""
    if copy.status in UNRELEASED:
        if rule is None:
            return None
        last = use_by(copy.received_at, rule.use_by_months)
        return end_of(last), "unreleased", f"it was never released, and {day_words(last)} is over"
    if copy.use_by is None:
        return None
    return end_of(copy.use_by), "use_by", f"its use-by day, {day_words(copy.use_by)}, is over"


def span_words(span: str) -> str:
    """A span of the policy in words: P7D is 7 days, PT48H 48 hours."""
    number = span.strip("PTDMYHS")
    hours = {"H": "hour", "M": "minute", "S": "second"}
    unit = hours[span[-1]] if span.startswith("PT") else {"D": "day", "M": "month", "Y": "year"}[span[-1]]
    return f"{number} {unit}{'' if number == '1' else 's'}"
