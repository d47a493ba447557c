"""Whose keys a consignment may be sealed to: those the policy holds whole, by full fingerprint, judged by us.

No key server, no lookup by name or address, no trust database. gpg reads the keys once, when a keyring is opened; after
that a question costs no gpg run.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from server.seal.armour import public_key
from server.seal.gpg import Gpg, SealError
from server.seal.packets import BadPackets

LISTING_SECONDS = 60.0
_NEVER = datetime.max.replace(tzinfo=UTC)
RSA_LEAST = 3072
"""Bits. NIST SP 800-57 part 1, table 2: 128 bits of strength, as for the curves below."""
_RSA = frozenset({"1", "2", "3"})
_CURVES_ALGORITHMS = frozenset({"18", "19", "22"})
_CURVES = frozenset(
    {"ed25519", "cv25519", "ed448", "cv448", "nistp256", "nistp384", "nistp521"}
    | {"brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1"}
)

_WHY = {
    "absent": "has no key in the agreement's policy: add the public key",
    "expired": "has expired: extend it or add a new one",
    "revoked": "has been revoked: add a new one",
    "weak": "is too weak: use ed25519 with cv25519, or RSA of at least 3072 bits",
    "cannot encrypt": "cannot encrypt: add one that has an encryption subkey",
    "unreadable": "cannot be read, or is not the one with that fingerprint: export it again, alone, with --armor",
}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key as the policy holds it. `holder` is a person's id or "recovery"; `fingerprint`: 40 hex, upper case."""

    holder: str
    member: str
    fingerprint: str
    armored: str


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A key that can be sealed to. `subkeys`: fingerprints of all usable encryption subkeys (or the primary)."""

    holder: str
    member: str
    fingerprint: str
    subkeys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UnusableKey:
    """A key that cannot be sealed to. `why`: absent, expired, revoked, weak, cannot encrypt, or unreadable."""

    holder: str
    member: str
    fingerprint: str
    why: str

    @property
    def sentence(self) -> str:
        """One plain sentence: whose key, what is wrong, what to do."""
        if self.why == "absent":
            return f"{self.holder} of {self.member} {_WHY[self.why]}."
        return f"The GPG key of {self.holder} of {self.member} {_WHY[self.why]}."


@dataclass(frozen=True, slots=True)
class _Part:
    """A primary key or a subkey as gpg lists it."""

    fingerprint: str
    validity: str
    expires: datetime | None
    encrypts: bool
    strong: bool

    def fault(self, at: datetime) -> str:
        """Why it is not usable at this time; empty when it is."""
        if self.validity == "r":
            return "revoked"
        if self.validity == "e" or (self.expires is not None and self.expires <= at):
            return "expired"
        if self.validity in ("i", "d", "n"):
            return "unreadable"
        return "" if self.strong else "weak"

    @property
    def sound(self) -> bool:
        """Whether nothing but its age is against it."""
        return self.strong and self.validity not in ("r", "i", "d", "n")


@dataclass(frozen=True, slots=True)
class _Listed:
    primary: _Part
    subkeys: tuple[_Part, ...]


class Keyring:
    """One revision's public keys in one keyring file; never changed after it is built."""

    def __init__(self, path: Path, listed: Mapping[str, _Listed]) -> None:
        """Use `open`."""
        self.path = path
        self._listed = dict(listed)

    @classmethod
    def open(cls, home: Path, revision: str, keys: Iterable[PublicKey]) -> Keyring:
        """The keyring of `revision` at home/keyrings/<revision>.kbx: built when absent or not whole, else reused.

        `keys` are all the revision's keys; those that gpg cannot read stay out and are answered as unreadable. One gpg
        run when the file is there, three when it is built. Raises SealError.
        """
        if not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}", revision):
            raise SealError("A revision is letters and digits only.", code="REVISION")
        wanted = _exact(keys)
        path = home / "keyrings" / f"{revision}.kbx"
        if path.exists():
            listed = _list(home, path)
            if listed.keys() == wanted.keys():
                return cls(path, listed)
        return cls(path, _build(home, path, wanted))

    @classmethod
    def of_one(cls, home: Path, key: PublicKey) -> Keyring:
        """A keyring of this key alone, to judge it by; nothing stays on disk. Raises SealError."""
        wanted = _exact([key])
        if not wanted:
            return cls(home, {})
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".judging-", dir=home) as draft:
                ring = Path(draft) / "ring.kbx"
                ring.touch(mode=0o600)
                return cls(ring, _imported(home, ring, wanted))
        except OSError as fault:
            raise SealError("The key could not be looked at: see the disk's room and rights.", code="DISK") from fault

    def sealing_key(self, key: PublicKey, at: datetime) -> SealingKey | UnusableKey:
        """What can be sealed to for `key` at `at` (aware; the real time, because gpg itself judges by that). Pure."""
        if not key.armored.strip():
            return UnusableKey(key.holder, key.member, key.fingerprint, "absent")
        listed = self._listed.get(key.fingerprint)
        if listed is None:
            return UnusableKey(key.holder, key.member, key.fingerprint, "unreadable")
        why = listed.primary.fault(at)
        if why:
            return UnusableKey(key.holder, key.member, key.fingerprint, why)
        candidates = [part for part in (*listed.subkeys, listed.primary) if part.encrypts]
        usable = tuple(part.fingerprint for part in candidates if not part.fault(at))
        if not usable:
            why = _gravest([part.fault(at) for part in candidates])
            return UnusableKey(key.holder, key.member, key.fingerprint, why)
        return SealingKey(key.holder, key.member, key.fingerprint, usable)

    def ends(self) -> dict[str, datetime | None]:
        """{fingerprint: when it can no longer be sealed to}, None for never, as the keys themselves say.

        Without keys that are unusable for another reason than their age: revoked, weak, cannot encrypt. Pure.
        """
        found = ((fingerprint, _end(listed)) for fingerprint, listed in self._listed.items())
        return {fingerprint: None if end == _NEVER else end for fingerprint, end in found if end is not None}


