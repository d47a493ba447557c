"""What an armoured public key block holds: one public key and nothing else, or it is refused. Pure.

Done here so that gpg never gets to read a block whose key is not the pinned one, or that carries a secret key.
Armour: RFC 4880 section 6.2. Transferable public keys: section 11.1. Fingerprint, version 4: section 12.2.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from server.seal.packets import BadPackets, header

ARMOURED_MOST = 256 * 1024
"""Characters of one armoured key: real ones have 1 to 20 thousand, flooded ones millions."""

_BEGIN = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
_END = "-----END PGP PUBLIC KEY BLOCK-----"
_PUBLIC_KEY = 6
_PARTS = frozenset({2, 12, 13, 14, 17})
"""Signature, trust, user id, public subkey, user attribute. A secret key (5, 7) is not among them."""


def public_key(armored: str) -> tuple[str, bytes]:
    """The fingerprint (40 hex digits, upper case) and the binary packets of the one key in this block.

    Text before and after the block, and white space at the ends of lines, do not matter. Raises BadPackets for anything
    but one armoured version 4 public key.
    """
    if len(armored) > ARMOURED_MOST:
        raise BadPackets("longer than any real key")
    data = _dearmoured(armored)
    tags, first = _walk(data)
    if tags[0] != _PUBLIC_KEY or not _PARTS.issuperset(tags[1:]):
        raise BadPackets("not exactly one public key")
    if not first or first[0] != 4:
        raise BadPackets("a public key of unknown version")
    digest = hashlib.sha1(b"\x99" + len(first).to_bytes(2, "big") + first, usedforsecurity=False)
    return digest.hexdigest().upper(), data


def _dearmoured(armored: str) -> bytes:
    lines = [line.strip() for line in armored.splitlines()]
    if lines.count(_BEGIN) != 1 or lines.count(_END) != 1 or sum("-----BEGIN" in line for line in lines) != 1:
        raise BadPackets("not exactly one public key block")
    block = lines[lines.index(_BEGIN) + 1 : lines.index(_END)]
    if "" not in block:
        raise BadPackets("no end of the armour's headers")
    body = [line for line in block[block.index("") + 1 :] if not line.startswith("=")]
    try:
        return base64.b64decode("".join(body), validate=True)
    except binascii.Error as fault:
        raise BadPackets("not base64") from fault


def _walk(data: bytes) -> tuple[list[int], bytes]:
    """The tags of all packets, and the body of the first."""
    tags: list[int] = []
    first = b""
    at = 0
    while at < len(data):
        found = header(data, at)
        if found is None or found.length is None or found.body_at + found.length > len(data):
            raise BadPackets("a packet that is cut off")
        if not tags:
            first = data[found.body_at : found.body_at + found.length]
        tags.append(found.tag)
        at = found.body_at + found.length
    if not tags:
        raise BadPackets("empty")
    return tags, first
