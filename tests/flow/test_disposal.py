"""Copies end by rule, journalled and certified once; a legal hold beats every purge, and only a person ends it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import select

from server.cli.dispose import dispose
from server.domain.delivery import SealedCopy, Status
from server.domain.errors import Busy, Forbidden, Missing, Refused
from server.exchange.delivery import Deliveries
from server.exchange.fulfilment import Fulfilment
from server.exchange.retention import Retention
from server.exchange.telling import Telling
from server.store import Tx
from server.store.duty_tables import CertificateRow, PurgeRow
from server.store.tables import DeliveryRow, KeyPacketRow
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import SmallExchange, policy_files, put_in_force, small_exchange

WHY = "A complaint about this file is open"


@pytest.fixture
def here(request: pytest.FixtureRequest, gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    url = request.getfixturevalue("pg_url") if getattr(request, "param", "") == "postgresql" else ""
    with small_exchange(gpg_person, ssh_key, url) as made:
        yield made


both = pytest.mark.parametrize("here", ["sqlite", "postgresql"], indirect=True)


def at(here: SmallExchange, *moment: int) -> None:
    """It is then (UTC), and everything whose time has come is done."""
    here.exchange.clock.set(datetime(*moment, tzinfo=UTC))  # type: ignore[arg-type]
    here.exchange.tick()


def wait(here: SmallExchange, **span: float) -> None:
    here.exchange.clock.set(here.exchange.now() + timedelta(**span))
    here.exchange.tick()


def acknowledged(here: SmallExchange) -> str:
    delivery = here.arrive()
    here.collect(delivery)
    assert here.exchange.acknowledgement.acknowledge("p-kent-1", delivery, via="test").changed
    return delivery


def row_of(here: SmallExchange, delivery: str) -> DeliveryRow:
    with here.exchange.ground.store.reading() as session:
        row = session.get(DeliveryRow, delivery)
        assert row is not None
        return row


def copy_of(here: SmallExchange, delivery: str) -> SealedCopy:
    return row_of(here, delivery).copy_state


def certificates(here: SmallExchange, delivery: str) -> list[dict[str, object]]:
    """The documents of the system certificates of a delivery."""
    with here.exchange.ground.store.reading() as session:
        rows = session.exec(select(CertificateRow).where(CertificateRow.delivery == delivery)).all()
    return [json.loads(row.document) for row in rows if row.kind == "system"]


def ours(here: SmallExchange) -> list[tuple[str, str]]:
    """The findings about retention that stand."""
    return [(f.code, f.subject) for f in here.exchange.findings.open() if f.code.startswith("RETENTION_")]


def spool(here: SmallExchange) -> list[str]:
    return sorted(path.name for path in here.exchange.ground.spool.folder.iterdir())


def notice(here: SmallExchange, person: str, thread: str) -> str:
    return next(v.notice.text for v in here.exchange.views.notices(person) if v.notice.thread == thread)


# ---------------------------------------------------------------- what goes when


@both
def test_an_acknowledged_copy_goes_after_seven_days_with_one_certificate(here: SmallExchange) -> None:
    """Not before; the spool is empty then; the certificate says all that it has to, and no more."""
    delivery = acknowledged(here)
    wait(here, days=6, hours=23)
    assert copy_of(here, delivery) is SealedCopy.KEPT and certificates(here, delivery) == []
    wait(here, hours=2)
    assert copy_of(here, delivery) is SealedCopy.PURGED and spool(here) == []
    assert here.exchange.views.inbox(here.visitor("p-kent-1")) == ()
    wait(here, minutes=5)
    (told,) = certificates(here, delivery)
    own = told["disposal"]
    assert isinstance(own, dict)
    assert (own["rule"], own["retention_rule"], own["records"], own["by"]) == (
        "acknowledged",
        "two-months",
        3,
        "exchange",
    )
    assert own["clause"].startswith("8") and "grace of 7 days" in own["rule_words"]
    assert own["payload"]["sha256"] and own["payload"]["bytes"] > 0 and own["key_packets"]["bytes"] > 0
    keys = {key.fingerprint for _, key in here.exchange.policy.sealed_to("kent")}
    assert set(own["encrypted_to"]) == keys
    assert own["legal_hold"]["open"] == 0 and own["verification"]["payload_absent"] is True
    assert own["stored_from"] < own["stored_until"] <= own["finished_at"]
    assert "held no decryption key" in own["method"] and "overwriting" in own["method"]
    assert "does not cover copies at the recipient" in own["limit"] and "outside its reach" in own["backups"]
    assert "destinations" not in json.dumps(own), "no file name that somebody typed"
    assert here.count("copy.purged", delivery) == here.count("certificate.issued", delivery) == 1
    words = here.exchange.views.sent_deliveries("p-essex-1")[0].words
    assert words.startswith("acknowledged by p-kent-1") and words.endswith("the copy here is gone")


@both
def test_r081_what_nobody_collected_goes_when_its_use_by_day_is_over(here: SmallExchange) -> None:
    """To the end of that day in London it can be fetched; after it both members read that its time is over."""
    delivery = here.arrive()
    at(here, 2027, 2, 1, 23, 59)
    assert copy_of(here, delivery) is SealedCopy.KEPT
    at(here, 2027, 2, 2, 0, 0)
    assert copy_of(here, delivery) is SealedCopy.PURGED and spool(here) == []
    (told,) = certificates(here, delivery)
    assert told["disposal"]["rule"] == "use_by"  # type: ignore[index]
    assert "time is over" in notice(here, "p-kent-1", f"delivery:{delivery}")
    consignment = row_of(here, delivery).consignment
    assert "time is over" in notice(here, "p-essex-1", f"consignment:{consignment}")
    with pytest.raises(Refused, match="send it again"):
        here.exchange.acknowledgement.acknowledge("p-kent-1", delivery, via="test")
    assert all(view.buttons == () for view in here.exchange.views.received("p-kent-1"))


@both
def test_rejected_and_replaced_copies_go_after_the_grace_too(here: SmallExchange) -> None:
    """Until then the partner's own handling may need them; they never were for ever."""
    rejected, replaced = here.arrive(), here.arrive(name="a.csv")
    here.collect(rejected)
    here.exchange.acknowledgement.problem("p-kent-1", rejected, "rejected", "The wrong month", via="test")
    newer = here.arrive(rows=4, name="a.csv")
    assert row_of(here, replaced).status is Status.SUPERSEDED
    assert copy_of(here, replaced) is copy_of(here, rejected) is SealedCopy.KEPT
    wait(here, days=7, hours=1)
    assert copy_of(here, replaced) is copy_of(here, rejected) is SealedCopy.PURGED
    assert copy_of(here, newer) is SealedCopy.KEPT and len(spool(here)) == 1
    assert [len(certificates(here, one)) for one in (rejected, replaced, newer)] == [1, 1, 0]


