"""Listens to policy lists and to arrivals."""

from __future__ import annotations

from typing import Final

from appservice.clock import Clock
from appservice.events import Event
from appservice.unit import UnitOfWork
from bridge.domain.policies import TYPES, Rule
from bridge.feature import Feature
from bridge.moderation.obeying import usable
from bridge.moderation.policies import PolicyService
from bridge.registry import Registry
from bridge.steward import Steward
from bridge.store import policies as store

MEMBER: Final = "m.room.member"
CONSUMER: Final = "bridge:policies"
PRESENT: Final = frozenset({"join", "invite", "knock"})


class PolicyFeature(Feature):
    """Keeps rules as their lists change, and bans who comes."""

    name = CONSUMER

    def __init__(self, steward: Steward, registry: Registry, service: PolicyService, clock: Clock) -> None:
        super().__init__(steward.user_id)
        self._registry = registry
        self._service = service
        self._clock = clock

    def wants(self, event: Event) -> bool:
        """Rules of lists, and arrivals in chats while there are rules."""
        if event.state_key is None:
            return False
        if event.type == MEMBER:
            return len(self._service.rules) > 0 and event.membership in PRESENT and event.room_id in self._registry
        return event.room_id in self._service.rooms and event.type in TYPES

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        """Take it in."""
        if event.type == MEMBER:
            chat, user_id = self._registry.get(event.room_id), event.state_key or ""
            rule = self._service.against(user_id)
            if chat is not None and rule is not None:
                await self._service.ban(chat, user_id, rule)
            return
        room_id, kind, key = event.room_id, event.type, event.state_key
        if not usable(key):
            return
        rule, now = Rule.parse(kind, event.content), self._clock.now_ms()
        if rule is None:
            unit.store(lambda connection: store.drop_rule(connection, room_id, kind, str(key)))
        else:
            found = rule
            unit.store(lambda connection: store.set_rule(connection, room_id, kind, str(key), found, now))
        await unit.checkpoint()
        await self._service.changed()
