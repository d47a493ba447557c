"""Which policy revision is in force. An edit on disk does nothing by itself; applying puts one in force, atomically.

A set with a mistake that lint calls an error is not applied; one that only permits less always is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlmodel import col, select

from server.domain.agreement import PolicySet
from server.domain.errors import Forbidden, Missing
from server.domain.ledger import Event
from server.exchange.ground import Ground
from server.exchange.people import OPERATOR
from server.policy.lint import PolicyRefused, lint
from server.policy.load import load_texts
from server.store.tables import InForceRow, RevisionRow


class Revisions:
    """Puts policy revisions in force and keeps the text of each."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def apply(self, files: Mapping[str, str], *, by: str) -> str:
        """Put the set of these files in force; the sentence to print. `by` is a person's id, or "operator".

        Raises PolicyInvalid with every problem, PolicyRefused with every error; Missing or Forbidden when `by` may not.
        """
        policy = load_texts(files)
        self._may_apply(policy, by)
        errors = [
            finding for finding in lint(policy, self._ground.now()) if finding.is_error and not finding.only_closes
        ]
        if errors:
            raise PolicyRefused(errors)
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

    def _may_apply(self, policy: PolicySet, by: str) -> None:
        """The set in force says who may replace it; where there is none, the set itself says who may begin."""
        if by == OPERATOR:
            return
        judge = self._ground.policy if self._ground.has_policy else policy
        person = judge.person(by)
        if person is None or by in self._ground.suspended:
            raise Missing("There is no such person, or they are suspended: name with --by who decided it.")
        if not judge.may(person, "policy.propose"):
            raise Forbidden("This person's roles do not include policy.propose: an administrator decides it.")
