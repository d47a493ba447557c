"""A year of the nine members, step by step: exactly what the oracle says is told, owed, purged, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.conftest import _short_folder as short_folder
from tests.year.compare import against, summary
from tests.year.days import POLICY
from tests.year.oracle import expected
from tests.year.plan import DOWN
from tests.year.player import Scene
from tests.year.scene import make_scene
from tests.year.seen import Seen, look

pytestmark = [pytest.mark.hard, pytest.mark.timeout(1800)]
SEED = 20260901


@pytest.fixture(scope="module")
def played(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[tuple[Scene, Seen]]:
    """The whole year, played once, undisturbed."""
    with short_folder("shy-") as folder:
        scene = make_scene(folder, gpg_person, ssh_key, seed=SEED)
        subprocess.run([sys.executable, "-m", "tests.year.player", folder], check=True, cwd=POLICY.parents[1])
        yield scene, look(folder)


def test_a_year_tells_exactly_what_it_must(played: tuple[Scene, Seen]) -> None:
    """None lost, none doubled, none at night or on a holiday, at most six messages a person a day."""
    scene, seen = played
    found = against(expected(scene.plan), seen)
    assert not found, "\n".join([summary(seen), *found])


def test_after_the_week_without_a_server_everybody_gets_one_digest(played: tuple[Scene, Seen]) -> None:
    """It comes back on the Thursday after Easter: one message to each, nothing while it was down."""
    _, seen = played
    down = {f"{DOWN[0].date()}", f"{DOWN[1].date()}"}
    days = [day for _, day in seen.digests if min(down) < day <= max(down)]
    assert days and set(days) == {max(down)}
    people = [person for person, day in seen.digests if day == max(down)]
    assert len(people) == len(set(people)) and len(people) > 8
