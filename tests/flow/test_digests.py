"""Reminders, the day's one message, and the acknowledgement chase: told once, on working days, and never a storm."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pytest
from sqlmodel import Session, col, select

from bot.conversation import Account, Buttons, Form, Reply, Words
from server.domain.audience import Hat
from server.domain.errors import Forbidden, Missing, Refused
from server.domain.notice import Notice
from server.domain.schedule import LONDON
from server.exchange import Exchange
from server.exchange.chased import Ask, Item, Planned
from server.exchange.reminders import Reminders
from server.store.duty_tables import StageRow, ToldRow
from server.store.tables import NoticeRow
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import TEMPLATES, SmallExchange, small_exchange


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


def entries(here: SmallExchange, prefix: str) -> int:
    """How many ledger entries say that somebody was reminded of a matter of that kind."""
    found = (e.data for e in here.exchange.evidence.entries() if e.kind == "reminder.told")
    return sum(json.loads(data)["about"].startswith(f"{prefix}:") for data in found)


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
    overdue = [item.label for item in here.exchange.digests.today("g-kent") if item.group == "overdue"]
    assert "D-2026-000001 from Essex" in overdue
    assert digests(here, "g-kent")["2026-12-11"].text.startswith("Overdue: ")


def test_a_governance_lead_reads_what_is_late_without_buttons_that_are_not_theirs(here: SmallExchange) -> None:
    """Designated persons and data managers say that there is nothing to send, or that it cannot be sent."""
    here.exchange.tick()
    for day in range(2, 12):
        until(here, f"2026-12-{day:02d} 11:00")
    verbs = {
        who: [{button.verb for button in item.buttons} for item in here.exchange.digests.today(who) if _owed(item)]
        for who in ("g-essex", "p-essex-1")
    }
    assert len(verbs["g-essex"]) >= 1, "what is late has come to them"
    assert not {"nil", "cannot", "done"} & set().union(*verbs["g-essex"])
    assert {"nil", "cannot"} <= set().union(*verbs["p-essex-1"])


def _owed(item: Item) -> bool:
    return item.group == "overdue" and item.about.startswith("owed:")


def test_what_is_done_leaves_the_message_by_itself(here: SmallExchange) -> None:
    """The digest names the delivery and its place; acknowledged, it says what comes next."""
    delivery = here.arrive()
    until(here, "2026-12-03 09:29")
    assert digests(here, "p-kent-2") == {}
    until(here, "2026-12-03 09:31")
    first = digests(here, "p-kent-2")["2026-12-03"]
    assert f"To acknowledge: {delivery} from Essex" in first.text
    assert any("inbox/post16-destinations/2026-11/essex/" in value for _, value in first.facts)
    assert first.facts[-1][0] == "Ledger"
    here.collect(delivery)
    here.exchange.tick()
    pressed = [(b.verb, b.subject) for b in digests(here, "p-kent-2")["2026-12-03"].buttons]
    assert ("acknowledge", delivery) in pressed
    here.exchange.acknowledgement.acknowledge("p-kent-1", delivery, via="test")
    here.exchange.tick()
    assert digests(here, "p-kent-2")["2026-12-03"].text.endswith(
        f"To destroy: {delivery} from Essex: Post-16 destinations, Nov 2026, by Mon 1 Feb 2027"
    )


def test_a_week_of_downtime_is_one_message_each_and_nothing_twice(here: SmallExchange) -> None:
    """Of the stages that have come meanwhile only the latest of each matter is told."""
    first, second = here.arrive(), here.arrive()
    until(here, "2026-12-10 10:00")
    for person in ("p-kent-1", "p-kent-2", "p-essex-1", "p-essex-2"):
        assert [day for day in digests(here, person) if day > "2026-12-01"] == ["2026-12-10"]
    managers = ("p-kent-1", "p-kent-2")
    assert told(here, "ack") == [("2026-12-10", "chase-3", who) for who in managers for _ in (first, second)]
    with here.exchange.ground.store.reading() as session:
        rows = session.exec(select(StageRow).where(StageRow.about == f"ack:{first}")).all()
    assert {row.stage: row.outcome for row in rows} == {
        "chase-1": "overtaken", "chase-2": "overtaken", "chase-3": "told", "lead": None,
    }  # fmt: skip
    assert (entries(here, "ack"), entries(here, "uncollected")) == (2, 2)


@pytest.mark.parametrize("moment", ["2026-12-05 11:00", "2026-12-24 18:30", "2026-12-28 10:00", "2026-12-03 08:59"])
def test_no_reminder_fires_in_quiet_hours_or_on_a_bank_holiday(here: SmallExchange, moment: str) -> None:
    """It waits for nine o'clock of the next working day."""
    until(here, "2026-12-02 17:00")
    here.arrive()
    before = digests(here, "p-kent-1")
    here.exchange.clock.set(at(moment))
    here.exchange.refresh()
    here.exchange.reminders.remind_due()
    here.exchange.digests.write_due()
    assert digests(here, "p-kent-1") == before


