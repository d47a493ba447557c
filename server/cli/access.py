"""Why a member may or may not send to another, rule by rule."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from server.cli.exits import REFUSED
from server.cli.opening import Data, opened, settings_for

app = typer.Typer(help="What the agreement permits, and by which rule.", no_args_is_help=True)


@app.callback()
def _access() -> None:
    """What the agreement permits, and by which rule."""


@app.command("explain")
def explain(
    sender: Annotated[str, typer.Argument(metavar="SENDER", help="The sending member's id, such as essex.")],
    recipient: Annotated[str, typer.Argument(metavar="RECIPIENT", help="The receiving member's id.")],
    exchange: Annotated[str, typer.Argument(metavar="EXCHANGE", help="The exchange's id.")],
    policies: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Ask a policy set on disk instead of the one in force.", show_default=False),
    ] = None,
    data: Data = None,
) -> None:
    """Say whether SENDER may send to RECIPIENT, with every rule that was looked at and where it is written.

    Exits with 1 when it is denied.

    Example: safehand access explain essex medway post16-destinations
    """
    from server.policy.explain import explain as explained
    from server.policy.load import load

    settings = settings_for(data)
    with opened(settings) as server:
        policy = load(policies) if policies else server.policy
        unusable = None if policies else server.ground.in_force.keys_for(recipient, server.ground.real())[1]
        lines = explained(policy, sender, recipient, exchange, server.now(), unusable_keys=unusable)
    for line in lines:
        typer.echo(line)
    if not lines[0].startswith("PERMIT"):
        raise typer.Exit(REFUSED)
