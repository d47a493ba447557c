"""A waiver answers for one finding, for a reason and a time, by somebody who may; anything else is a finding itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from server.policy.lint import LintFinding, lint
from server.policy.load import load_texts
from tests.policy_edits import GONE, edited

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
FAULT = {"members.kent.ig_team.email": GONE}
"""Kent without its team's address: one error, PARTY_IG_EMAIL_MISSING at members/kent."""


def a_waiver(**changes: str) -> dict[str, str]:
    return {
        "code": "PARTY_IG_EMAIL_MISSING",
        "target": "members/kent",
        "reason": "a new mailbox is being set up",
        "approved_by": "g-essex",
        "expires": "2027-08-31",
    } | changes


def findings(*waivers: dict[str, str], now: datetime = NOW, edits: dict[str, Any] = FAULT) -> list[LintFinding]:
    return lint(load_texts(edited({"waivers": list(waivers), **edits})), now)


def the_fault(found: list[LintFinding]) -> LintFinding:
    return next(f for f in found if f.code == "PARTY_IG_EMAIL_MISSING")


def of_waivers(found: list[LintFinding]) -> list[tuple[str, str]]:
    return [(f.code, f.severity) for f in found if f.code.startswith("WAIVER")]


def test_a_waived_error_is_printed_and_counts_no_more() -> None:
    """With its reason, its approver and its last day."""
    fault = the_fault(findings(a_waiver()))
    assert fault.severity == "error" and not fault.is_error
    assert fault.waived == "waived until 2027-08-31 by g-essex: a new mailbox is being set up"
    assert "waived error: PARTY_IG_EMAIL_MISSING" in str(fault)


@pytest.mark.parametrize("target", ["members/kent", "members/ke*", "members/*", "*"])
def test_a_target_may_end_in_a_star(target: str) -> None:
    """It then answers for every target that begins so."""
    found = findings(a_waiver(target=target))
    assert the_fault(found).waived and not of_waivers(found)


@pytest.mark.parametrize("change", [{"target": "members/medway"}, {"target": "members/ken"}, {"code": "EMAIL_SYNTAX"}])
def test_a_waiver_that_answers_for_nothing_is_told(change: dict[str, str]) -> None:
    """Another target or another code: the error stands, and the waiver is unused."""
    found = findings(a_waiver(**change))
    assert the_fault(found).is_error
    assert of_waivers(found) == [("WAIVER_UNUSED", "warn")]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"expires": "2026-11-30"}, "WAIVER_EXPIRED"),
        ({"expires": "2027-12-02"}, "WAIVER_TOO_LONG"),
        ({"approved_by": "p-kent-1"}, "WAIVER_APPROVER_UNKNOWN"),
        ({"approved_by": "u-auditor-1"}, "WAIVER_APPROVER_UNKNOWN"),
    ],
)
def test_a_waiver_out_of_order_is_an_error_and_answers_for_nothing(change: dict[str, str], code: str) -> None:
    """Expired, for more than twelve months, or approved by somebody who is no governance lead or administrator."""
    found = findings(a_waiver(**change))
    assert the_fault(found).is_error
    assert of_waivers(found) == [(code, "error")]
    finding = next(f for f in found if f.code == code)
    assert (finding.file, finding.target) == ("waivers.yaml", "waivers/PARTY_IG_EMAIL_MISSING/members/kent")
    key = next(iter(change))
    lines = edited({"waivers": [a_waiver(**change)]})["waivers.yaml"].splitlines()
    assert key in lines[finding.line - 1]


def test_a_waiver_holds_to_the_end_of_its_last_day_in_london() -> None:
    """At 23:59 it does; after midnight it has expired."""
    last = a_waiver(expires="2027-03-31")
    assert the_fault(findings(last, now=datetime(2027, 3, 31, 22, 59, tzinfo=UTC))).waived
    assert the_fault(findings(last, now=datetime(2027, 3, 31, 23, 1, tzinfo=UTC))).is_error


def test_twelve_months_to_the_day_are_not_too_long() -> None:
    """From 1 December 2026 to 1 December 2027."""
    assert not of_waivers(findings(a_waiver(expires="2027-12-01")))


def test_before_the_agreement_begins_the_twelve_months_count_from_its_first_day() -> None:
    """What is prepared in spring for September can be waived for the whole of its first year."""
    spring = datetime(2026, 3, 1, 9, tzinfo=UTC)
    assert not of_waivers(findings(a_waiver(expires="2027-09-01"), now=spring))
    assert of_waivers(findings(a_waiver(expires="2027-09-02"), now=spring)) == [("WAIVER_TOO_LONG", "error")]


def test_an_administrator_may_approve_one() -> None:
    """As a governance lead may."""
    assert not of_waivers(findings(a_waiver(approved_by="a-essex-1")))


@pytest.mark.parametrize(
    ("code", "target", "edits"),
    [
        ("LA_REPRESENTED_TWICE", "members/london-east/316", {"members.kent.represents.0.la": "316"}),
        ("ADMINISTRATOR_SEES_CONTENT", "access", {"access.roles.administrator": ["inbox.read"]}),
        ("WAIVER_EXPIRED", "*", {}),
        ("SSH_KEY_SHARED", "*", {}),
        ("GPG_KEY_SHARED", "*", {}),
    ],
)
def test_some_findings_nobody_can_answer_for(code: str, target: str, edits: dict[str, Any]) -> None:
    """A record that could go to two places, keys that two hold, who sees content, and waivers themselves."""
    found = findings(a_waiver(code=code, target=target), edits=edits)
    assert ("WAIVER_NOT_POSSIBLE", "error") in of_waivers(found)
    assert not [f for f in found if f.code == code and f.waived]
    assert bool(edits) == bool([f for f in found if f.code == code and f.is_error])


def test_a_waiver_cannot_answer_for_a_waiver() -> None:
    """Neither for one that has expired nor for itself."""
    found = findings(a_waiver(expires="2026-11-30"), a_waiver(code="WAIVER_EXPIRED", target="*"))
    assert of_waivers(found) == [("WAIVER_EXPIRED", "error"), ("WAIVER_NOT_POSSIBLE", "error")]
