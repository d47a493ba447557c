"""SFTP version 3 as bytes: requests in, replies out. Pure; nothing in here knows a file, a person or a connection.

Source: draft-ietf-secsh-filexfer-02, and OpenSSH's PROTOCOL file for the extensions.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass

INIT, VERSION = 1, 2
OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT, SETSTAT, FSETSTAT = 3, 4, 5, 6, 7, 8, 9, 10
OPENDIR, READDIR, REMOVE, MKDIR, RMDIR, REALPATH, STAT, RENAME = 11, 12, 13, 14, 15, 16, 17, 18
STATUS, HANDLE, DATA, NAME, ATTRS = 101, 102, 103, 104, 105
EXTENDED, EXTENDED_REPLY = 200, 201

OK, EOF, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, BAD_MESSAGE = 0, 1, 2, 3, 4, 5
OP_UNSUPPORTED = 8

OPEN_READ, OPEN_WRITE, OPEN_APPEND, OPEN_CREATE, OPEN_TRUNCATE, OPEN_EXCLUSIVE = 1, 2, 4, 8, 16, 32

PATH_BYTES = 4096
"""The longest path that is looked at."""
HANDLE_BYTES = 16
WORD_BYTES = 256
"""The longest name of an extension."""
BLOCK_BYTES = 256 * 1024
"""The most that one READ gives; pkg/sftp loses data when a server gives less than a client's configured packet."""
PACKET_BYTES = 1024 * 1024
"""The longest packet that is taken; OpenSSH's server takes a quarter of it."""
HANDLES = 64

EXTENSIONS: tuple[tuple[bytes, bytes], ...] = (
    (b"posix-rename@openssh.com", b"1"),
    (b"statvfs@openssh.com", b"2"),
    (b"fstatvfs@openssh.com", b"2"),
    (b"lsetstat@openssh.com", b"1"),
    (b"limits@openssh.com", b"1"),
)


class Malformed(Exception):
    """The packet is shorter than it says, or a field is longer than anything we take."""


class Request:
    """Reads one packet's fields in order. What follows them is ignored, as by OpenSSH (rclone 1.60 sends more)."""

    __slots__ = ("_at", "_buffer", "_end", "kind", "number")

    def __init__(self, buffer: bytes, start: int, end: int) -> None:
        self._buffer, self._at, self._end = buffer, start, end
        self.kind = self.byte()
        self.number = self.u32()

    def _take(self, size: int) -> int:
        at = self._at
        if at + size > self._end:
            raise Malformed
        self._at = at + size
        return at

    def byte(self) -> int:
        return self._buffer[self._take(1)]

    def u32(self) -> int:
        at = self._take(4)
        return int.from_bytes(self._buffer[at : at + 4], "big")

    def u64(self) -> int:
        at = self._take(8)
        return int.from_bytes(self._buffer[at : at + 8], "big")

    def string(self, limit: int) -> bytes:
        """A string of at most `limit` bytes. Raises Malformed."""
        size = self.u32()
        if size > limit:
            raise Malformed
        at = self._take(size)
        return self._buffer[at : at + size]


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a listing shows: size in bytes, POSIX mode with its type bits, time in seconds since 1970."""

    size: int
    mode: int
    seconds: int

    def encode(self) -> bytes:
        """Flags SIZE, UIDGID, PERMISSIONS and ACMODTIME; times stop at what 32 bits hold."""
        seconds = min(max(self.seconds, 0), 0xFFFFFFFF)
        return struct.pack(">IQIIIII", 0x0F, self.size, 0, 0, self.mode, seconds, seconds)


@dataclass(frozen=True, slots=True)
class Name:
    """One line of a listing."""

    name: bytes
    attributes: Attributes
    longname: bytes = b""

    def encode(self) -> bytes:
        return text(self.name) + text(self.longname or self.name) + self.attributes.encode()


def text(value: bytes) -> bytes:
    """A string field."""
    return len(value).to_bytes(4, "big") + value


def status(code: int, sentence: str = "") -> bytes:
    """The body of a STATUS."""
    return code.to_bytes(4, "big") + text(sentence.encode()) + text(b"en" if sentence else b"")


def names(listed: Sequence[Name]) -> bytes:
    """The body of a NAME."""
    return len(listed).to_bytes(4, "big") + b"".join(name.encode() for name in listed)


def version() -> bytes:
    """The body of a VERSION: 3, and what we answer beyond it."""
    return (3).to_bytes(4, "big") + b"".join(text(name) + text(data) for name, data in EXTENSIONS)


def limits() -> bytes:
    """The body of the answer to limits@openssh.com: packet, read and write in bytes, handles."""
    return struct.pack(">QQQQ", BLOCK_BYTES + 1024, BLOCK_BYTES, BLOCK_BYTES, HANDLES)


def file_system() -> bytes:
    """The body of the answer to statvfs@openssh.com: a volume with room, without an inode or a quota to speak of."""
    block, room = 4096, 1 << 28
    return struct.pack(">11Q", block, block, room, room, room, 1 << 20, 1 << 20, 1 << 20, 0, 2, 255)


def longname(name: bytes, attributes: Attributes, owner: str, when: str) -> bytes:
    """The line that `ls -l` shows, for clients that take it as it is (OpenSSH) or read it (older ones)."""
    mode = stat.filemode(attributes.mode)
    return f"{mode}    1 {owner:<8.8} {owner:<8.8} {attributes.size:>12} {when} ".encode() + name
