"""Writes marks down in bulk, soon. Until then a crash only means to do something again that changes nothing."""

from __future__ import annotations

import asyncio
import contextvars
import logging

from appservice.database import DatabaseError
from appservice.store.bulk import Bulk, Row
from appservice.writer import Job, Writer

log = logging.getLogger(__name__)


class Recorder:
    """Rows that nobody waits for. They are kept, in order, while the database is gone."""

    def __init__(self, writer: Writer, backoff: float, backoff_max: float) -> None:
        self._writer = writer
        self._backoff = backoff
        self._backoff_max = backoff_max
        self._rows: list[tuple[Bulk, Row]] = []
        self._task: asyncio.Task[None] | None = None

    def record(self, statement: Bulk, row: Row) -> None:
        """Write a row by one of the writer's statements."""
        self._rows.append((statement, row))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="recorder", context=contextvars.Context())

    async def stop(self, grace: float) -> None:
        """Write what is left, for ``grace`` seconds at most."""
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task], timeout=grace)
            if not self._task.done():
                log.warning("%d marks could not be written; the next start finds out again", len(self._rows))
                self._task.cancel()

    async def _run(self) -> None:
        delay = self._backoff
        while self._rows:
            rows, self._rows = self._rows, []
            try:
                await self._writer.submit(Job(rows=rows))
                delay = self._backoff
            except DatabaseError as error:
                self._rows = rows + self._rows
                log.warning("marks wait for the database: %s", error)
                await asyncio.sleep(delay)
                delay = min(delay * 2, self._backoff_max)