def own_messages(here: SmallExchange, person: str, day: str) -> int:
    """How many messages of their own the person gets on that day in London, that of the day included."""
    with here.exchange.ground.store.reading() as session:
        rows = session.exec(select(NoticeRow).where(NoticeRow.person == person, NoticeRow.joins == "")).all()
    return sum(row.send_at is not None and row.send_at.astimezone(LONDON).date().isoformat() == day for row in rows)


def test_a_burst_is_a_few_messages_and_the_last_edits_itself(here: SmallExchange) -> None:
    """Of one kind three have a message of their own, of all kinds five; the others are told in the day's one.

    Each stays on the desk as it is.
    """
    for _ in range(9):
        here.send()
    here.release()
    for _ in range(2):
        here.exchange.tick()
    assert own_messages(here, "p-kent-1", "2026-12-01") == 4
    digest = digests(here, "p-kent-1")["2026-12-01"]
    assert sum(label == "Also" for label, _ in digest.facts) + sum(label == "And" for label, _ in digest.facts) >= 2
    kinds = [view.notice.kind for view in here.exchange.views.notices("p-kent-1")]
    assert kinds.count("delivery") == 9
    for exchange in ("movers", "september-guarantee", "trial"):
        here.put("p-essex-1", f"{exchange}/2026-11/kent/NIL", b"")
    here.exchange.tick()
    assert own_messages(here, "p-kent-1", "2026-12-01") == 6


def test_what_joined_yesterdays_message_and_changes_today_is_news_again(here: SmallExchange) -> None:
    """A rejection is not hidden in a message that nobody edits any more."""
    consignments = [here.send() for _ in range(8)]
    here.release()
    here.exchange.tick()
    with here.exchange.ground.store.reading() as session:
        joined = session.exec(
            select(NoticeRow).where(NoticeRow.person == "p-essex-1", col(NoticeRow.joins).startswith("digest:"))
        ).all()
    threads = {row.thread for row in joined}
    last = consignments[-1]
    assert f"consignment:{last}" in threads
    until(here, "2026-12-02 10:00")
    here.exchange.acknowledgement.problem("p-kent-1", here.received(last)[0], "rejected", "wrong period", via="test")
    here.exchange.tick()
    with here.exchange.ground.store.reading() as session:
        row = session.exec(select(NoticeRow).where(NoticeRow.thread == f"consignment:{last}")).one()
    assert (row.joins, row.send_at is not None) == ("", True)


