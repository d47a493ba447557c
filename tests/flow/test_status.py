"""Sight: who sees what of how the agreement is kept, in figures that add up, on the command line and in chat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from bot.conversation.answer import Account
from bot.conversation.words import Words
from bot.status_page import page, summary
from server.cli.status import as_text, lines
from server.domain.errors import Forbidden, Missing
from server.domain.obligation import Standing
from server.domain.schedule import in_words
from server.domain.tally import Tally
from server.exchange.status import to_words, together
from tests.a_year import WHEN, a_year, an_obligation, put
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import SmallExchange, small_exchange

FRIDAY = datetime(2027, 1, 8, 17, 0, tzinfo=UTC)


@pytest.fixture
def here(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    with small_exchange(gpg_person, ssh_key, new=True) as made:
        yield made


@pytest.fixture(scope="module")
def seen(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    """The exchange on 14 January 2027, after most of a year of all nine members."""
    with small_exchange(gpg_person, ssh_key, new=True) as made:
        made.exchange.clock.set(WHEN)
        put(made.exchange, a_year(made.exchange))
        yield made


def test_r114_who_takes_no_part_sees_nothing_of_it(seen: SmallExchange) -> None:
    """R-114: Year 14 destinations are Essex's and Thurrock's: in Kent's outbox and on its pages they are not there."""
    tree = {person: seen.exchange.views.outbox_exchanges(seen.visitor(person)) for person in ("p-kent-1", "p-essex-1")}
    assert "year14-destinations" in tree["p-essex-1"]
    assert "year14-destinations" not in tree["p-kent-1"]
    kent, essex = seen.exchange.status.sight("g-kent"), seen.exchange.status.sight("g-essex")
    assert "year14-destinations" in {one.exchange for one in essex.owed}
    assert "year14-destinations" not in {one.exchange for one in kent.owed}
    assert "year14-destinations" not in {exchange for exchange, _ in kent.exchanges}
    assert "Year 14" not in str(page(kent, ("kent", "Kent")))
    with pytest.raises(Missing, match="no exchange called year14-destinations that you may see"):
        seen.exchange.status.sight("g-kent", exchange="year14-destinations")
    with pytest.raises(Missing, match="no exchange called year99 that you may see"):
        seen.exchange.status.sight("g-kent", exchange="year99")


def test_administrators_and_auditors_see_every_exchange(seen: SmallExchange) -> None:
    """So does the operator on the command line."""
    everything = {one.exchange for one in seen.exchange.status.sight(None).owed}
    assert everything == {"post16-destinations", "movers", "year14-destinations", "september-guarantee"}
    for person in ("a-essex-1", "u-auditor-1"):
        assert {one.exchange for one in seen.exchange.status.sight(person).owed} == everything


@pytest.mark.parametrize(("reader", "reads"), [("g-essex", True), ("g-kent", True), ("p-medway-1", False)])
def test_why_it_cannot_be_sent_is_for_the_two_whom_it_concerns(here: SmallExchange, reader: str, reads: bool) -> None:
    """The form promises so: everybody else reads that it cannot be sent."""
    here.exchange.tick()
    here.exchange.obligations.cannot("p-essex-1", "post16-destinations", "2026-11", "kent", "no system", via="test")
    sight = here.exchange.status.sight(reader)
    said = {one.words for one in sight.owed if one.words.startswith("cannot send")}
    assert said == {"cannot send, because: no system" if reads else "cannot send"}
    assert ("no system" in str(page(sight, ("", "")))) is reads


def test_who_may_not_look_is_refused(seen: SmallExchange) -> None:
    """Nobody, and nobody of a member that is not there."""
    with pytest.raises(Missing):
        seen.exchange.status.sight("nobody")
    assert not seen.exchange.status.concerns("nobody")
    assert seen.exchange.status.concerns("p-kent-1")
    with pytest.raises(Missing, match="no member called atlantis"):
        seen.exchange.status.sight(None, member="atlantis")
    seen.exchange.people.suspend("p-medway-1", by="operator")
    with pytest.raises((Missing, Forbidden)):
        seen.exchange.status.sight("p-medway-1")


