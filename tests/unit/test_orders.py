"""Orders with the real wallet: placed, paid, answered, brought; and whatever else may happen."""

from __future__ import annotations

import asyncio
from datetime import datetime, time, timedelta
from typing import Any

import pytest

from bots.commerce.cashier import Cashier
from bots.commerce.orders import Happened, Terms
from bots.domain.carts import Cart, CartError, CartLine
from bots.domain.catalogue import CatalogueError, Choice, PriceRule, Stock, StockKind, Variant
from bots.domain.coupons import Coupon, CouponError
from bots.domain.merchants import MerchantAction, MerchantError
from bots.domain.opening import Hours, Span
from bots.domain.orders import Action, Fulfilment, Order, OrderRefused, OrderState
from bots.framework import Context
from bots.framework.testing import Person
from tests.support.commerce import CommerceWorld, menu, money, product
from tests.support.money import WALLET

pytestmark = pytest.mark.timeout(120)


async def heard(world: CommerceWorld, person: Person) -> list[str]:
    """What the bot has said to a person since."""
    return await world.hears_in(person, await world.chat(person))


async def test_from_the_cart_to_the_end() -> None:
    async with CommerceWorld() as world:
        pizzeria = await world.merchant("pizzeria")
        alice, carla = await world.buyer("alice", "100"), world.user("carla")
        (order,) = await world.places(alice, world.cart(pizzeria, "margherita", 2))
        assert order.total == money("20.50")
        assert await heard(world, alice) == ["Please confirm €20.50 in your chat with the wallet."]
        await world.pays(alice)
        assert (await world.order(order)).state is OrderState.PAID
        said = await world.hears_in(carla, world.staff_room(pizzeria))
        assert len(said) == 1
        for words in ("A new order has come in.", "1. 2 × Margherita: €18.00", "By courier to: Linden Street 7"):
            assert words in said[0]
        await world.acts(carla, order, Action.ACCEPT, prepared_at=world.clock.now() + timedelta(minutes=20))
        assert await world.merchant_has(pizzeria) == money("20.50")
        for action in (Action.MAKE_READY, Action.DISPATCH, Action.DELIVER):
            await world.acts(carla, order, action)
        said = await heard(world, alice)
        assert [each.partition("\n")[0].replace(order.number, "N") for each in said] == [
            "Order N is paid. Pizzeria is asked now.",
            "Pizzeria has accepted order N.",
            "Order N is ready.",
            "Order N is on its way.",
            "Order N is delivered.",
        ]
        assert "They answer until" in said[0]
        assert "It is ready at" in said[1]
        await world.pass_time(days=15)
        assert (await world.order(order)).state is OrderState.CONCLUDED
        assert await world.has(alice) == money("79.50")
        steps = await world.orders.steps(world, order.id)
        assert [each.action for each in steps] == [
            "place", "pay", "accept", "make_ready", "dispatch", "deliver", "conclude",
        ]  # fmt: skip
        assert [each.by for each in steps[2:4]] == [carla.user_id, carla.user_id]
        world.check()


async def test_nobody_is_told_what_they_have_just_done() -> None:
    async with CommerceWorld() as world:
        pizzeria = await world.merchant("pizzeria")
        alice, carla = await world.buyer("alice"), world.user("carla")
        order = await world.paid_order(alice, world.cart(pizzeria, "margherita"))
        await heard(world, alice)
        await world.hears_in(carla, world.staff_room(pizzeria))
        await world.acts(alice, order, Action.CANCEL)
        assert await heard(world, alice) == []
        assert await world.hears_in(carla, world.staff_room(pizzeria)) == [
            f"Order {order.number} was cancelled by the buyer."
        ]
        assert await world.has(alice) == money("100")
        world.check()


