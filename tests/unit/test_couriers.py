"""Couriers in conversation: signed up, asked in turn, on the way; what goes wrong, and what they earn."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bots.domain.couriers import CourierState, JobKind, JobState, Proof
from bots.domain.merchants import Merchant
from bots.domain.money import Money
from bots.domain.orders import Order, OrderState
from bots.framework.testing import Person
from tests.support.food import OPERATOR, FoodWorld, pin_in

pytestmark = pytest.mark.timeout(120)


async def accepted(world: FoodWorld, merchant: Merchant, buyer: Person, minutes: int = 5, **more: object) -> Order:
    """An order that is paid, and accepted by the staff."""
    order = await world.paid_order(buyer, world.cart(merchant, "margherita"), **more)
    await world.staff_says(merchant, f"accept {order.number} {minutes}")
    order = await world.order(order)
    assert order.state is OrderState.ACCEPTED
    await world.hears(buyer)
    return order


async def test_signing_up_and_being_approved() -> None:
    async with FoodWorld() as world:
        olga, dan = world.user("olga"), world.user("dan")
        await world.chat(olga)
        await world.says(dan, "online")
        said = await world.says(dan, "courier", "Dan D.", "red bicycle")
        assert said[0].startswith("Dan D., red bicycle. Shall I ask whether you may bring orders?")
        assert await world.says(dan, "yes") == ["I have asked. I tell you as soon as somebody has decided."]
        assert "@dan:world wants to be a courier: Dan D., red bicycle" in (await world.hears(olga))[-1]
        assert "You are waiting for approval" in (await world.says(dan, "online"))[0].replace(
            "That is not possible: you are", "You are"
        )
        assert await world.says(dan, "courier") == ["You are a courier: waiting for approval."]
        assert await world.says(olga, "couriers pending") == ["@dan:world: Dan D., red bicycle: waiting for approval"]
        assert "Please say why" in (await world.says(olga, "couriers reject @dan:world"))[0]
        await world.says(olga, "couriers reject @dan:world no papers")
        assert await world.hears(dan) == ["You were not accepted as a courier: no papers"]
        await world.says(dan, "courier", "Dan", "car", "yes")
        assert await world.says(olga, "couriers approve @dan:world") == ["@dan:world: offline"]
        assert "You may bring orders now" in (await world.hears(dan))[-1]
        assert "That is not possible" in (await world.says(olga, "couriers approve @dan:world"))[0]
        assert await world.says(dan, "online") == ["You are online. I offer you trips here, one at a time."]
        assert await world.says(dan, "offline") == ["You are offline."]
        await world.says(olga, "couriers suspend @dan:world drove too fast")
        assert "suspended" in (await world.says(dan, "online"))[-1]
        await world.says(olga, "couriers reinstate @dan:world")
        await world.says(dan, "online")
        done = [entry.action for entry in await world.audit.list()]
        assert {"courier.approve", "courier.reject", "courier.suspend", "courier.reinstate"} <= set(done)
        world.check()


async def test_who_is_no_operator_decides_nothing() -> None:
    async with FoodWorld() as world:
        dan = await world.courier("dan", online=False)
        assert "may not" in (await world.says(dan, "couriers suspend @dan:world why"))[0]
        assert dan.user_id != OPERATOR


async def test_an_order_is_brought_and_everybody_gets_their_money() -> None:
    async with FoodWorld(settings={"courier_least": {"EUR": "3.00"}}) as world:
        roma = await world.merchant("roma")
        alice, dan = await world.buyer("alice"), await world.courier("dan")
        order = await accepted(world, roma, alice, 30, tip=Money(100, "EUR"))
        assert await world.hears(dan) == [], "it is too early to look for a courier"
        await world.pass_minutes(21)
        offer = (await world.hears(dan))[-1]
        assert offer.startswith("A trip from Roma: Market Square 1\n0.7 km to the buyer")
        assert "You get €3.00, and a tip of €1.00." in offer
        assert "Linden Street" not in offer, "where it goes is nobody's affair before they have it"
        said = await world.says(dan, 1)
        assert said[0].startswith(f"Fetch order {order.number} of Roma: Market Square 1 (geo:52.52,13.405)")
        told = await world.hears(alice)
        assert told[-1].startswith(f"Dan brings order {order.number} (red bicycle).")
        pin, code = pin_in(told), pin_in(await world.staff_hears(roma))
        assert pin not in said[0]
        assert await world.says(dan, "I have it", "0000" if code != "0000" else "1111") != []
        said = await world.says(dan, "I have it", code)
        assert said[0] == "You have it. On your way!"
        assert "to Alice: Linden Street 7" in said[1]
        assert (await world.order(order)).state is OrderState.DISPATCHED
        assert (await world.hears(alice))[-1] == f"Order {order.number} is on its way."
        shown = (await world.says(alice, f"track {order.number}"))[0]
        assert "Courier: with the courier" in shown
        assert f"Your PIN, for when you have it in your hands: {pin}" in shown
        said = await world.says(dan, "They tell me the PIN", f" {pin[:2]} {pin[2:]} ")
        assert said == ["Done, thank you. You have earned €4.00."]
        order = await world.order(order)
        assert order.state is OrderState.DELIVERED
        assert order.courier == "Dan"
        assert await world.has(dan) == Money(400, "EUR")
        assert (await world.says(dan, "earnings"))[0].splitlines()[:2] == ["Today: €4.00", "1 trip: €4.00"]
        assert await world.says(dan, "trip") == ["You have no trip."]
        world.check()


async def test_asked_in_turn() -> None:
    """Who does not answer lets it pass on, who says no too; then all are asked again."""
    async with FoodWorld(settings={"search_pause_seconds": 30}) as world:
        roma, alice = await world.merchant("roma"), await world.buyer("alice")
        dan, eve = await world.courier("dan"), await world.courier("eve")
        order = await accepted(world, roma, alice)
        assert "A trip from Roma" in (await world.hears(dan))[-1], "dan waits longer"
        assert await world.hears(eve) == []
        world.clock.advance(seconds=24)
        await world.settle()
        assert await world.hears(eve) == []
        world.clock.advance(seconds=1)
        await world.settle()
        assert "A trip from Roma" in (await world.hears(eve))[-1]
        late = await world.says(dan, 1)
        assert late == [] or "A trip" not in late[-1]
        assert await world.says(eve, "Not this one") == ["I ask somebody else."]
        assert (await world.trip(order)).state is JobState.SEARCHING
        await world.hears(dan)
        world.clock.advance(seconds=31)
        await world.settle()
        assert "A trip from Roma" in (await world.hears(dan))[-1]
        await world.says(dan, 1)
        assert (await world.trip(order)).courier == dan.user_id
        world.check()


async def test_one_trip_at_a_time() -> None:
    async with FoodWorld() as world:
        roma, alice = await world.merchant("roma"), await world.buyer("alice")
        dan, eve = await world.courier("dan"), await world.courier("eve")
        await accepted(world, roma, alice)
        await world.says(dan, 1)
        second = await accepted(world, roma, alice)
        assert await world.hears(dan) == []
        assert "A trip from Roma" in (await world.hears(eve))[-1]
        assert "still yours" in (await world.says(dan, "offline"))[0]
        assert (await world.trip(second)).courier == eve.user_id
        world.check()


async def test_two_offers_are_never_before_one_courier() -> None:
    async with FoodWorld() as world:
        roma, alice = await world.merchant("roma"), await world.buyer("alice")
        dan = await world.courier("dan")
        first, second = await accepted(world, roma, alice), await accepted(world, roma, alice)
        states = sorted([(await world.trip(first)).state.value, (await world.trip(second)).state.value])
        assert states == ["offered", "searching"]
        assert len([each for each in await world.hears(dan) if "A trip" in each]) == 1
        world.check()


async def test_the_buyer_does_not_bring_their_own() -> None:
    async with FoodWorld() as world:
        roma, alice = await world.merchant("roma"), await world.buyer("alice")
        room = await world.chat(alice)
        from bots.domain.couriers import Courier

        now = world.clock.now()
        made = Courier(alice.user_id, "Alice", "feet", room.room_id, CourierState.ONLINE, now, now)
        await world.write(lambda hand: world.plugin.pool.apply(hand, made))
        order = await accepted(world, roma, alice)
        assert (await world.trip(order)).state is JobState.SEARCHING
        world.check()


async def test_nobody_is_there_and_the_restaurant_brings_it() -> None:
    async with FoodWorld() as world:
        roma, alice = await world.merchant("roma"), await world.buyer("alice")
        order = await accepted(world, roma, alice)
        for _ in range(12):
            world.clock.advance(seconds=31)
            await world.settle()
        assert any("No courier is free" in each for each in await world.staff_hears(roma))
        await world.staff_says(roma, f"dispatch {order.number}")
        assert (await world.trip(order)).state is JobState.WITHDRAWN
        await world.staff_says(roma, f"delivered {order.number}")
        assert (await world.order(order)).state is OrderState.DELIVERED
        world.check()


async def test_given_up_before_it_is_fetched() -> None:
    async with FoodWorld() as world:
        roma, alice = await world.merchant("roma"), await world.buyer("alice")
        dan, eve = await world.courier("dan"), await world.courier("eve")
        order = await accepted(world, roma, alice)
        await world.says(dan, 1)
        old = pin_in(await world.hears(alice))
        assert (await world.says(dan, "I cannot fetch it"))[0] == "Somebody else brings it."
        assert "The courier cannot fetch" in (await world.staff_hears(roma))[-1]
        await world.says(eve, 1)
        assert (await world.trip(order)).courier == eve.user_id
        assert pin_in(await world.hears(alice)) == old
        world.check()


async def test_five_wrong_pins_and_then_a_photo() -> None:
    async with FoodWorld() as world:
        roma, alice, dan = await world.merchant("roma"), await world.buyer("alice"), await world.courier("dan")
        order = await accepted(world, roma, alice)
        await world.says(dan, 1)
        job = await world.trip(order)
        await world.says(dan, "I have it", job.pickup_code)
        wrong = "0000" if job.pin != "0000" else "1111"
        for _ in range(5):
            assert "That is not it" in (await world.says(dan, "They tell me the PIN", wrong))[0]
        assert "Too many wrong tries" in (await world.says(dan, "They tell me the PIN", job.pin))[0]
        await world.hears(alice)
        await world.says(dan, "I leave it there, with a photo")
        assert "That is no photo." in (await world.says(dan, "no"))[0]
        await world.says(dan, "I leave it there, with a photo")
        room = await world.chat(dan)
        await dan.sends_photo(room=room)
        assert "Done, thank you." in (await world.hears(dan))[-1]
        heard = await alice.hears_all(await world.chat(alice))
        assert any(each.content.get("msgtype") == "m.image" for each in heard)
        assert (await world.trip(order)).proof is Proof.PHOTO
        assert (await world.order(order)).state is OrderState.DELIVERED
        world.check()


async def test_a_photo_counts_when_the_buyer_wants_it_so_or_does_not_come() -> None:
    async with FoodWorld() as world:
        roma, alice, dan = await world.merchant("roma"), await world.buyer("alice"), await world.courier("dan")
        room = await world.chat(dan)
        order = await accepted(world, roma, alice)
        await world.says(dan, 1)
        await world.says(dan, "I have it", (await world.trip(order)).pickup_code)
        job = await world.trip(order)
        refused = "A photo counts when the buyer wants it left at the door"
        assert refused in (await world.says(dan, "I leave it there, with a photo"))[0]
        # Nobody comes: the buyer hears it, with the PIN; from the first time that it is said five minutes count.
        await world.hears(alice)
        assert "photo in 5 minutes." in (await world.says(dan, "Nobody comes to the door"))[0]
        (told,) = await world.hears(alice)
        assert f"at your door with order {order.number}, and nobody comes. Your PIN: {job.pin}." in told
        await world.pass_minutes(4)
        await world.says(dan, "Nobody comes to the door")
        assert await world.hears(alice) == [], "told once"
        assert refused in (await world.says(dan, "I leave it there, with a photo"))[0]
        await world.pass_minutes(1)
        assert await world.says(dan, "I leave it there, with a photo") == ["Please send the photo."]
        await dan.sends_photo(room=room)
        assert (await world.trip(order)).proof is Proof.PHOTO
        # Another buyer wants it left at the door, and changes their mind twice.
        bob = await world.buyer("bob")
        order = await accepted(world, roma, bob)
        await world.says(dan, 1)
        await world.says(dan, "I have it", (await world.trip(order)).pickup_code)
        for what, said in (
            ("Leave it at my door", "The courier leaves it at your door"),
            ("Hand it to me after all", "The courier hands it to you"),
            ("Leave it at my door", "The courier leaves it at your door"),
        ):
            await world.says(bob, f"order {order.number}")
            assert said in (await world.says(bob, what))[0]
        assert "They want it left at the door" in (await world.hears(dan))[-1]
        assert await world.says(dan, "I leave it there, with a photo") == ["Please send the photo."]
        await dan.sends_photo(room=room)
        assert (await world.order(order)).state is OrderState.DELIVERED
        world.check()


async def test_restaurants_pay_couriers_no_more_than_the_delivery_fee() -> None:
    """Unless the operator says so (``courier_least``, ``pay_failed_trips``) or they give it for nothing themselves."""
    async with FoodWorld() as world:
        roma, alice, dan = await world.merchant("roma"), await world.buyer("alice"), await world.courier("dan")
        order = await accepted(world, roma, alice)
        earned = await world.merchant_has(roma)
        await world.says(dan, 1)
        await world.says(dan, "I have it", (await world.trip(order)).pickup_code)
        await world.says(dan, "They tell me the PIN", (await world.trip(order)).pin)
        await world.pass_minutes(1)
        assert await world.merchant_has(roma) == earned - order.delivery.fee
        assert await world.has(dan) == order.delivery.fee == Money(250, "EUR")
        # What fails costs them nothing beyond what they give back.
        before = await world.merchant_has(roma)
        order = await accepted(world, roma, alice)
        await world.says(dan, 1)
        await world.says(dan, "I have it", (await world.trip(order)).pickup_code)
        await world.says(dan, "I cannot hand it over", "Nobody opens")
        assert (await world.says(dan, "I have brought it back", (await world.trip(order)).pin))[0] == "Done, thank you."
        await world.pass_minutes(11)
        assert (await world.order(order)).state is OrderState.RETURNED
        assert await world.merchant_has(roma) == before
        assert await world.has(dan) == Money(250, "EUR")
        # Who gives the delivery away pays for it.
        free = replace(roma.zones[0], free_from=Money(100, "EUR"))
        await world.write(lambda hand: world.sellers.change(hand, roma, replace(roma, zones=(free,))))
        (order,) = await world.places(
            alice, world.cart(roma, "margherita"),
            deliveries={roma.id: replace(world.delivery(roma), fee=Money(0, "EUR"))},
        )  # fmt: skip
        await world.pays(alice)
        await world.staff_says(roma, f"accept {order.number} 5")
        assert (await world.trip(order)).fee == Money(250, "EUR")
        world.check()


async def test_what_cannot_be_handed_over_goes_back() -> None:
    async with FoodWorld(settings={"courier_least": {"EUR": "3.00"}, "pay_failed_trips": True}) as world:
        roma, alice, dan = await world.merchant("roma"), await world.buyer("alice"), await world.courier("dan")
        before = await world.has(alice)
        order = await accepted(world, roma, alice)
        await world.says(dan, 1)
        await world.says(dan, "I have it", (await world.trip(order)).pickup_code)
        said = await world.says(dan, "I cannot hand it over", "Nobody opens")
        assert said[0] == "I have told them. It goes back to where it came from."
        assert f"Bring order {order.number} back to Roma" in said[1]
        assert any("could not be handed over" in each for each in await world.hears(alice))
        code = pin_in(await world.staff_hears(roma))
        back = await world.trip(order)
        assert (back.kind, back.state) == (JobKind.RETURN, JobState.CARRIED)
        assert (await world.order(order)).state is OrderState.FAILED
        assert "Done" in (await world.says(dan, "I have brought it back", code))[0]
        assert (await world.order(order)).state is OrderState.RETURNED
        await world.pass_minutes(11)
        assert await world.has(alice) == before, "all of it comes back, before the courier is paid of what there is"
        assert await world.has(dan) == Money(0, "EUR")
        assert "still on its way" in (await world.says(dan, "earnings"))[0]
        await accepted(world, roma, bob := await world.buyer("bob"))
        await world.pass_minutes(11)
        assert await world.has(dan) == Money(600, "EUR"), "there and back, as soon as the restaurant has earned it"
        assert bob.user_id
        world.check()


async def test_staff_tries_it_again() -> None:
    async with FoodWorld() as world:
        roma, alice, dan = await world.merchant("roma"), await world.buyer("alice"), await world.courier("dan")
        order = await accepted(world, roma, alice)
        await world.says(dan, 1)
        await world.says(dan, "I have it", (await world.trip(order)).pickup_code)
        await world.says(dan, "I cannot hand it over", "I cannot find the address")
        await world.staff_says(roma, f"try again {order.number}")
        assert (await world.order(order)).state is OrderState.READY
        job = await world.trip(order)
        assert (job.kind, job.state) == (JobKind.DELIVERY, JobState.OFFERED)
        await world.says(dan, "I take it")
        await world.says(dan, "I have it", (await world.trip(order)).pickup_code)
        await world.says(dan, "They tell me the PIN", (await world.trip(order)).pin)
        assert (await world.order(order)).state is OrderState.DELIVERED
        world.check()


async def test_the_staff_says_what_the_courier_did() -> None:
    async with FoodWorld() as world:
        roma, alice, dan = await world.merchant("roma"), await world.buyer("alice"), await world.courier("dan")
        order = await accepted(world, roma, alice)
        await world.says(dan, 1)
        await world.staff_says(roma, f"dispatch {order.number}")
        assert (await world.trip(order)).state is JobState.CARRIED
        assert f"Bring order {order.number}" in (await world.hears(dan))[-1]
        await world.staff_says(roma, f"delivered {order.number}")
        job = await world.trip(order)
        assert (job.state, job.proof) == (JobState.DONE, Proof.STAFF)
        assert "you have done it" in (await world.hears(dan))[-1]
        assert await world.has(dan) == Money(250, "EUR")
        world.check()


async def test_called_off_on_the_way() -> None:
    async with FoodWorld() as world:
        roma, alice, dan = await world.merchant("roma"), await world.buyer("alice"), await world.courier("dan")
        order = await accepted(world, roma, alice)
        await world.says(dan, 1)
        await world.staff_says(roma, f"call off {order.number} the oven is broken")
        assert (await world.order(order)).state is OrderState.CANCELLED
        assert f"Order {order.number} of Roma need not be brought any more." in await world.hears(dan)
        assert (await world.plugin.pool.courier(world, dan.user_id)).job == ""
        assert (await world.says(dan, "earnings"))[0] == "You have brought nothing yet."
        world.check()


async def test_a_courier_is_paid_once_whatever_dies() -> None:
    for commits in (1, 2, 4):
        async with FoodWorld() as world:
            roma, alice, dan = await world.merchant("roma"), await world.buyer("alice"), await world.courier("dan")
            order = await accepted(world, roma, alice)
            await world.says(dan, 1)
            await world.says(dan, "I have it", (await world.trip(order)).pickup_code)
            await world.says(dan, "They tell me the PIN")
            world.kill_after(commits)
            await world.says(dan, (await world.trip(order)).pin)
            await world.pass_minutes(15)
            assert (await world.order(order)).state is OrderState.DELIVERED
            assert await world.has(dan) == Money(250, "EUR"), commits
            job = await world.trip(order)
            assert job.paid


async def test_forgotten_searches_go_on() -> None:
    async with FoodWorld() as world:
        roma, alice, dan = (
            await world.merchant("roma"),
            await world.buyer("alice"),
            await world.courier("dan", online=False),
        )
        order = await accepted(world, roma, alice)
        job = await world.trip(order)

        async def forget(ctx: object) -> None:
            ctx.schedules.cancel(f"trip/{job.id}")  # type: ignore[attr-defined]

        await world.does(dan, forget)
        await world.says(dan, "online")
        await world.pass_minutes(3)
        assert await world.hears(dan) == []
        await world.ticks("sweep_trips")
        assert any("A trip from Roma" in each for each in await world.hears(dan))
        world.check()


async def test_both_say_yes_to_what_only_one_has() -> None:
    """The answer to an offer that has passed on is none."""
    async with FoodWorld() as world:
        roma, alice = await world.merchant("roma"), await world.buyer("alice")
        dan, eve = await world.courier("dan"), await world.courier("eve")
        order = await accepted(world, roma, alice)
        job = await world.trip(order)
        pool = world.plugin.pool

        async def takes(ctx: object) -> str:
            from bots.domain.couriers import CourierError

            try:
                await pool.accept(ctx, job.id, job.offers, ctx.sender)  # type: ignore[attr-defined]
            except CourierError as error:
                return error.code
            return "taken"

        said = await asyncio.gather(world.does(dan, takes), world.does(eve, takes))
        assert list(said) == ["taken", "courier.gone"]
        assert (await world.trip(order)).courier == dan.user_id
