"""Who has no chat is told by mail: once, plainly, and whatever the mail server does meanwhile."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select

from bot.email import EmailFront, MailSettings, body, subject
from server.domain.errors import Misconfigured
from server.domain.heads import heads_in
from server.domain.notice import Button, Notice, Tone
from server.exchange.letters import MAIL_UNDELIVERABLE, Letter, is_address
from server.store.tables import NoticeRow, SendingRow
from tests.conftest import MakeGpgPerson, MakeSshKey
from tests.small_exchange import SmallExchange, small_exchange
from tests.smtp_fake import MailServer, mail_server

WEB = "https://desk.test"
SENDER = "exchange@safehand.example"


@pytest.fixture
def here(gpg_person: MakeGpgPerson, ssh_key: MakeSshKey) -> Iterator[SmallExchange]:
    with small_exchange(gpg_person, ssh_key, new=True) as made:
        yield made


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with mail_server() as made:
        yield made


def front(here: SmallExchange, server: MailServer) -> EmailFront:
    settings = MailSettings.of(f"smtp://127.0.0.1:{server.port}", SENDER)
    made = EmailFront(settings, here.exchange, web_url=WEB)
    here.exchange.letters.claim("email", real=0.0)  # mail begins now
    return made


def address(here: SmallExchange, person: str) -> str:
    found = here.exchange.policy.person(person)
    assert found is not None
    return found.email


async def everything(mail: EmailFront) -> None:
    """Rounds until there is nothing to do at once."""
    while await mail.relay.round():
        pass
    await mail.relay.round()


def tell(here: SmallExchange, text: str, *, person: str = "p-kent-1", thread: str = "t", kind: str = "review",
         tone: Tone = "info", member: str = "kent") -> None:  # fmt: skip
    with here.exchange.ground.transaction() as tx:
        tx.notify(Notice(person, thread, kind, text, tone, member=member), about=tx.head[0])


def tried_again(here: SmallExchange) -> None:
    """The pause after a failure is over."""
    with here.exchange.ground.transaction() as tx:
        for row in tx.session.exec(select(SendingRow)).all():
            row.due_real = 0.0
            tx.session.add(row)


# ---------------------------------------------------------------- who


async def test_people_without_chat_are_told_by_mail_and_those_with_it_are_not(
    here: SmallExchange, server: MailServer
) -> None:
    """p-kent-2 has Slack; p-kent-1 gets a letter about the same delivery, once."""
    here.exchange.people.link_chat("slack", "T1", "U-p-kent-2", here.code("p-kent-2"))
    mail = front(here, server)
    delivery = here.arrive()
    await everything(mail)
    await everything(mail)
    assert server.to(address(here, "p-kent-2")) == []
    letters = server.to(address(here, "p-kent-1"))
    assert len([m for m in letters if delivery in m.get_content() and "waits for you" not in m["Subject"]]) == 1
    here.exchange.people.unlink_chat("slack", "T1", "U-p-kent-2")
    tell(here, "Something new.", person="p-kent-2")
    await everything(mail)
    assert any("Something new." in m.get_content() for m in server.to(address(here, "p-kent-2")))


async def test_a_team_address_gets_what_is_for_nobody_else(here: SmallExchange, server: MailServer) -> None:
    """`team:kent` is the member's team address; nothing in the envelope or the subject names a person."""
    team = here.exchange.policy.member_by_id["kent"].ig_team
    assert team is not None and team.email
    mail = front(here, server)
    tell(here, "Nobody of Kent can be told of this.", person="team:kent", thread="digest:2026-12-01", kind="digest")
    await everything(mail)
    (message,) = [m for m in server.to(team.email) if "Nobody of Kent" in m.get_content()]
    assert message["Subject"] == "Safehand: what waits for you today"


async def test_what_was_told_before_mail_was_set_up_is_not_sent_after_them(
    here: SmallExchange, server: MailServer
) -> None:
    """The first letters are of today, not of the last years."""
    tell(here, "An old story.")
    here.exchange.clock.set(here.exchange.now() + timedelta(hours=1))
    mail = front(here, server)
    await everything(mail)
    assert server.taken == []


