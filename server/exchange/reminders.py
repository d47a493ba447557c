"""Stages of reminders as rows: made ahead, fired once, told to whoever wears the hat on that day.

A stage is claimed and told in one transaction, so that two processes never tell it twice and a process that dies tells
it after its restart. Of several stages of one matter that have come, only the latest is told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from itertools import islice

from sqlalchemy import func
from sqlmodel import Session, col, select

from server.domain.agreement import PolicySet
from server.domain.audience import Presence, audience
from server.domain.ledger import Event, Fact
from server.domain.pacing import may_remind, next_reminding, uncovered
from server.domain.schedule import LONDON, london_day
from server.exchange.absences import presence
from server.exchange.chased import Ask, Chased, Planned
from server.exchange.findings import Findings
from server.exchange.ground import Ground
from server.store import Tx
from server.store.duty_tables import StageRow, ToldRow
from server.store.tables import HeadRow

_BATCH = 200
"""Matters that are told of in one transaction."""
_AT_ONCE = 500
"""Stages that are made in one transaction."""
NOBODY = "NOBODY_TO_TELL"
UNCOVERED = "CALENDAR_UNCOVERED"


class Reminders:
    """Makes the stages that the life cycles plan, and fires those whose time has come."""

    def __init__(self, ground: Ground, chased: Sequence[Chased], findings: Findings) -> None:
        self._ground, self._chased, self._findings = ground, tuple(chased), findings
        self._by_prefix: Mapping[str, Chased] = {prefix: one for one in chased for prefix in one.prefixes}
        self._known: set[tuple[str, str]] | None = None
        """(about, stage) of every row that this process has seen; rows are never deleted."""
        self._planned: tuple[int, str, date] | None = None
        """The ledger's head, the revision and the day for which everything is planned."""
        self._rest_until: datetime | None = None
        """Nothing fires before; None when that has to be found out."""

    def remind_due(self) -> int:
        """Plan what changes have brought, and tell what is due now; how many stages were told."""
        self._plan()
        now = self._ground.now()
        if self._rest_until is not None and now < self._rest_until:
            return 0
        policy = self._ground.policy
        if not may_remind(policy, "", now):
            self._rest_until = next_reminding(policy, "", now)
            return 0
        self._note_uncovered(policy, now)
        told, more = 0, self._anything_due(now)
        while more:
            count, more = self._fire()
            told += count
        self._rest_until = self._next(policy, now)
        return told

    # -- planning

    def _plan(self) -> None:
        """Runs every plan when the ledger, the policy or the day is another than at the last look."""
        now = self._ground.now()
        with self._ground.store.reading() as session:
            head = session.exec(select(HeadRow.number)).first() or 0
            state = (head, self._ground.in_force.revision, london_day(now))
            if self._planned == state:
                return
            if self._known is None:
                self._known = {(about, stage) for about, stage in session.exec(select(StageRow.about, StageRow.stage))}
            found = {(p.about, p.stage): p for one in self._chased for p in one.plan(session, now)}
        new = [planned for key, planned in found.items() if key not in self._known]
        for first in range(0, len(new), _AT_ONCE):
            self._make(new[first : first + _AT_ONCE])
        self._planned, self._rest_until = state, None

    def _make(self, planned: Sequence[Planned]) -> None:
        """Rows for what has none; another process may have been quicker."""
        with self._ground.transaction() as tx:
            abouts = {one.about for one in planned}
            query = select(StageRow.about, StageRow.stage).where(col(StageRow.about).in_(abouts))
            there = set(tx.session.exec(query).all())
            for one in planned:
                if (one.about, one.stage) not in there:
                    tx.session.add(StageRow(about=one.about, stage=one.stage, due_at=one.due_at))
        if self._known is not None:
            self._known |= {(one.about, one.stage) for one in planned}

    def _anything_due(self, now: datetime) -> bool:
        query = select(StageRow.id).where(col(StageRow.done_at).is_(None), col(StageRow.due_at) <= now)
        with self._ground.store.reading() as session:
            return session.exec(query.limit(1)).first() is not None

    def _next(self, policy: PolicySet, now: datetime) -> datetime:
        """When to look again: the next due time, or tomorrow for what waits for a member that is closed today."""
        query = select(func.min(StageRow.due_at)).where(col(StageRow.done_at).is_(None), col(StageRow.due_at) > now)
        with self._ground.store.reading() as session:
            ahead = session.exec(query).first()
        midnight = datetime.combine(london_day(now) + timedelta(1), time(0), tzinfo=LONDON)
        tomorrow = next_reminding(policy, "", midnight)
        return min(ahead, tomorrow) if ahead else tomorrow

    # -- firing

    def _fire(self) -> tuple[int, bool]:
        """One batch in one transaction: how many stages were told, and whether there may be more."""
        with self._ground.transaction() as tx:
            policy = self._ground.in_force_at(tx.session).policy
            present = presence(self._ground, tx.session, tx.now)
            closed = {member.id for member in policy.members if not may_remind(policy, member.id, tx.now)}
            batch = list(self._come(tx, closed))
            told = sum(self._settle(tx, policy, present, rows, ask) for rows, ask in batch)
        return told, len(batch) == _BATCH

    def _come(self, tx: Tx, closed: set[str]) -> Iterator[tuple[list[StageRow], Ask | None]]:
        """Up to a batch of matters with stages that have come, and for whom the latest of each is."""
        query = select(StageRow).where(col(StageRow.done_at).is_(None), col(StageRow.due_at) <= tx.now)
        matters: dict[str, list[StageRow]] = defaultdict(list)
        for row in tx.session.exec(query.order_by(col(StageRow.due_at), col(StageRow.id))).all():
            matters[row.about].append(row)
        asked = ((rows, self._ask(tx, rows[-1])) for rows in matters.values())
        ready = ((rows, ask) for rows, ask in asked if ask is None or not {hat.member for hat in ask.hats} & closed)
        yield from islice(ready, _BATCH)

    def _ask(self, tx: Tx, row: StageRow) -> Ask | None:
        chased = self._by_prefix.get(row.about.partition(":")[0])
        return chased.ask(tx.session, row.about, row.stage, tx.now) if chased else None

    def _settle(self, tx: Tx, policy: PolicySet, present: Presence, rows: Sequence[StageRow], ask: Ask | None) -> int:
        """Every stage of one matter that has come is done with: the latest told, the others overtaken."""
        *earlier, latest = rows
        for row in earlier:
            row.done_at, row.outcome = tx.now, "overtaken"
        latest.done_at, latest.outcome = tx.now, "nothing"
        if ask is not None and not _all_left(present, ask):
            self._tell(tx, policy, present, latest, ask)
        tx.session.add_all(rows)
        tx.session.flush()
        return int(latest.outcome == "told")

    def _tell(self, tx: Tx, policy: PolicySet, present: Presence, row: StageRow, ask: Ask) -> None:
        people = _people(policy, present, ask)
        if not people:
            row.outcome = "nobody"
            for where in sorted({hat.member for hat in ask.hats}) or [_subject(row.about)]:
                self._findings.note(tx, NOBODY, where, _nobody(policy, where))
            return
        for member in sorted({hat.member for hat in ask.hats}):
            self._findings.clear(tx, NOBODY, member)
        facts: dict[str, Fact] = {"about": row.about, "stage": row.stage, "to": ",".join(people), **dict(ask.facts)}
        row.outcome = "told"
        row.entry = tx.record(Event("reminder.told", "exchange", (_subject(row.about),), facts))
        day = london_day(tx.now).isoformat()
        tx.session.add_all(ToldRow(stage=row.id or 0, person=person, day=day) for person in people)

    def _note_uncovered(self, policy: PolicySet, now: datetime) -> None:
        """Once, while the calendar of the notices says nothing of today; cleared when it does again."""
        words = uncovered(policy, now)
        subject = policy.notice_calendar.id if policy.notice_calendar else "calendars"
        if (words is not None) == self._findings.stands(UNCOVERED, subject):
            return
        with self._ground.transaction() as tx:
            if words is not None:
                self._findings.note(tx, UNCOVERED, subject, words)
            else:
                self._findings.clear(tx, UNCOVERED, subject)