def test_a_delivery_at_night_waits_for_the_morning_and_its_senders_answer_does_not(here: SmallExchange) -> None:
    """The sender is told at once what became of the upload; the recipient at eight."""
    here.exchange.clock.set(at("2026-12-01 20:00"))
    delivery = here.arrive()
    here.exchange.tick()
    with here.exchange.ground.store.reading() as session:
        rows = {(r.person, r.thread.partition(":")[0]): r.send_at for r in session.exec(select(NoticeRow)).all()}
    sent, received = rows["p-essex-1", "consignment"], rows["p-kent-1", "delivery"]
    assert sent is not None
    assert sent < at("2026-12-01 20:05")
    assert received == at("2026-12-02 08:00")
    here.exchange.people.link_chat("slack", "T1", "U-kent", here.code("p-kent-1"))
    here.exchange.acknowledgement.problem("p-kent-2", delivery, "queried", "which month is it", via="test")
    assert here.exchange.outbox.claim("slack", real=1.0) == ()
    here.exchange.clock.set(at("2026-12-02 08:00"))
    here.exchange.refresh()
    assert [errand.notice.kind for errand in here.exchange.outbox.claim("slack", real=100.0)] == ["delivery"]


# ---------------------------------------------------------------- away


def test_r093_the_delegate_receives_while_a_data_manager_is_away(here: SmallExchange) -> None:
    """The cover is told of what arrives and of what waits; on the return everything left comes back at once."""
    said = here.exchange.absences.away(
        "p-kent-1", date(2026, 12, 2), date(2026, 12, 8), "p-kent-2", by="p-kent-1", via="test"
    )
    assert said.sentence.startswith("Kent") is False
    assert "p-kent-2 stands in" in said.sentence
    until(here, "2026-12-02 10:00")
    here.arrive()
    until(here, "2026-12-04 10:00")
    assert told(here, "ack") == [("2026-12-04", "chase-1", "p-kent-2")]
    assert told(here, "away") == [("2026-12-02", "begins", "p-kent-2")]
    assert list(digests(here, "p-kent-1")) == ["2026-12-01"]
    until(here, "2026-12-09 10:00")
    assert ("2026-12-09", "ends", "p-kent-1") in told(here, "away")
    assert list(digests(here, "p-kent-1")) == ["2026-12-01", "2026-12-09"]


def test_r093_with_nobody_there_the_governance_lead_is_told_of_a_delivery(here: SmallExchange) -> None:
    """Both data managers away without cover: the leads get its message, without buttons that are not theirs."""
    for person in ("p-kent-1", "p-kent-2"):
        here.exchange.absences.away(person, date(2026, 12, 1), date(2026, 12, 8), by="g-kent", via="test")
    delivery = here.arrive()
    notices = [v.notice for v in here.exchange.views.notices("g-kent") if v.notice.thread == f"delivery:{delivery}"]
    assert [notice.buttons for notice in notices] == [()]
    until(here, "2026-12-03 10:00")
    assert [who for _, _, who in told(here, "ack")] == ["g-kent", "g-kent-2"]
    for person in ("g-kent", "g-kent-2"):
        here.exchange.absences.away(person, date(2026, 12, 4), date(2026, 12, 8), by="g-kent", via="test")
    until(here, "2026-12-07 10:00")
    assert told(here, "ack")[-1] == ("2026-12-07", "chase-2", "team:kent")
    assert "To acknowledge" in digests(here, "team:kent")["2026-12-07"].text
    assert digests(here, "team:kent")["2026-12-07"].buttons == ()


@dataclass(frozen=True)
class Stranger:
    """A life cycle that asks a member whom the policy does not have."""

    due_at: datetime
    prefixes: frozenset[str] = frozenset({"owed"})

    def plan(self, session: Session, now: datetime) -> list[Planned]:
        return [Planned("owed:movers:2026-11:nowhere", "opens", self.due_at)]

    def ask(self, session: Session, about: str, stage: str, now: datetime) -> Ask:
        return Ask((Hat("nowhere", "designated_person"),))

    def items(self, session: Session, hat: Hat, now: datetime) -> list[Item]:
        return []


def test_a_stage_that_nobody_can_be_told_is_a_finding_once(here: SmallExchange) -> None:
    """The stage is done with, nobody is told, and somebody has to look at the policy set."""
    ground, findings = here.exchange.ground, here.exchange.findings
    reminders = Reminders(ground, (Stranger(at("2026-12-01 09:00")),), findings)
    for _ in range(3):
        assert reminders.remind_due() == 0
    (found,) = [one for one in findings.open() if (one.code, one.subject) == ("NOBODY_TO_TELL", "nowhere")]
    assert "policy set" in found.words
    assert told(here, "owed:movers:2026-11:nowhere") == []


