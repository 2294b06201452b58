"""Numbered timelines and how far people have come, in the database. Plain functions on a connection; times are ms."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.engine import RowMapping

from appservice.inbox import GAVE_UP
from appservice.store.tables import InboxState, OutboxState, inbox, outbox
from appservice.store.upsert import upsert
from bridge.domain.delivery import REDACTS, Entry, Mark, Numbered, merged
from bridge.store.chat_tables import chat_members, chats
from bridge.store.delivery_tables import chat_heads, chat_marks, chat_timeline

PARAMETERS = 500


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chat's numbers stand. ``first``: the first one that is kept; ``last``: 0 before the first."""

    room_id: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A numbered event as it stands now."""

    numbered: Numbered
    redacted: bool
    numbered_at: int


@dataclass(frozen=True, slots=True)
class Sending:
    """A message of ours on its way. ``event_id``: once it is sent; ``error``: why it will not be."""

    room_id: str
    state: OutboxState
    event_id: str | None
    error: str | None


def head(connection: Connection, chat_id: str) -> Head | None:
    """Where a chat's numbers stand; None when nothing of it was numbered yet."""
    row = connection.execute(select(chat_heads).where(chat_heads.c.chat_id == chat_id)).mappings().first()
    return None if row is None else Head(row["room_id"], row["first"], row["head"])


def rooms_numbered(connection: Connection) -> dict[str, str]:
    """By chat, the room whose events are numbered."""
    return {row[0]: row[1] for row in connection.execute(select(chat_heads.c.chat_id, chat_heads.c.room_id))}


def number(connection: Connection, chat_id: str, room_id: str, entries: Sequence[Entry], now: int) -> list[Numbered]:
    """Give events the next numbers of a chat, in this order; those that have one keep it. The new ones.

    It is part of the commit that takes the events in: a number is given if and only if its event is kept, so that there
    is no gap, whatever fails.
    """
    row = {"chat_id": chat_id, "room_id": room_id, "head": 0, "first": 1, "updated_at": now}
    # Locks the row on PostgreSQL: whoever numbers at the same time (both rooms of an upgrade) waits for this commit.
    upsert(connection, chat_heads, row, {"room_id": room_id, "updated_at": now})
    last = connection.execute(select(chat_heads.c.head).where(chat_heads.c.chat_id == chat_id)).scalar_one()
    known = _known(connection, [entry.event_id for entry in entries])
    new = list({entry.event_id: entry for entry in entries if entry.event_id not in known}.values())
    if not new:
        return []
    numbered = [Numbered(last + place, entry) for place, entry in enumerate(new, 1)]
    connection.execute(
        chat_timeline.insert(),
        [
            {
                "chat_id": chat_id,
                "seq": each.seq,
                "numbered_at": now,
                **{name: getattr(each.entry, name) for name in Entry.__slots__},
            }
            for each in numbered
        ],
    )
    where = chat_heads.c.chat_id == chat_id
    connection.execute(update(chat_heads).where(where).values(head=last + len(new)))
    redacted = [entry.target for entry in new if entry.relation == REDACTS]
    for some in _parts(redacted):
        gone = (chat_timeline.c.event_id.in_(some), chat_timeline.c.chat_id == chat_id)
        connection.execute(update(chat_timeline).where(*gone).values(redacted=True))
    return numbered


def changes(connection: Connection, chat_id: str, after: int, limit: int) -> list[Kept]:
    """The numbered events of a chat behind a number, in order."""
    query = (
        select(chat_timeline)
        .where(chat_timeline.c.chat_id == chat_id, chat_timeline.c.seq > after)
        .order_by(chat_timeline.c.seq)
        .limit(limit)
    )
    return [_kept(row) for row in connection.execute(query).mappings()]


def find(connection: Connection, chat_id: str, event_id: str) -> Kept | None:
    """A numbered event of a chat."""
    query = select(chat_timeline).where(chat_timeline.c.event_id == event_id, chat_timeline.c.chat_id == chat_id)
    row = connection.execute(query).mappings().first()
    return None if row is None else _kept(row)


def numbers(connection: Connection, event_ids: Iterable[str]) -> dict[str, tuple[str, int]]:
    """By event, its chat and number; events without one are left out."""
    found: dict[str, tuple[str, int]] = {}
    for some in _parts(list(event_ids)):
        query = select(chat_timeline.c.event_id, chat_timeline.c.chat_id, chat_timeline.c.seq)
        rows = connection.execute(query.where(chat_timeline.c.event_id.in_(some)))
        found |= {row.event_id: (row.chat_id, row.seq) for row in rows}
    return found


