"""What an exchange carries is agreed: its columns, purposes, legal basis, and the ages of those it is about."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from server.domain.agreement import Exchange, RecordSchema
from server.domain.decision import available_to
from server.policy.lint.document import closed_to_authorities, faulted
from server.policy.lint.frame import Check, Desk, LintFinding

FLAG = "lddd_flag"
"""The column that says that somebody has a learning difficulty or disability."""


def _personal(desk: Desk) -> Iterator[Exchange]:
    yield from (exchange for exchange in desk.policy.exchanges if exchange.personal_data)


def _purposes(desk: Desk) -> Iterator[LintFinding]:
    for exchange in _personal(desk):
        if not exchange.purposes:
            yield desk.finding(
                "EXCHANGE_WITHOUT_PURPOSE",
                "error",
                ("exchanges", exchange.id, "purposes"),
                f"{exchange.id} states no purpose.",
                "Add purposes from agreement.yaml.",
            )


def _basis(desk: Desk) -> Iterator[LintFinding]:
    """Each exchange's own condition, beside the agreement's (R-031). A fault of the agreement's is told there, once."""
    whole = desk.policy.agreement.lawful_basis
    for exchange in _personal(desk):
        own = exchange.lawful_basis.article6 if exchange.lawful_basis else ()
        path = ("exchanges", exchange.id, "lawful_basis", "article6")
        if not whole.article6 or not (own or faulted(whole)):
            yield desk.finding(
                "LAWFUL_BASIS_MISSING",
                "error",
                path,
                f"{exchange.id} and the agreement do not both state an Article 6 condition.",
                "State it in both, as in 6(1)(e).",
            )
        if any(closed_to_authorities(condition) for condition in own) and _has_authority(desk, exchange):
            yield desk.finding(
                "LI_NOT_AVAILABLE_TO_PUBLIC_AUTHORITY",
                "error",
                path,
                f"{exchange.id} rests on legitimate interests, which are closed to public authorities for their tasks.",
                "State 6(1)(c) or 6(1)(e) and the statute.",
            )
        elif own and available_to(whole).isdisjoint(own):
            yield desk.finding(
                "LAWFUL_BASIS_NOT_AVAILABLE",
                "error",
                path,
                f"No condition that {exchange.id} states is open to its members.",
                "State 6(1)(c) or 6(1)(e) and the statute.",
            )


def _has_authority(desk: Desk, exchange: Exchange) -> bool:
    return any(m.kind == "local_authority" and desk.policy.takes_part(m.id, exchange) for m in desk.policy.members)


def _carriage(desk: Desk) -> Iterator[LintFinding]:
    for exchange in desk.policy.exchanges:
        path = ("exchanges", exchange.id)
        approved_each = exchange.obligation == "ad_hoc"
        if exchange.personal_data and exchange.content_inspection == "none" and not approved_each:
            yield desk.finding(
                "CONTENT_NOT_INSPECTED",
                "warn",
                (*path, "content_inspection"),
                f"{exchange.id} carries personal data that nobody checks.",
                "Set content_inspection: records.",
            )
        if exchange.personal_data and exchange.release_after == timedelta(0):
            yield desk.finding(
                "RELEASED_AT_ONCE",
                "warn",
                (*path, "release_after"),
                f"{exchange.id} leaves no time to undo a mistake.",
                "Set release_after: PT2M.",
            )
        if exchange.members != "all" and len(set(exchange.members)) < 2:
            yield desk.finding(
                "EXCHANGE_WITHOUT_PARTNERS",
                "error",
                (*path, "members"),
                f"{exchange.id} is open to fewer than two members.",
                "List at least two, or write all.",
            )
        if exchange.content_inspection == "records" and exchange.record_schema is None:
            yield desk.finding(
                "SCHEDULE_FIELDS_BLANK",
                "error",
                (*path, "record_schema"),
                f"{exchange.id} does not say which columns it carries; nothing can be sent through it.",
                "Agree them, write a schema, and name it as record_schema.",
            )


