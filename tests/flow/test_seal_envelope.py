"""Uploads through the real gpg: what each member can read, and what every way of going wrong leaves behind."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from server.seal import ExchangeKey, Keyring, PublicKey, Sealed, SealError, Sealing, SealingKey
from tests.conftest import GpgPerson, MakeGpgPerson

NOW = datetime.now(UTC)
BLOCK = os.urandom(256 * 1024)
MEMBERS = ("kent", "medway", "essex", "bexley", "bromley", "havering", "thurrock", "southend")


@dataclass(frozen=True, slots=True)
class House:
    """An exchange with its key, a keyring of eight members, and a place for payloads."""

    folder: Path
    exchange_key: ExchangeKey
    keyring: Keyring
    people: dict[str, GpgPerson]
    keys: dict[str, SealingKey]

    def decrypt(self, member: str, message: bytes) -> bytes:
        """What the member's own gpg makes of it, with a good signature of the exchange; else AssertionError."""
        options = ("--status-fd", "2", "--trust-model", "always", "--decrypt")
        done = self.people[member].gpg(*options, stdin=message)
        said = done.stderr.decode()
        assert done.returncode == 0, said
        assert f"VALIDSIG {self.exchange_key.fingerprint}" in said
        return done.stdout


@pytest.fixture(scope="module")
def house(gpg_person: MakeGpgPerson) -> Iterator[House]:
    with tempfile.TemporaryDirectory(prefix="sh-", dir="/tmp") as name:
        folder = Path(name)
        exchange_key = ExchangeKey.create(folder / "gpg", folder / "passphrase", "Trial")
        people = {member: gpg_person(f"{member}-reads") for member in MEMBERS}
        public = {who: PublicKey(f"p-{who}-1", who, one.fingerprint, one.armored) for who, one in people.items()}
        keyring = Keyring.open(folder / "gpg", "r1", public.values())
        keys: dict[str, SealingKey] = {}
        for member, key in public.items():
            people[member].trusts(exchange_key.armored)
            answer = keyring.sealing_key(key, NOW)
            assert isinstance(answer, SealingKey)
            keys[member] = answer
        yield House(folder, exchange_key, keyring, people, keys)
        exchange_key.close()


@dataclass
class Upload:
    """A sealing with a file of its own, and a sender that pauses when told."""

    sealing: Sealing
    out: int
    room: threading.Event = field(default_factory=threading.Event)

    def send(self, data: bytes) -> None:
        if not self.sealing.feed(data):
            assert self.room.wait(20), "nobody said that there is room again"
            self.room.clear()

    def send_all(self, blocks: int) -> None:
        """Everything, to the end, until an error comes."""
        for _ in range(blocks):
            self.send(BLOCK)
        self.sealing.finish()

    def send_until_stuck(self) -> int:
        """As much as fits while gpg is stopped: pipes and room are full, and nobody says otherwise. The bytes sent."""
        sent = 0
        while True:
            has_room = self.sealing.feed(BLOCK)
            sent += len(BLOCK)
            assert sent < 16 * 1024 * 1024
            if not has_room and not self.room.wait(0.3):
                return sent
            self.room.clear()

    def payload(self) -> bytes:
        return os.pread(self.out, os.fstat(self.out).st_size, 0)


@contextmanager
def upload(
    house: House, *members: str, taps: tuple[Callable[[bytes], None], ...] = (), to: str | None = None
) -> Iterator[Upload]:
    room = threading.Event()
    out = os.open(to, os.O_WRONLY) if to else os.open(house.folder, os.O_TMPFILE | os.O_RDWR)
    keys = [house.keys[member] for member in members]
    sealing = Sealing(house.keyring, house.exchange_key, keys, out, taps=taps, on_room=room.set)
    try:
        yield Upload(sealing, out, room)
    finally:
        sealing.abort()
        os.close(out)
        assert_nothing_runs()


def seal(house: House, data: bytes, *members: str) -> tuple[Sealed, bytes]:
    with upload(house, *members) as one:
        for at in range(0, len(data), 200_000):
            one.send(data[at : at + 200_000])
        return one.sealing.finish(), one.payload()


