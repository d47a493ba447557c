"""What the signed text says where its words do not fit together: facts that lint reads, nothing that permits."""

from __future__ import annotations

from typing import Literal

from server.domain.agreement.terms import Frozen, Id, Text


class Reference(Frozen):
    """A heading, reference or footnote that leads nowhere, or to the wrong place."""

    kind: Literal["heading", "reference", "footnote_mark", "footnote_target"]
    text: Text
    clause: Text
    note: Text


class Citation(Frozen):
    """A statute as the text cites it."""

    as_written: Text
    clause: Text
    note: Text


class NamesUsed(Frozen):
    """The names that the text uses for one member, or for one role."""

    id: Id
    names: tuple[Text, ...]


class AgeRange(Frozen):
    """One age range that the text gives."""

    clause: Text
    text: Text


class TableRow(Frozen):
    """A row of a table that the text does not print like the others."""

    row: Text
    cells: int | None = None
    header_cells: int | None = None
    note: Text
    kind: Literal["width", "split", "garbled"]


class Contact(Frozen):
    """A row of the contact table, as written."""

    row: int
    name: Text
    member: Id | None = None
    authority: Text | None = None
    role: Text | None = None
    email: Text | None = None
    phone: Text | None = None
    acts_for: Text | None = None


class Source(Frozen):
    """source.yaml: the oddities of the text that the set was made from. A set written for the exchange needs none."""

    references: tuple[Reference, ...] = ()
    citations: tuple[Citation, ...] = ()
    member_names: tuple[NamesUsed, ...] = ()
    role_names: tuple[NamesUsed, ...] = ()
    age_ranges: tuple[AgeRange, ...] = ()
    rows: tuple[TableRow, ...] = ()
    contacts: tuple[Contact, ...] = ()
