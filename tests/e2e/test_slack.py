"""Slack over real sockets: a signed request, its replays, and Socket Mode, against a fake workspace on loopback."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import uvicorn
from sqlalchemy.engine import make_url

from bot.app import Parts, compose
from bot.slack import SlackSettings
from server.domain.errors import Misconfigured
from server.web import web_app
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.slack_fake import SECRET, FakeSlack, Message, fake_slack, interaction, signed
from tests.small_exchange import TEMPLATES, SmallExchange, moved, policy_files, small_exchange

KENT, OTHER = "UKENT1", "UKENT2"


@pytest.fixture(scope="module")
def small(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    with small_exchange(gpg_person, ssh_key, messages=50) as made:
        yield made


@dataclass
class Workspace:
    """The fake workspace, and Safehand beside it."""

    slack: FakeSlack
    small: SmallExchange
    parts: Parts
    client: httpx.AsyncClient

    async def post(self, fields: dict[str, str], **how: Any) -> httpx.Response:
        body, headers = signed(fields, **how)
        return await self.client.post("/slack/events", content=body, headers=headers)

    async def links(self, person: str, user: str) -> None:
        said = await self.post(self.slack.command(user, f"link {self.small.code(person)}"))
        assert "Linked" in said.json()["text"]

    async def card(self, user: str, subject: str, holding: str = "") -> Message:
        """The user's message about it, once it holds these words."""
        return await eventually(
            lambda: next((m for m in self.slack.of(user) if subject in m.text and holding in m.text), None)
        )

    async def collected(self) -> str:
        """A delivery that Kent has collected."""
        delivery = await asyncio.to_thread(self.small.arrive)
        await asyncio.to_thread(self.small.collect, delivery)
        return delivery


async def eventually(asked: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline:
        answer = asked()
        if answer:
            return answer
        await asyncio.sleep(0.02)
    raise AssertionError("it did not happen in time")


@contextmanager
def failing(small: SmallExchange, act: str, table: str) -> Iterator[None]:
    """The database refuses this act on this table."""
    statement = f"CREATE TRIGGER away BEFORE {act} ON {table} BEGIN SELECT a_function_that_is_away(); END"
    with changed(small, statement, "DROP TRIGGER away"):
        yield


@contextmanager
def away(small: SmallExchange, table: str) -> Iterator[None]:
    """The table cannot be found."""
    with changed(small, f"ALTER TABLE {table} RENAME TO elsewhere", f"ALTER TABLE elsewhere RENAME TO {table}"):
        yield


@contextmanager
def changed(small: SmallExchange, statement: str, back: str) -> Iterator[None]:
    url = make_url(small.exchange.ground.store.url)
    with closing(sqlite3.connect(str(url.database), timeout=10, isolation_level=None)) as database:
        database.execute(statement)
        try:
            yield
        finally:
            database.execute(back)


@asynccontextmanager
async def workspace(small: SmallExchange, **settings: str | None) -> AsyncIterator[Workspace]:
    async with AsyncExitStack() as stack:
        slack = await stack.enter_async_context(fake_slack())
        chosen = SlackSettings(token="xoxb-test", api_url=slack.url, **settings)  # type: ignore[arg-type]
        parts = compose(small.exchange, web_url="http://127.0.0.1", templates=TEMPLATES, slack=chosen)
        app = web_app(small.exchange, parts.routes)
        server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_level="error"))
        serving = asyncio.ensure_future(server.serve())
        await eventually(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        running = [asyncio.ensure_future(task()) for task in parts.tasks]
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}"))
        try:
            yield Workspace(slack, small, parts, client)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            server.should_exit = True
            await serving


@pytest.fixture
async def over_http(small: SmallExchange) -> AsyncIterator[Workspace]:
    async with workspace(small, signing_secret=SECRET) as made:
        await made.links("p-kent-1", KENT)
        yield made


