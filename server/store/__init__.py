"""Rows, the ledger, the spool and transactions. What a row means is the business of `server.domain`."""

from server.store.database import Store, Tx, once
from server.store.spool import Spool

__all__ = ["Spool", "Store", "Tx", "once"]