def test_an_absence_is_replaced_ended_and_never_said_twice(here: SmallExchange) -> None:
    """The same again changes nothing; other days take its place; back ends it, and a second back says so."""
    absences = here.exchange.absences
    first, last = date(2026, 12, 21), date(2027, 1, 4)
    assert absences.away("p-kent-1", first, last, by="p-kent-1", via="test").changed
    assert not absences.away("p-kent-1", first, last, by="p-kent-1", via="test").changed
    assert absences.away("p-kent-1", first, last, "p-kent-2", by="g-kent", via="test").changed
    assert [(view.person, view.cover) for view in absences.of_member("p-kent-2")] == [("p-kent-1", "p-kent-2")]
    assert absences.of_member("p-essex-1") == ()
    assert absences.back("p-kent-1", by="p-kent-1", via="test").changed
    assert not absences.back("p-kent-1", by="p-kent-1", via="test").changed
    assert here.kinds().count("person.away") == 2
    assert here.kinds().count("person.back") == 1


def test_who_stood_in_hears_that_other_days_took_their_place(here: SmallExchange) -> None:
    """The whole absence is replaced, and the sentence says what it was."""
    absences = here.exchange.absences
    absences.away("p-kent-1", date(2026, 12, 1), date(2026, 12, 31), "p-kent-2", by="p-kent-1", via="test")
    said = absences.away("p-kent-1", date(2026, 12, 20), date(2026, 12, 31), by="p-kent-1", via="test").sentence
    assert said.endswith("That was: away from Tue 1 Dec 2026 to Thu 31 Dec 2026, p-kent-2 stands in.")
    (notice,) = [notice for notice in here.told("p-kent-2") if notice.kind == "away"]
    assert notice.text.strip().endswith("You do not stand in for those any more.")


@pytest.mark.parametrize(
    ("person", "first", "last", "cover", "by", "error", "words"),
    [
        ("p-kent-1", "2026-12-21", "2026-12-20", None, "p-kent-1", Refused, "before the first"),
        ("p-kent-1", "2026-11-02", "2026-11-20", None, "p-kent-1", Refused, "over"),
        ("p-kent-1", "2026-12-21", "2028-01-20", None, "p-kent-1", Refused, "more than a year"),
        ("p-kent-1", "9999-12-31", "9999-12-31", None, "p-kent-1", Refused, "too far ahead"),
        ("p-kent-1", "2026-12-21", "2027-01-04", "p-essex-1", "p-kent-1", Refused, "Nobody else"),
        ("p-kent-1", "2026-12-21", "2027-01-04", "p-kent-1", "p-kent-1", Refused, "Nobody else"),
        ("p-kent-1", "2026-12-21", "2027-01-04", "g-kent", "p-kent-1", Refused, "none of the roles"),
        ("p-kent-1", "2026-12-21", "2027-01-04", None, "p-kent-2", Forbidden, "governance lead"),
        ("p-kent-1", "2026-12-21", "2027-01-04", None, "p-essex-1", Missing, "no such person"),
        ("p-nobody", "2026-12-21", "2027-01-04", None, "p-kent-1", Missing, "no such person"),
    ],
)
def test_what_cannot_be_an_absence_is_refused_with_what_to_do(
    here: SmallExchange, person: str, first: str, last: str, cover: str | None, by: str, error: type[Exception],
    words: str,
) -> None:  # fmt: skip
    """Days the wrong way round or over, somebody who cannot stand in, somebody else's absence."""
    days = (date.fromisoformat(first), date.fromisoformat(last))
    with pytest.raises(error, match=words):
        here.exchange.absences.away(person, *days, cover, by=by, via="test")
    assert "person.away" not in here.kinds()


