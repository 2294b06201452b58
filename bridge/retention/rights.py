"""What retention holds about a person: the rules that they have set, the holds that they have as an operator."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection

from bridge.store import retention as store


class Part:
    """Retention's part of an export and of an erasure. A hold's reason stays: it is not the person's to change."""

    name = "retention"

    def export(self, connection: Connection, person: str) -> Iterable[tuple[str, Any]]:
        """Files of the archive, and what is in them."""
        yield "retention/rules.json", store.set_by(connection, person)
        yield "retention/holds.json", store.held_by(connection, person)

    def erase(self, connection: Connection, person: str, pseudonym: str) -> None:
        """Forget the person; the rules stay, under a pseudonym."""
        store.erase(connection, person, pseudonym)
