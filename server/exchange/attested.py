"""What recipients have said of their copies, and what they still have to: reads for notices, lists and reminders."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from sqlalchemy import ColumnElement, and_, exists, or_
from sqlmodel import Session, col, select

from server.domain.agreement import PolicySet
from server.domain.attestation import Counts, backup_words, is_overdue
from server.domain.delivery import REPLACED, VISIBLE, Status, Use
from server.domain.schedule import clock_words, london_day
from server.store.duty_tables import AttestationRow, AttestedAuthorityRow, HoldRow, StageRow, ToldRow
from server.store.tables import ConsignmentRow, DeliveryRow, DepartureRow

Step = Literal["collect", "acknowledge", "processed", "destroyed"]
Held = tuple[DeliveryRow, ConsignmentRow, AttestationRow | None]
"""A delivery, its consignment, and what was said of it."""


@dataclass(frozen=True, slots=True)
class AttestedView:
    """What a recipient said of one delivery, as numbers and days; `state`: open, processed, destroyed or overdue."""

    delivery: str
    member: str
    sender: str
    exchange: str
    period: str
    use_by: str | None
    state: str
    received: int | None
    kept: int | None
    not_ours: int | None
    rejected: int | None
    authorities: dict[str, int]
    processed_by: str | None
    processed_at: datetime | None
    destroyed_by: str | None
    destroyed_at: datetime | None
    countersigned_by: str | None
    countersigned_at: datetime | None
    asks_countersignature: bool


@dataclass(frozen=True, slots=True)
class OverdueView:
    """A delivery whose use-by day has passed: since when, for how many days, who was told, what is still missing.

    `attested`: it was destroyed, but too late or with exceptions, and no governance lead has countersigned it yet.
    """

    delivery: str
    member: str
    sender: str
    exchange: str
    period: str
    since: date
    days: int
    missing: str
    told: tuple[str, ...]
    attested: bool
    countersigned: bool


@dataclass(frozen=True, slots=True)
class ShareView:
    """How many records of one sender and exchange were not their recipient's (R-082); `share` in percent."""

    sender: str
    exchange: str
    received: int
    not_ours: int
    share: float


def owed() -> ColumnElement[bool]:
    """Deliveries of whose copy the recipient still has to say something; a member that left attests all at once."""
    gone = exists().where(col(DepartureRow.member) == col(DeliveryRow.recipient))
    replaced = and_(col(DeliveryRow.status).in_(_values(REPLACED)), col(DeliveryRow.collected_at).is_not(None))
    return and_(
        col(DeliveryRow.use_state) != Use.DESTROYED,
        ~gone,
        col(DeliveryRow.available_at).is_not(None),
        or_(col(DeliveryRow.status).in_(_values(VISIBLE)), replaced),
    )


def overdue_on(day: date) -> ColumnElement[bool]:
    """Of those, the ones that somebody has a copy of and whose use-by day is before `day`; none under hold."""
    return and_(
        owed(), ~kept_by_hold(), col(DeliveryRow.collected_at).is_not(None), col(DeliveryRow.use_by) < day.isoformat()
    )


def kept_by_hold() -> ColumnElement[bool]:
    """Whether the recipient's own governance lead holds it: then its copy must not be destroyed (R-058)."""
    return exists().where(
        col(HoldRow.delivery) == col(DeliveryRow.id),
        col(HoldRow.member) == col(DeliveryRow.recipient),
        col(HoldRow.released_at).is_(None),
    )


def _values(states: Iterable[Status]) -> list[str]:
    return [state.value for state in states]


def step_of(row: DeliveryRow) -> Step:
    """What comes next for a delivery that is `owed`."""
    if row.status in REPLACED or row.use_state is Use.PROCESSED:
        return "destroyed"
    if row.acknowledged_at is not None and row.status is not Status.QUERIED:
        return "processed"
    return "acknowledge" if row.collected_at is not None else "collect"