def test_the_figures_add_up(seen: SmallExchange) -> None:
    """The members' numbers are the group's, the months' too, and each obligation stands in one cell."""
    sight = seen.exchange.status.sight(None)
    assert sum(sight.standings.values()) == len(sight.owed)
    for part in ("on_time", "late", "missing", "prevented", "open"):
        whole = getattr(sight.tally, part)
        assert whole == sum(getattr(kept.tally, part) for kept in sight.members)
        assert whole == sum(getattr(tally, part) for _, tally in sight.months)
    assert sum(len(cell.obligations) for row in sight.rows for cell in row.cells) == len(sight.owed)
    assert len(sight.rows) == 72
    assert sight.tally.missing == len(sight.overdue) > 0
    assert [one.due_at for one in sight.overdue] == sorted(one.due_at for one in sight.overdue)


def test_of_one_member_the_numbers_are_what_it_owes(seen: SmallExchange) -> None:
    """The matrix shows both ways; what others owe it does not make it late."""
    sight = seen.exchange.status.sight("g-kent", member="kent")
    assert [kept.member for kept in sight.members] == ["kent"]
    assert {row.sender for row in sight.rows} > {"kent"}
    assert all("kent" in {row.sender, row.recipient} for row in sight.rows)
    assert sight.tally == sight.members[0].tally


def test_a_new_sharing_year_forgives_nothing(here: SmallExchange) -> None:
    """In April what fell due in March and has not come is overdue still; its numbers stay in its own year."""
    here.exchange.clock.set(datetime(2027, 4, 8, 10, tzinfo=UTC))
    put(here.exchange, [
        an_obligation(due=datetime(2027, 3, 5, 17, tzinfo=UTC), period="2027-02"),
        an_obligation(due=datetime(2027, 3, 5, 17, tzinfo=UTC), period="2027-02", recipient="medway", answer="nil"),
        an_obligation(due=datetime(2027, 4, 7, 16, tzinfo=UTC), period="2027-03"),
    ])  # fmt: skip
    sight = here.exchange.status.sight("g-kent")
    assert [(one.period, one.days_over) for one in sight.overdue] == [("2027-02", 34), ("2027-03", 1)]
    assert [one.period for one in sight.owed] == ["2027-03"]
    assert sight.tally.missing == 1
    assert here.exchange.status.owes("g-essex") == "Essex: 2 are late"
    assert [one.period for one in here.exchange.status.sight("g-kent", year=2026).overdue] == ["2027-02"]


def test_the_page_puts_what_is_late_of_one_sender_in_one_line(here: SmallExchange) -> None:
    """One exchange and period, its recipients together, oldest first; days are counted in London."""
    here.exchange.clock.set(WHEN)
    put(here.exchange, [
        *(an_obligation(sender="thurrock", recipient=to, due=FRIDAY) for to in ("essex", "kent", "medway")),
        an_obligation(sender="kent", recipient="essex", due=FRIDAY - timedelta(days=30), period="2026-11"),
        an_obligation(sender="kent", recipient="essex", due=FRIDAY, kind="best_efforts", exchange="movers"),
    ])  # fmt: skip
    shown = page(here.exchange.status.sight("g-kent"), ("kent", "Kent"))
    assert shown["overdue"] == [
        {
            "who": "Kent", "what": "Post-16 destinations, Nov 2026, to Essex",
            "when": "was due Wed 9 Dec 2026 17:00", "ago": "36 days ago",
        },
        {
            "who": "Thurrock", "what": "Post-16 destinations, Dec 2026, to Essex, Kent and Medway",
            "when": "was due Fri 8 Jan 2027 17:00", "ago": "6 days ago",
        },
    ]  # fmt: skip


