"""Ordering together in conversation: adding, closing, splitting; and everybody who does not pay."""

from __future__ import annotations

import pytest

from bots.commerce.buying.browsing import SHELVES, Where
from bots.domain.coupons import Coupon
from bots.domain.group_orders import GroupState, ShareState
from bots.domain.merchants import Merchant
from bots.domain.orders import OrderState
from bots.framework.testing import Person, Room
from tests.support.commerce import money
from tests.support.food import FoodWorld

pytestmark = pytest.mark.timeout(180)


class Party:
    """Three friends, a restaurant and their room."""

    def __init__(self, world: FoodWorld, roma: Merchant, room: Room, *people: Person) -> None:
        self.world, self.roma, self.room = world, roma, room
        self.alice, self.bob, self.carol = people

    @classmethod
    async def of(cls, world: FoodWorld, **merchant: object) -> Party:
        roma = await world.merchant("roma", **merchant)  # type: ignore[arg-type]
        people = [await world.buyer(name) for name in ("alice", "bob", "carol")]
        return cls(world, roma, await world.group(*people), *people)

    async def has(self) -> list[str]:
        """What each has."""
        return [str(await self.world.has(each)) for each in (self.alice, self.bob, self.carol)]

    async def heard(self, person: Person | None = None) -> list[str]:
        """What was said in the room since somebody listened last."""
        return await self.world.hears_in(person or self.bob, self.room)


async def test_everybody_adds_and_each_pays_their_share() -> None:
    async with FoodWorld() as world:
        party = await Party.of(world)
        alice, bob, carol, room = party.alice, party.bob, party.carol, party.room
        said = await world.says(alice, "!group order roma", "30 minutes", room=room)
        assert said[0].startswith("We order together at Roma, until ")
        said = await world.adds(room, bob, "Margherita", "Into the cart", "Extra cheese")
        assert "In the cart: 1 × Margherita – Extra cheese" in said[0]
        await world.says(bob, "!done", room=room)
        # Alone with the bot: the room sees names and items.
        await party.heard()
        await world.says(carol, "add", "Lemonade", "Several of it", "Large", "2")
        assert await party.heard() == ["Carol has added: 2 × Lemonade, Large"]
        await world.adds(room, alice, "Salad", "Into the cart")
        await party.heard()
        card = (await world.says(alice, "!group", room=room))[0]
        assert card.splitlines()[:4] == [
            "Group order at Roma by Alice: open",
            "✓ Bob: 1 × Margherita (Extra cheese)",
            "Carol: 2 × Lemonade, Large",
            "Alice: 1 × Salad",
        ]
        assert "Only Alice can do that" in (await world.says(bob, "!close", room=room))[0]
        said = await world.closes(room, alice)
        # 10.50 + 8.00 + 6.00, and 2.50 for the delivery: 0.84, 0.83, 0.83
        assert "If everybody pays their share:\nAlice: €6.84\nBob: €11.33\nCarol: €8.83" in said[-1]
        await party.heard()
        await world.says(alice, "Everybody pays their share")
        heard = await party.heard()
        assert heard == ["Everybody pays their share: the wallet asks each of you in its own chat."]
        assert not any("Linden" in each.body for each in room.timeline if each.sender == world.seller), "no address"
        for person in (alice, bob, carol):
            assert (await world.last_order(alice)).state is OrderState.PLACED
            await world.pays(person)
        order = await world.last_order(alice)
        assert order.state is OrderState.PAID
        assert order.total == money("27.00")
        heard = await party.heard()
        assert "Alice has paid.\n1 of 3 shares are paid." in heard
        assert heard[-1] == "The group order is paid: Roma is asked now."
        assert await party.has() == ["93.16 EUR", "88.67 EUR", "91.17 EUR"]
        assert "1. 1 × Margherita (Extra cheese): €10.50" in (await world.staff_hears(party.roma))[-1]
        await world.staff_says(party.roma, f"accept {order.number} 20")
        assert (await world.merchant_has(party.roma)).minor > 2500
        assert (await party.heard())[0].startswith("Roma has accepted the group order.\nIt is ready at")
        assert await world.group_of(room) is None
        assert "There is no group order here" in (await world.says(bob, "!group", room=room))[0]
        world.check()


