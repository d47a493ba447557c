"""Being away, with or without somebody who stands in, and being back. Everybody of the member can see it.

Who stands in hears of everything from the first day on, and who was away of what is left on the day of their return.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlmodel import Session, col, select

from server.domain.agreement import Person, PolicySet
from server.domain.audience import Hat
from server.domain.errors import Forbidden, Missing, Refused
from server.domain.ledger import Event, Fact
from server.domain.notice import Button
from server.domain.schedule import LONDON, day_words, london_day
from server.exchange.chased import Ask, Item, Planned
from server.exchange.chasing import AT
from server.exchange.delivery import Outcome
from server.exchange.ground import Ground
from server.store import Tx
from server.store.duty_tables import AbsenceRow
from server.store.tables import NoticeRow

MOST_DAYS = 366
DUTIES = frozenset({"designated_person", "data_manager", "governance_lead", "administrator"})
"""Roles in which somebody can be asked for something."""
AWAY, BEGINS, ENDS = "away", "begins", "ends"


@dataclass(frozen=True, slots=True)
class AbsenceView:
    """Somebody who is away now or will be."""

    person: str
    name: str
    first: date
    last: date
    cover: str | None
    buttons: tuple[Button, ...]

    @property
    def words(self) -> str:
        """A clause: away from Mon 21 Dec 2026 to Mon 4 Jan 2027, p-kent-2 stands in."""
        stands = f"{self.cover} stands in" if self.cover else "nobody stands in"
        return f"away from {day_words(self.first)} to {day_words(self.last)}, {stands}"


class Absences:
    """Says who is away, and that they are back: themselves, their governance lead or their administrator."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def away(
        self, person_id: str, first: date, last: date, cover: str | None = None, *, by: str, via: str = "cli"
    ) -> Outcome:
        """From the first day to the last, both included; an absence that has any of those days is replaced as a whole.

        Raises Refused for days that are over, too far ahead or the wrong way round, and for who cannot stand in.
        """
        with self._ground.transaction() as tx:
            policy = self._ground.in_force_at(tx.session).policy
            person = self._named(tx, policy, person_id, by)
            _require_days(first, last, london_day(tx.now))
            stands_in = self._cover(tx, policy, person, cover, first, last)
            rows = _overlapping(tx.session, person.id, first, last)
            if any((r.from_day, r.until_day, r.cover) == (str(first), str(last), stands_in) for r in rows):
                return Outcome(f"{person.name} is down as away for those days already.", changed=False)
            for row in rows:
                row.ended_at = tx.now
            tx.session.add_all(rows)
            row = AbsenceRow(
                person=person.id, from_day=str(first), until_day=str(last), cover=stands_in, at=tx.now, by=by
            )
            tx.session.add(row)
            tx.session.flush()
            facts: dict[str, Fact] = {"from": str(first), "until": str(last), "cover": stands_in, "via": via}
            about = tx.record(Event("person.away", by, (person.id,), facts))
            _pace_again(tx, person.id)
            for earlier in rows:
                self._tell(tx, policy, person, earlier, about=about, by=by, replaced=True)
            self._tell(tx, policy, person, row, about=about, by=by)
            view = self._view(policy, row, by)
            before = "; ".join(self._view(policy, earlier, by).words for earlier in rows)
        tail = "" if stands_in else " What is theirs goes to their colleagues with the same role, else to the lead."
        instead = f" That was: {before}." if before else ""
        return Outcome(f"{person.name} is {view.words}.{tail}{instead}", changed=True)

    def back(self, person_id: str, *, by: str, via: str = "cli") -> Outcome:
        """What they are away for now ends; with nothing now, what is ahead is called off."""
        with self._ground.transaction() as tx:
            policy = self._ground.in_force_at(tx.session).policy
            person = self._named(tx, policy, person_id, by)
            today = london_day(tx.now)
            rows = _overlapping(tx.session, person.id, today, date.max)
            now = [row for row in rows if row.from_day <= str(today)] or rows
            if not now:
                return Outcome(f"{person.name} is not down as away.", changed=False)
            for row in now:
                row.ended_at = tx.now
            tx.session.add_all(now)
            tx.session.flush()
            about = tx.record(Event("person.back", by, (person.id,), {"via": via}))
            _pace_again(tx, person.id)
            for row in now:
                self._tell(tx, policy, person, row, about=about, by=by)
        return Outcome(f"{person.name} is back: reminders come to them again.", changed=True)

    def of_member(self, person_id: str) -> tuple[AbsenceView, ...]:
        """Who of the person's own member is away or will be, the earliest first."""
        policy, me = self._ground.policy, self._ground.person(person_id)
        ids = [person.id for person in policy.people_of(me.member)]
        today = london_day(self._ground.now())
        query = select(AbsenceRow).where(
            col(AbsenceRow.person).in_(ids), col(AbsenceRow.ended_at).is_(None), AbsenceRow.until_day >= str(today)
        )
        with self._ground.store.reading() as session:
            rows = session.exec(query.order_by(col(AbsenceRow.from_day), col(AbsenceRow.id))).all()
        return tuple(self._view(policy, row, person_id) for row in rows)

    def stand_ins(self, person_id: str, of: str) -> tuple[Person, ...]:
        """Who could stand in for somebody of the person's member: whoever shares a role with them."""
        policy, me = self._ground.policy, self._ground.person(person_id)
        person = policy.person(of)
        if person is None or person.member != me.member:
            return ()
        return tuple(p for p in policy.people_of(me.member) if p.id != of and p.roles & person.roles & DUTIES)

    # -- who may, and who can stand in

    def _named(self, tx: Tx, policy: PolicySet, person_id: str, by: str) -> Person:
        """The person, if whoever says it may say it of them. A stranger learns nothing."""
        actor, person = self._ground.acting(tx.session, by), policy.person(person_id)
        if person is None or person.member != actor.member:
            raise Missing("There is no such person of your organisation.")
        if actor.id != person.id and not actor.roles & {"governance_lead", "administrator"}:
            raise Forbidden("Only they themselves, a governance lead or an administrator of theirs can say that.")
        return person

    def _cover(
        self, tx: Tx, policy: PolicySet, person: Person, cover: str | None, first: date, last: date
    ) -> str | None:
        if not cover:
            return None
        found = policy.person(cover)
        if found is None or found.member != person.member or found.id == person.id:
            raise Refused(
                f"Nobody else of your organisation is called {_quoted(cover)}: name a colleague by their id, such as "
                f"{_example(policy, person)}.",
                code="COVER_UNKNOWN",
            )
        if not found.roles & person.roles & DUTIES:
            raise Refused(f"{found.name} has none of the roles in which {person.name} is asked.", code="COVER_ROLE")
        self._ground.acting(tx.session, found.id)
        away = _overlapping(tx.session, found.id, first, last)
        if away:
            raise Refused(
                f"{found.name} is away themselves from {_day(away[0].from_day)} to {_day(away[0].until_day)}: name "
                "somebody else, or other days.",
                code="COVER_AWAY",
            )
        return found.id

    # -- telling

    def _tell(
        self, tx: Tx, policy: PolicySet, person: Person, row: AbsenceRow, *, about: int, by: str, replaced: bool = False
    ) -> None:
        """Who stands in, the leads, and the person if somebody else said it."""
        leads = [lead.id for lead in policy.people_of(person.member, "governance_lead")]
        people = dict.fromkeys([*([row.cover] if row.cover else []), *leads, person.id])
        facts = {
            "name": person.name,
            "first": _day(row.from_day),
            "last": _day(row.until_day),
            "cover": row.cover,
            "over": row.ended_at is not None,
            "replaced": replaced,
        }
        for told in people:
            if told == by or policy.person(told) is None:
                continue
            notice = self._ground.notices.notice(
                "away", person=told, member=person.member, thread=f"{AWAY}:{row.id}",
                facts={**facts, "yours": told == row.cover, "you": told == person.id},
            )  # fmt: skip
            tx.notify(notice, about=about)

    def _view(self, policy: PolicySet, row: AbsenceRow, reader: str) -> AbsenceView:
        person, me = policy.person(row.person), policy.person(reader)
        may = me is not None and (reader == row.person or bool(me.roles & {"governance_lead", "administrator"}))
        button = (Button("back", "I am back" if reader == row.person else "They are back", row.person),) if may else ()
        name = person.name if person else row.person
        return AbsenceView(
            row.person, name, date.fromisoformat(row.from_day), date.fromisoformat(row.until_day), row.cover, button
        )


