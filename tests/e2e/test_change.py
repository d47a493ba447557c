"""A change of the policy while the demo runs: planned, proposed, approved on two desks, applied; with the real sftp."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.demo_process import DemoProcess, until

pytestmark = pytest.mark.timeout(240)
TRIAL = "outbox/trial/2026-11"
NEWCOMER = """
- id: p-medway-2
  member: medway
  name: N. Nettle
  roles: [designated_person]
  email: dp2@medway.example.org
  training_valid_until: 2027-03-31
  ssh_keys:
  - {{public: {public}, label: office}}
"""


def edited(running: DemoProcess, key: Path) -> Path:
    """The demo's policy files without p-kent-2 and with p-medway-2, and their version moved; the folder."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    folder = running.folder / "policies"
    people = (folder / "people.yaml").read_text()
    start = people.index("- id: p-kent-2\n")
    public = " ".join(key.with_suffix(".pub").read_text().split()[:2])
    rest = people[people.index("\n- id: ", start) + 1 :]
    (folder / "people.yaml").write_text(people[:start] + rest + NEWCOMER.format(public=public))
    meta = (folder / "policy.yaml").read_text()
    (folder / "policy.yaml").write_text(re.sub(r"(?m)^version: .*$", "version: 9.0.0", meta))
    return folder


def test_the_policy_changes_under_a_running_server(running: DemoProcess, work: Path, tmp_path: Path) -> None:
    """plan, propose, two approvals of different members, apply: who is removed is out, who is added is in.

    An upload in progress by a third finishes; the ledger shows it all.
    """
    key = tmp_path / "newcomer"
    folder, before = edited(running, key), running.ledger()[-1]["number"]
    planned = running.safehand("policy", "plan", str(folder))
    assert planned.returncode == 0, planned.stderr
    assert "p-kent-2 (Kent) loses access: data manager." in planned.stdout
    assert "p-medway-2 (Medway) gains access: designated person." in planned.stdout
    assert "a governance lead of Medway; Essex as the host" in planned.stdout
    proposed = running.safehand("policy", "propose", str(folder), "--by", "a-essex-1")
    assert proposed.returncode == 0, proposed.stderr
    proposal = proposed.stdout.split()[0]
    refused = running.safehand("policy", "apply", proposal)
    assert refused.returncode == 1
    assert "it needs" in refused.stderr
    for person in ("g-medway", "g-essex"):
        running.approve(person, proposal)
    (work / "long.bin").write_bytes(os.urandom(6_000_000))
    with running.sftp_running("p-essex-1", f"put long.bin {TRIAL}/medway/", options=("-l", "1200")) as third:
        with open_session(running, "p-kent-2") as removed:
            applied = running.safehand("policy", "apply", proposal)
            assert applied.returncode == 0, applied.stderr
            assert third.poll() is None, "the third's upload must still be on its way"
            began = time.monotonic()
            until(lambda: gone(removed), 15)
            took = time.monotonic() - began
            assert removed.returncode != 0
        assert third.wait(120) == 0
    assert took < 5, f"the removed person's session went on for {took:.1f} seconds"
    assert running.sftp("p-kent-2", "ls").returncode != 0
    assert newcomer(running, key).returncode == 0
    kinds = [entry["kind"] for entry in running.ledger(before)]
    told = [kind for kind in kinds if kind.startswith("policy.")]
    assert told == ["policy.proposed", "policy.approved", "policy.approved", "policy.applied"]
    assert kinds.index("policy.applied") < kinds.index("consignment.sealed")
    assert running.safehand("ledger", "verify").returncode == 0
    history = running.safehand("policy", "history").stdout.splitlines()
    assert f"{proposal}, approved by g-essex, g-medway" in history[0]
    assert "vouched for by g-essex,g-kent" in history[-1]


def test_an_edit_on_disk_changes_nothing_and_rolling_back_needs_its_quorum(running: DemoProcess) -> None:
    """The text that was approved counts, not what its files say now; going back is proposed like anything else."""
    before = running.safehand("policy", "history").stdout
    (running.folder / "policies" / "people.yaml").write_text("[]\n")
    time.sleep(2.5)
    assert running.sftp("p-kent-1", "ls").returncode == 0
    earliest = before.splitlines()[-1].split()[0]
    back = running.safehand("policy", "rollback", earliest, "--by", "a-essex-1")
    assert back.returncode == 0, back.stderr
    assert running.safehand("policy", "apply", back.stdout.split()[0]).returncode == 1
    assert running.safehand("policy", "history").stdout == before
    shown = running.safehand("policy", "diff", earliest, "9.0.0").stdout
    assert "people.p-kent-2 is removed" in shown
    assert "BEGIN PGP" not in shown


def open_session(running: DemoProcess, person: str) -> subprocess.Popen[bytes]:
    """An sftp session that has listed its mailbox and stays open."""
    pipe = subprocess.PIPE
    client = subprocess.Popen(
        running.sftp_command(person), stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, bufsize=0
    )
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write(b"ls\n")
    until(lambda: b"inbox" in os.read(client.stdout.fileno(), 65536))  # type: ignore[union-attr]
    return client


def gone(client: subprocess.Popen[bytes]) -> bool:
    """Whether the client found its connection closed; it looks only when it has something to do."""
    assert client.stdin is not None
    try:
        client.stdin.write(b"-ls\n")
    except BrokenPipeError:
        pass
    return client.poll() is not None


def newcomer(running: DemoProcess, key: Path) -> subprocess.CompletedProcess[str]:
    """p-medway-2 lists their mailbox with their own key."""
    command = running.sftp_command("p-essex-1")
    command[command.index("-i") + 1] = str(key)
    command[-1] = command[-1].replace("p-essex-1", "p-medway-2")
    return subprocess.run(command, input="ls outbox\n", capture_output=True, text=True, check=False, timeout=60)
