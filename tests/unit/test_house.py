"""The house keeps its own rules: words, addresses, broad excepts, locks, and a README that is true."""

from __future__ import annotations

import ast
import os
import re
import shutil
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from server.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
AVOIDED = {"utils", "util", "helpers", "helper", "common", "misc", "base", "handler", "manager", "service", "processor"}
MAY_CATCH_ALL = {
    "server/cli/root.py",  # the process's edge: a traceback would show what it was working on
    "bot/relay.py",
    "server/jobs.py",
    "server/sftp/adapter.py",
    "server/seal/envelope.py",  # the sealing's loop: let through, gpg would finish a valid message of half a file
}
LOCKS = ("requirements.lock", "requirements-dev.lock")
PINNED = re.compile(r"^([a-z0-9._-]+)==([^ ;]+)", re.MULTILINE | re.IGNORECASE)


def modules() -> Iterator[Path]:
    """Every module of the two packages but the migrations."""
    for package in ("server", "bot"):
        found = (ROOT / package).rglob("*.py")
        yield from (path for path in found if "migrations" not in path.parts)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def pins(lock: str) -> dict[str, Version]:
    return {canonicalize_name(name): Version(version) for name, version in PINNED.findall((ROOT / lock).read_text())}


def requirements(extra: str = "") -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return [Requirement(line) for line in wanted]


# ---------------------------------------------------------------- modules


def test_every_module_opens_with_the_rule_it_keeps() -> None:
    """A module without a docstring has not said what it is for."""
    silent = [name_of(path) for path in modules() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    """Such names become the place where everything goes."""
    assert [name_of(path) for path in modules() if AVOIDED & set(path.stem.split("_"))] == []


def broad_handlers(path: Path) -> list[ast.ExceptHandler]:
    """The handlers of a module that catch whatever comes."""
    handlers = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ExceptHandler)]
    every = {"Exception", "BaseException"}
    return [
        handler
        for handler in handlers
        if handler.type is None or every & {n.id for n in ast.walk(handler.type) if isinstance(n, ast.Name)}
    ]


def test_only_the_loops_that_must_go_on_catch_everything() -> None:
    """Anywhere else a broad except hides a fault."""
    assert {name_of(path) for path in modules() if broad_handlers(path)} <= MAY_CATCH_ALL


def test_what_is_caught_broadly_is_not_lost() -> None:
    """A loop that goes on records what it caught: it names the exception and does something with it."""
    for path in modules():
        for handler in broad_handlers(path):
            used = {node.id for line in handler.body for node in ast.walk(line) if isinstance(node, ast.Name)}
            assert handler.name in used, f"{name_of(path)}:{handler.lineno}"


def test_functions_are_short() -> None:
    """The median function has 13 lines or fewer, as good code bases of this field do."""
    functions = [
        node
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert statistics.median((node.end_lineno or 0) - node.lineno + 1 for node in functions) <= 13


def test_every_package_of_the_house_is_importable_by_its_plain_name() -> None:
    """A tests/server/__init__.py would shadow the real package."""
    assert not [path for name in ("server", "bot") for path in (ROOT / "tests").rglob(f"{name}/__init__.py")]


# ---------------------------------------------------------------- locks and addresses


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_a_hash_for_everything_and_no_address(lock: str) -> None:
    """An address in a lock sends every user to somebody's index; a pin without hash trusts whatever it sends."""
    text = (ROOT / lock).read_text()
    blocks = re.split(r"\n(?=[A-Za-z0-9])", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).strip())
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block or not PINNED.match(block)] == []
    assert not re.search(r"://|^\s*-(?!-hash=)| @ |/", text, re.MULTILINE)


def test_the_locks_hold_what_the_project_asks_for() -> None:
    """A dependency that is changed without `make lock` would be found only on the next machine."""
    run, test = pins("requirements.lock"), pins("requirements-dev.lock")
    wanted = [(line, run) for line in requirements()] + [(line, test) for line in requirements() + requirements("dev")]
    stale = [str(line) for line, lock in wanted if lock.get(canonicalize_name(line.name)) not in PinnedIn(line)]
    assert stale == []


def test_both_locks_agree() -> None:
    """What is tested is what runs."""
    test = pins("requirements-dev.lock")
    assert {name: version for name, version in pins("requirements.lock").items() if test.get(name) != version} == {}


