"""`safehand demo --check`: the whole story, a line a step, with the real sftp and gpg against a running demo."""

from __future__ import annotations

import contextlib
import html.parser
import http.cookiejar
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import typer

from server.cli.examples import records
from server.cli.exits import ENVIRONMENT, OK, REFUSED
from server.cli.guards import running_server
from server.domain.ledger import Entry, moment_of

START_SECONDS = 60.0
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


def play(folder: Path, sftp_port: int, web_port: int, now: str | None, *, fresh: bool) -> int:
    """Play every step against the demo in `folder`, which is started and ended here unless it runs; the exit code."""
    with tempfile.TemporaryDirectory(prefix="safehand-") as work:
        stage = Stage(folder, Path(work))
        try:
            with _running(stage, sftp_port, web_port, now, fresh=fresh):
                for number, (words, step) in enumerate(STEPS, 1):
                    said = _played(number, words, step, stage)
                    if said is not None:
                        return said
        except StepFailed as error:
            typer.echo(f"FAIL  the demo starts: {error}")
            return REFUSED
        except FileNotFoundError as error:
            typer.echo(f"FAIL  a program is missing: {error.filename}")
            return ENVIRONMENT
    typer.echo(f"All {len(STEPS)} steps hold.")
    return OK


def _played(number: int, words: str, step: Callable[[Stage], str | None], stage: Stage) -> int | None:
    began = time.monotonic()
    try:
        more = step(stage)
    except StepFailed as error:
        typer.echo(f"FAIL  {number:>2}. {words}: {error}")
        return REFUSED
    except (subprocess.TimeoutExpired, urllib.error.URLError, TimeoutError) as error:
        typer.echo(f"FAIL  {number:>2}. {words}: no answer in time ({type(error).__name__})")
        return REFUSED
    typer.echo(f"ok    {number:>2}. {words}{f': {more}' if more else ''}  ({time.monotonic() - began:.1f} s)")
    return None


@contextlib.contextmanager
def _running(stage: Stage, sftp_port: int, web_port: int, now: str | None, *, fresh: bool) -> Iterator[None]:
    """The demo in the stage's folder; one that runs already is used as it is."""
    if running_server(stage.folder) and not fresh:
        typer.echo("A demo runs in this folder; the story is played on it.")
        stage.told = json.loads((stage.folder / "demo.json").read_text())
        yield
        return
    command = [sys.executable, "-m", "server.cli", "demo", "--dir", str(stage.folder)]
    command += ["--sftp-port", str(sftp_port), "--web-port", str(web_port)]
    command += (["--now", now] if now else []) + (["--fresh"] if fresh else [])
    with (stage.work / "demo.out").open("wb") as out, (stage.work / "demo.err").open("wb") as err:
        server = subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        _until_ready(stage, server)
        yield
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _until_ready(stage: Stage, server: subprocess.Popen[bytes]) -> None:
    def ready() -> bool:
        if server.poll() is not None:
            why = (stage.work / "demo.err").read_text().strip()
            raise StepFailed(f"it ended with {server.returncode}: {why}")
        return "ready" in (stage.work / "demo.out").read_text().splitlines()

    until(ready, "it does not say `ready`", START_SECONDS)
    stage.told = json.loads((stage.folder / "demo.json").read_text())


# ---------------------------------------------------------------- the steps


def log_in(stage: Stage) -> str:
    listing = demand(stage.sftp("p-essex-1", "ls -1"), "Essex logs in").out.decode()
    for folder in ("outbox", "inbox", "receipts"):
        expect(folder in listing, f"{folder} is not among the folders: {listing.split()}")
    periods = demand(stage.sftp("p-essex-1", "ls -1 outbox/post16-destinations"), "the periods are listed")
    found = re.findall(rb"\d{4}-\d{2}", periods.out)
    expect(bool(found), "no period is open")
    stage.period = max(found).decode()
    return f"the period to send is {stage.period}"


def read_me(stage: Stage) -> None:
    demand(stage.sftp("p-essex-1", "get README.txt"), "README.txt is fetched")
    text = (stage.work / "README.txt").read_text()
    expect("outbox" in text, "README.txt does not say how to send")


