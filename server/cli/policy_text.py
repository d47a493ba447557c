"""The policy set as text: its signed text's hash, its due dates, its schemas for editors, its copy for the public."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from server.cli.opening import Data, opened, settings_for
from server.settings import SettingsInvalid, find_templates

explain = typer.Typer(help="What the policy set means.", no_args_is_help=True)
Directory = Annotated[
    Path | None,
    typer.Argument(metavar="[DIR]", help="The policy set (or SAFEHAND_POLICIES).", show_default=False),
]


def digest(directory: Directory = None, data: Data = None) -> None:
    """Print the SHA-256 of the agreement's signed text: what a signature names as document_sha256.

    The signed text is the agreement, the members with the authorities they represent, the exchanges and their columns;
    no people, contacts, keys or signatures.

    Example: safehand policy digest policies/ccis-v2
    """
    from server.policy.load import load

    typer.echo(load(_chosen(directory, data)).document_sha256)


def schema(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write them; it is made if need be.")],
) -> None:
    """Write JSON Schemas, one a section, that editors complete and underline policy files with.

    A policy file names its schema in its first line: # yaml-language-server: $schema=../json-schema/people.json

    Example: safehand policy schema policies/json-schema
    """
    from server.policy.editor import schemas

    _write(folder, schemas())
    typer.echo(f"{len(schemas())} schemas are in {folder}.")


def publish(
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Where to write it; it is made if need be.")],
    directory: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="A policy set; without one, the policy in force.", show_default=False),
    ] = None,
    data: Data = None,
) -> None:
    """Write the agreement for the public: one web page and one Markdown text (clause 5).

    No person, no key and nothing about how the exchange is secured is in it; of addresses only those of governance
    teams. Without DIR it is the policy in force, with every signature that was given in chat or on the desk.

    Example: safehand policy publish policies/ccis-v2 --to public
    """
    from server.domain.schedule import london_day
    from server.policy.load import load
    from server.policy.revision import revision
    from server.publication import published

    if directory is not None:
        policy, today = load(directory), london_day(datetime.now(UTC))
        texts = published(policy, find_templates(), revision=revision(policy), today=today)
    else:
        with opened(settings_for(data)) as exchange:
            states = {state.member: state.state for state in exchange.signing.states()}
            texts = published(
                exchange.policy,
                find_templates(),
                revision=exchange.revision,
                today=london_day(exchange.now()),
                states=states,
            )
    _write(to, texts)
    typer.echo(f"{' and '.join(texts)} are in {to}.")


@explain.command("schedule")
def schedule(
    directory: Directory = None,
    year: Annotated[
        str | None, typer.Option("--year", metavar="2026-27", help="The sharing year, April to March; else this one.")
    ] = None,
    with_readings: Annotated[
        bool, typer.Option("--readings", help="Show what other readings of “1st week” would give, side by side.")
    ] = False,
    data: Data = None,
) -> None:
    """Print when every exchange is due, month by month. Without DIR it is the policy in force.

    Example: safehand policy explain schedule policies/ccis-v2 --readings --year 2026-27
    """
    from server.domain.due import sharing_year
    from server.domain.schedule import london_day
    from server.policy.load import load
    from server.policy.timetable import readings, timetable

    settings = settings_for(data)
    folder = directory or settings.policies
    if folder is not None:
        policy, today = load(folder), london_day(datetime.now(UTC))
    else:
        with opened(settings) as exchange:
            policy, today = exchange.policy, london_day(exchange.now())
    begins = _year(year) if year else sharing_year(today)
    lines = [*timetable(policy, begins), *(readings(policy, begins) if with_readings else ())]
    typer.echo("\n".join(lines))


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    """Into a folder that everybody may read: nothing in these texts is private."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        folder.chmod(0o755)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o644)


def _year(text: str) -> int:
    from server.domain.due import year_named

    year = year_named(text)
    if year is None:
        raise typer.BadParameter("write the sharing year as 2026-27", param_hint="--year")
    return year


def _chosen(directory: Path | None, data: Path | None) -> Path:
    folder = directory or settings_for(data).policies
    if folder is None:
        raise SettingsInvalid("Name the policy set as DIR, or set SAFEHAND_POLICIES=DIR.")
    return folder
