"""New keys through the mailbox: proposed at once, checked by phone by two people, in force by themselves."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from bot.conversation import Buttons, Form, Reply
from server.domain.audience import Hat
from server.domain.errors import Forbidden, Refused
from server.domain.schedule import london_day
from server.exchange import Exchange
from server.exchange.asking import ProposalView
from server.exchange.views import NoticeView
from server.policy.edit import PersonKeys, with_keys
from tests.conftest import GpgPerson, MakeGpgPerson, MakeSshKey
from tests.small_exchange import TEMPLATES, SmallExchange, moved, policy_files, put_in_force, records, small_exchange

PLACE = "post16-destinations/2026-11/kent"


@pytest.fixture
def here(request: pytest.FixtureRequest, gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    url = request.getfixturevalue("pg_url") if getattr(request, "param", "") == "postgresql" else ""
    with small_exchange(gpg_person, ssh_key, url) as made:
        yield made


def drop(here: SmallExchange, armored: str, person: str = "p-kent-1") -> str:
    """The person puts a key into /keys/mine/; the id of its proposal."""
    here.exchange.keys.propose(here.visitor(person), b"new.asc", armored.encode())
    return here.exchange.keys.every()[0].proposal


def proposal(here: SmallExchange, proposal_id: str) -> ProposalView:
    return here.exchange.revisions.proposal("g-kent", proposal_id)


def told(here: SmallExchange, person: str, proposal_id: str) -> NoticeView:
    views = here.exchange.views.notices(person)
    return next(view for view in views if view.notice.thread == f"proposal:{proposal_id}")


def approve(here: SmallExchange, proposal_id: str, *people: str) -> None:
    """Each has heard the fingerprint by phone; a moment later the exchange looks at it."""
    for person in people:
        end = proposal(here, proposal_id).key[-8:]
        assert here.exchange.revisions.approve(person, proposal_id, via="test", heard=end).changed
    here.exchange.tick()


def fingerprints(here: SmallExchange, person: str = "p-kent-1") -> list[str]:
    return [key.fingerprint for key in here.exchange.policy.person_by_id[person].gpg_keys]


# ---------------------------------------------------------------- from an expired key to a new one


def kent_with(here: SmallExchange, gpg_person: MakeGpgPerson, key: GpgPerson) -> None:
    """Kent's files are sealed to this one key alone."""
    files = policy_files(here.keys, gpg_person)
    keys = {
        "p-kent-1": PersonKeys(ssh=(here.keys["p-kent-1"],), gpg=((key.fingerprint, key.armored),)),
        "p-kent-2": PersonKeys(ssh=(here.keys["p-kent-2"],)),
    }
    files["people.yaml"] = with_keys(files["people.yaml"], keys)
    put_in_force(here.exchange, files)
    here.exchange.refresh()


def test_after_an_expired_key_a_new_one_is_proposed_checked_and_sealed_to(
    here: SmallExchange, gpg_person: MakeGpgPerson
) -> None:
    """Refused at open, sender and owner told; the new key is dropped, two people approve it, and it opens the next."""
    old, new = gpg_person("kent-short", expires="seconds=1"), gpg_person("kent-next")
    kent_with(here, gpg_person, old)
    time.sleep(1.1)  # gpg goes by real time
    with pytest.raises(Refused, match="expired"):
        here.put("p-essex-1", f"{PLACE}/first.csv", records(3))
    assert any(v.notice.kind == "refused" for v in here.exchange.views.notices("p-essex-1"))
    assert any(v.notice.kind == "key-unusable" for v in here.exchange.views.notices("p-kent-1"))
    waiting = drop(here, new.armored)
    for person in ("g-kent", "g-essex", "a-essex-1"):
        text = told(here, person, waiting).notice.text
        assert new.fingerprint in text and "Check it with M. Maple by phone" in text.replace("\n", " "), text
    approve(here, waiting, "g-kent", "a-essex-1")
    assert proposal(here, waiting).status == "applied"
    assert "It counts from now on" in told(here, "p-kent-1", waiting).notice.text
    assert "safehand policy show" in told(here, "a-essex-1", waiting).notice.text
    assert fingerprints(here) == [old.fingerprint, new.fingerprint]
    here.put("p-essex-1", f"{PLACE}/second.csv", records(4))
    here.release()
    delivery = here.exchange.views.received("p-kent-1")[0].id
    reading = here.exchange.collection.read(here.visitor("p-kent-1"), delivery)
    new.trusts(here.exchange.ground.key.armored)
    assert new.decrypt(reading.read(0, reading.size)) == records(4)
    reading.close(by_client=False)
    kinds = [kind for kind in here.kinds() if kind in {"key.proposed", "key.approved"}]
    assert kinds == ["key.proposed", "key.approved"]


