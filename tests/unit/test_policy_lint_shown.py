"""`safehand policy lint`: text for people, JSON for programs, annotations for code hosts; and an exit code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from server.cli.root import app
from server.policy.lint import LintFinding
from server.policy.lint.shown import below, shown
from tests.policy_edits import GONE, edited

FAULT = {"members.kent.ig_team.email": GONE}


def a_finding(**changes: str) -> LintFinding:
    values = {"code": "EMAIL_SYNTAX", "target": "people/p-kent-1", "file": "people.yaml", "sentence": "Bad.",
              "remedy": "Mend it."} | changes  # fmt: skip
    return LintFinding(severity="error", line=3, column=5, **values)


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """A directory with the shipped set, Kent without its team's address."""
    return written(tmp_path / "set", edited(FAULT))


def written(directory: Path, texts: dict[str, str]) -> Path:
    for name, text in texts.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text, encoding="utf-8")
    return directory


def linted(directory: Path, *options: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["policy", "lint", str(directory), "--now", "2026-12-01", *options])
    return done.exit_code, done.output


def test_text_has_a_line_a_finding_with_file_line_and_column(faulty: Path) -> None:
    """`file:line:column: severity: CODE: sentence remedy`, and a line of counts."""
    code, output = linted(faulty)
    assert code == 1
    (line,) = [line for line in output.splitlines() if "PARTY_IG_EMAIL_MISSING" in line]
    assert re.fullmatch(
        rf"{re.escape(str(faulty))}/members\.yaml:\d+:\d+: error: PARTY_IG_EMAIL_MISSING: .+\. .+\.", line
    )
    assert re.fullmatch(
        r"Revision [0-9a-f]{12}: 1 error, \d+ warnings, \d+ notes, \d+ waived\.", output.splitlines()[-1]
    )


@pytest.mark.parametrize("options", [("--json",), ("--format", "json")])
def test_json_has_every_field_of_every_finding(faulty: Path, options: tuple[str, ...]) -> None:
    """Code, severity, target, file, line, column, sentence, remedy and waiver; and the set's revision."""
    code, output = linted(faulty, *options)
    told = json.loads(output)
    assert code == 1
    assert re.fullmatch(r"[0-9a-f]{64}", told["revision"])
    assert told["errors"] == 1
    finding = next(f for f in told["findings"] if f["code"] == "PARTY_IG_EMAIL_MISSING")
    assert finding["target"] == "members/kent" and finding["file"] == f"{faulty}/members.yaml"
    assert finding["waived"] is None and finding["line"] > 1 and finding["column"] > 1
    assert [f for f in told["findings"] if f["waived"] and f["severity"] == "error"]


def test_annotations_stand_at_their_line(faulty: Path) -> None:
    """One workflow command a finding: an error, a warning, or a notice; a waived error is a notice."""
    code, output = linted(faulty, "--format", "github")
    assert code == 1
    lines = output.splitlines()
    (error,) = [line for line in lines if line.startswith("::error ")]
    assert re.match(
        rf"::error file={re.escape(str(faulty))}/members\.yaml,line=\d+,col=\d+,title=PARTY_IG_EMAIL_MISSING::", error
    )
    assert [line for line in lines if line.startswith("::warning ")]
    assert [line for line in lines if "title=MEMBER_WITHOUT_DATA_MANAGER (waived)::" in line and "::notice" in line]


def test_annotations_are_escaped() -> None:
    """A line break or a percent sign in a sentence, a colon or a comma in a name, cannot end or begin a command."""
    hostile = a_finding(file="a:b,c%.yaml", sentence="100%\r\n::error::x", remedy="")
    line = shown([hostile], "github", None).splitlines()[0]
    assert line == "::error file=a%3Ab%2Cc%25.yaml,line=3,col=5,title=EMAIL_SYNTAX::100%25%0D%0A::error::x"


def test_no_sign_of_a_name_steers_a_terminal_or_forges_a_line() -> None:
    """Escape sequences and line breaks in names become spaces."""
    hostile = a_finding(sentence="\x1b[31mred\nfile:1:1: error: FORGED: x.")
    assert str(hostile) == "people.yaml:3:5: error: EMAIL_SYNTAX:  [31mred file:1:1: error: FORGED: x. Mend it."


@pytest.mark.parametrize("form", ["text", "json", "github"])
def test_files_that_are_no_set_are_told_in_every_form(tmp_path: Path, form: str) -> None:
    """POLICY_INVALID with file, line, column and the fix; exit code 1."""
    texts = edited({})
    texts["people.yaml"] = texts["people.yaml"].replace("member: kent", "member: knet", 1)
    directory = written(tmp_path / "set", texts)
    line = 1 + next(n for n, text in enumerate(texts["people.yaml"].splitlines()) if "knet" in text)
    code, output = linted(directory, "--format", form)
    assert code == 1
    assert "did you mean kent?" in output and "POLICY_INVALID" in output
    if form == "json":
        told = json.loads(output)
        assert told["revision"] is None
        assert [(f["file"], f["line"], f["severity"]) for f in told["findings"]] == [
            (f"{directory}/people.yaml", line, "error")
        ]
    else:
        assert f"line={line},col=" in output or f"people.yaml:{line}:" in output


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    """As a finding, in the form that was asked for."""
    code, output = linted(tmp_path / "none", "--json")
    assert code == 1
    assert json.loads(output)["findings"][0]["file"] == str(tmp_path / "none")


def test_warnings_alone_exit_with_0(tmp_path: Path) -> None:
    """The shipped set has warnings and waived errors."""
    code, output = linted(written(tmp_path / "set", edited({})))
    assert code == 0
    assert "waived error" in output and "warn:" in output


def test_the_day_can_be_chosen(tmp_path: Path) -> None:
    """The same set is overdue after its review; a day that is no day is wrong usage."""
    directory = written(tmp_path / "set", edited({}))
    later = CliRunner().invoke(app, ["policy", "lint", str(directory), "--now", "2029-09-01"])
    assert later.exit_code == 1 and "AGREEMENT_REVIEW_OVERDUE" in later.output
    assert CliRunner().invoke(app, ["policy", "lint", str(directory), "--now", "soon"]).exit_code == 2


def test_a_file_is_named_as_it_is_reached() -> None:
    """The directory and the file's own name, with one slash between them."""
    assert [f.file for f in below("policies/ccis-v2/", [a_finding(), a_finding(file="")])] == [
        "policies/ccis-v2/people.yaml", "policies/ccis-v2/",
    ]  # fmt: skip
