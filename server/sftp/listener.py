"""The door: public keys of the policy and nothing else; who came in is who the key that signed says."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import asyncssh
import structlog

from server.domain.errors import Misconfigured, SafehandError
from server.exchange.sessions import TurnedAway, Visitor
from server.sftp import limits
from server.sftp.adapter import Channel
from server.sftp.limits import Gate, Throttle
from server.sftp.mailbox import Mailbox
from server.sftp.threads import Threads
from server.sftp.tuning import tune

if TYPE_CHECKING:
    from server.exchange import Exchange

log = structlog.get_logger("sftp")

Profile = Literal["modern", "strict"]
STRICT_KEX = ("mlkem768x25519-sha256",)
MODERN_KEX = (*STRICT_KEX, "curve25519-sha256", "curve25519-sha256@libssh.org")
CIPHERS = ("aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "aes256-ctr", "aes192-ctr", "aes128-ctr")
MACS = ("hmac-sha2-512-etm@openssh.com", "hmac-sha2-256-etm@openssh.com")
CLIENT_KEYS = (
    "ssh-ed25519", "sk-ssh-ed25519@openssh.com", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com", "rsa-sha2-512", "rsa-sha2-256",
)  # fmt: skip
WATCH_SECONDS = 1.0
WINDOW_BYTES = 4 * 1024 * 1024
PACKET_BYTES = 128 * 1024
CLOSE_SECONDS = 4.0


def ensure_host_key(path: Path) -> Path:
    """The SSH host key at `path`, made there (ed25519, mode 0600, its public line in `path`.pub) when there is none.

    Raises Misconfigured when others than the owner and the group can read it, or when it cannot be made.
    """
    try:
        if not path.exists():
            _make_host_key(path)
        mode = path.stat().st_mode & 0o777
    except OSError as error:
        raise Misconfigured(f"The SSH host key cannot be read or made: {error.strerror}.", code="HOST_KEY") from error
    if mode & 0o007:
        raise Misconfigured(
            "The SSH host key can be read by everybody on this machine: chmod 600 it, and replace it if others use it.",
            code="HOST_KEY",
        )
    public = Path(f"{path}.pub")
    if not public.exists():
        public.write_bytes(_read_key(path).export_public_key())
    return path


def _make_host_key(path: Path) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519", comment="Safehand")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key.export_private_key())
        file.flush()
        os.fsync(file.fileno())


def _read_key(path: Path) -> asyncssh.SSHKey:
    try:
        return asyncssh.read_private_key(str(path))
    except (asyncssh.KeyImportError, OSError):
        raise Misconfigured("The SSH host key is not a private key without a passphrase.", code="HOST_KEY") from None


def _host_keys(paths: Sequence[Path]) -> list[asyncssh.SSHKeyPair]:
    """Loaded once: a key given as a path is read again for every connection."""
    pairs: list[asyncssh.SSHKeyPair] = []
    for path in paths:
        for pair in asyncssh.load_keypairs([_read_key(ensure_host_key(path))]):
            if pair.algorithm == b"ssh-rsa":
                pair.host_key_algorithms = [b"rsa-sha2-512", b"rsa-sha2-256"]  # never the SHA-1 name
            pairs.append(pair)
    return pairs


class Listener:
    """Accepts SFTP clients for one exchange. Start once, close once, in the same event loop."""

    def __init__(self) -> None:
        self.port = 0
        self.gate: Gate[Connection] = Gate()
        self.throttle = Throttle()
        self.connections: set[Connection] = set()
        self._acceptor: asyncssh.SSHAcceptor | None = None
        self._watch: asyncio.Task[None] | None = None
        self.threads = Threads()
        self.unwritten_seconds = limits.UNWRITTEN_SECONDS

    async def start(
        self, exchange: Exchange, host: str, port: int, host_keys: Sequence[Path], profile: Profile = "modern"
    ) -> None:
        """Listen on `host`:`port` (0: any free one, then in `self.port`). Raises OSError and Misconfigured."""
        asyncssh.set_log_level("WARNING")
        pairs = await asyncio.to_thread(_host_keys, host_keys)
        self._acceptor = await asyncssh.listen(
            host, port, server_factory=lambda: Connection(self, exchange), server_host_keys=pairs,
            kex_algs=STRICT_KEX if profile == "strict" else MODERN_KEX,
            encryption_algs=CIPHERS, mac_algs=MACS, signature_algs=CLIENT_KEYS, compression_algs=None,
            public_key_auth=True, password_auth=False, kbdint_auth=False, host_based_auth=False, gss_host=None,
            allow_pty=False, allow_scp=False, agent_forwarding=False, x11_forwarding=False, line_editor=False,
            login_timeout=limits.LOGIN_SECONDS, keepalive_interval=30, keepalive_count_max=3, encoding=None,
            server_version="Safehand", window=WINDOW_BYTES, max_pktsize=PACKET_BYTES, backlog=256,
            rekey_bytes=1 << 30,
        )  # fmt: skip
        self.port = self._acceptor.get_port()
        self._watch = asyncio.create_task(self._keep_watch())

    async def _keep_watch(self) -> None:
        """Every second: whoever is not welcome any more, or asleep too long, is shown out."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            for connection in list(self.connections):
                connection.check()

    async def close(self) -> None:
        """Stop accepting, end every connection, and wait (some seconds) until what they had open is interrupted."""
        if self._acceptor is not None:
            self._acceptor.close()
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        endings = [channel.ended for connection in self.connections for channel in connection.channels]
        for connection in list(self.connections):
            connection.end("The server is closing.")
        if endings:
            await asyncio.wait(endings, timeout=CLOSE_SECONDS)
        self.threads.shutdown()


