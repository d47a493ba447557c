"""The chase of an acknowledgement: its recipient every few working days, then the lead; and the sender of what nobody
collects.

What it is about: `ack:D-…` for the recipient, `uncollected:D-…` for the sender, `nudge:D-…` for a nudge by the sender.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from functools import partial

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select

from server.domain.agreement import Calendar, Exchange, PolicySet
from server.domain.audience import Hat
from server.domain.calendar import CalendarUncovered, working_days_after, working_until
from server.domain.delivery import SealedCopy, Status
from server.domain.errors import Forbidden, Missing, Refused
from server.domain.ledger import Event
from server.domain.notice import Button
from server.domain.pacing import next_reminding
from server.domain.schedule import LONDON, clock_words, day_words, london_day
from server.exchange.chased import Ask, Item, Planned
from server.exchange.delivery import Outcome
from server.exchange.ground import Ground
from server.exchange.outbox_rows import pair_of
from server.exchange.telling import period_words, status_words
from server.store.duty_tables import StageRow
from server.store.tables import ConsignmentRow, DeliveryRow

ACK, UNCOLLECTED, NUDGE = "ack", "uncollected", "nudge"
LEAD, NOT_COLLECTED, AGAIN, GONE = "lead", "not-collected", "not-collected-use-by", "gone"
AT = time(9, 30)
"""When a stage falls due on its day, by London's clock."""
BEFORE_USE_BY = 2
"""Working days before the use-by day on which the sender hears again that nobody collected it."""
GONE_SHOWN_DAYS = 7
WAITS = frozenset({Status.AVAILABLE, Status.COLLECTED, Status.QUERIED})
"""What is not settled between the two members."""
_LABEL = 60

Pair = tuple[DeliveryRow, ConsignmentRow]


