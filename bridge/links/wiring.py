"""Invite links, put together."""

from __future__ import annotations

from collections.abc import Callable, Collection

from appservice.clock import Clock
from appservice.config import Config
from appservice.consumer import Consumer
from appservice.database import Database
from appservice.sealing import derived_key
from bridge.chats.consent import Consent
from bridge.chats.service import ChatService
from bridge.links.feature import LinksFeature
from bridge.links.rights import Part
from bridge.links.service import LinkService, RaiseEvents
from bridge.notices import Notices
from bridge.permissions import Permissions
from bridge.registry import Registry
from bridge.steward import Steward

PREFIX = "/join"
"""Where the pages of links are mounted: ``/join/{code}``."""


class Linking:
    """The service, what listens for it, and what runs by itself."""

    def __init__(
        self,
        config: Config,
        database: Database,
        steward: Steward,
        registry: Registry,
        permissions: Permissions,
        notices: Notices,
        raise_events: RaiseEvents,
        clock: Clock,
        chats: ChatService,
        consent: Consent,
        service_users: Collection[str],
        hub: str,
        url: Callable[[str], str],
    ) -> None:
        """
        Args:
            consent: what people let others do; without counting it as an invitation of the link's maker.
            hub: who takes codes where there are no pages.
            url: the address of a path of the web listener.
        """
        key = config.encryption.pickle_key.get_secret_value()
        self.service = LinkService(
            chats,
            steward,
            database,
            permissions,
            notices,
            raise_events,
            clock,
            derived_key(key, "invite links"),
            consent=consent,
            url=(lambda token: url(f"{PREFIX}/{token}")) if config.web.enabled else None,
            hub=hub,
            service_users=service_users,
            most_links=config.messenger.links.most,
            most_requests=config.messenger.links.most_requests,
            most_members=config.messenger.chats.most_members,
        )
        self.background = self.service.background
        self.part = Part()
        self.features: list[Consumer] = [LinksFeature(steward, self.service, database, registry)]
