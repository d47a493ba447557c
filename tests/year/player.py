"""Plays a plan on a real exchange, step by step, in a process of its own: killed anywhere, it goes on where it was.

`python -m tests.year.player FOLDER`: FOLDER has scene.json, and gets journal.txt with the number of each finished step.
A step that was interrupted is done again: every verb may be repeated.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path

from sqlmodel import select

from server.domain.attestation import Counts, Destruction
from server.exchange import Exchange
from server.exchange.sessions import Visitor, fingerprint
from server.policy.edit import PersonKeys, with_keys
from server.policy.load import load_texts, read_texts
from server.policy.revision import revision
from server.store.tables import ConsignmentRow, DeliveryRow
from tests.year.days import POLICY, at
from tests.year.plan import DOWN, READERS, Act, File, Plan, year

TEMPLATES = POLICY.parents[1] / "templates"
VOUCHERS = ("g-essex", "g-kent")
HEADERS = {
    "post16-destinations": "given_name,family_name,dob,activity_code",
    "movers": "given_name,family_name,dob,residence_la",
    "year14-destinations": "given_name,family_name,dob,activity_code",
    "september-guarantee": "given_name,family_name,dob,sg_status",
}


@dataclass(frozen=True)
class Scene:
    """What a play needs besides its folder: the plan's seed and span, the people's keys, the database."""

    seed: int
    first: str
    last: str
    files: float
    ssh: Mapping[str, str]
    gpg: Mapping[str, tuple[str, str]]
    url: str = ""

    @property
    def plan(self) -> Plan:
        return year(self.seed, date.fromisoformat(self.first), date.fromisoformat(self.last), files=self.files)

    def write(self, folder: Path) -> None:
        (folder / "scene.json").write_text(json.dumps(asdict(self)))

    def play_in(self, folder: Path) -> None:
        """The same scene, to be played again in a new folder."""
        self.write(folder)
        found(folder, self)

    @classmethod
    def read(cls, folder: Path) -> Scene:
        return cls(**json.loads((folder / "scene.json").read_text()))

    def policy_files(self, *, without: str = "") -> dict[str, str]:
        """The shipped set with these keys, training in date all year, `without` one member's GPG keys."""
        files = read_texts(POLICY)
        keys = {
            person: PersonKeys(ssh=(line,), gpg=(tuple(self.gpg[person]),) if person not in self._of(without) else ())  # type: ignore[arg-type]
            for person, line in self.ssh.items()
        }
        people = with_keys(files["people.yaml"], keys)
        for ends in ("2027-03-31", "2026-12-31"):
            people = people.replace(f"training_valid_until: {ends}", "training_valid_until: 2028-03-31")
        return files | {"people.yaml": people}

    def _of(self, member: str) -> frozenset[str]:
        return frozenset(READERS[member]) if member else frozenset()


def url_of(folder: Path, scene: Scene) -> str:
    return scene.url or f"sqlite:///{folder / 'data' / 'safehand.db'}"


def found(folder: Path, scene: Scene) -> None:
    """The exchange is made, and the policy founded, early on the plan's first day."""
    data, url = folder / "data", url_of(folder, scene)
    start = at(date.fromisoformat(scene.first), "00:00")
    Exchange.create(data, database_url=url, templates=TEMPLATES, at=start)
    exchange = Exchange.open(data, database_url=url, templates=TEMPLATES)
    exchange.revisions.found(scene.policy_files(), vouched_by=VOUCHERS)
    exchange.close()


