"""The life of a delivery: sent or held, available, collected; recalled or superseded."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from sqlmodel import Session, col, select

from server.domain.agreement import Person
from server.domain.delivery import CURRENT, UNRELEASED, VISIBLE, Status, move
from server.domain.errors import Busy, Forbidden, Missing, Refused
from server.domain.ledger import Event, Fact
from server.domain.schedule import clock_words, use_by
from server.exchange.disposal import Disposal
from server.exchange.ground import Ground
from server.exchange.sessions import Sessions, Visitor
from server.exchange.telling import Telling
from server.store import Tx
from server.store.tables import ConsignmentRow, DeliveryRow, KeyPacketRow

_BATCH = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a person's act: a sentence for them, and whether anything changed."""

    sentence: str
    changed: bool


class Deliveries:
    """Every move of a delivery but the acknowledgement."""

    def __init__(self, ground: Ground, sessions: Sessions, telling: Telling, disposal: Disposal) -> None:
        self._ground, self._sessions, self._telling, self._disposal = ground, sessions, telling, disposal
        self._served: dict[tuple[str, str], Served] = {}
        self._lock = threading.Lock()

    # -- sending (called by intake, inside its transaction)

    def send(self, tx: Tx, consignment: ConsignmentRow, recipients: Iterable[str]) -> list[str]:
        """Give every recipient its delivery: held, waiting for release, or available at once. Blobs to unlink."""
        exchange = self._ground.exchange(consignment.exchange)
        status = Status.HELD if consignment.hold else Status.SENT
        unlink: list[str] = []
        rows = []
        for recipient in recipients:
            row = DeliveryRow(
                id=tx.next_id("D", tx.now.year),
                consignment=consignment.id,
                recipient=recipient,
                status=status,
                controller=consignment.member,
            )
            tx.session.add(row)
            tx.session.flush()
            unlink += self._undo_unreleased(tx, consignment, row, one_file=exchange.files == "one")
            rows.append(row)
        facts: dict[str, Fact] = {
            "exchange": consignment.exchange, "period": consignment.period, "sha256": consignment.sha256,
            "payload_sha256": consignment.payload_sha256, "size": consignment.size, "rows": consignment.rows,
            "recipients": consignment.recipients, "key": consignment.via_key, "hold": consignment.hold,
        }  # fmt: skip
        ids = (consignment.id, *(row.id for row in rows))
        about = tx.record(Event("consignment.sealed", consignment.person, ids, facts))
        if not consignment.hold and consignment.release_at <= tx.now:
            for row in rows:
                unlink += self._release(tx, row, consignment)
        self._telling.sender(tx, consignment, about=about)
        return unlink

    def _priors(self, session: Session, consignment: ConsignmentRow, recipient: str, *, one_file: bool) -> list[
        tuple[DeliveryRow, ConsignmentRow]
    ]:  # fmt: skip
        """The sender's earlier current deliveries that a new one of this name (or any, for `files: one`) replaces."""
        query = (
            select(DeliveryRow, ConsignmentRow)
            .where(
                col(DeliveryRow.consignment) == col(ConsignmentRow.id),
                ConsignmentRow.member == consignment.member,
                ConsignmentRow.exchange == consignment.exchange,
                ConsignmentRow.period == consignment.period,
                ConsignmentRow.id != consignment.id,
                DeliveryRow.recipient == recipient,
                col(DeliveryRow.status).in_([status.value for status in CURRENT]),
            )
            .order_by(col(DeliveryRow.id))
        )
        if not one_file:
            query = query.where(ConsignmentRow.name_key == consignment.name_key)
        return list(session.exec(query).all())

    def repeated(self, session: Session, consignment: ConsignmentRow, recipient: str) -> DeliveryRow | None:
        """The current delivery of the same name and content, if there is one."""
        priors = self._priors(session, consignment, recipient, one_file=False)
        return next((row for row, old in priors if old.sha256 == consignment.sha256), None)

    def _undo_unreleased(self, tx: Tx, new: ConsignmentRow, row: DeliveryRow, *, one_file: bool) -> list[str]:
        unlink: list[str] = []
        for prior, old in self._priors(tx.session, new, row.recipient, one_file=one_file):
            if prior.status in UNRELEASED:
                unlink += self._end(tx, prior, old, Status.SUPERSEDED, actor=new.person, by=row.id)
        return unlink

    # -- release

    def release_due(self) -> int:
        """Everything whose release time has come becomes available; how many."""
        now = self._ground.now()
        query = (
            select(DeliveryRow.id)
            .join(ConsignmentRow, col(DeliveryRow.consignment) == col(ConsignmentRow.id))
            .where(DeliveryRow.status == Status.SENT, ConsignmentRow.release_at <= now)
            .order_by(col(DeliveryRow.id))
            .limit(_BATCH)
        )
        with self._ground.store.reading() as session:
            due = session.exec(query).all()
        if not due:
            return 0
        unlink: list[str] = []
        with self._ground.transaction() as tx:
            for delivery_id in due:
                row, consignment = _pair(tx.session, delivery_id)
                if row.status is Status.SENT and consignment.release_at <= tx.now:
                    unlink += self._release(tx, row, consignment)
        self._disposal.unlink(unlink)
        return len(due)

    def _release(self, tx: Tx, row: DeliveryRow, consignment: ConsignmentRow) -> list[str]:
        exchange = self._ground.policy.exchange(consignment.exchange)
        row.status = move(row.status, Status.AVAILABLE)
        row.available_at = tx.now
        row.use_by = use_by(tx.now, exchange.use_by_months if exchange else 2).isoformat()
        tx.session.add(row)
        facts = {"recipient": row.recipient, "use_by": row.use_by}
        about = tx.record(Event("delivery.available", "exchange", (row.id, consignment.id), facts))
        self._telling.recipient(tx, row, consignment, about=about)
        self._telling.sender(tx, consignment, about=about)
        unlink: list[str] = []
        one_file = exchange is not None and exchange.files == "one"
        for prior, old in self._priors(tx.session, consignment, row.recipient, one_file=one_file):
            if prior.id < row.id:
                unlink += self._end(tx, prior, old, Status.SUPERSEDED, actor=consignment.person, by=row.id)
        return unlink

    # -- ending

    def _end(
        self,
        tx: Tx,
        row: DeliveryRow,
        consignment: ConsignmentRow,
        status: Status,
        *,
        actor: str,
        by: str | None = None,
    ) -> list[str]:
        """Recalled or superseded. What its recipient never saw leaves no trace there, and no copy here."""
        seen = row.status not in UNRELEASED
        row.status = move(row.status, status)
        row.ended_at, row.superseded_by = tx.now, by
        tx.session.add(row)
        about = tx.record(Event(f"delivery.{status}", actor, (row.id, consignment.id), {"by": by, "seen": seen}))
        if status is Status.RECALLED or not seen:
            self._disposal.drop(tx, row, actor=actor, why=status.value)
        if seen:
            self._telling.recipient(tx, row, consignment, about=about)
        self._telling.sender(tx, consignment, about=about)
        self._revoke(row.id)
        return self._disposal.unread(tx, consignment)

    def undo(self, tx: Tx, consignment: ConsignmentRow, *, actor: str) -> list[str]:
        """Every unreleased delivery of the consignment ends without a trace for its recipient. Blobs to unlink."""
        unlink: list[str] = []
        for row in _deliveries(tx.session, consignment.id):
            if row.status in UNRELEASED:
                unlink += self._end(tx, row, consignment, Status.RECALLED, actor=actor)
        return unlink

    def recall(self, person_id: str, delivery_id: str, *, via: str) -> Outcome:
        """A deliberate act of the sending member, before anybody collected it. Raises Refused after that, honestly."""
        person = self._ground.person(person_id)
        with self._ground.transaction() as tx:
            row, consignment = self._sent_by_member(tx.session, person, delivery_id)
            name = self._ground.called(row.recipient)
            if row.status is Status.RECALLED:
                return Outcome(f"{delivery_id} was recalled already.", changed=False)
            if row.collected_at is not None:
                when = clock_words(row.collected_at, tx.now)
                raise Refused(
                    f"{name} collected {delivery_id} at {when} ({row.collected_by}); it cannot be recalled any more. "
                    "Ask them to destroy it, and tell your governance lead if it should not have gone.",
                    code="COLLECTED_ALREADY",
                )
            if row.status is Status.SUPERSEDED:
                raise Refused(f"{delivery_id} was replaced by {row.superseded_by}; recall that one.", code="SUPERSEDED")
            begun = self._begun(delivery_id)
            unlink = self._end(tx, row, consignment, Status.RECALLED, actor=person_id)
        self._disposal.unlink(unlink)
        tail = f" But {name} had begun to download it: ask them to delete what they have." if begun else ""
        return Outcome(f"{delivery_id} is recalled. {name} can no longer read it here.{tail}", changed=True)

    def all_there(self, person_id: str, consignment_id: str, *, via: str) -> Outcome:
        """The sender says that a held consignment is right; it goes on its way."""
        person = self._ground.person(person_id)
        with self._ground.transaction() as tx:
            consignment, rows = self._held_of(tx.session, person, consignment_id)
            if not rows:
                return Outcome(f"{consignment_id} is not held any more.", changed=False)
            unlink = self.settle(tx, consignment, rows, actor=person_id)
        self._disposal.unlink(unlink)
        return Outcome(f"{consignment_id} goes on its way.", changed=True)

    def settle(self, tx: Tx, consignment: ConsignmentRow, rows: list[DeliveryRow], *, actor: str) -> list[str]:
        """Held deliveries go on: to release, or at once when their release time has passed. Blobs to unlink."""
        why, consignment.hold, consignment.hold_words = consignment.hold, None, None
        tx.session.add(consignment)
        about = tx.record(Event("consignment.confirmed", actor, (consignment.id,), {"hold": why}))
        unlink: list[str] = []
        for row in rows:
            row.status = move(row.status, Status.SENT)
            tx.session.add(row)
            if consignment.release_at <= tx.now:
                unlink += self._release(tx, row, consignment)
        self._telling.sender(tx, consignment, about=about)
        return unlink

    def discard(self, person_id: str, consignment_id: str, *, via: str) -> Outcome:
        """The sender says that a held consignment is not to go; nothing of it is left."""
        person = self._ground.person(person_id)
        with self._ground.transaction() as tx:
            consignment, rows = self._held_of(tx.session, person, consignment_id)
            if not rows:
                return Outcome(f"{consignment_id} is not held any more.", changed=False)
            unlink: list[str] = []
            for row in rows:
                unlink += self._end(tx, row, consignment, Status.RECALLED, actor=person_id)
        self._disposal.unlink(unlink)
        return Outcome(f"{consignment_id} is discarded. Nothing of it was sent, and nothing is kept.", changed=True)

    def _sent_by_member(self, session: Session, person: Person, delivery_id: str) -> tuple[DeliveryRow, ConsignmentRow]:
        row, consignment = _pair(session, delivery_id)
        if consignment.member != person.member:
            raise Missing("There is no such delivery.")
        if not self._ground.policy.may(person, "recall"):
            raise Forbidden("Your role does not include recalling a delivery.")
        return row, consignment

    def _held_of(
        self, session: Session, person: Person, consignment_id: str
    ) -> tuple[ConsignmentRow, list[DeliveryRow]]:
        consignment = session.get(ConsignmentRow, consignment_id)
        if consignment is None or consignment.member != person.member:
            raise Missing("There is no such consignment.")
        if not self._ground.policy.may(person, "outbox.write"):
            raise Forbidden("Only a designated person of your organisation can answer for what was sent.")
        rows = [row for row in _deliveries(session, consignment_id) if row.status is Status.HELD]
        return consignment, rows

    # -- collecting

    def read(self, visitor: Visitor, delivery_id: str) -> Reading:
        """The envelope as this visitor's member may read it. Raises Missing when there is none for them."""
        person = self._sessions.require(visitor)
        with self._ground.store.reading() as session:
            row, consignment = _pair(session, delivery_id)
            packets = session.get(KeyPacketRow, (consignment.id, row.recipient))
            mine = row.recipient == person.member and self._ground.policy.may(person, "inbox.read")
            if not mine or visitor.put_only or row.status not in VISIBLE or packets is None:
                raise Missing()
        with self._lock:
            served = self._served.setdefault((person.id, delivery_id), Served())
            served.handles += 1
        try:
            fd = self._ground.spool.open(consignment.blob)
        except Busy:
            with self._lock:
                served.handles -= 1
            raise
        size = len(packets.packets) + consignment.payload_size
        return Reading(self, visitor, delivery_id, packets.packets, fd, size, served)

    def _begun(self, delivery_id: str) -> bool:
        with self._lock:
            return any(key[1] == delivery_id and served.spans for key, served in self._served.items())

    def _revoke(self, delivery_id: str) -> None:
        with self._lock:
            for (_, delivery), served in self._served.items():
                if delivery == delivery_id:
                    served.revoked = True

    def closed(self, reading: Reading, *, by_client: bool) -> None:
        """A handle ended. The delivery is collected when this person has every byte and the client closed the last."""
        key = (reading.visitor.person.id, reading.delivery)
        with self._lock:
            served = self._served[key]
            served.handles -= 1
            whole = served.handles == 0 and by_client and served.covers(reading.size)
            if whole or (served.handles == 0 and served.revoked):
                del self._served[key]
        if whole:
            self._collect(reading.visitor, reading.delivery)

    def _collect(self, visitor: Visitor, delivery_id: str) -> None:
        with self._ground.transaction() as tx:
            row, consignment = _pair(tx.session, delivery_id)
            if row.status not in VISIBLE:
                return
            exchange = self._ground.policy.exchange(consignment.exchange)
            first = row.collected_at is None
            if first:
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


