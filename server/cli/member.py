"""Members at the command line: who is in it, who has signed, who leaves, who comes back."""

from __future__ import annotations

from typing import Annotated

import typer

from server.cli.opening import Data, opened, settings_for

app = typer.Typer(help="Members of the agreement: who has signed, who leaves.", no_args_is_help=True)
MemberId = Annotated[str, typer.Argument(metavar="MEMBER", help="A member's id in the policy, such as thurrock.")]
_OPERATOR = "operator"


@app.command("list")
def list_(data: Data = None) -> None:
    """List the members: where each one's signature stands, and who has left and what is overdue of them.

    Example: safehand member list
    """
    with opened(settings_for(data)) as exchange:
        left = {view.member: view for view in exchange.departures.all()}
        for state in exchange.signing.states():
            gone = left.pop(state.member, None)
            typer.echo(f"{state.member:<16} {gone.words if gone else state.words}")
        for view in left.values():
            typer.echo(f"{view.member:<16} {view.words} (no longer in the policy)")


@app.command("leave")
def leave(
    member: MemberId,
    by: Annotated[str, typer.Option("--by", metavar="PERSON", help="Who decided it, if not the operator.")] = _OPERATOR,
    data: Data = None,
) -> None:
    """Let a member go at once: nobody of it logs in, its mailbox is locked, and it attests what it destroyed.

    Its governance leads may still sign in to the desk, for that attestation alone; `safehand member list` says when it
    is overdue. Two people of two members take it back (`safehand member return`).

    Example: safehand member leave thurrock --by g-thurrock
    """
    with opened(settings_for(data)) as exchange:
        typer.echo(exchange.departures.leave(member, by=by).sentence)


@app.command("return")
def return_(
    member: MemberId,
    by: Annotated[str, typer.Option("--by", metavar="PERSON", help="Who asks for it, or agrees to it.")],
    data: Data = None,
) -> None:
    """Take a member back: the first call asks for it, a call by somebody of another member does it.

    Example: safehand member return thurrock --by g-essex, then safehand member return thurrock --by g-kent
    """
    with opened(settings_for(data)) as exchange:
        typer.echo(exchange.departures.come_back(member, by=by).sentence)
