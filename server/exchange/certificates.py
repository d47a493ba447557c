"""Certificates: of the end of the exchange's own sealed copy, and of a recipient's attestation. The two never merge.

Each is issued once, in the transaction of what it proves, as JSON and as a page, each with a detached signature.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import ColumnElement
from sqlalchemy import select as sql_select
from sqlalchemy.orm import load_only
from sqlmodel import Session, col, func, select
from sqlmodel.sql.expression import SelectOfScalar

from server.domain.errors import Missing
from server.domain.ledger import Event, text_of
from server.domain.schedule import in_words
from server.exchange.ground import Ground
from server.exchange.telling import period_words
from server.store import Tx
from server.store.duty_tables import CertificateRow
from server.store.tables import ConsignmentRow, DeliveryRow, LedgerRow

Kind = Literal["system", "recipient"]
LETTERS: Mapping[Kind, str] = {"system": "S", "recipient": "R"}
WHAT: Mapping[Kind, str] = {
    "system": "safehand certificate of disposal 1",
    "recipient": "safehand attestation of destruction 1",
}
PARTS: Mapping[Kind, str] = {"system": "disposal", "recipient": "attestation"}
"""Under which name the kind's own facts stand in the document."""
ISSUED = "certificate.issued"
_AT_A_TIME = 500
_FORMS = ("document", "document_signature", "page", "page_signature")
_FILE = re.compile(r"(?P<id>[SR]-\d{4}-\d{6,})_(?P<delivery>D-\d{4}-\d{6,})(?P<ending>\.(?:json|html)(?:\.asc)?)")
ENDINGS: Mapping[str, str] = dict(zip((".json", ".json.asc", ".html", ".html.asc"), _FORMS, strict=True))


@dataclass(frozen=True, slots=True)
class CertificateView:
    """A certificate as lists show it. `stem` is the name of its files without their endings."""

    id: str
    kind: Kind
    delivery: str
    version: int
    at: datetime

    @property
    def stem(self) -> str:
        return f"{self.id}_{self.delivery}"

    @property
    def words(self) -> str:
        """What it is, as people say it."""
        what = "certificate of disposal of the exchange's sealed copy"
        if self.kind == "recipient":
            what = "attestation of what the recipient did with its copies"
        return what if self.version == 1 else f"{what}, version {self.version}"


@dataclass(frozen=True, slots=True)
class CertificateFile:
    """One of a certificate's four files: which ending, and how many bytes."""

    of: CertificateView
    ending: str
    size: int

    @property
    def name(self) -> str:
        return self.of.stem + self.ending


