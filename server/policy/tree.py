"""YAML 1.2 text as a tree of scalars with their places. What could be read in two ways is refused, never guessed.

A duplicate key, an anchor, an alias, a tag, a second document, a tab and an unseen character are problems. A plain
`true`, `false`, `null` or `~` has YAML's meaning (and an empty value is nothing); every other scalar is kept as it is
written (`17:00`, `yes`, `0123`), and the shape decides what it stands for. https://yaml.org/spec/1.2.2/ sections
3.2.1.3 and 10.3.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)
from ruamel.yaml.reader import ReaderError

from server.domain.agreement import Place
from server.policy.problem import PolicyProblem, problem

DEEPEST = 12
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Control, format (bidirectional marks, zero width) and half characters, line separators: they make words lie."""
PLAIN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
         "null": None, "Null": None, "NULL": None, "~": None, "": None}  # fmt: skip


@dataclass(slots=True)
class Leaf:
    """One scalar: its text as it is written, and whether it stands without quotes."""

    text: str
    plain: bool
    at: Place

    @property
    def value(self) -> str | bool | None:
        """The text, or what a plain `true`, `false` or `null` stands for."""
        return PLAIN.get(self.text, self.text) if self.plain else self.text


@dataclass(slots=True)
class Listed:
    """A sequence."""

    items: list[Node]
    at: Place


@dataclass(slots=True)
class Keyed:
    """A mapping; `keys` are the places of its keys, `at` that of the first."""

    items: dict[str, Node]
    keys: dict[str, Place]
    at: Place


Node = Leaf | Listed | Keyed
Loc = tuple[str | int, ...]
NAME = re.compile(r"[a-z0-9-]{1,40}")


class Unreadable(Exception):
    """The rest of the text cannot be read."""


@dataclass(slots=True)
class Reading:
    """One text being read: its events, where we are, what was found wrong."""

    file: str
    events: Iterator[Event]
    path: list[str | int] = field(default_factory=list)
    found: list[tuple[Place, Loc, str]] = field(default_factory=list)

    def place(self, event: Event) -> Place:
        mark = event.start_mark
        return Place(self.file, mark.line + 1, mark.column + 1)

    def note(self, place: Place, sentence: str) -> None:
        self.found.append((place, tuple(self.path), sentence))

    def stop(self, place: Place, sentence: str) -> Unreadable:
        self.note(place, sentence)
        return Unreadable(sentence)

    def problems(self, tree: Node | None, root: str) -> list[PolicyProblem]:
        """What was found, each with the path that people read."""
        named = Keyed({}, {}, Place(self.file, 1, 1)) if tree is None else tree
        return [
            problem(place, ".".join(w for w in (root, label(named, loc)) if w), said) for place, loc, said in self.found
        ]


def read_tree(file: str, text: str, root: str) -> tuple[Node | None, list[PolicyProblem]]:
    """The tree of one file and what is wrong with it; None where it cannot be read to its end.

    `root` is the dotted path that problems of the file start with. Never raises for any text.
    """
    reading = Reading(file, _events(text))
    tree: Node | None = None
    try:
        tree = _document(reading)
    except Unreadable:
        pass
    except ReaderError as error:
        before = text[: error.position]
        place = Place(file, before.count("\n") + 1, error.position - (before.rfind("\n") + 1) + 1)
        reading.note(place, "this character is not allowed in a policy file: remove it")
    except MarkedYAMLError as error:
        reading.note(_marked(file, error), _spoken(error, text))
    except (YAMLError, ValueError, OverflowError):
        reading.note(Place(file, 1, 1), "this is not YAML 1.2: check quotes and indentation")
    return tree, reading.problems(tree, root)


def _events(text: str) -> Iterator[Event]:
    yaml: Any = YAML(typ="safe", pure=True)
    yield from yaml.parse(text)


def _marked(file: str, error: MarkedYAMLError) -> Place:
    mark: Any = error.problem_mark or error.context_mark
    return Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 1, 1)


def _spoken(error: MarkedYAMLError, text: str) -> str:
    what: str = error.problem or ""
    mark: Any = error.problem_mark
    if "\\t" in what or (mark and text[mark.index : mark.index + 1] == "\t"):
        return "a tab is used for indentation: use spaces"
    if "mapping values are not allowed" in what:
        return 'a second ": " on one line, or a wrong indentation: put the value in quotes, or indent it'
    if "found unexpected end of stream" in what or "stream end" in what:
        return "the file ends inside a quote or a bracket: close it"
    if "could not find expected ':'" in what:
        return 'this line is neither "key: value" nor "- item": add the colon, or put the text in quotes'
    return "this is not YAML 1.2: check quotes, brackets and indentation here"


def _document(reading: Reading) -> Node:
    for event in reading.events:
        if isinstance(event, StreamStartEvent):
            continue
        if isinstance(event, StreamEndEvent):
            raise reading.stop(Place(reading.file, 1, 1), "the file is empty: write its content")
        if isinstance(event, DocumentStartEvent):
            if event.version or event.tags:
                raise reading.stop(Place(reading.file, 1, 1), "a % directive is not allowed: remove the line")
            break
    tree = _node(reading, next(reading.events), 0)
    for event in reading.events:
        if isinstance(event, DocumentStartEvent):
            raise reading.stop(reading.place(event), "a second document starts here: keep one a file, remove ---")
        if not isinstance(event, DocumentEndEvent | StreamEndEvent):
            raise reading.stop(reading.place(event), "there is more after the end of the document: remove it")
    return tree