async def test_the_wallet_says_no() -> None:
    async with CommerceWorld() as world:
        pizzeria = await world.merchant("pizzeria")
        alice, carla = await world.buyer("alice"), world.user("carla")
        (order,) = await world.places(alice, world.cart(pizzeria, "salad", 2))
        assert (await world.stock(pizzeria, "salad")).free == 1
        await heard(world, alice)
        await world.declines(alice)
        assert (await world.order(order)).state is OrderState.UNPAID
        assert await heard(world, alice) == [f"Order {order.number} was not paid: it is off."]
        assert await world.hears_in(carla, world.staff_room(pizzeria)) == [], "they never heard of it"
        level = await world.stock(pizzeria, "salad")
        assert (level.count, level.held) == (3, 0)
        world.check()


async def test_who_has_not_enough_is_told_so() -> None:
    async with CommerceWorld() as world:
        pizzeria = await world.merchant("pizzeria")
        alice = await world.buyer("alice", "5")
        (order,) = await world.places(alice, world.cart(pizzeria, "margherita"))
        await world.pays(alice)
        assert (await world.order(order)).state in {OrderState.PLACED, OrderState.UNPAID}
        await world.pass_minutes(16)
        assert (await world.order(order)).state is OrderState.UNPAID
        assert await world.has(alice) == money("5")
        world.check()


async def test_nobody_pays_in_time() -> None:
    async with CommerceWorld() as world:
        pizzeria = await world.merchant("pizzeria")
        alice = await world.buyer("alice")
        (order,) = await world.places(alice, world.cart(pizzeria, "salad", 3))
        with pytest.raises(CartError, match=r"cart\.sold_out"):
            await world.places(alice, world.cart(pizzeria, "salad"))
        await world.pass_minutes(15.1)
        assert (await world.order(order)).state is OrderState.UNPAID
        assert (await world.stock(pizzeria, "salad")).free == 3
        await world.places(alice, world.cart(pizzeria, "salad"))
        world.check()


async def test_paid_too_late_comes_back_by_itself() -> None:
    """The order is over; the payer confirms all the same, before the wallet has heard of it."""
    async with CommerceWorld() as world:
        pizzeria = await world.merchant("pizzeria")
        alice = await world.buyer("alice")
        (order,) = await world.places(alice, world.cart(pizzeria, "margherita"))

        async def lapse(ctx: Context) -> None:
            """The state is over, and nobody has brought the money to it yet: that comes in half an hour."""
            await world.orders.act(ctx, await world.order(order), Action.LAPSE)
            ctx.schedules.cancel(f"settle/{order.id}")

        await world.does(alice, lapse)
        await world.pays(alice)
        assert (await world.order(order)).state is OrderState.UNPAID
        assert await world.has(alice) == money("100")
        assert (await world.payment_of(alice)).state.value == "voided"
        assert (await world.merchant_has(pizzeria)).minor == 0
        world.check()


async def test_confirmed_in_the_last_moment_counts() -> None:
    """The deadline fires before the order has heard that it was paid."""
    async with CommerceWorld() as world:
        pizzeria = await world.merchant("pizzeria")
        alice = await world.buyer("alice")
        order = await world.paid_order(alice, world.cart(pizzeria, "margherita"))
        assert order.state is OrderState.PAID

        (late,) = await world.places(alice, world.cart(pizzeria, "salad"))
        deaf = world.orders.payment_changed
        world.plugin.keeping.payment_changed = _nothing
        await world.pays(alice)
        assert (await world.order(late)).state is OrderState.PLACED
        world.plugin.keeping.payment_changed = deaf
        await world.pass_minutes(15.1)
        assert (await world.order(late)).state is OrderState.PAID
        world.check()


async def _nothing(*_arguments: Any) -> None:
    """Nothing happens."""


