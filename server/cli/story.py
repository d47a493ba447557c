"""`safehand demo --check`: the whole story, a line a step, with the real sftp and gpg against a running demo."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import typer

from server.cli import story_of_endings
from server.cli.examples import records
from server.cli.exits import ENVIRONMENT, OK, REFUSED
from server.cli.guards import running_server
from server.cli.story_stage import (
    Stage,
    StepFailed,
    bytes_of,
    deliveries_in,
    demand,
    entries_after,
    expect,
    said,
    until,
)
from server.domain.ledger import moment_of

START_SECONDS = 60.0


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
    stage.head = entries_after(stage, 0)[-1].number
    columns = ("given_name", "family_name", "dob", "activity_code", "uln", "postcode")
    token = secrets.token_hex(6)
    stage.name = f"destinations-{token}.csv"
    stage.records = records(columns, 212, int(token, 16)).encode()
    (stage.work / stage.name).write_bytes(stage.records)
    target = f"outbox/post16-destinations/{stage.period}/kent/"
    done = demand(stage.sftp("p-essex-1", f"put {stage.name} {target}"), "the put succeeds")
    return said(done) or f"{len(stage.records)} bytes"


def recorded(stage: Stage) -> str:
    entries = entries_after(stage, stage.head)
    found = deliveries_in(entries)
    expect(bool(found), "no ledger entry names a delivery")
    stage.delivery = found[-1]
    return f"{stage.delivery}, entries {entries[0].number} to {entries[-1].number}"


def sealed(stage: Stage) -> str:
    row = stage.records.splitlines()[7]
    files = [path for path in stage.folder.rglob("*") if path.is_file()]
    for path in files:
        expect(row not in bytes_of(path), f"a row of the plaintext stands in {path.relative_to(stage.folder)}")
    return f"no row of it in {len(files)} files"


def unreleased(stage: Stage) -> None:
    for person in ("p-kent-1", "p-medway-1"):
        expect(stage.delivery not in stage.inbox(person, "post16-destinations"), f"{person} sees it before its release")


def released(stage: Stage) -> None:
    later = moment_of(entries_after(stage, stage.head)[-1].at) + timedelta(minutes=3)
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
    before = entries_after(stage, stage.head)[-1].number
    name = f"hello-{secrets.token_hex(3)}.txt"
    (stage.work / name).write_text(f"hello {secrets.token_hex(8)}\n")
    demand(stage.sftp("p-essex-1", f"put {name} outbox/trial/{stage.period}/kent/"), "the trial file is put")
    delivery = deliveries_in(entries_after(stage, before))[-1]
    until(lambda: delivery in stage.inbox("p-kent-2", "trial"), "Kent does not see the trial file")
    (stage.work / f"{delivery}.acknowledged").write_bytes(b"")
    early = stage.sftp("p-kent-2", f"put {delivery}.acknowledged attest/")
    expect(early.code != 0, "it is acknowledged before anybody collected it")
    demand(stage.sftp("p-kent-2", f"get inbox/trial/{stage.period}/essex/{delivery}*.gpg"), "Kent fetches it")
    done = demand(stage.sftp("p-kent-2", f"put {delivery}.acknowledged attest/"), "attest/ takes it")
    kinds = [entry.kind for entry in entries_after(stage, before) if delivery in entry.subjects]
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
    *story_of_endings.STEPS,
    ("the ledger proves all of it", verify),
)
