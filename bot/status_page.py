"""What the desk's page about keeping the agreement shows, as words and plain values for its template. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from server.domain.due import year_words
from server.domain.obligation import Obligation, Standing, standing, words
from server.domain.schedule import Period, day_words, in_words, london_day
from server.domain.tally import Cell, Tally
from server.exchange.status import Owed, Sight, Unacknowledged, Unattested, listed, to_words, together

NBSP = "\N{NO-BREAK SPACE}"
LATE_NOW = "Late now"
ALL = "all"
"""In the page's address, instead of an exchange's id."""
MEANING: Mapping[Standing, tuple[str, str]] = {
    Standing.LATE: ("late", "it is overdue and nothing has come"),
    Standing.DUE: ("due", "its window is open; due on the day shown"),
    Standing.WAITING: ("waits", "it has arrived and is not released yet"),
    Standing.BLOCKED: ("blocked", "the exchange or the recipient prevented it"),
    Standing.CANNOT: ("cannot", "the sender cannot send it, and says why"),
    Standing.NOT_SENT: ("not sent", "best efforts: nobody is late"),
    Standing.SENT_LATE: ("sent late", "it came after its time"),
    Standing.SENT: ("sent", "sent in time"),
    Standing.NIL: ("nil", "nothing to send, said in time"),
    Standing.DONE: ("done", "done elsewhere, in time"),
    Standing.AHEAD: ("ahead", "its window is not open yet; due on the day shown"),
}
"""The word in a cell, and what the legend says of it."""
_COLUMNS = (
    ("Sent", (Standing.SENT, Standing.DONE)),
    ("Nil", (Standing.NIL,)),
    ("Sent late", (Standing.SENT_LATE,)),
    (LATE_NOW, (Standing.LATE,)),
    ("Cannot", (Standing.CANNOT,)),
    ("Blocked", (Standing.BLOCKED,)),
    ("Not sent", (Standing.NOT_SENT,)),
    ("Still open", (Standing.DUE, Standing.WAITING, Standing.AHEAD)),
)
"""What is counted of each member."""
_PARTS = (
    ("on_time", "On time"),
    ("late", "Late"),
    ("missing", "Missing"),
    ("prevented", "Blocked or cannot"),
    ("open", "To come"),
)
PICTURE_HEIGHT, _BAR, _STEP, _LEFT, _TOP = 180, 34, 52, 44, 26


def page(sight: Sight, own: tuple[str, str]) -> dict[str, object]:
    """Everything that status.html needs. `own` is the reader's member: (id, name)."""
    names = {kept.member: kept.name for kept in sight.members}
    names |= {one.sender: one.sender_name for one in sight.owed}
    names |= {one.recipient: one.recipient_name for one in sight.owed}
    titles, columns = dict(sight.exchanges), _columns(sight)
    return {
        "year": year_words(sight.year),
        "as_of": in_words(sight.now),
        "about": _about(sight, own),
        "filters": _filters(sight, own),
        "summary": summary(sight.tally, sight.standings),
        "figures": _figures(sight),
        "overdue": _overdue(sight),
        "months": [{"name": f"{month:%b %y}", "parts": _parts(numbers)} for month, numbers in sight.months],
        "parts": _PARTS,
        "bars": _bars(sight.months) if sight.tally != Tally() else [],
        "picture": _picture_words(sight),
        "columns": [name for name, _ in columns],
        "members": [_counted(kept.name, kept.tally, kept.standings, columns) for kept in sight.members],
        "all": _counted("All", sight.tally, sight.standings, columns),
        "groups": _groups(sight, names, titles),
        "legend": _legend(sight),
        "waiting": [_waits(one) for one in sight.unacknowledged if not one.days_over],
        "uncollected": [_waits(one) for one in sight.uncollected],
        "runs_out": sight.runs_out,
        "statements": _statements(sight),
        "holds": [
            f"{one.delivery}: {one.member_name} keeps it by a legal hold ({one.id}) since {day_words(one.since)}"
            for one in sight.holds
        ],
        "findings": sight.findings,
    }


def summary(tally: Tally, standings: Mapping[Standing, int]) -> str:
    """The year so far in one sentence."""
    if tally == Tally() and any(standings.values()):
        came = sum(standings[s] for s in (Standing.SENT, Standing.NIL, Standing.DONE))
        return f"This is best efforts, and nobody is late: {came:,} came, {standings[Standing.NOT_SENT]:,} did not."
    if not tally.judged:
        return "Nothing that could be sent has fallen due yet."
    if tally.on_time == tally.judged:
        return f"All {tally.judged:,} that could be sent by now came on time."
    others = [(tally.late, "came late"), (tally.missing, "is missing" if tally.missing == 1 else "are missing")]
    told = [f"{tally.on_time:,} came on time", *(f"{number:,} {what}" for number, what in others if number)]
    return f"Of {tally.judged:,} that could be sent by now, {listed(told)}."


