"""The keys in the files are public, whole and strong enough, and a GPG key is the one its fingerprint names."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from functools import lru_cache

import asyncssh

from server.policy.problem import PolicyProblem, problem
from server.policy.reference import matches, subtree, text_at
from server.policy.tree import Node, label

SSH_TYPES = frozenset({
    "ssh-ed25519", "sk-ssh-ed25519@openssh.com", "ssh-rsa",
    "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
})  # fmt: skip
RSA_BITS = 3072
_SIGNATURE, _PRIMARY, _SUBKEY = 2, 6, 14
_KEYS = frozenset({_PRIMARY, _SUBKEY})
_REVOKES = frozenset({0x20, 0x28, 0x30})
"""Types of signatures that revoke a key, a subkey, a certification."""
ARMOR = "-----BEGIN PGP PUBLIC KEY BLOCK-----"


def weak_keys(root: Node) -> Iterator[PolicyProblem]:
    """Every key that may not be used, with what to write instead."""
    for loc, leaf in matches(root, "people.*.ssh_keys.*.public"):
        if sentence := ssh_objection(leaf.text):
            yield problem(leaf.at, label(root, loc), sentence)
    for pattern in ("people.*.gpg_keys.*", "members.*.recovery_key"):
        for loc, block in subtree(root, pattern):
            fingerprint, armored = text_at(block, "fingerprint"), text_at(block, "armored")
            if fingerprint is None or armored is None:
                continue
            if sentence := gpg_objection(fingerprint.text, armored.text):
                yield problem(armored.at, f"{label(root, loc)}.armored", sentence)


@lru_cache(maxsize=4096)
def fingerprint(public: str) -> str:
    """OpenSSH's SHA-256 fingerprint of one public key line; empty when it is no key."""
    parts = public.split()
    try:
        blob = base64.b64decode(parts[1], validate=True)
    except (IndexError, binascii.Error):
        return ""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def ssh_objection(line: str) -> str | None:
    """Why a public key line may not log anybody in; None if it may. Accepted: ed25519, ECDSA, RSA from 3072 bits."""
    if "PRIVATE KEY" in line:
        return "this is a private key: remove it, treat it as lost, make a new one and write the line of its .pub file"
    if "\n" in line.strip():
        return "an SSH key is one line: write the line of the .pub file"
    try:
        key = asyncssh.import_public_key(line)
    except (asyncssh.KeyImportError, ValueError):
        return "this is no SSH public key: write the line of the .pub file, from its type to its end"
    if line.split(maxsplit=1)[0] not in SSH_TYPES or key.get_algorithm() not in SSH_TYPES:
        return "this type of SSH key is not accepted: make one with ssh-keygen -t ed25519"
    if key.get_algorithm() == "ssh-rsa" and _rsa_bits(key.public_data) < RSA_BITS:
        return f"this RSA key is too short: use {RSA_BITS} bits or more, or make one with ssh-keygen -t ed25519"
    return None


def _rsa_bits(blob: bytes) -> int:
    """Length of the modulus, from the public key's wire form: type, exponent, modulus (RFC 4253 section 6.6)."""
    numbers = []
    while len(blob) >= 4:
        length = int.from_bytes(blob[:4], "big")
        numbers.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    return int.from_bytes(numbers[2], "big").bit_length() if len(numbers) == 3 else 0


def gpg_objection(fingerprint: str, armored: str) -> str | None:
    """Why an armoured key is not the public key of this fingerprint; None if it is (RFC 9580 sections 5.5.4 and 6)."""
    if "PRIVATE KEY BLOCK" in armored:
        return "this is a private key: remove it, treat it as lost, make a new one and write its gpg --armor --export"
    if not armored.strip().startswith(ARMOR):
        return "this is no public key: write what gpg --armor --export FINGERPRINT prints"
    primary = _primary_key(armored)
    if primary is None:
        return "this public key is damaged: write what gpg --armor --export FINGERPRINT prints, every line of it"
    framed = b"\x99" + len(primary).to_bytes(2, "big") + primary
    if hashlib.sha1(framed, usedforsecurity=False).hexdigest().upper() != fingerprint:
        return "this key has another fingerprint: write the fingerprint and the key of the same person"
    return None


def is_refresh(old: str, new: str) -> bool:
    """Whether an armoured key is the same key signed anew by itself, as when its life is extended.

    The same primary key and subkeys, and no revocation less: whatever else differs, only the key's holder can make, and
    gpg checks (RFC 9580 sections 5.2.1 and 10.1.1).
    """
    before, after = _packets(old), _packets(new)
    if before is None or after is None:
        return False
    keys = [sorted(body for tag, body in packets if tag in _KEYS) for packets in (before, after)]
    gone = {body for tag, body in before if tag == _SIGNATURE and _signs(body) in _REVOKES}
    gone -= {body for tag, body in after if tag == _SIGNATURE}
    return keys[0] == keys[1] and not gone


def _signs(body: bytes) -> int | None:
    """The type of a signature packet of version 3 or 4."""
    at = {4: 1, 3: 2}.get(body[0]) if body else None
    return body[at] if at is not None and len(body) > at else None


def _packets(armored: str) -> list[tuple[int, bytes]] | None:
    """(tag, body) of every packet; None when it is not whole."""
    data, found = _dearmoured(armored), list[tuple[int, bytes]]()
    while data:
        cut = _packet(data)
        if cut is None:
            return None
        tag, body, length = cut
        found.append((tag, body))
        data = data[length:]
    return found or None


def _packet(data: bytes) -> tuple[int, bytes, int] | None:
    """The tag and body of the first packet, and how many bytes it takes; None when it is cut off."""
    if len(data) < 6 or not data[0] & 0x80:
        return None
    if data[0] & 0x40:
        tag, first = data[0] & 0x3F, data[1]
        if 224 <= first < 255:
            return None
        length, header = (first, 2) if first < 192 else (((first - 192) << 8) + data[2] + 192, 3)
        if first == 255:
            length, header = int.from_bytes(data[2:6], "big"), 6
    else:
        tag, size = (data[0] >> 2) & 0x0F, data[0] & 0x03
        if size == 3:
            return None
        width = (1, 2, 4)[size]
        length, header = int.from_bytes(data[1 : 1 + width], "big"), 1 + width
    body = data[header : header + length]
    return (tag, body, header + length) if len(body) == length else None


def _primary_key(armored: str) -> bytes | None:
    """The body of the first packet if it is a version 4 public key."""
    cut = _packet(_dearmoured(armored))
    return cut[1] if cut and cut[0] == _PRIMARY and cut[1][:1] == b"\x04" else None


def _dearmoured(armored: str) -> bytes:
    """The binary of an armoured block; empty when it is none."""
    lines = armored.strip().splitlines()
    if "" not in map(str.strip, lines):
        return b""
    start = [line.strip() for line in lines].index("")
    body = "".join(line.strip() for line in lines[start + 1 :] if not line.startswith(("=", "-----")))
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error:
        return b""
