"""SQL of what people may ask for of fleets: the rows that name them, and taking their name out of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection, func, select

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
from bots.store.naming import Naming, Row
from bots.store.surge_tables import surge_overrides

__all__ = ["PEOPLE", "count_open", "count_owed", "in_states"]

PEOPLE: Final = Naming(
    {
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
)
"""The tables with people in them, and the columns that name them."""


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
