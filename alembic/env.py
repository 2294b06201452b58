"""Runs migrations: with a connection handed in by :mod:`appservice.migrate`, or offline to print SQL."""

from __future__ import annotations

from alembic import context

from bots.store import tables

config = context.config
metadata = tables.metadata  # the engine's tables are in it
connection = config.attributes.get("connection")

if connection is not None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_type=True,
        compare_server_default=True,
        # SQLite changes a table by making it anew.
        render_as_batch=connection.dialect.name == "sqlite",
    )
    context.run_migrations()
else:
    context.configure(
        url=config.get_main_option("sqlalchemy.url"),
        target_metadata=metadata,
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
    )
    with context.begin_transaction():
        context.run_migrations()
