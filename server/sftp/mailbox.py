"""What one channel can do in its visitor's mailbox: the verbs of SFTP, each at most one verb of the exchange."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from server.domain.errors import Forbidden, Missing, Refused
from server.domain.schedule import LONDON
from server.exchange.sessions import Visitor
from server.sftp import wire
from server.sftp.files import UNREADABLE, Envelope, Handle, Note, Page, Upload
from server.sftp.threads import Threads
from server.sftp.tree import Node, Path, Tree

if TYPE_CHECKING:
    from server.exchange import Exchange

P = ParamSpec("P")
T = TypeVar("T")
REMEMBERED = 64
REMEMBERED_SECONDS = 60.0
NOT_HERE = "Nothing can be put here. Files to send go into a folder of outbox/, such as outbox/EXCHANGE/MONTH/MEMBER/."


class Mailbox:
    """The verbs, for one visitor. They raise SafehandError; what blocks runs in `threads`."""

    def __init__(self, exchange: Exchange, visitor: Visitor, threads: Threads) -> None:
        self._exchange, self._visitor, self._threads = exchange, visitor, threads
        self._loop = asyncio.get_running_loop()
        self._tree = Tree(exchange, visitor)
        self._lately: dict[tuple[bytes, ...], tuple[int, datetime, float]] = {}

    async def _run(self, pool: Executor, verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._loop.run_in_executor(pool, partial(verb, *args, **kwargs))

    async def _look(self, verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(self._threads.looks, verb, *args, **kwargs)

    # -- looking

    async def look(self, path: Path) -> wire.Attributes:
        """Attributes of a folder or a file, those just sent included. Raises Missing.

        In attest/ what was put a moment ago goes before the form of the same name that lies there.
        """
        lately = self._put_lately(path)
        if lately is not None and path.folder == ("attest",):
            return lately
        try:
            return attributes(await self._look(self._tree.look, path))
        except Missing:
            if lately is None:
                raise
            return lately

    def _put_lately(self, path: Path) -> wire.Attributes | None:
        size, at, until = self._lately.get(path.parts, (0, None, 0.0))
        if at is None or until < time.monotonic():
            return None
        return wire.Attributes(size, 0o100200, int(at.timestamp()))

    async def listing(self, path: Path) -> list[wire.Name]:
        """Every name of a folder, `.` and `..` first. Raises Missing."""
        here = wire.Attributes(0, 0o40500, int(self._exchange.now().timestamp()))
        nodes: Sequence[Node] = await self._look(self._tree.listing, path)
        owner, now = self._visitor.member.id, self._exchange.now()
        dots = [self._line(name, here, owner, now, now) for name in (b".", b"..")]
        return dots + [self._line(n.name.encode(), attributes(n), owner, n.at, now) for n in nodes]

    @staticmethod
    def _line(name: bytes, shown: wire.Attributes, owner: str, at: datetime, now: datetime) -> wire.Name:
        here = at.astimezone(LONDON)
        recent = abs((now - at).days) < 180
        when = here.strftime("%b %e %H:%M" if recent else "%b %e  %Y")
        return wire.Name(name, shown, wire.longname(name, shown, owner, when))

    # -- opening

    async def open(self, path: Path, flags: int) -> Handle:
        """An open handle, for reading or for putting. Raises SafehandError with the sentence for the person."""
        if flags & (wire.OPEN_WRITE | wire.OPEN_APPEND):
            return await self._open_to_put(path, flags)
        return await self._open_to_read(path)

    async def _open_to_put(self, path: Path, flags: int) -> Handle:
        folder = path.folder
        if folder[:1] == ("outbox",) and len(folder) > 2:
            if await self._look(self._tree.is_folder, path):
                raise Refused("This is a folder: put the file into it, under a name of its own.", code="IS_FOLDER")
            fresh = bool(flags & (wire.OPEN_TRUNCATE | wire.OPEN_EXCLUSIVE))
            arrival = await self._run(
                self._threads.opens, self._exchange.intake.open, self._visitor, folder[1:], path.name,
                resume=not fresh, append=bool(flags & wire.OPEN_APPEND),
            )  # fmt: skip
            return Upload(self._exchange, arrival, self._threads)
        if self._visitor.put_only:
            raise Forbidden("This key may only send files: everything else needs another key.")
        if folder == ("attest",):
            return Note(partial(self._exchange.attest, self._visitor, path.name), self._threads, self._exchange.now())
        if folder == ("keys", "mine"):
            propose = partial(self._exchange.keys.propose, self._visitor, path.name)
            return Note(propose, self._threads, self._exchange.now())
        raise Forbidden(NOT_HERE)

    async def _open_to_read(self, path: Path) -> Handle:
        node: Node = await self._look(self._tree.look, path)
        if node.folder:
            raise Refused("This is a folder.", code="IS_FOLDER")
        if node.paper is not None:
            return Page(await self._look(node.paper.content), node.at)
        if node.delivery is not None:
            reading = await self._look(self._exchange.collection.read, self._visitor, node.delivery)
            return Envelope(reading, self._threads, node.at)
        raise Forbidden(UNREADABLE)

    def closed(self, path: Path, handle: Handle) -> None:
        """The client closed `handle` and it was accepted: a client that verifies asks for its size next."""
        if not isinstance(handle, Upload | Note):
            return
        while len(self._lately) >= REMEMBERED:
            del self._lately[next(iter(self._lately))]
        self._lately[path.parts] = (handle.size, handle.at, time.monotonic() + REMEMBERED_SECONDS)

    # -- changing names

    async def rename(self, old: Path, new: Path) -> str | None:
        """Give a sent or temporary file another name; only in outbox/. The sentence to say, if any."""
        before, after = old.folder, new.folder
        if before[:1] != ("outbox",) or after[:1] != ("outbox",) or len(before) < 3 or len(after) < 3:
            raise Forbidden("Only files in a folder of outbox/ can be given another name.")
        if await self._look(self._tree.is_folder, old):
            raise Forbidden("Folders here cannot be renamed.")
        said = await self._run(
            self._threads.acts,
            self._exchange.amendments.rename, self._visitor, before[1:], old.name, after[1:], new.name,
        )  # fmt: skip
        kept = self._lately.pop(old.parts, None)
        if kept is not None:
            self._lately[new.parts] = kept
        return said

    async def remove(self, path: Path) -> str | None:
        """Take back or tidy away a file in outbox/. The sentence to say, if any."""
        folder = path.folder
        if folder[:1] != ("outbox",) or len(folder) < 3:
            await self._look(self._tree.look, path)
            raise Forbidden("This cannot be removed; it goes by itself when its time is over.")
        said = await self._run(
            self._threads.acts, self._exchange.amendments.remove, self._visitor, folder[1:], path.name
        )
        self._lately.pop(path.parts, None)
        return said

    async def make_folder(self, path: Path) -> None:
        """Never makes one: a folder that is there is said to be there, any other is not allowed."""
        if await self._look(self._tree.is_folder, path):
            raise Refused("This folder is already there.", code="EXISTS")
        raise Forbidden("Folders are made by the exchange: use the ones that are there.")


def attributes(node: Node) -> wire.Attributes:
    """A node as SFTP shows it."""
    return wire.Attributes(node.size, node.mode, int(node.at.timestamp()))
