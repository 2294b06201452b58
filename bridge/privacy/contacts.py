"""Who becomes whose contact by what happens in chats."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.events import Event
from appservice.unit import UnitOfWork
from bridge.domain.kinds import Kind
from bridge.feature import Feature
from bridge.registry import Registry
from bridge.store import chats as chat_store
from bridge.store import privacy as store

MOST: Final = 4
"""Members that a direct chat is looked at for; it has two, and the steward."""


class ContactsFeature(Feature):
    """Two people who have both joined a direct chat are contacts: one invited, the other accepted."""

    name = "bridge:contacts"

    def __init__(self, steward: str, registry: Registry, clock: Clock, service_users: Collection[str]) -> None:
        super().__init__(steward)
        self._registry = registry
        self._clock = clock
        self._service_users = frozenset(service_users)

    def wants(self, event: Event) -> bool:
        """Arrivals of people in direct chats."""
        if event.type != "m.room.member" or event.membership != "join" or event.state_key in self._service_users:
            return False
        chat = self._registry.get(event.room_id)
        return chat is not None and chat.kind is Kind.DIRECT

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        """Note both."""
        room_id, arrived, now = event.room_id, event.state_key or "", self._clock.now_ms()

        def work(connection: Connection) -> None:
            for other in chat_store.members(connection, room_id, limit=MOST):
                if other.user_id == arrived or other.user_id in self._service_users:
                    continue
                for one, another in ((arrived, other.user_id), (other.user_id, arrived)):
                    if not store.relation_of(connection, one, another).blocked:
                        store.add_contact(connection, one, another, now)

        unit.store(work)
