"""The operators' office: what they see and decide about trips, drivers, disputes and surge; all of it is audited, and
people are told once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from bots.domain.drivers import Document, DriverState
from bots.domain.ledger import AccountKind, Transfer
from bots.domain.money import Money
from bots.domain.trips import Trip, TripState
from bots.fleet.cases import TripCase, TripCaseKind
from bots.framework import Context
from bots.framework.testing import Person, Room
from bots.framework.testing.world import BOT_SERVER
from tests.support.rides import HARBOUR, MARKET, OPERATOR, RIDES, RidesWorld


@pytest.fixture
async def world() -> AsyncIterator[RidesWorld]:
    async with RidesWorld() as made:
        yield made


@pytest.fixture
async def olga(world: RidesWorld) -> Person:
    """An operator."""
    return world.user("olga")


async def decisions(world: RidesWorld) -> list[tuple[str, str, str, dict[str, Any]]]:
    """Actor, action, subject and details of what is in the audit log, of the office."""
    return [
        (each.actor, each.action, each.subject, dict(each.details or {}))
        for each in reversed(await world.audit.list())
        if each.action.startswith(("ride.", "driver.", "surge."))
    ]


async def done(world: RidesWorld, alice: Person, bob: Person) -> Trip:
    """A ride that came to its end, and is paid."""
    await world.rides(alice)
    trip = await world.matched(alice, bob)
    trip = await world.completed(await world.under_way(trip, bob), bob)
    await world.passes(minutes=11, step=60)
    return await world.trip(trip)


async def house_gets(world: RidesWorld, amount: str) -> None:
    """The bot's account gets money from outside."""
    source = await world.ledger.account("provider:test", "EUR", AccountKind.PROVIDER)
    account = await world.ledger.account("bot:rides", "EUR", AccountKind.MERCHANT)
    transfer = Transfer("test house", source.id, account.id, Money.of(amount, "EUR"), "top_up")
    (outcome,) = await world.ledger.execute([transfer])
    assert outcome.done, outcome


# Who may


async def test_only_operators_operate(world: RidesWorld, olga: Person) -> None:
    alice = await world.rider("alice")
    trip = await world.rides(alice)
    for words in ("board", f"board trip {trip.number}", f"stop trip {trip.number} because", "drivers", "surge",
                  "disputes", f"refund {trip.number} all because", f"suspend {alice.user_id} because"):  # fmt: skip
        answer = "\n".join(await world.says(alice, words))
        assert OFFICE_WORD not in answer
        assert trip.pickup.text not in answer
    assert (await world.trip(trip)).state is TripState.SEARCHING
    assert await decisions(world) == []


OFFICE_WORD = "Drivers online"


async def test_what_people_do_is_not_told_among_others(world: RidesWorld, olga: Person) -> None:
    alice = await world.rider("alice")
    trip = await world.rides(alice)
    room = Room(f"!office:{BOT_SERVER}", {person.user_id: "join" for person in (olga, alice)})
    world.homeserver.rooms[room.room_id] = room
    await world.change_member(room, RIDES, "join")
    for words in ("!board", f"!board trip {trip.number}", "!drivers", "!disputes", "!surge"):
        (text,) = await world.says(olga, words, room=room)
        assert "please write to me in an encrypted chat of our own" in text


# The board


async def test_the_board_in_chat_says_who_waits(world: RidesWorld, olga: Person) -> None:
    alice, bob = await world.rider("alice"), await world.driver("bob")
    await world.driver("carla", online=False)
    trip = await world.rides(alice)
    await world.passes(minutes=1, step=20)
    (text,) = await world.says(olga, "board")
    assert "Waiting: 1. With a driver: 0. For later: 0." in text
    assert "Drivers online: 1." in text
    assert f"{trip.number}: standard, waiting for 1 min, from {trip.pickup.text}" in text
    trip = await world.matched(alice, bob)
    (text,) = await world.says(olga, "board")
    assert "Waiting: 0. With a driver: 1." in text
    (text,) = await world.says(olga, "board trips")
    assert trip.number in text
    assert "a driver is on the way" in text


async def test_all_about_a_trip_but_its_pin(world: RidesWorld, olga: Person) -> None:
    alice, bob = await world.rider("alice"), await world.driver("bob")
    await world.rides(alice)
    trip = await world.matched(alice, bob)
    (text,) = await world.says(olga, f"board trip {trip.number.lower()}")
    for words in (trip.number, MARKET.text, alice.user_id, bob.user_id, "B-BO 123", f"€{trip.quoted.amount}"):
        assert words in text
    assert trip.pin not in text
    (text,) = await world.says(olga, "board trip 999999")
    assert text == "There is no trip 999999."


