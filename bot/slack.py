"""Safehand in Slack. Slack is answered first; then the press is carried out, once. A card shows its notice, edited."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import structlog
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.adapter.starlette.async_handler import AsyncSlackRequestHandler
from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncBoltRequest, AsyncRespond
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from bot.cards import SURE, fits, modal, notice_card, notice_of, reply_blocks, reply_text
from bot.conversation import Account, Buttons, Form, Reply, Words, check
from bot.conversation.words import HOW_TO_LINK
from bot.relay import Later, Relay, Sent, Threads
from server.domain.errors import Misconfigured, SafehandError
from server.exchange import Exchange
from server.exchange.outbox import Errand
from server.exchange.views import NoticeView

log = structlog.get_logger("slack")
NAME = "slack"
API = "https://slack.com/api/"
ANSWER_WITHIN = 2.0
"""Seconds for a typed line to be answered in Slack's own request; Slack gives up after three."""
GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "is_inactive"})
"""Slack's errors for a message that cannot be edited any more: a new one takes its place."""
_OURS = re.compile(r"^safehand:[a-z-]+(:\d+)?$")
TOO_LARGE = "That is a larger table than fits here: please fill it in on the desk, or in attest/ of your mailbox."
Payload = Mapping[str, Any]
"""The JSON object that Slack sent, as https://docs.slack.dev/interactivity/handling-user-interaction describes it."""


@dataclass(frozen=True, slots=True)
class SlackSettings:
    """How to reach Slack. A signing secret: Slack calls /slack/events. An app token: we call Slack (Socket Mode)."""

    token: str = field(repr=False)
    signing_secret: str | None = field(default=None, repr=False)
    app_token: str | None = field(default=None, repr=False)
    api_url: str | None = None


def web_client(settings: SlackSettings, *, token: str | None = None) -> AsyncWebClient:
    """A client of the Web API; a loopback API is never asked for through a proxy."""
    base = (settings.api_url or API).rstrip("/") + "/"
    client = AsyncWebClient(token=token, base_url=base, timeout=15)
    if urlsplit(base).hostname in {"127.0.0.1", "localhost", "::1"}:
        client.proxy = None
    return client


class SlackTransport:
    """Notices as direct messages: posted once, then edited in place."""

    name = NAME

    def __init__(self, client: AsyncWebClient) -> None:
        self._client = client
        self._turns: dict[int, asyncio.Lock] = {}

    async def send(self, errand: Errand) -> Sent:
        """Raises Later when Slack says 429, SlackApiError when it refuses."""
        card = notice_card(errand.notice, errand.notice_id, errand.version)
        answer = await _asked(
            self._client.chat_postMessage,
            channel=errand.account,
            text=card.text,
            blocks=list(card.blocks),
            unfurl_links=False,
            unfurl_media=False,
        )
        return Sent(str(answer["channel"]), str(answer["ts"]))

    async def edit(self, errand: Errand) -> Sent:
        """A message that is gone, or too old to be edited, is sent anew."""
        if errand.channel is None or errand.reference is None:
            return await self.send(errand)
        try:
            async with self.turn(errand.notice_id):
                await self.update(errand.channel, errand.reference, errand)
        except SlackApiError as error:
            if error.response.get("error") in GONE:
                return await self.send(errand)
            raise
        return Sent(errand.channel, errand.reference)

    def turn(self, notice_id: int) -> asyncio.Lock:
        """One edit of a notice at a time, so that an older version never overwrites a newer one."""
        if len(self._turns) > 1000:
            self._turns = {number: lock for number, lock in self._turns.items() if lock.locked()}
        return self._turns.setdefault(notice_id, asyncio.Lock())

    async def update(self, channel: str, reference: str, shown: Errand | NoticeView) -> None:
        """The message shows this notice from now on."""
        number = shown.notice_id if isinstance(shown, Errand) else shown.id
        card = notice_card(shown.notice, number, shown.version)
        await _asked(self._client.chat_update, channel=channel, ts=reference, text=card.text, blocks=list(card.blocks))


async def _asked(method: Callable[..., Any], **fields: Any) -> AsyncSlackResponse:
    """One call of the Web API. Raises Later for 429, with the seconds of Retry-After."""
    try:
        answer: AsyncSlackResponse = await method(**fields)
    except SlackApiError as error:
        if error.response.status_code == 429:
            seconds = str(error.response.headers.get("Retry-After", "30"))
            raise Later(float(seconds) if seconds.isdigit() else 30.0) from error
        raise
    return answer


