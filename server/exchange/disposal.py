"""Ending a stored copy: its key packets in the transaction, then its bytes. A crash between is finished at start."""

from __future__ import annotations

from sqlmodel import col, select

from server.domain.delivery import SealedCopy
from server.domain.errors import Refused
from server.domain.ledger import Event
from server.exchange.ground import Ground
from server.store import Tx
from server.store.tables import ConsignmentRow, DeliveryRow, KeyPacketRow


class Disposal:
    """Makes a delivery's copy unreadable, and unlinks sealed bytes that nobody can read any more."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def drop(self, tx: Tx, delivery: DeliveryRow, *, actor: str, why: str) -> None:
        """The recipient's key packets go; from now on this copy cannot be read by it. Refused while under hold."""
        if delivery.copy_state is SealedCopy.PURGED:
            return
        if delivery.copy_state is SealedCopy.HELD:
            raise Refused(f"{delivery.id} is under a legal hold; its copy stays.", code="UNDER_HOLD")
        packets = tx.session.get(KeyPacketRow, (delivery.consignment, delivery.recipient))
        if packets is not None:
            tx.session.delete(packets)
            self._forget_bytes(tx)
        delivery.copy_state = SealedCopy.PURGED
        tx.session.add(delivery)
        tx.session.flush()
        tx.record(Event("copy.purged", actor, (delivery.id, delivery.consignment), {"why": why}))

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
        """A file that was never sent: its packets and its bytes go."""
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
