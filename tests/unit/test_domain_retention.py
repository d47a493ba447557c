"""When the exchange's own copy goes: the vectors of the agreement's timers, and what holds for every delivery."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.agreement import RetentionRule
from server.domain.delivery import UNRELEASED, Status
from server.domain.retention import CLAUSES, StoredCopy, end_of, is_locked, span_words, verdict
from server.domain.schedule import LONDON, london_day, use_by

RULE = RetentionRule.model_validate({
    "id": "two-months", "use_by": {"from": "available", "length": "P2M"}, "server_copy": {"acknowledged_plus": "P7D"},
})  # fmt: skip
RECEIVED = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2050, 1, 1), timezones=st.just(UTC))


def a_copy(status: Status = Status.AVAILABLE, available: datetime = RECEIVED, **given: object) -> StoredCopy:
    """A copy of a delivery that became available then, with its use-by day by the rule."""
    seen = status not in UNRELEASED
    facts: dict[str, object] = {
        "available_at": available if seen else None, "use_by": use_by(available, 2) if seen else None,
    }  # fmt: skip
    return StoredCopy("D-2026-000001", status, available, **(facts | given))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("available", "last"),
    [
        (date(2026, 7, 31), date(2026, 9, 30)),
        (date(2026, 12, 31), date(2027, 2, 28)),
        (date(2025, 12, 29), date(2026, 2, 28)),
        (date(2027, 12, 30), date(2028, 2, 29)),
    ],
)
def test_what_nobody_acknowledges_goes_when_its_use_by_day_is_over(available: date, last: date) -> None:
    """Two calendar months, clamped, never rolled forward off a Sunday; the day counts to its end in London."""
    found = verdict(a_copy(available=datetime(available.year, available.month, available.day, 12, tzinfo=UTC)), RULE)
    assert (found.rule, found.goes_at) == ("use_by", end_of(last))
    assert found.goes_at is not None and found.goes_at.astimezone(LONDON).date() == last + timedelta(days=1)
    assert found.clause.startswith("8")


def test_the_end_of_a_summer_day_is_eleven_at_night_in_utc() -> None:
    """Midnight in London, whatever the clocks say."""
    assert end_of(date(2026, 9, 30)) == datetime(2026, 9, 30, 23, tzinfo=UTC)
    assert end_of(date(2026, 12, 30)) == datetime(2026, 12, 31, 0, tzinfo=UTC)
    assert not is_locked("2026-09-30", datetime(2026, 9, 30, 22, 59, tzinfo=UTC))
    assert is_locked("2026-09-30", datetime(2026, 9, 30, 23, tzinfo=UTC))
    assert not is_locked(None, RECEIVED)


def test_an_acknowledged_copy_goes_after_the_grace_or_with_its_use_by_day() -> None:
    """Whichever is first."""
    early = verdict(a_copy(Status.ACKNOWLEDGED, acknowledged_at=RECEIVED + timedelta(days=2)), RULE)
    assert (early.rule, early.goes_at) == ("acknowledged", RECEIVED + timedelta(days=9))
    assert "7 days" in early.words
    late = verdict(a_copy(Status.ACKNOWLEDGED, acknowledged_at=datetime(2027, 1, 30, tzinfo=UTC)), RULE)
    assert (late.rule, late.goes_at) == ("use_by", end_of(date(2027, 2, 1)))


@pytest.mark.parametrize("status", [Status.COLLECTED, Status.QUERIED])
def test_a_question_keeps_the_copy_until_the_use_by_day(status: Status) -> None:
    """Even when it had been acknowledged before: the recipient may have to fetch it again."""
    found = verdict(a_copy(status, acknowledged_at=RECEIVED + timedelta(days=1)), RULE)
    assert (found.rule, found.goes_at) == ("use_by", end_of(date(2027, 2, 1)))


@pytest.mark.parametrize("status", [Status.REJECTED, Status.SUPERSEDED])
def test_what_was_rejected_or_replaced_after_it_was_seen_goes_after_the_same_grace(status: Status) -> None:
    """Until now such copies stayed for ever."""
    found = verdict(a_copy(status, ended_at=RECEIVED + timedelta(days=1)), RULE)
    assert (found.rule, found.goes_at) == (status.value, RECEIVED + timedelta(days=8))


def test_what_nobody_saw_goes_at_once_and_what_was_never_released_in_the_end() -> None:
    """A file that is held for ever does not stay for ever."""
    ended = RECEIVED + timedelta(minutes=1)
    for status in (Status.RECALLED, Status.SUPERSEDED):
        assert verdict(a_copy(status, available_at=None, use_by=None, ended_at=ended), RULE).goes_at == ended
    waiting = verdict(a_copy(Status.HELD), RULE)
    assert (waiting.rule, waiting.goes_at) == ("unreleased", end_of(date(2027, 2, 1)))


def test_a_copy_that_no_rule_speaks_of_is_not_covered() -> None:
    """Its exchange left the policy: the use-by day it was given still ends it; without one nothing does."""
    left = verdict(a_copy(Status.ACKNOWLEDGED, acknowledged_at=RECEIVED), None)
    assert (left.rule, left.goes_at, left.covered) == ("use_by", end_of(date(2027, 2, 1)), False)
    for found in (verdict(a_copy(use_by=None), RULE), verdict(a_copy(use_by=None), None)):
        assert (found.rule, found.goes_at, found.covered) == ("uncovered", None, False)
        assert not found.is_due(datetime(2100, 1, 1, tzinfo=UTC))


def test_a_hold_changes_nothing_of_when_but_is_named() -> None:
    """The verdict says when it would go and what keeps it; who disposes looks at both."""
    found = verdict(a_copy(held_by=("H-2026-000001",)), RULE)
    assert found.held_by == ("H-2026-000001",) and found.is_due(end_of(date(2027, 2, 1)))


@given(
    status=st.sampled_from([s for s in Status if s not in UNRELEASED]),
    available=MOMENTS,
    after=st.timedeltas(timedelta(), timedelta(days=50)),
    grace=st.integers(0, 400),
)
def test_no_copy_outlives_its_use_by_day_nor_goes_before_it_was_acknowledged(
    status: Status, available: datetime, after: timedelta, grace: int
) -> None:
    """Whatever the state and the grace; and every end has a clause."""
    rule = RULE.model_copy(
        update={"server_copy": RULE.server_copy.model_copy(update={"acknowledged_plus": f"P{grace}D"})}
    )
    then = available + after
    found = verdict(a_copy(status, available, acknowledged_at=then, ended_at=then), rule)
    assert found.goes_at is not None and found.goes_at <= end_of(use_by(available, 2))
    if found.rule == "acknowledged":
        assert found.goes_at >= then and london_day(found.goes_at) >= london_day(then)
    assert CLAUSES[found.rule] == found.clause and found.covered


@pytest.mark.parametrize(("span", "words"), [("P7D", "7 days"), ("P1M", "1 month"), ("PT48H", "48 hours")])
def test_a_grace_is_said_in_words(span: str, words: str) -> None:
    """People do not read ISO 8601."""
    assert span_words(span) == words