async def test_what_waited_for_the_end_of_a_long_absence_is_mailed_then(
    here: SmallExchange, server: MailServer
) -> None:
    """Six weeks away: the letter comes on the day of the return, not never."""
    mail = front(here, server)
    here.exchange.absences.away("p-kent-1", date(2026, 12, 1), date(2027, 1, 14), "p-kent-2", by="p-kent-1")
    tell(here, "Please look at the agreement.", tone="attention")
    await everything(mail)
    assert server.to(address(here, "p-kent-1")) == []
    here.exchange.clock.set(datetime(2027, 1, 15, 10, tzinfo=UTC))
    here.exchange.refresh()
    here.exchange.tick()
    await everything(mail)
    assert any("Please look" in m.get_content() for m in server.to(address(here, "p-kent-1")))


async def test_a_suspended_person_gets_no_letters(here: SmallExchange, server: MailServer) -> None:
    """A suspension ends mail like everything else."""
    mail = front(here, server)
    here.exchange.people.suspend("p-kent-1", by="p-kent-2")
    tell(here, "For p-kent-1.")
    await everything(mail)
    assert server.to(address(here, "p-kent-1")) == []


# ---------------------------------------------------------------- how often


async def test_an_edit_is_mailed_only_when_it_begins_to_need_somebody(here: SmallExchange, server: MailServer) -> None:
    """info -> info: nothing; info -> bad: one more letter in the same thread; bad -> bad, bad -> good: nothing."""
    mail, told = front(here, server), list[int]()
    for text, tone in (("One", "info"), ("Two", "info"), ("Three", "bad"), ("Four", "bad"), ("Five", "good")):
        tell(here, text, tone=tone)
        await everything(mail)
        told.append(len(server.to(address(here, "p-kent-1"))))
    assert told == [1, 1, 2, 2, 2]
    first, second = server.to(address(here, "p-kent-1"))
    assert first["Message-ID"] != second["Message-ID"] and first["References"] == second["References"]
    assert second["Subject"] == "Safehand: ! news"


async def test_the_days_message_is_mailed_once_and_what_joined_it_later_the_day_after(
    here: SmallExchange, server: MailServer
) -> None:
    """No letter for each change of the day's message; nothing that joined it is lost."""
    mail = front(here, server)
    tell(here, "Morning.", thread="digest:2026-12-01", kind="digest")
    await everything(mail)
    here.exchange.clock.set(here.exchange.now() + timedelta(hours=2))
    tell(here, "Morning; and one more.", thread="digest:2026-12-01", kind="digest", tone="bad")
    tell(here, "One more.", thread="joined")
    with here.exchange.ground.transaction() as tx:
        row = tx.session.exec(select(NoticeRow).where(NoticeRow.thread == "joined")).one()
        row.joins, row.send_at = "digest:2026-12-01", tx.now
        tx.session.add(row)
    await everything(mail)
    assert len(server.to(address(here, "p-kent-1"))) == 1
    here.exchange.clock.set(here.exchange.now() + timedelta(days=1))
    for _ in range(2):
        await everything(mail)
        texts = [m.get_content() for m in server.to(address(here, "p-kent-1"))]
        assert len(texts) == 2 and "and one more" in texts[1]


async def test_a_digest_that_nothing_joined_is_not_mailed_again(here: SmallExchange, server: MailServer) -> None:
    """What was done during the day stands on the desk."""
    mail = front(here, server)
    for text in ("Morning.", "Noon."):
        tell(here, text, thread="digest:2026-12-01", kind="digest")
        await everything(mail)
    here.exchange.clock.set(here.exchange.now() + timedelta(days=1))
    await everything(mail)
    assert len(server.to(address(here, "p-kent-1"))) == 1


# ---------------------------------------------------------------- what stands in it


