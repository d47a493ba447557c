"""What every member says again each year: given by its governance leads, seen by everybody, reminded of in time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import func
from sqlmodel import Session, col, select

from server.domain.agreement import Person, PolicySet
from server.domain.audience import Hat
from server.domain.errors import Forbidden
from server.domain.ledger import Event, Fact
from server.domain.notice import Button
from server.domain.renewals import OVER, present
from server.domain.schedule import day_words, end_of, in_words, london_day, midnight
from server.domain.yearly import KIND, NO, YES, Standing, asked_for, checked, form_text, read_form, standing
from server.exchange.chased import Ask, Item, Planned
from server.exchange.delivery import Outcome
from server.exchange.documents import Paper
from server.exchange.ground import Ground
from server.store.duty_tables import StageRow, YearlyRow
from server.store.tables import InForceRow

PREFIX = "yearly"


@dataclass(frozen=True, slots=True)
class YearlyView:
    """One statement of one member, as anybody of the agreement may see it. `counts`: there is one for today.

    `missing`: what was not ticked in it, for its own member and auditors; None for everybody else.
    """

    member: str
    called: str
    kind: str
    title: str
    clause: str
    counts: bool
    given: date | None
    until: date
    words: str
    missing: tuple[str, ...] | None
    buttons: tuple[Button, ...]


class Yearly:
    """Gives, shows and chases the statements."""

    prefixes = frozenset({PREFIX})

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._planned: tuple[str, date, int] | None = None
        """The revision, day and newest statement for which every stage is a row."""

    def attest_yearly(self, person_id: str, kind: str, answers: Mapping[str, str], *, via: str) -> Outcome:
        """A governance lead gives it for their member; it counts from today. The same again today changes nothing.

        `answers`: yes or no for each tick of the kind, nothing else. Raises Forbidden without `attest.yearly`, Refused
        for what cannot be stated.
        """
        with self._ground.transaction() as tx:
            person = self._ground.acting(tx.session, person_id)
            policy = self._ground.in_force_at(tx.session).policy
            if not policy.may(person, "attest.yearly"):
                raise Forbidden("Only a governance lead of your organisation gives its yearly statements.")
            stored = json.dumps(checked(kind, answers), sort_keys=True)
            last = _newest(tx.session).get((person.member, kind))
            if last is not None and (london_day(last.at), last.answers) == (london_day(tx.now), stored):
                return Outcome(f"{last.by} gave it already, {in_words(last.at)}.", changed=False)
            tx.session.add(YearlyRow(member=person.member, kind=kind, at=tx.now, by=person.id, answers=stored))
            tx.session.flush()
            ticked = sum(answer == YES for answer in json.loads(stored).values())
            facts: dict[str, Fact] = {"member": person.member, "kind": kind, "ticked": ticked, "via": via}
            tx.record(Event("statement.given", person.id, (), facts))
            now_standing = self._standing(tx.session, policy, person.member, kind)
        until = f" It counts until {day_words(now_standing.last)}." if now_standing else ""
        return Outcome(f"{KIND[kind].title}: given for {self._ground.called(person.member)}.{until}", changed=True)

    def by_form(self, person_id: str, kind: str, text: str, *, via: str) -> Outcome:
        """The same by the ticked text of /attest/."""
        return self.attest_yearly(person_id, kind, read_form(text), via=via)

    def attest_all(self, person_id: str, kind: str, but: Iterable[str], *, via: str) -> Outcome:
        """The same with every tick but those named."""
        answers = dict.fromkeys(KIND[kind].names, YES) if kind in KIND else {}
        return self.attest_yearly(person_id, kind, {**answers, **dict.fromkeys(but, NO)}, via=via)

    # -- reading

    def table(self, person_id: str) -> tuple[YearlyView, ...]:
        """Every member's statements, for whoever is a person of the agreement. Raises Missing."""
        return self._table(self._ground.person(person_id))

    def every(self) -> tuple[YearlyView, ...]:
        """The same for the operator."""
        return self._table(None)

    def forms(self, person: Person) -> tuple[Paper, ...]:
        """Texts to tick, for who may give them: those that do not count today, or for a month only."""
        now = self._ground.now()
        if not self._ground.policy.may(person, "attest.yearly"):
            return ()
        views = [view for view in self._table(person, (person.member,)) if view.buttons]
        return tuple(
            Paper.of(f"yearly-{view.kind}.txt", form_text(KIND[view.kind], view.words).encode(), now) for view in views
        )

    # -- being reminded of

    def plan(self, session: Session, now: datetime) -> Iterable[Planned]:
        """Every stage that has come by now and is no row yet."""
        revision, today = self._ground.in_force_at(session).revision, london_day(now)
        looked_at = (revision, today, session.exec(select(func.max(YearlyRow.id))).one() or 0)
        if self._planned == looked_at:
            return ()
        query = select(StageRow.about, StageRow.stage).where(col(StageRow.about).startswith(f"{PREFIX}:"))
        there = set(session.exec(query).all())
        new = [
            Planned(one.about, stage, midnight(day))
            for one in self._standings(session, self._here(session))
            for stage, day in one.stages()
            if day <= today and (one.about, stage) not in there
        ]
        if not new:
            self._planned = looked_at
        return new

    def ask(self, session: Session, about: str, stage: str, now: datetime) -> Ask | None:
        """The member's governance leads; None when it was given meanwhile."""
        _, member, kind, _ = about.split(":")
        policy = self._ground.in_force_at(session).policy
        one = self._standing(session, policy, member, kind) if policy.member(member) else None
        if one is None or one.about != about:
            return None
        return Ask((Hat(member, "governance_lead"),), facts=(("kind", kind), ("last", one.last.isoformat())))

    def items(self, session: Session, hat: Hat, now: datetime) -> Iterable[Item]:
        """What the member's governance leads have to give soon, or should have given."""
        if hat.role != "governance_lead":
            return ()
        today = london_day(now)
        mine = self._standings(session, (hat.member,))
        return [
            _item(one, stage == OVER, today)
            for one in sorted(mine, key=lambda one: one.last)
            if (stage := present(one.stages(), today)) is not None
        ]

    # -- inside

    def _table(self, person: Person | None, members: tuple[str, ...] | None = None) -> tuple[YearlyView, ...]:
        today, policy = london_day(self._ground.now()), self._ground.policy
        with self._ground.store.reading() as session:
            newest = _newest(session)
            return tuple(
                self._view(policy, one, newest.get((one.member, one.kind)), person, today)
                for one in self._standings(session, members or self._here(session))
            )

    def _view(
        self, policy: PolicySet, one: Standing, row: YearlyRow | None, person: Person | None, today: date
    ) -> YearlyView:
        own = person is None or person.member == one.member or "auditor" in person.roles
        soon = present(one.stages(), today) is not None or not one.counts(today)
        gives = person is not None and person.member == one.member and policy.may(person, "attest.yearly")
        button = Button("attest-yearly", "Give it", one.kind, "primary")
        kind = KIND[one.kind]
        return YearlyView(
            one.member, self._ground.called(one.member), one.kind, kind.title, kind.clause, one.counts(today),
            one.given, one.last, one.words(today), _missing(row) if own and row is not None else None,
            (button,) if gives and soon else (),
        )  # fmt: skip

    def _here(self, session: Session) -> tuple[str, ...]:
        """The members that have not left."""
        policy, left = self._ground.in_force_at(session).policy, self._ground.facts_at(session).left
        return tuple(member.id for member in policy.members if member.id not in left)

    def _standings(self, session: Session, members: Iterable[str]) -> list[Standing]:
        """Every kind of these members."""
        policy = self._ground.in_force_at(session).policy
        newest, founded = _newest(session), _founded(session)
        found = []
        for member in members:
            for kind in asked_for(policy):
                row = newest.get((member, kind.id))
                given = london_day(row.at) if row else None
                found.append(standing(policy, member, kind.id, given, founded))
        return [one for one in found if one is not None]

    def _standing(self, session: Session, policy: PolicySet, member: str, kind: str) -> Standing | None:
        row = _newest(session).get((member, kind))
        return standing(policy, member, kind, london_day(row.at) if row else None, _founded(session))


