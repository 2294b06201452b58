"""Removes messages whose time has come, for everybody: the steward redacts them.

Each is redacted once, whatever happens: before a batch is redacted it is marked as tried, and one that is marked is
looked at first. (The homeserver remembers the transaction ids of a user without a device until it restarts only, and
redacts again whatever is asked of it again.)

It goes gently: so many a second at most, a few rooms at a time, one message of a room after the other. What was due
while nobody was there goes in its order, and what is due now does not wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.database import Database
from appservice.homeserver import HomeserverError
from appservice.metrics import Metrics
from bridge.background import Background, together
from bridge.steward import Steward
from bridge.store import chats as chat_store
from bridge.store import timers as store
from bridge.store.chats import Chat
from bridge.store.timers import Timed
from bridge.timers.feature import REASONS, redacted

log = logging.getLogger(__name__)

BATCH: Final = 100
LATE_MS: Final = 60_000
"""What was due so long ago is late, and lets go first what is due now."""
WAKE_AFTER_S: Final = 0.5
"""A time is told of within the commit that notes it; this is longer than commits take."""
FIRST_PAUSE_MS: Final = 60_000
LONGEST_PAUSE_MS: Final = 86_400_000
MOST_ATTEMPTS: Final = 40
"""Refusals of the homeserver until a message is given up: about a month."""


class Pace:
    """So many turns a second at most, evenly."""

    def __init__(self, clock: Clock, per_second: float) -> None:
        if per_second <= 0:
            raise ValueError("a pace is more than nothing")
        self._clock = clock
        self._interval_ms = 1000 / per_second
        self._free_at = 0.0

    async def turn(self) -> None:
        """Wait for the next one."""
        begin = max(float(self._clock.now_ms()), self._free_at)
        self._free_at = begin + self._interval_ms
        await self._clock.wait_until(int(begin))

    def pause(self, seconds: float) -> None:
        """No turn for so long."""
        self._free_at = max(self._free_at, self._clock.now_ms() + seconds * 1000)


class Drain:
    """The background work. :meth:`soon` it when something is to be removed."""

    def __init__(
        self,
        steward: Steward,
        database: Database,
        clock: Clock,
        metrics: Metrics,
        *,
        per_second: float,
        concurrency: int,
    ) -> None:
        """
        Args:
            per_second: redactions at most.
            concurrency: rooms at a time.
        """
        self._steward = steward
        self._database = database
        self._clock = clock
        self._metrics = metrics
        self._pace = Pace(clock, per_second)
        self._limit = asyncio.Semaphore(concurrency)
        self._next: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.files_gone: Callable[[], object] = lambda: None
        """Called when messages were removed: perhaps their files are to be."""
        self.background = Background("timers", clock, self.run_due, self._upcoming)

    def soon(self, due_at: int) -> None:
        """Something is due then (ms). May be called from any thread, and within the commit that says so."""
        loop = self._loop
        if loop is not None and (self._next is None or due_at < self._next):
            loop.call_soon_threadsafe(self._told, due_at)

    def _told(self, due_at: int) -> None:
        if self._loop is not None and (self._next is None or due_at < self._next):
            self._next = due_at
            self._loop.call_later(WAKE_AFTER_S, self.background.wake)

    def start(self) -> None:
        """Begin."""
        self._loop = asyncio.get_running_loop()
        self.background.start()

    async def stop(self) -> None:
        """End; harmless when it has not begun."""
        self._loop = None
        await self.background.stop()

    async def run_due(self) -> int:
        """Remove what is due, a batch of it; how many were tried.

        Raises:
            HomeserverError: it cannot be asked now; the rest is done later, in its order.
        """
        now = self._clock.now_ms()

        def read(connection: Connection) -> tuple[list[Timed], dict[str, Chat | None]]:
            found = store.due(connection, now, now - LATE_MS, BATCH)
            rooms = dict.fromkeys(each.room_id for each in found)
            return found, {room_id: chat_store.by_room(connection, room_id) for room_id in rooms}

        found, chats = await self._database.read(read)
        self._metrics.timers_behind_seconds.set(
            max((now - (each.due_at or now)) / 1000 for each in found) if found else 0
        )
        if not found:
            return 0
        fresh = [each.event_id for each in found if not each.tried]
        await self._database.write(lambda connection: store.claim(connection, fresh))
        by_room: dict[str, list[Timed]] = {}
        for each in found:
            by_room.setdefault(each.room_id, []).append(each)
        done: list[str] = []
        try:
            await together(self._room(chats[room_id], some, done) for room_id, some in by_room.items())
        finally:
            await self._note(done)
        return len(found)

    async def _upcoming(self) -> int | None:
        self._next = await self._database.read(store.next_due)
        return self._next

    async def _room(self, chat: Chat | None, messages: Sequence[Timed], done: list[str]) -> None:
        """Remove messages of one room, one after the other, and add those that are gone to ``done``."""
        async with self._limit:
            for message in messages:
                # Of a chat that was deleted for everybody nothing is left to be removed.
                if chat is None or chat.deleted_at is not None or await self._remove(chat, message):
                    done.append(message.event_id)

    async def _note(self, done: Sequence[str]) -> None:
        """They are gone. A crash before this costs a look at each, see :meth:`_remove`."""
        if done:
            now = self._clock.now_ms()
            await self._database.write(lambda connection: store.gone(connection, done, now))
            self._metrics.timers_removed.inc(len(done))
            self.files_gone()

    async def _remove(self, chat: Chat, message: Timed) -> bool:
        """Remove one; whether it is gone now.

        Raises:
            HomeserverError: not now.
        """
        hand = self._steward.of(chat)
        try:
            if message.tried and redacted(await hand.event(message.room_id, message.event_id)):
                return True
            await self._pace.turn()
            await hand.redact(message.room_id, message.event_id, _txn(message.event_id), REASONS[message.reason])
        except HomeserverError as error:
            if error.retry_after:
                self._pace.pause(error.retry_after)
            if error.temporary:
                raise
            if error.status == 404:
                return True  # there is no such room or message any more
            await self._refused(message, error)
            return False
        return True

    async def _refused(self, message: Timed, error: HomeserverError) -> None:
        """Somebody took the steward's power, perhaps to give it back."""
        if message.attempts >= MOST_ATTEMPTS:
            log.warning("a message stays: %s", error, extra={"room_id": message.room_id})
            self._metrics.timers_given_up.inc()
            await self._database.write(lambda connection: store.drop(connection, [message.event_id]))
            return
        pause = min(FIRST_PAUSE_MS * 2 ** min(message.attempts, 20), LONGEST_PAUSE_MS)
        due_at = self._clock.now_ms() + pause
        await self._database.write(lambda connection: store.later(connection, [message.event_id], due_at))


def _txn(event_id: str) -> str:
    return "t" + sha256(f"timer\0{event_id}".encode()).hexdigest()[:40]
