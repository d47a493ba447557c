"""The desk in a real browser: headless Chromium, on a wide screen and on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import SmallExchange, moved, policy_files, small_exchange

PHONE, WIDE = 390, 1200


@pytest.fixture(scope="module")
def small(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    with small_exchange(gpg_person, ssh_key) as made:
        yield made


def sign_in(page: Page, desk: str, small: SmallExchange, person: str) -> None:
    page.goto(f"{desk}/desk/in/{small.token(person)}")
    expect(page).to_have_url(f"{desk}/desk")


def fits(page: Page) -> bool:
    """Nothing is wider than the screen."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


def test_a_person_signs_in_reads_and_acknowledges(page: Page, desk: str, small: SmallExchange) -> None:
    """One press; the page says so once, the button is gone, and the sender's notice says acknowledged."""
    delivery = small.arrive()
    small.collect(delivery)
    sign_in(page, desk, small, "p-kent-1")
    assert fits(page)
    card = page.get_by_role("listitem").filter(has_text=f"{delivery} from Essex")
    card.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_role("status")).to_contain_text(f"{delivery} is acknowledged")
    expect(card.get_by_role("button", name="Acknowledge")).to_have_count(0)
    assert small.count("delivery.acknowledged", delivery) == 1
    told = [view.notice for view in small.exchange.views.notices("p-essex-1") if delivery in view.notice.text]
    assert [notice.tone for notice in told] == ["good"]
    page.goto(f"{desk}/desk")
    expect(page.get_by_role("status")).to_have_count(0)


def test_two_windows_pressing_the_same_button_do_it_once(page: Page, desk: str, small: SmallExchange) -> None:
    """The second window was opened before; it is told who was first."""
    delivery = small.arrive()
    small.collect(delivery)
    sign_in(page, desk, small, "p-kent-1")
    other = page.context.new_page()
    for window in (page, other):
        window.goto(f"{desk}/desk/delivery/{delivery}")
    for window in (page, other):
        window.get_by_role("button", name="Acknowledge").click()
    expect(other.get_by_role("status")).to_contain_text("already acknowledged by p-kent-1")
    assert small.count("delivery.acknowledged", delivery) == 1


def test_a_problem_is_told_with_a_choice_and_a_reason(page: Page, desk: str, small: SmallExchange) -> None:
    """Personal data is stopped at the field, what was typed stays; the mended reason goes."""
    delivery = small.arrive()
    sign_in(page, desk, small, "p-kent-1")
    page.goto(f"{desk}/desk/delivery/{delivery}")
    page.get_by_role("link", name="Problem").click()
    assert fits(page)
    page.get_by_label("Reject it").check()
    page.get_by_label("What is wrong?").fill("the row of 03/04/2009")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_contain_text("a date of birth")
    expect(page.get_by_label("What is wrong?")).to_have_value("the row of 03/04/2009")
    expect(page.get_by_label("Reject it")).to_be_checked()
    page.get_by_label("What is wrong?").fill("These are October's rows")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("status")).to_contain_text("Your rejection")
    assert small.count("delivery.rejected", delivery) == 1


def test_a_held_upload_stands_first_and_one_press_lets_it_go(page: Page, desk: str, small: SmallExchange) -> None:
    """The question is the first thing its sender sees."""
    consignment = small.send(cut=True)
    small.send()
    sign_in(page, desk, small, "p-essex-1")
    first = page.locator("li.notice").first
    expect(first).to_contain_text(consignment)
    first.get_by_role("button", name="All there").click()
    expect(page.get_by_role("status")).to_be_visible()
    small.release()
    assert len(small.received(consignment)) == 1


def test_the_page_can_be_used_with_the_keyboard_alone(page: Page, desk: str, small: SmallExchange) -> None:
    """The first stop skips to the content; Enter on a button presses it; every field has a name."""
    delivery = small.arrive()
    small.collect(delivery)
    sign_in(page, desk, small, "p-kent-2")
    page.goto(f"{desk}/desk/delivery/{delivery}")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to the content")
    page.get_by_role("button", name="Acknowledge").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("is acknowledged")
    unnamed = page.evaluate(
        "[...document.querySelectorAll('input:not([type=hidden]),textarea,button,a')]"
        ".filter(e => !e.textContent.trim() && !(e.labels && e.labels.length)).length"
    )
    assert unnamed == 0
    assert page.evaluate("[...document.querySelectorAll('h1')].length") == 1
    assert page.evaluate("document.documentElement.lang") == "en-GB"


