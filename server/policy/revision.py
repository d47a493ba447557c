"""One content, one revision: what the files say decides it, never how they are written."""

from __future__ import annotations

import hashlib

from server.domain.agreement import PolicySet
from server.domain.agreement.canonical import canonical_json, dumped

FORM = "safehand-policy/2"


def canonical(policy: PolicySet) -> str:
    """The content as JSON: keys sorted, unordered lists sorted, no white space, defaults left out.

    Comments, the order of keys and items, quotes and line breaks make no difference, nor does writing out a default;
    and a field that a later version adds changes nothing for a set that does not use it.
    """
    return canonical_json({"form": FORM, "content": dumped(policy)})


def revision(policy: PolicySet) -> str:
    """SHA-256 of the canonical content, 64 hexadecimal digits: what a decision, an entry and a receipt name."""
    return hashlib.sha256(canonical(policy).encode("utf-8")).hexdigest()
