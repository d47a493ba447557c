"""The decision where people meet it: at the door, at open and close, at release, at the inbox and at the button."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from server.domain.delivery import Status
from server.domain.errors import Forbidden, Missing, NotWritable, Refused
from server.exchange.sessions import TurnedAway, Visitor, fingerprint
from server.store.tables import DepartureRow
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import SmallExchange, policy_files, put_in_force, records, small_exchange

POST16 = "post16-destinations/2026-11"


@pytest.fixture
def here(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    with small_exchange(gpg_person, ssh_key) as made:
        yield made


def at_the_door(here: SmallExchange, person: str) -> Visitor | TurnedAway | None:
    return here.exchange.sessions.admit(person, fingerprint(here.keys[person]), "127.0.0.1")


def changed(here: SmallExchange, gpg_person: MakeGpgPerson, file: str, old: str, new: str) -> dict[str, str]:
    files = policy_files(here.keys, gpg_person)
    assert old in files[file]
    return files | {file: files[file].replace(old, new, 1)}


def without_person(files: dict[str, str], person: str) -> dict[str, str]:
    head, _, rest = files["people.yaml"].partition(f"- id: {person}\n")
    return files | {"people.yaml": head + rest[rest.index("- id: ") :]}


def leave(here: SmallExchange, member: str) -> None:
    """The member has left, as the store says it."""
    with here.exchange.ground.transaction() as tx:
        tx.session.add(DepartureRow(member=member, at=tx.now, by="operator", attest_by="2027-02-01"))
    here.exchange.refresh()


# ---------------------------------------------------------------- the door


def test_r065_expired_training_is_refused_at_the_door_with_the_plain_reason(here: SmallExchange) -> None:
    """With `training_gate: deny` the log-in is refused; the ledger has it once, with its code; a lead comes in."""
    visitor = here.visitor("p-essex-1")
    here.exchange.clock.set(datetime(2027, 4, 1, 9, tzinfo=UTC))
    turned = at_the_door(here, "p-essex-1")
    assert isinstance(turned, TurnedAway)
    assert turned.codes == ("TRAINING_EXPIRED",)
    assert "no training in date (it ended on 2027-03-31)" in turned.sentence
    with ThreadPoolExecutor(4) as threads:  # a client tries again before the first entry is written
        list(threads.map(here.exchange.sessions.record, [turned] * 8))
    assert here.kinds().count("login.refused") == 1
    assert not here.exchange.sessions.welcome(visitor), "who is inside goes too"
    assert "it ended on 2027-03-31" in here.exchange.sessions.farewell(visitor)


def test_r065_training_that_only_warns_lets_them_in(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """`warn` is what the agreement says, not what is missing from it."""
    put_in_force(here.exchange, changed(here, gpg_person, "access.yaml", "training_gate: deny", "training_gate: warn"))
    here.exchange.clock.set(datetime(2027, 4, 1, 9, tzinfo=UTC))
    assert isinstance(at_the_door(here, "p-essex-1"), Visitor)


def test_r061_the_key_of_a_person_who_was_removed_fails_at_the_next_connection(
    here: SmallExchange, gpg_person: MakeGpgPerson
) -> None:
    """Only people of the list log in; an open session of theirs is not welcome any more either."""
    visitor = here.visitor("p-essex-2")
    put_in_force(here.exchange, without_person(policy_files(here.keys, gpg_person), "p-essex-2"))
    here.exchange.refresh()
    assert at_the_door(here, "p-essex-2") is None
    assert not here.exchange.sessions.welcome(visitor)
    with pytest.raises(Missing):
        here.exchange.views.inbox(visitor)
    assert isinstance(at_the_door(here, "p-essex-1"), Visitor)


def test_r014_whoever_did_not_join_gets_no_mailbox(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """A member without `member_since` has people and keys, and none of them comes in."""
    files = policy_files(here.keys, gpg_person)
    head, _, kent = files["members.yaml"].partition("- id: kent\n")
    kent = kent.replace("  member_since: 2016-08-01\n", "", 1)
    put_in_force(here.exchange, files | {"members.yaml": f"{head}- id: kent\n{kent}"})
    here.exchange.refresh()
    turned = at_the_door(here, "p-kent-1")
    assert isinstance(turned, TurnedAway)
    assert turned.codes == ("MEMBER_NOT_ADMITTED",)


def test_a_member_that_left_has_a_locked_mailbox(here: SmallExchange) -> None:
    """Its people are turned away, what it has received is not read, and nothing more goes to it."""
    visitor, delivery = here.visitor("p-kent-1"), here.arrive()
    leave(here, "kent")
    turned = at_the_door(here, "p-kent-1")
    assert isinstance(turned, TurnedAway)
    assert turned.codes == ("MEMBER_LEFT",)
    with pytest.raises(Missing):
        here.exchange.collection.read(visitor, delivery)
    assert here.exchange.views.received("p-kent-1") == ()
    with pytest.raises(Refused, match="Kent has left the agreement"):
        here.send()


def test_a_suspended_person_is_turned_away(here: SmallExchange) -> None:
    """Whoever holds the key learns that it is of no use; the ledger shows that somebody tried."""
    here.exchange.people.suspend("p-essex-1", by="p-essex-2")
    turned = at_the_door(here, "p-essex-1")
    assert isinstance(turned, TurnedAway)
    assert turned.codes == ("PERSON_SUSPENDED",)
    here.exchange.sessions.record(turned)
    assert here.kinds()[-1] == "login.refused"


# ---------------------------------------------------------------- sending


def test_r015_what_is_addressed_to_a_member_that_is_not_ready_is_refused_and_its_sender_told(
    here: SmallExchange,
) -> None:
    """Brighton and Hove is listed, and has neither signed nor named anybody: a sentence, a why-file and a notice."""
    with pytest.raises(Refused, match="Brighton and Hove is not ready: it has no data manager") as refused:
        here.put("p-essex-1", f"{POST16}/brighton-hove/d.csv", records(3))
    assert "Brighton and Hove has not signed" in refused.value.sentence
    why = {paper.name: paper.content() for paper in here.exchange.views.refused(here.visitor("p-essex-1"))}
    assert b"is not ready" in why["d.csv.why.txt"]
    notices = here.exchange.views.notices("p-essex-1")
    assert any("is not ready" in view.notice.text for view in notices)


@pytest.mark.parametrize(
    "place", ["other/2026-11/kent", "post16-destinations/2026-13/kent", "post16-destinations/2026-11/atlantis", "kent"]
)
def test_r027_a_place_that_appendix_1_does_not_have_cannot_be_written_to(here: SmallExchange, place: str) -> None:
    """An unknown exchange, period or recipient: permission denied, and nothing is kept."""
    with pytest.raises(NotWritable):
        here.put("p-essex-1", f"{place}/d.csv", records(3))
    assert list(here.exchange.ground.spool.folder.iterdir()) == []


def test_a_signature_that_was_withdrawn_while_the_file_was_on_its_way_stops_it_at_the_close(
    here: SmallExchange, gpg_person: MakeGpgPerson
) -> None:
    """The decision is made again in the transaction of the close, under the policy and the facts of that moment."""
    arrival = here.exchange.intake.open(here.visitor("p-essex-1"), (*POST16.split("/"), "kent"), b"d.csv", resume=False)
    assert arrival.write(0, records(3))
    with here.exchange.ground.transaction() as tx:
        tx.session.add(DepartureRow(member="kent", at=tx.now, by="operator", attest_by="2027-02-01"))
    with pytest.raises(Refused, match="has left"):
        here.exchange.intake.close(arrival)


def test_a_member_that_leaves_before_the_release_gets_nothing(here: SmallExchange) -> None:
    """What was accepted and has not gone is held, and its sender is told."""
    here.send()
    leave(here, "kent")
    here.release()
    view = here.exchange.views.sent_deliveries("p-essex-1")[0]
    assert view.status is Status.HELD
    assert "Kent has left the agreement" in view.words


def test_what_a_suspended_person_sent_last_is_held(here: SmallExchange) -> None:
    """A lost laptop's file of two minutes ago does not go while its person is suspended; then a colleague says so."""
    consignment = here.send()
    here.exchange.people.suspend("p-essex-1", by="p-essex-2")
    here.release()
    assert here.received(consignment) == []
    with pytest.raises(Refused, match="is suspended"):
        here.exchange.delivery.all_there("p-essex-2", consignment, via="desk")
    for colleague in ("p-essex-2", "g-essex"):
        here.exchange.people.resume("p-essex-1", by=colleague)
    here.exchange.delivery.all_there("p-essex-2", consignment, via="desk")
    assert len(here.received(consignment)) == 1


