"""Slow mode: who writes too soon again has their message removed, and is told so once."""

from __future__ import annotations

from typing import Final

from appservice.database import Database
from appservice.events import Event
from appservice.unit import UnitOfWork
from bridge.domain.roles import MODERATOR
from bridge.feature import Feature
from bridge.notices import Notices
from bridge.registry import Registry
from bridge.steward import Steward
from bridge.store import chats as store

SPOKEN: Final = frozenset(
    {"m.room.message", "m.room.encrypted", "m.sticker", "m.poll.start", "org.matrix.msc3381.poll.start"}
)


class SlowMode(Feature):
    """Redacts what comes too soon after a member's last message, by the times that the homeserver gave both.

    A homeserver cannot be asked to refuse it, so others may have seen it for a moment.
    """

    name = "bridge:slow-mode"

    def __init__(
        self, steward: Steward, database: Database, registry: Registry, notices: Notices, service_users: frozenset[str]
    ) -> None:
        super().__init__(steward.user_id)
        self._steward = steward
        self._database = database
        self._registry = registry
        self._notices = notices
        self._service_users = service_users | {steward.user_id}

    def wants(self, event: Event) -> bool:
        """Messages in chats that are slow."""
        chat = self._registry.get(event.room_id)
        return (
            chat is not None
            and chat.slow_mode > 0
            and event.type in SPOKEN
            and event.state_key is None
            and event.sender not in self._service_users
        )

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        """Let it be, or remove it."""
        chat = self._registry.get(event.room_id)
        relation = event.content.get("m.relates_to")
        if chat is None or (isinstance(relation, dict) and relation.get("rel_type") == "m.replace"):
            return
        member = await self._database.read(lambda connection: store.member(connection, event.room_id, event.sender))
        if member is None or member.power >= MODERATOR:
            return
        last = member.spoke_at
        if last is None or abs(event.timestamp - last) >= chat.slow_mode * 1000:
            moment = event.timestamp
            unit.store(lambda it: store.change_member(it, event.room_id, event.sender, spoke_at=moment))
            return
        unit.redact(event.room_id, event.event_id, reason="slow mode", user_id=self._steward.of(chat).user_id)
        values = {"chat": chat.name or chat.id, "seconds": chat.slow_mode}
        for notice in self._notices.event(
            f"slow {event.room_id} {event.sender} {last}", event.sender, "chat.slow_mode", values
        ):
            unit.emit(notice)
