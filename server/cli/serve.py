"""Making an exchange, and running it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.cli.guards import only_server, require_safe
from server.cli.logs import log_to
from server.cli.opening import Data, settings_for, write_addresses
from server.domain.errors import Misconfigured
from server.settings import Settings, find_templates

if TYPE_CHECKING:
    from bot.slack import SlackSettings
    from server.app import Addresses, Parts
    from server.exchange import Exchange


def init(
    name: Annotated[
        str, typer.Option(help="The exchange's name, as its key and papers show it.")
    ] = "Safehand exchange",
    data: Data = None,
) -> None:
    """Make an exchange: its folder, its tables and its own keys. May be repeated; nothing is overwritten.

    Example: SAFEHAND_DATA=/var/lib/safehand safehand init
    """
    settings = settings_for(data)
    log_to(level="error")
    with only_server(settings.data):
        make(settings, name)
    typer.echo("The exchange is ready for its policy: safehand policy apply DIR")


def make(settings: Settings, name: str, *, at: datetime | None = None) -> None:
    """The data folder, with its keys and tables; what is there already stays. The caller holds `only_server`."""
    from server.app import host_key
    from server.exchange import Exchange

    Exchange.create(settings.data, database_url=settings.database, templates=find_templates(), name=name, at=at)
    host_key(settings)


def serve(
    sftp_host: Annotated[str | None, typer.Option(help="Address for SFTP (SAFEHAND_SFTP_HOST).")] = None,
    sftp_port: Annotated[int | None, typer.Option(help="Port for SFTP (SAFEHAND_SFTP_PORT).")] = None,
    web_host: Annotated[str | None, typer.Option(help="Address for the desk (SAFEHAND_WEB_HOST).")] = None,
    web_port: Annotated[int | None, typer.Option(help="Port for the desk (SAFEHAND_WEB_PORT).")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM certificate for the desk, if no proxy has it.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key (mode 0600).")] = None,
    ssh_profile: Annotated[str | None, typer.Option(help="modern, or strict: recent clients only.")] = None,
    data: Data = None,
) -> None:
    """Run the exchange until SIGTERM or Ctrl-C; it ends within 5 seconds, a second signal ends it at once.

    Prints `ready` when it accepts connections. Logs are JSON lines on standard error: ids, never file names.

    Example: safehand serve --sftp-host 0.0.0.0 --data /var/lib/safehand
    """
    settings = settings_for(
        data,
        sftp_host=sftp_host,
        sftp_port=sftp_port,
        web_host=web_host,
        web_port=web_port,
        tls_cert=tls_cert,
        tls_key=tls_key,
        ssh_profile=ssh_profile,
    )
    log_to(level=settings.log_level)
    if not settings.data.is_dir():
        raise Misconfigured("There is no exchange in this data folder: run `safehand init` first.")
    with only_server(settings.data):
        serve_here(settings, lambda _exchange, _addresses: typer.echo("ready"))


def serve_here(settings: Settings, ready: Callable[[Exchange, Addresses], None]) -> None:
    """Open the exchange, put the bot's parts beside the server's, and serve until a signal. Holds no lock itself."""
    from bot.app import compose
    from server.app import start
    from server.exchange import Exchange

    require_safe(settings)
    templates = find_templates()
    exchange = Exchange.open(settings.data, database_url=settings.database, templates=templates)

    def parts(web_url: str) -> Parts:
        return compose(exchange, web_url=web_url, templates=templates, slack=_slack(settings))

    def started(addresses: Addresses) -> None:
        write_addresses(settings.data, addresses)
        ready(exchange, addresses)

    start(exchange, settings, parts, ready=started)


def _slack(settings: Settings) -> SlackSettings | None:
    if settings.slack_token is None:
        return None
    from bot.slack import SlackSettings

    secret, token = settings.slack_signing_secret, settings.slack_app_token
    return SlackSettings(
        token=settings.slack_token.get_secret_value(),
        signing_secret=secret.get_secret_value() if secret else None,
        app_token=token.get_secret_value() if token else None,
        api_url=settings.slack_api_url,
    )
