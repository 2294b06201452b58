"""What rights themselves hold: what was asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection

from bridge.store import rights as store


class RequestsPart:
    """The part of rights."""

    name = "rights"

    def export(self, connection: Connection, person: str) -> Iterable[tuple[str, Any]]:
        """What they have asked for."""
        rows = [
            {
                "id": each.id,
                "kind": each.kind.value,
                "state": each.state.value,
                "asked_by": each.asked_by,
                "created_at": each.created_at,
                "finished_at": each.finished_at,
            }
            for each in store.all_of(connection, person)
        ]
        yield "rights/requests.json", rows

    def erase(self, connection: Connection, person: str, pseudonym: str) -> None:
        """Archives go; that somebody was erased stays, of a pseudonym."""
        store.drop_archives_of(connection, person)
        store.rename(connection, person, pseudonym)
