"""The agreement as it was written in 2016 loads, and lint says of it what the catalogue of its oddities says."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from server.cli.root import app
from server.policy.lint import LintFinding, lint
from server.policy.load import load

SEED = Path(__file__).parents[2] / "policies" / "seed-v1"
GOLDEN = SEED / "lint.golden.tsv"
NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
FOUND = lint(load(SEED), NOW)
ERRORS = {
    "MEMBER_WITHOUT_SUMMARY_ROW", "MEMBER_WITHOUT_DATA_MANAGER", "MEMBER_WITHOUT_SIGNATURE_BLOCK", "SIGNATURE_BLANK",
    "STATUS_NOT_IN_ENUM", "AGREEMENT_REVIEW_OVERDUE", "CHANNEL_NOT_AUTHORISED", "PARTY_IG_EMAIL_MISSING",
    "EMAIL_SYNTAX", "CONTACT_AUTHORITY_BLANK", "CONTACT_EMAIL_NAME_MISMATCH", "CONTACT_ROW_EMPTY",
    "SCHEDULE_FREQ_BLANK", "SCHEDULE_FIELDS_BLANK",
}  # fmt: skip
WARNINGS = {
    "EMAIL_DOMAIN_UNEXPECTED", "IG_CONTACT_LOOKS_PERSONAL", "IG_CONTACT_GENERIC_SWITCHBOARD", "CONTACT_PHONE_MISSING",
    "DANGLING_REFERENCE", "CITATION_UNVERIFIED", "ROLE_NAME_AMBIGUOUS", "AGE_RANGE_INCONSISTENT",
    "SCHEDULE_MONTHS_BLANK", "FIELD_TEXT_GARBLED", "TYPE_WITHOUT_SCHEDULE", "SCHEDULE_WITHOUT_TYPE",
    "REPRESENTATION_WITHOUT_INSTRUMENT", "REPRESENTED_AUTHORITY_WITHOUT_GOVERNANCE_CONTACT",
    "ROUTING_FIELD_NOT_IN_AGREEMENT", "LI_NOT_AVAILABLE_TO_PUBLIC_AUTHORITY", "CONSENT_OVERRIDDEN_BASIS",
    "CONTROLLERSHIP_TERM_RETIRED",
}  # fmt: skip
NOTES = {
    "ROW_SPLIT_REPAIRED", "CONTACT_ACTS_FOR", "NAME_VARIES", "HEADING_MISNUMBERED", "FOOTNOTE_MISMATCH",
    "SCHEDULE_FREQ_EXTERNAL", "TABLE_WIDTH_MISMATCH",
}  # fmt: skip
CATALOGUE = dict.fromkeys(ERRORS, "error") | dict.fromkeys(WARNINGS, "warn") | dict.fromkeys(NOTES, "info")
"""Every code of the catalogue, with its severity under strict reading."""
OF_SINGLE_CLAUSES = {
    "OWNER_ADDRESS_DIFFERS": "R-006",
    "FIELD_NEEDED_NOT_AGREED": "R-023",
    "FOOTNOTE_TARGET_MISSING": "R-041",
    "MI_REQUIREMENT_STALE": "R-063",
    "CONTACT_ROLE_BLANK": "R-091",
}
"""Codes that single requirements name for the same text."""


def about(code: str) -> list[LintFinding]:
    return [finding for finding in FOUND if finding.code == code]


def targets(code: str) -> list[str]:
    return sorted(finding.target for finding in about(code))


def golden() -> list[tuple[str, str]]:
    lines = [line for line in GOLDEN.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return [(code, target) for code, _, target in (line.partition("\t") for line in lines)]


def test_the_findings_are_exactly_those_that_are_kept_beside_the_set() -> None:
    """(code, target) of every finding, sorted, line for line."""
    assert golden() == sorted(golden())
    assert sorted((finding.code, finding.target) for finding in FOUND) == golden()


def test_the_findings_are_the_catalogue_and_nothing_is_waived() -> None:
    """Every code of the catalogue is there, and no code that the agreement's requirements do not name for this text."""
    assert {finding.code for finding in FOUND} == set(CATALOGUE) | set(OF_SINGLE_CLAUSES)
    wrong = [finding for finding in FOUND if finding.severity != CATALOGUE.get(finding.code, "warn")]
    assert wrong == []
    assert not [finding for finding in FOUND if finding.waived]


