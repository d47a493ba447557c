"""What is not taken is always said: a why-file, a notice and an entry. Never a value; never a file name in chat."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType

from sqlmodel import select

from server.domain import guard
from server.domain.errors import Busy, SafehandError
from server.domain.findings import Finding
from server.domain.ledger import Event
from server.domain.schedule import in_words
from server.exchange.address import Address
from server.exchange.ground import Ground
from server.exchange.sessions import Visitor
from server.exchange.telling import period_words
from server.papers import why_csv, why_text
from server.store.tables import RefusalRow

_SAME_AGAIN = timedelta(seconds=60)
_NONE: Mapping[str, int] = MappingProxyType({})


class Refusals:
    """Records refusals. A client that tries the same again and again within a minute adds nothing new."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._unsaid: deque[Callable[[], None]] = deque(maxlen=1000)
        self._told: dict[tuple[str, ...], datetime] = {}

    def note(
        self,
        visitor: Visitor,
        place: str,
        name: str,
        error: SafehandError,
        *,
        findings: Sequence[Finding] = (),
        counts: Mapping[str, int] = _NONE,
        address: Address | None = None,
        kind: str = "refused",
        size: int = 0,
    ) -> None:
        """Like `record`; while the database is away it is remembered, and said when it is back."""

        def say() -> None:
            self.record(
                visitor, place, name, error,
                findings=findings, counts=counts, address=address, kind=kind, size=size,
            )  # fmt: skip

        if isinstance(error, Busy):  # waiting for the same database once more would only keep the client waiting
            self._unsaid.append(say)
            return
        try:
            say()
        except Busy:
            self._unsaid.append(say)

    def say_unsaid(self) -> None:
        """Record what could not be recorded when it happened. Raises Busy while the database is still away."""
        while self._unsaid:
            self._unsaid[0]()
            self._unsaid.popleft()

    def record(
        self,
        visitor: Visitor,
        place: str,
        name: str,
        error: SafehandError,
        *,
        findings: Sequence[Finding] = (),
        counts: Mapping[str, int] = _NONE,
        address: Address | None = None,
        kind: str = "refused",
        size: int = 0,
    ) -> None:
        """Write the why-file, the notice and the entry for one refused or interrupted file."""
        person, key = visitor.person.id, name.casefold()
        with self._ground.transaction() as tx:
            query = select(RefusalRow).where(
                RefusalRow.person == person, RefusalRow.place == place, RefusalRow.name_key == key
            )
            row = tx.session.exec(query).first()
            if row is not None and row.code == error.code and tx.now - row.at < _SAME_AGAIN:
                row.at, row.removed = tx.now, False
                tx.session.add(row)
                return
            row = row or RefusalRow(
                person=person, place=place, name_key=key, name="", at=tx.now, code="", why="", csv=""
            )
            row.name, row.at, row.code, row.removed = name, tx.now, error.code, False
            row.why = why_text(error.sentence, findings, counts, place=f"outbox/{place}", at=in_words(tx.now))
            row.csv = why_csv(error.code, error.sentence, findings)
            tx.session.add(row)
            rules = sorted({finding.rule for finding in findings})
            about = tx.record(
                Event(
                    f"upload.{kind}",
                    person,
                    (),
                    {"place": address.place if address else None, "code": error.code, "rules": rules},
                )
            )
            facts = {**self._where(address), "sentence": error.sentence, "listed": bool(findings), "size": size}
            once = str(about) if kind == "interrupted" else key
            thread = f"{kind}:{guard.short_hash(f'{place}/{once}'.encode())}"
            member = visitor.member.id
            notice = self._ground.notices.notice(
                kind, person=person, member=member, thread=thread, facts=facts, tone="bad"
            )
            tx.notify(notice, about=about)

    def key_owners(self, visitor: Visitor, address: Address, unusable: dict[str, str], *, sent: bool) -> None:
        """Tell the owners of keys that a file could not be sealed to; `sent`: it went to others of their member."""
        exchange = address.exchange
        told = (visitor.member.id, exchange.id, str(sent), *sorted(unusable))
        if told in self._told and self._ground.now() - self._told[told] < _SAME_AGAIN:
            return
        self._told[told] = self._ground.now()
        with self._ground.transaction() as tx:
            facts = {"exchange": exchange.id, "holders": sorted(unusable)}
            about = tx.record(Event("key.unusable", visitor.person.id, address.recipients, facts))
            for holder, why in self._owners(address, unusable).items():
                owner = self._ground.policy.person(holder)
                words = {"sender": visitor.member.called, "title": exchange.called, "why": why, "sent": sent}
                notice = self._ground.notices.notice(
                    "key-unusable", person=holder, member=owner.member if owner else "",
                    thread=f"key-unusable:{exchange.id}", facts=words, tone="attention",
                )  # fmt: skip
                tx.notify(notice, about=about)

    def _owners(self, address: Address, unusable: dict[str, str]) -> dict[str, str]:
        """The holders who are people; every data manager of a member for which no key is on file at all."""
        owners = {holder: why for holder, why in unusable.items() if self._ground.policy.person(holder)}
        for recipient in address.recipients:
            if not self._ground.policy.sealed_to(recipient):
                for person in self._ground.policy.people_of(recipient, "data_manager"):
                    owners[person.id] = "no key is on file"
        return owners

    def _where(self, address: Address | None) -> dict[str, object]:
        if address is None:
            return {"to": "a partner", "title": "outbox", "period": ""}
        to = "everyone" if address.broadcast else self._ground.called(address.recipients[0])
        return {"to": to, "title": address.exchange.called, "period": period_words(str(address.period))}
