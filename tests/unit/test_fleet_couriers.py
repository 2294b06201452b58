"""What restaurants sell, drivers of the fleet bring: food, rides and wallet together."""

from __future__ import annotations

import asyncio
import random
from typing import Any, Final

import pytest

from bots.domain.couriers import JobKind, JobState, Proof
from bots.domain.merchants import Merchant
from bots.domain.money import Money
from bots.domain.orders import Fulfilment, Order, OrderState
from bots.domain.places import Place
from bots.domain.trips import ENDED as TRIP_ENDED
from bots.domain.trips import TripKind, TripState
from bots.fleet.dispatcher import FleetCouriers
from bots.fleet.jobs import SHOWN
from bots.framework import Context
from tests.support.commerce import HOME
from tests.support.fleet_food import FleetFoodWorld, FleetShop, PayingFood, PlainShop
from tests.support.food import FoodWorld, pin_in
from tests.support.rides import RIDES

pytestmark = pytest.mark.timeout(180)


async def test_an_order_is_brought_and_everybody_gets_their_money() -> None:
    async with FleetFoodWorld() as world:
        roma, alice, bob = await world.merchant("roma"), await world.buyer("alice"), await world.driver("bob")
        order = await world.accepted(roma, alice, tip=Money(100, "EUR"))
        trip = await world.trip_of(order)
        assert (trip.kind, trip.state, trip.reference) == (TripKind.COURIER, TripState.SEARCHING, order.id)
        assert trip.pickup.text == f"Roma, {order.number}: Market Square 1"
        await world.round()
        offer = (await world.drive_hears(bob))[-1]
        assert "Linden Street" not in offer, "where it goes is nobody's affair before they have it"
        await world.drives(bob, 1)
        await world.settle()
        told = await world.hears(alice)
        assert told[-1].startswith(f"Bob brings order {order.number} (red bicycle, no. bob).")
        pin, code = pin_in(told), pin_in(await world.staff_hears(roma))
        trip = await world.trip_of(order)
        assert (trip.pin, trip.dropoff_pin) == (code, pin)
        shown = (await world.says(alice, f"track {order.number}"))[0]
        assert "Courier: a courier is on the way to the merchant" in shown
        await world.fetches(order, bob)
        assert (await world.order(order)).state is OrderState.DISPATCHED
        assert (await world.hears(alice))[-1] == f"Order {order.number} is on its way."
        wrong = "0000" if pin != "0000" else "1111"
        assert any("That is not it" in each for each in await world.hands_over(order, bob, wrong))
        assert (await world.order(order)).state is OrderState.DISPATCHED
        await world.drives(bob, pin)
        await world.settle()
        done = await world.order(order)
        assert (done.state, done.courier) == (OrderState.DELIVERED, "Bob")
        job = await world.trip(order)
        assert (job.state, job.proof, job.paid) == (JobState.DONE, Proof.PIN, True)
        assert await world.has(bob) == Money(350, "EUR")
        trip = await world.trip_of(order)
        assert (trip.owed, trip.earning) == (False, Money(350, "EUR"))
        assert any("€3.50" in each for each in await world.drives(bob, "earnings"))
        driver = await world.fleet.drivers.get(world, bob.user_id)
        assert driver is not None
        assert driver.trip == ""
        world.check()


async def test_a_photo_reaches_the_buyer() -> None:
    async with FleetFoodWorld() as world:
        roma, alice, bob = await world.merchant("roma"), await world.buyer("alice"), await world.driver("bob")
        order = await world.carried(roma, alice, bob)
        await world.says(alice, f"order {order.number}", "Leave it at my door")
        assert any("Leave it at the door, with a photo." in each for each in await world.drive_hears(bob))
        await world.hears(alice)
        await world.drives(bob, "photo")
        room = await world.rides_chat(bob)
        await bob.sends_photo(room=room)
        await world.settle()
        heard = await alice.hears_all(await world.chat(alice))
        pictures = [each for each in heard if each.content.get("msgtype") == "m.image"]
        assert len(pictures) == 1
        assert "m.relates_to" not in pictures[0].content
        assert sum("has left order" in each.body for each in heard) == 1
        assert (await world.order(order)).state is OrderState.DELIVERED
        assert (await world.trip(order)).proof is Proof.PHOTO
        world.check()


