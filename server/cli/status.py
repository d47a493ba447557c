"""How the agreement is kept: of the group, of one member, or of every directed pair of one exchange and period."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from server.cli.opening import Data, opened, settings_for
from server.domain.due import year_named, year_words
from server.domain.errors import Missing, Refused
from server.domain.obligation import Standing
from server.domain.schedule import Period, current_period, day_words, in_words
from server.domain.tally import Tally

if TYPE_CHECKING:
    from server.exchange import Exchange
    from server.exchange.status import Owed, Sight, Unacknowledged, Unattested

_COLUMNS: tuple[tuple[str, tuple[Standing, ...]], ...] = (
    ("sent", (Standing.SENT, Standing.DONE)),
    ("nil", (Standing.NIL,)),
    ("sent late", (Standing.SENT_LATE,)),
    ("late now", (Standing.LATE,)),
    ("cannot", (Standing.CANNOT,)),
    ("blocked", (Standing.BLOCKED,)),
    ("not sent", (Standing.NOT_SENT,)),
    ("open", (Standing.DUE, Standing.WAITING, Standing.AHEAD)),
)


def status(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="A member's id or name, or an exchange's id; else the whole group."),
    ] = None,
    period: Annotated[
        str | None,
        typer.Option("--period", metavar="MONTH", help="Of an exchange, as 2026-11; else the latest that is over."),
    ] = None,
    year: Annotated[
        str | None, typer.Option("--year", metavar="2026-27", help="The sharing year, April to March; else this one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data: Data = None,
) -> None:
    """Say how the agreement is kept: overdue, waiting, on time, late; of an exchange every directed pair of a period.

    Example: safehand status kent --year 2026-27, or safehand status post16-destinations --period 2026-11
    """
    begins = _year(year) if year else None
    with opened(settings_for(data)) as server:
        if name is not None and server.policy.exchange(name) is not None:
            _pairs(server, name, period, as_json=as_json)
            return
        if period:
            raise Refused("A period is of an exchange: name one, as in safehand status post16-destinations.")
        member = server.policy.member_called(name) if name is not None else None
        if name is not None and member is None:
            raise Missing(f"There is no exchange and no member called {name[:40]}.")
        sight = server.status.sight(None, member=member.id if member else None, year=begins)
        called = member.called if member else "All members"
    typer.echo(as_text(sight) if as_json else "\n".join(lines(sight, called)))


def as_text(sight: Sight) -> str:
    """The whole as JSON: stable names, times in UTC as ISO 8601."""
    return json.dumps(told(sight), ensure_ascii=False, indent=1, default=lambda moment: moment.isoformat())


def told(sight: Sight) -> dict[str, object]:
    """What is printed as JSON."""
    return {
        "as_of": sight.now.isoformat(),
        "sharing_year": year_words(sight.year),
        "member": sight.member,
        "totals": _numbers(sight.standings, sight.tally),
        "overdue": [_one(owed) for owed in sight.overdue],
        "unacknowledged": [asdict(one) for one in sight.unacknowledged],
        "uncollected": [asdict(one) for one in sight.uncollected],
        "unattested": [asdict(one) for one in sight.unattested],
        "due": [_one(owed) for owed in sight.owed if owed.standing in {Standing.DUE, Standing.WAITING}],
        "missed": [_one(owed) for owed in sight.owed if owed.standing in {Standing.LATE, Standing.SENT_LATE}],
        "members": [{"member": kept.member, **_numbers(kept.standings, kept.tally)} for kept in sight.members],
        "months": [{"month": f"{month:%Y-%m}", **asdict(tally)} for month, tally in sight.months],
        "runs_out": [asdict(one) for one in sight.runs_out],
        "statements": [
            {"member": one.member, "kind": one.kind, "given": one.given, "until": one.until} for one in sight.statements
        ],
        "holds": [asdict(one) for one in sight.holds],
        "findings": [asdict(one) for one in sight.findings],
    }


def lines(sight: Sight, called: str) -> Iterator[str]:
    """What a person reads; overdue first."""
    yield f"{called}, sharing year {year_words(sight.year)}, as it stands on {in_words(sight.now)} in London."
    yield ""
    over = sight.past_their_day
    yield from _section("Overdue", [*_owed(sight, sight.overdue), *map(_waits, over)], "nothing is overdue")
    due = [one for one in sight.owed if one.standing in {Standing.DUE, Standing.WAITING}]
    yield from _section("Due now", _owed(sight, due), "no window is open")
    waiting = [one for one in sight.unacknowledged if not one.days_over]
    yield from _section("Waiting for acknowledgement", [*map(_waits, waiting)])
    yield from _section("Never collected", [*map(_waits, sight.uncollected)])
    yield from _section("Runs out", [(day_words(one.last), one.words) for one in sight.runs_out])
    yield from _section("Yearly statements", [(one.called, f"{one.title}: {one.words}") for one in sight.statements])
    yield from _section("Legal holds", [(one.id, f"{one.delivery}, held by {one.member_name}") for one in sight.holds])
    yield from _section("Findings", [(one.code, one.words) for one in sight.findings])
    if sight.member:
        yield from _section("Others owe it, and are late", _owed(sight, sight.overdue, by_others=True))
        late = [one for one in sight.owed if one.standing is Standing.SENT_LATE]
        yield from _section("Sent late this year", _owed(sight, late))
    yield from _table(sight)


def _owed(sight: Sight, owed: Sequence[Owed], *, by_others: bool = False) -> list[tuple[str, str]]:
    """A line for one sender, exchange and period; of a member only what it owes itself, or only what it does not."""
    from server.exchange.status import to_words, together

    mine = [one for one in owed if sight.member is None or (one.sender == sight.member) != by_others]
    found = []
    for group in together(mine):
        first = group[0]
        found.append(
            (first.sender_name, f"{first.exchange_name}, {first.period_words}, {to_words(group)}: {_when(first)}")
        )
    return found


def _when(one: Owed) -> str:
    days = f" ({one.days_over} day{'' if one.days_over == 1 else 's'} ago)" if one.days_over else ""
    match one.standing:
        case Standing.LATE | Standing.SENT_LATE:
            return f"was due {in_words(one.due_at)}{days}"
        case Standing.WAITING:
            return f"{one.words}; due {in_words(one.due_at)}"
        case _:
            return f"due {in_words(one.due_at)}"


def _waits(one: Unacknowledged | Unattested) -> tuple[str, str]:
    about = f"{one.delivery} from {one.sender_name}, {one.exchange_name}, {one.period_words}"
    return one.recipient_name, f"{about}: {one.words}"


def _section(title: str, rows: Sequence[tuple[str, str]], nothing: str = "") -> Iterator[str]:
    """A heading and its lines, the first column as wide as its widest; nothing at all where there is nothing to say."""
    if not rows:
        if nothing:
            yield from (f"{title}: {nothing}.", "")
        return
    width = max(len(first) for first, _ in rows)
    yield f"{title} ({len(rows)}):"
    yield from (f"  {first:<{width}}  {second}" for first, second in rows)
    yield ""


def _table(sight: Sight) -> Iterator[str]:
    if not sight.members:
        yield "Nothing is owed in this year."
        return
    width = max(len("As senders"), *(len(kept.name) for kept in sight.members))
    yield f"{'As senders':<{width}}  {'on time':>8}" + "".join(f"  {name:>9}" for name, _ in _COLUMNS)
    rows = [(kept.name, kept.tally, kept.standings) for kept in sight.members]
    if sight.member is None:
        rows.append(("All", sight.tally, sight.standings))
    for name, tally, standings in rows:
        share = "-" if tally.percent is None else f"{tally.percent} %"
        yield f"{name:<{width}}  {share:>8}" + "".join(
            f"  {sum(standings[s] for s in some):>9}" for _, some in _COLUMNS
        )


def _numbers(standings: Mapping[Standing, int], tally: Tally) -> dict[str, object]:
    """Every standing by its name with underscores, and the share on time in per cent."""
    return {
        "on_time_percent": tally.percent,
        **{standing.value.replace(" ", "_"): number for standing, number in standings.items()},
    }


def _one(owed: Owed) -> dict[str, object]:
    return {**asdict(owed), "due_at": owed.due_at.isoformat()}


def _year(text: str) -> int:
    found = year_named(text)
    if found is None:
        raise typer.BadParameter("write the sharing year as 2026-27", param_hint="--year")
    return found


def _pairs(server: Exchange, exchange: str, period: str | None, *, as_json: bool) -> None:
    """Every directed pair of one exchange and period: sent, acknowledged, nil, not ready or missing."""
    wanted = Period.parse(period) if period else current_period(server.now())
    if wanted is None:
        raise Refused("That is no month: write it as 2026-11.")
    pairs = server.coverage.pairs(exchange, wanted)
    called = {member.id: member.called for member in server.policy.members}
    if as_json:
        typer.echo(json.dumps([asdict(pair) for pair in pairs], ensure_ascii=False, indent=1))
        return
    for pair in pairs:
        why = f": {pair.why}" if pair.why else ""
        typer.echo(f"{called[pair.sender]} -> {called[pair.recipient]}: {pair.state}{why}")
    counts = Counter(pair.state for pair in pairs)
    words = ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
    typer.echo(f"{exchange}, {wanted.words}: {len(pairs)} directed pairs: {words or 'none'}.")