def test_a_recall_and_an_undone_upload_are_certified_too_and_the_partner_sees_only_what_it_saw(
    here: SmallExchange,
) -> None:
    """What its recipient never saw leaves no trace there: not even a certificate."""
    recalled = here.arrive()
    here.exchange.delivery.recall("p-essex-1", recalled, via="test")
    here.send(name="b.csv")
    folder = ("post16-destinations", "2026-11", "kent")
    here.exchange.amendments.remove(here.visitor("p-essex-1"), folder, b"b.csv")
    here.exchange.tick()
    sent = {file.of.delivery for file in here.exchange.certificates.files("essex")}
    received = {file.of.delivery for file in here.exchange.certificates.files("kent")}
    assert len(sent) == 2 and received == {recalled}
    assert here.exchange.certificates.files("medway") == ()


@both
def test_one_of_several_recipients_copies_ends_while_the_payload_stays_for_the_others(here: SmallExchange) -> None:
    """Its certificate says so, and that without its key packets it is unreadable for it."""
    here.put("p-essex-1", "trial/2026-11/everyone/a.txt", b"hello all")
    here.release()
    kent = here.exchange.views.received("p-kent-1")[0].id
    here.collect(kent)
    here.exchange.acknowledgement.acknowledge("p-kent-1", kent, via="test")
    wait(here, days=8)
    (told,) = certificates(here, kent)
    seen = told["disposal"]["verification"]  # type: ignore[index]
    assert seen["payload_absent"] is False and seen["other_recipients"] == 1 and "unreadable" in seen["payload"]
    medway = here.exchange.views.received("p-medway-1")[0].id
    here.collect(medway, "p-medway-1")
    at(here, 2027, 2, 3, 9)
    assert spool(here) == [] and len(certificates(here, medway)) == 1
    with here.exchange.ground.store.reading() as session:
        assert session.exec(select(KeyPacketRow)).all() == []
        assert all(row.certified_at and row.unlinked_at for row in session.exec(select(PurgeRow)).all())


