"""Receipts, manifests and why-files: small documents, made from facts. Never a value from a file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence

from server.domain.findings import Finding

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
