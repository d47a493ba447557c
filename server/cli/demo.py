"""`safehand demo`: an exchange of fictional members under one folder, on loopback, to be tried with real clients."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from server.cli.clock import london_time
from server.cli.guards import only_server


def demo(
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Everything is kept below it.")] = Path(
        ".safehand-demo"
    ),
    sftp_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="0: a free one. Else 2222, or a free one if it is taken.")
    ] = None,
    web_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="0: a free one. Else 8080, or a free one if it is taken.")
    ] = None,
    now: Annotated[
        str | None,
        typer.Option(metavar="ISO-TIME", help="Start the exchange's clock there (London); it runs on."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Play the whole story with the real sftp and gpg, a line a step, then end.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Remove DIR first, if it is a demo's.")] = False,
    data: Annotated[Path | None, typer.Option("--data", metavar="DIR", help="The same as --dir.", hidden=True)] = None,
) -> None:
    """Run an exchange of fictional members, with keys for everybody, and print what to paste.

    Listens on loopback only. Ctrl-C ends it; started again on the same DIR it goes on where it was. DIR/demo.json says
    where everything is. --check exits with 0 when every step of the story holds, with 1 at the first that does not.

    Example: safehand demo --now 2026-12-01T09:00, then in another terminal what it prints
    """
    moment = london_time(now) if now else None
    place = (data or folder).resolve()
    if check:
        from server.cli.story import play

        raise typer.Exit(play(place, sftp_port or 0, web_port or 0, now, fresh=fresh))
    from server.cli.stage import claim, remove, run

    if fresh:
        remove(place)
    claim(place)
    with only_server(place):
        run(place, sftp_port, web_port, moment)
