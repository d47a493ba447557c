"""One upload's way through gpg: signed and encrypted in the stream, for many at once, and never plaintext on a disk.

What goes wrong at any point ends gpg and is said once, as a SealError. Only a run that gpg, its status, its return
code, our own flag and the packets all call good yields a Sealed.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from server.domain.errors import places_of
from server.seal.exchange_key import ExchangeKey
from server.seal.gpg import SealError, stderr_of
from server.seal.keyring import Keyring, SealingKey
from server.seal.packets import BadPackets, KeyPacket, joined, split

log = structlog.get_logger("seal")
ROOM = 2 * 1024 * 1024
"""Bytes waiting for gpg above which the sender is asked to pause."""

FINISH_SECONDS = 120.0
"""How long gpg may take over what is left after the last byte was fed."""

ABORT_SECONDS = 5.0
"""How long `abort` waits for the threads of a killed gpg. They touch nothing of the caller's afterwards in any case."""

_ARGUMENTS = ("--compress-algo", "none", "--digest-algo", "SHA256", "--cipher-algo", "AES256", "--set-filename", "")


@dataclass(frozen=True, slots=True)
class Sealed:
    """What came of one upload. Hashes are SHA-256 in lower-case hex, sizes are bytes.

    `key_packets[member] + payload` is a whole OpenPGP message for that member: encrypted, and signed by the exchange.
    """

    sha256: str
    size: int
    payload_sha256: str
    payload_size: int
    key_packets: Mapping[str, bytes]