def _node(reading: Reading, event: Event, depth: int) -> Node:
    place = reading.place(event)
    if depth > DEEPEST:
        raise reading.stop(place, f"this is nested more than {DEEPEST} deep: no policy file needs that; flatten it")
    if isinstance(event, AliasEvent):
        reading.note(place, "an alias (*name) is not allowed: write the value out")
        return Leaf("", True, place)
    if getattr(event, "anchor", None):
        reading.note(place, "an anchor (&name) is not allowed: write the value out where it is needed")
    if getattr(event, "tag", None):
        reading.note(place, "a tag (!name) is not allowed: remove it; put the value in quotes if it is text")
    if isinstance(event, ScalarEvent):
        words = str(event.value)
        if any(unicodedata.category(ch) in _UNSEEN and ch not in "\n\t" for ch in words):
            reading.note(place, "a character that nobody can see, or that moves others about, is in it: write it again")
            words = "".join(ch for ch in words if unicodedata.category(ch) not in _UNSEEN)
        return Leaf(words, event.style in (None, ""), place)
    if isinstance(event, SequenceStartEvent):
        return _listed(reading, place, depth)
    if isinstance(event, MappingStartEvent):
        return _keyed(reading, place, depth)
    raise reading.stop(place, "this is not YAML 1.2: check quotes, brackets and indentation here")


def _listed(reading: Reading, place: Place, depth: int) -> Listed:
    items: list[Node] = []
    for event in reading.events:
        if isinstance(event, SequenceEndEvent):
            break
        reading.path.append(len(items))
        items.append(_node(reading, event, depth + 1))
        reading.path.pop()
    return Listed(items, place)


def _keyed(reading: Reading, place: Place, depth: int) -> Keyed:
    found = Keyed({}, {}, place)
    for event in reading.events:
        if isinstance(event, MappingEndEvent):
            break
        key_node = _node(reading, event, depth + 1)
        key = key_node.text if isinstance(key_node, Leaf) else ""
        reading.path.append(key)
        value = _node(reading, next(reading.events), depth + 1)
        if not isinstance(key_node, Leaf):
            reading.note(key_node.at, "a key must be one word, not a list or a block: write key: value")
        elif key in found.items:
            first = found.keys[key].line
            reading.note(key_node.at, f"this key is already there in line {first}: remove one of the two")
        else:
            found.items[key] = value
            found.keys[key] = key_node.at
        reading.path.pop()
    return found


def step(node: Node | None, part: str | int) -> Node | None:
    """The child of a node, None where there is none."""
    if isinstance(node, Keyed) and isinstance(part, str):
        return node.items.get(part)
    if isinstance(node, Listed) and isinstance(part, int) and part < len(node.items):
        return node.items[part]
    return None


def find(root: Node, loc: Loc) -> Node | None:
    """The node at a location."""
    node: Node | None = root
    for part in loc:
        node = step(node, part)
    return node


def key_place(root: Node, loc: Loc) -> Place:
    """Where the key stands that the location ends with; where the thing itself does if it has none."""
    parent, node = find(root, loc[:-1]), find(root, loc)
    if isinstance(parent, Keyed) and loc[-1] in parent.keys:
        return parent.keys[str(loc[-1])]
    return node.at if node is not None else root.at


def walk(node: Node, loc: Loc = ()) -> Iterator[tuple[Loc, Node]]:
    """Every node below, with its location."""
    children: Iterator[tuple[str | int, Node]] = iter(())
    if isinstance(node, Keyed):
        children = iter(node.items.items())
    if isinstance(node, Listed):
        children = iter(enumerate(node.items))
    for part, child in children:
        yield (*loc, part), child
        yield from walk(child, (*loc, part))


def name_of(node: Node | None) -> str | None:
    """The id that an item of a list is known by, if it has one."""
    own = step(node, "id")
    return own.text if isinstance(own, Leaf) and NAME.fullmatch(own.text) else None


def label(root: Node, loc: Loc) -> str:
    """The dotted path that people read: items by their id where they have one, else by their number from 0."""
    node: Node | None = root
    words = []
    for part in loc:
        node = step(node, part)
        words.append((name_of(node) if isinstance(part, int) else None) or str(part))
    return ".".join(words)


def places(root: Node) -> dict[str, Place]:
    """Dotted path -> where it is written, for everything in the tree."""
    found: dict[str, Place] = {}
    below: list[tuple[str, Node]] = [("", root)]
    while below:
        path, node = below.pop()
        for word, child in _named(node):
            inner = f"{path}.{word}" if path else word
            found[inner] = child.at
            below.append((inner, child))
    return found


def _named(node: Node) -> Iterator[tuple[str, Node]]:
    """The children, each by the word that `label` has for it."""
    if isinstance(node, Keyed):
        yield from node.items.items()
    if isinstance(node, Listed):
        for number, item in enumerate(node.items):
            yield name_of(item) or str(number), item