def gpg_children(parent: int = os.getpid()) -> list[int]:
    """Process ids of a process's gpg runs (this one's unless told), living or not yet waited for."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, rest = stat.read_text().split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue
        if name == "gpg" and int(rest.split()[1]) == parent:
            found.append(int(stat.parent.name))
    return found


def soon(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def assert_nothing_runs() -> None:
    assert soon(lambda: not gpg_children()), "a gpg is still running"
    assert soon(lambda: not [one for one in threading.enumerate() if one.name == "seal"]), "a thread is still running"


def running_gpg() -> int:
    assert soon(lambda: len(gpg_children()) == 1)
    return gpg_children()[0]


# ---------------------------------------------------------------- what comes out


@pytest.mark.parametrize("size", [0, 1, 8191, 3_000_017])
def test_each_member_reads_its_own_message_and_a_third_cannot(house: House, size: int) -> None:
    """Key packets of a member plus the payload decrypt to the same bytes with a good signature, and for nobody else."""
    data = (BLOCK * 12)[:size]
    sealed, payload = seal(house, data, "kent", "medway")
    assert (sealed.size, sealed.sha256) == (size, hashlib.sha256(data).hexdigest())
    assert (sealed.payload_size, sealed.payload_sha256) == (len(payload), hashlib.sha256(payload).hexdigest())
    assert set(sealed.key_packets) == {"kent", "medway"}
    for member in ("kent", "medway"):
        assert house.decrypt(member, sealed.key_packets[member] + payload) == data
    stolen = house.people["essex"].gpg("--decrypt", stdin=b"".join(sealed.key_packets.values()) + payload)
    assert (stolen.returncode != 0, stolen.stdout) == (True, b"")
    crossed = house.people["kent"].gpg("--decrypt", stdin=sealed.key_packets["medway"] + payload)
    assert (crossed.returncode != 0, crossed.stdout) == (True, b"")


def test_a_broadcast_is_one_payload_for_eight(house: House) -> None:
    """Each of the eight has 96 bytes of its own, reads the same file, and cannot see who the others are."""
    data = BLOCK * 2
    sealed, payload = seal(house, data, *MEMBERS)
    assert {member: len(packets) for member, packets in sealed.key_packets.items()} == dict.fromkeys(MEMBERS, 96)
    for member in MEMBERS:
        message = sealed.key_packets[member] + payload
        assert house.decrypt(member, message) == data
        for other in set(MEMBERS) - {member}:
            assert bytes.fromhex(house.keys[other].subkeys[0][-16:]) not in message


def test_several_keys_of_one_member_come_together(house: House) -> None:
    """Two data managers and the recovery key: each of them opens the member's one message."""
    kent = [house.keys["kent"], house.keys["medway"], house.keys["essex"]]
    mine = [SealingKey(key.holder, "kent", key.fingerprint, key.subkeys) for key in kent]
    out = os.open(house.folder, os.O_TMPFILE | os.O_RDWR)
    sealing = Sealing(house.keyring, house.exchange_key, [*mine, house.keys["bexley"]], out)
    sealing.feed(b"shared")
    sealed = sealing.finish()
    payload = os.pread(out, sealed.payload_size + 1, 0)
    os.close(out)
    assert len(sealed.key_packets["kent"]) == 3 * 96
    for member in ("kent", "medway", "essex"):
        assert house.decrypt(member, sealed.key_packets["kent"] + payload) == b"shared"
    assert house.people["bexley"].gpg("--decrypt", stdin=sealed.key_packets["kent"] + payload).returncode != 0


def test_one_key_for_two_members_is_given_to_both(house: House) -> None:
    """A person who works for two members has one key, and each member's message opens with it."""
    key = house.keys["kent"]
    twice = [key, SealingKey(key.holder, "medway", key.fingerprint, key.subkeys)]
    out = os.open(house.folder, os.O_TMPFILE | os.O_RDWR)
    sealed = Sealing(house.keyring, house.exchange_key, twice, out).finish()
    os.close(out)
    assert sealed.key_packets["kent"] == sealed.key_packets["medway"]


def test_the_message_says_nothing_of_the_file(house: House) -> None:
    """No file name inside, not compressed, AES-256, signed with SHA-256."""
    sealed, payload = seal(house, b"secret", "kent")
    options = ("--verbose", "--list-packets")
    listing = house.people["kent"].gpg(*options, stdin=sealed.key_packets["kent"] + payload).stdout.decode()
    assert 'name=""' in listing
    assert ":compressed packet:" not in listing
    assert "digest algo 8" in listing


