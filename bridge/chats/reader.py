"""The read model of chats: who is in them and what they are called, as their events say."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection

from appservice import json
from appservice.clock import Clock
from appservice.database import Database
from appservice.events import Event
from appservice.homeserver import HomeserverError
from appservice.unit import UnitOfWork
from bridge.background import Background
from bridge.domain.kinds import Kind
from bridge.domain.roles import LOWEST, MODERATOR, OWNER, Role, level_of, number, owners, with_role
from bridge.feature import Feature
from bridge.notices import Notices
from bridge.registry import Registry
from bridge.steward import Steward
from bridge.store import chat_jobs
from bridge.store import chats as store
from bridge.store.chats import Chat, Member

log = logging.getLogger(__name__)

MEMBER: Final = "m.room.member"
LEVELS: Final = "m.room.power_levels"
CACHED: Final = 200
HIGHEST: Final = 2**31 - 1
MOST_NAME: Final = 255
TEXTS: Final[Mapping[str, tuple[str, str, int]]] = {
    "m.room.name": ("name", "name", 1_000),
    "m.room.topic": ("topic", "topic", 8_000),
    "m.room.avatar": ("url", "avatar_url", MOST_NAME),
    "m.room.canonical_alias": ("alias", "alias", MOST_NAME),
}
"""State that is kept: the content's key, our column, characters at most."""
WANTED: Final = frozenset({MEMBER, LEVELS, "m.room.encryption", "m.room.join_rules", *TEXTS})


