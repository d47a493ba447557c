"""The tables of what is owed and when, and of how what was received ends: one room for the clock's rows."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, Index, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from server.store.tables import _when


class ObligationRow(SQLModel, table=True):
    """What a sender owes a recipient in one exchange for one period; made ahead, never rewritten once it has begun."""

    __tablename__ = "obligation"
    id: int | None = Field(default=None, primary_key=True)
    exchange: str
    period: str
    sender: str = Field(index=True)
    recipient: str
    """Empty for an external one: it is done elsewhere, for nobody here."""
    kind: str
    """required, best_efforts, external or on_request."""
    opens: str
    """The first day of its window, as 2026-12-01."""
    due_at: datetime = _when(index=True)
    revision: str
    """The policy revision that it was made under."""
    made_at: datetime = _when()
    asked_by: str | None = None
    """The recipient's person who asked for it, where it is on request."""
    answer: str = "none"
    """none, waiting, sent, nil, cannot, done or withdrawn: see `server.domain.obligation`."""
    met_at: datetime | None = _when(nullable=True)
    """When it was first met; late is late even when later met."""
    met_by: str | None = None
    reference: str | None = None
    """The consignment (C-…) or the day that a download was made on."""
    reason: str | None = None
    """Why it cannot be sent: words without personal data."""
    blocked: str | None = None
    """What the exchange itself or the recipient prevented when it fell due: then it is never late for the sender."""
    closed: bool = False
    """Its due time has passed and was looked at."""
    __table_args__ = (
        UniqueConstraint("exchange", "period", "sender", "recipient"),
        Index("ix_obligation_pair", "exchange", "period", "sender"),
    )


class StageRow(SQLModel, table=True):
    """One stage of a reminder, a chase or an escalation: it fires once, whoever looks, however often."""

    __tablename__ = "stage"
    id: int | None = Field(default=None, primary_key=True)
    about: str
    """What it is about: "owed:post16-destinations:2026-11:essex", "ack:D-2026-000417" …"""
    stage: str
    due_at: datetime = _when(index=True)
    done_at: datetime | None = _when(nullable=True, index=True)
    outcome: str | None = None
    """told, nothing (it had been done), overtaken (a later stage had come as well) or nobody (nobody to tell)."""
    entry: int | None = None
    """The ledger entry it was told with."""
    __table_args__ = (UniqueConstraint("about", "stage"),)


class ToldRow(SQLModel, table=True):
    """Who was told a stage, and on which day in London: exactly once."""

    __tablename__ = "stage_told"
    stage: int = Field(primary_key=True, foreign_key="stage.id")
    person: str = Field(primary_key=True)
    """A person's id, or "team:kent" for a member's team address."""
    day: str = Field(index=True)


class AbsenceRow(SQLModel, table=True):
    """A person who is away, and who stands in."""

    __tablename__ = "absence"
    id: int | None = Field(default=None, primary_key=True)
    person: str = Field(index=True)
    from_day: str
    until_day: str
    """The last day of it."""
    cover: str | None = None
    at: datetime = _when()
    by: str
    ended_at: datetime | None = _when(nullable=True)


class SnoozeRow(SQLModel, table=True):
    """Something that a person wants to hear of later."""

    __tablename__ = "snooze"
    person: str = Field(primary_key=True)
    about: str = Field(primary_key=True)
    until_day: str
    at: datetime = _when()


class HeartbeatRow(SQLModel, table=True):
    """When the exchange last looked at what is due; a gap in it is an outage."""

    __tablename__ = "heartbeat"
    id: int = Field(primary_key=True)
    at: datetime = _when()


class OutageRow(SQLModel, table=True):
    """A time in which the exchange did not run."""

    __tablename__ = "outage"
    id: int | None = Field(default=None, primary_key=True)
    from_at: datetime = _when()
    until_at: datetime = _when()


class OutsideEventRow(SQLModel, table=True):
    """Something outside that happened, such as the publication of a download, on a day."""

    __tablename__ = "outside_event"
    name: str = Field(primary_key=True)
    day: str = Field(primary_key=True)
    at: datetime = _when()
    by: str


class AttestationRow(SQLModel, table=True):
    """What a recipient says became of one delivery: counts that add up, then what was destroyed, where and how."""

    __tablename__ = "attestation"
    delivery: str = Field(primary_key=True, foreign_key="delivery.id")
    member: str = Field(index=True)
    received: int
    kept: int
    not_ours: int
    rejected: int
    processed_at: datetime = _when()
    processed_by: str
    places: str | None = None
    """JSON: the places where it was held, with how it was destroyed in each: {place: method}."""
    backups: str | None = None
    """"none", "beyond use", or the day on which the last backup expires, as 2027-03-31."""
    subcontractors: str | None = None
    exceptions: str | None = None
    witness: str | None = None
    destroyed_at: datetime | None = _when(nullable=True)
    destroyed_by: str | None = None
    countersigned_at: datetime | None = _when(nullable=True)
    countersigned_by: str | None = None


