"""Who sent what to whom: every directed pair of an exchange and a period."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import Annotated

import typer

from server.cli.opening import Data, opened, settings_for
from server.domain.errors import Refused
from server.domain.schedule import Period, current_period


def status(
    exchange: Annotated[str, typer.Argument(metavar="EXCHANGE", help="The exchange's id.")],
    period: Annotated[
        str | None, typer.Option("--period", metavar="MONTH", help="Such as 2026-11; else the latest that is over.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a pair.")] = False,
    data: Data = None,
) -> None:
    """Say for every directed pair of members whether it was sent, acknowledged, nil, not ready or is missing.

    Example: safehand status post16-destinations --period 2026-11
    """
    with opened(settings_for(data)) as server:
        wanted = Period.parse(period) if period else current_period(server.now())
        if wanted is None:
            raise Refused("That is no month: write it as 2026-11.")
        pairs = server.coverage.pairs(exchange, wanted)
        called = {member.id: member.called for member in server.policy.members}
    if as_json:
        typer.echo(json.dumps([asdict(pair) for pair in pairs], ensure_ascii=False, indent=1))
        return
    for pair in pairs:
        why = f": {pair.why}" if pair.why else ""
        typer.echo(f"{called[pair.sender]} -> {called[pair.recipient]}: {pair.state}{why}")
    counts = Counter(pair.state for pair in pairs)
    words = ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
    typer.echo(f"{exchange}, {wanted.words}: {len(pairs)} directed pairs: {words or 'none'}.")
