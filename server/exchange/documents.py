"""The mailbox's small documents: receipts, manifests, heads, links. Their sizes are known before they are signed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from sqlmodel import select

from server import papers
from server.domain.agreement import Person, PolicySet
from server.domain.heads import Head
from server.domain.ledger import text_of
from server.exchange.anchors import Anchor, Anchors
from server.exchange.findings import FindingView
from server.exchange.ground import Ground
from server.exchange.people import People
from server.exchange.proposed_keys import OPEN
from server.exchange.quality import Quality
from server.exchange.sessions import fingerprint
from server.exchange.telling import period_words
from server.store.duty_tables import AttestationRow
from server.store.tables import ConsignmentRow, DeliveryRow, KeyPacketRow, KeyProposalRow


@dataclass(frozen=True, slots=True)
class Paper:
    """A small document: its size is known at once, its content is made when it is read (which may block)."""

    name: str
    size: int
    at: datetime
    content: Callable[[], bytes]

    @classmethod
    def of(cls, name: str, content: bytes, at: datetime) -> Paper:
        """A document whose content is there already."""
        return cls(name, len(content), at, lambda: content)


class Documents:
    """Makes papers from rows."""

    def __init__(self, ground: Ground, people: People, anchors: Anchors) -> None:
        self._ground, self._people, self._anchors = ground, people, anchors
        self._sign = lru_cache(maxsize=2048)(ground.key.sign_detached)
        self._quality = lru_cache(maxsize=512)(self._quality_texts)
        self.web_url = ""
        """Where the desk is; empty: none is offered."""

    def text(self, name: str, template: str, facts: Mapping[str, object]) -> Paper:
        """A rendered text, with Windows line ends: most readers open it in Notepad."""
        body = self._ground.notices.text(template, facts).replace("\r\n", "\n").replace("\n", "\r\n") + "\r\n"
        return Paper.of(name, body.encode(), self._ground.now())

    def manifest(self, row: DeliveryRow, consignment: ConsignmentRow, packets: KeyPacketRow, file: str) -> Paper:
        """What is in an envelope, for its recipient and the authorities that it receives for; signed."""
        policy = self._ground.of_revision(consignment.revision)
        document = {
            "what": "safehand manifest 1",
            "delivery": row.id,
            "file": file,
            "sender": consignment.member,
            "recipient": row.recipient,
            "on_behalf_of": list(policy.member_by_id[row.recipient].on_behalf_of),
            "exchange": consignment.exchange,
            "period": consignment.period,
            "plaintext": {"sha256": consignment.sha256, "bytes": consignment.size, "rows": consignment.rows},
            "quality": _quality_facts(consignment),
            "payload": {
                "sha256": consignment.payload_sha256,
                "bytes": consignment.payload_size,
                "offset": len(packets.packets),
            },
            "sealed_to": packets.fingerprints.split(","),
            "received_at": text_of(consignment.received_at),
            "available_at": text_of(row.available_at) if row.available_at else None,
            "use_by": row.use_by,
            **_terms(policy, consignment),
            "exchange_key": self._ground.key.fingerprint,
        }
        return self._signed(
            f"{file.removesuffix('.gpg')}.manifest.json", document, row.available_at or self._ground.now()
        )

    def receipt(
        self, row: DeliveryRow, consignment: ConsignmentRow, head: tuple[int, str, str],
        said: AttestationRow | None = None,
    ) -> Paper:  # fmt: skip
        """What was received from the sender, where it stands and what its recipient said; signed, with the head."""
        number, digest, _ = head
        policy = self._ground.of_revision(consignment.revision)
        moments = {
            "received": consignment.received_at, "available": row.available_at, "collected": row.collected_at,
            "acknowledged": row.acknowledged_at, "ended": row.ended_at,
        }  # fmt: skip
        document = {
            "what": "safehand receipt 1",
            "delivery": row.id,
            "consignment": consignment.id,
            "sender": consignment.member,
            "sent_by": consignment.person,
            "recipient": row.recipient,
            "exchange": consignment.exchange,
            "period": consignment.period,
            "plaintext": {"sha256": consignment.sha256, "bytes": consignment.size, "rows": consignment.rows},
            "quality": _quality_facts(consignment),
            "payload_sha256": consignment.payload_sha256,
            "state": str(row.status),
            "times": {name: text_of(moment) if moment else None for name, moment in moments.items()},
            "collected_by": row.collected_by,
            "acknowledged_by": row.acknowledged_by,
            "controller": row.controller,
            "controller_from": text_of(row.controller_from) if row.controller_from else None,
            "superseded_by": row.superseded_by,
            "use": _use_facts(row, said),
            **_terms(policy, consignment),
            "ledger_head": {"entry": f"{number:012d}", "hash": digest},
            "exchange_key": self._ground.key.fingerprint,
        }
        return self._signed(f"{row.id}.receipt.json", document, consignment.received_at)

    def quality(self, row: DeliveryRow, consignment: ConsignmentRow, stem: str) -> tuple[Paper, ...]:
        """What the file was warned of, as text and as a table; nothing where nothing is to be said."""
        if consignment.quality is None:
            return ()
        about = (consignment.exchange, consignment.period, consignment.member, row.recipient, consignment.revision)
        text, table = self._quality(consignment.quality, row.id, *about)
        at = row.available_at or consignment.received_at
        return Paper.of(f"{stem}.quality.txt", text, at), Paper.of(f"{stem}.quality.csv", table, at)

    def _quality_texts(
        self, told: str, delivery: str, exchange: str, period: str, sender: str, recipient: str, revision: str
    ) -> tuple[bytes, bytes]:
        quality = Quality.from_json(told)
        represented = {each.la for each in self._ground.of_revision(revision).member_by_id[recipient].represents}
        facts = {
            "quality": quality,
            "delivery": delivery,
            "title": self._ground.titled(exchange),
            "period": period_words(period),
            "sender": self._ground.called(sender),
            "recipient": self._ground.called(recipient),
            "percent": quality.verified_percent,
            "relevant": quality.relevant(represented),
        }
        text = self.text("quality.txt", "mailbox/quality.txt", facts).content()
        return text, papers.findings_csv(quality.findings).encode()

    def _signed(self, name: str, document: Mapping[str, object], at: datetime, shown: Sequence[str] = ()) -> Paper:
        size = papers.signed_size(document, shown)
        return Paper(name, size, at, lambda: papers.signed(document, self._sign, shown))

    def heads(self) -> Paper:
        """The ledger's head as of now and at the beginning of every day, signed; and whether it was ever rewritten."""
        number, digest, at = self._ground.store.head()
        anchors, broken = self._anchors.anchors(), self._anchors.broken()
        document = {
            "what": "safehand ledger head 1",
            "entry": f"{number:012d}",
            "hash": digest,
            "at": at,
            "anchors": [
                {"day": a.day, "entry": f"{a.head.number:012d}", "hash": a.head.hash, "at": text_of(a.at),
                 "after_break": a.after_break}
                for a in anchors
            ],
            "break": {"found_at": text_of(broken.at), "words": broken.words} if broken else None,
            "exchange_key": self._ground.key.fingerprint,
        }  # fmt: skip
        return self._signed("heads.txt", document, self._ground.now(), _heads_shown((number, digest), anchors, broken))

    def links(self, person: Person, key: str) -> tuple[Paper, ...]:
        """One-time codes of a known length; each is made, and recorded, when its file is read."""
        now = self._ground.now()
        chat = "{}\r\n\r\nOne-time code, good for an hour. In Slack: /safehand link CODE\r\n"
        found = [
            Paper(
                "chat-code.txt",
                len(chat.format("x" * 12)),
                now,
                lambda: chat.format(self._people.code("chat", person, via_key=key)).encode(),
            )
        ]
        if self.web_url:
            desk = (
                self.web_url.rstrip("/")
                + "/desk/in/{}\r\n\r\nOne-time sign-in link for the desk, good for an hour.\r\n"
            )
            found.append(
                Paper(
                    "desk-link.txt",
                    len(desk.format("x" * 43)),
                    now,
                    lambda: desk.format(self._people.code("desk", person, via_key=key)).encode(),
                )
            )
        return tuple(found)

    def own_keys(self, person: Person) -> tuple[Paper, ...]:
        """The person's public keys in the policy, and those proposed."""
        now = self._ground.now()
        found = [Paper.of(f"{key.fingerprint}.asc", key.armored.encode(), now) for key in person.gpg_keys]
        for own in person.ssh_keys:
            mark = fingerprint(own.public).removeprefix("SHA256:")[:12].replace("/", "_").replace("+", "-")
            found.append(Paper.of(f"ssh-{mark}.pub", f"{own.public}\n".encode(), now))
        query = select(KeyProposalRow).where(KeyProposalRow.person == person.id, KeyProposalRow.status == OPEN)
        with self._ground.store.reading() as session:
            rows = session.exec(query).all()
        taken = {paper.name for paper in found}
        return (*found, *(Paper.of(r.name, r.text.encode(), r.at) for r in rows if r.name not in taken))


