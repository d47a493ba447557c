"""Reviews that somebody asks for, and what runs out: everybody who should hear does, once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from server.domain.errors import Forbidden, Refused
from server.exchange import Exchange
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import TEMPLATES, SmallExchange, policy_files, put_in_force, small_exchange

WHY = "The duty to report changes in September"


@pytest.fixture
def here(request: pytest.FixtureRequest, gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    url = request.getfixturevalue("pg_url") if getattr(request, "param", "") == "postgresql" else ""
    with small_exchange(gpg_person, ssh_key, url) as made:
        yield made


def told(here: SmallExchange, person: str, kind: str) -> list[str]:
    """The texts of the person's notices of this kind."""
    return [view.notice.text for view in here.exchange.views.notices(person) if view.notice.kind == kind]


def leads(here: SmallExchange) -> list[str]:
    return [person.id for person in here.exchange.policy.people if "governance_lead" in person.roles]


# ---------------------------------------------------------------- reviews


def test_r013_a_trigger_is_logged_and_every_governance_lead_is_asked_once(here: SmallExchange) -> None:
    """One notice each, edited and never repeated; it stands until a governance lead of the owner closes it."""
    reviews = here.exchange.reviews
    assert reviews.ask("g-kent", WHY, via="test").changed
    for lead in leads(here):
        assert [WHY in text for text in told(here, lead, "review")] == [True], lead
    again = reviews.ask("g-medway", "Another reason", via="test")
    assert not again.changed and WHY in again.sentence
    view = reviews.under_way("p-kent-1")
    assert view is not None and view.words == f"under review since Tue 1 Dec 2026 because: {WHY}"
    assert view.buttons == ()
    essex = reviews.under_way("g-essex")
    assert essex is not None and [button.verb for button in essex.buttons] == ["close-review"]
    with pytest.raises(Forbidden, match="Essex, who owns"):
        reviews.close("g-kent", essex.id, via="test")
    assert reviews.close("g-essex", essex.id, via="test").changed
    assert not reviews.close("g-essex-2", essex.id, via="test").changed
    assert reviews.under_way("g-essex") is None
    assert [len(told(here, lead, "review")) for lead in leads(here)] == [1] * len(leads(here))
    assert all("closed by g-essex" in told(here, lead, "review")[0] for lead in leads(here))
    assert (here.kinds().count("review.asked"), here.kinds().count("review.closed")) == (1, 1)
    assert WHY not in "".join(entry.data for entry in here.exchange.evidence.entries())


@pytest.mark.parametrize("who", ["p-kent-1", "a-essex-1", "u-auditor-1"])
def test_only_a_governance_lead_asks_for_a_review(here: SmallExchange, who: str) -> None:
    """Others are told so, and nobody is asked."""
    with pytest.raises(Forbidden):
        here.exchange.reviews.ask(who, WHY, via="test")
    assert told(here, "g-essex", "review") == []


def test_a_review_needs_a_reason_without_personal_data(here: SmallExchange) -> None:
    """As every free text here."""
    for reason in ("", "after the case of 03/04/2009"):
        with pytest.raises(Refused):
            here.exchange.reviews.ask("g-kent", reason, via="test")
    assert here.exchange.reviews.under_way("g-kent") is None


def test_a_second_review_after_the_first_asks_everybody_anew(here: SmallExchange) -> None:
    """A thread of its own: the closed one stays as it was."""
    reviews = here.exchange.reviews
    reviews.ask("g-kent", WHY, via="test")
    reviews.close_open("g-essex", via="test")
    assert not reviews.close_open("g-essex", via="test").changed
    assert reviews.ask("g-medway", "A new statute", via="test").changed
    assert len(told(here, "g-thurrock", "review")) == 2


# ---------------------------------------------------------------- what runs out


def with_registration_until(here: SmallExchange, gpg_person: MakeGpgPerson, day: str) -> None:
    files = policy_files(here.keys, gpg_person)
    members = files["members.yaml"]
    at = members.index("  ico: Z", members.index("- id: kent\n"))
    end = members.index("\n", at)
    rest = members[end:]
    if rest.startswith("\n  ico_valid_until:"):
        rest = rest[rest.index("\n", 1) :]
    files["members.yaml"] = f"{members[:end]}\n  ico_valid_until: {day}{rest}"
    put_in_force(here.exchange, files)
    here.exchange.refresh()


@pytest.mark.parametrize("here", ["sqlite", "postgresql"], indirect=True)
def test_r002_a_registration_that_ends_in_29_days_is_said_exactly_once(
    here: SmallExchange, gpg_person: MakeGpgPerson
) -> None:
    """A hundred ticks of two processes at the same time: one notice in its first version, one entry."""
    with_registration_until(here, gpg_person, "2026-12-30")
    ground = here.exchange.ground
    other = Exchange.open(ground.data, database_url=ground.store.url, templates=TEMPLATES)
    try:
        ready = threading.Barrier(2)

        def ticking(exchange: Exchange) -> None:
            ready.wait()
            for _ in range(100):
                exchange.renewals.remind_due()

        both = [threading.Thread(target=ticking, args=(exchange,)) for exchange in (here.exchange, other)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join(60)
    finally:
        other.ground.store.close()
    views = [view for view in here.exchange.views.notices("g-kent") if view.notice.kind == "renewal"]
    assert [(view.version, "Wed 30 Dec 2026" in view.notice.text) for view in views] == [(1, True)]
    assert here.count("renewal.reminded", "kent") == 1
    assert told(here, "g-medway", "renewal") == told(here, "p-kent-1", "renewal") == []


def test_r002_a_week_of_downtime_yields_the_latest_stage_alone(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """Nobody looked while the thirty days began: seven days before, there is one reminder, and one more at its end."""
    with_registration_until(here, gpg_person, "2027-01-20")
    here.exchange.tick()
    assert told(here, "g-kent", "renewal") == []
    for month, day, count in ((1, 14, 1), (1, 19, 1), (1, 21, 2), (2, 21, 2)):
        here.exchange.clock.set(datetime(2027, month, day, 9, tzinfo=UTC))
        here.exchange.tick()
        assert len(told(here, "g-kent", "renewal")) == count, (month, day)
    assert "ran out" in told(here, "g-kent", "renewal")[0]


def test_training_that_ends_is_said_to_the_person_and_to_their_lead(here: SmallExchange) -> None:
    """In their own words each; thirty and seven days before, by the policy."""
    until = here.exchange.policy.person_by_id["p-essex-1"].training_valid_until
    assert until is not None
    noon = datetime(until.year, until.month, until.day, 12, tzinfo=UTC)
    here.exchange.clock.set(noon - timedelta(days=10))
    here.exchange.tick()
    assert ["Training of A. Alder runs out after" in text for text in told(here, "p-essex-1", "renewal")] == [True]
    assert any(text.startswith("Training of A. Alder") for text in told(here, "g-essex", "renewal"))
    here.exchange.clock.set(noon - timedelta(days=3))
    here.exchange.tick()
    assert len(told(here, "p-essex-1", "renewal")) == 2
