"""Forms in /attest/ with unmodified clients: fetched, filled in, put back under the same name, and confirmed."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.cli.examples import records
from tests.demo_process import DemoProcess, until
from tests.e2e.test_clients import by_paramiko, said

pytestmark = pytest.mark.timeout(240)
PLACE = "post16-destinations/2026-11"


def acknowledged(running: DemoProcess, work: Path, seed: int) -> str:
    """A delivery of two records that Kent has fetched and acknowledged."""
    said(running.sftp("p-essex-1", "get templates/post16-destinations.csv t.csv"))
    columns = tuple((work / "t.csv").read_text().strip().split(","))
    (work / f"rows-{seed}.csv").write_text(records(columns, 2, seed), newline="")
    before = running.inbox("p-kent-1", f"{PLACE}/essex")
    said(running.sftp("p-essex-1", f"put rows-{seed}.csv outbox/{PLACE}/kent/"))
    done = running.safehand("clock", "set", f"2026-12-01T1{seed}:00")
    assert done.returncode == 0, done.stderr
    until(lambda: len(running.inbox("p-kent-1", f"{PLACE}/essex")) > len(before), 20)
    delivery = next(d for d in running.inbox("p-kent-1", f"{PLACE}/essex") if d not in before)
    said(running.sftp("p-kent-1", f"get inbox/{PLACE}/essex/{delivery}_*.gpg"))
    (work / "empty").write_bytes(b"")
    said(running.sftp("p-kent-1", f"put empty attest/{delivery}.acknowledged"))
    return delivery


def filled(text: str, **answers: object) -> str:
    lines = text.splitlines()
    names = [line.split(":")[0].replace(" ", "_") for line in lines]
    return "\r\n".join(
        f"{name}: {answers[name]}" if name in answers else line for name, line in zip(names, lines, strict=True)
    )


def test_a_form_and_a_table_go_round_through_real_clients(running: DemoProcess, work: Path) -> None:
    """OpenSSH's sftp is told the line that is wrong; paramiko confirms the size of what it put back."""
    found = [acknowledged(running, work, seed) for seed in (1, 2, 3)]
    name = f"{found[0]}.processed.txt"
    said(running.sftp("p-kent-1", f"get attest/{name}"))
    form = (work / name).read_bytes().decode("utf-8-sig")
    (work / name).write_text(filled(form, kept=2, not_ours=1, rejected=0), newline="")
    wrong = running.sftp("p-kent-1", f"put {name} attest/{name}")
    assert wrong.returncode != 0
    assert "2 kept + 1 not ours + 0 rejected is 3, but 2 were received" in wrong.stderr
    assert "Line " in wrong.stderr
    (work / name).write_text(filled(form, kept=1, not_ours=1, rejected=0), newline="")
    assert "Now destroy the 1" in said(running.sftp("p-kent-1", f"put {name} attest/{name}"))
    table = "post16-destinations_2026-11.processed.csv"
    with by_paramiko(running, "p-kent-2") as sftp:
        sftp.get(f"/attest/{table}", str(work / table))
        rows = (work / table).read_bytes().decode("utf-8-sig").splitlines()
        rows = [row.replace(",2,,,", ",2,2,0,0") for row in rows]
        (work / table).write_text("\r\n".join(row.replace(",", ";") for row in rows) + "\r\n", newline="")
        sftp.put(str(work / table), f"/attest/{table}", confirm=True)
        names = sftp.listdir("/attest")
    assert table not in names
    assert {f"{d}.destroyed.txt" for d in found} <= set(names)
    listed = running.safehand("attestation", "list", "kent").stdout
    assert listed.count("processed: ") == 3
