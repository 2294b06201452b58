"""The search index, on SQLite and PostgreSQL. Plain functions on a connection; times are ms.

A document's id is its time, so that "the newest first" is the order of the index itself and a page begins where the
last one ended. FTS5 hands rows out in that order, one after the other: a common word costs no more than a rare one. A
GIN index knows no order, so PostgreSQL is asked twice: first whether the newest documents hold enough answers (a common
word ends here), then the index for the rest (of which there are few then).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    cast,
    delete,
    func,
    insert,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import Text

from appservice.database import insert_ignore
from appservice.store.upsert import upsert
from bridge.domain.search import (
    ID_BITS,
    SPAN_BITS,
    All,
    AnyOf,
    Expression,
    Lookup,
    as_fts5,
    as_tsquery,
    first_id,
    span_of,
)
from bridge.store.chat_tables import chat_members, chats
from bridge.store.search_tables import FTS, search_documents, search_history, search_leave

NEWEST, MOST_LOOKED_AT = 2_000, 8_000
"""Documents that PostgreSQL looks at one by one first; and at most, when it seems that these will do."""
NEWEST_APART, MOST_APART = 500, 1_000
"""The same for those of a chat or of a person, which lie apart."""
MOST_SPANS: Final = 64
"""Spans of time that the index is asked for at once."""
LIKELY: Final = 0.7
"""Of the answers that there would be, were the words as common in the chats as everywhere."""
FURTHER: Final = 3
"""Times that it is asked for spans, before it is asked for all the rest."""
QUIET: Final = 10
"""Of the newest documents in the chats that are asked for; fewer than that is few."""
NAMED: Final = 3
"""Chats that the index is asked for by their terms; more are compared with."""
TIMEOUT_MS: Final = 5_000
PARAMETERS: Final = 500
CANCELED: Final = "57014"
"""SQLSTATE "query canceled"."""
_LAST: Final = 2**63 - 1


class Slow(Exception):
    """A question took longer than :data:`TIMEOUT_MS`."""


@dataclass(frozen=True, slots=True)
class Document:
    """A message as it is kept. Of an unencrypted chat with its ``body``, of an encrypted one with it ``sealed``."""

    event_id: str
    room_id: str
    chat_id: str
    sender: str
    kind: str
    body: str = ""
    sealed: bytes | None = None
    edited_by: str | None = None
    id: int = 0


@dataclass(frozen=True, slots=True)
class PlaceOf:
    """A chat that somebody is in. ``since``: ms."""

    chat_id: str
    encrypted: bool
    public: bool
    since: int


@dataclass(frozen=True, slots=True)
class History:
    """How far the past of an adopted chat was taken in."""

    chat_id: str
    room_id: str
    token: str
    taken: int
    done_at: int | None = None


# Documents


def add(connection: Connection, documents: Sequence[tuple[Document, int, Sequence[str]]]) -> int:
    """Keep messages, with their time (ms) and the terms by which each is found; how many were new."""
    known = _known(connection, [document.event_id for document, _, _ in documents])
    rows: list[dict[str, Any]] = []
    taken: set[int] = set()
    for document, at, terms in documents:
        if document.event_id in known:
            continue
        known.add(document.event_id)
        row = {name: getattr(document, name) for name in Document.__slots__}
        row["id"] = _free_id(connection, at, document.event_id, taken)
        taken.add(row["id"])
        rows.append(row | {"terms": list(terms)})
    if rows:
        # In the order of their ids: FTS5 begins a new part of the index for each step back.
        _insert(connection, sorted(rows, key=lambda row: int(row["id"])))
    return len(rows)


def change(
    connection: Connection, event_id: str, edited_by: str | None, body: str, sealed: bytes | None, terms: Sequence[str]
) -> bool:
    """A message says something else now; whether there is such a message."""
    columns = (search_documents.c.id, search_documents.c.terms)
    row = connection.execute(select(*columns).where(search_documents.c.event_id == event_id)).first()
    if row is None:
        return False
    values: dict[str, Any] = {"edited_by": edited_by, "body": body, "sealed": sealed}
    if connection.dialect.name == "sqlite":
        _forget_terms(connection, [(row.id, row.terms)])
        values["terms"] = " ".join(terms)
        _remember_terms(connection, [(row.id, values["terms"])])
    else:
        values["terms"] = func.array_to_tsvector(cast(list(terms), ARRAY(Text)))
    connection.execute(update(search_documents).where(search_documents.c.id == row.id).values(**values))
    return True


def remove(connection: Connection, event_ids: Collection[str]) -> int:
    """Messages are found no more, as if they had never been; how many of these there were."""
    return sum(
        _remove(connection, search_documents.c.event_id.in_(some), PARAMETERS) for some in _parts(list(event_ids))
    )


def remove_chat(connection: Connection, chat_id: str, limit: int) -> int:
    """Nothing of a chat is found any more; how many messages: fewer than ``limit`` when it is done."""
    return _remove(connection, search_documents.c.chat_id == chat_id, limit)


def remove_sender(connection: Connection, user_id: str, limit: int = 1_000) -> int:
    """Nothing of a person's is found any more, as above."""
    return _remove(connection, search_documents.c.sender == user_id, limit)


