"""Who is in a room and how its sessions rotate, from the room state store; asked from the homeserver when it is not known."""

from __future__ import annotations

import asyncio
import weakref
from datetime import timedelta
from typing import Any

from mautrix.client.state_store import StateStore
from mautrix.types import Member, Membership, RoomID, UserID
from mautrix.util.async_db import Database

from appservice.e2ee.api import Requester
from appservice.homeserver import path

RECEIVING = (Membership.JOIN, Membership.INVITE)
STORED = {"join": Membership.JOIN, "invite": Membership.INVITE, "ban": Membership.BAN}
LEAST_AGE_S = 3600


class Members:
    """Members of rooms. Everything that replaces a member list is serialised per room."""

    def __init__(self, rooms: StateStore, db: Database, homeserver: Requester) -> None:
        self._rooms = rooms
        self._db = db
        self._homeserver = homeserver
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._changes: dict[str, int] = {}

    def _lock(self, room_id: str) -> asyncio.Lock:
        lock = self._locks.get(room_id)
        if lock is None:
            lock = self._locks[room_id] = asyncio.Lock()
        return lock

    def version(self, room_id: str) -> int:
        """Changes whenever a membership in the room does."""
        return self._changes.get(room_id, 0)

    async def receiving(self, room_id: str, as_user: str) -> list[str]:
        """Joined and invited users: those who get keys.

        Args:
            as_user: the bot that asks the homeserver when the list is not complete here.

        Raises:
            HomeserverError: it was asked and did not answer, or the bot is not in the room.
        """
        room = RoomID(room_id)
        if not await self._rooms.has_full_member_list(room):
            lock = self._lock(room_id)
            async with lock:
                if not await self._rooms.has_full_member_list(room):
                    await self._fetch(room, as_user)
        return [str(user) for user in await self._rooms.get_members(room, RECEIVING)]

    async def _fetch(self, room_id: RoomID, as_user: str) -> None:
        url = path("/_matrix/client/v3/rooms", room_id, "members")
        answer = await self._homeserver.request("GET", url, user_id=as_user, query={"not_membership": "leave"})
        members: dict[UserID, Any] = {}
        for event in answer.get("chunk", []):
            content = event.get("content", {})
            if (membership := STORED.get(content.get("membership"))) is not None:
                members[UserID(event["state_key"])] = Member(
                    membership=membership,
                    displayname=_text(content.get("displayname")),  # type: ignore[arg-type]
                    avatar_url=_text(content.get("avatar_url")),  # type: ignore[arg-type]
                )
        q = "INSERT INTO mx_room_state (room_id) VALUES ($1) ON CONFLICT (room_id) DO NOTHING"
        await self._db.execute(q, room_id)
        await self._rooms.set_members(room_id, members)

    async def changed(self, room_id: str, user_id: str, content: dict[str, Any]) -> None:
        """A membership event was received. Stored again here: a list fetched meanwhile may be older than the event."""
        lock = self._lock(room_id)
        async with lock:
            self._changes[room_id] = self.version(room_id) + 1
            try:
                membership = Membership(content.get("membership"))
            except ValueError:
                return
            member = Member(
                membership=membership,
                displayname=_text(content.get("displayname")),  # type: ignore[arg-type]
                avatar_url=_text(content.get("avatar_url")),  # type: ignore[arg-type]
            )
            await self._rooms.set_member(RoomID(room_id), UserID(user_id), member)

    async def rotation(self, room_id: str, messages: int, seconds: float) -> tuple[int, timedelta]:
        """When a session ends: the configured limits, or the room's own where they are stricter (an hour at least)."""
        info = await self._rooms.get_encryption_info(RoomID(room_id))
        if info is not None:
            own_messages, own_ms = info.rotation_period_msgs, info.rotation_period_ms
            if isinstance(own_messages, int) and own_messages > 0:
                messages = min(messages, own_messages)
            if isinstance(own_ms, int) and own_ms > 0:
                seconds = min(seconds, max(own_ms / 1000, LEAST_AGE_S))
        return messages, timedelta(seconds=seconds)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
