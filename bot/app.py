"""The bot's parts put together: pages and endpoints to mount, and tasks that run until they are cancelled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from starlette.routing import BaseRoute

from bot.desk import Desk
from bot.relay import Threads
from bot.slack import SlackFront, SlackSettings
from server.exchange import Exchange


@dataclass(frozen=True, slots=True)
class Parts:
    """What the server mounts and runs. A task ends only when it is cancelled."""

    routes: list[BaseRoute]
    tasks: list[Callable[[], Awaitable[None]]]


def compose(exchange: Exchange, *, web_url: str, templates: Path, slack: SlackSettings | None) -> Parts:
    """The desk, and Slack if it is set. `web_url` is where browsers find the desk.

    The mailboxes' sign-in links lead there too.
    Raises Misconfigured when Slack is set without a way to prove its requests.
    """
    exchange.documents.web_url = web_url
    threads = Threads()
    if slack is None:
        desk = Desk(exchange, web_url=web_url, templates=templates, threads=threads)
        return Parts([*desk.routes], [])
    front = SlackFront(slack, exchange, threads)
    desk = Desk(exchange, web_url=web_url, templates=templates, threads=threads, told=front.relay.wake, chat=True)
    tasks: list[Callable[[], Awaitable[None]]] = [front.relay.run]
    if slack.app_token:
        tasks.append(front.socket)
    return Parts([*desk.routes, *front.routes], tasks)
