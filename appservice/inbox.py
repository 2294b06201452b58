"""The inbox: every event the homeserver pushed, stored before the homeserver hears 200, worked in order per room."""

from __future__ import annotations

import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, delete, func, select, update

from appservice import json
from appservice.database import Database, insert_ignore
from appservice.events import INTERNAL, Event, InternalEvent, Transaction, defect, shard_of
from appservice.sealing import Sealer
from appservice.store import checkpoints
from appservice.store.bulk import INBOX_INSERT
from appservice.store.tables import InboxState, inbox, transactions
from appservice.writer import Job, Writer

PURGE_SPAN = 5_000
CHECKPOINT_MARGIN_MS = 120_000
PARAMETERS = 10_000
"""Of one statement; SQLite and PostgreSQL take about 32,000."""
# Those that an operator wants again (REPLAY) are taken up by the housekeeping, at a start too.
OPEN_STATES = (InboxState.PENDING, InboxState.PARKED)
GAVE_UP = "!gave-up"
"""Behind a consumer's name in ``done_by``: its last attempt has failed."""


@dataclass(slots=True)
class InboxItem:
    """An event on its way through the worker."""

    shard: int
    seq: int
    room_id: str
    event_id: str
    payload: bytes | None
    """The event as JSON: smaller than the event itself. None when it is still in the database only."""
    received_at: int
    attempts: int = 0
    done_by: frozenset[str] = frozenset()
    state: InboxState = InboxState.PENDING
    session_id: str | None = None
    error: str | None = None
    uncertain: bool = False
    """A commit was lost on the way: how far it came must be read again."""
    careful: bool = False
    """A commit was refused or lost: the next one is waited for, and looks whether the lost one happened after all."""

    def renew(self) -> None:
        """An operator wants it tried again: from the first attempt on, by those who have given up."""
        self.state, self.error, self.attempts = InboxState.PENDING, None, 0
        self.done_by = frozenset(name for name in self.done_by if not name.endswith(GAVE_UP))

    def progress(self, **changes: Any) -> dict[str, Any]:
        """The parameters of INBOX_PROGRESS; ``changes`` are not made to the item."""
        return {
            "shard": self.shard,
            "seq": self.seq,
            "state": int(self.state),
            "attempts": self.attempts,
            "done_by": "\n".join(sorted(self.done_by)),
            "session_id": self.session_id,
            "error": self.error,
        } | changes

    def finish(self) -> dict[str, Any]:
        """The parameters of INBOX_FINISH."""
        return {
            "shard": self.shard,
            "seq": self.seq,
            "state": int(InboxState.DONE),
            "finished_at": now_ms(),
        }


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class Inbox:
    """Stores transactions and gives out what is not finished."""

    def __init__(self, database: Database, writer: Writer, shards: int = 1, sealer: Sealer | None = None) -> None:
        """
        Args:
            sealer: seals the content of internal events; without it they are stored as they are.
        """
        self._sealer = sealer
        self._database = database
        self._writer = writer
        self._shards = shards
        self._seq: dict[int, int] = {}

    async def start(self) -> None:
        """Find where the sequence of each shard stands."""

        def read(connection: Connection) -> dict[int, int]:
            # The newest row of a shard is never purged while the service runs, and a gap harms nobody.
            rows = connection.execute(select(inbox.c.shard, func.max(inbox.c.seq)).group_by(inbox.c.shard))
            return {row[0]: row[1] for row in rows}

        self._seq = await self._database.read(read)

    async def store(self, transaction: Transaction) -> tuple[list[InboxItem], bool]:
        """Store a transaction's events; those that are stored already stay as they are.

        Malformed events are stored too, as dead letters: the homeserver would send them again for ever otherwise.

        Returns:
            The new, well-formed events in their order, and whether the transaction id is new.

        Raises:
            DatabaseError: the homeserver must send it again.
        """
        rows = _rows(transaction)
        result: tuple[list[InboxItem], bool] = await self._writer.submit(
            Job(work=lambda connection: self._insert(connection, transaction.txn_id[:255], rows)), urgent=True
        )
        return result

    def _insert(
        self, connection: Connection, txn_id: str, rows: dict[str, dict[str, Any]]
    ) -> tuple[list[InboxItem], bool]:
        now = now_ms()
        fresh = (
            connection.execute(
                insert_ignore(connection, transactions, "shard", "txn_id"),
                {"shard": 0, "txn_id": txn_id, "received_at": now},
            ).rowcount
            > 0
        )
        return (self._insert_rows(connection, rows) if rows else []), fresh

    def _insert_rows(self, connection: Connection, rows: dict[str, dict[str, Any]]) -> list[InboxItem]:
        now = now_ms()
        known = _known(connection, list(rows))
        new = [row for event_id, row in rows.items() if event_id not in known]
        items = []
        for row in new:
            shard = shard_of(row["room_id"], self._shards)
            seq = self._seq[shard] = self._seq.get(shard, 0) + 1
            row["shard"], row["seq"], row["received_at"] = shard, seq, now
            if row["state"] == InboxState.PENDING:
                items.append(InboxItem(shard, seq, row["room_id"], row["event_id"], row["payload"], now))
        if new:
            INBOX_INSERT.run(connection, new)
        return items

    async def raise_events(self, work: Callable[[Connection], Iterable[InternalEvent]]) -> list[InboxItem]:
        """Run ``work`` and store the internal events that it returns, in one commit; the new ones.

        Raises:
            DatabaseError: nothing was kept, or the outcome is unknown.
        """
        job = Job(work=lambda connection: self.insert_internal(connection, work(connection)))
        items: list[InboxItem] = await self._writer.submit(job)
        return items

    def insert_internal(self, connection: Connection, events: Iterable[InternalEvent]) -> list[InboxItem]:
        """Store internal events in the commit at hand; those that are stored already stay as they are."""
        rows = {
            event.event_id: {
                "event_id": event.event_id,
                "room_id": event.room_id,
                "payload": self._written(event),
                "state": int(InboxState.PENDING),
                "error": None,
            }
            for event in events
        }
        return self._insert_rows(connection, rows) if rows else []

    def _written(self, event: InternalEvent) -> bytes:
        raw: dict[str, Any] = {
            "event_id": event.event_id,
            "room_id": event.room_id,
            "sender": event.sender,
            "type": event.type,
            "origin_server_ts": now_ms(),
            "consumer": event.consumer,
        }
        if self._sealer is None:
            raw["content"] = dict(event.content)
        else:
            sealed = self._sealer.seal(json.dumps(dict(event.content)), event.event_id)
            raw["content"] = {"sealed": b64encode(sealed).decode()}
        return json.dumps(raw)

    def read(self, payload: bytes) -> tuple[Event, dict[str, Any]]:
        """The event that a row holds, and as it was written.

        Raises:
            SealBroken: it is an internal event that was sealed with another key.
        """
        raw: dict[str, Any] = json.loads(payload)
        if not raw["event_id"].startswith(INTERNAL):
            return Event.parse(raw), raw
        if self._sealer is not None and "sealed" in raw["content"]:
            opened = self._sealer.open(b64decode(raw["content"]["sealed"]), raw["event_id"])
            raw["content"] = json.loads(opened)
        return replace(Event.parse(raw), consumer=raw["consumer"]), raw

    async def unfinished(self) -> list[InboxItem]:
        """Everything pending or parked, in order, without the events themselves: see :meth:`load`."""

        def read(connection: Connection) -> list[InboxItem]:
            columns = [column for column in inbox.c if column.name != "payload"]
            query = select(*columns).where(inbox.c.state != int(InboxState.DONE), inbox.c.state.in_(OPEN_STATES))
            return [_item(row) for row in connection.execute(query.order_by(inbox.c.shard, inbox.c.seq)).mappings()]

        return await self._database.read(read)

    async def replays(self) -> list[InboxItem]:
        """Dead letters that an operator wants tried again; they are pending from now on."""

        def read(connection: Connection) -> list[InboxItem]:
            columns = [column for column in inbox.c if column.name != "payload"]
            query = select(*columns).where(inbox.c.state != int(InboxState.DONE), inbox.c.state == InboxState.REPLAY)
            return [_item(row) for row in connection.execute(query.order_by(inbox.c.seq)).mappings()]

        return await self._database.read(read)

    async def load(self, items: Sequence[InboxItem]) -> None:
        """Fill in the events of ``items``, and how far each has come."""
        by_seq = {(item.shard, item.seq): item for item in items}

        def read(connection: Connection) -> list[RowMapping]:
            found: list[RowMapping] = []
            for shard in {item.shard for item in items}:
                seqs = [item.seq for item in items if item.shard == shard]
                query = select(inbox).where(inbox.c.shard == shard, inbox.c.seq.in_(seqs))
                found.extend(connection.execute(query).mappings())
            return found

        for row in await self._database.read(read):
            item = by_seq[row["shard"], row["seq"]]
            item.state = InboxState(row["state"])
            item.done_by = _names(row["done_by"])
            item.payload = bytes(row["payload"]) or None

    async def purge(self, before: int) -> int:
        """Forget finished events received before ``before`` (ms), and transaction ids likewise; how many events.

        What came since the oldest checkpoint stays: after an outage the homeserver is asked for it again.
        """

        def work(connection: Connection) -> int:
            removed = 0
            checkpoint = checkpoints.oldest(connection)
            until = before if checkpoint is None else min(before, checkpoint - CHECKPOINT_MARGIN_MS)
            finished = inbox.c.state.in_([InboxState.DONE, InboxState.DROPPED])
            for shard, newest in self._seq.items():
                mine = (inbox.c.shard == shard, finished)
                low = connection.execute(select(inbox.c.seq).where(*mine).order_by(inbox.c.seq).limit(1)).scalar()
                if low is None:
                    continue
                # Rows lie in the order of arrival: look at the oldest span only, never at the whole table. The
                # newest row stays, for the sequence goes on from it.
                high = min(low + PURGE_SPAN, newest - 1)
                old = (inbox.c.seq.between(low, high), inbox.c.received_at < until)
                removed += connection.execute(delete(inbox).where(*mine, *old)).rowcount
            connection.execute(delete(transactions).where(transactions.c.received_at < before))
            return removed

        return await self._database.write(work)


