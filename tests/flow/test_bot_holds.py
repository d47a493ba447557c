"""A governance lead places and releases legal holds on the desk and in chat, and keeps the certificates."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import httpx
import pytest

from bot.app import compose
from bot.conversation import Account, Words
from server.web import web_app
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import TEMPLATES, SmallExchange, small_exchange

WEB = "https://desk.test"
WHY = "A complaint about this file is open"


@pytest.fixture
def small(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    with small_exchange(gpg_person, ssh_key) as made:
        yield made


@pytest.fixture
async def browser(small: SmallExchange) -> AsyncIterator[httpx.AsyncClient]:
    parts = compose(small.exchange, web_url=WEB, templates=TEMPLATES, slack=None)
    transport = httpx.ASGITransport(web_app(small.exchange, parts.routes), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=WEB) as client:
        yield client


async def signed_in(browser: httpx.AsyncClient, small: SmallExchange, person: str) -> str:
    """The form token of a new session."""
    browser.cookies.clear()
    await browser.get(f"/desk/in/{small.token(person)}")
    found = re.search(r'name="form_token" value="([^"]+)"', (await browser.get("/desk")).text)
    assert found is not None
    return found[1]


async def test_a_lead_holds_and_releases_on_its_page(browser: httpx.AsyncClient, small: SmallExchange) -> None:
    """The question asks why; the page shows the hold with its reason, and to the other member without."""
    delivery = small.arrive()
    token = await signed_in(browser, small, "g-kent")
    page = f"/desk/delivery/{delivery}"
    assert "Place a legal hold" in (await browser.get(page)).text
    form = (await browser.get(f"/desk/do/hold/{delivery}?back={page}")).text
    assert "Why must it stay?" in form
    answers = {"form_token": token, "sure": "yes", "back": page, "reason": "Call 07700 900123"}
    refused = await browser.post(f"/desk/do/hold/{delivery}", data=answers)
    assert refused.status_code == 422 and "personal data" in refused.text
    done = await browser.post(f"/desk/do/hold/{delivery}", data=answers | {"reason": WHY})
    assert done.status_code == 303
    shown = (await browser.get(page)).text
    assert "H-2026-000001" in shown and WHY in shown and "Release hold" in shown
    other = await signed_in(browser, small, "g-essex")
    theirs = (await browser.get(page)).text
    assert "H-2026-000001" in theirs and WHY not in theirs and "Release hold" not in theirs
    browser.cookies.clear()
    told = await browser.post("/desk/do/release-hold/H-2026-000001", data={"form_token": other, "sure": "yes"})
    assert told.status_code == 401
    token = await signed_in(browser, small, "g-kent")
    done = await browser.post(
        "/desk/do/release-hold/H-2026-000001", data={"form_token": token, "sure": "yes", "back": page}
    )
    assert done.status_code == 303
    assert "released" in (await browser.get(page)).text


async def test_a_data_manager_sees_no_way_to_hold(browser: httpx.AsyncClient, small: SmallExchange) -> None:
    """And is refused when the address is typed."""
    delivery = small.arrive()
    token = await signed_in(browser, small, "p-kent-1")
    page = f"/desk/delivery/{delivery}"
    assert "Place a legal hold" not in (await browser.get(page)).text
    answers = {"form_token": token, "sure": "yes", "back": page, "reason": WHY}
    await browser.post(f"/desk/do/hold/{delivery}", data=answers)
    assert small.exchange.holds.all() == ()


async def test_the_certificates_of_a_delivery_are_downloaded_from_its_page(
    browser: httpx.AsyncClient, small: SmallExchange
) -> None:
    """As files to keep, with the key; another member's people get what they get for none."""
    delivery = small.arrive()
    small.collect(delivery)
    small.exchange.acknowledgement.acknowledge("p-kent-1", delivery, via="test")
    small.exchange.clock.set(small.exchange.now() + timedelta(days=8))
    small.exchange.tick()
    stem = f"S-2026-000001_{delivery}"
    for person in ("p-kent-1", "g-essex"):
        await signed_in(browser, small, person)
        page = (await browser.get(f"/desk/delivery/{delivery}")).text
        for ending in (".json", ".json.asc", ".html", ".html.asc"):
            assert f'href="/desk/certificate/{stem}{ending}"' in page
            answer = await browser.get(f"/desk/certificate/{stem}{ending}")
            assert answer.content == small.exchange.certificates.content("S-2026-000001", ending)
            assert answer.headers["content-disposition"] == f'attachment; filename="{stem}{ending}"'
    key = await browser.get("/desk/certificate/exchange.asc")
    assert key.text == small.exchange.ground.key.armored
    await signed_in(browser, small, "p-medway-1")
    for file in (f"{stem}.json", "S-2026-000009_D-2026-000001.json", "..%2f..%2fsafehand.db", f"{stem}.pdf"):
        assert (await browser.get(f"/desk/certificate/{file}")).status_code == 404


def test_in_chat_a_lead_types_a_hold_and_presses_its_release(small: SmallExchange) -> None:
    """`/safehand hold D-… REASON`; alone it lists the holds with a button each."""
    delivery, words = small.arrive(), Words(small.exchange)
    account = Account("slack", "T1", "U1")
    assert words.say(account, f"hold {delivery} {WHY}").tone == "attention", "not linked yet"
    words.say(account, f"link {small.code('g-kent')}")
    assert "no legal hold" in words.say(account, "hold").text
    assert words.say(account, f"hold {delivery} {WHY}").changed
    told = words.say(account, "hold")
    assert "H-2026-000001" in told.text and WHY in told.text
    assert [(b.verb, b.subject) for b in told.buttons] == [("release-hold", "H-2026-000001")]


def test_the_leads_digest_asks_every_week_whether_the_hold_is_still_needed(small: SmallExchange) -> None:
    """One line in the day's message; releasing it is a deliberate act of its own."""
    delivery = small.arrive()
    small.exchange.holds.hold("g-kent", delivery, WHY, via="test")
    for _ in range(3):
        small.exchange.clock.set(small.exchange.now() + timedelta(days=4))
        small.exchange.tick()
    notices = [v.notice for v in small.exchange.views.notices("g-kent") if v.notice.kind == "digest"]
    assert any("H-2026-000001" in n.text or "H-2026-000001" in str(n.shown) for n in notices)
    told = [e for e in small.exchange.evidence.entries() if e.kind == "reminder.told" and "hold:H-2026" in e.data]
    assert len(told) == 1 and "g-kent" in told[0].data
