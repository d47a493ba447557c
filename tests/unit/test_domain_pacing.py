"""When people may be told: quiet hours, working days and closures by London's clock, over its changes too."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.agreement import PolicySet
from server.domain.agreement.rules import Quiet
from server.domain.pacing import (
    digest_thread,
    is_open_day,
    may_remind,
    may_tell,
    next_open,
    next_open_day,
    next_reminding,
    uncovered,
)
from server.domain.schedule import LONDON, london_day
from server.policy.load import load

ROOT = Path(__file__).parent.parent.parent


@cache
def shipped() -> PolicySet:
    return load(ROOT / "policies" / "ccis-v2")


def with_quiet(*hours: str, days: bool = True, **notifications: object) -> PolicySet:
    """The shipped set with these quiet hours."""
    quiet = Quiet(hours=hours, non_working_days=days)
    told = shipped().notifications.model_copy(update={"quiet": quiet, **notifications})
    return shipped().model_copy(update={"notifications": told})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=LONDON)


@pytest.mark.parametrize(
    ("moment", "may"),
    [
        ("2026-12-01 07:59", False),
        ("2026-12-01 08:00", True),
        ("2026-12-01 17:59", True),
        ("2026-12-01 18:00", False),
        ("2026-12-05 10:00", False),  # a Saturday
        ("2026-12-25 10:00", False),  # Christmas
        ("2026-12-28 10:00", False),  # Boxing Day, moved
        ("2027-03-26 10:00", False),  # Good Friday
        ("2027-03-30 08:00", True),  # after Easter, in summer time
        ("2026-07-01 08:30", True),  # 07:30 in UTC
    ],
)
def test_nobody_is_told_in_quiet_hours_or_on_days_without_work(moment: str, may: bool) -> None:
    """18:00 to 08:00 by London's clock, weekends and the holidays of the notices' calendar."""
    assert may_tell(shipped(), "kent", at(moment)) is may


@pytest.mark.parametrize(
    ("moment", "opens"),
    [
        ("2026-12-01 10:00", "2026-12-01 10:00"),
        ("2026-12-01 18:00", "2026-12-02 08:00"),
        ("2026-12-04 20:00", "2026-12-07 08:00"),
        ("2026-12-24 18:30", "2026-12-29 08:00"),  # Christmas Day, a weekend, Boxing Day
        ("2027-03-25 18:00", "2027-03-30 08:00"),  # Easter, and the clocks go forward
        ("2026-10-23 19:00", "2026-10-26 08:00"),  # the clocks go back
    ],
)
def test_what_comes_in_a_quiet_hour_waits_for_the_next_open_one(moment: str, opens: str) -> None:
    """The next working day at eight, whatever the clocks did in between."""
    assert next_open(shipped(), "kent", at(moment)) == at(opens)


def test_a_reminder_waits_for_the_hour_of_the_days_message() -> None:
    """09:00, not 08:00; an hour that lies in the quiet ones is no bound."""
    assert not may_remind(shipped(), "kent", at("2026-12-01 08:30"))
    assert next_reminding(shipped(), "kent", at("2026-12-01 08:30")) == at("2026-12-01 09:00")
    assert next_reminding(shipped(), "kent", at("2026-12-04 17:30") + timedelta(hours=1)) == at("2026-12-07 09:00")
    early = with_quiet("18:00-08:00", digest_daily="06:00")
    assert next_reminding(early, "kent", at("2026-12-01 05:00")) == at("2026-12-01 08:00")


def test_a_members_own_closures_are_its_own() -> None:
    """The days between the years of one council are working days for the others."""
    closed = with_quiet("18:00-08:00", closures={"kent": (date(2026, 12, 29), date(2026, 12, 30), date(2026, 12, 31))})
    assert next_open(closed, "kent", at("2026-12-24 18:30")) == at("2027-01-04 08:00")
    assert next_open(closed, "medway", at("2026-12-24 18:30")) == at("2026-12-29 08:00")
    assert not is_open_day(closed, "kent", date(2026, 12, 30))
    assert next_open_day(closed, "kent", date(2026, 12, 24)) == date(2027, 1, 4)


def test_a_day_that_no_calendar_covers_is_a_finding_and_nothing_is_lost() -> None:
    """People are still told from Monday to Friday, and the sentence says what to do."""
    beyond = shipped().notice_calendar
    assert beyond is not None
    far = datetime.combine(beyond.covers_until + timedelta(days=40), datetime.min.time(), tzinfo=LONDON)
    words = uncovered(shipped(), far)
    assert words is not None
    assert "Monday to Friday" in words
    assert "policy set" in words
    assert next_open(shipped(), "kent", far) < far + timedelta(days=4)
    assert uncovered(shipped(), at("2026-12-01 10:00")) is None
    without = shipped().model_copy(update={"calendars": ()})
    assert "No calendar" in (uncovered(without, at("2026-12-01 10:00")) or "")
    assert uncovered(with_quiet(days=False), far) is None


def test_quiet_hours_that_leave_no_hour_lose_nothing() -> None:
    """Better told than never."""
    never = with_quiet("00:00-12:00", "12:00-00:00")
    now = at("2026-12-01 10:00")
    assert next_open(never, "kent", now) == now


def test_the_thread_of_a_day_is_named_by_it() -> None:
    """One a day."""
    assert digest_thread(date(2026, 12, 1)) == "digest:2026-12-01"


HOURS = st.tuples(st.integers(0, 23), st.sampled_from([0, 15, 30]), st.integers(0, 23), st.sampled_from([0, 15, 30]))
CHANGES = [datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 10, 24, tzinfo=UTC), datetime(2027, 3, 27, tzinfo=UTC)]
MOMENTS = st.one_of(
    st.datetimes(datetime(2026, 1, 5), datetime(2027, 10, 1)).map(lambda moment: moment.replace(tzinfo=UTC)),
    st.tuples(st.sampled_from(CHANGES), st.integers(0, 4 * 24 * 60)).map(lambda p: p[0] + timedelta(minutes=p[1])),
)


@given(hours=HOURS, days=st.booleans(), now=MOMENTS)
def test_the_next_open_moment_is_open_never_earlier_and_the_first(
    hours: tuple[int, int, int, int], days: bool, now: datetime
) -> None:
    """Never quiet, never a day without work, never before now; nothing a quarter of an hour earlier would do."""
    policy = with_quiet("{:02d}:{:02d}-{:02d}:{:02d}".format(*hours), days=days)
    found = next_open(policy, "kent", now)
    assert found >= now
    assert may_tell(policy, "kent", found)
    if found > now:
        assert not may_tell(policy, "kent", now)
        earlier = found - timedelta(minutes=15)
        assert earlier < now or not may_tell(policy, "kent", earlier)


@given(now=MOMENTS)
def test_the_next_reminding_moment_is_one_and_never_earlier(now: datetime) -> None:
    """At or after the hour of the day's message, on an open day."""
    found = next_reminding(shipped(), "kent", now)
    assert found >= now
    assert may_remind(shipped(), "kent", found)
    assert is_open_day(shipped(), "kent", london_day(found))
