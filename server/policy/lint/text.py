"""Where the signed text does not fit together: headings, references, footnotes, citations, names, ages, tables."""

from __future__ import annotations

from collections.abc import Iterator

from server.policy.lint.frame import Check, Desk, LintFinding, Severity

REFERENCES: dict[str, tuple[str, Severity, str]] = {
    "heading": ("HEADING_MISNUMBERED", "info", "Number the heading as its place asks."),
    "reference": ("DANGLING_REFERENCE", "warn", "Name the clause that is meant."),
    "footnote_mark": ("FOOTNOTE_MISMATCH", "info", "Give the mark and its note the same sign."),
    "footnote_target": ("FOOTNOTE_TARGET_MISSING", "warn", "Name the clause that the note is about."),
}
ROWS: dict[str, tuple[str, Severity, str]] = {
    "width": ("TABLE_WIDTH_MISMATCH", "info", "Print the row with as many cells as its table's header has."),
    "split": ("ROW_SPLIT_REPAIRED", "info", "Print the row as one; here it was read as one."),
    "garbled": ("FIELD_TEXT_GARBLED", "warn", "Agree what the cell says, and write it."),
}


def _references(desk: Desk) -> Iterator[LintFinding]:
    for index, reference in enumerate(desk.policy.source.references):
        code, severity, remedy = REFERENCES[reference.kind]
        yield desk.finding(
            code,
            severity,
            ("source", "references", index),
            f"{_clause(reference.clause)}, “{reference.text}”: {_ended(reference.note)}",
            remedy,
            target=f"source/{reference.text}",
        )


def _citations(desk: Desk) -> Iterator[LintFinding]:
    for index, citation in enumerate(desk.policy.source.citations):
        yield desk.finding(
            "CITATION_UNVERIFIED",
            "warn",
            ("source", "citations", index),
            f"{_clause(citation.clause)} cites the “{citation.as_written}”: {_ended(citation.note)}",
            "Cite the statute by its title, year and section.",
            target=f"source/{citation.as_written}",
        )
    told = {citation.as_written for citation in desk.policy.source.citations}
    for gateway in desk.policy.agreement.gateways:
        if not gateway.verified and not {gateway.cite, gateway.as_written} & told:
            yield desk.finding(
                "CITATION_UNVERIFIED",
                "warn",
                ("agreement", "gateways", gateway.id),
                f"Nobody has checked that “{gateway.as_written or gateway.cite}” says what it is cited for.",
                "Read it, correct cite, and write verified: true.",
                target=f"agreement/{gateway.id}",
            )


def _names(desk: Desk) -> Iterator[LintFinding]:
    for member in desk.policy.source.member_names:
        if len(set(member.names)) > 1:
            yield desk.finding(
                "NAME_VARIES",
                "info",
                ("source", "member_names", member.id),
                f"The text calls {member.id} {_listed(member.names)}.",
                "Use one name; the others stand as aliases, so that all of them lead to it.",
                target=f"members/{member.id}",
            )
    for role in desk.policy.source.role_names:
        if len(set(role.names)) > 1:
            yield desk.finding(
                "ROLE_NAME_AMBIGUOUS",
                "warn",
                ("source", "role_names", role.id),
                f"The text uses {_listed(role.names)}, and does not say whether they are one role.",
                "Say which are the same; here a person has a set of roles.",
                target=f"source/{role.id}",
            )


def _ages(desk: Desk) -> Iterator[LintFinding]:
    ranges = desk.policy.source.age_ranges
    given = "; ".join(f"{age.text} ({_clause(age.clause).lower()})" for age in ranges)
    if len({age.text for age in ranges}) > 1:
        yield desk.finding(
            "AGE_RANGE_INCONSISTENT",
            "warn",
            ("source", "age_ranges"),
            f"The text gives {len(ranges)} age ranges: {given}.",
            "Agree one; until then each exchange's own population holds.",
            target="source/age_ranges",
        )


def _tables(desk: Desk) -> Iterator[LintFinding]:
    for index, row in enumerate(desk.policy.source.rows):
        code, severity, remedy = ROWS[row.kind]
        cells = f" ({row.cells} cells under {row.header_cells})" if row.cells and row.header_cells else ""
        yield desk.finding(
            code,
            severity,
            ("source", "rows", index),
            f"Row {row.row}{cells}: {_ended(row.note)}",
            remedy,
            target=f"source/{row.row}",
        )


def _clause(name: str) -> str:
    """A clause by its number, an appendix by its name; as a sentence begins."""
    return f"Clause {name}" if name[:1].isdigit() else f"{name[:1].upper()}{name[1:]}"


def _listed(names: tuple[str, ...]) -> str:
    quoted = [f"“{name}”" for name in names]
    return f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def _ended(note: str) -> str:
    return note if note.endswith((".", "?")) else f"{note}."


CHECKS: tuple[Check, ...] = (_references, _citations, _names, _ages, _tables)
