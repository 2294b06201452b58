"""What the live board shows: how many wait and drive, where, and for how long. Read from the fleet, drawn by
:mod:`bots.rides.pages.board`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeVar

from sqlalchemy import Connection

from appservice.database import Database
from bots.commerce.hand import Reader
from bots.domain.drivers import DriverState
from bots.domain.places import Point, Shape
from bots.domain.trips import Trip, TripState
from bots.fleet.fleet import Fleet
from bots.framework.clock import Clock
from bots.store import boards as sql
from bots.store import drivers as driver_sql
from bots.store import trips as trip_sql
from bots.store.boards import CarRow, WaitingRow

__all__ = ["Board", "BoardReader", "Car", "CarState", "Waiting", "ZoneShown"]

T = TypeVar("T")

DRIVERS_MOST: Final = 5_000
WAITING_MOST: Final = 500
OPENED_MOST: Final = 100
"""Seals that are opened at one look."""
PLATES_KEPT: Final = timedelta(hours=1)
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

    @property
    def waits(self) -> int:
        """How many wait, whether they are shown or not."""
        return self.trips.get(TripState.SEARCHING, len(self.waiting))

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
    """Reads the board of a fleet: :data:`Look`.

    Of thousands of drivers and trips only what stands in clear is read each time. Plates and places lie sealed, and are
    kept once they were opened: some more at each look, so that no look takes long.
    """

    def __init__(self, fleet: Fleet, database: Database, clock: Clock) -> None:
        self._fleet = fleet
        self._reader: Reader = _Reads(database)
        self._clock = clock
        self._last: Board | None = None
        self._plates: dict[str, str] = {}
        self._kept_since = clock.now()
        self._waits: dict[tuple[str, int], Waiting] = {}

    async def __call__(self) -> Board:
        """How things stand, two seconds old at most."""
        now = self._clock.now()
        if self._last is None or not timedelta(0) <= now - self._last.at < KEPT:
            self._last = await self._read(now)
        return self._last

    async def _read(self, now: datetime) -> Board:
        fleet, reader, bot = self._fleet, self._reader, self._fleet.name
        states = [DriverState.ONLINE.value, DriverState.BREAK.value]
        searching = TripState.SEARCHING.value

        def read(connection: Connection) -> tuple[list[CarRow], list[WaitingRow]]:
            drivers = sql.cars(connection, bot, states, DRIVERS_MOST)
            return drivers, sql.waiting(connection, bot, searching, WAITING_MOST)

        rows, waits = await reader.query(read)
        await self._open_plates([row.person for row in rows], now)
        await self._open_waits(waits)
        cars = [car for row in rows if (car := self._car(row, now)) is not None]
        surges = {each.zone: each.surge.multiplier for each in await fleet.surges.zones(reader, now)}
        return Board(
            at=now,
            cars=cars,
            waiting=self._waiting(waits),
            trips=await fleet.trips.counts(reader),
            zones=[ZoneShown(area.name, area.shape, surges.get(area.name, 100)) for area in fleet.tariff.zones],
            elsewhere=surges.get("", 100),
            unknown=len(rows) - len(cars),
            cases=len(await fleet.cases.queue(reader)),
        )

    async def _open_plates(self, people: Sequence[str], now: datetime) -> None:
        if now - self._kept_since > PLATES_KEPT:
            self._plates, self._kept_since = {}, now
        closed = [person for person in people if person not in self._plates][:OPENED_MOST]
        if closed:
            rows = await self._reader.query(lambda connection: driver_sql.named(connection, self._fleet.name, closed))
            for driver in map(self._fleet.book.driver, rows):
                self._plates[driver.person] = driver.vehicle.plate

    async def _open_waits(self, rows: Sequence[WaitingRow]) -> None:
        here = {(row.id, row.priority) for row in rows}
        self._waits = {key: found for key, found in self._waits.items() if key in here}
        closed = [row.id for row in rows if (row.id, row.priority) not in self._waits][:OPENED_MOST]
        if closed:
            found = await self._reader.query(lambda connection: trip_sql.named(connection, self._fleet.name, closed))
            for trip in map(self._fleet.book.trip, found):
                self._waits[trip.id, trip.priority] = _waiting(trip)

    def _waiting(self, rows: Sequence[WaitingRow]) -> list[Waiting]:
        found = [
            replace(self._waits[row.id, row.priority], waves=row.waves)
            for row in rows
            if (row.id, row.priority) in self._waits
        ]
        return sorted(found, key=lambda each: each.since)

    def _car(self, row: CarRow, now: datetime) -> Car | None:
        seen = self._fleet.positions.last(row.person)
        if seen is None:
            return None
        state = CarState.FREE
        if row.trip:
            state = CarState.BUSY
        elif row.state == DriverState.BREAK.value:
            state = CarState.PAUSED
        elif row.offer:
            state = CarState.ASKED
        if now - seen.position.at > self._fleet.terms.stale:
            state = CarState.LOST
        plate = self._plates.get(row.person, "")
        return Car(seen.position.point, state, plate, row.number, seen.position.heading)


def _waiting(trip: Trip) -> Waiting:
    assert trip.pickup.point is not None, "a trip begins somewhere"
    since = trip.searching_since or trip.opened_at
    return Waiting(trip.number, trip.service, since, trip.pickup.point, trip.pickup.text, trip.waves)
