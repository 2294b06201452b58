"""Drivers, trips, offers and positions in the database, on SQLite and PostgreSQL, and who is first of two."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from appservice.clock import ManualClock, to_ms
from appservice.database import Database
from bots.commerce.trade import Trade
from bots.domain.drivers import Document, Driver, DriverState, Offer, OfferState, Position, Vehicle
from bots.domain.money import Money
from bots.domain.places import Place, Point
from bots.domain.trips import Hold, Stop, Trip, TripKind, TripState, Way
from bots.fleet.book import Book
from bots.fleet.rights import FleetPart
from bots.store import drivers as driver_sql
from bots.store import offers as offer_sql
from bots.store import positions as position_sql
from bots.store import trips as sql
from bots.store.busy import TradeBusy
from bots.store.trips import StepRow

CLOCK = ManualClock()
NOW = CLOCK.now()
ALICE, BOB, CARLA = "@alice:world", "@bob:world", "@carla:world"
KEY = "a pickle key of the store's tests"


async def no_events(_work: Callable[[Connection], Iterable[Any]]) -> None:
    raise AssertionError("nothing is raised here")


def book(database: Database, key: str = KEY) -> Book:
    return Book(Trade(key, database, no_events, CLOCK), "rides")


def trip(trip_id: str = "t1", **changes: Any) -> Trip:
    way = Way(Place("There", Point(52.6, 13.4)), (), Money(1500, "EUR"), Money(1100, "EUR"), 9, 9, NOW, key="t1/9")
    values: dict[str, Any] = {
        "id": trip_id, "number": "K3F9GH", "kind": TripKind.RIDE, "state": TripState.SEARCHING, "service": "standard",
        "pickup": Place("Secret Street 1", Point(52.52, 13.405)), "dropoff": Place("Hidden Lane 2", Point(52.5, 13.34)),
        "quoted": Money(1200, "EUR"), "earning": Money(900, "EUR"), "opened_at": NOW, "updated_at": NOW, "metres": 6000,
        "seconds": 700, "rider": ALICE, "room_id": "!alice", "stops": (Stop(Place("Kiosk", Point(52.51, 13.36)), NOW),),
        "deadline": NOW + timedelta(seconds=120), "searching_since": NOW, "pin": "4711", "note": "blue door",
        "passenger": "Grandma", "holds": (Hold("t1/0", Money(1300, "EUR")),), "proposed": way, "declined": (CARLA,),
    }  # fmt: skip
    return Trip(**(values | changes))


def driver(person: str = BOB, **changes: Any) -> Driver:
    values: dict[str, Any] = {
        "person": person, "name": "Bobby", "vehicle": Vehicle("Prius", "blue", "B-OB 1", 4), "room_id": f"!{person}",
        "services": frozenset({"standard"}), "state": DriverState.ONLINE, "applied_at": NOW, "idle_since": NOW,
        "documents": (Document("licence", {"url": "mxc://x/secret"}, NOW.date()),), "zones": frozenset({"City"}),
    }  # fmt: skip
    return Driver(**(values | changes))


def offer(offer_id: str, person: str, *trips: str) -> Offer:
    return Offer(
        offer_id, person, trips or ("t1",), OfferState.OPEN, 1, 120, 900, Money(900, "EUR"), NOW,
        NOW + timedelta(seconds=25),
    )  # fmt: skip


def step(row: Trip, number: int, what: str = "request") -> StepRow:
    return StepRow(row.id, number, what, row.state.value, ALICE, to_ms(NOW))


async def stored(database: Database, *trips: Trip) -> None:
    held = book(database)
    for each in trips:
        row = held.trip_row(each, settled=False)
        await database.write(lambda c, row=row, each=each: sql.add(c, row, step(each, 0)))  # type: ignore[misc]


async def test_a_trip_comes_back_as_it_was_and_nothing_private_is_in_clear(database: Database) -> None:
    made = trip()
    await stored(database, made)
    row = await database.read(lambda c: sql.get(c, "rides", "t1"))
    assert row is not None
    assert book(database).trip(row) == made
    shown = repr(replace(row, sealed=b""))
    for secret in ("Secret Street", "Hidden Lane", "Kiosk", "4711", "Grandma", "blue door", CARLA):
        assert secret not in shown
        assert secret.encode() not in row.sealed
    with pytest.raises(TradeBusy):
        await stored(database, made)


async def test_one_open_trip_for_a_clients_order(database: Database) -> None:
    first = trip(client="food:@food:world", reference="o1", rider="", room_id="", proposed=None, holds=())
    await stored(database, first)
    with pytest.raises(TradeBusy):
        await stored(database, replace(first, id="t2"))
    ended = book(database).trip_row(replace(first, state=TripState.UNSERVED, ended_at=NOW), settled=True)
    await database.write(lambda c: sql.change(c, ended, 0, step(first, 1, "give_up"), unsettled=False))
    await stored(database, replace(first, id="t2"))
    assert [each.id for each in await database.read(lambda c: sql.of_reference(c, "rides", first.client, "o1"))]


async def test_of_two_who_take_a_trip_one_has_it(database: Database) -> None:
    made, held = trip(proposed=None), book(database)
    await stored(database, made)

    def takes(person: str) -> Callable[[Connection], None]:
        row = held.trip_row(replace(made, state=TripState.MATCHED, driver=person), settled=False)
        return lambda c: sql.change(c, row, 0, step(made, 1, "match"), unsettled=False)

    results = await asyncio.gather(database.write(takes(BOB)), database.write(takes(CARLA)), return_exceptions=True)
    assert [type(each) for each in results].count(TradeBusy) == 1
    row = await database.read(lambda c: sql.get(c, "rides", "t1"))
    assert row is not None
    assert row.driver in {BOB, CARLA}
    assert row.revision == 1
    assert [each.action for each in await database.read(lambda c: sql.steps(c, "t1"))] == ["request", "match"]


async def test_a_wave_is_counted_without_taking_the_trip_from_whoever_writes_it(database: Database) -> None:
    made, held = trip(proposed=None), book(database)
    await stored(database, made)
    await database.write(lambda c: sql.waved(c, ["t1"]))
    assert await database.read(lambda c: sql.waiting(c, "rides", "searching", 9)) == [("t1", 0, 1)]
    row = held.trip_row(replace(made, note="red door"), settled=False)
    await database.write(lambda c: sql.change(c, row, 0, step(made, 1, "note"), unsettled=False))
    found = await database.read(lambda c: sql.get(c, "rides", "t1"))
    assert found is not None
    assert (held.trip(found).waves, held.trip(found).note) == (1, "red door")


async def test_a_driver_has_one_open_offer(database: Database) -> None:
    held = book(database)
    await database.write(
        lambda c: offer_sql.add(c, [held.offer_row(offer("o1", BOB)), held.offer_row(offer("o2", CARLA))])
    )
    with pytest.raises(IntegrityError):
        await database.write(lambda c: offer_sql.add(c, [held.offer_row(offer("o3", BOB))]))
    lapsed = held.offer_row(replace(offer("o1", BOB), state=OfferState.LAPSED))
    await database.write(lambda c: offer_sql.change(c, lapsed, 0))
    with pytest.raises(TradeBusy):
        await database.write(lambda c: offer_sql.change(c, lapsed, 0))
    await database.write(lambda c: offer_sql.add(c, [held.offer_row(offer("o3", BOB, "t1", "t2"))]))
    assert [each.id for each in await database.read(lambda c: offer_sql.all_open(c, "rides"))] == ["o2", "o3"]
    assert {each.id for each in await database.read(lambda c: offer_sql.of_trip(c, "t2"))} == {"o3"}
    assert await database.read(lambda c: offer_sql.outcomes(c, "rides", 0)) == {"lapsed": 1, "open": 2}
    found = await database.read(lambda c: offer_sql.open_of_driver(c, "rides", BOB))
    assert found is not None
    assert held.offer(found).trips == ("t1", "t2")


async def test_drivers_are_sealed_free_silent_and_rated(database: Database) -> None:
    held = book(database)
    for each in (driver(), driver(CARLA, trip="t9", online_until=NOW), driver("@dan:world", online_until=NOW)):
        row = held.driver_row(each)
        await database.write(lambda c, row=row: driver_sql.apply(c, row))  # type: ignore[misc]
    row = held.driver_row(driver())
    assert b"B-OB" not in row.sealed
    assert "B-OB" not in repr(replace(row, sealed=b""))
    with pytest.raises(TradeBusy):
        await database.write(lambda c: driver_sql.apply(c, row))
    assert await database.read(lambda c: driver_sql.free(c, "rides", "online", 9)) == [(BOB, 0), ("@dan:world", 0)]
    silent = await database.read(lambda c: driver_sql.silent(c, "rides", to_ms(NOW) + 1, 9))
    assert [each.person for each in silent] == ["@dan:world"]  # who has a trip is not sent off
    assert await database.read(lambda c: driver_sql.counts(c, "rides")) == {"online": 3}
    await database.write(lambda c: driver_sql.offered(c, "rides", [(BOB, "o1")]))
    assert [each[0] for each in await database.read(lambda c: driver_sql.free(c, "rides", "online", 9))] == [
        "@dan:world"
    ]
    with pytest.raises(TradeBusy):  # the offer was made meanwhile
        await database.write(lambda c: driver_sql.change(c, row, row))
    rating = driver_sql.RatingRow("t1", BOB, "rides", ALICE, 4, 1, b"x")
    assert await database.write(lambda c: driver_sql.rate(c, rating))
    assert not await database.write(lambda c: driver_sql.rate(c, rating))
    found = await database.read(lambda c: driver_sql.get(c, "rides", BOB))
    assert found is not None
    opened = held.driver(found)
    assert (opened.rating, opened.offer, opened.documents, opened.zones) == (
        4.0,
        "o1",
        driver().documents,
        driver().zones,
    )


async def test_positions_in_bulk(database: Database) -> None:
    held = book(database)
    at = Position(Point(52.52, 13.405), NOW, 5.0, 90.0, 8.0)
    rows = [held.position_row(f"@d{number}:world", at, to_ms(NOW)) for number in range(3_000)]
    await database.write(lambda c: position_sql.put(c, rows))
    moved = held.position_row("@d7:world", replace(at, point=Point(52.6, 13.5)), to_ms(NOW) + 5)
    await database.write(lambda c: position_sql.put(c, [moved]))
    found = await database.read(lambda c: position_sql.load(c, "rides", to_ms(NOW) + 1))
    assert [held.position(each).point for each in found] == [Point(52.6, 13.5)]
    await database.write(lambda c: position_sql.forget(c, "rides", ["@d7:world"]))
    assert len(await database.read(lambda c: position_sql.load(c, "rides", 0))) == 2_999


async def test_what_is_held_of_somebody_is_handed_out_and_erased(database: Database) -> None:
    held, part = book(database), FleetPart(Trade(KEY, database, no_events, CLOCK))
    open_trip = trip(state=TripState.MATCHED, driver=BOB, proposed=None)
    await stored(database, open_trip, trip("t2", proposed=None))
    row = held.driver_row(driver(trip="t1"))
    await database.write(lambda c: driver_sql.apply(c, row))
    await database.write(lambda c: offer_sql.add(c, [held.offer_row(offer("o1", BOB))]))
    rating = driver_sql.RatingRow(
        "t1", BOB, "rides", ALICE, 4, 1, held.trade.seal("trip_ratings", f"t1 {BOB}", {"text": "nice"})
    )
    await database.write(lambda c: driver_sql.rate(c, rating))
    mine = await database.read(lambda c: dict(part.export(c, ALICE)))
    assert [each["held"]["pickup"]["text"] for each in mine["fleet/trips.json"]] == ["Secret Street 1"] * 2
    theirs = await database.read(lambda c: dict(part.export(c, BOB)))
    assert theirs["fleet/driver.json"][0]["held"]["vehicle"]["plate"] == "B-OB 1"
    assert "Secret Street" not in repr(theirs["fleet/trips.json"])
    assert len(await database.read(lambda c: part.blocked(c, ALICE))) == 1
    assert len(await database.read(lambda c: part.blocked(c, BOB))) == 1
    ended = held.trip_row(
        replace(open_trip, state=TripState.COMPLETED, due=Money(1200, "EUR"), declined=()), settled=True
    )
    await database.write(lambda c: sql.change(c, ended, 0, step(open_trip, 1), unsettled=False))
    await database.write(lambda c: part.erase(c, CARLA, "@gone-c:world"))
    await database.write(lambda c: part.erase(c, ALICE, "@gone-a:world"))
    await database.write(lambda c: part.erase(c, BOB, "@gone-b:world"))
    for person in (ALICE, BOB, CARLA):
        left = await database.read(lambda c, person=person: dict(part.export(c, person)))  # type: ignore[misc]
        assert not any(left.values()), person
    for trip_id in ("t1", "t2"):
        found = await database.read(lambda c, trip_id=trip_id: sql.get(c, "rides", trip_id))  # type: ignore[misc]
        assert found is not None
        opened = held.trip(found)
        assert opened.quoted == Money(1200, "EUR")
        for secret in ("Secret", "Hidden", "Kiosk", "Grandma", "blue door", ALICE, BOB, CARLA):
            assert secret not in repr(opened), secret
    assert await database.read(lambda c: driver_sql.get(c, "rides", BOB)) is None
