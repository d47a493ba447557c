"""Disposal at the command line: what would go, by which clause, and what keeps it; or doing it now."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from server.cli.exits import REFUSED
from server.cli.opening import Data, opened, settings_for
from server.domain.errors import Refused
from server.domain.retention import Verdict, end_of
from server.domain.schedule import in_words

if TYPE_CHECKING:
    from server.exchange import Exchange
    from server.exchange.retention import Disposed


def dispose(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go; change nothing.")] = False,
    until: Annotated[
        str | None, typer.Option("--until", metavar="DATE", help="With --dry-run: what would go by then.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data: Data = None,
) -> None:
    """End every sealed copy whose time has come, as the exchange does by itself each minute; or list them.

    Each line says when, by which rule and clause, and which legal hold keeps it. Copies that no rule speaks of are
    listed too. Exits with 1 when something that should have gone did not.

    Example: safehand dispose --dry-run --until 2027-02-28
    """
    last = _day(until) if until else None
    if last is not None and not dry_run:
        raise Refused("--until says what would go by then: use it with --dry-run.")
    with opened(settings_for(data)) as exchange:
        moment = end_of(last) if last else exchange.now()
        listed = [v for v in exchange.retention.verdicts() if v.is_due(moment) or not v.covered]
        done = None if dry_run else _disposed(exchange)
        now = exchange.now()
    if as_json:
        typer.echo(json.dumps(_as_json(listed, done, moment), indent=1))
    else:
        _say(listed, done, now)
    if done is not None and done.failed:
        raise typer.Exit(REFUSED)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Refused("That is no day: write it as 2027-02-28.") from None


def _disposed(exchange: Exchange) -> Disposed:
    """What came of it, certificates included."""
    done = exchange.retention.dispose(by="operator")
    while exchange.disposal.finish():
        pass
    return done


def _say(listed: list[Verdict], done: Disposed | None, now: datetime) -> None:
    for found in listed:
        typer.echo(_line(found, now))
    if done is None:
        free = sum(not found.held_by and found.goes_at is not None for found in listed)
        typer.echo(f"{free} would go, {len(listed) - free} would stay. Nothing was changed.")
        return
    for delivery, why in done.failed:
        typer.echo(f"{delivery} did not go: {why}", err=True)
    typer.echo(f"Expected {len(done.expected)}, done {len(done.done)}, failed {len(done.failed)}.")


def _line(found: Verdict, now: datetime) -> str:
    when = in_words(found.goes_at) if found.goes_at else "never"
    held = f"; kept by {', '.join(found.held_by)}" if found.held_by else ""
    uncovered = "" if found.covered else "; RETENTION_UNCOVERED: no rule in force speaks of it"
    overdue = " (due)" if found.is_due(now) else ""
    return f"{found.delivery}  {when}{overdue}  {found.rule}: {found.words}; clause {found.clause}{held}{uncovered}"


def _as_json(listed: list[Verdict], done: Disposed | None, moment: datetime) -> dict[str, object]:
    objects = [asdict(v) | {"goes_at": v.goes_at.isoformat() if v.goes_at else None} for v in listed]
    told: dict[str, object] = {"until": moment.isoformat(), "objects": objects}
    if done is not None:
        failed = [{"delivery": delivery, "why": why} for delivery, why in done.failed]
        told |= {"expected": done.expected, "done": done.done, "failed": failed}
    return told
