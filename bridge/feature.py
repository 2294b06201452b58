"""What listens to the events of chats: one consumer for each feature, so that each retries by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appservice.events import Event
from appservice.unit import UnitOfWork


class Feature:
    """A consumer that sees every event and sends as the steward. It reads nothing that is encrypted."""

    name = ""
    """Stable across restarts: ``bridge:timers``."""

    def __init__(self, steward: str) -> None:
        """
        Args:
            steward: whose messages and redactions these are.
        """
        self.user_id = steward

    def wants(self, event: Event) -> bool:
        """Whether to be handed this event; must be quick."""
        return False

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        """Answer one event: through the unit, or by what may be repeated."""

    async def unreadable(self, event: Event, unit: UnitOfWork, reason: str) -> None:
        """It is not read here."""

    async def gave_up(self, event: Event, unit: UnitOfWork) -> None:
        """The event is a dead letter; nobody waits for a word."""

    async def ephemeral(self, event: Mapping[str, Any]) -> None:
        """A receipt, a typing notice: not stored, may be lost."""
