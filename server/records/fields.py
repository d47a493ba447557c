"""One rule for each type of column (the field dictionary): which values are as agreed, and how to mend the others.

A value that is right costs little: a whole column is matched by one pattern, or its distinct values against those that
were right before. Only where that fails is each value judged.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Protocol

from server.domain.agreement import Column
from server.domain.findings import Severity
from server.domain.schedule import add_months
from server.records.dates import read_date
from server.records.fault import (
    CONTROL,
    EMPTY,
    FORMULA,
    SCIENTIFIC,
    SPACES,
    TEXT_COLUMN,
    Fault,
    has_control,
    is_scientific,
    runs,
    too_long,
)
from server.records.identifiers import LA_CODES, ULN_DEFAULT, uln_ok, ulns_ok, upn_ok, upn_shape_ok

Judge = Callable[[str], Fault | None]
"""What is wrong with a value that is not empty and has no spaces around it."""

VERIFIED = "date_verified"
"""The column that says when a record was last looked at (R-088); every other date is a start date."""
SOURCES = frozenset({"dwp", "school", "college", "provider", "dfe", "survey"})
LEVELS = frozenset({"E", "1", "2", "3", "4", "5", "6", "7", "8", "other"})
_KNOWN = 20_000
"""Distinct values of a column that are remembered as right."""
_SPACES = " \u00a0"
_LETTER = "A-Za-zÀ-ÖØ-öø-ɏ"
_SEEN = r"\x20-\x7e\xa1-\xac\xae-\u052f"
_FREE = {"person_name", "address", "text", "establishment"}
"""Types whose spaces around a value harm nobody."""


def _warn(rule: str, says: str, remedy: str) -> Fault:
    return Fault(rule, says, remedy, "warn")


NAME_DIGITS = _warn("NAME_DIGITS", "a name holds a digit.", "Correct it at the source, or move the column.")
NAME_CHARACTERS = _warn(
    "NAME_CHARACTERS", "a name holds a sign that is in no name.", "Letters, spaces, hyphens, dots and apostrophes only."
)
NAME_NOT_NFC = _warn(
    "NAME_NOT_NFC", "an accent is written apart from its letter.", "Export in Unicode's composed form (NFC)."
)
POSTCODE_FORMAT = _warn("POSTCODE_FORMAT", "it is not a UK postcode.", "Correct it, or leave the cell empty.")
POSTCODE_SPACING = _warn(
    "POSTCODE_SPACING",
    "a postcode is not written as agreed.",
    "Capitals, with one space before the last three characters; the receiver reads it so.",
)
POSTCODE_PSEUDO = _warn(
    "POSTCODE_PSEUDO", "it is a pseudo-postcode (ZZ99).", "Send the real postcode, or leave the cell empty."
)
ULN_IS_DEFAULT = Fault(
    "ULN_DEFAULT", "it is the number that stands for no ULN.", "Leave the cell empty where no ULN is known.", "refuse"
)
ULN_FORMAT = _warn("ULN_FORMAT", "a ULN has ten digits and does not begin with 0.", f"{TEXT_COLUMN}.")
ULN_CHECKSUM = _warn("ULN_CHECKSUM", "the ULN's check digit is wrong.", "Look the number up again at the source.")
UPN_FORMAT = _warn(
    "UPN_FORMAT",
    "a UPN has thirteen characters: a capital (never I, O or S), eleven digits, a digit or capital.",
    "Look the number up again at the source, or leave the cell empty.",
)
UPN_CHECK_LETTER = _warn(
    "UPN_CHECK_LETTER", "the UPN's first letter does not fit its digits.", "Look the number up again at the source."
)
UPN_LA = _warn("UPN_LA_UNKNOWN", "the UPN's authority is not known.", "Look the number up again at the source.")
PHONE_LOST_ZERO = _warn(
    "PHONE_LOST_ZERO",
    "the leading zero is lost.",
    f"Put the 0 back in front, or write +44 in front. {TEXT_COLUMN}.",
)
PHONE_FORMAT = _warn(
    "PHONE_FORMAT",
    "it is not a UK number or an international one.",
    "One number in a cell: 0 and nine or ten digits, or + with the country's code and without (0).",
)
EMAIL_FORMAT = _warn("EMAIL_FORMAT", "it is not an e-mail address.", "One address in a cell, without a name beside it.")
CODE_UNKNOWN = Fault(
    "CODE_UNKNOWN", "the code is not in the agreed list.", "Use the agreed list's code, exactly so.", "refuse"
)
CODE_LOST_ZERO = Fault(
    "CODE_LOST_ZERO", "the code has lost its leading zeros.", f"Codes are text, so {TEXT_COLUMN.lower()}.", "refuse"
)
LAESTAB_FORMAT = _warn(
    "LAESTAB_FORMAT",
    "a LAESTAB has seven digits: three of a known authority, four of the establishment.",
    "Write it without a slash, or 9999 where there is none.",
)
URN_FORMAT = _warn("URN_FORMAT", "a URN has six digits.", "Look it up in Get Information about Schools.")
UKPRN_FORMAT = _warn("UKPRN_FORMAT", "a UKPRN has eight digits and begins with 1.", "Look it up in the UKRLP.")
LEVEL_UNKNOWN = _warn("LEVEL_UNKNOWN", "the level is not E, 1 to 8 or other.", "Write the RQF level.")
LA_CODE_UNKNOWN = _warn(
    "LA_CODE_UNKNOWN", "it is not the three-digit DfE code of an agreed authority.", "Write the DfE code, as 881."
)
FLAG_UNKNOWN = _warn("FLAG_UNKNOWN", "a flag is Y or N.", "Write Y or N, or leave the cell empty.")
SOURCE_UNKNOWN = _warn(
    "SOURCE_UNKNOWN", "the source is not one that is agreed.", "Write dwp, school, college, provider, dfe or survey."
)
DATE_FUTURE = Fault("DATE_FUTURE", "the day is still to come.", "Correct it at the source.", "refuse")
START_TOO_LATE = _warn(
    "START_TOO_LATE", "it begins more than twelve months after the due day.", "Correct it at the source."
)

_POSTCODE = "[A-Z]{1,2}[0-9][A-Z0-9]? [0-9][A-Z]{2}"
_POSTCODE_OK = re.compile(_POSTCODE)
_NATIONAL = re.compile(r"0[1-35789]\d{8,9}", re.ASCII)
_INTERNATIONAL = re.compile(r"\+(?:44[1-35789]\d{8,9}|(?!44)[1-9]\d{6,13})", re.ASCII)
_EMAIL = re.compile(r"[^\s@]+@[^\s@.,;]+(?:\.[^\s@.,;]+)+")


class Quick(Protocol):
    """A look that tells values that are surely right; of the others nothing is said."""

    def all(self, values: Sequence[str]) -> bool:
        """Whether each value is empty or surely right."""

    def one(self, value: str) -> bool:
        """Whether this value is surely right."""


class Pattern:
    """A pattern that matches no line break, over a whole column in one go."""

    __slots__ = ("_one", "_whole")

    def __init__(self, pattern: str) -> None:
        self._one = re.compile(pattern, re.ASCII)
        self._whole = re.compile(rf"(?:(?:{pattern})?+\n)*+", re.ASCII)

    def all(self, values: Sequence[str]) -> bool:
        """Whether each value is empty or matches."""
        text = "\n".join(values) + "\n"
        return self._whole.fullmatch(text) is not None and text.count("\n") == len(values)

    def one(self, value: str) -> bool:
        """Whether this value matches."""
        return self._one.fullmatch(value) is not None


class Ulns(Pattern):
    """Ten digits with the right check digit."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("[1-9][0-9]{9}")

    def all(self, values: Sequence[str]) -> bool:
        """Whether each value is empty or a valid ULN."""
        return super().all(values) and ulns_ok([value for value in values if value])

    def one(self, value: str) -> bool:
        """Whether this value is a valid ULN."""
        return uln_ok(value)