# ---------------------------------------------------------------- who approves, and how


def test_a_key_is_not_approved_without_saying_what_was_heard(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """Neither by a word, nor by another end; with spaces and in small letters it is the same."""
    key = gpg_person("kent-next")
    waiting, revisions = drop(here, key.armored), here.exchange.revisions
    for heard, code in (("", "NOT_CHECKED"), ("  ", "NOT_CHECKED"), ("01234567", "NOT_THIS_KEY"),
                        (key.fingerprint[-7:], "NOT_THIS_KEY"), (key.fingerprint, "NOT_THIS_KEY")):  # fmt: skip
        with pytest.raises(Refused) as refused:
            revisions.approve("g-kent", waiting, via="test", heard=heard)
        assert refused.value.code == code and key.fingerprint[-8:] not in refused.value.sentence
    end = key.fingerprint[-8:].casefold()
    assert revisions.approve("g-kent", waiting, via="test", heard=f"{end[:4]} {end[4:]}").changed
    assert not revisions.approve("g-kent", waiting, via="test").changed
    assert here.count("policy.approved", waiting) == 1


def test_one_approval_is_not_enough_and_two_of_another_member_are_not_either(
    here: SmallExchange, gpg_person: MakeGpgPerson
) -> None:
    """The owner's own lead, and somebody of the member that runs the exchange."""
    waiting = drop(here, gpg_person("kent-next").armored)
    approve(here, waiting, "g-essex", "a-essex-1")
    assert proposal(here, waiting).status == "open" and len(fingerprints(here)) == 1
    assert "governance lead of Kent" in proposal(here, waiting).needs_words
    approve(here, waiting, "g-kent")
    assert proposal(here, waiting).status == "applied"


def test_nobody_approves_a_key_of_their_own(
    here: SmallExchange, gpg_person: MakeGpgPerson, ssh_key: MakeSshKey
) -> None:
    """Not even a lead, whose answer would count for anything else."""
    line = ssh_key("g-kent").public
    key = gpg_person("lead-key")
    files = policy_files(here.keys, gpg_person)
    files["people.yaml"] = with_keys(files["people.yaml"], {"g-kent": PersonKeys(ssh=(line,))})
    files["access.yaml"] = files["access.yaml"].replace(
        "governance_lead: [receipts.read,", "governance_lead: [receipts.read, keys.propose,"
    )
    put_in_force(here.exchange, files)
    here.exchange.refresh()
    here.keys = {**here.keys, "g-kent": line}
    waiting = drop(here, key.armored, "g-kent")
    with pytest.raises(Forbidden, match="of their own"):
        here.exchange.revisions.approve("g-kent", waiting, via="test", heard=key.fingerprint[-8:])
    assert [button.verb for button in told(here, "g-kent", waiting).notice.buttons] == ["withdraw-key"]


def test_a_key_is_refused_with_a_reason_or_withdrawn(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """It does not count, its owner reads why; the same key may be proposed again later."""
    key = gpg_person("kent-next")
    waiting = drop(here, key.armored)
    here.exchange.revisions.refuse("g-kent", waiting, "They do not know of it", via="test")
    here.exchange.tick()
    assert "They do not know of it" in told(here, "p-kent-1", waiting).notice.text
    again = drop(here, key.armored)
    assert again != waiting
    assert "withdrawn" in here.exchange.revisions.withdraw("p-kent-1", again, via="test").sentence
    here.exchange.tick()
    assert [view.status for view in here.exchange.keys.every()] == ["withdrawn"]
    assert len(fingerprints(here)) == 1


# ---------------------------------------------------------------- what happens meanwhile


def test_when_another_change_comes_first_the_key_is_asked_for_again(
    here: SmallExchange, gpg_person: MakeGpgPerson
) -> None:
    """On what is in force then, in its owner's name; and it keeps what the other change did."""
    key = gpg_person("kent-next")
    first = drop(here, key.armored)
    files = policy_files(here.keys, gpg_person)
    files["people.yaml"] = files["people.yaml"].replace("name: F. Fir", "name: F. Firth", 1)
    put_in_force(here.exchange, files)
    here.exchange.tick()
    assert proposal(here, first).status == "overtaken"
    second = here.exchange.keys.every()[0].proposal
    assert second != first and proposal(here, second).by == "p-kent-1"
    assert here.exchange.tick() is None and here.exchange.keys.every()[0].proposal == second
    approve(here, second, "g-kent", "g-essex")
    assert key.fingerprint in fingerprints(here)
    assert here.exchange.policy.person_by_id["u-auditor-1"].name == "F. Firth"


def test_a_key_outlives_a_change_that_another_process_applied(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """This process has not seen the new revision yet when it looks: the key is asked for again once it has."""
    drop(here, gpg_person("kent-next").armored)
    files = policy_files(here.keys, gpg_person)
    files["people.yaml"] = files["people.yaml"].replace("name: F. Fir", "name: F. Firth", 1)
    with another(here) as other:
        put_in_force(other, files)
    here.exchange.keys.tend()
    here.exchange.refresh()
    here.exchange.keys.tend()
    assert [view.status for view in here.exchange.keys.every()] == ["open"]
    assert [bool(view.key) for view in here.exchange.revisions.every() if view.status == "open"] == [True]


def test_a_key_never_takes_out_one_that_another_process_put_in(here: SmallExchange, ssh_key: MakeSshKey) -> None:
    """Two keys of one person wait, and the other process applies the first: the second is proposed beside it."""
    first = drop(here, ssh_key("one-more").public)
    drop(here, ssh_key("two-more").public)
    with another(here) as other:
        for person in ("g-kent", "g-essex"):
            (key,) = [view for view in other.keys.every() if view.proposal == first]
            other.revisions.approve(person, first, via="test", heard=key.fingerprint[-8:])
        other.keys.tend()
    here.exchange.keys.tend()
    here.exchange.refresh()
    here.exchange.keys.tend()
    (again,) = [view for view in here.exchange.revisions.every() if view.status == "open"]
    assert any("is added" in line for line in again.lines)
    assert not [line for line in again.lines if "taken out" in line or "removed" in line]


@contextmanager
def another(here: SmallExchange) -> Iterator[Exchange]:
    """The same exchange in a second process: the command line's."""
    ground = here.exchange.ground
    other = Exchange.open(ground.data, database_url=ground.store.url, templates=TEMPLATES)
    try:
        yield other
    finally:
        other.ground.store.close()


@pytest.mark.parametrize("here", ["sqlite", "postgresql"], indirect=True)
def test_two_processes_propose_an_overtaken_key_again_once(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """There is one proposal that says whose key it is, and none that could be approved without having checked it."""
    drop(here, gpg_person("kent-next").armored)
    files = policy_files(here.keys, gpg_person)
    files["people.yaml"] = files["people.yaml"].replace("name: F. Fir", "name: F. Firth", 1)
    put_in_force(here.exchange, files)
    ground = here.exchange.ground
    other = Exchange.open(ground.data, database_url=ground.store.url, templates=TEMPLATES)
    try:
        ready = threading.Barrier(2)

        def tending(exchange: Exchange) -> None:
            ready.wait()
            for _ in range(5):
                exchange.keys.tend()

        both = [threading.Thread(target=tending, args=(exchange,)) for exchange in (here.exchange, other)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join(120)
    finally:
        other.ground.store.close()
    waiting = [view for view in here.exchange.revisions.every() if view.status == "open"]
    assert [bool(view.key) for view in waiting] == [True]
    assert [view.status for view in here.exchange.keys.every()] == ["open"]


def test_a_quorum_that_a_crash_left_is_applied_at_the_next_look(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """Approved, and the process died: whoever looks next puts it in force, once."""
    key = gpg_person("kent-next")
    waiting = drop(here, key.armored)
    for person in ("g-kent", "g-essex"):
        here.exchange.revisions.approve(person, waiting, via="test", heard=key.fingerprint[-8:])
    assert proposal(here, waiting).status == "open"
    for _ in range(3):
        here.exchange.keys.tend()
    assert proposal(here, waiting).status == "applied" and here.kinds().count("key.approved") == 1


def test_a_person_has_a_few_keys_waiting_and_no_more(here: SmallExchange, ssh_key: MakeSshKey) -> None:
    """Nobody floods those who have to check them."""
    for number in range(3):
        drop(here, ssh_key(f"many-{number}").public)
    with pytest.raises(Refused, match="withdraw one of them"):
        drop(here, ssh_key("many-3").public)


def test_files_that_lack_a_key_from_the_mailbox_say_so_before_it_is_lost(
    here: SmallExchange, gpg_person: MakeGpgPerson
) -> None:
    """Whoever plans or approves them reads it first; with the key taken over, nothing is said."""
    key = gpg_person("kent-next")
    approve(here, drop(here, key.armored), "g-kent", "g-essex")
    here.exchange.tick()
    files = policy_files(here.keys, gpg_person)
    files["policy.yaml"] = moved(files["policy.yaml"], here.exchange.policy.policy.version)
    files["access.yaml"] = files["access.yaml"].replace("[30, 7]", "[30, 8]")
    revisions = here.exchange.revisions
    warned = [line for line in revisions.plan(files, by="a-essex-1").lines if "came through their mailbox" in line]
    assert len(warned) == 1 and key.fingerprint in warned[0] and "policy show 2.1.1" in warned[0]
    assert warned[0] in revisions.propose(files, by="a-essex-1").lines
    files["people.yaml"] = revisions.history.files("2.1.1")["people.yaml"]
    assert not any("mailbox" in line for line in revisions.plan(files, by="a-essex-1").lines)


# ---------------------------------------------------------------- what is no key to propose


@pytest.mark.parametrize(
    ("name", "how", "why"),
    [
        ("weak", {"algorithm": "rsa2048/rsa2048"}, "too weak"),
        ("mute", {"algorithm": "ed25519"}, "cannot encrypt"),
        ("gone", {"expires": "seconds=1"}, "expired"),
    ],
)
def test_a_key_that_nothing_could_be_sealed_to_is_refused_at_once(
    here: SmallExchange, gpg_person: MakeGpgPerson, name: str, how: dict[str, str], why: str
) -> None:
    """With the same sentence as at sealing; nobody is asked."""
    key = gpg_person(name, **how)
    if "expires" in how:
        time.sleep(1.1)
    with pytest.raises(Refused, match=why):
        drop(here, key.armored)
    assert here.exchange.keys.every() == ()


def test_a_key_that_is_there_or_somebody_elses_is_not_proposed(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """One's own of the same end changes nothing; a colleague's is not one's own."""
    for key, code in (("p-kent-1", "NOTHING_NEW"), ("p-kent-2", "NOT_YOURS")):
        with pytest.raises(Refused) as refused:
            drop(here, gpg_person(key).armored)
        assert refused.value.code == code
    with pytest.raises(Refused, match="already"):
        drop(here, here.keys["p-kent-1"])


# ---------------------------------------------------------------- the same key, longer


def extended(key: GpgPerson, expires: str) -> str:
    """The owner extends the key and its subkeys; its armour."""
    for which in ((), ("*",)):
        done = key.gpg(
            "--passphrase", "", "--pinentry-mode", "loopback", "--quick-set-expire", key.fingerprint, expires, *which
        )
        assert done.returncode == 0, done.stderr.decode()
    return key.gpg("--armor", "--export", key.fingerprint).stdout.decode()


@pytest.mark.parametrize("who", ["g-kent", "a-essex-1"])
def test_the_same_key_with_a_later_end_needs_one_approval(
    here: SmallExchange, gpg_person: MakeGpgPerson, who: str
) -> None:
    """Of another person of the same member, or of an administrator; it takes the old one's place."""
    key = gpg_person(f"kent-year-{who}", expires="30d")
    kent_with(here, gpg_person, key)
    end = here.exchange.ground.in_force.key_ends[key.fingerprint]
    waiting = drop(here, extended(key, "400d"))
    assert proposal(here, waiting).classes == ("key_refresh",)
    assert "later end" in told(here, "g-kent", waiting).notice.text
    asked = {
        p.id
        for p in here.exchange.policy.people
        for v in here.exchange.views.notices(p.id)
        if v.notice.thread == f"proposal:{waiting}"
    }
    assert asked == {"p-kent-1", "g-kent", "a-essex-1"} | {
        p.id for p in here.exchange.policy.people_of("kent", "governance_lead")
    }
    with pytest.raises(Forbidden):
        here.exchange.revisions.approve("g-medway", waiting, via="test", heard=key.fingerprint[-8:])
    approve(here, waiting, who)
    later = here.exchange.ground.in_force.key_ends[key.fingerprint]
    assert end is not None and later is not None and (later - end).days == 370
    assert fingerprints(here) == [key.fingerprint]


def test_an_earlier_end_is_no_refresh(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """The key that stands in the policy lasts longer: nothing has to be done."""
    key = gpg_person("kent-shorter", expires="300d")
    kent_with(here, gpg_person, key)
    with pytest.raises(Refused, match="same end or a later one"):
        drop(here, extended(key, "30d"))


# ---------------------------------------------------------------- reminders by the key's own end


def test_a_keys_end_is_said_by_the_exchanges_clock_and_judged_by_real_time(
    here: SmallExchange, gpg_person: MakeGpgPerson
) -> None:
    """Thirty days before, and over; a file still goes while gpg takes the key."""
    key = gpg_person("kent-soon", expires="45d")
    kent_with(here, gpg_person, key)
    end = here.exchange.ground.in_force.key_ends[key.fingerprint]
    assert end is not None
    hat, renewals = Hat("kent", "governance_lead"), here.exchange.renewals
    with here.exchange.ground.store.reading() as session:
        about = f"renewal:key:p-kent-1:{london_day(end)}"
        planned = {one.stage for one in renewals.plan(session, end) if one.about == about}
        assert planned >= {"P60D", "P30D", "P14D", "P7D", "P1D"}
        ask = renewals.ask(session, about, "P30D", end)
        assert ask is not None and (ask.hats, ask.people) == ((hat,), ("p-kent-1",))
        for seen in (hat, Hat("kent", "data_manager")):
            assert [item.label for item in renewals.items(session, seen, end) if item.about == about] == [
                "GPG key of M. Maple"
            ]
    here.exchange.clock.set(datetime(end.year + 1, 1, 2, 9, tzinfo=UTC))
    assert here.exchange.ground.in_force.keys_for("kent", here.exchange.ground.real())[0]


# ---------------------------------------------------------------- chat, desk, mailbox


def test_a_press_asks_for_what_was_heard(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """The form names whom to call, and does not show the end that has to be typed."""
    key, buttons = gpg_person("kent-next"), Buttons(here.exchange)
    waiting = drop(here, key.armored)
    form = buttons.press("g-kent", "approve-key", waiting, via="test")
    assert isinstance(form, Form) and "M. Maple" in form.intro and [f.name for f in form.fields] == ["heard"]
    assert key.fingerprint[-8:] not in form.intro + form.title
    assert isinstance(buttons.press("g-kent", "approve-change", waiting, via="test"), Reply)
    said = buttons.press("g-kent", "approve-change", waiting, {}, via="test")
    assert isinstance(said, Reply) and not said.changed
    done = buttons.press("g-kent", "approve-key", waiting, {"heard": key.fingerprint[-8:]}, via="test")
    assert isinstance(done, Reply) and done.changed
    assert isinstance(buttons.press("p-kent-1", "withdraw-key", waiting, via="test"), Form)


def test_an_owner_without_chat_withdraws_by_a_file(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """P-….withdrawn in /attest/."""
    waiting = drop(here, gpg_person("kent-next").armored)
    said = here.exchange.attest(here.visitor("p-kent-1"), f"{waiting}.withdrawn".encode(), b"")
    assert "withdrawn" in said and proposal(here, waiting).status == "withdrawn"
