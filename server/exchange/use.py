"""What a recipient says became of its copies: processed, destroyed, countersigned. Repeating says who did it first.

Only a data manager of the recipient says it, only after the acknowledgement, and the counts add up or nothing is
written. What is said of several deliveries at once is written for all of them or for none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta

from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from server.domain import guard
from server.domain.agreement import Person
from server.domain.attestation import (
    EXPIRES,
    NOT_HELD,
    PLACES,
    Counts,
    Destruction,
    Unclear,
    check_counts,
    counted_for,
    day_of,
    is_overdue,
)
from server.domain.decision import Act, Deed, decide
from server.domain.delivery import REPLACED, Status, Use, move_use
from server.domain.errors import Forbidden, Missing, Refused, SafehandError
from server.domain.ledger import Event, Fact
from server.domain.schedule import clock_words, london_day
from server.exchange.attested import asks_countersignature, counts_in, overdue_on, personal
from server.exchange.certificates import Certificates
from server.exchange.delivery import Outcome
from server.exchange.ground import Ground
from server.exchange.recipient_certificate import document_of
from server.exchange.telling import Telling
from server.store import Tx
from server.store.duty_tables import AttestationRow, AttestedAuthorityRow, HabitRow, HoldRow
from server.store.tables import ConsignmentRow, DeliveryRow, LedgerRow

MOST_AT_ONCE = 50
OneAct = Callable[[Tx, Person, DeliveryRow, ConsignmentRow], Outcome]


class SeveralRefused(Refused):
    """What was said of several deliveries was not written: `errors` says why, delivery by delivery."""

    code = "SEVERAL_REFUSED"

    def __init__(self, errors: Mapping[str, SafehandError]) -> None:
        told = " ".join(f"{delivery}: {error.sentence}" for delivery, error in errors.items())
        super().__init__(f"Nothing was recorded for any of them. {told}")
        self.errors = dict(errors)


class UseOfCopies:
    """The verbs of use and destruction."""

    def __init__(self, ground: Ground, telling: Telling, certificates: Certificates) -> None:
        self._ground, self._telling, self._certificates = ground, telling, certificates
        self._looked: date | None = None

    # -- processed

    def processed(self, person_id: str, delivery_id: str, counts: Counts, *, via: str) -> Outcome:
        """The relevant records are used: how many were kept, how many were not ours, how many could not be used.

        Raises Unclear when they do not add up, Refused before the acknowledgement, Forbidden for whoever may not.
        """
        return self.processed_many(person_id, {delivery_id: counts}, via=via)

    def processed_many(self, person_id: str, counts: Mapping[str, Counts], *, via: str) -> Outcome:
        """The same of several deliveries at once, or of none: raises SeveralRefused with the reason of each."""

        def act(tx: Tx, person: Person, row: DeliveryRow, consignment: ConsignmentRow) -> Outcome:
            return self._process(tx, person, row, consignment, counts[row.id], via)

        return self._each(person_id, counts, act, "processed")

    def _process(
        self, tx: Tx, person: Person, row: DeliveryRow, consignment: ConsignmentRow, counts: Counts, via: str
    ) -> Outcome:
        known = tx.session.get(AttestationRow, row.id)
        if known is not None:
            when = clock_words(known.processed_at, tx.now)
            words = f"{row.id}: {known.processed_by} said so already at {when}: {counts_in(known).words}."
            return Outcome(words, changed=False)
        self._require_in_use(row, consignment)
        parts = self._authorities(tx, row, counts)
        check_counts(Counts(counts.received, counts.kept, counts.not_ours, counts.rejected, parts),
                     consignment.rows, self._represented(tx, row.recipient))  # fmt: skip
        tx.session.add(
            AttestationRow(
                delivery=row.id, member=row.recipient, received=counts.received, kept=counts.kept,
                not_ours=counts.not_ours, rejected=counts.rejected, processed_at=tx.now, processed_by=person.id,
            )
        )  # fmt: skip
        tx.session.flush()
        for la, kept in parts.items():
            tx.session.add(AttestedAuthorityRow(delivery=row.id, la=la, kept=kept, at=tx.now, by=person.id))
        row.use_state = move_use(row.use_state, Use.PROCESSED)
        facts: dict[str, Fact] = {
            "received": counts.received, "kept": counts.kept, "not_ours": counts.not_ours,
            "rejected": counts.rejected, "authorities": [f"{la}={kept}" for la, kept in sorted(parts.items())],
            "via": via,
        }  # fmt: skip
        self._moved(tx, row, consignment, Event("use.processed", person.id, (row.id, consignment.id), facts))
        left = (
            f"Now destroy the {counts.to_destroy:,} that are not yours to keep, and the file itself, wherever it lay."
        )
        if not counts.to_destroy:
            left = "All of it is yours: only the file itself is left to be destroyed, wherever it lay."
        return Outcome(f"{row.id} is processed: {counts.words}. {left}", changed=True)

    def _authorities(self, tx: Tx, row: DeliveryRow, counts: Counts) -> dict[str, int]:
        """What each authority keeps; the only one's is what is kept."""
        member = self._ground.in_force_at(tx.session).policy.member(row.recipient)
        if counts.authorities or member is None or len(member.represents) != 1:
            return dict(counts.authorities)
        return {member.represents[0].la: counts.kept}

    def _represented(self, tx: Tx, member_id: str) -> tuple[str, ...]:
        policy = self._ground.in_force_at(tx.session).policy
        member = policy.member(member_id)
        if member is None:
            return ()
        several = counted_for(member, per_authority=policy.retention.attestation.per_represented_la)
        return several or tuple(authority.la for authority in member.represents[:1] if len(member.represents) == 1)

    def _require_in_use(self, row: DeliveryRow, consignment: ConsignmentRow) -> None:
        if row.status is Status.SUPERSEDED:
            raise Refused(f"{row.id} was replaced by {row.superseded_by}: only its copy is to be destroyed.",
                          code="SUPERSEDED")  # fmt: skip
        if row.status is Status.REJECTED:
            raise Refused(f"{row.problem_by} rejected {row.id}: only its copy is to be destroyed.", code="REJECTED")
        if row.acknowledged_at is None or row.status is not Status.ACKNOWLEDGED:
            sender = self._ground.called(consignment.member)
            raise Refused(f"Acknowledge {row.id} first: then {sender} knows that you have it.", code="NOT_ACKNOWLEDGED")

    # -- destroyed

    def destroyed(self, person_id: str, delivery_id: str, said: Destruction, *, via: str) -> Outcome:
        """What was not ours, and the file itself, is destroyed: where it lay, how, and what is left in backups.

        Of a delivery that was rejected or replaced, its whole copy. Issues the recipient's certificate.
        """
        return self.destroyed_many(person_id, {delivery_id: said}, via=via)

    def destroyed_many(self, person_id: str, said: Mapping[str, Destruction], *, via: str) -> Outcome:
        """The same of several deliveries at once, or of none: raises SeveralRefused with the reason of each."""

        def act(tx: Tx, person: Person, row: DeliveryRow, consignment: ConsignmentRow) -> Outcome:
            return self._destroy(tx, person, row, consignment, said[row.id], via)

        return self._each(person_id, said, act, "destroyed")

    def _destroy(
        self, tx: Tx, person: Person, row: DeliveryRow, consignment: ConsignmentRow, said: Destruction, via: str
    ) -> Outcome:
        known = tx.session.get(AttestationRow, row.id)
        if known is not None and known.destroyed_at is not None:
            when = clock_words(known.destroyed_at, tx.now)
            return Outcome(f"{row.id}: {known.destroyed_by} attested it already at {when}.", changed=False)
        if row.status in REPLACED and row.collected_at is None:
            return Outcome(f"{row.id}: nobody collected it, so there is no copy to destroy.", changed=False)
        self._require_free(tx, row)
        known = known or self._whole_copy(tx, person, row, consignment)
        self._check_witness(tx, person, said)
        known.places = json.dumps(dict(said.places), sort_keys=True)
        known.backups, known.subcontractors = said.backups, said.subcontractors
        known.exceptions, known.witness = said.exceptions, said.witness
        known.destroyed_at, known.destroyed_by = tx.now, person.id
        row.use_state = move_use(row.use_state, Use.DESTROYED)
        tx.session.add(known)
        self._remember(tx, row.recipient, said)
        facts: dict[str, Fact] = {
            "places": [f"{place}={method}" for place, method in sorted(said.places.items())],
            "backups": said.backups, "subcontractors": said.subcontractors, "witness": said.witness,
            "exceptions": guard.short_hash(said.exceptions.encode()) if said.exceptions else None,
            "late": self._late(row, tx), "via": via,
        }  # fmt: skip
        self._moved(tx, row, consignment, Event("use.destroyed", person.id, (row.id, consignment.id), facts))
        self._certify(tx, row, consignment, known)
        tail = " A governance lead of yours is asked to countersign it." if asks_countersignature(row, known) else ""
        return Outcome(f"{row.id}: the destruction is attested, and your certificate is issued.{tail}", changed=True)

    def _require_free(self, tx: Tx, row: DeliveryRow) -> None:
        """Raises Refused while the recipient's own lead holds it: it may be asked for by law (R-058)."""
        query = select(HoldRow.id).where(
            HoldRow.delivery == row.id, HoldRow.member == row.recipient, col(HoldRow.released_at).is_(None)
        )
        hold = tx.session.exec(query).first()
        if hold is not None:
            raise Refused(
                f"Your governance lead holds {row.id} ({hold}): keep your copy until the hold is released.",
                code="UNDER_HOLD",
            )

    def _whole_copy(self, tx: Tx, person: Person, row: DeliveryRow, consignment: ConsignmentRow) -> AttestationRow:
        """Of what was rejected or replaced nothing is kept. Raises Refused when it has first to be processed."""
        if row.status not in REPLACED:
            self._require_in_use(row, consignment)
            raise Refused(
                f"Say first what {row.id} had in it (Processed): how many were kept, not yours, rejected.",
                code="NOT_PROCESSED",
            )
        rows = consignment.rows or 0
        return AttestationRow(
            delivery=row.id, member=row.recipient, received=rows, kept=0, not_ours=0, rejected=rows,
            processed_at=tx.now, processed_by=person.id,
        )  # fmt: skip

    def _check_witness(self, tx: Tx, person: Person, said: Destruction) -> None:
        """A witness is a second person of the same member, who may act."""
        policy = self._ground.in_force_at(tx.session).policy
        if said.witness is None:
            if policy.retention.attestation.witness == "required":
                raise Unclear(
                    {"witness": "The agreement asks for a witness: name a second person of yours by their id."}
                )
            return
        second = policy.person(said.witness)
        facts = self._ground.facts_at(tx.session)
        if second is None or second.member != person.member or second.id in facts.suspended:
            raise Unclear({"witness": "The witness is somebody of your organisation, by their id in the agreement."})
        if second.id == person.id:
            raise Unclear({"witness": "Nobody witnesses their own word: name a second person."})

    def _remember(self, tx: Tx, member: str, said: Destruction) -> None:
        """Places, methods and how long backups last are offered again next time."""
        day = day_of(said.backups)
        answers: dict[str, object] = {"places": dict(said.places), "subcontractors": said.subcontractors}
        answers["backups"] = (day - london_day(tx.now)).days if day else said.backups
        row = tx.session.get(HabitRow, member) or HabitRow(member=member, answers="", at=tx.now)
        row.answers, row.at = json.dumps(answers, sort_keys=True), tx.now
        tx.session.add(row)
        tx.session.flush()

    def habit(self, member: str) -> dict[str, str]:
        """What the member said last, as answers to be offered again; a backup lasts as long again as it did then."""
        today, answers = london_day(self._ground.now()), dict.fromkeys(PLACES, NOT_HELD)
        with self._ground.store.reading() as session:
            row = session.get(HabitRow, member)
        kept = json.loads(row.answers) if row else {}
        lasts = kept.get("backups", "")
        answers |= {str(place): str(method) for place, method in kept.get("places", {}).items() if place in PLACES}
        answers["backups"] = EXPIRES if isinstance(lasts, int) else str(lasts)
        answers["backups_until"] = (today + timedelta(days=lasts)).isoformat() if isinstance(lasts, int) else ""
        answers["subcontractors"] = str(kept.get("subcontractors", "none"))
        return answers | {"exceptions": "", "witness": ""}

    # -- countersigned

    def countersign(self, person_id: str, delivery_id: str, *, via: str) -> Outcome:
        """A governance lead of the recipient stands behind what was attested: asked of what is late or exceptional."""
        with self._ground.transaction() as tx:
            person = self._ground.acting(tx.session, person_id)
            row, consignment = self._received(tx, person, delivery_id)
            self._permitted(tx, person, row, consignment, Act.COUNTERSIGN, "a governance lead")
            said = tx.session.get(AttestationRow, delivery_id)
            if said is None or said.destroyed_at is None:
                raise Refused(f"Nobody has attested the destruction of {delivery_id} yet.", code="NOT_ATTESTED")
            if said.countersigned_at is not None:
                when = clock_words(said.countersigned_at, tx.now)
                return Outcome(f"{delivery_id} was countersigned by {said.countersigned_by} at {when}.", changed=False)
            if said.destroyed_by == person.id:
                raise Forbidden("Nobody countersigns their own word: another governance lead has to look at it.")
            said.countersigned_at, said.countersigned_by = tx.now, person.id
            tx.session.add(said)
            event = Event("use.countersigned", person.id, (row.id, consignment.id), {"via": via})
            self._moved(tx, row, consignment, event)
            self._certify(tx, row, consignment, said)
        return Outcome(f"You countersigned what was attested of {delivery_id}.", changed=True)

    # -- overdue

    def note_overdue(self) -> int:
        """On the first day after its use-by day, what is not attested is written down as overdue, once; how many."""
        today = london_day(self._ground.now())
        if self._looked == today:
            return 0
        with self._ground.store.reading() as session:
            late = self._unnoted(session, today)
        for delivery_id in late:
            with self._ground.transaction() as tx:
                self._note(tx, delivery_id, today)
        self._looked = today
        return len(late)

    def _unnoted(self, session: Session, today: date) -> list[str]:
        query = (
            select(DeliveryRow, ConsignmentRow)
            .join(ConsignmentRow, col(DeliveryRow.consignment) == col(ConsignmentRow.id))
            .where(overdue_on(today))
            .order_by(col(DeliveryRow.id))
        )
        policy = self._ground.in_force_at(session).policy
        noted = {str(json.loads(text)[0]) for text in session.exec(_noted()).all()}
        return [row.id for row, c in session.exec(query).all() if row.id not in noted and personal(policy, c.exchange)]

    def _note(self, tx: Tx, delivery_id: str, today: date) -> None:
        """Looked at again inside: it may have been attested, or another process was quicker."""
        row = tx.session.exec(select(DeliveryRow).where(DeliveryRow.id == delivery_id, overdue_on(today))).first()
        told = json.dumps([delivery_id], separators=(",", ":"))
        if row is None or tx.session.exec(_noted().where(LedgerRow.subjects == told)).first() is not None:
            return
        facts: dict[str, Fact] = {"member": row.recipient, "use_by": row.use_by, "use": str(row.use_state)}
        tx.record(Event("use.overdue", "exchange", (delivery_id,), facts))

    # -- inside

    def _each(self, person_id: str, deliveries: Iterable[str], act: OneAct, word: str) -> Outcome:
        """One act a delivery, all in one transaction; a single one's refusal is raised as it is."""
        wanted = list(dict.fromkeys(deliveries))
        if not wanted:
            raise Refused("No delivery is named: nothing was recorded.", code="NOTHING_SAID")
        if len(wanted) > MOST_AT_ONCE:
            raise Refused(f"At most {MOST_AT_ONCE} deliveries at once, please.", code="TOO_MANY")
        done, errors = list[Outcome](), dict[str, SafehandError]()
        with self._ground.transaction() as tx:
            person = self._ground.acting(tx.session, person_id)
            for delivery_id in wanted:
                try:
                    row, consignment = self._received(tx, person, delivery_id)
                    self._permitted(tx, person, row, consignment, Act.ATTEST, "a data manager")
                    done.append(act(tx, person, row, consignment))
                except SafehandError as error:
                    errors[delivery_id] = error
            if errors:
                raise next(iter(errors.values())) if len(wanted) == 1 else SeveralRefused(errors)
        if len(done) == 1:
            return done[0]
        changed = sum(outcome.changed for outcome in done)
        rest = f" {len(done) - changed} were {word} before." if changed < len(done) else ""
        return Outcome(f"{changed} of {len(done)} deliveries are {word} now.{rest}", changed=changed > 0)

    def _received(self, tx: Tx, person: Person, delivery_id: str) -> tuple[DeliveryRow, ConsignmentRow]:
        row = tx.session.get(DeliveryRow, delivery_id)
        consignment = tx.session.get(ConsignmentRow, row.consignment) if row else None
        if row is None or consignment is None:
            raise Missing("There is no such delivery.")
        if consignment.member == person.member:
            name = self._ground.called(row.recipient)
            raise Forbidden(f"Only {name} says what became of its own copy of {delivery_id}.", code="SENDER_ATTESTS")
        if row.recipient != person.member or row.available_at is None:
            raise Missing("There is no such delivery.")
        if row.status is Status.RECALLED:
            raise Refused(f"{self._ground.called(consignment.member)} recalled {delivery_id}; there is nothing to do.",
                          code="RECALLED")  # fmt: skip
        return row, consignment

    def _permitted(
        self, tx: Tx, person: Person, row: DeliveryRow, consignment: ConsignmentRow, act: Act, who: str
    ) -> None:
        """By the policy in force in this very transaction. Raises Forbidden for a role, Refused for anything else."""
        deed = Deed(
            act, person.id, tx.now, recipient=row.recipient, sent_by=consignment.person,
            facts=self._ground.facts_at(tx.session),
        )  # fmt: skip
        decision = decide(self._ground.in_force_at(tx.session).policy, deed)
        if "VERB_NOT_GRANTED" in decision.codes:
            raise Forbidden(f"Only {who} of your organisation can do that.")
        if not decision.permit:
            raise Refused(decision.sentence, code=decision.reasons[0].code)

    def _moved(self, tx: Tx, row: DeliveryRow, consignment: ConsignmentRow, event: Event) -> None:
        tx.session.add(row)
        tx.session.flush()
        about = tx.record(event)
        self._telling.recipient(tx, row, consignment, about=about)
        self._telling.sender(tx, consignment, about=about)

    def _certify(self, tx: Tx, row: DeliveryRow, consignment: ConsignmentRow, said: AttestationRow) -> None:
        parts = tx.session.exec(select(AttestedAuthorityRow).where(AttestedAuthorityRow.delivery == row.id)).all()
        policy = self._ground.in_force_at(tx.session).policy
        kept = {part.la: part.kept for part in parts}
        document = document_of(policy, tx.revision, row, consignment, said, kept)
        self._certificates.issue(tx, kind="recipient", delivery=row, document=document)

    def _late(self, row: DeliveryRow, tx: Tx) -> bool:
        return row.use_by is not None and is_overdue(date.fromisoformat(row.use_by), tx.now)


def _noted() -> SelectOfScalar[str]:
    return select(LedgerRow.subjects).where(LedgerRow.kind == "use.overdue")
