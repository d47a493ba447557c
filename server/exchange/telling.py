"""Who is told what when a consignment moves. One notice a person and thread, edited as the states move."""

from __future__ import annotations

from datetime import date, datetime

from sqlmodel import col, select

from server.domain.agreement import Person
from server.domain.audience import Hat, audience
from server.domain.delivery import REPLACED, UNRELEASED, VISIBLE, SealedCopy, Status, Use
from server.domain.notice import Button, Tone
from server.domain.schedule import Period, clock_words, day_words
from server.exchange.absences import presence
from server.exchange.approval import APPROVAL, NOT_APPROVED, approvers
from server.exchange.attested import asks_countersignature, personal, said_of, use_words
from server.exchange.ground import Ground
from server.exchange.quality import warning_words
from server.store import Tx
from server.store.duty_tables import AttestationRow
from server.store.tables import AdHocRow, ConsignmentRow, DeliveryRow, NoticeRow

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


def status_words(
    delivery: DeliveryRow, consignment: ConsignmentRow, name: str, now: datetime, said: AttestationRow | None = None
) -> str:
    """Where it stands with one recipient, as a clause; and what that recipient said became of its copy."""
    words, used = _status_words(delivery, consignment, name, now), use_words(delivery, said, now)
    return f"{words}; {used}" if used else words


def _status_words(delivery: DeliveryRow, consignment: ConsignmentRow, name: str, now: datetime) -> str:

    def at(moment: datetime | None) -> str:
        return clock_words(moment, now) if moment else "an unknown time"

    gone = "; the copy here is gone" if delivery.copy_state is SealedCopy.PURGED else ""
    if is_over(delivery):
        return f"its time is over: {name} can no longer read it here"
    if delivery.status is Status.RECALLED and delivery.available_at is None:
        if consignment.hold == NOT_APPROVED:
            return f"{consignment.hold_words}; {name} never saw it"
        return f"undone before release; {name} never saw it"
    return {
        Status.SENT: f"goes to {name} at {at(consignment.release_at)}; until then removing or resending undoes it",
        Status.HELD: f"held: it does not go to {name} before {_whose_word(consignment)}",
        Status.AVAILABLE: f"{name} can collect it since {at(delivery.available_at)}",
        Status.COLLECTED: f"collected at {name} by {delivery.collected_by} at {at(delivery.collected_at)}",
        Status.ACKNOWLEDGED: f"acknowledged by {delivery.acknowledged_by} at {at(delivery.acknowledged_at)}{gone}",
        Status.QUERIED: f"{name} has a question: {delivery.problem}",
        Status.REJECTED: f"{name} rejects it: {delivery.problem}",
        Status.RECALLED: f"recalled at {at(delivery.ended_at)}; {name} can no longer read it here",
        Status.SUPERSEDED: f"replaced by {delivery.superseded_by or 'a newer file'}",
    }[delivery.status]


def is_over(delivery: DeliveryRow) -> bool:
    """Its time ended before anybody acknowledged it: nobody can read it here any more."""
    return delivery.copy_state is SealedCopy.PURGED and delivery.status in VISIBLE - {Status.ACKNOWLEDGED}


def _whose_word(consignment: ConsignmentRow) -> str:
    return "a governance lead approves it" if consignment.hold == APPROVAL else "you answer"


