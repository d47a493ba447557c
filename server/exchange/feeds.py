"""Calendars of what is due: one a person, in the mailbox as DUE.ics and at a secret address to subscribe to.

An event is there while something is to be done about it. What it says depends on the rows alone, so that the same state
is the same bytes. No personal data: exchanges, periods, members, ids and days.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sqlmodel import Session, col, select

from server import papers
from server.domain.agreement import Person
from server.domain.audience import hats_of
from server.domain.errors import Missing
from server.domain.ledger import Event, text_of
from server.domain.schedule import LONDON, in_words, london_day
from server.exchange.absences import presence
from server.exchange.chased import Group, Item
from server.exchange.digests import HEADINGS, Digests
from server.exchange.documents import Paper
from server.exchange.ground import Ground
from server.exchange.people import People
from server.exchange.telling import period_words
from server.papers import Occasion
from server.store import Tx
from server.store.duty_tables import FeedRow, ObligationRow
from server.store.tables import DeliveryRow, InForceRow, SuspensionRow

OWED, RENEWAL = "owed", "renewal"
SENDERS = frozenset({"designated_person", "governance_lead"})
"""Under which hats somebody sees what their member owes."""
_OPEN = ("none", "waiting")
_LINK = "{}/feed/{}.ics\r\n\r\nA secret calendar address: subscribe to it, and pass it on to nobody.\r\n"
_TOKEN = 43
"""Letters of an address: 32 bytes."""
_IN_OWN_NAME = {"training": "Training", "key": "GPG key"}
"""What a renewal is called where its label names a person."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """A calendar as it is served: its bytes, and a mark that changes when they do."""

    content: bytes
    etag: str


class Feeds:
    """Makes calendars, and the secret addresses at which they are read."""

    def __init__(self, ground: Ground, people: People, digests: Digests) -> None:
        self._ground, self._people, self._digests = ground, people, digests

    # -- addresses

    def renew(self, cookie: str) -> str:
        """A new address for whoever is signed in with this cookie; every earlier one of theirs ends. Raises Missing."""
        person, via_key = self._people.signed_in_with(cookie)
        with self._ground.transaction() as tx:
            self._end(tx, person, None)
            return self._make(tx, person, via_key)

    def address(self, person: Person, via_key: str) -> str:
        """The address that goes with this key, made when there is none: a mailbox may be read often."""
        with self._ground.transaction() as tx:
            row = tx.session.exec(_live(person.id, via_key)).first()
            if row is not None and row.hash == _hash(token := self._token(row)):
                return token
            self._end(tx, person, via_key)
            return self._make(tx, person, via_key)

    def link(self, person: Person, via_key: str, web_url: str) -> Paper:
        """`calendar-feed.txt`, whose address is made when it is read."""
        site = web_url.rstrip("/")
        size = len(_LINK.format(site, "x" * _TOKEN).encode())
        content: Callable[[], bytes] = lambda: _LINK.format(site, self.address(person, via_key)).encode()  # noqa: E731
        return Paper("calendar-feed.txt", size, self._ground.now(), content)

    def _make(self, tx: Tx, person: Person, via_key: str) -> str:
        row = FeedRow(hash="", person=person.id, via_key=via_key, made_at=tx.now)
        token = self._token(row)
        if tx.session.get(FeedRow, _hash(token)) is not None:  # made in this very moment already: another, please
            row.made_at += timedelta(microseconds=1)
            token = self._token(row)
        row.hash = _hash(token)
        tx.session.add(row)
        tx.record(Event("feed.made", person.id, (), {"key": via_key}))
        return token

    def _end(self, tx: Tx, person: Person, via_key: str | None) -> None:
        for row in tx.session.exec(_live(person.id, via_key)).all():
            row.ended_at = tx.now
            tx.session.add(row)

    def _token(self, row: FeedRow) -> str:
        """Worked out from a secret of the exchange, so that it need not be kept to be shown again."""
        secret = (self._ground.data / "secrets" / "signing-passphrase").read_bytes()
        told = f"calendar feed\n{row.person}\n{row.via_key}\n{text_of(row.made_at)}"
        return base64.urlsafe_b64encode(hmac.digest(secret, told.encode(), "sha256")).decode().rstrip("=")

    def read(self, token: str) -> Calendar:
        """The calendar at this address. Raises Missing: never was, has ended, or its person or key has."""
        with self._ground.store.reading() as session:
            row = session.get(FeedRow, _hash(token))
            suspended = row is not None and session.get(SuspensionRow, row.person) is not None
        if row is None or row.ended_at is not None or suspended or not self._people.valid(row.person, row.via_key):
            raise Missing("There is no such calendar.")
        content = self.content(self._ground.person(row.person))
        return Calendar(content, hashlib.sha256(content).hexdigest()[:32])

    # -- calendars

    def paper(self, person: Person) -> Paper:
        """DUE.ics for the mailbox."""
        return Paper.of("DUE.ics", self.content(person), self._ground.now())

    def content(self, person: Person) -> bytes:
        """What this person owes, must acknowledge, use, destroy, answer and renew, as iCalendar."""
        now = self._ground.now()
        with self._ground.store.reading() as session:
            occasions = [*self._owed(session, person, now), *self._waiting(session, person, now)]
        title = f"Safehand: {self._ground.called(person.member)}"
        return papers.calendar(title, sorted(occasions, key=lambda one: (one.begins_at, one.uid)))

    def _owed(self, session: Session, person: Person, now: datetime) -> Iterator[Occasion]:
        """One event a round: from the opening of its window to its due time."""
        policy = self._ground.in_force_at(session).policy
        hats = hats_of(policy, person.id, presence(self._ground, session, now))
        members = list(dict.fromkeys(hat.member for hat in hats if hat.role in SENDERS))
        query = select(ObligationRow).where(col(ObligationRow.sender).in_(members), ObligationRow.answer != "withdrawn")
        rounds: dict[tuple[str, str, str], list[ObligationRow]] = defaultdict(list)
        for row in session.exec(query.order_by(col(ObligationRow.id))).all():
            rounds[(row.exchange, row.period, row.sender)].append(row)
        for (exchange, period, sender), rows in sorted(rounds.items()):
            if any(row.answer in _OPEN for row in rows):
                yield self._round(person, exchange, period, sender, rows)

    def _round(self, person: Person, exchange: str, period: str, sender: str, rows: list[ObligationRow]) -> Occasion:
        left = [row for row in rows if row.answer in _OPEN]
        met = [row.met_at for row in rows if row.met_at is not None]
        due = min(row.due_at for row in left)
        opens = datetime.combine(date.fromisoformat(min(row.opens for row in left)), time(0), tzinfo=LONDON)
        to = ", ".join(dict.fromkeys(self._ground.called(row.recipient) for row in left if row.recipient))
        for_whom = "" if sender == person.member else f" for {self._ground.called(sender)}"
        found = self._ground.policy.exchange(exchange)
        by_file = found is None or found.by_file
        lines = [f"To {to}." if to else "Done elsewhere; say in chat, on the desk or in /attest/ that it is done."]
        lines += [f"Due {in_words(due)} in London."]
        lines += [f"Put it in outbox/{exchange}/{period}/"] if by_file and to else []
        return Occasion(
            uid=self._uid(f"{OWED}:{exchange}:{period}:{sender}"),
            title=f"{'Send' if to else 'Do'}{for_whom}: {self._ground.titled(exchange)}, {period_words(period)}",
            words="\n".join(lines),
            begins_at=min(opens, due),
            ends_at=due,
            changed_at=max([*(row.made_at for row in rows), *met]),
            sequence=len(met),
            category=HEADINGS["send"],
        )

    def _waiting(self, session: Session, person: Person, now: datetime) -> Iterator[Occasion]:
        """What else waits for the person and has a day, as the day's message lists it."""
        number, at = session.exec(
            select(InForceRow.number, InForceRow.at).order_by(col(InForceRow.number).desc()).limit(1)
        ).one()
        for item in self._digests.items(session, person.id, now):
            if item.due_at is None or item.about.startswith(f"{OWED}:"):
                continue
            changed = max([at, *_moved(session, item.about)])
            yield self._event(item, changed, number or 0)

    def _event(self, item: Item, changed: datetime, sequence: int) -> Occasion:
        due = item.due_at or changed
        kind = item.about.split(":")[1] if item.about.startswith(f"{RENEWAL}:") else ""
        what = _IN_OWN_NAME.get(kind, item.label)
        group: Group = "renew" if kind else item.group
        words = "See the desk, chat or DUE.txt in your mailbox."
        words = f"Put it in {item.path}" if item.path and not item.path.startswith("inbox/") else words
        begins, whole_day = _day_or_moment(due)
        return Occasion(
            uid=self._uid(item.about), title=f"{HEADINGS[group]}: {what}", words=words, begins_at=begins,
            ends_at=begins + timedelta(days=1) if whole_day else due, changed_at=changed, sequence=sequence,
            category=HEADINGS[group], whole_day=whole_day,
        )  # fmt: skip

    def _uid(self, about: str) -> str:
        """The same for ever, for everybody who has it in a calendar; of this exchange alone."""
        exchange = self._ground.key.fingerprint[-16:].lower()
        return f"{hashlib.sha256(about.encode()).hexdigest()[:32]}@{exchange}.safehand"


def _live(person: str, via_key: str | None):  # type: ignore[no-untyped-def]
    query = select(FeedRow).where(FeedRow.person == person, col(FeedRow.ended_at).is_(None))
    return query if via_key is None else query.where(FeedRow.via_key == via_key)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _moved(session: Session, about: str) -> Iterator[datetime]:
    """When the delivery that it is about moved last."""
    for part in about.split(":"):
        row = session.get(DeliveryRow, part) if part.startswith("D-") else None
        times: Iterable[datetime | None] = (
            (row.available_at, row.collected_at, row.acknowledged_at, row.ended_at) if row is not None else ()
        )
        yield from (moment for moment in times if moment is not None)


def _day_or_moment(due: datetime) -> tuple[datetime, bool]:
    """A day (its beginning in London) for what is due at one of its two ends, else the moment itself."""
    local = due.astimezone(LONDON)
    if local.time() in {time(0), time(23, 59), time(23, 59, 59)}:
        return datetime.combine(london_day(due), time(0), tzinfo=LONDON), True
    return due.astimezone(UTC), False
