"""Which policy revision is in force, and how another comes into force: proposed, approved by its quorum, applied.

An edit on disk does nothing by itself. Nobody approves twice, nor for another. Going back is the same way with an
earlier revision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sqlmodel import Session, col, select

from server.domain import guard
from server.domain.agreement import Person, PolicySet
from server.domain.decision import Act, Deed, decide
from server.domain.errors import Busy, Forbidden, Misconfigured, Missing, Refused
from server.domain.ledger import Event, Fact
from server.domain.quorum import approver, may_answer, shuts_itself
from server.domain.schedule import clock_words
from server.exchange.asking import (
    APPROVED,
    REFUSED,
    Asking,
    ProposalView,
    about_of,
    changes_text,
    consequences_text,
    needs_text,
)
from server.exchange.delivery import Outcome
from server.exchange.ground import Ground, InForce, texts_of
from server.exchange.history import History, stored
from server.exchange.people import OPERATOR
from server.exchange.proposed_keys import key_of, left_out, require_checked
from server.exchange.standing import can_answer, standing_at
from server.exchange.vouched import answers, require_in_ledger, signatures
from server.policy.changes import changes, judged
from server.policy.lint import PolicyRefused, lint
from server.policy.load import load_texts
from server.policy.plan import Consequence, Plan, plan
from server.policy.problem import PolicyInvalid
from server.policy.revision import revision as revision_of
from server.store import Tx
from server.store.tables import ApprovalRow, InForceRow, ProposalRow, RevisionRow, SignatureRow

EXCHANGE = "exchange"
_MOVED = "Another revision came into force at this very moment: put the key there again."
"""Who applies a key that has its quorum: nobody has to."""


class Revisions:
    """The life of a proposal, and the revision that comes of it."""

    def __init__(self, ground: Ground) -> None:
        self._ground, self._asking, self.history = ground, Asking(ground), History(ground)

    # -- the first one

    def found(self, files: Mapping[str, str], *, vouched_by: Sequence[str]) -> str:
        """Put the first revision in force; there is no quorum yet, so people of the set vouch for it by name.

        Raises PolicyInvalid, PolicyRefused with every lint error; Missing or Forbidden for a voucher who may not;
        Refused when a revision is in force already.
        """
        policy = load_texts(files)
        _require_open_end(policy)
        vouchers = tuple(sorted({_voucher(policy, person).id for person in vouched_by}))
        if not vouchers:
            raise Refused("Nobody vouches for the first revision: name who does, with --vouched-by PERSON.")
        errors = [f for f in lint(policy, self._ground.now()) if f.is_error and not f.only_closes]
        if errors:
            raise PolicyRefused(errors)
        prepared = self._ground.prepared(policy)
        with self._ground.transaction() as tx:
            row = tx.session.exec(select(InForceRow).order_by(col(InForceRow.number).desc()).limit(1)).first()
            if row is not None and row.revision == prepared.revision:
                return f"Revision {prepared.revision[:12]} (version {policy.policy.version}) was in force already."
            if row is not None:
                raise Refused("A policy is in force already: propose this one instead.", code="FOUNDED_ALREADY")
            facts: dict[str, Fact] = {"vouched_by": vouchers}
            self._put(tx, prepared, files, by=",".join(vouchers), event=("policy.founded", OPERATOR, vouchers, facts))
        self._ground.refresh()
        return (
            f"Revision {prepared.revision[:12]} (version {policy.policy.version}) is in force; "
            f"{' and '.join(vouchers)} vouched for it."
        )

    # -- proposing

    def plan(self, files: Mapping[str, str], *, by: str) -> Plan:
        """What the set of these files would change, and who would have to agree. Raises PolicyInvalid; Missing."""
        policy = load_texts(files)
        if by != OPERATOR:
            self._ground.person(by)
        with self._ground.store.reading() as session:
            base = self._ground.in_force_at(session)
            planned = self._planned(session, base, policy)
            return self._with_label(session, base, policy, planned)

    def _planned(self, session: Session, base: InForce, policy: PolicySet) -> Plan:
        """The plan, and the keys that came through a mailbox and would be lost with it."""
        planned = plan(base.policy, policy, standing_at(self._ground, session))
        told = tuple(Consequence("key", words) for words in left_out(session, base.policy, policy))
        return replace(planned, consequences=(*told, *planned.consequences)) if told else planned

    def _with_label(self, session: Session, base: InForce, policy: PolicySet, planned: Plan) -> Plan:
        """The plan, and what has to be renamed before it can be proposed."""
        if planned.revision == base.revision:
            return planned
        try:
            self.history.require_moved_label(session, base.policy, policy, planned.revision)
        except Refused as refused:
            told = Consequence("label", f"Before it can be proposed: {refused.sentence}")
            return replace(planned, consequences=(*planned.consequences, told))
        return planned

    def propose(self, files: Mapping[str, str], *, by: str) -> ProposalView:
        """Ask its approvers to agree to the set of these files. `by`: a person whose role has policy.propose.

        Errors of lint are refused, but for a proposal that only takes away; those that the set in force has already
        may stay. Raises PolicyInvalid, PolicyRefused, Missing, Forbidden; Refused (LABEL_NOT_MOVED, NOTHING_CHANGED,
        SHUTS_ITSELF).
        """
        policy = load_texts(files)
        self._proposer(by)
        _require_open_end(policy)
        revision = revision_of(policy)
        with self._ground.store.reading() as session:  # the thinking is done before anybody has to wait for the lock
            planned = self._planned(session, self._ground.in_force_at(session), policy)
        with self._ground.transaction() as tx:
            person = self._ground.acting(tx.session, by)
            base = self._ground.in_force_at(tx.session)
            if base.revision != planned.base:
                raise Busy("Another revision came into force at this very moment: propose it again.")
            if base.revision == revision:
                raise Refused("This is what is in force: there is nothing to propose.", code="NOTHING_CHANGED")
            same = self._open_with(tx.session, revision)
            if same is None:
                self.history.require_moved_label(tx.session, base.policy, policy, revision)
                same = self._proposed(tx, planned, files, by)
            return self._asking.view(tx.session, same, person)

    def propose_key(
        self, person_id: str, files: Mapping[str, str], linked: Callable[[Tx, str], None], *, base: str
    ) -> tuple[ProposalView, Plan]:
        """Propose, in the owner's name, a set that differs from the one in force by keys of this person alone.

        `linked` is called with the proposal's id, inside the same transaction and before anybody is told. Raises
        Refused (NOT_ONLY_A_KEY) for a set that changes anything else, and as `propose`.
        """
        policy = load_texts(files)
        with self._ground.store.reading() as session:
            current = self._ground.in_force_at(session)
            if current.revision != base:
                raise Busy(_MOVED)
            planned = plan(current.policy, policy, standing_at(self._ground, session))
        if not _only_keys_of(person_id, current.policy, policy):
            raise Refused("That would change more than a key: an administrator proposes it.", code="NOT_ONLY_A_KEY")
        with self._ground.transaction() as tx:
            person = self._ground.acting(tx.session, person_id)
            if self._ground.in_force_at(tx.session).revision != planned.base:
                raise Busy(_MOVED)
            self.history.require_moved_label(tx.session, current.policy, policy, planned.revision)
            row = self._proposed(tx, planned, files, person_id, linked)
            return self._asking.view(tx.session, row, person), planned

    def _proposed(
        self, tx: Tx, planned: Plan, files: Mapping[str, str], by: str,
        linked: Callable[[Tx, str], None] = lambda tx, proposal: None,
    ) -> ProposalRow:  # fmt: skip
        if planned.errors and not planned.only_removing:
            raise PolicyRefused(planned.errors)
        row = ProposalRow(
            id=tx.next_id("P", tx.now.year), revision=planned.revision, label=planned.label, base=planned.base,
            files=stored(files), consequences=consequences_text(planned), needs=needs_text(planned),
            document_sha256=planned.document_sha256, by=by, at=tx.now,
        )  # fmt: skip
        tx.session.add(row)
        tx.session.flush()
        linked(tx, row.id)
        facts: dict[str, Fact] = {
            "revision": row.revision, "label": row.label, "base": row.base, "classes": planned.classes,
            "document": row.document_sha256,
        }  # fmt: skip
        self._asking.tell(tx, row, about=tx.record(Event("policy.proposed", by, (row.id,), facts)))
        return row

    def rollback(self, name: str, *, by: str) -> ProposalView:
        """Propose a revision that was in force earlier (its hash, the beginning of it, or its label) once more."""
        return self.propose(self.history.files(name), by=by)

    # -- answering

    def approve(self, person_id: str, proposal_id: str, *, via: str, heard: str = "") -> Outcome:
        """One person's own approval. Raises Missing, Forbidden; Refused when it is not open any more.

        A key is approved by who says in `heard` how its fingerprint ends.
        """
        with self._ground.transaction() as tx:
            person, row = self._answering(tx, person_id, proposal_id)
            given = _given(tx.session, row, person)
            if given is not None and given.answer == APPROVED:
                words = clock_words(given.at, tx.now)
                return Outcome(f"You approved {row.id} already, {words}.", changed=False)
            if given is not None:
                raise Refused(f"You refused {row.id}. Whoever proposed it can propose it again.", code="ANSWERED")
            key, policy = key_of(tx.session, row), self._ground.in_force_at(tx.session).policy
            if key is not None:
                require_checked(policy, person, key, frozenset(about_of(row)), heard)
            tx.session.merge(  # in the place of one that the ledger does not know
                ApprovalRow(
                    proposal=row.id, person=person.id, member=person.member, answer=APPROVED, via=via, at=tx.now
                )
            )
            tx.session.flush()
            facts: dict[str, Fact] = {"revision": row.revision, "via": via, "member": person.member}
            if changes_text(row):
                facts["document"] = row.document_sha256
            self._asking.tell(tx, row, about=tx.record(Event("policy.approved", person.id, (row.id,), facts)))
            missing = self._asking.missing(tx.session, row)
        done = "it can be applied now." if key is None else "it takes effect by itself."
        rest = f"It still needs {'; '.join(missing)}." if missing else f"The quorum is there: {done}"
        return Outcome(f"You approved {proposal_id}. {rest}", changed=True)

    def refuse(self, person_id: str, proposal_id: str, reason: str, *, via: str) -> Outcome:
        """A refusal, also in the place of an earlier approval of one's own.

        It ends the proposal when its person leads a member without whose lead it cannot be; else it is shown.
        """
        tidy = guard.reason(reason)
        with self._ground.transaction() as tx:
            person, row = self._answering(tx, person_id, proposal_id)
            given = _given(tx.session, row, person)
            if given is not None and given.answer == REFUSED:
                return Outcome(f"You refused {row.id} already.", changed=False)
            one, wanted = (
                approver(self._ground.in_force_at(tx.session).policy, person),
                self._asking.wanted(tx.session, row),
            )
            ends = (one.leads and one.member in wanted.leads_of) or (one.signs and one.member in wanted.signatories)
            tx.session.merge(
                ApprovalRow(
                    proposal=row.id, person=person.id, member=person.member, answer=REFUSED, reason=tidy, via=via,
                    at=tx.now,
                )
            )  # fmt: skip
            if ends:
                row.status, row.ended_at = "refused", tx.now
                tx.session.add(row)
            tx.session.flush()
            facts: dict[str, Fact] = {
                "revision": row.revision, "via": via, "member": person.member, "ends": ends,
                "reason": guard.short_hash(tidy.encode()),
            }  # fmt: skip
            self._asking.tell(tx, row, about=tx.record(Event("policy.refused", person.id, (row.id,), facts)))
        rest = "That ends it: without your organisation it cannot be." if ends else "It is shown to the others."
        return Outcome(f"You refused {proposal_id}. {rest}", changed=True)

    def withdraw(self, person_id: str, proposal_id: str, *, via: str) -> Outcome:
        """Whoever proposed it takes it back. Raises Forbidden for anybody else."""
        with self._ground.transaction() as tx:
            person = self._ground.acting(tx.session, person_id)
            row = self._open(tx.session, proposal_id)
            if row.by != person.id:
                raise Forbidden(f"{row.by} proposed {row.id}; only they can withdraw it.")
            self._end(tx, row, "withdrawn", actor=person.id, facts={"via": via})
        return Outcome(f"{proposal_id} is withdrawn; nothing changes.", changed=True)

    # -- putting in force

    def apply(self, proposal_id: str, *, by: str) -> str:
        """Put a proposal with its quorum in force, for every running server at once; the sentence to print.

        `by`: the operator, or a person who may propose or approve. Raises Refused with what is missing in words
        (QUORUM_MISSING), or when another revision came first (OVERTAKEN); Misconfigured when its text was changed.
        """
        with self._ground.store.reading() as session:
            self._applier(session, by)
            prepared = self._prepared(self._row(session, proposal_id))
        label = prepared.policy.policy.version
        with self._ground.transaction() as tx:
            row = self._row(tx.session, proposal_id)
            if row.status == "applied":
                return f"{row.id} was applied already (revision {row.revision[:12]}, version {label})."
            self._require_ready(tx.session, row, prepared.policy)
            signers = self._asking.approvers(tx.session, row)
            row.status, row.ended_at = "applied", tx.now
            tx.session.add(row)
            names = tuple(sorted(one.person for one in signers))
            facts: dict[str, Fact] = {"proposal": row.id, "approved_by": names, "before": row.base}
            about = self._put(tx, prepared, texts_of(row.files), by=by, event=("policy.applied", by, (row.id,), facts))
            if changes_text(row):
                self._sign(tx, row, prepared.policy, [one.person for one in signers if one.signs])
            self._asking.tell(tx, row, about=about)
            self._overtake(tx, row)
        self._ground.refresh()
        return f"Revision {prepared.revision[:12]} (version {label}) is in force."

    def open_proposal(self, files: Mapping[str, str]) -> str:
        """The id of the open proposal with exactly this content. Raises Missing when nobody proposed it."""
        revision = revision_of(load_texts(files))
        with self._ground.store.reading() as session:
            row = self._open_with(session, revision)
        if row is None:
            raise Missing(
                "Nobody has proposed this content: `safehand policy propose DIR --by PERSON` asks for its approval."
            )
        return row.id

    def complete(self, proposal_id: str) -> bool:
        """Whether an open proposal has its quorum now."""
        with self._ground.store.reading() as session:
            row = self._row(session, proposal_id)
            return row.status == "open" and not self._asking.missing(session, row)

    # -- reading

    def every(self) -> tuple[ProposalView, ...]:
        """Every proposal, open ones first, then the newest: for the operator."""
        with self._ground.store.reading() as session:
            return tuple(self._asking.view(session, row, None) for row in _ordered(session))

    def proposals(self, person_id: str) -> tuple[ProposalView, ...]:
        """Every proposal, open ones first, then the newest. Raises Forbidden for whom they are no business of."""
        with self._ground.store.reading() as session:
            person = self._reader(person_id)
            return tuple(self._asking.view(session, row, person) for row in _ordered(session))

    def concern(self, person_id: str) -> bool:
        """Whether this person may read them."""
        try:
            self._reader(person_id)
        except (Forbidden, Missing):
            return False
        return True

    def proposal(self, person_id: str, proposal_id: str) -> ProposalView:
        """One proposal. Raises Missing when there is none."""
        with self._ground.store.reading() as session:
            return self._asking.view(session, self._row(session, proposal_id), self._reader(person_id))

    # -- inside

    def _put(
        self,
        tx: Tx,
        prepared: InForce,
        files: Mapping[str, str],
        *,
        by: str,
        event: tuple[str, str, tuple[str, ...], dict[str, Fact]],
    ) -> int:
        """The revision's text is kept, it is in force, and its entry is the first one under it."""
        label = prepared.policy.policy.version
        if tx.session.get(RevisionRow, prepared.revision) is None:
            tx.session.add(RevisionRow(id=prepared.revision, label=label, files=stored(files)))
            tx.session.flush()
        tx.session.add(InForceRow(revision=prepared.revision, at=tx.now, by=by))
        tx.session.flush()
        tx.revision = prepared.revision
        kind, actor, subjects, facts = event
        told = {**facts, "revision": prepared.revision, "label": label, "document": prepared.policy.document_sha256}
        return tx.record(Event(kind, actor, subjects, told))

    def _require_ready(self, session: Session, row: ProposalRow, policy: PolicySet) -> None:
        """Open, still the change that was planned, and with its quorum."""
        if row.status != "open":
            raise Refused(f"{row.id} is {row.status}; it cannot be applied any more.", code="NOT_OPEN")
        if self._ground.in_force_at(session).revision != row.base:
            raise Refused(
                f"Another revision came into force since {row.id} was proposed: propose it again.", code="OVERTAKEN"
            )
        base = self._ground.in_force_at(session).policy
        about, text = judged(base, policy), policy.document_sha256
        if about != about_of(row) or (text, text != base.document_sha256) != (row.document_sha256, changes_text(row)):
            raise Refused(
                f"What {row.id} changes is not what was said when it was proposed: propose it again.",
                code="NOT_AS_PROPOSED",
            )
        require_in_ledger(session, row)
        missing = self._asking.missing(session, row)
        if missing:
            raise Refused(f"{row.id} cannot be applied yet: it needs {'; '.join(missing)}.", code="QUORUM_MISSING")

    def _sign(self, tx: Tx, row: ProposalRow, policy: PolicySet, people: Sequence[str]) -> None:
        """A lead who approved the new text has signed it for their member."""
        withdrawn = {s.member for s in policy.agreement.signatures if s.state == "withdrawn"}
        signed = {s.member for s in signatures(tx.session) if s.document_sha256 == row.document_sha256}
        for answer in answers(tx.session, row):
            if answer.person not in people or answer.member in signed | withdrawn:
                continue
            tx.session.merge(
                SignatureRow(
                    member=answer.member, document_sha256=row.document_sha256, person=answer.person,
                    revision=row.revision, via=answer.via, at=tx.now,
                )
            )  # fmt: skip
            tx.session.flush()
            signed.add(answer.member)
            facts: dict[str, Fact] = {"document": row.document_sha256, "member": answer.member, "via": answer.via}
            tx.record(Event("agreement.signed", answer.person, (row.id,), facts))

    def _overtake(self, tx: Tx, applied: ProposalRow) -> None:
        """Every other open proposal was worked out against what is no longer in force."""
        for row in tx.session.exec(select(ProposalRow).where(ProposalRow.status == "open")).all():
            self._end(tx, row, "overtaken", actor="exchange", facts={"by": applied.id})

    def _end(self, tx: Tx, row: ProposalRow, status: str, *, actor: str, facts: Mapping[str, Fact]) -> None:
        row.status, row.ended_at = status, tx.now
        tx.session.add(row)
        tx.session.flush()
        about = tx.record(Event(f"policy.{status}", actor, (row.id,), {"revision": row.revision, **facts}))
        self._asking.tell(tx, row, about=about)

    def _prepared(self, row: ProposalRow) -> InForce:
        try:
            policy = load_texts(texts_of(row.files))
        except (ValueError, PolicyInvalid):
            policy = None
        if policy is None or revision_of(policy) != row.revision:
            raise Misconfigured(f"The stored text of {row.id} was changed; it is refused.")
        return self._ground.prepared(policy)

    def _row(self, session: Session, proposal_id: str) -> ProposalRow:
        row = session.get(ProposalRow, proposal_id.strip().upper())
        if row is None:
            raise Missing(f"There is no proposal {proposal_id}.")
        return row

    def _open(self, session: Session, proposal_id: str) -> ProposalRow:
        row = self._row(session, proposal_id)
        if row.status != "open":
            raise Refused(f"{row.id} is {row.status} already.", code="NOT_OPEN")
        return row

    def _open_with(self, session: Session, revision: str) -> ProposalRow | None:
        query = select(ProposalRow).where(ProposalRow.revision == revision, ProposalRow.status == "open")
        return session.exec(query).first()

    def _answering(self, tx: Tx, person_id: str, proposal_id: str) -> tuple[Person, ProposalRow]:
        person = self._ground.acting(tx.session, person_id)
        row = self._open(tx.session, proposal_id)
        policy, facts = self._ground.in_force_at(tx.session).policy, self._ground.facts_at(tx.session)
        if not can_answer(policy, person, facts, tx.now):
            raise Forbidden(
                "Your role does not include approving changes of the policy, or your organisation has left."
            )
        return person, row

    def _proposer(self, by: str) -> None:
        """The set in force says who may propose; the operator names a person."""
        if by == OPERATOR:
            raise Forbidden("Say who proposes it: --by PERSON, an administrator of the policy in force.")
        self._ground.person(by)
        deed = Deed(Act.PROPOSE, by, self._ground.now(), facts=self._ground.facts)
        if not decide(self._ground.policy, deed).permit:
            raise Forbidden("This person's roles do not include policy.propose: an administrator proposes.")

    def _applier(self, session: Session, by: str) -> None:
        if by in (OPERATOR, EXCHANGE):
            return
        self._ground.acting(session, by)
        policy, facts = self._ground.in_force_at(session).policy, self._ground.facts_at(session)
        deeds = [Deed(act, by, self._ground.now(), facts=facts) for act in (Act.PROPOSE, Act.APPROVE)]
        if not any(decide(policy, deed).permit for deed in deeds):
            raise Forbidden("This person's roles include neither policy.propose nor policy.approve.")

    def _reader(self, person_id: str) -> Person:
        person, policy = self._ground.person(person_id), self._ground.policy
        if not (may_answer(policy, person) or policy.may(person, "policy.propose") or "auditor" in person.roles):
            raise Forbidden("Your role does not include the policy's changes.")
        return person


