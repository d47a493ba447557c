"""Reviews that somebody asks for, and what runs out: everybody who should hear does, once."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest
from sqlmodel import col, select

from server.domain.decision import Question, decide
from server.domain.errors import Forbidden, Refused
from server.exchange import Exchange
from server.store.duty_tables import StageRow, ToldRow
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import TEMPLATES, SmallExchange, policy_files, put_in_force, small_exchange

WHY = "The duty to report changes in September"


@pytest.fixture
def here(request: pytest.FixtureRequest, gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    url = request.getfixturevalue("pg_url") if getattr(request, "param", "") == "postgresql" else ""
    with small_exchange(gpg_person, ssh_key, url, new=True) as made:
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


def renewed(here: SmallExchange, kind: str) -> list[tuple[str, str]]:
    """(stage, person) of everything that was told about what runs out of this kind, in order."""
    with here.exchange.ground.store.reading() as session:
        query = select(StageRow, ToldRow).where(col(ToldRow.stage) == col(StageRow.id)).order_by(col(StageRow.id))
        rows = session.exec(query).all()
    return [(stage.stage, one.person) for stage, one in rows if stage.about.startswith(f"renewal:{kind}:")]


def digest(here: SmallExchange, person: str) -> str:
    """The text and lines of the person's newest message of a day."""
    notices = [view.notice for view in here.exchange.views.notices(person) if view.notice.kind == "digest"]
    return "\n".join([notices[0].text, *(f"{label}: {words}" for label, words in notices[0].facts)])


@pytest.mark.parametrize("here", ["sqlite", "postgresql"], indirect=True)
def test_r002_a_registration_that_ends_in_29_days_is_said_exactly_once(
    here: SmallExchange, gpg_person: MakeGpgPerson
) -> None:
    """A hundred looks of two processes at the same time: each lead is told once, with one entry."""
    with_registration_until(here, gpg_person, "2026-12-30")
    here.exchange.clock.set(datetime(2026, 12, 1, 10, tzinfo=UTC))
    ground = here.exchange.ground
    other = Exchange.open(ground.data, database_url=ground.store.url, templates=TEMPLATES)
    try:
        ready = threading.Barrier(2)

        def ticking(exchange: Exchange) -> None:
            ready.wait()
            for _ in range(100):
                exchange.reminders.remind_due()

        both = [threading.Thread(target=ticking, args=(exchange,)) for exchange in (here.exchange, other)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join(60)
    finally:
        other.ground.store.close()
    here.exchange.tick()
    assert renewed(here, "ico") == [("P30D", "g-kent"), ("P30D", "g-kent-2")]
    assert here.count("reminder.told", "ico:kent:2026-12-30") == 1
    assert "Kent’s registration with the ICO: runs out after Wed 30 Dec 2026" in digest(here, "g-kent")


def test_r002_a_week_of_downtime_yields_the_latest_stage_alone(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """Nobody looked while the thirty days began: seven days before, there is one reminder, and one more at its end."""
    with_registration_until(here, gpg_person, "2027-01-20")
    here.exchange.tick()
    assert renewed(here, "ico") == []
    leads, told_so_far = ("g-kent", "g-kent-2"), list[tuple[str, str]]()
    for month, day, stage in ((1, 14, "P7D"), (1, 19, None), (1, 21, "over"), (2, 22, None)):
        here.exchange.clock.set(datetime(2027, month, day, 11, tzinfo=UTC))
        here.exchange.tick()
        told_so_far += [(stage, lead) for lead in leads] if stage else []
        assert renewed(here, "ico") == told_so_far, (month, day)


def test_training_that_ends_is_said_to_the_person_and_to_their_lead(here: SmallExchange) -> None:
    """Thirty and seven days before, by the policy."""
    until = here.exchange.policy.person_by_id["p-essex-1"].training_valid_until
    assert until is not None
    here.exchange.clock.set(datetime(2027, 3, 22, 12, tzinfo=UTC))
    assert until == date(2027, 3, 31)
    here.exchange.tick()
    first = {who for stage, who in renewed(here, "training") if stage == "P30D"}
    assert {"p-essex-1", "g-essex", "p-kent-1", "g-kent"} <= first
    assert "Training of A. Alder: runs out after Wed 31 Mar 2027" in digest(here, "p-essex-1")
    assert "Without it they cannot log in over SFTP." in digest(here, "p-essex-1")
    here.exchange.clock.set(datetime(2027, 3, 24, 12, tzinfo=UTC))
    here.exchange.tick()
    assert ("P7D", "p-essex-1") in renewed(here, "training")


@pytest.mark.parametrize(
    ("day", "stage"),
    [(date(2027, 2, 26), None), (date(2027, 3, 3), "P6M"), (date(2027, 6, 2), "P3M"), (date(2027, 8, 3), "P1M"),
     (date(2027, 9, 2), "over")],
)  # fmt: skip
def test_r005_the_review_counts_down_to_every_lead_and_then_nothing_goes(
    here: SmallExchange, gpg_person: MakeGpgPerson, day: date, stage: str | None
) -> None:
    """Six, three and one month before it is due on 1 September 2027; after that, with `deny`, every file is refused."""
    files = policy_files(here.keys, gpg_person)
    files["agreement.yaml"] = re.sub(
        r"(?m)^review:.*$",
        "review: {due: 2027-09-01, remind: [P6M, P3M, P1M], on_overdue: deny}",
        files["agreement.yaml"],
    )
    files["people.yaml"] = files["people.yaml"].replace(
        "training_valid_until: 2027-03-31", "training_valid_until: 2028-03-31"
    )
    put_in_force(here.exchange, files)
    here.exchange.clock.set(datetime(day.year, day.month, day.day, 10, tzinfo=UTC))
    here.exchange.refresh()
    here.exchange.tick()
    told_stages = renewed(here, "review")
    assert {one for one, _ in told_stages} == ({stage} if stage else set())
    assert not stage or set(leads(here)) == {who for _, who in told_stages}
    question = Question("essex", "kent", "post16-destinations", here.exchange.now(), facts=here.exchange.ground.facts)
    assert ("AGREEMENT_REVIEW_OVERDUE" in decide(here.exchange.policy, question).codes) == (stage == "over")


def test_r069_a_contract_with_a_processor_is_to_be_reviewed(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """Its member's leads are told before the day, and after it."""
    files = policy_files(here.keys, gpg_person)
    contract = "  subcontractors:\n  - {name: Fictional Mail Ltd, contract: K-1, review: 2026-12-20}\n"
    files["members.yaml"] = files["members.yaml"].replace("- id: kent\n", f"- id: kent\n{contract}", 1)
    put_in_force(here.exchange, files)
    for day in (2, 14, 22):
        here.exchange.clock.set(datetime(2026, 12, day, 11, tzinfo=UTC))
        here.exchange.refresh()
        here.exchange.tick()
    assert [stage for stage, who in renewed(here, "contract") if who == "g-kent"] == ["P30D", "P7D", "over"]
    assert "Contract with Fictional Mail Ltd: was due by Sun 20 Dec 2026" in digest(here, "g-kent")
    assert "Fictional" not in digest(here, "g-medway")