def _end(listed: _Listed) -> datetime | None:
    """When the last of its encryption keys ends, or the whole key; `_NEVER` when none does; None if none is sound."""
    if not listed.primary.sound:
        return None
    ends = [part.expires or _NEVER for part in (*listed.subkeys, listed.primary) if part.encrypts and part.sound]
    return min(max(ends), listed.primary.expires or _NEVER) if ends else None


def _gravest(faults: list[str]) -> str:
    """Of several unusable encryption keys, the fault whose remedy is nearest: one that expired can be extended."""
    order = ("expired", "weak", "revoked", "unreadable")
    return next((why for why in order if why in faults), "cannot encrypt")


def _exact(keys: Iterable[PublicKey]) -> dict[str, bytes]:
    """Fingerprint -> the binary key, for every block that holds exactly the key it is pinned to."""
    exact: dict[str, bytes] = {}
    for key in keys:
        try:
            fingerprint, packets = public_key(key.armored)
        except BadPackets:
            continue
        if fingerprint == key.fingerprint:
            exact[fingerprint] = packets
    return exact


def _build(home: Path, path: Path, wanted: Mapping[str, bytes]) -> dict[str, _Listed]:
    """Write the keyring under a temporary name, see that it holds nothing but these keys, and name it."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".building-", dir=path.parent))
        try:
            ring = draft / "ring.kbx"
            ring.touch(mode=0o600)
            listed = _imported(home, ring, wanted) if wanted else {}
            _to_disk(ring, os.O_RDONLY)
            ring.replace(path)
            _to_disk(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as fault:
        raise SealError("The keyring could not be written: look at the disk's room and rights.", code="DISK") from fault
    return listed


def _imported(home: Path, ring: Path, wanted: Mapping[str, bytes]) -> dict[str, _Listed]:
    run = Gpg(home, keyrings=[ring]).one_run()
    with run.within(LISTING_SECONDS):
        result = run.import_keys(b"".join(wanted.values()), extra_args=["--import-options", "import-minimal"])
    listed = _list(home, ring)
    if result.count != len(wanted) or listed.keys() - wanted.keys():
        raise SealError("gpg did not keep the keys it was given: run `safehand doctor`.", code="KEYRING")
    return listed


def _list(home: Path, ring: Path) -> dict[str, _Listed]:
    run = Gpg(home, keyrings=[ring]).one_run()
    with run.within(LISTING_SECONDS):
        found = run.list_keys()
    return {str(each["fingerprint"]): _listed(each) for each in found if each["type"] == "pub"}


def _listed(each: Mapping[str, Any]) -> _Listed:
    subkeys = tuple(_part(info) for info in each.get("subkey_info", {}).values() if info.get("fingerprint"))
    return _Listed(_part(each), subkeys)


def _part(fields: Mapping[str, Any]) -> _Part:
    expires = str(fields["expires"])
    return _Part(
        fingerprint=str(fields["fingerprint"]),
        validity=str(fields["trust"]),
        expires=datetime.fromtimestamp(int(expires), UTC) if expires else None,
        encrypts="e" in str(fields["cap"]),
        strong=_strong(str(fields["algo"]), str(fields["length"]), str(fields["curve"])),
    )


def _strong(algorithm: str, bits: str, curve: str) -> bool:
    if algorithm in _RSA:
        return bits.isdigit() and int(bits) >= RSA_LEAST
    return algorithm in _CURVES_ALGORITHMS and curve in _CURVES


def _to_disk(path: Path, how: int) -> None:
    descriptor = os.open(path, how)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
