"""Which obligations there are: every directed pair of every round, made ahead; what has begun is never rewritten.

Members that are not ready take part as well. A pair that a new revision no longer asks for is withdrawn, one that it
asks for at another time gets that time, and one that comes back is asked for again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from sqlalchemy import insert
from sqlmodel import Session, col, or_, select

from server.domain.agreement import Calendar, Exchange, PolicySet
from server.domain.due import DueDate, due_ahead
from server.domain.ledger import Event
from server.domain.obligation import MET, Answer
from server.domain.schedule import add_months, london_day
from server.exchange.findings import Findings
from server.exchange.fulfilment import Fulfilment
from server.exchange.ground import Ground
from server.store import Tx
from server.store.duty_tables import FindingRow, ObligationRow
from server.store.tables import ConsignmentRow, NilRow

HORIZON_SHORT = "CALENDAR_HORIZON_SHORT"
SHORT_MONTHS = 6
"""A calendar that ends within so many months is told of."""
SCHEDULED = ("required", "best_efforts")
"""Obligations that come round by themselves."""
Ahead = frozenset[tuple[str, DueDate]]
Key = tuple[str, str, str, str]
"""Exchange, period, sender, recipient."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One obligation that the policy asks for."""

    kind: str
    opens: str
    due_at: datetime


@dataclass
class Gap:
    """What is there against what should be."""

    missing: dict[Key, Wanted] = field(default_factory=dict)
    other: list[tuple[ObligationRow, Wanted]] = field(default_factory=list)
    back: list[tuple[ObligationRow, Wanted]] = field(default_factory=list)
    gone: list[ObligationRow] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.missing or self.other or self.back or self.gone)


class Making:
    """Makes the rows of every round up to the horizon."""

    def __init__(self, ground: Ground, fulfilment: Fulfilment) -> None:
        self._ground, self._fulfilment, self._findings = ground, fulfilment, Findings(ground)
        self._made: tuple[str, date, frozenset[str]] | None = None
        """The revision, day and departed members for which everything is made."""
        self._rounds: tuple[str, frozenset[str], Ahead] | None = None
        """The revision, the departed members and the rounds for which every row was found to be there."""

    def make(self) -> int:
        """Everything that should be a row is one; how many rows were made or changed."""
        ground = self._ground
        looked_at = (ground.in_force.revision, london_day(ground.now()), ground.facts.left)
        if self._made == looked_at:
            return 0
        with ground.store.reading() as session:
            in_force, left = ground.in_force_at(session), ground.facts_at(session).left
            ahead = (in_force.revision, left, _ahead(in_force.policy, ground.now()))
            needed = self._is_new(ahead) and bool(_gap(session, in_force.policy, left, ground.now()))
            needed = needed or self._finding_moves(session, in_force.policy)
        changed = self._make() if needed else 0
        self._made, self._rounds = looked_at, ahead
        return changed

    def _is_new(self, ahead: tuple[str, frozenset[str], Ahead]) -> bool:
        """Whether there may be rows to make: on most days a round has passed and none has come."""
        if self._made is None or self._rounds is None or self._rounds[:2] != ahead[:2]:
            return True
        return not ahead[2] <= self._rounds[2]

    def _make(self) -> int:
        """Looked at again inside: another process may have been quicker, or another revision come into force."""
        with self._ground.transaction() as tx:
            in_force, left = self._ground.in_force_at(tx.session), self._ground.facts_at(tx.session).left
            gap = _gap(tx.session, in_force.policy, left, tx.now)
            _write(tx, gap, in_force.revision)
            _record(tx, gap)
            self._note_calendars(tx, in_force.policy)
            self._answer(tx, gap)
        return len(gap.missing) + len(gap.other) + len(gap.back) + len(gap.gone)

    def _answer(self, tx: Tx, gap: Gap) -> None:
        """What was sent before its row was there counts from the start."""
        fresh = {key[:3] for key in gap.missing} | {(row.exchange, row.period, row.sender) for row, _ in gap.back}
        if not fresh:
            return
        periods = sorted({period for _, period, _ in fresh})
        sent = select(ConsignmentRow.exchange, ConsignmentRow.period, ConsignmentRow.member)
        nils = select(NilRow.exchange, NilRow.period, NilRow.member)
        there = set(tx.session.exec(sent.where(col(ConsignmentRow.period).in_(periods)).distinct()).all())
        there |= set(tx.session.exec(nils.where(col(NilRow.period).in_(periods)).distinct()).all())
        everybody = [member.id for member in self._ground.in_force_at(tx.session).policy.members]
        for exchange, period, sender in sorted(fresh & there):
            self._fulfilment.touch(tx, exchange, period, sender, everybody)

    # -- calendars that end

    def _finding_moves(self, session: Session, policy: PolicySet) -> bool:
        query = select(FindingRow.subject).where(FindingRow.code == HORIZON_SHORT, col(FindingRow.cleared_at).is_(None))
        return set(session.exec(query).all()) != set(_short(policy, self._ground.now()))

    def _note_calendars(self, tx: Tx, policy: PolicySet) -> None:
        short = _short(policy, tx.now)
        for calendar_id, until in short.items():
            words = f"The calendar {calendar_id} ends on {until}: enter the next year's holidays in the policy set."
            self._findings.note(tx, HORIZON_SHORT, calendar_id, words)
        standing = select(FindingRow.subject).where(
            FindingRow.code == HORIZON_SHORT, col(FindingRow.cleared_at).is_(None)
        )
        for subject in tx.session.exec(standing).all():
            if subject not in short:
                self._findings.clear(tx, HORIZON_SHORT, subject)


