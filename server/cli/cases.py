"""The cases beside a policy set: what it is expected to decide."""

from __future__ import annotations

from typing import Annotated

import typer

from server.cli import changes
from server.cli.exits import REFUSED
from server.cli.opening import Data


def try_(
    directory: changes.Directory = None,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="List the reasons for a denial that no case here expects.")
    ] = False,
    data: Data = None,
) -> None:
    """Run the cases beside a policy set (cases/*.yaml): given these facts, permit, or deny for exactly these reasons.

    Exits with 1 when one decides otherwise, and says what was decided instead.

    Example: safehand policy test policies/ccis-v2
    """
    from server.policy.cases import try_cases, uncovered

    folder = changes.chosen(directory, data)
    tried = try_cases(folder)
    for one in tried:
        typer.echo(str(one))
    failed = [one for one in tried if not one.holds]
    typer.echo(f"{len(tried)} cases, {len(failed)} failed.")
    if coverage:
        typer.echo("\n".join(["Reasons without a case here:", *(uncovered(tried) or ("none",))]))
    if failed or not tried:
        raise typer.Exit(REFUSED)
