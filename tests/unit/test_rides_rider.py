"""The rider's side in conversation: every step, and what is said and done when it goes wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from bots.domain.ledger import AccountKind
from bots.domain.payments import PaymentState
from bots.domain.places import Place, Point
from bots.domain.trips import TripKind, TripRefused, TripState
from bots.framework.testing import Person
from bots.framework.testing.homeserver import WorldRooms
from bots.routing.base import RoutingError
from tests.support.commerce import money
from tests.support.rides import (
    AIRPORT,
    HARBOUR,
    MARKET,
    OFFICE,
    RIDES,
    RidesWorld,
    link_in,
    moved,
    number_in,
    pin_in,
)

S = TripState


@pytest.fixture
async def world() -> AsyncIterator[RidesWorld]:
    async with RidesWorld() as made:
        yield made


def said(texts: list[str]) -> str:
    return "\n".join(texts)


# Ordering


async def test_a_whole_ride(world: RidesWorld) -> None:
    """From two places to the receipt: who is told what, and where the money is."""
    alice, bob = await world.rider("alice"), await world.driver("bob")
    assert "Where shall I pick you up?" in said(await world.says(alice, "ride"))
    assert "Where would you like to go?" in said(await world.shares(alice, MARKET))
    classes = said(await world.shares(alice, OFFICE))
    assert "1. Standard – €18.45 · there in 1 minute · 4 seats" in classes
    assert "2. XL, up to 6" in classes and "nobody is near just now" in classes
    card = said(await world.says(alice, "1"))
    for line in ("Base fare", "Way (6.5 km)", "Time (12 min)", "Booking fee: €0.80", "Total: €18.45"):
        assert line in card
    assert "€20.95 is held" in card
    assert "You can cancel for nothing until 2 minutes" in card
    assert "good for 90 seconds" in card
    assert "Please confirm €20.95 in your chat with the wallet." in said(await world.says(alice, "1"))
    await world.pays(alice)
    heard = await world.hears(alice)
    number = number_in(heard)
    assert heard == [f"Ride {number}: I am looking for a driver …"]
    assert await world.has(alice) == money("79.05")
    trip = await world.matched(alice, bob)
    card = said(await world.hears(alice))
    assert "Bob: blue Toyota Prius, B-BO 123" in card
    assert trip.pin in card and bob.user_id not in card
    trip = await world.under_way(trip, bob)
    card = said(await world.hears(alice))
    assert "Your driver is there." in card and "You are on the way." in card
    trip = await world.completed(trip, bob)
    card = said(await world.hears(alice))
    assert "You have arrived." in card and "It costs €18.45." in card and "How was the ride with Bob?" in card
    await world.passes(minutes=11, step=60)
    (receipt, picture) = (await alice.hears_all(await world.chat(alice)))[-2:]
    assert f"Receipt for Ride {number}" in receipt.body
    assert "Total: €18.45" in receipt.body and "Of this VAT (7 %): €1.21" in receipt.body
    image = Image.open(BytesIO(await alice.downloads(picture)))
    assert image.format == "PNG" and image.size == (800, 480)
    assert await world.has(alice) == money("81.55")
    assert await world.has(bob) == money("14.12")
    assert (await world.trip(trip)).state is S.COMPLETED
    world.check()


async def test_an_old_price_is_asked_for_again(world: RidesWorld) -> None:
    """Two minutes later nothing is ordered at the price of before: it is shown anew, and must be confirmed anew."""
    alice = await world.rider("alice")
    await world.says(alice, "ride")
    await world.shares(alice, MARKET)
    await world.shares(alice, OFFICE)
    await world.says(alice, "Standard")
    world.clock.advance(seconds=91)
    heard = said(await world.says(alice, "Order it"))
    assert "That price has expired. This is what it costs now:" in heard
    assert "Which class?" in heard
    assert await world.fleet.trips.of_rider(world, alice.user_id) == []
    await world.says(alice, "Standard", "Order it")
    assert (await world.last_trip(alice)).state is S.AUTHORISING
    world.check()


async def test_surge_is_shown_with_reason_and_cap(world: RidesWorld) -> None:
    alice = await world.rider("alice")
    waiting = [await world.rider(f"w{number}") for number in range(6)]
    await world.driver("bob")
    for each in waiting:
        await world.rides(each)
    for _round in range(6):
        await world.round()
        world.clock.advance(seconds=3)
    await world.says(alice, "ride")
    await world.shares(alice, MARKET)
    heard = said(await world.shares(alice, OFFICE))
    assert "Prices are ×" in heard and "never more than × 1.8" in heard
    assert "More people want to ride than cars are free just now" in heard
    assert "Busy just now (×" in said(await world.says(alice, "Standard"))
    world.check()


async def test_nothing_is_ordered_without_a_word_for_it(world: RidesWorld) -> None:
    alice = await world.rider("alice")
    await world.says(alice, "ride")
    await world.shares(alice, MARKET)
    await world.shares(alice, OFFICE)
    assert await world.says(alice, "Not now") == ["Then not."]
    await world.says(alice, "ride")
    await world.shares(alice, MARKET)
    await world.shares(alice, OFFICE)
    assert await world.says(alice, "Standard", "Not now") == ["Then not."]
    assert await world.fleet.trips.of_rider(world, alice.user_id) == []
    world.check()


async def test_a_reaction_orders_too(world: RidesWorld) -> None:
    """Whoever taps gets as far as whoever types; only the wallet moves money."""
    alice = await world.rider("alice")
    room = await world.chat(alice)
    await world.says(alice, "save home")
    await world.shares(alice, MARKET)
    await world.says(alice, "ride")
    await alice.reacts("1️⃣", room=room)
    assert "Where would you like to go?" in said(await world.hears(alice))
    await world.shares(alice, OFFICE)
    await alice.reacts("1️⃣", room=room)
    await world.hears(alice)
    await alice.reacts("✅", room=room)
    trip = await world.last_trip(alice)
    assert trip.state is S.AUTHORISING
    assert await world.has(alice) == money("100.00")
    world.check()


async def test_a_group_is_not_told_where_somebody_goes(world: RidesWorld) -> None:
    alice, bob = await world.rider("alice"), await world.rider("bob")
    room = await world.room("friends", alice, bob)
    await alice.hears_all(room)
    await alice.says("!ride", room=room)
    assert "nobody else's affair" in said(await world.hears_in(alice, room))
    world.check()


async def test_stops_a_note_and_somebody_else(world: RidesWorld) -> None:
    """The PIN goes to who orders, the name to who drives."""
    alice, bob = await world.rider("alice"), await world.driver("bob")
    await world.says(alice, "ride")
    await world.shares(alice, MARKET)
    await world.shares(alice, OFFICE)
    await world.says(alice, "Add a stop")
    assert "Stop 1: Harbour 2" in said(await world.shares(alice, HARBOUR))
    await world.says(alice, "For somebody else")
    assert "A name has 1 to 60 letters" in said(await world.says(alice, "@ann:world"))
    assert "For Grandma Ann" in said(await world.says(alice, "Grandma Ann"))
    await world.says(alice, "A note for the driver")
    assert "Note: She walks slowly" in said(await world.says(alice, "She walks slowly"))
    await world.says(alice, "Standard", "Order it")
    await world.pays(alice)
    trip = await world.matched(alice, bob)
    assert [each.place.text for each in trip.stops] == ["Harbour 2"]
    assert (trip.passenger, trip.note) == ("Grandma Ann", "She walks slowly")
    assert pin_in(await world.hears(alice)) == trip.pin
    world.check()


async def test_not_more_than_so_many_at_once() -> None:
    async with RidesWorld(settings={"riding": {"open_most": 1}}) as world:
        alice = await world.rider("alice")
        await world.rides(alice)
        assert "as many as one person can have" in said(await world.says(alice, "ride"))
        assert len(await world.fleet.trips.of_rider(world, alice.user_id)) == 1
        world.check()


# Places


async def test_places_are_kept_and_gone_to(world: RidesWorld) -> None:
    alice = await world.rider("alice")
    assert "Where is “home”?" in said(await world.says(alice, "save home"))
    assert "Kept. “ride home” goes there." in said(await world.shares(alice, OFFICE))
    assert "Where shall I pick you up?" in said(await world.says(alice, "ride HOME"))
    heard = said(await world.shares(alice, MARKET))
    assert "To: Office Street 9" in heard
    await world.says(alice, "Not now")
    await world.says(alice, "save home")
    await world.shares(alice, HARBOUR)
    assert (await world.says(alice, "places"))[-1].startswith("Your places:\n\n1. home – Harbour 2")
    await world.says(alice, "1", "Rename it")
    heard = said(await world.says(alice, "mum"))
    assert "Changed." in heard and "1. mum" in heard
    await world.says(alice, "1", "Forget it")
    assert "I keep no place for you yet." in said(await world.says(alice, "places"))
    world.check()


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (Place("Sydney", Point(-33.86, 151.21)), "outside of where we drive"),
        (Place("North Pole", Point(90.0, 0.0)), "outside of where we drive"),
        (Place("South Pole", Point(-90.0, 120.0)), "outside of where we drive"),
        (Place("Date line", Point(0.0, 180.0)), "outside of where we drive"),
        (MARKET, "the same place"),
    ],
    ids=["continent", "north pole", "south pole", "date line", "same"],
)
async def test_places_that_cannot_be(world: RidesWorld, place: Place, why: str) -> None:
    """Why not, and what can be changed; afterwards it goes on as if nothing had been."""
    alice = await world.rider("alice")
    await world.says(alice, "ride")
    await world.shares(alice, MARKET)
    heard = said(await world.shares(alice, place))
    assert why in heard and "What shall I change?" in heard
    await world.says(alice, "Another destination")
    assert "Which class?" in said(await world.shares(alice, OFFICE))
    world.check()


async def test_tracks_are_no_pickup(world: RidesWorld) -> None:
    alice = await world.rider("alice")
    await world.says(alice, "ride")
    await world.shares(alice, Place("Tracks", Point(52.5250, 13.3690)))
    assert "Nobody is picked up there (Central station, tracks)" in said(await world.shares(alice, OFFICE))
    world.check()


async def test_swapped_coordinates_are_noticed(world: RidesWorld) -> None:
    """13.405, 52.52 is the Arabian Sea: the other order is offered, and taken by a yes."""
    alice = await world.rider("alice")
    await world.says(alice, "ride")
    await world.says(alice, "13.405, 52.52")
    heard = said(await world.shares(alice, OFFICE))
    assert "Latitude comes first, from −90 to 90. Did you mean 52.52, 13.405?" in heard
    heard = said(await world.says(alice, "yes"))
    assert "From: 52.52, 13.405" in heard and "Which class?" in heard
    world.check()


async def test_a_latitude_beyond_the_pole_is_no_latitude(world: RidesWorld) -> None:
    alice = await world.rider("alice")
    await world.says(alice, "ride")
    assert "Did you mean 53.02, 158.65?" in said(await world.says(alice, "158.65, 53.02"))
    assert "Where would you like to go?" in said(await world.says(alice, "52.52, 13.405"))
    world.check()


async def test_an_address_that_nobody_can_look_up(world: RidesWorld) -> None:
    alice = await world.rider("alice")
    await world.says(alice, "ride")
    heard = said(await world.says(alice, "Linden Street 7"))
    assert "I do not know where “Linden Street 7” is" in heard
    assert "Where would you like to go?" in said(await world.shares(alice, MARKET))
    world.check()


class Gazetteer:
    """Knows some addresses; what it was asked is kept."""

    source = "gazetteer"

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.away = False

    async def find(
        self, text: str, *, near: Point | None = None, limit: int = 5, language: str = "en"
    ) -> tuple[Place, ...]:
        self.asked.append((text, language))
        if self.away:
            raise RoutingError("geocoder.unavailable")
        known = {"Linden Street 7": (HARBOUR,), "Station": (MARKET, OFFICE)}
        return known.get(text, ())

    async def name(self, point: Point, *, language: str = "en") -> Place | None:
        return Place("Corner of Long Street", point)


async def test_addresses_are_looked_up(world: RidesWorld) -> None:
    """One that is known, one that may be several places, one that nobody knows, and none while nobody can be asked."""
    alice = await world.rider("alice")
    gazetteer = world.plugin.geocoder = Gazetteer()
    assert "write an address" in said(await world.says(alice, "ride"))
    gazetteer.away = True
    assert "I cannot look addresses up just now" in said(await world.says(alice, "Linden Street 7"))
    gazetteer.away = False
    assert "I do not know where “Nowhere 1” is" in said(await world.says(alice, "Nowhere 1"))
    assert "1. Harbour 2" in said(await world.says(alice, "Linden Street 7"))  # seen before anybody drives there
    assert "Where would you like to go?" in said(await world.says(alice, "1"))
    heard = said(await world.says(alice, "Station"))
    assert "Which one?" in heard and "1. Market Square 1" in heard and "2. Office Street 9" in heard
    assert "Where would you like to go?" in said(await world.says(alice, "None of these"))
    await world.says(alice, "Station")
    heard = said(await world.says(alice, "2"))
    assert "From: Harbour 2" in heard and "To: Office Street 9" in heard
    assert gazetteer.asked[0] == ("Linden Street 7", "en")
    world.check()


async def test_a_bare_position_gets_a_name(world: RidesWorld) -> None:
    """Drivers read where that is, not digits."""
    alice = await world.rider("alice")
    world.plugin.geocoder = Gazetteer()
    await world.says(alice, "ride")
    await world.says(alice, "52.5401, 13.3701")
    assert "From: Corner of Long Street" in said(await world.shares(alice, OFFICE))
    world.check()


async def test_a_place_that_is_shared_unasked(world: RidesWorld) -> None:
    alice = await world.rider("alice")
    assert "What about Office Street 9?" in said(await world.shares(alice, OFFICE))
    assert "Where shall I pick you up?" in said(await world.says(alice, "Go there"))
    assert "To: Office Street 9" in said(await world.shares(alice, MARKET))
    world.check()


async def test_the_last_places_are_offered(world: RidesWorld) -> None:
    alice = await world.rider("alice")
    await world.rides(alice)
    heard = said(await world.says(alice, "ride"))
    assert "1. Office Street 9" in heard and "2. Market Square 1" in heard
    world.check()


# Paying


async def test_who_declines_does_not_ride(world: RidesWorld) -> None:
    alice = await world.rider("alice")
    await world.orders_ride(alice)
    await world.declines(alice)
    assert "was not paid: it is off." in said(await world.hears(alice))
    assert (await world.last_trip(alice)).state is S.UNPAID
    assert await world.has(alice) == money("100.00")
    world.check()


async def test_who_does_not_answer_does_not_ride(world: RidesWorld) -> None:
    alice = await world.rider("alice")
    await world.orders_ride(alice)
    await world.passes(minutes=5, seconds=2, step=60)
    assert (await world.last_trip(alice)).state is S.UNPAID
    assert "was not paid: it is off." in said(await world.hears(alice))
    world.check()


async def test_who_has_not_so_much_does_not_ride(world: RidesWorld) -> None:
    alice = await world.rider("alice", "5.00")
    await world.orders_ride(alice)
    heard = await world.wallet_says(alice)
    assert heard, "the wallet says why"
    await world.passes(minutes=6, step=60)
    assert (await world.last_trip(alice)).state is S.UNPAID
    assert await world.has(alice) == money("5.00")
    world.check()


# Searching


async def test_nobody_is_found(world: RidesWorld) -> None:
    """One message says how it goes; at the end nothing is charged, and it can be tried again."""
    alice = await world.rider("alice")
    trip = await world.rides(alice)
    room = await world.chat(alice)
    first = next(each for each in room.timeline if "I am looking for a driver" in each.body)
    await world.passes(seconds=35)
    assert "Nobody is free near you just now" in str(first.replaced["body"] if first.replaced else "")
    await world.hears(alice)
    await world.passes(seconds=100)
    heard = said(await world.hears(alice))
    assert "No driver was found. “rebook” tries again." in heard
    assert "Nothing is charged: what was held goes back." in heard
    assert (await world.trip(trip)).state is S.UNSERVED
    assert await world.has(alice) == money("100.00")
    heard = said(await world.says(alice, "rebook"))
    assert "From: Market Square 1" in heard and "To: Office Street 9" in heard and "Which class?" in heard
    world.check()


async def test_who_was_asked_is_counted_and_not_named(world: RidesWorld) -> None:
    alice, bob = await world.rider("alice"), await world.driver("bob")
    await world.rides(alice)
    await world.round()
    await world.declines_offer(bob)
    room = await world.chat(alice)
    await world.passes(seconds=35)
    first = next(each for each in room.timeline if "I am looking for a driver" in each.body)
    assert first.replaced is not None
    assert "1 has been asked so far." in str(first.replaced["body"])
    assert "Bob" not in str(first.replaced["body"])
    world.check()


async def test_the_driver_cannot_come(world: RidesWorld) -> None:
    """Matched again, first in line, for the same price; who could not come is not asked again."""
    alice, bob = await world.rider("alice"), await world.driver("bob")
    await world.rides(alice)
    trip = await world.matched(alice, bob)
    await world.hears(alice)
    trip = await world.loses_driver(trip, bob)
    heard = said(await world.hears(alice))
    assert "The driver cannot come after all." in heard and "you are first in line" in heard
    assert "flat tyre" in heard
    assert (trip.state, trip.priority, trip.driver) == (S.SEARCHING, 1, "")
    carla = await world.driver("carla", OFFICE)
    again = await world.matched(alice, carla)
    assert again.id == trip.id and again.quoted == trip.quoted
    assert "Carla" in said(await world.hears(alice))
    assert await world.has(alice) == money("79.05")
    world.check()


# Cancelling


async def test_cancelling_before_a_driver_came_costs_nothing(world: RidesWorld) -> None:
    alice = await world.rider("alice")
    trip = await world.rides(alice)
    assert "Cancelling costs nothing now." in said(await world.says(alice, "cancel ride"))
    heard = await world.says(alice, "yes")
    assert heard == [f"Ride {trip.number} is cancelled. What was held goes back."]
    assert (await world.trip(trip)).state is S.CANCELLED
    assert await world.has(alice) == money("100.00")
    world.check()


async def test_who_says_no_rides_on(world: RidesWorld) -> None:
    alice = await world.rider("alice")
    trip = await world.rides(alice)
    await world.says(alice, "cancel ride")
    assert await world.says(alice, "no") == ["It stays as it was."]
    assert (await world.trip(trip)).state is S.SEARCHING
    world.check()


async def test_cancelling_late_costs_what_was_shown(world: RidesWorld) -> None:
    """The fee is shown first; when it has become more meanwhile, it is shown again before anything happens."""
    alice, bob = await world.rider("alice"), await world.driver("bob", HARBOUR)
    await world.rides(alice)
    trip = await world.matched(alice, bob)
    assert "Cancelling costs nothing now." in said(await world.says(alice, "cancel ride"))
    await world.passes(minutes=3, stand={bob: HARBOUR.point or Point(0, 0)})
    heard = said(await world.says(alice, "yes"))
    assert "It costs something else by now." in heard and "Cancelling costs €" in heard
    assert (await world.trip(trip)).state is S.MATCHED
    shown = world.fleet.quotes.cancel_charge(await world.trip(trip), world.clock.now())
    world.clock.advance(seconds=59)  # it has grown by then, and what was shown stands
    heard = said(await world.says(alice, "yes"))
    ended = await world.trip(trip)
    assert ended.state is S.CANCELLED_LATE and ended.due is not None
    assert f"is cancelled. €{ended.due.amount} is taken, the rest goes back." in heard
    assert shown is not None and ended.due == shown.due
    assert money("2.00") <= ended.due <= money("6.00")
    await world.passes(minutes=11, step=60)
    assert await world.has(alice) == money("100.00") - ended.due
    assert f"Cancellation fee: €{ended.due.amount}" in said(await world.hears(alice))
    world.check()


async def test_who_is_under_way_does_not_cancel(world: RidesWorld) -> None:
    alice, bob = await world.rider("alice"), await world.driver("bob")
    await world.rides(alice)
    await world.under_way(await world.matched(alice, bob), bob)
    assert "It is under way already" in said(await world.says(alice, "cancel ride"))
    world.check()


async def test_nobody_cancels_a_stranger(world: RidesWorld) -> None:
    alice, mallory = await world.rider("alice"), await world.rider("mallory")
    trip = await world.rides(alice)
    for words in (
        f"cancel ride {trip.number}",
        f"trip {trip.number}",
        f"share {trip.number}",
        f"receipt {trip.number}",
    ):
        assert "You have no such trip." in said(await world.says(mallory, words))
    world.check()


async def test_who_does_not_come(world: RidesWorld) -> None:
    alice, bob = await world.rider("alice"), await world.driver("bob")
    await world.rides(alice)
    trip = await world.arrived(await world.matched(alice, bob), bob)
    assert "They wait until" in said(await world.hears(alice))

    async def miss(ctx: Any) -> Any:
        return await world.fleet.trips.miss(ctx, await world.trip(trip), bob.user_id)

    with pytest.raises(TripRefused):
        await world.acts(bob, miss)
    await world.passes(minutes=5, seconds=1, step=30, stand={bob: MARKET.point or Point(0, 0)})
    await world.acts(bob, miss)
    heard = said(await world.hears(alice))
    assert "The driver has waited, and nobody came" in heard
    assert "The fee is €6.00; the rest of what was held goes back." in heard
    await world.passes(minutes=11, step=60)
    assert await world.has(alice) == money("94.00")
    assert "Fee for not coming: €6.00" in said(await world.hears(alice))
    world.check()


# Another way


async def test_another_destination_that_costs_more(world: RidesWorld) -> None:
    """Shown first, confirmed, the difference asked for in the wallet; then it is the way, and the fare of the end."""
    alice, bob = await world.rider("alice", "200"), await world.driver("bob")
    await world.rides(alice)
    trip = await world.under_way(await world.matched(alice, bob), bob)
    await world.says(alice, "destination")
    heard = said(await world.shares(alice, AIRPORT))
    assert "To Airport instead." in heard and "until now €18.45" in heard
    assert "You are asked to pay the difference." in heard
    heard = said(await world.says(alice, "yes"))
    assert heard.count("Please confirm") == 1
    asked = await world.trip(trip)
    assert asked.dropoff == OFFICE and asked.proposed is not None
    await world.pays(alice)
    after = await world.trip(trip)
    assert after.dropoff == AIRPORT and after.quoted > trip.quoted
    heard = said(await world.hears(alice))
    assert "is changed. It costs" in heard and "Please confirm" not in heard
    await world.completed(trip, bob)
    await world.passes(minutes=11, step=60)
    ended = await world.trip(trip)
    assert ended.due == after.quoted
    assert await world.has(alice) == money("200.00") - after.quoted
    world.check()


async def test_a_difference_that_is_not_paid(world: RidesWorld) -> None:
    alice, bob = await world.rider("alice", "200"), await world.driver("bob")
    await world.rides(alice)
    trip = await world.under_way(await world.matched(alice, bob), bob)
    await world.says(alice, "destination")
    await world.shares(alice, AIRPORT)
    await world.says(alice, "yes")
    assert "waits for your payment" in said(await world.says(alice, "destination"))
    await world.declines(alice)
    assert "The other way was not paid: it stays as it was." in said(await world.hears(alice))
    after = await world.trip(trip)
    assert (after.dropoff, after.quoted, after.proposed) == (OFFICE, trip.quoted, None)
    world.check()


async def test_a_shorter_way_costs_less_at_once(world: RidesWorld) -> None:
    alice, bob = await world.rider("alice"), await world.driver("bob")
    await world.rides(alice)
    trip = await world.matched(alice, bob)
    near = Place("Corner", Point(52.5281, 13.405))
    await world.says(alice, "destination")
    await world.shares(alice, near)
    heard = said(await world.says(alice, "yes"))
    assert "Changed. The ride costs €" in heard
    after = await world.trip(trip)
    assert after.dropoff == near and after.quoted < trip.quoted
    world.check()


async def test_a_stop_is_added(world: RidesWorld) -> None:
    alice, bob = await world.rider("alice"), await world.driver("bob")
    await world.rides(alice)
    trip = await world.matched(alice, bob)
    await world.says(alice, "add stop")
    heard = said(await world.shares(alice, HARBOUR))
    assert "A stop at Harbour 2." in heard
    assert "It stays as it was." in said(await world.says(alice, "no"))
    await world.says(alice, "add stop")
    await world.shares(alice, HARBOUR)
    await world.says(alice, "yes")
    await world.pays(alice)
    after = await world.trip(trip)
    assert [each.place for each in after.stops] == [HARBOUR]
    world.check()


async def test_a_way_out_of_the_city_is_refused(world: RidesWorld) -> None:
    alice = await world.rider("alice")
    trip = await world.rides(alice)
    await world.says(alice, "destination")
    heard = said(await world.shares(alice, Place("Paris", Point(48.85, 2.35))))
    assert "outside of where we drive" in heard and "Where would you like to go instead?" in heard
    assert (await world.trip(trip)).dropoff == OFFICE
    world.check()


# Talking


async def test_words_go_through_the_bot(world: RidesWorld) -> None:
    """Neither learns the other's account, in whatever way it is written."""
    alice, bob = await world.rider("alice"), await world.driver("bob")
    await world.rides(alice)
    trip = await world.matched(alice, bob)
    await world.hears(bob)
    for words in ("to driver: I am at the gate", "to driver I am at the gate", "@driver: I am at the gate"):
        await world.says(alice, words)
        heard = said(await world.hears(bob))
        assert f"Ride {trip.number}, Alice: I am at the gate" in heard
        assert "@alice" not in heard
    await world.hears(alice)
    await world.says(bob, "to rider: two minutes")
    heard = said(await world.hears(alice))
    assert f"Ride {trip.number}, Bob: two minutes" in heard
    assert "@bob" not in heard
    world.check()


