"""What a plugin outside Rialto's process stands on: the services of the framework, over its connection."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, cast
from urllib.parse import unquote

from appservice.homeserver import Homeserver, HomeserverError
from appservice.media import Media, Upload
from appservice.unit import UnitOfWork
from bots.framework.clock import SystemClock
from bots.framework.dialogs.payments import Payment
from bots.framework.i18n import Catalogues
from bots.framework.people import Person
from bots.framework.permissions import Permissions, Role
from bots.framework.remote.link import Link, RemoteRefused
from bots.framework.remote.storage import (
    NoDatabase,
    RemoteDialogs,
    RemoteScheduler,
    RemoteStore,
    no_sealer,
)
from bots.framework.remote.unit import Named, NotHere
from bots.framework.remote.values import person_in
from bots.framework.services import Services

REMEMBERED: Final = 10_000
_TYPING: Final = re.compile(r"/_matrix/client/v3/rooms/([^/]+)/typing/[^/]+")
_RECEIPT: Final = re.compile(r"/_matrix/client/v3/rooms/([^/]+)/receipt/m\.read/([^/]+)")
_ALIAS: Final = re.compile(r"/_matrix/client/v3/directory/room/([^/]+)")
_PROFILE: Final = re.compile(r"/_matrix/client/v3/profile/([^/]+)")


class RemoteClock(SystemClock):
    """Rialto's clock, as it was heard last and has gone on since."""

    def __init__(self, now: int) -> None:
        self.hear(now)

    def hear(self, now: int) -> None:
        """It is ``now`` there (ms)."""
        self._base, self._heard = now, time.monotonic_ns()

    def now_ms(self) -> int:
        return self._base + (time.monotonic_ns() - self._heard) // 1_000_000


class RemotePeople:
    """What people have said of themselves: whoever writes comes with it."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._heard: OrderedDict[str, Person] = OrderedDict()

    def hear(self, user_id: str, data: Mapping[str, Any]) -> None:
        """The sender of an event."""
        self._heard[user_id] = person_in(data)
        self._heard.move_to_end(user_id)
        if len(self._heard) > REMEMBERED:
            self._heard.popitem(last=False)

    async def get(self, user_id: str) -> Person:
        """Of a person."""
        heard = self._heard.get(user_id)
        return heard if heard is not None else person_in(await self._link.call("people.get", {"user_id": user_id}))

    def set_language(self, unit: UnitOfWork, user_id: str, language: str | None) -> None:
        """Remember the language of whoever writes."""
        self._heard.pop(user_id, None)
        unit.store(Named("people.language", {"user_id": user_id, "language": language}))

    def set_zone(self, unit: UnitOfWork, user_id: str, zone: str | None) -> None:
        """Remember the time zone of whoever writes."""
        self._heard.pop(user_id, None)
        unit.store(Named("people.zone", {"user_id": user_id, "zone": zone}))


class RemotePermissions:
    """What people may: whoever writes comes with what the plugin asks for."""

    def __init__(self) -> None:
        self._heard: OrderedDict[str, frozenset[str]] = OrderedDict()

    def hear(self, user_id: str, allowed: Collection[str]) -> None:
        """The sender of an event."""
        self._heard[user_id] = frozenset(allowed)
        self._heard.move_to_end(user_id)
        if len(self._heard) > REMEMBERED:
            self._heard.popitem(last=False)

    def allows(self, user_id: str, permission: str, *, default: str = Role.USER) -> bool:
        """Whether a person has a permission, as Rialto has said with their event."""
        return permission in self._heard.get(user_id, frozenset())


class RemoteRooms:
    """What is known of rooms."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def is_encrypted(self, room_id: str) -> bool:
        return bool(await self._link.call("room.encrypted", {"room_id": room_id}))

    async def humans(self, room_id: str) -> Sequence[str]:
        return cast(list[str], await self._link.call("room.humans", {"room_id": room_id}))

    async def members(self, room_id: str) -> Mapping[str, str]:
        return cast(dict[str, str], await self._link.call("room.members", {"room_id": room_id}))

    async def display_name(self, room_id: str, user_id: str) -> str | None:
        return cast(str | None, await self._link.call("room.display_name", {"room_id": room_id, "user_id": user_id}))

    async def sender_of(self, room_id: str, event_id: str, user_id: str) -> str | None:
        return cast(str | None, await self._link.call("room.sender_of", {"room_id": room_id, "event_id": event_id}))


