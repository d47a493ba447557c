"""A real exchange for tests: a data folder, SQLite, gpg, the shipped policy set with keys for a few people."""

from __future__ import annotations

import atexit
import itertools
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from server.domain.notice import Notice
from server.exchange import Exchange
from server.exchange.sessions import Visitor, fingerprint
from server.policy.edit import PersonKeys, with_keys
from server.policy.load import load_texts, read_texts
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.conftest import _short_folder as short_folder

ROOT = Path(__file__).parent.parent
TEMPLATES = ROOT / "templates"
PEOPLE = ("p-essex-1", "p-essex-2", "p-kent-1", "p-kent-2", "p-medway-1")
VOUCHERS = ("g-essex", "g-kent")
START = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
LATER = START + timedelta(seconds=5)
"""When a copy goes on."""
DATABASE = "safehand.db"
_databases = itertools.count(1)
_IN_LETTERS = {ord("0") + n: letter for n, letter in enumerate("abcdefghij")}
"""Names have no digits."""
HEADER = b"given_name,family_name,dob,activity_code\r\n"


@dataclass
class SmallExchange:
    """The exchange, and the people's acts over SFTP as one call each."""

    exchange: Exchange
    keys: Mapping[str, str] = field(repr=False)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1), repr=False)

    def visitor(self, person: str) -> Visitor:
        """The person, logged in with their key."""
        found = self.exchange.sessions.admit(person, fingerprint(self.keys[person]), "127.0.0.1")
        assert isinstance(found, Visitor), found
        return found

    def put(self, person: str, path: str, content: bytes) -> str | None:
        """`put` below outbox/: open, write, close; what is said on standard error."""
        *folder, name = path.split("/")
        arrival = self.exchange.intake.open(self.visitor(person), tuple(folder), name.encode(), resume=False)
        assert arrival.write(0, content)
        return self.exchange.intake.close(arrival)

    def send(self, *, rows: int = 3, cut: bool = False, name: str = "") -> str:
        """Essex sends Kent a record file; the consignment's id. `cut`: it ends inside a record and is held.

        Without a name it is a new file with new content; with one the content is `records(rows)`.
        """
        number = next(self._numbers)
        body = records(rows) if name else records(rows, f"{number}-")
        path = f"post16-destinations/2026-11/kent/{name or f'destinations-{number}.csv'}"
        assert self.put("p-essex-1", path, body[:-9] if cut else body)
        return self.exchange.views.sent_deliveries("p-essex-1")[0].consignment

    def release(self) -> None:
        """Three minutes pass."""
        self.exchange.clock.set(self.exchange.now() + timedelta(minutes=3))
        self.exchange.tick()

    def arrive(self, *, rows: int = 3, name: str = "") -> str:
        """A delivery that waits in Kent's inbox; its id."""
        consignment = self.send(rows=rows, name=name)
        self.release()
        return self.received(consignment)[0]

    def received(self, consignment: str) -> list[str]:
        """What Kent has of this consignment: delivery ids."""
        return [view.id for view in self.exchange.views.received("p-kent-1") if view.consignment == consignment]

    def collect(self, delivery: str, person: str = "p-kent-2") -> None:
        """`get`: every byte, then a close."""
        reading = self.exchange.collection.read(self.visitor(person), delivery)
        served = reading.read(0, reading.size)
        reading.served(0, len(served))
        reading.close(by_client=True)

    def told(self, person: str) -> list[Notice]:
        """The person's notices, newest first, without the day's digest."""
        notices = (view.notice for view in self.exchange.views.notices(person))
        return [notice for notice in notices if notice.kind != "digest"]

    def kinds(self) -> list[str]:
        """The kinds of all ledger entries, in order."""
        return [entry.kind for entry in self.exchange.evidence.entries()]

    def count(self, kind: str, subject: str) -> int:
        """How many ledger entries of this kind are about it."""
        return sum(e.kind == kind and f'"{subject}"' in e.subjects for e in self.exchange.evidence.entries())

    def code(self, person: str) -> str:
        """The one-time chat code from the person's own mailbox; for who has none, as an invitation gives it."""
        if person not in self.keys:
            return self.exchange.people.code("chat", self.exchange.ground.person(person), via_key="invite")
        papers = {paper.name: paper for paper in self.exchange.views.link(self.visitor(person))}
        return papers["chat-code.txt"].content().decode().split()[0]

    def token(self, person: str) -> str:
        """A one-time sign-in token for the desk."""
        return self.exchange.people.invite(person, by="operator")


def records(rows: int, mark: str = "") -> bytes:
    """A record file of fictional people, header first."""
    names = (f"{mark}{n}".translate(_IN_LETTERS) for n in range(rows))
    return HEADER + "".join(f"Test,Person {name},2009-01-01,330\r\n" for name in names).encode()


