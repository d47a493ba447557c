"""New public keys that people propose. A proposal changes nothing: the key counts when the policy has it."""

from __future__ import annotations

from sqlmodel import select

from server.domain import guard
from server.domain.errors import Forbidden, Refused
from server.domain.ledger import Event
from server.exchange.ground import Ground
from server.exchange.sessions import Sessions, Visitor, fingerprint
from server.policy.public_keys import SSH_TYPES, ssh_objection
from server.seal.armour import public_key
from server.seal.packets import BadPackets
from server.store.tables import KeyProposalRow

_ARMOUR = "-----BEGIN PGP"


class Keys:
    """Takes what is dropped in /keys/mine/."""

    def __init__(self, ground: Ground, sessions: Sessions) -> None:
        self._ground, self._sessions = ground, sessions

    def propose(self, visitor: Visitor, name: bytes, content: bytes) -> str:
        """Keep a proposed public key and tell those who can put it into the policy. Raises Refused for all else."""
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
        with self._ground.transaction() as tx:
            query = select(KeyProposalRow).where(KeyProposalRow.person == person.id, KeyProposalRow.fingerprint == mark)
            if tx.session.exec(query).first() is not None:
                return "This key was proposed already; it is waiting for approval."
            row = KeyProposalRow(person=person.id, name=clean, text=text, fingerprint=mark, at=tx.now)
            tx.session.add(row)
            about = tx.record(Event("key.proposed", person.id, (), {"fingerprint": mark, "key": visitor.key}))
            for other in self._ground.policy.people:
                if (
                    other.member == person.member and "governance_lead" in other.roles
                ) or "administrator" in other.roles:
                    facts = {"person": person.id, "fingerprint": mark}
                    notice = self._ground.notices.notice(
                        "key-proposed", person=other.id, member=other.member, thread=f"key:{person.id}:{mark}",
                        facts=facts, tone="attention",
                    )  # fmt: skip
                    tx.notify(notice, about=about)
        return f"Key {mark} is proposed. It counts when two people have checked it and it stands in the policy."


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
