"""What runs out is said in time: registrations, training, keys, contracts, the agreement's review."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

from sqlmodel import Session, col, select

from server.domain.agreement import PolicySet
from server.domain.audience import Hat, audience
from server.domain.ledger import Event, Fact
from server.domain.renewals import OVER, Renewal, due, renewals
from server.domain.schedule import day_words, london_day, midnight
from server.exchange.absences import presence
from server.exchange.chased import Ask, Item, Planned
from server.exchange.ground import Ground, InForce
from server.store import Tx
from server.store.duty_tables import StageRow
from server.store.tables import NoticeRow

PREFIX = "renewal"
_OWN_HATS = {"training": "designated_person", "key": "data_manager"}
"""Under which hat people hear of what is their own."""


class Renewals:
    """Plans the stages of everything that has a last day; a new last day begins anew."""

    prefixes = frozenset({PREFIX})

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._known: tuple[str, tuple[Renewal, ...]] | None = None
        """The revision, and everything in it that has a last day."""
        self._said: tuple[str, date] | None = None
        """The revision and day for which everything is said."""
        self._planned: tuple[str, date] | None = None
        """The revision and day for which every stage is a row."""

    def plan(self, session: Session, now: datetime) -> Iterable[Planned]:
        """Every stage that has come by now and is no row yet."""
        in_force, today = self._ground.in_force_at(session), london_day(now)
        looked_at = (in_force.revision, today)
        if self._planned == looked_at:
            return ()
        query = select(StageRow.about, StageRow.stage).where(col(StageRow.about).startswith(f"{PREFIX}:"))
        there = set(session.exec(query).all())
        new = [
            Planned(renewal.about, stage, midnight(day))
            for renewal in self._of(in_force)
            for stage, day in renewal.stages()
            if day <= today and (renewal.about, stage) not in there
        ]
        if not new:
            self._planned = looked_at
        return new

    def ask(self, session: Session, about: str, stage: str, now: datetime) -> Ask | None:
        """The governance leads, and whose own it is; None when it has another last day by now."""
        in_force = self._ground.in_force_at(session)
        renewal = next((one for one in self._of(in_force) if one.about == about), None)
        if renewal is None or renewal.stage(london_day(now)) is None:
            return None
        facts = (("kind", renewal.kind), ("last", renewal.last.isoformat()))
        return Ask(renewal.hats(in_force.policy), (renewal.person,) if renewal.person else (), facts)

    def items(self, session: Session, hat: Hat, now: datetime) -> Iterable[Item]:
        """What runs out for a member's leads; for its other people, what is their own."""
        in_force, today = self._ground.in_force_at(session), london_day(now)
        mine = (renewal for renewal in self._of(in_force) if _worn(renewal, hat, in_force.policy))
        staged = [(renewal, renewal.stage(today)) for renewal in mine]
        return [
            item(renewal, stage == OVER, in_force.policy)
            for renewal, stage in sorted(staged, key=lambda one: (one[0].last, one[0].about))
            if stage is not None
        ]

    # -- as messages of their own

    def remind_due(self) -> int:
        """Say every stage that has come and was not yet said to its people; how many were new."""
        in_force, now = self._ground.in_force, self._ground.now()
        looked_at = (in_force.revision, london_day(now))
        if self._said == looked_at:
            return 0
        found = due(in_force.policy, in_force.key_ends, now)
        with self._ground.store.reading() as session:
            new = [renewal for renewal in found if self._unsaid(session, renewal, now)]
        for renewal in new:
            with self._ground.transaction() as tx:
                self._say(tx, renewal)
        self._said = looked_at
        return len(new)

    def _unsaid(self, session: Session, renewal: Renewal, now: datetime) -> list[str]:
        """Those who have no notice of its present stage yet."""
        policy, here = self._ground.in_force_at(session).policy, presence(self._ground, session, now)
        people = [renewal.person] if renewal.person else []
        people += [person for hat in renewal.hats(policy) for person in audience(policy, hat, here)]
        query = select(NoticeRow.person).where(NoticeRow.thread == _thread(renewal, now))
        told = session.exec(query).all()
        return [person for person in dict.fromkeys(people) if person not in told]

    def _say(self, tx: Tx, renewal: Renewal) -> None:
        """Looked at again inside: another process may have been quicker."""
        people, policy = self._unsaid(tx.session, renewal, tx.now), self._ground.in_force_at(tx.session).policy
        if not people:
            return
        stage = renewal.stage(london_day(tx.now))
        facts: dict[str, Fact] = {"kind": renewal.kind, "last": renewal.last.isoformat(), "stage": stage}
        about = tx.record(Event("renewal.reminded", "exchange", (renewal.subject,), {**facts, "to": ",".join(people)}))
        worded = item(renewal, stage == OVER, policy)
        for person_id in people:
            person = policy.person(person_id)
            notice = self._ground.notices.notice(
                "renewal", person=person_id, member=person.member if person else renewal.member,
                thread=_thread(renewal, tx.now), facts={"label": worded.label, "words": worded.words}, tone=worded.tone,
            )  # fmt: skip
            tx.notify(notice, about=about)

    def _of(self, in_force: InForce) -> tuple[Renewal, ...]:
        known = self._known
        if known is None or known[0] != in_force.revision:
            known = self._known = (in_force.revision, renewals(in_force.policy, in_force.key_ends))
        return known[1]


