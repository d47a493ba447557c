"""The sharing schedule: what is shared, between whom, when, with which columns, codes and headers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Annotated, Literal

from pydantic import Field

from server.domain.agreement.document import Population
from server.domain.agreement.terms import ColumnName, Frozen, Id, Month, Role, Span, Text, TimeOfDay, WorkingDays

Severity = Literal["reject", "warn"]
ColumnType = Literal[
    "person_name", "address", "postcode", "uln", "upn", "date_of_birth", "date", "phone", "email", "code",
    "establishment", "laestab", "urn", "ukprn", "text", "level", "la_code", "flag", "source",
]  # fmt: skip
"""How a column's values are checked; the rules are in `server.records`."""


class ExchangeBasis(Frozen):
    """The legal basis of one exchange."""

    article6: tuple[str, ...]
    gateways: tuple[Id, ...] = ()


class SpecialCategory(Frozen):
    """The condition under which special-category fields may be shared (R-032)."""

    fields: tuple[ColumnName, ...]
    article9: Text
    dpa2018_sch1: Text


class Window(Frozen):
    """The days of the month in which an exchange falls.

    `working_days` from/to; `days` from/to; `week` n with first full, containing_1st or containing_first_working_day;
    `month`; `dates`.
    """

    kind: Literal["working_days", "days", "week", "month", "dates"]
    from_: int | None = Field(default=None, alias="from", ge=1, le=31)
    to: int | None = Field(default=None, ge=1, le=31)
    n: int | None = Field(default=None, ge=1, le=5)
    first: Literal["full", "containing_1st", "containing_first_working_day"] | None = None
    dates: tuple[date, ...] = ()


class Due(Frozen):
    """When in the window it is due: wall-clock time in London."""

    at: Literal["window_end", "nth_working_day", "last_working_day", "day"] = "window_end"
    n: int | None = Field(default=None, ge=1, le=31)
    roll: Literal["previous", "next", "none"] = "next"
    time: TimeOfDay = "17:00"


class AfterEvent(Frozen):
    """Due so many working days after an event outside."""

    event: Id
    within: WorkingDays


class Recurrence(Frozen):
    """When an exchange comes round. A blank `months` is a lint: nobody said which."""

    year: Literal["april-march"] = "april-march"
    months: Literal["all"] | tuple[Month, ...] | None = None
    window: Window | None = None
    due: Due = Due()
    after_event: AfterEvent | None = None
    calendar: Id | None = None
    covers: Literal["previous_month", "same_month"] = "previous_month"


class Event(Frozen):
    """Something outside that an exchange waits for."""

    name: Id
    expected_months: tuple[Month, ...] = ()
    note: Text | None = None


class Reminder(Frozen):
    """When whom is reminded, from the window's start or around the due day."""

    at: Literal["window_start", "due_day"] | None = None
    before_due: WorkingDays | None = None
    after_due: WorkingDays | None = None
    time: TimeOfDay = "09:00"
    to: tuple[Role, ...]
    style: Literal["digest", "message", "overdue", "escalate"] = "message"


class Acknowledgement(Frozen):
    """How soon a delivery is acknowledged, how it is chased, and who hears in the end."""

    within: WorkingDays = "2wd"
    chase_every: WorkingDays = "2wd"
    max_chases: int = Field(default=3, ge=0, le=10)
    then: Role = "governance_lead"


class AdHoc(Frozen):
    """An exchange outside the schedule (R-026): a reason, a governance lead's approval, one recipient, an expiry."""

    approve_within: Span = "P2D"
    expires_after: Span = "P14D"


