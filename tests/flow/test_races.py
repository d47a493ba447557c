"""What happens at the same moment, or just as something goes away: nothing is lost, doubled or said wrongly."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from server.domain.delivery import Status
from server.domain.errors import Misconfigured, Missing, Refused, SafehandError
from server.exchange import Exchange
from server.exchange.arrivals import Arrival
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import TEMPLATES, SmallExchange, policy_files, put_in_force, records, small_exchange

POST16 = "post16-destinations/2026-11"
KENT = ("post16-destinations", "2026-11", "kent")


@pytest.fixture
def here(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    with small_exchange(gpg_person, ssh_key) as made:
        yield made


def opened(here: SmallExchange, path: str, content: bytes) -> Arrival:
    *folder, name = path.split("/")
    arrival = here.exchange.intake.open(here.visitor("p-essex-1"), tuple(folder), name.encode(), resume=False)
    arrival.write(0, content)
    return arrival


def test_a_second_open_of_a_name_that_is_just_being_closed_takes_nothing_from_it(here: SmallExchange) -> None:
    """The close that was begun ends well, and its bytes are there."""
    first = opened(here, "trial/2026-11/kent/a.txt", b"hello world")
    said: list[str | None] = []
    closing = threading.Thread(target=lambda: said.append(here.exchange.intake.close(first)))
    with here.exchange.ground.transaction():
        closing.start()
        closing.join(1)
        second = opened(here, "trial/2026-11/kent/a.txt", b"hello")
    closing.join(20)
    here.exchange.intake.interrupt(second)
    assert said
    assert "Received 11 bytes" in str(said[0])
    here.collect(here.exchange.views.received("p-kent-1")[0].id)


def test_the_late_end_of_an_upload_that_was_replaced_hides_nothing(here: SmallExchange) -> None:
    """A half-open connection dies after its file was sent again: the newer file stands, and rm still undoes it."""
    first = opened(here, f"{POST16}/kent/d.csv", records(3))
    here.put("p-essex-1", f"{POST16}/kent/d.csv", records(4))
    here.exchange.intake.interrupt(first)
    visitor = here.visitor("p-essex-1")
    assert [listed.size for listed in here.exchange.views.sent(visitor, *KENT)] == [len(records(4))]
    assert "undone" in str(here.exchange.amendments.remove(visitor, KENT, b"d.csv"))


def test_the_first_content_again_after_a_second_is_the_one_that_goes(here: SmallExchange) -> None:
    """A released, B waiting, A again: Kent ends with A."""
    here.put("p-essex-1", f"{POST16}/kent/d.csv", records(3))
    here.release()
    here.put("p-essex-1", f"{POST16}/kent/d.csv", records(5))
    here.put("p-essex-1", f"{POST16}/kent/d.csv", records(3))
    here.release()
    assert [v.rows for v in here.exchange.views.received("p-kent-1") if v.status is Status.AVAILABLE] == [3]


def test_a_suspension_counts_even_when_the_policy_in_force_cannot_be_read(here: SmallExchange) -> None:
    """A stored revision that was tampered with permits nothing, and nobody is admitted under the old one."""
    key = here.visitor("p-kent-1").key
    with here.exchange.ground.store.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO revision (id, label, files) SELECT :new, label, files FROM revision LIMIT 1"),
            {"new": "f" * 64},
        )
        connection.execute(
            text('INSERT INTO revision_in_force (revision, at, "by") VALUES (:new, :at, :by)'),
            {"new": "f" * 64, "at": "2026-12-01T09:00:00.000000Z", "by": "somebody"},
        )
    here.exchange.refresh()
    with pytest.raises(SafehandError, match="was changed"):
        assert here.exchange.policy
    assert here.exchange.sessions.admit("p-kent-1", key, "127.0.0.1") is None


def test_what_the_policy_no_longer_permits_is_not_released(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """Accepted yesterday, withdrawn today: it is held, and its sender is told."""
    here.send()
    files = policy_files(here.keys, gpg_person)
    files["agreement.yaml"] = files["agreement.yaml"].replace("status: APPROVED", "status: WITHDRAWN")
    put_in_force(here.exchange, files)
    here.release()
    assert here.exchange.views.received("p-kent-1") == ()
    view = here.exchange.views.sent_deliveries("p-essex-1")[0]
    assert view.status is Status.HELD
    assert "WITHDRAWN" in view.words


def test_the_ledger_repeats_nothing_that_a_client_wrote(here: SmallExchange) -> None:
    """Folder names that somebody invents and reasons stay out of it."""
    with pytest.raises(Refused):
        here.put("p-essex-1", f"{POST16}/Jane Example 2009-03-04/x.csv", b"a")
    delivery = here.arrive()
    here.exchange.acknowledgement.problem("p-kent-1", delivery, "queried", "wrong month perhaps", via="test")
    written = "".join(entry.data + entry.subjects for entry in here.exchange.evidence.entries())
    assert "Jane" not in written
    assert "wrong month" not in written


def test_a_collection_that_could_not_be_recorded_is_recorded_later(here: SmallExchange) -> None:
    """The database was busy when Kent's client closed; a recall afterwards is answered honestly."""
    delivery = here.arrive()
    reading = here.exchange.collection.read(here.visitor("p-kent-2"), delivery)
    reading.served(0, len(reading.read(0, reading.size)))
    with here.exchange.ground.transaction():
        closing = threading.Thread(target=lambda: reading.close(by_client=True))
        closing.start()
        closing.join(20)
    here.exchange.tick()
    with pytest.raises(Refused, match="cannot be recalled"):
        here.exchange.delivery.recall("p-essex-1", delivery, via="test")


