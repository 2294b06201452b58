"""Goes through the timelines of chats with a retention rule, and has removed what is older than it allows.

It goes from the beginning of a room on and notes how far everything is removed, so that it reads each message once. So
the history of an adopted room is kept for as long as any other, a rule that was changed is followed, and after a
downtime it goes on where it stopped. What is to be removed is noted, and removed by :mod:`bridge.timers.drain`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.database import Database
from appservice.homeserver import HomeserverError
from bridge.background import Background
from bridge.domain.retention import DAY_MS, SOONEST_MS, expired, next_look, shortest
from bridge.domain.timers import media_of, moment_sent
from bridge.steward import Steward
from bridge.store import chats as chat_store
from bridge.store import retention as store
from bridge.store import timers
from bridge.store.chats import Chat
from bridge.store.retention import Sweep
from bridge.store.timers import Timed
from bridge.timers.feature import Places, redacted

log = logging.getLogger(__name__)

PAGE: Final = 100
ROOMS: Final = 20
MOST_WAITING: Final = 2_000
"""Messages of a room that wait to be removed; the room is gone on with when there are less."""
LOOK_AGAIN_MS: Final = 30_000
REDACTION: Final = "m.room.redaction"


class Sweeper:
    """The background work."""

    def __init__(
        self, steward: Steward, database: Database, clock: Clock, soon: Callable[[int], None], everywhere: int | None
    ) -> None:
        """
        Args:
            soon: told when something is to be removed (ms).
            everywhere: days that messages are kept at the most, in all chats; None: for good.
        """
        self._steward = steward
        self._database = database
        self._clock = clock
        self._soon = soon
        self._everywhere = everywhere
        self._places = Places(clock)
        self.background = Background("retention", clock, self.run_due, self._upcoming)

    def released(self) -> None:
        """A hold was released: what waited for that is removed."""
        self._soon(self._clock.now_ms())
        self.background.wake()

    async def run_due(self) -> int:
        """Go on with the rooms that it is time for, a page of each; how many."""
        now = self._clock.now_ms()

        def begin(connection: Connection) -> list[Sweep]:
            store.begin_sweeps(connection, now, everywhere=self._everywhere is not None)
            return store.sweeps_due(connection, now, ROOMS)

        found = await self._database.write(begin)
        for sweep in found:
            await self._one(sweep)
        return len(found)

    async def _upcoming(self) -> int | None:
        return await self._database.read(store.next_sweep)

    async def _one(self, sweep: Sweep) -> None:
        room_id, now = sweep.room_id, self._clock.now_ms()

        def read(connection: Connection) -> tuple[Chat | None, int | None, int]:
            own = store.days_of_room(connection, room_id)
            return chat_store.by_room(connection, room_id), own, timers.waiting(connection, room_id, now)

        chat, own, waiting = await self._database.read(read)
        days = shortest(own, self._everywhere)
        if chat is None or chat.deleted_at is not None or days is None:
            await self._database.write(lambda connection: store.end_sweep(connection, room_id))
            return
        if waiting >= MOST_WAITING:
            await self._swept(sweep, now + LOOK_AGAIN_MS)
            return
        try:
            chunk, following = await self._steward.of(chat).messages(
                room_id, back=False, start=sweep.cursor, limit=PAGE
            )
        except HomeserverError as error:
            if error.temporary:
                raise
            log.warning("a chat cannot be gone through: %s", error, extra={"room_id": room_id})
            # A place in the timeline that the homeserver does not know any more: from the beginning, then.
            await self._swept(Sweep(room_id, "", 0), now + SOONEST_MS)
            return
        await self._page(chat, sweep, chunk, following, days)

    async def _page(
        self, chat: Chat, sweep: Sweep, chunk: Sequence[Mapping[str, Any]], following: str, days: int
    ) -> None:
        """Have the old ones of a page removed, and note how far all are."""
        now = self._clock.now_ms()
        before = now - days * DAY_MS
        count = expired([_at(raw, now) for raw in chunk], before)
        old = [
            (raw, replace(found, seq=self._places.next()))
            for raw in chunk[:count]
            if (found := _message(raw, chat.room_id, now)) is not None
        ]
        files = [(raw["event_id"], raw["sender"], media_of(raw["content"])) for raw, _ in old]
        whole = bool(chunk) and count == len(chunk) and bool(following)
        cursor = following if whole else sweep.cursor
        kept = [_at(raw, now) for raw in chunk[count:]]
        due_at = now if whole else next_look(min(kept) if kept else None, days, now)

        def work(connection: Connection) -> None:
            if store.is_held(connection, chat.room_id):
                return
            timers.expire(connection, [message for _, message in old], now)
            for event_id, sender, media in files:
                timers.add_files(connection, event_id, chat.room_id, sender, media)
            store.swept(connection, chat.room_id, cursor, due_at)

        await self._database.write(work)
        if old:
            self._soon(now)

    async def _swept(self, sweep: Sweep, due_at: int) -> None:
        await self._database.write(lambda connection: store.swept(connection, sweep.room_id, sweep.cursor, due_at))


def _at(raw: Mapping[str, Any], now: int) -> int:
    at = raw.get("origin_server_ts")
    return moment_sent(at, now) if isinstance(at, int) else now


def _message(raw: Mapping[str, Any], room_id: str, now: int) -> Timed | None:
    """An event that is to be removed; None for state, redactions, and what is redacted already."""
    content, event_id, sender = raw.get("content"), raw.get("event_id"), raw.get("sender")
    if "state_key" in raw or raw.get("type") == REDACTION or redacted(raw) or not isinstance(content, Mapping):
        return None
    if not isinstance(event_id, str) or not isinstance(sender, str):
        return None
    at = _at(raw, now)
    return Timed(event_id, room_id, sender, at, due_at=now, reason=timers.RETENTION)
