"""A directory of policy files is a whole policy set or no set at all: every problem is told, none is repaired."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from server.domain.agreement import Place, PolicySet
from server.policy.problem import PolicyInvalid, PolicyProblem, problem, suggestion
from server.policy.public_keys import weak_keys
from server.policy.reference import contradictions, unresolved
from server.policy.shape import shaped
from server.policy.tree import Keyed, Listed, Node, read_tree

__all__ = ["PolicyInvalid", "PolicyProblem", "load", "load_texts", "read_texts", "set_of", "tree_of"]

REQUIRED = (
    "policy.yaml", "agreement.yaml", "members.yaml", "people.yaml", "exchanges.yaml", "access.yaml", "retention.yaml",
)  # fmt: skip
OPTIONAL = (
    "schemas.yaml", "codelists.yaml", "mappings.yaml", "calendars.yaml", "breach.yaml", "rights.yaml",
    "notifications.yaml", "keys.yaml", "waivers.yaml", "source.yaml",
)  # fmt: skip
FILES = REQUIRED + OPTIONAL
LISTS = ("members", "people", "exchanges", "schemas", "codelists", "mappings", "calendars", "waivers")
FOLDERS = ("members", "exchanges", "schemas", "codelists", "mappings", "calendars")
"""What may stand in one file, or one item a file in a folder of that name."""
NO_PART = ("cases",)
"""Folders beside the set that say what is expected of it."""
LARGEST = 2 * 1024 * 1024
TOO_LARGE = f"this file is over {LARGEST // 1024 // 1024} MiB: split or shorten it"


def load(directory: Path) -> PolicySet:
    """The policy set of a directory. Raises PolicyInvalid, its errors naming the files as `directory/…`."""
    try:
        return load_texts(read_texts(directory))
    except PolicyInvalid as invalid:
        raise PolicyInvalid(replace(e, file=str(directory / e.file)) for e in invalid.errors) from None


def load_texts(files: Mapping[str, str]) -> PolicySet:
    """The policy set of {file name relative to the set: text}: the same as `load` of a directory with these files.

    Raises PolicyInvalid with every problem of every file.
    """
    root, unread, found = _tree(files)
    return _whole(root, unread, found)


def tree_of(files: Mapping[str, str]) -> Keyed:
    """All files as one tree, its sections in one block; `set_of` makes a set of it. Raises PolicyInvalid."""
    root, _, found = _tree(files)
    if found:
        raise PolicyInvalid(found)
    return root


def set_of(root: Keyed) -> PolicySet:
    """The policy set of a tree, which may have been changed since it was read. Raises PolicyInvalid."""
    return _whole(root, frozenset(), [])


def _tree(files: Mapping[str, str]) -> tuple[Keyed, frozenset[str], list[PolicyProblem]]:
    strange = [problem(Place(name, 1, 1), "(file)", _unknown_file(name)) for name in files if not _is_known(name)]
    root, unread, found = _root({name: text for name, text in files.items() if _is_known(name)})
    return root, unread, strange + found


def _whole(root: Keyed, unread: frozenset[str], found: list[PolicyProblem]) -> PolicySet:
    policy, problems = shaped(root, unread)
    found = found + problems
    found += unresolved(root, unread)
    found += weak_keys(root)
    found += contradictions(policy) if policy else []
    if found or policy is None:
        raise PolicyInvalid(_first_of_each_place(found))
    return policy


def read_texts(directory: Path) -> dict[str, str]:
    """The set's files as {relative name: text}: known names, UTF-8, up to 2 MiB each, none from outside the directory.

    Files that are not YAML (a change log, a read-me) and hidden ones are no part of the set. Raises PolicyInvalid.
    """
    if not directory.is_dir():
        raise PolicyInvalid([problem(Place("", 1, 1), "(directory)", "there is no such directory: name another")])
    texts: dict[str, str] = {}
    found: list[PolicyProblem] = []
    for path in _candidates(directory):
        name = path.relative_to(directory).as_posix()
        outcome = _content(directory, path) if _is_known(name) else _unknown_file(name)
        text = _decoded(name, outcome) if isinstance(outcome, bytes) else problem(Place(name, 1, 1), "(file)", outcome)
        if isinstance(text, PolicyProblem):
            found.append(text)
        else:
            texts[name] = text
    if found:
        raise PolicyInvalid(found)
    return texts


def _first_of_each_place(found: list[PolicyProblem]) -> list[PolicyProblem]:
    """One mistake is told once: the later checks see what an earlier one has told already."""
    places: dict[tuple[str, int, int, str], PolicyProblem] = {}
    for one in found:
        places.setdefault((one.file, one.line, one.column, one.path), one)
    return list(places.values())


def _candidates(directory: Path) -> list[Path]:
    """Everything that is, or looks as if it were meant to be, a file of the set."""
    inner = [p for p in sorted(directory.iterdir()) if p.is_dir() and p.name not in NO_PART]
    folders = [directory, *(p for p in inner if not p.name.startswith("."))]
    paths = [path for folder in folders for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    return [path for path in paths if path.suffix.lower() in (".yaml", ".yml") and not path.is_dir()]


def _content(directory: Path, path: Path) -> bytes | str:
    """The file's bytes, or why it is not read."""
    try:
        real = path.resolve()
    except (OSError, RuntimeError):  # RuntimeError: Python 3.11 and 3.12 on a link that leads to itself
        return "this link leads nowhere: put the file itself here"
    if not real.is_relative_to(directory.resolve()):
        return "this is a link to a file outside the policy set: put the file itself here"
    if not path.is_file():
        return "this is not a plain file: put a text file here"
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    return content if len(content) <= LARGEST else TOO_LARGE