class Telling:
    """Writes the notices of a consignment, inside the transaction that moves it."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def sender(self, tx: Tx, consignment: ConsignmentRow, *, about: int) -> None:
        """The sender's one message about this consignment, as its deliveries stand now."""
        rows = tx.session.exec(select(DeliveryRow).where(DeliveryRow.consignment == consignment.id)).all()
        deliveries = sorted(rows, key=lambda row: row.id)
        said = said_of(tx.session, [row.id for row in deliveries])
        lines = [
            (row, status_words(row, consignment, self._ground.called(row.recipient), tx.now, said.get(row.id)))
            for row in deliveries
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
        self._approvers(tx, consignment, deliveries, about=about)

    def _approvers(self, tx: Tx, consignment: ConsignmentRow, deliveries: list[DeliveryRow], *, about: int) -> None:
        """The message of every governance lead who may approve it, as it stands now; nobody is asked of their own."""
        asked = tx.session.get(AdHocRow, consignment.id)
        if asked is None:
            return
        waits = asked.approved_at is None and any(row.status is Status.HELD for row in deliveries)
        facts = {
            **self._facts(consignment),
            "to": ", ".join(self._ground.called(row.recipient) for row in deliveries),
            "person": consignment.person,
            "waits": waits,
            "until": clock_words(asked.approve_by, tx.now),
            "approved": asked.approved_by,
            "at": clock_words(asked.approved_at, tx.now) if asked.approved_at else None,
            "reason": asked.reason,
            "ended": consignment.hold_words if consignment.hold == NOT_APPROVED else None,
        }
        tone: Tone = "attention" if waits else "good" if asked.approved_by else "info"
        for person in approvers(self._ground.policy, consignment.member, consignment.person):
            notice = self._ground.notices.notice(
                "ad-hoc", person=person.id, member=consignment.member, thread=f"ad-hoc:{consignment.id}",
                facts=facts, tone=tone, buttons=approval_buttons(consignment.id) if waits else (),
            )  # fmt: skip
            tx.notify(notice, about=about)

    def recipient(self, tx: Tx, delivery: DeliveryRow, consignment: ConsignmentRow, *, about: int) -> None:
        """The message of every data manager of the recipient about this delivery, as it stands now."""
        said = said_of(tx.session, [delivery.id]).get(delivery.id)
        buttons = recipient_buttons(delivery, personal=personal(self._ground.policy, consignment.exchange))
        facts = {
            **self._facts(consignment),
            "delivery": delivery,
            "use_by": day_words(date.fromisoformat(delivery.use_by)) if delivery.use_by else None,
            "at": {
                "collected": clock_words(delivery.collected_at, tx.now) if delivery.collected_at else None,
                "acknowledged": clock_words(delivery.acknowledged_at, tx.now) if delivery.acknowledged_at else None,
            },
            "status": str(delivery.status),
            "over": is_over(delivery),
            "use": str(delivery.use_state),
            "used": use_words(delivery, said, tx.now),
        }
        thread = f"delivery:{delivery.id}"
        for person in self._received_by(tx, delivery.recipient, thread):
            notice = self._ground.notices.notice(
                "delivery",
                person=person.id,
                member=delivery.recipient,
                thread=thread,
                facts=facts,
                tone=_TONES.get(delivery.status, "info"),
                buttons=buttons if self._ground.policy.may(person, "acknowledge") else (),
            )
            tx.notify(notice, about=about)

    def _received_by(self, tx: Tx, member: str, thread: str) -> list[Person]:
        """The member's data managers; who stands in for one who is away, the lead when nobody is here (R-093).

        Whoever was told once is told how it goes on.
        """
        policy = self._ground.policy
        hat = Hat(member, "data_manager")
        standing_in = audience(policy, hat, presence(self._ground, tx.session, tx.now))
        people = policy.people_of(member)
        told = tx.session.exec(
            select(NoticeRow.person).where(
                NoticeRow.thread == thread, col(NoticeRow.person).in_([person.id for person in people])
            )
        ).all()
        return [p for p in people if "data_manager" in p.roles or p.id in standing_in or p.id in told]

    def _facts(self, consignment: ConsignmentRow) -> dict[str, object]:
        return {
            "consignment": consignment.id,
            "title": self._ground.titled(consignment.exchange),
            "period": period_words(consignment.period),
            "sender": self._ground.called(consignment.member),
            "rows": consignment.rows,
            "warnings": warning_words(consignment.warnings),
            "size": consignment.size,
        }

    def _sender_buttons(self, consignment: ConsignmentRow, deliveries: list[DeliveryRow]) -> tuple[Button, ...]:
        if any(row.status is Status.HELD for row in deliveries):
            return held_buttons(consignment)
        waiting = [row for row in deliveries if row.status is Status.AVAILABLE]
        if len(deliveries) == 1 and waiting:
            return (Button("recall", "Recall", waiting[0].id, "danger"),)
        return ()


def held_buttons(consignment: ConsignmentRow) -> tuple[Button, ...]:
    """What the sender of a held consignment can press: never that it goes without its approval."""
    discard = Button("discard", "Discard", consignment.id, "danger")
    if consignment.hold == APPROVAL:
        return (discard,)
    label = "Both right" if consignment.hold == "same-bytes" else "All there"
    return (Button("all-there", label, consignment.id, "primary"), discard)


def approval_buttons(consignment: str) -> tuple[Button, ...]:
    """What a governance lead can press about a file outside the schedule."""
    return (
        Button("approve-ad-hoc", "Approve", consignment, "primary", asks_reason=True),
        Button("refuse-ad-hoc", "Refuse", consignment, "danger", asks_reason=True),
    )


def recipient_buttons(delivery: DeliveryRow, *, personal: bool = True) -> tuple[Button, ...]:
    """What a data manager can press now; of what is no personal data (`personal`) nothing is to be destroyed."""
    if is_over(delivery) and delivery.collected_at is None:
        return ()
    acknowledge = Button("acknowledge", "Acknowledge", delivery.id, "primary")
    problem = Button("problem", "Problem", delivery.id, "plain", asks_reason=True)
    used = use_buttons(delivery) if personal else ()
    if delivery.status in {Status.AVAILABLE, Status.COLLECTED, Status.QUERIED}:
        return (acknowledge, *used, problem)
    if delivery.status is Status.ACKNOWLEDGED:
        return used if delivery.use_state is Use.DESTROYED else (*used, problem)
    return used


def use_buttons(delivery: DeliveryRow) -> tuple[Button, ...]:
    """What can be said now of the recipient's own copy."""
    if delivery.use_state is Use.DESTROYED or delivery.available_at is None:
        return ()
    copied = delivery.status in REPLACED and delivery.collected_at is not None
    if copied or (delivery.use_state is Use.PROCESSED and delivery.status in VISIBLE):
        return (Button("destroyed", "Destroyed", delivery.id, "primary"),)
    if delivery.status is Status.ACKNOWLEDGED:
        return (Button("processed", "Processed", delivery.id),)
    return ()


def lead_buttons(delivery: DeliveryRow, said: AttestationRow | None) -> tuple[Button, ...]:
    """What a governance lead of the recipient can press: to countersign what is late, or names exceptions."""
    if said is None or not asks_countersignature(delivery, said):
        return ()
    return (Button("countersign", "Countersign", delivery.id, "primary"),)


def _counts(deliveries: list[DeliveryRow]) -> str:
    """Of 8: 3 acknowledged, 5 available."""
    counts: dict[str, int] = {}
    for row in deliveries:
        word = "waiting for release" if row.status in UNRELEASED else str(row.status)
        counts[word] = counts.get(word, 0) + 1
    return ", ".join(f"{count} {word}" for word, count in counts.items())
