"""Who must agree to a change of the agreement. Pure: a proposal is as strict as its strictest part, never weaker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from server.domain.agreement import Person, PolicySet, Quorum


class ChangeClass(StrEnum):
    """What kind of change a proposal holds; each has its own quorum in policy.yaml."""

    REMOVING = "removing"
    KEY_REFRESH = "key_refresh"
    OWN_PEOPLE = "own_people"
    WIDENING = "widening"
    AGREEMENT_TEXT = "agreement_text"


CLASS_WORDS = {
    ChangeClass.REMOVING: "takes away",
    ChangeClass.KEY_REFRESH: "extends the life of a key that is there",
    ChangeClass.OWN_PEOPLE: "a member's own people and keys",
    ChangeClass.WIDENING: "widens access, or may",
    ChangeClass.AGREEMENT_TEXT: "changes the text of the agreement, or who must agree to that",
}
About = Mapping[ChangeClass, frozenset[str]]
"""Each class that a proposal has, with the members that this part of it is about."""
Called = Callable[[str], str]
"""A member's short name by its id."""


@dataclass(frozen=True, slots=True)
class Approver:
    """One person who has approved. `leads`: a governance lead; `signs`: one who may sign for the member."""

    person: str
    member: str
    leads: bool
    signs: bool


@dataclass(frozen=True, slots=True)
class Needs:
    """The quorums of all parts of a proposal, together."""

    people: int = 1
    members: int = 1
    leads_of: frozenset[str] = frozenset()
    host: str | None = None
    signatories: frozenset[str] = frozenset()

    def joined(self, other: Needs) -> Needs:
        """What satisfies both."""
        return Needs(
            max(self.people, other.people),
            max(self.members, other.members),
            self.leads_of | other.leads_of,
            self.host or other.host,
            self.signatories | other.signatories,
        )

    def covers(self, other: Needs) -> bool:
        """Whether whoever satisfies this satisfies the other too."""
        return self.joined(other) == self

    def missing(self, approvers: Iterable[Approver], called: Called) -> tuple[str, ...]:
        """What is still missing, as clauses that follow "it needs"; empty when the quorum is there."""
        given = list({approver.person: approver for approver in approvers}.values())
        members = {approver.member for approver in given}
        signing = sorted(self.signatories - {a.member for a in given if a.signs})
        leads = sorted(self.leads_of - {a.member for a in given if a.leads} - self.signatories)
        found = [*_each(signing, called, ", which signed the agreement"), *_each(leads, called, "")]
        named = len(signing) + len(leads)
        if self.host is not None and self.host not in members | self.leads_of | self.signatories:
            found.append(f"the approval of {called(self.host)}, which runs the exchange")
            named += 1
        return tuple(found) + self._counted(len(given), members, named, called)

    def _counted(self, people: int, members: set[str], named: int, called: Called) -> tuple[str, ...]:
        """The numbers: people and members that the named approvals do not bring already."""
        others, more = self.members - len(members), max(self.people - people - named, 0)
        if (others <= 0 or self.members == 1) and more:
            return (_more(more),)
        if others > 0 and named < max(others, 1):
            than = f" than {' and '.join(called(m) for m in sorted(members))}" if members else ""
            if not members:
                return (f"{_more(max(more, others))}, of {_number(self.members)} different members",)
            return (f"{_more(max(more, others))}, of another member{than}",)
        return (_more(more),) if more else ()

    def words(self, called: Called) -> str:
        """The whole quorum in one clause: "2 people of 2 members, among them a governance lead of Kent"."""
        people = "one person" if self.people == 1 else f"{_number(self.people)} people"
        of = "" if self.members == 1 else f" of {_number(self.members)} members"
        among = [f"a governance lead of {called(m)}" for m in sorted(self.leads_of - self.signatories)]
        if self.host is not None:
            among.append(f"{called(self.host)} as the host")
        if self.signatories:
            among.append(
                f"a governance lead of each signatory ({', '.join(called(m) for m in sorted(self.signatories))})"
            )
        return f"{people}{of}" + (f", among them {'; '.join(among)}" if among else "")


