"""Every day the rows are compared with the spool: what differs is held back and told, and never quietly repaired."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import col, select
from typer.testing import CliRunner

from server.cli.root import app
from server.domain.delivery import SealedCopy
from server.domain.errors import Busy
from server.exchange import Exchange
from server.exchange.reconciliation import DONE, KIND
from server.store.duty_tables import FindingRow
from server.store.tables import ConsignmentRow, DeliveryRow, KeyPacketRow
from server.web.metrics import exposition
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import TEMPLATES, SmallExchange, records, small_exchange


@pytest.fixture
def here(request: pytest.FixtureRequest, gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    url = request.getfixturevalue("pg_url") if getattr(request, "param", "") == "postgresql" else ""
    with small_exchange(gpg_person, ssh_key, url) as made:
        made.exchange.tick()
        yield made


def envelope(here: SmallExchange, delivery: str) -> Path:
    """The sealed file of a delivery, on the exchange's disk."""
    with here.exchange.ground.store.reading() as session:
        row = session.get(DeliveryRow, delivery)
        consignment = session.get(ConsignmentRow, row.consignment) if row else None
    assert consignment is not None
    return here.exchange.ground.data / "spool" / f"{consignment.blob}.sealed"


def codes(here: SmallExchange) -> list[str]:
    """What was found of sealed copies; that Brighton and Hove has nobody to be told stands in every exchange."""
    return [finding.code for finding in here.exchange.findings.open() if finding.code != "NOBODY_TO_TELL"]


def noted(here: SmallExchange) -> int:
    """How often something about sealed copies was written down."""
    entries = (entry for entry in here.exchange.evidence.entries() if entry.kind == "finding.noted")
    return sum("NOBODY_TO_TELL" not in entry.data for entry in entries)


def a_day_later(here: SmallExchange, days: int = 1) -> None:
    here.exchange.clock.set(here.exchange.now() + timedelta(days=days))
    here.exchange.reconciliation.look_due()


def told(here: SmallExchange, person: str) -> list[str]:
    return [view.notice.text for view in here.exchange.views.notices(person) if view.notice.kind == KIND]


def taken(here: SmallExchange, delivery: str) -> None:
    """Somebody moves the sealed file away."""
    envelope(here, delivery).rename(here.exchange.ground.data / "elsewhere")


def changed(here: SmallExchange, delivery: str) -> None:
    """One bit of the sealed file turns round."""
    path = envelope(here, delivery)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(here: SmallExchange, delivery: str) -> None:
    """The sealed file loses its last byte."""
    path = envelope(here, delivery)
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("harm", "code", "why"),
    [(taken, "SPOOL_MISSING", "not on"), (changed, "SPOOL_DAMAGED", "was changed"), (cut, "SPOOL_DAMAGED", "bytes")],
    ids=["missing", "one bit", "cut"],
)
def test_a_harmed_copy_is_held_back_and_both_members_hear_once(here: SmallExchange, harm, code: str, why: str) -> None:
    """Not served (a sentence says why), not purged, told once; restored, it is served again and that is said."""
    delivery = here.arrive()
    sealed = envelope(here, delivery)
    content = sealed.read_bytes()
    harm(here, delivery)
    a_day_later(here)
    assert codes(here) == [code]
    with pytest.raises(Busy, match=why) as refused:
        here.exchange.collection.read(here.visitor("p-kent-2"), delivery)
    assert refused.value.code == "HELD_BACK"
    for person in ("p-essex-1", "p-kent-1", "p-kent-2"):
        (text,) = told(here, person)
        assert delivery in text and why in text and len(text.splitlines()) <= 3
    assert told(here, "p-medway-1") == []
    a_day_later(here)
    assert len(told(here, "p-kent-1")) == 1 and noted(here) == 1
    sealed.write_bytes(content)
    a_day_later(here)
    assert codes(here) == [] and here.kinds().count("finding.cleared") == 1
    here.collect(delivery)
    assert told(here, "p-kent-1") == told(here, "p-essex-1") and "mended" in told(here, "p-kent-1")[0]


def test_a_harmed_copy_outlives_its_time_until_it_is_mended(here: SmallExchange) -> None:
    """What is not as it was stored is evidence: no rule ends it before somebody looked."""
    delivery = here.arrive()
    content = envelope(here, delivery).read_bytes()
    path = envelope(here, delivery)
    changed(here, delivery)
    a_day_later(here)
    here.exchange.clock.set(here.exchange.now() + timedelta(days=75))
    here.exchange.tick()
    assert here.count("copy.purged", delivery) == 0 and path.exists()
    path.write_bytes(content)
    a_day_later(here)
    here.exchange.tick()
    assert here.count("copy.purged", delivery) == 1 and not path.exists()


