"""The agreement as a document at the command line: its early review, and what its members say again each year."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from server.cli.opening import Data, opened, settings_for

app = typer.Typer(help="The agreement as a document: its review, its members' yearly statements.", no_args_is_help=True)


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


@app.command("attestations")
def attestations(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a statement.")] = False,
    data: Data = None,
) -> None:
    """List what every member says again each year: given and until when, or not provided.

    Example: safehand agreement attestations
    """
    with opened(settings_for(data)) as exchange:
        views = exchange.yearly.every()
    if as_json:
        told = [
            {
                "member": one.member, "kind": one.kind, "clause": one.clause, "provided": one.counts,
                "given": one.given.isoformat() if one.given else None, "until": one.until.isoformat(),
            }
            for one in views
        ]  # fmt: skip
        typer.echo(json.dumps(told, ensure_ascii=False, indent=1))
        return
    for one in views:
        typer.echo(f"{one.called:<18} {one.title:<20} {one.words}")
    counted = sum(one.counts for one in views)
    typer.echo(f"{counted} of {len(views)} yearly statements are provided.")


@app.command("attest")
def attest(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="Such as physical, or due-diligence.")],
    by: Annotated[str, typer.Option("--by", metavar="PERSON", help="The governance lead who gives it.")],
    no: Annotated[
        list[str] | None, typer.Option("--not", metavar="TICK", help="What does not hold yet; may be repeated.")
    ] = None,
    data: Data = None,
) -> None:
    """Give a yearly statement for one's member: everything of it holds, but for what --not names.

    Example: safehand agreement attest due-diligence --by g-kent --not access_review
    """
    with opened(settings_for(data)) as exchange:
        typer.echo(exchange.yearly.attest_all(by, kind, no or (), via="cli").sentence)
