"""The text that members sign, in plain words for whoever is about to sign it. Pure; its hash is of the exact text."""

from __future__ import annotations

from collections.abc import Iterator

from server.domain.agreement import Authority, Exchange, Member, PolicySet
from server.domain.schedule import day_words
from server.domain.schedule_words import obligation_words, schedule_words

_CAPACITIES = {
    "own": "itself",
    "processor": "as its processor",
    "joint": "as a joint controller",
    "controller": "as a controller of its own",
}
COLUMNS = "With which columns"
"""The heading of the longest part: a page may fold it."""
Section = tuple[str, tuple[str, ...]]
"""(heading, sentences)."""


def sections(policy: PolicySet) -> tuple[Section, ...]:
    """What the text says, by subject: dates, purposes, legal basis, members, exchanges, leaving; none that is empty.

    Only what is signed: no people, contacts, keys or signatures.
    """
    found = (
        ("When it holds", tuple(_dates(policy))),
        ("What the data may be used for", tuple(_purposes(policy))),
        ("On what legal basis", tuple(_basis(policy))),
        ("Who is party to it", tuple(_member(member) for member in policy.members)),
        ("What is shared", tuple(_exchange(policy, exchange) for exchange in policy.exchanges)),
        (COLUMNS, tuple(_columns(policy))),
        ("When a member leaves", tuple(_leaving(policy))),
    )
    return tuple((heading, sentences) for heading, sentences in found if sentences)


def _dates(policy: PolicySet) -> Iterator[str]:
    agreement = policy.agreement
    until = f" until {day_words(agreement.in_force.until)}" if agreement.in_force.until else ""
    yield f"In force from {day_words(agreement.in_force.from_)}{until}."
    yield f"Reviewed by {day_words(agreement.review.due)}."


def _purposes(policy: PolicySet) -> Iterator[str]:
    for purpose in policy.agreement.purposes:
        text = purpose.text or purpose.id.replace("-", " ")
        yield f"{text[:1].upper()}{text[1:]} (clause {purpose.clause})."


def _basis(policy: PolicySet) -> Iterator[str]:
    basis = policy.agreement.lawful_basis
    if basis.article6:
        yield f"UK GDPR, Article 6: {', '.join(basis.article6)}."
    if basis.article9:
        condition = f", with DPA 2018 Schedule 1, {basis.dpa2018_sch1}" if basis.dpa2018_sch1 else ""
        yield f"Special categories, Article 9: {basis.article9}{condition}."
    for gateway in policy.agreement.gateways:
        yield f"{gateway.cite}."


def _member(member: Member) -> str:
    if [authority.capacity for authority in member.represents] == ["own"]:
        return f"{member.name} (authority {member.represents[0].la}), for itself."
    return f"{member.name}, for {_listed(member.represents)}." if member.represents else f"{member.name}."


def _listed(represents: tuple[Authority, ...]) -> str:
    """Authorities by capacity: A (201), B (203) as its processor; C (305) itself."""
    parts = []
    for capacity, words in _CAPACITIES.items():
        names = [f"{one.name or 'authority'} ({one.la})" for one in represents if one.capacity == capacity]
        if names:
            parts.append(f"{', '.join(names)} {words if len(names) == 1 else words.replace('its', 'their')}")
    return "; ".join(parts)


def _exchange(policy: PolicySet, exchange: Exchange) -> str:
    names = [policy.member(each) for each in exchange.members] if exchange.members != "all" else []
    between = "all members" if exchange.members == "all" else ", ".join(m.called for m in names if m is not None)
    clause = f"clause {exchange.clause}" if exchange.clause[:1].isdigit() else exchange.clause
    said = f"{exchange.title} ({clause}). {obligation_words(exchange)}, between {between}."
    return f"{said} {schedule_words(exchange)}"


def _columns(policy: PolicySet) -> Iterator[str]:
    for exchange in policy.exchanges:
        schema = policy.schema_of(exchange)
        if schema is not None:
            yield f"{exchange.called}: {', '.join(column.name for column in schema.columns)}."


def _leaving(policy: PolicySet) -> Iterator[str]:
    termination = policy.agreement.termination
    locked = "its mailbox is locked" if termination.lock_mailbox else "its mailbox stays open"
    keys = "its keys are revoked" if termination.revoke_keys else "its keys stay"
    within = termination.attest_destruction_within
    number, unit = within.lstrip("PT")[:-1], {"D": "day", "M": "month", "Y": "year"}.get(within[-1], "hour")
    plural = "" if number == "1" else "s"
    yield f"Then {keys}, {locked}, and it attests within {number} {unit}{plural} that its copies are destroyed."
