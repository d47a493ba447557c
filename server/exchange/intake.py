"""From bytes arriving to a consignment: decided at open, checked and sealed in the stream, decided again at close."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from sqlmodel import Session, col, select

from server.domain import guard
from server.domain.decision import Question, decide
from server.domain.delivery import CURRENT, UNRELEASED, Status
from server.domain.errors import Busy, Forbidden, Missing, Refused, SafehandError
from server.domain.ledger import Event
from server.domain.schedule import clock_words
from server.exchange.address import Address, resolve
from server.exchange.arrivals import Arrival, Handle, Ignored, Small, Target, Upload
from server.exchange.delivery import Deliveries
from server.exchange.disposal import Disposal
from server.exchange.ground import Ground, InForce
from server.exchange.refusals import Refusals
from server.exchange.sessions import Sessions, Visitor
from server.exchange.telling import period_words
from server.records import RecordSummary, check_for
from server.seal.envelope import Sealed, Sealing
from server.seal.keyring import SealingKey
from server.store import Tx
from server.store.tables import ChecksumRow, ConsignmentRow, DeliveryRow, KeyPacketRow, NilRow, RefusalRow

STAGED_FOR = timedelta(hours=24)
SAME_BYTES_WITHIN = timedelta(days=1)
OPEN_AT_ONCE, OPEN_PER_PERSON, KEPT_AT_ONCE = 128, 32, 16
OTHER_DOCUMENTS = frozenset(
    "xlsx xls ods odt txt pdf zip gz 7z gpg pgp asc doc docx xml json tsv jpg png eml msg csv xlsm parquet".split()
)
"""Extensions that name a kind of document: one that is not agreed is refused, never taken for a temporary name."""
_CHECKSUM = re.compile(rb"\s*\\?([0-9a-fA-F]{64})(?:\s|$)")
_Key = tuple[str, str, str]


class Intake:
    """Every file that a person puts into the outbox, whatever it is."""

    def __init__(
        self, ground: Ground, sessions: Sessions, deliveries: Deliveries, disposal: Disposal, refusals: Refusals
    ) -> None:
        self._ground, self._sessions, self._deliveries = ground, sessions, deliveries
        self._disposal, self._refusals = disposal, refusals
        self.resume_seconds = 300.0
        self._uploads: dict[_Key, Upload] = {}
        self._lock = threading.Lock()

    # -- open

    def open(
        self, visitor: Visitor, folder: tuple[str, ...], name: bytes, *, resume: bool, append: bool = False
    ) -> Arrival:
        """A handle for a new file, or for the rest of an interrupted one. Raises Refused with what to do instead."""
        self._sessions.require(visitor)
        clean = guard.file_name(name)
        if guard.is_ignored(clean):
            return Ignored()
        key = _key(visitor, folder, clean)
        if resume or append:
            kept = self._taken_over(key)
            if kept is not None:
                return kept
        try:
            address = resolve(self._ground.policy, visitor.member.id, folder, clean)
        except SafehandError as error:
            self._refusals.record(visitor, "/".join(folder), clean, error)
            raise
        try:
            return self._open(visitor, address, clean, key)
        except (Refused, Forbidden) as error:
            self._refusals.record(visitor, address.place, clean, error, address=address)
            raise

    def _open(self, visitor: Visitor, address: Address, name: str, key: _Key) -> Arrival:
        if guard.is_nil(name) or name.casefold().endswith(".sha256"):
            self._decided(visitor, address, self._ground.in_force, tell=True)
            return Small(visitor, address, name)
        staged = _is_temporary(address, name)
        recipients, keys, left_out = self._decided(visitor, address, self._ground.in_force, tell=True)
        whole = Address(address.exchange, address.period, address.folder, recipients)
        target = Target(visitor, whole, name, staged, keys, left_out)
        upload = self._begin(target, key)
        return Handle(upload)

    def _decided(
        self, visitor: Visitor, address: Address, in_force: InForce, *, tell: bool
    ) -> tuple[tuple[str, ...], tuple[SealingKey, ...], tuple[tuple[str, str], ...]]:
        """Who receives, the keys it is sealed to, and who is left out of a broadcast and why."""
        recipients: list[str] = []
        keys: list[SealingKey] = []
        left_out: list[tuple[str, str]] = []
        unusable_keys: dict[str, str] = {}
        for recipient in address.recipients:
            usable, unusable = in_force.keys_for(recipient, self._ground.real())
            decision = decide(
                in_force.policy,
                Question(
                    visitor.member.id, recipient, address.exchange.id, self._ground.now(), period=address.period,
                    sender=in_force.policy.person(visitor.person.id), unusable_keys=unusable,
                ),
            )  # fmt: skip
            if decision.permit and usable:
                recipients.append(recipient)
                keys += usable
                continue
            left_out.append((recipient, decision.sentence))
            if {rule.code for rule in decision.reasons} <= {"RECIPIENT_KEY_UNUSABLE"}:
                unusable_keys |= unusable or {recipient: "no key is on file"}
        if unusable_keys and tell:
            self._refusals.key_owners(visitor, address, unusable_keys)
        if not recipients:
            raise Refused(left_out[0][1] if left_out else "Nobody takes part in this exchange.", code="DENIED")
        return tuple(sorted(recipients)), tuple(keys), tuple(left_out)

    def _begin(self, target: Target, key: _Key) -> Upload:
        with self._lock:
            mine = sum(1 for upload in self._uploads.values() if upload.target.visitor.person == target.visitor.person)
            if len(self._uploads) >= OPEN_AT_ONCE or mine >= OPEN_PER_PERSON:
                raise Busy("Too many files are being sent at once; wait for some to finish, then send this one again.")
            earlier = self._uploads.pop(key, None)
        if earlier is not None:
            earlier.fail(Refused("This upload was replaced by a newer one of the same name.", code="TAKEN_OVER"))
            earlier.abandon()
        exchange = target.address.exchange
        check = check_for(exchange.content_inspection, exchange.columns.required, exchange.columns.optional)
        draft = self._ground.spool.draft()
        upload = Upload(target, draft, check)
        taps: tuple[Callable[[bytes], None], ...] = () if exchange.content_inspection == "none" else (check.feed,)
        try:
            upload.sealing = Sealing(
                self._ground.in_force.keyring, self._ground.key, target.keys, draft.fd, taps=taps, on_room=upload.room
            )
        except SafehandError:
            draft.discard()
            raise
        with self._lock:
            self._uploads[key] = upload
        return upload

    def _taken_over(self, key: _Key) -> Handle | None:
        with self._lock:
            upload = self._uploads.get(key)
            return Handle(upload) if upload is not None and upload.failed is None else None

    # -- the other endings

    def interrupt(self, arrival: Arrival) -> None:
        """The handle ended without the client closing it: kept a few minutes for the rest, or nothing remains."""
        if not isinstance(arrival, Handle) or arrival.upload.holder is not arrival:
            return
        upload = arrival.upload
        with self._lock:
            kept = sum(1 for other in self._uploads.values() if other.interrupted_at is not None)
            upload.holder, upload.interrupted_at = None, time.monotonic()
        welcome = self._sessions.welcome(upload.target.visitor)
        if (
            upload.failed is not None
            or not upload.size
            or kept >= KEPT_AT_ONCE
            or not welcome
            or not self.resume_seconds
        ):
            self._end_interrupted(upload)

    def _end_interrupted(self, upload: Upload) -> None:
        self._forget(upload)
        upload.abandon()
        target = upload.target
        error = upload.failed
        kind = "refused"
        if error is None:
            kind = "interrupted"
            error = Refused(
                f"The upload stopped after {upload.size:,} bytes and was not finished; nothing of it was kept or sent. "
                "Send it again.",
                code="INTERRUPTED",
            )
        findings = upload.check.refusals
        self._refusals.record(
            target.visitor, target.address.place, target.name, error,
            findings=findings, address=target.address, kind=kind, size=upload.size,
        )  # fmt: skip

    def _forget(self, upload: Upload) -> None:
        with self._lock:
            for key in [key for key, known in self._uploads.items() if known is upload]:
                del self._uploads[key]

    def give_up(self) -> None:
        """End what was interrupted too long ago, and files whose temporary name was never changed."""
        with self._lock:
            late = time.monotonic() - self.resume_seconds
            old = [u for u in self._uploads.values() if u.interrupted_at is not None and u.interrupted_at <= late]
        for upload in old:
            self._end_interrupted(upload)
        self._give_up_staged()

    def _give_up_staged(self) -> None:
        before = self._ground.now() - STAGED_FOR
        query = select(ConsignmentRow.id).where(
            col(ConsignmentRow.staged).is_(True),
            col(ConsignmentRow.tidied).is_(False),
            ConsignmentRow.received_at < before,
        )
        with self._ground.store.reading() as session:
            old = session.exec(query).all()
        for consignment_id in old:
            with self._ground.transaction() as tx:
                row = tx.session.get(ConsignmentRow, consignment_id)
                unlink = (
                    self._disposal.discard_staged(tx, row, actor="exchange", why="never renamed")
                    if row is not None and row.staged and not row.tidied
                    else []
                )
            self._disposal.unlink(unlink)

    def abandon_all(self) -> None:
        """The server ends: nothing of an unfinished upload remains."""
        with self._lock:
            uploads, self._uploads = list(self._uploads.values()), {}
        for upload in uploads:
            upload.fail(Busy("The exchange is stopping; send the file again in a few minutes."))
            upload.abandon()

    def open_uploads(self, person_id: str, folder: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
        """(name, contiguous bytes) of this person's open and interrupted uploads in a folder."""
        place = "/".join(folder)
        with self._lock:
            uploads = [u for key, u in self._uploads.items() if key[:2] == (person_id, place) and u.failed is None]
        return tuple((upload.target.name, upload.size) for upload in uploads)

    def interrupted_size(self, visitor: Visitor, folder: tuple[str, ...], name: bytes) -> int | None:
        """Contiguous bytes of an open or interrupted upload of that name."""
        try:
            key = _key(visitor, folder, guard.file_name(name))
        except SafehandError:
            return None
        with self._lock:
            upload = self._uploads.get(key)
            return upload.size if upload is not None and upload.failed is None else None

    # -- close

    def close(self, arrival: Arrival) -> str | None:
        """The client's own close: sealed, on disk and in the ledger when this returns. The sentence for the client."""
        if isinstance(arrival, Ignored):
            return None
        if isinstance(arrival, Small):
            return self._close_small(arrival)
        assert isinstance(arrival, Handle)
        if arrival.failed is not None and arrival.upload.holder is not arrival:
            raise arrival.failed
        upload = arrival.upload
        upload.holder = None
        sent = False
        try:
            sentence = self._close_upload(upload)
            sent = True
        except Refused as error:
            upload.fail(error)
            target = upload.target
            self._refusals.record(
                target.visitor, target.address.place, target.name, error,
                findings=upload.check.refusals, address=target.address,
            )  # fmt: skip
            raise
        finally:
            if not sent:
                upload.abandon()
            self._forget(upload)
        return sentence

    def _close_upload(self, upload: Upload) -> str:
        if upload.failed is not None:
            raise upload.failed
        if upload.has_gap:
            raise Refused("Parts of the file are missing; send the whole file again.", code="GAP")
        if upload.size == 0:
            raise Refused(
                "The file is empty, so there is nothing to send. For a nil return put an empty file called NIL.",
                code="EMPTY",
            )
        assert upload.sealing is not None
        sealed = upload.sealing.finish()
        summary = upload.check.finish()
        refusals = upload.check.refusals
        if refusals:
            more = f" (and {len(refusals) - 1} more: see /refused/)" if len(refusals) > 1 else ""
            raise Refused(f"{refusals[0].sentence.rstrip('.')}. {refusals[0].remedy}{more}", code=refusals[0].rule)
        upload.draft.settle()
        self._sessions.require(upload.target.visitor)
        with self._ground.transaction() as tx:
            sentence, unlink, kept = self._commit(tx, upload, sealed, summary)
        if kept:
            upload.draft.place()
        else:
            upload.draft.discard()
        self._disposal.unlink(unlink)
        return sentence

    def _commit(self, tx: Tx, upload: Upload, sealed: Sealed, summary: RecordSummary) -> tuple[str, list[str], bool]:
        """The one transaction of a close: sentence, blobs to unlink, whether the new blob is kept."""
        target = upload.target
        self._decide_again(tx, target)
        row = self._row(tx, upload, sealed, summary)
        recipients = target.address.recipients
        if not target.staged:
            recipients = tuple(r for r in recipients if self._deliveries.repeated(tx.session, row, r) is None)
        if not recipients:
            return self._repeated(tx, row), [], False
        row.id = tx.next_id("C", tx.now.year)
        row.recipients = ",".join(recipients)
        if not target.staged:
            self._hold(tx, row)
        tx.session.add(row)
        tx.session.flush()
        for member in recipients:
            fingerprints = ",".join(sorted(key.fingerprint for key in target.keys if key.member == member))
            packets = KeyPacketRow(
                consignment=row.id, member=member, packets=sealed.key_packets[member], fingerprints=fingerprints
            )
            tx.session.add(packets)
        tx.session.flush()
        if target.staged:
            tx.record(Event("consignment.staged", row.person, (row.id,), {"size": row.size, "sha256": row.sha256}))
            return (
                f"Received {row.size:,} bytes under a temporary name; rename it within 24 hours to send it.",
                [],
                True,
            )
        unlink = self._deliveries.send(tx, row, recipients)
        return self._received(tx, row, target.left_out), unlink, True

    def _decide_again(self, tx: Tx, target: Target) -> None:
        """Under the revision in force now. Raises Refused when it no longer permits just this."""
        in_force = self._ground.in_force_at(tx.session)
        tx.revision = in_force.revision
        exchange = in_force.policy.exchange(target.address.exchange.id)
        recipients, keys, _ = self._decided(target.visitor, target.address, in_force, tell=False)
        same_keys = {key.fingerprint for key in keys} == {key.fingerprint for key in target.keys}
        if recipients != target.address.recipients or not same_keys or exchange != target.address.exchange:
            raise Refused("The agreement changed while the file was on its way; send it again.", code="POLICY_CHANGED")

    def _row(self, tx: Tx, upload: Upload, sealed: Sealed, summary: RecordSummary) -> ConsignmentRow:
        target = upload.target
        address, visitor = target.address, target.visitor
        return ConsignmentRow(
            id="", person=visitor.person.id, member=visitor.member.id, via_key=visitor.key,
            exchange=address.exchange.id, period=str(address.period), folder=address.folder,
            recipients=",".join(address.recipients), name=target.name, name_key=target.name.casefold(),
            size=sealed.size, sha256=sealed.sha256, rows=summary.rows, blob=upload.draft.blob,
            payload_sha256=sealed.payload_sha256, payload_size=sealed.payload_size, received_at=tx.now,
            release_at=tx.now + address.exchange.release_after, staged=target.staged, revision=tx.revision,
            cut_words=_cut_words(upload, summary) if address.exchange.completeness == "ask" else None,
        )  # fmt: skip

    def _hold(self, tx: Tx, row: ConsignmentRow) -> None:
        """Whether its sender is asked before it goes: it may be cut off, or it also went to somebody else."""
        checksum = self._checksum(tx.session, row)
        if checksum is not None and checksum.sha256 != row.sha256:
            raise Refused(
                "The file differs from its .sha256 file: it arrived damaged or cut off. Send both again.",
                code="CHECKSUM",
            )
        if checksum is not None:
            tx.session.delete(checksum)
        elif row.cut_words is not None:
            row.hold, row.hold_words = "completeness", row.cut_words
            return
        other = self._went_elsewhere(tx, row)
        if other is not None:
            row.hold, row.hold_words = "same-bytes", other

    def _checksum(self, session: Session, row: ConsignmentRow) -> ChecksumRow | None:
        return session.exec(
            select(ChecksumRow).where(
                ChecksumRow.person == row.person, ChecksumRow.exchange == row.exchange,
                ChecksumRow.period == row.period, ChecksumRow.folder == row.folder,
                ChecksumRow.name_key == row.name_key,
            )
        ).first()  # fmt: skip

    def _went_elsewhere(self, tx: Tx, row: ConsignmentRow) -> str | None:
        """The question to ask when the same bytes went to another member within a day; not for broadcasts."""
        mine = set(row.recipients.split(","))
        if len(mine) > 1:
            return None
        query = (
            select(DeliveryRow, ConsignmentRow)
            .where(
                col(DeliveryRow.consignment) == col(ConsignmentRow.id),
                ConsignmentRow.member == row.member,
                ConsignmentRow.sha256 == row.sha256,
                ConsignmentRow.id != row.id,
                ConsignmentRow.received_at > tx.now - SAME_BYTES_WITHIN,
                col(DeliveryRow.status).in_([status.value for status in CURRENT]),
            )
            .order_by(col(DeliveryRow.id).desc())
        )
        for delivery, earlier in tx.session.exec(query).all():
            if delivery.recipient not in mine and "," not in earlier.recipients:
                name, when = self._ground.called(delivery.recipient), clock_words(earlier.received_at, tx.now)
                return f"This file also went to {name} at {when}. Both right?"
        return None

    def _repeated(self, tx: Tx, row: ConsignmentRow) -> str:
        found = [self._deliveries.repeated(tx.session, row, recipient) for recipient in row.recipients.split(",")]
        ids = ", ".join(delivery.id for delivery in found if delivery is not None)
        for consignment_id in {delivery.consignment for delivery in found if delivery is not None}:
            earlier = tx.session.get(ConsignmentRow, consignment_id)
            if earlier is not None and earlier.person == row.person:
                earlier.tidied = False
                tx.session.add(earlier)
        self._clear_refusal(tx, row)
        return f"Already received: the same file is {ids}. Nothing was sent twice."

    def _received(self, tx: Tx, row: ConsignmentRow, left_out: tuple[tuple[str, str], ...]) -> str:
        self._clear_refusal(tx, row)
        query = select(DeliveryRow).where(DeliveryRow.consignment == row.id).order_by(col(DeliveryRow.id))
        sent = ", ".join(f"{self._ground.called(d.recipient)} {d.id}" for d in tx.session.exec(query).all())
        count = f"{row.rows:,} record{'' if row.rows == 1 else 's'}, " if row.rows is not None else ""
        text = f"Received {count}{row.size:,} bytes: {row.id} to {sent}."
        if row.hold:
            text += (
                f" HELD: {row.hold_words} Answer in chat or on the desk, or put an empty file attest/{row.id}.all-there"
            )
            text += f" (or attest/{row.id}.discard)."
        elif row.release_at > tx.now:
            text += f" It goes at {clock_words(row.release_at, tx.now)}; until then removing it undoes it."
        for member, why in left_out:
            text += f" Not sent to {self._ground.called(member)}: {why}"
        return text

    def _clear_refusal(self, tx: Tx, row: ConsignmentRow) -> None:
        """An accepted file of that name stands in front of an earlier refusal of it."""
        query = select(RefusalRow).where(RefusalRow.person == row.person, RefusalRow.name_key == row.name_key)
        refusal = tx.session.exec(query).first()
        if refusal is not None:
            refusal.removed = True
            tx.session.add(refusal)

    # -- small files that mean something

    def _close_small(self, small: Small) -> str:
        if small.failed is not None:
            raise small.failed
        try:
            act = self._nil if guard.is_nil(small.name) else self._take_checksum
            return act(small)
        except Refused as error:
            self._refusals.record(small.visitor, small.address.place, small.name, error, address=small.address)
            raise

    def _nil(self, small: Small) -> str:
        address, visitor = small.address, small.visitor
        if bytes(small.content).strip():
            raise Refused("A nil return is an empty file; this one has content.", code="NIL_NOT_EMPTY")
        if address.exchange.nil_return == "refused":
            raise Refused(f"{address.exchange.called} takes no nil returns.", code="NIL_REFUSED")
        recipients = ",".join(sorted(address.recipients))
        with self._ground.transaction() as tx:
            query = select(NilRow).where(
                NilRow.member == visitor.member.id, NilRow.exchange == address.exchange.id,
                NilRow.period == str(address.period), NilRow.recipients == recipients,
            )  # fmt: skip
            row = tx.session.exec(query).first()
            if row is not None:
                row.tidied = False
                tx.session.add(row)
                return f"Already received: the nil return of {clock_words(row.at, tx.now)}."
            row = NilRow(
                person=visitor.person.id, member=visitor.member.id, exchange=address.exchange.id,
                period=str(address.period), recipients=recipients, folder=address.folder, name=small.name, at=tx.now,
            )  # fmt: skip
            tx.session.add(row)
            facts = {"exchange": row.exchange, "period": row.period, "recipients": recipients}
            about = tx.record(Event("nil.received", visitor.person.id, (), facts))
            told = {
                "sender": visitor.member.called,
                "title": address.exchange.called,
                "period": period_words(row.period),
            }
            for recipient in address.recipients:
                for person in self._ground.policy.people_of(recipient, "data_manager"):
                    thread = f"nil:{row.member}:{row.exchange}:{row.period}"
                    tx.notify(
                        self._ground.notices.notice("nil", person=person.id, thread=thread, facts=told), about=about
                    )
        return "Nil return received: nothing to send this period."

    def _take_checksum(self, small: Small) -> str:
        found = _CHECKSUM.match(bytes(small.content))
        if found is None:
            raise Refused(
                "A .sha256 file begins with 64 hexadecimal digits; this one does not.", code="CHECKSUM_UNREADABLE"
            )
        said = found[1].decode().lower()
        name, address, visitor = small.name[: -len(".sha256")], small.address, small.visitor
        unlink: list[str] = []
        with self._ground.transaction() as tx:
            consignment = self._latest(
                tx.session, visitor, address.exchange.id, str(address.period), address.folder, name
            )
            if consignment is not None and consignment.sha256 == said:
                held = [row for row in _deliveries_of(tx.session, consignment) if row.status is Status.HELD]
                consignment.cut_words = None
                tx.session.add(consignment)
                if held and consignment.hold == "completeness":
                    unlink = self._deliveries.settle(tx, consignment, held, actor=visitor.person.id)
                sentence = f"The checksum fits {consignment.id}: the file is whole."
            else:
                self._keep_checksum(tx, small, name, said)
                sentence = "Checksum noted: it is compared with the file when that arrives."
        self._disposal.unlink(unlink)
        return sentence

    def _keep_checksum(self, tx: Tx, small: Small, name: str, said: str) -> None:
        address = small.address
        row = ChecksumRow(
            person=small.visitor.person.id, exchange=address.exchange.id, period=str(address.period),
            folder=address.folder, name=small.name, name_key=name.casefold(), sha256=said, size=small.size, at=tx.now,
        )  # fmt: skip
        query = select(ChecksumRow).where(
            ChecksumRow.person == row.person, ChecksumRow.exchange == row.exchange, ChecksumRow.period == row.period,
            ChecksumRow.folder == row.folder, ChecksumRow.name_key == row.name_key,
        )  # fmt: skip
        earlier = tx.session.exec(query).first()
        if earlier is not None:
            tx.session.delete(earlier)
            tx.session.flush()
        tx.session.add(row)

    # -- rename and remove

    def rename(
        self, visitor: Visitor, folder: tuple[str, ...], old: bytes, new_folder: tuple[str, ...], new: bytes, *,
        replace: bool,
    ) -> str | None:  # fmt: skip
        """A temporary name becomes a sending one and is sent; a file that has not been released is renamed."""
        self._sessions.require(visitor)
        old_name, new_name = guard.file_name(old), guard.file_name(new)
        if folder != new_folder:
            raise Refused("Rename works within one folder; send the file again into the other.", code="RENAME_ACROSS")
        with self._lock:
            upload = self._uploads.get(_key(visitor, folder, old_name))
        if upload is not None and upload.failed is None:
            raise Refused("That file has not arrived completely; send it again.", code="STILL_ARRIVING")
        place = _place(folder)
        with self._ground.transaction() as tx:
            row = self._latest(tx.session, visitor, *place, old_name)
            if row is None:
                raise Missing()
            address = resolve(self._ground.policy, visitor.member.id, folder, new_name)
            temporary = _is_temporary(address, new_name)
            if not set(row.recipients.split(",")) <= set(address.recipients):
                raise Refused("Under that name it would go to somebody else; send it again.", code="RENAME_ACROSS")
            row.name, row.name_key = new_name, new_name.casefold()
            if row.staged and not temporary:
                sentence, unlink = self._send_staged(tx, row)
            else:
                sentence, unlink = self._retitle(tx, row, temporary=temporary), []
        self._disposal.unlink(unlink)
        return sentence

    def _send_staged(self, tx: Tx, row: ConsignmentRow) -> tuple[str, list[str]]:
        person = self._ground.policy.person(row.person)
        in_force = self._ground.in_force_at(tx.session)
        recipients = row.recipients.split(",")
        for recipient in recipients:
            _, unusable = in_force.keys_for(recipient, self._ground.real())
            question = Question(row.member, recipient, row.exchange, tx.now, sender=person, unusable_keys=unusable)
            decision = decide(in_force.policy, question)
            if not decision.permit:
                raise Refused(decision.sentence, code="DENIED")
        left = [r for r in recipients if self._deliveries.repeated(tx.session, row, r) is None]
        if not left:
            sentence = self._repeated(tx, row)
            return sentence, self._disposal.discard_staged(tx, row, actor=row.person, why="already received")
        row.staged, row.recipients = False, ",".join(left)
        exchange = self._ground.exchange(row.exchange)
        row.received_at, row.release_at, row.revision = tx.now, tx.now + exchange.release_after, in_force.revision
        self._hold(tx, row)
        tx.session.add(row)
        tx.session.flush()
        unlink = self._deliveries.send(tx, row, left)
        return self._received(tx, row, ()), unlink

    def _retitle(self, tx: Tx, row: ConsignmentRow, *, temporary: bool) -> str:
        rows = _deliveries_of(tx.session, row)
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
        with self._lock:
            upload = self._uploads.pop(_key(visitor, folder, clean), None)
        if upload is not None:
            upload.fail(Refused("The file was removed while it was being sent.", code="REMOVED"))
            upload.abandon()
            return "The unfinished upload is gone."
        exchange, period, leaf = _place(folder)
        with self._ground.transaction() as tx:
            sentence, unlink = self._remove(tx, visitor, exchange, period, leaf, clean)
        self._disposal.unlink(unlink)
        return sentence

    def _remove(
        self, tx: Tx, visitor: Visitor, exchange: str, period: str, leaf: str, name: str
    ) -> tuple[str, list[str]]:
        row = self._latest(tx.session, visitor, exchange, period, leaf, name)
        refusal = self._refusal(tx.session, visitor, "/".join(p for p in (exchange, period, leaf) if p), name)
        if refusal is not None and (row is None or refusal.at >= row.received_at):
            refusal.removed = True
            tx.session.add(refusal)
            return "The refused file is gone; why it was refused stays in /refused/.", []
        if row is None:
            return self._remove_small(tx, visitor, exchange, period, leaf, name), []
        if row.staged:
            return f"{row.id} was never sent; it is gone.", self._disposal.discard_staged(
                tx, row, actor=row.person, why="removed"
            )
        unlink = self._deliveries.undo(tx, row, actor=visitor.person.id)
        row.tidied = True
        tx.session.add(row)
        rows = _deliveries_of(tx.session, row)
        if all(delivery.status is Status.RECALLED for delivery in rows):
            return f"{row.id} is undone: nobody received it.", unlink
        tx.record(Event("consignment.tidied", visitor.person.id, (row.id,), {}))
        return (
            f"{row.id} has gone already and is only tidied from this list. To recall it: chat, desk or attest/.",
            unlink,
        )

    def _remove_small(self, tx: Tx, visitor: Visitor, exchange: str, period: str, leaf: str, name: str) -> str:
        place = (visitor.person.id, exchange, period, leaf)
        nil = tx.session.exec(
            select(NilRow).where(
                NilRow.person == place[0], NilRow.exchange == exchange, NilRow.period == period, NilRow.folder == leaf,
                col(NilRow.tidied).is_(False),
            )
        ).first()  # fmt: skip
        if nil is not None and nil.name.casefold() == name.casefold():
            nil.tidied = True
            tx.session.add(nil)
            return "The nil return stands; it is only tidied from this list."
        checksum = tx.session.exec(
            select(ChecksumRow).where(
                ChecksumRow.person == place[0], ChecksumRow.exchange == exchange, ChecksumRow.period == period,
                ChecksumRow.folder == leaf,
            )
        ).all()  # fmt: skip
        mine = next((row for row in checksum if row.name.casefold() == name.casefold()), None)
        if mine is None:
            raise Missing()
        tx.session.delete(mine)
        return "The checksum is gone."

    def _latest(
        self, session: Session, visitor: Visitor, exchange: str, period: str, leaf: str, name: str
    ) -> ConsignmentRow | None:
        """This person's newest consignment of that place and name that is still in the list."""
        query = (
            select(ConsignmentRow)
            .where(
                ConsignmentRow.person == visitor.person.id, ConsignmentRow.exchange == exchange,
                ConsignmentRow.period == period, ConsignmentRow.folder == leaf,
                ConsignmentRow.name_key == name.casefold(), col(ConsignmentRow.tidied).is_(False),
            )
            .order_by(col(ConsignmentRow.id).desc())
        )  # fmt: skip
        return session.exec(query).first()

    def _refusal(self, session: Session, visitor: Visitor, place: str, name: str) -> RefusalRow | None:
        query = select(RefusalRow).where(
            RefusalRow.person == visitor.person.id, RefusalRow.name_key == name.casefold(),
            RefusalRow.place == place, col(RefusalRow.removed).is_(False),
        )  # fmt: skip
        return session.exec(query).first()


