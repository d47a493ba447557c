"""What is measured, each the same act by the same client on both servers. Seconds, or bytes for memory."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import asyncssh
from servers import Account, BenchError, OpenSsh, Partner, Safehand

from server.cli.examples import many

MIB = 1024 * 1024
VISIBLE_SECONDS = 60.0
RECORD_COLUMNS = (
    "given_name", "family_name", "dob", "activity_code", "address", "postcode", "uln", "phone_1", "phone_2", "phone_3",
    "email", "activity_start", "establishment_name", "qualification_type",
)  # fmt: skip
"""The columns of row A1 as the written agreement has them."""


class Payload:
    """A file of random bytes whose first bytes differ at every use, so that nothing is ever "already received"."""

    def __init__(self, path: Path, size: int) -> None:
        """Writes `size` bytes to `path`."""
        self.path = path
        self._used = 0
        with path.open("wb") as out:
            while size > 0:
                out.write(os.urandom(min(size, 8 * MIB)))
                size -= 8 * MIB

    def renewed(self) -> Path:
        """The same file with other first bytes."""
        self._used += 1
        with self.path.open("r+b") as out:
            out.write(self._used.to_bytes(16, "big"))
        return self.path


class Records(Payload):
    """A file of invented records, as agreed for one exchange; the first row differs at every use."""

    def __init__(self, path: Path, size: int) -> None:
        """Writes at least `size` bytes to `path`."""
        self.path = path
        self._used = 0
        with path.open("wb") as out:
            for piece in many(RECORD_COLUMNS, size, 1):
                out.write(piece)
        self.size = path.stat().st_size
        self._at = path.read_bytes()[:4096].index(b"\r\n") + 2

    def renewed(self) -> Path:
        """The same file with another first letter of the first name."""
        self._used += 1
        with self.path.open("r+b") as out:
            out.seek(self._at)
            out.write(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"[self._used % 26 :][:1])
        return self.path


async def _connect(stack: AsyncExitStack, account: Account) -> asyncssh.SFTPClient:
    connection = await stack.enter_async_context(
        asyncssh.connect(
            "127.0.0.1",
            account.port,
            username=account.user,
            client_keys=[str(account.key)],
            known_hosts=str(account.known_hosts),
            agent_path=None,
            config=None,
        )
    )
    return await stack.enter_async_context(connection.start_sftp_client())


# ---------------------------------------------------------------- put and get


def put(account: Account, source: Path, target: str) -> float:
    """Seconds of one `sftp put`, log-in included."""
    began = time.monotonic()
    account.sftp(f'put "{source}" "{target}"')
    return time.monotonic() - began


def get(account: Account, source: str, target: Path) -> float:
    """Seconds of one `sftp get`, log-in included; the local copy is removed."""
    began = time.monotonic()
    account.sftp(f'get "{source}" "{target}"')
    seconds = time.monotonic() - began
    target.unlink()
    return seconds


async def _sealed_files(client: asyncssh.SFTPClient, folder: str) -> set[str]:
    try:
        names = await client.listdir(folder)
    except asyncssh.SFTPNoSuchFile:
        return set()
    return {str(name) for name in names if str(name).endswith(".gpg")}


async def _appears(client: asyncssh.SFTPClient, folder: str, known: set[str]) -> str:
    deadline = time.monotonic() + VISIBLE_SECONDS
    while time.monotonic() < deadline:
        if new := await _sealed_files(client, folder) - known:
            return f"{folder}/{new.pop()}"
        await asyncio.sleep(0.02)
    raise BenchError(f"nothing new in {folder} after {VISIBLE_SECONDS:.0f} seconds")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One file on its way into inboxes; both times count from the start of the put."""

    put_seconds: float
    visible_seconds: float
    path: str
    """Where the first partner finds it."""


def put_until_visible(safehand: Safehand, partners: Sequence[Partner], source: Path, target: str) -> Arrival:
    """One `sftp put`, watched until each of these partners lists the sealed file."""

    async def measure() -> Arrival:
        async with AsyncExitStack() as stack:
            clients = [await _connect(stack, partner.account) for partner in partners]
            known = [await _sealed_files(client, safehand.inbox()) for client in clients]
            began = time.monotonic()
            put_seconds = await asyncio.to_thread(put, safehand.account, source, target)
            pairs = zip(clients, known, strict=True)
            found = await asyncio.gather(*(_appears(client, safehand.inbox(), seen) for client, seen in pairs))
            return Arrival(put_seconds, time.monotonic() - began, found[0])

    return asyncio.run(measure())


# ---------------------------------------------------------------- broadcast, the way it is done by hand


QUICK = ("--compress-algo", "none", "--digest-algo", "SHA256")
"""gpg as quick as it can be, which is how Safehand runs it: no compression, and a digest that processors compute."""
AS_IT_COMES: tuple[str, ...] = ()
"""gpg's own defaults: it compresses whatever it is given."""


