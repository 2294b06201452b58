"""Which room serves which purpose."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select, update

from appservice.database import insert_ignore
from appservice.inbox import now_ms
from appservice.store.tables import rooms

MARK = "\x1f"


def written(key: str) -> str:
    """A purpose as a column holds it: its parts are parted by NUL, which PostgreSQL's text does not take."""
    return key.replace("\0", MARK)


def find(connection: Connection, key: str) -> str | None:
    """The room of a purpose."""
    query = select(rooms.c.room_id).where(rooms.c.key == written(key))
    return connection.execute(query).scalar_one_or_none()


def remember(connection: Connection, key: str, room_id: str, *, shard: int = 0) -> None:
    """Keep the room of a purpose, unless there is one."""
    connection.execute(
        insert_ignore(connection, rooms, "shard", "key"),
        {"shard": shard, "key": written(key), "room_id": room_id, "created_at": now_ms()},
    )


def forget(connection: Connection, key: str, room_id: str) -> None:
    """The room no longer serves the purpose."""
    connection.execute(delete(rooms).where(rooms.c.key == written(key), rooms.c.room_id == room_id))


def move(connection: Connection, room_id: str, successor: str) -> None:
    """Another room serves the purposes of one."""
    connection.execute(update(rooms).where(rooms.c.room_id == room_id).values(room_id=successor))
