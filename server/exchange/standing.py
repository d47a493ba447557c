"""What the store knows of members and people and the policy does not: who left, who signed here, what is open."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import func
from sqlmodel import Session, col, select

from server.domain.agreement import Person, PolicySet
from server.domain.delivery import SealedCopy
from server.domain.quorum import may_answer
from server.exchange.ground import Ground
from server.policy.plan import Standing
from server.store.tables import (
    ConsignmentRow,
    DeliveryRow,
    DepartureRow,
    DeskSessionRow,
    SignatureRow,
    SuspensionRow,
)


def left_at(session: Session) -> frozenset[str]:
    """The members that have left, as this transaction sees it."""
    return frozenset(session.exec(select(DepartureRow.member)).all())


def signed_at(session: Session) -> Mapping[str, frozenset[str]]:
    """Member -> hashes of the texts that a governance lead signed in chat or on the desk."""
    found: dict[str, frozenset[str]] = {}
    for member, text in session.exec(select(SignatureRow.member, SignatureRow.document_sha256)).all():
        found[member] = found.get(member, frozenset()) | {text}
    return found


def standing_at(ground: Ground, session: Session) -> Standing:
    """The facts that consequences of a policy depend on."""
    kept = (
        select(ConsignmentRow.exchange, func.count())
        .where(col(DeliveryRow.consignment) == col(ConsignmentRow.id), DeliveryRow.copy_state != SealedCopy.PURGED)
        .group_by(col(ConsignmentRow.exchange))
    )
    desks = select(DeskSessionRow.person, func.count()).group_by(col(DeskSessionRow.person))
    return Standing(
        ground.now(),
        deliveries=dict(session.exec(kept).all()),
        sessions=dict(session.exec(desks).all()),
        signed=signed_at(session),
        left=left_at(session),
    )


def can_answer(session: Session, policy: PolicySet, person: Person) -> bool:
    """Whether the person's answer to a proposal counts at this moment: not suspended, and of a member that is here."""
    suspended = session.get(SuspensionRow, person.id) is not None
    return not suspended and may_answer(policy, person, left_at(session))
