"""Drivers in conversation: signed up, on duty, asked, on the way; what goes wrong on it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bots.domain.drivers import DriverState
from bots.domain.places import Point
from bots.domain.trips import TripState
from bots.framework.testing import Person
from bots.rides.dispatching import DispatchSettings
from tests.support.rides import HARBOUR, MARKET, OFFICE, RidesWorld, moved

pytestmark = pytest.mark.timeout(180)


def somewhere() -> Point:
    """The market."""
    assert MARKET.point is not None
    return MARKET.point


async def offered(world: RidesWorld, *names: str, **settings: Any) -> tuple[Person, list[Person]]:
    """A rider whose paid ride is offered to the first of these drivers."""
    alice = await world.rider("alice")
    drivers = [await world.driver(name, **settings) for name in names]
    await world.rides(alice)
    await world.hears(alice)
    await world.round()
    return alice, drivers


async def taken(world: RidesWorld) -> tuple[Person, Person]:
    """A rider, and the driver who has taken the ride by its card."""
    alice, (bob,) = await offered(world, "bob")
    await world.says(bob, 1)
    await world.hears(alice)
    return alice, bob


async def test_two_are_asked_at_once_where_the_operator_wants_that_and_one_has_it() -> None:
    async with RidesWorld(settings={"dispatch": {"wave_sizes": [2]}}) as world:
        alice, (bob, carla) = await offered(world, "bob", "carla")
        assert [(await world.driver_of(each)).offer != "" for each in (bob, carla)] == [True, True]
        await world.says(bob, 1)
        assert any("Bob" in said for said in await world.hears(alice))
        trip = await world.last_trip(alice)
        assert (trip.state, trip.driver) == (TripState.MATCHED, bob.user_id)
        assert (await world.driver_of(carla)).free
        said = await world.says(carla, 1)
        assert (await world.last_trip(alice)).driver == bob.user_id
        assert (await world.driver_of(carla)).trip == "", said


@pytest.mark.parametrize("sizes", [[], [0], [21], [1] * 11, "many"])
def test_waves_that_cannot_be_are_refused(sizes: Any) -> None:
    with pytest.raises(ValueError, match="wave_sizes"):
        DispatchSettings(wave_sizes=sizes)


# Signing up


async def sends_document(world: RidesWorld, person: Person) -> list[str]:
    """A photo; what the bot says then."""
    room = await world.chat(person)
    await person.hears_all(room)
    await person.sends_photo(room=room)
    return await world.hears_in(person, room)


async def test_signing_up_with_documents_and_being_approved() -> None:
    async with RidesWorld() as world:
        olga, dan = world.user("olga"), await world.owner("dan")
        await world.chat(olga)
        assert "no driver yet" in (await world.says(dan, "online"))[0]
        said = await world.says(dan, "drive", "Dan D.")
        assert said[-1].startswith("For which classes do you want to drive?")
        said = await world.says(dan, "1", "Toyota Prius", "blue", "B XY 12", "4")
        assert said[-1].startswith("Please send a photo of this document: driving licence.")
        assert "no photo" in (await world.says(dan, "here it is"))[-1]
        assert (await sends_document(world, dan))[-1] == "Until which day is it valid (driving licence)?"
        assert "for some time yet" in (await world.says(dan, "yesterday"))[-1]
        late = (world.clock.now() + timedelta(days=400)).strftime("%Y-%m-%d")
        assert "insurance" in (await world.says(dan, late))[-1]
        await sends_document(world, dan)
        assert "Dan D., blue Toyota Prius, B XY 12. Shall I ask" in (await world.says(dan, late))[-1]
        assert await world.says(dan, "yes") == ["I have asked. I tell you as soon as somebody has decided."]
        assert any("@dan:world wants to drive" in each for each in await world.hears(olga))
        driver = await world.driver_of(dan)
        assert [each.kind for each in driver.documents] == ["licence", "insurance"]
        assert "body" in driver.documents[0].content
        assert "You are a driver: waiting for approval." in (await world.says(dan, "drive"))[0]
        world.stands(dan, somewhere())
        assert "waiting for approval" in (await world.says(dan, "online"))[-1]
        await world.says(olga, "drivers reject @dan:world the photo is dark")
        assert (await world.hears(dan))[-1].startswith("You were not accepted as a driver: the photo is dark.")
        said = await world.says(dan, "drive")
        assert "the photo is dark. You can apply again." in said[0]
        await world.says(dan, "cancel")
        await world.says(olga, "drivers approve @dan:world")
        assert (await world.hears(dan))[-1] == "You may drive now! Write “online” when you want trips."
        assert "You are online" in (await world.says(dan, "online"))[-1]
        world.check()


async def test_a_courier_shows_nothing_and_a_small_car_drives_no_large_class() -> None:
    async with RidesWorld() as world:
        dan = await world.owner("dan")
        names = [each.name for each in world.fleet.tariff.classes.values()]
        courier = next(each for each in world.fleet.tariff.classes.values() if each.courier)
        await world.says(dan, "drive", "Dan", courier.label, "cargo bike", "red", "the one with the flag")
        said = await world.says(dan, "0")
        assert "Shall I ask" in said[-1], "who only brings things shows no licence"
        await world.says(dan, "yes")
        assert (await world.driver_of(dan)).services == {courier.name}
        assert courier.name in names
        eve = await world.owner("eve")
        await world.says(eve, "drive", "Eve", "Standard", "Smart", "white", "B E 1", "1")
        for _ in range(2):
            await sends_document(world, eve)
            said = await world.says(eve, (world.clock.now() + timedelta(days=90)).strftime("%Y-%m-%d"))
        assert "too few seats" in (await world.says(eve, "yes"))[-1]
        assert await world.fleet.drivers.get(world, eve.user_id) is None
        world.check()


async def test_a_chat_in_which_others_listen_is_no_place_for_it() -> None:
    async with RidesWorld() as world:
        bob, alice = await world.driver("bob"), world.user("alice")
        room = await world.room("group", bob, alice)
        for word in ("!drive", "!online", "!earnings", "!app token", "!accept"):
            assert "encrypted chat of our own" in (await world.says(bob, word, room=room))[-1], word
        world.check()


async def test_documents_are_reminded_of_and_expire() -> None:
    async with RidesWorld() as world:
        from bots.domain.drivers import Document

        def valid(days: int) -> tuple[Document, ...]:
            day = (world.clock.now() + timedelta(days=days)).date()
            return (Document("licence", {"body": "document", "url": "mxc://world/x"}, day),)

        bob = await world.driver("bob", documents=valid(8))
        world.clock.advance(days=1)
        await world.ticks("look_at_documents")
        assert any("expires in 7 days: driving licence" in each for each in await world.hears(bob))
        world.clock.advance(days=3)
        await world.ticks("look_at_documents")
        assert not any("expires" in each for each in await world.hears(bob)), "once a week, and on the day before"
        world.clock.advance(days=3)
        await world.ticks("look_at_documents")
        assert any("expires in 1 day: driving licence" in each for each in await world.hears(bob))
        world.clock.advance(days=2)
        await world.ticks("look_at_documents")
        said = await world.hears(bob)
        assert any("not valid any more: driving licence" in each for each in said)
        assert (await world.driver_of(bob)).state is DriverState.OFFLINE
        world.stands(bob, somewhere())
        assert "not valid any more" in (await world.says(bob, "online"))[-1]
        await world.says(bob, "documents", "driving licence")
        await sends_document(world, bob)
        late = (world.clock.now() + timedelta(days=400)).strftime("%Y-%m-%d")
        assert (await world.says(bob, late))[-1] == "Thank you. The operator can see it."
        assert "You are online" in (await world.says(bob, "online"))[-1]
        assert any("shows a new document" in each for each in await world.hears(world.user("olga")))
        world.check()


# On duty


async def test_online_asks_where_they_are() -> None:
    async with RidesWorld() as world:
        bob = await world.driver("bob", online=False)
        world.fleet.positions.forget(bob.user_id)
        assert (await world.says(bob, "online"))[-1].startswith("Where are you?")
        assert (await world.driver_of(bob)).state is DriverState.OFFLINE
        assert "You are online" in (await world.shares(bob, MARKET))[-1]
        assert (await world.driver_of(bob)).state is DriverState.ONLINE
        assert await world.says(bob, "online") == ["You are online already."]
        seen = world.fleet.positions.last(bob.user_id)
        assert seen is not None
        assert seen.position.point == somewhere()
        assert await world.says(bob, "offline") == ["You are offline."]
        assert world.fleet.positions.last(bob.user_id) is None, "who is offline is known no more"
        world.check()


async def test_live_positions_in_the_chat() -> None:
    async with RidesWorld() as world:
        bob = await world.driver("bob", online=False)
        world.fleet.positions.forget(bob.user_id)
        room = await world.chat(bob)
        await world.says(bob, "online")
        content: dict[str, Any] = {
            "m.relates_to": {"rel_type": "m.reference", "event_id": "$began"},
            "org.matrix.msc3488.location": {"uri": "geo:52.52,13.405;u=20"},
            "org.matrix.msc3488.ts": int(world.clock.now().timestamp() * 1000) - 500,
        }
        await world.send(room, bob.user_id, "org.matrix.msc3672.beacon", content)
        assert "You are online" in (await world.hears(bob))[-1]
        seen = world.fleet.positions.last(bob.user_id)
        assert seen is not None
        assert seen.position.accuracy_m == 20
        far: dict[str, Any] = {**content, "org.matrix.msc3488.location": {"uri": "geo:48.137,11.575"}}
        far["org.matrix.msc3488.ts"] += 1_000
        await world.send(room, bob.user_id, "org.matrix.msc3672.beacon", far)
        seen = world.fleet.positions.last(bob.user_id)
        assert seen is not None
        assert seen.doubtful, "nobody drives 500 km in a second"
        assert seen.position.point == Point(52.52, 13.405)
        await world.hears(bob)
        info = {"live": False, "org.matrix.msc3488.ts": 0, "timeout": 0}
        message = await world.send(room, bob.user_id, "org.matrix.msc3672.beacon", content)
        assert message.event_id
        raw = world._event(room, bob.user_id, "org.matrix.msc3672.beacon_info", info)
        raw["state_key"] = bob.user_id
        await world._happen(room, raw)
        assert "do not share your live location any more" in (await world.hears(bob))[-1]
        world.check()


async def test_nothing_heard_for_long_is_offline_and_a_break_is_a_break() -> None:
    async with RidesWorld() as world:
        bob = await world.driver("bob")
        assert "on a break" in (await world.says(bob, "break"))[-1]
        alice = await world.rider("alice")
        await world.rides(alice)
        await world.round()
        assert await world.hears(bob) == [], "who has a break is not asked"
        assert "You are online" in (await world.says(bob, "online"))[-1]
        world.clock.advance(minutes=20)
        await world.ticks("fleet_sweep")
        world.check()
        assert any("have not heard of you for 15 minutes" in each for each in await world.hears(bob))
        assert (await world.driver_of(bob)).state is DriverState.OFFLINE
        world.check()


async def test_who_is_not_seen_any_more_hears_so_once() -> None:
    async with RidesWorld() as world:
        bob, eve = await world.driver("bob"), await world.driver("eve")
        await world.ticks("watch_positions")
        for minute in range(6):
            world.clock.advance(minutes=1)
            world.stands(eve, somewhere())
            await world.ticks("watch_positions")
            said = [each for each in await world.hears(bob) if "do not know where you are any more" in each]
            assert len(said) == (1 if minute == 2 else 0), minute
        assert await world.hears(eve) == []
        world.check()


async def test_who_says_something_is_there() -> None:
    async with RidesWorld() as world:
        bob = await world.driver("bob")
        for _ in range(3):
            world.clock.advance(minutes=10)
            await world.says(bob, "busy")
            await world.ticks("fleet_sweep")
        assert (await world.driver_of(bob)).state is DriverState.ONLINE
        world.clock.advance(minutes=16)
        await world.ticks("fleet_sweep")
        assert (await world.driver_of(bob)).state is DriverState.OFFLINE
        world.check()


async def test_where_it_is_busy_and_zones() -> None:
    async with RidesWorld() as world:
        bob, alice = await world.driver("bob"), await world.rider("alice")
        assert await world.says(bob, "busy") == ["It is quiet everywhere just now."]
        await world.rides(alice)
        assert ": 1 waits" in (await world.says(bob, "busy"))[0]
        zones = [area.name for area in world.fleet.tariff.zones]
        assert zones, "the demo tariff has zones"
        said = await world.says(bob, "areas", zones[0])
        assert f"You are asked in: {zones[0]}." in said[-1]
        assert (await world.driver_of(bob)).zones == {zones[0]}
        assert await world.says(bob, "areas", "Everywhere") == ["You are asked everywhere."]
        world.check()


# Offers


async def test_an_offer_says_what_counts_and_not_who_it_is() -> None:
    async with RidesWorld() as world:
        alice, (bob,) = await offered(world, "bob")
        card = (await world.hears(bob))[-1]
        assert card.startswith("A ride is offered to you: Standard.\n")
        assert "to the pickup" in card
        assert "You earn €" in card
        assert "You have 2" in card
        assert "1. Accept" in card
        assert alice.user_id not in card
        assert "Office Street" not in card, "where it goes is nobody's affair before they have it"
        assert "Square 1" not in card
        world.check()


@pytest.mark.parametrize("answer", ["1", "Accept", "accept", "!accept", "yes"])
async def test_it_is_accepted_by_number_label_or_word(answer: str) -> None:
    async with RidesWorld() as world:
        alice, (bob,) = await offered(world, "bob")
        said = await world.says(bob, answer)
        trip = await world.last_trip(alice)
        assert (trip.state, trip.driver) == (TripState.MATCHED, bob.user_id), said
        assert "pick up" in said[-1]
        assert "geo:52.52,13.405" in said[-1]
        assert "https://www.openstreetmap.org/directions" in said[-1]
        assert trip.pin not in "\n".join(said)
        world.check()


async def test_it_is_accepted_by_a_reaction() -> None:
    async with RidesWorld() as world:
        alice, (bob,) = await offered(world, "bob")
        room = await world.chat(bob)
        card = [each for each in await bob.hears_all(room) if "is offered" in each.body][-1]
        await bob.reacts("✅", card, room=room)
        assert (await world.last_trip(alice)).driver == bob.user_id
        edits = [each for each in room.timeline if each.content.get("m.relates_to", {}).get("rel_type") == "m.replace"]
        assert "You have taken this offer" in edits[-1].content["body"]
        world.check()


@pytest.mark.parametrize("answer", ["2", "Decline", "decline", "❌"])
async def test_it_is_declined_and_somebody_else_is_asked(answer: str) -> None:
    async with RidesWorld() as world:
        alice, (bob, eve) = await offered(world, "bob", "eve")
        asked, other = (bob, eve) if any("offered" in each for each in await world.hears(bob)) else (eve, bob)
        if answer == "❌":
            room = await world.chat(asked)
            card = next(each for each in reversed(room.timeline) if "is offered" in str(each.content.get("body")))
            await asked.reacts("❌", card, room=room)
        else:
            assert (await world.says(asked, answer))[-1] == "I ask somebody else."
        await world.round()
        assert any("offered" in each for each in await world.hears(other))
        assert not any("offered" in each for each in await world.hears(asked))
        await world.says(other, 1)
        assert (await world.last_trip(alice)).driver == other.user_id
        world.check()


async def test_an_offer_that_lapses_is_over() -> None:
    async with RidesWorld() as world:
        _alice, (bob,) = await offered(world, "bob")
        room = await world.chat(bob)
        world.clock.advance(seconds=26)
        world.stands(bob, somewhere())
        await world.round()
        edits = [each for each in room.timeline if each.content.get("m.relates_to", {}).get("rel_type") == "m.replace"]
        assert "is over: not answered in time" in edits[-1].content["body"]
        await world.hears(bob)
        said = await world.says(bob, "Accept")
        assert "not answered in time" in said[-1] or "No trip is offered" in said[-1]
        world.check()


async def test_lost_to_somebody_else() -> None:
    """Two are asked at once: one has it, the other is told, and acts on an old card in vain."""
    async with RidesWorld() as world:
        alice, (bob,) = await offered(world, "bob")
        trip = await world.last_trip(alice)
        room = await world.chat(bob)

        async def cancels(ctx: Any) -> Any:
            now = await world.fleet.trips.get(ctx, trip.id)
            assert now is not None
            return await world.fleet.trips.cancel(ctx, now, alice.user_id, "changed my mind")

        await world.acts(alice, cancels)
        edits = [each for each in room.timeline if each.content.get("m.relates_to", {}).get("rel_type") == "m.replace"]
        assert "taken by somebody else, or not needed any more" in edits[-1].content["body"]
        card = next(each for each in reversed(room.timeline) if "is offered" in str(each.content.get("body")))
        await world.hears(bob)
        await bob.reacts("✅", card, room=room)
        assert "taken by somebody else" in (await world.hears(bob))[-1]
        assert (await world.driver_of(bob)).trip == ""
        world.check()


async def test_three_in_a_row_are_a_break() -> None:
    async with RidesWorld(settings={"search_seconds": 600}) as world:
        bob = await world.driver("bob")
        for name in ("alice", "carla", "dora"):
            await world.rides(await world.rider(name))
        for _ in range(4):
            await world.round()
            world.clock.advance(seconds=26)
            world.stands(bob, somewhere())
        assert (await world.driver_of(bob)).state is DriverState.BREAK
        assert any("let 3 offers in a row pass" in each for each in await world.hears(bob))
        world.check()


async def test_a_number_that_is_none_shows_the_offer_again() -> None:
    async with RidesWorld() as world:
        alice, (bob,) = await offered(world, "bob")
        said = await world.says(bob, 7)
        assert said[-1].startswith("A ride is offered to you")
        room = await world.chat(bob)
        await bob.reacts("✅", room=room)
        assert (await world.last_trip(alice)).driver == bob.user_id, "the card that was shown last counts"
        world.check()


async def test_a_number_that_is_none_shows_the_card_again() -> None:
    async with RidesWorld() as world:
        alice, bob = await taken(world)
        said = await world.says(bob, 9)
        assert "pick up" in said[-1]
        assert await world.says(bob, "hm") != said, "talk is no answer"
        assert "pick up" in (await world.says(bob, "job"))[-1]
        assert (await world.last_trip(alice)).state is TripState.MATCHED
        world.check()


# The way


async def test_a_whole_ride() -> None:
    async with RidesWorld() as world:
        alice, bob = await taken(world)
        trip = await world.last_trip(alice)
        said = await world.says(bob, "arrived")
        assert "tells you a PIN" in said[-1]
        assert "If nobody comes until" in said[-1]
        said = await world.says(bob, f"start {trip.pin[:2]} {trip.pin[2:]}")
        assert "drive to the destination" in said[-1]
        assert "Office Street 9" in said[-1]
        assert OFFICE.point is not None
        world.clock.advance(minutes=15)
        world.stands(bob, OFFICE.point)
        said = await world.says(bob, "end")
        assert "is done, thank you. You have earned €" in said[-1]
        assert "“rate rider 5”" in said[-1]
        assert (await world.trip(trip)).state is TripState.COMPLETED
        assert await world.says(bob, "job") == ["You have no trip."]
        assert await world.says(bob, "rate rider 5") == ["Thank you."]
        assert await world.says(bob, "rate rider 4") == ["You have rated this trip already."]
        assert await world.fleet.drivers.stars_of(world, alice.user_id) == 5
        assert "1 to 5" in (await world.says(bob, "rate rider 7"))[-1]
        world.check()


async def test_far_away_is_asked_about() -> None:
    async with RidesWorld() as world:
        alice, bob = await taken(world)
        trip = await world.last_trip(alice)
        world.clock.advance(seconds=60)
        world.stands(bob, moved(somewhere(), north_m=900))
        said = await world.says(bob, "I am there")
        assert said[-1].startswith("You are 900 m away from there.")
        assert await world.says(bob, "no") == ["Then not."]
        assert (await world.trip(trip)).state is TripState.MATCHED
        await world.says(bob, 1, "yes")
        assert (await world.trip(trip)).state is TripState.ARRIVED
        await world.says(bob, f"start {trip.pin}")
        said = await world.says(bob, "end")
        assert "away from there" in said[-1], "the destination is far"
        await world.says(bob, "yes")
        assert (await world.trip(trip)).state is TripState.COMPLETED
        world.check()


async def test_five_wrong_pins_lock() -> None:
    async with RidesWorld() as world:
        alice, bob = await taken(world)
        trip = await world.last_trip(alice)
        wrong = "0000" if trip.pin != "0000" else "1111"
        said = await world.says(bob, "arrived", "They told me the PIN")
        assert said[-1] == "Which four digits have they told you?"
        assert "four digits" in (await world.says(bob, "what?"))[-1]
        for left in (4, 3, 2, 1):
            said = await world.says(bob, wrong)
            tries = "tries are" if left > 1 else "try is"
            assert f"That is not it. {left} {tries} left." in said[0]
        await world.says(bob, wrong)
        said = await world.says(bob, f"start {trip.pin}")
        assert "Too many wrong PINs" in said[-1]
        assert (await world.trip(trip)).state is TripState.ARRIVED
        world.check()


async def test_the_rider_does_not_come() -> None:
    async with RidesWorld() as world:
        alice, bob = await taken(world)
        trip = await world.last_trip(alice)
        await world.says(bob, "arrived")
        said = await world.says(bob, "no-show")
        assert (await world.trip(trip)).state is TripState.ARRIVED, said
        await world.passes(minutes=6, step=60, stand={bob: somewhere()})
        said = await world.hears(bob)
        assert any("You have waited long enough" in each and "you earn €" in each for each in said)
        assert "Nobody came" in said[-1]
        assert "You earn €" in (await world.says(bob, "no-show"))[-1]
        assert "Thank you for waiting. You have earned €" in (await world.says(bob, "yes"))[-1]
        assert (await world.trip(trip)).state is TripState.NO_SHOW
        world.check()


async def test_given_up_with_a_reason_it_is_first_in_line() -> None:
    async with RidesWorld() as world:
        alice, bob = await taken(world)
        trip = await world.last_trip(alice)
        said = await world.says(bob, "give up")
        assert "Why can you not do it?" in said[-1]
        said = await world.says(bob, "Something else", "flat tyre")
        assert said[-1].startswith("I look for somebody else.")
        after = await world.trip(trip)
        assert (after.state, after.priority, after.reason) == (TripState.SEARCHING, 1, "flat tyre")
        assert bob.user_id in after.declined
        eve = await world.driver("eve")
        await world.round()
        assert any("offered" in each for each in await world.hears(eve))
        assert not any("offered" in each for each in await world.hears(bob))
        world.check()


async def test_the_rider_cancels_and_the_driver_is_told() -> None:
    async with RidesWorld() as world:
        alice, bob = await taken(world)
        trip = await world.last_trip(alice)
        await world.hears(bob)

        async def cancels(ctx: Any) -> Any:
            now = await world.fleet.trips.get(ctx, trip.id)
            assert now is not None
            return await world.fleet.trips.cancel(ctx, now, alice.user_id, "late")

        await world.acts(alice, cancels)
        assert "was cancelled. You need not go on." in (await world.hears(bob))[-1]
        said = await world.says(bob, "arrived")
        assert said == ["You have no trip."]
        assert (await world.driver_of(bob)).trip == ""
        world.check()


async def test_suspended_on_the_way() -> None:
    async with RidesWorld() as world:
        alice, bob = await taken(world)
        olga = world.user("olga")
        await world.hears(bob)
        await world.says(olga, "suspend @bob:world drove too fast")
        said = await world.hears(bob)
        assert any("goes to somebody else" in each for each in said)
        assert any("You are suspended as a driver for now: drove too fast" in each for each in said)
        assert (await world.last_trip(alice)).state is TripState.SEARCHING
        assert "suspended" in (await world.says(bob, "online"))[-1]
        world.check()


async def test_offline_in_the_middle_of_a_trip_is_refused() -> None:
    async with RidesWorld() as world:
        _alice, bob = await taken(world)
        assert "You have a trip already: finish it first." in (await world.says(bob, "offline"))[-1]
        assert (await world.driver_of(bob)).state is DriverState.ONLINE
        world.check()


async def test_stops_on_the_way() -> None:
    async with RidesWorld() as world:
        alice, bob = await taken(world)
        trip = await world.last_trip(alice)

        async def adds(ctx: Any) -> Any:
            now = await world.fleet.trips.get(ctx, trip.id)
            assert now is not None
            way = await world.fleet.quotes.way(ctx, now, stops=(HARBOUR,))
            return await world.fleet.trips.propose(ctx, now, way, alice.user_id)

        await world.acts(alice, adds)
        await world.pays(alice)
        assert any("the way has changed" in each for each in await world.hears(bob))
        await world.says(bob, "arrived")
        said = await world.says(bob, f"start {trip.pin}")
        assert "1 stop left" in said[-1]
        assert "Harbour 2" in said[-1]
        said = await world.says(bob, "next")
        assert "Office Street 9" in said[-1]
        assert "ordered" not in (await world.says(bob, "next"))[-1]
        assert (await world.trip(trip)).state is TripState.UNDER_WAY
        world.check()


async def test_a_restart_in_between_changes_nothing() -> None:
    async with RidesWorld() as world:
        alice, (bob,) = await offered(world, "bob")
        await world.restart(kill=True)
        await world.says(bob, 1)
        trip = await world.last_trip(alice)
        assert trip.driver == bob.user_id
        await world.restart(kill=True)
        await world.says(bob, 1)
        assert (await world.trip(trip)).state is TripState.ARRIVED
        await world.says(bob, 1)
        await world.restart(kill=True)
        await world.says(bob, trip.pin)
        assert (await world.trip(trip)).state is TripState.UNDER_WAY
        world.check()


async def test_who_is_suspended_or_waits_is_not_offline_by_saying_so() -> None:
    async with RidesWorld() as world:
        bob, olga = await world.driver("bob"), world.user("olga")
        await world.says(olga, "suspend @bob:world papers")
        await world.hears(bob)
        assert "suspended" in (await world.says(bob, "offline"))[-1]
        assert "suspended" in (await world.says(bob, "break"))[-1]
        assert (await world.driver_of(bob)).state is DriverState.SUSPENDED
        await world.says(olga, "reinstate @bob:world")
        assert "You may drive again" in (await world.hears(bob))[-1]
        world.check()


async def test_the_operator_gives_a_trip() -> None:
    async with RidesWorld() as world:
        alice, bob = await world.rider("alice"), await world.driver("bob")
        olga = world.user("olga")
        trip = await world.rides(alice)
        await world.says(olga, f"assign {trip.number} @bob:world")
        said = await world.hears(bob)
        assert "The operator has given you a trip." in said
        assert "pick up" in said[-1]
        await world.says(bob, 1)
        assert (await world.trip(trip)).state is TripState.ARRIVED
        world.check()


@pytest.mark.parametrize("commits", range(1, 9))
async def test_killed_at_any_moment_of_a_ride(commits: int) -> None:
    """The service dies after so many commits of each step: one driver, one trip, one fare, nothing asked twice."""
    async with RidesWorld() as world:
        alice, (bob,) = await offered(world, "bob")
        trip = await world.last_trip(alice)
        for step in ("accept", "arrived", f"start {trip.pin}"):
            world.kill_after(commits)
            await world.says(bob, step)
        world.clock.advance(minutes=15)
        assert OFFICE.point is not None
        world.stands(bob, OFFICE.point)
        world.kill_after(commits)
        await world.says(bob, "end")
        await world.settle()
        ended = await world.trip(trip)
        assert (ended.state, ended.driver) == (TripState.COMPLETED, bob.user_id)
        driver = await world.driver_of(bob)
        assert (driver.trip, driver.offer) == ("", "")
        steps = [each.action for each in await world.fleet.trips.steps(world, trip.id)]
        assert [each for each in steps if each in {"match", "arrive", "start", "complete"}] == [
            "match", "arrive", "start", "complete"
        ]  # fmt: skip
        await world.passes(minutes=15, step=300)
        assert ended.due is not None
        assert await world.has(bob) == ended.earning
        room = await world.chat(bob)
        cards = [each.body for each in room.timeline if "1. I am there" in str(each.content.get("body"))]
        assert len(cards) == 1, "each card is shown once"


async def test_in_the_drivers_language() -> None:
    async with RidesWorld() as world:
        alice, bob = await world.rider("alice"), await world.driver("bob")
        await world.says(bob, "language de")
        trip = await world.rides(alice)
        await world.round()
        card = (await world.hears(bob))[-1]
        assert card.startswith("Ihnen wird eine Fahrt angeboten: Standard.")
        assert "1. Annehmen" in card
        said = await world.says(bob, "annehmen")
        assert "Ich bin da" in said[-1]
        await world.says(bob, "Ich bin da")
        assert (await world.trip(trip)).state is TripState.ARRIVED
        world.check()
