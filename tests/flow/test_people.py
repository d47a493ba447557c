"""People come, go and change places: codes, suspensions, keys and notices follow who they are now."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlmodel import select

from server.domain.errors import Forbidden, Refused
from server.store.tables import CodeRow
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import SmallExchange, policy_files, put_in_force, small_exchange


@pytest.fixture
def here(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    with small_exchange(gpg_person, ssh_key) as made:
        yield made


def changed(here: SmallExchange, gpg_person: MakeGpgPerson, person: str, old: str, new: str) -> None:
    """The policy with one line of this person's entry replaced; who changes member has an address there."""
    files = policy_files(here.keys, gpg_person)
    people = files["people.yaml"]
    start = people.index(f"id: {person}\n")
    end = people.find("\n- id:", start) % len(people)
    entry = people[start:end]
    assert old in entry
    entry = entry.replace(old, new, 1)
    if new.startswith("member: "):
        entry = re.sub(r"@\w+\.example\.org", f"@{new.removeprefix('member: ')}.example.org", entry)
    files["people.yaml"] = people[:start] + entry + people[end:]
    put_in_force(here.exchange, files)
    here.exchange.refresh()


def threads(here: SmallExchange, person: str) -> list[str]:
    return [view.notice.thread for view in here.exchange.views.notices(person)]


def is_suspended(here: SmallExchange, person: str) -> bool:
    return here.exchange.views.person(person) is None


# ---------------------------------------------------------------- who asks to lift a suspension


def test_a_suspension_is_lifted_by_two_people_who_both_may(here: SmallExchange) -> None:
    """One asks, twice changes nothing, another agrees."""
    people = here.exchange.people
    people.suspend("p-kent-1", by="operator")
    assert people.resume("p-kent-1", by="p-kent-2").changed
    assert not people.resume("p-kent-1", by="p-kent-2").changed
    assert is_suspended(here, "p-kent-1")
    assert "agreed by p-kent-2 and g-kent" in people.resume("p-kent-1", by="g-kent").sentence
    assert not is_suspended(here, "p-kent-1")


def test_who_asked_and_was_then_suspended_does_not_count(here: SmallExchange) -> None:
    """The next to agree is the first to ask; the old word does not come back with its owner either."""
    people = here.exchange.people
    people.suspend("p-kent-1", by="operator")
    people.resume("p-kent-1", by="p-kent-2")
    people.suspend("p-kent-2", by="operator")
    assert "one more person has to agree" in people.resume("p-kent-1", by="g-kent").sentence
    assert is_suspended(here, "p-kent-1")
    assert here.count("person.resumed", "p-kent-1") == 0
    assert "g-kent" in people.resume("p-kent-1", by="a-essex-1").sentence
    assert not is_suspended(here, "p-kent-1")


def test_who_asked_for_another_and_was_suspended_meanwhile_asks_anew_when_back(here: SmallExchange) -> None:
    """A suspension ends what was asked, as it ends sessions, links and codes."""
    people = here.exchange.people
    people.suspend("p-kent-1", by="operator")
    people.resume("p-kent-1", by="p-kent-2")
    people.suspend("p-kent-2", by="operator")
    assert [c.lift_asked_by for c in here.exchange.views.colleagues("g-kent") if c.id == "p-kent-1"] == [None]
    people.resume("p-kent-2", by="g-kent")
    people.resume("p-kent-2", by="a-essex-1")
    people.resume("p-kent-1", by="g-kent")
    assert is_suspended(here, "p-kent-1")


@pytest.mark.parametrize(
    ("old", "new"), [("member: kent", "member: medway"), ("roles: [data_manager]", "roles: [auditor]")]
)
def test_who_asked_and_may_no_longer_does_not_count(
    here: SmallExchange, gpg_person: MakeGpgPerson, old: str, new: str
) -> None:
    """They went to another member, or lost their roles, before a second person agreed."""
    people = here.exchange.people
    people.suspend("p-kent-1", by="operator")
    people.resume("p-kent-1", by="p-kent-2")
    changed(here, gpg_person, "p-kent-2", old, new)
    assert "one more person has to agree" in people.resume("p-kent-1", by="g-kent").sentence
    assert is_suspended(here, "p-kent-1")


