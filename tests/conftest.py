"""Fixtures of every test: scratch databases."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

POSTGRES = os.environ.get("RIALTO_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
NATS = os.environ.get("RIALTO_TEST_NATS", "nats://127.0.0.1:4222")


def in_ci() -> bool:
    """Whether a missing service is a failure (CI=true) and not a reason to skip."""
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def unavailable(reason: str) -> None:
    """Skip the test, or fail it where everything must be there."""
    if in_ci():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@asynccontextmanager
async def scratch_postgres() -> AsyncIterator[str]:
    """The url of a new PostgreSQL database, dropped at the end (its connections are ended first)."""
    try:
        server = await asyncpg.connect(POSTGRES, timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        unavailable(f"PostgreSQL at 127.0.0.1:5432 cannot be reached: {error or type(error).__name__}")
        raise AssertionError("unreachable") from error
    name = f"rialto_test_{secrets.token_hex(6)}"
    try:
        await server.execute(f'CREATE DATABASE "{name}"')
        try:
            yield POSTGRES.rpartition("/")[0] + f"/{name}"
        finally:
            await server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    finally:
        await server.close()


@pytest.fixture
async def postgres_url() -> AsyncIterator[str]:
    """The url of a new PostgreSQL database of this test's own."""
    async with scratch_postgres() as url:
        yield url


@pytest.fixture
async def nats_url() -> str:
    """The url of a NATS server; streams and subjects that a test makes carry a name of its own."""
    host, _, port = NATS.removeprefix("nats://").rpartition(":")
    try:
        async with asyncio.timeout(5):
            _, writer = await asyncio.open_connection(host, int(port))
    except (OSError, TimeoutError) as error:
        unavailable(f"NATS at {host}:{port} cannot be reached: {error or type(error).__name__}")
    else:
        writer.close()
    return NATS


@pytest.fixture
def sqlite_url(tmp_path: Path) -> Iterator[str]:
    """The url of a SQLite file of this test's own."""
    yield f"sqlite:///{tmp_path / 'rialto.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """The url of an empty database: the test runs once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'rialto.db'}"
        return
    async with scratch_postgres() as url:
        yield url


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test wrote with lone surrogates cannot go from one process of the run to the other."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(autouse=True)
def usual_depth() -> None:
    """The interpreter's own limit of recursion, whatever another test of this process has left: what is nested too
    deeply must be found so.
    """
    sys.setrecursionlimit(1_000)
