"""Explain says why A may send to B: every rule that was looked at, with its clause and its place."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from server.domain.agreement import PolicySet
from server.domain.decision import Question, decide
from server.domain.schedule import Period
from server.policy.edit import PersonKeys, with_keys
from server.policy.explain import HOLDS, explain
from server.policy.load import load_texts, read_texts
from tests.conftest import MakeGpgPerson

TEXTS = read_texts(Path(__file__).parents[2] / "policies" / "ccis-v2")
NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)


def with_medways_key(gpg_person: MakeGpgPerson) -> PolicySet:
    medway = gpg_person("medway")
    keys = {"p-medway-1": PersonKeys((), [(medway.fingerprint, medway.armored)])}
    return load_texts(TEXTS | {"people.yaml": with_keys(TEXTS["people.yaml"], keys)})


def test_explain_shows_every_rule_with_clause_and_line(gpg_person: MakeGpgPerson) -> None:
    """A permit lists all that was looked at, each with its place in the files."""
    policy = with_medways_key(gpg_person)
    lines = explain(policy, "p-essex-1", "medway", "post16-destinations", NOW, period=Period(2026, 11))
    assert lines[0] == "PERMIT: p-essex-1 to medway, post16-destinations."
    assert all(line.startswith("  yes  ") for line in lines[2:])
    assert "  yes  the agreement is approved (version control, agreement.yaml:8)" in lines
    assert len([line for line in lines if ".yaml:" in line]) == len(lines) - 2


def test_explain_gives_all_reasons_of_a_denial() -> None:
    """Not the first reason only: Brighton and Hove has neither signed nor named a data manager."""
    lines = explain(load_texts(TEXTS), "essex", "brighton-hove", "trial", NOW)
    assert lines[0] == "DENY, 2 reasons: essex to brighton-hove, trial."
    codes = [line.split()[1].rstrip(":") for line in lines if line.startswith("  NO ")]
    assert codes == ["PARTY_NOT_SIGNED", "RECIPIENT_NOT_READY"]


def test_explain_answers_for_names_that_do_not_exist() -> None:
    """Unknown members and exchanges are reasons, not errors."""
    lines = explain(load_texts(TEXTS), "nobody", "kemt", "trail", NOW)
    assert len([line for line in lines if line.startswith("  NO ")]) == 3


def test_explain_has_words_for_every_rule_that_decides() -> None:
    """Each code that a decision can look at is explained in words when it holds."""
    policy = load_texts(TEXTS)
    question = Question("essex", "kent", "post16-destinations", NOW, "p-essex-1", Period(2026, 11), {})
    assert {rule.code for rule in decide(policy, question).rules} <= set(HOLDS)