def percent_words(tally: Tally) -> str:
    """93 %, or a dash where nothing can be told yet."""
    return "–" if tally.percent is None else f"{tally.percent}{NBSP}%"


def days_words(days: int) -> str:
    """How long ago it was due."""
    return "today" if days == 0 else f"{days} day{'' if days == 1 else 's'} ago"


def _about(sight: Sight, own: tuple[str, str]) -> str:
    exchange = dict(sight.exchanges).get(sight.exchange or "", "All exchanges")
    return f"{exchange}, {own[1]} only" if sight.member else exchange


# -- the links


def _filters(sight: Sight, own: tuple[str, str]) -> list[dict[str, object]]:
    """Rows of plain links: exchange, member, year."""
    chosen, mine = sight.exchange or ALL, sight.member is not None
    exchanges = [(ALL, "All"), *sight.exchanges]
    years = (sight.year - 1, sight.year, sight.year + 1)
    return [
        _links("Exchange", [(name, _address(e, sight.year, mine), e == chosen) for e, name in exchanges]),
        _links("Members", [
            ("All", _address(chosen, sight.year, False), not mine),
            (f"{own[1]} only", _address(chosen, sight.year, True), mine),
        ]),
        _links("Sharing year", [(year_words(y), _address(chosen, y, mine), y == sight.year) for y in years]),
    ]  # fmt: skip


def _links(name: str, links: list[tuple[str, str, bool]]) -> dict[str, object]:
    return {"name": name, "links": [{"words": words, "to": to, "here": here} for words, to, here in links]}


def _address(exchange: str, year: int, mine: bool) -> str:
    return f"/desk/status/{exchange}/{year_words(year)}{'?own=1' if mine else ''}"


# -- the figures


def _figures(sight: Sight) -> list[dict[str, str]]:
    """(number, what it is, a word more, tone)."""
    tally, over = sight.tally, sum(bool(one.days_over) for one in sight.unacknowledged)
    waiting = len(sight.unacknowledged)
    destroy = len(sight.unattested)
    of = f"{tally.on_time:,} of {tally.judged:,}" if tally.judged else "nothing to judge by"
    found = [
        _figure(percent_words(tally), "Sent on time", of, ""),
        _figure(tally.missing, LATE_NOW, "nothing has come yet", "bad" if tally.missing else "good"),
        _figure(tally.late, "Came late", "this year", "attention" if tally.late else ""),
        _figure(waiting, "Waiting for acknowledgement", f"{over} overdue", "attention" if over else ""),
        _figure(tally.prevented, "Blocked or cannot", "not the sender’s delay", ""),
    ]
    return [*found, _figure(destroy, "Destruction to attest", "the use-by day is over", "bad")] if destroy else found


def _figure(number: int | str, what: str, more: str, tone: str) -> dict[str, str]:
    return {"number": f"{number:,}" if isinstance(number, int) else number, "what": what, "more": more, "tone": tone}


def _overdue(sight: Sight) -> list[dict[str, str]]:
    """What is late, oldest first: one line for one sender, exchange and period, with its recipients; then the rest."""
    return [*map(_late, together(sight.overdue)), *map(_waits, sight.past_their_day)]


def _statements(sight: Sight) -> list[tuple[str, str]]:
    """(member, titles) of the yearly statements that are missing, a line a member."""
    found: dict[str, list[str]] = {}
    for one in sight.statements:
        found.setdefault(one.called, []).append(one.title[:1].lower() + one.title[1:])
    return [(called, listed(titles)) for called, titles in found.items()]


def _late(owed: Sequence[Owed]) -> dict[str, str]:
    first = owed[0]
    return {
        "who": first.sender_name,
        "what": f"{first.exchange_name}, {first.period_words}, {to_words(owed)}",
        "when": f"was due {in_words(first.due_at)}",
        "ago": days_words(first.days_over),
    }


def _waits(one: Unacknowledged | Unattested) -> dict[str, str]:
    return {
        "who": one.recipient_name,
        "what": f"{one.delivery} from {one.sender_name}, {one.exchange_name}, {one.period_words}",
        "when": one.words,
        "ago": days_words(one.days_over) if one.days_over else "",
    }


