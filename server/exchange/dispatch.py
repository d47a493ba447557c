"""What a close and a rename have in common: a file is really sent, held and asked about, or was received already."""

from __future__ import annotations

from datetime import timedelta

from sqlmodel import col, select

from server.domain.delivery import CURRENT, Status
from server.domain.errors import Refused
from server.domain.schedule import clock_words
from server.exchange.approval import APPROVAL
from server.exchange.delivery import Deliveries
from server.exchange.ground import Ground
from server.exchange.outbox_rows import checksum_of, deliveries_of
from server.exchange.quality import warning_words
from server.store import Tx
from server.store.tables import ConsignmentRow, DeliveryRow, RefusalRow

SAME_BYTES_WITHIN = timedelta(days=1)


class Dispatch:
    """Questions and answers around sending, inside the transaction that sends."""

    def __init__(self, ground: Ground, deliveries: Deliveries) -> None:
        self._ground, self._deliveries = ground, deliveries

    def hold(self, tx: Tx, row: ConsignmentRow) -> None:
        """Whether its sender is asked before it goes: it may be cut off, or it also went to somebody else.

        Raises Refused for the same file to a second member outside the schedule: it has one recipient (R-026).
        """
        self._one_recipient(tx, row)
        checksum = checksum_of(tx.session, row.person, (row.exchange, row.period, row.folder), row.name_key)
        if checksum is not None and checksum.sha256 != row.sha256:
            raise Refused(
                "The file differs from its .sha256 file: it arrived damaged or cut off. Send both again.",
                code="CHECKSUM",
            )
        if checksum is not None:
            tx.session.delete(checksum)
        elif row.cut_words is not None:
            row.hold, row.hold_words = "completeness", row.cut_words
            return
        other = self._went_elsewhere(tx, row)
        if other is not None:
            row.hold, row.hold_words = "same-bytes", other

    def _one_recipient(self, tx: Tx, row: ConsignmentRow) -> None:
        exchange = self._ground.exchange(row.exchange)
        if exchange.obligation != "ad_hoc":
            return
        query = select(DeliveryRow.recipient).where(
            col(DeliveryRow.consignment) == col(ConsignmentRow.id),
            ConsignmentRow.member == row.member,
            ConsignmentRow.exchange == row.exchange,
            ConsignmentRow.sha256 == row.sha256,
            ConsignmentRow.id != row.id,
            col(DeliveryRow.status).in_([status.value for status in CURRENT]),
        )
        wanted = set(row.recipients.split(","))
        if len(wanted | set(tx.session.exec(query).all())) > 1:
            raise Refused(
                f"{exchange.called}: a file has one recipient, and this one has another already. Take that one back, "
                "or send only what this member needs, in a file of its own.",
                code="ONE_RECIPIENT",
            )

    def _went_elsewhere(self, tx: Tx, row: ConsignmentRow) -> str | None:
        """The question to ask when the same bytes went to another member within a day; not for broadcasts."""
        mine = set(row.recipients.split(","))
        if len(mine) > 1:
            return None
        query = (
            select(DeliveryRow, ConsignmentRow)
            .where(
                col(DeliveryRow.consignment) == col(ConsignmentRow.id),
                ConsignmentRow.member == row.member,
                ConsignmentRow.sha256 == row.sha256,
                ConsignmentRow.id != row.id,
                ConsignmentRow.received_at > tx.now - SAME_BYTES_WITHIN,
                col(DeliveryRow.status).in_([status.value for status in CURRENT]),
            )
            .order_by(col(DeliveryRow.id).desc())
        )
        for delivery, earlier in tx.session.exec(query).all():
            if delivery.recipient not in mine and "," not in earlier.recipients:
                name, when = self._ground.called(delivery.recipient), clock_words(earlier.received_at, tx.now)
                return f"This file also went to {name} at {when}. Both right?"
        return None

    def repeated(self, tx: Tx, row: ConsignmentRow) -> str:
        found = [self._deliveries.repeated(tx.session, row, recipient) for recipient in row.recipients.split(",")]
        ids = ", ".join(delivery.id for delivery in found if delivery is not None)
        for consignment_id in {delivery.consignment for delivery in found if delivery is not None}:
            earlier = tx.session.get(ConsignmentRow, consignment_id)
            if earlier is not None and earlier.person == row.person:
                earlier.tidied = False
                tx.session.add(earlier)
        self._clear_refusal(tx, row)
        held = [delivery for delivery in found if delivery is not None and delivery.status is Status.HELD]
        earlier = tx.session.get(ConsignmentRow, held[0].consignment) if held else None
        tail = f" It is still HELD: {earlier.hold_words} {_how(earlier)}" if earlier is not None else ""
        return f"The same file was already received: {ids}. Nothing was sent twice.{tail}"

    def received(self, tx: Tx, row: ConsignmentRow, left_out: tuple[tuple[str, str], ...]) -> str:
        self._clear_refusal(tx, row)
        query = select(DeliveryRow).where(DeliveryRow.consignment == row.id).order_by(col(DeliveryRow.id))
        sent = ", ".join(f"{self._ground.called(d.recipient)} {d.id}" for d in tx.session.exec(query).all())
        count = f"{row.rows:,} record{'' if row.rows == 1 else 's'}, " if row.rows is not None else ""
        warned = f"{warning_words(row.warnings)} (see receipts/), " if row.warnings else ""
        text = f"Received {count}{warned}{row.size:,} bytes: {row.id} to {sent}."
        if row.hold:
            text += f" HELD: {row.hold_words} {_how(row)}"
        elif row.release_at > tx.now:
            text += f" It goes at {clock_words(row.release_at, tx.now)}; until then removing it undoes it."
        text += self._replaced(tx, row)
        for member, why in left_out:
            text += f" Not sent to {self._ground.called(member)}: {why}"
        return text

    def _replaced(self, tx: Tx, row: ConsignmentRow) -> str:
        """Which earlier deliveries will not go because of this one."""
        new = [delivery.id for delivery in deliveries_of(tx.session, row)]
        query = select(DeliveryRow.id).where(
            col(DeliveryRow.superseded_by).in_(new), col(DeliveryRow.available_at).is_(None)
        )
        old = sorted(tx.session.exec(query).all())
        return f" It takes the place of {', '.join(old)}, which will not go." if old else ""

    def _clear_refusal(self, tx: Tx, row: ConsignmentRow) -> None:
        """An accepted file of that name stands in front of an earlier refusal of it."""
        place = "/".join(part for part in (row.exchange, row.period, row.folder) if part)
        refusal = tx.session.exec(
            select(RefusalRow).where(
                RefusalRow.person == row.person, RefusalRow.place == place, RefusalRow.name_key == row.name_key
            )
        ).first()
        if refusal is not None:
            refusal.removed = True
            tx.session.add(refusal)


def _how(row: ConsignmentRow) -> str:
    """How a held consignment is answered without chat."""
    if row.hold == APPROVAL:
        return f"They are asked now. To take it back, put an empty file attest/{row.id}.discard."
    return (
        f"Answer in chat or on the desk, or put an empty file attest/{row.id}.all-there (or attest/{row.id}.discard)."
    )
