"""What goes when: the exchange's sealed copies against the retention rules in force, looked at by a duty or by hand.

Each copy is looked at by itself, in a transaction of its own: one that fails does not stop the others. A hold keeps
it, and that is written down once. A copy that no rule speaks of is a finding.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select

from server.domain.agreement import PolicySet, RetentionRule
from server.domain.delivery import VISIBLE, SealedCopy, Status
from server.domain.errors import SafehandError
from server.domain.ledger import Event, text_of
from server.domain.retention import StoredCopy, Verdict, verdict
from server.domain.schedule import london_day
from server.exchange.delivery import EXCHANGE, Deliveries
from server.exchange.disposal import holds_on
from server.exchange.findings import Findings, held_back
from server.exchange.ground import Ground
from server.exchange.holds import WAITS_UNDER_HOLD
from server.exchange.outbox_rows import pair_of
from server.store import Tx
from server.store.duty_tables import FindingRow, HoldRow
from server.store.tables import ConsignmentRow, DeliveryRow

UNCOVERED = "RETENTION_UNCOVERED"
_STUCK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Disposed:
    """What a disposal by hand came to: ids of what should have gone, of what went, and (id, why) of what did not."""

    expected: tuple[str, ...]
    done: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]


class Retention:
    """Judges every stored copy, and ends those whose time has come."""

    def __init__(self, ground: Ground, deliveries: Deliveries, findings: Findings) -> None:
        self._ground, self._deliveries, self._findings = ground, deliveries, findings
        self._looked: datetime | None = None
        self._whole: tuple[str, date] | None = None
        """The revision and the day in London for which every copy was looked at."""
        self._stuck: dict[str, float] = {}

    def verdicts(self) -> tuple[Verdict, ...]:
        """What becomes of every copy that is here, in the order in which they go; what nothing ends comes last."""
        with self._ground.store.reading() as session:
            found = self._judged(session)
        return tuple(sorted(found, key=lambda v: (v.goes_at is None, v.goes_at or self._ground.now(), v.delivery)))

    def clear_due(self) -> int:
        """Look once in each minute of the exchange's clock; how many copies ended.

        At every copy once a day and revision; in between only at those that may go on any minute.
        """
        now = self._ground.now()
        minute = now.replace(second=0, microsecond=0)
        if self._looked == minute:
            return 0
        with self._ground.store.reading() as session:
            whole = (self._ground.in_force_at(session).revision, london_day(now))
            found = self._judged(session, None if whole != self._whole else _may_go(now))
            noted = self._noted(session)
        if whole != self._whole:
            self._forget_gone(noted, {each.delivery for each in found})
        real, done = time.monotonic(), 0
        for each in found:
            if self._needs_a_look(each, noted, now) and self._stuck.get(each.delivery, 0) <= real:
                self._stuck[each.delivery] = real + _STUCK_SECONDS
                done += self._settle(each.delivery, EXCHANGE)
                del self._stuck[each.delivery]
        self._looked, self._whole = minute, whole
        return done

    def dispose(self, *, by: str) -> Disposed:
        """End everything whose time has come, now. What cannot end is said, and the others go."""
        now = self._ground.now()
        expected, done, failed = [], [], []
        for each in self.verdicts():
            if not each.is_due(now) or each.held_by:
                continue
            expected.append(each.delivery)
            try:
                why = None if self._settle(each.delivery, by) else self._why_not(each.delivery)
                if why is None:
                    done.append(each.delivery)
                else:
                    failed.append((each.delivery, why))
            except (SafehandError, OSError) as error:
                why = error.sentence if isinstance(error, SafehandError) else "the disk says no"
                failed.append((each.delivery, why))
        return Disposed(tuple(expected), tuple(done), tuple(failed))

    # -- inside

    def _why_not(self, delivery_id: str) -> str | None:
        """Why it did not go; None when another process was quicker."""
        with self._ground.store.reading() as session:
            row, consignment = pair_of(session, delivery_id)
            if row.copy_state is SealedCopy.PURGED:
                return None
            return held_back(session, row.id, consignment.id) or "A legal hold was placed meanwhile."

    def _judged(self, session: Session, only: ColumnElement[bool] | None = None) -> list[Verdict]:
        policy = self._ground.in_force_at(session).policy
        query = (
            select(DeliveryRow, ConsignmentRow)
            .join(ConsignmentRow, col(DeliveryRow.consignment) == col(ConsignmentRow.id))
            .where(col(DeliveryRow.copy_state).in_([SealedCopy.KEPT, SealedCopy.HELD]))
        )
        if only is not None:
            query = query.where(only)
        holds: dict[str, list[str]] = {}
        standing = select(HoldRow).where(col(HoldRow.released_at).is_(None)).order_by(col(HoldRow.id))
        for hold in session.exec(standing).all():
            holds.setdefault(hold.delivery, []).append(hold.id)
        return [
            verdict(_copy(row, consignment, holds.get(row.id, ())), _rule(policy, consignment))
            for row, consignment in session.exec(query).all()
        ]

    def _noted(self, session: Session) -> frozenset[tuple[str, str]]:
        """The findings of ours that stand, so that nothing is written twice."""
        query = select(FindingRow).where(
            col(FindingRow.code).in_([UNCOVERED, WAITS_UNDER_HOLD]), col(FindingRow.cleared_at).is_(None)
        )
        return frozenset((row.code, row.subject) for row in session.exec(query).all())

    def _forget_gone(self, noted: frozenset[tuple[str, str]], here: set[str]) -> None:
        """A copy that has ended by itself needs nobody's look any more."""
        for code, subject in noted:
            if code == UNCOVERED and subject not in here:
                with self._ground.transaction() as tx:
                    self._findings.clear(tx, code, subject)

    def _needs_a_look(self, each: Verdict, noted: frozenset[tuple[str, str]], now: datetime) -> bool:
        if ((UNCOVERED, each.delivery) in noted) is each.covered:
            return True
        if not each.is_due(now):
            return False
        return not each.held_by or any((WAITS_UNDER_HOLD, hold) not in noted for hold in each.held_by)

    def _settle(self, delivery_id: str, actor: str) -> bool:
        """Judge it again inside the transaction, and do what follows; True when its copy ended."""
        with self._ground.transaction() as tx:
            row, consignment = pair_of(tx.session, delivery_id)
            if row.copy_state is SealedCopy.PURGED or _is_held_back(tx.session, row):
                return False
            rule = _rule(self._ground.in_force_at(tx.session).policy, consignment)
            found = verdict(_copy(row, consignment, holds_on(tx.session, row.id)), rule)
            self._cover(tx, found)
            if not found.is_due(tx.now):
                return False
            if found.held_by:
                self._wait(tx, found)
                return False
            self._findings.clear(tx, UNCOVERED, found.delivery)
            return self._deliveries.clear(
                tx, row, consignment, found, actor=actor, rule=rule.id if rule is not None else None
            )

    def _cover(self, tx: Tx, found: Verdict) -> None:
        """A copy that no rule in force speaks of needs a person; one that has a rule again does not."""
        if found.covered:
            self._findings.clear(tx, UNCOVERED, found.delivery)
            return
        ends = "its use-by day still ends it" if found.goes_at is not None else "nothing ends it"
        words = f"No retention rule in force speaks of the copy of {found.delivery}: {ends}."
        self._findings.note(tx, UNCOVERED, found.delivery, words)

    def _wait(self, tx: Tx, found: Verdict) -> None:
        """Its time has come and a hold keeps it: written down once for each hold."""
        due = text_of(found.goes_at) if found.goes_at else None
        for hold in found.held_by:
            words = f"The copy of {found.delivery} should have gone ({found.words}); {hold} keeps it."
            if self._findings.note(tx, WAITS_UNDER_HOLD, hold, words):
                facts = {"rule": found.rule, "due": due}
                tx.record(Event("retention.held", EXCHANGE, (found.delivery, hold), facts))


