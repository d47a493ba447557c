"""Key packets are told from the payload by their headers alone, and anything else is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.seal.packets import KEY_PACKET_MOST, PREFIX_MOST, BadPackets, joined, split

PAYLOAD = b"\xd2\xf0" + b"sealed" * 10
"""Packet 18, new format, partial length: what gpg writes when it does not know the size."""


def body(key_id: bytes, rest: bytes = b"\x12" + b"k" * 80) -> bytes:
    return b"\x03" + key_id + rest


def old(content: bytes, width: int) -> bytes:
    """An old-format key packet whose length field has 1, 2 or 4 bytes."""
    return bytes([0x84 | {1: 0, 2: 1, 4: 2}[width]]) + len(content).to_bytes(width, "big") + content


def new(content: bytes) -> bytes:
    """A new-format key packet with the shortest length field."""
    length = len(content)
    field = bytes([length]) if length < 192 else (length - 192 + 0xC000).to_bytes(2, "big")
    return b"\xc1" + field + content


def new_long(content: bytes) -> bytes:
    """A new-format key packet with the five-byte length field."""
    return b"\xc1\xff" + len(content).to_bytes(4, "big") + content


key_ids = st.binary(min_size=8, max_size=8).filter(any)
short_bodies = st.builds(body, key_ids, st.binary(min_size=2, max_size=200))
long_bodies = st.builds(body, key_ids, st.binary(min_size=300, max_size=2000))
packets = st.one_of(
    short_bodies.map(lambda content: (content, old(content, 1))),
    long_bodies.map(lambda content: (content, old(content, 2))),
    long_bodies.map(lambda content: (content, old(content, 4))),
    short_bodies.map(lambda content: (content, new(content))),
    long_bodies.map(lambda content: (content, new(content))),
    long_bodies.map(lambda content: (content, new_long(content))),
)


@given(st.lists(packets, min_size=1, max_size=6), st.binary(max_size=300))
def test_every_form_of_header_is_read_and_nothing_is_lost(made: list[tuple[bytes, bytes]], more: bytes) -> None:
    """Key ids come out in order, and the packets plus the payload are the message again."""
    message = b"".join(raw for _, raw in made) + PAYLOAD + more
    prefix = split(message)
    assert prefix is not None
    assert [packet.key_id for packet in prefix.key_packets] == [content[1:9].hex().upper() for content, _ in made]
    assert b"".join(packet.raw for packet in prefix.key_packets) + message[prefix.payload_at :] == message
    assert message[prefix.payload_at :] == PAYLOAD + more


@given(st.lists(packets, min_size=1, max_size=4), st.data())
def test_a_beginning_that_is_too_short_asks_for_more(made: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    """Cut anywhere before the payload's header is whole, the answer is 'more', never a guess and never an error."""
    head = b"".join(raw for _, raw in made)
    cut = data.draw(st.integers(0, len(head) + 1))
    assert split((head + PAYLOAD)[:cut]) is None
    assert split(head + PAYLOAD[:2]) == split(head + PAYLOAD)


@given(st.binary(max_size=400))
def test_any_bytes_give_an_answer_or_a_refusal(data: bytes) -> None:
    """Hostile bytes never raise anything but BadPackets, and an answer never points outside of them."""
    try:
        prefix = split(data)
    except BadPackets:
        return
    assert prefix is None or 0 < prefix.payload_at < len(data)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (PAYLOAD, "no key packets"),
        (b"-----BEGIN PGP MESSAGE-----", "no packet header"),
        (b"\xc8\x03abc" + PAYLOAD, "packet 8 before"),
        (b"\xa3abc" + PAYLOAD, "packet 8 before"),
        (b"\x8c\x0d\x04\x09\x03\x02" + b"s" * 9 + PAYLOAD, "packet 3 before"),
        (new(b"\x06" + b"i" * 40) + PAYLOAD, "unknown version"),
        (new(body(bytes(8))) + PAYLOAD, "without a key id"),
        (new(b"\x03short") + PAYLOAD, "impossible length"),
        (b"\xc1\xf0" + body(b"12345678") + PAYLOAD, "impossible length"),
        (b"\xc1\xff" + (KEY_PACKET_MOST + 1).to_bytes(4, "big"), "impossible length"),
        (b"\x87" + body(b"12345678"), "impossible length"),
        (new(body(b"12345678")) * (PREFIX_MOST // 90), "no end"),
    ],
)
def test_other_messages_are_refused(message: bytes, why: str) -> None:
    """Compressed, symmetric, armoured, hidden or endless: not a message for decided recipients."""
    with pytest.raises(BadPackets, match=why):
        split(message)


def test_a_members_packets_are_joined_in_the_order_of_the_message() -> None:
    """One member may have several keys; the others' packets stay out."""
    raws = {name: new(body(name)) for name in (b"AAAAAAAA", b"BBBBBBBB", b"CCCCCCCC")}
    prefix = split(b"".join(raws.values()) + PAYLOAD)
    assert prefix is not None
    wanted = frozenset({b"CCCCCCCC".hex().upper(), b"AAAAAAAA".hex().upper()})
    assert joined(prefix.key_packets, wanted) == raws[b"AAAAAAAA"] + raws[b"CCCCCCCC"]