def find(connection: Connection, event_id: str) -> Document | None:
    """The document of a message."""
    query = _documents().where(search_documents.c.event_id == event_id)
    row = connection.execute(query).mappings().first()
    return None if row is None else _document(row)


def edited_by(connection: Connection, event_id: str) -> Document | None:
    """The document whose text an edit has made."""
    query = _documents().where(search_documents.c.edited_by == event_id)
    row = connection.execute(query).mappings().first()
    return None if row is None else _document(row)


def load(connection: Connection, ids: Sequence[int]) -> list[Document]:
    """Documents, in the order of these ids."""
    rows = connection.execute(_documents().where(search_documents.c.id.in_(ids))).mappings()
    found = {row["id"]: _document(row) for row in rows}
    return [found[each] for each in ids if each in found]


def of_sender(connection: Connection, user_id: str, *, after: int = 0, limit: int = 500) -> list[Document]:
    """A part of what somebody said, the first first."""
    mine = (search_documents.c.sender == user_id, search_documents.c.id > after)
    query = _documents().where(*mine).order_by(search_documents.c.id).limit(limit)
    return [_document(row) for row in connection.execute(query).mappings()]


# Questions


def search(
    connection: Connection,
    what: Lookup,
    *,
    since: int | None = None,
    until: int | None = None,
    before: int | None = None,
    limit: int = 20,
) -> list[int]:
    """The ids of the documents that are found, the newest first.

    Args:
        since, until: ms, both included.
        before: the last id of the page before.

    Raises:
        Slow: it took too long.
    """
    low = 0 if since is None else first_id(since)
    high = _LAST if until is None else first_id(until + 1)
    high = high if before is None else min(high, before)
    if connection.dialect.name == "sqlite":
        query = text(
            f"SELECT rowid FROM {FTS} WHERE {FTS} MATCH :what AND rowid >= :low AND rowid < :high "  # noqa: S608
            "ORDER BY rowid DESC LIMIT :limit"
        )
        values = {"what": as_fts5(what.whole), "low": low, "high": high, "limit": limit}
        return list(connection.execute(query, values).scalars())
    try:
        return _Postgres(connection, what).search(low, high, limit)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == CANCELED:
            raise Slow from error
        raise


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was found in a window: how many documents it has, the ids of the first and the last, in how many the words
    are, and how many are in the chats.
    """

    hits: list[int]
    count: int
    first: int
    last: int
    worded: int
    here: int


class _Postgres:
    """One question to PostgreSQL.

    A GIN index lists all documents that have a term, in no order, and each of them has to be looked up. So it is asked
    for as few as will do: how common the words are shows in the newest documents, and how far back enough of them lie.
    """

    def __init__(self, connection: Connection, what: Lookup) -> None:
        self._connection = connection
        # One plan for all words would be made for none: a word may stand in every third message, or in none.
        query = text(
            "SELECT set_config('statement_timeout', :timeout, true), "
            "set_config('plan_cache_mode', 'force_custom_plan', true)"
        )
        connection.execute(query, {"timeout": str(TIMEOUT_MS)})
        column = search_documents.c
        named = 0 < len(what.chats) <= NAMED
        # Many chats are dear to the index, and cheap to compare with.
        self._found = what.whole if named or not what.chats else what.loose
        self._span = what.span
        self._chats = sorted(what.chats) if len(what.chats) > 1 else []
        self._near: list[ColumnElement[bool]] = []
        if len(what.chats) == 1:
            self._near.append(column.chat_id == next(iter(what.chats)))
        elif what.sender:
            self._near.append(column.sender == what.sender)

    def search(self, low: int, high: int, limit: int) -> list[int]:
        """Ids from ``low`` on and below ``high``."""
        found: list[int] = []
        window, most = (NEWEST_APART, MOST_APART) if self._near else (NEWEST, MOST_LOOKED_AT)
        looked = worded = here = 0
        newest = high
        while window <= most:
            seen = self._newest(low, high, window)
            newest = newest if looked else seen.first
            found += seen.hits
            looked, worded, here, high = looked + seen.count, worded + seen.worded, here + seen.here, seen.last
            if len(found) >= limit or seen.count < window:
                return found[:limit]
            # As many more as will probably do. By chance none may be here of a word that is not rare.
            likely = max(len(found), LIKELY * worded * here / max(looked, 1), 0.5)
            window = int(1.5 * looked * (limit - len(found)) / likely) + 1
        quiet = here < QUIET
        if worded and not quiet:
            found, high = self._further(found, newest, (low, high), window / looked, limit)
        if len(found) < limit and high > low:
            found += self._all(low, high, limit - len(found), quiet=quiet)
        return found

    def _further(
        self, found: list[int], newest: int, between: tuple[int, int], times: float, limit: int
    ) -> tuple[list[int], int]:
        """Ask the index for a time that will probably do, and for some more should it not: all the rest would be dear.

        Args:
            newest, between, times: the spans are those of :meth:`_spans` before ``between[1]``.

        Returns:
            What is found now, and the id from which on everything was looked through.
        """
        low, high = between
        spans = self._spans(newest, high, times)
        for _ in range(FURTHER):
            if not spans or len(found) >= limit or high <= low:
                break
            oldest = max(low, spans[0] << ID_BITS + SPAN_BITS)
            more = self._all(oldest, high, limit - len(found), spans=spans)
            found, high = found + more, oldest
            count = int(2 * len(spans) * (limit - len(found)) / max(len(more), 0.5)) + 1
            spans = [] if count > MOST_SPANS else list(range(max(spans[0] - count, 0), spans[0]))
        return found, high

    def _spans(self, newest: int, last: int, times: float) -> list[int]:
        """The spans of time, the oldest first, in which so many times as many documents lie before ``last`` as from
        there to ``newest``; none when these are too many to be asked for.
        """
        back = int((newest - last) * times)
        oldest, youngest = span_of(max(last - back, 0)), span_of(last)
        return [] if youngest - oldest >= MOST_SPANS else list(range(oldest, youngest + 1))

    def _newest(self, low: int, high: int, window: int) -> _Seen:
        """What is found among the newest documents."""
        column = search_documents.c
        here = column.chat_id.in_(self._chats) if self._chats else true()
        newest = (
            select(column.id, here.label("here"), self._has(self._found).label("worded"))
            .where(*self._near, column.id >= low, column.id < high)
            .order_by(column.id.desc())
            .limit(window)
            .subquery("newest")
        )
        row = self._connection.execute(
            select(
                func.array_agg(newest.c.id).filter(newest.c.here, newest.c.worded),
                func.count(),
                func.max(newest.c.id),
                func.min(newest.c.id),
                func.count().filter(newest.c.worded),
                func.count().filter(newest.c.here),
            )
        ).one()
        return _Seen(sorted(row[0] or (), reverse=True), row[1], row[2] or 0, row[3] or 0, row[4], row[5])

    def _all(self, low: int, high: int, limit: int, *, spans: Sequence[int] = (), quiet: bool = False) -> list[int]:
        """What the index finds.

        Args:
            spans: the spans of time from ``low`` to ``high``, to be asked for too.
            quiet: few messages are in the chats: looking through these is quicker than through all of the words.
        """
        column = search_documents.c
        found = self._found
        if spans and found is not None:
            found = All((found, AnyOf(tuple(self._span(number) for number in spans))))
        where = [self._has(found), column.id >= low, column.id < high]
        inside = bool(self._chats) and (quiet or found is None)
        if inside:
            where.append(column.chat_id.in_(self._chats))
        # Apart, or the planner may read the whole table backwards in the hope of an early end.
        rest = select(column.id, column.chat_id, column.sender).where(*where).offset(0).cte("rest")
        query = select(rest.c.id).order_by(rest.c.id.desc()).limit(limit)
        if self._chats and not inside:
            query = query.where(rest.c.chat_id.in_(self._chats))
        return list(self._connection.execute(query).scalars())

    @staticmethod
    def _has(found: Expression | None) -> ColumnElement[bool]:
        return true() if found is None else search_documents.c.terms.op("@@")(cast(as_tsquery(found), TSQUERY))


# Leave to search encrypted chats


def give_leave(connection: Connection, chat_id: str, user_id: str, now: int) -> None:
    """A chat is searched from now on."""
    upsert(connection, search_leave, {"chat_id": chat_id, "user_id": user_id, "given_at": now})


def take_leave(connection: Connection, chat_id: str) -> None:
    """It is not any more."""
    connection.execute(delete(search_leave).where(search_leave.c.chat_id == chat_id))


def leave_of(connection: Connection) -> dict[str, str]:
    """Who gave leave, by chat."""
    return {row.chat_id: row.user_id for row in connection.execute(select(search_leave))}


def leave_given_by(connection: Connection, user_id: str) -> list[tuple[str, int]]:
    """The chats to whose search somebody gave leave, and when (ms)."""
    query = select(search_leave).where(search_leave.c.user_id == user_id).order_by(search_leave.c.chat_id)
    return [(row.chat_id, row.given_at) for row in connection.execute(query)]


# The past of adopted chats


def begin_history(connection: Connection, chat_id: str, room_id: str) -> None:
    """A chat's past is to be taken in."""
    row = {"chat_id": chat_id, "room_id": room_id, "token": "", "taken": 0}
    connection.execute(insert_ignore(connection, search_history, "chat_id"), row)


