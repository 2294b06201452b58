"""After the order: followed, cancelled, amended, complained about, given back, rated, ordered again."""

from __future__ import annotations

import pytest

from bots.domain.cases import CaseKind, CaseState
from bots.domain.catalogue import Variant
from bots.domain.orders import OrderState
from tests.support.commerce import money
from tests.support.shop import ADMIN, ShopWorld

pytestmark = pytest.mark.timeout(120)


async def test_an_order_is_followed_to_the_end() -> None:
    async with ShopWorld() as world:
        _, store = await world.two()
        alice = await world.buyer("alice")
        assert await world.says(alice, "orders") == ["You have ordered nothing here yet."]
        await world.fills(alice, store, "mug")
        said = await world.says(alice, "checkout", 1, "Linden Street 7, Berlin", "only this time", 1)
        (order,) = await world.orders.of_buyer(world, alice.user_id)
        number = order.number
        assert f"Order {number} waits for your payment" in said[0]
        assert f"1. {number} from Store – waiting for payment · €13.40" in (await world.says(alice, "orders"))[0]
        await world.pays(alice)
        assert f"Order {number} is paid. Store is asked now." in (await world.hears(alice))[0]
        await world.staff_says(store, f"accept {number}")
        assert f"Store has accepted order {number}." in (await world.hears(alice))[0]
        await world.staff_says(store, f"ready {number}", f"shipped {number} 0034 0434 161")
        heard = await world.hears(alice)
        assert any("Tracking: 0034 0434 161" in each for each in heard)
        said = await world.says(alice, f"track {number.lower()}")
        assert said[0].startswith(f"Order {number} from Store: on its way\n1. 1 × Mug: €8.50")
        assert "Tracking: 0034 0434 161" in said[0]
        await world.staff_says(store, f"delivered {number}")
        assert f"How was it? Type “rate {number}”." in await world.hears(alice)
        said = await world.says(alice, f"order {number}")
        assert "1. Rate it\n2. Complain\n3. Give it back\n4. Order the same again" in said[0]
        said = await world.says(alice, "show the invoice")
        assert said[0].startswith(f"Invoice of order {number} from Store, Jan 1, 2026\n1. 1 × Mug: €8.50")
        assert "Of this €2.14 tax at 19 %, €11.26 net" in said[0]
        await world.pass_time(days=15)
        await world.hears(alice)
        said = await world.says(alice, "order", "orders", number)
        assert "concluded" in said[0]
        assert "Complain" not in said[0]
        assert await world.merchant_has(store) == money("13.40")
        world.check()


async def test_orders_of_others_are_not_shown() -> None:
    async with ShopWorld() as world:
        _, store = await world.two()
        alice, bob = await world.buyer("alice"), await world.buyer("bob")
        order = await world.bought(alice, store, "mug")
        for words in ("order", "track", "cancel", "complain", "return", "rate", "reorder"):
            said = await world.says(bob, f"{words} {order.number}")
            assert said == ["You have no such order. “orders” shows those you have."], words
        world.check()


async def test_many_orders_come_in_pages() -> None:
    async with ShopWorld() as world:
        pizzeria, _ = await world.two()
        alice = await world.buyer("alice", "900")
        for _number in range(12):
            await world.fills(alice, pizzeria, "margherita")
            await world.orders_now(alice)
        said = await world.says(alice, "orders")
        assert "11. Show more" in said[0]
        assert "2. " in (await world.says(alice, "more"))[0]
        assert "waiting for payment" in (await world.says(alice, 2))[0]
        world.check()


async def test_rejected_and_the_money_is_back() -> None:
    async with ShopWorld() as world:
        _, store = await world.two()
        alice = await world.buyer("alice")
        order = await world.bought(alice, store, "shirt", 2)
        assert await world.has(alice) == money("60.00")
        await world.staff_says(store, f"reject {order.number} moths")
        said = (await world.hears(alice))[0]
        assert f"Store cannot do order {order.number}." in said
        assert "moths" in said
        assert await world.has(alice) == money("100.00")
        assert (await world.stock(store, "shirt")).free == 2
        world.check()


async def test_nobody_answers() -> None:
    async with ShopWorld() as world:
        _, store = await world.two()
        alice = await world.buyer("alice")
        order = await world.bought(alice, store, "shirt")
        await world.pass_minutes(9)
        assert f"Order {order.number} was not answered in time: it is off." in (await world.hears(alice))[0]
        assert await world.has(alice) == money("100.00")
        world.check()