async def test_words_are_for_the_trip_alone(world: RidesWorld) -> None:
    """Without a trip there is nobody to write to; a day after it neither."""
    alice, bob = await world.rider("alice"), await world.driver("bob")
    assert "You have no trip with a driver" in said(await world.says(alice, "to driver: hello"))
    assert "You have no trip whose rider" in said(await world.says(bob, "to rider: hello"))
    await world.rides(alice)
    trip = await world.under_way(await world.matched(alice, bob), bob)
    await world.completed(trip, bob)
    await world.hears(bob)
    world.clock.advance(hours=23)
    await world.says(alice, "cancel", "to driver: my umbrella")
    assert "my umbrella" in said(await world.hears(bob))
    world.clock.advance(hours=2)
    assert "You have no trip with a driver" in said(await world.says(alice, "to driver: hello"))
    assert "You have no trip whose rider" in said(await world.says(bob, "to rider: hello"))
    world.check()


async def test_words_have_an_end(world: RidesWorld) -> None:
    alice, bob = await world.rider("alice"), await world.driver("bob")
    await world.rides(alice)
    await world.matched(alice, bob)
    await world.hears(bob)
    assert "longer than 500 characters" in said(await world.says(alice, f"to driver: {'x' * 501}"))
    assert await world.hears(bob) == []
    world.check()


