"""The tables. Times are stored as UTC text, so that both databases keep them alike and they sort as they read."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Dialect,
    Index,
    LargeBinary,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlmodel import Field, SQLModel

from server.domain.delivery import SealedCopy, Status, Use
from server.domain.ledger import moment_of, text_of

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
SQLModel.metadata.naming_convention = NAMING


class Moment(TypeDecorator[datetime]):
    """An aware time, stored as 2026-12-01T09:00:00.000000Z."""

    impl = String(27)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        return None if value is None else text_of(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        return None if value is None else moment_of(value)


class Word(TypeDecorator[StrEnum]):
    """A state by its word, given back as the state itself."""

    impl = String(20)
    cache_ok = True

    def __init__(self, states: type[StrEnum]) -> None:
        super().__init__()
        self.states = states

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> StrEnum | None:
        return None if value is None else self.states(value)


def _state(states: type[StrEnum], default: Any = ..., *, index: bool = False) -> Any:
    return Field(default, sa_column=Column(Word(states), nullable=False, index=index))


def _when(*, nullable: bool = False, index: bool = False) -> Any:
    default: Any = None if nullable else ...
    return Field(default, sa_type=Moment, nullable=nullable, index=index)


def _words(values: type[Status] | type[SealedCopy] | type[Use], column: str) -> CheckConstraint:
    listed = ", ".join(f"'{value.value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


class RevisionRow(SQLModel, table=True):
    """The text of a policy revision that was ever in force, by its hash."""

    __tablename__ = "revision"
    id: str = Field(primary_key=True, max_length=64)
    label: str
    files: str = Field(sa_column=Column(Text, nullable=False))
    """JSON: {file name: text}, as it was read."""


class InForceRow(SQLModel, table=True):
    """Which revision was put in force when; the highest number is in force."""

    __tablename__ = "revision_in_force"
    number: int | None = Field(default=None, primary_key=True)
    revision: str = Field(foreign_key="revision.id")
    at: datetime = _when()
    by: str


class ProposalRow(SQLModel, table=True):
    """A policy set that somebody proposes: its files, what it would change, and who must agree."""

    __tablename__ = "proposal"
    id: str = Field(primary_key=True)
    revision: str = Field(index=True, max_length=64)
    label: str
    base: str = Field(max_length=64)
    """The revision in force that the consequences were worked out against."""
    files: str = Field(sa_column=Column(Text, nullable=False))
    """JSON: {file name: text}, as it was read."""
    consequences: str = Field(sa_column=Column(Text, nullable=False))
    """JSON: what the plan said, by kind."""
    needs: str = Field(sa_column=Column(Text, nullable=False))
    """JSON: the classes of change, and the quorum that they ask for together."""
    document_sha256: str = Field(max_length=64)
    by: str
    at: datetime = _when()
    status: str = "open"
    """open, applied, refused, withdrawn, or overtaken when another revision came into force first."""
    ended_at: datetime | None = _when(nullable=True)


class ApprovalRow(SQLModel, table=True):
    """One person's answer to a proposal. Nobody answers twice, nor for another."""

    __tablename__ = "approval"
    proposal: str = Field(primary_key=True, foreign_key="proposal.id")
    person: str = Field(primary_key=True)
    member: str
    answer: str
    """approved or refused."""
    reason: str | None = None
    via: str
    at: datetime = _when()


class SignatureRow(SQLModel, table=True):
    """A governance lead's signature in chat or on the desk: of one text, by its hash, for one member."""

    __tablename__ = "signature"
    member: str = Field(primary_key=True)
    document_sha256: str = Field(primary_key=True, max_length=64)
    person: str
    revision: str = Field(max_length=64)
    via: str
    at: datetime = _when()


class DepartureRow(SQLModel, table=True):
    """A member that has left: nothing goes to it or comes from it, and it attests what it destroyed."""

    __tablename__ = "departure"
    member: str = Field(primary_key=True)
    at: datetime = _when()
    by: str
    attest_by: str
    """The last day for the attestation, as 2027-02-28."""
    attested_at: datetime | None = _when(nullable=True)
    attested_by: str | None = None
    return_asked_by: str | None = None


class ReviewRow(SQLModel, table=True):
    """An early review that somebody asked for (clause 1); open until a governance lead says that it is done."""

    __tablename__ = "review"
    id: int | None = Field(default=None, primary_key=True)
    at: datetime = _when()
    by: str
    reason: str
    closed_at: datetime | None = _when(nullable=True)
    closed_by: str | None = None


