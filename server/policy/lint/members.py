"""A member can be reached, stands for its authorities under something, and has the people that its part needs."""

from __future__ import annotations

from collections.abc import Iterator

from server.domain.agreement import Member, Role
from server.domain.agreement.terms import after
from server.domain.guard import looks_personal
from server.policy.lint.frame import Check, Desk, LintFinding, Path, Severity

SWITCHBOARDS = frozenset(
    "council info enquiries enquiry contact contactus contact.us customerservices customer.services reception "
    "switchboard office mail email post admin hello help".split()
)


def _summary_rows(desk: Desk) -> Iterator[LintFinding]:
    """Name, address, telephone, team e-mail and ICO registration of each member (summary sheet, R-001)."""
    for member in desk.policy.members:
        for code, severity, key, sentence, remedy in _gaps(member):
            yield desk.finding(code, severity, ("members", member.id, *key), f"{member.called} {sentence}.", remedy)


Gap = tuple[str, Severity, Path, str, str]


def _gaps(member: Member) -> Iterator[Gap]:
    if _has_no_row(member):
        sentence = "is listed and nothing is known of it: no address, telephone, team or registration"
        yield "MEMBER_WITHOUT_SUMMARY_ROW", "error", (), sentence, "Add address, phone, ig_team and ico."
        return
    if member.ig_team is None or member.ig_team.email is None:
        sentence = "has no information governance team to write to"
        remedy = "Add ig_team.email with a team's address."
        yield "PARTY_IG_EMAIL_MISSING", "error", ("ig_team", "email"), sentence, remedy
    if member.ico is None:
        yield "PARTY_ICO_MISSING", "error", (), "has no ICO registration reference", "Add ico."
    if not member.address:
        yield "PARTY_ADDRESS_MISSING", "info", (), "has no head office address", "Add address."
    if member.phone is None and (member.ig_team is None or member.ig_team.phone is None):
        yield "PARTY_PHONE_MISSING", "warn", (), "has no telephone number", "Add phone, or ig_team.phone."


def _has_no_row(member: Member) -> bool:
    return not member.address and member.phone is None and member.ig_team is None and member.ico is None


def _teams(desk: Desk) -> Iterator[LintFinding]:
    for member in desk.policy.members:
        local = ((member.ig_team.email or "") if member.ig_team else "").split("@")[0].casefold()
        path = ("members", member.id, "ig_team", "email")
        if local in SWITCHBOARDS:
            yield desk.finding(
                "IG_CONTACT_GENERIC_SWITCHBOARD",
                "warn",
                path,
                f"{member.called}'s governance contact is the address that everybody writes to.",
                "Name the team's own address: a breach notice must be read at once.",
            )
        elif looks_personal(local):
            yield desk.finding(
                "IG_CONTACT_LOOKS_PERSONAL",
                "warn",
                path,
                f"{member.called}'s governance contact looks like one person's address.",
                "Name a team's address: it survives people who leave.",
            )


def _registrations(desk: Desk) -> Iterator[LintFinding]:
    for member in desk.policy.members:
        until = member.ico_valid_until
        if until is None or until >= after(desk.today, "P1M"):
            continue
        over = until < desk.today
        yield desk.finding(
            "ICO_REGISTRATION_EXPIRED" if over else "ICO_REGISTRATION_EXPIRES",
            "warn" if over else "info",
            ("members", member.id, "ico_valid_until"),
            f"{member.called}'s ICO registration {'ended' if over else 'ends'} on {until}.",
            "Renew it and set the day it is valid until.",
        )


def _admission(desk: Desk) -> Iterator[LintFinding]:
    for member in desk.policy.members:
        since = member.member_since
        if since is None or since > desk.today:
            yield desk.finding(
                "MEMBER_NOT_ADMITTED",
                "warn",
                ("members", member.id, "member_since"),
                f"{member.called} is not a member {'yet' if since else 'from any day'}: nothing goes to it.",
                "Write member_since, the day it was admitted.",
            )