def scheduled(policy: PolicySet) -> Iterator[tuple[Exchange, Calendar]]:
    """The exchanges whose obligations come round by themselves, with the calendars that they keep."""
    for exchange in policy.exchanges:
        recurrence, calendar = exchange.recurrence, policy.calendar_of(exchange)
        if exchange.obligation in SCHEDULED and recurrence and recurrence.window and calendar:
            yield exchange, calendar


def _ahead(policy: PolicySet, now: datetime) -> Ahead:
    """Every round up to the horizon, with its exchange."""
    horizon = policy.policy.horizon_months
    found = ((each.id, due_ahead(each, calendar, now, horizon)) for each, calendar in scheduled(policy))
    return frozenset((exchange, one) for exchange, rounds in found for one in rounds)


def pairs(policy: PolicySet, exchange: Exchange, left: frozenset[str] = frozenset()) -> tuple[tuple[str, str], ...]:
    """Every directed pair of members that the exchange is open to, those not ready included, who has left not."""
    inside = [m.id for m in policy.members if policy.takes_part(m.id, exchange) and m.id not in left]
    return tuple((sender, recipient) for sender in inside for recipient in inside if sender != recipient)


def _short(policy: PolicySet, now: datetime) -> Mapping[str, date]:
    """Calendars that obligations keep and that end too soon: {id: last day}."""
    near = add_months(london_day(now), SHORT_MONTHS)
    found = {calendar.id: calendar.covers_until for _, calendar in scheduled(policy)}
    return {name: until for name, until in found.items() if until < near}


def _gap(session: Session, policy: PolicySet, left: frozenset[str], now: datetime) -> Gap:
    rounds = {
        exchange.id: due_ahead(exchange, calendar, now, policy.policy.horizon_months)
        for exchange, calendar in scheduled(policy)
    }
    asked = {exchange.id: pairs(policy, exchange, left) for exchange, _ in scheduled(policy)}
    wanted = _wanted(policy, rounds, asked)
    gap, today, seen = Gap(), london_day(now).isoformat(), set[Key]()
    for row in _there(session, rounds, now):
        key = (row.exchange, row.period, row.sender, row.recipient)
        seen.add(key)
        _compare(gap, row, wanted.get(key), _beyond(row, asked, rounds), today, now)
    gap.missing = {key: one for key, one in wanted.items() if key not in seen}
    return gap


