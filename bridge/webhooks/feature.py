"""What happens in the chats of products, as their webhooks are told it; and the notices that products send.

Room events come here in order and once; what they cause is put down in the commit that marks them done. What is told
is who and when, never what was said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.events import Event
from appservice.unit import UnitOfWork
from bridge.domain.delivery import Mark
from bridge.feature import Feature
from bridge.registry import Registry
from bridge.store import product_messages as store
from bridge.store.chats import Chat
from bridge.webhooks.service import WebhookService

NAME: Final = "bridge:products"
NOTICE: Final = "rialto.product.notice"
"""The internal event of a notice: ``{"content": …, "user_id": …, "key": …}``."""
SPAN_MS: Final = 60_000
MESSAGES: Final = frozenset(
    {"m.room.message", "m.room.encrypted", "m.sticker", "m.poll.start", "org.matrix.msc3381.poll.start"}
)
CHANGES: Final = {"m.room.name": "name", "m.room.topic": "topic", "m.room.avatar": "avatar"}


class ProductFeature(Feature):
    """The consumer."""

    name = NAME

    def __init__(
        self, steward: str, bots: frozenset[str], registry: Registry, service: WebhookService, clock: Clock
    ) -> None:
        super().__init__(steward)
        self._ours = bots | {steward}
        self._registry = registry
        self._service = service
        self._clock = clock

    def wants(self, event: Event) -> bool:
        """What happens in a product's chat, when a webhook of the product asks for it."""
        chat = self._registry.get(event.room_id)
        if chat is None or not chat.workspace:
            return False
        if event.type == "m.room.member":
            return event.state_key is not None
        if event.state_key is None:
            return event.type in MESSAGES and self._service.wanted(chat.workspace, "messages.counted")
        return event.type in CHANGES and not event.state_key

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        """Put down what is to be told; send a notice."""
        if event.type == NOTICE and event.internal:
            content = event.content
            unit.send(event.room_id, content["content"], user_id=content["user_id"], key=content["key"])
            return
        chat = self._registry.get(event.room_id)
        if chat is None:
            return
        if event.type == "m.room.member":
            self._member(event, unit, chat)
        elif event.type in CHANGES:
            if event.sender == self.user_id and event.timestamp <= chat.created_at:
                return  # what the room was made with
            self._emit(unit, chat, "chat.changed", event, {"changed": CHANGES[event.type], "by": event.sender})
        else:
            span = self._clock.now_ms() // SPAN_MS * SPAN_MS
            unit.store(lambda connection: store.count(connection, event.room_id, span))

    def _member(self, event: Event, unit: UnitOfWork, chat: Chat) -> None:
        now, before = event.membership, event.previous_membership
        if now == before or event.state_key in self._ours:
            return  # a new name or picture; one of ours
        kinds = {
            "join": "member.joined",
            "invite": "member.invited",
            "knock": "member.asked",
            "ban": "member.banned",
            "leave": "member.left",
        }
        kind = kinds.get(now or "")
        if kind is None:
            return
        data = {"user_id": event.state_key, "by": event.sender, "was": before or "leave"}
        self._emit(unit, chat, kind, event, data)

    def _emit(self, unit: UnitOfWork, chat: Chat, kind: str, event: Event, data: Mapping[str, Any]) -> None:
        if not self._service.wanted(chat.workspace, kind):
            return

        def put(connection: Connection) -> None:
            self._service.emit(connection, chat.workspace, kind, event.event_id, data, chat.id)

        unit.store(put)
        unit.after_commit(self._service.hurry)

    def made(self, connection: Connection, chat: Chat) -> None:
        """There is a new chat: within the commit that makes it. Call the service's ``hurry`` after it."""
        if chat.workspace:
            data = {"kind": chat.kind.value, "external_id": chat.external_id}
            self._service.emit(connection, chat.workspace, "chat.created", f"created\0{chat.id}", data, chat.id)

    def deleted(self, connection: Connection, chat: Chat) -> None:
        """A chat is gone: within the commit that deletes it."""
        if chat.workspace:
            self._service.emit(connection, chat.workspace, "chat.deleted", f"deleted\0{chat.id}", {}, chat.id)

    def marked(self, connection: Connection, chat: Chat, before: Mark, after: Mark) -> None:
        """Somebody has received or read more of a chat than before: within the commit that takes it in."""
        if not chat.workspace:
            return
        steps = [("message.delivered", before.delivered, after.delivered), ("message.read", before.read, after.read)]
        for kind, old, new in steps:
            if new > old and self._service.wanted(chat.workspace, kind):
                data = {"user_id": after.user_id, "seq": new}
                cause = f"{kind}\0{chat.id}\0{after.user_id}\0{new}"
                self._service.emit(connection, chat.workspace, kind, cause, data, chat.id)


def settle(connection: Connection, service: WebhookService, registry: Registry) -> int:
    """Put down what became of notices since the last time; how many."""
    settled = store.settle(connection)
    for message in settled:
        chat = registry.get(message.room_id)
        kind = "message.sent" if message.event_id is not None else "message.failed"
        data = {"id": message.id, "event_id": message.event_id, "error": message.error}
        service.emit(connection, message.product, kind, f"settled\0{message.id}", data, "" if chat is None else chat.id)
    return len(settled)


def tell_counts(connection: Connection, service: WebhookService, registry: Registry, now: int) -> int:
    """Put down how many messages there were in the minutes that are over; of how many."""
    counted = store.counted(connection, now // SPAN_MS * SPAN_MS)
    for room_id, span, count in counted:
        chat = registry.get(room_id)
        if chat is not None:
            data = {"count": count, "since": span, "until": span + SPAN_MS}
            service.emit(connection, chat.workspace, "messages.counted", f"count\0{room_id}\0{span}", data, chat.id)
    return len(counted)
