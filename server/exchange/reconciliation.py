"""Rows against the spool, every day and on demand. What differs is reported and held back, never silently repaired.

A finding stands until a later look finds it mended: a file that was restored, a copy that has ended. The start-up
protocol (`Exchange.recover`) finishes what a crash left; here nothing on disk is touched.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from sqlmodel import Session, col, select
from sqlmodel.sql.expression import Select

from server.domain.audience import Hat, audience
from server.domain.delivery import VISIBLE, SealedCopy
from server.domain.errors import Busy
from server.domain.ledger import Event, Fact
from server.domain.schedule import london_day
from server.exchange.absences import presence
from server.exchange.findings import HOLDING_BACK, PACKETS_MISSING, SPOOL_DAMAGED, SPOOL_MISSING, Findings
from server.exchange.ground import Ground
from server.exchange.telling import period_words
from server.store import Tx
from server.store.duty_tables import FindingRow, ObligationRow
from server.store.tables import ConsignmentRow, DeliveryRow, KeyPacketRow, LedgerRow, NoticeRow

SPOOL_STRANGER, PACKETS_STRANGER, OBLIGATION_STRANGE = "SPOOL_STRANGER", "PACKETS_STRANGER", "OBLIGATION_STRANGE"
CODES = (*HOLDING_BACK, SPOOL_STRANGER, PACKETS_STRANGER, OBLIGATION_STRANGE)
DONE = "exchange.reconciled"
KIND = "held-back"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as the rows have it: code, what it is about, and a sentence."""

    code: str
    subject: str
    words: str


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a look came to: sealed files read, their bytes, what differs now, and how much of it is new or mended."""

    files: int
    bytes: int
    differences: tuple[Difference, ...]
    new: int
    mended: int


class _Stored(NamedTuple):
    """A consignment whose sealed file should be there, as its row has it."""

    id: str
    blob: str
    size: int
    sha256: str


class Reconciliation:
    """Compares; writes down what differs and what is mended; tells the people of both members once."""

    def __init__(self, ground: Ground, findings: Findings) -> None:
        self._ground, self._findings = ground, findings
        self._seen: date | None = None
        """The day whose look is known to be done."""

    def look_due(self) -> bool:
        """Once a London day, over all processes: the ledger says whether it was done. True if it was done here."""
        today = london_day(self._ground.now())
        if self._seen == today:
            return False
        with self._ground.store.reading() as session:
            done = _last_day(session) == today.isoformat()
        if not done:
            with self._alone() as alone:
                done = alone and self.look(by="exchange", once=True) is not None
                if not alone:  # another process reads at this moment: whether it came to its end is seen later
                    return False
        self._seen = today
        return done

    def look(self, *, by: str, once: bool = False) -> Reconciled | None:
        """Read every sealed file and compare; takes as long as the disk. None: `once`, and it was done today."""
        with self._ground.store.reading() as session:
            rows = [_Stored._make(each) for each in session.exec(_kept()).all()]
        found, read = list[Difference](), 0
        for row in rows:
            size, difference = self._judged(row)
            read += size
            found += [difference] if difference else []
        found += self._strangers()
        with self._ground.transaction() as tx:
            day = london_day(tx.now).isoformat()
            if once and _last_day(tx.session) == day:
                return None
            found = [one for one in found if self._still(tx.session, one)] + list(_of_rows(tx.session))
            new, mended = self._write(tx, found)
            counts = {code.lower(): sum(one.code == code for one in found) for code in CODES}
            facts: dict[str, Fact] = {"day": day, "files": len(rows), "bytes": read, "new": new, "mended": mended}
            tx.record(Event(DONE, by, (), {**facts, **counts}))
        return Reconciled(len(rows), read, tuple(found), new, mended)

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Whether no other process of this machine reads the spool now; a process that dies lets go."""
        fd = os.open(self._ground.data / "reconciling.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(fd)

    # -- comparing

    def _judged(self, row: _Stored) -> tuple[int, Difference | None]:
        """Bytes read, and what is wrong with this consignment's sealed file."""
        try:
            measured = self._ground.spool.measure(row.blob)
        except Busy:
            return 0, Difference(SPOOL_DAMAGED, row.id, f"The sealed file of {row.id} cannot be read from the disk.")
        if measured is None:
            return 0, Difference(SPOOL_MISSING, row.id, f"The sealed file of {row.id} is not on the exchange's disk.")
        size, digest = measured
        if size != row.size:
            words = f"The sealed file of {row.id} has {size:,} bytes; {row.size:,} were stored."
            return size, Difference(SPOOL_DAMAGED, row.id, words)
        if digest != row.sha256:
            words = f"The sealed file of {row.id} was changed on the disk: its SHA-256 is another than was stored."
            return size, Difference(SPOOL_DAMAGED, row.id, words)
        return size, None

    def _strangers(self) -> list[Difference]:
        """Sealed files that no row knows; they stay where they are."""
        there = self._ground.spool.sealed()
        with self._ground.store.reading() as session:
            known = set(session.exec(select(ConsignmentRow.blob)).all())
        return [
            Difference(SPOOL_STRANGER, blob, f"The sealed file {blob} in the spool belongs to no row; it is kept.")
            for blob in there
            if blob not in known
        ]

    def _still(self, session: Session, one: Difference) -> bool:
        """Looked at again inside: a copy may have ended, or been sent, while the others were read."""
        if one.code == SPOOL_STRANGER:
            query = select(ConsignmentRow.id).where(ConsignmentRow.blob == one.subject)
            return session.exec(query).first() is None and self._ground.spool.holds(one.subject)
        row = session.get(ConsignmentRow, one.subject)
        return row is not None and not row.blob_gone

    # -- writing

    def _write(self, tx: Tx, found: list[Difference]) -> tuple[int, int]:
        """Notes what is new and clears what is mended; how many of each."""
        standing = set(_standing(tx.session))
        wanted = {(one.code, one.subject) for one in found}
        mended = [(code, subject) for code, subject in standing if (code, subject) not in wanted]
        for code, subject in sorted(mended):
            self._findings.clear(tx, code, subject)
        new = [one for one in found if self._findings.note(tx, one.code, one.subject, one.words)]
        for one in new:
            if one.code in HOLDING_BACK:
                self._tell(tx, one.subject, one.words)
        for _, subject in sorted(each for each in mended if each[0] in HOLDING_BACK):
            self._tell(tx, subject, None)
        return len(new), len(mended)

    def _tell(self, tx: Tx, subject: str, words: str | None) -> None:
        """The people of both members, one notice a delivery; without words: it is mended, and the notice says so."""
        query = (
            select(DeliveryRow, ConsignmentRow)
            .where(col(DeliveryRow.consignment) == col(ConsignmentRow.id))
            .where((col(DeliveryRow.id) == subject) | (col(ConsignmentRow.id) == subject))
            .order_by(col(DeliveryRow.id))
        )
        for delivery, consignment in tx.session.exec(query).all():
            if delivery.status in VISIBLE and delivery.copy_state is not SealedCopy.PURGED:
                self._tell_both(tx, delivery, consignment, words)

    def _tell_both(self, tx: Tx, delivery: DeliveryRow, consignment: ConsignmentRow, words: str | None) -> None:
        policy, present = self._ground.in_force_at(tx.session).policy, presence(self._ground, tx.session, tx.now)
        thread = f"{KIND}:{delivery.id}"
        for hat in (Hat(delivery.recipient, "data_manager"), Hat(consignment.member, "designated_person")):
            for person in audience(policy, hat, present):
                if words is None and not _was_told(tx.session, person, thread):
                    continue
                facts = {
                    "delivery": delivery.id, "title": self._ground.titled(consignment.exchange),
                    "period": period_words(consignment.period), "sender": self._ground.called(consignment.member),
                    "recipient": self._ground.called(delivery.recipient), "words": words,
                    "sent": hat.member == consignment.member,
                }  # fmt: skip
                notice = self._ground.notices.notice(
                    KIND, person=person, member=hat.member, thread=thread, facts=facts,
                    tone="good" if words is None else "bad",
                )  # fmt: skip
                tx.notify(notice, about=tx.head[0])


def _kept() -> Select[str, str, int, str]:
    """Of every consignment that is not purged: id, file, bytes and SHA-256."""
    row = ConsignmentRow
    query = select(col(row.id), col(row.blob), col(row.payload_size), col(row.payload_sha256))
    return query.where(col(row.blob_gone).is_(False)).order_by(col(row.id))


def _of_rows(session: Session) -> Iterator[Difference]:
    """Key packets without a delivery, deliveries without key packets, obligations met by what is not there."""
    joined = (col(DeliveryRow.consignment) == col(KeyPacketRow.consignment)) & (
        col(DeliveryRow.recipient) == col(KeyPacketRow.member)
    )
    without_delivery = (
        select(KeyPacketRow.consignment, KeyPacketRow.member)
        .join(ConsignmentRow, col(ConsignmentRow.id) == col(KeyPacketRow.consignment))
        .outerjoin(DeliveryRow, joined)
        .where(col(DeliveryRow.id).is_(None), col(ConsignmentRow.staged).is_(False))
        .order_by(col(KeyPacketRow.consignment), col(KeyPacketRow.member))
    )
    for consignment, member in session.exec(without_delivery).all():
        words = f"{consignment} has key packets for {member}, and no delivery to it."
        yield Difference(PACKETS_STRANGER, f"{consignment}/{member}", words)
    without_packets = (
        select(DeliveryRow.id)
        .outerjoin(KeyPacketRow, joined)
        .where(col(KeyPacketRow.consignment).is_(None), col(DeliveryRow.copy_state) != SealedCopy.PURGED)
        .order_by(col(DeliveryRow.id))
    )
    for delivery in session.exec(without_packets).all():
        words = f"The key packets of {delivery} are not in the database, and nothing ended its copy."
        yield Difference(PACKETS_MISSING, delivery, words)
    strange = (
        select(ObligationRow.id, ObligationRow.reference)
        .outerjoin(ConsignmentRow, col(ConsignmentRow.id) == col(ObligationRow.reference))
        .where(col(ObligationRow.reference).startswith("C-"), col(ConsignmentRow.id).is_(None))
        .order_by(col(ObligationRow.id))
    )
    for number, reference in session.exec(strange).all():
        words = f"Obligation {number} counts as met by {reference}, which the exchange does not have."
        yield Difference(OBLIGATION_STRANGE, f"obligation-{number}", words)


def _standing(session: Session) -> list[tuple[str, str]]:
    query = select(FindingRow.code, FindingRow.subject).where(
        col(FindingRow.code).in_(CODES), col(FindingRow.cleared_at).is_(None)
    )
    return list(session.exec(query).all())


def _last_day(session: Session) -> str | None:
    """The London day of the last look, by the ledger."""
    query = select(LedgerRow.data).where(LedgerRow.kind == DONE).order_by(col(LedgerRow.number).desc()).limit(1)
    told = session.exec(query).first()
    return str(json.loads(told)["day"]) if told is not None else None


def _was_told(session: Session, person: str, thread: str) -> bool:
    query = select(NoticeRow.id).where(NoticeRow.person == person, NoticeRow.thread == thread)
    return session.exec(query).first() is not None