_SEVERITY: Mapping[str | None, Severity | None] = {"reject": "refuse", "warn": "warn", None: None}


class Field:
    """One column of the file at hand: tells the values that break its rule."""

    __slots__ = ("_empty", "_judge", "_known", "_many", "_quick", "_severity", "_strict", "column")

    def __init__(self, column: Column, judge: Judge, quick: Quick | None = None) -> None:
        """`judge` looks at each distinct value of which `quick` does not say that it is right."""
        self.column = column
        self._judge, self._quick = judge, quick
        self._severity = _SEVERITY[column.severity]
        must = column.filled or (column.required and column.type in {"person_name", "date_of_birth"})
        self._empty = EMPTY.at(self._severity) if must else None
        self._strict = column.type not in _FREE
        self._known: set[str] = set()
        self._many = False
        """Whether the column's values were mostly different ones lately."""

    def faults(self, values: Sequence[str]) -> dict[str, Fault]:
        """Each distinct value that is not as agreed, with what is wrong. Kept by nobody."""
        if self._many and self._is_clean(values):
            return {}
        new = set(values)
        self._many = self._quick is not None and len(new) * 3 > len(values)
        if not self._many:
            new -= self._known
            if not new:
                return {}
            if self._is_clean(tuple(new)):
                self._remember(new)
                return {}
        sure = self._quick.one if self._quick is not None else _never
        found = {value: fault for value in new if not sure(value) and (fault := self.fault(value)) is not None}
        self._remember(new.difference(found))
        return found

    def _is_clean(self, values: Sequence[str]) -> bool:
        """Whether one look tells that all are right."""
        return self._quick is not None and (self._empty is None or "" not in values) and self._quick.all(values)

    def _remember(self, right: set[str]) -> None:
        if len(self._known) + len(right) > _KNOWN:
            self._known.clear()
        if len(right) <= _KNOWN:
            self._known |= right

    def fault(self, value: str) -> Fault | None:
        """What is wrong with this value, if anything."""
        bare = value.strip(_SPACES)
        if not bare:
            return self._empty or (SPACES.at(self._severity) if value and self._strict else None)
        fault = self._judge(bare)
        if fault is None and self._strict and bare != value:
            fault = SPACES
        return fault.at(self._severity) if fault else None


