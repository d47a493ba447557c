"""A record that its recipient finds wrong (clause 9, R-087): told by line and field, never by value.

The member that sent it has a task at once, and every other recipient of the same file knows. A new file of the same
name ends it for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from server.domain import guard
from server.domain.agreement import Person, PolicySet
from server.domain.agreement.rules import Correction
from server.domain.audience import Hat, audience
from server.domain.calendar import CalendarUncovered, working_days_after
from server.domain.delivery import Status
from server.domain.errors import Forbidden, Missing, Refused
from server.domain.ledger import Event, Fact
from server.domain.notice import Button, Tone
from server.domain.schedule import clock_words, day_after, day_words, end_of, london_day, midnight
from server.exchange.absences import presence
from server.exchange.chased import Ask, Item, Planned
from server.exchange.delivery import Outcome
from server.exchange.ground import Ground
from server.exchange.outbox_rows import deliveries_of
from server.exchange.telling import period_words
from server.store import Tx
from server.store.duty_tables import CorrectionRow, StageRow
from server.store.tables import ConsignmentRow, DeliveryRow

PREFIX = "correction"
OPEN, ACCEPTED, DECLINED, REISSUED, WITHDRAWN = "open", "accepted", "declined", "reissued", "withdrawn"
UNDER_WAY = frozenset({OPEN, ACCEPTED})
LINES_MOST = 10_000_000
HEADER = 1
Side = Literal["sender", "asker", "other"]
_TONES: dict[str, Tone] = {OPEN: "attention", ACCEPTED: "attention", REISSUED: "good", DECLINED: "bad"}
_STAGES = ("answer", "answer-lead", "reissue", "reissue-lead")
"""Reminders on the day by which it is answered, and sent again; on the day after, the sender's lead hears."""


@dataclass(frozen=True, slots=True)
class CorrectionView:
    """A correction as somebody of one of its members sees it; `words` says where it stands."""

    id: str
    delivery: str
    consignment: str
    line: int
    field: str
    sender: str
    asked_by: str
    at: datetime
    status: str
    words: str
    buttons: tuple[Button, ...]


