"""What is kept of a person's privacy settings: handed out, and erased."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection

from bridge.store import privacy as store


class Part:
    """Privacy's part of a person's rights."""

    name = "privacy"

    def export(self, connection: Connection, person: str) -> Iterable[tuple[str, Any]]:
        """Settings, exceptions, contacts, blocks, requests. Whom others block is theirs, and stays with them."""
        for name, rows in store.about(connection, person).items():
            yield f"privacy/{name}.json", [{key: value for key, value in row.items() if key != "name"} for row in rows]

    def erase(self, connection: Connection, person: str, pseudonym: str) -> None:
        """Nothing stays, in nobody's lists."""
        store.erase(connection, person)
