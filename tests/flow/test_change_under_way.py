"""What is under way while the policy changes: uploads, a killed server, a database that somebody wrote to."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from server.domain.errors import Misconfigured, Refused
from server.exchange import Exchange
from server.exchange.arrivals import Arrival
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import (
    PEOPLE,
    TEMPLATES,
    SmallExchange,
    policy_files,
    put_in_force,
    records,
    small_exchange,
)

PLACE = ("post16-destinations", "2026-11", "kent")
FOUR = tuple(person for person in PEOPLE if person != "p-kent-2")
KILLED = """
import os, signal, sys
from pathlib import Path
from server.exchange import Exchange
data, url, templates, proposal = sys.argv[1:]
exchange = Exchange.open(Path(data), database_url=url, templates=Path(templates))
exchange.revisions.approve("g-medway", proposal, via="desk")
print("approved", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def here(request: pytest.FixtureRequest, gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    url = request.getfixturevalue("pg_url") if getattr(request, "param", "") == "postgresql" else ""
    with small_exchange(gpg_person, ssh_key, url) as made:
        yield made


def begun(here: SmallExchange) -> Arrival:
    """p-essex-1's upload to Kent, whole but for its close."""
    arrival = here.exchange.intake.open(here.visitor("p-essex-1"), PLACE, b"under-way.csv", resume=False)
    assert arrival.write(0, records(3))
    return arrival


def files_of(here: SmallExchange, gpg_person: MakeGpgPerson, people: tuple[str, ...]) -> dict[str, str]:
    """The shipped set with keys for these people alone."""
    return policy_files({person: here.keys[person] for person in people}, gpg_person)


def test_an_upload_goes_on_under_a_pair_that_stays_permitted(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """A key that came meanwhile, a rule that does not touch it: the file is delivered, under the new revision."""
    put_in_force(here.exchange, files_of(here, gpg_person, FOUR))
    arrival = begun(here)
    files = files_of(here, gpg_person, PEOPLE)
    files["access.yaml"] = files["access.yaml"].replace("training_gate: deny", "training_gate: warn")
    put_in_force(here.exchange, files)
    assert here.exchange.intake.close(arrival)
    entry = next(e for e in here.exchange.evidence.entries() if e.kind == "consignment.sealed")
    assert entry.revision == here.exchange.revision


def test_an_upload_sealed_for_somebody_who_went_is_refused(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """p-kent-2 is out of the policy: nothing that their key opens arrives any more."""
    arrival = begun(here)
    put_in_force(here.exchange, files_of(here, gpg_person, FOUR))
    with pytest.raises(Refused) as refused:
        here.exchange.intake.close(arrival)
    assert refused.value.code == "POLICY_CHANGED"
    assert here.exchange.views.sent_deliveries("p-essex-1") == ()


@pytest.mark.parametrize("here", ["sqlite", "postgresql"], indirect=True)
def test_a_server_killed_between_approval_and_applying_loses_nothing(
    here: SmallExchange, gpg_person: MakeGpgPerson
) -> None:
    """kill -9 right after the second approval: the proposal is open with both, and is applied by the next process."""
    files = policy_files(here.keys, gpg_person)
    files["access.yaml"] = files["access.yaml"].replace("training_gate: deny", "training_gate: warn")
    files["policy.yaml"] = files["policy.yaml"].replace("version: ", "version: 9", 1)
    revisions, ground = here.exchange.revisions, here.exchange.ground
    proposal = revisions.propose(files, by="a-essex-1")
    revisions.approve("g-kent", proposal.id, via="desk")
    command = [sys.executable, "-c", KILLED, str(ground.data), ground.store.url, str(TEMPLATES), proposal.id]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert (done.stdout, done.returncode) == ("approved\n", -signal.SIGKILL), done.stderr
    view = revisions.proposal("g-kent", proposal.id)
    assert (view.status, [answer[0] for answer in view.answers]) == ("open", ["g-kent", "g-medway"])
    assert here.exchange.policy.access.training_gate == "deny"
    revisions.apply(proposal.id, by="operator")
    assert here.exchange.policy.access.training_gate == "warn"
    assert "was applied already" in revisions.apply(proposal.id, by="operator")
    assert here.kinds().count("policy.applied") == 1


def test_another_server_follows_at_its_next_look(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """Two processes on one database: the second has the new revision, whole, as soon as it looks."""
    ground = here.exchange.ground
    other = Exchange.open(ground.data, database_url=ground.store.url, templates=TEMPLATES)
    try:
        put_in_force(here.exchange, files_of(here, gpg_person, FOUR))
        assert other.policy.person("p-kent-2") is not None
        assert other.refresh()
        assert other.revision == here.exchange.revision
        assert not other.refresh()
    finally:
        other.ground.store.close()


def test_a_revision_that_the_ledger_does_not_know_is_refused(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """Somebody with the database puts an earlier revision in force by SQL: everything is denied, with the reason."""
    first = here.exchange.revision
    put_in_force(here.exchange, files_of(here, gpg_person, FOUR))
    key = here.visitor("p-kent-1").key
    with here.exchange.ground.store.engine.begin() as connection:
        connection.execute(
            text('INSERT INTO revision_in_force (revision, at, "by") VALUES (:first, :at, :by)'),
            {"first": first, "at": "2026-12-01T10:00:00.000000Z", "by": "a-essex-1"},
        )
    here.exchange.refresh()
    with pytest.raises(Misconfigured, match="ledger does not know"):
        here.exchange.ground.require_sound()
    assert here.exchange.sessions.admit("p-kent-1", key, "127.0.0.1") is None