def _authorities(desk: Desk) -> Iterator[LintFinding]:
    first: dict[str, Member] = {}
    for member in desk.policy.members:
        for index, authority in enumerate(member.represents):
            path = ("members", member.id, "represents", index)
            target = f"members/{member.id}/{authority.la}"
            called = f"{authority.name} ({authority.la})" if authority.name else f"authority {authority.la}"
            if authority.la in first:
                yield desk.finding(
                    "LA_REPRESENTED_TWICE",
                    "error",
                    path,
                    f"{called[:1].upper()}{called[1:]} is represented by {first[authority.la].called} too.",
                    "Leave it with the one that receives for it.",
                    target=target,
                )
            first.setdefault(authority.la, member)
            if authority.capacity == "own":
                continue
            if authority.instrument is None:
                yield desk.finding(
                    "REPRESENTATION_WITHOUT_INSTRUMENT",
                    "warn",
                    path,
                    f"{member.called} represents {called} under no named contract.",
                    "Add instrument with the contract's reference.",
                    target=target,
                )
            if authority.governance is None:
                yield desk.finding(
                    "REPRESENTED_AUTHORITY_WITHOUT_GOVERNANCE_CONTACT",
                    "warn",
                    path,
                    f"Nobody is named at {called}, for which {member.called} receives.",
                    "Add governance with the authority's own contact.",
                    target=target,
                )


def _roles(desk: Desk) -> Iterator[LintFinding]:
    wanted: tuple[tuple[Role, int, str, str], ...] = (
        ("designated_person", 1, "MEMBER_WITHOUT_DESIGNATED_PERSON", "nobody can send for it"),
        ("data_manager", 2, "MEMBER_WITH_ONE_DATA_MANAGER", "files wait while that person is away"),
        ("governance_lead", 1, "MEMBER_WITHOUT_GOVERNANCE_LEAD", "nobody decides in an incident"),
        ("governance_lead", 2, "MEMBER_WITH_ONE_GOVERNANCE_LEAD", "nobody stands in for that person"),
    )
    for member in desk.policy.members:
        roles = [role for person in desk.policy.people_of(member.id) for role in person.roles]
        path = ("members", member.id)
        if "data_manager" not in roles:
            yield desk.finding(
                "MEMBER_WITHOUT_DATA_MANAGER",
                "error",
                path,
                f"{member.called} has no data manager: nothing can be sent to it.",
                "Add a person with this role in people.yaml.",
            )
        for role, least, code, consequence in wanted if desk.takes_part(member) else ():
            if roles.count(role) == least - 1:
                have = "no" if least == 1 else "only one"
                yield desk.finding(
                    code,
                    "warn",
                    path,
                    f"{member.called} has {have} {role.replace('_', ' ')}: {consequence}.",
                    "Add a person with this role in people.yaml.",
                )


def _cover(desk: Desk) -> Iterator[LintFinding]:
    for member in desk.policy.members:
        if member.cover is None and member.recovery_key is None and desk.takes_part(member):
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


def _names(desk: Desk) -> Iterator[LintFinding]:
    first: dict[str, Member] = {}
    for member in desk.policy.members:
        for name in sorted(member.names):
            if first.setdefault(name, member) is not member:
                yield desk.finding(
                    "NAME_SHARED",
                    "error",
                    ("members", member.id),
                    f"{member.id} and {first[name].id} are both called “{name}”.",
                    "Leave the name with one of them.",
                )


def _subcontractors(desk: Desk) -> Iterator[LintFinding]:
    for member in desk.policy.members:
        for index, contractor in enumerate(member.subcontractors):
            if contractor.review < desk.today:
                yield desk.finding(
                    "SUBCONTRACTOR_REVIEW_DUE",
                    "warn",
                    ("members", member.id, "subcontractors", index, "review"),
                    f"{member.called}'s contract with {contractor.name} was to be reviewed by {contractor.review}.",
                    "Review it and set the next day.",
                )


CHECKS: tuple[Check, ...] = (
    _summary_rows, _admission, _teams, _registrations, _authorities, _roles, _cover, _names, _subcontractors,
)  # fmt: skip