def _thread(renewal: Renewal, now: datetime) -> str:
    return f"{renewal.about}:{renewal.stage(london_day(now))}"


def _worn(renewal: Renewal, hat: Hat, policy: PolicySet) -> bool:
    if hat.role == "governance_lead":
        return hat in renewal.hats(policy)
    return renewal.member == hat.member and _OWN_HATS.get(renewal.kind) == hat.role


def item(renewal: Renewal, over: bool, policy: PolicySet) -> Item:
    label, remedy = _said(renewal, over, policy)
    ends = "was due by" if over else "is due by"
    if renewal.kind not in {"review", "contract"}:
        ends = "ran out on" if over else "runs out after"
    words = f"{ends} {day_words(renewal.last)}. {remedy}"
    due_at = midnight(renewal.last)
    return Item(renewal.about, "overdue" if over else "renew", label, words, due_at, "bad" if over else "attention")


def _said(renewal: Renewal, over: bool, policy: PolicySet) -> tuple[str, str]:
    """What runs out (at most 60 characters), and what to do about it."""
    member, person = policy.member(renewal.member), policy.person(renewal.person)
    called, name = member.called if member else "", person.name if person else renewal.person
    match renewal.kind:
        case "ico":
            label, remedy = (
                f"{called}’s registration with the ICO",
                "Renew it, and give the administrator the new date.",
            )
        case "training":
            gate = " Without it they cannot send." if policy.access.training_gate == "deny" else ""
            label, remedy = f"Training of {name}", f"Renew it, and give the administrator the new date.{gate}"
        case "key":
            lost = "Nothing can be sealed to it. " if over else ""
            label = f"GPG key of {name}"
            remedy = f"{lost}Extend it or make a new one, and put the public key into /keys/mine/."
        case "recovery":
            label, remedy = f"{called}’s offline recovery key", "Extend it, and give the administrator the public key."
        case "contract":
            label, remedy = _contract(renewal, policy), "Review the contract, and give the administrator the next day."
        case "review":
            label, remedy = f"Review of {policy.agreement.version} of the agreement", _review_words(over, policy)
    return _short(label), remedy


def _contract(renewal: Renewal, policy: PolicySet) -> str:
    member = policy.member_by_id[renewal.member]
    found = [one for one in member.subcontractors if one.review == renewal.last]
    return f"Contract with {found[0].name}" if len(found) == 1 else f"{member.called}’s contracts with processors"


def _review_words(over: bool, policy: PolicySet) -> str:
    owner = policy.member(policy.agreement.owner)
    leads = f"{owner.called if owner else policy.agreement.owner} leads it; say what should change."
    if policy.agreement.review.on_overdue != "deny":
        return leads
    return (
        f"{'Nothing can be sent until it is done.' if over else 'If it is not done by then, nothing is sent.'} {leads}"
    )


def _short(label: str) -> str:
    return label if len(label) <= 60 else f"{label[:59]}…"
