"""Mutual anchoring: the ledger's head of every day, signed and handed out, and the present ledger held to all of them.

An anchor is never replaced. When the ledger no longer agrees with one, that is a finding which nothing clears; the days
go on, and what is handed out says from then on that the ledger was rewritten before.
"""

from __future__ import annotations

import email
import email.policy
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from email.message import EmailMessage

from sqlmodel import Session, col, select

from server.domain import ledger
from server.domain.errors import Refused
from server.domain.heads import Head, heads_in, heads_of
from server.domain.ledger import Event, Fact, text_of
from server.domain.schedule import london_day
from server.exchange.findings import Findings, FindingView
from server.exchange.ground import Ground
from server.seal.verification import require_signature
from server.store.duty_tables import AnchorRow, FindingRow
from server.store.tables import HeadRow, LedgerRow

LEDGER_BREAK = "LEDGER_BREAK"
_ENTRY = "entry-"
LONGEST = 16 * 1024 * 1024
_MAIL = re.compile(rb"\A(?:[A-Za-z][A-Za-z0-9-]{0,60}:[^\n]*\r?\n(?:[ \t][^\n]*\r?\n)*){2,}\r?\n")
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Anchor:
    """The ledger's head as it was handed out on a day in London; `after_break`: the ledger was rewritten before."""

    day: str
    head: Head
    at: datetime
    signature: str
    after_break: bool

    @property
    def text(self) -> bytes:
        """What the signature is over."""
        return anchor_text(self.day, self.head, self.at)


@dataclass(frozen=True, slots=True)
class Held:
    """One head that was handed out, and whether the present ledger agrees with it."""

    head: Head
    holds: bool
    words: str


ANCHORED = "ledger.anchored"
"""The entry of an anchor that was made."""


@dataclass(frozen=True, slots=True)
class HandedOut:
    """What a file says of the ledger: whether the exchange's key signed it, and each head held to the ledger."""

    signed: bool
    heads: tuple[Held, ...]


def anchor_text(day: str, head: Head, at: datetime) -> bytes:
    """An anchor as it is signed: four plain lines."""
    return f"safehand anchor 1\n{day}\n{head.words}\n{text_of(at)}\n".encode()


class Anchors:
    """Makes the day's anchor, and holds the ledger to every head that was ever handed out."""

    def __init__(self, ground: Ground, findings: Findings) -> None:
        self._ground, self._findings = ground, findings
        self._seen: date | None = None
        """The day whose anchor is known to stand."""

    def anchor_due(self) -> bool:
        """Once a London day, over all processes: hold the ledger to earlier anchors, then anchor it. True if made."""
        today = london_day(self._ground.now())
        if self._seen == today:
            return False
        with self._ground.store.reading() as session:
            there = session.get(AnchorRow, today.isoformat()) is not None
            broken = [] if there else self._broken(session)
        made = False if there else self._anchor(broken)
        self._seen = today
        return made

    def _anchor(self, broken: Iterable[Held]) -> bool:
        """Looked at again inside: another process may have been quicker."""
        with self._ground.transaction() as tx:
            day = london_day(tx.now).isoformat()
            if tx.session.get(AnchorRow, day) is not None:
                return False
            for held in broken:
                self._findings.note(tx, LEDGER_BREAK, f"{_ENTRY}{held.head.number}", held.words, permanent=True)
            head = Head(*tx.head)
            signature = self._ground.key.sign_detached(anchor_text(day, head, tx.now)).decode("ascii")
            tx.session.add(AnchorRow(day=day, number=head.number, hash=head.hash, at=tx.now, signature=signature))
            tx.session.flush()
            facts: dict[str, Fact] = {"day": day, "entry": head.number, "hash": head.hash}
            tx.record(Event(ANCHORED, "exchange", (), facts))
            return True

    def _broken(self, session: Session) -> list[Held]:
        """A break that nobody knows of: the earliest anchor that does not hold, else the first odd entry since."""
        anchors = self.all(session)
        held = {one.head: one for one in self._held(session, [anchor.head for anchor in anchors])}
        known = _known_breaks(session)
        new = [
            held[anchor.head]
            for anchor in anchors
            if not held[anchor.head].holds
            and not any(number <= anchor.head.number and anchor.at <= at for number, at in known)
        ]
        if new or (anchors and not held[anchors[-1].head].holds):
            return new[:1]
        return self._odd_since(anchors[-1].head if anchors else Head(0, ledger.GENESIS))

    def _odd_since(self, since: Head) -> list[Held]:
        """The chain from a head on, which costs a day's entries a day."""
        number, previous = since.number, since.hash
        for entry in self._ground.store.entries(after=since.number):
            number += 1
            fault = ledger.fault(entry, number=number, previous=previous)
            if fault is not None:
                return [
                    Held(Head(number, previous), False, f"{fault[0].upper()}{fault[1:]}: the ledger was rewritten.")
                ]
            previous = entry.hash
        return []

    # -- reading

    def all(self, session: Session) -> tuple[Anchor, ...]:
        """Every anchor, by day."""
        first = next((at for _, at in _known_breaks(session)), None)
        rows = session.exec(select(AnchorRow).order_by(col(AnchorRow.day))).all()
        return tuple(
            Anchor(r.day, Head(r.number, r.hash), r.at, r.signature, first is not None and r.at >= first) for r in rows
        )

    def anchors(self) -> tuple[Anchor, ...]:
        """Every anchor, by day, as things stand."""
        with self._ground.store.reading() as session:
            return self.all(session)

    def broken(self) -> FindingView | None:
        """The first break that was ever found; None while the ledger is whole."""
        found = (one for one in self._findings.open() if one.code == LEDGER_BREAK)
        return next(found, None)

    # -- proving

    def hold(self, content: bytes, signature: bytes | None = None) -> HandedOut:
        """Every head that a paper, a message or a line names, held to the present ledger.

        `signature`: a detached one that lay beside it. Raises Refused for a signed paper whose signature is not this
        exchange's or not of these bytes, for one that names no head, and for one that is too long.
        """
        if len(content) > LONGEST:
            raise Refused("That file is too long for anything that the exchange hands out.")
        signed, heads = self._heads(content, signature)
        if not heads:
            raise Refused("That file names no head of the ledger: give heads.txt, a receipt, a manifest or a digest.")
        with self._ground.store.reading() as session:
            return HandedOut(signed, tuple(self._held(session, heads)))

    def hold_anchors(self) -> tuple[Held, ...]:
        """Every anchor held to the present ledger, its signature included; and those of which only entries tell."""
        armored = self._ground.key.armored
        with self._ground.store.reading() as session:
            anchors = self.all(session)
            held = {one.head: one for one in self._held(session, [anchor.head for anchor in anchors])}
            gone = _gone(session, anchors)
        return (*(self._signed_anchor(anchor, held[anchor.head], armored) for anchor in anchors), *gone)

    def _signed_anchor(self, anchor: Anchor, held: Held, armored: str) -> Held:
        try:
            require_signature(anchor.text, anchor.signature.encode(), armored)
        except Refused:
            return Held(anchor.head, False, f"The anchor of {anchor.day} is not the one that was signed on that day.")
        return held

    def note_break(self, words: str, number: int) -> None:
        """The ledger does not hold, as somebody found out: that stands for ever."""
        with self._ground.transaction() as tx:
            self._findings.note(tx, LEDGER_BREAK, f"{_ENTRY}{number}", words, permanent=True)

    def _heads(self, content: bytes, signature: bytes | None) -> tuple[bool, tuple[Head, ...]]:
        armored = self._ground.key.armored
        told = _as_json(content)
        if isinstance(told, dict) and isinstance(told.get("signed"), str) and "signature" in told:
            text = told["signed"]
            require_signature(text.encode(), str(told["signature"]).encode(), armored)
            return True, heads_of(_as_json(text.encode()) or text)
        if signature is not None:
            require_signature(content, signature, armored)
        heads = heads_of(told) if isinstance(told, dict | list) else heads_in(_readable(content))
        return signature is not None, heads

    def _held(self, session: Session, heads: Iterable[Head]) -> list[Held]:
        wanted = sorted(set(heads))
        present: dict[int, str] = {}
        numbers = sorted({head.number for head in wanted})
        for first in range(0, len(numbers), _BATCH):
            query = select(LedgerRow.number, LedgerRow.hash).where(
                col(LedgerRow.number).in_(numbers[first : first + _BATCH])
            )
            present.update(session.exec(query).all())
        last = session.exec(select(HeadRow.number).where(col(HeadRow.id) == 1)).one()
        return [_compared(head, present.get(head.number), last) for head in wanted]


