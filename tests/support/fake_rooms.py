"""Rooms as a homeserver keeps them: state, timelines, and who may do what (specification, "Authorization rules", room
version 11). In memory, and without HTTP: :mod:`tests.support.fake_rooms_api` puts the client-server API before it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from appservice.homeserver import HomeserverError

RawEvent = dict[str, Any]
MEMBER: Final = "m.room.member"
LEVELS: Final = "m.room.power_levels"
NEVER_REDACTED: Final = {
    "m.room.create": None,
    "m.room.member": ("membership", "join_authorised_via_users_server"),
    "m.room.join_rules": ("join_rule", "allow"),
    "m.room.power_levels": (
        "ban", "events", "events_default", "invite", "kick", "redact", "state_default", "users", "users_default",
    ),
    "m.room.history_visibility": ("history_visibility",),
    "m.room.redaction": ("redacts",),
}  # fmt: skip
"""What a redaction leaves of a content (room version 11); None: all of it."""
COPIED: Final = (
    "m.room.power_levels", "m.room.join_rules", "m.room.name", "m.room.topic", "m.room.avatar",
    "m.room.encryption", "m.room.history_visibility", "m.room.guest_access", "m.room.server_acl",
)  # fmt: skip
"""State that Synapse takes along into an upgraded room."""


def forbidden(message: str) -> HomeserverError:
    """403 M_FORBIDDEN."""
    return HomeserverError(403, "M_FORBIDDEN", message)


def not_found(message: str) -> HomeserverError:
    """404 M_NOT_FOUND."""
    return HomeserverError(404, "M_NOT_FOUND", message)


@dataclass(slots=True)
class Room:
    """A room. ``timeline`` holds every event in order, state included, as it stands now (redacted, perhaps)."""

    room_id: str
    version: str = "11"
    state: dict[tuple[str, str], RawEvent] = field(default_factory=dict)
    timeline: list[RawEvent] = field(default_factory=list)
    receipts: dict[str, str] = field(default_factory=dict)
    """What each user has read up to."""
    listed: bool = False
    deleted: bool = False

    def content(self, event_type: str, state_key: str = "") -> Mapping[str, Any]:
        """Content of the state, empty when there is none."""
        event = self.state.get((event_type, state_key))
        found: Mapping[str, Any] = {} if event is None else event["content"]
        return found

    def membership(self, user_id: str) -> str:
        """``join``, …, ``leave`` for who never was there."""
        return str(self.content(MEMBER, user_id).get("membership", "leave"))

    def members(self, membership: str = "join") -> list[str]:
        """Who is in it."""
        return [key for (kind, key), _ in self.state.items() if kind == MEMBER and self.membership(key) == membership]

    def power(self, user_id: str) -> int:
        """A user's power."""
        if (LEVELS, "") not in self.state:
            return 100 if self.state["m.room.create", ""]["sender"] == user_id else 0
        levels = self.content(LEVELS)
        return int(levels.get("users", {}).get(user_id, levels.get("users_default", 0)))

    def needed(self, event_type: str, *, state: bool) -> int:
        """The power that an event needs."""
        levels = self.content(LEVELS)
        default = levels.get("state_default", 50) if state else levels.get("events_default", 0)
        return int(levels.get("events", {}).get(event_type, default))

    def level(self, action: str) -> int:
        """The power that ``invite``, ``kick``, ``ban``, ``redact`` needs."""
        return int(self.content(LEVELS).get(action, 0 if action == "invite" else 50))

    def event(self, event_id: str) -> RawEvent | None:
        """An event of the timeline."""
        return next((raw for raw in self.timeline if raw["event_id"] == event_id), None)

    def bodies(self) -> list[str]:
        """The texts that can be read, in order: ``name: text``."""
        return [
            f"{raw['sender'][1:].partition(':')[0]}: {raw['content']['body']}"
            for raw in self.timeline
            if raw["type"] == "m.room.message" and "body" in raw["content"]
        ]


