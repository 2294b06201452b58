"""What the engine and the log of decisions hold about a person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from sqlalchemy import Connection

from appservice import json
from bridge import audit as audits
from bridge.audit import Audit
from bridge.store import rights as store

BATCH: Final = 200


class EnginePart:
    """Events that still have their content (they wait, or were given up), and names in what is kept to know events."""

    name = "engine"

    def export(self, connection: Connection, person: str) -> Iterable[tuple[str, Any]]:
        """Events of theirs that are not done. Times in ms."""
        yield (
            "engine/unfinished-events.json",
            [
                {"event_id": row["event_id"], "room": row["room_id"], "received_at": row["received_at"]}
                for row in self._of(connection, person)
            ],
        )

    def erase(self, connection: Connection, person: str, pseudonym: str) -> None:
        """Events of theirs are not worked any more; what is kept of those that were does not name them."""
        places = [(row["shard"], row["seq"]) for row in self._of(connection, person)]
        store.drop_events(connection, places)
        store.rename_events(connection, person, pseudonym)
        store.strip_levels(connection, person)

    @staticmethod
    def _of(connection: Connection, person: str) -> Iterator[Any]:
        """Events that somebody sent, or that are about their membership."""
        after = (-1, 0)
        while found := store.unfinished(connection, after, BATCH):
            for row in found:
                payload = bytes(row["payload"])
                if person.encode() in payload and _about(payload, person):
                    yield row
            after = (found[-1]["shard"], found[-1]["seq"])


class AuditPart:
    """The log of decisions. It is erased last, by the service, in the same commit."""

    name = "audit"

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    def export(self, connection: Connection, person: str) -> Iterable[tuple[str, Any]]:
        """Every entry that they made, are the subject of, or are named in."""
        yield "audit/entries.json", [audits.fields(each) for each in self._audit.about(connection, person)]

    def erase(self, connection: Connection, person: str, pseudonym: str) -> None:
        """Not here: an entry that comes after it would name them again."""


def _about(payload: bytes, person: str) -> bool:
    try:
        raw = json.loads(payload)
    except json.JSONError:
        return True  # broken, and their name is in it
    return isinstance(raw, dict) and person in {raw.get("sender"), raw.get("state_key")}