def test_no_plaintext_is_left_on_the_disk(house: House) -> None:
    """Nowhere in the exchange's folder, while it streams and after."""
    line = b"1234567890,ADAMS," + os.urandom(8).hex().encode()
    with upload(house, "kent") as one:
        for _ in range(40):
            one.send(line * 2000)
        sealed = one.sealing.finish()
        assert line not in one.payload()
        assert sealed.size == 40 * 2000 * len(line)
        files = [path for path in house.folder.rglob("*") if path.is_file()]
        assert files
        assert not [path for path in files if line in path.read_bytes()]


def test_taps_see_every_byte_in_order(house: House) -> None:
    """Record checks read along, on the sealing's own thread."""
    seen: list[bytes] = []
    threads: set[int] = set()

    def tap(data: bytes) -> None:
        seen.append(data)
        threads.add(threading.get_ident())

    with upload(house, "kent", taps=(tap,)) as one:
        for number in range(2000):
            one.send(b"%06d\n" % number)
        one.sealing.finish()
    assert b"".join(seen) == b"".join(b"%06d\n" % number for number in range(2000))
    assert threading.get_ident() not in threads


def test_uploads_finish_while_others_are_paused(house: House) -> None:
    """Paused uploads hold no thread that another one needs."""
    paused = []
    for _ in range(12):
        out = os.open(house.folder, os.O_TMPFILE | os.O_RDWR)
        paused.append((Sealing(house.keyring, house.exchange_key, [house.keys["kent"]], out), out))
    for number in range(8):
        data = BLOCK * number
        sealed, payload = seal_quietly(house, data)
        assert house.decrypt("kent", sealed.key_packets["kent"] + payload) == data
    for sealing, out in paused:
        sealing.feed(b"late")
        assert sealing.finish().size == 4
        os.close(out)
    assert_nothing_runs()


def seal_quietly(house: House, data: bytes) -> tuple[Sealed, bytes]:
    out = os.open(house.folder, os.O_TMPFILE | os.O_RDWR)
    sealing = Sealing(house.keyring, house.exchange_key, [house.keys["kent"]], out)
    sealing.feed(data)
    sealed = sealing.finish()
    payload = os.pread(out, sealed.payload_size + 1, 0)
    os.close(out)
    return sealed, payload


def test_finish_may_be_repeated_and_nothing_can_follow_it(house: House) -> None:
    """The same answer again; more bytes are refused."""
    with upload(house, "kent") as one:
        one.send(b"all")
        assert one.sealing.finish() is one.sealing.finish()
        with pytest.raises(SealError):
            one.sealing.feed(b"more")
        one.sealing.abort()
        assert one.sealing.finish().size == 3


# ---------------------------------------------------------------- memory and pauses


def test_a_sender_is_paused_when_gpg_does_not_keep_up(house: House) -> None:
    """Feed never blocks; it says no above the room, and yes again below half of it."""
    with upload(house, "kent") as one:
        gpg = running_gpg()
        os.kill(gpg, signal.SIGSTOP)
        fed = one.send_until_stuck()
        os.kill(gpg, signal.SIGCONT)
        assert one.room.wait(10)
        assert one.sealing.feed(b"on we go")
        assert one.sealing.finish().size == fed + 8


def test_memory_does_not_grow_with_the_file(house: House) -> None:
    """256 MiB pass through with less than 16 MiB more in memory at any time."""
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_kib()
    with upload(house, "kent", to="/dev/null") as one:
        for _ in range(1024):
            one.send(b"".join((BLOCK[:-1], b"\n")))
        assert one.sealing.finish().size == 256 * 1024 * 1024
    assert peak_kib() - before < 16 * 1024


def peak_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


# ---------------------------------------------------------------- what goes wrong


def test_a_killed_gpg_is_known_before_the_end(house: House) -> None:
    """The sender is told at the next write, not after the last one; nothing is called sealed."""
    with upload(house, "kent") as one:
        one.send(BLOCK * 4)
        os.kill(running_gpg(), signal.SIGKILL)
        assert soon(lambda: one.sealing.failed is not None)
        with pytest.raises(SealError) as refused:
            one.sealing.feed(BLOCK)
        with pytest.raises(SealError):
            one.sealing.finish()
        assert refused.value.code == "GPG"


def test_a_paused_sender_is_woken_when_gpg_dies(house: House) -> None:
    """Nobody waits for room that never comes."""
    with upload(house, "kent") as one:
        gpg = running_gpg()
        os.kill(gpg, signal.SIGSTOP)
        one.send_until_stuck()
        os.kill(gpg, signal.SIGKILL)
        assert one.room.wait(10)
        assert one.sealing.failed is not None


