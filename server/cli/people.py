"""People at the command line: a sign-in link, a suspension, and its end, which takes two people."""

from __future__ import annotations

from typing import Annotated

import typer

from server.cli.opening import Data, opened, running_web_url, settings_for
from server.settings import Settings

PersonId = Annotated[str, typer.Argument(metavar="PERSON", help="A person's id in the policy, such as p-kent-1.")]
OPERATOR = "operator"


def invite(
    person: PersonId,
    hours: Annotated[int, typer.Option(min=1, max=168, help="How long the link is good for.")] = 24,
    data: Data = None,
) -> None:
    """Print a one-time link with which a person signs in to the desk.

    For people who have no SSH key. Hand it over in person or by telephone: whoever opens it first is signed in.

    Example: safehand invite g-kent
    """
    settings = settings_for(data)
    with opened(settings) as exchange:
        token = exchange.people.invite(person, by=OPERATOR, hours=hours)
    typer.echo(f"{_desk_url(settings)}/desk/in/{token}")


def suspend(
    person: PersonId,
    by: Annotated[str, typer.Option("--by", metavar="PERSON", help="Who decided it, if not the operator.")] = OPERATOR,
    data: Data = None,
) -> None:
    """End a person's access at once: SSH and desk sessions, chat links, codes.

    For a lost laptop or a leaver. What was delivered stays with the member; two people lift it (`safehand resume`).

    Example: safehand suspend p-kent-1
    """
    with opened(settings_for(data)) as exchange:
        typer.echo(exchange.people.suspend(person, by=by).sentence)


def resume(
    person: PersonId,
    by: Annotated[str, typer.Option("--by", metavar="PERSON", help="Who asks for it, or agrees to it.")],
    data: Data = None,
) -> None:
    """Lift a suspension: the first call asks for it, a second person's call does it.

    Example: safehand resume p-kent-1 --by g-kent, then safehand resume p-kent-1 --by g-kent-2
    """
    with opened(settings_for(data)) as exchange:
        typer.echo(exchange.people.resume(person, by=by).sentence)


def away(
    person: PersonId,
    first: Annotated[str, typer.Option("--from", metavar="DAY", help="The first day, as 2026-12-21.")],
    last: Annotated[str, typer.Option("--until", metavar="DAY", help="The last day, as 2027-01-04.")],
    by: Annotated[str, typer.Option("--by", metavar="PERSON", help="Who says it: they, their lead or administrator.")],
    cover: Annotated[str | None, typer.Option(metavar="PERSON", help="Who of their organisation stands in.")] = None,
    data: Data = None,
) -> None:
    """Say that somebody is away: reminders and new deliveries go to whoever stands in.

    Example: safehand away p-kent-1 --from 2026-12-21 --until 2027-01-04 --cover p-kent-2 --by p-kent-1
    """
    from server.exchange.away import days_said  # a second of imports that `--help` need not wait for

    begins, ends = days_said(first, last)
    with opened(settings_for(data)) as exchange:
        typer.echo(exchange.absences.away(person, begins, ends, cover, by=by).sentence)


def back(
    person: PersonId,
    by: Annotated[str, typer.Option("--by", metavar="PERSON", help="Who says it: they, their lead or administrator.")],
    data: Data = None,
) -> None:
    """Say that somebody is back, or that an absence ahead is called off.

    Example: safehand back p-kent-1 --by p-kent-1
    """
    with opened(settings_for(data)) as exchange:
        typer.echo(exchange.absences.back(person, by=by).sentence)


def _desk_url(settings: Settings) -> str:
    return running_web_url(settings.data) or settings.desk_url(settings.web_port)