def test_somebody_who_is_away_themselves_cannot_stand_in(here: SmallExchange) -> None:
    """The days are named, so that others can be chosen."""
    days = (date(2026, 12, 21), date(2027, 1, 4))
    here.exchange.absences.away("p-kent-2", *days, by="p-kent-2", via="test")
    with pytest.raises(Refused, match="Mon 21 Dec 2026"):
        here.exchange.absences.away("p-kent-1", *days, "p-kent-2", by="p-kent-1", via="test")


def test_an_absence_is_said_by_a_file_in_attest(here: SmallExchange) -> None:
    """The name says the days and who stands in; back.txt ends it."""
    attest, visitor = here.exchange.attest, here.visitor("p-kent-1")
    assert "stands in" in attest(visitor, b"away_2026-12-21_2027-01-04_p-kent-2.txt", b"")
    assert "is back" in attest(visitor, b"BACK.TXT", b"")
    with pytest.raises(Refused, match="2026-12-21"):
        attest(visitor, b"away_2026-13-21_2027-01-04.txt", b"")


# ---------------------------------------------------------------- later, please


def test_a_reminder_is_put_off_to_the_next_working_day_and_not_for_ever(here: SmallExchange) -> None:
    """Twice in a row by the policy; then it stays. What is asked again on the same day changes nothing."""
    delivery = here.arrive()
    here.exchange.snoozes.snooze("p-kent-2", delivery, via="test")
    again = here.exchange.snoozes.snooze("p-kent-2", delivery, via="test")
    assert not again.changed
    assert "already, until Wed 2 Dec 2026" in again.sentence
    assert f"ack:{delivery}" not in [item.about for item in here.exchange.digests.today("p-kent-2")]
    assert f"ack:{delivery}" in [item.about for item in here.exchange.digests.today("p-kent-1")]
    until(here, "2026-12-02 09:00")
    assert digests(here, "p-kent-2")["2026-12-02"].text.count("To acknowledge") == 1
    assert here.exchange.snoozes.snooze("p-kent-2", delivery, via="test").changed
    until(here, "2026-12-03 09:01")
    with pytest.raises(Refused, match="cannot wait until Fri 4 Dec 2026: it is due 09:30"):
        here.exchange.snoozes.snooze("p-kent-2", delivery, via="test")
    with pytest.raises(Missing):
        here.exchange.snoozes.snooze("p-kent-2", "D-2026-999999", via="test")


def test_what_is_overdue_or_escalated_cannot_be_put_off(here: SmallExchange) -> None:
    """The lead who is told after three chases cannot ask to hear of it later."""
    delivery = here.arrive()
    for day in range(2, 12):
        until(here, f"2026-12-{day:02d} 11:00")
    assert digests(here, "g-kent")["2026-12-11"].text.startswith("Overdue")
    with pytest.raises(Refused, match="escalated"):
        here.exchange.snoozes.snooze("g-kent", delivery, via="test")
    overdue = [item for item in here.exchange.digests.today("p-kent-1") if item.group == "overdue"]
    assert overdue and not [button for item in overdue for button in item.buttons if button.verb == "snooze"]


def test_the_buttons_of_a_message_name_their_matter(here: SmallExchange) -> None:
    """A chat shows them below all lines, away from the line that each belongs to."""
    first = [button.label for button in digests(here, "p-kent-1")["2026-12-01"].buttons]
    assert first[:2] == ["Nothing to send: Movers, Nov 2026", "Nothing to send: Post-16 destinations, Nov 2026"]
    until(here, "2026-12-10 10:00")
    leads = [button.label for button in digests(here, "g-kent")["2026-12-10"].buttons]
    assert leads[:2] == ["Give it: physical security", "Give it: encrypted devices"]


# ---------------------------------------------------------------- nudges