def _with_columns(desk: Desk) -> Iterator[tuple[Exchange, RecordSchema]]:
    """The exchanges of personal data whose columns are agreed."""
    for exchange in _personal(desk):
        schema = desk.policy.schema_of(exchange)
        if schema is not None:
            yield exchange, schema


def _special(desk: Desk) -> Iterator[LintFinding]:
    for exchange in desk.policy.exchanges:
        condition = exchange.special_category
        covered = condition.fields if condition else ()
        bare = [column.name for column in desk.policy.special_columns(exchange) if column.name not in covered]
        if exchange.personal_data and exchange.content_inspection == "none" and condition is None:
            bare = ["The unread files"]
        if bare:
            yield desk.finding(
                "SPECIAL_CATEGORY_WITHOUT_CONDITION",
                "error",
                ("exchanges", exchange.id, "special_category"),
                f"{', '.join(bare)} of {exchange.id} can hold special-category data; no condition lets it be shared.",
                "Add special_category with these fields, article9 and dpa2018_sch1.",
            )


def _routing(desk: Desk) -> Iterator[LintFinding]:
    for exchange, schema in _with_columns(desk):
        if exchange.obligation != "ad_hoc" and not any(column.type == "la_code" for column in schema.columns):
            yield desk.finding(
                "ROUTING_FIELD_NOT_IN_AGREEMENT",
                "warn",
                ("exchanges", exchange.id, "record_schema"),
                f"No column of {exchange.id} says whose record it is: nobody can tell a wrong recipient.",
                "Agree a column of type la_code, such as residence_la.",
            )


def _population(desk: Desk) -> Iterator[LintFinding]:
    agreed = desk.policy.agreement.population
    for exchange, schema in _with_columns(desk):
        own = exchange.population
        path = ("exchanges", exchange.id, "population")
        born = any(column.type == "date_of_birth" for column in schema.columns)
        limits = (own.min_age, own.max_age, agreed.min_age, agreed.max_age)
        if born and not own.year_groups and not agreed.year_groups and limits == (None,) * 4:
            yield desk.finding(
                "POPULATION_NOT_STATED",
                "error",
                path,
                f"{exchange.id} has dates of birth, and no age is stated that they could be checked against.",
                "Add population with min_age and max_age, or year_groups.",
            )
        oldest = agreed.max_age_with_ldd if agreed.max_age_with_ldd is not None else agreed.max_age
        too_young = own.min_age is not None and agreed.min_age is not None and own.min_age < agreed.min_age
        too_old = own.max_age is not None and oldest is not None and own.max_age > oldest
        reversed_ = own.min_age is not None and own.max_age is not None and own.min_age > own.max_age
        if too_young or too_old or reversed_:
            yield desk.finding(
                "AGE_RANGE_INCONSISTENT",
                "warn",
                path,
                f"{exchange.id} is about ages {own.min_age} to {own.max_age}; the agreement is about {agreed.min_age} "
                f"to {oldest}.",
                "Agree one range, and write it in both places.",
            )


def _flags(desk: Desk) -> Iterator[LintFinding]:
    """Flags that a rule of the text needs and no row has (clause 2, R-023)."""
    agreed = desk.policy.agreement.population
    for exchange, schema in _with_columns(desk):
        own, needed = exchange.population, set()
        if own.max_age is not None and agreed.max_age is not None and own.max_age > agreed.max_age:
            needed.add(own.over_19_needs or agreed.over_19_needs or FLAG)
        for column in schema.columns:
            codes = desk.policy.codes(column.codes) if column.codes else None
            needed |= {code.needs_flag for code in codes.codes if code.needs_flag} if codes else set()
        for flag in sorted(needed - set(schema.names)):
            yield desk.finding(
                "FIELD_NEEDED_NOT_AGREED",
                "warn",
                ("exchanges", exchange.id, "record_schema"),
                f"{exchange.id} needs the column {flag} to tell who may be in it, and it is not agreed.",
                f"Agree {flag} and add it to the schema.",
            )


CHECKS: tuple[Check, ...] = (_purposes, _basis, _carriage, _special, _routing, _population, _flags)
