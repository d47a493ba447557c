"""What is owed, at the command line: who owes whom what by when, and what its people say about it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import Annotated

import typer

from server.cli.opening import Data, opened, settings_for
from server.domain.errors import Missing, Refused
from server.domain.obligation import Answer, Obligation, standing, words
from server.domain.schedule import Period, london_day

app = typer.Typer(help="What every member owes every other, for which month, by when.", no_args_is_help=True)
By = Annotated[str, typer.Option("--by", metavar="PERSON", help="Who says it.")]
ExchangeId = Annotated[str, typer.Argument(metavar="EXCHANGE", help="The exchange's id.")]
Month = Annotated[str, typer.Argument(metavar="MONTH", help="The month that it covers, such as 2026-11.")]
To = Annotated[str | None, typer.Option("--to", metavar="MEMBER", help="To one member; else to all that wait.")]
REACH = timedelta(days=400)
"""How far back and ahead a list without a month looks."""


@app.command("list")
def list_(
    member: Annotated[
        str | None, typer.Argument(metavar="MEMBER", help="What this member owes and is owed; else everybody.")
    ] = None,
    period: Annotated[str | None, typer.Option("--period", metavar="MONTH", help="Of one month only.")] = None,
    ahead: Annotated[bool, typer.Option("--ahead", help="Windows that have not opened yet as well.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object an obligation.")] = False,
    data: Data = None,
) -> None:
    """List what is owed, by due time, and how it stands.

    Example: safehand obligation list kent --period 2026-11
    """
    month = Period.parse(period) if period else None
    if period and month is None:
        raise Refused("That is no month: write it as 2026-11.")
    with opened(settings_for(data)) as exchange:
        if member is not None and exchange.policy.member(member) is None:
            raise Missing(f"There is no member called {member[:40]}.")
        now, today = exchange.now(), london_day(exchange.now())
        with exchange.ground.store.reading() as session:
            every = exchange.obligations.between(session, today - REACH, today + REACH)
        found = [one for one in every if _wanted(one, member, month, today, ahead=ahead)]
        called = {one.id: one.called for one in exchange.policy.members}
    if as_json:
        typer.echo(json.dumps([_told(one, now) for one in found], ensure_ascii=False, indent=1))
        return
    for one in found:
        pair = " -> ".join(called.get(each, each) for each in (one.sender, one.recipient) if each)
        typer.echo(f"{one.exchange} {one.period}  {pair}: {words(one, now)}")
    counts = Counter(standing(one, now) for one in found)
    said = ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))
    typer.echo(f"{len(found)} obligations: {said or 'none'}.")


def _wanted(one: Obligation, member: str | None, month: Period | None, today: date, *, ahead: bool) -> bool:
    if one.answer is Answer.WITHDRAWN or (month and one.period != str(month)):
        return False
    if member is not None and member not in {one.sender, one.recipient}:
        return False
    return ahead or month is not None or one.opens <= today


def _told(one: Obligation, now: datetime) -> dict[str, object]:
    told = asdict(one) | {"opens": one.opens.isoformat(), "due_at": one.due_at.isoformat()}
    met = one.met_at.isoformat() if one.met_at else None
    return told | {"met_at": met, "standing": standing(one, now), "words": words(one, now)}


@app.command("nil")
def nil(exchange: ExchangeId, month: Month, by: By, to: To = None, data: Data = None) -> None:
    """Say that there is nothing to send this month, as the file NIL in the outbox does.

    Example: safehand obligation nil post16-destinations 2026-11 --to kent --by p-essex-1
    """
    with opened(settings_for(data)) as server:
        typer.echo(server.obligations.nil(by, exchange, month, to, via="cli").sentence)


@app.command("cannot")
def cannot(
    exchange: ExchangeId,
    month: Month,
    because: Annotated[str, typer.Option("--because", metavar="REASON", help="Why, without personal data.")],
    by: By,
    to: To = None,
    data: Data = None,
) -> None:
    """Say that it cannot be sent, and why: reminders end, and whoever waits for it can read the reason.

    Example: safehand obligation cannot movers 2026-11 --because "the system is being replaced" --by p-essex-1
    """
    with opened(settings_for(data)) as server:
        typer.echo(server.obligations.cannot(by, exchange, month, to, because, via="cli").sentence)


@app.command("done")
def done(
    exchange: ExchangeId,
    month: Month,
    on: Annotated[str, typer.Option("--on", metavar="DAY", help="The day, such as 2027-07-06.")],
    by: By,
    data: Data = None,
) -> None:
    """Say that what is done elsewhere was done, such as a download from NCCIS.

    Example: safehand obligation done activity-survey 2027-07 --on 2027-07-06 --by p-kent-2
    """
    with opened(settings_for(data)) as server:
        typer.echo(server.obligations.done(by, exchange, month, on, via="cli").sentence)


@app.command("ask")
def ask(
    exchange: ExchangeId,
    by: By,
    sender: Annotated[
        str | None, typer.Option("--from", metavar="MEMBER", help="From one member; else from everybody.")
    ] = None,
    data: Data = None,
) -> None:
    """Ask for what is sent on request; it is due as the agreement says.

    Example: safehand obligation ask year11-residents --from essex --by p-kent-2
    """
    with opened(settings_for(data)) as server:
        typer.echo(server.obligations.ask_for(by, exchange, sender, via="cli").sentence)
