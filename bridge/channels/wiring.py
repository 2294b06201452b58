"""Channels, put together."""

from __future__ import annotations

from collections.abc import Collection

from appservice.clock import Clock
from appservice.consumer import Consumer
from appservice.database import Database
from bridge.channels.discussions import Discussions
from bridge.channels.feature import ChannelsFeature
from bridge.channels.rights import Part
from bridge.channels.service import ChannelService
from bridge.chats.service import ChatService
from bridge.delivery.service import DeliveryService
from bridge.permissions import Permissions
from bridge.registry import Registry
from bridge.steward import Steward


class Channeling:
    """The service, what listens for it, and what runs by itself."""

    def __init__(
        self,
        database: Database,
        steward: Steward,
        registry: Registry,
        permissions: Permissions,
        clock: Clock,
        chats: ChatService,
        delivery: DeliveryService,
        service_users: Collection[str],
    ) -> None:
        self.discussions = Discussions(steward, database, registry, clock)
        self.service = ChannelService(chats, steward, database, registry, permissions, self.discussions, service_users)
        delivery.numbered.append(self.service.numbered)
        delivery.marked.append(self.service.marked)
        self.background = self.discussions.background
        self.part = Part()
        self.features: list[Consumer] = [ChannelsFeature(steward, database, registry)]
