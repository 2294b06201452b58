"""One database, SQLite or PostgreSQL, behind one way of writing and reading.

Store code is written once, as plain functions on a SQLAlchemy connection, and is handed to :meth:`Database.write` or
:meth:`Database.read`. A function that runs inside a transaction cannot await anything, so no transaction is ever open
while something waits for the network.

SQLite: WAL, ``synchronous=FULL`` (a committed transaction survives a power cut), one writer connection in its own
thread: a whole batch is one hop between threads. PostgreSQL: asyncpg, the same functions by SQLAlchemy's greenlets.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import asyncpg
import sqlalchemy as sa
from sqlalchemy import Connection, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import QueuePool, StaticPool

from appservice.errors import RialtoError

log = logging.getLogger(__name__)

T = TypeVar("T")

BUSY_TIMEOUT_S = 5.0
READERS = 2
CHECKPOINT_EVERY_S = 0.25
WAL_PAGES_MAX = 1_000
"""4 MiB of write-ahead log, should the checkpoints beside the commits not keep up. A log that grew as large as a small
disk would leave no room to carry it into the database.
"""


class DatabaseError(RialtoError):
    """The database cannot be used now (gone, locked, full). Nothing of the transaction was kept."""

    code = "database_unavailable"


INFRASTRUCTURE: tuple[type[BaseException], ...] = (
    DatabaseError,
    sqlite3.OperationalError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)
"""A database is gone, locked or full, ours or mautrix's: nobody's fault who works with it, so it is waited for."""


class Database(ABC):
    """One database. ``start`` before use, ``stop`` after."""

    dialect: str

    @abstractmethod
    async def start(self) -> None:
        """Open it; raises :class:`DatabaseError` when that is not possible."""

    @abstractmethod
    async def stop(self) -> None:
        """Close every connection."""

    @abstractmethod
    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in one transaction and commit it. On SQLite transactions run one after the other.

        Raises:
            DatabaseError: nothing was kept. After a lost connection the outcome of the commit is unknown.
            sqlalchemy.exc.DBAPIError: what ``work`` wrote was refused (a constraint, a value of the wrong kind).
        """

    @abstractmethod
    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work``, which only reads."""

    @property
    @abstractmethod
    def sync_url(self) -> str:
        """The URL for tools that bring their own engine (migrations)."""


def open_database(url: str, *, pool_size: int = 8) -> Database:
    """The database behind ``sqlite:///PATH`` or ``postgresql://…``."""
    if url.startswith("sqlite:///"):
        return SQLiteDatabase(Path(url.removeprefix("sqlite:///")))
    # Only where it is needed: SQLAlchemy's asyncio side takes several megabytes.
    from appservice.postgres import PostgresDatabase

    return PostgresDatabase(url, pool_size=pool_size)


def insert_ignore(connection: Connection, table: sa.Table, *columns: str) -> Any:
    """An INSERT into ``table`` that leaves an existing row with the same ``columns`` as it is."""
    return _ignoring(connection.dialect.name, table, columns)


@lru_cache(256)
def _ignoring(dialect: str, table: sa.Table, columns: tuple[str, ...]) -> Any:
    """Made once: to put a statement together takes longer than to run it."""
    if dialect == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing(index_elements=list(columns))
    return postgresql.insert(table).on_conflict_do_nothing(index_elements=list(columns))