async def test_the_merchant_says_no() -> None:
    async with CommerceWorld() as world:
        pizzeria = await world.merchant("pizzeria")
        alice, carla = await world.buyer("alice"), world.user("carla")
        order = await world.paid_order(alice, world.cart(pizzeria, "salad", 2))
        assert (await world.stock(pizzeria, "salad")).count == 1
        await heard(world, alice)
        await world.acts(carla, order, Action.REJECT, reason="The oven is broken")
        assert (await heard(world, alice))[0].splitlines() == [
            f"Pizzeria cannot do order {order.number}.",
            "Reason: The oven is broken",
            "Your money comes back: €14.50.",
        ]
        assert await world.has(alice) == money("100")
        assert (await world.stock(pizzeria, "salad")).count == 3
        world.check()


async def test_the_merchant_says_nothing() -> None:
    async with CommerceWorld() as world:
        pizzeria = await world.merchant("pizzeria")
        alice, carla = await world.buyer("alice"), world.user("carla")
        order = await world.paid_order(alice, world.cart(pizzeria, "margherita"))
        await world.pass_minutes(7.9)
        assert (await world.order(order)).state is OrderState.PAID
        await heard(world, alice)
        await world.hears_in(carla, world.staff_room(pizzeria))
        await world.pass_minutes(0.2)
        assert (await world.order(order)).state is OrderState.TIMED_OUT
        assert await world.has(alice) == money("100")
        assert "Your money comes back" in (await heard(world, alice))[0]
        assert "was not answered in time" in (await world.hears_in(carla, world.staff_room(pizzeria)))[0]
        with pytest.raises(OrderRefused, match=r"order\.refused"):
            await world.acts(carla, order, Action.ACCEPT)
        world.check()


async def test_a_merchant_who_is_closed_answers_when_they_open() -> None:
    span = (Span(time(9), time(18)),)
    async with CommerceWorld() as world:
        shop = await world.merchant("shop", hours=Hours("UTC", (span,) * 7))
        alice = await world.buyer("alice")
        order = await world.paid_order(alice, world.cart(shop, "margherita"))
        assert order.deadline is not None
        assert order.deadline.replace(second=0, microsecond=0) == datetime.fromisoformat("2026-01-01T09:08:00+00:00")
        (later,) = await world.places(
            alice,
            world.cart(shop, "salad"),
            deliveries={shop.id: world.delivery(shop, wanted=world.clock.now() + timedelta(hours=12))},
            needs_open=True,
        )
        assert later.delivery.wanted is not None
        with pytest.raises(MerchantError, match=r"merchant\.closed"):
            await world.places(alice, world.cart(shop, "salad"), needs_open=True)
        world.check()


async def test_some_of_it_is_gone_and_the_buyer_wants_the_rest() -> None:
    async with CommerceWorld() as world:
        pizzeria = await world.merchant("pizzeria")
        alice, carla = await world.buyer("alice"), world.user("carla")
        cart = world.cart(pizzeria, "salad", 3).add(CartLine(pizzeria.id, "margherita", "one", 1))
        order = await world.paid_order(alice, cart)
        await heard(world, alice)
        await world.does(carla, lambda ctx: _amend(world, ctx, order, {1: 1}, carla))
        order = await world.order(order)
        assert (order.state, order.total) == (OrderState.AMENDED, money("17.50"))
        assert order.was[0].quantity == 3
        said = (await heard(world, alice))[0]
        assert "cannot do all of order" in said
        assert "1. 1 × Salad: €6.00" in said
        assert await world.has(alice) == money("70.50"), "the first payment is still held"
        await world.does(alice, lambda ctx: _agree(world, ctx, order))
        order = await world.order(order)
        assert (order.state, order.revision) == (OrderState.PLACED, 1)
        assert await world.has(alice) == money("100"), "and has gone back before the new one is asked for"
        await world.pays(alice)
        order = await world.order(order)
        assert order.state is OrderState.PAID
        assert await world.has(alice) == money("82.50")
        await world.acts(carla, order, Action.ACCEPT)
        assert await world.merchant_has(pizzeria) == money("17.50")
        level = await world.stock(pizzeria, "salad")
        assert (level.count, level.held) == (0, 0), "the two that were not there do not come back"
        world.check()


