"""What asyncssh does for every packet and this server's ciphers do not need; left alone where it looks different.

The only module with asyncssh's private names (`_transport`); `tests/unit/test_sftp_tuning.py` fails when one vanishes.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncssh

IGNORE = 2
"""SSH_MSG_IGNORE (RFC 4253, 11.2)."""
READ_BYTES = 128 * 1024
"""How much is read from the socket at once: asyncssh copies all that is left of it, twice, for every packet in it."""


class SmallReads(asyncio.BufferedProtocol):
    """Hands a connection what arrives in pieces that are cheap to cut up. Everything else goes through as it is."""

    _view = memoryview(bytearray(READ_BYTES))
    """One for all connections: what is in it is handed over before anything else is read."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        self._connection.data_received(bytes(self._view[:nbytes]))

    def eof_received(self) -> bool | None:
        ended: bool | None = self._connection.eof_received()
        return ended

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()


def tune(connection: asyncssh.SSHServerConnection) -> None:
    """Read in small pieces, and send no IGNORE before every packet (a guard for CBC ciphers, which are not offered)."""
    send = connection.send_packet

    def without_ignore(kind: int, *parts: bytes, handler: Any = None) -> None:
        if kind != IGNORE:
            send(kind, *parts, handler=handler)

    connection.send_packet = without_ignore  # type: ignore[method-assign, assignment]
    transport: Any = getattr(connection, "_transport", None)
    if hasattr(transport, "set_protocol"):
        transport.set_protocol(SmallReads(connection))
