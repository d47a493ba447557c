"""The container's recipe, read as text: it is not built where the tests run, so what matters in it is checked here."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def instructions() -> list[tuple[str, str]]:
    """(instruction, argument) in order; continued lines joined, comments left out."""
    text = (ROOT / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [(word.upper(), rest) for word, _, rest in (line.partition(" ") for line in joined)]


def last_stage() -> list[tuple[str, str]]:
    """The instructions of the image that runs."""
    all_of_them = instructions()
    begin = max(place for place, (word, _) in enumerate(all_of_them) if word == "FROM")
    return all_of_them[begin:]


def arguments(word: str, of: list[tuple[str, str]]) -> list[str]:
    return [argument for name, argument in of if name == word]


def test_every_base_is_a_slim_image_with_a_pinned_tag() -> None:
    """`latest`, or no tag, is another image tomorrow."""
    bases = [argument.split()[0] for argument in arguments("FROM", instructions())]
    assert bases
    assert [base for base in bases if not re.fullmatch(r"python:3\.\d+(\.\d+)?-slim-[a-z]+", base)] == []


def test_it_runs_as_a_user_that_is_not_root() -> None:
    """The last word on the user is a number other than 0, so that orchestrators can check it."""
    users = arguments("USER", last_stage())
    assert users
    assert int(users[-1].split(":")[0]) > 0


def test_it_says_whether_it_is_healthy() -> None:
    """The check asks the running exchange, wherever its settings let it listen."""
    (check,) = arguments("HEALTHCHECK", last_stage())
    assert check.endswith('CMD ["safehand", "doctor", "--health"]')
    assert "--timeout=" in check


def test_gnupg_is_inside_and_the_data_are_a_volume() -> None:
    """Without gpg nothing can be sealed; without a volume the ledger would go with the container."""
    stage = last_stage()
    assert any("gnupg" in shlex.split(run) for run in arguments("RUN", stage))
    assert arguments("VOLUME", stage) == ["/data"]
    assert arguments("EXPOSE", stage) == ["2222 8080"]
    assert arguments("CMD", stage) == ['["safehand", "serve"]']


def test_python_packages_come_by_hash() -> None:
    """Every install from outside is from the lock."""
    installs = [run for run in arguments("RUN", instructions()) if "pip install" in run and "--no-index" not in run]
    assert installs == ["/opt/safehand/bin/pip install --require-hashes --no-deps -r requirements.lock"]


def test_what_it_copies_exists_and_is_let_through() -> None:
    """.dockerignore keeps everything out but the files that the recipe copies."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    let_through = {line[1:] for line in lines if line.startswith("!")}
    copies = [shlex.split(argument) for argument in arguments("COPY", instructions())]
    sources = {source for words in copies if not words[0].startswith("--from") for source in words[:-1]}
    assert sources == let_through
    assert [source for source in sources if not (ROOT / source).exists()] == []


@pytest.mark.parametrize("word", ["ENV", "ARG", "COPY", "RUN"])
def test_no_secret_is_baked_in(word: str) -> None:
    """Secrets come from the environment of the running container."""
    secret = re.compile(r"token|secret|passw|private|\.env\b|id_(rsa|ed25519)|\.pem|\.key\b", re.IGNORECASE)
    assert [argument for argument in arguments(word, instructions()) if secret.search(argument)] == []