def test_many_recipients_are_counted_and_not_listed(here: SmallExchange) -> None:
    """Up to five are named; what is done elsewhere is owed to nobody here."""
    here.exchange.clock.set(WHEN)
    members = [member for member in here.exchange.policy.member_by_id if member != "kent"]
    put(here.exchange, [
        *(an_obligation(sender="kent", recipient=to, due=FRIDAY) for to in members),
        *(an_obligation("movers", "kent", to, due=FRIDAY, kind="on_request") for to in members[:5]),
        an_obligation("activity-survey", "kent", "", due=FRIDAY, kind="external"),
    ])  # fmt: skip
    told = [to_words(group) for group in together(here.exchange.status.sight(None).overdue)]
    assert sorted(told) == [
        "done elsewhere",
        "to 8 members",
        "to Essex, Thurrock, Southend, Medway and Brighton and Hove",
    ]


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        (
            Tally(on_time=9, late=2, missing=1),
            "Of 12 that could be sent by now, 9 came on time, 2 came late and 1 is missing.",
        ),
        (Tally(on_time=9, missing=2), "Of 11 that could be sent by now, 9 came on time and 2 are missing."),
        (Tally(on_time=1200), "All 1,200 that could be sent by now came on time."),
        (Tally(prevented=3, open=2), "Nothing that could be sent has fallen due yet."),
    ],
)  # fmt: skip
def test_the_year_is_told_in_one_sentence(numbers: Tally, words: str) -> None:
    """What a lead reads out in the meeting."""
    assert summary(numbers, dict.fromkeys(Standing, 0)) == words


def test_an_exchange_of_best_efforts_has_nobody_late(seen: SmallExchange) -> None:
    """R-112 on the page: Movers are counted, and no share, picture or overdue list is made of them."""
    shown = page(seen.exchange.status.sight(None, exchange="movers"), ("kent", "Kent"))
    assert str(shown["summary"]).startswith("This is best efforts, and nobody is late: ")
    assert (shown["overdue"], shown["bars"]) == ([], [])
    assert "Late now" in str(shown["figures"])


def test_a_delivery_that_nobody_acknowledged_is_overdue_after_its_working_days(here: SmallExchange) -> None:
    """Two working days after Tuesday 1 December; until then it only waits. A question is not an omission."""
    delivery = here.arrive()
    for day, over in (("2026-12-03", 0), ("2026-12-04", 1), ("2026-12-07", 4)):
        here.exchange.clock.set(datetime.fromisoformat(f"{day}T08:00+00:00"))
        (one,) = here.exchange.status.sight("g-essex").unacknowledged
        assert (one.delivery, one.recipient, one.days_over) == (delivery, "kent", over)
    assert one.words == "was to be acknowledged by Thu 3 Dec 2026"
    here.exchange.acknowledgement.problem("p-kent-1", delivery, "queried", "The header is another one", via="desk")
    (one,) = here.exchange.status.sight("g-essex").unacknowledged
    assert (one.asked, one.days_over) == (True, 0)
    here.collect(delivery)
    here.exchange.acknowledgement.acknowledge("p-kent-1", delivery, via="desk")
    assert here.exchange.status.sight("g-essex").unacknowledged == ()


def test_what_nobody_attested_by_its_use_by_day_is_overdue(here: SmallExchange) -> None:
    """Used until 1 February 2027; a week later its destruction is still not attested: both members see it."""
    delivery = here.arrive()
    here.collect(delivery)
    here.exchange.acknowledgement.acknowledge("p-kent-1", delivery, via="desk")
    here.exchange.clock.set(datetime(2027, 2, 8, 9, 0, tzinfo=UTC))
    for person in ("g-essex", "g-kent", "u-auditor-1"):
        (one,) = here.exchange.status.sight(person).past_their_day
        assert (one.delivery, one.recipient_name, one.days_over) == (delivery, "Kent", 7)
        assert one.words.endswith("; the use-by day was Mon 1 Feb 2027")
    assert here.exchange.status.sight("g-essex", member="essex").past_their_day
    assert not here.exchange.status.sight("g-essex", exchange="movers").past_their_day


def test_what_was_never_collected_is_told_apart_from_what_waits(here: SmallExchange) -> None:
    """After its use-by day nobody can collect it: it asks nothing of anybody, and it is not forgotten."""
    delivery = here.arrive()
    for day in ("2027-02-01", "2027-02-02", "2027-02-03"):
        here.exchange.clock.set(datetime.fromisoformat(f"{day}T09:00+00:00"))
        here.exchange.tick()
    sight = here.exchange.status.sight("g-essex")
    assert (sight.unacknowledged, sight.past_their_day) == ((), ())
    assert [(one.delivery, one.words) for one in sight.uncollected] == [
        (delivery, "was never collected, and its time is over")
    ]
    assert "Never collected (1):" in list(lines(sight, "All members"))


