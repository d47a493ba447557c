"""What a policy set allows and its members will regret: findings with a place and a remedy. Nothing is repaired.

Codes and severities are those of the catalogue of the agreement's oddities. An error keeps a set from being put in
force unless a waiver answers for it, by name and for a time; a warning does not. What only a working member needs
(keys, training, cover, a second person) is not asked of one that has not signed: nothing goes to it or comes from it.
"""

from __future__ import annotations

from datetime import datetime

from server.domain.agreement import PolicySet
from server.policy.lint import access, contacts, document, fields, keys, members, people, schedule, text, waivers
from server.policy.lint.frame import Check, Desk, LintFinding, PolicyRefused, Severity

__all__ = ["CHECKS", "LintFinding", "PolicyRefused", "Severity", "lint"]

CHECKS: tuple[Check, ...] = (
    *document.CHECKS,
    *members.CHECKS,
    *people.CHECKS,
    *keys.CHECKS,
    *access.CHECKS,
    *schedule.CHECKS,
    *fields.CHECKS,
    *text.CHECKS,
    *contacts.CHECKS,
)


def lint(policy: PolicySet, now: datetime) -> list[LintFinding]:
    """Every finding, waived ones too, in the order of the files. `now` is aware; days are London's."""
    desk = Desk.at(policy, now)
    found = [finding for check in CHECKS for finding in check(desk)]
    return sorted(waivers.judged(desk, found), key=lambda f: (f.file, f.line, f.code, f.target, f.sentence))
