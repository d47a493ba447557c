"""How gpg is run here: through python-gnupg, never a shell, no options file, a small environment, and it can be ended.

One private name of python-gnupg is used, `_open_subprocess`: its public interface gives nobody the running process, so
a hung or unwanted gpg could not be ended. The flow tests of the seal prove it against the pinned version.
"""

from __future__ import annotations

import copy
import fcntl
import logging
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gnupg

from server.domain.errors import SafehandError

BUFFER = 1024 * 1024
"""Bytes that python-gnupg moves at a time: 163 MiB/s against 139 with its default of 16 KiB."""

PIPE = 1024 * 1024
"""Bytes asked for in each pipe to gpg; the kernel's default of 64 KiB wakes both sides too often."""

OPTIONS = (
    "--no-options",
    "--no-random-seed-file",
    "--trust-model",
    "always",
    "--no-auto-key-locate",
    "--exit-on-status-write-error",
)

logging.getLogger("gnupg").setLevel(
    logging.CRITICAL
)  # it logs command lines and tracebacks; the result is judged by us


class SealError(SafehandError):
    """A consignment could not be sealed, or a key could not be made or used. Nothing is kept or goes on running."""

    code = "SEAL"


class Gpg(gnupg.GPG):  # type: ignore[misc]  # python-gnupg has no types
    """One home and its keyrings. `one_run` gives a copy for a single operation, which may be ended at any time."""

    def __init__(self, home: Path, *, keyrings: Sequence[Path] = (), options: Sequence[str] = ()) -> None:
        """Raises SealError when there is no gpg to run."""
        self._running: subprocess.Popen[bytes] | None = None
        self._ended = False
        self._turn = threading.Lock()
        try:
            super().__init__(
                gnupghome=str(home),
                keyring=[str(path) for path in keyrings] or None,
                options=[*OPTIONS, *options],
                env={"PATH": os.pathsep.join(os.get_exec_path()), "LC_ALL": "C.UTF-8"},
                encoding="utf-8",
            )
        except (OSError, ValueError) as fault:
            raise SealError(
                "gpg does not run on this machine: install GnuPG 2.2 or later.", code="GPG_MISSING"
            ) from fault
        self.buffer_size = BUFFER

    def one_run(self, on_data: Callable[[bytes], bool] | None = None) -> Gpg:
        """The same arrangement for one operation. `on_data` gets gpg's output in pieces and must return False."""
        run: Gpg = copy.copy(self)
        run._running, run._ended, run._turn = None, False, threading.Lock()
        run.on_data = on_data
        return run

    def end(self) -> None:
        """Kill this run's gpg now, or as soon as it starts. From any thread, as often as wanted; does not wait."""
        with self._turn:
            self._ended = True
            running = self._running
        if running is not None:
            running.kill()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """End this run's gpg when the block takes longer than `seconds`."""
        timer = threading.Timer(seconds, self.end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _open_subprocess(self, args: list[str], passphrase: bool = False) -> subprocess.Popen[bytes]:
        with self._turn:
            running = subprocess.Popen(
                self.make_args(args, passphrase),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self.env,
                process_group=0,  # a Ctrl-C on the server's terminal is for the server
            )
            self._running = running
            unwanted = self._ended
        if unwanted:
            running.kill()
        _widen(running.stdin, running.stdout)
        return running


def stderr_of(result: Any) -> str:
    """What gpg said, status lines included; empty when it never came to speak."""
    return str(getattr(result, "stderr", ""))


def _widen(*pipes: Any) -> None:
    for pipe in pipes:
        try:
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE)
        except OSError:  # the user's share of pipe memory is used up: slower, not wrong
            return