class AcknowledgementChase:
    """What is planned, asked and listed about deliveries that wait for their acknowledgement."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    @property
    def prefixes(self) -> frozenset[str]:
        """`ack`, `uncollected` and `nudge`."""
        return frozenset({ACK, UNCOLLECTED, NUDGE})

    # -- planning

    def plan(self, session: Session, now: datetime) -> Iterable[Planned]:
        """The stages of every delivery that waits."""
        policy = self._ground.in_force_at(session).policy
        for row, consignment in _pairs(session, col(DeliveryRow.status).in_([status.value for status in WAITS])):
            exchange = policy.exchange(consignment.exchange)
            if row.available_at is None or exchange is None:
                continue
            if row.copy_state is not SealedCopy.PURGED:
                yield from _planned(policy, exchange, row, row.available_at)
            elif row.collected_at is None:
                yield Planned(f"{UNCOLLECTED}:{row.id}", GONE, min(now, _over(row, now)))

    # -- asking

    def ask(self, session: Session, about: str, stage: str, now: datetime) -> Ask | None:
        """The recipient's data managers, at last its leads; the sender's designated persons; or nobody any more."""
        kind, _, delivery_id = about.partition(":")
        row = session.get(DeliveryRow, delivery_id)
        consignment = session.get(ConsignmentRow, row.consignment) if row else None
        if row is None or consignment is None or row.status not in WAITS:
            return None
        gone = row.copy_state is SealedCopy.PURGED
        facts = (("delivery", row.id), ("status", row.status.value))
        if kind == UNCOLLECTED:
            told = row.collected_at is None and gone == (stage == GONE) and row.status is not Status.QUERIED
            return Ask((Hat(consignment.member, "designated_person"),), facts=facts) if told else None
        if gone or row.status is Status.QUERIED:
            return None
        exchange = self._ground.in_force_at(session).policy.exchange(consignment.exchange)
        role = exchange.acknowledge.then if stage == LEAD and exchange else "data_manager"
        return Ask((Hat(row.recipient, role),), facts=facts)

    # -- listing

    def items(self, session: Session, hat: Hat, now: datetime) -> Iterable[Item]:
        """For data managers what to acknowledge, for leads what was chased in vain, for senders what stays behind."""
        policy = self._ground.in_force_at(session).policy
        if hat.role == "data_manager":
            yield from self._to_acknowledge(session, policy, hat.member, now)
        if hat.role == "designated_person":
            yield from self._of_sender(session, hat.member, now)
        yield from self._escalated(session, policy, hat, now)

    def _to_acknowledge(self, session: Session, policy: PolicySet, member: str, now: datetime) -> Iterator[Item]:
        pairs = _pairs(session, *_waiting_at(member))
        nudged = _done(session, NUDGE, [row.id for row, _ in pairs], {f"{NUDGE}-{london_day(now).isoformat()}"})
        for row, consignment in pairs:
            asks = f"; {self._ground.called(consignment.member)} asks for it today" if row.id in nudged else ""
            due = _within(policy, policy.exchange(consignment.exchange), row)
            collect = "" if row.collected_at else "; collect it, then acknowledge"
            yield Item(
                f"{ACK}:{row.id}", "acknowledge", self._label(row, consignment),
                f"{self._what(consignment)}; waits since {_since(row, now)}{asks}{collect}", due,
                "attention" if due is not None and due < now else "info", _answers(row),
                "" if row.collected_at else f"inbox/{consignment.exchange}/{consignment.period}/{consignment.member}/",
            )  # fmt: skip

    def _escalated(self, session: Session, policy: PolicySet, hat: Hat, now: datetime) -> Iterator[Item]:
        """What was chased in vain: for whom it was escalated to."""
        pairs = _pairs(session, *_waiting_at(hat.member))
        told = _done(session, ACK, [row.id for row, _ in pairs], {LEAD})
        for row, consignment in pairs:
            exchange = policy.exchange(consignment.exchange)
            if row.id in told and exchange is not None and exchange.acknowledge.then == hat.role:
                yield Item(
                    f"{ACK}:{row.id}", "overdue", self._label(row, consignment),
                    f"{self._what(consignment)}; nobody has acknowledged it since {_since(row, now)}, though "
                    "your data managers were reminded", None, "bad",
                )  # fmt: skip

    def _of_sender(self, session: Session, member: str, now: datetime) -> Iterator[Item]:
        status = col(DeliveryRow.status).in_([status.value for status in WAITS])
        pairs = _pairs(session, status, col(ConsignmentRow.member) == member)
        silent = [row.id for row, _ in pairs if row.collected_at is None and row.status is not Status.QUERIED]
        told = _done(session, UNCOLLECTED, silent, {NOT_COLLECTED, AGAIN, GONE})
        for row, consignment in pairs:
            if row.status is Status.QUERIED:
                yield self._queried(row, consignment)
            elif row.id in told and row.copy_state is not SealedCopy.PURGED:
                yield self._uncollected(row, consignment, now)
            elif row.id in told and _lately(row, now):
                yield self._gone(row, consignment)

    def _queried(self, row: DeliveryRow, consignment: ConsignmentRow) -> Item:
        words = f"{self._what(consignment)}; they have a question: {row.problem}. Answer them, or send a new file"
        return Item(f"question:{row.id}", "decide", self._label_to(row), words, None, "attention")

    def _uncollected(self, row: DeliveryRow, consignment: ConsignmentRow, now: datetime) -> Item:
        until = f"; here until {day_words(date.fromisoformat(row.use_by))}" if row.use_by else ""
        return Item(
            f"{UNCOLLECTED}:{row.id}", "know", self._label_to(row),
            f"{self._what(consignment)}; nobody there has collected it since {_since(row, now)}{until}", None,
            "attention", (Button("nudge", "Nudge", row.id), Button("recall", "Recall", row.id, "danger")),
        )  # fmt: skip

    def _gone(self, row: DeliveryRow, consignment: ConsignmentRow) -> Item:
        words = f"{self._what(consignment)}; nobody there collected it, and its time here is over"
        return Item(f"{UNCOLLECTED}:{row.id}", "know", self._label_to(row), words, None, "bad")

    def _label(self, row: DeliveryRow, consignment: ConsignmentRow) -> str:
        return f"{row.id} from {self._ground.called(consignment.member)}"[:_LABEL]

    def _label_to(self, row: DeliveryRow) -> str:
        return f"{row.id} to {self._ground.called(row.recipient)}"[:_LABEL]

    def _what(self, consignment: ConsignmentRow) -> str:
        what = f"{self._ground.titled(consignment.exchange)}, {period_words(consignment.period)}"
        if consignment.rows is None:
            return what
        return f"{what}: {consignment.rows:,} record{'' if consignment.rows == 1 else 's'}"


class Nudges:
    """A sender who asks a recipient for its acknowledgement, at most once a working day."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def nudge(self, person_id: str, delivery_id: str, *, via: str) -> Outcome:
        """The recipient's data managers hear of it in their message of the day. Raises Refused when nothing waits."""
        with self._ground.transaction() as tx:
            person = self._ground.acting(tx.session, person_id)
            row, consignment = pair_of(tx.session, delivery_id)
            policy = self._ground.in_force_at(tx.session).policy
            if consignment.member != person.member or row.available_at is None:
                raise Missing("There is no such delivery.")
            if not policy.may(person, "recall"):
                raise Forbidden("Only the people of your organisation who send, receive or govern can nudge.")
            name = self._ground.called(row.recipient)
            self._require_waiting(row, consignment, name, tx.now)
            day = london_day(next_reminding(policy, row.recipient, tx.now))
            about, stage = f"{NUDGE}:{row.id}", f"{NUDGE}-{day.isoformat()}"
            if tx.session.exec(select(StageRow.id).where(StageRow.about == about, StageRow.stage == stage)).first():
                return Outcome(f"{name} is nudged about {row.id} on {day_words(day)} already.", changed=False)
            tx.session.add(StageRow(about=about, stage=stage, due_at=tx.now))
            tx.record(Event("delivery.nudged", person.id, (row.id, consignment.id), {"via": via}))
            today = day == london_day(tx.now)
        when = "now" if today else f"on {day_words(day)}, when they may be written to"
        return Outcome(f"{name} is reminded of {row.id} {when}.", changed=True)

    def _require_waiting(self, row: DeliveryRow, consignment: ConsignmentRow, name: str, now: datetime) -> None:
        if row.status is Status.QUERIED:
            raise Refused(f"{name} has a question about {row.id}: {row.problem}. Answer it first.", code="QUERIED")
        if row.status not in WAITS or row.copy_state is SealedCopy.PURGED:
            words = status_words(row, consignment, name, now)
            raise Refused(f"There is nothing to nudge for. {row.id}: {words}.", code="NOTHING_WAITS")