async def test_cancelled_before_and_after_it_is_paid() -> None:
    async with ShopWorld() as world:
        pizzeria, store = await world.two()
        alice = await world.buyer("alice")
        await world.fills(alice, store, "shirt")
        (order,) = await world.orders_now(alice)
        assert "Shall I cancel this order?" in (await world.says(alice, f"cancel {order.number}"))[0]
        assert await world.says(alice, "no") == ["The order stays as it is."]
        said = await world.says(alice, f"cancel {order.number}", "yes")
        assert said == [f"Order {order.number} is cancelled. Nothing was paid."]
        order = await world.bought(alice, pizzeria, "margherita")
        said = await world.says(alice, f"order {order.number}", "cancel it", "yes")
        assert f"Order {order.number} is cancelled. Your money comes back." in said
        assert await world.has(alice) == money("100.00")
        said = await world.says(alice, f"cancel {order.number}", "yes")
        assert said == ["That is not possible any more: the order is cancelled."]
        world.check()


async def test_the_merchant_was_faster_than_the_cancellation() -> None:
    async with ShopWorld() as world:
        _, store = await world.two()
        alice = await world.buyer("alice")
        order = await world.bought(alice, store, "mug")
        await world.says(alice, f"cancel {order.number}")
        await world.staff_says(store, f"accept {order.number}")
        said = await world.says(alice, "yes")
        assert said[-1] == "That is not possible any more: the order is accepted."
        # From now on with the merchant's consent.
        said = await world.says(alice, f"cancel {order.number}")
        assert said == ["The merchant has accepted it already, and is asked. Why should it be cancelled?"]
        assert await world.says(alice, "I found one") == ["The merchant is asked. I tell you what they say."]
        (case,) = await world.plugin.market.cases.of_order(world, order.id)
        assert (case.kind, case.text) == (CaseKind.CANCELLATION, "I found one")
        await world.staff_says(store, f"approve {order.number}")
        assert (await world.order(order)).state is OrderState.CANCELLED
        assert await world.has(alice) == money("100.00")
        world.check()


@pytest.mark.parametrize("agrees", [True, False])
async def test_an_amendment_is_asked_about_and_paid_anew(agrees: bool) -> None:
    async with ShopWorld() as world:
        _, store = await world.two()
        alice = await world.buyer("alice")
        await world.fills(alice, store, "shirt", 2)
        await world.fills(alice, store, "mug")
        (order,) = await world.orders_now(alice)
        await world.pays(alice)
        await world.hears(alice)
        await world.staff_says(store, f"amend {order.number} 1:1")
        heard = await world.hears(alice)
        assert "1. Yes, I want what is left\n2. Cancel it" in heard[-1]
        assert "1. 1 × Shirt: €20.00" in heard[-1]
        if agrees:
            said = await world.says(alice, 1)
            assert "you are asked to pay what is left." in said[0]
            await world.pays(alice)
            assert (await world.order(order)).state is OrderState.PAID
            assert await world.has(alice) == money("71.50")
        else:
            said = await world.says(alice, 2, "yes")
            assert f"Order {order.number} is cancelled. Your money comes back." in said
            assert await world.has(alice) == money("100.00")
        world.check()


async def test_an_amendment_that_nobody_answers() -> None:
    async with ShopWorld(settings={"agree_minutes": 30}) as world:
        _, store = await world.two()
        alice = await world.buyer("alice")
        order = await world.bought(alice, store, "shirt", 2)
        await world.staff_says(store, f"amend {order.number} 1:1")
        await world.hears(alice)
        await world.pass_minutes(31)
        assert "was not answered in time" in (await world.hears(alice))[0]
        said = await world.says(alice, 1)
        assert said == ["That is not possible any more: the order is not answered in time."]
        assert await world.has(alice) == money("100.00")
        world.check()


async def test_a_complaint_with_photos_and_a_part_of_the_money_back() -> None:
    async with ShopWorld() as world:
        _, store = await world.two()
        alice = await world.buyer("alice")
        order = await world.delivered(alice, store, "shirt", 2)
        said = await world.says(alice, f"complain {order.number}")
        assert said[0].startswith("What is it about?\n\n1. Shirt – 2 ×\n2. The whole order")
        assert await world.says(alice, 1) == ["How many of “Shirt”?"]
        assert await world.says(alice, 1) == ["What is the matter?"]
        assert "1 to 2000 characters" in (await world.says(alice, "x" * 2_001))[0]
        assert "You can send a photo now." in (await world.says(alice, "It has a hole"))[0]
        assert (await world.says(alice, "here it is"))[0] == "That was no photo."
        room = await world.chat(alice)
        await alice.sends_photo(room=room)
        assert "Another photo?" in (await world.hears(alice))[0]
        await alice.sends_file(b"%PDF", "bill.pdf", room=room)
        assert (await world.hears(alice))[0] == "That was no photo."
        assert await world.says(alice, "done") == ["The merchant is asked. I tell you what they say."]
        (case,) = await world.plugin.market.cases.of_order(world, order.id)
        assert (dict(case.lines), case.text, len(case.photos)) == ({1: 1}, "It has a hole", 1)
        assert case.photos[0].startswith("mxc://")
        assert "Complaint: waiting for the merchant" in (await world.says(alice, f"order {order.number}"))[0]
        assert "Complaint: waiting for the merchant" in (await world.says(alice, "cases"))[0]
        await world.staff_says(store, f"refund {order.number} 5.00")
        heard = await world.hears(alice)
        assert any("€5.00" in each for each in heard), heard
        assert await world.has(alice) == money("65.00")
        world.check()


