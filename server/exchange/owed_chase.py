"""Reminders of what is owed: `owed:<exchange>:<period>:<sender>`, by the exchange's own reminders; and its lines.

Nobody is asked for what they cannot do: a recipient that is not ready is named, and no reason to remind.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from server.domain.agreement import Exchange, PolicySet
from server.domain.audience import Hat
from server.domain.notice import Button, Tone
from server.domain.obligation import CHASED, Answer, Kind
from server.domain.prompting import Prompt, prompts
from server.domain.schedule import Period, in_words, london_day
from server.exchange.chased import Ask, Group, Item, Planned
from server.exchange.ground import Ground
from server.exchange.hindrance import Hindrance
from server.exchange.obligation_rows import obligation_of, of_group, unmet
from server.store.duty_tables import ObligationRow, StageRow
from server.store.tables import HeadRow

OWED = "owed"
REACH = timedelta(days=92)
"""What fell due longer ago begins no new stage."""
LABEL = 60
Place = tuple[str, str, str]
"""Exchange, period, sender."""


class OwedChase:
    """What is planned, asked and listed about what is owed."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._seen: tuple[int, str, str] | None = None
        """The ledger's head, the revision and the day for which nothing was left to plan."""
        self._lines: dict[str, tuple[tuple[str, str], tuple[tuple[Item, bool], ...]]] = {}
        """A member's lines, with the ledger's head and the minute that they are of."""

    @property
    def prefixes(self) -> frozenset[str]:
        """`owed`."""
        return frozenset({OWED})

    # -- planning

    def plan(self, session: Session, now: datetime) -> Iterable[Planned]:
        """Stages of today and before, of what is open; none before one that is there already."""
        in_force = self._ground.in_force_at(session)
        head = session.exec(select(HeadRow.number)).first() or 0
        seen = (head, in_force.revision, london_day(now).isoformat())
        if self._seen == seen:
            return ()
        groups = self._open_groups(session, now)
        last = _last_stages(session, groups)
        new = [
            planned
            for place, row in groups.items()
            for planned in _come(_prompts(in_force.policy, row), _about(place), last.get(_about(place)), now)
        ]
        if not new:
            self._seen = seen
        return new

    def _open_groups(self, session: Session, now: datetime) -> dict[Place, ObligationRow]:
        """One row of each group that has something open; with the earliest due time."""
        found: dict[Place, ObligationRow] = {}
        for row in unmet(session, now):
            if row.answer == Answer.NONE.value and row.due_at > now - REACH:
                found.setdefault((row.exchange, row.period, row.sender), row)
        return found

    # -- asking

    def ask(self, session: Session, about: str, stage: str, now: datetime) -> Ask | None:
        """The sender's people of the stage's roles, while something is open that it could do."""
        _, exchange, period, sender = about.split(":")
        rows = [row for row in of_group(session, exchange, period, sender) if _is_open(row, now)]
        hindrance = Hindrance.seen(self._ground, session)
        free = [row for row in rows if hindrance.of(row, now) is None]
        if not free:
            return None
        found = [one for one in _prompts(hindrance.in_force.policy, free[0]) if one.stage == stage]
        if not found:
            return None
        facts = (("open", str(len(free))), ("due", free[0].due_at.isoformat()))
        return Ask(tuple(Hat(sender, role) for role in found[0].roles), (), facts)

    # -- listing

    def items(self, session: Session, hat: Hat, now: datetime) -> Iterable[Item]:
        """One line an exchange and period; for a governance lead what has come to them."""
        if hat.role not in {"designated_person", "data_manager", "governance_lead"}:
            return []
        lines = self._lines_of(session, hat.member, now)
        if hat.role != "governance_lead":
            return [item for item, _ in lines]
        return [_told(item) for item, escalated in lines if escalated]

    def _lines_of(self, session: Session, member: str, now: datetime) -> tuple[tuple[Item, bool], ...]:
        """The member's lines, each with whether it has come to its governance leads.

        Worked out once for all its hats: nothing moves without an entry, but for the minute.
        """
        head = session.exec(select(HeadRow.hash)).first() or ""
        key = (head, f"{now:%Y-%m-%d %H:%M}")
        known = self._lines.get(member)
        if known is not None and known[0] == key:
            return known[1]
        groups: dict[Place, list[ObligationRow]] = {}
        for row in unmet(session, now, sender=member):
            groups.setdefault((row.exchange, row.period, row.sender), []).append(row)
        hindrance = Hindrance.seen(self._ground, session)
        found = []
        for place, rows in groups.items():
            item = _item(hindrance, place, rows, now)
            if item is not None:
                found.append((item, _is_escalated(hindrance.in_force.policy, rows[0], now)))
        self._lines[member] = (key, tuple(found))
        return tuple(found)


def _about(place: Place) -> str:
    return ":".join((OWED, *place))