def _heads_shown(head: tuple[int, str], anchors: Sequence[Anchor], broken: FindingView | None) -> list[str]:
    """The same for people, the latest first."""
    lines = ["The ledger's heads. Keep this file: safehand ledger verify --head FILE holds the ledger to it."]
    if broken is not None:
        lines.append(f"THE LEDGER WAS REWRITTEN, found {broken.at:%Y-%m-%d %H:%M}Z. {broken.words}")
    lines.append(f"now         {Head(*head).words}")
    for anchor in reversed(anchors):
        lines.append(f"{anchor.day}  {anchor.head.words}{'  (after the break)' if anchor.after_break else ''}")
    return lines


def _terms(policy: PolicySet, consignment: ConsignmentRow) -> dict[str, object]:
    """The words it was shared under: the agreement's version and text, its purposes, and that it goes no further."""
    agreement, exchange = policy.agreement, policy.exchange(consignment.exchange)
    return {
        "revision": consignment.revision,
        "policy": policy.policy.version,
        "agreement": {"id": agreement.id, "version": agreement.version, "sha256": policy.document_sha256},
        "purposes": sorted(exchange.purposes) if exchange else [],
        "onward_disclosure": agreement.onward_disclosure,
    }


def _quality_facts(consignment: ConsignmentRow) -> dict[str, object]:
    """How many warnings the file was delivered with, in all and by rule."""
    counts = dict(Quality.from_json(consignment.quality).counts) if consignment.quality else {}
    return {"warnings": consignment.warnings, "by_rule": counts}


def _use_facts(row: DeliveryRow, said: AttestationRow | None) -> dict[str, object]:
    """What the recipient said of its own copy, as numbers (R-082)."""
    if said is None:
        return {"state": str(row.use_state)}
    return {
        "state": str(row.use_state),
        "received": said.received,
        "kept": said.kept,
        "not_relevant": said.not_ours,
        "rejected": said.rejected,
        "processed_at": text_of(said.processed_at),
        "destroyed_at": text_of(said.destroyed_at) if said.destroyed_at else None,
    }
