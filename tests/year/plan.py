"""What everybody does in a sharing year, from a seed: a list of acts, each at a moment of London's clock.

Nothing of the product is used here. The same seed gives the same year, on any machine, in any process.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from tests.year.days import DAY, Days, Round, at, each, months_later, rounds

FIRST, LAST = date(2026, 9, 1), date(2027, 8, 31)
DOWN = (at(date(2027, 3, 24), "17:30"), at(date(2027, 4, 1), "08:30"))
"""The week in which the server is down: Good Friday, Easter Monday, and the night in which the clocks go forward."""
KEYLESS = ("medway", date(2027, 2, 1), date(2027, 2, 15))
"""Whose key has expired, and from which day to which (the new one works from then on)."""
MEMBERS = (
    "essex", "thurrock", "southend", "kent", "medway", "brighton-hove", "east-sussex", "london-east", "south-london",
)  # fmt: skip
READY = tuple(member for member in MEMBERS if member != "brighton-hove")
SENDERS = {
    "essex": "p-essex-1", "southend": "p-southend-1", "kent": "p-kent-1", "medway": "p-medway-1",
    "east-sussex": "p-es-1", "london-east": "p-le-1", "south-london": "p-rbk-1",
}  # fmt: skip
"""Who puts files. Thurrock named no designated person: its data manager answers with buttons."""
READERS = {
    "essex": ("p-essex-2", "p-essex-1"), "thurrock": ("p-thurrock-1",), "southend": ("p-southend-1",),
    "kent": ("p-kent-2", "p-kent-1"), "medway": ("p-medway-1",), "east-sussex": ("p-es-2", "p-es-1"),
    "london-east": ("p-le-1",), "south-london": ("p-rbk-2", "p-rbk-1"),
}  # fmt: skip
KEYED = tuple(dict.fromkeys((*SENDERS.values(), *(person for people in READERS.values() for person in people))))
"""Who has an SSH key and a GPG key."""


_WEEKS = ("13:30", "13:50")
"""When it is acknowledged, in weeks that alternate: seven days later, to the second, nobody looks at that moment."""


@dataclass(frozen=True)
class Away:
    """A person who is away, both days included."""

    person: str
    first: date
    last: date
    cover: str = ""


AWAY = (
    Away("p-rbk-2", date(2026, 10, 12), date(2026, 10, 30), "p-rbk-1"),
    Away("p-kent-1", date(2026, 12, 14), date(2026, 12, 23), "p-kent-2"),
    Away("p-southend-1", date(2027, 2, 3), date(2027, 2, 12)),
    Away("g-medway", date(2027, 5, 10), date(2027, 5, 21)),
    Away("p-essex-1", date(2027, 6, 21), date(2027, 7, 9)),
    Away("p-thurrock-1", date(2027, 7, 12), date(2027, 7, 23)),
)


@dataclass(frozen=True)
class Act:
    """One thing that one person does."""

    when: datetime
    verb: str
    person: str
    args: tuple[str, ...] = ()


@dataclass(frozen=True)
class File:
    """One file from a member to another; its name says which, so that everybody finds it again."""

    exchange: str
    period: str
    sender: str
    recipient: str

    @property
    def name(self) -> str:
        return f"{self.sender}-to-{self.recipient}-{self.period}.csv"

    @property
    def key(self) -> str:
        return f"{self.exchange}/{self.period}/{self.sender}/{self.recipient}"

    @classmethod
    def of(cls, key: str) -> File:
        return cls(*key.split("/"))


@dataclass(frozen=True)
class Plan:
    """The year: its rounds, its acts in order, and the moments at which the exchange is looked at."""

    first: date
    last: date
    rounds: tuple[Round, ...]
    acts: tuple[Act, ...]
    days: Days

    def moments(self) -> Iterator[datetime]:
        """When the clock is set: the moments that matter on working days, one on others, none while it is down."""
        acting: dict[date, set[datetime]] = {}
        for act in self.acts:
            later = {act.when + timedelta(minutes=5)} if act.verb == "put" else set()
            acting.setdefault(act.when.date(), set()).update({act.when} | later)
        due = {one.due_day for one in self.rounds}
        for number, day in enumerate(each(self.first, self.last)):
            found = {at(day, clock) for clock in self._clocks(number, day)} | acting.get(day, set())
            found |= {at(day, "17:01")} if day in due else set()
            found |= {DOWN[1]} if day == DOWN[1].date() else set()
            yield from sorted(moment for moment in found if not DOWN[0] < moment < DOWN[1])

    def _clocks(self, number: int, day: date) -> tuple[str, ...]:
        """Some days are looked at more often: at night, early, and after six."""
        if not self.days.working(day):
            return ("12:00",)
        return ("00:10", "07:55", "09:00", "09:30", "17:01", "18:30") if number % 5 == 0 else ("09:00", "09:30")


def year(seed: int, first: date = FIRST, last: date = LAST, *, files: float = 0.22) -> Plan:
    """The year of this seed, or a part of it; `files`: the share of pairs that send a file where they send at all."""
    days = Days.shipped()
    found = tuple(one for one in rounds(days, first, months_later(last, 2)) if one.begins.date() <= last)
    draw = random.Random(seed)
    acts = [act for each_round in found for act in _round(draw, days, each_round, files)]
    acts += _absences(days, first, last)
    acts += _keys(first, last)
    moved = (_possible(days, act) for act in acts)
    kept = sorted(
        (a for a in moved if first <= a.when.date() <= last), key=lambda a: (a.when, a.verb, a.person, a.args)
    )
    return Plan(first, last, found, tuple(_followed(kept)), days)


def here(person: str, day: date) -> bool:
    return not any(away.person == person and away.first <= day <= away.last for away in AWAY)


def keyless(member: str, day: date) -> bool:
    """Whether nothing can be sealed for it on that day."""
    who, first, until = KEYLESS
    return member == who and first <= day < until


def _round(draw: random.Random, days: Days, one: Round, files: float) -> Iterator[Act]:
    members = ("essex", "thurrock") if one.exchange == "year14-destinations" else READY
    for sender in members:
        others = [member for member in members if member != sender]
        mood = draw.choices(("on time", "late", "never", "mixed"), (55, 18, 12, 15))[0]
        if one.exchange == "movers":
            mood = draw.choices(("on time", "never"), (20, 80))[0]
        yield from _answers(draw, days, one, sender, others, mood, files)


def _answers(
    draw: random.Random, days: Days, one: Round, sender: str, others: list[str], mood: str, files: float
) -> Iterator[Act]:
    """What one member does about one round: a file, nil, cannot, or nothing, to each of the others."""
    window = [day for day in each(one.opens, one.due_day) if days.working(day)]
    on_time, late = draw.choice(window), days.after(one.due_day, draw.randint(1, 6))
    if mood == "never":
        return
    if mood == "on time" and draw.random() < 0.3:
        yield _nil(sender, one, "", at(on_time, "11:00"))
        return
    share = 1.0 if one.exchange == "year14-destinations" else files
    for other in others:
        what = draw.choices(("file", "nil", "cannot", "nothing"), (share * 100, 90 - share * 100, 4, 6))[0]
        day = late if mood == "late" or (mood == "mixed" and draw.random() < 0.5) else on_time
        when = at(day, "11:00")
        file = File(one.exchange, one.period, sender, other)
        if what == "file" and sender in SENDERS:
            if keyless(other, day):
                continue
            yield Act(when, "put", SENDERS[sender], (file.key,))
            yield from _received(draw, days, file, day)
        elif what == "cannot":
            yield Act(when, "cannot", SENDERS.get(sender, "p-thurrock-1"), (file.key,))
        elif what != "nothing":
            yield _nil(sender, one, other, when)


def _nil(sender: str, one: Round, other: str, when: datetime) -> Act:
    """By a NIL file, or for Thurrock with the button; without `other` to everyone."""
    if sender == "thurrock":
        return Act(when, "nil", "p-thurrock-1", (one.exchange, one.period, other))
    return Act(when, "nil-file", SENDERS[sender], (one.exchange, one.period, other))


def _received(draw: random.Random, days: Days, file: File, sent: date) -> Iterator[Act]:
    """What the recipient does with a file that was sent at eleven on that day."""
    collects = draw.choices((0, 1, 3, 5, 7, 9, None), (46, 16, 12, 8, 5, 5, 8))[0]
    lets_it_lie = draw.random() < 0.12
    wait = draw.choice((0, 0, 0, 1, 4))
    if collects is None:
        return
    use_by = _use_by(sent)
    collected = days.after(sent, collects)
    yield _reader(file, "collect", at(collected, "13:00"))
    acknowledged = days.after(collected, wait)
    if lets_it_lie:
        acknowledged = days.after(use_by, draw.randint(1, 5))
    yield _reader(file, "acknowledge", at(acknowledged, "13:30"))
    tardy = draw.random()
    if tardy < 0.03:
        return  # never says what became of it
    processed = days.after(acknowledged, draw.randint(0, 20)) if tardy < 0.9 else days.after(use_by, draw.randint(1, 7))
    kept = draw.choice((2, 2, 3))
    yield _reader(file, "processed", at(processed, "14:00"), str(kept), str(3 - kept))
    destroyed = days.after(processed, draw.choice((0, 0, 0, 2, 4, 6)))
    yield _reader(file, "destroyed", at(destroyed, "15:00"))


def _use_by(sent: date) -> date:
    return months_later(sent, 2)


def _reader(file: File, verb: str, when: datetime, *args: str) -> Act:
    return Act(when, verb, READERS[file.recipient][0], (file.key, *args))


def _absences(days: Days, first: date, last: date) -> Iterator[Act]:
    for away in AWAY:
        said = days.after(away.first, -1)
        if first <= said <= last:
            yield Act(at(said, "15:30"), "away", away.person, (f"{away.first}", f"{away.last}", away.cover))


def _keys(first: date, last: date) -> Iterator[Act]:
    member, gone, back = KEYLESS
    if first <= gone <= last:
        yield Act(at(gone, "08:10"), "key-gone", "a-essex-1", (member,))
        yield Act(at(back, "08:10"), "key-back", "a-essex-1", (member,))


def _possible(days: Days, act: Act) -> Act:
    """The act when it can be done: by a colleague, or after the return, and never while the server is down."""
    people = next((p for p in READERS.values() if act.person in p), (act.person,))
    asks_reader = act.verb in {"collect", "acknowledge", "processed", "destroyed"}
    day, clock = act.when.date(), act.when.strftime("%H:%M")
    while True:
        able = [p for p in (people if asks_reader else (act.person,)) if here(p, day)]
        down = DOWN[0] < at(day, clock) < DOWN[1]
        if (able and not down) or act.verb in {"away", "key-gone", "key-back"}:
            person = able[0] if able else act.person
            if act.verb == "acknowledge":
                clock = _WEEKS[day.toordinal() // 7 % 2]
            return replace(act, when=at(day, clock), person=person)
        day += DAY
        while not days.working(day):
            day += DAY


def _followed(acts: list[Act]) -> Iterator[Act]:
    """Without acts on a file that could not be sent, or that was moved behind what comes after it."""
    order = {"put": 0, "collect": 1, "acknowledge": 2, "processed": 3, "destroyed": 4}
    stood: dict[str, int] = {}
    for act in acts:
        if act.verb not in order:
            yield act
            continue
        key, step = act.args[0], order[act.verb]
        file = File.of(key)
        if act.verb == "put" and keyless(file.recipient, act.when.date()):
            continue
        if stood.get(key, -1) != step - 1:
            continue
        stood[key] = step
        yield act
