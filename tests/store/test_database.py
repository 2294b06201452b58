"""The database: all or nothing, errors that say what happened and nothing that people wrote, trouble of every kind."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import DBAPIError, IntegrityError

from appservice import database as database_module
from appservice.database import Database, DatabaseError, SQLiteDatabase, insert_ignore, open_database
from appservice.store.tables import metadata
from appservice.store.tables import rooms as table
from tests.conftest import scratch_postgres
from tests.store.harness import rows, until

SECRET = "what a person wrote"


def put(connection: Connection, key: str, text: str = "x") -> int:
    """A row."""
    return connection.execute(insert(table), {"shard": 0, "key": key, "room_id": text, "created_at": 0}).rowcount


def putting(key: str) -> Callable[[Connection], int]:
    """The work of one row."""
    return lambda connection: put(connection, key)


async def keys(database: Database) -> list[str]:
    """What is there."""
    return [row["key"] for row in await rows(database, table)]


async def test_a_write_is_committed_and_returns_what_its_work_returned(database: Database) -> None:
    assert await database.write(lambda connection: put(connection, "a") + 6) == 7
    assert await keys(database) == ["a"]


async def test_an_error_of_the_work_undoes_everything_and_comes_as_it_is(database: Database) -> None:
    class Own(Exception):
        pass

    def work(connection: Connection) -> None:
        put(connection, "a")
        raise Own

    with pytest.raises(Own):
        await database.write(work)
    assert await keys(database) == []
    await database.write(lambda connection: put(connection, "b"))
    assert await keys(database) == ["b"]


async def test_a_broken_constraint_says_so_without_what_was_written(database: Database) -> None:
    await database.write(lambda connection: put(connection, "a"))
    with pytest.raises(IntegrityError) as caught:
        await database.write(lambda connection: (put(connection, "b"), put(connection, "a", SECRET)))
    assert SECRET not in str(caught.value)
    assert await keys(database) == ["a"]


async def test_a_value_that_is_refused_is_no_lost_database(database: Database) -> None:
    with pytest.raises((DBAPIError, UnicodeError)) as caught:
        await database.write(lambda connection: put(connection, "bad\0\ud800", SECRET))
    assert SECRET not in str(caught.value)
    await database.write(lambda connection: put(connection, "a"))
    assert await keys(database) == ["a"]


async def test_postgresql_refuses_nul_by_its_class_of_error(database: Database) -> None:
    if database.dialect == "sqlite":
        await database.write(lambda connection: put(connection, "a\0b"))
        assert await keys(database) == ["a\0b"]
        return
    with pytest.raises(DBAPIError) as caught:
        await database.write(lambda connection: put(connection, "a\0b", SECRET))
    assert not isinstance(caught.value, IntegrityError)
    assert SECRET not in str(caught.value)


async def test_a_statement_that_cannot_be_run_is_a_database_error_without_statement_and_values(
    database: Database,
) -> None:
    for use in (database.write, database.read):
        with pytest.raises(DatabaseError) as caught:
            await use(lambda connection: connection.execute(sa.text("SELECT :x FROM nowhere"), {"x": SECRET}))
        assert SECRET not in str(caught.value)
        assert "SELECT" not in str(caught.value)
        assert caught.value.code == "database_unavailable"
        assert SECRET not in str(caught.value.__cause__)


async def test_reading_sees_what_is_committed_and_writes_nothing(database: Database) -> None:
    await database.write(lambda connection: put(connection, "a"))
    assert await database.read(lambda connection: connection.execute(select(table.c.key)).scalar()) == "a"
    with contextlib.suppress(DatabaseError):
        await database.read(lambda connection: put(connection, "b"))
    assert await keys(database) == ["a"]


async def test_an_error_while_reading_leaves_the_database_usable(database: Database) -> None:
    def work(connection: Connection) -> None:
        connection.execute(select(table)).all()
        raise KeyError

    for _ in range(10):
        with pytest.raises(KeyError):
            await database.read(work)
    assert await keys(database) == []


async def test_insert_ignore_leaves_a_row_as_it_is(database: Database) -> None:
    def work(connection: Connection) -> list[int]:
        row = {"shard": 0, "key": "a", "room_id": "first", "created_at": 0}
        statement = insert_ignore(connection, table, "shard", "key")
        return [connection.execute(statement, row | {"room_id": name}).rowcount for name in ("first", "second")]

    assert await database.write(work) == [1, 0]
    assert [row["room_id"] for row in await rows(database, table)] == ["first"]


async def test_writes_at_the_same_time_are_all_kept(database: Database) -> None:
    await asyncio.gather(*(database.write(putting(f"k{n:02}")) for n in range(40)))
    assert await keys(database) == [f"k{n:02}" for n in range(40)]


async def test_a_cancelled_caller_leaves_nothing_half_done(database: Database) -> None:
    """On SQLite the transaction goes on to its end, on PostgreSQL it is undone; the next one works either way."""
    begun = threading.Event()
    gate = threading.Event()

    def work(connection: Connection) -> None:
        put(connection, "a")
        if database.dialect == "sqlite":
            begun.set()
            gate.wait(5)
        else:
            connection.execute(sa.text("SELECT pg_sleep(0.3)"))
        put(connection, "b")

    task = asyncio.create_task(database.write(work))
    if database.dialect == "sqlite":
        await until(begun.is_set)
    else:
        done, _ = await asyncio.wait([task], timeout=0.1)
        assert not done
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    await database.write(lambda connection: put(connection, "c"))
    assert await keys(database) in (["a", "b", "c"], ["c"])


async def test_a_sqlite_file_locked_by_another_process_is_a_database_error_and_then_fine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_S", 0.05)
    database = SQLiteDatabase(tmp_path / "locked.db")
    await database.start()
    await database.write(metadata.create_all)
    with contextlib.closing(sqlite3.connect(tmp_path / "locked.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseError, match="locked"):
            await database.write(lambda connection: put(connection, "a"))
        assert await keys(database) == []
        other.execute("ROLLBACK")
    await database.write(lambda connection: put(connection, "b"))
    assert await keys(database) == ["b"]
    await database.stop()


async def test_a_full_disk_keeps_nothing_and_the_next_write_works(tmp_path: Path) -> None:
    database = SQLiteDatabase(tmp_path / "full.db")
    await database.start()
    await database.write(metadata.create_all)

    def limit(pages: int) -> Callable[[Connection], object]:
        return lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count={pages}").scalar()

    await database.write(limit(30))
    with pytest.raises(DatabaseError, match="full"):
        await database.write(lambda connection: put(connection, "a", "x" * 1_000_000))
    await database.write(limit(100_000))
    await database.write(lambda connection: put(connection, "b", "x" * 1_000_000))
    assert await keys(database) == ["b"]
    await database.stop()


async def test_sqlite_is_durable_and_forgets_what_is_deleted(tmp_path: Path) -> None:
    database = SQLiteDatabase(tmp_path / "new" / "rialto.db")
    await database.start()

    def pragmas(connection: Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "secure_delete", "foreign_keys")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    assert await database.write(pragmas) == ["wal", 2, 2, 1]
    await database.stop()


async def test_a_sqlite_file_that_cannot_be_opened_is_a_database_error(tmp_path: Path) -> None:
    (tmp_path / "a folder.db").mkdir()
    database = SQLiteDatabase(tmp_path / "a folder.db")
    with pytest.raises(DatabaseError):
        await database.start()
    await database.stop()
    (tmp_path / "no database.db").write_bytes(b"this is no database at all, but long enough" * 50)
    database = SQLiteDatabase(tmp_path / "no database.db")
    with pytest.raises(DatabaseError):
        await database.start()
    await database.stop()


async def test_postgresql_that_is_not_there_is_a_database_error() -> None:
    database = open_database("postgresql://nobody:hidden-password@127.0.0.1:1/none")
    with pytest.raises(DatabaseError) as caught:
        await database.start()
    assert "hidden-password" not in str(caught.value)
    await database.stop()


async def test_a_connection_that_postgresql_ends_is_a_database_error_once_and_then_fine() -> None:
    async with scratch_postgres() as url:
        database = open_database(url, pool_size=3)
        await database.start()
        await database.write(metadata.create_all)
        await asyncio.gather(*(database.write(putting(f"k{n}")) for n in range(3)))
        other = await asyncpg.connect(url)
        try:
            # Those that rest in the pool.
            end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname=current_database() AND pid<>$1"
            await other.fetch(end, other.get_server_pid())
            failures = 0
            for _ in range(6):
                try:
                    await database.write(lambda connection: connection.execute(sa.text("SELECT 1")))
                except DatabaseError:
                    failures += 1
            assert failures <= 1
            # One in the middle of a transaction.

            def work(connection: Connection) -> None:
                put(connection, "half")
                connection.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
                put(connection, "other half")

            with pytest.raises(DatabaseError):
                await database.write(work)
            await database.write(lambda connection: put(connection, "whole"))
            assert await keys(database) == ["k0", "k1", "k2", "whole"]
        finally:
            await other.close()
            await database.stop()


async def test_a_database_that_is_not_started_says_so(tmp_path: Path) -> None:
    for database in (open_database(f"sqlite:///{tmp_path / 'x.db'}"), open_database("postgres://x@127.0.0.1/x")):
        with pytest.raises(RuntimeError):
            await database.read(lambda connection: None)
        await database.stop()


async def test_started_again_after_a_stop(tmp_path: Path) -> None:
    for name in ("a", "b"):
        database = open_database(f"sqlite:///{tmp_path / 'again.db'}")
        await database.start()
        await database.write(metadata.create_all)
        await database.write(putting(name))
        await database.stop()
    database = open_database(f"sqlite:///{tmp_path / 'again.db'}")
    await database.start()
    assert await keys(database) == ["a", "b"]
    await database.stop()