class RoomKeeper:
    """Makes rooms and changes them, if who asks may. ``on_event`` is told of everything that happens."""

    def __init__(self, server_name: str, now: Callable[[], int], on_event: Callable[[RawEvent], None]) -> None:
        self.server_name = server_name
        self.rooms: dict[str, Room] = {}
        self.aliases: dict[str, str] = {}
        self.profiles: dict[str, dict[str, Any]] = {}
        self._now = now
        self._on_event = on_event
        self._numbers = itertools.count(1)

    def room(self, room_id: str) -> Room:
        """A room that exists."""
        room = self.rooms.get(room_id)
        if room is None or room.deleted:
            raise not_found("Room not found")
        return room

    # Making

    def create(self, creator: str, body: Mapping[str, Any]) -> Room:
        """``POST /createRoom``."""
        alias = f"#{body['room_alias_name']}:{self.server_name}" if body.get("room_alias_name") else ""
        if alias in self.aliases:
            raise HomeserverError(400, "M_ROOM_IN_USE", "Room alias already taken")
        override = body.get("power_level_content_override") or {}
        if "users" in override and creator not in override["users"]:
            raise HomeserverError(400, "M_BAD_JSON", "power_level_content_override: users did not contain creator")
        preset = body.get("preset", "private_chat")
        invited = list(body.get("invite") or ())
        room = Room(f"!room{next(self._numbers)}:{self.server_name}", str(body.get("room_version", "11")))
        self.rooms[room.room_id] = room
        creation = {**(body.get("creation_content") or {}), "room_version": room.version}
        self._append(room, creator, "m.room.create", creation, "")
        self._append(room, creator, MEMBER, self._member_content(creator, "join"), creator)
        trusted = invited if preset == "trusted_private_chat" else []
        levels: dict[str, Any] = {
            "users": dict.fromkeys([creator, *trusted], 100), "users_default": 0, "events_default": 0,
            "state_default": 50, "ban": 50, "kick": 50, "redact": 50, "invite": 0 if preset != "public_chat" else 50,
            "events": {"m.room.power_levels": 100, "m.room.history_visibility": 100, "m.room.encryption": 100,
                       "m.room.tombstone": 100, "m.room.server_acl": 100, "m.room.name": 50, "m.room.avatar": 50},
        }  # fmt: skip
        self._append(room, creator, LEVELS, {**levels, **override}, "")
        if alias:
            self.aliases[alias] = room.room_id
        first = {(raw["type"], raw.get("state_key", "")): raw["content"] for raw in body.get("initial_state", [])}
        usual: dict[tuple[str, str], Any] = {
            ("m.room.join_rules", ""): {"join_rule": "public" if preset == "public_chat" else "invite"},
            ("m.room.history_visibility", ""): {"history_visibility": "shared"},
            ("m.room.guest_access", ""): {"guest_access": "forbidden" if preset == "public_chat" else "can_join"},
        }
        if alias:
            usual["m.room.canonical_alias", ""] = {"alias": alias}
        more = {f"m.room.{key}": {key: body[key]} for key in ("name", "topic") if body.get(key)}
        for (event_type, key), content in {**usual, **first, **{(kind, ""): it for kind, it in more.items()}}.items():
            self.put_state(room, creator, event_type, key, content)
        room.listed = body.get("visibility") == "public"
        for user_id in invited:
            self.invite(room, creator, user_id, direct=bool(body.get("is_direct")))
        return room

    def upgrade(self, room: Room, sender: str, version: str) -> Room:
        """``POST /upgrade``: a new room that says where it came from, and the old one closed."""
        if room.membership(sender) != "join" or room.power(sender) < room.needed("m.room.tombstone", state=True):
            raise forbidden("You don't have permission to upgrade this room")
        new = Room(f"!room{next(self._numbers)}:{self.server_name}", version)
        self.rooms[new.room_id] = new
        create = {key: value for key, value in room.content("m.room.create").items() if key != "creator"}
        create |= {"room_version": version, "predecessor": {"room_id": room.room_id}}
        self._append(new, sender, "m.room.create", create, "")
        self._append(new, sender, MEMBER, self._member_content(sender, "join"), sender)
        for event_type in COPIED:
            if (event_type, "") in room.state:
                self._append(new, sender, event_type, dict(room.content(event_type)), "")
        for user_id in room.members("ban"):
            self._append(new, sender, MEMBER, {"membership": "ban"}, user_id)
        self._append(room, sender, "m.room.tombstone", {"body": "replaced", "replacement_room": new.room_id}, "")
        for alias, target in list(self.aliases.items()):
            if target == room.room_id:
                self.aliases[alias] = new.room_id
        if shown := room.content("m.room.canonical_alias").get("alias"):
            self._append(new, sender, "m.room.canonical_alias", {"alias": shown}, "")
        levels = dict(room.content(LEVELS))
        closed = max(50, int(levels.get("users_default", 0)) + 1)
        for key in ("events_default", "invite"):
            if int(levels.get(key, 0)) < closed:
                levels[key] = closed
        self._append(room, sender, LEVELS, levels, "")
        return new

    # Events

    def put_state(
        self, room: Room, sender: str, event_type: str, state_key: str, content: Mapping[str, Any]
    ) -> RawEvent:
        """``PUT /state``: the same content again is the same event."""
        if event_type == MEMBER:
            return self._put_member(room, sender, state_key, content)
        self._may_send(room, sender, event_type, state=True)
        if state_key.startswith("@") and state_key != sender:
            raise forbidden("You are not allowed to set others state")
        if event_type == LEVELS and (LEVELS, "") in room.state:
            self._may_change_levels(room, sender, content)
        before = room.state.get((event_type, state_key))
        if before is not None and before["content"] == content:
            return before
        return self._append(room, sender, event_type, dict(content), state_key)

    def send(self, room: Room, sender: str, event_type: str, content: Mapping[str, Any]) -> RawEvent:
        """``PUT /send``."""
        self._may_send(room, sender, event_type, state=False)
        return self._append(room, sender, event_type, dict(content))

    def redact_in(self, room: Room, sender: str, event_id: str, reason: str | None) -> RawEvent:
        """``PUT /redact``: one's own, or with the power to."""
        self._may_send(room, sender, "m.room.redaction", state=False)
        target = room.event(event_id)
        if target is not None and target["sender"] != sender and room.power(sender) < room.level("redact"):
            raise forbidden("You don't have permission to redact events")
        content = {"redacts": event_id} | ({"reason": reason} if reason else {})
        event = self._append(room, sender, "m.room.redaction", content, redacts=event_id)
        if target is not None:
            kept = NEVER_REDACTED.get(target["type"], ())
            if kept is not None:
                # In place: whoever looks at the state or the timeline sees it without its content.
                target["content"] = {key: target["content"][key] for key in kept if key in target["content"]}
            target["unsigned"] = {"redacted_because": event, "redacted_by": event["event_id"]}
        return event

    def _may_send(self, room: Room, sender: str, event_type: str, *, state: bool) -> None:
        if room.membership(sender) != "join":
            raise forbidden(f"User {sender} not in room {room.room_id}")
        if room.power(sender) < room.needed(event_type, state=state):
            raise forbidden("You don't have permission to post that to the room")

    @staticmethod
    def _may_change_levels(room: Room, sender: str, content: Mapping[str, Any]) -> None:
        """Rule 9 for ``m.room.power_levels``: nobody changes what is above them, nor gives more than they have."""
        own, before = room.power(sender), room.content(LEVELS)
        names = ("users_default", "events_default", "state_default", "ban", "redact", "kick", "invite")
        pairs: list[tuple[Any, Any]] = [(before.get(name), content.get(name)) for name in names]
        old_events, new_events = before.get("events", {}), content.get("events", {})
        pairs += [(old_events.get(key), new_events.get(key)) for key in {*old_events, *new_events}]
        old_users, new_users = before.get("users", {}), content.get("users", {})
        for user_id in {*old_users, *new_users}:
            old, new = old_users.get(user_id), new_users.get(user_id)
            if old != new and user_id != sender and old is not None and old >= own:
                raise forbidden("You don't have permission to remove ops level equal to your own")
            pairs.append((old, new))
        for value in (*content.get("users", {}).values(), *content.get("events", {}).values()):
            if not isinstance(value, int):
                raise HomeserverError(400, "M_BAD_JSON", "power levels are integers")
        if any(old != new and max(old or -(2**31), new or -(2**31)) > own for old, new in pairs):
            raise forbidden("You don't have permission to add ops level greater than your own")

    # Memberships

    def join(self, room: Room, user_id: str, reason: str = "") -> None:
        """Join: when the room is public, or one is invited."""
        current = room.membership(user_id)
        if current == "ban":
            raise forbidden("You are banned from this room")
        public = room.content("m.room.join_rules").get("join_rule") == "public"
        if current not in {"join", "invite"} and not public:
            raise forbidden("You are not invited to this room.")
        if current != "join":
            self._append(room, user_id, MEMBER, self._member_content(user_id, "join", reason), user_id)

    def knock(self, room: Room, user_id: str, reason: str = "") -> None:
        """Ask to be let in."""
        if room.membership(user_id) in {"ban", "join", "invite"}:
            raise forbidden("You cannot knock on this room")
        if room.content("m.room.join_rules").get("join_rule") not in {"knock", "knock_restricted"}:
            raise forbidden("You don't have permission to knock")
        self._append(room, user_id, MEMBER, self._member_content(user_id, "knock", reason), user_id)

    def invite(self, room: Room, sender: str, user_id: str, reason: str = "", *, direct: bool = False) -> None:
        """Invite somebody who is not there and not banned."""
        if room.membership(sender) != "join":
            raise forbidden(f"{sender} not in room {room.room_id}.")
        if room.membership(user_id) in {"join", "ban"}:
            raise forbidden(f"{user_id} is already in the room or banned.")
        if room.power(sender) < room.level("invite"):
            raise forbidden("You don't have permission to invite users")
        if room.membership(user_id) != "invite":
            content = self._member_content(user_id, "invite", reason) | ({"is_direct": True} if direct else {})
            self._append(room, sender, MEMBER, content, user_id)

    def leave(self, room: Room, user_id: str, reason: str = "") -> None:
        """Leave, decline an invitation, take back a knock."""
        if room.membership(user_id) not in {"join", "invite", "knock"}:
            raise forbidden(f"{user_id} is not in the room")
        content = {"membership": "leave"} | ({"reason": reason} if reason else {})
        self._append(room, user_id, MEMBER, content, user_id)

    def remove(self, room: Room, sender: str, user_id: str, membership: str, reason: str = "") -> None:
        """Kick (``leave``), ban, unban (``leave`` of who is banned)."""
        current = room.membership(user_id)
        if room.membership(sender) != "join":
            raise forbidden(f"{sender} not in room {room.room_id}.")
        action = "ban" if membership == "ban" or current == "ban" else "kick"
        if action == "kick" and current not in {"join", "invite", "knock"}:
            raise forbidden("The target user is not in the room")
        above = room.power(sender) > room.power(user_id) or sender == user_id
        if room.power(sender) < room.level(action) or not above:
            raise forbidden(f"You cannot {action} user {user_id}.")
        content = {"membership": membership} | ({"reason": reason} if reason else {})
        self._append(room, sender, MEMBER, content, user_id)

    def _put_member(self, room: Room, sender: str, user_id: str, content: Mapping[str, Any]) -> RawEvent:
        wanted, current = content.get("membership"), room.membership(user_id)
        if wanted == "join" and sender == user_id and current == "join":
            return self._append(room, sender, MEMBER, dict(content), user_id)  # another name or avatar
        match wanted:
            case "join" if sender == user_id:
                self.join(room, user_id)
            case "invite":
                self.invite(room, sender, user_id)
            case "leave" if sender == user_id:
                self.leave(room, user_id)
            case "leave" | "ban":
                self.remove(room, sender, user_id, str(wanted))
            case _:
                raise forbidden("this cannot be said of somebody")
        return room.state[MEMBER, user_id]

    def _member_content(self, user_id: str, membership: str, reason: str = "") -> dict[str, Any]:
        profile = {key: value for key, value in self.profiles.get(user_id, {}).items() if value}
        return {"membership": membership, **profile} | ({"reason": reason} if reason else {})

    def _append(
        self,
        room: Room,
        sender: str,
        event_type: str,
        content: dict[str, Any],
        state_key: str | None = None,
        **more: Any,
    ) -> RawEvent:
        event: RawEvent = {
            "event_id": f"$event{next(self._numbers)}",
            "room_id": room.room_id,
            "sender": sender,
            "type": event_type,
            "content": content,
            "origin_server_ts": self._now(),
            "unsigned": {},
            **more,
        }
        if state_key is not None:
            event["state_key"] = state_key
            before = room.state.get((event_type, state_key))
            if before is not None:
                event["unsigned"] = {"prev_content": before["content"], "replaces_state": before["event_id"]}
            room.state[event_type, state_key] = event
        room.timeline.append(event)
        self._on_event(event)
        return event

    # What tests ask

    def joined_rooms(self, user_id: str) -> list[str]:
        """Rooms that somebody is in."""
        return [room.room_id for room in self.rooms.values() if room.membership(user_id) == "join"]

    def fill(self, room: Room, users: Iterable[str]) -> None:
        """Have many people in a room at once, without telling anybody: a room that grew before we came."""
        for user_id in users:
            room.state[MEMBER, user_id] = {
                "event_id": f"$event{next(self._numbers)}", "room_id": room.room_id, "sender": user_id, "type": MEMBER,
                "state_key": user_id, "content": self._member_content(user_id, "join"),
                "origin_server_ts": self._now(), "unsigned": {},
            }  # fmt: skip
