"""Up to where in the homeserver's stream each bot has certainly received everything."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, delete, func, select

from appservice.database import insert_ignore
from appservice.store.tables import checkpoints


def load(connection: Connection) -> dict[str, str]:
    """The sync token of each bot."""
    rows = connection.execute(select(checkpoints.c.user_id, checkpoints.c.token).where(checkpoints.c.shard == 0))
    return {row.user_id: row.token for row in rows}


def oldest(connection: Connection) -> int | None:
    """When the checkpoint that has not moved for longest was taken (ms): what came since then must stay known."""
    return connection.execute(select(func.min(checkpoints.c.taken_at))).scalar()


def save(connection: Connection, tokens: Mapping[str, str], gone: Collection[str], now: int) -> None:
    """Move the checkpoints of bots on, and forget those of bots that are gone. ``now``: ms since the epoch."""
    connection.execute(delete(checkpoints).where(checkpoints.c.user_id.in_(gone)))
    for user_id, token in tokens.items():
        row = {"shard": 0, "user_id": user_id, "token": token, "taken_at": now}
        connection.execute(insert_ignore(connection, checkpoints, "shard", "user_id"), row)
        connection.execute(
            checkpoints.update()
            .where(checkpoints.c.shard == 0, checkpoints.c.user_id == user_id)
            .values(token=token, taken_at=now)
        )
