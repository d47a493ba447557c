"""One running exchange for unmodified clients, `safehand demo` in a process of its own; and a desk with a browser."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

from bot.app import compose
from server.web import web_app
from tests.demo_process import DemoProcess
from tests.small_exchange import TEMPLATES, SmallExchange


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoProcess]:
    """An exchange on 1 December 2026: the period is 2026-11; `trial` takes any bytes and releases at once."""
    place = tmp_path_factory.mktemp("running")
    (place / "work").mkdir()
    demo = DemoProcess(place / "demo", place / "work", ("--now", "2026-12-01T09:00")).start()
    yield demo
    demo.end()


@pytest.fixture
def work(running: DemoProcess) -> Path:
    """The folder where the clients run."""
    return running.work


# ------------------------------------------------------------------ a browser

PHONE, WIDE = 375, 1200


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    assert found, "Chromium is not installed: run `make setup-test`, or `apt-get install chromium`."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def desk(small: SmallExchange) -> Iterator[str]:
    """The address of the desk of the module's own small exchange."""
    parts = compose(small.exchange, web_url="http://127.0.0.1", templates=TEMPLATES, slack=None)
    app = web_app(small.exchange, parts.routes)
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_level="error"))
    serving = threading.Thread(target=server.run, daemon=True)
    serving.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    serving.join(5)


@pytest.fixture(params=[PHONE, WIDE], ids=["phone", "wide"])
def page(request: pytest.FixtureRequest, chromium: Browser) -> Iterator[Page]:
    """A new browser, as wide as a phone or a desk; whatever it complains of fails the test."""
    context = chromium.new_context(viewport={"width": request.param, "height": 800})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert [said for said in complaints if "422" not in said and "401" not in said] == []
