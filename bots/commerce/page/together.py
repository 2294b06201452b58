"""A cart that several people fill together, as a page shows it. Who may do what with it is the bot's to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bots.commerce.hand import Hand, Reader

__all__ = ["Shared", "Together"]


@dataclass(frozen=True, slots=True)
class Shared:
    """What a room orders together.

    Attributes:
        owner: whose the cart is: ``group:ROOM``.
        merchant: of whom it is, by id.
    """

    owner: str
    merchant: str


class Together(Protocol):
    """Rooms that order together."""

    async def of_room(self, reader: Reader, room_id: str) -> Shared | None:
        """What a room orders together now; None: nothing."""

    async def changing(self, hand: Hand, room_id: str, person: str) -> None:
        """Somebody changes what they want: it counts only while that is possible. Raises DomainError."""
