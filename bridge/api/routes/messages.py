"""Notices of products, what became of messages, changes, search."""

from __future__ import annotations

import secrets
from typing import Any, Final

from sqlalchemy import Connection

from appservice.events import InternalEvent
from appservice.unit import transaction_id
from bridge.api.endpoints import Call, Endpoint
from bridge.api.models.common import PageQuery
from bridge.api.models.messages import (
    Acknowledgement,
    ChangesQuery,
    ChangesView,
    ChangeView,
    CommentPage,
    CommentView,
    HitPage,
    HitView,
    MessageView,
    NewMessage,
    SearchQuery,
    StatusView,
)
from bridge.api.routes.base import Base
from bridge.channels.feature import PRODUCT
from bridge.domain import kinds
from bridge.domain.search import Kind
from bridge.domain.ulids import ENTROPY_BYTES, ulid
from bridge.errors import Conflict, NotFound, Refused
from bridge.messenger import RaiseEvents
from bridge.store import chats as chat_store
from bridge.store import product_messages as store
from bridge.store.chats import Chat
from bridge.store.product_messages import ProductMessage
from bridge.webhooks.feature import NAME, NOTICE

MOST_WAITING: Final = 48
"""Requests that wait for changes at the same time; more are answered at once."""
TAGS: Final = {
    "a", "b", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "li", "ol", "p",
    "pre", "s", "span", "strong", "u", "ul",
}  # fmt: skip
"""Of what the specification lets clients show ("m.room.message msgtypes"), what a notice needs."""


class Notices:
    """Puts down what products say."""

    def __init__(self, base: Base, raise_events: RaiseEvents) -> None:
        self._base = base
        self._raise_events = raise_events

    async def put(self, call: Call[NewMessage, None], chat: Chat, **more: Any) -> MessageView:
        """Have a notice sent into a chat.

        Args:
            more: of its content.

        Raises:
            Refused: the server cannot write there.
            Conflict: the chat is archived.
        """
        sender = await self._sender(chat)
        content: dict[str, Any] = {
            "msgtype": "m.notice",
            "body": call.body.text,
            "m.mentions": {},
            PRODUCT: {"name": call.product.name, "title": call.product.title},
            # MSC4144: clients show the product's name in the place of the sender's.
            "com.beeper.per_message_profile": {"id": call.product.name, "displayname": call.product.title},
            **more,
        }
        if call.body.html is not None:
            content |= {"format": "org.matrix.custom.html", "formatted_body": _harmless(call.body.html)}
        txn_id = transaction_id(call.once, NAME, 0)
        wanted = ProductMessage(
            ulid(call.now, secrets.token_bytes(ENTROPY_BYTES)),
            call.product.name,
            chat.room_id,
            sender,
            txn_id,
            call.now,
        )
        kept: list[ProductMessage] = []

        def work(connection: Connection) -> list[InternalEvent]:
            kept[:] = [store.add(connection, wanted)]
            body = {"content": content, "user_id": sender, "key": call.once}
            return [InternalEvent(f"notice:{txn_id}", NAME, chat.room_id, NOTICE, body)]

        await self._raise_events(work)
        return _view(chat, kept[0])

    async def _sender(self, chat: Chat) -> str:
        """Who says it: the steward, which encrypts nothing, or a bot that does."""
        if chat.archived_at is not None:
            raise Conflict("chat_archived", "Nobody writes in an archived chat.")
        if not chat.encrypted:
            return self._base.steward
        if chat.kind is kinds.Kind.SERVICE:
            bots = sorted(set(self._base.bots_in(chat.room_id)) - {self._base.steward})
            if sender := bots[0] if bots else await self._base.bring(chat):
                return sender
        raise Refused("chat_encrypted", "This chat is end-to-end encrypted: the server cannot write into it.")


