"""A member leaves: its people are out at once, nothing is served to it, and its leads attest what is destroyed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text

from server.domain.delivery import Status
from server.domain.errors import Forbidden, Missing, Refused
from server.exchange.sessions import Visitor
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import SmallExchange, small_exchange


@pytest.fixture
def here(request: pytest.FixtureRequest, gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    url = request.getfixturevalue("pg_url") if getattr(request, "param", "") == "postgresql" else ""
    with small_exchange(gpg_person, ssh_key, url) as made:
        yield made


def told(here: SmallExchange, person: str) -> list[tuple[str, list[str]]]:
    """What the person was told of Kent's leaving: text and buttons."""
    notices = [view.notice for view in here.exchange.views.notices(person)]
    return [(n.text, [b.verb for b in n.buttons]) for n in notices if n.thread == "departure:kent"]


def admitted(here: SmallExchange, key: str) -> bool:
    """Whether p-kent-1 may log in."""
    return isinstance(here.exchange.sessions.admit("p-kent-1", key, "127.0.0.1"), Visitor)


def stands(here: SmallExchange) -> str:
    return next(view.words for view in here.exchange.departures.all())


@pytest.mark.parametrize("here", ["sqlite", "postgresql"], indirect=True)
def test_everything_ends_at_once(here: SmallExchange) -> None:
    """Sessions, desk and chat of its people; what is in its inbox; what could be sent to it or by it."""
    delivery = here.arrive()
    visitor, key = here.visitor("p-kent-1"), here.visitor("p-kent-1").key
    desk = here.exchange.people.sign_in(here.token("p-kent-1"))
    here.exchange.people.link_chat("slack", "T1", "U1", here.code("p-kent-2"))
    link = here.token("p-kent-1")
    assert here.exchange.departures.leave("kent", by="operator").changed
    assert not here.exchange.departures.leave("kent", by="operator").changed
    assert not admitted(here, key)
    assert not here.exchange.sessions.welcome(visitor)
    with pytest.raises(Missing):
        here.exchange.collection.read(visitor, delivery)
    assert here.exchange.people.desk_session(desk.cookie) is None
    assert here.exchange.people.of_account("slack", "T1", "U1") is None
    with pytest.raises(Refused):
        here.exchange.people.sign_in(link)
    with pytest.raises(Refused, match="Kent has left"):
        here.send()
    with pytest.raises(Missing):
        here.exchange.acknowledgement.acknowledge("p-kent-1", delivery, via="desk")
    assert here.kinds().count("member.left") == 1


def test_its_leads_attest_and_do_nothing_else(here: SmallExchange) -> None:
    """The desk shows them that one thing; the others are told; a second time changes nothing."""
    here.exchange.departures.leave("kent", by="g-kent")
    session = here.exchange.people.sign_in(here.token("g-kent"))
    assert here.exchange.people.desk_session(session.cookie) is not None
    assert [view.notice.thread for view in here.exchange.views.notices("g-kent")] == ["departure:kent"]
    assert here.exchange.views.received("g-kent") == () == here.exchange.views.sent_deliveries("g-kent")
    with pytest.raises(Missing):
        here.exchange.people.suspend("p-essex-1", by="g-kent")
    assert told(here, "g-kent")[0][1] == ["attest-destroyed"]
    assert told(here, "g-essex")[0][1] == []
    for stranger in ("g-essex", "p-kent-1"):
        with pytest.raises(Forbidden):
            here.exchange.departures.attest(stranger, "kent", via="desk")
    assert here.exchange.departures.attest("g-kent", "kent", via="desk").changed
    assert not here.exchange.departures.attest("g-kent-2", "kent", via="desk").changed
    assert "g-kent attested" in stands(here)
    assert told(here, "g-kent")[0][1] == []
    assert "g-kent attested" in told(here, "g-essex")[0][0]


def test_the_time_for_it_is_the_agreement_s(here: SmallExchange) -> None:
    """Two calendar months from 1 December; the day after, it is overdue."""
    here.exchange.departures.leave("kent", by="operator")
    assert "by Mon 1 Feb 2027" in stands(here)
    here.exchange.clock.set(here.exchange.now() + timedelta(days=62))
    assert [view.overdue for view in here.exchange.departures.all()] == [False]
    here.exchange.clock.set(here.exchange.now() + timedelta(days=1))
    assert [view.overdue for view in here.exchange.departures.all()] == [True]
    assert "overdue since Mon 1 Feb 2027" in stands(here)
    here.exchange.refresh()
    here.exchange.tick()
    here.exchange.tick()
    assert here.kinds().count("member.attestation-overdue") == 1
    assert "overdue" in told(here, "g-kent")[0][0]
    assert "overdue" in told(here, "g-essex")[0][0]


def test_what_had_not_gone_yet_is_held(here: SmallExchange) -> None:
    """Sent, not released, and its recipient leaves: it stays, and its sender is told why."""
    here.send()
    here.exchange.departures.leave("kent", by="operator")
    here.release()
    view = here.exchange.views.sent_deliveries("p-essex-1")[0]
    assert view.status is Status.HELD
    assert "Kent has left the agreement" in view.words


def test_who_may_let_a_member_go(here: SmallExchange) -> None:
    """Its own lead, an administrator or the operator; never the host, which has to be another first."""
    departures = here.exchange.departures
    for person in ("p-kent-1", "g-essex"):
        with pytest.raises(Forbidden):
            departures.leave("kent", by=person)
    with pytest.raises(Refused, match="host"):
        departures.leave("essex", by="operator")
    with pytest.raises(Missing):
        departures.leave("nowhere", by="operator")
    assert departures.leave("kent", by="a-essex-1").changed


def test_two_people_take_it_back(here: SmallExchange) -> None:
    """Neither is of it, they are of two members; then its people log in as before."""
    departures, key = here.exchange.departures, here.visitor("p-kent-1").key
    departures.leave("kent", by="operator")
    with pytest.raises(Forbidden):
        departures.come_back("kent", by="operator")
    with pytest.raises(Missing):
        departures.come_back("kent", by="g-kent")
    assert departures.come_back("kent", by="g-essex").changed
    assert not departures.come_back("kent", by="g-essex").changed
    assert "another member" in departures.come_back("kent", by="a-essex-1").sentence
    assert not admitted(here, key)
    assert "is back" in departures.come_back("kent", by="g-medway").sentence
    assert admitted(here, key)
    assert departures.all() == ()
    assert [kind for kind in here.kinds() if kind.startswith("member.")] == [
        "member.left", "member.return-asked", "member.returned",
    ]  # fmt: skip


def test_who_left_or_was_suspended_stays_away_when_the_row_goes(here: SmallExchange) -> None:
    """Somebody with the database takes the rows out: the ledger still says so, and nobody comes back by that."""
    key = here.visitor("p-kent-1").key
    here.exchange.departures.leave("kent", by="operator")
    here.exchange.people.suspend("p-medway-1", by="operator")
    with here.exchange.ground.store.engine.begin() as connection:
        connection.execute(text("DELETE FROM departure"))
        connection.execute(text("DELETE FROM suspension"))
    here.exchange.refresh()
    assert not admitted(here, key)
    assert here.exchange.ground.facts.suspended == {"p-medway-1"}
    with pytest.raises(Refused, match="Kent has left"):
        here.send()
