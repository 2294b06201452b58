"""The service is killed between its commits: whose trip it is, where the money is, and what people were told, stays."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from bots.domain.trips import Trip, TripState
from bots.framework import Context
from bots.framework.testing import Person
from tests.support.fleet import FleetWorld
from tests.support.rides import AIRPORT, HARBOUR, MARKET

pytestmark = pytest.mark.timeout(600)

VARIABLE = re.compile(r"\b\d{6}\b|\b[0-9A-HJKMNP-TV-Z]{26}\b")
S = TripState


async def once(
    world: FleetWorld, person: Person, trip: Trip, state: TripState, work: Callable[..., Awaitable[Any]]
) -> None:
    """What somebody does who looks again where nothing has come back: it is done once."""

    async def does(ctx: Context) -> None:
        now = await world.fleet.trips.get(ctx, trip.id)
        assert now is not None
        if now.state is state:
            await work(ctx, now)

    await world.does(person, does)
    await world.settle()


async def accepts(world: FleetWorld, driver: Person, trip: Trip) -> None:
    """A driver takes what they are asked for; what a kill has left of a round is made good by the next one."""
    for _try in range(5):
        await world.settle()
        with suppress(Exception):  # the database was killed in the middle of the round
            await world.fleet.rounds.once()
        await world.settle()
        if (await world.trip(trip)).state is not S.SEARCHING:
            return

        async def takes(ctx: Context) -> None:
            offer = await world.fleet.offers.of_driver(ctx, driver.user_id)
            if offer is not None:
                await world.fleet.offers.accept(ctx, driver.user_id, offer.id)

        await world.does(driver, takes)
        await world.settle()
        if (await world.trip(trip)).state is not S.SEARCHING:
            return
    raise AssertionError("nobody has taken it")


async def lives(world: FleetWorld, way: str, commits: int | None) -> tuple[Any, ...]:
    """A trip from the order to its end; its state, steps, who was told what, and where the money is."""
    alice, bob = await world.rider("alice"), await world.driver("bob")
    carla = await world.driver("carla", HARBOUR)
    cause, trips = world.trade.new_id(), world.fleet.trips
    if commits is not None:
        world.kill_after(commits)
    trip = await world.ordered(alice, cause=cause)
    if trip.state is S.AUTHORISING:
        await world.pays(alice)
    await world.settle()
    world.stands(bob, MARKET.point)  # type: ignore[arg-type]
    world.stands(carla, HARBOUR.point)  # type: ignore[arg-type]
    await accepts(world, bob, trip)
    trips = world.fleet.trips
    if way == "lost":
        await once(world, bob, trip, S.MATCHED, lambda c, t: world.fleet.trips.lose_driver(c, t, bob.user_id, "x"))
        world.stands(carla, HARBOUR.point)  # type: ignore[arg-type]
        await accepts(world, carla, trip)
    driver = carla if way == "lost" else bob
    if way == "cancelled":
        await once(world, alice, trip, S.MATCHED, lambda c, t: world.fleet.trips.cancel(c, t, alice.user_id, "x"))
    else:
        await once(world, driver, trip, S.MATCHED, lambda c, t: world.fleet.trips.arrive(c, t, driver.user_id))
        await once(world, driver, trip, S.ARRIVED, lambda c, t: world.fleet.trips.start(c, t, t.pin, driver.user_id))
        if way == "changed":
            before = (await world.trip(trip)).proposed is None

            async def other(ctx: Context, now: Trip) -> None:
                if now.dropoff != AIRPORT and now.proposed is None:
                    await world.fleet.trips.propose(ctx, now, world.way(now, 20_000, AIRPORT), alice.user_id)

            assert before
            await once(world, alice, trip, S.UNDER_WAY, other)
            if (await world.trip(trip)).proposed is not None:
                await world.pays(alice)
                await world.settle()
        await once(world, driver, trip, S.UNDER_WAY, lambda c, t: world.fleet.trips.complete(c, t, driver.user_id))
    del trips
    await world.settle()
    await world.pass_minutes(11)
    await world.pass_minutes(11)
    end = await world.trip(trip)
    told = [VARIABLE.sub("…", line) for line in await world.news_of(alice) if line.startswith("trip")]
    offers = [[line for line in await world.news_of(person) if line.startswith("offer")] for person in (bob, carla)]
    steps = [each.action for each in await world.fleet.trips.steps(world, trip.id)]
    report = await world.ledger.verify()
    assert not report.problems
    drivers = [await world.driver_of(person) for person in (bob, carla)]
    assert all(not each.trip and not each.offer for each in drivers)
    return (
        end.state, end.driver, end.owed, steps, told, offers, await world.has(alice), await world.has(bob),
        await world.has(carla), await world.bot_has(),
    )  # fmt: skip


@pytest.mark.parametrize(("way", "first"), [("served", 1), ("lost", 3), ("cancelled", 5), ("changed", 7)], ids=str)
async def test_a_kill_between_any_two_commits(way: str, first: int) -> None:
    """Every eighth commit, beginning at another one for each way: together they are killed everywhere."""
    async with FleetWorld() as calm:
        expected = await lives(calm, way, None)
    killed = 0
    for commits in range(first, 300, 8):
        async with FleetWorld() as world:
            assert await lives(world, way, commits) == expected, f"killed after {commits} commits"
        if world.restarts == 0:
            break
        killed += 1
    assert killed >= 3
