"""The moves of a delivery: the tables are the only way from one state to the next, and what has ended stays ended."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.delivery import (
    COPY_MOVES,
    CURRENT,
    MOVES,
    UNRELEASED,
    USE_MOVES,
    VISIBLE,
    SealedCopy,
    Status,
    Use,
    diagram,
    move,
)
from server.domain.errors import Refused

ENDED = {Status.RECALLED, Status.SUPERSEDED}
TABLES = [pytest.param(MOVES, Status, id="delivery"), pytest.param(COPY_MOVES, SealedCopy, id="sealed copy")]
TABLES.append(pytest.param(USE_MOVES, Use, id="use"))
Table = Mapping[StrEnum, frozenset[StrEnum]]


def walked(tries: list[Status]) -> list[Status]:
    """The states that a delivery goes through when somebody tries to move it to each of these in turn."""
    states = [Status.SENT]
    for wanted in tries:
        try:
            states.append(move(states[-1], wanted))
        except Refused:
            states.append(states[-1])
    return states


def reachable(start: Status) -> set[Status]:
    found, todo = {start}, [start]
    while todo:
        todo += (after := MOVES[todo.pop()] - found)
        found |= after
    return found


@given(st.lists(st.sampled_from(Status), max_size=40))
def test_no_path_leaves_an_ended_state(tries: list[Status]) -> None:
    """Recalled and superseded are for ever, whatever is tried afterwards."""
    states = walked(tries)
    ended = [number for number, state in enumerate(states) if state in ENDED]
    assert not ended or set(states[ended[0] :]) == {states[ended[0]]}


@given(st.lists(st.sampled_from(Status), max_size=40))
def test_what_was_released_is_never_unreleased_again(tries: list[Status]) -> None:
    """Once a partner may have seen it, a delivery is never waiting or held again."""
    states = walked(tries)
    released = [number for number, state in enumerate(states) if state not in UNRELEASED]
    assert not released or not UNRELEASED & set(states[released[0] :])


@given(st.lists(st.sampled_from(Status), max_size=40))
def test_nothing_is_acknowledged_that_was_never_collected(tries: list[Status]) -> None:
    """A delivery is acknowledged only after a collection, or after a question that its recipient had about it."""
    states = walked(tries)
    if Status.ACKNOWLEDGED in states:
        before = states[: states.index(Status.ACKNOWLEDGED)]
        assert {Status.COLLECTED, Status.QUERIED} & set(before)


@given(st.lists(st.sampled_from(Status), max_size=40))
def test_what_was_collected_is_recalled_only_after_a_word_about_it(tries: list[Status]) -> None:
    """Never from collected or acknowledged; where there was a question, the verb looks whether it was collected."""
    states = walked(tries)
    before = [states[number - 1] for number, state in enumerate(states) if state is Status.RECALLED and number]
    allowed = {Status.SENT, Status.HELD, Status.AVAILABLE, Status.QUERIED, Status.REJECTED, Status.RECALLED}
    assert set(before) <= allowed


@pytest.mark.parametrize("before", Status)
@pytest.mark.parametrize("after", Status)
def test_a_move_is_allowed_exactly_when_the_table_has_it(before: Status, after: Status) -> None:
    """Every other move is one sentence and changes nothing; no state moves to itself."""
    if after in MOVES[before]:
        assert move(before, after) is after
        assert before is not after
        return
    with pytest.raises(Refused, match=f"{before} cannot become {after}") as refused:
        move(before, after)
    assert refused.value.code == "NO_SUCH_MOVE"


@pytest.mark.parametrize(("table", "states"), TABLES)
def test_every_state_stands_in_its_table(table: Table, states: type[StrEnum]) -> None:
    """No state is without its row, and no row leads out of the table."""
    assert set(table) == set(states)
    assert set().union(*table.values()) <= set(states)


@pytest.mark.parametrize(("table", "states"), TABLES)
def test_every_state_can_be_reached_from_the_first(table: Table, states: type[StrEnum]) -> None:
    """Sent, kept and open are where the three axes begin; a state that nothing leads to would be a lie."""
    found, todo = set[StrEnum](), [next(iter(states))]
    while todo:
        found.add(state := todo.pop())
        todo += table[state] - found
    assert found == set(states)


@pytest.mark.parametrize(("table", "states"), TABLES)
def test_the_diagram_shows_every_move_and_no_other(table: Table, states: type[StrEnum]) -> None:
    """ARCHITECTURE.md shows what the code does: one line a move, and an end for every ended state."""
    lines = diagram(table).splitlines()
    shown = {tuple(line.strip().split(" --> ")) for line in lines[1:]}
    moves = {(str(before), str(after)) for before, afters in table.items() for after in afters}
    ends = {(str(state), "[*]") for state, afters in table.items() if not afters}
    assert lines[0] == "stateDiagram-v2"
    assert shown == moves | ends
    assert len(lines) == 1 + len(moves) + len(ends)


def test_a_purged_copy_never_comes_back() -> None:
    """And one under hold is released before it can be purged."""
    assert COPY_MOVES[SealedCopy.PURGED] == frozenset()
    assert SealedCopy.PURGED not in COPY_MOVES[SealedCopy.HELD]


def test_current_is_what_waits_and_what_is_seen_and_nothing_that_has_ended() -> None:
    """Waiting and visible are two different things; everything current can still be superseded."""
    assert not UNRELEASED & VISIBLE
    assert CURRENT == UNRELEASED | VISIBLE
    assert not CURRENT & (ENDED | {Status.REJECTED})
    assert all(Status.SUPERSEDED in MOVES[state] for state in CURRENT)
    assert all(ENDED & reachable(state) for state in Status)
