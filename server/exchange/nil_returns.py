"""Nothing to send this period: the NIL file and the button say the same, once to each recipient."""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import Session, col, select

from server.domain.agreement import Exchange, Person
from server.domain.errors import Refused
from server.domain.ledger import Event
from server.exchange.fulfilment import Fulfilment
from server.exchange.ground import Ground
from server.exchange.telling import period_words
from server.store import Tx
from server.store.tables import NilRow


@dataclass(frozen=True, slots=True)
class Nil:
    """Who says it, of what, to whom; `folder` and `name` as its file lies in the outbox, empty for a button."""

    person: Person
    exchange: Exchange
    period: str
    recipients: tuple[str, ...]
    via: str
    folder: str = ""
    name: str = ""


class NilReturns:
    """Writes nil returns down and tells those who expect something."""

    def __init__(self, ground: Ground, fulfilment: Fulfilment) -> None:
        self._ground, self._fulfilment = ground, fulfilment

    def say(self, tx: Tx, nil: Nil) -> NilRow | None:
        """None when it was new to anybody; else the earlier one. Raises Refused where none is taken."""
        exchange = nil.exchange
        if exchange.nil_return == "refused" or exchange.obligation in {"ad_hoc", "external"}:
            raise Refused(f"{exchange.called} takes no nil returns.", code="NIL_REFUSED")
        said = _said(tx.session, nil)
        same = next((row for row in said if row.recipients == ",".join(nil.recipients)), None)
        known = {recipient for row in said for recipient in row.recipients.split(",")}
        fresh = [recipient for recipient in nil.recipients if recipient not in known]
        if nil.name and same is not None:
            _list_again(tx, same, nil)
        elif same is None and (fresh or nil.name):
            tx.session.add(_row(nil, tx))
        if not fresh:
            return same or said[-1]
        facts = {"exchange": exchange.id, "period": nil.period, "recipients": ",".join(fresh), "via": nil.via}
        about = tx.record(Event("nil.received", nil.person.id, (), facts))
        self._tell(tx, nil, fresh, about=about)
        self._fulfilment.touch(tx, exchange.id, nil.period, nil.person.member, fresh)
        return None

    def _tell(self, tx: Tx, nil: Nil, fresh: list[str], *, about: int) -> None:
        sender = nil.person.member
        told = {
            "sender": self._ground.called(sender), "title": nil.exchange.called, "period": period_words(nil.period),
        }  # fmt: skip
        thread = f"nil:{sender}:{nil.exchange.id}:{nil.period}"
        for recipient in fresh:
            for person in self._ground.policy.people_of(recipient, "data_manager"):
                notice = self._ground.notices.notice(
                    "nil", person=person.id, member=recipient, thread=thread, facts=told
                )
                tx.notify(notice, about=about)


def _said(session: Session, nil: Nil) -> list[NilRow]:
    query = select(NilRow).where(
        NilRow.member == nil.person.member, NilRow.exchange == nil.exchange.id, NilRow.period == nil.period
    )
    return list(session.exec(query.order_by(col(NilRow.id))).all())


def _row(nil: Nil, tx: Tx) -> NilRow:
    return NilRow(
        person=nil.person.id, member=nil.person.member, exchange=nil.exchange.id, period=nil.period,
        recipients=",".join(nil.recipients), folder=nil.folder, name=nil.name or "NIL", at=tx.now,
        tidied=not nil.name,
    )  # fmt: skip


def _list_again(tx: Tx, row: NilRow, nil: Nil) -> None:
    """A file that says it again is listed for whoever said it first, and lies where it was put last."""
    if row.person == nil.person.id:
        row.tidied, row.folder, row.name = False, nil.folder, nil.name
        tx.session.add(row)
