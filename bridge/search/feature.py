"""Brings messages into the index as they come, and takes them out at once when they are edited or redacted.

Timers, retention and moderators redact; so a redaction is all that has to be heard of. It may come in a room that was
replaced, where nothing new is found any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.database import Database
from appservice.events import Event
from appservice.unit import UnitOfWork
from bridge.domain.search import MESSAGE_TYPES, Said, said, time_of
from bridge.feature import Feature
from bridge.reading import ENCRYPTED, Reading
from bridge.registry import Registry
from bridge.search.index import Index
from bridge.search.service import SearchService
from bridge.steward import Steward
from bridge.store import search as store
from bridge.store.chats import Chat
from bridge.store.search import Document

NAME: Final = "bridge:search"
REDACTION: Final = "m.room.redaction"


class SearchFeature(Feature):
    """The consumer. It has no user: what is encrypted it reads as the bot of the chat, and only with leave."""

    name = NAME

    def __init__(
        self,
        registry: Registry,
        steward: Steward,
        database: Database,
        clock: Clock,
        service: SearchService,
        index: Index,
        reading: Reading,
    ) -> None:
        super().__init__("")
        self._registry = registry
        self._steward = steward
        self._database = database
        self._clock = clock
        self._service = service
        self._index = index
        self._reading = reading

    def wants(self, event: Event) -> bool:
        """Messages of chats that are searched, and redactions wherever something may have been found."""
        if event.consumer is not None or event.state_key is not None:
            return False
        if event.type == REDACTION:
            return event.room_id in self._service.rooms or event.room_id in self._registry
        if event.type not in MESSAGE_TYPES:
            return False
        chat = self._registry.get(event.room_id)
        return chat is not None and self._service.searched(chat)

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        """Keep a message, change it, or forget it."""
        if event.type == REDACTION:
            await self._redacted(event, unit)
            return
        chat = self._registry.get(event.room_id)
        if chat is None:
            return
        plain = await self._plain(chat, event)
        if plain is None:
            return
        event_type, content = plain
        message = said(event_type, content)
        if message is None:
            return
        if message.replaces:
            await self._edited(chat, event, message, content, unit)
            return
        found = self._index.document(
            chat,
            event_id=event.event_id,
            room_id=event.room_id,
            sender=event.sender,
            at=max(0, min(event.timestamp, self._clock.now_ms())),
            event_type=event_type,
            content=content,
        )
        if found is not None:

            def put(connection: Connection) -> None:
                if self._service.searched(chat):
                    self._index.add(connection, [found])

            unit.store(put)
            unit.after_commit(lambda: self._service.rooms.add(event.room_id))

    async def _plain(self, chat: Chat, event: Event) -> tuple[str, Mapping[str, Any]] | None:
        """Type and content of a message; None when it cannot be read.

        Raises:
            KeyMissing: not yet.
        """
        if event.type != ENCRYPTED:
            return event.type, event.content
        return await self._reading.plain(event) if chat.encrypted else None

    async def _edited(
        self, chat: Chat, event: Event, message: Said, content: Mapping[str, Any], unit: UnitOfWork
    ) -> None:
        target = message.replaces
        document = await self._database.read(lambda connection: store.find(connection, target))
        # Only who sent a message can edit it (specification, "Validity of replacement events").
        if document is None or document.sender != event.sender or document.chat_id != chat.id:
            return
        body, sealed, terms = self._index.kept(chat, target, event.sender, time_of(document.id), message, content)
        by = event.event_id
        unit.store(lambda connection: store.change(connection, target, by, body, sealed, terms))

    async def _redacted(self, event: Event, unit: UnitOfWork) -> None:
        target = event.redacts
        if target is None:
            return
        self._index.gone(target)

        def read(connection: Connection) -> tuple[Document | None, Document | None]:
            return store.find(connection, target), store.edited_by(connection, target)

        own, edited = await self._database.read(read)
        if own is not None and own.room_id == event.room_id:
            unit.store(lambda connection: store.remove(connection, [target]))
        if edited is not None and edited.room_id == event.room_id:
            await self._unedited(edited, unit)

    async def _unedited(self, document: Document, unit: UnitOfWork) -> None:
        """An edit was redacted: the message says again what it said before, as far as that can be known.

        Raises:
            HomeserverError: it cannot be asked now.
        """
        chat = self._registry.get(document.room_id)
        raw = None
        if chat is not None and not chat.encrypted:
            raw = await self._steward.of(chat).event(document.room_id, document.event_id)
        event_type, content = (str(raw.get("type")), as_it_stands(raw)) if raw is not None else ("", {})
        message = said(event_type, content)
        if chat is None or message is None:
            unit.store(lambda connection: store.remove(connection, [document.event_id]))
            return
        body, sealed, terms = self._index.kept(
            chat, document.event_id, document.sender, time_of(document.id), message, content
        )
        unit.store(lambda connection: store.change(connection, document.event_id, None, body, sealed, terms))


def as_it_stands(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The content of a message with its last edit, which the homeserver sends along (specification, "Server-side
    aggregation of m.replace").
    """
    content: Mapping[str, Any] = raw["content"] if isinstance(raw.get("content"), Mapping) else {}
    found: Any = raw
    for name in ("unsigned", "m.relations", "m.replace", "content", "m.new_content"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) and content else content