class Sealing:
    """One upload's gpg run, started at once. Every method may be called from any thread, and none but `finish` waits.

    Four threads live with it (one of ours, three of python-gnupg), no pool: paused uploads cannot starve others.
    """

    def __init__(
        self,
        keyring: Keyring,
        exchange_key: ExchangeKey,
        keys: Sequence[SealingKey],
        out: int,
        *,
        taps: Sequence[Callable[[bytes], None]] = (),
        on_room: Callable[[], None] | None = None,
        room: int = ROOM,
    ) -> None:
        """Start sealing to `keys`, writing the payload to the file descriptor `out` (used through a copy of our own).

        `taps` see the plaintext in order, in pieces, on the sealing's thread; one that raises fails the sealing and is
        the error's cause. `on_room` is called from a thread of the sealing. Raises SealError (no recipients, no gpg).
        """
        self._members = _members_by_key_id(keys)
        self._signer = exchange_key.fingerprint
        self._taps, self._on_room, self._room = tuple(taps), on_room, room
        self._lock = threading.Lock()
        self._more = threading.Condition(self._lock)
        self._waiting: deque[bytes] = deque()
        self._held = 0
        self._full = self._closed = self._stopped = False
        self._failed: SealError | None = None
        self._sealed: Sealed | None = None
        self._plain, self._plain_size = hashlib.sha256(), 0
        self._payload, self._payload_size = hashlib.sha256(), 0
        self._prefix = b""
        self._key_packets: tuple[KeyPacket, ...] = ()
        self._run = exchange_key.sealer(keyring).one_run(self._take)
        self._recipients = sorted({f"{fingerprint}!" for key in keys for fingerprint in key.subkeys})
        self._out = _own(out)
        self._thread = threading.Thread(target=self._work, name="seal", daemon=True)
        self._thread.start()

    @property
    def failed(self) -> SealError | None:
        """Why this sealing cannot succeed, as soon as that is known."""
        return self._failed

    def feed(self, data: bytes) -> bool:
        """Hand over the next bytes of plaintext; never blocks. False: pause until `on_room`.

        Raises the SealError of a sealing that failed, or one that says that it has been finished or given up.
        A caller that has paused for longer than it likes calls `abort`.
        """
        with self._lock:
            self._refuse_ended()
            if data:
                self._waiting.append(data)
                self._held += len(data)
                self._more.notify_all()
            if self._held > self._room:
                self._full = True
            return not self._full

    def finish(self) -> Sealed:
        """Say that there is no more, wait for gpg, and judge what it made. May be repeated. Does not fsync `out`.

        Raises SealError, after which nothing runs and what is in `out` is worthless.
        """
        with self._lock:
            self._closed = True
            self._more.notify_all()
        self._thread.join(FINISH_SECONDS)
        if self._thread.is_alive():
            self._fail(SealError("Sealing took too long and was given up: send the file again.", code="GPG_HUNG"))
            self._thread.join(ABORT_SECONDS)
        if self._failed is not None:
            raise self._failed
        if self._sealed is None:
            raise SealError("This upload was given up: send the file again.", code="ABORTED")
        return self._sealed

    def abort(self) -> None:
        """Give up: gpg is killed, nothing more is written, nothing is raised. After a good finish: nothing."""
        with self._lock:
            self._stop()
        self._run.end()
        if threading.current_thread() is not self._thread:
            self._thread.join(ABORT_SECONDS)

    # -- the sealing's own threads

    def read(self, size: int) -> bytes:
        """For python-gnupg's copying thread: what has been fed, about `size` bytes at most; empty at the end."""
        chunk, has_room = self._next(size)
        if has_room:
            self._call(self._on_room)
        if not chunk:
            return b""
        self._plain.update(chunk)
        self._plain_size += len(chunk)
        for tap in self._taps:
            self._call(tap, chunk)
        return b"" if self._stopped else chunk

    def _next(self, size: int) -> tuple[bytes, bool]:
        with self._more:
            self._more.wait_for(lambda: self._waiting or self._closed or self._stopped)
            parts: list[bytes] = []
            taken = 0
            while self._waiting and taken < size:
                parts.append(self._waiting.popleft())
                taken += len(parts[-1])
            self._held -= taken
            has_room = self._full and self._held < self._room // 2
            if has_room:
                self._full = False
            return (parts[0] if len(parts) == 1 else b"".join(parts)), has_room

    def _call(self, other: Callable[..., None] | None, *arguments: bytes) -> None:
        """Call code that is not ours, which is not meant to raise. Whatever it does raise ends this sealing first.

        Let through, it would end gpg's input, and gpg would finish a valid message of half the file; python-gnupg would
        raise it again in its own thread, where its text, which may hold a value of the file, is printed.
        """
        if other is None:
            return
        try:
            other(*arguments)
        except BaseException as fault:  # noqa: BLE001  the sealing's loop: recorded by a number, and the sender told it
            number = secrets.token_hex(4)
            log.error("seal.unforeseen", number=number, kind=type(fault).__name__, places=places_of(fault))
            self._fail_because(
                "The exchange could not look at this file, and kept nothing of it: send it again, then tell your "
                f"administrator the number {number}.",
                "TAP",
                fault,
            )

    def _take(self, data: bytes) -> bool:
        """For python-gnupg's reading thread: a piece of gpg's output. Never raises; False: keep nothing of it."""
        if data and not self._stopped:
            try:
                self._keep(data)
            except BadPackets as fault:
                self._fail_because(
                    "gpg wrote something else than a sealed message: run `safehand doctor`.", "PACKETS", fault
                )
            except OSError as fault:
                sentence = "The exchange has no room to keep this file: nothing was kept, send it again later."
                self._fail_because(sentence, "DISK", fault)
        return False

    def _keep(self, data: bytes) -> None:
        if not self._key_packets:
            self._prefix += data
            prefix = split(self._prefix)
            if prefix is None:
                return
            self._key_packets = prefix.key_packets
            data, self._prefix = self._prefix[prefix.payload_at :], b""
            self._refuse_other_recipients()
        self._payload.update(data)
        self._payload_size += len(data)
        rest = memoryview(data)
        while rest and not self._stopped:
            rest = rest[os.write(self._out, rest) :]

    def _refuse_other_recipients(self) -> None:
        found = [packet.key_id for packet in self._key_packets]
        if sorted(found) != sorted(self._members):
            raise BadPackets("the recipients in the message are not those decided")

    def _work(self) -> None:
        try:
            result = self._run.encrypt_file(
                self,
                self._recipients,
                sign=True,
                always_trust=False,  # it is among the options of every run
                armor=False,
                extra_args=["--local-user", f"{self._signer}!", *_ARGUMENTS],
            )
            self._judge(result)
        except (OSError, ValueError) as fault:
            self._fail_because("Sealing this file failed: send it again, or run `safehand doctor`.", "GPG", fault)
        finally:
            with self._lock:
                self._stop()
            os.close(self._out)

    def _judge(self, result: Any) -> None:
        said = stderr_of(result)
        if "[GNUPG:] INV_RECP" in said or "[GNUPG:] INV_SGNR" in said:
            self._fail(SealError("gpg refused a key that the policy holds: run `safehand doctor`.", code="KEY_REFUSED"))
            return
        signed = [line.split()[-1] for line in said.splitlines() if line.startswith("[GNUPG:] SIG_CREATED ")]
        whole = (
            result.ok
            and result.returncode == 0
            and result.status == "encryption ok"
            and signed == [self._signer]
            and self._closed
            and self._key_packets
            and self._payload_size > self._plain_size
        )
        if not whole:
            self._fail(SealError("Sealing this file failed: send it again, or run `safehand doctor`.", code="GPG"))
            return
        with self._lock:
            if self._stopped or self._waiting:
                return
            self._sealed = Sealed(
                sha256=self._plain.hexdigest(),
                size=self._plain_size,
                payload_sha256=self._payload.hexdigest(),
                payload_size=self._payload_size,
                key_packets=self._packets_of_members(),
            )

    def _packets_of_members(self) -> dict[str, bytes]:
        members = sorted({member for those in self._members.values() for member in those})
        return {
            member: joined(self._key_packets, frozenset(key for key, those in self._members.items() if member in those))
            for member in members
        }

    # -- endings

    def _refuse_ended(self) -> None:
        if self._failed is not None:
            raise self._failed
        if self._stopped or self._closed:
            raise SealError("This upload has ended: send the file again.", code="ABORTED")

    def _stop(self) -> bool:
        """With the lock held: nothing more goes in or out. Whether the sender was waiting for room."""
        waited = self._full
        self._stopped, self._full, self._held = True, False, 0
        self._waiting.clear()
        self._more.notify_all()
        return waited

    def _fail(self, error: SealError) -> None:
        """The first failure counts. gpg is killed before its input ends: else it finishes a valid, shorter message."""
        with self._lock:
            if self._stopped:
                return
            self._failed = error
            waited = self._stop()
        self._run.end()
        if waited:
            self._call(self._on_room)

    def _fail_because(self, sentence: str, code: str, fault: BaseException) -> None:
        error = SealError(sentence, code=code)
        error.__cause__ = fault
        self._fail(error)


def _own(out: int) -> int:
    """A copy of the caller's descriptor: closing the caller's, and its number going to another file, cannot harm."""
    try:
        return os.dup(out)
    except OSError as fault:
        raise SealError("The exchange has too many files open: send this one again later.", code="DISK") from fault


def _members_by_key_id(keys: Sequence[SealingKey]) -> dict[str, frozenset[str]]:
    """Key id (the last 16 digits of a fingerprint, as key packets carry it) -> the members whose key that is."""
    members: dict[str, frozenset[str]] = {}
    fingerprints: dict[str, str] = {}
    for key in keys:
        for fingerprint in key.subkeys:
            key_id = fingerprint[-16:]
            if fingerprints.setdefault(key_id, fingerprint) != fingerprint:
                raise SealError("Two different keys have the same key id: one of them must be replaced.", code="KEY_ID")
            members[key_id] = members.get(key_id, frozenset()) | {key.member}
    if not members:
        raise SealError("There is no key to seal this file to: nothing was kept.", code="NO_RECIPIENT")
    return members
