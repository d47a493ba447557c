"""Where an OpenPGP message's key packets end and its sealed payload begins. Pure: bytes in, packets out.

Packet headers: RFC 4880 section 4.2 (old and new format). Key packets: section 5.1, version 3.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

KEY_PACKET = 1
PAYLOAD_PACKETS = frozenset({18, 20})
"""Encrypted and integrity protected data; 20 is the authenticated form that newer gpg writes."""

KEY_PACKET_MOST = 4096
"""Bytes: a 16384-bit RSA key packet has 2,063."""

PREFIX_MOST = 512 * 1024
"""Bytes of key packets in one message: over 900 recipients with the longest RSA keys in use."""


class BadPackets(ValueError):
    """These bytes are not key packets followed by a sealed payload."""


@dataclass(frozen=True, slots=True)
class KeyPacket:
    """One recipient's way into the payload: `key_id` is 16 hex digits, upper case; `raw` includes the header."""

    key_id: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Prefix:
    """What stands before the payload, and at which byte the payload begins."""

    key_packets: tuple[KeyPacket, ...]
    payload_at: int


@dataclass(frozen=True, slots=True)
class Header:
    """A packet's tag, where its body begins, and the body's length in bytes; None for a partial or open length."""

    tag: int
    body_at: int
    length: int | None


def split(prefix: bytes) -> Prefix | None:
    """Split the beginning of a message into its key packets and the place where its payload begins.

    `prefix` is the message from its first byte on, as far as it is there. None: give more bytes.
    Raises BadPackets when this is no message of key packets and then a payload (compressed, signed only, symmetric,
    literal, armoured, a key packet of unknown version or length, or key packets without end).
    """
    found: list[KeyPacket] = []
    at = 0
    while True:
        opening = header(prefix, at)
        if opening is None:
            break
        if opening.tag in PAYLOAD_PACKETS:
            return _with_keys(found, at)
        end = _key_packet_end(opening)
        if len(prefix) < end:
            break
        found.append(KeyPacket(_key_id(prefix[opening.body_at : end]), prefix[at:end]))
        at = end
    if len(prefix) > PREFIX_MOST:
        raise BadPackets("the key packets have no end")
    return None


def joined(packets: Iterable[KeyPacket], key_ids: frozenset[str]) -> bytes:
    """The packets of these key ids, in the order of the message, ready to stand before the payload."""
    return b"".join(packet.raw for packet in packets if packet.key_id in key_ids)


def _with_keys(found: list[KeyPacket], at: int) -> Prefix:
    if not found:
        raise BadPackets("the payload has no key packets before it")
    return Prefix(tuple(found), at)


def _key_packet_end(opening: Header) -> int:
    if opening.tag != KEY_PACKET:
        raise BadPackets(f"packet {opening.tag} before the payload")
    if opening.length is None or not 10 < opening.length <= KEY_PACKET_MOST:
        raise BadPackets("a key packet of impossible length")
    return opening.body_at + opening.length


def _key_id(body: bytes) -> str:
    if body[0] != 3:
        raise BadPackets("a key packet of unknown version")
    key_id = body[1:9]
    if not any(key_id):
        raise BadPackets("a key packet without a key id")
    return key_id.hex().upper()


def header(data: bytes, at: int) -> Header | None:
    """The packet header at `at`; None when it is cut off. Raises BadPackets where no header can begin."""
    if at >= len(data):
        return None
    first = data[at]
    if not first & 0x80:
        raise BadPackets("no packet header")
    if first & 0x40:
        return _new_header(data, at, first & 0x3F)
    return _old_header(data, at, (first >> 2) & 0x0F, first & 0x03)


def _new_header(data: bytes, at: int, tag: int) -> Header | None:
    if at + 1 >= len(data):
        return None
    first = data[at + 1]
    if first < 192:
        return Header(tag, at + 2, first)
    if first < 224:
        return None if at + 2 >= len(data) else Header(tag, at + 3, ((first - 192) << 8) + data[at + 2] + 192)
    if first < 255:
        return Header(tag, at + 2, None)
    if at + 6 > len(data):
        return None
    return Header(tag, at + 6, int.from_bytes(data[at + 2 : at + 6], "big"))


def _old_header(data: bytes, at: int, tag: int, length_type: int) -> Header | None:
    if length_type == 3:
        return Header(tag, at + 1, None)
    width = 1 << length_type
    body_at = at + 1 + width
    if body_at > len(data):
        return None
    return Header(tag, body_at, int.from_bytes(data[at + 1 : body_at], "big"))
