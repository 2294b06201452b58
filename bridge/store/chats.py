"""Chats and their members in the database. Plain functions on a connection."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, or_, select, tuple_, update
from sqlalchemy.engine import RowMapping

from appservice import json
from appservice.database import insert_ignore
from appservice.events import shard_of
from appservice.store.upsert import upsert
from bridge.domain.kinds import Kind
from bridge.domain.texts import folded
from bridge.store.chat_tables import chat_members, chats

IN: tuple[str, ...] = ("join", "invite")
CHUNK = 500
"""Rows of a statement."""


@dataclass(frozen=True, slots=True)
class Chat:
    """A room that Rialto manages. Times in ms."""

    room_id: str
    id: str
    kind: Kind
    public: bool
    encrypted: bool
    workspace: str
    created_by: str
    created_at: int
    external_id: str | None = None
    name: str = ""
    topic: str = ""
    avatar_url: str = ""
    alias: str = ""
    parent: str | None = None
    adopted: bool = False
    slow_mode: int = 0
    archived_at: int | None = None
    deleted_at: int | None = None
    successor: str | None = None

    @property
    def alive(self) -> bool:
        """Neither deleted nor replaced by another room."""
        return self.deleted_at is None and self.successor is None


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody of a chat. ``muted_until``: ms, 0 for ever, None: not muted."""

    room_id: str
    user_id: str
    membership: str
    power: int
    display_name: str
    since: int
    muted_until: int | None = None
    muted_power: int | None = None
    spoke_at: int | None = None


def add(connection: Connection, chat: Chat, shards: int) -> None:
    """Keep a chat; one of the same room is replaced."""
    row = {name: getattr(chat, name) for name in Chat.__slots__} | {"kind": chat.kind.value}
    upsert(connection, chats, row | {"shard": shard_of(chat.room_id, shards)})


def change(connection: Connection, room_id: str, **values: Any) -> None:
    """Set columns of a chat."""
    connection.execute(update(chats).where(chats.c.room_id == room_id).values(**values))


def move_children(connection: Connection, room_id: str, successor: str) -> None:
    """The chats that belong to a channel belong to the room that took its place."""
    connection.execute(update(chats).where(chats.c.parent == room_id).values(parent=successor))


def has_group(connection: Connection, channel_room: str) -> bool:
    """Whether a channel has a discussion group."""
    alive = (chats.c.deleted_at.is_(None), chats.c.successor.is_(None))
    query = select(chats.c.room_id).where(chats.c.parent == channel_room, *alive).limit(1)
    return connection.execute(query).first() is not None


def by_room(connection: Connection, room_id: str) -> Chat | None:
    """The chat of a room."""
    return _chat(connection.execute(select(chats).where(chats.c.room_id == room_id)).mappings().first())


def by_id(connection: Connection, chat_id: str) -> Chat | None:
    """The chat with an id: of an upgraded one the room that is in use."""
    query = select(chats).where(chats.c.id == chat_id).order_by(chats.c.successor.is_(None).desc()).limit(1)
    return _chat(connection.execute(query).mappings().first())


def by_external_id(connection: Connection, workspace: str, external_id: str) -> Chat | None:
    """The chat that a product calls so."""
    query = select(chats).where(chats.c.workspace == workspace, chats.c.external_id == external_id)
    return _chat(connection.execute(query).mappings().first())


def of_external_ids(connection: Connection, workspace: str, external_ids: Sequence[str]) -> list[Chat]:
    """The chats that a product calls so."""
    query = select(chats).where(chats.c.workspace == workspace, chats.c.external_id.in_(external_ids))
    return [_must(row) for row in connection.execute(query).mappings()]


def levels(connection: Connection, room_id: str) -> dict[str, Any]:
    """``m.room.power_levels`` as last seen; empty when it was not."""
    found = connection.execute(select(chats.c.levels).where(chats.c.room_id == room_id)).scalar_one_or_none()
    content = json.loads(found) if found else {}
    return content if isinstance(content, dict) else {}


def unfilled(connection: Connection) -> list[str]:
    """Chats whose members are still to be read."""
    query = (
        select(chats.c.room_id)
        .where(chats.c.filled_at.is_(None), chats.c.deleted_at.is_(None), chats.c.successor.is_(None))
        .order_by(chats.c.created_at)
    )
    return list(connection.execute(query).scalars())


def every(connection: Connection) -> list[Chat]:
    """All chats that are alive, for the registry."""
    query = select(chats).where(chats.c.deleted_at.is_(None), chats.c.successor.is_(None))
    return [_must(row) for row in connection.execute(query).mappings()]


