"""Keys, corrections and yearly statements on the desk: what is shown to whom, and the forms."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

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


class Browser:
    """One person, signed in."""

    def __init__(self, client: httpx.AsyncClient, token: str) -> None:
        self._client, self._token = client, token

    async def page(self, where: str) -> str:
        return re.sub(r"\s+", " ", (await self._client.get(where)).text)

    async def post(self, where: str, **answers: str) -> str:
        """What is said afterwards."""
        fields = {"form_token": self._token, "sure": "yes", "back": "/desk", **answers}
        answer = await self._client.post(where, data=fields)
        assert answer.status_code in {303, 422}, answer.text
        return await self.page(answer.headers["location"]) if answer.status_code == 303 else answer.text


async def signed_in(client: httpx.AsyncClient, small: SmallExchange, person: str) -> Browser:
    client.cookies.clear()
    await client.get(f"/desk/in/{small.token(person)}")
    found = re.search(r'name="form_token" value="([^"]+)"', (await client.get("/desk")).text)
    assert found is not None
    return Browser(client, found[1])


@pytest.fixture
async def client(small: SmallExchange):  # type: ignore[no-untyped-def]
    parts = compose(small.exchange, web_url=WEB, templates=TEMPLATES, slack=None)
    transport = httpx.ASGITransport(web_app(small.exchange, parts.routes), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=WEB) as made:
        yield made


async def test_a_correction_is_asked_for_and_answered_on_the_deliverys_page(
    client: httpx.AsyncClient, small: SmallExchange
) -> None:
    """The recipient's form has a line and a field; the sender's page has the two answers."""
    delivery = await asyncio.to_thread(small.arrive)
    kent = await signed_in(client, small, "p-kent-1")
    assert "A record is wrong" in await kent.page(f"/desk/delivery/{delivery}")
    form = await kent.page(f"/desk/do/correct/{delivery}")
    assert 'name="line"' in form and 'name="field"' in form
    wrong = await kent.post(f"/desk/do/correct/{delivery}", line="2", field="2009-01-01")
    assert "is asked about" not in wrong
    assert "Essex is asked about line 2, dob" in await kent.post(f"/desk/do/correct/{delivery}", line="2", field="dob")
    essex = await signed_in(client, small, "p-essex-1")
    shown = await essex.page(f"/desk/delivery/{delivery}")
    assert "Line 2, dob" in shown and "Accept" in shown and "A record is wrong" not in shown
    correction = small.exchange.corrections.every()[0].id
    assert "is accepted" in await essex.post(f"/desk/do/accept-correction/{correction}")


async def test_the_agreements_page_shows_every_members_statements_and_the_own_leads_form(
    client: httpx.AsyncClient, small: SmallExchange
) -> None:
    """Others see that it was given, and nothing of what was not ticked in it."""
    ticks = {"contracts": "yes", "assessment": "yes", "breach_test": "no", "access_review": "yes", "retention": "yes"}
    lead = await signed_in(client, small, "g-kent")
    assert "/desk/do/attest-yearly/due-diligence" in await lead.page("/desk/agreement")
    said = await lead.post("/desk/do/attest-yearly/due-diligence", **ticks)
    assert "Due diligence: given for Kent" in said
    assert "Not yet: Our breach procedure" in await lead.page("/desk/agreement")
    other = await signed_in(client, small, "p-medway-1")
    shown = await other.page("/desk/agreement")
    assert "Kent: 1 of 6 provided" in shown and "breach procedure" not in shown and "attest-yearly" not in shown


async def test_a_key_is_approved_by_what_was_heard(
    client: httpx.AsyncClient, small: SmallExchange, gpg_person: MakeGpgPerson
) -> None:
    """The page says whom to call; a wrong end is refused in words."""
    key = gpg_person("kent-desk")
    await asyncio.to_thread(small.exchange.keys.propose, small.visitor("p-kent-1"), b"new.asc", key.armored.encode())
    proposal = small.exchange.keys.every()[0].proposal
    lead = await signed_in(client, small, "g-kent")
    assert "who calls M. Maple, Kent" in await lead.page(f"/desk/changes/{proposal}")
    form = await lead.page(f"/desk/do/approve-key/{proposal}")
    assert 'name="heard"' in form and key.fingerprint[-8:] not in form
    assert "Ask once more by phone" in await lead.post(f"/desk/do/approve-key/{proposal}", heard="00000000")
    assert "You approved" in await lead.post(f"/desk/do/approve-key/{proposal}", heard=key.fingerprint[-8:])
