"""Remind me tomorrow: until the next working day, a few times in a row, and never past what is due."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

from sqlmodel import Session, col, select

from server.domain.agreement import PolicySet
from server.domain.errors import Missing, Refused
from server.domain.ledger import Event, Fact
from server.domain.pacing import next_open_day, next_reminding
from server.domain.schedule import LONDON, clock_words, day_words, london_day
from server.exchange.chased import Item
from server.exchange.delivery import Outcome
from server.exchange.digests import Digests, may_wait
from server.exchange.ground import Ground
from server.store import Tx
from server.store.duty_tables import SnoozeRow

ALL = "all"


class Snoozes:
    """Puts off what may wait."""

    def __init__(self, ground: Ground, digests: Digests) -> None:
        self._ground, self._digests = ground, digests

    def snooze(self, person_id: str, about: str, *, via: str) -> Outcome:
        """One matter ("ack:D-2026-000417", or the delivery alone) or "all" until the next working day.

        Raises Refused, with the reason, when it cannot wait that long; Missing when nothing of that name waits.
        """
        with self._ground.transaction() as tx:
            person = self._ground.acting(tx.session, person_id)
            policy = self._ground.in_force_at(tx.session).policy
            until = next_open_day(policy, person.member, london_day(tx.now))
            found = [i for i in self._digests.items(tx.session, person.id, tx.now) if _named(i.about, about)]
            if not found:
                return self._nothing(tx, person.id, about)
            moment = next_reminding(policy, person.member, datetime.combine(until, time(0), tzinfo=LONDON))
            reasons = {item.about: self._why_not(tx, policy, person.id, item, moment) for item in found}
            able = [item for item in found if reasons[item.about] is None]
            if not able:
                raise Refused(next(why for why in reasons.values() if why), code="CANNOT_WAIT")
            self._put_off(tx, person.id, able, until)
            facts: dict[str, Fact] = {"about": [i.about for i in able], "until": until.isoformat(), "via": via}
            tx.record(Event("reminder.snoozed", person.id, (person.id,), facts))
        what = able[0].label if len(able) == 1 else f"{len(able)} matters"
        left = len(found) - len(able)
        tail = f" {left} cannot wait and stay{'s' if left == 1 else ''} on your list." if left else ""
        return Outcome(f"You will be reminded of {what} on {day_words(until)}.{tail}", changed=True)

    def _nothing(self, tx: Tx, person: str, about: str) -> Outcome:
        today = london_day(tx.now).isoformat()
        query = select(SnoozeRow).where(SnoozeRow.person == person, SnoozeRow.until_day > today)
        rows = [row for row in tx.session.exec(query).all() if _named(row.about, about)]
        if not rows:
            raise Missing("Nothing of that name waits for you.")
        until = min(date.fromisoformat(row.until_day) for row in rows)
        return Outcome(f"You put that off already, until {day_words(until)}.", changed=False)

    def _why_not(self, tx: Tx, policy: PolicySet, person: str, item: Item, until: datetime) -> str | None:
        if not may_wait(item, tx.now):
            return f"{item.label} cannot wait: it is overdue, or somebody escalated it."
        if item.due_at is not None and item.due_at <= until:
            due = clock_words(item.due_at, tx.now)
            return f"{item.label} cannot wait until {day_words(london_day(until))}: it is due {due}."
        at_most = int(policy.notifications.snooze_at_most.removesuffix("wd"))
        if london_day(until) > _last_day(policy, person, _begun(tx, person, item.about), at_most):
            return f"You have put off {item.label} as often as the policy lets you ({at_most} working days)."
        return None

    def _put_off(self, tx: Tx, person: str, items: Sequence[Item], until: date) -> None:
        for item in items:
            begun = _begun(tx, person, item.about)
            row = _row(tx.session, person, item.about) or SnoozeRow(
                person=person, about=item.about, until_day="", at=begun
            )
            row.until_day, row.at = until.isoformat(), begun
            tx.session.add(row)


def _named(about: str, wanted: str) -> bool:
    return wanted in {ALL, about} or about.partition(":")[2].casefold() == wanted.casefold()


def _row(session: Session, person: str, about: str) -> SnoozeRow | None:
    return session.exec(select(SnoozeRow).where(SnoozeRow.person == person, col(SnoozeRow.about) == about)).first()


def _begun(tx: Tx, person: str, about: str) -> datetime:
    """When it was first put off of the times in a row that end today; now when it was not."""
    row = _row(tx.session, person, about)
    return row.at if row is not None and row.until_day == london_day(tx.now).isoformat() else tx.now


def _last_day(policy: PolicySet, person_id: str, begun: datetime, at_most: int) -> date:
    """The last day to which something may be put off that was first put off at `begun`."""
    person, day = policy.person(person_id), london_day(begun)
    for _ in range(at_most):
        day = next_open_day(policy, person.member if person else "", day)
    return day if at_most else day - timedelta(1)
