"""Two processes whose jobs tick on one PostgreSQL for ten days: whatever is due happens once."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest

from server.exchange import Exchange
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.conftest import _short_folder as short_folder
from tests.year.compare import against, summary
from tests.year.days import POLICY
from tests.year.oracle import expected
from tests.year.player import TEMPLATES, Player, url_of
from tests.year.scene import make_scene
from tests.year.seen import look

FIRST, LAST = date(2026, 11, 30), date(2026, 12, 9)
NAMES = ("one", "two")


@pytest.mark.timeout(900)
def test_two_job_processes_fire_each_stage_once(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey, pg_url: str) -> None:
    """Ten days with a due day in them: every stage, digest, purge and anchor once, and exactly those that must be."""
    with short_folder("shj-") as folder:
        scene = make_scene(folder, gpg_person, ssh_key, seed=7, first=FIRST, last=LAST, files=0.3, url=pg_url)
        (folder / "now.txt").write_text("")
        command = [sys.executable, "-m", "tests.year.ticker", str(folder)]
        running = [subprocess.Popen([*command, name], cwd=POLICY.parents[1]) for name in NAMES]
        exchange = Exchange.open(folder / "data", database_url=url_of(folder, scene), templates=TEMPLATES)
        player = Player(exchange, scene)
        try:
            for number, (what, moment, act) in enumerate(player.steps()):
                if what == "tick":
                    _both_look(folder, running, f"{number}")
                else:
                    player.do(what, moment, act)
        finally:
            (folder / "now.txt").write_text("over")
            ended = [process.wait(60) for process in running]
            exchange.close()
        assert ended == [0, 0]
        seen = look(folder)
        found = against(expected(scene.plan), seen)
        assert not found, "\n".join([summary(seen), *found])


def _both_look(folder: Path, running: list[subprocess.Popen[bytes]], step: str) -> None:
    """The step is announced, and both have looked at it."""
    part = folder / "now.part"
    part.write_text(step)
    part.rename(folder / "now.txt")
    deadline = time.monotonic() + 60
    while not all((folder / f"{name}.txt").exists() and (folder / f"{name}.txt").read_text() == step for name in NAMES):
        assert time.monotonic() < deadline and all(process.poll() is None for process in running), step
        time.sleep(0.002)