def test_a_sender_nudges_once_a_working_day(here: SmallExchange) -> None:
    """The recipient's data managers hear of it in their message of the day, and who asks."""
    delivery = here.arrive()
    nudged = here.exchange.nudges.nudge("p-essex-2", delivery, via="test")
    assert nudged.changed
    assert not here.exchange.nudges.nudge("p-essex-1", delivery, via="test").changed
    here.exchange.tick()
    text = dict(digests(here, "p-kent-1")["2026-12-01"].facts)[f"{delivery} from Essex"]
    assert "Essex asks for it today" in text
    assert told(here, "nudge") == [("2026-12-01", "nudge-2026-12-01", who) for who in ("p-kent-1", "p-kent-2")]
    here.exchange.clock.set(at("2026-12-04 19:00"))
    assert "on Mon 7 Dec 2026" in here.exchange.nudges.nudge("p-essex-1", delivery, via="test").sentence
    assert here.count("delivery.nudged", delivery) == 2


def test_there_is_nothing_to_nudge_for_once_it_is_acknowledged(here: SmallExchange) -> None:
    """The sentence says where it stands; somebody else's delivery is not there at all."""
    delivery = here.arrive()
    with pytest.raises(Missing):
        here.exchange.nudges.nudge("p-medway-1", delivery, via="test")
    here.collect(delivery)
    here.exchange.acknowledgement.acknowledge("p-kent-1", delivery, via="test")
    with pytest.raises(Refused, match="acknowledged by p-kent-1"):
        here.exchange.nudges.nudge("p-essex-1", delivery, via="test")


# ---------------------------------------------------------------- once, whoever looks


