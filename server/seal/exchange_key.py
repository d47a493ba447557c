"""The exchange's own signing key: made once, its random passphrase in a private file."""

from __future__ import annotations

import os
import secrets
import stat
import subprocess
import threading
from pathlib import Path

from server.seal.agent_socket import socket_redirect, socket_redirect_ended
from server.seal.gpg import Gpg, SealError, stderr_of
from server.seal.keyring import Keyring

GPG_SECONDS = 30.0
"""How long one short gpg run (listing, signing a manifest) may take before it counts as hung."""

_AGENT = "s2k-count 65536\nauto-expand-secmem 131072\ndisable-scdaemon\n"
"""The passphrase has 256 random bits, so stretching it buys nothing: 12 ms a signature instead of 0.4 s."""


class ExchangeKey:
    """An ed25519 key that can only sign. `fingerprint` is 40 hex digits; `armored` is the public key for members."""

    def __init__(self, home: Path, passphrase_file: Path, fingerprint: str, armored: str) -> None:
        """Use `create` or `open`."""
        self.home = home
        self.fingerprint = fingerprint
        self.armored = armored
        self._passphrase_file = passphrase_file
        self._sealers: dict[Path, Gpg] = {}
        self._turn = threading.Lock()
        self._signer = _gpg(home, passphrase_file)

    @classmethod
    def create(cls, home: Path, passphrase_file: Path, name: str) -> ExchangeKey:
        """Make the key, which does not expire, in `home` (made with mode 0700 when absent). `name` is in its user id.

        Interrupted, it may be called again: a passphrase without a key is used. Raises SealError when `home` has a key
        already, when something else may read `home` or the passphrase, or when gpg fails.
        """
        if not name.isprintable() or set(name) & set("<>%()") or not name.strip():
            raise SealError("The exchange's name must be plain words: letters, digits, spaces.", code="KEY_NAME")
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_open_doors(home, "folder of the exchange's key")
        _write_once(home / "gpg-agent.conf", _AGENT)
        _write_once(passphrase_file, secrets.token_hex(32) + "\n")
        _refuse_open_doors(passphrase_file, "passphrase of the exchange's key")
        socket_redirect(home)
        gpg = _gpg(home, passphrase_file)
        if _secret_keys(gpg):
            raise SealError(
                "There is an exchange key here already: use it, or choose another folder.", code="KEY_EXISTS"
            )
        run = gpg.one_run()
        with run.within(GPG_SECONDS):
            made = run.gen_key(
                "Key-Type: EDDSA\nKey-Curve: ed25519\nKey-Usage: sign\n"
                f"Name-Real: {name.strip()} (exchange)\nExpire-Date: 0\n%commit\n"
            )
        if not made.fingerprint:
            raise SealError("gpg did not make the exchange's key: run `safehand doctor`.", code="KEY_NOT_MADE")
        return cls.open(home, passphrase_file)

    @classmethod
    def open(cls, home: Path, passphrase_file: Path) -> ExchangeKey:
        """Open the key made before, start its agent, and prove with one signature that it works.

        Raises SealError when `home` or the passphrase can be read by others, or the key is missing or does not sign.
        """
        for path, what in (
            (home, "folder of the exchange's key"),
            (passphrase_file, "passphrase of the exchange's key"),
        ):
            _refuse_open_doors(path, what)
        socket_redirect(home)
        gpg = _gpg(home, passphrase_file)
        found = _secret_keys(gpg)
        if len(found) != 1:
            raise SealError("The exchange must have exactly one signing key: run `safehand init`.", code="KEY_MISSING")
        run = gpg.one_run()
        with run.within(GPG_SECONDS):
            armored = run.export_keys(found[0] + "!", expect_passphrase=False)
        if not armored:
            raise SealError(
                "gpg does not give out the exchange's public key: run `safehand doctor`.", code="KEY_MISSING"
            )
        key = cls(home, passphrase_file, found[0], armored)
        key.sign_detached(b"ready")
        return key

    def sign_detached(self, data: bytes) -> bytes:
        """An armoured detached signature over `data`, which gpg alone can verify. Raises SealError."""
        self.meet()
        run = self._signer.one_run()
        try:
            with run.within(GPG_SECONDS):
                made = run.sign(
                    data,
                    clearsign=False,
                    detach=True,
                    extra_args=["--local-user", f"{self.fingerprint}!", "--digest-algo", "SHA256"],
                )
        except OSError as fault:
            raise SealError("gpg does not run on this machine: try again later.", code="GPG_MISSING") from fault
        if made.fingerprint != self.fingerprint or made.returncode != 0 or not made.data:
            raise SealError(
                "The exchange's key did not sign: try again, or run `safehand doctor`.", code="KEY_NOT_SIGNING"
            )
        return bytes(made.data)

    def sealer(self, keyring: Keyring) -> Gpg:
        """The arrangement of gpg that signs with this key and finds recipients in `keyring`; made once per keyring."""
        self.meet()
        with self._turn:
            if keyring.path not in self._sealers:
                self._sealers[keyring.path] = _gpg(self.home, self._passphrase_file, keyring.path)
            return self._sealers[keyring.path]

    def meet(self) -> None:
        """Make sure that gpg and its agent find each other, should a cleaner have emptied the short folder."""
        with self._turn:
            socket_redirect(self.home)

    def close(self) -> None:
        """End this key's own gpg-agent; returns within seconds, whatever the agent does."""
        try:
            subprocess.run(
                ["gpgconf", "--homedir", str(self.home), "--kill", "gpg-agent"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=5,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return
        socket_redirect_ended(self.home)


def _gpg(home: Path, passphrase_file: Path, *more: Path) -> Gpg:
    return Gpg(
        home,
        keyrings=[home / "pubring.kbx", *more],
        options=["--pinentry-mode", "loopback", "--passphrase-file", str(passphrase_file)],
    )


def _secret_keys(gpg: Gpg) -> list[str]:
    run = gpg.one_run()
    with run.within(GPG_SECONDS):
        listed = run.list_keys(secret=True)
    if listed.returncode:
        raise SealError(
            f"gpg cannot read the exchange's key ({len(stderr_of(listed))} characters said).", code="KEY_MISSING"
        )
    return [str(key["fingerprint"]) for key in listed]


def _refuse_open_doors(path: Path, what: str) -> None:
    try:
        found = path.stat()
    except OSError as fault:
        raise SealError(f"The {what} is missing: run `safehand init`.", code="KEY_MISSING") from fault
    if stat.S_IMODE(found.st_mode) & 0o077 or found.st_uid not in (os.geteuid(), 0):
        raise SealError(f"The {what} can be read by others: take their rights away (chmod go=).", code="KEY_EXPOSED")


def _write_once(path: Path, text: str) -> None:
    """Create `path` with mode 0600 and this text, on disk before this returns; an existing one stays as it is."""
    if path.exists():
        return
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
