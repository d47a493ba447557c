"""Names and free text: what is let in is plain, what is not is said by rule and never by value."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain import guard
from server.domain.errors import Refused
from server.domain.findings import spreadsheet_cell

PLAIN = [
    b"kent.csv",
    b"Kent Post-16 (final) v2.csv",
    "Schülerdaten Größe.csv".encode(),
    "日本.csv".encode(),
    b"no-extension",
    b".hidden",
    b"a..b.csv",
    b"console.csv",
    b"nullable.csv",
    b"NIL",
    b"-rf.csv",
    b"'; DROP TABLE ledger; --.csv",
    b"x" * 200,
    "é".encode() * 100,
]
TRICKS = [
    (b"a\0b.csv", "NAME_CHARACTERS"),
    (b"a\\b.csv", "NAME_CHARACTERS"),
    (b"a/b.csv", "NAME_CHARACTERS"),
    (b"../a.csv", "NAME_CHARACTERS"),
    (b"a\nb.csv", "NAME_CHARACTERS"),
    (b"a\r.csv", "NAME_CHARACTERS"),
    (b"a\x7f.csv", "NAME_CHARACTERS"),
    (b"a\x1b[31m.csv", "NAME_CHARACTERS"),
    ("a\u202evsc.exe".encode(), "NAME_CHARACTERS"),
    ("a\u2066b.csv".encode(), "NAME_CHARACTERS"),
    ("a\u200bb.csv".encode(), "NAME_CHARACTERS"),
    ("\ufeffa.csv".encode(), "NAME_CHARACTERS"),
    ("a\u2028b.csv".encode(), "NAME_CHARACTERS"),
    ("a\u0085b.csv".encode(), "NAME_CHARACTERS"),
    ("a\ue000b.csv".encode(), "NAME_CHARACTERS"),
    (b"\xff\xfe.csv", "NAME_ENCODING"),
    (b"caf\xe9.csv", "NAME_ENCODING"),
    (b"\xed\xa0\x80.csv", "NAME_ENCODING"),
    (b"\xc0\xafa.csv", "NAME_ENCODING"),
    (b"", "NAME_EDGES"),
    (b".", "NAME_EDGES"),
    (b"..", "NAME_EDGES"),
    (b" a.csv", "NAME_EDGES"),
    (b"a.csv ", "NAME_EDGES"),
    ("a.csv\u00a0".encode(), "NAME_EDGES"),
    (b"a.csv.", "NAME_EDGES"),
    (b"...", "NAME_EDGES"),
    (b"x" * 201, "NAME_TOO_LONG"),
    ("é".encode() * 101, "NAME_TOO_LONG"),
    (b"CON", "NAME_RESERVED"),
    (b"nul.csv", "NAME_RESERVED"),
    (b"Aux.tar.gz", "NAME_RESERVED"),
    (b"lpt1.csv", "NAME_RESERVED"),
    (b"com9", "NAME_RESERVED"),
    (b"con .csv", "NAME_RESERVED"),
    ("com¹.csv".encode(), "NAME_RESERVED"),
]


@pytest.mark.parametrize("raw", PLAIN)
def test_a_plain_name_stays_as_it_is(raw: bytes) -> None:
    """Spaces, umlauts, brackets and quotes are nobody's fault."""
    assert guard.file_name(raw) == raw.decode()


@pytest.mark.parametrize(("raw", "code"), TRICKS)
def test_a_tricky_name_is_refused_with_what_to_change(raw: bytes, code: str) -> None:
    """The sentence names the rule and never repeats the name."""
    with pytest.raises(Refused) as refused:
        guard.file_name(raw)
    assert refused.value.code == code
    assert refused.value.sentence.endswith(".")
    assert len(raw) < 4 or raw.decode(errors="replace") not in refused.value.sentence


def test_a_name_is_kept_in_its_composed_form() -> None:
    """A Mac sends e and an accent, Windows one letter: it is the same file."""
    decomposed, composed = "Cafe\u0301.csv", "Caf\u00e9.csv"
    assert guard.file_name(decomposed.encode()) == guard.file_name(composed.encode()) == composed


@given(st.binary(max_size=220) | st.text(max_size=120).map(lambda text: text.encode(errors="surrogatepass")))
def test_whatever_bytes_come_the_name_is_plain_or_refused(raw: bytes) -> None:
    """Never another error, never a separator, never a control character, and the same again when it is read back."""
    try:
        name = guard.file_name(raw)
    except Refused:
        return
    assert unicodedata.is_normalized("NFC", name)
    assert not set(name) & set("/\\\0\r\n\t")
    assert 0 < len(name.encode()) <= guard.MAX_NAME_BYTES
    assert name not in {".", ".."}
    assert guard.file_name(name.encode()) == name


