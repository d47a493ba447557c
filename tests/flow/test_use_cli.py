"""Use and destruction at the command line: the same verbs, the same refusals, and lists for people and machines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner, Result

from server.cli.root import app
from server.domain.errors import Refused
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.flow.test_use import acknowledged
from tests.small_exchange import SmallExchange, small_exchange


@pytest.fixture
def here(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    with small_exchange(gpg_person, ssh_key) as made:
        yield made


def say(here: SmallExchange, *words: str) -> Result:
    return CliRunner().invoke(app, ["attestation", *words, "--data", str(here.exchange.ground.data)])


def test_the_buttons_have_their_twins(here: SmallExchange) -> None:
    """Processed, destroyed with places, a refusal with its sentence, and the list of what was said."""
    delivery = acknowledged(here)
    by = ("--by", "p-kent-1")
    wrong = say(here, "processed", delivery, "--kept", "2", "--not-ours", "2", *by)
    assert isinstance(wrong.exception, Refused)
    assert "This delivery had 3 records, not 4" in wrong.exception.sentence
    done = say(here, "processed", delivery, "--kept", "2", "--not-ours", "1", "--rejected", "0", *by)
    assert "is processed: 2 kept, 1 not relevant, 0 rejected" in done.output
    unknown = say(here, "destroyed", delivery, "--place", "attic=burnt", "--backups", "none", *by)
    assert isinstance(unknown.exception, Refused)
    done = say(here, "destroyed", delivery, "--place", "import folder=deleted", "--backups", "2027-03-31", *by)
    assert "the destruction is attested" in done.output
    listed = say(here, "list", "kent").output
    assert "destroyed: 2 kept, 1 not relevant, 0 rejected; destroyed by p-kent-1" in listed
    shown = json.loads(say(here, "list", "--json").output)
    assert shown["not_relevant"] == [
        {"sender": "essex", "exchange": "post16-destinations", "received": 3, "not_ours": 1, "share": 33.3}
    ]
    assert shown["attestations"][0]["authorities"] == {"886": 2}
    second = acknowledged(here)
    say(here, "processed", second, "--kept", "3", "--not-ours", "0", *by)
    assert "the destruction is attested" in say(here, "destroyed", second, *by).output


def test_r084_the_overdue_register_is_listed(here: SmallExchange) -> None:
    """Since when, for how many days, what is missing, who was told; then the lead countersigns."""
    delivery = acknowledged(here)
    here.exchange.clock.set(datetime(2027, 2, 3, 12, 0, tzinfo=UTC))
    here.exchange.tick()
    line = say(here, "list", "--overdue").output
    assert f"{delivery} essex -> kent" in line
    assert "overdue since 2027-02-02 (2 days), not said to be processed; told: g-kent" in line
    say(here, "processed", delivery, "--kept", "3", "--not-ours", "0", "--by", "p-kent-1")
    say(here, "destroyed", delivery, "--place", "mail=deleted", "--backups", "none", "--by", "p-kent-1")
    assert "to be countersigned" in say(here, "list", "kent", "--overdue").output
    assert "You countersigned" in say(here, "countersign", delivery, "--by", "g-kent").output
    assert say(here, "list", "--overdue").output.strip() == "None."
