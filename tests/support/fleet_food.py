"""A world with the food bot, the bot of rides and the wallet: what restaurants sell, drivers of the fleet bring.

```python
async with FleetFoodWorld() as world:
    roma, alice, bob = await world.merchant("roma"), await world.buyer("alice"), await world.driver("bob")
    order = await world.accepted(roma, alice)
    await world.round()                      # bob is asked
    await world.drives(bob, 1)               # and takes it
```
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Literal, TypeVar

from bots.domain.drivers import Driver, DriverState, Position, Vehicle
from bots.domain.merchants import Merchant
from bots.domain.orders import Order, OrderState
from bots.domain.places import Place, Point
from bots.domain.trips import Trip
from bots.fleet import Fleet, Fleets
from bots.food.settings import Settings as FoodSettings
from bots.framework import Context, Plugin, Setup
from bots.framework.testing import Person, Room
from bots.rides.driving.app import Tokens
from bots.shop import Shop
from bots.shop.settings import Settings as ShopSettings
from bridge.audit import Audit
from tests.support.commerce import CENTRE, CommerceWorld, Doing, Jobs
from tests.support.food import OPERATOR, FoodWorld, TestedFood
from tests.support.rides import RIDES, TestedRides

__all__ = ["FleetFood", "FleetFoodWorld", "FleetShop", "PayingFood", "PlainShop"]

T = TypeVar("T")


class _FleetSettings(FoodSettings):
    couriers: Literal["pool", "fleet"] = "fleet"


class _PayingSettings(_FleetSettings):
    pay_failed_trips: bool = True


class FleetFood(TestedFood):
    """The food bot, whose couriers are a fleet's."""

    Settings = _FleetSettings


class PayingFood(TestedFood):
    """The same, and it pays for trips that fail."""

    Settings = _PayingSettings


class _ShopSettings(ShopSettings):
    couriers: Literal["none", "fleet"] = "fleet"


class PlainShop(Shop, Doing):
    """The shop as it is by default."""

    name = "shop"

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.jobs = setup.service(Jobs)


class FleetShop(PlainShop):
    """The shop, and a fleet brings what merchants deliver into their zones."""

    Settings = _ShopSettings