@pytest.mark.parametrize("paying", [False, True])
async def test_what_cannot_be_handed_over_goes_back(paying: bool) -> None:
    async with FleetFoodWorld(PayingFood) if paying else FleetFoodWorld() as world:
        roma, alice, bob = await world.merchant("roma"), await world.buyer("alice"), await world.driver("bob")
        before = await world.has(alice)
        order = await world.carried(roma, alice, bob)
        await world.drives(bob, "fail", 1)
        await world.settle()
        assert (await world.order(order)).state is OrderState.FAILED
        assert any("could not be handed over" in each for each in await world.hears(alice))
        code = pin_in(await world.staff_hears(roma))
        job, trip = await world.trip(order), await world.trip_of(order)
        assert (job.kind, job.state, job.pin) == (JobKind.RETURN, JobState.CARRIED, code)
        assert (trip.kind, trip.id, trip.dropoff_pin) == (TripKind.RETURN, job.id, code)
        await world.hands_over(order, bob, code)
        assert (await world.order(order)).state is OrderState.RETURNED
        await world.passes(11, bob)
        assert await world.has(alice) == before, "all of it comes back"
        if paying:
            await world.accepted(roma, await world.buyer("dave"))
            await world.passes(11, bob)
        assert await world.has(bob) == Money(500 if paying else 0, "EUR"), "there and back, or nothing"
        failed = await world.fleet.trips.get(world, trip.of)
        assert failed is not None
        assert (failed.state, failed.earning.minor, failed.owed) == (TripState.FAILED, 250 if paying else 0, False)
        world.check()


async def test_given_up_before_it_is_fetched() -> None:
    async with FleetFoodWorld() as world:
        roma, alice, bob = await world.merchant("roma"), await world.buyer("alice"), await world.driver("bob")
        order = await world.taken(roma, alice, bob)
        old = pin_in(await world.hears(alice))
        await world.staff_hears(roma)
        eve = await world.driver("eve")
        await world.drives(bob, "give up", 1)
        await world.settle()
        assert sum("The courier cannot fetch" in each for each in await world.staff_hears(roma)) == 1
        assert (await world.trip(order)).state is JobState.SEARCHING
        await world.round()
        await world.drives(eve, 1)
        await world.settle()
        job = await world.trip(order)
        assert (job.state, job.courier) == (JobState.TAKEN, eve.user_id)
        assert pin_in(await world.hears(alice)) == old
        await world.fetches(order, eve)
        await world.hands_over(order, eve)
        assert (await world.order(order)).state is OrderState.DELIVERED
        assert (await world.has(eve), await world.has(bob)) == (Money(250, "EUR"), Money(0, "EUR"))
        world.check()


async def test_the_staff_says_what_the_courier_did() -> None:
    async with FleetFoodWorld() as world:
        roma, alice, bob = await world.merchant("roma"), await world.buyer("alice"), await world.driver("bob")
        order = await world.taken(roma, alice, bob)
        await world.drive_hears(bob)
        await world.staff_says(roma, f"dispatch {order.number}")
        await world.settle()
        assert (await world.trip(order)).state is JobState.CARRIED
        assert (await world.trip_of(order)).state is TripState.UNDER_WAY
        assert any("Linden Street 7" in each for each in await world.drive_hears(bob)), "they see where to"
        await world.staff_says(roma, f"delivered {order.number}")
        await world.settle()
        job = await world.trip(order)
        assert (job.state, job.proof) == (JobState.DONE, Proof.STAFF)
        assert (await world.trip_of(order)).state is TripState.COMPLETED
        assert any("is done" in each for each in await world.drive_hears(bob))
        assert await world.has(bob) == Money(250, "EUR")
        world.check()


async def test_the_staff_says_that_it_failed_and_has_it_back() -> None:
    async with FleetFoodWorld() as world:
        roma, alice, bob = await world.merchant("roma"), await world.buyer("alice"), await world.driver("bob")
        order = await world.carried(roma, alice, bob)
        await world.staff_says(roma, f"failed {order.number} nobody opens")
        await world.settle()
        job = await world.trip(order)
        assert (job.kind, job.state) == (JobKind.RETURN, JobState.CARRIED)
        assert (await world.trip_of(order)).kind is TripKind.RETURN
        await world.staff_says(roma, f"try again {order.number}")
        await world.settle()
        job = await world.trip(order)
        assert (job.kind, job.state) == (JobKind.DELIVERY, JobState.SEARCHING)
        assert (await world.order(order)).state is OrderState.READY
        await world.round()
        await world.drives(bob, 1)
        await world.settle()
        await world.fetches(order, bob)
        await world.hands_over(order, bob)
        assert (await world.order(order)).state is OrderState.DELIVERED
        world.check()


