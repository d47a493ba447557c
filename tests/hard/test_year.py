"""A year of the nine members, step by step: exactly what the oracle says is told, owed, purged, and nothing else.

And twice more, with `kill -9` at random points: the same end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.conftest import _short_folder as short_folder
from tests.year.compare import against, states, summary
from tests.year.killed import finished_steps, play_with_kills, player
from tests.year.oracle import expected
from tests.year.plan import DOWN
from tests.year.player import Scene
from tests.year.scene import make_scene
from tests.year.seen import Seen, look

pytestmark = [pytest.mark.hard, pytest.mark.timeout(3600)]
SEED, KILLS = 20260901, 40


@dataclass(frozen=True)
class Played:
    """A year that nobody disturbed: what was to happen, what stands in the end, and in how many steps."""

    scene: Scene
    seen: Seen
    steps: int


@pytest.fixture(scope="module")
def played(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[Played]:
    """The whole year, played once."""
    with short_folder("shy-") as folder:
        scene = make_scene(folder, gpg_person, ssh_key, seed=SEED)
        assert player(folder).wait() == 0
        yield Played(scene, look(folder), finished_steps(folder))


def test_a_year_tells_exactly_what_it_must(played: Played) -> None:
    """None lost, none doubled, none at night or on a holiday, at most six messages a person a day."""
    found = against(expected(played.scene.plan), played.seen)
    assert not found, "\n".join([summary(played.seen), *found])


@pytest.mark.parametrize("seed", [1, 2])
def test_a_year_with_kills_ends_like_one_without(played: Played, seed: int) -> None:
    """Every stage, message, state, purge and certificate is the same, wherever the process was killed."""
    with short_folder("shy-") as folder:
        played.scene.play_in(folder)
        assert play_with_kills(folder, seed=seed, steps=played.steps, kills=KILLS) >= KILLS // 2
        found = states(played.seen, look(folder))
    assert not found, "\n".join(found)


def test_after_the_week_without_a_server_everybody_gets_one_digest(played: Played) -> None:
    """It comes back on the Thursday after Easter: one message to each, nothing while it was down."""
    seen = played.seen
    down = {f"{DOWN[0].date()}", f"{DOWN[1].date()}"}
    days = [day for _, day in seen.digests if min(down) < day <= max(down)]
    assert days and set(days) == {max(down)}
    people = [person for person, day in seen.digests if day == max(down)]
    assert len(people) == len(set(people)) and len(people) > 8
