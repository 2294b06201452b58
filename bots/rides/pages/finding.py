"""What the page of a shared trip shows, put together from the fleet."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, TypeVar

from sqlalchemy import Connection

from appservice.database import Database
from bots.domain.drivers import Position
from bots.domain.places import Place, Point
from bots.domain.trips import HAS_DRIVER, Trip, TripState
from bots.fleet.fleet import Fleet, Fleets
from bots.framework.clock import Clock
from bots.rides.pages.share import Shown
from bots.routing.base import RoutingError

__all__ = ["SharedTrips"]

T = TypeVar("T")

KNOWN: Final = 500
"""Ways that are remembered."""


class SharedTrips:
    """Finds trips for :class:`bots.rides.pages.share.SharePage`."""

    def __init__(self, fleets: Fleets, database: Database, clock: Clock) -> None:
        self._fleets = fleets
        self._database = database
        self._clock = clock
        self._lines: OrderedDict[tuple[Point, ...], tuple[Point, ...]] = OrderedDict()

    async def query(self, work: Callable[[Connection], T]) -> T:
        """Read: what the services of the fleet ask of whoever calls them."""
        return await self._database.read(work)

    async def __call__(self, bot: str, trip_id: str) -> Shown | None:
        """A trip as it is now; None: there is no such bot or trip."""
        try:
            fleet = self._fleets.of(bot)
        except LookupError:
            return None
        trip = await fleet.trips.get(self, trip_id)
        if trip is None or trip.pickup.point is None or trip.dropoff.point is None:
            return None
        position = None
        driver = None
        if trip.state in HAS_DRIVER:
            driver = await fleet.drivers.get(self, trip.driver)
            seen = fleet.positions.last(trip.driver)
            position = None if seen is None else seen.position
        way = _points(trip.pickup, *(stop.place for stop in trip.stops), trip.dropoff)
        now = self._clock.now()
        return Shown(
            trip.kind,
            trip.state,
            trip.pickup.point,
            trip.dropoff.point,
            way[1:-1],
            await self._line(fleet, way, now),
            "" if driver is None else driver.name,
            None if driver is None else driver.vehicle,
            position,
            await self._arrives(fleet, trip, position, now),
            trip.passenger,
        )

    async def _line(self, fleet: Fleet, way: tuple[Point, ...], at: datetime) -> tuple[Point, ...]:
        """What the way looks like; from place to place where the router cannot say."""
        known = self._lines.get(way)
        if known is not None:
            self._lines.move_to_end(way)
            return known
        try:
            line = (await fleet.router.route(way, at)).line
        except RoutingError:
            return way
        self._lines[way] = line
        if len(self._lines) > KNOWN:
            self._lines.popitem(last=False)
        return line

    async def _arrives(self, fleet: Fleet, trip: Trip, position: Position | None, now: datetime) -> datetime | None:
        """When they are where they drive to now."""
        if position is None or trip.state not in {TripState.MATCHED, TripState.UNDER_WAY}:
            return None
        ahead = [trip.pickup]
        if trip.state is TripState.UNDER_WAY:
            ahead = [*(stop.place for stop in trip.stops if stop.left_at is None), trip.dropoff]
        try:
            route = await fleet.router.route([position.point, *_points(*ahead)], now)
        except RoutingError:
            return None
        return now + timedelta(seconds=route.seconds)


def _points(*places: Place) -> tuple[Point, ...]:
    return tuple(place.point for place in places if place.point is not None)
