"""Trips from the order to the end, their money and who is told: by the services alone, with the real wallet."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bots.domain.drivers import DriverError, DriverState, OfferState
from bots.domain.money import Money
from bots.domain.places import Point
from bots.domain.trips import TripAction, TripRefused, TripState
from bots.fleet import Charge, Terms, TripCaseKind
from bots.framework import Context
from tests.support.fleet import FleetWorld
from tests.support.rides import AIRPORT, HARBOUR, MARKET, OFFICE

S, A = TripState, TripAction


def euro(amount: str) -> Money:
    return Money.of(amount, "EUR")


async def test_a_ride_from_the_order_to_the_drivers_wallet() -> None:
    async with FleetWorld() as world:
        alice, bob = await world.rider("alice"), await world.driver("bob")
        trip = await world.ordered(alice)
        assert trip.state is S.AUTHORISING
        assert await world.has(alice) == euro("100")
        await world.pays(alice)
        trip = await world.trip(trip)
        assert trip.state is S.SEARCHING
        held = trip.holds[0].amount
        assert await world.has(alice) == euro("100") - held
        trip = await world.matched(alice, bob)
        assert trip.driver == bob.user_id
        driver = await world.driver_of(bob)
        assert (driver.trip, driver.offer) == (trip.id, "")
        trip = await world.completed(await world.under_way(trip, bob), bob)
        assert trip.state is S.COMPLETED
        assert trip.due == trip.quoted
        assert (await world.driver_of(bob)).free
        # The money is held for some minutes yet: a dispute leaves it there.
        assert await world.has(bob) == euro("0")
        await world.pass_minutes(11)
        trip = await world.trip(trip)
        assert not trip.owed
        assert await world.has(alice) == euro("100") - trip.quoted
        assert await world.has(bob) == trip.earning
        assert (await world.bot_has()).minor >= 0
        told = await world.news_of(alice)
        assert [line.split()[1] for line in told if line.startswith("trip ")] == [
            "requested", "payment_asked", "search", "match", "arrive", "start", "complete", "taken", "paid_out",
        ]  # fmt: skip
        assert [line for line in await world.news_of(bob) if line.startswith("offer")] == [
            "offer made 1",
            "offer accept 1",
        ]
        steps = [step.action for step in await world.fleet.trips.steps(world, trip.id)]
        assert steps == ["request", "search", "match", "arrive", "start", "complete", "taken", "paid"]
        await world.conserved()
        world.check()


async def test_nobody_confirms_the_payment() -> None:
    async with FleetWorld() as world:
        alice = await world.rider("alice")
        trip = await world.ordered(alice)
        await world.declines(alice)
        assert (await world.trip(trip)).state is S.UNPAID
        second = await world.ordered(alice)
        await world.pass_minutes(6)
        assert (await world.trip(second)).state is S.UNPAID
        assert await world.has(alice) == euro("100")
        await world.conserved()
        world.check()


async def test_ordered_twice_is_ordered_once() -> None:
    async with FleetWorld() as world:
        alice = await world.rider("alice")
        cause = world.trade.new_id()
        first = await world.ordered(alice, cause=cause)
        assert (await world.ordered(alice, cause=cause)).id == first.id
        assert len(await world.fleet.trips.of_rider(world, alice.user_id)) == 1
        with pytest.raises(ValueError, match="ULID"):
            await world.ordered(alice, cause="$event")


async def test_nobody_is_there_and_the_money_goes_back() -> None:
    async with FleetWorld() as world:
        alice = await world.rider("alice")
        trip = await world.searching(alice)
        await world.round()
        await world.pass_minutes(3)
        assert (await world.trip(trip)).state is S.UNSERVED
        assert await world.has(alice) == euro("100")
        assert (await world.news_of(alice))[-1] == "trip give_up unserved"
        world.check()


async def test_who_declines_is_not_asked_again_and_the_next_one_is() -> None:
    async with FleetWorld() as world:
        alice, bob = await world.rider("alice"), await world.driver("bob")
        carla = await world.driver("carla", HARBOUR)
        trip = await world.searching(alice)
        await world.round()
        assert (await world.fleet.offers.of_driver(world, bob.user_id)) is not None  # who is nearer
        assert (await world.fleet.offers.of_driver(world, carla.user_id)) is None
        await world.round()  # an offer that is open is waited for
        assert len(await world.fleet.offers.of_trip(world, trip.id)) == 1
        await world.declines_offer(bob)
        await world.round()
        trip = await world.accepts(carla)
        assert trip.driver == carla.user_id
        assert [each.state for each in await world.fleet.offers.of_trip(world, trip.id)] == [
            OfferState.ACCEPTED,
            OfferState.DECLINED,
        ]
        assert trip.waves == 2
        world.check()


async def test_who_lets_three_lapse_is_set_on_a_break() -> None:
    async with FleetWorld() as world:
        alice, bob = await world.rider("alice"), await world.driver("bob")
        for _time in range(3):
            trip = await world.searching(alice)
            await world.round()
            world.clock.advance(seconds=26)
            world.stands(bob, MARKET.point)  # type: ignore[arg-type]
            await world.round()
            # Not asked for the same one again at once.
            assert await world.fleet.offers.of_driver(world, bob.user_id) is None
            await world.happens(alice, trip, A.CANCEL)
        assert (await world.driver_of(bob)).state is DriverState.BREAK
        offers = [line for line in await world.news_of(bob) if line.startswith("offer")]
        assert offers == ["offer made 1", "offer lapse 1"] * 2 + ["offer made 1", "offer lapse 1 break"]
        with pytest.raises(DriverError) as refused:
            await world.accepts_late(bob, (await world.fleet.offers.of_trip(world, trip.id))[0].id)
        assert refused.value.code == "offer.gone"
        world.check()


async def test_two_are_asked_and_one_has_it() -> None:
    terms = Terms()
    async with FleetWorld(fleet_terms=terms) as world:
        alice, bob, carla = await world.rider("alice"), await world.driver("bob"), await world.driver("carla")
        world.fleet.policy = replace(world.fleet.policy, wave_sizes=(2,))
        trip = await world.searching(alice)
        await world.round()
        assert len(await world.fleet.offers.of_trip(world, trip.id)) == 2
        theirs = await world.fleet.offers.of_driver(world, carla.user_id)
        assert theirs is not None
        trip = await world.accepts(bob)
        with pytest.raises(DriverError) as refused:
            await world.accepts_late(carla, theirs.id)
        assert refused.value.code == "offer.gone"
        assert trip.driver == bob.user_id
        assert (await world.driver_of(carla)).free
        assert [line for line in await world.news_of(carla) if line.startswith("offer")] == [
            "offer made 1",
            "offer lose 1",
        ]
        world.check()


async def test_a_driver_is_lost_and_the_trip_is_first_in_line() -> None:
    async with FleetWorld() as world:
        alice, bob, dan = await world.rider("alice"), await world.driver("bob"), await world.rider("dan")
        trip = await world.searching(alice)
        trip = await world.matched(alice, bob)
        other = await world.searching(dan)
        trip = await world.loses_driver(trip, bob)
        assert (trip.state, trip.priority, trip.driver) == (S.SEARCHING, 1, "")
        carla = await world.driver("carla")
        await world.round()
        assert (await world.accepts(carla)).id == trip.id  # before the one that waits, too, and has lost nobody
        offers = await world.fleet.offers.of_trip(world, other.id)
        assert [each.driver for each in offers] == [bob.user_id]
        world.check()


async def test_cancelled_late_costs_the_fee_and_the_driver_gets_their_part() -> None:
    async with FleetWorld() as world:
        alice, bob = await world.rider("alice"), await world.driver("bob", HARBOUR)
        await world.searching(alice)
        trip = await world.matched(alice, bob)
        assert world.fleet.quotes.cancel_charge(trip, world.clock.now()) is None
        world.clock.advance(seconds=150)
        charge = world.fleet.quotes.cancel_charge(trip, world.clock.now())
        assert charge is not None
        assert euro("0") < charge.earning < charge.due <= trip.held

        async def cancel(ctx: Context) -> object:
            now = await world.fleet.trips.get(ctx, trip.id)
            assert now is not None
            return await world.fleet.trips.cancel(ctx, now, alice.user_id, "changed my mind", charge)

        await world.acts(alice, cancel)
        trip = await world.trip(trip)
        assert (trip.state, trip.due, trip.driver) == (S.CANCELLED_LATE, charge.due, bob.user_id)
        assert (await world.driver_of(bob)).free
        await world.pass_minutes(11)
        assert await world.has(alice) == euro("100") - charge.due
        assert await world.has(bob) == charge.earning
        await world.conserved()
        world.check()


async def test_who_does_not_come_pays_after_the_grace_time() -> None:
    async with FleetWorld() as world:
        alice, bob = await world.rider("alice"), await world.driver("bob")
        await world.searching(alice)
        trip = await world.arrived(await world.matched(alice, bob), bob)

        async def miss(ctx: Context) -> object:
            now = await world.fleet.trips.get(ctx, trip.id)
            assert now is not None
            return await world.fleet.trips.miss(ctx, now, bob.user_id)

        with pytest.raises(TripRefused) as refused:
            await world.acts(bob, miss)
        assert refused.value.code == "trip.wait"
        world.clock.advance(minutes=5)
        await world.acts(bob, miss)
        trip = await world.trip(trip)
        assert trip.state is S.NO_SHOW
        assert trip.due
        await world.pass_minutes(11)
        assert await world.has(alice) == euro("100") - trip.due
        assert await world.has(bob) == trip.earning
        world.check()


async def test_wrong_pins_count_and_five_lock() -> None:
    async with FleetWorld() as world:
        alice, bob = await world.rider("alice"), await world.driver("bob")
        await world.searching(alice)
        trip = await world.arrived(await world.matched(alice, bob), bob)
        wrong = f"{(int(trip.pin) + 1) % 10_000:04}"

        async def start(ctx: Context) -> object:
            now = await world.fleet.trips.get(ctx, trip.id)
            assert now is not None
            return [await world.fleet.trips.start(ctx, now, wrong, bob.user_id)]

        for _time in range(5):
            assert await world.acts(bob, start) == [None]
        with pytest.raises(TripRefused) as refused:
            await world.acts(bob, start)
        assert refused.value.code == "trip.locked"
        assert (await world.trip(trip)).state is S.ARRIVED


async def propose(world: FleetWorld, rider: object, trip: object, metres: int) -> None:
    async def work(ctx: Context) -> object:
        now = await world.fleet.trips.get(ctx, trip.id)  # type: ignore[attr-defined]
        assert now is not None
        return await world.fleet.trips.propose(ctx, now, world.way(now, metres, AIRPORT), rider.user_id)  # type: ignore[attr-defined]

    await world.acts(rider, work)  # type: ignore[arg-type]


async def test_another_way_that_costs_more_is_a_second_hold_of_the_difference() -> None:
    async with FleetWorld() as world:
        alice, bob = await world.rider("alice"), await world.driver("bob")
        await world.searching(alice)
        trip = await world.under_way(await world.matched(alice, bob), bob)
        first = trip.holds[0].amount
        await propose(world, alice, trip, 20_000)
        trip = await world.trip(trip)
        assert trip.dropoff == OFFICE  # until it is paid
        assert trip.proposed is not None
        await world.pays(alice)
        trip = await world.trip(trip)
        assert (trip.dropoff, trip.proposed, len(trip.holds)) == (AIRPORT, None, 2)
        assert trip.held == world.quote(MARKET, AIRPORT, "standard", 20_000).hold
        assert trip.holds[0].amount == first
        assert await world.has(alice) == euro("100") - trip.held
        trip = await world.completed(trip, bob)
        await world.pass_minutes(11)
        assert await world.has(alice) == euro("100") - trip.quoted
        assert await world.has(bob) == trip.earning
        await world.conserved()
        world.check()


async def test_another_way_that_is_not_paid_is_dropped() -> None:
    async with FleetWorld() as world:
        alice, bob = await world.rider("alice"), await world.driver("bob")
        await world.searching(alice)
        trip = await world.under_way(await world.matched(alice, bob), bob)
        await propose(world, alice, trip, 20_000)
        await world.declines(alice)
        trip = await world.trip(trip)
        assert (trip.dropoff, trip.proposed, len(trip.holds)) == (OFFICE, None, 1)
        assert (await world.news_of(alice))[-1] == "trip change_dropped under_way"
        # Proposed again, it is another payment; one that comes to its end while it is asked for goes back.
        await propose(world, alice, trip, 20_000)
        trip = await world.completed(await world.trip(trip), bob)
        assert trip.due == trip.quoted
        await world.pass_minutes(11)
        assert await world.has(alice) == euro("100") - trip.quoted
        await world.conserved()
        world.check()


async def test_a_way_that_costs_less_is_the_trips_at_once() -> None:
    async with FleetWorld() as world:
        alice, bob = await world.rider("alice"), await world.driver("bob")
        await world.searching(alice)
        trip = await world.matched(alice, bob)
        await propose(world, alice, trip, 2_000)
        trip = await world.trip(trip)
        assert (trip.dropoff, trip.state, len(trip.holds)) == (AIRPORT, S.MATCHED, 1)
        trip = await world.completed(await world.under_way(trip, bob), bob)
        await world.pass_minutes(11)
        assert trip.quoted < trip.held
        assert await world.has(alice) == euro("100") - trip.quoted
        world.check()


async def test_a_dispute_leaves_the_money_held_until_it_is_decided() -> None:
    async with FleetWorld() as world:
        alice, bob, olga = await world.rider("alice"), await world.driver("bob"), await world.rider("olga", "")
        await world.searching(alice)
        trip = await world.completed(await world.under_way(await world.matched(alice, bob), bob), bob)

        async def complain(ctx: Context) -> object:
            now = await world.fleet.trips.get(ctx, trip.id)
            assert now is not None
            return await world.fleet.cases.open(ctx, now, TripCaseKind.DISPUTE, alice.user_id, "He took a detour")

        await world.acts(alice, complain)
        await world.acts(alice, complain)  # twice is once
        await world.pass_minutes(60)
        assert await world.has(alice) == euro("100") - trip.held
        assert await world.has(bob) == euro("0")
        (case,) = await world.fleet.cases.queue(world)
        assert case.text == "He took a detour"

        async def decide(ctx: Context) -> object:
            now = await world.fleet.cases.get(ctx, case.id)
            assert now is not None
            return await world.fleet.cases.decide(ctx, now, olga.user_id, "Sorry", euro("2"))

        await world.acts(olga, decide)
        with pytest.raises(TripRefused):
            await world.acts(olga, decide)
        await world.settle()
        assert await world.has(alice) == euro("100") - trip.quoted + euro("2")
        assert await world.has(bob) == trip.earning
        assert await world.fleet.cases.queue(world) == []
        await world.conserved()
        world.check()


async def test_given_back_after_it_was_taken() -> None:
    async with FleetWorld() as world:
        alice, bob, olga = await world.rider("alice"), await world.driver("bob"), await world.rider("olga", "")
        await world.searching(alice)
        trip = await world.completed(await world.under_way(await world.matched(alice, bob), bob), bob)
        await world.pass_minutes(11)

        def give(amount: Money) -> object:
            async def work(ctx: Context) -> object:
                now = await world.fleet.trips.get(ctx, trip.id)
                assert now is not None
                return await world.fleet.trips.give_back(ctx, now, amount, olga.user_id, "")

            return work

        await world.acts(olga, give(euro("1")))  # type: ignore[arg-type]
        assert await world.has(alice) == euro("100") - trip.quoted + euro("1")
        await world.acts(olga, give(euro("0.50")))  # type: ignore[arg-type]
        assert await world.has(alice) == euro("100") - trip.quoted + euro("1.50")
        with pytest.raises(TripRefused):
            await world.acts(olga, give(trip.quoted))  # type: ignore[arg-type]
        assert await world.has(bob) == trip.earning
        await world.conserved()
        world.check()


async def test_a_tip_is_all_the_drivers_and_is_given_once() -> None:
    async with FleetWorld() as world:
        alice, bob = await world.rider("alice"), await world.driver("bob")
        await world.searching(alice)
        trip = await world.completed(await world.under_way(await world.matched(alice, bob), bob), bob)

        async def tips(ctx: Context) -> object:
            now = await world.fleet.trips.get(ctx, trip.id)
            assert now is not None
            return await world.fleet.trips.tip(ctx, now, euro("3"))

        await world.acts(alice, tips)
        await world.declines(alice)  # changed their mind, and again
        assert (await world.trip(trip)).tip is None
        world.clock.advance(seconds=5)
        await world.acts(alice, tips)
        await world.pays(alice)
        with pytest.raises(TripRefused) as refused:
            await world.acts(alice, tips)
        assert refused.value.code == "trip.tipped"
        await world.pass_minutes(11)
        trip = await world.trip(trip)
        assert trip.tipped
        assert await world.has(alice) == euro("97") - trip.quoted
        assert await world.has(bob) == trip.earning + euro("3")
        await world.conserved()
        world.check()


async def test_suspended_on_the_way_the_trip_is_matched_again() -> None:
    async with FleetWorld() as world:
        alice, bob, olga = await world.rider("alice"), await world.driver("bob"), await world.rider("olga", "")
        await world.searching(alice)
        trip = await world.matched(alice, bob)

        async def suspend(ctx: Context) -> object:
            driver = await world.fleet.drivers.get(ctx, bob.user_id)
            assert driver is not None
            return await world.fleet.drivers.suspend(ctx, driver, olga.user_id, "complaints")

        await world.acts(olga, suspend)
        driver, trip = await world.driver_of(bob), await world.trip(trip)
        assert (driver.state, driver.trip) == (DriverState.SUSPENDED, "")
        assert (trip.state, trip.priority) == (S.SEARCHING, 1)
        carla = await world.driver("carla")
        assert (await world.matched(alice, carla)).id == trip.id
        world.check()


async def test_a_driver_who_falls_silent_on_the_way_is_replaced_and_one_who_is_heard_is_waited_for() -> None:
    async with FleetWorld() as world:
        alice, bob = await world.rider("alice"), await world.driver("bob")
        await world.searching(alice)
        trip = await world.matched(alice, bob)
        for _minute in range(20):
            world.clock.advance(minutes=1)
            world.stands(bob, MARKET.point)  # type: ignore[arg-type]
            await world.settle()
        assert (await world.trip(trip)).state is S.MATCHED
        await world.pass_minutes(11)
        await world.pass_minutes(11)
        trip = await world.trip(trip)
        assert trip.priority == 1
        assert not trip.driver
        await world.ticks("fleet_sweep")
        assert (await world.driver_of(bob)).state is DriverState.OFFLINE
        world.check()


async def test_a_trip_for_later_is_woken_in_time() -> None:
    async with FleetWorld() as world:
        alice = await world.rider("alice")
        trip = await world.ordered(alice, wanted=world.clock.now() + timedelta(hours=2))
        assert trip.state is S.SCHEDULED
        await world.pass_minutes(60)
        assert (await world.trip(trip)).state is S.SCHEDULED
        assert await world.has(alice) == euro("100")
        await world.pass_minutes(41)
        assert (await world.trip(trip)).state is S.AUTHORISING
        await world.pays(alice)
        assert (await world.trip(trip)).state is S.SEARCHING
        world.check()


async def test_stopped_by_the_operator_everything_goes_back_and_a_driver_may_be_paid() -> None:
    async with FleetWorld() as world:
        alice, bob, olga = await world.rider("alice"), await world.driver("bob"), await world.rider("olga", "")
        # The bot has to have something to pay of.
        await world.searching(alice)
        await world.completed(await world.under_way(await world.matched(alice, bob), bob), bob)
        await world.pass_minutes(11)
        world.stands(bob, MARKET.point)  # type: ignore[arg-type]
        had, drivers = await world.has(alice), await world.has(bob)
        await world.searching(alice)
        trip = await world.under_way(await world.matched(alice, bob), bob)

        async def stop(ctx: Context) -> object:
            now = await world.fleet.trips.get(ctx, trip.id)
            assert now is not None
            return await world.fleet.trips.stop(ctx, now, olga.user_id, "accident", Charge(euro("0"), euro("1")))

        await world.acts(olga, stop)
        assert (await world.trip(trip)).state is S.STOPPED
        assert await world.has(alice) == had
        assert await world.has(bob) == drivers + euro("1")
        assert (await world.driver_of(bob)).free
        world.check()


async def test_assigned_by_the_operator() -> None:
    async with FleetWorld() as world:
        alice, bob, olga = await world.rider("alice"), await world.driver("bob"), await world.rider("olga", "")
        carla = await world.driver("carla", HARBOUR)
        trip = await world.searching(alice)
        await world.round()  # bob is asked

        async def assign(ctx: Context) -> object:
            now = await world.fleet.trips.get(ctx, trip.id)
            driver = await world.fleet.drivers.get(ctx, carla.user_id)
            assert now is not None
            assert driver is not None
            return await world.fleet.trips.assign(ctx, now, driver, olga.user_id, 300)

        await world.acts(olga, assign)
        assert (await world.trip(trip)).driver == carla.user_id
        assert (await world.driver_of(bob)).free
        assert [each.state for each in await world.fleet.offers.of_trip(world, trip.id)] == [OfferState.LOST]
        with pytest.raises(TripRefused):
            await world.acts(olga, assign)
        world.check()


async def test_a_driver_drives_in_their_zones_only() -> None:
    async with FleetWorld() as world:
        alice, bob = await world.rider("alice"), await world.driver("bob")
        driver = await world.driver_of(bob)

        async def moves(ctx: Context) -> object:
            return await world.fleet.drivers.change(ctx, driver, zones=frozenset({"Elsewhere"}))

        await world.acts(bob, moves)
        trip = await world.searching(alice)
        await world.round()
        assert await world.fleet.offers.of_trip(world, trip.id) == []
        world.check()


async def test_who_is_nowhere_cannot_go_online_and_a_stale_one_is_not_asked() -> None:
    async with FleetWorld() as world:
        alice, bob = await world.rider("alice"), await world.driver("bob", online=False)
        driver = await world.driver_of(bob)
        world.fleet.positions.forget(bob.user_id)

        async def online(ctx: Context) -> object:
            return await world.fleet.drivers.go_online(ctx, driver)

        with pytest.raises(DriverError) as refused:
            await world.acts(bob, online)
        assert refused.value.code == "driver.nowhere"
        world.stands(bob, Point(52.52, 13.405))
        await world.acts(bob, online)
        world.clock.advance(minutes=4)
        trip = await world.searching(alice)
        await world.round()
        assert await world.fleet.offers.of_trip(world, trip.id) == []
        world.check()
