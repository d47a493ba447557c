"""What a played exchange has in its tables, in the oracle's words: files by what they are, not by their numbers."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, time
from pathlib import Path

from sqlmodel import select

from server.domain.obligation import Answer, Obligation, standing
from server.exchange import Exchange
from server.store.duty_tables import AbsenceRow, AnchorRow, CertificateRow, ObligationRow, PurgeRow, StageRow, ToldRow
from server.store.tables import ConsignmentRow, DeliveryRow, NoticeRow
from tests.year.days import LONDON, Days, clock
from tests.year.oracle import Purged, Told
from tests.year.plan import File
from tests.year.player import TEMPLATES, Scene, url_of

_FOOT = re.compile(r"entry \d{12}, head [0-9a-f]{64}")
"""The ledger's head in a digest's foot: it is another one in every play, for its entries have other times."""
_ID = re.compile(r"\b([CD])-\d{4}-\d{6}\b")
URGENT = frozenset({"suspended", "resumed", "sent", "refused", "interrupted", "key-unusable", "ad-hoc", "breach"})
"""Kinds that are never delayed: answers to a person's own act, and incidents."""
MOST_A_DAY = 6
BURST = 3
"""Messages of a day after which others are told in the day's one; such a one that has news later is told anew."""


@dataclass(frozen=True, order=True)
class Message:
    """One notice: for whom, in which thread, what it says, on which day it may go, and in what it is told."""

    person: str
    thread: str
    body: str
    send_day: str
    joins: str


@dataclass
class Seen:
    """What stands in the tables of one played scene."""

    scene: Scene
    told: set[Told] = field(default_factory=set)
    digests: set[tuple[str, str]] = field(default_factory=set)
    standings: dict[str, str] = field(default_factory=dict)
    purged: set[Purged] = field(default_factory=set)
    certificates: set[tuple[str, str]] = field(default_factory=set)
    threads: set[tuple[str, str]] = field(default_factory=set)
    messages: set[Message] = field(default_factory=set)
    deliveries: set[tuple[str, str, str, str]] = field(default_factory=set)
    anchors: set[str] = field(default_factory=set)
    stages: set[tuple[str, str, str, str]] = field(default_factory=set)
    """(about, stage, due, outcome)."""
    busy: set[tuple[str, str]] = field(default_factory=set)
    """(person, day) with so many new messages that some were told in the day's one, though they have moved since."""
    doubled: list[str] = field(default_factory=list)
    """What stands twice though it may only once."""
    untimely: list[str] = field(default_factory=list)
    """Messages at a time at which nobody is told."""
    crowded: list[str] = field(default_factory=list)
    """Days on which somebody got more than six messages."""


def look(folder: Path) -> Seen:
    """Reads everything; the ledger is verified first."""
    scene = Scene.read(folder)
    exchange = Exchange.open(folder / "data", database_url=url_of(folder, scene), templates=TEMPLATES)
    try:
        exchange.evidence.verify()
        return _look(scene, exchange, Days.shipped())
    finally:
        exchange.close()