def test_each_finding_has_its_place_and_says_what_to_do() -> None:
    """File, line and column of the set; a sentence, and a remedy."""
    for finding in FOUND:
        lines = (SEED / finding.file).read_text(encoding="utf-8").splitlines()
        assert 1 <= finding.line <= len(lines) and 1 <= finding.column <= len(lines[finding.line - 1])
        assert finding.sentence.endswith(".") and finding.remedy.endswith(".")


@pytest.mark.parametrize(
    ("code", "severity", "count"),
    [
        ("SIGNATURE_BLANK", "error", 8), ("EMAIL_SYNTAX", "error", 3), ("EMAIL_DOMAIN_UNEXPECTED", "warn", 3),
        ("IG_CONTACT_LOOKS_PERSONAL", "warn", 4), ("CONTACT_AUTHORITY_BLANK", "error", 4),
        ("CONTACT_PHONE_MISSING", "warn", 2), ("CONTACT_ROLE_BLANK", "warn", 2), ("NAME_VARIES", "info", 4),
        ("HEADING_MISNUMBERED", "info", 3), ("DANGLING_REFERENCE", "warn", 2), ("FOOTNOTE_MISMATCH", "info", 2),
        ("CITATION_UNVERIFIED", "warn", 3), ("SCHEDULE_MONTHS_BLANK", "warn", 6), ("FIELD_TEXT_GARBLED", "warn", 2),
        ("TABLE_WIDTH_MISMATCH", "info", 2), ("REPRESENTATION_WITHOUT_INSTRUMENT", "warn", 15),
        ("REPRESENTED_AUTHORITY_WITHOUT_GOVERNANCE_CONTACT", "warn", 13), ("SCHEDULE_FREQ_BLANK", "error", 1),
        ("SCHEDULE_FREQ_EXTERNAL", "info", 1), ("SCHEDULE_FIELDS_BLANK", "error", 1),
    ],
)  # fmt: skip
def test_each_oddity_is_found_as_often_as_it_is_there(code: str, severity: str, count: int) -> None:
    """The catalogue's own numbers and severities."""
    assert [finding.severity for finding in about(code)] == [severity] * count


def test_lint_of_the_seed_exits_with_1() -> None:
    """As it is written, it cannot be put in force."""
    done = CliRunner().invoke(app, ["policy", "lint", str(SEED), "--now", "2026-12-01"])
    assert done.exit_code == 1
    assert "STATUS_NOT_IN_ENUM" in done.output


def test_every_address_of_the_seed_is_fictional() -> None:
    """example.org and its sub-domains alone, whatever is odd about the address; numbers are those kept for drama."""
    text = "".join(path.read_text(encoding="utf-8") for path in SEED.glob("*.yaml"))
    domains = re.findall(r"@([a-z0-9.-]+)", text)
    assert domains
    assert all(re.fullmatch(r"[a-z0-9]+\.example\.(org\.?|o)", domain) for domain in domains)
    phones = re.findall(r"\b0\d{2,4} [\d ]{6,9}\b", text)
    assert all(phone.startswith(("01632 960", "020 7946 0")) for phone in phones)


# ---------------------------------------------------------------- requirements


def test_r006_lint_shows_both_addresses_of_the_owner() -> None:
    """The owner's address on the version control sheet differs from its own row: both are said."""
    (finding,) = about("OWNER_ADDRESS_DIFFERS")
    assert "2 Sample Road" in finding.sentence and "1 Example Street" in finding.sentence


def test_r008_the_seed_s_status_is_no_status() -> None:
    """APPROVAL is an error at its line."""
    (finding,) = about("STATUS_NOT_IN_ENUM")
    assert (finding.severity, finding.file, finding.target) == ("error", "agreement.yaml", "agreement")
    assert "status: APPROVAL" in (SEED / "agreement.yaml").read_text().splitlines()[finding.line - 1]


