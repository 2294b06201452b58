"""What people have asked for, their archives, and what the engine holds of somebody. Functions on a connection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, or_, select, update
from sqlalchemy.engine import RowMapping

from appservice import json
from appservice.store.tables import InboxState, inbox, outbox
from bridge.domain.rights import Kind, State
from bridge.store.chat_tables import chat_members, chats
from bridge.store.delivery_tables import chat_timeline
from bridge.store.rights_tables import rights_files as files
from bridge.store.rights_tables import rights_requests as requests


@dataclass(frozen=True, slots=True)
class Request:
    """Something that was asked for. Times in ms; ``done`` of ``total`` parts of it are done."""

    id: str
    person: str
    kind: Kind
    state: State
    asked_by: str
    created_at: int
    stage: str = ""
    done: int = 0
    total: int = 0
    sealed: bytes | None = None
    problem: str | None = None
    size: int | None = None
    attempts: int = 0
    due_at: int | None = None
    finished_at: int | None = None


def add(connection: Connection, request: Request) -> None:
    """Keep a request."""
    row = {name: getattr(request, name) for name in Request.__slots__}
    connection.execute(insert(requests), row | {"kind": request.kind.value, "state": request.state.value})


def get(connection: Connection, request_id: str) -> Request | None:
    """A request."""
    return _request(connection.execute(select(requests).where(requests.c.id == request_id)).mappings().first())


def last(connection: Connection, person: str, kind: Kind) -> Request | None:
    """The last of a kind that is somebody's."""
    query = select(requests).where(requests.c.person == person, requests.c.kind == kind.value)
    return _request(connection.execute(query.order_by(requests.c.id.desc()).limit(1)).mappings().first())


def all_of(connection: Connection, person: str) -> list[Request]:
    """All of somebody."""
    query = select(requests).where(requests.c.person == person).order_by(requests.c.id)
    return [_must(row) for row in connection.execute(query).mappings()]


def count_since(connection: Connection, person: str, kind: Kind, asked_by: str, since: int) -> int:
    """How many of a kind somebody has asked for about a person since a time."""
    query = select(func.count()).where(
        requests.c.person == person,
        requests.c.kind == kind.value,
        requests.c.asked_by == asked_by,
        requests.c.created_at >= since,
    )
    return int(connection.execute(query).scalar_one())


def change(connection: Connection, request_id: str, **values: Any) -> None:
    """Set columns of a request."""
    plain = {name: value.value if isinstance(value, State) else value for name, value in values.items()}
    connection.execute(update(requests).where(requests.c.id == request_id).values(**plain))


def due(connection: Connection, now: int, limit: int) -> list[Request]:
    """Requests that go on now."""
    query = select(requests).where(requests.c.due_at <= now).order_by(requests.c.due_at, requests.c.id).limit(limit)
    return [_must(row) for row in connection.execute(query).mappings()]


def next_due(connection: Connection) -> int | None:
    """When the next one goes on."""
    return connection.execute(select(func.min(requests.c.due_at))).scalar_one_or_none()


def old_archives(connection: Connection, before: int, limit: int) -> list[str]:
    """Requests that were finished before a time and still have an archive."""
    query = select(requests.c.id).where(requests.c.finished_at < before, requests.c.size.is_not(None)).limit(limit)
    return list(connection.execute(query).scalars())


# Archives


def add_piece(connection: Connection, request_id: str, seq: int, data: bytes) -> None:
    """Keep a piece of an archive."""
    connection.execute(insert(files), {"request_id": request_id, "seq": seq, "data": data})


def pieces(connection: Connection, request_id: str) -> Iterator[bytes]:
    """The pieces of an archive, in order."""
    query = select(files.c.data).where(files.c.request_id == request_id).order_by(files.c.seq)
    for data in connection.execute(query).scalars():
        yield bytes(data)


def drop_archive(connection: Connection, request_id: str) -> None:
    """Forget an archive."""
    connection.execute(delete(files).where(files.c.request_id == request_id))
    connection.execute(update(requests).where(requests.c.id == request_id).values(size=None))


