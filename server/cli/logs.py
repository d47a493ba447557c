"""Logs are JSON lines on one stream: our own events with ids, and of a library only where an error came from."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog


def log_to(stream: TextIO = sys.stderr, level: str = "info") -> None:
    """Logs are JSON lines of ids, from our own events; of a library's only where an error came from."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    lines = logging.StreamHandler(stream)
    lines.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _library],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [lines]
    root.setLevel(number)
    for library in ("asyncssh", "apscheduler", "uvicorn", "gnupg", "slack_bolt", "slack_sdk", "aiohttp", "alembic"):
        logging.getLogger(library).setLevel(max(number, logging.ERROR))


def _library(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """A library's text may hold a file's name or a request: only where it came from is kept."""
    event["event"] = "library"
    event.pop("exc_info", None)
    return event
