"""SQL of the operators' board: what stands in clear, of everybody at once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, and_, select

from bots.store.fleet_tables import drivers, trips

__all__ = ["CarRow", "WaitingRow", "cars", "waiting"]


@dataclass(frozen=True, slots=True)
class CarRow:
    """A driver as the board needs them. ``number``: of the trip that they have; empty: none."""

    person: str
    state: str
    offer: str
    trip: str
    number: str


@dataclass(frozen=True, slots=True)
class WaitingRow:
    """A trip that waits. ``priority`` grows with each driver that it lost: then it waits anew."""

    id: str
    number: str
    service: str
    waves: int
    priority: int


def cars(connection: Connection, bot: str, states: Collection[str], limit: int) -> list[CarRow]:
    """Drivers in some states."""
    theirs = and_(trips.c.id == drivers.c.trip, drivers.c.trip != "")
    query = (
        select(drivers.c.person, drivers.c.state, drivers.c.offer, drivers.c.trip, trips.c.number)
        .select_from(drivers.outerjoin(trips, theirs))
        .where(drivers.c.bot == bot, drivers.c.state.in_(sorted(states)))
        .order_by(drivers.c.person)
        .limit(limit)
    )
    return [CarRow(*row[:4], number=row[4] or "") for row in connection.execute(query)]


def waiting(connection: Connection, bot: str, state: str, limit: int) -> list[WaitingRow]:
    """Trips that wait, the oldest first."""
    query = (
        select(trips.c.id, trips.c.number, trips.c.service, trips.c.waves, trips.c.priority)
        .where(trips.c.bot == bot, trips.c.state == state)
        .order_by(trips.c.id)
        .limit(limit)
    )
    return [WaitingRow(*row) for row in connection.execute(query)]
