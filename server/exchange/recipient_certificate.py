"""What stands in a recipient's certificate: its own word about its own copies, and the limit of it (clause 8)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from server.domain.agreement import Person, PolicySet
from server.domain.attestation import BEYOND_USE, DECLARATION, LIMIT, PLACES, SUBCONTRACTORS, backup_words
from server.domain.ledger import text_of
from server.exchange.attested import asks_countersignature, places_in
from server.store.duty_tables import AttestationRow
from server.store.tables import ConsignmentRow, DeliveryRow

Document = dict[str, object]


def document_of(
    policy: PolicySet, revision: str, row: DeliveryRow, consignment: ConsignmentRow, said: AttestationRow,
    kept: Mapping[str, int],
) -> Document:  # fmt: skip
    """What the recipient attests; delivery, parties and agreement stand in every certificate before it."""
    member = policy.member(row.recipient)
    authorities = {authority.la: authority.name or authority.la for authority in member.represents} if member else {}
    attester = policy.person(said.destroyed_by or "")
    return {
        "payload_sha256": consignment.payload_sha256,
        "plaintext_sha256": consignment.sha256,
        "member": member.name if member else row.recipient,
        "authorities": [
            {"la": la, "name": name, "kept": kept.get(la)} for la, name in sorted(authorities.items())
        ],
        "records": {
            "received": said.received, "kept": said.kept, "not_ours": said.not_ours, "rejected": said.rejected,
        },
        "places": [
            {"place": PLACES.get(place, place), "method": _method(method)} for place, method in places_in(said).items()
        ],
        "backups": backup_words(said.backups) if said.backups else None,
        "subcontractors": SUBCONTRACTORS.get(said.subcontractors or "none", said.subcontractors),
        "exceptions": said.exceptions,
        "started_at": text_of(said.processed_at),
        "finished_at": text_of(said.destroyed_at) if said.destroyed_at else None,
        "use_by": row.use_by,
        "processed_by": said.processed_by,
        "attested_by": _signatory(attester, said.destroyed_by, said.destroyed_at),
        "witness": _signatory(policy.person(said.witness), said.witness, None) if said.witness else None,
        "countersigned_by": _signatory(
            policy.person(said.countersigned_by), said.countersigned_by, said.countersigned_at
        ) if said.countersigned_by else None,
        "asks_countersignature": asks_countersignature(row, said),
        "declaration": DECLARATION,
        "policy": {"revision": revision, "version": policy.policy.version, "document_sha256": policy.document_sha256},
        "limit": LIMIT,
    }  # fmt: skip


def _signatory(person: Person | None, person_id: str | None, at: datetime | None) -> Document:
    """Who stood behind it: as the policy has them now, with the id alone for whom it has no more."""
    roles = ", ".join(sorted(role.replace("_", " ") for role in person.roles)) if person else ""
    name = person.name if person else person_id
    return {"person": person_id, "name": name, "role": roles, "at": text_of(at) if at else None}


def _method(method: str) -> str:
    return "put beyond use" if method == BEYOND_USE else method
