"""Bringing a database to the present tables, by alembic: loaded only where there is something to bring."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from server.domain.errors import Misconfigured
from server.store.database import Store, translated

if TYPE_CHECKING:
    from alembic.config import Config

_SCRIPTS = Path(__file__).parent / "migrations"


def _config(store: Store) -> Config:
    from alembic.config import Config  # eleven megabytes that a running server does without

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["engine"] = store.engine
    return config


def newest() -> str:
    """The version of the tables that this program needs: that of its last migration."""
    return max(script.name.partition("_")[0] for script in (_SCRIPTS / "versions").glob("[0-9]*_*.py"))


def present(store: Store) -> str | None:
    """The version of the database's tables; None before the first."""
    with translated(), store.engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if version is None else str(version)


def migrate(store: Store, to: str = "head") -> None:
    """Create or upgrade the tables. May be repeated."""
    if to == "head" and present(store) == newest():
        return
    from alembic import command

    with translated():
        command.upgrade(_config(store), to)


def downgrade(store: Store, to: str) -> None:
    """Go back to an earlier version of the tables."""
    from alembic import command

    with translated():
        command.downgrade(_config(store), to)


def require_current(store: Store) -> None:
    """Raises Misconfigured unless the tables are those of this version."""
    have, want = present(store), newest()
    if have != want:
        raise Misconfigured(
            f"The database is at version {have or 'none'}, this program needs {want}: run `safehand init`."
        )
