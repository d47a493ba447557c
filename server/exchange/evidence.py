"""The ledger as anybody may check it: every entry against the one before, and the last against the head."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from server.domain import ledger
from server.domain.errors import Refused
from server.exchange.ground import Ground

_EVERY = 10_000


@dataclass(frozen=True, slots=True)
class Verified:
    """A ledger that holds: how many entries, and the last one's hash."""

    entries: int
    head: str


class Evidence:
    """Reads and verifies the ledger."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def entries(self, after: int = -1) -> Iterator[ledger.Entry]:
        """Every entry after that number, in order."""
        return self._ground.store.entries(after)

    def head(self) -> Verified:
        """Number and hash of the last entry, as the head row has them."""
        number, digest, _ = self._ground.store.head()
        return Verified(number, digest)

    def verify(self, progress: Callable[[int], None] | None = None) -> Verified:
        """Raises Refused that names the first entry that does not hold. `progress` is called every 10,000 entries."""
        number, digest, _ = self._ground.store.head()
        previous, count = ledger.GENESIS, 0
        for entry in self._ground.store.entries():
            if count == number:
                number, digest, _ = self._ground.store.head()
                if count == number:
                    raise _broken(f"entry {count + 1} is not known to the head, which ends at {number}")
            count += 1
            fault = ledger.fault(entry, number=count, previous=previous)
            if fault is not None:
                raise _broken(fault)
            previous = entry.hash
            if progress is not None and count % _EVERY == 0:
                progress(count)
            if count == number and entry.hash != digest:
                raise _broken(f"entry {count} is not the one that the head names")
        if count < number:
            raise _broken(f"entry {count + 1} is missing: the head says that there are {number}")
        return Verified(count, previous)


def _broken(fault: str) -> Refused:
    return Refused(f"The ledger does not hold: {fault}.", code="LEDGER_BROKEN")
