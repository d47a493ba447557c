"""Dates as people and spreadsheets write them, and what follows from a date of birth on a given day. Pure."""

from __future__ import annotations

import re
from calendar import FRIDAY
from datetime import date, timedelta
from typing import NamedTuple

from server.records.fault import TEXT_COLUMN, Fault

_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)
_BRITISH = re.compile(r"(\d\d)/(\d\d)/(\d{4})", re.ASCII)
_WRITE_ISO = "Write it as YYYY-MM-DD"
_SERIAL = Fault(
    "DATE_EXCEL_SERIAL",
    "it is a spreadsheet's day number (like 44629) and not a date.",
    "Format the column as YYYY-MM-DD in the spreadsheet and export again.",
    "refuse",
)
_WITH_TIME = Fault(
    "DATE_WITH_TIME",
    "there is a time behind the date (like 00:00:00).",
    "Export the column as a date without a time, as YYYY-MM-DD.",
    "refuse",
)
_MONTH_FIRST = Fault(
    "DATE_MONTH_FIRST",
    "the month seems to stand before the day, so every date of the column may be misread.",
    f"{_WRITE_ISO}; check the region that the export is set to.",
    "refuse",
)
_AMBIGUOUS = Fault(
    "DATE_AMBIGUOUS",
    "it can be read as more than one date.",
    f"{_WRITE_ISO} (DD/MM/YYYY with two, two and four digits is taken too).",
    "refuse",
)
_IMPOSSIBLE = Fault("DATE_IMPOSSIBLE", "there is no such day.", "Correct it at the source.", "refuse")
_FORMAT = Fault("DATE_FORMAT", "it is not a date as agreed.", f"{_WRITE_ISO}.", "refuse")
_MANGLED = Fault(
    "DATE_MANGLED", "the spreadsheet's column was too narrow or lost the date.", f"{TEXT_COLUMN}.", "refuse"
)
_ODD = (
    (re.compile(r"\d{5}(?:\.\d+)?", re.ASCII), _SERIAL),
    (re.compile(r"(?:\d{4}-\d\d?-\d\d?|\d\d?/\d\d?/\d{2,4})[ T]+\d{1,2}:\d\d.*", re.ASCII | re.DOTALL), _WITH_TIME),
    (re.compile(r"\d{1,2}[/.-]\d{1,2}[/.-](?:\d\d|\d{4})", re.ASCII), _AMBIGUOUS),
    (re.compile(r"#+|#[A-Z/0!?]+"), _MANGLED),
)


def read_date(value: str) -> date | Fault:
    """The day that `value` names: YYYY-MM-DD, or DD/MM/YYYY. Otherwise what is wrong with it, and how to mend it."""
    found = _ISO.fullmatch(value)
    if found:
        return _day(int(found[1]), int(found[2]), int(found[3]))
    found = _BRITISH.fullmatch(value)
    if found:
        if int(found[2]) > 12 >= int(found[1]):
            return _MONTH_FIRST
        return _day(int(found[3]), int(found[2]), int(found[1]))
    return next((fault for pattern, fault in _ODD if pattern.fullmatch(value)), _FORMAT)


def _day(year: int, month: int, day: int) -> date | Fault:
    try:
        return date(year, month, day)
    except ValueError:
        return _IMPOSSIBLE


def age_on(born: date, day: date) -> int:
    """Whole years of age on `day`; who was born on 29 February has the birthday on 1 March in other years."""
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


def cohort_end(born: date) -> int:
    """The year in which the school year of this birthday ends (a school year is September to August)."""
    return born.year if born.month <= 8 else born.year + 1


def year_group_on(born: date, day: date) -> int:
    """The school year group on `day`: born in March 2009 is year 13 in December 2026."""
    began = day.year if day.month >= 9 else day.year - 1
    return began - cohort_end(born) - 4


def compulsory_until(born: date) -> date:
    """The last day of compulsory school age: the last Friday in June of the school year of the 16th birthday."""
    last = date(cohort_end(born) + 16, 6, 30)
    return last - timedelta(days=(last.weekday() - FRIDAY) % 7)


class Standing(NamedTuple):
    """What an age rule needs to know of a date of birth: no more than this is compared or remembered."""

    age: int
    year_group: int
    compulsory: bool
    """Of compulsory school age."""


def standing_on(born: date, day: date) -> Standing:
    """Age, year group and compulsory school age on `day`."""
    age = age_on(born, day)
    return Standing(age, year_group_on(born, day), age >= 5 and day <= compulsory_until(born))
