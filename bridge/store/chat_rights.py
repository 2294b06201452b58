"""What the tables of chats hold about a person. Plain functions on a connection."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, or_, select, update

from appservice.store.tables import rooms
from bridge.store.chat_tables import chat_jobs, chat_members, chats
from bridge.store.rooms import MARK


def memberships(connection: Connection, person: str) -> list[dict[str, Any]]:
    """The chats they are in, with all that is noted of them there."""
    query = (
        select(chat_members, chats.c.id.label("chat"), chats.c.name)
        .join(chats, chats.c.room_id == chat_members.c.room_id)
        .where(chat_members.c.user_id == person)
        .order_by(chat_members.c.since)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def made(connection: Connection, person: str) -> list[dict[str, Any]]:
    """The chats they made."""
    columns = (chats.c.id, chats.c.room_id, chats.c.kind, chats.c.name, chats.c.created_at, chats.c.deleted_at)
    query = select(*columns).where(chats.c.created_by == person).order_by(chats.c.created_at)
    return [dict(row) for row in connection.execute(query).mappings()]


def purposes(connection: Connection, person: str) -> list[dict[str, Any]]:
    """The rooms that were made for them."""
    query = select(rooms.c.key, rooms.c.room_id, rooms.c.created_at).where(_named(person)).order_by(rooms.c.created_at)
    return [{**row, "key": row["key"].split(MARK)} for row in connection.execute(query).mappings()]


def erase(connection: Connection, person: str, pseudonym: str) -> None:
    """Forget a person; the chats that they made are their pseudonym's."""
    connection.execute(delete(chat_members).where(chat_members.c.user_id == person))
    connection.execute(delete(chat_jobs).where(chat_jobs.c.user_id == person))
    connection.execute(delete(rooms).where(_named(person)))
    connection.execute(update(chats).where(chats.c.created_by == person).values(created_by=pseudonym))


def _named(person: str) -> ColumnElement[bool]:
    """Rooms whose purpose has the person as one of its parts."""
    key = rooms.c.key
    inside = key.contains(f"{MARK}{person}{MARK}", autoescape=True)
    return or_(inside, key.endswith(f"{MARK}{person}", autoescape=True))
