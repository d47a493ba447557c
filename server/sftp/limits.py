"""How much one address, one person and one connection may ask of the server. Pure counts; time is an argument.

Nobody is banned: a council's staff share one address, and one colleague's wrong key must not shut out the others.
"""

from __future__ import annotations

from collections import Counter, OrderedDict

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

FREE_FAILURES = 6
FORGET_SECONDS = 300.0
LONGEST_WAIT = 4.0
_REMEMBERED = 10_000


class Gate:
    """Counts who is at the door and who is inside."""

    def __init__(self) -> None:
        self._unknown: Counter[str] = Counter()
        self._inside: Counter[str] = Counter()

    def arrive(self, address: str) -> bool:
        """Whether one more connection that has not logged in may stay. Every True wants a `leave_door`."""
        if self._unknown.total() >= UNKNOWN_IN_ALL or self._unknown[address] >= UNKNOWN_PER_ADDRESS:
            return False
        self._unknown[address] += 1
        return True

    def leave_door(self, address: str) -> None:
        """It logged in, or it went."""
        _less(self._unknown, address)

    def enter(self, person: str) -> bool:
        """Whether the person may have one more connection. Every True wants a `leave`."""
        if self._inside[person] >= PER_PERSON:
            return False
        self._inside[person] += 1
        return True

    def leave(self, person: str) -> None:
        """One of the person's connections ended."""
        _less(self._inside, person)


def _less(counts: Counter[str], key: str) -> None:
    counts[key] -= 1
    if counts[key] <= 0:
        del counts[key]


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