def test_sending_again_brings_a_sound_copy(here: SmallExchange) -> None:
    """The same file under the same name is taken and replaces the harmed one, whose end then clears the finding."""
    delivery = here.arrive(name="destinations.csv")
    taken(here, delivery)
    a_day_later(here)
    again = here.put("p-essex-1", "post16-destinations/2026-11/kent/destinations.csv", records(3))
    assert again is not None and "already" not in again
    here.release()
    newest = here.exchange.views.received("p-kent-1")[0].id
    assert newest != delivery
    here.collect(newest)
    a_day_later(here, 9)
    here.exchange.tick()
    a_day_later(here)
    assert codes(here) == []


def test_a_stranger_in_the_spool_is_kept_and_reported(here: SmallExchange) -> None:
    """A sealed file without a row may be somebody's only copy."""
    stranger = here.exchange.ground.data / "spool" / f"{'ab' * 16}.sealed"
    stranger.write_bytes(b"whose?")
    a_day_later(here)
    assert codes(here) == ["SPOOL_STRANGER"] and stranger.read_bytes() == b"whose?"
    stranger.unlink()
    a_day_later(here)
    assert codes(here) == []


def test_key_packets_and_deliveries_belong_together(here: SmallExchange) -> None:
    """A copy without its key packets, and key packets of nobody's copy, are told apart."""
    first, second = here.arrive(), here.arrive()
    with here.exchange.ground.transaction() as tx:
        rows = {row.id: row for row in tx.session.exec(select(DeliveryRow)).all()}
        tx.session.delete(tx.session.get(KeyPacketRow, (rows[first].consignment, "kent")))
        stray = KeyPacketRow(consignment=rows[second].consignment, member="medway", packets=b"x", fingerprints="A" * 40)
        tx.session.add(stray)
    a_day_later(here)
    assert sorted(codes(here)) == ["PACKETS_MISSING", "PACKETS_STRANGER"]
    subjects = {finding.code: finding.subject for finding in here.exchange.findings.open()}
    assert subjects["PACKETS_MISSING"] == first
    assert b"safehand_findings 3.0" in exposition(here.exchange.condition.counts())


def test_what_has_ended_is_not_missing(here: SmallExchange) -> None:
    """A recalled, a purged, a staged and a waiting copy are as their rows have them."""
    gone = here.arrive()
    here.exchange.delivery.recall("p-essex-1", gone, via="test")
    here.arrive()
    here.send(cut=True)
    here.put("p-essex-1", "post16-destinations/2026-11/kent/later.csv.filepart", records(2, "staged "))
    a_day_later(here)
    with here.exchange.ground.store.reading() as session:
        purged = session.exec(select(DeliveryRow.id).where(col(DeliveryRow.copy_state) == SealedCopy.PURGED)).all()
    assert gone in purged and codes(here) == []


@pytest.mark.parametrize("here", ["sqlite", "postgresql"], indirect=True)
def test_a_day_has_one_look_whoever_looks_and_however_often_it_starts(here: SmallExchange) -> None:
    """The ledger decides: neither a second process nor a restart looks again on the same London day."""
    data, url = here.exchange.ground.data, here.exchange.ground.store.url
    for _ in range(2):
        other = Exchange.open(data, database_url=url, templates=TEMPLATES)
        other.reconciliation.look_due()
        other.ground.store.close()
    assert here.kinds().count(DONE) == 1
    a_day_later(here)
    assert here.kinds().count(DONE) == 2


def test_on_demand_at_the_command_line(here: SmallExchange) -> None:
    """`reconcile` looks now, `findings` lists; both exit with 1 while something is wrong, and print JSON."""
    delivery = here.arrive()
    data = ["--data", str(here.exchange.ground.data)]
    run = CliRunner()
    assert codes(here) == []
    done = run.invoke(app, ["reconcile", *data])
    assert done.exit_code == 0 and "everything is as it was stored" in done.output
    changed(here, delivery)
    done = run.invoke(app, ["reconcile", "--json", *data])
    assert done.exit_code == 1
    assert [one["code"] for one in json.loads(done.output)["differences"]] == ["SPOOL_DAMAGED"]
    listed = run.invoke(app, ["findings", "--json", *data])
    assert listed.exit_code == 1 and "SPOOL_DAMAGED" in {one["code"] for one in json.loads(listed.output)}
    assert "SPOOL_DAMAGED" in run.invoke(app, ["findings", *data]).output
    with here.exchange.ground.store.reading() as session:
        found = session.exec(select(FindingRow).where(FindingRow.code == "SPOOL_DAMAGED")).all()
    assert len(found) == 1
