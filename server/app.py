"""The server's parts put together: one process a data folder, one way to start, one to end within five seconds."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import asyncssh
import structlog
import uvicorn
import uvloop
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from server.domain.errors import Misconfigured
from server.exchange import Exchange
from server.jobs import Jobs
from server.settings import Settings
from server.sftp.listener import Listener, ensure_host_key
from server.web import web_app

ENDING_SECONDS = 4.5
"""After the first signal the process is gone by then, whatever hangs."""
REST_SECONDS = 2.0
"""How long an open request or a chat call may take to end."""
log = structlog.get_logger("app")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a started server listens. `host_key` is the SSH host key's public line.

    `web_url` is what people use, `local_url` what this machine uses: they differ behind a proxy.
    """

    sftp_host: str
    sftp_port: int
    web_url: str
    local_url: str
    host_key: str


class Parts(Protocol):
    """What is handed in from outside: pages and endpoints, and tasks that run until they are cancelled."""

    @property
    def routes(self) -> Sequence[BaseRoute]: ...
    @property
    def tasks(self) -> Sequence[Callable[[], Awaitable[None]]]: ...


def start(
    exchange: Exchange,
    settings: Settings,
    parts: Callable[[str], Parts],
    *,
    ready: Callable[[Addresses], None],
) -> None:
    """Serve until a signal; the exchange is closed on return. `parts` is asked with the desk's URL.

    The caller holds `only_server`. Raises Misconfigured when a port or a key cannot be used.
    """
    uvloop.run(run(exchange, settings, parts, ready=ready))


async def run(
    exchange: Exchange,
    settings: Settings,
    parts: Callable[[str], Parts],
    *,
    ready: Callable[[Addresses], None],
) -> None:
    """Open the doors, say that they are open, wait for SIGTERM or SIGINT, and close everything in order."""
    end = asyncio.Event()
    _heed_signals(end)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, exchange.close)
        exchange.intake.resume_seconds = settings.resume_minutes * 60.0
        for sentence in await asyncio.to_thread(exchange.recover):
            log.info("recovered", what=sentence)
        door = _bound(settings.web_host, settings.web_port, "SAFEHAND_WEB_PORT")
        stack.callback(door.close)
        web_url, local_url = settings.desk_url(door.getsockname()[1]), settings.local_url(door.getsockname()[1])
        inside = await asyncio.to_thread(parts, web_url)
        jobs = Jobs(exchange)
        jobs.start()
        stack.callback(jobs.close)
        listener, public = await _sftp(exchange, settings)
        stack.push_async_callback(listener.close)
        web = _Web(_web_config(web_app(exchange, inside.routes), settings))
        await _enter(stack, [web.serve(sockets=[door]), *(task() for task in inside.tasks)], web)
        await web.up.wait()
        await asyncio.to_thread(ready, Addresses(settings.sftp_host, listener.port, web_url, local_url, public))
        await end.wait()
        log.info("ending")


def host_key(settings: Settings) -> tuple[Path, str]:
    """The SSH host key's file, made if there is none, and its public line: type and base64."""
    folder = settings.data / "ssh"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = ensure_host_key(folder / "host_ed25519")
    return key, asyncssh.read_private_key(key).export_public_key("openssh").decode().strip()


async def _sftp(exchange: Exchange, settings: Settings) -> tuple[Listener, str]:
    key, public = await asyncio.to_thread(host_key, settings)
    listener = Listener()
    try:
        await listener.start(exchange, settings.sftp_host, settings.sftp_port, [key], profile=settings.ssh_profile)
    except OSError as error:
        raise _taken(settings.sftp_host, settings.sftp_port, "SAFEHAND_SFTP_PORT", error) from error
    return listener, " ".join(public.split()[:2])


async def _enter(stack: contextlib.AsyncExitStack, works: Sequence[Awaitable[None]], web: _Web) -> None:
    """Run them beside each other until the stack unwinds."""
    running = [asyncio.ensure_future(work) for work in works]
    for task in running:
        task.add_done_callback(_noticed)

    async def stop() -> None:
        web.should_exit = True
        for task in running[1:]:
            task.cancel()
        await asyncio.wait(running, timeout=REST_SECONDS)
        running[0].cancel()

    stack.push_async_callback(stop)


def _noticed(task: asyncio.Future[None]) -> None:
    """A part that fails is recorded and left; the exchange goes on without it."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.error("part_ended", error=type(error).__name__, incident=secrets.token_hex(4))


class _Web(uvicorn.Server):
    """uvicorn without its own signal handling: one place decides when all of it ends. `up`: it accepts connections."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _web_config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=1,
        limit_concurrency=200,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise Misconfigured("SAFEHAND_TLS_CERT and SAFEHAND_TLS_KEY are not a PEM pair that fits together.") from error
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return config


def _bound(host: str, port: int, setting: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    door = socket.socket(family, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((host, port))
        door.listen(128)
    except OSError as error:
        door.close()
        raise _taken(host, port, setting, error) from error
    door.setblocking(False)
    return door


def _taken(host: str, port: int, setting: str, error: OSError) -> Misconfigured:
    why = os.strerror(error.errno) if error.errno else "not possible"
    return Misconfigured(f"Cannot listen on {host} port {port} ({why}): choose another with {setting}.", code="PORT")


def _heed_signals(end: asyncio.Event) -> None:
    """The first signal ends in order, but within ENDING_SECONDS; the second ends at once."""
    loop = asyncio.get_running_loop()

    def heed() -> None:
        if end.is_set():
            os._exit(1)
        end.set()
        last = threading.Timer(ENDING_SECONDS, os._exit, (1,))
        last.daemon = True
        last.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, heed)
