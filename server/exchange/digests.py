"""What waits for a person today, over all their hats; and the one message of the day that shows it.

The message is written again when something moved, and not otherwise: whoever looks finds what is left to do.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from functools import cached_property

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, func, select

from server.domain.agreement import PolicySet
from server.domain.audience import TEAM, Hat, Presence, hats
from server.domain.notice import Button, Notice, Tone
from server.domain.pacing import AT_ONCE, DIGEST, digest_thread, may_remind
from server.domain.schedule import LONDON, clock_words, day_words, london_day
from server.exchange.absences import presence
from server.exchange.chased import GROUPS, Chased, Group, Item
from server.exchange.ground import Ground
from server.exchange.pacing import member_of
from server.exchange.reminders import told_on
from server.store import Tx
from server.store.duty_tables import SnoozeRow, ToldRow
from server.store.tables import HeadRow, NoticeRow

LEDGER = "Ledger"
"""The label of the digest's foot: the ledger's head, so that nobody alone can rewrite the past."""
SHOWN = 9
"""Lines besides the foot: a chat shows ten."""
ALSO_SHOWN = 3
BUTTONS = 5
LINES = 3
_REST = 10
_LONGEST_REST = 30.0
"""How long a look rests, in times its own length; seconds at most."""
_LOOK_BACK = 7
"""Days after which a message that was never written is not made up for."""
_FARTHEST = datetime.max.replace(tzinfo=UTC)
HEADINGS: Mapping[Group, str] = {
    "overdue": "Overdue",
    "send": "To send",
    "acknowledge": "To acknowledge",
    "destroy": "To destroy",
    "decide": "To decide",
    "renew": "To renew",
    "know": "To know",
}
_TONES: tuple[Tone, ...] = ("bad", "attention", "info", "good")


@dataclass(frozen=True)
class _Day:
    """One look at a day: what the hats' items are is worked out once for everybody who wears them."""

    session: Session
    policy: PolicySet
    present: Presence
    now: datetime
    items: dict[Hat, tuple[Item, ...]] = field(default_factory=dict)
    people: dict[str, tuple[Item, ...]] = field(default_factory=dict)

    @property
    def today(self) -> date:
        return london_day(self.now)

    @cached_property
    def hats(self) -> Mapping[str, tuple[Hat, ...]]:
        return hats(self.policy, self.present)

    @cached_property
    def told(self) -> set[str]:
        """Who was told a stage today."""
        return told_on(self.session, self.today)

    @cached_property
    def written(self) -> Mapping[str, Notice]:
        """{person: today's message}, as far as there is one."""
        query = select(NoticeRow).where(NoticeRow.thread == digest_thread(self.today))
        return {row.person: Notice.from_json(row.body) for row in self.session.exec(query).all()}

    @cached_property
    def joined(self) -> Mapping[str, list[Notice]]:
        """{person: the notices that join today's message}."""
        query = select(NoticeRow).where(*_joins_today(self.now)).order_by(col(NoticeRow.id))
        found = defaultdict[str, list[Notice]](list)
        for row in self.session.exec(query).all():
            found[row.person].append(Notice.from_json(row.body))
        return found

    @cached_property
    def snoozed(self) -> Mapping[str, set[str]]:
        """{person: what they asked to hear of on a later day}."""
        query = select(SnoozeRow.person, SnoozeRow.about).where(SnoozeRow.until_day > self.today.isoformat())
        found = defaultdict[str, set[str]](set)
        for person, about in self.session.exec(query).all():
            found[person].add(about)
        return found


