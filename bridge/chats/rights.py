"""What chats hold about a person: in which they are, which they made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection

from bridge.store import chat_rights as store


class Part:
    """Chats' part of an export and of an erasure."""

    name = "chats"

    def export(self, connection: Connection, person: str) -> Iterable[tuple[str, Any]]:
        """Files of the archive, and what is in them."""
        yield "chats/memberships.json", store.memberships(connection, person)
        yield "chats/made.json", store.made(connection, person)
        yield "chats/rooms.json", store.purposes(connection, person)

    def erase(self, connection: Connection, person: str, pseudonym: str) -> None:
        """Forget the person; what they made stays, under a pseudonym."""
        store.erase(connection, person, pseudonym)
