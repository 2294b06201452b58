"""What channels hold about a person: which posts they have commented on and reacted to, from where on they read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection

from bridge.store import channels as store


class Part:
    """Channels' part of a person's rights."""

    name = "channels"

    def export(self, connection: Connection, person: str) -> Iterable[tuple[str, Any]]:
        """Files of the archive, and what is in them. What was said is not kept here."""
        for name, rows in store.about(connection, person).items():
            yield f"channels/{name}.json", rows

    def erase(self, connection: Connection, person: str, pseudonym: str) -> None:
        """Forget the person."""
        store.erase(connection, person)