class Digests:
    """Lists what waits for somebody, and keeps the day's message as things stand."""

    def __init__(self, ground: Ground, chased: Sequence[Chased]) -> None:
        self._ground, self._chased = ground, tuple(chased)
        self._seen: tuple[int, date, bool, frozenset[tuple[str, str, int]]] | None = None
        """The ledger's head, the day, whether it was an hour for reminders, and what had joined, at the last look."""
        self._rest_until = 0.0

    # -- what waits

    def items(self, session: Session, person_id: str, now: datetime) -> tuple[Item, ...]:
        """Everything under any hat of theirs that they did not ask to hear of later, by group, then by due time."""
        return self._items(self._day(session, now), person_id)

    def today(self, person_id: str) -> tuple[Item, ...]:
        """The same, as things stand at this moment."""
        with self._ground.store.reading() as session:
            return self.items(session, person_id, self._ground.now())

    def _day(self, session: Session, now: datetime) -> _Day:
        present = presence(self._ground, session, now)
        return _Day(session, self._ground.in_force_at(session).policy, present, now)

    def _items(self, day: _Day, person_id: str) -> tuple[Item, ...]:
        snoozed = day.snoozed[person_id]
        return tuple(i for i in self._all(day, person_id) if i.about not in snoozed or not may_wait(i, day.now))

    def _all(self, day: _Day, person_id: str) -> tuple[Item, ...]:
        """Those that they asked to hear of later, too."""
        if person_id not in day.people:
            day.people[person_id] = self._worked_out(day, person_id)
        return day.people[person_id]

    def _worked_out(self, day: _Day, person_id: str) -> tuple[Item, ...]:
        found: dict[str, Item] = {}
        for hat in day.hats.get(person_id, ()):
            for item in self._under(day, hat):
                found.setdefault(item.about, _seen_by(day.policy, person_id, hat, item))
        return tuple(sorted(found.values(), key=lambda item: (GROUPS.index(item.group), item.due_at or _FARTHEST)))

    def _under(self, day: _Day, hat: Hat) -> tuple[Item, ...]:
        if hat not in day.items:
            day.items[hat] = tuple(item for one in self._chased for item in one.items(day.session, hat, day.now))
        return day.items[hat]

    # -- the message

    def write_in_time(self) -> int:
        """The same, at most a tenth of the time: while much is going on, the message follows some seconds later."""
        begun = time.monotonic()
        if begun < self._rest_until:
            return 0
        written = self.write_due()
        self._rest_until = begun + min((time.monotonic() - begun) * _REST, _LONGEST_REST)
        return written

    def write_due(self) -> int:
        """The day's message of everybody who was told something today, as things stand; how many were written."""
        policy, now = self._ground.policy, self._ground.now()
        with self._ground.store.reading() as session:
            head = session.exec(select(HeadRow.number)).first() or 0
            joined = _joining(session, now)
            state = (head, london_day(now), may_remind(policy, "", now), joined)
            if self._seen == state:
                return 0
            day = self._day(session, now)
            people = self._people(day, {person for person, *_ in joined})
            stale = [person for person in sorted(people) if self._is_stale(day, person)]
        if stale:
            self._write(stale, day, head)
        self._seen = state
        return len(stale)

    def _people(self, day: _Day, joined: set[str]) -> set[str]:
        """Those who were told a stage today, whose notices join today's message, or who asked to be reminded today.

        And those for whom a stage fired on a day whose message was never written, because the exchange ended first.
        """
        asked = _to_be_reminded(day.session, day.today) if may_remind(day.policy, "", day.now) else set[str]()
        return day.told | joined | _has_today(day) | asked | _left_over(day.session, day.today)

    def _write(self, people: Iterable[str], looked: _Day, head: int) -> None:
        """Compared again inside, for another process may have been quicker; worked out again if something moved."""
        with self._ground.transaction() as tx:
            day = self._day(tx.session, tx.now)
            if tx.head[0] == head and day.present == looked.present:
                day.items.update(looked.items)
                day.people.update(looked.people)
            for person in people:
                if self._is_stale(day, person):
                    self._put(tx, self._notice(day, person, tx.head), day.joined[person])

    def _put(self, tx: Tx, notice: Notice, joined: Sequence[Notice]) -> None:
        """A new one waits for its hour like any other, unless it tells what is told at any hour."""
        _retire_earlier(tx, notice)
        tx.notify(notice, about=tx.head[0])
        row = tx.session.exec(
            select(NoticeRow).where(NoticeRow.person == notice.person, NoticeRow.thread == notice.thread)
        ).first()
        if row is not None and row.send_at is None and any(one.kind in AT_ONCE for one in joined):
            row.send_at = tx.now
            tx.session.add(row)

    def _is_stale(self, day: _Day, person: str) -> bool:
        """Whether there is no message yet that says what is to be said; the ledger's head alone makes none."""
        written, notice = day.written.get(person), self._notice(day, person, (0, ""))
        if written is None:
            return bool(notice.facts[:-1]) or person in day.told
        return _bare(written) != _bare(notice)

    def _notice(self, day: _Day, person: str, head: tuple[int, str]) -> Notice:
        items = self._items(day, person)
        joined = day.joined[person]
        number, digest = head
        later = len(self._all(day, person)) - len(items)
        return self._ground.notices.notice(
            DIGEST,
            person=person,
            member=member_of(day.policy, person),
            thread=digest_thread(day.today),
            facts={
                "lines": summary(items, day.now, most=LINES - bool(later)),
                "also": len(joined),
                "later": later,
            },
            tone=_tone(items, joined),
            shown=(*_shown(items, joined), (LEDGER, f"entry {number:012d}, head {digest}")),
            buttons=() if person.startswith(TEAM) else _buttons(items, joined, day.now),
        )


