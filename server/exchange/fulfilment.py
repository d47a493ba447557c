"""What was sent or said answers what is owed: worked out anew, in the very transaction that moved it.

Met is when the file was received whole, not when it was released. A newer file in its place changes nothing of that;
what is recalled, discarded or rejected opens it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from server.domain.delivery import UNRELEASED, VISIBLE, Status
from server.domain.ledger import Event, Fact
from server.domain.obligation import MET, Answer
from server.exchange.ground import Ground
from server.exchange.hindrance import Hindrance
from server.exchange.obligation_rows import obligation_of
from server.store import Tx
from server.store.duty_tables import ObligationRow
from server.store.tables import ConsignmentRow, DeliveryRow, NilRow

SAID = frozenset({Answer.CANNOT, Answer.DONE})
"""Answers that a person gave and no file is behind."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """One delivery to a recipient, as far as it answers something."""

    id: str
    consignment: str
    person: str
    received_at: datetime
    status: Status
    superseded_by: str | None = None
    seen: bool = False
    """It was released once."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What there is, since when, from whom, and by which consignment."""

    answer: Answer
    met_at: datetime | None = None
    by: str | None = None
    reference: str | None = None


def answered(arrived: Iterable[Arrived], nil: tuple[datetime, str] | None = None) -> Answered:
    """What these deliveries and the earliest nil return (when, who) come to."""
    every = sorted(arrived, key=lambda one: (one.received_at, one.id))
    good = _standing(every)
    if good:
        newest = max(one.consignment for one in good if one.status in VISIBLE)
        first = (good[0].received_at, good[0].person)
        met_at, by = min(first, nil) if nil else first
        return Answered(Answer.SENT, met_at, by, newest)
    if nil:
        return Answered(Answer.NIL, *nil)
    if any(one.status in UNRELEASED for one in every):
        return Answered(Answer.WAITING)
    return Answered(Answer.NONE)


def _standing(every: list[Arrived]) -> list[Arrived]:
    """Those that their recipient has, and those that a newer one of these took the place of; by time."""
    kept = {one.id for one in every if one.status in VISIBLE}
    grows = True
    while grows:
        more = {o.id for o in every if o.status is Status.SUPERSEDED and o.seen and o.superseded_by in kept} - kept
        kept |= more
        grows = bool(more)
    return [one for one in every if one.id in kept]


class Fulfilment:
    """Keeps the answers of what is owed in step with what was sent and said."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def touch(self, tx: Tx, exchange: str, period: str, sender: str, recipients: Iterable[str]) -> None:
        """Work out the answers of these rows from what there is now."""
        query = select(ObligationRow).where(
            ObligationRow.exchange == exchange, ObligationRow.period == period, ObligationRow.sender == sender,
            col(ObligationRow.recipient).in_(list(recipients)), ObligationRow.answer != Answer.WITHDRAWN.value,
        )  # fmt: skip
        rows = tx.session.exec(query.order_by(col(ObligationRow.id))).all()
        if not rows:
            return
        tx.session.flush()
        arrived = _arrived(tx.session, exchange, period, sender)
        nils = _nils(tx.session, exchange, period, sender)
        self.look_back(tx, rows)
        met: dict[tuple[str, bool], list[str]] = {}
        reopened: list[str] = []
        for row in rows:
            was_met = Answer(row.answer) in MET
            _settle(row, answered(arrived.get(row.recipient, ()), nils.get(row.recipient)))
            tx.session.add(row)
            if was_met and Answer(row.answer) not in MET:
                reopened.append(row.recipient)
            elif not was_met and Answer(row.answer) in MET:
                met.setdefault((row.answer, obligation_of(row).late_when_met), []).append(row.recipient)
        about: dict[str, Fact] = {"exchange": exchange, "period": period, "sender": sender}
        for (answer, late), to in met.items():
            facts: dict[str, Fact] = {**about, "recipients": ",".join(to), "answer": answer, "late": late}
            tx.record(Event("obligation.met", "exchange", (), facts))
        if reopened:
            tx.record(Event("obligation.reopened", "exchange", (), {**about, "recipients": ",".join(reopened)}))

    def look_back(self, tx: Tx, rows: Iterable[ObligationRow]) -> list[ObligationRow]:
        """Rows whose due time has passed are closed, as they stand now: what prevented them is written down for good.

        What it was then does not change when it is answered later. Those that were closed now.
        """
        hindrance: Hindrance | None = None
        closed = [row for row in rows if not row.closed and row.due_at < tx.now]
        for row in closed:
            row.closed = True
            if not _in_time(row):
                hindrance = hindrance or Hindrance.seen(self._ground, tx.session)
                row.blocked = hindrance.at_due(row, tx.now)
            tx.session.add(row)
        return closed


def _in_time(row: ObligationRow) -> bool:
    """Answered by its time, or arrived and not released yet."""
    answer = Answer(row.answer)
    if answer is Answer.WAITING:
        return True
    return answer in MET and row.met_at is not None and row.met_at <= row.due_at


def _settle(row: ObligationRow, found: Answered) -> None:
    """What a person said stands until something is sent."""
    said = Answer(row.answer) in SAID
    if said and found.answer in {Answer.NONE, Answer.WAITING}:
        return
    row.answer, row.met_at, row.met_by = found.answer.value, found.met_at, found.by
    row.reference, row.reason = found.reference, None


def _arrived(session: Session, exchange: str, period: str, sender: str) -> Mapping[str, list[Arrived]]:
    """{recipient: what there is for it}."""
    query = select(DeliveryRow, ConsignmentRow).where(
        col(DeliveryRow.consignment) == col(ConsignmentRow.id), ConsignmentRow.member == sender,
        ConsignmentRow.exchange == exchange, ConsignmentRow.period == period,
    )  # fmt: skip
    found: dict[str, list[Arrived]] = {}
    for row, consignment in session.exec(query).all():
        one = Arrived(
            row.id, consignment.id, consignment.person, consignment.received_at, row.status, row.superseded_by,
            row.available_at is not None,
        )  # fmt: skip
        found.setdefault(row.recipient, []).append(one)
    return found


def _nils(session: Session, exchange: str, period: str, sender: str) -> Mapping[str, tuple[datetime, str]]:
    """{recipient: when it was first told that there is nothing, and by whom}."""
    query = select(NilRow).where(NilRow.member == sender, NilRow.exchange == exchange, NilRow.period == period)
    found: dict[str, tuple[datetime, str]] = {}
    for row in session.exec(query.order_by(col(NilRow.id))).all():
        for recipient in row.recipients.split(","):
            found.setdefault(recipient, (row.at, row.person))
    return found
