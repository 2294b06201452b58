"""What drivers bring: PINs, photos, what cannot be handed over, two things in one go; what they earn; their apps."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bots.domain.money import Money
from bots.domain.places import Place, Point
from bots.domain.trips import Trip, TripKind, TripState
from bots.fleet.trips import Wanted
from bots.framework.testing import Person
from bots.rides.driving.settings import DocumentKind, DrivingSettings
from bots.rides.driving.texts import links
from tests.support.rides import MARKET, OFFICE, RidesWorld, moved

pytestmark = pytest.mark.timeout(180)

CLIENT = "stall:@stall:world"
FEE = Money(500, "EUR")


def point(place: Place) -> Point:
    """Where a place is."""
    assert place.point is not None
    return place.point


async def parcel(
    world: RidesWorld, number: int = 1, *, client: str = CLIENT, dropoff: Place = OFFICE, **more: Any
) -> Trip:
    """Something that a client wants brought."""
    carla = world.user("carla")

    async def request(ctx: Any) -> str:
        wanted = Wanted(
            cause=world.trade.id_for(f"order {number}", "order"),
            kind=TripKind.COURIER,
            service="courier",
            pickup=MARKET,
            dropoff=dropoff,
            quoted=more.pop("quoted", FEE),
            earning=FEE,
            metres=4_000,
            seconds=900,
            client=client,
            reference=f"order {number}",
            passenger="Alice",
            note="second floor",
            **more,
        )
        return (await world.fleet.trips.request(ctx, wanted)).id

    return await world.trip(await world.acts(carla, request))


async def taken(world: RidesWorld, **more: Any) -> tuple[Trip, Person]:
    """A parcel that a courier has taken."""
    more.setdefault("dropoff_pin", True)
    trip, dan = await parcel(world, **more), await world.driver("dan", services=("courier",))
    await world.round()
    await world.says(dan, 1)
    return await world.trip(trip), dan


async def fetched(world: RidesWorld, **more: Any) -> tuple[Trip, Person]:
    """A parcel that the courier has."""
    trip, dan = await taken(world, **more)
    await world.says(dan, "arrived")
    await world.says(dan, f"start {trip.pin}")
    world.clock.advance(minutes=10)
    world.stands(dan, point(OFFICE))
    return await world.trip(trip), dan


async def test_brought_with_both_pins() -> None:
    async with RidesWorld() as world:
        trip, dan = await taken(world)
        said = await world.says(dan, "job")
        assert "fetch it" in said[-1]
        assert "Their note: second floor" in said[-1]
        said = await world.says(dan, "I am there")
        assert "They tell you a PIN when they hand it over" in said[-1]
        said = await world.says(dan, "They told me the PIN", trip.pin)
        assert "bring it to Alice. They tell you a PIN" in said[-1]
        assert trip.dropoff_pin not in "\n".join(said)
        world.clock.advance(minutes=10)
        world.stands(dan, point(OFFICE))
        wrong = "0000" if trip.dropoff_pin != "0000" else "1111"
        assert "4 tries are left" in (await world.says(dan, f"end {wrong}"))[-1]
        said = await world.says(dan, f"end {trip.dropoff_pin}")
        assert "is done, thank you. You have earned €5.00." in said[-1]
        assert (await world.trip(trip)).state is TripState.COMPLETED
        assert (await world.driver_of(dan)).trip == ""
        world.check()


async def test_locked_it_is_left_with_a_photo() -> None:
    async with RidesWorld() as world:
        trip, dan = await fetched(world)
        wrong = "0000" if trip.dropoff_pin != "0000" else "1111"
        for _ in range(5):
            await world.says(dan, f"end {wrong}")
        said = await world.says(dan, f"end {trip.dropoff_pin}")
        assert "Too many wrong PINs" in said[-1]
        assert "with a photo (“photo”)" in said[-1]
        assert (await world.trip(trip)).state is TripState.UNDER_WAY
        await world.says(dan, "I leave it there, with a photo")
        assert "no photo" in (await world.says(dan, "here"))[-1]
        room = await world.chat(dan)
        sent = await dan.sends_photo(room=room)
        assert "is done" in (await world.hears(dan))[-1]
        after = await world.trip(trip)
        assert after.state is TripState.COMPLETED
        assert sent.content["url"] in after.proof, "the client shows it to whoever waits"
        world.check()


async def test_a_photo_is_shown_to_whoever_sent_it() -> None:
    async with RidesWorld() as world:
        alice = await world.rider("alice")
        room = await world.chat(alice)
        trip, dan = await fetched(world, client="", rider=alice.user_id, room_id=room.room_id, quoted=Money(0, "EUR"))
        assert trip.rider == alice.user_id
        await alice.hears_all(room)
        await world.says(dan, "I leave it there, with a photo")
        await dan.sends_photo(room=await world.chat(dan))
        heard = await alice.hears_all(room)
        assert any(each.content.get("msgtype") == "m.image" for each in heard)
        assert any("The courier has left it there." in each.body for each in heard)
        world.check()


async def test_what_cannot_be_handed_over_goes_back() -> None:
    async with RidesWorld() as world:
        trip, dan = await fetched(world)
        said = await world.says(dan, "I cannot hand it over")
        assert "What is the matter?" in said[-1]
        said = await world.says(dan, "Nobody opens")
        assert "bring it back. They tell you a PIN" in said[-1]
        assert "Market Square 1" in said[-1]
        failed = await world.trip(trip)
        assert (failed.state, failed.reason) == (TripState.FAILED, "Nobody opens")
        (back,) = await world.fleet.trips.current_of_driver(world, dan.user_id)
        assert (back.kind, back.of, back.state) == (TripKind.RETURN, trip.id, TripState.UNDER_WAY)
        assert "photo" not in said[-1], "what comes back is not left at a door"
        world.clock.advance(minutes=10)
        world.stands(dan, point(MARKET))
        said = await world.says(dan, f"end {back.dropoff_pin}")
        assert "is done" in said[-1]
        assert (await world.trip(back)).state is TripState.COMPLETED
        world.check()


async def test_two_in_one_go() -> None:
    async with RidesWorld() as world:
        first = await parcel(world, 1, dropoff_pin=True)
        second = await parcel(world, 2, dropoff=moved_place(OFFICE), dropoff_pin=True)
        dan = await world.driver("dan", services=("courier",))

        async def both(ctx: Any) -> bool:
            trips = [await world.fleet.trips.get(ctx, each.id) for each in (first, second)]
            driver = await world.fleet.drivers.get(ctx, dan.user_id)
            assert driver is not None
            found = [each for each in trips if each is not None]
            taken = await world.fleet.trips.match(
                ctx, found, driver, by=dan.user_id, pickup_seconds=60, pickup_metres=300
            )
            await world.plugin.job_taken(ctx, driver, taken)
            return True

        await world.acts(dan, both)
        said = await world.hears(dan)
        assert "In the same go:" in said[-1]
        assert "The other one first" in said[-1]
        one = await world.plugin.current_job(_Reads(world), dan.user_id)
        said = await world.says(dan, "The other one first")
        other = first if one.id == second.id else second
        assert other.number in said[-1].splitlines()[0]
        await world.says(dan, "arrived")
        assert (await world.trip(other)).state is TripState.ARRIVED
        assert (await world.trip(one)).state is TripState.MATCHED
        await world.says(dan, f"start {other.pin}")
        world.clock.advance(minutes=10)
        world.stands(dan, point(OFFICE))
        said = await world.says(dan, f"end {other.dropoff_pin}")
        assert any("is done" in each for each in said)
        assert any(one.number in each and "fetch it" in each for each in said), said
        assert (await world.driver_of(dan)).trip == one.id
        world.check()


async def test_two_are_offered_in_one_go() -> None:
    """The dispatcher puts two together that both stay in time; one answer takes both."""
    async with RidesWorld() as world:
        late = world.clock.now() + timedelta(hours=1)
        first = await parcel(world, 1, latest=late)
        second = await parcel(world, 2, dropoff=moved_place(OFFICE), latest=late)
        dan = await world.driver("dan", services=("courier",))
        await world.round()
        card = (await world.hears(dan))[-1]
        assert card.startswith("Two things are to be brought in one go.")
        assert "You earn €10.00." in card
        await world.says(dan, "accept")
        trips = [await world.trip(each) for each in (first, second)]
        assert [(each.driver, each.state) for each in trips] == [(dan.user_id, TripState.MATCHED)] * 2
        assert trips[0].batch == trips[1].batch != ""
        for step in ("arrived", "start {}", "arrived", "start {}"):
            now = await world.plugin.current_job(_Reads(world), dan.user_id)
            await world.says(dan, step.format(now.pin))
        world.clock.advance(minutes=12)
        world.stands(dan, point(OFFICE))
        for _ in range(2):
            assert any("is done" in each for each in await world.says(dan, "end"))
        assert [(await world.trip(each)).state for each in (first, second)] == [TripState.COMPLETED] * 2
        assert (await world.driver_of(dan)).trip == ""
        world.check()


class _Reads:
    """What a test reads a driver's job with."""

    def __init__(self, world: RidesWorld) -> None:
        self._world = world
        self.states = self

    async def query(self, work: Any) -> Any:
        return await self._world.query(work)

    def user(self, _person: str) -> Any:
        return self

    async def get(self, key: Any) -> Any:
        return key.default