class MessageRoutes:
    """Handlers."""

    def __init__(self, base: Base, notices: Notices) -> None:
        self._base = base
        self._notices = notices

    def endpoints(self) -> list[Endpoint]:
        """The table."""
        return [
            Endpoint(
                "sendMessage", "POST", "/chats/{chat}/messages", "Send a notice", self.send, "Messages",
                "messages.write", MessageView, body=NewMessage, status=202,
                description="Into unencrypted chats, and into service chats by the bot that is in them. It is sent "
                "once, as soon as the homeserver takes it; the webhook `message.sent` says so.",
            ),
            Endpoint(
                "getMessage", "GET", "/chats/{chat}/messages/{message}", "Get a notice's state", self.get, "Messages",
                "messages.read", MessageView,
            ),
        ]  # fmt: skip

    async def send(self, call: Call[NewMessage, None]) -> MessageView:
        """Put down to be sent."""
        return await self._notices.put(call, await self._base.chat(call))

    async def get(self, call: Call[None, None]) -> MessageView:
        """What became of it so far."""
        chat = await self._base.chat(call)
        message_id = call.params["message"]
        found = await self._base.database.read(lambda connection: store.find(connection, chat.room_id, message_id))
        if found is None or found.product != call.product.name:
            raise NotFound("no_such_message", "There is no such message.")
        return _view(chat, found)


class CommentRoutes:
    """What is said about posts of channels."""

    def __init__(self, base: Base, notices: Notices) -> None:
        self._base = base
        self._channels = base.services.channels
        self._notices = notices

    def endpoints(self) -> list[Endpoint]:
        """The table."""
        path = "/chats/{chat}/posts/{event}/comments"
        return [
            Endpoint(
                "listComments", "GET", path, "List the comments on a post", self.page, "Messages", "messages.read",
                CommentPage, query=PageQuery,
                description="In the channel's discussion group and in the thread of the post. Which events they are "
                "and by whom; not what they say.",
            ),
            Endpoint(
                "sendComment", "POST", path, "Comment on a post", self.create, "Messages", "messages.write",
                MessageView, body=NewMessage, status=202,
                description="By a notice in the channel's discussion group, or in the thread of the post where there "
                "is no group; not where that is encrypted.",
            ),
        ]  # fmt: skip

    async def page(self, call: Call[None, PageQuery]) -> CommentPage:
        """A page of comments."""
        channel, event_id = await self._base.chat(call), call.params["event"]
        query = call.query
        found = await self._channels.comments(call.actor, channel, event_id, after=query.after, limit=query.limit)
        names = await self._base.people.names(call.product.name, {each.sender for each in found.items})
        rooms = {each.room_id for each in found.items}

        def read(connection: Connection) -> dict[str, str]:
            chats = [chat_store.by_room(connection, room_id) for room_id in rooms]
            return {chat.room_id: chat.id for chat in chats if chat is not None}

        ids = await self._base.database.read(read)
        items = [
            CommentView(
                event_id=each.event_id,
                chat=ids.get(each.room_id, channel.id),
                sender=each.sender,
                external_id=names.get(each.sender),
                at=max(each.at, 0),
            )
            for each in found.items
        ]
        return CommentPage(items=items, next=found.next)

    async def create(self, call: Call[NewMessage, None]) -> MessageView:
        """One of the product's."""
        channel, event_id = await self._base.chat(call), call.params["event"]
        post = await self._channels.thread(call.actor, channel, event_id)
        group = await self._channels.discussion(call.actor, channel)
        place, root = channel, post.event_id
        if group is not None:
            # It is the product's own too: it was linked as such, and may have another owner since.
            place = await self._base.chat_of(call, group.id)
            if not place.encrypted and (post.root_id is None or post.root_room != place.room_id):
                raise Conflict("post_not_announced", "The post is not announced in the discussion group.")
            root = post.root_id or root
        relation = {
            "rel_type": "m.thread",
            "event_id": root,
            "is_falling_back": True,
            "m.in_reply_to": {"event_id": root},
        }
        return await self._notices.put(call, place, **{"m.relates_to": relation})