def may_answer(policy: PolicySet, person: Person, left: Iterable[str] = ()) -> bool:
    """Whether the person's answer to a proposal can count at all: role, verb, and a member that has not left."""
    return (
        bool(person.roles & policy.policy.approvals.roles)
        and policy.may(person, "policy.approve")
        and person.member not in left
    )


def approver(policy: PolicySet, person: Person) -> Approver:
    """The person as one who approves."""
    leads = "governance_lead" in person.roles
    return Approver(person.id, person.member, leads, leads and policy.may(person, "agreement.sign"))


def needs(policy: PolicySet, about: About, *, signed: Iterable[str], left: Iterable[str] = ()) -> Needs:
    """The quorum that the policy in force asks for such a change. `signed`: the members that have signed its text.

    Whatever a proposal holds, the quorum of the weakest class is part of it. A member without a governance lead who
    could answer cannot be asked: then the quorum of widening stands in for its lead.
    """
    gone = frozenset(left)
    total = _of(policy, policy.policy.approvals.removing, frozenset(), frozenset(signed) - gone)
    for change, members in about.items():
        quorum: Quorum = getattr(policy.policy.approvals, change.value)
        total = total.joined(_of(policy, quorum, members, frozenset(signed) - gone))
    led = {a.member for a in _approvers(policy, gone) if a.leads}
    if not total.leads_of <= led:
        widening = _of(policy, policy.policy.approvals.widening, frozenset(), frozenset(signed) - gone)
        total = total.joined(widening)
    return Needs(total.people, total.members, total.leads_of & led, total.host, total.signatories)


def shuts_itself(policy: PolicySet) -> str | None:
    """Why nobody could ever change the policy again once this set is in force; None when its own people can."""
    if not any(policy.may(person, "policy.propose") for person in policy.people):
        return "nobody of it may propose a change (policy.propose)"
    can, quorum = _approvers(policy, frozenset()), policy.policy.approvals.widening
    if len(can) < quorum.people or len({one.member for one in can}) < quorum.members:
        return f"it has too few people who may approve one ({quorum.people} of {quorum.members} members are needed)"
    return None


def host_of(policy: PolicySet) -> str:
    """The member that runs the exchange; the agreement's owner where it does not say."""
    return policy.agreement.host.member if policy.agreement.host else policy.agreement.owner


def asked(policy: PolicySet, wanted: Needs, left: Iterable[str] = ()) -> tuple[Person, ...]:
    """Whom to ask: the named parties where they make the quorum alone, else everybody whose answer can count."""
    named = wanted.leads_of | wanted.signatories | ({wanted.host} if wanted.host else set())
    alone = len(named) >= max(wanted.people, wanted.members)
    can = [person for person in policy.people if may_answer(policy, person, left)]
    return tuple(p for p in can if not alone or _is_named(policy, p, wanted))


def _is_named(policy: PolicySet, person: Person, wanted: Needs) -> bool:
    one = approver(policy, person)
    if person.member == wanted.host:
        return True
    return (one.leads and person.member in wanted.leads_of) or (one.signs and person.member in wanted.signatories)


def _of(policy: PolicySet, quorum: Quorum, members: frozenset[str], signed: frozenset[str]) -> Needs:
    return Needs(
        quorum.people,
        quorum.members,
        members if quorum.own_lead else frozenset(),
        host_of(policy) if quorum.host else None,
        signed if quorum.signatories else frozenset(),
    )


def _approvers(policy: PolicySet, left: frozenset[str]) -> list[Approver]:
    return [approver(policy, person) for person in policy.people if may_answer(policy, person, left)]


def _each(members: Iterable[str], called: Called, what_for: str) -> list[str]:
    """One clause for the approval of a lead of every one of these members; none when there are none."""
    *others, last = [called(member) for member in members] or [""]
    if not last:
        return []
    listed = f"each of {', '.join(others)} and {last}" if others else last
    return [f"the approval of a governance lead of {listed}{what_for}"]


def _more(count: int) -> str:
    return "one more approval" if count == 1 else f"{_number(count)} more approvals"


def _number(count: int) -> str:
    words = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return words[count] if count < len(words) else str(count)
