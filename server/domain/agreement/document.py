"""The legal document's facts: status, dates, channels, purposes, legal basis, signatures, what follows a leaving."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from server.domain.agreement.terms import Frozen, Id, LongText, Sha256, Span, Text, after, day_before

STATUSES = ("DRAFT", "FOR_APPROVAL", "APPROVED", "WITHDRAWN")
"""What an agreement's status may be (version control). Another word loads, is a lint error, and permits nothing."""


class InForce(Frozen):
    """From this day on, for so long."""

    from_: date = Field(alias="from")
    until: date | None = None
    term: Span | None = Field(default=None, description="the length that the text gives, as P3Y (clause 1)")

    @property
    def last_day(self) -> date | None:
        """The last day of it: `until` where it is written, else the end of the term (R-012); None for neither."""
        if self.until is not None or self.term is None:
            return self.until
        return day_before(after(self.from_, self.term))


class Review(Frozen):
    """When the agreement is looked at again, and what happens if nobody did."""

    due: date
    remind: tuple[Span, ...] = ()
    on_overdue: Literal["warn", "deny"] = "deny"


class Superseded(Frozen):
    """The version that this one takes the place of, as far as its text dated it (to the month)."""

    version: Text
    in_force: Text
    review: Text | None = None


class Author(Frozen):
    """Who drew the text up, by role (R-007)."""

    role: Text
    contact: Text | None = None


class Owner(Frozen):
    """The owner's address as the version control sheet has it (R-006)."""

    address: tuple[Text, ...] = ()


class Channel(Frozen):
    """A way of sending that the agreement allows."""

    id: Id
    kind: Literal["external", "this-server"]
    host: str | None = None


class Population(Frozen):
    """Whom the agreement, or one exchange, is about: ages in years, or academic year groups."""

    min_age: int | None = Field(default=None, ge=0, le=99)
    max_age: int | None = Field(default=None, ge=0, le=99)
    max_age_with_ldd: int | None = Field(default=None, ge=0, le=99)
    year_groups: tuple[int, ...] = ()
    over_19_needs: str | None = Field(default=None, description="the flag column that an older person's row needs")


class Purpose(Frozen):
    """What the data may be used for, and the clause that says so."""

    id: Id
    clause: str
    text: Text | None = None
    gateway: str | None = None


class Gateway(Frozen):
    """A statute that allows the sharing. `as_written` is the text's own citation where it differs."""

    id: Id
    cite: Text
    as_written: Text | None = None
    verified: bool = False
    covers: tuple[Literal["dwp"], ...] = Field(default=(), description="sources whose data only this gateway lets go")


class LawfulBasis(Frozen):
    """Why the sharing is lawful (clause 4; UK GDPR Articles 6 and 9)."""

    article6: tuple[str, ...]
    article9: str | None = None
    dpa2018_sch1: str | None = None
    criminal_offence: str | None = None
    appropriate_policy_document: str | None = None
    consent: Literal["not_relied_on", "explicit", "overridden_if_refused"] = "not_relied_on"
    statutory: tuple[Id, ...] = Field(default=(), description="gateways of the agreement as a whole")


class Controllership(Frozen):
    """Who answers in law, in the words of the text and in today's."""

    term_in_source: Text
    treated_as: Literal["independent", "joint"] | None = None
    article26_arrangement: Text | None = None


class Regime(Frozen):
    """Which law held from when to when."""

    name: Text
    from_: date | None = Field(default=None, alias="from")
    until: date | None = None


class Host(Frozen):
    """The member that runs this exchange, and its processor instrument towards the other members."""

    member: Id
    processor_instrument: Text | None = None


class Signature(Frozen):
    """A member's signature block as it stands. It counts for one text only: that of `document_sha256`."""

    member: Id
    state: Literal["block_missing", "blank", "named", "signed", "withdrawn"]
    on: date | None = None
    by_role: Text | None = None
    printed_name: Text | None = None
    document_sha256: Sha256 | None = None
    method: Literal["paper", "gpg", "desk"] | None = None


class InformationType(Frozen):
    """A kind of information that the text promises, and the exchanges that carry it (R-110)."""

    id: Id
    text: Text
    exchanges: tuple[Id, ...] = ()


class Attestations(Frozen):
    """How often each member attests that it keeps the security clauses."""

    training: Span | None = None
    physical: Span | None = None
    portable_encryption: Span | None = None
    subcontractors: Span | None = None


class Termination(Frozen):
    """What happens when a member leaves (clause 8)."""

    revoke_keys: bool = True
    lock_mailbox: bool = True
    attest_destruction_within: Span = "P2M"


class Publication(Frozen):
    """Whether and where the public can read the agreement (R-059)."""

    public: bool = False
    url: Text | None = None


class Assessment(Frozen):
    """The data protection impact assessment."""

    ref: Text
    on: date | None = None
    outcome: Text | None = None
    review: date | None = None


class Trigger(Frozen):
    """Something that made an early review necessary (clause 1, R-013)."""

    on: date
    reason: Text


class Agreement(Frozen):
    """The legal document's facts."""

    id: Id
    title: Text
    version: Text
    supersedes: Superseded | None = None
    status: Text
    in_force: InForce
    review: Review
    review_triggers: tuple[Trigger, ...] = ()
    owner: Id
    owner_details: Owner = Owner()
    drawn_up_by: Author | None = None
    host: Host | None = None
    controllership: Controllership | None = None
    legal_regime: tuple[Regime, ...] = ()
    approved_channels: tuple[Channel, ...] = ()
    population: Population = Population()
    purposes: tuple[Purpose, ...] = ()
    necessity: LongText | None = None
    lawful_basis: LawfulBasis
    gateways: tuple[Gateway, ...] = ()
    information_types: tuple[InformationType, ...] = ()
    data_subjects: tuple[Text, ...] = ()
    sources: tuple[Text, ...] = ()
    mi_requirement: Text | None = Field(default=None, description="the year of the code lists, as 2026-27 (R-063)")
    transparency: Text | None = Field(default=None, description="where the public is told; see each member's notice")
    dpia: Assessment | None = None
    onward_disclosure: Literal["prohibited"] = "prohibited"
    attestations: Attestations = Attestations()
    complaints: Text | None = None
    liability: LongText | None = None
    termination: Termination = Termination()
    publication: Publication = Publication()
    signatures: tuple[Signature, ...] = ()
