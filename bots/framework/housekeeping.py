"""Forgets what is over: expired state, dialogs that ended and links that expired a while ago."""

from __future__ import annotations

import asyncio
import logging

from appservice.database import Database, DatabaseError
from bots.framework.clock import Clock
from bots.framework.state import Store
from bots.store import dialogs, pages

log = logging.getLogger(__name__)

EVERY_MS = 10 * 60 * 1000
KEEP_MS = 7 * 24 * 3600 * 1000
"""How long an operator can look at a dialog that has ended, and people are told that a link was used."""


class Housekeeping:
    """Runs beside the service."""

    def __init__(self, database: Database, store: Store, clock: Clock) -> None:
        self._database = database
        self._store = store
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="housekeeping")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def tidy(self) -> int:
        """Forget what is over now; how much that was.

        Raises:
            DatabaseError: another time.
        """
        now = self._clock.now_ms()
        total = await self._store.purge(now)
        while ended := await self._database.write(lambda connection: dialogs.purge(connection, now - KEEP_MS)):
            total += ended
        while expired := await self._database.write(lambda connection: pages.purge_links(connection, now - KEEP_MS)):
            total += expired
        return total

    async def _run(self) -> None:
        while True:
            try:
                await self.tidy()
            except DatabaseError as error:
                log.warning("housekeeping waits for the database: %s", error)
            await self._clock.wait_until(self._clock.now_ms() + EVERY_MS)
