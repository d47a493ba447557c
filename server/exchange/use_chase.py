"""Reminders of use and destruction: before the use-by day, from the first working day after it, and after Processed.

What it is about: `use:D-…` for a delivery's use-by day, `destroy:D-…` for what is to be destroyed at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, datetime, time

from sqlalchemy import ColumnElement, String, and_, exists, or_, type_coerce
from sqlmodel import Session, col, select

from server.domain.agreement import Calendar, PolicySet, RetentionRule
from server.domain.attestation import is_overdue, use_by_reminders, working_days_on
from server.domain.audience import Hat
from server.domain.calendar import CalendarUncovered
from server.domain.delivery import REPLACED, Status, Use
from server.domain.notice import Button, Tone
from server.domain.schedule import LONDON, day_words, london_day
from server.exchange.attested import (
    Held,
    asks_countersignature,
    grouped,
    held_by,
    kept_by_hold,
    overdue_on,
    owed,
    personal,
    step_of,
)
from server.exchange.chased import Ask, Group, Item, Planned
from server.exchange.ground import Ground
from server.exchange.telling import period_words, use_buttons
from server.store.duty_tables import AttestationRow, StageRow
from server.store.tables import ConsignmentRow, DeliveryRow

USE, DESTROY = "use", "destroy"
FIRST_OVERDUE, COUNTERSIGN = "overdue-1", "countersign"
SOON = 7
"""Days before the use-by day from which it needs attention."""
LABEL = 60


class UseChase:
    """What is planned, asked and listed about the recipient's own copies."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    @property
    def prefixes(self) -> frozenset[str]:
        """`use` and `destroy`."""
        return frozenset({USE, DESTROY})

    # -- planning

    def plan(self, session: Session, now: datetime) -> Iterable[Planned]:
        """Stages of deliveries that have none yet, and the next one of what stays overdue."""
        policy = self._ground.in_force_at(session).policy
        calendar = policy.notice_calendar
        if calendar is None:
            return ()
        return [
            *self._before_use_by(session, policy, calendar),
            *self._after_processed(session, policy, calendar, now),
            *self._still_overdue(session, policy, calendar, now),
            *self._to_countersign(session, policy, calendar),
        ]

    def _before_use_by(self, session: Session, policy: PolicySet, calendar: Calendar) -> Iterator[Planned]:
        bare = ~_has_stage(USE, col(StageRow.stage) == FIRST_OVERDUE)
        for row, consignment in self._rows(session, policy, owed(), bare, col(DeliveryRow.use_by).is_not(None)):
            rule = _rule(policy, consignment)
            available, use_by = row.available_at, row.use_by
            if rule is None or available is None or use_by is None:
                continue
            about, last = f"{USE}:{row.id}", date.fromisoformat(use_by)
            try:
                for span, moment in use_by_reminders(rule, calendar, london_day(available), last):
                    yield Planned(about, f"before-{span}", moment)
                yield Planned(about, FIRST_OVERDUE, working_days_on(calendar, last, "1wd"))
            except CalendarUncovered:
                continue  # planned as soon as that year's holidays are entered; a lint says so long before

    def _after_processed(
        self, session: Session, policy: PolicySet, calendar: Calendar, now: datetime
    ) -> Iterator[Planned]:
        """From Processed, or from when the delivery was rejected or replaced: a reminder, then the lead."""
        copied = and_(
            col(DeliveryRow.status).in_([status.value for status in REPLACED]),
            col(DeliveryRow.collected_at).is_not(None),
        )
        bare = ~_has_stage(DESTROY, col(StageRow.stage) == "lead")
        asked = or_(col(DeliveryRow.use_state) == Use.PROCESSED, copied)
        for row, consignment in self._rows(session, policy, owed(), asked, bare):
            rule = _rule(policy, consignment)
            if rule is None:
                continue
            said = session.get(AttestationRow, row.id)
            begun = london_day(said.processed_at if said and row.status not in REPLACED else row.ended_at or now)
            try:
                yield Planned(f"{DESTROY}:{row.id}", "reminder", working_days_on(calendar, begun, rule.destroy_within))
                yield Planned(f"{DESTROY}:{row.id}", "lead", working_days_on(calendar, begun, rule.escalate_after))
            except CalendarUncovered:
                continue

    def _still_overdue(
        self, session: Session, policy: PolicySet, calendar: Calendar, now: datetime
    ) -> Iterator[Planned]:
        """After each stage that was told, the next one; never two at a time."""
        open_one = _has_stage(USE, col(StageRow.done_at).is_(None))
        told = _has_stage(USE, col(StageRow.stage).startswith("overdue-"))
        for row, consignment in self._rows(session, policy, overdue_on(london_day(now)), told, ~open_one):
            rule = _rule(policy, consignment)
            stages = session.exec(select(StageRow).where(StageRow.about == f"{USE}:{row.id}")).all()
            numbers = [int(s.stage.removeprefix("overdue-")) for s in stages if s.stage.startswith("overdue-")]
            last = max((s.done_at for s in stages if s.done_at is not None), default=None)
            if rule is None or last is None:
                continue
            try:
                moment = working_days_on(calendar, london_day(last), rule.overdue_repeat)
                yield Planned(f"{USE}:{row.id}", f"overdue-{max(numbers) + 1}", moment)
            except CalendarUncovered:
                continue

    def _to_countersign(self, session: Session, policy: PolicySet, calendar: Calendar) -> Iterator[Planned]:
        """The working day after something was attested late, or with exceptions."""
        unseen = and_(col(AttestationRow.destroyed_at).is_not(None), col(AttestationRow.countersigned_at).is_(None))
        query = (
            select(DeliveryRow, AttestationRow)
            .join(AttestationRow, col(AttestationRow.delivery) == col(DeliveryRow.id))
            .where(unseen, _exceptional(), ~_has_stage(DESTROY, col(StageRow.stage) == COUNTERSIGN))
            .order_by(col(DeliveryRow.id))
        )
        for row, said in session.exec(query).all():
            if said.destroyed_at is None or not asks_countersignature(row, said):
                continue
            try:
                moment = working_days_on(calendar, london_day(said.destroyed_at), "1wd")
                yield Planned(f"{DESTROY}:{row.id}", COUNTERSIGN, moment)
            except CalendarUncovered:
                continue

    def _rows(
        self, session: Session, policy: PolicySet, *where: ColumnElement[bool]
    ) -> list[tuple[DeliveryRow, ConsignmentRow]]:
        query = (
            select(DeliveryRow, ConsignmentRow)
            .join(ConsignmentRow, col(DeliveryRow.consignment) == col(ConsignmentRow.id))
            .where(*where)
            .order_by(col(DeliveryRow.id))
        )
        return [(row, c) for row, c in session.exec(query).all() if personal(policy, c.exchange)]

    # -- asking

    def ask(self, session: Session, about: str, stage: str, now: datetime) -> Ask | None:
        """The recipient's data managers; its governance leads too once it is overdue, or destruction is missing.

        Nobody while the recipient's own lead holds it: then nothing of it may be destroyed.
        """
        kind, _, delivery_id = about.partition(":")
        if stage == COUNTERSIGN:
            return self._ask_lead(session, delivery_id)
        asked = select(DeliveryRow).where(DeliveryRow.id == delivery_id, owed(), ~kept_by_hold())
        row = session.exec(asked).first()
        if row is None:
            return None
        managers, leads = Hat(row.recipient, "data_manager"), Hat(row.recipient, "governance_lead")
        facts = (("delivery", row.id), ("use_by", row.use_by or ""), ("missing", step_of(row)))
        if kind == DESTROY:
            return Ask((managers, leads) if stage == "lead" else (managers,), facts=facts)
        if row.status in REPLACED:
            return None
        if stage.startswith("overdue-"):
            return Ask((managers, leads), facts=facts) if row.collected_at is not None else None
        return Ask((managers,), facts=facts)

    def _ask_lead(self, session: Session, delivery_id: str) -> Ask | None:
        row, said = session.get(DeliveryRow, delivery_id), session.get(AttestationRow, delivery_id)
        if row is None or said is None or not asks_countersignature(row, said):
            return None
        return Ask((Hat(row.recipient, "governance_lead"),), facts=(("delivery", row.id), ("missing", COUNTERSIGN)))

    # -- listing

    def items(self, session: Session, hat: Hat, now: datetime) -> Iterable[Item]:
        """For data managers what to use and to destroy, together where it is of one exchange and period; for leads
        what is overdue and what to countersign."""
        policy = self._ground.in_force_at(session).policy
        if hat.role == "governance_lead":
            return self._for_lead(session, policy, hat.member, now)
        if hat.role != "data_manager":
            return ()
        held = held_by(session, policy, hat.member, ~kept_by_hold())
        items = [
            item
            for step in ("destroyed", "processed")
            for rows in grouped([one for one in held if step_of(one[0]) == step]).values()
            for item in self._of_group(rows, step, now)
        ]
        return sorted(items, key=lambda item: (item.group != "overdue", item.due_at or now, item.about))

    def _of_group(self, rows: list[Held], step: str, now: datetime) -> Iterator[Item]:
        if len(rows) == 1:
            yield self._of_one(rows[0], now)
            return
        consignment = rows[0][1]
        days = sorted(row.use_by for row, _, _ in rows if row.use_by)
        first = date.fromisoformat(days[0]) if days else london_day(now)
        what = f"{self._ground.titled(consignment.exchange)}, {period_words(consignment.period)}"
        verb = "Processed" if step == "processed" else "Destroyed"
        subject = f"{consignment.exchange}-{consignment.period}"
        asked = "Use and destroy" if step == "processed" else "Destroy what is not yours, and the files themselves,"
        yield Item(
            f"{USE if step == 'processed' else DESTROY}:{consignment.exchange}:{consignment.period}",
            _group(first, now), f"{len(rows)} of {what}"[:LABEL],
            f"{asked} by {day_words(first)}: {', '.join(row.id for row, _, _ in rows[:8])}"
            f"{' …' if len(rows) > 8 else ''}",
            _end_of(first), _tone(first, now, step),
            (Button(step, verb, subject, "primary"),),
        )  # fmt: skip

    def _of_one(self, held: Held, now: datetime) -> Item:
        row, consignment, _ = held
        use_by = date.fromisoformat(row.use_by) if row.use_by else london_day(now)
        step = step_of(row)
        sender, title = self._ground.called(consignment.member), self._ground.titled(consignment.exchange)
        label = f"{row.id} from {sender}: {title}, {period_words(consignment.period)}"[:LABEL]
        if row.status is Status.SUPERSEDED:
            words = f"Destroy the copy of {row.id}: it was replaced by {row.superseded_by}."
        elif row.status is Status.REJECTED:
            words = f"Destroy the copy of {row.id}: it was rejected."
        elif step == "destroyed":
            words = f"Destroy what is not yours, and the file itself, by {day_words(use_by)}."
        else:
            words = f"Use and destroy by {day_words(use_by)}."
        about = f"{DESTROY if step == 'destroyed' else USE}:{row.id}"
        tone, main = _tone(use_by, now, step), tuple(replace(button, style="primary") for button in use_buttons(row))
        return Item(about, _group(use_by, now), label, words, _end_of(use_by), tone, main)

    def _for_lead(self, session: Session, policy: PolicySet, member: str, now: datetime) -> list[Item]:
        late = held_by(session, policy, member, overdue_on(london_day(now)))
        items = [
            Item(
                f"{USE}:{row.id}", "overdue", f"{row.id} from {self._ground.called(consignment.member)}"[:LABEL],
                f"Overdue since {day_words(date.fromisoformat(row.use_by or ''))}: your data managers have not "
                f"{'acknowledged it' if step_of(row) == 'acknowledge' else 'attested its destruction'}.",
                _end_of(date.fromisoformat(row.use_by or "")), "bad",
            )
            for row, consignment, _ in late
        ]  # fmt: skip
        query = (
            select(DeliveryRow, AttestationRow)
            .join(AttestationRow, col(AttestationRow.delivery) == col(DeliveryRow.id))
            .where(
                DeliveryRow.recipient == member, col(AttestationRow.destroyed_at).is_not(None),
                col(AttestationRow.countersigned_at).is_(None),
            )
            .order_by(col(DeliveryRow.id))
        )  # fmt: skip
        for row, said in session.exec(query).all():
            if asks_countersignature(row, said):
                words = f"{said.destroyed_by} attested its destruction late, or with exceptions: please countersign."
                button = Button("countersign", "Countersign", row.id, "primary")
                about = f"{DESTROY}:{row.id}"
                items.append(Item(about, "decide", f"{row.id}: to countersign", words, None, "attention", (button,)))
        return items


def _has_stage(prefix: str, *where: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(col(StageRow.about) == f"{prefix}:" + col(DeliveryRow.id), *where)


def _exceptional() -> ColumnElement[bool]:
    """Whether it may need a governance lead: late, as far as its days tell, or with something left."""
    return or_(
        col(AttestationRow.exceptions).is_not(None),
        col(AttestationRow.subcontractors) == "kept",
        type_coerce(col(AttestationRow.destroyed_at), String) > col(DeliveryRow.use_by),
    )


def _rule(policy: PolicySet, consignment: ConsignmentRow) -> RetentionRule | None:
    exchange = policy.exchange(consignment.exchange)
    return policy.retention_of(exchange) if exchange else next(iter(policy.retention.rules), None)


def _group(use_by: date, now: datetime) -> Group:
    return "overdue" if is_overdue(use_by, now) else "destroy"


def _tone(use_by: date, now: datetime, step: str) -> Tone:
    if is_overdue(use_by, now):
        return "bad"
    return "attention" if step == "destroyed" or (use_by - london_day(now)).days <= SOON else "info"


def _end_of(day: date) -> datetime:
    """The last second of the day in London."""
    return datetime.combine(day, time(23, 59, 59), tzinfo=LONDON)