@dataclass(frozen=True, slots=True)
class Press:
    """Who pressed what, and on which message: what of Slack's payload is used."""

    account: Account
    verb: str
    subject: str
    channel: str
    reference: str
    notice_id: int | None
    trigger: str

    @classmethod
    def of(cls, body: Payload) -> Press:
        """The first action of a block_actions payload."""
        action, container = body["actions"][0], body.get("container") or {}
        return cls(
            _account(body),
            str(action.get("action_id", "")).split(":")[1],
            str(action.get("value") or ""),
            str((body.get("channel") or {}).get("id") or container.get("channel_id") or ""),
            str((body.get("message") or {}).get("ts") or container.get("message_ts") or ""),
            notice_of(str(action.get("block_id") or "")),
            str(body.get("trigger_id") or ""),
        )

    def private(self) -> str:
        """What a modal carries along, so that its answer finds the message again."""
        return json.dumps([self.subject, self.channel, self.reference, self.notice_id])

    @classmethod
    def of_modal(cls, body: Payload) -> Press:
        """A view_submission payload: what `private` wrote."""
        view = body["view"]
        subject, channel, reference, notice_id = json.loads(view["private_metadata"])
        verb = str(view["callback_id"]).split(":")[1]
        return cls(_account(body), verb, subject, channel, reference, notice_id, str(body.get("trigger_id") or ""))


def _account(body: Payload) -> Account:
    user, team = body.get("user") or {}, body.get("team") or {}
    team_id = team.get("id") or user.get("team_id") or body.get("team_id") or ""
    return Account("slack", str(team_id), str(user.get("id") or body.get("user_id") or ""))


def _once(body: Payload, request: AsyncBoltRequest) -> str:
    """The same for one request however often it arrives (its signature is good for five minutes)."""
    action = (body.get("actions") or [{}])[0]
    told = [
        request.headers.get("x-slack-request-timestamp", [""])[0],
        body.get("trigger_id"),
        _account(body).account,
        action.get("action_id"),
        action.get("value"),
        action.get("action_ts"),
        (body.get("message") or body.get("container") or {}).get("ts"),
        (body.get("view") or {}).get("id"),
        (body.get("view") or {}).get("hash"),
        body.get("text"),
    ]
    return "slack:" + hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _answers(view: Payload) -> dict[str, str]:
    """A submitted view's answers by field name."""
    found = {}
    for name, elements in view["state"]["values"].items():
        for element in elements.values():
            chosen = [element["selected_option"]] if element.get("selected_option") else []
            chosen += element.get("selected_options") or []
            values = ",".join(str(one.get("value") or "") for one in chosen)
            found[str(name)] = values or str(element.get("selected_date") or element.get("value") or "")
    return found


