"""A sharing year of obligations with a history, for what shows how the agreement is kept; one seed, one year."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from sqlmodel import select

from server.domain.agreement import Exchange as Agreed
from server.domain.due import DueDate, due_dates
from server.exchange import Exchange
from server.store.duty_tables import ObligationRow

WHEN = datetime(2027, 1, 14, 10, 30, tzinfo=UTC)
"""When it is looked at: January's round of working days 1 to 5 is over, that of days 11 to 15 is open."""
HABITS = {"essex": 0.95, "kent": 0.9, "southend": 0.97, "thurrock": 0.75, "east-sussex": 0.85}
"""How likely a member is to be on time; the others 0.9."""


def an_obligation(
    exchange: str = "post16-destinations", sender: str = "essex", recipient: str = "kent", *, due: datetime = WHEN,
    period: str = "2026-12", kind: str = "required", **given: object,
) -> ObligationRow:  # fmt: skip
    """One row; its window opens on the first day of the month in which it is due."""
    return ObligationRow(
        exchange=exchange, period=period, sender=sender, recipient=recipient, kind=kind,
        opens=due.date().replace(day=1).isoformat(), due_at=due, revision="0" * 64, made_at=due - timedelta(days=60),
        **given,
    )  # fmt: skip


def a_year(exchange: Exchange, *, year: int = 2026, now: datetime = WHEN, seed: int = 4) -> list[ObligationRow]:
    """Every obligation of every exchange with a schedule, answered as its sender's habit is."""
    chance, policy = random.Random(seed), exchange.policy
    found: list[ObligationRow] = []
    for agreed in policy.exchanges:
        calendar = policy.calendar_of(agreed)
        if calendar is None or agreed.obligation not in {"required", "best_efforts"}:
            continue
        for each in due_dates(agreed, calendar, year):
            for sender, recipient in _pairs(exchange, agreed):
                row = an_obligation(
                    agreed.id, sender, recipient, due=each.due.astimezone(UTC), period=str(each.period),
                    kind=agreed.obligation,
                )  # fmt: skip
                row.opens = each.opens.isoformat()
                _answer(row, each, now, chance)
                found.append(row)
    return found


def put(exchange: Exchange, rows: list[ObligationRow]) -> None:
    """Into the exchange's own table, in place of what is there for the same round."""
    with exchange.ground.transaction() as tx:
        for row in tx.session.exec(select(ObligationRow)).all():
            tx.session.delete(row)
        tx.session.flush()
        tx.session.add_all(rows)


def _pairs(exchange: Exchange, agreed: Agreed) -> Iterator[tuple[str, str]]:
    members = [m.id for m in exchange.policy.members if exchange.policy.takes_part(m.id, agreed)]
    return ((one, other) for one in members for other in members if one != other)


def _answer(row: ObligationRow, each: DueDate, now: datetime, chance: random.Random) -> None:
    """What had come of it by `now`: blocked for the member that cannot be reached, else by habit."""
    if "brighton-hove" in {row.sender, row.recipient}:
        if row.due_at < now:
            row.blocked, row.closed = "Brighton and Hove, which has not signed", True
        return
    opens = datetime.combine(date.fromisoformat(row.opens), each.due.timetz()).astimezone(UTC)
    roll, habit = chance.random(), HABITS.get(row.sender, 0.9)
    if opens > now:
        return
    late_by = timedelta(days=chance.randint(1, 12), hours=-chance.randint(1, 7))
    at = opens + (row.due_at - opens) * chance.random() if roll < habit else row.due_at + late_by
    if at > now or roll > 0.985:
        return
    row.answer, row.met_at, row.met_by = "sent", at, f"p-{row.sender}-1"
    row.reference = f"C-{at.year}-{chance.randint(1, 999999):06d}"
    if chance.random() < 0.12:
        row.answer, row.reference = "nil", None
    elif chance.random() < 0.015:
        row.answer, row.reference, row.reason = "cannot", None, "our system is being replaced until February"
