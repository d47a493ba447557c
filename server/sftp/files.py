"""What is open: uploads, small notes, papers and envelopes. Only a close that the client sent completes one of them.

`write` and `read` answer at once where they can; where they must wait they give something to await, so that the
hot path costs no task and no thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from server.domain.errors import Forbidden, Refused, SafehandError
from server.exchange.arrivals import Arrival
from server.exchange.collection import Reading
from server.sftp import limits
from server.sftp.threads import Threads

if TYPE_CHECKING:
    from server.exchange import Exchange

NOTE_BYTES = 64 * 1024
AHEAD_BYTES = 1024 * 1024
"""How much of an envelope is fetched at once."""


class Handle(Protocol):
    """Something open. `size` and `at` are what fstat answers."""

    mode: int
    at: datetime

    @property
    def size(self) -> int: ...
    def write(self, offset: int, data: bytes) -> Awaitable[None] | None: ...
    def read(self, offset: int, length: int) -> Awaitable[bytes] | bytes:
        """The bytes there, at most `length`; none at the end."""
        ...

    async def close(self) -> str | None:
        """The client's own close. The sentence to say, if there is one. Raises SafehandError."""
        ...

    async def interrupt(self) -> None:
        """Every other ending. Raises nothing that a client would see."""
        ...


class Upload:
    """Bytes on their way to the exchange. One that failed stays failed, at every later write and at close."""

    mode = 0o100200

    def __init__(self, exchange: Exchange, arrival: Arrival, threads: Threads) -> None:
        self._intake, self._arrival, self._threads = exchange.intake, arrival, threads
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._failed: SafehandError | None = None
        self._lapsed = False
        self._waiting = False
        self._touched = self._loop.time()
        self.at = exchange.now()
        arrival.on_room = self._has_room

    def _has_room(self) -> None:
        """Called by the exchange, from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._room.set)

    @property
    def size(self) -> int:
        return self._arrival.size

    def write(self, offset: int, data: bytes) -> Awaitable[None] | None:
        """Takes the bytes at `offset`; awaits room where there is none, which is how a slow disk slows the client."""
        if self._failed is not None:
            raise self._failed
        self._touched = self._loop.time()
        self._room.clear()
        try:
            taken = self._arrival.write(offset, data)
        except SafehandError as failed:
            self._failed = failed
            raise
        return None if taken else self._until_room()

    async def _until_room(self) -> None:
        self._waiting = True
        try:
            await self._room_made()
        finally:
            self._waiting, self._touched = False, self._loop.time()

    async def _room_made(self) -> None:
        while not self._room.is_set():
            try:
                await asyncio.wait_for(self._room.wait(), 1)
            except TimeoutError:
                failed = self._arrival.failed
                if failed is not None:
                    self._failed = failed
                    raise failed from None

    def untouched_for(self, seconds: float) -> bool:
        """Whether nothing was written for so long, and nothing waits to be."""
        return not self._lapsed and not self._waiting and self._loop.time() - self._touched > seconds

    def lapse(self) -> Awaitable[None]:
        """Interrupted while the client still has it open; from now on it answers why. The rest can be resumed."""
        self._lapsed, self._failed = True, Refused(STALE, code="STALE")
        return self._interrupted()

    def read(self, offset: int, length: int) -> Awaitable[bytes] | bytes:
        raise Forbidden(UNREADABLE)

    async def close(self) -> str | None:
        if self._lapsed and self._failed is not None:
            raise self._failed
        return await self._loop.run_in_executor(self._threads.acts, self._intake.close, self._arrival)

    async def interrupt(self) -> None:
        if not self._lapsed:
            await self._interrupted()

    async def _interrupted(self) -> None:
        self._room.set()
        await self._loop.run_in_executor(self._threads.acts, self._intake.interrupt, self._arrival)


STALE = (
    f"Nothing was written to this file for {limits.UNWRITTEN_SECONDS // 60:.0f} minutes, so the upload was stopped: "
    "send it again."
)
UNREADABLE = "What is in outbox/ was sent or is on its way: it cannot be read back. Its receipt is in receipts/."


class Note:
    """A small file that is an act: a word for attest/, a key for keys/mine/. Acted on when the client closes it."""

    mode = 0o100200

    def __init__(self, act: Callable[[bytes], str], threads: Threads, at: datetime) -> None:
        self._act, self._threads, self.at = act, threads, at
        self._content = bytearray()

    @property
    def size(self) -> int:
        return len(self._content)

    def write(self, offset: int, data: bytes) -> Awaitable[None] | None:
        if offset + len(data) > NOTE_BYTES:
            raise Refused("This is too long for a form or a key: it holds at most 64 KiB.", code="NOTE_TOO_LONG")
        if offset > len(self._content):
            self._content.extend(bytes(offset - len(self._content)))
        self._content[offset : offset + len(data)] = data
        return None

    def read(self, offset: int, length: int) -> Awaitable[bytes] | bytes:
        return bytes(self._content[offset : offset + length])

    async def close(self) -> str | None:
        return await asyncio.get_running_loop().run_in_executor(self._threads.acts, self._act, bytes(self._content))

    async def interrupt(self) -> None:
        return None


class Page:
    """A paper that is open: its bytes as they were when it was opened."""

    mode = 0o100400

    def __init__(self, content: bytes, at: datetime) -> None:
        self._content, self.at = content, at

    @property
    def size(self) -> int:
        return len(self._content)

    def write(self, offset: int, data: bytes) -> Awaitable[None] | None:
        raise Forbidden("This is for reading: files to send go into outbox/.")

    def read(self, offset: int, length: int) -> Awaitable[bytes] | bytes:
        return self._content[offset : offset + length]

    async def close(self) -> str | None:
        return None

    async def interrupt(self) -> None:
        return None


class Envelope:
    """A sealed delivery that is open. Blocks are served from what was read ahead, the next is fetched meanwhile."""

    mode = 0o100400

    def __init__(self, reading: Reading, threads: Threads, at: datetime) -> None:
        self._reading, self._threads, self.at = reading, threads, at
        self._loop = asyncio.get_running_loop()
        self._from, self._block = 0, b""
        self._next: tuple[int, asyncio.Future[bytes]] | None = None

    @property
    def size(self) -> int:
        return self._reading.size

    def write(self, offset: int, data: bytes) -> Awaitable[None] | None:
        raise Forbidden("This is for reading: files to send go into outbox/.")

    def read(self, offset: int, length: int) -> Awaitable[bytes] | bytes:
        """The bytes at `offset`, short only at the end of the envelope."""
        if offset >= self.size:
            return b""
        length = min(length, self.size - offset)
        start = offset - self._from
        if start >= 0 and start + length <= len(self._block):
            self._reading.served(offset, length)
            return self._block[start : start + length]
        return self._fetched(offset, length)

    async def _fetched(self, offset: int, length: int) -> bytes:
        tail = b""
        if self._from <= offset < self._from + len(self._block):
            tail = self._block[offset - self._from :]
        at = offset + len(tail)
        block = await self._block_at(at)
        self._from, self._block = at, block
        after = at + len(block)
        if after < self.size:
            self._next = (after, self._fetch(after))
        given = tail + block[: length - len(tail)]
        self._reading.served(offset, len(given))
        return given

    async def _block_at(self, offset: int) -> bytes:
        waiting, self._next = self._next, None
        if waiting is not None:
            begun = await waiting[1]
            if waiting[0] == offset:
                return begun
        return await self._fetch(offset)

    def _fetch(self, offset: int) -> asyncio.Future[bytes]:
        return self._loop.run_in_executor(self._threads.looks, self._reading.read, offset, AHEAD_BYTES)

    async def close(self) -> str | None:
        await self._end(by_client=True)
        return None

    async def interrupt(self) -> None:
        await self._end(by_client=False)

    async def _end(self, *, by_client: bool) -> None:
        waiting, self._next = self._next, None
        if waiting is not None:
            await asyncio.wait([waiting[1]])
            waiting[1].exception()
        await self._loop.run_in_executor(self._threads.acts, lambda: self._reading.close(by_client=by_client))
