"""Free text and names that must not carry personal data or tricks. Pure; every hit is named by rule, never by value."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from server.domain.errors import Refused

_LOOKS_LIKE = (
    ("an e-mail address", re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")),
    ("a UPN", re.compile(r"\b[A-Z]\d{11}[0-9A-Z]\b", re.IGNORECASE)),
    ("a ULN", re.compile(r"(?<!\d)\d{10}(?!\d)")),
    ("a postcode", re.compile(r"\b[A-Z]{1,2}\d[A-Z0-9]?\s*\d[A-Z]{2}\b", re.IGNORECASE)),
    ("a phone number", re.compile(r"(?<!\d)(?:\+44|0)[\s()-]*\d(?:[\s()-]*\d){8,9}(?!\d)")),
    (
        "a date of birth",
        re.compile(r"(?<!\d)(?:\d{1,2}[/.-]\d{1,2}[/.-](?:19|20)\d{2}|(?:19|20)\d{2}-\d{2}-\d{2})(?!\d)"),
    ),
)
_TEAM_WORDS = frozenset(
    "team ig infogov governance information data protection office dpo foi privacy records security enquiries gdpr "
    "compliance council info gov".split()
)
_FIRST_LAST = re.compile(r"[a-z]+([._-][a-z]+)+\d?")
_RESERVED = frozenset(
    {
        "con",
        "prn",
        "aux",
        "nul",
        "conin$",
        "conout$",
        *(f"{port}{n}" for port in ("com", "lpt") for n in "123456789¹²³"),
    }
)
_IGNORED = re.compile(r"(?:thumbs\.db|desktop\.ini|\.ds_store|~\$.*|\._.*)", re.IGNORECASE)
TEMPORARY = (".filepart", ".part", ".partial", ".tmp", ".uploading", ".crdownload")
MAX_NAME_BYTES = 200
MAX_REASON = 300


def reason(text: str) -> str:
    """A free-text reason, tidied, or Refused when it is empty, too long or looks like personal data."""
    words = " ".join(unicodedata.normalize("NFC", text).split())
    tidy = "".join(ch for ch in words if not unicodedata.category(ch).startswith("C")).strip()
    if not tidy:
        raise Refused("Please give a reason in a few words, without personal data.", code="REASON_MISSING")
    if len(tidy) > MAX_REASON:
        raise Refused(f"Please keep the reason under {MAX_REASON} characters.", code="REASON_TOO_LONG")
    for what, pattern in _LOOKS_LIKE:
        if pattern.search(tidy):
            raise Refused(
                f"That looks like it contains {what}. Describe the problem without personal data.", code="PERSONAL_DATA"
            )
    return tidy


def looks_personal(address: str) -> bool:
    """Whether an e-mail address looks like one person's (first.last@) and not like a team's."""
    local = address.split("@")[0].casefold()
    return _FIRST_LAST.fullmatch(local) is not None and not _TEAM_WORDS & set(re.split(r"[._-]", local))


def file_name(raw: bytes) -> str:
    """A client's file name as we keep it: NFC, printable, at most 200 bytes; else Refused with what to change."""
    try:
        name = unicodedata.normalize("NFC", raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise Refused(
            "The file name is not UTF-8; rename the file with plain letters and digits.", code="NAME_ENCODING"
        ) from None
    if len(name.encode()) > MAX_NAME_BYTES:
        raise Refused(f"The file name is longer than {MAX_NAME_BYTES} bytes; shorten it.", code="NAME_TOO_LONG")
    if (
        any(unicodedata.category(ch) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} for ch in name)
        or "\\" in name
        or "/" in name
    ):
        raise Refused(
            "The file name has a control character or a slash in it; rename the file.", code="NAME_CHARACTERS"
        )
    if not name or name in {".", ".."} or name != name.strip() or name.endswith("."):
        raise Refused(
            "The file name is empty or begins or ends with a space or a dot; rename the file.", code="NAME_EDGES"
        )
    if name.split(".")[0].rstrip().casefold() in _RESERVED:
        raise Refused("That file name is reserved by Windows; rename the file.", code="NAME_RESERVED")
    return name


def is_ignored(name: str) -> bool:
    """Whether a desktop wrote it by itself (Thumbs.db, .DS_Store, ~$…): accepted with success and sent nowhere."""
    return _IGNORED.fullmatch(name) is not None


def without_temporary_suffix(name: str) -> str | None:
    """`kent.csv` for `kent.csv.filepart`; None when the name has no temporary suffix."""
    lowered = name.casefold()
    for suffix in TEMPORARY:
        if lowered.endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return None


def is_nil(name: str) -> bool:
    """Whether the name is the nil return: NIL or NIL.txt, in any case."""
    return name.casefold() in {"nil", "nil.txt"}


def extension(name: str) -> str:
    """The extension without its dot, in lower case; empty when there is none."""
    stem, dot, ending = name.rpartition(".")
    return ending.casefold() if dot and stem else ""


def short_hash(content: bytes) -> str:
    """A short stand-in (16 hexadecimal digits of SHA-256) where the content itself must not be named."""
    return hashlib.sha256(content).hexdigest()[:16]
