"""Who hears of use and destruction, and when: before the use-by day, after Processed, and when it is overdue."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from server.domain.notice import Notice
from server.exchange.attested import Attested
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.flow.test_use import GONE, SOME, acknowledged
from tests.small_exchange import SmallExchange, small_exchange


@pytest.fixture
def here(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    with small_exchange(gpg_person, ssh_key) as made:
        yield made


def at(here: SmallExchange, day: str, hour: int = 12) -> None:
    here.exchange.clock.set(datetime.fromisoformat(day).replace(hour=hour, tzinfo=UTC))
    here.exchange.tick()


def told(here: SmallExchange, about: str) -> list[tuple[str, str]]:
    """(stage, to whom) of every reminder of it, in order."""
    entries = [json.loads(e.data) for e in here.exchange.evidence.entries() if e.kind == "reminder.told"]
    found = [(entry["stage"], entry["to"]) for entry in entries if entry["about"] == about]
    return [(stage, to if isinstance(to, str) else ",".join(to)) for stage, to in found]


def digest(here: SmallExchange, person: str, day: str) -> Notice:
    """The person's message of that day."""
    return next(v.notice for v in here.exchange.views.notices(person) if v.notice.thread == f"digest:{day}")


def test_r083_processed_without_destruction_reminds_and_then_tells_the_lead(here: SmallExchange) -> None:
    """Processed on Friday: the data managers on Monday, the lead on Wednesday; destroyed, and nobody any more."""
    delivery = acknowledged(here)
    at(here, "2026-12-04")
    here.exchange.use.processed("p-kent-1", delivery, SOME, via="desk")
    at(here, "2026-12-06")
    assert told(here, f"destroy:{delivery}") == []
    at(here, "2026-12-07")
    assert [stage for stage, _ in told(here, f"destroy:{delivery}")] == ["reminder"]
    assert any(b.verb == "destroyed" for b in digest(here, "p-kent-1", "2026-12-07").buttons)
    at(here, "2026-12-09")
    stages = told(here, f"destroy:{delivery}")
    assert [stage for stage, _ in stages] == ["reminder", "lead"]
    assert "g-kent" in stages[1][1] and "g-kent" not in stages[0][1]
    here.exchange.use.destroyed("p-kent-1", delivery, GONE, via="desk")
    for day in ("2026-12-10", "2026-12-11", "2026-12-14"):
        at(here, day)
    assert len(told(here, f"destroy:{delivery}")) == 2


def test_r084_overdue_is_told_on_the_first_working_day_and_every_second_after(here: SmallExchange) -> None:
    """To the data managers and the governance leads, until it is attested; the register says who was told."""
    delivery = acknowledged(here)
    for day in ("2027-01-11", "2027-01-18", "2027-01-25", "2027-01-29"):
        at(here, day)
    at(here, "2027-02-01")
    assert [s for s, _ in told(here, f"use:{delivery}")] == ["before-P21D", "before-P14D", "before-P7D", "before-P2D"]
    days = [f"2027-02-{day:02d}" for day in range(2, 9)]
    for day in days:
        at(here, day)
    late = [(stage, to) for stage, to in told(here, f"use:{delivery}") if stage.startswith("overdue")]
    assert [stage for stage, _ in late] == ["overdue-1", "overdue-2", "overdue-3"]
    assert all({"p-kent-1", "p-kent-2", "g-kent"} <= set(to.split(",")) for _, to in late)
    exchange = here.exchange
    with exchange.ground.store.reading() as session:
        register = Attested(session, exchange.policy, exchange.now()).overdue("kent")
    assert {"p-kent-1", "g-kent"} <= set(register[0].told)
    exchange.use.processed("p-kent-1", delivery, SOME, via="desk")
    exchange.use.destroyed("p-kent-1", delivery, GONE, via="desk")
    for day in ("2027-02-09", "2027-02-10", "2027-02-11"):
        at(here, day)
    assert len([s for s, _ in told(here, f"use:{delivery}") if s.startswith("overdue")]) == 3
    asked = told(here, f"destroy:{delivery}")
    assert [stage for stage, _ in asked] == ["countersign"]
    assert "g-kent" in asked[0][1] and "p-kent-1" not in asked[0][1]


def test_a_week_of_silence_is_one_message(here: SmallExchange) -> None:
    """Nobody looked from before the use-by day until a week after it: the latest stage is told, once."""
    delivery = acknowledged(here)
    at(here, "2027-01-20")
    before = len(told(here, f"use:{delivery}"))
    at(here, "2027-02-09")
    assert [stage for stage, _ in told(here, f"use:{delivery}")[before:]] == ["overdue-1"]
    assert here.count("use.overdue", delivery) == 1
    at(here, "2027-02-10")
    at(here, "2027-02-11")
    assert [stage for stage, _ in told(here, f"use:{delivery}")[before:]] == ["overdue-1", "overdue-2"]