class Corrections:
    """Asking for one, answering, and what ends it."""

    prefixes = frozenset({PREFIX})

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._planned: frozenset[str] = frozenset()
        """Those under way of which every stage is a row."""

    # -- asking

    def correct(self, person_id: str, delivery_id: str, line: str | int, field: str, *, via: str) -> Outcome:
        """Say that a record may be wrong: the file's line (its header is line 1) and one of its agreed fields.

        Raises Forbidden without `correct`, Missing for a delivery of others, Refused for anything that is no line or
        no field, and once the delivery's time is over. Asking twice changes nothing.
        """
        with self._ground.transaction() as tx:
            person = self._ground.acting(tx.session, person_id)
            delivery, consignment = self._received(tx, person, delivery_id)
            number, name = _line(line), self._field(consignment, field)
            known = self._known(tx.session, consignment, number, name)
            if known is not None:
                who = "You" if known.by == person.id else f"{known.by} of {self._ground.called(known.member)}"
                return Outcome(
                    f"{who} asked for that already ({known.id}, {clock_words(known.at, tx.now)}): {known.status}.",
                    changed=False,
                )
            row = CorrectionRow(
                id=tx.next_id("E", tx.now.year), delivery=delivery.id, line=number, field=name, by=person.id,
                member=person.member, at=tx.now,
            )  # fmt: skip
            tx.session.add(row)
            tx.session.flush()
            facts: dict[str, Fact] = {"line": number, "field": name, "member": person.member, "via": via}
            self._moved(tx, row, consignment, "correction.asked", person.id, facts)
            sender = self._ground.called(consignment.member)
        return Outcome(f"{row.id}: {sender} is asked about line {number}, {name}, of {delivery_id}.", changed=True)

    def withdraw(self, person_id: str, correction_id: str, *, via: str) -> Outcome:
        """The member that asked takes it back: the record is right after all."""
        with self._ground.transaction() as tx:
            person = self._ground.acting(tx.session, person_id)
            row, consignment = self._row(tx.session, person, correction_id)
            if row.member != person.member:
                raise Forbidden(f"{self._ground.called(row.member)} asked for {row.id}; only they can withdraw it.")
            self._may(tx.session, person)
            if row.status not in UNDER_WAY:
                newer = self._newer_of(tx.session, person.member, row)
                return Outcome(f"{row.id} is {self._ended(row, tx.now, newer)} already.", changed=False)
            row.status = WITHDRAWN
            self._moved(tx, row, consignment, "correction.withdrawn", person.id, {"via": via})
        return Outcome(f"{row.id} is withdrawn; everybody who was told knows.", changed=True)

    # -- answering

    def accept(self, person_id: str, correction_id: str, *, via: str) -> Outcome:
        """The sender agrees and will send the file again. A second answer changes nothing."""
        with self._ground.transaction() as tx:
            person, row, consignment = self._answering(tx, person_id, correction_id)
            if row.status != OPEN:
                return Outcome(f"{row.id} is {self._ended(row, tx.now, row.reissued_by)} already.", changed=False)
            row.status, row.answered_at, row.answered_by = ACCEPTED, tx.now, person.id
            self._moved(tx, row, consignment, "correction.accepted", person.id, {"via": via})
            by = self._days(tx.session, row)[1]
        when = f" by {day_words(by)}" if by else ""
        again = f"outbox/{consignment.exchange}/{consignment.period}/"
        return Outcome(
            f"{row.id} is accepted. Send the corrected file under its old name again{when}: {again}", changed=True
        )

    def decline(self, person_id: str, correction_id: str, reason: str, *, via: str) -> Outcome:
        """The sender says that the record is right, and why; the reason carries no personal data."""
        tidy = guard.reason(reason)
        with self._ground.transaction() as tx:
            person, row, consignment = self._answering(tx, person_id, correction_id)
            if row.status not in UNDER_WAY:
                return Outcome(f"{row.id} is {self._ended(row, tx.now, row.reissued_by)} already.", changed=False)
            row.status, row.answered_at, row.answered_by, row.answer = DECLINED, tx.now, person.id, tidy
            facts: dict[str, Fact] = {"via": via, "reason": guard.short_hash(tidy.encode())}
            self._moved(tx, row, consignment, "correction.declined", person.id, facts)
        return Outcome(f"{row.id} is declined. Everybody who has the file reads your reason.", changed=True)

    # -- what ends it by itself

    def settle(self) -> int:
        """A newer file of the same name has gone: what was to be corrected in the older one is done. How many."""
        with self._ground.store.reading() as session:
            found = _overtaken(session)
        for correction_id in found:
            with self._ground.transaction() as tx:
                row = tx.session.get(CorrectionRow, correction_id)
                newer = _newer(tx.session, row) if row is not None and row.status in UNDER_WAY else None
                if row is None or newer is None:
                    continue
                row.status, row.reissued_by = REISSUED, newer.id
                consignment = _consignment(tx.session, row)
                self._moved(tx, row, consignment, "correction.reissued", "exchange", {"by": newer.id})
        return len(found)

    # -- reading

    def of_person(self, person_id: str) -> tuple[CorrectionView, ...]:
        """Every correction of a file that the person's member sent or received, the newest first.

        Raises Missing for who is not there. Empty for whose role does not see deliveries.
        """
        person = self._ground.person(person_id)
        if not self._ground.policy.may(person, "status.read"):
            return ()
        with self._ground.store.reading() as session:
            rows = session.exec(select(CorrectionRow).order_by(col(CorrectionRow.id).desc())).all()
            pairs = [(row, _consignment(session, row)) for row in rows]
            mine = [(row, c) for row, c in pairs if self._side(session, person.member, row, c) is not None]
            return tuple(self._view(session, person, row, consignment) for row, consignment in mine)

    def every(self) -> tuple[CorrectionView, ...]:
        """Every correction, the newest first: for the operator."""
        with self._ground.store.reading() as session:
            rows = session.exec(select(CorrectionRow).order_by(col(CorrectionRow.id).desc())).all()
            return tuple(self._view(session, None, row, _consignment(session, row)) for row in rows)

    def may_ask(self, person_id: str) -> bool:
        """Whether this person may ask for corrections of what their member received."""
        return self._ground.policy.may(self._ground.person(person_id), "correct")

    # -- being reminded of

    def plan(self, session: Session, now: datetime) -> Iterable[Planned]:
        """Four days of everything that is under way."""
        rows = [row for row, _ in _under_way(session) if row.id not in self._planned]
        if not rows:
            return ()
        abouts = [_about(row) for row in rows]
        there = set(session.exec(select(StageRow.about).where(col(StageRow.about).in_(abouts))).all())
        self._planned |= {row.id for row in rows if _about(row) in there}
        return [one for row in rows if _about(row) not in there for one in self._stages(session, row)]

    def ask(self, session: Session, about: str, stage: str, now: datetime) -> Ask | None:
        """Those who send and manage data; on the day after, their lead. None once it is answered, or done."""
        row = session.get(CorrectionRow, about.partition(":")[2])
        if row is None or row.status not in UNDER_WAY or (stage.startswith("answer") and row.status != OPEN):
            return None
        sender = _consignment(session, row).member
        return Ask(_lead(sender) if stage.endswith("lead") else _workers(sender), facts=(("correction", row.id),))

    def items(self, session: Session, hat: Hat, now: datetime) -> Iterable[Item]:
        """What the sender has to answer or send again; its lead sees what is late."""
        found: list[Item] = []
        for row, consignment in _under_way(session, hat.member):
            late = self._late(session, row, now)
            if hat in _workers(hat.member) or (late and hat in _lead(hat.member)):
                found.append(self._item(session, row, consignment, late=late))
        return found

    # -- inside

    def _received(self, tx: Tx, person: Person, delivery_id: str) -> tuple[DeliveryRow, ConsignmentRow]:
        row = tx.session.get(DeliveryRow, delivery_id)
        consignment = tx.session.get(ConsignmentRow, row.consignment) if row else None
        if row is None or consignment is None or row.recipient != person.member or row.available_at is None:
            raise Missing("There is no such delivery.")
        self._may(tx.session, person)
        if row.status is Status.SUPERSEDED:
            raise Refused(f"{delivery_id} was replaced by {row.superseded_by}; look at that one.", code="SUPERSEDED")
        if row.status is Status.RECALLED:
            raise Refused(f"{delivery_id} was recalled; destroy any copy of it instead.", code="RECALLED")
        if row.use_by is not None and london_day(tx.now) > date.fromisoformat(row.use_by):
            raise Refused(
                f"The time of {delivery_id} was over on {row.use_by}: it is to be destroyed, not corrected.",
                code="TOO_LATE",
            )
        return row, consignment

    def _may(self, session: Session, person: Person) -> None:
        if not self._ground.in_force_at(session).policy.may(person, "correct"):
            raise Forbidden("Only a data manager of your organisation asks for a correction.")

    def _field(self, consignment: ConsignmentRow, field: str) -> str:
        """The agreed name of the field, as the file's own revision has it."""
        policy = self._ground.of_revision(consignment.revision)
        exchange = policy.exchange(consignment.exchange)
        schema = policy.schema_of(exchange) if exchange else None
        if schema is None:
            raise Refused(
                "This exchange has no agreed fields: ask its sender instead, with Problem.", code="NO_AGREED_FIELDS"
            )
        wanted = field.strip().casefold()
        found = next((name for name in schema.names if name.casefold() == wanted), None)
        if found is None:
            raise Refused(
                f"That is no field of this exchange. Name one of: {', '.join(schema.names)}.", code="NOT_A_FIELD"
            )
        return found

    def _known(self, session: Session, consignment: ConsignmentRow, line: int, field: str) -> CorrectionRow | None:
        """The same correction of the same file, whichever recipient asked, while it is under way."""
        ids = [row.id for row in _copies(session, consignment)]
        query = select(CorrectionRow).where(
            col(CorrectionRow.delivery).in_(ids), CorrectionRow.line == line, CorrectionRow.field == field,
            col(CorrectionRow.status).in_(UNDER_WAY),
        )  # fmt: skip
        return session.exec(query).first()

    def _row(self, session: Session, person: Person, correction_id: str) -> tuple[CorrectionRow, ConsignmentRow]:
        row = session.get(CorrectionRow, correction_id.strip().upper())
        consignment = _consignment(session, row) if row is not None else None
        if row is None or consignment is None or self._side(session, person.member, row, consignment) is None:
            raise Missing("There is no such correction.")
        return row, consignment

    def _answering(self, tx: Tx, person_id: str, correction_id: str) -> tuple[Person, CorrectionRow, ConsignmentRow]:
        person = self._ground.acting(tx.session, person_id)
        row, consignment = self._row(tx.session, person, correction_id)
        if consignment.member != person.member:
            raise Forbidden(f"{self._ground.called(consignment.member)} sent the file, and answers.")
        if not _answers(self._ground.in_force_at(tx.session).policy, person):
            raise Forbidden("Only a designated person or a data manager of your organisation answers that.")
        return person, row, consignment

    def _side(self, session: Session, member: str, row: CorrectionRow, consignment: ConsignmentRow) -> Side | None:
        """What the member has to do with it: it sent the file, asked, or has it as well; None for the rest."""
        if consignment.member == member:
            return "sender"
        if row.member == member:
            return "asker"
        return "other" if member in self._holders(session, consignment) else None

    def _holders(self, session: Session, consignment: ConsignmentRow) -> tuple[str, ...]:
        """The members that have seen the file."""
        return tuple({row.recipient: None for row in _copies(session, consignment) if row.available_at is not None})

    def _moved(
        self, tx: Tx, row: CorrectionRow, consignment: ConsignmentRow, kind: str, actor: str, facts: dict[str, Fact]
    ) -> None:
        tx.session.add(row)
        tx.session.flush()
        about = tx.record(Event(kind, actor, (row.id, row.delivery, consignment.id), facts))
        here = presence(self._ground, tx.session, tx.now)
        policy = self._ground.in_force_at(tx.session).policy
        hats = [*_workers(consignment.member)]
        hats += [Hat(member, "data_manager") for member in self._holders(tx.session, consignment)]
        told: set[tuple[str, str]] = set()
        for hat in hats:
            for person in audience(policy, hat, here):
                if (person, hat.member) not in told:
                    told.add((person, hat.member))
                    self._notify(tx, row, consignment, person, hat.member, about=about)

    def _notify(
        self, tx: Tx, row: CorrectionRow, consignment: ConsignmentRow, person_id: str, member: str, *, about: int
    ) -> None:
        side = self._side(tx.session, member, row, consignment) or "other"
        policy = self._ground.in_force_at(tx.session).policy
        person = policy.person(person_id)
        facts = {
            "side": side,
            "status": row.status,
            "what": f"Line {row.line}, {row.field}",
            "delivery": self._delivery_of(tx.session, member, row, consignment),
            "file": f"{self._ground.titled(consignment.exchange)}, {period_words(consignment.period)}",
            "asker": self._ground.called(row.member),
            "sender": self._ground.called(consignment.member),
            "answer": row.answer,
            "by": [day_words(day) if day else None for day in self._days(tx.session, row)],
            "newer": self._newer_of(tx.session, member, row),
            "path": f"outbox/{consignment.exchange}/{consignment.period}/",
        }
        buttons = self._buttons(policy, person, row, consignment) if person else ()
        notice = self._ground.notices.notice(
            "correction", person=person_id, member=person.member if person else member,
            thread=f"{PREFIX}:{row.id}" + ("" if person is None or person.member == member else f":{member}"),
            facts=facts, tone=_TONES.get(row.status, "info"), buttons=buttons,
        )  # fmt: skip
        tx.notify(notice, about=about)

    def _delivery_of(self, session: Session, member: str, row: CorrectionRow, consignment: ConsignmentRow) -> str:
        """The delivery as that member knows it; its sender knows it as the one that was asked about."""
        mine = [one.id for one in _copies(session, consignment) if one.recipient == member]
        return row.delivery if not mine or row.delivery in mine else mine[-1]

    def _newer_of(self, session: Session, member: str, row: CorrectionRow) -> str | None:
        """The newer file as that member has it; None if it has none."""
        newer = session.get(DeliveryRow, row.reissued_by) if row.reissued_by else None
        if newer is None:
            return None
        query = select(DeliveryRow.id).where(DeliveryRow.consignment == newer.consignment)
        own = session.exec(query.where(DeliveryRow.recipient == member)).first()
        replaced = (one for one in _copies(session, _consignment(session, row)) if one.recipient == member)
        return own or next((one.superseded_by for one in replaced if one.superseded_by), None)

    def _buttons(
        self, policy: PolicySet, person: Person, row: CorrectionRow, consignment: ConsignmentRow
    ) -> tuple[Button, ...]:
        if row.status not in UNDER_WAY or person.member != consignment.member or not _answers(policy, person):
            return ()
        decline = Button("decline-correction", "Decline", row.id, "plain", asks_reason=True)
        accept = Button("accept-correction", "Accept", row.id, "primary")
        return (accept, decline) if row.status == OPEN else (decline,)

    def _view(
        self, session: Session, person: Person | None, row: CorrectionRow, consignment: ConsignmentRow
    ) -> CorrectionView:
        policy = self._ground.policy
        own = row.delivery if person is None else self._delivery_of(session, person.member, row, consignment)
        newer = row.reissued_by if person is None else self._newer_of(session, person.member, row)
        return CorrectionView(
            row.id, own, consignment.id, row.line, row.field, self._ground.called(consignment.member),
            self._ground.called(row.member), row.at, row.status, self._words(session, row, newer),
            self._buttons(policy, person, row, consignment) if person else (),
        )  # fmt: skip

    def _words(self, session: Session, row: CorrectionRow, newer: str | None) -> str:
        """Where it stands, as a clause; `newer` as its reader has the file that ended it."""
        answer, again = self._days(session, row)
        late = self._late(session, row, self._ground.now())
        if row.status == OPEN:
            return f"{'overdue: it was ' if late else ''}to be answered{f' by {day_words(answer)}' if answer else ''}"
        if row.status == ACCEPTED:
            comes = "overdue: a new file was to come" if late else "a new file comes"
            return f"accepted; {comes}{f' by {day_words(again)}' if again else ''}"
        return self._ended(row, self._ground.now(), newer)

    def _ended(self, row: CorrectionRow, now: datetime, newer: str | None) -> str:
        at = f" at {clock_words(row.answered_at, now)}" if row.answered_at else ""
        return {
            ACCEPTED: f"accepted by {row.answered_by}{at}",
            DECLINED: f"declined by {row.answered_by}{at}: {row.answer}",
            REISSUED: f"corrected by {newer or 'a newer file'}",
            WITHDRAWN: f"withdrawn by {self._ground.called(row.member)}",
        }.get(row.status, row.status)

    # -- days

    def _days(self, session: Session, row: CorrectionRow) -> tuple[date | None, date | None]:
        """The days by which it is answered, and sent again; None where no calendar tells."""
        policy = self._ground.in_force_at(session).policy
        rule = policy.rights.correction if policy.rights else Correction()
        return _after(policy, row.at, rule.sender_answers), _after(policy, row.at, rule.reissue)

    def _stages(self, session: Session, row: CorrectionRow) -> list[Planned]:
        days = [(day, day_after(day, "P1D")) if day else (None, None) for day in self._days(session, row)]
        named = zip(_STAGES, (day for pair in days for day in pair), strict=True)
        return [Planned(_about(row), stage, midnight(day)) for stage, day in named if day is not None]

    def _late(self, session: Session, row: CorrectionRow, now: datetime) -> bool:
        by = self._days(session, row)[0 if row.status == OPEN else 1]
        return by is not None and london_day(now) > by

    def _item(self, session: Session, row: CorrectionRow, consignment: ConsignmentRow, *, late: bool) -> Item:
        by = self._days(session, row)[0 if row.status == OPEN else 1]
        when = f" {'It was due' if late else 'Please do'} by {day_words(by)}." if by else ""
        asker, again = self._ground.called(row.member), f"outbox/{consignment.exchange}/{consignment.period}/"
        words = f"{asker} says it may be wrong: answer." if row.status == OPEN else "Send the corrected file again."
        decline = Button("decline-correction", "Decline", row.id, "plain", asks_reason=True)
        accept = Button("accept-correction", "Accept", row.id, "primary")
        return Item(
            _about(row), "overdue" if late else "decide", f"{row.id}: line {row.line}, {row.field}"[:60],
            f"{words}{when}", end_of(by) if by else None, "bad" if late else "attention",
            (accept, decline) if row.status == OPEN else (), "" if row.status == OPEN else again,
        )  # fmt: skip


