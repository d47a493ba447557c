"""Governance leads' stories, told through every front end: proposals, files outside the schedule, reviews, signing."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest

from bot.app import compose
from bot.slack import SlackSettings
from server.domain.errors import Refused
from server.policy.load import load_texts
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.flow.test_bot_story import FRONTS, WEB, SlackFront, _client, the_desk, the_slack
from tests.slack_fake import SECRET, Message, fake_slack, interaction
from tests.small_exchange import TEMPLATES, SmallExchange, moved, policy_files, put_in_force, small_exchange

WHY = "Strategy meeting on Monday needs it"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def small(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    with small_exchange(gpg_person, ssh_key, messages=50) as made:
        yield made


@pytest.fixture(params=FRONTS)
def enter(request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    return FRONTS[request.param]


def a_change(small: SmallExchange, gpg_person: MakeGpgPerson, *, text: bool = False) -> dict[str, str]:
    """The set in force with one thing changed: a role that is new, or the text of the agreement."""
    files = policy_files(small.keys, gpg_person)
    files["policy.yaml"] = moved(files["policy.yaml"], small.exchange.policy.policy.version)
    files["people.yaml"] = files["people.yaml"].replace("name: F. Fir", f"name: F. Fir {next(_numbers)}", 1)
    if text:
        files["agreement.yaml"] = moved(files["agreement.yaml"], small.exchange.policy.agreement.version)
    return files


def proposed(small: SmallExchange, gpg_person: MakeGpgPerson, *, text: bool = False) -> str:
    """An open proposal that every governance lead is asked about; its id."""
    for view in small.exchange.revisions.proposals("a-essex-1"):
        if view.status == "open":
            small.exchange.revisions.withdraw("a-essex-1", view.id, via="test")
    return small.exchange.revisions.propose(a_change(small, gpg_person, text=text), by="a-essex-1").id


def asked_for(small: SmallExchange) -> str:
    """p-essex-1 sends Kent a file outside the schedule; the consignment's id."""
    number = next(_numbers)
    assert small.put("p-essex-1", f"safeguarding/2026-11/kent/case-{number}.pdf", b"case %d" % number)
    return small.exchange.views.sent_deliveries("p-essex-1")[0].consignment


# ---------------------------------------------------------------- one story, every front end


async def test_a_proposal_is_approved_once_and_a_stale_button_says_so(
    small: SmallExchange, gpg_person: MakeGpgPerson, enter
) -> None:  # type: ignore[no-untyped-def]
    """The notice says what changes; one approval counts once; after it there is only a change of mind left."""
    async with enter(small, "g-essex") as front:
        proposal = await asyncio.to_thread(proposed, small, gpg_person)
        await front.text(proposal, "proposes version")
        assert await front.labels(proposal) == ["Approve", "Refuse"]
        approve = await front.button(proposal, "Approve")
        await approve()
        assert await front.labels(proposal) == ["Refuse"]
        assert "already" in await approve()
    assert small.count("policy.approved", proposal) == 1


async def test_a_refusal_is_told_with_its_reason(small: SmallExchange, gpg_person: MakeGpgPerson, enter) -> None:  # type: ignore[no-untyped-def]
    """Without personal data; the others read it on the proposal's page."""
    async with enter(small, "g-essex-2") as front:
        proposal = await asyncio.to_thread(proposed, small, gpg_person)
        refuse = await front.button(proposal, "Refuse")
        assert "a date of birth" in await refuse(reason="the one of 03/04/2009")
        refuse = await front.button(proposal, "Refuse")
        await refuse(reason="Nobody asked the auditor")
    view = small.exchange.revisions.proposal("g-kent", proposal)
    assert [(person, answer) for person, _, answer, _ in view.answers] == [("g-essex-2", "refused")]
    assert view.reasons == (("g-essex-2", "Nobody asked the auditor"),)


