"""Who events are handed to: the messenger, and every bot of a room."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from appservice.events import Event
from appservice.unit import UnitOfWork

EXPIRED: Final = frozenset({"message timer", "retention"})
"""Reasons of redactions that the messenger makes as one of our users: bots hear of them all the same, to forget."""


class Consumer(Protocol):
    """Handles the events of rooms. Effects go through the unit; what a retry may repeat (a join) may happen at once."""

    @property
    def name(self) -> str:
        """Stable across restarts: marks "done" and transaction ids are made with it."""

    @property
    def user_id(self) -> str:
        """Whose messages the consumer sends, and whose device decrypts for it."""

    def wants(self, event: Event) -> bool:
        """Whether to be handed this event. Asked of an encrypted event before and after decryption; must be quick."""

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        """Answer one event. Raising means: try again later, from the start."""

    async def unreadable(self, event: Event, unit: UnitOfWork, reason: str) -> None:
        """The key of an encrypted event has not come for long, or it can never be read: say so, once."""

    async def gave_up(self, event: Event, unit: UnitOfWork) -> None:
        """The last attempt has failed: say so politely, once."""

    async def ephemeral(self, event: Mapping[str, Any]) -> None:
        """A receipt, a typing notice, a presence: not stored, may be lost."""


class Dispatch:
    """Which consumers an event has."""

    def __init__(self, service_users: Iterable[str]) -> None:
        self.service_users = frozenset(service_users)
        self._everywhere: list[Consumer] = []
        self._bots: dict[str, list[Consumer]] = {}

    def add_everywhere(self, consumer: Consumer) -> None:
        """A consumer that sees every event, before the bots do."""
        self._everywhere.append(consumer)

    def add_bot(self, consumer: Consumer) -> None:
        """A consumer that sees the events of the rooms its user is joined to; a user may have several."""
        self._bots.setdefault(consumer.user_id, []).append(consumer)

    def remove_bot(self, consumer: Consumer) -> None:
        """It sees nothing more."""
        self._bots[consumer.user_id].remove(consumer)

    def consumers(self, event: Event, joined: Iterable[str]) -> list[Consumer]:
        """In a fixed order. Bots do not hear themselves, nor each other: two of them would talk for ever."""
        if event.consumer is not None:
            return [consumer for consumer in self.all() if consumer.name == event.consumer]
        found = [consumer for consumer in self._everywhere if consumer.wants(event)]
        if event.sender not in self.service_users or _expires(event):
            bots = [bot for user_id in joined for bot in self._bots.get(user_id, ())]
        elif event.type == "m.room.member" and event.state_key in self._bots:
            bots = list(self._bots[event.state_key])  # its own arrival is the one thing it hears of itself
        else:
            bots = []
        if len(bots) > 1:
            bots.sort(key=lambda consumer: consumer.name)
        found.extend(bot for bot in bots if bot.wants(event))
        return found

    def all(self) -> list[Consumer]:
        """Every consumer."""
        return [*self._everywhere, *(bot for bots in self._bots.values() for bot in bots)]


def _expires(event: Event) -> bool:
    return event.type == "m.room.redaction" and event.content.get("reason") in EXPIRED
