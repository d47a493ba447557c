"""The document's own facts: status, dates, channels, legal basis, whose it is, and what the text promises."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from server.domain.agreement import STATUSES, LawfulBasis, Member, Signature
from server.domain.agreement.terms import after, day_before
from server.domain.due import sharing_year, year_words
from server.policy.lint.frame import Check, Desk, LintFinding, Severity

NOTICE = "P3M"
"""So long before the review is due it is said."""


def _status(desk: Desk) -> Iterator[LintFinding]:
    status, path = desk.policy.agreement.status, ("agreement", "status")
    if status not in STATUSES:
        yield desk.finding(
            "STATUS_NOT_IN_ENUM",
            "error",
            path,
            f"The status {status} says nothing that an exchange could go by.",
            f"Write one of {', '.join(STATUSES)}.",
        )
    elif status != "APPROVED":
        yield desk.finding(
            "AGREEMENT_NOT_APPROVED",
            "warn",
            path,
            f"The agreement is {status}; nothing can be sent under it.",
            "Set APPROVED once it is.",
        )


def _dates(desk: Desk) -> Iterator[LintFinding]:
    review, force, path = desk.policy.agreement.review, desk.policy.agreement.in_force, ("agreement", "review", "due")
    end = force.last_day
    if review.due < desk.today:
        closed = "; nothing can be sent until it is done" if review.on_overdue == "deny" else ""
        yield desk.finding(
            "AGREEMENT_REVIEW_OVERDUE",
            "error" if review.on_overdue == "deny" else "warn",
            path,
            f"The review was due on {review.due}{closed}.",
            "Review the agreement and set the next date.",
        )
    elif desk.today < force.from_ or (end is not None and end < desk.today):
        yield desk.finding(
            "AGREEMENT_NOT_IN_FORCE",
            "warn",
            ("agreement", "in_force"),
            "The agreement is not in force today; nothing can be sent under it.",
            "Set the days that the signed text gives.",
        )
    elif review.due < after(desk.today, NOTICE):
        yield desk.finding(
            "AGREEMENT_REVIEW_DUE",
            "info",
            path,
            f"The review is due on {review.due}.",
            "Start it now: all members sign again.",
        )
    if end is None:
        yield desk.finding(
            "AGREEMENT_WITHOUT_END",
            "warn",
            ("agreement", "in_force"),
            "The agreement has no last day.",
            "Add until, or the term that the text gives.",
        )


def _term(desk: Desk) -> Iterator[LintFinding]:
    """The term, the last day and the review are one span of time (clause 1); the text is precise to the month."""
    force, review = desk.policy.agreement.in_force, desk.policy.agreement.review
    if force.term is None:
        return
    end = after(force.from_, force.term)
    last = day_before(end)
    months = {(end.year, end.month), (last.year, last.month)}
    for name, day in (("review", review.due), ("last day", force.until)):
        if day is not None and (day.year, day.month) not in months:
            yield desk.finding(
                "TERM_REVIEW_MISMATCH",
                "warn",
                ("agreement", "review", "due") if name == "review" else ("agreement", "in_force", "until"),
                f"{force.term} from {force.from_} ends with {last}, and the {name} is {day}.",
                "Write the day that the signed text gives in both places.",
            )


def _channel(desk: Desk) -> Iterator[LintFinding]:
    agreement = desk.policy.agreement
    if not any(channel.kind == "this-server" for channel in agreement.approved_channels):
        yield desk.finding(
            "CHANNEL_NOT_AUTHORISED",
            "error",
            ("agreement", "approved_channels"),
            "The agreement does not name this server as a channel; nothing can be sent through it.",
            "Vary the agreement, then add a channel of kind this-server.",
        )
    elif agreement.host is None or agreement.host.processor_instrument is None:
        who = f"{agreement.host.member} runs the exchange" if agreement.host else "It is not said who runs the exchange"
        yield desk.finding(
            "HOST_WITHOUT_PROCESSOR_INSTRUMENT",
            "warn",
            ("agreement", "host"),
            f"{who}, and no contract is named under which it does so for the other members.",
            "Add host with member and processor_instrument.",
        )


def _basis(desk: Desk) -> Iterator[LintFinding]:
    basis, path = desk.policy.agreement.lawful_basis, ("agreement", "lawful_basis", "article6")
    if any(closed_to_authorities(condition) for condition in basis.article6):
        yield desk.finding(
            "LI_NOT_AVAILABLE_TO_PUBLIC_AUTHORITY",
            "warn",
            path,
            "Legitimate interests are closed to public authorities for their tasks.",
            "State 6(1)(c) or 6(1)(e) and the statute.",
        )
    if basis.consent == "overridden_if_refused":
        yield desk.finding(
            "CONSENT_OVERRIDDEN_BASIS",
            "warn",
            ("agreement", "lawful_basis", "consent"),
            "Consent is asked for and overridden where it is refused: that is no consent.",
            "Rely on the statute, and write consent: not_relied_on.",
        )


def faulted(basis: LawfulBasis) -> bool:
    """Whether the agreement's own basis is one that it cannot rest on."""
    return basis.consent == "overridden_if_refused" or any(closed_to_authorities(c) for c in basis.article6)


