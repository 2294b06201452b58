"""Takes the past of adopted chats into the index, bit by bit, beside everything else.

A page of a room's timeline is fetched, kept, and the place where it goes on is kept with it: after a crash it goes on
there. Messages come as they stand now: redacted ones say nothing, edited ones what they say in the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.database import Database
from appservice.events import Event, defect
from appservice.homeserver import HomeserverError
from bridge.background import Background
from bridge.registry import Registry
from bridge.search.feature import as_it_stands
from bridge.search.index import Found, Index
from bridge.search.service import SearchService
from bridge.steward import Steward
from bridge.store import search as store
from bridge.store.search import History

PAGE: Final = 100
LOOK_AGAIN_MS: Final = 60_000
FORGET_AT_ONCE: Final = 500


class Past:
    """The task. It also forgets what was said in chats that were deleted."""

    def __init__(
        self,
        registry: Registry,
        steward: Steward,
        database: Database,
        clock: Clock,
        service: SearchService,
        index: Index,
        pages_per_second: float,
    ) -> None:
        """
        Args:
            pages_per_second: of 100 messages, that the homeserver is asked for at most.
        """
        self._registry = registry
        self._steward = steward
        self._database = database
        self._clock = clock
        self._service = service
        self._index = index
        self._pause_ms = max(1, int(1000 / pages_per_second))
        self._known: set[str] | None = None
        self._following: int | None = None
        self._task = Background("search-past", clock, self._work, self._upcoming)

    def start(self) -> None:
        """Begin; harmless when it has begun."""
        self._task.start()

    async def stop(self) -> None:
        """End; harmless when it has not begun."""
        await self._task.stop()

    async def _upcoming(self) -> int | None:
        return self._following

    async def _work(self) -> int:
        self._following = None
        done = await self.run_due()
        if done:
            self._following = self._clock.now_ms() + self._pause_ms
        return 0

    async def run_due(self) -> int:
        """Do one bit: take in a page of one chat, or forget a part of a deleted one; 0 when there is nothing to do.

        Raises:
            HomeserverError: it is not to be asked now; the same bit comes next.
        """
        await self._begin()
        forgotten = await self._database.write(self._forget)
        history = next(iter(await self._database.read(lambda connection: store.open_histories(connection, 1))), None)
        if history is None:
            return forgotten
        await self._take(history)
        return forgotten + 1

    async def _begin(self) -> None:
        """Chats that were adopted since the last time have a past that is to be taken in."""
        if self._known is None:
            self._known = await self._database.read(store.histories)
        known = self._known
        new = [
            chat
            for chat in self._registry
            if chat.adopted and not chat.encrypted and chat.id not in known and self._service.searched(chat)
        ]
        if not new:
            return

        def put(connection: Connection) -> None:
            for chat in new:
                store.begin_history(connection, chat.id, chat.room_id)

        await self._database.write(put)
        known.update(chat.id for chat in new)
        self._service.rooms.update(chat.room_id for chat in new)

    def _forget(self, connection: Connection) -> int:
        return sum(store.remove_chat(connection, each, FORGET_AT_ONCE) for each in store.deleted(connection, 1))

    async def _take(self, history: History) -> None:
        chat = self._registry.get(history.room_id)
        if chat is None or chat.encrypted:
            await self._move(history, "", [], done=True)  # deleted, replaced, encrypted since
            return
        try:
            chunk, token = await self._steward.of(chat).messages(history.room_id, start=history.token, limit=PAGE)
        except HomeserverError as error:
            if error.temporary:
                raise
            await self._move(history, "", [], done=True)  # the steward may not see it any more
            return
        found: list[Found] = []
        for raw in chunk:
            event = _event(raw, history.room_id)
            if event is None:
                continue
            one = self._index.document(
                chat,
                event_id=event.event_id,
                room_id=event.room_id,
                sender=event.sender,
                at=max(0, min(event.timestamp, self._clock.now_ms())),
                event_type=event.type,
                content=as_it_stands(raw),
            )
            found += [] if one is None else [one]
        await self._move(history, token, found, done=not token or not chunk)

    async def _move(self, history: History, token: str, found: list[Found], *, done: bool) -> None:
        now = self._clock.now_ms()

        def put(connection: Connection) -> None:
            taken = self._index.add(connection, found)
            store.move_history(connection, history.chat_id, token, taken, now if done else None)

        await self._database.write(put)
        if self._index.missed(found):
            await self._database.write(lambda connection: self._index.sweep(connection, found))


def _event(raw: Mapping[str, Any], room_id: str) -> Event | None:
    whole = {**raw, "room_id": room_id}
    if defect(whole) is not None or "state_key" in raw:
        return None
    relates = whole["content"].get("m.relates_to")
    if isinstance(relates, Mapping) and relates.get("rel_type") == "m.replace":
        return None
    return Event.parse(whole)