def test_the_command_line_says_what_is_overdue_first(seen: SmallExchange) -> None:
    """Then what is due, waits and runs out, and a table whose last row is the sum."""
    sight = seen.exchange.status.sight(None)
    text = list(lines(sight, "All members"))
    assert text[0] == f"All members, sharing year 2026-27, as it stands on {in_words(sight.now)} in London."
    assert text[2].startswith("Overdue (")
    assert (
        text[3]
        == "  Kent          Post-16 destinations, Mar 2026, to East Sussex: was due Thu 9 Apr 2026 17:00 (280 days ago)"
    )
    assert text[-1].split()[:2] == ["All", str(sight.tally.percent)]
    assert [line.split("  ")[0] for line in text[-10:-1]] == [kept.name for kept in sight.members]
    medway = "\n".join(lines(seen.exchange.status.sight(None, member="medway"), "Medway"))
    overdue, others, own_late, table = (medway.index(at) for at in ("Overdue", "Others owe it", "Sent late", "As sen"))
    assert overdue < others < own_late < table
    assert "East Sussex" not in medway[overdue:others].replace("to East Sussex", "")
    assert "  East Sussex  September Guarantee, Sep 2026, to Medway: was due" in medway[others:own_late]


def test_the_json_has_the_same_names_whatever_there_is(here: SmallExchange, seen: SmallExchange) -> None:
    """Lists that are empty are there; standings are counted by name; times say their zone."""
    empty, full = (json.loads(as_text(one.exchange.status.sight(None))) for one in (here, seen))
    assert list(empty) == list(full) == [
        "as_of", "sharing_year", "member", "totals", "overdue", "unacknowledged", "uncollected", "unattested", "due",
        "missed", "members", "months", "runs_out", "statements", "holds", "findings",
    ]  # fmt: skip
    assert set(full["totals"]) == {
        "on_time_percent", *(s.value.replace(" ", "_") for s in Standing if s is not Standing.WITHDRAWN)
    }  # fmt: skip
    assert full["overdue"][0]["due_at"].endswith("+00:00")
    assert full["months"][0]["month"] == "2026-04"
    assert len(full["months"]) == 12


def test_in_chat_one_line_says_what_is_late_and_what_is_to_send(here: SmallExchange) -> None:
    """Of the own member alone, and without best efforts; nothing where nothing is owed."""
    here.exchange.clock.set(WHEN)
    front = Words(here.exchange)
    account = Account("slack", "T1", "U1")
    front.say(account, f"link {here.code('g-kent')}")
    nothing = front.say(account, "status").text
    assert "late" not in nothing
    put(here.exchange, [
        an_obligation(sender="kent", recipient="essex", due=FRIDAY),
        an_obligation(sender="kent", recipient="medway", due=WHEN + timedelta(days=1)),
        an_obligation(sender="kent", recipient="essex", due=WHEN + timedelta(days=1), period="2027-01"),
        an_obligation(sender="kent", recipient="essex", due=FRIDAY, exchange="movers", kind="best_efforts"),
        an_obligation(sender="essex", recipient="kent", due=FRIDAY),
    ])  # fmt: skip
    told = front.say(account, "status").text
    assert told.splitlines()[0] == "Kent: 1 is late, 2 to send, the next by Fri 15 Jan 2027 10:30."


def test_what_runs_out_is_shown_to_whom_it_concerns(here: SmallExchange) -> None:
    """An own registration to its member, everything to the operator; the review to all."""
    for one in here.exchange.status.sight("g-kent").runs_out:
        assert one.member in {"", "kent"}
    here.exchange.clock.set(datetime(2027, 12, 20, 9, 0, tzinfo=UTC))
    members = {one.member for one in here.exchange.status.sight(None).runs_out}
    assert len(members) > 1
