"""The policy set at the command line: what is wrong with it, and putting it in force."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from server.cli.exits import REFUSED
from server.cli.opening import Data, opened, settings_for
from server.settings import SettingsInvalid

app = typer.Typer(help="The agreement in its machine form: check it, put it in force.", no_args_is_help=True)
Directory = Annotated[
    Path | None,
    typer.Argument(metavar="[DIR]", help="The policy set (or SAFEHAND_POLICIES).", show_default=False),
]


@app.command("lint")
def lint_(directory: Directory = None, data: Data = None) -> None:
    """Say what is wrong with a policy set, each with file, line and what to write instead.

    Exits with 1 when `apply` would refuse it; warnings alone exit with 0.

    Example: safehand policy lint policies/ccis-v2
    """
    from server.policy.lint import lint
    from server.policy.load import load_texts, read_texts
    from server.policy.revision import revision

    folder = _chosen(directory, data)
    policy = load_texts(read_texts(folder))
    findings = lint(policy, datetime.now(UTC))
    for finding in findings:
        typer.echo(str(finding))
    errors = sum(1 for finding in findings if finding.severity == "error")
    typer.echo(f"Revision {revision(policy)[:12]}: {errors} errors, {len(findings) - errors} warnings.")
    if errors:
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
        typer.echo(exchange.revisions.apply(texts, by=by))


def _chosen(directory: Path | None, data: Path | None) -> Path:
    folder = directory or settings_for(data).policies
    if folder is None:
        raise SettingsInvalid("Name the policy set: `safehand policy apply DIR`, or SAFEHAND_POLICIES=DIR.")
    return folder
