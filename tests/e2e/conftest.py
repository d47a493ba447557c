"""One running exchange for the tests with unmodified clients: `safehand demo`, in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo_process import DemoProcess


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoProcess]:
    """An exchange on 1 December 2026: the period is 2026-11; `trial` takes any bytes and releases at once."""
    place = tmp_path_factory.mktemp("running")
    (place / "work").mkdir()
    demo = DemoProcess(place / "demo", place / "work", ("--now", "2026-12-01T09:00")).start()
    yield demo
    demo.end()


@pytest.fixture
def work(running: DemoProcess) -> Path:
    """The folder where the clients run."""
    return running.work
