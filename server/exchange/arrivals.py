"""Bytes arriving on one open handle: record files, in order within a bounded window, and small files that are acts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from server.domain.agreement import PolicySet
from server.domain.errors import Refused, SafehandError
from server.domain.findings import LISTED, Finding
from server.exchange.address import Address
from server.exchange.sessions import Visitor
from server.records import RecordCheck, RecordSummary
from server.seal.envelope import Sealing
from server.seal.keyring import SealingKey
from server.store.spool import Draft

WINDOW = 8 * 1024 * 1024
"""Bytes that may wait for a gap before them to be filled (some clients send out of order)."""
SMALL = 16 * 1024
_LOOK_EVERY = 4 * 1024 * 1024
"""Bytes after which the disk's room is looked at again: half of what is kept in reserve."""
BLOCKS = frozenset({4096, 8192, 16384, 30000, 32000, 32768, 65536, 131072, 261120, 262144})
"""Write sizes of known clients: a single write of just such a length may be the beginning of more."""


class Arrival(Protocol):
    """One handle that bytes arrive on."""

    on_room: Callable[[], None] | None

    @property
    def size(self) -> int: ...

    @property
    def failed(self) -> SafehandError | None: ...

    def write(self, offset: int, data: bytes) -> bool: ...


class Ignored:
    """What desktops write by themselves: accepted, and sent nowhere."""

    def __init__(self) -> None:
        self.on_room: Callable[[], None] | None = None
        self.size = 0
        self.failed: SafehandError | None = None

    def write(self, offset: int, data: bytes) -> bool:
        self.size = max(self.size, offset + len(data))
        return True


class Small:
    """A small file that is an act: NIL or a checksum. Kept in memory until it is closed."""

    def __init__(self, visitor: Visitor, address: Address, name: str) -> None:
        self.visitor, self.address, self.name = visitor, address, name
        self.on_room: Callable[[], None] | None = None
        self.failed: SafehandError | None = None
        self.content = bytearray()

    @property
    def size(self) -> int:
        return len(self.content)

    def write(self, offset: int, data: bytes) -> bool:
        if offset + len(data) > SMALL:
            self.failed = Refused("This file is too large for what its name says it is.", code="TOO_LARGE")
            raise self.failed
        self.content.extend(b"\0" * max(0, offset + len(data) - len(self.content)))
        self.content[offset : offset + len(data)] = data
        return True


@dataclass(frozen=True, slots=True)
class Target:
    """What an upload was decided to be when it was opened."""

    visitor: Visitor
    address: Address
    name: str
    staged: bool
    keys: tuple[SealingKey, ...]
    left_out: tuple[tuple[str, str], ...]
    """Members of a broadcast that cannot receive, each with the sentence why."""
    policy: PolicySet
    """As it was in force."""
    resume: bool = False
    """The client opened it to go on with what it believes is here."""


