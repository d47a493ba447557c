"""Putting a policy in force: never one whose text is wrong, always one that permits less, and by whom it may be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from server.domain.errors import Forbidden, Missing
from server.policy.lint import PolicyRefused
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import SmallExchange, policy_files, small_exchange

EDITS = {
    "withdrawn": ("agreement.yaml", "status: APPROVED", "status: WITHDRAWN"),
    "a draft": ("agreement.yaml", "status: APPROVED", "status: DRAFT"),
    "over": ("agreement.yaml", "until: 2029-08-31", "until: 2026-11-30"),
    "not begun": ("agreement.yaml", "from: 2026-09-01", "from: 2027-01-01"),
    "not reviewed": ("agreement.yaml", "due: 2029-08-31", "due: 2026-11-30"),
    "no channel": ("agreement.yaml", "kind: this-server", "kind: external"),
    "a signature taken back": ("agreement.yaml", "kent, state: signed", "kent, state: blank"),
    "an auditor": ("people.yaml", "roles: [auditor]", "roles: [administrator]"),
}


@pytest.fixture
def here(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    with small_exchange(gpg_person, ssh_key) as made:
        yield made


@pytest.fixture
def files(here: SmallExchange, gpg_person: MakeGpgPerson) -> dict[str, str]:
    """The set in force."""
    return policy_files(here.keys, gpg_person)


def changed(files: dict[str, str], file: str, old: str, new: str) -> dict[str, str]:
    assert old in files[file]
    return files | {file: files[file].replace(old, new, 1)}


def test_a_set_whose_text_is_wrong_is_refused_and_nothing_changes(here: SmallExchange, files: dict[str, str]) -> None:
    """What lint calls an error names its place; the revision in force stays, and the ledger has no entry of it."""
    before, entries = here.exchange.revision, here.kinds()
    for edit in (
        ("people.yaml", "dm@kent.example.org", "dm@kent.example.org."),
        ("access.yaml", "[policy.apply,", "[inbox.read, policy.apply,"),
        ("exchanges/a1-post16-destinations.yaml", "members: all", "members: [kent]"),
    ):
        with pytest.raises(PolicyRefused, match="one error") as refused:
            here.exchange.revisions.apply(changed(files, *edit), by="operator")
        assert [(f.file, f.severity) for f in refused.value.findings] == [(edit[0], "error")]
    assert (here.exchange.revision, here.kinds()) == (before, entries)


@pytest.mark.parametrize("edit", EDITS.values(), ids=list(EDITS))
def test_a_set_that_permits_less_is_applied(
    here: SmallExchange, files: dict[str, str], edit: tuple[str, str, str]
) -> None:
    """Whatever closes the exchange, or a part of it, can be put in force at once."""
    assert "is in force" in here.exchange.revisions.apply(changed(files, *edit), by="operator")


def test_the_last_data_manager_of_a_member_can_be_taken_out(here: SmallExchange, files: dict[str, str]) -> None:
    """A leaver goes today, not when the successor has a key."""
    before, _, rest = files["people.yaml"].partition("- id: p-medway-1\n")
    people = before + rest[rest.index("- id: g-medway\n") :]
    here.exchange.revisions.apply(files | {"people.yaml": people}, by="operator")
    assert here.exchange.policy.person("p-medway-1") is None


def test_who_decided_it_must_be_allowed_to(here: SmallExchange, files: dict[str, str]) -> None:
    """An administrator of the set in force; not a data manager, a stranger or somebody who is suspended.

    A set cannot name its own author: the one in force says who may.
    """
    less = changed(files, *EDITS["withdrawn"])
    with pytest.raises(Forbidden, match=r"policy\.apply"):
        here.exchange.revisions.apply(less, by="p-kent-1")
    grabbing = changed(files, "access.yaml", "data_manager: [", "data_manager: [policy.apply, ")
    with pytest.raises(Forbidden):
        here.exchange.revisions.apply(grabbing, by="p-kent-1")
    with pytest.raises(Missing):
        here.exchange.revisions.apply(less, by="nobody")
    here.exchange.people.suspend("a-essex-1", by="operator")
    with pytest.raises(Missing):
        here.exchange.revisions.apply(less, by="a-essex-1")
    assert here.exchange.policy.agreement.status == "APPROVED"


def test_an_administrator_s_decision_is_in_the_ledger(here: SmallExchange, files: dict[str, str]) -> None:
    """With the person's id as the actor."""
    here.exchange.revisions.apply(changed(files, *EDITS["withdrawn"]), by="a-essex-1")
    entry = list(here.exchange.evidence.entries())[-1]
    assert (entry.kind, entry.actor) == ("policy.applied", "a-essex-1")
