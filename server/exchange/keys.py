"""New public keys that people propose through their mailbox. A key counts when the policy has it, and not before.

Dropping a key proposes it at once in its owner's name; with its quorum it is applied by itself. When another change
comes first, it is proposed again on what is in force then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func
from sqlmodel import Session, col, select

from server.domain import guard
from server.domain.agreement import Person, PolicySet
from server.domain.errors import Busy, Forbidden, Refused, SafehandError
from server.domain.ledger import Event
from server.domain.schedule import day_words, london_day
from server.exchange.ground import Ground, InForce
from server.exchange.proposed_keys import OPEN, is_gpg, marks_of
from server.exchange.revisions import EXCHANGE, Revisions
from server.exchange.sessions import Sessions, Visitor, fingerprint
from server.policy.edit import PersonKeys, with_new_key, with_version
from server.policy.lint import PolicyRefused
from server.policy.problem import PolicyInvalid
from server.policy.public_keys import SSH_TYPES, ssh_objection
from server.seal.armour import public_key
from server.seal.keyring import Keyring, PublicKey, UnusableKey
from server.seal.packets import BadPackets
from server.store import Tx
from server.store.tables import ApprovalRow, KeyProposalRow, ProposalRow, RevisionRow

_ARMOUR = "-----BEGIN PGP"
_ENDS = {"applied": "approved", "refused": "refused", "withdrawn": "withdrawn"}
WAITING_MOST = 3
"""Keys of one person that may wait for approval at a time."""


@dataclass(frozen=True, slots=True)
class KeyView:
    """A key that somebody proposed. `status`: open, approved, refused or withdrawn."""

    proposal: str
    person: str
    fingerprint: str
    at: datetime
    status: str


class Keys:
    """Takes what is dropped in /keys/mine/, and follows it until it counts or does not."""

    def __init__(self, ground: Ground, sessions: Sessions, revisions: Revisions) -> None:
        self._ground, self._sessions, self._revisions = ground, sessions, revisions
        self._looked: dict[str, tuple[int, frozenset[str]]] = {}
        """Open proposals without their quorum, by how many answers and suspensions that was found."""

    def propose(self, visitor: Visitor, name: bytes, content: bytes) -> str:
        """Propose a public key of the visitor's own; those who must agree are asked. Raises Refused for all else."""
        person = self._sessions.require(visitor)
        clean = guard.file_name(name)
        if visitor.put_only or not self._ground.policy.may(person, "keys.propose"):
            raise Forbidden("This key or role may not propose a new key.")
        if b"PRIVATE KEY" in content:
            raise Refused(
                "That is a PRIVATE key. Never send it to anybody; export the public key instead.", code="PRIVATE_KEY"
            )
        text = content.decode("ascii", errors="replace").strip()
        mark = _mark(text)
        self._require_new(person, mark, text)
        with self._ground.store.reading() as session:
            waiting = _open_of(session, person.id)
        if any(row.fingerprint == mark for row in waiting):
            return "This key was proposed already; it is waiting for approval."
        if len(waiting) >= WAITING_MOST:
            raise Refused(f"{len(waiting)} keys of yours wait already: withdraw one of them first.", code="TOO_MANY")
        known = KeyProposalRow(person=person.id, name=clean, text=text, fingerprint=mark, at=self._ground.now())
        proposal = self._ask(known, actor=person.id, facts={"fingerprint": mark, "key": visitor.key})
        return (
            f"Key {mark} is proposed ({proposal}). It counts when it has been checked with you by phone and approved. "
            "A device that it is on, and that can be carried, has to be encrypted (clause 6)."
        )

    def tend(self) -> int:
        """What has its quorum is applied; what was overtaken is proposed again; what has ended is closed. How many."""
        query = (
            select(KeyProposalRow, ProposalRow.status)
            .join(ProposalRow, col(ProposalRow.id) == col(KeyProposalRow.proposal))
            .where(KeyProposalRow.status == OPEN)
        )
        with self._ground.store.reading() as session:
            found = session.exec(query).all()
        return sum(self._tended(row, status) for row, status in found)

    def every(self) -> tuple[KeyView, ...]:
        """Every key that was proposed, open ones first, then the newest."""
        with self._ground.store.reading() as session:
            rows = session.exec(select(KeyProposalRow).order_by(col(KeyProposalRow.at).desc())).all()
        views = [KeyView(r.proposal or "", r.person, r.fingerprint, r.at, r.status) for r in rows]
        return tuple(sorted(views, key=lambda view: view.status != OPEN))

    # -- what is refused at once

    def _require_new(self, person: Person, mark: str, text: str) -> None:
        """Nobody else's key, none that is there already, none that nothing could be sealed to."""
        policy = self._ground.policy
        if any(mark in marks_of(other) for other in policy.people if other.id != person.id):
            raise Refused("That key stands in the policy for somebody else: make one of your own.", code="NOT_YOURS")
        if is_gpg(mark):
            self._require_usable(person, mark, text)
        elif mark in marks_of(person):
            raise Refused("That key stands in the policy already: nothing has to be done.", code="NOTHING_NEW")

    def _require_usable(self, person: Person, mark: str, text: str) -> None:
        key, home = PublicKey(person.id, person.member, mark, text), self._ground.data / "gnupg"
        ring = Keyring.of_one(home, key)
        judged = ring.sealing_key(key, self._ground.real())
        if isinstance(judged, UnusableKey):
            raise Refused(judged.sentence, code="KEY_UNUSABLE")
        own = next((one for one in person.gpg_keys if one.fingerprint == mark), None)
        if own is None:
            return
        old, new = self._ground.in_force.key_ends.get(mark), ring.ends().get(mark)
        if mark in self._ground.in_force.key_ends and (old is None or (new is not None and new <= old)):
            until = f" It is good until {day_words(london_day(old))}." if old else ""
            raise Refused(f"That key stands in the policy already, with the same end or a later one.{until}",
                          code="NOTHING_NEW")  # fmt: skip

    # -- proposing it

    def _ask(self, key: KeyProposalRow, *, actor: str, facts: Mapping[str, str]) -> str:
        """A proposal of what is in force with this key more, and its row; the proposal's id."""
        linked = list[str]()

        def link(tx: Tx, proposal: str) -> None:
            query = select(KeyProposalRow).where(
                KeyProposalRow.person == key.person, KeyProposalRow.fingerprint == key.fingerprint
            )
            row = tx.session.exec(query).first() or key
            waits = tx.session.get(ProposalRow, row.proposal) if row.proposal else None
            if row.status == OPEN and waits is not None and waits.status == OPEN:
                raise Refused("This key was proposed at this very moment already.", code="PROPOSED_ALREADY")
            row.text, row.name, row.at, row.status, row.proposal = key.text, key.name, tx.now, OPEN, proposal
            tx.session.add(row)
            tx.session.flush()
            tx.record(Event("key.proposed", actor, (proposal,), {**facts, "person": key.person}))
            linked.append(proposal)

        try:
            base = self._ground.in_force
            self._revisions.propose_key(key.person, self._files_with(key, base), link, base=base.revision)
        except (PolicyInvalid, PolicyRefused):
            raise Refused(
                "The policy would not hold with this key: give it to your administrator instead.", code="NOT_TAKEN"
            ) from None
        return linked[0]

    def _files_with(self, key: KeyProposalRow, in_force: InForce) -> dict[str, str]:
        """The files in force with this key, and the next version."""
        files = dict(self._revisions.history.files(in_force.revision))
        person = in_force.policy.person_by_id[key.person]
        label = f"proposed {london_day(key.at)}"
        new = PersonKeys(gpg=((key.fingerprint, key.text),)) if is_gpg(key.fingerprint) else PersonKeys(
            ssh=(key.text,), label=label
        )  # fmt: skip
        files["people.yaml"] = with_new_key(files["people.yaml"], person.id, new)
        with self._ground.store.reading() as session:
            labels = session.exec(select(RevisionRow.label)).all()
        files["policy.yaml"] = with_version(files["policy.yaml"], _next_version(labels))
        return files

    # -- following it

    def _tended(self, row: KeyProposalRow, status: str) -> bool:
        proposal = row.proposal or ""
        if status == OPEN:
            return self._apply(proposal)
        if status == "overtaken":
            return self._propose_again(row)
        return self._close(row, _ENDS.get(status, "refused"))

    def _apply(self, proposal: str) -> bool:
        """Whether it has its quorum and came into force; looked at again only when something about it changed."""
        with self._ground.store.reading() as session:
            query = select(func.count()).select_from(ApprovalRow).where(ApprovalRow.proposal == proposal)
            seen = (session.exec(query).one(), self._ground.suspended)
        if self._looked.get(proposal) == seen:
            return False
        if not self._revisions.complete(proposal):
            self._looked[proposal] = seen
            return False
        try:
            self._revisions.apply(proposal, by=EXCHANGE)
        except Refused:  # it lost its quorum at this very moment, or another change came first: looked at again then
            self._looked[proposal] = seen
            return False
        return True

    def _propose_again(self, row: KeyProposalRow) -> bool:
        """On what is in force now; closed if that has the key by now, has not the person, or cannot take it."""
        with self._ground.store.reading() as session:
            if self._ground.in_force_at(session).revision != self._ground.in_force.revision:
                return False  # not seen here yet: at the next look
        person = self._ground.policy.person(row.person)
        if person is None:
            return self._close(row, "withdrawn")
        if _has(self._ground.policy, person.id, row):
            return self._close(row, "approved")
        try:
            self._ask(row, actor=EXCHANGE, facts={"fingerprint": row.fingerprint, "instead_of": row.proposal or ""})
        except Busy:
            raise
        except SafehandError:
            return self._close(row, "withdrawn")
        return True

    def _close(self, key: KeyProposalRow, status: str) -> bool:
        with self._ground.transaction() as tx:
            row = tx.session.get(KeyProposalRow, key.id)
            if row is None or row.status != OPEN or row.proposal != key.proposal:
                return False
            row.status = status
            tx.session.add(row)
            facts = {"fingerprint": row.fingerprint, "person": row.person}
            tx.record(Event(f"key.{status}", EXCHANGE, (row.proposal or "",), facts))
        return True


