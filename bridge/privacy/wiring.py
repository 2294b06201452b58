"""The privacy of a messenger in one piece: its services, features and tasks."""

from __future__ import annotations

from collections.abc import Collection

from appservice.administration import Administration
from appservice.clock import Clock
from appservice.config import Config
from appservice.consumer import Consumer
from appservice.database import Database
from appservice.homeserver import Homeserver
from appservice.sealing import Sealer
from appservice.synapse_module import SynapseModule
from bridge.audit import Audit
from bridge.notices import Notices
from bridge.privacy.contacts import ContactsFeature
from bridge.privacy.devices import DeviceService
from bridge.privacy.policy import Policy
from bridge.privacy.screenshots import ScreenshotFeature, ScreenshotService
from bridge.privacy.service import PrivacyService, RaiseEvents
from bridge.registry import Registry
from bridge.steward import Steward


class Privacy:
    """Everything of it. ``start`` before events flow, ``run`` after, ``stop`` at the end."""

    def __init__(
        self,
        config: Config,
        database: Database,
        homeserver: Homeserver,
        steward: Steward,
        registry: Registry,
        notices: Notices,
        raise_events: RaiseEvents,
        audit: Audit,
        clock: Clock,
        service_users: Collection[str],
    ) -> None:
        server = config.homeserver.server_name
        self.module = SynapseModule(homeserver)
        self.administration = Administration(
            config.homeserver.url,
            config.homeserver.admin_token.get_secret_value(),
            tokens=self.module,
            timeout=config.homeserver.timeout,
        )
        self.service = PrivacyService(
            database,
            self.module,
            notices,
            raise_events,
            audit,
            clock,
            Sealer(config.encryption.pickle_key.get_secret_value(), "privacy"),
            server_name=server,
            service_users=service_users,
        )
        self.policy = Policy(self.service, registry, self.module)
        self.devices = DeviceService(
            self.administration,
            notices,
            raise_events,
            audit,
            clock,
            server_name=server,
            service_users=service_users,
        )
        self.screenshots = ScreenshotService(raise_events, steward, clock)
        self.features: list[Consumer] = [
            ScreenshotFeature(steward.user_id, database, registry, notices, clock),
            ContactsFeature(steward.user_id, registry, clock, service_users),
        ]

    async def start(self) -> None:
        """Open the connection to the homeserver's admin API, where there is a token."""
        if self.administration.available:
            await self.administration.start()

    def run(self) -> None:
        """Greet the homeserver's module, and do what waits."""
        self.policy.start()
        self.service.background.start()

    async def stop(self) -> None:
        """End; harmless when not started."""
        await self.policy.stop()
        await self.service.background.stop()
        await self.administration.stop()
