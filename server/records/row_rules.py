"""What holds between the fields of a row: age and code, the flag for older people, withheld rows, DWP's data, places.

Each row is brought down to a small profile (age, codes, flags, what is filled). There are few different ones, and each
is judged once; only rows whose profile breaks a rule are looked at again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import repeat
from typing import Generic, TypeVar

from server.domain.agreement import Code, Column, Exchange, PolicySet
from server.domain.schedule import add_months
from server.records.dates import Standing, read_date, standing_on
from server.records.fault import Fault
from server.records.fields import SOURCES, VERIFIED
from server.records.identifiers import LA_CODES, uln_ok
from server.records.learners import Learners

T = TypeVar("T")
Columns = Sequence[Sequence[str]]
"""The fields of some whole rows, column by column, in the file's order."""
RowFault = tuple[int, int, Fault]
"""Row and column, both from 0, and what is wrong there."""

LOWEST, HIGHEST, OLDEST_WITHOUT_FLAG = 13, 25, 19
"""Ages where the agreement names none (clause 2)."""
LDD_FLAG = "lddd_flag"
WITHHELD = "withheld"
_OPEN_WHEN_WITHHELD = {"person_name", "address", "postcode", "date_of_birth"}
_PLACES = {"establishment", "laestab", "urn", "ukprn"}
_AT_A_PLACE = frozenset("110 210 220 230 240 250 270 280 290".split())
"""NCCIS codes of somebody who attends an establishment."""
_AGREED_STARTS = frozenset({"615", "616"})
"""NCCIS codes of somebody whose start is still to come."""
_KEPT = 20_000


def _refuse(rule: str, says: str, remedy: str) -> Fault:
    return Fault(rule, says, remedy, "refuse")


def _warn(rule: str, says: str, remedy: str) -> Fault:
    return Fault(rule, says, remedy, "warn")