def put(stage: Stage) -> str:
    stage.head = _entries(stage, 0)[-1].number
    columns = ("given_name", "family_name", "dob", "activity_code", "uln", "postcode")
    token = secrets.token_hex(6)
    stage.name = f"destinations-{token}.csv"
    stage.records = records(columns, 212, int(token, 16)).encode()
    (stage.work / stage.name).write_bytes(stage.records)
    target = f"outbox/post16-destinations/{stage.period}/kent/"
    done = demand(stage.sftp("p-essex-1", f"put {stage.name} {target}"), "the put succeeds")
    return said(done) or f"{len(stage.records)} bytes"


def recorded(stage: Stage) -> str:
    entries = _entries(stage, stage.head)
    found = _deliveries(entries)
    expect(bool(found), "no ledger entry names a delivery")
    stage.delivery = found[-1]
    return f"{stage.delivery}, entries {entries[0].number} to {entries[-1].number}"


def sealed(stage: Stage) -> str:
    row = stage.records.splitlines()[7]
    files = [path for path in stage.folder.rglob("*") if path.is_file()]
    for path in files:
        expect(row not in _bytes(path), f"a row of the plaintext stands in {path.relative_to(stage.folder)}")
    return f"no row of it in {len(files)} files"


def unreleased(stage: Stage) -> None:
    for person in ("p-kent-1", "p-medway-1"):
        expect(stage.delivery not in stage.inbox(person, "post16-destinations"), f"{person} sees it before its release")


def released(stage: Stage) -> None:
    later = moment_of(_entries(stage, stage.head)[-1].at) + timedelta(minutes=3)
    demand(stage.safehand("clock", "set", later.isoformat()), "the clock is set")
    until(
        lambda: stage.delivery in stage.inbox("p-kent-1", "post16-destinations"),
        "Kent does not see it after its release time",
    )


def invisible(stage: Stage) -> None:
    expect(stage.delivery not in stage.inbox("p-medway-1", "post16-destinations"), "Medway sees Kent's delivery")
    path = f"inbox/post16-destinations/{stage.period}/essex"
    name = stage.fetched.name or f"{stage.delivery}*.gpg"
    expect(stage.sftp("p-medway-1", f"get {path}/{name}").code != 0, "Medway fetches Kent's delivery")


def get(stage: Stage) -> str:
    path = f"inbox/post16-destinations/{stage.period}/essex"
    demand(stage.sftp("p-kent-1", f"get {path}/{stage.delivery}*.gpg"), "Kent fetches it")
    found = sorted(stage.work.glob(f"{stage.delivery}*.gpg"))
    expect(len(found) == 1, "there is not exactly one file of that delivery")
    stage.fetched = found[0]
    return stage.fetched.name


def decrypt(stage: Stage) -> None:
    done = demand(stage.gpg("p-kent-1", "--status-fd", "2", "--decrypt", str(stage.fetched)), "gpg decrypts it")
    expect(done.out == stage.records, "gpg gives other bytes than were sent")
    valid = f"VALIDSIG {stage.told['exchange_key']}"
    expect(valid in done.err and "GOODSIG" in done.err, "the signature is not the exchange's good one")


def sealed_for_kent(stage: Stage) -> None:
    done = stage.gpg("p-medway-1", "--decrypt", str(stage.fetched))
    expect(done.code != 0 and not done.out, "Medway's key opens it")


def acknowledge_on_the_desk(stage: Stage) -> str:
    desk = stage.desk("p-kent-1")
    return desk.press("acknowledge", stage.delivery)


def told_the_sender(stage: Stage) -> None:
    def told() -> bool:
        text = stage.desk("p-essex-1").read()
        return any(stage.delivery in part and "acknowledged" in part.lower() for part in text.split("\n\n"))

    until(told, "Essex's desk does not say that it is acknowledged")


def put_again(stage: Stage) -> str:
    done = stage.sftp("p-essex-1", f"put {stage.name} outbox/post16-destinations/{stage.period}/kent/")
    expect(done.code == 0, f"sending it again fails: {done.err.strip()}")
    expect("already received" in done.err.lower(), f"it does not say so: {done.err.strip()!r}")
    return said(done)


