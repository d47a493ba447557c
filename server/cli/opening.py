"""How a command reaches the exchange: the data folder it names, opened, and closed whatever happens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from server.cli.guards import require_safe, running_server
from server.cli.logs import log_to
from server.domain.errors import Misconfigured
from server.settings import Settings, find_templates, read_settings

if TYPE_CHECKING:
    from server.app import Addresses
    from server.exchange import Exchange

DEMO_MARK = "DEMO"
"""A file of this name says that a data folder belongs to a demo: its clock may be moved, and it may be removed."""

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="The exchange's data folder (or SAFEHAND_DATA; else ./.safehand).",
        show_default=False,
    ),
]


def settings_for(data: Path | None, **given: object) -> Settings:
    """The settings, with the data folder and options given on the command line."""
    return read_settings(data=data, **given)


@contextmanager
def opened(settings: Settings) -> Iterator[Exchange]:
    """The exchange of these settings. Raises Misconfigured when `safehand init` was not run there."""
    log_to(level="error")
    if not (settings.data / "secrets").is_dir():  # looking for an exchange makes none
        raise Misconfigured(
            "There is no exchange in this data folder: run `safehand init`, or name another with --data DIR."
        )
    require_safe(settings)
    from server.exchange import Exchange  # a second of imports that `--help` and wrong usage need not wait for

    exchange = Exchange.open(settings.data, database_url=settings.database, templates=find_templates())
    try:
        yield exchange
    finally:
        # Closing ends the signing key's agent, which is the server's too while one runs.
        if running_server(settings.data):
            exchange.ground.store.close()
        else:
            exchange.close()


def is_demo(data: Path) -> bool:
    """Whether the data folder was made by `safehand demo`."""
    return (data / DEMO_MARK).is_file()


def running_web_url(data: Path, kind: Literal["web", "local"] = "web") -> str | None:
    """Where people ("web") or this machine ("local") reach the desk, as the server wrote down at its last start."""
    try:
        found = json.loads((data / "addresses.json").read_text())
    except (OSError, ValueError):
        return None
    url = found.get(kind)
    return url if isinstance(url, str) else None


def write_addresses(data: Path, addresses: Addresses) -> None:
    """Note where the server listens, for commands that print links; replaced atomically."""
    sftp = {"host": addresses.sftp_host, "port": addresses.sftp_port}
    text = json.dumps({"sftp": sftp, "web": addresses.web_url, "local": addresses.local_url})
    draft = data / "addresses.json.new"
    draft.write_text(text + "\n")
    draft.replace(data / "addresses.json")
