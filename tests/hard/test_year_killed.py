"""A year with `kill -9` at random points, twice: the same end as of the year that nobody disturbed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.conftest import _short_folder as short_folder
from tests.year.compare import against, states
from tests.year.killed import finished_steps, play_with_kills, player
from tests.year.oracle import expected
from tests.year.player import Scene
from tests.year.scene import make_scene
from tests.year.seen import Seen, look

pytestmark = [pytest.mark.hard, pytest.mark.timeout(1800)]
SEED, KILLS = 20260901, 30


@pytest.fixture(scope="module")
def undisturbed(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[tuple[Scene, Seen, int]]:
    """The year without any kill: its scene, its end, and how many steps it took."""
    with short_folder("shy-") as folder:
        scene = make_scene(folder, gpg_person, ssh_key, seed=SEED)
        assert player(folder).wait() == 0
        yield scene, look(folder), finished_steps(folder)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_year_with_kills_ends_like_one_without(
    undisturbed: tuple[Scene, Seen, int], gpg_person: MakeGpgPerson, ssh_key: MakeSshKey, seed: int
) -> None:
    """Every stage, message, state, purge and certificate is the same, and what the oracle says."""
    scene, calm, steps = undisturbed
    with short_folder("shy-") as folder:
        make_scene(folder, gpg_person, ssh_key, seed=SEED)
        killed = play_with_kills(folder, seed=seed, steps=steps, kills=KILLS)
        assert killed >= 20
        seen = look(folder)
        assert not against(expected(scene.plan), seen)
        found = states(calm, seen)
        assert not found, "\n".join(found)
