"""One way to write a row that may be there already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def upsert(
    connection: Connection,
    table: Table,
    row: Mapping[str, Any],
    changes: Mapping[str, Any] | None = None,
) -> None:
    """Insert ``row``; when one with its primary key is there, change that one instead.

    Args:
        changes: what to set on the existing row, values or SQL expressions; all of ``row`` unless told.
    """
    keys = [column.name for column in table.primary_key.columns]
    values = {name: value for name, value in row.items() if name not in keys} if changes is None else dict(changes)
    if connection.dialect.name == "sqlite":
        connection.execute(
            sqlite.insert(table).values(dict(row)).on_conflict_do_update(index_elements=keys, set_=values)
        )
    else:
        connection.execute(
            postgresql.insert(table).values(dict(row)).on_conflict_do_update(index_elements=keys, set_=values)
        )
