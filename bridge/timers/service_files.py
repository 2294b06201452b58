"""Learns which files the encrypted messages of service chats refer to, from the bot that can read them.

It is a consumer of its own, for it may have to wait for a key: the time of a message does not wait for that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from appservice.clock import Clock
from appservice.events import Event
from appservice.unit import UnitOfWork
from bridge.domain.kinds import Kind
from bridge.domain.timers import TIMER, media_of
from bridge.feature import Feature
from bridge.reading import ENCRYPTED, Reading
from bridge.registry import Registry
from bridge.store import timers as store

NAME: Final = "bridge:timed-files"


class ServiceFiles(Feature):
    """The consumer. It keeps addresses of files, and nothing else of what was said."""

    name = NAME

    def __init__(
        self,
        registry: Registry,
        clock: Clock,
        timed: Callable[[str], bool],
        reading: Reading,
    ) -> None:
        """
        Args:
            timed: whether the messages of a room have a timer now.
        """
        super().__init__("")
        self._registry = registry
        self._clock = clock
        self._timed = timed
        self._reading = reading

    def wants(self, event: Event) -> bool:
        """Encrypted messages with a timer, of people with a bot."""
        if event.type != ENCRYPTED or not self._reading.possible or event.consumer is not None:
            return False
        chat = self._registry.get(event.room_id)
        if chat is None or chat.kind is not Kind.SERVICE:
            return False
        return self._timed(event.room_id) or TIMER in event.content

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        """Note the files.

        Raises:
            KeyMissing: not yet.
        """
        plain = await self._reading.plain(event)
        files = () if plain is None else media_of(plain[1])
        if not files:
            return
        now, event_id, room_id, sender = self._clock.now_ms(), event.event_id, event.room_id, event.sender
        unit.store(lambda connection: store.add_files_late(connection, event_id, room_id, sender, files, now))
