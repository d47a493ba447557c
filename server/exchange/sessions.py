"""Who may log in, and who still may. From memory, fail closed: no policy, no key, a wrong network: nobody knows you.

Whether a person whose key is known may come in is the domain's decision: suspended, untrained, of a member that left …
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address

from sqlmodel import Session

from server.domain.agreement import Member, Person, SshKey
from server.domain.decision import Act, Decision, Deed, decide
from server.domain.errors import Missing
from server.domain.ledger import Event
from server.exchange.ground import Ground
from server.policy.public_keys import fingerprint

__all__ = ["Sessions", "Visitor", "fingerprint", "key_of", "require_at"]

ENDED = "Your access has ended. Ask your administrator."
SAME_AGAIN = timedelta(hours=1)
"""How long the same refused login adds nothing to the ledger."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """A person who is logged in over SFTP, and the key they came with ("SHA256:…")."""

    person: Person
    member: Member
    key: str
    label: str
    put_only: bool


def key_of(person: Person, key: str) -> SshKey | None:
    """The person's key with this fingerprint."""
    return next((own for own in person.ssh_keys if key and fingerprint(own.public) == key), None)


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """Somebody whose key the policy knows and whom the decision does not let in: the plain reason, and its codes."""

    person: str
    key: str
    codes: tuple[str, ...]
    sentence: str


class Sessions:
    """Answers the two questions of a login, from memory."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._recorded: dict[tuple[str, tuple[str, ...]], datetime] = {}
        self._recording = threading.Lock()

    def admit(self, person_id: str, key: str, address: str) -> Visitor | TurnedAway | None:
        """The visitor; None for an unknown person, a key not in the policy, or not from the key's networks.

        Whoever has such a key and may not log in (suspended, untrained, their member left …) is turned away: what it
        says is for nobody who has not signed with that key.
        """
        person = self._ground.policy.person(person_id) if self._ground.has_policy else None
        own = key_of(person, key) if person else None
        if person is None or own is None or not _from(own, address):
            return None
        decision = self._decision(person.id)
        if not decision.permit:
            return TurnedAway(person.id, key, tuple(sorted(decision.codes)), _farewell(decision))
        return Visitor(person, self._ground.member(person.member), key, own.label, own.put_only)

    def record(self, turned: TurnedAway) -> None:
        """Write a refused login into the ledger, once an hour for the same person and reasons. Raises Busy."""
        mark, now = (turned.person, turned.codes), self._ground.real()
        with self._recording:  # a client that tries again at once finds the first entry
            if now - self._recorded.get(mark, now - SAME_AGAIN) < SAME_AGAIN:
                return
            with self._ground.transaction() as tx:
                facts = {"codes": list(turned.codes), "key": turned.key}
                tx.record(Event("login.refused", turned.person, (), facts))
            self._recorded[mark] = now

    def welcome(self, visitor: Visitor) -> bool:
        """Whether this visitor could still be admitted with that key."""
        if not self._ground.has_policy:
            return False
        person = self._ground.policy.person(visitor.person.id)
        own = key_of(person, visitor.key) if person else None
        return (
            person is not None
            and own is not None
            and person.member == visitor.member.id
            and (own.put_only, own.networks) == self._limits(visitor)
            and self._decision(person.id).permit
        )

    def farewell(self, visitor: Visitor) -> str:
        """Why a session ends: the decision's reason, or that the key or the person is not in the policy any more."""
        decision = self._decision(visitor.person.id) if self._ground.has_policy else Decision(())
        return ENDED if decision.permit or not decision.reasons else _farewell(decision)

    def _decision(self, person_id: str) -> Decision:
        deed = Deed(Act.LOG_IN, person_id, self._ground.now(), facts=self._ground.facts)
        return decide(self._ground.policy, deed)

    def _limits(self, visitor: Visitor) -> tuple[bool, tuple[object, ...]]:
        own = key_of(visitor.person, visitor.key)
        return (own.put_only, own.networks) if own else (visitor.put_only, ())

    def require(self, visitor: Visitor) -> Person:
        """The person as the policy has them now; Missing when they are no longer welcome."""
        if not self.welcome(visitor):
            raise Missing(ENDED)
        return self._ground.person(visitor.person.id)


def require_at(ground: Ground, session: Session, visitor: Visitor) -> Person:
    """The visitor's person, if they and their key still count in this very transaction. Raises Missing."""
    person = ground.acting(session, visitor.person.id)
    deed = Deed(Act.LOG_IN, person.id, ground.now(), facts=ground.facts_at(session))
    permit = decide(ground.in_force_at(session).policy, deed).permit
    if key_of(person, visitor.key) is None or person.member != visitor.member.id or not permit:
        raise Missing(ENDED)
    return person


def _farewell(decision: Decision) -> str:
    return " ".join(rule.sentence for rule in decision.reasons)


def _from(key: SshKey, address: str) -> bool:
    if not key.networks:
        return True
    try:
        here = ip_address(address.split("%")[0])
    except ValueError:
        return False
    mapped = getattr(here, "ipv4_mapped", None)
    return any((mapped or here) in network for network in key.networks)
