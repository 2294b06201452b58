"""What search keeps of a person: handed out, and erased."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection

from bridge.domain.search import time_of
from bridge.search.index import Index
from bridge.store import search as store


class Part:
    """Search's part of a person's rights."""

    name = "search"

    def __init__(self, index: Index) -> None:
        """
        Args:
            index: opens what is sealed.
        """
        self._index = index

    def export(self, connection: Connection, person: str) -> Iterable[tuple[str, Any]]:
        """What they said and search can find, and where they gave leave to search. Times in ms."""
        leave = [
            {"chat": chat_id, "given_at": given_at} for chat_id, given_at in store.leave_given_by(connection, person)
        ]
        yield "search/leave.json", leave
        after = number = 0
        while found := store.of_sender(connection, person, after=after):
            number += 1
            rows = [
                {
                    "chat": each.chat_id,
                    "room_id": each.room_id,
                    "event_id": each.event_id,
                    "kind": each.kind,
                    "at": time_of(each.id),
                    "text": self._index.text(each),
                }
                for each in found
            ]
            yield f"search/messages-{number:04}.json", rows
            after = found[-1].id

    def erase(self, connection: Connection, person: str, pseudonym: str) -> None:
        """Nothing that they said is found any more, and their chats with services are not searched."""
        while store.remove_sender(connection, person):
            pass
        for chat_id, _ in store.leave_given_by(connection, person):
            store.take_leave(connection, chat_id)
            while store.remove_chat(connection, chat_id, 1_000):
                pass