# Made once: to put one together takes longer than to run it.
_THERE = select(inbox.c.event_id).where(inbox.c.event_id.in_(bindparam("ids", expanding=True)))


def _rows(transaction: Transaction) -> dict[str, dict[str, Any]]:
    """The rows of a transaction's events, by event id, without their place in the order."""
    rows: dict[str, dict[str, Any]] = {}
    for index, raw in enumerate(transaction.events):
        problem = defect(raw)
        identified = problem is None
        try:
            payload = json.dumps(raw)
            known_by = payload
        except json.JSONError:
            # To refuse it would stop every later transaction, for the homeserver repeats this one for ever.
            problem, payload = "it is nested too deeply to be stored", b"null"
            known_by = f"{transaction.txn_id}\0{index}".encode(errors="surrogatepass")
        # What has no id of its own is known by its content, so that a second delivery is not a second dead letter.
        event_id = raw["event_id"] if identified else f"!malformed:{sha256(known_by).hexdigest()[:40]}"
        if event_id in rows:
            continue
        rows[event_id] = {
            "event_id": event_id,
            "room_id": "" if problem else raw["room_id"],
            "payload": payload,
            "state": int(InboxState.DEAD if problem else InboxState.PENDING),
            "error": f"malformed: {problem}" if problem else None,
        }
    return rows