# Afterwards


async def ended(world: RidesWorld, alice: Person, bob: Person) -> Any:
    """A ride that is over."""
    await world.rides(alice)
    trip = await world.under_way(await world.matched(alice, bob), bob)
    return await world.completed(trip, bob)


async def test_stars_and_a_tip(world: RidesWorld) -> None:
    alice, bob = await world.rider("alice"), await world.driver("bob")
    trip = await ended(world, alice, bob)
    heard = said(await world.says(alice, "5"))
    assert "Thank you." in heard and "Would you like to give a tip?" in heard
    assert "€0.92" in heard and "€1.84" in heard and "€2.76" in heard
    await world.says(alice, "€1.84")
    await world.pays(alice)
    await world.passes(minutes=11, step=60)
    assert "Your tip is paid: €1.84." in said(await world.hears(alice))
    assert (await world.driver_of(bob)).rating == 5.0
    assert await world.has(bob) == money("14.12") + money("1.84")
    assert await world.has(alice) == money("100") - money("18.45") - money("1.84")
    assert "You have rated this trip already." in said(await world.says(alice, "rate", "4"))
    assert (await world.trip(trip)).tip == money("1.84")
    world.check()


async def test_few_stars_ask_why(world: RidesWorld) -> None:
    alice, bob = await world.rider("alice"), await world.driver("bob")
    await ended(world, alice, bob)
    assert "What was not good?" in said(await world.says(alice, "2"))
    assert await world.says(alice, "too fast") == ["Thank you."]
    assert (await world.driver_of(bob)).rating == 2.0
    world.check()


