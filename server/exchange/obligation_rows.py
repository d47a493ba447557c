"""The rows of what is owed: as values, and the queries that several life cycles ask of them."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import cast

from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from server.domain.obligation import CHASED, Answer, Kind, Obligation
from server.domain.schedule import LONDON, london_day
from server.store.duty_tables import ObligationRow

OPEN = (Answer.NONE.value, Answer.WAITING.value)
"""Answers that are none yet."""


def obligation_of(row: ObligationRow) -> Obligation:
    """The row as a value."""
    return Obligation(
        row.id or 0, row.exchange, row.period, row.sender, row.recipient, cast("Kind", row.kind),
        date.fromisoformat(row.opens), row.due_at, Answer(row.answer), row.met_at, row.blocked, row.reason,
        row.reference,
    )  # fmt: skip


def midnight(day: date) -> datetime:
    """The first moment of that day in London."""
    return datetime.combine(day, time(0), tzinfo=LONDON)


def due_between(
    session: Session, first: date, last: date, *, exchange: str | None = None, member: str | None = None
) -> tuple[Obligation, ...]:
    """Everything that falls due on these London days, both included, by due time; withdrawn ones too.

    Of one exchange, or to and from one member, where they are named.
    """
    query = select(ObligationRow).where(
        col(ObligationRow.due_at) >= midnight(first), col(ObligationRow.due_at) < midnight(last + timedelta(days=1))
    )
    if exchange is not None:
        query = query.where(ObligationRow.exchange == exchange)
    if member is not None:
        query = query.where((col(ObligationRow.sender) == member) | (col(ObligationRow.recipient) == member))
    return tuple(obligation_of(row) for row in session.exec(_in_order(query)).all())


def unmet(session: Session, now: datetime, *, sender: str | None = None) -> list[ObligationRow]:
    """Rows whose window is open and that nobody has answered; best efforts only until they are due.

    What was blocked when it fell due is nobody's to do any more.
    """
    query = select(ObligationRow).where(
        col(ObligationRow.answer).in_(OPEN),
        col(ObligationRow.opens) <= london_day(now).isoformat(),
        (col(ObligationRow.due_at) >= now) | col(ObligationRow.kind).in_(sorted(CHASED)),
        col(ObligationRow.blocked).is_(None),
    )
    if sender is not None:
        query = query.where(ObligationRow.sender == sender)
    return list(session.exec(_in_order(query)).all())


def of_group(session: Session, exchange: str, period: str, sender: str) -> list[ObligationRow]:
    """What one member owes in one exchange for one period, without what was withdrawn."""
    query = select(ObligationRow).where(
        ObligationRow.exchange == exchange, ObligationRow.period == period, ObligationRow.sender == sender,
        ObligationRow.answer != Answer.WITHDRAWN.value,
    )  # fmt: skip
    return list(session.exec(_in_order(query)).all())


def ahead_of(session: Session, member: str, now: datetime) -> tuple[Obligation, ...]:
    """What the member will owe: its window has not opened yet."""
    query = select(ObligationRow).where(
        ObligationRow.sender == member, ObligationRow.answer == Answer.NONE.value,
        ObligationRow.opens > london_day(now).isoformat(),
    )  # fmt: skip
    return tuple(obligation_of(row) for row in session.exec(_in_order(query)).all())


def _in_order(query: SelectOfScalar[ObligationRow]) -> SelectOfScalar[ObligationRow]:
    return query.order_by(
        col(ObligationRow.due_at), col(ObligationRow.exchange), col(ObligationRow.period), col(ObligationRow.id)
    )