def test_a_lost_laptop_ends_a_session_that_is_open(page: Page, desk: str, small: SmallExchange) -> None:
    """A colleague suspends from the desk after one question; two lift it; the open window is out at once."""
    sign_in(page, desk, small, "p-kent-2")
    mine = page.context.browser.new_context()  # type: ignore[union-attr]
    colleague = mine.new_page()
    sign_in(colleague, desk, small, "p-kent-1")
    colleague.get_by_role("link", name="Colleagues").click()
    colleague.get_by_role("link", name="Suspend N. Medlar").click()
    colleague.get_by_role("button", name="Suspend").click()
    expect(colleague.get_by_role("status")).to_contain_text("p-kent-2 is suspended")
    page.goto(f"{desk}/desk")
    expect(page.get_by_role("heading", name="Safehand desk")).to_be_visible()
    colleague.get_by_role("button", name="Ask to lift").click()
    small.exchange.people.resume("p-kent-2", by="g-kent")
    assert small.exchange.views.person("p-kent-2") is not None
    mine.close()


def proposed(small: SmallExchange, gpg_person: MakeGpgPerson) -> str:
    """An open proposal with a new text of the agreement; its id."""
    revisions, policy = small.exchange.revisions, small.exchange.policy
    for view in revisions.proposals("a-essex-1"):
        if view.status == "open":
            revisions.withdraw("a-essex-1", view.id, via="test")
    files = policy_files(small.keys, gpg_person)
    files["policy.yaml"] = moved(files["policy.yaml"], policy.policy.version)
    files["agreement.yaml"] = moved(files["agreement.yaml"], policy.agreement.version)
    files["people.yaml"] = files["people.yaml"].replace("roles: [auditor]", "roles: [auditor, data_manager]", 1)
    return revisions.propose(files, by="a-essex-1").id


def test_a_governance_lead_reads_and_approves_a_new_text(
    page: Page, desk: str, small: SmallExchange, gpg_person: MakeGpgPerson
) -> None:
    """From the notice to everything it would change, to the whole hash, to the press; then it says so once."""
    proposal = proposed(small, gpg_person)
    text = small.exchange.revisions.proposal("g-kent", proposal).document_sha256
    sign_in(page, desk, small, "g-kent")
    assert fits(page)
    card = page.get_by_role("listitem").filter(has_text=f"({proposal})")
    card.get_by_role("link", name="Everything it would change").click()
    expect(page).to_have_url(f"{desk}/desk/changes/{proposal}")
    assert fits(page)
    expect(page.get_by_role("heading", name="People", exact=True)).to_be_visible()
    expect(page.get_by_text("u-auditor-1 (Essex) becomes data manager.")).to_be_visible()
    expect(page.get_by_text("Approving signs this text for Kent.")).to_be_visible()
    expect(page.get_by_text(text)).to_be_visible()
    page.get_by_role("link", name="Approve").click()
    assert fits(page)
    expect(page.get_by_text(text)).to_be_visible()
    page.get_by_role("button", name="Approve and sign").click()
    expect(page).to_have_url(re.compile(rf"/desk/changes/{proposal}\?said="))
    expect(page.get_by_role("status")).to_contain_text(f"You approved {proposal}")
    expect(page.get_by_role("link", name="Approve")).to_have_count(0)
    expect(page.get_by_role("listitem").filter(has_text="O. Oak, Kent")).to_contain_text("approved")
    assert small.count("policy.approved", proposal) == 1


def test_a_file_outside_the_schedule_is_approved_on_a_phone(page: Page, desk: str, small: SmallExchange) -> None:
    """The question, a reason that is stopped at the field, the mended one; then it goes."""
    number = len(small.exchange.views.sent_deliveries("p-essex-1"))
    small.put("p-essex-1", f"safeguarding/2026-11/kent/case-{number}.pdf", b"case %d" % number)
    consignment = small.exchange.views.sent_deliveries("p-essex-1")[0].consignment
    sign_in(page, desk, small, "g-essex")
    card = page.get_by_role("listitem").filter(has_text=f"{consignment} to Kent")
    card.get_by_role("link", name="Approve").click()
    assert fits(page)
    page.get_by_label("Why must it go?").fill("her number is 07700 900123")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("alert")).to_contain_text("a phone number")
    page.get_by_label("Why must it go?").fill("Strategy meeting on Monday needs it")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("status")).to_contain_text(f"{consignment} is approved and goes to Kent")
    small.release()
    assert len(small.received(consignment)) == 1


def test_the_agreement_is_read_and_its_review_asked_for(page: Page, desk: str, small: SmallExchange) -> None:
    """Who has signed, the text, its exact bytes; a form asks for a review; the owner's lead ends it."""
    sign_in(page, desk, small, "g-medway")
    page.get_by_role("link", name="Agreement", exact=True).click()
    assert fits(page)
    expect(page.get_by_text(small.exchange.policy.document_sha256)).to_be_visible()
    expect(page.get_by_text("Not signed: the document has no signature block for it.")).to_be_visible()
    page.get_by_role("link", name="Ask for a review").click()
    page.get_by_label("What changed?").fill("A new statute")
    page.get_by_role("button", name="Ask for it").click()
    expect(page.get_by_role("status")).to_contain_text("every governance lead is asked")
    expect(page.get_by_text("Under review since")).to_be_visible()
    small.exchange.reviews.close_open("g-essex", via="test")