def _wanted(
    policy: PolicySet, rounds: Mapping[str, Sequence[DueDate]], asked: Mapping[str, Sequence[tuple[str, str]]]
) -> dict[Key, Wanted]:
    found: dict[Key, Wanted] = {}
    for exchange_id, ahead in rounds.items():
        kind = policy.exchange_by_id[exchange_id].obligation or ""
        for one in ahead:
            wanted = Wanted(kind, one.opens.isoformat(), one.due)
            period = str(one.period)
            found |= {(exchange_id, period, sender, to): wanted for sender, to in asked[exchange_id]}
    return found


def _there(session: Session, rounds: Mapping[str, Sequence[DueDate]], now: datetime) -> Sequence[ObligationRow]:
    """Rows of what comes round, of these periods or due from now on."""
    periods = sorted({str(one.period) for ahead in rounds.values() for one in ahead})
    query = select(ObligationRow).where(
        or_(col(ObligationRow.due_at) > now, col(ObligationRow.period).in_(periods)),
        col(ObligationRow.kind).in_(SCHEDULED),
    )
    return session.exec(query.order_by(col(ObligationRow.id))).all()


def _beyond(
    row: ObligationRow, asked: Mapping[str, Sequence[tuple[str, str]]], rounds: Mapping[str, Sequence[DueDate]]
) -> bool:
    """Whether it is only beyond the last round that is made: that says nothing about it yet."""
    if (row.sender, row.recipient) not in asked.get(row.exchange, ()):
        return False
    ahead = rounds.get(row.exchange, ())
    return not ahead or row.period > str(ahead[-1].period)


def _compare(gap: Gap, row: ObligationRow, wanted: Wanted | None, beyond: bool, today: str, now: datetime) -> None:
    """A row whose window has opened, or whose time has come, is left as it is."""
    withdrawn = row.answer == Answer.WITHDRAWN.value
    if withdrawn:
        if wanted is not None and row.due_at > now:
            gap.back.append((row, wanted))
        return
    if row.opens <= today or row.due_at <= now:
        return
    if wanted is None:
        if not beyond and Answer(row.answer) not in MET:
            gap.gone.append(row)
    elif (row.kind, row.opens, row.due_at) != (wanted.kind, wanted.opens, wanted.due_at):
        gap.other.append((row, wanted))


def _write(tx: Tx, gap: Gap, revision: str) -> None:
    new = [
        {
            "exchange": exchange, "period": period, "sender": sender, "recipient": recipient, "kind": one.kind,
            "opens": one.opens, "due_at": one.due_at, "revision": revision, "made_at": tx.now,
            "answer": Answer.NONE.value, "closed": False,
        }
        for (exchange, period, sender, recipient), one in gap.missing.items()
    ]  # fmt: skip
    if new:
        tx.session.execute(insert(ObligationRow), new)
    for row, one in (*gap.other, *gap.back):
        row.kind, row.opens, row.due_at, row.revision = one.kind, one.opens, one.due_at, revision
        row.answer = Answer.NONE.value if row.answer == Answer.WITHDRAWN.value else row.answer
        tx.session.add(row)
    for row in gap.gone:
        row.answer, row.revision = Answer.WITHDRAWN.value, revision
        tx.session.add(row)
    tx.session.flush()


def _record(tx: Tx, gap: Gap) -> None:
    """One entry an exchange and kind of change: numbers only."""
    made = [key[0] for key in gap.missing]
    moved, back = [row.exchange for row, _ in gap.other], [row.exchange for row, _ in gap.back]
    gone = [row.exchange for row in gap.gone]
    for exchange in dict.fromkeys(made):
        tx.record(Event("obligations.made", "exchange", (exchange,), {"made": made.count(exchange)}))
    for exchange in dict.fromkeys((*moved, *back, *gone)):
        facts = {
            "moved": moved.count(exchange), "withdrawn": gone.count(exchange), "asked_again": back.count(exchange),
        }  # fmt: skip
        tx.record(Event("obligations.changed", "exchange", (exchange,), facts))
