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
from server.domain.errors import Misconfigured, SafehandError
from server.settings import Settings, find_templates

if TYPE_CHECKING:
    from bot.email import MailSettings
    from bot.slack import SlackSettings
    from server.app import Addresses, Parts
    from server.exchange import Exchange


FOUND_IT = "The exchange is ready for its first policy: safehand init DIR --vouched-by PERSON"


def init(
    directory: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="The first policy set, to put in force.", show_default=False)
    ] = None,
    vouched_by: Annotated[
        list[str] | None,
        typer.Option("--vouched-by", metavar="PERSON", help="A lead or administrator of it who answers for it."),
    ] = None,
    name: Annotated[
        str, typer.Option(help="The exchange's name, as its key and papers show it.")
    ] = "Safehand exchange",
    data: Data = None,
) -> None:
    """Make an exchange: its folder, its tables and its own keys. May be repeated; nothing is overwritten.

    With DIR the first revision of the policy comes into force too. No quorum exists before it, so people of the set
    vouch for it by name; who did is in the ledger.

    Example: SAFEHAND_DATA=/var/lib/safehand safehand init policies/ccis-v2 --vouched-by g-essex --vouched-by g-kent
    """
    settings = settings_for(data)
    log_to(level="error")
    with only_server(settings.data):
        make(settings, name)
        said = _founded(settings, directory, vouched_by or []) if directory else FOUND_IT
    typer.echo(said)


def _founded(settings: Settings, directory: Path, vouched_by: list[str]) -> str:
    from server.exchange import Exchange
    from server.policy.load import read_texts

    texts = read_texts(directory)
    exchange = Exchange.open(settings.data, database_url=settings.database, templates=find_templates())
    try:
        return exchange.revisions.found(texts, vouched_by=vouched_by)
    finally:
        exchange.close()


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
    templates, mail = find_templates(), mail_settings(settings)
    exchange = Exchange.open(settings.data, database_url=settings.database, templates=templates)
    _require_sound(exchange)

    def parts(web_url: str) -> Parts:
        return compose(exchange, web_url=web_url, templates=templates, slack=_slack(settings), mail=mail)

    def started(addresses: Addresses) -> None:
        write_addresses(settings.data, addresses)
        ready(exchange, addresses)

    start(exchange, settings, parts, ready=started)


def _require_sound(exchange: Exchange) -> None:
    """A stored policy that was tampered with keeps the server from starting."""
    try:
        exchange.ground.require_sound()
    except SafehandError:
        exchange.close()
        raise


def mail_settings(settings: Settings) -> MailSettings | None:
    """The mail server of the settings; None without one. Raises Misconfigured."""
    if settings.smtp_url is None:
        return None
    from bot.email import MailSettings

    return MailSettings.of(settings.smtp_url.get_secret_value(), settings.mail_from)


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
