"""PostgreSQL behind the same way of writing and reading."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from appservice.database import Database, refused, unavailable

T = TypeVar("T")


class PostgresDatabase(Database):
    """PostgreSQL by asyncpg."""

    dialect = "postgresql"

    def __init__(self, url: str, *, pool_size: int) -> None:
        self._plain_url = re.sub(r"^postgres(ql)?://", "postgresql://", url)
        self._pool_size = pool_size
        self._engine: AsyncEngine | None = None

    @property
    def sync_url(self) -> str:
        return self._plain_url.replace("postgresql://", "postgresql+asyncpg://", 1)

    async def start(self) -> None:
        self._engine = create_async_engine(
            self.sync_url,
            hide_parameters=True,
            pool_size=self._pool_size,
            max_overflow=0,
            pool_pre_ping=False,
            pool_timeout=10,
            connect_args={"timeout": 10, "command_timeout": 60, "server_settings": {"jit": "off"}},
        )
        await self.read(lambda connection: connection.execute(sa.text("SELECT 1")).scalar())

    async def stop(self) -> None:
        if self._engine is not None:
            await self._engine.dispose()
            self._engine = None

    async def write(self, work: Callable[[Connection], T]) -> T:
        try:
            async with self._started.begin() as connection:
                return await connection.run_sync(work)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            if refused(error):
                raise
            raise unavailable(error) from error

    async def read(self, work: Callable[[Connection], T]) -> T:
        try:
            async with self._started.connect() as connection:
                return await connection.run_sync(work)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise unavailable(error) from error

    @property
    def _started(self) -> AsyncEngine:
        if self._engine is None:
            raise RuntimeError("the database is not started")
        return self._engine
