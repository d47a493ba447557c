"""Records that are found wrong (clause 9): told by line and field, answered in time, ended by a new file."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from bot.conversation import Buttons, Form, Reply
from server.domain.audience import Hat
from server.domain.errors import Forbidden, Missing, Refused
from server.domain.schedule import london_day
from server.exchange.chased import Ask
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import SmallExchange, policy_files, put_in_force, records, small_exchange

NAME = "destinations.csv"


@pytest.fixture
def here(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    with small_exchange(gpg_person, ssh_key) as made:
        yield made


@pytest.fixture
def broadcast(here: SmallExchange, gpg_person: MakeGpgPerson) -> SmallExchange:
    """Post-16 destinations goes to everyone: one upload, every member with a key."""
    files = policy_files(here.keys, gpg_person)
    name = next(name for name in files if "post16-destinations" in name and name.startswith("exchanges/"))
    files[name] = files[name].replace("broadcast: false", "broadcast: true")
    put_in_force(here.exchange, files)
    here.exchange.refresh()
    return here


def told(here: SmallExchange, person: str) -> list[str]:
    """The texts of the person's notices about corrections."""
    return [view.notice.text for view in here.exchange.views.notices(person) if view.notice.kind == "correction"]


def sent_to_all(here: SmallExchange, rows: int = 3) -> dict[str, str]:
    """Essex sends everyone a file of the same name; {member: its delivery}."""
    here.put("p-essex-1", f"post16-destinations/2026-11/everyone/{NAME}", records(rows))
    here.release()
    newest = here.exchange.views.sent_deliveries("p-essex-1")
    return {view.recipient: view.id for view in newest if view.consignment == newest[0].consignment}


def status(here: SmallExchange, delivery: str) -> str:
    return next(str(v.status) for v in here.exchange.views.sent_deliveries("p-essex-1") if v.id == delivery)


# ----------------------------------------------------------------


def test_r087_the_sender_has_a_task_at_once_and_a_new_file_supersedes_the_old_for_everybody(
    broadcast: SmallExchange,
) -> None:
    """Line and field, never a value. Every recipient of the original is told, then that it is corrected."""
    here, corrections = broadcast, broadcast.exchange.corrections
    first = sent_to_all(here)
    asked = corrections.correct("p-kent-1", first["kent"], "3", "DOB", via="test")
    assert asked.changed
    (view,) = corrections.of_person("p-essex-1")
    assert (view.line, view.field, view.status, view.asked_by) == (3, "dob", "open", "Kent")
    for person in ("p-essex-1", "p-essex-2"):
        (text,) = told(here, person)
        assert text.startswith(f"Line 3, dob, of {first['kent']}") and "Kent says" in text and "Thu 3 Dec 2026" in text
    (medway,) = told(here, "p-medway-1")
    assert first["medway"] in medway and first["kent"] not in medway and "Kent says" in medway
    assert "you say" in told(here, "p-kent-2")[0]
    assert corrections.accept("p-essex-2", view.id, via="test").changed
    again = sent_to_all(here, rows=4)
    here.exchange.tick()
    assert [view.status for view in corrections.of_person("p-kent-1")] == ["reissued"]
    assert {status(here, delivery) for delivery in first.values()} == {"superseded"}
    assert set(again) == set(first)
    for person, member in (("p-kent-1", "kent"), ("p-medway-1", "medway")):
        (text,) = told(here, person)
        assert f"sent it again: {again[member]}" in text and f"any copy of {first[member]}" in text
    assert "Your new file has gone" in told(here, "p-essex-1")[0]
    assert [kind for kind in here.kinds() if kind.startswith("correction.")] == [
        "correction.asked", "correction.accepted", "correction.reissued",
    ]  # fmt: skip


def test_a_file_that_was_sent_before_it_was_asked_for_ends_nothing(broadcast: SmallExchange) -> None:
    """Medway had a newer file already when Kent asked for a correction of its own."""
    here, corrections = broadcast, broadcast.exchange.corrections
    first = sent_to_all(here)
    here.put("p-essex-1", f"post16-destinations/2026-11/medway/{NAME}", records(5))
    here.release()
    corrections.correct("p-kent-1", first["kent"], "3", "dob", via="test")
    here.exchange.tick()
    assert [view.status for view in corrections.of_person("p-kent-1")] == ["open"]


def test_nobody_reads_the_number_of_another_members_file(broadcast: SmallExchange) -> None:
    """The newer file went to Medway alone: it ends the correction, and Kent hears that there is one."""
    here, corrections = broadcast, broadcast.exchange.corrections
    first = sent_to_all(here)
    corrections.correct("p-kent-1", first["kent"], "3", "dob", via="test")
    here.put("p-essex-1", f"post16-destinations/2026-11/medway/{NAME}", records(5))
    here.release()
    here.exchange.tick()
    (asked,) = corrections.of_person("p-kent-1")
    assert asked.words == "corrected by a newer file"
    again = corrections.withdraw("p-kent-1", asked.id, via="test")
    assert again.sentence.endswith("is corrected by a newer file already.")