def test_r015_brighton_and_hove_has_exactly_three_findings() -> None:
    """No data manager, no signature block, no summary row; nothing else is asked of a member that has not joined."""
    found = sorted(finding.code for finding in FOUND if finding.target == "members/brighton-hove")
    assert found == [
        "MEMBER_WITHOUT_DATA_MANAGER", "MEMBER_WITHOUT_SIGNATURE_BLOCK", "MEMBER_WITHOUT_SUMMARY_ROW",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["seed-v1", "ccis-v2"])
def test_r016_all_names_of_a_member_lead_to_one_id(name: str) -> None:
    """Every name that the text of 2016 uses resolves, in any case, in both sets."""
    policy = load(SEED.parent / name)
    for used in load(SEED).source.member_names:
        for called in (*used.names, used.names[0].upper(), f" {used.names[-1].lower()} "):
            member = policy.member_called(called)
            assert member is not None and member.id == used.id
    assert policy.member_called("Nobody") is None


def test_r022_lint_lists_the_four_age_ranges_with_their_clauses() -> None:
    """Three of clause 2 and one of the appendix, in one sentence."""
    (finding,) = about("AGE_RANGE_INCONSISTENT")
    assert finding.sentence.count("clause 2") == 3 and finding.sentence.count("appendix 1") == 1
    assert Counter(re.findall(r"\d\d to \d\d", finding.sentence)) == {
        "13 to 19": 2, "16 to 19": 1, "20 to 24": 2, "16 to 24": 1,
    }  # fmt: skip


def test_r023_the_flag_for_older_people_is_not_in_row_a1() -> None:
    """Row A1 is about people to 24, and no column says who of them may be in it."""
    assert targets("FIELD_NEEDED_NOT_AGREED") == ["exchanges/post16-destinations"]


def test_r031_the_seed_rests_on_legitimate_interests() -> None:
    """Which public authorities cannot do for their tasks."""
    assert targets("LI_NOT_AVAILABLE_TO_PUBLIC_AUTHORITY") == ["agreement"]


def test_r034_lint_prints_the_citations_that_do_not_exist() -> None:
    """There is no Act of 2004 of that name, and the Bill of 2014 is an Act."""
    said = " ".join(finding.sentence for finding in about("CITATION_UNVERIFIED"))
    assert "“Education and Skills Act 2004”" in said and "“Children's and Families Bill 2014”" in said


def test_r062_two_names_of_one_list_are_told() -> None:
    """Clause 6 says designated person, clause 9 data manager; here one person may hold both roles."""
    assert targets("ROLE_NAME_AMBIGUOUS") == ["source/designated-person", "source/governance-lead"]
    assert "“Designated Person” and “CCIS Data Manager”" in about("ROLE_NAME_AMBIGUOUS")[0].sentence
    people = load(SEED).people
    assert all(person.roles == {"designated_person", "data_manager"} for person in people)


def test_r063_a_requirement_of_an_earlier_year_is_stale() -> None:
    """The note to clause 6 is about the year from April 2016."""
    (finding,) = about("MI_REQUIREMENT_STALE")
    assert "2016-17" in finding.sentence and "2026-27" in finding.sentence
    assert not [f for f in lint(load(SEED), datetime(2017, 3, 31, 12, tzinfo=UTC)) if f.code == finding.code]
    assert [f for f in lint(load(SEED), datetime(2017, 4, 1, 12, tzinfo=UTC)) if f.code == finding.code]


def test_r110_promises_without_rows_and_rows_without_promise() -> None:
    """Joiners and leavers, and contact updates, have no row; the Activity Survey has no promise."""
    assert targets("TYPE_WITHOUT_SCHEDULE") == ["agreement/contact-updates", "agreement/joiners-and-leavers"]
    assert targets("SCHEDULE_WITHOUT_TYPE") == ["exchanges/activity-survey"]