def told_on(session: Session, day: date) -> set[str]:
    """Who was told a stage on that day in London."""
    return set(session.exec(select(ToldRow.person).where(ToldRow.day == day.isoformat())).all())


def _people(policy: PolicySet, present: Presence, ask: Ask) -> tuple[str, ...]:
    """Everybody who wears one of the hats today, and those named besides who are here."""
    wearing = (person for hat in ask.hats for person in audience(policy, hat, present))
    named = (person for person in ask.people if _here(policy, present, person))
    return tuple(dict.fromkeys((*wearing, *named)))


def _all_left(present: Presence, ask: Ask) -> bool:
    """Whether it is only for members that have left: nobody is missing there."""
    return bool(ask.hats) and not ask.people and all(hat.member in present.left for hat in ask.hats)


def _here(policy: PolicySet, present: Presence, person_id: str) -> bool:
    person = policy.person(person_id)
    return person is not None and present.here(person)


def _nobody(policy: PolicySet, where: str) -> str:
    member = policy.member(where)
    name = member.called if member else where
    return (
        f"{name} has nobody whom a reminder could reach: nobody with the role, no governance lead who is here, and no "
        "address of its information governance team. Enter one in the policy set."
    )


def _subject(about: str) -> str:
    return about.partition(":")[2]
