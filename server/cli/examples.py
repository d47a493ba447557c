"""Files to try the demo with: agreed columns, invented rows, the same ones every time. Nobody in them exists."""

from __future__ import annotations

import csv
import random
import re
from collections.abc import Iterator
from datetime import date, timedelta
from io import StringIO
from itertools import count
from pathlib import Path

from server.domain.agreement import PolicySet

ROWS = 212
SEED = 2026
_ULN = re.compile(rb"(?<=,)[1-9][0-9]{9}(?=,)")
_GIVEN = ("Aster", "Bramble", "Clover", "Daisy", "Fennel", "Heather", "Ivy", "Juniper", "Linden", "Rowan", "Sorrel")
_FAMILY = ("Example", "Sample", "Specimen", "Pattern", "Model", "Placeholder", "Dummy", "Fictional", "Invented")
_STUDYING = ("210", "220", "230", "250")
_CODES = (*_STUDYING, "310", "330", "410", "450", "619", "640", "810")
_QUALIFICATIONS = ("A level", "BTEC/VTQ", "GCSE", "T Level", "None")


def write_examples(policy: PolicySet, folder: Path) -> None:
    """`post16-destinations.csv` as agreed, `wrong-column.csv` with one that nobody agreed to, `hello.txt` to try."""
    folder.mkdir(exist_ok=True)
    exchange = policy.exchange("post16-destinations")
    if exchange is not None:
        schema = policy.schema_of(exchange)
        columns = schema.names if schema else ()
        (folder / "post16-destinations.csv").write_text(records(columns, ROWS, SEED), encoding="utf-8", newline="")
        wrong = records((*columns, "shoe_size"), 12, SEED)
        (folder / "wrong-column.csv").write_text(wrong, encoding="utf-8", newline="")
    (folder / "hello.txt").write_text("Hello from Safehand's demo. Nothing in this file is about anybody.\n")


def records(columns: tuple[str, ...], rows: int, seed: int) -> str:
    """A CSV text with these columns and so many invented rows; the same seed gives the same text."""
    chance = random.Random(seed)  # noqa: S311  invented rows, no secrets
    out = StringIO()
    table = csv.DictWriter(out, columns, extrasaction="ignore", restval="9", lineterminator="\r\n")
    table.writeheader()
    table.writerows(_row(chance, number) for number in range(rows))
    return out.getvalue()


def many(columns: tuple[str, ...], size: int, seed: int) -> Iterator[bytes]:
    """Pieces of a record file of at least `size` bytes, each row with a learner number of its own (`uln` is a column).

    A big file whose rows are like those of `records`, made quickly: for what is measured.
    """
    header, *rows = records(columns, 2000, seed).encode().splitlines(keepends=True)
    numbers = (number.encode() for number in map(uln, count(100_000_000)) if number)
    halves = [_ULN.split(row, maxsplit=1) for row in rows]
    yield header
    made = len(header)
    while made < size:
        piece = b"".join(before + next(numbers) + behind for before, behind in halves)
        made += len(piece)
        yield piece


def uln(first_nine: int) -> str | None:
    """The ten digits of a learner number that begins so; None where no check digit fits (weights 10..2, modulo 11)."""
    digits = f"{first_nine:09d}"
    rest = sum(int(digit) * weight for digit, weight in zip(digits, range(10, 1, -1), strict=True)) % 11
    return None if rest == 0 else digits + str(10 - rest)


def _row(chance: random.Random, number: int) -> dict[str, str]:
    given, family = chance.choice(_GIVEN), chance.choice(_FAMILY)
    learner = next(found for found in (uln(900_000_000 + number * 7 + step) for step in range(11)) if found)
    born = date(2008, 9, 1) + timedelta(days=chance.randrange(730))
    start = date(2026, 7, 1) + timedelta(days=chance.randrange(30))
    code = chance.choice(_CODES)
    return {
        "given_name": given,
        "family_name": family,
        "dob": born.isoformat(),
        "activity_code": code,
        "address": f"{number + 1} Nowhere Lane, Exampleton",
        "postcode": f"CT{chance.randrange(70, 80)} {chance.randrange(1, 10)}{chance.choice('ABDEF')}Z",
        "uln": learner,
        "phone_1": f"01632 960{chance.randrange(1000):03d}",
        "phone_2": "",
        "phone_3": "",
        "email": f"{given}.{family}.{number}@example.org".lower(),
        "activity_start": start.isoformat(),
        "lddd_flag": "N",
        "withheld": "N",
        "source": "college" if code in _STUDYING else "survey",
        "date_verified": (start + timedelta(days=chance.randrange(20))).isoformat(),
        "residence_la": "886",
        "study_la": "881" if code in _STUDYING else "",
        **(_studying(chance) if code in _STUDYING else _ELSEWHERE),
    }


_ELSEWHERE = dict.fromkeys(("establishment_name", "estab_laestab", "urn", "ukprn", "qualification_type"), "")


def _studying(chance: random.Random) -> dict[str, str]:
    """Where an invented person studies what. None of these numbers is given to anybody."""
    return {
        "establishment_name": "Example Sixth Form",
        "estab_laestab": "8819990",
        "urn": "999990",
        "ukprn": "19999990",
        "qualification_type": chance.choice(_QUALIFICATIONS),
    }
