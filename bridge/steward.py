"""The steward's hands: what the application service's own user does in rooms, by the homeserver's client API.

Each call may be repeated without harm, but for :meth:`Steward.create`, which takes an alias first so that there is one
room for one purpose.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from appservice.homeserver import Homeserver, HomeserverError, path
from bridge.domain.kinds import Kind
from bridge.errors import NotAllowed
from bridge.store.chats import Chat

ROOMS: Final = "/_matrix/client/v3/rooms"
DIRECTORY: Final = "/_matrix/client/v3/directory"


@contextmanager
def within_power() -> Iterator[None]:
    """Turn the homeserver's no into one of ours.

    Raises:
        NotAllowed: in this room the steward may not do that: it was adopted, or somebody took power from it.
    """
    try:
        yield
    except HomeserverError as error:
        if error.status != 403:
            raise
        raise NotAllowed("steward_power", "Rialto has too little power in this chat to do that.") from error


class Steward:
    """Acts as the steward, who has power in the chats that Rialto manages, and no device."""

    def __init__(self, homeserver: Homeserver, user_id: str, server_name: str) -> None:
        self._homeserver = homeserver
        self.user_id = user_id
        self.server_name = server_name

    def of(self, chat: Chat) -> Steward:
        """Who acts for Rialto in a chat: the steward, but in a bot's own chat with a person the bot that made it."""
        if chat.kind is not Kind.SERVICE or not chat.created_by.startswith("@") or chat.created_by == self.user_id:
            return self
        return Steward(self._homeserver, chat.created_by, self.server_name)

    async def create(self, alias: str, body: Mapping[str, Any]) -> str:
        """Make a room under an alias of our namespace, or find the one that has it.

        Args:
            alias: the localpart, made from the purpose: the same purpose, the same room.
        """
        request = {**body, "room_alias_name": alias}
        try:
            answer = await self._request("POST", "/_matrix/client/v3/createRoom", request)
        except HomeserverError as error:
            if error.errcode != "M_ROOM_IN_USE":
                raise
            answer = await self._request("GET", path(f"{DIRECTORY}/room", f"#{alias}:{self.server_name}"))
        return str(answer["room_id"])

    async def state(self, room_id: str, event_type: str, state_key: str = "") -> dict[str, Any] | None:
        """The content of a state event; None when there is none."""
        try:
            answer = await self._request("GET", path(ROOMS, room_id, "state", event_type, state_key))
        except HomeserverError as error:
            if error.status == 404:
                return None
            raise
        return answer if isinstance(answer, dict) else None

    async def full_state(self, room_id: str) -> list[dict[str, Any]]:
        """Every state event of a room. Of a large room this is much: not for the hot path."""
        answer = await self._request("GET", path(ROOMS, room_id, "state"))
        return [raw for raw in answer if isinstance(raw, dict)]

    async def member_events(self, room_id: str) -> list[dict[str, Any]]:
        """The membership events of a room, of everybody who is or was there. Not for the hot path either."""
        answer = await self._request("GET", path(ROOMS, room_id, "members"))
        return [raw for raw in answer.get("chunk", []) if isinstance(raw, dict)]

    async def set_state(self, room_id: str, event_type: str, content: Mapping[str, Any], state_key: str = "") -> str:
        """Set a state event, and return its id."""
        return await self._homeserver.send_state(self.user_id, room_id, event_type, state_key, content)

    async def power_levels(self, room_id: str) -> dict[str, Any]:
        """``m.room.power_levels`` as it is now."""
        return await self.state(room_id, "m.room.power_levels") or {}

    async def invite(self, room_id: str, user_id: str, reason: str = "") -> None:
        """Invite somebody; nothing happens to who is in the room or invited already.

        Raises:
            HomeserverError: also for who is banned (403).
        """
        try:
            await self._member(room_id, "invite", user_id, reason)
        except HomeserverError as error:
            if error.status != 403 or await self.membership(room_id, user_id) not in {"join", "invite"}:
                raise

    async def kick(self, room_id: str, user_id: str, reason: str = "") -> None:
        """Remove a member, an invitation or a knock."""
        try:
            await self._member(room_id, "kick", user_id, reason)
        except HomeserverError as error:
            if error.status not in {403, 404} or await self.membership(room_id, user_id) in {"join", "invite", "knock"}:
                raise

    async def ban(self, room_id: str, user_id: str, reason: str = "") -> None:
        """Ban a user, whether they are a member or not."""
        await self._member(room_id, "ban", user_id, reason)

    async def unban(self, room_id: str, user_id: str) -> None:
        """Lift a ban; nothing happens without one."""
        if await self.membership(room_id, user_id) == "ban":
            await self._member(room_id, "unban", user_id, "")

    async def membership(self, room_id: str, user_id: str) -> str:
        """``join``, ``invite``, ``knock``, ``ban``, or ``leave`` (also for who never was there)."""
        content = await self.state(room_id, "m.room.member", user_id) or {}
        found = content.get("membership")
        return found if isinstance(found, str) else "leave"

    async def join(self, room: str) -> str:
        """Join a room by id or alias; its id."""
        answer = await self._request("POST", path("/_matrix/client/v3/join", room), {})
        return str(answer["room_id"])

    async def leave(self, room_id: str) -> None:
        """Leave a room and forget it; nothing happens to who is not in it."""
        for verb in ("leave", "forget"):
            try:
                await self._request("POST", path(ROOMS, room_id, verb), {})
            except HomeserverError as error:
                if error.status not in {403, 404}:
                    raise

    async def event(self, room_id: str, event_id: str) -> dict[str, Any] | None:
        """An event as it stands now (redacted, perhaps); None when there is none that the steward may see."""
        try:
            answer = await self._request("GET", path(ROOMS, room_id, "event", event_id))
        except HomeserverError as error:
            if error.status in {403, 404}:
                return None
            raise
        return answer if isinstance(answer, dict) else None

    async def redact(self, room_id: str, event_id: str, txn_id: str, reason: str = "") -> str:
        """Redact an event. The homeserver keeps ``txn_id`` in memory only, for the steward has no device: who repeats
        this after a crash looks at the event first.
        """
        return await self._homeserver.redact(self.user_id, None, room_id, event_id, txn_id, reason or None)

    async def messages(
        self, room_id: str, *, back: bool = True, start: str = "", limit: int = 100
    ) -> tuple[list[dict[str, Any]], str]:
        """A page of a room's timeline, and where the next begins (empty: there is none)."""
        query = {"dir": "b" if back else "f", "limit": str(limit)} | ({"from": start} if start else {})
        answer = await self._request("GET", path(ROOMS, room_id, "messages"), query=query)
        chunk = [raw for raw in answer.get("chunk", []) if isinstance(raw, dict)]
        return chunk, str(answer.get("end") or "")

    async def timeline(self, room_id: str) -> AsyncIterator[dict[str, Any]]:
        """Every event of a room that the steward may see, the newest first."""
        start = ""
        while True:
            chunk, start = await self.messages(room_id, start=start)
            for raw in chunk:
                yield raw
            if not start or not chunk:
                return

    async def set_alias(self, room_id: str, alias: str) -> bool:
        """Have an alias lead to a room; False when it leads to another."""
        try:
            await self._request("PUT", path(f"{DIRECTORY}/room", alias), {"room_id": room_id})
        except HomeserverError as error:
            if error.status != 409:
                raise
            answer = await self._request("GET", path(f"{DIRECTORY}/room", alias))
            return bool(answer.get("room_id") == room_id)
        return True

    async def drop_alias(self, alias: str) -> None:
        """The alias leads nowhere any more."""
        try:
            await self._request("DELETE", path(f"{DIRECTORY}/room", alias))
        except HomeserverError as error:
            if error.status != 404:
                raise

    async def aliases(self, room_id: str) -> list[str]:
        """The aliases of this homeserver that lead to a room."""
        answer = await self._request("GET", path(ROOMS, room_id, "aliases"))
        return [alias for alias in answer.get("aliases", []) if isinstance(alias, str)]

    async def list_room(self, room_id: str, *, listed: bool) -> None:
        """Put a room into the homeserver's directory, or take it out."""
        body = {"visibility": "public" if listed else "private"}
        await self._request("PUT", path(f"{DIRECTORY}/list/room", room_id), body)

    async def upgrade(self, room_id: str, version: str) -> str:
        """Have the homeserver put a new room in the place of one; the id of the new one."""
        answer = await self._request("POST", path(ROOMS, room_id, "upgrade"), {"new_version": version})
        return str(answer["replacement_room"])

    async def _member(self, room_id: str, verb: str, user_id: str, reason: str) -> None:
        body = {"user_id": user_id} | ({"reason": reason} if reason else {})
        await self._request("POST", path(ROOMS, room_id, verb), body)

    async def _request(
        self, method: str, url: str, body: object | None = None, query: Mapping[str, str] | None = None
    ) -> Any:
        return await self._homeserver.request(method, url, user_id=self.user_id, body=body, query=query)
