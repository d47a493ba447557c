"""Whether this machine and this data folder are fit: each check says what is wrong and what to do."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from server.cli.exits import REFUSED
from server.cli.guards import require_safe, running_server
from server.cli.opening import Data, is_demo, opened, running_web_url, settings_for
from server.domain.errors import SafehandError
from server.settings import Settings, SettingsInvalid, find_templates

if TYPE_CHECKING:
    from server.exchange import Exchange

OLDEST_GPG = (2, 2, 27)
LEAST_FREE = 2 * 1024**3
HEALTH_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was looked at, whether it is well, and words."""

    about: str
    well: bool
    words: str


def doctor(
    health: Annotated[
        bool, typer.Option("--health", help="Only ask the running server whether it is up (for a container's check).")
    ] = False,
    data: Data = None,
) -> None:
    """Look at everything that the exchange needs, and say what to do where something is wrong.

    gpg, settings, database, keys, policy, spool, disk, clock, ports. Exits with 1 when there is a problem.

    Example: safehand doctor --data /var/lib/safehand
    """
    settings = settings_for(data)
    findings = [_health(settings)] if health else list(examine(settings))
    for finding in findings:
        typer.echo(f"{'ok  ' if finding.well else 'BAD '}  {finding.about:<10} {finding.words}")
    if not all(finding.well for finding in findings):
        raise typer.Exit(REFUSED)


def examine(settings: Settings) -> Iterator[Finding]:
    """Every check, in the order in which one needs the other."""
    yield _gpg()
    yield _checked("settings", lambda: _settings(settings))
    yield _disk(settings)
    try:
        with opened(settings) as exchange:
            yield Finding("database", True, "the tables are those of this version, the exchange's key signs")
            yield _checked("policy", lambda: _policy(exchange))
            yield _checked("spool", lambda: _spool(settings))
            yield _checked("mail", lambda: _mail(exchange, settings))
            yield _checked("clock", lambda: _clock(exchange, settings))
            yield _checked("ledger", lambda: _ledger(exchange))
    except (SafehandError, SettingsInvalid) as error:
        yield Finding("database", False, error.sentence)
    yield from _ports(settings)


def _checked(about: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(about, True, check())
    except (SafehandError, SettingsInvalid) as error:
        return Finding(about, False, error.sentence)


def _gpg() -> Finding:
    try:
        done = subprocess.run(["gpg", "--version"], capture_output=True, text=True, check=False, timeout=10)
    except FileNotFoundError:
        return Finding("gpg", False, "gpg is not installed: install the package gnupg.")
    except subprocess.TimeoutExpired:
        return Finding("gpg", False, "gpg does not answer: look at the machine's load.")
    found = re.search(r"\b(\d+)\.(\d+)\.(\d+)", done.stdout)
    version = tuple(int(part) for part in found.groups()) if found else (0, 0, 0)
    if version < OLDEST_GPG:
        return Finding("gpg", False, "gpg is older than 2.2.27: install a newer one.")
    missing = [program for program in ("gpg-agent", "gpgconf") if shutil.which(program) is None]
    if missing:
        return Finding("gpg", False, f"{' and '.join(missing)} cannot be found: install the package {missing[0]}.")
    return Finding("gpg", True, f"version {'.'.join(map(str, version))}")


def _settings(settings: Settings) -> str:
    require_safe(settings)
    find_templates()
    return "they fit together, and no private file is open to everybody"


def _disk(settings: Settings) -> Finding:
    place = next(folder for folder in (settings.data.resolve(), *settings.data.resolve().parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    words = f"{free / 1024**3:.1f} GiB free where the data folder is"
    return Finding("disk", free >= LEAST_FREE, words if free >= LEAST_FREE else f"only {words}: make room.")


def _policy(exchange: Exchange) -> str:
    from server.policy.lint import lint

    policy = exchange.policy
    errors = [finding for finding in lint(policy, exchange.now()) if finding.is_error]
    if errors:
        raise SafehandError(
            f"{len(errors)} errors in the policy in force, first: {errors[0].sentence} {errors[0].remedy}"
        )
    return f"revision {exchange.revision[:12]}, {len(policy.members)} members, {len(policy.people)} people"


def _spool(settings: Settings) -> str:
    probe = settings.data / "spool" / ".doctor"
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError:
        raise SafehandError("The spool cannot be written: look at its owner and mode, and at the disk.") from None
    return "can be written"


def _mail(exchange: Exchange, settings: Settings) -> str:
    """Whether somebody is to be told by mail, and can be."""
    from server.cli.serve import mail_settings

    mail = mail_settings(settings)
    with exchange.ground.store.reading() as session:
        wanted = exchange.letters.addresses(session)
    alone = exchange.letters.without_people(wanted)
    if mail is not None:
        return f"{mail.host} port {mail.port}, for {len(wanted)} addresses"
    if alone:
        names = ", ".join(alone)
        raise SafehandError(f"Only a team address is left for {names}, and mail is not set up: SAFEHAND_SMTP_URL.")
    people = (
        f"{len(wanted)} people and team addresses have no chat: they are told on the desk and in their mailbox only"
    )
    return f"not set up (SAFEHAND_SMTP_URL). {people}" if wanted else "not set up, and nobody needs it"


def _clock(exchange: Exchange, settings: Settings) -> str:
    ahead = abs(exchange.now() - datetime.now(UTC))
    if ahead > timedelta(seconds=1) and not is_demo(settings.data):
        raise SafehandError("The exchange's clock is not real time, and this is no demo: ask who moved it.")
    return "real time" if ahead <= timedelta(seconds=1) else "moved, as a demo's may be"


def _ledger(exchange: Exchange) -> str:
    last = max((entry.number for entry in exchange.evidence.entries(0)), default=0)
    return f"{last} entries (safehand ledger verify proves them)"


def _ports(settings: Settings) -> Iterator[Finding]:
    if running_server(settings.data):
        yield _health(settings)
        return
    for about, host, port in (
        ("sftp port", settings.sftp_host, settings.sftp_port),
        ("web port", settings.web_host, settings.web_port),
    ):
        yield _port(about, host, port)


def _port(about: str, host: str, port: int) -> Finding:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return Finding(about, False, f"{host} port {port} cannot be used ({error.strerror}): choose another.")
    return Finding(about, True, f"{host} port {port} is free")


def _health(settings: Settings) -> Finding:
    url = running_web_url(settings.data, "local")
    if url is None or not running_server(settings.data):
        return Finding("server", False, "no server runs on this data folder: safehand serve")
    # This machine asks itself: the certificate's name is not what is examined here.
    unnamed = urllib.request.HTTPSHandler(context=ssl._create_unverified_context())  # noqa: S323
    browser = urllib.request.build_opener(urllib.request.ProxyHandler({}), unnamed)
    try:
        with browser.open(f"{url}/healthz", timeout=HEALTH_SECONDS) as answer:
            up = answer.status == 200
    except (urllib.error.URLError, TimeoutError, OSError):
        up = False
    return Finding("server", up, "it answers" if up else "it runs but does not answer: look at its log")
