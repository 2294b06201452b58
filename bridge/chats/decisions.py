"""What is decided about chats: kept, noted in the audit log, told to those whom it is about."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from weakref import WeakValueDictionary

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.database import Database
from appservice.events import InternalEvent
from bridge.actor import Actor
from bridge.audit import Audit
from bridge.notices import Notices
from bridge.registry import Registry
from bridge.store import chats as store
from bridge.store.chats import Chat

RaiseEvents = Callable[[Callable[[Connection], Iterable[InternalEvent]]], Awaitable[None]]
Tell = tuple[str, str, Mapping[str, Any]]
"""A person, the code of what they are told, its values beside ``chat``."""


class Decisions:
    """What the services of chats have in common."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        audit: Audit,
        clock: Clock,
        notices: Notices,
        raise_events: RaiseEvents,
    ) -> None:
        self._database = database
        self._registry = registry
        self._audit = audit
        self._clock = clock
        self._notices = notices
        self._raise_events = raise_events
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def lock(self, name: str) -> asyncio.Lock:
        """One at a time changes what is read first: the homeserver compares nothing."""
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock

    async def changed(
        self, actor: Actor, action: str, chat: Chat, details: Mapping[str, Any] | None = None, **values: Any
    ) -> Chat:
        """Keep what has changed, with a word in the audit log; the chat as it is now."""

        def work(connection: Connection) -> None:
            store.change(connection, chat.room_id, **values)
            self.note(connection, actor, action, chat, details or {})

        await self._database.write(work)
        new = replace(self._registry.get(chat.room_id) or chat, **values)
        self._registry.put(new)
        return new

    async def audited(self, actor: Actor, action: str, chat: Chat, details: Mapping[str, Any], *tell: Tell) -> None:
        """A word in the audit log about what the homeserver has done, and one to whom it was done."""
        await self.decided(actor, action, chat, details, lambda _connection: list(tell))

    async def decided(
        self,
        actor: Actor,
        action: str,
        chat: Chat,
        details: Mapping[str, Any],
        work: Callable[[Connection], Sequence[Tell]],
    ) -> None:
        """Do ``work`` with a word in the audit log, and tell people what it says, all in one commit.

        Nobody is told what they have done themselves, nor what happens in a product's chat: that is the product's to
        tell.
        """

        def run(connection: Connection) -> list[InternalEvent]:
            tell = work(connection)
            number = self.note(connection, actor, action, chat, details)
            if chat.workspace:
                return []
            return [
                event
                for person, code, values in tell
                if person != actor.user_id
                for event in self._notices.event(
                    f"{action} {number} {person}", person, code, {"chat": title(chat), **values}
                )
            ]

        await self._raise_events(run)

    def note(self, connection: Connection, actor: Actor, action: str, chat: Chat, details: Mapping[str, Any]) -> int:
        """An entry about a chat, as the transaction's last write; its number."""
        return self._audit.append(
            connection,
            at=self._clock.now_ms(),
            actor=actor.name,
            action=action,
            subject=f"chat:{chat.id}",
            outcome="done",
            details=details,
        )


def title(chat: Chat) -> str:
    """What people know a chat by."""
    return chat.name or chat.alias or chat.id
