"""An early review of the agreement that somebody asked for (clause 1, R-013): open until its owner says it is done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from server.domain import guard
from server.domain.agreement import Person
from server.domain.errors import Forbidden, Missing
from server.domain.ledger import Event
from server.domain.notice import Button
from server.domain.schedule import day_words, london_day
from server.exchange.delivery import Outcome
from server.exchange.ground import Ground
from server.store import Tx
from server.store.tables import ReviewRow

_MARK = "review-"


@dataclass(frozen=True, slots=True)
class ReviewView:
    """The review that is under way."""

    id: str
    at: datetime
    by: str
    reason: str
    buttons: tuple[Button, ...]
    """What the person who looks can do about it."""

    @property
    def words(self) -> str:
        """A clause, for status lines."""
        return f"under review since {day_words(london_day(self.at))} because: {self.reason}"


class Reviews:
    """Asked for by any governance lead, closed by one of the agreement's owner. One at a time."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def under_way(self, person_id: str) -> ReviewView | None:
        """The open review, as this person sees it."""
        with self._ground.store.reading() as session:
            row = _open(session)
        if row is None:
            return None
        person = self._ground.person(person_id)
        return ReviewView(_id(row), row.at, row.by, row.reason, self._buttons(person, row))

    def may_ask(self, person_id: str) -> bool:
        """Whether this person may ask for a review."""
        return self._ground.policy.may(self._ground.person(person_id), "agreement.sign")

    def ask(self, person_id: str, reason: str, *, via: str) -> Outcome:
        """Every governance lead is asked, once. Raises Forbidden for others; a second review while one is open is none.

        The reason is kept; the ledger has its hash.
        """
        tidy = guard.reason(reason)
        with self._ground.transaction() as tx:
            person = self._ground.acting(tx.session, person_id)
            if not self._ground.in_force_at(tx.session).policy.may(person, "agreement.sign"):
                raise Forbidden("Only a governance lead can ask for a review of the agreement.")
            open_ = _open(tx.session)
            if open_ is not None:
                since = day_words(london_day(open_.at))
                return Outcome(f"It is under review already, since {since} because: {open_.reason}", changed=False)
            row = ReviewRow(at=tx.now, by=person.id, reason=tidy)
            tx.session.add(row)
            tx.session.flush()
            facts = {"via": via, "reason": guard.short_hash(tidy.encode())}
            self._tell(tx, row, about=tx.record(Event("review.asked", person.id, (_id(row),), facts)))
        return Outcome("The agreement is under review; every governance lead is asked.", changed=True)

    def close(self, person_id: str, review: str, *, via: str) -> Outcome:
        """The review is done. Raises Forbidden unless a governance lead of the agreement's owner says so."""
        with self._ground.transaction() as tx:
            person = self._ground.acting(tx.session, person_id)
            number = review.removeprefix(_MARK)
            row = tx.session.get(ReviewRow, int(number)) if number.isascii() and number.isdigit() else None
            if row is None:
                raise Missing("There is no such review.")
            if not self._closes(person):
                owner = self._ground.called(self._ground.policy.agreement.owner)
                raise Forbidden(f"A governance lead of {owner}, who owns the agreement, says when its review is done.")
            if row.closed_at is not None:
                when = day_words(london_day(row.closed_at))
                return Outcome(f"That review was closed by {row.closed_by} on {when}.", changed=False)
            row.closed_at, row.closed_by = tx.now, person.id
            tx.session.add(row)
            self._tell(tx, row, about=tx.record(Event("review.closed", person.id, (_id(row),), {"via": via})))
        return Outcome("The review is closed; every governance lead is told.", changed=True)

    def close_open(self, person_id: str, *, via: str) -> Outcome:
        """Close whichever review is open."""
        with self._ground.store.reading() as session:
            row = _open(session)
        return self.close(person_id, _id(row), via=via) if row else Outcome("No review is open.", changed=False)

    def _closes(self, person: Person) -> bool:
        policy = self._ground.policy
        return person.member == policy.agreement.owner and policy.may(person, "agreement.sign")

    def _buttons(self, person: Person, row: ReviewRow) -> tuple[Button, ...]:
        if row.closed_at is not None or not self._closes(person):
            return ()
        return (Button("close-review", "The review is done", _id(row), "primary"),)

    def _tell(self, tx: Tx, row: ReviewRow, *, about: int) -> None:
        policy = self._ground.policy
        facts = {
            "since": day_words(london_day(row.at)),
            "by": row.by,
            "reason": row.reason,
            "owner": self._ground.called(policy.agreement.owner),
            "closed_by": row.closed_by,
            "closed": day_words(london_day(row.closed_at)) if row.closed_at else None,
        }
        for person in policy.people:
            if policy.may(person, "agreement.sign"):
                notice = self._ground.notices.notice(
                    "review", person=person.id, member=person.member, thread=f"review:{row.id}",
                    facts={**facts, "mine": self._closes(person)}, tone="good" if row.closed_at else "attention",
                    buttons=self._buttons(person, row),
                )  # fmt: skip
                tx.notify(notice, about=about)


def _open(session: Session) -> ReviewRow | None:
    return session.exec(select(ReviewRow).where(col(ReviewRow.closed_at).is_(None)).order_by(col(ReviewRow.id))).first()


def _id(row: ReviewRow) -> str:
    return f"{_MARK}{row.id}"
