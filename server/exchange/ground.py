"""What every life cycle stands on: the store, the spool, the keys, the clock and the policy in force."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from sqlmodel import Session, col, select

from server.domain.agreement import Exchange, Member, Person, PolicySet
from server.domain.decision import Facts
from server.domain.errors import Busy, Misconfigured, Missing, SafehandError
from server.exchange.vouched import vouched
from server.notices import Notices
from server.policy.load import load_texts
from server.policy.problem import PolicyInvalid
from server.policy.revision import revision as revision_of
from server.seal.exchange_key import ExchangeKey
from server.seal.keyring import Keyring, PublicKey, SealingKey
from server.store import Spool, Store, Tx, once
from server.store.tables import ClockRow, DepartureRow, InForceRow, LedgerRow, RevisionRow, SignatureRow, SuspensionRow

NONE_YET = "0" * 64
PUT_IN_FORCE = ("policy.founded", "policy.applied")
"""The kinds of entries with which a revision comes into force."""


@dataclass(frozen=True)
class InForce:
    """One policy revision, ready for use: its content and its keyring."""

    revision: str
    policy: PolicySet
    keyring: Keyring

    @cached_property
    def _public_keys(self) -> Mapping[str, tuple[PublicKey, ...]]:
        return {
            member.id: tuple(
                PublicKey(holder, member.id, key.fingerprint, key.armored)
                for holder, key in self.policy.sealed_to(member.id)
            )
            for member in self.policy.members
        }

    @cached_property
    def key_ends(self) -> Mapping[str, datetime | None]:
        """When each key that files are sealed to can no longer be, None for never; as the keys themselves say."""
        return self.keyring.ends()

    def keys_for(self, member_id: str, real: datetime) -> tuple[tuple[SealingKey, ...], dict[str, str]]:
        """The keys that a file for this member can be sealed to now, and why others cannot: {holder: reason}."""
        usable: list[SealingKey] = []
        unusable: dict[str, str] = {}
        for public in self._public_keys.get(member_id, ()):
            key = self.keyring.sealing_key(public, real)
            if isinstance(key, SealingKey):
                usable.append(key)
            else:
                unusable[key.holder] = key.why
        return tuple(usable), {h: why for h, why in unusable.items() if h not in {key.holder for key in usable}}


def public_keys(policy: PolicySet) -> list[PublicKey]:
    """Every key that any member's files may be sealed to, once each."""
    found = {
        key.fingerprint: PublicKey(holder, member.id, key.fingerprint, key.armored)
        for member in policy.members
        for holder, key in policy.sealed_to(member.id)
    }
    return list(found.values())


