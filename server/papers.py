"""Receipts, manifests, why-files and calendars: small documents, made from facts. Never a value from a file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import icalendar

from server.domain.findings import Finding
from server.domain.schedule import LONDON

_SIGNATURE_ROOM = 800
"""Bytes kept for the armoured signature, so that a document's size is known before it is signed."""


def signed_size(document: Mapping[str, object], shown: Sequence[str] = ()) -> int:
    """Bytes of `signed` for this document, whatever the signature turns out to be."""
    return len(_signed(document, "", shown)) + _SIGNATURE_ROOM


def signed(document: Mapping[str, object], sign: Callable[[bytes], bytes], shown: Sequence[str] = ()) -> bytes:
    """The document and an armoured detached signature over its text, as one JSON file of a known size.

    `shown`: lines for people that stand before it and say what it says; they are not what is signed.
    To verify: `jq -j .signed FILE > text; jq -j .signature FILE > text.asc; gpg --verify text.asc text`.
    """
    text = _text(document)
    body = _signed(document, sign(text.encode()).decode(), shown)
    return body + b" " * (signed_size(document, shown) - len(body) - 1) + b"\n"


def _text(document: Mapping[str, object]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def _signed(document: Mapping[str, object], signature: str, shown: Sequence[str]) -> bytes:
    told: dict[str, object] = {"read": list(shown)} if shown else {}
    return json.dumps(told | {"signed": _text(document), "signature": signature}, ensure_ascii=False, indent=1).encode()


def why_text(sentence: str, findings: Sequence[Finding], counts: Mapping[str, int], *, place: str, at: str) -> str:
    """A why-file: the sentence, how often each rule was broken, then every listed finding with its remedy."""
    lines = ["Not accepted. Nothing of this file was kept or sent.", f"When:  {at}", f"Where: {place}", "", sentence]
    if sum(counts.values()) > 1:
        lines += ["", *(f"  {rule:<24} {number:>9,}" for rule, number in counts.items())]
    for finding in findings:
        rule = finding.rule if finding.severity == "refuse" else f"{finding.rule}, only warned of"
        lines += ["", f"- {finding.sentence} [{rule}]", f"  To mend it: {finding.remedy}"]
    return "\n".join(lines) + "\n"


def why_csv(code: str, sentence: str, findings: Sequence[Finding]) -> str:
    """The same as a table for a spreadsheet. No cell begins with a character that a spreadsheet would run."""
    return findings_csv(findings or [Finding(0, None, None, None, code, sentence, "", "refuse")])


def findings_csv(findings: Sequence[Finding]) -> str:
    """Findings as a table for a spreadsheet; line 0 is the whole file."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["line", "column", "cell", "field", "rule", "severity", "what", "remedy"])
    for f in findings:
        row = [f.line or "", f.column or "", f.cell or "", f.field or "", f.rule, f.severity, f.sentence, f.remedy]
        writer.writerow([_tame(str(cell)) for cell in row])
    return out.getvalue()


def _tame(cell: str) -> str:
    return "'" + cell if cell[:1] in set("=+-@\t\r") and not cell.lstrip("-").isdigit() else cell


_ZONE = """BEGIN:VTIMEZONE
TZID:Europe/London
BEGIN:DAYLIGHT
DTSTART:19960331T010000
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3
TZNAME:BST
TZOFFSETFROM:+0000
TZOFFSETTO:+0100
END:DAYLIGHT
BEGIN:STANDARD
DTSTART:19961027T020000
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10
TZNAME:GMT
TZOFFSETFROM:+0100
TZOFFSETTO:+0000
END:STANDARD
END:VTIMEZONE
"""
"""London's clock by its rule, so that no program needs a zone of its own (RFC 5545, 3.6.5)."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """One event of a calendar: times are aware; `whole_day`: days in London, `ends_at` excluded."""

    uid: str
    title: str
    words: str
    begins_at: datetime
    ends_at: datetime
    changed_at: datetime
    sequence: int
    category: str
    whole_day: bool = False


def calendar(title: str, occasions: Iterable[Occasion]) -> bytes:
    """A VCALENDAR as RFC 5545 wants it: CRLF, lines folded at 75 octets, no alarms. The same events, the same bytes.

    Without a METHOD, DTSTAMP says when an event was last changed (3.8.7.2), as LAST-MODIFIED does.
    """
    made = icalendar.Calendar()
    for name, value in (
        ("prodid", "-//Safehand//Exchange//EN"), ("version", "2.0"), ("calscale", "GREGORIAN"),
        ("x-wr-calname", title), ("x-wr-timezone", "Europe/London"),
    ):  # fmt: skip
        made.add(name, value)
    made.add_component(icalendar.Timezone.from_ical(_ZONE.replace("\n", "\r\n")))
    for occasion in occasions:
        made.add_component(_event(occasion))
    return bytes(made.to_ical())


def _event(occasion: Occasion) -> icalendar.Event:
    event = icalendar.Event()
    begins, ends = occasion.begins_at.astimezone(LONDON), occasion.ends_at.astimezone(LONDON)
    changed = occasion.changed_at.astimezone(UTC).replace(microsecond=0)
    event.add("uid", occasion.uid)
    event.add("dtstamp", changed)
    event.add("dtstart", begins.date() if occasion.whole_day else begins)
    if ends > begins:
        event.add("dtend", ends.date() if occasion.whole_day else ends)
    event.add("summary", occasion.title)
    event.add("description", occasion.words)
    event.add("categories", [occasion.category])
    event.add("last-modified", changed)
    event.add("sequence", occasion.sequence)
    event.add("class", "PRIVATE")
    event.add("transp", "TRANSPARENT")
    return event