def last_before(connection: Connection, chat_id: str, since: int) -> int:
    """The last number that was given before a time: 0 when there is none."""
    query = (
        select(chat_timeline.c.seq)
        .where(chat_timeline.c.chat_id == chat_id, chat_timeline.c.numbered_at < since)
        .order_by(chat_timeline.c.numbered_at.desc(), chat_timeline.c.seq.desc())
        .limit(1)
    )
    found = connection.execute(query).scalar()
    return 0 if found is None else int(found)


# Marks


def mark(connection: Connection, chat_id: str, user_id: str, *, delivered: int = 0, read: int = 0, at: int) -> Mark:
    """Take in that somebody has come so far; never backwards. Their mark from now on."""
    before = mark_of(connection, chat_id, user_id) or Mark(user_id)
    after = merged(before, delivered, read, at)
    if after != before:
        row = {name: getattr(after, name) for name in Mark.__slots__} | {"chat_id": chat_id}
        upsert(connection, chat_marks, row)
    return after


def mark_of(connection: Connection, chat_id: str, user_id: str) -> Mark | None:
    """How far somebody has come."""
    query = select(chat_marks).where(chat_marks.c.chat_id == chat_id, chat_marks.c.user_id == user_id)
    row = connection.execute(query).mappings().first()
    return None if row is None else _mark(row)


def counts(
    connection: Connection, chat_id: str, room_id: str, seq: int, apart: Collection[str]
) -> tuple[int, int, int]:
    """How many members a room has, to how many a number is delivered, and by how many it is read.

    Args:
        apart: who is not counted: the sender.
    """
    members = (chat_members.c.room_id == room_id, chat_members.c.membership == "join")
    others = chat_members.c.user_id.not_in(list(apart))
    people = connection.execute(select(func.count()).select_from(chat_members).where(*members, others)).scalar_one()
    marked = (chat_marks.c.chat_id == chat_id, chat_marks.c.user_id.not_in(list(apart)))
    delivered = select(func.count()).select_from(chat_marks).where(*marked, chat_marks.c.delivered >= seq)
    read = select(func.count()).select_from(chat_marks).where(*marked, chat_marks.c.read >= seq)
    return people, connection.execute(delivered).scalar_one(), connection.execute(read).scalar_one()


def marks(connection: Connection, chat_id: str, seq: int, *, after: str = "", limit: int = 50) -> list[Mark]:
    """A page of those to whom a number is delivered, by user id."""
    query = (
        select(chat_marks)
        .where(chat_marks.c.chat_id == chat_id, chat_marks.c.delivered >= seq, chat_marks.c.user_id > after)
        .order_by(chat_marks.c.user_id)
        .limit(limit)
    )
    return [_mark(row) for row in connection.execute(query).mappings()]


def hide_reads(connection: Connection, user_id: str) -> None:
    """Somebody lets nobody know what they have read, from now on and for what was."""
    connection.execute(update(chat_marks).where(chat_marks.c.user_id == user_id).values(read=0, read_at=0))


# What became of a message


def sending(connection: Connection, txn_id: str) -> Sending | None:
    """A message of the outbox."""
    columns = (outbox.c.room_id, outbox.c.state, outbox.c.event_id, outbox.c.error)
    row = connection.execute(select(*columns).where(outbox.c.txn_id == txn_id)).first()
    return None if row is None else Sending(row.room_id, OutboxState(row.state), row.event_id, row.error)


def answering(connection: Connection, event_id: str) -> tuple[InboxState, frozenset[str]]:
    """Where the bots of an event's room stand with it, and which of them gave up. What is gone is done."""
    query = select(inbox.c.state, inbox.c.done_by).where(inbox.c.event_id == event_id)
    row = connection.execute(query).first()
    if row is None:
        return InboxState.DONE, frozenset()
    names = [name.removesuffix(GAVE_UP) for name in row.done_by.split("\n") if name.endswith(GAVE_UP)]
    # A bot's consumer is called by its instance and its user.
    return InboxState(row.state), frozenset(name.partition(":")[2] for name in names)


# Old entries, and people's rights


def active(connection: Connection, since: int, limit: int) -> list[str]:
    """Rooms in which something was numbered since a time, the last ones first."""
    query = select(chat_heads.c.room_id).where(chat_heads.c.updated_at >= since)
    return list(connection.execute(query.order_by(chat_heads.c.updated_at.desc()).limit(limit)).scalars())


