"""Rules that hold for every exchange: approval of changes, retention, breach, rights, notifications, keys, waivers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from server.domain.agreement.terms import Frozen, Id, Months, Role, Span, Text, TimeOfDay, WorkingDays

QuietHours = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")]


class Quorum(Frozen):
    """Who must approve a change: so many different people, of so many members, and the named parties among them."""

    people: int = Field(default=1, ge=1, le=50)
    members: int = Field(default=1, ge=1, le=50)
    own_lead: bool = Field(default=False, description="a governance lead of each member that the change is about")
    host: bool = Field(default=False, description="an approver of the member that runs the exchange")
    signatories: bool = Field(default=False, description="a governance lead of every member that has signed")


class Approvals(Frozen):
    """The quorum of each class of change. A proposal is as strict as its strictest part."""

    roles: frozenset[Role] = Field(
        default=frozenset({"administrator", "governance_lead"}), description="whose approval counts", min_length=1
    )
    removing: Quorum = Quorum()
    key_refresh: Quorum = Field(default=Quorum(), description="the same key with a later end (keys.yaml permits it)")
    own_people: Quorum = Quorum(people=2, own_lead=True, host=True)
    widening: Quorum = Quorum(people=2, members=2)
    agreement_text: Quorum = Quorum(people=2, members=2, signatories=True)


class PolicyMeta(Frozen):
    """The set's own name and version. The version must move whenever the content does."""

    id: Id
    version: Text
    strict: Literal[True] = True
    approvals: Approvals = Approvals()
    horizon_months: int = Field(default=14, ge=1, le=36)


class UseBy(Frozen):
    """Until when a delivery may be used: calendar months, clamped to the month's end, never rolled forward."""

    from_: Literal["available", "first_download"] = Field(default="available", alias="from")
    length: Months


class ServerCopy(Frozen):
    """When the sealed copy here goes: after acknowledgement plus grace, or at use-by, whichever is first."""

    acknowledged_plus: Span = "P7D"


class RetentionRule(Frozen):
    """How long what an exchange carries is kept, and what follows its use (clause 8)."""

    id: Id
    use_by: UseBy
    server_copy: ServerCopy = ServerCopy()
    destroy_within: WorkingDays = "1wd"
    escalate_after: WorkingDays = "3wd"
    reminders_before_use_by: tuple[Span, ...] = ()
    overdue_repeat: WorkingDays = "2wd"
    collect_within: WorkingDays = "10wd"

    @property
    def use_by_months(self) -> int:
        """`use_by.length` in calendar months."""
        return int(self.use_by.length[1:-1])


class AttestationRule(Frozen):
    """Who says what became of a recipient's copies."""

    by: Role = "data_manager"
    witness: Literal["optional", "required"] = "optional"
    per_represented_la: bool = True


class LegalHold(Frozen):
    """A hold beats every purge, and ends only by a person."""

    remind: Span = "P7D"
    release_by: Role = "governance_lead"


class Retention(Frozen):
    """retention.yaml."""

    rules: tuple[RetentionRule, ...] = Field(min_length=1)
    attestation: AttestationRule = AttestationRule()
    legal_hold: LegalHold = LegalHold()
    evidence: Span = "P6Y"


class Breach(Frozen):
    """breach.yaml: the clocks and the fan-out of an incident (clause 11)."""

    ico_deadline: Span = "PT72H"
    aware_from: Literal["notice_delivered", "acknowledged"] = "notice_delivered"
    fan_out: Literal["each_data_manager"] = "each_data_manager"
    missing_contact: Literal["manual_task"] = "manual_task"
    escalate_office_hours: Span = "PT1H"
    escalate_out_of_hours: Span = "PT4H"
    lead_has_not_looked: tuple[Span, ...] = ("PT15M", "PT30M")
    no_answer: Span = "PT4H"
    countdown: tuple[Span, ...] = ()
    confirm_each_authority: bool = True


class Consultation(Frozen):
    """How long an originator has to advise, and when it is chased."""

    within: WorkingDays
    chase: WorkingDays | None = None


class SubjectAccess(Frozen):
    """Subject access requests (clause 5)."""

    length: Months = "P1M"
    extension: Months = "P2M"
    calendar: Id
    consult: Consultation


class Freedom(Frozen):
    """Freedom of information requests (FOIA section 10)."""

    within: WorkingDays = "20wd"
    calendar: Id
    consult: Consultation
    decision_by: Literal["receiver"] = "receiver"


class Correction(Frozen):
    """What follows when a record is found wrong (clause 9)."""

    sender_answers: WorkingDays = "2wd"
    reissue: WorkingDays = "5wd"


class Complaint(Frozen):
    """DPA 2018 section 164A."""

    acknowledge: Span = "P30D"
    count_from: Literal["day_after_receipt"] = "day_after_receipt"


class Statements(Frozen):
    """How often each member says again what nobody else can see, beside the attestations of the signed text."""

    privacy_notice: Span | None = Field(default="P1Y", description="that its privacy notice is still accurate (R-038)")
    due_diligence: Span | None = Field(default="P1Y", description="its checklist of due diligence (clause 9, R-090)")


class Rights(Frozen):
    """rights.yaml."""

    sar: SubjectAccess
    foi: Freedom
    correction: Correction = Correction()
    complaint: Complaint = Complaint()
    statements: Statements = Statements()


class Quiet(Frozen):
    """When nobody is written to, but for incidents."""

    hours: tuple[QuietHours, ...] = ()
    non_working_days: bool = True
    except_: tuple[Literal["breach"], ...] = Field(default=("breach",), alias="except")


class Notifications(Frozen):
    """notifications.yaml."""

    quiet: Quiet = Quiet()
    calendar: Id | None = Field(default=None, description="whose working days notices keep; else the first calendar")
    closures: Mapping[Id, tuple[date, ...]] = Field(
        default_factory=dict,
        description="by member: days on which its people are not reminded, such as a council's own",
    )
    snooze_at_most: WorkingDays = "2wd"
    digest_daily: TimeOfDay = "09:00"
    max_per_person_per_day: int = Field(default=6, ge=1, le=50)
    transports: tuple[Literal["chat", "email", "mailbox"], ...] = ("chat", "email", "mailbox")
    link_code_valid: Span = "PT30M"


class KeyRules(Frozen):
    """keys.yaml: whose keys a member's files are sealed to, and when an owner is told that one runs out."""

    sealed_to: frozenset[Literal["data_managers", "cover", "recovery_key"]] = frozenset({
        "data_managers", "cover", "recovery_key",
    })  # fmt: skip
    expiry_warn_days: tuple[int, ...] = (60, 30, 14, 7, 1)
    refresh_same_fingerprint: bool = True


class Waiver(Frozen):
    """A finding that somebody answers for, for at most twelve months. `target` may end in `*`."""

    code: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$")]
    target: Text
    reason: Text
    approved_by: Id
    expires: date
