"""One loaded state of the agreement's machine form, and what it says of one thing at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property

from pydantic import Field

from server.domain.agreement.canonical import canonical_json, dumped
from server.domain.agreement.document import Agreement
from server.domain.agreement.exchanges import Calendar, CodeList, Column, Exchange, HeaderMapping, RecordSchema
from server.domain.agreement.members import Access, GpgKey, Member, Person, Verb
from server.domain.agreement.rules import (
    Breach,
    KeyRules,
    Notifications,
    PolicyMeta,
    Retention,
    RetentionRule,
    Rights,
    Waiver,
)
from server.domain.agreement.source import Source
from server.domain.agreement.terms import Frozen, Place, Role

_DOCUMENT = "safehand-document/1"
_NOT_SIGNED = {"signatures", "review_triggers", "drawn_up_by", "owner_details", "publication", "status"}
"""What a signature, a review or a change of contact alters, and the text that is signed does not hold."""
_MEMBER_SIGNED = {"id": True, "name": True, "kind": True, "represents": {"__all__": {"la", "name", "capacity"}}}
_COLUMNS_SIGNED = {"id": True, "columns": {"__all__": {"name", "required", "repeat", "special_category"}}}
_RETENTION_SIGNED = {"id", "use_by", "destroy_within"}
_RUNNING_ONLY = {
    "short",
    "reminders",
    "suggestion",
    "release_after",
    "max_bytes",
    "completeness",
    "files",
    "notice_url",
}


class PolicySet(Frozen):
    """One loaded state of the agreement's machine form: everything that the exchange may do follows from it."""

    policy: PolicyMeta
    agreement: Agreement
    members: tuple[Member, ...]
    people: tuple[Person, ...]
    exchanges: tuple[Exchange, ...]
    access: Access
    retention: Retention
    schemas: tuple[RecordSchema, ...] = ()
    codelists: tuple[CodeList, ...] = ()
    mappings: tuple[HeaderMapping, ...] = ()
    calendars: tuple[Calendar, ...] = ()
    breach: Breach = Breach()
    rights: Rights | None = None
    notifications: Notifications = Notifications()
    keys: KeyRules = KeyRules()
    waivers: tuple[Waiver, ...] = ()
    source: Source = Source()
    written: Mapping[str, Place] = Field(default_factory=dict, exclude=True, repr=False)
    """Where each thing stands in the files, by dotted path ("people.p-kent-1.roles"); no part of the content."""

    def place(self, *path: str | int) -> Place | None:
        """Where `path` is written, or the nearest thing around it that is; None for a set that came from no file."""
        for length in range(len(path), 0, -1):
            found = self.written.get(".".join(map(str, path[:length])))
            if found is not None:
                return found
        return None

    @cached_property
    def member_by_id(self) -> dict[str, Member]:
        return {member.id: member for member in self.members}

    @cached_property
    def person_by_id(self) -> dict[str, Person]:
        return {person.id: person for person in self.people}

    @cached_property
    def exchange_by_id(self) -> dict[str, Exchange]:
        return {exchange.id: exchange for exchange in self.exchanges}

    @cached_property
    def _schemas(self) -> dict[str, RecordSchema]:
        return {schema.id: schema for schema in self.schemas}

    @cached_property
    def _codelists(self) -> dict[str, CodeList]:
        return {codes.id: codes for codes in self.codelists}

    @cached_property
    def _retention(self) -> dict[str, RetentionRule]:
        return {rule.id: rule for rule in self.retention.rules}

    def member(self, member_id: str) -> Member | None:
        return self.member_by_id.get(member_id)

    def member_called(self, name: str) -> Member | None:
        """The one member of this id, name, short name or alias, in any case (R-016); None for none and for two."""
        wanted = " ".join(name.casefold().split())
        found = [member for member in self.members if wanted in member.names]
        return found[0] if len(found) == 1 else None

    def receives_for(self, la: str) -> Member | None:
        """The member that receives for an authority, by its code (R-010); None where none or more than one does."""
        found = [member for member in self.members if any(la == authority.la for authority in member.represents)]
        return found[0] if len(found) == 1 else None

    def person(self, person_id: str) -> Person | None:
        return self.person_by_id.get(person_id)

    def exchange(self, exchange_id: str) -> Exchange | None:
        return self.exchange_by_id.get(exchange_id)

    def schema_of(self, exchange: Exchange) -> RecordSchema | None:
        """The agreed columns of the exchange; None where none are agreed."""
        return self._schemas.get(exchange.record_schema) if exchange.record_schema else None

    def codes(self, list_id: str) -> CodeList | None:
        return self._codelists.get(list_id)

    def retention_of(self, exchange: Exchange) -> RetentionRule:
        """The rule that ends what the exchange carries; a loaded set always has it."""
        return self._retention[exchange.retention]

    def use_by_months(self, exchange: Exchange) -> int:
        """How long a delivery of the exchange may be used, in calendar months."""
        return self.retention_of(exchange).use_by_months

    def mapping_for(self, member_id: str, exchange_id: str) -> Mapping[str, str]:
        """What this sender's exports call the agreed columns: {their header: our name}."""
        found: dict[str, str] = {}
        for mapping in self.mappings:
            if mapping.member == member_id and (not mapping.exchanges or exchange_id in mapping.exchanges):
                found.update(mapping.headers)
        return found

    def calendar(self, calendar_id: str | None) -> Calendar | None:
        """The calendar of this id; None when there is none."""
        return next((calendar for calendar in self.calendars if calendar.id == calendar_id), None)

    @property
    def notice_calendar(self) -> Calendar | None:
        """Whose working days notices keep: the one that notifications name, else the first; None without any."""
        return self.calendar(self.notifications.calendar) or next(iter(self.calendars), None)

    def calendar_of(self, exchange: Exchange) -> Calendar | None:
        """The calendar of the exchange's schedule, else that of the notices."""
        named = exchange.recurrence.calendar if exchange.recurrence else None
        return self.calendar(named) or self.notice_calendar

    def special_columns(self, exchange: Exchange) -> tuple[Column, ...]:
        """The agreed columns that hold special-category data, by themselves or by one of their codes."""
        schema = self.schema_of(exchange)
        if schema is None:
            return ()
        return tuple(c for c in schema.columns if c.special_category or self._has_special_codes(c))

    def _has_special_codes(self, column: Column) -> bool:
        codes = self.codes(column.codes) if column.codes else None
        return codes is not None and any(code.special_category for code in codes.codes)

    def people_of(self, member_id: str, role: Role | None = None) -> tuple[Person, ...]:
        """The member's people, in the order of the file; only those with `role` if one is given."""
        return tuple(p for p in self.people if p.member == member_id and (role is None or role in p.roles))

    def may(self, person: Person, verb: Verb) -> bool:
        """Whether any of the person's roles includes the verb."""
        return any(verb in self.access.roles.get(role, frozenset()) for role in person.roles)

    def takes_part(self, member_id: str, exchange: Exchange) -> bool:
        """Whether the exchange is open to the member."""
        return exchange.members == "all" or member_id in exchange.members

    def sealed_to(self, member_id: str) -> tuple[tuple[str, GpgKey], ...]:
        """(holder, key) of everybody a member's files are sealed to: data managers, standing cover, recovery key."""
        member, whose = self.member_by_id[member_id], self.keys.sealed_to
        holders = list(self.people_of(member_id, "data_manager")) if "data_managers" in whose else []
        cover = self.person(member.cover) if member.cover and "cover" in whose else None
        if cover is not None and cover not in holders:
            holders.append(cover)
        keys = [(person.id, key) for person in holders for key in person.gpg_keys]
        if member.recovery_key is not None and "recovery_key" in whose:
            keys.append((f"recovery-{member_id}", member.recovery_key))
        return tuple(keys)

    @cached_property
    def document(self) -> str:
        """What members sign, as canonical JSON: agreement, members, authorities, exchanges, columns, retention.

        Without people, contacts, keys, signatures and the bookkeeping of reviews. One text, one hash.
        """
        used = {exchange.record_schema for exchange in self.exchanges}
        kept = {exchange.retention for exchange in self.exchanges}
        content = {
            "form": _DOCUMENT,
            "agreement": dumped(self.agreement, exclude=_NOT_SIGNED),
            "members": [dumped(member, include=_MEMBER_SIGNED) for member in self.members],
            "exchanges": [dumped(exchange, exclude=_RUNNING_ONLY) for exchange in self.exchanges],
            "schemas": [dumped(schema, include=_COLUMNS_SIGNED) for schema in self.schemas if schema.id in used],
            "retention": [dumped(rule, include=_RETENTION_SIGNED) for rule in self.retention.rules if rule.id in kept],
        }
        return canonical_json(content)

    @cached_property
    def document_sha256(self) -> str:
        """SHA-256 of `document`, 64 hexadecimal digits: what a signature names."""
        return hashlib.sha256(self.document.encode("utf-8")).hexdigest()
