"""Fixtures of the store tests: an empty database with the engine's tables, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete

from appservice import processor, worker
from appservice.database import Database, open_database
from bots.store.tables import metadata
from tests.conftest import scratch_postgres
from tests.store.harness import Engine, FlakyDatabase


class _Scratch:
    """One PostgreSQL database for the whole run: making one for each test would take most of the time."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._url: str | None = None

    async def url(self) -> str:
        """Made when it is asked for, so that tests on SQLite run without PostgreSQL."""
        if self._url is None:
            self._url = await self._stack.enter_async_context(scratch_postgres())
            database = open_database(self._url, pool_size=1)
            await database.start()
            await database.write(metadata.create_all)
            await database.stop()
        return self._url


@pytest.fixture(scope="session")
async def scratch() -> AsyncIterator[_Scratch]:
    """The run's PostgreSQL database."""
    async with AsyncExitStack() as stack:
        yield _Scratch(stack)


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path, scratch: _Scratch) -> AsyncIterator[Database]:
    """A started, empty database: the test runs once on SQLite and once on PostgreSQL."""
    url = f"sqlite:///{tmp_path / 'rialto.db'}" if request.param == "sqlite" else await scratch.url()
    made = open_database(url, pool_size=4)
    await made.start()

    def clean(connection: Connection) -> None:
        if request.param == "sqlite":
            metadata.create_all(connection)
        for table in metadata.sorted_tables:
            connection.execute(delete(table))

    await made.write(clean)
    yield made
    await made.stop()


@pytest.fixture
def flaky(database: Database) -> FlakyDatabase:
    """The database, with faults at will."""
    return FlakyDatabase(database)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's own pauses, short."""
    monkeypatch.setattr(processor, "INFRASTRUCTURE_PAUSE_S", 0.01)
    monkeypatch.setattr(worker, "INFRASTRUCTURE_PAUSE_S", 0.01)
    monkeypatch.setattr(worker, "JANITOR_S", 0.02)


MakeEngine = Callable[..., Any]


@pytest.fixture
async def engine(flaky: FlakyDatabase) -> AsyncIterator[MakeEngine]:
    """Starts engines on the flaky database; each is stopped at the end."""
    made: list[Engine] = []

    async def make(*arguments: Any, worker: bool = True, **options: Any) -> Engine:
        one = Engine(flaky, *arguments, **options)
        made.append(one)
        return await one.start(worker=worker)

    yield make
    flaky.fault = lambda: None
    for one in made:
        await one.crash()