def _look(scene: Scene, exchange: Exchange, days: Days) -> Seen:
    seen, now = Seen(scene), exchange.now()
    with exchange.ground.store.reading() as session:
        consignments = {row.id: row for row in session.exec(select(ConsignmentRow)).all()}
        names = {}
        for delivery in session.exec(select(DeliveryRow)).all():
            of = consignments[delivery.consignment]
            names[delivery.id] = File(of.exchange, of.period, of.member, delivery.recipient).key
            names[of.id] = names[delivery.id]
            seen.deliveries.add(
                (names[delivery.id], f"{delivery.status}", f"{delivery.copy_state}", f"{delivery.use_state}")
            )

        names |= {f"away:{row.id}": f"away:{row.person}" for row in session.exec(select(AbsenceRow)).all()}

        def named(text: str) -> str:
            if text.startswith("away:"):
                return names.get(text, text)
            return _ID.sub(lambda found: names.get(found[0], found[0]), text)

        stages = {row.id: row for row in session.exec(select(StageRow)).all()}
        for stage in stages.values():
            seen.stages.add((named(stage.about), stage.stage, clock(stage.due_at), f"{stage.outcome}"))
        for told in session.exec(select(ToldRow)).all():
            stage = stages[told.stage]
            seen.told.add(Told(told.day, told.person, named(stage.about), clock(stage.due_at)))
        for row in session.exec(select(ObligationRow)).all():
            key = f"{row.exchange}:{row.period}:{row.sender}:{row.recipient}"
            seen.standings[key] = f"{standing(_obligation(row), now)}"
        for purge in session.exec(select(PurgeRow)).all():
            seen.purged.add(Purged(names[purge.delivery], purge.rule, clock(purge.begun_at)[:10]))
            if purge.certified_at is None:
                seen.doubled.append(f"no certificate of {names[purge.delivery]}")
        for certificate in session.exec(select(CertificateRow)).all():
            seen.certificates.add((certificate.kind, names[certificate.delivery]))
        seen.anchors = {row.day for row in session.exec(select(AnchorRow)).all()}
        notices = list(session.exec(select(NoticeRow)).all())
    for notice in notices:
        _message(seen, notice, named)
    made = Counter((notice.person, clock(notice.created_at)[:10]) for notice in notices)
    seen.busy = {key for key, count in made.items() if count > BURST}
    seen.untimely = list(_untimely(notices, days))
    seen.crowded = list(_crowded(notices))
    seen.doubled += _told_twice(exchange)
    return seen


def _obligation(row: ObligationRow) -> Obligation:
    return Obligation(
        row.id or 0, row.exchange, row.period, row.sender, row.recipient, row.kind,  # type: ignore[arg-type]
        date.fromisoformat(row.opens), row.due_at, Answer(row.answer), row.met_at, row.blocked, row.reason,
        row.reference,
    )  # fmt: skip


def _message(seen: Seen, notice: NoticeRow, named) -> None:  # type: ignore[no-untyped-def]
    thread = named(notice.thread)
    day = clock(notice.send_at)[:10] if notice.send_at else ""
    body = _FOOT.sub("the ledger's head", named(notice.body))
    seen.messages.add(Message(notice.person, thread, body, day, notice.joins))
    prefix, _, rest = thread.partition(":")
    if prefix == "digest":
        seen.digests.add((notice.person, rest))
    elif prefix in {"delivery", "consignment", "nil"}:
        seen.threads.add((notice.person, thread))


def _untimely(notices: list[NoticeRow], days: Days) -> Iterable[str]:
    """A day's message that tells what is urgent comes at any hour too."""
    urgent = {(notice.person, notice.joins) for notice in notices if json.loads(notice.body)["kind"] in URGENT}
    for notice in notices:
        if json.loads(notice.body)["kind"] in URGENT or notice.joins or (notice.person, notice.thread) in urgent:
            continue
        if notice.send_at is None:
            yield f"{notice.thread} to {notice.person} has no time"
            continue
        local = notice.send_at.astimezone(LONDON)
        if not days.working(local.date()) or not time(8) <= local.time() < time(18):
            yield f"{notice.thread} to {notice.person} at {clock(notice.send_at)}"


def _crowded(notices: Iterable[NoticeRow]) -> Iterable[str]:
    counts = Counter(
        (notice.person, clock(notice.send_at or notice.created_at)[:10]) for notice in notices if not notice.joins
    )
    for (person, day), count in counts.items():
        if count > MOST_A_DAY:
            yield f"{person} on {day}: {count}"


def _told_twice(exchange: Exchange) -> list[str]:
    """Stages that the ledger says were told twice to one person."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for entry in exchange.evidence.entries():
        if entry.kind != "reminder.told":
            continue
        facts = json.loads(entry.data)
        for person in str(facts["to"]).split(","):
            counts[(facts["about"], facts["stage"], person)] += 1
    return [f"{key} {count} times" for key, count in counts.items() if count > 1]