def _is_open(row: ObligationRow, now: datetime) -> bool:
    if row.answer != Answer.NONE.value or row.blocked:
        return False
    return row.due_at >= now or row.kind in CHASED


def _prompts(policy: PolicySet, row: ObligationRow) -> tuple[Prompt, ...]:
    exchange = policy.exchange(row.exchange)
    calendar = policy.calendar_of(exchange) if exchange else None
    if exchange is None or calendar is None:
        return ()
    one = obligation_of(row)
    return prompts(exchange, one.kind, calendar, one.opens, one.due_at)


def _is_escalated(policy: PolicySet, row: ObligationRow, now: datetime) -> bool:
    """Whether it has come to the governance leads."""
    return any("governance_lead" in one.roles and one.at <= now for one in _prompts(policy, row))


def _come(stages: Sequence[Prompt], about: str, last: datetime | None, now: datetime) -> list[Planned]:
    """Today's and earlier ones, after the last that is there."""
    due = (one for one in stages if london_day(one.at) <= london_day(now))
    return [Planned(about, one.stage, one.at) for one in due if last is None or one.at > last]


def _last_stages(session: Session, groups: Iterable[Place]) -> dict[str, datetime]:
    """{about: the latest of its stages that is a row}."""
    abouts = [_about(place) for place in groups]
    query = select(StageRow.about, StageRow.due_at).where(col(StageRow.about).in_(abouts))
    found: dict[str, datetime] = {}
    for about, due_at in session.exec(query).all():
        found[about] = max(found.get(about, due_at), due_at)
    return found


def _item(hindrance: Hindrance, place: Place, rows: Sequence[ObligationRow], now: datetime) -> Item | None:
    """What is left of one exchange and period; None where all has arrived, or nothing can be done about the rest."""
    policy = hindrance.in_force.policy
    exchange = policy.exchange(place[0])
    asked = [row for row in rows if row.answer == Answer.NONE.value]
    if exchange is None or not asked:
        return None
    late = any(row.due_at < now for row in asked)
    blocked = {row.recipient for row in asked if hindrance.of(row, now) is not None}
    free = [row for row in asked if row.recipient not in blocked]
    if not free:
        return None
    due_at = min(row.due_at for row in asked)
    group: Group = "overdue" if late else "send"
    tone: Tone = "bad" if late else "attention" if due_at - now < timedelta(days=2) else "info"
    return Item(
        _about(place), group, _label(exchange, place[1]), _words(policy, exchange, free, sorted(blocked), due_at, late),
        due_at, tone, _buttons(exchange, place, late), _path(exchange, place[1]),
    )  # fmt: skip


def _told(item: Item) -> Item:
    """The line as a governance lead has it: designated persons and data managers alone answer for what is sent."""
    return replace(item, buttons=tuple(button for button in item.buttons if button.verb == "snooze"))


def _label(exchange: Exchange, period: str) -> str:
    found = Period.parse(period)
    label = f"{exchange.called}, {found.words if found else period}"
    return label if len(label) <= LABEL else f"{label[: LABEL - 1]}…"


def _path(exchange: Exchange, period: str) -> str:
    return f"/outbox/{exchange.id}/{period}/" if exchange.by_file else ""


def _words(
    policy: PolicySet, exchange: Exchange, free: Sequence[ObligationRow], blocked: Sequence[str], due_at: datetime,
    late: bool,
) -> str:  # fmt: skip
    one = len(free) == 1 or not exchange.by_file
    by = f"{('was due' if one else 'were due') if late else 'by'} {in_words(due_at)}"
    if not exchange.by_file:
        return f"{by[:1].upper()}{by[1:]}: it is done elsewhere; say on which day you did it."
    names = ", ".join(_called(policy, row.recipient) for row in free)
    said = f"{len(free)} file{'' if one else 's'} {by}; left: {names}"
    waits = ", ".join(_called(policy, one) for one in blocked)
    said += f"; {waits} {'is' if len(blocked) == 1 else 'are'} not ready" if blocked else ""
    tail = ". Best efforts: say so if there is nothing, or you are not able to." if _best(free) else ""
    return said + tail


def _best(rows: Sequence[ObligationRow]) -> bool:
    kind: Kind = "best_efforts"
    return rows[0].kind == kind


def _called(policy: PolicySet, member_id: str) -> str:
    member = policy.member(member_id)
    return member.called if member else member_id


def _buttons(exchange: Exchange, place: Place, late: bool) -> tuple[Button, ...]:
    subject = f"{place[0]}-{place[1]}"
    later = () if late else (Button("snooze", "Later", _about(place)),)
    if not exchange.by_file:
        return (Button("done", "Done …", subject, "primary"), Button("cannot", "Cannot …", subject), *later)
    nil = (Button("nil", "Nothing to send …", subject, "primary"),) if exchange.nil_return == "allowed" else ()
    return (*nil, Button("cannot", "Cannot send …", subject), *later)
