"""What deliveries and nil returns come to: met when the first that counts was received, or what stands in its place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.delivery import Status
from server.domain.obligation import Answer
from server.exchange.fulfilment import Answered, Arrived, answered

AT = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
S = Status


def a_file(number: int, status: Status, by: int | None = None, *, seen: bool = True) -> Arrived:
    """The n-th file, received n hours after nine."""
    after = f"D-{by}" if by else None
    return Arrived(f"D-{number}", f"C-{number}", "p-essex-1", AT + timedelta(hours=number), status, after, seen)


@pytest.mark.parametrize(
    ("files", "answer", "hour", "reference"),
    [
        ([], Answer.NONE, None, None),
        ([a_file(1, S.SENT, seen=False)], Answer.WAITING, None, None),
        ([a_file(1, S.HELD, seen=False)], Answer.WAITING, None, None),
        ([a_file(1, S.AVAILABLE)], Answer.SENT, 1, "C-1"),
        ([a_file(1, S.ACKNOWLEDGED), a_file(2, S.SENT, seen=False)], Answer.SENT, 1, "C-1"),
        ([a_file(1, S.SUPERSEDED, 2), a_file(2, S.AVAILABLE)], Answer.SENT, 1, "C-2"),
        ([a_file(1, S.SUPERSEDED, 2), a_file(2, S.SUPERSEDED, 3), a_file(3, S.QUERIED)], Answer.SENT, 1, "C-3"),
        ([a_file(1, S.SUPERSEDED, 2, seen=False), a_file(2, S.AVAILABLE)], Answer.SENT, 2, "C-2"),
        ([a_file(1, S.SUPERSEDED, 2), a_file(2, S.RECALLED)], Answer.NONE, None, None),
        ([a_file(1, S.REJECTED)], Answer.NONE, None, None),
        ([a_file(1, S.REJECTED), a_file(2, S.COLLECTED)], Answer.SENT, 2, "C-2"),
        ([a_file(1, S.RECALLED), a_file(2, S.HELD, seen=False)], Answer.WAITING, None, None),
    ],
)
def test_what_there_is(files: list[Arrived], answer: Answer, hour: int | None, reference: str | None) -> None:
    """The first file that its recipient kept counts, through every newer one in its place."""
    found = answered(files)
    met_at = None if hour is None else AT + timedelta(hours=hour)
    assert (found.answer, found.met_at, found.reference) == (answer, met_at, reference)


def test_a_nil_return_answers_until_something_is_sent() -> None:
    """And what it met stays met when a file comes after all."""
    nil = (AT, "p-essex-2")
    assert answered([], nil) == Answered(Answer.NIL, AT, "p-essex-2")
    assert answered([a_file(1, S.SENT, seen=False)], nil).answer is Answer.NIL
    assert answered([a_file(1, S.AVAILABLE)], nil) == Answered(Answer.SENT, AT, "p-essex-2", "C-1")
    assert answered([a_file(1, S.RECALLED)], nil).answer is Answer.NIL


files = st.lists(st.tuples(st.sampled_from(Status), st.integers(1, 6), st.booleans()), max_size=6).map(
    lambda drawn: [a_file(n, status, by, seen=seen) for n, (status, by, seen) in enumerate(drawn, 1)]
)


@given(files)
def test_the_order_of_looking_does_not_matter(drawn: list[Arrived]) -> None:
    """The same files are the same answer; it is sent exactly when the recipient has one."""
    shuffled = sorted(drawn, key=lambda one: one.consignment[::-1], reverse=True)
    assert answered(drawn) == answered(shuffled)
    has = any(one.status in {S.AVAILABLE, S.COLLECTED, S.ACKNOWLEDGED, S.QUERIED} for one in drawn)
    assert (answered(drawn).answer is Answer.SENT) == has
