"""Encrypted messages read by a bot of the chat, where the messenger has leave to: the steward itself reads nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

from appservice.e2ee.errors import DecryptionFailed
from appservice.events import Event

ENCRYPTED: Final = "m.room.encrypted"

Decrypt = Callable[[str, Mapping[str, Any]], Awaitable[dict[str, Any]]]
"""Reads an encrypted event as a bot: ``{"type", "content"}``; raises KeyMissing, DecryptionFailed."""


class Reading:
    """Reads as whichever bot is in a room."""

    def __init__(self, bots_in: Callable[[str], Iterable[str]], steward: str, decrypt: Decrypt | None) -> None:
        """
        Args:
            bots_in: the bots and the steward that are in a room.
            decrypt: None: nobody can read.
        """
        self._bots_in = bots_in
        self._steward = steward
        self._decrypt = decrypt

    @property
    def possible(self) -> bool:
        """Whether anything can be read."""
        return self._decrypt is not None

    async def plain(self, event: Event) -> tuple[str, Mapping[str, Any]] | None:
        """Type and content of an encrypted event; None when no bot is there, or it can never be read.

        Raises:
            KeyMissing: not yet.
        """
        bot = next(iter(sorted(set(self._bots_in(event.room_id)) - {self._steward})), None)
        if bot is None or self._decrypt is None:
            return None
        raw = {
            "type": event.type,
            "event_id": event.event_id,
            "room_id": event.room_id,
            "sender": event.sender,
            "content": event.content,
            "origin_server_ts": event.timestamp,
        }
        try:
            plain = await self._decrypt(bot, raw)
        except DecryptionFailed:
            return None
        event_type, content = plain.get("type"), plain.get("content")
        return (event_type, content) if isinstance(event_type, str) and isinstance(content, dict) else None
