"""A world: bots, rooms, people and a clock, in one process and in memory."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final, Self, cast

from pydantic import BaseModel, SecretStr
from sqlalchemy import Connection

from appservice.config import Config
from appservice.config.models import AppService, Encryption, Engine
from appservice.consumer import Dispatch
from appservice.database import DatabaseError
from appservice.events import InternalEvent, Transaction
from appservice.homeserver import Homeserver
from appservice.inbox import Inbox
from appservice.media import Media
from appservice.metrics import Metrics
from appservice.outbox import Outbox
from appservice.processor import Wait
from appservice.rooms import Rooms
from appservice.sealing import Sealer
from appservice.worker import Worker
from appservice.writer import Writer
from bots.framework import content as contents
from bots.framework import plugin_tables
from bots.framework.bot import BotUser
from bots.framework.calls import HOOK_CALLED
from bots.framework.clock import ManualClock
from bots.framework.consumer import PluginConsumer
from bots.framework.i18n import Catalogues
from bots.framework.people import People
from bots.framework.permissions import Permissions
from bots.framework.plugin import Plugin, Setup
from bots.framework.schedules import Scheduler
from bots.framework.services import Services
from bots.framework.state import Store
from bots.framework.testing.homeserver import (
    Message,
    ReadableRooms,
    Room,
    WorldCrypto,
    WorldHomeserver,
    WorldRooms,
    localpart,
)
from bots.framework.testing.memory import MemoryDatabase
from bots.framework.testing.payments import WorldPayments
from bots.framework.testing.people import Person

BOT_SERVER: Final = "world"
"""The server name of everybody in a world."""
PICKLE_KEY: Final = "the pickle key of a world"
PATIENCE: Final = 20_000
"""Turns of the event loop until a world that does not come to rest is given up."""

PluginType = type[Plugin] | Callable[[Setup], Plugin] | Plugin


class World:
    """Runs plugins as the service does, with a homeserver made of memory and a clock that stands still.

    It starts with the first thing that somebody does. What cannot be done in production fails here too: each run of a
    dialog is replayed at once, and a difference is an error that names the place.
    """

    def __init__(
        self,
        *plugins: PluginType,
        settings: Mapping[str, Any] | BaseModel | None = None,
        permissions: Mapping[str, Any] | None = None,
        services: Mapping[type, Any] | None = None,
        language: str | None = None,
        strict: bool = True,
        attempts: int = 3,
    ) -> None:
        """
        Args:
            plugins: classes (or what makes them of a :class:`Setup`). Each is a bot of its own.
            settings: of all plugins, as the configuration would have them.
            permissions: like the section of the configuration.
            services: what plugins find by ``setup.service(Type)``.
            language: of people who have not said theirs.
            strict: replay each run of a dialog at once, and raise when it does something else.
            attempts: how often a handler that fails is tried.
        """
        self.clock = ManualClock()
        """The time; it stands still until it is moved: ``world.clock.advance(hours=2)``."""
        self.database = MemoryDatabase()
        self.homeserver = WorldHomeserver()
        self.payments = WorldPayments(self)
        """What people were asked to pay; it is paid when the test says so."""
        self.people: dict[str, Person] = {}
        self.plugins: list[Plugin] = []
        self.failures: list[BaseException] = []
        """What handlers raised, in order."""
        self.restarts = 0
        """How often the service was started again."""
        self._made = [_named(plugin) for plugin in plugins]
        self._settings = settings
        self._permissions = Permissions.model_validate(permissions or {})
        self._extra = dict(services or {})
        self._catalogues = Catalogues(language or "en")
        self._strict = strict
        self._config = Config(
            appservice=AppService(as_token=SecretStr("as" * 20), hs_token=SecretStr("hs" * 20)),
            encryption=Encryption(pickle_key=SecretStr(PICKLE_KEY)),
            engine=Engine(attempts=attempts, backoff=0.001, backoff_max=0.001, concurrency=4, handler_timeout=10),
        )
        self._numbers = {"event": 0, "txn": 0}
        self._running = False
        self._ever = False
        self._killed = False

    # Who is there

    @property
    def bot(self) -> str:
        """The user id of the first bot."""
        return self._bots[0].user_id

    @property
    def _bots(self) -> list[BotUser]:
        return [consumer.bot for consumer in self._consumers]

    def user(self, name: str) -> Person:
        """A person, the same for the same name."""
        user_id = f"@{localpart(name)}:{BOT_SERVER}"
        return self.people.setdefault(user_id, Person(self, user_id))

    async def room(self, name: str, *people: Person, encrypted: bool = True) -> Room:
        """A group with these people and every bot, the same for the same name.

        Args:
            name: what the room is called.
            people: who is in it.
            encrypted: whether it is for the bots: the files that they send there are, and what they say stays
                readable for the test.
        """
        await self._ensure()
        room_id = f"!{localpart(name)}:{BOT_SERVER}"
        room = self.homeserver.rooms.get(room_id)
        if room is None:
            room = self.homeserver.rooms[room_id] = Room(room_id, {}, encrypted)
            for person in people:
                room.members[person.user_id] = "join"
            for bot in self._bots:
                await self.change_member(room, bot.user_id, "join")
        return room

    async def direct(self, person: Person, bot: str = "") -> Room:
        """The direct chat of a person and a bot, the first bot unless one is named."""
        await self._ensure()
        user_id = bot or self.bot
        name = f"{person.user_id[1:].partition(':')[0]}-{user_id[1:].partition(':')[0]}"
        room_id = f"!{name}:{BOT_SERVER}"
        room = self.homeserver.rooms.get(room_id)
        if room is None:
            room = self.homeserver.rooms[room_id] = Room(room_id, {person.user_id: "join"})
            await self.change_member(room, user_id, "join")
        return room

    async def place(self, person: Person, room: Room | None) -> Room:
        """The room that is meant."""
        return room or await self.direct(person)

    # What happens

    async def send(self, room: Room, sender: str, event_type: str, content: Mapping[str, Any]) -> Message:
        """Have somebody send an event, and wait until the bots have answered."""
        raw = self._event(room, sender, event_type, content)
        if event_type == "m.room.redaction":
            raw["redacts"] = content["redacts"]
        return await self._happen(room, raw)

    async def change_member(self, room: Room, user_id: str, membership: str) -> Message:
        """Have somebody join or leave."""
        raw = self._event(room, user_id, "m.room.member", {"membership": membership})
        raw["state_key"] = user_id
        raw["unsigned"] = {"prev_content": {"membership": room.members.get(user_id, "leave")}}
        room.members[user_id] = membership
        return await self._happen(room, raw)

    async def call_webhook(self, name: str, payload: Any, *, bot: int = 0) -> None:
        """Have a webhook of a bot called, its signature checked already."""
        await self._ensure()
        consumer = self._consumers[bot]
        self._numbers["event"] += 1
        event = InternalEvent(
            key=f"hook:{self._numbers['event']}",
            consumer=consumer.name,
            room_id=f"~{consumer.name}",
            type=HOOK_CALLED,
            content={"name": name, "json": payload, "headers": {}, "method": "POST", "text": ""},
        )
        await self.raise_events(lambda _connection: [event])
        await self.settle()

    def consumer_name(self, bot: int) -> str:
        """The name that events of our own call a bot's consumer by."""
        return self._consumers[bot].name

    async def raise_events(self, work: Callable[[Connection], Iterable[InternalEvent]]) -> None:
        """What schedules and services bring."""
        await self._ensure()
        while True:
            try:
                items = await self._inbox.raise_events(work)
            except DatabaseError:
                if not self._dead:
                    raise
                await self.restart(kill=True)
                continue
            self._worker.dispatch(items)
            return

    async def settle(self) -> None:
        """Wait until everything that is to happen now has happened; a service that was killed starts again."""
        await self._ensure()
        while True:
            await self._rest()
            if self._dead:
                await self.restart(kill=True)
                continue
            try:
                if await self._scheduler.run_due():
                    continue
            except DatabaseError:
                if self._dead:
                    continue
                raise
            if not self._busy:
                return

    async def restart(self, *, kill: bool = False) -> None:
        """Stop the service and start it again; with ``kill`` without letting anything finish."""
        if self._running:
            await (self._kill() if kill else self._stop())
        self.restarts += 1
        await self._start()

    def kill_after(self, commits: int) -> None:
        """Have the service killed after so many further commits; it starts again by itself."""
        self.database.dies_after = commits

    async def stop(self) -> None:
        """The end of the world."""
        if self._running:
            await self._stop()
        await self.database.stop()

    async def __aenter__(self) -> Self:
        await self._ensure()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # What can be seen

    def transcript(self, room: Room) -> list[str]:
        """What was said in a room, a line each."""
        lines = []
        for message in room.timeline:
            name = message.sender[1:].partition(":")[0]
            relation = message.content.get("m.relates_to", {})
            if message.type == "m.reaction":
                lines.append(f"{name} reacts {relation.get('key')}")
            elif message.type == "m.room.message" or message.type in contents.POLL_STARTS:
                replaced = " (edit)" if relation.get("rel_type") == "m.replace" else ""
                lines.append(f"{name}{replaced}: {message.content.get('body')}")
            elif message.type == "m.room.redaction":
                lines.append(f"{name} redacts")
        return lines

    def is_message_of_a_bot(self, message: Message) -> bool:
        """Whether people would notice it as something said."""
        mine = {bot.user_id for bot in self._bots}
        shown = message.type == "m.room.message" or message.type in contents.POLL_STARTS
        return message.sender in mine and shown

    def check(self) -> None:
        """Raise what handlers raised; a test that expects failures does not call it."""
        if self.failures:
            raise self.failures[0]

    # The service

    async def _ensure(self) -> None:
        if not self._running:
            await self._start()

    @property
    def _dead(self) -> bool:
        return self.database.dead

    @property
    def _busy(self) -> bool:
        return bool(self._worker.pending or self._outbox.pending)

    async def _start(self) -> None:
        if not self._ever:
            await self.database.start()
            self._ever = True
        self.database.dies_after = None
        self.homeserver.dead = False
        homeserver = cast(Homeserver, self.homeserver)
        metrics = Metrics()
        users = [f"@{localpart(name)}:{BOT_SERVER}" for name, _ in self._made]
        rooms = ReadableRooms(self.homeserver, users)
        crypto = WorldCrypto()
        sealer = Sealer(PICKLE_KEY, "inbox")
        self._writer = Writer(self.database, metrics)
        self._inbox = Inbox(self.database, self._writer, 1, sealer)
        self._outbox = Outbox(
            self._config, self.database, self._writer, homeserver, cast(Rooms, rooms), cast(Any, crypto), metrics
        )
        self._dispatch = Dispatch(users)
        self._worker = Worker(
            self._config,
            self._inbox,
            self._outbox,
            self._writer,
            cast(Rooms, rooms),
            crypto,
            self._dispatch,
            metrics,
        )
        self._consumers: list[PluginConsumer] = []
        names = lambda: [consumer.name for consumer in self._consumers]  # noqa: E731
        self._scheduler = Scheduler(
            self.database, self.raise_events, Sealer(PICKLE_KEY, "schedules"), self.clock, names
        )
        services = Services(
            database=self.database,
            rooms=WorldRooms(self.homeserver, users),
            media=Media(homeserver),
            homeserver=self.homeserver,
            sealer=Sealer(PICKLE_KEY, "dialogs"),
            clock=self.clock,
            people=People(self.database, self.clock, self._scheduler),
            catalogues=self._catalogues,
            permissions=self._permissions,
            scheduler=self._scheduler,
            store=Store(self.database, Sealer(PICKLE_KEY, "state"), self.clock.now_ms),
            server_name=BOT_SERVER,
            chats=_Chats(self),
            payments=self.payments,
            strict=self._strict,
        )
        self.plugins = []
        for name, make in self._made:
            await self._add(name, make, services)
        await self._writer.start()
        await self._inbox.start()
        await self._outbox.start()
        await self._worker.start()
        self._running = True

    async def _add(self, name: str, make: PluginType, services: Services) -> None:
        bot = BotUser(f"@{localpart(name)}:{BOT_SERVER}", name)
        plugin = _make(make, Setup(name, bot.user_id, self._settings_of(make), self._extra))
        tables = plugin_tables.tables_of(type(plugin))
        if tables is not None:
            await plugin_tables.upgrade(self.database, tables)
        await plugin.start()
        self.plugins.append(plugin)
        domain = _domain(self._catalogues, type(plugin))
        consumer = _Watched(name, plugin, bot, services, self.failures, domain)
        bot.consumers.append(consumer)
        bot.rebuild()
        self._consumers.append(consumer)
        self._dispatch.add_bot(consumer)

    def _settings_of(self, make: PluginType) -> Any:
        model = getattr(make, "Settings", None)
        if model is None or isinstance(self._settings, BaseModel):
            return self._settings
        return model.model_validate(self._settings or {})

    async def _stop(self) -> None:
        for plugin in self.plugins:
            await plugin.stop()
        await self._worker.stop(5)
        await self._outbox.stop(5)
        await self._writer.stop()
        self._running = False

    async def _kill(self) -> None:
        self.homeserver.dead = True
        self.database.dies_after = 0
        tasks = [*self._worker._tasks, *self._outbox._tasks.values()]
        tasks += [
            task for task in (self._worker._recorder._task, self._outbox._recorder._task, self._writer._task) if task
        ]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._running = False

    async def _rest(self) -> None:
        turns = 0
        while self._busy and not self._dead:
            await asyncio.sleep(0 if turns < PATIENCE else 0.001)
            turns += 1
            if turns > PATIENCE + 5_000:
                raise AssertionError(f"the world does not come to rest: {self.failures[-3:]}")

    # Events

    def _event(self, room: Room, sender: str, event_type: str, content: Mapping[str, Any]) -> dict[str, Any]:
        self._numbers["event"] += 1
        # Two things never happen in the same millisecond, or which of two dialogs is the newer one were chance.
        self.clock.advance(milliseconds=1)
        return {
            "event_id": f"$event{self._numbers['event']}",
            "room_id": room.room_id,
            "sender": sender,
            "type": event_type,
            "content": dict(content),
            "origin_server_ts": self.clock.now_ms(),
        }

    async def _happen(self, room: Room, raw: dict[str, Any]) -> Message:
        await self.settle()
        message = Message(
            raw["event_id"], room.room_id, raw["sender"], raw["type"], raw["content"], raw.get("state_key")
        )
        self.homeserver.add(room, message)
        while True:
            self._numbers["txn"] += 1
            try:
                items, _ = await self._inbox.store(Transaction(f"txn{self._numbers['txn']}", (raw,)))
            except DatabaseError:
                if not self._dead:
                    raise
                await self.restart(kill=True)
                continue
            break
        self._worker.dispatch(items)
        await self.settle()
        return message


