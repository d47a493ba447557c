"""The desk's doors: who gets in, what a page from elsewhere can do (nothing), and what is shown once."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from bot.app import compose
from server.web import web_app
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import TEMPLATES, SmallExchange, small_exchange

WEB = "https://desk.test"


@pytest.fixture(scope="module")
def small(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    with small_exchange(gpg_person, ssh_key) as made:
        yield made


@pytest.fixture
async def browser(small: SmallExchange) -> AsyncIterator[httpx.AsyncClient]:
    parts = compose(small.exchange, web_url=WEB, templates=TEMPLATES, slack=None)
    transport = httpx.ASGITransport(web_app(small.exchange, parts.routes), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=WEB) as client:
        yield client


async def signed_in(browser: httpx.AsyncClient, small: SmallExchange, person: str = "p-kent-1") -> str:
    """The form token of a new session."""
    await browser.get(f"/desk/in/{small.token(person)}")
    page = (await browser.get("/desk")).text
    found = re.search(r'name="form_token" value="([^"]+)"', page)
    assert found is not None, page
    return found[1]


async def test_the_way_in_is_one_time_and_its_cookie_is_kept_close(
    browser: httpx.AsyncClient, small: SmallExchange
) -> None:
    """HttpOnly, SameSite, Secure, no domain, path /; the link is used up, and whoever comes late is told what to do."""
    link = f"/desk/in/{small.token('p-kent-1')}"
    answer = await browser.get(link)
    assert (answer.status_code, answer.headers["location"]) == (303, "/desk")
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("__host-safehand=")
    assert {"httponly", "secure", "samesite=lax", "path=/"} <= {part.strip() for part in cookie.split(";")}
    assert "domain" not in cookie
    browser.cookies.clear()
    late = await browser.get(link)
    assert late.status_code == 403
    assert "used already" in late.text
    assert "set-cookie" not in late.headers


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("HEAD", {}),
        ("GET", {"sec-purpose": "prefetch;prerender"}),
        ("GET", {"purpose": "Prefetch"}),
        ("GET", {"sec-purpose": "", "purpose": "prefetch"}),
        ("GET", {"x-moz": "prefetch"}),
    ],
)
async def test_looking_at_a_link_does_not_use_it_up(
    browser: httpx.AsyncClient, small: SmallExchange, method: str, headers: dict[str, str]
) -> None:
    """A mail filter or a browser that looks ahead leaves the link good."""
    link = f"/desk/in/{small.token('p-kent-1')}"
    looked = await browser.request(method, link, headers=headers)
    assert (looked.status_code, looked.content) == (204, b"")
    assert (await browser.get(link)).status_code == 303


@pytest.mark.parametrize("path", ["/desk", "/desk/colleagues", "/desk/delivery/D-2026-000001", "/desk/do/recall/D-1"])
async def test_whoever_is_not_signed_in_reads_how_to_and_nothing_else(browser: httpx.AsyncClient, path: str) -> None:
    """A friendly page on every door."""
    answer = await browser.get(path)
    assert answer.status_code == 401
    assert "safehand invite" in answer.text
    assert "link/desk-link.txt" in answer.text


async def test_every_page_forbids_scripts_frames_and_caches(browser: httpx.AsyncClient, small: SmallExchange) -> None:
    """The same headers on pages, redirects and errors; no script and no outside address in any page."""
    await signed_in(browser, small)
    for path in ("/", "/desk", "/desk/colleagues", "/desk/nowhere", "/nowhere", "/desk/do/suspend/p-kent-2"):
        answer = await browser.get(path)
        assert "default-src 'none'" in answer.headers["content-security-policy"], path
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], path
        assert answer.headers["referrer-policy"] == "no-referrer", path
        assert answer.headers["cache-control"] == "no-store", path
        assert answer.headers["x-content-type-options"] == "nosniff", path
        assert not re.search(r"<script|https?://|style=|onclick", answer.text), path
    style = await browser.get("/desk/safehand.css")
    assert style.headers["content-type"].startswith("text/css")
    assert not re.search(r"url\(|@import|https?:", style.text)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.test"},
        {"origin": "https://desk.test.evil.test"},
    ],
)
async def test_a_form_from_another_site_changes_nothing(
    browser: httpx.AsyncClient, small: SmallExchange, headers: dict[str, str]
) -> None:
    """Even with the right token: the browser itself says where it came from."""
    token = await signed_in(browser, small)
    answer = await browser.post("/desk/do/suspend/p-kent-2", data={"form_token": token, "sure": "yes"}, headers=headers)
    assert answer.status_code == 403
    assert "Nothing was changed" in answer.text
    assert small.exchange.views.person("p-kent-2") is not None


@pytest.mark.parametrize("token", ["", "wrong", "ключ"])
async def test_a_form_without_the_sessions_token_changes_nothing(
    browser: httpx.AsyncClient, small: SmallExchange, token: str
) -> None:
    """A missing, a wrong and a token that is not ASCII."""
    await signed_in(browser, small)
    answer = await browser.post("/desk/do/suspend/p-kent-2", data={"form_token": token, "sure": "yes"})
    assert answer.status_code == 403
    assert small.exchange.views.person("p-kent-2") is not None


async def test_what_cannot_be_undone_is_asked_first(browser: httpx.AsyncClient, small: SmallExchange) -> None:
    """A press without the form's "yes" shows the question; looking at the question changes nothing."""
    token = await signed_in(browser, small)
    asked = await browser.post("/desk/do/suspend/p-kent-2", data={"form_token": token})
    assert "Suspend N. Medlar?" in asked.text
    assert "Suspend N. Medlar?" in (await browser.get("/desk/do/suspend/p-kent-2")).text
    assert small.exchange.views.person("p-kent-2") is not None