def working_moment(calendar: Calendar, day: date, count: int) -> datetime:
    """09:30 in London on the `count`-th working day after `day`. Raises CalendarUncovered."""
    return datetime.combine(working_days_after(calendar, day, count), AT, tzinfo=LONDON)


def _planned(policy: PolicySet, exchange: Exchange, row: DeliveryRow, available: datetime) -> Iterator[Planned]:
    """What the calendar does not reach is planned as soon as it does; a lint says so long before."""
    calendar, rule, first = policy.calendar_of(exchange), exchange.acknowledge, london_day(available)
    if calendar is None:
        return
    within, every = days_of(rule.within), days_of(rule.chase_every)
    ack, uncollected = f"{ACK}:{row.id}", f"{UNCOLLECTED}:{row.id}"
    stages: list[tuple[str, str, Callable[[], datetime]]] = [
        (ack, LEAD if n == rule.max_chases else f"chase-{n + 1}",
         partial(working_moment, calendar, first, within + n * every))
        for n in range(rule.max_chases + 1)
    ]  # fmt: skip
    collect = days_of(policy.retention_of(exchange).collect_within)
    stages.append((uncollected, NOT_COLLECTED, partial(working_moment, calendar, first, collect)))
    if row.use_by is not None:
        stages.append((uncollected, AGAIN, partial(_before, calendar, date.fromisoformat(row.use_by))))
    for about, stage, moment in stages:
        try:
            yield Planned(about, stage, moment())
        except CalendarUncovered:
            continue


def _over(row: DeliveryRow, now: datetime) -> datetime:
    """The end of the use-by day, with which a copy goes that nobody collected."""
    last = date.fromisoformat(row.use_by) if row.use_by else london_day(now)
    return datetime.combine(last + timedelta(1), time(0), tzinfo=LONDON)


def _before(calendar: Calendar, use_by: date) -> datetime:
    day = working_until(calendar, use_by)
    for _ in range(BEFORE_USE_BY):
        day = working_until(calendar, date.fromordinal(day.toordinal() - 1))
    return datetime.combine(day, AT, tzinfo=LONDON)


def days_of(span: str) -> int:
    """2 for 2wd."""
    return int(span.removesuffix("wd"))


def _within(policy: PolicySet, exchange: Exchange | None, row: DeliveryRow) -> datetime | None:
    """Until when it is to be acknowledged; None where no calendar tells."""
    calendar = policy.calendar_of(exchange) if exchange else None
    if exchange is None or calendar is None or row.available_at is None:
        return None
    try:
        return working_moment(calendar, london_day(row.available_at), days_of(exchange.acknowledge.within))
    except CalendarUncovered:
        return None


def _pairs(session: Session, *where: ColumnElement[bool]) -> Sequence[Pair]:
    query = (
        select(DeliveryRow, ConsignmentRow)
        .join(ConsignmentRow, col(DeliveryRow.consignment) == col(ConsignmentRow.id))
        .where(*where)
        .order_by(col(DeliveryRow.id))
    )
    return session.exec(query).all()


def _waiting_at(member: str) -> tuple[ColumnElement[bool], ...]:
    """What this member has still to acknowledge; not what it asks its sender about."""
    status = col(DeliveryRow.status).in_([Status.AVAILABLE.value, Status.COLLECTED.value])
    return (status, col(DeliveryRow.recipient) == member, col(DeliveryRow.copy_state) != SealedCopy.PURGED)


def _done(session: Session, kind: str, ids: Sequence[str], stages: Iterable[str]) -> set[str]:
    """Of these deliveries, those of which one of the stages was told."""
    if not ids:
        return set()
    query = select(StageRow.about).where(
        col(StageRow.about).in_([f"{kind}:{delivery}" for delivery in ids]),
        col(StageRow.stage).in_(list(stages)),
        StageRow.outcome == "told",
    )
    return {about.partition(":")[2] for about in session.exec(query).all()}


def _lately(row: DeliveryRow, now: datetime) -> bool:
    over = date.fromisoformat(row.use_by) if row.use_by else london_day(now)
    return (london_day(now) - over).days <= GONE_SHOWN_DAYS


def _since(row: DeliveryRow, now: datetime) -> str:
    return clock_words(row.available_at, now) if row.available_at else "an unknown time"


def _answers(row: DeliveryRow) -> tuple[Button, ...]:
    problem = Button("problem", "Problem", row.id, "plain", asks_reason=True)
    if row.collected_at is None:
        return (problem,)
    return (Button("acknowledge", "Acknowledge", row.id, "primary"), problem)