def moved_place(place: Place) -> Place:
    """A place nearby."""
    return Place("Next door", moved(point(place), north_m=200))


async def test_the_client_withdraws() -> None:
    async with RidesWorld() as world:
        trip, dan = await taken(world)
        await world.hears(dan)

        async def cancels(ctx: Any) -> Any:
            now = await world.fleet.trips.get(ctx, trip.id)
            assert now is not None
            return await world.fleet.trips.cancel(ctx, now, "", "sold out")

        await world.acts(world.user("carla"), cancels)
        assert "was cancelled. You need not go on." in (await world.hears(dan))[-1]
        world.check()


# What they earn


async def test_earnings_with_a_picture_and_what_is_not_paid_yet() -> None:
    async with RidesWorld() as world:
        dan = await world.driver("dan", services=("courier",))
        assert await world.says(dan, "earnings") == ["You have earned nothing yet."]
        trip = await parcel(world)
        await world.round()
        await world.says(dan, 1)
        await world.says(dan, "arrived")
        await world.says(dan, f"start {(await world.trip(trip)).pin}")
        world.clock.advance(minutes=10)
        world.stands(dan, point(OFFICE))
        await world.says(dan, "end")
        room = await world.chat(dan)
        await dan.hears_all(room)
        await dan.says("earnings", room=room)
        heard = await dan.hears_all(room)
        picture = next(each for each in heard if each.content.get("msgtype") == "m.image")
        assert (await dan.downloads(picture)).startswith(b"\x89PNG")
        lines = heard[-1].body.splitlines()
        assert lines[:2] == ["Today: €5.00", "Seven days, 1 trip: €5.00"]
        assert trip.number in lines[2]
        assert lines[2].endswith("not paid yet"), "the client has not paid it"
        assert "Not paid yet: €5.00" in lines[-1]

        async def pays(ctx: Any) -> Any:
            now = await world.fleet.trips.get(ctx, trip.id)
            assert now is not None
            return await world.fleet.trips.paid_by_client(ctx, now)

        await world.acts(world.user("carla"), pays)
        assert "not paid yet" not in "\n".join(await world.says(dan, "earnings"))
        world.clock.advance(days=8)
        said = "\n".join(await world.says(dan, "earnings"))
        assert "Seven days: nothing" in said
        assert trip.number in said, "the last trips are shown all the same"
        world.check()


