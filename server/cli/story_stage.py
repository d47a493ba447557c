"""What the story of `demo --check` is played with: the demo's people, real programs, and a desk without a screen."""

from __future__ import annotations

import html.parser
import http.cookiejar
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from server.domain.ledger import Entry

WAIT_SECONDS = 20.0
PROGRAM_SECONDS = 60.0
_DELIVERY = re.compile(r"D-\d{4}-\d{6}")


class StepFailed(Exception):
    """What was expected, and what happened instead."""


@dataclass(frozen=True, slots=True)
class Done:
    """A program that ended: its exit code and what it printed."""

    code: int
    out: bytes
    err: str


@dataclass
class Stage:
    """A running demo and a private folder for what its people download."""

    folder: Path
    work: Path
    told: dict[str, object] = field(default_factory=dict)
    period: str = ""
    records: bytes = b""
    name: str = ""
    delivery: str = ""
    fetched: Path = Path()
    head: int = 0

    def sftp(self, person: str, *commands: str) -> Done:
        """One batch of the real sftp program as this person."""
        place = self._dict(self.told["sftp"])
        command = ["sftp", "-q", "-b", "-", "-i", str(self.person(person)["ssh_key"]), "-P", str(place["port"])]
        for option in (f'UserKnownHostsFile="{place["known_hosts"]}"', "IdentitiesOnly=yes", "ConnectTimeout=20"):
            command += ["-o", option]
        return ran([*command, f"{person}@{place['host']}"], stdin="\n".join(commands) + "\n", folder=self.work)

    def gpg(self, person: str, *arguments: str) -> Done:
        """One run of the real gpg with this person's keys."""
        home = str(self.person(person)["gnupg_home"])
        return ran(["gpg", "--homedir", home, "--batch", "--no-tty", *arguments], folder=self.work)

    def safehand(self, *arguments: str) -> Done:
        """One run of our own command line on the demo's data."""
        command = [sys.executable, "-m", "server.cli", *arguments, "--data", str(self.folder)]
        return ran(command, folder=self.work)

    def person(self, person: str) -> dict[str, object]:
        people = self.told["people"]
        assert isinstance(people, list)
        return next(self._dict(found) for found in people if found["id"] == person)

    def desk(self, person: str) -> Desk:
        """The desk as this person sees it in a browser, signed in by a new one-time link."""
        link = demand(self.safehand("invite", person), "a sign-in link is made").out.decode().strip()
        return Desk(link)

    def inbox(self, person: str, exchange: str) -> str:
        """What `ls` shows of the files that Essex sent; empty when there is no such folder."""
        done = self.sftp(person, f"ls -1 inbox/{exchange}/{self.period}/essex")
        return done.out.decode() if done.code == 0 else ""

    @staticmethod
    def _dict(found: object) -> dict[str, object]:
        assert isinstance(found, dict)
        return found


# ---------------------------------------------------------------- the desk, as a browser has it


class Desk:
    """A signed-in browser without a screen: cookies, redirects, forms."""

    def __init__(self, link: str) -> None:
        self._base = link.partition("/desk/")[0]
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._browser = urllib.request.build_opener(urllib.request.ProxyHandler({}), jar)
        self._open(link)

    def read(self) -> str:
        """The desk's text; what belongs together is one paragraph."""
        page = _Page()
        page.feed(self._open(f"{self._base}/desk"))
        return "\n\n".join(" ".join(part.split()) for part in page.parts if part.strip())

    def press(self, verb: str, subject: str) -> str:
        """Press the button of this verb about this subject; what the desk answers. Raises StepFailed without one."""
        page = _Page()
        page.feed(self._open(f"{self._base}/desk"))
        form = next((form for form in page.forms if verb in form.about and subject in form.about), None)
        if form is None:
            raise StepFailed(f"the desk has no button to {verb} {subject}")
        url = urllib.parse.urljoin(f"{self._base}/desk", form.action)
        answer = self._open(url, urllib.parse.urlencode(form.fields).encode())
        found = _Page()
        found.feed(answer)
        words = " ".join(found.answer.split())
        expect(subject in answer, "the desk's answer does not name the delivery")
        return words

    def _open(self, url: str, body: bytes | None = None) -> str:
        request = urllib.request.Request(url, data=body, headers={"Origin": self._base} if body else {})  # noqa: S310
        try:
            with self._browser.open(request, timeout=WAIT_SECONDS) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            raise StepFailed(f"the desk answers {error.code}") from None


@dataclass
class _Form:
    action: str
    fields: dict[str, str]

    @property
    def about(self) -> str:
        return " ".join([self.action, *self.fields.values()])


class _Page(html.parser.HTMLParser):
    """The forms of a page, its text by article or row, and the answer shown once (role=status)."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[_Form] = []
        self.parts: list[str] = [""]
        self.answer = ""
        self._answering = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag in {"article", "tr", "li", "section"}:
            self.parts.append("")
        if tag == "form":
            self.forms.append(_Form(found.get("action", ""), {}))
        if tag in {"input", "button"} and found.get("name") and self.forms:
            self.forms[-1].fields[found["name"]] = found.get("value", "")
        if found.get("role") in {"status", "alert"}:
            self._answering = tag

    def handle_endtag(self, tag: str) -> None:
        if tag in {"article", "tr", "li", "section"}:
            self.parts.append("")
        if tag == self._answering:
            self._answering = ""

    def handle_data(self, data: str) -> None:
        self.parts[-1] += f" {data}"
        if self._answering:
            self.answer += data


# ---------------------------------------------------------------- programs


def ran(command: Sequence[str], *, folder: Path, stdin: str = "") -> Done:
    """Run a program to its end; English messages."""
    done = subprocess.run(
        list(command),
        input=stdin.encode(),
        capture_output=True,
        cwd=folder,
        check=False,
        timeout=PROGRAM_SECONDS,
        env={**os.environ, "LC_ALL": "C.UTF-8", "LANGUAGE": "en"},
    )
    return Done(done.returncode, done.stdout, done.stderr.decode(errors="replace"))


def demand(done: Done, what: str) -> Done:
    """The program's result, when it succeeded. Raises StepFailed with its last words."""
    if done.code != 0:
        last = (done.err.strip() or done.out.decode(errors="replace").strip()).splitlines()[-1:]
        raise StepFailed(f"not so: {what} (exit {done.code}{f', {last[0]}' if last else ''})")
    return done


def said(done: Done) -> str:
    """The exchange's own sentence on standard error."""
    lines = [line.strip() for line in done.err.splitlines() if line.strip()]
    return next(
        (line.removeprefix("safehand: ") for line in lines if line.startswith("safehand:")), lines[-1] if lines else ""
    )


def expect(holds: bool, otherwise: str) -> None:
    """Raises StepFailed unless it holds."""
    if not holds:
        raise StepFailed(otherwise)


def until(holds: Callable[[], bool], otherwise: str, seconds: float = WAIT_SECONDS) -> None:
    """Wait for it. Raises StepFailed when the time is over."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise StepFailed(otherwise)
        time.sleep(0.2)


def entries_after(stage: Stage, after: int) -> list[Entry]:
    done = demand(stage.safehand("ledger", "show", "--json", "--after", str(after)), "the ledger can be read")
    return [Entry(**json.loads(line)) for line in done.out.splitlines()]


def deliveries_in(entries: Sequence[Entry]) -> list[str]:
    return _DELIVERY.findall(" ".join(entry.subjects for entry in entries))


def bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
