"""The simulated year's own arithmetic, which must not be that of the product, agrees with the agreement's table."""

from __future__ import annotations

from collections import Counter
from datetime import date

import pytest

from server.domain.due import due_ahead
from server.policy.load import load_texts, read_texts
from tests.year.days import FILES, POLICY, Days, Round, at, clock, rounds
from tests.year.oracle import expected
from tests.year.plan import DOWN, FIRST, LAST, SENDERS, here, year

FIFTH = {"2026-09": 7, "2026-10": 7, "2026-11": 6, "2026-12": 7, "2027-01": 8, "2027-02": 5, "2027-03": 5}
FIFTEENTH = {"2026-09": 21, "2026-10": 21, "2026-11": 20, "2026-12": 21, "2027-01": 22, "2027-02": 19, "2027-03": 19}
LAST_ONES = {"2026-09": 30, "2026-10": 30, "2026-11": 30, "2026-12": 31, "2027-01": 29, "2027-02": 26, "2027-03": 31}


@pytest.mark.parametrize(
    ("exchange", "table"),
    [("post16-destinations", FIFTH), ("year14-destinations", FIFTEENTH), ("september-guarantee", LAST_ONES)],
)
def test_the_oracle_reads_the_schedule_as_the_table_of_the_domain(exchange: str, table: dict[str, int]) -> None:
    """Written by hand from DOMAIN.md 2.3, for the months of the simulated year that it holds."""
    found = {f"{one.due_day:%Y-%m}": one.due_day.day for one in _rounds(exchange)}
    assert {month: found[month] for month in table} == table


def test_the_oracle_and_the_schedule_engine_agree_about_the_whole_year() -> None:
    """Two arithmetics that know nothing of each other."""
    policy = load_texts(read_texts(POLICY))
    calendar = next(one for one in policy.calendars if one.id == "england-and-wales")
    for name in FILES:
        exchange = next(one for one in policy.exchanges if one.id == name)
        product = {
            (str(one.period), one.opens, clock(one.due))
            for one in due_ahead(exchange, calendar, at(FIRST, "00:00"), horizon_months=12)
        }
        assert {(one.period, one.opens, clock(one.due)) for one in _rounds(name)} == product


def test_the_same_seed_gives_the_same_year_and_another_seed_another() -> None:
    assert year(1).acts == year(1).acts
    assert year(1).acts != year(2).acts


def test_nobody_acts_who_is_away_or_while_the_server_is_down() -> None:
    plan = year(5)
    assert all(here(act.person, act.when.date()) for act in plan.acts if act.person in SENDERS.values())
    assert not [moment for moment in plan.moments() if DOWN[0] < moment < DOWN[1]]
    assert {act.when for act in plan.acts} <= set(plan.moments())


def test_the_plan_has_everything_in_it() -> None:
    """Every behaviour that the year is meant to show, and enough of it."""
    plan, counts = year(3), Counter(act.verb for act in year(3).acts)
    assert min(counts[verb] for verb in ("put", "collect", "acknowledge", "processed", "destroyed")) > 100
    assert {"nil", "nil-file", "cannot", "away", "key-gone", "key-back"} <= set(counts)
    told = Counter(one.about.split(":")[0] for one in expected(plan).told)
    assert min(told[prefix] for prefix in ("owed", "ack", "uncollected", "use", "destroy")) > 20


def test_the_week_without_a_server_has_a_due_day_two_holidays_and_a_clock_change_in_it() -> None:
    first, last = DOWN
    assert {date(2027, 3, 26), date(2027, 3, 29)} <= Days.shipped().holidays
    assert first.utcoffset() != last.utcoffset()
    assert [one.exchange for one in year(1).rounds if first < one.due < last] == ["september-guarantee"]
    assert at(date(2027, 3, 28), "12:00").utcoffset() == last.utcoffset()


def _rounds(exchange: str) -> list[Round]:
    return [one for one in rounds(Days.shipped(), FIRST, LAST) if one.exchange == exchange]
