"""A full disk is told plainly, costs nothing that was there, and heals by itself."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator

import pytest

from server.domain.errors import SafehandError
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import SmallExchange, small_exchange


@pytest.fixture
def small_disk(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    """An exchange whose spool is on a disk of 24 MiB of its own (a memory file system)."""
    with small_exchange(gpg_person, ssh_key) as made:
        spool = str(made.exchange.ground.spool.folder)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs", spool], check=True)
        try:
            yield made
        finally:
            subprocess.run(["umount", "--lazy", spool], check=True)


def test_an_upload_that_fills_the_disk_is_refused_and_the_rest_goes_on(small_disk: SmallExchange) -> None:
    """Nothing half-done, the ledger still writes, and the next small file goes through."""
    visitor, folder = small_disk.visitor("p-essex-1"), ("trial", "2026-11", "kent")
    arrival = small_disk.exchange.intake.open(visitor, folder, b"big.bin", resume=False)
    block = os.urandom(256 * 1024)
    room = threading.Event()
    arrival.on_room = room.set

    def send() -> None:
        for number in range(200):
            room.clear()
            if not arrival.write(number * len(block), block):
                room.wait(10)

    with pytest.raises(SafehandError, match="disk"):
        send()
    with pytest.raises(SafehandError, match="disk"):
        small_disk.exchange.intake.close(arrival)
    assert list(small_disk.exchange.ground.spool.folder.iterdir()) == []
    said = small_disk.put("p-essex-1", "trial/2026-11/kent/small.txt", b"still works")
    assert said is not None
    assert "Received 11 bytes" in said
    assert small_disk.exchange.evidence.verify().entries > 0
