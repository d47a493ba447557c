"""A consignment from put to acknowledgement, on a real database, spool and gpg."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import select

from server.domain.delivery import VISIBLE, Status
from server.domain.errors import Missing, Refused
from server.store.tables import DeliveryRow, KeyPacketRow
from tests.conftest import GpgPerson, MakeGpgPerson, MakeSshKey
from tests.small_exchange import HEADER, SmallExchange, records, small_exchange

TRIAL = "trial/2026-11"
POST16 = "post16-destinations/2026-11"
NAME = "destinations.csv"


both = pytest.mark.parametrize("here", ["sqlite", "postgresql"], indirect=True)
"""Tests that move states run on both databases; those of names and sentences on SQLite alone."""


@pytest.fixture
def here(request: pytest.FixtureRequest, gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    database = getattr(request, "param", "sqlite")
    url = request.getfixturevalue("pg_url") if database == "postgresql" else ""
    with small_exchange(gpg_person, ssh_key, url) as made:
        yield made


def status(here: SmallExchange, delivery: str) -> Status:
    return next(v.status for v in here.exchange.views.sent_deliveries("p-essex-1") if v.id == delivery)


def spool_files(here: SmallExchange) -> list[str]:
    return [path.name for path in here.exchange.ground.spool.folder.iterdir()]


def opened(here: SmallExchange, person: GpgPerson, delivery: str) -> bytes:
    """What the person's own gpg makes of the envelope: the plaintext, with a good signature of the exchange."""
    person.trusts(here.exchange.ground.key.armored)
    return person.decrypt(envelope(here, person.name, delivery))


def envelope(here: SmallExchange, person: str, delivery: str) -> bytes:
    reading = here.exchange.collection.read(here.visitor(person), delivery)
    content = reading.read(0, reading.size)
    reading.close(by_client=False)
    return content


def notice_of(here: SmallExchange, person: str, thread: str) -> str:
    return next(v.notice.text for v in here.exchange.views.notices(person) if v.notice.thread == thread)


