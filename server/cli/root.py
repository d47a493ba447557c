"""The command `safehand` and what its --help says."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version as installed_version
from typing import Annotated

import typer

from server.cli import (
    access,
    agreement,
    attestation,
    certificate,
    clock,
    correction,
    demo,
    dispose,
    doctor,
    event,
    findings,
    hold,
    key,
    ledger,
    member,
    obligation,
    people,
    policy,
    policy_text,
    serve,
    status,
)
from server.cli.exits import translated, unexpected
from server.domain.errors import SafehandError
from server.settings import SettingsInvalid

HELP = """
A file exchange for organisations that share personal data under one written agreement.

Try it:       safehand demo

Set it up:    safehand init DIR --vouched-by PERSON, then safehand serve

Change it:    safehand policy plan DIR, then policy propose DIR --by PERSON, then policy apply P-…

Ask it:       safehand access explain essex medway post16-destinations

Prove it:     safehand ledger verify

Every command takes --data DIR (or SAFEHAND_DATA). Settings are SAFEHAND_* variables; the README lists them.
"""
EPILOG = (
    "Exit codes: 0 done. 1 refused, or a check failed. 2 wrong usage. "
    "3 the machine or its settings are not ready, or a defect."
)

app = typer.Typer(
    name="safehand",
    help=HELP,
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
app.command("init")(serve.init)
app.command("serve")(serve.serve)
app.command("demo")(demo.demo)
app.command("invite")(people.invite)
app.command("suspend")(people.suspend)
app.command("resume")(people.resume)
app.command("away")(people.away)
app.command("back")(people.back)
policy.app.command("digest")(policy_text.digest)
policy.app.command("schema")(policy_text.schema)
policy.app.command("publish")(policy_text.publish)
policy.app.add_typer(policy_text.explain, name="explain")
app.add_typer(policy.app, name="policy")
app.add_typer(member.app, name="member")
app.add_typer(agreement.app, name="agreement")
app.add_typer(correction.app, name="correction")
app.add_typer(obligation.app, name="obligation")
app.add_typer(event.app, name="event")
app.add_typer(access.app, name="access")
app.add_typer(attestation.app, name="attestation")
app.add_typer(key.app, name="key")
app.add_typer(ledger.app, name="ledger")
app.add_typer(certificate.app, name="certificate")
app.add_typer(hold.app, name="hold")
app.add_typer(clock.app, name="clock")
app.command("dispose")(dispose.dispose)
app.command("status")(status.status)
app.command("findings")(findings.findings)
app.command("reconcile")(findings.reconcile)
app.command("doctor")(doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"safehand {installed_version('safehand')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    pass


_root.__doc__ = HELP


def main() -> None:
    """Run the command that the arguments name, and exit with its code."""
    os.umask(0o077)
    try:
        app()
    except (SafehandError, SettingsInvalid, OSError) as error:
        sys.exit(translated(error))
    except Exception as defect:  # noqa: BLE001 -- the process's edge: a traceback would show what it was working on
        sys.exit(unexpected(defect))
