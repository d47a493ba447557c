"""Ticks that call exchange verbs, nothing else. A tick that fails is logged and tried again; the rest goes on."""

from __future__ import annotations

import asyncio
import functools
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from server.exchange import Exchange

EVERY_SECOND = 1
THREADS = 6
SPOOL_HOURS = 24
SPOOL_AGE_SECONDS = 3600.0
"""What is younger may be a file that is being settled at this moment."""
log = structlog.get_logger("jobs")


class Jobs:
    """The exchange's heartbeat: what others wrote and what is due, every second; the spool, every day."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        # Several, so that a tick that waits for the database does not hold up the others; each costs memory.
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="jobs")
        # The defaults go in as `job_defaults`: APScheduler 3.11 ignores them as keywords and drops late jobs.
        self._scheduler = AsyncIOScheduler(
            timezone="UTC", job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        )

    def start(self) -> None:
        """Begin to tick, on the running loop."""
        for name, verb, seconds in (
            ("refresh", self._exchange.refresh, EVERY_SECOND),
            *((name, self._with_policy(duty), EVERY_SECOND) for name, duty in self._exchange.duties.items()),
            ("spool", self._look_after_spool, SPOOL_HOURS * 3600),
        ):
            run = functools.partial(self._run, name, verb)
            self._scheduler.add_job(run, IntervalTrigger(seconds=seconds, timezone="UTC"), id=name)
        self._scheduler.start()

    def close(self) -> None:
        """No further tick begins; one that is running ends by itself."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _with_policy(self, duty: Callable[[], object]) -> Callable[[], object]:
        """Nothing is due before a policy is in force."""
        return lambda: duty() if self._exchange.ground.has_policy else None

    def _look_after_spool(self) -> None:
        for sentence in self._exchange.recover(older_than=SPOOL_AGE_SECONDS):
            log.warning("spool", what=sentence)

    async def _run(self, name: str, verb: Callable[[], object]) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._threads, verb)
        except Exception as error:  # noqa: BLE001  one of the three loops that must go on
            log.error("tick_failed", tick=name, error=type(error).__name__, incident=secrets.token_hex(4))
