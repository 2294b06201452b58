"""The encryption of bots alone, on a real homeserver: no listener, no worker; tests hand it the events themselves."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from appservice.config.models import AppService, Config, Database, Encryption
from appservice.config.models import Homeserver as HomeserverConfig
from appservice.e2ee import BotIdentity, Crypto, KeyMissing
from appservice.events import Event
from appservice.homeserver import Homeserver, path
from appservice.mautrix_store import MautrixDatabase
from appservice.rooms import Rooms
from tests.support.human import Human
from tests.support.servers import Server, Slot

TIMEOUT = 15.0
PICKLE_KEY = "a pickle key for tests, 0123456789"
ROOMS = "/_matrix/client/v3/rooms"


async def until(condition: Callable[[], Awaitable[Any]], what: str, timeout: float = TIMEOUT) -> Any:
    """Ask ``condition`` until it answers something true, and return that. AssertionError names ``what``."""
    try:
        async with asyncio.timeout(timeout):
            while not (answer := await condition()):
                await asyncio.sleep(0.05)
            return answer
    except TimeoutError:
        raise AssertionError(f"waited {timeout:g} s in vain for {what}") from None


class BotSide:
    """Bots with their encryption. ``start``, ``stop``, ``start`` again: a restart."""

    def __init__(
        self, server: Server, slot: Slot, folder: Path, names: tuple[str, ...] = ("bot",), **encryption: Any
    ) -> None:
        self.server = server
        self.slot = slot
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        run = secrets.token_hex(3)
        self.bots = [server.user_id(f"{slot.name}_{name}_{run}") for name in names]
        self.url = server.url
        self.database = f"sqlite:///{folder / 'rialto.db'}"
        self.encryption = {"pickle_key": SecretStr(PICKLE_KEY), **encryption}
        self.sessions: list[tuple[str, str, str]] = []
        self.start_timeout = 30.0
        self.request_delay = 0.2
        self._arrived = asyncio.Condition()
        self.running = False

    @property
    def bot(self) -> str:
        """The first bot."""
        return self.bots[0]

    def config(self) -> Config:
        """The configuration as it is now."""
        return Config(
            homeserver=HomeserverConfig(url=self.url, server_name=self.server.server_name),
            appservice=AppService(
                id=f"rialto-{self.slot.name}",
                url=self.slot.url,
                as_token=SecretStr(self.slot.as_token),
                hs_token=SecretStr(self.slot.hs_token),
                sender_localpart=self.slot.sender_localpart,
            ),
            database=Database(url=self.database),
            encryption=Encryption(**self.encryption),
        )

    async def start(self) -> float:
        """Start everything; the seconds that Crypto.start took."""
        config = self.config()
        self.data = MautrixDatabase(config.database.url)
        self.homeserver = Homeserver(self.url, self.slot.as_token, timeout=10)
        steward = self.server.user_id(self.slot.sender_localpart)
        self.rooms = Rooms(self.data.state_store, self.homeserver, self.bots, steward)
        self.crypto = Crypto(
            config,
            self.data,
            self.homeserver,
            self.rooms,
            self._on_session,
            start_timeout=self.start_timeout,
            request_delay=self.request_delay,
        )
        self.running = True
        await self.data.start()
        await self.homeserver.start()
        begun = time.monotonic()
        await self.crypto.start([BotIdentity(bot, bot[1:].partition(":")[0].title()) for bot in self.bots])
        return time.monotonic() - begun

    async def stop(self) -> None:
        """Stop everything."""
        if self.running:
            self.running = False
            await self.crypto.stop()
            await self.data.stop()
            await self.homeserver.stop()

    async def restart(self) -> float:
        """Stop and start; the seconds that Crypto.start took."""
        await self.stop()
        return await self.start()

    def _on_session(self, user_id: str, room_id: str, session_id: str) -> None:
        self.sessions.append((user_id, room_id, session_id))

    # Rooms

    async def join(self, room_id: str, *bots: str) -> None:
        """Let bots join a room they were invited to, and hear of it."""
        for bot in bots or self.bots:
            await self.homeserver.request("POST", path(ROOMS, room_id, "join"), user_id=bot)
            await self.hear_member(room_id, bot)

    async def hear_member(self, room_id: str, user_id: str, as_bot: str | None = None) -> None:
        """Hand over the membership event of somebody, as a transaction would."""
        url = path(ROOMS, room_id, "state", "m.room.member", user_id)
        raw = await self.homeserver.request("GET", url, user_id=as_bot or self.bot, query={"format": "event"})
        raw = {**raw, "room_id": room_id}
        await self.rooms.apply(Event.parse(raw), raw)
        await self.crypto.room_changed(raw)

    async def room_with(self, *humans: Human, **options: Any) -> str:
        """An encrypted room of the first human with the others and every bot in it."""
        first, *others = humans
        room_id = await first.create_room(
            encrypted=not options, invite=(*self.bots, *(human.id for human in others)), **options
        )
        await self.join(room_id)
        for human in others:
            await human.join(room_id)
            await self.hear_member(room_id, human.id)
        present = {*self.bots, *(human.id for human in humans)}

        async def complete() -> bool:
            return all(present <= set(human.rooms[room_id].users) for human in humans if room_id in human.rooms)

        await until(complete, "everybody to see everybody in the room")
        for human in humans:
            for bot in self.bots:
                await self.known_to(human, bot)
        return room_id

    async def known_to(self, human: Human, bot: str) -> None:
        """Wait until the human's client has the bot's device."""

        async def known() -> bool:
            await human._maintain_keys()
            return human.knows_device(bot, self.crypto.device_id(bot))

        await until(known, f"{human.id} to know the device of {bot}")

    async def knows(self, human: Human) -> None:
        """Wait until the bots have the human's device."""

        async def known() -> bool:
            q = "SELECT 1 FROM crypto_device WHERE user_id=$1 AND device_id=$2"
            return bool(await self.data.db.fetchval(q, human.id, human.device_id))

        await until(known, f"the bots to know the device of {human.id}")

    # Messages

    async def event(self, room_id: str, event_id: str, bot: str | None = None) -> dict[str, Any]:
        """A room event as the bot receives it."""
        url = path(ROOMS, room_id, "event", event_id)
        raw = await self.homeserver.request("GET", url, user_id=bot or self.bot)
        return {**raw, "room_id": room_id}

    async def read(self, room_id: str, event_id: str, bot: str | None = None) -> dict[str, Any]:
        """Decrypt an event, waiting for its key."""
        raw = await self.event(room_id, event_id, bot)
        assert raw["type"] == "m.room.encrypted", raw["type"]

        async def readable() -> dict[str, Any] | None:
            try:
                return await self.crypto.decrypt(bot or self.bot, raw)
            except KeyMissing:
                return None

        result = await until(readable, "the key of a message")
        assert isinstance(result, dict)
        return result

    async def text(self, room_id: str, event_id: str, bot: str | None = None) -> str:
        """The text of an encrypted message."""
        return str((await self.read(room_id, event_id, bot))["content"]["body"])

    async def send(
        self, room_id: str, content: Mapping[str, Any] | str, bot: str | None = None, kind: str = "m.room.message"
    ) -> dict[str, Any]:
        """Encrypt and send; the encrypted content, with the event id in ``event_id``."""
        if isinstance(content, str):
            content = {"msgtype": "m.text", "body": content}
        bot = bot or self.bot
        encrypted = await self.crypto.encrypt(bot, room_id, kind, content)
        event_id = await self.homeserver.send_event(
            bot, self.crypto.device_id(bot), room_id, "m.room.encrypted", secrets.token_hex(8), encrypted
        )
        return {**encrypted, "event_id": event_id}

    async def shared_with(self, session_id: str) -> set[str]:
        """The users that a session of ours went to."""
        rows = await self.data.db.fetch("SELECT user_id FROM e2ee_share WHERE session_id=$1", session_id)
        return {row["user_id"] for row in rows}

    async def keys_of(self, user_id: str) -> dict[str, Any]:
        """``/keys/query`` of one user, as anybody sees it."""
        body: dict[str, Any] = {"device_keys": {user_id: []}}
        answer = await self.homeserver.request("POST", "/_matrix/client/v3/keys/query", body=body)
        assert isinstance(answer, dict)
        return answer

    async def devices_of(self, bot: str) -> set[str]:
        """Device ids of a bot on the homeserver."""
        answer = await self.homeserver.request("GET", "/_matrix/client/v3/devices", user_id=bot)
        return {device["device_id"] for device in answer["devices"]}
