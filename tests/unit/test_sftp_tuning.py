"""asyncssh's private names that `server.sftp.tuning` leans on are still there, and what it changes still works."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import asyncssh
import pytest
import uvloop
from asyncssh.connection import SSHConnection

from server.sftp import tuning


def test_the_names_that_tuning_uses_are_there() -> None:
    """A renamed `_transport` or `send_packet` would quietly make every transfer slower."""
    assert "_transport" in inspect.getsource(SSHConnection.connection_made)
    assert list(inspect.signature(SSHConnection.send_packet).parameters) == ["self", "pkttype", "args", "handler"]
    assert "MSG_IGNORE" in inspect.getsource(SSHConnection.send_packet)
    assert asyncssh.__version__.startswith("2.24."), "look at server/sftp/tuning.py again, then move this line"


class _Served(asyncssh.SSHServer):
    def __init__(self, sent: list[int], tuned: bool) -> None:
        self._sent, self._tuned = sent, tuned

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        if self._tuned:
            tuning.tune(conn)
        self._conn = conn

        def note(kind: int, *_: Any, **__: Any) -> None:
            sent.append(kind)

        sent = self._sent
        conn.log_sent_packet = note  # type: ignore[method-assign, assignment]

    def begin_auth(self, username: str) -> bool:
        return False

    def session_requested(self) -> Any:
        async def echo(stdin: Any, stdout: Any, stderr: Any) -> None:
            stdout.write(await stdin.readexactly(3_000_000))
            stdout.channel.exit(0)

        return echo


async def _echo(sent: list[int], *, tuned: bool) -> None:
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=lambda: _Served(sent, tuned), encoding=None,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
    )  # fmt: skip
    async with (
        asyncssh.connect(
            "127.0.0.1", server.get_port(), username="u", known_hosts=None, client_keys=None, config=None
        ) as client,
        client.create_process(encoding=None) as process,
    ):
        process.stdin.write(bytes(range(250)) * 12_000)
        assert await process.stdout.readexactly(3_000_000) == bytes(range(250)) * 12_000
    server.close()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_tuned_connection_carries_the_same_bytes_without_ignore_packets(run: Any) -> None:
    """Three megabytes there and back, on asyncio and on uvloop; untuned, an IGNORE goes before each packet."""
    plain: list[int] = []
    run(_echo(plain, tuned=False))
    assert tuning.IGNORE in plain
    tuned: list[int] = []
    run(_echo(tuned, tuned=True))
    assert tuned
    assert tuning.IGNORE not in tuned
