"""A fake homeserver, the real service as a process, and steady load between them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.fake_homeserver import FakeHomeserver
from tests.support.migrated import put_migrated
from tests.support.service_process import ServiceProcess, free_port

BOT = "@echo:localhost"
HUMAN = "@alice:localhost"
QUICK_RETRIES: Mapping[str, Mapping[str, Any]] = {"engine": {"backoff": 0.05, "backoff_max": 0.5, "grace": 10}}


@dataclass(slots=True)
class World:
    """One homeserver, one service, rooms that the echo bot has joined."""

    homeserver: FakeHomeserver
    service: ServiceProcess
    rooms: list[str]
    folder: Path
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def say(self, count: int) -> None:
        """Push messages over the rooms in turn; each wants one answer."""
        for _ in range(count):
            number = next(self._numbers)
            self.homeserver.say(self.rooms[number % len(self.rooms)], f"chaos {number}")

    def outstanding(self) -> int:
        """Messages without an answer."""
        return len(self.homeserver.record.expected) - self.homeserver.record.answered

    async def keep_talking(self, least: int = 200) -> None:
        """Push more whenever fewer than ``least`` messages wait for an answer. Runs until it is cancelled."""
        while True:
            await self.homeserver.wait_for(lambda: self.outstanding() < least, 120, "room for more messages")
            self.say(least)
            await asyncio.sleep(0)

    @contextlib.asynccontextmanager
    async def load(self, least: int = 200) -> AsyncIterator[None]:
        """Steady load within the block."""
        task = asyncio.create_task(self.keep_talking(least))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def answers_more(self, count: int, seconds: float = 30) -> None:
        """Wait until so many more messages are answered, while the service lives."""
        target = self.homeserver.record.answered + count
        await self.service.wait_until(
            lambda: self.homeserver.record.answered >= target, seconds, f"{target} answers: {self.homeserver.report()}"
        )

    async def outage_noticed(self, seconds: float = 30) -> None:
        """Wait until the service says that the homeserver cannot be reached."""
        await self.service.wait_readiness(
            lambda status, words: status == 503 and "cannot be reached" in words, seconds, "the outage is noticed"
        )

    async def refused_more(self, count: int, seconds: float = 30) -> None:
        """Wait until the homeserver has answered so many more requests with its fault's status."""
        target = self.homeserver.refused + count
        await self.homeserver.wait_for(lambda: self.homeserver.refused >= target, seconds, f"{target} refusals")

    async def settle(self, seconds: float = 60) -> None:
        """Everything so far is answered, and then one more message in every room: order in a room makes sure that
        nothing is left behind that could be sent a second time. Then the count must be clean."""
        await self.homeserver.wait_all(seconds)
        self.say(2 * len(self.rooms))
        await self.homeserver.wait_all(seconds)
        report = self.homeserver.report()
        assert report.lost == 0, f"{report}: {self.homeserver.record.missing()[:10]}"
        assert report.repeated == 0, f"answers that came twice: {report}"
        assert report.out_of_order == 0, f"answers out of order: {report}"
        assert report.collisions == 0, f"transaction ids of two bots met: {report}"


@contextlib.asynccontextmanager
async def world(
    folder: Path,
    *,
    rooms: int = 10,
    database: str | None = None,
    sections: Mapping[str, Mapping[str, Any]] | None = None,
    backoff: float = 0.1,
    backoff_max: float = 0.5,
    start: bool = True,
) -> AsyncIterator[World]:
    """A world whose service is ready (unless ``start`` is false). Its processes end with the block."""
    homeserver = FakeHomeserver(appservice_port=free_port(), loopback=True, backoff=backoff, backoff_max=backoff_max)
    await homeserver.start()
    try:
        room_ids = [homeserver.add_room([HUMAN, BOT]).room_id for _ in range(rooms)]
        sections = {**QUICK_RETRIES, **(sections or {})}
        if database is None:
            await put_migrated(folder / "rialto.db")
        with ServiceProcess.rialto(
            folder, homeserver, database=database, health_port=free_port(), sections=sections, forked=True
        ) as service:
            made = World(homeserver, service, room_ids, folder)
            try:
                if start:
                    await service.start_ready(homeserver, 30)
                yield made
            except BaseException:
                print(f"the service's log ends with:\n{service.log_tail()}")
                raise
    finally:
        await homeserver.stop()
