"""What the relay claims, sent or failed. A claim is a lease in real time: a relay that dies is followed by another."""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import col, select

from server.domain.notice import Notice
from server.exchange.ground import Ground
from server.exchange.pacing import Pacing
from server.exchange.sessions import key_of
from server.store.tables import ChatLinkRow, NoticeRow, SendingRow

LEASE_SECONDS = 60.0
_LONGEST_PAUSE = 600.0


@dataclass(frozen=True, slots=True)
class Errand:
    """One notice for one chat account: `channel` and `reference` are None when it has not been sent there yet."""

    notice_id: int
    version: int
    notice: Notice
    team: str
    account: str
    channel: str | None
    reference: str | None


class Outbox:
    """Notices that a transport has not delivered in their present version."""

    def __init__(self, ground: Ground, pacing: Pacing) -> None:
        self._ground, self._pacing = ground, pacing

    def claim(self, transport: str, *, real: float, limit: int = 20) -> tuple[Errand, ...]:
        """Up to `limit` errands, oldest first, leased for a minute from `real` (seconds since 1970).

        Only what may be told by now, and is a message of its own; what stands in the chat already is edited at once.
        """
        self._pacing.pace()
        if not self._pending(transport, real):
            return ()
        errands: list[Errand] = []
        with self._ground.transaction() as tx:
            for notice, link, sending in tx.session.exec(self._due(transport, real).limit(limit)).all():
                if notice.id is None:
                    continue
                if sending is None:
                    sending = SendingRow(notice=notice.id, transport=transport, address=_address(link))
                sending.due_real = real + LEASE_SECONDS
                tx.session.add(sending)
                told = Notice.from_json(notice.body)
                if not self._reaches(link, told):  # leased all the same: it must not stand before the others' next time
                    continue
                errands.append(
                    Errand(
                        notice.id, notice.version, told, link.team, link.account,
                        sending.channel, sending.reference,
                    )
                )  # fmt: skip
        return tuple(errands)

    def sent(self, errand: Errand, transport: str, *, channel: str, reference: str) -> None:
        """This version of the notice stands there now."""
        with self._ground.transaction() as tx:
            row = tx.session.get(SendingRow, (errand.notice_id, transport, f"{errand.team}/{errand.account}"))
            if row is not None:
                row.version, row.channel, row.reference = errand.version, channel, reference
                row.attempts, row.due_real = 0, 0.0
                tx.session.add(row)

    def failed(self, errand: Errand, transport: str, *, real: float, retry_after: float | None) -> None:
        """Try again later: after what the platform asked for, else after a growing pause."""
        with self._ground.transaction() as tx:
            row = tx.session.get(SendingRow, (errand.notice_id, transport, f"{errand.team}/{errand.account}"))
            if row is not None:
                row.attempts += 1
                pause = retry_after if retry_after is not None else min(2.0**row.attempts, _LONGEST_PAUSE)
                row.due_real = real + pause
                tx.session.add(row)

    def given_up(self, errand: Errand, transport: str, why: str) -> None:
        """This version will never arrive there: it is not tried again, and stands on the desk."""
        with self._ground.transaction() as tx:
            row = tx.session.get(SendingRow, (errand.notice_id, transport, f"{errand.team}/{errand.account}"))
            if row is not None:
                row.version, row.attempts, row.due_real = errand.version, 0, 0.0
                tx.session.add(row)

    def _pending(self, transport: str, real: float) -> bool:
        with self._ground.store.reading() as session:
            return session.exec(self._due(transport, real).limit(1)).first() is not None

    def _due(self, transport: str, real: float):  # type: ignore[no-untyped-def]
        address = col(ChatLinkRow.team) + "/" + col(ChatLinkRow.account)
        return (
            select(NoticeRow, ChatLinkRow, SendingRow)
            .join(ChatLinkRow, col(ChatLinkRow.person) == col(NoticeRow.person))
            .outerjoin(
                SendingRow,
                (col(SendingRow.notice) == col(NoticeRow.id))
                & (col(SendingRow.transport) == transport)
                & (col(SendingRow.address) == address),
            )
            .where(
                ChatLinkRow.platform == transport,
                col(NoticeRow.updated_at) >= col(ChatLinkRow.at),
                col(SendingRow.version).is_(None) | (col(SendingRow.version) < col(NoticeRow.version)),
                col(SendingRow.due_real).is_(None) | (col(SendingRow.due_real) <= real),
                col(SendingRow.reference).is_not(None)
                | ((col(NoticeRow.send_at) <= self._ground.now()) & (col(NoticeRow.joins) == "")),
            )
            .order_by(col(NoticeRow.updated_at), col(NoticeRow.id))
        )

    def _reaches(self, link: ChatLinkRow, notice: Notice) -> bool:
        """The link dies with the person, a suspension, or the key that fetched its code; a notice with the member."""
        person = self._ground.policy.person(link.person)
        if person is None or person.id in self._ground.suspended or not notice.concerns(person):
            return False
        own = key_of(person, link.via_key)
        return link.via_key == "invite" or (own is not None and not own.put_only)


def _address(link: ChatLinkRow) -> str:
    return f"{link.team}/{link.account}"
