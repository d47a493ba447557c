"""From bytes arriving to a consignment: decided at open, checked and sealed in the stream, decided again at close."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from sqlmodel import col, select

from server.domain import guard
from server.domain.decision import Facts, Question, decide
from server.domain.due import due_day
from server.domain.errors import Busy, Refused, SafehandError
from server.domain.ledger import Event
from server.exchange.address import Address, is_temporary, resolve
from server.exchange.approval import approvers
from server.exchange.arrivals import Arrival, Handle, Ignored, Small, Target, Upload
from server.exchange.delivery import Deliveries
from server.exchange.dispatch import Dispatch
from server.exchange.disposal import Disposal
from server.exchange.ground import Ground, InForce
from server.exchange.nil_returns import NilReturns
from server.exchange.outbox_rows import latest
from server.exchange.quality import Quality
from server.exchange.refusals import Refusals
from server.exchange.sessions import Sessions, Visitor, require_at
from server.exchange.small_files import SmallFiles
from server.exchange.uploads import Key, Uploads, key_of
from server.records import RecordSummary, check_for
from server.records import same_rules as records_same_rules
from server.seal.envelope import Sealed, Sealing
from server.seal.keyring import SealingKey
from server.store import Tx
from server.store.tables import ConsignmentRow, KeyPacketRow

STAGED_FOR = timedelta(hours=24)


AWAY = "The exchange's database is busy or away; nothing of the file was kept. Send it again in a few minutes."
UNKNOWN = (
    "The exchange's database went away while it was taking the file. Send it again: "
    "if it was taken, the answer is 'already received'."
)


class Intake:
    """Every file that a person puts into the outbox, whatever it is."""

    def __init__(
        self,
        ground: Ground,
        sessions: Sessions,
        deliveries: Deliveries,
        disposal: Disposal,
        refusals: Refusals,
        dispatch: Dispatch,
        uploads: Uploads,
        nil_returns: NilReturns,
    ) -> None:
        self._ground, self._sessions, self._deliveries = ground, sessions, deliveries
        self._disposal, self._refusals, self._dispatch, self._uploads = disposal, refusals, dispatch, uploads
        self._small = SmallFiles(ground, sessions, deliveries, refusals, nil_returns)
        self.resume_seconds = 300.0

    # -- open

    def open(
        self, visitor: Visitor, folder: tuple[str, ...], name: bytes, *, resume: bool, append: bool = False
    ) -> Arrival:
        """A handle for a new file, or for the rest of an interrupted one. Raises Refused with what to do instead."""
        self._sessions.require(visitor)
        clean = guard.file_name(name)
        if guard.is_ignored(clean):
            return Ignored()
        key = key_of(visitor, folder, clean)
        if resume or append:
            kept = self._uploads.resumed(key, visitor)
            if kept is not None:
                return kept
        try:
            address = resolve(self._ground.policy, visitor.member.id, folder, clean)
        except SafehandError as error:
            self._refusals.note(visitor, "/".join(folder), clean, error)
            raise
        try:
            return self._open(visitor, address, clean, key, resume=resume)
        except SafehandError as error:
            self._refusals.note(visitor, address.place, clean, error, address=address)
            raise

    def _open(self, visitor: Visitor, address: Address, name: str, key: Key, *, resume: bool) -> Arrival:
        if guard.is_nil(name) or name.casefold().endswith(".sha256"):
            self._small.permitted(visitor, address, self._ground.policy, self._ground.facts)
            return Small(visitor, address, name)
        self._approvable(visitor, address)
        staged = is_temporary(address, name)
        in_force = self._ground.in_force
        recipients, keys, left_out = self._decided(visitor, address, in_force, self._ground.facts, tell=True)
        whole = Address(address.exchange, address.period, address.folder, recipients)
        target = Target(visitor, whole, name, staged, keys, left_out, in_force.policy, resume)
        upload = self._begin(target, key)
        return Handle(upload)

    def _approvable(self, visitor: Visitor, address: Address) -> None:
        """Raises Refused for a file outside the schedule that nobody could approve: it would only wait and end."""
        policy, member = self._ground.policy, visitor.member
        if address.exchange.obligation == "ad_hoc" and not approvers(policy, member.id, visitor.person.id):
            raise Refused(
                f"{address.exchange.called} needs the approval of a governance lead of {member.called} other than "
                "yourself, and the agreement names none.",
                code="NOBODY_TO_APPROVE",
            )

    def _decided(
        self, visitor: Visitor, address: Address, in_force: InForce, facts: Facts, *, tell: bool
    ) -> tuple[tuple[str, ...], tuple[SealingKey, ...], tuple[tuple[str, str], ...]]:
        """Who receives, the keys it is sealed to, and who is left out of a broadcast and why."""
        recipients: list[str] = []
        keys: list[SealingKey] = []
        left_out: list[tuple[str, str]] = []
        unusable_keys: dict[str, str] = {}
        passed_over: dict[str, str] = {}
        for recipient in address.recipients:
            usable, unusable = in_force.keys_for(recipient, self._ground.real())
            decision = decide(
                in_force.policy,
                Question(
                    visitor.member.id, recipient, address.exchange.id, self._ground.now(), period=address.period,
                    sender=visitor.person.id, unusable_keys=unusable, facts=facts,
                ),
            )  # fmt: skip
            if decision.permit and usable:
                recipients.append(recipient)
                keys += usable
                passed_over |= unusable
                continue
            left_out.append((recipient, decision.sentence))
            if {rule.code for rule in decision.reasons} <= {"RECIPIENT_KEY_UNUSABLE"}:
                unusable_keys |= unusable or {recipient: "no key is on file"}
        if unusable_keys and tell:
            self._refusals.key_owners(visitor, address, unusable_keys, sent=False)
        if passed_over and tell:
            self._refusals.key_owners(visitor, address, passed_over, sent=True)
        if not recipients:
            raise Refused(left_out[0][1] if left_out else "Nobody takes part in this exchange.", code="DENIED")
        return tuple(sorted(recipients)), tuple(keys), tuple(left_out)

    def _begin(self, target: Target, key: Key) -> Upload:
        self._uploads.make_way(key, target)
        exchange = target.address.exchange
        day = due_day(target.policy, exchange, target.address.period)
        check = check_for(target.policy, exchange, target.visitor.member.id, target.name, day)
        draft = self._ground.spool.draft()
        upload = Upload(target, draft, check)
        taps: tuple[Callable[[bytes], None], ...] = () if exchange.content_inspection == "none" else (check.feed,)
        try:
            draft.require_room()
            upload.sealing = Sealing(
                self._ground.in_force.keyring, self._ground.key, target.keys, draft.fd, taps=taps, on_room=upload.room
            )
        except SafehandError:
            draft.discard()
            raise
        self._uploads.add(key, upload)
        return upload

    # -- the other endings

    def interrupt(self, arrival: Arrival) -> None:
        """The handle ended without the client closing it: kept a few minutes for the rest, or nothing remains."""
        if not isinstance(arrival, Handle) or arrival.upload.holder is not arrival:
            return
        upload = arrival.upload
        kept = self._uploads.interrupt(upload)
        worth = upload.failed is None and upload.size > 0 and self.resume_seconds > 0
        if not (kept and worth and self._sessions.welcome(upload.target.visitor)):
            self._end_interrupted(upload)

    def _end_interrupted(self, upload: Upload) -> None:
        self._uploads.forget(upload)
        if not upload.claim():
            return
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
        self._refusals.note(
            target.visitor, target.address.place, target.name, error,
            findings=findings, address=target.address, kind=kind, size=upload.size,
        )  # fmt: skip

    def give_up(self) -> None:
        """End what was interrupted too long ago, and files whose temporary name was never changed."""
        old = self._uploads.interrupted_for(self.resume_seconds)
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
                if row is not None and row.staged and not row.tidied:
                    self._disposal.discard_staged(tx, row, actor="exchange", why="never renamed")

    # -- close

    def close(self, arrival: Arrival) -> str | None:
        """The client's own close: sealed, on disk and in the ledger when this returns. The sentence for the client."""
        if isinstance(arrival, Ignored):
            return None
        if isinstance(arrival, Small):
            return self._small.close(arrival)
        assert isinstance(arrival, Handle)
        if arrival.failed is not None and arrival.upload.holder is not arrival:
            raise arrival.failed
        upload = arrival.upload
        upload.holder = None
        if not upload.claim():
            raise upload.failed or Refused("This upload has ended; send the file again.", code="ENDED")
        try:
            return self._close_upload(upload)
        except SafehandError as error:
            upload.fail(error)
            if error.code != "UNKNOWN_OUTCOME":
                self._end_failed(upload, error)
            raise
        finally:
            self._uploads.forget(upload)
            if not upload.committed:
                upload.abandon()

    def _end_failed(self, upload: Upload, error: SafehandError) -> None:
        """Nothing of the file remains, and why is written down as far as the disk and the database allow."""
        upload.abandon()
        target = upload.target
        self._refusals.note(
            target.visitor, target.address.place, target.name, error,
            findings=upload.findings, counts=upload.summary.counts if upload.summary else {}, address=target.address,
        )  # fmt: skip

    def _close_upload(self, upload: Upload) -> str:
        if upload.failed is not None:
            raise upload.failed
        if upload.has_gap:
            raise Refused("Parts of the file are missing; send the whole file again.", code="GAP")
        if upload.size == 0 and upload.target.resume:
            return self._nothing_left(upload.target)
        if upload.size == 0:
            raise Refused(
                "The file is empty, so there is nothing to send. For a nil return put an empty file called NIL.",
                code="EMPTY",
            )
        assert upload.sealing is not None
        sealed = upload.sealing.finish()
        summary = upload.summary = upload.check.finish()
        refusals = upload.check.refusals
        if refusals:
            more = f" (and {len(refusals) - 1} more: see /refused/)" if len(refusals) > 1 else ""
            raise Refused(f"{refusals[0].sentence.rstrip('.')}. {refusals[0].remedy}{more}", code=refusals[0].rule)
        upload.draft.settle()
        try:
            with self._ground.transaction() as tx:
                sentence, kept = self._commit(tx, upload, sealed, summary)
            upload.committed = kept
        except Busy:
            sentence = self._look_after(upload)
        if upload.committed:
            upload.draft.place()
        return sentence

    def _nothing_left(self, target: Target) -> str:
        """A client resumed and sent nothing: right if the file of that name is here already. Raises Refused if not."""
        address = target.address
        place = (address.exchange.id, str(address.period), address.folder)
        with self._ground.store.reading() as session:
            row = latest(session, target.visitor, place, target.name)
        if row is None:
            raise Refused("The file is empty, so there is nothing to send.", code="EMPTY")
        return f"The file was already received: {row.id}. Nothing was left to send."

    def _look_after(self, upload: Upload) -> str:
        """The database went away in the middle. Asked under the same lock: then an unfinished commit has ended.

        Raises Busy when the row is not there, or when that cannot be known: then the bytes stay for the next look.
        """
        if self._ground.store.sqlite:  # a commit that failed in this very process has not happened
            raise Busy(AWAY)
        try:
            with self._ground.transaction() as tx:
                query = select(ConsignmentRow.id).where(ConsignmentRow.blob == upload.draft.blob)
                taken = tx.session.exec(query).first()
        except Busy:
            upload.draft.leave()
            raise Busy(UNKNOWN, code="UNKNOWN_OUTCOME") from None
        if taken is None:
            raise Busy(AWAY)
        upload.committed = True
        return f"Received {upload.size:,} bytes: {taken}."

    def _commit(self, tx: Tx, upload: Upload, sealed: Sealed, summary: RecordSummary) -> tuple[str, bool]:
        """The one transaction of a close: the sentence, and whether the new blob is kept."""
        target = upload.target
        self._decide_again(tx, target)
        row = self._row(tx, upload, sealed, summary)
        recipients = target.address.recipients
        if not target.staged:
            recipients = tuple(r for r in recipients if self._deliveries.repeated(tx.session, row, r) is None)
        if not recipients:
            return self._dispatch.repeated(tx, row), False
        row.id = tx.next_id("C", tx.now.year)
        row.recipients = ",".join(recipients)
        if not target.staged:
            self._dispatch.hold(tx, row)
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
            return f"Received {row.size:,} bytes under a temporary name; rename it within 24 hours to send it.", True
        self._deliveries.send(tx, row, recipients)
        return self._dispatch.received(tx, row, target.left_out), True

    def _decide_again(self, tx: Tx, target: Target) -> None:
        """Under the revision in force now. Raises Refused when it no longer permits just this, or this person."""
        require_at(self._ground, tx.session, target.visitor)
        in_force = self._ground.in_force_at(tx.session)
        tx.revision = in_force.revision
        exchange = in_force.policy.exchange(target.address.exchange.id)
        facts = self._ground.facts_at(tx.session)
        recipients, keys, _ = self._decided(target.visitor, target.address, in_force, facts, tell=False)
        # A key that came since is no fault of this file; one that went must not open it.
        all_stand = {key.fingerprint for key in target.keys} <= {key.fingerprint for key in keys}
        same_rules = exchange == target.address.exchange and records_same_rules(
            target.policy, in_force.policy, target.address.exchange
        )
        if recipients != target.address.recipients or not all_stand or not same_rules:
            raise Refused("The agreement changed while the file was on its way; send it again.", code="POLICY_CHANGED")

    def _row(self, tx: Tx, upload: Upload, sealed: Sealed, summary: RecordSummary) -> ConsignmentRow:
        target = upload.target
        address, visitor = target.address, target.visitor
        quality = Quality.of(summary)
        return ConsignmentRow(
            id="", person=visitor.person.id, member=visitor.member.id, via_key=visitor.key,
            exchange=address.exchange.id, period=str(address.period), folder=address.folder,
            recipients=",".join(address.recipients), name=target.name, name_key=target.name.casefold(),
            size=sealed.size, sha256=sealed.sha256, rows=summary.rows, blob=upload.draft.blob,
            payload_sha256=sealed.payload_sha256, payload_size=sealed.payload_size, received_at=tx.now,
            release_at=tx.now + address.exchange.release_after, staged=target.staged, revision=tx.revision,
            cut_words=_cut_words(upload, summary) if address.exchange.completeness == "ask" else None,
            warnings=summary.warnings, quality=quality.to_json() if quality else None,
        )  # fmt: skip


def _cut_words(upload: Upload, summary: RecordSummary) -> str | None:
    """The question to ask when a file may be only the beginning of one."""
    if summary.complete or not (summary.ends_inside_record or upload.may_be_cut):
        return None
    count = f"{summary.rows:,} rows, " if summary.rows is not None else ""
    why = "its last line is not finished" if summary.ends_inside_record else "it ends just where a cut-off upload would"
    return f"Got {count}{upload.size:,} bytes, but {why}. Is it all there?"
