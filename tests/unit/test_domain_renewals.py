"""What runs out: which stage has come on which day, and who is reminded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.agreement import GpgKey, PolicySet
from server.domain.agreement.members import Subcontractor
from server.domain.audience import Hat
from server.domain.renewals import OVER, Renewal, due, renewals
from server.policy.load import load

SHIPPED = load(Path(__file__).parent.parent.parent / "policies" / "ccis-v2")
LAST = date(2027, 6, 15)
END = datetime(2027, 6, 15, 14, tzinfo=UTC)
KENT = (Hat("kent", "governance_lead"),)
OLD, NEW = (GpgKey(fingerprint=mark * 40, armored="") for mark in "AB")


def a_set(
    *,
    ico: date | None = None,
    training: date | None = None,
    review: date | None = None,
    contract: date | None = None,
    own: tuple[GpgKey, ...] = (),
    recovery: GpgKey | None = None,
) -> PolicySet:
    """The shipped set, in which only what is named runs out: of Kent, of p-kent-1, or the agreement's review."""
    work = Subcontractor(name="Fictional Mail Ltd", contract="K-1", review=contract or LAST)
    kents = {"ico_valid_until": ico, "recovery_key": recovery, "subcontractors": (work,) if contract else ()}
    none = {"ico_valid_until": None, "recovery_key": None, "subcontractors": ()}
    members = tuple(m.model_copy(update=kents if m.id == "kent" else none) for m in SHIPPED.members)
    people = tuple(
        p.model_copy(
            update={
                "training_valid_until": training if p.id == "p-kent-1" else None,
                "roles": p.roles | {"designated_person"} if p.id == "p-kent-1" else p.roles,
                "gpg_keys": own if p.id == "p-kent-1" else (),
            }
        )
        for p in SHIPPED.people
    )
    far = SHIPPED.agreement.review.model_copy(
        update={"due": review or date(2090, 1, 1), "remind": ("P6M", "P3M", "P1M")}
    )
    agreement = SHIPPED.agreement.model_copy(update={"review": far})
    return SHIPPED.model_copy(update={"members": members, "people": people, "agreement": agreement})


def on(policy: PolicySet, day: date, keys: Mapping[str, datetime | None] | None = None) -> tuple[Renewal, ...]:
    return due(policy, keys or {}, datetime(day.year, day.month, day.day, 12, tzinfo=UTC))


def stages(found: tuple[Renewal, ...], day: date) -> list[str | None]:
    return [renewal.stage(day) for renewal in found]


IN_TWO = [(31, None), (30, "P30D"), (29, "P30D"), (8, "P30D"), (7, "P7D"), (0, "P7D"), (-1, OVER), (-99, OVER)]


@pytest.mark.parametrize(("days", "stage"), IN_TWO)
def test_r002_a_registration_has_two_stages_before_its_end_and_one_after(days: int, stage: str | None) -> None:
    """Thirty days before, seven days before, then that it is over: always the latest alone, to the member's leads."""
    policy, day = a_set(ico=LAST), LAST - timedelta(days=days)
    found = on(policy, day)
    assert stages(found, day) == ([stage] if stage else [])
    assert all(renewal.hats(policy) == KENT for renewal in found)


@pytest.mark.parametrize(("days", "stage"), IN_TWO)
def test_r069_a_contract_whose_review_is_near_is_said_to_the_leads(days: int, stage: str | None) -> None:
    """Who works on shared data under a contract is looked at by the day that the contract's entry names."""
    policy, day = a_set(contract=LAST), LAST - timedelta(days=days)
    found = on(policy, day)
    assert stages(found, day) == ([stage] if stage else [])
    assert all((renewal.kind, renewal.hats(policy), renewal.person) == ("contract", KENT, "") for renewal in found)


