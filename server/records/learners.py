"""One ULN for two people is refused (rule 907): what was seen is kept as small numbers, in memory with a bound."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

SMALLEST, LARGEST = 2**12, 2**22
"""Slots of eight bytes: 32 KiB at first, doubled as it fills, 32 MiB and some three million learners at most."""
_IDENTITY_BITS = 34
_SPREAD = 0x9E3779B1


class Learners:
    """Remembers for each ULN a digest of who had it first. Beyond its bound it goes on comparing, and learns no more.

    A slot is the ULN's first nine digits (the tenth follows from them) and 34 bits of the person's digest: two people
    look alike once in 17,000 million pairs.
    """

    __slots__ = ("_mask", "_slots", "full", "used")

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * SMALLEST))
        self._mask = SMALLEST - 1
        self.used = 0
        self.full = False
        """Whether the bound was passed, so that later learners were compared with the earlier ones only."""

    def others(self, pairs: Iterable[tuple[str, int]]) -> list[int]:
        """Positions of the pairs (valid ULN, digest of the person) whose ULN somebody else had before.

        An empty ULN is passed over.
        """
        found, slots, mask, low = [], self._slots, self._mask, 2**_IDENTITY_BITS - 1
        for place, (uln, person) in enumerate(pairs):
            if not uln:
                continue
            number, person = int(uln[:9]), person & low
            at = (number * _SPREAD >> 7) & mask
            while (slot := slots[at]) and slot >> _IDENTITY_BITS != number:
                at = (at + 1) & mask
            if slot:
                if slot & low != person:
                    found.append(place)
            elif not self.full:
                slots[at] = number << _IDENTITY_BITS | person
                self.used += 1
                if self.used * 4 > mask * 3:
                    self._grow()
                    slots, mask = self._slots, self._mask
        return found

    def _grow(self) -> None:
        if len(self._slots) >= LARGEST:
            self.full = True
            return
        old, self._mask = self._slots, len(self._slots) * 2 - 1
        self._slots = array("Q", bytes(8 * (self._mask + 1)))
        for slot in old:
            if slot:
                at = ((slot >> _IDENTITY_BITS) * _SPREAD >> 7) & self._mask
                while self._slots[at]:
                    at = (at + 1) & self._mask
                self._slots[at] = slot