class PinnedIn:
    """The versions that a requirement allows, for `in`."""

    def __init__(self, requirement: Requirement) -> None:
        self.requirement = requirement

    def __contains__(self, version: Version | None) -> bool:
        return version is not None and self.requirement.specifier.contains(version, prereleases=True)


def test_each_dependency_says_why_it_is_there() -> None:
    """One line of reason beside each."""
    text = (ROOT / "pyproject.toml").read_text()
    block = text.split("\ndependencies = [\n")[1].split("\n]")[0]
    assert [line for line in block.splitlines() if not re.search(r'",\s+# \w', line)] == []


def test_nothing_names_a_folder_of_somebodys_machine() -> None:
    """A path that exists on one machine only is wrong on all the others."""
    pattern = re.compile(r"(?<![\w.])/(?:home|root|Users)/\w+|--(?:extra-)?index-url")
    suffixes = {".py", ".toml", ".md", ".yaml", ".txt", ".html", ".lock", ".sh", ""}
    folders = [ROOT / name for name in ("server", "bot", "templates", "policies", "bench", ".ci")]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    files += [path for path in ROOT.iterdir() if path.is_file()]
    told = [path for path in files if path.suffix in suffixes and "__pycache__" not in path.parts]
    assert [name_of(path) for path in told if pattern.search(path.read_text(errors="replace"))] == []


# ---------------------------------------------------------------- README


def test_the_readme_lists_every_setting_with_its_default() -> None:
    """A setting that is not in the README does not exist for those who run the exchange."""
    readme = (ROOT / "README.md").read_text()
    rows = [line for line in readme.splitlines() if line.startswith("| `SAFEHAND_")]
    settings = {f"SAFEHAND_{name.upper()}": field for name, field in Settings.model_fields.items()}
    named = {name: row for row in rows for name in re.findall(r"`(SAFEHAND_\w+)`", row.split("|")[1])}
    assert set(named) == set(settings)
    shown = {name: field.default for name, field in settings.items() if field.default not in (None, "")}
    assert {name: default for name, default in shown.items() if f"`{default}`" not in named[name].split("|")[2]} == {}


def test_the_readme_names_only_targets_that_exist() -> None:
    """`make demo` and `make test` are the two commands; each `make …` of the README is in the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


# ---------------------------------------------------------------- ARCHITECTURE


def test_the_architecture_names_every_room_of_the_exchange() -> None:
    """A newcomer finds each module of `server/exchange` and `server/sftp` by what it is for."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    rooms = [path for name in ("exchange", "sftp") for path in (ROOT / "server" / name).glob("[a-z]*.py")]
    assert [name_of(path) for path in rooms if f"`{path.name}`" not in text and f"`{name_of(path)}`" not in text] == []


def test_the_architecture_names_only_files_that_exist() -> None:
    """A path is from the root; a bare module name is one of the rooms."""
    named = set(
        re.findall(r"`([\w/.]+\.py|(?:server|bot|templates|tests)/[\w/]+/)`", (ROOT / "ARCHITECTURE.md").read_text())
    )
    known = {path.name for path in modules()}
    assert [name for name in named if not (ROOT / name).exists() and name not in known] == []


# ---------------------------------------------------------------- requirements

ACCEPTED = (
    *range(1, 10), *range(10, 17), *range(20, 29), *range(30, 36), 42, *range(59, 63), 64, 65, 68, *range(108, 111),
    38, 66, 67, 69, *range(81, 85), 87, 90, 92, 93, 112, 113, 114,
)  # fmt: skip
"""The requirements of the agreement that the product keeps so far, each shown by a test of its number."""


@pytest.mark.parametrize("number", ACCEPTED)
def test_every_requirement_has_a_test_of_its_number(number: int) -> None:
    """R-004 is shown by a function called test_r004_…: whoever asks for the proof finds it at once."""
    texts = (path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert any(f"def test_r{number:03d}_" in text for text in texts)


# ---------------------------------------------------------------- continuous integration


@pytest.mark.parametrize(("ci", "status"), [("true", 1), ("", 0)])
def test_a_skipped_test_fails_continuous_integration(tmp_path: Path, ci: str, status: int) -> None:
    """What did not run was not shown; on a developer's machine it stays a skip."""
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    lines = ["import pytest", "def test_one(): pass", "def test_two(): pytest.importorskip('there_is_none')"]
    (tmp_path / "test_it.py").write_text("\n".join(lines))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        env={**os.environ, "CI": ci, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        check=False,
        cwd=tmp_path,
        timeout=60,
    )
    assert done.returncode == status, done.stdout.decode()
