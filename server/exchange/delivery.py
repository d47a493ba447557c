"""The life of a delivery: sent or held, available, collected; recalled or superseded."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime

from sqlmodel import Session, col, select

from server.domain.agreement import Exchange, Person, PolicySet
from server.domain.decision import Decision, Question, decide
from server.domain.delivery import CURRENT, UNRELEASED, SealedCopy, Status, move
from server.domain.errors import Forbidden, Missing, Refused
from server.domain.ledger import Event, Fact
from server.domain.retention import Verdict
from server.domain.schedule import clock_words, day_after, london_day, use_by
from server.exchange.approval import APPROVAL, ask, awaits
from server.exchange.collection import Collection
from server.exchange.disposal import Disposal
from server.exchange.findings import held_back
from server.exchange.fulfilment import Fulfilment
from server.exchange.ground import Ground
from server.exchange.outbox_rows import deliveries_of, pair_of
from server.exchange.telling import Telling
from server.store import Tx
from server.store.tables import ConsignmentRow, DeliveryRow

_BATCH = 200
_STUCK_SECONDS = 60.0
EXCHANGE = "exchange"
"""Who acts when nobody does."""
NEWER = "newer"
"""The hold of a file that waits to see whether a newer one of its name goes."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a person's act: a sentence for them, and whether anything changed."""

    sentence: str
    changed: bool