class AdHocRow(SQLModel, table=True):
    """A consignment outside the schedule: who approved it, with which reason, and until when that is possible."""

    __tablename__ = "ad_hoc"
    consignment: str = Field(primary_key=True, foreign_key="consignment.id")
    asked_at: datetime = _when()
    approve_by: datetime = _when(index=True)
    approved_by: str | None = None
    approved_at: datetime | None = _when(nullable=True)
    reason: str | None = None


class HeadRow(SQLModel, table=True):
    """The one row that gives every ledger entry its number and its predecessor."""

    __tablename__ = "ledger_head"
    id: int = Field(primary_key=True)
    number: int
    hash: str
    at: str


class LedgerRow(SQLModel, table=True):
    """One entry, every field as text; triggers refuse update and delete."""

    __tablename__ = "ledger"
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    at: str
    kind: str = Field(index=True)
    actor: str
    subjects: str = Field(sa_column=Column(Text, nullable=False))
    data: str = Field(sa_column=Column(Text, nullable=False))
    revision: str
    previous: str
    hash: str


class CounterRow(SQLModel, table=True):
    """The last number given out under a prefix and year: C-2026, D-2026."""

    __tablename__ = "counter"
    name: str = Field(primary_key=True)
    last: int


class ClockRow(SQLModel, table=True):
    """How far the exchange's clock is ahead of the real one, in microseconds (demos and tests only)."""

    __tablename__ = "clock"
    id: int = Field(primary_key=True)
    offset: int = Field(sa_type=BigInteger)


class ConsignmentRow(SQLModel, table=True):
    """One accepted upload. `staged`: under a temporary name, not sent yet. `blob`: its name in the spool."""

    __tablename__ = "consignment"
    id: str = Field(primary_key=True)
    person: str = Field(index=True)
    member: str = Field(index=True)
    via_key: str
    exchange: str
    period: str
    folder: str
    """The last folder of its path: a member's id, "everyone", or "" for a file named after its member."""
    recipients: str
    """The members it is sealed for, sorted, with commas."""
    name: str
    name_key: str
    size: int = Field(sa_type=BigInteger)
    sha256: str = Field(index=True)
    rows: int | None = None
    blob: str = Field(unique=True)
    blob_gone: bool = False
    payload_sha256: str
    payload_size: int = Field(sa_type=BigInteger)
    received_at: datetime = _when()
    release_at: datetime = _when()
    staged: bool = False
    hold: str | None = None
    """Why it is held and its sender asked: "completeness" or "same-bytes"; None when it is not."""
    hold_words: str | None = None
    cut_words: str | None = None
    """Why it may be only the beginning of a file; None when nothing says so."""
    warnings: int = 0
    """Findings that it was delivered with."""
    quality: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    """JSON of the findings that it was delivered with: lines, columns, rules, counts; never a value."""
    tidied: bool = False
    revision: str
    __table_args__ = (Index("ix_consignment_place", "member", "exchange", "period", "recipients", "name_key"),)


class KeyPacketRow(SQLModel, table=True):
    """What makes the sealed payload readable for one member. Dropping it ends that member's copy."""

    __tablename__ = "key_packet"
    consignment: str = Field(primary_key=True, foreign_key="consignment.id")
    member: str = Field(primary_key=True)
    packets: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    fingerprints: str
    """The primary fingerprints it is sealed to, with commas."""


class DeliveryRow(SQLModel, table=True):
    """A consignment as one recipient member has it."""

    __tablename__ = "delivery"
    id: str = Field(primary_key=True)
    consignment: str = Field(foreign_key="consignment.id", index=True)
    recipient: str = Field(index=True)
    status: Status = _state(Status, index=True)
    copy_state: SealedCopy = _state(SealedCopy, SealedCopy.KEPT, index=True)
    use_state: Use = _state(Use, Use.OPEN)
    available_at: datetime | None = _when(nullable=True)
    collected_at: datetime | None = _when(nullable=True)
    collected_by: str | None = None
    collected_key: str | None = None
    acknowledged_at: datetime | None = _when(nullable=True)
    acknowledged_by: str | None = None
    problem: str | None = None
    problem_by: str | None = None
    ended_at: datetime | None = _when(nullable=True)
    superseded_by: str | None = None
    controller: str
    controller_from: datetime | None = _when(nullable=True)
    use_by: str | None = None
    __table_args__ = (
        UniqueConstraint("consignment", "recipient"),
        _words(Status, "status"),
        _words(SealedCopy, "copy_state"),
        _words(Use, "use_state"),
    )


class NilRow(SQLModel, table=True):
    """A nil return: nothing to send this period."""

    __tablename__ = "nil_return"
    id: int | None = Field(default=None, primary_key=True)
    person: str
    member: str
    exchange: str
    period: str
    recipients: str
    folder: str
    name: str
    at: datetime = _when()
    tidied: bool = False
    __table_args__ = (UniqueConstraint("member", "exchange", "period", "recipients"),)