def test_a_file_that_is_held_for_ever_ends_when_its_time_is_over(here: SmallExchange) -> None:
    """Nobody answered: nothing of it stays."""
    consignment = here.send(cut=True)
    at(here, 2027, 2, 2, 9)
    view = here.exchange.views.sent_deliveries("p-essex-1")[0]
    assert (view.consignment, view.status) == (consignment, Status.RECALLED) and spool(here) == []
    assert certificates(here, view.id)[0]["disposal"]["rule"] == "unreleased"  # type: ignore[index]


# ---------------------------------------------------------------- holds


@both
def test_a_hold_beats_every_purge_and_only_a_person_ends_it(here: SmallExchange) -> None:
    """Nothing goes; that its time had come is written down once a hold; after the last release it goes at once."""
    delivery = here.arrive()
    holds = here.exchange.holds
    for lead in ("g-kent", "g-essex"):
        assert holds.hold(lead, delivery, WHY, via="test").changed
    assert not holds.hold("g-kent", delivery, WHY, via="test").changed
    assert copy_of(here, delivery) is SealedCopy.HELD
    at(here, 2027, 2, 2, 0, 0)
    wait(here, days=3)
    wait(here, days=3)
    assert copy_of(here, delivery) is SealedCopy.HELD and len(spool(here)) == 1 and certificates(here, delivery) == []
    assert here.kinds().count("retention.held") == 2
    assert here.exchange.views.inbox(here.visitor("p-kent-1")) == (), "its use-by day is over all the same"
    with pytest.raises(Missing):
        here.exchange.collection.read(here.visitor("p-kent-1"), delivery)
    with pytest.raises(Forbidden, match="placed by Kent"):
        holds.release("g-essex", "H-2026-000001", via="test")
    assert holds.release("g-kent", "H-2026-000001", via="test").changed
    wait(here, minutes=2)
    assert copy_of(here, delivery) is SealedCopy.HELD
    assert holds.release("g-essex", "H-2026-000002", via="test").changed
    assert not holds.release("g-essex", "H-2026-000002", via="test").changed
    wait(here, minutes=2)
    assert copy_of(here, delivery) is SealedCopy.PURGED and spool(here) == []
    own = certificates(here, delivery)[0]["disposal"]
    assert own["legal_hold"]["released"] == ["H-2026-000001", "H-2026-000002"]  # type: ignore[index]
    assert ours(here) == []
    assert WHY not in "".join(entry.data for entry in here.exchange.evidence.entries())


@both
def test_purging_under_hold_is_refused_and_logged(here: SmallExchange) -> None:
    """A recall and an undoing `rm` say why; the ledger has who tried; nothing moved."""
    delivery = here.arrive()
    here.exchange.holds.hold("g-essex", delivery, WHY, via="test")
    with pytest.raises(Refused, match="legal hold") as refused:
        here.exchange.delivery.recall("p-essex-1", delivery, via="test")
    assert refused.value.code == "UNDER_HOLD"
    assert row_of(here, delivery).status is Status.AVAILABLE
    here.send(name="b.csv")
    unreleased = here.exchange.views.sent_deliveries("p-essex-1")[0].id
    here.exchange.holds.hold("g-essex", unreleased, WHY, via="test")
    folder = ("post16-destinations", "2026-11", "kent")
    with pytest.raises(Refused, match="legal hold"):
        here.exchange.amendments.remove(here.visitor("p-essex-1"), folder, b"b.csv")
    assert here.count("purge.refused", delivery) == here.count("purge.refused", unreleased) == 1
    here.send(rows=4, name="b.csv")
    assert row_of(here, unreleased).status is Status.SUPERSEDED, "a newer file goes its way"
    assert copy_of(here, unreleased) is SealedCopy.HELD, "and the held copy stays"
    here.exchange.holds.release("g-essex", "H-2026-000002", via="test")
    wait(here, minutes=2)
    assert copy_of(here, unreleased) is SealedCopy.PURGED