def held_by(session: Session, policy: PolicySet, member: str, *where: ColumnElement[bool]) -> list[Held]:
    """The member's deliveries of personal data of which something is owed, by id."""
    query = (
        select(DeliveryRow, ConsignmentRow, AttestationRow)
        .join(ConsignmentRow, col(DeliveryRow.consignment) == col(ConsignmentRow.id))
        .join(AttestationRow, col(AttestationRow.delivery) == col(DeliveryRow.id), isouter=True)
        .where(DeliveryRow.recipient == member, owed(), *where)
        .order_by(col(DeliveryRow.id))
    )
    return [held for held in session.exec(query).all() if personal(policy, held[1].exchange)]


def personal(policy: PolicySet, exchange_id: str) -> bool:
    """Whether the exchange carries personal data; one that the policy no longer has did."""
    exchange = policy.exchange(exchange_id)
    return exchange is None or exchange.personal_data


def said_of(session: Session, deliveries: Collection[str]) -> dict[str, AttestationRow]:
    """What was said of these deliveries, by id."""
    found: dict[str, AttestationRow] = {}
    wanted = list(deliveries)
    for at in range(0, len(wanted), 500):
        query = select(AttestationRow).where(col(AttestationRow.delivery).in_(wanted[at : at + 500]))
        found |= {row.delivery: row for row in session.exec(query).all()}
    return found


def counts_in(said: AttestationRow) -> Counts:
    """The counts of an attestation, without the authorities'."""
    return Counts(said.received, said.kept, said.not_ours, said.rejected)


def use_words(row: DeliveryRow, said: AttestationRow | None, now: datetime) -> str:
    """What the recipient said of its copy, as a clause; empty while it has said nothing."""
    if said is None or row.use_state is Use.OPEN:
        return ""
    if row.use_state is Use.PROCESSED:
        return f"processed {clock_words(said.processed_at, now)}: {counts_in(said).words}"
    when = clock_words(said.destroyed_at, now) if said.destroyed_at else ""
    if row.status in REPLACED:
        return f"its copy was destroyed {when}"
    return f"processed: {counts_in(said).words}; the rest was destroyed {when}"


def asks_countersignature(row: DeliveryRow, said: AttestationRow) -> bool:
    """Whether a governance lead has to look at what was said: it came late, or something is left."""
    if said.destroyed_at is None or said.countersigned_at is not None:
        return False
    late = row.use_by is not None and is_overdue(date.fromisoformat(row.use_by), said.destroyed_at)
    return late or said.exceptions is not None or said.subcontractors == "kept"


def missing_words(row: DeliveryRow) -> str:
    """What its recipient still has to do, for a list."""
    return {
        "collect": "not collected",
        "acknowledge": "not acknowledged",
        "processed": "not said to be processed",
        "destroyed": "destruction not attested",
    }[step_of(row)]


def places_in(said: AttestationRow) -> dict[str, str]:
    """{place: method} of an attestation."""
    return {str(place): str(method) for place, method in json.loads(said.places or "{}").items()}


def backups_in(said: AttestationRow) -> str:
    return backup_words(said.backups) if said.backups else ""


