"""The exchange's clock moves in demos only; in production time is real."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from server.cli.guards import running_server
from server.cli.opening import Data, is_demo, opened, settings_for
from server.domain.errors import Refused
from server.domain.schedule import LONDON, in_words

app = typer.Typer(help="The exchange's clock (demos only).", no_args_is_help=True)


def london_time(text: str) -> datetime:
    """An ISO time as an aware datetime; without a zone it is London's. Raises BadParameter."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter("write it like 2026-12-01T09:00 (London time), or with a zone: +00:00, Z.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=LONDON)


@app.callback()
def _clock() -> None:
    """The exchange's clock (demos only)."""


@app.command("set")
def set_(
    time: Annotated[str, typer.Argument(metavar="TIME", help="ISO time, London's unless it has a zone.")],
    data: Data = None,
) -> None:
    """Move a demo's clock forward, while it runs or not; time runs on from there.

    Moved while the demo is down, what was skipped is an outage: what fell due in it is late for nobody.

    Example: safehand clock set 2026-12-01T10:30 --data .safehand-demo
    """
    moment = london_time(time)
    settings = settings_for(data)
    if not is_demo(settings.data):
        raise Refused("Only a demo's clock can be moved; this data folder is not one of `safehand demo`.")
    with opened(settings) as exchange:
        exchange.clock.set(moment, running=running_server(settings.data))
    typer.echo(f"The exchange's clock says {in_words(moment)}.")
