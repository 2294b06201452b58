"""A database in memory, which can be told to die."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from functools import cache, partial
from typing import Any, Final, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy import Connection, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from appservice.database import Database, DatabaseError
from bots.store import tables

T = TypeVar("T")


class MemoryDatabase(Database):
    """SQLite in memory: the same dialect as on a disk, without its waits."""

    dialect = "sqlite"

    def __init__(self) -> None:
        known = _known()
        # Not by create_engine, whose every engine compiles all statements anew.
        self._engine = sa.Engine(
            StaticPool(partial(sqlite3.connect, ":memory:", check_same_thread=False, isolation_level=None)),
            known.dialect,
            known.url,
            execution_options={"compiled_cache": _COMPILED},
            hide_parameters=True,
        )
        self.commits = 0
        self.dies_after: int | None = None
        """After so many further commits nothing more is kept, as after a kill."""

        @event.listens_for(self._engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN")

    @property
    def dead(self) -> bool:
        """Whether it has died."""
        return self.dies_after is not None and self.dies_after <= 0

    @property
    def sync_url(self) -> str:
        return "sqlite://"

    async def start(self) -> None:
        connection = self._engine.raw_connection()
        try:
            _template().backup(cast(sqlite3.Connection, connection.driver_connection))
        finally:
            connection.close()

    async def stop(self) -> None:
        self._engine.dispose()

    async def write(self, work: Callable[[Connection], T]) -> T:
        await asyncio.sleep(0)
        if self.dead:
            raise DatabaseError("the database died (test)")
        try:
            with self._engine.begin() as connection:
                result = work(connection)
        except SQLAlchemyError:
            raise
        self.commits += 1
        if self.dies_after is not None:
            self.dies_after -= 1
        return result

    async def read(self, work: Callable[[Connection], T]) -> T:
        await asyncio.sleep(0)
        with self._engine.begin() as connection:
            return work(connection)


_COMPILED: Final[dict[Any, Any]] = {}
"""Statements, as the dialect of :func:`_known` writes them, of all databases."""


@cache
def _known() -> sa.Engine:
    """An engine that has asked SQLite what it can do."""
    engine = sa.create_engine("sqlite://", poolclass=StaticPool)
    with engine.connect():
        return engine


@cache
def _template() -> sqlite3.Connection:
    """A database with all tables, made once and copied: a test makes many."""
    made = sqlite3.connect(":memory:", check_same_thread=False)
    engine = sa.create_engine("sqlite://", poolclass=StaticPool, creator=lambda: made)
    with engine.begin() as connection:
        tables.metadata.create_all(connection, checkfirst=False)
    return made
