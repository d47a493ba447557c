"""One content, one text: what the files say decides it, never how they are written or in which order."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

UNORDERED = frozenset({
    "members", "people", "exchanges", "retention", "schemas", "codelists", "mappings", "calendars", "waivers", "rules",
    "codes", "purposes", "gateways", "information_types", "approved_channels", "signatures", "represents", "aliases",
    "acts_for", "networks", "formats", "roles", "ssh_keys", "gpg_keys", "article6", "statutory", "holidays", "domains",
    "covers", "subcontractors", "sealed_to", "sources", "data_subjects",
})  # fmt: skip
"""Lists whose order says nothing. That of columns and address lines does."""


def dumped(model: BaseModel, *, include: Any = None, exclude: Any = None) -> Any:
    """A model as JSON values, defaults left out."""
    return model.model_dump(mode="json", by_alias=True, exclude_defaults=True, include=include, exclude=exclude)


def canonical_json(content: Any) -> str:
    """Keys sorted, unordered lists sorted, no white space."""
    return _json(_sorted(content, ""))


def _sorted(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(item, "roles" if key == "roles" else name) for name, item in value.items()}
    if isinstance(value, list):
        items = [_sorted(item, "") for item in value]
        return sorted(items, key=_json) if key in UNORDERED else items
    return value


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
