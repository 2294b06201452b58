"""SQL of what people may ask for of fleets: the rows that name them, and taking their name out of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, func, or_, select, update

from appservice.store.upsert import upsert
from bots.store.driver_app_tables import driver_tokens
from bots.store.fleet_tables import (
    driver_positions,
    drivers,
    trip_cases,
    trip_offers,
    trip_ratings,
    trip_steps,
    trips,
)
from bots.store.surge_tables import surge_overrides

__all__ = ["PEOPLE", "count_open", "count_owed", "forget", "in_states", "rename", "rows_of", "write"]

Row = dict[str, Any]

PEOPLE: Mapping[str, tuple[Table, tuple[str, ...]]] = {
    "drivers": (drivers, ("person",)),
    "trips": (trips, ("rider", "driver")),
    "steps": (trip_steps, ("person",)),
    "offers": (trip_offers, ("driver",)),
    "positions": (driver_positions, ("person",)),
    "ratings": (trip_ratings, ("person", "rated")),
    "cases": (trip_cases, ("person",)),
    "apps": (driver_tokens, ("person",)),
    "surges": (surge_overrides, ("person",)),
}
"""The tables with people in them, and the columns that name them."""


def _mine(name: str, person: str) -> ColumnElement[bool]:
    table, people = PEOPLE[name]
    return or_(*(table.c[column] == person for column in people))


def rows_of(connection: Connection, name: str, person: str) -> list[Row]:
    """The rows that name a person, in the order of the table's key."""
    table, _people = PEOPLE[name]
    query = select(table).where(_mine(name, person)).order_by(*table.primary_key.columns)
    return [dict(row) for row in connection.execute(query).mappings()]


def count_open(connection: Connection, person: str, column: str, ended: Collection[str]) -> int:
    """How many trips of a person (``rider`` or ``driver``) are not in one of the states that end them."""
    query = select(func.count()).where(trips.c[column] == person, trips.c.state.not_in(sorted(ended)))
    return int(connection.execute(query).scalar_one())


def count_owed(connection: Connection, person: str) -> int:
    """How many trips a driver is still to be paid for."""
    query = select(func.count()).where(trips.c.driver == person, trips.c.owed == 1)
    return int(connection.execute(query).scalar_one())


def in_states(connection: Connection, states: Collection[str]) -> list[Row]:
    """Everybody's trips in some states: who is not to be asked for them lies sealed."""
    query = select(trips).where(trips.c.state.in_(sorted(states))).order_by(trips.c.id)
    return [dict(row) for row in connection.execute(query).mappings()]


def rename(connection: Connection, name: str, person: str, pseudonym: str) -> None:
    """Put a pseudonym in a person's place."""
    table, people = PEOPLE[name]
    for column in people:
        connection.execute(update(table).where(table.c[column] == person).values({column: pseudonym}))


def forget(connection: Connection, name: str, person: str) -> None:
    """Forget the rows that name a person."""
    table, _people = PEOPLE[name]
    connection.execute(delete(table).where(_mine(name, person)))


def write(connection: Connection, name: str, row: Mapping[str, Any]) -> None:
    """Write a row that is there as it is now."""
    upsert(connection, PEOPLE[name][0], row)