def _line(line: str | int) -> int:
    """The number of a line of the file. Raises Refused for anything else, also for more than a number."""
    text = str(line).strip()
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(LINES_MOST))):
        raise Refused("Give the line as a number, as the why-files count them: 44.", code="NOT_A_LINE")
    number = int(text)
    if not HEADER < number <= LINES_MOST:
        raise Refused("Line 1 is the header; the records begin with line 2.", code="NOT_A_LINE")
    return number


def _after(policy: PolicySet, at: datetime, span: str) -> date | None:
    calendar = policy.notice_calendar
    if calendar is None:
        return None
    try:
        return working_days_after(calendar, london_day(at), int(span.removesuffix("wd")))
    except CalendarUncovered:
        return None


def _answers(policy: PolicySet, person: Person) -> bool:
    return policy.may(person, "obligation.answer") or policy.may(person, "correct")


def _workers(member: str) -> tuple[Hat, ...]:
    return Hat(member, "designated_person"), Hat(member, "data_manager")


def _lead(member: str) -> tuple[Hat, ...]:
    return (Hat(member, "governance_lead"),)


def _about(row: CorrectionRow) -> str:
    return f"{PREFIX}:{row.id}"


def _under_way(session: Session, sender: str | None = None) -> list[tuple[CorrectionRow, ConsignmentRow]]:
    """Those that wait for an answer or a new file, of everybody or of one sending member."""
    query = (
        select(CorrectionRow, ConsignmentRow)
        .join(DeliveryRow, col(DeliveryRow.id) == col(CorrectionRow.delivery))
        .join(ConsignmentRow, col(ConsignmentRow.id) == col(DeliveryRow.consignment))
        .where(col(CorrectionRow.status).in_(UNDER_WAY))
        .order_by(col(CorrectionRow.id))
    )
    return list(session.exec(query.where(ConsignmentRow.member == sender) if sender else query).all())