async def test_a_letter_is_plain_and_says_where_its_buttons_are(here: SmallExchange, server: MailServer) -> None:
    """UTF-8 text, marked as written by a program; each button as a desk address and a file in /attest/."""
    mail = front(here, server)
    delivery = here.arrive()
    await everything(mail)
    letters = server.to(address(here, "p-kent-1"))
    message = next(m for m in letters if m["Subject"] == "Safehand: a delivery for your organisation")
    assert message.get_content_type() == "text/plain" and message.get_content_charset() == "utf-8"
    assert message["Auto-Submitted"] == "auto-generated" and message["From"] == SENDER
    assert re.fullmatch(r"<[0-9a-f]{32}\.\d+@safehand\.example>", message["Message-ID"])
    text = message.get_content()
    assert f"{WEB}/desk/do/acknowledge/{delivery}" in text and f"attest/{delivery}.acknowledged" in text
    assert not any(person.id in message["Subject"] or person.name in text for person in here.exchange.policy.people)
    assert max(map(len, server.taken[0][1].split(b"\r\n"))) <= 78 + len("References: ")


async def test_a_saved_digest_holds_the_ledger_to_its_head(here: SmallExchange, server: MailServer) -> None:
    """The mail as it was received, quoted-printable and all, is evidence for `ledger verify --head`."""
    number, digest, _ = here.exchange.ground.store.head()
    mail = front(here, server)
    with here.exchange.ground.transaction() as tx:
        foot = (("Ledger", f"entry {number:012d}, head {digest}"),)
        tx.notify(Notice("p-kent-1", "digest:2026-12-01", "digest", "Today – all.", facts=foot), about=number)
    await everything(mail)
    saved = server.taken[0][1]
    assert heads_in(server.letters[0][1].get_content())
    (held,) = here.exchange.anchors.hold(saved).heads
    assert held.holds and held.head.number == number


@given(st.text(max_size=300), st.text(max_size=80), st.text(max_size=80))
def test_nothing_that_is_said_becomes_a_header(text: str, label: str, value: str) -> None:
    """Line ends in words stay in the body; the subject is one of ours."""
    notice = Notice("p-kent-1", "t", "review", text, facts=((label, value),), buttons=(Button("v", label, "D-1"),))
    assert "\n" not in subject(notice) and subject(notice) == "Safehand: news"
    assert any(value in line for line in body(notice, WEB))


@pytest.mark.parametrize(
    "bad",
    ["", "a", "a@b", "a@b.example\r\nBcc: x@y.example", "a@b.example,c@d.example", "A <a@b.example>", "a b@c.example",
     "<a@b.example>", "a@b.example\n", "ä@b.example"],
)  # fmt: skip
async def test_only_one_plain_address_is_written_to(here: SmallExchange, server: MailServer, bad: str) -> None:
    """Anything else is given up before a connection is made."""
    from bot.relay import Never

    assert not is_address(bad)
    mail = front(here, server)
    letter = Letter(1, 1, Notice("p", "t", "review", "x"), "mail", "p", None, None, to=bad)
    with pytest.raises(Never):
        await mail.send(letter)
    assert server.connections == 0


# ---------------------------------------------------------------- what the server does


@pytest.mark.parametrize(
    ("command", "answer"),
    [("RCPT TO", "450 4.2.0 greylisted"), ("MAIL FROM", "451 later"), ("TAKEN", "452 full"), ("DATA", ""),
     ("TAKEN", ""), ("CONNECT", "421 busy")],
)  # fmt: skip
async def test_what_passes_is_tried_again_until_it_is_taken(
    here: SmallExchange, server: MailServer, command: str, answer: str
) -> None:
    """4xx, a dropped connection, a busy server: one letter in the end, and no finding."""
    mail = front(here, server)
    server.answers[command] = [answer]
    tell(here, "It gets there.")
    await mail.relay.round()
    assert server.taken == []
    mail.relay._quiet_until = 0.0
    tried_again(here)
    await everything(mail)
    assert [to for to, _ in server.taken] == [address(here, "p-kent-1")]
    assert here.exchange.findings.open() == ()