class ChecksumRow(SQLModel, table=True):
    """What `<name>.sha256` says about `<name>`; it settles a held upload at once."""

    __tablename__ = "checksum"
    id: int | None = Field(default=None, primary_key=True)
    person: str
    exchange: str
    period: str
    folder: str
    name: str
    name_key: str
    sha256: str
    size: int = Field(sa_type=BigInteger)
    at: datetime = _when()
    __table_args__ = (UniqueConstraint("person", "exchange", "period", "folder", "name_key"),)


class RefusalRow(SQLModel, table=True):
    """Why a file was refused: what stands in /refused/. Never a value from the file."""

    __tablename__ = "refusal"
    id: int | None = Field(default=None, primary_key=True)
    person: str = Field(index=True)
    place: str
    """The path below outbox/ without the name."""
    name: str
    name_key: str
    at: datetime = _when()
    code: str
    why: str = Field(sa_column=Column(Text, nullable=False))
    csv: str = Field(sa_column=Column(Text, nullable=False))
    removed: bool = False
    """The client removed the refused file: the name is free again, the why-file stays."""
    __table_args__ = (UniqueConstraint("person", "place", "name_key"),)


class NoticeRow(SQLModel, table=True):
    """One notice to one person; `version` above `sent_version` means that the relay has something to do."""

    __tablename__ = "notice"
    id: int | None = Field(default=None, primary_key=True)
    person: str = Field(index=True)
    thread: str
    body: str = Field(sa_column=Column(Text, nullable=False))
    version: int = 1
    created_at: datetime = _when()
    updated_at: datetime = _when(index=True)
    about: int
    """The ledger entry it was written with."""
    send_at: datetime | None = _when(nullable=True, index=True)
    """The first moment at which it may reach its person; None until somebody has looked at quiet hours."""
    joins: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """The thread of the day's message that it is told in; empty when it is a message of its own."""
    __table_args__ = (UniqueConstraint("person", "thread"),)


class SendingRow(SQLModel, table=True):
    """Where a notice was sent over one transport, so that the next version edits it in place."""

    __tablename__ = "sending"
    notice: int = Field(primary_key=True, foreign_key="notice.id")
    transport: str = Field(primary_key=True)
    address: str = Field(primary_key=True)
    """The chat account that it went to."""
    version: int = 0
    channel: str | None = None
    reference: str | None = None
    attempts: int = 0
    due_real: float = 0.0
    """Real time (seconds since 1970) before which nothing is tried; also the claim's lease."""


class ChatLinkRow(SQLModel, table=True):
    """A chat account tied to a person by a one-time code; it dies with the key that fetched the code."""

    __tablename__ = "chat_link"
    id: int | None = Field(default=None, primary_key=True)
    platform: str
    team: str
    account: str
    person: str = Field(index=True)
    via_key: str
    at: datetime = _when()
    __table_args__ = (UniqueConstraint("platform", "team", "account"),)


class CodeRow(SQLModel, table=True):
    """A one-time code or sign-in link, kept as its SHA-256 only. `purpose`: "chat" or "desk"."""

    __tablename__ = "code"
    hash: str = Field(primary_key=True)
    purpose: str
    person: str = Field(index=True)
    via_key: str
    made_at: datetime = _when()
    expires_real: float
    used: bool = False


class DeskSessionRow(SQLModel, table=True):
    """A signed-in browser, kept as its token's SHA-256 only."""

    __tablename__ = "desk_session"
    hash: str = Field(primary_key=True)
    person: str = Field(index=True)
    via_key: str
    form_token: str
    made_at: datetime = _when()
    expires_real: float


class SuspensionRow(SQLModel, table=True):
    """A person who may not act until two people lift it."""

    __tablename__ = "suspension"
    person: str = Field(primary_key=True)
    at: datetime = _when()
    by: str
    lift_asked_by: str | None = None


class SeenRow(SQLModel, table=True):
    """A chat action that was handled, so that its repetition does nothing."""

    __tablename__ = "seen_action"
    key: str = Field(primary_key=True)
    at_real: float


class KeyProposalRow(SQLModel, table=True):
    """A public key that a person put in /keys/mine/ for approval."""

    __tablename__ = "key_proposal"
    id: int | None = Field(default=None, primary_key=True)
    person: str = Field(index=True)
    name: str
    text: str = Field(sa_column=Column(Text, nullable=False))
    fingerprint: str
    at: datetime = _when()
    status: str = Field(default="open", sa_column_kwargs={"server_default": "open"})
    """open, approved, refused or withdrawn."""
    proposal: str | None = None
    """The proposal (P-…) that would put it into the policy set."""
    __table_args__ = (UniqueConstraint("person", "fingerprint"),)