async def test_a_return_refused_and_escalated() -> None:
    async with ShopWorld() as world:
        _, store = await world.two()
        alice = await world.buyer("alice")
        world.user(ADMIN[1:].partition(":")[0])
        order = await world.delivered(alice, store, "mug")
        assert await world.says(alice, f"return {order.number}") == ["Why does it go back?"]
        said = await world.says(alice, "Too green", "done")
        assert said == ["The merchant is asked. I tell you what they say."]
        said = await world.says(alice, f"order {order.number}")
        assert "Withdraw the case" in said[0]
        assert "Give it back" not in said[0]
        await world.staff_says(store, f"refuse {order.number} It was green on the picture")
        assert any("It was green on the picture" in each for each in await world.hears(alice))
        said = await world.says(alice, f"order {order.number}", "ask the operator to decide")
        assert said[-1] == "The operator is asked to decide."
        (case,) = await world.plugin.market.cases.of_order(world, order.id)
        assert case.state is CaseState.ESCALATED
        said = await world.says(alice, f"order {order.number}", "withdraw the case")
        assert said[-1] == "Withdrawn."
        world.check()


async def test_what_was_not_delivered_cannot_go_back() -> None:
    async with ShopWorld() as world:
        _, store = await world.two()
        alice = await world.buyer("alice")
        order = await world.bought(alice, store, "mug")
        said = await world.says(alice, f"return {order.number}")
        assert said[0].startswith("Only what was delivered can go back")
        assert await world.says(alice, f"rate {order.number}") == [
            f"Order {order.number} can be rated once it is delivered."
        ]
        world.check()


async def test_a_rating_stands_on_the_card() -> None:
    async with ShopWorld() as world:
        _, store = await world.two()
        alice = await world.buyer("alice")
        order = await world.delivered(alice, store, "mug")
        said = await world.says(alice, f"rate {order.number}")
        assert "4. ★★★★" in said[0]
        await alice.reacts("4️⃣", room=await world.chat(alice))
        assert "What would you tell others?" in (await world.hears(alice))[0]
        assert "You can send a photo now." in (await world.says(alice, "Good for tea"))[0]
        await alice.sends_photo(room=await world.chat(alice))
        assert await world.hears(alice) == [f"Thank you for rating order {order.number}."]
        rating = await world.plugin.market.ratings.of_order(world, order.id)
        assert (rating.stars, rating.text, len(rating.photos)) == (4, "Good for tea", 1)
        assert "€8.50 · ★ 4 (1 rating)" in (await world.says(alice, "search mug", 1))[-1]
        assert "2. Store – ★ 4 (1 rating)" in (await world.says(alice, "cancel", "browse"))[0]
        assert "Rate it" not in (await world.says(alice, f"order {order.number}"))[0]
        world.check()


async def test_the_same_again_at_the_prices_of_now() -> None:
    async with ShopWorld() as world:
        _, store = await world.two()
        alice = await world.buyer("alice")
        await world.fills(alice, store, "mug", 2)
        await world.fills(alice, store, "belt")
        (order,) = await world.orders_now(alice)
        await world.pays(alice)
        await world.hears(alice)
        await world.changes_product(store, "mug", variants=(Variant("one", "One", money("9.00")),))
        await world.changes_product(store, "belt", active=False)
        said = await world.says(alice, f"reorder {order.number}")
        assert said[0].startswith("In the cart: 2 × Mug\nBelt cannot be had now.\nYour cart:\nStore: €18.00")
        world.check()


async def test_a_stale_answer_to_an_order() -> None:
    """What an order offers is asked again when it is done: too late, they hear how it stands."""
    async with ShopWorld() as world:
        _, store = await world.two()
        alice = await world.buyer("alice")
        order = await world.bought(alice, store, "mug")
        await world.says(alice, f"order {order.number}")
        await world.staff_says(store, f"reject {order.number} no")
        await world.hears(alice)
        said = await world.says(alice, "cancel it", "yes")
        assert said[-1] == "That is not possible any more: the order is rejected by the merchant."
        world.check()
