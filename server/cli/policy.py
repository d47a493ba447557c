"""The policy set at the command line: what is wrong with it; how it is changed is in `changes`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from server.cli import cases, changes
from server.cli.clock import london_time
from server.cli.exits import REFUSED
from server.cli.opening import Data

app = typer.Typer(help="The agreement in its machine form: check it, put it in force.", no_args_is_help=True)
Directory = changes.Directory
app.command("test")(cases.try_)
app.command("plan")(changes.plan)
app.command("propose")(changes.propose)
app.command("proposals")(changes.proposals)
app.command("apply")(changes.apply)
app.command("rollback")(changes.rollback)
app.command("history")(changes.history)
app.command("show")(changes.show)
app.command("diff")(changes.diff)


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

    folder, moment = changes.chosen(directory, data), london_time(now) if now else datetime.now(UTC)
    try:
        policy = load_texts(read_texts(folder))
    except PolicyInvalid as invalid:
        findings, of = problems(invalid), None
    else:
        findings, of = lint(policy, moment), revision(policy)
    typer.echo(shown(below(str(folder), findings), "json" if as_json else form, of))
    if any(finding.is_error for finding in findings):
        raise typer.Exit(REFUSED)
