"""A database in memory, which can be told to die."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from appservice.database import Database, DatabaseError
from bots.store import tables

T = TypeVar("T")


class MemoryDatabase(Database):
    """SQLite in memory: the same dialect as on a disk, without its waits."""

    dialect = "sqlite"

    def __init__(self) -> None:
        self._engine = sa.create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}, hide_parameters=True
        )
        self.commits = 0
        self.dies_after: int | None = None
        """After so many further commits nothing more is kept, as after a kill."""

        @event.listens_for(self._engine, "connect")
        def _configure(connection: Any, _record: object) -> None:
            connection.isolation_level = None

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
        with self._engine.begin() as connection:
            for statement in _schema():
                connection.exec_driver_sql(statement)

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


@cache
def _schema() -> tuple[str, ...]:
    """The statements that make all tables, written once: a test makes many databases."""
    statements: list[str] = []
    dialect = sqlite.dialect()

    def record(statement: Any, *_args: object, **_kwargs: object) -> None:
        statements.append(str(statement.compile(dialect=dialect)))

    tables.metadata.create_all(sa.create_mock_engine("sqlite://", record), checkfirst=False)
    return tuple(statements)