async def test_a_withdrawn_proposal_cannot_be_approved(small: SmallExchange, gpg_person: MakeGpgPerson, enter) -> None:  # type: ignore[no-untyped-def]
    """The stale button says how it ended."""
    async with enter(small, "g-essex") as front:
        proposal = await asyncio.to_thread(proposed, small, gpg_person)
        approve = await front.button(proposal, "Approve")
        small.exchange.revisions.withdraw("a-essex-1", proposal, via="test")
        assert "Withdrawn" in await approve()
    assert small.count("policy.approved", proposal) == 0


async def test_a_file_outside_the_schedule_is_approved_with_a_reason(small: SmallExchange, enter) -> None:  # type: ignore[no-untyped-def]
    """Asked, answered once, and it goes; a second lead's press says who did it."""
    async with enter(small, "g-essex") as front:
        consignment = await asyncio.to_thread(asked_for, small)
        await front.text(consignment, "outside the schedule")
        assert await front.labels(consignment) == ["Approve", "Refuse"]
        approve = await front.button(consignment, "Approve")
        assert "Please give a reason" in await approve(reason=" ")
        approve = await front.button(consignment, "Approve")
        await approve(reason=WHY)
        assert WHY in await front.text(consignment, "approved by g-essex")
        assert await front.labels(consignment) == []
        assert "already approved by g-essex" in await approve(reason=WHY)
    await asyncio.to_thread(small.release)
    assert len(small.received(consignment)) == 1


async def test_a_refused_file_outside_the_schedule_never_goes(small: SmallExchange, enter) -> None:  # type: ignore[no-untyped-def]
    """Its sender reads why."""
    async with enter(small, "g-essex-2") as front:
        consignment = await asyncio.to_thread(asked_for, small)
        refuse = await front.button(consignment, "Refuse")
        await refuse(reason="Ask the social worker instead")
        await front.text(consignment, "did not go")
    await asyncio.to_thread(small.release)
    assert small.received(consignment) == []
    told = [view.notice.text for view in small.exchange.views.notices("p-essex-1") if consignment in view.notice.text]
    assert "Ask the social worker instead" in told[0]


async def test_a_review_is_closed_by_the_owners_lead_alone(small: SmallExchange, enter) -> None:  # type: ignore[no-untyped-def]
    """Everybody is told; only Essex has the button."""
    reason = f"New duties from September {next(_numbers)}"
    async with enter(small, "g-essex") as front:
        small.exchange.reviews.ask("g-kent", reason, via="test")
        other = next(v.notice for v in small.exchange.views.notices("g-medway") if reason in v.notice.text)
        assert "who owns it" in other.text and other.buttons == ()
        done = await front.button(reason, "The review is done")
        await done()
        await front.text(reason, "closed by g-essex")
        assert "closed by g-essex" in await done()
    assert small.exchange.reviews.under_way("g-kent") is None


# ---------------------------------------------------------------- the agreement's text


@asynccontextmanager
async def a_browser(small: SmallExchange, person: str) -> AsyncIterator[httpx.AsyncClient]:
    parts = compose(small.exchange, web_url=WEB, templates=TEMPLATES, slack=None)
    async with _client(small, parts) as client:
        assert (await client.get(f"/desk/in/{small.token(person)}")).status_code == 303
        yield client


def with_stale_signatures(small: SmallExchange, gpg_person: MakeGpgPerson) -> str:
    """Kent's paper signature is of another text than the one in force from now on; that text's hash."""
    files = policy_files(small.keys, gpg_person)
    row = re.search(r"(?m)^- \{member: kent, .*\}$", files["agreement.yaml"])
    assert row is not None
    stale = re.sub(r"document_sha256: \w+", f"document_sha256: {'0' * 64}", row[0])
    files["agreement.yaml"] = files["agreement.yaml"].replace(row[0], stale)
    put_in_force(small.exchange, files)
    return load_texts(files).document_sha256


