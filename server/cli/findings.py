"""What a person has to look at: listed, and looked for on demand."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from server.cli.exits import REFUSED
from server.cli.opening import Data, opened, settings_for


def findings(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data: Data = None,
) -> None:
    """List what somebody has to look at, oldest first; a permanent finding stays for ever.

    Exits with 1 when there is any.

    Example: safehand findings --json
    """
    with opened(settings_for(data)) as exchange:
        standing = exchange.findings.open()
    if as_json:
        told = [
            {"code": f.code, "subject": f.subject, "words": f.words, "at": f.at.isoformat(), "permanent": f.permanent}
            for f in standing
        ]
        typer.echo(json.dumps(told, ensure_ascii=False, indent=1))
    for finding in () if as_json else standing:
        mark = "  (permanent)" if finding.permanent else ""
        typer.echo(f"{finding.at:%Y-%m-%d %H:%M}Z  {finding.code:<22}  {finding.words}{mark}")
    if not standing and not as_json:
        typer.echo("Nothing has to be looked at.")
    if standing:
        raise typer.Exit(REFUSED)


def reconcile(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data: Data = None,
) -> None:
    """Compare the rows with the spool now: every sealed file's size and SHA-256, key packets, deliveries.

    What differs is written down and held back (not served, not purged), never repaired; both members are told.
    What an earlier look found and this one does not is mended. Exits with 1 when something differs.

    Example: safehand reconcile --data /var/lib/safehand
    """
    with opened(settings_for(data)) as exchange:
        found = exchange.reconciliation.look(by="operator")
    if found is None:
        return
    if as_json:
        typer.echo(json.dumps(asdict(found), ensure_ascii=False, indent=1))
    else:
        for one in found.differences:
            typer.echo(f"{one.code:<18}  {one.words}")
        words = f"{len(found.differences)} differ" if found.differences else "everything is as it was stored"
        mended = f", {found.mended} mended" if found.mended else ""
        typer.echo(f"{found.files:,} sealed files read, {found.bytes:,} bytes: {words}{mended}.")
    if found.differences:
        raise typer.Exit(REFUSED)