def _key(visitor: Visitor, folder: tuple[str, ...], name: str) -> _Key:
    return visitor.person.id, "/".join(folder), name.casefold()


def _place(folder: tuple[str, ...]) -> tuple[str, str, str]:
    if len(folder) not in {2, 3}:
        raise Missing()
    return folder[0], folder[1], folder[2] if len(folder) == 3 else ""


def _is_temporary(address: Address, name: str) -> bool:
    """Whether a file of this name waits for its rename. Raises Refused for a document that is not agreed."""
    formats = address.exchange.formats
    if guard.without_temporary_suffix(name) is not None:
        return True
    ending = guard.extension(name)
    if not formats or ending in formats:
        return False
    if ending in OTHER_DOCUMENTS:
        agreed = " or ".join(f".{each}" for each in formats)
        raise Refused(
            f"{address.exchange.called} takes {agreed} files, not .{ending}; save it as {agreed}.", code="FORMAT"
        )
    return True


def _cut_words(upload: Upload, summary: RecordSummary) -> str | None:
    """The question to ask when a file may be only the beginning of one."""
    if not summary.ends_inside_record and not upload.may_be_cut:
        return None
    count = f"{summary.rows:,} rows, " if summary.rows is not None else ""
    why = "its last line is not finished" if summary.ends_inside_record else "it ends just where a cut-off upload would"
    return f"Got {count}{upload.size:,} bytes, but {why}. Is it all there?"


def _deliveries_of(session: Session, consignment: ConsignmentRow) -> list[DeliveryRow]:
    query = select(DeliveryRow).where(DeliveryRow.consignment == consignment.id).order_by(col(DeliveryRow.id))
    return list(session.exec(query).all())
