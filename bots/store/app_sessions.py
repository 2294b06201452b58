"""SQL of mini app sessions."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, insert, select

from bots.store.app_tables import app_sessions


@dataclass(frozen=True, slots=True)
class SessionRow:
    """Who has a mini app open. Times are ms since the epoch."""

    digest: str
    bot: str
    person: str
    room_id: str
    framed: int
    created_at: int
    expires_at: int


def add(connection: Connection, row: SessionRow) -> None:
    """Begin a session."""
    connection.execute(insert(app_sessions), asdict(row))


def find(connection: Connection, digest: str, now: int) -> SessionRow | None:
    """A session that is not over."""
    query = select(app_sessions).where(app_sessions.c.digest == digest, app_sessions.c.expires_at > now)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else SessionRow(**row)


def end(connection: Connection, bot: str, person: str) -> int:
    """End all sessions of a person with a bot; how many."""
    where = (app_sessions.c.bot == bot, app_sessions.c.person == person)
    return connection.execute(delete(app_sessions).where(*where)).rowcount


def purge(connection: Connection, now: int) -> int:
    """Forget sessions that are over; how many."""
    return connection.execute(delete(app_sessions).where(app_sessions.c.expires_at <= now)).rowcount
