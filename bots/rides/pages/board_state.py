"""What the live board shows: how many wait and drive, where, and for how long. Read from the fleet, drawn by
:mod:`bots.rides.pages.board`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeVar

from sqlalchemy import Connection

from appservice.database import Database
from bots.commerce.hand import Reader
from bots.domain.drivers import Driver, DriverState
from bots.domain.places import Point, Shape
from bots.domain.trips import Trip, TripState
from bots.fleet.fleet import Fleet
from bots.framework.clock import Clock

__all__ = ["Board", "BoardReader", "Car", "CarState", "Waiting", "ZoneShown"]

T = TypeVar("T")

DRIVERS_MOST: Final = 5_000
WAITING_MOST: Final = 500
KEPT: Final = timedelta(seconds=2)
"""However many look, the fleet is read once in so long."""


class CarState(StrEnum):
    """What a car on the board does."""

    FREE = "free"
    ASKED = "asked"
    """It has an offer before it."""
    BUSY = "busy"
    PAUSED = "paused"
    LOST = "lost"
    """Nothing was heard of it for a while: it is shown where it was last."""


@dataclass(frozen=True, slots=True)
class Car:
    """A driver who is online, where they are. ``trip``: the number of the one that they have; empty: none."""

    point: Point
    state: CarState
    plate: str
    trip: str = ""
    heading: float | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody who waits for a driver. ``since`` is aware; ``waves``: how many times drivers were asked."""

    number: str
    service: str
    since: datetime
    point: Point
    place: str
    waves: int


@dataclass(frozen=True, slots=True)
class ZoneShown:
    """A zone, and what is multiplied by there, in hundredths."""

    name: str
    shape: Shape
    surge: int = 100


@dataclass(frozen=True, slots=True)
class Board:
    """How things stand at a moment (aware).

    Attributes:
        trips: how many are in each state.
        unknown: drivers who are online and of whom no position is known.
        waiting: who waits longest first.
        elsewhere: surge outside of all zones, in hundredths.
        cases: how many wait for a decision.
    """

    at: datetime
    cars: Sequence[Car] = ()
    waiting: Sequence[Waiting] = ()
    trips: Mapping[TripState, int] = field(default_factory=dict)
    zones: Sequence[ZoneShown] = ()
    elsewhere: int = 100
    unknown: int = 0
    cases: int = 0

    def count(self, *states: CarState) -> int:
        """How many cars are in these states."""
        return sum(car.state in states for car in self.cars)


Look = Callable[[], Awaitable[Board]]
"""How things stand now."""


class _Reads:
    """Reads the database outside of any handler."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def query(self, work: Callable[[Connection], T]) -> T:
        """Read."""
        return await self._database.read(work)


class BoardReader:
    """Reads the board of a fleet: :data:`Look`."""

    def __init__(self, fleet: Fleet, database: Database, clock: Clock) -> None:
        self._fleet = fleet
        self._reader: Reader = _Reads(database)
        self._clock = clock
        self._last: Board | None = None

    async def __call__(self) -> Board:
        """How things stand, two seconds old at most."""
        now = self._clock.now()
        if self._last is None or not timedelta(0) <= now - self._last.at < KEPT:
            self._last = await self._read(now)
        return self._last

    async def _read(self, now: datetime) -> Board:
        fleet, reader = self._fleet, self._reader
        drivers = await fleet.drivers.in_states(reader, [DriverState.ONLINE, DriverState.BREAK], DRIVERS_MOST)
        waiting = await fleet.trips.in_states(reader, [TripState.SEARCHING], WAITING_MOST)
        driven = await fleet.trips.in_states(reader, DRIVEN, DRIVERS_MOST)
        numbers = {trip.id: trip.number for trip in driven}
        cars = [car for driver in drivers if (car := self._car(driver, numbers, now)) is not None]
        surges = {each.zone: each.surge.multiplier for each in await fleet.surges.zones(reader, now)}
        return Board(
            at=now,
            cars=cars,
            waiting=[_waiting(trip) for trip in waiting],
            trips=await fleet.trips.counts(reader),
            zones=[ZoneShown(area.name, area.shape, surges.get(area.name, 100)) for area in fleet.tariff.zones],
            elsewhere=surges.get("", 100),
            unknown=len(drivers) - len(cars),
            cases=len(await fleet.cases.queue(reader)),
        )

    def _car(self, driver: Driver, numbers: Mapping[str, str], now: datetime) -> Car | None:
        seen = self._fleet.positions.last(driver.person)
        if seen is None:
            return None
        state = CarState.FREE
        if driver.trip:
            state = CarState.BUSY
        elif driver.state is DriverState.BREAK:
            state = CarState.PAUSED
        elif driver.offer:
            state = CarState.ASKED
        if now - seen.position.at > self._fleet.terms.stale:
            state = CarState.LOST
        trip = numbers.get(driver.trip, "")
        return Car(seen.position.point, state, driver.vehicle.plate, trip, seen.position.heading)


DRIVEN: Final = (TripState.MATCHED, TripState.ARRIVED, TripState.UNDER_WAY)


def _waiting(trip: Trip) -> Waiting:
    assert trip.pickup.point is not None, "a trip begins somewhere"
    since = trip.searching_since or trip.opened_at
    return Waiting(trip.number, trip.service, since, trip.pickup.point, trip.pickup.text, trip.waves)
