"""Fixtures of the store tests: an empty database with the engine's tables, on SQLite and on PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from appservice import processor, worker
from appservice.database import Database, open_database
from bots.store.tables import metadata
from tests.conftest import scratch_postgres
from tests.store.harness import Engine, FlakyDatabase


class _Scratch:
    """The run's databases: making one for each test would take most of the time."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self._url: str | None = None
        self._connection: asyncpg.Connection[Any] | None = None

    async def sqlite(self, file: Path) -> str:
        """The url of a new, empty file: a copy of one that was made once."""
        made = self._folder / "empty.db"
        if not made.exists():
            await _create(f"sqlite:///{made}")
        shutil.copyfile(made, file)
        return f"sqlite:///{file}"

    async def postgresql(self) -> str:
        """The url of one for the whole run, emptied. Made when it is asked for, so that tests on SQLite run without."""
        if self._url is None or self._connection is None:
            self._url = await self._stack.enter_async_context(scratch_postgres())
            await _create(self._url)
            self._connection = await asyncpg.connect(self._url)
            self._stack.push_async_callback(self._connection.close)
        # In one request, by a connection that knows the tables already. TRUNCATE takes seconds: a new file for each.
        await self._connection.execute(_EMPTY)
        return self._url


_EMPTY = "\n".join(f'DELETE FROM "{table.name}";' for table in reversed(metadata.sorted_tables))


async def _create(url: str) -> None:
    """Make the tables in an empty database."""
    database = open_database(url, pool_size=1)
    await database.start()
    await database.write(metadata.create_all)
    await database.stop()


@pytest.fixture(scope="session")
async def scratch(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[_Scratch]:
    """The run's databases."""
    async with AsyncExitStack() as stack:
        yield _Scratch(stack, tmp_path_factory.mktemp("scratch"))


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path, scratch: _Scratch) -> AsyncIterator[Database]:
    """A started, empty database: the test runs once on SQLite and once on PostgreSQL."""
    sqlite = request.param == "sqlite"
    url = await scratch.sqlite(tmp_path / "rialto.db") if sqlite else await scratch.postgresql()
    made = open_database(url, pool_size=4)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture(scope="session", autouse=True)
def compiled_once() -> Iterator[None]:
    """Each test has engines of its own, and each engine would write every statement anew."""
    dialects: dict[str, sa.Dialect] = {}
    compiled: dict[Any, Any] = {}

    def sharing(engine: sa.Engine) -> None:
        engine.dialect = dialects.setdefault(engine.url.drivername, engine.dialect)
        engine.update_execution_options(compiled_cache=compiled)

    make, make_async = sa.create_engine, create_async_engine

    def create(*arguments: Any, **options: Any) -> sa.Engine:
        engine = make(*arguments, **options)
        sharing(engine)
        return engine

    def create_async(*arguments: Any, **options: Any) -> AsyncEngine:
        engine = make_async(*arguments, **options)
        sharing(engine.sync_engine)
        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sa, "create_engine", create)
        patch.setattr("appservice.postgres.create_async_engine", create_async)
        yield


@pytest.fixture
def flaky(database: Database) -> FlakyDatabase:
    """The database, with faults at will."""
    return FlakyDatabase(database)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's own pauses, short."""
    monkeypatch.setattr(processor, "INFRASTRUCTURE_PAUSE_S", 0.01)
    monkeypatch.setattr(worker, "INFRASTRUCTURE_PAUSE_S", 0.01)
    monkeypatch.setattr(worker, "JANITOR_S", 0.25)  # it reads every time, and few tests wait for it


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