def due(connection: Connection, before: int, limit: int) -> list[str]:
    """Chats whose first entry was numbered before a time."""
    first = (chat_timeline.c.chat_id == chat_heads.c.chat_id) & (chat_timeline.c.seq == chat_heads.c.first)
    query = select(chat_heads.c.chat_id).join(chat_timeline, first).where(chat_timeline.c.numbered_at < before)
    return list(connection.execute(query.limit(limit)).scalars())


def deleted(connection: Connection, limit: int) -> list[str]:
    """Chats that were deleted for all, of which something is kept here."""
    query = (
        select(chat_heads.c.chat_id)
        .join(chats, chats.c.room_id == chat_heads.c.room_id)
        .where(chats.c.deleted_at.is_not(None), chat_heads.c.first <= chat_heads.c.head)
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def forget_before(connection: Connection, chat_id: str, before: int, limit: int) -> int:
    """Forget entries of a chat that were numbered before a time, the first ones first; how many.

    Numbers are not given again, and who asks for what is forgotten is told so.
    """
    last = last_before(connection, chat_id, before)
    now = head(connection, chat_id)
    if now is None or last < now.first:
        return 0
    seq = min(last, now.first + limit - 1)
    where = (chat_timeline.c.chat_id == chat_id, chat_timeline.c.seq <= seq)
    forgotten = connection.execute(delete(chat_timeline).where(*where)).rowcount
    connection.execute(update(chat_heads).where(chat_heads.c.chat_id == chat_id).values(first=seq + 1))
    return forgotten


def forget_chat(connection: Connection, chat_id: str) -> None:
    """The chat was deleted for all: only its head stays, so that no number is given twice."""
    connection.execute(delete(chat_timeline).where(chat_timeline.c.chat_id == chat_id))
    connection.execute(delete(chat_marks).where(chat_marks.c.chat_id == chat_id))
    here = chat_heads.c.chat_id == chat_id
    connection.execute(update(chat_heads).where(here).values(first=chat_heads.c.head + 1))


def marks_of(connection: Connection, user_id: str) -> list[tuple[str, Mark]]:
    """How far somebody has come, by chat."""
    query = select(chat_marks).where(chat_marks.c.user_id == user_id).order_by(chat_marks.c.chat_id)
    return [(row["chat_id"], _mark(row)) for row in connection.execute(query).mappings()]


def entries_of(
    connection: Connection, user_id: str, *, after: tuple[str, int] = ("", 0), limit: int = 1_000
) -> list[tuple[str, Numbered]]:
    """A part of what somebody sent, by chat and number."""
    chat_id, seq = after
    behind = (chat_timeline.c.chat_id > chat_id) | ((chat_timeline.c.chat_id == chat_id) & (chat_timeline.c.seq > seq))
    query = (
        select(chat_timeline)
        .where(chat_timeline.c.sender == user_id, behind)
        .order_by(chat_timeline.c.chat_id, chat_timeline.c.seq)
        .limit(limit)
    )
    return [(row["chat_id"], _kept(row).numbered) for row in connection.execute(query).mappings()]


def erase(connection: Connection, user_id: str, pseudonym: str) -> None:
    """Nothing here names a person any more; the numbers stay, for others hold them."""
    connection.execute(delete(chat_marks).where(chat_marks.c.user_id == user_id))
    connection.execute(update(chat_timeline).where(chat_timeline.c.sender == user_id).values(sender=pseudonym))
    named = (chat_timeline.c.type == "m.room.member", chat_timeline.c.state_key == user_id)
    connection.execute(update(chat_timeline).where(*named).values(state_key=pseudonym))


def _known(connection: Connection, event_ids: Sequence[str]) -> set[str]:
    known: set[str] = set()
    for some in _parts(event_ids):
        known.update(
            connection.execute(select(chat_timeline.c.event_id).where(chat_timeline.c.event_id.in_(some))).scalars()
        )
    return known


def _parts(values: Sequence[str]) -> list[Sequence[str]]:
    return [values[start : start + PARAMETERS] for start in range(0, len(values), PARAMETERS)]


def _kept(row: RowMapping | Mapping[str, object]) -> Kept:
    values = {name: row[name] for name in Entry.__slots__}
    return Kept(Numbered(int(str(row["seq"])), Entry(**values)), bool(row["redacted"]), int(str(row["numbered_at"])))  # type: ignore[arg-type]


def _mark(row: RowMapping) -> Mark:
    return Mark(**{name: row[name] for name in Mark.__slots__})
