"""Runs migrations: with a connection handed in by :mod:`appservice.migrate`, or offline to print SQL."""

from __future__ import annotations

from alembic import context

from bots.store import tables
from bridge.store.search_tables import FTS

config = context.config
metadata = tables.metadata  # the engine's tables are in it
connection = config.attributes.get("connection")


def named(name: str | None, kind: str, _parents: object) -> bool:
    """The full-text index of SQLite is some tables, and none that the metadata knows."""
    return kind != "table" or name is None or not name.startswith(FTS)


if connection is not None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_type=True,
        compare_server_default=True,
        include_name=named,
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
