"""What stands in for the homeserver: rooms with timelines that people read, and media."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from appservice import json
from appservice.events import Event
from appservice.homeserver import HomeserverError


@dataclass(slots=True)
class Message:
    """An event in a room's timeline, as people see it."""

    event_id: str
    room_id: str
    sender: str
    type: str
    content: Mapping[str, Any]
    state_key: str | None = None
    redacted: bool = False
    replaced: Mapping[str, Any] | None = None
    """The content that an edit has given it."""
    reactions: dict[str, list[str]] = field(default_factory=dict)
    """Who reacted, by key."""

    @property
    def body(self) -> str:
        """Its text, the edited one when it was edited."""
        body = (self.replaced or self.content).get("body", "")
        return body if isinstance(body, str) else ""

    @property
    def html(self) -> str:
        """Its formatted body."""
        html = (self.replaced or self.content).get("formatted_body", "")
        return html if isinstance(html, str) else ""


@dataclass(slots=True)
class Room:
    """A room: who is in it, and what was said."""

    room_id: str
    members: dict[str, str]
    """Membership by user id."""
    encrypted: bool = True
    timeline: list[Message] = field(default_factory=list)
    read: dict[str, int] = field(default_factory=dict)
    """How far each person has read."""
    state: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)


class WorldHomeserver:
    """Takes what bots send, once for each transaction id."""

    def __init__(self) -> None:
        self.rooms: dict[str, Room] = {}
        self.events: dict[str, Message] = {}
        self.media: dict[str, bytes] = {}
        self.typing: list[tuple[str, str, bool]] = []
        self.receipts: list[tuple[str, str]] = []
        self.profiles: dict[str, dict[str, Any]] = {}
        self.aliases: dict[str, str] = {}
        """Rooms by alias."""
        self.reachable = True
        self.dead = False
        """The service was killed: nothing that it sends arrives."""
        self._sent: dict[tuple[str, str, str], str] = {}

    def add(self, room: Room, message: Message) -> None:
        """Put an event into a room's timeline, and let it change what it refers to."""
        self.events[message.event_id] = message
        relation = message.content.get("m.relates_to")
        relation = relation if isinstance(relation, dict) else {}
        target = self.events.get(str(relation.get("event_id")))
        if relation.get("rel_type") == "m.annotation" and target is not None:
            target.reactions.setdefault(str(relation.get("key")), []).append(message.sender)
        elif relation.get("rel_type") == "m.replace" and target is not None:
            target.replaced = message.content.get("m.new_content", {})
        elif message.type == "m.room.redaction":
            redacted = self.events.get(str(message.content.get("redacts")))
            if redacted is not None:
                redacted.redacted = True
        room.timeline.append(message)

    async def wait_reachable(self) -> None:
        """It always is."""

    async def send_event(
        self, user_id: str, device_id: str | None, room_id: str, event_type: str, txn_id: str, content: bytes
    ) -> str:
        """``PUT /send``."""
        return await self._accept(user_id, room_id, event_type, f"{user_id} {txn_id}", json.loads(content))

    async def send_state(self, user_id: str, room_id: str, event_type: str, state_key: str, content: bytes) -> str:
        """``PUT /state``."""
        whole = json.loads(content)
        event_id = await self._accept(user_id, room_id, event_type, "", whole, state_key)
        room = self.rooms[room_id]
        room.state[event_type, state_key] = whole
        if event_type == "m.room.member":
            room.members[state_key] = str(whole.get("membership"))
        elif event_type == "m.room.encryption" and not state_key:
            room.encrypted = True
        return event_id

    async def redact(
        self, user_id: str, device_id: str | None, room_id: str, event_id: str, txn_id: str, reason: str | None
    ) -> str:
        """``PUT /redact``."""
        content = {"redacts": event_id, "reason": reason}
        return await self._accept(user_id, room_id, "m.room.redaction", f"{user_id} {txn_id}", content)

    async def _accept(
        self, user_id: str, room_id: str, event_type: str, txn: str, content: Mapping[str, Any], key: str | None = None
    ) -> str:
        await asyncio.sleep(0)
        if self.dead:
            raise HomeserverError(0, "UNREACHABLE", "killed (test)")
        room = self.rooms.get(room_id)
        if room is None or room.members.get(user_id) != "join":
            raise HomeserverError(403, "M_FORBIDDEN", f"{user_id} is not in {room_id}")
        known = self._sent.get((room_id, event_type, txn)) if txn else None
        if known is not None:
            return known
        event_id = f"$sent{len(self.events)}"
        if txn:
            self._sent[room_id, event_type, txn] = event_id
        self.add(room, Message(event_id, room_id, user_id, event_type, content, key))
        return event_id

    async def request(
        self,
        method: str,
        path: str,
        *,
        user_id: str,
        body: Any = None,
        data: bytes | None = None,
        content_type: str | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Any:
        """The few other requests that plugins cause."""
        if path == "/_matrix/media/v3/upload":
            name = f"media{len(self.media)}"
            self.media[name] = data or b""
            return {"content_uri": f"mxc://world/{name}"}
        parts = [unquote(part) for part in path.split("/")]
        if "typing" in parts:
            self.typing.append((parts[-3], user_id, bool(body["typing"])))
            return {}
        if "receipt" in parts:
            self.receipts.append((user_id, parts[-1]))
            return {}
        if "profile" in parts:
            found = self.profiles.get(parts[-1])
            if found is None:
                raise HomeserverError(404, "M_NOT_FOUND", "no such profile")
            return found
        if path.startswith("/_matrix/client/v3/directory/room/"):
            room_id = self.aliases.get(parts[-1])
            if room_id is None:
                raise HomeserverError(404, "M_NOT_FOUND", "no such alias")
            return {"room_id": room_id, "servers": []}
        if path.endswith("/messages"):
            return {"chunk": []}
        raise HomeserverError(404, "M_UNRECOGNIZED", f"the world does not know {method} {path}")

    async def download(self, path: str, *, user_id: str, limit: int) -> bytes:
        """The bytes of stored media."""
        data = self.media.get(path.rsplit("/", 1)[-1])
        if data is None:
            raise HomeserverError(404, "M_NOT_FOUND", "no such media")
        return data


class WorldRooms:
    """What handlers know of rooms."""

    def __init__(self, homeserver: WorldHomeserver, bots: Iterable[str]) -> None:
        self._homeserver = homeserver
        self._bots = frozenset(bots)

    def _room(self, room_id: str) -> Room | None:
        return self._homeserver.rooms.get(room_id)

    def bots_in(self, room_id: str) -> Sequence[str]:
        """The bots that are joined."""
        room = self._room(room_id)
        return [user_id for user_id in self._bots if room and room.members.get(user_id) == "join"]

    async def is_encrypted(self, room_id: str) -> bool:
        """Whether it is; so what handlers do with files and secrets is what they do in production."""
        room = self._room(room_id)
        return room is not None and room.encrypted

    async def members(self, room_id: str) -> Mapping[str, str]:
        """Who is joined or invited."""
        room = self._room(room_id)
        members = room.members if room else {}
        return {user_id: how for user_id, how in members.items() if how in {"join", "invite"}}

    async def humans(self, room_id: str) -> Sequence[str]:
        """Those of them who are no bots."""
        return [user_id for user_id in await self.members(room_id) if user_id not in self._bots]

    async def display_name(self, room_id: str, user_id: str) -> str | None:
        """A person's name."""
        return user_id[1:].partition(":")[0].capitalize()

    async def sender_of(self, room_id: str, event_id: str, user_id: str) -> str | None:
        """Who sent an event."""
        message = self._homeserver.events.get(event_id)
        return message.sender if message and message.room_id == room_id else None

    async def apply(self, event: Event, raw: Mapping[str, Any]) -> None:
        """The world has applied it already."""


class ReadableRooms(WorldRooms):
    """What the engine knows of rooms: none is encrypted, so tests read in plain text what bots send."""

    async def is_encrypted(self, room_id: str) -> bool:
        """No room is."""
        return False


class WorldCrypto:
    """Nothing is encrypted here."""

    def device_id(self, user_id: str) -> str:
        """The bot's only device."""
        return "WORLD"

    async def encrypt(self, user_id: str, room_id: str, event_type: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """Never called."""
        raise AssertionError("the world has no encrypted rooms")

    async def decrypt(self, user_id: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """Never called."""
        raise AssertionError("the world has no encrypted rooms")

    async def room_changed(self, event: Mapping[str, Any]) -> None:
        """Nothing to do."""

    def event_came(self, user_id: str) -> None:
        """Nothing to do."""


_WORD = re.compile(r"[^a-z0-9._=/+-]")


def localpart(name: str) -> str:
    """A user id's localpart made of a name."""
    return _WORD.sub("_", name.lower())
