"""What is due stands in everybody's own calendar: valid, the same bytes for the same state, its person's alone."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import icalendar
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select

from bot.app import compose
from server import papers
from server.domain.errors import Missing
from server.papers import Occasion
from server.store.duty_tables import FeedRow, ObligationRow
from server.web import web_app
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import TEMPLATES, SmallExchange, small_exchange

WEB = "https://desk.test"
DUE = datetime(2027, 4, 9, 16, 0, tzinfo=UTC)
"""17:00 in London: summer time."""


@pytest.fixture
def here(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    with small_exchange(gpg_person, ssh_key) as made:
        made.exchange.documents.web_url = WEB
        yield made


@pytest.fixture
async def browser(here: SmallExchange) -> AsyncIterator[httpx.AsyncClient]:
    parts = compose(here.exchange, web_url=WEB, templates=TEMPLATES, slack=None)
    transport = httpx.ASGITransport(web_app(here.exchange, parts.routes), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=WEB) as client:
        yield client


def owe(here: SmallExchange, recipient: str, **other: Any) -> None:
    """Essex owes somebody its destinations of a month that nobody else plans."""
    known: dict[str, Any] = {
        "exchange": "post16-destinations", "period": "2031-03", "sender": "essex", "recipient": recipient,
        "kind": "required", "opens": "2027-04-01", "due_at": DUE, "revision": here.exchange.revision,
        "made_at": here.exchange.now(),
    }  # fmt: skip
    with here.exchange.ground.transaction() as tx:
        tx.session.add(ObligationRow(**(known | other)))


def calendar_of(here: SmallExchange, person: str) -> bytes:
    papers_there = {paper.name: paper for paper in here.exchange.views.root(here.visitor(person))}
    return papers_there["DUE.ics"].content()


def events(content: bytes) -> dict[str, icalendar.Event]:
    """{summary: event}, after the whole was read strictly and line by line."""
    strict(content)
    read = icalendar.Calendar.from_ical(content)
    assert all(not each.errors for each in read.walk())
    return {str(event["SUMMARY"]): event for event in read.walk("VEVENT")}


def strict(content: bytes) -> None:
    """RFC 5545, 3.1: CRLF after every line, no other break, 75 octets at most, UTF-8 whole in each unfolded line."""
    assert content.endswith(b"\r\n")
    lines = content[:-2].split(b"\r\n")
    assert all(b"\r" not in line and b"\n" not in line and 0 < len(line) <= 75 for line in lines)
    unfolded = re.sub(rb"\r\n[ \t]", b"", content).decode()
    assert all(re.match(r"[A-Z-]+(;[A-Z-]+=[^:;]+)*:", line) for line in unfolded.split("\r\n")[:-1])
    assert "VALARM" not in unfolded and "ATTENDEE" not in unfolded and "ORGANIZER" not in unfolded


# ---------------------------------------------------------------- what stands in it


def test_a_round_stands_from_its_window_to_its_due_time_in_london(here: SmallExchange) -> None:
    """One event a round for all recipients: 17:00 by London's clock in summer, with the zone's rule in the file."""
    owe(here, "kent")
    owe(here, "medway")
    content = calendar_of(here, "p-essex-1")
    (event,) = [one for name, one in events(content).items() if "Mar 2031" in name]
    assert "Kent" in event["DESCRIPTION"] and "Medway" in event["DESCRIPTION"]
    assert "outbox/post16-destinations/2031-03/" in event["DESCRIPTION"]
    assert event["DTEND"].dt == DUE and event["DTEND"].params["TZID"] == "Europe/London"
    assert event["DTSTART"].dt.date() == date(2027, 4, 1)
    assert event["SEQUENCE"] == 0
    (zone,) = icalendar.Calendar.from_ical(content).walk("VTIMEZONE")
    assert DUE.astimezone(zone.to_tz()).hour == 17
    assert datetime(2027, 1, 9, 16, 0, tzinfo=UTC).astimezone(zone.to_tz()).hour == 16
    assert all("Mar 2031" not in name for name in events(calendar_of(here, "p-kent-1")))


def test_the_same_state_is_the_same_bytes_and_a_change_is_marked(here: SmallExchange) -> None:
    """Time alone changes nothing; what is partly met has a higher SEQUENCE under the same UID, what is met is gone."""
    owe(here, "kent")
    owe(here, "medway")
    first = calendar_of(here, "p-essex-1")
    here.exchange.clock.set(here.exchange.now() + timedelta(hours=1))
    assert calendar_of(here, "p-essex-1") == first
    with here.exchange.ground.transaction() as tx:
        row = tx.session.exec(
            select(ObligationRow).where(ObligationRow.recipient == "kent", ObligationRow.period == "2031-03")
        ).one()
        row.answer, row.met_at = "sent", tx.now
        tx.session.add(row)
    before, after = (
        next(e for n, e in events(c).items() if "2031" in n) for c in (first, calendar_of(here, "p-essex-1"))
    )
    assert before["UID"] == after["UID"] and "Kent" not in after["DESCRIPTION"]
    assert after["SEQUENCE"] > before["SEQUENCE"] and after["LAST-MODIFIED"].dt > before["LAST-MODIFIED"].dt
    with here.exchange.ground.transaction() as tx:
        for row in tx.session.exec(select(ObligationRow).where(ObligationRow.period == "2031-03")).all():
            row.answer, row.met_at = "nil", tx.now
            tx.session.add(row)
    assert all("2031" not in name for name in events(calendar_of(here, "p-essex-1")))


def test_what_waits_for_a_data_manager_has_its_day(here: SmallExchange) -> None:
    """To acknowledge and to use, by the ids of deliveries; nothing of who is in the file, and nobody's name."""
    delivery = here.arrive()
    content = calendar_of(here, "p-kent-1")
    named = [name for name in events(content) if delivery in name]
    assert named and any(name.startswith("To acknowledge") for name in named)
    people = here.exchange.policy.people
    assert not any(person.name in content.decode() or person.id in content.decode() for person in people)