# Apps


async def test_a_token_is_shown_once_and_ends() -> None:
    async with RidesWorld() as world:
        dan = await world.driver("dan")
        said = "\n".join(await world.says(dan, "app token"))
        token = next(word for word in said.split() if word.startswith("rd_"))
        assert "https://pages.world/fleet" in said
        tokens = world.plugin.tokens
        row = await tokens.check(token)
        assert row is not None
        assert (row.bot, row.person) == ("rides", dan.user_id)
        said = "\n".join(await world.says(dan, "app token"))
        assert "The token before does not count any more." in said
        assert await tokens.check(token) is None
        token = next(word for word in said.split() if word.startswith("rd_"))
        assert await tokens.check(token) is not None
        assert await world.says(dan, "app revoke") == ["The token does not count any more."]
        assert await tokens.check(token) is None
        assert await world.says(dan, "app revoke") == ["You have no token."]
        world.check()


async def test_an_app_and_the_real_fleet() -> None:
    """The endpoint on the fleet that dispatches: a driver goes online by it, and hears 5 with an offer before them."""
    from aiohttp import web
    from aiohttp.test_utils import TestClient, TestServer

    from bots.rides.driving.app import PREFIX, DriverApp

    async with RidesWorld() as world:
        dan, alice = await world.driver("dan", online=False), await world.rider("alice")
        world.fleet.positions.forget(dan.user_id)
        said = "\n".join(await world.says(dan, "app token"))
        token = next(word for word in said.split() if word.startswith("rd_"))
        time = [0.0]
        app = DriverApp(world.fleets, world.plugin.tokens, world.database, world.clock, lambda: time[0])
        root = web.Application()
        root.add_subapp(PREFIX, app.app())

        async with TestClient(TestServer(root)) as client:

            async def post(at: Point, *, ago: float = 1) -> dict[str, Any]:
                time[0] += 10
                when = int((world.clock.now() - timedelta(seconds=ago)).timestamp() * 1000)
                body = {"fixes": [{"lat": at.latitude, "lon": at.longitude, "at": when}]}
                headers = {"Authorization": f"Bearer {token}"}
                async with client.post("/fleet/positions", json=body, headers=headers) as response:
                    assert response.status == 200
                    answer: dict[str, Any] = await response.json()
                    return answer

            first = await post(point(MARKET))
            assert (first["taken"], first["state"], first["next"]) == (1, "offline", 0)
            assert "You are online" in (await world.says(dan, "online"))[-1]
            world.clock.advance(seconds=30)
            assert (await post(point(MARKET)))["next"] == 60
            await world.rides(alice)
            world.clock.advance(seconds=1)
            time[0] += 10
            assert (await post(point(MARKET), ago=0.5))["next"] == 15, "somebody near them waits"
            await world.round()
            world.clock.advance(seconds=1)
            assert (await post(point(MARKET), ago=0.5))["next"] == 5, "an offer is before them"
            await world.says(dan, 1)
            world.clock.advance(seconds=5)
            on_trip = await post(moved(point(MARKET), north_m=40))
            assert (on_trip["next"], on_trip["trip"]) == (5, True)
            world.clock.advance(seconds=5)
            assert (await post(Point(48.137, 11.575)))["doubtful"] == 1
        world.check()


