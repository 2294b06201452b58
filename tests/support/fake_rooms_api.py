"""The client-server API before :class:`tests.support.fake_rooms.RoomKeeper`: what stands in for
:class:`appservice.homeserver.Homeserver`, for the service and for people alike.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from appservice import json
from appservice.homeserver import HomeserverError
from tests.support.fake_rooms import MEMBER, RawEvent, Room, RoomKeeper, forbidden, not_found

PREFIX: Final = re.compile(r"^/_matrix/(?:client|media)/(?:r0|v1|v3|unstable(?:/[a-z0-9._]+)?)/")
Fault = Callable[[str, str], HomeserverError | None]


@dataclass(frozen=True, slots=True)
class Call:
    """A request: what the path's groups were, who asks, with what."""

    args: tuple[str, ...]
    user_id: str
    body: Any
    query: Mapping[str, str]


Handler = Callable[[Call], Any]


class FakeRoomServer(RoomKeeper):
    """A homeserver of one process. Requests are answered as Synapse answers them, errors included."""

    def __init__(
        self,
        server_name: str,
        now: Callable[[], int],
        on_event: Callable[[RawEvent], None],
        on_ephemeral: Callable[[dict[str, Any]], None],
        sender: str,
    ) -> None:
        """
        Args:
            sender: the application service's own user, for requests that name nobody.
        """
        super().__init__(server_name, now, on_event)
        self.sender = sender
        self.url = "http://homeserver.test"
        self.reachable = True
        self.dead = False
        """The service was killed: nothing that it still sends arrives."""
        self.fault: Fault = lambda _method, _path: None
        """Asked before each request: an error is the answer, and nothing happens."""
        self.lost: Fault = lambda _method, _path: None
        """Asked after each request: an error is the answer although it happened."""
        self.requests: list[tuple[str, str, str]] = []
        """Method, path without prefix, user: every request but sends."""
        self.media: dict[str, bytes] = {}
        self.account_data: dict[tuple[str, str], Any] = {}
        self._on_ephemeral = on_ephemeral
        self._sent: dict[tuple[str, str, str], str] = {}
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = []
        room = r"rooms/([^/]+)"
        for method, pattern, handler in (
            ("POST", "createRoom", lambda call: {"room_id": self.create(call.user_id, call.body).room_id}),
            ("GET", "joined_rooms", lambda call: {"joined_rooms": self.joined_rooms(call.user_id)}),
            ("POST", "join/([^/]+)", self._join),
            ("POST", f"{room}/join", self._join),
            ("POST", "knock/([^/]+)", self._knock),
            ("POST", f"{room}/leave", self._leave),
            ("POST", f"{room}/forget", lambda _: {}),
            ("POST", f"{room}/invite", self._invite),
            ("POST", f"{room}/(kick|ban|unban)", self._remove),
            ("POST", f"{room}/upgrade", self._upgrade),
            ("GET", f"{room}/state", self._full_state),
            ("GET", f"{room}/state/([^/]+)(?:/([^/]*))?", self._state),
            ("GET", f"{room}/event/([^/]+)", self._event),
            ("GET", f"{room}/messages", self._messages),
            ("GET", f"{room}/members", self._members),
            ("GET", f"{room}/joined_members", self._joined_members),
            ("GET", f"{room}/relations/([^/]+)(?:/.*)?", self._relations),
            ("POST", f"{room}/receipt/([^/]+)/([^/]+)", self._receipt),
            ("GET", f"{room}/aliases", self._aliases),
            ("PUT", f"{room}/typing/([^/]+)", lambda _: {}),
            ("GET", "directory/room/([^/]+)", self._alias),
            ("PUT", "directory/room/([^/]+)", self._put_alias),
            ("DELETE", "directory/room/([^/]+)", self._drop_alias),
            ("PUT", "directory/list/room/([^/]+)", self._list),
            ("GET", "profile/([^/]+)(?:/([^/]+))?", self._profile),
            ("PUT", "profile/([^/]+)/([^/]+)", self._put_profile),
            ("GET", "user/([^/]+)/account_data/([^/]+)", self._account_data),
            ("PUT", "user/([^/]+)/account_data/([^/]+)", self._put_account_data),
        ):
            self.route(method, pattern, handler)

    def route(self, method: str, pattern: str, handler: Handler) -> None:
        """Answer one more endpoint: ``pattern`` is matched with the path behind ``/_matrix/client/v3/`` (or the whole
        path, when it begins otherwise). Later routes go before earlier ones.
        """
        self._routes.insert(0, (method, re.compile(pattern + r"\Z"), handler))

    async def request(
        self,
        method: str,
        path: str,
        *,
        user_id: str | None = None,
        device_id: str | None = None,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        data: bytes | None = None,
        content_type: str | None = None,
        timeout: float | None = None,
    ) -> Any:
        """As :meth:`appservice.homeserver.Homeserver.request`."""
        await asyncio.sleep(0)
        user = user_id or self.sender
        short = PREFIX.sub("", path)
        self.requests.append((method, unquote(short), user))
        self._check(self.fault, method, path)
        if short == "upload":
            name = f"media{len(self.media)}"
            self.media[name] = data or b""
            return {"content_uri": f"mxc://{self.server_name}/{name}"}
        if data is not None and body is None:
            body = json.loads(data)
        if (match := re.match(r"rooms/([^/]+)/state/([^/]+)/?([^/]*)\Z", short)) and method == "PUT":
            room_id, event_type, key = (unquote(part) for part in match.groups())
            return {"event_id": self.put_state(self.room(room_id), user, event_type, key, body)["event_id"]}
        for known, pattern, handler in self._routes:
            found = pattern.match(short)
            if found is not None and known == method:
                args = tuple(unquote(part) for part in found.groups("") if part is not None)
                answer = handler(Call(args, user, {} if body is None else body, query or {}))
                self._check(self.lost, method, path)
                # What a caller does to an answer must not change the room.
                return deepcopy(answer)
        raise HomeserverError(404, "M_UNRECOGNIZED", f"{method} {path} is not known")

    async def send_event(
        self,
        user_id: str,
        device_id: str | None,
        room_id: str,
        event_type: str,
        txn_id: str,
        content: Mapping[str, Any] | bytes,
    ) -> str:
        """``PUT /send``: once for each transaction id."""
        whole = json.loads(content) if isinstance(content, bytes) else content
        return await self._once(
            f"/rooms/{room_id}/send/{event_type}/{txn_id}",
            (user_id, room_id, txn_id),
            lambda: self.send(self.room(room_id), user_id, event_type, deepcopy(dict(whole))),
        )

    async def send_state(
        self, user_id: str, room_id: str, event_type: str, state_key: str, content: Mapping[str, Any] | bytes
    ) -> str:
        """``PUT /state``."""
        whole = json.loads(content) if isinstance(content, bytes) else content
        return await self._once(
            f"/rooms/{room_id}/state/{event_type}/{state_key}",
            None,
            lambda: self.put_state(self.room(room_id), user_id, event_type, state_key, deepcopy(dict(whole))),
        )

    async def redact(
        self, user_id: str, device_id: str | None, room_id: str, event_id: str, txn_id: str, reason: str | None
    ) -> str:
        """``PUT /redact``: once for each transaction id."""
        return await self._once(
            f"/rooms/{room_id}/redact/{event_id}/{txn_id}",
            (user_id, room_id, txn_id),
            lambda: self.redact_in(self.room(room_id), user_id, event_id, reason),
        )

    async def download(self, path: str, *, user_id: str, limit: int) -> bytes:
        """The bytes of media."""
        data = self.media.get(path.rsplit("/", 1)[-1])
        if data is None:
            raise not_found("no such media")
        return data

    async def wait_reachable(self) -> None:
        """It always is, unless a test says so."""
        while not self.reachable:
            await asyncio.sleep(0.001)

    async def _once(self, path: str, key: tuple[str, str, str] | None, act: Callable[[], RawEvent]) -> str:
        await asyncio.sleep(0)
        self._check(self.fault, "PUT", path)
        known = self._sent.get(key) if key is not None else None
        if known is None:
            known = str(act()["event_id"])
            if key is not None:
                self._sent[key] = known
        self._check(self.lost, "PUT", path)
        return known

    def _check(self, asked: Fault, method: str, path: str) -> None:
        if self.dead:
            raise HomeserverError(0, "UNREACHABLE", "killed (test)")
        error = asked(method, unquote(path))
        if error is not None:
            raise error

    # Endpoints

    def _id(self, room: str) -> str:
        if not room.startswith("#"):
            return room
        found = self.aliases.get(room)
        if found is None:
            raise not_found("Room alias not found")
        return found

    def _join(self, call: Call) -> Any:
        room = self.room(self._id(call.args[0]))
        self.join(room, call.user_id, str(call.body.get("reason", "")))
        return {"room_id": room.room_id}

    def _knock(self, call: Call) -> Any:
        room = self.room(self._id(call.args[0]))
        self.knock(room, call.user_id, str(call.body.get("reason", "")))
        return {"room_id": room.room_id}

    def _leave(self, call: Call) -> Any:
        self.leave(self.room(call.args[0]), call.user_id, str(call.body.get("reason", "")))
        return {}

    def _invite(self, call: Call) -> Any:
        reason = str(call.body.get("reason", ""))
        self.invite(self.room(call.args[0]), call.user_id, call.body["user_id"], reason)
        return {}

    def _remove(self, call: Call) -> Any:
        membership = "ban" if call.args[1] == "ban" else "leave"
        reason = str(call.body.get("reason", ""))
        self.remove(self.room(call.args[0]), call.user_id, call.body["user_id"], membership, reason)
        return {}

    def _upgrade(self, call: Call) -> Any:
        new = self.upgrade(self.room(call.args[0]), call.user_id, str(call.body["new_version"]))
        return {"replacement_room": new.room_id}

    def _inside(self, call: Call) -> Room:
        """The room, for who is or was in it."""
        room = self.rooms.get(call.args[0])
        if room is None or room.deleted or (MEMBER, call.user_id) not in room.state:
            raise forbidden(f"User {call.user_id} not in room {call.args[0]}")
        if room.membership(call.user_id) in {"invite", "knock"}:
            raise forbidden(f"User {call.user_id} not in room {call.args[0]}")
        return room

    def _full_state(self, call: Call) -> Any:
        return list(self._inside(call).state.values())

    def _state(self, call: Call) -> Any:
        event = self._inside(call).state.get((call.args[1], call.args[2] if len(call.args) > 2 else ""))
        if event is None:
            raise not_found("Event not found.")
        return event if call.query.get("format") == "event" else event["content"]

    def _event(self, call: Call) -> Any:
        event = self._inside(call).event(call.args[1])
        if event is None:
            raise not_found("Event not found.")
        return event

    def _messages(self, call: Call) -> Any:
        timeline = self._inside(call).timeline
        limit = int(call.query.get("limit", "10"))
        if call.query.get("dir", "b") == "b":
            end = int(call.query["from"][1:]) if "from" in call.query else len(timeline)
            begin = max(end - limit, 0)
            chunk, following = timeline[begin:end][::-1], begin
        else:
            begin = int(call.query["from"][1:]) if "from" in call.query else 0
            chunk = timeline[begin : begin + limit]
            following = begin + len(chunk)
        answer = {"chunk": chunk, "start": call.query.get("from", f"t{begin}")}
        more = following > 0 if call.query.get("dir", "b") == "b" else following < len(timeline)
        return answer | ({"end": f"t{following}"} if more else {})

    def _members(self, call: Call) -> Any:
        room = self._inside(call)
        wanted = call.query.get("membership")
        chunk = [event for (kind, _), event in room.state.items() if kind == MEMBER]
        return {"chunk": [event for event in chunk if wanted in {None, event["content"].get("membership")}]}

    def _joined_members(self, call: Call) -> Any:
        room = self._inside(call)
        names = {user_id: room.content(MEMBER, user_id).get("displayname") for user_id in room.members()}
        return {"joined": {user_id: {"display_name": name} for user_id, name in names.items()}}

    def _relations(self, call: Call) -> Any:
        found = [
            raw
            for raw in self._inside(call).timeline
            if isinstance(raw["content"].get("m.relates_to"), dict)
            and raw["content"]["m.relates_to"].get("event_id") == call.args[1]
        ]
        return {"chunk": found[::-1]}

    def _receipt(self, call: Call) -> Any:
        room = self._inside(call)
        room_id, kind, event_id = call.args[:3]
        if kind == "m.read":
            room.receipts[call.user_id] = event_id
            content = {event_id: {"m.read": {call.user_id: {"ts": self._now()}}}}
            self._on_ephemeral({"type": "m.receipt", "room_id": room_id, "content": content})
        return {}

    def _alias(self, call: Call) -> Any:
        return {"room_id": self._id(call.args[0]), "servers": [self.server_name]}

    def _aliases(self, call: Call) -> Any:
        room = self._inside(call)
        return {"aliases": [alias for alias, target in self.aliases.items() if target == room.room_id]}

    def _put_alias(self, call: Call) -> Any:
        if call.args[0] in self.aliases:
            raise HomeserverError(409, "M_UNKNOWN", f"Room alias {call.args[0]} already exists")
        self.aliases[call.args[0]] = call.body["room_id"]
        return {}

    def _drop_alias(self, call: Call) -> Any:
        if self.aliases.pop(call.args[0], None) is None:
            raise not_found("Room alias not found")
        return {}

    def _list(self, call: Call) -> Any:
        self.room(call.args[0]).listed = call.body["visibility"] == "public"
        return {}

    def _profile(self, call: Call) -> Any:
        found = self.profiles.get(call.args[0])
        if found is None:
            raise not_found("Profile was not found")
        wanted = call.args[1] if len(call.args) > 1 else ""
        return {key: value for key, value in found.items() if wanted in {"", key}}

    def _put_profile(self, call: Call) -> Any:
        self.profiles.setdefault(call.args[0], {})[call.args[1]] = call.body[call.args[1]]
        return {}

    def _account_data(self, call: Call) -> Any:
        found = self.account_data.get((call.args[0], call.args[1]))
        if found is None:
            raise not_found("Account data not found")
        return found

    def _put_account_data(self, call: Call) -> Any:
        self.account_data[call.args[0], call.args[1]] = call.body
        return {}
