"""What a policy set is expected to decide: cases beside it, each one question with its facts and exactly its answer.

A case may change the set first (`change`), so that a reason can be shown that the set as it ships does not have. The
changed set is loaded as strictly as any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints

from server.domain.agreement import Frozen, Id, Place, PolicySet
from server.domain.agreement.terms import Text
from server.domain.decision import Act, Decision, Deed, Facts, Question, decide
from server.domain.schedule import LONDON, Period
from server.policy.explain import HOLDS
from server.policy.load import read_texts, set_of, tree_of
from server.policy.problem import PolicyInvalid, PolicyProblem, problem, suggestion
from server.policy.shape import formed
from server.policy.tree import Keyed, Leaf, Listed, Node, find, read_tree, step

FOLDER = "cases"
Moment = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}(T([01]\d|2[0-3]):[0-5]\d)?$")]
Month = Annotated[str, StringConstraints(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")]


class Given(Frozen):
    """The facts of one case. `now` is London's; `person` sends for the member `sender`, or does what `act` says."""

    now: Moment
    act: Literal[
        "send",
        "log-in",
        "look",
        "read",
        "acknowledge",
        "attest",
        "countersign",
        "propose",
        "approve",
        "sign",
        "approve-ad-hoc",
    ] = "send"  # fmt: skip
    sender: Id | None = None
    person: Id | None = None
    recipient: Id | None = None
    exchange: Id | None = None
    period: Month | None = None
    sent_by: Id | None = Field(default=None, description="the person who sent what is acknowledged")
    suspended: tuple[Id, ...] = ()
    left: tuple[Id, ...] = Field(default=(), description="members that have left")
    signed: tuple[Id, ...] = Field(default=(), description="members that signed this very text in chat or on the desk")
    unusable_keys: Mapping[str, Text] | None = Field(
        default=None, description="{holder: why}; without it no key is asked about, as these sets ship without keys"
    )
    change: Mapping[str, JsonValue] = Field(
        default={}, description="{dotted path: what stands there instead}; nothing (null) takes it out"
    )


class Case(Frozen):
    """One question and its answer: permit, or deny for exactly these codes."""

    id: Id
    because: Text | None = None
    given: Given
    expect: Literal["permit", "deny"]
    codes: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$")], ...] = ()


