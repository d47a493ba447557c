"""Unmodified clients, each end to end: put, look, rename, fetch; what arrives decrypts to the same bytes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paramiko
import pytest

from server.cli.examples import records
from tests.demo_process import DemoProcess, until

pytestmark = pytest.mark.timeout(240)
KENT = "outbox/trial/2026-11/kent"
FROM_ESSEX = "inbox/trial/2026-11/essex"


def a_file(work: Path, size: int, name: str | None = None) -> Path:
    """A file of random bytes, in the folder where the clients run."""
    path = work / (name or f"{uuid.uuid4().hex[:8]}.bin")
    path.write_bytes(os.urandom(size))
    return path


def arrives(running: DemoProcess, content: bytes) -> str:
    """The delivery id of the newest file for Kent, once one decrypts to `content`."""
    found: list[str] = []

    def there() -> bool:
        for delivery in reversed(running.inbox("p-kent-1", "trial/2026-11/essex")):
            if opened(running, delivery) == content:
                found.append(delivery)
                return True
        return False

    until(there, 20)
    return found[0]


_OPENED: dict[str, bytes] = {}


def opened(running: DemoProcess, delivery: str) -> bytes:
    """What Kent's own key makes of the delivery, fetched with OpenSSH's sftp; the signature is good."""
    key = f"{running.folder}{delivery}"
    if key not in _OPENED:
        got = running.work / f"{delivery}.gpg"
        fetched = running.sftp("p-kent-1", f"get {FROM_ESSEX}/{delivery}_*.gpg {got.name}")
        assert fetched.returncode == 0, fetched.stderr
        done = running.gpg("p-kent-1", "--decrypt", str(got))
        assert done.returncode == 0, done.stderr.decode()
        assert b"Good signature" in done.stderr
        _OPENED[key] = done.stdout
    return _OPENED[key]


def said(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# ---------------------------------------------------------------- OpenSSH


def test_openssh_puts_and_says_what_was_received(running: DemoProcess, work: Path) -> None:
    file = a_file(work, 3_000_001)
    words = said(running.sftp("p-essex-1", f"put {file.name} {KENT}/", f"ls -l {KENT}/{file.name}"))
    assert "safehand: Received" in words
    assert re.search(r"\b3000001\b.*" + file.name, words)
    arrives(running, file.read_bytes())


def test_openssh_put_p_keeps_our_time(running: DemoProcess, work: Path) -> None:
    """`put -p` sends times and modes before the close: accepted, and not applied."""
    file = a_file(work, 50_000)
    os.utime(file, (86400 * 365, 86400 * 365))
    words = said(running.sftp("p-essex-1", f"put -p {file.name} {KENT}/", f"ls -l {KENT}/{file.name}"))
    assert "1971" not in words
    arrives(running, file.read_bytes())


def test_openssh_puts_a_name_with_spaces_and_accents(running: DemoProcess, work: Path) -> None:
    file = a_file(work, 1000, f"Año größe {uuid.uuid4().hex[:4]} (1).csv")
    words = said(running.sftp("p-essex-1", f'put "{file.name}" {KENT}/', f"ls -1 {KENT}"))
    assert file.name in words
    arrives(running, file.read_bytes())


def test_openssh_sends_by_renaming_a_temporary_name(running: DemoProcess, work: Path) -> None:
    """Nothing is sent before the rename, everything after it (OpenSSH renames with posix-rename)."""
    file = a_file(work, 300_000)
    said(running.sftp("p-essex-1", f"put {file.name} {KENT}/{file.name}.tmp"))
    before = running.inbox("p-kent-1", "trial/2026-11/essex")
    said(running.sftp("p-essex-1", f"rename {KENT}/{file.name}.tmp {KENT}/{file.name}"))
    assert arrives(running, file.read_bytes()) not in before


def test_openssh_is_told_why_an_empty_file_is_refused(running: DemoProcess, work: Path) -> None:
    """put fails, the sentence is on standard error, stat says missing, and the why-file is there."""
    file = a_file(work, 0)
    done = running.sftp("p-essex-1", f"put {file.name} {KENT}/")
    assert done.returncode != 0
    assert "safehand: The file is empty" in done.stderr
    assert running.sftp("p-essex-1", f"ls {KENT}/{file.name}").returncode != 0
    assert f"{file.name}.why.txt" in said(running.sftp("p-essex-1", "ls -1 refused"))


def test_openssh_sends_a_nil_return(running: DemoProcess, work: Path) -> None:
    (work / "NIL").write_bytes(b"")
    assert "Nil return received" in said(
        running.sftp("p-essex-1", "put NIL outbox/post16-destinations/2026-11/medway/")
    )


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ("outbox/nowhere/2026-11/kent", "no exchange of that name"),
        ("outbox/trial/1999-01/kent", "closed"),
        ("outbox/trial/2026-11/atlantis", "no member of that name"),
        ("outbox/trial", "folder of outbox/"),
        ("receipts", "folder of outbox/"),
        ("", "folder of outbox/"),
    ],
)
def test_openssh_is_told_why_a_place_is_wrong(running: DemoProcess, work: Path, where: str, sentence: str) -> None:
    file = a_file(work, 10)
    done = running.sftp("p-essex-1", f"put {file.name} /{where}/{file.name}")
    assert done.returncode != 0
    assert sentence in done.stderr


@pytest.mark.parametrize(
    ("month", "sentence"), [("2026-13", "The period is a month"), ("1999-01", "closed"), ("2027-05", "not over yet")]
)
@pytest.mark.parametrize("exchange", ["trial", "post16-destinations"])
def test_openssh_is_told_that_the_month_is_wrong_not_that_its_folder_is_there(
    running: DemoProcess, work: Path, exchange: str, month: str, sentence: str
) -> None:
    """`put FILE outbox/…/2026-13/kent/`: no such folder is there, so the client sends its path as a file's."""
    file = a_file(work, 10)
    done = running.sftp("p-essex-1", f"put {file.name} outbox/{exchange}/{month}/kent/")
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "made by the exchange" in running.sftp("p-essex-1", f"mkdir outbox/{exchange}/{month}/kent").stderr