def _gone(session: Session, anchors: Iterable[Anchor]) -> list[Held]:
    """Anchors that an entry tells of and that are no row any more."""
    days = {anchor.day for anchor in anchors}
    told = session.exec(select(LedgerRow.data).where(LedgerRow.kind == ANCHORED).order_by(col(LedgerRow.number))).all()
    lost = [fact for fact in map(json.loads, told) if fact["day"] not in days]
    words = "The ledger was anchored on {}, and that anchor is gone: the database was changed."
    return [Held(Head(fact["entry"], fact["hash"]), False, words.format(fact["day"])) for fact in lost]


def _compared(head: Head, present: str | None, last: int) -> Held:
    if present == head.hash:
        return Held(head, True, f"Entry {head.number:,} had that hash when it was handed out: it still has.")
    handed = f"Entry {head.number:,} had that hash when it was handed out: "
    if present is None and head.number > last:
        return Held(head, False, f"{handed}there is none now, the ledger ends at {last:,}: it was cut.")
    if present is None:
        return Held(head, False, f"{handed}there is none of that number now: the ledger was rewritten.")
    return Held(head, False, f"{handed}it has another now: the ledger was rewritten.")


def _known_breaks(session: Session) -> list[tuple[int, datetime]]:
    """From which entry on the ledger was rewritten, and when that was found; the first that was found first."""
    query = (
        select(FindingRow.subject, FindingRow.at).where(FindingRow.code == LEDGER_BREAK).order_by(col(FindingRow.at))
    )
    found = session.exec(query).all()
    return [(int(subject.removeprefix(_ENTRY)), at) for subject, at in found if subject.startswith(_ENTRY)]


def _as_json(content: bytes) -> object:
    try:
        return json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None


def _readable(content: bytes) -> str:
    """The text of it; of a saved mail, its parts as they were before they were encoded for the way."""
    if not _MAIL.match(content):
        return content.decode("utf-16" if content[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8", errors="replace")
    message = email.message_from_bytes(content, _class=EmailMessage, policy=email.policy.default)
    parts = [part for part in message.walk() if part.get_content_maintype() == "text"]
    payloads = (part.get_payload(decode=True) for part in parts)
    return "\n".join(payload.decode("utf-8", errors="replace") for payload in payloads if isinstance(payload, bytes))
