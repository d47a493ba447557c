"""The page that a governance lead takes to a meeting, in a real browser: words, colours, widths, paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import pytest
from playwright.sync_api import Browser, Page, expect

from bot.status_page import MEANING, tone
from server.domain.obligation import Standing, standing, words
from tests.a_year import WHEN, a_year, put
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import TEMPLATES, SmallExchange, small_exchange


@pytest.fixture(scope="module")
def small(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    """14 January 2027, after most of a year; one delivery was never acknowledged."""
    with small_exchange(gpg_person, ssh_key) as made:
        made.arrive()
        made.exchange.clock.set(WHEN)
        made.exchange.tick()
        put(made.exchange, a_year(made.exchange))
        yield made


@pytest.fixture
def status(page: Page, desk: str, small: SmallExchange) -> Page:
    """The page, as Medway's governance lead opens it from the desk."""
    page.goto(f"{desk}/desk/in/{small.token('g-medway')}")
    page.get_by_role("navigation", name="Desk").get_by_role("link", name="Status").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("How the agreement is kept 2026-27")
    return page


def test_nothing_is_wider_than_the_screen(status: Page) -> None:
    """On a phone the tables and the picture move inside their own frames, and keys reach them."""
    assert status.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    for frame in status.locator(".scroll").all():
        assert frame.get_attribute("tabindex") == "0"
        assert frame.get_attribute("aria-label") or frame.get_attribute("aria-labelledby")


def test_every_cell_says_in_words_what_its_colour_says(status: Page, small: SmallExchange) -> None:
    """The word, and in its title every obligation of that pair and month, as the exchange has them."""
    sight = small.exchange.status.sight("g-medway")
    cells = [cell for row in sight.rows for cell in row.cells]
    found = status.locator(".matrix td").evaluate_all(
        "all => all.map(e => [e.className, e.innerText.trim(), e.title])"
    )  # fmt: skip
    assert len(found) == len(cells) == 72 * 12
    for cell, (classes, text, title) in zip(cells, found, strict=True):
        if cell.worst is None:
            assert (classes, title) == ("cell nothing", "nothing is due")
            continue
        assert classes == f"cell {tone(cell.worst)}"
        for one in cell.obligations:
            assert words(one, sight.now) in title
        if cell.worst not in {Standing.DUE, Standing.AHEAD}:
            assert text.startswith(MEANING[cell.worst][0])
        same = sum(standing(one, sight.now) is cell.worst for one in cell.obligations)
        assert (f"{same} of {len(cell.obligations)}" in text) == (same < len(cell.obligations))


def test_the_table_is_one_that_a_screen_reader_can_read(status: Page) -> None:
    """A caption, headings with a scope, a hidden sender in each row's heading; the picture has a title and words."""
    assert status.locator(".matrix caption").inner_text().startswith("All exchanges, 2026-27")
    assert status.locator("th:not([scope])").count() == 0
    row = status.locator(".matrix tbody").first.locator("tr").nth(1)
    assert row.locator("th").text_content() == "Essex sends to Thurrock"
    picture = status.get_by_role("img", name="Timeliness in 2026-27")
    assert re.match(r"On time, month by month: April \d+\s%, ", picture.locator("desc").text_content() or "")
    levels = status.locator("h1, h2, h3").evaluate_all("all => all.map(e => +e.tagName[1])")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_the_overdue_list_comes_first(status: Page) -> None:
    """Before the picture and the tables; with what was never acknowledged."""
    assert status.locator("h2").first.inner_text() == "Overdue"
    listed = status.locator(".overdue > li")
    expect(listed.last).to_contain_text(re.compile(r"Kent.*D-2026-000001 from Essex.*42 days ago", re.DOTALL))
    expect(status.locator(".figures .bad")).to_contain_text("Late now")


def test_links_narrow_it_to_an_exchange_and_to_the_own_member(status: Page, desk: str) -> None:
    """Each is an address of its own, which can be sent to a colleague; what is not theirs is not there."""
    shown = status.get_by_role("navigation", name="What is shown")
    assert "Year 14" not in shown.inner_text()
    shown.get_by_role("link", name="Post-16 destinations").click()
    expect(status).to_have_url(f"{desk}/desk/status/post16-destinations/2026-27")
    assert status.locator(".matrix tbody").count() == 9
    shown.get_by_role("link", name="Medway only").click()
    expect(status).to_have_url(f"{desk}/desk/status/post16-destinations/2026-27?own=1")
    expect(status.locator(".lead")).to_contain_text("Post-16 destinations, Medway only.")
    assert {row.split("\t")[0] for row in status.locator(".totals tr").all_inner_texts()[1:]} == {"Medway"}
    assert status.locator(".matrix .sender").all_inner_texts() == ["Medway sends to", "Medway receives from"]
    shown.get_by_role("link", name="2027-28").click()
    expect(status.get_by_text("Nothing is owed in this year.").first).to_be_visible()
    assert status.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    for lost, words_ in (
        ("/desk/status/year14-destinations/2026-27", "There is no exchange called year14-destinations"),
        ("/desk/status/all/2026-28", "There is no such sharing year"),
    ):
        answer = status.request.get(f"{desk}{lost}")
        assert answer.status == 404
        assert words_ in answer.text()


def test_on_paper_it_is_a_report(chromium: Browser, desk: str, small: SmallExchange) -> None:
    """Landscape, without navigation, with its colours; every column is on the sheet."""
    page = chromium.new_page()
    page.goto(f"{desk}/desk/in/{small.token('g-essex')}")
    page.goto(f"{desk}/desk/status")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 1040, "height": 720})
    for gone in (".top", ".tabs", ".filters", ".foot"):
        expect(page.locator(gone)).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.locator(".matrix thead th").last.evaluate("e => e.getBoundingClientRect().right <= innerWidth")
    sheet = page.pdf(prefer_css_page_size=True)
    assert b"/MediaBox [0 0 841" in sheet
    page.close()


# ------------------------------------------------------------------ colours

STYLE = (TEMPLATES / "desk" / "safehand.css").read_text()
NAMED = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", STYLE))
PAINTED = dict(re.findall(r"\.cell\.([a-z-]+) \{ background: (#[0-9a-f]{6}); color: #[0-9a-f]{6};", STYLE))
INKED = dict(re.findall(r"\.cell\.([a-z-]+) \{ background: #[0-9a-f]{6}; color: (#[0-9a-f]{6});", STYLE))


def light(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((light(one), light(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("state", [tone(s) for s in MEANING])
def test_each_state_can_be_read_on_its_colour(state: str) -> None:
    """At least 4.5 to 1 (WCAG AA), and no two states look and read alike."""
    assert contrast(PAINTED[state], INKED[state]) >= 4.5


def test_figures_and_words_can_be_read_on_paper_white() -> None:
    """Each ink of the desk on its white and on its ground."""
    for ink in ("ink", "soft", "act", "good", "attention", "bad"):
        assert contrast(NAMED[ink], NAMED["paper"]) >= 4.5
        assert contrast(NAMED[ink], NAMED["ground"]) >= 4.5


def test_no_two_words_of_the_legend_are_alike() -> None:
    """Colour alone never tells two states apart."""
    assert len({word for word, _ in MEANING.values()}) == len(MEANING)
