"""Every read that the mailbox, the desk and the conversation show. What a person may not see is not there at all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from itertools import islice

from sqlmodel import Session, col, select

from server.domain import guard
from server.domain.agreement import EVERYONE, Person, Verb
from server.domain.decision import Act, Deed, decide
from server.domain.delivery import CURRENT, VISIBLE, SealedCopy, Status
from server.domain.notice import Button, Notice
from server.domain.retention import is_locked
from server.domain.schedule import current_period, day_words, open_periods
from server.exchange.address import goes_to_everyone
from server.exchange.approval import APPROVAL, approvers
from server.exchange.asking import ProposalView
from server.exchange.attested import personal, said_of
from server.exchange.certificates import Certificates
from server.exchange.corrections import Corrections
from server.exchange.digests import HEADINGS, Digests, told
from server.exchange.documents import Documents, Paper
from server.exchange.feeds import Feeds
from server.exchange.ground import Ground
from server.exchange.outbox_rows import still_listed
from server.exchange.revisions import Revisions
from server.exchange.sessions import Sessions, Visitor
from server.exchange.signing import Signing
from server.exchange.telling import (
    approval_buttons,
    held_buttons,
    lead_buttons,
    period_words,
    recipient_buttons,
    status_words,
)
from server.exchange.uploads import Uploads
from server.exchange.use_forms import UseForms
from server.exchange.yearly import Yearly
from server.store.duty_tables import AttestationRow
from server.store.tables import (
    ChecksumRow,
    ConsignmentRow,
    DeliveryRow,
    KeyPacketRow,
    NilRow,
    NoticeRow,
    RefusalRow,
    SuspensionRow,
)

NOTICES_SHOWN = 200
_WORDS = {
    "acknowledge": "acknowledged",
    "problem": "queried",
    "approve-ad-hoc": "approved",
    "refuse-ad-hoc": "refused",
    "approve-change": "approved",
    "refuse-change": "refused",
    "countersign": "countersigned",
    "approve-key": "approved",
    "refuse-key": "refused",
    "withdraw-key": "withdrawn",
    "accept-correction": "accepted",
    "decline-correction": "declined",
    "release-hold": "release",
}
"""What a button is called as a file in attest/, where it is not its verb."""
_FORMS = frozenset({"processed", "destroyed"})
"""Buttons whose twin in attest/ is a form of their own."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A file in the outbox as its sender sees it: the size the client sent, the time we received it."""

    name: str
    size: int
    at: datetime


@dataclass(frozen=True, slots=True)
class InboxFile:
    """A file in the inbox: the envelope of a delivery, or (with `paper`) its manifest."""

    name: str
    size: int
    at: datetime
    delivery: str
    paper: Paper | None


@dataclass(frozen=True, slots=True)
class NoticeView:
    """A notice as the desk shows it."""

    id: int
    notice: Notice
    at: datetime
    version: int


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """A delivery as one of the two members sees it; `words` is a clause about where it stands."""

    id: str
    consignment: str
    exchange: str
    exchange_title: str
    period: str
    period_words: str
    sender: str
    sender_name: str
    recipient: str
    recipient_name: str
    status: Status
    words: str
    rows: int | None
    warnings: int
    size: int
    sha256: str
    at: datetime
    use_by: str | None
    buttons: tuple[Button, ...]
    here: bool = True
    """Whether the exchange still has its sealed copy."""


@dataclass(frozen=True, slots=True)
class ColleagueView:
    """A person of the same member."""

    id: str
    name: str
    suspended: bool
    lift_asked_by: str | None


