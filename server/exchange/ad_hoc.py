"""A file outside the schedule: a governance lead of its sender approves it with a reason, or it ends unseen (R-026).

Nobody approves a file of their own. What was approved can be used for a while only: then its copy here ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlmodel import col, select

from server.domain import guard
from server.domain.agreement import Person
from server.domain.decision import Act, Deed, decide
from server.domain.delivery import UNRELEASED, Status
from server.domain.errors import Forbidden, Missing, Refused
from server.domain.ledger import Event
from server.domain.schedule import clock_words
from server.exchange.approval import APPROVAL, NOT_APPROVED
from server.exchange.delivery import Deliveries, Outcome
from server.exchange.ground import Ground
from server.exchange.outbox_rows import deliveries_of
from server.store import Tx
from server.store.tables import AdHocRow, ConsignmentRow, DeliveryRow

_STUCK_SECONDS = 60.0


class AdHoc:
    """Approve, refuse; and what ends by itself."""

    def __init__(self, ground: Ground, deliveries: Deliveries) -> None:
        self._ground, self._deliveries = ground, deliveries
        self._stuck: dict[str, float] = {}

    def approve(self, person_id: str, consignment_id: str, reason: str, *, via: str) -> Outcome:
        """It goes after its exchange's release time. Raises Forbidden for a file of one's own, Refused when too late.

        The reason is kept; the ledger has its hash.
        """
        tidy = guard.reason(reason)
        with self._ground.transaction() as tx:
            person = self._ground.acting(tx.session, person_id)
            row, consignment = self._asked(tx, person, consignment_id)
            settled = self._settled(tx, row, consignment)
            if settled is not None:
                return Outcome(settled, changed=False)
            if tx.now >= row.approve_by:
                raise Refused(
                    f"{consignment_id} could be approved until {clock_words(row.approve_by, tx.now)}; it ends now, "
                    "and nothing of it goes.",
                    code="TOO_LATE",
                )
            row.approved_by, row.approved_at, row.reason = person.id, tx.now, tidy
            tx.session.add(row)
            exchange = self._ground.in_force_at(tx.session).policy.exchange(consignment.exchange)
            if exchange is not None:
                consignment.release_at = tx.now + exchange.release_after
            facts = {"via": via, "reason": guard.short_hash(tidy.encode())}
            about = tx.record(Event("consignment.approved", person.id, (consignment_id,), facts))
            held = [d for d in deliveries_of(tx.session, consignment) if d.status is Status.HELD]
            if consignment.hold == APPROVAL:
                self._deliveries.settle(tx, consignment, held, actor=person.id)
            else:
                self._deliveries.tell_sender(tx, consignment, about=about)
            called = self._ground.called(held[0].recipient)
        return Outcome(f"{consignment_id} is approved and goes to {called}. Your reason is on record.", changed=True)

    def refuse(self, person_id: str, consignment_id: str, reason: str, *, via: str) -> Outcome:
        """It ends as if it had been discarded; its sender reads the reason. A legal hold refuses that."""
        tidy = guard.reason(reason)
        with self._deliveries.refusing(person_id), self._ground.transaction() as tx:
            person = self._ground.acting(tx.session, person_id)
            row, consignment = self._asked(tx, person, consignment_id)
            settled = self._settled(tx, row, consignment)
            if settled is not None:
                return Outcome(settled, changed=False)
            row.reason = tidy
            facts = {"via": via, "reason": guard.short_hash(tidy.encode())}
            self._end(tx, row, consignment, person.id, f"not approved by {person.id}: {tidy}", facts)
        return Outcome(
            f"{consignment_id} is refused. Nothing of it was sent, and its sender is told why.", changed=True
        )

    def _asked(self, tx: Tx, person: Person, consignment_id: str) -> tuple[AdHocRow, ConsignmentRow]:
        consignment = tx.session.get(ConsignmentRow, consignment_id)
        if consignment is None or consignment.member != person.member:
            raise Missing("There is no such consignment.")
        deed = Deed(Act.APPROVE_AD_HOC, person.id, tx.now, facts=self._ground.facts_at(tx.session))
        decision = decide(self._ground.in_force_at(tx.session).policy, deed)
        if not decision.permit:
            raise Forbidden(f"{decision.sentence} A governance lead of your organisation answers that.")
        row = tx.session.get(AdHocRow, consignment_id)
        if row is None:
            raise Refused(f"{consignment_id} needs no approval.", code="NO_APPROVAL_NEEDED")
        if consignment.person == person.id:
            raise Forbidden("Nobody approves a file of their own: another governance lead has to look at it.")
        return row, consignment

    def _settled(self, tx: Tx, row: AdHocRow, consignment: ConsignmentRow) -> str | None:
        """Why there is nothing to answer any more; None while there is."""
        if row.approved_at is not None:
            when = clock_words(row.approved_at, tx.now)
            return f"{consignment.id} was already approved by {row.approved_by} at {when}."
        if any(delivery.status is Status.HELD for delivery in deliveries_of(tx.session, consignment)):
            return None
        why = consignment.hold_words if consignment.hold == NOT_APPROVED else "its sender took it back"
        return f"{consignment.id} does not wait any more: {why}."

    def _end(
        self, tx: Tx, row: AdHocRow, consignment: ConsignmentRow, actor: str, words: str, facts: dict[str, str]
    ) -> None:
        consignment.hold, consignment.hold_words = NOT_APPROVED, words
        tx.session.add(row)
        tx.session.add(consignment)
        tx.record(Event("consignment.not-approved", actor, (consignment.id,), {**facts}))
        self._deliveries.undo(tx, consignment, actor=actor)

    # -- what ends by itself

    def end_due(self) -> int:
        """What nobody approved in time ends; how many. What was approved and has expired ends by retention."""
        now = self._ground.now()
        waiting = (
            select(AdHocRow.consignment)
            .join(DeliveryRow, col(DeliveryRow.consignment) == col(AdHocRow.consignment))
            .where(
                col(AdHocRow.approved_at).is_(None),
                AdHocRow.approve_by <= now,
                col(DeliveryRow.status).in_([status.value for status in UNRELEASED]),
            )
        )
        with self._ground.store.reading() as session:
            late = session.exec(waiting).all()
        for consignment_id in late:
            self._alone(consignment_id, self._end_unapproved)
        return len(late)

    def _alone(self, subject: str, act: Callable[[str], None]) -> None:
        """One transaction each: what cannot end stands in nobody's way, and is tried again in a minute."""
        real = time.monotonic()
        if self._stuck.get(subject, 0) > real:
            return
        self._stuck[subject] = real + _STUCK_SECONDS
        act(subject)
        del self._stuck[subject]

    def _end_unapproved(self, consignment_id: str) -> None:
        with self._ground.transaction() as tx:
            row, consignment = tx.session.get(AdHocRow, consignment_id), tx.session.get(ConsignmentRow, consignment_id)
            if row is None or consignment is None or row.approved_at is not None or row.approve_by > tx.now:
                return
            words = f"nobody approved it by {clock_words(row.approve_by, tx.now)}"
            self._end(tx, row, consignment, "exchange", words, {"why": "not approved in time"})
