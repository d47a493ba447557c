"""What a recipient says became of its copies: counts that add up, then what was destroyed, where and how. Pure.

The options are honest ones: nobody is asked to certify what they cannot know. A backup "expires on" a day.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time

from server.domain import guard
from server.domain.agreement import Calendar, Member, RetentionRule
from server.domain.calendar import working_days_after, working_until
from server.domain.errors import Refused
from server.domain.schedule import LONDON, add_months, day_after, day_words, london_day

PLACES: Mapping[str, str] = {
    "import_folder": "Import folder",
    "staging_tables": "Staging tables",
    "downloads": "Downloads",
    "mail": "Mail",
    "portable_device": "Portable device",
    "paper": "Paper",
    "other_system": "Other system",
}
"""Where copies may have lain."""
NOT_HELD = "not held there"
METHODS = ("deleted", "overwritten", "shredded", "beyond use", NOT_HELD)
"""What became of a copy in a place; "beyond use" is put beyond use: nobody can reach it any more."""
SUBCONTRACTORS: Mapping[str, str] = {
    "none": "They had no copies",
    "destroyed": "They say that theirs are destroyed",
    "kept": "They still have copies",
}
NO_BACKUP, BEYOND_USE, EXPIRES = "none", "beyond use", "expires"
BACKUPS: Mapping[str, str] = {
    NO_BACKUP: "No backup holds it",
    EXPIRES: "The last one expires on the day below",
    BEYOND_USE: "They are put beyond use",
}
TOLD_AT = time(9, 30)
"""London's wall clock: when use and destruction are reminded of."""
MOST = 10_000_000
MOST_YEARS = 10
"""The longest that a backup is believed to be kept."""
COUNTS = ("received", "kept", "not_ours", "rejected")
EXAMPLE = "2027-03-31"
DECLARATION = (
    "The records that are ours were kept for the purposes of the agreement. Those that are not, and the file itself, "
    "were destroyed in the places named here, as far as I can know."
)
LIMIT = "This is what the recipient says of its own copies; the exchange cannot see them."
_NUMBER = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,9}")
_AUTHORITY = re.compile(r"kept_([0-9]{3})(?:_.*)?")
_ISO = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_DAY_FIRST = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})")
_YES = frozenset({"yes", "y", "true", "on", "done"})


class Unclear(Refused):
    """Answers that cannot be taken: `errors` says for each field what to change; the sentence says it all at once."""

    code = "ANSWERS_UNCLEAR"

    def __init__(self, errors: Mapping[str, str], *, code: str | None = None) -> None:
        super().__init__(" ".join(dict.fromkeys(errors.values())), code=code)
        self.errors = dict(errors)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many records were received, and what they were; `authorities`: kept, by the authority's three digits."""

    received: int
    kept: int
    not_ours: int
    rejected: int
    authorities: Mapping[str, int] = field(default_factory=dict)

    @property
    def to_destroy(self) -> int:
        """Records of others, and those that could not be used."""
        return self.not_ours + self.rejected

    @property
    def words(self) -> str:
        """290 kept, 28 not relevant, 0 rejected."""
        return f"{self.kept:,} kept, {self.not_ours:,} not relevant, {self.rejected:,} rejected"


@dataclass(frozen=True, slots=True)
class Destruction:
    """What was destroyed: {place: method} where it lay, backups, subcontractors, and what is left and why.

    `backups`: "none", "beyond use", or the day on which the last one expires, as 2027-03-31.
    """

    places: Mapping[str, str]
    backups: str
    subcontractors: str = "none"
    exceptions: str | None = None
    witness: str | None = None

    @property
    def exceptional(self) -> bool:
        """Whether a governance lead has to look at it."""
        return self.exceptions is not None or self.subcontractors == "kept"


# -- counting