async def test_a_tip_of_ones_own(world: RidesWorld) -> None:
    alice, bob = await world.rider("alice"), await world.driver("bob")
    await ended(world, alice, bob)
    await world.says(alice, "Not now", "tip", "Another amount")
    for wrong in ("0", "-3", "500 EUR", "5 USD", "much"):
        assert "Please confirm" not in said(await world.says(alice, wrong)), wrong
    assert "Please confirm €3.00" in said(await world.says(alice, "3"))
    world.check()


async def test_something_was_left_in_the_car(world: RidesWorld) -> None:
    alice, bob = await world.rider("alice"), await world.driver("bob")
    trip = await ended(world, alice, bob)
    await world.hears(bob)
    await world.says(alice, "Not now", "lost")
    heard = said(await world.says(alice, "A red umbrella, on the back seat"))
    assert "The driver is told, and so is the operator." in heard
    heard = said(await world.hears(bob))
    assert "something was left in your car" in heard and "A red umbrella" in heard and "@alice" not in heard
    (case,) = await world.fleet.cases.of_trip(world, trip.id)
    assert case.kind.value == "lost_item"
    world.check()


async def test_a_dispute_leaves_the_money_held(world: RidesWorld) -> None:
    """Nothing is taken until the operator has decided; then what is left is taken, and the rider hears why."""
    alice, bob = await world.rider("alice"), await world.driver("bob")
    trip = await ended(world, alice, bob)
    await world.says(alice, "Not now", "dispute")
    heard = said(await world.says(alice, "He drove in circles"))
    assert "What is held stays held until then." in heard
    await world.passes(minutes=30, step=60)
    assert await world.has(alice) == money("79.05")
    payment = await world.payment_of(alice)
    assert payment.state is PaymentState.HELD
    assert "looking at it already" in said(await world.says(alice, "dispute", "Again"))
    (case,) = await world.fleet.cases.of_trip(world, trip.id)

    async def decide(ctx: Any) -> bool:
        await world.fleet.cases.decide(ctx, case, "@olga:world", "You are right.", money("10.00"))
        return True

    await world.acts(bob, decide)
    await world.passes(minutes=12, step=60)
    heard = said(await world.hears(alice))
    assert "The operator has answered" in heard and "You are right." in heard and "You get €10.00 back." in heard
    assert await world.has(alice) == money("91.55")
    world.check()


