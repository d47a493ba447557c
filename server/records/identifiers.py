"""Numbers that identify: learners (ULN), pupils (UPN), authorities and establishments. Pure arithmetic on text."""

from __future__ import annotations

import re
from functools import cache

ULN_DEFAULT = "9999999999"
"""What returns write for "no number yet": it names nobody (ILR rule ULN_02)."""
UPN_LETTERS = "ABCDEFGHJKLMNPQRTUVWXYZ"
"""The 23 check letters; I, O and S are never used (DfE, Unique Pupil Numbers)."""

_UPN = re.compile(rf"[{UPN_LETTERS}]\d{{11}}[0-9{UPN_LETTERS}]", re.ASCII)
_HALF = 100_000


def _numbers(*spans: int | tuple[int, int]) -> frozenset[str]:
    found: set[str] = set()
    for span in spans:
        first, last = (span, span) if isinstance(span, int) else span
        found.update(f"{number:03d}" for number in range(first, last + 1))
    return frozenset(found)


LA_CODES = _numbers(
    (201, 213), (301, 320), (330, 336), (340, 344), (350, 359), (370, 373), (380, 384), (390, 394), 420,
    (660, 681), (701, 708), (800, 803), (805, 808), (810, 813), (815, 816), (820, 823), (825, 826), (830, 831),
    (835, 841), (845, 846), (850, 852), (855, 857), (860, 861), (865, 896), (901, 943),
)  # fmt: skip
"""Three-digit DfE codes of authorities, present and former (pupils keep their first UPN), Wales and Service schools."""


def uln_ok(text: str) -> bool:
    """Whether `text` is a valid unique learner number: ten digits, weights 10 to 1, remainder 10 modulo 11 (HESA)."""
    if len(text) != 10 or not text.isascii() or not text.isdecimal() or text[0] == "0":
        return False
    high, low = _uln_tables()
    first, last = divmod(int(text), _HALF)
    return (high[first] + low[last]) % 11 == 10


def ulns_ok(numbers: list[str]) -> bool:
    """The same for many, each of ten digits and the first not 0: whether all are valid."""
    high, low = _uln_tables()
    return not [n for n in map(int, numbers) if (high[n // _HALF] + low[n % _HALF]) % 11 != 10]


@cache
def _uln_tables() -> tuple[bytes, bytes]:
    """The weighted sums modulo 11 of every first and every last half of a number."""

    def sums(weights: range) -> bytes:
        table = [0]
        for weight in weights:
            table = [(sum_ + digit * weight) % 11 for sum_ in table for digit in range(10)]
        return bytes(table)

    return sums(range(10, 5, -1)), sums(range(5, 0, -1))


def upn_shape_ok(text: str) -> bool:
    """Whether `text` has a UPN's thirteen characters: letter, eleven digits, digit (or letter: a temporary one)."""
    return _UPN.fullmatch(text) is not None


def upn_letter(body: str) -> str:
    """The check letter in front of these twelve characters: their values by 2 to 13, added, modulo 23."""
    values = (UPN_LETTERS.index(ch) if ch.isalpha() else int(ch) for ch in body)
    return UPN_LETTERS[sum(value * weight for weight, value in enumerate(values, 2)) % 23]


def upn_ok(text: str) -> bool:
    """Whether `text` is a UPN with the right check letter. Its authority is not looked at."""
    return upn_shape_ok(text) and upn_letter(text[1:]) == text[0]
