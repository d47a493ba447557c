"""The rows behind one place and name in a person's outbox."""

from __future__ import annotations

from sqlalchemy import ColumnElement, exists
from sqlmodel import Session, col, select

from server.domain.delivery import CURRENT
from server.domain.errors import Missing
from server.exchange.sessions import Visitor
from server.store.tables import ChecksumRow, ConsignmentRow, DeliveryRow, RefusalRow


def place_of(folder: tuple[str, ...]) -> tuple[str, str, str]:
    """(exchange, period, last folder or ""). Raises Missing for a path that is no place for files."""
    if len(folder) not in {2, 3}:
        raise Missing()
    return folder[0], folder[1], folder[2] if len(folder) == 3 else ""


def still_listed() -> ColumnElement[bool]:
    """What the outbox shows of consignments: not tidied, and staged or with a delivery that has not ended."""
    alive = exists().where(
        col(DeliveryRow.consignment) == col(ConsignmentRow.id),
        col(DeliveryRow.status).in_([status.value for status in CURRENT]),
    )
    return col(ConsignmentRow.tidied).is_(False) & (col(ConsignmentRow.staged).is_(True) | alive)


def latest(session: Session, visitor: Visitor, place: tuple[str, str, str], name: str) -> ConsignmentRow | None:
    """This person's newest consignment of that place and name that is still in the list."""
    exchange, period, leaf = place
    query = (
        select(ConsignmentRow)
        .where(
            ConsignmentRow.person == visitor.person.id, ConsignmentRow.exchange == exchange,
            ConsignmentRow.period == period, ConsignmentRow.folder == leaf,
            ConsignmentRow.name_key == name.casefold(), still_listed(),
        )
        .order_by(col(ConsignmentRow.id).desc())
    )  # fmt: skip
    return session.exec(query).first()


def deliveries_of(session: Session, consignment: ConsignmentRow) -> list[DeliveryRow]:
    """The consignment's deliveries, by id."""
    query = select(DeliveryRow).where(DeliveryRow.consignment == consignment.id).order_by(col(DeliveryRow.id))
    return list(session.exec(query).all())


def pair_of(session: Session, delivery_id: str) -> tuple[DeliveryRow, ConsignmentRow]:
    """A delivery and its consignment. Raises Missing."""
    row = session.get(DeliveryRow, delivery_id)
    consignment = session.get(ConsignmentRow, row.consignment) if row else None
    if row is None or consignment is None:
        raise Missing("There is no such delivery.")
    return row, consignment


def refusal_of(session: Session, visitor: Visitor, place: tuple[str, str, str], name: str) -> RefusalRow | None:
    """The refusal that stands in front of that name."""
    query = select(RefusalRow).where(
        RefusalRow.person == visitor.person.id, RefusalRow.name_key == name.casefold(),
        RefusalRow.place == "/".join(part for part in place if part), col(RefusalRow.removed).is_(False),
    )  # fmt: skip
    return session.exec(query).first()


def checksum_of(session: Session, person: str, place: tuple[str, str, str], name_key: str) -> ChecksumRow | None:
    """What a `.sha256` file said about the file of that name."""
    exchange, period, leaf = place
    query = select(ChecksumRow).where(
        ChecksumRow.person == person, ChecksumRow.exchange == exchange, ChecksumRow.period == period,
        ChecksumRow.folder == leaf, ChecksumRow.name_key == name_key,
    )  # fmt: skip
    return session.exec(query).first()