def _never(value: str) -> bool:
    return False


def field_for(column: Column, codes: Iterable[str], day: date) -> Field:
    """The field of an agreed column; `codes`: those of its list; `day`: the day on which the exchange is due."""
    limit, listed = column.max, frozenset(codes)
    first, more = rf"[{_LETTER}]", rf"[{_LETTER} '’.\-]"
    seen = rf"(?! *(?:[=+\-@\n]|\Z))[{_SEEN}]{{1,{limit}}}"
    text = (partial(_text, limit), Pattern(seen))
    phone = r"(?:0|\+44 ?)[1-35789](?: ?[0-9]){8,9}"
    mail = r"[A-Za-z0-9_][A-Za-z0-9_.%+'\-]{0,90}@[A-Za-z0-9\-]{1,60}(?:\.[A-Za-z0-9\-]{1,60}){1,4}"
    kinds: Mapping[str, tuple[Judge, Quick | None]] = {
        "person_name": (partial(_name, limit), Pattern(rf"{first}{more}{{0,{limit - 1}}}")),
        "address": (partial(_address, limit), Pattern(seen)),
        "postcode": (_postcode, Pattern(rf"(?!ZZ99){_POSTCODE}")),
        "uln": (_uln, Ulns()),
        "upn": (_upn, None),
        "date_of_birth": (partial(_date, "date_of_birth", column.name, day), None),
        "date": (partial(_date, "date", column.name, day), None),
        "phone": (_phone, Pattern(phone)),
        "email": (_email, Pattern(mail)),
        "code": (partial(_code, listed, "refuse" if column.required else "warn"), None),
        "establishment": text,
        "text": text,
        "laestab": (_laestab, None),
        "urn": (partial(_shape, re.compile(r"\d{6}", re.ASCII), URN_FORMAT), None),
        "ukprn": (partial(_shape, re.compile(r"1\d{7}", re.ASCII), UKPRN_FORMAT), None),
        "level": (partial(_one_of, listed or LEVELS, LEVEL_UNKNOWN), None),
        "la_code": (partial(_one_of, listed or LA_CODES, LA_CODE_UNKNOWN), None),
        "flag": (partial(_one_of, frozenset("YN"), FLAG_UNKNOWN), None),
        "source": (partial(_one_of, listed or SOURCES, SOURCE_UNKNOWN), None),
    }
    judge, quick = kinds[column.type]
    return Field(column, judge, quick)


# ---------------------------------------------------------------- judges


