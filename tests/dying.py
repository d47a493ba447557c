"""A process that begins a disposal and is killed at a named point of it. Run by the tests as a program of its own."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from sqlalchemy import event

from server.exchange import Exchange
from server.seal.exchange_key import ExchangeKey
from server.store import Spool

POINTS = (
    "before-the-purge-is-committed", "before-the-bytes-are-unlinked", "after-the-bytes-are-unlinked",
    "before-it-is-finished", "at-the-first-signature", "at-the-second-signature",
    "before-the-certificate-is-committed", "after-the-certificate-is-committed",
)  # fmt: skip
TEMPLATES = Path(__file__).parent.parent / "templates"


def die(*_: object) -> None:
    """As `kill -9` does it: nothing is closed, nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


class DyingSpool(Spool):
    """A spool whose process is killed when bytes are to go, or have gone."""

    def __init__(self, folder: Path, point: str) -> None:
        super().__init__(folder)
        self._point = point

    def remove(self, blob: str) -> None:
        if self._point == "before-the-bytes-are-unlinked":
            die()
        super().remove(blob)
        if self._point == "after-the-bytes-are-unlinked":
            die()


class DyingKey:
    """The exchange's key, whose process is killed at the n-th signature."""

    def __init__(self, key: ExchangeKey, last: int) -> None:
        self._key, self._left = key, last

    def sign_detached(self, data: bytes) -> bytes:
        self._left -= 1
        if self._left == 0:
            die()
        return self._key.sign_detached(data)

    def __getattr__(self, name: str) -> object:
        return getattr(self._key, name)


def main(data: Path, url: str, point: str) -> None:
    """Begin and finish what is due, as the server's ticks do, as far as `point`."""
    exchange = Exchange.open(data, database_url=url, templates=TEMPLATES)
    ground = exchange.ground
    ground.spool = DyingSpool(data / "spool", point)
    signatures = {"at-the-first-signature": 1, "at-the-second-signature": 2}
    if point in signatures:
        ground.key = DyingKey(ground.key, signatures[point])  # type: ignore[assignment]
    if point == "before-the-purge-is-committed":
        event.listen(ground.store.engine, "commit", die)
    exchange.retention.clear_due()
    if point == "before-it-is-finished":
        die()
    if point == "before-the-certificate-is-committed":
        event.listen(ground.store.engine, "commit", die)
    exchange.disposal.finish()
    die()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
