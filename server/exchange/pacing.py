"""When a notice reaches its person: not in quiet hours, and only a few messages a day; the rest joins the day's one.

Of one kind (deliveries that arrive, files that were sent) only half as many: eight files are not eight messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta

from sqlmodel import Session, col, select

from server.domain.agreement import PolicySet
from server.domain.audience import TEAM, Presence
from server.domain.notice import Notice
from server.domain.pacing import AT_ONCE, DIGEST, INCIDENTS, digest_thread, next_open, next_reminding
from server.domain.schedule import LONDON, london_day
from server.exchange.absences import presence
from server.exchange.ground import Ground
from server.store.tables import NoticeRow

_BATCH = 500


class Pacing:
    """Gives every new notice its time, and the message that it is told in."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def pace(self) -> int:
        """Every notice that nobody has looked at yet gets its time; how many. One query when there is none."""
        if not self._ground.has_policy:
            return 0
        with self._ground.store.reading() as session:
            if not session.exec(select(NoticeRow.id).where(col(NoticeRow.send_at).is_(None)).limit(1)).first():
                return 0
        query = select(NoticeRow).where(col(NoticeRow.send_at).is_(None)).order_by(col(NoticeRow.id)).limit(_BATCH)
        with self._ground.transaction() as tx:
            rows = tx.session.exec(query).all()
            policy = self._ground.in_force_at(tx.session).policy
            present = presence(self._ground, tx.session, tx.now) if rows else Presence(london_day(tx.now))
            for row in rows:
                self._pace(tx.session, policy, present, row, tx.now)
                tx.session.flush()
        return len(rows)

    def _pace(self, session: Session, policy: PolicySet, present: Presence, row: NoticeRow, now: datetime) -> None:
        kind = Notice.from_json(row.body).kind
        member = member_of(policy, row.person)
        at = now if kind in AT_ONCE else next_open(policy, member, _after_absence(present, row.person, now))
        row.joins = ""
        if kind != DIGEST and kind not in INCIDENTS and self._full(session, policy, row, london_day(at)):
            at = at if kind in AT_ONCE else next_reminding(policy, member, at)
            row.joins = digest_thread(london_day(at))
        row.send_at = at
        session.add(row)

    def _full(self, session: Session, policy: PolicySet, row: NoticeRow, day: date) -> bool:
        """Whether only the day's one message is left of what the person may get on that day, of this kind or at all."""
        first, last = (datetime.combine(d, time(0), tzinfo=LONDON).astimezone(UTC) for d in (day, day + timedelta(1)))
        query = select(NoticeRow.thread).where(
            col(NoticeRow.person) == row.person,
            col(NoticeRow.send_at) >= first,
            col(NoticeRow.send_at) < last,
            col(NoticeRow.joins) == "",
            ~col(NoticeRow.thread).startswith(f"{DIGEST}:"),
        )
        threads = session.exec(query).all()
        alike = sum(thread.partition(":")[0] == row.thread.partition(":")[0] for thread in threads)
        most = policy.notifications.max_per_person_per_day
        return len(threads) >= most - 1 or alike >= max(1, most // 2)


def member_of(policy: PolicySet, person_id: str) -> str:
    """The member of a person, or of a team address; "" for somebody whom the policy does not have."""
    if person_id.startswith(TEAM):
        return person_id.removeprefix(TEAM)
    person = policy.person(person_id)
    return person.member if person else ""


def _after_absence(present: Presence, person: str, now: datetime) -> datetime:
    """Whoever is away is told when they are back: their cover has it meanwhile."""
    backs: Mapping[str, date] = {a.person: a.last + timedelta(1) for a in present.away if a.on(present.day)}
    if person not in backs:
        return now
    return datetime.combine(backs[person], time(0), tzinfo=LONDON).astimezone(UTC)
