"""What a sender may still change about what was put: a name, which may send it, and its removal, which may undo it."""

from __future__ import annotations

from sqlmodel import col, select

from server.domain import guard
from server.domain.decision import Question, decide
from server.domain.delivery import UNRELEASED, Status
from server.domain.errors import Missing, Refused
from server.domain.ledger import Event
from server.domain.schedule import Period
from server.exchange.address import Address, is_temporary, resolve
from server.exchange.delivery import Deliveries
from server.exchange.dispatch import Dispatch
from server.exchange.disposal import Disposal
from server.exchange.ground import Ground
from server.exchange.outbox_rows import checksum_of, deliveries_of, latest, place_of, refusal_of
from server.exchange.refusals import Refusals
from server.exchange.sessions import Sessions, Visitor
from server.exchange.uploads import Uploads, key_of
from server.store import Tx
from server.store.tables import ConsignmentRow, KeyPacketRow, NilRow

_STAYS = frozenset({"SENT_ALREADY", "RENAME_ACROSS", "FORMAT"})
"""Renames that change nothing: the file stays as it was, and no other of the new name was refused."""


class Amendments:
    """Rename and remove in the outbox."""

    def __init__(
        self,
        ground: Ground,
        sessions: Sessions,
        deliveries: Deliveries,
        disposal: Disposal,
        dispatch: Dispatch,
        refusals: Refusals,
        uploads: Uploads,
    ) -> None:
        self._ground, self._sessions, self._deliveries, self._refusals = ground, sessions, deliveries, refusals
        self._disposal, self._dispatch, self._uploads = disposal, dispatch, uploads

    def rename(
        self, visitor: Visitor, folder: tuple[str, ...], old: bytes, new_folder: tuple[str, ...], new: bytes
    ) -> str:
        """A temporary name becomes a sending one and is sent; a file that has not been released is renamed.

        A current file of the new name is not in the way: what is sent takes its place.
        """
        self._sessions.require(visitor)
        old_name, new_name = guard.file_name(old), guard.file_name(new)
        if folder != new_folder:
            raise Refused("Rename works within one folder; send the file again into the other.", code="RENAME_ACROSS")
        if self._uploads.get(key_of(visitor, folder, old_name)) is not None:
            raise Refused("That file has not arrived completely; send it again.", code="STILL_ARRIVING")
        place_of(folder)
        address = resolve(self._ground.policy, visitor.member.id, folder, new_name)
        try:
            return self._rename(visitor, folder, old_name, new_name, address)
        except Refused as error:
            if error.code not in _STAYS:
                self._refusals.note(visitor, address.place, new_name, error, address=address)
            raise

    def _rename(self, visitor: Visitor, folder: tuple[str, ...], old_name: str, new_name: str, address: Address) -> str:
        with self._ground.transaction() as tx:
            row = latest(tx.session, visitor, place_of(folder), old_name)
            if row is None:
                raise Missing()
            temporary = is_temporary(address, new_name)
            if not set(row.recipients.split(",")) <= set(address.recipients):
                raise Refused("Under that name it would go to somebody else; send it again.", code="RENAME_ACROSS")
            row.name, row.name_key = new_name, new_name.casefold()
            if row.staged and not temporary:
                return self._send_staged(tx, row)
            return self._retitle(tx, row, temporary=temporary)

    def _send_staged(self, tx: Tx, row: ConsignmentRow) -> str:
        in_force = self._ground.in_force_at(tx.session)
        tx.revision = in_force.revision
        facts = self._ground.facts_at(tx.session)
        packets = self._packets(tx, row)
        for recipient, mine in packets.items():
            keys, unusable = in_force.keys_for(recipient, self._ground.real())
            question = Question(
                row.member, recipient, row.exchange, tx.now, sender=row.person, period=Period.parse(row.period),
                unusable_keys=unusable, facts=facts,
            )  # fmt: skip
            decision = decide(in_force.policy, question)
            if not decision.permit:
                raise Refused(decision.sentence, code="DENIED")
            if {key.fingerprint for key in keys} != set(mine.fingerprints.split(",")):
                raise Refused("The keys changed since the file arrived; send it again.", code="KEYS_CHANGED")
        left = [r for r in packets if self._deliveries.repeated(tx.session, row, r) is None]
        if not left:
            sentence = self._dispatch.repeated(tx, row)
            self._disposal.discard_staged(tx, row, actor=row.person, why="already received")
            return sentence
        for recipient in set(packets) - set(left):
            tx.session.delete(packets[recipient])
        row.staged, row.recipients = False, ",".join(left)
        exchange = self._ground.exchange(row.exchange)
        row.received_at, row.release_at, row.revision = tx.now, tx.now + exchange.release_after, in_force.revision
        self._dispatch.hold(tx, row)
        tx.session.add(row)
        tx.session.flush()
        self._deliveries.send(tx, row, left)
        return self._dispatch.received(tx, row, ())

    def _packets(self, tx: Tx, row: ConsignmentRow) -> dict[str, KeyPacketRow]:
        query = select(KeyPacketRow).where(KeyPacketRow.consignment == row.id).order_by(col(KeyPacketRow.member))
        return {packets.member: packets for packets in tx.session.exec(query).all()}

    def _retitle(self, tx: Tx, row: ConsignmentRow, *, temporary: bool) -> str:
        rows = deliveries_of(tx.session, row)
        if not row.staged and (temporary or not all(delivery.status in UNRELEASED for delivery in rows)):
            raise Refused("This file has been sent; it keeps its name.", code="SENT_ALREADY")
        tx.session.add(row)
        tx.record(Event("consignment.renamed", row.person, (row.id,), {}))
        return f"{row.id} has its new name."

    def remove(self, visitor: Visitor, folder: tuple[str, ...], name: bytes) -> str | None:
        """Undo what is not released yet, or tidy the list after it. Never touches an earlier file of that name."""
        self._sessions.require(visitor)
        clean = guard.file_name(name)
        if guard.is_ignored(clean):
            return None
        upload = self._uploads.take(key_of(visitor, folder, clean))
        if upload is not None:
            upload.give_way(Refused("The file was removed while it was being sent.", code="REMOVED"))
            return "The unfinished upload is gone."
        place = place_of(folder)
        with self._disposal.refusing(visitor.person.id), self._ground.transaction() as tx:
            return self._remove(tx, visitor, place, clean)

    def _remove(self, tx: Tx, visitor: Visitor, place: tuple[str, str, str], name: str) -> str:
        row = latest(tx.session, visitor, place, name)
        refusal = refusal_of(tx.session, visitor, place, name)
        if refusal is not None and (row is None or refusal.at >= row.received_at):
            refusal.removed = True
            tx.session.add(refusal)
            return "The refused file is gone; why it was refused stays in /refused/."
        if row is None:
            return self._remove_small(tx, visitor, place, name)
        if row.staged:
            self._disposal.discard_staged(tx, row, actor=row.person, why="removed")
            return f"{row.id} was never sent; it is gone."
        self._deliveries.undo(tx, row, actor=visitor.person.id)
        row.tidied = True
        tx.session.add(row)
        rows = deliveries_of(tx.session, row)
        if all(delivery.status is Status.RECALLED for delivery in rows):
            return f"{row.id} is undone: nobody received it."
        tx.record(Event("consignment.tidied", visitor.person.id, (row.id,), {}))
        return f"{row.id} has gone already and is only tidied from this list. To recall it: chat, desk or attest/."

    def _remove_small(self, tx: Tx, visitor: Visitor, place: tuple[str, str, str], name: str) -> str:
        exchange, period, leaf = place
        nil = tx.session.exec(
            select(NilRow).where(
                NilRow.person == visitor.person.id, NilRow.exchange == exchange, NilRow.period == period,
                NilRow.folder == leaf,
                col(NilRow.tidied).is_(False),
            )
        ).first()  # fmt: skip
        if nil is not None and nil.name.casefold() == name.casefold():
            nil.tidied = True
            tx.session.add(nil)
            return "The nil return stands; it is only tidied from this list."
        subject = name.casefold().removesuffix(".sha256")
        mine = checksum_of(tx.session, visitor.person.id, place, subject) if subject != name.casefold() else None
        if mine is None:
            raise Missing()
        tx.session.delete(mine)
        return "The checksum is gone."
