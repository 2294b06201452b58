"""What a plugin outside the process may ask for while it works: reads, media, and what happens at once."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from appservice.homeserver import path
from appservice.unit import UnitOfWork
from bots.framework.context import TYPING_MS
from bots.framework.dialogs.storage import StoredDialogs
from bots.framework.recurrence import encode
from bots.framework.remote.protocol import Fields, Refusal
from bots.framework.remote.rights import Rights
from bots.framework.remote.values import dialog_out, entry_out, person_out, schedule_out, scope_in
from bots.framework.services import Services
from bots.framework.state import Key, State
from bots.store.dialogs import DialogRow

MAX_IDS: Final = 2_000
_ALIAS: Final = re.compile(r"#[^:\s]*:\S+")
_USER: Final = re.compile(r"@[^:\s]+:\S+")

Answer = Callable[[Fields], Awaitable[Any]]


class Operations:
    """Answers the calls of one plugin instance. Each checks that its bot may know it."""

    def __init__(self, rights: Rights, services: Services) -> None:
        self._rights = rights
        self._services = services
        self._dialogs = StoredDialogs(services.database, services.sealer)
        self._answers: Mapping[str, Answer] = {
            "dialog.active": self._dialog_active,
            "dialog.get": self._dialog_get,
            "dialog.journal": self._dialog_journal,
            "dialog.event_ids": self._dialog_event_ids,
            "state.read": self._state_read,
            "state.keys": self._state_keys,
            "schedule.list": self._schedule_list,
            "people.get": self._people_get,
            "room.encrypted": self._room_encrypted,
            "room.humans": self._room_humans,
            "room.members": self._room_members,
            "room.display_name": self._room_display_name,
            "room.sender_of": self._room_sender_of,
            "room.direct": self._room_direct,
            "room.group": self._room_group,
            "room.alias": self._room_alias,
            "room.typing": self._room_typing,
            "room.read": self._room_read,
            "profile": self._profile,
        }

    async def answer(self, name: str, args: Any) -> Any:
        """The answer to a call.

        Raises:
            Refusal: there is no such operation, or the plugin may not.
            RialtoError: it cannot be answered now, or is refused for what it is.
        """
        found = self._answers.get(name)
        if found is None:
            raise Refusal("unknown_operation", f"there is no operation {name[:60]!r}")
        return await found(Fields(args, f"the arguments of {name}"))

    # Dialogs

    async def _own(self, dialog_id: str) -> DialogRow | None:
        row = await self._dialogs.get(dialog_id)
        return row if row is not None and row.consumer == self._rights.consumer else None

    async def _dialog_active(self, fields: Fields) -> Any:
        rows = await self._dialogs.active(
            self._rights.consumer, fields.text("room_id"), fields.text_or_none("person", most=1_000)
        )
        return [dialog_out(row) for row in rows]

    async def _dialog_get(self, fields: Fields) -> Any:
        row = await self._own(fields.text("id"))
        return None if row is None else dialog_out(row)

    async def _dialog_journal(self, fields: Fields) -> Any:
        row = await self._own(fields.text("id"))
        return [] if row is None else [entry_out(entry) for entry in await self._dialogs.journal(row.id)]

    async def _dialog_event_ids(self, fields: Fields) -> Any:
        return await self._dialogs.event_ids(fields.texts("txn_ids", most=MAX_IDS))

    # State and schedules

    def _state(self, fields: Fields) -> State:
        # A unit that is never committed: what lies in the database is what is asked for.
        unit = UnitOfWork("", self._rights.consumer, self._rights.user_id)
        states = self._services.store.open(self._rights.instance, unit)
        return State(states, scope_in(fields.inner("scope")))

    async def _state_read(self, fields: Fields) -> Any:
        data = await self._state(fields)._data(Key(fields.text("key"), Any))
        return None if data is None else data.decode()

    async def _state_keys(self, fields: Fields) -> Any:
        return await self._state(fields).keys(fields.text("prefix"))

    async def _schedule_list(self, fields: Fields) -> Any:
        unit = UnitOfWork("", self._rights.consumer, self._rights.user_id)
        schedules = self._services.scheduler.of(self._rights.consumer, unit, "")
        return [schedule_out(each, encode(each.rule)) for each in await schedules.list(fields.text("prefix"))]

    # People and rooms

    async def _people_get(self, fields: Fields) -> Any:
        self._rights.require("people.read", "know the language and the time zone of people who do not write to it")
        return person_out(await self._services.people.get(fields.text("user_id")))

    def _room(self, fields: Fields) -> str:
        return self._rights.room(fields.text("room_id"))

    async def _room_encrypted(self, fields: Fields) -> Any:
        return await self._services.rooms.is_encrypted(self._room(fields))

    async def _room_humans(self, fields: Fields) -> Any:
        return list(await self._services.rooms.humans(self._room(fields)))

    async def _room_members(self, fields: Fields) -> Any:
        return dict(await self._services.rooms.members(self._room(fields)))

    async def _room_display_name(self, fields: Fields) -> Any:
        return await self._services.rooms.display_name(self._room(fields), fields.text("user_id"))

    async def _room_sender_of(self, fields: Fields) -> Any:
        return await self._services.rooms.sender_of(
            self._room(fields), fields.text("event_id", most=1_000), self._rights.user_id
        )

    async def _room_direct(self, fields: Fields) -> Any:
        self._rights.require("rooms.create", "make chats")
        chats = self._services.chats
        if chats is None:
            raise Refusal("no_rooms", "this service makes no rooms")
        person = fields.text("person")
        if _USER.fullmatch(person) is None:
            raise Refusal("malformed", "a chat is made with a person, by their user id")
        room_id = await chats.direct(person, self._rights.user_id, fields.text("name", default=""))
        self._rights.made(room_id)
        return room_id

    async def _room_group(self, fields: Fields) -> Any:
        self._rights.require("rooms.create", "make rooms")
        chats = self._services.chats
        if chats is None:
            raise Refusal("no_rooms", "this service makes no rooms")
        people = fields.texts("people", most=100)
        if any(_USER.fullmatch(person) is None for person in people):
            raise Refusal("malformed", "people are invited by their user ids")
        # It is the same inside and outside, so that a plugin that moves keeps its rooms, and begins with the consumer,
        # so that nobody gets another plugin's.
        purpose = fields.raw("purpose")
        if not isinstance(purpose, str) or len(purpose) > 2_000 or not purpose.startswith(self._rights.consumer + "\0"):
            raise Refusal("malformed", "the purpose of a room begins with its consumer")
        name, topic = fields.text("name", empty=False), fields.text("topic", most=1_000, default="")
        room_id = await chats.group(
            purpose, self._rights.user_id, name, people, topic=topic, encrypted=fields.flag("encrypted")
        )
        self._rights.made(room_id)
        return room_id

    async def _room_alias(self, fields: Fields) -> Any:
        alias = fields.text("alias")
        if _ALIAS.fullmatch(alias) is None:
            raise Refusal("malformed", "an alias is like #room:example.org")
        url = path("/_matrix/client/v3/directory/room", alias)
        return await self._services.homeserver.request("GET", url, user_id=self._rights.user_id)

    async def _room_typing(self, fields: Fields) -> Any:
        on, me = fields.flag("on"), self._rights.user_id
        url = path("/_matrix/client/v3/rooms", self._room(fields), "typing", me)
        body = {"typing": on, "timeout": TYPING_MS} if on else {"typing": False}
        await self._services.homeserver.request("PUT", url, user_id=me, body=body)

    async def _room_read(self, fields: Fields) -> Any:
        event_id = fields.text("event_id", empty=False)
        url = path("/_matrix/client/v3/rooms", self._room(fields), "receipt", "m.read", event_id)
        await self._services.homeserver.request("POST", url, user_id=self._rights.user_id, body={})

    async def _profile(self, fields: Fields) -> Any:
        user_id = fields.text("user_id")
        if _USER.fullmatch(user_id) is None:
            raise Refusal("malformed", "a profile is of a user id")
        url = path("/_matrix/client/v3/profile", user_id)
        return await self._services.homeserver.request("GET", url, user_id=self._rights.user_id)