def _is_held_back(session: Session, row: DeliveryRow) -> bool:
    """A damaged copy stays as it is while somebody could still be served it."""
    return row.status in VISIBLE and held_back(session, row.id, row.consignment) is not None


def _may_go(now: datetime) -> ColumnElement[bool]:
    """What can end between two looks at everything: its use-by day is over, or a grace is running."""
    ended = (Status.ACKNOWLEDGED, Status.REJECTED, Status.SUPERSEDED, Status.RECALLED)
    over = col(DeliveryRow.use_by) < london_day(now).isoformat()
    return over | col(DeliveryRow.status).in_([status.value for status in ended])


def _rule(policy: PolicySet, consignment: ConsignmentRow) -> RetentionRule | None:
    """The retention rule in force for what the consignment carries; None when its exchange has left the policy."""
    exchange = policy.exchange(consignment.exchange)
    return policy.retention_of(exchange) if exchange is not None else None


def _copy(row: DeliveryRow, consignment: ConsignmentRow, held_by: Iterable[str]) -> StoredCopy:
    return StoredCopy(
        row.id, row.status, consignment.received_at, row.available_at, row.acknowledged_at, row.ended_at,
        date.fromisoformat(row.use_by) if row.use_by else None, tuple(held_by),
    )  # fmt: skip
