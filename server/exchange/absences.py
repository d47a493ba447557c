"""Who is away, and who stands in for them."""

from __future__ import annotations

from datetime import date, datetime

from sqlmodel import Session, col, select

from server.domain.audience import Away, Presence
from server.domain.schedule import london_day
from server.exchange.ground import Ground
from server.store.duty_tables import AbsenceRow


def presence(ground: Ground, session: Session, now: datetime) -> Presence:
    """Who is not to be told on the day of `now`, as this session sees it."""
    facts = ground.facts_at(session)
    rows = session.exec(select(AbsenceRow).where(col(AbsenceRow.ended_at).is_(None))).all()
    away = (Away(r.person, date.fromisoformat(r.from_day), date.fromisoformat(r.until_day), r.cover) for r in rows)
    return Presence(london_day(now), facts.suspended, facts.left, tuple(away))
