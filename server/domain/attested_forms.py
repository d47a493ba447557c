"""The plain forms that lie in /attest/: written for people, read with the number of the line in every complaint. Pure.

A form has lines `name: answer`; what begins with # is an explanation. A table has a row a delivery, as a spreadsheet
saves it: with commas, semicolons or tabs, in any of the usual encodings. Nobody writes YAML.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from server.domain.attestation import Counts, Unclear, check_counts, counts_of, spoken
from server.domain.errors import Refused

ROWS = 500
"""The most rows of a table that are read."""
_CELL = re.compile(r"([a-z_0-9]+)\.(D-\d{4}-\d{6,})(?:\.(\d*))?")
_FILLED = re.compile(r"kept(_\d{3})?|not_ours|rejected")


@dataclass(frozen=True, slots=True)
class Filled:
    """A form as it was filled in: answers by field, and the line on which each stands."""

    answers: Mapping[str, str]
    lines: Mapping[str, int] = field(default_factory=dict)

    def located(self, error: Unclear) -> Refused:
        """The same complaint with the lines that it is about."""
        said = [self._line(name, sentence) for name, sentence in error.errors.items()]
        return Refused(" ".join(dict.fromkeys(said)), code=error.code)

    def _line(self, name: str, sentence: str) -> str:
        line = self.lines.get(name) or self.lines.get("delivery")
        return f"Line {line}: {sentence}" if line else sentence


def text_of(content: bytes) -> str:
    """What an editor or a spreadsheet saved, as text: UTF-8 with or without its mark, UTF-16, or Windows' own."""
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if content.startswith(mark):
            return content.decode(encoding, errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def name_of(text: str) -> str:
    """A field's name however it is written: not_ours for "Not ours", kept_201 for "Kept 201 (City of London)"."""
    words = text.split("(")[0].casefold().replace("-", " ").replace("_", " ").split()
    return "_".join(words)


def written(explanation: Sequence[str], answers: Mapping[str, str], notes: Mapping[str, str] | None = None) -> str:
    """A form: what it is for, then a line a field; `notes` stand before their field. Lines end with \\n."""
    lines = [f"# {line}".rstrip() for line in explanation]
    for name, answer in answers.items():
        note = (notes or {}).get(name)
        lines += [f"# {note}"] if note else []
        lines.append(f"{spoken(name)}: {answer}".rstrip())
    return "\n".join(lines) + "\n"


def read(text: str, known: Iterable[str]) -> Filled:
    """A filled form; `known` are the names that it may have. Raises Refused, naming the line."""
    names, answers, lines = list(known), dict[str, str](), dict[str, int]()
    for number, line in enumerate(text.splitlines(), start=1):
        clean = line.strip()
        if not clean or clean.startswith("#"):
            continue
        before, colon, answer = clean.partition(":")
        name = name_of(before)
        if not colon:
            raise Refused(f"Line {number} has no colon: write it as “kept: 290”.", code="FORM_LINE")
        if name not in names:
            there = ", ".join(spoken(one) for one in names)
            raise Refused(f"Line {number} is none of this form's lines; they are: {there}.", code="FORM_LINE")
        if name in answers:
            raise Refused(f"Line {number} says “{spoken(name)}” a second time (first on line {lines[name]}).",
                          code="FORM_LINE")  # fmt: skip
        answers[name], lines[name] = answer.strip(), number
    return Filled(answers, lines)


def table(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> str:
    """A table for a spreadsheet, with Windows line ends."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([spoken(column) for column in columns])
    writer.writerows([row.get(column, "") for column in columns] for row in rows)
    return out.getvalue()


def read_table(text: str, known: Iterable[str]) -> dict[str, Filled]:
    """{delivery: its filled row}; `known` are the columns that it may have. Raises Refused, naming the line.

    Every answer of a row stands on the row's own line. Rows without a delivery are left out.
    """
    lines = text.splitlines()
    first = 1 if lines and lines[0].casefold().startswith("sep=") else 0
    header_line = lines[first] if len(lines) > first else ""
    sign = max(",;\t", key=header_line.count)
    rows = list(csv.reader(lines[first:], delimiter=sign))
    header = [name_of(cell) for cell in rows[0]] if rows else []
    _check_header(header, list(known), first + 1)
    found: dict[str, Filled] = {}
    for number, row in enumerate(rows[1:], start=first + 2):
        cells = {name: cell.strip() for name, cell in zip(header, row, strict=False) if name}
        delivery = cells.pop("delivery", "").upper()
        if not delivery:
            if any(cells.values()):
                raise Refused(f"Line {number} does not say which delivery it is about.", code="FORM_LINE")
            continue
        if delivery in found or len(found) == ROWS:
            raise Refused(f"Line {number}: {delivery} is there twice, or the table has more than {ROWS} rows.",
                          code="FORM_LINE")  # fmt: skip
        found[delivery] = Filled(cells, dict.fromkeys([*cells, "delivery"], number))
    return found


def _check_header(header: Sequence[str], known: Sequence[str], line: int) -> None:
    if "delivery" not in header:
        raise Refused(f"Line {line} must be the table's header, with a column “delivery”.", code="FORM_LINE")
    unknown = [name for name in header if name and name not in known]
    if unknown or len(set(filter(None, header))) != len(list(filter(None, header))):
        there = ", ".join(spoken(name) for name in known)
        raise Refused(
            f"Line {line}: the header has a column too many or one twice; the columns are: {there}.", code="FORM_LINE"
        )


# -- several deliveries in one form of a chat or a page


def cell(name: str, delivery: str) -> str:
    """The name of one delivery's field in a form about several: kept.D-2026-000417."""
    return f"{name}.{delivery}"


def row_name(delivery: str, received: int | None) -> str:
    """The name of a delivery's whole row, typed as "290, 28, 0": counts.D-2026-000417.318."""
    return f"counts.{delivery}.{'' if received is None else received}"


def counts_in_rows(answers: Mapping[str, str]) -> dict[str, Counts]:
    """{delivery: its counts} of every row that somebody filled in. Raises Unclear, by the names of cells or rows.

    A row is a cell a count, or one text of kept, not ours and rejected. What it is compared with comes from the form
    itself; the verb looks at it again.
    """
    found, errors = dict[str, Counts](), dict[str, str]()
    for delivery, (row, whole) in _rows(answers).items():
        try:
            counts = counts_of(row)
            check_counts(counts, None, counts.authorities)
            found[delivery] = counts
        except Unclear as error:
            for name, sentence in error.errors.items():
                errors[whole or cell(name, delivery)] = sentence
    if errors:
        raise Unclear(errors)
    return found


def _rows(answers: Mapping[str, str]) -> dict[str, tuple[dict[str, str], str]]:
    """{delivery: (its answers, the name of its row where it was typed as one text)}, without those left blank."""
    rows: dict[str, tuple[dict[str, str], str]] = {}
    for name, text in answers.items():
        match = _CELL.fullmatch(name)
        if match is None:
            continue
        if match[1] == "counts":
            if text.strip():
                rows[match[2]] = (_of_text(text, match[3] or ""), name)
        else:
            rows.setdefault(match[2], ({}, ""))[0][match[1]] = text
    return {delivery: row for delivery, row in rows.items() if _filled(row[0])}


def _filled(row: Mapping[str, str]) -> bool:
    return any(text.strip() for name, text in row.items() if _FILLED.fullmatch(name))


def _of_text(text: str, received: str) -> dict[str, str]:
    """Three numbers with commas, blanks or slashes between them; what was received follows where nobody counted."""
    parts = re.split(r"[\s,;/]+", text.strip())
    row = dict(zip(("kept", "not_ours", "rejected"), parts, strict=False)) if len(parts) == 3 else {"kept": text}
    total = str(sum(map(int, parts))) if len(parts) == 3 and all(p.isascii() and p.isdigit() for p in parts) else ""
    return row | {"received": received or total}
