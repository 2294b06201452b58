"""mautrix's own stores (crypto and room state) in one database of their own.

SQLite: a second file beside Rialto's. PostgreSQL: the schema ``mautrix`` of the same database. One mautrix ``Database``
holds both: mautrix keeps a transaction's connection in a module global, so that two of them in one task would meet.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import asyncpg
from mautrix.appservice.state_store.asyncpg import PgASStateStore
from mautrix.client.state_store.asyncpg import PgStateStore
from mautrix.crypto.store.asyncpg import PgCryptoStore
from mautrix.types import Member, Membership, RoomID, UserID
from mautrix.util.async_db import Database, UpgradeTable
from mautrix.util.async_db.aiosqlite import SQLiteDatabase, TxnConnection
from mautrix.util.async_db.asyncpg import PostgresDatabase
from mautrix.util.async_db.connection import LoggingConnection
from yarl import URL

from appservice.e2ee.tables import upgrade_table as e2ee_tables
from appservice.errors import RialtoError

log = logging.getLogger(__name__)

SCHEMA = "mautrix"
CLOSE_TIMEOUT_S = 5.0
PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 5000",
)


class MautrixStoreError(RialtoError):
    """The database of keys and room state cannot be opened."""

    code = "mautrix_store_unavailable"


def mautrix_file(url: str) -> Path:
    """The second SQLite file that belongs to ``sqlite:///PATH``: PATH without ``.db``, and ``.mautrix.db``."""
    return Path(url.removeprefix("sqlite:///").removesuffix(".db") + ".mautrix.db")


def quiet_mautrix() -> None:
    """Let mautrix's loggers write errors only: below that they name keys, requests and their contents."""
    logging.getLogger("mau").setLevel(logging.ERROR)
    # Its debug lines hold the values of every statement.
    logging.getLogger("aiosqlite").setLevel(logging.WARNING)


class _SQLite(SQLiteDatabase):
    """mautrix's SQLite pool, which takes back a connection clean.

    mautrix rolls back on ``Exception`` only: a task cancelled inside a transaction would leave it open.
    """

    def __init__(self, file: Path, upgrades: UpgradeTable) -> None:
        super().__init__(URL("sqlite:///"), upgrades, db_args={"min_size": 1})
        self._path = str(file)
        self._connection: TxnConnection | None = None

    async def start(self) -> None:
        """Open the connection and upgrade. mautrix's own leaves the connection's thread behind when that fails."""
        connection = cast(TxnConnection, await TxnConnection(self._path))
        try:
            for pragma in PRAGMAS:
                await connection.execute(pragma)
            connection.row_factory = sqlite3.Row
        except BaseException:
            await connection.close()
            raise
        self._connection = connection
        self._pool.put_nowait(connection)
        await Database.start(self)

    @asynccontextmanager
    async def _acquire(self) -> AsyncIterator[LoggingConnection]:  # type: ignore[override]
        if self._stopped:
            raise MautrixStoreError("the database of keys is closed")
        connection = await self._pool.get()
        try:
            yield LoggingConnection(self.scheme, connection, self.log)
        finally:
            try:
                if connection.in_transaction:
                    await asyncio.shield(connection.rollback())
            finally:
                self._pool.put_nowait(connection)

    async def stop(self) -> None:
        """Close the connections: an open one keeps its thread, and with it the process, alive."""
        if self._stopped:
            return
        self._stopped = True
        if self._connection is None:
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._pool.get()
                await self._connection.close()
        except TimeoutError:
            log.error("the database of keys was still in use when it was closed")
            self._connection.stop()


class RoomStateStore(PgASStateStore):
    """mautrix's room state, readable on SQLite too: its parser does not take SQLite's rows."""

    async def get_member_profiles(
        self, room_id: RoomID, memberships: tuple[Membership, ...] = (Membership.JOIN, Membership.INVITE)
    ) -> dict[UserID, Member]:
        """Members with the given memberships: user id to membership, name and avatar."""
        places = ", ".join(f"${number}" for number in range(2, len(memberships) + 2))
        columns = "user_id, CAST(membership AS TEXT) AS membership, displayname, avatar_url"
        q = f"SELECT {columns} FROM mx_user_profile WHERE room_id=$1 AND CAST(membership AS TEXT) IN ({places})"  # noqa: S608
        rows = await self.db.fetch(q, room_id, *(membership.value for membership in memberships))
        return {
            row["user_id"]: Member(Membership(row["membership"]), row["avatar_url"], row["displayname"]) for row in rows
        }


class MautrixDatabase:
    """One mautrix database for crypto and room state. ``start`` before use, ``stop`` after."""

    def __init__(self, url: str, *, pool_size: int = 4) -> None:
        """
        Args:
            url: Rialto's own database, ``sqlite:///PATH`` or ``postgresql://…`` (``config.database.url``).
            pool_size: connections to PostgreSQL at most. SQLite uses one.
        """
        self._url = url
        self._file: Path | None = None
        self.db: Database
        if url.startswith("sqlite:///"):
            self._file = mautrix_file(url)
            self.db = _SQLite(self._file, PgCryptoStore.upgrade_table)
        else:
            self.db = PostgresDatabase(
                URL(url.replace("postgresql://", "postgres://", 1)),
                PgCryptoStore.upgrade_table,
                db_args={
                    "min_size": 1,
                    "max_size": max(pool_size, 2),
                    "server_settings": {"search_path": SCHEMA},
                    "meow_exit_on_ice": False,
                },
            )
        self.state_store = RoomStateStore(self.db)

    async def start(self) -> None:
        """Open the database and bring mautrix's tables and ours up to date.

        Raises:
            MautrixStoreError: it cannot be opened.
        """
        quiet_mautrix()
        try:
            if self._file is not None:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._file.touch(mode=0o600)
            else:
                await self._make_schema()
            await self.db.start()
            await PgStateStore.upgrade_table.upgrade(self.db)
            await e2ee_tables.upgrade(self.db)
        except BaseException as error:
            await self.stop()
            if isinstance(error, (OSError, sqlite3.Error, asyncpg.PostgresError)):
                raise MautrixStoreError(f"the database of keys cannot be opened: {error}") from error
            raise

    async def _make_schema(self) -> None:
        connection = await asyncpg.connect(self._url)
        try:
            await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        finally:
            await connection.close()

    async def stop(self) -> None:
        """Close every connection. Safe to call twice, and when ``start`` failed."""
        try:
            async with asyncio.timeout(2 * CLOSE_TIMEOUT_S):
                await self.db.stop()
        except TimeoutError:
            log.error("a connection to the database of keys did not close in time")
