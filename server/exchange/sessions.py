"""Who may log in, and who still may. From memory, fail closed: no policy, no key, suspended, a wrong network: no."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from sqlmodel import Session

from server.domain.agreement import Member, Person, SshKey
from server.domain.errors import Missing
from server.exchange.ground import Ground
from server.policy.public_keys import fingerprint

__all__ = ["Sessions", "Visitor", "fingerprint", "key_of", "require_at"]


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


class Sessions:
    """Answers the two questions of a login, from memory."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def admit(self, person_id: str, key: str, address: str) -> Visitor | None:
        """The visitor, or None: unknown person, key not in the policy, suspended, or not from the key's networks."""
        if not self._ground.has_policy or person_id in self._ground.suspended:
            return None
        person = self._ground.policy.person(person_id)
        own = key_of(person, key) if person else None
        if person is None or own is None or not _from(own, address):
            return None
        return Visitor(person, self._ground.member(person.member), key, own.label, own.put_only)

    def welcome(self, visitor: Visitor) -> bool:
        """Whether this visitor could still be admitted with that key."""
        if not self._ground.has_policy or visitor.person.id in self._ground.suspended:
            return False
        person = self._ground.policy.person(visitor.person.id)
        own = key_of(person, visitor.key) if person else None
        return (
            person is not None
            and own is not None
            and person.member == visitor.member.id
            and (own.put_only, own.networks) == self._limits(visitor)
        )

    def _limits(self, visitor: Visitor) -> tuple[bool, tuple[object, ...]]:
        own = key_of(visitor.person, visitor.key)
        return (own.put_only, own.networks) if own else (visitor.put_only, ())

    def require(self, visitor: Visitor) -> Person:
        """The person as the policy has them now; Missing when they are no longer welcome."""
        if not self.welcome(visitor):
            raise Missing("Your access has ended. Ask your administrator.")
        return self._ground.person(visitor.person.id)


def require_at(ground: Ground, session: Session, visitor: Visitor) -> Person:
    """The visitor's person, if they and their key still count in this very transaction. Raises Missing."""
    person = ground.acting(session, visitor.person.id)
    if key_of(person, visitor.key) is None or person.member != visitor.member.id:
        raise Missing("Your access has ended. Ask your administrator.")
    return person


def _from(key: SshKey, address: str) -> bool:
    if not key.networks:
        return True
    try:
        here = ip_address(address.split("%")[0])
    except ValueError:
        return False
    mapped = getattr(here, "ipv4_mapped", None)
    return any((mapped or here) in network for network in key.networks)
