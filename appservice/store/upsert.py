"""One way to write a row that may be there already."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import ClauseElement, Connection, Table, bindparam
from sqlalchemy.dialects import postgresql, sqlite

_INSERT: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


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
    if changes is None:
        connection.execute(_replacing(connection.dialect.name, table, tuple(row)), dict(row))
        return
    values = {f"new {name}": value for name, value in changes.items() if not isinstance(value, ClauseElement)}
    expressions = tuple((name, value) for name, value in changes.items() if isinstance(value, ClauseElement))
    named = tuple(name for name in changes if f"new {name}" in values)
    if expressions:
        statement = _statement(connection.dialect.name, table, tuple(row), named, expressions)
    else:
        statement = _changing(connection.dialect.name, table, tuple(row), named)
    connection.execute(statement, {**row, **values})


def _statement(
    dialect: str,
    table: Table,
    columns: tuple[str, ...],
    named: tuple[str, ...],
    expressions: tuple[tuple[str, Any], ...],
) -> Any:
    made = _INSERT[dialect](table).values({name: bindparam(name, type_=table.c[name].type) for name in columns})
    changes = {name: bindparam(f"new {name}", type_=table.c[name].type) for name in named} | dict(expressions)
    return made.on_conflict_do_update(index_elements=_keys(table), set_=changes)


# To put a statement together takes longer than to run it, and there are few: one for each table and set of columns.


@lru_cache(256)
def _changing(dialect: str, table: Table, columns: tuple[str, ...], named: tuple[str, ...]) -> Any:
    return _statement(dialect, table, columns, named, ())


@lru_cache(256)
def _replacing(dialect: str, table: Table, columns: tuple[str, ...]) -> Any:
    made = _INSERT[dialect](table).values({name: bindparam(name, type_=table.c[name].type) for name in columns})
    changes = {name: made.excluded[name] for name in columns if name not in _keys(table)}
    return made.on_conflict_do_update(index_elements=_keys(table), set_=changes)


def _keys(table: Table) -> list[str]:
    return [column.name for column in table.primary_key.columns]
