"""The shipped policy set with a few things changed: each by its dotted path, ids for items, as problems name it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from server.policy.load import read_texts

ROOT = Path(__file__).parents[1] / "policies"
SHIPPED = read_texts(ROOT / "ccis-v2")
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
GONE = object()
"""Instead of a value: the key or the item is taken out."""


def edited(edits: Mapping[str, Any], texts: Mapping[str, str] = SHIPPED) -> dict[str, str]:
    """The texts with `{"members.kent.ig_team.email": GONE, "agreement.status": "DRAFT"}` done to them.

    A section that has no file gets one: `{"source": {…}}`. Raises LookupError for a path that leads nowhere.
    """
    changed = dict(texts)
    for path, value in edits.items():
        section, *steps = path.split(".")
        if not steps:
            changed[f"{section}.yaml"] = _dumped(_plain(value))
            continue
        name, inner = _file_of(changed, section, steps)
        content = _loaded(changed[name])
        _change(content, inner, _plain(value))
        changed[name] = _dumped(content)
    return changed


def _file_of(texts: Mapping[str, str], section: str, steps: list[str]) -> tuple[str, list[str]]:
    """The file that holds the path, and the path within it: a folder's file is one item."""
    if f"{section}.yaml" in texts:
        return f"{section}.yaml", steps
    for name in texts:
        if name.startswith(f"{section}/") and _loaded(texts[name])["id"] == steps[0]:
            return name, steps[1:]
    raise LookupError(f"no {section} has the id {steps[0]}")


def _change(content: Any, steps: list[str], value: Any) -> None:
    for step in steps[:-1]:
        content = content[_key(content, step)]
    if value is GONE:
        del content[_key(content, steps[-1])]
    else:
        content[_key(content, steps[-1])] = value


def _key(content: Any, step: str) -> Any:
    """A key of a mapping; in a list the position of the item with this id, name or member, or the number itself."""
    if isinstance(content, Mapping):
        return step
    for position, item in enumerate(content):
        if isinstance(item, Mapping) and step in (item.get("id"), item.get("name"), item.get("member")):
            return position
    return int(step)


def _plain(value: Any) -> Any:
    """The same with its days as days: they are written without quotes, as people write them."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return date.fromisoformat(value) if isinstance(value, str) and DAY.fullmatch(value) else value


def _yaml() -> Any:
    yaml: Any = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 4096
    return yaml


def _loaded(text: str) -> Any:
    return _yaml().load(text)


def _dumped(content: Any) -> str:
    out = StringIO()
    _yaml().dump(content, out)
    return out.getvalue()
