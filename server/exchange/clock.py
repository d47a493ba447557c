"""The exchange's clock: a stored offset, kept over restarts, never before the last entry. Moved in demos only."""

from __future__ import annotations

from datetime import datetime, timedelta

from server.domain.errors import Refused
from server.domain.ledger import Event, moment_of, text_of
from server.domain.schedule import in_words
from server.exchange.ground import Ground
from server.exchange.uptime import clock_moved
from server.store.tables import ClockRow


class Clock:
    """Moves the clock that everybody on this exchange shares."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def set(self, moment: datetime, *, running: bool | None = None) -> None:
        """It is `moment` (aware) now, and time runs on from there. Raises Refused for a time before the last entry.

        Moved while the exchange runs, no time was lost; `running` False: what was skipped is an outage. None: it runs
        if it was seen to in the last minutes.
        """
        before = self._ground.now()
        _, _, last = self._ground.store.head()
        if moment < moment_of(last):
            raise Refused(f"The clock only moves forward; the last ledger entry is of {in_words(moment_of(last))}.")
        offset = moment - self._ground.real()
        with self._ground.store.transaction(
            moment, self._ground.in_force.revision if self._ground.has_policy else "0" * 64
        ) as tx:
            row = tx.session.get(ClockRow, 1) or ClockRow(id=1, offset=0)
            row.offset = offset // timedelta(microseconds=1)
            tx.session.add(row)
            clock_moved(tx, before, moment, running=running)
            tx.record(Event("clock.set", "operator", (), {"to": text_of(moment)}))
        self._ground.refresh()