def test_openssh_cannot_do_what_is_not_here(running: DemoProcess) -> None:
    """No folder is made or removed, nothing is linked, read back or removed elsewhere; the session answers each."""
    for command in (
        "mkdir outbox/x", "mkdir x", "rmdir outbox", "ln -s README.txt x", "ln README.txt x", "rm README.txt",
        "get outbox/trial/2026-11/kent", "rename README.txt x", "get /etc/passwd", "get ../../../etc/passwd",
        "cd outbox/trial/2026-11/../../../..//etc", "get keys/../secrets/signing-passphrase",
    ):  # fmt: skip
        assert running.sftp("p-essex-1", command).returncode != 0, command
    said(running.sftp("p-essex-1", "cd outbox/trial/2026-11", "cd ..", "ls -la", "pwd", "cd /", "df", "get README.txt"))


def test_openssh_continues_an_interrupted_put(running: DemoProcess, work: Path) -> None:
    """`reput` after the client was killed: what arrived is kept some minutes, and only the rest is sent."""
    file = a_file(work, 12_000_000)
    slow = ("-l", "30000")
    with running.sftp_running("p-essex-1", f"put {file.name} {KENT}/", options=slow):
        until(lambda: _size(running, f"{KENT}/{file.name}") > 1_000_000, 30)
    until(lambda: 0 < _size(running, f"{KENT}/{file.name}") < 12_000_000, 10)
    said(running.sftp("p-essex-1", f"reput {file.name} {KENT}/{file.name}"))
    arrives(running, file.read_bytes())


def _size(running: DemoProcess, path: str) -> int:
    """What stat says that has arrived; -1 when it says missing."""
    with by_paramiko(running, "p-essex-1") as sftp:
        try:
            return sftp.stat(path).st_size or 0
        except FileNotFoundError:
            return -1


def test_openssh_undoes_by_rm_before_release(running: DemoProcess, work: Path) -> None:
    """In an exchange that waits two minutes, `rm` takes the file back."""
    header = said(running.sftp("p-essex-1", "get templates/post16-destinations.csv t.csv"))
    assert header
    columns = (work / "t.csv").read_text().strip().split(",")
    (work / "rows.csv").write_text(records(tuple(columns), 1, 1), newline="")
    place = "outbox/post16-destinations/2026-11/kent"
    said(running.sftp("p-essex-1", f"put rows.csv {place}/"))
    assert "nobody received it" in said(running.sftp("p-essex-1", f"rm {place}/rows.csv"))
    assert running.sftp("p-essex-1", f"ls {place}/rows.csv").returncode != 0


