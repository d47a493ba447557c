"""The weeks around Easter 2027, in which the server is down for one: played undisturbed, and with `kill -9`.

Two bank holidays, a due day and the night in which the clocks go forward lie in the week without a server. The whole
year, and more kills, are in tests/hard.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.conftest import _short_folder as short_folder
from tests.year.compare import against, states, summary
from tests.year.killed import finished_steps, play_with_kills, player
from tests.year.oracle import expected
from tests.year.plan import DOWN
from tests.year.scene import make_scene
from tests.year.seen import Seen, look

pytestmark = pytest.mark.timeout(900)
FIRST, LAST = date(2027, 3, 22), date(2027, 4, 8)
KILLS = 12


def test_the_weeks_around_easter_end_alike_with_kill_9_and_without(
    gpg_person: MakeGpgPerson, ssh_key: MakeSshKey
) -> None:
    """Every stage, message, state, purge and certificate is what the oracle says; no kill changes any of it."""
    with short_folder("shy-") as folder:
        scene = make_scene(folder, gpg_person, ssh_key, seed=1, first=FIRST, last=LAST, files=0.3)
        assert player(folder).wait() == 0
        calm, steps = _seen(folder), finished_steps(folder)
    _one_digest_each_after_the_outage(calm)
    with short_folder("shy-") as folder:
        scene.play_in(folder)
        assert play_with_kills(folder, seed=1, steps=steps, kills=KILLS) >= KILLS // 2
        found = states(calm, _seen(folder))
    assert not found, "\n".join(found)


def _seen(folder: Path) -> Seen:
    """What stands in the end; it is exactly what must be."""
    seen = look(folder)
    found = against(expected(seen.scene.plan), seen)
    assert not found, "\n".join([summary(seen), *found])
    return seen


def _one_digest_each_after_the_outage(seen: Seen) -> None:
    """It comes back on the Thursday after Easter: one message to each, and none is of a day on which it was down."""
    first, last = f"{DOWN[0].date()}", f"{DOWN[1].date()}"
    assert {day for _, day in seen.digests if first < day <= last} == {last}
    assert sum(message.thread == f"digest:{last}" for message in seen.messages) > 8