def of_workspace(
    connection: Connection, workspace: str, *, kind: Kind | None = None, after: tuple[int, str] | None, limit: int
) -> list[Chat]:
    """A page of a workspace's chats, the newest first, deleted ones left out.

    Args:
        after: ``created_at`` and ``room_id`` of the last one of the page before.
    """
    query = select(chats).where(
        chats.c.workspace == workspace, chats.c.deleted_at.is_(None), chats.c.successor.is_(None)
    )
    if kind is not None:
        query = query.where(chats.c.kind == kind.value)
    if after is not None:
        query = query.where(tuple_(chats.c.created_at, chats.c.room_id) < after)
    query = query.order_by(chats.c.created_at.desc(), chats.c.room_id.desc()).limit(limit)
    return [_must(row) for row in connection.execute(query).mappings()]


def of_person(connection: Connection, user_id: str, *, limit: int = 500) -> list[Chat]:
    """The chats that somebody is in or invited to, the newest first."""
    query = (
        select(chats)
        .join(chat_members, chat_members.c.room_id == chats.c.room_id)
        .where(
            chat_members.c.user_id == user_id,
            chat_members.c.membership.in_(("join", "invite")),
            chats.c.deleted_at.is_(None),
            chats.c.successor.is_(None),
        )
        .order_by(chats.c.created_at.desc())
        .limit(limit)
    )
    return [_must(row) for row in connection.execute(query).mappings()]


# Members


def set_member(connection: Connection, member: Member) -> None:
    """Keep a member as they are now; a mute that is there stays."""
    row = _row(member)
    changes = {name: row[name] for name in ("membership", "power", "display_name", "folded", "since")}
    upsert(connection, chat_members, row, changes)


def fill(connection: Connection, room_id: str, found: Sequence[Member], skip: frozenset[str]) -> None:
    """Keep the members of a chat as they were read at once, but for who has changed since then (``skip``)."""
    usable = [each for each in found if each.user_id not in skip]
    for begin in range(0, len(usable), CHUNK):
        part = usable[begin : begin + CHUNK]
        known = [each.user_id for each in part]
        there = set(
            connection.execute(
                select(chat_members.c.user_id).where(
                    chat_members.c.room_id == room_id, chat_members.c.user_id.in_(known)
                )
            ).scalars()
        )
        fresh = [_row(each) for each in part if each.user_id not in there]
        if fresh:
            connection.execute(insert(chat_members), fresh)
        for each in part:
            if each.user_id in there:
                set_member(connection, each)


def drop_others(connection: Connection, room_id: str, there: frozenset[str], skip: frozenset[str]) -> None:
    """Forget members who are not there any more, after a chat's members were read anew."""
    query = select(chat_members.c.user_id).where(
        chat_members.c.room_id == room_id, chat_members.c.muted_until.is_(None)
    )
    gone = [each for each in connection.execute(query).scalars() if each not in there and each not in skip]
    for begin in range(0, len(gone), CHUNK):
        where = chat_members.c.user_id.in_(gone[begin : begin + CHUNK])
        connection.execute(delete(chat_members).where(chat_members.c.room_id == room_id, where))


def change_member(connection: Connection, room_id: str, user_id: str, **values: Any) -> None:
    """Set columns of a member."""
    where = (chat_members.c.room_id == room_id, chat_members.c.user_id == user_id)
    connection.execute(update(chat_members).where(*where).values(**values))


def remove_member(connection: Connection, room_id: str, user_id: str) -> None:
    """They have left. Who is muted stays so, should they come back."""
    where = (chat_members.c.room_id == room_id, chat_members.c.user_id == user_id)
    muted = chat_members.c.muted_until.is_not(None)
    connection.execute(delete(chat_members).where(*where, ~muted))
    connection.execute(update(chat_members).where(*where, muted).values(membership="leave"))


def remove_members(connection: Connection, room_id: str) -> None:
    """The chat is no more."""
    connection.execute(delete(chat_members).where(chat_members.c.room_id == room_id))


def lift_mute(connection: Connection, room_id: str, user_id: str) -> None:
    """They are not muted any more; who had left meanwhile is forgotten."""
    where = (chat_members.c.room_id == room_id, chat_members.c.user_id == user_id)
    connection.execute(delete(chat_members).where(*where, chat_members.c.membership == "leave"))
    connection.execute(update(chat_members).where(*where).values(muted_until=None, muted_power=None))


def take_along(connection: Connection, old: str, new: str) -> None:
    """Members of a chat that was upgraded who are muted stay so in the new room."""
    query = select(chat_members).where(chat_members.c.room_id == old, chat_members.c.muted_until.is_not(None))
    for row in connection.execute(query).mappings().all():
        values = {**row, "room_id": new, "membership": "leave"}
        connection.execute(insert_ignore(connection, chat_members, "room_id", "user_id"), values)


