"""A player that is killed with `kill -9` again and again, at random points, and goes on where it was."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from tests.year.days import POLICY

ROOT = POLICY.parents[1]


def player(folder: Path) -> subprocess.Popen[bytes]:
    """A player of this folder's scene, running."""
    return subprocess.Popen([sys.executable, "-m", "tests.year.player", str(folder)], cwd=ROOT)


def finished_steps(folder: Path) -> int:
    journal = folder / "journal.txt"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def play_with_kills(folder: Path, *, seed: int, steps: int, kills: int) -> int:
    """To the end, with about so many kills spread over all steps; how many there were."""
    draw = random.Random(seed)
    points = sorted(draw.sample(range(1, steps), kills))
    done = 0
    for point in points:
        if finished_steps(folder) >= steps:
            break
        running = player(folder)
        while running.poll() is None and finished_steps(folder) < point:
            time.sleep(0.002)
        time.sleep(draw.uniform(0.0, 0.03))  # somewhere inside a step
        if running.poll() is None:
            running.kill()
            done += 1
        assert running.wait() in {0, -9}
    assert player(folder).wait() == 0
    return done
