"""How the agreement is kept, as anybody may see it: who owes what, what is late, what waits, what runs out.

A member's people see every pair of the exchanges that the member takes part in, and of no other (R-114);
administrators and auditors see all. Nothing here is about the people in the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from sqlalchemy import or_
from sqlmodel import Session, col, select

from server.domain.agreement.terms import day_before
from server.domain.calendar import CalendarUncovered, last_of_month, working_days_after
from server.domain.decision import Act, Deed, decide
from server.domain.delivery import SealedCopy
from server.domain.delivery import Status as DeliveryStatus
from server.domain.due import months_of, sharing_year
from server.domain.errors import Forbidden, Missing
from server.domain.obligation import CHASED, Answer, Obligation, Standing, standing, words
from server.domain.renewals import OVER, Renewal, due
from server.domain.schedule import Period, day_words, in_words, london_day
from server.domain.tally import Row, Tally, by_month, rows, standings, tally
from server.exchange.attested import Attested, OverdueView
from server.exchange.findings import Findings, FindingView
from server.exchange.ground import Ground
from server.exchange.obligation_rows import due_between
from server.exchange.renewals import item
from server.exchange.yearly import Yearly, YearlyView
from server.store.duty_tables import HoldRow
from server.store.tables import ConsignmentRow, DeliveryRow

SEES_ALL = frozenset({"administrator", "auditor"})
NAMED = 5
"""How many recipients are named in one line."""
_WAITS = (DeliveryStatus.AVAILABLE, DeliveryStatus.COLLECTED, DeliveryStatus.QUERIED)


@dataclass(frozen=True, slots=True)
class Owed:
    """One obligation as it is shown: in which exchange, for which period, from whom to whom, and how it stands."""

    exchange: str
    exchange_name: str
    period: str
    period_words: str
    sender: str
    sender_name: str
    recipient: str
    recipient_name: str
    kind: str
    standing: Standing
    words: str
    due_at: datetime
    days_over: int
    """Calendar days in London since it was due; 0 while it is not over."""


@dataclass(frozen=True, slots=True)
class Unacknowledged:
    """A delivery that its recipient has not acknowledged: due on a day, None where no calendar tells."""

    delivery: str
    exchange: str
    exchange_name: str
    period_words: str
    sender: str
    sender_name: str
    recipient: str
    recipient_name: str
    due: date | None
    days_over: int
    asked: bool
    """The recipient has a question, and its sender is to answer."""
    gone: bool
    """It was never collected, and the exchange has no copy any more: nobody can do anything."""

    @property
    def words(self) -> str:
        """Where it stands, as a clause."""
        if self.gone:
            return "was never collected, and its time is over"
        if self.asked:
            return "has a question, which its sender answers"
        if self.due is None:
            return "waits for acknowledgement"
        return f"{'was' if self.days_over else 'is'} to be acknowledged by {day_words(self.due)}"


@dataclass(frozen=True, slots=True)
class Unattested:
    """A delivery whose use-by day has passed, and what its recipient, or its governance lead, still owes about it."""

    delivery: str
    exchange: str
    exchange_name: str
    period_words: str
    sender: str
    sender_name: str
    recipient: str
    recipient_name: str
    use_by: date
    days_over: int
    missing: str
    """destruction not attested, to be countersigned …"""

    @property
    def words(self) -> str:
        """Where it stands, as a clause."""
        return f"{self.missing}; the use-by day was {day_words(self.use_by)}"


@dataclass(frozen=True, slots=True)
class RunsOut:
    """Something with a last good day; `member` is empty for what is everybody's."""

    member: str
    words: str
    last: date
    over: bool


@dataclass(frozen=True, slots=True)
class Held:
    """A legal hold that stands on a delivery."""

    id: str
    delivery: str
    member: str
    member_name: str
    since: date


@dataclass(frozen=True, slots=True)
class Kept:
    """How one member kept the agreement in the year, as a sender."""

    member: str
    name: str
    standings: Mapping[Standing, int]
    tally: Tally