def _left_over(session: Session, today: date) -> set[str]:
    """Those who were told something in the last week, and have had no day's message since."""
    first = (today - timedelta(days=_LOOK_BACK)).isoformat()
    told = select(ToldRow.person, func.max(ToldRow.day)).where(
        col(ToldRow.day) >= first, col(ToldRow.day) < today.isoformat()
    )
    written = select(NoticeRow.person, func.max(NoticeRow.thread)).where(col(NoticeRow.thread).startswith(f"{DIGEST}:"))
    last = dict(session.exec(written.group_by(col(NoticeRow.person))).all())
    people = session.exec(told.group_by(col(ToldRow.person))).all()
    return {person for person, day in people if last.get(person, "") < f"{DIGEST}:{day}"}


def may_wait(item: Item, now: datetime) -> bool:
    """Whether somebody may ask to hear of it later: never when it is overdue or escalated."""
    return item.group != "overdue" and (item.due_at is None or item.due_at > now)


def summary(items: Sequence[Item], now: datetime, *, most: int = LINES) -> list[str]:
    """At most so many lines, the most urgent first; empty when nothing waits."""
    groups: dict[Group, list[Item]] = defaultdict(list)
    for item in items:
        groups[item.group].append(item)
    lines = [_line(group, found, now) for group, found in groups.items()]
    if len(lines) <= most:
        return lines
    rest = "; ".join(f"{HEADINGS[group]}: {len(found)}" for group, found in list(groups.items())[most - 1 :])
    return [*lines[: most - 1], rest]


def _by(item: Item, group: Group, now: datetime) -> str:
    """Files are due at an hour; for everything else the day says enough."""
    moment = item.due_at or now
    if group in {"overdue", "send"}:
        return clock_words(moment, now)
    return "the end of today" if london_day(moment) == london_day(now) else day_words(london_day(moment))


def _line(group: Group, items: Sequence[Item], now: datetime) -> str:
    """To send: 3, first Post-16 destinations, Nov 2026, by Mon 7 Dec 17:00."""
    first = items[0]
    which = first.label if len(items) == 1 else f"{len(items)}, first {first.label}"
    if first.due_at is None:
        return f"{HEADINGS[group]}: {which}{f': {first.words}' if len(items) == 1 else ''}"
    if first.due_at < now and group != "overdue":  # what is only chased is not held against anybody
        return f"{HEADINGS[group]}: {which}"
    return f"{HEADINGS[group]}: {which}, {'was due' if first.due_at < now else 'by'} {_by(first, group, now)}"


def _shown(items: Sequence[Item], joined: Sequence[Notice]) -> tuple[tuple[str, str], ...]:
    """One line each, as many as a chat shows; what is left over is counted."""
    also = [("Also", _first_line(notice)) for notice in joined]
    room = SHOWN - min(len(also), ALSO_SHOWN)
    lines = [(item.label, told(item)) for item in items]
    return (*_some(lines, room), *_some(also, SHOWN - min(len(lines), room)))


def told(item: Item) -> str:
    """What to do, and the exact place in the mailbox."""
    if not item.path:
        return item.words
    return f"{item.words.rstrip('.')}. {'Get' if item.path.startswith('inbox/') else 'Put'}: {item.path}"


