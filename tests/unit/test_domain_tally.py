"""How the agreement was kept, in numbers: who was on time, and what bears on nobody."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.due import year_named, year_words
from server.domain.obligation import Answer, Kind, Obligation, Standing, standing
from server.domain.schedule import LONDON
from server.domain.tally import Tally, bearing, by_month, month_of, rows, standings, tally

NOW = datetime(2027, 1, 14, 10, 30, tzinfo=LONDON)
DUE = datetime(2027, 1, 8, 17, 0, tzinfo=LONDON)


def owed(
    answer: str = "none", *, met: datetime | None = None, kind: Kind = "required", due: datetime = DUE,
    blocked: str | None = None, sender: str = "essex", recipient: str = "kent",
) -> Obligation:  # fmt: skip
    """An obligation that was due on Friday 8 January 2027 at 17:00."""
    return Obligation(
        1, "post16-destinations", "2026-12", sender, recipient, kind, due.date().replace(day=1), due, Answer(answer),
        met, blocked,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (owed("sent", met=DUE), "on_time"),
        (owed("nil", met=DUE - timedelta(days=1)), "on_time"),
        (owed("sent", met=DUE + timedelta(seconds=1)), "late"),
        (owed("nil", met=DUE + timedelta(days=1)), "late"),
        (owed(), "missing"),
        (owed(blocked="Kent, which has no usable key"), "prevented"),
        (owed("cannot", met=DUE), "prevented"),
        (owed("waiting"), "open"),
        (owed(due=NOW + timedelta(days=1)), "open"),
        (owed("withdrawn"), None),
        (owed(kind="best_efforts"), None),
        (owed("sent", met=DUE, kind="best_efforts"), None),
    ],
)
def test_what_an_obligation_says_of_its_senders_timeliness(one: Obligation, expected: str | None) -> None:
    """To the second; what was prevented is nobody's delay, and best efforts are never late (R-112)."""
    assert bearing(one, NOW) == expected


def test_a_share_is_of_what_could_be_sent_and_never_rounded_up() -> None:
    """199 of 200 is 99 per cent; what is blocked, open or best efforts does not count; nothing has no share."""
    sent = [owed("sent", met=DUE)] * 199
    found = tally([*sent, owed(), owed(blocked="the exchange"), owed(kind="best_efforts"), owed("waiting")], NOW)
    assert found == Tally(on_time=199, late=0, missing=1, prevented=1, open=1)
    assert (found.judged, found.percent) == (200, 99)
    assert tally([owed(blocked="the exchange")], NOW).percent is None
    assert tally(sent, NOW).percent == 100


def test_a_month_is_the_one_in_which_it_falls_due_in_london() -> None:
    """23:30 UTC on 31 July is August; the twelve months run from April to March."""
    late = datetime.fromisoformat("2026-07-31T23:30+00:00")
    assert month_of(owed(due=late)) == date(2026, 8, 1)
    months = by_month([owed(due=late, answer="sent", met=late), owed()], 2026, NOW)
    assert [f"{month:%b}" for month, _ in months] == "Apr May Jun Jul Aug Sep Oct Nov Dec Jan Feb Mar".split()
    assert {f"{month:%b}": found for month, found in months if found != Tally()} == {
        "Aug": Tally(on_time=1), "Jan": Tally(missing=1),
    }  # fmt: skip


def test_a_cell_shows_the_worst_and_how_many_are_like_it() -> None:
    """Late before sent late before sent; what nobody is chased for never hides what counts."""
    pair = [owed("sent", met=DUE), owed("sent", met=DUE + timedelta(days=1)), owed(kind="best_efforts")]
    cell = rows(pair, ["essex", "kent"], 2026, NOW)[0].cells[9]
    assert (cell.worst, cell.like_it, len(cell.obligations)) == (Standing.SENT_LATE, 1, 3)
    cell = rows([*pair, owed(), owed()], ["essex", "kent"], 2026, NOW)[0].cells[9]
    assert (cell.worst, cell.like_it) == (Standing.LATE, 2)
    assert [standing(one, NOW) for one in cell.obligations][-1] is Standing.NOT_SENT
    assert rows(pair, [], 2026, NOW)[0].cells[0].worst is None


def test_rows_follow_the_order_of_the_members() -> None:
    """What is done elsewhere stands last of its sender; a member that is gone, after all others."""
    pairs = [("kent", "essex"), ("gone", "kent"), ("essex", ""), ("essex", "medway"), ("essex", "kent")]
    found = rows([owed(sender=s, recipient=r) for s, r in pairs], ["essex", "kent", "medway"], 2026, NOW)
    assert [(row.sender, row.recipient) for row in found] == [
        ("essex", "kent"), ("essex", "medway"), ("essex", ""), ("kent", "essex"), ("gone", "kent"),
    ]  # fmt: skip


answers = st.sampled_from([a.value for a in Answer])
kinds: st.SearchStrategy[Kind] = st.sampled_from(["required", "best_efforts", "external", "on_request"])
moments = st.datetimes(datetime(2026, 4, 1), datetime(2027, 3, 31, 23, 59), timezones=st.just(LONDON))


@st.composite
def obligations(draw: st.DrawFn) -> Obligation:
    answer, due = draw(answers), draw(moments)
    met = draw(moments) if answer in {"sent", "nil", "cannot", "done"} else None
    blocked = draw(st.sampled_from([None, "the exchange"]))
    return owed(answer, met=met, kind=draw(kinds), due=due, blocked=blocked)


@given(st.lists(obligations(), max_size=30), moments)
def test_every_obligation_is_counted_once(every: list[Obligation], now: datetime) -> None:
    """In the months as in the whole, in the cells as in the standings; only the withdrawn are not there."""
    whole = tally(every, now)
    months = [found for _, found in by_month(every, 2026, now)]
    assert sum(month.judged for month in months) == whole.judged
    assert sum(month.open + month.prevented for month in months) == whole.open + whole.prevented
    assert sum(len(cell.obligations) for row in rows(every, [], 2026, now) for cell in row.cells) == len(every)
    there = [one for one in every if one.answer is not Answer.WITHDRAWN]
    assert sum(standings(every, now).values()) == len(there)
    assert whole.missing <= standings(every, now)[Standing.LATE]


@given(st.integers(2000, 2098))
def test_a_sharing_year_is_read_as_it_is_written(year: int) -> None:
    """2026-27 and nothing else."""
    assert year_named(year_words(year)) == year


@pytest.mark.parametrize("text", ["", "2026", "2026-28", "2026-2027", "26-27", " 2026-27", "2026-27\n", "1999-00"])
def test_what_is_no_sharing_year_names_none(text: str) -> None:
    """A year that does not follow, an extra character, another century."""
    assert year_named(text) is None
