"""What must come of a plan: who is told what on which day, how each pair stands in the end, what is purged when.

Written from the specification, not from the product. How it reads what the specification leaves open:

- A stage fires at the first moment at which anybody looks, at or after its time, on a working day of the notices'
  calendar from 09:00 until 18:00. Of several stages of one subject that have come by then only the latest is told;
  the others are overtaken. A stage for which nothing is left to say is told to nobody.
- "Owed" is asked of a member while a pair is open to which it could send: neither answered nor blocked, nor addressed
  to a member that is not ready or has no usable key.
- A pair is closed when its time passes: what the exchange (down) or the recipient (not ready, no key) prevented then is
  blocked for ever, and not late when it is met afterwards. A sender that never signed is not ready either.
- On time is what was put by the due time; it is met when it is put, not when it is released.
- An acknowledgement is asked for until it is given, whether or not the file was collected; "not collected" is told to
  the sender's designated persons after five working days, two working days before the use-by day, and when the copy
  goes.
- What became of it is asked for until its destruction is attested; of a file that nobody collected there is nothing to
  destroy. What is overdue is said again two working days after it was said last. A destruction that is missing for
  three working days is told to the leads and the data managers alike. What is attested after its use-by day is to be
  countersigned: its leads are told on the working day after.
- The server's copy goes seven days after the acknowledgement by London's clock, or with the end of the use-by day.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

from tests.year.days import DAY, FILES, LONDON, Round, at, clock, months_later, read
from tests.year.plan import AWAY, DOWN, READY, Act, File, Plan, here, keyless

SPANS = (21, 14, 7, 2)
OPENS, QUIET = time(9), time(18)


@dataclass(frozen=True, order=True)
class Told:
    """One person is told one stage: what it is about, when it was due, and on which day they were told."""

    day: str
    person: str
    about: str
    due: str


@dataclass(frozen=True, order=True)
class Purged:
    """One stored copy ended: of which file, by which rule, at which look of the clock."""

    file: str
    rule: str
    day: str


@dataclass
class Expected:
    """Everything that must be found, and nothing else of its kind."""

    told: set[Told] = field(default_factory=set)
    standings: dict[str, str] = field(default_factory=dict)
    purged: set[Purged] = field(default_factory=set)
    overdue: set[str] = field(default_factory=set)
    certificates: set[tuple[str, str]] = field(default_factory=set)
    threads: set[tuple[str, str]] = field(default_factory=set)
    """(person, thread) of notices about deliveries, consignments and nil returns."""

    @property
    def digests(self) -> set[tuple[str, str]]:
        """(person, day): one message a person and day on which they are told anything."""
        return {(told.person, told.day) for told in self.told}


@dataclass
class Pair:
    """What one member owes another for one period."""

    round: Round
    sender: str
    recipient: str
    answer: str = ""
    met: datetime | None = None
    blocked: str = ""
    closed: bool = False

    def words(self, now: datetime) -> str:
        """How it stands, in the words of the matrix."""
        late = self.met is not None and self.met > self.round.due and self.round.kind == "required" and not self.blocked
        if self.answer == "cannot":
            return "cannot send"
        if self.answer:
            return "sent late" if late else self.answer
        if self.blocked:
            return "blocked"
        if now > self.round.due:
            return "late" if self.round.kind == "required" else "not sent"
        return "due" if self.round.opens <= now.astimezone(LONDON).date() else "ahead"


@dataclass
class Copy:
    """One file as its recipient and the server have it."""

    file: File
    put: datetime
    available: datetime | None = None
    collected: datetime | None = None
    acknowledged: datetime | None = None
    processed: datetime | None = None
    left: int = 0
    destroyed: datetime | None = None
    purged: bool = False

    @property
    def use_by(self) -> date:
        assert self.available
        return months_later(self.available.astimezone(LONDON).date(), 2)


@dataclass
class Stage:
    """One stage that fires once."""

    about: str
    due: datetime
    member: str
    roles: tuple[str, ...]
    repeated: bool = False
    """Whether it is said again two working days after it was told."""
    gone: bool = False
    """Whether it says that the copy is gone, which nobody had collected."""
    always: bool = False
    """Whether it is told whatever has happened since: nobody in the plan countersigns."""
    done: bool = False


class Oracle:
    """Plays a plan in the head."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.days = plan, plan.days
        self.expected = Expected()
        self._pairs = {
            (r.exchange, r.period, sender, recipient): Pair(r, sender, recipient)
            for r in plan.rounds
            for sender, recipient in _directed(r.exchange)
        }
        self._copies: dict[str, Copy] = {}
        self._stages: dict[str, list[Stage]] = defaultdict(list)
        for one in plan.rounds:
            for sender in {sender for sender, _ in _directed(one.exchange)}:
                for due, roles in one.reminders:
                    self._stage(f"owed:{one.exchange}:{one.period}:{sender}", due, sender, roles)
        self._people = read("people.yaml")
        self._precedence = {m["id"]: m.get("notice_precedence", "both") for m in read("members.yaml")}
        self._closures: dict[str, set[date]] = {}

    def run(self) -> Expected:
        """Everything that must come of the plan."""
        acts: dict[datetime, list[Act]] = defaultdict(list)
        for act in self.plan.acts:
            acts[act.when].append(act)
        now = at(self.plan.first, "00:00")
        for now in self.plan.moments():
            for act in acts[now]:
                self._perform(act, now)
            self._look(now)
        for key, pair in self._pairs.items():
            self.expected.standings[":".join(key)] = pair.words(now)
        return self.expected

    # -- acts

    def _perform(self, act: Act, now: datetime) -> None:
        match act.verb:
            case "put":
                self._put(File.of(act.args[0]), act.person, now)
            case "nil" | "nil-file":
                self._nil(act, now)
            case "cannot":
                file = File.of(act.args[0])
                self._answer((file.exchange, file.period, file.sender, file.recipient), "cannot", now)
            case "collect":
                self._copies[act.args[0]].collected = now
            case "acknowledge":
                self._copies[act.args[0]].acknowledged = now
            case "processed":
                copy = self._copies[act.args[0]]
                copy.processed, copy.left = now, int(act.args[2])
                self._after_processing(copy, now)
            case "destroyed":
                copy = self._copies[act.args[0]]
                copy.destroyed = now
                day = now.astimezone(LONDON).date()
                if day > copy.use_by:
                    due = at(self.days.after(day, 1), "09:30")
                    self._stage(f"destroy:{copy.file.key}", due, copy.file.recipient, ("governance_lead",), always=True)
                self.expected.certificates.add(("recipient", copy.file.key))
            case "away":
                self._away(act)
            case _:
                pass

    def _away(self, act: Act) -> None:
        """Who stands in hears of it on the first day, and whoever was away on the day after the last."""
        first, last, cover = date.fromisoformat(act.args[0]), date.fromisoformat(act.args[1]), act.args[2]
        about = f"away:{act.person}"
        if cover:
            self._stage(about, at(first, "09:30"), cover, ())
        self._stage(about, at(last + DAY, "09:30"), act.person, ())

    def _put(self, file: File, person: str, now: datetime) -> None:
        self._copies[file.key] = Copy(file, now)
        self._answer((file.exchange, file.period, file.sender, file.recipient), "sent", now)
        self.expected.threads.add((person, f"consignment:{file.key}"))

    def _nil(self, act: Act, now: datetime) -> None:
        exchange, period, recipient = act.args
        sender = next(p["member"] for p in self._people if p["id"] == act.person)
        others = [recipient] if recipient else [r for s, r in _directed(exchange) if s == sender and r in READY]
        for other in others:
            self._answer((exchange, period, sender, other), "nil", now)
            for person in self._wearing(other, "data_manager"):
                self.expected.threads.add((person, f"nil:{sender}:{exchange}:{period}"))

    def _answer(self, key: tuple[str, str, str, str], answer: str, now: datetime) -> None:
        pair = self._pairs.get(key)
        if pair is not None and not pair.answer:
            pair.answer, pair.met = answer, now

    def _after_processing(self, copy: Copy, now: datetime) -> None:
        day = now.astimezone(LONDON).date()
        about, member = f"destroy:{copy.file.key}", copy.file.recipient
        self._stage(about, at(self.days.after(day, 1), "09:30"), member, ("data_manager",))
        self._stage(about, at(self.days.after(day, 3), "09:30"), member, ("data_manager", "governance_lead"))

    # -- the exchange's own doing

    def _look(self, now: datetime) -> None:
        for copy in self._copies.values():
            if copy.available is None and copy.put + timedelta(minutes=2) <= now:
                self._release(copy, now)
            self._purge(copy, now)
        for pair in self._pairs.values():
            if now > pair.round.due and not pair.closed:
                self._close(pair)
        self._fire(now)

    def _release(self, copy: Copy, now: datetime) -> None:
        copy.available = now
        file, day = copy.file, now.astimezone(LONDON).date()
        rule = read(f"exchanges/{FILES[file.exchange]}.yaml")["acknowledge"]
        within, every = (int(str(rule[key]).removesuffix("wd")) for key in ("within", "chase_every"))
        for number in range(rule["max_chases"] + 1):
            due = at(self.days.after(day, within + number * every), "09:30")
            last = number == rule["max_chases"]
            self._stage(f"ack:{file.key}", due, file.recipient, (rule["then"] if last else "data_manager",))
        before = self.days.after(self.days.until(copy.use_by), -2)
        for due_day in (self.days.after(day, 5), before):
            self._stage(f"uncollected:{file.key}", at(due_day, "09:30"), file.sender, ("designated_person",))
        for span in SPANS:
            due = at(self.days.until(copy.use_by - span * DAY), "09:30")
            self._stage(f"use:{file.key}", due, file.recipient, ("data_manager",))
        self._overdue(f"use:{file.key}", self.days.after(copy.use_by, 1), file.recipient)
        for person in self._wearing(file.recipient, "data_manager"):
            self.expected.threads.add((person, f"delivery:{file.key}"))

    def _overdue(self, about: str, day: date, member: str) -> None:
        self._stage(about, at(day, "09:30"), member, ("data_manager", "governance_lead"), repeated=True)

    def _purge(self, copy: Copy, now: datetime) -> None:
        if copy.available is None or copy.purged:
            return
        over = at(copy.use_by + DAY, "00:00")
        day = clock(now)[:10]
        if copy.acknowledged is not None:
            local = copy.acknowledged.astimezone(LONDON)
            graced = datetime.combine(local.date() + 7 * DAY, local.time(), tzinfo=LONDON)
            if graced <= min(now, over - timedelta(microseconds=1)):
                copy.purged = True
                self.expected.purged.add(Purged(copy.file.key, "acknowledged", day))
        if not copy.purged and over <= now:
            copy.purged = True
            self.expected.purged.add(Purged(copy.file.key, "use_by", day))
        if copy.purged:
            self.expected.certificates.add(("system", copy.file.key))
            if copy.collected is None:
                self._stage(f"uncollected:{copy.file.key}", over, copy.file.sender, ("designated_person",), gone=True)

    def _close(self, pair: Pair) -> None:
        pair.closed = True
        if pair.answer:
            return
        due = pair.round.due
        if DOWN[0] < due < DOWN[1]:
            pair.blocked = "down"
        elif pair.recipient not in READY or pair.sender not in READY:
            pair.blocked = "not ready"
        elif keyless(pair.recipient, pair.round.due_day):
            pair.blocked = "no key"

    def _stage(
        self, about: str, due: datetime, member: str, roles: tuple[str, ...], *, repeated: bool = False,
        gone: bool = False, always: bool = False,
    ) -> None:  # fmt: skip
        self._stages[about].append(Stage(about, due, member, roles, repeated, gone, always))

    def _fire(self, now: datetime) -> None:
        local = now.astimezone(LONDON)
        if not self.days.working(local.date()) or not OPENS <= local.time() < QUIET:
            return
        for about, stages in self._stages.items():
            come = [stage for stage in stages if not stage.done and stage.due <= now]
            if not come:
                continue
            for stage in come:
                stage.done = True
            *_, latest = sorted(come, key=lambda stage: stage.due)  # of two at one moment the one that was made last
            if latest.always or self._asked(about, latest, now):
                self._tell(latest, local.date())
                if latest.repeated:
                    self._overdue(about, self.days.after(local.date(), 2), latest.member)

    def _tell(self, stage: Stage, day: date) -> None:
        people = {person for role in stage.roles for person in self.audience(stage.member, role, day)}
        if stage.about.startswith("away:"):
            people = {stage.member}
        for person in people:
            self.expected.told.add(Told(f"{day}", person, stage.about, clock(stage.due)))
        if stage.repeated and people:
            self.expected.overdue.add(stage.about[4:])

    def _asked(self, about: str, stage: Stage, now: datetime) -> bool:
        prefix, _, key = about.partition(":")
        if prefix == "owed":
            exchange, period, sender = key.split(":")
            return any(self._open(pair, now) for k, pair in self._pairs.items() if k[:3] == (exchange, period, sender))
        if prefix == "away":
            return True
        copy = self._copies[key]
        match prefix:
            case "ack":
                return copy.acknowledged is None and not copy.purged
            case "uncollected":
                return copy.collected is None and copy.purged == stage.gone
            case "destroy":
                return copy.destroyed is None
            case _:
                gone_unread = copy.purged and copy.collected is None
                return copy.destroyed is None and not gone_unread

    def _open(self, pair: Pair, now: datetime) -> bool:
        day = now.astimezone(LONDON).date()
        able = pair.recipient in READY and not keyless(pair.recipient, day)
        return able and not pair.answer and not pair.blocked

    # -- people

    def _wearing(self, member: str, role: str) -> list[str]:
        return [p["id"] for p in self._people if p["member"] == member and role in p["roles"]]

    def audience(self, member: str, role: str, day: date) -> tuple[str, ...]:
        """Who is told today what this member's people in this role should know (R-092, R-093)."""
        own = self._present(self._wearing(member, role), day)
        acting = [p["id"] for p in self._people if member in p.get("acts_for", ()) and role in p["roles"]]
        others = self._present(acting, day)
        precedence = self._precedence[member]
        if precedence == "both":
            found = (*own, *others)
        else:
            found = (own or others) if precedence == "own_first" else (others or own)
        if not found and role != "governance_lead":
            return self.audience(member, "governance_lead", day)
        return tuple(dict.fromkeys(found))

    def _present(self, people: list[str], day: date) -> tuple[str, ...]:
        found = []
        for person in people:
            if here(person, day):
                found.append(person)
                continue
            cover = next(a.cover for a in AWAY if a.person == person and a.first <= day <= a.last)
            cover = cover or next((p.get("deputy") or "" for p in self._people if p["id"] == person), "")
            if cover and here(cover, day):
                found.append(cover)
        return tuple(dict.fromkeys(found))


def expected(plan: Plan) -> Expected:
    """Everything that must come of this plan."""
    return Oracle(plan).run()


def _directed(exchange: str) -> Iterator[tuple[str, str]]:
    members = ("essex", "thurrock") if exchange == "year14-destinations" else (*READY, "brighton-hove")
    return ((sender, recipient) for sender in members for recipient in members if sender != recipient)
