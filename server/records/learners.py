"""One ULN for two people is refused (rule 907): what was seen is kept as small numbers, in memory with a bound."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

SMALLEST, LARGEST = 2**13, 2**22
"""Slots of eight bytes: 64 KiB at first, four times as many as it fills, 32 MiB for three million learners at most."""
_DIGEST = 2**32 - 1


class Learners:
    """Remembers for each ULN a digest of who had it first. Beyond its bound it goes on comparing, and learns no more.

    A slot is the ULN's first nine digits (the tenth follows from them) and 32 bits of the person's digest: of two
    people with the same ULN, one pair in 4,000 million looks alike.
    """

    __slots__ = ("_numbers", "_people", "full", "used")

    def __init__(self) -> None:
        self._numbers = array("I", bytes(4 * SMALLEST))
        self._people = array("I", bytes(4 * SMALLEST))
        self.used = 0
        self.full = False
        """Whether the bound was passed, so that later learners were compared with the earlier ones only."""

    def others(self, pairs: Iterable[tuple[str, int]]) -> list[int]:
        """Positions of the pairs (valid ULN, digest of the person) whose ULN somebody else had before.

        An empty ULN is passed over.
        """
        found, numbers, people = [], self._numbers, self._people
        size = len(numbers)
        room = size * 3 // 4 - self.used
        for place, (uln, person) in enumerate(pairs):
            if not uln:
                continue
            number = int(uln[:9])
            at = number % (size - 1)
            while (seen := numbers[at]) and seen != number:
                at = at + 1 if at + 1 < size else 0
            if seen:
                if people[at] != person & _DIGEST:
                    found.append(place)
            elif room > 0:
                numbers[at], people[at] = number, person & _DIGEST
                room -= 1
                if not room:
                    self.used = size * 3 // 4
                    self._grow()
                    numbers, people = self._numbers, self._people
                    size = len(numbers)
                    room = size * 3 // 4 - self.used
        self.used = size * 3 // 4 - room
        return found

    def _grow(self) -> None:
        if len(self._numbers) >= LARGEST:
            self.full = True
            return
        old = zip(self._numbers, self._people, strict=True)
        size = min(len(self._numbers) * 4, LARGEST)
        numbers, people = array("I", bytes(4 * size)), array("I", bytes(4 * size))
        for number, person in old:
            if number:
                at = number % (size - 1)
                while numbers[at]:
                    at = at + 1 if at + 1 < size else 0
                numbers[at], people[at] = number, person
        self._numbers, self._people = numbers, people