class Deliveries:
    """Every move of a delivery but the acknowledgement."""

    def __init__(
        self, ground: Ground, telling: Telling, disposal: Disposal, collection: Collection, fulfilment: Fulfilment
    ) -> None:
        self._ground, self._telling, self._disposal, self._collection = ground, telling, disposal, collection
        self._fulfilment = fulfilment
        self._stuck: dict[str, float] = {}

    # -- sending (inside the caller's transaction)

    def send(self, tx: Tx, consignment: ConsignmentRow, recipients: Iterable[str]) -> None:
        """Give every recipient its delivery: held, waiting for release, or available at once."""
        exchange = self._ground.exchange(consignment.exchange)
        if consignment.hold is None and awaits(tx.session, exchange, consignment):
            ask(tx, exchange, consignment, self._ground.called(consignment.member))
        status = Status.HELD if consignment.hold else Status.SENT
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
            self._before(tx, consignment, row, one_file=exchange.files == "one")
            rows.append(row)
        facts: dict[str, Fact] = {
            "exchange": consignment.exchange, "period": consignment.period, "sha256": consignment.sha256,
            "payload_sha256": consignment.payload_sha256, "size": consignment.size, "rows": consignment.rows,
            "warnings": consignment.warnings,
            "recipients": consignment.recipients, "key": consignment.via_key, "hold": consignment.hold,
        }  # fmt: skip
        ids = (consignment.id, *(row.id for row in rows))
        about = tx.record(Event("consignment.sealed", consignment.person, ids, facts))
        self._answer(tx, consignment, *(row.recipient for row in rows))
        if not consignment.hold and consignment.release_at <= tx.now:
            for row in rows:
                self._release(tx, row, consignment)
        self._telling.sender(tx, consignment, about=about)

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
        """The recipient's newest delivery of this name, if it has the same content, is current and can be served."""
        priors = self._priors(session, consignment, recipient, one_file=False)
        if not priors or priors[-1][1].sha256 != consignment.sha256:
            return None
        row, old = priors[-1]
        return row if held_back(session, row.id, old.id) is None else None

    def _before(self, tx: Tx, new: ConsignmentRow, row: DeliveryRow, *, one_file: bool) -> None:
        """What a new delivery means for earlier ones that have not gone: its sender's own are undone by it.

        While the new one is held, or when a colleague sent the earlier one, that waits until the new one goes; of two
        that wait for approval, only the new one is still asked about.
        """
        for prior, old in self._priors(tx.session, new, row.recipient, one_file=one_file):
            if prior.status not in UNRELEASED:
                continue
            both_asked = new.hold == old.hold == APPROVAL
            if (new.hold is None or both_asked) and old.person == new.person:
                self._end(tx, prior, old, Status.SUPERSEDED, actor=new.person, by=row.id)
            elif prior.status is Status.SENT:
                words = f"A newer file of this name waits to go ({row.id}); this one goes only if that one does not."
                self._hold(tx, prior, old, NEWER, words)

    def _hold(self, tx: Tx, row: DeliveryRow, consignment: ConsignmentRow, why: str, words: str) -> None:
        """It does not go, and its sender is asked."""
        row.status = move(row.status, Status.HELD)
        consignment.hold, consignment.hold_words = why, words
        tx.session.add(row)
        tx.session.add(consignment)
        about = tx.record(Event("delivery.held", "exchange", (row.id, consignment.id), {"why": why}))
        self._telling.sender(tx, consignment, about=about)

    def _resume_earlier(self, tx: Tx, ended: DeliveryRow, consignment: ConsignmentRow) -> None:
        """The newer file does not go after all: the earlier one that waited for it does, unless another is newer."""
        exchange = self._ground.policy.exchange(consignment.exchange)
        one_file = exchange is not None and exchange.files == "one"
        priors = self._priors(tx.session, consignment, ended.recipient, one_file=one_file)
        waiting = [(row, old) for row, old in priors if row.status in UNRELEASED]
        if not waiting or waiting[-1][1].hold != NEWER:
            return
        row, old = waiting[-1]
        row.status = move(row.status, Status.SENT)
        old.hold = old.hold_words = None
        tx.session.add(row)
        tx.session.add(old)
        about = tx.record(Event("delivery.resumed", "exchange", (row.id, old.id), {"instead_of": ended.id}))
        self._telling.sender(tx, old, about=about)

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
        for delivery_id in due:
            self._release_one(delivery_id)
        return len(due)

    def _release_one(self, delivery_id: str) -> None:
        """One transaction each: what cannot be released stands in nobody's way, and is tried again in a minute."""
        real = time.monotonic()
        if self._stuck.get(delivery_id, 0) > real:
            return
        self._stuck[delivery_id] = real + _STUCK_SECONDS
        with self._ground.transaction() as tx:
            row, consignment = pair_of(tx.session, delivery_id)
            if row.status is Status.SENT and consignment.release_at <= tx.now:
                self._release(tx, row, consignment)
        del self._stuck[delivery_id]

    def _release(self, tx: Tx, row: DeliveryRow, consignment: ConsignmentRow) -> None:
        decision = self._decision(tx, row, consignment)
        if not decision.permit:
            self._hold_back(tx, row, consignment, decision.sentence)
            return
        policy = self._ground.in_force_at(tx.session).policy
        exchange = policy.exchange(consignment.exchange)
        if exchange is not None and awaits(tx.session, exchange, consignment):
            ask(tx, exchange, consignment, self._ground.called(consignment.member))
            self._hold(tx, row, consignment, APPROVAL, consignment.hold_words or "")
            return
        row.status = move(row.status, Status.AVAILABLE)
        row.available_at = tx.now
        row.use_by = _use_by(policy, exchange, tx.now).isoformat()
        tx.session.add(row)
        facts = {"recipient": row.recipient, "use_by": row.use_by}
        about = tx.record(Event("delivery.available", "exchange", (row.id, consignment.id), facts))
        self._telling.recipient(tx, row, consignment, about=about)
        self._telling.sender(tx, consignment, about=about)
        one_file = exchange is not None and exchange.files == "one"
        for prior, old in self._priors(tx.session, consignment, row.recipient, one_file=one_file):
            if prior.status not in UNRELEASED or prior.id < row.id:
                self._end(tx, prior, old, Status.SUPERSEDED, actor=consignment.person, by=row.id)
        self._answer(tx, consignment, row.recipient)

    def _answer(self, tx: Tx, consignment: ConsignmentRow, *recipients: str) -> None:
        """What its sender owes these recipients is answered, or open again."""
        self._fulfilment.touch(tx, consignment.exchange, consignment.period, consignment.member, recipients)

    def _decision(self, tx: Tx, row: DeliveryRow, consignment: ConsignmentRow) -> Decision:
        """Whether the policy in force still lets these two members share this.

        The sender is asked about only while suspended: a lost laptop's last file does not go, a leaver's does.
        """
        facts = self._ground.facts_at(tx.session)
        sender = consignment.person if consignment.person in facts.suspended else None
        question = Question(consignment.member, row.recipient, consignment.exchange, tx.now, sender, facts=facts)
        return decide(self._ground.in_force_at(tx.session).policy, question)

    def _hold_back(self, tx: Tx, row: DeliveryRow, consignment: ConsignmentRow, why: str) -> None:
        """The policy no longer permits it."""
        words = f"{why} It is not released. Discard it, or answer All there once it is permitted."
        self._hold(tx, row, consignment, "decision", words)

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
        why: str | None = None,
    ) -> None:
        """Recalled or superseded. What its recipient never saw leaves no trace there, and no copy here."""
        seen = row.status not in UNRELEASED
        if status is Status.RECALLED and actor != EXCHANGE:  # by itself nothing is refused: a held copy stays
            self._disposal.require_free(tx, row)
        row.status = move(row.status, status)
        row.ended_at, row.superseded_by = tx.now, by
        tx.session.add(row)
        about = tx.record(Event(f"delivery.{status}", actor, (row.id, consignment.id), {"by": by, "seen": seen}))
        if status is Status.RECALLED:
            self._answer(tx, consignment, row.recipient)
        if status is Status.RECALLED or not seen:
            self._disposal.drop(tx, row, actor=actor, why=why or status.value)
        if seen:
            self._telling.recipient(tx, row, consignment, about=about)
        self._telling.sender(tx, consignment, about=about)
        tx.after(f"stop {row.id}", lambda: self._collection.stop(row.id))
        if status is Status.RECALLED and not seen:
            self._resume_earlier(tx, row, consignment)
        self._disposal.unread(tx, consignment)

    def undo(self, tx: Tx, consignment: ConsignmentRow, *, actor: str) -> None:
        """Every unreleased delivery of the consignment ends without a trace for its recipient."""
        for row in deliveries_of(tx.session, consignment):
            if row.status in UNRELEASED:
                self._end(tx, row, consignment, Status.RECALLED, actor=actor)

    def clear(
        self, tx: Tx, row: DeliveryRow, consignment: ConsignmentRow, verdict: Verdict, *, actor: str, rule: str | None
    ) -> bool:
        """The copy here ends by rule; False when it does not, held or gone. Both members read it where it stands."""
        if row.status in UNRELEASED:
            self._end(tx, row, consignment, Status.RECALLED, actor=EXCHANGE, why=verdict.rule)
            return row.copy_state is SealedCopy.PURGED
        if not self._disposal.drop(tx, row, actor=actor, why=verdict.rule, words=verdict.words, rule=rule):
            return False
        if verdict.rule == "use_by":
            about = tx.record(Event("delivery.expired", actor, (row.id, consignment.id), {"use_by": row.use_by}))
            self._telling.recipient(tx, row, consignment, about=about)
            self._telling.sender(tx, consignment, about=about)
        tx.after(f"stop {row.id}", lambda: self._collection.stop(row.id))
        self._disposal.unread(tx, consignment)
        return True

    def refusing(self, actor: str) -> AbstractContextManager[None]:
        """Around a verb that may end a copy: what a legal hold refused is written down, then refused."""
        return self._disposal.refusing(actor)

    def tell_sender(self, tx: Tx, consignment: ConsignmentRow, *, about: int) -> None:
        """Those who sent it, and those who are asked to approve it, read where it stands."""
        self._telling.sender(tx, consignment, about=about)

    def recall(self, person_id: str, delivery_id: str, *, via: str) -> Outcome:
        """A deliberate act of the sending member, before anybody collected it. Raises Refused after that, honestly.

        A legal hold refuses it too.
        """
        self._collection.settle_owed()
        with self._disposal.refusing(person_id), self._ground.transaction() as tx:
            person = self._ground.acting(tx.session, person_id)
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
            begun = self._collection.begun(delivery_id)
            self._end(tx, row, consignment, Status.RECALLED, actor=person_id)
        tail = f" But {name} had begun to download it: ask them to delete what they have." if begun else ""
        return Outcome(f"{delivery_id} is recalled. {name} can no longer read it here.{tail}", changed=True)

    def all_there(self, person_id: str, consignment_id: str, *, via: str) -> Outcome:
        """The sender says that a held consignment is right; it goes on its way."""
        with self._ground.transaction() as tx:
            person = self._ground.acting(tx.session, person_id)
            consignment, rows = self._held_of(tx.session, person, consignment_id)
            if not rows:
                return Outcome(f"{consignment_id} is not held any more.", changed=False)
            if consignment.hold == APPROVAL:
                raise Refused(f"{consignment_id} waits: {consignment.hold_words}", code="NEEDS_APPROVAL")
            self.settle(tx, consignment, rows, actor=person_id)
            waits = consignment.hold_words
        return Outcome(f"{consignment_id}: {waits}" if waits else f"{consignment_id} goes on its way.", changed=True)

    def settle(self, tx: Tx, consignment: ConsignmentRow, rows: list[DeliveryRow], *, actor: str) -> None:
        """Held deliveries go on: to approval if they need it, to release, or at once when their time has passed."""
        for row in rows:
            decision = self._decision(tx, row, consignment)
            if not decision.permit:
                raise Refused(f"{decision.sentence} It stays held; discard it, or answer again later.", code="DENIED")
        why, consignment.hold, consignment.hold_words = consignment.hold, None, None
        tx.session.add(consignment)
        about = tx.record(Event("consignment.confirmed", actor, (consignment.id,), {"hold": why}))
        exchange = self._ground.in_force_at(tx.session).policy.exchange(consignment.exchange)
        if exchange is not None and awaits(tx.session, exchange, consignment):
            ask(tx, exchange, consignment, self._ground.called(consignment.member))
            self._telling.sender(tx, consignment, about=about)
            return
        for row in rows:
            row.status = move(row.status, Status.SENT)
            tx.session.add(row)
            if consignment.release_at <= tx.now:
                self._release(tx, row, consignment)
        self._telling.sender(tx, consignment, about=about)

    def doubt(self, tx: Tx, consignment: ConsignmentRow, words: str) -> bool:
        """Hold what has not been released yet and ask its sender; False when nothing is left to hold."""
        waiting = [row for row in deliveries_of(tx.session, consignment) if row.status in UNRELEASED]
        if not waiting:
            return False
        consignment.hold, consignment.hold_words = "completeness", words
        tx.session.add(consignment)
        for row in waiting:
            row.status = Status.HELD if row.status is Status.HELD else move(row.status, Status.HELD)
            tx.session.add(row)
        about = tx.record(Event("consignment.held", consignment.person, (consignment.id,), {"why": "checksum"}))
        self._telling.sender(tx, consignment, about=about)
        return True

    def discard(self, person_id: str, consignment_id: str, *, via: str) -> Outcome:
        """The sender says that a held consignment is not to go; nothing of it is left."""
        with self._disposal.refusing(person_id), self._ground.transaction() as tx:
            person = self._ground.acting(tx.session, person_id)
            consignment, rows = self._held_of(tx.session, person, consignment_id)
            if not rows:
                return Outcome(f"{consignment_id} is not held any more.", changed=False)
            for row in rows:
                self._end(tx, row, consignment, Status.RECALLED, actor=person_id)
        return Outcome(f"{consignment_id} is discarded. Nothing of it was sent, and nothing is kept.", changed=True)

    def _sent_by_member(self, session: Session, person: Person, delivery_id: str) -> tuple[DeliveryRow, ConsignmentRow]:
        row, consignment = pair_of(session, delivery_id)
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
        rows = [row for row in deliveries_of(session, consignment) if row.status is Status.HELD]
        return consignment, rows


def _use_by(policy: PolicySet, exchange: Exchange | None, now: datetime) -> date:
    """The last day on which it may be used: by its retention rule, or for a short while when it is ad hoc (R-026)."""
    if exchange is not None and exchange.obligation == "ad_hoc":
        return day_after(london_day(now), exchange.ad_hoc.expires_after)
    return use_by(now, policy.use_by_months(exchange) if exchange else 2)
