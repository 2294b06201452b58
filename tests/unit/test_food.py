"""Eating in conversation: who delivers here, the menu, food for later, tracking, and what goes wrong."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.domain.catalogue import Modifier, ModifierGroup
from bots.domain.merchants import MerchantState
from bots.domain.opening import Hours, Span
from bots.domain.orders import OrderState
from bots.domain.places import Circle, Point, Zone
from bots.domain.slots import open_then, slots_of
from bots.food.settings import Settings
from bots.framework.testing import Person
from tests.support.commerce import CENTRE, money, product
from tests.support.food import FoodWorld

pytestmark = pytest.mark.timeout(120)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
EVENING = Hours("Europe/Berlin", ((Span(time(18), time(23)),),) * 7)
"""The world begins at one at night there: closed."""


async def at_home(world: FoodWorld, person: Person, text: str = "food") -> list[str]:
    """A person who has said where they are; the restaurants."""
    await world.says(person, text)
    await person.shares_place(52.525, 13.41, "Linden Street 7", room=await world.chat(person))
    await world.hears(person)
    return await world.says(person, "Linden Street 7", "only this time")


async def test_who_delivers_here_and_who_is_open() -> None:
    async with FoodWorld() as world:
        far = Zone("Far", Circle(Point(48.1, 11.6), 2_000), money("1.00"))
        near = Zone("All", Circle(Point(52.52, 13.405), 9_000), money("1.50"), minimum=money("10.00"))
        await world.merchant("munich", zones=(far,))
        await world.merchant("night", hours=EVENING, zones=(near,), tags=("burger",))
        await world.merchant("roma", tags=("pizza",))
        await world.merchant("gone", state=MerchantState.SUSPENDED)
        alice = await world.buyer("alice")
        said = await at_home(world, alice)
        assert said[0].splitlines()[0] == "Restaurants that deliver to Linden Street 7:"
        assert [line.partition(" – ")[0] for line in said[0].splitlines()[2:5]] == [
            "1. Roma",
            "2. Night",
            "3. Somewhere else",
        ]
        assert "delivery €2.50 · 0.7 km · pizza" in said[0]
        assert "opens Jan 1, 2026, 5:00" in said[0]
        assert "from €10.00" in said[0]
        # It is remembered, and words search for a kitchen or a dish.
        assert "1. Night" in (await world.says(alice, "food burger"))[0]
        assert "Roma" in (await world.says(alice, "food margerita"))[0]
        assert "Nobody who delivers to Linden Street 7 has “sushi”." in (await world.says(alice, "food sushi"))[0]
        said = await world.says(alice, "food", "Night")
        assert said[0].startswith("Night is closed, and opens Jan 1, 2026, 5:00")
        assert "Where would you like to eat?" in (await world.says(alice, "where"))[0]
        world.check()


async def test_nobody_delivers_there() -> None:
    async with FoodWorld() as world:
        await world.merchant("roma")
        alice = await world.buyer("alice")
        await world.says(alice, "food", "0, 0", "an island")
        said = await world.says(alice, "only this time")
        assert said[0].startswith("Nobody delivers to an island yet.")
        said = await world.says(alice, "Somewhere else")
        assert "Where would you like to eat?" in said[0]
        world.check()


async def test_required_extras_a_minimum_a_note_and_a_tip() -> None:
    async with FoodWorld() as world:
        sizes = ModifierGroup(
            "base", "Base", (Modifier("thin", "Thin", money("0.00")), Modifier("thick", "Thick", money("1.00"))), 1, 1
        )
        zone = Zone("Centre", Circle(Point(52.52, 13.405), 5_000), money("2.50"), minimum=money("15.00"))
        pizza = product("pizza", "9.00", groups=(sizes,))
        roma = await world.merchant("roma", [pizza], zones=(zone,), ways=())
        alice = await world.buyer("alice")
        await at_home(world, alice)
        said = await world.says(alice, "Roma", "Pizza", "Into the cart")
        assert said[0].startswith("Base: which one?\n\n1. Thin\n2. Thick (+€1.00)")
        await world.says(alice, "Thick", "Check out")
        said = await world.says(alice, "checkout")
        assert "Roma delivers there from €15.00 on; €5.00 are missing." in said[0]
        await world.says(alice, "Not now")
        await world.says(alice, "menu roma", "Pizza", "Into the cart", "Thin")
        said = await world.says(alice, "checkout")
        assert "Total: €21.50" in said[0]
        await world.says(alice, "Write a note to the merchant", "ring twice")
        said = await world.says(alice, "Give a tip", "2")
        assert "Tip: €2.00" in said[0]
        assert "Total: €23.50" in said[0]
        await world.says(alice, "Order for €23.50")
        await world.pays(alice)
        card = (await world.staff_hears(roma))[-1]
        assert "ring twice" in card
        assert "1. 1 × Pizza (Thick): €10.00" in card
        assert await world.has(alice) == money("76.50")
        world.check()


async def test_food_for_later() -> None:
    async with FoodWorld() as world:
        roma = await world.merchant("roma", hours=EVENING, ways=())
        alice = await world.buyer("alice")
        await at_home(world, alice)
        said = await world.says(alice, "Roma", "Salad", "Into the cart")
        said = await world.says(alice, "Check out")
        assert said[0].startswith("When would you like it?\n\n1. Jan 1, 2026, 5:00")
        assert "As soon as possible" not in said[0], "it is closed"
        assert (await world.says(alice, "Another time", "2026-01-01 09:00"))[0].startswith("It is closed then.")
        assert (await world.says(alice, "2026-03-01 19:00"))[0].startswith("At most 7 days ahead, please.")
        assert (await world.says(alice, "2025-12-01 19:00"))[0].startswith("That time is over.")
        said = await world.says(alice, "2026-01-01 18:45")
        assert "Order for €8.50" in said[0]
        await world.says(alice, 1)
        await world.pays(alice)
        order = await world.last_order(alice)
        assert order.delivery.wanted == datetime(2026, 1, 1, 18, 45, tzinfo=UTC)
        await world.staff_says(roma, f"accept {order.number}")
        order = await world.order(order)
        assert order.prepared_at == order.delivery.wanted
        job = await world.trip(order)
        assert job.ready_at == order.prepared_at
        assert job.state.value == "searching"
        world.check()


async def test_no_answer_and_no() -> None:
    async with FoodWorld() as world:
        roma, alice = await world.merchant("roma"), await world.buyer("alice")
        order = await world.paid_order(alice, world.cart(roma, "margherita"))
        await world.pass_minutes(7)
        assert (await world.order(order)).state is OrderState.PAID
        await world.hears(alice)
        await world.pass_minutes(1)
        assert (await world.order(order)).state is OrderState.TIMED_OUT
        said = await world.hears(alice)
        assert said[0].startswith(f"Order {order.number} was not answered in time: it is off.")
        assert any("was not answered in time" in each for each in await world.staff_hears(roma))
        assert "not possible any more" in (await world.staff_says(roma, f"accept {order.number}"))[0]
        assert await world.has(alice) == money("100.00")
        world.check()


async def test_the_operator_says_how_long_restaurants_have() -> None:
    async with FoodWorld(settings={"answer_seconds": 60}) as world:
        roma, alice = await world.merchant("roma"), await world.buyer("alice")
        order = await world.paid_order(alice, world.cart(roma, "margherita"))
        await world.pass_minutes(1)
        assert (await world.order(order)).state is OrderState.TIMED_OUT
        world.check()


async def test_something_is_gone() -> None:
    """The buyer confirms what is left, and is given back what was held for all of it."""
    async with FoodWorld() as world:
        roma, alice, dan = await world.merchant("roma"), await world.buyer("alice"), await world.courier("dan")
        cart = world.cart(roma, "margherita", 2)
        order = await world.paid_order(alice, cart)
        await world.staff_says(roma, f"amend {order.number} 1:1")
        assert any("Yes, I want what is left" in each for each in await world.hears(alice))
        assert await world.says(alice, 1) != []
        await world.pays(alice)
        order = await world.order(order)
        assert (order.state, order.total) == (OrderState.PAID, money("11.50"))
        assert await world.has(alice) == money("88.50")
        await world.staff_says(roma, f"accept {order.number} 5")
        assert any("A trip from Roma" in each for each in await world.hears(dan))
        world.check()


async def test_a_dish_was_cold() -> None:
    """A complaint with a photo, and a part of the money back."""
    async with FoodWorld() as world:
        roma, alice = await world.merchant("roma"), await world.buyer("alice")
        order = await world.paid_order(alice, world.cart(roma, "margherita", 2))
        for word in ("accept", "ready", "dispatch", "delivered"):
            await world.staff_says(roma, f"{word} {order.number}")
        assert (await world.order(order)).state is OrderState.DELIVERED
        await world.says(alice, f"complain {order.number}", 1, 1, "it was cold")
        await alice.sends_photo(room=await world.chat(alice))
        assert await world.says(alice, "done") == ["The merchant is asked. I tell you what they say."]
        await world.staff_says(roma, f"refund {order.number} lines 1:1")
        await world.pass_minutes(1)
        assert await world.has(alice) == money("88.50"), await world.staff_hears(roma)
        world.check()


async def test_a_demo_needs_no_courier() -> None:
    async with FoodWorld() as world:
        roma, alice = await world.merchant("roma", auto_accept=True), await world.buyer("alice")
        dan = await world.courier("dan")
        order = await world.paid_order(alice, world.cart(roma, "margherita"))
        for _ in range(6):
            world.clock.advance(seconds=6)
            await world.settle()
        assert (await world.order(order)).state is OrderState.DELIVERED
        assert await world.hears(dan) == []
        world.check()


async def test_what_is_private_is_not_said_in_a_group() -> None:
    async with FoodWorld() as world:
        await world.merchant("roma")
        alice, bob = await world.buyer("alice"), await world.buyer("bob")
        room = await world.group(alice, bob)
        for text in ("!food", "!where", "!orders", "!track"):
            assert "private" in (await world.says(alice, text, room=room))[0], text
        for text in ("!online", "!trip", "!earnings", "!courier"):
            assert "chat of our own" in (await world.says(alice, text, room=room))[0], text
        world.check()


@given(st.integers(0, 60 * 24), st.integers(0, 120), st.sampled_from([15, 30, 60]), st.integers(1, 12))
def test_times_that_are_offered(minutes: int, lead: int, step: int, limit: int) -> None:
    now = NOON + timedelta(minutes=minutes, seconds=7)
    hours = [EVENING, Hours("Asia/Tokyo", ((Span(time(1), time(6)),),) * 7)]
    found = slots_of(hours, now, lead=timedelta(minutes=lead), step=timedelta(minutes=step), limit=limit)
    assert len(found) <= limit
    assert found == sorted(set(found))
    for at in found:
        assert at >= now + timedelta(minutes=lead)
        assert open_then(hours, at)
        assert at.timestamp() % (step * 60) == 0


def test_hours_that_never_meet() -> None:
    closed = Hours("UTC")
    assert slots_of([closed], NOON, lead=timedelta(), step=timedelta(minutes=30), limit=5) == []
    assert slots_of([Hours.always()], NOON, lead=timedelta(), step=timedelta(minutes=30), limit=2) == [
        NOON,
        NOON + timedelta(minutes=30),
    ]


@pytest.mark.parametrize("wrong", [{"courier_least": {"XXY": "1"}}, {"courier_least": {"EUR": "1.234"}},
                                   {"courier_least": {"EUR": "-1"}}, {"offer_seconds": 1}])  # fmt: skip
def test_settings_that_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Settings.model_validate(wrong)


def test_settings() -> None:
    assert Settings().least() == {}, "restaurants pay couriers the delivery fee and no more"
    made = Settings(answer_seconds=30, courier_least={"EUR": "3.00"})
    assert made.terms().answer == timedelta(seconds=30)
    assert made.least() == {"EUR": money("3.00")}
    assert CENTRE.point is not None
