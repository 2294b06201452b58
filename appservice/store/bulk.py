"""The few statements that run for every event, for many rows at once.

PostgreSQL gets them as ``executemany``, sent by asyncpg in one go. On SQLite each row of an ``executemany`` gives the
interpreter lock away and has to win it back from a busy event loop, so there the rows go as one ``VALUES`` list; the
lists have a few fixed lengths, so that the driver's statement cache knows them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from sqlalchemy import Connection, Table, bindparam, update

from appservice.database import insert_ignore
from appservice.store.tables import inbox, outbox

Row = Mapping[str, Any]

CHUNKS = (128, 64, 32, 16, 8, 4, 2, 1)
KEY = ("shard", "seq")


@dataclass(frozen=True, eq=False)
class Insert:
    """Inserts rows; one that conflicts on ``ignore`` stays as it is."""

    table: Table
    columns: tuple[str, ...]
    ignore: str | None = None

    def run(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Each row has every column."""
        if connection.dialect.name == "sqlite":
            _in_chunks(connection, self, rows)
        elif self.ignore is not None:
            connection.execute(insert_ignore(connection, self.table, self.ignore), rows)
        else:
            connection.execute(self.table.insert(), rows)

    def sql(self, values: str) -> str:
        """The SQLite statement around a VALUES list."""
        conflict = f" ON CONFLICT ({self.ignore}) DO NOTHING" if self.ignore else ""
        return f"INSERT INTO {self.table.name} ({', '.join(self.columns)}) VALUES {values}{conflict}"  # noqa: S608


@dataclass(frozen=True, eq=False)
class Update:
    """Updates rows by (shard, seq): ``values`` come with each row, ``constants`` are the same for all."""

    table: Table
    values: tuple[str, ...]
    constants: tuple[tuple[str, bytes | None], ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """What a row brings."""
        return (*KEY, *self.values)

    @cached_property
    def _statement(self) -> Any:
        columns = self.table.c
        return (
            update(self.table)
            .where(*(columns[name] == bindparam("key_" + name) for name in KEY))
            .values({name: bindparam("new_" + name) for name in self.values} | dict(self.constants))
        )

    def run(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Each row has its key and every value; of several with one key the last counts."""
        rows = list({(row["shard"], row["seq"]): row for row in rows}.values())
        if connection.dialect.name == "sqlite":
            _in_chunks(connection, self, rows)
            return
        parameters = [
            {"key_" + name: row[name] for name in KEY} | {"new_" + name: row[name] for name in self.values}
            for row in rows
        ]
        connection.execute(self._statement, parameters)

    def sql(self, values: str) -> str:
        """The SQLite statement around a VALUES list."""
        name = self.table.name
        sets = [f"{column} = v.{column}" for column in self.values]
        sets += [f"{column} = {_literal(value)}" for column, value in self.constants]
        where = " AND ".join(f"{name}.{column} = v.{column}" for column in KEY)
        return (
            f"WITH v({', '.join(self.columns)}) AS (VALUES {values}) "  # noqa: S608
            f"UPDATE {name} SET {', '.join(sets)} FROM v WHERE {where}"
        )


INBOX_INSERT = Insert(inbox, ("shard", "seq", "event_id", "room_id", "payload", "state", "error", "received_at"))
INBOX_PROGRESS = Update(inbox, ("state", "attempts", "done_by", "session_id", "error"))
INBOX_FINISH = Update(inbox, ("state", "finished_at"), (("payload", b""), ("session_id", None)))
OUTBOX_INSERT = Insert(
    outbox,
    (
        "shard",
        "seq",
        "txn_id",
        "room_id",
        "user_id",
        "kind",
        "event_type",
        "target",
        "content",
        "sealed",
        "state",
        "created_at",
    ),
    ignore="txn_id",
)
OUTBOX_CIPHERTEXT = Update(outbox, ("ciphertext",), (("content", b""),))
OUTBOX_FINISH = Update(outbox, ("state", "event_id", "error", "finished_at"), (("content", b""), ("ciphertext", None)))

Bulk = Insert | Update

# Rows are inserted before anything refers to them.
ORDER: tuple[Bulk, ...] = (
    INBOX_INSERT,
    OUTBOX_INSERT,
    OUTBOX_CIPHERTEXT,
    OUTBOX_FINISH,
    INBOX_PROGRESS,
    INBOX_FINISH,
)


def _literal(value: bytes | None) -> str:
    return "NULL" if value is None else f"x'{value.hex()}'"


@lru_cache(maxsize=256)
def _sqlite_sql(bulk: Bulk, length: int) -> str:
    one = "(" + ", ".join("?" * len(bulk.columns)) + ")"
    return bulk.sql(", ".join([one] * length))


def _in_chunks(connection: Connection, bulk: Bulk, rows: Sequence[Row]) -> None:
    columns = bulk.columns
    for chunk in _chunks(rows):
        parameters = tuple(row[column] for row in chunk for column in columns)
        connection.exec_driver_sql(_sqlite_sql(bulk, len(chunk)), parameters)


def _chunks(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    start = 0
    for size in CHUNKS:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size
