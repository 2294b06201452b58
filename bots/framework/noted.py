"""What is noted of people and was read or written a moment ago: it need not be looked up again."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

NOTED: Final = 10_000
NOTED_MS: Final = 300_000
"""What another process changes is seen after so long."""


class Noted:
    """The room in which a person has talked with a plugin alone last, of the last so many people; one for a service."""

    def __init__(self) -> None:
        self._rooms: OrderedDict[tuple[str, str], tuple[str, int]] = OrderedDict()

    def at(self, instance: str, person: str, room_id: str, now: int) -> bool:
        """Whether it is known to be this one. ``now``: ms."""
        known, until = self._rooms.get((instance, person), ("", 0))
        return known == room_id and until > now

    def put(self, instance: str, person: str, room_id: str, now: int) -> None:
        """It was read or written that it is this one."""
        self._rooms[instance, person] = room_id, now + NOTED_MS
        self._rooms.move_to_end((instance, person))
        if len(self._rooms) > NOTED:
            self._rooms.popitem(last=False)

    def forget(self, instance: str, person: str) -> None:
        """It may be another one by now."""
        self._rooms.pop((instance, person), None)