async def test_nothing_to_complain_about(world: RidesWorld) -> None:
    alice = await world.rider("alice")
    assert "You have no such trip." in said(await world.says(alice, "dispute"))
    await world.rides(alice)
    await world.says(alice, "cancel ride", "yes")
    assert "You have no such trip." in said(await world.says(alice, "lost"))
    world.check()


# Live positions


def beacons(world: RidesWorld, alice_room: Any) -> list[Any]:
    return [each for each in alice_room.timeline if each.type == "org.matrix.msc3672.beacon"]


async def test_the_driver_is_seen_coming(world: RidesWorld) -> None:
    """Live positions, then words at the moments that count; the state event names nobody and no place."""
    far = Place("Far", moved(MARKET.point or Point(0, 0), north_m=5000))
    alice, bob = await world.rider("alice"), await world.driver("bob", far)
    await world.rides(alice)
    trip = await world.matched(alice, bob)
    room = await world.chat(alice)
    await world.hears(alice)
    start = far.point or Point(0, 0)
    for part in range(1, 10):
        at = moved(start, north_m=-5000 * part / 10)
        await world.passes(seconds=60, step=15, stand={bob: at})
    heard = said(await world.hears(alice))
    assert heard.count("Half of the way to you is behind them") == 1
    infos = [each for each in room.timeline if each.type == "org.matrix.msc3672.beacon_info"]
    assert len(infos) == 1
    assert infos[0].state_key == RIDES
    assert infos[0].content["live"] is True
    assert set(infos[0].content) == {
        "description",
        "live",
        "timeout",
        "org.matrix.msc3488.ts",
        "org.matrix.msc3488.asset",
    }
    sent = beacons(world, room)
    assert len(sent) >= 9
    assert all(
        each.content["m.relates_to"] == {"rel_type": "m.reference", "event_id": infos[0].event_id} for each in sent
    )
    uris = [each.content["org.matrix.msc3488.location"]["uri"] for each in sent]
    assert len(set(uris)) == len(uris), "who has not moved is not sent again"
    await world.passes(seconds=60, step=15, stand={bob: moved(MARKET.point or Point(0, 0), north_m=200)})
    heard += said(await world.hears(alice))
    assert heard.count("Your driver is almost there.") == 1
    assert heard.index("Half of the way") < heard.index("almost there")
    trip = await world.under_way(trip, bob)
    await world.passes(seconds=60, step=15, stand={bob: moved(MARKET.point or Point(0, 0), north_m=-600)})
    assert len(beacons(world, room)) > len(sent)
    await world.completed(trip, bob)
    await world.passes(seconds=30)
    assert room.state["org.matrix.msc3672.beacon_info", RIDES]["live"] is False
    count = len(beacons(world, room))
    await world.passes(seconds=60, step=15, stand={bob: OFFICE.point or Point(0, 0)})
    assert len(beacons(world, room)) == count
    world.check()


