"""The policy set as text: due dates as people read them, the signed text's hash, schemas for editors."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from server.cli.root import app
from server.domain.agreement import Exchange
from server.domain.schedule_words import listed, schedule_words, span_words
from server.policy.load import load

SHIPPED = Path(__file__).parents[2] / "policies" / "ccis-v2"


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["policy", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_digest_prints_what_a_signature_names() -> None:
    """64 digits, those that the shipped signatures carry."""
    printed = run("digest", str(SHIPPED)).strip()
    signed = [s for s in load(SHIPPED).agreement.signatures if s.state == "signed"]
    assert len(signed) == 8
    assert {s.document_sha256 for s in signed} == {printed}


def test_the_schedule_is_explained_month_by_month() -> None:
    """The period, the window's first day and the due moment; what has no window says why."""
    told = run("explain", "schedule", str(SHIPPED), "--year", "2026-27")
    assert "  for Dec 2026: from Mon 4 Jan 2027, due Fri 8 Jan 2027 17:00" in told.splitlines()
    assert "year11-residents: Year 11 residents (appendix 1, row A4)" in told
    assert "Within 10 working days of “NCCIS download published”." in told
    assert "no file goes through this exchange." in told
    assert "readings" not in told


def test_the_readings_stand_side_by_side() -> None:
    """What another reading of "1st week" would give, and which of them come before their month."""
    told = run("explain", "schedule", str(SHIPPED), "--readings", "--year", "2026-27").splitlines()
    (may,) = [line for line in told if line.startswith("May 2026 ")]
    assert may.split() == "May 2026 Thu 7 Fri 8 Fri 1 Fri 1 Fri 8 Thu 21 Fri 22 Fri 22".split()
    assert sum("(!)" in line for line in told if line[3:6] == " 20") == 3


def test_a_year_that_no_calendar_covers_is_told_by_month() -> None:
    """January 2028 has no working days until somebody enters its holidays; December 2027 has."""
    told = run("explain", "schedule", str(SHIPPED), "--readings", "--year", "2027-28")
    assert "Jan 2028  The calendar england-and-wales does not cover" in told
    assert "for Nov 2027: from Wed 1 Dec 2027, due Tue 7 Dec 2027 17:00" in told
    assert "not covered" in told


@pytest.mark.parametrize("year", ["2026", "2026-28", "26-27"])
def test_a_sharing_year_is_written_out(year: str) -> None:
    """2026-27, and nothing else."""
    done = CliRunner().invoke(app, ["policy", "explain", "schedule", str(SHIPPED), "--year", year])
    assert done.exit_code == 2
    assert "2026-27" in done.output


def test_schemas_are_written_for_everybody_to_read(tmp_path: Path) -> None:
    """One a section, in a folder that is made."""
    told = run("schema", str(tmp_path / "new" / "schemas"))
    files = sorted((tmp_path / "new" / "schemas").iterdir())
    assert told.startswith(f"{len(files)} schemas")
    assert {oct(file.stat().st_mode & 0o777) for file in files} == {"0o644"}
    assert "exchanges.json" in {file.name for file in files}


@pytest.mark.parametrize(
    ("recurrence", "obligation", "words"),
    [
        ({"months": [5, 6], "window": {"kind": "days", "from": 1, "to": 7}}, "required",
         "Days 1 to 7 of May and June; due on the last working day of these at 17:00; for the month before."),
        ({"months": "all", "window": {"kind": "week", "n": 1, "first": "full"}, "covers": "same_month"}, "required",
         "The first full week, Monday to Friday of every month; due on the last working day of these at 17:00; "
         "for the same month."),
        ({"months": "all", "window": {"kind": "month"}, "due": {"at": "day", "n": 20, "roll": "next"}}, "required",
         "Any day of every month; due on day 20 of the month, or the next working day at 17:00; for the month before."),
        ({"months": None}, None, "Nobody has said when."),
        (None, "on_request", "Whenever it is asked for."),
        (None, "external", "Each member does it elsewhere; no file goes through this exchange."),
    ],
)  # fmt: skip
def test_a_schedule_reads_as_a_sentence(recurrence: object, obligation: str | None, words: str) -> None:
    """Window, months, due time and the period covered, or why there is none."""
    whole = {"id": "some", "title": "Some", "clause": "1", "members": "all", "recurrence": recurrence}
    assert schedule_words(Exchange.model_validate({**whole, "obligation": obligation})) == words


def test_lengths_of_time_are_said() -> None:
    """P2M is two months; one of a thing is one."""
    assert [span_words(span) for span in ("P2M", "P1Y", "PT72H", "P30D")] == [
        "2 months",
        "one year",
        "72 hours",
        "30 days",
    ]
    assert [listed(words) for words in ((), ("a",), ("a", "b"), ("a", "b", "c"))] == ["", "a", "a and b", "a, b and c"]
