"""A head of the ledger is found in whatever it was handed out in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.heads import Head, heads_in, heads_of

HASH = "0a1b" * 16
OTHER = "f9e8" * 16


@pytest.mark.parametrize(
    "text",
    [
        f"entry 000000001234, head {HASH}",
        f"Ledger: entry 1,234, head {HASH}.",
        f"1234 {HASH}",
        f"000000001234,{HASH.upper()}",
        f"The ledger holds: 1234 entries, head {HASH}.",
        f"<dt>Ledger</dt><dd>entry <b>000000001234</b>, head <code>{HASH}</code></dd>",
        f'"entry": "000000001234", "hash": "{HASH}"'.replace('"entry": ', ""),
        f"on two lines: entry 000000001234,\n  head {HASH}",
    ],
)
def test_a_head_is_read_in_every_form_it_is_shown_in(text: str) -> None:
    """Number and hash, whatever stands between them in papers, messages and the terminal."""
    assert heads_in(text) == (Head(1234, HASH),)


@pytest.mark.parametrize(
    "text",
    ["", HASH, f"head {HASH}", f"entry ten, head {HASH}", f"0 {HASH}", f"12 {HASH}0", f"12 {HASH[:-1]}", f"a12 {HASH}"],
)
def test_what_is_no_head_is_none(text: str) -> None:
    """A hash without a number, a number without a hash, and entry 0 say nothing of the ledger."""
    assert heads_in(text) == ()


def test_a_document_is_searched_through() -> None:
    """Mappings with entry and hash, at any depth, and texts in them; each head once, by number."""
    told = {
        "entry": "000000000009",
        "hash": OTHER,
        "ledger_head": {"entry": "000000000007", "hash": HASH},
        "anchors": [{"entry": 7, "hash": HASH}, {"entry": "000000000008", "hash": "short"}, None, 3],
        "words": f"entry 11, head {OTHER}",
    }
    assert heads_of(told) == (Head(7, HASH), Head(9, OTHER), Head(11, OTHER))


@given(st.integers(1, 10**11), st.binary(min_size=32, max_size=32))
def test_what_is_handed_out_is_read_back(number: int, digest: bytes) -> None:
    """The words of a head name that head and no other."""
    head = Head(number, digest.hex())
    assert heads_in(f"Something before. {head.words}\r\nSomething after, 12 of it.") == (head,)


@given(st.text(alphabet="0123456789abcdef ,:head\n", max_size=300))
def test_no_text_confuses_the_reader(text: str) -> None:
    """Whatever it is given, what it finds are whole heads."""
    assert all(head.number > 0 and len(head.hash) == 64 for head in heads_in(text))
