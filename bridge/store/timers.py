"""Message timers in the database: what holds in which chat, and the messages that are to be removed.

Plain functions on a connection; times are milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    case,
    cast,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.engine import RowMapping

from appservice.database import insert_ignore
from appservice.store.upsert import upsert
from bridge.domain.timers import Start, Timer
from bridge.store.delivery_tables import chat_timeline
from bridge.store.timer_tables import chat_timers, legal_holds, media_removals, message_files, timed_messages

CHUNK = 500

TIMER = "timer"
RETENTION = "retention"


@dataclass(frozen=True, slots=True)
class Timed:
    """A message that is to be removed. Times in ms.

    Attributes:
        due_at: None: not yet known when.
        seq: their order, for those that are due at the same moment.
        read_seconds: to be removed so long after its first reading; None: it was read, or that does not count.
        target: the event that it goes with, at the latest: an edit with its message; '' for none.
        tried: it is redacted already, perhaps.
    """

    event_id: str
    room_id: str
    sender: str
    sent_at: int
    due_at: int | None = None
    seq: int = 0
    read_seconds: int | None = None
    target: str = ""
    reason: str = TIMER
    tried: bool = False
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class FileRemoval:
    """A file that is to be removed from the homeserver, if ``sender`` is who has uploaded it."""

    media: str
    room_id: str
    sender: str
    attempts: int


# Which timer holds


def set_timer(connection: Connection, room_id: str, timer: Timer | None, by: str, at: int) -> None:
    """From here on in the room's timeline this timer holds."""
    seconds, start = (None, Start.SENT) if timer is None else (timer.seconds, timer.start)
    row = {"room_id": room_id, "seconds": seconds, "start": start.value, "set_by": by, "set_at": at}
    upsert(connection, chat_timers, row)


def timers(connection: Connection) -> dict[str, Timer | None]:
    """The timers of all rooms in which one was ever set."""
    return {
        row.room_id: None if row.seconds is None else Timer(row.seconds, Start(row.start))
        for row in connection.execute(select(chat_timers))
    }


def take_along(connection: Connection, old: str, new: str) -> None:
    """A new room takes the place of one: its timer holds there too."""
    row = connection.execute(select(chat_timers).where(chat_timers.c.room_id == old)).mappings().first()
    if row is not None:
        upsert(connection, chat_timers, {**row, "room_id": new})


# Messages


def add(connection: Connection, messages: Sequence[Timed]) -> None:
    """Keep messages that are to be removed; what is known already stays as it is."""
    rows = [{name: getattr(message, name) for name in Timed.__slots__} for message in messages]
    for begin in range(0, len(rows), CHUNK):
        connection.execute(insert_ignore(connection, timed_messages, "event_id"), rows[begin : begin + CHUNK])


def add_following(connection: Connection, message: Timed) -> None:
    """Keep a message that has no time of its own, if what it belongs to has one: it goes with it."""
    query = select(timed_messages.c.event_id).where(
        timed_messages.c.event_id == message.target,
        timed_messages.c.room_id == message.room_id,
    )
    if connection.execute(query).first() is not None:
        add(connection, [message])


def expire(connection: Connection, messages: Sequence[Timed], now: int) -> None:
    """Messages are to be removed now, whatever was known of them."""
    add(connection, messages)
    late = or_(timed_messages.c.due_at.is_(None), timed_messages.c.due_at > now)
    for some in _parts([message.event_id for message in messages]):
        where = (timed_messages.c.event_id.in_(some), late)
        connection.execute(update(timed_messages).where(*where).values(due_at=now, reason=RETENTION))


def find(connection: Connection, event_id: str) -> Timed | None:
    """A message that is to be removed."""
    query = select(timed_messages).where(timed_messages.c.event_id == event_id)
    row = connection.execute(query).mappings().first()
    return None if row is None else _timed(row)


def waiting(connection: Connection, room_id: str, now: int) -> int:
    """How many messages of a room are due and still there."""
    where = (timed_messages.c.room_id == room_id, timed_messages.c.due_at <= now)
    return int(connection.execute(select(func.count()).select_from(timed_messages).where(*where)).scalar_one())


def rooms_with_messages(connection: Connection) -> set[str]:
    """The rooms of which a message is kept."""
    return set(connection.execute(select(timed_messages.c.room_id).distinct()).scalars())


# The first reading


def rooms_unread(connection: Connection) -> set[str]:
    """The rooms in which a message waits for its first reading."""
    query = select(timed_messages.c.room_id).where(timed_messages.c.read_seconds.is_not(None)).distinct()
    return set(connection.execute(query).scalars())


def spoken(connection: Connection, room_id: str, reader: str, at: int) -> None:
    """Somebody has written in a room: what others wrote there before is read."""
    unread = (timed_messages.c.room_id == room_id, timed_messages.c.read_seconds.is_not(None))
    others = timed_messages.c.sender != reader
    connection.execute(update(timed_messages).where(*unread, others).values(**_begun(at)))


