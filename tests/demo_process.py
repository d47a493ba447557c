"""`safehand demo` as anybody runs it: a process of its own, demo.json, the real sftp and gpg, signals."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

START_SECONDS = 60.0
FORM_TOKEN = re.compile(r'name="form_token" value="([^"]+)"')
DELIVERY = re.compile(r"D-\d{4}-\d{6}")
PYTHON = [sys.executable, "-m", "server.cli"]
ROOT = Path(__file__).resolve().parent.parent


@dataclass
class DemoProcess:
    """One demo folder and the process on it. `work` is a folder outside of it, where clients are run."""

    folder: Path
    work: Path
    arguments: tuple[str, ...] = ()
    told: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    versions: int = 0

    def start(self) -> DemoProcess:
        """Returns when it has said `ready`."""
        self.starts += 1
        out = self.work / f"demo-{self.starts}.out"
        command = [*PYTHON, "demo", "--dir", str(self.folder), "--sftp-port", "0", "--web-port", "0", *self.arguments]
        with out.open("wb") as lines:
            self.process = subprocess.Popen(
                command, stdout=lines, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=ROOT
            )
        process = self.process

        def ready() -> bool:
            assert process.poll() is None, f"the demo ended with {process.returncode}:\n{out.read_text()}"
            return "ready" in out.read_text().splitlines()

        until(ready, START_SECONDS)
        self.told = json.loads((self.folder / "demo.json").read_text())
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def end(self, number: int = signal.SIGTERM) -> float:
        """End it by a signal; the seconds that it took."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(30)
        return time.monotonic() - began

    def person(self, person: str) -> dict[str, Any]:
        return next(found for found in self.told["people"] if found["id"] == person)

    def sftp_command(self, person: str, *options: str) -> list[str]:
        place = self.told["sftp"]
        known = f'UserKnownHostsFile="{place["known_hosts"]}"'
        return [
            *("sftp", "-q", "-b", "-", "-i", self.person(person)["ssh_key"], "-P", str(place["port"])),
            *("-o", known, "-o", "IdentitiesOnly=yes", *options, f"{person}@{place['host']}"),
        ]

    def sftp(self, person: str, *commands: str) -> subprocess.CompletedProcess[str]:
        """One batch of OpenSSH's sftp; never raises for a failure."""
        return subprocess.run(
            self.sftp_command(person),
            input="\n".join(commands) + "\n",
            capture_output=True,
            text=True,
            cwd=self.work,
            check=False,
            timeout=300,
        )

    @contextlib.contextmanager
    def sftp_running(self, person: str, *commands: str, options: tuple[str, ...] = ()) -> Iterator[Any]:
        """A batch that runs beside the test; its whole process group is gone afterwards."""
        client = subprocess.Popen(
            self.sftp_command(person, *options),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.work,
            start_new_session=True,
        )
        assert client.stdin is not None
        client.stdin.write(("\n".join(commands) + "\n").encode())
        client.stdin.close()
        try:
            yield client
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(client.pid, signal.SIGKILL)
            client.wait(10)
            assert client.stdout is not None
            client.stdout.close()

    def gpg(self, person: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = ["gpg", "--homedir", self.person(person)["gnupg_home"], "--batch", "--no-tty", *arguments]
        return subprocess.run(command, capture_output=True, cwd=self.work, check=False, timeout=120)

    def safehand(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command line on this demo's data."""
        command = [*PYTHON, *arguments, "--data", str(self.folder)]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=120)

    def approve(self, person: str, proposal: str) -> str:
        """The person signs in to the desk with a link of their own and presses Approve; the page they see then."""
        link = self.safehand("invite", person).stdout.strip()
        with httpx.Client(follow_redirects=True, timeout=30) as browser:
            page = browser.get(link).text
            assert proposal in page, page
            token = FORM_TOKEN.search(page)
            assert token is not None
            press = f"{self.told['web']}/desk/do/approve-change/{proposal}"
            done = browser.post(press, data={"form_token": token[1], "sure": "yes"})
        assert f"You approved {proposal}" in done.text, done.text
        return done.text

    def put_in_force(self, *approvers: str) -> str:
        """What stands in the demo's policy files, with a version of its own: proposed, approved, applied."""
        folder = self.folder / "policies"
        meta = (folder / "policy.yaml").read_text()
        self.versions += 1
        (folder / "policy.yaml").write_text(re.sub(r"(?m)^version: .*$", f"version: 9.{self.versions}", meta))
        proposed = self.safehand("policy", "propose", str(folder), "--by", "a-essex-1")
        assert proposed.returncode == 0, proposed.stderr
        proposal = proposed.stdout.split()[0]
        for person in approvers:
            self.approve(person, proposal)
        applied = self.safehand("policy", "apply", proposal)
        assert applied.returncode == 0, applied.stderr
        return proposal

    def ledger(self, after: int = 0) -> list[dict[str, Any]]:
        done = self.safehand("ledger", "show", "--json", "--after", str(after))
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def period(self, exchange: str = "trial") -> str:
        done = self.sftp("p-essex-1", f"ls -1 outbox/{exchange}")
        assert done.returncode == 0, done.stderr
        return max(re.findall(r"\d{4}-\d{2}", done.stdout))

    def inbox(self, person: str, folder: str) -> list[str]:
        """The delivery ids that `ls` shows in inbox/<folder>; [] when there is no such folder."""
        done = self.sftp(person, f"ls -1 inbox/{folder}")
        names = [line.strip() for line in done.stdout.splitlines() if line.strip().endswith(".gpg")]
        return sorted({found for name in names for found in DELIVERY.findall(name)})

    def files(self) -> list[Path]:
        """Every file below the demo's folder."""
        return [path for path in self.folder.rglob("*") if path.is_file()]

    def spool(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "spool").iterdir())


def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for it; an AssertionError when the time is over."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)
