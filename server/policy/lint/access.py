"""Who runs the exchange takes no part in it, and a role that somebody has may do something."""

from __future__ import annotations

from collections.abc import Iterator

from server.policy.lint.frame import Check, Desk, LintFinding


def _administrators(desk: Desk) -> Iterator[LintFinding]:
    verbs = desk.policy.access.roles.get("administrator", frozenset())
    for verb in ("inbox.read", "outbox.write"):
        if verb in verbs:
            yield desk.finding(
                "ADMINISTRATOR_SEES_CONTENT",
                "error",
                ("access", "roles", "administrator"),
                f"Administrators have {verb}.",
                "Remove it: who runs the exchange takes no part in it.",
            )


def _idle_roles(desk: Desk) -> Iterator[LintFinding]:
    roles = desk.policy.access.roles
    for role in sorted({role for person in desk.policy.people for role in person.roles} - set(roles)):
        yield desk.finding(
            "ROLE_WITHOUT_ACCESS",
            "warn",
            ("access", "roles"),
            f"People have the role {role}, which may do nothing.",
            "List its verbs in access.yaml.",
        )


CHECKS: tuple[Check, ...] = (_administrators, _idle_roles)
