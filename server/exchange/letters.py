"""What mail has to carry: notices of people without a live chat account, and of members' team addresses.

A mail cannot be edited, so the rule is: a notice is mailed once, and again only when it turns to something that needs a
person (attention or bad, where it was not so before). The day's message is mailed once a day; what joined it after that
is mailed the day after, in one letter. Whatever is not mailed stands on the desk, and in the next day's message while
something is to be done about it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, col, or_, select

from server.domain.agreement import PolicySet
from server.domain.audience import TEAM, hats_of
from server.domain.ledger import Event, moment_of, text_of
from server.domain.notice import Notice
from server.domain.pacing import DIGEST, digest_thread
from server.domain.schedule import london_day
from server.exchange.absences import presence
from server.exchange.findings import Findings
from server.exchange.ground import Ground
from server.exchange.outbox import LEASE_SECONDS, Errand, Outbox
from server.exchange.pacing import Pacing
from server.store import Tx
from server.store.tables import ChatLinkRow, LedgerRow, NoticeRow, SendingRow

MAIL, MAIL_UNDELIVERABLE, ENABLED = "email", "MAIL_UNDELIVERABLE", "mail.enabled"
OLDEST = timedelta(days=30)
"""What was to be told longer ago is not mailed any more."""
_PLACE = "mail"
_ADDRESS = re.compile(r"[A-Za-z0-9._%+'/=-]{1,64}@(?=.{1,253}$)[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_NEEDS_SOMEBODY = frozenset({"attention", "bad"})


@dataclass(frozen=True, slots=True)
class Letter(Errand):
    """One notice for one mail address. `account` is the person, or "team:kent"; `to` where it goes; `at` when."""

    to: str = ""
    at: datetime | None = None


class Letters(Outbox):
    """The relay's claim for mail: the same leases, other addressees."""

    def __init__(self, ground: Ground, pacing: Pacing, findings: Findings) -> None:
        super().__init__(ground, pacing)
        self._findings = findings
        self._since: datetime | None = None

    def claim(self, transport: str, *, real: float, limit: int = 20) -> tuple[Errand, ...]:
        """Up to `limit` letters, oldest first, leased for a minute from `real` (seconds since 1970)."""
        if not self._ground.has_policy:
            return ()
        self._pacing.pace()
        self._enable()
        with self._ground.store.reading() as session:
            addresses = self.addresses(session)
            if not addresses or session.exec(self._to_mail(addresses, real).limit(1)).first() is None:
                return ()
        with self._ground.transaction() as tx:
            addresses = self.addresses(tx.session)
            rows = tx.session.exec(self._to_mail(addresses, real).limit(limit)).all()
            return tuple(self._leased(tx, rows, addresses, real))

    def sent(self, errand: Errand, transport: str, *, channel: str, reference: str) -> None:
        """It is on its way; `reference` is its Message-ID. Whoever could not be reached before can be now."""
        told = f"{errand.notice.tone}|{text_of(self._ground.now())}"
        super().sent(errand, transport, channel=told, reference=reference)
        if self._findings.stands(MAIL_UNDELIVERABLE, errand.account):
            with self._ground.transaction() as tx:
                self._findings.clear(tx, MAIL_UNDELIVERABLE, errand.account)

    def given_up(self, errand: Errand, transport: str, why: str) -> None:
        """The mail server will never take it: it stays on the desk and in the mailbox, and somebody has to look."""
        super().given_up(errand, transport, why)
        with self._ground.transaction() as tx:
            words = f"Mail to {errand.account} is refused ({why}): correct the address. Notices stay on the desk."
            self._findings.note(tx, MAIL_UNDELIVERABLE, errand.account, words)

    # -- who

    def addresses(self, session: Session) -> Mapping[str, str]:
        """{person or "team:kent": mail address} of everybody who is told by mail now."""
        policy = self._ground.policy
        if MAIL not in policy.notifications.transports:
            return {}
        in_chat = {link.person for link in session.exec(select(ChatLinkRow)).all() if self._is_live(link)}
        facts = self._ground.facts
        found = {
            person.id: person.email
            for person in policy.people
            if person.id not in in_chat | facts.suspended and person.member not in facts.left and person.email
        }
        return found | {
            team: address for team, address in team_addresses(policy).items() if team[len(TEAM) :] not in facts.left
        }

    def without_people(self, addresses: Mapping[str, str]) -> tuple[str, ...]:
        """Ids of members for some of whose business only the team address is left today."""
        policy = self._ground.policy
        with self._ground.store.reading() as session:
            present = presence(self._ground, session, self._ground.now())
        teams = (member.id for member in policy.members if f"{TEAM}{member.id}" in addresses)
        return tuple(team for team in teams if hats_of(policy, f"{TEAM}{team}", present))

    def _enable(self) -> None:
        """Mail begins when it is first set up: what people were told before that is not sent after them."""
        if self._since is not None:
            return
        query = select(LedgerRow.at).where(LedgerRow.kind == ENABLED).order_by(col(LedgerRow.number)).limit(1)
        with self._ground.transaction() as tx:
            at = tx.session.exec(query).first()
            if at is None:
                tx.record(Event(ENABLED, "exchange", (), {}))
            self._since = moment_of(at) if at is not None else tx.now

    # -- what

    def _to_mail(self, addresses: Mapping[str, str], real: float):  # type: ignore[no-untyped-def]
        now = self._ground.now()
        today = digest_thread(london_day(now))
        return (
            select(NoticeRow, SendingRow)
            .outerjoin(SendingRow, (col(SendingRow.notice) == col(NoticeRow.id)) & (col(SendingRow.transport) == MAIL))
            .where(
                col(NoticeRow.person).in_(list(addresses)),
                col(NoticeRow.updated_at) >= (self._since or now),
                col(NoticeRow.send_at) >= now - OLDEST,
                or_(col(SendingRow.version).is_(None), col(SendingRow.version) < col(NoticeRow.version)),
                or_(col(SendingRow.due_real).is_(None), col(SendingRow.due_real) <= real),
                col(NoticeRow.send_at) <= now,
                col(NoticeRow.joins) == "",
                or_(col(SendingRow.channel).is_(None), col(NoticeRow.thread) != today),
            )
            .order_by(col(NoticeRow.updated_at), col(NoticeRow.id))
        )

    def _leased(
        self, tx: Tx, rows: list[tuple[NoticeRow, SendingRow | None]], addresses: Mapping[str, str], real: float
    ) -> Iterator[Letter]:
        for row, sending in rows:
            notice = Notice.from_json(row.body)
            if row.id is None:
                continue
            sending = sending or SendingRow(notice=row.id, transport=MAIL, address=f"{_PLACE}/{row.person}")
            tx.session.add(sending)
            if not (self._concerns(notice) and self._is_worth_a_letter(tx.session, row, notice, sending)):
                sending.version = row.version
                continue
            sending.due_real = real + LEASE_SECONDS
            yield Letter(
                row.id, row.version, notice, _PLACE, row.person, None, None, to=addresses[row.person], at=row.updated_at
            )

    def _is_worth_a_letter(self, session: Session, row: NoticeRow, notice: Notice, sending: SendingRow) -> bool:
        """The rule above. `sending.channel` has the tone that was mailed last, and when."""
        if sending.channel is None:
            return True
        tone, _, at = sending.channel.partition("|")
        if notice.kind != DIGEST:
            return notice.tone in _NEEDS_SOMEBODY and notice.tone != tone
        query = select(NoticeRow.id).where(
            NoticeRow.person == row.person, NoticeRow.joins == row.thread, col(NoticeRow.send_at) > moment_of(at)
        )
        return session.exec(query).first() is not None

    def _concerns(self, notice: Notice) -> bool:
        person = self._ground.policy.person(notice.person)
        return notice.person.startswith(TEAM) if person is None else notice.concerns(person)

    def _is_live(self, link: ChatLinkRow) -> bool:
        """Whether the account gets messages: a link dies with the person, a suspension, or the key of its code."""
        return self._reaches(link, Notice(link.person, "", "", ""))


def team_addresses(policy: PolicySet) -> Mapping[str, str]:
    """{"team:kent": its address} of every member that has one."""
    return {f"{TEAM}{m.id}": m.ig_team.email for m in policy.members if m.ig_team is not None and m.ig_team.email}


def is_address(text: str) -> bool:
    """Whether this can be written to: one plain mailbox, without names, lists or line ends."""
    return _ADDRESS.fullmatch(text) is not None
