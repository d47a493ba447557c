"""What each member owes the others, for which period, by when: made ahead, answered, closed when its time has come.

The rules of the rows are in `obligation_making`, of the answers in `fulfilment`, of the reminders in `owed_chase`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime

from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from server.domain.audience import Hat
from server.domain.ledger import Event, Fact
from server.domain.obligation import Answer, Obligation
from server.domain.schedule import london_day
from server.exchange.answers import Answers
from server.exchange.chased import Ask, Item, Planned
from server.exchange.fulfilment import Fulfilment
from server.exchange.ground import Ground
from server.exchange.hindrance import Hindrance
from server.exchange.nil_returns import NilReturns
from server.exchange.obligation_making import Making
from server.exchange.obligation_rows import ahead_of, due_between, obligation_of, unmet
from server.exchange.owed_chase import OwedChase
from server.store import Tx
from server.store.duty_tables import ObligationRow


class Obligations:
    """Sender, recipient, exchange, period: what is owed, and what became of it."""

    def __init__(
        self, ground: Ground, fulfilment: Fulfilment | None = None, nil_returns: NilReturns | None = None
    ) -> None:
        self._ground = ground
        self._fulfilment = fulfilment or Fulfilment(ground)
        self._making, self._chase = Making(ground, self._fulfilment), OwedChase(ground)
        answers = Answers(ground, self._fulfilment, nil_returns or NilReturns(ground, self._fulfilment))
        self.nil, self.cannot, self.done = answers.nil, answers.cannot, answers.done
        self.ask_for, self.announce = answers.ask_for, answers.announce
        self.left, self.askable = answers.left, answers.askable
        self._closed: str | None = None
        """The minute at which nothing was left to close."""

    # -- duties

    def make(self) -> int:
        """Make what should be there, by the revision in force; how many rows are new or changed."""
        return self._making.make()

    def close_due(self) -> int:
        """Whatever has fallen due is looked at once: what prevented it is written down for good; how many."""
        now = self._ground.now()
        minute = f"{now:%Y-%m-%d %H:%M}"
        if self._closed == minute:
            return 0
        with self._ground.store.reading() as session:
            due = session.exec(_to_close(now)).first() is not None
        closed = self._close() if due else 0
        self._closed = minute
        return closed

    def _close(self) -> int:
        with self._ground.transaction() as tx:
            rows = self._fulfilment.look_back(tx, tx.session.exec(_to_close(tx.now)).all())
            places: dict[tuple[str, str], list[Obligation]] = {}
            for row in rows:
                places.setdefault((row.exchange, row.period), []).append(obligation_of(row))
            for (exchange, period), found in places.items():
                unanswered = [one for one in found if one.answer is Answer.NONE]
                blocked = sum(one.blocked is not None for one in unanswered)
                facts: dict[str, Fact] = {
                    "exchange": exchange, "period": period, "looked_at": len(found), "blocked": blocked,
                    "missing": len(unanswered) - blocked,
                }  # fmt: skip
                tx.record(Event("obligations.closed", "exchange", (), facts))
        return len(rows)

    def touch(self, tx: Tx, exchange: str, period: str, sender: str, recipients: Iterable[str]) -> None:
        """Work out these answers anew, inside the transaction that moved a delivery or took a nil return."""
        self._fulfilment.touch(tx, exchange, period, sender, recipients)

    # -- reading

    def open_for(self, session: Session, member: str, now: datetime) -> tuple[Obligation, ...]:
        """What the member owes now, window open or overdue, by due time; what it cannot do now says by whom."""
        return self._with_blocks(session, unmet(session, now, sender=member), now)

    def ahead(self, session: Session, member: str, now: datetime) -> tuple[Obligation, ...]:
        """What the member will owe once its window opens, by due time."""
        return ahead_of(session, member, now)

    def between(self, session: Session, first: date, last: date) -> tuple[Obligation, ...]:
        """Everything due in these London days, both included; what was withdrawn says so."""
        return due_between(session, first, last)

    def expected(self, session: Session, member: str, now: datetime) -> tuple[Obligation, ...]:
        """What others owe the member: every window that has opened in the last three months, and how it stands."""
        since = (london_day(now).replace(day=1).toordinal()) - 92
        query = select(ObligationRow).where(
            ObligationRow.recipient == member, ObligationRow.answer != Answer.WITHDRAWN.value,
            col(ObligationRow.opens) <= london_day(now).isoformat(),
            col(ObligationRow.opens) >= date.fromordinal(since).isoformat(),
        )  # fmt: skip
        rows = session.exec(query.order_by(col(ObligationRow.due_at), col(ObligationRow.id))).all()
        return self._with_blocks(session, rows, now)

    def mine(self, person_id: str) -> tuple[Item, ...]:
        """What the person's member has to send, for whoever may say something about it; most urgent first."""
        person, now = self._ground.person(person_id), self._ground.now()
        if not self._ground.policy.may(person, "obligation.answer"):
            return ()
        with self._ground.store.reading() as session:
            return tuple(self._chase.items(session, Hat(person.member, "data_manager"), now))

    def _with_blocks(self, session: Session, rows: Iterable[ObligationRow], now: datetime) -> tuple[Obligation, ...]:
        """As values; what is not due yet and could not be done now reads as blocked."""
        hindrance, found = Hindrance.seen(self._ground, session), list[Obligation]()
        for row in rows:
            one = obligation_of(row)
            if one.answer is Answer.NONE and not one.blocked and row.due_at >= now:
                one = replace(one, blocked=hindrance.of(row, now))
            found.append(one)
        return tuple(found)

    # -- chased

    @property
    def prefixes(self) -> frozenset[str]:
        """`owed`."""
        return self._chase.prefixes

    def plan(self, session: Session, now: datetime) -> Iterable[Planned]:
        """Stages of today and before, of what is open."""
        return self._chase.plan(session, now)

    def ask(self, session: Session, about: str, stage: str, now: datetime) -> Ask | None:
        """Whom a stage asks, while something is open."""
        return self._chase.ask(session, about, stage, now)

    def items(self, session: Session, hat: Hat, now: datetime) -> Iterable[Item]:
        """What whoever wears this hat has to send."""
        return self._chase.items(session, hat, now)


def _to_close(now: datetime) -> SelectOfScalar[ObligationRow]:
    query = select(ObligationRow).where(
        col(ObligationRow.due_at) < now, col(ObligationRow.closed).is_(False),
        ObligationRow.answer != Answer.WITHDRAWN.value,
    )  # fmt: skip
    return query.order_by(col(ObligationRow.due_at), col(ObligationRow.id))
