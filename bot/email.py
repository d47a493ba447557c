"""Mail: each notice as one plain letter through the organisation's own mail server. Nothing in it is about the files.

A letter says what to do, and where: on the desk, or by a file in /attest/. Its Message-ID is the same however often it
is tried, so that a letter which was sent twice is shown once.
"""

from __future__ import annotations

import hashlib
import smtplib
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

from bot.relay import Later, Never, Relay, Sent, Threads
from server.domain.errors import Misconfigured
from server.domain.notice import Button, Notice
from server.exchange import Exchange
from server.exchange.letters import MAIL, Letter, is_address
from server.exchange.outbox import Errand
from server.exchange.views import attest_file

SECONDS = 10.0
"""How long the mail server may take for one answer."""
AT_ONCE = 4
REST = 120.0
"""Seconds without a try after the mail server refused the exchange itself."""
PORTS = {"smtp": 25, "starttls": 587, "smtps": 465}
_SUBJECTS = {
    "digest": "what waits for you today",
    "delivery": "a delivery for your organisation",
    "sent": "what became of a file you sent",
    "refused": "a file was not accepted",
    "interrupted": "an upload was interrupted",
    "proposal": "a change of the agreement",
    "renewal": "something runs out",
    "suspended": "a colleague was suspended",
    "resumed": "a colleague may work again",
    "held-back": "a delivery is held back",
    "correction": "a record is to be corrected",
}


@dataclass(frozen=True, slots=True)
class MailSettings:
    """The mail server, and whom letters come from."""

    scheme: str
    host: str
    port: int
    user: str
    password: str
    sender: str

    @classmethod
    def of(cls, url: str, sender: str) -> MailSettings:
        """From smtp://, starttls:// or smtps://[user:password@]host[:port]. Raises Misconfigured, without the URL."""
        try:
            parts = urlsplit(url)
            port = parts.port or PORTS.get(parts.scheme, 0)
        except ValueError:
            raise Misconfigured("SAFEHAND_SMTP_URL is no address of a mail server.") from None
        if parts.scheme not in PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
            raise Misconfigured("SAFEHAND_SMTP_URL must be smtp://, starttls:// or smtps:// and a host, such as "
                                "starttls://mail.example.org:587.")  # fmt: skip
        if not is_address(sender):
            raise Misconfigured("SAFEHAND_MAIL_FROM must be one mail address, such as exchange@example.org.")
        if parts.password and parts.scheme == "smtp" and parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
            raise Misconfigured("SAFEHAND_SMTP_URL would send its password in clear: use starttls:// or smtps://.")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(parts.scheme, parts.hostname, port, user, password, sender)


class EmailFront:
    """Letters for the people and team addresses that have no chat."""

    name = MAIL

    def __init__(self, settings: MailSettings, exchange: Exchange, *, web_url: str) -> None:
        self._settings, self._web_url = settings, web_url.rstrip("/")
        self._mark = exchange.ground.key.fingerprint[-16:].lower()
        self._threads = Threads(AT_ONCE)  # its own: a slow mail server holds up nobody at the desk
        self.relay = Relay(exchange, self, self._threads, outbox=exchange.letters, at_once=AT_ONCE)

    async def send(self, errand: Errand) -> Sent:
        """One letter. Raises Later when the server refuses the exchange, Never when it refuses the addressee."""
        if not isinstance(errand, Letter) or not is_address(errand.to):
            raise Never("it is no mail address")
        message = self.letter(errand)
        await self._threads.run(self._hand_over, message, errand.to)
        return Sent(MAIL, str(message["Message-ID"]))

    async def edit(self, errand: Errand) -> Sent:
        """A mail cannot be edited: what is worth it goes as another letter, in the same thread."""
        return await self.send(errand)

    # -- words

    def letter(self, letter: Letter) -> EmailMessage:
        """The notice as a message: plain text, marked as sent by a program."""
        message, site = EmailMessage(policy=SMTP), self._settings.sender.rpartition("@")[2]
        message["Subject"] = subject(letter.notice)
        message["From"] = self._settings.sender
        message["To"] = letter.to
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = f"<{self._name(letter, letter.version)}@{site}>"
        message["References"] = f"<{self._name(letter, 0)}@{site}>"
        message["Auto-Submitted"] = "auto-generated"
        message["X-Auto-Response-Suppress"] = "All"
        message.set_content("\n".join(body(letter.notice, self._web_url)) + "\n", cte="quoted-printable")
        message.policy = SMTP.clone(max_line_length=998)  # some servers take no Message-ID that is folded
        return message

    def _name(self, letter: Letter, version: int) -> str:
        told = f"{self._mark}\n{letter.notice_id}\n{version}\n{letter.to}"
        return f"{hashlib.sha256(told.encode()).hexdigest()[:32]}.{version}"

    # -- the wire

    def _hand_over(self, message: EmailMessage, to: str) -> None:
        try:
            self._send(message, to)
        except smtplib.SMTPRecipientsRefused as refused:
            code, _ = next(iter(refused.recipients.values()), (550, b""))
            raise _judged(code, "the mail server does not know the addressee") from None
        except (smtplib.SMTPSenderRefused, smtplib.SMTPAuthenticationError, smtplib.SMTPNotSupportedError):
            raise Later(REST) from None
        except smtplib.SMTPDataError as refused:
            raise _judged(refused.smtp_code, "the mail server does not take the letter") from None

    def _send(self, message: EmailMessage, to: str) -> None:
        """What the server has taken is sent, however it says good-bye."""
        server = self._connected()
        try:
            server.send_message(message, self._settings.sender, [to])
        finally:
            with suppress(OSError, smtplib.SMTPException):
                server.quit()
            server.close()

    def _connected(self) -> smtplib.SMTP:
        own = self._settings
        server: smtplib.SMTP
        if own.scheme == "smtps":
            server = smtplib.SMTP_SSL(own.host, own.port, timeout=SECONDS, context=ssl.create_default_context())
        else:
            server = smtplib.SMTP(own.host, own.port, timeout=SECONDS)
        try:
            if own.scheme == "starttls":
                server.starttls(context=ssl.create_default_context())
            if own.user:
                server.login(own.user, own.password)
        except (OSError, smtplib.SMTPException):
            server.close()
            raise
        return server


def _judged(code: int, why: str) -> Exception:
    """For ever (5xx), or to be tried again (4xx)."""
    return Never(f"{why}: {code}") if code >= 500 else TimeoutError(f"{code}")


def subject(notice: Notice) -> str:
    """Short, without ids of people and without anything that somebody typed."""
    mark = "! " if notice.tone == "bad" else ""
    return f"Safehand: {mark}{_SUBJECTS.get(notice.kind, 'news')}"


def body(notice: Notice, web_url: str) -> Sequence[str]:
    """Text, facts, and what each button is called elsewhere."""
    lines = [notice.text, ""]
    lines += [f"{label}: {value}" for label, value in notice.facts]
    if notice.buttons:
        lines += ["", "What you can do:"]
        lines += [line for button in notice.buttons for line in _instead(button, web_url)]
    return [*lines, "", "--", f"Safehand writes this by itself; nobody reads answers. The desk: {web_url}/desk"]


def _instead(button: Button, web_url: str) -> Sequence[str]:
    return [
        f"- {button.label} ({button.subject}):",
        f"  on the desk: {web_url}/desk/do/{button.verb}/{button.subject}",
        f"  or by a file in your mailbox: attest/{attest_file(button)}",
    ]
