"""Retention and legal holds in the database. Plain functions on a connection; times are milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from appservice.database import insert_ignore
from appservice.store.upsert import upsert
from bridge.domain.retention import shortest
from bridge.store.chat_tables import chats
from bridge.store.timer_tables import legal_holds, retention_policies, retention_sweeps

CHAT = "chat:"
WORKSPACE = "workspace:"


@dataclass(frozen=True, slots=True)
class Hold:
    """A legal hold of a chat: nothing of it is removed. Times in ms; ``levels``: :mod:`bridge.retention.freezing`."""

    room_id: str
    workspace: str
    reason: str
    actor: str
    since: int
    levels: str | None = None
    released_at: int | None = None


@dataclass(frozen=True, slots=True)
class Sweep:
    """A room that is gone through for old messages. ``cursor``: where in its timeline to go on; '' at its beginning."""

    room_id: str
    cursor: str
    due_at: int


# Policies


def set_days(connection: Connection, scope: str, days: int | None, by: str, at: int) -> None:
    """The rule of a chat (``chat:ROOM``) or a workspace (``workspace:NAME``); None: no rule of its own."""
    if days is None:
        connection.execute(delete(retention_policies).where(retention_policies.c.scope == scope))
    else:
        upsert(connection, retention_policies, {"scope": scope, "days": days, "set_by": by, "set_at": at})


def days(connection: Connection, scope: str) -> int | None:
    """The rule of a chat or a workspace."""
    query = select(retention_policies.c.days).where(retention_policies.c.scope == scope)
    return connection.execute(query).scalar_one_or_none()


def days_of_room(connection: Connection, room_id: str) -> int | None:
    """The shortest of the rules for a room; None: there is none, or no such room any more."""
    query = select(chats.c.workspace).where(chats.c.room_id == room_id, chats.c.deleted_at.is_(None))
    workspace = connection.execute(query).scalar_one_or_none()
    if workspace is None:
        return None
    return shortest(days(connection, CHAT + room_id), days(connection, WORKSPACE + workspace))


def take_along(connection: Connection, old: str, new: str) -> None:
    """A new room takes the place of one: its rule and its hold are for both."""
    for table, names in ((retention_policies, "scope"), (legal_holds, "room_id")):
        before, after = (CHAT + old, CHAT + new) if names == "scope" else (old, new)
        row = connection.execute(select(table).where(table.c[names] == before)).mappings().first()
        if row is not None:
            upsert(connection, table, {**row, names: after})


def forget_room(connection: Connection, room_id: str) -> None:
    """The chat is deleted for everybody."""
    connection.execute(delete(retention_policies).where(retention_policies.c.scope == CHAT + room_id))
    connection.execute(delete(retention_sweeps).where(retention_sweeps.c.room_id == room_id))


# Going through rooms


def begin_sweeps(connection: Connection, now: int, everywhere: bool) -> None:
    """Have every room gone through that a rule is for, and was not yet known.

    Args:
        everywhere: there is a rule for all of them.
    """
    scopes = select(retention_policies.c.scope)
    query = select(chats.c.room_id).where(
        chats.c.deleted_at.is_(None), chats.c.room_id.not_in(select(retention_sweeps.c.room_id))
    )
    if not everywhere:
        query = query.where((WORKSPACE + chats.c.workspace).in_(scopes) | (CHAT + chats.c.room_id).in_(scopes))
    rows = [{"room_id": room_id, "cursor": "", "due_at": now} for room_id in connection.execute(query).scalars()]
    if rows:
        connection.execute(insert_ignore(connection, retention_sweeps, "room_id"), rows)


def sweep_now(connection: Connection, now: int, *, room_id: str | None = None, workspace: str | None = None) -> None:
    """A rule has changed: go through its rooms again soon."""
    statement = update(retention_sweeps).values(due_at=now)
    if room_id is not None:
        statement = statement.where(retention_sweeps.c.room_id == room_id)
    if workspace is not None:
        rooms = select(chats.c.room_id).where(chats.c.workspace == workspace)
        statement = statement.where(retention_sweeps.c.room_id.in_(rooms))
    connection.execute(statement)


def sweeps_due(connection: Connection, now: int, limit: int) -> list[Sweep]:
    """Rooms that it is time to go through, those that are held left out."""
    query = (
        select(retention_sweeps)
        .where(retention_sweeps.c.due_at <= now, retention_sweeps.c.room_id.not_in(_held()))
        .order_by(retention_sweeps.c.due_at, retention_sweeps.c.room_id)
        .limit(limit)
    )
    return [Sweep(row.room_id, row.cursor, row.due_at) for row in connection.execute(query)]


def next_sweep(connection: Connection) -> int | None:
    """When it is time for the next room."""
    query = select(func.min(retention_sweeps.c.due_at)).where(retention_sweeps.c.room_id.not_in(_held()))
    return connection.execute(query).scalar_one_or_none()


def swept(connection: Connection, room_id: str, cursor: str, due_at: int) -> None:
    """A part of a room was gone through."""
    where = retention_sweeps.c.room_id == room_id
    connection.execute(update(retention_sweeps).where(where).values(cursor=cursor, due_at=due_at))


def end_sweep(connection: Connection, room_id: str) -> None:
    """No rule is for it any more."""
    connection.execute(delete(retention_sweeps).where(retention_sweeps.c.room_id == room_id))


# Holds


def is_held(connection: Connection, room_id: str) -> bool:
    """Whether nothing of a room may be removed."""
    query = select(legal_holds.c.room_id).where(legal_holds.c.room_id == room_id, legal_holds.c.released_at.is_(None))
    return connection.execute(query).first() is not None


def hold(connection: Connection, found: Hold) -> None:
    """Hold a chat; a hold that is there, or was just released, goes on with the powers that it has noted."""
    row: dict[str, Any] = {name: getattr(found, name) for name in Hold.__slots__}
    changes = {name: row[name] for name in ("workspace", "reason", "actor", "since", "released_at")}
    upsert(connection, legal_holds, row, changes)


def hold_of(connection: Connection, room_id: str) -> Hold | None:
    """The hold of a room, one that is being released too."""
    row = connection.execute(select(legal_holds).where(legal_holds.c.room_id == room_id)).mappings().first()
    return None if row is None else Hold(**{name: row[name] for name in Hold.__slots__})


def holds(connection: Connection, workspace: str | None = None) -> list[Hold]:
    """All holds, or a workspace's, the oldest first."""
    query = select(legal_holds).where(legal_holds.c.released_at.is_(None))
    if workspace is not None:
        query = query.where(legal_holds.c.workspace == workspace)
    query = query.order_by(legal_holds.c.since, legal_holds.c.room_id)
    return [Hold(**{name: row[name] for name in Hold.__slots__}) for row in connection.execute(query).mappings()]


