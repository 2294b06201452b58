"""A world with the shop: two merchants, people who buy of them, staff who answer in their rooms."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from appservice.events import InternalEvent
from bots.domain.catalogue import Category, Product
from bots.domain.merchants import Merchant
from bots.domain.orders import Order
from bots.framework.consumer import SCHEDULE_FIRED
from bots.framework.testing import Person, Room
from bots.shop import Shop
from tests.support.commerce import CommerceWorld, product
from tests.support.desk import ADMIN

__all__ = ["ADMIN", "ShopWorld", "wares"]


def wares() -> list[Product]:
    """Something of which there is little, something without end, something that is described at length."""
    return [
        product("shirt", "20.00", stock=2),
        product("mug", "8.50", description="A mug. " * 80, images=("mxc://world/mug",), tax=Decimal("0.19")),
        product("belt", "30.00", categories=("leather",)),
    ]


class ShopWorld(CommerceWorld):
    """People talk with the shop."""

    def __init__(self, **given: Any) -> None:
        given.setdefault("permissions", {"roles": {"operator": [ADMIN]}})
        super().__init__(Shop, **given)

    async def two(self) -> tuple[Merchant, Merchant]:
        """A pizzeria, of carla, and a store with shirts, of dave."""
        pizzeria = await self.merchant("pizzeria")
        store = await self.merchant("store", wares(), owner="dave", zones=())
        await self.write(lambda hand: self.shelf.put_category(hand, store.id, Category("leather", "Leather")))
        return pizzeria, store

    async def says(self, person: Person, *texts: str | int, room: Room | None = None) -> list[str]:
        """A person says something, in their own chat unless another room is named; what the bot answers to the last."""
        place = room or await self.chat(person)
        for text in texts:
            await person.hears_all(place)
            await person.says(str(text), room=place)
        return [each.body for each in await person.hears_all(place)]

    async def hears(self, person: Person, room: Room | None = None) -> list[str]:
        """What the bot has said since."""
        return [each.body for each in await person.hears_all(room or await self.chat(person))]

    async def shares(self, person: Person, latitude: float = 52.525, longitude: float = 13.41) -> list[str]:
        """A person shares where they are."""
        await person.shares_place(latitude, longitude, room=await self.chat(person))
        return await self.hears(person)

    async def changes_merchant(self, merchant: Merchant, **changes: Any) -> Merchant:
        """Something of a merchant changes."""
        before = await self.sellers.get(self, merchant.id)
        assert before is not None
        after = replace(before, **changes)
        await self.write(lambda hand: self.sellers.change(hand, before, after))
        return after

    async def every_hour(self) -> None:
        """What the shop does every hour happens now."""
        content = {"schedule": "hourly", "data": {"name": "hourly_keeping"}}
        key = f"hourly:{self.clock.now_ms()}"
        event = InternalEvent(key, self.consumer_name(1), "~shop", SCHEDULE_FIRED, content)
        await self.raise_events(lambda _connection: [event])
        await self.settle()

    async def fills(self, person: Person, merchant: Merchant, key: str, quantity: int = 1, **more: Any) -> None:
        """Something is in a person's cart, and they have seen its price."""
        baskets = self.plugin.market.baskets
        before = await baskets.get(self, person.user_id)
        after = before.add(self.cart(merchant, key, quantity, **more).lines[0])
        priced = await baskets.priced(self, after, person.user_id)
        seen = after.seen({each.index: each.price for each in priced if each.price is not None})
        await self.write(lambda hand: baskets.put(hand, person.user_id, before, seen))

    async def orders_now(self, person: Person, *, way: str = "Fetch it") -> list[Order]:
        """A person checks out what is in their cart, fetches it, and pays nothing yet; their new orders."""
        known = {each.id for each in await self.orders.of_buyer(self, person.user_id)}
        said = await self.says(person, "checkout", way)
        assert "Order for" in said[-1], said
        await self.says(person, 1)
        return [each for each in await self.orders.of_buyer(self, person.user_id) if each.id not in known]

    async def staff_says(self, merchant: Merchant, *texts: str) -> list[str]:
        """The owner says something in the staff room; what they hear."""
        owner = self.people[merchant.owner]
        return await self.says(owner, *(f"!{each}" for each in texts), room=self.staff_room(merchant))

    async def bought(self, person: Person, merchant: Merchant, key: str, quantity: int = 1) -> Order:
        """An order that is paid."""
        await self.fills(person, merchant, key, quantity)
        (order,) = await self.orders_now(person)
        await self.pays(person)
        await person.hears_all(await self.chat(person))
        return await self.order(order)

    async def delivered(self, person: Person, merchant: Merchant, key: str, quantity: int = 1) -> Order:
        """An order that the buyer has."""
        order = await self.bought(person, merchant, key, quantity)
        pin = self.orders.pickup_pin(order)
        done = ("accept {0}", "ready {0}", "delivered {0} {1}")
        await self.staff_says(merchant, *(each.format(order.number, pin).strip() for each in done))
        await person.hears_all(await self.chat(person))
        return await self.order(order)
