"""One family of errors, one sentence each. Every edge (SFTP status, desk, chat, exit code) translates it once."""

from __future__ import annotations

import traceback

PLACES = 6


class SafehandError(Exception):
    """Something a person must be told. `sentence` says what is wrong and what to do; `code` is stable."""

    code = "SAFEHAND"

    def __init__(self, sentence: str, *, code: str | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        if code is not None:
            self.code = code


class Missing(SafehandError):
    """No such thing, or none that this person may know of: the same error for both."""

    code = "MISSING"

    def __init__(self, sentence: str = "No such file or folder.", *, code: str | None = None) -> None:
        super().__init__(sentence, code=code)


class Forbidden(SafehandError):
    """A deliberate act that this person's roles do not include."""

    code = "FORBIDDEN"


class Refused(SafehandError):
    """The exchange does not take this: a rule of the agreement, of the file or of the moment."""

    code = "REFUSED"


class NotWritable(Refused):
    """No row of the agreement leads to this place: to a client it is as if writing there were not permitted (R-027)."""

    code = "PLACE_UNKNOWN"


class Busy(SafehandError):
    """Something that the exchange needs is away for now (disk, database, gpg): try again."""

    code = "BUSY"


class Misconfigured(SafehandError):
    """The machine or its settings are not as the exchange needs them (exit code 3)."""

    code = "MISCONFIGURED"


def places_of(failure: BaseException) -> list[str]:
    """Where something unforeseen was raised: the last few file names and lines, and never a word of its text."""
    frames = traceback.extract_tb(failure.__traceback__)[-PLACES:]
    return [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in frames]
