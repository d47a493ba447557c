"""The SFTP session over a real connection on loopback, against an exchange that lives in memory."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import asyncssh
import pytest

from server.domain.agreement import Member, Person
from server.domain.errors import Busy, Missing, NotWritable, Refused, SafehandError
from server.exchange.sessions import TurnedAway, Visitor
from server.sftp import limits, wire
from server.sftp.listener import Listener
from server.sftp.threads import ACTS, LOOKS, OPENS

NOW = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
KENT = ("trial", "2026-11", "kent")


# ---------------------------------------------------------------- an exchange in memory


@dataclass(frozen=True)
class APaper:
    name: str
    text: bytes
    at: datetime = NOW

    @property
    def size(self) -> int:
        return len(self.text)

    def content(self) -> bytes:
        return self.text


@dataclass(frozen=True)
class AFile:
    name: str
    size: int
    at: datetime = NOW
    delivery: str = ""
    paper: APaper | None = None


@dataclass
class AnArrival:
    folder: tuple[str, ...]
    name: bytes
    content: bytearray = field(default_factory=bytearray)
    on_room: Callable[[], None] | None = None
    failed: SafehandError | None = None
    room: bool = True

    @property
    def size(self) -> int:
        return len(self.content)

    def write(self, offset: int, data: bytes) -> bool:
        if data.startswith(b"BAD"):
            raise Refused("Line 1 is not agreed.")
        if data.startswith(b"BUG"):
            raise KeyError("secret-value")
        assert offset == self.size
        self.content += data
        return self.room


class AReading:
    def __init__(self, content: bytes, log: list[tuple[Any, ...]]) -> None:
        self.content, self.size, self.log = content, len(content), log
        self.bytes_served = 0

    def read(self, offset: int, length: int) -> bytes:
        return self.content[offset : offset + length]

    def served(self, offset: int, length: int) -> None:
        self.bytes_served += length

    def close(self, *, by_client: bool) -> None:
        self.log.append(("read", by_client, self.bytes_served))


class NoUploads:
    """Nothing was interrupted."""

    def size(self, visitor: Visitor, folder: tuple[str, ...], name: bytes) -> int | None:
        return None


class AnExchange:
    """Fakes what the SFTP side uses of an exchange, and keeps a log of what it was told."""

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []
        self.files: dict[tuple[tuple[str, ...], str], int] = {}
        self.keys_of: dict[str, str] = {}
        self.unwelcome = self.put_only = self.untrained = False
        self.arrivals: list[AnArrival] = []
        self.room = True
        self.database = threading.Event()
        self.database.set()
        self.envelope = bytes(range(256)) * 12000
        self.sessions = self.intake = self.amendments = self.views = self.collection = self.keys = self
        self.uploads = NoUploads()

    def now(self) -> datetime:
        return NOW

    def admit(self, person: str, key: str, address: str) -> Visitor | TurnedAway | None:
        if self.keys_of.get(person) != key:
            return None
        if self.untrained:
            return TurnedAway(person, key, ("TRAINING_EXPIRED",), "Your training has ended; renew it.")
        member = Member(id="essex", name="Essex County Council")
        someone = Person(
            id=person, member="essex", name="A", roles=frozenset({"designated_person"}), email="a@b.example"
        )
        return Visitor(someone, member, key, "laptop", put_only=self.put_only)

    def welcome(self, visitor: Visitor) -> bool:
        return not self.unwelcome

    def farewell(self, visitor: Visitor) -> str:
        return "Your access has ended."

    def record(self, turned: TurnedAway) -> None:
        self.log.append(("turned away", turned.person, turned.codes))

    def open(self, visitor: Visitor, folder: tuple[str, ...], name: bytes, *, resume: bool, append: bool) -> AnArrival:
        if folder[0] != "trial":
            raise NotWritable("There is no exchange of that name.")
        arrival = AnArrival(folder, name, room=self.room)
        self.arrivals.append(arrival)
        self.log.append(("open", name, resume, append))
        return arrival

    def close(self, arrival: AnArrival) -> str | None:
        assert self.database.wait(10)
        if arrival.failed:
            raise arrival.failed
        self.files[arrival.folder, arrival.name.decode()] = arrival.size
        self.log.append(("close", arrival.name, arrival.size))
        return f"Received: {arrival.size} bytes."

    def interrupt(self, arrival: AnArrival) -> None:
        self.log.append(("interrupt", arrival.name, arrival.size))

    def rename(
        self, visitor: Visitor, folder: tuple[str, ...], old: bytes, new_folder: tuple[str, ...], new: bytes
    ) -> str | None:
        try:
            self.files[new_folder, new.decode()] = self.files.pop((folder, old.decode()))
        except KeyError:
            raise Missing from None
        return None

    def remove(self, visitor: Visitor, folder: tuple[str, ...], name: bytes) -> str | None:
        if self.files.pop((folder, name.decode()), None) is None:
            raise Missing
        return "Undone."

    def attest(self, visitor: Visitor, name: bytes, content: bytes) -> str:
        self.log.append(("attest", name, content))
        return "Acknowledged."

    def propose(self, visitor: Visitor, name: bytes, content: bytes) -> str:
        self.log.append(("propose", name, content))
        return "Proposed."

    def root(self, visitor: Visitor) -> tuple[APaper, ...]:
        return (APaper("README.txt", b"Welcome.\r\n"), APaper("DUE.txt", b"Nothing.\r\n"))

    def outbox_exchanges(self, visitor: Visitor) -> tuple[str, ...]:
        return ("trial",)

    def outbox_periods(self, visitor: Visitor, exchange: str) -> tuple[str, ...]:
        return ("2026-11",)

    def outbox_folders(self, visitor: Visitor, exchange: str) -> tuple[str, ...]:
        return ("kent", "everyone")

    def sent(self, visitor: Visitor, exchange: str, period: str, folder: str) -> tuple[AFile, ...]:
        place = tuple(part for part in (exchange, period, folder) if part)
        return tuple(AFile(name, size) for (where, name), size in self.files.items() if where == place)

    def inbox(self, visitor: Visitor) -> tuple[tuple[str, str, str], ...]:
        return (("trial", "2026-11", "kent"),)

    def inbox_files(self, visitor: Visitor, exchange: str, period: str, sender: str) -> tuple[AFile, ...]:
        manifest = APaper("D-2026-000001.manifest.json", b"{}")
        return (
            AFile("D-2026-000001.gpg", len(self.envelope), delivery="D-2026-000001"),
            AFile(manifest.name, manifest.size, delivery="D-2026-000001", paper=manifest),
        )

    def read(self, visitor: Visitor, delivery: str) -> AReading:
        return AReading(self.envelope, self.log)

    def _papers(self, visitor: Visitor) -> tuple[APaper, ...]:
        return ()

    receipts = refused = link = templates = member_keys = my_keys = _papers


def _exchange() -> Any:
    exchange = AnExchange()
    papers = type("Views", (), {})()
    for name in ("root", "outbox_exchanges", "outbox_periods", "outbox_folders", "sent", "inbox", "inbox_files"):
        setattr(papers, name, getattr(exchange, name))
    for name in (
        "receipts",
        "certificates",
        "refused",
        "attest",
        "link",
        "templates",
        "keys",
        "member_keys",
        "my_keys",
    ):
        setattr(papers, name, exchange._papers)
    exchange.views = papers
    return exchange


class Client:
    """An asyncssh connection and, for what a well-behaved client would not do, its SFTP packets by hand."""

    def __init__(self, connection: asyncssh.SSHClientConnection) -> None:
        self.connection = connection
        self._number = 0

    async def begin(self) -> Client:
        self.stdin, self.stdout, self.stderr = await self.connection.open_session(subsystem="sftp", encoding=None)
        self.send(wire.INIT, (3).to_bytes(4, "big"), number=False)
        kind, _ = await self.receive()
        assert kind == wire.VERSION
        return self

    def send(self, kind: int, *parts: bytes, number: bool = True) -> None:
        self._number += 1
        head = self._number.to_bytes(4, "big") if number else b""
        body = bytes([kind]) + head + b"".join(parts)
        self.stdin.write(len(body).to_bytes(4, "big") + body)

    async def receive(self) -> tuple[int, bytes]:
        size = int.from_bytes(await self.stdout.readexactly(4), "big")
        body = await self.stdout.readexactly(size)
        return body[0], body[5:]

    async def ask(self, kind: int, *parts: bytes) -> tuple[int, bytes]:
        self.send(kind, *parts)
        return await asyncio.wait_for(self.receive(), 5)

    async def status(self, kind: int, *parts: bytes) -> tuple[int, str]:
        answer, body = await self.ask(kind, *parts)
        assert answer == wire.STATUS
        size = int.from_bytes(body[4:8], "big")
        return int.from_bytes(body[:4], "big"), body[8 : 8 + size].decode()

    async def open(self, path: str = "/outbox/trial/2026-11/kent/a.csv", flags: int = 26) -> bytes:
        answer, body = await self.ask(wire.OPEN, wire.text(path.encode()), flags.to_bytes(4, "big"), bytes(4))
        assert answer == wire.HANDLE, body
        return body

    async def write(self, handle: bytes, offset: int, data: bytes, tail: bytes = b"") -> tuple[int, str]:
        return await self.status(wire.WRITE, handle, offset.to_bytes(8, "big"), wire.text(data), tail)


@dataclass
class World:
    exchange: AnExchange
    listener: Listener
    key: asyncssh.SSHKey

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[asyncssh.SSHClientConnection]:
        async with asyncssh.connect(
            "127.0.0.1", self.listener.port, username="p-essex-1", known_hosts=None, client_keys=[self.key],
            config=None, agent_path=None,
        ) as connection:  # fmt: skip
            yield connection

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        async with self.connected() as connection:
            yield await Client(connection).begin()

    async def told(self, wanted: tuple[Any, ...]) -> bool:
        """Whether the exchange is told this within five seconds."""
        end = time.monotonic() + 5
        while wanted not in self.exchange.log and time.monotonic() < end:
            await asyncio.sleep(0.01)
        return wanted in self.exchange.log


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    exchange, listener = _exchange(), Listener()
    key = asyncssh.generate_private_key("ssh-ed25519")
    exchange.keys_of["p-essex-1"] = key.get_fingerprint()
    await listener.start(cast(Any, exchange), "127.0.0.1", 0, [tmp_path / "host_ed25519"])
    yield World(exchange, listener, key)
    await listener.close()


# ---------------------------------------------------------------- endings


async def test_a_close_of_the_client_completes_the_upload(world: World) -> None:
    """FXP_CLOSE is answered after the exchange has taken the file; the receipt goes to standard error."""
    async with world.client() as client:
        handle = await client.open()
        assert (await client.write(handle, 0, b"x" * 5000))[0] == wire.OK
        assert await client.status(wire.CLOSE, handle) == (wire.OK, "")
        assert ("close", b"a.csv", 5000) in world.exchange.log
        assert await client.stderr.readline() == b"safehand: Received: 5000 bytes.\r\n"


async def test_end_of_file_on_the_channel_interrupts_the_upload(world: World) -> None:
    async with world.client() as client:
        await client.write(await client.open(), 0, b"x" * 5000)
        client.stdin.write_eof()
        assert await world.told(("interrupt", b"a.csv", 5000))
    assert not [entry for entry in world.exchange.log if entry[0] == "close"]


async def test_a_connection_that_is_cut_interrupts_the_upload(world: World) -> None:
    async with world.client() as client:
        await client.write(await client.open(), 0, b"x" * 5000)
        client.connection.abort()
        assert await world.told(("interrupt", b"a.csv", 5000))
    assert not [entry for entry in world.exchange.log if entry[0] == "close"]


async def test_a_disconnect_message_interrupts_the_upload(world: World) -> None:
    async with world.client() as client:
        await client.write(await client.open(), 0, b"x" * 5000)
        client.connection.close()
        assert await world.told(("interrupt", b"a.csv", 5000))


async def test_a_close_and_the_end_of_file_together_complete_the_upload(world: World) -> None:
    """Writes, CLOSE and EOF that arrive in one go are all heeded, and the channel ends with status 0."""
    async with world.client() as client:
        handle = await client.open()
        client.send(wire.WRITE, handle, bytes(8), wire.text(b"x" * 70_000))
        client.send(wire.CLOSE, handle)
        client.stdin.write_eof()
        assert await world.told(("close", b"a.csv", 70_000))
        await client.stdin.channel.wait_closed()
        assert cast(Any, client.stdin.channel).get_exit_status() == 0
    assert not [entry for entry in world.exchange.log if entry[0] == "interrupt"]


async def test_a_visitor_who_is_not_welcome_any_more_is_shown_out(world: World) -> None:
    """Within two seconds of the suspension the connection ends and its upload is interrupted."""
    async with world.client() as client:
        await client.write(await client.open(), 0, b"x")
        world.exchange.unwelcome = True
        await asyncio.wait_for(client.connection.wait_closed(), 3)
        assert await world.told(("interrupt", b"a.csv", 1))


# ---------------------------------------------------------------- refusals


async def test_a_refusal_is_in_the_status_and_once_on_standard_error(world: World) -> None:
    """A handle that failed stays failed at later writes; the sentence is said once."""
    async with world.client() as client:
        handle = await client.open()
        assert await client.write(handle, 0, b"BAD") == (wire.FAILURE, "Line 1 is not agreed.")
        assert await client.write(handle, 3, b"x") == (wire.FAILURE, "Line 1 is not agreed.")
        assert await client.stderr.readline() == b"safehand: Line 1 is not agreed.\r\n"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.stderr.readline(), 0.2)


async def test_the_text_of_an_unforeseen_exception_stays_inside(world: World) -> None:
    async with world.client() as client:
        code, sentence = await client.write(await client.open(), 0, b"BUG")
        assert code == wire.FAILURE
        assert "secret" not in sentence
        assert "number" in sentence


async def test_bytes_after_the_fields_of_a_write_are_ignored(world: World) -> None:
    """rclone 1.60 sends the rest of its buffer after the data."""
    async with world.client() as client:
        assert (await client.write(await client.open(), 0, b"abc", tail=b"rest"))[0] == wire.OK
        assert world.exchange.arrivals[0].content == b"abc"


@pytest.mark.parametrize(
    "path",
    [b"/../../etc/passwd", b"/outbox/trial/2026-11/kent\0", b"//etc//passwd", b"\xff\xfe", b"/inbox\\x", b"a" * 4000,
     b"/inbox/../../..//nowhere", b"/outbox/trial2", b"/" + b"x/" * 30, b"C:\\Windows", b"/inbox/\n/"],
)  # fmt: skip
async def test_no_trick_with_a_path_reaches_anything(world: World, path: bytes) -> None:
    """Whatever the path, looking, listing and reading say that there is no such file, and the session lives on."""
    async with world.client() as client:
        for kind in (wire.STAT, wire.LSTAT, wire.OPENDIR):
            assert (await client.status(kind, wire.text(path)))[0] == wire.NO_SUCH_FILE
        read = (wire.OPEN_READ).to_bytes(4, "big")
        assert (await client.status(wire.OPEN, wire.text(path), read, bytes(4)))[0] == wire.NO_SUCH_FILE
        assert (await client.ask(wire.STAT, wire.text(b"/outbox")))[0] == wire.ATTRS


async def test_a_path_that_is_too_long_or_too_deep_is_refused_with_a_sentence(world: World) -> None:
    async with world.client() as client:
        assert (await client.status(wire.STAT, wire.text(b"a" * 4097)))[0] == wire.FAILURE
        assert (await client.status(wire.STAT, wire.text(b"a/" * 40)))[0] == wire.FAILURE


async def test_links_and_copies_are_not_offered(world: World) -> None:
    async with world.client() as client:
        two = wire.text(b"/README.txt"), wire.text(b"/x")
        assert (await client.status(19, two[0]))[0] == wire.OP_UNSUPPORTED
        assert (await client.status(20, *two))[0] == wire.OP_UNSUPPORTED
        for name in (b"hardlink@openssh.com", b"copy-data", b"fsync@openssh.com"):
            assert (await client.status(wire.EXTENDED, wire.text(name), *two))[0] == wire.OP_UNSUPPORTED


async def test_a_packet_longer_than_any_ends_the_session_and_nothing_else(world: World) -> None:
    async with world.client() as client:
        await client.open()
        client.stdin.write((1 << 30).to_bytes(4, "big"))
        assert await world.told(("interrupt", b"a.csv", 0))
    async with world.client() as client:
        await client.open()


# ---------------------------------------------------------------- limits


async def test_no_more_than_64_handles_are_open_at_once(world: World) -> None:
    async with world.client() as client:
        for _ in range(wire.HANDLES):
            await client.open("/README.txt", wire.OPEN_READ)
        flags = (wire.OPEN_READ).to_bytes(4, "big")
        code, sentence = await client.status(wire.OPEN, wire.text(b"/README.txt"), flags, bytes(4))
        assert code == wire.FAILURE
        assert "64" in sentence


async def test_no_more_than_ten_channels_are_open_on_one_connection(world: World) -> None:
    async with world.connected() as connection:
        for _ in range(10):
            await connection.start_sftp_client()
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.start_sftp_client()


async def test_a_shell_a_command_and_another_subsystem_are_refused(world: World) -> None:
    async with world.connected() as connection:
        for what in ({}, {"command": "id"}, {"command": "scp -t /"}, {"subsystem": "netconf"}):
            with pytest.raises(asyncssh.ChannelOpenError):
                await connection.create_process(**cast(Any, what))
        with pytest.raises(asyncssh.ChannelListenError):
            await connection.forward_remote_port("", 0, "localhost", 1)


@pytest.mark.parametrize("user", ["p-essex-1", "nobody", "x" * 1000, "root", "p-essex-1\u00a0"])
async def test_a_key_that_is_not_in_the_policy_does_not_log_in(world: World, user: str) -> None:
    stranger = asyncssh.generate_private_key("ssh-ed25519")
    with pytest.raises((asyncssh.PermissionDenied, asyncssh.DisconnectError, ConnectionError)):
        await asyncssh.connect(
            "127.0.0.1", world.listener.port, username=user, known_hosts=None, client_keys=[stranger], config=None,
            agent_path=None, password="guess",
        )  # fmt: skip


async def test_who_may_not_log_in_is_told_why_once_their_key_has_signed(world: World) -> None:
    """The plain reason is in the disconnect, no channel opens, and the exchange is told, to write it down."""
    world.exchange.untrained = True
    farewell: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    class Client(asyncssh.SSHClient):
        def connection_lost(self, exc: Exception | None) -> None:
            farewell.set_result(str(exc))

    await asyncssh.create_connection(
        Client, "127.0.0.1", world.listener.port, username="p-essex-1", known_hosts=None, client_keys=[world.key],
        config=None, agent_path=None,
    )  # fmt: skip
    assert await asyncio.wait_for(farewell, 5) == "You cannot log in. Your training has ended; renew it."
    assert await world.told(("turned away", "p-essex-1", ("TRAINING_EXPIRED",)))
    world.exchange.untrained = False
    async with world.client() as client:
        assert (await client.ask(wire.STAT, wire.text(b"/outbox")))[0] == wire.ATTRS


async def test_a_connection_may_offer_six_keys(world: World) -> None:
    """After the sixth the connection is cut, and the right key as the seventh comes too late."""
    wrong = [asyncssh.generate_private_key("ssh-ed25519") for _ in range(6)]
    options: Any = {"username": "p-essex-1", "known_hosts": None, "config": None, "agent_path": None}
    with pytest.raises((asyncssh.PermissionDenied, asyncssh.ConnectionLost, ConnectionError)):
        await asyncssh.connect("127.0.0.1", world.listener.port, client_keys=[*wrong, world.key], **options)
    async with world.connected():
        pass


async def test_silent_connections_do_not_keep_out_a_colleague_behind_the_same_address(world: World) -> None:
    """More than the address may have at the door say nothing; a log-in from there works at once, the oldest are cut."""
    silent = [
        await asyncio.open_connection("127.0.0.1", world.listener.port) for _ in range(limits.UNKNOWN_PER_ADDRESS + 3)
    ]
    async with world.client() as client:
        assert (await client.ask(wire.STAT, wire.text(b"/outbox")))[0] == wire.ATTRS
    reader, _ = silent[0]
    await asyncio.wait_for(reader.read(), 3)
    assert reader.at_eof()
    for _, writer in silent:
        writer.close()


async def test_an_upload_that_nothing_is_written_to_is_interrupted_whatever_else_is_heard(world: World) -> None:
    """The client goes on looking around; the handle says why it ended, and the exchange is told once."""
    async with world.client() as client:
        handle = await client.open()
        await client.write(handle, 0, b"x" * 5000)
        world.listener.unwritten_seconds = 0.5
        end = time.monotonic() + 5
        while ("interrupt", b"a.csv", 5000) not in world.exchange.log and time.monotonic() < end:
            assert (await client.ask(wire.STAT, wire.text(b"/outbox")))[0] == wire.ATTRS
            await asyncio.sleep(0.05)
        assert world.exchange.log.count(("interrupt", b"a.csv", 5000)) == 1
        for code, sentence in (await client.write(handle, 5000, b"x"), await client.status(wire.CLOSE, handle)):
            assert code == wire.FAILURE
            assert "Nothing was written to this file for 10 minutes" in sentence
    await asyncio.sleep(0.2)
    assert [entry[0] for entry in world.exchange.log] == ["open", "interrupt"]


async def test_an_upload_that_waits_for_room_is_not_taken_for_one_that_is_left_alone(world: World) -> None:
    world.exchange.room = False
    async with world.client() as client:
        handle = await client.open()
        world.listener.unwritten_seconds = 0.5
        client.send(wire.WRITE, handle, bytes(8), wire.text(b"x"))
        await asyncio.sleep(2.2)
        assert [entry[0] for entry in world.exchange.log] == ["open"]


async def test_closes_that_wait_for_the_database_stop_nobody_else_s_listing(world: World) -> None:
    """More closes than there are threads of all kinds hang; listing, fetching and opening a new file go on."""
    world.exchange.database.clear()
    async with world.client() as other, AsyncExitStack() as stack:
        waiting: list[Client] = []
        while len(waiting) <= LOOKS + OPENS + ACTS:
            connection = await stack.enter_async_context(world.connected())
            waiting += [await Client(connection).begin() for _ in range(limits.CHANNELS)]
        for client in waiting:
            client.send(wire.CLOSE, await client.open())
        assert (await other.ask(wire.OPENDIR, wire.text(b"/outbox/trial/2026-11")))[0] == wire.HANDLE
        paper = await other.open("/README.txt", wire.OPEN_READ)
        assert (await other.ask(wire.READ, paper, bytes(8), (100).to_bytes(4, "big")))[0] == wire.DATA
        await other.open()
        world.exchange.database.set()
        for client in waiting:
            assert (await asyncio.wait_for(client.receive(), 5))[0] == wire.STATUS


# ---------------------------------------------------------------- writing, reading, listing


async def test_a_write_is_answered_when_there_is_room(world: World) -> None:
    """Backpressure: no answer before the exchange says that there is room, from whichever thread."""
    world.exchange.room = False
    async with world.client() as client:
        handle = await client.open()
        client.send(wire.WRITE, handle, bytes(8), wire.text(b"x" * 1000))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(client.stdout.readexactly(4)), 0.3)
        arrival = world.exchange.arrivals[0]
        assert arrival.on_room is not None
        threading.Thread(target=arrival.on_room).start()
        assert await world.told(("open", b"a.csv", False, False))
        await asyncio.wait_for(world_answered(client), 3)


async def world_answered(client: Client) -> None:
    """The pending answer has come: the next request gets one, too."""
    client.send(wire.REALPATH, wire.text(b"."))
    while b"/" not in await client.stdout.read(65536):
        pass


async def test_a_write_without_room_ends_when_the_upload_fails(world: World) -> None:
    world.exchange.room = False
    async with world.client() as client:
        handle = await client.open()
        client.send(wire.WRITE, handle, bytes(8), wire.text(b"x"))
        await asyncio.sleep(0.1)
        world.exchange.arrivals[0].failed = Busy("The disk is full: try again.")
        kind, body = await asyncio.wait_for(client.receive(), 3)
        assert kind == wire.STATUS
        assert b"The disk is full" in body


async def test_an_envelope_is_read_in_any_blocks_and_collected_by_the_close(world: World) -> None:
    """asyncssh's client asks for many blocks at once; every byte is the same, and the close says so."""
    async with world.connected() as connection, connection.start_sftp_client() as sftp:
        async with sftp.open("/inbox/trial/2026-11/kent/D-2026-000001.gpg", "rb") as file:
            assert cast(Any, await file.read()) == world.exchange.envelope
        assert await world.told(("read", True, len(world.exchange.envelope)))