class Keyring:
    """A signing key and the partners' public keys in one GNUPGHOME, as somebody who seals by hand has them."""

    def __init__(self, home: Path, partners: Sequence[Partner]) -> None:
        """Makes an ed25519 key to sign with, as the exchange's is, and imports each partner's first key."""
        home.mkdir(mode=0o700)
        self.home = home
        unattended = ("--pinentry-mode", "loopback", "--passphrase", "")
        self._gpg(home, *unattended, "--quick-generate-key", "By hand <sender@example.org>", "ed25519", "sign")
        self.fingerprints = [self._import(partner.gnupg_home) for partner in partners]

    def _import(self, home: Path) -> str:
        # an own key, not one that the person imported: those are in the list of secret keys
        secret = self._gpg(home, "--with-colons", "--list-secret-keys").decode()
        fingerprint = next(line.split(":")[9] for line in secret.splitlines() if line.startswith("fpr"))
        exported = self._gpg(home, "--export", fingerprint)
        self._gpg(self.home, "--import", stdin=exported)
        return fingerprint

    @staticmethod
    def _gpg(home: Path, *arguments: str, stdin: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", str(home), "--batch", "--quiet", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, check=False)
        if done.returncode != 0:
            raise BenchError(f"gpg failed: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def seal_for_each(self, source: Path, options: Sequence[str]) -> None:
        """One `gpg --sign --encrypt` for each partner, with these options."""
        outputs = [source.with_name(f"{source.name}.{number}.gpg") for number in range(len(self.fingerprints))]
        try:
            for fingerprint, output in zip(self.fingerprints, outputs, strict=True):
                to_whom = ["--trust-model", "always", *options, "--recipient", fingerprint]
                self._gpg(self.home, *to_whom, "--output", str(output), "--sign", "--encrypt", str(source))
        finally:
            for output in outputs:
                output.unlink(missing_ok=True)


def put_then_seal(openssh: OpenSsh, keyring: Keyring, source: Path, name: str, options: Sequence[str]) -> float:
    """Seconds of one `sftp put` and then a gpg run with these options for each partner."""
    target = openssh.target(name)
    began = time.monotonic()
    put(openssh.account, source, target)
    keyring.seal_for_each(Path(target), options)
    seconds = time.monotonic() - began
    Path(target).unlink()
    return seconds


# ---------------------------------------------------------------- log-ins


def logins(server: OpenSsh | Safehand, number: int, at_once: int) -> tuple[float, float]:
    """Log-ins a second, `at_once` at a time, and the server's processor seconds for one.

    A log-in: connect, authenticate, open the sftp subsystem, resolve ".", leave. The client is OpenSSH's sftp, a
    process for each log-in, the same for both servers; on a small machine its own work is most of the time.
    """
    spent, began = processor_seconds(server.pid), time.monotonic()
    running: list[subprocess.Popen[bytes]] = []
    for _ in range(number):
        while len(running) >= at_once:
            running = _still_running(running)
        running.append(_login(server.account))
    while running:
        running = _still_running(running)
    rate = number / (time.monotonic() - began)
    time.sleep(0.3)  # the last children have ended and are counted
    return rate, (processor_seconds(server.pid) - spent) / number


def _login(account: Account) -> subprocess.Popen[bytes]:
    """An sftp with nothing to do."""
    nothing = subprocess.DEVNULL
    return subprocess.Popen(account.client(), stdin=nothing, stdout=nothing, stderr=nothing)


def _still_running(clients: list[subprocess.Popen[bytes]]) -> list[subprocess.Popen[bytes]]:
    left = [client for client in clients if client.poll() is None]
    if any(client.returncode for client in clients if client not in left):
        raise BenchError("a log-in failed")
    if len(left) == len(clients):
        time.sleep(0.001)
    return left


# ---------------------------------------------------------------- memory


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a tree of processes in bytes."""

    resident: int
    """Rss added up: pages that several processes share count in each."""
    proportional: int
    """Pss added up: shared pages are divided."""


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found = children.read_text().split()
        except OSError:
            continue
        for child in found:
            yield from _tree(int(child))


def processor_seconds(pid: int) -> float:
    """Processor time of a process, of all that it started, and of those of them that have ended."""
    ticks = 0
    for process in _tree(pid):
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> Memory:
    """Memory of a process and of all that it started."""
    resident = proportional = 0
    for process in _tree(pid):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            if line.startswith("Rss:"):
                resident += int(line.split()[1]) * 1024
            elif line.startswith("Pss:"):
                proportional += int(line.split()[1]) * 1024
    return Memory(resident, proportional)


def memory_per_upload(server: OpenSsh | Safehand, number: int, size: int, seconds: float) -> Memory:
    """Growth of the server at its peak while `number` clients send `size` bytes each over `seconds`, divided."""

    async def slow_upload(client: asyncssh.SFTPClient, target: str) -> None:
        step = 256 * 1024
        steps = max(1, size // step)
        async with client.open(target, "wb") as out:
            for _ in range(steps):
                await out.write(os.urandom(step))
                await asyncio.sleep(seconds / steps)

    async def peak(done: asyncio.Event) -> Memory:
        resident = proportional = 0
        while not done.is_set():
            now = await asyncio.to_thread(memory, server.pid)
            resident, proportional = max(resident, now.resident), max(proportional, now.proportional)
            await asyncio.sleep(0.1)
        return Memory(resident, proportional)

    async def measure() -> Memory:
        before = memory(server.pid)
        done = asyncio.Event()
        watching = asyncio.create_task(peak(done))
        async with AsyncExitStack() as stack:
            clients = [await _connect(stack, server.account) for _ in range(number)]
            targets = [server.target(f"slow-{place}.bin") for place in range(number)]
            await asyncio.gather(*(slow_upload(*pair) for pair in zip(clients, targets, strict=True)))
            done.set()
            at_most = await watching
        grown = Memory(at_most.resident - before.resident, at_most.proportional - before.proportional)
        return Memory(grown.resident // number, grown.proportional // number)

    return asyncio.run(measure())
