"""What delivery does by itself: writes receipts, asks for lost ones, forgets what is old."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.database import Database, DatabaseError
from appservice.homeserver import HomeserverError
from bridge.delivery.receipts import LostReceipts
from bridge.delivery.service import DeliveryService
from bridge.store import delivery as store

log = logging.getLogger(__name__)

GATHER_S: Final = 0.2
"""Receipts come in swarms: one write for those of so long."""
RETRY_S: Final = 1.0
ASK_AGAIN_S: Final = 60.0
FORGET_S: Final = 3_600.0
FORGET_AT_ONCE: Final = 1_000
FORGET_CHATS: Final = 10
DAY_MS: Final = 86_400_000


class DeliveryTasks:
    """The tasks. ``start`` when events flow, ``stop`` before the database."""

    def __init__(
        self,
        service: DeliveryService,
        lost: LostReceipts,
        database: Database,
        clock: Clock,
        keep_days: int,
    ) -> None:
        """
        Args:
            keep_days: how long the numbers of events are kept.
        """
        self._service = service
        self._lost = lost
        self._database = database
        self._clock = clock
        self._keep_days = keep_days
        self._tasks: list[asyncio.Task[None]] = []
        lost.takers.append(self._take)

    async def start(self) -> None:
        """Begin."""
        for work, name in ((self._flush(), "flush"), (self._ask(), "ask"), (self._forget(), "forget")):
            self._tasks.append(asyncio.create_task(work, name=f"delivery-{name}"))

    async def stop(self) -> None:
        """End; what waits to be written is asked for at the next start."""
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

    async def _ask(self) -> None:
        while True:
            try:
                await self._lost.ask()
            except (HomeserverError, DatabaseError) as error:
                log.warning("lost receipts wait: %s", error)
                await asyncio.sleep(ASK_AGAIN_S)
            else:
                return

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
