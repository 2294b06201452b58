"""The messenger, put together: its services, what listens to events, and what runs by itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.config import Config
from appservice.consumer import Consumer
from appservice.database import Database
from appservice.events import InternalEvent
from appservice.homeserver import Homeserver
from appservice.metrics import Metrics
from appservice.rooms import Rooms
from bridge.chats import Chats
from bridge.permissions import Permissions
from bridge.registry import Registry
from bridge.steward import Steward

RaiseEvents: TypeAlias = Callable[[Callable[[Connection], Iterable[InternalEvent]]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Ground:
    """What the messenger stands on.

    Attributes:
        steward: the application service's own user.
        hub: user id of ``@rialto``, who speaks to people; '' when it is not installed.
        hub_consumer: the name of its consumer, for events of our own that it tells people of.
        bots: user ids of all bots.
        url: the address of a path of the web listener, as the outside sees it.
    """

    config: Config
    database: Database
    homeserver: Homeserver
    rooms: Rooms
    raise_events: RaiseEvents
    clock: Clock
    metrics: Metrics
    chats: Chats
    steward: str
    hub: str
    hub_consumer: str
    bots: frozenset[str]
    url: Callable[[str], str]


class Messenger:
    """The services of the messenger. :meth:`start` them when the database is there, before any event."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.steward = Steward(ground.homeserver, ground.steward, ground.config.homeserver.server_name)
        self.registry = Registry(ground.database)
        self.permissions = Permissions(self.steward)

    @property
    def features(self) -> list[Consumer]:
        """Consumers that see every event, in this order."""
        return []

    async def start(self) -> None:
        """Load what events need. The homeserver may be away."""
        await self.registry.start()

    async def run(self) -> None:
        """Start what runs by itself: timers, clean-ups. After the events began to flow."""

    async def stop(self) -> None:
        """End what runs by itself; harmless when not started."""
