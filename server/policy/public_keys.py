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


def _primary_key(armored: str) -> bytes | None:
    """The body of the first packet if it is a version 4 public key."""
    lines = armored.strip().splitlines()
    if "" not in map(str.strip, lines):
        return None
    start = [line.strip() for line in lines].index("")
    body = "".join(line.strip() for line in lines[start + 1 :] if not line.startswith(("=", "-----")))
    try:
        data = base64.b64decode(body, validate=True)
    except binascii.Error:
        return None
    packet = _first_packet(data)
    return packet if packet and packet[0] == 4 else None


def _first_packet(data: bytes) -> bytes | None:
    """The body of a leading public key packet (tag 6), in the old or the new packet form."""
    if len(data) < 6 or not data[0] & 0x80:
        return None
    if data[0] & 0x40:
        tag, first = data[0] & 0x3F, data[1]
        if first < 192:
            length, header = first, 2
        elif first < 224:
            length, header = ((first - 192) << 8) + data[2] + 192, 3
        else:
            return None
    else:
        tag, size = (data[0] >> 2) & 0x0F, data[0] & 0x03
        if size == 3:
            return None
        width = (1, 2, 4)[size]
        length, header = int.from_bytes(data[1 : 1 + width], "big"), 1 + width
    body = data[header : header + length]
    return body if tag == 6 and len(body) == length else None
