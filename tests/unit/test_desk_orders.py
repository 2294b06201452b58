"""Orders in the staff room: cards that are answered in every way, and two who answer at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bots.domain.merchants import Staff
from bots.domain.orders import Action, Fulfilment, Order, OrderState
from bots.framework.testing import Message, Room
from tests.support.commerce import money
from tests.support.desk import DeskWorld

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[DeskWorld]:
    """One for all: each test has a merchant and a buyer of its own."""
    async with DeskWorld() as world:
        yield world


def card_in(heard: list[Message]) -> Message:
    """The last card that was shown."""
    return next(each for each in reversed(heard) if "app.rialto.choices" in each.content)


def reactions_to(room: Room, message: Message) -> list[str]:
    """What the bot has put under a message."""
    found = [each for each in room.timeline if each.type == "m.reaction"]
    return [
        each.content["m.relates_to"]["key"]
        for each in found
        if each.content["m.relates_to"]["event_id"] == message.event_id
    ]


async def test_an_order_by_reactions_from_card_to_door(world: DeskWorld) -> None:
    merchant, carla, room = await world.desk("pizza-1")
    alice = await world.buyer("alice1")
    order = await world.paid_order(alice, world.cart(merchant, "margherita", 2, note="well done <b>please</b>"))
    card = card_in(await world.hears(carla, room))
    assert card.body.startswith(
        f"A new order has come in.\n\nOrder {order.number} for alice1: waiting for the merchant"
    )
    assert "1. 2 × Margherita: €18.00\n   Note: well done <b>please</b>" in card.body
    assert "1. Accept\n2. Reject\n3. Something is missing" in card.body
    assert f"“accept {order.number}”" in card.body
    assert card.content["msgtype"] == "m.text", "it rings"
    assert "formatted_body" not in card.content
    assert reactions_to(room, card) == ["✅", "❌", "✏️"]
    await carla.reacts("✅", card, room=room)
    heard = await world.hears(carla, room)
    assert f"Order {order.number}: accepted (Carla)" in heard[-1].body
    assert (await world.order(order)).prepared_at is not None
    for key, state in (("🔔", OrderState.READY), ("🚚", OrderState.DISPATCHED), ("📦", OrderState.DELIVERED)):
        await carla.reacts(key, card_in(heard), room=room)
        heard = await world.hears(carla, room) or heard
        assert (await world.order(order)).state is state
    assert await world.merchant_has(merchant) == order.total
    told = [each.body for each in await world.hears(alice)]
    assert f"Order {order.number} is delivered." in told
    # The first card is old, and does no harm.
    await carla.reacts("❌", card, room=room)
    heard = await world.hears(carla, room)
    assert heard[-1].body.startswith("That is not possible any more: the order is delivered.")
    world.check()


async def test_an_order_by_replies_and_numbers(world: DeskWorld) -> None:
    merchant, carla, room = await world.desk("pizza-2")
    alice = await world.buyer("alice2")
    first = await world.paid_order(alice, world.cart(merchant, "margherita"))
    card = card_in(await world.hears(carla, room))
    await carla.says("1 40", room=room, reply_to=card)
    first = await world.order(first)
    assert first.state is OrderState.ACCEPTED
    assert first.prepared_at is not None
    assert (first.prepared_at - world.clock.now()).total_seconds() == 2400
    # A number alone is for the one order that waits.
    await world.says(carla, "1", room=room)
    assert (await world.order(first)).state is OrderState.READY
    second = await world.paid_order(alice, world.cart(merchant, "margherita"))
    said = await world.says(carla, "1", room=room)
    assert said[-1].startswith("Of which order? Write for example “accept 7KD2F”")
    assert (await world.order(second)).state is OrderState.PAID
    said = await world.says(carla, f"reject {second.number} no cheese", room=room)
    assert said[-1] == f"Order {second.number}: rejected by the merchant (Carla)"
    assert "Reason: no cheese" in (await world.hears(alice))[-1].body
    assert (await world.order(second)).state is OrderState.REJECTED
    said = await world.says(carla, "orders", room=room)
    assert said[-1].startswith(f"{first.number}: ready, ")
    said = await world.says(carla, f"order {first.number}", room=room)
    assert said[-1].startswith(f"Order {first.number} for alice2: ready")
    assert (await world.says(carla, "order 99999", room=room))[-1] == "There is no order 99999."
    world.check()


async def test_a_button_of_a_client(world: DeskWorld) -> None:
    merchant, carla, room = await world.desk("pizza-3")
    alice = await world.buyer("alice3")
    order = await world.paid_order(alice, world.cart(merchant, "margherita"))
    await carla.taps("accept", room=room)
    assert (await world.order(order)).state is OrderState.ACCEPTED
    world.check()


async def test_why_is_asked_for(world: DeskWorld) -> None:
    merchant, carla, room = await world.desk("pizza-4")
    alice = await world.buyer("alice4")
    order = await world.paid_order(alice, world.cart(merchant, "margherita"))
    await carla.reacts("❌", card_in(await world.hears(carla, room)), room=room)
    asked = (await world.hears(carla, room))[-1]
    assert asked.body.startswith(f"Why? The buyer of order {order.number} is told.\n\n1. Something is sold out")
    said = await world.says(carla, "something else", "The oven is broken", room=room)
    assert said[-1] == f"Order {order.number}: rejected by the merchant (Carla)"
    assert "Reason: The oven is broken" in (await world.hears(alice))[-1].body
    assert await world.has(alice) == money("100")
    world.check()


async def test_something_is_missing(world: DeskWorld) -> None:
    merchant, carla, room = await world.desk("pizza-5")
    alice = await world.buyer("alice5")
    cart = world.cart(merchant, "margherita", 3).add(world.cart(merchant, "salad").lines[0])
    order = await world.paid_order(alice, cart)
    await carla.reacts("✏️", card_in(await world.hears(carla, room)), room=room)
    asked = (await world.hears(carla, room))[-1].body
    assert "1. 3 × Margherita: €27.00\n2. 1 × Salad: €6.00" in asked
    said = await world.says(carla, "1, 2", room=room)
    assert said[-1] == "How many are there of “3 × Margherita: €27.00”? From 0 to 2."
    assert (await world.says(carla, "3", room=room))[-1] == "Please write a number from 0 to 2."
    await world.says(carla, "2", "yes", room=room)
    after = await world.order(order)
    assert after.state is OrderState.AMENDED
    assert [(line.product, line.quantity) for line in after.lines] == [("margherita", 2)]
    salad = await world.shelf.product(world, merchant.id, "salad")
    assert salad is not None
    assert salad.variants[0].stock.count == 0, "taken off the list"
    assert "This is what is left of it" in (await world.hears(alice))[-1].body
    world.check()


async def test_two_answer_at_once(world: DeskWorld) -> None:
    """One action counts; the other one is told how it stands."""
    merchant, carla, room = await world.desk("pizza-6")
    bob = world.user("bob")
    await world.write(lambda hand: world.sellers.hire(hand, merchant.id, bob.user_id, Staff.CLERK))
    await bob.joins(room)
    alice = await world.buyer("alice6")
    order = await world.paid_order(alice, world.cart(merchant, "margherita"))
    card = card_in(await world.hears(carla, room))
    await world.quiet(room, bob)
    await asyncio.gather(carla.reacts("✅", card, room=room), bob.says(f"!reject {order.number} no dough", room=room))
    heard = [each.body for each in await world.hears(carla, room)]
    after = await world.order(order)
    assert after.state in {OrderState.ACCEPTED, OrderState.REJECTED}
    assert after.version == order.version + 1
    assert sum("That is not possible any more" in each for each in heard) == 1
    steps = [step.action for step in await world.orders.steps(world, order.id)]
    assert steps == ["place", "pay", "accept" if after.state is OrderState.ACCEPTED else "reject"]
    world.check()


async def test_only_staff_acts(world: DeskWorld) -> None:
    """Who is in the room is not asked: who works there is."""
    merchant, carla, room = await world.desk("pizza-7")
    mallory, alice = world.user("mallory"), await world.buyer("alice7")
    await mallory.joins(room)
    order = await world.paid_order(alice, world.cart(merchant, "margherita"))
    card = card_in(await world.hears(carla, room))
    for act in (
        mallory.reacts("✅", card, room=room),
        mallory.says("1", room=room, reply_to=card),
        mallory.says(f"!accept {order.number}", room=room),
    ):
        await act
        said = [each.body for each in await world.hears(carla, room)]
        assert said == ["You do not work for Pizza-7: somebody who manages it can add you."]
    assert (await world.order(order)).state is OrderState.PAID
    other, _dan, their_room = await world.desk("sushi", owner="dan")
    dan = world.user("dan")
    said = await world.says(dan, f"accept {order.number}", room=their_room)
    assert said == [f"There is no order {order.number}."], other.slug
    assert (await world.says(mallory, f"accept {order.number}"))[-1].startswith("That is for the staff of a merchant")
    world.check()


async def test_talk_among_the_staff_is_not_answered(world: DeskWorld) -> None:
    merchant, carla, room = await world.desk("pizza-8")
    bob = world.user("bob")
    await bob.joins(room)
    alice = await world.buyer("alice8")
    first = await world.paid_order(alice, world.cart(merchant, "margherita"))
    await world.paid_order(alice, world.cart(merchant, "margherita"))
    await world.quiet(room, carla, bob)
    for text in ("see you at 8", "2 people are ill", "1", "accept the parcel, please"):
        await carla.says(text, room=room)
    await carla.reacts("👍", room=room)
    await carla.hears_nothing(room)
    assert (await world.order(first)).state is OrderState.PAID
    world.check()


async def test_a_number_among_several_people(world: DeskWorld) -> None:
    """Alone it is an answer where one order waits; as a part of a sentence it is not."""
    merchant, carla, room = await world.desk("pizza-n")
    await world.user("bob").joins(room)
    alice = await world.buyer("alice-n")
    order = await world.paid_order(alice, world.cart(merchant, "margherita"))
    await world.quiet(room, carla)
    await carla.says("2 people are ill", room=room)
    assert await world.hears(carla, room) == []
    await carla.says("1 25", room=room)
    assert (await world.order(order)).state is OrderState.ACCEPTED
    world.check()


async def test_a_parcel_with_its_number(world: DeskWorld) -> None:
    merchant, carla, room = await world.desk("pizza-9")
    alice = await world.buyer("alice9")
    order = await world.paid_order(alice, world.cart(merchant, "margherita"), kind=Fulfilment.PARCEL)
    await world.says(carla, f"accept {order.number}", room=room)
    said = await world.says(carla, f"shipped {order.number}", room=room)
    assert said[-1] == f"What is the tracking number of order {order.number}? “-” for none."
    await world.says(carla, "00340434161094022115", room=room)
    order = await world.order(order)
    assert (order.state, order.tracking) == (OrderState.DISPATCHED, "00340434161094022115")
    assert "Tracking: 00340434161094022115" in (await world.hears(alice))[-1].body
    said = await world.says(carla, f"failed {order.number} nobody there", room=room)
    assert "1. Delivered\n2. Try again\n3. It has come back" in said[-1]
    await world.says(carla, f"came back {order.number}", room=room)
    assert (await world.order(order)).state is OrderState.RETURNED
    assert await world.has(alice) == money("100")
    world.check()


async def test_killed_at_any_moment_nobody_is_told_twice() -> None:
    world = DeskWorld()
    merchant, carla, room = await world.desk()
    alice = await world.buyer("alice")
    for commits in range(1, 5):
        order = await world.paid_order(alice, world.cart(merchant, "margherita"))
        card = card_in(await world.hears(carla, room))
        world.kill_after(commits)
        await carla.reacts("✅", card, room=room)
        await world.settle()
        heard = [each.body for each in await world.hears(carla, room)]
        assert sum(f"Order {order.number}: accepted" in each for each in heard) == 1
        assert (await world.order(order)).state is OrderState.ACCEPTED
        await world.acts(alice, order, Action.CALL_OFF)


def arabic(digits: str) -> str:
    """As people of Cairo type them."""
    return "".join(chr(0x660 + int(each)) for each in digits)


async def test_who_fetches_an_order_tells_its_pin() -> None:
    async with DeskWorld() as world:
        merchant, carla, room = await world.desk("counter")
        alice = await world.buyer("alice")

        async def ready() -> Order:
            order = await world.paid_order(alice, world.cart(merchant, "margherita"), kind=Fulfilment.PICKUP)
            await world.says(carla, f"accept {order.number}", f"ready {order.number}", room=room)
            return await world.order(order)

        order = await ready()
        pin = world.orders.pickup_pin(order)
        assert len(pin) == 4 and pin.isdecimal()
        told = [each.body for each in await alice.hears_all(await world.chat(alice))]
        assert f"You can come and get it. Tell them this PIN: {pin}" in told[-1]
        said_there = [each.body for each in room.timeline if each.sender == world.seller]
        assert not any(pin in each for each in said_there), "the staff hears it from the buyer alone"
        # Asked for, wrong, and right.
        said = await world.says(carla, f"delivered {order.number}", room=room)
        assert said[0].startswith(f"Which PIN does the buyer of order {order.number} tell you?")
        wrong = "0000" if pin != "0000" else "1111"
        said = await world.says(carla, wrong, room=room)
        assert said == [f"That is not the PIN of order {order.number}. Please ask again."]
        assert (await world.order(order)).state is OrderState.READY
        said = await world.says(carla, f"delivered {order.number} {arabic(pin)}", room=room)
        assert said[0].startswith(f"Order {order.number}: delivered (")
        assert (await world.order(order)).state is OrderState.DELIVERED
        # Five wrong ones, and none counts any more; a clerk cannot do without, a manager can, and the buyer hears it.
        order = await ready()
        await alice.hears_all(await world.chat(alice))
        pin = world.orders.pickup_pin(order)
        wrong = "0000" if pin != "0000" else "1111"
        for _ in range(5):
            await world.says(carla, f"delivered {order.number} {wrong}", room=room)
        said = await world.says(carla, f"delivered {order.number} {pin}", room=room)
        assert said == [f"Too many wrong PINs for order {order.number}. A manager can hand it over without one."]
        bob = world.user("bob")
        await world.write(lambda hand: world.sellers.hire(hand, merchant.id, bob.user_id, Staff.CLERK))
        await bob.joins(room)
        await world.says(bob, f"!delivered {order.number} without PIN", room=room)
        assert (await world.order(order)).state is OrderState.READY
        await world.says(carla, f"!delivered {order.number} without PIN", room=room)
        assert (await world.order(order)).state is OrderState.DELIVERED
        told = [each.body for each in await alice.hears_all(await world.chat(alice))]
        assert f"Order {order.number} was handed over without your PIN." in told
        world.check()