async def _amend(world: CommerceWorld, ctx: Context, order: Order, left: dict[int, int], by: Person) -> Order:
    return await world.orders.amend(ctx, await world.order(order), left, by.user_id)


async def _agree(world: CommerceWorld, ctx: Context, order: Order) -> Order:
    return await world.orders.agree(ctx, await world.order(order))


@pytest.mark.parametrize("answer", ["no", "nothing", "not paid"])
async def test_some_of_it_is_gone_and_the_buyer_wants_nothing(answer: str) -> None:
    async with CommerceWorld() as world:
        pizzeria = await world.merchant("pizzeria")
        alice, carla = await world.buyer("alice"), world.user("carla")
        order = await world.paid_order(alice, world.cart(pizzeria, "salad", 3))
        await world.does(carla, lambda ctx: _amend(world, ctx, order, {1: 2}, carla))
        if answer == "no":
            await world.acts(alice, order, Action.CANCEL)
        elif answer == "nothing":
            await world.pass_minutes(10.1)
        else:
            await world.does(alice, lambda ctx: _agree(world, ctx, order))
            await world.pass_minutes(15.1)
        ended = {"no": OrderState.CANCELLED, "nothing": OrderState.TIMED_OUT, "not paid": OrderState.UNPAID}
        assert (await world.order(order)).state is ended[answer]
        assert await world.has(alice) == money("100")
        level = await world.stock(pizzeria, "salad")
        assert (level.count, level.held) == (2, 0), "one was not there"
        world.check()


async def test_several_merchants_are_several_orders() -> None:
    async with CommerceWorld() as world:
        one = await world.merchant("one")
        two = await world.merchant("two", [product("lamp", "30.00", stock=1)], owner="dave")
        alice = await world.buyer("alice", "200")
        cart = world.cart(one, "margherita").add(CartLine(two.id, "lamp", "one", 1))
        orders = await world.places(alice, cart, Fulfilment.PARCEL)
        assert [each.merchant for each in orders] == [one.id, two.id]
        assert len({each.checkout for each in orders}) == 1
        assert await world.orders.of_checkout(world, orders[0].checkout) == sorted(orders, key=lambda each: each.id)
        await world.pays(alice)
        states = {(await world.order(each)).state for each in orders}
        assert states == {OrderState.PLACED, OrderState.PAID}, "each is an invoice of its own"
        await world.pass_minutes(16)
        states = {(await world.order(each)).state for each in orders}
        assert states == {OrderState.UNPAID, OrderState.TIMED_OUT}
        assert await world.has(alice) == money("200")
        world.check()


async def test_placed_twice_is_placed_once() -> None:
    async with CommerceWorld() as world:
        pizzeria = await world.merchant("pizzeria")
        alice = await world.buyer("alice")
        checkout = world.trade.new_id()
        (order,) = await world.places(alice, world.cart(pizzeria, "salad"), checkout=checkout)
        (again,) = await world.places(alice, world.cart(pizzeria, "salad"), checkout=checkout)
        assert again.id == order.id
        assert (await world.stock(pizzeria, "salad")).held == 1
        assert len(await world.orders.of_buyer(world, alice.user_id)) == 1
        world.check()


async def test_two_of_the_staff_act_at_once() -> None:
    async with CommerceWorld() as world:
        pizzeria = await world.merchant("pizzeria")
        alice = await world.buyer("alice")
        carla, dave = await world.buyer("carla"), await world.buyer("dave")
        order = await world.paid_order(alice, world.cart(pizzeria, "margherita"))
        done = await asyncio.gather(
            world.acts(carla, order, Action.ACCEPT),
            world.acts(dave, order, Action.REJECT),
            return_exceptions=True,
        )
        refused = [each for each in done if isinstance(each, BaseException)]
        assert len(refused) == 1
        assert isinstance(refused[0], OrderRefused)
        steps = await world.orders.steps(world, order.id)
        assert len(steps) == 3, "placed, paid, and one of the two"
        accepted = steps[-1].action == "accept"
        assert await world.has(alice) == money("88.50" if accepted else "100")
        world.check()


