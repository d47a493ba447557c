"""What people say about what is owed: nothing to send, cannot, done elsewhere, please send; and what happened outside.

Whoever's roles answer for their member says it for the member. A second press changes nothing and says who was first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from sqlmodel import Session, select

from server.domain import guard
from server.domain.agreement import Exchange, Person, PolicySet
from server.domain.calendar import working_days_after
from server.domain.decision import Question, decide
from server.domain.due import due_after_event
from server.domain.errors import Forbidden, Missing, Refused
from server.domain.ledger import Event, Fact
from server.domain.obligation import MET, Answer
from server.domain.schedule import LONDON, Period, clock_words, current_period, day_words, in_words, london_day
from server.exchange.delivery import Outcome
from server.exchange.fulfilment import Fulfilment
from server.exchange.ground import Ground
from server.exchange.hindrance import Hindrance
from server.exchange.nil_returns import Nil, NilReturns
from server.exchange.obligation_making import pairs
from server.exchange.obligation_rows import of_group
from server.store import Tx
from server.store.duty_tables import ObligationRow, OutsideEventRow

OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Left:
    """What a form asks about: "Post-16 destinations, Nov 2026", and whom it is about: ids and names."""

    what: str
    members: tuple[tuple[str, str], ...] = ()


class Answers:
    """The verbs of designated people, data managers and administrators."""

    def __init__(self, ground: Ground, fulfilment: Fulfilment, nil_returns: NilReturns) -> None:
        self._ground, self._fulfilment, self._nil_returns = ground, fulfilment, nil_returns

    def nil(
        self, person_id: str, exchange_id: str, period: str, recipients: str | Iterable[str] | None = None, *, via: str
    ) -> Outcome:
        """Nothing to send this period to these members, or to everybody that it could go to. Raises Refused."""
        with self._ground.transaction() as tx:
            person, exchange, month = self._answering(tx.session, person_id, exchange_id, period)
            to = self._permitted(tx, person, exchange, month, _listed(recipients))
            nil = Nil(person, exchange, str(month), to, via)
            earlier = self._nil_returns.say(tx, nil)
            if earlier is not None:
                when = clock_words(earlier.at, tx.now)
                return Outcome(f"{earlier.person} said so already, {when}.", changed=False)
        names = ", ".join(self._ground.called(one) for one in to)
        return Outcome(f"Noted: nothing to send for {exchange.called}, {month.words}, to {names}.", changed=True)

    def cannot(
        self, person_id: str, exchange_id: str, period: str, recipient: str | None, reason: str, *, via: str
    ) -> Outcome:
        """It cannot be sent, and why, without personal data: to one member, or to all that wait. Ends its reminders."""
        tidy = guard.reason(reason)
        with self._ground.transaction() as tx:
            person, exchange, month = self._answering(tx.session, person_id, exchange_id, period)
            rows = self._mine(tx.session, tx.now, person, exchange, month, _listed(recipient))
            open_rows = [row for row in rows if row.answer == Answer.NONE.value]
            if not open_rows:
                return Outcome(_answered_already(rows, tx.now), changed=False)
            self._fulfilment.look_back(tx, open_rows)
            for row in open_rows:
                row.answer, row.reason, row.met_at, row.met_by = Answer.CANNOT.value, tidy, tx.now, person.id
                tx.session.add(row)
            facts = {**_facts(open_rows), "via": via, "reason": guard.short_hash(tidy.encode())}
            tx.record(Event("obligation.cannot", person.id, (), facts))
        names = ", ".join(self._ground.called(row.recipient) for row in open_rows if row.recipient)
        to = f", to {names}" if names else ""
        what = f"{exchange.called}, {month.words}{to}"
        return Outcome(f"Noted: it cannot be {'sent' if exchange.by_file else 'done'} ({what}).", changed=True)

    def done(self, person_id: str, exchange_id: str, period: str, day: str | date, *, via: str) -> Outcome:
        """What is done elsewhere was done on that day: "downloaded on" (R-113)."""
        with self._ground.transaction() as tx:
            person, exchange, month = self._answering(tx.session, person_id, exchange_id, period)
            if exchange.by_file:
                raise Refused(
                    f"{exchange.called} is met by a file: put it into outbox/{exchange.id}/{month}/.", code="BY_FILE"
                )
            on = _day(day)
            rows = self._mine(tx.session, tx.now, person, exchange, month, ())
            row = rows[0]
            if Answer(row.answer) in MET:
                return Outcome(_answered_already(rows, tx.now), changed=False)
            if not date.fromisoformat(row.opens) <= on <= london_day(tx.now):
                raise Refused(
                    f"The day is one from {day_words(date.fromisoformat(row.opens))} until today.", code="DAY_OUTSIDE"
                )
            self._fulfilment.look_back(tx, rows)
            row.answer, row.reference, row.met_at, row.met_by = Answer.DONE.value, on.isoformat(), tx.now, person.id
            tx.session.add(row)
            late = tx.now > row.due_at and not row.blocked
            facts: dict[str, Fact] = {**_facts(rows), "answer": row.answer, "late": late, "via": via, "on": str(on)}
            tx.record(Event("obligation.met", person.id, (), facts))
        return Outcome(f"{exchange.called}, {month.words}: done on {day_words(on)}.", changed=True)

    def ask_for(
        self, person_id: str, exchange_id: str, senders: str | Iterable[str] | None = None, *, via: str
    ) -> Outcome:
        """A member's data manager asks others to send what is sent on request: due as the agreement says."""
        with self._ground.transaction() as tx:
            policy = self._ground.in_force_at(tx.session).policy
            person = self._person(tx.session, policy, person_id, "data_manager")
            exchange = _exchange_of(policy, person, exchange_id)
            opens, due = self._due_when_asked(tx, policy, exchange)
            month = _period_at(exchange, tx.now)
            asked = self._senders(tx, policy, person, exchange, _listed(senders))
            new = [one for one in asked if self._row(tx, exchange, month, one, person.member) is None]
            if not new:
                row = self._row(tx, exchange, month, asked[0], person.member)
                who = row.asked_by if row else person.id
                return Outcome(f"{who} asked for that already.", changed=False)
            for sender in new:
                self._add(tx, exchange, month, (sender, person.member), opens, due, asked_by=person.id)
            facts: dict[str, Fact] = {
                "exchange": exchange.id, "period": str(month), "senders": ",".join(new), "recipient": person.member,
                "due": due.isoformat(), "via": via,
            }  # fmt: skip
            tx.record(Event("obligation.asked", person.id, (), facts))
            for sender in new:
                self._fulfilment.touch(tx, exchange.id, str(month), sender, (person.member,))
        names = ", ".join(self._ground.called(one) for one in new)
        return Outcome(f"Asked {names} for {exchange.called}, due {in_words(due)}.", changed=True)

    def announce(self, event: str, day: str | date, by: str) -> Outcome:
        """Something outside happened on that day; every member that takes part has its task from it (R-113)."""
        with self._ground.transaction() as tx:
            policy = self._ground.in_force_at(tx.session).policy
            self._may_announce(tx.session, policy, by)
            on = _day(day)
            names = _events(policy)
            if event not in names:
                known = ", ".join(sorted(names)) or "none"
                raise Missing(f"The agreement waits for no event of that name; there are: {known}.")
            if on > london_day(tx.now):
                raise Refused("It is announced once it has happened: the day is still to come.", code="DAY_OUTSIDE")
            row = tx.session.get(OutsideEventRow, (event, on.isoformat()))
            if row is not None:
                return Outcome(f"{row.by} announced it already, {clock_words(row.at, tx.now)}.", changed=False)
            tx.session.add(OutsideEventRow(name=event, day=on.isoformat(), at=tx.now, by=by))
            tasks = sum(self._tasks(tx, policy, exchange, event, on) for exchange in policy.exchanges)
            facts: dict[str, Fact] = {"event": event, "day": on.isoformat(), "tasks": tasks}
            tx.record(Event("event.announced", by, (), facts))
        made = f" {tasks} members have it to do." if tasks else ""
        return Outcome(f"{event} is announced for {day_words(on)}.{made}", changed=True)

    # -- what a form shows

    def left(self, person_id: str, exchange_id: str, period: str) -> Left:
        """What the person's member has not answered yet. Raises Refused with where it stands when nothing is left."""
        with self._ground.store.reading() as session:
            person, exchange, month = self._answering(session, person_id, exchange_id, period)
            now = self._ground.now()
            rows = self._mine(session, now, person, exchange, month, ())
            hindrance = Hindrance.seen(self._ground, session)
            asked = [row for row in rows if row.answer == Answer.NONE.value and hindrance.of(row, now) is None]
            if not asked:
                raise Refused(_answered_already(rows, now), code="ANSWERED")
        members = tuple((row.recipient, self._ground.called(row.recipient)) for row in asked if row.recipient)
        return Left(f"{exchange.called}, {month.words}", members)

    def askable(self, person_id: str, exchange_id: str) -> Left:
        """Whom the person's member may ask for what is sent on request."""
        with self._ground.store.reading() as session:
            policy = self._ground.in_force_at(session).policy
            person = self._person(session, policy, person_id, "data_manager")
            exchange = _exchange_of(policy, person, exchange_id)
        senders = [sender for sender, to in pairs(policy, exchange) if to == person.member]
        return Left(exchange.called, tuple((one, self._ground.called(one)) for one in senders))

    # -- who and what

    def _answering(
        self, session: Session, person_id: str, exchange_id: str, period: str
    ) -> tuple[Person, Exchange, Period]:
        policy = self._ground.in_force_at(session).policy
        person = self._person(session, policy, person_id, None)
        month = Period.parse(period)
        if month is None:
            raise Refused("The period is a month, written like 2026-11.", code="PERIOD_UNKNOWN")
        return person, _exchange_of(policy, person, exchange_id), month

    def _person(self, session: Session, policy: PolicySet, person_id: str, role: str | None) -> Person:
        person = self._ground.acting(session, person_id)
        if not policy.may(person, "obligation.answer") or (role is not None and role not in person.roles):
            who = "a data manager" if role else "a designated person or data manager"
            raise Forbidden(f"Only {who} of your organisation can say that.")
        return person

    def _permitted(
        self, tx: Tx, person: Person, exchange: Exchange, month: Period, named: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Those of the named that it may be said to, else of all; their keys do not matter. Raises Refused."""
        policy, facts = self._ground.in_force_at(tx.session).policy, self._ground.facts_at(tx.session)
        others = [m.id for m in policy.members if m.id != person.member and policy.takes_part(m.id, exchange)]
        answers = {
            one: decide(policy, Question(person.member, one, exchange.id, tx.now, period=month, facts=facts))
            for one in named or others
        }
        denied = [decision for decision in answers.values() if not decision.permit]
        found = tuple(sorted(one for one, decision in answers.items() if decision.permit))
        if not found or (len(named) == 1 and denied):
            raise Refused(denied[0].sentence if denied else "Nobody takes part.", code="DENIED")
        return found

    def _mine(
        self, session: Session, now: datetime, person: Person, exchange: Exchange, month: Period, named: tuple[str, ...]
    ) -> list[ObligationRow]:
        """What the person's member owes, in a window that has opened. Raises Missing, or Refused before that."""
        rows = of_group(session, exchange.id, str(month), person.member)
        if not rows:
            raise Missing(f"Your organisation owes nothing for {exchange.called}, {month.words}.")
        found = [row for row in rows if not named or row.recipient in named]
        if len(found) < len(named):
            raise Missing(f"Your organisation owes no such member anything for {exchange.called}, {month.words}.")
        if all(row.opens > london_day(now).isoformat() for row in found):
            raise Refused(
                f"That is not asked for before {day_words(date.fromisoformat(found[0].opens))}.", code="AHEAD"
            )
        return found

    # -- on request

    def _due_when_asked(self, tx: Tx, policy: PolicySet, exchange: Exchange) -> tuple[date, datetime]:
        """From when and until when: counted from today, or from the event if that is later."""
        if exchange.obligation != "on_request":
            raise Refused(f"{exchange.called} is not sent on request.", code="NOT_ON_REQUEST")
        waits, calendar = exchange.recurrence.after_event if exchange.recurrence else None, policy.calendar_of(exchange)
        if waits is None or calendar is None:
            raise Refused(
                f"The agreement does not say how soon {exchange.called} is sent when it is asked for: agree a day with "
                "the sender.",
                code="NO_TERM",
            )
        today = london_day(tx.now)
        query = select(OutsideEventRow.day).where(OutsideEventRow.name == waits.event)
        days = [date.fromisoformat(day) for day in tx.session.exec(query).all()]
        due = due_after_event(exchange, calendar, max([*days, today]))
        if due is None:
            raise Refused(f"{exchange.called} waits for nothing.", code="NO_TERM")
        return today, due

    def _senders(
        self, tx: Tx, policy: PolicySet, person: Person, exchange: Exchange, named: tuple[str, ...]
    ) -> tuple[str, ...]:
        there = [sender for sender, to in pairs(policy, exchange) if to == person.member]
        for one in named:
            if one not in there:
                raise Missing(f"There is no member called {one[:40]} that could send {exchange.called}.")
        hindrance = Hindrance.seen(self._ground, tx.session)
        able = [s for s in named or there if hindrance.between(exchange.id, s, person.member, tx.now) is None]
        if not able:
            why = hindrance.between(exchange.id, (named or tuple(there))[0], person.member, tx.now)
            raise Refused(f"Nobody could send it to you now: {why}.", code="DENIED")
        return tuple(able)

    def _row(self, tx: Tx, exchange: Exchange, month: Period, sender: str, to: str) -> ObligationRow | None:
        query = select(ObligationRow).where(
            ObligationRow.exchange == exchange.id, ObligationRow.period == str(month), ObligationRow.sender == sender,
            ObligationRow.recipient == to,
        )  # fmt: skip
        return tx.session.exec(query).first()

    def _add(
        self, tx: Tx, exchange: Exchange, month: Period, pair: tuple[str, str], opens: date, due: datetime,
        *, asked_by: str | None,
    ) -> None:  # fmt: skip
        row = ObligationRow(
            exchange=exchange.id, period=str(month), sender=pair[0], recipient=pair[1],
            kind=exchange.obligation or "", opens=opens.isoformat(), due_at=due,
            revision=self._ground.in_force_at(tx.session).revision, made_at=tx.now, asked_by=asked_by,
        )  # fmt: skip
        tx.session.add(row)
        tx.session.flush()

    # -- outside

    def _may_announce(self, session: Session, policy: PolicySet, by: str) -> None:
        if by == OPERATOR:
            raise Forbidden("Say who announces it: --by PERSON.")
        if not policy.may(self._ground.acting(session, by), "event.announce"):
            raise Forbidden("Only an administrator announces what happened outside.")

    def _tasks(self, tx: Tx, policy: PolicySet, exchange: Exchange, event: str, on: date) -> int:
        """A task for every member, due so soon after the event as its acknowledgement says; how many are new."""
        external, calendar = exchange.external_event, policy.calendar_of(exchange)
        if exchange.obligation != "external" or external is None or external.name != event or calendar is None:
            return 0
        days = int(exchange.acknowledge.within.removesuffix("wd"))
        clock = datetime.strptime((exchange.recurrence.due.time if exchange.recurrence else "17:00"), "%H:%M").time()
        due = datetime.combine(working_days_after(calendar, on, days), clock, tzinfo=LONDON)
        if due <= tx.now:  # told of too late: nobody is late with what nobody knew of
            due = datetime.combine(working_days_after(calendar, london_day(tx.now), days), clock, tzinfo=LONDON)
        month, left = Period(on.year, on.month), self._ground.facts_at(tx.session).left
        inside = [m.id for m in policy.members if policy.takes_part(m.id, exchange) and m.id not in left]
        new = [member for member in inside if self._row(tx, exchange, month, member, "") is None]
        for member in new:
            self._add(tx, exchange, month, (member, ""), on, due, asked_by=None)
        return len(new)


def _exchange_of(policy: PolicySet, person: Person, exchange_id: str) -> Exchange:
    """Raises Missing for one that there is not, and for one that the person's member may not know of (R-114)."""
    exchange = policy.exchange(exchange_id)
    if exchange is None or not policy.takes_part(person.member, exchange):
        raise Missing("There is no such exchange.")
    return exchange


def _listed(members: str | Iterable[str] | None) -> tuple[str, ...]:
    if not members:
        return ()
    return (members,) if isinstance(members, str) else tuple(dict.fromkeys(members))


def _period_at(exchange: Exchange, now: datetime) -> Period:
    if not exchange.covers_its_month:
        return current_period(now)
    today = london_day(now)
    return Period(today.year, today.month)


def _day(given: str | date) -> date:
    if isinstance(given, date):
        return given
    try:
        return date.fromisoformat(given.strip())
    except ValueError:
        raise Refused("Write the day like 2027-07-05.", code="DAY_UNREADABLE") from None


def _events(policy: PolicySet) -> set[str]:
    """Every event that some exchange waits for."""
    external = {exchange.external_event.name for exchange in policy.exchanges if exchange.external_event}
    after = {e.recurrence.after_event.event for e in policy.exchanges if e.recurrence and e.recurrence.after_event}
    return external | after


def _facts(rows: list[ObligationRow]) -> dict[str, Fact]:
    first = rows[0]
    to = ",".join(row.recipient for row in rows)
    return {"exchange": first.exchange, "period": first.period, "sender": first.sender, "recipients": to}


def _answered_already(rows: list[ObligationRow], now: datetime) -> str:
    """Who was first, where everything is answered."""
    said = next((row for row in rows if row.met_by and row.met_at), None)
    if said is None or said.met_at is None:
        return "Nothing is left of that: what has arrived goes on its way, and the others are not ready."
    word = {Answer.CANNOT: "said that it cannot be sent", Answer.NIL: "said that there is nothing to send"}
    what = word.get(Answer(said.answer), "answered it")
    return f"{said.met_by} {what} already, {clock_words(said.met_at, now)}."
