"""What the consequences of a policy depend on besides the policy, and whose answer counts at this moment."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func
from sqlmodel import Session, col, select

from server.domain.agreement import Person, PolicySet
from server.domain.decision import Act, Deed, Facts, decide
from server.domain.delivery import SealedCopy
from server.domain.quorum import may_answer
from server.exchange.ground import Ground
from server.policy.plan import Standing
from server.store.tables import (
    ConsignmentRow,
    DeliveryRow,
    DeskSessionRow,
)


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
        facts=ground.facts_at(session),
        deliveries=dict(session.exec(kept).all()),
        sessions=dict(session.exec(desks).all()),
    )


def can_answer(policy: PolicySet, person: Person, facts: Facts, now: datetime) -> bool:
    """Whether the person's answer to a proposal counts at this moment: role, verb, not suspended, member not left."""
    return may_answer(policy, person) and decide(policy, Deed(Act.APPROVE, person.id, now, facts=facts)).permit