def set_powers(connection: Connection, room_id: str, default: int, users: Mapping[str, int]) -> None:
    """Take over ``m.room.power_levels``: a statement for who has a power of their own, one for all others."""
    everybody = chat_members.c.room_id == room_id
    rest = [everybody, chat_members.c.power != default]
    own = select(chat_members.c.user_id).where(*rest)
    # Who has a power of their own may be thousands, which no statement takes; who has not and is wrong is nearly none.
    wrong = [user_id for user_id in connection.execute(own).scalars() if user_id not in users]
    for begin in range(0, len(wrong), CHUNK):
        where = chat_members.c.user_id.in_(wrong[begin : begin + CHUNK])
        connection.execute(update(chat_members).where(everybody, where).values(power=default))
    for user_id, power in users.items():
        one = (everybody, chat_members.c.user_id == user_id, chat_members.c.power != power)
        connection.execute(update(chat_members).where(*one).values(power=power))


def member(connection: Connection, room_id: str, user_id: str) -> Member | None:
    """One member."""
    query = select(chat_members).where(chat_members.c.room_id == room_id, chat_members.c.user_id == user_id)
    row = connection.execute(query).mappings().first()
    return None if row is None else _member(row)


def members(
    connection: Connection,
    room_id: str,
    *,
    memberships: Sequence[str] = ("join",),
    least: int | None = None,
    below: int | None = None,
    text: str = "",
    after: tuple[int, str] | None = None,
    limit: int = 50,
) -> list[Member]:
    """A page of members, who has most power first.

    Args:
        least, below: bounds of their power.
        text: what their name or user id holds, whatever its case.
        after: ``power`` and ``user_id`` of the last one of the page before.
    """
    query: Select[Any] = select(chat_members).where(chat_members.c.room_id == room_id)
    query = query.where(chat_members.c.membership.in_(memberships))
    if least is not None:
        query = query.where(chat_members.c.power >= least)
    if below is not None:
        query = query.where(chat_members.c.power < below)
    if text:
        query = query.where(chat_members.c.folded.contains(folded(text), autoescape=True))
    if after is not None:
        power, user_id = after
        same = (chat_members.c.power == power) & (chat_members.c.user_id > user_id)
        query = query.where(or_(chat_members.c.power < power, same))
    query = query.order_by(chat_members.c.power.desc(), chat_members.c.user_id).limit(limit)
    return [_member(row) for row in connection.execute(query).mappings()]


def count_members(connection: Connection, room_ids: Iterable[str], membership: str = "join") -> dict[str, int]:
    """How many members chats have."""
    query = (
        select(chat_members.c.room_id, func.count())
        .where(chat_members.c.room_id.in_(list(room_ids)), chat_members.c.membership == membership)
        .group_by(chat_members.c.room_id)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def inhabited(connection: Connection, room_id: str, besides: Collection[str]) -> bool:
    """Whether anybody is in a chat, or invited to it, beside some few."""
    query = (
        select(chat_members.c.user_id)
        .where(chat_members.c.room_id == room_id, chat_members.c.membership.in_(IN))
        .limit(len(besides) + 1)
    )
    return any(user_id not in besides for user_id in connection.execute(query).scalars())


def unmute_due(connection: Connection, now: int, limit: int = 100) -> list[Member]:
    """Members whose mute is over."""
    query = (
        select(chat_members)
        .where(chat_members.c.muted_until > 0, chat_members.c.muted_until <= now)
        .order_by(chat_members.c.muted_until)
        .limit(limit)
    )
    return [_member(row) for row in connection.execute(query).mappings()]


def next_unmute(connection: Connection) -> int | None:
    """When the next mute is over."""
    query = select(func.min(chat_members.c.muted_until)).where(chat_members.c.muted_until > 0)
    return connection.execute(query).scalar_one_or_none()


def muted(connection: Connection) -> list[Member]:
    """Everybody who is muted."""
    query = select(chat_members).where(chat_members.c.muted_until.is_not(None))
    return [_member(row) for row in connection.execute(query).mappings()]


def _chat(row: RowMapping | None) -> Chat | None:
    return None if row is None else _must(row)


def _must(row: RowMapping) -> Chat:
    values = {name: row[name] for name in Chat.__slots__}
    # All chats are kept in memory: what many of them have in common is there once.
    shared = {name: sys.intern(row[name]) for name in ("workspace", "created_by")}
    return Chat(**values | shared | {"kind": Kind(row["kind"])})


def _member(row: RowMapping) -> Member:
    return Member(**{name: row[name] for name in Member.__slots__})


def _row(member: Member) -> dict[str, Any]:
    row = {name: getattr(member, name) for name in Member.__slots__}
    return row | {"folded": folded(member.display_name, member.user_id)}
