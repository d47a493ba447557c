"""Short twins of the hard tests: kill -9 of server and client, and Ctrl-C, with the demo and the real programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import killing
from tests.demo_process import DemoProcess

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoProcess]:
    """A demo that is killed and started again as often as a test likes."""
    place = tmp_path_factory.mktemp("kill")
    (place / "work").mkdir()
    running = DemoProcess(place / "demo", place / "work", ("--now", "2026-12-01T09:00")).start()
    yield running
    running.end()


def test_a_put_that_succeeded_survives_kill_9_of_the_server(demo: DemoProcess) -> None:
    """What the client saw succeed is deliverable and decrypts; the rest is absent or whole; nothing comes twice."""
    killing.server_killed_during_puts(demo, puts=5, seed=20261201)


def test_kill_9_of_the_client_leaves_nothing(demo: DemoProcess) -> None:
    """No inbox shows it, no plaintext of it is on disk, nothing of it is in the spool."""
    killing.client_killed_during_a_put(demo, mib=40)


def test_ctrl_c_in_sftp_is_asked_about(demo: DemoProcess) -> None:
    """Half a CSV is held; its sender is asked; Kent sees it only after "all there"."""
    killing.ctrl_c_during_a_put(demo, mib=40)


def test_a_large_put_keeps_memory_bounded(demo: DemoProcess) -> None:
    """200 MiB through the server leave its peak memory under 200 MB."""
    large = demo.work / "bounded.bin"
    with large.open("wb") as file:
        file.truncate(200 * killing.MIB)
    done = demo.sftp("p-essex-1", f"put bounded.bin outbox/trial/{demo.period()}/kent/")
    assert done.returncode == 0, done.stderr
    assert killing.peak_memory(demo.pid) < 200 * 1000 * 1000


def test_nothing_outside_the_folder_remains(demo: DemoProcess) -> None:
    """After the end no process of the demo is left: neither gpg nor an agent of its homes."""
    demo.end()
    left = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit() and _names(entry, demo.folder)]
    demo.start()
    assert not left


def _names(process: Path, folder: Path) -> bool:
    try:
        return str(folder).encode() in (process / "cmdline").read_bytes()
    except OSError:
        return False