@pytest.mark.parametrize(("command", "answer"), [("RCPT TO", "550 no such mailbox"), ("TAKEN", "554 refused")])
async def test_what_is_refused_for_ever_is_a_finding_and_stays_on_the_desk(
    here: SmallExchange, server: MailServer, command: str, answer: str
) -> None:
    """It is not tried again, the others get theirs, and the finding goes when a letter arrives there again."""
    mail = front(here, server)
    server.answers[command] = [answer]
    tell(here, "For the first.")
    await everything(mail)
    tell(here, "For the second.", person="p-kent-2")
    tried_again(here)
    await everything(mail)
    assert [to for to, _ in server.taken] == [address(here, "p-kent-2")]
    (finding,) = here.exchange.findings.open()
    assert (finding.code, finding.subject) == (MAIL_UNDELIVERABLE, "p-kent-1") and "@" not in finding.words
    assert "For the first." in [view.notice.text for view in here.exchange.views.notices("p-kent-1")]
    tell(here, "Another.", thread="other")
    await everything(mail)
    assert server.to(address(here, "p-kent-1")) and here.exchange.findings.open() == ()


async def test_a_server_that_refuses_the_exchange_is_left_alone_for_a_while(
    here: SmallExchange, server: MailServer
) -> None:
    """A wrong sender is no reason to give up on anybody: nothing is lost, and nothing is hammered."""
    mail = front(here, server)
    server.answers["MAIL FROM"] = ["550 not you"]
    tell(here, "Later.")
    await mail.relay.round()
    assert await mail.relay.round() is False and server.connections == 1
    assert here.exchange.findings.open() == ()
    mail.relay._quiet_until = 0.0
    tried_again(here)
    await everything(mail)
    assert len(server.taken) == 1


@pytest.mark.parametrize("bye", ["", "421 too late", "500 what?"])
async def test_what_the_server_took_is_sent_however_it_says_good_bye(
    here: SmallExchange, server: MailServer, bye: str
) -> None:
    """An answer to QUIT changes nothing: the letter is not sent again."""
    mail = front(here, server)
    server.answers["QUIT"] = [bye]
    tell(here, "Once.")
    await everything(mail)
    tried_again(here)
    await everything(mail)
    assert len([m for m in server.to(address(here, "p-kent-1")) if "Once." in m.get_content()]) == 1


async def test_a_letter_that_was_taken_twice_is_one_letter(here: SmallExchange, server: MailServer) -> None:
    """A relay that dies after the server said yes sends the same Message-ID again."""
    mail = front(here, server)
    tell(here, "Once.")
    (errand,) = here.exchange.letters.claim("email", real=1.0)
    assert here.exchange.letters.claim("email", real=2.0) == ()
    await mail.send(errand)
    (again,) = here.exchange.letters.claim("email", real=62.0)
    await mail.send(again)
    assert len({message["Message-ID"] for _, message in server.letters}) == 1


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("url", "sender", "why"),
    [
        ("http://mail.example", SENDER, "must be smtp://"),
        ("mail.example", SENDER, "must be smtp://"),
        ("smtp://mail.example:0x1", SENDER, "no address"),
        ("smtp://user:secret-word@mail.example", SENDER, "in clear"),
        ("smtps://mail.example", "Exchange <x@y.example>", "SAFEHAND_MAIL_FROM"),
    ],
)
def test_settings_that_cannot_work_are_refused_without_their_values(url: str, sender: str, why: str) -> None:
    """A sentence that names the setting; a password is never part of it, and never sent in clear."""
    with pytest.raises(Misconfigured, match=why) as refused:
        MailSettings.of(url, sender)
    assert "secret-word" not in refused.value.sentence


def test_settings_that_work() -> None:
    """Default ports, and a password with odd letters."""
    made = MailSettings.of("starttls://user%40x:p%3Aw@mail.example", SENDER)
    assert (made.scheme, made.host, made.port, made.user, made.password) == (
        "starttls", "mail.example", 587, "user@x", "p:w",
    )  # fmt: skip
    assert MailSettings.of("smtps://mail.example", SENDER).port == 465