# ---------------------------------------------------------------- receiving


def test_r062_nobody_acknowledges_what_they_sent_themselves(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """One person may hold both roles; whoever sent a file and works for its recipient now leaves it to a colleague."""
    delivery = here.arrive()
    here.collect(delivery)
    files = policy_files(here.keys, gpg_person)
    moved = files["people.yaml"].replace("- id: p-essex-1\n  member: essex", "- id: p-essex-1\n  member: kent", 1)
    moved = moved.replace("dm1@essex.example.org", "dm9@kent.example.org", 1).replace("  acts_for: [thurrock]\n", "", 1)
    put_in_force(here.exchange, files | {"people.yaml": moved})
    with pytest.raises(Refused, match="somebody else acknowledges it") as refused:
        here.exchange.acknowledgement.acknowledge("p-essex-1", delivery, via="desk")
    assert refused.value.code == "SENDER_ACKNOWLEDGES"
    assert not next(v for v in here.exchange.views.received("p-essex-1") if v.id == delivery).buttons
    assert here.exchange.acknowledgement.acknowledge("p-kent-1", delivery, via="desk").changed


def test_who_may_not_acknowledge_is_told_so_and_another_member_learns_nothing(here: SmallExchange) -> None:
    """A governance lead of the recipient has no such role; for Medway there is no such delivery."""
    delivery = here.arrive()
    here.collect(delivery)
    with pytest.raises(Forbidden):
        here.exchange.acknowledgement.acknowledge("g-kent", delivery, via="desk")
    with pytest.raises(Missing):
        here.exchange.acknowledgement.acknowledge("p-medway-1", delivery, via="desk")


def test_r064_a_person_cannot_list_or_guess_what_is_anothers(here: SmallExchange) -> None:
    """For Medway, Kent's delivery, a colleague's upload and a name that never was are one and the same: missing."""
    delivery, stranger = here.arrive(name="secret.csv"), here.visitor("p-medway-1")
    exchange = here.exchange
    assert exchange.views.inbox(stranger) == ()
    assert exchange.views.inbox_files(stranger, *POST16.split("/"), "essex") == ()
    errors = []
    for guess in (delivery, "D-2026-999999"):
        with pytest.raises(Missing) as missing:
            exchange.collection.read(stranger, guess)
        errors.append((type(missing.value), missing.value.sentence, missing.value.code))
    assert errors[0] == errors[1]
    colleague = here.visitor("p-essex-2")
    assert exchange.views.sent(colleague, *POST16.split("/"), "kent") == ()
    assert exchange.views.refused(colleague) == ()
