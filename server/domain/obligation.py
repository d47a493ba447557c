"""How an obligation stands: met, late, blocked, waiting or still ahead. Pure: values and the time in, words out.

Late is late even when later met. What the exchange itself or the recipient prevented is "blocked by …", and never late
for the sender. Best efforts and what is done on request are never overdue (R-112).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Literal

from server.domain.schedule import clock_words, london_day

Kind = Literal["required", "best_efforts", "external", "on_request"]


class Answer(StrEnum):
    """What has come of it so far."""

    NONE = "none"
    WAITING = "waiting"
    SENT = "sent"
    NIL = "nil"
    CANNOT = "cannot"
    DONE = "done"
    WITHDRAWN = "withdrawn"


class Standing(StrEnum):
    """How it stands now, as a matrix shows it; the order is that of urgency."""

    LATE = "late"
    DUE = "due"
    WAITING = "waiting"
    BLOCKED = "blocked"
    CANNOT = "cannot send"
    NOT_SENT = "not sent"
    SENT_LATE = "sent late"
    SENT = "sent"
    NIL = "nil"
    DONE = "done"
    AHEAD = "ahead"
    WITHDRAWN = "withdrawn"


MET = frozenset({Answer.SENT, Answer.NIL, Answer.DONE, Answer.CANNOT})
"""What closes it: a delivery, a nil return, a task done, or a reason why not."""
CHASED: frozenset[Kind] = frozenset({"required", "external", "on_request"})
"""Kinds that become late. Best efforts do not."""


@dataclass(frozen=True, slots=True)
class Obligation:
    """What one member owes another: `recipient` is empty for what is done elsewhere. Times are aware."""

    id: int
    exchange: str
    period: str
    sender: str
    recipient: str
    kind: Kind
    opens: date
    due_at: datetime
    answer: Answer = Answer.NONE
    met_at: datetime | None = None
    blocked: str | None = None
    reason: str | None = None
    reference: str | None = None

    @property
    def late_when_met(self) -> bool:
        """Whether it was met after its time, which nothing undoes."""
        if self.blocked or self.kind not in CHASED:
            return False
        return self.met_at is not None and self.met_at > self.due_at


def standing(obligation: Obligation, now: datetime) -> Standing:
    """How it stands at `now` (aware)."""
    answer = obligation.answer
    if answer is Answer.WITHDRAWN:
        return Standing.WITHDRAWN
    if answer in MET:
        if answer is Answer.CANNOT:
            return Standing.CANNOT
        if obligation.late_when_met:
            return Standing.SENT_LATE
        return {Answer.SENT: Standing.SENT, Answer.NIL: Standing.NIL, Answer.DONE: Standing.DONE}[answer]
    if obligation.blocked:
        return Standing.BLOCKED
    if answer is Answer.WAITING:
        return Standing.WAITING
    if now > obligation.due_at:
        return Standing.LATE if obligation.kind in CHASED else Standing.NOT_SENT
    return Standing.DUE if obligation.opens <= london_day(now) else Standing.AHEAD


def words(obligation: Obligation, now: datetime) -> str:
    """How it stands, as a clause for people; colours never say it alone."""
    found, due = standing(obligation, now), clock_words(obligation.due_at, now)
    met = clock_words(obligation.met_at, now) if obligation.met_at else ""
    match found:
        case Standing.SENT_LATE:
            what = {Answer.NIL: "said nil", Answer.DONE: "done"}.get(obligation.answer, "sent")
            return f"{what} late, {met}; it was due {due}"
        case Standing.SENT:
            return f"sent {met}"
        case Standing.NIL:
            return f"nothing to send, said {met}"
        case Standing.DONE:
            return f"done on {obligation.reference}" if obligation.reference else f"done {met}"
        case Standing.CANNOT:
            late = obligation.met_at is not None and obligation.met_at > obligation.due_at
            said = f"; said late, {met}" if late and obligation.kind in CHASED and not obligation.blocked else ""
            why = f", because: {obligation.reason}" if obligation.reason else ""
            return f"cannot send{why}{said}"
        case Standing.BLOCKED:
            return f"blocked by {obligation.blocked}"
        case Standing.WAITING:
            return "arrived, not released yet"
        case Standing.LATE:
            return f"late: it was due {due}"
        case Standing.NOT_SENT:
            return "not sent; it is best efforts"
        case Standing.DUE:
            return f"due {due}"
        case Standing.AHEAD:
            return f"from {obligation.opens}, due {due}"
        case _:
            return "withdrawn: the agreement does not ask for it any more"
