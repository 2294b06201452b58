"""SQL of what people have said of themselves: language and time zone."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from appservice.store.upsert import upsert
from bots.store.tables import people


@dataclass(frozen=True, slots=True)
class PersonRow:
    """``language``: BCP 47. ``zone``: IANA. None: not said."""

    language: str | None = None
    zone: str | None = None


def read(connection: Connection, user_id: str) -> PersonRow:
    """What is known of a person."""
    row = connection.execute(select(people.c.language, people.c.zone).where(people.c.user_id == user_id)).one_or_none()
    return PersonRow() if row is None else PersonRow(row.language, row.zone)


def write_language(connection: Connection, user_id: str, language: str | None, now: int) -> None:
    """Set or forget a person's language. ``now``: ms since the epoch."""
    upsert(
        connection,
        people,
        {"user_id": user_id, "language": language, "zone": None, "changed_at": now},
        {"language": language, "changed_at": now},
    )


def write_zone(connection: Connection, user_id: str, zone: str | None, now: int) -> None:
    """Set or forget a person's time zone. ``now``: ms since the epoch."""
    upsert(
        connection,
        people,
        {"user_id": user_id, "language": None, "zone": zone, "changed_at": now},
        {"zone": zone, "changed_at": now},
    )
