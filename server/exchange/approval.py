"""Whether a file outside the schedule still needs a governance lead's approval (clause 2, R-026).

It needs it when the policy in force says so of its exchange, or when it was asked for once: no later change lets it go.
"""

from __future__ import annotations

from sqlmodel import Session

from server.domain.agreement import Exchange, Person, PolicySet
from server.domain.schedule import clock_words, moment_after
from server.store import Tx
from server.store.tables import AdHocRow, ConsignmentRow

APPROVAL = "approval"
"""The hold of a file that goes only when a governance lead approves it."""
NOT_APPROVED = "not-approved"
"""What stands in its place when nobody did: the file has ended."""


def awaits(session: Session, exchange: Exchange | None, consignment: ConsignmentRow) -> bool:
    """Whether it must not go yet."""
    row = session.get(AdHocRow, consignment.id)
    if row is not None:
        return row.approved_at is None
    return exchange is not None and exchange.obligation == "ad_hoc"


def ask(tx: Tx, exchange: Exchange, consignment: ConsignmentRow, member: str) -> None:
    """It waits from now on. `member` is the sender's name; the time to approve it begins when it is first asked for."""
    row = tx.session.get(AdHocRow, consignment.id)
    if row is None:
        until = moment_after(tx.now, exchange.ad_hoc.approve_within)
        row = AdHocRow(consignment=consignment.id, asked_at=tx.now, approve_by=until)
        tx.session.add(row)
    consignment.hold = APPROVAL
    consignment.hold_words = (
        f"It goes only if a governance lead of {member} approves it by {clock_words(row.approve_by, tx.now)}."
    )
    tx.session.add(consignment)
    tx.session.flush()


def approvers(policy: PolicySet, member: str, sender: str) -> tuple[Person, ...]:
    """Who may approve what `sender` (a person's id) sent for this member: nobody their own."""
    return tuple(p for p in policy.people_of(member) if p.id != sender and policy.may(p, "exchange.approve"))
