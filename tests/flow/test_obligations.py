"""What is owed: made ahead, answered by what is sent or said, late or blocked for good when its time has come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta

import pytest
from sqlmodel import col, select

from server.domain.audience import Hat
from server.domain.errors import Forbidden, Missing, Refused
from server.domain.obligation import Answer, Obligation, Standing, standing
from server.domain.schedule import LONDON
from server.exchange import Exchange
from server.exchange.obligation_rows import obligation_of
from server.store.duty_tables import ObligationRow
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import TEMPLATES, SmallExchange, policy_files, put_in_force, small_exchange

POST16, PERIOD = "post16-destinations", "2026-11"
DUE = datetime(2026, 12, 7, 17, 0, tzinfo=LONDON)


@pytest.fixture
def here(request: pytest.FixtureRequest, gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    url = request.getfixturevalue("pg_url") if getattr(request, "param", "") == "postgresql" else ""
    with small_exchange(gpg_person, ssh_key, url) as made:
        made.exchange.obligations.make()
        yield made


def rows(here: SmallExchange, **wanted: str) -> list[ObligationRow]:
    """Rows with these values."""
    query = select(ObligationRow)
    for name, value in wanted.items():
        query = query.where(getattr(ObligationRow, name) == value)
    with here.exchange.ground.store.reading() as session:
        return list(session.exec(query.order_by(col(ObligationRow.due_at), col(ObligationRow.id))).all())


def owed(here: SmallExchange, recipient: str = "kent", *, sender: str = "essex", exchange: str = POST16) -> Obligation:
    """What Essex owes Kent for November."""
    (row,) = rows(here, exchange=exchange, period=PERIOD, sender=sender, recipient=recipient)
    return obligation_of(row)


def stands(here: SmallExchange, recipient: str = "kent", **which: str) -> Standing:
    return standing(owed(here, recipient, **which), here.exchange.now())


def later(here: SmallExchange, moment: datetime) -> None:
    """It is that moment, and the exchange looks."""
    here.exchange.clock.set(moment)
    here.exchange.tick()


# ---------------------------------------------------------------- made


def test_r024_every_directed_pair_owes_something_those_that_are_not_ready_included(here: SmallExchange) -> None:
    """Nine members, 72 pairs, for every period to the horizon; each once, however often it is looked at."""
    found = rows(here, exchange=POST16, period=PERIOD)
    assert len({(row.sender, row.recipient) for row in found}) == len(found) == 72
    assert {row.due_at for row in found} == {DUE}
    assert any("brighton-hove" in (row.sender, row.recipient) for row in found)
    months = {row.period for row in rows(here, exchange=POST16)}
    assert months >= {"2026-11", "2027-11"}
    before = len(rows(here))
    assert here.exchange.obligations.make() == 0
    here.exchange.obligations._making._made = None
    assert here.exchange.obligations.make() == 0
    assert len(rows(here)) == before


def test_r114_only_essex_and_thurrock_owe_each_other_year_14(here: SmallExchange) -> None:
    """Exactly the two directed pairs; Kent neither owes nor sees it, and there is no folder for it."""
    found = rows(here, exchange="year14-destinations", period=PERIOD)
    assert {(row.sender, row.recipient) for row in found} == {("essex", "thurrock"), ("thurrock", "essex")}
    with pytest.raises(Missing):
        here.exchange.obligations.nil("p-kent-1", "year14-destinations", PERIOD, via="test")
    assert "year14-destinations" not in here.exchange.views.outbox_exchanges(here.visitor("p-kent-1"))


def test_a_set_is_made_fast(here: SmallExchange) -> None:
    """Some three thousand rows in a second or two, on a slow machine."""
    assert len(rows(here)) > 2500
    with here.exchange.ground.transaction() as tx:
        for row in tx.session.exec(select(ObligationRow)).all():
            tx.session.delete(row)
    here.exchange.obligations._making._made = None
    began = time.monotonic()
    assert here.exchange.obligations.make() > 2500
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("here", ["sqlite", "postgresql"], indirect=True)
def test_two_servers_make_and_close_everything_once(here: SmallExchange) -> None:
    """Both look at the same moment; there is one row a pair, and one entry for what was made and what was closed."""
    ground = here.exchange.ground
    with ground.transaction() as tx:
        for row in tx.session.exec(select(ObligationRow)).all():
            tx.session.delete(row)
    here.exchange.obligations._making._made = None
    here.exchange.clock.set(DUE - timedelta(minutes=1))
    other = Exchange.open(ground.data, database_url=ground.store.url, templates=TEMPLATES)
    before = here.kinds().count("obligations.made")
    try:
        _both(here.exchange.obligations.make, other.obligations.make)
        here.exchange.clock.set(DUE + timedelta(minutes=1))
        other.refresh()
        _both(here.exchange.obligations.close_due, other.obligations.close_due)
    finally:
        other.ground.store.close()
    assert len(rows(here, exchange=POST16, period=PERIOD)) == 72
    assert here.kinds().count("obligations.made") == before + 4
    assert here.kinds().count("obligations.closed") == 2


def _both(*acts: Callable[[], object]) -> None:
    """At the same moment, each in a thread of its own."""
    ready = threading.Barrier(len(acts))

    def run(act: Callable[[], object]) -> None:
        ready.wait()
        act()

    running = [threading.Thread(target=run, args=(act,)) for act in acts]
    for one in running:
        one.start()
    for one in running:
        one.join()


# ---------------------------------------------------------------- answered


def test_a_file_answers_it_when_it_was_received_and_not_when_it_is_released(here: SmallExchange) -> None:
    """Put a minute before the due time and released after it: sent, and not late."""
    later(here, DUE - timedelta(minutes=1))
    here.send()
    assert stands(here) is Standing.WAITING
    later(here, DUE + timedelta(minutes=5))
    assert stands(here) is Standing.SENT
    assert here.kinds().count("obligation.met") == 1


def test_late_is_late_even_when_it_is_met(here: SmallExchange) -> None:
    """And a newer file does not change that."""
    later(here, DUE + timedelta(seconds=1))
    assert stands(here) is Standing.LATE
    here.send(name="november.csv", rows=3)
    here.release()
    assert stands(here) is Standing.SENT_LATE
    first = owed(here).met_at
    here.send(name="november.csv", rows=4)
    here.release()
    assert stands(here) is Standing.SENT_LATE
    assert owed(here).met_at == first
    assert here.kinds().count("obligation.met") == 1


def test_a_newer_file_after_the_due_time_does_not_make_it_late(here: SmallExchange) -> None:
    """It was met by the first."""
    here.send(name="november.csv", rows=3)
    here.release()
    later(here, DUE + timedelta(days=1))
    here.send(name="november.csv", rows=4)
    here.release()
    assert stands(here) is Standing.SENT


def test_a_recall_opens_it_again_and_a_nil_return_answers_it(here: SmallExchange) -> None:
    """Nothing is there, then there is nothing to send."""
    delivery = here.arrive()
    assert stands(here) is Standing.SENT
    here.exchange.delivery.recall("p-essex-1", delivery, via="test")
    assert stands(here) is Standing.DUE
    assert here.kinds().count("obligation.reopened") == 1
    said = here.exchange.obligations.nil("p-essex-2", POST16, PERIOD, "kent", via="test")
    assert said.changed
    assert stands(here) is Standing.NIL
    again = here.exchange.obligations.nil("p-essex-1", POST16, PERIOD, "kent", via="test")
    assert not again.changed
    assert "p-essex-2 said so already" in again.sentence


def test_a_rejected_file_opens_it_again(here: SmallExchange) -> None:
    """Send again: it is due as before."""
    delivery = here.arrive()
    here.collect(delivery)
    here.exchange.acknowledgement.problem("p-kent-2", delivery, "rejected", "wrong month", via="test")
    assert stands(here) is Standing.DUE


def test_the_nil_file_in_the_period_s_folder_answers_all(here: SmallExchange) -> None:
    """Every member that it can be said to; Brighton and Hove is not ready and is not told."""
    here.put("p-essex-1", f"{POST16}/{PERIOD}/NIL", b"")
    assert [stands(here, to) for to in ("kent", "medway", "thurrock")] == [Standing.NIL] * 3
    assert owed(here, "brighton-hove").answer is Answer.NONE


def test_cannot_send_because_ends_it_with_a_reason_without_personal_data(here: SmallExchange) -> None:
    """To all that wait, or to one; the recipient sees it in what it expects."""
    verbs = here.exchange.obligations
    with pytest.raises(Refused, match="without personal data"):
        verbs.cannot("p-essex-1", POST16, PERIOD, None, "see jo@example.org", via="test")
    assert verbs.cannot("p-essex-1", POST16, PERIOD, "kent", "the system is being replaced", via="test").changed
    assert stands(here) is Standing.CANNOT
    again = verbs.cannot("p-essex-2", POST16, PERIOD, "kent", "another reason", via="test")
    assert not again.changed
    assert "p-essex-1 said that it cannot be sent already" in again.sentence
    with here.exchange.ground.store.reading() as session:
        expected = verbs.expected(session, "kent", here.exchange.now())
    assert [one.reason for one in expected if (one.sender, one.exchange) == ("essex", POST16)] == [
        "the system is being replaced"
    ]
    assert "system is being" not in "".join(entry.data for entry in here.exchange.evidence.entries())
    here.arrive()
    assert stands(here) is Standing.SENT


def test_only_who_answers_for_a_member_says_it(here: SmallExchange) -> None:
    """Not its governance lead, not an administrator; and never for another member."""
    for who in ("g-essex", "a-essex-1"):
        with pytest.raises(Forbidden):
            here.exchange.obligations.nil(who, POST16, PERIOD, via="test")
    here.exchange.obligations.nil("p-kent-1", POST16, PERIOD, "medway", via="test")
    assert owed(here, "medway").answer is Answer.NONE


def test_r112_best_efforts_are_never_overdue(here: SmallExchange) -> None:
    """A nil return and "not able" are answers; with neither it is not sent, and nobody is asked again."""
    here.exchange.tick()
    later(here, DUE + timedelta(days=5))
    assert stands(here, exchange="movers") is Standing.NOT_SENT
    told = [e.data for e in here.exchange.evidence.entries() if e.kind == "reminder.told"]
    stages = {text for text in told if "owed:movers" in text}
    assert stages
    assert all('"stage":"window-start"' in text.replace(" ", "") for text in stages)
    said = here.exchange.obligations.cannot("p-essex-1", "movers", PERIOD, "kent", "we are not able to", via="test")
    assert said.changed
    assert stands(here, exchange="movers") is Standing.CANNOT
    here.exchange.obligations.nil("p-essex-1", "movers", PERIOD, "medway", via="test")
    assert stands(here, "medway", exchange="movers") is Standing.NIL


# ---------------------------------------------------------------- prevented


def test_what_the_recipient_prevented_is_blocked_and_never_late(here: SmallExchange) -> None:
    """Brighton and Hove has no data manager: Essex is not late, before the due time and after it.

    Nor is Brighton and Hove, which never signed: nothing of it would be taken.
    """
    with here.exchange.ground.store.reading() as session:
        found = here.exchange.obligations.open_for(session, "essex", here.exchange.now())
    to_brighton = next(one for one in found if (one.exchange, one.recipient) == (POST16, "brighton-hove"))
    assert standing(to_brighton, here.exchange.now()) is Standing.BLOCKED
    later(here, DUE + timedelta(days=1))
    assert stands(here, "brighton-hove") is Standing.BLOCKED
    assert (owed(here, "brighton-hove").blocked or "").startswith("Brighton and Hove, which ")
    with here.exchange.ground.store.reading() as session:
        later_on = here.exchange.obligations.between(session, date(2026, 12, 7), date(2026, 12, 7))
    its = [one for one in later_on if (one.exchange, one.sender) == (POST16, "brighton-hove")]
    assert its and {standing(one, here.exchange.now()) for one in its} == {Standing.BLOCKED}
    assert "has not signed the agreement" in (its[0].blocked or "")
    assert stands(here) is Standing.LATE


def test_what_fell_due_while_the_exchange_was_down_is_blocked(here: SmallExchange) -> None:
    """Down over the due time: nobody is late, and what is sent after it was back reads as sent."""
    here.exchange.tick()
    later(here, DUE - timedelta(hours=9))
    here.exchange.clock.set(DUE + timedelta(hours=2), running=False)
    here.send()
    here.exchange.tick()
    assert here.kinds().count("exchange.was_down") == 1
    assert stands(here) is Standing.WAITING or stands(here) is Standing.BLOCKED
    here.release()
    assert stands(here) is Standing.SENT
    blocked = owed(here, "medway").blocked or ""
    assert blocked.startswith("the exchange, which was down from")


def test_a_clock_that_is_moved_while_it_runs_is_no_outage(here: SmallExchange) -> None:
    """In a demo a week passes in a second."""
    here.exchange.tick()
    later(here, here.exchange.now() + timedelta(days=7))
    later(here, here.exchange.now() + timedelta(days=7))
    assert "exchange.was_down" not in here.kinds()


# ---------------------------------------------------------------- another policy


def test_another_policy_never_rewrites_what_has_begun(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """Kent no longer takes part from today: November stands, December is withdrawn, and comes back with it."""
    files = policy_files(here.keys, gpg_person)
    name = next(n for n in files if n.endswith("a1-post16-destinations.yaml"))
    inside = [m.id for m in here.exchange.policy.members if m.id != "kent"]
    without = dict(files)
    without[name] = files[name].replace("members: all", f"members: [{', '.join(inside)}]", 1)
    put_in_force(here.exchange, without)
    here.exchange.refresh()
    here.exchange.obligations.make()
    assert owed(here).answer is Answer.NONE
    (ahead,) = rows(here, exchange=POST16, period="2026-12", sender="essex", recipient="kent")
    assert ahead.answer == "withdrawn"
    assert "obligations.changed" in here.kinds()
    put_in_force(here.exchange, files)
    here.exchange.refresh()
    here.exchange.obligations.make()
    (ahead,) = rows(here, exchange=POST16, period="2026-12", sender="essex", recipient="kent")
    assert (ahead.answer, ahead.revision) == ("none", here.exchange.revision)


def test_another_due_time_moves_only_what_is_ahead(here: SmallExchange, gpg_person: MakeGpgPerson) -> None:
    """November keeps its time, December gets the new one."""
    files = policy_files(here.keys, gpg_person)
    name = next(n for n in files if n.endswith("a1-post16-destinations.yaml"))
    files[name] = files[name].replace("due: {at: window_end, time: 17:00}", "due: {at: window_end, time: 12:00}")
    put_in_force(here.exchange, files)
    here.exchange.refresh()
    here.exchange.obligations.make()
    assert owed(here).due_at == DUE
    (ahead,) = rows(here, exchange=POST16, period="2026-12", sender="essex", recipient="kent")
    assert ahead.due_at.astimezone(LONDON).hour == 12


# ---------------------------------------------------------------- elsewhere, and on request


def test_r113_a_download_elsewhere_is_a_task_with_a_day_and_no_folder(here: SmallExchange) -> None:
    """Announced once, every member has it to do by ten working days after; "downloaded on" ends it."""
    verbs = here.exchange.obligations
    day = date(2026, 11, 30)
    with pytest.raises(Forbidden):
        verbs.announce("nccis-download-published", day, "p-kent-1")
    assert verbs.announce("nccis-download-published", day, "a-essex-1").changed
    again = verbs.announce("nccis-download-published", day, "a-essex-1")
    assert not again.changed
    assert "a-essex-1 announced it already" in again.sentence
    tasks = rows(here, exchange="activity-survey")
    assert len(tasks) == 9
    assert {row.due_at for row in tasks} == {datetime(2026, 12, 14, 17, 0, tzinfo=LONDON)}
    assert "activity-survey" not in here.exchange.views.outbox_exchanges(here.visitor("p-kent-1"))
    with pytest.raises(Refused):
        verbs.done("p-kent-1", "activity-survey", PERIOD, date(2026, 12, 2), via="test")
    assert verbs.done("p-kent-1", "activity-survey", PERIOD, "2026-12-01", via="test").changed
    assert stands(here, "", sender="kent", exchange="activity-survey") is Standing.DONE
    again = verbs.done("p-kent-2", "activity-survey", PERIOD, "2026-12-01", via="test")
    assert not again.changed
    assert "p-kent-1" in again.sentence


def test_what_is_sent_on_request_is_owed_once_it_is_asked_for(here: SmallExchange) -> None:
    """By a data manager of the member that gets it; due ten working days after the event, or after today."""
    verbs = here.exchange.obligations
    assert rows(here, exchange="year11-residents") == []
    asked = verbs.ask_for("p-kent-2", "year11-residents", "essex", via="test")
    assert asked.changed
    (row,) = rows(here, exchange="year11-residents")
    assert (row.sender, row.recipient, row.period) == ("essex", "kent", "2026-12")
    assert row.due_at == datetime(2026, 12, 15, 17, 0, tzinfo=LONDON)
    again = verbs.ask_for("p-kent-2", "year11-residents", "essex", via="test")
    assert not again.changed
    with pytest.raises(Refused, match="does not say how soon"):
        verbs.ask_for("p-kent-2", "trial", via="test")
    with pytest.raises(Refused, match="not sent on request"):
        verbs.ask_for("p-kent-2", POST16, via="test")


# ---------------------------------------------------------------- reminders


def test_the_designated_person_is_told_on_the_first_day_what_is_owed_and_where_to_put_it(here: SmallExchange) -> None:
    """One line an exchange and period, with the path; what is sent leaves it by itself; nothing owed is no line."""
    chased = here.exchange.obligations
    hat = Hat("essex", "designated_person")

    def line() -> str:
        with here.exchange.ground.store.reading() as session:
            items = {item.about: item for item in chased.items(session, hat, here.exchange.now())}
        item = items.get(f"owed:{POST16}:{PERIOD}:essex")
        if item is None:
            return ""
        assert item.path == f"/outbox/{POST16}/{PERIOD}/"
        assert len(item.label) <= 60
        return item.words

    assert line().startswith("2 files by Mon 7 Dec 2026 17:00; left: Kent, Medway; Brighton and Hove, East Sussex, ")
    assert line().endswith("are not ready")
    here.arrive()
    assert line().startswith("1 file by Mon 7 Dec 2026 17:00; left: Medway; ")
    chased.nil("p-essex-1", POST16, PERIOD, via="test")
    assert line() == ""  # Brighton and Hove is not ready: that is nothing to do


def test_reminders_come_once_each_as_the_exchange_says_and_then_escalate(here: SmallExchange) -> None:
    """Window, two days before, the due day, the day after, and after three days the governance lead."""
    for day in range(1, 12):
        later(here, datetime(2026, 12, day, 9, 31, tzinfo=LONDON))
        later(here, datetime(2026, 12, day, 12, 0, tzinfo=LONDON))
    told = [e.data for e in here.exchange.evidence.entries() if e.kind == "reminder.told"]
    mine = [text for text in told if f"owed:{POST16}:{PERIOD}:medway" in text]
    stages = ["window-start", "before-2wd", "due-day", "after-1wd", "after-3wd"]
    assert [next(s for s in stages if f'"{s}"' in text) for text in mine] == stages
    assert "g-medway" in mine[-1]