async def test_called_off_on_the_way() -> None:
    async with FleetFoodWorld() as world:
        roma, alice, bob = await world.merchant("roma"), await world.buyer("alice"), await world.driver("bob")
        order = await world.taken(roma, alice, bob)
        await world.drive_hears(bob)
        await world.staff_says(roma, f"call off {order.number} the oven is broken")
        await world.settle()
        assert (await world.order(order)).state is OrderState.CANCELLED
        assert (await world.trip(order)).state is JobState.WITHDRAWN
        assert (await world.trip_of(order)).state is TripState.CANCELLED
        assert sum("was cancelled" in each for each in await world.drive_hears(bob)) == 1
        driver = await world.fleet.drivers.get(world, bob.user_id)
        assert driver is not None
        assert driver.trip == ""
        await world.passes(2, bob)
        assert (await world.trip(order)).state is JobState.WITHDRAWN, "nobody asks for another one"
        world.check()


async def test_it_is_searched_for_when_it_is_almost_ready() -> None:
    async with FleetFoodWorld() as world:
        roma, alice, bob = await world.merchant("roma"), await world.buyer("alice"), await world.driver("bob")
        order = await world.accepted(roma, alice, minutes=60)
        assert (await world.trip_of(order)).state is TripState.SCHEDULED
        await world.round()
        assert await world.drive_hears(bob) == []
        await world.staff_says(roma, f"ready {order.number}")
        await world.settle()
        assert (await world.trip_of(order)).state is TripState.SEARCHING
        later = await world.accepted(roma, alice, minutes=30)
        await world.passes(19, bob)
        assert (await world.trip_of(later)).state is TripState.SCHEDULED
        await world.passes(2, bob)
        assert (await world.trip_of(later)).state is TripState.SEARCHING
        world.check()


async def test_without_the_bot_of_rides_restaurants_bring_it() -> None:
    async with FleetFoodWorld() as world:
        roma, alice = await world.merchant("roma"), await world.buyer("alice")
        world.fleet.attached.clear()  # it did not start
        order = await world.paid_order(alice, world.cart(roma, "margherita"))
        said = await world.staff_says(roma, f"accept {order.number} 5")
        assert sum("No courier is free" in each for each in said) == 1
        await world.staff_says(roma, f"dispatch {order.number}")
        await world.staff_says(roma, f"delivered {order.number}")
        assert (await world.order(order)).state is OrderState.DELIVERED


async def test_a_class_that_there_is_not_brings_nothing() -> None:
    async with FleetFoodWorld() as world:
        roma, alice = await world.merchant("roma"), await world.buyer("alice")
        world.plugin.pool._service = "van"
        order = await world.paid_order(alice, world.cart(roma, "margherita"))
        said = await world.staff_says(roma, f"accept {order.number} 5")
        assert sum("No courier is free" in each for each in said) == 1


async def test_nobody_is_there_and_another_is_asked_for() -> None:
    async with FleetFoodWorld() as world:
        roma, alice = await world.merchant("roma"), await world.buyer("alice")
        order = await world.accepted(roma, alice)
        first = await world.trip(order)
        await world.passes(31)
        assert sum("No courier is free" in each for each in await world.staff_hears(roma)) == 1
        again = await world.trip(order)
        assert again.id != first.id
        assert again.state is JobState.SEARCHING
        assert (await world.trip_of(order)).id == again.id
        bob = await world.driver("bob")
        await world.round()
        await world.drives(bob, 1)
        await world.settle()
        assert (await world.trip(order)).courier == bob.user_id
        world.check()


async def test_nobody_is_there_and_the_restaurant_brings_it() -> None:
    async with FleetFoodWorld() as world:
        roma, alice = await world.merchant("roma"), await world.buyer("alice")
        order = await world.accepted(roma, alice)
        await world.staff_says(roma, f"dispatch {order.number}")
        assert (await world.trip(order)).state is JobState.WITHDRAWN
        assert (await world.trip_of(order)).state is TripState.CANCELLED
        await world.staff_says(roma, f"delivered {order.number}")
        assert (await world.order(order)).state is OrderState.DELIVERED
        world.check()


