"""What runs out: which stage has come on which day, and who is reminded."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.agreement import PolicySet
from server.domain.renewals import OVER, Renewal, due
from server.policy.load import load

SHIPPED = load(Path(__file__).parent.parent.parent / "policies" / "ccis-v2")
LAST = date(2027, 6, 15)
KENT = tuple(person.id for person in SHIPPED.people_of("kent", "governance_lead"))


def a_set(*, ico: date | None = None, training: date | None = None, review: date | None = None) -> PolicySet:
    """The shipped set, in which only what is named runs out: Kent's registration, p-kent-1's training, the review."""
    members = tuple(m.model_copy(update={"ico_valid_until": ico if m.id == "kent" else None}) for m in SHIPPED.members)
    people = tuple(
        p.model_copy(
            update={
                "training_valid_until": training if p.id == "p-kent-1" else None,
                "roles": p.roles | {"designated_person"} if p.id == "p-kent-1" else p.roles,
            }
        )
        for p in SHIPPED.people
    )
    far = SHIPPED.agreement.review.model_copy(
        update={"due": review or date(2090, 1, 1), "remind": ("P6M", "P3M", "P1M")}
    )
    agreement = SHIPPED.agreement.model_copy(update={"review": far})
    return SHIPPED.model_copy(update={"members": members, "people": people, "agreement": agreement})


def on(policy: PolicySet, day: date) -> tuple[Renewal, ...]:
    return due(policy, datetime(day.year, day.month, day.day, 12, tzinfo=UTC))


@pytest.mark.parametrize(
    ("days", "stage"),
    [(31, None), (30, "P30D"), (29, "P30D"), (8, "P30D"), (7, "P7D"), (0, "P7D"), (-1, OVER), (-99, OVER)],
)  # fmt: skip
def test_r002_a_registration_has_two_stages_before_its_end_and_one_after(days: int, stage: str | None) -> None:
    """Thirty days before, seven days before, then that it is over: always the latest alone, to the member's leads."""
    found = on(a_set(ico=LAST), LAST - timedelta(days=days))
    assert [renewal.stage for renewal in found] == ([stage] if stage else [])
    assert all(renewal.people == KENT for renewal in found)


@pytest.mark.parametrize(
    ("day", "stage"),
    [(date(2026, 12, 14), None), (date(2026, 12, 15), "P6M"), (date(2027, 3, 15), "P3M"), (date(2027, 5, 15), "P1M"),
     (date(2027, 6, 15), "P1M"), (date(2027, 6, 16), OVER)],
)  # fmt: skip
def test_a_review_is_announced_months_before_to_every_governance_lead(day: date, stage: str | None) -> None:
    """Calendar months back from its day; the whole circle is told (R-005)."""
    found = on(a_set(review=LAST), day)
    assert [renewal.stage for renewal in found] == ([stage] if stage else [])
    leads = {person.id for person in SHIPPED.people if "governance_lead" in person.roles}
    assert all(set(renewal.people) == leads for renewal in found)


def test_training_is_said_to_the_person_and_to_their_lead() -> None:
    """The days are those of the policy."""
    found = on(a_set(training=LAST), LAST - timedelta(days=5))
    assert [(r.kind, r.subject, r.stage, r.people) for r in found] == [
        ("training", "p-kent-1", "P7D", ("p-kent-1", *KENT))
    ]


@given(st.dates(date(2026, 1, 1), date(2029, 1, 1)))
def test_each_stage_is_a_thread_of_its_own_and_a_new_date_begins_anew(day: date) -> None:
    """At most one stage of a thing on any day; renewing it changes every thread."""
    found = on(a_set(ico=LAST, training=LAST, review=LAST), day)
    assert len({(r.kind, r.subject) for r in found}) == len(found)
    later = on(a_set(ico=LAST + timedelta(1), training=LAST + timedelta(1), review=LAST + timedelta(1)), day)
    assert not {r.thread for r in found} & {r.thread for r in later}
