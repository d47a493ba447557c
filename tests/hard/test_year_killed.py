"""Weeks with `kill -9` at many random points, twice: the same end as of the weeks that nobody disturbed."""

from __future__ import annotations

from datetime import date

import pytest

from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.conftest import _short_folder as short_folder
from tests.year.compare import against, states
from tests.year.killed import finished_steps, play_with_kills, player
from tests.year.oracle import expected
from tests.year.scene import make_scene
from tests.year.seen import look

pytestmark = [pytest.mark.hard, pytest.mark.timeout(1800)]
FIRST, LAST = date(2027, 2, 22), date(2027, 5, 7)
KILLS = 30


@pytest.mark.parametrize("seed", [1, 2])
def test_a_quarter_with_kills_ends_like_one_without(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey, seed: int) -> None:
    """Every stage, message, state, purge and certificate is the same, and what the oracle says."""
    with short_folder("shy-") as folder:
        scene = make_scene(folder, gpg_person, ssh_key, seed=seed, first=FIRST, last=LAST)
        assert player(folder).wait() == 0
        calm, steps = look(folder), finished_steps(folder)
    assert not against(expected(scene.plan), calm)
    with short_folder("shy-") as folder:
        scene.play_in(folder)
        assert play_with_kills(folder, seed=seed, steps=steps, kills=KILLS) >= 20
        found = states(calm, look(folder))
    assert not found, "\n".join(found)
