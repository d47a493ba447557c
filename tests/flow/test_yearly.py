"""What members say again each year: who may, who sees it, and when they are reminded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from bot.conversation import Buttons, Form, Reply
from server.domain.audience import Hat
from server.domain.errors import Forbidden, Refused
from server.domain.schedule import midnight
from server.domain.yearly import KINDS
from server.exchange.yearly import YearlyView
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import PEOPLE, SmallExchange, policy_files, put_in_force, small_exchange

TICKS = {"contracts": "yes", "assessment": "yes", "breach_test": "no", "access_review": "yes", "retention": "yes"}
STATED = {"statement": "yes"}


@pytest.fixture
def here(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    with small_exchange(gpg_person, ssh_key, new=True) as made:
        yield made


def seen(here: SmallExchange, person: str, member: str, kind: str) -> YearlyView:
    return next(v for v in here.exchange.yearly.table(person) if (v.member, v.kind) == (member, kind))


@pytest.mark.parametrize("kind", ["physical", "portable-encryption", "training", "subcontractors", "privacy-notice"])
def test_a_statement_counts_for_a_year_and_everybody_sees_it(here: SmallExchange, kind: str) -> None:
    """Given by a governance lead, for their own member; a second press says who did the first."""
    yearly = here.exchange.yearly
    assert "until Wed 1 Dec 2027" in yearly.attest_yearly("g-kent", kind, STATED, via="test").sentence
    again = yearly.attest_yearly("g-kent", kind, STATED, via="test")
    assert not again.changed and "g-kent gave it already" in again.sentence
    for person in ("p-essex-1", "u-auditor-1", "g-medway", "g-kent"):
        assert seen(here, person, "kent", kind).words == "given on Tue 1 Dec 2026, until Wed 1 Dec 2027"
        assert seen(here, person, "essex", kind).words == "not provided"
    assert here.kinds().count("statement.given") == 1


def test_r066_a_missing_statement_of_physical_security_shows(here: SmallExchange) -> None:
    """For every member, until it is given; and again when it has run out."""
    assert {v.words for v in here.exchange.yearly.every() if v.kind == "physical"} == {"not provided"}
    here.exchange.yearly.attest_yearly("g-kent", "physical", STATED, via="test")
    assert seen(here, "g-essex", "kent", "physical").counts
    here.exchange.clock.set(datetime(2027, 12, 2, 9, tzinfo=UTC))
    assert seen(here, "g-essex", "kent", "physical").words == "not provided since Wed 1 Dec 2027"


def test_r067_a_member_says_that_its_portable_devices_are_encrypted(here: SmallExchange) -> None:
    """Every device, or it is not said at all."""
    with pytest.raises(Refused, match="encrypted devices cannot be given yet"):
        here.exchange.yearly.attest_yearly("g-kent", "portable-encryption", {"statement": "no"}, via="test")
    assert not seen(here, "g-kent", "kent", "portable-encryption").counts


def test_r038_a_privacy_notice_that_was_not_confirmed_for_a_year_shows(here: SmallExchange) -> None:
    """Twelve months after it was said, it is not provided any more."""
    here.exchange.yearly.attest_yearly("g-kent", "privacy-notice", STATED, via="test")
    here.exchange.clock.set(datetime(2027, 12, 1, 9, tzinfo=UTC))
    assert seen(here, "p-essex-1", "kent", "privacy-notice").counts
    here.exchange.clock.set(datetime(2027, 12, 2, 9, tzinfo=UTC))
    assert not seen(here, "p-essex-1", "kent", "privacy-notice").counts


def test_r090_others_see_that_a_checklist_is_missing_and_never_what_is_in_it(here: SmallExchange) -> None:
    """Its own people and the auditors read what does not hold yet."""
    assert seen(here, "g-medway", "kent", "due-diligence").words == "not provided"
    here.exchange.yearly.attest_yearly("g-kent", "due-diligence", TICKS, via="test")
    other, own = seen(here, "g-medway", "kent", "due-diligence"), seen(here, "p-kent-1", "kent", "due-diligence")
    assert other.counts and other.missing is None
    assert own.missing == ("Our breach procedure was tried out within the last year.",)
    assert seen(here, "u-auditor-1", "kent", "due-diligence").missing == own.missing
    facts = [json.loads(e.data) for e in here.exchange.evidence.entries() if e.kind == "statement.given"]
    assert facts == [{"member": "kent", "kind": "due-diligence", "ticked": 4, "via": "test"}]


@pytest.mark.parametrize("who", ["p-kent-1", "a-essex-1", "u-auditor-1"])
def test_only_a_governance_lead_gives_a_statement(here: SmallExchange, who: str) -> None:
    """Nothing is kept of any other's."""
    with pytest.raises(Forbidden):
        here.exchange.yearly.attest_yearly(who, "physical", STATED, via="test")
    assert not any(view.counts for view in here.exchange.yearly.every())