# Assigning and stopping


async def test_a_trip_is_given_to_a_driver(world: RidesWorld, olga: Person) -> None:
    alice, bob = await world.rider("alice"), await world.driver("bob", HARBOUR)
    trip = await world.rides(alice)
    await world.hears(alice)
    (text,) = await world.says(olga, f"assign {trip.number} {bob.user_id}")
    assert "is Bob's now" in text
    trip = await world.trip(trip)
    assert (trip.state, trip.driver) == (TripState.MATCHED, bob.user_id)
    assert (await world.driver_of(bob)).trip == trip.id
    told = await world.hears(bob)
    assert sum("given you a trip" in each for each in told) == 1
    assert sum("Bob" in each for each in await world.hears(alice)) == 1
    assert await decisions(world) == [(OPERATOR, "ride.assign", f"trip:{trip.id}", {"driver": bob.user_id})]


async def test_a_trip_is_given_to_nobody_who_cannot(world: RidesWorld, olga: Person) -> None:
    alice, dave = await world.rider("alice"), await world.rider("dave")
    bob = await world.driver("bob")
    await world.rides(alice)
    await world.matched(alice, bob)
    trip = await world.rides(dave, HARBOUR)
    for who, words in (
        (bob.user_id, ""),
        (alice.user_id, f"{alice.user_id} is no driver here."),
        ((await world.driver("carla", online=False)).user_id, ""),
    ):
        (text,) = await world.says(olga, f"assign {trip.number} {who}")
        assert text
        assert words in text
        assert (await world.trip(trip)).state is TripState.SEARCHING
    assert await decisions(world) == []


async def test_two_operators_assign_one_trip_and_one_of_them_does(world: RidesWorld, olga: Person) -> None:
    alice, bob, carla = await world.rider("alice"), await world.driver("bob"), await world.driver("carla", HARBOUR)
    trip = await world.rides(alice)
    await world.says(olga, f"assign {trip.number} {bob.user_id}")
    (text,) = await world.says(olga, f"assign {trip.number} {carla.user_id}")
    assert "not possible any more" in text
    assert (await world.trip(trip)).driver == bob.user_id
    assert not (await world.driver_of(carla)).trip
    assert len(await decisions(world)) == 1


async def test_a_trip_is_stopped_and_everything_goes_back(world: RidesWorld, olga: Person) -> None:
    alice, bob = await world.rider("alice"), await world.driver("bob")
    await world.rides(alice)
    trip = await world.under_way(await world.matched(alice, bob), bob)
    await world.hears(alice)
    await world.hears(bob)
    (text,) = await world.says(olga, f"stop trip {trip.number}")
    assert text == "Please say why: rider and driver are told."
    (text,) = await world.says(olga, f"stop trip {trip.number} the road is closed")
    assert "stopped by the operator" in text
    await world.settle()
    assert (await world.trip(trip)).state is TripState.STOPPED
    assert await world.has(alice) == Money.of("100.00", "EUR")
    assert (await world.driver_of(bob)).trip == ""
    assert sum("stopped" in each for each in await world.hears(alice)) == 1
    assert sum("stopped" in each for each in await world.hears(bob)) == 1
    (text,) = await world.says(olga, f"stop trip {trip.number} again")
    assert "not possible any more" in text
    assert await decisions(world) == [(OPERATOR, "ride.stop", f"trip:{trip.id}", {"reason": "the road is closed"})]


# Money


