"""Delivery, put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from appservice.clock import Clock
from appservice.config import Config
from appservice.consumer import Consumer
from appservice.database import Database
from appservice.homeserver import Homeserver
from bridge.delivery.feature import DeliveryFeature
from bridge.delivery.receipts import LostReceipts
from bridge.delivery.rights import Part
from bridge.delivery.service import DeliveryService
from bridge.delivery.tasks import DeliveryTasks
from bridge.permissions import Permissions
from bridge.registry import Registry


class Delivery:
    """The service, what listens for it, and what runs by itself."""

    def __init__(
        self,
        config: Config,
        database: Database,
        homeserver: Homeserver,
        registry: Registry,
        permissions: Permissions,
        clock: Clock,
        bots_in: Callable[[str], Iterable[str]],
        steward: str,
        hides_receipts: Callable[[str], Awaitable[bool]] | None = None,
    ) -> None:
        """
        Args:
            bots_in: the bots and the steward that are in a room.
            hides_receipts: whether somebody does not want it known what they have read.
        """
        self.service = DeliveryService(database, clock, registry, permissions, bots_in, steward)
        if hides_receipts is not None:
            self.service.hides_receipts = hides_receipts
        self.lost = LostReceipts(homeserver, database, registry, clock, bots_in, steward)
        self.part = Part()
        self._feature = DeliveryFeature(registry, homeserver, bots_in, database, clock, self.service)
        keep = config.messenger.delivery.keep_days
        self._tasks = DeliveryTasks(self.service, self.lost, database, clock, keep)

    @property
    def features(self) -> list[Consumer]:
        """What listens."""
        return [self._feature]

    async def start(self) -> None:
        """Load what events need."""
        await self._feature.start()

    async def run(self) -> None:
        """Begin what runs by itself."""
        await self._tasks.start()

    async def stop(self) -> None:
        """End it; harmless when it has not begun."""
        await self._tasks.stop()
