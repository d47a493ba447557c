"""The commands as an administrator types them, on a data folder of their own, one after another."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.demo_process import PYTHON, ROOT, until

Safehand = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the exchange of these tests lives."""
    return tmp_path_factory.mktemp("cli") / "data"


@pytest.fixture(scope="module")
def safehand(data: Path) -> Safehand:
    """`safehand(...)` runs the command on `data`, with its settings in the environment."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*PYTHON, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd=ROOT,
            env={**os.environ, "SAFEHAND_DATA": str(data)},
        )
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def exchange(safehand: Safehand) -> Safehand:
    """The same, after `init` with the first policy."""
    done = safehand("init", "policies/ccis-v2", "--vouched-by", "g-essex", "--vouched-by", "g-kent")
    assert done.returncode == 0, done.stderr
    assert "is in force; g-essex and g-kent vouched for it." in done.stdout
    return safehand


def test_before_init_every_command_says_so(tmp_path: Path) -> None:
    """Exit code 3, one sentence, and nothing is made by asking."""
    absent = tmp_path / "absent"
    for command in (["ledger", "verify"], ["serve"], ["invite", "p-kent-1"], ["suspend", "p-kent-1"]):
        done = subprocess.run(
            [*PYTHON, *command, "--data", str(absent)], capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert done.returncode == 3
        assert "safehand init" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert not absent.exists()


def test_init_may_be_repeated(exchange: Safehand, data: Path) -> None:
    """The second time changes nothing: the same key, the same ledger."""
    before = (data / "ssh" / "host_ed25519").read_bytes(), exchange("ledger", "show").stdout
    assert exchange("init").returncode == 0
    assert ((data / "ssh" / "host_ed25519").read_bytes(), exchange("ledger", "show").stdout) == before


def test_access_explain_answers_by_its_exit_code(exchange: Safehand) -> None:
    """Brighton and Hove is not ready, Medway has no key yet: denied, exit code 1, with rules, clauses and places."""
    done = exchange("access", "explain", "essex", "brighton-hove", "post16-destinations")
    assert done.returncode == 1
    assert done.stdout.startswith("DENY")
    assert ".yaml:" in done.stdout
    done = exchange("access", "explain", "essex", "medway", "trial")
    assert done.returncode == 1
    assert "RECIPIENT_KEY_UNUSABLE" in done.stdout


def test_a_broken_policy_is_told_with_every_place(exchange: Safehand, tmp_path: Path) -> None:
    """`plan` and `propose` name file, line and column, exit with 1, and what is in force stays."""
    shutil.copytree(ROOT / "policies" / "ccis-v2", tmp_path, dirs_exist_ok=True)
    people = tmp_path / "people.yaml"
    people.write_text(people.read_text().replace("member: kent", "member: knet"))
    before = exchange("ledger", "show").stdout
    for command in (["plan"], ["propose", "--by", "a-essex-1"]):
        done = exchange("policy", *command, str(tmp_path))
        assert done.returncode == 1
        assert "people.yaml:" in done.stderr
        assert "kent" in done.stderr
    assert exchange("ledger", "show").stdout == before


def test_a_policy_with_a_mistake_is_refused_as_lint_says(exchange: Safehand, tmp_path: Path) -> None:
    """`propose` prints the errors that `lint` prints, exits with 1, and changes nothing; so does a wrong --by."""
    shutil.copytree(ROOT / "policies" / "ccis-v2", tmp_path, dirs_exist_ok=True)
    people = tmp_path / "people.yaml"
    people.write_text(people.read_text().replace("dm@kent.example.org", "dm@kent"))
    before = exchange("ledger", "show").stdout
    meta = tmp_path / "policy.yaml"
    meta.write_text(re.sub(r"(?m)^version: .*$", "version: 9.0.0", meta.read_text()))
    done = exchange("policy", "propose", str(tmp_path), "--by", "a-essex-1")
    assert done.returncode == 1
    assert "error: EMAIL_SYNTAX" in done.stderr
    assert exchange("policy", "plan", str(tmp_path)).returncode == 1
    assert "error: EMAIL_SYNTAX" in exchange("policy", "lint", str(tmp_path)).stdout
    people.write_text((ROOT / "policies" / "ccis-v2" / "people.yaml").read_text() + "# changed\n")
    for by in ("nobody", "p-kent-1"):
        assert exchange("policy", "propose", str(tmp_path), "--by", by).returncode == 1
    assert exchange("ledger", "show").stdout == before


def test_people_are_invited_suspended_and_resumed_by_two(exchange: Safehand) -> None:
    """An invitation is a link; a suspension is at once; one person cannot lift it alone."""
    assert "/desk/in/" in exchange("invite", "g-kent").stdout
    assert exchange("invite", "nobody").returncode == 1
    assert exchange("suspend", "p-kent-1").returncode == 0
    assert exchange("invite", "p-kent-1").returncode == 1
    assert exchange("resume", "p-kent-1", "--by", "g-kent").returncode == 0
    assert exchange("invite", "p-kent-1").returncode == 1
    assert exchange("resume", "p-kent-1", "--by", "g-kent-2").returncode == 0
    assert exchange("invite", "p-kent-1").returncode == 0


def test_a_tampered_policy_keeps_the_server_from_starting(exchange: Safehand, data: Path, tmp_path: Path) -> None:
    """One word of the stored text changed by SQL: exit code 3 and a sentence, and nobody is served."""
    copy = tmp_path / "copy"
    shutil.copytree(data, copy, ignore=shutil.ignore_patterns("S.gpg-agent*"))
    with sqlite3.connect(copy / "safehand.db") as database:
        database.execute("UPDATE revision SET files = replace(files, 'training_gate: deny', 'training_gate: warn')")
    done = exchange("serve", "--sftp-port", "0", "--web-port", "0", "--data", str(copy))
    assert done.returncode == 3
    assert "was changed; it is refused" in done.stderr
    assert "ready" not in done.stdout


def test_what_is_in_force_can_be_read(exchange: Safehand) -> None:
    """`policy show` prints the very text that was read; `history` has its label; a strange name is refused."""
    text = (ROOT / "policies" / "ccis-v2" / "access.yaml").read_text()
    label = exchange("policy", "history").stdout.split()[2]
    assert exchange("policy", "show", label, "--file", "access.yaml").stdout == text
    assert "# ---- people.yaml" in exchange("policy", "show", label).stdout
    assert exchange("policy", "show", "0.0.0").returncode == 1
    assert exchange("policy", "plan", "policies/ccis-v2").stdout.splitlines()[1] == "  Nothing changes but the label."
    assert "same content" in exchange("policy", "diff", label, "policies/ccis-v2").stdout


def test_a_member_leaves_and_two_people_take_it_back(exchange: Safehand) -> None:
    """`member list` says where everybody stands; one person alone brings nobody back."""
    assert "thurrock         signed on Fri 21 Aug 2026 (paper)" in exchange("member", "list").stdout
    assert exchange("member", "leave", "thurrock", "--by", "p-thurrock-1").returncode == 1
    assert exchange("member", "leave", "thurrock", "--by", "g-thurrock").returncode == 0
    assert "thurrock         left; it attests the destruction" in exchange("member", "list").stdout
    assert exchange("invite", "p-thurrock-1").returncode == 1
    assert (
        "somebody of another member has to agree" in exchange("member", "return", "thurrock", "--by", "g-essex").stdout
    )
    assert "is back" in exchange("member", "return", "thurrock", "--by", "g-kent").stdout
    assert exchange("invite", "p-thurrock-1").returncode == 0


def test_the_clock_of_a_real_exchange_cannot_be_moved(exchange: Safehand) -> None:
    """Only a demo's: exit code 1."""
    done = exchange("clock", "set", "2030-01-01T00:00")
    assert done.returncode == 1
    assert "demo" in done.stderr


