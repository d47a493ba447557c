"""One story, told through every front end: a notice, an acknowledgement, double clicks, stale buttons, a problem.

Whoever adds a front end adds it to `FRONTS`, and it has to tell the same story.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from html import unescape
from typing import Protocol

import httpx
import pytest

from bot.app import Parts, compose
from bot.slack import SlackSettings
from server.web import web_app
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.slack_fake import SECRET, FakeSlack, Message, fake_slack, interaction, signed
from tests.small_exchange import TEMPLATES, SmallExchange, small_exchange

Press = Callable[..., Awaitable[str]]
WEB = "http://desk.test"
PATIENCE = 5.0


class Front(Protocol):
    """One person in front of one front end."""

    async def text(self, subject: str, holding: str) -> str:
        """What is shown about `subject`, once it holds these words."""
        ...

    async def labels(self, subject: str) -> list[str]:
        """The buttons shown about it."""
        ...

    async def button(self, subject: str, label: str) -> Press:
        """That button, as it is shown now; it can be pressed at any time later, and again. What the person is told."""
        ...


# ---------------------------------------------------------------- the desk


class DeskFront:
    """A browser without a screen."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def _notice(self, subject: str) -> str:
        page = (await self._client.get("/desk")).text
        found = [item for item in re.findall(r'<li class="notice.*?</li>', page, re.S) if subject in item]
        return next((item for item in found if SNOOZE not in item), "")

    async def text(self, subject: str, holding: str) -> str:
        shown = _words(await self._notice(subject))
        assert holding in shown, shown
        return shown

    async def labels(self, subject: str) -> list[str]:
        shown = await self._notice(subject)
        return [
            _words(label)
            for pair in re.findall(r'<button[^>]*>(.*?)<span|class="button[^>]*>(.*?)<span', shown, re.S)
            for label in pair
            if label
        ]

    async def button(self, subject: str, label: str) -> Press:
        shown = await self._notice(subject)
        link = re.search(rf'href="([^"]+)">{label}<', shown)
        if link is not None:
            return lambda **answers: self._answer(unescape(link[1]), answers)
        form = next(form for form in _forms(shown) if f">{label}<" in form[1])
        return lambda **answers: self._post(form[0], _hidden(form[1]) | answers)

    async def _answer(self, link: str, answers: dict[str, str]) -> str:
        page = await self._client.get(link)
        if page.status_code != 200:
            return _words(re.search(r'<p class="lead">(.*?)</p>', page.text, re.S)[1])  # type: ignore[index]
        action, body = next(form for form in _forms(page.text) if "/desk/do/" in form[0])
        return await self._post(action, _hidden(body) | answers)

    async def _post(self, action: str, fields: dict[str, str]) -> str:
        answer = await self._client.post(action, data=fields)
        assert answer.status_code in {200, 303, 422}, answer.text
        page = answer.text if answer.status_code != 303 else (await self._client.get(answer.headers["location"])).text
        said = re.search(r'<div class="said.*?</div>', page, re.S)
        return _words(said[0]) if said else ""


def _forms(page: str) -> list[tuple[str, str]]:
    return re.findall(r'<form[^>]*method="post" action="([^"]+)">(.*?)</form>', page, re.S)


def _hidden(form: str) -> dict[str, str]:
    return dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form))


def _words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


@asynccontextmanager
async def the_desk(small: SmallExchange, person: str) -> AsyncIterator[Front]:
    parts = compose(small.exchange, web_url=WEB, templates=TEMPLATES, slack=None)
    async with _client(small, parts) as client:
        answer = await client.get(f"/desk/in/{small.token(person)}")
        assert answer.status_code == 303
        yield DeskFront(client)


# ---------------------------------------------------------------- Slack


class SlackFront:
    """A person in the fake workspace."""

    def __init__(self, slack: FakeSlack, client: httpx.AsyncClient, user: str) -> None:
        self.slack, self._client, self.user = slack, client, user

    def _message(self, subject: str) -> Message | None:
        told = [message for message in self.slack.of(self.user) if subject in message.text]
        found = [message for message in told if SNOOZE not in str(message.blocks)]
        assert len(found) < 2, "a notice is edited, never repeated"
        return found[0] if found else None

    async def text(self, subject: str, holding: str) -> str:
        async def shown() -> str:
            message = self._message(subject)
            return message.text if message and holding in message.text else ""

        return await _until(shown)

    async def labels(self, subject: str) -> list[str]:
        message = self._message(subject)
        return list(message.buttons) if message else []

    async def button(self, subject: str, label: str) -> Press:
        await self.text(subject, subject)
        message = self._message(subject)
        assert message is not None
        frozen = Message(message.channel, message.ts, message.text, message.blocks)
        return lambda **answers: self._press(frozen, label, answers)

    async def _press(self, message: Message, label: str, answers: dict[str, str]) -> str:
        told, opened = len(self.slack.ephemeral), len(self.slack.views)
        before = self.slack.messages[message.channel, message.ts].blocks

        async def happened() -> str:
            if len(self.slack.ephemeral) > told:
                return self.slack.ephemeral[-1][1]
            now = self.slack.messages[message.channel, message.ts]
            return now.text if now.blocks != before else ""

        async def answered() -> str:
            return "form" if len(self.slack.views) > opened else await happened()

        await self.send(interaction(self.slack.click(message, label, self.user)))
        answer = await _until(answered)
        if answer != "form":
            return answer
        view = self.slack.views[-1]
        response = await self.send(interaction(self.slack.submission(self.user, view, **answers)))
        if response.content:
            return " ".join(response.json()["errors"].values())
        return await _until(happened)

    async def send(self, fields: dict[str, str]) -> httpx.Response:
        body, headers = signed(fields)
        response = await self._client.post("/slack/events", content=body, headers=headers)
        assert response.status_code == 200, response.text
        return response