async def test_an_envelope_is_not_collected_by_a_connection_that_drops(world: World) -> None:
    async with world.client() as client:
        handle = await client.open("/inbox/trial/2026-11/kent/D-2026-000001.gpg", wire.OPEN_READ)
        kind, body = await client.ask(wire.READ, handle, bytes(8), (1 << 31).to_bytes(4, "big"))
        assert kind == wire.DATA
        assert len(body) == 4 + wire.BLOCK_BYTES
        client.connection.abort()
        assert await world.told(("read", False, wire.BLOCK_BYTES))


async def test_the_mailbox_is_listed_as_it_is(world: World) -> None:
    async with world.connected() as connection, connection.start_sftp_client() as sftp:
        tops = {
            "README.txt",
            "DUE.txt",
            "outbox",
            "inbox",
            "receipts",
            "certificates",
            "refused",
            "attest",
            "link",
            "templates",
            "keys",
        }
        assert set(await sftp.listdir("/")) - {".", ".."} == tops
        assert set(await sftp.listdir("/outbox/trial/2026-11")) - {".", ".."} == {"kent", "everyone"}
        assert set(await sftp.listdir("/keys")) - {".", ".."} == {"members", "mine"}
        assert await sftp.realpath("outbox/../inbox/./trial") == "/inbox/trial"
        assert (await sftp.stat("/outbox/trial")).permissions == 0o40500
        with pytest.raises(asyncssh.SFTPPermissionDenied):
            await sftp.mkdir("/outbox/trial/2026-11/mine")
        with pytest.raises(asyncssh.SFTPFailure):
            await sftp.mkdir("/outbox/trial/2026-11/kent")
        with pytest.raises(asyncssh.SFTPPermissionDenied):
            await sftp.rmdir("/outbox")


