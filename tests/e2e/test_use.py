"""Use and destruction in a real browser: a month as a table, on a wide screen and on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from server.domain.delivery import Use
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.e2e.test_desk import PHONE, WIDE, fits, sign_in
from tests.small_exchange import SmallExchange, small_exchange


@pytest.fixture(scope="module")
def small(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    with small_exchange(gpg_person, ssh_key) as made:
        yield made


def test_a_month_is_used_and_destroyed_in_two_pages(page: Page, desk: str, small: SmallExchange) -> None:
    """From the home page to the table, to the form with what was said last time, to nothing left."""
    found = [small.arrive() for _ in range(3)]
    for delivery in found:
        small.collect(delivery)
        small.exchange.acknowledgement.acknowledge("p-kent-1", delivery, via="desk")
    sign_in(page, desk, small, "p-kent-1")
    page.get_by_role("link", name=re.compile(r"^Post-16.*Nov 2026$")).first.click()
    for width in (PHONE, WIDE):
        page.set_viewport_size({"width": width, "height": 900})
        assert fits(page)
    for delivery in found:
        page.get_by_label(f"Relevant, kept, {delivery}").fill("2")
        page.get_by_label(f"Not ours, {delivery}").fill("1")
        page.get_by_label(f"Could not be used, {delivery}").fill("0")
    page.get_by_role("button", name="Processed").click()
    expect(page.get_by_role("status")).to_contain_text("3 of 3 deliveries are processed now")
    page.get_by_role("link", name=re.compile(r"^Post-16.*Nov 2026$")).first.click()
    page.get_by_label("Downloads").select_option("deleted")
    page.get_by_label("Backups", exact=True).select_option("expires")
    page.get_by_label("The last backup expires on").fill("2027-03-31")
    for width in (PHONE, WIDE):
        page.set_viewport_size({"width": width, "height": 900})
        assert fits(page)
    page.get_by_role("button", name="Destroyed: sign").click()
    expect(page.get_by_role("status")).to_contain_text("3 of 3 deliveries are destroyed now")
    states = {view.id: view.words for view in small.exchange.views.received("p-kent-1")}
    assert all(f"the rest was {Use.DESTROYED}" in states[delivery] for delivery in found)