async def test_two_colleagues_lift_what_one_suspended(browser: httpx.AsyncClient, small: SmallExchange) -> None:
    """Suspending is one person's act; asking and agreeing to lift it are two people's."""
    token = await signed_in(browser, small)
    back = {"form_token": token, "back": "/desk/colleagues"}
    await browser.post("/desk/do/suspend/p-kent-2", data=back | {"sure": "yes"})
    assert small.exchange.views.person("p-kent-2") is None
    assert "Ask to lift" in (await browser.get("/desk/colleagues")).text
    await browser.post("/desk/do/resume/p-kent-2", data=back)
    mine = (await browser.get("/desk/colleagues")).text
    assert "A second person has to agree" in mine
    assert "Ask to lift" not in mine
    assert small.exchange.views.person("p-kent-2") is None
    browser.cookies.clear()
    token = await signed_in(browser, small, "g-kent")
    assert "Lift the suspension" in (await browser.get("/desk/colleagues")).text
    await browser.post("/desk/do/resume/p-kent-2", data={"form_token": token, "back": "/desk/colleagues"})
    assert small.exchange.views.person("p-kent-2") is not None


async def test_somebody_of_another_member_cannot_be_suspended(browser: httpx.AsyncClient, small: SmallExchange) -> None:
    """The reply says so; the person goes on working."""
    token = await signed_in(browser, small)
    answer = await browser.post("/desk/do/suspend/p-essex-1", data={"form_token": token, "sure": "yes"})
    assert "same organisation" in (await browser.get(answer.headers["location"])).text
    assert small.exchange.views.person("p-essex-1") is not None


async def test_a_suspension_ends_the_session_at_once(browser: httpx.AsyncClient, small: SmallExchange) -> None:
    """The very next page is the way in."""
    await signed_in(browser, small, "p-medway-1")
    small.exchange.people.suspend("p-medway-1", by="operator")
    assert (await browser.get("/desk")).status_code == 401


async def test_what_happened_is_said_once_and_to_nobody_else(browser: httpx.AsyncClient, small: SmallExchange) -> None:
    """After the redirect; not when the page is loaded again, not in another session."""
    delivery = small.arrive()
    small.collect(delivery)
    token = await signed_in(browser, small)
    answer = await browser.post(f"/desk/do/acknowledge/{delivery}", data={"form_token": token, "back": "//evil.test"})
    where = answer.headers["location"]
    assert where.startswith("/desk?said=")
    mine = dict(browser.cookies)
    browser.cookies.clear()
    await signed_in(browser, small, "p-essex-1")
    assert 'class="said' not in (await browser.get(where)).text
    browser.cookies.clear()
    browser.cookies.update(mine)
    assert "is acknowledged" in (await browser.get(where)).text
    assert 'class="said' not in (await browser.get(where)).text


