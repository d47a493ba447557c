"""An armoured block is one public key, pinned by its fingerprint, or it is refused before gpg sees it."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.seal.armour import ARMOURED_MOST, public_key
from server.seal.packets import BadPackets

KEY = b"\x04" + bytes(4) + b"\x16" + b"point" * 6
"""The body of a version 4 public key packet."""


def packet(tag: int, body: bytes) -> bytes:
    return bytes([0xC0 | tag, len(body)]) + body


def armoured(data: bytes, kind: str = "PUBLIC KEY BLOCK", end: str = "\n") -> str:
    text = base64.b64encode(data).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return end.join(
        [f"-----BEGIN PGP {kind}-----", "Comment: trial", "", *lines, "=abcd", f"-----END PGP {kind}-----", ""]
    )


WHOLE = packet(6, KEY) + packet(13, b"kent") + packet(2, b"\x04sig") + packet(14, KEY) + packet(2, b"\x04sig")


@pytest.mark.parametrize("end", ["\n", "\r\n", "  \n", "\n    "])
def test_one_key_is_read_whatever_the_line_ends(end: str) -> None:
    """As it comes out of a mail, a Windows editor or an indented YAML block. Fingerprint: RFC 4880 section 12.2."""
    expected = hashlib.sha1(b"\x99" + len(KEY).to_bytes(2, "big") + KEY).hexdigest().upper()
    assert public_key("Our key:\n" + armoured(WHOLE, end=end)) == (expected, WHOLE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not a key",
        armoured(WHOLE) + armoured(WHOLE),
        armoured(WHOLE) + armoured(WHOLE, "PRIVATE KEY BLOCK"),
        armoured(WHOLE, "PRIVATE KEY BLOCK"),
        armoured(packet(5, KEY) + packet(13, b"kent")),
        armoured(WHOLE + packet(7, KEY)),
        armoured(WHOLE + packet(6, KEY)),
        armoured(packet(13, b"kent") + packet(6, KEY)),
        armoured(packet(6, b"\x03" + KEY[1:])),
        armoured(packet(6, b"")),
        armoured(WHOLE[:-2]),
        armoured(b""),
        armoured(WHOLE).replace("\n\n", "\n!\n\n!", 1),
        armoured(WHOLE).replace("\n\n", "\n", 1),
        armoured(WHOLE) + "x" * ARMOURED_MOST,
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """Two keys, a secret key even under a public label, a torn one, an old version, base64 that is none."""
    with pytest.raises(BadPackets):
        public_key(text)


@given(st.binary(max_size=300))
def test_any_content_gives_a_key_or_a_refusal(data: bytes) -> None:
    """Hostile packets never raise anything else."""
    try:
        fingerprint, packets = public_key(armoured(data))
    except BadPackets:
        return
    assert (len(fingerprint), packets) == (40, data)
