"""Writes marks down in bulk, soon. Until then a crash only means to do something again that changes nothing."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Sequence

from appservice.database import DatabaseError
from appservice.store.bulk import Bulk, Row
from appservice.writer import Job, Writer

log = logging.getLogger(__name__)

Mark = tuple[Bulk, Row]
Key = tuple[str, int, int]


class Recorder:
    """Rows that nobody waits for. They are kept while the database is gone, of each row what was said last."""

    def __init__(self, writer: Writer, backoff: float, backoff_max: float) -> None:
        self._writer = writer
        self._backoff = backoff
        self._backoff_max = backoff_max
        self._marks: dict[Key, Mark] = {}
        self._flying: dict[Key, Mark] = {}
        self._task: asyncio.Task[None] | None = None

    def record(self, statement: Bulk, row: Row) -> None:
        """Write a row by one of the writer's statements."""
        self._marks[_key(statement, row)] = (statement, row)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="recorder", context=contextvars.Context())

    def supersede(self, statement: Bulk, row: Row) -> None:
        """The caller writes this row itself: what waits here is older, and must not come after it."""
        key = _key(statement, row)
        self._marks.pop(key, None)
        self._flying.pop(key, None)

    async def stop(self, grace: float) -> None:
        """Write what is left, for ``grace`` seconds at most."""
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task], timeout=grace)
            if not self._task.done():
                left = len(self._marks) + len(self._flying)
                log.warning("%d marks could not be written; the next start finds out again", left)
                self._task.cancel()

    async def _run(self) -> None:
        delay = self._backoff
        while self._marks:
            self._flying, self._marks = self._marks, {}
            problem: DatabaseError | None = None
            try:
                await self._write(list(self._flying.values()))
            except DatabaseError as error:
                problem = error
                self._marks = self._flying | self._marks
            self._flying = {}
            if problem is None:
                delay = self._backoff
                continue
            log.warning("marks wait for the database: %s", problem)
            await asyncio.sleep(delay)
            delay = min(delay * 2, self._backoff_max)

    async def _write(self, marks: Sequence[Mark]) -> None:
        try:
            await self._writer.submit(Job(rows=marks))
        except DatabaseError:
            raise
        except Exception as error:  # noqa: BLE001
            # One of them is refused for what it is, and would be for ever: it is left out, the others are not.
            if len(marks) == 1:
                log.error("a mark was refused by the database: %s", type(error).__name__)
                return
            for mark in marks:
                await self._write([mark])


def _key(statement: Bulk, row: Row) -> Key:
    return statement.table.name, row["shard"], row["seq"]
