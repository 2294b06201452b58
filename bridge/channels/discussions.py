"""Discussion groups: which group belongs to which channel, as the database has it, is told to both rooms.

    chat.rialto.discussion   in the channel, state key empty: {"room_id": "!group", "via": ["server"]}; {} for none
    chat.rialto.channel      in the group, state key empty: {"room_id": "!channel", "via": ["server"]}; {} for none

Who is in the channel may join the group (specification, "Restricted rooms"), unless the group is by invitation only.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from appservice.clock import Clock
from appservice.database import Database
from appservice.homeserver import HomeserverError
from bridge.background import Background
from bridge.domain.kinds import Kind
from bridge.errors import NotAllowed
from bridge.registry import Registry
from bridge.steward import Steward, within_power
from bridge.store import channels as store
from bridge.store import chats as chat_store
from bridge.store.chats import Chat

log = logging.getLogger(__name__)

DISCUSSION: Final = "chat.rialto.discussion"
CHANNEL: Final = "chat.rialto.channel"
RULES: Final = "m.room.join_rules"
MEMBERSHIP: Final = "m.room_membership"
OPENED: Final[Mapping[str, str]] = {
    "knock": "knock_restricted", "knock_restricted": "knock_restricted", "restricted": "restricted",
}  # fmt: skip
CLOSED: Final[Mapping[str, str]] = {"knock_restricted": "knock", "restricted": "invite"}
FIRST_VERSION: Final = 10
"""Of the room: before it there is no ``knock_restricted``."""


class Discussions:
    """Sees to it that rooms say what the database has: after a change, an upgrade, a deletion, and at a start."""

    def __init__(self, steward: Steward, database: Database, registry: Registry, clock: Clock) -> None:
        self._steward = steward
        self._database = database
        self._registry = registry
        self._clock = clock
        self.background = Background("discussions", clock, self.run_due, self._upcoming)

    async def run_due(self) -> int:
        """Tell the rooms what they do not say yet; how many groups that was."""
        wanted = await self._wanted()
        told = await self._database.read(store.told)
        todo = [room_id for room_id in {**wanted, **told} if wanted.get(room_id) != told.get(room_id)]
        for room_id in todo:
            await self._settle(room_id, wanted.get(room_id), told.get(room_id))
        return len(todo)

    async def settle(self, group_room: str) -> None:
        """Tell the rooms about one group, now; what fails is done later."""
        group = self._registry.get(group_room)
        told = await self._database.read(store.told)
        wanted = None if group is None else group.parent
        try:
            if wanted != told.get(group_room):
                await self._settle(group_room, wanted, told.get(group_room))
        except HomeserverError as error:
            log.info("a discussion group waits: %s", error, extra={"room_id": group_room})
            self.background.wake()

    async def _upcoming(self) -> int | None:
        return None

    async def _wanted(self) -> dict[str, str]:
        """By group, the channel that it belongs to, as far as both are alive."""
        found: dict[str, str] = {}
        for chat in self._registry:
            if chat.parent is None or chat.kind is not Kind.GROUP:
                continue
            parent = chat.parent
            if parent not in self._registry:
                # The channel is gone, or it has another room now: what is in memory is older than that.
                room_id = chat.room_id
                fresh = await self._database.read(lambda it, room_id=room_id: chat_store.by_room(it, room_id))  # type: ignore[misc]
                if fresh is None or fresh.parent is None:
                    continue
                self._registry.put(fresh)
                parent = fresh.parent
            if parent in self._registry:
                found[chat.room_id] = parent
        return found

    async def _settle(self, group_room: str, wanted: str | None, told: str | None) -> None:
        try:
            if told is not None and told != wanted:
                await self._part(group_room, told, alone=wanted is None)
            if wanted is not None:
                await self._join(group_room, wanted)
        except HomeserverError as error:
            if error.temporary:
                raise
            log.warning("a discussion group cannot be told: %s", error, extra={"room_id": group_room})
        except NotAllowed as error:
            # An adopted room; comments are found without what the rooms say.
            log.warning("a discussion group cannot be told: %s", error, extra={"room_id": group_room})
        now = self._clock.now_ms()
        await self._database.write(lambda connection: store.tell(connection, group_room, wanted, now))

    async def _join(self, group_room: str, channel_room: str) -> None:
        channel, group = self._registry.get(channel_room), self._registry.get(group_room)
        if channel is None or group is None:
            return
        with within_power():
            await self._say(channel, DISCUSSION, group_room)
            await self._say(group, CHANNEL, channel_room)
            hand = self._steward.of(group)
            rules = await hand.state(group_room, RULES) or {}
            create = await hand.state(group_room, "m.room.create") or {}
            opened = with_door(rules, channel_room) if _version(create) >= FIRST_VERSION else None
            if opened is not None:
                await hand.set_state(group_room, RULES, opened)

    async def _part(self, group_room: str, channel_room: str, *, alone: bool) -> None:
        channel, group = self._registry.get(channel_room), self._registry.get(group_room)
        with within_power():
            if channel is not None:
                said = await self._steward.of(channel).state(channel_room, DISCUSSION) or {}
                if said.get("room_id") == group_room:
                    await self._say(channel, DISCUSSION, None)
            if group is not None:
                if alone:
                    await self._say(group, CHANNEL, None)
                hand = self._steward.of(group)
                closed = without_door(await hand.state(group_room, RULES) or {}, channel_room)
                if closed is not None:
                    await hand.set_state(group_room, RULES, closed)

    async def _say(self, chat: Chat, event_type: str, other: str | None) -> None:
        hand = self._steward.of(chat)
        content = {} if other is None else {"room_id": other, "via": [self._steward.server_name]}
        await hand.set_state(chat.room_id, event_type, content)


def with_door(rules: Mapping[str, Any], channel_room: str) -> dict[str, Any] | None:
    """``m.room.join_rules`` by which members of a channel may come in; None: nothing is to be changed."""
    rule = OPENED.get(str(rules.get("join_rule")))
    allow = _allowed(rules)
    if rule is None or any(_is_door(each, channel_room) for each in allow):
        return None
    return {**rules, "join_rule": rule, "allow": [*allow, {"type": MEMBERSHIP, "room_id": channel_room}]}


def without_door(rules: Mapping[str, Any], channel_room: str) -> dict[str, Any] | None:
    """The same, by which they may not; None: nothing is to be changed."""
    allow = _allowed(rules)
    left = [each for each in allow if not _is_door(each, channel_room)]
    if len(left) == len(allow):
        return None
    if left:
        return {**rules, "allow": left}
    rule = str(rules.get("join_rule"))
    return {key: value for key, value in rules.items() if key != "allow"} | {"join_rule": CLOSED.get(rule, rule)}


def _allowed(rules: Mapping[str, Any]) -> list[Any]:
    allow = rules.get("allow")
    return list(allow) if isinstance(allow, list) else []


def _is_door(each: object, channel_room: str) -> bool:
    return isinstance(each, Mapping) and each.get("type") == MEMBERSHIP and each.get("room_id") == channel_room


def _version(create: Mapping[str, Any]) -> int:
    version = create.get("room_version", "1")
    return int(version) if isinstance(version, str) and version.isdecimal() and len(version) < 4 else 0