async def test_a_press_acknowledges_once_however_often_it_is_repeated(over_http: Workspace) -> None:
    """The same signed request ten times at once, and new presses of the old card: one entry, one message, edited."""
    delivery = await over_http.collected()
    card = await over_http.card(KENT, delivery, "Please acknowledge")
    click = interaction(over_http.slack.click(card, "Acknowledge", KENT))
    old = Message(card.channel, card.ts, card.text, list(card.blocks))
    body, headers = signed(click)
    presses: list[Awaitable[httpx.Response]] = [
        over_http.client.post("/slack/events", content=body, headers=headers) for _ in range(10)
    ]
    assert {answer.status_code for answer in await asyncio.gather(*presses)} == {200}
    edited = await over_http.card(KENT, delivery, "Acknowledged by p-kent-1")
    assert (edited.ts, edited.edits > 0) == (old.ts, True)
    assert "Acknowledge" not in edited.buttons
    before = len(over_http.slack.ephemeral)
    await over_http.post(interaction(over_http.slack.click(old, "Acknowledge", KENT)))
    await eventually(lambda: len(over_http.slack.ephemeral) > before)
    assert "already acknowledged by p-kent-1" in over_http.slack.ephemeral[-1][1]
    assert over_http.small.count("delivery.acknowledged", delivery) == 1
    about = [message for message in over_http.slack.of(KENT) if delivery in message.text]
    assert len([message for message in about if "Remind me tomorrow" not in message.buttons]) == 1


@pytest.mark.parametrize("how", [{"secret": "another secret"}, {"age": 600}])
async def test_a_request_that_slack_did_not_sign_just_now_is_refused(over_http: Workspace, how: dict[str, Any]) -> None:
    """A wrong signature and an old one: 401, and nothing happens."""
    delivery = await over_http.collected()
    card = await over_http.card(KENT, delivery, "Please acknowledge")
    answer = await over_http.post(interaction(over_http.slack.click(card, "Acknowledge", KENT)), **how)
    assert answer.status_code == 401
    assert over_http.small.count("delivery.acknowledged", delivery) == 0


async def test_a_request_without_any_signature_is_refused(over_http: Workspace) -> None:
    """Nor one that is not even text."""
    assert (await over_http.client.post("/slack/events", content=b"payload={}")).status_code == 401
    assert (await over_http.client.post("/slack/events", content=b"\xff\xfe")).status_code in {400, 401}
    assert (await over_http.client.post("/slack/events", content=b"x" * 1_100_000)).status_code == 413


async def test_an_account_that_is_nobodys_is_told_how_to_link(over_http: Workspace) -> None:
    """It acts for nobody, even on a card that it can see."""
    delivery = await over_http.collected()
    card = await over_http.card(KENT, delivery, "Please acknowledge")
    await over_http.post(interaction(over_http.slack.click(card, "Acknowledge", "USTRANGER")))
    _, said = await eventually(lambda: next((e for e in over_http.slack.ephemeral if e[0] == "USTRANGER"), None))
    assert "/safehand link CODE" in said
    assert over_http.small.count("delivery.acknowledged", delivery) == 0


async def test_typed_words_are_answered(over_http: Workspace) -> None:
    """Status names what waits; help helps; a code works once; unlink ends it."""
    delivery = await over_http.collected()

    async def types(text: str, user: str = KENT) -> str:
        return str((await over_http.post(over_http.slack.command(user, text))).json()["text"])

    assert delivery in await types("status")
    assert "/safehand link CODE" in await types("help")
    assert "does not know that word" in await types("dance <!channel>")
    assert "not linked to anybody" in await types("status", "USTRANGER")
    code = over_http.small.code("p-kent-2")
    assert "Linked: you are p-kent-2" in await types(f"link {code.lower()}", OTHER)
    assert "used already" in await types(f"link {code}", "USTRANGER")
    assert "Unlinked" in await types("unlink", OTHER)
    assert "not linked to anybody" in await types("status", OTHER)


async def test_slack_that_says_429_is_asked_again_when_it_said(over_http: Workspace) -> None:
    """Retry-After is honoured, and the message arrives once."""
    over_http.slack.fails_next("chat.postMessage", "ratelimited", status=429, retry_after=1)
    delivery = await asyncio.to_thread(over_http.small.arrive)
    await over_http.card(KENT, delivery)
    assert len([m for m in over_http.slack.of(KENT) if delivery in m.text]) == 1