def _decoded(name: str, content: bytes) -> str | PolicyProblem:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        return problem(Place(name, line, column), "(file)", "this is not UTF-8: save the file as UTF-8")


def _is_known(name: str) -> bool:
    folder, _, rest = name.rpartition("/")
    return name in FILES or (folder in FOLDERS and rest.endswith(".yaml") and not rest.startswith("."))


def _unknown_file(name: str) -> str:
    return f"no file of a policy set has this name: {suggestion(name, FILES)}"


def _root(files: Mapping[str, str]) -> tuple[Keyed, frozenset[str], list[PolicyProblem]]:
    """All files as one tree, the sections that are not whole, and what is wrong so far."""
    found: list[PolicyProblem] = []
    unread: set[str] = set()
    sections: dict[str, Node] = {}
    for name in sorted(files):
        section = name.split("/")[0].removesuffix(".yaml")
        tree, problems = _file(name, files[name], section)
        found += problems
        if tree is None:
            unread.add(section)
        elif section in sections:
            sections[section] = _joined(sections[section], tree)
        else:
            sections[section] = tree
    for name in REQUIRED:
        section = name.removesuffix(".yaml")
        if section not in sections and section not in unread:
            found.append(problem(Place(name, 1, 1), section, f"the file {name} is missing: write it"))
            unread.add(section)
    start = Place("policy.yaml", 1, 1)
    return Keyed(sections, {section: node.at for section, node in sections.items()}, start), frozenset(unread), found


@lru_cache(maxsize=128)
def _file(name: str, text: str, section: str) -> tuple[Node | None, tuple[PolicyProblem, ...]]:
    """One file's tree, which nobody changes, and what is wrong in it: a change reads only the files that changed."""
    if len(text.encode("utf-8", "replace")) > LARGEST:
        return None, (problem(Place(name, 1, 1), section, TOO_LARGE),)
    tree, found = read_tree(name, text, section)
    if tree is None:
        return None, tuple(found)
    if "/" in name:
        tree = Listed([tree], tree.at)
    wanted = Listed if section in LISTS else Keyed
    if not isinstance(tree, wanted):
        form = 'a list of "- id: …" items' if wanted is Listed else '"key: value" lines'
        return None, (*found, problem(tree.at, section, f"this file must be {form}"))
    return tree, tuple(found)


def _joined(first: Node, more: Node) -> Node:
    if isinstance(first, Listed) and isinstance(more, Listed):
        return Listed([*first.items, *more.items], first.at)
    return first