class _Watched(PluginConsumer):
    """Remembers what its handlers raise."""

    def __init__(
        self,
        name: str,
        plugin: Plugin,
        bot: BotUser,
        services: Services,
        failures: list[BaseException],
        domain: str,
    ) -> None:
        super().__init__(name, plugin, bot, services, domain=domain)
        self._failures = failures

    async def handle(self, event: Any, unit: Any) -> None:
        try:
            await super().handle(event, unit)
        except (DatabaseError, Wait):
            raise
        except Exception as error:
            self._failures.append(error)
            raise


class _Chats:
    """Makes direct chats in the world."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def direct(self, person: str, bot: str, name: str) -> str:
        """The direct chat of a person and a bot."""
        known = self._world.people.setdefault(person, Person(self._world, person))
        local = f"{person[1:].partition(':')[0]}-{bot[1:].partition(':')[0]}"
        room_id = f"!{local}:{BOT_SERVER}"
        room = self._world.homeserver.rooms.get(room_id)
        if room is None:
            room = Room(room_id, {known.user_id: "join", bot: "join"})
            self._world.homeserver.rooms[room_id] = room
        return room_id

    async def group(
        self, purpose: str, maker: str, name: str, people: Iterable[str], *, topic: str = "", encrypted: bool = True
    ) -> str:
        """A room that a bot makes; the people are invited."""
        room_id = f"!{sha256(f'{maker} {purpose}'.encode()).hexdigest()[:16]}:{BOT_SERVER}"
        if room_id not in self._world.homeserver.rooms:
            members = {maker: "join", **dict.fromkeys(people, "invite")}
            room = self._world.homeserver.rooms[room_id] = Room(room_id, members, encrypted)
            room.state["m.room.name", ""] = {"name": name}
        return room_id


def _domain(catalogues: Catalogues, plugin: type[Plugin]) -> str:
    """The plugin's translations as the service finds them: the ``locales`` folder of its package; "" without any."""
    package = plugin.locales or getattr(sys.modules.get(plugin.__module__), "__package__", None)
    if not package:
        return ""
    root = files(package) / "locales"
    if root.is_dir():
        domain = package.rpartition(".")[2]
        catalogues.add(domain, root)
        return domain
    return ""


def _named(plugin: PluginType) -> tuple[str, PluginType]:
    if isinstance(plugin, Plugin):
        return type(plugin).plugin_name(), plugin
    if isinstance(plugin, type) and issubclass(plugin, Plugin):
        return plugin.plugin_name(), plugin
    return str(getattr(plugin, "__name__", "bot")).strip("<>_"), cast(Any, plugin)


def _make(plugin: PluginType, setup: Setup) -> Plugin:
    if isinstance(plugin, Plugin):
        return plugin
    if isinstance(plugin, type) and issubclass(plugin, Plugin):
        return plugin.create(setup)
    make = cast(Callable[..., Plugin], plugin)
    return make(setup) if inspect.signature(make).parameters else make()
