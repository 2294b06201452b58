"""The rest of the client-server API that an application service uses: accounts, devices, keys, /sync, rooms, media.

As true as the service can notice: devices must exist before they are masqueraded as, uploaded keys can be queried and
claimed once, to-device messages wait until a /sync acknowledges them.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tests.support.fake_http import Request

if TYPE_CHECKING:
    from tests.support.fake_homeserver import FakeHomeserver

Answer = tuple[int, Any]
OK: Answer = (200, {})


def error(status: int, errcode: str, message: str, **more: Any) -> Answer:
    """A Matrix error."""
    return status, {"errcode": errcode, "error": message, **more}


@dataclass(slots=True)
class Device:
    """A device: its keys, and the to-device messages that wait for it as (position, event)."""

    device_id: str
    display_name: str = ""
    keys: dict[str, Any] | None = None
    one_time_keys: dict[str, Any] = field(default_factory=dict)
    fallback_keys: dict[str, Any] = field(default_factory=dict)
    fallback_unused: set[str] = field(default_factory=set)
    inbox: list[tuple[int, dict[str, Any]]] = field(default_factory=list)

    def key_counts(self) -> dict[str, int]:
        """One-time keys left, by algorithm."""
        counts = {"signed_curve25519": 0}
        for name in self.one_time_keys:
            algorithm = name.partition(":")[0]
            counts[algorithm] = counts.get(algorithm, 0) + 1
        return counts


@dataclass(slots=True)
class Account:
    """A user."""

    user_id: str
    devices: dict[str, Device] = field(default_factory=dict)
    profile: dict[str, str] = field(default_factory=dict)
    account_data: dict[str, Any] = field(default_factory=dict)
    cross_signing: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Call:
    """A request of a user (or of a user through the service)."""

    request: Request
    user_id: str
    device_id: str | None
    args: tuple[str, ...]

    @property
    def body(self) -> Any:
        """The JSON body."""
        return self.request.json()


class ClientApi:
    """Accounts and their endpoints. ``accounts`` holds them by user id."""

    def __init__(self, homeserver: FakeHomeserver) -> None:
        self.homeserver = homeserver
        self.accounts: dict[str, Account] = {}
        self.media: dict[str, tuple[str, bytes]] = {}
        self.syncs = 0
        self._position = itertools.count(1)
        self._to_device = asyncio.Event()
        self._polls: set[asyncio.Task[None]] = set()
        user, room = r"user/([^/]+)", r"rooms/([^/]+)"
        routes: list[tuple[str, str, Callable[[Call], Answer]]] = [
            ("GET", "account/whoami", self._whoami),
            ("POST", "register", self._register),
            ("POST", "login", self._login),
            ("GET", "capabilities", lambda _: (200, {"capabilities": {"m.room_versions": {"default": "11"}}})),
            ("GET", "devices", self._devices),
            ("GET", "devices/([^/]+)", self._device),
            ("PUT", "devices/([^/]+)", self._put_device),
            ("DELETE", "devices/([^/]+)", self._delete_device),
            ("POST", "delete_devices", self._delete_devices),
            ("POST", "keys/upload(?:/[^/]+)?", self._keys_upload),
            ("POST", "keys/query", self._keys_query),
            ("POST", "keys/claim", self._keys_claim),
            ("GET", "keys/changes", lambda _: (200, {"changed": [], "left": []})),
            ("POST", "keys/device_signing/upload", self._device_signing),
            ("POST", "keys/signatures/upload", self._signatures),
            ("PUT", "sendToDevice/([^/]+)/([^/]+)", self._send_to_device),
            ("POST", f"{user}/filter", lambda _: (200, {"filter_id": "1"})),
            ("GET", f"{user}/account_data/(.+)", self._get_account_data),
            ("PUT", f"{user}/account_data/(.+)", self._put_account_data),
            ("GET", "profile/([^/]+)(?:/([^/]+))?", self._get_profile),
            ("PUT", "profile/([^/]+)/([^/]+)", self._put_profile),
            ("PUT", "presence/.*", lambda _: OK),
            ("GET", "joined_rooms", self._joined_rooms),
            ("POST", "join/([^/]+)", self._join),
            ("POST", f"{room}/join", self._join),
            ("POST", f"{room}/leave", lambda call: self._membership(call, call.user_id, "leave")),
            ("POST", f"{room}/forget", lambda _: OK),
            ("POST", f"{room}/invite", lambda call: self._membership(call, call.body["user_id"], "invite")),
            ("POST", f"{room}/kick", lambda call: self._membership(call, call.body["user_id"], "leave")),
            ("POST", "createRoom", self._create_room),
            ("GET", f"{room}/messages", self._messages),
            ("GET", f"{room}/state", self._state),
            ("GET", f"{room}/state/([^/]+)(?:/([^/]*))?", self._get_state),
            ("PUT", f"{room}/state/([^/]+)(?:/([^/]*))?", self._put_state),
            ("GET", f"{room}/members", self._members),
            ("GET", f"{room}/joined_members", self._joined_members),
            ("PUT", f"{room}/typing/[^/]+", lambda _: OK),
            ("POST", f"{room}/(?:receipt|read_markers).*", lambda _: OK),
            ("POST", "upload", self._upload),
            ("GET", "(?:media/)?config", lambda _: (200, {"m.upload.size": 50 * 1024 * 1024})),
        ]
        self._routes = [(method, re.compile(pattern + "/?$"), handler) for method, pattern, handler in routes]

    def account(self, user_id: str) -> Account:
        """The account; it is made when missing."""
        return self.accounts.setdefault(user_id, Account(user_id))

    def close(self) -> None:
        """End the long polls."""
        for poll in self._polls:
            poll.cancel()

    def handle(self, request: Request, user_id: str, device_id: str | None) -> None:
        """Answer one request."""
        path = re.sub(r"^/_matrix/(client|media)/(r0|v1|v3|unstable(/[a-z0-9._]+)?)/", "", request.path)
        if path == "sync" and request.method == "GET":
            self._start_sync(request, user_id, device_id)
            return
        if path.startswith(("media/download/", "download/")) and request.method == "GET":
            self._download(request, path)
            return
        seen = False
        for method, pattern, handler in self._routes:
            match = pattern.match(path)
            if match is None:
                continue
            seen = True
            if method == request.method:
                args = tuple(unquote(part) for part in match.groups("") if part is not None)
                request.respond(*handler(Call(request, user_id, device_id, args)))
                return
        status = 405 if seen else 404
        request.respond(*error(status, "M_UNRECOGNIZED", f"{request.method} {request.path} is not known"))

    # Accounts and devices

    def _whoami(self, call: Call) -> Answer:
        device = {"device_id": call.device_id} if call.device_id else {}
        return 200, {"user_id": call.user_id, "is_guest": False, **device}

    def _register(self, call: Call) -> Answer:
        user_id = f"@{call.body['username']}:{self.homeserver.server_name}"
        if user_id in self.accounts:
            return error(400, "M_USER_IN_USE", "User ID already taken.")
        self.account(user_id)
        return 200, {"user_id": user_id, "home_server": self.homeserver.server_name}

    def _login(self, call: Call) -> Answer:
        user_id = f"@{call.body['identifier']['user']}:{self.homeserver.server_name}"
        device_id = call.body.get("device_id") or f"DEVICE{next(self._position)}"
        self.account(user_id).devices.setdefault(device_id, Device(device_id))
        return 200, {"user_id": user_id, "device_id": device_id, "access_token": self.homeserver.as_token}

    def _devices(self, call: Call) -> Answer:
        devices = self.account(call.user_id).devices.values()
        return 200, {"devices": [{"device_id": d.device_id, "display_name": d.display_name} for d in devices]}

    def _device(self, call: Call) -> Answer:
        device = self.account(call.user_id).devices.get(call.args[0])
        if device is None:
            return error(404, "M_NOT_FOUND", "No device found")
        return 200, {"device_id": device.device_id, "display_name": device.display_name}

    def _put_device(self, call: Call) -> Answer:
        devices = self.account(call.user_id).devices
        status = 200 if call.args[0] in devices else 201
        device = devices.setdefault(call.args[0], Device(call.args[0]))
        device.display_name = call.body.get("display_name", device.display_name)
        return status, {}

    def _delete_device(self, call: Call) -> Answer:
        self.account(call.user_id).devices.pop(call.args[0], None)
        return OK

    def _delete_devices(self, call: Call) -> Answer:
        for device_id in call.body["devices"]:
            self.account(call.user_id).devices.pop(device_id, None)
        return OK

    # Keys

    def _keys_upload(self, call: Call) -> Answer:
        device = self.account(call.user_id).devices.get(call.device_id or "")
        if device is None:
            return error(400, "M_UNKNOWN", "To upload keys, you must pass device_id when authenticating")
        body = call.body
        device.keys = body.get("device_keys") or device.keys
        for name, key in (body.get("one_time_keys") or {}).items():
            if name in device.one_time_keys and device.one_time_keys[name] != key:
                return error(400, "M_INVALID_PARAM", f"One time key {name} already exists")
            device.one_time_keys[name] = key
        for name, key in (body.get("fallback_keys") or {}).items():
            device.fallback_keys = {name: key}
            device.fallback_unused = {name.partition(":")[0]}
        return 200, {"one_time_key_counts": device.key_counts()}

    def _keys_query(self, call: Call) -> Answer:
        answer: dict[str, Any] = {"device_keys": {}, "failures": {}, "master_keys": {}, "self_signing_keys": {}}
        answer["user_signing_keys"] = {}
        for user_id, wanted in call.body.get("device_keys", {}).items():
            account = self.accounts.get(user_id)
            if account is None:
                continue
            answer["device_keys"][user_id] = {
                device.device_id: device.keys
                for device in account.devices.values()
                if device.keys and (not wanted or device.device_id in wanted)
            }
            for kind in ("master", "self_signing", "user_signing"):
                key = account.cross_signing.get(f"{kind}_key")
                if key and (kind != "user_signing" or user_id == call.user_id):
                    answer[f"{kind}_keys"][user_id] = key
        return 200, answer

    def _keys_claim(self, call: Call) -> Answer:
        claimed: dict[str, dict[str, Any]] = {}
        for user_id, devices in call.body.get("one_time_keys", {}).items():
            for device_id, algorithm in devices.items():
                device = self.account(user_id).devices.get(device_id)
                name = device and next((n for n in device.one_time_keys if n.startswith(algorithm)), None)
                if device is not None and name:
                    key = {name: device.one_time_keys.pop(name)}
                elif device is not None and device.fallback_keys:
                    key = dict(device.fallback_keys)
                    device.fallback_unused.clear()
                else:
                    continue
                claimed.setdefault(user_id, {})[device_id] = key
        return 200, {"one_time_keys": claimed, "failures": {}}

    def _device_signing(self, call: Call) -> Answer:
        self.account(call.user_id).cross_signing.update(call.body)
        return OK

    def _signatures(self, call: Call) -> Answer:
        for user_id, signed in call.body.items():
            account = self.account(user_id)
            stored = [device.keys for device in account.devices.values() if device.keys]
            stored += [key for key in account.cross_signing.values() if isinstance(key, dict) and "keys" in key]
            for new in signed.values():
                for old in stored:
                    if old.get("keys") == new.get("keys"):
                        for signer, signatures in new.get("signatures", {}).items():
                            old.setdefault("signatures", {}).setdefault(signer, {}).update(signatures)
        return 200, {"failures": {}}

    # To-device messages and /sync

    def _send_to_device(self, call: Call) -> Answer:
        for user_id, devices in call.body.get("messages", {}).items():
            for device_id, content in devices.items():
                account = self.account(user_id)
                targets = list(account.devices.values()) if device_id == "*" else [account.devices.get(device_id)]
                for target in filter(None, targets):
                    event = {"type": call.args[0], "sender": call.user_id, "content": content}
                    target.inbox.append((next(self._position), event))
        self._to_device.set()
        self._to_device.clear()
        return OK

    def _start_sync(self, request: Request, user_id: str, device_id: str | None) -> None:
        poll = asyncio.get_running_loop().create_task(self._sync(request, user_id, device_id))
        self._polls.add(poll)
        poll.add_done_callback(self._polls.discard)

    async def _sync(self, request: Request, user_id: str, device_id: str | None) -> None:
        self.syncs += 1
        query = request.query
        device = self.account(user_id).devices.get(device_id or "") or Device("")
        parts = query.get("since", "").lstrip("s").partition("_")
        since = int(parts[0]) if parts[0] else None
        device.inbox = [item for item in device.inbox if since is None or item[0] > since]
        loop = asyncio.get_running_loop()
        deadline = loop.time() + int(query.get("timeout", "0")) / 1000
        while since is not None and not device.inbox and loop.time() < deadline:
            try:
                async with asyncio.timeout_at(deadline):
                    await self._to_device.wait()
            except TimeoutError:
                break
        events = device.inbox[:100]
        position = events[-1][0] if events else (since or 0)
        history = self.homeserver.history
        answer: dict[str, Any] = {
            "next_batch": f"s{position}_{len(history)}",
            "device_one_time_keys_count": device.key_counts(),
            "device_unused_fallback_key_types": sorted(device.fallback_unused),
        }
        if events:
            answer["to_device"] = {"events": [event for _, event in events]}
        if device_id is None and since is not None:  # a device's own /sync has a filter without rooms
            answer["rooms"] = {"join": self._timelines(user_id, int(parts[2] or 0), query.get("filter", ""))}
        request.respond(200, answer)

    def _timelines(self, user_id: str, first: int, wanted: str) -> dict[str, Any]:
        """What has happened in the rooms of a user since a place in the history; of each room the newest events."""
        most = json.loads(wanted or "{}").get("room", {}).get("timeline", {}).get("limit", 10)
        found: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        for place, event in enumerate(self.homeserver.history[first:], first):
            if self.homeserver.rooms[event["room_id"]].is_joined(user_id):
                found.setdefault(event["room_id"], []).append((place, event))
        rooms = {}
        for room_id, events in found.items():
            shown = events[-most:]
            timeline = {
                "events": [{key: value for key, value in event.items() if key != "room_id"} for _, event in shown],
                "limited": len(shown) < len(events),
                "prev_batch": f"s0_{shown[0][0]}",
            }
            rooms[room_id] = {"timeline": timeline}
        return rooms

    def _messages(self, call: Call) -> Answer:
        """What has happened in a room, backwards."""
        query = call.request.query
        newest, oldest = (int(query.get(name, "").partition("_")[2] or 0) for name in ("from", "to"))
        history, place = self.homeserver.history, newest
        chunk: list[dict[str, Any]] = []
        while place > oldest and len(chunk) < int(query.get("limit", "10")):
            place -= 1
            if history[place]["room_id"] == call.args[0]:
                chunk.append(history[place])
        answer = {"chunk": chunk, "start": query.get("from", "")}
        return 200, answer | ({"end": f"s0_{place}"} if place > oldest else {})

    # Profile and account data

    def _get_account_data(self, call: Call) -> Answer:
        data = self.account(call.args[0]).account_data.get(call.args[1])
        return (200, data) if data is not None else error(404, "M_NOT_FOUND", "Account data not found")

    def _put_account_data(self, call: Call) -> Answer:
        self.account(call.args[0]).account_data[call.args[1]] = call.body
        return OK

    def _get_profile(self, call: Call) -> Answer:
        account = self.accounts.get(call.args[0])
        if account is None:
            return error(404, "M_NOT_FOUND", "Profile was not found")
        wanted = call.args[1] if len(call.args) > 1 else ""
        if wanted:
            return 200, {wanted: account.profile[wanted]} if wanted in account.profile else {}
        return 200, account.profile

    def _put_profile(self, call: Call) -> Answer:
        self.account(call.args[0]).profile[call.args[1]] = call.body.get(call.args[1], "")
        return OK

    # Rooms

    def _joined_rooms(self, call: Call) -> Answer:
        return 200, {"joined_rooms": self.homeserver.rooms_of(call.user_id)}

    def _join(self, call: Call) -> Answer:
        status, answer = self._membership(call, call.user_id, "join")
        return status, answer if status != 200 else {"room_id": call.args[0]}

    def _membership(self, call: Call, user_id: str, membership: str) -> Answer:
        room = self.homeserver.rooms.get(call.args[0])
        if room is None:
            return error(404, "M_UNKNOWN", "Room not found")
        current = room.state.get(("m.room.member", user_id), {"content": {}})["content"].get("membership")
        if current != membership:
            content = {"membership": membership, **self.account(user_id).profile}
            self.homeserver.set_state(room, call.user_id, "m.room.member", user_id, content)
        return OK

    def _create_room(self, call: Call) -> Answer:
        body = call.body
        room = self.homeserver.add_room([call.user_id])
        for event in body.get("initial_state", []):
            self.homeserver.set_state(room, call.user_id, event["type"], event.get("state_key", ""), event["content"])
        for user_id in body.get("invite", []):
            self.homeserver.set_state(room, call.user_id, "m.room.member", user_id, {"membership": "invite"})
        return 200, {"room_id": room.room_id}

    def _state(self, call: Call) -> Answer:
        room = self.homeserver.rooms.get(call.args[0])
        if room is None:
            return error(403, "M_FORBIDDEN", "User not in room")
        return 200, list(room.state.values())

    def _get_state(self, call: Call) -> Answer:
        room = self.homeserver.rooms.get(call.args[0])
        event = room and room.state.get((call.args[1], call.args[2] if len(call.args) > 2 else ""))
        if not event:
            return error(404, "M_NOT_FOUND", "Event not found.")
        return 200, event if call.request.query.get("format") == "event" else event["content"]

    def _put_state(self, call: Call) -> Answer:
        room = self.homeserver.rooms.get(call.args[0])
        if room is None or not room.is_joined(call.user_id):
            return error(403, "M_FORBIDDEN", "User not in room")
        key = call.args[2] if len(call.args) > 2 else ""
        event = self.homeserver.set_state(room, call.user_id, call.args[1], key, call.body)
        return 200, {"event_id": event["event_id"]}

    def _members(self, call: Call) -> Answer:
        status, events = self._state(call)
        if status != 200:
            return status, events
        return 200, {"chunk": [event for event in events if event["type"] == "m.room.member"]}

    def _joined_members(self, call: Call) -> Answer:
        room = self.homeserver.rooms.get(call.args[0])
        if room is None or not room.is_joined(call.user_id):
            return error(403, "M_FORBIDDEN", "User not in room")
        return 200, {"joined": {user_id: {"display_name": user_id} for user_id in room.members()}}

    # Media

    def _upload(self, call: Call) -> Answer:
        media_id = f"media{next(self._position)}"
        self.media[media_id] = ("application/octet-stream", call.request.body)
        return 200, {"content_uri": f"mxc://{self.homeserver.server_name}/{media_id}"}

    def _download(self, request: Request, path: str) -> None:
        found = self.media.get(path.split("/")[-1])
        if found is None:
            request.respond(*error(404, "M_NOT_FOUND", "Not found"))
        else:
            request.respond(200, found[1], found[0])
