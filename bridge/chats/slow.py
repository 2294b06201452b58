"""Slow mode: who writes too soon again is refused by the homeserver where it has Rialto's module; else, and when two
messages come at once, the message is removed, and its author told so once."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any, Final

from appservice.clock import Clock
from appservice.database import Database
from appservice.events import Event
from appservice.unit import UnitOfWork
from bridge.domain.roles import MODERATOR
from bridge.feature import Feature
from bridge.notices import Notices
from bridge.privacy.policy import ALLOW, Decision
from bridge.registry import Registry
from bridge.steward import Steward
from bridge.store import chats as store

SPOKEN: Final = frozenset(
    {"m.room.message", "m.room.encrypted", "m.sticker", "m.poll.start", "org.matrix.msc3381.poll.start"}
)


class SlowMode(Feature):
    """Redacts what comes too soon after a member's last message, by the times that the homeserver gave both.

    Without the module the homeserver does not refuse it, so others may have seen it for a moment.
    """

    name = "bridge:slow-mode"

    def __init__(
        self,
        steward: Steward,
        database: Database,
        registry: Registry,
        notices: Notices,
        service_users: frozenset[str],
        clock: Clock,
    ) -> None:
        super().__init__(steward.user_id)
        self._steward = steward
        self._database = database
        self._registry = registry
        self._notices = notices
        self._service_users = service_users | {steward.user_id}
        self._clock = clock

    async def screen(self, asked: Mapping[str, Any]) -> Decision:
        """Whether the homeserver's module is to let a message through: ``sender``, ``room_id``."""
        room_id, sender = str(asked.get("room_id")), str(asked.get("sender"))
        chat = self._registry.get(room_id)
        if chat is None or not chat.slow_mode or sender in self._service_users:
            return ALLOW
        member = await self._database.read(lambda connection: store.member(connection, room_id, sender))
        if member is None or member.power >= MODERATOR or member.spoke_at is None:
            return ALLOW
        left = chat.slow_mode * 1000 - abs(self._clock.now_ms() - member.spoke_at)
        if left <= 0:
            return ALLOW
        return Decision(False, "slow_mode", f"This chat is slow: wait {ceil(left / 1000)} s before you write again.")

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