def test_openssh_scp_copies_in_sftp_mode_with_exit_status_0(running: DemoProcess, work: Path) -> None:
    file = a_file(work, 100_000)
    place = running.told["sftp"]
    common = ["-q", "-i", running.person("p-essex-1")["ssh_key"], "-P", str(place["port"]),
              "-o", f'UserKnownHostsFile="{place["known_hosts"]}"', "-o", "IdentitiesOnly=yes"]  # fmt: skip
    target = f"p-essex-1@127.0.0.1:{KENT}/"
    done = subprocess.run(["scp", *common, file.name, target], cwd=work, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    arrives(running, file.read_bytes())
    old = subprocess.run(["scp", "-O", *common, file.name, target], cwd=work, capture_output=True, check=False)
    assert old.returncode != 0


# ---------------------------------------------------------------- PuTTY, lftp, rclone


def test_psftp_puts_and_fetches(running: DemoProcess, work: Path) -> None:
    file = a_file(work, 700_001)
    key = work / "essex.ppk"
    if not key.exists():
        made = ["puttygen", running.person("p-essex-1")["ssh_key"], "-O", "private", "-o", str(key)]
        subprocess.run(made, check=True, capture_output=True)
    place = running.told["sftp"]
    command = ["psftp", "-batch", "-hostkey", _host_key(running), "-i", str(key), "-P", str(place["port"]),
               "-l", "p-essex-1", "-b", "-", "127.0.0.1"]  # fmt: skip
    script = work / "psftp.txt"
    script.write_text(f"put {file.name} {KENT}/{file.name}\nls {KENT}\nget README.txt psftp.readme\nquit\n")
    command[command.index("-b") + 1] = str(script)
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False, timeout=60)
    assert "safehand: Received" in said(done)
    assert (work / "psftp.readme").read_bytes()
    arrives(running, file.read_bytes())


def _host_key(running: DemoProcess) -> str:
    listed = subprocess.run(
        ["ssh-keygen", "-lf", running.told["sftp"]["known_hosts"]], capture_output=True, text=True, check=True
    )
    return listed.stdout.split()[1]


def test_lftp_puts_lists_and_moves(running: DemoProcess, work: Path) -> None:
    file = a_file(work, 2_000_003)
    place = running.told["sftp"]
    ssh = (f'ssh -a -x -o UserKnownHostsFile=\\"{place["known_hosts"]}\\" -o IdentitiesOnly=yes '
           f'-i {running.person("p-essex-1")["ssh_key"]}')  # fmt: skip
    script = (
        f'set sftp:connect-program "{ssh}"; set net:max-retries 1; set cmd:fail-exit yes; '
        f"open -u p-essex-1,x sftp://127.0.0.1:{place['port']}; cd {KENT}; put {file.name} -o {file.name}.part; "
        f"mv {file.name}.part {file.name}; cls -l; get /README.txt -o lftp.readme"
    )
    done = subprocess.run(["lftp", "-c", script], cwd=work, capture_output=True, text=True, check=False, timeout=90)
    assert file.name in said(done)
    assert (work / "lftp.readme").read_bytes()
    arrives(running, file.read_bytes())


def test_rclone_copies_and_checks_the_size(running: DemoProcess, work: Path) -> None:
    """rclone 1.60 sends bytes after the fields of a write, sets the time, and compares sizes afterwards."""
    file = a_file(work, 1_000_003)
    place = running.told["sftp"]
    config = work / "rclone.conf"
    config.write_text(
        f"[essex]\ntype = sftp\nhost = 127.0.0.1\nport = {place['port']}\nuser = p-essex-1\n"
        f"key_file = {running.person('p-essex-1')['ssh_key']}\nknown_hosts_file = {place['known_hosts']}\n"
    )
    rclone = ["rclone", "--config", str(config), "--retries", "1", "--low-level-retries", "1"]
    for command in (["copyto", file.name, f"essex:{KENT}/{file.name}"], ["lsl", f"essex:{KENT}"],
                    ["copyto", "essex:README.txt", "rclone.readme"]):  # fmt: skip
        done = subprocess.run([*rclone, *command], cwd=work, capture_output=True, text=True, check=False, timeout=90)
        words = said(done)
        assert command[0] != "lsl" or "1000003 " in words
    assert (work / "rclone.readme").read_bytes()
    arrives(running, file.read_bytes())


