"""A mail server at the wire: enough SMTP (RFC 5321) for a client; keeps what it takes, fails when told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass
class MailServer:
    """`answers`: {command: what is said instead, once each, first first}; "" hangs up. `unknown`: addresses refused."""

    port: int = 0
    taken: list[tuple[str, bytes]] = field(default_factory=list)
    answers: dict[str, list[str]] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    connections: int = 0

    @property
    def letters(self) -> list[tuple[str, EmailMessage]]:
        """(addressee, message) of everything taken, in order."""
        return [(to, _parsed(content)) for to, content in self.taken]

    def to(self, address: str) -> list[EmailMessage]:
        return [message for to, message in self.letters if to == address]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until it ends."""
        self.connections += 1
        to = ""
        try:
            writer.write(self._said("CONNECT", "220 mail.test ESMTP") + b"\r\n")
            while line := await reader.readline():
                words = line.decode().strip()
                command = words.split(":")[0].upper() if words[:4].upper() in {"MAIL", "RCPT"} else words[:4].upper()
                if command == "RCPT TO":
                    to = words.partition("<")[2].partition(">")[0]
                said = self._said(command, self._usual(command, to))
                if not said:
                    return
                writer.write(said + b"\r\n")
                if command == "DATA" and said.startswith(b"354"):
                    content = await reader.readuntil(b"\r\n.\r\n")
                    said = self._said("TAKEN", "250 taken")
                    if not said:
                        return
                    if said.startswith(b"250"):
                        self.taken.append((to, content[:-3].replace(b"\r\n..", b"\r\n.")))
                    writer.write(said + b"\r\n")
                if command == "QUIT":
                    return
        finally:
            writer.close()

    def _usual(self, command: str, to: str) -> str:
        if command == "RCPT TO" and to in self.unknown:
            return "550 5.1.1 no such mailbox"
        return {"DATA": "354 go on", "QUIT": "221 bye"}.get(command, "250 mail.test")

    def _said(self, command: str, usual: str) -> bytes:
        planned = self.answers.get(command)
        return (planned.pop(0) if planned else usual).encode()


def _parsed(content: bytes) -> EmailMessage:
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


@asynccontextmanager
async def mail_server() -> AsyncIterator[MailServer]:
    """A server on a free port of this machine."""
    made = MailServer()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
