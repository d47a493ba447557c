"""Legal holds: a governance lead keeps a delivery's sealed copy from every purge, and only a person ends that.

A delivery may have several holds, of either member. Whoever's lead placed one releases it; the lead of the other
member only when that member has left the agreement.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from server.domain import guard
from server.domain.agreement import Person, PolicySet
from server.domain.audience import Hat
from server.domain.delivery import SealedCopy
from server.domain.errors import Forbidden, Missing, Refused
from server.domain.ledger import Event
from server.domain.notice import Button
from server.domain.schedule import clock_words, in_words, moment_after
from server.exchange.chased import Ask, Item, Planned
from server.exchange.delivery import Outcome
from server.exchange.disposal import holds_on
from server.exchange.findings import Findings
from server.exchange.ground import Ground
from server.exchange.outbox_rows import pair_of
from server.store import Tx
from server.store.duty_tables import HoldRow
from server.store.tables import ConsignmentRow, DeliveryRow

WAITS_UNDER_HOLD = "RETENTION_HELD"
"""The finding of a copy whose time has come and which a hold keeps; its subject is the hold."""
ONLY_LEADS = "Only a governance lead of the sender or the recipient places or releases a legal hold."


@dataclass(frozen=True, slots=True)
class HoldView:
    """A hold as one of the two members sees it; `reason` only for the member that placed it."""

    id: str
    delivery: str
    member: str
    by: str
    at: datetime
    reason: str
    released_at: datetime | None
    released_by: str | None
    words: str
    buttons: tuple[Button, ...] = ()


class Holds:
    """Places and releases holds, and reminds who placed them, once a week."""

    prefixes = frozenset({"hold"})

    def __init__(self, ground: Ground, findings: Findings) -> None:
        self._ground, self._findings = ground, findings

    # -- verbs

    def hold(self, person_id: str, delivery_id: str, reason: str, *, via: str) -> Outcome:
        """The copy stays whatever its rule says. The reason is kept here; the ledger has its hash."""
        tidy = guard.reason(reason)
        with self._ground.transaction() as tx:
            person, delivery, _ = self._concerned(tx, person_id, delivery_id)
            if delivery.copy_state is SealedCopy.PURGED:
                raise Refused(
                    f"The copy of {delivery_id} here has ended already: there is nothing left to hold. Ask the "
                    "recipient to keep its own.",
                    code="COPY_GONE",
                )
            same = _standing_of(tx.session, delivery_id, person.member, tidy)
            if same is not None:
                when = clock_words(same.at, tx.now)
                return Outcome(f"{same.by} placed this hold already ({same.id}, {when}).", changed=False)
            row = HoldRow(
                id=tx.next_id("H", tx.now.year), delivery=delivery_id, by=person.id, member=person.member,
                reason=tidy, at=tx.now,
            )  # fmt: skip
            tx.session.add(row)
            delivery.copy_state = SealedCopy.HELD
            tx.session.add(delivery)
            tx.session.flush()
            facts = {"via": via, "member": person.member, "reason": guard.short_hash(tidy.encode())}
            tx.record(Event("hold.placed", person.id, (row.id, delivery_id), facts))
        return Outcome(
            f"{delivery_id} is under legal hold {row.id}: its copy here stays until it is released.", changed=True
        )

    def release(self, person_id: str, hold_id: str, *, via: str) -> Outcome:
        """The hold ends; what was due for disposal goes at the next look, unless another hold stands."""
        with self._ground.transaction() as tx:
            row = tx.session.get(HoldRow, hold_id)
            if row is None:
                raise Missing("There is no such hold.")
            person, delivery, policy = self._concerned(tx, person_id, row.delivery)
            if policy.retention.legal_hold.release_by not in person.roles:
                raise Forbidden(ONLY_LEADS)
            self._require_own(tx, person, row)
            if row.released_at is not None:
                when = clock_words(row.released_at, tx.now)
                return Outcome(f"{hold_id} was released already by {row.released_by}, {when}.", changed=False)
            row.released_at, row.released_by = tx.now, person.id
            tx.session.add(row)
            tx.session.flush()
            left = holds_on(tx.session, row.delivery)
            if not left and delivery.copy_state is SealedCopy.HELD:
                delivery.copy_state = SealedCopy.KEPT
                tx.session.add(delivery)
            tx.record(Event("hold.released", person.id, (hold_id, row.delivery), {"via": via, "left": len(left)}))
            self._findings.clear(tx, WAITS_UNDER_HOLD, hold_id)
        tail = f"{', '.join(left)} still holds it." if left else "Its copy goes when its rule says, which may be now."
        return Outcome(f"{hold_id} is released. {tail}", changed=True)

    def _concerned(self, tx: Tx, person_id: str, delivery_id: str) -> tuple[Person, DeliveryRow, PolicySet]:
        """The governance lead of one of the two members, and the delivery; a recipient's only once it was released."""
        policy = self._ground.in_force_at(tx.session).policy
        person = self._ground.acting(tx.session, person_id)
        delivery, consignment = pair_of(tx.session, delivery_id)
        if not _may_see(person, delivery, consignment):
            raise Missing("There is no such delivery.")
        if not policy.may(person, "hold"):
            raise Forbidden(ONLY_LEADS)
        return person, delivery, policy

    def _require_own(self, tx: Tx, person: Person, row: HoldRow) -> None:
        if person.member == row.member or row.member in self._ground.facts_at(tx.session).left:
            return
        name = self._ground.called(row.member)
        raise Forbidden(f"{row.id} was placed by {name}: a governance lead of {name} releases it.")

    # -- reading

    def of_delivery(self, person_id: str, delivery_id: str) -> tuple[HoldView, ...]:
        """Every hold of a delivery of the person's member, newest first, with what this person may press."""
        person = self._ground.person(person_id)
        with self._ground.store.reading() as session:
            try:
                pair = pair_of(session, delivery_id)
            except Missing:
                return ()
            query = select(HoldRow).where(HoldRow.delivery == delivery_id).order_by(col(HoldRow.id).desc())
            rows = session.exec(query).all() if _may_see(person, *pair) else []
        return tuple(self._view(row, person) for row in rows)

    def may_place(self, person_id: str, delivery_id: str) -> bool:
        """Whether the person could hold this delivery now: its copy is still here."""
        person = self._ground.person(person_id)
        with self._ground.store.reading() as session:
            try:
                delivery, consignment = pair_of(session, delivery_id)
            except Missing:
                return False
        here = delivery.copy_state is not SealedCopy.PURGED
        return here and self._ground.policy.may(person, "hold") and _may_see(person, delivery, consignment)

    def of_person(self, person_id: str) -> tuple[HoldView, ...]:
        """The holds that the person's member has placed and that stand, oldest first."""
        person = self._ground.person(person_id)
        query = select(HoldRow).where(HoldRow.member == person.member, col(HoldRow.released_at).is_(None))
        with self._ground.store.reading() as session:
            rows = session.exec(query.order_by(col(HoldRow.id))).all()
        return tuple(self._view(row, person) for row in rows)

    def all(self, *, standing: bool = True) -> tuple[HoldView, ...]:
        """Every hold that stands, or that ever was, oldest first: for the operator, without reasons."""
        query = select(HoldRow).order_by(col(HoldRow.id))
        if standing:
            query = query.where(col(HoldRow.released_at).is_(None))
        with self._ground.store.reading() as session:
            return tuple(self._view(row, None) for row in session.exec(query).all())

    def _view(self, row: HoldRow, person: Person | None) -> HoldView:
        own = person is not None and person.member == row.member
        words = f"placed by {self._ground.called(row.member)}, {in_words(row.at)}"
        if row.released_at is not None:
            words = f"{words}; released {in_words(row.released_at)}"
        may = own and row.released_at is None and person is not None and self._ground.policy.may(person, "hold")
        return HoldView(
            row.id, row.delivery, row.member, row.by, row.at, row.reason if own else "", row.released_at,
            row.released_by, words, (_release_button(row.id),) if may else (),
        )  # fmt: skip

    # -- the weekly question (Chased)

    def plan(self, session: Session, now: datetime) -> Iterable[Planned]:
        """For every hold that stands: the week that has come last, and the next one."""
        every = self._ground.in_force_at(session).policy.retention.legal_hold.remind
        for row in session.exec(select(HoldRow).where(col(HoldRow.released_at).is_(None))).all():
            week, due = 1, moment_after(row.at, every)
            while due <= now:
                following = moment_after(due, every)
                if following > now:
                    yield Planned(f"hold:{row.id}", f"week-{week}", due)
                week, due = week + 1, following
            yield Planned(f"hold:{row.id}", f"week-{week}", due)

    def ask(self, session: Session, about: str, stage: str, now: datetime) -> Ask | None:
        """The leads of the member that placed it; of the other two members' when that one has left."""
        row = session.get(HoldRow, about.partition(":")[2])
        if row is None or row.released_at is not None:
            return None
        return Ask(tuple(Hat(member, "governance_lead") for member in self._asked(session, row)))

    def _asked(self, session: Session, row: HoldRow) -> tuple[str, ...]:
        if row.member not in self._ground.facts_at(session).left:
            return (row.member,)
        delivery, consignment = pair_of(session, row.delivery)
        return tuple(member for member in (consignment.member, delivery.recipient) if member != row.member)

    def items(self, session: Session, hat: Hat, now: datetime) -> Iterable[Item]:
        """The holds that this member's leads answer for, oldest first."""
        if hat.role != "governance_lead":
            return
        query = select(HoldRow).where(col(HoldRow.released_at).is_(None)).order_by(col(HoldRow.at))
        for row in session.exec(query).all():
            if hat.member in self._asked(session, row):
                yield Item(
                    f"hold:{row.id}", "know", f"Legal hold {row.id} on {row.delivery}",
                    f"since {in_words(row.at)}, placed by {row.by}. Release it when its case is over.",
                    buttons=(_release_button(row.id),),
                )  # fmt: skip


def _may_see(person: Person, delivery: DeliveryRow, consignment: ConsignmentRow) -> bool:
    received = person.member == delivery.recipient and delivery.available_at is not None
    return person.member == consignment.member or received


def _release_button(hold_id: str) -> Button:
    return Button("release-hold", "Release hold", hold_id, "plain")


def _standing_of(session: Session, delivery_id: str, member: str, reason: str) -> HoldRow | None:
    query = select(HoldRow).where(
        HoldRow.delivery == delivery_id, HoldRow.member == member, HoldRow.reason == reason,
        col(HoldRow.released_at).is_(None),
    )  # fmt: skip
    return session.exec(query).first()
