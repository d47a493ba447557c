"""Which policy revision is in force. An edit on disk does nothing by itself; applying puts one in force, atomically."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlmodel import col, select

from server.domain.ledger import Event
from server.exchange.ground import Ground
from server.policy.load import load_texts
from server.store.tables import InForceRow, RevisionRow


class Revisions:
    """Puts policy revisions in force and keeps the text of each."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def apply(self, files: Mapping[str, str], *, by: str) -> str:
        """Put the set of these files in force; the sentence to print. Raises PolicyInvalid with every problem."""
        policy = load_texts(files)
        prepared = self._ground.prepared(policy)
        label = policy.policy.version
        with self._ground.transaction() as tx:
            row = tx.session.exec(select(InForceRow).order_by(col(InForceRow.number).desc()).limit(1)).first()
            if row is not None and row.revision == prepared.revision:
                return f"Revision {prepared.revision[:12]} (version {label}) was in force already; nothing changed."
            if tx.session.get(RevisionRow, prepared.revision) is None:
                text = json.dumps(dict(files), ensure_ascii=False, sort_keys=True)
                tx.session.add(RevisionRow(id=prepared.revision, label=label, files=text))
                tx.session.flush()
            tx.session.add(InForceRow(revision=prepared.revision, at=tx.now, by=by))
            tx.revision = prepared.revision
            before = row.revision if row else None
            facts = {"revision": prepared.revision, "label": label, "before": before}
            tx.record(Event("policy.applied", by, (), facts))
        self._ground.refresh()
        return f"Revision {prepared.revision[:12]} (version {label}) is in force."
