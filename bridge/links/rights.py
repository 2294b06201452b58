"""What links hold about a person: those they made, those they came by, where they ask to join."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection

from bridge.store import links as store


class Part:
    """Links' part of a person's rights."""

    name = "links"

    def export(self, connection: Connection, person: str) -> Iterable[tuple[str, Any]]:
        """Files of the archive, and what is in them. Codes are not among it: they let others in."""
        for name, rows in store.about(connection, person).items():
            yield f"links/{name}.json", rows

    def erase(self, connection: Connection, person: str, pseudonym: str) -> None:
        """Forget the person; the links they made let people in on."""
        store.erase(connection, person, pseudonym)