async def test_a_price_that_has_changed_is_shown_again() -> None:
    async with CommerceWorld() as world:
        pizzeria = await world.merchant("pizzeria")
        alice = await world.buyer("alice")
        cart = world.cart(pizzeria, "salad", shown=money("6.00"))
        await world.changes_product(pizzeria, "salad", variants=(Variant("one", "Salad", money("7.00"), Stock.of(3)),))
        with pytest.raises(CartError) as refused:
            await world.places(alice, cart)
        assert refused.value.code == "cart.price"
        assert refused.value.human == "“Salad” costs 7.00 EUR now."
        seen = cart.seen({0: money("7.00")})
        (order,) = await world.places(alice, seen)
        assert order.goods == money("7.00")
        # What was bought stays as it was bought.
        await world.changes_product(pizzeria, "salad", variants=(Variant("one", "Salad", money("9.00"), Stock.of(3)),))
        assert (await world.order(order)).goods == money("7.00")
        world.check()


async def test_what_is_in_carts_is_deleted() -> None:
    async with CommerceWorld() as world:
        pizzeria = await world.merchant("pizzeria")
        alice = await world.buyer("alice")
        cart = world.cart(pizzeria, "salad", 2)
        (order,) = await world.places(alice, cart)
        await world.write(lambda hand: world.shelf.drop(hand, pizzeria.id, "salad"))
        with pytest.raises(CartError, match=r"cart\.unknown"):
            await world.places(alice, cart)
        await world.pays(alice)
        order = await world.order(order)
        assert order.state is OrderState.PAID, "what was ordered before goes on"
        assert order.lines[0].name == "Salad"
        world.check()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ({"key": "salad", "quantity": 4}, "cart.stock"),
        ({"key": "nothing"}, "cart.unknown"),
        ({"key": "lemonade", "variant": "huge"}, "cart.gone"),
        ({"key": "margherita", "choices": (Choice("extras", "gold"),)}, "catalogue.no_such_modifier"),
    ],
)
async def test_what_cannot_be_bought(line: dict[str, Any], code: str) -> None:
    async with CommerceWorld() as world:
        pizzeria = await world.merchant("pizzeria")
        alice = await world.buyer("alice")
        with pytest.raises((CartError, CatalogueError)) as refused:
            await world.places(alice, world.cart(pizzeria, **line))
        assert getattr(refused.value, "code", "") == code
        world.check()


async def test_deliveries_are_looked_at_again() -> None:
    async with CommerceWorld() as world:
        pizzeria = await world.merchant("pizzeria", minimum=money("8.00"))
        alice = await world.buyer("alice")
        with pytest.raises(MerchantError, match=r"delivery\.minimum"):
            await world.places(alice, world.cart(pizzeria, "salad"))
        cheap = world.delivery(pizzeria)
        wrong = type(cheap)(cheap.kind, money("0.10"), cheap.place, option=cheap.option)
        with pytest.raises(MerchantError, match=r"delivery\.fee"):
            await world.places(alice, world.cart(pizzeria, "margherita"), deliveries={pizzeria.id: wrong})
        nowhere = type(cheap)(cheap.kind, cheap.fee, None, option=cheap.option)
        with pytest.raises(MerchantError, match=r"delivery\.no_place"):
            await world.places(alice, world.cart(pizzeria, "margherita"), deliveries={pizzeria.id: nowhere})
        other = type(cheap)(Fulfilment.DIGITAL, money("0.00"))
        with pytest.raises(MerchantError, match=r"delivery\.no_way"):
            await world.places(alice, world.cart(pizzeria, "margherita"), deliveries={pizzeria.id: other})
        with pytest.raises(CartError, match=r"cart\.empty"):
            await world.places(alice, Cart())
        world.check()


