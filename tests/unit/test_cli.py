"""The command line: help worth reading, one sentence for an error, exit codes that mean something."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from server.cli.clock import london_time
from server.cli.examples import records, uln
from server.cli.exits import ENVIRONMENT, REFUSED, translated, unexpected
from server.cli.guards import only_server, require_safe, running_server
from server.cli.root import app
from server.domain.errors import Busy, Misconfigured, Refused
from server.policy.load import load
from server.records import check_for
from server.settings import SettingsInvalid, read_settings

ROOT = Path(__file__).resolve().parent.parent.parent
COMMANDS = [
    ["init"], ["serve"], ["demo"], ["invite"], ["suspend"], ["resume"], ["policy", "lint"], ["policy", "apply"],
    ["policy", "plan"], ["policy", "propose"], ["policy", "proposals"], ["policy", "rollback"], ["policy", "history"],
    ["policy", "show"], ["policy", "diff"], ["member", "list"], ["member", "leave"], ["member", "return"],
    ["access", "explain"], ["attestation", "list"], ["attestation", "processed"], ["attestation", "destroyed"],
    ["attestation", "countersign"], ["ledger", "show"], ["ledger", "verify"], ["clock", "set"], ["doctor"],
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_says_what_it_does_with_an_example_and_takes_data(command: list[str]) -> None:
    """--help has a sentence, an example, and (but for the demo, whose folder is --dir) the option --data."""
    shown = CliRunner().invoke(app, [*command, "--help"])
    assert shown.exit_code == 0
    assert "Example:" in shown.output
    assert ("--data" in shown.output) or command == ["demo"]


def test_the_exit_codes_stand_in_the_help() -> None:
    """`safehand --help` says what 0, 1, 2 and 3 mean."""
    text = " ".join(CliRunner().invoke(app, ["--help"]).output.split())
    assert (
        "0 done. 1 refused, or a check failed. 2 wrong usage. 3 the machine or its settings are not ready, or a defect."
        in text
    )


def test_help_does_not_load_the_server() -> None:
    """`safehand --help` answers without importing the SSH server, the database or a chat SDK."""
    code = (
        "import sys, server.cli.root as root\n"
        "heavy = {'asyncssh', 'sqlalchemy', 'slack_bolt', 'uvicorn'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {sorted(heavy)}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_wrong_usage_exits_with_2() -> None:
    """An unknown command and a missing argument are usage errors."""
    assert CliRunner().invoke(app, ["sned"]).exit_code == 2
    assert CliRunner().invoke(app, ["invite"]).exit_code == 2
    assert CliRunner().invoke(app, ["clock", "set", "yesterday"]).exit_code == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused("No."), REFUSED),
        (Busy("Later."), ENVIRONMENT),
        (Misconfigured("gpg is not installed."), ENVIRONMENT),
        (SettingsInvalid("SAFEHAND_DATA cannot be used."), ENVIRONMENT),
        (PermissionError(13, "Permission denied"), ENVIRONMENT),
    ],
)
def test_each_error_is_one_sentence_and_one_code(
    error: Refused | SettingsInvalid | OSError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refusals exit with 1; what is wrong with the machine or its settings with 3."""
    assert translated(error) == code
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("safehand: ")


def test_a_defect_is_one_sentence_too(capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback, and nothing of what the exception said: it might hold a value."""
    assert unexpected(ValueError("Alder, 2009-02-11")) == ENVIRONMENT
    said = capsys.readouterr().err
    assert "ValueError" in said
    assert "Alder" not in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(("level", "shown"), [("info", False), ("debug", True)])
def test_no_command_ends_with_a_traceback(level: str, shown: bool) -> None:
    """What nobody foresaw leaves `main` as one sentence and exit code 3; its text is for whoever asks to debug."""
    code = (
        "import sys, server.cli.root as root\n"
        "def fail() -> None: raise KeyError('Alder, 2009-02-11')\n"
        "root.app.command('fail')(fail)\n"
        "sys.argv = ['safehand', 'fail']\n"
        "root.main()"
    )
    environment = {**os.environ, "SAFEHAND_LOG_LEVEL": level}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )
    assert done.returncode == ENVIRONMENT
    assert re.search(r"Something went wrong inside Safehand \(KeyError at [\w<>]+(\.py)?:\d+\)", done.stderr)
    assert ("Alder" in done.stderr) == shown
    assert (len(done.stderr.splitlines()) > 1) == shown


def test_looking_for_an_exchange_makes_none(tmp_path: Path) -> None:
    """A command in a folder that has none says so, and leaves the folder as it is."""
    done = CliRunner().invoke(app, ["policy", "history", "--data", str(tmp_path)])
    assert isinstance(done.exception, Misconfigured)
    assert "There is no exchange in this data folder" in done.exception.sentence
    assert list(tmp_path.iterdir()) == []


def test_a_time_without_a_zone_is_londons() -> None:
    """09:00 in July is 08:00 UTC, in December 09:00 UTC; a zone given is kept."""
    assert london_time("2026-07-01T09:00").astimezone(UTC) == datetime(2026, 7, 1, 8, tzinfo=UTC)
    assert london_time("2026-12-01T09:00").astimezone(UTC) == datetime(2026, 12, 1, 9, tzinfo=UTC)
    assert london_time("2026-12-01T09:00+02:00").astimezone(UTC) == datetime(2026, 12, 1, 7, tzinfo=UTC)
    with pytest.raises(typer.BadParameter):
        london_time("1st of December")


def test_one_server_holds_a_data_folder(tmp_path: Path) -> None:
    """While it is held a second is refused by a sentence; afterwards it is free."""
    assert not running_server(tmp_path)
    with only_server(tmp_path):
        assert running_server(tmp_path)
        with pytest.raises(Misconfigured, match="Another Safehand server"), only_server(tmp_path):
            pytest.fail("two servers on one folder")
    assert not running_server(tmp_path)


def test_a_private_file_that_everybody_can_read_stops_the_server(tmp_path: Path) -> None:
    """Anything but a public key under secrets/ and ssh/ must be closed to others."""
    (tmp_path / "ssh").mkdir()
    key = tmp_path / "ssh" / "host_ed25519"
    key.write_text("private")
    (tmp_path / "ssh" / "host_ed25519.pub").write_text("public")
    (tmp_path / "ssh" / "host_ed25519.pub").chmod(0o644)
    key.chmod(0o600)
    require_safe(read_settings(data=tmp_path))
    key.chmod(0o644)
    with pytest.raises(Misconfigured, match="chmod -R o= ssh"):
        require_safe(read_settings(data=tmp_path))


def test_example_records_are_agreed_and_the_same_every_time() -> None:
    """The record check takes them; the same seed gives the same text, another seed another."""
    policy = load(ROOT / "policies" / "ccis-v2")
    exchange = policy.exchange_by_id["post16-destinations"]
    schema = policy.schema_of(exchange)
    assert schema is not None
    columns = schema.names
    text = records(columns, 212, 1)
    check = check_for(policy, exchange, "essex", "a.csv", date(2026, 12, 31))
    check.feed(text.encode())
    summary = check.finish()
    assert (summary.rows, summary.findings, summary.ends_inside_record) == (212, (), False)
    assert text == records(columns, 212, 1)
    assert text != records(columns, 212, 2)


def test_learner_numbers_carry_their_check_digit() -> None:
    """The sum of digits times weights 10 to 1 is 10 modulo 11; a number that has no check digit is left out."""
    assert uln(927630868) == "9276308686"
    assert uln(123456789) == "1234567899"
    assert uln(900000013) is None