async def test_without_power_there_are_words_only() -> None:
    async with RidesWorld(beacons=False) as world:
        alice, bob = await world.rider("alice"), await world.driver("bob", HARBOUR)
        await world.rides(alice)
        await world.matched(alice, bob)
        await world.passes(seconds=60, step=15, stand={bob: moved(MARKET.point or Point(0, 0), north_m=200)})
        room = await world.chat(alice)
        assert not beacons(world, room)
        assert "Your driver is almost there." in said(await world.hears(alice))
        world.check()


async def test_a_position_is_lost_and_found(world: RidesWorld) -> None:
    """Said once, with the place; once more only after it was there again."""
    alice, bob = await world.rider("alice"), await world.driver("bob", HARBOUR)
    await world.rides(alice)
    await world.matched(alice, bob)
    await world.hears(alice)
    await world.passes(minutes=4, step=15)
    heard = said(await world.hears(alice))
    assert heard.count("Nothing is heard of the driver's position just now.") == 1
    assert "Last seen here" in heard
    await world.passes(seconds=30, step=15, stand={bob: moved(HARBOUR.point or Point(0, 0), north_m=-100)})
    await world.passes(minutes=3, step=15)
    assert said(await world.hears(alice)).count("Nothing is heard") == 1
    world.check()


async def test_who_is_late_is_said_to_be(world: RidesWorld) -> None:
    alice, bob = await world.rider("alice"), await world.driver("bob", HARBOUR)
    await world.rides(alice)
    trip = await world.matched(alice, bob)
    await world.hears(alice)
    await world.passes(minutes=12, step=30, stand={bob: HARBOUR.point or Point(0, 0)})
    heard = said(await world.hears(alice))
    assert heard.count(f"Ride {trip.number} is later than was promised") == 1
    world.check()


