"""The ledger at the command line: read it, and prove that nobody changed it."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.cli.exits import say
from server.cli.opening import Data, opened, settings_for
from server.domain.errors import Busy, Refused
from server.domain.ledger import Entry

if TYPE_CHECKING:
    from server.exchange import Exchange
    from server.exchange.anchors import HandedOut

app = typer.Typer(help="The append-only evidence: read it, verify it.", no_args_is_help=True)
PROGRESS_EVERY = 5000
LONGEST = 16 * 1024 * 1024


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
def verify(
    head: Annotated[
        Path | None,
        typer.Option("--head", metavar="FILE", help="Anything with a head that was handed out: heads.txt, a receipt, a "
                     "certificate, a saved digest, a line.", show_default=False),
    ] = None,
    data: Data = None,
) -> None:  # fmt: skip
    """Read the whole ledger and recompute its chain, hold it to every day's anchor, and to a head that you kept.

    Exits with 1 when it does not hold; that is then a finding for ever. A ledger that was rewritten with a right chain
    is found by any head that left the house: keep some. About 100,000 entries take well under a minute.

    Example: safehand ledger verify --head heads.txt
    """
    progress = Progress()
    with opened(settings_for(data)) as exchange:
        try:
            found = exchange.evidence.verify(progress)
        except Refused as error:
            progress.end()
            named = re.search(r"entry (\d+)", error.sentence)
            _note(exchange, error.sentence, int(named[1]) if named else 0)
            raise
        finally:
            progress.end()
        anchored = exchange.anchors.hold_anchors()
        handed = _handed_out(exchange, head) if head is not None else None
        proof = [held for held in (*anchored, *(handed.heads if handed and handed.signed else ())) if not held.holds]
        if proof:  # what nobody signed is evidence to look at, and no reason to mark the ledger for ever
            _note(exchange, proof[0].words, proof[0].head.number)
        before = exchange.anchors.broken()
    if handed is not None:
        typer.echo("Signed with this exchange's key." if handed.signed else "Not signed: it is evidence, no proof.")
    shown = (*(handed.heads if handed else ()), *(held for held in anchored if not held.holds))
    for words in dict.fromkeys(held.words for held in shown):
        typer.echo(words)
    if not all(held.holds for held in shown):
        raise Refused("The ledger does not hold: it is not the one that those heads were handed out of.")
    days = f"{len(anchored)} daily anchor{'' if len(anchored) == 1 else 's'}"
    typer.echo(f"The ledger holds: {found.entries} entries, head {found.head}. It agrees with {days}.")
    if before is not None:
        raise Refused(f"A break was found before, on {before.at:%Y-%m-%d}, and stands: {before.words}")


def _handed_out(exchange: Exchange, file: Path) -> HandedOut:
    """What the file says of the ledger; a detached signature lies beside it as FILE.asc."""
    beside = file.with_name(f"{file.name}.asc")
    try:
        with file.open("rb") as opened_file:
            content = opened_file.read(LONGEST + 1)
        signature = beside.read_bytes() if beside.is_file() else None
    except OSError:
        raise Refused(f"{file} cannot be read: name a file that holds a head of the ledger.") from None
    return exchange.anchors.hold(content, signature)


def _note(exchange: Exchange, words: str, number: int) -> None:
    """Stands for ever where it can be written; the exit code tells it in any case."""
    try:
        exchange.anchors.note_break(words, number)
    except (Busy, Refused) as error:
        say(f"The finding could not be written down: {error.sentence}")


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