def _name(limit: int, value: str) -> Fault | None:
    if runs(value):
        return FORMULA
    if len(value) > limit:
        return too_long(limit)
    if has_control(value):
        return CONTROL
    if any(ch.isdigit() for ch in value):
        return NAME_DIGITS
    if not unicodedata.is_normalized("NFC", value):
        return NAME_NOT_NFC
    if any(ch not in " '’.-" and unicodedata.category(ch)[0] not in "LM" for ch in value):
        return NAME_CHARACTERS
    return None


def _address(limit: int, value: str) -> Fault | None:
    if runs(value):
        return FORMULA
    if any(len(line) > limit for line in value.splitlines()):
        return too_long(limit)
    return CONTROL if has_control(value, "\r\n") else None


def _text(limit: int, value: str) -> Fault | None:
    if runs(value):
        return FORMULA
    if len(value) > limit:
        return too_long(limit)
    return CONTROL if has_control(value, "\r\n") else None


def _postcode(value: str) -> Fault | None:
    if runs(value):
        return FORMULA
    tight = "".join(value.split()).upper()
    normal = f"{tight[:-3]} {tight[-3:]}"
    if not _POSTCODE_OK.fullmatch(normal):
        return POSTCODE_FORMAT
    if normal.startswith("ZZ99"):
        return POSTCODE_PSEUDO
    return None if normal == value else POSTCODE_SPACING


def _uln(value: str) -> Fault | None:
    if value == ULN_DEFAULT:
        return ULN_IS_DEFAULT
    if uln_ok(value):
        return None
    if is_scientific(value):
        return SCIENTIFIC
    if runs(value):
        return FORMULA
    ten = len(value) == 10 and value.isascii() and value.isdecimal() and value[0] != "0"
    return ULN_CHECKSUM if ten else ULN_FORMAT


def _upn(value: str) -> Fault | None:
    if runs(value):
        return FORMULA
    if not upn_shape_ok(value):
        return UPN_FORMAT
    if not upn_ok(value):
        return UPN_CHECK_LETTER
    return None if value[1:4] in LA_CODES else UPN_LA


def _date(kind: str, name: str, day: date, value: str) -> Fault | None:
    own: Severity = "refuse" if kind == "date_of_birth" else "warn"
    found = read_date(value)
    if isinstance(found, Fault):
        return (FORMULA if runs(value) else found).at(own)
    if kind == "date_of_birth" or name == VERIFIED:
        return DATE_FUTURE.at(own) if found > day else None
    return START_TOO_LATE if found > add_months(day, 12) else None


def _phone(value: str) -> Fault | None:
    tight = re.sub(r"[\s()./-]", "", value)
    if runs(value) and not re.fullmatch(r"\+[\d\s()./-]*", value, re.ASCII):
        return FORMULA
    if _NATIONAL.fullmatch(tight) or _INTERNATIONAL.fullmatch(tight):
        return None
    if is_scientific(value):
        return SCIENTIFIC.at("warn")
    lost = len(tight) == 10 and tight.isascii() and tight.isdecimal() and tight[0] in "127"
    return PHONE_LOST_ZERO if lost else PHONE_FORMAT


def _email(value: str) -> Fault | None:
    if runs(value):
        return FORMULA
    return None if len(value) <= 254 and _EMAIL.fullmatch(value) else EMAIL_FORMAT


def _code(codes: frozenset[str], own: Severity, value: str) -> Fault | None:
    if value in codes:
        return None
    if value.isdecimal() and any(code.lstrip("0") == value.lstrip("0") for code in codes):
        return CODE_LOST_ZERO.at(own)
    return (FORMULA if runs(value) and own == "warn" else CODE_UNKNOWN).at(own)


def _laestab(value: str) -> Fault | None:
    if value == "9999" or (_seven(value) and value[:3] in LA_CODES):
        return None
    return FORMULA if runs(value) else LAESTAB_FORMAT


def _seven(value: str) -> bool:
    return len(value) == 7 and value.isascii() and value.isdecimal()


def _shape(pattern: re.Pattern[str], fault: Fault, value: str) -> Fault | None:
    if pattern.fullmatch(value):
        return None
    return FORMULA if runs(value) else fault


def _one_of(allowed: frozenset[str], fault: Fault, value: str) -> Fault | None:
    if value in allowed:
        return None
    return FORMULA if runs(value) else fault
