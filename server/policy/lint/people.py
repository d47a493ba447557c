"""A person can be written to, acts for other members under a contract, and can do what their role asks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from server.domain.agreement import Member, Person
from server.policy.lint.frame import Check, Desk, LintFinding, Path

EMAIL = re.compile(r"[A-Za-z0-9_%+'-]+(\.[A-Za-z0-9_%+'-]+)*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")


def _addresses(desk: Desk) -> Iterator[LintFinding]:
    for path, owner, address in _all_addresses(desk):
        if not EMAIL.fullmatch(address):
            yield desk.finding(
                "EMAIL_SYNTAX",
                "error",
                path,
                f"The e-mail address of {path[1]} cannot be written to.",
                "Write it as name@example.org, without spaces or a sign after its end.",
            )
        domain = re.sub(r"[\s,;]", "", address.rpartition("@")[2]).strip(".").casefold()
        if owner is None or not owner.domains or any(_within(domain, wanted) for wanted in owner.domains):
            continue
        other = next((m for m in desk.policy.members if any(_within(domain, each) for each in m.domains)), None)
        if other is not None and path[0] == "people":
            yield desk.finding(
                "EMAIL_DOMAIN_OF_ANOTHER_MEMBER",
                "error",
                path,
                f"{path[1]} is named for {owner.called} and writes from {other.called}'s domain.",
                f"Name them under {other.id}, or give the address that they have at {owner.called}.",
            )
            continue
        yield desk.finding(
            "EMAIL_DOMAIN_UNEXPECTED",
            "warn",
            path,
            f"An address of {owner.called}'s is at {domain}, which is none of its domains.",
            f"Use an address at {owner.domains[0]}, or add the domain once the member has confirmed it.",
        )


def _within(domain: str, wanted: str) -> bool:
    return domain == wanted.casefold() or domain.endswith(f".{wanted.casefold()}")


def _all_addresses(desk: Desk) -> Iterator[tuple[Path, Member | None, str]]:
    for person in desk.policy.people:
        yield ("people", person.id, "email"), desk.policy.member(person.member), person.email
    for member in desk.policy.members:
        if member.ig_team is not None and member.ig_team.email is not None:
            yield ("members", member.id, "ig_team", "email"), member, member.ig_team.email
        if member.dpo is not None and "@" in member.dpo:
            yield ("members", member.id, "dpo"), member, member.dpo


def _acting(desk: Desk) -> Iterator[LintFinding]:
    for person in desk.policy.people:
        if person.acts_for_instrument is not None:
            continue
        for index, other in enumerate(person.acts_for):
            if other != person.member:
                yield desk.finding(
                    "REPRESENTATION_WITHOUT_INSTRUMENT",
                    "warn",
                    ("people", person.id, "acts_for", index),
                    f"{person.id} acts for {other} under no named contract.",
                    "Add acts_for_instrument with the contract's reference.",
                )


def _keys(desk: Desk) -> Iterator[LintFinding]:
    for person in _working(desk):
        path = ("people", person.id)
        if not person.ssh_keys and any(desk.policy.may(person, verb) for verb in ("outbox.write", "inbox.read")):
            yield desk.finding(
                "PERSON_WITHOUT_SSH_KEY",
                "warn",
                path,
                f"{person.id} has no SSH key and cannot log in.",
                "Add ssh_keys with the line of a .pub file.",
            )
        if not person.gpg_keys and "data_manager" in person.roles:
            yield desk.finding(
                "DATA_MANAGER_WITHOUT_GPG_KEY",
                "warn",
                path,
                f"{person.id} has no GPG key: nothing can be sealed to them.",
                "Add gpg_keys with the fingerprint and the armoured public key.",
            )


def _training(desk: Desk) -> Iterator[LintFinding]:
    consequence = " and cannot send" if desk.policy.access.training_gate == "deny" else ""
    for person in _working(desk):
        until = person.training_valid_until
        if desk.policy.may(person, "outbox.write") and (until is None or until < desk.today):
            yield desk.finding(
                "TRAINING_NOT_IN_DATE",
                "warn",
                ("people", person.id, "training_valid_until"),
                f"{person.id} has no training in date{consequence}.",
                "Renew it and set the day it is valid until.",
            )


def _working(desk: Desk) -> Iterator[Person]:
    """The people of members that have signed."""
    yield from (person for person in desk.policy.people if person.member in desk.signatories)


CHECKS: tuple[Check, ...] = (_addresses, _acting, _keys, _training)
