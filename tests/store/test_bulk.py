"""The bulk statements: for every number of rows the same as row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, insert, update
from sqlalchemy.exc import IntegrityError

from appservice.database import Database
from appservice.store.bulk import (
    CHUNKS,
    INBOX_FINISH,
    INBOX_INSERT,
    INBOX_PROGRESS,
    ORDER,
    OUTBOX_CIPHERTEXT,
    OUTBOX_FINISH,
    OUTBOX_INSERT,
    Insert,
    Update,
    _chunks,
)
from appservice.store.tables import inbox, outbox
from tests.store.harness import rows

SIZES = (0, 1, 2, 3, 127, 128, 129, 300)
UPDATES = (INBOX_PROGRESS, INBOX_FINISH, OUTBOX_CIPHERTEXT, OUTBOX_FINISH)


def inbox_row(seq: int, **changes: Any) -> dict[str, Any]:
    """A row for INBOX_INSERT."""
    row = {
        "shard": seq % 2,
        "seq": seq,
        "event_id": f"$e{seq}",
        "room_id": "!room:localhost",
        "payload": b"{}" * (seq % 3),
        "state": seq % 3,
        "error": None if seq % 2 else "it’s “broken”; DROP TABLE inbox --",
        "received_at": 10**12 + seq,
    }
    return row | changes


def outbox_row(seq: int, **changes: Any) -> dict[str, Any]:
    """A row for OUTBOX_INSERT."""
    row = {
        "shard": seq % 2,
        "seq": seq,
        "txn_id": f"r{seq}",
        "room_id": "!room:localhost",
        "user_id": "@bot:localhost",
        "kind": seq % 3,
        "event_type": "m.room.message",
        "target": None if seq % 2 else "",
        "content": b"\x00\xff" * (seq % 3),
        "sealed": seq % 2,
        "state": 0,
        "created_at": 10**12,
    }
    return row | changes


def new_values(statement: Update, seq: int) -> dict[str, Any]:
    """What an update brings for a row; None where the column takes it."""
    values: dict[str, Any] = {
        "state": seq % 5,
        "attempts": seq % 7,
        "done_by": f"a\nb{seq}",
        "session_id": None if seq % 2 else f"S{seq}",
        "error": None if seq % 3 else "why",
        "finished_at": 10**12 + seq,
        "ciphertext": b"\x00" * seq,
        "event_id": None if seq % 2 else f"$sent{seq}",
    }
    return {"shard": seq % 2, "seq": seq} | {name: values[name] for name in statement.values}


async def seed(database: Database, table: Any, count: int) -> None:
    """Rows 0 … count-1, and one that no update means."""

    def work(connection: Connection) -> None:
        connection.execute(delete(table))
        if table is inbox:
            found: list[dict[str, Any]] = [inbox_row(seq) for seq in [*range(count), 5_000]]
            for row in found:
                row |= {"attempts": 0, "done_by": "x", "session_id": "S", "finished_at": None}
        else:
            found = [outbox_row(seq) for seq in [*range(count), 5_000]]
            for row in found:
                row |= {"ciphertext": b"c", "event_id": None, "error": None, "finished_at": None}
        connection.execute(insert(table), found)

    await database.write(work)


async def one_by_one(database: Database, statement: Update, changes: Sequence[dict[str, Any]]) -> None:
    """What the statement means, said in another way."""

    def work(connection: Connection) -> None:
        columns = statement.table.c
        for row in changes:
            values = {name: row[name] for name in statement.values} | dict(statement.constants)
            where = (columns.shard == row["shard"], columns.seq == row["seq"])
            connection.execute(update(statement.table).where(*where).values(**values))

    await database.write(work)


def test_every_statement_is_tested_here() -> None:
    assert set(ORDER) == {INBOX_INSERT, OUTBOX_INSERT, *UPDATES}


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize(("statement", "make"), [(INBOX_INSERT, inbox_row), (OUTBOX_INSERT, outbox_row)])
async def test_inserts(database: Database, statement: Insert, make: Any, count: int) -> None:
    wanted = [make(seq) for seq in range(count)]
    if count or database.dialect == "sqlite":
        await database.write(lambda connection: statement.run(connection, wanted))
    found = [{name: row[name] for name in statement.columns} for row in await rows(database, statement.table)]
    assert found == sorted(wanted, key=lambda row: (row["shard"], row["seq"]))


@pytest.mark.parametrize("count", SIZES[1:])
@pytest.mark.parametrize("statement", UPDATES, ids=lambda each: f"{each.table.name}-{'-'.join(each.values)}")
async def test_updates(database: Database, statement: Update, count: int) -> None:
    changes = [new_values(statement, seq) for seq in range(count)] + [new_values(statement, 4_999)]
    await seed(database, statement.table, count)
    await one_by_one(database, statement, changes)
    wanted = await rows(database, statement.table)
    await seed(database, statement.table, count)
    before = await rows(database, statement.table)
    await database.write(lambda connection: statement.run(connection, changes))
    found = await rows(database, statement.table)
    assert found == wanted
    assert found != before
    assert found[-1] == before[-1] or found[-1]["seq"] != 5_000


@pytest.mark.parametrize("statement", UPDATES, ids=lambda each: f"{each.table.name}-{'-'.join(each.values)}")
async def test_of_several_updates_of_one_row_the_last_counts(database: Database, statement: Update) -> None:
    """SQLite takes an arbitrary one of several that join with a row."""
    await seed(database, statement.table, 3)
    changes = [new_values(statement, 1) | {statement.values[0]: value} for value in _distinct(statement)]
    await database.write(lambda connection: statement.run(connection, changes))
    row = next(row for row in await rows(database, statement.table) if row["seq"] == 1)
    assert row[statement.values[0]] == changes[-1][statement.values[0]]


def _distinct(statement: Update) -> list[Any]:
    return [b"3", b"1", b"4", b"2"] if statement.values[0] == "ciphertext" else [3, 1, 4, 2]


async def test_a_message_that_is_there_already_stays_as_it_is(database: Database) -> None:
    await database.write(lambda connection: OUTBOX_INSERT.run(connection, [outbox_row(1)]))
    again = [outbox_row(2), outbox_row(3, txn_id="r1", content=b"other"), outbox_row(4)]
    await database.write(lambda connection: OUTBOX_INSERT.run(connection, again))
    found = {row["txn_id"]: (row["seq"], bytes(row["content"])) for row in await rows(database, outbox)}
    assert found == {"r1": (1, b"\x00\xff"), "r2": (2, b"\x00\xff" * 2), "r4": (4, b"\x00\xff")}


async def test_an_event_that_is_there_already_is_an_error(database: Database) -> None:
    """The inbox looks before it inserts: an id that is there all the same means two services on one database."""
    await database.write(lambda connection: INBOX_INSERT.run(connection, [inbox_row(1)]))
    with pytest.raises(IntegrityError):
        await database.write(
            lambda connection: INBOX_INSERT.run(connection, [inbox_row(2), inbox_row(3, event_id="$e1")])
        )
    assert [row["seq"] for row in await rows(database, inbox)] == [1]


async def test_a_failing_update_keeps_nothing_of_its_batch(database: Database) -> None:
    await seed(database, inbox, 3)
    before = await rows(database, inbox)
    changes = [new_values(INBOX_PROGRESS, 0), new_values(INBOX_PROGRESS, 1) | {"state": None}]
    with pytest.raises(IntegrityError):
        await database.write(lambda connection: INBOX_PROGRESS.run(connection, changes))
    assert await rows(database, inbox) == before


@given(st.integers(0, 1_000))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_chunks_hold_every_row_once_in_order_and_have_known_lengths(count: int) -> None:
    numbers = [{"n": number} for number in range(count)]
    chunks = list(_chunks(numbers))
    assert [row for chunk in chunks for row in chunk] == numbers
    assert {len(chunk) for chunk in chunks} <= set(CHUNKS)
    assert sum(len(chunk) < CHUNKS[0] for chunk in chunks) < len(CHUNKS)
