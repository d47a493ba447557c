"""What the exchange counts, in the format that Prometheus reads. Counts only: no ids of people, no names."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest

from server.exchange.condition import Counts


def exposition(counts: Counts) -> bytes:
    """The text of /metrics, made afresh for each look, so that two servers on one database agree."""
    registry = CollectorRegistry()
    deliveries = Gauge("safehand_deliveries", "Deliveries by where they stand", ["status"], registry=registry)
    for status, number in counts.deliveries.items():
        deliveries.labels(status).set(number)
    for name, words, number in (
        ("safehand_consignments", "Accepted uploads", counts.consignments),
        ("safehand_refusals", "Refused files that still have a why-file", counts.refusals),
        ("safehand_notices_pending", "Chat messages that wait to be sent or edited", counts.notices_pending),
        ("safehand_desk_sessions", "Signed-in browsers", counts.desk_sessions),
        ("safehand_people_suspended", "People who may not act now", counts.suspended),
        ("safehand_ledger_entries", "Entries in the ledger", counts.ledger_entries),
        ("safehand_findings", "What somebody has to look at", counts.findings),
        ("safehand_spool_free_bytes", "Free space where the spool is, in bytes", counts.spool_free_bytes),
    ):
        Gauge(name, words, registry=registry).set(number)
    return generate_latest(registry)