@dataclass(frozen=True, slots=True)
class Sight:
    """What one reader sees of one sharing year. `exchange` and `member` are what it was narrowed to, or None."""

    now: datetime
    year: int
    exchange: str | None
    member: str | None
    exchanges: tuple[tuple[str, str], ...]
    """(id, name) of every exchange that the reader may see something of."""
    members: tuple[Kept, ...]
    overdue: tuple[Owed, ...]
    """Of the present year, what is still late of the one before too: a new year forgives nothing."""
    owed: tuple[Owed, ...]
    """All of the year, in the order of their due times."""
    rows: tuple[Row, ...]
    months: tuple[tuple[date, Tally], ...]
    tally: Tally
    standings: Mapping[Standing, int]
    unacknowledged: tuple[Unacknowledged, ...]
    uncollected: tuple[Unacknowledged, ...]
    """What was never collected, and is gone."""
    unattested: tuple[Unattested, ...]
    runs_out: tuple[RunsOut, ...]
    statements: tuple[YearlyView, ...]
    """Those that a member should have given by now."""
    holds: tuple[Held, ...]
    findings: tuple[FindingView, ...]

    @property
    def past_their_day(self) -> tuple[Unacknowledged | Unattested, ...]:
        """Deliveries that their recipients should have acknowledged, or said to be destroyed, by now."""
        found: list[Unacknowledged | Unattested] = [one for one in self.unacknowledged if one.days_over]
        return (*found, *self.unattested)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Who looks: `member` None for whoever sees all."""

    member: str | None
    exchanges: frozenset[str]

    def sees(self, exchange: str, *members: str) -> bool:
        """Whether something of this exchange between these members may be seen."""
        return self.member is None or exchange in self.exchanges or self.member in members

    def told(self, obligation: Obligation) -> Obligation:
        """Why something cannot be sent is for the two whom it concerns."""
        if self.member in {None, obligation.sender, obligation.recipient}:
            return obligation
        return replace(obligation, reason=None)


@dataclass(frozen=True, slots=True)
class _Waits:
    unacknowledged: tuple[Unacknowledged, ...]
    uncollected: tuple[Unacknowledged, ...]
    unattested: tuple[Unattested, ...]
    holds: tuple[Held, ...]


class Status:
    """Reads for one person, or for the operator (no person)."""

    def __init__(self, ground: Ground, yearly: Yearly) -> None:
        self._ground, self._yearly = ground, yearly

    def concerns(self, person_id: str) -> bool:
        """Whether the person may look at all."""
        person = self._ground.policy.person(person_id)
        return person is not None and self._ground.policy.may(person, "status.read")

    def sight(
        self, person_id: str | None, *, exchange: str | None = None, member: str | None = None, year: int | None = None
    ) -> Sight:
        """What they see of a sharing year (else the present one), of one exchange, or to and from one member.

        Raises Missing for an exchange or a member that there is not, or that they may not know of; Forbidden for
        whoever has no role that looks.
        """
        now = self._ground.now()
        reader = self._reader(person_id, now)
        begins = sharing_year(london_day(now)) if year is None else year
        self._require(reader, exchange, member)
        first, *_, last = months_of(begins)
        last = last_of_month(last)
        with self._ground.store.reading() as session:
            every = due_between(session, first, last, exchange=exchange, member=member)
            there = (o for o in every if o.answer is not Answer.WITHDRAWN)
            seen = [reader.told(o) for o in there if reader.sees(o.exchange, o.sender, o.recipient)]
            left = self._left_late(session, reader, exchange, member, now) if year is None else []
            late = Attested(session, self._ground.policy, now).overdue()
            waiting = self._unacknowledged(session, reader, exchange, member, now)
            waits = _Waits(
                tuple(one for one in waiting if not one.gone),
                tuple(one for one in waiting if one.gone),
                tuple(self._unattested(one) for one in late if self._concerned(reader, one, exchange, member)),
                self._holds(session, reader, member),
            )
        given = self._yearly.every() if person_id is None else self._yearly.table(person_id)
        today = london_day(now)
        statements = tuple(one for one in given if one.until < today and member in {None, one.member})
        return self._sight(now, begins, exchange, member, reader, seen, left, waits, statements)

    def _left_late(
        self, session: Session, reader: _Reader, exchange: str | None, member: str | None, now: datetime
    ) -> list[Obligation]:
        """What is still late of the sharing year before the present one."""
        first, *_, last = months_of(sharing_year(london_day(now)) - 1)
        found = due_between(session, first, last_of_month(last), exchange=exchange, member=member)
        return [
            one
            for one in found
            if reader.sees(one.exchange, one.sender, one.recipient) and standing(one, now) is Standing.LATE
        ]

    def owes(self, person_id: str) -> str:
        """What the person's member owes now, as a clause; empty where it owes nothing, or they may not look."""
        if not self.concerns(person_id):
            return ""
        member = self._ground.person(person_id).member
        sight = self.sight(person_id, member=member)
        mine = [one for one in sight.owed if one.sender == member]
        late = sum(one.sender == member for one in sight.overdue)
        open_ = [one.due_at for one in mine if one.standing is Standing.DUE and one.kind in CHASED]
        told = [f"{late} {'is' if late == 1 else 'are'} late"] if late else []
        told += [f"{len(open_)} to send, the next by {in_words(min(open_))}"] if open_ else []
        return f"{self._ground.called(member)}: {', '.join(told)}" if told else ""

    # -- who may see what

    def _reader(self, person_id: str | None, now: datetime) -> _Reader:
        policy = self._ground.policy
        if person_id is None:
            return _Reader(None, frozenset())
        person = self._ground.person(person_id)
        decision = decide(policy, Deed(Act.LOOK, person.id, now, facts=self._ground.facts))
        if not decision.permit:
            raise Forbidden(decision.sentence)
        if SEES_ALL & set(person.roles):
            return _Reader(None, frozenset())
        return _Reader(person.member, frozenset(e.id for e in policy.exchanges if policy.takes_part(person.member, e)))

    def _require(self, reader: _Reader, exchange: str | None, member: str | None) -> None:
        if exchange is not None and not (self._ground.policy.exchange(exchange) and reader.sees(exchange)):
            raise Missing(f"There is no exchange called {exchange[:40]} that you may see.")
        if member is not None and self._ground.policy.member(member) is None:
            raise Missing(f"There is no member called {member[:40]}.")

    # -- reading

    def _unacknowledged(
        self, session: Session, reader: _Reader, exchange: str | None, member: str | None, now: datetime
    ) -> tuple[Unacknowledged, ...]:
        """What its recipient has not acknowledged, longest over first."""
        query = select(DeliveryRow, ConsignmentRow).where(
            col(DeliveryRow.consignment) == col(ConsignmentRow.id),
            col(DeliveryRow.status).in_([status.value for status in _WAITS]),
            col(DeliveryRow.available_at).is_not(None),
            or_(col(DeliveryRow.copy_state) != SealedCopy.PURGED, col(DeliveryRow.collected_at).is_(None)),
        )
        found = [
            self._waits(row, consignment, now)
            for row, consignment in session.exec(query.order_by(col(DeliveryRow.id))).all()
            if reader.sees(consignment.exchange, consignment.member, row.recipient)
            and exchange in {None, consignment.exchange}
            and member in {None, consignment.member, row.recipient}
        ]
        return tuple(sorted(found, key=lambda one: (-one.days_over, one.due or date.max, one.delivery)))

    def _waits(self, row: DeliveryRow, consignment: ConsignmentRow, now: datetime) -> Unacknowledged:
        asked = row.status is DeliveryStatus.QUERIED
        due = self._acknowledge_by(row, consignment)
        gone = row.copy_state is SealedCopy.PURGED
        over = max((london_day(now) - due).days, 0) if due and not asked and not gone else 0
        return Unacknowledged(
            row.id, consignment.exchange, self._ground.titled(consignment.exchange), _period_words(consignment.period),
            consignment.member, self._ground.called(consignment.member), row.recipient,
            self._ground.called(row.recipient), due, over, asked, gone,
        )  # fmt: skip

    def _acknowledge_by(self, row: DeliveryRow, consignment: ConsignmentRow) -> date | None:
        exchange = self._ground.policy.exchange(consignment.exchange)
        calendar = self._ground.policy.calendar_of(exchange) if exchange else None
        if exchange is None or calendar is None or row.available_at is None:
            return None
        count = int(exchange.acknowledge.within.removesuffix("wd"))
        try:
            return working_days_after(calendar, london_day(row.available_at), count)
        except CalendarUncovered:
            return None

    def _concerned(self, reader: _Reader, one: OverdueView, exchange: str | None, member: str | None) -> bool:
        seen = reader.sees(one.exchange, one.sender, one.member)
        return seen and exchange in {None, one.exchange} and member in {None, one.sender, one.member}

    def _unattested(self, one: OverdueView) -> Unattested:
        return Unattested(
            one.delivery, one.exchange, self._ground.titled(one.exchange), _period_words(one.period), one.sender,
            self._ground.called(one.sender), one.member, self._ground.called(one.member), day_before(one.since),
            one.days, one.missing,
        )  # fmt: skip

    def _holds(self, session: Session, reader: _Reader, member: str | None) -> tuple[Held, ...]:
        """Of the reader's own member, or of all."""
        query = select(HoldRow).where(col(HoldRow.released_at).is_(None)).order_by(col(HoldRow.id))
        return tuple(
            Held(row.id, row.delivery, row.member, self._ground.called(row.member), london_day(row.at))
            for row in session.exec(query).all()
            if reader.member in {None, row.member} and member in {None, row.member}
        )

    # -- putting it together

    def _sight(
        self, now: datetime, year: int, exchange: str | None, member: str | None, reader: _Reader,
        seen: list[Obligation], left: list[Obligation], waits: _Waits, statements: tuple[YearlyView, ...],
    ) -> Sight:  # fmt: skip
        policy = self._ground.policy
        shown = [e for e in policy.exchanges if reader.sees(e.id) and e.recurrence is not None]
        owed = [self._owed(o, now) for o in seen]
        # narrowed to a member, the numbers are of what it owes; the matrix shows both ways
        judged = [o for o in seen if member in {None, o.sender}]
        return Sight(
            now, year, exchange, member,
            exchanges=tuple((e.id, e.called) for e in shown),
            members=self._kept(judged, member, now),
            overdue=tuple(one for one in (*(self._owed(o, now) for o in left), *owed) if one.standing is Standing.LATE),
            owed=tuple(owed),
            rows=rows(seen, policy.member_by_id, year, now),
            months=by_month(judged, year, now),
            tally=tally(judged, now),
            standings=standings(judged, now),
            unacknowledged=waits.unacknowledged,
            uncollected=waits.uncollected,
            unattested=waits.unattested,
            runs_out=self._running_out(reader, member, now),
            statements=statements,
            holds=waits.holds,
            findings=Findings(self._ground).open() if reader.member is None and member is None else (),
        )  # fmt: skip

    def _owed(self, one: Obligation, now: datetime) -> Owed:
        stands = standing(one, now)
        over = (london_day(now) - london_day(one.due_at)).days if stands is Standing.LATE else 0
        return Owed(
            one.exchange, self._ground.titled(one.exchange), one.period, _period_words(one.period),
            one.sender, self._ground.called(one.sender), one.recipient,
            self._ground.called(one.recipient) if one.recipient else "done elsewhere",
            one.kind, stands, words(one, now), one.due_at, over,
        )  # fmt: skip

    def _kept(self, seen: Iterable[Obligation], member: str | None, now: datetime) -> tuple[Kept, ...]:
        """Each member that owes something, in the order of the policy; then those that the policy no longer has."""
        by_sender: dict[str, list[Obligation]] = {m: [] for m in self._ground.policy.member_by_id}
        for one in seen:
            by_sender.setdefault(one.sender, []).append(one)
        return tuple(
            Kept(sender, self._ground.called(sender), standings(found, now), tally(found, now))
            for sender, found in by_sender.items()
            if found and member in {None, sender}
        )

    def _running_out(self, reader: _Reader, member: str | None, now: datetime) -> tuple[RunsOut, ...]:
        """What is of the reader's own member or everybody's, soonest first."""
        in_force = self._ground.in_force
        found = [self._runs_out(renewal) for renewal in due(in_force.policy, in_force.key_ends, now)]
        mine = [
            one
            for one in found
            if not one.member or (reader.member in {None, one.member} and member in {None, one.member})
        ]
        return tuple(sorted(mine, key=lambda one: (one.last, one.member, one.words)))

    def _runs_out(self, renewal: Renewal) -> RunsOut:
        """In the words of its reminder, as one sentence."""
        over = renewal.stage(london_day(self._ground.now())) == OVER
        worded = item(renewal, over, self._ground.policy)
        return RunsOut(renewal.member, f"{worded.label} {worded.words}", renewal.last, over)


def together(owed: Iterable[Owed]) -> list[tuple[Owed, ...]]:
    """What one sender owes in one exchange for one period and stands alike, each as one; in order of time."""
    found: dict[tuple[str, ...], list[Owed]] = {}
    for one in owed:
        found.setdefault((one.sender, one.exchange, one.period, one.standing), []).append(one)
    return [tuple(group) for group in found.values()]


def to_words(owed: Sequence[Owed]) -> str:
    """To whom: to Essex and Kent; of more than a few how many; nobody for what is done elsewhere."""
    if not owed[0].recipient:
        return "done elsewhere"
    names = [one.recipient_name for one in owed]
    return f"to {listed(names) if len(names) <= NAMED else f'{len(names)} members'}"


def listed(names: Sequence[str]) -> str:
    """Essex, Kent and Medway."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _period_words(period: str) -> str:
    found = Period.parse(period)
    return found.words if found else period
