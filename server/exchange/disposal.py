"""Ending a stored copy, journalled: key packets go with the journal's row, then the bytes, then it is certified.

The row is written in the transaction that makes the copy unreadable, with what the certificate will say of it. What a
crash leaves is finished by the next look (`finish`), once: the certificate is issued in the transaction that closes
the row.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version as installed_version

from sqlmodel import Session, col, select

from server.domain.delivery import VISIBLE, SealedCopy
from server.domain.errors import Busy, Refused
from server.domain.ledger import Event, text_of
from server.domain.retention import CLAUSES
from server.exchange.certificates import Certificates
from server.exchange.findings import held_back
from server.exchange.ground import Ground
from server.store import Tx
from server.store.duty_tables import HoldRow, PurgeRow
from server.store.tables import ConsignmentRow, DeliveryRow, KeyPacketRow

_AT_A_TIME = 20
_STUCK_SECONDS = 60.0
METHOD = (
    "Cryptographic erasure: the recipient's key packets were deleted from the exchange's database, and the ciphertext "
    "was unlinked on the exchange's volume as soon as no other recipient needed it. The exchange held no decryption "
    "key, and plaintext was never persisted. Nothing is claimed about overwriting."
)
DATABASES: Mapping[bool, str] = {
    True: "SQLite with secure_delete: a deleted row's bytes are zeroed, and the write-ahead file is truncated.",
    False: "PostgreSQL: the row is deleted; its bytes stay in the table until VACUUM, and in archived logs.",
}
"""What deleting means, by whether it is SQLite."""
BACKUPS = (
    "Not covered: backups of the exchange's database and volume that its operator makes are outside its reach; which "
    "there are, and when they expire, is not known to it. They hold ciphertext, which the recipient's keys alone open."
)
LIMIT = (
    "This certificate is about the exchange's own sealed copy. It does not cover copies at the recipient: those are "
    "the subject of the recipient's own attestation."
)
WORDS: Mapping[str, str] = {
    "recalled": "its sender took it back before its recipient collected it",
    "superseded": "it was replaced before its recipient saw it",
    "unreleased": "it was never released",
}


class UnderHold(Refused):
    """A legal hold keeps the copy; `delivery` names it, and `holds` what holds it."""

    def __init__(self, delivery: str, holds: tuple[str, ...]) -> None:
        names = ", ".join(holds) or "a hold"
        super().__init__(
            f"{delivery} is under a legal hold ({names}): its copy stays. The governance lead who placed it releases "
            "it first.",
            code="UNDER_HOLD",
        )
        self.delivery, self.holds = delivery, holds


class Disposal:
    """Makes a delivery's copy unreadable, unlinks sealed bytes that nobody can read any more, and certifies both."""

    def __init__(self, ground: Ground, certificates: Certificates) -> None:
        self._ground, self._certificates = ground, certificates
        self._stuck: dict[str, float] = {}

    # -- beginning (inside the caller's transaction)

    def drop(
        self, tx: Tx, delivery: DeliveryRow, *, actor: str, why: str, words: str = "", rule: str | None = None
    ) -> bool:
        """The recipient's key packets go; from now on this copy cannot be read by it. False: nothing to do, or held.

        `why` names what ends it (`server.domain.retention.CLAUSES`), `words` say it, `rule` is the retention rule.
        """
        if delivery.copy_state is not SealedCopy.KEPT or holds_on(tx.session, delivery.id):
            return False
        if delivery.status in VISIBLE and held_back(tx.session, delivery.id, delivery.consignment):
            return False
        consignment = tx.session.get(ConsignmentRow, delivery.consignment)
        packets = tx.session.get(KeyPacketRow, (delivery.consignment, delivery.recipient))
        if consignment is None:
            raise ValueError(f"{delivery.id} has no consignment")
        facts = _facts(consignment, packets) | {
            "rule": why,
            "rule_words": words or WORDS.get(why, why),
            "clause": CLAUSES.get(why, "none"),
            "retention_rule": rule,
            "legal_hold": {"open": 0, "checked_at": text_of(tx.now), "released": _released(tx.session, delivery.id)},
            "stored_until": text_of(tx.now),
            "started_at": text_of(tx.now),
            "by": actor,
        }
        if packets is not None:
            tx.session.delete(packets)
            self._forget_bytes(tx)
        delivery.copy_state = SealedCopy.PURGED
        tx.session.add(delivery)
        tx.session.add(PurgeRow(delivery=delivery.id, rule=why, facts=json.dumps(facts), begun_at=tx.now, actor=actor))
        tx.session.flush()
        tx.record(Event("copy.purged", actor, (delivery.id, delivery.consignment), {"why": why, "rule": rule}))
        return True

    def require_free(self, tx: Tx, delivery: DeliveryRow) -> None:
        """Raises UnderHold when a hold stands: whoever wanted to end it is told, see `refusing`."""
        if delivery.copy_state is SealedCopy.HELD:
            raise UnderHold(delivery.id, holds_on(tx.session, delivery.id))

    @contextmanager
    def refusing(self, actor: str) -> Iterator[None]:
        """Around a verb that may end a copy: what a hold refused is written down, then refused."""
        try:
            yield
        except UnderHold as refused:
            with self._ground.transaction() as tx:
                subjects = (refused.delivery, *refused.holds)
                tx.record(Event("purge.refused", actor, subjects, {"why": refused.code}))
            raise

    def unread(self, tx: Tx, consignment: ConsignmentRow) -> None:
        """When no key packets are left, the consignment's sealed bytes leave the disk after the commit."""
        query = select(KeyPacketRow.member).where(col(KeyPacketRow.consignment) == consignment.id)
        if consignment.blob_gone or tx.session.exec(query).first() is not None:
            return
        consignment.blob_gone = True
        tx.session.add(consignment)
        blob = consignment.blob
        tx.after(f"unlink {blob}", lambda: self._ground.spool.remove(blob))

    def discard_staged(self, tx: Tx, consignment: ConsignmentRow, *, actor: str, why: str) -> None:
        """A file that was never sent: its packets and its bytes go. It has no delivery, so nothing is certified."""
        for packets in tx.session.exec(select(KeyPacketRow).where(KeyPacketRow.consignment == consignment.id)).all():
            tx.session.delete(packets)
            self._forget_bytes(tx)
        tx.session.flush()
        consignment.tidied = True
        tx.record(Event("consignment.discarded", actor, (consignment.id,), {"why": why}))
        self.unread(tx, consignment)

    def _forget_bytes(self, tx: Tx) -> None:
        """After the commit: the packets leave the database's files too."""
        tx.after("forget bytes", self._ground.store.forget_deleted_bytes)

    # -- finishing

    def finish(self) -> int:
        """Unlink, look, and certify whatever was begun and is not certified; how many were looked at.

        Each by itself: one that cannot be finished stands in nobody's way, and is tried again in a minute.
        """
        query = (
            select(PurgeRow.delivery)
            .where(col(PurgeRow.certified_at).is_(None))
            .order_by(col(PurgeRow.begun_at), col(PurgeRow.delivery))
        )
        real = time.monotonic()
        with self._ground.store.reading() as session:
            begun = [name for name in session.exec(query).all() if self._stuck.get(name, 0) <= real]
        for name in begun[:_AT_A_TIME]:
            self._stuck[name] = real + _STUCK_SECONDS
            self._finish_one(name)
            del self._stuck[name]
        return len(begun[:_AT_A_TIME])

    def _finish_one(self, delivery_id: str) -> None:
        """Everything here may be repeated: unlinking what is gone does nothing, and the row is looked at again."""
        with self._ground.store.reading() as session:
            consignment = _consignment_of(session, delivery_id)
        if consignment.blob_gone:
            self._ground.spool.remove(consignment.blob)
        self._ground.store.forget_deleted_bytes()
        with self._ground.transaction() as tx:
            row, delivery = tx.session.get(PurgeRow, delivery_id), tx.session.get(DeliveryRow, delivery_id)
            if row is None or delivery is None or row.certified_at is not None:
                return
            found = self._verified(tx, delivery)
            row.unlinked_at = row.certified_at = tx.now
            tx.session.add(row)
            finished = {"finished_at": text_of(tx.now), "verification": found}
            document = {**_constant(sqlite=self._ground.store.sqlite), **json.loads(row.facts), **finished}
            self._certificates.issue(tx, kind="system", delivery=delivery, document=document)

    def _verified(self, tx: Tx, delivery: DeliveryRow) -> dict[str, object]:
        """What was looked at after the purge. Raises Busy when something of it is still there."""
        consignment = _consignment_of(tx.session, delivery.id)
        if tx.session.get(KeyPacketRow, (consignment.id, delivery.recipient)) is not None:
            raise Busy(f"The key packets of {delivery.id} are still there; its purge is not finished.")
        query = select(KeyPacketRow.member).where(col(KeyPacketRow.consignment) == consignment.id)
        others = len(tx.session.exec(query).all())
        if not others and self._ground.spool.holds(consignment.blob):
            raise Busy(f"The sealed bytes of {delivery.id} are still there; its purge is not finished.")
        payload = "absent: no file of its name is in the spool"
        if others:
            payload = (
                f"kept for {others} other recipient{'' if others == 1 else 's'} of the same consignment; without "
                "this recipient's key packets it is unreadable for it"
            )
        return {
            "checked_at": text_of(tx.now),
            "key_packets": "absent from the database",
            "payload": payload,
            "payload_absent": not others,
            "other_recipients": others,
        }


