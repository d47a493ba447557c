"""How an obligation stands: late is never undone, what was blocked is never late, best efforts never are."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.obligation import MET, Answer, Kind, Obligation, Standing, standing, words

DUE = datetime(2026, 12, 7, 17, 0, tzinfo=UTC)
OPENS = date(2026, 12, 1)
BEFORE, AFTER = DUE - timedelta(hours=1), DUE + timedelta(hours=1)


def an_obligation(**given: Any) -> Obligation:
    """Essex to Kent, required, open; or as given."""
    known = Obligation(1, "post16-destinations", "2026-11", "essex", "kent", "required", OPENS, DUE)
    return replace(known, **given)


@pytest.mark.parametrize(
    ("given", "now", "expected"),
    [
        ({}, datetime(2026, 11, 30, 12, tzinfo=UTC), Standing.AHEAD),
        ({}, BEFORE, Standing.DUE),
        ({}, DUE, Standing.DUE),
        ({}, AFTER, Standing.LATE),
        ({"kind": "best_efforts"}, AFTER, Standing.NOT_SENT),
        ({"kind": "external"}, AFTER, Standing.LATE),
        ({"kind": "on_request"}, AFTER, Standing.LATE),
        ({"answer": Answer.WAITING}, AFTER, Standing.WAITING),
        ({"blocked": "Kent, which is not ready"}, AFTER, Standing.BLOCKED),
        ({"answer": Answer.SENT, "met_at": BEFORE}, AFTER, Standing.SENT),
        ({"answer": Answer.SENT, "met_at": AFTER}, AFTER, Standing.SENT_LATE),
        ({"answer": Answer.NIL, "met_at": AFTER}, AFTER, Standing.SENT_LATE),
        ({"answer": Answer.SENT, "met_at": AFTER, "blocked": "the exchange"}, AFTER, Standing.SENT),
        ({"answer": Answer.SENT, "met_at": AFTER, "kind": "best_efforts"}, AFTER, Standing.SENT),
        ({"answer": Answer.NIL, "met_at": BEFORE}, AFTER, Standing.NIL),
        ({"answer": Answer.DONE, "met_at": BEFORE, "kind": "external"}, AFTER, Standing.DONE),
        ({"answer": Answer.CANNOT, "met_at": BEFORE, "reason": "no system"}, AFTER, Standing.CANNOT),
        ({"answer": Answer.WITHDRAWN}, AFTER, Standing.WITHDRAWN),
    ],
)
def test_how_it_stands(given: dict[str, Any], now: datetime, expected: Standing) -> None:
    """By what was answered, when, and what prevented it; the due moment itself is in time."""
    assert standing(an_obligation(**given), now) is expected


def test_a_reason_that_is_given_late_says_so() -> None:
    """Saying why afterwards does not make it in time."""
    late = an_obligation(answer=Answer.CANNOT, met_at=AFTER, reason="no system")
    assert words(late, AFTER) == "cannot send, because: no system; said late, 18:00"
    assert words(replace(late, met_at=BEFORE), AFTER) == "cannot send, because: no system"


kinds: st.SearchStrategy[Kind] = st.sampled_from(["required", "best_efforts", "external", "on_request"])
moments = st.datetimes(datetime(2026, 11, 1), datetime(2027, 3, 1), timezones=st.just(UTC))
obligations = st.builds(
    an_obligation, kind=kinds, answer=st.sampled_from(Answer), met_at=st.none() | moments,
    blocked=st.none() | st.just("Kent, which is not ready"),
)  # fmt: skip


@given(obligations, moments, moments)
def test_late_is_never_undone(one: Obligation, now: datetime, later: datetime) -> None:
    """What is late at one moment is late or sent late at every later one, whenever it is met."""
    now, later = sorted((now, later))
    if standing(one, now) is not Standing.LATE:
        return
    assert standing(one, later) is Standing.LATE
    for answer in (Answer.SENT, Answer.NIL):
        assert standing(replace(one, answer=answer, met_at=later), later) is Standing.SENT_LATE


@given(obligations, moments)
def test_what_was_blocked_and_best_efforts_are_never_late(one: Obligation, now: datetime) -> None:
    """Whatever the answer, and whenever."""
    if one.blocked or one.kind == "best_efforts":
        assert standing(one, now) not in {Standing.LATE, Standing.SENT_LATE}
        assert not words(one, now).startswith("late")


@given(obligations, moments)
def test_an_answer_is_never_asked_for_again(one: Obligation, now: datetime) -> None:
    """Nothing that is met is due or late, and everything has words."""
    if one.answer in MET:
        assert standing(one, now) not in {Standing.LATE, Standing.DUE, Standing.AHEAD}
    if one.met_at is not None:
        assert words(one, now)
