"""A waiver answers for a finding by name, with a reason, for at most twelve months; what it cannot do is a finding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from server.domain.agreement import Waiver
from server.domain.agreement.terms import after
from server.policy.lint.frame import Desk, LintFinding

LONGEST = "P12M"
"""From today, or from the day that the agreement begins if that is still to come."""
APPROVERS = frozenset({"governance_lead", "administrator"})
NEVER = frozenset({
    "SSH_KEY_SHARED", "GPG_KEY_SHARED", "LA_REPRESENTED_TWICE", "ADMINISTRATOR_SEES_CONTENT", "WEEK_CONTAINING_FIRST",
    "POLICY_INVALID", "WAIVER_EXPIRED", "WAIVER_UNUSED", "WAIVER_TOO_LONG", "WAIVER_APPROVER_UNKNOWN",
    "WAIVER_NOT_POSSIBLE",
})  # fmt: skip
"""What nobody can answer for: a key that two hold, a record that could go to two places, and waivers themselves."""


def judged(desk: Desk, found: list[LintFinding]) -> Iterator[LintFinding]:
    """The findings, those that a waiver in order answers for marked with it; and what is wrong with the waivers."""
    waivers, objections = desk.policy.waivers, [_objection(desk, n) for n in range(len(desk.policy.waivers))]
    valid = [n for n, objection in enumerate(objections) if objection is None]
    used: set[int] = set()
    for finding in found:
        answering = [n for n in valid if answers(waivers[n], finding)]
        used.update(answering)
        yield replace(finding, waived=_words(waivers[answering[0]])) if answering else finding
    yield from (objection for objection in objections if objection is not None)
    yield from (_unused(desk, n) for n in valid if n not in used)


def answers(waiver: Waiver, finding: LintFinding) -> bool:
    """Whether the waiver is about this finding: the same code; the same target, or one that begins as it does (`*`)."""
    if waiver.code != finding.code:
        return False
    if waiver.target.endswith("*"):
        return finding.target.startswith(waiver.target[:-1])
    return finding.target == waiver.target


def _words(waiver: Waiver) -> str:
    return f"waived until {waiver.expires} by {waiver.approved_by}: {waiver.reason}"


def _objection(desk: Desk, number: int) -> LintFinding | None:
    """Why this waiver answers for nothing; None if it is in order."""
    waiver = desk.policy.waivers[number]
    fault = _fault(desk, waiver)
    if fault is None:
        return None
    code, key, sentence, remedy = fault
    return desk.finding(code, "error", ("waivers", number, key), sentence, remedy, target=_target(waiver))


def _fault(desk: Desk, waiver: Waiver) -> tuple[str, str, str, str] | None:
    """Code, key, sentence and remedy of what is wrong with a waiver."""
    approver = desk.policy.person(waiver.approved_by)
    latest = after(max(desk.today, desk.policy.agreement.in_force.from_), LONGEST)
    called = f"The waiver of {waiver.code} for {waiver.target}"
    if waiver.code in NEVER:
        sentence = f"Nobody can answer for {waiver.code}."
        return "WAIVER_NOT_POSSIBLE", "code", sentence, "Remove the waiver and mend what it is about."
    if approver is None or not APPROVERS & approver.roles:
        sentence = f"{waiver.approved_by} is no governance lead and no administrator."
        return "WAIVER_APPROVER_UNKNOWN", "approved_by", sentence, "Have one of them approve it, and write their id."
    if waiver.expires < desk.today:
        sentence = f"{called} ended on {waiver.expires}."
        return "WAIVER_EXPIRED", "expires", sentence, "Mend what it is about, or have it approved again."
    if waiver.expires > latest:
        sentence = f"{called} runs for more than twelve months."
        return "WAIVER_TOO_LONG", "expires", sentence, f"Write a day by {latest}."
    return None


def _target(waiver: Waiver) -> str:
    return f"waivers/{waiver.code}/{waiver.target}"


def _unused(desk: Desk, number: int) -> LintFinding:
    waiver = desk.policy.waivers[number]
    return desk.finding(
        "WAIVER_UNUSED",
        "warn",
        ("waivers", number),
        f"There is no finding {waiver.code} for {waiver.target} that this waiver answers for.",
        "Remove it, or correct its code or its target.",
        target=_target(waiver),
    )
