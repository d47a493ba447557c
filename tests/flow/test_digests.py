"""Reminders, the day's one message, and the acknowledgement chase: told once, on working days, and never a storm."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlmodel import select

from server.domain.notice import Notice
from server.domain.schedule import LONDON
from server.store.duty_tables import StageRow, ToldRow
from server.store.tables import NoticeRow
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import SmallExchange, small_exchange


@pytest.fixture
def here(request: pytest.FixtureRequest, gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    url = request.getfixturevalue("pg_url") if getattr(request, "param", "") == "postgresql" else ""
    with small_exchange(gpg_person, ssh_key, url) as made:
        yield made


def at(text: str) -> datetime:
    """A moment in London: 2026-12-03 09:30."""
    return datetime.fromisoformat(text).replace(tzinfo=LONDON).astimezone(UTC)


def until(here: SmallExchange, moment: str) -> None:
    """The clock moves there, and everything whose time has come happens."""
    here.exchange.clock.set(at(moment))
    here.exchange.refresh()
    here.exchange.tick()


def digests(here: SmallExchange, person: str) -> dict[str, Notice]:
    """{day: the message} of one person."""
    with here.exchange.ground.store.reading() as session:
        rows = session.exec(select(NoticeRow).where(NoticeRow.person == person).order_by(NoticeRow.thread)).all()
    return {r.thread.partition(":")[2]: Notice.from_json(r.body) for r in rows if r.thread.startswith("digest:")}


def told(here: SmallExchange, prefix: str) -> list[tuple[str, str, str]]:
    """(day, stage, person) of everything that was told about matters of that kind, in order."""
    with here.exchange.ground.store.reading() as session:
        stages = {row.id: row for row in session.exec(select(StageRow)).all()}
        rows = session.exec(select(ToldRow)).all()
    found = ((row.day, stages[row.stage], row.person) for row in rows)
    return sorted((day, stage.stage, who) for day, stage, who in found if stage.about.startswith(f"{prefix}:"))


# ---------------------------------------------------------------- the acknowledgement chase


def test_an_acknowledgement_is_chased_three_times_and_then_escalated(here: SmallExchange) -> None:
    """After 2, 4 and 6 working days the data managers, after 8 the governance leads; a weekend counts for nothing."""
    here.arrive()
    for day in range(2, 20):
        until(here, f"2026-12-{day:02d} 11:00")
    managers = ["p-kent-1", "p-kent-2"]
    assert told(here, "ack") == [
        *(("2026-12-03", "chase-1", who) for who in managers),
        *(("2026-12-07", "chase-2", who) for who in managers),
        *(("2026-12-09", "chase-3", who) for who in managers),
        *(("2026-12-11", "lead", who) for who in ("g-kent", "g-kent-2")),
    ]
    assert told(here, "uncollected") == [("2026-12-08", "not-collected", who) for who in ("p-essex-1", "p-essex-2")]
    text = digests(here, "g-kent")["2026-12-11"].text
    assert text.startswith("Overdue: D-2026-000001 from Essex")


def test_what_is_done_leaves_the_message_by_itself(here: SmallExchange) -> None:
    """The digest names the delivery and its place; acknowledged, it says what comes next."""
    delivery = here.arrive()
    until(here, "2026-12-03 09:29")
    assert digests(here, "p-kent-1") == {}
    until(here, "2026-12-03 09:31")
    first = digests(here, "p-kent-1")["2026-12-03"]
    assert first.text.startswith(f"To acknowledge: {delivery} from Essex")
    assert any("inbox/post16-destinations/2026-11/essex/" in value for _, value in first.facts)
    assert first.facts[-1][0] == "Ledger"
    here.collect(delivery)
    here.exchange.tick()
    (acknowledge, *_) = digests(here, "p-kent-1")["2026-12-03"].buttons
    assert (acknowledge.verb, acknowledge.subject) == ("acknowledge", delivery)
    here.exchange.acknowledgement.acknowledge("p-kent-2", delivery, via="test")
    here.exchange.tick()
    assert digests(here, "p-kent-1")["2026-12-03"].text.startswith(f"To destroy: {delivery} from Essex")
