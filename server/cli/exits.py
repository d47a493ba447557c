"""One family of errors, translated once: a sentence on standard error and an exit code."""

from __future__ import annotations

import sys
import traceback

import typer

from server.domain.errors import Busy, Misconfigured, SafehandError, places_of
from server.policy.lint import PolicyRefused
from server.policy.problem import PolicyInvalid
from server.settings import SettingsInvalid, read_settings

OK, REFUSED, USAGE, ENVIRONMENT = 0, 1, 2, 3


def say(sentence: str) -> None:
    """A line on standard error; standard output is for what was asked for."""
    typer.echo(f"safehand: {sentence}", err=True)


def translated(error: SafehandError | SettingsInvalid | OSError) -> int:
    """Say what is wrong; the exit code that goes with it."""
    if isinstance(error, PolicyInvalid):
        for problem in error.errors:
            typer.echo(str(problem), err=True)
        return REFUSED
    if isinstance(error, PolicyRefused):
        for finding in error.findings:
            typer.echo(str(finding), err=True)
    if isinstance(error, OSError):
        which = f" ({error.filename})" if error.filename else ""
        say(
            f"The machine says: {error.strerror or type(error).__name__}{which}. "
            "`safehand doctor` looks at the data folder."
        )
        return ENVIRONMENT
    say(error.sentence)
    return ENVIRONMENT if isinstance(error, Misconfigured | Busy | SettingsInvalid) else REFUSED


def unexpected(defect: Exception) -> int:
    """A defect of ours is one sentence without a word of its text; SAFEHAND_LOG_LEVEL=debug adds the traceback."""
    what = " at ".join([type(defect).__name__, *places_of(defect)[-1:]])
    say(f"Something went wrong inside Safehand ({what}). SAFEHAND_LOG_LEVEL=debug shows all.")
    try:
        debugging = read_settings().log_level == "debug"
    except SettingsInvalid:
        debugging = False
    if debugging:
        traceback.print_exception(defect, file=sys.stderr)
    return ENVIRONMENT