async def test_a_refund_is_never_more_than_was_paid_and_twice_says_so(world: RidesWorld, olga: Person) -> None:
    alice, bob = await world.rider("alice"), await world.driver("bob")
    trip = await done(world, alice, bob)
    paid, before = trip.due, await world.has(alice)
    assert paid is not None
    for words, answer in (
        (f"refund {trip.number} 500 too late", "can be given back"),
        (f"refund {trip.number} 0 too late", "above nought"),
        (f"refund {trip.number} five too late", "not an amount"),
        (f"refund {trip.number} 5 USD too late", "EUR"),
        (f"refund {trip.number} 5.00", "Please say why"),
    ):
        (text,) = await world.says(olga, words)
        assert answer in text, (words, text)
    assert await world.has(alice) == before
    assert await decisions(world) == []
    await world.hears(alice)
    (text,) = await world.says(olga, f"refund {trip.number} 3.00 EUR the driver got lost")
    assert "€3.00" in text
    await world.settle()
    assert await world.has(alice) == before + Money.of("3.00", "EUR")
    assert sum("3.00" in each for each in await world.hears(alice)) == 1
    (text,) = await world.says(olga, f"refund {trip.number} 3.00 the driver got lost")
    assert "went back already: 3.00 EUR" in text
    assert await world.has(alice) == before + Money.of("3.00", "EUR")
    await house_gets(world, "50")  # what the driver has got already comes from the operator
    (text,) = await world.says(olga, f"refund {trip.number} all again because it was bad")
    await world.settle()
    assert await world.has(alice) == before + paid
    (text,) = await world.says(olga, f"refund {trip.number} 0.01 again more")
    assert "0.01" not in text
    await world.settle()
    assert await world.has(alice) == before + paid
    assert [(action, details["amount"]) for _, action, _, details in await decisions(world)] == [
        ("ride.refund", "3.00 EUR"), ("ride.refund", str(paid - Money.of("3.00", "EUR"))),
    ]  # fmt: skip


# Drivers


async def test_drivers_are_listed_shown_suspended_and_reinstated(world: RidesWorld, olga: Person) -> None:
    alice, bob = await world.rider("alice"), await world.driver("bob")
    (text,) = await world.says(olga, "drivers")
    assert f"{bob.user_id}: Bob, blue Toyota Prius (B-BO 123): online" in text
    (text,) = await world.says(olga, f"drivers show {bob.user_id}")
    assert "Drives for: standard" in text
    await world.rides(alice)
    trip = await world.matched(alice, bob)
    await world.hears(bob)
    (text,) = await world.says(olga, f"suspend {bob.user_id}")
    assert text == "Please say why: they are told."
    (text,) = await world.says(olga, f"suspend {bob.user_id} no licence")
    assert text == f"{bob.user_id}: suspended by the operator"
    trip = await world.trip(trip)
    assert (trip.state, trip.driver, trip.priority) == (TripState.SEARCHING, "", 1)
    assert (await world.driver_of(bob)).state is DriverState.SUSPENDED
    assert sum("no licence" in each for each in await world.hears(bob)) == 1
    (text,) = await world.says(olga, f"suspend {bob.user_id} no licence")
    assert text == f"That is not possible: {bob.user_id} is suspended by the operator."
    (text,) = await world.says(olga, f"reinstate {bob.user_id}")
    assert text == f"{bob.user_id}: offline"
    assert len(await world.hears(bob)) == 1
    (text,) = await world.says(olga, f"suspend {alice.user_id} whatever")
    assert text == f"{alice.user_id} is no driver here."
    assert [(action, details) for _, action, _, details in await decisions(world)] == [
        ("driver.suspend", {"reason": "no licence"}), ("driver.reinstate", {}),
    ]  # fmt: skip


# Disputes


async def test_a_dispute_is_decided_once(world: RidesWorld, olga: Person) -> None:
    alice, bob = await world.rider("alice"), await world.driver("bob")
    await world.rides(alice)
    trip = await world.completed(await world.under_way(await world.matched(alice, bob), bob), bob)

    async def complain(ctx: Context) -> TripCase:
        there = await world.fleet.trips.get(ctx, trip.id)
        assert there is not None
        return await world.fleet.cases.open(ctx, there, TripCaseKind.DISPUTE, alice.user_id, "He took the long way")

    await world.hears(olga)
    await world.acts(alice, complain)
    told = "\n".join(await world.hears(olga))
    assert "A case waits for you" in told
    assert "He took the long way" in told
    (text,) = await world.says(olga, "disputes")
    assert trip.number in text
    await world.passes(minutes=30, step=120)
    assert await world.driver_has(bob) == Money.zero("EUR")  # the money waits
    (text,) = await world.says(olga, f"disputes settle {trip.number} 2.00")
    assert text == "Please say why: they are told."
    await world.hears(alice)
    (text,) = await world.says(olga, f"disputes settle {trip.number} 2.00 that was a detour")
    assert "Decided. €2.00" in text
    await world.passes(minutes=15, step=60)
    trip = await world.trip(trip)
    assert not trip.disputed
    assert await world.has(alice) == Money.of("100.00", "EUR") - trip.quoted + Money.of("2.00", "EUR")
    assert await world.driver_has(bob) > Money.zero("EUR")
    assert any("that was a detour" in each for each in await world.hears(alice))
    (text,) = await world.says(olga, f"disputes close {trip.number} no")
    assert text == "That is decided already: that was a detour"
    (text,) = await world.says(olga, "disputes")
    assert text == "There are none."
    assert [action for _, action, _, _ in await decisions(world)] == ["ride.decide"]


