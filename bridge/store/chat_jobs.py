"""What the homeserver has still to be told of chats. Plain functions on a connection."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Connection, delete, func, select, update

from appservice.database import insert_ignore
from bridge.store.chat_tables import chat_jobs, chat_members

CHUNK = 500


@dataclass(frozen=True, slots=True)
class Job:
    """Something to be done on the homeserver, again and again until it is done. Times in ms."""

    id: str
    room_id: str
    kind: str
    user_id: str
    due_at: int
    attempts: int
    created_at: int


def job(kind: str, room_id: str, now: int, user_id: str = "") -> Job:
    """A new job; the same for the same thing."""
    digest = sha256(f"{kind}\0{room_id}\0{user_id}".encode()).hexdigest()[:32]
    return Job(digest, room_id, kind, user_id, now, 0, now)


def add(connection: Connection, jobs: Iterable[Job]) -> None:
    """Have things done."""
    rows = [{name: getattr(each, name) for name in Job.__slots__} for each in jobs]
    statement = insert_ignore(connection, chat_jobs, "id")
    for begin in range(0, len(rows), CHUNK):
        connection.execute(statement, rows[begin : begin + CHUNK])


def invite_members_of(connection: Connection, old: str, new: str, now: int, skip: frozenset[str]) -> int:
    """Have the members of a room invited to another; how many."""
    query = select(chat_members.c.user_id).where(
        chat_members.c.room_id == old, chat_members.c.membership.in_(("join", "invite"))
    )
    people = [user_id for user_id in connection.execute(query).scalars() if user_id not in skip]
    add(connection, (job("invite", new, now, user_id) for user_id in people))
    return len(people)


def due(connection: Connection, now: int, limit: int) -> list[Job]:
    """The jobs whose time has come, the oldest first."""
    query = select(chat_jobs).where(chat_jobs.c.due_at <= now).order_by(chat_jobs.c.due_at, chat_jobs.c.id).limit(limit)
    return [Job(**row) for row in connection.execute(query).mappings()]


def of_room(connection: Connection, room_id: str) -> list[Job]:
    """The jobs of a room."""
    query = select(chat_jobs).where(chat_jobs.c.room_id == room_id).order_by(chat_jobs.c.created_at, chat_jobs.c.id)
    return [Job(**row) for row in connection.execute(query).mappings()]


def next_due(connection: Connection) -> int | None:
    """When the next job is due."""
    return connection.execute(select(func.min(chat_jobs.c.due_at))).scalar_one_or_none()


def done(connection: Connection, job_id: str) -> None:
    """It is done, or will never be."""
    connection.execute(delete(chat_jobs).where(chat_jobs.c.id == job_id))


def later(connection: Connection, job_id: str, due_at: int) -> None:
    """It failed; try again then."""
    values = {"due_at": due_at, "attempts": chat_jobs.c.attempts + 1}
    connection.execute(update(chat_jobs).where(chat_jobs.c.id == job_id).values(**values))


def forget_room(connection: Connection, room_id: str) -> None:
    """Nothing more is to be done in a room."""
    connection.execute(delete(chat_jobs).where(chat_jobs.c.room_id == room_id))
