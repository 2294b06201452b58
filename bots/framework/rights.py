"""What bots hold about a person: handed out, and erased (:mod:`bridge.rights`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection

from appservice import json
from appservice.sealing import SealBroken, Sealer
from bots.store import people_rights as store


class BotsPart:
    """Settings, conversations, notes and timers of all bots."""

    name = "bots"

    def __init__(self, pickle_key: str) -> None:
        self._dialogs = Sealer(pickle_key, "dialogs")
        self._state = Sealer(pickle_key, "state")

    def export(self, connection: Connection, person: str) -> Iterable[tuple[str, Any]]:
        """All of it, opened. Times in ms."""
        settings = store.settings_of(connection, person)
        yield "bots/settings.json", {} if settings is None else settings
        yield "bots/conversations.json", store.dialogs_of(connection, person)
        yield "bots/answers.json", list(self._answers(connection, person))
        yield "bots/notes.json", list(self._notes(connection, person))
        yield "bots/timers.json", store.schedules_of(connection, person)

    def erase(self, connection: Connection, person: str, pseudonym: str) -> None:
        """Nothing stays; a conversation that waits is over."""
        store.erase(connection, person, pseudonym)

    def _answers(self, connection: Connection, person: str) -> Iterator[dict[str, Any]]:
        for row in store.journal_of(connection, person):
            place = f"dialog:{row['dialog_id']}:{row['position']}"
            value = _opened(self._dialogs, bytes(row["value"]), place)
            yield {"conversation": row["dialog_id"], "kind": row["kind"], "at": row["at"], "value": value}

    def _notes(self, connection: Connection, person: str) -> Iterator[dict[str, Any]]:
        for row in store.notes_of(connection, person):
            value = bytes(row["value"])
            if row["sealed"]:  # the place is that of bots.framework.state
                found = _opened(self._state, value, f"{row['plugin']}\0{row['scope']}\0{row['key']}")
            else:
                found = json.loads(value) if value else None
            yield {"bot": row["plugin"], "scope": row["scope"], "key": row["key"], "value": found}


def _opened(sealer: Sealer, sealed: bytes, place: str) -> Any:
    if not sealed:
        return None
    try:
        return json.loads(sealer.open(sealed, place))
    except SealBroken:
        return "(does not open: was encryption.pickle_key changed?)"