class Exchange(Frozen):
    """One row of the sharing schedule."""

    id: Id
    title: Text
    short: Text | None = None
    clause: str
    source_row: str | None = None
    purposes: tuple[Id, ...] = ()
    lawful_basis: ExchangeBasis | None = None
    special_category: SpecialCategory | None = None
    personal_data: bool = True
    members: Literal["all"] | tuple[Id, ...] = Field(description="`all`, or the ids of those it is open to")
    processing_party: Id | None = None
    broadcast: bool = False
    population: Population = Population()
    record_schema: Id | None = None
    formats: tuple[str, ...] = ()
    """Agreed extensions without the dot; empty: any file."""
    content_inspection: Literal["records", "none"] = "records"
    obligation: Literal["required", "best_efforts", "external", "on_request", "ad_hoc"] | None = None
    recurrence: Recurrence | None = None
    external_event: Event | None = None
    reminders: tuple[Reminder, ...] = ()
    acknowledge: Acknowledgement = Acknowledgement()
    ad_hoc: AdHoc = AdHoc()
    completeness: Literal["ask", "trust"] = "ask"
    files: Literal["many", "one"] = "many"
    nil_return: Literal["allowed", "refused"] = "allowed"
    release_after: timedelta = timedelta(minutes=2)
    retention: Id = "two-months"
    max_bytes: int = Field(default=5 * 1024**3, ge=1)
    controller_from: Literal["first_download", "acknowledgement"] = "first_download"
    notice_url: Text | None = None
    suggestion: Text | None = None

    @property
    def called(self) -> str:
        """The name used in short sentences."""
        return self.short or self.title

    @property
    def covers_its_month(self) -> bool:
        """Whether a month's files are sent within that month; a worry of today does not wait for the next."""
        if self.obligation == "ad_hoc":
            return True
        return self.recurrence is not None and self.recurrence.covers == "same_month"

    @property
    def by_file(self) -> bool:
        """Whether files through this exchange carry it; an external one is something that people do elsewhere."""
        return self.obligation != "external"


class Column(Frozen):
    """One agreed column. With `repeat` n it stands for name_1 … name_n, of which any may be there."""

    name: ColumnName
    type: ColumnType
    required: bool = Field(default=False, description="whether the header must have it")
    filled: bool = Field(default=False, description="whether no cell of it may be empty")
    severity: Severity | None = Field(default=None, description="what a bad value does; otherwise its type's own rule")
    max: int = Field(default=100, ge=1, le=4000)
    repeat: int | None = Field(default=None, ge=2, le=20)
    codes: Id | None = None
    special_category: bool = False
    as_written: Text | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The header's names for it."""
        return tuple(f"{self.name}_{n}" for n in range(1, self.repeat + 1)) if self.repeat else (self.name,)


class RecordSchema(Frozen):
    """The agreed columns of a record file. Any other column is refused (R-027)."""

    id: Id
    title: Text | None = None
    columns: tuple[Column, ...] = Field(min_length=1)
    one_of: tuple[tuple[ColumnName, ...], ...] = Field(
        default=(), description="of each of these groups, at least one column must be in the header"
    )

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that the header may have, in the schema's order."""
        return tuple(name for column in self.columns for name in column.names)

    @property
    def required(self) -> tuple[str, ...]:
        """The names that the header must have."""
        return tuple(column.names[0] for column in self.columns if column.required)

    def column(self, name: str) -> Column | None:
        """The column that a header's name belongs to."""
        return next((column for column in self.columns if name in column.names), None)


class Code(Frozen):
    """One code and when it may be used. Codes are text: 010 is not 10."""

    code: Annotated[str, Field(min_length=1, max_length=60)]
    label: Text
    group: Text | None = None
    special_category: bool = False
    compulsory_age: bool = Field(default=False, description="only while the person is of compulsory school age")
    min_age: int | None = Field(default=None, ge=0, le=99)
    needs_flag: ColumnName | None = None
    needs_filled: ColumnName | None = Field(
        default=None, description="the column, or one of its repeats, that a row with this code must fill"
    )
    year_groups: tuple[int, ...] = ()


class CodeList(Frozen):
    """The codes that a column may hold. `verified` false: some labels are not confirmed by their publisher."""

    id: Id
    title: Text
    source: Text
    verified: bool = False
    codes: tuple[Code, ...] = Field(min_length=1)


class HeaderMapping(Frozen):
    """What a sender's export calls the agreed columns: {their header: our name}."""

    id: Id
    member: Id
    exchanges: tuple[Id, ...] = ()
    headers: Mapping[str, ColumnName]


class Calendar(Frozen):
    """The days that are no working days, for the years it covers. An uncovered year is an error, never no holidays."""

    id: Id
    source: Text
    covers_from: date
    covers_until: date
    holidays: tuple[date, ...]
