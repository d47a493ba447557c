"""A member that leaves: its keys open nothing, its mailbox is locked, and it attests in time what it destroyed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sqlmodel import Session, col, delete, select

from server.domain.agreement import Person, PolicySet
from server.domain.errors import Forbidden, Missing, Refused
from server.domain.ledger import Event, Fact
from server.domain.notice import Button, Tone
from server.domain.quorum import host_of
from server.domain.schedule import clock_words, day_words, london_day, moment_after
from server.exchange.delivery import Outcome
from server.exchange.ground import Ground
from server.exchange.people import OPERATOR
from server.exchange.signing import signs
from server.exchange.standing import can_answer
from server.store import Tx
from server.store.tables import ChatLinkRow, CodeRow, DepartureRow, DeskSessionRow, NoticeRow, SuspensionRow

OVERDUE = "is overdue since"
_ANOTHER = "somebody of another member has to agree."


@dataclass(frozen=True, slots=True)
class DepartureView:
    """A member that has left, and where its attestation stands."""

    member: str
    words: str
    overdue: bool
    attested: bool


class Departures:
    """Leaving, attesting, and coming back."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._said: set[str] = set()

    def leave(self, member_id: str, *, by: str) -> Outcome:
        """The member is out at once. By its own governance lead, an administrator or the operator.

        Nobody of it logs in, sessions and chat links end, nothing is served to it or taken from it; its leads still
        sign in to the desk, to attest. The member that runs the exchange cannot leave: Refused.
        """
        with self._ground.transaction() as tx:
            policy = self._ground.in_force_at(tx.session).policy
            member = self._ground.member(member_id)
            self._may_send_off(tx.session, policy, member_id, by)
            known = tx.session.get(DepartureRow, member_id)
            if known is not None:
                return Outcome(f"{member.called} left already, {clock_words(known.at, tx.now)}.", changed=False)
            if member_id == host_of(policy):
                raise Refused(
                    f"{member.called} runs the exchange: another member must host it first.", code="HOST_LEAVES"
                )
            last = london_day(moment_after(tx.now, policy.agreement.termination.attest_destruction_within))
            row = DepartureRow(member=member_id, at=tx.now, by=by, attest_by=last.isoformat())
            tx.session.add(row)
            tx.session.flush()
            self._end_access(tx, policy, member_id)
            facts: dict[str, Fact] = {"member": member_id, "attest_by": row.attest_by}
            self._tell(tx, policy, row, about=tx.record(Event("member.left", by, (), facts)))
        self._ground.refresh()
        return Outcome(
            f"{member.called} has left: nobody of it logs in, nothing is served to it. Its governance leads attest the "
            f"destruction by {day_words(last)}.",
            changed=True,
        )

    def attest(self, person_id: str, member_id: str, *, via: str) -> Outcome:
        """A governance lead of the member that left says that its copies are destroyed. Repeating changes nothing."""
        with self._ground.transaction() as tx:
            policy = self._ground.in_force_at(tx.session).policy
            person = _lead(tx.session, policy, person_id, member_id)
            row = tx.session.get(DepartureRow, member_id)
            if row is None:
                raise Refused(f"{self._ground.called(member_id)} has not left.", code="NOT_LEFT")
            if row.attested_at is not None:
                when = clock_words(row.attested_at, tx.now)
                return Outcome(f"{row.attested_by} attested it already, {when}.", changed=False)
            row.attested_at, row.attested_by = tx.now, person.id
            tx.session.add(row)
            late = london_day(tx.now) > date.fromisoformat(row.attest_by)
            facts: dict[str, Fact] = {"member": member_id, "via": via, "late": late}
            self._tell(tx, policy, row, about=tx.record(Event("member.destruction-attested", person.id, (), facts)))
        return Outcome(
            f"You attested that {self._ground.called(member_id)} has destroyed its copies of what it received.",
            changed=True,
        )

    def come_back(self, member_id: str, *, by: str) -> Outcome:
        """Two people of two members who may approve changes agree to it: the first asks, the second decides."""
        with self._ground.transaction() as tx:
            policy = self._ground.in_force_at(tx.session).policy
            name = self._ground.called(member_id)
            row = tx.session.get(DepartureRow, member_id)
            if row is None:
                return Outcome(f"{name} has not left.", changed=False)
            self._require_approver(tx.session, policy, by)
            first = row.return_asked_by
            if first is None or not self._still(tx.session, policy, first):
                row.return_asked_by = by
                tx.session.add(row)
                tx.record(Event("member.return-asked", by, (), {"member": member_id}))
                return Outcome(f"{by} asks that {name} returns; {_ANOTHER}", changed=True)
            if _member_of(policy, first) == _member_of(policy, by):
                return Outcome(f"{first} has asked that {name} returns; {_ANOTHER}", changed=False)
            tx.session.delete(row)
            tx.session.flush()
            self._said.discard(member_id)
            about = tx.record(Event("member.returned", by, (), {"member": member_id, "with": first}))
            self._tell_returned(tx, policy, member_id, f"{first} and {by}", about=about)
        self._ground.refresh()
        return Outcome(f"{name} is back (agreed by {first} and {by}).", changed=True)

    def all(self) -> tuple[DepartureView, ...]:
        """Every member that has left."""
        now = self._ground.now()
        with self._ground.store.reading() as session:
            rows = session.exec(select(DepartureRow).order_by(col(DepartureRow.at))).all()
        return tuple(
            DepartureView(
                row.member, _stands(row, london_day(now)), _overdue(row, london_day(now)), bool(row.attested_at)
            )
            for row in rows
        )

    def remind(self) -> int:
        """Whoever is overdue with its attestation is told so, and the others with it: once; how many members."""
        found = [view.member for view in self.all() if view.overdue and not self._told_overdue(view.member)]
        for member_id in found:
            with self._ground.transaction() as tx:
                row = tx.session.get(DepartureRow, member_id)
                if row is not None and _overdue(row, london_day(tx.now)):
                    facts: dict[str, Fact] = {"member": member_id, "attest_by": row.attest_by}
                    about = tx.record(Event("member.attestation-overdue", "exchange", (), facts))
                    self._tell(tx, self._ground.in_force_at(tx.session).policy, row, about=about)
            self._said.add(member_id)
        return len(found)

    # -- inside

    def _told_overdue(self, member_id: str) -> bool:
        """Whether somebody's notice says so already, or this process said it when nobody was left to be told."""
        query = select(NoticeRow.body).where(NoticeRow.thread == _thread(member_id))
        with self._ground.store.reading() as session:
            told = any(OVERDUE in body for body in session.exec(query).all())
        return told or member_id in self._said

    def _may_send_off(self, session: Session, policy: PolicySet, member_id: str, by: str) -> None:
        if by == OPERATOR:
            return
        person = self._ground.acting(session, by)
        own = person.member == member_id and signs(policy, person)
        if not own and not policy.may(person, "policy.propose"):
            raise Forbidden("Only its own governance lead or an administrator can say that a member leaves.")

    def _require_approver(self, session: Session, policy: PolicySet, by: str) -> None:
        if by == OPERATOR:
            raise Forbidden("Say who agrees to it: --by PERSON. Two people of two members are needed.")
        self._ground.acting(session, by)
        if not self._still(session, policy, by):
            raise Forbidden("Only somebody who may approve changes of the policy, of a member that is here.")

    def _still(self, session: Session, policy: PolicySet, person_id: str) -> bool:
        person = policy.person(person_id)
        facts = self._ground.facts_at(session)
        return person is not None and can_answer(policy, person, facts, self._ground.now())

    def _end_access(self, tx: Tx, policy: PolicySet, member_id: str) -> None:
        people = [person.id for person in policy.people_of(member_id)]
        others = [p.id for p in policy.people_of(member_id) if not signs(policy, p)]
        tx.session.exec(delete(ChatLinkRow).where(col(ChatLinkRow.person).in_(people)))
        tx.session.exec(delete(DeskSessionRow).where(col(DeskSessionRow.person).in_(others)))
        for code in tx.session.exec(select(CodeRow).where(col(CodeRow.person).in_(others))).all():
            code.used = True
            tx.session.add(code)

    def _tell(self, tx: Tx, policy: PolicySet, row: DepartureRow, *, about: int) -> None:
        """The governance leads of every member: those of the one that left with the button to attest."""
        today = london_day(tx.now)
        for person in policy.people:
            if not signs(policy, person):
                continue
            own = person.member == row.member
            button = Button("attest-destroyed", "All destroyed", row.member, "primary")
            buttons = (button,) if own and row.attested_at is None else ()
            self._notify(tx, policy, person, row.member, _stands(row, today), own, buttons, about=about)

    def _tell_returned(self, tx: Tx, policy: PolicySet, member_id: str, both: str, *, about: int) -> None:
        for person in policy.people:
            if signs(policy, person):
                own = person.member == member_id
                self._notify(tx, policy, person, member_id, f"back: agreed by {both}", own, (), about=about)

    def _notify(
        self, tx: Tx, policy: PolicySet, person: Person, member_id: str, stands: str, own: bool,
        buttons: tuple[Button, ...], *, about: int,
    ) -> None:  # fmt: skip
        tone: Tone = "attention" if buttons or not own else "good"
        name = self._ground.called(member_id)
        notice = self._ground.notices.notice(
            "departure", person=person.id, member=person.member, thread=_thread(member_id),
            facts={"member": name, "stands": stands, "own": own, "asked": bool(buttons)}, tone=tone, buttons=buttons,
        )  # fmt: skip
        tx.notify(notice, about=about)


def _lead(session: Session, policy: PolicySet, person_id: str, member_id: str) -> Person:
    person = policy.person(person_id)
    if person is None or session.get(SuspensionRow, person_id) is not None:
        raise Missing("There is no such person, or they are suspended.")
    if person.member != member_id or not signs(policy, person):
        raise Forbidden("Only a governance lead of the member that left attests its destruction.")
    return person


def _member_of(policy: PolicySet, person_id: str) -> str | None:
    person = policy.person(person_id)
    return person.member if person else None


def _thread(member_id: str) -> str:
    return f"departure:{member_id}"


def _overdue(row: DepartureRow, today: date) -> bool:
    return row.attested_at is None and today > date.fromisoformat(row.attest_by)


def _stands(row: DepartureRow, today: date) -> str:
    if row.attested_at is not None:
        day = day_words(london_day(row.attested_at))
        return f"left; {row.attested_by} attested the destruction of its copies on {day}"
    last = day_words(date.fromisoformat(row.attest_by))
    if _overdue(row, today):
        return f"left; the attestation that its copies are destroyed {OVERDUE} {last}"
    return f"left; it attests the destruction of its copies by {last}"
