"""When the exchange did not run: its heartbeat is a row, and a gap in it is an outage.

What was due while it was down is nobody's fault but its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from server.domain.ledger import Event, text_of
from server.exchange.ground import Ground
from server.store import Tx
from server.store.duty_tables import HeartbeatRow, OutageRow

BEAT = timedelta(minutes=1)
GAP = timedelta(minutes=10)
"""A heartbeat that is older than this means that the exchange did not run."""


@dataclass(frozen=True, slots=True)
class Outage:
    """From when to when (aware) the exchange did not run."""

    from_at: datetime
    until_at: datetime


class Uptime:
    """Beats, and notes what was missed."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._beaten: datetime | None = None
        """The last beat that this process saw."""

    def beat(self) -> bool:
        """Say that the exchange runs, once a minute of its clock; whether it had been down."""
        now = self._ground.now()
        if self._beaten is not None and self._beaten <= now < self._beaten + BEAT:
            return False
        with self._ground.transaction() as tx:
            row = tx.session.get(HeartbeatRow, 1)
            was_down = row is not None and tx.now - row.at > GAP
            if row is not None and was_down:
                tx.session.add(OutageRow(from_at=row.at, until_at=tx.now))
                facts = {"from": text_of(row.at), "until": text_of(tx.now)}
                tx.record(Event("exchange.was_down", "exchange", (), facts))
            row = row or HeartbeatRow(id=1, at=tx.now)
            row.at = max(row.at, tx.now)
            tx.session.add(row)
            self._beaten = tx.now
        return was_down


def outages(session: Session, now: datetime) -> tuple[Outage, ...]:
    """Every outage, oldest first, that which is ending at `now` included: nothing has beaten since it began."""
    rows = session.exec(select(OutageRow).order_by(col(OutageRow.from_at))).all()
    found = [Outage(row.from_at, row.until_at) for row in rows]
    heart = session.get(HeartbeatRow, 1)
    if heart is not None and now - heart.at > GAP:
        found.append(Outage(heart.at, now))
    return tuple(found)


def clock_moved(tx: Tx, before: datetime, after: datetime, *, running: bool | None) -> None:
    """The clock goes from `before` to `after`: of an exchange that runs the heartbeat goes with it.

    `running` None: it runs if it has beaten in the last minutes. While it is down the gap stands.
    """
    row = tx.session.get(HeartbeatRow, 1)
    if row is None:
        return
    if running is None:
        running = before - row.at <= GAP
    if running:
        row.at = max(row.at, after)
        tx.session.add(row)
