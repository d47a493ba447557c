"""What a policy set allows and its members will regret: findings with a place and a remedy. Nothing is repaired.

Codes follow the catalogue of the agreement's oddities. An error is a mistake in the text itself, and a set that has one
is not put in force. What only closes (withdrawn, not begun, over, not reviewed, no channel, nobody to receive) is a
warning: a set that permits less can always be applied, at once, and so can one that somebody has left. A member that
has not signed is not ready, and what it lacks is a warning until it signs.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from server.domain.agreement import Member, Person, PolicySet
from server.domain.errors import Refused
from server.domain.schedule import london_day

Severity = Literal["error", "warn", "info"]
EMAIL = re.compile(r"[A-Za-z0-9_%+'-]+(\.[A-Za-z0-9_%+'-]+)*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
PERSONAL = re.compile(r"[a-z]{2,}\.[a-z]{2,}@")
NO_FILE: tuple[str, int] = ("", 0)


@dataclass(frozen=True, slots=True)
class LintFinding:
    """One finding. `line` counts from 1; file and line are "" and 0 for a set that came from no file."""

    code: str
    severity: Severity
    file: str
    line: int
    sentence: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.severity}: {self.code}: {self.sentence} {self.remedy}"


class PolicyRefused(Refused):
    """The set can be read, but its text is wrong. `findings` lists its errors, in the order of the files."""

    code = "POLICY_REFUSED"

    def __init__(self, errors: Sequence[LintFinding]) -> None:
        self.findings = tuple(errors)
        count = "one error" if len(errors) == 1 else f"{len(errors)} errors"
        super().__init__(f"The policy set has {count}; nothing was changed. Mend it, then apply it again.")


@dataclass(frozen=True, slots=True)
class Desk:
    """What the checks look at: the set and the time."""

    policy: PolicySet
    now: datetime

    def finding(self, code: str, severity: Severity, path: tuple[str, ...], sentence: str, remedy: str) -> LintFinding:
        place = self.policy.place(*path)
        file, line = (place.file, place.line) if place else NO_FILE
        return LintFinding(code, severity, file, line, sentence, remedy)

    def signed(self, member: Member) -> bool:
        return any(s.member == member.id and s.state == "signed" for s in self.policy.agreement.signatures)

    def grave(self, member: Member) -> Severity:
        """How grave a gap is: an error for a member that has signed, a warning for one that is not ready."""
        return "error" if self.signed(member) else "warn"


Check = Callable[[Desk], Iterator[LintFinding]]


def lint(policy: PolicySet, now: datetime) -> list[LintFinding]:
    """Every finding, in the order of the files. `now` is aware; days are London's."""
    desk = Desk(policy, now)
    found = [finding for check in CHECKS for finding in check(desk)]
    return sorted(found, key=lambda f: (f.file, f.line, f.code, f.sentence))


def _agreement(desk: Desk) -> Iterator[LintFinding]:
    agreement, today = desk.policy.agreement, london_day(desk.now)
    if agreement.status != "APPROVED":
        yield desk.finding(
            "AGREEMENT_NOT_APPROVED",
            "warn",
            ("agreement", "status"),
            f"The agreement is {agreement.status}; nothing can be sent under it.",
            "Set APPROVED once it is.",
        )
    if agreement.review.due < today:
        closed = "; nothing can be sent until it is done" if agreement.review.on_overdue == "deny" else ""
        yield desk.finding(
            "AGREEMENT_REVIEW_OVERDUE",
            "warn",
            ("agreement", "review", "due"),
            f"The review was due on {agreement.review.due}{closed}.",
            "Review the agreement and set the next date.",
        )
    elif agreement.review.due < today + timedelta(days=92):
        yield desk.finding(
            "AGREEMENT_REVIEW_DUE",
            "info",
            ("agreement", "review", "due"),
            f"The review is due on {agreement.review.due}.",
            "Start it now: all members sign again.",
        )
    until = agreement.in_force.until
    if today < agreement.in_force.from_ or (until is not None and until < today):
        yield desk.finding(
            "AGREEMENT_NOT_IN_FORCE",
            "warn",
            ("agreement", "in_force"),
            "The agreement is not in force today; nothing can be sent under it.",
            "Set the days that the signed text gives.",
        )
    if until is None:
        yield desk.finding(
            "AGREEMENT_WITHOUT_END",
            "warn",
            ("agreement", "in_force"),
            "The agreement has no last day.",
            "Add until, as the signed term gives it.",
        )
    if not any(channel.kind == "this-server" for channel in agreement.approved_channels):
        yield desk.finding(
            "CHANNEL_NOT_AUTHORISED",
            "warn",
            ("agreement", "approved_channels"),
            "The agreement does not name this server as a channel; nothing can be sent through it.",
            "Vary the agreement, then add a channel of kind this-server.",
        )


