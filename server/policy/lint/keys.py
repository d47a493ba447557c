"""A key belongs to one: an SSH key to one person, a GPG key to one member."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from server.policy.lint.frame import Check, Desk, LintFinding, Path


def _ssh(desk: Desk) -> Iterator[LintFinding]:
    holders: dict[str, list[str]] = defaultdict(list)
    for person in desk.policy.people:
        for key in person.ssh_keys:
            holders[" ".join(key.public.split()[:2])].append(person.id)
    for ids in holders.values():
        if len(set(ids)) > 1:
            yield desk.finding(
                "SSH_KEY_SHARED",
                "error",
                ("people", ids[-1], "ssh_keys"),
                f"{ids[0]} and {ids[-1]} log in with the same key.",
                "Give each person a key of their own.",
            )


def _gpg(desk: Desk) -> Iterator[LintFinding]:
    owners: dict[str, list[tuple[str, Path]]] = defaultdict(list)
    for person in desk.policy.people:
        for key in person.gpg_keys:
            owners[key.fingerprint].append((person.member, ("people", person.id, "gpg_keys")))
    for member in desk.policy.members:
        if member.recovery_key is not None:
            owners[member.recovery_key.fingerprint].append((member.id, ("members", member.id, "recovery_key")))
    for found in owners.values():
        if len({member_id for member_id, _ in found}) > 1:
            yield desk.finding(
                "GPG_KEY_SHARED",
                "error",
                found[-1][1],
                f"{found[0][0]} and {found[-1][0]} open their files with the same key.",
                "Give each member keys of its own.",
            )


CHECKS: tuple[Check, ...] = (_ssh, _gpg)