@pytest.mark.parametrize(
    ("day", "stage"),
    [(date(2026, 12, 14), None), (date(2026, 12, 15), "P6M"), (date(2027, 3, 15), "P3M"), (date(2027, 5, 15), "P1M"),
     (date(2027, 6, 15), "P1M"), (date(2027, 6, 16), OVER)],
)  # fmt: skip
def test_r005_a_review_is_announced_months_before_to_every_governance_lead(day: date, stage: str | None) -> None:
    """Calendar months back from its day; the whole circle is told."""
    policy = a_set(review=LAST)
    found = on(policy, day)
    assert stages(found, day) == ([stage] if stage else [])
    assert all({hat.member for hat in renewal.hats(policy)} == set(policy.member_by_id) for renewal in found)


def test_training_is_said_to_the_person_and_to_their_lead() -> None:
    """The days are those of the policy."""
    policy, day = a_set(training=LAST), LAST - timedelta(days=5)
    found = on(policy, day)
    assert [(r.kind, r.subject, r.stage(day), r.person, r.hats(policy)) for r in found] == [
        ("training", "p-kent-1", "P7D", "p-kent-1", KENT)
    ]


@pytest.mark.parametrize(
    ("days", "stage"),
    [(61, None), (60, "P60D"), (31, "P60D"), (30, "P30D"), (14, "P14D"), (7, "P7D"), (2, "P7D"), (1, "P1D"),
     (0, "P1D"), (-1, OVER)],
)  # fmt: skip
def test_a_key_that_expires_is_said_to_its_owner_and_to_their_lead(days: int, stage: str | None) -> None:
    """Sixty days before, and closer and closer; by the end that the key itself has, on London's days."""
    policy, day = a_set(own=(OLD,), recovery=NEW), LAST - timedelta(days=days)
    found = on(policy, day, {OLD.fingerprint: END, NEW.fingerprint: END})
    assert stages(found, day) == ([stage] * 2 if stage else [])
    assert [(r.kind, r.person) for r in found] == ([("key", "p-kent-1"), ("recovery", "")] if stage else [])
    assert all(renewal.hats(policy) == KENT for renewal in found)


@pytest.mark.parametrize(
    ("ends", "last"),
    [
        ({OLD.fingerprint: END, NEW.fingerprint: END + timedelta(days=300)}, LAST + timedelta(days=300)),
        ({OLD.fingerprint: END, NEW.fingerprint: None}, None),
        ({OLD.fingerprint: END}, LAST),
        ({OLD.fingerprint: None}, None),
        ({}, None),
        ({OLD.fingerprint: datetime(2027, 6, 15, 23, tzinfo=UTC)}, LAST),
        ({OLD.fingerprint: datetime(2027, 6, 15, 23, 1, tzinfo=UTC)}, LAST + timedelta(days=1)),
    ],
)
def test_an_old_key_may_end_while_another_of_its_person_lasts(
    ends: Mapping[str, datetime | None], last: date | None
) -> None:
    """Only the last one counts; a key that is unusable for another reason is no key. Midnight is London's."""
    found = [r for r in renewals(a_set(own=(OLD, NEW)), ends) if r.kind == "key"]
    assert [renewal.last for renewal in found] == ([last] if last else [])


@given(st.dates(date(2026, 1, 1), date(2029, 1, 1)))
def test_each_thing_is_said_under_a_name_of_its_own_and_a_new_date_begins_anew(day: date) -> None:
    """Once a thing; renewing it changes every name."""
    found = on(a_set(ico=LAST, training=LAST, review=LAST, contract=LAST), day)
    assert len({renewal.about for renewal in found}) == len(found)
    next_day = LAST + timedelta(1)
    later = on(a_set(ico=next_day, training=next_day, review=next_day, contract=next_day), day)
    assert not {r.about for r in found} & {r.about for r in later}


@given(st.dates(date(2026, 1, 1)), st.dates(date(2026, 1, 1)))
def test_the_stages_come_in_order_and_the_last_that_has_come_counts(last: date, day: date) -> None:
    """Whatever the day, even at the end of all dates."""
    renewal = Renewal("ico", "kent", last, ("P7D", "P30D"), "kent")
    days = [first for _, first in renewal.stages()]
    assert days == sorted(days)
    assert (renewal.stage(day) == OVER) == (day > last)