async def test_what_was_left_behind_is_answered(world: RidesWorld, olga: Person) -> None:
    alice, bob = await world.rider("alice"), await world.driver("bob")
    trip = await done(world, alice, bob)

    async def lose(ctx: Context) -> TripCase:
        return await world.fleet.cases.open(ctx, trip, TripCaseKind.LOST_ITEM, alice.user_id, "A green umbrella")

    await world.says(olga, "disputes")
    await world.acts(alice, lose)
    assert sum("A green umbrella" in each for each in await world.hears(olga)) == 1
    await world.hears(alice)
    (text,) = await world.says(olga, f"disputes close {trip.number} It lies in the office")
    assert text == f"Decided. The case of trip {trip.number} is closed."
    assert await world.hears(alice) == [f"The operator answers about trip {trip.number}: It lies in the office"]


async def test_nobody_complains_of_most_trips(world: RidesWorld, olga: Person) -> None:
    alice = await world.rider("alice")
    trip = await world.rides(alice)
    (text,) = await world.says(olga, f"disputes close {trip.number} whatever")
    assert text == f"Nobody complains of trip {trip.number}."


# Surge


async def test_surge_is_counted_shown_and_set_up_to_its_cap(world: RidesWorld, olga: Person) -> None:
    (text,) = await world.says(olga, "surge")
    assert "centre: × 1: 0 wait, 0 are free; at most 180 %" in text
    assert "airport: × 1: 0 wait, 0 are free; at most 130 %" in text
    for words, answer in (
        ("surge set centre 181 1 hour", "The tariff allows 100 to 180 % there."),
        ("surge set airport 140 1 hour", "The tariff allows 100 to 130 % there."),
        ("surge set centre 90 1 hour", "The tariff allows 100 to 180 % there."),
        ("surge set centre 150 2 days", "It lasts a day at most"),
        ("surge set center 150 1 hour", "Did you mean “centre”?"),
        ("surge set moon 150 1 hour", "There are: airport, centre, elsewhere"),
    ):
        (text,) = await world.says(olga, words)
        assert answer in text, (words, text)
    assert await decisions(world) == []
    (text,) = await world.says(olga, "surge set centre 150 1 hour")
    assert text.startswith("centre: 150 % until ")
    world.clock.advance(seconds=6)
    assert MARKET.point is not None
    surge = await world.fleet.surges.at(world, MARKET.point, world.clock.now())
    assert (surge.multiplier, surge.cause) == (150, "operator")
    assert HARBOUR.point is not None
    assert not await world.fleet.surges.at(world, HARBOUR.point, world.clock.now())
    (text,) = await world.says(olga, "surge")
    assert f"centre: × 1.5: 0 wait, 0 are free; at most 180 % (set to 150 % by {OPERATOR} until" in text
    await world.restart()
    surge = await world.fleet.surges.at(world, MARKET.point, world.clock.now())
    assert surge.multiplier == 150  # it is stored
    world.clock.advance(minutes=61)
    assert not await world.fleet.surges.at(world, MARKET.point, world.clock.now())
    await world.says(olga, "surge set elsewhere 120 30 minutes")
    await world.says(olga, "surge free elsewhere")
    world.clock.advance(seconds=6)
    assert not await world.fleet.surges.at(world, HARBOUR.point, world.clock.now())
    assert [(action, subject) for _, action, subject, _ in await decisions(world)] == [
        ("surge.set", "zone:centre"), ("surge.set", "zone:elsewhere"), ("surge.free", "zone:elsewhere"),
    ]  # fmt: skip


async def test_a_surge_stands_in_the_quote_with_its_reason(world: RidesWorld, olga: Person) -> None:
    await world.says(olga, "surge set centre 150 1 hour")
    world.clock.advance(seconds=6)
    alice = await world.rider("alice")
    trip = await world.rides(alice)
    assert trip.surge == 150
    assert trip.quote is not None
    assert trip.quote.surge.cause == "operator"
    assert trip.quote.surge.reason == "It is very busy there just now."