def history(connection: Connection, chat_id: str) -> History | None:
    """How far it is."""
    row = connection.execute(select(search_history).where(search_history.c.chat_id == chat_id)).mappings().first()
    return None if row is None else _history(row)


def open_histories(connection: Connection, limit: int) -> list[History]:
    """Those that are not at their end."""
    query = select(search_history).where(search_history.c.done_at.is_(None)).limit(limit)
    return [_history(row) for row in connection.execute(query).mappings()]


def histories(connection: Connection) -> set[str]:
    """Chats whose past was or is being taken in."""
    return set(connection.execute(select(search_history.c.chat_id)).scalars())


def move_history(connection: Connection, chat_id: str, token: str, taken: int, done_at: int | None) -> None:
    """It goes on from here."""
    where = search_history.c.chat_id == chat_id
    values = {"token": token, "taken": search_history.c.taken + taken, "done_at": done_at}
    connection.execute(update(search_history).where(where).values(**values))


# Chats


def places_of(connection: Connection, user_id: str, limit: int = 300) -> list[PlaceOf]:
    """The chats that somebody is in and that may be searched, the newest first."""
    query = (
        select(chats.c.id, chats.c.encrypted, chats.c.public, chat_members.c.since)
        .join(chat_members, chat_members.c.room_id == chats.c.room_id)
        .where(
            chat_members.c.user_id == user_id,
            chat_members.c.membership == "join",
            chats.c.deleted_at.is_(None),
            chats.c.successor.is_(None),
            or_(chats.c.encrypted.is_(False), chats.c.kind == "service"),
        )
        .order_by(chat_members.c.since.desc())
        .limit(limit)
    )
    return [PlaceOf(row.id, row.encrypted, row.public, row.since) for row in connection.execute(query)]


