"""One content, one revision, however it is written; another content, another revision."""

from __future__ import annotations

import random
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from server.domain.agreement.canonical import UNORDERED
from server.policy.load import load_texts, read_texts
from server.policy.revision import canonical, revision

TEXTS = read_texts(Path(__file__).parents[2] / "policies" / "ccis-v2")
WHOLE = load_texts(TEXTS)
A1, COLUMNS = "exchanges/a1-post16-destinations.yaml", "schemas/post16-destinations.yaml"
NUMBER = re.compile(r"'(0|[1-9][0-9]*)'")


def _shuffled(value: Any, dice: random.Random, key: str) -> Any:
    """Keys in another order, and the items of lists whose order says nothing."""
    if isinstance(value, dict):
        keys = list(value)
        dice.shuffle(keys)
        return {name: _shuffled(value[name], dice, "roles" if key == "roles" else name) for name in keys}
    if isinstance(value, list):
        items = [_shuffled(item, dice, "") for item in value]
        if key in UNORDERED:
            dice.shuffle(items)
        return items
    return value


def _rewritten(file: str, dice: random.Random, flow: bool) -> str:
    """The same content without comments, in another order of keys and items and another layout."""
    content = _shuffled(YAML(typ="base", pure=True).load(TEXTS[file]), dice, file.removesuffix(".yaml"))
    out = StringIO()
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.width, yaml.sort_base_mapping_type_on_output = flow, 60, False
    yaml.dump(content, out)
    text = out.getvalue()
    for word in ("true", "false"):
        text = text.replace(f"'{word}'", word)
    text = NUMBER.sub(r"\1", text)
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
    text = TEXTS[A1].replace("release_after: PT2M", "max_bytes: 5368709120\nrelease_after: PT2M")
    assert revision(load_texts(TEXTS | {A1: text})) == revision(WHOLE)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("people.yaml", "roles: [auditor]", "roles: [auditor, administrator]"),
        ("exchanges/trial.yaml", "broadcast: true", "broadcast: false"),
        ("exchanges/trial.yaml", "release_after: PT0S", "release_after: PT1S"),
        ("agreement.yaml", "on_overdue: deny", "on_overdue: warn"),
        ("access.yaml", "training_gate: deny", "training_gate: warn"),
        ("members.yaml", "ico: Z0000004", "ico: Z0000014"),
        ("policy.yaml", "2.1.0", "2.1.1"),
        (COLUMNS, "name: uln, type: uln", "name: upn, type: upn"),
        ("calendars/england-and-wales.yaml", "- 2026-04-06\n", ""),
        (A1, "to: 5", "to: 4"),
    ],
)
def test_another_content_is_another_revision(file: str, old: str, new: str) -> None:
    """Every change of what is said changes the 64 digits; a column, a holiday and a day of the window among it."""
    assert old in TEXTS[file]
    assert revision(load_texts(TEXTS | {file: TEXTS[file].replace(old, new)})) != revision(WHOLE)


def test_a_revision_is_64_hexadecimal_digits() -> None:
    """SHA-256, in the form that entries and receipts carry."""
    assert len(revision(WHOLE)) == 64
    assert int(revision(WHOLE), 16) > 0