class Connection(asyncssh.SSHServer):
    """One client's connection: at the door until a key signed, then the visitor's."""

    def __init__(self, listener: Listener, exchange: Exchange) -> None:
        self._listener, self._exchange = listener, exchange
        self._loop = asyncio.get_running_loop()
        self._conn: asyncssh.SSHServerConnection | None = None
        self._address = ""
        self._tries = self._rounds = 0
        self._proved: tuple[str, Visitor | TurnedAway] | None = None
        self.visitor: Visitor | None = None
        self.channels: set[Channel] = set()
        self._last_heard = self._loop.time()

    # -- what asyncssh calls

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._conn = conn
        peer = conn.get_extra_info("peername")
        self._address = str(peer[0]) if peer else ""
        in_the_way = self._listener.gate.arrive(self._address, self)
        if in_the_way is not None:
            in_the_way.make_way()
        self._listener.connections.add(self)
        tune(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave_door()
        if self.visitor is not None:
            self._listener.gate.leave(self.visitor.person.id)
            log.info("sftp.left", person=self.visitor.person.id)
        self._listener.connections.discard(self)

    def begin_auth(self, username: str) -> bool:
        """Always True: False would let everybody in."""
        return True

    def public_key_auth_supported(self) -> bool:
        """Asked at every log-in message, which is where they are counted."""
        self._rounds += 1
        if self._rounds > limits.ROUNDS:
            self._abort("sftp.too_many_rounds")
        return True

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Whether the policy knows this key for this person, from this address. asyncssh checks the signature next.

        Who may not log in although their key is known is told why only after that.
        """
        wait = self._listener.throttle.wait(self._address, username, self._loop.time())
        if wait:
            await asyncio.sleep(wait)
        found = self._exchange.sessions.admit(username, key.get_fingerprint(), self._address)
        if found is None:
            self._proved = None
            self._refuse(username)
            return False
        self._proved = (username, found)
        return True

    def _refuse(self, username: str) -> None:
        self._listener.throttle.failed(self._address, username, self._loop.time())
        self._tries += 1
        if self._tries >= limits.TRIES and self._conn is not None:
            log.info("sftp.too_many_keys")
            self._conn.disconnect(
                asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE,
                "Too many keys were offered: choose one (IdentitiesOnly=yes).",
            )

    def auth_completed(self) -> None:
        """The key last looked at has signed: nothing runs between its check, the signature's and this."""
        self._leave_door()
        proved, conn = self._proved, self._conn
        if proved is None or conn is None or conn.get_extra_info("username") != proved[0]:
            self._abort("sftp.nobody_proved")
            return
        visitor = proved[1]
        if isinstance(visitor, TurnedAway):
            self._turn_away(visitor, conn)
            return
        if not self._listener.gate.enter(visitor.person.id):
            log.warning("sftp.too_many_connections", person=visitor.person.id)
            conn.disconnect(asyncssh.DISC_TOO_MANY_CONNECTIONS, "You have 20 connections already: close some first.")
            return
        self.visitor = visitor
        self._listener.throttle.succeeded(self._address, proved[0])
        log.info("sftp.came", person=self.visitor.person.id)

    def _turn_away(self, turned: TurnedAway, conn: asyncssh.SSHServerConnection) -> None:
        """The plain reason, and one entry in the ledger; it counts as a failed log-in."""
        log.info("sftp.turned_away", person=turned.person, codes=turned.codes)
        self._listener.throttle.failed(self._address, turned.person, self._loop.time())
        conn.disconnect(asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, f"You cannot log in. {turned.sentence}")
        self._loop.run_in_executor(self._listener.threads.acts, self._write_down, turned)

    def _write_down(self, turned: TurnedAway) -> None:
        try:
            self._exchange.sessions.record(turned)
        except SafehandError as error:
            log.warning("sftp.refusal_unrecorded", person=turned.person, code=error.code)

    def session_requested(self) -> Channel:
        """A channel for SFTP; whatever else is asked of it is refused there."""
        visitor = self.visitor
        if visitor is None or not self._exchange.sessions.welcome(visitor):
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "Access has ended.")
        if len(self.channels) >= limits.CHANNELS:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, "Too many channels are open.")
        channel = Channel(lambda: Mailbox(self._exchange, visitor, self._listener.threads), self)
        self.channels.add(channel)
        return channel

    # -- what its channels tell it

    def heard(self) -> None:
        self._last_heard = self._loop.time()

    def gone(self, channel: Channel) -> None:
        self.channels.discard(channel)

    # -- ending

    def check(self) -> None:
        """End it if its visitor is not welcome any more, or nothing was heard for a quarter of an hour.

        An upload that nothing is written to ends alone, whatever else the client says meanwhile.
        """
        if self.visitor is None:
            return
        if not self._exchange.sessions.welcome(self.visitor):
            log.info("sftp.shown_out", person=self.visitor.person.id)
            for channel in list(self.channels):
                channel.abandon()
            self.end(self._exchange.sessions.farewell(self.visitor))
            return
        for channel in self.channels:
            channel.let_lapse(self._listener.unwritten_seconds)
        working = any(channel.working for channel in self.channels)
        if not working and self._loop.time() - self._last_heard > limits.IDLE_SECONDS:
            self.end("Nothing was heard for 15 minutes.")

    def end(self, reason: str) -> None:
        """Disconnect; what is open is interrupted."""
        if self._conn is not None:
            self._conn.disconnect(asyncssh.DISC_BY_APPLICATION, reason)

    def _abort(self, why: str) -> None:
        log.warning(why)
        if self._conn is not None:
            self._conn.abort()

    def make_way(self) -> None:
        """It waited longest at a full door and proved nothing: somebody else has its place."""
        self._abort("sftp.door_full")

    def _leave_door(self) -> None:
        self._listener.gate.leave_door(self._address, self)