class Certificates:
    """Issues certificates, and shows them to the two members that they are about."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._sizes: dict[str, tuple[int, ...]] = {}
        """Bytes of each certificate's four files; they never change."""

    def issue(self, tx: Tx, *, kind: Kind, delivery: DeliveryRow, document: Mapping[str, object]) -> str:
        """The id of the new certificate. `document`: the kind's own facts, as JSON can say them.

        Raises SealError when the exchange's key does not sign: then nothing of the transaction happened.
        """
        name = tx.next_id(LETTERS[kind], tx.now.year)
        version = 1 + (_last_version(tx.session, kind, delivery.id) or 0)
        full = self._facts(tx, kind, delivery, name, version) | {PARTS[kind]: dict(document)}
        text = json.dumps(full, indent=1, sort_keys=True) + "\n"
        digest = _sha256(text)
        page = self._page(kind, full, digest, tx.now)
        sign = self._ground.key.sign_detached
        tx.session.add(
            CertificateRow(
                id=name, kind=kind, delivery=delivery.id, version=version, at=tx.now,
                document=text, document_signature=sign(text.encode("ascii")).decode("ascii"),
                page=page, page_signature=sign(page.encode("ascii")).decode("ascii"),
            )
        )  # fmt: skip
        tx.session.flush()
        facts = {"kind": kind, "version": version, "json_sha256": digest, "page_sha256": _sha256(page)}
        tx.record(Event(ISSUED, "exchange", (name, delivery.id), facts))
        return name

    def _facts(self, tx: Tx, kind: Kind, delivery: DeliveryRow, name: str, version: int) -> dict[str, object]:
        """What both kinds say: about which delivery, under which text, at which place in the ledger, by whose key."""
        consignment = tx.session.get(ConsignmentRow, delivery.consignment)
        if consignment is None:
            raise ValueError(f"{delivery.id} has no consignment")
        policy = self._ground.kept(tx.session, consignment.revision)
        number, digest = tx.head
        return {
            "what": WHAT[kind],
            "certificate": name,
            "version": version,
            "delivery": delivery.id,
            "consignment": consignment.id,
            "exchange": consignment.exchange,
            "exchange_title": self._ground.titled(consignment.exchange),
            "period": consignment.period,
            "sender": consignment.member,
            "sender_name": self._ground.called(consignment.member),
            "recipient": delivery.recipient,
            "recipient_name": self._ground.called(delivery.recipient),
            "agreement": {
                "id": policy.agreement.id,
                "title": policy.agreement.title,
                "version": policy.agreement.version,
                "sha256": policy.document_sha256,
            },
            "shared_under_revision": consignment.revision,
            "issued_under_revision": tx.revision,
            "issued_at": text_of(tx.now),
            "ledger_head": {"entry": f"{number:012d}", "hash": digest},
            "exchange_key": self._ground.key.fingerprint,
        }

    def _page(self, kind: Kind, full: Mapping[str, object], digest: str, now: datetime) -> str:
        """The page with the same facts; ASCII, so that no mail gateway changes a byte of it."""
        facts = {
            "c": full,
            "own": full[PARTS[kind]],
            "json_sha256": digest,
            "issued": in_words(now),
            "period": period_words(str(full["period"])),
        }
        page = self._ground.notices.page(f"certificates/{kind}.html", facts)
        return page.encode("ascii", "xmlcharrefreplace").decode("ascii")

    # -- reading

    def of_member(self, session: Session, member: str) -> tuple[CertificateView, ...]:
        """Every certificate about what the member sent, or received and could see; oldest first."""
        rows = session.exec(_listed().where(_concerns(member))).all()
        return tuple(_view(row) for row in rows)

    def of_delivery(self, session: Session, member: str, delivery: str) -> tuple[CertificateView, ...]:
        """Those about one delivery that the member may see."""
        rows = session.exec(_listed().where(_concerns(member), CertificateRow.delivery == delivery)).all()
        return tuple(_view(row) for row in rows)

    def seen(self, person_id: str, delivery: str) -> tuple[CertificateView, ...]:
        """Those about a delivery that the person may read; none for whom the papers of their member are closed."""
        person = self._ground.person(person_id)
        if not self._ground.policy.may(person, "receipts.read"):
            return ()
        with self._ground.store.reading() as session:
            return self.of_delivery(session, person.member, delivery)

    def download(self, person_id: str, file: str) -> bytes:
        """One of the four files by its name, for who may read it. Raises Missing, whatever the reason."""
        found = _FILE.fullmatch(file)
        if found is None or found["id"] not in {view.id for view in self.seen(person_id, found["delivery"])}:
            raise Missing("There is no such certificate that you may see.")
        return self.content(found["id"], found["ending"])

    def all(self) -> tuple[CertificateView, ...]:
        """Every certificate, oldest first: for the operator."""
        with self._ground.store.reading() as session:
            return tuple(_view(row) for row in session.exec(_listed()).all())

    def content(self, name: str, ending: str) -> bytes:
        """One of a certificate's four files, by its ending (".json", ".html.asc" …). Raises Missing."""
        form = ENDINGS.get(ending)
        with self._ground.store.reading() as session:
            row = session.get(CertificateRow, name)
        if row is None or form is None:
            raise Missing("There is no such certificate.")
        return str(getattr(row, form)).encode("ascii")

    def complete(self, name: str) -> dict[str, bytes]:
        """{file name: content} of a certificate's four files. Raises Missing."""
        with self._ground.store.reading() as session:
            row = session.get(CertificateRow, name)
        if row is None:
            raise Missing("There is no such certificate.")
        return {_view(row).stem + ending: self.content(name, ending) for ending in ENDINGS}

    def recorded(self, name: str) -> tuple[int, dict[str, object]] | None:
        """The number of the ledger's entry with which it was issued, and its facts; None when there is none."""
        query = select(LedgerRow).where(LedgerRow.kind == ISSUED, col(LedgerRow.subjects).startswith(f'["{name}"'))
        with self._ground.store.reading() as session:
            row = session.exec(query).first()
        return (row.number, json.loads(row.data)) if row is not None else None

    def files(self, member: str) -> tuple[CertificateFile, ...]:
        """The four files of each certificate of the member, without their texts: those may be many."""
        with self._ground.store.reading() as session:
            views = self.of_member(session, member)
            self._measure(session, [view.id for view in views if view.id not in self._sizes])
        return tuple(
            CertificateFile(view, ending, size)
            for view in views
            for ending, size in zip(ENDINGS, self._sizes[view.id], strict=True)
        )

    def _measure(self, session: Session, names: list[str]) -> None:
        """The texts are ASCII: as many bytes as characters."""
        lengths = [func.length(getattr(CertificateRow, form)) for form in _FORMS]
        for some in (names[start : start + _AT_A_TIME] for start in range(0, len(names), _AT_A_TIME)):
            query = sql_select(col(CertificateRow.id), *lengths).where(col(CertificateRow.id).in_(some))
            self._sizes |= {row[0]: tuple(row)[1:] for row in session.connection().execute(query)}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _last_version(session: Session, kind: Kind, delivery: str) -> int | None:
    query = select(func.max(CertificateRow.version)).where(
        CertificateRow.kind == kind, CertificateRow.delivery == delivery
    )
    return session.exec(query).one()


def _listed() -> SelectOfScalar[CertificateRow]:
    """The rows without their four texts, which stay in the database until they are asked for."""
    light = [getattr(CertificateRow, name) for name in ("id", "kind", "delivery", "version", "at")]
    return (
        select(CertificateRow)
        .options(load_only(*light))
        .join(DeliveryRow, col(DeliveryRow.id) == col(CertificateRow.delivery))
        .join(ConsignmentRow, col(ConsignmentRow.id) == col(DeliveryRow.consignment))
        .order_by(col(CertificateRow.at), col(CertificateRow.id))
    )


def _concerns(member: str) -> ColumnElement[bool]:
    """Its sender; and its recipient, once it was released: what it never saw leaves no trace there."""
    received = (col(DeliveryRow.recipient) == member) & col(DeliveryRow.available_at).is_not(None)
    return (col(ConsignmentRow.member) == member) | received


def _view(row: CertificateRow) -> CertificateView:
    kind: Kind = "system" if row.kind == "system" else "recipient"
    return CertificateView(row.id, kind, row.delivery, row.version, row.at)
