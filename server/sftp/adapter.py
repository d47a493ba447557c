"""One SFTP session on one SSH channel: packets in, each answered once and in order; nothing is lost at an ending.

Only a CLOSE that the client sent completes what is open. Every other ending (end of file on the channel, a dropped or
reset connection, a disconnect, an abandoned visitor) interrupts it, after whatever had arrived whole has been done.

It speaks the protocol itself, over asyncssh's public session callbacks: asyncssh's own SFTP server calls `close` for
broken uploads too, has no limits, and sends the text of exceptions to the client.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

import asyncssh
import structlog

from server.domain.errors import Forbidden, Missing, NotWritable, Refused, SafehandError, places_of
from server.sftp import wire
from server.sftp.files import Handle, Upload
from server.sftp.mailbox import Mailbox
from server.sftp.tree import Path
from server.sftp.wire import Malformed, Request

log = structlog.get_logger("sftp")

QUEUE_BYTES = 2 * wire.PACKET_BYTES
"""How much may wait behind a request before the client is made to stop sending."""
PIECE_BYTES = 32 * 1024 - 64
"""What an SSH packet of every client holds: replies are handed over in such pieces."""
LISTED_AT_ONCE = 100

Answer = tuple[int, bytes]
DONE: Answer = (wire.STATUS, wire.status(wire.OK))
END: Answer = (wire.STATUS, wire.status(wire.EOF, "End."))


class Ears(Protocol):
    """What the connection is told about its channels."""

    def heard(self) -> None:
        """The client sent something."""
        ...

    def gone(self, channel: Channel) -> None:
        """The channel is over, and everything it had open is closed or interrupted."""
        ...


class _Opened:
    """An open file: where it is, and the refusal that was said already."""

    __slots__ = ("handle", "path", "said")

    def __init__(self, handle: Handle, path: Path) -> None:
        self.handle, self.path = handle, path
        self.said: SafehandError | None = None


class Channel(asyncssh.SSHServerSession[bytes]):
    """The session of one channel. Requests are served strictly one after another."""

    def __init__(self, mailbox: Callable[[], Mailbox], ears: Ears) -> None:
        self._make_mailbox, self._ears = mailbox, ears
        self._loop = asyncio.get_running_loop()
        self._chan: asyncssh.SSHServerChannel[bytes] | None = None
        self._box: Mailbox | None = None
        self._buffer, self._at, self._need = b"", 0, 4
        self._chunks: list[bytes] = []
        self._waiting = 0
        self._busy = self._choked = self._stopped = False
        self._eof = self._lost = self._over = self._greeted = False
        self._files: dict[bytes, _Opened] = {}
        self._folders: dict[bytes, list[wire.Name]] = {}
        self._last_handle = 0
        self._task: asyncio.Task[None] | None = None
        self._lapsing: set[asyncio.Task[None]] = set()
        self.ended: asyncio.Future[None] = self._loop.create_future()

    # -- what asyncssh calls

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._chan = chan

    def subsystem_requested(self, subsystem: str) -> bool:
        """Only sftp, once; a shell, a command and a terminal are refused by asyncssh's defaults."""
        if subsystem != "sftp" or self._box is not None:
            return False
        self._box = self._make_mailbox()
        return True

    def data_received(self, data: bytes, datatype: int | None) -> None:
        self._ears.heard()
        self._chunks.append(data)
        self._waiting += len(data)
        if not self._busy and not self._choked:
            if self._waiting >= self._need:
                self._pump()
        elif self._waiting > QUEUE_BYTES and not self._stopped and self._chan is not None:
            self._stopped = True
            self._chan.pause_reading()

    def eof_received(self) -> bool:
        self._eof = True
        self._pump()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost, self._choked = True, False
        self._pump()

    def pause_writing(self) -> None:
        self._choked = True

    def resume_writing(self) -> None:
        if self._choked:
            self._choked = False
            self._loop.call_soon(self._pump)

    # -- what the connection calls

    def abandon(self) -> None:
        """The visitor is not welcome any more: what is queued is dropped, what is open is interrupted."""
        self._forget_queue()
        self._lost = True
        self._pump()

    def let_lapse(self, seconds: float) -> None:
        """Interrupt the uploads that nothing was written to for so long. Their handles stay, and answer why."""
        for file in self._files.values():
            if isinstance(file.handle, Upload) and file.handle.untouched_for(seconds):
                log.info("sftp.stale")
                task = self._loop.create_task(self._ended(file.handle.lapse()))
                self._lapsing.add(task)
                task.add_done_callback(self._lapsing.discard)

    @property
    def working(self) -> bool:
        """A request is being served now."""
        return self._busy

    # -- packets

    def _forget_queue(self) -> None:
        self._buffer, self._at, self._need, self._chunks, self._waiting = b"", 0, 4, [], 0

    def _next(self) -> Request | None:
        """The next whole packet. Raises Malformed when it cannot be one."""
        if self._waiting < self._need:
            return None
        self._gather(self._need)
        at = self._at
        size = int.from_bytes(self._buffer[at : at + 4], "big")
        if not 5 <= size <= wire.PACKET_BYTES:
            raise Malformed
        if self._waiting < 4 + size:
            self._need = 4 + size
            return None
        self._gather(4 + size)
        at = self._at
        self._at, self._need = at + 4 + size, 4
        self._waiting -= 4 + size
        return Request(self._buffer, at + 4, at + 4 + size)

    def _gather(self, size: int) -> None:
        """See to it that `size` bytes lie in one piece from `_at` on; they have arrived."""
        if len(self._buffer) - self._at < size:
            self._buffer = b"".join((self._buffer[self._at :], *self._chunks))
            self._at = 0
            self._chunks.clear()

    def _pump(self) -> None:
        """Serve what has arrived until one request must wait, the client must, or nothing is left."""
        while not self._busy and not self._choked and not self._over:
            try:
                request = self._next()
                if request is None:
                    break
                self._serve(request)
            except Malformed:
                log.info("sftp.malformed")
                self._forget_queue()
                self._eof = True
                break
        if self._stopped and not self._busy and self._waiting < QUEUE_BYTES and self._chan is not None:
            self._stopped = False
            self._chan.resume_reading()
        if (self._eof or self._lost) and not self._busy and not self._choked and not self._over:
            self._over = True
            self._begin(self._wind_up())

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._busy = True
        self._task = self._loop.create_task(work)

    def _serve(self, request: Request) -> None:
        if not self._greeted:
            self._greet(request)
            return
        try:
            answer = self._answer(request)
        except SafehandError as refusal:
            answer = self._refused(refusal)
        except Malformed:
            answer = _problem(wire.BAD_MESSAGE, "The request is not well formed.")
        except Exception as failure:  # noqa: BLE001 -- the connection's loop: recorded, and the client told a number
            answer = self._failed(failure)
        if isinstance(answer, tuple):
            self._reply(request.number, answer)
        else:
            self._begin(self._later(request.number, answer))

    async def _later(self, number: int, waiting: Awaitable[Answer]) -> None:
        try:
            answer = await waiting
        except SafehandError as refusal:
            answer = self._refused(refusal)
        except Malformed:
            answer = _problem(wire.BAD_MESSAGE, "The request is not well formed.")
        except Exception as failure:  # noqa: BLE001 -- the connection's loop: recorded, and the client told a number
            answer = self._failed(failure)
        self._reply(number, answer)
        self._busy = False
        self._pump()

    async def _wind_up(self) -> None:
        """Interrupt whatever is open, say 0 as the exit status (OpenSSH's scp fails without), and be gone."""
        opened, self._files = list(self._files.values()), {}
        for file in opened:
            await self._ended(file.handle.interrupt())
        if self._lapsing:
            await asyncio.wait(self._lapsing)
        if self._chan is not None and not self._lost:
            self._chan.exit(0)
        self._ears.gone(self)
        self.ended.set_result(None)

    async def _ended(self, ending: Awaitable[None]) -> None:
        """One handle's ending, done; whatever goes wrong with it is recorded and keeps nobody."""
        try:
            await ending
        except SafehandError as problem:
            log.warning("sftp.interrupt", code=problem.code)
        except Exception as failure:  # noqa: BLE001 -- one handle that cannot end must not keep the others
            self._failed(failure)

    # -- replies

    def _greet(self, request: Request) -> None:
        if request.kind != wire.INIT:
            raise Malformed
        self._greeted = True
        self._write(wire.VERSION, wire.version())

    def _reply(self, number: int, answer: Answer) -> None:
        kind, body = answer
        self._write(kind, number.to_bytes(4, "big"), body)

    def _write(self, kind: int, *parts: bytes) -> None:
        if self._chan is None or self._lost or self._chan.is_closing():
            return
        size = 1 + sum(map(len, parts))
        message = b"".join((size.to_bytes(4, "big"), kind.to_bytes(1, "big"), *parts))
        if len(message) <= PIECE_BYTES:
            self._chan.write(message)
            return
        view = memoryview(message)
        for start in range(0, len(message), PIECE_BYTES):
            self._chan.write(view[start : start + PIECE_BYTES])

    def _say(self, sentence: str | None) -> None:
        """A line on the channel's standard error: all that OpenSSH's sftp and psftp show."""
        if not sentence or self._chan is None or self._lost or self._chan.is_closing():
            return
        line = "".join(letter if letter.isprintable() else " " for letter in sentence)
        self._chan.write_stderr(f"safehand: {line}\r\n".encode())

    def _refused(self, refusal: SafehandError, file: _Opened | None = None) -> Answer:
        """The status for a refusal; its sentence goes to standard error too, once, unless something is just missing."""
        if isinstance(refusal, Missing):
            return _problem(wire.NO_SUCH_FILE, refusal.sentence)
        if file is None or file.said is None:
            self._say(refusal.sentence)
        if file is not None:
            file.said = refusal
        denied = isinstance(refusal, Forbidden | NotWritable)
        return _problem(wire.PERMISSION_DENIED if denied else wire.FAILURE, refusal.sentence)

    def _failed(self, failure: Exception) -> Answer:
        """What nobody foresaw: recorded under a number, with its place, never its text; the client gets the number."""
        number = secrets.token_hex(4)
        log.error("sftp.unforeseen", number=number, kind=type(failure).__name__, places=places_of(failure))
        sentence = f"The exchange could not do this: try again, then tell your administrator the number {number}."
        self._say(sentence)
        return _problem(wire.FAILURE, sentence)

    # -- requests

    def _answer(self, request: Request) -> Answer | Awaitable[Answer]:
        verb = _VERBS.get(request.kind)
        if self._lost and request.kind == wire.READ:
            return END  # nobody is there to read: nothing counts as served
        if verb is None:
            return _problem(wire.OP_UNSUPPORTED, "This is not offered here.")
        return verb(self, request)

    @property
    def _mailbox(self) -> Mailbox:
        if self._box is None:
            raise Malformed
        return self._box

    def _file(self, request: Request) -> _Opened:
        file = self._files.get(request.string(wire.HANDLE_BYTES))
        if file is None:
            raise Refused("This file is not open.", code="HANDLE")
        return file

    @staticmethod
    def _path(request: Request) -> Path:
        return Path.parse(request.string(64 * 1024))

    def _new_handle(self) -> bytes:
        if len(self._files) + len(self._folders) >= wire.HANDLES:
            raise Refused(f"No more than {wire.HANDLES} files can be open at once: close some first.", code="HANDLES")
        self._last_handle += 1
        return self._last_handle.to_bytes(8, "big")

    async def _open(self, request: Request) -> Answer:
        path, flags = self._path(request), request.u32()
        name = self._new_handle()
        handle = await self._mailbox.open(path, flags)
        self._files[name] = _Opened(handle, path)
        return wire.HANDLE, wire.text(name)

    async def _close(self, request: Request) -> Answer:
        name = request.string(wire.HANDLE_BYTES)
        if self._folders.pop(name, None) is not None:
            return DONE
        file = self._files.pop(name, None)
        if file is None:
            raise Refused("This file is not open.", code="HANDLE")
        try:
            sentence = await file.handle.close()
        except SafehandError as refusal:
            return self._refused(refusal, file)
        self._mailbox.closed(file.path, file.handle)
        self._say(sentence)
        return DONE

    def _write_file(self, request: Request) -> Answer | Awaitable[Answer]:
        file, offset = self._file(request), request.u64()
        data = request.string(wire.PACKET_BYTES)
        try:
            waiting = file.handle.write(offset, data)
        except SafehandError as refusal:
            return self._refused(refusal, file)
        return DONE if waiting is None else self._written(file, waiting)

    async def _written(self, file: _Opened, waiting: Awaitable[None]) -> Answer:
        try:
            await waiting
        except SafehandError as refusal:
            return self._refused(refusal, file)
        return DONE

    def _read_file(self, request: Request) -> Answer | Awaitable[Answer]:
        file, offset, length = self._file(request), request.u64(), request.u32()
        data = file.handle.read(offset, min(length, wire.BLOCK_BYTES))
        return _data(data) if isinstance(data, bytes) else self._read_later(data)

    @staticmethod
    async def _read_later(waiting: Awaitable[bytes]) -> Answer:
        return _data(await waiting)

    async def _stat(self, request: Request) -> Answer:
        return wire.ATTRS, (await self._mailbox.look(self._path(request))).encode()

    def _fstat(self, request: Request) -> Answer:
        handle = self._file(request).handle
        shown = wire.Attributes(handle.size, handle.mode, int(handle.at.timestamp()))
        return wire.ATTRS, shown.encode()

    def _setstat(self, request: Request) -> Answer:
        """Modes, owners and times that a client sets are taken and never applied: our own times count."""
        self._path(request)
        return DONE

    def _fsetstat(self, request: Request) -> Answer:
        self._file(request)
        return DONE

    async def _opendir(self, request: Request) -> Answer:
        name = self._new_handle()
        self._folders[name] = await self._mailbox.listing(self._path(request))
        return wire.HANDLE, wire.text(name)

    def _readdir(self, request: Request) -> Answer:
        left = self._folders.get(request.string(wire.HANDLE_BYTES))
        if left is None:
            raise Refused("This folder is not open.", code="HANDLE")
        if not left:
            return END
        now = left[:LISTED_AT_ONCE]
        del left[:LISTED_AT_ONCE]
        return wire.NAME, wire.names(now)

    async def _remove(self, request: Request) -> Answer:
        self._say(await self._mailbox.remove(self._path(request)))
        return DONE

    async def _mkdir(self, request: Request) -> Answer:
        await self._mailbox.make_folder(self._path(request))
        return DONE

    def _rmdir(self, request: Request) -> Answer:
        self._path(request)
        raise Forbidden("Folders here cannot be removed.")

    def _realpath(self, request: Request) -> Answer:
        name = wire.Name(self._path(request).canonical, wire.Attributes(0, 0, 0))
        return wire.NAME, wire.names([name])

    async def _rename(self, request: Request) -> Answer:
        old, new = self._path(request), self._path(request)
        self._say(await self._mailbox.rename(old, new))
        return DONE

    def _extended(self, request: Request) -> Answer | Awaitable[Answer]:
        what = request.string(wire.WORD_BYTES)
        if what == b"posix-rename@openssh.com":
            return self._rename(request)
        if what == b"limits@openssh.com":
            return wire.EXTENDED_REPLY, wire.limits()
        if what == b"lsetstat@openssh.com":
            return self._setstat(request)
        if what in (b"statvfs@openssh.com", b"fstatvfs@openssh.com"):
            return wire.EXTENDED_REPLY, wire.file_system()
        return _problem(wire.OP_UNSUPPORTED, "This is not offered here.")


def _problem(code: int, sentence: str) -> Answer:
    return wire.STATUS, wire.status(code, sentence)


def _data(data: bytes) -> Answer:
    return (wire.DATA, wire.text(data)) if data else END


_VERBS: dict[int, Callable[[Channel, Request], Answer | Awaitable[Answer]]] = {
    wire.OPEN: Channel._open,
    wire.CLOSE: Channel._close,
    wire.READ: Channel._read_file,
    wire.WRITE: Channel._write_file,
    wire.LSTAT: Channel._stat,
    wire.STAT: Channel._stat,
    wire.FSTAT: Channel._fstat,
    wire.SETSTAT: Channel._setstat,
    wire.FSETSTAT: Channel._fsetstat,
    wire.OPENDIR: Channel._opendir,
    wire.READDIR: Channel._readdir,
    wire.REMOVE: Channel._remove,
    wire.MKDIR: Channel._mkdir,
    wire.RMDIR: Channel._rmdir,
    wire.REALPATH: Channel._realpath,
    wire.RENAME: Channel._rename,
    wire.EXTENDED: Channel._extended,
}
