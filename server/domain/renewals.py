"""What runs out, and when whom to remind of it: ICO registrations, training, the agreement's review. Pure.

Each has stages before its last day and one after it; only the latest stage that has come counts, so that nobody who was
away gets them all at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from server.domain.agreement import Member, Person, PolicySet
from server.domain.schedule import day_after, london_day

ICO_DAYS = (30, 7)
"""Days before an ICO registration runs out (R-002); it is renewed every year."""
OVER = "over"


@dataclass(frozen=True, slots=True)
class Renewal:
    """One stage of one thing that runs out. `last` is its last good day; `subject` a member's, person's or set's id."""

    kind: Literal["ico", "training", "review"]
    subject: str
    last: date
    stage: str
    people: tuple[str, ...]
    """The ids of those who are reminded."""

    @property
    def thread(self) -> str:
        """One notice a person for each."""
        return f"renewal:{self.kind}:{self.subject}:{self.last}:{self.stage}"

    @property
    def over(self) -> bool:
        return self.stage == OVER


def due(policy: PolicySet, now: datetime) -> tuple[Renewal, ...]:
    """The present stage of everything that runs out soon or has run out (R-002, R-005, R-065)."""
    today = london_day(now)
    found = [
        *(_registration(policy, member, today) for member in policy.members),
        *(_training(policy, person, today) for person in policy.people),
        _review(policy, today),
    ]
    return tuple(renewal for renewal in found if renewal is not None and renewal.people)


def _registration(policy: PolicySet, member: Member, today: date) -> Renewal | None:
    last = member.ico_valid_until
    stage = _stage(last, (f"P{days}D" for days in ICO_DAYS), today) if last else None
    if last is None or stage is None:
        return None
    return Renewal("ico", member.id, last, stage, _leads(policy, member.id))


def _training(policy: PolicySet, person: Person, today: date) -> Renewal | None:
    """Of those who send: without it they cannot."""
    last = person.training_valid_until
    stage = _stage(last, (f"P{days}D" for days in policy.access.training_warn_days), today) if last else None
    if last is None or stage is None or not policy.may(person, "outbox.write"):
        return None
    return Renewal(
        "training", person.id, last, stage, tuple(dict.fromkeys((person.id, *_leads(policy, person.member))))
    )


def _review(policy: PolicySet, today: date) -> Renewal | None:
    review = policy.agreement.review
    stage = _stage(review.due, review.remind, today)
    if stage is None:
        return None
    everybody = tuple(lead for member in policy.members for lead in _leads(policy, member.id))
    return Renewal("review", policy.agreement.id, review.due, stage, everybody)


def _leads(policy: PolicySet, member_id: str) -> tuple[str, ...]:
    return tuple(person.id for person in policy.people_of(member_id, "governance_lead"))


def _stage(last: date, before: Iterable[str], today: date) -> str | None:
    """The latest stage that has come: a span before the last day, or OVER after it; None before the first."""
    if today > last:
        return OVER
    begun = [(day_after(last, span, -1), span) for span in before]
    come = [(day, span) for day, span in begun if day <= today]
    return max(come)[1] if come else None