def _item(one: Standing, over: bool, today: date) -> Item:
    title, button = KIND[one.kind].title, Button("attest-yearly", "Give it", one.kind, "primary")
    if one.given is None:
        words = f"Your organisation {'was to give' if over else 'gives'} it by {day_words(one.last)}."
    else:
        words = f"It {'ran out on' if over else 'counts until'} {day_words(one.last)}: please give it again."
    return Item(
        one.about, "overdue" if over else "renew", f"Yearly statement: {title.casefold()}", words, end_of(one.last),
        "bad" if over else "attention", (button,), f"attest/yearly-{one.kind}.txt",
    )  # fmt: skip


def _newest(session: Session) -> dict[tuple[str, str], YearlyRow]:
    """{(member, kind): the statement that was given last}."""
    rows = session.exec(select(YearlyRow).order_by(col(YearlyRow.id))).all()
    return {(row.member, row.kind): row for row in rows}


def _founded(session: Session) -> date:
    """The day on which the first policy came into force here."""
    at = session.exec(select(InForceRow.at).order_by(col(InForceRow.number)).limit(1)).first()
    return london_day(at) if at else date.min


def _missing(row: YearlyRow) -> tuple[str, ...]:
    """What was not ticked, in words."""
    answers = json.loads(row.answers)
    return tuple(words for name, words in KIND[row.kind].ticks if answers.get(name) != YES)