def test_a_recall_stops_a_download_that_is_under_way(here: SmallExchange) -> None:
    """Not one byte more after it; and the sender is told that it had begun."""
    delivery = here.arrive()
    reading = here.exchange.collection.read(here.visitor("p-kent-1"), delivery)
    reading.served(0, len(reading.read(0, 10)))
    assert "had begun" in here.exchange.delivery.recall("p-essex-1", delivery, via="test").sentence
    for act in (lambda: reading.read(10, 10), lambda: reading.served(10, 10)):
        with pytest.raises(Missing):
            act()
    reading.close(by_client=True)
    assert "delivery.collected" not in here.kinds()


def test_a_checksum_that_does_not_fit_holds_what_has_not_gone(here: SmallExchange) -> None:
    """The file may be damaged: its sender is asked before it goes."""
    here.put("p-essex-1", f"{POST16}/kent/d.csv", records(3))
    assert "held now" in str(here.put("p-essex-1", f"{POST16}/kent/d.csv.sha256", b"0" * 64 + b"  d.csv\n"))
    here.release()
    assert here.exchange.views.received("p-kent-1") == ()


def test_dropped_key_packets_are_in_no_file_of_the_database(here: SmallExchange) -> None:
    """Not in a free page and not in the write-ahead file: the copy cannot be read any more."""
    here.put("p-essex-1", "trial/2026-11/everyone/a.txt", b"hello")
    with here.exchange.ground.store.reading() as session:
        packets = session.execute(text("SELECT packets FROM key_packet WHERE member = 'kent'")).scalar_one()
    mine = next(v.id for v in here.exchange.views.sent_deliveries("p-essex-1") if v.recipient == "kent")
    here.exchange.delivery.recall("p-essex-1", mine, via="test")
    for file in here.exchange.ground.data.glob("safehand.db*"):
        assert bytes(packets)[20:60] not in file.read_bytes()


def test_a_nil_return_of_a_suspended_person_does_not_count(here: SmallExchange) -> None:
    """Opened before, closed after: refused."""
    arrival = here.exchange.intake.open(here.visitor("p-essex-1"), KENT, b"NIL", resume=False)
    here.exchange.people.suspend("p-essex-1", by="operator")
    with pytest.raises(Missing):
        here.exchange.intake.close(arrival)
    assert "nil.received" not in here.kinds()


def test_a_refusal_of_one_place_stands_beside_that_of_another(here: SmallExchange) -> None:
    """The same file name refused for two members: both reasons are there."""
    for member, content in (("kent", b"bad,header\r\n1,2\r\n"), ("medway", b"")):
        with pytest.raises(Refused):
            here.put("p-essex-1", f"{POST16}/{member}/d.csv", content)
    whys = [p.content() for p in here.exchange.views.refused(here.visitor("p-essex-1")) if p.name.endswith(".why.txt")]
    assert len(whys) == 2
    assert any(b"kent" in why for why in whys)
    assert any(b"medway" in why for why in whys)


def test_an_accepted_file_waits_while_a_newer_one_is_asked_about(here: SmallExchange) -> None:
    """Whole file accepted, cut one sent after it and discarded: the whole one goes. Confirmed: the newer one goes."""
    here.put("p-essex-1", f"{POST16}/kent/d.csv", records(3))
    cut = here.send(cut=True, rows=9, name="d.csv")
    here.release()
    assert here.exchange.views.received("p-kent-1") == ()
    here.exchange.delivery.discard("p-essex-1", cut, via="test")
    here.exchange.tick()
    assert [view.rows for view in here.exchange.views.received("p-kent-1")] == [3]


def test_a_colleague_s_waiting_file_is_not_lost_by_mine(here: SmallExchange) -> None:
    """p-essex-2's file waits for p-essex-1's of the same name; when that is removed, it goes."""
    here.put("p-essex-2", f"{POST16}/kent/d.csv", records(3))
    here.put("p-essex-1", f"{POST16}/kent/d.csv", records(5))
    here.exchange.amendments.remove(here.visitor("p-essex-1"), KENT, b"d.csv")
    here.release()
    assert [view.rows for view in here.exchange.views.received("p-kent-1")] == [3]


def test_sending_again_says_what_will_not_go(here: SmallExchange) -> None:
    """The sender's own unreleased file is undone by the next, and that is said at once."""
    here.put("p-essex-1", f"{POST16}/kent/d.csv", records(3))
    first = here.exchange.views.sent_deliveries("p-essex-1")[0].id
    assert f"takes the place of {first}, which will not go" in str(
        here.put("p-essex-1", f"{POST16}/kent/d.csv", records(4))
    )


