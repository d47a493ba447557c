"""The signed text of the agreement: a governance lead signs one text, by its hash, for their own member, once."""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import Session, col, select

from server.domain.agreement import Member, Person, PolicySet, Signature
from server.domain.agreement_words import Section, sections
from server.domain.decision import Act, Deed, decide
from server.domain.errors import Forbidden, Refused
from server.domain.ledger import Event, Fact
from server.domain.notice import Button
from server.domain.schedule import day_words, in_words
from server.exchange.delivery import Outcome
from server.exchange.ground import Ground
from server.exchange.vouched import signatures
from server.store import Tx
from server.store.tables import NoticeRow, SignatureRow

STATES = {
    "block_missing": "not signed: the document has no signature block for it",
    "blank": "not signed: its signature block is blank",
    "named": "not signed: a signatory is named",
    "withdrawn": "withdrawn",
}


@dataclass(frozen=True, slots=True)
class SignatureState:
    """Where one member stands: block_missing, blank, named, signed, stale or withdrawn, with date and method."""

    member: str
    state: str
    words: str


@dataclass(frozen=True, slots=True)
class DocumentView:
    """The text in force as a person sees it; `sha256` is what a signature names."""

    title: str
    version: str
    sha256: str
    sections: tuple[Section, ...]
    """What the text says, in plain words."""
    states: tuple[tuple[str, str], ...]
    """(member's name, where its signature stands)."""
    buttons: tuple[Button, ...]


class Signing:
    """Shows the text in force and takes signatures of it."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._asked: tuple[str, frozenset[str]] | None = None
        """The revision, and the members that had left, for which everybody is asked."""

    def document(self, person_id: str) -> DocumentView:
        """The text in force, every member's signature, and the button for whoever may sign. Raises Missing."""
        person = self._ground.person(person_id)
        policy = self._ground.policy
        with self._ground.store.reading() as session:
            found = states(session, policy)
            gone = self._ground.facts_at(session).left
        mine = next((state for state in found if state.member == person.member), None)
        can = mine is not None and mine.state not in {"signed", "withdrawn"} and person.member not in gone
        return DocumentView(
            policy.agreement.title,
            policy.agreement.version,
            policy.document_sha256,
            sections(policy),
            tuple((self._ground.called(state.member), state.words) for state in found),
            (self._button(policy, person),) if can and signs(policy, person) else (),
        )

    def states(self) -> tuple[SignatureState, ...]:
        """Every member's signature of the text in force, in the order of the members."""
        with self._ground.store.reading() as session:
            return states(session, self._ground.policy)

    def sign(self, person_id: str, sha256: str, *, via: str) -> Outcome:
        """Sign the text of this hash for the person's own member.

        Raises Forbidden without agreement.sign, Refused when this is not the text in force (DOCUMENT_CHANGED) or the
        member withdrew; a second signature changes nothing.
        """
        with self._ground.transaction() as tx:
            person = self._ground.acting(tx.session, person_id)
            policy = self._ground.in_force_at(tx.session).policy
            member = self._ground.member(person.member)
            self._require(tx.session, policy, person)
            if sha256 != policy.document_sha256:
                raise Refused(
                    f"That is not the text in force any more: look at document {policy.document_sha256[:12]}… first.",
                    code="DOCUMENT_CHANGED",
                )
            state = _state(tx.session, policy, member)
            if state.state == "signed":
                return Outcome(f"{member.called}: {state.words}.", changed=False)
            if state.state == "withdrawn":
                raise Refused(f"{member.called} withdrew from the agreement; the policy has to name it again first.")
            self._signed(tx, policy, person, member, via)
        return Outcome(
            f"You signed document {sha256[:12]}… (version {policy.agreement.version}) for {member.called}.",
            changed=True,
        )

    def ask_unsigned(self) -> int:
        """Ask the leads of every member whose signature of the text in force is missing or stale, once a text each.

        However often this is called, by however many processes; how many people were new.
        """
        in_force, left = self._ground.in_force, self._ground.facts.left
        if self._asked == (in_force.revision, left):
            return 0
        with self._ground.store.reading() as session:
            new = self._unasked(session, in_force.policy)
        if new:
            with self._ground.transaction() as tx:
                policy = self._ground.in_force_at(tx.session).policy
                new = self._unasked(tx.session, policy)
                for member in {person.member: None for person in new}:
                    self._ask(tx, policy, member, [person for person in new if person.member == member])
        self._asked = (in_force.revision, left)
        return len(new)

    def _unasked(self, session: Session, policy: PolicySet) -> list[Person]:
        """Leads who could sign for a member that has to, and have no notice about this text yet."""
        gone = self._ground.facts_at(session).left
        open_ = {s.member for s in states(session, policy) if s.state not in {"signed", "withdrawn"}} - gone
        thread = thread_of(policy.document_sha256)
        told = session.exec(select(NoticeRow.person).where(col(NoticeRow.thread) == thread)).all()
        return [p for p in policy.people if p.member in open_ and signs(policy, p) and p.id not in told]

    def _ask(self, tx: Tx, policy: PolicySet, member_id: str, people: list[Person]) -> None:
        text, member = policy.document_sha256, self._ground.member(member_id)
        about = tx.record(Event("agreement.signature-asked", "exchange", (), {"document": text, "member": member_id}))
        told = {
            "member": member.called, "version": policy.agreement.version, "document": text[:12],
            "stale": _state(tx.session, policy, member).state == "stale",
        }  # fmt: skip
        for lead in people:
            notice = self._ground.notices.notice(
                "sign", person=lead.id, member=member_id, thread=thread_of(text), facts=told, tone="attention",
                shown=(("Document", text),), buttons=(self._button(policy, lead),),
            )  # fmt: skip
            tx.notify(notice, about=about)

    def _require(self, session: Session, policy: PolicySet, person: Person) -> None:
        if not signs(policy, person):
            raise Forbidden("Only a governance lead signs the agreement for their organisation.")
        deed = Deed(Act.SIGN, person.id, self._ground.now(), facts=self._ground.facts_at(session))
        if not decide(policy, deed).permit:
            raise Forbidden(decide(policy, deed).sentence)

    def _signed(self, tx: Tx, policy: PolicySet, person: Person, member: Member, via: str) -> None:
        text, revision = policy.document_sha256, tx.revision
        tx.session.merge(  # in the place of one that the ledger does not know
            SignatureRow(
                member=member.id, document_sha256=text, person=person.id, revision=revision, via=via, at=tx.now
            )
        )
        tx.session.flush()
        facts: dict[str, Fact] = {"document": text, "member": member.id, "via": via}
        about = tx.record(Event("agreement.signed", person.id, (), facts))
        told = {
            "person": person.id,
            "member": member.called,
            "version": policy.agreement.version,
            "document": text[:12],
        }
        for lead in policy.people_of(member.id, "governance_lead"):
            notice = self._ground.notices.notice(
                "signed", person=lead.id, member=member.id, thread=thread_of(text), facts=told, tone="good",
                shown=(("Document", text),),
            )  # fmt: skip
            tx.notify(notice, about=about)

    def _button(self, policy: PolicySet, person: Person) -> Button:
        name = self._ground.called(person.member)
        return Button("sign-agreement", f"Sign for {name}", policy.document_sha256, "primary")