class FleetFoodWorld(FoodWorld):
    """What people say goes to the food bot; drivers talk with the bot of rides (:meth:`drives`)."""

    def __init__(self, food: type[Plugin] = FleetFood, **given: Any) -> None:
        self.fleets: Fleets
        given.setdefault("permissions", {"roles": {"operator": OPERATOR}})
        CommerceWorld.__init__(self, food, TestedRides, services=self._services_of, **given)

    def _services_of(self, world: Any) -> Mapping[type, Any]:
        self.fleets = Fleets(self.trade, {"rides": f"rides:{RIDES}"})
        tokens = Tokens(world.database, world.clock, "https://pages.world/fleet")
        return {Audit: world.audit, Fleets: self.fleets, Tokens: tokens}

    async def _start(self) -> None:
        await super()._start()
        await self.fleet.positions.load()

    @property
    def fleet(self) -> Fleet:
        """The fleet, as it was made at the last start."""
        return self.fleets.of("rides")

    # Drivers

    async def rides_chat(self, person: Person) -> Room:
        """A driver's chat with the bot of rides."""
        return await self.direct(person, RIDES)

    async def rides_does(self, person: Person, work: Callable[[Context], Awaitable[T]]) -> T:
        """Have the bot of rides do something in answer to a person."""
        number = len(self.jobs.work)
        self.jobs.work.append(work)
        await person.says(f"!do {number}", room=await self.rides_chat(person))
        result: T | None = self.jobs.results.pop(number, None)
        assert result is not None, self.failures
        return result

    async def driver(self, name: str, place: Place = CENTRE, **changes: Any) -> Person:
        """A driver who brings things, was approved, and is online somewhere."""
        person = await self.owner(name)
        room = await self.rides_chat(person)
        assert place.point is not None
        self.stands(person, place.point)
        now = self.clock.now()
        values: dict[str, Any] = {
            "vehicle": Vehicle("bicycle", "red", f"no. {name}", 0),
            "services": frozenset({"courier"}),
        }
        made = Driver(
            person=person.user_id,
            name=name.capitalize(),
            room_id=room.room_id,
            state=DriverState.APPLIED,
            applied_at=now,
            idle_since=now,
            **(values | changes),
        )

        async def sign_up(ctx: Context) -> bool:
            applied = await self.fleet.drivers.apply(ctx, made)
            await self.fleet.drivers.go_online(ctx, await self.fleet.drivers.approve(ctx, applied, OPERATOR))
            return True

        await self.rides_does(person, sign_up)
        await person.hears_all(room)
        self.clock.advance(seconds=1)
        return person

    def stands(self, driver: Person, point: Point) -> None:
        """A driver's position is heard."""
        self.fleet.positions.update(driver.user_id, Position(point, self.clock.now()))

    async def drives(self, driver: Person, *texts: str | int) -> list[str]:
        """A driver says something to the bot of rides; what it answers to the last."""
        room = await self.rides_chat(driver)
        for text in texts:
            await driver.hears_all(room)
            await driver.says(str(text), room=room)
        return await self.hears_in(driver, room)

    async def drive_hears(self, driver: Person) -> list[str]:
        """What the bot of rides has said to a driver since."""
        return await self.hears_in(driver, await self.rides_chat(driver))

    async def round(self) -> None:
        """A round of dispatch, and all that follows of it."""
        await self._ensure()
        await self.fleet.rounds.once()
        await self.settle()

    async def passes(self, minutes: float, *drivers: Person, at: Place = CENTRE) -> None:
        """Time passes in steps, while drivers stand somewhere."""
        left = timedelta(minutes=minutes)
        while left > timedelta():
            self.clock.advance(min(left, timedelta(minutes=1)))
            left -= timedelta(minutes=1)
            for driver in drivers:
                assert at.point is not None
                self.stands(driver, at.point)
            await self.settle()

    # Orders

    async def accepted(self, merchant: Merchant, buyer: Person, minutes: int = 5, **more: Any) -> Order:
        """An order that is paid, and accepted by the staff."""
        order = await self.paid_order(buyer, self.cart(merchant, "margherita"), **more)
        await self.staff_says(merchant, f"accept {order.number} {minutes}")
        order = await self.order(order)
        assert order.state is OrderState.ACCEPTED
        await self.settle()
        await self.hears(buyer)
        return order

    async def trip_of(self, order: Order) -> Trip:
        """The newest trip of the fleet that an order has."""
        found = await self.fleet.trips.of_reference(self, f"{self.instance}:{self.seller}", order.id)
        assert found is not None
        return found

    async def taken(self, merchant: Merchant, buyer: Person, driver: Person, **more: Any) -> Order:
        """An order that a driver is on the way to fetch."""
        order = await self.accepted(merchant, buyer, **more)
        await self.round()
        await self.drives(driver, 1)
        await self.settle()
        return order

    async def carried(self, merchant: Merchant, buyer: Person, driver: Person, **more: Any) -> Order:
        """An order that a driver has fetched, with the code."""
        order = await self.taken(merchant, buyer, driver, **more)
        await self.fetches(order, driver)
        return order

    async def fetches(self, order: Order, driver: Person) -> list[str]:
        """A driver arrives and tells the restaurant's code; what they are told."""
        trip = await self.trip_of(order)
        assert trip.pickup.point is not None
        self.stands(driver, trip.pickup.point)
        await self.drives(driver, "arrived")
        said = await self.drives(driver, "start", trip.pin)
        await self.settle()
        return said

    async def hands_over(self, order: Order, driver: Person, pin: str = "") -> list[str]:
        """A driver is at the door and tells the PIN; what they are told."""
        trip = await self.trip_of(order)
        assert trip.dropoff.point is not None
        self.clock.advance(minutes=4)  # nobody is there at once
        self.stands(driver, trip.dropoff.point)
        said = await self.drives(driver, "end", pin or trip.dropoff_pin)
        await self.settle()
        return said