async def test_r027_a_put_to_a_place_that_the_agreement_does_not_have_is_permission_denied(world: World) -> None:
    """`put` to /outbox/other/… : permission denied, with the sentence, and no file appears."""
    async with world.client() as client:
        path, flags = wire.text(b"/outbox/other/2026-11/kent/a.csv"), (26).to_bytes(4, "big")
        code, sentence = await client.status(wire.OPEN, path, flags, bytes(4))
    assert (code, sentence) == (wire.PERMISSION_DENIED, "There is no exchange of that name.")
    assert not world.exchange.files


async def test_what_was_sent_shows_the_size_that_the_client_sent(world: World) -> None:
    async with world.connected() as connection, connection.start_sftp_client() as sftp:
        path = "/outbox/trial/2026-11/kent/größe 1.csv"
        async with sftp.open(path, "wb") as file:
            await file.write(b"x" * 1234)
        assert (await sftp.stat(path)).size == 1234
        await sftp.chmod(path, 0o600)
        await sftp.utime(path, (1, 1))
        assert (await sftp.stat(path)).mtime == int(NOW.timestamp())
        with pytest.raises(asyncssh.SFTPPermissionDenied):
            await sftp.open(path, "rb")
        await sftp.posix_rename(path, path + ".csv")
        assert (await sftp.stat(path + ".csv")).size == 1234
        await sftp.remove(path + ".csv")
        with pytest.raises(asyncssh.SFTPNoSuchFile):
            await sftp.stat(path + ".csv")


