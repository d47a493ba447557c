"""Keys, corrections and yearly statements at the command line: the same acts, the same sentences."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from server.cli.root import app
from server.domain.errors import Refused
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import SmallExchange, small_exchange


@pytest.fixture
def here(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    with small_exchange(gpg_person, ssh_key) as made:
        yield made


def say(here: SmallExchange, *words: str) -> str:
    """What the command prints; raises what it is refused with."""
    data = here.exchange.ground.data
    done = CliRunner().invoke(
        app, [*words, "--data", str(data)], env={"SAFEHAND_DATABASE_URL": here.exchange.ground.store.url}
    )
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_a_key_is_listed_approved_by_its_end_and_counts(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """The second approval puts it in force by itself."""
    key = gpg_person("kent-cli")
    here.exchange.keys.propose(here.visitor("p-kent-1"), b"new.asc", key.armored.encode())
    listed = say(here, "key", "list")
    proposal = listed.split()[0]
    assert key.fingerprint in listed and "It needs" in listed
    with pytest.raises(Refused, match="not how the fingerprint"):
        say(here, "key", "approve", proposal, "--heard", "00000000", "--by", "g-kent")
    for person in ("g-kent", "a-essex-1"):
        said = say(here, "key", "approve", proposal, "--heard", key.fingerprint[-8:], "--by", person)
    assert "takes effect by itself" in said
    here.exchange.refresh()
    assert key.fingerprint in {own.fingerprint for own in here.exchange.policy.person_by_id["p-kent-1"].gpg_keys}


def test_a_correction_is_added_answered_and_listed(here: SmallExchange) -> None:
    """As text and as JSON, which has no value of any record."""
    delivery = here.arrive()
    said = say(here, "correction", "add", delivery, "--line", "2", "--field", "dob", "--by", "p-kent-1")
    correction = said.partition(":")[0]
    assert "accepted" in say(here, "correction", "answer", correction, "--by", "p-essex-1")
    (one,) = json.loads(say(here, "correction", "list", "--json"))
    assert (one["id"], one["line"], one["field"], one["status"]) == (correction, 2, "dob", "accepted")
    assert f"{correction}  {delivery} line 2 dob" in say(here, "correction", "list")


def test_a_statement_is_given_and_everybodys_are_listed(here: SmallExchange) -> None:
    """With what does not hold yet; the list says only that it was given."""
    said = say(here, "agreement", "attest", "due-diligence", "--by", "g-kent", "--not", "access_review")
    assert "given for Kent" in said
    listed = say(here, "agreement", "attestations")
    assert "1 of 54 yearly statements are provided." in listed and "access" not in listed
    told = json.loads(say(here, "agreement", "attestations", "--json"))
    assert [(one["member"], one["kind"]) for one in told if one["provided"]] == [("kent", "due-diligence")]
