"""Alembic's entry: migrations run on the engine that `server.store.migrate` hands over."""

from alembic import context
from sqlmodel import SQLModel

import server.store.duty_tables
import server.store.tables  # noqa: F401  (both fill the metadata)

engine = context.config.attributes["engine"]
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=SQLModel.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