def thread_of(text: str) -> str:
    """One notice a person for each text: asked to sign it, then signed."""
    return f"agreement:{text[:12]}"


def signs(policy: PolicySet, person: Person) -> bool:
    """Whether the person may sign for their member."""
    return "governance_lead" in person.roles and policy.may(person, "agreement.sign")


def states(session: Session, policy: PolicySet) -> tuple[SignatureState, ...]:
    """Every member's signature of the policy's text, as this transaction sees it."""
    return tuple(_state(session, policy, member) for member in policy.members)


def _state(session: Session, policy: PolicySet, member: Member) -> SignatureState:
    """Withdrawn beats everything; a signature of this text, here or on paper, is one; of another text it is stale."""
    written = next((s for s in policy.agreement.signatures if s.member == member.id), None)
    if written is not None and written.state == "withdrawn":
        on = f" on {day_words(written.on)}" if written.on else ""
        return SignatureState(member.id, "withdrawn", f"{STATES['withdrawn']}{on}")
    rows = [row for row in signatures(session) if row.member == member.id]
    here = next((row for row in rows if row.document_sha256 == policy.document_sha256), None)
    if here is not None:
        return SignatureState(member.id, "signed", f"signed {in_words(here.at)} by {here.person} ({here.via})")
    if written is not None and written.state == "signed":
        return _paper(policy, member, written)
    if rows:
        return SignatureState(member.id, "stale", f"stale: signed an earlier text {in_words(rows[-1].at)}")
    state = written.state if written is not None else "block_missing"
    return SignatureState(member.id, state, STATES[state])


def _paper(policy: PolicySet, member: Member, written: Signature) -> SignatureState:
    on = f" on {day_words(written.on)}" if written.on else ""
    method = f" ({written.method})" if written.method else ""
    if written.document_sha256 == policy.document_sha256:
        return SignatureState(member.id, "signed", f"signed{on}{method}")
    text = f"text {written.document_sha256[:12]}…" if written.document_sha256 else "a text that it does not name"
    return SignatureState(member.id, "stale", f"stale: signed {text}{on}{method}")