class RemoteHomeserver:
    """The few requests that contexts make at once."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def request(self, method: str, path: str, *, user_id: str, body: Any = None) -> Any:
        """A typing notice, a receipt, a profile.

        Raises:
            NotHere: it is something else.
        """
        try:
            return await self._named(method, path, body)
        except RemoteRefused as error:
            raise HomeserverError(403, "M_FORBIDDEN", error.human) from None

    async def _named(self, method: str, path: str, body: Any) -> Any:
        if method == "PUT" and (found := _TYPING.fullmatch(path)):
            return await self._link.call("room.typing", {"room_id": unquote(found[1]), "on": bool(body["typing"])})
        if method == "POST" and (found := _RECEIPT.fullmatch(path)):
            return await self._link.call("room.read", {"room_id": unquote(found[1]), "event_id": unquote(found[2])})
        if method == "GET" and (found := _PROFILE.fullmatch(path)):
            return await self._link.call("profile", {"user_id": unquote(found[1])})
        if method == "GET" and (found := _ALIAS.fullmatch(path)):
            return await self._link.call("room.alias", {"alias": unquote(found[1])})
        raise NotHere("a plugin that is served from outside makes no requests to the homeserver of its own")


class RemoteMedia(Media):
    """Files go through Rialto, which has the keys."""

    def __init__(self, link: Link) -> None:
        super().__init__(cast(Homeserver, None))
        self._link = link

    async def download(self, user_id: str, content: Mapping[str, Any], *, limit: int | None = None) -> bytes:
        wanted = {key: content[key] for key in ("url", "file", "info") if key in content}
        return await self._link.download({"content": wanted, "limit": limit})

    async def upload(self, user_id: str, data: bytes, mimetype: str, *, encrypted: bool) -> Upload:
        return Upload(await self._send("plain", data, encrypted, mimetype))

    async def upload_image(self, user_id: str, data: bytes, *, encrypted: bool) -> dict[str, Any]:
        return await self._send("image", data, encrypted)

    async def upload_audio(self, user_id: str, data: bytes, *, encrypted: bool) -> dict[str, Any]:
        return await self._send("audio", data, encrypted)

    async def upload_file(
        self, user_id: str, data: bytes, mimetype: str = "application/octet-stream", *, encrypted: bool
    ) -> dict[str, Any]:
        return await self._send("file", data, encrypted, mimetype)

    async def _send(self, kind: str, data: bytes, encrypted: bool, mimetype: str | None = None) -> dict[str, Any]:
        args: dict[str, Any] = {"kind": kind, "size": len(data), "encrypted": encrypted}
        if mimetype is not None:
            args["mimetype"] = mimetype
        return cast(dict[str, Any], await self._link.call("media.upload", args, data))


class RemoteChats:
    """Makes chats, with the scope ``rooms.create``."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def direct(self, person: str, bot: str, name: str) -> str:
        """The direct chat of a person and the bot."""
        return str(await self._link.call("room.direct", {"person": person, "name": name}))

    async def group(
        self, purpose: str, maker: str, name: str, people: Iterable[str], *, topic: str = "", encrypted: bool = True
    ) -> str:
        """The room of the bot for a purpose."""
        args = {"purpose": purpose, "name": name, "people": list(people), "topic": topic}
        return str(await self._link.call("room.group", {**args, "encrypted": encrypted}))


class RemotePayments:
    """Asks for payments, with the scope ``payments.charge``."""

    async def request(self, payment: Payment, unit: UnitOfWork) -> None:
        """Ask the payer, in the commit."""
        args = {
            "key": payment.key,
            "payer": payment.payer,
            "minor": payment.amount.minor,
            "currency": payment.amount.currency,
            "to": payment.to,
            "memo": payment.memo,
            "room_id": payment.room_id,
            "dialog": payment.dialog,
        }
        unit.store(Named("payment.request", args))

    async def withdraw(self, key: str, unit: UnitOfWork) -> None:
        """The payment is not wanted any more."""
        unit.store(Named("payment.withdraw", {"key": key}))


class Remote:
    """The services of one connection."""

    def __init__(self, link: Link, welcome: Mapping[str, Any], catalogues: Catalogues) -> None:
        """
        Args:
            welcome: Rialto's first frame.
        """
        self.clock = RemoteClock(welcome["now"])
        self.people = RemotePeople(link)
        self.permissions = RemotePermissions()
        self.services = Services(
            database=NoDatabase(),
            rooms=RemoteRooms(link),
            media=RemoteMedia(link),
            homeserver=RemoteHomeserver(link),
            sealer=no_sealer(),
            clock=self.clock,
            people=self.people,
            catalogues=catalogues,
            permissions=cast(Permissions, self.permissions),
            scheduler=RemoteScheduler(link, self.clock, welcome["zone"]),
            store=RemoteStore(link, self.clock),
            server_name=welcome["server_name"],
            chats=RemoteChats(link) if welcome["rooms"] else None,
            payments=RemotePayments() if welcome["payments"] else None,
            default_currency=welcome["default_currency"],
            strict=bool(welcome["strict"]),
            dialogs=RemoteDialogs(link),
        )

    def hear(self, frame: Mapping[str, Any]) -> None:
        """What comes with an event."""
        self.clock.hear(frame["now"])
        sender = frame["event"]["sender"]
        if sender and frame["person"] is not None:
            self.people.hear(sender, frame["person"])
            self.permissions.hear(sender, frame["allowed"])
