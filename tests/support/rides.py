"""A world with the bot of rides: riders with money, drivers on the road, rounds of dispatch, and the real wallet.

```python
async with RidesWorld() as world:
    alice, bob = await world.rider("alice"), await world.driver("bob")
    trip = await world.rides(alice)           # ordered and paid: it searches
    trip = await world.matched(alice, bob)    # the round asks him, and he takes it
    trip = await world.under_way(trip, bob)
    trip = await world.completed(trip, bob)
```
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, TypeVar

from appservice.metrics import Metrics
from bots.domain.drivers import Driver, DriverState, Position, Vehicle
from bots.domain.money import Money
from bots.domain.places import Place, Point
from bots.domain.trips import Trip, TripState
from bots.fleet import Fleet, Fleets
from bots.framework import Context, Plugin, Setup
from bots.framework.i18n import Catalogues
from bots.framework.testing import Message, Person, Room
from bots.framework.testing.world import BOT_SERVER
from bots.rides import Rides
from bots.rides.driving.app import Tokens
from bots.rides.pages.finding import SharedTrips
from bots.rides.pages.share import ShareDoor, SharePage
from bridge.audit import Audit
from tests.support.commerce import CommerceWorld, Doing, Jobs
from tests.support.money import WALLET

__all__ = ["AIRPORT", "HARBOUR", "MARKET", "OFFICE", "OPERATOR", "RIDES", "RidesWorld", "number_in", "pin_in"]

T = TypeVar("T")

RIDES: Final = f"@rides:{BOT_SERVER}"
OPERATOR: Final = f"@olga:{BOT_SERVER}"
MARKET: Final = Place("Market Square 1", Point(52.5200, 13.4050))
OFFICE: Final = Place("Office Street 9", Point(52.5010, 13.3402))
HARBOUR: Final = Place("Harbour 2", Point(52.5405, 13.3720))
AIRPORT: Final = Place("Airport", Point(52.3667, 13.5033))
"""Places of the demo city, whose tariff counts unless a test has another one."""
LINK: Final = re.compile(r"https://pages\.world/trips/[A-Za-z0-9_-]{64}")


class TestedRides(Rides, Doing):
    """The bot of rides, which does what a test says too."""

    name = "rides"

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.jobs = setup.service(Jobs)


class RidesWorld(CommerceWorld):
    """The bot of rides is what people talk with here; the wallet is where they confirm. Rounds run when a test says so
    (:meth:`round`); positions are where a test puts them (:meth:`stands`)."""

    def __init__(
        self,
        *plugins: type[Plugin],
        settings: Mapping[str, Any] | None = None,
        pages: bool = True,
        beacons: bool = True,
        **given: Any,
    ) -> None:
        """
        Args:
            pages: whether this installation serves pages.
            beacons: whether the bot may set the state that live positions begin with.
        """
        self.fleets: Fleets
        """Made at each start of the service."""
        self.page: SharePage | None = None

        def more(world: Any) -> Mapping[type, Any]:
            names = {"rides": f"rides:{RIDES}"}
            self.fleets = Fleets(self.trade, names)
            database, clock = world.database, world.clock
            found: dict[type, Any] = {
                Fleets: self.fleets, Audit: world.audit, Tokens: Tokens(database, clock, "https://pages.world/fleet")
            }  # fmt: skip
            if pages:
                find, url = SharedTrips(self.fleets, database, clock), "https://pages.world"
                self.page = SharePage(world.links, database, Catalogues(), find, clock, public_url=url)
                found[ShareDoor] = ShareDoor(world.links, url, self.page)
            return found | self.further()

        given.setdefault("permissions", {"roles": {"operator": OPERATOR}})
        super().__init__(*(plugins or (TestedRides,)), settings=settings, services=more, **given)
        self.metrics = Metrics()
        asked = self.homeserver.request

        async def request(method: str, path: str, **more: Any) -> Any:
            if path.endswith("/state/m.room.power_levels"):
                return {"users": {RIDES: 100 if beacons else 0}, "state_default": 50}
            return await asked(method, path, **more)

        self.homeserver.request = request  # type: ignore[method-assign]

    def further(self) -> dict[type, Any]:
        """Services of a test's own, made at each start."""
        return {}

    async def _start(self) -> None:
        await super()._start()
        await self.fleet.positions.load()

    @property
    def fleet(self) -> Fleet:
        """The fleet of the bot, as it was made at the last start."""
        return self.fleets.of("rides")

    # Talking

    async def says(self, person: Person, *texts: str | int, room: Room | None = None) -> list[str]:
        """A person says something to the bot of rides; what it answers to the last, in the same room."""
        place = room or await self.chat(person)
        for text in texts:
            await person.hears_all(place)
            await person.says(str(text), room=place)
        return await self.hears_in(person, place)

    async def shares(self, person: Person, place: Place) -> list[str]:
        """A person shares a place; what the bot answers."""
        assert place.point is not None
        room = await self.chat(person)
        await person.hears_all(room)
        await person.shares_place(place.point.latitude, place.point.longitude, place.text, room=room)
        return await self.hears_in(person, room)

    async def hears(self, person: Person) -> list[str]:
        """What the bot of rides has said to a person since, in their own chat."""
        return await self.hears_in(person, await self.chat(person))

    async def wallet_says(self, person: Person) -> list[Message]:
        """What the wallet has said to a person since."""
        return await person.hears_all(await self.direct(person, WALLET))

    # Who there is

    async def rider(self, name: str, amount: str = "100") -> Person:
        """A person with money, who has heard all that was said."""
        return await self.buyer(name, amount)

    async def driver(
        self,
        name: str,
        place: Place = MARKET,
        *,
        services: Sequence[str] = ("standard",),
        online: bool = True,
        **changes: Any,
    ) -> Person:
        """A driver who was approved, stands somewhere and is online. They have a wallet."""
        person = await self.owner(name)
        room = await self.chat(person)
        assert place.point is not None
        self.stands(person, place.point)
        now = self.clock.now()
        values: dict[str, Any] = {
            "vehicle": Vehicle("Toyota Prius", "blue", f"B-{name.upper()[:2]} 123", 4),
            "services": frozenset(services),
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
            approved = await self.fleet.drivers.approve(ctx, applied, OPERATOR)
            if online:
                await self.fleet.drivers.go_online(ctx, approved)
            return True

        assert await self.does(person, sign_up), self.failures
        await person.hears_all(room)
        self.clock.advance(seconds=1)
        return person

    def stands(self, driver: Person, point: Point, *, ago: float = 0, **changes: Any) -> None:
        """A driver's position is heard. ``ago``: seconds since it was measured."""
        at = self.clock.now() - timedelta(seconds=ago)
        self.fleet.positions.update(driver.user_id, Position(point, at, **changes))

    async def driver_of(self, person: Person) -> Driver:
        """A driver as they stand."""
        found = await self.fleet.drivers.get(self, person.user_id)
        assert found is not None
        return found

    async def driver_has(self, person: Person) -> Money:
        """What a driver can spend."""
        return await self.has(person)

    # What happens

    async def round(self) -> None:
        """A round of dispatch, and all that follows of it."""
        await self._ensure()
        await self.fleet.rounds.once()
        await self.settle()

    async def passes(self, *, step: float = 5, stand: Mapping[Person, Point] | None = None, **delta: float) -> None:
        """Time passes in steps (seconds), with what is due in between, and drivers who go on standing somewhere."""
        left = timedelta(**delta)
        while left > timedelta():
            self.clock.advance(min(left, timedelta(seconds=step)))
            left -= timedelta(seconds=step)
            for driver, point in (stand or {}).items():
                self.stands(driver, point)
            await self.settle()

    async def acts(  # type: ignore[override]
        self, person: Person, work: Callable[[Context], Awaitable[T]]
    ) -> T:
        """Somebody has the fleet do something; what the domain refuses is raised."""

        async def tried(ctx: Context) -> T | ValueError:
            try:
                return await work(ctx)
            except ValueError as refused:
                ctx.discard()
                return refused

        done = await self.does(person, tried)
        assert done is not None, self.failures
        if isinstance(done, ValueError):
            raise done
        return done

    async def orders_ride(
        self, person: Person, pickup: Place = MARKET, dropoff: Place = OFFICE, service: str = "Standard"
    ) -> list[str]:
        """A person orders a ride in their chat; what the bot says to it at last. Nothing is paid yet."""
        await self.says(person, "ride")
        await self.shares(person, pickup)
        await self.shares(person, dropoff)
        return await self.says(person, service, "Order it")

    async def rides(self, person: Person, pickup: Place = MARKET, dropoff: Place = OFFICE) -> Trip:
        """A ride that is ordered and paid: a driver is looked for."""
        await self.orders_ride(person, pickup, dropoff)
        await self.pays(person)
        return await self.last_trip(person)

    async def last_trip(self, person: Person) -> Trip:
        """What somebody has ordered last."""
        found = await self.fleet.trips.of_rider(self, person.user_id, limit=1)
        assert found, "nothing was ordered"
        return found[0]

    async def trip(self, trip: Trip | str) -> Trip:
        """A trip as it stands."""
        found = await self.fleet.trips.get(self, trip if isinstance(trip, str) else trip.id)
        assert found is not None
        return found

    async def accepts(self, driver: Person) -> Trip:
        """A driver takes what is offered to them."""

        async def work(ctx: Context) -> list[Trip]:
            offer = await self.fleet.offers.of_driver(ctx, driver.user_id)
            assert offer is not None, "nothing is offered"
            return await self.fleet.offers.accept(ctx, driver.user_id, offer.id)

        return await self.trip((await self.acts(driver, work))[0])

    async def declines_offer(self, driver: Person) -> None:
        """A driver lets pass what is offered to them."""

        async def work(ctx: Context) -> Driver:
            offer = await self.fleet.offers.of_driver(ctx, driver.user_id)
            assert offer is not None, "nothing is offered"
            return await self.fleet.offers.decline(ctx, driver.user_id, offer.id)

        await self.acts(driver, work)

    async def matched(self, person: Person, driver: Person) -> Trip:
        """A round asks the driver about the person's last trip, and they take it."""
        await self.round()
        trip = await self.accepts(driver)
        assert trip.rider == person.user_id
        assert trip.state is TripState.MATCHED
        return trip

    async def arrived(self, trip: Trip, driver: Person) -> Trip:
        """The driver is at the pickup."""
        assert trip.pickup.point is not None
        self.stands(driver, trip.pickup.point)
        await self.acts(driver, _with(self, trip, lambda ctx, now: self.fleet.trips.arrive(ctx, now, driver.user_id)))
        return await self.trip(trip)

    async def under_way(self, trip: Trip, driver: Person) -> Trip:
        """The driver is there, and has begun with the right PIN."""
        if trip.state is TripState.MATCHED:
            trip = await self.arrived(trip, driver)
        start = _with(self, trip, lambda ctx, now: self.fleet.trips.start(ctx, now, now.pin, driver.user_id))
        await self.acts(driver, start)
        return await self.trip(trip)

    async def completed(self, trip: Trip, driver: Person) -> Trip:
        """It has come to its end."""
        end = _with(
            self, trip, lambda ctx, now: self.fleet.trips.complete(ctx, now, driver.user_id, pin=now.dropoff_pin)
        )
        await self.acts(driver, end)
        return await self.trip(trip)

    async def loses_driver(self, trip: Trip, driver: Person, reason: str = "flat tyre") -> Trip:
        """The driver cannot come."""
        lose = _with(self, trip, lambda ctx, now: self.fleet.trips.lose_driver(ctx, now, driver.user_id, reason))
        await self.acts(driver, lose)
        return await self.trip(trip)

    async def page_of(self, url: str) -> str:
        """What a browser would show at a link to a trip: the page's own answer, without a listener."""
        assert self.page is not None
        token = url.rsplit("/", 1)[1]

        class Request:
            match_info: Final = {"token": token}
            headers: Final[Mapping[str, str]] = {}

        answer = await self.page._get(Request())  # type: ignore[arg-type]
        return str(answer.text)


def _with(
    world: RidesWorld, trip: Trip, work: Callable[[Context, Trip], Awaitable[T]]
) -> Callable[[Context], Awaitable[T]]:
    """Work on a trip as it stands then."""

    async def do(ctx: Context) -> T:
        now = await world.fleet.trips.get(ctx, trip.id)
        assert now is not None
        return await work(ctx, now)

    return do


def moved(point: Point, north_m: float = 0, east_m: float = 0) -> Point:
    """A point so many metres away, near the cities of the tests."""
    return replace(point, latitude=point.latitude + north_m / 111_195, longitude=point.longitude + east_m / 67_700)


def pin_in(texts: Sequence[str]) -> str:
    """The PIN that was told last."""
    found = re.findall(r"PIN[^:]*: (\d{4})\b", "\n".join(texts))
    assert found, texts
    return str(found[-1])


def number_in(texts: Sequence[str]) -> str:
    """The number of the trip that was named last."""
    found = re.findall(r"\b(?:Ride|Parcel) ([23456789CFGHJMPQRVWX]{6})\b", "\n".join(texts))
    assert found, texts
    return str(found[-1])


def link_in(texts: Sequence[str]) -> str:
    """The link to a trip that was told last."""
    found = LINK.findall("\n".join(texts))
    assert found, texts
    return str(found[-1])