class MembersFeature(Feature):
    """Keeps the read model, one statement or two for an event: a chat's other members are not looked at."""

    name = "bridge:members"

    def __init__(
        self,
        steward: Steward,
        database: Database,
        registry: Registry,
        notices: Notices,
        clock: Clock,
    ) -> None:
        super().__init__(steward.user_id)
        self._steward = steward
        self._database = database
        self._registry = registry
        self._notices = notices
        self._clock = clock
        self._levels: OrderedDict[str, Mapping[str, Any]] = OrderedDict()
        self._filling: dict[str, set[str]] = {}
        """Who has changed while a chat's members are being read."""
        self.background = Background("members", clock, self.run_due, self._upcoming)

    def wants(self, event: Event) -> bool:
        """State of chats that is kept."""
        return event.state_key is not None and event.room_id in self._registry and event.type in WANTED

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        """Take it in."""
        chat = self._registry.get(event.room_id)
        if chat is None:
            return
        if event.type == MEMBER:
            await self._member(chat, event, unit)
        elif event.state_key != "":
            return
        elif event.type == LEVELS:
            self._take_levels(event, unit)
        elif event.type in TEXTS:
            key, column, most = TEXTS[event.type]
            self._change(chat, unit, **{column: _text(event.content.get(key), most)})
        elif event.type == "m.room.encryption":
            self._change(chat, unit, encrypted=True)  # once on, always on
        else:
            self._change(chat, unit, public=event.content.get("join_rule") == "public")

    # Members

    async def _member(self, chat: Chat, event: Event, unit: UnitOfWork) -> None:
        user_id, membership = event.state_key or "", event.membership
        if user_id == self._steward.of(chat).user_id:
            if membership in {"leave", "ban"}:
                self._lost(chat, unit)
            return
        if user_id == self._steward.user_id:
            return
        if (changed := self._filling.get(chat.room_id)) is not None:
            changed.add(user_id)
        if membership in {"join", "invite", "knock", "ban"}:
            power = level_of(user_id, await self._levels_of(chat))
            name = _text(event.content.get("displayname"), MOST_NAME)
            found = Member(chat.room_id, user_id, membership, _bounded(power), name, event.timestamp)
            unit.store(lambda connection: store.set_member(connection, found))
        if membership in {"leave", "ban"}:
            if membership == "leave":
                unit.store(lambda connection: store.remove_member(connection, chat.room_id, user_id))
            await self._owner_gone(chat, user_id, unit)

    async def _owner_gone(self, chat: Chat, user_id: str, unit: UnitOfWork) -> None:
        """A group whose last owner has left is its first admin's or moderator's."""
        if chat.workspace or chat.kind not in {Kind.GROUP, Kind.CHANNEL}:
            return
        if level_of(user_id, await self._levels_of(chat)) < OWNER:
            return
        hand = self._steward.of(chat)
        levels = await hand.power_levels(chat.room_id)
        if set(owners(levels)) - {user_id, hand.user_id}:
            return

        def read(connection: Connection) -> list[Member]:
            return store.members(connection, chat.room_id, least=MODERATOR, limit=5)

        heirs = [each for each in await self._database.read(read) if each.user_id not in {user_id, hand.user_id}]
        if not heirs:
            return
        heir = heirs[0].user_id
        after = with_role(with_role(levels, user_id, Role.WRITER), heir, Role.OWNER)
        unit.set_state(chat.room_id, LEVELS, after, user_id=hand.user_id)
        self._notices.tell(unit, heir, "chat.owner", {"chat": chat.name or chat.id, "person": user_id})

    def _lost(self, chat: Chat, unit: UnitOfWork) -> None:
        """The steward was removed: the room is no chat of ours any more."""
        now = self._clock.now_ms()

        def work(connection: Connection) -> None:
            store.change(connection, chat.room_id, deleted_at=now, external_id=None)
            store.remove_members(connection, chat.room_id)
            chat_jobs.forget_room(connection, chat.room_id)

        unit.store(work)
        unit.after_commit(lambda: self._registry.put(replace(chat, deleted_at=now)))
        log.info("a chat is given up: Rialto was removed from it", extra={"room_id": chat.room_id})

    # Power

    def _take_levels(self, event: Event, unit: UnitOfWork) -> None:
        levels, room_id = event.content, event.room_id
        users = levels.get("users")
        powers = {
            user_id: _bounded(number(power, 0))
            for user_id, power in (users.items() if isinstance(users, Mapping) else ())
            if isinstance(user_id, str) and "\0" not in user_id
        }
        default = _bounded(number(levels.get("users_default"), 0))
        written = json.dumps(json.without_surrogates(levels)).decode().replace("\\u0000", "")

        def work(connection: Connection) -> None:
            store.change(connection, room_id, levels=written)
            store.set_powers(connection, room_id, default, powers)

        unit.store(work)
        self._levels.pop(room_id, None)
        unit.after_commit(lambda: self._remember(room_id, levels))

    async def _levels_of(self, chat: Chat) -> Mapping[str, Any]:
        """``m.room.power_levels``: kept, in the database, or at the homeserver."""
        known = self._levels.get(chat.room_id)
        if known is None:
            known = await self._database.read(lambda connection: store.levels(connection, chat.room_id))
            if not known:
                known = await self._steward.of(chat).power_levels(chat.room_id)
            self._remember(chat.room_id, known)
        return known

    def _remember(self, room_id: str, levels: Mapping[str, Any]) -> None:
        self._levels[room_id] = levels
        self._levels.move_to_end(room_id)
        if len(self._levels) > CACHED:
            self._levels.popitem(last=False)

    # What it is called

    def _change(self, chat: Chat, unit: UnitOfWork, **values: Any) -> None:
        if all(getattr(chat, name) == value for name, value in values.items()):
            return
        unit.store(lambda connection: store.change(connection, chat.room_id, **values))

        def changed() -> None:
            now = self._registry.get(chat.room_id)
            if now is not None:
                self._registry.put(replace(now, **values))

        unit.after_commit(changed)

    # The first look

    async def run_due(self) -> int:
        """Read the members of a chat that was there before us; 1, or 0 when there is none to be read."""
        rooms = await self._database.read(store.unfilled)
        chat = next((found for found in map(self._registry.get, rooms) if found is not None), None)
        if chat is None:
            return 0
        self._filling[chat.room_id] = set()
        try:
            await self._fill(chat)
        finally:
            del self._filling[chat.room_id]
        return 1

    async def _upcoming(self) -> int | None:
        return None

    async def _fill(self, chat: Chat) -> None:
        hand = self._steward.of(chat)
        try:
            events = await hand.member_events(chat.room_id)
            levels = await hand.power_levels(chat.room_id)
        except HomeserverError as error:
            if error.temporary:
                raise
            log.warning("the members of a chat cannot be read: %s", error, extra={"room_id": chat.room_id})
            events, levels = [], {}
        found = [member for raw in events if (member := self._found(chat, raw, levels)) is not None]
        everybody = frozenset(member.user_id for member in found)
        for begin in range(0, len(found), store.CHUNK):
            part = found[begin : begin + store.CHUNK]
            await self._database.write(
                lambda connection, part=part: store.fill(connection, chat.room_id, part, self._changed(chat.room_id))  # type: ignore[misc]
            )
        now = self._clock.now_ms()

        def finish(connection: Connection) -> None:
            store.drop_others(connection, chat.room_id, everybody, self._changed(chat.room_id))
            if levels:
                store.change(connection, chat.room_id, levels=json.dumps(json.without_surrogates(levels)).decode())
            store.change(connection, chat.room_id, filled_at=now)

        await self._database.write(finish)
        self._levels.pop(chat.room_id, None)

    def _changed(self, room_id: str) -> frozenset[str]:
        return frozenset(self._filling.get(room_id, ()))

    def _found(self, chat: Chat, raw: Mapping[str, Any], levels: Mapping[str, Any]) -> Member | None:
        user_id, content = raw.get("state_key"), raw.get("content")
        if not isinstance(user_id, str) or not isinstance(content, Mapping) or "\0" in user_id:
            return None
        membership = content.get("membership")
        ours = {self._steward.user_id, self._steward.of(chat).user_id}
        if membership not in {"join", "invite", "knock", "ban"} or user_id in ours:
            return None
        name = _text(content.get("displayname"), MOST_NAME)
        since = number(raw.get("origin_server_ts"), 0)
        return Member(chat.room_id, user_id, membership, _bounded(level_of(user_id, levels)), name, since)


def _bounded(power: int) -> int:
    """A power that a column holds."""
    return max(LOWEST, min(power, HIGHEST))


def _text(value: object, most: int) -> str:
    """A text as databases hold it; clients write anything."""
    if not isinstance(value, str):
        return ""
    return str(json.without_surrogates(value)).replace("\0", "")[:most]
