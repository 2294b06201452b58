"""A chat gets another room (an upgrade), or a room becomes a chat (an adoption)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection

from appservice import json
from appservice.clock import Clock
from appservice.database import Database
from appservice.homeserver import HomeserverError
from bridge.actor import Actor
from bridge.audit import Audit
from bridge.chats.jobs import PUBLISH, Jobs
from bridge.domain.kinds import CHAT_STATE, ROOM_VERSION, Kind, chat_state
from bridge.domain.roles import Role, level_of, number, role_of
from bridge.domain.ulids import ENTROPY_BYTES, ulid
from bridge.errors import Conflict, NotAllowed, NotFound, Refused
from bridge.permissions import Permissions
from bridge.registry import Registry
from bridge.steward import Steward, within_power
from bridge.store import chat_jobs, rooms
from bridge.store import chats as store
from bridge.store.chats import Chat

if TYPE_CHECKING:
    from bridge.chats.service import ChatService

MOST_INVITED: Final = 500
"""Members of a larger chat are not invited into its new room one by one: who was in the old one may join."""
OURS: Final = "chat.rialto."
KNOWN_VERSIONS: Final = frozenset({"6", "7", "8", "9", "10", "11"})
"""Before, redactions and knocks work otherwise; in 12 creators have a power that no event says."""


class Moving:
    """Upgrades and adoptions, for :class:`bridge.chats.service.ChatService`."""

    def __init__(
        self,
        chats: ChatService,
        steward: Steward,
        database: Database,
        registry: Registry,
        permissions: Permissions,
        audit: Audit,
        clock: Clock,
        jobs: Jobs,
        shards: int,
    ) -> None:
        self._chats = chats
        self._steward = steward
        self._database = database
        self._registry = registry
        self._permissions = permissions
        self._audit = audit
        self._clock = clock
        self._jobs = jobs
        self._shards = shards

    # Upgrades

    async def upgrade(self, actor: Actor, chat: Chat, also: Callable[[Connection, Chat], None]) -> Chat:
        """See :meth:`bridge.chats.service.ChatService.upgrade`."""
        await self._permissions.require(actor, chat, Role.OWNER)
        async with self._chats.lock(chat.room_id):
            known = await self._database.read(lambda connection: store.by_id(connection, chat.id))
            if known is not None and known.room_id != chat.room_id and known.alive:
                return known  # it was done meanwhile
            room_id = await self._replacement(chat)
            await self._furnish(chat, room_id)
            return await self._moved(actor, chat, room_id, also)

    async def _replacement(self, chat: Chat) -> str:
        """The new room; made once, for the old one says where it went."""
        hand = self._steward.of(chat)
        stone = await hand.state(chat.room_id, "m.room.tombstone") or {}
        found = stone.get("replacement_room")
        if isinstance(found, str) and await self._inside(hand, found):
            return found
        with within_power():
            return await hand.upgrade(chat.room_id, ROOM_VERSION)

    @staticmethod
    async def _inside(hand: Steward, room_id: str) -> bool:
        try:
            return await hand.membership(room_id, hand.user_id) == "join"
        except HomeserverError as error:
            if error.temporary:
                raise
            return False

    async def _furnish(self, chat: Chat, room_id: str) -> None:
        """What the homeserver does not take along: state of our own, and who may come in without being invited."""
        hand = self._steward.of(chat)
        for raw in await hand.full_state(chat.room_id):
            kind, content = raw.get("type"), raw.get("content")
            if isinstance(kind, str) and kind.startswith(OURS) and isinstance(content, dict) and content:
                await hand.set_state(room_id, kind, content, str(raw.get("state_key", "")))
        if not chat.public:
            allow = [{"type": "m.room_membership", "room_id": chat.room_id}]
            rule = {"join_rule": "knock_restricted", "allow": allow}
            await hand.set_state(room_id, "m.room.join_rules", rule)

    async def _moved(self, actor: Actor, chat: Chat, room_id: str, also: Callable[[Connection, Chat], None]) -> Chat:
        now = self._clock.now_ms()
        new = replace(chat, room_id=room_id, created_at=now, successor=None)
        levels = json.dumps(await self._steward.of(chat).power_levels(room_id)).decode()

        def work(connection: Connection) -> None:
            store.change(connection, chat.room_id, successor=room_id, external_id=None)
            store.add(connection, new, self._shards)
            store.change(connection, room_id, levels=levels, filled_at=now)
            store.move_children(connection, chat.room_id, room_id)
            rooms.move(connection, chat.room_id, room_id)
            store.take_along(connection, chat.room_id, room_id)
            ours = frozenset({self._steward.user_id, self._steward.of(chat).user_id})
            if store.count_members(connection, [chat.room_id]).get(chat.room_id, 0) <= MOST_INVITED:
                chat_jobs.invite_members_of(connection, chat.room_id, room_id, now, ours)
            if chat.public:
                chat_jobs.add(connection, [chat_jobs.job(PUBLISH, room_id, now)])
            for each in self._chats.moved:
                each(connection, chat, new)
            also(connection, new)
            self._chats.note(connection, actor, "chat.upgrade", new, {"version": ROOM_VERSION})

        await self._database.write(work)
        self._registry.put(replace(chat, successor=room_id))
        self._registry.put(new)
        await self._jobs.run_room(room_id)
        return new

    # Adoptions

    async def adopt(self, actor: Actor, room_id: str) -> Chat:
        """See :meth:`bridge.chats.service.ChatService.adopt`."""
        if actor.product:
            raise NotAllowed("products_adopt_nothing", "People adopt their rooms, not products.")
        if not room_id.startswith("!"):
            raise Refused("room_invalid", "A room is named like !abc:example.org.")
        async with self._chats.lock(room_id):
            known = await self._database.read(lambda connection: store.by_room(connection, room_id))
            if known is not None and known.successor is not None:
                raise Conflict("was_upgraded", "This room was replaced by another.")
            if known is not None and known.alive:
                await self._permissions.require(actor, known, Role.READER)
                return known
            await self._enter(room_id)
            return await self._take_over(actor, room_id)

    async def _enter(self, room_id: str) -> None:
        try:
            await self._steward.join(room_id)
        except HomeserverError as error:
            if error.temporary:
                raise
            raise Refused(
                "steward_not_invited", f"Invite {self._steward.user_id} to the room, and give it the power of an admin."
            ) from error

    async def _take_over(self, actor: Actor, room_id: str) -> Chat:
        steward = self._steward
        create = await steward.state(room_id, "m.room.create") or {}
        version = create.get("room_version", "1")
        if version not in KNOWN_VERSIONS:
            raise Refused("room_version", f"Rooms of version {version} cannot be adopted.")
        if "type" in create:
            raise Refused("no_chat_room", "That is a space, and no chat.")
        levels = await steward.power_levels(room_id)
        if actor.user_id:
            if await steward.membership(room_id, actor.user_id) != "join":
                raise NotFound("no_such_chat", "There is no such chat.")
            if role_of(actor.user_id, levels) < Role.OWNER:
                raise NotAllowed("role_too_low", "Only owners may do this.", role=Role.OWNER.word)
        self._powerful(levels)
        chat = await self._seen(actor, room_id, levels)
        with within_power():
            content = chat_state(chat.kind, public=chat.public)
            await steward.set_state(room_id, CHAT_STATE, content)

        def work(connection: Connection) -> None:
            store.add(connection, chat, self._shards)
            store.change(connection, room_id, levels=json.dumps(levels).decode())
            self._chats.note(connection, actor, "chat.adopt", chat, {"kind": chat.kind.value, "room": room_id})

        await self._database.write(work)
        self._registry.put(chat)
        self._chats.fill()
        return chat

    def _powerful(self, levels: dict[str, Any]) -> None:
        """The steward can do there what it is for."""
        own = level_of(self._steward.user_id, levels)
        events = levels.get("events")
        events = events if isinstance(events, dict) else {}
        state = number(levels.get("state_default"), 50)
        needed = [number(levels.get(action), 50) for action in ("ban", "kick", "redact")]
        needed += [number(events.get(kind), state) for kind in (CHAT_STATE, "m.room.power_levels")]
        least = max(*needed, state)
        if own < least:
            human = f"Give {self._steward.user_id} the power {least}, so that it can do its work."
            raise NotAllowed("steward_power", human, needed=least)

    async def _seen(self, actor: Actor, room_id: str, levels: dict[str, Any]) -> Chat:
        """The chat that a room amounts to."""
        steward, now = self._steward, self._clock.now_ms()

        async def text(event_type: str, key: str) -> str:
            found = (await steward.state(room_id, event_type) or {}).get(key)
            return found[:2_000].replace("\0", "") if isinstance(found, str) else ""

        rule = (await steward.state(room_id, "m.room.join_rules") or {}).get("join_rule")
        writes, usual = number(levels.get("events_default"), 0), number(levels.get("users_default"), 0)
        return Chat(
            room_id=room_id,
            id=ulid(now, secrets.token_bytes(ENTROPY_BYTES)),
            kind=Kind.CHANNEL if writes > usual else Kind.GROUP,
            public=rule == "public",
            encrypted=await steward.state(room_id, "m.room.encryption") is not None,
            workspace="",
            created_by=actor.name,
            created_at=now,
            name=await text("m.room.name", "name"),
            topic=await text("m.room.topic", "topic"),
            avatar_url=await text("m.room.avatar", "url"),
            alias=await text("m.room.canonical_alias", "alias"),
            adopted=True,
        )