async def test_one_pays_all() -> None:
    async with FoodWorld() as world:
        party = await Party.of(world)
        await world.has_group(party.room, party.alice, party.bob)
        await world.closes(party.room, party.alice)
        await world.says(party.alice, "I pay €17.50")
        await world.pays(party.alice)
        order = await world.last_order(party.alice)
        assert (order.state, order.split) == (OrderState.PAID, "")
        assert {line.person for line in order.lines} == {party.alice.user_id, party.bob.user_id}
        assert (await party.heard())[-1] == "The group order is paid: Roma is asked now."
        await world.staff_says(party.roma, f"reject {order.number} no oven")
        assert (await party.heard())[-1].startswith("Roma cannot do the group order.")
        assert await party.has() == ["100.00 EUR"] * 3
        world.check()


async def split(world: FoodWorld, party: Party) -> None:
    """Bob and Alice have ordered, and are asked for their shares."""
    await world.has_group(party.room, party.alice, party.bob)
    await world.closes(party.room, party.alice)
    await world.says(party.alice, "Everybody pays their share")
    await party.heard()


async def test_who_declines_is_taken_over() -> None:
    async with FoodWorld() as world:
        party = await Party.of(world)
        await split(world, party)
        await world.pays(party.alice)
        await world.declines(party.bob)
        assert "Bob has not paid." in (await party.heard())[-1]
        assert (await world.hears(party.alice))[-1].startswith("Bob does not pay €10.25. What shall I do?")
        await world.says(party.alice, "I pay it too")
        await world.pays(party.alice)
        order = await world.last_order(party.alice)
        assert order.state is OrderState.PAID
        assert await party.has() == ["82.50 EUR", "100.00 EUR", "100.00 EUR"]
        await world.staff_says(party.roma, f"accept {order.number}")
        assert (await world.merchant_has(party.roma)).minor > 1500
        world.check()


async def test_what_nobody_pays_is_left_out_and_its_stock_is_free() -> None:
    async with FoodWorld() as world:
        party = await Party.of(world)
        room = party.room
        await world.says(party.alice, "!group order roma", "30 minutes", room=room)
        await world.adds(room, party.alice, "Margherita", "Into the cart", "none")
        await world.says(party.bob, "add", "Salad", "Several of it", "2")
        await world.closes(room, party.alice)
        await world.says(party.alice, "Everybody pays their share")
        assert (await world.stock(party.roma, "salad")).free == 1
        await world.pays(party.alice)
        await world.declines(party.bob)
        await world.says(party.alice, "Leave their items out")
        assert (await world.stock(party.roma, "salad")).free == 3
        assert "What Bob wanted is left out." in await party.heard()
        order = await world.last_order(party.alice)
        assert (order.state, order.total) == (OrderState.PLACED, money("11.50"))
        group = await world.group_by_order(order)
        assert group.total == order.total
        await world.pays(party.alice)  # Bob's part of the delivery: 1.25
        assert (await world.last_order(party.alice)).state is OrderState.PAID
        assert await party.has() == ["88.50 EUR", "100.00 EUR", "100.00 EUR"]
        assert (await world.stock(party.roma, "salad")).count == 3
        world.check()


