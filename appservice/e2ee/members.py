"""Who gets the keys of a room, and how long its sessions last."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol

from mautrix.client.state_store import StateStore
from mautrix.types import Membership, RoomID, UserID

PRESENT = frozenset({"join", "invite"})
LEAST_AGE_S = 3600


class RoomStateStore(Protocol):
    """What encryption needs to know of rooms: :class:`appservice.rooms.Rooms`."""

    @property
    def store(self) -> StateStore:
        """mautrix's state store."""

    async def members(self, room_id: str) -> Mapping[str, str]:
        """Joined and invited users with their membership; raises HomeserverError when that cannot be found out."""


class Members:
    """Members of rooms as the keys go to them."""

    def __init__(self, rooms: RoomStateStore) -> None:
        self._rooms = rooms
        self._changes: dict[str, int] = {}

    def version(self, room_id: str) -> int:
        """Changes whenever a membership in the room does."""
        return self._changes.get(room_id, 0)

    async def receiving(self, room_id: str) -> list[str]:
        """Joined and invited users: those who get keys.

        Raises:
            HomeserverError: it is not known and could not be asked.
        """
        return list(await self._rooms.members(room_id))

    async def changed(self, room_id: str, user_id: str, membership: object) -> None:
        """A membership event was received.

        The rest of such an event may be malformed and keep it out of the store. Whoever left must not stay there as a
        member for that.
        """
        self._changes[room_id] = self.version(room_id) + 1
        try:
            now = Membership(membership)
        except ValueError:
            return
        store, room, user = self._rooms.store, RoomID(room_id), UserID(user_id)
        if await store.get_membership(room, user) != now:
            await store.set_membership(room, user, now)

    async def rotation(self, room_id: str, messages: int, seconds: float) -> tuple[int, timedelta]:
        """When a session ends: the configured limits, or the room's own where they are stricter (an hour at least)."""
        info = await self._rooms.store.get_encryption_info(RoomID(room_id))
        if info is not None:
            own_messages, own_ms = info.rotation_period_msgs, info.rotation_period_ms
            if isinstance(own_messages, int) and own_messages > 0:
                messages = min(messages, own_messages)
            if isinstance(own_ms, int) and own_ms > 0:
                seconds = min(seconds, max(own_ms / 1000, LEAST_AGE_S))
        return messages, timedelta(seconds=seconds)
