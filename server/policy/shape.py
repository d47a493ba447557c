"""A tree has the shape of the agreement's models or says, at each place, what to write instead.

Strict: a number, a date or a duration is what its field asks for, in one spelling; nothing is coerced, codes stay text.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from server.domain.agreement import PolicySet
from server.policy.problem import PolicyProblem, problem, suggestion
from server.policy.tree import Keyed, Leaf, Listed, Loc, Node, find, key_place, label, places, step, walk

Json = Any
M = TypeVar("M", bound=BaseModel)
WHOLE = re.compile(r"-?(0|[1-9][0-9]*)")
SPELLINGS = {
    date: (re.compile(r"\d{4}-\d{2}-\d{2}"), "date_parsing"),
    timedelta: (re.compile(r"P(?=.)(\d{1,4}D)?(T(?=.)(\d{1,4}H)?(\d{1,4}M)?(\d{1,5}S)?)?"), "time_delta_parsing"),
}

NOTHING = "nothing is written here: write a value, or remove the line"
PATTERNS = {
    r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$": "this is no id: write small letters, digits and single hyphens, as in p-kent-1",
    r"^[0-9A-F]{40}$": "this is no fingerprint: write all 40 hexadecimal digits in capitals, without spaces",
    r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$": "this is no column name: write small letters, digits and underscores",
    r"^[0-9a-f]{64}$": "this is no SHA-256: write all 64 hexadecimal digits, in small letters",
    r"^P\d{1,2}M$": "this is no number of months: write it as P2M",
    r"^P(\d{1,4}[DMY]|T\d{1,4}[HMS])$": "this is no length of time: write it as P7D, P2M, P3Y, PT72H or PT15M",
    r"^\d{1,3}wd$": "this is no number of working days: write it as 2wd",
    r"^([01]\d|2[0-3]):[0-5]\d$": "this is no time of day: write it as 17:00",
    r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$": 'these are no hours: write them as "18:00-08:00"',
    r"^\d{4}-\d{2}$": "this is no year: write it as 2026-27",
    r"^[A-Z][A-Z0-9_]*$": "this is no code of a finding: write it as lint prints it",
    r"^\d{3}$": 'this is no authority code: write its three digits, as in "886"',
    r"^(Z\d{7}|Z[AB]\d{6})$": "this is no ICO registration: write Z and seven digits, or ZA or ZB and six",
}
WANTED = {
    "string_type": "text is wanted here: put the value in quotes",
    "bool_type": "write true or false, without quotes",
    "int_type": "a whole number is wanted here: write digits only, without quotes",
    "int_parsing": "a whole number is wanted here: write digits only, without quotes",
    "date_type": "a date is wanted here: write it as 2027-03-31",
    "date_parsing": "this is no date: write it as 2027-03-31",
    "date_from_datetime_parsing": "this is no date: write it as 2027-03-31",
    "date_from_datetime_inexact": "this is no date: write it as 2027-03-31",
    "time_delta_type": "a duration is wanted here: write it as PT2M, or PT0S for none",
    "time_delta_parsing": "this is no duration: write it as PT2M, or PT0S for none",
    "ip_v4_network": "this is no network: write it as 192.0.2.0/24, with no bits set after the prefix",
    "ip_v6_network": "this is no network: write it as 2001:db8::/32, with no bits set after the prefix",
    "value_error": "this is no network: write it as 192.0.2.0/24, with no bits set after the prefix",
    "tuple_type": 'a list is wanted here: write "- item" lines, or [a, b]',
    "list_type": 'a list is wanted here: write "- item" lines, or [a, b]',
    "frozen_set_type": 'a list is wanted here: write "- item" lines, or [a, b]',
    "model_type": 'a block of "key: value" lines is wanted here',
    "model_attributes_type": 'a block of "key: value" lines is wanted here',
    "mapping_type": 'a block of "key: value" lines is wanted here',
    "dict_type": 'a block of "key: value" lines is wanted here',
    "string_too_short": "this is empty: write something, or remove the line",
    "too_short": "this list is empty: write at least one",
}


def shaped(root: Keyed, unread: frozenset[str]) -> tuple[PolicySet | None, list[PolicyProblem]]:
    """The policy set of a whole tree, or None and every place that has not its shape.

    `unread` are the sections whose file could not be read: what they lack is not told again.
    """
    policy, found = formed(root, PolicySet, unread)
    return policy.model_copy(update={"written": places(root)}) if policy else None, found


def formed(root: Keyed, model: type[M], unread: frozenset[str] = frozenset()) -> tuple[M | None, list[PolicyProblem]]:
    """A tree as this model, or None and every place that has not its shape."""
    texts = _json(root)
    errors = _errors(texts, model)
    wanted = [_written(root, e["loc"]) for e in errors if e["type"] == "int_type"]
    numbers = [loc for loc in wanted if _is_whole(find(root, loc))]
    for loc in numbers:
        _replace(texts, loc, int)
    errors = _errors(texts, model) if numbers else errors
    found = [_problem(root, error, model) for error in _telling(root, errors) if error["loc"][0] not in unread]
    found += _misspelt(root, model)
    if errors or found:
        return None, list(dict.fromkeys(found))
    return model.model_validate_json(json.dumps(texts), strict=True), []


def _errors(texts: Json, model: type[BaseModel]) -> list[Any]:
    try:
        model.model_validate_json(json.dumps(texts), strict=True)
    except ValidationError as invalid:
        return list(invalid.errors(include_url=False, include_input=False))
    return []


def _telling(root: Keyed, errors: list[Any]) -> list[Any]:
    """Without what is only said of a list because there is a mistake inside: "write all", "this list is empty"."""
    places = {_written(root, error["loc"]) for error in errors}
    return [
        error
        for error in errors
        if error["type"] not in ("literal_error", "too_short")
        or not any(_inside(_written(root, error["loc"]), loc) for loc in places)
    ]


def _inside(outer: Loc, inner: Loc) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _json(node: Node) -> Json:
    match node:
        case Leaf():
            return node.value
        case Listed():
            return [_json(item) for item in node.items]
        case Keyed():
            return {key: _json(item) for key, item in node.items.items()}


def _is_whole(node: Node | None) -> bool:
    return isinstance(node, Leaf) and node.plain and WHOLE.fullmatch(node.text) is not None and len(node.text) < 19


def _replace(texts: Json, loc: Loc, change: Callable[[str], int]) -> None:
    for part in loc[:-1]:
        texts = texts[part]
    texts[loc[-1]] = change(texts[loc[-1]])


def _misspelt(root: Keyed, model: type[BaseModel]) -> Iterator[PolicyProblem]:
    """Dates and durations that a lenient reader would take for seconds, and keys with nothing after them."""
    for loc, node in walk(root):
        if not isinstance(node, Leaf):
            continue
        if node.plain and node.text == "":
            yield problem(key_place(root, loc), label(root, loc), NOTHING)
        for kind in _flat(_annotation(model, _form(loc))) if isinstance(node.value, str) else ():
            if kind in SPELLINGS and not SPELLINGS[kind][0].fullmatch(node.text):
                yield problem(node.at, label(root, loc), WANTED[SPELLINGS[kind][1]])


# --- sentences ---


def _problem(root: Keyed, error: Mapping[str, Any], model: type[BaseModel]) -> PolicyProblem:
    loc, kind = error["loc"], error["type"]
    real = _written(root, loc)
    node = find(root, real) or root
    if kind == "extra_forbidden":
        parent = find(root, real[:-1])
        known = _keys(_annotation(model, _form(real[:-1]))) - (
            set(parent.items) if isinstance(parent, Keyed) else set()
        )
        return problem(key_place(root, real), label(root, real), f"unknown key: {suggestion(str(real[-1]), known)}")
    if kind == "missing":
        return problem(node.at, label(root, (*real, loc[-1])), f"{loc[-1]} is missing: add a line {loc[-1]}: …")
    if loc[-1] == "[key]":
        return problem(
            key_place(root, real), label(root, real), f"unknown key: {suggestion(str(real[-1]), _words(error))}"
        )
    return problem(node.at, label(root, real), _sentence(error, node, _annotation(model, _form(real))))


def _sentence(error: Mapping[str, Any], node: Node, annotation: Any) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if isinstance(node, Leaf) and node.value is None and kind != "missing":
        return NOTHING
    choices = [str(c) for option in _flat(annotation) for c in get_args(option) if isinstance(c, str)]
    if kind == "literal_error" or (choices and isinstance(node, Leaf)):
        wrong = node.text if isinstance(node, Leaf) else ""
        return f"this word is not known here: {suggestion(wrong, choices or _words(error), few=6)}"
    if kind == "string_pattern_mismatch":
        return PATTERNS.get(context["pattern"], "this has not the agreed form: see the shipped policy set")
    if kind == "string_too_long":
        return f"this is too long: write at most {context['max_length']} characters"
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = f"at least {context['ge']}" if "ge" in context else f"at most {context['le']}"
        return f"this number is out of range: write {bound}"
    if kind == "string_type" and not isinstance(node, Leaf):
        return "one value is wanted here, not a list or a block"
    return WANTED.get(kind, "this value has not the form that its key asks for: see the shipped policy set")


def _words(error: Mapping[str, Any]) -> list[str]:
    return re.findall(r"'([^']+)'", str(error.get("ctx", {}).get("expected", "")))


def _written(root: Node, loc: Loc) -> Loc:
    """The part of a validation location that is in the file: names of union branches and missing keys are not."""
    node: Node | None = root
    real: list[str | int] = []
    for part in loc:
        below = step(node, part)
        if below is not None:
            node = below
            real.append(part)
    return tuple(real)


# --- models ---


def _flat(annotation: Any) -> Sequence[Any]:
    """The types that an annotation allows, without Annotated and unions."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _flat(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [option for part in get_args(annotation) for option in _flat(part)]
    return [annotation]


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    return {(info.alias or name): info.annotation for name, info in model.model_fields.items() if name != "written"}


def _keys(annotation: Any) -> set[str]:
    """The keys that a block of this type may have."""
    models = [m for m in _flat(annotation) if isinstance(m, type) and issubclass(m, BaseModel)]
    return {key for model in models for key in _fields(model)}


def _below(annotation: Any, part: str | int) -> Any:
    for option in _flat(annotation):
        origin, arguments = get_origin(option), get_args(option)
        if origin is None and isinstance(option, type) and issubclass(option, BaseModel) and part in _fields(option):
            return _fields(option)[str(part)]
        if isinstance(part, int) and origin in (tuple, list, frozenset):
            return arguments[0]
        if isinstance(part, str) and origin is Mapping:
            return arguments[1]
    return None


def _form(loc: Loc) -> Loc:
    """The location with every number as 0: items of a list are of one type."""
    return tuple(0 if isinstance(part, int) else part for part in loc)


@lru_cache(maxsize=4096)
def _annotation(model: type[BaseModel], loc: Loc) -> Any:
    annotation: Any = model
    for part in loc:
        annotation = _below(annotation, part)
    return annotation