class SlackFront:
    """The listeners: answer Slack, ask the conversation, tell the person."""

    def __init__(self, settings: SlackSettings, exchange: Exchange, threads: Threads) -> None:
        """Raises Misconfigured when neither a signing secret nor an app token is set: requests would go unproved."""
        if not settings.token:
            raise Misconfigured("Slack needs SAFEHAND_SLACK_TOKEN, the bot token of your Slack app.")
        if not settings.signing_secret and not settings.app_token:
            raise Misconfigured(
                "Slack needs SAFEHAND_SLACK_SIGNING_SECRET (Slack calls us) or SAFEHAND_SLACK_APP_TOKEN (Socket Mode)."
            )
        self._settings, self._exchange, self._threads = settings, exchange, threads
        self._client = web_client(settings, token=settings.token)
        self._buttons, self._words = Buttons(exchange), Words(exchange)
        self.transport = SlackTransport(self._client)
        self.relay = Relay(exchange, self.transport, threads)
        self._app = self._listening()

    @property
    def routes(self) -> list[BaseRoute]:
        """/slack/events, only when a signing secret can prove who calls."""
        if not self._settings.signing_secret:
            return []
        handler = AsyncSlackRequestHandler(self._app)

        async def events(request: Request) -> Response:
            try:
                return await handler.handle(request)
            except UnicodeDecodeError:
                return Response("Not UTF-8", status_code=400)

        return [Route("/slack/events", events, methods=["POST"])]

    def _listening(self) -> AsyncApp:
        async def authorize() -> AuthorizeResult:
            return AuthorizeResult(enterprise_id=None, team_id=None, bot_token=self._settings.token)

        app = AsyncApp(
            name="safehand",
            client=web_client(self._settings),
            signing_secret=self._settings.signing_secret or "",
            authorize=authorize,
            ignoring_self_events_enabled=False,
            attaching_function_token_enabled=False,
        )
        app.action(_OURS)(self._pressed)
        app.view(_OURS)(self._submitted)
        app.command("/safehand")(self._typed)
        return app

    async def _pressed(self, ack: AsyncAck, body: Payload, req: AsyncBoltRequest, respond: AsyncRespond) -> None:
        await ack()
        press = Press.of(body)
        answers: dict[str, str] | None = {} if press.verb in SURE else None
        await self._act(body, req, press, answers, respond)

    async def _submitted(self, ack: AsyncAck, body: Payload, view: Payload, req: AsyncBoltRequest) -> None:
        press, answers = Press.of_modal(body), _answers(view)
        wrong = check(press.verb, press.subject, answers)
        if wrong is not None:
            await ack(response_action="errors", errors=dict(wrong.errors))
            return
        await ack()
        await self._act(body, req, press, answers, None)

    async def _typed(self, ack: AsyncAck, body: Payload, req: AsyncBoltRequest, respond: AsyncRespond) -> None:
        """Answered in Slack's own request when that is quick enough, else by its response URL."""
        saying = asyncio.create_task(self._said(body, req))
        in_time, _ = await asyncio.wait({saying}, timeout=ANSWER_WITHIN)
        if not in_time:
            await ack()
        reply = await saying
        if reply is None:
            if in_time:
                await ack()
            return
        tell: Callable[..., Awaitable[object]] = ack if in_time else respond
        blocks = {"blocks": list(reply_blocks(reply))} if reply.buttons else {}
        await tell(text=reply_text(reply), response_type="ephemeral", **blocks)

    async def _said(self, body: Payload, req: AsyncBoltRequest) -> Reply | None:
        """The answer to a typed line; None when this very line was answered already."""
        try:
            if not await self._first_time(body, req):
                return None
        except SafehandError as error:
            return Reply(error.sentence, "attention")
        reply = await self._threads.run(self._words.say, _account(body), str(body.get("text") or ""))
        if reply.changed:
            self.relay.wake()
        return reply

    async def _first_time(self, body: Payload, request: AsyncBoltRequest) -> bool:
        return await self._threads.run(self._exchange.people.first_time, _once(body, request))

    async def _act(
        self,
        body: Payload,
        req: AsyncBoltRequest,
        press: Press,
        answers: Mapping[str, str] | None,
        respond: AsyncRespond | None,
    ) -> None:
        """Once a request. Slack was answered and a modal is closed by now: what the exchange cannot do must be told."""
        try:
            if await self._first_time(body, req):
                await self._carry_out(press, answers, respond)
        except SafehandError as error:
            log.warning("press_failed", verb=press.verb, subject=press.subject, code=error.code)
            await self._tell(press, Reply(error.sentence, "attention"), respond)

    async def _carry_out(self, press: Press, answers: Mapping[str, str] | None, respond: AsyncRespond | None) -> None:
        """One verb; then the card is right again, and the person knows what happened."""
        person_id = await self._threads.run(self._words.who, press.account)
        if person_id is None:
            await self._tell(press, Reply(HOW_TO_LINK, "attention"), respond)
            return
        answer = await self._threads.run(
            self._buttons.press, person_id, press.verb, press.subject, answers, via="slack"
        )
        if isinstance(answer, Form) and answer.errors:
            sentence = " ".join(dict.fromkeys(answer.errors.values()))
            await self._tell(press, Reply(f"{sentence} Nothing was recorded.", "attention"), respond)
        elif isinstance(answer, Form) and not fits(answer):
            await self._tell(press, Reply(f"{answer.title} {TOO_LARGE}", "attention"), respond)
        elif isinstance(answer, Form):
            await self._open(press, answer, respond)
        elif answer.changed:
            self.relay.wake()
        else:
            await self._tell(press, answer, respond)
            await self._refresh(press, person_id)

    async def _open(self, press: Press, form: Form, respond: AsyncRespond | None) -> None:
        try:
            await _asked(self._client.views_open, trigger_id=press.trigger, view=modal(form, press.private()))
        except (SlackClientError, Later, aiohttp.ClientError, TimeoutError):
            await self._tell(press, Reply("Slack did not open the form. Please press again.", "attention"), respond)

    async def _tell(self, press: Press, reply: Reply, respond: AsyncRespond | None) -> None:
        """A sentence that only this person sees."""
        text = reply_text(reply)
        try:
            await _asked(self._client.chat_postEphemeral, channel=press.channel, user=press.account.account, text=text)
        except (SlackClientError, Later, aiohttp.ClientError, TimeoutError) as error:
            log.warning("ephemeral_failed", subject=press.subject, error=type(error).__name__)
            if respond is not None:
                await respond(text=text, response_type="ephemeral", replace_original=False)
            else:  # a modal's answer has no response URL
                await _asked(self._client.chat_postMessage, channel=press.account.account, text=text)

    async def _refresh(self, press: Press, person_id: str) -> None:
        """The pressed message shows its notice as it is now."""
        if press.notice_id is None or not press.reference:
            return
        try:
            async with self.transport.turn(press.notice_id):
                found = await self._threads.run(self._exchange.views.notices, person_id)
                now = next((view for view in found if view.id == press.notice_id), None)
                if now is not None:
                    await self.transport.update(press.channel, press.reference, now)
        except (SafehandError, SlackClientError, Later, aiohttp.ClientError, TimeoutError) as error:
            log.warning("refresh_failed", notice=press.notice_id, error=type(error).__name__)

    async def socket(self) -> None:
        """Socket Mode until cancelled. The client tries again by itself while Slack is away."""
        client = web_client(self._settings)
        handler = AsyncSocketModeHandler(self._app, self._settings.app_token, web_client=client)
        handler.client.proxy = client.proxy
        try:
            await handler.connect_async()  # type: ignore[no-untyped-call]
            await asyncio.Event().wait()
        finally:
            await handler.close_async()  # type: ignore[no-untyped-call]
