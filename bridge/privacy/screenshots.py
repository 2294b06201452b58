"""Screenshots: whoever makes one, everybody in the chat is told, once for a burst.

A client tells of it by an event of type ``chat.rialto.screenshot`` in the chat, not encrypted, or by the API. Who uses
a client that does not tell is not seen: a notice is a courtesy, no protection (docs/privacy.md).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from typing import Any, Final

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.database import Database
from appservice.events import Event, InternalEvent
from appservice.unit import UnitOfWork
from bridge.domain.ulids import ulid
from bridge.errors import NotFound
from bridge.feature import Feature
from bridge.notices import Notices
from bridge.registry import Registry
from bridge.steward import Steward
from bridge.store import privacy as store
from bridge.store.chats import Chat

SCREENSHOT: Final = "chat.rialto.screenshot"
"""Message event: its sender has made a screenshot of the chat. Nothing of its content is read."""
REPORTED: Final = "rialto.messenger.screenshot"
"""The internal event of a report by the API."""
CONSUMER: Final = "bridge:screenshots"
CODE: Final = "screenshot"
QUIET_MS: Final = 30_000
"""A burst is over when no screenshot came for that long."""
LONGEST_MS: Final = 600_000
"""A burst that does not end is told of again after that."""
KEEP_MS: Final = 86_400_000

RaiseEvents = Callable[[Callable[[Connection], Iterable[InternalEvent]]], Any]


class ScreenshotService:
    """Screenshots that are reported by the API."""

    def __init__(
        self,
        raise_events: RaiseEvents,
        steward: Steward,
        clock: Clock,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._raise_events = raise_events
        self._steward = steward
        self._clock = clock
        self._random = random

    async def report(self, user_id: str, chat: Chat) -> None:
        """Somebody has made a screenshot: the chat is told once for a burst, in the order of what happens in it.

        Raises:
            NotFound: they are not in the chat.
        """
        if not chat.alive or await self._steward.membership(chat.room_id, user_id) != "join":
            raise NotFound("no_such_chat", "There is no such chat.")
        key = f"screenshot:{ulid(self._clock.now_ms(), self._random(10))}"
        event = InternalEvent(key, CONSUMER, chat.room_id, REPORTED, {}, user_id)
        await self._raise_events(lambda _connection: [event])


class ScreenshotFeature(Feature):
    """Tells chats of screenshots."""

    name = CONSUMER

    def __init__(self, steward: str, database: Database, registry: Registry, notices: Notices, clock: Clock) -> None:
        super().__init__(steward)
        self._database = database
        self._registry = registry
        self._notices = notices
        self._clock = clock

    def wants(self, event: Event) -> bool:
        """Screenshots in chats."""
        return event.type == SCREENSHOT and event.state_key is None and event.room_id in self._registry

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        """Tell the chat, when it is the first of a burst. By our clock: a client's own may say anything."""
        if event.room_id not in self._registry:
            return
        room_id, user_id, now = event.room_id, event.sender, self._clock.now_ms()
        # Events of a room come one after the other: nobody notes another one between the two.
        last = await self._database.read(lambda connection: store.last_screenshot(connection, room_id, user_id))
        tell = last is None or now - last[1] > QUIET_MS or now - last[0] > LONGEST_MS
        told = now if tell or last is None else last[0]

        def note(connection: Connection) -> None:
            store.note_screenshot(connection, room_id, user_id, told, now)
            store.forget_screenshots(connection, now - KEEP_MS)

        unit.store(note)
        if tell:
            self._notices.announce(unit, room_id, CODE, f"{user_id} has made a screenshot of this chat.")