def check_counts(counts: Counts, known: int | None, represented: Iterable[str]) -> None:
    """Raises Unclear when they do not add up to what was received, or what each authority keeps to what is kept.

    `known`: the records that the delivery had, None when nobody counted; `represented`: codes of the authorities for
    each of which the kept records are stated.
    """
    if known is not None and counts.received != known:
        words = (
            f"This delivery had {_records(known)}, not {counts.received:,}: please count again, or press Problem if "
            "the file really has another number."
        )
        raise Unclear({"received": words}, code="COUNTS_DIFFER")
    total = counts.kept + counts.not_ours + counts.rejected
    if total != counts.received:
        added = f"{counts.kept:,} kept + {counts.not_ours:,} not ours + {counts.rejected:,} rejected is {total:,}"
        words = f"{added}, but {counts.received:,} were received: please count again."
        raise Unclear({"kept": words}, code="COUNTS_DO_NOT_ADD_UP")
    _check_authorities(counts, frozenset(represented))


def _check_authorities(counts: Counts, represented: frozenset[str]) -> None:
    if unknown := sorted(set(counts.authorities) - represented):
        names = ", ".join(unknown)
        errors = {f"kept_{la}": f"Your organisation does not receive for authority {names}." for la in unknown}
        raise Unclear(errors, code="AUTHORITY_UNKNOWN")
    parts = sum(counts.authorities.values())
    if represented and parts != counts.kept:
        raise Unclear(
            {"kept": f"The kept records of each authority add up to {parts:,}, but {counts.kept:,} are kept: please "
                     f"say for each of the {len(represented)} how many are kept."},
            code="AUTHORITIES_DO_NOT_ADD_UP",
        )  # fmt: skip


def counted_for(member: Member, *, per_authority: bool) -> tuple[str, ...]:
    """The authorities for each of which the member states what is kept: those it represents, where it is several."""
    return (
        tuple(authority.la for authority in member.represents) if per_authority and len(member.represents) > 1 else ()
    )


def counts_of(answers: Mapping[str, str]) -> Counts:
    """The counts that somebody typed: {received, kept, not_ours, rejected, kept_201 …}. Raises Unclear.

    Kept may be left out where every authority's is given.
    """
    errors, found = dict[str, str](), dict[str, int]()
    authorities = {match[1]: text for name, text in answers.items() if (match := _AUTHORITY.fullmatch(name))}
    parts = {la: _number(f"kept_{la}", text or "0", errors) for la, text in authorities.items()}
    given = dict(answers)
    if parts and not given.get("kept", "").strip():
        given["kept"] = str(sum(parts.values()))
    for name in COUNTS:
        found[name] = _number(name, given.get(name, ""), errors)
    if errors:
        raise Unclear(errors)
    return Counts(found["received"], found["kept"], found["not_ours"], found["rejected"], parts)


def _number(name: str, text: str, errors: dict[str, str]) -> int:
    clean = text.strip()
    if not clean:
        errors[name] = f"Please say how many: “{spoken(name)}” is empty."
    elif _NUMBER.fullmatch(clean) is None or int(clean.replace(",", "")) > MOST:
        errors[name] = f"“{spoken(name)}” is a number of records, such as 318."
    else:
        return int(clean.replace(",", ""))
    return 0


def _records(number: int) -> str:
    return f"{number:,} record{'' if number == 1 else 's'}"


# -- destroying


def destruction_of(answers: Mapping[str, str], today: date | None) -> Destruction:
    """What somebody ticked or typed: {place: method, backups, backups_until, subcontractors, exceptions, witness}.

    Raises Unclear with what to change in which field. `today` None: whether a backup's day has passed is not looked at.
    """
    errors: dict[str, str] = {}
    places = _places(answers, errors)
    backups = _backups(answers, today, errors)
    subcontractors = _one_of(answers.get("subcontractors", ""), SUBCONTRACTORS, "none")
    if subcontractors is None:
        errors["subcontractors"] = "“subcontractors” is one of: none, destroyed, kept."
    exceptions = _free(answers.get("exceptions", ""), errors)
    if subcontractors == "kept" and exceptions is None and "exceptions" not in errors:
        errors["exceptions"] = "Please say in a few words what subcontractors still have, and until when."
    if errors:
        raise Unclear(errors)
    witness = answers.get("witness", "").strip().removeprefix("-") or None
    return Destruction(places, backups, subcontractors or "none", exceptions, witness)


def _places(answers: Mapping[str, str], errors: dict[str, str]) -> dict[str, str]:
    held: dict[str, str] = {}
    for place in PLACES:
        method = _method(answers.get(place, ""))
        if method is None:
            errors[place] = f"“{spoken(place)}” is one of: {', '.join(METHODS)}."
        elif method != NOT_HELD:
            held[place] = method
    if not held and not errors:
        errors[next(iter(PLACES))] = "Please say for at least one place how it was destroyed: the file lay somewhere."
    return held