async def test_who_is_paused_sells_nothing() -> None:
    async with CommerceWorld() as world:
        pizzeria = await world.merchant("pizzeria")
        alice = await world.buyer("alice")
        await world.write(lambda hand: world.sellers.act(hand, pizzeria, MerchantAction.PAUSE))
        with pytest.raises(MerchantError) as refused:
            await world.places(alice, world.cart(pizzeria, "margherita"))
        assert refused.value.values["state"] == "paused"
        world.check()


async def test_coupons() -> None:
    async with CommerceWorld() as world:
        pizzeria = await world.merchant("pizzeria")
        alice, bob = await world.buyer("alice"), await world.buyer("bob")
        coupon = Coupon("TEN", percent=10, uses=2)
        coupons = world.orders._coupons
        await world.write(lambda hand: coupons.put(hand, pizzeria.id, coupon))
        cart = world.cart(pizzeria, "margherita", 2)
        (order,) = await world.places(alice, cart, coupons={pizzeria.id: "ten"})
        assert (order.coupon, order.discount, order.total) == ("TEN", money("1.80"), money("18.70"))
        with pytest.raises(CouponError, match=r"coupon\.used"):
            await world.places(alice, cart, coupons={pizzeria.id: "TEN"})
        await world.declines(alice)
        (order,) = await world.places(alice, cart, coupons={pizzeria.id: "TEN"})
        await world.places(bob, cart, coupons={pizzeria.id: "TEN"})
        with pytest.raises(CouponError, match=r"coupon\.gone"):
            await world.places(await world.buyer("carol"), cart, coupons={pizzeria.id: "TEN"})
        assert [(each.used, each.active) for each in await coupons.list(world, pizzeria.id)] == [(2, True)]
        await world.write(lambda hand: coupons.drop(hand, pizzeria.id, "TEN"))
        with pytest.raises(CouponError, match=r"coupon\.over"):
            await world.places(await world.buyer("dave"), cart, coupons={pizzeria.id: "TEN"})
        world.check()


async def test_what_costs_nothing_is_not_asked_for() -> None:
    async with CommerceWorld() as world:
        pizzeria = await world.merchant("pizzeria")
        alice, carla = await world.buyer("alice", "1"), world.user("carla")
        coupon = Coupon("FREE", percent=100)
        await world.write(lambda hand: world.orders._coupons.put(hand, pizzeria.id, coupon))
        (order,) = await world.places(
            alice, world.cart(pizzeria, "margherita"), Fulfilment.PICKUP, coupons={pizzeria.id: "FREE"}
        )
        assert not order.total
        assert (await world.order(order)).state is OrderState.PAID
        await world.acts(carla, order, Action.ACCEPT)
        await world.acts(carla, order, Action.CALL_OFF)
        assert "money" not in (await heard(world, alice))[-1]
        assert await world.has(alice) == money("1")
        world.check()


async def test_stock_by_slots() -> None:
    slots = Stock(StockKind.BY_SLOT, 2, 30)
    course = product("course", "10.00")
    course = type(course)("course", "Course", (Variant("one", "Course", money("10.00"), slots),))
    async with CommerceWorld() as world:
        school = await world.merchant("school", [course])
        alice = await world.buyer("alice", "200")
        noon = datetime.fromisoformat("2026-01-02T12:10:00+00:00")

        def at(moment: datetime) -> dict[str, Any]:
            return {"deliveries": {school.id: world.delivery(school, Fulfilment.PICKUP, wanted=moment)}}

        (order,) = await world.places(alice, world.cart(school, "course", 2), **at(noon))
        assert order.lines[0].slot == "2026-01-02T12:00:00+00:00"
        with pytest.raises(CartError, match=r"cart\.sold_out"):
            await world.places(alice, world.cart(school, "course"), **at(noon + timedelta(minutes=19)))
        await world.places(alice, world.cart(school, "course"), **at(noon + timedelta(minutes=20)))
        await world.declines(alice)
        level = await world.stock(school, "course", slot="2026-01-02T12:00:00+00:00")
        assert level.count == 2
        world.check()


