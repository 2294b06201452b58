"""What the endpoints of all areas stand on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from appservice.clock import Clock
from appservice.database import Database
from bridge.api.cursors import Cursors
from bridge.api.endpoints import Call
from bridge.api.models.chats import ChatView
from bridge.audit import Audit
from bridge.channels.service import ChannelService
from bridge.chats.members import MemberService
from bridge.chats.service import ChatService
from bridge.delivery.service import DeliveryService
from bridge.errors import NotFound
from bridge.identity.people import People
from bridge.identity.products import Products
from bridge.identity.requests import DataRequests
from bridge.links.service import LinkService
from bridge.moderation.service import ModerationService
from bridge.moderation.suspensions import Suspensions
from bridge.retention.service import RetentionService
from bridge.rights.service import RightsService
from bridge.search.service import SearchService
from bridge.store.chats import Chat
from bridge.timers.service import TimerService
from bridge.webhooks.service import WebhookService

T = TypeVar("T")
EXTERNAL: Final = "ext:"


@dataclass(frozen=True, slots=True)
class Services:
    """The services of the other areas."""

    chats: ChatService
    members: MemberService
    timers: TimerService
    retention: RetentionService
    delivery: DeliveryService
    search: SearchService
    moderation: ModerationService
    suspensions: Suspensions
    rights: RightsService
    links: LinkService
    channels: ChannelService


@dataclass(frozen=True, slots=True)
class Base:
    """Everything that handlers use."""

    database: Database
    clock: Clock
    audit: Audit
    cursors: Cursors
    products: Products
    people: People
    requests: DataRequests
    webhooks: WebhookService
    services: Services
    homeserver_url: str
    url: str
    """Where the API itself is reached."""
    bots_in: Callable[[str], Sequence[str]] = field(repr=False)
    steward: str
    bring: Callable[[Chat], Awaitable[str]] = field(repr=False)
    """Has a bot of ours in a service chat; its user id, or '' when there is none."""

    async def chat(self, call: Call[Any, Any]) -> Chat:
        """The chat of the path; it is the product's.

        Raises:
            NotFound: there is none such, or it is another's.
        """
        return await self.chat_of(call, call.params["chat"])

    async def chat_of(self, call: Call[Any, Any], reference: str) -> Chat:
        """The chat that a reference means."""
        if reference.startswith(EXTERNAL):
            chat = await self.services.chats.by_external_id(call.actor, reference.removeprefix(EXTERNAL))
        else:
            chat = await self.services.chats.get(call.actor, reference)
        # The service says so too; that a product sees nothing of another is said twice.
        if chat.workspace != call.product.name or not chat.alive:
            raise NotFound("no_such_chat", "There is no such chat.")
        return chat

    async def person(self, call: Call[Any, Any]) -> str:
        """The user id of the person of the path.

        Raises:
            NotFound: the product has nobody by this id.
        """
        return await self.person_of(call, call.params["person"])

    async def person_of(self, call: Call[Any, Any], reference: str) -> str:
        """The user id of the person that a reference means."""
        return await self.people.resolve(call.product.name, reference)

    def page(
        self, place: str, items: Sequence[T], limit: int, key: Callable[[T], Sequence[int | str]]
    ) -> tuple[list[T], str | None]:
        """A page of the first ``limit`` of the items, and the cursor of the next when there are more.

        Args:
            items: up to one more than ``limit``.
            key: the sort key of an item.
        """
        if len(items) <= limit:
            return list(items), None
        shown = list(items[:limit])
        return shown, self.cursors.make(place, *key(shown[-1]))

    def after(self, place: str, cursor: str | None) -> tuple[Any, ...] | None:
        """The sort key after which a page begins.

        Raises:
            Problem: it is no cursor of this list.
        """
        found = self.cursors.read(place, cursor)
        return None if found is None else tuple(found)


def view_of(chat: Chat, members: int | None = None, parent: str | None = None) -> ChatView:
    """A chat as it is shown.

    Args:
        parent: the id of the channel whose discussion group it is.
    """
    return ChatView(
        id=chat.id,
        room_id=chat.room_id,
        kind=chat.kind.value,
        name=chat.name,
        topic=chat.topic,
        avatar_url=chat.avatar_url,
        public=chat.public,
        encrypted=chat.encrypted,
        external_id=chat.external_id,
        alias=chat.alias,
        parent=parent,
        slow_mode=chat.slow_mode,
        adopted=chat.adopted,
        members=members,
        created_at=chat.created_at,
        archived_at=chat.archived_at,
    )
