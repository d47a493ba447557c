"""The two servers under measure, each a child of this process on loopback, each seen only through its accounts."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 120.0

ALGORITHMS = {
    "KexAlgorithms": "curve25519-sha256",
    "Ciphers": "aes256-gcm@openssh.com",
    "HostKeyAlgorithms": "ssh-ed25519",
}
"""The same for both, so that the servers are compared and not the client's way with what each prefers."""


class BenchError(Exception):
    """The measurement cannot be made; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Account:
    """One person on one server, as a client needs it."""

    port: int
    user: str
    key: Path
    known_hosts: Path
    algorithms: Mapping[str, str]
    """What the client is told to use; empty: what it negotiates by itself."""

    def client(self) -> list[str]:
        """The command line of OpenSSH's sftp for this account, without anybody's own configuration."""
        options = {
            "BatchMode": "yes",
            "LogLevel": "ERROR",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "UserKnownHostsFile": str(self.known_hosts),
            "GlobalKnownHostsFile": "/dev/null",
            **self.algorithms,
        }
        given = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        where = ["-P", str(self.port), "-i", str(self.key), f"{self.user}@127.0.0.1"]
        return ["sftp", "-q", "-F", "/dev/null", *given, "-b", "-", *where]

    def sftp(self, *commands: str) -> None:
        """One run of it with these batch commands. Raises BenchError when it fails."""
        batch = "".join(f"{line}\n" for line in commands)
        done = subprocess.run(self.client(), input=batch, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchError(f"sftp as {self.user} failed: {done.stderr.strip() or done.stdout.strip()}")


@dataclass(frozen=True, slots=True)
class Partner:
    """A member that a broadcast reaches: somebody who can collect there, and that person's GNUPGHOME."""

    member: str
    account: Account
    gnupg_home: Path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _end(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is None:
        server.send_signal(signal.SIGTERM)
    try:
        server.wait(15)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _ssh_keygen(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


class OpenSsh:
    """OpenSSH's sshd with its own sftp server and its defaults, but for the limit on how many may log in at once.

    `internal-sftp` is the code of sftp-server without the login shell, whose start-up files would count as log-in.
    """

    name = "OpenSSH"

    def __init__(self, folder: Path, algorithms: Mapping[str, str]) -> None:
        """Starts sshd in the foreground under `folder`, and returns when it answers."""
        sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
        if sshd is None:
            raise BenchError("OpenSSH's sshd is not installed: apt-get install openssh-server")
        folder.mkdir(mode=0o700)
        self.root = folder / "root"
        self.root.mkdir()
        host_key, key = _ssh_keygen(folder / "host"), _ssh_keygen(folder / "user")
        (folder / "authorized_keys").write_text(Path(f"{key}.pub").read_text())
        port = _free_port()
        kind, blob = Path(f"{host_key}.pub").read_text().split()[:2]
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {blob}\n")
        (folder / "sshd_config").write_text(self._settings(folder, port, host_key))
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.account = Account(port, getpass.getuser(), key, folder / "known_hosts", algorithms)
        with (folder / "log").open("wb") as log:
            command = [sshd, "-D", "-e", "-f", str(folder / "sshd_config")]
            self.server = subprocess.Popen(command, stdout=log, stderr=log)
        self._wait(port, folder / "log")

    @staticmethod
    def _settings(folder: Path, port: int, host_key: Path) -> str:
        settings = {
            "ListenAddress": "127.0.0.1",
            "Port": str(port),
            "HostKey": str(host_key),
            "AuthorizedKeysFile": str(folder / "authorized_keys"),
            "PidFile": "none",
            "StrictModes": "no",
            "UsePAM": "no",
            "PermitRootLogin": "prohibit-password",
            "PasswordAuthentication": "no",
            "MaxStartups": "200",
            "Subsystem": "sftp internal-sftp",
        }
        return "".join(f"{name} {value}\n" for name, value in settings.items())

    def _wait(self, port: int, log: Path) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.server.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise BenchError(f"sshd did not start: {log.read_text().strip()}")

    @property
    def pid(self) -> int:
        """The process whose tree is the server."""
        return self.server.pid

    def target(self, name: str) -> str:
        """Where a client puts a file of this name."""
        return str(self.root / name)

    def end(self) -> None:
        """Stops the server."""
        _end(self.server)


def with_the_ninth_member(source: Path, target: Path) -> None:
    """A copy of the policy set at `source` in which Brighton and Hove has signed and named its people.

    The shipped set leaves that member not ready on purpose, so that a demo's broadcast reaches seven partners.
    """
    shutil.copytree(source, target)
    _replace(target / "policy.yaml", "version: 2.1.0\n", "version: 2.1.0-bench\n")
    agreement = (target / "agreement.yaml").read_text()
    document = agreement.partition("document_sha256: ")[2][:64]
    signed = f"state: signed, on: 2026-08-25, by_role: governance lead, method: paper, document_sha256: {document}}}"
    _replace(target / "agreement.yaml", "brighton-hove, state: block_missing}", f"brighton-hove, {signed}")
    _replace(target / "members.yaml", "  note: listed in clause 1 only\n", _NINTH_MEMBER)
    with (target / "people.yaml").open("a") as people:
        people.write(_NINTH_PEOPLE)


_NINTH_MEMBER = """\
  address: [9 Example Street, Exampleton]
  phone: 01632 960900
  ig_team: {email: ig@brightonhove.example.org, phone: 01632 960009}
  ico: Z0000009
  ico_valid_until: 2027-07-31
  dpo: dpo@brightonhove.example.org
  domains: [brightonhove.example.org]
  privacy_notice: https://www.example.org/brighton-hove/privacy
  complaints: https://www.example.org/brighton-hove/complaints
  local_retention: https://www.example.org/brighton-hove/retention
  notice_precedence: both
"""
_NINTH_PEOPLE = """
- id: p-bench-1
  member: brighton-hove
  name: B. Bench
  roles: [designated_person, data_manager]
  email: dm@brightonhove.example.org
  phone: 01632 960090
  training_valid_until: 2027-03-31
- id: g-bench
  member: brighton-hove
  name: S. Sedge
  roles: [governance_lead]
  email: gl@brightonhove.example.org
  phone: 01632 960091
"""


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    if text.count(old) != 1:
        raise BenchError(f"the demo's {file.name} is not as this benchmark knows it")
    file.write_text(text.replace(old, new))


class Safehand:
    """`safehand demo` in a folder of its own, found through its demo.json, with all of its nine members ready."""

    name = "Safehand"
    period = "2026-11"
    sender = "essex"

    def __init__(self, folder: Path, algorithms: Mapping[str, str]) -> None:
        """Starts the demo on free ports, and returns when it accepts connections."""
        program = Path(sys.executable).with_name("safehand")
        if not program.exists():
            raise BenchError("safehand is not installed beside this Python: run `make setup`")
        policies = folder.with_name("p")
        with_the_ninth_member(Path(__file__).parent.parent / "policies" / "ccis-v2", policies)
        command = [str(program), "demo", "--dir", str(folder), "--sftp-port", "0", "--web-port", "0"]
        log_path = folder.with_suffix(".log")
        with log_path.open("wb") as log:
            started = [*command, "--now", "2026-12-01T09:00"]
            environment = {**os.environ, "SAFEHAND_POLICIES": str(policies)}
            self.server = subprocess.Popen(started, stdout=log, stderr=subprocess.STDOUT, env=environment)
        self._wait(log_path)
        facts = json.loads((folder / "demo.json").read_text())
        sftp = facts["sftp"]
        self.exchange_key = Path(facts["exchange_public_key"])
        managers: dict[str, Partner] = {}
        for person in facts["people"]:
            if "data_manager" not in person["roles"]:
                continue
            account = Account(
                sftp["port"], person["id"], Path(person["ssh_key"]), Path(sftp["known_hosts"]), algorithms
            )
            managers.setdefault(person["member"], Partner(person["member"], account, Path(person["gnupg_home"])))
        if self.sender not in managers:
            raise BenchError(f"the demo has nobody at {self.sender}")
        self.account = managers.pop(self.sender).account
        self.partners = tuple(managers.values())
        if not self.partners:
            raise BenchError("the demo has no partners to send to")

    def _wait(self, log: Path) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.server.poll() is None:
            if "ready" in log.read_text(errors="replace").splitlines():
                return
            time.sleep(0.1)
        _end(self.server)
        raise BenchError(f"safehand demo did not become ready: {log.read_text(errors='replace').strip()[-2000:]}")

    @property
    def pid(self) -> int:
        """The process whose tree is the server."""
        return self.server.pid

    @property
    def first(self) -> Partner:
        """The partner that single files go to."""
        return self.partners[0]

    def target(self, name: str) -> str:
        """Where a client puts a file of this name for the first partner."""
        return f"outbox/trial/{self.period}/{self.first.member}/{name}"

    def records(self, name: str) -> str:
        """Where a client puts a record file for the first partner: an exchange in which every field is checked."""
        return f"outbox/post16-destinations/{self.period}/{self.first.member}/{name}"

    def everyone(self, name: str) -> str:
        """Where a client puts a file of this name for every partner."""
        return f"outbox/trial/{self.period}/everyone/{name}"

    def inbox(self) -> str:
        """Where a partner finds what the sender sent."""
        return f"inbox/trial/{self.period}/{self.sender}"

    def end(self) -> None:
        """Stops the demo."""
        _end(self.server)
