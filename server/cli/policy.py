"""The policy set at the command line: what is wrong with it, and putting it in force."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from server.cli.clock import london_time
from server.cli.exits import REFUSED
from server.cli.opening import Data, opened, settings_for
from server.settings import SettingsInvalid

app = typer.Typer(help="The agreement in its machine form: check it, put it in force.", no_args_is_help=True)
Directory = Annotated[
    Path | None,
    typer.Argument(metavar="[DIR]", help="The policy set (or SAFEHAND_POLICIES).", show_default=False),
]


@app.command("lint")
def lint_(
    directory: Directory = None,
    form: Annotated[
        Literal["text", "json", "github"],
        typer.Option("--format", help="text for people, json for programs, github to annotate a change."),
    ] = "text",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    now: Annotated[
        str | None, typer.Option("--now", metavar="DAY", help="Judge it as of this day or time, London's.")
    ] = None,
    data: Data = None,
) -> None:
    """Say what is wrong with a policy set, each with file, line, column and what to write instead.

    Exits with 1 on errors; warnings, and errors that a waiver answers for, exit with 0.

    Example: safehand policy lint policies/ccis-v2 --now 2026-12-01
    """
    from server.policy.lint import lint
    from server.policy.lint.shown import below, problems, shown
    from server.policy.load import PolicyInvalid, load_texts, read_texts
    from server.policy.revision import revision

    folder, moment = _chosen(directory, data), london_time(now) if now else datetime.now(UTC)
    try:
        policy = load_texts(read_texts(folder))
    except PolicyInvalid as invalid:
        findings, of = problems(invalid), None
    else:
        findings, of = lint(policy, moment), revision(policy)
    typer.echo(shown(below(str(folder), findings), "json" if as_json else form, of))
    if any(finding.is_error for finding in findings):
        raise typer.Exit(REFUSED)


@app.command("apply")
def apply(
    directory: Directory = None,
    by: Annotated[
        str, typer.Option("--by", metavar="PERSON", help="Who decided it: an administrator, or the operator.")
    ] = "operator",
    data: Data = None,
) -> None:
    """Put a policy set in force; a running server follows within seconds.

    An edit of the files does nothing by itself. Keys taken out end their sessions within a minute. What `lint` calls an
    error is refused with exit code 1; a set that only permits less, a withdrawal even, is applied.

    Example: safehand policy apply policies/ccis-v2
    """
    from server.policy.load import read_texts

    texts = read_texts(_chosen(directory, data))
    with opened(settings_for(data)) as exchange:
        typer.echo(exchange.revisions.apply(exchange.revisions.open_proposal(texts), by=by))


def _chosen(directory: Path | None, data: Path | None) -> Path:
    folder = directory or settings_for(data).policies
    if folder is None:
        raise SettingsInvalid("Name the policy set: `safehand policy apply DIR`, or SAFEHAND_POLICIES=DIR.")
    return folder