class Attested:
    """Lists over all that was said."""

    def __init__(self, session: Session, policy: PolicySet, now: datetime) -> None:
        self._session, self._policy, self._now = session, policy, now

    def all(self, member: str | None = None) -> tuple[AttestedView, ...]:
        """Every delivery that somebody collected, with what its recipient said; oldest first."""
        rows = self._rows(member, col(DeliveryRow.collected_at).is_not(None))
        parts: dict[str, dict[str, int]] = {}
        for part in self._session.exec(select(AttestedAuthorityRow)).all():
            parts.setdefault(part.delivery, {})[part.la] = part.kept
        return tuple(self._view(row, c, said, parts.get(row.id, {})) for row, c, said in rows)

    def overdue(self, member: str | None = None) -> tuple[OverdueView, ...]:
        """What is past its use-by day, longest first; then what a governance lead has still to countersign."""
        late = self._rows(member, overdue_on(london_day(self._now)))
        unseen = self._rows(
            member, col(AttestationRow.destroyed_at).is_not(None), col(AttestationRow.countersigned_at).is_(None)
        )
        asked = [held for held in unseen if held[2] is not None and asks_countersignature(held[0], held[2])]
        views = [self._overdue(row, c, said) for row, c, said in (*late, *asked)]
        return tuple(sorted(views, key=lambda view: (view.attested, view.since, view.delivery)))

    def shares(self, member: str | None = None) -> tuple[ShareView, ...]:
        """Per sender and exchange: how many of the records that were received were not the recipient's."""
        sums: dict[tuple[str, str], tuple[int, int]] = {}
        for row, consignment, said in self._rows(member, col(AttestationRow.delivery).is_not(None)):
            if said is None or row.status in REPLACED:
                continue
            key = (consignment.member, consignment.exchange)
            before = sums.get(key, (0, 0))
            sums[key] = (before[0] + said.received, before[1] + said.not_ours)
        return tuple(
            ShareView(sender, exchange, received, others, round(100 * others / received, 1) if received else 0.0)
            for (sender, exchange), (received, others) in sorted(sums.items())
        )

    def _rows(self, member: str | None, *where: ColumnElement[bool]) -> list[Held]:
        query = (
            select(DeliveryRow, ConsignmentRow, AttestationRow)
            .join(ConsignmentRow, col(DeliveryRow.consignment) == col(ConsignmentRow.id))
            .join(AttestationRow, col(AttestationRow.delivery) == col(DeliveryRow.id), isouter=True)
            .where(*where)
            .order_by(col(DeliveryRow.id))
        )
        if member is not None:
            query = query.where(DeliveryRow.recipient == member)
        return [held for held in self._session.exec(query).all() if personal(self._policy, held[1].exchange)]

    def _view(
        self, row: DeliveryRow, consignment: ConsignmentRow, said: AttestationRow | None, parts: dict[str, int]
    ) -> AttestedView:
        late = row.use_by is not None and is_overdue(date.fromisoformat(row.use_by), self._now)
        return AttestedView(
            row.id, row.recipient, consignment.member, consignment.exchange, consignment.period, row.use_by,
            "overdue" if late and row.use_state is not Use.DESTROYED else str(row.use_state),
            said.received if said else consignment.rows, said.kept if said else None,
            said.not_ours if said else None, said.rejected if said else None, parts,
            said.processed_by if said else None, said.processed_at if said else None,
            said.destroyed_by if said else None, said.destroyed_at if said else None,
            said.countersigned_by if said else None, said.countersigned_at if said else None,
            said is not None and asks_countersignature(row, said),
        )  # fmt: skip

    def _overdue(self, row: DeliveryRow, consignment: ConsignmentRow, said: AttestationRow | None) -> OverdueView:
        use_by = date.fromisoformat(row.use_by) if row.use_by else london_day(self._now)
        attested = row.use_state is Use.DESTROYED
        ended = london_day(said.destroyed_at) if attested and said and said.destroyed_at else london_day(self._now)
        return OverdueView(
            row.id, row.recipient, consignment.member, consignment.exchange, consignment.period,
            use_by + timedelta(days=1), max(0, (ended - use_by).days),
            "to be countersigned" if attested else missing_words(row), self._told(row.id), attested,
            said is not None and said.countersigned_at is not None,
        )  # fmt: skip

    def _told(self, delivery: str) -> tuple[str, ...]:
        """Who was told that it is overdue, in order."""
        query = (
            select(ToldRow.person)
            .join(StageRow, col(StageRow.id) == col(ToldRow.stage))
            .where(StageRow.about == f"use:{delivery}", col(StageRow.stage).startswith("overdue-"))
            .order_by(col(ToldRow.stage), col(ToldRow.person))
        )
        return tuple(dict.fromkeys(self._session.exec(query).all()))


def grouped(found: Sequence[Held]) -> dict[tuple[str, str], list[Held]]:
    """By exchange and period, in the order in which they come."""
    groups: dict[tuple[str, str], list[Held]] = {}
    for held in found:
        groups.setdefault((held[1].exchange, held[1].period), []).append(held)
    return groups
