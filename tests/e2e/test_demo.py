"""The demo is an interface: demo.json, `ready`, signals, and the same folder again. All with the real programs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo_process import PYTHON, ROOT, DemoProcess, until

pytestmark = pytest.mark.timeout(240)
DEEP = Path("a folder with spaces") / ("d" * 60) / ("e" * 60)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoProcess]:
    """A demo in a deep folder (a socket below it could not be bound), on 1 December 2026."""
    place = tmp_path_factory.mktemp("demo")
    (place / "work").mkdir()
    running = DemoProcess(place / DEEP, place / "work", ("--now", "2026-12-01T09:00")).start()
    yield running
    running.end()


def test_the_whole_story_holds(demo: DemoProcess) -> None:
    """`safehand demo --check` plays every step with sftp and gpg on this demo, says each, and exits with 0."""
    assert len(str(demo.folder)) > 108
    done = subprocess.run(
        [*PYTHON, "demo", "--dir", str(demo.folder), "--check"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("All ")


def test_demo_json_says_where_everything_is(demo: DemoProcess) -> None:
    """Every path exists, the keys are private, the key is the exchange's, everybody of the policy is there."""
    told = json.loads((demo.folder / "demo.json").read_text())
    assert set(told) == {"sftp", "web", "exchange_key", "exchange_public_key", "people"}
    assert len(told["exchange_key"]) == 40
    assert "BEGIN PGP PUBLIC KEY BLOCK" in Path(told["exchange_public_key"]).read_text()
    people = {person["id"]: person for person in told["people"]}
    assert {"p-essex-1", "p-kent-1", "p-kent-2", "p-medway-1", "g-kent"} <= set(people)
    assert "data_manager" in people["p-kent-1"]["roles"]
    for person in people.values():
        assert Path(person["ssh_key"]).stat().st_mode & 0o777 == 0o600
        assert Path(person["gnupg_home"]).stat().st_mode & 0o777 == 0o700
        assert person["desk"].startswith(f"{told['web']}/desk/in/")


def test_the_period_is_the_month_before(demo: DemoProcess) -> None:
    """On 1 December 2026 the period to send is 2026-11."""
    assert demo.period() == "2026-11"


def test_access_is_explained_with_the_keys_in_force(demo: DemoProcess) -> None:
    """With its keys filled in Medway can receive: PERMIT, exit code 0; Brighton and Hove cannot."""
    done = demo.safehand("access", "explain", "essex", "medway", "post16-destinations")
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("PERMIT")
    assert demo.safehand("access", "explain", "essex", "brighton-hove", "post16-destinations").returncode == 1


def test_a_second_server_on_the_same_folder_is_refused(demo: DemoProcess) -> None:
    """One sentence, exit code 3, and the first goes on."""
    done = subprocess.run(
        [*PYTHON, "demo", "--dir", str(demo.folder)], capture_output=True, text=True, cwd=ROOT, check=False, timeout=60
    )
    assert done.returncode == 3
    assert "Another Safehand server is running" in done.stderr
    assert "Traceback" not in done.stderr
    assert demo.sftp("p-kent-1", "ls").returncode == 0


def test_the_ledger_names_the_entry_that_was_changed(demo: DemoProcess, tmp_path: Path) -> None:
    """One byte changed by SQL, past the triggers: `ledger verify` exits with 1, names that entry, and remembers it.

    On a copy: a break that was found is never forgotten, even when somebody puts the byte back.
    """
    assert demo.safehand("ledger", "verify").returncode == 0
    copy = tmp_path / "copy"
    copy.mkdir(mode=0o700)
    with sqlite3.connect(demo.folder / "safehand.db") as live, sqlite3.connect(copy / "safehand.db") as database:
        live.backup(database)
    for part in ("secrets", "gnupg", "ssh"):
        shutil.copytree(demo.folder / part, copy / part, ignore=shutil.ignore_patterns("S.*"))
    verify = [*PYTHON, "ledger", "verify", "--data", str(copy)]

    def answer() -> subprocess.CompletedProcess[str]:
        return subprocess.run(verify, capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)

    assert answer().returncode == 0
    with sqlite3.connect(copy / "safehand.db") as database:
        triggers = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            database.execute(f'DROP TRIGGER "{name}"')
        (kind,) = database.execute("SELECT kind FROM ledger WHERE number = 2").fetchone()
        database.execute("UPDATE ledger SET kind = ? WHERE number = 2", (f"{kind[:-1]}X",))
    done = answer()
    assert (done.returncode, "entry 2 " in done.stderr) == (1, True)
    with sqlite3.connect(copy / "safehand.db") as database:
        database.execute("UPDATE ledger SET kind = ? WHERE number = 2", (kind,))
        for _, sql in triggers:
            database.execute(sql)
    done = answer()
    assert (done.returncode, "and stands" in done.stderr) == (1, True)


