"""A data manager saying "we have it", or what is wrong with it. A repetition changes nothing and says who was first."""

from __future__ import annotations

from typing import Literal

from server.domain import guard
from server.domain.agreement import Person
from server.domain.decision import Act, Deed, decide
from server.domain.delivery import VISIBLE, SealedCopy, Status, move
from server.domain.errors import Forbidden, Missing, Refused
from server.domain.ledger import Event, Fact
from server.domain.schedule import clock_words
from server.exchange.delivery import Outcome
from server.exchange.fulfilment import Fulfilment
from server.exchange.ground import Ground
from server.exchange.telling import Telling
from server.store import Tx
from server.store.tables import ConsignmentRow, DeliveryRow


class Acknowledgements:
    """Acknowledge, query, reject: for data managers of the recipient."""

    def __init__(self, ground: Ground, telling: Telling, fulfilment: Fulfilment) -> None:
        self._ground, self._telling, self._fulfilment = ground, telling, fulfilment

    def acknowledge(self, person_id: str, delivery_id: str, *, via: str) -> Outcome:
        """Raises Refused before anybody of the member has collected it, and for one that was recalled or replaced."""
        with self._ground.transaction() as tx:
            person = self._ground.acting(tx.session, person_id)
            row, consignment = self._received(tx, person, delivery_id)
            if row.status is Status.ACKNOWLEDGED:
                who, when = row.acknowledged_by, row.acknowledged_at
                words = clock_words(when, tx.now) if when else "an earlier time"
                return Outcome(f"{delivery_id} was already acknowledged by {who} at {words}.", changed=False)
            if row.collected_at is None and row.copy_state is SealedCopy.PURGED:
                raise Refused(
                    f"The time of {delivery_id} is over and nobody of your organisation collected it. Ask "
                    f"{self._sender(consignment)} to send it again.",
                    code="TIME_OVER",
                )
            if row.collected_at is None:
                name = self._ground.called(row.recipient)
                raise Refused(
                    f"Nobody at {name} has collected {delivery_id} yet. Collect it from the inbox, then acknowledge.",
                    code="NOT_COLLECTED",
                )
            row.status = move(row.status, Status.ACKNOWLEDGED)
            row.acknowledged_at, row.acknowledged_by = tx.now, person.id
            row.problem = row.problem_by = None
            if row.controller_from is None:
                row.controller, row.controller_from = row.recipient, tx.now
            self._moved(tx, row, consignment, person, "delivery.acknowledged", {"via": via})
        return Outcome(
            f"{delivery_id} is acknowledged. Thank you; {self._sender(consignment)} can see it.", changed=True
        )

    def problem(
        self, person_id: str, delivery_id: str, kind: Literal["queried", "rejected"], reason: str, *, via: str
    ) -> Outcome:
        """A question about a delivery, or its rejection, with a reason that carries no personal data."""
        tidy = guard.reason(reason)
        with self._ground.transaction() as tx:
            person = self._ground.acting(tx.session, person_id)
            row, consignment = self._received(tx, person, delivery_id)
            if row.status == kind and row.problem == tidy:
                return Outcome(f"{delivery_id}: {row.problem_by} said so already.", changed=False)
            if row.status != kind:
                row.status = move(row.status, Status(kind))
            row.problem, row.problem_by = tidy, person.id
            if kind == "rejected":
                row.ended_at = tx.now
            self._moved(
                tx,
                row,
                consignment,
                person,
                f"delivery.{kind}",
                {"via": via, "reason": guard.short_hash(tidy.encode())},
            )
            at = (consignment.exchange, consignment.period, consignment.member)
            self._fulfilment.touch(tx, *at, (row.recipient,))
        word = "Your question" if kind == "queried" else "Your rejection"
        return Outcome(f"{word} of {delivery_id} is with {self._sender(consignment)}.", changed=True)

    def _permitted(self, tx: Tx, person: Person, row: DeliveryRow, consignment: ConsignmentRow) -> None:
        """By the policy in force in this very transaction. Raises Forbidden for a role, Refused for anything else."""
        deed = Deed(
            Act.ACKNOWLEDGE, person.id, tx.now, recipient=row.recipient, sent_by=consignment.person,
            facts=self._ground.facts_at(tx.session),
        )  # fmt: skip
        decision = decide(self._ground.in_force_at(tx.session).policy, deed)
        if "VERB_NOT_GRANTED" in decision.codes:
            raise Forbidden("Only a data manager of your organisation can do that.")
        if not decision.permit:
            raise Refused(decision.sentence, code=decision.reasons[0].code)

    def _received(self, tx: Tx, person: Person, delivery_id: str) -> tuple[DeliveryRow, ConsignmentRow]:
        row = tx.session.get(DeliveryRow, delivery_id)
        consignment = tx.session.get(ConsignmentRow, row.consignment) if row else None
        if row is None or consignment is None or row.recipient != person.member or row.available_at is None:
            raise Missing("There is no such delivery.")
        self._permitted(tx, person, row, consignment)
        if row.status is Status.RECALLED:
            raise Refused(
                f"{self._sender(consignment)} recalled {delivery_id}; there is nothing to do.", code="RECALLED"
            )
        if row.status is Status.SUPERSEDED:
            raise Refused(f"{delivery_id} was replaced by {row.superseded_by}; use that one.", code="SUPERSEDED")
        if row.status is not Status.REJECTED and row.status not in VISIBLE:
            raise Missing("There is no such delivery.")
        if row.status is Status.REJECTED:
            raise Refused(f"{row.problem_by} rejected {delivery_id}; ask the sender for a new file.", code="REJECTED")
        return row, consignment

    def _moved(
        self, tx: Tx, row: DeliveryRow, consignment: ConsignmentRow, person: Person, kind: str, facts: dict[str, Fact]
    ) -> None:
        tx.session.add(row)
        about = tx.record(Event(kind, person.id, (row.id, consignment.id), facts))
        self._telling.recipient(tx, row, consignment, about=about)
        self._telling.sender(tx, consignment, about=about)

    def _sender(self, consignment: ConsignmentRow) -> str:
        return self._ground.called(consignment.member)