@pytest.mark.parametrize("here", ["sqlite", "postgresql"], indirect=True)
def test_two_exchanges_on_one_database_tell_each_stage_once(here: SmallExchange) -> None:
    """A hundred looks of two processes at the same time: one entry a stage, one message a person."""
    for _ in range(3):
        here.arrive()
    ground = here.exchange.ground
    other = Exchange.open(ground.data, database_url=ground.store.url, templates=TEMPLATES)
    try:
        here.exchange.clock.set(at("2026-12-03 10:00"))
        ready = threading.Barrier(2)

        def looking(exchange: Exchange) -> None:
            exchange.refresh()
            ready.wait()
            for _ in range(50):
                exchange.reminders.remind_due()
                exchange.pacing.pace()
                exchange.digests.write_due()

        both = [threading.Thread(target=looking, args=(exchange,)) for exchange in (here.exchange, other)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
    finally:
        other.close()
    assert entries(here, "ack") == 3
    assert len(told(here, "ack")) == 6
    with ground.store.reading() as session:
        rows = session.exec(select(NoticeRow).where(col(NoticeRow.thread).startswith("digest:"))).all()
    found = sorted((row.person, row.version) for row in rows if row.person == "p-kent-2")
    assert found == [("p-kent-2", 1)]


def test_a_process_that_died_between_telling_and_writing_writes_after_its_restart(here: SmallExchange) -> None:
    """The stage is told once; the message of the day is written by whoever looks next."""
    here.arrive()
    here.exchange.clock.set(at("2026-12-03 10:00"))
    here.exchange.refresh()
    assert here.exchange.reminders.remind_due() > 0
    ground = here.exchange.ground
    restarted = Exchange.open(ground.data, database_url=ground.store.url, templates=TEMPLATES)
    try:
        restarted.refresh()
        restarted.tick()
        assert list(digests(here, "p-kent-2")) == ["2026-12-03"]
        assert entries(here, "ack") == 1
    finally:
        restarted.close()


def test_a_message_that_was_never_written_is_made_up_for_the_next_day(here: SmallExchange) -> None:
    """The exchange ended after telling and came back a day later: what waits is in that day's message, once."""
    here.arrive()
    here.exchange.clock.set(at("2026-12-03 10:00"))
    here.exchange.refresh()
    assert here.exchange.reminders.remind_due() > 0
    until(here, "2026-12-04 10:00")
    assert [day for day in digests(here, "p-kent-2") if day > "2026-12-01"] == ["2026-12-04"]


# ---------------------------------------------------------------- where people read it


def test_the_mailbox_and_the_chat_show_the_same_list(here: SmallExchange) -> None:
    """DUE.txt has the items of the day's message with their exact place; `due` in chat too."""
    delivery = here.arrive()
    papers = {paper.name: paper.content().decode() for paper in here.exchange.views.root(here.visitor("p-kent-1"))}
    place = "inbox/post16-destinations/2026-11/essex/"
    assert f"To acknowledge: {delivery} from Essex" in papers["DUE.txt"]
    assert place in papers["DUE.txt"]
    account = Account("slack", "T1", "U-kent")
    here.exchange.people.link_chat("slack", "T1", "U-kent", here.code("p-kent-1"))
    words = Words(here.exchange)
    assert place in words.say(account, "due").text
    assert "p-kent-2 stands in" in words.say(account, "away 2026-12-21 2027-01-04 p-kent-2").text
    assert "is back" in words.say(account, "back").text
    assert "year-month-day" in words.say(account, "away 21.12. 4.1.").text
    assert "Say from which day" in words.say(account, "away").text
    assert "no such delivery" in words.say(account, f"nudge {delivery}").text


def test_buttons_put_off_nudge_and_say_who_is_away(here: SmallExchange) -> None:
    """Each is one press or one form; what the form shows are the colleagues who can stand in."""
    delivery = here.arrive()
    buttons = Buttons(here.exchange)
    later = buttons.press("p-kent-1", "snooze", "all", via="desk")
    assert isinstance(later, Reply)
    assert later.changed
    nudged = buttons.press("p-essex-1", "nudge", delivery, via="desk")
    assert isinstance(nudged, Reply)
    assert nudged.changed
    form = buttons.press("p-kent-1", "away", "p-kent-1", via="desk")
    assert isinstance(form, Form)
    assert [choice.value for choice in form.fields[-1].choices] == ["p-kent-2", "-"]
    answers = {"first": "2026-12-21", "last": "2027-01-04", "cover": "p-kent-2"}
    said = buttons.press("p-kent-1", "away", "p-kent-1", answers, via="desk")
    assert isinstance(said, Reply)
    assert said.changed
    back = buttons.press("p-kent-1", "back", "p-kent-1", via="desk")
    assert isinstance(back, Reply)
    assert back.changed


@pytest.mark.parametrize("person", ["p-essex-1", "p-kent-1", "g-kent"])
def test_every_button_of_what_waits_works(here: SmallExchange, person: str) -> None:
    """It acts or asks; none is said to be no longer in use, and "Later" puts its one matter off."""
    here.arrive()
    until(here, "2026-12-02 10:00")
    buttons, digests_now = Buttons(here.exchange), here.exchange.digests.today
    shown = [button for item in digests_now(person) for button in item.buttons]
    answers = [buttons.press(person, button.verb, button.subject, via="desk") for button in shown]
    assert shown and not [
        answer for answer in answers if isinstance(answer, Reply) and "no longer in use" in answer.text
    ]
    later = [answer for button, answer in zip(shown, answers, strict=True) if button.verb == "snooze"]
    assert all(isinstance(answer, Reply) and answer.changed for answer in later)


def test_a_sender_hears_again_before_the_use_by_day_and_once_when_the_copy_goes(here: SmallExchange) -> None:
    """After five working days, two working days before the end, and when what nobody collected is gone."""
    delivery = here.arrive()
    for day in ("2026-12-08", "2027-01-28", "2027-02-02", "2027-02-03"):
        until(here, f"{day} 10:00")
    essex = [(day, stage) for day, stage, who in told(here, "uncollected") if who == "p-essex-1"]
    assert essex == [
        ("2026-12-08", "not-collected"), ("2027-01-28", "not-collected-use-by"), ("2027-02-02", "gone"),
    ]  # fmt: skip
    labels = {item.label: item.words for item in here.exchange.digests.today("p-essex-1")}
    assert "its time here is over" in labels[f"{delivery} to Kent"]
