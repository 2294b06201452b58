"""What rooms are like: who is in them, whether they are encrypted. Kept in mautrix's state store, rebuilt when missing.

Which bots are where is asked of the homeserver at start (one request per bot) and followed by events from then on, so
that it is right even when the store was lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from mautrix.appservice.state_store.asyncpg import PgASStateStore
from mautrix.types import (
    JSON,
    EncryptionAlgorithm,
    Member,
    Membership,
    MemberStateEventContent,
    PowerLevelStateEventContent,
    RoomEncryptionStateEventContent,
    RoomID,
    SerializerError,
    StateEvent,
    UserID,
)

from appservice import json
from appservice.events import Event, defect
from appservice.homeserver import Homeserver, HomeserverError, path

log = logging.getLogger(__name__)

CACHED_ROOMS = 50_000
SMALL_ROOM = 50
SMALL_ROOMS = 2_000
SHARED_ROOMS = 1_000
START_CONCURRENCY = 8
MEMBERSHIPS = frozenset({"join", "invite", "leave", "ban", "knock"})


class Rooms:
    """The state of the rooms that bots are in."""

    def __init__(self, store: PgASStateStore, homeserver: Homeserver, bots: Iterable[str], steward: str) -> None:
        """
        Args:
            bots: user ids of the bots.
            steward: the application service's own user.
        """
        self.store = store
        self._homeserver = homeserver
        self._bots = frozenset(bots)
        self._steward = steward
        self.service_users = self._bots | {steward}
        """Users that belong to this service: the bots and the steward."""
        self._joined: dict[str, set[str]] = defaultdict(set)
        self._encrypted: dict[str, bool] = {}
        self._complete: set[str] = set()
        """Rooms of which the store has every member: asked for before every first message of a room."""
        self._members: dict[str, dict[str, str]] = {}
        """Who is in small rooms: asked for with nearly every message. Forgotten when it changes."""
        self._changes = 0
        self._locks: dict[str, asyncio.Lock] = {}

    async def start(self) -> None:
        """Learn which bots are in which rooms; from the store where the homeserver does not answer."""
        limit = asyncio.Semaphore(START_CONCURRENCY)

        async def one(user_id: str) -> None:
            async with limit:
                try:
                    answer = await self._homeserver.request("GET", "/_matrix/client/v3/joined_rooms", user_id=user_id)
                    rooms = answer.get("joined_rooms", [])
                except HomeserverError as error:
                    log.warning("the rooms of %s come from the store: %s", user_id, error)
                    rows = await self.store.db.fetch(
                        "SELECT room_id FROM mx_user_profile WHERE user_id=$1 AND membership='join'", user_id
                    )
                    rooms = [row["room_id"] for row in rows]
            for room_id in rooms:
                self._joined[room_id].add(user_id)

        async with asyncio.TaskGroup() as group:
            for user_id in sorted(self._bots | {self._steward}):
                group.create_task(one(user_id))
        # Only what never changes is believed: a room may have become encrypted since, and nobody would tell us again
        # when an old backup was put back. The others are asked for when somebody writes to them.
        query = "SELECT room_id FROM mx_room_state WHERE is_encrypted LIMIT $1"
        for row in await self.store.db.fetch(query, CACHED_ROOMS):
            self._encrypted[row["room_id"]] = True
        query = "SELECT room_id FROM mx_room_state WHERE has_full_member_list LIMIT $1"
        known = {room_id: room_id for room_id in self._joined}  # one text for a room
        for row in await self.store.db.fetch(query, CACHED_ROOMS):
            self._complete.add(known.get(row["room_id"], row["room_id"]))

    def bots_in(self, room_id: str) -> Iterable[str]:
        """The bots (and the steward) that are joined to a room."""
        return self._joined.get(room_id, ())

    @property
    def known(self) -> int:
        """Rooms that at least one bot is in."""
        return len(self._joined)

    async def is_encrypted(self, room_id: str) -> bool:
        """Whether messages to this room must be encrypted.

        Raises:
            HomeserverError: it is not known and could not be asked.
        """
        known = self._encrypted.get(room_id)
        if known is not None:
            return known
        async with self._lock(room_id):
            if room_id not in self._encrypted and not await self._ask_encrypted(room_id):
                await self._rebuild(room_id)
            return self._encrypted.get(room_id, False)

    async def _ask_encrypted(self, room_id: str) -> bool:
        """Ask for the one event that says so, where the rest is known; whether that gave an answer."""
        bot = next(iter(self._joined.get(room_id, ())), None)
        if bot is None or not await self._is_complete(room_id):
            return False
        try:
            await self._homeserver.request(
                "GET", path("/_matrix/client/v3/rooms", room_id, "state", "m.room.encryption", ""), user_id=bot
            )
        except HomeserverError as error:
            if error.temporary:
                raise
            if error.errcode != "M_NOT_FOUND":
                return False
            self._encrypted.setdefault(room_id, False)  # it may have come meanwhile
            return True
        return False

    async def members(self, room_id: str) -> Mapping[str, str]:
        """Who is joined or invited: user id to membership.

        Raises:
            HomeserverError: it is not known and could not be asked.
        """
        known = self._members.get(room_id)
        if known is not None:
            return known
        await self._ensure_members(room_id)
        changes = self._changes
        rows = await self.store.db.fetch(
            "SELECT user_id, membership FROM mx_user_profile WHERE room_id=$1 AND membership IN ('join', 'invite')",
            room_id,
        )
        members = {row["user_id"]: row["membership"] for row in rows}
        if len(members) <= SMALL_ROOM and changes == self._changes:
            if len(self._members) >= SMALL_ROOMS:
                self._members.clear()
            self._members[room_id] = members
        return members

    async def humans(self, room_id: str) -> Sequence[str]:
        """Joined or invited users who do not belong to this service."""
        return [user_id for user_id in await self.members(room_id) if user_id not in self.service_users]

    async def shared(self, one: str, other: str, bot: str) -> str | None:
        """A room that two people and a bot have joined, as far as its members are known; None for none."""
        rows = await self.store.db.fetch(
            "SELECT a.room_id FROM mx_user_profile a JOIN mx_user_profile b ON a.room_id=b.room_id "
            "WHERE a.user_id=$1 AND b.user_id=$2 AND a.membership='join' AND b.membership='join' "
            "ORDER BY a.room_id LIMIT $3",
            one,
            other,
            SHARED_ROOMS,
        )
        return next((row["room_id"] for row in rows if bot in self._joined.get(row["room_id"], ())), None)

    async def display_name(self, room_id: str, user_id: str) -> str | None:
        """The name a member shows in a room."""
        member = await self.store.get_member(RoomID(room_id), UserID(user_id))
        return member.displayname if member else None

    async def sender_of(self, room_id: str, event_id: str, user_id: str) -> str | None:
        """Who sent an event, as bot ``user_id`` may know; None when it may not, or there is none."""
        url = path("/_matrix/client/v3/rooms", room_id, "event", event_id)
        try:
            answer = await self._homeserver.request("GET", url, user_id=user_id)
        except HomeserverError as error:
            if error.temporary:
                raise
            return None
        sender = answer.get("sender")
        return sender if isinstance(sender, str) else None

    async def apply(self, event: Event, raw: Mapping[str, Any]) -> None:
        """Take in a state event, in the order of its room.

        Content that is not of the specified shape is passed over: a room must not stop for it.
        """
        try:
            if event.type == "m.room.member" and event.state_key:
                await self._apply_member(event)
            elif event.state_key == "":
                await self._apply_state(event, raw)
        except (SerializerError, ValueError, TypeError, AttributeError, KeyError) as error:
            log.warning(
                "a state event is not of the specified shape: %s",
                type(error).__name__,
                extra={"room_id": event.room_id, "event_type": event.type},
            )

    async def _apply_member(self, event: Event) -> None:
        user_id, membership = event.state_key or "", event.membership
        if membership not in MEMBERSHIPS:
            raise ValueError("no membership")
        if user_id in self.service_users:
            if membership == "join":
                if not self._joined.get(event.room_id):
                    await self._forget_completeness(event.room_id)
                self._joined[event.room_id].add(user_id)
            elif membership in {"leave", "ban"}:
                self._left(event.room_id, user_id)
        async with self._lock(event.room_id):
            self._forget_members(event.room_id)
            await self.store.set_member(RoomID(event.room_id), UserID(user_id), _member(event.content))
            self._forget_members(event.room_id)

    async def _forget_completeness(self, room_id: str) -> None:
        """Nobody of ours was in the room: who came and went meanwhile was not told to us."""
        self._complete.discard(room_id)
        await self.store.db.execute("UPDATE mx_room_state SET has_full_member_list=false WHERE room_id=$1", room_id)

    async def made(self, room_id: str, maker: str) -> None:
        """A room was just made by one of the bots: it is whole, while its events still arrive one after the other.

        Whatever was known of it in between may lack its encryption, and the invited people, who then got no keys.

        Raises:
            HomeserverError: it could not be read now.
        """
        self._joined[room_id].add(maker)
        async with self._lock(room_id):
            await self._forget_completeness(room_id)
            await self._rebuild(room_id)
            self._complete.add(room_id)

    def _forget_members(self, room_id: str) -> None:
        """They are about to change: what is being read now may be older."""
        self._members.pop(room_id, None)
        self._changes += 1

    def _left(self, room_id: str, user_id: str) -> None:
        bots = self._joined.get(room_id)
        if bots is not None:
            bots.discard(user_id)
            if not bots:
                del self._joined[room_id]

    async def _apply_state(self, event: Event, raw: Mapping[str, Any]) -> None:
        room_id = RoomID(event.room_id)
        content = _json(event.content)
        if event.type == "m.room.encryption":
            # Once on, always on (specification, "m.room.encryption"): a content that is empty or odd does not turn it
            # off, or a message would go out in the clear.
            self._encrypted[event.room_id] = True
            try:
                info = RoomEncryptionStateEventContent.deserialize(content)
            except (SerializerError, ValueError, TypeError, AttributeError, KeyError):
                info = RoomEncryptionStateEventContent(EncryptionAlgorithm.MEGOLM_V1)
            await self.store.set_encryption_info(room_id, info)
        elif event.type == "m.room.power_levels":
            await self.store.set_power_levels(room_id, PowerLevelStateEventContent.deserialize(content))
        elif event.type == "m.room.create":
            await self.store.set_create(StateEvent.deserialize(_json(raw)))

    async def _ensure_members(self, room_id: str) -> None:
        if await self._is_complete(room_id):
            return
        async with self._lock(room_id):
            if not await self._is_complete(room_id):
                await self._rebuild(room_id)

    async def _is_complete(self, room_id: str) -> bool:
        """Whether the store has every member of a room. Once it has, it is kept up to date."""
        if room_id in self._complete:
            return True
        if not await self.store.has_full_member_list(RoomID(room_id)):
            return False
        self._complete.add(room_id)
        if len(self._complete) > CACHED_ROOMS:
            self._complete.clear()
        return True

    async def _rebuild(self, room_id: str) -> None:
        """Read the whole state of a room as one of the bots in it. The caller holds the room's lock."""
        state = await self._fetch_state(room_id)
        members: dict[UserID, Member | MemberStateEventContent] = {}
        encrypted = False
        await self.store.db.execute(
            "INSERT INTO mx_room_state (room_id) VALUES ($1) ON CONFLICT (room_id) DO NOTHING", room_id
        )
        for raw in state:
            # Whoever said so, and whatever else is wrong with that event.
            encrypted = encrypted or (raw.get("type") == "m.room.encryption" and raw.get("state_key") == "")
            if defect({**raw, "room_id": room_id}) is not None:
                continue
            event = Event.parse({**raw, "room_id": room_id})
            try:
                if event.type == "m.room.member" and event.state_key:
                    if event.membership not in MEMBERSHIPS:
                        continue
                    members[UserID(event.state_key)] = _member(event.content)
                    if event.state_key in self.service_users and event.membership == "join":
                        self._joined[room_id].add(event.state_key)
                elif event.state_key == "":
                    await self._apply_state(event, {**raw, "room_id": room_id})
            except (SerializerError, ValueError, TypeError, AttributeError, KeyError):
                log.warning("unusual state in a room", extra={"room_id": room_id, "event_type": event.type})
        if not encrypted:
            # Encryption may have come while the state was read, and is never turned off again.
            await self.store.db.execute(
                "UPDATE mx_room_state SET is_encrypted=false WHERE room_id=$1 AND is_encrypted IS NULL", room_id
            )
        self._forget_members(room_id)
        await self.store.set_members(RoomID(room_id), members)
        self._forget_members(room_id)
        encrypted = encrypted or self._encrypted.get(room_id, False)
        if len(self._encrypted) > CACHED_ROOMS:
            self._encrypted.clear()
        self._encrypted[room_id] = encrypted

    async def _fetch_state(self, room_id: str) -> list[dict[str, Any]]:
        refused: HomeserverError | None = None
        inside = self._joined.get(room_id, set())
        for user_id in sorted(inside) + sorted(self.service_users - inside):
            try:
                answer = await self._homeserver.request(
                    "GET", path("/_matrix/client/v3/rooms", room_id, "state"), user_id=user_id
                )
            except HomeserverError as error:
                if error.status not in {403, 404}:
                    raise
                refused = error
                continue
            return [raw for raw in answer if isinstance(raw, dict)]
        raise refused or HomeserverError(403, "M_FORBIDDEN", "no bot is in this room")

    def _lock(self, room_id: str) -> asyncio.Lock:
        lock = self._locks.get(room_id)
        if lock is None:
            if len(self._locks) > 1_000:
                self._locks = {key: held for key, held in self._locks.items() if held.locked()}
            lock = self._locks[room_id] = asyncio.Lock()
        return lock


def _json(value: Mapping[str, Any]) -> JSON:
    """A copy that mautrix may take apart."""
    return cast(JSON, dict(value))


def _member(content: Mapping[str, Any]) -> MemberStateEventContent:
    """What counts of a membership.

    Strangers write the rest, which could fail a parser or a database: who left would be taken for a member still.
    """
    texts: dict[str, Any] = {name: _text(content.get(name)) for name in ("displayname", "avatar_url")}
    return MemberStateEventContent(membership=Membership(content["membership"]), **texts)


def _text(value: object) -> str | None:
    """A text that every database can hold, or None: no NUL and no lone surrogates."""
    if not isinstance(value, str) or "\0" in value or json.without_surrogates(value) != value:
        return None
    return value
