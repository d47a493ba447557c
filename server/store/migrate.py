"""Bringing a database to the present tables, by alembic."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from server.domain.errors import Misconfigured
from server.store.database import Store, translated

_SCRIPTS = Path(__file__).parent / "migrations"


def _config(store: Store) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["engine"] = store.engine
    return config


def migrate(store: Store, to: str = "head") -> None:
    """Create or upgrade the tables. May be repeated."""
    with translated():
        command.upgrade(_config(store), to)


def downgrade(store: Store, to: str) -> None:
    """Go back to an earlier version of the tables."""
    with translated():
        command.downgrade(_config(store), to)


def require_current(store: Store) -> None:
    """Raises Misconfigured unless the tables are those of this version."""
    with translated(), store.engine.connect() as connection:
        have = MigrationContext.configure(connection).get_current_revision()
    want = ScriptDirectory.from_config(_config(store)).get_current_head()
    if have != want:
        raise Misconfigured(
            f"The database is at version {have or 'none'}, this program needs {want}: run `safehand init`."
        )
