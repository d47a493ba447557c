"""One transaction writes states, ledger entries and notices together; there is no other way to write."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session, col, select

from server.domain import ledger
from server.domain.errors import Busy, Misconfigured, Refused
from server.domain.notice import Notice
from server.store.tables import CounterRow, HeadRow, LedgerRow, NoticeRow

BUSY = "The exchange's database is busy or away; nothing was changed. Try again in a minute."
T = TypeVar("T")
_FOUND = "found"
_WAIT_SECONDS = 8
UNDEFINED_TABLE = "42P01"
"""PostgreSQL's own code for it; its driver is loaded only where it is used."""
_POSTGRESQL = {
    "connect_timeout": 5,
    "tcp_user_timeout": _WAIT_SECONDS * 1000,
    "options": f"-c lock_timeout={_WAIT_SECONDS}s",
}
"""Whoever waits for PostgreSQL is told within ten seconds: no answer, a lost network, a lock that somebody holds."""


class Tx:
    """An open write transaction: the session, and the three ways of adding to the record."""

    def __init__(self, session: Session, head: HeadRow, now: datetime, revision: str) -> None:
        self.session, self.now, self.revision = session, max(now, ledger.moment_of(head.at)), revision
        self._head = head
        self._afterwards: dict[str, Callable[[], None]] = {}

    @property
    def head(self) -> tuple[int, str]:
        """Number and hash of the ledger's last entry, those of this transaction included."""
        return self._head.number, self._head.hash

    def after(self, name: str, act: Callable[[], None]) -> None:
        """Do this once the transaction is committed, and never if it is not; one act a name.

        What it raises as Busy or OSError is let go: the commit stands, and the next look at the spool repeats it.
        """
        self._afterwards[name] = act

    def committed(self) -> None:
        """The transaction is committed, and its locks are free."""
        for act in self._afterwards.values():
            with suppress(Busy, OSError):
                act()

    def record(self, event: ledger.Event) -> int:
        """Append the event to the ledger; its number. Times never run backwards."""
        at = max(self.now, ledger.moment_of(self._head.at))
        number = self._head.number + 1
        entry = ledger.entry(event, number=number, at=at, revision=self.revision, previous=self._head.hash)
        self.session.add(LedgerRow(**{name: getattr(entry, name) for name in ledger.Entry.__dataclass_fields__}))
        self._head.number, self._head.hash, self._head.at = number, entry.hash, entry.at
        self.session.add(self._head)
        return number

    def notify(self, notice: Notice, *, about: int) -> None:
        """Write the notice, or put it in the place of the person's earlier one of the same thread."""
        query = select(NoticeRow).where(NoticeRow.person == notice.person, NoticeRow.thread == notice.thread)
        row = self.session.exec(query).first()
        body = notice.to_json()
        if row is None:
            row = NoticeRow(
                person=notice.person,
                thread=notice.thread,
                body=body,
                created_at=self.now,
                updated_at=self.now,
                about=about,
            )
        elif row.body != body:
            row.body, row.updated_at, row.about = body, self.now, about
            row.version += 1
            if row.joins:  # it never was a message of its own: what it says is news, and told as news are
                row.send_at, row.joins = None, ""
        self.session.add(row)
        self.session.flush()

    def next_id(self, prefix: str, year: int) -> str:
        """The next id of this kind: D-2026-000417."""
        name = f"{prefix}-{year}"
        row = self.session.get(CounterRow, name) or CounterRow(name=name, last=0)
        row.last += 1
        self.session.add(row)
        self.session.flush()
        return f"{name}-{row.last:06d}"


class Store:
    """A database by its URL: SQLite (WAL, synchronous=FULL, one writer) or PostgreSQL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.sqlite = make_url(url).get_backend_name() == "sqlite"
        self.engine = _engine(url, sqlite=self.sqlite)
        self._writer = self.engine.execution_options(writing=True)
        self._one_writer = threading.Lock()

    def close(self) -> None:
        """Let go of every connection."""
        self.engine.dispose()

    @contextmanager
    def transaction(self, now: datetime, revision: str) -> Iterator[Tx]:
        """All or nothing. Raises Busy when the database cannot be reached or stays locked."""
        if self.sqlite and not self._one_writer.acquire(timeout=_WAIT_SECONDS):
            raise Busy(BUSY)
        try:
            with translated(), Session(self._writer, expire_on_commit=False) as session:
                tx = Tx(session, _locked_head(session), now, revision)
                yield tx
                session.commit()
        finally:
            if self.sqlite:
                self._one_writer.release()
        tx.committed()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session to read with. Raises Busy like `transaction`."""
        with translated(), Session(self.engine, expire_on_commit=False, info={_FOUND: {}}) as session:
            yield session

    def entries(self, after: int = -1, batch: int = 5000) -> Iterator[ledger.Entry]:
        """The ledger in order, read in batches."""
        query = text(
            "SELECT number, at, kind, actor, subjects, data, revision, previous, hash FROM ledger"
            " WHERE number > :after ORDER BY number LIMIT :batch"
        )
        while True:
            with translated(), self.engine.connect() as connection:
                rows = connection.execute(query, {"after": after, "batch": batch}).all()
            for row in rows:
                yield ledger.Entry(*row)
            if len(rows) < batch:
                return
            after = int(rows[-1][0])

    def head(self) -> tuple[int, str, str]:
        """Number, hash and time text of the last entry, as the head row says."""
        with self.reading() as session:
            row = session.exec(select(HeadRow).where(col(HeadRow.id) == 1)).first()
        if row is None:
            raise Refused("The ledger does not hold: its head is missing.", code="LEDGER_BROKEN")
        return row.number, row.hash, row.at

    def forget_deleted_bytes(self) -> None:
        """SQLite: what was overwritten is not kept in the write-ahead file either."""
        if self.sqlite:
            with translated(), self.engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def once(session: Session, what: str, find: Callable[[], T]) -> T:
    """What `find` gives; a session that only reads finds it once, one that writes finds it each time."""
    found: dict[str, T] | None = session.info.get(_FOUND)
    if found is None:
        return find()
    if what not in found:
        found[what] = find()
    return found[what]


def _locked_head(session: Session) -> HeadRow:
    head = session.exec(select(HeadRow).where(col(HeadRow.id) == 1).with_for_update()).first()
    if head is None:
        raise Refused("The ledger does not hold: its head is missing, so nothing is written.", code="LEDGER_BROKEN")
    return head


@contextmanager
def translated() -> Iterator[None]:
    """A database that is away, locked or without tables, as one of our errors."""
    try:
        yield
    except DBAPIError as error:
        if _lacks_tables(error.orig):
            raise Misconfigured("The database has no tables yet; run `safehand init` first.") from error
        if not (error.connection_invalidated or isinstance(error, (OperationalError, InterfaceError))):
            raise  # a defect of ours, not a database that is away
        raise Busy(BUSY) from error
    except PoolTimeout as error:
        raise Busy(BUSY) from error


def _lacks_tables(cause: BaseException | None) -> bool:
    return getattr(cause, "sqlstate", None) == UNDEFINED_TABLE or "no such table" in str(cause)


def _engine(url: str, *, sqlite: bool) -> Engine:
    if not sqlite:
        return create_engine(
            url, pool_pre_ping=True, pool_size=20, max_overflow=20, pool_timeout=_WAIT_SECONDS, connect_args=_POSTGRESQL
        )
    engine = create_engine(url, connect_args={"timeout": _WAIT_SECONDS, "check_same_thread": False}, pool_size=20)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        writing = connection.get_execution_options().get("writing", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine
