"""The contact table of the text, row by row: whom it does not lead to (clause 9, R-091, R-092)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from server.domain.agreement.source import Contact
from server.policy.lint.frame import Check, Desk, LintFinding, Severity


def _contacts(desk: Desk) -> Iterator[LintFinding]:
    rows = desk.policy.source.contacts
    for index, contact in enumerate(rows):
        for code, severity, key, sentence, remedy in _of_row(contact, rows):
            yield desk.finding(
                code,
                severity,
                ("source", "contacts", index, key),
                f"Row {contact.row} of the contacts {sentence}.",
                remedy,
                target=f"source/contacts/{contact.row}",
            )


Found = tuple[str, Severity, str, str, str]


def _of_row(contact: Contact, rows: tuple[Contact, ...]) -> Iterator[Found]:
    empty = not (contact.authority or contact.role or contact.email or contact.phone)
    if empty:
        yield "CONTACT_ROW_EMPTY", "error", "name", "has a name and nothing else", "Complete the row, or remove it."
    if not contact.authority:
        yield "CONTACT_AUTHORITY_BLANK", "error", "authority", "does not say whose it is", "Write the authority."
    if not contact.role:
        yield "CONTACT_ROLE_BLANK", "warn", "role", "does not say in which role", "Write the role."
    if not contact.phone:
        yield "CONTACT_PHONE_MISSING", "warn", "phone", "has no telephone number", "Write it: a breach may need it."
    if not contact.email and not empty:
        yield "CONTACT_EMAIL_MISSING", "error", "email", "has no e-mail address", "Write it."
    if _is_somebody_elses(contact, rows):
        sentence = "has the e-mail address of another row's person"
        yield "CONTACT_EMAIL_NAME_MISMATCH", "error", "email", sentence, "Write the address of the person named."
    if contact.acts_for:
        sentence = f"acts “{contact.acts_for}”"
        remedy = "Write acts_for with that person in people.yaml, and under which contract."
        yield "CONTACT_ACTS_FOR", "info", "acts_for", sentence, remedy


def _is_somebody_elses(contact: Contact, rows: tuple[Contact, ...]) -> bool:
    """Whether the address names somebody of another row, and not its own."""
    local = _words((contact.email or "").split("@")[0])
    others = {word for other in rows if other.row != contact.row for word in _words(other.name)}
    return bool(local & others) and not local & _words(contact.name)


def _words(text: str) -> frozenset[str]:
    return frozenset(word for word in re.split(r"[^a-z]+", text.casefold()) if len(word) > 2)


CHECKS: tuple[Check, ...] = (_contacts,)
