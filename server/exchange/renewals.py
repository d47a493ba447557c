"""What runs out is said in time: registrations, training, keys, contracts, the agreement's review."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

from sqlmodel import Session, col, select

from server.domain.agreement import PolicySet
from server.domain.audience import Hat
from server.domain.renewals import OVER, Renewal, renewals
from server.domain.schedule import day_words, end_of, london_day, midnight
from server.exchange.chased import Ask, Group, Item, Planned
from server.exchange.ground import Ground, InForce
from server.store.duty_tables import StageRow

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

    def _of(self, in_force: InForce) -> tuple[Renewal, ...]:
        known = self._known
        if known is None or known[0] != in_force.revision:
            known = self._known = (in_force.revision, renewals(in_force.policy, in_force.key_ends))
        return known[1]


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
    group: Group = "overdue" if over else "renew"
    return Item(renewal.about, group, label, words, end_of(renewal.last), "bad" if over else "attention")


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
            gate = " Without it they cannot log in over SFTP." if policy.access.training_gate == "deny" else ""
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
