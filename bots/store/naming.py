"""The rows that name people, found and changed alike whatever they are about: for exports, and for being forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, or_, select, update

from appservice.store.upsert import upsert

__all__ = ["Naming", "Row"]

Row = dict[str, Any]


class Naming:
    """Tables with people in them, by names, each with the columns that name them."""

    def __init__(self, tables: Mapping[str, tuple[Table, tuple[str, ...]]]) -> None:
        self._tables = tables

    def table(self, name: str) -> Table:
        """A table by its name."""
        return self._tables[name][0]

    def mine(self, name: str, person: str) -> ColumnElement[bool]:
        """Where a row names a person, in whichever of its columns."""
        table, people = self._tables[name]
        return or_(*(table.c[column] == person for column in people))

    def rows_of(self, connection: Connection, name: str, person: str) -> list[Row]:
        """The rows that name a person, in the order of the table's key."""
        table = self.table(name)
        query = select(table).where(self.mine(name, person)).order_by(*table.primary_key.columns)
        return [dict(row) for row in connection.execute(query).mappings()]

    def rename(self, connection: Connection, name: str, person: str, pseudonym: str) -> None:
        """Put a pseudonym in a person's place."""
        table, people = self._tables[name]
        for column in people:
            connection.execute(update(table).where(table.c[column] == person).values({column: pseudonym}))

    def forget(self, connection: Connection, name: str, person: str) -> None:
        """Forget the rows that name a person."""
        connection.execute(delete(self.table(name)).where(self.mine(name, person)))

    def write(self, connection: Connection, name: str, row: Mapping[str, Any]) -> None:
        """Write a row that is there as it is now."""
        upsert(connection, self.table(name), row)
