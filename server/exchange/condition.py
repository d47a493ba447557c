"""Whether the exchange can take work now, and what it counts. Reads only; what is wrong is a sentence."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func
from sqlmodel import col, select

from server.domain.delivery import Status
from server.domain.errors import SafehandError
from server.exchange.ground import Ground
from server.store.duty_tables import FindingRow
from server.store.tables import (
    ConsignmentRow,
    DeliveryRow,
    DeskSessionRow,
    HeadRow,
    NoticeRow,
    RefusalRow,
    SendingRow,
    SuspensionRow,
)

SPARE = 64 * 1024 * 1024
"""Bytes that must be free where the spool is."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers as the database has them now; `spool_free_bytes` in bytes."""

    deliveries: Mapping[str, int]
    consignments: int
    refusals: int
    notices_pending: int
    desk_sessions: int
    suspended: int
    ledger_entries: int
    spool_free_bytes: int
    findings: int


class Condition:
    """Looks at the database, the policy, the spool and gpg. Every method blocks."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def problems(self) -> list[str]:
        """Why no work can be taken; empty when all is well."""
        found = [self._database(), self._policy(), self._spool(), self._gpg()]
        return [problem for problem in found if problem is not None]

    def counts(self) -> Counts:
        """Raises Busy when the database is away."""
        real = self._ground.real().timestamp()
        with self._ground.store.reading() as session:

            def number(of: type, *where: ColumnElement[bool]) -> int:
                return session.exec(select(func.count()).select_from(of).where(*where)).one()

            by_status = select(DeliveryRow.status, func.count()).group_by(col(DeliveryRow.status))
            found = {str(status): int(count) for status, count in session.exec(by_status).all()}
            behind = (
                select(func.count())
                .select_from(SendingRow)
                .join(NoticeRow, col(NoticeRow.id) == col(SendingRow.notice))
                .where(col(SendingRow.version) < col(NoticeRow.version))
            )
            return Counts(
                deliveries={status.value: found.get(status.value, 0) for status in Status},
                consignments=number(ConsignmentRow),
                refusals=number(RefusalRow),
                notices_pending=int(session.exec(behind).one()),
                desk_sessions=number(DeskSessionRow, col(DeskSessionRow.expires_real) > real),
                suspended=number(SuspensionRow),
                ledger_entries=session.exec(select(HeadRow.number).where(col(HeadRow.id) == 1)).one(),
                spool_free_bytes=shutil.disk_usage(self._ground.data).free,
                findings=number(FindingRow, col(FindingRow.cleared_at).is_(None)),
            )

    def _database(self) -> str | None:
        try:
            self._ground.store.head()
        except SafehandError as error:
            return error.sentence
        return None

    def _policy(self) -> str | None:
        try:
            return None if self._ground.in_force else "No policy is in force yet."
        except SafehandError as error:
            return error.sentence

    def _spool(self) -> str | None:
        folder = self._ground.data / "spool"
        if not os.access(folder, os.W_OK | os.X_OK):
            return "The spool folder is missing or cannot be written to."
        if shutil.disk_usage(folder).free < SPARE:
            return "The disk of the spool is full."
        return None

    def _gpg(self) -> str | None:
        return None if shutil.which("gpg") else "The program gpg is missing: install the package gnupg."