def read_up_to(connection: Connection, chat_id: str, room_id: str, reader: str, seq: int, at: int) -> int | None:
    """Somebody has read a chat up to a number (:mod:`bridge.delivery`); when the first message is due because of it."""
    seen = select(chat_timeline.c.event_id).where(chat_timeline.c.chat_id == chat_id, chat_timeline.c.seq <= seq)
    where = (
        timed_messages.c.room_id == room_id,
        timed_messages.c.read_seconds.is_not(None),
        timed_messages.c.sender != reader,
        timed_messages.c.event_id.in_(seen),
    )
    first = connection.execute(select(func.min(timed_messages.c.read_seconds)).where(*where)).scalar_one_or_none()
    if first is None:
        return None
    connection.execute(update(timed_messages).where(*where).values(**_begun(at)))
    return at + int(first) * 1000


def _begun(at: int) -> dict[str, Any]:
    due = literal(at, BigInteger) + cast(timed_messages.c.read_seconds, BigInteger) * 1000
    sooner = or_(timed_messages.c.due_at.is_(None), timed_messages.c.due_at > due)
    return {"due_at": case((sooner, due), else_=timed_messages.c.due_at), "read_seconds": None}


# Removing them


def due(connection: Connection, now: int, late_before: int, limit: int) -> list[Timed]:
    """Messages whose time has come, those of rooms that are held left out.

    Args:
        late_before: those that were due before it are late. They come in their order and leave half of the places
            to what is due now in rooms where nothing is late: nobody there waits for thousands of others.
        limit: how many.
    """
    held = select(legal_holds.c.room_id).where(legal_holds.c.released_at.is_(None))
    ready = select(timed_messages).where(timed_messages.c.room_id.not_in(held))
    ready = ready.order_by(timed_messages.c.due_at, timed_messages.c.seq)
    earlier = timed_messages.alias("earlier")
    behind = exists().where(earlier.c.room_id == timed_messages.c.room_id, earlier.c.due_at <= late_before)
    fresh = ready.where(timed_messages.c.due_at > late_before, timed_messages.c.due_at <= now, ~behind).limit(limit)
    late = ready.where(timed_messages.c.due_at <= late_before).limit(limit)
    new = [_timed(row) for row in connection.execute(fresh).mappings()]
    old = [_timed(row) for row in connection.execute(late).mappings()]
    half = limit // 2
    old = old[: max(half, limit - len(new))]
    return [*old, *new[: limit - len(old)]]


def next_due(connection: Connection) -> int | None:
    """When the next message is due that may be removed."""
    held = select(legal_holds.c.room_id).where(legal_holds.c.released_at.is_(None))
    query = (
        select(timed_messages.c.due_at)
        .where(timed_messages.c.due_at.is_not(None), timed_messages.c.room_id.not_in(held))
        .order_by(timed_messages.c.due_at, timed_messages.c.seq)
        .limit(1)
    )
    return connection.execute(query).scalar_one_or_none()


def count_due(connection: Connection, now: int) -> int:
    """How many messages are due and still there."""
    query = select(func.count()).select_from(timed_messages).where(timed_messages.c.due_at <= now)
    return int(connection.execute(query).scalar_one())


def claim(connection: Connection, event_ids: Sequence[str]) -> None:
    """They are being redacted: after a crash whoever does it again looks first."""
    for some in _parts(event_ids):
        connection.execute(update(timed_messages).where(timed_messages.c.event_id.in_(some)).values(tried=True))


def sender_of(connection: Connection, room_id: str, event_id: str) -> str | None:
    """Who sent a message of a room that is to be removed, or has files; None when nothing is known of it."""
    for table in (timed_messages, message_files):
        query = select(table.c.sender).where(table.c.event_id == event_id, table.c.room_id == room_id).limit(1)
        found = connection.execute(query).scalar_one_or_none()
        if found is not None:
            return str(found)
    return None


def gone(connection: Connection, event_ids: Sequence[str], now: int) -> None:
    """Messages are redacted: they are forgotten, what belongs to them is to be removed now, and so are their files."""
    late = or_(timed_messages.c.due_at.is_(None), timed_messages.c.due_at > now)
    for some in _parts(event_ids):
        connection.execute(delete(timed_messages).where(timed_messages.c.event_id.in_(some)))
        _remove_files(connection, now, message_files.c.event_id.in_(some))
        follow = (timed_messages.c.target.in_(some), timed_messages.c.target != "")
        connection.execute(update(timed_messages).where(*follow, late).values(due_at=now))


def later(connection: Connection, event_ids: Sequence[str], due_at: int) -> None:
    """They could not be removed; try again then."""
    values = {"due_at": due_at, "attempts": timed_messages.c.attempts + 1}
    for some in _parts(event_ids):
        connection.execute(update(timed_messages).where(timed_messages.c.event_id.in_(some)).values(**values))


def drop(connection: Connection, event_ids: Sequence[str]) -> None:
    """They can never be removed, and are forgotten."""
    for some in _parts(event_ids):
        connection.execute(delete(timed_messages).where(timed_messages.c.event_id.in_(some)))


