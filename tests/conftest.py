"""What every test may lean on: a short private folder, real keys, a real database of both kinds.

Nothing here is a fake: gpg is the system's, PostgreSQL is started for the run on a free port, SQLite is a file.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psycopg
import pytest
from hypothesis import settings

START_SECONDS = 30.0

settings.register_profile("house", deadline=None, print_blob=True)  # a busy machine is no failure
settings.load_profile("house")


def pytest_configure(config: pytest.Config) -> None:
    """The settings of whoever runs the tests stay outside."""
    for name in [name for name in os.environ if name.startswith("SAFEHAND_")] + ["GNUPGHOME", "SSH_AUTH_SOCK"]:
        os.environ.pop(name, None)


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """A long value gives its argument's name: two processes must find the same tests, and keys are new in each."""
    return argname if isinstance(val, str | bytes) and len(val) > 40 else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files whose tests wait for servers take turns with those that compute: two workers are busy to the end."""
    files: dict[bool, list[Path]] = {True: [], False: []}
    for item in items:
        same = files["e2e" in item.path.parts]
        if item.path not in same:
            same.append(item.path)
    place = {path: number / len(same) for same in files.values() for number, path in enumerate(same)}
    items.sort(key=lambda item: place[item.path])


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """With CI=true a test that did not run counts as a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") != "true" or reporter is None:
        return
    unproved = [report for outcome in ("skipped", "xfailed") for report in reporter.stats.get(outcome, [])]
    if unproved and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


# ---------------------------------------------------------------- folders


@contextmanager
def _short_folder(prefix: str) -> Iterator[Path]:
    """A private folder whose path leaves room for gpg's sockets (about 100 characters); its agents end with it."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    try:
        yield folder
    finally:
        for home in {found.parent for pattern in ("*.kbx", "S.gpg-agent*") for found in folder.rglob(pattern)}:
            subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A short path under /tmp, mode 0700, gone afterwards, gpg agents started in it too."""
    with _short_folder("sh-") as folder:
        yield folder


# ---------------------------------------------------------------- keys