# ---------------------------------------------------------------- paramiko, and WinSCP's way


@contextmanager
def by_paramiko(running: DemoProcess, person: str) -> Iterator[paramiko.SFTPClient]:
    place = running.told["sftp"]
    client = paramiko.SSHClient()
    client.load_host_keys(place["known_hosts"])
    client.connect(
        "127.0.0.1", place["port"], person, key_filename=running.person(person)["ssh_key"],
        allow_agent=False, look_for_keys=False,
    )  # fmt: skip
    try:
        yield client.open_sftp()
    finally:
        client.close()


def test_paramiko_puts_and_confirms(running: DemoProcess, work: Path) -> None:
    file = a_file(work, 5_000_000)
    with by_paramiko(running, "p-essex-1") as sftp:
        assert sftp.put(str(file), f"/{KENT}/{file.name}", confirm=True).st_size == 5_000_000
        with pytest.raises(OSError, match="read back"):
            sftp.open(f"/{KENT}/{file.name}", "r")
    delivery = arrives(running, file.read_bytes())
    with by_paramiko(running, "p-kent-2") as sftp:
        name = next(name for name in sftp.listdir(FROM_ESSEX) if name.startswith(delivery) and name.endswith(".gpg"))
        sftp.get(f"{FROM_ESSEX}/{name}", str(work / "paramiko.gpg"))
    assert running.gpg("p-kent-2", "--decrypt", str(work / "paramiko.gpg")).stdout == file.read_bytes()


def test_paramiko_is_told_that_a_refused_file_is_missing(running: DemoProcess, work: Path) -> None:
    file = a_file(work, 0)
    with by_paramiko(running, "p-essex-1") as sftp, pytest.raises(OSError, match=r"empty|No such file"):
        sftp.put(str(file), f"/{KENT}/{file.name}", confirm=True)


def test_the_twin_of_the_button_is_confirmed_too(running: DemoProcess, work: Path) -> None:
    """An empty file in attest/ acknowledges, and a client that asks for its size afterwards is content."""
    file = a_file(work, 1000)
    with by_paramiko(running, "p-essex-1") as sftp:
        sftp.put(str(file), f"/{KENT}/{file.name}")
    delivery = arrives(running, file.read_bytes())
    (work / "empty").write_bytes(b"")
    with by_paramiko(running, "p-kent-1") as sftp:
        sftp.put(str(work / "empty"), f"/attest/{delivery}.acknowledged", confirm=True)
    kinds = [entry["kind"] for entry in running.ledger() if delivery in str(entry)]
    assert "delivery.acknowledged" in kinds


def test_winscp_sends_a_large_file_as_filepart_and_renames_it(running: DemoProcess, work: Path) -> None:
    """Over 100 KiB: name.filepart, close, rename, then times and modes on the final name; the same name again, too."""
    for size in (250_000, 260_000):
        file = a_file(work, size, "winscp export.csv")
        path = f"/{KENT}/{file.name}"
        with by_paramiko(running, "p-essex-1") as sftp:
            with sftp.open(f"{path}.filepart", "wb") as part:
                part.set_pipelined(True)
                part.write(file.read_bytes())
            assert sftp.stat(f"{path}.filepart").st_size == size
            try:
                sftp.stat(path)
                sftp.remove(path)
            except FileNotFoundError:
                assert size == 250_000
            sftp.rename(f"{path}.filepart", path)
            sftp.utime(path, (1_500_000_000, 1_500_000_000))
            sftp.chmod(path, 0o644)
            assert sftp.stat(path).st_size == size
        arrives(running, file.read_bytes())


def test_every_program_of_this_file_is_here() -> None:
    """These tests are about real clients: a machine without one of them shows nothing."""
    for program in ("sftp", "scp", "psftp", "puttygen", "lftp", "rclone"):
        assert shutil.which(program), f"{program} is missing: run `make setup-test`"
