"""A waiver answers for a finding by name, with a reason, for at most twelve months; what it cannot do is a finding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from server.domain.agreement import Waiver
from server.domain.schedule import add_months
from server.policy.lint.frame import Desk, LintFinding

LONGEST_MONTHS = 12
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
    approver = desk.policy.person(waiver.approved_by)
    target = f"waivers/{waiver.code}/{waiver.target}"
    if waiver.code in NEVER:
        return desk.finding(
            "WAIVER_NOT_POSSIBLE",
            "error",
            ("waivers", number, "code"),
            f"Nobody can answer for {waiver.code}.",
            "Remove the waiver and mend what it is about.",
            target=target,
        )
    if approver is None or not APPROVERS & approver.roles:
        return desk.finding(
            "WAIVER_APPROVER_UNKNOWN",
            "error",
            ("waivers", number, "approved_by"),
            f"{waiver.approved_by} is no governance lead and no administrator.",
            "Have one of them approve it, and write their id.",
            target=target,
        )
    if waiver.expires < desk.today:
        return desk.finding(
            "WAIVER_EXPIRED",
            "error",
            ("waivers", number, "expires"),
            f"The waiver of {waiver.code} for {waiver.target} ended on {waiver.expires}.",
            "Mend what it is about, or have it approved again.",
            target=target,
        )
    if waiver.expires > add_months(desk.today, LONGEST_MONTHS):
        return desk.finding(
            "WAIVER_TOO_LONG",
            "error",
            ("waivers", number, "expires"),
            f"The waiver of {waiver.code} for {waiver.target} runs for more than {LONGEST_MONTHS} months.",
            f"Write a day by {add_months(desk.today, LONGEST_MONTHS)}.",
            target=target,
        )
    return None


def _unused(desk: Desk, number: int) -> LintFinding:
    waiver = desk.policy.waivers[number]
    return desk.finding(
        "WAIVER_UNUSED",
        "warn",
        ("waivers", number),
        f"There is no finding {waiver.code} for {waiver.target} that this waiver answers for.",
        "Remove it, or correct its code or its target.",
        target=f"waivers/{waiver.code}/{waiver.target}",
    )