class Reading:
    """One open handle on an envelope: this member's key packets, then the payload. `read` blocks; use a thread."""

    def __init__(
        self,
        deliveries: Deliveries,
        visitor: Visitor,
        delivery: str,
        packets: bytes,
        fd: int,
        size: int,
        served: Served,
    ) -> None:
        self.visitor, self.delivery, self.size = visitor, delivery, size
        self._deliveries, self._packets, self._fd, self._served = deliveries, packets, fd, served

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from `offset`, up to `length`; empty at the end. Raises Missing after a recall."""
        if self._served.revoked:
            raise Missing("This delivery was recalled or replaced; it can no longer be read.")
        before = self._packets[offset : offset + length] if offset < len(self._packets) else b""
        at = max(0, offset - len(self._packets))
        return before + os.pread(self._fd, length - len(before), at)

    def served(self, offset: int, length: int) -> None:
        """These bytes were handed to the client."""
        if length:
            self._served.add(offset, offset + length)

    def close(self, *, by_client: bool) -> None:
        """Let go; may collect. May be called once."""
        if self._fd < 0:
            return
        os.close(self._fd)
        self._fd = -1
        self._deliveries.closed(self, by_client=by_client)


def _pair(session: Session, delivery_id: str) -> tuple[DeliveryRow, ConsignmentRow]:
    row = session.get(DeliveryRow, delivery_id)
    consignment = session.get(ConsignmentRow, row.consignment) if row else None
    if row is None or consignment is None:
        raise Missing("There is no such delivery.")
    return row, consignment


def _deliveries(session: Session, consignment_id: str) -> list[DeliveryRow]:
    query = select(DeliveryRow).where(DeliveryRow.consignment == consignment_id).order_by(col(DeliveryRow.id))
    return list(session.exec(query).all())