def test_a_second_recipient_who_finds_the_same_is_told_who_asked(broadcast: SmallExchange) -> None:
    """One task for the sender, not two; another field is another correction."""
    here, corrections = broadcast, broadcast.exchange.corrections
    first = sent_to_all(here)
    corrections.correct("p-kent-1", first["kent"], 3, "dob", via="test")
    again = corrections.correct("p-medway-1", first["medway"], 3, "dob", via="test")
    assert not again.changed and "p-kent-1 of Kent asked for that already" in again.sentence
    assert corrections.correct("p-medway-1", first["medway"], 3, "family_name", via="test").changed
    assert len(corrections.of_person("p-essex-1")) == 2


def test_the_same_bytes_in_two_folders_are_one_file(here: SmallExchange) -> None:
    """Where an exchange does not broadcast, its sender puts the file into several folders: all of them are told."""
    for member in ("kent", "medway"):
        here.put("p-essex-1", f"post16-destinations/2026-11/{member}/{NAME}", records(3))
    held = [v for v in here.exchange.views.sent_deliveries("p-essex-1") if v.status == "held"]
    for view in held:
        here.exchange.delivery.all_there("p-essex-1", view.consignment, via="test")
    here.release()
    kent = here.exchange.views.received("p-kent-1")[0].id
    here.exchange.corrections.correct("p-kent-1", kent, 2, "dob", via="test")
    assert "Kent says" in told(here, "p-medway-1")[0]
    here.put("p-essex-1", f"post16-destinations/2026-11/kent/{NAME}", records(4))
    here.release()
    here.exchange.tick()
    assert "but not to you: ask Essex" in told(here, "p-medway-1")[0]


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("line", "field", "code"),
    [
        ("1", "dob", "NOT_A_LINE"),
        ("0", "dob", "NOT_A_LINE"),
        ("-3", "dob", "NOT_A_LINE"),
        ("44a", "dob", "NOT_A_LINE"),
        ("", "dob", "NOT_A_LINE"),
        ("٤٤", "dob", "NOT_A_LINE"),
        ("99999999999", "dob", "NOT_A_LINE"),
        ("44", "shoe size", "NOT_A_FIELD"),
        ("44", "dob 2009-01-01", "NOT_A_FIELD"),
        ("44", "", "NOT_A_FIELD"),
    ],
)
def test_only_a_line_and_an_agreed_field_are_taken(here: SmallExchange, line: str, field: str, code: str) -> None:
    """Nothing of what the record says, or should say, has a place to go."""
    delivery = here.arrive()
    with pytest.raises(Refused) as refused:
        here.exchange.corrections.correct("p-kent-1", delivery, line, field, via="test")
    assert refused.value.code == code and "2009" not in refused.value.sentence
    assert here.exchange.corrections.every() == () and told(here, "p-essex-1") == []


def test_who_is_not_its_recipients_data_manager_asks_for_no_correction(here: SmallExchange) -> None:
    """Others learn nothing of the delivery; the lead of the recipient is told whose task it is."""
    delivery = here.arrive()
    for person, error in (("p-medway-1", Missing), ("p-essex-1", Missing), ("g-kent", Forbidden)):
        with pytest.raises(error):
            here.exchange.corrections.correct(person, delivery, 2, "dob", via="test")


def test_what_is_to_be_destroyed_is_not_corrected(here: SmallExchange) -> None:
    """Until its use-by day it can be; after it, there should be no copy."""
    delivery = here.arrive()
    here.exchange.clock.set(datetime(2027, 2, 1, 20, tzinfo=UTC))
    assert here.exchange.corrections.correct("p-kent-1", delivery, 2, "dob", via="test").changed
    here.exchange.clock.set(datetime(2027, 2, 2, 8, tzinfo=UTC))
    with pytest.raises(Refused, match="to be destroyed"):
        here.exchange.corrections.correct("p-kent-1", delivery, 3, "dob", via="test")


# ---------------------------------------------------------------- answers


def asked(here: SmallExchange) -> str:
    """Kent asks about line 2, dob; the correction's id."""
    here.exchange.corrections.correct("p-kent-1", here.arrive(), 2, "dob", via="test")
    return here.exchange.corrections.every()[0].id


def test_the_sender_declines_with_a_reason_that_everybody_reads(here: SmallExchange) -> None:
    """Without personal data; the reason is kept and the ledger has its hash. A second answer changes nothing."""
    correction, verbs = asked(here), here.exchange.corrections
    with pytest.raises(Refused):
        verbs.decline("p-essex-1", correction, "he was born on 03/04/2009", via="test")
    assert verbs.decline("p-essex-1", correction, "Checked with the school", via="test").changed
    assert "Checked with the school" in told(here, "p-kent-2")[0]
    late = verbs.accept("p-essex-2", correction, via="test")
    assert not late.changed and "declined by p-essex-1" in late.sentence
    assert "Checked" not in "".join(entry.data for entry in here.exchange.evidence.entries())


