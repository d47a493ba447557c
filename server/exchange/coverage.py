"""Who sent what to whom in a period: every directed pair of an exchange, and nothing about the people in the files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sqlmodel import Session, col, select

from server.domain.agreement import Exchange
from server.domain.decision import Question, decide
from server.domain.delivery import Status
from server.domain.errors import Missing
from server.domain.schedule import Period
from server.exchange.ground import Ground
from server.store.tables import ConsignmentRow, DeliveryRow, NilRow

State = Literal["acknowledged", "sent", "waiting", "nil", "not ready", "missing"]
_STATES: dict[Status, State] = {
    Status.ACKNOWLEDGED: "acknowledged",
    Status.AVAILABLE: "sent",
    Status.COLLECTED: "sent",
    Status.QUERIED: "sent",
    Status.SENT: "waiting",
    Status.HELD: "waiting",
}
_BEST: tuple[State, ...] = ("acknowledged", "sent", "waiting", "nil", "not ready", "missing")


@dataclass(frozen=True, slots=True)
class Pair:
    """One directed pair: what there is from `sender` to `recipient`, and `why` when nothing can go."""

    sender: str
    recipient: str
    state: State
    why: str = ""


class Coverage:
    """Reads the deliveries and nil returns of a period (R-024, clause 2)."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def pairs(self, exchange_id: str, period: Period) -> tuple[Pair, ...]:
        """Every directed pair of members that the exchange is open to, in the order of the policy. Raises Missing."""
        exchange = self._ground.policy.exchange(exchange_id)
        if exchange is None:
            raise Missing(f"There is no exchange called {exchange_id}.")
        with self._ground.store.reading() as session:
            found = self._found(session, exchange, period)
        members = [m.id for m in self._ground.policy.members if self._ground.policy.takes_part(m.id, exchange)]
        return tuple(
            self._pair(exchange, sender, recipient, found.get((sender, recipient)))
            for sender in members
            for recipient in members
            if sender != recipient
        )

    def _pair(self, exchange: Exchange, sender: str, recipient: str, state: State | None) -> Pair:
        if state is not None:
            return Pair(sender, recipient, state)
        question = Question(sender, recipient, exchange.id, self._ground.now(), facts=self._ground.facts)
        decision = decide(self._ground.policy, question)
        if decision.permit:
            return Pair(sender, recipient, "missing")
        return Pair(sender, recipient, "not ready", decision.sentence)

    def _found(self, session: Session, exchange: Exchange, period: Period) -> dict[tuple[str, str], State]:
        """(sender, recipient) -> the best that there is."""
        found: dict[tuple[str, str], State] = {}
        for pair, state in self._stated(session, exchange.id, str(period)):
            found[pair] = min(found.get(pair, "missing"), state, key=_BEST.index)
        return found

    def _stated(self, session: Session, exchange: str, period: str) -> Iterator[tuple[tuple[str, str], State]]:
        deliveries = select(ConsignmentRow.member, DeliveryRow.recipient, DeliveryRow.status).where(
            col(DeliveryRow.consignment) == col(ConsignmentRow.id),
            ConsignmentRow.exchange == exchange,
            ConsignmentRow.period == period,
        )
        for sender, recipient, status in session.exec(deliveries).all():
            state = _STATES.get(Status(status))
            if state is not None:
                yield (sender, recipient), state
        nils = select(NilRow).where(NilRow.exchange == exchange, NilRow.period == period)
        for row in session.exec(nils).all():
            for recipient in row.recipients.split(","):
                yield (row.member, recipient), "nil"
