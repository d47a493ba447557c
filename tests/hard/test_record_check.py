"""A gigabyte of records passes the check in the stream, in bounded memory; the rate is printed."""

from __future__ import annotations

import resource
import time
from datetime import date
from pathlib import Path

import pytest

from server.cli.examples import many
from server.policy.load import load
from server.records import check_for

pytestmark = [pytest.mark.hard, pytest.mark.timeout(1800)]

POLICY = load(Path(__file__).resolve().parent.parent.parent / "policies" / "ccis-v2")
COLUMNS = (
    "given_name", "family_name", "dob", "activity_code", "address", "postcode", "uln", "phone_1", "phone_2", "phone_3",
    "email", "activity_start", "establishment_name", "qualification_type",
)  # fmt: skip
SIZE = 1000**3


def resident() -> int:
    """Bytes of memory that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def test_a_gigabyte_of_records_passes_in_bounded_memory(capsys: pytest.CaptureFixture[str]) -> None:
    """Six million rows, every field judged, every learner compared with three million others, under 100 MB."""
    check = check_for(POLICY, POLICY.exchange_by_id["post16-destinations"], "kent", "big.csv", date(2026, 12, 7))
    size, seconds, peak, before = 0, 0.0, 0, resident()
    for piece in many(COLUMNS, SIZE, 1):
        began = time.process_time()
        check.feed(piece)
        seconds += time.process_time() - began
        size += len(piece)
        peak = max(peak, resident() - before)
    summary = check.finish()
    with capsys.disabled():
        print(
            f"\n{size / 1e6:.0f} MB, {summary.rows:,} rows: {size / 1e6 / seconds:.0f} MB/s, {peak / 1e6:.0f} MB more"
        )
    assert size >= SIZE
    assert summary.rows is not None and summary.rows > 5_000_000
    assert check.refusals == ()
    assert set(summary.counts) <= {"ULN_DUPLICATES_IN_PART"}
    assert peak < 100_000_000


def test_a_warning_in_every_row_is_counted_and_not_kept() -> None:
    """A hundred megabytes: the first 200 are listed, all are counted, and memory stays where it is."""
    check = check_for(POLICY, POLICY.exchange_by_id["post16-destinations"], "kent", "big.csv", date(2026, 12, 7))
    before = resident()
    pieces = many(COLUMNS, SIZE // 10, 1)
    check.feed(next(pieces))
    for piece in pieces:
        check.feed(piece.replace(b"CT7", b"CT:"))
    summary = check.finish()
    assert (summary.counts["POSTCODE_FORMAT"], len(summary.findings)) == (summary.rows, 200)
    assert resident() - before < 100_000_000
