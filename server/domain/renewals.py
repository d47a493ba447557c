"""What runs out, and when whom to remind of it: registrations, training, keys, contracts, the agreement's review. Pure.

Each has stages before its last day and one after it; only the latest stage that has come counts, so that nobody who was
away gets them all at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from server.domain import guard
from server.domain.agreement import GpgKey, Member, Person, PolicySet
from server.domain.audience import Hat
from server.domain.schedule import day_after, london_day

ICO = REVIEWED = ("P30D", "P7D")
"""Before an ICO registration runs out (R-002), which is yearly; before a contract is to be reviewed (R-069)."""
OVER = "over"
Kind = Literal["ico", "training", "key", "recovery", "contract", "review"]
KeyEnds = Mapping[str, datetime | None]
"""{fingerprint: when the key can no longer be sealed to}, None for never; without those that are unusable anyway."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """One thing that runs out. `last` is its last good day; `subject` a member's, person's, contract's or set's id."""

    kind: Kind
    subject: str
    last: date
    before: tuple[str, ...]
    """Spans before the last day at which it is said: P30D."""
    member: str = ""
    """Whose governance leads hear of it; everybody's when empty."""
    person: str = ""
    """The person whose own it is."""

    @property
    def about(self) -> str:
        """Another last day is another thing."""
        return f"renewal:{self.kind}:{self.subject}:{self.last}"

    def stages(self) -> Iterator[tuple[str, date]]:
        """(stage, the first day on which it counts), in order of the days."""
        yield from stages(self.last, self.before)

    def stage(self, today: date) -> str | None:
        """The latest stage that has come; None before the first."""
        return present(self.stages(), today)

    def hats(self, policy: PolicySet) -> tuple[Hat, ...]:
        """The governance leads who hear of it."""
        members = [self.member] if self.member else [member.id for member in policy.members]
        return tuple(Hat(member, "governance_lead") for member in members)


def stages(last: date, before: Iterable[str]) -> Iterator[tuple[str, date]]:
    """(stage, the first day on which it counts): each span before the last day, and OVER after it, in order."""
    yield from sorted(((span, day_after(last, span, -1)) for span in before), key=lambda one: one[1])
    if last < date.max:
        yield OVER, last + timedelta(days=1)


def present(staged: Iterable[tuple[str, date]], today: date) -> str | None:
    """The latest stage that has come; None before the first."""
    come = [stage for stage, day in staged if day <= today]
    return come[-1] if come else None


def renewals(policy: PolicySet, keys: KeyEnds) -> tuple[Renewal, ...]:
    """Everything that has a last day, whenever that is (R-002, R-005, R-065, R-069)."""
    review = policy.agreement.review
    found = [
        *(_registration(member) for member in policy.members),
        *(_training(policy, person) for person in policy.people),
        *(_own_keys(policy, person, keys) for person in policy.people),
        *(_recovery_key(policy, member, keys) for member in policy.members),
        *(contract for member in policy.members for contract in _contracts(member)),
        Renewal("review", policy.agreement.id, review.due, tuple(review.remind)),
    ]
    return tuple(renewal for renewal in found if renewal is not None)


def due(policy: PolicySet, keys: KeyEnds, now: datetime) -> tuple[Renewal, ...]:
    """Those of which a stage has come by `now` (aware)."""
    today = london_day(now)
    return tuple(renewal for renewal in renewals(policy, keys) if renewal.stage(today) is not None)


def _registration(member: Member) -> Renewal | None:
    last = member.ico_valid_until
    return Renewal("ico", member.id, last, ICO, member.id) if last else None


def _training(policy: PolicySet, person: Person) -> Renewal | None:
    """Of those who send: without it they cannot."""
    last = person.training_valid_until
    if last is None or not policy.may(person, "outbox.write"):
        return None
    return Renewal("training", person.id, last, _days(policy.access.training_warn_days), person.member, person.id)


def _own_keys(policy: PolicySet, person: Person, keys: KeyEnds) -> Renewal | None:
    """When the last of the person's keys can no longer be sealed to: while another one lasts, an old one may end."""
    last = _last(person.gpg_keys, keys)
    before = _days(policy.keys.expiry_warn_days)
    return Renewal("key", person.id, last, before, person.member, person.id) if last else None


def _recovery_key(policy: PolicySet, member: Member, keys: KeyEnds) -> Renewal | None:
    last = _last((member.recovery_key,) if member.recovery_key else (), keys)
    return Renewal("recovery", member.id, last, _days(policy.keys.expiry_warn_days), member.id) if last else None


def _last(own: Iterable[GpgKey], keys: KeyEnds) -> date | None:
    """The last whole or begun day of the key that lasts longest; None where none ends or none counts."""
    ends = [keys[key.fingerprint] for key in own if key.fingerprint in keys]
    known = [end for end in ends if end is not None]
    if not known or len(known) < len(ends):
        return None
    return london_day(max(known) - timedelta(seconds=1))


def _contracts(member: Member) -> Iterator[Renewal]:
    """A contract with somebody who works on the shared data is looked at by its day (R-069)."""
    for contractor in member.subcontractors:
        mark = guard.short_hash(f"{contractor.name}\n{contractor.contract}".encode())[:8]
        yield Renewal("contract", f"{member.id}-{mark}", contractor.review, REVIEWED, member.id)


def _days(numbers: Iterable[int]) -> tuple[str, ...]:
    return tuple(f"P{number}D" for number in numbers)
