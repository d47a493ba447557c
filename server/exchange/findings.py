"""What a person has to look at: written down once, cleared when it is mended, never cleared when it is permanent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from server.domain.ledger import Event
from server.exchange.ground import Ground
from server.store import Tx
from server.store.duty_tables import FindingRow

SPOOL_MISSING, SPOOL_DAMAGED, PACKETS_MISSING = "SPOOL_MISSING", "SPOOL_DAMAGED", "PACKETS_MISSING"
HOLDING_BACK = (SPOOL_MISSING, SPOOL_DAMAGED, PACKETS_MISSING)
"""Findings that keep a sealed copy from being served and from being purged, until it is mended."""


@dataclass(frozen=True, slots=True)
class FindingView:
    """One finding: code, what it is about, a sentence, since when, and whether it can ever be cleared."""

    code: str
    subject: str
    words: str
    at: datetime
    permanent: bool
    cleared_at: datetime | None


class Findings:
    """Notes, clears and lists findings."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def note(self, tx: Tx, code: str, subject: str, words: str, *, permanent: bool = False) -> bool:
        """Write it down; False when it stands there already. One that was cleared stands again."""
        query = select(FindingRow).where(FindingRow.code == code, FindingRow.subject == subject)
        row = tx.session.exec(query).first()
        if row is not None and row.cleared_at is None:
            return False
        row = row or FindingRow(code=code, subject=subject, words=words, at=tx.now)
        row.words, row.at, row.cleared_at, row.permanent = words, tx.now, None, permanent
        tx.session.add(row)
        tx.record(Event("finding.noted", "exchange", (subject,), {"code": code, "permanent": permanent}))
        return True

    def clear(self, tx: Tx, code: str, subject: str) -> bool:
        """It is mended; False when there was nothing to clear, or it is permanent."""
        query = select(FindingRow).where(FindingRow.code == code, FindingRow.subject == subject)
        row = tx.session.exec(query).first()
        if row is None or row.cleared_at is not None or row.permanent:
            return False
        row.cleared_at = tx.now
        tx.session.add(row)
        tx.record(Event("finding.cleared", "exchange", (subject,), {"code": code}))
        return True

    def stands(self, code: str, subject: str) -> bool:
        """Whether it stands now."""
        query = select(FindingRow.id).where(
            FindingRow.code == code, FindingRow.subject == subject, col(FindingRow.cleared_at).is_(None)
        )
        with self._ground.store.reading() as session:
            return session.exec(query).first() is not None

    def open(self) -> tuple[FindingView, ...]:
        """Those that stand, oldest first."""
        query = select(FindingRow).where(col(FindingRow.cleared_at).is_(None)).order_by(col(FindingRow.id))
        with self._ground.store.reading() as session:
            rows = session.exec(query).all()
        return tuple(FindingView(r.code, r.subject, r.words, r.at, r.permanent, r.cleared_at) for r in rows)


def held_back(session: Session, delivery: str, consignment: str) -> str | None:
    """Why nobody is served this sealed copy and nothing ends it, as a sentence; None when nothing is known of it."""
    query = select(FindingRow.words).where(
        col(FindingRow.code).in_(HOLDING_BACK),
        col(FindingRow.subject).in_([delivery, consignment]),
        col(FindingRow.cleared_at).is_(None),
    )
    return session.exec(query.order_by(col(FindingRow.id)).limit(1)).first()
