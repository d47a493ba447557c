"""Keys that people propose, at the command line: what waits, and the answer of somebody who checked by phone."""

from __future__ import annotations

from typing import Annotated

import typer

from server.cli.opening import Data, opened, settings_for
from server.domain.schedule import in_words

app = typer.Typer(help="New public keys that people put into /keys/mine/ of their mailbox.", no_args_is_help=True)
Proposal = Annotated[str, typer.Argument(metavar="P-…", help="The proposal that would add the key.")]
By = Annotated[str, typer.Option("--by", metavar="PERSON", help="Who answers.")]


@app.command("list")
def list_(data: Data = None) -> None:
    """List every key that was proposed, those that wait first, with what they still need.

    Example: safehand key list
    """
    with opened(settings_for(data)) as exchange:
        needs = {view.id: view.needs_words for view in exchange.revisions.every()}
        found = exchange.keys.every()
    for one in found:
        typer.echo(f"{one.proposal}  {one.status:<9}  {one.person}  {one.fingerprint}  {in_words(one.at)}")
        if one.status == "open":
            typer.echo(f"  {needs.get(one.proposal, '')}")
    if not found:
        typer.echo("Nobody has proposed a key.")


@app.command("approve")
def approve(
    proposal: Proposal,
    by: By,
    heard: Annotated[
        str, typer.Option("--heard", metavar="END", help="The last 8 characters, as the key's owner read them out.")
    ],
    data: Data = None,
) -> None:
    """Approve a key whose fingerprint its owner read out by phone; with its quorum it counts by itself.

    Example: safehand key approve P-2026-000004 --heard 89ABCDEF --by g-kent
    """
    with opened(settings_for(data)) as exchange:
        typer.echo(exchange.revisions.approve(by, proposal, via="cli", heard=heard).sentence)
        exchange.keys.tend()


@app.command("refuse")
def refuse(
    proposal: Proposal,
    reason: Annotated[str, typer.Argument(metavar="REASON", help="Why not, without personal data.")],
    by: By,
    data: Data = None,
) -> None:
    """Refuse a key: its owner and everybody who is asked reads the reason.

    Example: safehand key refuse P-2026-000004 "They do not know of it" --by g-kent
    """
    with opened(settings_for(data)) as exchange:
        typer.echo(exchange.revisions.refuse(by, proposal, reason, via="cli").sentence)


@app.command("withdraw")
def withdraw(proposal: Proposal, by: By, data: Data = None) -> None:
    """Take back a key of one's own that waits for approval.

    Example: safehand key withdraw P-2026-000004 --by p-kent-1
    """
    with opened(settings_for(data)) as exchange:
        typer.echo(exchange.revisions.withdraw(by, proposal, via="cli").sentence)
