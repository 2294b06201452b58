"""Receipts that the homeserver could not push: it never pushes them again, so at a start it is asked for them.

Rooms are asked one by one, those with the newest activity first, and not too many a second: a receipt more or less is
worth no wait of anybody's. (``/sync`` would have them in its stream, but Synapse 1.163 refuses it to the sender of an
application service; ``initialSync`` of a room it does not.)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from appservice.clock import Clock
from appservice.database import Database
from appservice.homeserver import Homeserver, HomeserverError, path
from bridge.registry import Registry
from bridge.steward import ROOMS
from bridge.store import chats as chat_store
from bridge.store import delivery as store

log = logging.getLogger(__name__)

ACTIVE_MS: Final = 7 * 86_400_000
"""Chats in which something has happened since then are asked."""
MOST_CHATS: Final = 2_000
MOST_MEMBERS: Final = 500
"""A room tells of all its members together with its receipts: of a large one that is too much."""
PAUSE_S: Final = 0.1
TIMEOUT_S: Final = 30.0

Take = Callable[[Sequence[Mapping[str, Any]]], Awaitable[None]]


class LostReceipts:
    """Asks for the receipts of chats, once."""

    def __init__(
        self,
        homeserver: Homeserver,
        database: Database,
        registry: Registry,
        clock: Clock,
        bots_in: Callable[[str], Iterable[str]],
        steward: str,
    ) -> None:
        """
        Args:
            bots_in: who of ours is in a room, and may ask.
        """
        self._homeserver = homeserver
        self._database = database
        self._registry = registry
        self._clock = clock
        self._bots_in = bots_in
        self._steward = steward
        self.takers: list[Take] = []
        """Handed the ``m.receipt`` of a room, known ones too."""
        self.pause_s = PAUSE_S

    async def ask(self) -> int:
        """Ask all chats that were used lately; how many.

        Raises:
            HomeserverError: it cannot be asked now.
        """
        since = self._clock.now_ms() - ACTIVE_MS
        rooms = await self._database.read(lambda connection: store.active(connection, since, MOST_CHATS))
        counts = await self._database.read(lambda connection: chat_store.count_members(connection, rooms))
        asked = 0
        for room_id in rooms:
            if room_id in self._registry and counts.get(room_id, 0) <= MOST_MEMBERS:
                await self._room(room_id)
                asked += 1
                await asyncio.sleep(self.pause_s)
        return asked

    async def _room(self, room_id: str) -> None:
        inside = sorted(self._bots_in(room_id))
        if not inside:
            return
        user_id = self._steward if self._steward in inside else inside[0]
        url = path(ROOMS, room_id, "initialSync")
        try:
            answer = await self._homeserver.request(
                "GET", url, user_id=user_id, query={"limit": "1"}, timeout=TIMEOUT_S
            )
        except HomeserverError as error:
            if error.temporary:
                raise
            log.info("a room does not tell of its receipts: %s", error, extra={"room_id": room_id})
            return
        receipts = answer.get("receipts") if isinstance(answer, dict) else None
        events = [
            {**event, "room_id": room_id}
            for event in (receipts if isinstance(receipts, list) else ())
            if isinstance(event, dict) and event.get("type") == "m.receipt"
        ]
        for take in self.takers if events else ():
            await take(events)
