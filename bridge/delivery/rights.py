"""What is kept of a person's part in timelines: handed out, and erased."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection

from bridge.store import delivery as store


class Part:
    """Delivery's part of a person's rights."""

    name = "delivery"

    def export(self, connection: Connection, person: str) -> Iterable[tuple[str, Any]]:
        """How far they have come in chats, and which numbered events are theirs. Times in ms."""
        marks = [
            {
                "chat": chat_id,
                "delivered": mark.delivered,
                "delivered_at": mark.delivered_at,
                "read": mark.read,
                "read_at": mark.read_at,
            }
            for chat_id, mark in store.marks_of(connection, person)
        ]
        yield "delivery/marks.json", marks
        after: tuple[str, int] = ("", 0)
        number = 0
        while found := store.entries_of(connection, person, after=after):
            number += 1
            rows = [
                {
                    "chat": chat_id,
                    "seq": each.seq,
                    "event_id": each.entry.event_id,
                    "room_id": each.entry.room_id,
                    "type": each.entry.type,
                    "at": each.entry.at,
                }
                for chat_id, each in found
            ]
            yield f"delivery/events-{number:04}.json", rows
            after = (found[-1][0], found[-1][1].seq)

    def erase(self, connection: Connection, person: str, pseudonym: str) -> None:
        """Nothing names them any more; the numbers stay, for others order by them."""
        store.erase(connection, person, pseudonym)
