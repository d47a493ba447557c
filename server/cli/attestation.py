"""What recipients say of their copies, at the command line: the twin of the buttons, and the lists."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from server.cli.opening import Data, opened, settings_for
from server.domain.errors import Missing, Refused

if TYPE_CHECKING:
    from server.exchange import Exchange
    from server.exchange.attested import AttestedView, OverdueView

app = typer.Typer(help="What recipients say became of their copies.", no_args_is_help=True)
Delivery = Annotated[str, typer.Argument(metavar="DELIVERY", help="Its id, such as D-2026-000417.")]
By = Annotated[str, typer.Option("--by", metavar="PERSON", help="Who says so: a data manager of the recipient.")]


@app.command("list")
def listed(
    member: Annotated[str | None, typer.Argument(metavar="[MEMBER]", help="The recipient's id; else all.")] = None,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only what is overdue, or waits for a lead.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: with shares of others' records.")] = False,
    data: Data = None,
) -> None:
    """List what was said of every collected delivery: kept, not relevant, rejected, destroyed, countersigned.

    Example: safehand attestation list kent --overdue
    """
    with opened(settings_for(data)) as exchange:
        from server.exchange.attested import Attested

        if member is not None and exchange.policy.member(member) is None:
            raise Missing(f"There is no member called {member[:40]}.")
        with exchange.ground.store.reading() as session:
            lists = Attested(session, exchange.policy, exchange.now())
            late, views = lists.overdue(member), () if overdue else lists.all(member)
            shares = lists.shares(member)
    if as_json:
        content = {"overdue": [asdict(one) for one in late]}
        if not overdue:
            content |= {"attestations": [asdict(one) for one in views], "not_relevant": [asdict(one) for one in shares]}
        typer.echo(json.dumps(content, ensure_ascii=False, indent=1, default=_text))
        return
    typer.echo("\n".join([_overdue_line(one) for one in late] if overdue else [_line(one) for one in views]) or "None.")


@app.command("processed")
def processed(
    delivery: Delivery,
    by: By,
    kept: Annotated[int, typer.Option(help="Relevant records, kept.", min=0)],
    not_ours: Annotated[int, typer.Option(help="Records of people who are not yours.", min=0)],
    rejected: Annotated[int, typer.Option(help="Records that could not be used.", min=0)] = 0,
    received: Annotated[int | None, typer.Option(help="Records received; else their sum.", min=0)] = None,
    authority: Annotated[
        list[str] | None, typer.Option(metavar="CODE=KEPT", help="Kept for one authority, such as 201=12; repeat it.")
    ] = None,
    data: Data = None,
) -> None:
    """Say that the relevant records of a delivery are used, and how many were not yours.

    Example: safehand attestation processed D-2026-000417 --kept 290 --not-ours 28 --rejected 0 --by p-kent-1
    """
    with opened(settings_for(data)) as exchange:
        from server.domain.attestation import Counts

        total = kept + not_ours + rejected if received is None else received
        counts = Counts(total, kept, not_ours, rejected, _parts(authority or []))
        typer.echo(exchange.use.processed(by, delivery, counts, via="cli").sentence)


@app.command("destroyed")
def destroyed(
    delivery: Delivery,
    by: By,
    place: Annotated[
        list[str] | None,
        typer.Option(metavar="PLACE=METHOD", help="Such as downloads=deleted; repeat it. Else as you said it last."),
    ] = None,
    backups: Annotated[
        str | None, typer.Option(help="none, beyond use, or the day (2027-03-31) on which the last one expires.")
    ] = None,
    subcontractors: Annotated[str | None, typer.Option(help="none, destroyed or kept.")] = None,
    exceptions: Annotated[str, typer.Option(help="What is left and why, without personal data.")] = "",
    witness: Annotated[str, typer.Option(metavar="PERSON", help="A second person of your organisation.")] = "",
    data: Data = None,
) -> None:
    """Attest that what is not yours, and the file itself, is destroyed: where it lay, and how.

    Example: safehand attestation destroyed D-2026-000417 --place downloads=deleted --backups none --by p-kent-1
    """
    with opened(settings_for(data)) as exchange:
        from server.domain.attestation import destruction_of
        from server.domain.schedule import london_day

        answers = _habit(exchange, by) | {"exceptions": exceptions, "witness": witness}
        if place:
            answers = {name: said for name, said in answers.items() if name not in _places()} | _said(place)
        answers |= {"backups": backups, "backups_until": ""} if backups is not None else {}
        answers |= {"subcontractors": subcontractors} if subcontractors is not None else {}
        said = destruction_of(answers, london_day(exchange.now()))
        typer.echo(exchange.use.destroyed(by, delivery, said, via="cli").sentence)


@app.command("countersign")
def countersign(
    delivery: Delivery,
    by: Annotated[str, typer.Option("--by", metavar="PERSON", help="A governance lead of the recipient.")],
    data: Data = None,
) -> None:
    """Countersign, as a governance lead, what was attested late or with exceptions.

    Example: safehand attestation countersign D-2026-000417 --by g-kent
    """
    with opened(settings_for(data)) as exchange:
        typer.echo(exchange.use.countersign(by, delivery, via="cli").sentence)


def _habit(exchange: Exchange, person_id: str) -> dict[str, str]:
    """What the person's member said last time."""
    return exchange.use.habit(exchange.ground.person(person_id).member)


def _places() -> frozenset[str]:
    from server.domain.attestation import PLACES

    return frozenset(PLACES)


def _said(options: list[str]) -> dict[str, str]:
    from server.domain.attested_forms import name_of

    found: dict[str, str] = {}
    for option in options:
        name, sign, method = option.partition("=")
        if not sign or name_of(name) not in _places():
            raise Refused(f"--place is PLACE=METHOD; places are: {', '.join(sorted(_places()))}.", code="PLACE_UNKNOWN")
        found[name_of(name)] = method
    return found


def _parts(options: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for option in options:
        la, sign, kept = option.partition("=")
        if not (sign and kept.isascii() and kept.isdigit() and len(kept) < 9) or la in found:
            raise Refused("--authority is CODE=KEPT, once for each, such as 201=12.", code="AUTHORITY_UNCLEAR")
        found[la] = int(kept)
    return found


def _text(value: object) -> str:
    if isinstance(value, datetime):
        from server.domain.ledger import text_of

        return text_of(value)
    return value.isoformat() if isinstance(value, date) else str(value)


def _line(view: AttestedView) -> str:
    said = "nothing said yet"
    if view.kept is not None:
        said = f"{view.kept} kept, {view.not_ours} not relevant, {view.rejected} rejected"
    more = [f"destroyed by {view.destroyed_by}"] if view.destroyed_by else []
    more += [f"countersigned by {view.countersigned_by}"] if view.countersigned_by else []
    more += ["waits for a governance lead"] if view.asks_countersignature else []
    told = "; ".join([said, *more])
    return f"{view.delivery} {view.sender} -> {view.member}, {view.exchange} {view.period}: {view.state}: {told}"


def _overdue_line(view: OverdueView) -> str:
    told = f"told: {', '.join(view.told)}" if view.told else "nobody told yet"
    days = f"{view.days} day{'' if view.days == 1 else 's'}"
    return (
        f"{view.delivery} {view.sender} -> {view.member}, {view.exchange} {view.period}: "
        f"overdue since {view.since} ({days}), {view.missing}; {told}"
    )
