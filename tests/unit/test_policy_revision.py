"""One content, one revision, however it is written; another content, another revision."""

from __future__ import annotations

import random
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from server.policy.load import load_texts, read_texts
from server.policy.revision import canonical, revision

TEXTS = read_texts(Path(__file__).parents[2] / "policies" / "ccis-v2")
WHOLE = load_texts(TEXTS)
LISTS = ("members", "people", "exchanges")


def _shuffled(value: Any, dice: random.Random) -> Any:
    if isinstance(value, dict):
        keys = list(value)
        dice.shuffle(keys)
        return {key: _shuffled(value[key], dice) for key in keys}
    return [_shuffled(item, dice) for item in value] if isinstance(value, list) else value


def _rewritten(file: str, dice: random.Random, flow: bool) -> str:
    """The same content without comments, in another order of keys and items and another layout."""
    content = _shuffled(YAML(typ="base", pure=True).load(TEXTS[file]), dice)
    if file.removesuffix(".yaml") in LISTS:
        dice.shuffle(content)
    out = StringIO()
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.width, yaml.sort_base_mapping_type_on_output = flow, 60, False
    yaml.dump(content, out)
    text = out.getvalue()
    for word in ("true", "false"):
        text = text.replace(f"'{word}'", word)
    return f"# another comment\n{text}"


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6), flow=st.booleans())
def test_comments_order_and_layout_make_no_difference(seed: int, flow: bool) -> None:
    """Any order of keys and items, quotes or none, block or flow, comments or none: the same revision."""
    dice = random.Random(seed)
    again = load_texts({file: _rewritten(file, dice, flow) for file in TEXTS})
    assert canonical(again) == canonical(WHOLE)
    assert revision(again) == revision(WHOLE)


def test_writing_out_a_default_makes_no_difference() -> None:
    """What is meant anyway may be written or left out."""
    text = TEXTS["exchanges.yaml"].replace("  release_after: PT2M", "  max_bytes: 5368709120\n  release_after: PT2M")
    assert revision(load_texts(TEXTS | {"exchanges.yaml": text})) == revision(WHOLE)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("people.yaml", "roles: [auditor]", "roles: [auditor, administrator]"),
        ("exchanges.yaml", "broadcast: true", "broadcast: false"),
        ("exchanges.yaml", "release_after: PT0S", "release_after: PT1S"),
        ("agreement.yaml", "on_overdue: deny", "on_overdue: warn"),
        ("access.yaml", "training_gate: deny", "training_gate: warn"),
        ("members.yaml", "ico: Z0000004", "ico: Z0000014"),
        ("policy.yaml", "2.0.0", "2.0.1"),
        ("exchanges.yaml", "[given_name, family_name,", "[family_name, given_name,"),
    ],
)
def test_another_content_is_another_revision(file: str, old: str, new: str) -> None:
    """Every change of what is said changes the 64 digits; the order of columns says something."""
    assert old in TEXTS[file]
    assert revision(load_texts(TEXTS | {file: TEXTS[file].replace(old, new)})) != revision(WHOLE)


def test_a_revision_is_64_hexadecimal_digits() -> None:
    """SHA-256, in the form that entries and receipts carry."""
    assert len(revision(WHOLE)) == 64
    assert int(revision(WHOLE), 16) > 0