def test_a_suspended_person_lifts_nobodys_suspension(here: SmallExchange) -> None:
    """Another process suspended them a moment ago, and this one has not looked yet: the transaction does."""
    people = here.exchange.people
    people.suspend("p-kent-1", by="operator")
    people.resume("p-kent-1", by="g-kent")
    with here.exchange.ground.store.engine.begin() as other:
        insert = "INSERT INTO suspension(person, at, by) VALUES ('p-kent-2', '2026-12-01T09:00:00.000000Z', 'operator')"
        other.execute(text(insert))
    with pytest.raises(Forbidden, match="suspended yourself"):
        people.resume("p-kent-1", by="p-kent-2")
    assert is_suspended(here, "p-kent-1")


# ---------------------------------------------------------------- codes


def codes(here: SmallExchange) -> list[tuple[str, str]]:
    """(person, purpose) of every code that is kept."""
    with here.exchange.ground.store.reading() as session:
        return sorted((row.person, row.purpose) for row in session.exec(select(CodeRow)).all())


def test_copying_the_mailbox_again_and_again_leaves_five_codes(here: SmallExchange) -> None:
    """The newest five work, the older are dead; those of others and of the other purpose stay."""
    others = here.code("p-kent-2")
    link = here.token("p-kent-1")
    made = [here.code("p-kent-1") for _ in range(8)]
    assert codes(here) == [*[("p-kent-1", "chat")] * 5, ("p-kent-1", "desk"), ("p-kent-2", "chat")]
    for dead in made[:3]:
        with pytest.raises(Refused, match="expired"):
            here.exchange.people.link_chat("slack", "T1", "U1", dead)
    for code in made[3:]:
        assert "you are p-kent-1" in here.exchange.people.link_chat("slack", "T1", "U1", code)
    assert "you are p-kent-2" in here.exchange.people.link_chat("slack", "T1", "U2", others)
    assert here.exchange.people.sign_in(link).person.id == "p-kent-1"


def test_codes_that_are_used_or_expired_are_not_kept(here: SmallExchange) -> None:
    """They go when anybody's next one is made; who comes late with one reads the same sentence."""
    used, old = here.code("p-kent-1"), here.code("p-kent-2")
    here.exchange.people.link_chat("slack", "T1", "U1", used)
    with here.exchange.ground.store.engine.begin() as database:
        aged = text("UPDATE code SET expires_real = :past WHERE person = 'p-kent-2'")
        database.execute(aged, {"past": time.time() - 1})
    here.code("p-essex-1")
    assert codes(here) == [("p-essex-1", "chat")]
    for late in (used, old):
        with pytest.raises(Refused, match="used already, has expired, or never was"):
            here.exchange.people.link_chat("slack", "T1", "U3", late)


# ---------------------------------------------------------------- proposed keys


def proposed(here: SmallExchange, content: bytes) -> str:
    return here.exchange.keys.propose(here.visitor("p-kent-1"), b"new.asc", content)


def test_a_proposed_openpgp_key_is_told_by_the_fingerprint_that_gpg_shows(
    here: SmallExchange, gpg_person: MakeGpgPerson
) -> None:
    """The 40 digits that its owner can read out; exported anew, with other line ends, it is the same key."""
    key = gpg_person("somebody-new")
    assert f"Key {key.fingerprint} is proposed" in proposed(here, key.armored.encode())
    told = [view.notice.text for view in here.exchange.views.notices("g-kent")]
    assert any(key.fingerprint in words for words in told)
    assert "proposed already" in proposed(here, key.armored.replace("\n", "\r\n").encode())
    assert here.kinds().count("key.proposed") == 1


def test_a_proposed_ssh_key_is_told_by_the_fingerprint_that_ssh_keygen_shows(
    here: SmallExchange, ssh_key: MakeSshKey
) -> None:
    """SHA256 and 43 characters."""
    said = proposed(here, ssh_key("somebody-new").public.encode() + b"\n")
    assert re.match(r"Key SHA256:[A-Za-z0-9+/]{43} is proposed", said)