def drop_archives_of(connection: Connection, person: str) -> None:
    """Forget all archives and exports of somebody."""
    mine = select(requests.c.id).where(requests.c.person == person, requests.c.kind == Kind.EXPORT.value)
    connection.execute(delete(files).where(files.c.request_id.in_(mine)))
    connection.execute(delete(requests).where(requests.c.person == person, requests.c.kind == Kind.EXPORT.value))


def rename(connection: Connection, person: str, pseudonym: str) -> None:
    """Requests are a pseudonym's."""
    for column in (requests.c.person, requests.c.asked_by):
        connection.execute(update(requests).where(column == person).values({column.name: pseudonym}))


# Where somebody has been


def rooms_of(connection: Connection, person: str) -> list[str]:
    """The rooms of chats that are alive and in which somebody is, or has done anything since they are numbered."""
    alive = (chats.c.deleted_at.is_(None), chats.c.successor.is_(None))
    there = select(chat_members.c.room_id).where(chat_members.c.user_id == person)
    acted = select(chat_timeline.c.room_id).where(chat_timeline.c.sender == person)
    query = select(chats.c.room_id).where(*alive, or_(chats.c.room_id.in_(there), chats.c.room_id.in_(acted)))
    return list(connection.execute(query.order_by(chats.c.room_id)).scalars())


# The engine's tables


def unfinished(connection: Connection, shard_seq: tuple[int, int], limit: int) -> list[Mapping[str, Any]]:
    """A page of events that still have their content: waiting, parked, dead."""
    shard, seq = shard_seq
    behind = or_(inbox.c.shard > shard, (inbox.c.shard == shard) & (inbox.c.seq > seq))
    columns = (inbox.c.shard, inbox.c.seq, inbox.c.event_id, inbox.c.room_id, inbox.c.state, inbox.c.payload)
    query = select(*columns, inbox.c.received_at).where(behind, inbox.c.state != int(InboxState.DONE))
    query = query.order_by(inbox.c.shard, inbox.c.seq).limit(limit)
    return [dict(row) for row in connection.execute(query).mappings()]


def drop_events(connection: Connection, places: list[tuple[int, int]]) -> None:
    """These events are not worked any more, and nothing of them stays but that they came."""
    for shard, seq in places:
        where = (inbox.c.shard == shard, inbox.c.seq == seq)
        values = {"payload": b"", "state": int(InboxState.DROPPED), "error": None, "session_id": None}
        connection.execute(update(inbox).where(*where).values(**values))


def rename_events(connection: Connection, person: str, pseudonym: str) -> None:
    """Events of our own about somebody are known by their name: it goes out of what is kept to know them again.

    Rows are renamed and not deleted: the place of the newest is where the sequence goes on.
    """
    own = inbox.c.event_id.startswith("~")
    named = or_(inbox.c.room_id == f"person:{person}", own & inbox.c.event_id.contains(person, autoescape=True))
    query = select(inbox.c.shard, inbox.c.seq, inbox.c.event_id, inbox.c.room_id).where(named)
    for row in connection.execute(query).all():
        values = {
            "event_id": row.event_id.replace(person, pseudonym),
            "room_id": row.room_id.replace(person, pseudonym),
        }
        where = (inbox.c.shard == row.shard, inbox.c.seq == row.seq)
        connection.execute(update(inbox).where(*where).values(**values))
    connection.execute(update(outbox).where(outbox.c.target == person).values(target=pseudonym))


def strip_levels(connection: Connection, person: str) -> None:
    """Take somebody out of the power levels that are kept of chats."""
    query = select(chats.c.room_id, chats.c.levels).where(chats.c.levels.contains(person, autoescape=True))
    for row in connection.execute(query).all():
        levels = json.loads(row.levels)
        levels["users"] = {user_id: power for user_id, power in levels.get("users", {}).items() if user_id != person}
        written = json.dumps(levels).decode()
        connection.execute(update(chats).where(chats.c.room_id == row.room_id).values(levels=written))


def _request(row: RowMapping | None) -> Request | None:
    return None if row is None else _must(row)


def _must(row: RowMapping) -> Request:
    values = {name: row[name] for name in Request.__slots__}
    values |= {"kind": Kind(row["kind"]), "state": State(row["state"])}
    values["sealed"] = None if row["sealed"] is None else bytes(row["sealed"])
    return Request(**values)
