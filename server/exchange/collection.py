"""A delivery is collected when one person has every byte of it and their client closed the last handle."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

from server.domain.decision import Act, Deed, decide
from server.domain.delivery import VISIBLE, Status, move
from server.domain.errors import Busy, Missing, SafehandError
from server.domain.ledger import Event, Fact
from server.domain.retention import is_locked
from server.exchange.findings import held_back
from server.exchange.ground import Ground
from server.exchange.outbox_rows import pair_of
from server.exchange.sessions import Sessions, Visitor
from server.exchange.telling import Telling
from server.store.tables import ConsignmentRow, KeyPacketRow

_REMEMBERED = 1000
"""How many half-read deliveries without an open handle are remembered, for a download that is resumed."""


@dataclass(slots=True)
class Served:
    """What one person was served of one delivery, over all handles and sessions of this server's life."""

    handles: int = 0
    revoked: bool = False
    spans: tuple[tuple[int, int], ...] = ()

    def add(self, start: int, end: int) -> None:
        """Bytes start..end were served; overlapping and touching spans are joined."""
        if self.spans and self.spans[-1][0] <= start <= self.spans[-1][1]:
            last = self.spans[-1]
            self.spans = (*self.spans[:-1], (last[0], max(last[1], end)))
            return
        joined: list[tuple[int, int]] = []
        for low, high in sorted((*self.spans, (start, end))):
            if joined and low <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(joined[-1][1], high))
            else:
                joined.append((low, high))
        self.spans = tuple(joined)

    def covers(self, size: int) -> bool:
        return self.spans == ((0, size),)