@dataclass(frozen=True, slots=True)
class GpgPerson:
    """Somebody with a GNUPGHOME of their own: an ed25519 signing key with a cv25519 encryption subkey unless told."""

    name: str
    home: Path
    fingerprint: str
    """40 hex digits, upper case."""
    armored: str
    """The public key."""

    def gpg(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """One run of the real gpg as this person; never raises, look at returncode."""
        command = ["gpg", "--homedir", str(self.home), "--batch", "--no-tty", "--quiet", *arguments]
        return subprocess.run(command, input=stdin, check=False, capture_output=True, timeout=60)

    def trusts(self, armored: str) -> None:
        """Imports somebody's public key."""
        done = self.gpg("--import", stdin=armored.encode())
        assert done.returncode == 0, done.stderr.decode()

    def decrypt(self, message: bytes) -> bytes:
        """The plaintext; an AssertionError when gpg is not content."""
        done = self.gpg("--trust-model", "always", "--decrypt", stdin=message)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout


class MakeGpgPerson(Protocol):
    """Makes a person's key, or gives the one it made in this run for the same arguments."""

    def __call__(self, name: str, *, algorithm: str = "ed25519/cv25519", expires: str = "never") -> GpgPerson: ...


@pytest.fixture(scope="session")
def gpg_person() -> Iterator[MakeGpgPerson]:
    """`gpg_person("kent")` is a person with a real key; the same call in another test gives the same person.

    `algorithm` is `primary/encryption subkey` as gpg names them (`rsa2048/rsa2048`), without a slash no encryption
    subkey; `expires` as gpg takes it (`1d`, `seconds=5`, `never`).
    """
    with _short_folder("shk-") as folder:
        made: dict[tuple[str, str, str], GpgPerson] = {}

        def make(name: str, *, algorithm: str = "ed25519/cv25519", expires: str = "never") -> GpgPerson:
            key = (name, algorithm, expires)
            if key not in made:
                made[key] = _new_gpg_person(folder / f"g{len(made)}", name, algorithm, expires)
            return made[key]

        yield make


def _new_gpg_person(home: Path, name: str, algorithm: str, expires: str) -> GpgPerson:
    home.mkdir(mode=0o700)
    (home / "gpg-agent.conf").write_text("s2k-count 65536\n")
    primary, _, subkey = algorithm.partition("/")
    gpg = [
        "gpg",
        "--homedir",
        str(home),
        "--batch",
        "--no-tty",
        "--quiet",
        "--passphrase",
        "",
        "--pinentry-mode",
        "loopback",
    ]

    def run(*arguments: str) -> str:
        return subprocess.run([*gpg, *arguments], check=True, capture_output=True, text=True, timeout=60).stdout

    run("--quick-generate-key", f"{name} <{name}@example.org>", primary, "cert,sign", expires)
    listing = run("--with-colons", "--list-keys").splitlines()
    fingerprint = next(line.split(":")[9] for line in listing if line.startswith("fpr"))
    if subkey:
        run("--quick-add-key", fingerprint, subkey, "encr", expires)
    return GpgPerson(name, home, fingerprint, run("--armor", "--export", fingerprint))


@dataclass(frozen=True, slots=True)
class SshKey:
    """An SSH key pair on disk, made by ssh-keygen, without a passphrase."""

    private: Path
    public: str
    """One line, as it stands in an authorized_keys file."""


class MakeSshKey(Protocol):
    """Makes an SSH key, or gives the one it made in this run for the same arguments."""

    def __call__(self, name: str, *, algorithm: str = "ed25519", bits: int = 0) -> SshKey: ...


@pytest.fixture(scope="session")
def ssh_key() -> Iterator[MakeSshKey]:
    """`ssh_key("essex")` is a real key pair; the same call in another test gives the same pair."""
    with _short_folder("shs-") as folder:

        def make(name: str, *, algorithm: str = "ed25519", bits: int = 0) -> SshKey:
            private = folder / f"{name}-{algorithm}-{bits}"
            if not private.exists():
                size = ["-b", str(bits)] if bits else []
                command = ["ssh-keygen", "-q", "-t", algorithm, *size, "-N", "", "-C", name, "-f", str(private)]
                subprocess.run(command, check=True, capture_output=True, timeout=60)
            return SshKey(private, Path(f"{private}.pub").read_text().strip())

        yield make


# ---------------------------------------------------------------- databases


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _postgresql_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.fail("PostgreSQL is not installed: run `make setup-test`, or `apt-get install postgresql`.")
    return found[-1].parent


def _accepting(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"PostgreSQL did not start:\n{log.read_text()}")


@pytest.fixture(scope="session")
def pg_port() -> Iterator[int]:
    """A PostgreSQL of this run's own, as the user postgres when the tests run as root. It dies with the run."""
    programs = _postgresql_programs()
    with _short_folder("shp-") as folder:
        as_postgres: list[str | Path] = ["setpriv", "--pdeathsig", "QUIT"]
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
            as_postgres += ["--reuid", "postgres", "--regid", "postgres", "--init-groups"]
        data, log, port = folder / "d", folder / "log", _free_port()
        initdb: list[str | Path] = [
            programs / "initdb",
            "-D",
            data,
            "-A",
            "trust",
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--no-sync",
        ]
        subprocess.run([*as_postgres, *initdb, "--locale=C"], check=True, capture_output=True, cwd="/")
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(folder), "max_connections": "60"}
        options |= {"fsync": "off", "shared_buffers": "32MB"}
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with log.open("wb") as lines:
            server = subprocess.Popen(
                [*as_postgres, programs / "postgres", "-D", data, "-p", str(port), *arguments],
                stdout=lines,
                stderr=lines,
                cwd="/",
            )
        try:
            _accepting(port, server, log)
            yield port
        finally:
            server.send_signal(signal.SIGINT)
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


_databases = itertools.count(1)


@pytest.fixture
def pg_url(pg_port: int) -> Iterator[str]:
    """The URL of a new, empty PostgreSQL database; it is dropped afterwards."""
    name = f"safehand_{next(_databases)}"
    with psycopg.connect(host="127.0.0.1", port=pg_port, user="postgres", dbname="postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        try:
            yield f"postgresql+psycopg://postgres@127.0.0.1:{pg_port}/{name}"
        finally:
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new, empty database; a test that takes it runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'safehand.sqlite'}"
    url: str = request.getfixturevalue("pg_url")
    return url
