"""The door and the paths behind it, with OpenSSH's own sftp: a plain reason, and one error for what is not yours."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.demo_process import DemoProcess, until


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoProcess]:
    """One demo for the tests of this file; the last moves its clock."""
    folder = tmp_path_factory.mktemp("door")
    (folder / "work").mkdir()
    demo = DemoProcess(folder / "demo", folder / "work", ("--now", "2027-03-30T09:00")).start()
    yield demo
    demo.end()


def test_r027_a_put_to_a_place_of_no_exchange_is_permission_denied(running: DemoProcess) -> None:
    """`put` to /outbox/other/…: permission denied, and the sentence says what there is."""
    (running.work / "a.csv").write_text("a\n")
    done = running.sftp("p-essex-1", "put a.csv outbox/other/2027-02/kent/a.csv")
    assert done.returncode != 0
    assert "Permission denied" in done.stderr
    assert "There is no exchange of that name" in done.stderr
    assert "year14-destinations" in done.stderr, "it is open to Essex"


def test_r114_who_is_outside_of_an_exchange_does_not_learn_that_it_exists(running: DemoProcess) -> None:
    """Kent's put to Year 14 is answered as one to a name that never was, in the refusal and in its why-file."""
    (running.work / "a.csv").write_text("a\n")
    forbidden = running.sftp("p-kent-1", "put a.csv outbox/year14-destinations/2027-02/thurrock/a.csv")
    never = running.sftp("p-kent-1", "put a.csv outbox/never/2027-02/thurrock/a.csv")
    assert [line for line in forbidden.stderr.splitlines() if "outbox/" not in line] == [
        line for line in never.stderr.splitlines() if "outbox/" not in line
    ]
    assert "Permission denied" in forbidden.stderr
    assert "Year 14" not in forbidden.stderr + never.stderr
    assert "year14-destinations" not in never.stderr


def test_r064_nobody_lists_stats_or_guesses_what_is_anothers(running: DemoProcess) -> None:
    """Kent's delivery by its very path, a colleague's upload, and names that never were: one error, not found."""
    period = running.period()
    (running.work / "b.bin").write_bytes(b"for kent")
    assert running.sftp("p-essex-1", f"put b.bin outbox/trial/{period}/kent/b.bin").returncode == 0
    until(lambda: running.inbox("p-kent-1", f"trial/{period}/essex") != [])
    folder = f"inbox/trial/{period}/essex"
    listed = running.sftp("p-kent-1", f"ls -1 {folder}").stdout.split()
    name = next(word for word in listed if word.endswith(".gpg")).rpartition("/")[2]

    def told(person: str, command: str, path: str) -> str:
        done = running.sftp(person, f"{command} {path}")
        assert done.returncode != 0
        return done.stderr.replace(path, "PATH")

    def one_error(person: str, theirs: str, never: str) -> None:
        for command in ("ls", "get"):
            error = told(person, command, theirs)
            assert "not found" in error
            assert error == told(person, command, never)

    one_error("p-medway-1", f"{folder}/{name}", f"{folder}/D-2027-999999_essex_trial_{period}.bin.gpg")
    one_error("p-medway-1", folder, f"inbox/trial/{period}/nobody")
    one_error("p-essex-2", f"outbox/trial/{period}/kent/b.bin", f"outbox/trial/{period}/kent/never.bin")
    assert "b.bin" not in running.sftp("p-essex-2", f"ls outbox/trial/{period}/kent").stdout


def test_r065_whose_training_ended_is_told_so_at_the_door(running: DemoProcess) -> None:
    """The log-in is refused with the plain reason, in the client's own words too; the ledger has it once."""
    assert running.safehand("clock", "set", "2027-04-01T09:00").returncode == 0
    command = [part for part in running.sftp_command("p-essex-1") if part != "-q"]

    def refused() -> bool:
        done = subprocess.run(command, input="ls\n", capture_output=True, text=True, check=False, timeout=60)
        return "You cannot log in. p-essex-1 has no training in date (it ended on 2027-03-31)" in done.stderr

    until(refused, 10)
    assert refused()

    def entries() -> list[tuple[str, bool]]:
        found = [entry for entry in running.ledger() if entry["kind"] == "login.refused"]
        return [(entry["actor"], "TRAINING_EXPIRED" in entry["data"]) for entry in found]

    until(lambda: entries() != [], 10)  # it is written after the client has gone
    assert entries() == [("p-essex-1", True)]


def test_r093_a_clock_that_is_moved_while_the_demo_is_down_is_an_outage(running: DemoProcess) -> None:
    """At once after the end too: what fell due meanwhile is the exchange's fault."""
    running.end()
    assert running.safehand("clock", "set", "2027-04-08T10:15").returncode == 0
    running.start()
    until(lambda: "exchange.was_down" in [entry["kind"] for entry in running.ledger()], 10)
    until(
        lambda: (
            "blocked by the exchange, which was down"
            in running.safehand("obligation", "list", "kent", "--period", "2027-03").stdout
        ),
        15,
    )