@pytest.fixture
def server(exchange: Safehand, data: Path) -> Iterator[subprocess.Popen[str]]:
    """`safehand serve` on free ports, ready."""
    process = subprocess.Popen(
        [*PYTHON, "serve", "--sftp-port", "0", "--web-port", "0", "--data", str(data)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


def test_serve_answers_health_and_a_doctor_and_ends_by_sigterm(
    exchange: Safehand, server: subprocess.Popen[str]
) -> None:
    """Up: `doctor` finds nothing wrong and links lead to it. SIGTERM: exit code 0; then `doctor --health` says so."""
    link = exchange("invite", "g-essex").stdout.strip()
    with urllib.request.urlopen(link.partition("/desk")[0] + "/healthz", timeout=5) as answer:
        assert answer.status == 200
    assert exchange("doctor", "--health").returncode == 0
    done = exchange("doctor")
    assert "ok    server" in done.stdout, done.stdout
    assert exchange("serve").returncode == 3
    server.send_signal(signal.SIGTERM)
    assert server.wait(6) == 0
    assert exchange("doctor", "--health").returncode == 1
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(link, timeout=5)


def test_a_command_beside_the_server_leaves_its_signing_key_alone(
    exchange: Safehand, server: subprocess.Popen[str], data: Path
) -> None:
    """The server's gpg-agent outlives `ledger verify`, and ends with the server."""
    agents = _agents(data)
    assert agents
    assert exchange("ledger", "verify").returncode == 0
    assert _agents(data) == agents
    server.send_signal(signal.SIGTERM)
    server.wait(6)
    until(lambda: not _agents(data))


def _agents(data: Path) -> list[str]:
    found = []
    for process in Path("/proc").iterdir():
        try:
            line = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if process.name.isdigit() and b"gpg-agent" in line and str(data).encode() in line:
            found.append(process.name)
    return sorted(found)


def test_a_review_is_asked_for_and_closed(exchange: Safehand) -> None:
    """By whom it may be: exit code 1 and a sentence for anybody else; the second asking changes nothing."""
    refused = exchange("agreement", "review", "A new statute", "--by", "p-kent-1")
    assert (refused.returncode, "Only a governance lead" in refused.stderr) == (1, True)
    assert "under review" in exchange("agreement", "review", "A new statute", "--by", "g-kent").stdout
    assert "already" in exchange("agreement", "review", "Another one", "--by", "g-medway").stdout
    assert exchange("agreement", "review", "--done", "--by", "g-kent").returncode == 1
    assert "closed" in exchange("agreement", "review", "--done", "--by", "g-essex").stdout