def _basis(desk: Desk) -> Iterator[LintFinding]:
    basis, path = desk.policy.agreement.lawful_basis, ("agreement", "lawful_basis", "article6")
    if not basis.article6:
        yield desk.finding(
            "LAWFUL_BASIS_MISSING", "error", path, "No Article 6 condition is stated.", "State it, as in 6(1)(e)."
        )
    if any("(f)" in condition for condition in basis.article6):
        yield desk.finding(
            "LI_NOT_AVAILABLE_TO_PUBLIC_AUTHORITY",
            "error",
            path,
            "Legitimate interests are closed to public authorities for their tasks.",
            "State 6(1)(c) or 6(1)(e) and the statute.",
        )


def _signatures(desk: Desk) -> Iterator[LintFinding]:
    states = {s.member: (index, s.state) for index, s in enumerate(desk.policy.agreement.signatures)}
    for member in desk.policy.members:
        index, state = states.get(member.id, (None, "block_missing"))
        if state == "signed":
            continue
        path = ("agreement", "signatures") if index is None else ("agreement", "signatures", str(index))
        code = "SIGNATURE_BLANK" if state in ("blank", "named") else "MEMBER_WITHOUT_SIGNATURE_BLOCK"
        yield desk.finding(
            code,
            "warn",
            path,
            f"{member.called} has not signed: nothing goes to it or comes from it.",
            "Have the agreement signed, then record the day and the role.",
        )


def _teams(desk: Desk) -> Iterator[LintFinding]:
    for member in desk.policy.members:
        path = ("members", member.id)
        if member.ig_team is None:
            yield desk.finding(
                "PARTY_IG_EMAIL_MISSING",
                desk.grave(member),
                path,
                f"{member.called} has no information governance team to write to.",
                "Add ig_team with a team's address.",
            )
        elif PERSONAL.match((member.ig_team.email or "").lower()):
            yield desk.finding(
                "IG_CONTACT_LOOKS_PERSONAL",
                "warn",
                (*path, "ig_team", "email"),
                f"{member.called}'s governance contact looks like one person's address.",
                "Name a team's address: it survives people who leave.",
            )
        if member.ico is None:
            yield desk.finding(
                "PARTY_ICO_MISSING",
                desk.grave(member),
                path,
                f"{member.called} has no ICO registration reference.",
                "Add ico.",
            )


def _addresses(desk: Desk) -> Iterator[LintFinding]:
    addresses: list[tuple[tuple[str, ...], str]] = [(("people", p.id, "email"), p.email) for p in desk.policy.people]
    for member in desk.policy.members:
        if member.ig_team is not None and member.ig_team.email is not None:
            addresses.append((("members", member.id, "ig_team", "email"), member.ig_team.email))
        if member.dpo is not None:
            addresses.append((("members", member.id, "dpo"), member.dpo))
    for path, address in addresses:
        if not EMAIL.fullmatch(address):
            yield desk.finding(
                "EMAIL_SYNTAX",
                "error",
                path,
                f"The e-mail address of {path[1]} cannot be written to.",
                "Write it as name@example.org, without spaces or a stop at its end.",
            )


def _authorities(desk: Desk) -> Iterator[LintFinding]:
    first: dict[str, Member] = {}
    for member in desk.policy.members:
        for index, authority in enumerate(member.represents):
            path = ("members", member.id, "represents", str(index))
            if authority.la in first:
                yield desk.finding(
                    "LA_REPRESENTED_TWICE",
                    "error",
                    path,
                    f"Authority {authority.la} is represented by {first[authority.la].called} too.",
                    "Leave it with the one that receives for it.",
                )
            first.setdefault(authority.la, member)
            if authority.capacity == "processor" and not authority.instrument:
                yield desk.finding(
                    "REPRESENTATION_WITHOUT_INSTRUMENT",
                    "warn",
                    path,
                    f"{member.called} represents authority {authority.la} under no named contract.",
                    "Add instrument with the contract's reference.",
                )


def _roles(desk: Desk) -> Iterator[LintFinding]:
    wanted = (
        ("designated_person", 1, "MEMBER_WITHOUT_DESIGNATED_PERSON", "nobody can send for it"),
        ("data_manager", 1, "MEMBER_WITHOUT_DATA_MANAGER", "nothing can be sent to it"),
        ("data_manager", 2, "MEMBER_WITH_ONE_DATA_MANAGER", "files wait while that person is away"),
        ("governance_lead", 1, "MEMBER_WITHOUT_GOVERNANCE_LEAD", "nobody decides in an incident"),
        ("governance_lead", 2, "MEMBER_WITH_ONE_GOVERNANCE_LEAD", "nobody stands in for that person"),
    )
    for member in desk.policy.members:
        for role, least, code, consequence in wanted:
            number = sum(1 for p in desk.policy.people_of(member.id) if role in p.roles)
            if number != least - 1:
                continue
            have = "no" if number == 0 else "only one"
            yield desk.finding(
                code,
                "warn",
                ("members", member.id),
                f"{member.called} has {have} {role.replace('_', ' ')}: {consequence}.",
                "Add a person with this role in people.yaml.",
            )