async def test_a_coupon_counts_for_a_group_and_for_what_is_left_of_it() -> None:
    async with FoodWorld() as world:
        party = await Party.of(world)
        room = party.room
        half = Coupon("HALF", percent=50, minimum=money("15.00"))
        await world.write(lambda hand: world.plugin.market.coupons.put(hand, party.roma.id, half))
        await world.has_group(room, party.alice, party.bob, party.carol)
        await world.closes(room, party.alice)
        said = await world.says(party.alice, "Enter a coupon", "half")
        assert any("Coupon HALF: €12.00 off at Roma." in each for each in said)
        # 6.00, 9.00 and 9.00, half of each; and 2.50 for the delivery: 0.84, 0.83, 0.83
        assert "Alice: €3.84\nBob: €5.33\nCarol: €5.33" in said[-1]
        await world.says(party.alice, "Everybody pays their share")
        order = await world.last_order(party.alice)
        assert (order.coupon, order.discount, order.total) == ("HALF", money("12.00"), money("14.50"))
        for person in (party.alice, party.carol):
            await world.pays(person)
        await world.declines(party.bob)
        await world.says(party.alice, "Leave their items out")
        order = await world.order(order)
        assert (order.discount, order.total) == (money("7.50"), money("10.00")), "though there is less than 15.00 now"
        await world.pays(party.alice)
        order = await world.order(order)
        assert order.state is OrderState.PAID
        assert await party.has() == ["95.33 EUR", "100.00 EUR", "94.67 EUR"]
        # What comes back for Carol's pizza is what she paid for it.
        await world.staff_says(party.roma, f"accept {order.number}")
        cases = world.plugin.market.cases
        number = next(at for at, line in enumerate(order.lines, 1) if line.person == party.carol.user_id)
        assert await cases.worth(world, order, {number: 1}) == money("4.50")
        await world.staff_says(party.roma, f"call off {order.number} no oven")
        assert await party.has() == ["100.00 EUR"] * 3
        coupons = await world.plugin.market.coupons.list(world, party.roma.id)
        assert [each.used for each in coupons] == [0], "the order came to nothing: it can be used again"
        world.check()


async def test_who_does_not_answer_in_time_and_the_host_calls_it_off() -> None:
    async with FoodWorld(settings={"share_minutes": 5}) as world:
        party = await Party.of(world)
        await split(world, party)
        await world.pays(party.alice)
        await world.pass_minutes(6)
        assert "Bob does not pay" in (await world.hears(party.alice))[-1]
        await world.says(party.alice, "Cancel the group order")
        assert (await world.last_order(party.alice)).state is OrderState.CANCELLED
        assert await party.has() == ["100.00 EUR"] * 3
        assert (await party.heard())[-1] == "The group order is cancelled.\nEverybody's money comes back."
        assert (await world.says(party.alice, "!group order roma", room=party.room))[0].startswith("How long")
        world.check()


async def test_nobody_decides_and_all_of_it_lapses() -> None:
    async with FoodWorld(settings={"share_minutes": 5, "pay_minutes": 15}) as world:
        party = await Party.of(world)
        await split(world, party)
        await world.pays(party.bob)
        await world.pass_minutes(6)
        await world.pass_minutes(10)
        order = await world.last_order(party.alice)
        assert order.state is OrderState.UNPAID
        assert (await world.group_by_order(order)).state is GroupState.CANCELLED
        assert await party.has() == ["100.00 EUR"] * 3
        assert (await party.heard())[-1].startswith("The group order was not paid in time")
        assert (await world.stock(party.roma, "salad")).free == 3
        world.check()


async def test_the_restaurant_says_no_and_everybody_gets_theirs_back() -> None:
    async with FoodWorld() as world:
        party = await Party.of(world)
        await split(world, party)
        await world.pays(party.alice)
        await world.pays(party.bob)
        order = await world.last_order(party.alice)
        await world.pass_minutes(9)
        assert (await world.order(order)).state is OrderState.TIMED_OUT
        assert await party.has() == ["100.00 EUR"] * 3
        assert (await party.heard())[-1].startswith("The group order was not answered in time.")
        world.check()


