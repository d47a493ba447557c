"""The agreement as a document at the command line: asking for its early review, and closing that."""

from __future__ import annotations

from typing import Annotated

import typer

from server.cli.opening import Data, opened, settings_for

app = typer.Typer(help="The agreement as a document: its review.", no_args_is_help=True)


@app.command("review")
def review(
    by: Annotated[str, typer.Option("--by", metavar="PERSON", help="The governance lead who asks, or who closes it.")],
    reason: Annotated[str, typer.Argument(metavar="[REASON]", help="What changed, without personal data.")] = "",
    done: Annotated[bool, typer.Option("--done", help="Close the open review: its owner's lead says so.")] = False,
    data: Data = None,
) -> None:
    """Ask for an early review of the agreement (clause 1): every governance lead is asked, once.

    Example: safehand agreement review "New duties from September" --by g-kent

    When it is done: safehand agreement review --done --by g-essex
    """
    with opened(settings_for(data)) as exchange:
        reviews = exchange.reviews
        answer = reviews.close_open(by, via="cli") if done else reviews.ask(by, reason, via="cli")
        typer.echo(answer.sentence)
