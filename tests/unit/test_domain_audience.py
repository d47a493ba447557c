"""Who is told about a member's business today: hats, covers, deputies, leads, the team's address, or nobody."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.agreement import PolicySet
from server.domain.audience import Away, Hat, Presence, audience, hats_of
from server.policy.load import load

ROOT = Path(__file__).parent.parent.parent
DAY = date(2026, 12, 22)


@cache
def shipped() -> PolicySet:
    return load(ROOT / "policies" / "ccis-v2")


def changed(people: dict[str, dict[str, object]], **members: dict[str, object]) -> PolicySet:
    """The shipped set with these people and members altered."""
    policy = shipped()
    content = {name: getattr(policy, name) for name in PolicySet.model_fields}
    content["people"] = tuple(p.model_copy(update=people.get(p.id, {})) for p in policy.people)
    content["members"] = tuple(m.model_copy(update=members.get(m.id, {})) for m in policy.members)
    return PolicySet.model_construct(**content)


def away(*people: str | tuple[str, str], suspended: Iterable[str] = (), left: Iterable[str] = ()) -> Presence:
    """On 22 December these are away; a pair names who stands in."""
    pairs = [(p, None) if isinstance(p, str) else p for p in people]
    rows = tuple(Away(who, date(2026, 12, 21), date(2027, 1, 4), cover) for who, cover in pairs)
    return Presence(DAY, frozenset(suspended), frozenset(left), rows)


MANAGERS = Hat("kent", "data_manager")


@pytest.mark.parametrize(
    ("hat", "presence", "told"),
    [
        (MANAGERS, away(), ("p-kent-1", "p-kent-2")),
        (MANAGERS, away("p-kent-1"), ("p-kent-2",)),
        (MANAGERS, away(("p-kent-1", "p-kent-2")), ("p-kent-2",)),
        (MANAGERS, away("p-kent-1", "p-kent-2"), ("g-kent", "g-kent-2")),
        (MANAGERS, away(("p-kent-1", "p-kent-2"), ("p-kent-2", "p-kent-1")), ("g-kent", "g-kent-2")),
        (MANAGERS, away("p-kent-1", suspended=["p-kent-2"]), ("g-kent", "g-kent-2")),
        (MANAGERS, away(("p-kent-1", "g-kent-2"), suspended=["p-kent-2"]), ("g-kent-2",)),
        (Hat("kent", "designated_person"), away(("p-kent-1", "p-kent-2")), ("p-kent-2",)),
        (Hat("kent", "governance_lead"), away("g-kent"), ("g-kent-2",)),
        (Hat("kent", "governance_lead"), away("g-kent", "g-kent-2"), ("team:kent",)),
        (MANAGERS, away(left=["kent"]), ()),
        (Hat("nowhere", "data_manager"), away(), ()),
        (Hat("thurrock", "data_manager"), away(), ("p-thurrock-1", "p-essex-1")),
    ],
)
def test_r093_who_is_away_is_covered_and_where_nobody_is_the_lead_is_told(
    hat: Hat, presence: Presence, told: tuple[str, ...]
) -> None:
    """The delegate receives; without one colleagues of the role, then the leads; never somebody who is away."""
    assert set(audience(shipped(), hat, presence)) == set(told)


def test_the_day_after_an_absence_everything_comes_back() -> None:
    """Both days are included in it, and no other."""
    person = Away("p-kent-1", date(2026, 12, 21), date(2027, 1, 4), "p-kent-2")
    days = [date(2026, 12, 20), date(2026, 12, 21), date(2027, 1, 4), date(2027, 1, 5)]
    told = ["p-kent-1" in audience(shipped(), MANAGERS, Presence(day, away=(person,))) for day in days]
    assert told == [True, False, False, True]


def test_a_member_that_has_nobody_left_is_reached_by_its_teams_address() -> None:
    """`team:kent` wears its hats on that day; without an address nobody does."""
    gone = away("p-kent-1", "p-kent-2", "g-kent", "g-kent-2")
    member = shipped().member("kent")
    assert member is not None
    team = member.ig_team
    assert team is not None
    assert team.email
    assert audience(shipped(), MANAGERS, gone) == ("team:kent",)
    assert MANAGERS in hats_of(shipped(), "team:kent", gone)
    without = changed({}, kent={"ig_team": None})
    assert audience(without, MANAGERS, gone) == ()


@pytest.mark.parametrize(
    ("precedence", "absent", "told"),
    [
        ("both", (), {"p-thurrock-1", "p-essex-1"}),
        ("own_first", (), {"p-thurrock-1"}),
        ("own_first", ("p-thurrock-1",), {"p-essex-1"}),
        ("representative_first", (), {"p-essex-1"}),
        ("representative_first", ("p-essex-1",), {"p-thurrock-1"}),
    ],
)
def test_r092_who_acts_for_another_member_is_told_as_that_member_prefers(
    precedence: str, absent: tuple[str, ...], told: set[str]
) -> None:
    """Each once, in the order that the member chose."""
    policy = changed({}, thurrock={"notice_precedence": precedence})
    assert set(audience(policy, Hat("thurrock", "data_manager"), away(*absent))) == told


PEOPLE = [p.id for p in shipped().people]
HATS = [Hat(m.id, r) for m in shipped().members for r in ("designated_person", "data_manager", "governance_lead")]


@given(
    absent=st.dictionaries(st.sampled_from(PEOPLE), st.one_of(st.none(), st.sampled_from(PEOPLE)), max_size=12),
    suspended=st.sets(st.sampled_from(PEOPLE), max_size=5),
    hat=st.sampled_from(HATS),
)
def test_nobody_who_is_away_or_suspended_is_ever_told(
    absent: dict[str, str | None], suspended: set[str], hat: Hat
) -> None:
    """Whatever covers were named; each is told once, and knows their hats."""
    rows = tuple(Away(who, DAY, DAY, cover) for who, cover in absent.items())
    presence = Presence(DAY, frozenset(suspended), frozenset(), rows)
    told = audience(shipped(), hat, presence)
    assert not set(told) & (set(absent) | suspended)
    assert len(told) == len(set(told))
    for person in told:
        assert hat in hats_of(shipped(), person, presence)