@both
def test_a_file_goes_from_put_to_acknowledgement(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """Sealed at close, seen after release, decrypted by Kent alone, acknowledged once, told to Essex, in the ledger."""
    consignment = here.send(rows=3, name=NAME)
    assert here.exchange.views.inbox(here.visitor("p-kent-1")) == ()
    assert here.told("p-kent-1") == []
    here.release()
    folder = here.exchange.views.inbox(here.visitor("p-kent-1"))
    assert folder == (("post16-destinations", "2026-11", "essex"),)
    files = here.exchange.views.inbox_files(here.visitor("p-kent-1"), *folder[0])
    delivery = files[0].delivery
    assert [file.name for file in files] == [
        f"{delivery}_essex_post16-destinations_2026-11.csv.gpg",
        f"{delivery}_essex_post16-destinations_2026-11.csv.manifest.json",
    ]
    assert here.exchange.views.inbox(here.visitor("p-medway-1")) == ()
    content = envelope(here, "p-kent-1", delivery)
    assert len(content) == files[0].size
    plain = records(3)
    for person in ("p-kent-1", "p-kent-2"):
        assert opened(here, gpg_person(person), delivery) == plain
    assert gpg_person("p-medway-1").gpg("--decrypt", stdin=content).returncode != 0
    with pytest.raises(Refused, match="Nobody at Kent"):
        here.exchange.acknowledgement.acknowledge("p-kent-1", delivery, via="test")
    here.collect(delivery, "p-kent-2")
    assert here.exchange.acknowledgement.acknowledge("p-kent-1", delivery, via="test").changed
    again = here.exchange.acknowledgement.acknowledge("p-kent-2", delivery, via="test")
    assert not again.changed and "already acknowledged by p-kent-1" in again.sentence
    assert "cknowledged by p-kent-1" in notice_of(here, "p-essex-1", f"consignment:{consignment}")
    assert here.exchange.evidence.verify().entries == len(here.kinds())
    wanted = ["consignment.sealed", "delivery.available", "delivery.collected", "delivery.acknowledged"]
    assert [kind for kind in here.kinds() if kind in wanted] == wanted


@both
def test_removing_before_release_leaves_no_trace_for_the_partner(here: SmallExchange) -> None:
    """rm undoes: no delivery, no notice, no copy, and the spool is empty."""
    here.send(name="d.csv")
    said = here.exchange.amendments.remove(here.visitor("p-essex-1"), tuple(f"{POST16}/kent".split("/")), b"d.csv")
    here.release()
    assert said is not None and "undone" in said
    assert here.exchange.views.received("p-kent-1") == () and here.told("p-kent-1") == []
    assert spool_files(here) == []


def test_removing_after_release_only_tidies(here: SmallExchange) -> None:
    """A recall is a deliberate act: rm after release changes nothing for the partner."""
    delivery = here.arrive(name="d.csv")
    folder = tuple(f"{POST16}/kent".split("/"))
    here.exchange.amendments.remove(here.visitor("p-essex-1"), folder, b"d.csv")
    assert here.exchange.views.sent(here.visitor("p-essex-1"), *folder) == ()
    assert status(here, delivery) is Status.AVAILABLE


@both
def test_the_same_file_again_is_already_received(here: SmallExchange) -> None:
    """One delivery however often it is sent; a different content of that name supersedes and says so to both."""
    first = here.arrive(name=NAME)
    said = here.put("p-essex-1", f"{POST16}/kent/{NAME}", records(3))
    assert said is not None and f"already received: {first}" in said
    here.collect(first)
    here.send(rows=4, name=NAME)
    assert status(here, first) is Status.COLLECTED, "the old one stands until the new one is released"
    here.release()
    second = here.exchange.views.received("p-kent-1")[0].id
    assert status(here, first) is Status.SUPERSEDED
    assert f"replaced by {second}" in notice_of(here, "p-kent-1", f"delivery:{first}")
    with pytest.raises(Missing):
        here.exchange.collection.read(here.visitor("p-kent-1"), first)
    assert len(spool_files(here)) == 2


@both
def test_sending_again_before_release_undoes_the_first(here: SmallExchange) -> None:
    """The partner sees one delivery, the second."""
    here.send(rows=3, name=NAME)
    here.send(rows=5, name=NAME)
    here.release()
    assert [view.rows for view in here.exchange.views.received("p-kent-1")] == [5]
    assert len(spool_files(here)) == 1


@both
def test_a_file_that_ends_inside_a_record_is_held_until_its_sender_answers(here: SmallExchange) -> None:
    """Held: no release ever without "All there"; then it goes."""
    consignment = here.send(cut=True)
    here.release()
    assert here.exchange.views.received("p-kent-1") == ()
    notice = here.told("p-essex-1")[0]
    assert [button.label for button in notice.buttons] == ["All there", "Discard"]
    assert here.exchange.delivery.all_there("p-essex-1", consignment, via="test").changed
    here.exchange.tick()
    assert len(here.exchange.views.received("p-kent-1")) == 1
    assert not here.exchange.delivery.all_there("p-essex-1", consignment, via="test").changed


@both
def test_discarding_a_held_file_leaves_nothing(here: SmallExchange) -> None:
    """Discard: nobody received it and nothing is kept."""
    consignment = here.send(cut=True)
    here.exchange.delivery.discard("p-essex-1", consignment, via="test")
    here.release()
    assert here.exchange.views.received("p-kent-1") == () and spool_files(here) == []


@both
def test_a_matching_checksum_settles_a_held_file_at_once(here: SmallExchange) -> None:
    """<name>.sha256 that fits is as good as "All there"."""
    here.send(cut=True, name="d.csv")
    sha = here.exchange.views.sent_deliveries("p-essex-1")[0].sha256
    said = here.put("p-essex-1", f"{POST16}/kent/d.csv.sha256", f"{sha}  d.csv\n".encode())
    assert said is not None and "whole" in said
    here.release()
    assert len(here.exchange.views.received("p-kent-1")) == 1


def test_a_file_that_differs_from_its_checksum_is_refused(here: SmallExchange) -> None:
    """A checksum sent first guards the file that follows."""
    here.put("p-essex-1", f"{POST16}/kent/d.csv.sha256", b"0" * 64)
    with pytest.raises(Refused, match="damaged or cut off"):
        here.send(name="d.csv")
    assert spool_files(here) == []


@both
def test_the_same_bytes_to_a_second_member_are_held_and_asked(here: SmallExchange) -> None:
    """Misdirection is the largest real cause of breaches."""
    here.put("p-essex-1", f"{TRIAL}/medway/a.txt", b"hello")
    said = here.put("p-essex-1", f"{TRIAL}/kent/a.txt", b"hello")
    assert said is not None and "also went to Medway" in said
    assert here.exchange.views.received("p-kent-1") == ()
    buttons = here.exchange.views.sent_deliveries("p-essex-1")[0].buttons
    assert buttons[0].label == "Both right"


@both
def test_a_broadcast_reaches_every_ready_member_and_says_who_is_left_out(here: SmallExchange) -> None:
    """One upload; members without a usable key are named, the others still receive."""
    said = here.put("p-essex-1", f"{TRIAL}/everyone/a.txt", b"hello all")
    assert said is not None and "Kent" in said and "Medway" in said and "Not sent to" in said
    assert len(here.exchange.views.received("p-kent-1")) == len(here.exchange.views.received("p-medway-1")) == 1


@both
def test_a_recall_before_collection_takes_the_copy_away(here: SmallExchange) -> None:
    """After it Kent cannot read it; after collection the answer is honest."""
    delivery = here.arrive()
    assert here.exchange.delivery.recall("p-essex-2", delivery, via="test").changed
    with pytest.raises(Missing):
        here.exchange.collection.read(here.visitor("p-kent-1"), delivery)
    assert spool_files(here) == []
    assert "recalled" in notice_of(here, "p-kent-1", f"delivery:{delivery}")
    second = here.arrive(rows=4)
    here.collect(second)
    with pytest.raises(Refused, match="cannot be recalled"):
        here.exchange.delivery.recall("p-essex-1", second, via="test")
    here.exchange.acknowledgement.problem("p-kent-2", second, "queried", "is this the right month", via="test")
    with pytest.raises(Refused, match="cannot be recalled"):
        here.exchange.delivery.recall("p-essex-1", second, via="test")


def test_nobody_else_can_act_on_a_delivery(here: SmallExchange) -> None:
    """Another member's people get the same answer as for a delivery that does not exist."""
    delivery = here.arrive()
    for act in (
        lambda: here.exchange.acknowledgement.acknowledge("p-medway-1", delivery, via="test"),
        lambda: here.exchange.acknowledgement.acknowledge("p-essex-1", delivery, via="test"),
        lambda: here.exchange.delivery.recall("p-kent-1", delivery, via="test"),
        lambda: here.exchange.collection.read(here.visitor("p-medway-1"), delivery),
    ):
        with pytest.raises(Missing):
            act()


@both
def test_control_passes_once_at_the_first_complete_download(here: SmallExchange) -> None:
    """A half-read delivery is not collected; controller_from never moves again."""
    delivery = here.arrive()
    reading = here.exchange.collection.read(here.visitor("p-kent-1"), delivery)
    part = reading.read(0, reading.size - 1)
    reading.served(0, len(part))
    reading.close(by_client=True)
    assert status(here, delivery) is Status.AVAILABLE
    here.collect(delivery, "p-kent-2")
    receipt = next(p for p in here.exchange.views.receipts(here.visitor("p-essex-1")) if delivery in p.name)
    content = receipt.content()
    assert len(content) == receipt.size and b"p-kent-2" in content
    before = [line for line in content.split(b"\\n") if b"controller_from" in line]
    here.exchange.clock.set(here.exchange.now() + timedelta(hours=1))
    here.collect(delivery, "p-kent-1")
    again = next(p for p in here.exchange.views.receipts(here.visitor("p-essex-1")) if delivery in p.name).content()
    assert [line for line in again.split(b"\\n") if b"controller_from" in line] == before


@both
def test_a_temporary_name_is_sent_by_its_rename(here: SmallExchange) -> None:
    """WinSCP's .filepart: nothing goes before the rename; after it, it goes."""
    folder = ("trial", "2026-11", "kent")
    here.put("p-essex-1", f"{TRIAL}/kent/a.txt.filepart", b"x" * 200_000)
    assert here.exchange.views.sent_deliveries("p-essex-1") == ()
    here.exchange.amendments.rename(here.visitor("p-essex-1"), folder, b"a.txt.filepart", folder, b"a.txt")
    assert [view.size for view in here.exchange.views.received("p-kent-1")] == [200_000]
    assert [listed.name for listed in here.exchange.views.sent(here.visitor("p-essex-1"), *folder)] == ["a.txt"]


@both
def test_a_temporary_file_that_is_never_renamed_goes_after_a_day(here: SmallExchange) -> None:
    """Nothing of it is kept."""
    here.put("p-essex-1", f"{TRIAL}/kent/a.txt.part", b"x")
    here.exchange.clock.set(here.exchange.now() + timedelta(hours=25))
    here.exchange.tick()
    assert spool_files(here) == []


REFUSED = [
    ("nowhere/2026-11/kent/a.csv", b"x", "no exchange of that name"),
    ("trial/2026-13/kent/a.csv", b"x", "written like 2026-11"),
    ("trial/2026-12/kent/a.csv", b"x", "not over yet"),
    ("trial/2025-01/kent/a.csv", b"x", "closed on"),
    ("trial/2026-11/atlantis/a.csv", b"x", "no member of that name"),
    ("trial/2026-11/essex/a.csv", b"x", "your own organisation"),
    ("trial/2026-11/brighton-hove/a.csv", b"x", "has not signed|not ready"),
    ("trial/2026-11/southend/a.csv", b"x", "no key that a file can be sealed to"),
    ("trial/2026-11/kent/a.csv", b"", "empty"),
    (f"{POST16}/kent/a.docx", b"PK", "takes .csv or .xlsx files"),
    (f"{POST16}/kent/a.csv", b"given_name,family_name,dob,activity_code,religion\r\na,b,c,d,e\r\n", "column 5"),
    (f"{POST16}/everyone/a.csv", HEADER, "one member at a time"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "content", "why"), REFUSED)
def test_what_is_not_agreed_is_refused_with_a_sentence_and_a_why_file(
    here: SmallExchange, path: str, content: bytes, why: str
) -> None:
    """Nothing half-done, an entry, a why-file without any value, and a notice."""
    with pytest.raises(Refused, match=why):
        here.put("p-essex-1", path, content)
    papers = {paper.name: paper.content().decode() for paper in here.exchange.views.refused(here.visitor("p-essex-1"))}
    name = path.rsplit("/", 1)[1]
    assert set(papers) == {f"{name}.why.txt", f"{name}.why.csv"}
    assert "religion" not in "".join(papers.values())
    assert "upload.refused" in here.kinds() and spool_files(here) == []
    assert here.exchange.views.notices("p-essex-1")


def test_the_owner_of_an_unusable_key_is_told(here: SmallExchange) -> None:
    """Both sides: the sender by a sentence, the key owner by a notice."""
    with pytest.raises(Refused):
        here.put("p-essex-1", f"{TRIAL}/southend/a.txt", b"x")
    assert "could not send you" in here.exchange.views.notices("p-southend-1")[0].notice.text


@both
def test_a_nil_return_is_an_empty_file(here: SmallExchange) -> None:
    """NIL or NIL.txt; once; with content it is refused."""
    assert "Nil return" in str(here.put("p-essex-1", f"{POST16}/kent/NIL.txt", b""))
    assert "already received" in str(here.put("p-essex-1", f"{POST16}/kent/NIL", b""))
    with pytest.raises(Refused, match="empty file"):
        here.put("p-essex-1", f"{POST16}/medway/NIL", b"something")


@both
def test_an_interrupted_upload_can_be_resumed_and_otherwise_leaves_nothing(
    here: SmallExchange, gpg_person: MakeGpgPerson
) -> None:
    """Dropped after a part: nothing for the partner, the rest can follow; given up, it is gone and said."""
    visitor, folder = here.visitor("p-essex-1"), ("trial", "2026-11", "kent")
    arrival = here.exchange.intake.open(visitor, folder, b"a.txt", resume=False)
    arrival.write(0, b"first ")
    here.exchange.intake.interrupt(arrival)
    assert here.exchange.views.received("p-kent-1") == () and spool_files(here) == []
    assert here.exchange.uploads.size(visitor, folder, b"a.txt") == 6
    rest = here.exchange.intake.open(visitor, folder, b"a.txt", resume=True)
    rest.write(6, b"second")
    here.exchange.intake.close(rest)
    delivery = here.exchange.views.received("p-kent-1")[0].id
    assert opened(here, gpg_person("p-kent-1"), delivery) == b"first second"
    left = here.exchange.intake.open(visitor, folder, b"b.txt", resume=False)
    left.write(0, b"never finished")
    here.exchange.intake.interrupt(left)
    here.exchange.intake.resume_seconds = 0
    here.exchange.tick()
    assert here.exchange.uploads.size(visitor, folder, b"b.txt") is None
    assert any("b.txt" in paper.name for paper in here.exchange.views.refused(visitor))


def test_bytes_may_come_out_of_order_within_a_window(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """Some clients send out of order; overlaps and lasting gaps are refused."""
    visitor, folder = here.visitor("p-essex-1"), ("trial", "2026-11", "kent")
    arrival = here.exchange.intake.open(visitor, folder, b"a.txt", resume=False)
    for offset, data in ((4, b"5678"), (8, b"9"), (0, b"1234")):
        arrival.write(offset, data)
    here.exchange.intake.close(arrival)
    delivery = here.exchange.views.received("p-kent-1")[0].id
    assert opened(here, gpg_person("p-kent-1"), delivery) == b"123456789"
    gap = here.exchange.intake.open(visitor, folder, b"b.txt", resume=False)
    gap.write(4, b"5678")
    with pytest.raises(Refused, match="missing"):
        here.exchange.intake.close(gap)
    overlap = here.exchange.intake.open(visitor, folder, b"c.txt", resume=False)
    overlap.write(0, b"1234")
    with pytest.raises(Refused, match="whole file again"):
        overlap.write(2, b"xx")
    with pytest.raises(Refused, match="whole file again"):
        here.exchange.intake.close(overlap)


@both
def test_a_removed_key_and_a_suspension_end_what_a_visitor_may_do(here: SmallExchange) -> None:
    """Suspension ends sessions, links and codes at once; two people lift it."""
    visitor, token = here.visitor("p-kent-1"), here.token("p-kent-1")
    session = here.exchange.people.sign_in(here.token("p-kent-1"))
    assert here.exchange.people.suspend("p-kent-1", by="p-kent-2").changed
    assert not here.exchange.sessions.welcome(visitor)
    assert here.exchange.people.desk_session(session.cookie) is None
    with pytest.raises(Refused):
        here.exchange.people.sign_in(token)
    assert "one more person" in here.exchange.people.resume("p-kent-1", by="p-kent-2").sentence
    assert "one more person" in here.exchange.people.resume("p-kent-1", by="p-kent-2").sentence
    assert "may work again" in here.exchange.people.resume("p-kent-1", by="g-kent").sentence
    assert here.exchange.sessions.welcome(visitor)


@both
def test_after_a_restart_rows_and_spool_agree(here: SmallExchange) -> None:
    """A .part with a row is finished, one without goes, a stranger stays and is reported."""
    here.arrive()
    spool = here.exchange.ground.spool.folder
    sealed = next(spool.iterdir())
    sealed.rename(sealed.with_suffix(".part"))
    (spool / ("0" * 32 + ".part")).write_bytes(b"left over")
    (spool / ("1" * 32 + ".sealed")).write_bytes(b"stranger")
    said = here.exchange.recover()
    assert len(said) == 3
    assert sorted(spool_files(here)) == sorted([sealed.name, "1" * 32 + ".sealed"])


def test_a_temporary_file_is_decided_again_when_it_gets_its_name(here: SmallExchange) -> None:
    """What was permitted when it arrived is not sent when its period has closed since."""
    folder = ("trial", "2026-11", "kent")
    here.exchange.clock.set(datetime(2027, 2, 1, 23, 59, tzinfo=UTC))
    here.put("p-essex-1", f"{TRIAL}/kent/a.txt.part", b"x")
    here.exchange.clock.set(datetime(2027, 2, 2, 0, 1, tzinfo=UTC))
    with pytest.raises(Refused, match="closed on"):
        here.exchange.amendments.rename(here.visitor("p-essex-1"), folder, b"a.txt.part", folder, b"a.txt")
    assert here.exchange.views.received("p-kent-1") == ()


@both
def test_a_broadcast_under_a_temporary_name_leaves_no_packets_for_those_who_have_it(here: SmallExchange) -> None:
    """Kent has the file already: under its name the broadcast goes to the others alone, and nothing more is kept."""
    here.put("p-essex-1", f"{TRIAL}/kent/a.txt", b"hello")
    folder = ("trial", "2026-11", "everyone")
    here.put("p-essex-1", f"{TRIAL}/everyone/a.txt.part", b"hello")
    here.exchange.amendments.rename(here.visitor("p-essex-1"), folder, b"a.txt.part", folder, b"a.txt")
    assert len(here.exchange.views.received("p-kent-1")) == 1
    with here.exchange.ground.store.reading() as session:
        packets = {(row.consignment, row.member) for row in session.exec(select(KeyPacketRow))}
        deliveries = {(row.consignment, row.recipient) for row in session.exec(select(DeliveryRow))}
    assert packets == deliveries


@both
def test_a_file_that_waits_cannot_take_the_name_of_one_that_went(here: SmallExchange) -> None:
    """A held file is renamed to the name of a later one that the partner has: it takes its place, or it is refused."""
    folder, visitor = tuple(f"{POST16}/kent".split("/")), here.visitor("p-essex-1")
    held = here.send(cut=True, name="held.csv")
    went = here.arrive(rows=4, name="went.csv")
    with suppress(Refused):
        here.exchange.amendments.rename(visitor, folder, b"held.csv", folder, b"went.csv")
    here.exchange.delivery.all_there("p-essex-1", held, via="test")
    here.exchange.tick()
    current = [view for view in here.exchange.views.received("p-kent-1") if view.status in VISIBLE]
    listed = here.exchange.views.sent(visitor, *folder)
    assert len(current) == len({listed.name for listed in listed}), (current, went)