async def test_a_ride_for_tomorrow_costs_what_tomorrow_costs(world: RidesWorld, olga: Person) -> None:
    await world.says(olga, "surge set centre 150 1 hour")
    now = world.clock.now()
    at = now + timedelta(seconds=6)
    world.clock.advance(seconds=6)
    (today,) = await world.fleet.quotes.offered(world, MARKET, HARBOUR, at=at, services=["standard"])
    (tomorrow,) = await world.fleet.quotes.offered(
        world, MARKET, HARBOUR, at=now + timedelta(days=1), services=["standard"]
    )
    assert (today.quote.surge.multiplier, tomorrow.quote.surge.multiplier) == (150, 100)


async def test_documents_are_shown_to_operators_and_that_is_noted(world: RidesWorld, olga: Person) -> None:
    document = Document("licence", {"msgtype": "m.image", "body": "my words", "url": "mxc://world/x", "info": {}})
    bob = await world.driver("bob", documents=(document,))
    room = await world.chat(olga)
    await olga.hears_all(room)
    await olga.says(f"drivers show {bob.user_id}", room=room)
    heard = await olga.hears_all(room)
    assert "Document: licence" in heard[0].body
    assert [(each.content.get("url"), each.body) for each in heard[1:]] == [("mxc://world/x", "licence")]
    assert [action for _, action, _, _ in await decisions(world)] == ["driver.looked_at"]


async def test_where_many_wait_it_costs_more_and_after_a_while_not(world: RidesWorld) -> None:
    assert MARKET.point is not None
    waiting, surges = [MARKET.point] * 8, world.fleet.surges
    free = [MARKET.point] * 2
    now = world.clock.now()
    seen = []
    for step in range(12):
        at = now + timedelta(seconds=15 * step)
        surges.count(waiting, free, at)
        seen.append((await surges.at(world, MARKET.point, at)).multiplier)
    assert seen == sorted(seen)
    assert seen[0] == 100
    assert seen[-1] == 170  # smoothed towards 400 for 100, which would be 180; in steps of ten, rounded down
    found = await surges.at(world, MARKET.point, now + timedelta(seconds=15 * 11))
    assert (found.waiting, found.free, found.cause) == (8, 2, "busy")
    surges.count([], free, now + timedelta(seconds=181))
    assert (await surges.at(world, MARKET.point, now + timedelta(seconds=182))).multiplier == 100  # nobody waits now
    assert not await surges.at(world, MARKET.point, now + timedelta(minutes=10))


async def test_neighbouring_cells_are_counted_together(world: RidesWorld) -> None:
    assert HARBOUR.point is not None
    at = world.clock.now()
    outside = [HARBOUR.point] * 20
    for step in range(8):
        world.fleet.surges.count(outside, [], at + timedelta(seconds=15 * step))
    end = at + timedelta(seconds=15 * 7)
    near = type(HARBOUR.point)(HARBOUR.point.latitude + 0.02, HARBOUR.point.longitude)
    far = type(HARBOUR.point)(HARBOUR.point.latitude + 0.3, HARBOUR.point.longitude)
    assert (await world.fleet.surges.at(world, near, end)).multiplier > 100
    assert (await world.fleet.surges.at(world, far, end)).multiplier == 100


async def test_operators_write_at_the_same_time(world: RidesWorld, olga: Person) -> None:
    alice, bob = await world.rider("alice"), await world.driver("bob")
    trip = await done(world, alice, bob)
    before = await world.has(alice)
    chat = await world.chat(olga)
    await asyncio.gather(*(olga.says(f"refund {trip.number} 1.00 sorry", room=chat) for _ in range(3)))
    await world.settle()
    assert await world.has(alice) == before + Money.of("1.00", "EUR")
    assert len(await decisions(world)) == 1


@pytest.mark.parametrize("commits", [1, 2, 3, 4])
async def test_a_decision_happens_once_whatever_dies(world: RidesWorld, olga: Person, commits: int) -> None:
    alice, bob = await world.rider("alice"), await world.driver("bob")
    trip = await done(world, alice, bob)
    before = await world.has(alice)
    await world.hears(alice)
    world.kill_after(commits)
    await world.says(olga, f"refund {trip.number} 1.00 sorry")
    await world.passes(minutes=3, step=30)
    assert await world.has(alice) == before + Money.of("1.00", "EUR")
    assert len(await decisions(world)) == 1
    assert sum("€1.00" in each for each in await world.hears(alice)) == 1
