"""A server that is killed anywhere in a disposal: after the restart it is finished, and certified exactly once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlmodel import select

from server.domain.delivery import SealedCopy
from server.exchange import Exchange
from server.store.duty_tables import CertificateRow, PurgeRow
from server.store.tables import DeliveryRow, KeyPacketRow
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.demo_process import ROOT
from tests.dying import POINTS, TEMPLATES
from tests.small_exchange import SmallExchange, small_exchange


@pytest.fixture
def here(request: pytest.FixtureRequest, gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    url = request.getfixturevalue("pg_url") if getattr(request, "param", "") == "postgresql" else ""
    with small_exchange(gpg_person, ssh_key, url) as made:
        yield made


def due(here: SmallExchange) -> str:
    """An acknowledged delivery whose time to go has come, and which nobody has looked at."""
    delivery = here.arrive()
    here.collect(delivery)
    here.exchange.acknowledgement.acknowledge("p-kent-1", delivery, via="test")
    here.exchange.clock.set(here.exchange.now() + timedelta(days=8))
    return delivery


def killed(here: SmallExchange, point: str) -> None:
    """Another server process does what is due, and is killed there."""
    store = here.exchange.ground.store
    command = [sys.executable, "-m", "tests.dying", str(here.exchange.ground.data), store.url, point]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr


def restarted(here: SmallExchange) -> None:
    """A server starts and ticks, twice."""
    for _ in range(2):
        store = here.exchange.ground.store
        server = Exchange.open(here.exchange.ground.data, database_url=store.url, templates=TEMPLATES)
        server.recover()
        server.tick()
        server.tick()
        server.ground.store.close()


@pytest.mark.parametrize("here", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("point", POINTS)
def test_a_purge_survives_kill_9_at_every_point_and_is_certified_exactly_once(here: SmallExchange, point: str) -> None:
    """Key packets, bytes, journal, certificate and ledger agree afterwards; a further restart changes nothing."""
    delivery = due(here)
    killed(here, point)
    restarted(here)
    with here.exchange.ground.store.reading() as session:
        row, purge = session.get(DeliveryRow, delivery), session.get(PurgeRow, delivery)
        assert row is not None and row.copy_state is SealedCopy.PURGED
        assert purge is not None and purge.unlinked_at and purge.certified_at
        assert session.exec(select(KeyPacketRow)).all() == []
        (certificate,) = session.exec(select(CertificateRow)).all()
    assert (certificate.kind, certificate.delivery, certificate.version) == ("system", delivery, 1)
    assert json.loads(certificate.document)["disposal"]["verification"]["payload_absent"] is True
    assert list(here.exchange.ground.spool.folder.iterdir()) == []
    assert here.count("copy.purged", delivery) == here.count("certificate.issued", delivery) == 1
    here.exchange.evidence.verify()


def test_two_servers_that_finish_the_same_purge_certify_it_once(here: SmallExchange) -> None:
    """Both look at the same row; the second finds it closed."""
    delivery = due(here)
    store = here.exchange.ground.store
    second = Exchange.open(here.exchange.ground.data, database_url=store.url, templates=TEMPLATES)
    here.exchange.refresh()
    assert here.exchange.retention.clear_due() == 1 and second.retention.clear_due() == 0
    here.exchange.disposal.finish()
    assert second.disposal.finish() == 0
    second.ground.store.close()
    assert here.count("certificate.issued", delivery) == 1