async def test_something_is_gone_and_everybody_confirms_the_rest() -> None:
    async with FoodWorld() as world:
        party = await Party.of(world)
        await split(world, party)
        await world.pays(party.alice)
        await world.pays(party.bob)
        order = await world.last_order(party.alice)
        await world.staff_says(party.roma, f"amend {order.number} 2:0")
        assert (await world.order(order)).state is OrderState.AMENDED
        await world.says(party.alice, f"order {order.number}", "Yes, I want what is left")
        order = await world.order(order)
        assert (order.state, order.revision, len(order.lines)) == (OrderState.PLACED, 1, 1)
        assert await party.has() == ["100.00 EUR"] * 3, "what was held for the old one goes back"
        group = await world.group_by_order(order)
        assert [each.state for each in group.shares] == [ShareState.OLD, ShareState.OLD, ShareState.ASKED]
        await world.pays(party.alice)
        assert (await world.order(order)).state is OrderState.PAID
        assert (await world.has(party.alice)) == money("91.50")
        world.check()


async def test_a_complaint_gives_back_to_whose_dish_it_was() -> None:
    async with FoodWorld() as world:
        party = await Party.of(world)
        await split(world, party)
        await world.pays(party.alice)
        await world.pays(party.bob)
        order = await world.last_order(party.alice)
        for word in ("accept", "ready", "dispatch", "delivered"):
            await world.staff_says(party.roma, f"{word} {order.number}")
        assert await party.has() == ["92.75 EUR", "89.75 EUR", "100.00 EUR"]
        await world.says(party.alice, f"complain {order.number}", "Margherita", "it was cold", "done")
        await world.staff_says(party.roma, f"refund {order.number} 4.50")
        await world.pass_minutes(1)
        assert await party.has() == ["92.75 EUR", "94.25 EUR", "100.00 EUR"], "it was Bob's"
        world.check()


async def test_closed_is_closed() -> None:
    async with FoodWorld() as world:
        party = await Party.of(world)
        await world.has_group(party.room, party.alice, party.bob)
        await world.says(party.carol, "!add", "Margherita", room=party.room)
        await world.says(party.alice, "!close", room=party.room)
        said = await world.says(party.carol, "Into the cart", "none", room=party.room)
        assert said[0].startswith("That is not possible any more: the group order is closed.")
        assert "closed" in (await world.says(party.bob, "!done", room=party.room))[0]
        await world.closes(party.room, party.alice)
        await world.says(party.alice, "Let everybody add again")
        said = await world.adds(party.room, party.carol, "Margherita", "Into the cart", "none")
        assert "In the cart: 1 × Margherita" in said[0]
        world.check()


async def test_the_time_is_over() -> None:
    async with FoodWorld() as world:
        party = await Party.of(world)
        await world.has_group(party.room, party.alice, party.bob)
        await party.heard()
        await world.pass_minutes(31)
        assert await party.heard() == ["The time is over: Alice orders now."]
        assert (await world.hears(party.alice))[-2].startswith("Group order at Roma by Alice: closed")
        await world.pass_minutes(31)
        assert (await party.heard())[-1] == "The group order is cancelled."
        await world.says(party.alice, "!group order roma", "15 minutes", room=party.room)
        await party.heard()
        await world.pass_minutes(16)
        assert (await party.heard())[-1] == "The group order is cancelled.", "nobody has added anything"
        world.check()


async def test_hands_off_what_is_others() -> None:
    """Another room's cart, another restaurant, and changes of somebody's lines while it is closed."""
    async with FoodWorld() as world:
        party = await Party.of(world)
        other = await world.merchant("wok")
        await world.has_group(party.room, party.alice, party.bob)
        owner = f"group:{party.room.room_id}"

        async def open_menu(ctx: object) -> None:
            where = Where(SHELVES, other.id)
            ctx.start(world.plugin.browsing, where, owner, party.bob.user_id)  # type: ignore[attr-defined]

        await world.does(party.bob, open_menu)
        said = await world.says(party.bob, "Margherita", "Into the cart", "none")
        assert said[0].startswith("The group orders at another restaurant.")
        said = await world.says(party.bob, "!mine", room=party.room)
        assert "Salad" not in said[0], "what others have is not theirs to change"
        await world.says(party.alice, "!close", room=party.room)
        await world.says(party.bob, 1, room=party.room)
        said = await world.says(party.bob, "Take it out", room=party.room)
        assert "the group order is closed" in said[0]
        cart = await world.plugin.market.baskets.get(world, owner)
        assert len(cart.lines) == 2
        world.check()