ULN_DUPLICATE = _refuse(
    "ULN_DUPLICATE", "an earlier row has the same ULN for another person.", "Find out whose number it is."
)
WITHHELD_CELL = _refuse(
    "WITHHELD", "the row is withheld, so only name, address and date of birth may be filled.", "Empty the cell."
)
DWP_WITHOUT_GATEWAY = _refuse(
    "DWP_WITHOUT_GATEWAY",
    "the row comes from the DWP, and this exchange names no gateway for the DWP's data.",
    "Take the row out: passing it on outside that gateway is an offence (Education and Skills Act 2008).",
)
START_IN_FUTURE = _warn(
    "START_IN_FUTURE", "it begins after the due day.", "Use a code for an agreed start, or correct the date."
)
VERIFIED_BEFORE_START = _warn(
    "VERIFIED_BEFORE_START", "it was verified before it began.", "Correct the earlier or the later date."
)
ADDRESS_EMPTY = _warn("ADDRESS_EMPTY", "the row has no address.", "Fill it if it is known.")
PLACE_EMPTY = _warn(
    "ESTABLISHMENT_EMPTY",
    "the code says that an establishment is attended, and none is named.",
    "Fill one of the columns of the establishment.",
)
CODE_TOO_OLD = _warn(
    "CODE_COMPULSORY_AGE", "the code is for compulsory school age only.", "Use a code for the person's age."
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What the agreement and the exchange say of the rows, on the day on which the exchange is due."""

    day: date
    lowest: int = LOWEST
    highest: int = HIGHEST
    """Outside these ages a row is refused (clause 2)."""
    youngest: int = 0
    oldest: int = 99
    year_groups: tuple[int, ...] = ()
    flag_over: int = OLDEST_WITHOUT_FLAG
    """Older people's rows need the flag."""
    flag: str = LDD_FLAG
    dwp: bool = False
    """Whether the exchange names a gateway for the DWP's data (R-035)."""
    codes: Mapping[str, Mapping[str, Code]] = field(default_factory=dict)
    """The code lists, by id and code."""

    @classmethod
    def of(cls, policy: PolicySet, exchange: Exchange, day: date) -> Terms:
        """The terms of one exchange."""
        whole, own = policy.agreement.population, exchange.population
        gateways = exchange.lawful_basis.gateways if exchange.lawful_basis else ()
        covering = {gateway.id for gateway in policy.agreement.gateways if "dwp" in gateway.covers}
        return cls(
            day,
            lowest=LOWEST if whole.min_age is None else whole.min_age,
            highest=HIGHEST if whole.max_age_with_ldd is None else whole.max_age_with_ldd,
            youngest=own.min_age or 0,
            oldest=99 if own.max_age is None else own.max_age,
            year_groups=own.year_groups,
            flag_over=OLDEST_WITHOUT_FLAG if whole.max_age is None else whole.max_age,
            flag=own.over_19_needs or whole.over_19_needs or LDD_FLAG,
            dwp=bool(covering.intersection(gateways)),
            codes={each.id: {code.code: code for code in each.codes} for each in policy.codelists},
        )


class _Memo(dict[str, T], Generic[T]):
    """What `read` makes of a value; distinct ones are read once, as long as they are few."""

    def __init__(self, read: Callable[[str], T]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, value: str) -> T:
        if len(self) >= _KEPT:
            self.clear()
        found = self[value] = self._read(value)
        return found


@dataclass(slots=True)
class Tallies:
    """What is counted of the rows for the quality report."""

    verified: int | None = None
    """Rows whose record was verified in the twelve months before the due day; None where no column says so."""
    sources: Counter[str] = field(default_factory=Counter)
    authorities: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Rows by authority of residence and of study."""


class RowRules:
    """The rules for the rows of one file. `columns`: the agreed column of each field, None where there is none."""

    def __init__(self, terms: Terms, names: Sequence[str | None], columns: Sequence[Column | None]) -> None:
        self._terms = terms
        self._columns = columns
        self._place = {name: at for at, name in enumerate(names) if name is not None}
        self._open = {at for at, column in enumerate(columns) if column and column.type in _OPEN_WHEN_WITHHELD}
        self.learners = Learners()
        self.tallies = Tallies()
        self._dob = self._first("date_of_birth")
        self._uln = self._first("uln")
        self._source = self._first("source")
        self._withheld = self._place.get(WITHHELD)
        self._activity = self._place.get("activity_code")
        self._verified = self._place.get(VERIFIED)
        places = (self._place.get("residence_la"), self._place.get("study_la"))
        self._authorities = places if any(at is not None for at in places) else ()
        self._start = next(
            (at for at, c in enumerate(columns) if c and c.type == "date" and at != self._verified), None
        )
        self._names = [at for at, c in enumerate(columns) if c and c.type == "person_name" and c.name != "middle_name"]
        self._codes = [at for at, c in enumerate(columns) if c and c.type == "code"]
        self._flags = [at for at, c in enumerate(columns) if c and c.type == "flag" and at != self._withheld]
        self._groups = self._groups_to_fill()
        self._standings = _Memo(self._standing)
        self._starts = _Memo(self._late)
        self._days = _Memo(_ordinal)
        self._yes = _Memo(lambda value: value.strip() in {"Y", "y"})
        self._dwp = _Memo(lambda value: value.strip().casefold() == "dwp")
        self._judged: dict[tuple[object, ...], tuple[tuple[int, Fault], ...]] = {}

    def _first(self, kind: str) -> int | None:
        return next((at for at, column in enumerate(self._columns) if column and column.type == kind), None)

    def _groups_to_fill(self) -> dict[str, list[int]]:
        """The columns of which at least one is to be filled: address, place, and what some code asks for."""
        groups = {
            "address": [at for at, c in enumerate(self._columns) if c and c.type == "address"],
            "place": [at for at, c in enumerate(self._columns) if c and c.type in _PLACES and _is_attended(c)],
        }
        for at in self._codes:
            for code in self._list(at).values():
                if code.needs_filled:
                    groups[code.needs_filled] = self._named(code.needs_filled)
        return {name: places for name, places in groups.items() if places}

    def _list(self, at: int) -> Mapping[str, Code]:
        column = self._columns[at]
        return self._terms.codes.get(column.codes or "", {}) if column else {}

    def _named(self, name: str) -> list[int]:
        return [at for at, column in enumerate(self._columns) if column and column.name == name]

    # -- a value, brought down to what the rules ask

    def _standing(self, value: str) -> Standing | None:
        born = read_date(value.strip())
        return standing_on(born, self._terms.day) if isinstance(born, date) and born <= self._terms.day else None

    def _late(self, value: str) -> bool:
        start = read_date(value.strip())
        return isinstance(start, date) and start > self._terms.day

    # -- rows

    def faults(self, columns: Columns, bad_ulns: Collection[str] = ()) -> Iterator[RowFault]:
        """What is wrong between the fields of these rows, in no order. `bad_ulns`: ULNs with a fault of their own."""
        rows = len(columns[0]) if columns else 0
        profiles = list(zip(*self._lanes(columns, rows), strict=True))
        bad = {profile: found for profile in set(profiles) if (found := self._judge(profile))}
        if bad:
            for row, profile in enumerate(profiles):
                for at, fault in bad.get(profile, ()):
                    yield row, at, fault
        yield from self._withheld_cells(columns)
        yield from self._shared_numbers(columns, bad_ulns)
        yield from self._verified_before(columns)
        self._tally(columns)

    def withheld(self, columns: Columns, row: int, at: int) -> bool:
        """Whether this cell must be empty because its row is withheld."""
        return self._withheld is not None and at not in self._open and _is_withheld(columns[self._withheld][row])

    def _lanes(self, columns: Columns, rows: int) -> list[Sequence[object] | repeat[None]]:
        """One list for each part of a profile: standing, DWP, late start, flags, filled groups, codes."""

        def lane(at: int | None, memo: _Memo[T]) -> Sequence[object] | repeat[None]:
            return repeat(None, rows) if at is None else list(map(memo.__getitem__, columns[at]))

        filled = [
            columns[places[0]]
            if len(places) == 1
            else list(map(any, zip(*(columns[at] for at in places), strict=True)))
            for places in self._groups.values()
        ]
        return [
            lane(self._dob, self._standings),
            lane(self._source, self._dwp),
            lane(self._start, self._starts),
            *(lane(at, self._yes) for at in self._flags),
            *(list(map(bool, values)) for values in filled),
            *(columns[at] for at in self._codes),
        ]

    def _judge(self, profile: tuple[object, ...]) -> tuple[tuple[int, Fault], ...]:
        found = self._judged.get(profile)
        if found is None:
            if len(self._judged) >= _KEPT:
                self._judged.clear()
            found = self._judged[profile] = tuple(self._broken(profile))
        return found

    def _broken(self, profile: tuple[object, ...]) -> Iterator[tuple[int, Fault]]:
        """Every rule that a row of this profile breaks, with its column."""
        standing, dwp, late, *rest = profile
        flags = dict(zip((self._name(at) for at in self._flags), rest, strict=False))
        rest = rest[len(self._flags) :]
        filled = {name: bool(part) for name, part in zip(self._groups, rest, strict=False)}
        codes = dict(zip(self._codes, map(str, rest[len(self._groups) :]), strict=True))
        if isinstance(standing, Standing) and self._dob is not None:
            yield from ((self._dob, fault) for fault in self._age(standing, bool(flags.get(self._terms.flag))))
        if dwp and self._source is not None and not self._terms.dwp:
            yield self._source, DWP_WITHOUT_GATEWAY
        activity = codes[self._activity].strip() if self._activity is not None else None
        if late and self._start is not None and activity is not None and activity not in _AGREED_STARTS:
            yield self._start, START_IN_FUTURE
        if filled.get("address") is False:
            yield self._groups["address"][0], ADDRESS_EMPTY
        if filled.get("place") is False and (activity is None or activity in _AT_A_PLACE):
            yield self._groups["place"][0], PLACE_EMPTY
        for at, value in codes.items():
            code = self._list(at).get(value.strip())
            if code is not None:
                yield from ((at, fault) for fault in self._code(code, standing, flags, filled))

    def _name(self, at: int) -> str:
        column = self._columns[at]
        return column.name if column else ""

    def _age(self, standing: Standing, flagged: bool) -> Iterator[Fault]:
        terms = self._terms
        if not terms.lowest <= standing.age <= terms.highest:
            yield _refuse(
                "AGE_OUTSIDE",
                f"the person is not {terms.lowest} to {terms.highest} years old on the due day.",
                "Take the row out, or correct the date of birth.",
            )
            return
        if standing.age > terms.flag_over and not flagged:
            yield _warn(
                "AGE_NEEDS_LDD",
                f"the person is over {terms.flag_over}, which needs Y in `{terms.flag}` (clause 2).",
                "Set the flag if it is so; otherwise take the row out.",
            )
        if not terms.youngest <= standing.age <= terms.oldest:
            yield _warn(
                "AGE_NOT_IN_EXCHANGE",
                f"this exchange is about people of {terms.youngest} to {terms.oldest} years.",
                "Take the row out, or correct the date of birth.",
            )
        if terms.year_groups and standing.year_group not in terms.year_groups:
            groups = " and ".join(map(str, terms.year_groups))
            yield _warn(
                "YEAR_GROUP",
                f"this exchange is about year {groups}, and the person is in another on the due day.",
                "Take the row out, or correct the date of birth.",
            )

    def _code(
        self, code: Code, standing: object, flags: Mapping[str, object], filled: Mapping[str, bool]
    ) -> Iterator[Fault]:
        if code.needs_flag and not flags.get(code.needs_flag):
            yield _warn(
                "CODE_NEEDS_FLAG", f"the code needs Y in `{code.needs_flag}`.", "Set the flag, or use another code."
            )
        if code.needs_filled and filled.get(code.needs_filled) is False:
            yield _warn("CODE_NEEDS_FIELD", f"the code needs `{code.needs_filled}` to be filled.", "Fill the cell.")
        if not isinstance(standing, Standing):
            return
        if code.compulsory_age and not standing.compulsory:
            yield CODE_TOO_OLD
        if code.min_age is not None and standing.age < code.min_age:
            yield _warn(
                "CODE_MIN_AGE",
                f"the code is for people of {code.min_age} and over.",
                "Use a code for the person's age.",
            )
        expected = not self._terms.year_groups or standing.year_group in self._terms.year_groups
        if code.year_groups and expected and standing.year_group not in code.year_groups:
            yield _refuse(
                "CODE_YEAR_GROUP", "the code is not agreed for the person's year group.", "Use a code of that year."
            )

    def _withheld_cells(self, columns: Columns) -> Iterator[RowFault]:
        """R-042: of a withheld row only name, address and date of birth may be filled."""
        if self._withheld is None or not any(map(_is_withheld, set(columns[self._withheld]))):
            return
        for row, value in enumerate(columns[self._withheld]):
            if _is_withheld(value):
                for at, cells in enumerate(columns):
                    if at != self._withheld and at not in self._open and cells[row].strip():
                        yield row, at, WITHHELD_CELL

    def _shared_numbers(self, columns: Columns, bad_ulns: Collection[str]) -> Iterator[RowFault]:
        """Rule 907: one ULN for two people, told apart by their names, whatever their case, and date of birth."""
        if self._uln is None:
            return
        numbers = columns[self._uln]
        if bad_ulns:
            read = {value: value.strip() if uln_ok(value.strip()) else "" for value in bad_ulns}
            numbers = [read.get(value, value) for value in numbers]
        who: list[Sequence[object]] = [_folded(columns[at]) for at in self._names]
        if self._dob is not None:
            who.append(list(map(self._days.__getitem__, columns[self._dob])))
        people = map(hash, zip(*who, strict=True)) if who else iter([0] * len(numbers))
        for row in self.learners.others(zip(numbers, people, strict=True)):
            yield row, self._uln, ULN_DUPLICATE

    def _verified_before(self, columns: Columns) -> Iterator[RowFault]:
        if self._verified is None or self._start is None:
            return
        starts = map(self._days.__getitem__, columns[self._start])
        verified = map(self._days.__getitem__, columns[self._verified])
        for row, (start, seen) in enumerate(zip(starts, verified, strict=True)):
            if seen and start > seen:
                yield row, self._verified, VERIFIED_BEFORE_START

    def _tally(self, columns: Columns) -> None:
        if self._verified is not None:
            last = self._terms.day.toordinal()
            first = add_months(self._terms.day, -12).toordinal()
            days = map(self._days.__getitem__, columns[self._verified])
            self.tallies.verified = (self.tallies.verified or 0) + sum(first <= day <= last for day in days)
        if self._source is not None:
            self.tallies.sources.update(
                {name: n for value, n in Counter(columns[self._source]).items() if (name := value.strip()) in SOURCES}
            )
        if self._authorities:
            nowhere = [""] * len(columns[0])
            both = zip(*(nowhere if at is None else columns[at] for at in self._authorities), strict=True)
            for pair, rows in Counter(both).items():
                known = tuple(code if code in LA_CODES else "" for code in pair)
                self.tallies.authorities[known[0], known[1]] += rows


def _folded(values: Sequence[str]) -> list[str]:
    """The values in lower case, as names are compared."""
    folded = "\n".join(values).casefold().split("\n")
    return folded if len(folded) == len(values) else [value.casefold() for value in values]


def _ordinal(value: str) -> int:
    """The number of the day that `value` names; 0 where it names none."""
    day = read_date(value.strip())
    return day.toordinal() if isinstance(day, date) else 0


def _is_attended(column: Column) -> bool:
    """Whether an establishment's column is about where the person is, not where one was offered or has a place."""
    return column.repeat is None and not column.name.startswith("offer")


def _is_withheld(value: str) -> bool:
    """Anything but N withholds: a flag that cannot be read never lets a row go."""
    return value.strip().casefold() not in {"", "n"}