def holds_on(session: Session, delivery_id: str) -> tuple[str, ...]:
    """Ids of the legal holds that stand on a delivery."""
    query = select(HoldRow.id).where(HoldRow.delivery == delivery_id, col(HoldRow.released_at).is_(None))
    return tuple(session.exec(query.order_by(col(HoldRow.id))).all())


def _released(session: Session, delivery_id: str) -> list[str]:
    query = select(HoldRow.id).where(HoldRow.delivery == delivery_id, col(HoldRow.released_at).is_not(None))
    return list(session.exec(query.order_by(col(HoldRow.id))).all())


def _consignment_of(session: Session, delivery_id: str) -> ConsignmentRow:
    query = select(ConsignmentRow).join(DeliveryRow, col(DeliveryRow.consignment) == col(ConsignmentRow.id))
    return session.exec(query.where(DeliveryRow.id == delivery_id)).one()


def _facts(consignment: ConsignmentRow, packets: KeyPacketRow | None) -> dict[str, object]:
    """What was there: of the plaintext its number of records alone."""
    mine = packets.packets if packets is not None else b""
    return {
        "payload": {"sha256": consignment.payload_sha256, "bytes": consignment.payload_size},
        "key_packets": {"sha256": hashlib.sha256(mine).hexdigest() if mine else None, "bytes": len(mine)},
        "encrypted_to": packets.fingerprints.split(",") if packets is not None else [],
        "records": consignment.rows,
        "stored_from": text_of(consignment.received_at),
    }


def _constant(*, sqlite: bool) -> dict[str, object]:
    """What every system certificate says."""
    return {
        "method": METHOD,
        "database": DATABASES[sqlite],
        "tool": f"safehand {installed_version('safehand')}",
        "backups": BACKUPS,
        "limit": LIMIT,
    }