class AbsenceChase:
    """Plans the two days on which an absence changes who is told: its first, and the one after its last."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    @property
    def prefixes(self) -> frozenset[str]:
        """`away`."""
        return frozenset({AWAY})

    def plan(self, session: Session, now: datetime) -> Iterable[Planned]:
        """A stage for each end of every absence that stands."""
        query = select(AbsenceRow).where(
            col(AbsenceRow.ended_at).is_(None), AbsenceRow.until_day >= str(london_day(now) - timedelta(1))
        )
        for row in session.exec(query).all():
            after = date.fromisoformat(row.until_day) + timedelta(1)
            for stage, day in ((BEGINS, date.fromisoformat(row.from_day)), (ENDS, after)):
                yield Planned(f"{AWAY}:{row.id}", stage, datetime.combine(day, AT, tzinfo=LONDON))

    def ask(self, session: Session, about: str, stage: str, now: datetime) -> Ask | None:
        """Who stands in, on the first day; the person, on the day of their return; if it still stands."""
        row = session.get(AbsenceRow, int(about.partition(":")[2]))
        if row is None or row.ended_at is not None:
            return None
        if stage == ENDS:
            return Ask(people=(row.person,))
        return Ask(people=(row.cover,)) if row.cover else None

    def items(self, session: Session, hat: Hat, now: datetime) -> Iterable[Item]:
        """None of its own: what is left to do is what matters."""
        return ()


def days_said(first: str, last: str) -> tuple[date, date]:
    """Two days as people write them. Raises Refused with how to write them."""
    try:
        return date.fromisoformat(first.strip()), date.fromisoformat(last.strip())
    except ValueError:
        raise Refused(
            "Write both days as year-month-day: 2026-12-21 2027-01-04, the last day included.", code="DAYS_UNREADABLE"
        ) from None


def _require_days(first: date, last: date, today: date) -> None:
    if last < first:
        raise Refused("The last day is before the first: please turn them round.", code="DAYS_REVERSED")
    if last < today:
        raise Refused("Those days are over: name days from today on.", code="DAYS_OVER")
    if (last - today).days >= 2 * MOST_DAYS:
        raise Refused("Those days are too far ahead: name days within the next two years.", code="DAYS_FAR")
    if (last - first).days >= MOST_DAYS:
        raise Refused("Nobody is away for more than a year here: let the policy name somebody else.", code="DAYS_MANY")


def _overlapping(session: Session, person: str, first: date, last: date) -> list[AbsenceRow]:
    """What stands of this person for any of those days."""
    query = select(AbsenceRow).where(
        AbsenceRow.person == person, col(AbsenceRow.ended_at).is_(None),
        AbsenceRow.from_day <= str(last), AbsenceRow.until_day >= str(first),
    ).order_by(col(AbsenceRow.from_day))  # fmt: skip
    return list(session.exec(query).all())


def _pace_again(tx: Tx, person: str) -> None:
    """What waits for the end of an absence, or for a day that is now in one, gets another time."""
    query = select(NoticeRow).where(NoticeRow.person == person, col(NoticeRow.send_at) > tx.now)
    for row in tx.session.exec(query).all():
        row.send_at, row.joins = None, ""
        tx.session.add(row)


def _quoted(text: str) -> str:
    return text if text.isascii() and len(text) <= 40 and text.replace("-", "").isalnum() else "that"


def _example(policy: PolicySet, person: Person) -> str:
    others = [p.id for p in policy.people_of(person.member) if p.id != person.id and p.roles & person.roles & DUTIES]
    return next(iter(others), person.id)


def _day(text: str) -> str:
    return day_words(date.fromisoformat(text))
