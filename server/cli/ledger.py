"""The ledger at the command line: read it, and prove that nobody changed it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from server.cli.opening import Data, opened, settings_for
from server.domain.ledger import Entry

app = typer.Typer(help="The append-only evidence: read it, verify it.", no_args_is_help=True)
PROGRESS_EVERY = 5000


@app.command("show")
def show(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, every field as stored.")] = False,
    after: Annotated[int, typer.Option(metavar="N", min=0, help="Only entries after number N.")] = 0,
    data: Data = None,
) -> None:
    """Print the ledger, oldest first: number, time (UTC), what, who, about which ids, facts.

    Example: safehand ledger show --after 400 --json
    """
    with opened(settings_for(data)) as exchange:
        for entry in exchange.evidence.entries(after):
            typer.echo(json.dumps(asdict(entry), ensure_ascii=False) if as_json else _line(entry))


@app.command("verify")
def verify(data: Data = None) -> None:
    """Read the whole ledger and recompute its chain; name the first entry that does not hold.

    Exits with 1 when it does not hold. About 100,000 entries take well under a minute.

    Example: safehand ledger verify
    """
    progress = Progress()
    with opened(settings_for(data)) as exchange:
        try:
            found = exchange.evidence.verify(progress)
        finally:
            progress.end()
    typer.echo(f"The ledger holds: {found.entries} entries, head {found.head}.")


class Progress:
    """A line on the terminal that counts; silent when standard error is no terminal."""

    def __init__(self) -> None:
        self._shown = False

    def __call__(self, entries: int) -> None:
        if entries % PROGRESS_EVERY == 0 and sys.stderr.isatty():
            typer.echo(f"\r{entries:,} entries", nl=False, err=True)
            self._shown = True

    def end(self) -> None:
        """Leave the terminal tidy."""
        if self._shown:
            typer.echo("\r" + " " * 30 + "\r", nl=False, err=True)


def _line(entry: Entry) -> str:
    subjects = " ".join(json.loads(entry.subjects))
    facts = " ".join(f"{name}={_fact(value)}" for name, value in json.loads(entry.data).items())
    return f"{entry.number:>6}  {entry.at[:19]}Z  {entry.kind:<26}  {entry.actor:<14}  {subjects}  {facts}".rstrip()


def _fact(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
