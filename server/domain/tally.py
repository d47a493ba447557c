"""How the agreement was kept, in numbers: on time, late, missing, prevented. Pure: obligations and the time in.

A month is the one in which something fell due. Best efforts and what was withdrawn bear on nobody's timeliness (R-112).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from server.domain.due import months_of
from server.domain.obligation import CHASED, Obligation, Standing, standing
from server.domain.schedule import london_day

Bearing = Literal["on_time", "late", "missing", "prevented", "open"]
"""What an obligation says of its sender's timeliness: prevented is what was blocked or could not be sent."""
_BEARING: Mapping[Standing, Bearing] = {
    Standing.LATE: "missing",
    Standing.SENT_LATE: "late",
    Standing.SENT: "on_time",
    Standing.NIL: "on_time",
    Standing.DONE: "on_time",
    Standing.BLOCKED: "prevented",
    Standing.CANNOT: "prevented",
    Standing.WAITING: "open",
    Standing.DUE: "open",
    Standing.AHEAD: "open",
}
_WORST = sorted(Standing, key=lambda s: s in {Standing.NOT_SENT, Standing.AHEAD, Standing.WITHDRAWN})
"""Which of several is shown: the order of urgency, but what nobody is chased for comes last."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many were sent or answered on time, came late, are missing, were prevented, or are open still."""

    on_time: int = 0
    late: int = 0
    missing: int = 0
    prevented: int = 0
    open: int = 0

    @property
    def judged(self) -> int:
        """Those whose timeliness can be told: due by now, and nothing but the sender stood in the way."""
        return self.on_time + self.late + self.missing

    @property
    def percent(self) -> int | None:
        """The share that was on time, never rounded up; None where nothing can be told yet."""
        return 100 * self.on_time // self.judged if self.judged else None


@dataclass(frozen=True, slots=True)
class Cell:
    """One sender, one recipient, one month: what stands there, `worst` first in importance; None where nothing is."""

    month: date
    obligations: tuple[Obligation, ...]
    worst: Standing | None
    like_it: int
    """How many of them stand as `worst` does."""


@dataclass(frozen=True, slots=True)
class Row:
    """The year of one directed pair; `recipient` is empty for what is done elsewhere."""

    sender: str
    recipient: str
    cells: tuple[Cell, ...]


def bearing(obligation: Obligation, now: datetime) -> Bearing | None:
    """What it says of the sender's timeliness; None for what bears on nobody's."""
    if obligation.kind not in CHASED:
        return None
    return _BEARING.get(standing(obligation, now))


def tally(obligations: Iterable[Obligation], now: datetime) -> Tally:
    """The numbers of these."""
    found = Counter(b for b in (bearing(o, now) for o in obligations) if b is not None)
    return Tally(found["on_time"], found["late"], found["missing"], found["prevented"], found["open"])


def standings(obligations: Iterable[Obligation], now: datetime) -> Mapping[Standing, int]:
    """How many stand how, in the order of urgency; none that are withdrawn."""
    found = Counter(standing(o, now) for o in obligations)
    return {s: found[s] for s in Standing if s is not Standing.WITHDRAWN}


def month_of(obligation: Obligation) -> date:
    """The first day of the month in which it falls due."""
    return london_day(obligation.due_at).replace(day=1)


def by_month(obligations: Iterable[Obligation], year: int, now: datetime) -> tuple[tuple[date, Tally], ...]:
    """(month, numbers) of the twelve months of a sharing year."""
    found: dict[date, list[Obligation]] = {month: [] for month in months_of(year)}
    for one in obligations:
        found.setdefault(month_of(one), []).append(one)
    return tuple((month, tally(found[month], now)) for month in months_of(year))


def rows(obligations: Iterable[Obligation], order: Iterable[str], year: int, now: datetime) -> tuple[Row, ...]:
    """The directed pairs in which something is owed, in this order of members; each with twelve cells."""
    at = {member: place for place, member in enumerate((*order, ""))}
    pairs: dict[tuple[str, str], dict[date, list[Obligation]]] = {}
    for one in obligations:
        pairs.setdefault((one.sender, one.recipient), {}).setdefault(month_of(one), []).append(one)
    ordered = sorted(pairs, key=lambda pair: (at.get(pair[0], len(at)), at.get(pair[1], len(at)), pair))
    return tuple(
        Row(*pair, tuple(_cell(month, pairs[pair].get(month, ()), now) for month in months_of(year)))
        for pair in ordered
    )


def _cell(month: date, obligations: Iterable[Obligation], now: datetime) -> Cell:
    ordered = sorted(obligations, key=lambda o: (_WORST.index(standing(o, now)), o.due_at, o.exchange))
    found = [standing(o, now) for o in ordered]
    worst = found[0] if found else None
    return Cell(month, tuple(ordered), worst, sum(s is worst for s in found))
