"""Rounds where things around them fail, what is brought for clients, and two that are brought in one go."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from appservice.database import DatabaseError
from bots.domain.drivers import Driver, DriverState, Position, Vehicle
from bots.domain.money import Money
from bots.domain.places import Place, Point
from bots.domain.trips import Trip, TripKind, TripState
from bots.fleet import News, TripNews, Wanted
from bots.framework import Context
from bots.routing.base import RoutingError
from tests.support.fleet_bench import Bench

BOB, FOOD = "@bob:world", "food:@food:world"
KITCHEN, HOME, NEXT_DOOR = (
    Place("Kitchen", Point(52.52, 13.405)),
    Place("Home", Point(52.505, 13.36)),
    Place("Next door", Point(52.5053, 13.3606)),
)


async def ready(bench: Bench, *people: str) -> None:
    """Couriers are online at the kitchen."""
    await bench.database.start()
    for person in people:
        now = bench.clock.now()
        assert KITCHEN.point is not None
        bench.fleet.positions.update(person, Position(KITCHEN.point, now))
        made = Driver(
            person, "Bob", Vehicle("Bike", "red", "-", 0), frozenset({"courier"}), f"!{person}", DriverState.APPLIED,
            now, now,
        )  # fmt: skip

        async def sign_up(ctx: Context, made: Driver = made) -> None:
            drivers = bench.fleet.drivers
            await drivers.go_online(ctx, await drivers.approve(ctx, await drivers.apply(ctx, made), "@olga:world"))

        await bench.handle(sign_up)
    await bench.settle()


async def order(bench: Bench, reference: str, dropoff: Place = HOME, **more: Any) -> Trip:
    """The food bot has something brought."""
    cents = Money(400, "EUR")
    wanted = Wanted(
        bench.trade.new_id(), TripKind.COURIER, "courier", KITCHEN, dropoff, Money(0, "EUR"), cents, 4_000, 600,
        client=FOOD, reference=reference, dropoff_pin=True, **more,
    )  # fmt: skip
    return await bench.handle(lambda ctx: bench.fleet.trips.request(ctx, wanted), consumer=FOOD)


async def test_without_a_router_nobody_is_asked_and_the_next_round_tries_again() -> None:
    bench = Bench()
    await ready(bench, BOB)
    trip = await order(bench, "o1")
    router, legs = bench.fleet.router, bench.fleet.router.legs

    async def fails(*_args: Any) -> Any:
        raise RoutingError("route.unavailable")

    router.legs = fails  # type: ignore[method-assign,assignment]
    assert await bench.fleet.rounds.once()
    assert await bench.fleet.offers.of_trip(bench, trip.id) == []
    router.legs = legs  # type: ignore[method-assign]
    assert await bench.fleet.rounds.once()
    assert len(await bench.fleet.offers.of_trip(bench, trip.id)) == 1


async def test_rounds_wait_for_a_database_and_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    await ready(bench, BOB)
    trip = await order(bench, "o1")
    monkeypatch.setattr("bots.fleet.rounds.PAUSE_S", 0.01)
    read, failed = bench.database.read, [0]

    async def down(work: Any) -> Any:
        failed[0] += 1
        if failed[0] < 4:
            raise DatabaseError("gone (test)")
        return await read(work)

    bench.database.read = down  # type: ignore[method-assign]
    running = asyncio.create_task(bench.fleet.rounds.run())
    for _turn in range(500):
        await asyncio.sleep(0.01)
        if failed[0] >= 4 and await bench.fleet.offers.of_trip(bench, trip.id):
            break
    running.cancel()
    await asyncio.wait([running])
    assert len(await bench.fleet.offers.of_trip(bench, trip.id)) == 1


async def test_while_nothing_waits_it_looks_at_an_index_and_sleeps() -> None:
    bench = Bench()
    await ready(bench, BOB)
    reads: list[int] = []
    read = bench.database.read

    async def counted(work: Any) -> Any:
        reads.append(1)
        return await read(work)

    bench.database.read = counted  # type: ignore[method-assign]
    assert not await bench.fleet.rounds.once()
    assert len(reads) == 2  # open offers, and waiting trips


async def test_a_clients_trip_fails_and_goes_back_with_the_same_courier() -> None:
    bench = Bench()
    told: list[tuple[News, str]] = []
    await ready(bench, BOB)

    async def hears(_ctx: Context, news: TripNews) -> None:
        told.append((news.news, news.after.kind.value))

    bench.fleet.listen(FOOD, hears)
    trip = await order(bench, "o1")
    again = await bench.handle(lambda ctx: bench.fleet.trips.request(ctx, Wanted(
        bench.trade.new_id(), TripKind.COURIER, "courier", KITCHEN, HOME, Money(0, "EUR"), Money(1, "EUR"), 1, 1,
        client=FOOD, reference="o2")), consumer=FOOD)  # fmt: skip
    assert again.id != trip.id
    await bench.handle(lambda ctx: cancels(bench, ctx, again.id), consumer=FOOD)
    await bench.round()
    await bench.settle()
    offer = await bench.fleet.offers.of_driver(bench, BOB)
    assert offer is not None
    await bench.handle(lambda ctx: bench.fleet.offers.accept(ctx, BOB, offer.id))

    async def drive(ctx: Context) -> Trip:
        found = await bench.fleet.trips.get(ctx, trip.id)
        assert found is not None
        there = await bench.fleet.trips.arrive(ctx, found, BOB)
        begun = await bench.fleet.trips.start(ctx, there, there.pin, BOB)
        assert begun is not None
        return await bench.fleet.trips.fail(ctx, begun, BOB, "nobody there")  # three changes of one row in one commit

    back = await bench.handle(drive)
    failed = await bench.fleet.trips.get(bench, trip.id)
    assert failed is not None
    assert (failed.state, back.kind, back.of, back.state) == (
        TripState.FAILED, TripKind.RETURN, trip.id, TripState.UNDER_WAY,
    )  # fmt: skip
    assert (back.pickup, back.dropoff, back.driver) == (HOME, KITCHEN, BOB)
    assert (await bench.fleet.drivers.known(bench, BOB)).trip == back.id

    async def ends(ctx: Context) -> Trip | None:
        found = await bench.fleet.trips.get(ctx, back.id)
        assert found is not None
        return await bench.fleet.trips.complete(ctx, found, BOB, pin=found.dropoff_pin)

    assert await bench.handle(ends)
    assert (await bench.fleet.drivers.known(bench, BOB)).free
    assert (News.REQUESTED, "courier") in told


async def cancels(bench: Bench, ctx: Context, trip_id: str) -> Trip:
    """The client does not want it any more."""
    found = await bench.fleet.trips.get(ctx, trip_id)
    assert found is not None
    return await bench.fleet.trips.cancel(ctx, found, "", "not wanted")


async def test_two_orders_for_one_courier_in_one_go() -> None:
    bench = Bench()
    bench.fleet.policy = replace(bench.fleet.policy, batch_saving=1.0)
    await ready(bench, BOB)
    latest = bench.clock.now() + timedelta(hours=1)
    one = await order(bench, "o1", latest=latest)
    two = await order(bench, "o2", NEXT_DOOR, latest=latest)
    await bench.round()
    await bench.settle()
    offer = await bench.fleet.offers.of_driver(bench, BOB)
    assert offer is not None
    assert set(offer.trips) == {one.id, two.id}
    assert offer.earning == Money(800, "EUR")
    taken = await bench.handle(lambda ctx: bench.fleet.offers.accept(ctx, BOB, offer.id))
    assert len({each.batch for each in taken}) == 1
    driver = await bench.fleet.drivers.known(bench, BOB)
    assert {driver.trip, driver.batched} == {one.id, two.id}

    async def suspend(ctx: Context) -> Any:
        found = await bench.fleet.drivers.known(ctx, BOB)
        return await bench.fleet.drivers.suspend(ctx, found, "@olga:world", "x")

    await bench.handle(suspend)  # both are lost in one commit
    for each in (one, two):
        now = await bench.fleet.trips.get(bench, each.id)
        assert now is not None
        assert (now.state, now.priority, now.batch) == (TripState.SEARCHING, 1, "")
    assert (await bench.fleet.drivers.known(bench, BOB)).state is DriverState.SUSPENDED
