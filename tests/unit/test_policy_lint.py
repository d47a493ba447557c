"""Lint says what a set will make its members regret, where, and what to change; explain says why A may send to B."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from server.domain.agreement import PolicySet
from server.domain.decision import Question, decide
from server.domain.schedule import Period
from server.policy.edit import PersonKeys, with_keys
from server.policy.explain import HOLDS, explain
from server.policy.lint import LintFinding, lint
from server.policy.load import load_texts, read_texts
from tests.conftest import MakeGpgPerson, MakeSshKey

A1 = "exchanges/a1-post16-destinations.yaml"
TEXTS = read_texts(Path(__file__).parents[2] / "policies" / "ccis-v2")
NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)


def findings(file: str = "policy.yaml", old: str = "", new: str = "", now: datetime = NOW) -> list[LintFinding]:
    assert old in TEXTS[file]
    return lint(load_texts(TEXTS | {file: TEXTS[file].replace(old, new, 1)}), now)


def test_the_shipped_set_has_warnings_and_no_error() -> None:
    """What ships can be applied; that nobody has keys yet is said of every data manager."""
    found = findings()
    assert not [f for f in found if f.is_error]
    assert len([f for f in found if f.code == "DATA_MANAGER_WITHOUT_GPG_KEY"]) == 13
    assert all(f.file and f.line and f.sentence.endswith(".") and f.remedy.endswith(".") for f in found)


def test_brighton_and_hove_is_not_ready() -> None:
    """A member without team, people and signature is named for each, at its line."""
    line = 1 + next(i for i, text in enumerate(TEXTS["members.yaml"].splitlines()) if "id: brighton-hove" in text)
    codes = {f.code for f in findings() if (f.file, f.line) == ("members.yaml", line)}
    assert codes == {"MEMBER_WITHOUT_DATA_MANAGER", "MEMBER_WITHOUT_SUMMARY_ROW"}
    assert "MEMBER_WITHOUT_SIGNATURE_BLOCK" in {f.code for f in findings() if "Brighton" in f.sentence}


@pytest.mark.parametrize(
    ("code", "severity", "file", "old", "new"),
    [
        ("AGREEMENT_NOT_APPROVED", "warn", "agreement.yaml", "status: APPROVED", "status: WITHDRAWN"),
        ("AGREEMENT_REVIEW_OVERDUE", "error", "agreement.yaml", "due: 2029-08-31", "due: 2026-11-30"),
        ("AGREEMENT_REVIEW_DUE", "info", "agreement.yaml", "due: 2029-08-31", "due: 2027-01-31"),
        ("AGREEMENT_NOT_IN_FORCE", "warn", "agreement.yaml", "from: 2026-09-01", "from: 2026-12-02"),
        ("AGREEMENT_WITHOUT_END", "warn", "agreement.yaml", ", until: 2029-08-31, term: P3Y", ""),
        ("CHANNEL_NOT_AUTHORISED", "error", "agreement.yaml", "kind: this-server", "kind: external"),
        ("LI_NOT_AVAILABLE_TO_PUBLIC_AUTHORITY", "warn", "agreement.yaml", "6(1)(e)", "6(1)(f)"),
        ("SIGNATURE_BLANK", "error", "agreement.yaml", "kent, state: signed", "kent, state: blank"),
        ("EMAIL_SYNTAX", "error", "people.yaml", "dm@kent.example.org", "dm@kent.example.org."),
        ("IG_CONTACT_LOOKS_PERSONAL", "warn", "members.yaml", "ig@kent", "first.last@kent"),
        ("PARTY_IG_EMAIL_MISSING", "error", "members.yaml",
         "  ig_team: {email: ig@kent.example.org, phone: 01632 960004}\n", ""),
        ("LA_REPRESENTED_TWICE", "error", "members.yaml", '"203"', '"201"'),
        ("REPRESENTATION_WITHOUT_INSTRUMENT", "warn", "members.yaml", ", instrument: CONTRACT-MED-1", ""),
        ("COVER_OF_ANOTHER_MEMBER", "warn", "members.yaml", "  short: Kent", "  short: Kent\n  cover: p-essex-1"),
        ("TRAINING_NOT_IN_DATE", "warn", "people.yaml", "2027-03-31", "2026-11-30"),
        ("EXCHANGE_WITHOUT_PURPOSE", "error", A1,
         "[promote-participation, identify-non-participants, provide-support]", "[]"),
        ("CONTENT_NOT_INSPECTED", "warn", A1, "content_inspection: records", "content_inspection: none"),
        ("SCHEDULE_FIELDS_BLANK", "error", "exchanges/trial.yaml",
         "content_inspection: none", "content_inspection: records"),
        ("RELEASED_AT_ONCE", "warn", A1, "release_after: PT2M", "release_after: PT0S"),
        ("EXCHANGE_WITHOUT_PARTNERS", "error", A1, "members: all", "members: [kent]"),
        ("ADMINISTRATOR_SEES_CONTENT", "error", "access.yaml", "[policy.propose,", "[inbox.read, policy.propose,"),
        ("ROLE_WITHOUT_ACCESS", "warn", "access.yaml", "  auditor: [status.read]\n", ""),
    ],
)  # fmt: skip
def test_a_change_for_the_worse_is_found(code: str, severity: str, file: str, old: str, new: str) -> None:
    """One edit brings exactly one new finding of its code, in the file that was edited."""
    before = [f for f in findings() if f.code == code]
    after = [f for f in findings(file, old, new) if f.code == code]
    assert len(after) == len(before) + 1
    grave = [f for f in after if f.severity == severity and f.file == file]
    assert grave
    assert all(f.line >= 1 for f in grave)


def test_a_key_that_two_share_is_an_error(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> None:
    """One SSH key for two people, and one GPG key for two members, are errors that name both."""
    kent = gpg_person("kent")
    keys = PersonKeys([ssh_key("shared").public], [(kent.fingerprint, kent.armored)])
    people = with_keys(TEXTS["people.yaml"], {"p-kent-1": keys, "p-medway-1": keys})
    found = [f for f in lint(load_texts(TEXTS | {"people.yaml": people}), NOW) if f.is_error]
    assert {f.code for f in found} == {"SSH_KEY_SHARED", "GPG_KEY_SHARED"}
    assert all("kent" in f.sentence and "medway" in f.sentence and f.file == "people.yaml" for f in found)


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