class AttestedAuthorityRow(SQLModel, table=True):
    """The part of an attestation that is about one represented authority."""

    __tablename__ = "attested_authority"
    delivery: str = Field(primary_key=True, foreign_key="delivery.id")
    la: str = Field(primary_key=True)
    kept: int
    at: datetime = _when()
    by: str


class HabitRow(SQLModel, table=True):
    """What a member said last about places, methods and backups, to be offered again."""

    __tablename__ = "habit"
    member: str = Field(primary_key=True)
    answers: str = Field(sa_column=Column(Text, nullable=False))
    """JSON."""
    at: datetime = _when()


class HoldRow(SQLModel, table=True):
    """A legal hold on a delivery's sealed copy. It beats every purge, and only a person ends it."""

    __tablename__ = "hold"
    id: str = Field(primary_key=True)
    delivery: str = Field(foreign_key="delivery.id", index=True)
    by: str
    member: str
    reason: str
    at: datetime = _when()
    released_at: datetime | None = _when(nullable=True)
    released_by: str | None = None


class PurgeRow(SQLModel, table=True):
    """The journal of a purge: begun in the transaction that made it unreadable, unlinked, certified."""

    __tablename__ = "purge"
    delivery: str = Field(primary_key=True, foreign_key="delivery.id")
    rule: str
    """acknowledged, use_by, recalled, superseded, expired, departed …"""
    facts: str = Field(sa_column=Column(Text, nullable=False))
    """JSON: what the certificate says of what was there."""
    begun_at: datetime = _when()
    actor: str
    unlinked_at: datetime | None = _when(nullable=True)
    certified_at: datetime | None = _when(nullable=True, index=True)


class CertificateRow(SQLModel, table=True):
    """A certificate as it was issued: its two forms, each with its detached signature."""

    __tablename__ = "certificate"
    id: str = Field(primary_key=True)
    kind: str
    """system (the exchange's sealed copy) or recipient (an attestation); never both."""
    delivery: str = Field(foreign_key="delivery.id", index=True)
    version: int = 1
    at: datetime = _when()
    document: str = Field(sa_column=Column(Text, nullable=False))
    document_signature: str = Field(sa_column=Column(Text, nullable=False))
    page: str = Field(sa_column=Column(Text, nullable=False))
    page_signature: str = Field(sa_column=Column(Text, nullable=False))
    __table_args__ = (UniqueConstraint("kind", "delivery", "version"),)


class FindingRow(SQLModel, table=True):
    """Something that a person has to look at. A permanent one is never cleared."""

    __tablename__ = "finding"
    id: int | None = Field(default=None, primary_key=True)
    code: str
    subject: str
    words: str = Field(sa_column=Column(Text, nullable=False))
    at: datetime = _when()
    permanent: bool = False
    cleared_at: datetime | None = _when(nullable=True)
    __table_args__ = (UniqueConstraint("code", "subject"),)


class AnchorRow(SQLModel, table=True):
    """The ledger's head at the beginning of a day, signed: what was handed out, and is never replaced."""

    __tablename__ = "anchor"
    day: str = Field(primary_key=True)
    number: int
    hash: str
    at: datetime = _when()
    signature: str = Field(sa_column=Column(Text, nullable=False))


class FeedRow(SQLModel, table=True):
    """A secret address of a person's calendar feed, kept as its SHA-256 only."""

    __tablename__ = "feed"
    hash: str = Field(primary_key=True)
    person: str = Field(index=True)
    via_key: str
    made_at: datetime = _when()
    ended_at: datetime | None = _when(nullable=True)


class CorrectionRow(SQLModel, table=True):
    """A record found wrong, by line and field and never by value: its sender answers, and may send again."""

    __tablename__ = "correction"
    id: str = Field(primary_key=True)
    delivery: str = Field(foreign_key="delivery.id", index=True)
    line: int
    field: str
    by: str
    member: str
    at: datetime = _when()
    status: str = "open"
    """open, accepted, reissued, declined or withdrawn."""
    answered_at: datetime | None = _when(nullable=True)
    answered_by: str | None = None
    answer: str | None = None
    reissued_by: str | None = None
    """The delivery that carries the right record."""


class YearlyRow(SQLModel, table=True):
    """A statement that a member gives every year: physical security, training, portable devices, due diligence …"""

    __tablename__ = "yearly"
    id: int | None = Field(default=None, primary_key=True)
    member: str = Field(index=True)
    kind: str
    at: datetime = _when()
    by: str
    answers: str = Field(sa_column=Column(Text, nullable=False))
    """JSON: what was ticked."""
