"""Who is told what when a consignment moves. One notice a person and thread, edited as the states move."""

from __future__ import annotations

from datetime import date, datetime

from sqlmodel import select

from server.domain.delivery import UNRELEASED, Status
from server.domain.notice import Button, Tone
from server.domain.schedule import Period, clock_words, day_words
from server.exchange.ground import Ground
from server.store import Tx
from server.store.tables import ConsignmentRow, DeliveryRow

_TONES: dict[Status, Tone] = {
    Status.HELD: "attention",
    Status.QUERIED: "attention",
    Status.REJECTED: "bad",
    Status.ACKNOWLEDGED: "good",
}


def period_words(period: str) -> str:
    """Nov 2026 for 2026-11."""
    parsed = Period.parse(period)
    return parsed.words if parsed else period


def status_words(delivery: DeliveryRow, consignment: ConsignmentRow, name: str, now: datetime) -> str:
    """What the sender is told about one recipient, as a clause."""

    def at(moment: datetime | None) -> str:
        return clock_words(moment, now) if moment else "an unknown time"

    if delivery.status is Status.RECALLED and delivery.available_at is None:
        return f"undone before release; {name} never saw it"
    return {
        Status.SENT: f"goes to {name} at {at(consignment.release_at)}; until then removing or resending undoes it",
        Status.HELD: f"held: it does not go to {name} before you answer",
        Status.AVAILABLE: f"{name} can collect it since {at(delivery.available_at)}",
        Status.COLLECTED: f"collected at {name} by {delivery.collected_by} at {at(delivery.collected_at)}",
        Status.ACKNOWLEDGED: f"acknowledged by {delivery.acknowledged_by} at {at(delivery.acknowledged_at)}",
        Status.QUERIED: f"{name} has a question: {delivery.problem}",
        Status.REJECTED: f"{name} rejects it: {delivery.problem}",
        Status.RECALLED: f"recalled at {at(delivery.ended_at)}; {name} can no longer read it here",
        Status.SUPERSEDED: f"replaced by {delivery.superseded_by or 'a newer file'}",
    }[delivery.status]


class Telling:
    """Writes the notices of a consignment, inside the transaction that moves it."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def sender(self, tx: Tx, consignment: ConsignmentRow, *, about: int) -> None:
        """The sender's one message about this consignment, as its deliveries stand now."""
        rows = tx.session.exec(select(DeliveryRow).where(DeliveryRow.consignment == consignment.id)).all()
        deliveries = sorted(rows, key=lambda row: row.id)
        lines = [
            (row, status_words(row, consignment, self._ground.called(row.recipient), tx.now)) for row in deliveries
        ]
        held = any(row.status is Status.HELD for row in deliveries)
        tones = [_TONES.get(row.status, "info") for row in deliveries]
        tone: Tone = next((t for t in ("bad", "attention") if t in tones), "info")
        if tones and all(t == "good" for t in tones):
            tone = "good"
        facts = {
            **self._facts(consignment),
            "lines": [words for _, words in lines],
            "counts": _counts(deliveries),
            "hold": consignment.hold_words if held else None,
            "delivery": deliveries[0].id if len(deliveries) == 1 else None,
        }
        shown = tuple((f"{self._ground.called(row.recipient)} {row.id}", words) for row, words in lines)
        notice = self._ground.notices.notice(
            "sent",
            person=consignment.person,
            member=consignment.member,
            thread=f"consignment:{consignment.id}",
            facts=facts,
            tone=tone,
            shown=shown,
            buttons=self._sender_buttons(consignment, deliveries),
        )
        tx.notify(notice, about=about)

    def recipient(self, tx: Tx, delivery: DeliveryRow, consignment: ConsignmentRow, *, about: int) -> None:
        """The message of every data manager of the recipient about this delivery, as it stands now."""
        facts = {
            **self._facts(consignment),
            "delivery": delivery,
            "use_by": day_words(date.fromisoformat(delivery.use_by)) if delivery.use_by else None,
            "at": {
                "collected": clock_words(delivery.collected_at, tx.now) if delivery.collected_at else None,
                "acknowledged": clock_words(delivery.acknowledged_at, tx.now) if delivery.acknowledged_at else None,
            },
            "status": str(delivery.status),
        }
        for person in self._ground.policy.people_of(delivery.recipient, "data_manager"):
            notice = self._ground.notices.notice(
                "delivery",
                person=person.id,
                member=delivery.recipient,
                thread=f"delivery:{delivery.id}",
                facts=facts,
                tone=_TONES.get(delivery.status, "info"),
                buttons=recipient_buttons(delivery),
            )
            tx.notify(notice, about=about)

    def _facts(self, consignment: ConsignmentRow) -> dict[str, object]:
        return {
            "consignment": consignment.id,
            "title": self._ground.titled(consignment.exchange),
            "period": period_words(consignment.period),
            "sender": self._ground.called(consignment.member),
            "rows": consignment.rows,
            "size": consignment.size,
        }

    def _sender_buttons(self, consignment: ConsignmentRow, deliveries: list[DeliveryRow]) -> tuple[Button, ...]:
        if any(row.status is Status.HELD for row in deliveries):
            label = "Both right" if consignment.hold == "same-bytes" else "All there"
            return (
                Button("all-there", label, consignment.id, "primary"),
                Button("discard", "Discard", consignment.id, "danger"),
            )
        waiting = [row for row in deliveries if row.status is Status.AVAILABLE]
        if len(deliveries) == 1 and waiting:
            return (Button("recall", "Recall", waiting[0].id, "danger"),)
        return ()


def recipient_buttons(delivery: DeliveryRow) -> tuple[Button, ...]:
    """What a data manager can press now."""
    acknowledge = Button("acknowledge", "Acknowledge", delivery.id, "primary")
    problem = Button("problem", "Problem", delivery.id, "plain", asks_reason=True)
    if delivery.status in {Status.AVAILABLE, Status.COLLECTED, Status.QUERIED}:
        return (acknowledge, problem)
    if delivery.status is Status.ACKNOWLEDGED:
        return (problem,)
    return ()


def _counts(deliveries: list[DeliveryRow]) -> str:
    """Of 8: 3 acknowledged, 5 available."""
    counts: dict[str, int] = {}
    for row in deliveries:
        word = "waiting for release" if row.status in UNRELEASED else str(row.status)
        counts[word] = counts.get(word, 0) + 1
    return ", ".join(f"{count} {word}" for word, count in counts.items())