def closed_to_authorities(condition: str) -> bool:
    """Whether an Article 6 condition is legitimate interests, by whatever name, recognised ones too."""
    words = condition.casefold().replace("_", " ")
    return "(f)" in words or "(ea)" in words or "legitimate" in words


def _controllers(desk: Desk) -> Iterator[LintFinding]:
    controllers = desk.policy.agreement.controllership
    if controllers is None:
        return
    path = ("agreement", "controllership")
    if controllers.treated_as is None:
        yield desk.finding(
            "CONTROLLERSHIP_TERM_RETIRED",
            "warn",
            path,
            f"The law no longer knows “{controllers.term_in_source}”.",
            "Add treated_as: independent, or joint.",
        )
    if controllers.treated_as == "joint" and controllers.article26_arrangement is None:
        yield desk.finding(
            "JOINT_WITHOUT_ARRANGEMENT",
            "error",
            path,
            "Joint controllers have an arrangement (Article 26), and none is named.",
            "Add article26_arrangement with its reference.",
        )


def _ownership(desk: Desk) -> Iterator[LintFinding]:
    agreement = desk.policy.agreement
    owner, address = desk.policy.member(agreement.owner), agreement.owner_details.address
    if owner is not None and owner.address and address and address != owner.address:
        yield desk.finding(
            "OWNER_ADDRESS_DIFFERS",
            "warn",
            ("agreement", "owner_details", "address"),
            f"The owner's address is {', '.join(address)} here and {', '.join(owner.address)} in its own row.",
            "Write the same address in both places.",
        )
    if agreement.drawn_up_by is None:
        yield desk.finding(
            "AUTHOR_NOT_RECORDED",
            "info",
            ("agreement",),
            "It is not recorded who drew the text up.",
            "Add drawn_up_by with their role.",
        )


def _requirement(desk: Desk) -> Iterator[LintFinding]:
    year = desk.policy.agreement.mi_requirement
    current = financial_year(desk.today)
    if year is not None and year < current:
        yield desk.finding(
            "MI_REQUIREMENT_STALE",
            "warn",
            ("agreement", "mi_requirement"),
            f"The codes are those of {year}, and it is {current}.",
            "Check the code lists against the year's requirement, then name it.",
        )


def financial_year(day: date) -> str:
    """The sharing year of a day, April to March, as 2026-27."""
    return year_words(sharing_year(day))


def _signatures(desk: Desk) -> Iterator[LintFinding]:
    blocks = {s.member: (index, s) for index, s in enumerate(desk.policy.agreement.signatures)}
    for member in desk.policy.members:
        index, block = blocks.get(member.id, (-1, None))
        fault = _fault(desk, member, block)
        if fault is not None:
            code, severity, sentence, remedy = fault
            path = ("agreement", "signatures", index) if index >= 0 else ("agreement", "signatures")
            yield desk.finding(code, severity, path, sentence, remedy, target=f"members/{member.id}")


def _fault(desk: Desk, member: Member, block: Signature | None) -> tuple[str, Severity, str, str] | None:
    """What a member's signature block lacks, and what to do; None for a signature under this text."""
    closed = "nothing goes to it or comes from it"
    if block is None or block.state == "block_missing":
        sentence = f"{member.called} has no signature block: {closed}."
        return "MEMBER_WITHOUT_SIGNATURE_BLOCK", "error", sentence, "Add its block to the agreement and have it signed."
    if block.state in ("blank", "named"):
        printed = "; a name is printed there" if block.state == "named" else ""
        sentence = f"{member.called} has not signed: {closed}{printed}."
        remedy = "Have the agreement signed, then record the day, the role and the text's hash."
        return "SIGNATURE_BLANK", "error", sentence, remedy
    if block.state == "withdrawn":
        sentence = f"{member.called} has withdrawn its signature: {closed}."
        return "SIGNATURE_WITHDRAWN", "warn", sentence, "Remove the member once it has left, or have it sign again."
    if block.document_sha256 != desk.policy.document_sha256:
        sentence = f"{member.called}'s signature here is under another text than this one."
        remedy = (
            "Have it sign this text, on paper or in the exchange: until it has, nothing goes to it or comes from it."
        )
        return "SIGNATURE_STALE", "warn", sentence, remedy
    return None


CHECKS: tuple[Check, ...] = (
    _status, _dates, _term, _channel, _basis, _controllers, _ownership, _requirement, _signatures,
)  # fmt: skip