def _overtaken(session: Session) -> list[str]:
    """Corrections under way of a file that a newer one has replaced for one of its recipients since they were asked."""
    other = aliased(DeliveryRow)
    query = (
        select(CorrectionRow.id)
        .join(DeliveryRow, col(DeliveryRow.id) == col(CorrectionRow.delivery))
        .join(other, col(other.consignment) == col(DeliveryRow.consignment))
        .where(
            col(CorrectionRow.status).in_(UNDER_WAY), col(other.status) == Status.SUPERSEDED,
            col(other.ended_at) >= col(CorrectionRow.at),
        )
        .distinct()
    )  # fmt: skip
    return sorted(session.exec(query).all())


def _consignment(session: Session, row: CorrectionRow) -> ConsignmentRow:
    found = session.exec(
        select(ConsignmentRow).join(DeliveryRow, col(DeliveryRow.consignment) == col(ConsignmentRow.id)).where(
            DeliveryRow.id == row.delivery
        )
    ).first()  # fmt: skip
    if found is None:
        raise Missing("There is no such delivery.")
    return found


def _copies(session: Session, consignment: ConsignmentRow) -> list[DeliveryRow]:
    """Every delivery of these very bytes that their sender made in this exchange and period: one file, many folders."""
    query = (
        select(DeliveryRow)
        .join(ConsignmentRow, col(ConsignmentRow.id) == col(DeliveryRow.consignment))
        .where(
            ConsignmentRow.member == consignment.member, ConsignmentRow.exchange == consignment.exchange,
            ConsignmentRow.period == consignment.period, ConsignmentRow.sha256 == consignment.sha256,
        )
        .order_by(col(DeliveryRow.id))
    )  # fmt: skip
    return list(session.exec(query).all())


def _newer(session: Session, row: CorrectionRow) -> DeliveryRow | None:
    """The delivery that took the place of one of this file's since it was asked for: the asker's own if it has one."""
    replaced = [one for one in deliveries_of(session, _consignment(session, row)) if one.status is Status.SUPERSEDED]
    found = [one for one in replaced if one.ended_at and one.ended_at >= row.at]
    ours = sorted(found, key=lambda one: one.recipient != row.member)
    named = next((one.superseded_by for one in ours if one.superseded_by), None)
    return session.get(DeliveryRow, named) if named else None
