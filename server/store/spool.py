"""Sealed bytes on disk. An unfinished upload has no name at all where the file system can do that (O_TMPFILE).

Protocol (DESIGN 5): write, fsync, name it `<blob>.part`; commit the row; rename to `<blob>.sealed`; fsync the folder.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from server.domain.errors import Busy

PART, SEALED = ".part", ".sealed"
PIECE = 1024 * 1024
"""Bytes read at a time when a file is compared with its row."""
RESERVE = 8 * 1024 * 1024
"""Bytes that uploads leave free, so that the ledger, refusals and notices can still be written on a full disk."""
NO_SPACE = "The exchange's disk is full; nothing of this file was kept. Tell the administrator, then send it again."


@dataclass(slots=True)
class Draft:
    """A file that is being written: an open descriptor, and its name-to-be."""

    blob: str
    fd: int
    named: bool
    _spool: Spool = field(repr=False)

    def require_room(self) -> None:
        """Raises Busy when the disk is so full that only the record of what happens still fits."""
        free = os.fstatvfs(self.fd)
        if free.f_bavail * free.f_frsize < RESERVE:
            raise Busy(NO_SPACE, code="DISK_FULL")

    def discard(self) -> None:
        """Leave nothing behind. May be called twice, and after `settle`."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        if self.named:
            (self._spool.folder / (self.blob + PART)).unlink(missing_ok=True)
            self.named = False

    def settle(self) -> None:
        """Everything written is on disk under `<blob>.part`. Raises Busy when the disk says no."""
        try:
            os.fsync(self.fd)
            if not self.named:
                self._spool.name(self.fd, self.blob)
                self.named = True
            self._spool.sync()
        except OSError as error:
            raise trouble(error) from error

    def leave(self) -> None:
        """Let go of a settled file whose row may or may not be there: `recover` finishes or deletes it."""
        os.close(self.fd)
        self.fd, self.named = -1, False

    def place(self) -> None:
        """After the row is committed: give it its final name, and let go of the descriptor.

        A disk that says no changes nothing of what is true: the bytes are read under `.part` until the next look.
        """
        os.close(self.fd)
        self.fd, self.named = -1, False
        with suppress(OSError):
            self._spool.finish(self.blob)


@dataclass(frozen=True, slots=True)
class Found:
    """What a look through the spool found and did."""

    finished: tuple[str, ...]
    deleted: tuple[str, ...]
    strangers: tuple[str, ...]
    missing: tuple[str, ...]


class Spool:
    """A folder of sealed files. One process writes; names are random, never a client's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def draft(self) -> Draft:
        """A new, empty file. Raises Busy when the disk says no."""
        blob = secrets.token_hex(16)
        try:
            try:
                fd = os.open(self.folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
                named = False
            except OSError as error:
                if error.errno not in {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT}:
                    raise
                path = self.folder / (blob + PART)
                fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
                named = True
        except OSError as error:
            raise trouble(error) from error
        return Draft(blob, fd, named, self)

    def name(self, fd: int, blob: str) -> None:
        """Link a nameless file as `<blob>.part`."""
        here = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:  # with a folder's descriptor Python calls linkat, which alone follows /proc/self/fd
            os.link(f"/proc/self/fd/{fd}", blob + PART, dst_dir_fd=here, follow_symlinks=True)
        finally:
            os.close(here)

    def finish(self, blob: str) -> None:
        """`.part` becomes `.sealed`, durably."""
        os.rename(self.folder / (blob + PART), self.folder / (blob + SEALED))
        self.sync()

    def sync(self) -> None:
        """The folder's own entries are on disk."""
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def open(self, blob: str) -> int:
        """A read-only descriptor of a sealed file. Raises Busy when it is not there."""
        for ending in (SEALED, PART, SEALED):  # it may be renamed between two looks
            try:
                return os.open(self.folder / (blob + ending), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise trouble(error) from error
        raise Busy(
            "The sealed copy is not on the exchange's disk; the administrator has to look into it.", code="BLOB_MISSING"
        )

    def remove(self, blob: str) -> None:
        """The bytes are gone. Nothing happens if they were gone before."""
        for ending in (SEALED, PART):
            (self.folder / (blob + ending)).unlink(missing_ok=True)
        self.sync()

    def holds(self, blob: str) -> bool:
        """Whether any bytes of that name are there, finished or not."""
        return any((self.folder / (blob + ending)).exists() for ending in (SEALED, PART))

    def sealed(self) -> tuple[str, ...]:
        """The names of all finished files, sorted."""
        return tuple(sorted(path.stem for path in self.folder.iterdir() if path.suffix == SEALED))

    def measure(self, blob: str) -> tuple[int, str] | None:
        """Bytes and SHA-256 of a sealed file, read in pieces; None when there is none. Raises Busy."""
        if not self.holds(blob):
            return None
        fd = self.open(blob)
        try:
            size, digest = 0, hashlib.sha256()
            while piece := os.read(fd, PIECE):
                size += len(piece)
                digest.update(piece)
        except OSError as error:
            raise trouble(error) from error
        finally:
            os.close(fd)
        return size, digest.hexdigest()

    def recover(self, kept: Collection[str], gone: Collection[str], *, older_than: float = 0) -> Found:
        """Compare with the rows. `kept`: blobs with a row; `gone`: blobs whose rows say that they are purged.

        At start no upload is open; later, only files `older_than` seconds are looked at.

        A `.part` without a row is deleted, one with a row is finished; a `.sealed` without a row is reported and left.
        """
        finished, deleted, strangers, present = [], [], [], set()
        for path in sorted(self.folder.iterdir()):
            blob = path.stem
            if path.suffix not in {PART, SEALED}:
                continue
            if older_than and time.time() - path.stat().st_mtime < older_than:
                present.add(blob)
                continue
            if blob in gone or (path.suffix == PART and blob not in kept):
                path.unlink()
                deleted.append(blob)
            elif path.suffix == PART:
                self.finish(blob)
                finished.append(blob)
                present.add(blob)
            elif blob in kept:
                present.add(blob)
            else:
                strangers.append(blob)
        self.sync()
        return Found(tuple(finished), tuple(deleted), tuple(strangers), tuple(sorted(set(kept) - present)))


def trouble(error: OSError) -> Busy:
    """A disk's error as a sentence for the person who waits."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Busy(NO_SPACE, code="DISK_FULL")
    return Busy(
        "The exchange cannot write to its disk; nothing of this file was kept. Try again later.", code="DISK_ERROR"
    )