class Ground:
    """Shared by the life cycles; holds the little that is kept in memory of what the database says."""

    def __init__(self, data: Path, store: Store, spool: Spool, key: ExchangeKey, notices: Notices) -> None:
        self.data, self.store, self.spool, self.key, self.notices = data, store, spool, key, notices
        self.facts = Facts()
        """What the database says beside the policy, as last seen: who is suspended, has left, has signed."""
        self._offset = timedelta()
        self._loaded: dict[str, InForce] = {}
        self._in_force: InForce | None = None
        self._fault: SafehandError | None = None
        self._loading = threading.Lock()

    # -- time

    def now(self) -> datetime:
        """The exchange's clock: real time plus the stored offset."""
        return self.real() + self._offset

    def real(self) -> datetime:
        """Real time: it alone rules gpg, codes and leases."""
        return datetime.now(UTC)

    # -- what the policy does not say

    @property
    def suspended(self) -> frozenset[str]:
        """Ids of the people who may not act now, as last seen."""
        return self.facts.suspended

    def facts_at(self, session: Session) -> Facts:
        """What this very transaction sees beside the policy, as far as the ledger vouches for it."""
        return once(session, "facts", lambda: self._facts_at(session))

    def _facts_at(self, session: Session) -> Facts:
        told, signed = vouched(session), dict[str, set[str]]()
        for row in session.exec(select(SignatureRow)).all():
            if (row.member, row.document_sha256, row.person) in told.signed:
                signed.setdefault(row.member, set()).add(row.document_sha256)
        return Facts(
            suspended=told.suspended.union(session.exec(select(SuspensionRow.person)).all()),
            left=told.left.union(session.exec(select(DepartureRow.member)).all()),
            signed={member: frozenset(hashes) for member, hashes in signed.items()},
        )

    # -- the policy in force

    @property
    def in_force(self) -> InForce:
        """The revision in force as last seen. Raises Misconfigured when there is none: deny everything."""
        if self._fault is not None:
            raise self._fault
        if self._in_force is None:
            raise Misconfigured("No policy is in force yet: run `safehand init DIR --vouched-by PERSON`.")
        return self._in_force

    @property
    def has_policy(self) -> bool:
        return self._in_force is not None

    @property
    def policy(self) -> PolicySet:
        return self.in_force.policy

    def in_force_at(self, session: Session) -> InForce:
        """The revision in force as this transaction sees it."""
        return once(session, "in force", lambda: self._in_force_at(session))

    def _in_force_at(self, session: Session) -> InForce:
        row = session.exec(select(InForceRow).order_by(col(InForceRow.number).desc()).limit(1)).first()
        if row is None:
            raise Misconfigured("No policy is in force yet: run `safehand init DIR --vouched-by PERSON`.")
        return self._load(session, row.revision)

    def of_revision(self, revision: str) -> PolicySet:
        """The policy set of a revision that was ever in force: what held when something was received."""
        known = self._loaded.get(revision)
        if known is None:
            with self.store.reading() as session:
                known = self._load(session, revision)
        return known.policy

    def _load(self, session: Session, revision: str) -> InForce:
        with self._loading:
            known = self._loaded.get(revision)
            if known is None:
                known = self._loaded[revision] = self.prepared(_sound(session, revision))
            return known

    def kept(self, session: Session, revision: str) -> PolicySet:
        """The set of any revision that was in force, from its stored text. Raises Misconfigured when it was changed."""
        known = self._loaded.get(revision)
        return known.policy if known is not None else _sound(session, revision)

    def require_sound(self) -> None:
        """Raises Misconfigured, or what else is wrong, when the revision in force cannot be read or was changed."""
        if self._fault is not None:
            raise self._fault

    def prepared(self, policy: PolicySet) -> InForce:
        """A policy set with its keyring built (kept in a file of its own, by revision)."""
        revision = revision_of(policy)
        return InForce(revision, policy, Keyring.open(self.data / "gnupg", revision, public_keys(policy)))

    def refresh(self) -> bool:
        """Look at what any process wrote: revision, suspensions, departures, signatures, clock. True if it changed."""
        with self.store.reading() as session:
            clock = session.get(ClockRow, 1)
            offset = timedelta(microseconds=clock.offset if clock else 0)
            facts = self.facts_at(session)
            before = (self._offset, self.facts, self._in_force)
            self._offset, self.facts = offset, facts
            has_policy = session.exec(select(InForceRow.number).limit(1)).first() is not None
            in_force, fault = None, None
            try:
                in_force = self.in_force_at(session) if has_policy else None
                if in_force is not None and in_force is not self._in_force:
                    _require_entry(session, in_force.revision)
            except Busy:
                raise
            except SafehandError as error:
                in_force, fault = None, error  # a policy that cannot be read permits nothing
        self._in_force, self._fault = in_force, fault
        return before != (offset, facts, in_force)

    # -- writing

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        """One write transaction at the exchange's time, under the revision in force."""
        revision = self._in_force.revision if self._in_force else NONE_YET
        with self.store.transaction(self.now(), revision) as tx:
            tx.now = max(tx.now, self.now())  # the wait for the lock is over: it is now
            yield tx

    # -- who and what, in the policy in force

    def person(self, person_id: str) -> Person:
        """The person, or Missing. Whoever is suspended, or whose member has left, is as good as absent."""
        return _present(self.policy.person(person_id), self.facts)

    def acting(self, session: Session, person_id: str) -> Person:
        """The person who acts, as this transaction sees them: a suspension of this very moment counts already."""
        return _present(self.in_force_at(session).policy.person(person_id), self.facts_at(session))

    def member(self, member_id: str) -> Member:
        member = self.policy.member(member_id)
        if member is None:
            raise Missing("There is no such member.")
        return member

    def exchange(self, exchange_id: str) -> Exchange:
        exchange = self.policy.exchange(exchange_id)
        if exchange is None:
            raise Missing("There is no such exchange.")
        return exchange

    def called(self, member_id: str) -> str:
        """The member's short name; its id when the policy no longer has it."""
        member = self.policy.member(member_id)
        return member.called if member else member_id

    def titled(self, exchange_id: str) -> str:
        """The exchange's short name; its id when the policy no longer has it."""
        exchange = self.policy.exchange(exchange_id)
        return exchange.called if exchange else exchange_id


def _present(person: Person | None, facts: Facts) -> Person:
    if person is None or person.id in facts.suspended:
        raise Missing("There is no such person, or they are suspended.")
    if person.member in facts.left:
        raise Missing("This organisation has left the agreement: only its attestation is still asked for.")
    return person


def _require_entry(session: Session, revision: str) -> None:
    """The ledger's last word on the policy must be that this revision came into force."""
    query = select(LedgerRow.data).where(col(LedgerRow.kind).in_(PUT_IN_FORCE)).order_by(col(LedgerRow.number).desc())
    told = session.exec(query.limit(1)).first()
    if told is None or json.loads(told).get("revision") != revision:
        raise Misconfigured(
            f"The ledger does not know that policy revision {revision[:12]} was put in force; it is refused.",
            code="NOT_IN_LEDGER",
        )


def _sound(session: Session, revision: str) -> PolicySet:
    """The stored text of a revision, loaded, if it still is what its hash says."""
    row = session.get(RevisionRow, revision)
    if row is None:
        raise Misconfigured(f"The text of policy revision {revision[:12]} is not in the database.")
    changed = Misconfigured(f"The stored text of policy revision {revision[:12]} was changed; it is refused.")
    try:
        policy = load_texts(texts_of(row.files))
    except ValueError:
        raise changed from None
    except PolicyInvalid as error:
        raise Misconfigured(
            f"The stored text of policy revision {revision[:12]} is no policy set; it is refused: {error.errors[0]}"
        ) from None
    if revision_of(policy) != revision:
        raise changed
    return policy


def texts_of(stored: str) -> dict[str, str]:
    """{file name: text} from its stored form. Raises ValueError when it is not such a thing."""
    found = json.loads(stored)
    if not isinstance(found, dict):
        raise ValueError("no mapping of files")
    return {str(name): str(text) for name, text in found.items()}
