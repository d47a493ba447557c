"""The differences between what must be and what is, as lines that a person can read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sized
from typing import Protocol

from tests.year.oracle import Expected
from tests.year.seen import Seen

SHOWN = 12
KNOWN = ("owed", "ack", "uncollected", "use", "destroy", "away")
"""What the oracle knows stages of; others are only looked at for doubles."""


class _Set(Sized, Iterable[object], Protocol): ...


def differences(name: str, wanted: Iterable[object], found: Iterable[object]) -> list[str]:
    """Lines for what is missing and for what is too much; none when both are the same."""
    missing, extra = set(wanted) - set(found), set(found) - set(wanted)
    return [*_lines(f"{name}: missing", missing), *_lines(f"{name}: too much", extra)]


def _lines(title: str, things: set[object]) -> list[str]:
    if not things:
        return []
    shown = sorted(things, key=str)
    return [f"{title}: {len(things)}", *(f"    {thing}" for thing in shown[:SHOWN])]


def against(expected: Expected, seen: Seen) -> list[str]:
    """Everything in which the exchange and the oracle differ."""
    known = {told for told in seen.told if told.about.split(":")[0] in KNOWN}
    others = {(told.person, told.day) for told in seen.told - known}
    joined = {(message.person, message.joins.removeprefix("digest:")) for message in seen.messages if message.joins}
    explained = others | joined | seen.busy
    ahead = {key for key in seen.standings if key not in expected.standings}
    return [
        *differences("told", expected.told, known),
        *differences("digests", expected.digests, seen.digests - (explained - expected.digests)),
        *differences("standings", expected.standings.items(),
                     [item for item in seen.standings.items() if item[0] not in ahead]),
        *differences("purged", expected.purged, seen.purged),
        *differences("certificates", expected.certificates, seen.certificates),
        *differences("threads", expected.threads, seen.threads),
        *_lines("doubled", set(seen.doubled)),
        *_lines("at a wrong time", set(seen.untimely)),
        *_lines("too many messages", set(seen.crowded)),
    ]  # fmt: skip


def summary(seen: Seen) -> str:
    """What a year came to, in one line."""
    told = Counter(told.about.split(":")[0] for told in seen.told)
    return f"{len(seen.deliveries)} files, {len(seen.told)} told {dict(told)}, {len(seen.digests)} digests"


def states(one: Seen, other: Seen) -> list[str]:
    """In what two plays of the same plan ended differently."""
    return [
        line
        for name in ("told", "digests", "purged", "certificates", "threads", "messages", "deliveries", "stages")
        for line in differences(name, getattr(one, name), getattr(other, name))
    ] + differences("standings", one.standings.items(), other.standings.items())
