"""The mailbox as a tree of names, computed from what the exchange shows this visitor. Nothing in it is a real path.

A path is taken apart once, here, into its components; everything behind it sees only those.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from server.domain.errors import Missing, Refused
from server.exchange.sessions import Visitor
from server.sftp.wire import PATH_BYTES

if TYPE_CHECKING:
    from server.exchange import Exchange
    from server.exchange.documents import Paper

PARTS = 32
"""The deepest path that is looked at."""
NAME_BYTES = 255


@dataclass(frozen=True, slots=True)
class Path:
    """Where a request points: its components from the root, as the client sent them. `..` has been walked already."""

    parts: tuple[bytes, ...]

    @classmethod
    def parse(cls, raw: bytes) -> Path:
        """The components of a path, absolute or not. Raises Refused when it is too long to be one of ours."""
        if len(raw) > PATH_BYTES:
            raise Refused("This path is longer than any folder here: choose a shorter name.", code="PATH")
        parts: list[bytes] = []
        for part in raw.split(b"/"):
            if part == b"..":
                del parts[-1:]
            elif part not in (b"", b"."):
                parts.append(part)
        if len(parts) > PARTS:
            raise Refused("This path is deeper than any folder here.", code="PATH")
        return cls(tuple(parts))

    @property
    def canonical(self) -> bytes:
        """The path from the root, as realpath answers it."""
        return b"/" + b"/".join(self.parts)

    @property
    def name(self) -> bytes:
        """The last component, exactly as sent; empty for the root."""
        return self.parts[-1] if self.parts else b""

    @property
    def folder(self) -> tuple[str, ...]:
        """The components before the last. Raises Missing when one of them cannot be the name of a folder here."""
        return tuple(word(part) for part in self.parts[:-1])

    @property
    def words(self) -> tuple[str, ...]:
        """All components as text. Raises Missing when one of them cannot be a name here."""
        return tuple(word(part) for part in self.parts)


def word(part: bytes) -> str:
    """A component as text in NFC. Raises Missing: not UTF-8, a control character, a backslash, too long."""
    try:
        said = unicodedata.normalize("NFC", part.decode())
    except UnicodeDecodeError:
        raise Missing from None
    if len(part) > NAME_BYTES or "\\" in said or any(unicodedata.category(letter) == "Cc" for letter in said):
        raise Missing
    return said


@dataclass(frozen=True, slots=True)
class Node:
    """One name in the tree: a folder, a small paper, a sealed delivery, or a file that was sent."""

    name: str
    at: datetime
    size: int = 0
    folder: bool = False
    puts: bool = False
    """A folder where this visitor may put files."""
    paper: Paper | None = None
    delivery: str | None = None

    @property
    def mode(self) -> int:
        """POSIX mode: folders are rwx where one may put and r-x elsewhere, sent files cannot be read back."""
        if self.folder:
            return 0o40700 if self.puts else 0o40500
        return 0o100400 if self.paper or self.delivery else 0o100200


class Tree:
    """What one visitor sees in one session. Every method may block: the exchange reads its database."""

    def __init__(self, exchange: Exchange, visitor: Visitor) -> None:
        self._exchange, self._visitor, self._views = exchange, visitor, exchange.views
        self._began = exchange.now()
        self._root_papers: tuple[Paper, ...] | None = None
        self._papers: dict[str, Callable[[Visitor], Iterable[Paper]]] = {
            "receipts": self._views.receipts,
            "certificates": self._views.certificates,
            "refused": self._views.refused,
            "templates": self._views.templates,
        }
        if not visitor.put_only:
            self._papers |= {"attest": self._views.attest, "link": self._views.link}

    def look(self, path: Path) -> Node:
        """The node at `path`. Raises Missing: what is not there and what is another's are the same."""
        words = path.words
        if not words:
            return self._folder("")
        if words[0] == "outbox" and len(words) > 3:
            return self._in_outbox(path, words)
        wanted = words[-1]
        for node in self._children(words[:-1]):
            if node.name == wanted:
                return node
        raise Missing

    def listing(self, path: Path) -> Sequence[Node]:
        """What a folder holds. Raises Missing when there is no such folder."""
        words = path.words
        if words and not self.look(path).folder:
            raise Missing("This is a file, not a folder.")
        return self._children(words)

    def is_folder(self, path: Path) -> bool:
        """Whether a folder of this name is there."""
        try:
            words = path.words
            if words[:1] != ("outbox",) or len(words) < 4:
                return self.look(path).folder
            known = len(words) == 4 and words[3] in self._views.outbox_folders(self._visitor, words[1])
            return known and self.look(Path(path.parts[:3])).folder
        except Missing:
            return False

    def _folder(self, name: str, *, puts: bool = False) -> Node:
        return Node(name, self._began, folder=True, puts=puts)

    def _children(self, words: tuple[str, ...]) -> Sequence[Node]:
        if not words:
            return self._root()
        top, rest = words[0], words[1:]
        if top in self._papers and not rest:
            return [_of_paper(paper) for paper in self._papers[top](self._visitor)]
        if top == "outbox":
            return self._outbox(rest)
        if top == "inbox" and not self._visitor.put_only:
            return self._inbox(rest)
        if top == "keys" and not self._visitor.put_only:
            return self._keys(rest)
        raise Missing

    def _root(self) -> Sequence[Node]:
        if self._root_papers is None:
            self._root_papers = tuple(self._views.root(self._visitor))
        tops = ["outbox", *self._papers]
        if not self._visitor.put_only:
            tops += ["inbox", "keys"]
        folders = [self._folder(top, puts=top == "attest") for top in sorted(tops)]
        return [*(_of_paper(paper) for paper in self._root_papers), *folders]

    def _outbox(self, rest: tuple[str, ...]) -> Sequence[Node]:
        views, visitor = self._views, self._visitor
        exchanges = views.outbox_exchanges(visitor)
        if not rest:
            return [self._folder(exchange) for exchange in exchanges]
        exchange, *below = rest
        if exchange not in exchanges:
            raise Missing
        periods = views.outbox_periods(visitor, exchange)
        if not below:
            return [self._folder(period, puts=True) for period in periods]
        period, *below = below
        if period not in periods:
            raise Missing
        folders = views.outbox_folders(visitor, exchange)
        if not below:
            return [*(self._folder(name, puts=True) for name in folders), *self._sent(exchange, period, "")]
        folder, *below = below
        if folder not in folders or below:
            raise Missing
        return self._sent(exchange, period, folder)

    def _sent(self, exchange: str, period: str, folder: str) -> list[Node]:
        return [
            Node(sent.name, sent.at, sent.size) for sent in self._views.sent(self._visitor, exchange, period, folder)
        ]

    def _in_outbox(self, path: Path, words: tuple[str, ...]) -> Node:
        received = self._exchange.uploads.size(self._visitor, words[1:-1], path.name)
        if received is not None:
            return Node(words[-1], self._exchange.now(), received)
        wanted = words[-1]
        for node in self._outbox(words[1:-1]):
            if unicodedata.normalize("NFC", node.name) == wanted:
                return node
        raise Missing

    def _inbox(self, rest: tuple[str, ...]) -> Sequence[Node]:
        places = self._views.inbox(self._visitor)
        if len(rest) < 3:
            found = dict.fromkeys(place[len(rest)] for place in places if place[: len(rest)] == rest)
            if rest and not found:
                raise Missing
            return [self._folder(name) for name in found]
        if len(rest) > 3 or rest not in places:
            raise Missing
        files = self._views.inbox_files(self._visitor, *rest)
        return [Node(f.name, f.at, f.size, paper=f.paper, delivery=None if f.paper else f.delivery) for f in files]

    def _keys(self, rest: tuple[str, ...]) -> Sequence[Node]:
        if not rest:
            papers = [_of_paper(paper) for paper in self._views.keys(self._visitor)]
            return [*papers, self._folder("members"), self._folder("mine", puts=True)]
        if rest == ("members",):
            return [_of_paper(paper) for paper in self._views.member_keys(self._visitor)]
        if rest == ("mine",):
            return [_of_paper(paper) for paper in self._views.my_keys(self._visitor)]
        raise Missing


def _of_paper(paper: Paper) -> Node:
    return Node(paper.name, paper.at, paper.size, paper=paper)