class Cases(Frozen):
    """One file of cases."""

    cases: tuple[Case, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Tried:
    """A case that was run: what was decided, and whether that is what it expects."""

    case: Case
    at: Place
    decision: Decision

    @property
    def holds(self) -> bool:
        return self.decision.permit == (self.case.expect == "permit") and self.decision.codes == set(self.case.codes)

    def __str__(self) -> str:
        if self.holds:
            return f"ok    {self.case.id}"
        wanted = f"deny {', '.join(sorted(self.case.codes))}" if self.case.codes else self.case.expect
        found = f"deny {', '.join(sorted(self.decision.codes))}" if not self.decision.permit else "permit"
        return f"FAIL  {self.case.id} ({self.at.file}:{self.at.line}): expected {wanted}; decided {found}"


def try_cases(directory: Path) -> tuple[Tried, ...]:
    """Every case beside the set, run, in the order of the files. Raises PolicyInvalid for the set and for a case."""
    root = tree_of(read_texts(directory))
    whole = set_of(root)
    tried: list[Tried] = []
    for path in sorted((directory / FOLDER).glob("*.yaml")):
        name = str(path)
        tree, cases = _read(name, path.read_text(encoding="utf-8"))
        for number, case in enumerate(cases):
            written = find(tree, ("cases", number))
            at = written.at if written else Place(name, 1, 1)
            policy = _changed(root, written, at) if case.given.change else whole
            tried.append(Tried(case, at, _decided(policy, case.given)))
    _one_name_each(tried)
    return tuple(tried)


def uncovered(tried: Iterable[Tried]) -> tuple[str, ...]:
    """The reason codes that no case expects."""
    return tuple(sorted(set(HOLDS) - {code for one in tried for code in one.case.codes}))


def _read(name: str, text: str) -> tuple[Keyed, tuple[Case, ...]]:
    tree, found = read_tree(name, text, FOLDER)
    if tree is None or found:
        raise PolicyInvalid(found)
    root = Keyed({"cases": tree}, {"cases": tree.at}, tree.at)
    file, found = formed(root, Cases)
    found += [each for number, case in enumerate(file.cases if file else ()) for each in _odd(root, number, case)]
    if file is None or found:
        raise PolicyInvalid(found)
    return root, file.cases


def _odd(root: Keyed, number: int, case: Case) -> Iterable[PolicyProblem]:
    """What each line may say and the case cannot mean."""
    node = find(root, ("cases", number))
    at = node.at if node else root.at
    if (case.expect == "deny") != bool(case.codes):
        yield problem(at, f"cases.{case.id}", "a denial has its codes, a permit has none: write expect: deny and codes")
    for code in case.codes:
        if code not in HOLDS:
            yield problem(at, f"cases.{case.id}.codes", f"no rule has this code: {suggestion(code, HOLDS)}")
    if case.given.act == "send":
        needed = {"sender": case.given.sender, "recipient": case.given.recipient, "exchange": case.given.exchange}
    else:
        needed = {"person": case.given.person}
    for key, value in needed.items():
        if value is None:
            yield problem(at, f"cases.{case.id}.given", f"{key} is missing: add a line {key}: …")


def _one_name_each(tried: list[Tried]) -> None:
    seen: dict[str, Place] = {}
    for one in tried:
        if one.case.id in seen:
            there = seen[one.case.id]
            sentence = f"this id is already used in {there.file} line {there.line}: give each case its own"
            raise PolicyInvalid([problem(one.at, f"cases.{one.case.id}", sentence)])
        seen[one.case.id] = one.at


def _decided(policy: PolicySet, given: Given) -> Decision:
    now = datetime.fromisoformat(given.now).replace(tzinfo=LONDON)
    signed = {member: frozenset({policy.document_sha256}) for member in given.signed}
    facts = Facts(frozenset(given.suspended), frozenset(given.left), signed)
    act = Act(given.act)
    if act is not Act.SEND:
        return decide(policy, Deed(act, given.person or "", now, given.recipient, given.sent_by, facts))
    period = Period.parse(given.period) if given.period else None
    return decide(
        policy,
        Question(
            given.sender or "", given.recipient or "", given.exchange or "", now, given.person, period,
            given.unusable_keys, facts,
        ),
    )  # fmt: skip


def _changed(root: Keyed, written: Node | None, at: Place) -> PolicySet:
    """The set with the changes of one case. Raises PolicyInvalid, at the case, for one that leads nowhere."""
    changes = find(written, ("given", "change")) if written else None
    tree: Node = root
    for path, value in changes.items.items() if isinstance(changes, Keyed) else ():
        edited = _edited(tree, tuple(path.split(".")), value)
        if edited is None:
            raise PolicyInvalid(
                [problem(value.at, f"change.{path}", "there is no such place in the set: mend the path")]
            )
        tree = edited
    assert isinstance(tree, Keyed)
    try:
        return set_of(tree)
    except PolicyInvalid as invalid:
        raise PolicyInvalid(replace(e, file=at.file, line=at.line, column=at.column) for e in invalid.errors) from None


def _edited(node: Node, parts: tuple[str, ...], value: Node) -> Node | None:
    """A copy in which another value stands at the place, or none; None when the way there is not in the tree."""
    first, rest = parts[0], parts[1:]
    if isinstance(node, Listed):
        at = _number(node, first)
        if at is None:
            return None
        inner = _edited(node.items[at], rest, value) if rest else value
        new = [] if inner is None or (not rest and _is_nothing(value)) else [inner]
        return None if inner is None else Listed([*node.items[:at], *new, *node.items[at + 1 :]], node.at)
    if not isinstance(node, Keyed):
        return None
    below = node.items.get(first)
    inner = value if not rest else _edited(below, rest, value) if below is not None else None
    if inner is None:
        return None
    items = {key: item for key, item in node.items.items() if key != first or rest}
    items |= {} if not rest and _is_nothing(value) else {first: inner}
    return Keyed(items, node.keys | {first: node.keys.get(first, value.at)}, node.at)


def _is_nothing(value: Node) -> bool:
    return isinstance(value, Leaf) and value.value is None


def _number(node: Listed, name: str) -> int | None:
    """The item with this id, or of this member; else the item of this number, from 0."""
    for key in ("id", "member", "la", "name"):
        for number, item in enumerate(node.items):
            own = step(item, key)
            if isinstance(own, Leaf) and own.text == name:
                return number
    return int(name) if name.isdigit() and int(name) < len(node.items) else None
