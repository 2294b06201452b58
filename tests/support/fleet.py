"""A world with a fleet and the least that drives: what services do, without the conversations of ``@rides``.

```python
async with FleetWorld() as world:
    alice, bob = await world.rider("alice"), await world.driver("bob")
    trip = await world.ordered(alice)
    await world.pays(alice)
    trip = await world.completed(await world.under_way(await world.matched(alice, bob), bob), bob)
```
"""

from __future__ import annotations

from typing import Any, Final

from bots.domain import fares
from bots.domain.ledger import AccountKind
from bots.domain.money import Money
from bots.domain.places import Place, Point
from bots.domain.trips import Trip, TripAction, TripKind, Way
from bots.fleet import DriverNews, Fleet, FleetKeeping, Fleets, OfferNews, Terms, TripNews, Wanted
from bots.framework import Context, Setup
from bots.framework.testing import Person
from bots.rides.tariffs.reading import default_tariff
from bots.routing.settings import RoutingSettings
from tests.support.commerce import Doing, Jobs
from tests.support.rides import MARKET, OFFICE, RidesWorld

__all__ = ["Cab", "FleetWorld"]

SCOPES: Final = frozenset({"state", "schedules", "people.read", "payments.charge", "payments.send", "fleet"})


class Cab(FleetKeeping, Doing):
    """The least that drives: it tells people a line for everything that it hears."""

    name = "rides"
    summary = "Drives."
    scopes = SCOPES
    terms = Terms()

    def __init__(self, setup: Setup) -> None:
        self.jobs = setup.service(Jobs)
        self.fleet: Fleet = setup.service(Fleets).of(setup.instance)
        self.fleet.attach(setup, terms=self.terms, tariff=default_tariff(), router=RoutingSettings().make(None))
        self.fleet.trips.hooks.append(self.trip_told)
        self.fleet.offers.hooks.append(self.offer_told)
        self.fleet.drivers.hooks.append(self.driver_told)

    async def trip_told(self, ctx: Context, news: TripNews) -> None:
        """A line for the rider."""
        what = news.news.value if news.action is None else news.action.value
        amount = f" {news.amount}" if news.amount is not None else ""
        if news.after.room_id:
            ctx.say(f"trip {what} {news.after.state.value}{amount}", room_id=news.after.room_id)

    async def offer_told(self, ctx: Context, news: OfferNews) -> None:
        """A line for the driver."""
        what = "made" if news.action is None else news.action.value
        broke = " break" if news.broke else ""
        ctx.say(f"offer {what} {len(news.trips)}{broke}", room_id=news.driver.room_id)

    async def driver_told(self, ctx: Context, news: DriverNews) -> None:
        """A line for the driver."""
        what = "applied" if news.action is None else news.action.value
        ctx.say(f"driver {what}", room_id=news.after.room_id)


class FleetWorld(RidesWorld):
    """Riders, drivers and rounds, by the services alone."""

    def __init__(self, *, fleet_terms: Terms | None = None, **given: Any) -> None:
        cab = type("Cab", (Cab,), {"terms": fleet_terms or Terms()})
        super().__init__(cab, pages=False, **given)

    def wanted(
        self,
        rider: Person,
        room: str,
        cause: str,
        pickup: Place = MARKET,
        dropoff: Place = OFFICE,
        *,
        service: str = "standard",
        **changes: Any,
    ) -> Wanted:
        """A ride as somebody orders it, at the price of the tariff."""
        quote = self.quote(pickup, dropoff, service)
        values: dict[str, Any] = {
            "cause": cause,
            "kind": TripKind.RIDE,
            "service": service,
            "pickup": pickup,
            "dropoff": dropoff,
            "quoted": quote.total,
            "earning": quote.earning,
            "metres": quote.metres,
            "seconds": quote.seconds,
            "quote": quote,
            "rider": rider.user_id,
            "room_id": room,
        }
        return Wanted(**(values | changes))

    def quote(
        self, pickup: Place = MARKET, dropoff: Place = OFFICE, service: str = "standard", metres: int = 6_000
    ) -> fares.Quote:
        """What a way costs."""
        assert pickup.point is not None
        assert dropoff.point is not None
        now = self.clock.now()
        return fares.quote(default_tariff(), service, [pickup.point, dropoff.point], metres, metres // 8, now)

    async def ordered(self, person: Person, *, cause: str = "", **more: Any) -> Trip:
        """Somebody orders a trip; nothing is paid yet."""
        room = await self.chat(person)
        wanted = self.wanted(person, room.room_id, cause or self.trade.new_id(), **more)

        async def work(ctx: Context) -> Trip:
            return await self.fleet.trips.request(ctx, wanted)

        return await self.trip(await self.acts(person, work))

    async def searching(self, person: Person, **more: Any) -> Trip:
        """A trip that is paid, and searched for."""
        trip = await self.ordered(person, **more)
        await self.pays(person)
        return await self.trip(trip)

    async def accepts_late(self, driver: Person, offer_id: str) -> list[Trip]:
        """A driver takes an offer that was made to them, whatever has become of it."""

        async def work(ctx: Context) -> list[Trip]:
            return await self.fleet.offers.accept(ctx, driver.user_id, offer_id)

        return await self.acts(driver, work)

    async def happens(self, person: Person, trip: Trip, action: TripAction, **changes: Any) -> Trip:
        """Anything happens to a trip."""

        async def work(ctx: Context) -> Trip:
            now = await self.fleet.trips.get(ctx, trip.id)
            assert now is not None
            return await self.fleet.trips.act(ctx, now, action, by=person.user_id, **changes)

        return await self.trip(await self.acts(person, work))

    def way(self, trip: Trip, metres: int, dropoff: Place | None = None) -> Way:
        """Another way of so many metres."""
        quote = self.quote(trip.pickup, dropoff or trip.dropoff, trip.service, metres)
        return Way(
            dropoff or trip.dropoff, trip.stops, quote.total, quote.earning, quote.metres, quote.seconds,
            self.clock.now(), quote.hold, quote,
        )  # fmt: skip

    async def bot_has(self, currency: str = "EUR") -> Money:
        """What the bot has for itself."""
        return (await self.ledger.account("bot:rides", currency, AccountKind.MERCHANT)).available

    async def news_of(self, person: Person) -> list[str]:
        """All that somebody was ever told of trips, offers and themselves."""
        lines = self.transcript(await self.chat(person))
        return [line.removeprefix("rides: ") for line in lines if line.startswith("rides: ") and "says" not in line]

    async def conserved(self) -> None:
        """Nothing was lost in the ledger, and nothing is held of trips that have ended and settled."""
        report = await self.ledger.verify()
        assert not report.problems, report.problems


NORTH: Final = Place("North", Point(52.56, 13.405))
