"""SQL of the schedules. When a rule is due is the framework's to say."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass

from sqlalchemy import ColumnElement, Connection, RowMapping, bindparam, delete, func, select, update

from appservice.store.upsert import upsert
from bots.store.tables import schedules

# Made once: to put one together takes longer than to run it.
_REMOVE = delete(schedules).where(schedules.c.consumer == bindparam("of"), schedules.c.key == bindparam("called"))


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """One schedule as it is stored. Times: ms since the epoch."""

    consumer: str
    key: str
    room_id: str
    person: str
    kind: str
    rule: str
    content: bytes
    due_at: int
    fired: int
    created_at: int


def put(connection: Connection, row: ScheduleRow) -> None:
    """Store a schedule; one with the same key is replaced."""
    upsert(connection, schedules, asdict(row))


def remove(connection: Connection, consumer: str, key: str) -> None:
    """Forget a schedule."""
    connection.execute(_REMOVE, {"of": consumer, "called": key})


def change(connection: Connection, row: ScheduleRow) -> None:
    """Write what a firing or another time zone has changed: the rule, when it is due, how often it has fired."""
    connection.execute(
        update(schedules)
        .where(schedules.c.consumer == row.consumer, schedules.c.key == row.key)
        .values(rule=row.rule, due_at=row.due_at, fired=row.fired)
    )


def of_consumer(connection: Connection, consumer: str, prefix: str, limit: int) -> list[ScheduleRow]:
    """Those of a consumer whose key begins with ``prefix``, the earliest first."""
    query = select(schedules).where(
        schedules.c.consumer == consumer, func.substr(schedules.c.key, 1, len(prefix)) == prefix
    )
    rows = connection.execute(query.order_by(schedules.c.due_at, schedules.c.key).limit(limit)).mappings()
    return [_row(row) for row in rows]


def of_person(connection: Connection, person: str) -> list[ScheduleRow]:
    """Those that are about one person, of every consumer."""
    rows = connection.execute(select(schedules).where(schedules.c.person == person, schedules.c.person != ""))
    return [_row(row) for row in rows.mappings()]


def due(connection: Connection, now: int, consumers: Collection[str], limit: int) -> list[ScheduleRow]:
    """What is due at ``now`` for these consumers, the earliest first."""
    query = select(schedules).where(schedules.c.due_at <= now, _of(consumers))
    query = query.order_by(schedules.c.due_at, schedules.c.consumer, schedules.c.key).limit(limit)
    return [_row(row) for row in connection.execute(query).mappings()]


def earliest(connection: Connection, consumers: Collection[str]) -> int | None:
    """When the next of these consumers' schedules is due."""
    query = select(schedules.c.due_at).where(_of(consumers))
    return connection.execute(query.order_by(schedules.c.due_at).limit(1)).scalar()


def _of(consumers: Collection[str]) -> ColumnElement[bool]:
    # An expression, so that SQLite walks along the index of due_at to the first, and does not sort all of a consumer's.
    return (schedules.c.consumer + "").in_(consumers)


def _row(row: RowMapping) -> ScheduleRow:
    return ScheduleRow(**{**row, "content": bytes(row["content"])})