class Upload:
    """A record file on its way: in order, checked, sealed, written to a nameless file. It may outlive its handle."""

    def __init__(self, target: Target, draft: Draft, check: RecordCheck) -> None:
        self.target, self.draft, self.check = target, draft, check
        self.sealing: Sealing | None = None
        self.summary: RecordSummary | None = None
        """What the check said, once every byte had passed it."""
        self.on_room: Callable[[], None] | None = None
        self.size = 0
        self.failed: SafehandError | None = None
        self.committed = False
        """Its bytes belong to a consignment: they are not abandoned any more."""
        self.interrupted_at: float | None = None
        self.holder: Handle | None = None
        self._lock = threading.Lock()
        self._claimed = False
        self._waiting: dict[int, bytes] = {}
        self._waiting_bytes = 0
        self._writes = 0
        self._longest = 0
        self._last = (0, 0)

    def room(self) -> None:
        """Called by the sealing when it has room again."""
        if self.on_room is not None:
            self.on_room()

    def write(self, offset: int, data: bytes) -> bool:
        """Take the bytes at `offset`. False: wait for `on_room`. Raises what ended this upload."""
        if self.failed is not None:
            raise self.failed
        if not data:
            return True
        if self.check.refusals:
            raise self.fail(Refused(self.check.refusals[0].sentence, code=self.check.refusals[0].rule))
        if offset + len(data) > self.target.address.exchange.max_bytes:
            limit = self.target.address.exchange.max_bytes
            raise self.fail(Refused(f"The file is larger than the {limit:,} bytes agreed; split it.", code="TOO_LARGE"))
        if offset < self.size or offset in self._waiting:
            raise self.fail(
                Refused("This upload cannot be changed or continued; send the whole file again.", code="OVERLAP")
            )
        self._writes += 1
        self._longest = max(self._longest, len(data))
        self._last = max(self._last, (offset, len(data)))
        if offset > self.size:
            return self._wait(offset, data)
        room = self._feed(data)
        while self.size in self._waiting:
            waiting = self._waiting.pop(self.size)
            self._waiting_bytes -= len(waiting)
            room = self._feed(waiting)
        return room

    def _wait(self, offset: int, data: bytes) -> bool:
        self._waiting_bytes += len(data)
        if self._waiting_bytes > WINDOW or offset - self.size > WINDOW:
            raise self.fail(
                Refused(
                    "A part of the file is missing before this one; send the whole file again with put.", code="GAP"
                )
            )
        self._waiting[offset] = data
        return True

    def _feed(self, data: bytes) -> bool:
        if self.size // _LOOK_EVERY != (self.size + len(data)) // _LOOK_EVERY:
            self._require_disk()
        assert self.sealing is not None
        try:
            room = self.sealing.feed(data)
        except SafehandError as error:
            raise self.fail(error) from error
        self.size += len(data)
        return room

    def _require_disk(self) -> None:
        try:
            self.draft.require_room()
        except SafehandError as error:
            raise self.fail(error) from error

    def fail(self, error: SafehandError) -> SafehandError:
        """This upload is over; whoever writes or closes next is told the same."""
        if self.failed is None:
            self.failed = error
        return self.failed

    @property
    def has_gap(self) -> bool:
        return bool(self._waiting)

    @property
    def may_be_cut(self) -> bool:
        """Whether its last write is as long as its longest: what a client's own Ctrl-C looks like."""
        if self._writes <= 1:
            return self.size in BLOCKS
        return self._last[1] == self._longest

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What its sender is told of it when it is refused: what refuses it, then what would have been warned of."""
        refusals = self.check.refusals
        others = self.summary.findings if self.summary else ()
        return (*refusals, *(finding for finding in others if finding.severity == "warn"))[:LISTED]

    def claim(self) -> bool:
        """True for the first who ends this upload, by its close or by giving it up; nobody else may touch it then."""
        with self._lock:
            first, self._claimed = not self._claimed, True
        return first

    def give_way(self, error: SafehandError) -> None:
        """End it for a reason that its own client is told when it next writes or closes. Not while it is closing."""
        self.fail(error)
        if self.claim():
            self.abandon()

    def abandon(self) -> None:
        """Nothing of it remains: not gpg, not a file. For whoever claimed it."""
        if self.sealing is not None:
            self.sealing.abort()
        self.draft.discard()


class Handle:
    """One client's hold on an upload. A later handle on the same name takes the upload over; the earlier one fails."""

    def __init__(self, upload: Upload) -> None:
        self.upload = upload
        upload.holder = self
        upload.interrupted_at = None
        upload.on_room = None

    @property
    def on_room(self) -> Callable[[], None] | None:
        return self.upload.on_room

    @on_room.setter
    def on_room(self, call: Callable[[], None] | None) -> None:
        if self.upload.holder is self:
            self.upload.on_room = call

    @property
    def size(self) -> int:
        return self.upload.size

    @property
    def failed(self) -> SafehandError | None:
        if self.upload.holder is not self:
            return Refused("This upload was taken over by another session.", code="TAKEN_OVER")
        return self.upload.failed

    def write(self, offset: int, data: bytes) -> bool:
        if self.upload.holder is not self:
            raise Refused("This upload was taken over by another session.", code="TAKEN_OVER")
        return self.upload.write(offset, data)
