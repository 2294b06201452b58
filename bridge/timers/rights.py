"""What message timers hold about a person: which messages of theirs go when, and their files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection

from bridge.store import timers as store


class Part:
    """Timers' part of an export and of an erasure."""

    name = "timers"

    def export(self, connection: Connection, person: str) -> Iterable[tuple[str, Any]]:
        """Files of the archive, and what is in them."""
        yield "timers/messages.json", store.of_sender(connection, person)
        yield "timers/files.json", store.files_of(connection, person)
        yield "timers/set.json", store.timers_set_by(connection, person)

    def erase(self, connection: Connection, person: str, pseudonym: str) -> None:
        """Forget the person; their messages go on time all the same."""
        store.erase(connection, person, pseudonym)
