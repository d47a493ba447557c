"""The long runs: 20 puts with a kill -9 in each, 200 MB cut off, 2 GB in bounded memory, a large ledger."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from server.domain.ledger import Event
from server.store import Store
from server.store.migrate import migrate
from tests import killing
from tests.demo_process import DemoProcess
from tests.mutants import BASE, SECTIONS, mutants, try_all

pytestmark = [pytest.mark.hard, pytest.mark.timeout(1800)]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[DemoProcess]:
    """A fresh demo for each test."""
    (tmp_path / "work").mkdir()
    running = DemoProcess(tmp_path / "demo", tmp_path / "work", ("--now", "2026-12-01T09:00")).start()
    yield running
    running.end()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_twenty_puts_survive_kill_9_of_the_server(demo: DemoProcess, seed: int) -> None:
    """Every put that the client saw succeed is deliverable; each file arrives once; the ledger holds."""
    killing.server_killed_during_puts(demo, puts=20, seed=seed)


def test_kill_9_of_the_client_in_the_middle_of_200_mb(demo: DemoProcess) -> None:
    """Nothing in any inbox, no plaintext, no orphan in the spool."""
    killing.client_killed_during_a_put(demo, mib=200)


def test_ctrl_c_in_the_middle_of_200_mb(demo: DemoProcess) -> None:
    """It is held, its sender is asked, and the partner sees it only after "all there"."""
    killing.ctrl_c_during_a_put(demo, mib=200)


def test_two_gigabytes_in_bounded_memory(demo: DemoProcess) -> None:
    """A 2 GB put and get keep the server process under 200 MB at its peak."""
    large = demo.work / "two.bin"
    with large.open("wb") as file:
        for number in range(2000):
            file.write(f"{number:08d}".encode() * (1000 * 1000 // 8))
    period = demo.period()
    done = demo.sftp("p-essex-1", f"put two.bin outbox/trial/{period}/kent/")
    assert done.returncode == 0, done.stderr
    done = demo.sftp("p-kent-1", f"get inbox/trial/{period}/essex/*.gpg two.gpg")
    assert done.returncode == 0, done.stderr
    assert killing.peak_memory(demo.pid) < 200 * 1000 * 1000


def test_a_hundred_thousand_entries_verify_in_a_minute(demo: DemoProcess) -> None:
    """`ledger verify` reads at least 100,000 entries a minute, from its start to its last word."""
    demo.end()
    store = Store(f"sqlite:///{demo.folder / 'safehand.db'}")
    migrate(store)
    begin = datetime(2026, 12, 2, tzinfo=UTC)
    for batch in range(100):
        with store.transaction(begin + timedelta(seconds=batch), "0" * 64) as tx:
            for number in range(1000):
                tx.record(Event("test.entry", "operator", (f"T-{batch}-{number}",), {"bytes": number}))
    store.close()
    began = time.monotonic()
    done = demo.safehand("ledger", "verify")
    seconds = time.monotonic() - began
    demo.start()
    assert done.returncode == 0, done.stderr
    assert seconds < 60


@pytest.mark.parametrize("section", SECTIONS)
def test_every_place_of_the_working_set_spoilt_in_every_way_permits_nobody_more(section: str) -> None:
    """Like the quick run, for every place of every file, every way to spoil it, and all nine members."""
    every = mutants(section, places=10_000, thorough=True)
    tried, loaded = try_all(every, tuple(BASE.member_by_id))
    assert 0 < loaded < tried
