"""Every policy revision that was ever in force: text, label, when and by whom. The label moves with the content."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from server.domain.agreement import PolicySet
from server.domain.errors import Missing, Refused
from server.exchange.ground import Ground, texts_of
from server.policy.changes import Change, changes
from server.store.tables import ApprovalRow, InForceRow, ProposalRow, RevisionRow

_SHORTEST = 4
_LABEL = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6}){1,3}")
"""A label that cannot be taken for a revision's hash, nor for another label."""


@dataclass(frozen=True, slots=True)
class Applied:
    """One time that a revision was put in force, by whom, and who had approved it."""

    number: int
    revision: str
    label: str
    at: datetime
    by: str
    proposal: str | None
    approved_by: tuple[str, ...]


class History:
    """Reads the revisions that are kept; every text is checked against its hash before it is shown."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def applied(self) -> tuple[Applied, ...]:
        """Every putting in force, newest first."""
        with self._ground.store.reading() as session:
            pairs = session.exec(
                select(InForceRow, RevisionRow)
                .where(col(InForceRow.revision) == col(RevisionRow.id))
                .order_by(col(InForceRow.number).desc())
            ).all()
            done = session.exec(select(ProposalRow).where(ProposalRow.status == "applied")).all()
            by_time = {(row.revision, row.ended_at): row.id for row in done}
            return tuple(
                Applied(
                    row.number or 0, revision.id, revision.label, row.at, row.by,
                    proposal := by_time.get((revision.id, row.at)), _approvers(session, proposal),
                )
                for row, revision in pairs
            )  # fmt: skip

    def files(self, name: str) -> Mapping[str, str]:
        """The text of a revision as it was read, by its hash, the beginning of it, or its label: {file name: text}.

        Raises Missing when there is none, or more than one; Misconfigured when the stored text was changed.
        """
        with self._ground.store.reading() as session:
            row = self._row(session, name)
            self._ground.kept(session, row.id)
            return texts_of(row.files)

    def policy(self, name: str) -> PolicySet:
        """The set of a revision; errors as `files`."""
        with self._ground.store.reading() as session:
            return self._ground.kept(session, self._row(session, name).id)

    def changes(self, earlier: str, later: str) -> tuple[Change, ...]:
        """What differs between two revisions, by dotted paths; keys by their fingerprints only."""
        return changes(self.policy(earlier), self.policy(later))

    def _row(self, session: Session, name: str) -> RevisionRow:
        rows = session.exec(select(RevisionRow)).all()
        beginning = name.casefold() if len(name) >= _SHORTEST else "-"
        found = [row for row in rows if row.label == name] or [row for row in rows if row.id.startswith(beginning)]
        if len(found) != 1:
            which = "No" if not found else "More than one"
            raise Missing(f"{which} policy revision is called {name}: `safehand policy history` lists them.")
        return found[0]

    def require_moved_label(self, session: Session, base: PolicySet, policy: PolicySet, revision: str) -> None:
        """New content needs a new, higher label; a new text of the agreement a new version of it (R-009).

        An earlier revision keeps its own: putting it in force again is rolling back. Raises Refused, LABEL_NOT_MOVED.
        """
        if session.get(RevisionRow, revision) is not None:
            return
        label, ever = policy.policy.version, session.exec(select(RevisionRow.label)).all()
        if not _LABEL.fullmatch(label):
            raise Refused("policy.version is numbers with dots between them, such as 2.1.0.", code="LABEL_NOT_MOVED")
        if not all(higher(label, earlier) for earlier in ever):
            last = max(ever, key=_numbers)
            raise Refused(
                f"The content changed but policy.version is {label}: give it a version above {last}, which was the "
                "highest in force so far.",
                code="LABEL_NOT_MOVED",
            )
        if policy.document_sha256 != base.document_sha256:
            self._require_moved_version(session, policy)

    def _require_moved_version(self, session: Session, policy: PolicySet) -> None:
        version = policy.agreement.version
        for revision in session.exec(select(RevisionRow.id)).all():
            kept = self._ground.kept(session, revision)
            if kept.agreement.version == version and kept.document_sha256 != policy.document_sha256:
                raise Refused(
                    f"The text that members sign changed but agreement.version is still {version}: give it the next.",
                    code="LABEL_NOT_MOVED",
                )


def higher(label: str, earlier: str) -> bool:
    """Whether a version comes after another, number by number: 2.10.0 after 2.9.1. One without numbers never does."""
    return _numbers(label) > _numbers(earlier)


def stored(files: Mapping[str, str]) -> str:
    """The stored form of {file name: text}."""
    return json.dumps(dict(files), ensure_ascii=False, sort_keys=True)


def _numbers(label: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"[0-9]{1,400}", label))


def _approvers(session: Session, proposal: str | None) -> tuple[str, ...]:
    if proposal is None:
        return ()
    query = select(ApprovalRow.person).where(ApprovalRow.proposal == proposal, ApprovalRow.answer == "approved")
    return tuple(sorted(session.exec(query).all()))