class SQLiteDatabase(Database):
    """SQLite in WAL mode."""

    dialect = "sqlite"

    def __init__(self, file: Path) -> None:
        self.file = file
        self._writer: sa.Engine | None = None
        self._reader: sa.Engine | None = None
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")
        self._read_threads = ThreadPoolExecutor(READERS, thread_name_prefix="sqlite-reader")
        self._checkpoints: asyncio.Task[None] | None = None
        self._written = 0
        """Transactions so far."""

    @property
    def sync_url(self) -> str:
        return f"sqlite:///{self.file}"

    async def start(self) -> None:
        def connect() -> None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self._engine(StaticPool).connect() as connection:
                connection.execute(sa.text("SELECT 1"))

        self._writer = None
        await self._in(self._write_thread, connect)
        # Kept open: a new connection reads the whole schema before its first query.
        self._reader = self._make_engine(QueuePool, read_only=True)
        self._checkpoints = asyncio.create_task(self._checkpoint(), name="sqlite-checkpoints")

    async def _checkpoint(self) -> None:
        """Carry the write-ahead log into the database beside the commits, which would otherwise wait for it."""

        written = 0

        def run() -> None:
            with closing(sqlite3.connect(self.file, timeout=0)) as connection:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(CHECKPOINT_EVERY_S)
            if written == self._written:
                continue
            written = self._written
            try:
                await loop.run_in_executor(self._read_threads, run)
            except sqlite3.Error as error:
                log.debug("a checkpoint waits: %s", error)

    def _engine(self, pool: Any) -> sa.Engine:
        if self._writer is None:
            self._writer = self._make_engine(pool, read_only=False)
        return self._writer

    def _make_engine(self, pool: Any, *, read_only: bool) -> sa.Engine:
        engine = sa.create_engine(
            self.sync_url,
            poolclass=pool,
            hide_parameters=True,
            connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
        )

        @event.listens_for(engine, "connect")
        def _configure(connection: Any, _record: object) -> None:
            connection.isolation_level = None  # BEGIN is ours: the driver would begin too late
            cursor = connection.cursor()
            if read_only:
                cursor.execute("PRAGMA query_only=ON")
                # A look at what is open reads all that waits, and would keep it: the operating system does already.
                cursor.execute("PRAGMA cache_size=-500")
            else:
                cursor.execute("PRAGMA journal_mode=WAL")
                cursor.execute("PRAGMA synchronous=FULL")
                cursor.execute("PRAGMA secure_delete=FAST")
                cursor.execute("PRAGMA foreign_keys=ON")
                cursor.execute("PRAGMA cache_size=-1000")
                cursor.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES_MAX}")
                cursor.execute(f"PRAGMA journal_size_limit={WAL_PAGES_MAX * 4096}")
            cursor.close()

        begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            # Past SQLAlchemy, which would do for it what it does for a statement: every read begins with one.
            driver = cast(sqlite3.Connection, connection.connection.dbapi_connection)
            try:
                driver.execute(begin)
            except sqlite3.Error as error:
                raise OperationalError(begin, {}, error) from error

        return engine

    async def stop(self) -> None:
        if self._checkpoints is not None:
            self._checkpoints.cancel()
            await asyncio.wait([self._checkpoints])
        for engine, thread in ((self._reader, self._read_threads), (self._writer, self._write_thread)):
            if engine is not None:
                await self._in(thread, engine.dispose)
            thread.shutdown(wait=True)
        self._reader = self._writer = None

    async def write(self, work: Callable[[Connection], T]) -> T:
        def run() -> T:
            try:
                with self._engine(StaticPool).begin() as connection:
                    return work(connection)
            finally:
                self._written += 1

        return await self._in(self._write_thread, run)

    async def read(self, work: Callable[[Connection], T]) -> T:
        reader = self._reader
        if reader is None:
            raise RuntimeError("the database is not started")

        def run() -> T:
            with reader.connect() as connection:
                return work(connection)

        return await self._in(self._read_threads, run)

    @staticmethod
    async def _in(thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def run() -> None:
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - whatever it is, the caller gets it
                loop.call_soon_threadsafe(_fail, done, error)
            else:
                loop.call_soon_threadsafe(_finish, done, result)

        # Not run_in_executor, whose cancelled callers take work back that has not begun: half watched is half done.
        # What they gave is done whether they wait for it or not.
        thread.submit(run)
        try:
            return await done
        except SQLAlchemyError as error:
            if refused(error):
                raise
            raise unavailable(error) from error


def _finish(done: asyncio.Future[T], result: T) -> None:
    if not done.cancelled():
        done.set_result(result)


def _fail(done: asyncio.Future[T], error: BaseException) -> None:
    if not done.cancelled():
        done.set_exception(error)
    else:
        log.warning("the database failed for somebody who does not wait any more: %s", type(error).__name__)


def refused(error: BaseException) -> bool:
    """Whether the values are to blame, and not the database: trying again would not help.

    PostgreSQL says so by the class of its SQLSTATE: 22 "data exception", 23 "integrity constraint violation".
    """
    if isinstance(error, (IntegrityError, DataError)):
        return True
    state = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    return isinstance(state, str) and state[:2] in {"22", "23"}


def passing(error: BaseException) -> bool:
    """Whether PostgreSQL has undone a statement for reasons of its own: the same again may do.

    By the class of its SQLSTATE: 40 "transaction rollback" (a deadlock), 53 "insufficient resources", 55 "object not in
    prerequisite state" (a lock), 57 "operator intervention".
    """
    state = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    return isinstance(state, str) and state[:2] in {"40", "53", "55", "57"}


def unavailable(error: BaseException) -> DatabaseError:
    """What callers are told of a database that cannot be used."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    # The statement and its parameters stay out: they may hold what people wrote.
    reason = str(cause).splitlines()[0][:200] if isinstance(error, (OperationalError, OSError)) else ""
    name = type(cause).__name__
    return DatabaseError(f"the database cannot be used: {name}: {reason}".rstrip(": "), cause=name)
