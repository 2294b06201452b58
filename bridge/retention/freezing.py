"""While a chat is held nobody redacts in it: the room asks for a power that only the steward has.

A hold of Rialto alone would not hold: people's clients redact without asking it. What redacting needed before is noted
with the hold, and given back when it is released. In a room where the steward's power is too small for that the hold is
Rialto's alone, and is noted as such.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection

from appservice import json
from appservice.clock import Clock
from appservice.database import Database
from appservice.homeserver import HomeserverError
from bridge.background import Background
from bridge.chats.service import ChatService
from bridge.domain.roles import level_of
from bridge.steward import Steward
from bridge.store import chats as chat_store
from bridge.store import retention as store
from bridge.store.chats import Chat
from bridge.store.retention import Hold

log = logging.getLogger(__name__)

LEVELS: Final = "m.room.power_levels"
REDACTION: Final = "m.room.redaction"
CANNOT: Final[Mapping[str, Any]] = {"frozen": True}
"""Noted where the steward may not change it: nothing is to be given back."""


def frozen(levels: Mapping[str, Any], power: int) -> dict[str, Any]:
    """Power levels in which only who has ``power`` redacts, oneself included."""
    return with_redaction(levels, {"redact": power, "event": power})


def redaction(levels: Mapping[str, Any]) -> dict[str, Any]:
    """What redacting needs: ``redact`` for others' messages, ``event`` for sending a redaction at all; None: unsaid."""
    events = levels.get("events")
    return {"redact": levels.get("redact"), "event": events.get(REDACTION) if isinstance(events, Mapping) else None}


def with_redaction(levels: Mapping[str, Any], needs: Mapping[str, Any]) -> dict[str, Any]:
    """Power levels with which redacting needs that. Everything else stays as it is."""
    events = levels.get("events")
    kept = {key: value for key, value in (events.items() if isinstance(events, Mapping) else ()) if key != REDACTION}
    found = {key: value for key, value in levels.items() if key not in {"redact", "events"}}
    if needs.get("redact") is not None:
        found["redact"] = needs["redact"]
    if needs.get("event") is not None:
        kept[REDACTION] = needs["event"]
    return {**found, "events": kept}


class Freezing:
    """Brings rooms to what their holds say, at once and again until it is so."""

    def __init__(self, steward: Steward, database: Database, chats: ChatService, clock: Clock) -> None:
        self._steward = steward
        self._database = database
        self._chats = chats
        self._clock = clock
        self.background = Background("holds", clock, self.run_due, self._upcoming)

    async def run_due(self) -> int:
        """Do what is to be done; 0: what could not be done is tried again in a while."""
        for hold in await self._database.read(store.all_holds):
            if hold.released_at is not None or not _noted(hold).get("frozen"):
                await self.apply(hold.room_id)
        return 0

    async def _upcoming(self) -> int | None:
        return None

    async def apply(self, room_id: str) -> None:
        """Bring one room to what its hold says.

        Raises:
            HomeserverError: not now.
        """
        async with self._chats.lock(room_id):

            def read(connection: Connection) -> tuple[Hold | None, Chat | None]:
                return store.hold_of(connection, room_id), chat_store.by_room(connection, room_id)

            hold, chat = await self._database.read(read)
            if hold is None:
                return
            try:
                if chat is not None and chat.deleted_at is None:
                    await self._bring(chat, hold)
            except HomeserverError as error:
                if error.status != 403:
                    raise
                log.info("a held chat's redactions stay as they are: %s", error, extra={"room_id": room_id})
                await self._note(room_id, CANNOT)
            if hold.released_at is not None:
                await self._database.write(lambda connection: store.forget_hold(connection, room_id))

    async def _bring(self, chat: Chat, hold: Hold) -> None:
        hand, room_id = self._steward.of(chat), chat.room_id
        before, noted = await hand.power_levels(room_id), _noted(hold)
        if hold.released_at is not None:
            if "redact" in noted and redaction(before) != {key: noted.get(key) for key in ("redact", "event")}:
                await hand.set_state(room_id, LEVELS, with_redaction(before, noted))
        elif not noted.get("frozen"):
            if not noted:
                # Before the room is changed: after a crash between the two, what was before is still known.
                noted = redaction(before)
                await self._note(room_id, noted)
            after = frozen(before, level_of(hand.user_id, before))
            if after != before:
                await hand.set_state(room_id, LEVELS, after)
            await self._note(room_id, {**noted, "frozen": True})

    async def _note(self, room_id: str, levels: Mapping[str, Any]) -> None:
        written = json.dumps(dict(levels)).decode()
        await self._database.write(lambda connection: store.noted(connection, room_id, written))


def _noted(hold: Hold) -> dict[str, Any]:
    found = json.loads(hold.levels) if hold.levels else {}
    return found if isinstance(found, dict) else {}