@contextmanager
def small_exchange(
    gpg_person: MakeGpgPerson,
    ssh_key: MakeSshKey,
    url: str = "",
    *,
    messages: int = 6,
    people: tuple[str, ...] = PEOPLE,
    new: bool = False,
) -> Iterator[SmallExchange]:
    """Opened in a folder of its own, with SQLite unless a URL is given; it is 1 December 2026, 09:00.

    It is the copy of one that had its first tick at that hour; a `new` one has a key of its own, and had none.
    `messages`: how many a person gets in a day, for tests in which that one day is long.
    """
    lines = {person: ssh_key(person).public for person in people}
    files = policy_files(lines, gpg_person)
    limit = "max_per_person_per_day: "
    files["notifications.yaml"] = files["notifications.yaml"].replace(f"{limit}6", f"{limit}{messages}")
    with short_folder("shx-") as folder:
        data = folder / "data"
        url = url or f"sqlite:///{data / DATABASE}"
        if new:
            _found(data, url, files)
        else:
            _copy(data, url, files)
        exchange = Exchange.open(data, database_url=url, templates=TEMPLATES)
        exchange.clock.set(START if new else LATER)
        exchange.refresh()
        try:
            yield SmallExchange(exchange, lines)
        finally:
            exchange.close()


def _found(data: Path, url: str, files: Mapping[str, str], *, tick: bool = False) -> None:
    """A new exchange in this folder, with this policy in force."""
    Exchange.create(data, database_url=url, templates=TEMPLATES)
    exchange = Exchange.open(data, database_url=url, templates=TEMPLATES)
    exchange.revisions.found(files, vouched_by=VOUCHERS)
    if tick:
        exchange.clock.set(START)
        exchange.refresh()
        exchange.tick()
    exchange.close()


def _copy(data: Path, url: str, files: Mapping[str, str]) -> None:
    """The folder and the database of one that had its first tick."""
    place = make_url(url)
    if place.drivername == "sqlite":
        folder, _ = _running("", tuple(files.items()))
        shutil.copytree(folder, data)
        shutil.move(data / DATABASE, str(place.database))
        return
    server = place.set(drivername="postgresql", database="postgres").render_as_string(hide_password=False)
    folder, database = _running(server, tuple(files.items()))
    shutil.copytree(folder, data)
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {place.database}")
        admin.execute(f"CREATE DATABASE {place.database} TEMPLATE {database}")


@cache
def _running(server: str, files: tuple[tuple[str, str], ...]) -> tuple[Path, str]:
    """The folder of an exchange to be copied, and its database on that PostgreSQL; the same for most tests."""
    folder = Path(tempfile.mkdtemp(prefix="shx-", dir="/tmp"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    data, database = folder / "data", f"running_{next(_databases)}"
    url = f"sqlite:///{data / DATABASE}"
    if server:
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {database}")
        place = make_url(server).set(drivername="postgresql+psycopg", database=database)
        url = place.render_as_string(hide_password=False)
    _found(data, url, dict(files), tick=True)
    return data, database


def put_in_force(exchange: Exchange, files: Mapping[str, str], *, by: str = "a-essex-1") -> str:
    """The real way: proposed, approved by whom it needs, applied; labels that did not move are moved first."""
    revisions, files = exchange.revisions, dict(files)
    planned = revisions.plan(files, by=by)
    highest = max((one.label for one in revisions.history.applied()), key=numbers)
    if numbers(planned.label) <= numbers(highest):
        files["policy.yaml"] = moved(files["policy.yaml"], highest)
    if planned.changes_text:
        ever = {revisions.history.policy(one.revision).agreement.version for one in revisions.history.applied()}
        if numbers(load_texts(files).agreement.version) <= numbers(max(ever, key=numbers)):
            files["agreement.yaml"] = moved(files["agreement.yaml"], max(ever, key=numbers))
    proposal = revisions.propose(files, by=by)
    for person in sorted(exchange.policy.people, key=lambda p: ("governance_lead" not in p.roles, p.id.endswith("-2"))):
        if revisions.proposal(by, proposal.id).needs_words.startswith("The quorum"):
            break
        if exchange.policy.may(person, "policy.approve") and exchange.views.person(person.id) is not None:
            revisions.approve(person.id, proposal.id, via="test")
    return revisions.apply(proposal.id, by=by)


def numbers(label: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", label)]


def moved(text: str, label: str) -> str:
    """The file with the version after `label`."""
    *before, last = numbers(label)
    mark = label[: len(label) - len(label.lstrip("V"))]
    following = mark + ".".join(map(str, (*before, last + 1)))
    return re.sub(r"(?m)^version: .*$", f"version: {following}", text, count=1)


def policy_files(lines: Mapping[str, str], gpg_person: MakeGpgPerson) -> dict[str, str]:
    """The shipped policy set with these SSH lines, and a real GPG key each, for the people named."""
    files = read_texts(ROOT / "policies" / "ccis-v2")
    people = {person: gpg_person(person) for person in lines}
    keys = {name: PersonKeys(ssh=(lines[name],), gpg=((g.fingerprint, g.armored),)) for name, g in people.items()}
    files["people.yaml"] = _people(files["people.yaml"], tuple(keys.items()))
    return files


@cache
def _people(text: str, keys: tuple[tuple[str, PersonKeys], ...]) -> str:
    """people.yaml with these keys: the same for most tests."""
    return with_keys(text, dict(keys))
