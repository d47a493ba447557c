"""Mutants of the working policy set: something is taken out or spoilt, and what is permitted then is compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from server.domain.agreement import PolicySet
from server.domain.decision import Act, Deed, Question, decide
from server.domain.schedule import Period
from server.policy.lint import lint
from server.policy.load import read_texts, set_of, tree_of
from server.policy.problem import PolicyInvalid
from server.policy.tree import Keyed, Leaf, Listed, Loc, Node, walk

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
ROOT = tree_of(read_texts(Path(__file__).parents[1] / "policies" / "ccis-v2"))
BASE = set_of(ROOT)
PERIODS = [Period(2026, month) for month in range(7, 13)] + [Period(2027, 1)]
Permit = tuple[str, ...]


# ---------------------------------------------------------------- what a set permits


def permits(policy: PolicySet, members: Sequence[str]) -> frozenset[Permit]:
    """Everything that these members and their people may do under this set, in parts.

    A file goes when its pair, its person and its period all may: each part is asked by itself, with the others right.
    """
    people = [person.id for person in BASE.people if person.member in members]
    pairs, alone = _pairs(policy, members), _people(policy, people, members)
    return frozenset((*pairs, *alone, *_periods(policy), *_deeds(policy, people, members)))


def _pairs(policy: PolicySet, members: Sequence[str]) -> Iterator[Permit]:
    for sender in members:
        for recipient in members:
            for exchange in BASE.exchange_by_id:
                if decide(policy, Question(sender, recipient, exchange, NOW)).permit:
                    yield "pair", sender, recipient, exchange


def _people(policy: PolicySet, people: Sequence[str], members: Sequence[str]) -> Iterator[Permit]:
    for person in people:
        for member in members:
            recipient = "kent" if member != "kent" else "essex"
            if decide(policy, Question(member, recipient, "trial", NOW, sender=person)).permit:
                yield "person", person, member


def _periods(policy: PolicySet) -> Iterator[Permit]:
    for exchange in BASE.exchange_by_id:
        for period in PERIODS:
            if decide(policy, Question("essex", "thurrock", exchange, NOW, period=period)).permit:
                yield "period", exchange, str(period)


def _deeds(policy: PolicySet, people: Sequence[str], members: Sequence[str]) -> Iterator[Permit]:
    for person in people:
        for act in (Act.LOG_IN, Act.APPROVE, Act.SIGN, Act.APPROVE_AD_HOC):
            if decide(policy, Deed(act, person, NOW)).permit:
                yield str(act), person
        for member in members:
            if decide(policy, Deed(Act.READ, person, NOW, recipient=member)).permit:
                yield "read", person, member


# ---------------------------------------------------------------- mutants


@dataclass(frozen=True)
class Mutant:
    """One change: what stands at the place instead, or nothing."""

    loc: Loc
    instead: Node | None
    what: str

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.loc))}: {self.what}"


def tree_with(node: Node, loc: Loc, instead: Node | None) -> Node:
    """A copy in which something else stands there."""
    first, rest = loc[0], loc[1:]
    if isinstance(node, Listed):
        items = list(node.items)
        assert isinstance(first, int)
        new = tree_with(items[first], rest, instead) if rest else instead
        items[first : first + 1] = [] if new is None else [new]
        return Listed(items, node.at)
    assert isinstance(node, Keyed)
    assert isinstance(first, str)
    new = tree_with(node.items[first], rest, instead) if rest else instead
    kept = {key: item for key, item in node.items.items() if key != first}
    return Keyed(kept if new is None else kept | {first: new}, node.keys, node.at)


@cache
def ids() -> dict[str, list[str]]:
    """{id: the others of its table}."""
    tables = ("members", "people", "exchanges", "schemas", "codelists", "calendars")
    names = [[item.id for item in getattr(BASE, table)] for table in tables]
    names += [[purpose.id for purpose in BASE.agreement.purposes], [gate.id for gate in BASE.agreement.gateways]]
    return {name: [other for other in table if other != name] for table in names for name in table}


def spoilt(leaf: Leaf, turn: int | None) -> Iterator[tuple[str, Node]]:
    """Other values for one scalar: another id, another number, the opposite, a near word, and what is no value of it.

    Of the last four kinds it is the one whose turn it is, or every one.
    """
    text = leaf.text

    def plain(new: str) -> Leaf:
        return Leaf(new, leaf.plain, leaf.at)

    no_value: list[tuple[str, Node]] = [
        ("nothing", Leaf("", True, leaf.at)),
        ("empty", Leaf("", False, leaf.at)),
        ("a list", Listed([leaf], leaf.at)),
        ("a block", Keyed({"a": leaf}, {"a": leaf.at}, leaf.at)),
    ]
    yield from no_value if turn is None else [no_value[turn % 4]]
    yield "a near word", plain(text[:-1] + ("x" if not text.endswith("x") else "y"))
    for other in ids().get(text, [])[:2] + ids().get(text, [])[-1:]:
        yield f"another id, {other}", plain(other)
    number = "".join(c for c in text if c.isdigit())
    if number:
        first = next(i for i, c in enumerate(text) if c.isdigit())
        last = first
        while last < len(text) and text[last].isdigit():
            last += 1
        for by in (1, -1):
            changed = str(int(text[first:last]) + by).rjust(last - first, "0")
            yield f"a number {by:+}", plain(text[:first] + changed + text[last:])
    if text in {"true", "false"}:
        yield "the opposite", plain({"true": "false", "false": "true"}[text])


def mutants(section: str, *, places: int = 1, thorough: bool = False) -> Iterator[Mutant]:
    """Every kind of key of a section, at so many of its places, taken out and spoilt."""
    seen: Counter[tuple[str | int, ...]] = Counter()
    for below, node in walk(ROOT.items[section], ()):
        loc: Loc = (section, *below)
        form = tuple("*" if isinstance(p, int) or loc[n - 1] == "headers" else p for n, p in enumerate(loc))
        seen[form] += 1
        if seen[form] > places:
            continue
        yield Mutant(loc, None, "taken out")
        if isinstance(node, Leaf):
            yield from (Mutant(loc, other, what) for what, other in spoilt(node, None if thorough else len(seen)))
        else:
            empty: Node = Listed([], node.at) if isinstance(node, Listed) else Keyed({}, {}, node.at)
            yield Mutant(loc, empty, "empty")
            yield Mutant(loc, Leaf("word", True, node.at), "a word")


SECTIONS = sorted(ROOT.items)
FEW = ("essex", "thurrock", "kent", "brighton-hove")


def try_all(mutated: Iterable[Mutant], members: Sequence[str]) -> tuple[int, int]:
    """(how many were tried, how many could be read). Raises AssertionError for one that permits these members more."""
    tried = loaded = 0
    before = permits(BASE, members)
    for mutant in mutated:
        tried += 1
        tree = tree_with(ROOT, mutant.loc, mutant.instead)
        assert isinstance(tree, Keyed)
        try:
            policy = set_of(tree)
        except PolicyInvalid:
            continue
        loaded += 1
        if any(finding.is_error for finding in lint(policy, NOW)):
            continue
        more = permits(policy, members) - before
        assert not more, f"{mutant}: permits {sorted(more)[:3]}"
    return tried, loaded
