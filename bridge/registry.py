"""Which rooms are chats: in memory, for every event asks."""

from __future__ import annotations

from collections.abc import Iterator

from appservice.database import Database
from bridge.store import chats as store
from bridge.store.chats import Chat


class Registry:
    """The chats that are alive, by room. Changes go through the database first, then here (``after_commit``)."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rooms: dict[str, Chat] = {}

    async def start(self) -> None:
        """Load them."""
        self._rooms = {chat.room_id: chat for chat in await self._database.read(store.every)}

    def get(self, room_id: str) -> Chat | None:
        """The chat of a room; None for a room that is none, or no more."""
        return self._rooms.get(room_id)

    def put(self, chat: Chat) -> None:
        """It is new or has changed: the database has it already."""
        if chat.alive:
            self._rooms[chat.room_id] = chat
        else:
            self._rooms.pop(chat.room_id, None)

    def __contains__(self, room_id: str) -> bool:
        return room_id in self._rooms

    def __iter__(self) -> Iterator[Chat]:
        return iter(list(self._rooms.values()))

    def __len__(self) -> int:
        return len(self._rooms)
