"""What the operators' board reads, on SQLite and PostgreSQL."""

from __future__ import annotations

from appservice.database import Database
from bots.domain.drivers import DriverState
from bots.domain.trips import TripState
from bots.store import boards as sql
from bots.store import drivers as driver_sql
from bots.store.boards import CarRow, WaitingRow
from tests.store.test_fleet_store import BOB, CARLA, book, driver, stored, trip

STATES = [DriverState.ONLINE.value, DriverState.BREAK.value]


async def test_cars_and_who_waits_in_clear(database: Database) -> None:
    held = book(database)
    await stored(
        database,
        trip("t1", state=TripState.MATCHED, driver=BOB, proposed=None),
        trip("t3", number="ZZZ999", waves=2, priority=1),
        trip("t2", number="YYY888", service="xl"),
    )
    for each in (
        driver(BOB, trip="t1"),
        driver(CARLA, state=DriverState.BREAK),
        driver("@dan:world", state=DriverState.OFFLINE),
        driver("@eve:world", offer="o1"),
    ):
        row = held.driver_row(each)
        await database.write(lambda c, row=row: driver_sql.apply(c, row))  # type: ignore[misc]
    assert await database.read(lambda c: sql.cars(c, "rides", STATES, 10)) == [
        CarRow(BOB, "online", "", "t1", "K3F9GH"),
        CarRow(CARLA, "break", "", "", ""),
        CarRow("@eve:world", "online", "o1", "", ""),
    ]
    assert len(await database.read(lambda c: sql.cars(c, "rides", STATES, 2))) == 2
    assert await database.read(lambda c: sql.waiting(c, "rides", "searching", 10)) == [
        WaitingRow("t2", "YYY888", "xl", 0, 0),
        WaitingRow("t3", "ZZZ999", "standard", 2, 1),
    ]
    assert await database.read(lambda c: sql.cars(c, "taxis", STATES, 10)) == []