def _some(lines: Sequence[tuple[str, str]], room: int) -> Sequence[tuple[str, str]]:
    if len(lines) <= room:
        return lines
    return (*lines[: room - 1], ("And", f"{len(lines) - room + 1} more, on the desk"))


def _seen_by(policy: PolicySet, person: str, hat: Hat, item: Item) -> Item:
    """Whoever acts for another member is told so, and can do nothing about it here (R-092)."""
    if hat.member == member_of(policy, person):
        return item
    member = policy.member(hat.member)
    return replace(item, label=f"{member.called if member else hat.member}: {item.label}", buttons=(), path="")


def _buttons(items: Sequence[Item], joined: Sequence[Notice], now: datetime) -> tuple[Button, ...]:
    """The first thing to do of each of the most urgent matters, and to be reminded tomorrow where that is allowed."""
    mains = [_main(item.buttons, item.label) for item in items] + [_main(n.buttons, "") for n in joined]
    shown = list(dict.fromkeys(button for button in mains if button is not None))
    later = Button("snooze", "Remind me tomorrow", "all")
    if any(may_wait(item, now) for item in items):
        return (*shown[: BUTTONS - 1], later)
    return tuple(shown[:BUTTONS])


def _main(buttons: Sequence[Button], label: str) -> Button | None:
    """The first thing to do, by the name of its matter: a chat shows it away from its line."""
    main = next((button for button in buttons if button.style == "primary"), None)
    if main is None or not main.subject or main.subject in main.label:
        return main
    if not label or label.startswith(main.subject):
        return replace(main, label=f"{main.label} {main.subject}")
    return replace(main, label=f"{main.label.removesuffix(' …')}: {label.rpartition(': ')[2]}")


def _tone(items: Sequence[Item], joined: Sequence[Notice]) -> Tone:
    tones = {item.tone for item in items} | {notice.tone for notice in joined}
    if any(item.group == "overdue" for item in items):
        tones.add("attention")
    return next((tone for tone in _TONES if tone in tones and tone != "good"), "info" if items else "good")


def _bare(notice: Notice) -> Notice:
    """Without its foot: the head moves with every entry."""
    return replace(notice, facts=tuple(fact for fact in notice.facts if fact[0] != LEDGER))


def _first_line(notice: Notice) -> str:
    return notice.text.partition("\n")[0]


# -- rows


def _retire_earlier(tx: Tx, notice: Notice) -> None:
    """The last message of an earlier day keeps its words; its buttons go when today's first version comes."""
    query = (
        select(NoticeRow)
        .where(NoticeRow.person == notice.person, col(NoticeRow.thread).startswith(f"{DIGEST}:"))
        .order_by(col(NoticeRow.thread).desc())
        .limit(1)
    )
    row = tx.session.exec(query).first()
    if row is None or row.thread >= notice.thread:
        return
    earlier = Notice.from_json(row.body)
    if earlier.buttons:
        tx.notify(replace(earlier, buttons=()), about=row.about)


def _to_be_reminded(session: Session, today: date) -> set[str]:
    return set(session.exec(select(SnoozeRow.person).where(SnoozeRow.until_day == today.isoformat())).all())


def _has_today(day: _Day) -> set[str]:
    """Those who have today's message already: it goes on saying how things stand."""
    since = col(NoticeRow.send_at).is_(None) | (col(NoticeRow.send_at) >= _midnight(day.now))
    query = select(NoticeRow.person).where(NoticeRow.thread == digest_thread(day.today), since)
    return set(day.session.exec(query).all())


def _joining(session: Session, now: datetime) -> frozenset[tuple[str, str, int]]:
    """(person, thread, version) of what joins today's message and may be told by now."""
    query = select(NoticeRow.person, NoticeRow.thread, NoticeRow.version).where(*_joins_today(now))
    return frozenset(session.exec(query).all())


def _joins_today(now: datetime) -> tuple[ColumnElement[bool], ...]:
    sent = col(NoticeRow.send_at)
    return (sent >= _midnight(now), sent <= now, col(NoticeRow.joins) == digest_thread(london_day(now)))


def _midnight(now: datetime) -> datetime:
    return datetime.combine(london_day(now), clock_time(0), tzinfo=LONDON).astimezone(UTC)
