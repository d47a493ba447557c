"""A small Slack on loopback: a Web API that keeps messages, and Socket Mode. It can be told to fail."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
import urllib.parse
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web
from slack_sdk.signature import SignatureVerifier

SECRET = "a-signing-secret-of-the-tests"
TEAM = "T0001"


@dataclass
class Message:
    """One message as a person sees it now, and how often it was edited."""

    channel: str
    ts: str
    text: str
    blocks: list[dict[str, Any]]
    edits: int = 0

    @property
    def buttons(self) -> dict[str, dict[str, Any]]:
        """Buttons by their label; each with the block id it stands in."""
        return {
            element["text"]["text"]: {**element, "block_id": block["block_id"]}
            for block in self.blocks
            if block["type"] == "actions"
            for element in block["elements"]
        }


@dataclass
class FakeSlack:
    """What the workspace holds, and the envelopes of Socket Mode. `url` is the Web API's base."""

    url: str = ""
    messages: dict[tuple[str, str], Message] = field(default_factory=dict)
    ephemeral: list[tuple[str, str]] = field(default_factory=list)
    views: list[dict[str, Any]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    responses: list[dict[str, Any]] = field(default_factory=list)
    _failures: dict[str, deque[tuple[int, dict[str, str], dict[str, Any]]]] = field(
        default_factory=lambda: defaultdict(deque)
    )
    _socket: web.WebSocketResponse | None = None
    _acknowledged: dict[str, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def of(self, user: str) -> list[Message]:
        """The direct messages of a user, in the order they were posted."""
        return [message for message in self.messages.values() if message.channel == f"D{user}"]

    def fails_next(self, method: str, error: str, *, status: int = 200, retry_after: int | None = None) -> None:
        """The next call of this method is refused."""
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        self._failures[method].append((status, headers, {"ok": False, "error": error}))

    # -- what Slack sends to us

    def click(self, message: Message, label: str, user: str, **more: Any) -> dict[str, Any]:
        """The payload of a press, different each time as Slack's are."""
        button, number = message.buttons[label], next(self._numbers)
        action = {name: button[name] for name in ("action_id", "block_id", "value")}
        return {
            "type": "block_actions",
            "user": {"id": user, "team_id": TEAM},
            "team": {"id": TEAM},
            "api_app_id": "A1",
            "trigger_id": f"trigger.{number}",
            "response_url": f"{self.url}respond/{number}",
            "container": {"type": "message", "message_ts": message.ts, "channel_id": message.channel},
            "channel": {"id": message.channel},
            "message": {"ts": message.ts, "type": "message"},
            "actions": [{**action, "type": "button", "action_ts": f"{number}.0"}],
        } | more

    def submission(self, user: str, view: Mapping[str, Any], **answers: str) -> dict[str, Any]:
        """The payload of a submitted modal."""
        number = next(self._numbers)
        values: dict[str, Any] = {}
        for block in view["blocks"]:
            if block["type"] != "input":
                continue
            element = _answered(block["element"], answers.get(block["block_id"]))
            values[block["block_id"]] = {block["element"]["action_id"]: element}
        return {
            "type": "view_submission",
            "user": {"id": user, "team_id": TEAM},
            "team": {"id": TEAM},
            "trigger_id": f"trigger.{number}",
            "view": {**view, "id": f"V{number}", "hash": f"{number}.a", "state": {"values": values}},
        }

    def command(self, user: str, text: str) -> dict[str, str]:
        """The fields of /safehand TEXT."""
        number = next(self._numbers)
        return {
            "command": "/safehand", "text": text, "user_id": user, "team_id": TEAM, "channel_id": f"D{user}",
            "trigger_id": f"trigger.{number}", "response_url": f"{self.url}respond/{number}",
        }  # fmt: skip

    async def over_socket(self, kind: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Send an envelope and wait for its acknowledgement; the payload that came with it."""
        for _ in range(500):
            if self._socket is not None:
                break
            await asyncio.sleep(0.01)
        assert self._socket is not None, "nobody opened a Socket Mode connection"
        envelope = f"e{next(self._numbers)}"
        answered = self._acknowledged[envelope] = asyncio.get_running_loop().create_future()
        await self._socket.send_json(
            {"envelope_id": envelope, "type": kind, "accepts_response_payload": True, "payload": payload}
        )
        answer = await asyncio.wait_for(answered, 5)
        return dict(answer.get("payload") or {})

    # -- what we send to Slack

    async def _api(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        self.calls.append(method)
        if self._failures[method]:
            status, headers, body = self._failures[method].popleft()
            return web.json_response(body, status=status, headers=headers)
        if request.content_type == "application/json":
            given = await request.json()
        else:
            given = {name: _read(value) for name, value in (await request.post()).items()}
        return web.json_response(self._answer(method, given))

    def _answer(self, method: str, given: Mapping[str, Any]) -> dict[str, Any]:
        match method:
            case "chat.postMessage":
                channel = f"D{given['channel']}" if str(given["channel"]).startswith("U") else str(given["channel"])
                message = Message(
                    channel, f"{int(time.time())}.{next(self._numbers):06d}", given["text"], given.get("blocks", [])
                )
                self.messages[channel, message.ts] = message
                return {"ok": True, "channel": channel, "ts": message.ts, "message": {"text": message.text}}
            case "chat.update":
                found = self.messages.get((given["channel"], given["ts"]))
                if found is None:
                    return {"ok": False, "error": "message_not_found"}
                found.text, found.blocks, found.edits = given["text"], given["blocks"], found.edits + 1
                return {"ok": True, "channel": found.channel, "ts": found.ts, "text": found.text}
            case "chat.postEphemeral":
                self.ephemeral.append((given["user"], given["text"]))
                return {"ok": True, "message_ts": "1.1"}
            case "views.open":
                self.views.append(given["view"])
                return {"ok": True, "view": {**given["view"], "id": "V1"}}
            case "apps.connections.open":
                return {"ok": True, "url": self.url.replace("http", "ws").replace("/api/", "/link?ticket=1")}
            case _:
                return {"ok": False, "error": "unknown_method"}

    async def _respond(self, request: web.Request) -> web.Response:
        self.responses.append(await request.json())
        return web.Response(text="ok")

    async def _link(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "hello", "num_connections": 1, "connection_info": {"app_id": "A1"}})
        self._socket = socket
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                answer = json.loads(message.data)
                self._acknowledged[answer["envelope_id"]].set_result(answer)
        self._socket = None
        return socket


@asynccontextmanager
async def fake_slack() -> AsyncIterator[FakeSlack]:
    """The fake workspace, listening on a free port of the loopback address."""
    fake = FakeSlack()
    app = web.Application()
    app.router.add_post("/api/respond/{number}", fake._respond)
    app.router.add_post("/api/{method}", fake._api)
    app.router.add_get("/link", fake._link)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    fake.url = f"http://127.0.0.1:{port}/api/"
    try:
        yield fake
    finally:
        await runner.cleanup()


def signed(fields: Mapping[str, str], *, secret: str = SECRET, age: int = 0) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request as Slack signs it, `age` seconds ago."""
    body, stamp = urllib.parse.urlencode(fields), str(int(time.time()) - age)
    signature = SignatureVerifier(secret).generate_signature(timestamp=stamp, body=body)
    headers = {"content-type": "application/x-www-form-urlencoded", "x-slack-request-timestamp": stamp}
    return body.encode(), {**headers, "x-slack-signature": str(signature)}


def interaction(payload: Mapping[str, Any]) -> dict[str, str]:
    """The form fields that carry a payload."""
    return {"payload": json.dumps(payload)}


def _read(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in "[{":
        return json.loads(value)
    return value


def _answered(element: Mapping[str, Any], given: str | None) -> dict[str, Any]:
    """An element's state as Slack sends it: what was chosen or typed, else what it was opened with."""
    kind = element["type"]
    match kind:
        case "radio_buttons" | "static_select":
            value = given or (element.get("initial_option") or {}).get("value")
            return {"type": kind, "selected_option": {"value": value} if value else None}
        case "checkboxes":
            first = [option["value"] for option in element.get("initial_options", [])]
            chosen = given.split(",") if given is not None else first
            return {"type": kind, "selected_options": [{"value": value} for value in chosen if value]}
        case "datepicker":
            return {"type": kind, "selected_date": given or element.get("initial_date")}
        case _:
            return {"type": kind, "value": given if given is not None else element.get("initial_value")}
