"""One web application: health, metrics, and the parts it is handed. An error is a page with a sentence."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from html import escape

import structlog
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from server.domain.errors import Busy, Forbidden, Missing, SafehandError
from server.exchange import Exchange
from server.web.limits import HEADERS, Limits, Sealed
from server.web.metrics import exposition

log = structlog.get_logger("web")
_PAGE = """<!doctype html>
<html lang="en-GB"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Safehand</title></head>
<body><main><h1>Safehand</h1><p>{}</p><p><a href="/">Open the desk</a></p></main></body></html>
"""
_SENTENCES = {
    404: "There is no such page.",
    405: "This page does not take that kind of request.",
}


def web_app(exchange: Exchange, routes: Sequence[BaseRoute]) -> Starlette:
    """The application: /healthz, /readyz, /metrics, then `routes` in their order."""

    async def alive(request: Request) -> Response:
        """The process is up, whatever else is not."""
        return PlainTextResponse("up\n")

    async def ready(request: Request) -> Response:
        """Whether work can be taken: 200, or 503 with the reasons."""
        problems = await asyncio.to_thread(exchange.condition.problems)
        return JSONResponse({"ready": not problems, "problems": problems}, 503 if problems else 200)

    async def metrics(request: Request) -> Response:
        counts = await asyncio.to_thread(exchange.condition.counts)
        return Response(exposition(counts), headers={"Content-Type": CONTENT_TYPE_LATEST})

    own = [Route("/healthz", alive), Route("/readyz", ready), Route("/metrics", metrics)]
    return Starlette(
        routes=[*own, *routes],
        middleware=[Middleware(Sealed), Middleware(Limits)],
        exception_handlers={HTTPException: _refused, SafehandError: _refused, Exception: _broken},
    )


async def _refused(request: Request, error: Exception) -> Response:
    """What the exchange or the router says no to."""
    if isinstance(error, HTTPException):
        sentence = _SENTENCES.get(error.status_code, "That request cannot be answered.")
        return _page(sentence, error.status_code)
    if isinstance(error, SafehandError):
        status = 503 if isinstance(error, Busy) else 404 if isinstance(error, Missing | Forbidden) else 409
        return _page(error.sentence, status)
    return await _broken(request, error)


async def _broken(request: Request, error: Exception) -> Response:
    """A fault of ours: a number for the person, and the same number in the log with what kind it was."""
    number = secrets.token_hex(4)
    log.error("request_failed", incident=number, error=type(error).__name__)
    return _page(f"Something went wrong here. Please try again; if it stays, tell your administrator {number}.", 500)


def _page(sentence: str, status: int) -> Response:
    return HTMLResponse(_PAGE.format(escape(sentence)), status, HEADERS)