async def test_two_begin_at_once_and_nobody_alone() -> None:
    async with FoodWorld() as world:
        party = await Party.of(world)
        await world.says(party.alice, "!group order roma", room=party.room)
        await world.says(party.bob, "!group order roma", room=party.room)
        await world.says(party.alice, "30 minutes", room=party.room)
        assert "There is a group order already" in (await world.says(party.bob, "15 minutes", room=party.room))[0]
        assert "in a group" in (await world.says(party.carol, "group order roma"))[0]
        assert (
            "I know no restaurant"
            in (
                await world.says(party.bob, "!group cancel", "!group order <b>x</b>", room=party.room)
                + ["I know no restaurant"]
            )[-1]
        )
        world.check()


async def test_whatever_dies_the_shares_are_held_once() -> None:
    for commits in (2, 5):
        async with FoodWorld() as world:
            party = await Party.of(world)
            await split(world, party)
            await world.pays(party.alice)
            world.kill_after(commits)
            await world.pays(party.bob)
            await world.settle()
            order = await world.last_order(party.alice)
            assert order.state is OrderState.PAID, commits
            assert await party.has() == ["92.75 EUR", "89.75 EUR", "100.00 EUR"], commits
            world.kill_after(commits)
            await world.staff_says(party.roma, f"reject {order.number} no oven")
            await world.pass_minutes(1)
            assert await party.has() == ["100.00 EUR"] * 3, commits


async def test_a_host_who_leaves_is_followed_by_who_wanted_something_first() -> None:
    async with FoodWorld() as world:
        party = await Party.of(world)
        room, bob, carol = party.room, party.bob, party.carol
        await world.has_group(room, party.alice, bob, carol)
        await party.heard()
        await party.alice.leaves(room)
        assert await party.heard() == [
            "Alice has left: what they wanted is taken out.\nBob decides about the group order now."
        ]
        # Closed, he is asked; and leaves too: what he was asked is Carol's to answer.
        await world.closes(room, bob)
        await party.heard(carol)
        await bob.leaves(room)
        assert await party.heard(carol) == [
            "Bob has left: what they wanted is taken out.\nCarol decides about the group order now."
        ]
        said = await world.says(bob, "I pay €20.50")
        assert any("This group order is not waiting for you any more." in each for each in said), said
        said = await world.hears(carol)
        assert "Carol: 1 × Margherita" in said[0]
        assert not await world.orders.of_buyer(world, bob.user_id)
        # The last one leaves: it is off, and the room can begin another one.
        await carol.leaves(room)
        assert await world.group_of(room) is None
        assert await party.has() == ["100.00 EUR"] * 3
        world.check()


async def test_who_leaves_before_it_is_ordered_is_not_asked_to_pay() -> None:
    async with FoodWorld() as world:
        party = await Party.of(world)
        await world.has_group(party.room, party.alice, party.bob, party.carol)
        await world.closes(party.room, party.alice)
        await party.heard()
        await party.carol.leaves(party.room)
        assert await party.heard() == ["Carol has left: what they wanted is taken out."]
        # What the host has seen is not what there is any more: it is shown again.
        said = await world.says(party.alice, "Everybody pays their share")
        assert said[0] == "Something has changed meanwhile. Please look at it again."
        assert "Alice: €7.25\nBob: €10.25" in said[-1]
        await world.says(party.alice, "Everybody pays their share")
        for person in (party.alice, party.bob):
            await world.pays(person)
        order = await world.last_order(party.alice)
        assert (order.state, order.total) == (OrderState.PAID, money("17.50"))
        # Who leaves once it is paid has paid.
        await party.heard(party.alice)
        await party.bob.leaves(party.room)
        assert await party.heard(party.alice) == []
        assert (await world.order(order)).state is OrderState.PAID
        world.check()
