"""What delivery does by itself: writes receipts, asks for lost ones, forgets what is old."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.database import Database, DatabaseError
from bridge.delivery.receipts import ReceiptStream
from bridge.delivery.service import DeliveryService
from bridge.registry import Registry
from bridge.store import delivery as store

log = logging.getLogger(__name__)

GATHER_S: Final = 0.2
"""Receipts come in swarms: one write for those of so long."""
RETRY_S: Final = 1.0
CATCH_UP_S: Final = 60.0
FORGET_S: Final = 3_600.0
FORGET_AT_ONCE: Final = 1_000
FORGET_CHATS: Final = 10
DAY_MS: Final = 86_400_000


class DeliveryTasks:
    """The tasks. ``start`` when events flow, ``stop`` before the database."""

    def __init__(
        self,
        service: DeliveryService,
        stream: ReceiptStream,
        database: Database,
        registry: Registry,
        clock: Clock,
        users: Callable[[], Sequence[str]],
        keep_days: int,
    ) -> None:
        """
        Args:
            users: users of ours whose rooms' receipts are asked for.
            keep_days: how long the numbers of events are kept.
        """
        self._service = service
        self._stream = stream
        self._database = database
        self._registry = registry
        self._clock = clock
        self._users = users
        self._keep_days = keep_days
        self._tasks: list[asyncio.Task[None]] = []
        stream.takers.append(self._take)

    async def start(self) -> None:
        """Begin."""
        for work, name in ((self._flush(), "flush"), (self._catch_up(), "catch-up"), (self._forget(), "forget")):
            self._tasks.append(asyncio.create_task(work, name=f"delivery-{name}"))

    async def stop(self) -> None:
        """End; what waits to be written is found again in the stream of receipts."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _take(self, events: Sequence[Mapping[str, Any]]) -> None:
        for event in events:
            self._service.receipts(event)
        await self._service.flush()

    async def _flush(self) -> None:
        while True:
            await self._service.wait()
            await asyncio.sleep(GATHER_S)
            try:
                await self._service.flush()
            except DatabaseError as error:
                log.warning("receipts wait: %s", error)
                await asyncio.sleep(RETRY_S)
                self._service.hurry()

    async def _catch_up(self) -> None:
        while True:
            try:
                if len(self._registry):
                    await self._stream.catch_up(self._users())
            except DatabaseError as error:
                log.warning("receipts wait: %s", error)
            await asyncio.sleep(CATCH_UP_S)

    async def _forget(self) -> None:
        while True:
            try:
                await self.forget()
            except DatabaseError as error:
                log.warning("old numbers stay for now: %s", error)
            await asyncio.sleep(FORGET_S)

    async def forget(self) -> None:
        """Forget what is older than it is kept, a small part at a time, so that nobody waits for it."""
        before = self._clock.now_ms() - self._keep_days * DAY_MS

        def some(connection: Connection) -> int:
            due = store.due(connection, before, FORGET_CHATS)
            for chat_id in due:
                store.forget_before(connection, chat_id, before, FORGET_AT_ONCE)
            deleted = store.deleted(connection, FORGET_CHATS)
            for chat_id in deleted:
                store.forget_chat(connection, chat_id)
            return len(due) + len(deleted)

        some_left = 1
        while some_left:
            some_left = await self._database.write(some)