async def test_a_position_that_jumps_is_not_believed(world: RidesWorld) -> None:
    """500 km in a second: neither the rider nor the estimate follows."""
    alice, bob = await world.rider("alice"), await world.driver("bob", HARBOUR)
    await world.rides(alice)
    await world.matched(alice, bob)
    room = await world.chat(alice)
    await world.passes(seconds=30, step=15, stand={bob: HARBOUR.point or Point(0, 0)})
    world.clock.advance(seconds=1)
    world.stands(bob, Point(48.1, 11.6))
    await world.passes(seconds=15)
    assert not any("48.1" in each.content["org.matrix.msc3488.location"]["uri"] for each in beacons(world, room))
    world.check()


# Sharing


async def test_a_trip_is_shared_until_it_ends(world: RidesWorld) -> None:
    alice, bob = await world.rider("alice"), await world.driver("bob", HARBOUR)
    await world.rides(alice)
    trip = await world.matched(alice, bob)
    await world.says(alice, "share")
    heard = await world.says(alice, "Roughly")
    page = await world.page_of(link_in(heard))
    assert "The driver is on the way to the pickup" in page and "Bob" in page and "At the pickup in" in page
    for secret in ("alice:", "bob:", trip.pin, trip.id, "Market Square", "Office Street", "18.45", trip.number):
        assert secret not in page
    await world.completed(await world.under_way(trip, bob), bob)
    page = await world.page_of(link_in(heard))
    assert "This trip has arrived" in page and "Bob" not in page
    await world.hears(alice)
    assert "You have no such trip." in said(await world.says(alice, "Not now", "share"))
    world.check()


async def test_sharing_is_ended(world: RidesWorld) -> None:
    alice, bob = await world.rider("alice"), await world.driver("bob")
    await world.rides(alice)
    await world.matched(alice, bob)
    link = link_in(await world.says(alice, "share", "Exactly"))
    assert "Bob" in await world.page_of(link)
    assert "Nobody sees any more" in said(await world.says(alice, "stop sharing"))
    world.clock.advance(seconds=1)
    assert "This link has ended" in await world.page_of(link)
    world.check()


async def test_without_pages_nothing_is_shared() -> None:
    async with RidesWorld(pages=False) as world:
        alice, bob = await world.rider("alice"), await world.driver("bob")
        await world.rides(alice)
        await world.matched(alice, bob)
        assert "has no pages" in said(await world.says(alice, "share"))
        world.check()


# Later, and again


async def test_a_ride_for_tomorrow(world: RidesWorld) -> None:
    """Nothing is held until shortly before; then it is asked for, and a driver is looked for."""
    alice, bob = await world.rider("alice"), await world.driver("bob")
    await world.says(alice, "ride tomorrow 8:00")
    await world.shares(alice, MARKET)
    assert "Wanted at" in said(await world.shares(alice, OFFICE))
    heard = said(await world.says(alice, "Standard", "Order it"))
    trip = await world.last_trip(alice)
    assert trip.state is S.SCHEDULED and f"Ride {trip.number} is ordered for" in heard
    assert await world.has(alice) == money("100.00")
    assert f"{trip.number} to Office Street 9" in said(await world.says(alice, "scheduled"))
    assert trip.wanted is not None
    world.clock.advance(trip.wanted - world.clock.now() - timedelta(minutes=20))
    await world.settle()
    heard = said(await world.hears(alice))
    assert "It is almost time for" in heard and "Please confirm" in heard
    await world.pays(alice)
    world.stands(bob, MARKET.point or Point(0, 0))
    assert (await world.trip(trip)).state is S.SEARCHING
    world.check()


async def test_a_ride_for_later_is_cancelled(world: RidesWorld) -> None:
    alice = await world.rider("alice")
    await world.says(alice, "ride tomorrow 8:00")
    await world.shares(alice, MARKET)
    await world.shares(alice, OFFICE)
    await world.says(alice, "Standard", "Order it")
    assert "Cancel it" in said(await world.says(alice, "scheduled", "1"))
    await world.says(alice, "Cancel it")
    assert "is cancelled. Nothing was paid." in said(await world.says(alice, "yes"))
    assert "You have ordered nothing for later." in said(await world.says(alice, "scheduled"))
    world.check()


@pytest.mark.parametrize(
    ("when", "why"), [("in 10 minutes", "too soon to order ahead"), ("in 60 days", "At most 30 days ahead")]
)
async def test_times_that_cannot_be(world: RidesWorld, when: str, why: str) -> None:
    alice = await world.rider("alice")
    assert why in said(await world.says(alice, f"ride {when}"))
    await world.says(alice, "ride")
    await world.shares(alice, MARKET)
    await world.shares(alice, OFFICE)
    assert why in said(await world.says(alice, "At another time", when))
    assert "Wanted at" not in said(await world.says(alice, "now"))
    world.check()


async def test_what_was(world: RidesWorld) -> None:
    alice, bob = await world.rider("alice"), await world.driver("bob")
    assert "You have had no trip yet." in said(await world.says(alice, "trips"))
    trip = await ended(world, alice, bob)
    await world.says(alice, "Not now")
    heard = said(await world.says(alice, "trips"))
    assert f"1. {trip.number} to Office Street 9" in heard and "completed" in heard
    heard = said(await world.says(alice, "1"))
    for action in ("Rate it", "Give a tip", "Show the receipt", "Something was left", "Complain", "Order it again"):
        assert action in heard
    assert "Which class?" in said(await world.says(alice, "Order it again"))
    world.check()


# Parcels


async def parcel(world: RidesWorld, alice: Person) -> tuple[Any, list[str]]:
    """A parcel that is ordered and paid, and what its sender was told."""
    await world.says(alice, "send")
    await world.shares(alice, MARKET)
    await world.shares(alice, OFFICE)
    await world.says(alice, "Ann Smith")
    heard = await world.says(alice, "A book, ring twice")
    assert "1. Courier" in said(heard) and "Standard" not in said(heard)
    told = await world.says(alice, "Courier", "Order it")
    await world.pays(alice)
    return await world.last_trip(alice), told


