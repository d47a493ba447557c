"""Every way an upload can end, seen from outside: only the client's own close of a whole file reaches the partner."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import cast

import paramiko
import pytest

from server.cli.examples import records
from tests.demo_process import DemoProcess, until

pytestmark = pytest.mark.timeout(240)
TRIAL = "outbox/trial/2026-11/kent"
ASKED = "outbox/post16-destinations/2026-11/kent"


class Session:
    """A paramiko session whose socket is ours, so that it can end in any way."""

    def __init__(self, running: DemoProcess, person: str = "p-essex-1") -> None:
        place = running.told["sftp"]
        self.socket = socket.create_connection(("127.0.0.1", place["port"]))
        self.transport = paramiko.Transport(self.socket)
        key = paramiko.Ed25519Key.from_private_key_file(running.person(person)["ssh_key"])
        self.transport.connect(username=person, pkey=key)
        channel = self.transport.open_session()
        channel.invoke_subsystem("sftp")
        self.channel = channel
        self.sftp = paramiko.SFTPClient(channel)

    def begin(self, name: str, size: int = 200_000) -> paramiko.SFTPFile:
        """An upload of which some bytes have arrived and nothing is closed."""
        file = self.sftp.open(f"{TRIAL}/{name}", "wb")
        for _ in range(size // 20_000):
            file.write(os.urandom(20_000))
        file.flush()
        assert self.sftp.stat(f"{TRIAL}/{name}").st_size == size
        return file


def settled(running: DemoProcess) -> None:
    """The server has seen the ending: what arrived is kept for the rest, or gone; nothing is sent."""
    time.sleep(0.5)
    assert not [entry for entry in running.ledger() if entry["kind"] == "consignment.sealed"]
    assert running.inbox("p-kent-1", "trial/2026-11/essex") == []


def end_of_file(session: Session) -> None:
    session.channel.shutdown_write()


def channel_closed(session: Session) -> None:
    session.channel.close()


def disconnect(session: Session) -> None:
    session.transport.close()


def dropped(session: Session) -> None:
    session.socket.shutdown(socket.SHUT_RDWR)


def reset(session: Session) -> None:
    session.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(session.socket.detach())


@pytest.mark.parametrize("ending", [end_of_file, channel_closed, disconnect, dropped, reset])
def test_no_ending_but_a_close_sends_anything(running: DemoProcess, ending: Callable[[Session], None]) -> None:
    """End of file, a closed channel, a disconnect, a dropped and a reset connection: nothing is delivered."""
    name = f"ending-{uuid.uuid4().hex[:8]}.bin"
    session = Session(running)
    file = session.begin(name)
    ending(session)
    settled(running)
    session.transport.close()
    file.close()  # paramiko would close it by itself as soon as nothing held it


def test_a_close_in_one_packet_with_the_end_of_file_sends(running: DemoProcess) -> None:
    """CLOSE and EOF sent together, without waiting for an answer: the file is whole, and Kent gets it."""
    session = Session(running)
    file = session.begin("together.bin")
    before = running.inbox("p-kent-1", "trial/2026-11/essex")
    handle = cast(bytes, file.handle)
    body = b"\x04" + (9999).to_bytes(4, "big") + len(handle).to_bytes(4, "big") + handle
    session.channel.sendall(len(body).to_bytes(4, "big") + body)
    session.channel.shutdown_write()
    until(lambda: running.inbox("p-kent-1", "trial/2026-11/essex") != before, 15)
    session.transport.close()


def test_a_killed_client_leaves_nothing_behind(running: DemoProcess, work: Path) -> None:
    """kill -9 in the middle of a put: nothing in any inbox, no plaintext, no file in the spool."""
    marker = os.urandom(16).hex().encode()
    (work / "killed.bin").write_bytes(marker * 2_000_000)
    spool, inbox = running.spool(), running.inbox("p-kent-1", "trial/2026-11/essex")
    with running.sftp_running("p-essex-1", f"put killed.bin {TRIAL}/", options=("-l", "40000")) as client:
        time.sleep(2)
        os.killpg(client.pid, signal.SIGKILL)
        client.wait(10)
    time.sleep(1)
    assert running.inbox("p-kent-1", "trial/2026-11/essex") == inbox
    assert running.spool() == spool
    searched = subprocess.run(["grep", "-rlF", marker.decode(), str(running.folder)], capture_output=True, check=False)
    assert searched.stdout == b""


def test_ctrl_c_in_openssh_asks_the_sender(running: DemoProcess, work: Path) -> None:
    """SIGINT ends a put with a clean close of its beginning: it is held, and never seen by the partner unasked."""
    columns = _columns(running, work)
    header, rows = records(tuple(columns), 2000, 1).encode().split(b"\r\n", 1)
    (work / "large.csv").write_bytes(header + b"\r\n" + rows * (60_000_000 // len(rows)))
    with running.sftp_running("p-essex-1", f"put large.csv {ASKED}/", options=("-l", "60000")) as client:
        time.sleep(3)
        os.killpg(client.pid, signal.SIGINT)
        client.wait(20)
    time.sleep(0.5)
    done = running.sftp("p-essex-1", "get DUE.txt due.txt")
    assert done.returncode == 0
    kinds = {entry["kind"] for entry in running.ledger()}
    assert "waits for your answer" in (work / "due.txt").read_text() or "consignment.sealed" not in kinds
    running.safehand("clock", "set", "2026-12-01T12:00")
    time.sleep(2.5)
    assert running.inbox("p-kent-1", "post16-destinations/2026-11/essex") == []


def _columns(running: DemoProcess, work: Path) -> list[str]:
    done = running.sftp("p-essex-1", "get templates/post16-destinations.csv header.csv")
    assert done.returncode == 0, done.stderr
    return (work / "header.csv").read_text().strip().split(",")


def test_a_suspended_person_is_shown_out_in_the_middle_of_a_put(running: DemoProcess) -> None:
    """`safehand suspend` from another process ends the session within seconds, and the person cannot come back."""
    session = Session(running, "p-essex-2")
    file = session.begin("suspended.bin")
    assert running.safehand("suspend", "p-essex-2").returncode == 0
    until(lambda: not session.transport.is_active(), 10)
    assert running.sftp("p-essex-2", "pwd").returncode != 0
    assert running.sftp("p-essex-1", "pwd").returncode == 0
    file.close()
