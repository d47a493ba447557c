"""What is wrong in a policy file and what to write instead: one place, one sentence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from server.domain.agreement import Place
from server.domain.errors import SafehandError


@dataclass(frozen=True, slots=True)
class PolicyProblem:
    """One mistake. `line` and `column` count from 1; `path` is dotted, with ids for items: `people.p-kent-1.roles`."""

    file: str
    line: int
    column: int
    path: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.path}: {self.sentence}"


class PolicyInvalid(SafehandError):
    """The files are no policy set. `errors` lists every problem found, in the order of the files."""

    code = "POLICY_INVALID"

    def __init__(self, errors: Iterable[PolicyProblem]) -> None:
        self.errors = tuple(sorted(set(errors), key=lambda e: (e.file, e.line, e.column, e.path, e.sentence)))
        count = "one problem" if len(self.errors) == 1 else f"{len(self.errors)} problems"
        super().__init__(f"The policy set has {count}. First: {self.errors[0]}")


def problem(place: Place, path: str, sentence: str) -> PolicyProblem:
    """A problem at a place."""
    return PolicyProblem(place.file, place.line, place.column, path, sentence)


def suggestion(wrong: str, known: Iterable[str], *, few: int = 0) -> str:
    """What to write instead: the nearest of the known words, or all of them if they are `few` or none is near."""
    words = sorted(set(known))
    if 1 < len(words) <= few:
        return f"write one of {', '.join(words)}"
    near = get_close_matches(wrong, words, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    if not words:
        return "remove it"
    if len(words) <= 12:
        return f"write {words[0]}" if len(words) == 1 else f"write one of {', '.join(words)}"
    return f"write one of the {len(words)} that are defined, such as {words[0]}"