def _require_open_end(policy: PolicySet) -> None:
    """A set that nobody could ever replace is not put in force, however little it permits."""
    why = shuts_itself(policy)
    if why is not None:
        raise Refused(f"After this the policy could never be changed again: {why}.", code="SHUTS_ITSELF")


def _only_keys_of(person_id: str, before: PolicySet, after: PolicySet) -> bool:
    """Whether two sets differ by keys of this person, and their own version, alone."""
    places = [change.path for change in changes(before, after) if change.path != ("policy", "version")]
    mine = {("people", person_id, "ssh_keys"), ("people", person_id, "gpg_keys")}
    return bool(places) and all(place[:3] in mine for place in places)


def _ordered(session: Session) -> list[ProposalRow]:
    rows = session.exec(select(ProposalRow).order_by(col(ProposalRow.id).desc())).all()
    return sorted(rows, key=lambda row: row.status != "open")


def _given(session: Session, row: ProposalRow, person: Person) -> ApprovalRow | None:
    """What the person answered so far, if the ledger tells of it."""
    return next((answer for answer in answers(session, row) if answer.person == person.id), None)


def _voucher(policy: PolicySet, person_id: str) -> Person:
    person = policy.person(person_id)
    if person is None:
        raise Missing(f"The set has no person {person_id}: name a governance lead or an administrator of it.")
    if not person.roles & {"governance_lead", "administrator"}:
        raise Forbidden(f"{person_id} is neither a governance lead nor an administrator of the set.")
    return person
