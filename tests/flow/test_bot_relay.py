"""The relay: what was written for people reaches them, whatever the platform does meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from bot.relay import Later, Relay, Sent, Threads
from server.exchange.outbox import Errand
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import SmallExchange, policy_files, put_in_force, small_exchange


@pytest.fixture(scope="module")
def small(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    with small_exchange(gpg_person, ssh_key, messages=50) as made:
        for person in ("p-kent-1", "p-kent-2"):
            made.exchange.people.link_chat("slack", "T1", f"U-{person}", made.code(person))
        yield made


@pytest.fixture
def threads() -> Iterator[Threads]:
    made = Threads(2)
    yield made
    made.close()


@dataclass
class Postbox:
    """A transport that keeps what it is given, and fails when told to."""

    name: str = "slack"
    shown: dict[str, str] = field(default_factory=dict)
    sends: int = 0
    edits: int = 0
    trouble: list[Exception] = field(default_factory=list)
    refuses: str = ""

    async def send(self, errand: Errand) -> Sent:
        if errand.notice.kind == "digest":  # the day's message has tests of its own
            return Sent(f"D{errand.account}", f"digest{errand.notice_id}")
        self._fail(errand)
        self.sends += 1
        self.shown[f"m{errand.notice_id}"] = errand.notice.text
        return Sent(f"D{errand.account}", f"m{errand.notice_id}")

    async def edit(self, errand: Errand) -> Sent:
        if errand.notice.kind == "digest" and errand.channel and errand.reference:
            return Sent(errand.channel, errand.reference)
        self._fail(errand)
        self.edits += 1
        assert errand.channel is not None
        assert errand.reference is not None
        self.shown[errand.reference] = errand.notice.text
        return Sent(errand.channel, errand.reference)

    def _fail(self, errand: Errand) -> None:
        if self.trouble:
            raise self.trouble.pop()
        if self.refuses and errand.account == self.refuses:
            raise RuntimeError("this account cannot be reached")


async def test_a_notice_is_sent_once_and_then_edited(small: SmallExchange, threads: Threads) -> None:
    """One message for each data manager; when the delivery moves, the same message changes."""
    postbox = Postbox()
    relay = Relay(small.exchange, postbox, threads)
    delivery = small.arrive()
    await relay.round()
    await relay.round()
    assert (postbox.sends, postbox.edits) == (2, 0)
    small.collect(delivery)
    await relay.round()
    assert (postbox.sends, postbox.edits) == (2, 2)
    assert all("Collected by p-kent-2" in text for text in postbox.shown.values() if delivery in text)


async def test_one_account_that_fails_does_not_hold_up_the_others(small: SmallExchange, threads: Threads) -> None:
    """The other colleague is told in the same round."""
    postbox = Postbox(refuses="U-p-kent-1")
    delivery = small.arrive()
    await Relay(small.exchange, postbox, threads).round()
    assert [delivery in text for text in postbox.shown.values()] == [True]


async def test_a_platform_that_asks_to_wait_is_left_alone(small: SmallExchange, threads: Threads) -> None:
    """After a 429 nothing is tried before the time is over, then everything arrives."""
    while await Relay(small.exchange, Postbox(), threads).round():
        pass
    postbox = Postbox(trouble=[Later(1.2) for _ in range(4)])
    relay = Relay(small.exchange, postbox, threads)
    small.arrive()
    before = time.monotonic()
    await relay.round()
    assert await relay.round() is False
    assert postbox.sends == 0
    while postbox.sends < 2 and time.monotonic() < before + 10:
        await relay.round()
        await asyncio.sleep(0.05)
    assert postbox.sends >= 2
    assert time.monotonic() - before >= 1.2


async def test_the_relay_goes_on_after_a_round_that_broke_and_wakes_when_told(
    small: SmallExchange, threads: Threads
) -> None:
    """Whatever a transport raises is recorded; a wake is answered well before the second is over."""
    postbox = Postbox(trouble=[RuntimeError("reset"), ValueError("half read")])
    relay = Relay(small.exchange, postbox, threads)
    running = asyncio.ensure_future(relay.run())
    try:
        delivery = await asyncio.to_thread(small.arrive)
        for _ in range(200):
            relay.wake()
            await asyncio.sleep(0.05)
            if sum(delivery in text for text in postbox.shown.values()) == 2:
                break
        assert sum(delivery in text for text in postbox.shown.values()) == 2
        assert not running.done()
    finally:
        running.cancel()


async def test_a_suspended_person_gets_no_more_messages(small: SmallExchange, threads: Threads) -> None:
    """Their chat link ends with everything else."""
    small.exchange.people.suspend("p-kent-2", by="g-kent")
    postbox = Postbox()
    relay = Relay(small.exchange, postbox, threads)
    delivery = small.arrive()
    await relay.round()
    told = [text for text in postbox.shown.values() if delivery in text]
    assert len(told) == 1


async def test_a_link_whose_key_was_withdrawn_is_silent_and_stands_in_nobodys_way(
    gpg_person: MakeGpgPerson, ssh_key: MakeSshKey, threads: Threads
) -> None:
    """The chat link dies with the key that fetched its code; the colleague behind it in the queue is told."""
    with small_exchange(gpg_person, ssh_key) as made:
        for person in ("p-kent-1", "p-kent-2"):
            made.exchange.people.link_chat("slack", "T1", f"U-{person}", made.code(person))
        delivery = made.arrive()
        lines = dict(made.keys) | {"p-kent-1": ssh_key("a-new-laptop").public}
        put_in_force(made.exchange, policy_files(lines, gpg_person))
        now = time.time()
        first, second, third = (made.exchange.outbox.claim("slack", real=now, limit=1) for _ in range(3))
        assert first == ()
        assert [(errand.account, delivery in errand.notice.text) for errand in second] == [("U-p-kent-2", True)]
        assert third == ()