async def test_a_place_that_nobody_can_find_is_brought_by_the_restaurant() -> None:
    async with FleetFoodWorld() as world:
        nowhere = await world.merchant("nowhere", where=Place("In the old town"))
        alice = await world.buyer("alice")
        order = await world.paid_order(alice, world.cart(nowhere, "margherita"))
        said = await world.staff_says(nowhere, f"accept {order.number} 5")
        assert sum("No courier is free" in each for each in said) == 1
        assert await world.fleet.trips.of_reference(world, f"food:{world.seller}", order.id) is None
        await world.staff_says(nowhere, f"dispatch {order.number}")
        await world.staff_says(nowhere, f"delivered {order.number}")
        assert (await world.order(order)).state is OrderState.DELIVERED
        world.check()


async def test_the_buyer_does_not_bring_their_own() -> None:
    async with FleetFoodWorld() as world:
        roma, alice = await world.merchant("roma"), await world.buyer("alice")
        await world.driver("alice")
        await world.accepted(roma, alice)
        await world.round()
        assert not any("courier" in each.casefold() for each in await world.drive_hears(alice))
        world.check()


async def test_the_operator_stops_it_on_the_way() -> None:
    async with FleetFoodWorld() as world:
        roma, alice, bob = await world.merchant("roma"), await world.buyer("alice"), await world.driver("bob")
        olga = world.user("olga")
        order = await world.carried(roma, alice, bob)
        trip = await world.trip_of(order)
        await world.drives(olga, f"stop trip {trip.number} an accident")
        await world.settle()
        assert (await world.trip_of(order)).state is TripState.STOPPED
        assert (await world.order(order)).state is OrderState.FAILED
        assert (await world.trip(order)).state is JobState.FAILED
        await world.passes(11, bob)
        assert await world.has(bob) == Money(0, "EUR")
        answer = await world.drives(olga, f"refund {trip.number} all sorry")
        assert "refund it there" in answer[0]
        world.check()


async def test_the_operator_stops_the_search() -> None:
    async with FleetFoodWorld() as world:
        roma, alice, olga = await world.merchant("roma"), await world.buyer("alice"), world.user("olga")
        order = await world.accepted(roma, alice)
        await world.staff_hears(roma)
        await world.drives(olga, f"stop trip {(await world.trip_of(order)).number} a storm")
        await world.settle()
        assert sum("The operator has ended the trip" in each for each in await world.staff_hears(roma)) == 1
        assert (await world.trip(order)).state is JobState.WITHDRAWN
        await world.passes(2)
        assert (await world.trip(order)).state is JobState.WITHDRAWN
        assert (await world.order(order)).state is OrderState.ACCEPTED
        world.check()


async def test_who_wants_to_bring_is_told_where() -> None:
    async with FleetFoodWorld() as world:
        dan, olga = await world.buyer("dan"), world.user("olga")
        for words in ("courier", "online", "earnings"):
            assert await world.says(dan, words) == [f"Couriers drive for {RIDES} here: write “drive” to it."]
        assert (await world.says(olga, "couriers"))[0].startswith(f"Couriers drive for {RIDES}")
        world.check()


async def test_a_fleet_brings_what_a_shop_delivers_into_its_zones() -> None:
    async with FleetFoodWorld(FleetShop) as world:
        books, alice, bob = await world.merchant("books"), await world.buyer("alice"), await world.driver("bob")
        order = await world.accepted(books, alice)
        await world.round()
        await world.drives(bob, 1)
        await world.settle()
        pin = pin_in(await world.hears(alice))
        await world.fetches(order, bob)
        assert (await world.order(order)).state is OrderState.DISPATCHED
        await world.hands_over(order, bob, pin)
        assert (await world.order(order)).state is OrderState.DELIVERED
        assert await world.has(bob) == Money(250, "EUR")
        # What goes by post, or is fetched, is nobody's trip.
        for kind in (Fulfilment.PARCEL, Fulfilment.PICKUP):
            other = await world.accepted(books, alice, kind=kind)
            assert await world.fleet.trips.of_reference(world, f"shop:{world.seller}", other.id) is None
        world.check()


async def test_in_a_shop_merchants_bring_it_themselves_unless_it_is_said() -> None:
    async with FleetFoodWorld(PlainShop) as world:
        books, alice = await world.merchant("books"), await world.buyer("alice")
        order = await world.accepted(books, alice)
        assert await world.fleet.trips.of_reference(world, f"shop:{world.seller}", order.id) is None
        assert await world.trip(order) is None
        await world.staff_says(books, f"dispatch {order.number}")
        await world.staff_says(books, f"delivered {order.number}")
        assert (await world.order(order)).state is OrderState.DELIVERED
        world.check()


