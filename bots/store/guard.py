"""SQL of limits: people's tiers and freezes, what they have paid, and the movements that were counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Row, delete, select, tuple_, update

from appservice.database import insert_ignore
from appservice.store.upsert import upsert
from bots.domain.limits import Period, Window
from bots.store.guard_tables import guard_movements, guard_people, guard_usage


@dataclass(frozen=True, slots=True)
class PersonRow:
    """``frozen_at``: by the person. ``held_at``, ``held_by``: by somebody else. Times in ms, None: not so."""

    tier: int = 0
    frozen_at: int | None = None
    held_at: int | None = None
    held_by: str | None = None


@dataclass(frozen=True, slots=True)
class MovementRow:
    """A movement as it was counted; ``counted`` of ``amount`` (minor units) still counts."""

    id: str
    direction: str
    person: str
    counterpart: str
    kind: str
    currency: str
    amount: int
    counted: int
    at: int


def lock(connection: Connection, people: Iterable[str], now: int) -> None:
    """Nobody else checks or changes what these people may pay until the transaction ends."""
    # In one order, so that two payments to and fro do not wait for each other. A row that is not there cannot be
    # locked: it is made.
    for person in sorted(set(people)):
        row = {"person": person, "changed_at": now}
        connection.execute(insert_ignore(connection, guard_people, "person"), row)
        connection.execute(select(guard_people.c.person).where(guard_people.c.person == person).with_for_update())


def person(connection: Connection, name: str) -> PersonRow:
    """A person's tier and freezes."""
    columns = (guard_people.c.tier, guard_people.c.frozen_at, guard_people.c.held_at, guard_people.c.held_by)
    row = connection.execute(select(*columns).where(guard_people.c.person == name)).one_or_none()
    return PersonRow() if row is None else PersonRow(row.tier, row.frozen_at, row.held_at, row.held_by)


def change_person(connection: Connection, name: str, now: int, **values: int | str | None) -> None:
    """Set a person's tier, freeze or hold."""
    upsert(connection, guard_people, {"person": name, "changed_at": now, **values}, {"changed_at": now, **values})


def spent(connection: Connection, name: str, currency: str, window: Window) -> int:
    """What a person has paid within a day or month, in minor units."""
    query = select(guard_usage.c.spent).where(*_usage(name, currency, window.key))
    return int(connection.execute(query).scalar() or 0)


def recent(connection: Connection, name: str, since: int, most: int) -> list[int]:
    """When a person's last payments after ``since`` were; the latest ``most`` of them, latest first."""
    table = guard_movements
    mine = (table.c.person == name, table.c.at > since, table.c.direction == "out")
    query = select(table.c.at).where(*mine).order_by(table.c.at.desc()).limit(most)
    return list(connection.execute(query).scalars())


def movement(connection: Connection, movement_id: str, direction: str) -> MovementRow | None:
    """A movement that was counted."""
    table = guard_movements
    query = select(table).where(table.c.id == movement_id, table.c.direction == direction)
    row = connection.execute(query).one_or_none()
    return None if row is None else _movement(row)


def count(connection: Connection, row: MovementRow) -> bool:
    """Count a movement, once; whether it is new."""
    statement = insert_ignore(connection, guard_movements, "id", "direction")
    values = {field: getattr(row, field) for field in MovementRow.__slots__}
    if connection.execute(statement, values).rowcount != 1:
        return False
    if row.direction == "out":
        _spend(connection, row, row.counted)
    return True


def uncount(connection: Connection, movement_id: str, keep: int) -> None:
    """Of a movement only ``keep`` minor units count from now on, if more did."""
    table = guard_movements
    query = select(table).where(table.c.id == movement_id, table.c.counted > keep).order_by(table.c.direction)
    for row in [_movement(each) for each in connection.execute(query.with_for_update())]:
        mine = (table.c.id == row.id, table.c.direction == row.direction)
        connection.execute(update(table).where(*mine).values(counted=keep))
        if row.direction == "out":
            _spend(connection, row, keep - row.counted)


def movements(connection: Connection, name: str) -> list[MovementRow]:
    """All counted movements of a person, the first first."""
    table = guard_movements
    query = select(table).where(table.c.person == name).order_by(table.c.at, table.c.id, table.c.direction)
    return [_movement(row) for row in connection.execute(query)]


def usage(connection: Connection, name: str) -> list[tuple[str, str, int]]:
    """Currency, day or month, and what was paid in it, in minor units."""
    table = guard_usage
    query = select(table.c.currency, table.c.span, table.c.spent).where(table.c.person == name)
    return [(row.currency, row.span, row.spent) for row in connection.execute(query.order_by(*query.selected_columns))]


def rename(connection: Connection, name: str, pseudonym: str) -> None:
    """Put a pseudonym in a person's place."""
    for column in (
        guard_people.c.person,
        guard_usage.c.person,
        guard_movements.c.person,
        guard_movements.c.counterpart,
    ):
        connection.execute(update(column.table).where(column == name).values({column.name: pseudonym}))


def purge(connection: Connection, before: int, limit: int) -> int:
    """Forget up to ``limit`` days and months, and as many movements, that ended before ``before``; how many."""
    usages, old = guard_usage, guard_movements
    spans = tuple_(usages.c.person, usages.c.currency, usages.c.span)
    over = select(usages.c.person, usages.c.currency, usages.c.span).where(usages.c.ends_at < before).limit(limit)
    done = connection.execute(delete(usages).where(spans.in_(over))).rowcount
    ids = select(old.c.id, old.c.direction).where(old.c.at < before).limit(limit)
    return done + connection.execute(delete(old).where(tuple_(old.c.id, old.c.direction).in_(ids))).rowcount


def _spend(connection: Connection, row: MovementRow, minor: int) -> None:
    """Change what counts in the day and the month of a movement."""
    for window in (Window.at(Period.DAY, row.at), Window.at(Period.MONTH, row.at)):
        if minor < 0:
            query = update(guard_usage).where(*_usage(row.person, row.currency, window.key))
            connection.execute(query.values(spent=guard_usage.c.spent + minor))
            continue
        fresh = {"person": row.person, "currency": row.currency, "span": window.key, "ends_at": window.ends}
        upsert(connection, guard_usage, {**fresh, "spent": minor}, {"spent": guard_usage.c.spent + minor})


def _usage(name: str, currency: str, span: str) -> Sequence[ColumnElement[bool]]:
    return (guard_usage.c.person == name, guard_usage.c.currency == currency, guard_usage.c.span == span)


def _movement(row: Row[tuple[object, ...]]) -> MovementRow:
    return MovementRow(*(getattr(row, field) for field in MovementRow.__slots__))
