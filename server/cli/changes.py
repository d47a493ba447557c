"""Changing the policy at the command line: consequences, asking for approval, putting it in force, what was before."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.cli.exits import REFUSED
from server.cli.opening import Data, opened, settings_for
from server.domain.schedule import in_words
from server.settings import SettingsInvalid

if TYPE_CHECKING:
    from server.exchange import Exchange
    from server.exchange.asking import ProposalView

Directory = Annotated[
    Path | None,
    typer.Argument(metavar="[DIR]", help="The policy set (or SAFEHAND_POLICIES).", show_default=False),
]
By = Annotated[str, typer.Option("--by", metavar="PERSON", help="Who proposes it: an administrator of the policy.")]
Revision = Annotated[str, typer.Argument(metavar="REVISION", help="Its label, or its hash or the beginning of it.")]
_PROPOSAL = re.compile(r"P-\d{4}-\d{6,}", re.IGNORECASE)
_OPERATOR = "operator"


def plan(directory: Directory = None, data: Data = None) -> None:
    """Say what a policy set would change for whom, and who would have to agree. Changes nothing.

    Exits with 1 when it has errors of lint that the policy in force does not have.

    Example: safehand policy plan policies/ccis-v2
    """
    texts = _texts(chosen(directory, data))
    with opened(settings_for(data)) as exchange:
        planned = exchange.revisions.plan(texts, by=_OPERATOR)
        typer.echo(f"Version {planned.label}, revision {planned.revision[:12]}, in the place of {planned.base[:12]}:")
        for line in planned.lines or ("Nothing changes but the label.",):
            typer.echo(f"  {line}")
        typer.echo(f"What it is: {planned.class_words}. It needs {planned.needs_words}.")
        for finding in planned.errors:
            typer.echo(str(finding))
    if planned.errors:
        raise typer.Exit(REFUSED)


def propose(by: By, directory: Directory = None, data: Data = None) -> None:
    """Ask for the approval of a policy set: its approvers are asked in chat and on the desk.

    Example: safehand policy propose policies/ccis-v2 --by a-essex-1
    """
    texts = _texts(chosen(directory, data))
    with opened(settings_for(data)) as exchange:
        _say(exchange, exchange.revisions.propose(texts, by=by))


def rollback(revision: Revision, by: By, data: Data = None) -> None:
    """Propose a revision that was in force earlier; it needs the quorum of what it changes, like any other.

    Example: safehand policy rollback 2.0.0 --by a-essex-1
    """
    with opened(settings_for(data)) as exchange:
        _say(exchange, exchange.revisions.rollback(revision, by=by))


def proposals(data: Data = None) -> None:
    """List every proposal, open ones first: what it needs, or how it ended.

    Example: safehand policy proposals
    """
    with opened(settings_for(data)) as exchange:
        found = exchange.revisions.every()
        for one in found:
            answers = ", ".join(f"{person} {answer}" for person, _, answer, _ in one.answers) or "no answers yet"
            typer.echo(f"{one.id}  {one.status:<9}  version {one.label}  by {one.by}, {in_words(one.at)}; {answers}")
            typer.echo(f"  {one.needs_words}")
    if not found:
        typer.echo("Nothing was ever proposed.")


def apply(
    what: Annotated[
        str | None, typer.Argument(metavar="[P-…|DIR]", help="The proposal, or the set that was proposed.")
    ] = None,
    by: Annotated[str, typer.Option("--by", metavar="PERSON", help="Who applies it, if not the operator.")] = _OPERATOR,
    data: Data = None,
) -> None:
    """Put a proposal that has its quorum in force; running servers follow within 5 seconds.

    An edit of the files does nothing by itself: this takes the text that was approved. Without its quorum it is refused
    with exit code 1, and says whose approval is missing.

    Example: safehand policy apply P-2026-000001
    """
    named = what is not None and _PROPOSAL.fullmatch(what) is not None
    texts = {} if named else _texts(chosen(Path(what) if what else None, data))
    with opened(settings_for(data)) as exchange:
        proposal = what if named and what else exchange.revisions.open_proposal(texts)
        typer.echo(exchange.revisions.apply(proposal.upper(), by=by))


def history(data: Data = None) -> None:
    """List every revision that was put in force, the newest first: when, by whom, and who approved it.

    Example: safehand policy history
    """
    with opened(settings_for(data)) as exchange:
        for one in exchange.revisions.history.applied():
            how = (
                f"{one.proposal}, approved by {', '.join(one.approved_by)}"
                if one.proposal
                else f"vouched for by {one.by}"
            )
            typer.echo(f"{one.revision[:12]}  version {one.label:<10}  {in_words(one.at)}  {how}")


def show(
    revision: Revision,
    file: Annotated[str | None, typer.Option("--file", metavar="NAME", help="Only this file, as it was read.")] = None,
    data: Data = None,
) -> None:
    """Print the text of a revision that was in force, as it was read.

    Example: safehand policy show 2.0.0 --file people.yaml
    """
    with opened(settings_for(data)) as exchange:
        files = exchange.revisions.history.files(revision)
    if file is not None and file not in files:
        raise SettingsInvalid(f"This revision has no file {file}: it has {', '.join(sorted(files))}.")
    for name in [file] if file else sorted(files):
        if file is None:
            typer.echo(f"# ---- {name}")
        typer.echo(files[name], nl=not files[name].endswith("\n"))


def diff(
    earlier: Annotated[str, typer.Argument(metavar="A", help="A revision, or a policy set's folder.")],
    later: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    text: Annotated[bool, typer.Option("--text", help="Compare the files line by line.")] = False,
    data: Data = None,
) -> None:
    """Say what differs between two revisions, value by value; keys by their fingerprints.

    Example: safehand policy diff 2.0.0 policies/ccis-v2
    """
    from server.policy.changes import changes
    from server.policy.load import load_texts

    with opened(settings_for(data)) as exchange:
        before, after = _content(exchange, earlier), _content(exchange, later)
    if text:
        for line in _by_line(before, after):
            typer.echo(line)
        return
    found = changes(load_texts(before), load_texts(after))
    for change in found:
        typer.echo(str(change))
    if not found:
        typer.echo("They have the same content.")


def chosen(directory: Path | None, data: Path | None) -> Path:
    """The set's folder as named, or as the settings have it."""
    folder = directory or settings_for(data).policies
    if folder is None:
        raise SettingsInvalid("Name the policy set: DIR, or SAFEHAND_POLICIES=DIR.")
    return folder


def _texts(folder: Path) -> Mapping[str, str]:
    from server.policy.load import read_texts

    return read_texts(folder)


def _content(exchange: Exchange, name: str) -> Mapping[str, str]:
    return _texts(Path(name)) if Path(name).is_dir() else exchange.revisions.history.files(name)


def _by_line(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    found: list[str] = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name, "").splitlines(), after.get(name, "").splitlines()
        found += difflib.unified_diff(old, new, f"a/{name}", f"b/{name}", lineterm="")
    return found


def _say(exchange: Exchange, proposal: ProposalView) -> None:
    typer.echo(f"{proposal.id} proposes version {proposal.label}, revision {proposal.revision[:12]}:")
    for line in proposal.lines or ("Nothing changes but the label.",):
        typer.echo(f"  {line}")
    typer.echo(f"{proposal.needs_words} Its approvers are asked in chat and on the desk.")
    typer.echo(f"Then: safehand policy apply {proposal.id}")
