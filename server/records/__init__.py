"""Bytes to rows: whether a file has the agreed columns and values, told while it streams past."""

from __future__ import annotations

from datetime import date

from server.domain.agreement import Exchange, PolicySet
from server.records.csv_check import CsvCheck
from server.records.header import Agreed
from server.records.row_rules import Tallies, Terms
from server.records.summary import NoInspection, RecordCheck, RecordSummary
from server.records.table import Table

__all__ = ["Agreed", "CsvCheck", "NoInspection", "RecordCheck", "RecordSummary", "Tallies", "check_for", "same_rules"]


def same_rules(before: PolicySet, now: PolicySet, exchange: Exchange) -> bool:
    """Whether a file that was checked under `before` need not be checked again under `now`."""
    if before is now:
        return True
    schemas = before.schema_of(exchange) == now.schema_of(exchange)
    ages = before.agreement.population == now.agreement.population
    gateways = before.agreement.gateways == now.agreement.gateways
    lists = (before.codelists, before.mappings) == (now.codelists, now.mappings)
    return schemas and ages and gateways and lists


def check_for(policy: PolicySet, exchange: Exchange, member: str, day: date) -> CsvCheck | NoInspection:
    """A new check for one upload by `member`; `day`: when the exchange is due. One check serves one stream."""
    if exchange.content_inspection == "none":
        return NoInspection()
    schema = policy.schema_of(exchange)
    if schema is None:
        return CsvCheck(Agreed())
    terms = Terms.of(policy, exchange, day)
    agreed = Agreed(schema.required, schema.names, schema.one_of, policy.mapping_for(member, exchange.id))
    return CsvCheck(agreed, lambda names: Table(terms, schema, names))