async def test_a_price_list_by_quantity_holds_in_an_order() -> None:
    rule = PriceRule(money("5.00"), least=3)
    bread = product("bread", "6.00")
    bread = type(bread)("bread", "Bread", (Variant("one", "Bread", money("6.00"), rules=(rule,)),))
    async with CommerceWorld() as world:
        bakery = await world.merchant("bakery", [bread])
        alice = await world.buyer("alice")
        (order,) = await world.places(alice, world.cart(bakery, "bread", 3), Fulfilment.PICKUP)
        assert order.total == money("15.00")
        world.check()


async def test_an_order_of_a_demo_goes_by_itself() -> None:
    async with CommerceWorld() as world:
        demo = await world.merchant("demo", auto_accept=True)
        alice = await world.buyer("alice")
        order = await world.paid_order(alice, world.cart(demo, "margherita"))
        for _step in range(4):
            await world.pass_time(seconds=6)
        assert (await world.order(order)).state is OrderState.DELIVERED
        fetched = await world.paid_order(alice, world.cart(demo, "margherita"), kind=Fulfilment.PICKUP)
        for _step in range(4):
            await world.pass_time(seconds=6)
        actions = [each.action for each in await world.orders.steps(world, fetched.id)]
        assert actions == ["place", "pay", "accept", "make_ready", "deliver"]
        world.check()


async def test_hooks_hear_of_everything_in_the_same_commit() -> None:
    async with CommerceWorld() as world:
        pizzeria = await world.merchant("pizzeria")
        alice, carla = await world.buyer("alice"), world.user("carla")
        seen: list[str] = []

        async def hook(_ctx: Context, what: Happened) -> None:
            seen.append(f"{what.action} {what.by}".strip())

        world.orders.hooks.append(hook)
        order = await world.paid_order(alice, world.cart(pizzeria, "margherita"))
        await world.acts(carla, order, Action.ACCEPT)
        assert seen == ["pay", f"accept {carla.user_id}"]
        assert world.metrics.order_actions.labels("stall", "accept")._value.get() == 1
        world.check()


async def test_deadlines_and_money_that_were_forgotten_are_found() -> None:
    async with CommerceWorld() as world:
        pizzeria = await world.merchant("pizzeria")
        alice = await world.buyer("alice")
        order = await world.paid_order(alice, world.cart(pizzeria, "margherita"))

        async def forget(ctx: Context) -> None:
            ctx.schedules.cancel(f"order_deadline/{order.id}")

        await world.does(alice, forget)
        await world.pass_minutes(9.2)
        assert (await world.order(order)).state is OrderState.PAID
        await world.ticks("sweep_orders")
        assert (await world.order(order)).state is OrderState.TIMED_OUT
        assert world.metrics.orders_open.labels("stall", "paid")._value.get() == 1, "as it was found"
        await world.ticks("sweep_orders")
        assert world.metrics.orders_open.labels("stall", "paid")._value.get() == 0
        assert await world.has(alice) == money("100")

        # A settle that was lost: what belongs back is found, and goes back.
        other = await world.paid_order(alice, world.cart(pizzeria, "margherita"))

        async def forgotten(ctx: Context) -> None:
            await world.orders.act(ctx, other, Action.REJECT)
            ctx.schedules.cancel(f"settle/{other.id}")

        await world.does(alice, forgotten)
        assert await world.has(alice) == money("88.50")
        await world.pass_minutes(5)
        await world.ticks("sweep_orders")
        assert await world.has(alice) == money("88.50"), "that is not long enough to be lost"
        await world.pass_minutes(6)
        await world.ticks("sweep_orders")
        assert await world.has(alice) == money("100")
        world.check()


