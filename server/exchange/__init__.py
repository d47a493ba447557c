"""What Safehand does: one module a life cycle, and the Exchange that holds them together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from sqlmodel import col, select

from server.domain.agreement import PolicySet
from server.domain.errors import Misconfigured
from server.domain.ledger import Event
from server.exchange.acknowledgement import Acknowledgements
from server.exchange.ad_hoc import AdHoc
from server.exchange.amendments import Amendments
from server.exchange.anchors import Anchors
from server.exchange.attest import Attest
from server.exchange.away import AbsenceChase, Absences
from server.exchange.certificates import Certificates
from server.exchange.chased import Chased
from server.exchange.chasing import AcknowledgementChase, Nudges
from server.exchange.clock import Clock
from server.exchange.collection import Collection
from server.exchange.condition import Condition
from server.exchange.corrections import Corrections
from server.exchange.coverage import Coverage
from server.exchange.delivery import Deliveries
from server.exchange.departures import Departures
from server.exchange.digests import Digests
from server.exchange.dispatch import Dispatch
from server.exchange.disposal import Disposal
from server.exchange.documents import Documents
from server.exchange.evidence import Evidence
from server.exchange.feeds import Feeds
from server.exchange.findings import Findings
from server.exchange.fulfilment import Fulfilment
from server.exchange.ground import Ground
from server.exchange.holds import Holds
from server.exchange.intake import Intake
from server.exchange.keys import Keys
from server.exchange.letters import Letters
from server.exchange.nil_returns import NilReturns
from server.exchange.obligations import Obligations
from server.exchange.outbox import Outbox
from server.exchange.pacing import Pacing
from server.exchange.people import People
from server.exchange.reconciliation import Reconciliation
from server.exchange.refusals import Refusals
from server.exchange.reminders import Reminders
from server.exchange.renewals import Renewals
from server.exchange.retention import Retention
from server.exchange.reviews import Reviews
from server.exchange.revisions import Revisions
from server.exchange.sessions import Sessions
from server.exchange.signing import Signing
from server.exchange.snoozing import Snoozes
from server.exchange.status import Status
from server.exchange.telling import Telling
from server.exchange.uploads import Uploads
from server.exchange.uptime import Uptime
from server.exchange.use import UseOfCopies
from server.exchange.use_chase import UseChase
from server.exchange.use_forms import UseForms
from server.exchange.views import Views
from server.exchange.yearly import Yearly
from server.notices import Notices
from server.seal.exchange_key import ExchangeKey
from server.seal.gpg import SealError
from server.store import Spool, Store
from server.store.migrate import migrate, require_current
from server.store.tables import ConsignmentRow

__all__ = ["Exchange"]


class Exchange:
    """One exchange in one data directory. Its verbs block: call them in threads."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.sessions = Sessions(ground)
        self.certificates, self.findings = Certificates(ground), Findings(ground)
        telling, self.disposal = Telling(ground), Disposal(ground, self.certificates)
        disposal = self.disposal
        self.collection = Collection(ground, self.sessions, telling)
        fulfilment = Fulfilment(ground)
        nil_returns = NilReturns(ground, fulfilment)
        self.uptime, self.obligations = Uptime(ground), Obligations(ground, fulfilment, nil_returns)
        self.delivery = Deliveries(ground, telling, disposal, self.collection, fulfilment)
        dispatch, self.uploads = Dispatch(ground, self.delivery), Uploads()
        refusals = Refusals(ground)
        self.intake = Intake(
            ground, self.sessions, self.delivery, disposal, refusals, dispatch, self.uploads, nil_returns
        )
        self._refusals = refusals
        self.amendments = Amendments(ground, self.sessions, self.delivery, disposal, dispatch, refusals, self.uploads)
        self.acknowledgement = Acknowledgements(ground, telling, fulfilment)
        self.ad_hoc = AdHoc(ground, self.delivery)
        self.revisions, self.signing = Revisions(ground), Signing(ground)
        self.corrections, self.yearly = Corrections(ground), Yearly(ground)
        self.holds = Holds(ground, self.findings)
        self.retention = Retention(ground, self.delivery, self.findings)
        self.use = UseOfCopies(ground, telling, self.certificates)
        self.use_forms = UseForms(ground, self.use)
        self.absences, self.nudges = Absences(ground), Nudges(ground)
        self.attest = Attest(
            self.sessions, self.delivery, self.acknowledgement, self.ad_hoc, self.revisions, self.signing,
            self.corrections, self.use, self.use_forms, self.yearly, self.holds, self.absences, self.nudges,
            self.obligations,
        )  # fmt: skip
        self.keys = Keys(ground, self.sessions, self.revisions)
        self.people = People(ground)
        self.anchors, self.reconciliation = Anchors(ground, self.findings), Reconciliation(ground, self.findings)
        self.documents = Documents(ground, self.people, self.anchors)
        self.renewals = Renewals(ground)
        self.chased: tuple[Chased, ...] = (
            self.obligations,
            AcknowledgementChase(ground),
            AbsenceChase(ground),
            UseChase(ground),
            self.holds,
            self.corrections,
            self.yearly,
            self.renewals,
        )
        self.reminders = Reminders(ground, self.chased, self.findings)
        self.digests = Digests(ground, self.chased)
        self.snoozes = Snoozes(ground, self.digests)
        self.feeds = Feeds(ground, self.people, self.digests)
        self.views = Views(
            ground, self.sessions, self.uploads, self.documents, self.revisions, self.signing, self.use_forms,
            self.corrections, self.yearly, self.certificates, self.digests, self.feeds,
        )  # fmt: skip
        self.pacing = Pacing(ground)
        self.outbox, self.letters = Outbox(ground, self.pacing), Letters(ground, self.pacing, self.findings)
        self.reviews = Reviews(ground)
        self.departures = Departures(ground)
        self.evidence = Evidence(ground)
        self.clock = Clock(ground)
        self.condition = Condition(ground)
        self.coverage, self.status = Coverage(ground), Status(ground, self.yearly)

    @classmethod
    def create(
        cls, data: Path, *, database_url: str, templates: Path, name: str = "Safehand exchange",
        at: datetime | None = None,
    ) -> None:  # fmt: skip
        """`safehand init`: tables, and the exchange's own signing key. May be repeated.

        A demo's first entry is of `at`, where its clock begins; else of real time.
        """
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        store = Store(database_url)
        migrate(store)
        secret = data / "secrets" / "signing-passphrase"
        secret.parent.mkdir(mode=0o700, exist_ok=True)
        key = _own_key(data / "gnupg", secret, name, fresh=store.head()[0] == 0)
        ground = Ground(data, store, Spool(data / "spool"), key, Notices(templates))
        if store.head()[0] == 0:
            if at is not None:
                Clock(ground).set(at)
            with ground.transaction() as tx:
                tx.record(Event("exchange.initialised", "operator", (), {"exchange_key": key.fingerprint}))
        key.close()
        store.close()

    @classmethod
    def open(cls, data: Path, *, database_url: str, templates: Path) -> Exchange:
        """The exchange that `create` made. Raises Misconfigured when there is none, or others may read its secrets."""
        store = Store(database_url)
        require_current(store)
        key = ExchangeKey.open(data / "gnupg", data / "secrets" / "signing-passphrase")
        ground = Ground(data, store, Spool(data / "spool"), key, Notices(templates))
        ground.refresh()
        return cls(ground)

    @property
    def policy(self) -> PolicySet:
        """The policy set in force. Raises Misconfigured when there is none."""
        return self.ground.policy

    @property
    def revision(self) -> str:
        return self.ground.in_force.revision

    def now(self) -> datetime:
        """The exchange's clock."""
        return self.ground.now()

    def refresh(self) -> bool:
        """Look at what other processes wrote: revision, suspensions, clock."""
        return self.ground.refresh()

    @property
    def duties(self) -> dict[str, Callable[[], object]]:
        """What is looked at every second, each by itself: one that fails does not stop the others."""
        return {
            "heartbeat": self.uptime.beat,
            "obligations": self.obligations.make,
            "obligations-due": self.obligations.close_due,
            "release": self.delivery.release_due,
            "collections": self.collection.settle_owed,
            "uploads": self.intake.give_up,
            "refusals": self._refusals.say_unsaid,
            "approvals": self.ad_hoc.end_due,
            "corrections": self.corrections.settle,
            "keys": self.keys.tend,
            "signatures": self.signing.ask_unsigned,
            "departures": self.departures.remind,
            "overdue": self.use.note_overdue,
            "anchors": self.anchors.anchor_due,
            "reconciliation": self.reconciliation.look_due,
            "disposal": self.retention.clear_due,
            "purges": self.disposal.finish,
            "reminders": self.reminders.remind_due,
            "pacing": self.pacing.pace,
            "digests": self.digests.write_in_time,
        }

    def tick(self) -> None:
        """Everything whose time has come."""
        if not self.ground.has_policy:
            return
        for act in self.duties.values():
            act()
        self.digests.write_due()

    def recover(self, *, older_than: float = 0) -> list[str]:
        """Spool against rows, at the start (or files `older_than` seconds); what was found, in sentences."""
        with self.ground.store.reading() as session:
            rows = session.exec(select(ConsignmentRow.blob, col(ConsignmentRow.blob_gone))).all()
        kept = {blob for blob, gone in rows if not gone}
        found = self.ground.spool.recover(kept, {blob for blob, gone in rows if gone}, older_than=older_than)
        said = [
            (len(found.finished), "sealed file(s) got their final name"),
            (len(found.deleted), "unfinished or purged file(s) were deleted"),
            (len(found.strangers), "sealed file(s) have no row; they are kept and need a look"),
            (len(found.missing), "sealed file(s) are missing from the spool"),
        ]
        sentences = [f"{count} {words}." for count, words in said if count]
        if sentences:
            facts = dict(zip(("finished", "deleted", "strangers", "missing"), (n for n, _ in said), strict=True))
            with self.ground.transaction() as tx:
                tx.record(Event("spool.recovered", "exchange", (), facts))
        return sentences

    def close(self) -> None:
        """End what is open: uploads, the signing agent, the database."""
        self.uploads.abandon_all()
        self.ground.key.close()
        self.ground.store.close()


def _own_key(home: Path, secret: Path, name: str, *, fresh: bool) -> ExchangeKey:
    """The signing key made before, or a new one; one whose making was cut short only while the ledger is empty."""
    if secret.exists():
        try:
            return ExchangeKey.open(home, secret)
        except SealError as error:
            if not fresh or error.code != "KEY_MISSING":
                raise
    if not fresh:
        raise Misconfigured(
            "This database has a ledger already, but the data folder lacks its signing key: name the data folder that "
            "belongs to it, or another database.",
            code="NOT_ITS_DATABASE",
        )
    return ExchangeKey.create(home, secret, name)
