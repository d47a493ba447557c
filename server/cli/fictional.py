"""Keys for people who do not exist: each an SSH key and a GNUPGHOME of their own, made once, by the real programs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from server.domain.agreement import PolicySet
from server.domain.errors import Misconfigured
from server.policy.edit import PersonKeys, with_keys, with_recovery_keys
from server.policy.load import load_texts, read_texts
from server.seal.agent_socket import socket_redirect, socket_redirect_ended

AT_ONCE = 3
GPG_SECONDS = 60
_KEY = """Key-Type: EDDSA
Key-Curve: ed25519
Key-Usage: sign,cert
Subkey-Type: ECDH
Subkey-Curve: cv25519
Subkey-Usage: encrypt
Name-Real: {name}
Name-Email: {id}@example.org
Expire-Date: 0
%no-protection
%commit
"""
_AGENT = "s2k-count 65536\ndisable-scdaemon\n"


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody with keys: a person, or a member's offline recovery key (then without an SSH key)."""

    id: str
    name: str
    folder: Path
    logs_in: bool

    @property
    def ssh_key(self) -> Path:
        return self.folder / "ssh_key"

    @property
    def gnupg(self) -> Path:
        return self.folder / "gnupg"

    @property
    def fingerprint(self) -> str:
        """40 hex digits."""
        return (self.folder / "fingerprint").read_text().strip()

    @property
    def armored(self) -> str:
        return (self.folder / "public_key.asc").read_text()

    @property
    def ssh_public(self) -> str:
        return (self.folder / "ssh_key.pub").read_text().strip()


def people_of(policy: PolicySet, folder: Path) -> list[Holder]:
    """Everybody in the policy, under `folder`/people."""
    return [Holder(person.id, person.name, folder / "people" / person.id, True) for person in policy.people]


def recoveries_of(policy: PolicySet, folder: Path) -> list[Holder]:
    """Each member that receives, with its offline key under `folder`/members."""
    members = [member for member in policy.members if policy.people_of(member.id, "data_manager")]
    return [
        Holder(f"recovery-{member.id}", f"{member.called} recovery", folder / "members" / member.id, False)
        for member in members
    ]


def make_keys(holders: Iterable[Holder], exchange_public: str, exchange_fingerprint: str) -> None:
    """Make what is missing, some at once. Each holder trusts the exchange's key, so that gpg says "Good signature"."""
    missing = [holder for holder in holders if not holder.folder.is_dir()]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda holder: _make(holder, exchange_public, exchange_fingerprint), missing))


def ready_sockets(holders: Iterable[Holder]) -> None:
    """At every start: gpg works in these homes however deep they lie."""
    for holder in holders:
        socket_redirect(holder.gnupg)


def end_agents(holders: Sequence[Holder]) -> None:
    """End the agents that gpg started in these homes."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(_end_agent, [holder.gnupg for holder in holders]))


def filled_policy(directory: Path, target: Path, people: Sequence[Holder], recoveries: Sequence[Holder]) -> None:
    """Write a copy of the policy set with these keys filled in to `target`; whole or not at all."""
    texts = read_texts(directory)
    keys = {
        holder.id: PersonKeys(ssh=(holder.ssh_public,), gpg=((holder.fingerprint, holder.armored),), label="demo key")
        for holder in people
    }
    offline = {holder.folder.name: (holder.fingerprint, holder.armored) for holder in recoveries}
    texts["people.yaml"] = with_keys(texts["people.yaml"], keys)
    texts["members.yaml"] = with_recovery_keys(texts["members.yaml"], offline)
    load_texts(texts)
    draft = target.with_name(f"{target.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    for name, text in texts.items():
        (draft / name).parent.mkdir(parents=True, exist_ok=True)
        (draft / name).write_text(text)
    draft.rename(target)


def _make(holder: Holder, exchange_public: str, exchange_fingerprint: str) -> None:
    draft = holder.folder.with_name(f".{holder.folder.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    home = draft / "gnupg"
    home.mkdir(mode=0o700, parents=True)
    (home / "gpg-agent.conf").write_text(_AGENT)
    if holder.logs_in:
        key = asyncssh.generate_private_key("ssh-ed25519", comment=holder.id)
        key.write_private_key(draft / "ssh_key")
        (draft / "ssh_key").chmod(0o600)
        key.write_public_key(draft / "ssh_key.pub")
    socket_redirect(home)
    try:
        _gpg(home, "--gen-key", stdin=_KEY.format(name=holder.name, id=holder.id))
        listing = _gpg(home, "--with-colons", "--list-keys").splitlines()
        fingerprint = next(line.split(":")[9] for line in listing if line.startswith("fpr"))
        (draft / "fingerprint").write_text(f"{fingerprint}\n")
        (draft / "public_key.asc").write_text(_gpg(home, "--armor", "--export", fingerprint))
        _gpg(home, "--import", stdin=exchange_public)
        _gpg(home, "--import-ownertrust", stdin=f"{exchange_fingerprint}:6:\n")
        _gpg(home, "--check-trustdb")
    finally:
        _end_agent(home)
    draft.rename(holder.folder)


def _gpg(home: Path, *arguments: str, stdin: str = "") -> str:
    command = ["gpg", "--homedir", str(home), "--batch", "--no-tty", "--quiet", *arguments]
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=GPG_SECONDS)
    except FileNotFoundError:
        raise Misconfigured("gpg is not installed: install the package gnupg.", code="GPG_MISSING") from None
    except subprocess.TimeoutExpired:
        raise Misconfigured("gpg does not answer while the demo's keys are made: try again.", code="GPG_SLOW") from None
    if done.returncode != 0:
        raise Misconfigured("gpg could not make the demo's keys: run `safehand doctor`.", code="GPG_FAILED")
    return done.stdout


def _end_agent(home: Path) -> None:
    if any((home / "S.gpg-agent").parent.glob("S.gpg-agent*")):
        subprocess.run(
            ["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"], capture_output=True, check=False, timeout=5
        )
    socket_redirect_ended(home)