@pytest.fixture
def stale(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[tuple[SmallExchange, str]]:
    """An exchange in which Kent has to sign anew, and the hash that it signs."""
    with small_exchange(gpg_person, ssh_key, messages=50) as made:
        yield made, with_stale_signatures(made, gpg_person)


async def test_the_desk_signs_exactly_the_text_whose_hash_it_shows(stale: tuple[SmallExchange, str]) -> None:
    """The page says that the signature is stale; the question shows the whole hash; another hash is refused."""
    small, text = stale
    async with a_browser(small, "g-kent") as client:
        page = (await client.get("/desk/agreement")).text
        assert "signature is of another text" in page and "Sign for Kent" in page and text in page
        assert (await client.get("/desk/agreement/text")).text == small.exchange.policy.document
        question = (await client.get(f"/desk/do/sign-agreement/{text}?back=/desk/agreement")).text
        assert text in question and "You sign exactly the text" in question
        other = (await client.get(f"/desk/do/sign-agreement/{'0' * 64}")).text
        assert "not the text in force any more" in other
        token = re.search(r'name="form_token" value="([^"]+)"', question)
        assert token is not None
        fields = {"form_token": token[1], "back": "/desk/agreement", "sure": "yes"}
        answer = await client.post(f"/desk/do/sign-agreement/{text}", data=fields)
        assert answer.status_code == 303
        after = (await client.get(answer.headers["location"])).text
        assert "You signed document" in after and "Sign for Kent" not in after and "another text" not in after
    assert small.kinds().count("agreement.signed") == 1


def test_a_lead_whose_signature_is_stale_is_asked_once_a_text(stale: tuple[SmallExchange, str]) -> None:
    """Both of Kent's leads and nobody else's; their notice becomes what was signed; nothing is asked again."""
    small, text = stale
    for _ in range(3):
        small.exchange.tick()
        small.exchange.signing.ask_unsigned()

    def asked() -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for person in small.exchange.policy.people:
            for view in small.exchange.views.notices(person.id):
                if view.notice.thread.startswith("agreement:"):
                    found[person.id] = tuple(button.label for button in view.notice.buttons)
        return found

    assert asked() == {"g-kent": ("Sign for Kent",), "g-kent-2": ("Sign for Kent",)}
    small.exchange.signing.sign("g-kent-2", text, via="test")
    small.exchange.tick()
    assert asked() == {"g-kent": (), "g-kent-2": ()}
    assert small.kinds().count("agreement.signature-asked") == 1


async def test_slack_signs_exactly_the_text_whose_hash_it_shows(stale: tuple[SmallExchange, str]) -> None:
    """/safehand agreement shows it with the button; the question shows the whole hash again; pressed again: signed."""
    small, text = stale
    async with the_slack(small, "g-kent") as front:
        assert isinstance(front, SlackFront)
        said = (await front.send(front.slack.command(front.user, "agreement"))).json()
        assert f"Document: {text}" in said["text"] and "stale" in said["text"]
        shown = Message(f"D{front.user}", "1.1", said["text"], said["blocks"])
        assert list(shown.buttons) == ["Sign for Kent"]
        before = len(front.slack.views)
        await front.send(interaction(front.slack.click(shown, "Sign for Kent", front.user)))
        for _ in range(250):
            if len(front.slack.views) > before:
                break
            await asyncio.sleep(0.02)
        view = front.slack.views[-1]
        assert text in view["blocks"][0]["text"]["text"] and view["title"]["text"] == "Sign the agreement"
        await front.send(interaction(front.slack.submission(front.user, view)))
        await front.text(text[:12], "signed the agreement")
        said = (await front.send(front.slack.command(front.user, "agreement"))).json()
        assert "blocks" not in said and "Kent: signed" in said["text"]
    assert small.kinds().count("agreement.signed") == 1


def test_a_small_file_signs_and_answers(stale: tuple[SmallExchange, str], gpg_person: MakeGpgPerson) -> None:
    """agreement-<12 digits>.signed, P-….approved, P-….refused; HOW.txt names what is possible now."""
    small, text = stale
    files = policy_files(small.keys, gpg_person)
    people = files["people.yaml"]
    at = people.index("roles:", people.index("- id: p-kent-1\n"))
    files["people.yaml"] = people[:at] + people[at:].replace("data_manager]", "data_manager, governance_lead]", 1)
    row = re.search(r"(?m)^- \{member: kent, .*\}$", files["agreement.yaml"])
    assert row is not None
    files["agreement.yaml"] = files["agreement.yaml"].replace(
        row[0], re.sub(r"document_sha256: \w+", f"document_sha256: {'0' * 64}", row[0])
    )
    put_in_force(small.exchange, files)
    lead, attest = small.visitor("p-kent-1"), small.exchange.attest
    how = small.exchange.views.attest(lead)[0].content().decode()
    assert f"agreement-{text[:12]}.signed" in how
    with pytest.raises(Refused, match="not the text in force"):
        attest(lead, b"agreement-000000000000.signed", b"")
    assert "You signed" in attest(lead, f"agreement-{text[:12]}.signed.txt".encode(), b"")
    files["policy.yaml"] = moved(files["policy.yaml"], small.exchange.policy.policy.version)
    files["people.yaml"] = files["people.yaml"].replace("name: F. Fir", "name: F. Firre", 1)
    proposal = small.exchange.revisions.propose(files, by="a-essex-1").id
    assert f"{proposal}.approved" in small.exchange.views.attest(lead)[0].content().decode()
    assert f"You approved {proposal}" in attest(lead, f"{proposal}.approved".encode(), b"")
    with pytest.raises(Refused, match="give a reason"):
        attest(lead, f"{proposal}.refused".encode(), b"")
    assert "You refused" in attest(lead, f"{proposal}.refused".encode(), b"Not like this")


async def test_approving_a_new_text_says_that_it_signs_it(small: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """On the page, before the press, and in Slack's question: for whom, and the whole hash."""
    proposal = proposed(small, gpg_person, text=True)
    text = small.exchange.revisions.proposal("g-kent", proposal).document_sha256
    async with a_browser(small, "g-kent") as client:
        page = (await client.get(f"/desk/changes/{proposal}")).text
        assert "Approving signs this text for Kent." in page and text in page
        question = (await client.get(f"/desk/do/approve-change/{proposal}")).text
        assert "Approving signs this text for Kent" in question and text in question
        listed = (await client.get("/desk/changes")).text
        assert proposal in listed and "changes the text that members sign" in listed
    async with the_slack(small, "g-kent") as front:
        assert isinstance(front, SlackFront)
        proposal = await asyncio.to_thread(proposed, small, gpg_person, text=True)
        text = small.exchange.revisions.proposal("g-kent", proposal).document_sha256
        said = (await front.send(front.slack.command(front.user, "changes"))).json()
        assert proposal in said["text"] and text in said["text"]
        approve = await front.button(proposal, "Approve")
        await approve()
        seen = front.slack.views[-1]["blocks"][0]["text"]["text"]
        assert "Approving signs this text for Kent" in seen and text in seen
    assert small.count("policy.approved", proposal) == 1


@pytest.mark.parametrize("person", ["p-kent-1", "p-medway-1"])
async def test_who_answers_no_proposals_sees_none(small: SmallExchange, gpg_person: MakeGpgPerson, person: str) -> None:
    """No tab, no page, no word in chat."""
    proposal = proposed(small, gpg_person)
    async with a_browser(small, person) as client:
        assert "/desk/changes" not in (await client.get("/desk")).text
        for path in ("/desk/changes", f"/desk/changes/{proposal}"):
            answer = await client.get(path)
            assert answer.status_code == 404 and "policy's changes" in answer.text.replace("&#39;", "'")
        assert "Sign for" not in (await client.get("/desk/agreement")).text


async def test_a_reviews_question_and_its_answer_on_the_desk(small: SmallExchange) -> None:
    """Asked for by a form with a reason; the desk and /safehand status say so as long as it is open."""
    async with a_browser(small, "g-medway") as client:
        form = (await client.get("/desk/do/review/agreement?back=/desk/agreement")).text
        token = re.search(r'name="form_token" value="([^"]+)"', form)
        assert token is not None
        fields = {"form_token": token[1], "back": "/desk/agreement", "sure": "yes", "reason": "A new statute"}
        await client.post("/desk/do/review/agreement", data=fields)
        for path in ("/desk", "/desk/agreement"):
            assert "A new statute" in (await client.get(path)).text
    async with the_slack(small, "p-kent-1") as front:
        assert isinstance(front, SlackFront)
        said = (await front.send(front.slack.command(front.user, "status"))).json()["text"]
        assert "under review since" in said and "A new statute" in said
        refused = (await front.send(front.slack.command(front.user, 'review "Another"'))).json()["text"]
        assert "Only a governance lead" in refused
    small.exchange.reviews.close_open("g-essex", via="test")


async def test_the_lead_of_a_member_that_left_attests_on_the_desk(stale: tuple[SmallExchange, str]) -> None:
    """Asked first; done once."""
    small, _ = stale
    small.exchange.departures.leave("medway", by="a-essex-1")
    async with the_desk(small, "g-medway") as front:
        await front.text("Medway", "left")
        async with a_browser(small, "g-kent") as client:
            assert "Left; it attests the destruction" in (await client.get("/desk/agreement")).text
        done = await front.button("Medway: left", "All destroyed")
        assert "You attested" in await done()
        assert await front.labels("Medway: left") == []
    assert small.kinds().count("member.destruction-attested") == 1


async def test_who_has_a_desk_and_no_mailbox_links_their_chat(small: SmallExchange) -> None:
    """A code from the desk ties the account once; a page from elsewhere gets none; it dies with the person's access."""
    async with AsyncExitStack() as stack:
        slack = await stack.enter_async_context(fake_slack())
        settings = SlackSettings(token="xoxb-test", signing_secret=SECRET, api_url=slack.url)
        parts = compose(small.exchange, web_url=WEB, templates=TEMPLATES, slack=settings)
        client = await stack.enter_async_context(_client(small, parts))
        await client.get(f"/desk/in/{small.token('g-thurrock')}")
        home = (await client.get("/desk")).text
        token = re.search(r'name="form_token" value="([^"]+)"', home)
        assert token is not None and 'action="/desk/code"' in home
        assert (await client.post("/desk/code", data={"form_token": "another"})).status_code == 403
        page = (await client.post("/desk/code", data={"form_token": token[1]})).text
        code = re.search(r"/safehand link ([0-9A-Z]+)", page)
        assert code is not None
        front = SlackFront(slack, client, "UTHURROCK")
        said = (await front.send(slack.command(front.user, f"link {code[1]}"))).json()["text"]
        assert "you are g-thurrock" in said
        again = (await front.send(slack.command("USOMEBODY", f"link {code[1]}"))).json()["text"]
        assert "used already" in again
        small.exchange.people.suspend("g-thurrock", by="operator")
        said = (await front.send(slack.command(front.user, "status"))).json()["text"]
        assert "not linked" in said


async def test_status_says_what_waits_for_a_decision(small: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """A proposal and a file outside the schedule, with their buttons; nothing of it for whoever decides neither."""
    async with the_slack(small, "g-essex") as front:
        assert isinstance(front, SlackFront)
        proposal = await asyncio.to_thread(proposed, small, gpg_person)
        consignment = await asyncio.to_thread(asked_for, small)
        said = (await front.send(front.slack.command(front.user, "status"))).json()
        assert "To decide:" in said["text"] and proposal in said["text"] and consignment in said["text"]
        labels = Message("D", "1", said["text"], said["blocks"]).buttons
        assert {f"Approve {proposal}", f"Refuse {proposal}", f"Approve {consignment}"} <= set(labels)
    async with the_slack(small, "p-kent-1") as front:
        assert isinstance(front, SlackFront)
        said = (await front.send(front.slack.command(front.user, "status"))).json()
        assert "To decide" not in said["text"] and "blocks" not in said