def alive(connection: Connection, chat_ids: Collection[str]) -> set[str]:
    """Those of these chats that were not deleted."""
    query = select(chats.c.id).where(chats.c.id.in_(chat_ids), chats.c.deleted_at.is_(None))
    return set(connection.execute(query).scalars())


def rooms(connection: Connection) -> set[str]:
    """Every room, replaced ones too, that may have documents."""
    return set(connection.execute(select(chats.c.room_id).where(chats.c.deleted_at.is_(None))).scalars())


def deleted(connection: Connection, limit: int) -> list[str]:
    """Chats that were deleted for all and of which something is still found."""
    there = select(search_documents.c.id).where(search_documents.c.chat_id == chats.c.id).exists()
    query = select(chats.c.id).where(chats.c.deleted_at.is_not(None), there).limit(limit)
    return list(connection.execute(query).scalars())


def _insert(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    if connection.dialect.name == "sqlite":
        written = [row | {"terms": " ".join(row["terms"])} for row in rows]
        connection.execute(insert(search_documents), written)
        _remember_terms(connection, [(row["id"], row["terms"]) for row in written])
        return
    terms = func.array_to_tsvector(func.string_to_array(bindparam("joined"), " "))
    written = [
        {name: value for name, value in row.items() if name != "terms"} | {"joined": " ".join(row["terms"])}
        for row in rows
    ]
    connection.execute(insert(search_documents).values(terms=terms), written)


def _remember_terms(connection: Connection, rows: Iterable[tuple[int, str]]) -> None:
    query = text(f"INSERT INTO {FTS} (rowid, terms) VALUES (:id, :terms)")  # noqa: S608
    connection.execute(query, [{"id": each, "terms": terms} for each, terms in rows])


def _forget_terms(connection: Connection, rows: Iterable[tuple[int, str]]) -> None:
    """FTS5 has to be told what was there."""
    query = text(f"INSERT INTO {FTS} ({FTS}, rowid, terms) VALUES ('delete', :id, :terms)")  # noqa: S608
    connection.execute(query, [{"id": each, "terms": terms} for each, terms in rows])


def _remove(connection: Connection, where: Any, limit: int) -> int:
    query = select(search_documents.c.id, search_documents.c.terms).where(where).limit(limit)
    rows = [(row.id, row.terms) for row in connection.execute(query)]
    if not rows:
        return 0
    if connection.dialect.name == "sqlite":
        _forget_terms(connection, rows)
    for some in _parts([each for each, _ in rows]):
        connection.execute(delete(search_documents).where(search_documents.c.id.in_(some)))
    return len(rows)


def _free_id(connection: Connection, at: int, event_id: str, taken: Collection[int]) -> int:
    """An id of this time that no other document has."""
    low, mask = first_id(at), (1 << ID_BITS) - 1
    offset = crc32(event_id.encode()) & mask
    while True:
        found = low | offset
        query = select(search_documents.c.id).where(search_documents.c.id == found)
        if found not in taken and connection.execute(query).first() is None:
            return found
        offset = (offset + 1) & mask


def _known(connection: Connection, event_ids: Sequence[str]) -> set[str]:
    known: set[str] = set()
    for some in _parts(event_ids):
        query = select(search_documents.c.event_id).where(search_documents.c.event_id.in_(some))
        known.update(connection.execute(query).scalars())
    return known


def _parts(values: Sequence[Any]) -> list[Sequence[Any]]:
    return [values[start : start + PARAMETERS] for start in range(0, len(values), PARAMETERS)]


def _documents() -> Any:
    return select(*(search_documents.c[name] for name in Document.__slots__))


def _document(row: RowMapping) -> Document:
    return Document(**{name: row[name] for name in Document.__slots__})


def _history(row: RowMapping) -> History:
    return History(**{name: row[name] for name in History.__slots__})
