"""The API for embedding products, put together. Imported only where ``messenger.api.enabled`` says so: it is heavy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import Any, Final, Protocol

from aiohttp import web

from appservice.guard import AddressPolicy, Lookup
from appservice.homeserver import path
from bridge.api import openapi
from bridge.api.app import Api
from bridge.api.cursors import Cursors
from bridge.api.endpoints import Endpoint
from bridge.api.idempotency import Idempotency
from bridge.api.routes.base import Base, Services
from bridge.api.routes.chats import ChannelRoutes, ChatRoutes, RetentionRoutes, TimerRoutes
from bridge.api.routes.control import AuditRoutes, ModerationRoutes, WebhookRoutes
from bridge.api.routes.links import LinkRoutes
from bridge.api.routes.members import MemberRoutes
from bridge.api.routes.messages import CommentRoutes, DeliveryRoutes, MessageRoutes, Notices, SearchRoutes
from bridge.api.routes.people import PeopleRoutes
from bridge.api.routes.requests import DataRequestRoutes, SuspensionRoutes
from bridge.audit import Audit
from bridge.background import Background
from bridge.identity.openid import OpenId
from bridge.identity.people import Accounts, People
from bridge.identity.products import Products
from bridge.identity.requests import DataRequests
from bridge.messenger import Ground
from bridge.registry import Registry
from bridge.steward import ROOMS, Steward
from bridge.store import product_messages, webhooks
from bridge.store.chats import Chat
from bridge.webhooks.feature import ProductFeature, settle, tell_counts
from bridge.webhooks.sender import Sender
from bridge.webhooks.service import WebhookService

PREFIX: Final = "/api/v1"
SETTLE_MS: Final = 1_000
COUNTS_MS: Final = 60_000
PURGE_MS: Final = 600_000
KEEP_DELIVERIES_MS: Final = 7 * 86_400_000


class Route(Protocol):
    """The handlers of an area."""

    def endpoints(self) -> list[Endpoint]: ...


class Embedding:
    """Serves products: their requests, and what their webhooks are told."""

    def __init__(
        self,
        ground: Ground,
        registry: Registry,
        steward: Steward,
        audit: Audit,
        accounts: Accounts,
        services: Services,
        *,
        lookup: Lookup | None = None,
        monotonic: Callable[[], float] | None = None,
    ) -> None:
        """
        Args:
            lookup: gives the addresses of webhooks' names; the machine's unless told.
            monotonic: seconds, for rate limits.
        """
        config = ground.config
        settings = config.messenger.api
        pickle_key = config.encryption.pickle_key.get_secret_value()
        self._ground = ground
        self._steward = steward
        self._registry = registry
        self._url = ground.url(PREFIX)
        policy = AddressPolicy.of(allowed=settings.webhook_networks)
        self.products = Products(ground.database, audit, ground.clock, pickle_key)
        self.people = People(
            ground.database,
            OpenId(ground.homeserver).owner,
            accounts,
            audit,
            ground.clock,
            server_name=config.homeserver.server_name,
            pickle_key=pickle_key,
            service_users=lambda: ground.bots | {ground.steward},
        )
        self.webhooks = WebhookService(ground.database, audit, ground.clock, pickle_key=pickle_key, policy=policy)
        self.feature = ProductFeature(ground.steward, ground.bots, registry, self.webhooks, ground.clock)
        services.delivery.marked.append(self.feature.marked)
        services.chats.making.append(self.feature.made)
        services.chats.deleting.append(self.feature.deleted)
        services.chats.deleting.append(lambda connection, chat: product_messages.forget_room(connection, chat.room_id))
        services.chats.moved.append(
            lambda connection, old, new: product_messages.move(connection, old.room_id, new.room_id)
        )
        self.sender = Sender(ground.database, self.webhooks, ground.clock, policy, ground.metrics, lookup=lookup)
        self.idempotency = Idempotency(ground.database, pickle_key, ground.clock)
        base = Base(
            database=ground.database,
            clock=ground.clock,
            audit=audit,
            cursors=Cursors(pickle_key),
            products=self.products,
            people=self.people,
            requests=DataRequests(self.people, services.rights, ground.clock, pickle_key),
            webhooks=self.webhooks,
            services=services,
            homeserver_url=settings.homeserver_url or config.homeserver.url,
            url=self._url,
            bots_in=lambda room_id: list(ground.rooms.bots_in(room_id)),
            steward=ground.steward,
            bring=self._bring,
        )
        options: dict[str, Any] = {} if monotonic is None else {"monotonic": monotonic}
        self.api = Api(
            endpoints_of(base, ground),
            self.products,
            self.idempotency,
            ground.clock,
            lambda: self._document,
            ground.metrics,
            reads_per_minute=settings.reads_per_minute,
            writes_per_minute=settings.writes_per_minute,
            **options,
        )
        clock = ground.clock
        self._tasks = [
            self.webhooks.background(self.sender.run_due, self.sender.upcoming),
            Background("product-messages", clock, self.settle, self._settle_next),
            Background("message-counts", clock, self.tell_counts, self._in(COUNTS_MS)),
            Background("api-purge", clock, self.purge, self._in(PURGE_MS)),
        ]

    def _in(self, span_ms: int) -> Callable[[], Awaitable[int | None]]:
        async def following() -> int:
            return self._ground.clock.now_ms() + span_ms

        return following

    async def _bring(self, chat: Chat) -> str:
        """Have ``@rialto`` in a service chat: it has a device, so that what it says there is encrypted."""
        hub = self._ground.hub
        if hub:
            await self._steward.of(chat).invite(chat.room_id, hub)
            await self._ground.homeserver.request("POST", path(ROOMS, chat.room_id, "join"), user_id=hub, body={})
        return hub

    @cached_property
    def _document(self) -> bytes:
        return openapi.written(self.api.endpoints, self._url)

    def app(self) -> web.Application:
        """To be mounted at :data:`PREFIX`."""
        return self.api.app()

    async def start(self) -> None:
        """Load what events and requests need."""
        await self.webhooks.start()
        await self.idempotency.start()

    def run(self) -> None:
        """Start what runs by itself."""
        for task in self._tasks:
            task.start()

    async def stop(self) -> None:
        """End what runs by itself."""
        for task in self._tasks:
            await task.stop()
        await self.sender.stop()

    async def settle(self) -> int:
        """Say what became of notices; of how many."""
        database = self._ground.database
        if not await database.read(product_messages.any_unsettled):
            return 0
        count = await database.write(lambda connection: settle(connection, self.webhooks, self._registry))
        if count:
            self.webhooks.hurry()
        return count

    async def _settle_next(self) -> int:
        # A notice is on its way for moments: while there is none, one look a minute is enough.
        pending = await self._ground.database.read(product_messages.any_unsettled)
        return self._ground.clock.now_ms() + (SETTLE_MS if pending else COUNTS_MS)

    async def tell_counts(self) -> int:
        """Say how many messages there were; in how many chats."""
        now = self._ground.clock.now_ms()
        count = await self._ground.database.write(
            lambda connection: tell_counts(connection, self.webhooks, self._registry, now)
        )
        if count:
            self.webhooks.hurry()
        return count

    async def purge(self) -> int:
        """Forget what is old, a part at a time; how much."""
        now = self._ground.clock.now_ms()
        count = await self.idempotency.purge() + await self.people.purge()
        before = now - KEEP_DELIVERIES_MS
        return count + await self._ground.database.write(lambda connection: webhooks.purge(connection, before))


def endpoints_of(base: Base, ground: Ground) -> list[Endpoint]:
    """The whole table."""
    notices = Notices(base, ground.raise_events)
    routes: list[Route] = [
        PeopleRoutes(base),
        SuspensionRoutes(base),
        DataRequestRoutes(base),
        ChatRoutes(base),
        ChannelRoutes(base),
        MemberRoutes(base),
        LinkRoutes(base),
        TimerRoutes(base),
        RetentionRoutes(base),
        MessageRoutes(base, notices),
        CommentRoutes(base, notices),
        DeliveryRoutes(base),
        SearchRoutes(base),
        ModerationRoutes(base),
        AuditRoutes(base),
        WebhookRoutes(base),
    ]
    return [endpoint for route in routes for endpoint in route.endpoints()]
