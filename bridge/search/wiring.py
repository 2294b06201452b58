"""Search, put together."""

from __future__ import annotations

from appservice.clock import Clock
from appservice.config import Config
from appservice.consumer import Consumer
from appservice.database import Database
from appservice.sealing import Sealer, derived_key
from bridge.audit import Audit
from bridge.domain.search import Terms
from bridge.permissions import Permissions
from bridge.reading import Reading
from bridge.registry import Registry
from bridge.search.feature import SearchFeature
from bridge.search.history import Past
from bridge.search.index import Index
from bridge.search.rights import Part
from bridge.search.service import SearchService
from bridge.steward import Steward


class Search:
    """The service, what listens for it, and what runs by itself."""

    def __init__(
        self,
        config: Config,
        database: Database,
        steward: Steward,
        registry: Registry,
        permissions: Permissions,
        audit: Audit,
        clock: Clock,
        reading: Reading,
    ) -> None:
        """
        Args:
            reading: where nothing encrypted can be read, only unencrypted chats are searched.
        """
        settings = config.messenger.search
        key = config.encryption.pickle_key.get_secret_value()
        index = Index(Terms(derived_key(key, "search-terms")), Sealer(key, "search"))
        self.service = SearchService(
            database,
            clock,
            permissions,
            audit,
            index,
            enabled=settings.enabled,
            services=settings.services and reading.possible,
        )
        self.part = Part(index)
        self.past = Past(registry, steward, database, clock, self.service, index, settings.past_pages_per_second)
        self._feature = SearchFeature(registry, steward, database, clock, self.service, index, reading)

    @property
    def features(self) -> list[Consumer]:
        """What listens."""
        return [self._feature]

    async def start(self) -> None:
        """Load what events need."""
        await self.service.start()

    def run(self) -> None:
        """Begin what runs by itself."""
        self.past.start()

    async def stop(self) -> None:
        """End it; harmless when it has not begun."""
        await self.past.stop()