def test_a_full_disk_is_said_and_ends_gpg(house: House) -> None:
    """gpg itself would call such a run good."""
    with upload(house, "kent", to="/dev/full") as one:
        with pytest.raises(SealError) as refused:
            one.send_all(400)
        assert refused.value.code == "DISK"
        assert isinstance(refused.value.__cause__, OSError)
        assert refused.value.__cause__.errno == errno.ENOSPC


def test_a_full_disk_is_found_for_a_tiny_file_too(house: House) -> None:
    """All of it fits into the pipes; the error comes at the very end."""
    with upload(house, "kent", to="/dev/full") as one:
        one.send(b"x")
        with pytest.raises(SealError) as refused:
            one.sealing.finish()
        assert refused.value.code == "DISK"


@pytest.mark.parametrize("after", [0, 700_000, 3_000_000])
def test_a_tap_that_raises_ends_the_sealing_and_is_the_cause(house: House, after: int) -> None:
    """A defect in what looks on stops the stream; gpg never finishes the first half as a valid message.

    It is recorded under the number that the sender is told, with its place and without its text.
    """
    seen = 0

    def tap(data: bytes) -> None:
        nonlocal seen
        seen += len(data)
        if seen > after:
            raise LookupError("line 7")

    with capture_logs() as told, upload(house, "kent", taps=(tap,)) as one:
        with pytest.raises(SealError) as refused:
            one.send_all(20)
        (entry,) = told
        assert entry["kind"] == "LookupError" and entry["number"] in refused.value.sentence
        assert entry["places"][-1].startswith("test_seal_envelope.py:") and "line 7" not in str(entry)
        assert refused.value.code == "TAP"
        assert isinstance(refused.value.__cause__, LookupError)
        assert "line 7" not in refused.value.sentence
        with pytest.raises(SealError) as again:
            one.sealing.finish()
        assert again.value is refused.value


def test_a_key_that_gpg_does_not_know_fails_the_run(house: House) -> None:
    """A keyring of another revision: refused by gpg, said as a key problem, nothing sealed."""
    nobody = SealingKey("p-nobody-1", "nobody", "A" * 40, ("B" * 40,))
    out = os.open(house.folder, os.O_TMPFILE | os.O_RDWR)
    sealing = Sealing(house.keyring, house.exchange_key, [house.keys["kent"], nobody], out)
    with pytest.raises(SealError) as refused:
        sealing.finish()
    assert refused.value.code == "KEY_REFUSED"
    assert os.fstat(out).st_size == 0
    os.close(out)
    assert_nothing_runs()


def test_nothing_starts_without_a_recipient(house: House) -> None:
    """Never plaintext, never to nobody."""
    with pytest.raises(SealError) as refused:
        Sealing(house.keyring, house.exchange_key, [], 1)
    assert refused.value.code == "NO_RECIPIENT"
    assert_nothing_runs()


