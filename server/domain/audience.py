"""Who is told about a member's business today: whoever wears the hat, else their cover, else the lead, else the team.

Pure. A hat is a member and a role. Somebody who acts for another member wears that member's hats too, in the order that
the member prefers (R-092); they are told, and see nothing more of it than the words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from server.domain.agreement import Person, PolicySet, Role

TEAM = "team:"
"""Before a member's id: its team address, for who has nobody in chat or on the desk."""


@dataclass(frozen=True, slots=True)
class Hat:
    """In which role, of which member, somebody is told."""

    member: str
    role: Role


@dataclass(frozen=True, slots=True)
class Away:
    """A person who is away, both days included, and who stands in."""

    person: str
    first: date
    last: date
    cover: str | None = None

    def on(self, day: date) -> bool:
        return self.first <= day <= self.last


@dataclass(frozen=True, slots=True)
class Presence:
    """Who is not to be told today: `suspended` holds ids of people, `left` ids of members that have left."""

    day: date
    suspended: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()
    away: tuple[Away, ...] = field(default=())

    def here(self, person: Person) -> bool:
        """Whether the person can be told today."""
        gone = person.id in self.suspended or person.member in self.left
        return not gone and not any(a.person == person.id and a.on(self.day) for a in self.away)

    def covers(self) -> Mapping[str, str]:
        """{person who is away today: who stands in}."""
        return {a.person: a.cover for a in self.away if a.cover and a.on(self.day)}


def audience(policy: PolicySet, hat: Hat, presence: Presence) -> tuple[str, ...]:
    """Ids of those to be told, in the order of the policy; `team:kent` when only the team address is left; or nobody.

    Wearers who are here and the covers of those who are away; without any, the member's governance leads (for a lead:
    the deputies and covers); without them, its team address.
    """
    member = policy.member(hat.member)
    if member is None or hat.member in presence.left:
        return ()
    found = _wearing(policy, hat, presence)
    if not found and hat.role != "governance_lead":
        found = _wearing(policy, Hat(hat.member, "governance_lead"), presence)
    if not found and member.ig_team is not None and member.ig_team.email:
        return (f"{TEAM}{member.id}",)
    return found


def hats(policy: PolicySet, presence: Presence) -> dict[str, tuple[Hat, ...]]:
    """Everybody who is told anything today, people and `team:kent`: {id: the hats under which they are told}."""
    roles: tuple[Role, ...] = ("designated_person", "data_manager", "governance_lead", "administrator")
    found: dict[str, list[Hat]] = {}
    for hat in (Hat(member.id, role) for member in policy.members for role in roles):
        for person in audience(policy, hat, presence):
            found.setdefault(person, []).append(hat)
    return {person: tuple(worn) for person, worn in found.items()}


def hats_of(policy: PolicySet, person_id: str, presence: Presence) -> tuple[Hat, ...]:
    """Every hat under which this person, or `team:kent`, is told today."""
    return hats(policy, presence).get(person_id, ())


def _wearing(policy: PolicySet, hat: Hat, presence: Presence) -> tuple[str, ...]:
    own = policy.people_of(hat.member, hat.role)
    others = tuple(p for p in policy.people if hat.member in p.acts_for and hat.role in p.roles)
    own_here, others_here = _present(policy, own, presence), _present(policy, others, presence)
    member = policy.member(hat.member)
    match member.notice_precedence if member else "both":
        case "own_first":
            return own_here or others_here
        case "representative_first":
            return others_here or own_here
        case _:
            return tuple(dict.fromkeys((*own_here, *others_here)))


def _present(policy: PolicySet, people: Iterable[Person], presence: Presence) -> tuple[str, ...]:
    """Those who are here, and who stands in for those who are away; a cover of the same member who is here too."""
    covers, found = presence.covers(), list[str]()
    for person in people:
        if presence.here(person):
            found.append(person.id)
            continue
        cover = policy.person(covers.get(person.id, "") or (person.deputy or ""))
        if person.id not in presence.suspended and cover is not None and presence.here(cover):
            found.append(cover.id)
    return tuple(dict.fromkeys(found))
