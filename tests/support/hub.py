"""The real hub in a :class:`tests.support.messenger.MessengerWorld`: people talk with ``@rialto``, and chats happen."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any, Final, cast

from appservice.consumer import Consumer
from appservice.database import Database
from appservice.homeserver import Homeserver
from appservice.media import Media
from appservice.sealing import Sealer
from bots.framework.bot import BotUser
from bots.framework.consumer import PluginConsumer
from bots.framework.directory import Directory, ServiceEntry
from bots.framework.i18n import Catalogues
from bots.framework.people import People
from bots.framework.permissions import Permissions
from bots.framework.plugin import Setup
from bots.framework.schedules import Scheduler
from bots.framework.services import Services
from bots.framework.state import Store
from bots.framework.switchboard import Switchboard
from bots.hub import Hub
from bridge.chats import Chats
from bridge.membership import Membership
from bridge.messenger import Messenger
from tests.support.fake_rooms import Room
from tests.support.messenger import HUB, HUB_CONSUMER, MEGOLM, PICKLE_KEY, SERVER, MessengerWorld, Person

SERVICES: Final = (ServiceEntry("@echo:world", "Echo", "Repeats what you say: an example for developers.", "echo"),)


class Talk:
    """A person's talk with the hub in a room: what they say, and what they hear since."""

    def __init__(self, world: HubWorld, person: Person, room_id: str) -> None:
        self._world = world
        self._numbers = itertools.count(1)
        self.person = person
        self.room_id = room_id
        self._heard = len(world.room(room_id).timeline)

    async def says(self, text: str, *, reply_to: str = "") -> str:
        """Say something, and give all that the hub says to it there."""
        await self.sends(text, reply_to=reply_to)
        return "\n".join(self.hears())

    async def sends(self, text: str, *, reply_to: str = "") -> str:
        """Say something; the event's id."""
        world, encrypted = self._world, self._world.is_encrypted(self.room_id)
        content: dict[str, Any] = {"algorithm": MEGOLM, "ciphertext": text, "session_id": "s"}
        if not encrypted:
            content = {"msgtype": "m.text", "body": text}
        if reply_to:
            content["m.relates_to"] = {"m.in_reply_to": {"event_id": reply_to}}
        kind = "m.room.encrypted" if encrypted else "m.room.message"
        txn = f"talk {self.person} {self.room_id} {next(self._numbers)} {id(self)}"
        event_id = await world.homeserver.send_event(self.person.user_id, "D", self.room_id, kind, txn, content)
        await world.settle()
        return event_id

    def hears(self) -> list[str]:
        """What the hub has said since."""
        timeline = self._world.room(self.room_id).timeline
        fresh, self._heard = timeline[self._heard :], len(timeline)
        said = []
        for event in fresh:
            if event["sender"] == HUB and event["type"] == "m.room.message":
                said.append(str(event["content"].get("body", "")))
        return said


class HubWorld(MessengerWorld):
    """A world whose ``@rialto`` is the hub itself."""

    def __init__(
        self, database: Database | None = None, *, language: str = "en", operators: Sequence[str] = (), **options: Any
    ) -> None:
        """
        Args:
            language: of people who have not said theirs.
            operators: user ids of those who may do what operators do.
        """
        super().__init__(database, hub=lambda world: cast(HubWorld, world).make_hub(), consumers=_membership, **options)
        self._language = language
        self.operators = operators
        self.scheduler: Scheduler
        self.consumer: PluginConsumer

    def make_hub(self) -> Consumer:
        """The plugin and what it stands on, at each start of the service."""
        catalogues = Catalogues(self._language)
        catalogues.add("hub", files("bots.hub") / "locales")
        self.scheduler = Scheduler(
            self.database, self.raise_events, Sealer(PICKLE_KEY, "schedules"), self.clock, lambda: [HUB_CONSUMER]
        )
        services = Services(
            database=self.database,
            rooms=self.rooms,
            media=Media(cast(Homeserver, self.homeserver)),
            homeserver=self.homeserver,
            sealer=Sealer(PICKLE_KEY, "dialogs"),
            clock=self.clock,
            people=People(self.database, self.clock, self.scheduler),
            catalogues=catalogues,
            permissions=Permissions.model_validate({"roles": {"operator": list(self.operators)}}),
            scheduler=self.scheduler,
            store=Store(self.database, Sealer(PICKLE_KEY, "state"), self.clock.now_ms),
            server_name=SERVER,
            chats=self.purposes,
            strict=True,
        )
        board = Switchboard.__new__(Switchboard)
        board._instances = lambda: []
        given: Mapping[type, Any] = {
            Chats: self.purposes,
            Directory: Directory(lambda: [ServiceEntry(HUB, "Rialto", "The hub itself."), *SERVICES]),
            Switchboard: board,
            Messenger: self.messenger,
        }
        bot = BotUser(HUB, "Rialto")
        self.consumer = _Watched("hub", Hub.create(Setup("hub", HUB, None, given)), bot, services, domain="hub")
        self.consumer.failures = self.failures
        bot.consumers.append(self.consumer)
        bot.rebuild()
        return self.consumer

    async def talk(self, person: Person) -> Talk:
        """The person's own chat with the hub; it is made when there is none."""
        room_id = await self.purposes.direct(person.user_id, HUB, "Rialto")
        if self.room(room_id).membership(person.user_id) != "join":
            await person.joins(room_id)
        await self.settle()
        return Talk(self, person, room_id)

    def talk_in(self, person: Person, room_id: str) -> Talk:
        """What a person says in another room."""
        return Talk(self, person, room_id)

    async def hours_pass(self, hours: float) -> None:
        """Time passes, and what is scheduled happens."""
        self.clock.advance(hours=hours)
        while await self.scheduler.run_due():
            await self.settle()
        await self.settle()

    def room_named(self, name: str) -> Room:
        """The room of a name."""
        return next(room for room in self.homeserver.rooms.values() if room.content("m.room.name").get("name") == name)


class _Watched(PluginConsumer):
    """Its failures are the world's."""

    failures: list[BaseException]

    async def handle(self, event: Any, unit: Any) -> None:
        try:
            await super().handle(event, unit)
        except Exception as error:
            self.failures.append(error)
            raise


def _membership(world: MessengerWorld) -> list[Consumer]:
    return [Membership(cast(Homeserver, world.homeserver), cast(Any, world.rooms), [HUB], SERVER, ["*"])]


def moment(world: MessengerWorld, **delta: float) -> datetime:
    """A moment from now."""
    return datetime.fromtimestamp(world.clock.now_ms() / 1000, UTC) + timedelta(**delta)
