"""The checkout in conversation: what is asked, what has changed meanwhile, what cannot be delivered, who was faster."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bots.domain.catalogue import Variant
from bots.domain.coupons import Coupon
from bots.domain.merchants import MerchantAction, Way
from bots.domain.orders import Fulfilment, OrderState
from tests.support.commerce import money
from tests.support.money import WALLET
from tests.support.shop import ShopWorld

pytestmark = pytest.mark.timeout(120)

FAR = (48.137, 11.575)
"""Nobody delivers there."""


async def test_two_merchants_two_orders_two_invoices() -> None:
    async with ShopWorld() as world:
        pizzeria, store = await world.two()
        alice = await world.buyer("alice")
        await world.fills(alice, pizzeria, "margherita", 2)
        await world.fills(alice, store, "shirt")
        assert "1. Have it delivered\n2. Fetch it" in (await world.says(alice, "checkout"))[0]
        assert await world.says(alice, "have it delivered") == ["Where to? Share a location, or write the address."]
        assert "How is it found" in (await world.shares(alice))[0]
        said = await world.says(alice, "Linden Street 7, third floor", "keep this address", "home")
        assert said[-1].startswith("How should Pizzeria deliver?\n\n1. Centre – €2.50 · By courier\n2. Parcel – €4.90")
        said = await world.says(alice, "centre")
        for words in (
            "Pizzeria:\n1. 2 × Margherita: €18.00\nDelivery (Centre): €2.50\nTotal: €20.50\n"
            "By courier to: Linden Street 7, third floor",
            "Store:\n1. 1 × Shirt: €20.00\nDelivery (Parcel): €4.90\nTotal: €24.90\n"
            "By parcel to: Linden Street 7, third floor",
            "1. Order for €45.40",
        ):
            assert words in said[0]
        said = await world.says(alice, "put a message with it", "Happy birthday!")
        assert "With these words: Happy birthday!" in said[0]
        said = await world.says(alice, "write a note to the merchant", "Ring twice")
        assert "Note: Ring twice" in said[0]
        said = await world.says(alice, 1)
        store_order, pizza_order = await world.orders.of_buyer(world, alice.user_id)
        numbers = [pizza_order.number, store_order.number]
        assert said[0].startswith(f"Orders {numbers[0]} and {numbers[1]} wait for your payment")
        assert {"Please confirm €20.50 in your chat with the wallet.",
                "Please confirm €24.90 in your chat with the wallet."} <= set(said)  # fmt: skip
        wallet = [each.body for each in await alice.hears_all(await world.direct(alice, WALLET))]
        assert sum("To confirm" in each for each in wallet) == 2
        assert pizza_order.checkout == store_order.checkout
        assert (pizza_order.gift, pizza_order.note) == ("Happy birthday!", "Ring twice")
        assert "The cart is empty." in (await world.says(alice, "cart"))[0]
        # The next time the address is offered.
        await world.fills(alice, store, "mug")
        assert "1. home – Linden Street 7, third floor" in (await world.says(alice, "checkout", 1))[0]
        assert "By parcel to: Linden Street 7" in (await world.says(alice, "home"))[0]
        world.check()


async def test_an_empty_cart() -> None:
    async with ShopWorld() as world:
        alice = await world.buyer("alice")
        assert await world.says(alice, "checkout") == ["The cart is empty."]
        world.check()


async def test_not_now() -> None:
    async with ShopWorld() as world:
        pizzeria, _ = await world.two()
        alice = await world.buyer("alice")
        await world.fills(alice, pizzeria, "margherita")
        said = await world.says(alice, "checkout", "fetch it", "not now")
        assert said == ["Nothing was ordered. Your cart stays as it is."]
        assert "1 × Margherita" in (await world.says(alice, "cart"))[0]
        assert not await world.orders.of_buyer(world, alice.user_id)
        world.check()


async def test_a_price_that_changed_is_shown_and_confirmed_again() -> None:
    async with ShopWorld() as world:
        pizzeria, _ = await world.two()
        alice = await world.buyer("alice")
        await world.fills(alice, pizzeria, "margherita")
        await world.changes_product(pizzeria, "margherita", variants=(Variant("one", "One", money("9.90")),))
        said = await world.says(alice, "checkout")
        assert said[0].startswith("⚠️ Margherita costs €9.90 now, not €9.00.\n\n1. Go on with it so\n2. Show the cart")
        said = await world.says(alice, "go on with it so", "fetch it")
        assert "1. Order for €9.90" in said[0]
        # And between the last look and the order.
        await world.changes_product(pizzeria, "margherita", variants=(Variant("one", "One", money("11.00")),))
        said = await world.says(alice, 1)
        assert said[0] == "“Margherita” costs €11.00 now."
        assert "⚠️ Margherita costs €11.00 now, not €9.90." in said[1]
        assert not await world.orders.of_buyer(world, alice.user_id)
        said = await world.says(alice, 1)
        assert "1. Order for €11.00" in said[0]
        await world.says(alice, 1)
        (order,) = await world.orders.of_buyer(world, alice.user_id)
        assert order.total == money("11.00")
        world.check()


async def test_what_is_gone_is_said_and_leaves_the_order() -> None:
    async with ShopWorld() as world:
        pizzeria, _ = await world.two()
        alice = await world.buyer("alice")
        await world.fills(alice, pizzeria, "margherita")
        await world.fills(alice, pizzeria, "salad")
        await world.write(lambda hand: world.shelf.drop(hand, pizzeria.id, "salad"))
        said = await world.says(alice, "checkout")
        assert "⚠️ Something that is not sold any more cannot be had now." in said[0]
        said = await world.says(alice, 1, "fetch it")
        assert "1. Order for €9.00" in said[0]
        # The rest, at the last look.
        await world.changes_product(pizzeria, "margherita", active=False)
        said = await world.says(alice, 1)
        assert said[0] == "“Margherita” cannot be had any more."
        assert "Nothing in the cart can be ordered now." in said[-1]
        world.check()


async def test_two_buyers_one_shirt() -> None:
    async with ShopWorld() as world:
        _, store = await world.two()
        await world.write(lambda hand: world.shelf.count(hand, store.id, "shirt", "one", 1))
        people = [await world.buyer(name) for name in ("alice", "bob")]
        for person in people:
            await world.fills(person, store, "shirt")
            assert "1. Order for €20.00" in (await world.says(person, "checkout", "fetch it"))[0]
        rooms = [await world.chat(person) for person in people]
        await asyncio.gather(*(person.says("1", room=room) for person, room in zip(people, rooms, strict=True)))
        heard = [" ".join(await world.hears(person)) for person in people]
        assert sum("waits for your payment" in each for each in heard) == 1
        loser = next(each for each in heard if "waits for your payment" not in each)
        assert "“Shirt” is sold out." in loser
        assert "1 × Shirt" in loser, "their cart is as it was"
        assert (await world.stock(store, "shirt")).free == 0
        world.check()


async def test_less_is_left_than_wanted() -> None:
    async with ShopWorld() as world:
        _, store = await world.two()
        alice = await world.buyer("alice")
        await world.fills(alice, store, "shirt", 2)
        await world.write(lambda hand: world.shelf.count(hand, store.id, "shirt", "one", 1))
        said = await world.says(alice, "checkout", "fetch it")
        assert said[0].startswith("Of “Shirt” there are only 1 left.\nYour cart:")
        said = await world.says(alice, 1, 1, 1, "check out", "fetch it")
        assert "1. Order for €20.00" in said[0]
        world.check()


async def test_where_nobody_delivers() -> None:
    async with ShopWorld() as world:
        pizzeria = await world.merchant("pizzeria", ways=())
        store = await world.merchant("store", owner="dave")
        alice = await world.buyer("alice")
        await world.fills(alice, pizzeria, "margherita")
        await world.fills(alice, store, "lemonade", variant="large")
        assert (await world.says(alice, "checkout"))[0].startswith("Where to?"), "the pizzeria only brings"
        await world.shares(alice, *FAR)
        said = await world.says(alice, "Far Street 1", "only this time")
        assert said[0].startswith("Pizzeria does not deliver there.\nPizzeria cannot deliver this.")
        assert "1. Another address\n2. Leave this merchant out for now\n3. Not now" in said[0]
        # Words alone do not say where it is on the earth.
        said = await world.says(alice, 1, "Linden Street 7, Berlin", "only this time")
        assert said[0].startswith(
            "To know whether Pizzeria delivers there, I need the place: please share its location."
        )
        said = await world.says(alice, "leave this merchant out for now")
        assert "Store does not deliver there" not in said[0]
        said = await world.says(alice, "parcel")
        assert "1 line stays in the cart." in said[0]
        assert "Order for €8.90" in said[0]
        await world.says(alice, 1)
        (order,) = await world.orders.of_buyer(world, alice.user_id)
        assert order.merchant == store.id
        assert "1 × Margherita" in (await world.says(alice, "cart"))[0]
        world.check()


async def test_a_minimum_order() -> None:
    async with ShopWorld() as world:
        pizzeria = await world.merchant("pizzeria", ways=(), minimum=money("15.00"))
        alice = await world.buyer("alice")
        await world.fills(alice, pizzeria, "margherita")
        await world.says(alice, "checkout")
        await world.shares(alice)
        said = await world.says(alice, "Linden Street 7", "only this time")
        assert "Pizzeria delivers there from €15.00 on; €6.00 are missing." in said[0]
        assert await world.says(alice, "not now") == ["Nothing was ordered. Your cart stays as it is."]
        world.check()


async def test_a_fee_that_changed() -> None:
    async with ShopWorld() as world:
        _, store = await world.two()
        alice = await world.buyer("alice")
        await world.fills(alice, store, "mug")
        said = await world.says(alice, "checkout", 1, "Linden Street 7, Berlin", "only this time")
        assert "1. Order for €13.40" in said[0]
        ways = (Way("Parcel", Fulfilment.PARCEL, money("6.90")),)
        await world.changes_merchant(store, ways=ways)
        said = await world.says(alice, 1)
        assert said[0] == "The delivery by Store costs €6.90 now."
        assert "1. Order for €15.40" in said[-1]
        world.check()


async def test_a_merchant_who_is_paused() -> None:
    async with ShopWorld() as world:
        pizzeria, store = await world.two()
        alice = await world.buyer("alice")
        await world.fills(alice, pizzeria, "margherita")
        await world.write(lambda hand: world.sellers.act(hand, pizzeria, MerchantAction.PAUSE))
        said = await world.says(alice, "checkout")
        assert said[0].startswith("⚠️ Pizzeria takes no orders now (paused): that stays in the cart.")
        assert "Nothing in the cart can be ordered now." in said[0]
        await world.fills(alice, store, "mug")
        said = await world.says(alice, "checkout")
        assert said[0].startswith("⚠️ Pizzeria takes no orders now (paused)")
        said = await world.says(alice, "fetch it")
        assert "1. Order for €8.50" in said[0]
        assert "Pizzeria takes no orders at the moment." in (await world.says(alice, "browse pizzeria"))[0]
        world.check()


async def test_coupons() -> None:
    async with ShopWorld() as world:
        pizzeria, store = await world.two()
        offered = (
            Coupon("TEN", percent=10),
            Coupon("BIG", amount=money("5.00"), minimum=money("50.00")),
            Coupon("ONCE", amount=money("2.00"), uses=1),
        )

        def offer(hand: Any) -> None:
            for coupon in offered:
                world.plugin.market.coupons.put(hand, store.id, coupon)

        await world.write(offer)
        alice, bob = await world.buyer("alice"), await world.buyer("bob")
        assert await world.says(alice, "coupon TEN") == ["The cart is empty: put something into it first."]
        await world.fills(alice, pizzeria, "margherita")
        await world.fills(alice, store, "shirt")
        assert await world.says(alice, "coupon ?") == ["A coupon's code has 3 to 32 letters, digits and dashes."]
        assert await world.says(alice, "coupon NOPE") == ["There is no such coupon here."]
        assert await world.says(alice, "coupon big") == ["This coupon is for orders of €50.00 and more."]
        assert await world.says(alice, "coupon ten") == ["Coupon TEN: €2.00 off at Store."]
        said = await world.says(alice, "checkout", "fetch it")
        assert "Discount (TEN): -€2.00" in said[0]
        assert "1. Order for €27.00" in said[0]
        said = await world.says(alice, "enter a coupon", "once")
        assert said[0] == "Coupon ONCE: €2.00 off at Store."
        # Somebody else was faster.
        await world.fills(bob, store, "mug")
        await world.says(bob, "coupon once", "checkout", "fetch it", 1)
        said = await world.says(alice, 1)
        assert "Coupon ONCE: This coupon has been used up." in said[0]
        assert "1. Order for €29.00" in said[-1]
        await world.says(alice, 1)
        assert {each.total for each in await world.orders.of_buyer(world, alice.user_id)} == {
            money("9.00"),
            money("20.00"),
        }
        world.check()


async def test_the_wallet_says_no_or_nobody_answers() -> None:
    async with ShopWorld() as world:
        _, store = await world.two()
        alice = await world.buyer("alice", "5")
        await world.fills(alice, store, "shirt", 2)
        (order,) = await world.orders_now(alice)
        assert (await world.stock(store, "shirt")).free == 0
        await world.declines(alice)
        assert await world.hears(alice) == [f"Order {order.number} was not paid: it is off."]
        assert (await world.order(order)).state is OrderState.UNPAID
        assert (await world.stock(store, "shirt")).free == 2
        await world.fills(alice, store, "shirt")
        (order,) = await world.orders_now(alice)
        await world.pass_minutes(16)
        assert f"Order {order.number} was not paid: it is off." in await world.hears(alice)
        assert (await world.stock(store, "shirt")).free == 2
        world.check()


@pytest.mark.parametrize("commits", range(1, 8))
async def test_killed_while_ordering(commits: int) -> None:
    """One order, one hold of stock, one invoice, and no word twice."""
    async with ShopWorld() as world:
        _, store = await world.two()
        alice = await world.buyer("alice")
        await world.fills(alice, store, "shirt")
        await world.says(alice, "checkout", "fetch it")
        world.kill_after(commits)
        said = await world.says(alice, 1)
        (order,) = await world.orders.of_buyer(world, alice.user_id)
        assert sum(order.number in each for each in said) == 1
        assert sum("in your chat with the wallet" in each for each in said) <= 1
        assert (await world.stock(store, "shirt")).held == 1
        await world.pays(alice)
        assert (await world.order(order)).state is OrderState.PAID
        assert await world.has(alice) == money("80.00")
        world.check()


async def test_a_long_order_is_said_as_a_whole() -> None:
    async with ShopWorld() as world:
        pizzeria, _ = await world.two()
        alice = await world.buyer("alice", "900")
        for number in range(25):
            await world.fills(alice, pizzeria, "margherita", note=f"For guest number {number}, who is very hungry")
        assert "10. 1 × Margherita" in (await world.says(alice, "cart"))[0]
        said = await world.says(alice, "checkout", "fetch it")
        assert "25. 1 × Margherita" in said[0]
        assert said[1].startswith("Shall I order this?\n\n1. Order for €225.00")
        await world.says(alice, 1)
        (order,) = await world.orders.of_buyer(world, alice.user_id)
        assert len(order.lines) == 25
        world.check()
