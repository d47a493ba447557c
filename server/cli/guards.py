"""One server a data folder, and no private key that everybody can read: looked at before anything is opened."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from server.domain.errors import Misconfigured
from server.settings import Settings, SettingsInvalid, refuse_open_secrets


@contextlib.contextmanager
def only_server(data: Path) -> Iterator[None]:
    """Hold the data folder for this process alone. Raises Misconfigured when another server has it."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (data / "serve.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Misconfigured(
                "Another Safehand server is running on this data folder: end it first, or choose another with --data.",
                code="RUNNING",
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def running_server(data: Path) -> bool:
    """Whether a server holds the data folder now."""
    try:
        with (data / "serve.lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def require_safe(settings: Settings) -> None:
    """Raises Misconfigured when everybody can read a private key of the data folder, or one that the settings name."""
    try:
        refuse_open_secrets(settings)
    except SettingsInvalid as error:
        raise Misconfigured(error.sentence) from error
    for folder in ("secrets", "ssh"):
        for path in sorted((settings.data / folder).rglob("*")):
            open_to_all = path.is_file() and path.stat().st_mode & 0o007
            if open_to_all and path.suffix != ".pub":
                raise Misconfigured(
                    f"Everybody can read a private file of the data folder: run `chmod -R o= {folder}` there.",
                    code="OPEN_SECRET",
                )
