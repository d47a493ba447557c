"""Bytes to rows: whether a file has the agreed columns and values, told while it streams past."""

from __future__ import annotations

from datetime import date

from server.domain import guard
from server.domain.agreement import Exchange, PolicySet
from server.records.csv_check import CsvCheck
from server.records.header import Agreed
from server.records.row_rules import Tallies, Terms
from server.records.summary import NoInspection, RecordCheck, RecordSummary
from server.records.table import Table
from server.records.xlsx import EitherCheck, XlsxCheck

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


def check_for(policy: PolicySet, exchange: Exchange, member: str, name: str, day: date) -> RecordCheck:
    """A new check for one upload by `member`; `day`: when the exchange is due. One check serves one stream.

    `name` is what the file is or will be called: a workbook is read as one where the exchange takes workbooks.
    """
    if exchange.content_inspection == "none":
        return NoInspection()
    schema = policy.schema_of(exchange)
    if schema is None:
        return CsvCheck(Agreed())
    terms = Terms.of(policy, exchange, day)
    agreed = Agreed(schema.required, schema.names, schema.one_of, policy.mapping_for(member, exchange.id))
    rows = CsvCheck(agreed, lambda names: Table(terms, schema, names))
    if "xlsx" not in exchange.formats:
        return rows
    ending = guard.extension(guard.without_temporary_suffix(name) or name)
    if ending == "xlsx":
        return XlsxCheck(rows)
    return rows if ending == "csv" else EitherCheck(rows)
