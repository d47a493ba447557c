"""Bytes to rows: whether a file has the agreed columns and whole records, told while it streams past."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from server.records.csv_check import CsvCheck
from server.records.summary import NoInspection, RecordCheck, RecordSummary

__all__ = ["CsvCheck", "NoInspection", "RecordCheck", "RecordSummary", "check_for"]


def check_for(
    inspection: Literal["records", "none"], required: Sequence[str] = (), optional: Sequence[str] = ()
) -> CsvCheck | NoInspection:
    """A new check for one upload, as the exchange's `content_inspection` says. One check serves one stream."""
    return CsvCheck(required, optional) if inspection == "records" else NoInspection()