def test_a_key_taken_out_of_the_policy_ends_its_sessions(demo: DemoProcess) -> None:
    """Once a policy without p-medway-1's key is in force their session ends and they cannot log in again."""
    people = demo.folder / "policies" / "people.yaml"
    before = people.read_text()
    mine = Path(demo.person("p-medway-1")["ssh_key"] + ".pub").read_text().split()[1]
    other = Path(demo.person("p-essex-2")["ssh_key"] + ".pub").read_text().split()[1]
    lines = before.splitlines(keepends=True)
    number = next(number for number, line in enumerate(lines) if mine in line)
    command = demo.sftp_command("p-medway-1")
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, bufsize=0) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(b"ls\n")
        until(lambda: b"outbox" in os.read(client.stdout.fileno(), 65536))  # type: ignore[union-attr]
        people.write_text(without_ssh_keys(lines, number))
        demo.put_in_force("g-kent")
        until(lambda: _gone(client), 60)
        assert client.returncode != 0
    assert demo.sftp("p-medway-1", "ls").returncode != 0
    people.write_text(before)
    assert other in before
    demo.put_in_force("g-medway", "g-essex")
    until(lambda: demo.sftp("p-medway-1", "ls").returncode == 0)


def _gone(client: subprocess.Popen[bytes]) -> bool:
    """Whether the client found its connection closed; it looks only when it has something to do."""
    assert client.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        client.stdin.write(b"-ls\n")
    return client.poll() is not None


def without_ssh_keys(lines: list[str], key_line: int) -> str:
    """The file's text with the `ssh_keys:` block that holds this line taken out."""
    start = next(number for number in range(key_line, -1, -1) if lines[number].startswith("  ssh_keys:"))
    end = next(number for number in range(start + 1, len(lines)) if lines[number][:3] not in ("  -", "   "))
    return "".join(lines[:start] + lines[end:])


def test_ctrl_c_ends_it_in_time_and_the_same_folder_goes_on(demo: DemoProcess) -> None:
    """SIGINT ends it within 5 seconds with exit code 0; started again: same people, same ledger, new links.

    The policy in force counts, not what its files say meanwhile; who is suspended stays so and gets no link.
    """
    assert demo.safehand("suspend", "p-medway-1").returncode == 0
    (demo.folder / "policies" / "people.yaml").write_text("- this is no policy any more\n")
    before, last = dict(demo.told), demo.ledger()[-1]["number"]
    assert demo.end(signal.SIGINT) < 5
    assert demo.process is not None
    assert demo.process.returncode == 0
    demo.start()
    assert demo.told["exchange_key"] == before["exchange_key"]
    assert demo.person("p-kent-1")["ssh_key"] == next(p for p in before["people"] if p["id"] == "p-kent-1")["ssh_key"]
    assert demo.person("p-medway-1")["desk"] is None
    assert demo.person("p-kent-1")["desk"] not in [person["desk"] for person in before["people"]]
    assert demo.ledger()[-1]["number"] >= last
    assert demo.period() == "2026-11"


def test_fresh_never_removes_anything_else(tmp_path: Path) -> None:
    """--fresh on a folder that is no demo's is refused, and the folder stays as it was."""
    (tmp_path / "thesis.txt").write_text("ten years of work")
    done = subprocess.run(
        [*PYTHON, "demo", "--dir", str(tmp_path), "--fresh"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 1
    assert (tmp_path / "thesis.txt").read_text() == "ten years of work"
    done = subprocess.run(
        [*PYTHON, "demo", "--dir", str(tmp_path)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