async def test_a_parcel(world: RidesWorld) -> None:
    """Both PINs to the sender, a link for who receives it, the name for the courier."""
    alice, bob = await world.rider("alice"), await world.driver("bob", services=("courier",))
    trip, told = await parcel(world, alice)
    heard = said(told)
    assert trip.kind is TripKind.COURIER and trip.passenger == "Ann Smith" and trip.note == "A book, ring twice"
    assert f"The PIN for the pickup: {trip.pin}" in heard
    assert f"Ann Smith tells the courier this PIN when it is handed over: {trip.dropoff_pin}" in heard
    page = await world.page_of(link_in(told))
    assert "A courier is being looked for" in page and trip.dropoff_pin not in page and trip.pin not in page
    await world.hears(alice)
    trip = await world.under_way(await world.matched(alice, bob), bob)
    heard = said(await world.hears(alice))
    assert "A courier is on the way." in heard and "The courier has it, and is on the way." in heard
    assert "It is on its way" in await world.page_of(link_in(told))
    trip = await world.completed(trip, bob)
    assert trip.state is S.COMPLETED
    assert "It is handed over to Ann Smith." in said(await world.hears(alice))
    world.check()


async def test_a_parcel_that_comes_back(world: RidesWorld) -> None:
    """It could not be handed over: a trip back, with a PIN of its own for the sender."""
    alice, bob = await world.rider("alice"), await world.driver("bob", services=("courier",))
    await parcel(world, alice)
    trip = await world.under_way(await world.matched(alice, bob), bob)
    await world.hears(alice)

    async def fail(ctx: Any) -> Any:
        return await world.fleet.trips.fail(ctx, await world.trip(trip), bob.user_id, "nobody opens")

    back = await world.acts(bob, fail)
    heard = said(await world.hears(alice))
    assert f"Parcel {trip.number} could not be handed over." in heard and "nobody opens" in heard
    assert "on its way back: the courier brings it back to Market Square 1." in heard
    assert f"Tell the courier this PIN when you have it back: {back.dropoff_pin}" in heard
    assert back.kind is TripKind.RETURN and back.of == trip.id
    await world.completed(back, bob)
    assert (await world.trip(back)).state is S.COMPLETED
    world.check()


async def test_a_parcel_needs_a_name(world: RidesWorld) -> None:
    alice = await world.rider("alice")
    await world.says(alice, "send")
    await world.shares(alice, MARKET)
    await world.shares(alice, OFFICE)
    assert "A name has 1 to 60 letters." in said(await world.says(alice, "-"))
    world.check()


# A room of the trip


async def test_a_room_of_the_trip() -> None:
    """Where the operator wants it, both write in a room; it is closed a day after the trip."""
    async with RidesWorld(settings={"riding": {"contact": "room"}}) as world:
        alice, bob = await world.rider("alice"), await world.driver("bob")
        await world.rides(alice)
        trip = await world.matched(alice, bob)
        both = {alice.user_id, bob.user_id}
        (room,) = [each for each in world.homeserver.rooms.values() if both <= set(each.members)]
        assert "Rider and driver can write here" in room.timeline[-1].body
        await world.completed(await world.under_way(trip, bob), bob)
        await world.passes(hours=23, step=3600)
        assert not [each for each in room.timeline if "closed" in str(each.content.get("body"))]
        await world.passes(hours=2, step=3600)
        assert any("This room is closed now." in str(each.content.get("body")) for each in room.timeline)
        assert room.state["m.room.power_levels", ""]["events_default"] == 100
        world.check()


# Crashes, and what stays secret


@pytest.mark.parametrize("commits", range(1, 16))
async def test_a_kill_while_ordering(commits: int) -> None:
    """Killed after any commit between the order and the search: one trip, one payment, one hold."""
    async with RidesWorld() as world:
        alice = await world.rider("alice")
        await world.says(alice, "ride")
        await world.shares(alice, MARKET)
        await world.shares(alice, OFFICE)
        await world.says(alice, "Standard")
        world.kill_after(commits)
        await world.says(alice, "Order it")
        await world.settle()
        await world.pays(alice)
        await world.settle()
        trips = await world.fleet.trips.of_rider(world, alice.user_id)
        assert [each.state for each in trips] == [S.SEARCHING]
        assert await world.has(alice) == money("79.05")
        heard = said([each.body for each in (await world.chat(alice)).timeline if each.sender == RIDES])
        assert heard.count("I am looking for a driver") == 1
        assert heard.count("Please confirm") == 1


async def test_nothing_private_is_in_state(world: RidesWorld) -> None:
    alice, bob = await world.rider("alice"), await world.driver("bob")
    await world.rides(alice)
    trip = await world.under_way(await world.matched(alice, bob), bob)
    await world.passes(seconds=40, stand={bob: MARKET.point or Point(0, 0)})
    await world.completed(trip, bob)
    for room in world.homeserver.rooms.values():
        for (kind, _key), content in room.state.items():
            text = str(content)
            for secret in (trip.pin, "52.5", "Market", "Office", "18.45", trip.number):
                assert secret not in text, kind
    world.check()


async def test_an_account_that_shows_no_name_has_none(world: RidesWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has set no name is “Rider” to the driver, and never the first part of their account."""
    alice, bob = await world.rider("alice"), await world.driver("bob")

    async def nameless(*_given: object) -> None:
        return None

    monkeypatch.setattr(WorldRooms, "display_name", nameless)
    await world.rides(alice)
    trip = await world.matched(alice, bob)
    assert trip.passenger == ""
    await world.hears(bob)
    await world.says(alice, "to driver: hello")
    heard = said(await world.hears(bob))
    assert "Rider: hello" in heard and "alice" not in heard.casefold()
    world.check()


async def test_the_house_keeps_what_is_its_own(world: RidesWorld) -> None:
    """What the rider pays is what driver and house get, to the cent."""
    alice, bob = await world.rider("alice"), await world.driver("bob")
    await ended(world, alice, bob)
    await world.passes(minutes=11, step=60)
    house = (await world.ledger.account("bot:rides", "EUR", AccountKind.MERCHANT)).available
    assert await world.has(alice) + await world.has(bob) + house == money("100.00")
    assert house == money("18.45") - money("14.12")
    world.check()
