"""The orders of groups as pages show them."""

from __future__ import annotations

from bots.commerce.hand import Hand, Reader
from bots.commerce.page.together import Shared
from bots.domain.group_orders import WORDS, GroupError, GroupState
from bots.food.groups.service import Groups, owner_of

__all__ = ["GroupTable"]


class GroupTable:
    """A :class:`bots.commerce.page.together.Together`; one for a plugin."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    async def of_room(self, reader: Reader, room_id: str) -> Shared | None:
        """The order that a room has now, until it is paid for."""
        stored = await self._groups.book.of_room(reader, room_id)
        return None if stored is None else Shared(owner_of(room_id), stored.group.merchant)

    async def changing(self, hand: Hand, room_id: str, person: str) -> None:
        """Somebody changes what they want, in the commit at hand. Raises GroupError: it is closed, or over."""
        stored = await self._groups.book.of_room(hand, room_id)
        if stored is None:
            raise GroupError("group.refused", state=WORDS[GroupState.CANCELLED])
        await self._groups.adding(hand, stored, person)