# ---------------------------------------------------------------- being reminded


def test_leads_are_reminded_before_it_runs_out_and_after(here: SmallExchange) -> None:
    """A member that never gave one is asked one kind a week; given in time, nothing is said for eleven months."""
    yearly, hat = here.exchange.yearly, Hat("kent", "governance_lead")
    until = seen(here, "g-kent", "kent", "physical").until
    with here.exchange.ground.store.reading() as session:
        now = here.exchange.now()
        assert until - timedelta(days=30) <= now.date() < until - timedelta(days=23)
        new = [one for one in yearly.plan(session, now) if one.about.startswith("yearly:kent:")]
        assert [(one.about, one.stage) for one in new] == [(f"yearly:kent:physical:{until}", "P30D")]
        ask = yearly.ask(session, new[0].about, "P30D", now)
        assert ask is not None and ask.hats == (hat,)
        assert [item.label for item in yearly.items(session, hat, now)] == ["Yearly statement: physical security"]
        assert list(yearly.items(session, Hat("kent", "data_manager"), now)) == []
        later = [item.group for item in yearly.items(session, hat, midnight(until) + timedelta(days=1))]
        assert later.count("overdue") == 1 and len(later) == 5
    for kind in KINDS:
        yearly.attest_yearly("g-kent", kind.id, TICKS if kind.id == "due-diligence" else STATED, via="test")
    with here.exchange.ground.store.reading() as session:
        assert yearly.ask(session, new[0].about, "P30D", now) is None
        assert list(yearly.items(session, hat, now + timedelta(days=334))) == []
        assert len(list(yearly.items(session, hat, now + timedelta(days=335)))) == len(KINDS)


# ---------------------------------------------------------------- mailbox, chat, desk


def test_a_lead_gives_it_in_chat_and_on_the_desk_by_a_form(here: SmallExchange) -> None:
    """A yes or a not yet for each tick, and no room for words."""
    buttons = Buttons(here.exchange)
    form = buttons.press("g-kent", "attest-yearly", "due-diligence", via="test")
    assert isinstance(form, Form) and [asked.name for asked in form.fields] == list(TICKS)
    assert {asked.kind for asked in form.fields} == {"choice"}
    done = buttons.press("g-kent", "attest-yearly", "due-diligence", TICKS, via="test")
    assert isinstance(done, Reply) and done.changed


def test_a_lead_with_a_mailbox_finds_the_forms_that_are_due_and_puts_them_back_ticked(
    gpg_person: MakeGpgPerson, ssh_key: MakeSshKey
) -> None:
    """As it lies there nothing is ticked, and it cannot be given so."""
    with small_exchange(gpg_person, ssh_key) as here:
        here.keys = {**here.keys, "g-kent": ssh_key("g-kent").public}  # type: ignore[misc]
        files = policy_files({**{p: here.keys[p] for p in PEOPLE}, "g-kent": here.keys["g-kent"]}, gpg_person)
        put_in_force(here.exchange, files)
        here.exchange.refresh()
        lead = here.visitor("g-kent")
        papers = {paper.name: paper.content() for paper in here.exchange.views.attest(lead)}
        form = papers["yearly-physical.txt"]
        with pytest.raises(Refused):
            here.exchange.attest(lead, b"yearly-physical.txt", form)
        said = here.exchange.attest(lead, b"yearly-physical.txt", form.replace(b"[ ]", b"[x]"))
        assert "Physical security: given for Kent" in said
        assert "yearly-physical.txt" not in {paper.name for paper in here.exchange.views.attest(lead)}
        assert [p.name for p in here.exchange.views.attest(here.visitor("p-kent-1"))] == ["HOW.txt"]
