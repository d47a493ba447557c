"""Corrections at the command line: what is asked for, asking, and answering."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from server.cli.opening import Data, opened, settings_for
from server.domain.schedule import in_words

app = typer.Typer(help="Records that are found wrong, by line and field (clause 9).", no_args_is_help=True)
By = Annotated[str, typer.Option("--by", metavar="PERSON", help="Who says it.")]
CorrectionId = Annotated[str, typer.Argument(metavar="E-…", help="The correction.")]


@app.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a correction.")] = False,
    data: Data = None,
) -> None:
    """List every correction, the newest first, and where it stands.

    Example: safehand correction list
    """
    with opened(settings_for(data)) as exchange:
        found = exchange.corrections.every()
    if as_json:
        told = [{**asdict(one), "at": one.at.isoformat(), "buttons": None} for one in found]
        typer.echo(json.dumps(told, ensure_ascii=False, indent=1))
        return
    for one in found:
        asked = f"{one.asked_by} to {one.sender}, {in_words(one.at)}"
        typer.echo(f"{one.id}  {one.delivery} line {one.line} {one.field}  {asked}: {one.words}")
    if not found:
        typer.echo("Nobody has asked for a correction.")


@app.command("add")
def add(
    delivery: Annotated[str, typer.Argument(metavar="D-…", help="The delivery that the record came in.")],
    line: Annotated[str, typer.Option("--line", metavar="N", help="The file's line; its header is line 1.")],
    field: Annotated[str, typer.Option("--field", metavar="NAME", help="The field's name in the header.")],
    by: By,
    data: Data = None,
) -> None:
    """Say that a record may be wrong, by line and field and never by value: its sender and every recipient is told.

    Example: safehand correction add D-2026-000417 --line 44 --field address --by p-kent-1
    """
    with opened(settings_for(data)) as exchange:
        typer.echo(exchange.corrections.correct(by, delivery.upper(), line, field, via="cli").sentence)


@app.command("answer")
def answer(
    correction: CorrectionId,
    by: By,
    decline: Annotated[
        str | None, typer.Option("--decline", metavar="REASON", help="The record is right, and why.")
    ] = None,
    data: Data = None,
) -> None:
    """Accept it (the file is sent again under its old name), or decline it with a reason without personal data.

    Example: safehand correction answer E-2026-000003 --by p-essex-1
    """
    with opened(settings_for(data)) as exchange:
        verbs = exchange.corrections
        said = verbs.accept(by, correction, via="cli") if decline is None else None
        typer.echo((said or verbs.decline(by, correction, decline or "", via="cli")).sentence)


@app.command("withdraw")
def withdraw(correction: CorrectionId, by: By, data: Data = None) -> None:
    """Take a correction back: the record is right after all.

    Example: safehand correction withdraw E-2026-000003 --by p-kent-1
    """
    with opened(settings_for(data)) as exchange:
        typer.echo(exchange.corrections.withdraw(by, correction, via="cli").sentence)
