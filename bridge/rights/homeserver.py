"""What the homeserver holds of a person, as far as Rialto reaches: their account, files, and what they said in chats.

Erasing takes it apart in an order in which every step can be done again: what they said is redacted and their names
taken out of old memberships, chat by chat, then they are removed from the chats, their files deleted, and the account
is closed. The homeserver keeps what is redacted for a while (``redaction_retention_period``): docs/privacy.md says how
long. Chats that Rialto is not in are out of its reach, but for what closing the account does.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection, Mapping
from hashlib import sha256
from typing import Any, Final, Protocol

from appservice import json
from appservice.administration import Device, NoAdministration
from appservice.database import Database
from appservice.homeserver import Homeserver, HomeserverError, path
from bridge.background import together
from bridge.domain.rights import EVENTS, NAMES
from bridge.registry import Registry
from bridge.steward import Steward
from bridge.store import rights as store
from bridge.store.chats import Chat

log = logging.getLogger(__name__)

PAGE: Final = 100
CONCURRENCY: Final = 4
SECRET: Final = frozenset({"password_hash", "threepids", "external_ids"})
"""Of an account: what is a secret, or is listed by itself."""


class Accounts(Protocol):
    """What is needed of :class:`appservice.administration.Administration`."""

    @property
    def available(self) -> bool: ...

    async def user(self, user_id: str) -> dict[str, Any] | None: ...

    async def devices(self, user_id: str) -> list[Device]: ...

    def media_of(self, user_id: str) -> AsyncIterator[dict[str, Any]]: ...

    async def delete_media(self, server: str, media_id: str) -> bool: ...

    async def deactivate(self, user_id: str, erase: bool = False) -> None: ...


class HomeserverSource:
    """The homeserver, as a source."""

    name = "homeserver"

    def __init__(
        self,
        homeserver: Homeserver,
        steward: Steward,
        registry: Registry,
        accounts: Accounts,
        database: Database,
        service_users: Collection[str],
    ) -> None:
        self._homeserver = homeserver
        self._steward = steward
        self._registry = registry
        self._accounts = accounts
        self._database = database
        self._service_users = frozenset(service_users)

    def _ours(self, person: str) -> bool:
        """Whether their account is our homeserver's, and in our hands."""
        return person.partition(":")[2] == self._steward.server_name and self._accounts.available

    async def _chats(self, person: str) -> list[Chat]:
        rooms = await self._database.read(lambda connection: store.rooms_of(connection, person))
        return [chat for chat in map(self._registry.get, rooms) if chat is not None]

    # A copy

    async def export(self, person: str) -> AsyncIterator[tuple[str, Any]]:
        """Account, devices and files; what they said where the server may read it."""
        if self._ours(person):
            try:
                found = await self._accounts.user(person)
                devices = await self._accounts.devices(person) if found is not None else []
                media = [raw async for raw in self._accounts.media_of(person)] if found is not None else []
            except NoAdministration as error:
                log.warning("an account cannot be exported: %s", error)
                found = None
            if found is not None:
                plain = {key: value for key, value in found.items() if key not in SECRET}
                yield "homeserver/account.json", plain | {"threepids": found.get("threepids", [])}
                yield "homeserver/devices.json", [_device(each) for each in devices]
                yield "homeserver/files.json", media
        for chat in await self._chats(person):
            if chat.encrypted:
                continue
            number = 0
            async for part in self._said(chat, person):
                number += 1
                kept = [
                    {key: raw.get(key) for key in ("event_id", "type", "origin_server_ts", "content")}
                    for raw in part
                    if raw.get("state_key") is None
                ]
                yield f"homeserver/said/{chat.id}-{number:04}.json", kept

    # To be forgotten

    async def erase(self, person: str) -> list[str]:
        """See the module."""
        problems: set[str] = set()
        for chat in await self._chats(person):
            await self._erase_in(chat, person, problems)
        if not self._ours(person):
            return sorted(problems | {"account_open"})
        try:
            async for raw in self._accounts.media_of(person):
                await self._accounts.delete_media(self._steward.server_name, str(raw.get("media_id", "")))
            await self._accounts.deactivate(person, erase=True)
        except NoAdministration:
            problems.add("account_open")
        except HomeserverError as error:
            if error.status != 404:
                raise
            log.info("there is no such account (any more)")
        return sorted(problems)

    async def _erase_in(self, chat: Chat, person: str, problems: set[str]) -> None:
        """Redact what they said in a chat, and remove them from it."""
        hand = self._steward.of(chat)
        try:
            async for part in self._said(chat, person):
                events = [raw for raw in part if _says_something(raw, person)]
                for begin in range(0, len(events), CONCURRENCY):
                    await together(self._redact(hand, chat, raw) for raw in events[begin : begin + CONCURRENCY])
            if await hand.membership(chat.room_id, person) in {"join", "invite", "knock"}:
                await hand.kick(chat.room_id, person)
            await self._without_power(hand, chat, person)
        except HomeserverError as error:
            if error.temporary:
                raise
            # An adopted room in which the steward has lost its power: what is said there stays.
            log.warning("somebody cannot be erased from a chat: %s", error, extra={"room_id": chat.room_id})
            problems.add("chat_out_of_reach")

    @staticmethod
    async def _without_power(hand: Steward, chat: Chat, person: str) -> None:
        """Power levels name whoever has a power of their own. After they have left, so that an owner has an heir."""
        levels = await hand.power_levels(chat.room_id)
        users = levels.get("users")
        if isinstance(users, Mapping) and person in users:
            others = {user_id: power for user_id, power in users.items() if user_id != person}
            await hand.set_state(chat.room_id, "m.room.power_levels", {**levels, "users": others})

    @staticmethod
    async def _redact(hand: Steward, chat: Chat, raw: Mapping[str, Any]) -> None:
        event_id = str(raw["event_id"])
        await hand.redact(chat.room_id, event_id, "e" + sha256(event_id.encode()).hexdigest()[:40])

    async def _said(self, chat: Chat, person: str) -> AsyncIterator[list[dict[str, Any]]]:
        """What somebody sent to a chat, a page at a time, the newest first. The homeserver looks for it."""
        start, hand = "", self._steward.of(chat)
        wanted = json.dumps({"senders": [person], "lazy_load_members": True}).decode()
        while True:
            query = {"dir": "b", "limit": str(PAGE), "filter": wanted} | ({"from": start} if start else {})
            url = path("/_matrix/client/v3/rooms", chat.room_id, "messages")
            answer = await self._homeserver.request("GET", url, user_id=hand.user_id, query=query)
            found = [raw for raw in answer.get("chunk", []) if isinstance(raw, dict) and raw.get("sender") == person]
            if found:
                yield found
            start = str(answer.get("end") or "")
            if not start or not answer.get("chunk"):
                return


def _says_something(raw: Mapping[str, Any], person: str) -> bool:
    """Whether an event holds something of the person that a redaction takes."""
    content = raw.get("content")
    if "redacted_because" in (raw.get("unsigned") or {}) or not isinstance(content, Mapping) or not content:
        return False
    if raw.get("type") not in EVENTS:
        return raw.get("state_key") is None
    return raw.get("type") == "m.room.member" and raw.get("state_key") == person and not NAMES.isdisjoint(content)


def _device(device: Device) -> dict[str, Any]:
    return {
        "device_id": device.device_id,
        "name": device.name,
        "seen_at": device.seen_at,
        "ip": device.ip,
        "user_agent": device.user_agent,
    }
