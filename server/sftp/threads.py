"""Where verbs of the exchange wait: looking never waits behind a close that waits for the database or for gpg."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

LOOKS, OPENS, ACTS = 10, 6, 16


def _pool(kind: str, size: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(size, thread_name_prefix=f"sftp-{kind}")


@dataclass(frozen=True, slots=True)
class Threads:
    """Three pools, each for what waits for the same things. The kernel's and the database's share goes to all three."""

    looks: ThreadPoolExecutor = field(default_factory=lambda: _pool("look", LOOKS))
    """Listings, attributes, papers and blocks of envelopes: they write nothing, so that they wait for no writer."""
    opens: ThreadPoolExecutor = field(default_factory=lambda: _pool("open", OPENS))
    """A file begins: gpg is started, a refusal is written down."""
    acts: ThreadPoolExecutor = field(default_factory=lambda: _pool("act", ACTS))
    """Closes, interruptions, renames, removals, notes: each may wait 8 seconds for a database, 120 for a hung gpg."""

    def shutdown(self) -> None:
        """Nothing more begins; what runs is not waited for."""
        for pool in (self.looks, self.opens, self.acts):
            pool.shutdown(wait=False, cancel_futures=True)
