"""What is owed is answered by a button, by a word, by a file in attest/ and at the command line: the same act."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from bot.conversation.answer import Account, Form, Reply
from bot.conversation.buttons import Buttons
from bot.conversation.words import Words
from server.cli.root import app
from server.domain.errors import Refused
from server.domain.obligation import Answer
from server.exchange.obligation_rows import of_group
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import SmallExchange, small_exchange

POST16, PERIOD = "post16-destinations", "2026-11"
SUBJECT = f"{POST16}-{PERIOD}"
EVENT = "nccis-download-published"


@pytest.fixture
def here(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    with small_exchange(gpg_person, ssh_key) as made:
        made.exchange.obligations.make()
        yield made


def answer(here: SmallExchange, recipient: str, exchange: str = POST16, sender: str = "essex") -> str:
    """How what is owed for November is answered."""
    with here.exchange.ground.store.reading() as session:
        rows = of_group(session, exchange, PERIOD, sender)
    return next(row.answer for row in rows if row.recipient == recipient)


def attest(here: SmallExchange, person: str, name: str, content: bytes = b"") -> str:
    return here.exchange.attest(here.visitor(person), name.encode(), content)


def test_a_button_asks_to_whom_and_says_nil_to_all_that_are_left(here: SmallExchange) -> None:
    """Kent has its file already and is not among them; a second press says who was first."""
    here.arrive()
    buttons = Buttons(here.exchange)
    form = buttons.press("p-essex-1", "nil", SUBJECT, via="test")
    assert isinstance(form, Form)
    assert [choice.value for choice in form.fields[0].choices] == ["all", "medway"]
    said = buttons.press("p-essex-1", "nil", SUBJECT, {"member": "all"}, via="test")
    assert isinstance(said, Reply)
    assert said.changed
    assert (answer(here, "kent"), answer(here, "medway")) == (Answer.SENT, Answer.NIL)
    again = buttons.press("p-essex-2", "nil", SUBJECT, {"member": "medway"}, via="test")
    assert isinstance(again, Reply)
    assert not again.changed
    assert "p-essex-1 said so already" in again.text


def test_a_button_takes_no_reason_with_personal_data(here: SmallExchange) -> None:
    """The form comes again with what is wrong; then it is noted."""
    buttons = Buttons(here.exchange)
    wrong = buttons.press(
        "p-essex-1", "cannot", SUBJECT, {"member": "kent", "reason": "ask jo@example.org"}, via="test"
    )
    assert isinstance(wrong, Form)
    assert "e-mail address" in wrong.errors["reason"]
    assert len(wrong.fields) == 2
    said = buttons.press("p-essex-1", "cannot", SUBJECT, {"member": "kent", "reason": "no extract yet"}, via="test")
    assert isinstance(said, Reply)
    assert said.changed
    assert (answer(here, "kent"), answer(here, "medway")) == (Answer.CANNOT, Answer.NONE)


def test_a_button_says_on_which_day_it_was_done(here: SmallExchange) -> None:
    """Downloaded on: a day, and not one that is still to come."""
    here.exchange.obligations.announce(EVENT, "2026-11-30", "a-essex-1")
    buttons, subject = Buttons(here.exchange), f"activity-survey-{PERIOD}"
    assert isinstance(buttons.press("p-kent-2", "done", subject, via="test"), Form)
    early = buttons.press("p-kent-2", "done", subject, {"day": "2026-12-24"}, via="test")
    assert isinstance(early, Reply)
    assert not early.changed
    done = buttons.press("p-kent-2", "done", subject, {"day": "2026-12-01"}, via="test")
    assert isinstance(done, Reply)
    assert done.changed


def test_a_word_lists_what_is_owed_and_asks_for_what_is_sent_on_request(here: SmallExchange) -> None:
    """With the exact place, and the buttons of the first few."""
    words, account = Words(here.exchange), Account("slack", "T1", "U1")
    here.exchange.people.link_chat("slack", "T1", "U1", here.code("p-kent-2"))
    owed = words.say(account, "owed")
    assert f"Put: /outbox/{POST16}/{PERIOD}/" in owed.text
    assert {button.verb for button in owed.buttons} == {"nil", "cannot"}
    assert words.say(account, "ask year11-residents essex").changed
    assert "p-kent-2 asked for that already" in words.say(account, "ask year11-residents essex").text


def test_a_file_in_attest_says_the_same(here: SmallExchange) -> None:
    """Its name says what, for which month and member; the reason or the day is inside."""
    assert "Noted" in attest(here, "p-essex-1", f"{POST16}.{PERIOD}.kent.nil")
    assert answer(here, "kent") == Answer.NIL
    with pytest.raises(Refused, match="reason"):
        attest(here, "p-essex-1", f"{POST16}.{PERIOD}.medway.cannot")
    attest(here, "p-essex-1", f"{POST16.upper()}.{PERIOD}.medway.cannot.txt", b"no extract yet")
    assert answer(here, "medway") == Answer.CANNOT
    attest(here, "p-kent-1", "year11-residents.essex.wanted")
    here.exchange.obligations.announce(EVENT, "2026-11-30", "a-essex-1")
    attest(here, "p-kent-1", f"activity-survey.{PERIOD}.done", b"2026-12-01\r\n")
    assert answer(here, "", "activity-survey", "kent") == Answer.DONE


def test_the_command_line_says_and_lists_the_same(here: SmallExchange) -> None:
    """Each act by a person; the list says how each pair stands, in words and as JSON."""

    def run(*words: str) -> str:
        result = CliRunner().invoke(app, [*words, "--data", str(here.exchange.ground.data)])
        assert result.exit_code == 0, result.output + str(result.exception)
        return result.output

    run("obligation", "nil", POST16, PERIOD, "--to", "kent", "--by", "p-essex-1")
    run("obligation", "cannot", POST16, PERIOD, "--because", "no extract yet", "--to", "medway", "--by", "p-essex-1")
    run("obligation", "ask", "year11-residents", "--from", "essex", "--by", "p-kent-2")
    assert "9 members have it to do" in run("event", "announce", EVENT, "--on", "2026-11-30", "--by", "a-essex-1")
    run("obligation", "done", "activity-survey", PERIOD, "--on", "2026-12-01", "--by", "p-kent-2")
    listed = run("obligation", "list", "essex", "--period", PERIOD)
    assert f"{POST16} {PERIOD}  Essex -> Kent: nothing to send, said" in listed
    assert f"{POST16} {PERIOD}  Essex -> Medway: cannot send, because: no extract yet" in listed
    assert '"standing": "nil"' in run("obligation", "list", "kent", "--period", PERIOD, "--json")
