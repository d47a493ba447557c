"""A key that somebody proposes, as those who must agree see it: they hear its end by phone and say it, or say nothing.

Whose key it is never approves it. The same key with a later end is approved by one other person of the same member, or
by an administrator.
"""

from __future__ import annotations

from sqlmodel import Session, col, select

from server.domain.agreement import Person, PolicySet
from server.domain.errors import Forbidden, Refused
from server.domain.notice import Button
from server.domain.quorum import ChangeClass
from server.policy.public_keys import fingerprint
from server.store.tables import KeyProposalRow, ProposalRow

HEARD = 8
"""So many characters of a fingerprint's end are said."""
OPEN = "open"


def key_of(session: Session, proposal: ProposalRow) -> KeyProposalRow | None:
    """The key that the proposal would put into the policy; None for any other proposal."""
    return session.exec(select(KeyProposalRow).where(KeyProposalRow.proposal == proposal.id)).first()


def is_gpg(fingerprint: str) -> bool:
    """An OpenPGP fingerprint, not that of an SSH key."""
    return not fingerprint.startswith("SHA256:")


def marks_of(person: Person) -> set[str]:
    """The fingerprints of everything that a person logs in with, or opens files with."""
    return {key.fingerprint for key in person.gpg_keys} | {fingerprint(key.public) for key in person.ssh_keys}


def left_out(session: Session, before: PolicySet, after: PolicySet) -> tuple[str, ...]:
    """Keys that came through a mailbox and are in force, and that this set does not have: a sentence each.

    Files that an administrator keeps do not have them until they are taken over.
    """
    query = select(KeyProposalRow).where(KeyProposalRow.status == "approved").order_by(col(KeyProposalRow.id))
    found = []
    for row in session.exec(query).all():
        old, new = before.person(row.person), after.person(row.person)
        if old is not None and new is not None and row.fingerprint in marks_of(old) - marks_of(new):
            found.append(
                f"Key {row.fingerprint} of {row.person} came through their mailbox and is not in these files: take it "
                f"over first (safehand policy show {before.policy.version} --file people.yaml), unless it is to go."
            )
    return tuple(found)


def answers_for(policy: PolicySet, person: Person, key: KeyProposalRow, classes: frozenset[ChangeClass]) -> bool:
    """Whether this approver's answer to this key can count."""
    owner = policy.person(key.person)
    if person.id == key.person or owner is None:
        return False
    if ChangeClass.KEY_REFRESH not in classes:
        return True
    return person.member == owner.member or "administrator" in person.roles


def require_checked(
    policy: PolicySet, person: Person, key: KeyProposalRow, classes: frozenset[ChangeClass], heard: str
) -> None:
    """Raises Forbidden for the key's own person, Refused unless they say how the fingerprint ends."""
    if person.id == key.person:
        raise Forbidden("Nobody approves a key of their own: somebody else checks it with you by phone.")
    if not answers_for(policy, person, key, classes):
        raise Forbidden("Another person of the same organisation, or an administrator, looks at that.")
    said, end = heard.replace(" ", ""), key.fingerprint[-HEARD:]
    if is_gpg(key.fingerprint):
        said = said.upper()
    if not said:
        raise Refused(
            f"Check the key with {key.person} by phone, and say the last {HEARD} characters of the fingerprint "
            "that you heard.",
            code="NOT_CHECKED",
        )
    if said != end:
        raise Refused(
            "That is not how the fingerprint of this key ends. Ask once more by phone; if it differs, refuse the key.",
            code="NOT_THIS_KEY",
        )


def key_buttons(person: Person, key: KeyProposalRow, *, may: bool, answered: str | None) -> tuple[Button, ...]:
    """What the person can press while it is open: its owner withdraws; who answered may still refuse."""
    proposal = key.proposal or ""
    if person.id == key.person:
        return (Button("withdraw-key", "Withdraw", proposal, "plain"),)
    if not may or answered == "refused":
        return ()
    refuse = Button("refuse-key", "Refuse", proposal, "danger", asks_reason=True)
    return (refuse,) if answered else (Button("approve-key", "Approve", proposal, "primary"), refuse)
