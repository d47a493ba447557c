"""The bot's parts put together: pages and endpoints to mount, and tasks that run until they are cancelled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.routing import BaseRoute

from bot.desk import Desk
from bot.email import EmailFront, MailSettings
from bot.relay import Relay, Threads
from server.exchange import Exchange

if TYPE_CHECKING:
    from bot.slack import SlackSettings


@dataclass(frozen=True, slots=True)
class Parts:
    """What the server mounts and runs. A task ends only when it is cancelled."""

    routes: list[BaseRoute]
    tasks: list[Callable[[], Awaitable[None]]]


def compose(
    exchange: Exchange, *, web_url: str, templates: Path, slack: SlackSettings | None, mail: MailSettings | None = None
) -> Parts:
    """The desk, and Slack and mail if they are set. `web_url` is where browsers find the desk.

    The mailboxes' sign-in links lead there too.
    Raises Misconfigured when Slack is set without a way to prove its requests.
    """
    exchange.documents.web_url = web_url
    threads, relays, tasks = Threads(), list[Relay](), list[Callable[[], Awaitable[None]]]()
    routes: list[BaseRoute] = []
    if slack is not None:
        from bot.slack import SlackFront  # its libraries are loaded only where there is Slack

        front = SlackFront(slack, exchange, threads)
        relays.append(front.relay)
        routes += front.routes
        tasks += [front.socket] if slack.app_token else []
    if mail is not None:
        relays.append(EmailFront(mail, exchange, web_url=web_url).relay)

    def told() -> None:
        for relay in relays:
            relay.wake()

    desk = Desk(exchange, web_url=web_url, templates=templates, threads=threads, told=told, chat=slack is not None)
    return Parts([*desk.routes, *routes], [*(relay.run for relay in relays), *tasks])
