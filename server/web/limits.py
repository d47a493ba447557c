"""No request is larger or slower than it may be, and no answer goes out without its security headers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

USUAL = 64 * 1024
LARGER: Mapping[str, int] = {"/slack/": 1024 * 1024}
"""Bytes of a request's body, by the beginning of its path."""
BODY_SECONDS = 15.0
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


class Limits:
    """Reads the body up to its limit before the application sees it: 413 above, 408 when it takes too long."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        limit = next((most for start, most in LARGER.items() if scope["path"].startswith(start)), USUAL)
        try:
            body = await asyncio.wait_for(_body(scope, receive, limit), BODY_SECONDS)
        except TooLarge:
            return await PlainTextResponse("The request is too large.\n", 413, HEADERS)(scope, receive, send)
        except TimeoutError:
            return await PlainTextResponse("The request took too long.\n", 408, HEADERS)(scope, receive, send)
        if body is not None:
            await self._app(scope, _replay(body, receive), send)


class Sealed:
    """Adds the headers that the answer does not set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)


class TooLarge(Exception):
    """More body than the limit."""


async def _body(scope: Scope, receive: Receive, limit: int) -> bytes | None:
    """The whole body; None when the client went away."""
    declared = Headers(scope=scope).get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise TooLarge
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > limit:
            raise TooLarge
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Gives the body once, then what comes from the client."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
