"""Who is free and where: read of the database by what has changed, and opened once for each change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection

from bots.commerce.hand import Reader
from bots.domain.dispatch import FreeDriver
from bots.domain.drivers import Driver, DriverState
from bots.domain.trips import Trip, TripState
from bots.store import drivers as driver_sql
from bots.store import trips as trip_sql

if TYPE_CHECKING:
    from bots.fleet.fleet import Fleet

__all__ = ["Free"]

FRESH_MS: Final = 2_000
"""For a quote, who was free so long ago will do."""


class Free:
    """Free drivers and waiting trips of a fleet, opened once for each revision."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._drivers: dict[str, Driver] = {}
        self._trips: dict[str, Trip] = {}
        self._read_at = 0
        self._last: list[FreeDriver] = []

    async def drivers(self, reader: Reader) -> list[FreeDriver]:
        """Who is free and where, two seconds old at most."""
        now = self.fleet.trade.clock.now_ms()
        if not 0 <= now - self._read_at < FRESH_MS:
            await self.read_drivers(reader)
        return self._last

    async def read_drivers(self, reader: Reader) -> dict[str, Driver]:
        """Who is free, by user id, as they are now; those whose position is old are asked for nothing.

        Raises:
            DatabaseError: that is unknown now.
        """
        name, most = self.fleet.name, self.fleet.terms.drivers_most

        def read(connection: Connection) -> tuple[list[str], list[driver_sql.DriverRow]]:
            found = driver_sql.free(connection, name, DriverState.ONLINE.value, most)
            stale = [
                person
                for person, revision in found
                if (known := self._drivers.get(person)) is None or known.revision != revision
            ]
            return [person for person, _revision in found], driver_sql.named(connection, name, stale)

        people, rows = await reader.query(read)
        fresh = {row.person: self.fleet.book.driver(row) for row in rows}
        self._drivers = {each: fresh.get(each) or self._drivers[each] for each in people}
        self._read_at = self.fleet.trade.clock.now_ms()
        self._last = self._located()
        return self._drivers

    def _located(self) -> list[FreeDriver]:
        stale = self._read_at - self.fleet.terms.stale.total_seconds() * 1000
        found = []
        for person, driver in self._drivers.items():
            seen = self.fleet.positions.last(person)
            if driver.free and seen is not None and seen.heard_at >= stale:
                idle = driver.idle_since.timestamp()
                found.append(FreeDriver(person, seen.position.point, driver.services, idle))
        return found

    async def read_trips(self, reader: Reader) -> dict[str, Trip]:
        """The trips that search, by id, those that lost a driver first.

        Raises:
            DatabaseError: that is unknown now.
        """
        name, most = self.fleet.name, self.fleet.terms.trips_most

        def read(connection: Connection) -> tuple[Sequence[str], list[trip_sql.TripRow]]:
            found = trip_sql.waiting(connection, name, TripState.SEARCHING.value, most)
            stale = [
                trip_id
                for trip_id, revision, waves in found
                if (known := self._trips.get(trip_id)) is None or (known.revision, known.waves) != (revision, waves)
            ]
            return [trip_id for trip_id, _revision, _waves in found], trip_sql.named(connection, name, stale)

        ids, rows = await reader.query(read)
        fresh = {row.id: self.fleet.book.trip(row) for row in rows}
        self._trips = {each: fresh.get(each) or self._trips[each] for each in ids}
        return self._trips
