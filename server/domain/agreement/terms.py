"""The small words of policy files: ids, texts, durations, times of day; and the base of every model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from server.domain.schedule import add_months

Id = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=40)]
ColumnName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$", max_length=40)]
Fingerprint = Annotated[str, StringConstraints(pattern=r"^[0-9A-F]{40}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
LaCode = Annotated[str, StringConstraints(pattern=r"^\d{3}$")]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=400)]
LongText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
Months = Annotated[str, StringConstraints(pattern=r"^P\d{1,2}M$")]
"""Calendar months, as P2M."""
Span = Annotated[str, StringConstraints(pattern=r"^P(\d{1,4}[DMY]|T\d{1,4}[HMS])$")]
"""One calendar or clock duration, as P7D, P3Y, PT72H or PT15M."""
WorkingDays = Annotated[str, StringConstraints(pattern=r"^\d{1,3}wd$")]
"""A number of working days, as 2wd."""
TimeOfDay = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
"""Wall-clock time in London, as 17:00."""
Year = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}$")]
"""A sharing or academic year, as 2026-27."""
Month = Annotated[int, Field(ge=1, le=12)]
"""A month of the year, 1 for January."""
Role = Literal["designated_person", "data_manager", "governance_lead", "administrator", "auditor"]
EVERYONE = "everyone"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written: file relative to the policy set, line and column from 1."""

    file: str
    line: int
    column: int


class Frozen(BaseModel):
    """Every model of the policy set: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False)


def after(day: date, span: str) -> date:
    """The day a `Span` after `day`: months clamp to their end; never later than the last day that there is."""
    number, unit = int(span.strip("PT")[:-1]), span[-1]
    try:
        if "T" in span:
            return day + timedelta(hours=number if unit == "H" else 0)
        if unit == "D":
            return day + timedelta(days=number)
        return add_months(day, number * 12 if unit == "Y" else number)
    except (ValueError, OverflowError):
        return date.max


def day_before(day: date) -> date:
    """The day before, or the first day that there is."""
    return day - timedelta(days=1) if day > date.min else day