async def test_the_pool_is_the_default() -> None:
    async with FoodWorld() as world:
        await world.buyer("alice")
        assert not isinstance(world.plugin.pool, FleetCouriers)
        assert world.plugin.pool.elsewhere == ""


# Whatever dies, comes twice, late, or at the same time


async def test_news_that_come_twice_or_late_do_nothing() -> None:
    async with FleetFoodWorld() as world:
        roma, alice, bob = await world.merchant("roma"), await world.buyer("alice"), await world.driver("bob")
        order = await world.taken(roma, alice, bob)
        matched = await world.trip_of(order)
        await world.fetches(order, bob)
        await world.hears(alice)
        await world.staff_hears(roma)
        pool = world.plugin.pool

        async def again(ctx: Context) -> bool:
            await pool.follow(ctx, matched, by=bob.user_id)
            await pool.follow(ctx, await world.trip_of(order), by=bob.user_id)
            return True

        assert await world.does(alice, again)
        assert (await world.trip(order)).state is JobState.CARRIED
        assert await world.staff_hears(roma) == []
        await world.hands_over(order, bob)
        assert await world.does(alice, again)
        await world.passes(11, bob)
        assert await world.has(bob) == Money(250, "EUR")
        world.check()


async def test_lost_news_are_made_up_for() -> None:
    async with FleetFoodWorld() as world:
        roma, alice, bob = await world.merchant("roma"), await world.buyer("alice"), await world.driver("bob")
        order = await world.accepted(roma, alice)
        heard = world.plugin.pool.heard

        async def lost(ctx: Context, data: Any) -> None:
            """Nobody hears it."""

        world.plugin.pool.heard = lost
        await world.round()
        await world.drives(bob, 1)
        await world.fetches(order, bob)
        assert (await world.trip(order)).state is JobState.SEARCHING
        world.plugin.pool.heard = heard
        await world.passes(3, bob)
        await world.ticks("sweep_trips")
        await world.settle()
        assert (await world.trip(order)).state is JobState.CARRIED
        assert (await world.order(order)).state is OrderState.DISPATCHED
        assert any("Bob brings order" in each for each in await world.hears(alice))
        # And what failed meanwhile is on its way back.
        world.plugin.pool.heard = lost
        await world.drives(bob, "fail", 1)
        await world.settle()
        world.plugin.pool.heard = heard
        await world.passes(3, bob)
        await world.ticks("sweep_trips")
        await world.settle()
        assert (await world.trip(order)).kind is JobKind.RETURN
        assert (await world.order(order)).state is OrderState.FAILED
        world.check()


async def test_called_off_while_a_driver_takes_it() -> None:
    async with FleetFoodWorld() as world:
        roma, alice, bob = await world.merchant("roma"), await world.buyer("alice"), await world.driver("bob")
        order = await world.accepted(roma, alice)
        await world.round()
        boss, chat = world.user("carla"), await world.rides_chat(bob)
        await asyncio.gather(
            bob.says("1", room=chat),
            boss.says(f"call off {order.number} too late", room=world.staff_room(roma)),
        )
        await world.settle()
        assert (await world.order(order)).state is OrderState.CANCELLED
        assert (await world.trip(order)).state is JobState.WITHDRAWN
        assert (await world.trip_of(order)).state is TripState.CANCELLED
        driver = await world.fleet.drivers.get(world, bob.user_id)
        assert driver is not None
        assert (driver.trip, driver.offer) == ("", "")


@pytest.mark.parametrize("commits", [1, 2, 3, 4, 6])
async def test_a_courier_is_paid_once_whatever_dies(commits: int) -> None:
    async with FleetFoodWorld() as world:
        roma, alice, bob = await world.merchant("roma"), await world.buyer("alice"), await world.driver("bob")
        order = await world.carried(roma, alice, bob)
        trip = await world.trip_of(order)
        assert HOME.point is not None
        world.clock.advance(minutes=4)
        world.stands(bob, HOME.point)
        world.kill_after(commits)
        await world.drives(bob, f"end {trip.dropoff_pin}")
        await world.passes(15, bob, at=HOME)
        assert (await world.order(order)).state is OrderState.DELIVERED
        job = await world.trip(order)
        assert (job.state, job.paid) == (JobState.DONE, True)
        assert await world.has(bob) == Money(250, "EUR")
        assert not (await world.trip_of(order)).owed