def release(connection: Connection, room_id: str, now: int) -> None:
    """What was held may be removed again; the powers are given back after that."""
    connection.execute(update(legal_holds).where(legal_holds.c.room_id == room_id).values(released_at=now))


def noted(connection: Connection, room_id: str, levels: str | None) -> None:
    """The powers that redacting needed before."""
    connection.execute(update(legal_holds).where(legal_holds.c.room_id == room_id).values(levels=levels))


def forget_hold(connection: Connection, room_id: str) -> None:
    """It is over, and everything is as it was."""
    where = (legal_holds.c.room_id == room_id, legal_holds.c.released_at.is_not(None))
    connection.execute(delete(legal_holds).where(*where))


def all_holds(connection: Connection) -> list[Hold]:
    """All holds, those that are being released too."""
    query = select(legal_holds).order_by(legal_holds.c.since)
    return [Hold(**{name: row[name] for name in Hold.__slots__}) for row in connection.execute(query).mappings()]


# People's rights


def set_by(connection: Connection, user_id: str) -> list[dict[str, Any]]:
    """The rules that somebody has set."""
    query = select(retention_policies).where(retention_policies.c.set_by == user_id)
    return [dict(row) for row in connection.execute(query).mappings()]


def held_by(connection: Connection, user_id: str) -> list[dict[str, Any]]:
    """The chats that somebody holds, as an operator: which, why, since when."""
    columns = (legal_holds.c.room_id, legal_holds.c.reason, legal_holds.c.since)
    query = select(*columns).where(legal_holds.c.actor == user_id)
    return [dict(row) for row in connection.execute(query).mappings()]


def erase(connection: Connection, user_id: str, pseudonym: str) -> None:
    """No rule and no hold names a person any more."""
    own = retention_policies.c.set_by == user_id
    connection.execute(update(retention_policies).where(own).values(set_by=pseudonym))
    connection.execute(update(legal_holds).where(legal_holds.c.actor == user_id).values(actor=pseudonym))


def _held() -> Any:
    return select(legal_holds.c.room_id).where(legal_holds.c.released_at.is_(None))