@asynccontextmanager
async def the_slack(small: SmallExchange, person: str) -> AsyncIterator[Front]:
    async with AsyncExitStack() as stack:
        slack = await stack.enter_async_context(fake_slack())
        settings = SlackSettings(token="xoxb-test", signing_secret=SECRET, api_url=slack.url)
        parts = compose(small.exchange, web_url=WEB, templates=TEMPLATES, slack=settings)
        client = await stack.enter_async_context(_client(small, parts))
        for task in parts.tasks:
            stack.callback(asyncio.ensure_future(task()).cancel)
        front = SlackFront(slack, client, "U" + person.replace("-", "").upper())
        linked = await front.send(slack.command(front.user, f"link {small.code(person)}"))
        assert "Linked" in linked.json()["text"]
        yield front


def _client(small: SmallExchange, parts: Parts) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(web_app(small.exchange, parts.routes))
    return httpx.AsyncClient(transport=transport, base_url=WEB, headers={"sec-fetch-site": "same-origin"})


async def _until(asked: Callable[[], Awaitable[str]]) -> str:
    for _ in range(int(PATIENCE / 0.02)):
        answer = await asked()
        if answer:
            return answer
        await asyncio.sleep(0.02)
    raise AssertionError("it did not happen in time")


SNOOZE = "Remind me tomorrow"
"""What only the day's message offers; it names everything that waits, beside each thing's own message."""
FRONTS = {"desk": the_desk, "slack": the_slack}