class Collection:
    """Hands out envelopes and notices who has a whole one."""

    def __init__(self, ground: Ground, sessions: Sessions, telling: Telling) -> None:
        self._ground, self._sessions, self._telling = ground, sessions, telling
        self._served: dict[tuple[str, str], Served] = {}
        self._owed: list[tuple[Visitor, str]] = []
        self._lock = threading.Lock()

    def read(self, visitor: Visitor, delivery_id: str) -> Reading:
        """The envelope as this visitor's member may read it. Raises Missing when there is none for them."""
        self._sessions.require(visitor)
        key = (visitor.person.id, delivery_id)
        with self._lock:  # known before the look at the rows: a recall after it finds this reader
            served = self._served.setdefault(key, Served())
            served.handles += 1
        try:
            consignment, packets = self._readable(visitor, delivery_id)
            fd = self._ground.spool.open(consignment.blob)
        except SafehandError:
            self._let_go(key)
            raise
        size = len(packets.packets) + consignment.payload_size
        return Reading(self, visitor, delivery_id, packets.packets, fd, size, served)

    def _readable(self, visitor: Visitor, delivery_id: str) -> tuple[ConsignmentRow, KeyPacketRow]:
        with self._ground.store.reading() as session:
            row, consignment = pair_of(session, delivery_id)
            packets = session.get(KeyPacketRow, (consignment.id, row.recipient))
            policy, facts = self._ground.in_force_at(session).policy, self._ground.facts_at(session)
            back = held_back(session, row.id, consignment.id)
        now = self._ground.now()
        deed = Deed(Act.READ, visitor.person.id, now, recipient=row.recipient, facts=facts)
        shown = row.status in VISIBLE and not is_locked(row.use_by, now)
        if not decide(policy, deed).permit or visitor.put_only or not shown or packets is None:
            raise Missing("There is no such delivery.")
        if back is not None:
            raise Busy(f"This delivery is held back. {back} Its operator and both members know.", code="HELD_BACK")
        return consignment, packets

    # -- ends of deliveries

    def begun(self, delivery_id: str) -> bool:
        """Whether anybody was served a part of it in this server's life."""
        with self._lock:
            return any(key[1] == delivery_id and served.spans for key, served in self._served.items())

    def stop(self, delivery_id: str) -> None:
        """It was recalled or superseded, and that is committed: nobody reads it any further."""
        with self._lock:
            for (_, delivery), served in self._served.items():
                served.revoked = served.revoked or delivery == delivery_id

    # -- ends of handles

    def _let_go(self, key: tuple[str, str]) -> None:
        with self._lock:
            served = self._served[key]
            served.handles -= 1
            if served.handles == 0 and (served.revoked or not served.spans):
                del self._served[key]
            idle = [known for known, each in self._served.items() if each.handles == 0]
            for known in idle[: max(0, len(idle) - _REMEMBERED)]:
                del self._served[known]

    def closed(self, reading: Reading, *, by_client: bool) -> None:
        """A handle ended. When the database is away, the collection is recorded as soon as it is back."""
        key = (reading.visitor.person.id, reading.delivery)
        with self._lock:
            served = self._served[key]
            whole = served.handles == 1 and by_client and not served.revoked and served.covers(reading.size)
        try:
            if whole:
                self._collect(reading.visitor, reading.delivery)
                served.spans = ()
        except SafehandError:
            with self._lock:
                self._owed.append((reading.visitor, reading.delivery))
        finally:
            self._let_go(key)

    def settle_owed(self) -> None:
        """Record the collections that could not be recorded when they happened."""
        with self._lock:
            owed, self._owed = self._owed, []
        for place, (visitor, delivery_id) in enumerate(owed):
            try:
                self._collect(visitor, delivery_id)
            except SafehandError:
                with self._lock:
                    self._owed += owed[place:]
                return

    def _collect(self, visitor: Visitor, delivery_id: str) -> None:
        with self._ground.transaction() as tx:
            row, consignment = pair_of(tx.session, delivery_id)
            exchange = self._ground.policy.exchange(consignment.exchange)
            first = row.collected_at is None
            if first:  # a disclosure that happened is recorded even if the delivery has ended since
                row.collected_at, row.collected_by, row.collected_key = tx.now, visitor.person.id, visitor.key
                if row.status is Status.AVAILABLE:
                    row.status = move(row.status, Status.COLLECTED)
                if row.controller_from is None and (exchange is None or exchange.controller_from == "first_download"):
                    row.controller, row.controller_from = row.recipient, tx.now
                tx.session.add(row)
            facts: dict[str, Fact] = {"key": visitor.key, "label": visitor.label, "first": first}
            about = tx.record(Event("delivery.collected", visitor.person.id, (row.id, consignment.id), facts))
            if first:
                self._telling.recipient(tx, row, consignment, about=about)
                self._telling.sender(tx, consignment, about=about)


class Reading:
    """One open handle on an envelope: this member's key packets, then the payload. `read` blocks; use a thread."""

    def __init__(
        self,
        collection: Collection,
        visitor: Visitor,
        delivery: str,
        packets: bytes,
        fd: int,
        size: int,
        served: Served,
    ) -> None:
        self.visitor, self.delivery, self.size = visitor, delivery, size
        self._collection, self._packets, self._fd, self._served = collection, packets, fd, served

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from `offset`, up to `length`; empty at the end. Raises Missing after a recall."""
        self._require_current()
        before = self._packets[offset : offset + length] if offset < len(self._packets) else b""
        at = max(0, offset - len(self._packets))
        return before + os.pread(self._fd, length - len(before), at)

    def served(self, offset: int, length: int) -> None:
        """These bytes are about to be handed to the client. Raises Missing after a recall: then they are not."""
        self._require_current()
        if length:
            self._served.add(offset, offset + length)

    def _require_current(self) -> None:
        if self._served.revoked:
            raise Missing("This delivery was recalled or replaced; it can no longer be read.")

    def close(self, *, by_client: bool) -> None:
        """Let go; may collect. May be called once."""
        if self._fd < 0:
            return
        os.close(self._fd)
        self._fd = -1
        self._collection.closed(self, by_client=by_client)