async def test_a_message_that_was_deleted_is_sent_anew(over_http: Workspace) -> None:
    """An edit that Slack cannot make becomes a new message."""
    delivery = await asyncio.to_thread(over_http.small.arrive)
    card = await over_http.card(KENT, delivery)
    del over_http.slack.messages[card.channel, card.ts]
    await asyncio.to_thread(over_http.small.collect, delivery)
    again = await over_http.card(KENT, delivery, "Collected by")
    assert again.ts != card.ts


async def test_when_slack_refuses_the_private_answer_the_response_url_is_used(over_http: Workspace) -> None:
    """A sentence reaches whoever pressed, one way or the other."""
    delivery = await asyncio.to_thread(over_http.small.arrive)
    card = await over_http.card(KENT, delivery)
    over_http.slack.fails_next("chat.postEphemeral", "channel_not_found")
    await over_http.post(interaction(over_http.slack.click(card, "Acknowledge", KENT)))
    await eventually(lambda: over_http.slack.responses)
    assert "Nobody at Kent has collected" in over_http.slack.responses[-1]["text"]
    assert over_http.slack.responses[-1]["response_type"] == "ephemeral"


async def test_an_act_that_the_database_refuses_is_told_and_not_believed(over_http: Workspace) -> None:
    """The modal closed before the act: whoever rejected a file reads that nothing was changed, and may do it again."""
    delivery = await over_http.collected()
    card = await over_http.card(KENT, delivery, "Please acknowledge")
    await over_http.post(interaction(over_http.slack.click(card, "Problem", KENT)))
    view = await eventually(lambda: next((v for v in over_http.slack.views if delivery in str(v["title"])), None))
    answers = {"kind": "rejected", "reason": "It is the file of another month."}
    with failing(over_http.small, "INSERT", "seen_action"):
        sent = await over_http.post(interaction(over_http.slack.submission(KENT, view, **answers)))
        assert (sent.status_code, sent.content) == (200, b"")
        await eventually(lambda: over_http.slack.ephemeral)
    assert "nothing was changed" in over_http.slack.ephemeral[0][1]
    assert over_http.small.count("delivery.rejected", delivery) == 0
    await over_http.post(interaction(over_http.slack.submission(KENT, view, **answers)))
    await over_http.card(KENT, delivery, "ejected")
    assert over_http.small.count("delivery.rejected", delivery) == 1


@pytest.mark.parametrize("table", ["seen_action", "chat_link"])
async def test_a_sentence_that_cannot_stand_beside_the_card_is_a_message(over_http: Workspace, table: str) -> None:
    """Neither the record of presses nor that of accounts can be read, and Slack refuses the private answer."""
    delivery = await over_http.collected()
    card = await over_http.card(KENT, delivery, "Please acknowledge")
    await over_http.post(interaction(over_http.slack.click(card, "Problem", KENT)))
    view = await eventually(lambda: next((v for v in over_http.slack.views if delivery in str(v["title"])), None))
    with away(over_http.small, table):
        over_http.slack.fails_next("chat.postEphemeral", "channel_not_found")
        answers = {"kind": "rejected", "reason": "It is the file of another month."}
        await over_http.post(interaction(over_http.slack.submission(KENT, view, **answers)))
        told = await eventually(lambda: next((m for m in over_http.slack.messages.values() if not m.blocks), None))
    assert (told.channel, "The database has no tables" in told.text) == (f"D{KENT}", True)
    assert over_http.small.count("delivery.rejected", delivery) == 0


async def test_a_typed_line_is_answered_in_time_while_the_database_is_locked(over_http: Workspace) -> None:
    """Slack gives up after three seconds: it is answered before, and the person when the lock is gone."""
    locked, free = threading.Event(), threading.Event()

    def lock() -> None:
        with over_http.small.exchange.ground.transaction():
            locked.set()
            free.wait(10)

    holding = asyncio.create_task(asyncio.to_thread(lock))
    await asyncio.to_thread(locked.wait, 10)
    try:
        before = time.monotonic()
        answer = await over_http.post(over_http.slack.command(KENT, "help"))
        assert time.monotonic() - before < 2.8
        assert (answer.status_code, answer.content, over_http.slack.responses) == (200, b"", [])
    finally:
        free.set()
        await holding
    await eventually(lambda: over_http.slack.responses)
    assert "/safehand link CODE" in over_http.slack.responses[-1]["text"]