@pytest.mark.parametrize("commits", [1, 2, 3, 5])
async def test_an_order_gets_one_trip_whatever_dies(commits: int) -> None:
    async with FleetFoodWorld() as world:
        roma, alice, bob = await world.merchant("roma"), await world.buyer("alice"), await world.driver("bob")
        order = await world.paid_order(alice, world.cart(roma, "margherita"))
        world.kill_after(commits)
        await world.staff_says(roma, f"accept {order.number} 5")
        await world.passes(1, bob)
        await world.round()
        offers = await world.fleet.offers.of_trip(world, (await world.trip_of(order)).id)
        assert len(offers) == 1
        jobs = await world.trip(order)
        assert jobs.id == (await world.trip_of(order)).id


# Whatever is done in whatever order


STAFF: Final = ("dispatch", "ready", "delivered", "failed {} nobody opens", "try again", "came back", "call off {} no")


async def anything(world: FleetFoodWorld, dice: random.Random, roma: Merchant, order: Order) -> None:
    """Somebody does something, possible or not."""
    bob, eve, olga = world.user("bob"), world.user("eve"), world.user("olga")
    driver = dice.choice([bob, eve])
    trip = await world.fleet.trips.of_reference(world, f"food:{world.seller}", order.id)
    what = dice.choice(["round", "answer", "step", "step", "step", "back out", "staff", "operator", "time"])
    if what == "round":
        await world.round()
    elif what == "answer":
        await world.drives(driver, dice.choice([1, 1, 2]))
    elif what == "step" and trip is not None and trip.driver:
        secret = trip.secret if dice.random() < 0.9 else "0000"
        usual = {
            TripState.MATCHED: "arrived",
            TripState.ARRIVED: f"start {secret}",
            TripState.UNDER_WAY: f"end {secret}",
        }
        word = usual.get(trip.state, "arrived") if dice.random() < 0.8 else dice.choice(list(usual.values()))
        await world.drives(world.user(trip.driver[1:].partition(":")[0]), word, "yes")
    elif what == "back out":
        await world.drives(driver, dice.choice(["give up", "fail", "fail"]), 1)
    elif what == "staff":
        (word,) = dice.choices(STAFF, [1, 2, 1, 1, 3, 2, 0.3])
        await world.staff_says(roma, word.format(order.number) if "{}" in word else f"{word} {order.number}")
    elif what == "operator" and trip is not None:
        words = ["assign {} @bob:world", "assign {} @eve:world", "suspend @bob:world why", "reinstate @bob:world"]
        (word,) = dice.choices([*words, "stop trip {} because"], [2, 2, 1, 2, 0.5])
        await world.drives(olga, word.format(trip.number))
        await world.drives(bob, "online")
    else:
        await world.passes(dice.choice([1, 3]), bob, eve)
    await world.settle()


@pytest.mark.parametrize("seed", range(6))
async def test_jobs_stand_where_their_trips_stand(seed: int) -> None:
    dice = random.Random(seed)
    async with FleetFoodWorld(PayingFood) as world:
        roma, alice = await world.merchant("roma"), await world.buyer("alice")
        for name in ("bob", "eve"):
            await world.driver(name)
        order = await world.accepted(roma, alice)
        for _ in range(40):
            await anything(world, dice, roma, order)
            job = await world.trip(order)
            trip = await world.fleet.trips.get(world, job.id)
            assert trip is not None
            shown = SHOWN.get(trip.state, JobState.WITHDRAWN)
            if trip.state is TripState.STOPPED and job.state is JobState.FAILED:
                shown = JobState.FAILED  # on the way
            assert job.state is shown
            if job.state in {JobState.TAKEN, JobState.CARRIED}:
                assert job.courier == trip.driver
                assert (job.pickup_code, job.pin) == (trip.pin, trip.dropoff_pin)
            now = await world.order(order)
            if job.state is JobState.DONE and job.kind is JobKind.DELIVERY:
                assert now.state is OrderState.DELIVERED
            if now.state in {OrderState.DELIVERED, OrderState.CANCELLED, OrderState.RETURNED}:
                assert trip.state in TRIP_ENDED
            for name in ("bob", "eve"):
                person = await world.fleet.drivers.get(world, world.user(name).user_id)
                assert person is not None
                held = await world.fleet.trips.get(world, person.trip) if person.trip else None
                assert held is None or held.driver == person.person
        assert world.failures == []
