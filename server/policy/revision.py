"""One content, one revision: what the files say decides it, never how they are written."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from server.domain.agreement import PolicySet

FORM = "safehand-policy/1"
UNORDERED = frozenset({
    "members", "people", "exchanges", "purposes", "approved_channels", "signatures", "represents", "aliases",
    "acts_for", "networks", "formats", "roles", "ssh_keys", "gpg_keys", "article6",
})  # fmt: skip
"""Lists whose order says nothing. That of columns and address lines does."""


def canonical(policy: PolicySet) -> str:
    """The content as JSON: keys sorted, unordered lists sorted, no white space, defaults left out.

    Comments, the order of keys and items, quotes and line breaks make no difference, nor does writing out a default;
    and a field that a later version adds changes nothing for a set that does not use it.
    """
    content = policy.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return _json({"form": FORM, "content": _sorted(content, "")})


def revision(policy: PolicySet) -> str:
    """SHA-256 of the canonical content, 64 hexadecimal digits: what a decision, an entry and a receipt name."""
    return hashlib.sha256(canonical(policy).encode("utf-8")).hexdigest()


def _sorted(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(item, "roles" if key == "roles" else name) for name, item in value.items()}
    if isinstance(value, list):
        items = [_sorted(item, "") for item in value]
        return sorted(items, key=_json) if key in UNORDERED else items
    return value


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