async def test_without_a_listener_there_are_no_apps() -> None:
    async with RidesWorld() as world:
        dan = await world.driver("dan")
        world.plugin.tokens = None
        assert "There are no apps here" in (await world.says(dan, "app token"))[-1]
        assert "There are no apps here" in (await world.says(dan, "app revoke"))[-1]
        world.check()


# Words and settings


def test_links_are_what_the_operator_wants() -> None:
    here = Point(52.52, -13.4050004)
    assert links(here, ["geo", "openstreetmap", "google", "apple"]) == [
        "geo:52.52,-13.405",
        "https://www.openstreetmap.org/directions?to=52.52%2C-13.405",
        "https://www.google.com/maps/dir/?api=1&destination=52.52%2C-13.405",
        "https://maps.apple.com/?daddr=52.52%2C-13.405",
    ]
    assert links(here, []) == []


def test_which_documents_are_asked_for() -> None:
    settings = DrivingSettings()
    assert [each.name for each in settings.needed(people=True)] == ["licence", "insurance"]
    assert settings.needed(people=False) == []
    vest = DocumentKind(name="health_card", couriers=True)
    assert vest.words == "health card"
    assert DrivingSettings(documents=(vest,)).needed(people=False) == [vest]
    with pytest.raises(ValueError, match="named once"):
        DrivingSettings(documents=(vest, vest))
