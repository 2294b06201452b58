"""Learns which files the encrypted messages of service chats refer to, from the bot that can read them.

It is a consumer of its own, for it may have to wait for a key: the time of a message does not wait for that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from appservice.clock import Clock
from appservice.e2ee.errors import DecryptionFailed
from appservice.events import Event
from appservice.unit import UnitOfWork
from bridge.domain.kinds import Kind
from bridge.domain.timers import TIMER, media_of
from bridge.feature import Feature
from bridge.registry import Registry
from bridge.search.feature import Decrypt
from bridge.steward import Steward
from bridge.store import timers as store

NAME: Final = "bridge:timed-files"
ENCRYPTED: Final = "m.room.encrypted"


class ServiceFiles(Feature):
    """The consumer. It keeps addresses of files, and nothing else of what was said."""

    name = NAME

    def __init__(
        self,
        registry: Registry,
        steward: Steward,
        clock: Clock,
        timed: Callable[[str], bool],
        bots_in: Callable[[str], Iterable[str]],
        decrypt: Decrypt | None,
    ) -> None:
        """
        Args:
            timed: whether the messages of a room have a timer now.
            decrypt: reads as a bot; None: nobody can.
        """
        super().__init__("")
        self._registry = registry
        self._steward = steward
        self._clock = clock
        self._timed = timed
        self._bots_in = bots_in
        self._decrypt = decrypt

    def wants(self, event: Event) -> bool:
        """Encrypted messages with a timer, of people with a bot."""
        if event.type != ENCRYPTED or self._decrypt is None or event.consumer is not None:
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
        bot = next(iter(sorted(set(self._bots_in(event.room_id)) - {self._steward.user_id})), None)
        if bot is None or self._decrypt is None:
            return
        raw = {
            "type": event.type,
            "event_id": event.event_id,
            "room_id": event.room_id,
            "sender": event.sender,
            "content": event.content,
            "origin_server_ts": event.timestamp,
        }
        try:
            content = (await self._decrypt(bot, raw)).get("content")
        except DecryptionFailed:
            return
        files = media_of(content) if isinstance(content, dict) else ()
        if not files:
            return
        now, event_id, room_id, sender = self._clock.now_ms(), event.event_id, event.room_id, event.sender
        unit.store(lambda connection: store.add_files_late(connection, event_id, room_id, sender, files, now))