async def test_a_typed_line_that_the_database_refuses_is_answered_with_its_sentence(over_http: Workspace) -> None:
    """Nothing typed goes unanswered."""
    with failing(over_http.small, "INSERT", "seen_action"):
        answer = await over_http.post(over_http.slack.command(KENT, "status"))
    assert "nothing was changed" in answer.json()["text"]


async def test_socket_mode_carries_the_same_story(small: SmallExchange) -> None:
    """Without a signing secret there is no HTTP door; envelopes are acknowledged and acted on once."""
    async with workspace(small, app_token="xapp-test") as made:
        assert (await made.client.post("/slack/events", content=b"{}")).status_code == 404
        said = await made.slack.over_socket(
            "slash_commands", made.slack.command(KENT, f"link {small.code('p-kent-1')}")
        )
        assert "Linked" in said["text"]
        delivery = await made.collected()
        card = await made.card(KENT, delivery, "Please acknowledge")
        click = made.slack.click(card, "Acknowledge", KENT)
        for _ in range(3):
            await made.slack.over_socket("interactive", click)
        await made.card(KENT, delivery, "Acknowledged by p-kent-1")
        assert small.count("delivery.acknowledged", delivery) == 1
        assert "auth.test" not in made.slack.calls


def test_slack_without_a_way_to_prove_its_requests_does_not_start(small: SmallExchange) -> None:
    """A token alone, or an empty secret, is a sentence that names the setting, never the token."""
    for secret in (None, ""):
        settings = SlackSettings(token="xoxb-test", signing_secret=secret)
        with pytest.raises(Misconfigured, match="SAFEHAND_SLACK_SIGNING_SECRET"):
            compose(small.exchange, web_url="http://127.0.0.1", templates=TEMPLATES, slack=settings)
        assert "xoxb-test" not in repr(settings)


def test_the_parts_can_be_composed_outside_an_event_loop(small: SmallExchange) -> None:
    """The server composes them in a thread, before its loop runs anything of theirs."""
    found: list[Parts] = []
    settings = SlackSettings(token="xoxb-test", signing_secret=SECRET, app_token="xapp-test")
    made = threading.Thread(
        target=lambda: found.append(
            compose(small.exchange, web_url="http://127.0.0.1", templates=TEMPLATES, slack=settings)
        )
    )
    made.start()
    made.join()
    assert len(found[0].tasks) == 2


async def test_a_new_text_is_approved_and_signed_over_the_wire(over_http: Workspace, gpg_person: MakeGpgPerson) -> None:
    """The notice, the question with the whole hash, its answer sent twice: one approval, the card edited in place."""
    small, lead = over_http.small, "UGKENT"
    await over_http.links("g-kent", lead)
    files = policy_files(small.keys, gpg_person)
    files["policy.yaml"] = moved(files["policy.yaml"], small.exchange.policy.policy.version)
    files["agreement.yaml"] = moved(files["agreement.yaml"], small.exchange.policy.agreement.version)
    view = await asyncio.to_thread(small.exchange.revisions.propose, files, by="a-essex-1")
    card = await over_http.card(lead, view.id, "approving signs the new text")
    await over_http.post(interaction(over_http.slack.click(card, "Approve", lead)))
    modal = await eventually(lambda: over_http.slack.views[-1] if over_http.slack.views else None)
    assert view.document_sha256 in modal["blocks"][0]["text"]["text"]
    answer = interaction(over_http.slack.submission(lead, modal))
    await asyncio.gather(*(over_http.post(answer) for _ in range(3)))
    edited = await over_http.card(lead, view.id, "g-kent: approved")
    assert edited.ts == card.ts and list(edited.buttons) == ["Refuse"]
    assert small.count("policy.approved", view.id) == 1