def refuse(stage: Stage) -> str:
    name = f"wrong-{secrets.token_hex(3)}.csv"
    columns = ("given_name", "family_name", "dob", "activity_code", "shoe_size")
    (stage.work / name).write_text(records(columns, 12, 1))
    done = stage.sftp("p-essex-1", f"put {name} outbox/post16-destinations/{stage.period}/kent/")
    expect(done.code != 0, "a file with a column that nobody agreed to is accepted")
    names = demand(stage.sftp("p-essex-1", "ls -1 refused"), "the why-files are listed").out.decode()
    why = next((line.strip() for line in names.splitlines() if name in line and line.strip().endswith(".txt")), "")
    expect(bool(why), "there is no why-file")
    demand(
        stage.sftp("p-essex-1", f'get "{why if "/" in why else f"refused/{why}"}" why.txt'), "the why-file is fetched"
    )
    text = (stage.work / "why.txt").read_text()
    expect("E1" in text or "column 5" in text, "the why-file does not say which column")
    expect("Nowhere Lane" not in text and "Aster" not in text, "the why-file holds a value of the file")
    return said(done)


def acknowledge_by_sftp(stage: Stage) -> str:
    before = _entries(stage, stage.head)[-1].number
    name = f"hello-{secrets.token_hex(3)}.txt"
    (stage.work / name).write_text(f"hello {secrets.token_hex(8)}\n")
    demand(stage.sftp("p-essex-1", f"put {name} outbox/trial/{stage.period}/kent/"), "the trial file is put")
    delivery = _deliveries(_entries(stage, before))[-1]
    until(lambda: delivery in stage.inbox("p-kent-2", "trial"), "Kent does not see the trial file")
    (stage.work / f"{delivery}.acknowledged").write_bytes(b"")
    early = stage.sftp("p-kent-2", f"put {delivery}.acknowledged attest/")
    expect(early.code != 0, "it is acknowledged before anybody collected it")
    demand(stage.sftp("p-kent-2", f"get inbox/trial/{stage.period}/essex/{delivery}*.gpg"), "Kent fetches it")
    done = demand(stage.sftp("p-kent-2", f"put {delivery}.acknowledged attest/"), "attest/ takes it")
    kinds = [entry.kind for entry in _entries(stage, before) if delivery in entry.subjects]
    expect(any("acknowledged" in kind for kind in kinds), f"the ledger does not say so: {kinds}")
    return said(done) or delivery


def verify(stage: Stage) -> str:
    return demand(stage.safehand("ledger", "verify"), "the ledger holds").out.decode().strip()


STEPS: Sequence[tuple[str, Callable[[Stage], str | None]]] = (
    ("Essex logs in with sftp and finds its folders", log_in),
    ("README.txt says how to send", read_me),
    ("Essex puts 212 records for Kent", put),
    ("it is in the ledger", recorded),
    ("it is sealed", sealed),
    ("until its release nobody sees it", unreleased),
    ("its release time passes, and Kent sees it", released),
    ("Medway does not", invisible),
    ("Kent fetches it", get),
    ("gpg gives Kent the same bytes and a good signature", decrypt),
    ("Medway's key does not open it", sealed_for_kent),
    ("Medway cannot fetch it by its name", invisible),
    ("Kent acknowledges it on the desk", acknowledge_on_the_desk),
    ("Essex is told", told_the_sender),
    ("sent again, it is already received", put_again),
    ("a column that nobody agreed to is refused, with the reason", refuse),
    ("Kent acknowledges another by a file in attest/", acknowledge_by_sftp),
    ("the ledger proves all of it", verify),
)


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


def _entries(stage: Stage, after: int) -> list[Entry]:
    done = demand(stage.safehand("ledger", "show", "--json", "--after", str(after)), "the ledger can be read")
    return [Entry(**json.loads(line)) for line in done.out.splitlines()]


def _deliveries(entries: Sequence[Entry]) -> list[str]:
    return _DELIVERY.findall(" ".join(entry.subjects for entry in entries))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
