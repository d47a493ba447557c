"""Legal holds at the command line: placed and released by governance leads, listed for whoever runs the exchange."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from server.cli.opening import Data, opened, settings_for

app = typer.Typer(help="Legal holds: keep a delivery's sealed copy from every purge.", no_args_is_help=True)
By = Annotated[str, typer.Option("--by", metavar="PERSON", help="The governance lead who decides it.")]


@app.command("add")
def add(
    delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="Such as D-2026-000417.")],
    by: By,
    reason: Annotated[str, typer.Option("--reason", help="In a few words, without personal data.")],
    data: Data = None,
) -> None:
    """Keep the sealed copy of a delivery, whatever its rule says, until the hold is released.

    Example: safehand hold add D-2026-000417 --by g-kent --reason "A complaint is open"
    """
    with opened(settings_for(data)) as exchange:
        typer.echo(exchange.holds.hold(by, delivery.upper(), reason, via="cli").sentence)


@app.command("release")
def release(
    hold: Annotated[str, typer.Argument(metavar="HOLD", help="Such as H-2026-000001.")], by: By, data: Data = None
) -> None:
    """End a hold: a governance lead of the member that placed it. What was due for disposal goes at the next look.

    Example: safehand hold release H-2026-000001 --by g-kent
    """
    with opened(settings_for(data)) as exchange:
        typer.echo(exchange.holds.release(by, hold.upper(), via="cli").sentence)


@app.command("list")
def list_(
    ever: Annotated[bool, typer.Option("--all", help="Released ones too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data: Data = None,
) -> None:
    """List the holds that stand, oldest first; reasons stay with the members that gave them.

    Example: safehand hold list --all
    """
    with opened(settings_for(data)) as exchange:
        views = exchange.holds.all(standing=not ever)
    if as_json:
        told = [
            {
                "hold": v.id, "delivery": v.delivery, "member": v.member, "by": v.by, "at": v.at.isoformat(),
                "released_at": v.released_at.isoformat() if v.released_at else None, "released_by": v.released_by,
            }
            for v in views
        ]  # fmt: skip
        typer.echo(json.dumps(told, indent=1))
        return
    for view in views:
        typer.echo(f"{view.id}  {view.delivery}  {view.words} ({view.by})")
    if not views:
        typer.echo("No hold stands." if not ever else "There never was a hold.")