def test_nobody_answers_for_the_sender_or_withdraws_for_the_asker(here: SmallExchange) -> None:
    """Each member its own part; who has nothing to do with it does not learn that it is there."""
    correction, verbs = asked(here), here.exchange.corrections
    with pytest.raises(Forbidden, match="Essex sent the file"):
        verbs.accept("p-kent-1", correction, via="test")
    with pytest.raises(Forbidden, match="only they can withdraw"):
        verbs.withdraw("p-essex-1", correction, via="test")
    with pytest.raises(Missing):
        verbs.accept("p-medway-1", correction, via="test")
    assert verbs.withdraw("p-kent-2", correction, via="test").changed
    assert "right after all, Kent says" in told(here, "p-essex-1")[0]


def test_reminders_come_on_the_day_and_the_lead_hears_on_the_day_after(here: SmallExchange) -> None:
    """Answer within two working days, send again within five: asked on Tuesday 1 December 2026."""
    correction, verbs = asked(here), here.exchange.corrections
    with here.exchange.ground.store.reading() as session:
        now = here.exchange.now()
        planned = list(verbs.plan(session, now))
        days = {one.stage: london_day(one.due_at).isoformat() for one in planned}
        assert days == {
            "answer": "2026-12-03", "answer-lead": "2026-12-04", "reissue": "2026-12-08", "reissue-lead": "2026-12-09",
        }  # fmt: skip
        about = f"correction:{correction}"
        workers = (Hat("essex", "designated_person"), Hat("essex", "data_manager"))
        assert verbs.ask(session, about, "answer", now) == Ask(workers, facts=(("correction", correction),))
        late = verbs.ask(session, about, "answer-lead", now)
        assert late is not None and late.hats == (Hat("essex", "governance_lead"),)
        assert [item.about for item in verbs.items(session, workers[0], now)] == [about]
        assert list(verbs.items(session, late.hats[0], now)) == []
        after = now + timedelta(days=3)
        assert [item.group for item in verbs.items(session, late.hats[0], after)] == ["overdue"]
    verbs.accept("p-essex-1", correction, via="test")
    with here.exchange.ground.store.reading() as session:
        assert verbs.ask(session, about, "answer-lead", now) is None
        assert verbs.ask(session, about, "reissue", now) is not None


def test_what_is_overdue_says_so_wherever_it_is_listed(here: SmallExchange) -> None:
    """Unanswered after two working days, and without a new file after five."""
    correction, verbs = asked(here), here.exchange.corrections
    assert verbs.every()[0].words == "to be answered by Thu 3 Dec 2026"
    here.exchange.clock.set(here.exchange.now() + timedelta(days=3))
    assert verbs.every()[0].words == "overdue: it was to be answered by Thu 3 Dec 2026"
    verbs.accept("p-essex-1", correction, via="test")
    assert verbs.every()[0].words == "accepted; a new file comes by Tue 8 Dec 2026"
    here.exchange.clock.set(here.exchange.now() + timedelta(days=6))
    assert verbs.every()[0].words == "accepted; overdue: a new file was to come by Tue 8 Dec 2026"


# ---------------------------------------------------------------- chat, desk, mailbox


def test_a_correction_is_asked_for_and_answered_by_files(here: SmallExchange) -> None:
    """Two lines in D-….correct.txt; E-….declined with the reason inside."""
    delivery, attest = here.arrive(), here.exchange.attest
    wrong = (b"line: 2", b"line: 2\nfield: dob\nvalue: 2009-01-01", b"2 dob", b"")
    for content in wrong:
        with pytest.raises(Refused):
            attest(here.visitor("p-kent-1"), f"{delivery}.correct.txt".encode(), content)
    said = attest(here.visitor("p-kent-1"), f"{delivery}.correct.txt".encode(), b"Line: 2\r\nField: dob\r\n")
    assert "Essex is asked about line 2, dob" in said
    correction = here.exchange.corrections.every()[0].id
    assert "accepted" in attest(here.visitor("p-essex-1"), f"{correction}.accepted".encode(), b"")
    assert "declined" in attest(here.visitor("p-essex-1"), f"{correction}.declined.txt".encode(), b"It was right")


def test_a_press_asks_where_it_is_and_nothing_else(here: SmallExchange) -> None:
    """The form has a line and a field; the answer to it is a sentence."""
    delivery, buttons = here.arrive(), Buttons(here.exchange)
    form = buttons.press("p-kent-1", "correct", delivery, via="test")
    assert isinstance(form, Form) and [asked.name for asked in form.fields] == ["line", "field"]
    done = buttons.press("p-kent-1", "correct", delivery, {"line": "2", "field": "dob"}, via="test")
    assert isinstance(done, Reply) and done.changed
    correction = here.exchange.corrections.every()[0].id
    assert isinstance(buttons.press("p-essex-1", "decline-correction", correction, via="test"), Form)
    accepted = buttons.press("p-essex-1", "accept-correction", correction, via="test")
    assert isinstance(accepted, Reply) and accepted.changed