async def test_a_small_file_in_attest_is_an_act_at_its_close_and_nothing_before(world: World) -> None:
    async with world.connected() as connection, connection.start_sftp_client() as sftp:
        async with sftp.open("/attest/D-2026-000001.acknowledged", "wb"):
            assert not world.exchange.log
        assert ("attest", b"D-2026-000001.acknowledged", b"") in world.exchange.log
        assert (await sftp.stat("/attest/D-2026-000001.acknowledged")).size == 0
    async with world.client() as client:
        handle = await client.open("/attest/D-2026-000002.queried")
        await client.write(handle, 0, b"wrong month")
        client.connection.abort()
    await asyncio.sleep(0.1)
    assert not [entry for entry in world.exchange.log if b"000002" in entry[1]]


async def test_the_flags_say_whether_an_upload_goes_on(world: World) -> None:
    """Without TRUNC and EXCL an interrupted upload may be continued (reput)."""
    async with world.client() as client:
        await client.open(flags=wire.OPEN_WRITE | wire.OPEN_CREATE | wire.OPEN_TRUNCATE)
        await client.open(flags=wire.OPEN_WRITE | wire.OPEN_CREATE)
        await client.open(flags=wire.OPEN_WRITE | wire.OPEN_CREATE | wire.OPEN_APPEND)
        assert world.exchange.log == [
            ("open", b"a.csv", False, False), ("open", b"a.csv", True, False), ("open", b"a.csv", True, True)
        ]  # fmt: skip