def test_a_suspension_counts_in_the_very_next_transaction(here: SmallExchange) -> None:
    """Written by another process, not yet seen in memory here: an open upload is not accepted any more."""
    arrival = opened(here, "trial/2026-11/kent/a.txt", b"hello")
    delivery = here.arrive()
    here.collect(delivery)
    with here.exchange.ground.store.engine.begin() as connection:
        for person in ("p-essex-1", "p-kent-1"):
            connection.execute(
                text('INSERT INTO suspension (person, at, "by") VALUES (:who, :at, :by)'),
                {"who": person, "at": "2026-12-01T09:00:00.000000Z", "by": "operator"},
            )
    with pytest.raises(SafehandError):
        here.exchange.intake.close(arrival)
    with pytest.raises(Missing):
        here.exchange.acknowledgement.acknowledge("p-kent-1", delivery, via="test")
    assert [v.id for v in here.exchange.views.received("p-kent-2")] == [delivery]


def test_a_resumed_upload_with_nothing_left_to_send_is_content(here: SmallExchange) -> None:
    """lftp's `put -c` of a file that is here already: no refusal, nothing sent twice."""
    here.put("p-essex-1", "trial/2026-11/kent/a.txt", b"hello")
    arrival = here.exchange.intake.open(here.visitor("p-essex-1"), ("trial", "2026-11", "kent"), b"a.txt", resume=True)
    assert "already received" in str(here.exchange.intake.close(arrival))
    assert here.exchange.views.refused(here.visitor("p-essex-1")) == ()
    assert len(here.exchange.views.received("p-kent-1")) == 1


TAMPERED = [
    ("DELETE FROM ledger_head", "head is missing"),
    ("UPDATE ledger SET data = CAST(data AS BLOB) WHERE number = 3", "entry 3"),
    ("INSERT INTO ledger SELECT 0, at, kind, actor, subjects, data, revision, previous, hash FROM ledger"
     " WHERE number = 1", "entry 1"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "named"), TAMPERED)
def test_the_verifier_names_what_was_tampered_with_in_odd_ways(here: SmallExchange, statement: str, named: str) -> None:
    """A missing head, a field that is no text, an entry before the first: told, and nothing breaks."""
    with here.exchange.ground.store.engine.begin() as connection:
        for trigger in ("ledger_no_update", "ledger_no_delete", "ledger_no_replace"):
            connection.execute(text(f"DROP TRIGGER IF EXISTS {trigger}"))
        connection.execute(text(statement))
    with pytest.raises(Refused, match=named):
        here.exchange.evidence.verify()


def test_the_outbox_lists_only_what_is_on_its_way_or_there(here: SmallExchange) -> None:
    """Discarded and recalled files leave the list: a client that skips what is there sends them again."""
    visitor = here.visitor("p-essex-1")
    cut = here.send(cut=True, name="cut.csv")
    here.exchange.delivery.discard("p-essex-1", cut, via="test")
    delivery = here.arrive(name="gone.csv")
    here.exchange.delivery.recall("p-essex-1", delivery, via="test")
    assert here.exchange.views.sent(visitor, *KENT) == ()
    with pytest.raises(Missing):
        here.exchange.amendments.remove(visitor, KENT, b"gone.csv")


def test_a_close_that_the_locked_database_refuses_is_written_down_afterwards(here: SmallExchange) -> None:
    """The client is told at once; the why-file follows when the database is back."""
    arrival = opened(here, "trial/2026-11/kent/a.txt", b"hello")
    said: list[BaseException] = []

    def close() -> None:
        try:
            here.exchange.intake.close(arrival)
        except SafehandError as error:
            said.append(error)

    with here.exchange.ground.transaction():
        closing = threading.Thread(target=close)
        closing.start()
        closing.join(30)
    assert [type(error).__name__ for error in said] == ["Busy"]
    here.exchange.tick()
    assert "a.txt.why.txt" in {p.name for p in here.exchange.views.refused(here.visitor("p-essex-1"))}
    assert here.exchange.views.sent_deliveries("p-essex-1") == ()


def test_a_queried_delivery_that_nobody_collected_can_be_recalled(here: SmallExchange) -> None:
    """A question such as whose it is may be answered by taking it back."""
    delivery = here.arrive()
    here.exchange.acknowledgement.problem("p-kent-1", delivery, "queried", "is this ours", via="test")
    assert here.exchange.delivery.recall("p-essex-1", delivery, via="test").changed


def test_a_new_data_folder_is_not_joined_to_another_ones_database(here: SmallExchange, short_tmp: Path) -> None:
    """A wrong database URL must not give a real ledger a new signing key."""
    url = here.exchange.ground.store.url
    with pytest.raises(Misconfigured, match="lacks its signing key"):
        Exchange.create(short_tmp / "other", database_url=url, templates=TEMPLATES)
