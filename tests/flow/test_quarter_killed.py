"""Five weeks around Easter with `kill -9` at random points: the same end as of the weeks that nobody disturbed."""

from __future__ import annotations

from datetime import date

import pytest

from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.conftest import _short_folder as short_folder
from tests.year.compare import against, states
from tests.year.killed import finished_steps, play_with_kills, player
from tests.year.oracle import expected
from tests.year.scene import make_scene
from tests.year.seen import Seen, look

FIRST, LAST = date(2027, 3, 1), date(2027, 4, 9)
KILLS = 20


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", [1, 2])
def test_weeks_with_kills_end_like_weeks_without(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey, seed: int) -> None:
    """Every stage, message, state, purge and certificate is the same, and what the oracle says."""
    calm, steps = _played(gpg_person, ssh_key, seed, None)
    disturbed, _ = _played(gpg_person, ssh_key, seed, steps)
    found = states(calm, disturbed)
    assert not found, "\n".join(found)


def _played(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey, seed: int, kill_among: int | None) -> tuple[Seen, int]:
    """What stands in the end, and how many steps it took; killed at points among so many steps."""
    with short_folder("shy-") as folder:
        scene = make_scene(folder, gpg_person, ssh_key, seed=seed, first=FIRST, last=LAST, files=0.3)
        if kill_among is None:
            assert player(folder).wait() == 0
        else:
            assert play_with_kills(folder, seed=seed, steps=kill_among, kills=KILLS) >= KILLS // 2
        seen = look(folder)
        found = against(expected(scene.plan), seen)
        assert not found, "\n".join(found)
        return seen, finished_steps(folder)