def _open_of(session: Session, person: str) -> list[KeyProposalRow]:
    query = select(KeyProposalRow).join(ProposalRow, col(ProposalRow.id) == col(KeyProposalRow.proposal))
    query = query.where(KeyProposalRow.person == person, ProposalRow.status == OPEN)
    return list(session.exec(query).all())


def _has(policy: PolicySet, person_id: str, row: KeyProposalRow) -> bool:
    """Whether the policy has this key, with this very text for one of GPG."""
    person = policy.person_by_id[person_id]
    if not is_gpg(row.fingerprint):
        return row.fingerprint in marks_of(person)
    return any(k.fingerprint == row.fingerprint and k.armored.strip() == row.text.strip() for k in person.gpg_keys)


def _next_version(labels: Iterable[str]) -> str:
    """The version after the highest so far: 2.1.1 after 2.1.0."""
    numbers = max([int(part) for part in re.findall(r"[0-9]+", label)] or [0] for label in labels)
    return ".".join(map(str, [*numbers[:-1], numbers[-1] + 1] if len(numbers) > 1 else [*numbers, 1]))


def _mark(text: str) -> str:
    """The fingerprint that gpg (40 hex digits) or ssh-keygen (SHA256:…) shows for this key: two people compare it.

    Raises Refused for what is no public key, or one that the policy would not take.
    """
    if _ARMOUR in text:
        try:
            return public_key(text)[0]
        except BadPackets as fault:
            raise Refused(
                "That is not one whole OpenPGP public key: send what gpg --armor --export FINGERPRINT prints.",
                code="NOT_A_KEY",
            ) from fault
    if text.partition(" ")[0] not in SSH_TYPES:
        raise Refused(
            "That is neither an SSH public key (one line, as in id_ed25519.pub) nor an armoured OpenPGP public key.",
            code="NOT_A_KEY",
        )
    objection = ssh_objection(text)
    if objection is not None:
        raise Refused(f"{objection[:1].upper()}{objection[1:]}.", code="NOT_A_KEY")
    return fingerprint(text)