def _known(connection: Connection, event_ids: Sequence[str]) -> set[str]:
    """Those that are stored already."""
    known: set[str] = set()
    for start in range(0, len(event_ids), PARAMETERS):
        some = event_ids[start : start + PARAMETERS]
        known.update(connection.execute(_THERE, {"ids": list(some)}).scalars())
    return known


def _names(lines: str) -> frozenset[str]:
    return frozenset(lines.split("\n")) if lines else frozenset()


def _item(row: RowMapping) -> InboxItem:
    return InboxItem(
        shard=row["shard"],
        seq=row["seq"],
        room_id=row["room_id"],
        event_id=row["event_id"],
        payload=None,
        received_at=row["received_at"],
        attempts=row["attempts"],
        done_by=_names(row["done_by"]),
        state=InboxState(row["state"]),
        session_id=row["session_id"],
        error=row["error"],
    )


# What the command line does with dead letters.


@dataclass(frozen=True, slots=True)
class Letter:
    """An event that is not finished, as the operator sees it. The event itself only in :func:`show`."""

    event_id: str
    room_id: str
    state: str
    attempts: int
    error: str | None
    received_at: int
    payload: bytes = b""


async def letters(database: Database, states: Sequence[InboxState], limit: int = 100) -> list[Letter]:
    """Events in these states, oldest first."""

    def read(connection: Connection) -> list[Letter]:
        query = select(inbox).where(inbox.c.state.in_([int(state) for state in states]))
        rows = connection.execute(query.order_by(inbox.c.shard, inbox.c.seq).limit(limit)).mappings()
        return [_letter(row) for row in rows]

    return await database.read(read)


async def show(database: Database, event_id: str) -> Letter | None:
    """One event of the inbox, with its payload."""

    def read(connection: Connection) -> Letter | None:
        row = connection.execute(select(inbox).where(inbox.c.event_id == event_id)).mappings().one_or_none()
        return None if row is None else _letter(row, payload=row["payload"])

    return await database.read(read)


async def replay(database: Database, event_ids: Sequence[str]) -> int:
    """Have these dead letters tried again, from the first attempt on; malformed ones stay. How many."""
    return await _move(database, event_ids, InboxState.REPLAY, attempts=0)


async def drop(database: Database, event_ids: Sequence[str]) -> int:
    """Give these dead letters up and forget their content. How many."""
    return await _move(database, event_ids, InboxState.DROPPED, payload=b"", finished_at=now_ms())


async def _move(database: Database, event_ids: Sequence[str], state: InboxState, **values: Any) -> int:
    def work(connection: Connection) -> int:
        query = update(inbox).where(inbox.c.event_id.in_(event_ids), inbox.c.state == InboxState.DEAD)
        if state is InboxState.REPLAY:
            query = query.where(inbox.c.room_id != "")
        return connection.execute(query.values(state=int(state), **values)).rowcount

    return await database.write(work)


def _letter(row: RowMapping, payload: bytes = b"") -> Letter:
    return Letter(
        event_id=row["event_id"],
        room_id=row["room_id"],
        state=InboxState(row["state"]).name.lower(),
        attempts=row["attempts"],
        error=row["error"],
        received_at=row["received_at"],
        payload=payload,
    )