BEGIN, END = "-----BEGIN PGP PUBLIC KEY BLOCK-----", "-----END PGP PUBLIC KEY BLOCK-----"


@pytest.mark.parametrize(
    "content",
    [
        f"{BEGIN}\nrubbish",
        f"{BEGIN}\n\nAAAA\n{END}\n",
        f"{BEGIN}\n\n{END}\n",
        "-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n",
        "ssh-ed25519 AAAA comment",
        "ssh-ed25519 A",
        "ssh-ed25519",
        "ssh-dss AAAAB3NzaC1kc3MAAACB",
        "a letter",
        "",
    ],
)
def test_what_is_no_public_key_is_not_proposed(here: SmallExchange, content: str) -> None:
    """A first line that looks right is not enough; nobody is told, nothing is kept."""
    with pytest.raises(Refused) as refused:
        proposed(here, content.encode())
    assert refused.value.code == "NOT_A_KEY"
    assert "key.proposed" not in here.kinds()


def test_two_keys_in_one_block_or_file_are_not_one(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """Whoever checks one fingerprint must not let in a second key."""
    both = gpg_person("somebody-new").armored + gpg_person("p-kent-1").armored
    with pytest.raises(Refused, match="one whole OpenPGP public key"):
        proposed(here, both.encode())


def test_a_private_key_is_sent_to_nobody(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """It is refused with what to do instead."""
    key = gpg_person("somebody-new")
    exported = key.gpg("--armor", "--export-secret-keys", key.fingerprint).stdout
    assert b"PRIVATE KEY" in exported
    with pytest.raises(Refused, match="export the public key instead"):
        proposed(here, exported)


# ---------------------------------------------------------------- who leaves a member leaves its notices


def test_notices_stay_behind_when_a_person_changes_member(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """Of what Kent received, of what they sent for it, and of its people; back at Kent, they are theirs again."""
    delivery = here.arrive()
    here.exchange.people.suspend("g-kent", by="p-kent-2")
    with pytest.raises(Refused):
        here.put("p-kent-1", "post16-destinations/2026-11/essex/d.csv", b"not,the,columns\r\n1,2,3\r\n")
    kents = threads(here, "p-kent-1")
    assert {f"delivery:{delivery}", "suspension:g-kent"} <= set(kents)
    assert any(thread.startswith("refused:") for thread in kents)
    changed(here, gpg_person, "p-kent-1", "member: kent", "member: medway")
    assert threads(here, "p-kent-1") == []
    assert f"delivery:{delivery}" in threads(here, "p-kent-2")
    changed(here, gpg_person, "p-kent-1", "member: kent", "member: kent")
    assert threads(here, "p-kent-1") == kents


def test_who_sent_for_a_member_reads_nothing_more_about_it_elsewhere(
    here: SmallExchange, gpg_person: MakeGpgPerson
) -> None:
    """The notice goes on being edited for the record, but neither the desk nor the relay shows it to them."""
    here.exchange.people.link_chat("slack", "T1", "U1", here.code("p-essex-1"))
    delivery = here.arrive()
    first = here.exchange.outbox.claim("slack", real=time.time())
    assert {errand.account for errand in first} == {"U1"}
    for errand in first:
        here.exchange.outbox.sent(errand, "slack", channel="D1", reference=errand.notice.kind)
    changed(here, gpg_person, "p-essex-1", "member: essex", "member: medway")
    here.collect(delivery)
    here.exchange.acknowledgement.acknowledge("p-kent-2", delivery, via="test")
    assert here.exchange.outbox.claim("slack", real=time.time()) == ()
    assert threads(here, "p-essex-1") == []
    changed(here, gpg_person, "p-essex-1", "member: essex", "member: essex")
    again = here.exchange.outbox.claim("slack", real=time.time() + 61)
    told = [(errand.reference, "cknowledged" in errand.notice.text) for errand in again if errand.notice.kind == "sent"]
    assert told == [("sent", True)]
