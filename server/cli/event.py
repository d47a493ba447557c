"""What happens outside and the agreement waits for, at the command line."""

from __future__ import annotations

from typing import Annotated

import typer

from server.cli.opening import Data, opened, settings_for

app = typer.Typer(help="Events outside that the agreement waits for.", no_args_is_help=True)


@app.callback()
def _event() -> None:
    """Events outside that the agreement waits for."""


@app.command("announce")
def announce(
    event: Annotated[str, typer.Argument(metavar="EVENT", help="Its name in the policy.")],
    on: Annotated[str, typer.Option("--on", metavar="DAY", help="The day on which it happened, such as 2027-07-05.")],
    by: Annotated[str, typer.Option("--by", metavar="PERSON", help="The administrator who announces it.")],
    data: Data = None,
) -> None:
    """Announce that something outside has happened: every member that takes part has its task from it.

    Example: safehand event announce nccis-download-published --on 2027-07-05 --by a-essex-1
    """
    with opened(settings_for(data)) as exchange:
        typer.echo(exchange.obligations.announce(event, on, by).sentence)