async def test_a_key_that_may_only_put_sees_and_does_nothing_else(world: World) -> None:
    """No inbox, no keys, no attest; sending works."""
    world.exchange.put_only = True
    async with world.connected() as connection, connection.start_sftp_client() as sftp:
        assert not {"inbox", "keys", "attest", "link"} & set(await sftp.listdir("/"))
        for path in ("/inbox", "/inbox/trial/2026-11/kent", "/keys/mine", "/link"):
            with pytest.raises(asyncssh.SFTPNoSuchFile):
                await sftp.listdir(path)
        with pytest.raises(asyncssh.SFTPPermissionDenied):
            await sftp.open("/attest/D-2026-000001.acknowledged", "wb")
        async with sftp.open("/outbox/trial/2026-11/kent/a.csv", "wb") as file:
            await file.write(b"x")
        assert await world.told(("close", b"a.csv", 1))


async def test_a_twenty_first_connection_of_one_person_is_told_why(world: World) -> None:
    connections = [await asyncssh.connect(
        "127.0.0.1", world.listener.port, username="p-essex-1", known_hosts=None, client_keys=[world.key], config=None,
        agent_path=None,
    ) for _ in range(limits.PER_PERSON)]  # fmt: skip
    with pytest.raises((asyncssh.DisconnectError, ConnectionError, asyncssh.ChannelOpenError)):
        async with world.client():
            pass
    connections.pop().close()
    await asyncio.sleep(0.2)
    async with world.client():
        pass
    for connection in connections:
        connection.close()


async def test_closing_the_listener_interrupts_what_is_open_and_returns(world: World) -> None:
    async with world.client() as client:
        await client.write(await client.open(), 0, b"x" * 10)
        began = time.monotonic()
        await world.listener.close()
        assert time.monotonic() - began < 4
        assert ("interrupt", b"a.csv", 10) in world.exchange.log


async def test_two_channels_of_one_connection_do_not_wait_for_each_other(world: World) -> None:
    """An upload without room holds up its own channel only."""
    world.exchange.room = False
    async with world.connected() as connection:
        slow, quick = await Client(connection).begin(), await Client(connection).begin()
        handle = await slow.open()
        slow.send(wire.WRITE, handle, bytes(8), wire.text(b"x"))
        assert (await quick.ask(wire.STAT, wire.text(b"/outbox")))[0] == wire.ATTRS
