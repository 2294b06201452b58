"""Orders with the real wallet: placed, paid, answered, brought; and whatever else may happen."""

from __future__ import annotations

import pytest

from bots.domain.orders import Action, OrderState
from tests.support.commerce import CommerceWorld, money

pytestmark = pytest.mark.timeout(120)


async def test_from_the_cart_to_the_end() -> None:
    async with CommerceWorld() as world:
        pizzeria = await world.merchant("pizzeria")
        alice = await world.buyer("alice", "100")
        carla = world.user("carla")
        (order,) = await world.places(alice, world.cart(pizzeria, "margherita", 2))
        assert order.total == money("20.50")
        assert await world.hears_in(alice, await world.chat(alice)) == [
            "Please confirm €20.50 in your chat with the wallet."
        ]
        await world.pays(alice)
        assert (await world.order(order)).state is OrderState.PAID
        said = await world.hears_in(carla, world.staff_room(pizzeria))
        assert len(said) == 1
        for words in ("A new order has come in.", "1. 2 × Margherita: €18.00", "By courier to: Linden Street 7"):
            assert words in said[0]
        await world.acts(carla, order, Action.ACCEPT)
        assert await world.merchant_has(pizzeria) == money("20.50")
        for action in (Action.MAKE_READY, Action.DISPATCH, Action.DELIVER):
            await world.acts(carla, order, action)
        await world.pass_time(days=15)
        assert (await world.order(order)).state is OrderState.CONCLUDED
        assert await world.has(alice) == money("79.50")
        world.check()