# -- the picture


def _parts(numbers: Tally) -> list[int]:
    return [getattr(numbers, name) for name, _ in _PARTS]


def _bars(months: Iterable[tuple[date, Tally]]) -> list[dict[str, object]]:
    """One bar a month, from the bottom: x, its parts as (class, y, height), and what stands over and under it."""
    found: list[dict[str, object]] = []
    for at, (month, numbers) in enumerate(months):
        x, total = _LEFT + at * _STEP, sum(_parts(numbers))
        parts, below = [], 0
        for (name, _), number in zip(_PARTS, _parts(numbers), strict=True):
            height = round(PICTURE_HEIGHT * (below + number) / total) if total else 0
            start = round(PICTURE_HEIGHT * below / total) if total else 0
            below += number
            if height > start:
                parts.append({"name": name, "y": _TOP + PICTURE_HEIGHT - height, "height": height - start})
        over = percent_words(numbers) if numbers.judged else ""
        found.append({"x": x, "width": _BAR, "parts": parts, "over": over, "under": f"{month:%b}"})
    return found


def _picture_words(sight: Sight) -> str:
    """The picture for whoever does not see it."""
    told = [f"{month:%B} {percent_words(numbers)}" for month, numbers in sight.months if numbers.judged]
    return f"On time, month by month: {', '.join(told)}." if told else "Nothing has fallen due yet."


# -- the tables


def _columns(sight: Sight) -> list[tuple[str, tuple[Standing, ...]]]:
    """Those in which anything is counted, and always what is late."""
    return [(name, some) for name, some in _COLUMNS if name == LATE_NOW or any(sight.standings[s] for s in some)]


def _counted(
    name: str, tally: Tally, standings: Mapping[Standing, int], columns: Sequence[tuple[str, tuple[Standing, ...]]]
) -> dict[str, object]:
    """A row of the totals: the share on time, then (number, whether it is what is late now) of each column."""
    counts = [(sum(standings[s] for s in some), column == LATE_NOW) for column, some in columns]
    return {"name": name, "percent": percent_words(tally), "counts": counts}


def _groups(sight: Sight, names: Mapping[str, str], titles: Mapping[str, str]) -> list[dict[str, object]]:
    """The matrix: each sender with its recipients, twelve cells each; of one member, what it sends and receives."""
    found: dict[str, list[dict[str, object]]] = {}
    for row in sight.rows:
        receives = sight.member is not None and row.sender != sight.member
        heading = f"{names[row.recipient]} receives from" if receives else f"{names[row.sender]} sends to"
        other = row.sender if receives else row.recipient
        cells = [_cell(sight, cell, titles) for cell in row.cells]
        found.setdefault(heading, []).append({"name": names[other], "cells": cells})
    mine = f"{names.get(sight.member or '')} sends to"
    return [{"name": heading, "rows": found[heading]} for heading in sorted(found, key=lambda one: one != mine)]


def _cell(sight: Sight, cell: Cell, titles: Mapping[str, str]) -> dict[str, str]:
    if cell.worst is None:
        return {"tone": "nothing", "word": "", "more": "", "title": "nothing is due"}
    first, number = cell.obligations[0], len(cell.obligations)
    title = "; ".join(_told(sight, one, titles) for one in cell.obligations)
    more = f"{cell.like_it} of {number}" if cell.like_it < number else ""
    return {"tone": tone(cell.worst), "word": _word(cell.worst, first), "more": more, "title": title}


def _word(worst: Standing, first: Obligation) -> str:
    day = london_day(first.due_at)
    match worst:
        case Standing.DUE:
            return f"due{NBSP}{day.day}"
        case Standing.AHEAD:
            return f"{day.day} {day:%b}"
        case _:
            return MEANING[worst][0]


def _told(sight: Sight, one: Obligation, titles: Mapping[str, str]) -> str:
    period = Period.parse(one.period)
    return (
        f"{titles.get(one.exchange, one.exchange)}, {period.words if period else one.period}: {words(one, sight.now)}"
    )


def tone(worst: Standing) -> str:
    """The name of its colour in the stylesheet."""
    return worst.value.replace(" ", "-")


def _legend(sight: Sight) -> list[dict[str, str]]:
    """Only what stands in the matrix."""
    there = {standing(one, sight.now) for row in sight.rows for cell in row.cells for one in cell.obligations}
    return [
        {"tone": tone(s), "word": "date" if s is Standing.AHEAD else word, "means": means}
        for s, (word, means) in MEANING.items()
        if s in there
    ]