async def test_money_that_cannot_go_back_now_goes_back_later() -> None:
    """The merchant has paid out what is to be given back: it is tried until it is there again."""
    async with CommerceWorld() as world:
        pizzeria = await world.merchant("pizzeria")
        alice, bob, carla = await world.buyer("alice"), await world.buyer("bob"), await world.buyer("carla", "")
        order = await world.paid_order(alice, world.cart(pizzeria, "margherita"))
        await world.acts(carla, order, Action.ACCEPT)
        from bots.payments.merchants import MerchantPayouts

        payouts = MerchantPayouts(world.bank)
        await world.does(
            carla, lambda ctx: payouts.pay(ctx, carla.user_id, money("11.50"), key="out", sub=pizzeria.slug)
        )
        assert (await world.merchant_has(pizzeria)).minor == 0
        await world.acts(carla, order, Action.CALL_OFF)
        assert await world.has(alice) == money("88.50")
        other = await world.paid_order(bob, world.cart(pizzeria, "margherita", 2))
        await world.acts(carla, other, Action.ACCEPT)
        await world.pass_minutes(11)
        assert await world.has(alice) == money("100")
        assert await world.merchant_has(pizzeria) == money("9.00")
        world.check()


async def test_each_is_told_in_their_language() -> None:
    async with CommerceWorld() as world:
        pizzeria = await world.merchant("pizzeria", language="es")
        alice, carla = await world.buyer("alice"), world.user("carla")
        await alice.says("language de", room=await world.chat(alice))
        await heard(world, alice)
        order = await world.paid_order(alice, world.cart(pizzeria, "margherita"))
        said = await heard(world, alice)
        assert said[0].startswith("Bitte bestätigen Sie 11,50")
        assert said[1].startswith(f"Bestellung {order.number} ist bezahlt.")
        (card,) = await world.hears_in(carla, world.staff_room(pizzeria))
        assert card.startswith("Ha llegado un pedido nuevo.")
        assert "espera del comercio" in card
        world.check()


async def test_numbers_as_people_type_them() -> None:
    async with CommerceWorld() as world:
        pizzeria = await world.merchant("pizzeria")
        alice = await world.buyer("alice")
        order = await world.paid_order(alice, world.cart(pizzeria, "margherita"), gift="<b>Hi</b>", note="ring & wait")
        typed = f" #{order.number.lower()} "
        found = await world.orders.by_number(world, typed, buyer=alice.user_id)
        assert found == order
        assert found is not None
        assert (found.gift, found.note) == ("<b>Hi</b>", "ring & wait")
        assert await world.orders.by_number(world, typed, buyer="@bob:world") is None
        assert await world.orders.by_number(world, typed, merchant_id=pizzeria.id) == order
        assert await world.orders.by_number(world, "nothing") is None
        assert await world.orders.of_merchant(world, pizzeria.id, [OrderState.PAID]) == [order]
        assert await world.orders.of_merchant(world, pizzeria.id, [OrderState.READY]) == []
        assert isinstance(world.cashier(), Cashier)
        world.check()


async def test_terms() -> None:
    terms = Terms(pay=timedelta(minutes=2), agree=timedelta(minutes=1), conclude=timedelta(hours=1))
    async with CommerceWorld(terms=terms) as world:
        pizzeria = await world.merchant("pizzeria", menu(), accept_within=1)
        alice = await world.buyer("alice")
        (order,) = await world.places(alice, world.cart(pizzeria, "margherita"))
        assert order.deadline is not None
        assert order.deadline - order.placed_at <= timedelta(minutes=2, seconds=1)
        wallet = await world.direct(alice, WALLET)
        await alice.hears_all(wallet)
        await world.pass_minutes(2.1)
        assert (await world.order(order)).state is OrderState.UNPAID
        world.check()