class DeliveryRoutes:
    """Delivery states and changes."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._delivery = base.services.delivery
        self._waiting = 0

    def endpoints(self) -> list[Endpoint]:
        """The table."""
        return [
            Endpoint(
                "listChanges", "GET", "/chats/{chat}/changes", "What happened in a chat", self.changes, "Messages",
                "messages.read", ChangesView, query=ChangesQuery, problems=(409,),
                description="In the order of the chat's own numbers, which have no gaps. Without the content of "
                "messages.",
            ),
            Endpoint(
                "getStatus", "GET", "/chats/{chat}/events/{event}/status", "What became of a message", self.status,
                "Messages", "messages.read", StatusView,
            ),
            Endpoint(
                "acknowledge", "PUT", "/chats/{chat}/acknowledgements/{person}", "Say that a message has arrived",
                self.acknowledge, "Messages", "messages.write", body=Acknowledgement,
            ),
        ]  # fmt: skip

    async def changes(self, call: Call[None, ChangesQuery]) -> ChangesView:
        """A part of them."""
        chat, query = await self._base.chat(call), call.query
        # Each that waits holds one of the listener's places.
        wait = query.wait if self._waiting < MOST_WAITING else 0
        self._waiting += 1
        try:
            found = await self._delivery.changes(call.actor, chat, query.after, query.limit, wait)
        finally:
            self._waiting -= 1
        items = [
            ChangeView(
                seq=each.numbered.seq,
                event_id=each.numbered.entry.event_id,
                type=each.numbered.entry.type,
                sender=each.numbered.entry.sender,
                at=max(each.numbered.entry.at, 0),
                state_key=each.numbered.entry.state_key,
                relation=each.numbered.entry.relation,
                target=each.numbered.entry.target,
                redacted=each.redacted,
            )
            for each in found.items
        ]
        return ChangesView(items=items, head=found.head, next=found.next, more=found.more)

    async def status(self, call: Call[None, None]) -> StatusView:
        """Sent, delivered, read."""
        chat = await self._base.chat(call)
        event_id = call.params["event"]
        found = await self._delivery.status(call.actor, chat, event_id)
        return StatusView(
            event_id=event_id,
            state=found.state.word,
            seq=found.seq,
            at=found.at,
            recipients=found.recipients,
            delivered=found.delivered,
            read=found.read,
            redacted=found.redacted,
            reason=found.reason,
        )

    async def acknowledge(self, call: Call[Acknowledgement, None]) -> None:
        """It is there."""
        chat, user_id = await self._base.chat(call), await self._base.person(call)
        await self._delivery.acknowledge(user_id, chat, call.body.event_id)


class SearchRoutes:
    """Full text."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._search = base.services.search

    def endpoints(self) -> list[Endpoint]:
        """The table."""
        return [
            Endpoint(
                "search", "GET", "/search", "Search messages", self.search, "Search", "search.read", HitPage,
                query=SearchQuery, problems=(404, 422),
                description="In what the server may read: public channels, and service chats.",
            ),
        ]  # fmt: skip

    async def search(self, call: Call[None, SearchQuery]) -> HitPage:
        """A page of hits."""
        query = call.query
        chat = None if query.chat is None else await self._base.chat_of(call, query.chat)
        sender = None if query.sender is None else await self._base.person_of(call, query.sender)
        page = await self._search.search(
            call.actor,
            query.text,
            chat=chat,
            sender=sender,
            since=query.since,
            until=query.until,
            kind=None if query.kind is None else Kind(query.kind),
            after=query.after,
            limit=query.limit,
        )
        items = [
            HitView(
                chat=each.chat_id,
                event_id=each.event_id,
                sender=each.sender,
                at=max(each.at, 0),
                kind=each.kind.value,
                seq=each.seq,
                text=each.text,
                marks=list(each.marks),
            )
            for each in page.items
        ]
        return HitPage(items=items, next=page.next)


def _harmless(html: str) -> str:
    """HTML with nothing in it that clients must not show."""
    # Only where somebody sends HTML.
    import nh3

    cleaned: str = nh3.clean(
        html, tags=TAGS, attributes={"a": {"href"}, "ol": {"start"}}, url_schemes={"http", "https", "mailto", "matrix"}
    )
    return cleaned


def _view(chat: Chat, message: ProductMessage) -> MessageView:
    state = "failed" if message.error is not None else "pending" if message.event_id is None else "sent"
    return MessageView(
        id=message.id,
        chat=chat.id,
        state=state,
        event_id=message.event_id,
        error=message.error,
        created_at=message.created_at,
    )