def test_only_leads_of_the_two_members_hold_and_release(here: SmallExchange) -> None:
    """Others are told so; another member's lead cannot know of it; a reason with personal data is refused."""
    delivery = here.arrive()
    holds = here.exchange.holds
    for person, error in (("p-kent-1", Forbidden), ("a-essex-1", Forbidden), ("g-medway", Missing)):
        with pytest.raises(error):
            holds.hold(person, delivery, WHY, via="test")
    with pytest.raises(Refused, match="personal data"):
        holds.hold("g-kent", delivery, "About jo@example.org", via="test")
    unreleased = here.exchange.views.sent_deliveries("p-essex-1")[0] if here.send(name="c.csv") else None
    assert unreleased is not None
    with pytest.raises(Missing):
        holds.hold("g-kent", unreleased.id, WHY, via="test")
    holds.hold("g-kent", delivery, WHY, via="test")
    assert [view.reason for view in holds.of_delivery("g-kent", delivery)] == [WHY]
    assert [view.reason for view in holds.of_delivery("g-essex", delivery)] == [""]
    assert holds.of_delivery("g-medway", delivery) == ()
    with pytest.raises(Forbidden):
        holds.release("p-kent-1", "H-2026-000001", via="test")
    recalled = here.arrive(name="d.csv")
    here.exchange.delivery.recall("p-essex-1", recalled, via="test")
    with pytest.raises(Refused, match="nothing left to hold"):
        holds.hold("g-kent", recalled, WHY, via="test")


def test_a_hold_is_placed_and_released_by_files_too(here: SmallExchange) -> None:
    """The twin of the buttons in attest/: the reason is inside."""
    delivery = here.arrive()
    visitor = here.visitor("p-kent-1")
    with pytest.raises(Forbidden):
        here.exchange.attest(visitor, f"{delivery}.hold".encode(), WHY.encode())
    here.exchange.holds.hold("g-kent", delivery, WHY, via="test")
    with pytest.raises(Forbidden):
        here.exchange.attest(visitor, b"H-2026-000001.release.txt", b"")


def test_the_leads_who_placed_a_hold_are_asked_every_week(here: SmallExchange) -> None:
    """The week that came last and the next one are planned; a released hold asks nobody."""
    delivery = here.arrive()
    holds = here.exchange.holds
    holds.hold("g-kent", delivery, WHY, via="test")
    placed = here.exchange.now()
    with here.exchange.ground.store.reading() as session:
        first = list(holds.plan(session, placed))
        later = list(holds.plan(session, placed + timedelta(days=16)))
        ask = holds.ask(session, first[0].about, first[0].stage, placed)
    assert [(p.about, p.stage) for p in first] == [("hold:H-2026-000001", "week-1")]
    assert first[0].due_at - placed == pytest.approx(timedelta(days=7), abs=timedelta(minutes=5))
    assert [p.stage for p in later] == ["week-2", "week-3"]
    assert ask is not None and [(hat.member, hat.role) for hat in ask.hats] == [("kent", "governance_lead")]
    with here.exchange.ground.store.reading() as session:
        assert [i.buttons[0].verb for i in holds.items(session, ask.hats[0], placed)] == ["release-hold"]
    holds.release("g-kent", "H-2026-000001", via="test")
    with here.exchange.ground.store.reading() as session:
        assert list(holds.plan(session, placed)) == []
        assert holds.ask(session, first[0].about, "week-1", placed) is None


# ---------------------------------------------------------------- what no rule speaks of


