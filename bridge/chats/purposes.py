"""Rooms that Rialto makes: a person's direct chats with bots, and the space that holds them.

Making a room is no transaction of the homeserver's: a request that is repeated after a crash makes a second room. So
each purpose has a room alias in our namespace (the steward's localpart begins it), and making the room takes the alias
or finds who has it: one purpose, one room.
"""

from __future__ import annotations

import logging
import secrets
from base64 import b32encode
from collections.abc import Awaitable, Callable, Iterable, Mapping
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection

from appservice.clock import Clock, SystemClock
from appservice.database import Database
from appservice.homeserver import Homeserver, HomeserverError, path
from bridge.domain.kinds import Kind
from bridge.domain.ulids import ENTROPY_BYTES, ulid
from bridge.registry import Registry
from bridge.store import chats as chat_store
from bridge.store import rooms as store
from bridge.store.chats import Chat

log = logging.getLogger(__name__)

ENCRYPTION = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
MAX_GENERATIONS = 50


class Chats:
    """Makes and finds the rooms of a person."""

    def __init__(
        self,
        homeserver: Homeserver,
        database: Database,
        steward: str,
        server_name: str,
        clock: Clock | None = None,
        *,
        whole: Callable[[str, str], Awaitable[None]] | None = None,
    ) -> None:
        """
        Args:
            steward: the user that makes spaces. It has no device and reads nothing.
            whole: told of a room that a bot has just made, and of the bot, before anybody says anything there.
        """
        self._whole = whole
        self._clock = clock or SystemClock()
        self._registry: Registry | None = None
        self._made: Callable[[Chat], None] = lambda _chat: None
        self._shards = 1
        self._homeserver = homeserver
        self._database = database
        self._steward = steward
        self._server_name = server_name

    def join(self, registry: Registry, made: Callable[[Chat], None], shards: int) -> None:
        """Have the chats of people and bots known as service chats.

        Args:
            made: told of each that the database has got.
        """
        self._registry = registry
        self._made = made
        self._shards = shards

    async def direct(self, person: str, bot: str, name: str) -> str:
        """The encrypted direct chat of a person and a bot; made, with an invitation, when there is none.

        Raises:
            HomeserverError: it could not be made; calling again goes on where this stopped.
        """
        body = {
            "preset": "trusted_private_chat",
            "is_direct": True,
            "name": name,
            "invite": [person],
            "initial_state": [ENCRYPTION],
        }
        room_id = await self._room(f"direct\0{person}\0{bot}", bot, person, body)
        await self._known(room_id, bot, name)
        return room_id

    async def group(
        self, purpose: str, maker: str, name: str, people: Iterable[str], *, topic: str = "", encrypted: bool = True
    ) -> str:
        """The room of a bot for a purpose, with these people invited; made when there is none.

        Args:
            purpose: what it is for: one room for one purpose of one maker, however often it is asked for.

        Raises:
            HomeserverError: it could not be made; calling again goes on where this stopped.
        """
        invited = list(dict.fromkeys(people))
        body: dict[str, Any] = {"preset": "private_chat", "name": name, "invite": invited}
        if topic:
            body["topic"] = topic
        if encrypted:
            body["initial_state"] = [ENCRYPTION]
        return await self._room(f"group\0{maker}\0{purpose}", maker, None, body)

    async def space(self, person: str, children: Iterable[str]) -> str:
        """The person's Rialto space with these rooms in it; made when there is none.

        Raises:
            HomeserverError: as above.
        """
        body = {
            "preset": "private_chat",
            "name": "Rialto",
            "topic": "Your services",
            "invite": [person],
            "creation_content": {"type": "m.space"},
            "power_level_content_override": {
                "users": {self._steward: 100, person: 50},
                "events_default": 100,
            },
        }
        room_id = await self._room(f"space\0{person}", self._steward, person, body)
        for child in children:
            await self._homeserver.send_state(
                self._steward, room_id, "m.space.child", child, {"via": [self._server_name], "suggested": True}
            )
        return room_id

    async def _known(self, room_id: str, bot: str, name: str) -> None:
        """A bot's chat with a person is a service chat; a word in the database, once."""
        if self._registry is None or room_id in self._registry:
            return
        now = self._clock.now_ms()
        chat = Chat(
            room_id=room_id,
            id=ulid(now, secrets.token_bytes(ENTROPY_BYTES)),
            kind=Kind.SERVICE,
            public=False,
            encrypted=True,
            workspace="",
            created_by=bot,
            created_at=now,
            name=name,
        )

        def work(connection: Connection) -> Chat:
            known = chat_store.by_room(connection, room_id)
            if known is None:
                chat_store.add(connection, chat, self._shards)
            return known or chat

        self._made(await self._database.write(work))

    async def _room(self, purpose: str, maker: str, person: str | None, body: Mapping[str, Any]) -> str:
        room_id = await self._database.read(lambda connection: store.find(connection, purpose))
        if room_id is not None:
            if await self._usable(room_id, maker, person):
                return room_id
            stale = room_id
            await self._database.write(lambda connection: store.forget(connection, purpose, stale))
        room_id = await self._make(purpose, maker, person, body)
        if self._whole is not None and maker != self._steward:
            await self._whole(room_id, maker)
        await self._database.write(lambda connection: store.remember(connection, purpose, room_id))
        return room_id

    async def _usable(self, room_id: str, maker: str, person: str | None) -> bool:
        """Whether the maker is still in a room; the person, if it is one's, is invited again when they left it."""
        try:
            answer = await self._homeserver.request(
                "GET",
                path("/_matrix/client/v3/rooms", room_id, "state", "m.room.member", person or maker),
                user_id=maker,
            )
        except HomeserverError as error:
            if error.temporary:
                raise
            if error.status != 404:
                return False
            answer = {}
        if person is None:
            return bool(answer.get("membership") == "join")
        if answer.get("membership") == "ban":
            return False
        if answer.get("membership") not in {"join", "invite"}:
            await self._homeserver.request(
                "POST",
                path("/_matrix/client/v3/rooms", room_id, "invite"),
                user_id=maker,
                body={"user_id": person},
            )
        return True

    async def _make(self, purpose: str, maker: str, person: str | None, body: Mapping[str, Any]) -> str:
        """Make the room under the first alias of its purpose that does not lead to a room given up."""
        prefix = self._steward[1:].partition(":")[0]
        for generation in range(MAX_GENERATIONS):
            digest = sha256(f"{purpose}\0{generation}".encode()).digest()
            localpart = f"{prefix}_{b32encode(digest[:15]).decode().lower()}"
            try:
                answer = await self._homeserver.request(
                    "POST",
                    "/_matrix/client/v3/createRoom",
                    user_id=maker,
                    body={**body, "room_alias_name": localpart},
                )
                return str(answer["room_id"])
            except HomeserverError as error:
                if error.errcode != "M_ROOM_IN_USE":
                    raise
            alias = f"#{localpart}:{self._server_name}"
            answer = await self._homeserver.request(
                "GET", path("/_matrix/client/v3/directory/room", alias), user_id=maker
            )
            room_id = str(answer["room_id"])
            if await self._usable(room_id, maker, person):
                return room_id
        raise HomeserverError(409, "M_ROOM_IN_USE", "too many rooms were given up for this purpose")