async def test_a_delivery_of_others_looks_like_none(browser: httpx.AsyncClient, small: SmallExchange) -> None:
    """Forbidden and missing read the same."""
    delivery = small.arrive()
    await signed_in(browser, small, "p-kent-1")
    assert (await browser.get(f"/desk/delivery/{delivery}")).status_code == 200
    browser.cookies.clear()
    await signed_in(browser, small, "p-essex-2")
    assert (await browser.get(f"/desk/delivery/{delivery}")).status_code == 200
    browser.cookies.clear()
    await signed_in(browser, small, "g-southend")
    theirs = await browser.get(f"/desk/delivery/{delivery}")
    none = await browser.get("/desk/delivery/D-2026-999999")
    assert (theirs.status_code, none.status_code) == (404, 404)
    assert theirs.text.replace(delivery, "X") == none.text.replace("D-2026-999999", "X")


async def test_a_delivery_whose_copy_has_gone_sends_nobody_to_the_mailbox(
    browser: httpx.AsyncClient, small: SmallExchange
) -> None:
    """While it is there the page says where to fetch it; once it was recalled it says that it is not there."""
    delivery = small.arrive()
    await signed_in(browser, small, "p-kent-1")
    assert "fetch it with your SFTP client" in (await browser.get(f"/desk/delivery/{delivery}")).text
    small.exchange.delivery.recall("p-essex-1", delivery, via="desk")
    gone = (await browser.get(f"/desk/delivery/{delivery}")).text
    assert "It is not in your mailbox any more." in gone
    assert "fetch it" not in gone


async def test_signing_out_ends_the_session_on_the_server(browser: httpx.AsyncClient, small: SmallExchange) -> None:
    """An old cookie opens nothing."""
    token = await signed_in(browser, small)
    kept = dict(browser.cookies)
    assert "signed out" in (await browser.post("/desk/out", data={"form_token": token})).text
    browser.cookies.update(kept)
    assert (await browser.get("/desk")).status_code == 401


async def test_health_readiness_and_metrics_answer_without_signing_in(
    browser: httpx.AsyncClient, small: SmallExchange
) -> None:
    """Up; ready, or why not; and counts without any id."""
    assert (await browser.get("/healthz")).text == "up\n"
    assert (await browser.get("/readyz")).json() == {"ready": True, "problems": []}
    metrics = (await browser.get("/metrics")).text
    assert "safehand_ledger_entries" in metrics
    assert re.search(r'safehand_deliveries\{status="acknowledged"\} [1-9]', metrics)
    assert "kent" not in metrics


async def test_a_spool_that_is_gone_is_a_reason_not_to_be_ready(
    browser: httpx.AsyncClient, small: SmallExchange
) -> None:
    """503 and a sentence; up all the same; ready again when it is back."""
    spool = small.exchange.ground.spool.folder
    away = spool.rename(spool.with_name("away"))
    try:
        answer = await browser.get("/readyz")
        assert (answer.status_code, answer.json()["ready"]) == (503, False)
        assert "spool" in answer.json()["problems"][0]
        assert (await browser.get("/healthz")).status_code == 200
    finally:
        away.rename(spool)
    assert (await browser.get("/readyz")).status_code == 200


@pytest.mark.parametrize("declared", [True, False])
async def test_a_request_that_is_too_large_is_refused(browser: httpx.AsyncClient, declared: bool) -> None:
    """Whether or not it says how long it is."""

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(9):
            yield b"x" * 8192

    answer = await browser.post("/desk/out", content=b"x" * 70_000 if declared else parts())
    assert answer.status_code == 413


async def test_an_unknown_page_is_a_sentence(browser: httpx.AsyncClient) -> None:
    """On the desk in its own clothes, elsewhere plainly; a wrong method too."""
    assert "no such page on the desk" in (await browser.get("/desk/x/y")).text
    assert (await browser.get("/nowhere")).status_code == 404
    assert (await browser.delete("/healthz")).status_code == 405