@pytest.fixture(scope="module")
def small(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    with small_exchange(gpg_person, ssh_key, messages=50) as made:
        yield made


@pytest.fixture(params=FRONTS)
def enter(request: pytest.FixtureRequest) -> Callable[[SmallExchange, str], object]:
    return FRONTS[request.param]


# ---------------------------------------------------------------- the story


async def test_an_acknowledgement_is_given_once_however_often_it_is_pressed(small: SmallExchange, enter) -> None:  # type: ignore[no-untyped-def]
    """The notice shows the delivery; one press acknowledges; every later press of the old button says who did it."""
    async with enter(small, "p-kent-1") as front:
        delivery = await asyncio.to_thread(small.arrive)
        await asyncio.to_thread(small.collect, delivery)
        await front.text(delivery, "Please acknowledge")
        assert await front.labels(delivery) == ["Acknowledge", "Problem"]
        acknowledge = await front.button(delivery, "Acknowledge")
        assert "cknowledged" in await acknowledge()
        await front.text(delivery, "Acknowledged by p-kent-1")
        assert "Acknowledge" not in await front.labels(delivery)
        assert "already acknowledged by p-kent-1" in await acknowledge()
        assert "already acknowledged by p-kent-1" in await acknowledge()
    assert small.count("delivery.acknowledged", delivery) == 1


async def test_a_delivery_that_nobody_collected_cannot_be_acknowledged(small: SmallExchange, enter) -> None:  # type: ignore[no-untyped-def]
    """The person is told what to do first, and the button stays."""
    async with enter(small, "p-kent-1") as front:
        delivery = await asyncio.to_thread(small.arrive)
        acknowledge = await front.button(delivery, "Acknowledge")
        assert "Nobody at Kent has collected" in await acknowledge()
        assert "Acknowledge" in await front.labels(delivery)
    assert small.count("delivery.acknowledged", delivery) == 0


async def test_a_stale_button_names_the_colleague_who_was_quicker(small: SmallExchange, enter) -> None:  # type: ignore[no-untyped-def]
    """A second data manager presses what a first has done already."""
    async with enter(small, "p-kent-1") as front:
        delivery = await asyncio.to_thread(small.arrive)
        await asyncio.to_thread(small.collect, delivery)
        acknowledge = await front.button(delivery, "Acknowledge")
        small.exchange.acknowledgement.acknowledge("p-kent-2", delivery, via="attest")
        assert "already acknowledged by p-kent-2" in await acknowledge()
        await front.text(delivery, "Acknowledged by p-kent-2")


async def test_a_problem_reaches_the_sender_with_its_reason(small: SmallExchange, enter) -> None:  # type: ignore[no-untyped-def]
    """A choice and a reason; the notice then says what was asked."""
    async with enter(small, "p-kent-1") as front:
        delivery = await asyncio.to_thread(small.arrive)
        problem = await front.button(delivery, "Problem")
        await problem(kind="queried", reason="Is this October or November?")
        assert "Is this October" in await front.text(delivery, "Is this October")
    told = [view.notice.text for view in small.exchange.views.notices("p-essex-1")]
    assert any("Is this October or November?" in text for text in told)


async def test_a_reason_with_personal_data_goes_nowhere(small: SmallExchange, enter) -> None:  # type: ignore[no-untyped-def]
    """The form says what it looks like; nothing is written, nobody is told."""
    async with enter(small, "p-kent-1") as front:
        delivery = await asyncio.to_thread(small.arrive)
        problem = await front.button(delivery, "Problem")
        assert "a date of birth" in await problem(kind="rejected", reason="row of 03/04/2009 is wrong")
        assert "Please give a reason" in await problem(kind="rejected", reason="   ")
        assert "Please choose one" in await problem(reason="no choice made")
    assert small.count("delivery.rejected", delivery) == 0


async def test_a_copy_is_accounted_for_from_processed_to_destroyed(small: SmallExchange, enter) -> None:  # type: ignore[no-untyped-def]
    """Counts that do not add up are told beside their field; then the message asks where the rest was destroyed."""
    async with enter(small, "p-kent-1") as front:
        delivery = await asyncio.to_thread(small.arrive)
        await asyncio.to_thread(small.collect, delivery)
        small.exchange.acknowledgement.acknowledge("p-kent-2", delivery, via="attest")
        await front.text(delivery, "Acknowledged by p-kent-2")
        processed = await front.button(delivery, "Processed")
        wrong = await processed(received="3", kept="3", not_ours="1", rejected="0")
        assert "but 3 were received: please count again" in wrong
        await processed(received="3", kept="2", not_ours="1", rejected="0")
        await front.text(delivery, "2 kept, 1 not relevant, 0 rejected")
        destroyed, left = await front.button(delivery, "Destroyed"), {"backups": "none", "subcontractors": "none"}
        assert "at least one place" in await destroyed(mail="not held there", **left)
        await destroyed(mail="deleted", **left)
        await front.text(delivery, "the rest was destroyed")
        assert await front.labels(delivery) == []
    assert small.count("use.destroyed", delivery) == 1


async def test_a_problem_with_what_was_recalled_meanwhile_says_so(small: SmallExchange, enter) -> None:  # type: ignore[no-untyped-def]
    """The stale button opens no form."""
    async with enter(small, "p-kent-1") as front:
        delivery = await asyncio.to_thread(small.arrive)
        problem = await front.button(delivery, "Problem")
        small.exchange.delivery.recall("p-essex-1", delivery, via="attest")
        assert "recalled" in await problem(kind="queried", reason="Which month?")


async def test_a_recall_before_collection_leaves_nothing_to_collect(small: SmallExchange, enter) -> None:  # type: ignore[no-untyped-def]
    """The sender's button; pressed twice it changes nothing more."""
    async with enter(small, "p-essex-1") as front:
        delivery = await asyncio.to_thread(small.arrive)
        recall = await front.button(delivery, "Recall")
        await recall()
        await front.text(delivery, "ecalled")
        await recall()
    assert small.count("delivery.recalled", delivery) == 1


async def test_what_was_held_goes_when_its_sender_says_all_there(small: SmallExchange, enter) -> None:  # type: ignore[no-untyped-def]
    """A file that ends inside a record is held and asked about; one press lets it go."""
    async with enter(small, "p-essex-1") as front:
        consignment = await asyncio.to_thread(lambda: small.send(cut=True))
        assert await front.text(consignment, "Got ")
        assert await front.labels(consignment) == ["All there", "Discard"]
        all_there = await front.button(consignment, "All there")
        await all_there()
        await front.text(consignment, "oes to Kent")
        await all_there()
    await asyncio.to_thread(small.release)
    assert len(small.received(consignment)) == 1


async def test_what_was_held_goes_nowhere_when_its_sender_discards_it(small: SmallExchange, enter) -> None:  # type: ignore[no-untyped-def]
    """The partner never hears of it."""
    async with enter(small, "p-essex-1") as front:
        consignment = await asyncio.to_thread(lambda: small.send(cut=True))
        discard = await front.button(consignment, "Discard")
        await discard()
        await front.text(consignment, "never saw it")
    await asyncio.to_thread(small.release)
    assert small.received(consignment) == []
