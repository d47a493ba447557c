"""What an editor knows of the policy files: one JSON Schema a section, from the models. It refuses nothing that loads.

A plain number is text where text is wanted (codes, versions), as the loader reads it. JSON Schema draft 2020-12.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

from pydantic import TypeAdapter

from server.domain.agreement import PolicySet
from server.policy.cases import Cases
from server.policy.load import FILES, FOLDERS

DRAFT = "https://json-schema.org/draft/2020-12/schema"
FORMS = {
    "date": r"^\d{4}-\d{2}-\d{2}$",
    "duration": r"^P(\d{1,4}D)?(T(\d{1,4}H)?(\d{1,4}M)?(\d{1,5}S)?)?$",
}
NUMBERS = tuple("1" * length for length in (1, 2, 3, 7, 40, 64))
"""Plain numbers of the lengths that codes and fingerprints have."""


def schemas() -> dict[str, str]:
    """{file name: JSON text} for every section of a policy set and its cases, the same text for the same models."""
    sections = [*(name.removesuffix(".yaml") for name in FILES), "cases"]
    return {f"{section}.json": _text(section) for section in sorted(sections)}


def _text(section: str) -> str:
    content = TypeAdapter(_annotation(section)).json_schema(by_alias=True)
    definitions = content.pop("$defs", {})
    if section in FOLDERS:
        content = {"anyOf": [content, content["items"]]}
    whole = {
        "$schema": DRAFT,
        "title": f"{section}.yaml of a Safehand policy set",
        **_plain(content),
        "$defs": {name: _plain(definition) for name, definition in sorted(definitions.items())},
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _annotation(section: str) -> Any:
    """The section's type; one that may be absent is there when its file is."""
    model = Cases if section == "cases" else PolicySet
    annotation = model.model_fields[section].annotation
    if get_origin(annotation) in (Union, types.UnionType):
        return next(option for option in get_args(annotation) if option is not type(None))
    return annotation


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema in an editor's terms: no made-up titles, dates and durations by pattern, numbers where text may be."""
    return dict(_said(schema))


def _said(schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in schema.items():
        if key in ("title", "uniqueItems") or (key == "default" and isinstance(value, dict)):
            continue
        if key == "properties":
            yield key, {name: _plain(part) for name, part in value.items()}
        elif key == "format":
            yield from [("pattern", FORMS[value])] if value in FORMS else []
        elif key == "type" and value == "string":
            yield key, ["string", "number"] if _may_be_a_number(schema) else "string"
        elif key == "default" and schema.get("uniqueItems"):
            yield key, sorted(value)
        elif key in ("default", "enum", "const", "required"):
            yield key, value
        else:
            yield key, _below(value)


def _below(value: Any) -> Any:
    if isinstance(value, list):
        return [_below(item) for item in value]
    return _plain(value) if isinstance(value, dict) else value


def _may_be_a_number(schema: dict[str, Any]) -> bool:
    if schema.keys() & {"enum", "const", "format"}:
        return False
    return any(re.fullmatch(schema.get("pattern", ".*"), number) for number in NUMBERS)
