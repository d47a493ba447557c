"""Whatever people do, in whatever order, and whenever the server stops: what must hold, holds after every step."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Literal

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlmodel import Session, select

from server.domain.delivery import MOVES, UNRELEASED, VISIBLE, SealedCopy, Status
from server.domain.errors import Forbidden, Missing, Refused
from server.exchange import Exchange
from server.store.spool import PART, SEALED
from server.store.tables import ConsignmentRow, DeliveryRow, KeyPacketRow, NoticeRow
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.conftest import _short_folder as short_folder
from tests.small_exchange import TEMPLATES, SmallExchange, records, small_exchange

EXCHANGES = st.sampled_from(["post16-destinations", "trial"])
MEMBERS = st.sampled_from(["kent", "medway"])
NAMES = st.sampled_from(["zebra-1.csv", "zebra-2.csv"])
SENDERS = st.sampled_from(["p-essex-1", "p-essex-2"])
RECIPIENTS = st.sampled_from(["p-kent-1", "p-kent-2", "p-medway-1"])
ROWS = st.integers(1, 3)
ANY = st.integers(0, 40)
READER = {"kent": "p-kent-1", "medway": "p-medway-1"}


def reach(start: Status) -> frozenset[Status]:
    """Where the tables of the domain lead from here, in any number of moves."""
    found, todo = {start}, [start]
    while todo:
        todo += (after := MOVES[todo.pop()] - found)
        found |= after
    return frozenset(found)


REACH = {status: reach(status) for status in Status}


@dataclass(frozen=True)
class Template:
    """A data folder that was made once and is copied for every storm."""

    data: Path
    keys: dict[str, str]


@pytest.fixture(scope="module")
def template(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[Template]:
    with small_exchange(gpg_person, ssh_key) as made:
        made.exchange.close()
        yield Template(made.exchange.ground.data, dict(made.keys))


class Storm(RuleBasedStateMachine):
    """Two senders, three recipients, two names, two exchanges; time passes and the server stops."""

    template: ClassVar[Template]

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.data = self._stack.enter_context(short_folder("sht-")) / "d"
        shutil.copytree(self.template.data, self.data, ignore=shutil.ignore_patterns("S.*", "*.lock"))
        self.here = SmallExchange(self._opened(), self.template.keys)
        self.known: dict[str, Status] = {}

    def _opened(self) -> Exchange:
        url = f"sqlite:///{self.data / 'safehand.db'}"
        exchange = Exchange.open(self.data, database_url=url, templates=TEMPLATES)
        exchange.recover()
        return exchange

    def teardown(self) -> None:
        self.here.exchange.close()
        self._stack.close()

    def attempt(self, act: Callable[[], object]) -> None:
        """A person may be told no; nothing else may come of it."""
        with suppress(Refused, Missing, Forbidden):
            act()

    def some(self, number: int) -> DeliveryRow | None:
        with self.here.exchange.ground.store.reading() as session:
            rows = session.exec(select(DeliveryRow).order_by(DeliveryRow.id)).all()
        return rows[number % len(rows)] if rows else None

    # -- what people do

    @rule(sender=SENDERS, exchange=EXCHANGES, to=MEMBERS, name=NAMES, rows=ROWS, cut=st.booleans())
    def put(self, sender: str, exchange: str, to: str, name: str, rows: int, cut: bool) -> None:
        content = records(rows)
        self.attempt(lambda: self.here.put(sender, f"{exchange}/2026-11/{to}/{name}", content[:-9] if cut else content))

    @rule(sender=SENDERS, name=NAMES, rows=ROWS)
    def put_for_everyone(self, sender: str, name: str, rows: int) -> None:
        self.attempt(lambda: self.here.put(sender, f"trial/2026-11/everyone/{name}", records(rows)))

    @rule(sender=SENDERS, exchange=EXCHANGES, to=MEMBERS, name=NAMES, rows=ROWS)
    def put_under_a_temporary_name(self, sender: str, exchange: str, to: str, name: str, rows: int) -> None:
        self.attempt(lambda: self.here.put(sender, f"{exchange}/2026-11/{to}/{name}.part", records(rows)))

    @rule(sender=SENDERS, exchange=EXCHANGES, to=MEMBERS, old=NAMES, new=NAMES, temporary=st.booleans())
    def rename(self, sender: str, exchange: str, to: str, old: str, new: str, temporary: bool) -> None:
        folder, visitor = (exchange, "2026-11", to), self.here.visitor(sender)
        before, after = (f"{old}.part" if temporary else old).encode(), new.encode()
        amendments = self.here.exchange.amendments
        self.attempt(lambda: amendments.rename(visitor, folder, before, folder, after))

    @rule(sender=SENDERS, exchange=EXCHANGES, to=MEMBERS, name=NAMES)
    def remove(self, sender: str, exchange: str, to: str, name: str) -> None:
        visitor, amendments = self.here.visitor(sender), self.here.exchange.amendments
        self.attempt(lambda: amendments.remove(visitor, (exchange, "2026-11", to), name.encode()))

    @rule(sender=SENDERS, to=MEMBERS, name=NAMES, rows=ROWS)
    def put_a_checksum(self, sender: str, to: str, name: str, rows: int) -> None:
        content = hashlib.sha256(records(rows)).hexdigest().encode()
        path = f"post16-destinations/2026-11/{to}/{name}.sha256"
        self.attempt(lambda: self.here.put(sender, path, content))

    @rule(sender=SENDERS, which=ANY, right=st.booleans())
    def answer_for_what_is_held(self, sender: str, which: int, right: bool) -> None:
        row, deliveries = self.some(which), self.here.exchange.delivery
        act = deliveries.all_there if right else deliveries.discard
        if row is not None:
            self.attempt(lambda: act(sender, row.consignment, via="test"))

    @rule(sender=SENDERS, which=ANY)
    def recall(self, sender: str, which: int) -> None:
        row = self.some(which)
        if row is not None:
            self.attempt(lambda: self.here.exchange.delivery.recall(sender, row.id, via="test"))

    @rule(person=RECIPIENTS, which=ANY, whole=st.booleans())
    def collect(self, person: str, which: int, whole: bool) -> None:
        row = self.some(which)
        if row is not None:
            self.attempt(lambda: self._read(person, row.id, whole=whole))

    def _read(self, person: str, delivery: str, *, whole: bool) -> None:
        reading = self.here.exchange.collection.read(self.here.visitor(person), delivery)
        served = reading.read(0, reading.size if whole else reading.size // 2)
        reading.served(0, len(served))
        reading.close(by_client=True)

    @rule(person=RECIPIENTS, which=ANY)
    def acknowledge(self, person: str, which: int) -> None:
        row = self.some(which)
        if row is not None:
            self.attempt(lambda: self.here.exchange.acknowledgement.acknowledge(person, row.id, via="test"))

    @rule(person=RECIPIENTS, which=ANY, kind=st.sampled_from(["queried", "rejected"]))
    def complain(self, person: str, which: int, kind: Literal["queried", "rejected"]) -> None:
        row, acknowledgement = self.some(which), self.here.exchange.acknowledgement
        if row is not None:
            self.attempt(lambda: acknowledgement.problem(person, row.id, kind, "The month is wrong", via="test"))

    # -- what happens

    @rule(minutes=st.sampled_from([1, 2, 3, 60, 25 * 60]))
    def time_passes(self, minutes: int) -> None:
        exchange = self.here.exchange
        exchange.clock.set(exchange.now() + timedelta(minutes=minutes))
        exchange.tick()

    @rule()
    def the_server_stops_and_starts(self) -> None:
        self.here.exchange.close()
        self.here.exchange = self._opened()

    @precondition(lambda self: any(self.here.exchange.ground.spool.folder.iterdir()))
    @rule(which=ANY)
    def the_server_dies_between_commit_and_rename(self, which: int) -> None:
        files = sorted(self.here.exchange.ground.spool.folder.glob(f"*{SEALED}"))
        self.here.exchange.close()
        if files:
            file = files[which % len(files)]
            file.rename(file.with_suffix(PART))
        self.here.exchange = self._opened()

    # -- what must hold

    @invariant()
    def the_ledger_holds(self) -> None:
        assert self.here.exchange.evidence.verify().entries == self.here.exchange.ground.store.head()[0]

    @invariant()
    def rows_spool_and_notices_agree(self) -> None:
        """One look at everything that is stored."""
        with self.here.exchange.ground.store.reading() as session:
            consignments = {row.id: row for row in session.exec(select(ConsignmentRow))}
            deliveries = list(session.exec(select(DeliveryRow)))
            packets = {(row.consignment, row.member): row.packets for row in session.exec(select(KeyPacketRow))}
            notices = list(session.exec(select(NoticeRow)))
        self._every_status_was_reached_by_moves(deliveries)
        self._the_spool_is_what_the_rows_say(consignments)
        self._only_kept_copies_have_packets(consignments, deliveries, packets)
        self._one_file_has_one_name(consignments, deliveries)
        self._notices_name_no_file(notices, deliveries)
        for row in deliveries:
            self._is_readable_only_if_visible(row, consignments[row.consignment], packets)

    def _every_status_was_reached_by_moves(self, deliveries: list[DeliveryRow]) -> None:
        said = Counter((e.kind, s) for e in self.here.exchange.evidence.entries() for s in e.subjects.split('"')[1::2])
        for row in deliveries:
            before = self.known.get(row.id, Status.SENT)
            assert row.status in REACH[before], f"{row.id}: {before} became {row.status}"
            self.known[row.id] = row.status
            if row.status not in UNRELEASED:
                assert said[f"delivery.{row.status}", row.id], f"{row.id} is {row.status}; the ledger does not say so"

    def _the_spool_is_what_the_rows_say(self, consignments: dict[str, ConsignmentRow]) -> None:
        files = {path.name for path in self.here.exchange.ground.spool.folder.iterdir()}
        assert files == {row.blob + SEALED for row in consignments.values() if not row.blob_gone}

    def _only_kept_copies_have_packets(
        self,
        consignments: dict[str, ConsignmentRow],
        deliveries: list[DeliveryRow],
        packets: dict[tuple[str, str], bytes],
    ) -> None:
        staged = {key for key in packets if consignments[key[0]].staged}
        kept = {(row.consignment, row.recipient) for row in deliveries if row.copy_state is SealedCopy.KEPT}
        assert set(packets) - staged == kept
        assert {key[0] for key in packets} == {row.id for row in consignments.values() if not row.blob_gone}

    def _one_file_has_one_name(self, consignments: dict[str, ConsignmentRow], deliveries: list[DeliveryRow]) -> None:
        """A partner never has two current files of one name from one member."""
        places = Counter(
            (c.member, c.exchange, c.period, c.name_key, row.recipient)
            for row in deliveries
            if row.status in VISIBLE and (c := consignments[row.consignment])
        )
        assert not [place for place, count in places.items() if count > 1]

    def _notices_name_no_file(self, notices: list[NoticeRow], deliveries: list[DeliveryRow]) -> None:
        assert not [row.body for row in notices if "zebra" in row.body.lower()]
        assert not [e for e in self.here.exchange.evidence.entries() if "zebra" in f"{e.data}{e.subjects}"]
        unseen = {f"delivery:{row.id}" for row in deliveries if row.available_at is None}
        assert not unseen & {row.thread for row in notices}

    def _is_readable_only_if_visible(
        self, row: DeliveryRow, consignment: ConsignmentRow, packets: dict[tuple[str, str], bytes]
    ) -> None:
        visitor = self.here.visitor(READER[row.recipient])
        mine = packets.get((row.consignment, row.recipient))
        try:
            reading = self.here.exchange.collection.read(visitor, row.id)
        except Missing:
            assert row.status not in VISIBLE or mine is None
            return
        content = reading.read(0, reading.size)
        reading.close(by_client=False)
        assert row.status in VISIBLE
        assert mine is not None
        assert content.startswith(mine)
        assert hashlib.sha256(content[len(mine) :]).hexdigest() == consignment.payload_sha256

    @invariant()
    def recipients_see_only_what_was_released(self) -> None:
        """Inbox, chat and desk of both members."""
        with self.here.exchange.ground.store.reading() as session:
            for member, person in READER.items():
                self._sees_only_its_own(session, member, person)

    def _sees_only_its_own(self, session: Session, member: str, person: str) -> None:
        mine = [row for row in session.exec(select(DeliveryRow)) if row.recipient == member]
        views, visitor = self.here.exchange.views, self.here.visitor(person)
        told = {view.id for view in views.received(person)}
        files = {f.delivery for folder in views.inbox(visitor) for f in views.inbox_files(visitor, *folder)}
        assert told == {row.id for row in mine if row.available_at is not None}
        assert files == {row.id for row in mine if row.status in VISIBLE and row.copy_state is SealedCopy.KEPT}


def storms(template: Template, *, many: int, steps: int, phases: tuple[Phase, ...]) -> None:
    """Runs them; each in a data folder of its own."""
    quiet = settings(
        max_examples=many, stateful_step_count=steps, phases=phases, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(type("Storm", (Storm,), {"template": template}), settings=quiet)


def test_whatever_people_do_the_exchange_keeps_its_word(template: Template) -> None:
    """Put, rename, remove, answer, recall, collect, acknowledge, complain, wait, stop and die, in every order."""
    storms(template, many=6, steps=25, phases=(Phase.reuse, Phase.generate))  # `make hard` makes a failure short


@pytest.mark.hard
def test_a_long_storm_changes_nothing_of_it(template: Template) -> None:
    """The same, for some minutes and with longer stories."""
    storms(template, many=100, steps=50, phases=tuple(Phase))
