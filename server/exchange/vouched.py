"""What the ledger vouches for: a consent without its entry counts for nothing, and who was sent away stays away.

Rows are what the exchange works with; somebody with the database can write them. An entry they can only add, and then
the chain and its published heads tell.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlmodel import Session, col, select

from server.domain.errors import Misconfigured
from server.domain.ledger import digest
from server.store.tables import ApprovalRow, LedgerRow, ProposalRow, SignatureRow

_ANSWERS = {"policy.approved": "approved", "policy.refused": "refused"}
_ENDS = frozenset({"policy.applied", "policy.withdrawn", "policy.overtaken"})
_GOES = {"person.suspended": "person", "member.left": "member"}
_COMES = {"person.resumed": "person", "member.returned": "member"}
_SIGNED = "agreement.signed"


@dataclass(frozen=True, slots=True)
class Vouched:
    """Who is suspended, which members have left, and (member, text, person) of every signature, by the ledger alone."""

    suspended: frozenset[str]
    left: frozenset[str]
    signed: frozenset[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class _Told:
    kind: str
    actor: str
    data: Mapping[str, object]


def vouched(session: Session) -> Vouched:
    """The last word of the ledger on each of them."""
    away: dict[str, set[str]] = {"person": set(), "member": set()}
    signed: set[tuple[str, str, str]] = set()
    for told in _told(session, (*_GOES, *_COMES, _SIGNED)):
        if told.kind == _SIGNED:
            signed.add((str(told.data.get("member")), str(told.data.get("document")), told.actor))
        elif told.kind in _GOES:
            what = _GOES[told.kind]
            away[what].add(str(told.data.get(what)))
        else:
            what = _COMES[told.kind]
            away[what].discard(str(told.data.get(what)))
    return Vouched(frozenset(away["person"]), frozenset(away["member"]), frozenset(signed))


def signatures(session: Session) -> list[SignatureRow]:
    """Every signature given here that the ledger tells of, the earliest first."""
    known = vouched(session).signed
    rows = session.exec(select(SignatureRow).order_by(col(SignatureRow.at))).all()
    return [row for row in rows if (row.member, row.document_sha256, row.person) in known]


def answers(session: Session, proposal: ProposalRow) -> list[ApprovalRow]:
    """Every answer to the proposal that the ledger tells of, the earliest first."""
    known = _answered(session, proposal)
    return [row for row in _rows(session, proposal) if known.get(row.person) == (row.answer, row.member)]


def require_in_ledger(session: Session, proposal: ProposalRow) -> None:
    """The ledger tells the same of this open proposal as the tables do.

    Raises Misconfigured, NOT_IN_LEDGER, when it was not proposed so, has ended, or has an answer that nobody gave.
    """
    known = list(_told(session, ("policy.proposed", "policy.refused", *_ENDS), proposal))
    proposed = {"revision": proposal.revision, "base": proposal.base, "document": proposal.document_sha256}
    if not any(
        told.kind == "policy.proposed"
        and told.actor == proposal.by
        and {name: told.data.get(name) for name in proposed} == proposed
        for told in known
    ):
        raise _unknown(f"The ledger does not know that {proposal.by} proposed {proposal.id} as it is stored")
    if any(told.kind in _ENDS or told.data.get("ends") is True for told in known):
        raise _unknown(f"The ledger says that {proposal.id} has ended")
    given = {row.person for row in answers(session, proposal)}
    strange = sorted(row.person for row in _rows(session, proposal) if row.person not in given)
    if strange:
        raise _unknown(f"The ledger does not know what {' and '.join(strange)} answered to {proposal.id}")


def _unknown(what: str) -> Misconfigured:
    return Misconfigured(f"{what}: somebody changed the database; it is refused.", code="NOT_IN_LEDGER")


def _rows(session: Session, proposal: ProposalRow) -> list[ApprovalRow]:
    query = select(ApprovalRow).where(ApprovalRow.proposal == proposal.id)
    return list(session.exec(query.order_by(col(ApprovalRow.at), col(ApprovalRow.person))).all())


def _answered(session: Session, proposal: ProposalRow) -> dict[str, tuple[str, str]]:
    """{person: (their last answer, their member)} to exactly this content."""
    return {
        told.actor: (_ANSWERS[told.kind], str(told.data.get("member")))
        for told in _told(session, tuple(_ANSWERS), proposal)
        if told.data.get("revision") == proposal.revision
    }


def _told(session: Session, kinds: tuple[str, ...], proposal: ProposalRow | None = None) -> Iterator[_Told]:
    """The entries of these kinds, the earliest first; one whose hash does not fit its content is none."""
    query = select(LedgerRow).where(col(LedgerRow.kind).in_(kinds))
    if proposal is not None:
        query = query.where(LedgerRow.subjects == json.dumps([proposal.id]))
    for row in session.exec(query.order_by(col(LedgerRow.number))).all():
        texts = (row.at, row.kind, row.actor, row.subjects, row.data, row.revision, row.previous)
        if digest(row.number, *texts) == row.hash:
            yield _Told(row.kind, row.actor, json.loads(row.data))
