"""How much one address, one person and one connection may ask of the server. Pure counts; time is an argument.

Nobody is banned, and nobody is kept out by who came before: a council's staff share one address, so that one
colleague's wrong key, or a program that only connects, must not shut out the others.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

UNKNOWN_IN_ALL = 200
"""Connections that have not logged in yet, over all addresses."""
UNKNOWN_PER_ADDRESS = 64
PER_PERSON = 20
CHANNELS = 10
TRIES = 6
"""Keys that one connection may offer."""
ROUNDS = 40
"""Log-in messages of any kind on one connection: each offered key takes up to three."""
LOGIN_SECONDS = 20
IDLE_SECONDS = 15 * 60.0
UNWRITTEN_SECONDS = 10 * 60.0
"""How long an upload may stay open without a write, whatever else is heard on its connection."""

FREE_FAILURES = 6
FORGET_SECONDS = 300.0
LONGEST_WAIT = 4.0
_REMEMBERED = 10_000


Guest = TypeVar("Guest", bound=Hashable)


class Gate(Generic[Guest]):
    """Who is at the door, in the order in which they came, and how many connections each person has inside."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[Guest, None]] = {}
        self._inside: Counter[str] = Counter()

    def arrive(self, address: str, guest: Guest) -> Guest | None:
        """One more that has not logged in; every guest wants a `leave_door`. Who must go for it when the door is full.

        At an address's limit that is the address's own oldest: a log-in takes a moment, and what waits longer says
        nothing. At the limit of all it is the oldest of the address with the most, so that few cannot keep out many.
        """
        there = self._waiting.setdefault(address, {})
        there[guest] = None
        oldest = None
        if len(there) > UNKNOWN_PER_ADDRESS:
            oldest = (address, next(iter(there)))
        elif sum(map(len, self._waiting.values())) > UNKNOWN_IN_ALL:
            crowded = max(self._waiting, key=lambda one: len(self._waiting[one]))
            oldest = (crowded, next(iter(self._waiting[crowded])))
        if oldest is None:
            return None
        self.leave_door(*oldest)
        return oldest[1]

    def leave_door(self, address: str, guest: Guest) -> None:
        """It logged in, or it went; nothing happens when it had left already."""
        there = self._waiting.get(address, {})
        there.pop(guest, None)
        if not there:
            self._waiting.pop(address, None)

    def enter(self, person: str) -> bool:
        """Whether the person may have one more connection. Every True wants a `leave`."""
        if self._inside[person] >= PER_PERSON:
            return False
        self._inside[person] += 1
        return True

    def leave(self, person: str) -> None:
        """One of the person's connections ended."""
        self._inside[person] -= 1
        if self._inside[person] <= 0:
            del self._inside[person]


class Throttle:
    """Slows down log-ins of one (address, user) after failures; the others of the address notice nothing."""

    def __init__(self) -> None:
        self._failures: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()

    def wait(self, address: str, user: str, now: float) -> float:
        """Seconds to wait before the next answer: none for the first failures, then doubling up to four seconds."""
        count, last = self._failures.get((address, user), (0, now))
        if now - last > FORGET_SECONDS or count < FREE_FAILURES:
            return 0.0
        return min(0.25 * 2.0 ** min(count - FREE_FAILURES, 10), LONGEST_WAIT)

    def failed(self, address: str, user: str, now: float) -> None:
        """A key was refused."""
        count, last = self._failures.pop((address, user), (0, now))
        self._failures[address, user] = (1 if now - last > FORGET_SECONDS else count + 1, now)
        while len(self._failures) > _REMEMBERED:
            self._failures.popitem(last=False)

    def succeeded(self, address: str, user: str) -> None:
        """The user logged in from there: earlier failures were mistakes."""
        self._failures.pop((address, user), None)