moments = st.datetimes(datetime(2026, 1, 1), datetime(2039, 1, 1), timezones=st.just(UTC))


@given(st.text(max_size=200), st.text(max_size=400), moments, st.timedeltas(timedelta(0), timedelta(60)), st.booleans())
def test_any_words_make_a_calendar_that_others_can_read(
    title: str, words: str, begins: datetime, lasts: timedelta, whole: bool
) -> None:
    """Commas, semicolons, line ends, control characters, long and wide letters: folded, escaped, and read back."""
    occasion = Occasion("u@x", title, words, begins, begins + lasts, begins, 3, "To send", whole)
    content = papers.calendar("Safehand", [occasion])
    strict(content)
    (event,) = icalendar.Calendar.from_ical(content).walk("VEVENT")
    assert event["SEQUENCE"] == 3 and event["UID"] == "u@x"


# ---------------------------------------------------------------- the secret address


async def test_the_address_is_shown_once_and_a_new_one_ends_it(browser: httpx.AsyncClient, here: SmallExchange) -> None:
    """Kept as a hash; ETag and 304; private; an unknown, a cut and an ended address are all 404."""
    await browser.get(f"/desk/in/{here.token('p-essex-1')}")
    found = re.search(r'name="form_token" value="([^"]+)"', (await browser.get("/desk")).text)
    assert found is not None
    addresses = []
    for _ in range(2):
        page = await browser.post("/desk/feed", data={"form_token": found[1]})
        address = re.search(rf"{WEB}(/feed/([A-Za-z0-9_-]+)\.ics)", page.text)
        assert address is not None and len(address[2]) >= 43
        addresses.append(address[1])
    assert (await browser.post("/desk/feed", data={"form_token": "another"})).status_code == 403
    browser.cookies.clear()
    first, second = addresses
    assert (await browser.get(first)).status_code == 404
    answer = await browser.get(second)
    assert answer.status_code == 200 and answer.headers["content-type"] == "text/calendar; charset=utf-8"
    assert answer.headers["cache-control"] == "private"
    assert answer.content == calendar_of(here, "p-essex-1")
    again = await browser.get(second, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    owe(here, "kent")
    moved = await browser.get(second, headers={"if-none-match": answer.headers["etag"]})
    assert moved.status_code == 200 and moved.headers["etag"] != answer.headers["etag"]
    for unknown in ("/feed/x.ics", second[:-5] + ".ics", "/feed/.ics", "/feed/" + "A" * 43 + ".ics"):
        assert (await browser.get(unknown)).status_code == 404
    with here.exchange.ground.store.reading() as session:
        hashes = {row.hash for row in session.exec(select(FeedRow)).all()}
    assert len(hashes) == 2 and not any(second.split("/")[-1].split(".")[0] in digest for digest in hashes)


def test_the_mailbox_shows_one_address_however_often_it_is_read(here: SmallExchange) -> None:
    """A mailbox that is copied every night does not end the calendar that somebody subscribed to."""

    def shown() -> str:
        paper = {one.name: one for one in here.exchange.views.link(here.visitor("p-kent-1"))}["calendar-feed.txt"]
        content = paper.content()
        assert len(content) == paper.size
        return content.decode().split()[0]

    first = shown()
    here.exchange.clock.set(here.exchange.now() + timedelta(days=1))
    assert shown() == first and here.kinds().count("feed.made") == 1
    token = first.split("/")[-1].removesuffix(".ics")
    assert here.exchange.feeds.read(token).content == calendar_of(here, "p-kent-1")


def test_a_suspension_ends_the_address_for_good(here: SmallExchange) -> None:
    """As with chat links: lifting the suspension does not bring it back."""
    person, key = here.exchange.ground.person("p-kent-1"), here.visitor("p-kent-1").key
    token = here.exchange.feeds.address(person, key)
    here.exchange.people.suspend("p-kent-1", by="p-kent-2")
    with pytest.raises(Missing):
        here.exchange.feeds.read(token)
    for colleague in ("p-kent-2", "g-kent"):
        here.exchange.people.resume("p-kent-1", by=colleague)
    with pytest.raises(Missing):
        here.exchange.feeds.read(token)
    assert here.exchange.feeds.address(here.exchange.ground.person("p-kent-1"), key) != token


def test_the_address_dies_with_the_key_that_fetched_it(here: SmallExchange) -> None:
    """A key that the policy does not have any more reads nothing."""
    token = here.exchange.feeds.address(here.exchange.ground.person("p-kent-1"), "SHA256:gone")
    with pytest.raises(Missing):
        here.exchange.feeds.read(token)