def forget_room(connection: Connection, room_id: str, now: int) -> None:
    """The chat is deleted for everybody: its files go."""
    _remove_files(connection, now, message_files.c.room_id == room_id)
    for table in (timed_messages, chat_timers):
        connection.execute(delete(table).where(table.c.room_id == room_id))


# Files


def add_files(connection: Connection, event_id: str, room_id: str, sender: str, media: Sequence[str]) -> None:
    """A message refers to files: they go with it, whoever removes it."""
    rows = [{"event_id": event_id, "media": each, "room_id": room_id, "sender": sender} for each in media]
    if rows:
        connection.execute(insert_ignore(connection, message_files, "event_id", "media"), rows)


def add_files_late(
    connection: Connection, event_id: str, room_id: str, sender: str, media: Sequence[str], now: int
) -> None:
    """The same, for a message with a timer that was read only now: its time may be over, and then that of its files."""
    add_files(connection, event_id, room_id, sender, media)
    query = select(timed_messages.c.event_id).where(timed_messages.c.event_id == event_id)
    if connection.execute(query).first() is None:
        _remove_files(connection, now, message_files.c.event_id == event_id)


def _remove_files(connection: Connection, now: int, *where: ColumnElement[bool]) -> None:
    found = connection.execute(select(message_files).where(*where)).mappings().all()
    connection.execute(delete(message_files).where(*where))
    rows = {
        (row["media"], row["sender"]): {name: row[name] for name in ("media", "room_id", "sender")} | {"due_at": now}
        for row in found
    }
    if rows:
        connection.execute(insert_ignore(connection, media_removals, "media", "sender"), list(rows.values()))


def files_due(connection: Connection, now: int, limit: int) -> list[FileRemoval]:
    """Files that are to be removed, the first ones first."""
    held = select(legal_holds.c.room_id).where(legal_holds.c.released_at.is_(None))
    query = (
        select(media_removals)
        .where(media_removals.c.due_at <= now, media_removals.c.room_id.not_in(held))
        .order_by(media_removals.c.due_at, media_removals.c.media)
        .limit(limit)
    )
    return [FileRemoval(row.media, row.room_id, row.sender, row.attempts) for row in connection.execute(query)]


def next_file(connection: Connection) -> int | None:
    """When the next file is to be removed."""
    held = select(legal_holds.c.room_id).where(legal_holds.c.released_at.is_(None))
    query = select(func.min(media_removals.c.due_at)).where(media_removals.c.room_id.not_in(held))
    return connection.execute(query).scalar_one_or_none()


def still_used(connection: Connection, media: str) -> bool:
    """Whether another message that is kept here refers to a file."""
    query = select(message_files.c.event_id).where(message_files.c.media == media).limit(1)
    return connection.execute(query).first() is not None


def file_gone(connection: Connection, removal: FileRemoval) -> None:
    """A file is removed, or will never be."""
    where = (media_removals.c.media == removal.media, media_removals.c.sender == removal.sender)
    connection.execute(delete(media_removals).where(*where))


def file_later(connection: Connection, removal: FileRemoval, due_at: int) -> None:
    """A file could not be removed; try again then."""
    where = (media_removals.c.media == removal.media, media_removals.c.sender == removal.sender)
    connection.execute(update(media_removals).where(*where).values(due_at=due_at, attempts=removal.attempts + 1))


# People's rights


def of_sender(connection: Connection, sender: str) -> list[dict[str, Any]]:
    """What is kept of somebody's messages."""
    columns = (
        timed_messages.c.event_id, timed_messages.c.room_id, timed_messages.c.sent_at, timed_messages.c.due_at,
        timed_messages.c.reason,
    )  # fmt: skip
    query = select(*columns).where(timed_messages.c.sender == sender).order_by(timed_messages.c.sent_at)
    return [dict(row) for row in connection.execute(query).mappings()]


def files_of(connection: Connection, sender: str) -> list[dict[str, Any]]:
    """The files of somebody's messages that are known."""
    query = select(message_files).where(message_files.c.sender == sender).order_by(message_files.c.event_id)
    return [dict(row) for row in connection.execute(query).mappings()]


def timers_set_by(connection: Connection, user_id: str) -> list[dict[str, Any]]:
    """The timers that somebody has set."""
    query = select(chat_timers).where(chat_timers.c.set_by == user_id).order_by(chat_timers.c.set_at)
    return [dict(row) for row in connection.execute(query).mappings()]


def erase(connection: Connection, user_id: str, pseudonym: str) -> None:
    """Nothing here names a person any more. Their messages go on time all the same."""
    connection.execute(update(chat_timers).where(chat_timers.c.set_by == user_id).values(set_by=pseudonym))
    connection.execute(update(timed_messages).where(timed_messages.c.sender == user_id).values(sender=pseudonym))
    for table in (message_files, media_removals):
        connection.execute(delete(table).where(table.c.sender == user_id))


def _timed(row: RowMapping) -> Timed:
    return Timed(**{name: row[name] for name in Timed.__slots__})


def _parts(values: Sequence[str]) -> list[Sequence[str]]:
    return [values[begin : begin + CHUNK] for begin in range(0, len(values), CHUNK)]
