"""Use and destruction on the desk: one form a delivery, one table a month, and a form again where it is wrong."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from bot.app import compose
from bot.conversation import Account, Buttons, Form, Reply, Words
from server.domain.delivery import Use
from server.web import web_app
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.flow.test_use import SOME, acknowledged, row_of, said_of
from tests.small_exchange import TEMPLATES, SmallExchange, small_exchange

GROUP = "post16-destinations-2026-11"


@pytest.fixture
def here(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    with small_exchange(gpg_person, ssh_key) as made:
        yield made


@pytest.fixture
async def browser(here: SmallExchange) -> AsyncIterator[httpx.AsyncClient]:
    parts = compose(here.exchange, web_url="https://desk.test", templates=TEMPLATES, slack=None)
    transport = httpx.ASGITransport(web_app(here.exchange, parts.routes), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://desk.test") as client:
        yield client


async def signed_in(browser: httpx.AsyncClient, here: SmallExchange, person: str = "p-kent-1") -> dict[str, str]:
    """What every form of the session carries."""
    await browser.get(f"/desk/in/{here.token(person)}")
    found = re.search(r'name="form_token" value="([^"]+)"', (await browser.get("/desk")).text)
    assert found is not None
    return {"form_token": found[1], "sure": "yes", "back": "/desk"}


async def test_one_delivery_from_processed_to_destroyed(browser: httpx.AsyncClient, here: SmallExchange) -> None:
    """Wrong counts come back with what was typed; right ones go on to the form of destruction."""
    delivery = acknowledged(here)
    hidden = await signed_in(browser, here)
    page = (await browser.get(f"/desk/do/processed/{delivery}")).text
    assert 'name="received" value="3"' in page
    wrong = hidden | {"received": "3", "kept": "3", "not_ours": "1", "rejected": "0"}
    answer = await browser.post(f"/desk/do/processed/{delivery}", data=wrong)
    assert answer.status_code == 422
    assert "but 3 were received: please count again" in answer.text
    assert 'name="not_ours" value="1"' in answer.text
    answer = await browser.post(f"/desk/do/processed/{delivery}", data=wrong | {"kept": "2"})
    assert answer.status_code == 303
    page = (await browser.get(answer.headers["location"])).text
    assert f"{delivery} is processed: 2 kept, 1 not relevant, 0 rejected." in page
    assert f"/desk/do/destroyed/{delivery}" in page
    form = (await browser.get(f"/desk/do/destroyed/{delivery}")).text
    assert "1 record, and the file itself wherever it lay" in form
    said = hidden | {"downloads": "deleted", "backups": "expires", "backups_until": "2020-01-01", "witness": "-"}
    answer = await browser.post(f"/desk/do/destroyed/{delivery}", data=said)
    assert answer.status_code == 422
    assert "not one that has passed" in answer.text
    answer = await browser.post(f"/desk/do/destroyed/{delivery}", data=said | {"backups_until": "2027-03-31"})
    assert answer.status_code == 303
    assert row_of(here, delivery).use_state is Use.DESTROYED
    late = await browser.get(f"/desk/do/destroyed/{delivery}")
    assert "p-kent-1 said so" in late.text


async def test_a_month_is_one_table_and_one_submit(browser: httpx.AsyncClient, here: SmallExchange) -> None:
    """Rows left blank wait; one wrong row comes back marked, with all that was typed; then all at once."""
    found = [acknowledged(here) for _ in range(3)]
    hidden = await signed_in(browser, here)
    page = (await browser.get("/desk/use/post16-destinations/2026-11")).text
    assert page.count("<tr>") == 4
    assert f'name="received.{found[2]}" value="3"' in page
    typed = hidden | {f"received.{d}": "3" for d in found}
    typed |= {f"{name}.{found[0]}": n for name, n in (("kept", "2"), ("not_ours", "1"), ("rejected", "0"))}
    typed |= {f"{name}.{found[1]}": n for name, n in (("kept", "3"), ("not_ours", "1"), ("rejected", "0"))}
    answer = await browser.post(f"/desk/do/processed/{GROUP}", data=typed)
    assert answer.status_code == 422
    assert answer.text.count('<tr class="wrong">') == 1
    assert f'name="kept.{found[0]}" value="2"' in answer.text
    assert said_of(here, found[0]) is None
    answer = await browser.post(f"/desk/do/processed/{GROUP}", data=typed | {f"not_ours.{found[1]}": "0"})
    assert answer.status_code == 303
    assert [row_of(here, d).use_state for d in found] == [Use.PROCESSED, Use.PROCESSED, Use.OPEN]
    page = (await browser.get(f"/desk/do/destroyed/{GROUP}")).text
    assert page.count('type="checkbox"') == 2
    said = hidden | {"deliveries": found[:2], "downloads": "deleted", "backups": "none", "witness": "-"}
    answer = await browser.post(f"/desk/do/destroyed/{GROUP}", data=said)
    assert answer.status_code == 303
    assert [row_of(here, d).use_state for d in found] == [Use.DESTROYED, Use.DESTROYED, Use.OPEN]


async def test_the_sender_finds_no_form(browser: httpx.AsyncClient, here: SmallExchange) -> None:
    """Neither the page nor the POST: nothing of another member's copies can be said."""
    delivery = acknowledged(here)
    hidden = await signed_in(browser, here, "p-essex-1")
    assert (await browser.get("/desk/use/post16-destinations/2026-11")).status_code == 404
    typed = hidden | {"received": "3", "kept": "3", "not_ours": "0", "rejected": "0"}
    answer = await browser.post(f"/desk/do/processed/{delivery}", data=typed)
    page = (await browser.get(answer.headers["location"])).text
    assert "Only Kent says what became of its own copy" in page
    assert said_of(here, delivery) is None


def test_in_chat_a_stale_button_says_who_was_first(here: SmallExchange) -> None:
    """And a form that is submitted by a second person changes nothing."""
    buttons, delivery = Buttons(here.exchange), acknowledged(here)
    form = buttons.press("p-kent-1", "processed", delivery, via="slack")
    assert isinstance(form, Form)
    answers = {"received": "3", "kept": "3", "not_ours": "0", "rejected": "0"}
    done = buttons.press("p-kent-1", "processed", delivery, answers, via="slack")
    assert isinstance(done, Reply) and done.changed
    second = buttons.press("p-kent-2", "processed", delivery, answers, via="slack")
    assert isinstance(second, Reply) and not second.changed
    assert "p-kent-1 said so already" in second.text
    stale = buttons.press("p-kent-2", "processed", delivery, via="slack")
    assert isinstance(stale, Reply)
    assert "p-kent-1 said so" in stale.text
    early = buttons.press("p-kent-2", "countersign", delivery, via="slack")
    assert isinstance(early, Reply)
    assert "Only a governance lead" in early.text


def test_chat_says_what_waits_to_be_used(here: SmallExchange) -> None:
    """`/safehand status`: a month of several is one line and one button, and a single one has its own."""
    found = [acknowledged(here) for _ in range(3)]
    account = Account("slack", "T1", "U1")
    here.exchange.people.link_chat("slack", "T1", "U1", here.code("p-kent-1"))
    words = Words(here.exchange)
    told = words.say(account, "status")
    assert [(b.verb, b.subject) for b in told.buttons] == [("processed", GROUP)]
    here.exchange.use.processed("p-kent-1", found[0], SOME, via="slack")
    told = words.say(account, "status")
    assert [(b.verb, b.subject) for b in told.buttons] == [("destroyed", found[0]), ("processed", GROUP)]
    assert f"{found[1]}, {found[2]} (what was in it)" in told.text
