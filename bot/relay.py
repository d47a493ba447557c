"""Sends what the exchange wrote for people, at least once, and edits it in place. No errand stops another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

import structlog

from server.exchange import Exchange
from server.exchange.outbox import Errand, Outbox

P = ParamSpec("P")
T = TypeVar("T")
log = structlog.get_logger("relay")

EVERY = 1.0
"""Seconds between two looks when nobody wakes the relay."""
PATIENCE = 20.0
"""Seconds for one message; well below the 60 that a claim is leased for."""
AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Sent:
    """Where a message is now: the conversation and the message's own name in it, for the edits to come."""

    channel: str
    reference: str


class Later(Exception):
    """The platform asks to be left alone for so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"again in {seconds:.0f} s")
        self.seconds = seconds


class Never(Exception):
    """The platform will not take this message, now or later; the text says why, without names and addresses."""


class Transport(Protocol):
    """A way to reach people. Both methods raise Later when told to wait, Never when it is no use to try again, anything
    else when the errand failed."""

    @property
    def name(self) -> str: ...

    async def send(self, errand: Errand) -> Sent:
        """A new message to errand.account."""
        ...

    async def edit(self, errand: Errand) -> Sent:
        """The message at errand.channel and errand.reference becomes what errand.notice says."""
        ...


class Threads:
    """A few threads of the bot's own: verbs of the exchange block, and an upload never waits for chat."""

    def __init__(self, number: int = 4) -> None:
        self._pool = ThreadPoolExecutor(number, thread_name_prefix="people")

    async def run(self, verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the verb returns or raises, without blocking the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(verb, *args, **kwargs))

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class Relay:
    """Claims errands of one transport and carries them out."""

    def __init__(
        self, exchange: Exchange, transport: Transport, threads: Threads, *, outbox: Outbox | None = None,
        at_once: int = AT_ONCE,
    ) -> None:  # fmt: skip
        self._outbox, self._transport, self._threads = outbox or exchange.outbox, transport, threads
        self._at_once = at_once
        self._woken = asyncio.Event()
        self._quiet_until = 0.0

    def wake(self) -> None:
        """Look at once; call it in the event loop."""
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled: whatever goes wrong in one round is recorded, and the next round comes."""
        while True:
            try:
                more = await self.round()
            except Exception as error:  # noqa: BLE001  one of the three loops: it records and goes on
                log.error("relay_round_failed", transport=self._transport.name, error=type(error).__name__)
                more = False
            if not more:
                await self._rest()

    async def round(self) -> bool:
        """Claim and carry out once; True if there may be more at once."""
        if time.time() < self._quiet_until:
            return False
        errands = await self._threads.run(
            self._outbox.claim, self._transport.name, real=time.time(), limit=self._at_once
        )
        await asyncio.gather(*(self._carry(errand) for errand in errands))
        return len(errands) == self._at_once

    async def _rest(self) -> None:
        try:
            await asyncio.wait_for(self._woken.wait(), EVERY)
        except TimeoutError:
            return
        self._woken.clear()

    async def _carry(self, errand: Errand) -> None:
        carry_out = self._transport.send if errand.reference is None else self._transport.edit
        try:
            async with asyncio.timeout(PATIENCE):
                sent = await carry_out(errand)
        except Later as later:
            self._quiet_until = max(self._quiet_until, time.time() + later.seconds)
            await self._failed(errand, later.seconds, "asked_to_wait")
        except Never as never:
            log.warning("errand_given_up", notice=errand.notice_id, transport=self._transport.name, why=str(never))
            await self._threads.run(self._outbox.given_up, errand, self._transport.name, str(never))
        except Exception as error:  # noqa: BLE001  one errand that fails is recorded, the others go on
            await self._failed(errand, None, type(error).__name__)
        else:
            name = self._transport.name
            await self._threads.run(self._outbox.sent, errand, name, channel=sent.channel, reference=sent.reference)

    async def _failed(self, errand: Errand, retry_after: float | None, why: str) -> None:
        log.warning("errand_failed", notice=errand.notice_id, transport=self._transport.name, why=why)
        await self._threads.run(
            self._outbox.failed, errand, self._transport.name, real=time.time(), retry_after=retry_after
        )
