"""Editors are told what the loader takes: the committed schemas are those of the models, and refuse no shipped file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from server.policy.editor import schemas
from server.policy.load import load_texts, read_texts
from server.policy.revision import revision
from server.policy.tree import Keyed, Leaf, Listed, Node, read_tree

POLICIES = Path(__file__).parents[2] / "policies"
FOLDER = POLICIES / "json-schema"
SETS = [POLICIES / "ccis-v2", POLICIES / "seed-v1"]
FILES = [(folder, name, text) for folder in SETS for name, text in read_texts(folder).items()]
FILES += [(folder, f"cases/{path.name}", path.read_text()) for folder in SETS for path in folder.glob("cases/*.yaml")]
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")


def _read(node: Node | None) -> Any:
    """What an editor makes of YAML 1.2: plain numbers are numbers, everything else is as it stands."""
    match node:
        case Leaf():
            number = node.plain and NUMBER.fullmatch(node.text)
            return json.loads(node.text) if number else node.value
        case Listed():
            return [_read(item) for item in node.items]
        case Keyed():
            return {key: _read(item) for key, item in node.items.items()}
        case None:
            pytest.fail("this file cannot be read")


def complaints(section: str, name: str, text: str) -> list[str]:
    tree, _ = read_tree(name, text, section)
    validator = Draft202012Validator(json.loads(schemas()[f"{section}.json"]))
    return [f"{name}: {error.json_path}: {error.message[:200]}" for error in validator.iter_errors(_read(tree))]


def test_the_committed_schemas_are_those_of_the_models() -> None:
    """`safehand policy schema policies/json-schema` writes what is there already: run it after changing a model."""
    assert {path.name: path.read_text() for path in sorted(FOLDER.iterdir())} == schemas()


@pytest.mark.parametrize(
    ("folder", "name", "text"), FILES, ids=lambda x: x.name if isinstance(x, Path) else str(x)[:40]
)
def test_every_shipped_file_names_its_schema_and_satisfies_it(folder: Path, name: str, text: str) -> None:
    """The first line leads an editor to the schema of the file's section, and the file is right by it."""
    section = name.split("/")[0].removesuffix(".yaml")
    up = "../" * (1 + name.count("/"))
    assert text.splitlines()[0] == f"# yaml-language-server: $schema={up}json-schema/{section}.json"
    assert ((folder / name).parent / f"{up}json-schema/{section}.json").resolve().is_file()
    assert complaints(section, name, text) == []


def test_codes_may_be_quoted_or_plain_for_both() -> None:
    """Without its quotes every code of digits is still text to the loader, and right to the editor."""
    texts = read_texts(SETS[0])
    plain = {name: re.sub(r'"(\d+)"', r"\1", text) for name, text in texts.items()}
    assert plain != texts
    assert revision(load_texts(plain)) == revision(load_texts(texts))
    for name, text in plain.items():
        assert complaints(name.split("/")[0].removesuffix(".yaml"), name, text) == []


def test_every_schema_is_one() -> None:
    """Draft 2020-12, with a name and what each thing means."""
    for text in schemas().values():
        schema = json.loads(text)
        Draft202012Validator.check_schema(schema)
        assert schema["title"].endswith("of a Safehand policy set")
    assert '"description": "One row of the sharing schedule."' in schemas()["exchanges.json"]


@pytest.mark.parametrize(
    ("section", "text", "refused"),
    [
        ("codelists", "id: some\ntitle: Some\nsource: here\ncodes:\n- {code: 110, label: A}\n", ""),
        ("codelists", 'id: some\ntitle: Some\nsource: here\ncodes:\n- {code: "110", label: A}\n', ""),
        ("policy", "id: some\nversion: 2.0\n", ""),
        ("access", "roles: {}\ntraining_gate: maybe\n", "maybe"),
        ("access", "roles: {}\ntrainig_gate: deny\n", "trainig_gate"),
        ("calendars", "id: a\nsource: b\ncovers_from: 1 May\ncovers_until: 2027-01-01\nholidays: []\n", "1 May"),
        ("people", "id: p-kent-1\n", "array"),
        ("exchanges", "- {id: some, title: Some, clause: 1, members: all, release_after: PT2M}\n", ""),
        ("exchanges", "id: some\ntitle: Some\nclause: 1\nmembers: all\nrecurrence: {months: [4, 5]}\n", ""),
    ],
)
def test_an_editor_sees_what_the_loader_sees(section: str, text: str, refused: str) -> None:
    """Codes with quotes or none, one exchange or a list of them; a wrong word, key, date or form is underlined."""
    told = complaints(section, f"{section}.yaml", text)
    assert bool(told) == bool(refused)
    assert not told or any(refused in one for one in told)