def _cover(desk: Desk) -> Iterator[LintFinding]:
    for member in desk.policy.members:
        if member.cover is None and member.recovery_key is None:
            yield desk.finding(
                "MEMBER_WITHOUT_COVER",
                "warn",
                ("members", member.id),
                f"{member.called} has no cover and no recovery key: files are lost with its keys.",
                "Add cover (a person's id) or recovery_key.",
            )
        cover = desk.policy.person(member.cover) if member.cover else None
        if cover is not None and cover.member != member.id and member.id not in cover.acts_for:
            yield desk.finding(
                "COVER_OF_ANOTHER_MEMBER",
                "warn",
                ("members", member.id, "cover"),
                f"{cover.id} can open {member.called}'s files and belongs to {cover.member}.",
                "Name a person of the member, or record acts_for.",
            )


def _people(desk: Desk) -> Iterator[LintFinding]:
    today = london_day(desk.now)
    for person in desk.policy.people:
        path = ("people", person.id)
        if not person.ssh_keys and _has_mailbox(desk.policy, person):
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
        if not desk.policy.may(person, "outbox.write"):
            continue
        until = person.training_valid_until
        if until is None or until < today:
            yield desk.finding(
                "TRAINING_NOT_IN_DATE",
                "warn",
                (*path, "training_valid_until"),
                f"{person.id} has no training in date and cannot send."
                if desk.policy.access.training_gate == "deny"
                else f"{person.id} has no training in date.",
                "Renew it and set the day it is valid until.",
            )


def _has_mailbox(policy: PolicySet, person: Person) -> bool:
    return any(policy.may(person, verb) for verb in ("outbox.write", "inbox.read"))


def _keys(desk: Desk) -> Iterator[LintFinding]:
    ssh: dict[str, list[Person]] = defaultdict(list)
    gpg: dict[str, list[tuple[str, tuple[str, ...]]]] = defaultdict(list)
    for person in desk.policy.people:
        for ssh_key in person.ssh_keys:
            ssh[" ".join(ssh_key.public.split()[:2])].append(person)
        for gpg_key in person.gpg_keys:
            gpg[gpg_key.fingerprint].append((person.member, ("people", person.id, "gpg_keys")))
    for member in desk.policy.members:
        if member.recovery_key is not None:
            gpg[member.recovery_key.fingerprint].append((member.id, ("members", member.id, "recovery_key")))
    for holders in ssh.values():
        if len({holder.id for holder in holders}) > 1:
            yield desk.finding(
                "SSH_KEY_SHARED",
                "error",
                ("people", holders[-1].id, "ssh_keys"),
                f"{holders[0].id} and {holders[-1].id} log in with the same key.",
                "Give each person a key of their own.",
            )
    for owners in gpg.values():
        if len({member_id for member_id, _ in owners}) > 1:
            yield desk.finding(
                "GPG_KEY_SHARED",
                "error",
                owners[-1][1],
                f"{owners[0][0]} and {owners[-1][0]} open their files with the same key.",
                "Give each member keys of its own.",
            )


def _exchanges(desk: Desk) -> Iterator[LintFinding]:
    for exchange in desk.policy.exchanges:
        path = ("exchanges", exchange.id)
        if exchange.personal_data and not exchange.purposes:
            yield desk.finding(
                "EXCHANGE_WITHOUT_PURPOSE",
                "error",
                path,
                f"{exchange.id} states no purpose.",
                "Add purposes from agreement.yaml.",
            )
        if exchange.personal_data and exchange.content_inspection == "none":
            yield desk.finding(
                "CONTENT_NOT_INSPECTED",
                "warn",
                (*path, "content_inspection"),
                f"{exchange.id} carries personal data that nobody checks.",
                "Set content_inspection: records.",
            )
        if exchange.personal_data and exchange.release_after == timedelta(0):
            yield desk.finding(
                "RELEASED_AT_ONCE",
                "warn",
                (*path, "release_after"),
                f"{exchange.id} leaves no time to undo a mistake.",
                "Set release_after: PT2M.",
            )
        if exchange.members != "all" and len(set(exchange.members)) < 2:
            yield desk.finding(
                "EXCHANGE_WITHOUT_PARTNERS",
                "error",
                (*path, "members"),
                f"{exchange.id} is open to fewer than two members.",
                "List at least two, or write all.",
            )


def _access(desk: Desk) -> Iterator[LintFinding]:
    roles = desk.policy.access.roles
    for verb in ("inbox.read", "outbox.write"):
        if verb in roles.get("administrator", frozenset()):
            yield desk.finding(
                "ADMINISTRATOR_SEES_CONTENT",
                "error",
                ("access", "roles", "administrator"),
                f"Administrators have {verb}.",
                "Remove it: who runs the exchange takes no part in it.",
            )
    for role in sorted({role for person in desk.policy.people for role in person.roles} - set(roles)):
        yield desk.finding(
            "ROLE_WITHOUT_ACCESS",
            "warn",
            ("access", "roles"),
            f"People have the role {role}, which may do nothing.",
            "List its verbs in access.yaml.",
        )


CHECKS: tuple[Check, ...] = (
    _agreement,
    _basis,
    _signatures,
    _teams,
    _addresses,
    _authorities,
    _roles,
    _cover,
    _people,
    _keys,
    _exchanges,
    _access,
)
