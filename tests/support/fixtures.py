"""Fixtures with real servers. A conftest.py imports those it offers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.conftest import scratch_postgres
from tests.support.human import Human
from tests.support.migrated import put_migrated
from tests.support.servers import RialtoProcess, Server, running_synapse


class StartRialto(Protocol):
    """Starts a Rialto with its own registration, bots and database, and waits until it is ready.

    ``database``: "sqlite", "postgresql" (a scratch database) or a url. ``overrides``: sections of config.yaml, merged.
    """

    async def __call__(
        self,
        bots: Sequence[str] = ("hub", "echo"),
        *,
        database: str = "sqlite",
        overrides: Mapping[str, Any] | None = None,
        start: bool = True,
    ) -> RialtoProcess: ...


NewHuman = Callable[[str], Awaitable[Human]]


@pytest.fixture(scope="session")
async def synapse(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """One real Synapse for the whole run, with a registration for each Rialto that a test starts."""
    async with running_synapse(tmp_path_factory.mktemp("homeserver")) as server:
        yield server


@pytest.fixture
async def rialto(synapse: Server, tmp_path: Path) -> AsyncIterator[StartRialto]:
    """A factory of Rialto processes; all are stopped at the end."""
    async with AsyncExitStack() as stack:
        made: list[RialtoProcess] = []

        async def make(
            bots: Sequence[str] = ("hub", "echo"),
            *,
            database: str = "sqlite",
            overrides: Mapping[str, Any] | None = None,
            start: bool = True,
        ) -> RialtoProcess:
            url = "sqlite:///rialto.db" if database == "sqlite" else database
            if database == "postgresql":
                url = await stack.enter_async_context(scratch_postgres())
            folder = tmp_path / f"rialto{len(made)}"
            if database == "sqlite":
                await put_migrated(folder / "rialto.db")
            process = RialtoProcess(synapse, synapse.take_slot(), folder, bots, url, overrides, forked=True)
            made.append(process)
            stack.push_async_callback(process.stop, 10)
            if start:
                await process.start()
            return process

        yield make


@pytest.fixture
async def new_human(synapse: Server, tmp_path: Path) -> AsyncIterator[NewHuman]:
    """A factory of people with fresh accounts, logged in and syncing; all are closed at the end."""
    async with AsyncExitStack() as stack:
        number = 0

        async def make(name: str) -> Human:
            nonlocal number
            number += 1
            human = await synapse.human(name, tmp_path / f"human{number}")
            stack.push_async_callback(human.close)
            return human

        yield make


@pytest.fixture
async def alice(new_human: NewHuman) -> Human:
    """A person."""
    return await new_human("alice")


@pytest.fixture
async def bob(new_human: NewHuman) -> Human:
    """Another person."""
    return await new_human("bob")