class Views:
    """Reads for one visitor (SFTP) or one person (desk, chat). Blocks; use a thread."""

    def __init__(
        self, ground: Ground, sessions: Sessions, uploads: Uploads, documents: Documents, revisions: Revisions,
        signing: Signing, forms: UseForms, corrections: Corrections, yearly: Yearly, certificates: Certificates,
        digests: Digests, feeds: Feeds,
    ) -> None:  # fmt: skip
        self._ground, self._sessions, self._uploads, self._documents = ground, sessions, uploads, documents
        self._revisions, self._signing, self._forms = revisions, signing, forms
        self._corrections, self._yearly, self._certificates = corrections, yearly, certificates
        self._feeds = feeds
        self._digests = digests

    def _may(self, visitor: Visitor, verb: Verb) -> bool:
        person = self._sessions.require(visitor)
        return not visitor.put_only and self._ground.policy.may(person, verb)

    def _reads(self, visitor: Visitor) -> bool:
        """Whether this visitor may read what was delivered to their member."""
        person = self._sessions.require(visitor)
        return not visitor.put_only and self._permits(Act.READ, person)

    def _permits(self, act: Act, person: Person, *, sent_by: str | None = None) -> bool:
        """The decision about a delivery to the person's own member."""
        now, facts = self._ground.now(), self._ground.facts
        deed = Deed(act, person.id, now, recipient=person.member, sent_by=sent_by, facts=facts)
        return decide(self._ground.policy, deed).permit

    # -- the mailbox: outbox

    def outbox_exchanges(self, visitor: Visitor) -> tuple[str, ...]:
        """The exchanges that this person may put files into: none that people do elsewhere (R-113)."""
        person = self._sessions.require(visitor)
        policy = self._ground.policy
        if not policy.may(person, "outbox.write"):
            return ()
        mine = (exchange for exchange in policy.exchanges if policy.takes_part(person.member, exchange))
        return tuple(exchange.id for exchange in mine if exchange.by_file)

    def outbox_periods(self, visitor: Visitor, exchange: str) -> tuple[str, ...]:
        """The open periods, newest first."""
        if exchange not in self.outbox_exchanges(visitor):
            return ()
        found = self._ground.exchange(exchange)
        months, within = self._ground.policy.use_by_months(found), found.covers_its_month
        return tuple(str(period) for period in open_periods(self._ground.now(), months, within=within))

    def outbox_folders(self, visitor: Visitor, exchange: str) -> tuple[str, ...]:
        """The members a file can be put in a folder of, and `everyone` where the exchange broadcasts."""
        if exchange not in self.outbox_exchanges(visitor):
            return ()
        policy, row = self._ground.policy, self._ground.exchange(exchange)
        members = [m.id for m in policy.members if m.id != visitor.member.id and policy.takes_part(m.id, row)]
        return (*members, EVERYONE) if goes_to_everyone(row) else tuple(members)

    def sent(self, visitor: Visitor, exchange: str, period: str, folder: str) -> tuple[Listed, ...]:
        """This person's files in an outbox folder ("" = the period's own), those still arriving included."""
        if exchange not in self.outbox_exchanges(visitor):
            return ()
        person, place = visitor.person.id, "/".join(part for part in (exchange, period, folder) if part)
        found: dict[str, Listed] = {}
        with self._ground.store.reading() as session:
            refused = self._refused_names(session, person, place)
            for listed in self._small(session, person, exchange, period, folder):
                found[listed.name.casefold()] = listed
            query = select(ConsignmentRow).where(
                ConsignmentRow.person == person, ConsignmentRow.exchange == exchange, ConsignmentRow.period == period,
                ConsignmentRow.folder == folder, still_listed(),
            ).order_by(col(ConsignmentRow.id))  # fmt: skip
            for row in session.exec(query).all():
                if refused.get(row.name_key, row.received_at) <= row.received_at:
                    found[row.name_key] = Listed(row.name, row.size, row.received_at)
        now = self._ground.now()
        for name, size in self._uploads.listed(person, tuple(place.split("/"))):
            found[name.casefold()] = Listed(name, size, now)
        return tuple(found.values())

    def _refused_names(self, session: Session, person: str, place: str) -> dict[str, datetime]:
        query = select(RefusalRow).where(
            RefusalRow.person == person, RefusalRow.place == place, col(RefusalRow.removed).is_(False)
        )
        return {row.name_key: row.at for row in session.exec(query).all()}

    def _small(self, session: Session, person: str, exchange: str, period: str, folder: str) -> list[Listed]:
        nils = session.exec(
            select(NilRow).where(
                NilRow.person == person, NilRow.exchange == exchange, NilRow.period == period,
                NilRow.folder == folder, col(NilRow.tidied).is_(False),
            )
        ).all()  # fmt: skip
        checksums = session.exec(
            select(ChecksumRow).where(
                ChecksumRow.person == person, ChecksumRow.exchange == exchange, ChecksumRow.period == period,
                ChecksumRow.folder == folder,
            )
        ).all()  # fmt: skip
        return [Listed(row.name, 0, row.at) for row in nils] + [Listed(r.name, r.size, r.at) for r in checksums]

    # -- the mailbox: inbox

    def inbox(self, visitor: Visitor) -> tuple[tuple[str, str, str], ...]:
        """(exchange, period, sender) of every folder that has something in it."""
        return tuple(sorted({(c.exchange, c.period, c.member) for _, c, _ in self._visible(visitor)}))

    def inbox_files(self, visitor: Visitor, exchange: str, period: str, sender: str) -> tuple[InboxFile, ...]:
        """Envelopes and manifests in one inbox folder."""
        files: list[InboxFile] = []
        for row, consignment, packets in self._visible(visitor):
            if (consignment.exchange, consignment.period, consignment.member) != (exchange, period, sender):
                continue
            at = row.available_at or consignment.received_at
            name = f"{row.id}_{sender}_{exchange}_{period}.{_ending(consignment.name)}.gpg"
            size = len(packets.packets) + consignment.payload_size
            files.append(InboxFile(name, size, at, row.id, None))
            manifest = self._documents.manifest(row, consignment, packets, name)
            for paper in (manifest, *self._documents.quality(row, consignment, name.removesuffix(".gpg"))):
                files.append(InboxFile(paper.name, paper.size, at, row.id, paper))
        return tuple(files)

    def _visible(self, visitor: Visitor) -> list[tuple[DeliveryRow, ConsignmentRow, KeyPacketRow]]:
        if not self._reads(visitor):
            return []
        query = (
            select(DeliveryRow, ConsignmentRow, KeyPacketRow)
            .where(
                col(DeliveryRow.consignment) == col(ConsignmentRow.id),
                col(KeyPacketRow.consignment) == col(ConsignmentRow.id),
                col(KeyPacketRow.member) == col(DeliveryRow.recipient),
                DeliveryRow.recipient == visitor.member.id,
                col(DeliveryRow.status).in_([status.value for status in VISIBLE]),
            )
            .order_by(col(DeliveryRow.id))
        )
        now = self._ground.now()
        with self._ground.store.reading() as session:
            return [found for found in session.exec(query).all() if not is_locked(found[0].use_by, now)]

    # -- the mailbox: papers

    def root(self, visitor: Visitor) -> tuple[Paper, ...]:
        """README.txt, DUE.txt and DUE.ics."""
        person = self._sessions.require(visitor)
        facts = {
            "person": person,
            "member": visitor.member,
            "agreement": self._ground.policy.agreement,
            "put_only": visitor.put_only,
            "may_send": self._ground.policy.may(person, "outbox.write"),
            "may_receive": self._reads(visitor),
            "exchanges": [self._ground.exchange(e) for e in self.outbox_exchanges(visitor)],
            "example": self._example(visitor),
            "period": str(current_period(self._ground.now())),
            "due": self._due_lines(visitor, person),
        }
        calendars = (self._feeds.paper(person),) if not visitor.put_only else ()
        return (
            self._documents.text("README.txt", "mailbox/README.txt", facts),
            self._documents.text("DUE.txt", "mailbox/DUE.txt", facts),
            *calendars,
        )

    def _example(self, visitor: Visitor) -> str:
        """A member that this person could send to, for the examples in README.txt."""
        folders = [name for e in self.outbox_exchanges(visitor) for name in self.outbox_folders(visitor, e)]
        return folders[0] if folders else "member"

    def _due_lines(self, visitor: Visitor, person: Person) -> list[str]:
        """What is to be done, as in the message of the day, then what was received and what waits for an answer."""
        items = self._digests.today(person.id) if not visitor.put_only else ()
        lines = [f"{HEADINGS[item.group]}: {item.label}: {told(item)}" for item in items]
        for view in self.received(person.id) if self._reads(visitor) else ():
            about = f"{view.id} from {view.sender_name}: {view.exchange_title}, {view.period_words}"
            named = any(f"{view.id} " in line for line in lines)
            if view.status in {Status.AVAILABLE, Status.COLLECTED, Status.QUERIED} and not named:
                lines.append(f"{about}: {view.words}")
            for step in [button.verb for button in view.buttons if button.verb in _FORMS]:
                by = f"by {day_words(date.fromisoformat(view.use_by))}" if view.use_by else "now"
                what = f"use it and destroy what is not yours, {by}" if step == "processed" else f"destroy, {by}"
                lines.append(f"{about}: {what}: attest/{view.id}.{step}.txt")
        for view in self.sent_deliveries(person.id):
            if view.status is Status.HELD:
                lines.append(f"{view.consignment} to {view.recipient_name} waits for your answer: {view.words}")
        return lines

    def receipts(self, visitor: Visitor) -> tuple[Paper, ...]:
        """A signed receipt (and what it was warned of) for every delivery that this member sent; the ledger's head."""
        if not self._may(visitor, "receipts.read"):
            return ()
        papers = [self._documents.heads()]
        with self._ground.store.reading() as session:
            pairs = session.exec(_sent_by(visitor.member.id)).all()
            said = said_of(session, [row.id for row, _ in pairs])
        head = self._ground.store.head()
        for row, consignment in pairs:
            papers.append(self._documents.receipt(row, consignment, head, said.get(row.id)))
            papers += self._documents.quality(row, consignment, row.id)
        return tuple(papers)

    def certificates(self, visitor: Visitor) -> tuple[Paper, ...]:
        """Every certificate about what this member sent or received: JSON and page, each with its signature."""
        if not self._may(visitor, "receipts.read"):
            return ()
        read = self._certificates.content
        return tuple(
            Paper(file.name, file.size, file.of.at, partial(read, file.of.id, file.ending))
            for file in self._certificates.files(visitor.member.id)
        )

    def refused(self, visitor: Visitor) -> tuple[Paper, ...]:
        """Why-files, as text and as a table."""
        self._sessions.require(visitor)
        query = select(RefusalRow).where(RefusalRow.person == visitor.person.id).order_by(col(RefusalRow.at).desc())
        with self._ground.store.reading() as session:
            rows = session.exec(query).all()
        papers: dict[str, Paper] = {}
        for row in rows:
            name = row.name if f"{row.name}.why.txt" not in papers else f"{row.name}.{row.place.replace('/', '_')}"
            for ending, content in (("txt", row.why), ("csv", row.csv)):
                papers[f"{name}.why.{ending}"] = Paper.of(f"{name}.why.{ending}", content.encode(), row.at)
        return tuple(papers.values())

    def attest(self, visitor: Visitor) -> tuple[Paper, ...]:
        """How to answer by a one-word file, with the names that would do something now; and forms to be filled in."""
        if visitor.put_only:
            return ()
        person = self._sessions.require(visitor)
        buttons = [b for v in (*self.received(person.id), *self.sent_deliveries(person.id)) for b in v.buttons]
        buttons += [b for view in self._open_changes(person) for b in view.buttons]
        buttons += [b for view in self._corrections.of_person(person.id) for b in view.buttons]
        names = [attest_file(b) for b in buttons if b.verb not in _FORMS]
        names += [f"agreement-{b.subject[:12]}.signed" for b in self._signing.document(person.id).buttons]
        how = self._documents.text("HOW.txt", "mailbox/HOW.txt", {"names": list(dict.fromkeys(names))})
        return (how, *self._forms.papers(person.id), *self._yearly.forms(person))

    def _open_changes(self, person: Person) -> tuple[ProposalView, ...]:
        return self._revisions.proposals(person.id) if self._revisions.concern(person.id) else ()

    def link(self, visitor: Visitor) -> tuple[Paper, ...]:
        """A one-time chat code, a one-time sign-in link, a calendar's address; each is made when it is read."""
        if visitor.put_only:
            return ()
        person, web_url = self._sessions.require(visitor), self._documents.web_url
        feed = (self._feeds.link(person, visitor.key, web_url),) if web_url else ()
        return (*self._documents.links(person, visitor.key), *feed)

    def templates(self, visitor: Visitor) -> tuple[Paper, ...]:
        """Header-only files with the agreed columns."""
        papers: list[Paper] = []
        for exchange_id in self.outbox_exchanges(visitor):
            exchange = self._ground.exchange(exchange_id)
            schema = self._ground.policy.schema_of(exchange)
            header = ",".join(schema.names) if schema else ""
            if header:
                papers.append(Paper.of(f"{exchange_id}.csv", f"{header}\r\n".encode(), self._ground.now()))
        return tuple(papers)

    def keys(self, visitor: Visitor) -> tuple[Paper, ...]:
        """The exchange's own public key: deliveries are signed with it."""
        self._sessions.require(visitor)
        return (Paper.of("exchange.asc", self._ground.key.armored.encode(), self._ground.now()),)

    def member_keys(self, visitor: Visitor) -> tuple[Paper, ...]:
        """The public keys that each member's files are sealed to."""
        self._sessions.require(visitor)
        now, papers = self._ground.now(), []
        for member in self._ground.policy.members:
            armour = "\n".join(key.armored.strip() for _, key in self._ground.policy.sealed_to(member.id))
            if armour:
                papers.append(Paper.of(f"{member.id}.asc", f"{armour}\n".encode(), now))
        return tuple(papers)

    def my_keys(self, visitor: Visitor) -> tuple[Paper, ...]:
        """This person's own public keys in the policy, and those they have proposed."""
        return self._documents.own_keys(self._sessions.require(visitor))

    # -- desk and chat

    def person(self, person_id: str) -> Person | None:
        """The person as the policy has them; None when unknown or suspended."""
        if not self._ground.has_policy or person_id in self._ground.suspended:
            return None
        return self._ground.policy.person(person_id)

    def _has_left(self, person_id: str) -> bool:
        """Whether the person's member has left: then nothing is shown but what they have to attest."""
        person = self._ground.policy.person(person_id)
        return person is not None and person.member in self._ground.facts.left

    def notices(self, person_id: str) -> tuple[NoticeView, ...]:
        """The person's notices, newest first; those of a member that they have left are not theirs any more."""
        person = self._ground.policy.person(person_id)
        if person is None:
            return ()
        gone = f"departure:{person.member}" if self._has_left(person_id) else None
        query = (
            select(NoticeRow)
            .where(NoticeRow.person == person_id)
            .order_by(col(NoticeRow.updated_at).desc(), col(NoticeRow.id).desc())
            .execution_options(yield_per=NOTICES_SHOWN)
        )
        with self._ground.store.reading() as session:
            told = ((row, Notice.from_json(row.body)) for row in session.exec(query))
            views = (
                NoticeView(row.id, notice, row.updated_at, row.version)
                for row, notice in told
                if row.id is not None and notice.concerns(person) and gone in {None, notice.thread}
            )
            return tuple(islice(views, NOTICES_SHOWN))

    def received(self, person_id: str) -> tuple[DeliveryView, ...]:
        """What the person's member has received, newest first; only what was released."""
        if self._has_left(person_id):
            return ()
        person = self._ground.person(person_id)
        if not (self._permits(Act.READ, person) or self._permits(Act.LOOK, person)):
            return ()
        query = (
            select(DeliveryRow, ConsignmentRow)
            .where(
                col(DeliveryRow.consignment) == col(ConsignmentRow.id),
                DeliveryRow.recipient == person.member,
                col(DeliveryRow.available_at).is_not(None),
            )
            .order_by(col(DeliveryRow.id).desc())
            .limit(500)
        )
        with self._ground.store.reading() as session:
            pairs = session.exec(query).all()
            said = said_of(session, [row.id for row, _ in pairs])
        acting = {c.person: self._permits(Act.ACKNOWLEDGE, person, sent_by=c.person) for _, c in pairs}
        policy, leads = self._ground.policy, self._permits(Act.COUNTERSIGN, person)
        return tuple(
            self._view(
                row, c,
                (*(recipient_buttons(row, personal=personal(policy, c.exchange)) if acting[c.person] else ()),
                 *(lead_buttons(row, said.get(row.id)) if leads else ())),
                said.get(row.id),
            )
            for row, c in pairs
        )  # fmt: skip

    def sent_deliveries(self, person_id: str) -> tuple[DeliveryView, ...]:
        """What the person's member has sent, newest first."""
        if self._has_left(person_id):
            return ()
        person = self._ground.person(person_id)
        policy = self._ground.policy
        if not (policy.may(person, "receipts.read") or policy.may(person, "status.read")):
            return ()
        with self._ground.store.reading() as session:
            pairs = session.exec(_sent_by(person.member).limit(500)).all()
            said = said_of(session, [row.id for row, _ in pairs])
        return tuple(self._view(row, c, self._sent_buttons(person, row, c), said.get(row.id)) for row, c in pairs)

    def _sent_buttons(self, person: Person, row: DeliveryRow, consignment: ConsignmentRow) -> tuple[Button, ...]:
        policy = self._ground.policy
        if row.status is Status.HELD:
            approves = consignment.hold == APPROVAL and person in approvers(
                policy, consignment.member, consignment.person
            )
            return (
                *(approval_buttons(consignment.id) if approves else ()),
                *(held_buttons(consignment) if policy.may(person, "outbox.write") else ()),
            )
        if policy.may(person, "recall") and row.status in {Status.SENT, Status.AVAILABLE}:
            return (Button("recall", "Recall", row.id, "danger"),)
        return ()

    def _view(
        self, row: DeliveryRow, consignment: ConsignmentRow, buttons: tuple[Button, ...],
        said: AttestationRow | None = None,
    ) -> DeliveryView:  # fmt: skip
        name = self._ground.called(row.recipient)
        words = status_words(row, consignment, name, self._ground.now(), said)
        if row.status is Status.HELD and consignment.hold_words:
            words = f"{words}. {consignment.hold_words}"
        return DeliveryView(
            row.id, consignment.id, consignment.exchange, self._ground.titled(consignment.exchange),
            consignment.period, period_words(consignment.period), consignment.member,
            self._ground.called(consignment.member), row.recipient, name, row.status, words, consignment.rows,
            consignment.warnings, consignment.size, consignment.sha256,
            row.available_at or consignment.received_at, row.use_by, buttons,
            row.copy_state is not SealedCopy.PURGED and row.status in CURRENT,
        )  # fmt: skip

    def colleagues(self, person_id: str) -> tuple[ColleagueView, ...]:
        """The people of the same member, the person themselves excepted."""
        me = self._ground.person(person_id)
        with self._ground.store.reading() as session:
            suspended = {row.person: row for row in session.exec(select(SuspensionRow)).all()}
        asked = {row.person: row.lift_asked_by for row in suspended.values() if self.person(row.lift_asked_by or "")}
        return tuple(
            ColleagueView(p.id, p.name, p.id in suspended, asked.get(p.id))
            for p in self._ground.policy.people_of(me.member)
            if p.id != person_id
        )


def attest_file(button: Button) -> str:
    """The file in attest/ that does what the button does: an empty one, or a form that lies there filled in."""
    if button.verb in _FORMS:
        return f"{button.subject}.{button.verb}.txt"
    return f"{button.subject}.{_WORDS.get(button.verb, button.verb)}"


def _sent_by(member: str):  # type: ignore[no-untyped-def]
    return (
        select(DeliveryRow, ConsignmentRow)
        .where(col(DeliveryRow.consignment) == col(ConsignmentRow.id), ConsignmentRow.member == member)
        .order_by(col(DeliveryRow.id).desc())
    )


def _ending(name: str) -> str:
    """The file's own extension when it is a plain one, else bin: no other part of a client's name goes further."""
    ending = guard.extension(name)
    return ending if ending.isascii() and ending.isalnum() and len(ending) <= 8 else "bin"
