"""Listens for flags: whoever reacts to a message with 🚩 has reported it, wherever they are and whatever their client.

The flag is taken away at once, so that nobody else in the chat learns who reported. The person is asked in their own
chat why, and what moderators may read (``report.ask``); a report stands without an answer too.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Final

from appservice.events import Event
from appservice.unit import UnitOfWork
from bridge.errors import NotFound, Refused
from bridge.feature import Feature
from bridge.moderation.desk import CONSUMER, TELL, Desk
from bridge.moderation.service import ModerationService
from bridge.notices import Notices
from bridge.registry import Registry
from bridge.steward import Steward

log = logging.getLogger(__name__)

FLAG: Final = "🚩"
_VARIATION: Final = "\ufe0f"


class ReportsFeature(Feature):
    """Takes reports by reaction, and tells moderators."""

    name = CONSUMER

    def __init__(
        self,
        steward: Steward,
        registry: Registry,
        service: ModerationService,
        desk: Desk,
        notices: Notices,
        service_users: Collection[str],
    ) -> None:
        super().__init__(steward.user_id)
        self._steward = steward
        self._registry = registry
        self._service = service
        self._desk = desk
        self._notices = notices
        self._service_users = frozenset(service_users)

    def wants(self, event: Event) -> bool:
        """Flags in chats."""
        return (
            event.type == "m.reaction"
            and event.room_id in self._registry
            and event.sender not in self._service_users
            and bool(_flagged(event))
        )

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        """Take a report, or tell of one."""
        if event.internal:
            if event.type == TELL:
                await self._desk.handle(dict(event.content), unit)
            return
        chat, target = self._registry.get(event.room_id), _flagged(event)
        if chat is None or not target:
            return
        hand = self._steward.of(chat)
        unit.redact(chat.room_id, event.event_id, user_id=hand.user_id)
        values = {"room": chat.room_id, "event": target, "chat": chat.name or chat.room_id}
        try:
            await self._service.report(event.sender, chat, target)
        except NotFound:
            return
        except Refused as refused:
            self._notices.tell(unit, event.sender, "report.refused", {**values, "reason": refused.code})
            return
        self._notices.tell(unit, event.sender, "report.ask", values)


def _flagged(event: Event) -> str:
    """The message that a reaction flags; '' for another reaction."""
    relation = event.content.get("m.relates_to")
    if not isinstance(relation, dict) or relation.get("rel_type") != "m.annotation":
        return ""
    key, target = relation.get("key"), relation.get("event_id")
    if not isinstance(key, str) or key.replace(_VARIATION, "") != FLAG or not isinstance(target, str):
        return ""
    return target
