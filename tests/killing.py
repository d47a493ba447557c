"""What `kill -9` and Ctrl-C may do to a demo, in the size that is asked for: short, or long for the hard tests."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sqlite3
import threading
import time
from datetime import timedelta
from pathlib import Path

from server.cli.examples import records
from server.domain.ledger import moment_of
from tests.demo_process import DELIVERY, DemoProcess, until

MIB = 1024 * 1024
ROW = "Nowhere Lane, Exampleton"


def server_killed_during_puts(demo: DemoProcess, *, puts: int, seed: int) -> None:
    """Each put meets a kill -9 of the server at a random moment; afterwards every promise that was made is kept."""
    chance = random.Random(seed)
    period = demo.period()
    names, seen_to_succeed = [], set()
    for number in range(puts):
        name = f"file-{number:02d}.bin"
        (demo.work / name).write_bytes(chance.randbytes(chance.randrange(1, 3 * MIB)))
        names.append(name)
        killer = threading.Timer(chance.uniform(0.15, 0.9), demo.kill)
        killer.start()
        if demo.sftp("p-essex-1", f"put {name} outbox/trial/{period}/kent/").returncode == 0:
            seen_to_succeed.add(name)
        killer.join()
        demo.start()
    for name in names:
        again = demo.sftp("p-essex-1", f"put {name} outbox/trial/{period}/kent/")
        assert again.returncode == 0, again.stderr
        if name in seen_to_succeed:
            assert "already received" in again.stderr.lower(), (name, again.stderr)
    everything_is_delivered_once(demo, period, names)


def everything_is_delivered_once(demo: DemoProcess, period: str, names: list[str]) -> None:
    """Kent opens exactly these files, each once; spool and ledger agree."""
    wanted = sorted(hashlib.sha256((demo.work / name).read_bytes()).hexdigest() for name in names)
    until(lambda: len(demo.inbox("p-kent-1", f"trial/{period}/essex")) >= len(names))
    fetched = demo.work / "fetched"
    fetched.mkdir(exist_ok=True)
    done = demo.sftp("p-kent-1", f"get inbox/trial/{period}/essex/*.gpg {fetched}/")
    assert done.returncode == 0, done.stderr
    opened = [demo.gpg("p-kent-1", "--status-fd", "2", "--decrypt", str(path)) for path in sorted(fetched.iterdir())]
    assert all(done.returncode == 0 and b"GOODSIG" in done.stderr for done in opened)
    assert sorted(hashlib.sha256(done.stdout).hexdigest() for done in opened) == wanted
    assert not [name for name in demo.spool() if name.endswith(".part")]
    assert demo.safehand("ledger", "verify").returncode == 0


def client_killed_during_a_put(demo: DemoProcess, *, mib: int) -> None:
    """kill -9 of the client in the middle of a large put: nothing in an inbox, no plaintext, no orphan in the spool."""
    period = demo.period()
    marker = os.urandom(24).hex()
    with (demo.work / "large.bin").open("wb") as file:
        for number in range(mib):
            file.write(f"{marker} {number:08d}\n".encode().ljust(1024, b".") * 1024)
    before, inbox = demo.spool(), demo.inbox("p-kent-1", f"trial/{period}/essex")
    slow = ("-l", str(mib * 1024 * 8 // 4))
    with demo.sftp_running("p-essex-1", f"put large.bin outbox/trial/{period}/kent/", options=slow) as client:
        until(lambda: _size_so_far(demo, f"outbox/trial/{period}/kent", "large.bin") > mib * MIB // 5)
        assert client.poll() is None
        os.killpg(client.pid, signal.SIGKILL)
    time.sleep(2)
    assert demo.inbox("p-kent-1", f"trial/{period}/essex") == inbox
    assert demo.spool() == before
    assert no_plaintext(demo, marker.encode())
    assert demo.safehand("ledger", "verify").returncode == 0


def ctrl_c_during_a_put(demo: DemoProcess, *, mib: int) -> None:
    """Ctrl-C in OpenSSH's sftp closes cleanly: the sender is asked, and the partner sees it only after "all there"."""
    exchange = "post16-destinations"
    period = demo.period(exchange)
    rows = records(("given_name", "family_name", "dob", "activity_code", "address"), 2000, 7).encode()
    header, _, body = rows.partition(b"\r\n")
    with (demo.work / "large.csv").open("wb") as file:
        file.write(header + b"\r\n")
        while file.tell() < mib * MIB:
            file.write(body)
    last = demo.ledger()[-1]["number"]
    slow = ("-l", str(mib * 1024 * 8 // 4))
    with demo.sftp_running("p-essex-1", f"put large.csv outbox/{exchange}/{period}/kent/", options=slow) as client:
        until(lambda: _size_so_far(demo, f"outbox/{exchange}/{period}/kent", "large.csv") > mib * MIB // 5)
        client.send_signal(signal.SIGINT)
        client.wait(30)
    until(lambda: any('"hold":"completeness"' in entry["data"] for entry in demo.ledger(last)))
    entries = demo.ledger(last)
    moved = demo.safehand("clock", "set", later(entries[-1]["at"]))
    assert moved.returncode == 0, moved.stderr
    time.sleep(2.5)
    held = {found for entry in entries for found in DELIVERY.findall(entry["subjects"])}
    assert held
    assert not held & set(demo.inbox("p-kent-1", f"{exchange}/{period}/essex"))
    asked = next(entry for entry in entries if '"hold":"completeness"' in entry["data"])
    consignment = next(found for found in json.loads(asked["subjects"]) if found.startswith("C-"))
    assert buttons_of(demo, "p-essex-1", consignment) == {"all-there", "discard"}
    answer = f"{consignment}.all-there"
    (demo.work / answer).write_bytes(b"")
    assert demo.sftp("p-essex-1", f"put {answer} attest/").returncode == 0
    last_at = demo.ledger(last)[-1]["at"]
    assert demo.safehand("clock", "set", later(last_at)).returncode == 0
    until(lambda: held <= set(demo.inbox("p-kent-1", f"{exchange}/{period}/essex")))
    assert no_plaintext(demo, ROW.encode())


def buttons_of(demo: DemoProcess, person: str, subject: str) -> set[str]:
    """The verbs of the buttons that this person's notices have about a subject, as the database has them."""
    with sqlite3.connect(demo.folder / "safehand.db") as database:
        notices = [
            json.loads(body) for (body,) in database.execute("SELECT body FROM notice WHERE person = ?", (person,))
        ]
    return {button["verb"] for notice in notices for button in notice["buttons"] if button["subject"] == subject}


def later(stored: str) -> str:
    """Ten minutes after a ledger entry's time, as ISO text."""
    return (moment_of(stored) + timedelta(minutes=10)).isoformat()


def no_plaintext(demo: DemoProcess, line: bytes) -> bool:
    """Whether no file below the demo's folder, but for its own examples, holds these bytes."""
    places = [path for path in demo.files() if "examples" not in path.parts]
    assert places
    return not any(_holds(path, line) for path in places)


def peak_memory(pid: int) -> int:
    """The most resident memory that the process ever had, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


def _holds(path: Path, line: bytes) -> bool:
    with path.open("rb") as file:
        kept = b""
        while chunk := file.read(4 * MIB):
            if line in kept + chunk:
                return True
            kept = chunk[-len(line) :]
    return False


def _size_so_far(demo: DemoProcess, folder: str, name: str) -> int:
    listing = demo.sftp("p-essex-1", f"ls -l {folder}").stdout
    for line in listing.splitlines():
        parts = line.split()
        if parts and parts[-1].rpartition("/")[2] == name:
            return int(parts[4])
    return 0