PERSONAL = [
    ("write to jo.bloggs@example.org please", "an e-mail address"),
    ("the UPN A123456789012 is twice in it", "a UPN"),
    ("upn a12345678901b", "a UPN"),
    ("ULN 1234567890 is unknown", "a ULN"),
    ("lives at ZZ99 9ZZ", "a postcode"),
    ("lives at zz999zz", "a postcode"),
    ("M1 1AA is in the wrong column", "a postcode"),
    ("call 01632 960 001", "a phone number"),
    ("call 07700900123", "a phone number"),
    ("call +44 7700 900123", "a phone number"),
    ("call +44 (0)7700-900-123", "a phone number"),
    ("born 01/09/2009", "a date of birth"),
    ("born 1.9.2009", "a date of birth"),
    ("born 2009-09-01", "a date of birth"),
    ("ＵＬＮ １２３４５６７８９０", "a ULN"),
]
HARMLESS = [
    "Row 212 has no activity code.",
    "318 rows, but last month there were 402",
    "D-2026-000417 is for another member",
    "Column 3 is empty from line 1200 on",
    "Wrong month: this is October's file",
    "SHA-256 differs",
    "Post-16, not post-18",
]


@pytest.mark.parametrize(("text", "what"), PERSONAL)
def test_a_reason_that_looks_like_personal_data_is_refused(text: str, what: str) -> None:
    """The kind of thing is named; the thing itself is not."""
    with pytest.raises(Refused, match=what) as refused:
        guard.reason(text)
    assert refused.value.code == "PERSONAL_DATA"
    assert not any(word in refused.value.sentence for word in text.split() if any(map(str.isdigit, word)))


@pytest.mark.parametrize("text", HARMLESS)
def test_a_reason_about_the_file_is_taken(text: str) -> None:
    """Counts, lines, columns and our own ids are what reasons are made of."""
    assert guard.reason(text) == text


@pytest.mark.parametrize(
    ("text", "code"),
    [("", "REASON_MISSING"), (" \t\n ", "REASON_MISSING"), ("x" * 301, "REASON_TOO_LONG")],
)
def test_a_reason_is_some_words_and_not_a_letter(text: str, code: str) -> None:
    """Neither nothing nor more than 300 characters."""
    with pytest.raises(Refused) as refused:
        guard.reason(text)
    assert refused.value.code == code


def test_a_reason_is_one_tidy_line() -> None:
    """Line ends and runs of spaces become single spaces; letters are composed."""
    assert guard.reason("  wrong \r\n file,\tcafe\u0301 ") == "wrong file, caf\u00e9"
    assert len(guard.reason("x" * 300)) == 300


@given(st.text(max_size=60), st.sampled_from(PERSONAL))
def test_words_around_it_do_not_hide_it(around: str, personal: tuple[str, str]) -> None:
    """A number is found at the beginning, in the middle and at the end of a sentence."""
    with pytest.raises(Refused):
        guard.reason(f"{around[:30]} {personal[0]} {around[30:]}")


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("kent.csv.filepart", "kent.csv"),
        ("kent.csv.PART", "kent.csv"),
        ("kent.csv.tmp", "kent.csv"),
        ("kent.crdownload", "kent"),
        ("kent.csv", None),
        (".part", None),
        ("particle.csv", None),
        ("tmp", None),
    ],
)
def test_a_temporary_name_is_known_by_its_ending(name: str, bare: str | None) -> None:
    """WinSCP, browsers and careful scripts say that a file is not complete by its name."""
    assert guard.without_temporary_suffix(name) == bare


@pytest.mark.parametrize("name", ["Thumbs.db", "desktop.ini", ".DS_Store", "~$kent.docx", "._kent.csv", "THUMBS.DB"])
def test_what_desktops_write_by_themselves_is_ignored(name: str) -> None:
    """It is accepted with success and sent nowhere."""
    assert guard.is_ignored(name)


@pytest.mark.parametrize("name", ["kent.csv", "thumbs.db.csv", "a~$.csv", "DS_Store", "_kent.csv"])
def test_a_file_of_a_person_is_not_ignored(name: str) -> None:
    """Only the names themselves, not what merely looks like them."""
    assert not guard.is_ignored(name)


def test_nil_is_a_name_in_any_case() -> None:
    """NIL, and what Windows makes of it."""
    assert all(guard.is_nil(name) for name in ("NIL", "nil", "Nil.txt", "NIL.TXT"))
    assert not any(guard.is_nil(name) for name in ("nil.csv", "NIL.", "vanil.txt", "nil.txt.txt"))


@pytest.mark.parametrize(
    ("name", "ending"), [("a.CSV", "csv"), ("a.tar.gz", "gz"), ("a", ""), (".csv", ""), ("a.b c", "b c")]
)
def test_an_extension_is_what_follows_the_last_dot(name: str, ending: str) -> None:
    """In lower case; a name that only has a dot in front has none."""
    assert guard.extension(name) == ending


@pytest.mark.parametrize(
    ("line", "column", "cell"), [(1, 1, "A1"), (7, 26, "Z7"), (2, 27, "AA2"), (9, 702, "ZZ9"), (1, 703, "AAA1")]
)
def test_a_place_is_told_as_a_spreadsheet_names_it(line: int, column: int, cell: str) -> None:
    """C1, as it stands in the corner of the window."""
    assert spreadsheet_cell(line, column) == cell


@pytest.mark.parametrize(("line", "column"), [(0, 1), (1, 0), (-1, 2)])
def test_no_place_is_before_the_first_cell(line: int, column: int) -> None:
    """A mistake of ours is an error, not a strange cell."""
    with pytest.raises(ValueError, match="begin at 1"):
        spreadsheet_cell(line, column)
