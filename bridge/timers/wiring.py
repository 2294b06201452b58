"""Message timers, retention and legal holds, put together."""

from __future__ import annotations

from appservice.administration import Administration
from appservice.clock import Clock
from appservice.config import Config
from appservice.consumer import Consumer
from appservice.database import Database
from appservice.metrics import Metrics
from bridge.audit import Audit
from bridge.chats.service import ChatService
from bridge.delivery.service import DeliveryService
from bridge.permissions import Permissions
from bridge.reading import Reading
from bridge.registry import Registry
from bridge.retention.freezing import Freezing
from bridge.retention.service import RetentionService
from bridge.retention.sweeper import Sweeper
from bridge.steward import Steward
from bridge.timers.drain import Drain
from bridge.timers.feature import TimerFeature
from bridge.timers.files import FileRemover
from bridge.timers.service import TimerService
from bridge.timers.service_files import ServiceFiles


class Timing:
    """Everything of it. ``start`` before events flow, ``run`` after, ``stop`` at the end."""

    def __init__(
        self,
        config: Config,
        database: Database,
        steward: Steward,
        registry: Registry,
        permissions: Permissions,
        audit: Audit,
        clock: Clock,
        metrics: Metrics,
        chats: ChatService,
        delivery: DeliveryService,
        administration: Administration,
        bots: frozenset[str],
        reading: Reading,
    ) -> None:
        settings = config.messenger
        self.drain = Drain(
            steward,
            database,
            clock,
            metrics,
            per_second=settings.timers.per_second,
            concurrency=settings.timers.concurrency,
        )
        self.feature = TimerFeature(steward, database, registry, audit, clock, bots, self.drain.soon)
        self._service_files = ServiceFiles(registry, clock, self.feature.timed, reading)
        self.files = FileRemover(administration, database, clock, config.homeserver.server_name)
        self.timers = TimerService(steward, permissions, chats)
        self.freezing = Freezing(steward, database, chats, clock)
        self.sweeper = Sweeper(steward, database, clock, self.drain.soon, settings.retention.days or None)
        self.retention = RetentionService(
            database,
            permissions,
            chats.lock,
            audit,
            clock,
            self.freezing,
            self.sweeper,
            everywhere=settings.retention.days or None,
        )
        self.drain.files_gone = self.files.background.wake
        delivery.marked.append(self.feature.marked)
        # A hold says no first: nothing of the chat is forgotten then.
        chats.deleting[:0] = [self.retention.deleting, self.feature.deleting]
        chats.moved += [self.feature.moved, self.retention.moved]

    @property
    def features(self) -> list[Consumer]:
        """What listens; before the consumer that numbers events."""
        return [self.feature, self._service_files]

    async def start(self) -> None:
        """Load what events need."""
        await self.feature.start()

    def run(self) -> None:
        """Begin what runs by itself."""
        self.drain.start()
        for background in (self.files.background, self.sweeper.background, self.freezing.background):
            background.start()

    async def stop(self) -> None:
        """End it; harmless when it has not begun."""
        await self.drain.stop()
        for background in (self.files.background, self.sweeper.background, self.freezing.background):
            await background.stop()