@pytest.mark.parametrize(
    "script",
    [
        "exit 0",
        "head -c 1000 > /dev/null; echo half; exit 0",
        "printf '[GNUPG:] END_ENCRYPTION\\n' >&2; exit 0",
        "cat > /dev/null; printf '[GNUPG:] END_ENCRYPTION\\n' >&2; exit 0",
        "cat; printf '[GNUPG:] SIG_CREATED S 22 8 00 1 %s\\n[GNUPG:] END_ENCRYPTION\\n' $FPR >&2; exit 0",
        "exit 2",
    ],
)
def test_a_gpg_that_lies_is_not_believed(
    house: House, short_tmp: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    """Exit 0 and a good status are not enough: without the packets and our key's signature nothing is sealed."""
    signer = house.exchange_key.fingerprint
    liar = short_tmp / "gpg"
    real = next(Path(place) / "gpg" for place in os.get_exec_path() if (Path(place) / "gpg").exists())
    liar.write_text(
        f'#!/bin/sh\nFPR={signer}\ncase "$*" in *--encrypt*) {script};; *) exec {real} "$@";; esac\n', encoding="ascii"
    )
    liar.chmod(0o700)
    monkeypatch.setenv("PATH", f"{short_tmp}:{os.environ['PATH']}")
    exchange_key = ExchangeKey.open(house.folder / "gpg", house.folder / "passphrase")
    out = os.open(house.folder, os.O_TMPFILE | os.O_RDWR)
    room = threading.Event()
    sealing = Sealing(house.keyring, exchange_key, [house.keys["kent"]], out, on_room=room.set)
    with pytest.raises(SealError):
        Upload(sealing, out, room).send_all(20)
    os.close(out)
    assert_nothing_runs()


def test_a_machine_without_gpg_is_said_in_a_sentence(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a traceback, and nothing is left running."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SealError) as refused:
        ExchangeKey.open(house.folder / "gpg", house.folder / "passphrase")
    assert refused.value.code == "GPG_MISSING"


SERVER = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from server.seal import ExchangeKey, Keyring, PublicKey, Sealing
home, passphrase, fingerprint = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
keyring = Keyring.open(home, "killed", [key := PublicKey("p-kent-1", "kent", fingerprint, sys.stdin.read())])
out = open(sys.argv[4], "wb")
keys = [keyring.sealing_key(key, datetime.now(UTC))]
sealing = Sealing(keyring, ExchangeKey.open(home, passphrase), keys, out.fileno())
while sealing.feed(bytes(65536)):
    pass
print("fed", flush=True)
time.sleep(60)
"""


def has_ended(process: Path) -> bool:
    try:
        return ") Z " in (process / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_killed_server_leaves_no_gpg_behind(house: House, short_tmp: Path) -> None:
    """kill -9 of the server in the middle of an upload: gpg ends by itself, and has finished no message."""
    kent = house.people["kent"]
    arguments = [str(house.folder / "gpg"), str(house.folder / "passphrase"), kent.fingerprint, str(short_tmp / "part")]
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert server.stdin is not None
    assert server.stdout is not None
    with server.stdin as stdin:
        stdin.write(kent.armored)
    assert server.stdout.readline() == "fed\n"
    assert soon(lambda: len(gpg_children(server.pid)) == 1)
    gpg = Path(f"/proc/{gpg_children(server.pid)[0]}")
    server.kill()
    server.wait(10)
    server.stdout.close()
    assert soon(lambda: has_ended(gpg))


# ---------------------------------------------------------------- giving up


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(blocks=st.integers(0, 24), delay=st.sampled_from([0.0, 0.001, 0.005, 0.02, 0.05]), ended=st.booleans())
def test_abort_at_any_moment_leaves_nothing_running(house: House, blocks: int, delay: float, ended: bool) -> None:
    """Before gpg has started, in the middle, after the last byte: no gpg, no thread, no error, no later write."""
    with upload(house, "kent") as one:
        for _ in range(blocks):
            one.sealing.feed(BLOCK)
        finisher = threading.Thread(target=finish_quietly, args=(one.sealing,))
        if ended:
            finisher.start()
        time.sleep(delay)
        one.sealing.abort()
        one.sealing.abort()
        written = os.fstat(one.out).st_size
        assert_nothing_runs()
        assert os.fstat(one.out).st_size == written
        with pytest.raises(SealError):
            one.sealing.feed(b"x")
        if ended:
            finisher.join(10)
            assert not finisher.is_alive()
        else:
            with pytest.raises(SealError):
                one.sealing.finish()


def finish_quietly(sealing: Sealing) -> None:
    try:
        sealing.finish()
    except SealError:
        return


def test_abort_does_not_wait_for_a_gpg_that_hangs(house: House) -> None:
    """A gpg that never reads is killed; abort is back within a second."""
    with upload(house, "kent") as one:
        os.kill(running_gpg(), signal.SIGSTOP)
        one.send_until_stuck()
        began = time.monotonic()
        one.sealing.abort()
        assert time.monotonic() - began < 1.0
        assert_nothing_runs()


def test_a_tap_may_give_up_the_sealing_it_belongs_to(house: House) -> None:
    """From the sealing's own thread, without waiting for itself."""
    holder: list[Sealing] = []
    with upload(house, "kent", taps=(lambda _: holder[0].abort(),)) as one:
        holder.append(one.sealing)
        one.send(b"x")
        with pytest.raises(SealError):
            one.sealing.finish()


def test_file_descriptors_do_not_leak(house: House) -> None:
    """Twenty uploads, good and given up, leave as many open files as before."""
    seal(house, b"first", "kent")
    before = len(os.listdir("/proc/self/fd"))
    for number in range(20):
        with upload(house, "kent") as one:
            one.send(BLOCK)
            if number % 2:
                one.sealing.finish()
    assert soon(lambda: len(os.listdir("/proc/self/fd")) <= before)