def _method(text: str) -> str | None:
    clean = " ".join(text.casefold().replace("-", " ").replace("_", " ").split())
    if clean in {"", "no", "not held", "none"}:
        return NOT_HELD
    clean = clean.removeprefix("put ")
    return clean if clean in METHODS else None


def _backups(answers: Mapping[str, str], today: date | None, errors: dict[str, str]) -> str:
    clean = " ".join(answers.get("backups", "").casefold().replace("_", " ").split())
    clean = clean.replace("beyond-use", BEYOND_USE).removeprefix("put ")
    if clean in {NO_BACKUP, BEYOND_USE}:
        return clean
    if not clean:
        errors["backups"] = f"Please say about backups: none, expires on a day (such as {EXAMPLE}), or beyond use."
        return ""
    inline = clean.removeprefix("expires").removeprefix("expire").strip().removeprefix("on").strip()
    day = day_of(inline or answers.get("backups_until", ""))
    if day is not None and (today is None or today <= day <= add_months(today, MOST_YEARS * 12)):
        return day.isoformat()
    name = "backups" if inline else "backups_until"
    errors[name] = f"Please give the day on which the last backup expires, such as {EXAMPLE}: not one that has passed."
    return ""


def _one_of(text: str, choices: Mapping[str, str], default: str) -> str | None:
    clean = " ".join(text.casefold().split()) or default
    return clean if clean in choices else None


def _free(text: str, errors: dict[str, str]) -> str | None:
    if text.strip().casefold() in {"", "none", "-"}:
        return None
    try:
        return guard.reason(text)
    except Refused as error:
        errors["exceptions"] = error.sentence
        return None


def day_of(text: str) -> date | None:
    """A day written 2027-03-31, or 31/03/2027 as a spreadsheet makes of it; None for anything else."""
    iso, other = _ISO.fullmatch(text.strip()), _DAY_FIRST.fullmatch(text.strip())
    numbers = (iso[1], iso[2], iso[3]) if iso else (other[3], other[2], other[1]) if other else None
    try:
        return date(*map(int, numbers)) if numbers else None
    except ValueError:
        return None


def is_yes(text: str) -> bool:
    """Whether somebody confirmed it."""
    return text.strip().casefold() in _YES


def spoken(name: str) -> str:
    """A field's name as forms write it: not ours, kept 201."""
    return name.replace("_", " ")


def backup_words(backups: str) -> str:
    """What was said of backups, as a clause."""
    day = day_of(backups)
    if day is not None:
        return f"the last backup that holds it expires on {day_words(day)}"
    return "no backup holds it" if backups == NO_BACKUP else "backups are put beyond use"


# -- when it is reminded of


def at_half_past_nine(day: date) -> datetime:
    """That day at 09:30 in London."""
    return datetime.combine(day, TOLD_AT, tzinfo=LONDON)


def use_by_reminders(
    rule: RetentionRule, calendar: Calendar, available: date, use_by: date
) -> tuple[tuple[str, datetime], ...]:
    """(span before the use-by day, moment) of each reminder, in order of time; on a working day, or the one before.

    The use-by day itself never moves (clause 8). None on or before the day on which it became available; of two that
    fall on one day, the later stays. Raises CalendarUncovered.
    """
    found: dict[date, str] = {}
    first_to_last = sorted(rule.reminders_before_use_by, key=lambda span: day_after(use_by, span, -1))
    for span in first_to_last:
        day = working_until(calendar, day_after(use_by, span, -1))
        if day > available:
            found[day] = span
    return tuple((span, at_half_past_nine(day)) for day, span in sorted(found.items()))


def working_days_on(calendar: Calendar, day: date, span: str) -> datetime:
    """09:30 on the working day so many (3wd) after `day`. Raises CalendarUncovered."""
    return at_half_past_nine(working_days_after(calendar, day, int(span.removesuffix("wd"))))


def is_overdue(use_by: date, now: datetime) -> bool:
    """Whether the use-by day is over: from the first moment of the next day in London."""
    return london_day(now) > use_by