class Player:
    """The people of the nine members, and the clock."""

    def __init__(self, exchange: Exchange, scene: Scene) -> None:
        self.exchange, self.scene = exchange, scene

    def steps(self) -> Iterator[tuple[str, datetime, Act | None]]:
        """The clock is set, everybody who acts then acts, the exchange looks; moment after moment."""
        acts: dict[datetime, list[Act]] = {}
        plan = self.scene.plan
        for act in plan.acts:
            acts.setdefault(act.when, []).append(act)
        for moment in plan.moments():
            yield "clock", moment, None
            for act in acts.get(moment, []):
                yield "act", moment, act
            yield "tick", moment, None

    def do(self, what: str, moment: datetime, act: Act | None) -> None:
        """One step; it may have been begun before."""
        if what == "clock":
            self.exchange.clock.set(moment, running=False if moment == DOWN[1] else None)
        elif what == "tick":
            self.exchange.tick()
            self.exchange.tick()
        elif act is not None:
            self.act(act)

    # -- what people do

    def act(self, act: Act) -> None:
        """One act of one person, as the mailbox or the chat would call it."""
        exchange, person, args = self.exchange, act.person, act.args
        match act.verb:
            case "put":
                file = File.of(args[0])
                self._put(person, f"{file.exchange}/{file.period}/{file.recipient}/{file.name}", content(file))
            case "nil-file":
                self._put(person, "/".join(part for part in (*args, "NIL") if part), b"")
            case "nil":
                exchange.obligations.nil(person, args[0], args[1], args[2] or None, via="test")
            case "cannot":
                file = File.of(args[0])
                exchange.obligations.cannot(
                    person,
                    file.exchange,
                    file.period,
                    file.recipient,
                    "the records system is being replaced",
                    via="test",
                )
            case "collect":
                self._collect(person, self.delivery(args[0]))
            case "acknowledge":
                exchange.acknowledgement.acknowledge(person, self.delivery(args[0]), via="test")
            case "processed":
                self._processed(person, self.delivery(args[0]), int(args[1]), int(args[2]))
            case "destroyed":
                self._destroyed(person, self.delivery(args[0]))
            case "away":
                exchange.absences.away(
                    person, date.fromisoformat(args[0]), date.fromisoformat(args[1]), cover=args[2] or None, by=person
                )
            case "key-gone":
                self._policy(self.scene.policy_files(without=args[0]), "2.2.0")
            case "key-back":
                self._policy(self.scene.policy_files(), "2.3.0")
            case _:
                raise AssertionError(act.verb)

    def delivery(self, key: str) -> str:
        """The id of a file's delivery."""
        file = File.of(key)
        query = select(DeliveryRow.id).where(
            DeliveryRow.consignment == ConsignmentRow.id, ConsignmentRow.name == file.name,
            ConsignmentRow.exchange == file.exchange,
        )  # fmt: skip
        with self.exchange.ground.store.reading() as session:
            return session.exec(query).one()

    def _visitor(self, person: str) -> Visitor:
        visitor = self.exchange.sessions.admit(person, fingerprint(self.scene.ssh[person]), "127.0.0.1")
        assert isinstance(visitor, Visitor), visitor
        return visitor

    def _put(self, person: str, path: str, body: bytes) -> None:
        *folder, name = path.split("/")
        arrival = self.exchange.intake.open(self._visitor(person), tuple(folder), name.encode(), resume=False)
        if body:
            arrival.write(0, body)
        self.exchange.intake.close(arrival)

    def _collect(self, person: str, delivery: str) -> None:
        reading = self.exchange.collection.read(self._visitor(person), delivery)
        served = reading.read(0, reading.size)
        reading.served(0, len(served))
        reading.close(by_client=True)

    def _processed(self, person: str, delivery: str, kept: int, not_ours: int) -> None:
        """All that is kept belongs to the first of the authorities that the member represents."""
        member = self.exchange.policy.member(self.exchange.ground.person(person).member)
        assert member is not None
        authorities = {member.represents[0].la: kept} if len(member.represents) > 1 else {}
        counts = Counts(kept + not_ours, kept, not_ours, 0, authorities)
        self.exchange.use.processed(person, delivery, counts, via="test")

    def _destroyed(self, person: str, delivery: str) -> None:
        said = Destruction({"import_folder": "deleted", "downloads": "overwritten"}, "none")
        self.exchange.use.destroyed(person, delivery, said, via="test")

    def _policy(self, files: dict[str, str], label: str) -> None:
        """The real way: proposed, approved by whom it needs, applied; what of it was done before is not done again."""
        revisions, by = self.exchange.revisions, "a-essex-1"
        files["policy.yaml"] = files["policy.yaml"].replace("version: 2.1.0", f"version: {label}")
        self.exchange.refresh()
        if self.exchange.revision == revision(load_texts(files)):
            return
        proposal = revisions.propose(files, by=by)
        everybody = sorted(self.exchange.policy.people, key=lambda p: "governance_lead" not in p.roles)
        for person in everybody:
            if revisions.proposal(by, proposal.id).needs_words.startswith("The quorum"):
                break
            if self.exchange.policy.may(person, "policy.approve"):
                revisions.approve(person.id, proposal.id, via="test")
        revisions.apply(proposal.id, by=by)


def content(file: File) -> bytes:
    """Three records of fictional people; no two files are alike."""
    mark = f"{file.sender}-{file.recipient}".replace("-", " ").title()
    month = "abcdefghijkl"[int(file.period[5:]) - 1] * 2
    rows = []
    for letter in ("Ann", "Bea", "Cal"):
        name = f"{mark} {month}"
        rows.append(
            {
                "movers": f"{letter},{name},2009-01-01,886",
                "september-guarantee": f"{letter},{name},2011-01-01,110",
                "year14-destinations": f"{letter},{name},2008-01-01,330",
            }.get(file.exchange, f"{letter},{name},2009-01-01,330")
        )
    return "".join(f"{line}\r\n" for line in (HEADERS[file.exchange], *rows)).encode()


def play(folder: Path) -> None:
    """To the end, from where the journal ends."""
    scene = Scene.read(folder)
    exchange = Exchange.open(folder / "data", database_url=url_of(folder, scene), templates=TEMPLATES)
    exchange.recover()
    journal = folder / "journal.txt"
    finished = journal.read_bytes().count(b"\n") if journal.exists() else 0
    player = Player(exchange, scene)
    pen = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number, step in enumerate(player.steps()):
        if number >= finished:
            player.do(*step)
            os.write(pen, b".\n")
    os.close(pen)
    exchange.close()


if __name__ == "__main__":
    play(Path(sys.argv[1]))
