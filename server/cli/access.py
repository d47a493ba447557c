"""Why a member may or may not send to another, rule by rule."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.cli.clock import london_time
from server.cli.exits import REFUSED
from server.cli.opening import Data, opened, settings_for

if TYPE_CHECKING:
    from server.domain.schedule import Period
    from server.policy.explain import Explanation

app = typer.Typer(help="What the agreement permits, and by which rule.", no_args_is_help=True)


@app.callback()
def _access() -> None:
    """What the agreement permits, and by which rule."""


@app.command("explain")
def explain(
    sender: Annotated[
        str, typer.Argument(metavar="SENDER", help="The sending member's id, such as essex, or a person's.")
    ],
    recipient: Annotated[
        str | None, typer.Argument(metavar="RECIPIENT", help="The receiving member's id.", show_default=False)
    ] = None,
    exchange: Annotated[
        str | None, typer.Argument(metavar="EXCHANGE", help="The exchange's id.", show_default=False)
    ] = None,
    period: Annotated[
        str | None, typer.Option(metavar="MONTH", help="Ask about this period too.", show_default=False)
    ] = None,
    policies: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Ask a policy set on disk instead of the one in force.", show_default=False),
    ] = None,
    now: Annotated[
        str | None, typer.Option("--now", metavar="TIME", help="Ask as of this day or time, London's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")] = False,
    data: Data = None,
) -> None:
    """Say whether SENDER may send to RECIPIENT, with every rule that was looked at and where it is written.

    With a person alone: whether they may log in. Exits with 1 when it is denied.

    Example: safehand access explain essex medway post16-destinations --policies policies/ccis-v2
    """
    if (recipient is None) != (exchange is None):
        raise typer.BadParameter("name RECIPIENT and EXCHANGE, or a person alone.")
    month, moment = _month(period), london_time(now) if now else None
    if policies is not None:
        explained = _on_disk(policies, sender, recipient, exchange, moment or datetime.now(UTC), month)
    else:
        explained = _in_force(data, sender, recipient, exchange, moment, month)
    typer.echo(explained.json() if as_json else "\n".join(explained.lines()))
    if not explained.decision.permit:
        raise typer.Exit(REFUSED)


def _month(text: str | None) -> Period | None:
    from server.domain.schedule import Period

    period = Period.parse(text) if text else None
    if text and period is None:
        raise typer.BadParameter("a period is a month, written like 2026-11.")
    return period


def _on_disk(
    folder: Path, sender: str, recipient: str | None, exchange: str | None, now: datetime, period: Period | None
) -> Explanation:
    """Of files, without an exchange: nobody is suspended, and every key on file counts as usable."""
    from server.policy.explain import explain as explained
    from server.policy.explain import explain_login
    from server.policy.load import load

    policy = load(folder)
    if recipient is None or exchange is None:
        return explain_login(policy, sender, now, folder=str(folder))
    return explained(policy, sender, recipient, exchange, now, period=period, folder=str(folder))


def _in_force(
    data: Path | None,
    sender: str,
    recipient: str | None,
    exchange: str | None,
    moment: datetime | None,
    period: Period | None,
) -> Explanation:
    from server.policy.explain import explain as explained
    from server.policy.explain import explain_login

    with opened(settings_for(data)) as server:
        ground, now = server.ground, moment or server.now()
        if recipient is None or exchange is None:
            return explain_login(server.policy, sender, now, facts=ground.facts)
        unusable = ground.in_force.keys_for(recipient, ground.real())[1]
        return explained(
            server.policy, sender, recipient, exchange, now, period=period, unusable_keys=unusable, facts=ground.facts
        )