def test_a_copy_that_no_rule_in_force_speaks_of_is_a_finding(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """Its exchange left the policy: a person has to look; its use-by day still ends it, and the finding with it."""
    here.put("p-essex-1", "trial/2026-11/kent/a.txt", b"hello")
    here.release()
    delivery = here.exchange.views.received("p-kent-1")[0].id
    files = policy_files(here.keys, gpg_person)
    put_in_force(here.exchange, {name: text for name, text in files.items() if "trial" not in name})
    wait(here, minutes=2)
    assert ours(here) == [("RETENTION_UNCOVERED", delivery)]
    (found,) = here.exchange.retention.verdicts()
    assert not found.covered and found.rule == "use_by"
    at(here, 2027, 2, 2, 9)
    assert copy_of(here, delivery) is SealedCopy.PURGED and ours(here) == []


def test_disposal_by_hand_says_what_was_expected_done_and_failed(here: SmallExchange) -> None:
    """What a hold keeps is not expected; the certificates name who did it."""
    first, second, held = here.arrive(), here.arrive(), here.arrive()
    here.exchange.holds.hold("g-kent", held, WHY, via="test")
    here.exchange.clock.set(datetime(2027, 2, 2, 9, tzinfo=UTC))
    found = here.exchange.retention.dispose(by="operator")
    assert found.expected == found.done == (first, second) and found.failed == ()
    assert here.exchange.retention.dispose(by="operator").expected == ()
    here.exchange.tick()
    assert certificates(here, first)[0]["disposal"]["by"] == "operator"  # type: ignore[index]
    assert certificates(here, held) == []


class Obstinate(Deliveries):
    """Deliveries of which one cannot be ended today."""

    stuck = ""

    def clear(self, tx: Tx, row: DeliveryRow, *rest: Any, **more: Any) -> bool:
        if row.id == self.stuck:
            raise Busy("The disk says no.")
        return super().clear(tx, row, *rest, **more)


def test_one_copy_that_cannot_go_does_not_stop_the_others(here: SmallExchange) -> None:
    """By hand it is reported; by itself the others go, and it is tried again."""
    first, second, third = here.arrive(), here.arrive(), here.arrive()
    ground, own = here.exchange.ground, here.exchange
    obstinate = Obstinate(ground, Telling(ground), own.disposal, own.collection, Fulfilment(ground))
    obstinate.stuck = second
    retention = Retention(ground, obstinate, own.findings)
    own.clock.set(datetime(2027, 2, 2, 9, tzinfo=UTC))
    found = retention.dispose(by="operator")
    assert (found.expected, found.done) == ((first, second, third), (first, third))
    assert found.failed == ((second, "The disk says no."),)
    with pytest.raises(Busy):
        retention.clear_due()
    assert retention.clear_due() == 0, "it is left alone for a minute"
    assert copy_of(here, second) is SealedCopy.KEPT
    assert own.retention.clear_due() == 1


def test_the_dry_run_says_what_goes_by_which_clause_and_what_keeps_it(
    here: SmallExchange, capsys: pytest.CaptureFixture[str]
) -> None:
    """And changes nothing; with --until what will have gone by then; as JSON the same; then it is done."""
    first, held = here.arrive(), here.arrive()
    here.exchange.holds.hold("g-kent", held, WHY, via="test")
    data, before = here.exchange.ground.data, here.kinds()

    def told(**options: object) -> str:
        dispose(**{"dry_run": True, "until": None, "as_json": False, "data": data} | options)  # type: ignore[arg-type]
        return capsys.readouterr().out

    assert told() == "0 would go, 0 would stay. Nothing was changed.\n"
    by_then = told(until="2027-02-01")
    assert f"{first}  Tue 2 Feb 2027 00:00  use_by: its use-by day, Mon 1 Feb 2027, is over; clause 8" in by_then
    assert "; kept by H-2026-000001" in by_then and "1 would go, 1 would stay. Nothing was changed." in by_then
    assert told(until="2027-01-31").startswith("0 would go")
    objects = json.loads(told(until="2027-02-01", as_json=True))["objects"]
    assert [(o["delivery"], o["rule"], o["held_by"]) for o in objects] == [
        (first, "use_by", []), (held, "use_by", ["H-2026-000001"]),
    ]  # fmt: skip
    assert here.kinds() == before
    with pytest.raises(Refused, match="--dry-run"):
        told(until="2027-02-01", dry_run=False)
    with pytest.raises(Refused, match="no day"):
        told(until="soon")
    here.exchange.clock.set(datetime(2027, 2, 2, 9, tzinfo=UTC))
    assert told(dry_run=False).endswith("Expected 1, done 1, failed 0.\n")
    assert len(certificates(here, first)) == 1 and certificates(here, held) == []
