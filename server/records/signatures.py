"""Files that are not CSV, told by their first bytes. A refusal says what to send instead."""

from __future__ import annotations

import re

from server.domain.findings import Finding

LENGTH = 8
"""Bytes that `not_csv` looks at."""

_SAVE_AS = "Open it, choose Save As, 'CSV UTF-8 (Comma delimited)', and send that file."
_SPREADSHEET = ("NOT_CSV_SPREADSHEET", "This is a spreadsheet or a zip file, not CSV.", _SAVE_AS)
_OLD_OFFICE = ("NOT_CSV_SPREADSHEET", "This is an old Excel or Word file, not CSV.", _SAVE_AS)
_PDF = ("NOT_CSV_PDF", "This is a PDF, not CSV.", "Export the records as CSV UTF-8 and send that file.")
_COMPRESSED = ("NOT_CSV_COMPRESSED", "This is a compressed file, not CSV.", "Unpack it and send the CSV inside.")
_ENCRYPTED = (
    "NOT_CSV_ENCRYPTED",
    "This file is already encrypted or signed, so its columns cannot be checked.",
    "Send the plain CSV: it is sealed for its recipient here, before it is stored.",
)
_UTF16 = (
    "ENCODING_UTF16",
    "This file is saved as UTF-16 ('Unicode text'), which is not accepted.",
    "Save it as 'CSV UTF-8 (Comma delimited)' and send it again.",
)
_BINARY = (
    "NOT_CSV_BINARY",
    "This file holds bytes that no text file has (NUL), so it is not CSV or it is damaged.",
    "Export the records again as CSV UTF-8 and send that file.",
)

# OpenPGP packets (RFC 9580 sections 4.2, 5.1, 5.3): session key packets, old and new format, by tag, length, version.
_OPENPGP = rb"\x84.[\x03\x06]|\x85..[\x03\x06]|\xc1(?:[\x00-\xbf]|[\xc0-\xdf].)[\x03\x06]|[\x8c\xc3].[\x04-\x06]"
_SIGNATURES = tuple(
    (re.compile(pattern, re.DOTALL), words)
    for pattern, words in (
        (rb"PK(?:\x03\x04|\x05\x06|\x07\x08)", _SPREADSHEET),
        (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _OLD_OFFICE),
        (rb"%PDF-", _PDF),
        (rb"\x1f\x8b|7z\xbc\xaf|Rar!\x1a|BZh[1-9]1A|\xfd7zXZ\x00", _COMPRESSED),
        (rb"-----BEG|" + _OPENPGP, _ENCRYPTED),
        (rb"\xff\xfe|\xfe\xff|\x00[\t\x20-\x7e]|[\t\x20-\x7e]\x00", _UTF16),
    )
)


def not_csv(start: bytes) -> Finding | None:
    """The refusal of a file that begins with these bytes (the first 8, or a whole shorter file); None: may be CSV."""
    for pattern, words in _SIGNATURES:
        if pattern.match(start):
            return _refusal(1, words)
    return None


def binary(line: int) -> Finding:
    """The refusal of a file with a NUL byte on this line."""
    return _refusal(line, _BINARY)


def _refusal(line: int, words: tuple[str, str, str]) -> Finding:
    rule, sentence, remedy = words
    return Finding(line, None, None, None, rule, sentence, remedy, "refuse")
