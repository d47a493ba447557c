"""What one file says of another must be there: an id that is named somewhere is defined once, and once only."""

from __future__ import annotations

from collections.abc import Iterator

from server.domain.agreement import EVERYONE, Place, PolicySet
from server.policy.problem import PolicyProblem, problem, suggestion
from server.policy.tree import Keyed, Leaf, Listed, Loc, Node, find, label, step

REFERENCES = (
    ("people.*.member", "members", "member"),
    ("people.*.acts_for.*", "members", "member"),
    ("people.*.deputy", "people", "person"),
    ("members.*.cover", "people", "person"),
    ("exchanges.*.members.*", "members", "member"),
    ("exchanges.*.processing_party", "members", "member"),
    ("exchanges.*.purposes.*", "agreement.purposes", "purpose"),
    ("exchanges.*.lawful_basis.gateways.*", "agreement.gateways", "gateway"),
    ("exchanges.*.record_schema", "schemas", "record schema"),
    ("exchanges.*.recurrence.calendar", "calendars", "calendar"),
    ("exchanges.*.retention", "retention.rules", "retention rule"),
    ("schemas.*.columns.*.codes", "codelists", "code list"),
    ("mappings.*.member", "members", "member"),
    ("mappings.*.exchanges.*", "exchanges", "exchange"),
    ("rights.sar.calendar", "calendars", "calendar"),
    ("rights.foi.calendar", "calendars", "calendar"),
    ("agreement.owner", "members", "member"),
    ("agreement.host.member", "members", "member"),
    ("agreement.lawful_basis.statutory.*", "agreement.gateways", "gateway"),
    ("agreement.information_types.*.exchanges.*", "exchanges", "exchange"),
    ("agreement.signatures.*.member", "members", "member"),
    ("waivers.*.approved_by", "people", "person"),
    ("source.member_names.*.id", "members", "member"),
    ("source.contacts.*.member", "members", "member"),
)
UNIQUE = (
    ("members", "id"),
    ("people", "id"),
    ("exchanges", "id"),
    ("schemas", "id"),
    ("schemas.*.columns", "name"),
    ("codelists", "id"),
    ("codelists.*.codes", "code"),
    ("mappings", "id"),
    ("calendars", "id"),
    ("retention.rules", "id"),
    ("agreement.purposes", "id"),
    ("agreement.gateways", "id"),
    ("agreement.information_types", "id"),
    ("agreement.approved_channels", "id"),
    ("agreement.signatures", "member"),
)
RESERVED = frozenset({EVERYONE, "nil", "con", "prn", "aux", "nul"})
"""No member or exchange may have these names: folders of a mailbox that mean something else, here or on Windows."""


def unresolved(root: Keyed, unread: frozenset[str]) -> list[PolicyProblem]:
    """Every id that is named and not defined, defined twice, or not allowed as a folder's name.

    References into a section that could not be read are not judged.
    """
    found = list(_doubles(root)) + list(_reserved(root))
    for pattern, table, thing in REFERENCES:
        if table.split(".")[0] in unread:
            continue
        known = set(_defined(root, table))
        for loc, leaf in matches(root, pattern):
            if leaf.value is not None and leaf.text not in known:
                sentence = f"there is no {thing} of this id: {suggestion(leaf.text, known)}"
                found.append(problem(leaf.at, label(root, loc), sentence))
    return found


def matches(root: Node, pattern: str) -> Iterator[tuple[Loc, Leaf]]:
    """Every scalar whose location has the form of the pattern; `*` is any item of a list."""
    for loc, node in _matching(root, tuple(pattern.split(".")), ()):
        if isinstance(node, Leaf):
            yield loc, node


def _matching(node: Node, steps: tuple[str, ...], loc: Loc) -> Iterator[tuple[Loc, Node]]:
    if not steps:
        yield loc, node
        return
    if steps[0] == "*" and isinstance(node, Listed):
        for index, item in enumerate(node.items):
            yield from _matching(item, steps[1:], (*loc, index))
    below = step(node, steps[0])
    if below is not None:
        yield from _matching(below, steps[1:], (*loc, steps[0]))


def _defined(root: Node, table: str, key: str = "id") -> Iterator[str]:
    for _, leaf in matches(root, f"{table}.*.{key}"):
        yield leaf.text


def _doubles(root: Node) -> Iterator[PolicyProblem]:
    for table, key in UNIQUE:
        first: dict[tuple[Loc, str], Place] = {}
        for loc, leaf in matches(root, f"{table}.*.{key}"):
            mark = (loc[:-2], leaf.text)
            if mark in first:
                there = first[mark]
                sentence = f"this {key} is already used in {there.file} line {there.line}: give each its own"
                yield problem(leaf.at, label(root, loc), sentence)
            first.setdefault(mark, leaf.at)


def _reserved(root: Node) -> Iterator[PolicyProblem]:
    for table in ("members", "exchanges"):
        for loc, leaf in matches(root, f"{table}.*.id"):
            if leaf.text in RESERVED:
                yield problem(leaf.at, label(root, loc), "this id means something else as a folder: choose another")


def contradictions(policy: PolicySet) -> list[PolicyProblem]:
    """What each file may say alone and the set cannot mean."""
    found = []
    start, end = policy.agreement.in_force.from_, policy.agreement.in_force.until
    if end is not None and end < start:
        found.append(
            _at(policy, "the last day is before the first: write a later one", "agreement", "in_force", "until")
        )
    events = {exchange.external_event.name for exchange in policy.exchanges if exchange.external_event}
    for exchange in policy.exchanges:
        after = exchange.recurrence.after_event if exchange.recurrence else None
        if after is not None and after.event not in events:
            sentence = f"no exchange has this external_event: {suggestion(after.event, events)}"
            found.append(_at(policy, sentence, "exchanges", exchange.id, "recurrence", "after_event", "event"))
    for person in policy.people:
        deputy = policy.person(person.deputy) if person.deputy else None
        if deputy is not None and (deputy.id == person.id or deputy.member != person.member):
            sentence = f"a deputy is somebody else of the same member: write another person of {person.member}"
            found.append(_at(policy, sentence, "people", person.id, "deputy"))
    return found


def _at(policy: PolicySet, sentence: str, *path: str) -> PolicyProblem:
    return problem(policy.place(*path) or Place(f"{path[0]}.yaml", 1, 1), ".".join(path), sentence)


def subtree(root: Node, pattern: str) -> Iterator[tuple[Loc, Keyed]]:
    """Every block whose location has the form of the pattern."""
    for loc, node in _matching(root, tuple(pattern.split(".")), ()):
        if isinstance(node, Keyed):
            yield loc, node


def text_at(node: Node, key: str) -> Leaf | None:
    """The scalar under a key of a block."""
    found = find(node, (key,))
    return found if isinstance(found, Leaf) else None
