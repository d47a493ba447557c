"""Explain says why A may send to B: every rule that was looked at, with its clause and its place."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from typer.testing import CliRunner

from server.cli.access import app
from server.domain.agreement import PolicySet
from server.domain.schedule import Period
from server.policy.edit import PersonKeys, with_keys
from server.policy.explain import explain, explain_login
from server.policy.load import load_texts, read_texts
from tests.conftest import MakeGpgPerson

POLICIES = Path(__file__).parents[2] / "policies"
TEXTS = read_texts(POLICIES / "ccis-v2")
NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)


def with_medways_key(gpg_person: MakeGpgPerson) -> PolicySet:
    medway = gpg_person("medway")
    keys = {"p-medway-1": PersonKeys((), [(medway.fingerprint, medway.armored)])}
    return load_texts(TEXTS | {"people.yaml": with_keys(TEXTS["people.yaml"], keys)})


def test_explain_shows_every_rule_with_clause_and_line(gpg_person: MakeGpgPerson) -> None:
    """A permit lists all that was looked at, each with its place in the files."""
    policy = with_medways_key(gpg_person)
    lines = explain(policy, "p-essex-1", "medway", "post16-destinations", NOW, period=Period(2026, 11)).lines()
    assert lines[0] == "PERMIT: p-essex-1 to medway, post16-destinations, 2026-11."
    assert all(line.startswith("  yes  ") for line in lines[2:])
    assert "  yes  the agreement is approved (version control, agreement.yaml:8)" in lines
    assert len([line for line in lines if ".yaml:" in line]) == len(lines) - 2


def test_explain_gives_all_reasons_of_a_denial() -> None:
    """Not the first reason only: Brighton and Hove has neither signed nor named a data manager."""
    lines = explain(load_texts(TEXTS), "essex", "brighton-hove", "trial", NOW).lines()
    assert lines[0] == "DENY, 2 reasons: essex to brighton-hove, trial."
    codes = [line.split()[1].rstrip(":") for line in lines if line.startswith("  NO ")]
    assert codes == ["PARTY_NOT_SIGNED", "RECIPIENT_NOT_READY"]


def test_explain_answers_for_names_that_do_not_exist() -> None:
    """Unknown members and exchanges are reasons, not errors."""
    lines = explain(load_texts(TEXTS), "nobody", "kemt", "trail", NOW).lines()
    assert len([line for line in lines if line.startswith("  NO ")]) == 3


def test_explain_answers_for_a_person_who_logs_in() -> None:
    """With a person alone it is the log-in that is asked about."""
    policy = load_texts(TEXTS)
    assert explain_login(policy, "p-essex-1", NOW).lines()[0] == "PERMIT: p-essex-1 logs in."
    lines = explain_login(policy, "u-auditor-1", NOW, folder="policies/ccis-v2").lines()
    assert lines[0] == "DENY, 1 reason: u-auditor-1 logs in."
    assert any("NO_MAILBOX" in line and "policies/ccis-v2/people.yaml:" in line for line in lines)


def test_explain_is_also_json() -> None:
    """The same for programs: the answer, and each rule with its code, clause and place."""
    told = json.loads(explain(load_texts(TEXTS), "essex", "brighton-hove", "trial", NOW).json())
    assert told["answer"] == "deny"
    reasons = {rule["code"]: rule for rule in told["rules"] if not rule["holds"]}
    assert set(reasons) == {"PARTY_NOT_SIGNED", "RECIPIENT_NOT_READY"}
    assert reasons["PARTY_NOT_SIGNED"]["clause"] == "12"
    assert reasons["PARTY_NOT_SIGNED"]["place"].startswith("agreement.yaml:")


def test_explain_works_for_files_without_any_exchange() -> None:
    """A set on disk, the 2016 text among them, is asked without a data folder; a denial exits with 1."""
    done = CliRunner().invoke(app, ["explain", "essex", "kent", "year11-residents", "--now", "2016-10-01",
                                    "--policies", str(POLICIES / "seed-v1")])  # fmt: skip
    assert done.exit_code == 1
    assert "OBLIGATION_NOT_STATED" in done.output
    assert "seed-v1/exchanges.yaml:" in done.output
