"""Price lists: who is on one sees and pays their own price, and nobody else does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from bots.commerce.price_lists import with_rule
from bots.domain.catalogue import CatalogueError, PriceRule, Variant, price_at, price_list_name
from bots.domain.merchants import Merchant, Staff
from bots.framework.testing import Person
from tests.support.commerce import money
from tests.support.shop import ShopWorld

pytestmark = pytest.mark.timeout(120)


class Lists(ShopWorld):
    """A shop whose store has a price list for its staff."""

    async def desk_says(self, store: Merchant, *texts: str) -> list[str]:
        """The owner says something in the staff room; what the shop answers to the last."""
        owner, room = self.people[store.owner], self.staff_room(store)
        for text in texts:
            await owner.hears_all(room)
            await owner.says(f"!{text}", room=room)
        return [each.body for each in await owner.hears_all(room) if each.sender == self.seller]

    async def staffed(self) -> tuple[Merchant, Person, Person]:
        """The store, and two buyers: alice is on its list, bob is not."""
        _, store = await self.two()
        alice, bob = await self.buyer("alice"), await self.buyer("bob")
        await self.chat_with(alice, bob)
        said = await self.desk_says(store, "price list set Staff: Mug 6.00", "price list add @alice:world STAFF")
        assert said == ["@alice:world is on the list “staff” now."], said
        return store, alice, bob

    async def chat_with(self, *people: Person) -> None:
        """They have talked with the shop: it knows where to find them."""
        for person in people:
            await self.says(person, "cart")

    async def priced(self, person: Person) -> Any:
        """The lines of a person's cart as they are now."""
        baskets = self.plugin.market.baskets
        return await baskets.priced(self, await baskets.get(self, person.user_id), person.user_id)


async def test_who_is_on_a_list_sees_and_pays_their_own_price() -> None:
    async with Lists() as world:
        store, alice, bob = await world.staffed()
        assert await world.hears(alice) == ["Store has prices of your own for you."]
        assert await world.says(alice, "my prices") == ["Store: price list “staff”"]
        assert await world.says(bob, "my prices") == ["You have no prices of your own with anybody here."]
        # In lists, on the card, in the cart, and at the checkout.
        assert "Mug – €6.00 · your price · Store" in (await world.says(alice, "search mug"))[0]
        assert "Mug – €8.50 · Store" in (await world.says(bob, "search mug"))[0]
        assert "€6.00 · your price, others pay €8.50" in (await world.says(alice, 1))[-1]
        assert "your price" not in (await world.says(bob, 1))[-1]
        await world.says(alice, 1)
        assert "1 × Mug – €6.00 · your price, others pay €8.50" in (await world.says(alice, "cart"))[0]
        order = (await world.orders_now(alice))[0]
        assert (order.total, order.lines[0].price_list) == (money("6.00"), "staff")
        await world.pays(alice)
        assert (await world.merchant_has(store)).minor == 0, "held, not taken"
        said = await world.desk_says(store, f"order {order.number}")
        assert "1. 1 × Mug: €6.00\n   Price list: staff" in said[0]
        assert await world.has(alice) == money("94.00")
        # For others nothing has changed.
        other = await world.bought(bob, store, "mug")
        assert (other.total, other.lines[0].price_list) == (money("8.50"), "")
        world.check()


async def test_off_the_list_the_usual_price_is_confirmed_again() -> None:
    async with Lists() as world:
        store, alice, _ = await world.staffed()
        await world.fills(alice, store, "mug", 2)
        assert [each.price for each in await world.priced(alice)] == [money("6.00")]
        assert await world.desk_says(store, "price list remove @alice:world") == [
            "@alice:world is not on the list “staff” any more."
        ]
        assert await world.desk_says(store, "price list remove @alice:world") == [
            "@alice:world is on none of your price lists."
        ]
        said = await world.says(alice, "checkout")
        assert "⚠️ Mug costs €8.50 now, not €6.00." in "\n".join(said)
        assert [each.change.kind for each in await world.priced(alice) if each.change] == ["dearer"]
        world.check()


async def test_lists_in_the_staff_room() -> None:
    async with Lists() as world:
        store, *_ = await world.staffed()
        assert (await world.desk_says(store, "price list set staff: belt 25"))[0] == (
            "Belt: €25.00 for who is on the list “staff”"
        )
        assert (await world.desk_says(store, "price lists"))[0] == "• staff: 2 prices, 1 buyer"
        whole = (await world.desk_says(store, "price list staff"))[0]
        assert whole == "Price list “staff”:\n• Mug: €6.00\n• Belt: €25.00\nOn it: @alice:world"
        assert "\n   • staff: €6.00\n" in (await world.desk_says(store, "product mug"))[0]
        assert await world.desk_says(store, "price list set staff: mug off") == [
            "Mug is not on the list “staff” any more."
        ]
        assert (await world.desk_says(store, "price lists"))[0] == "• staff: 1 price, 1 buyer"
        for text, told in (
            ("price list set staff: Nonsense 5", "There is no “Nonsense”"),
            ("price list set staff Mug 5", "Please write the list, a colon"),
            ("price list set staff: Mug 5.12345", "EUR has at most 2 decimals"),
            ("price list set !!!: Mug 5", "A price list's name has 1 to 40"),
            ("price list regulars", "There is no price list “regulars”."),
            ("price list add @alice:world staff", "is on the list “staff” already."),
            ("price list add nobody staff", ""),
        ):
            answer = "\n".join(await world.desk_says(store, text))
            assert told in answer, (text, answer)
        # Another list takes the place of the first; one without prices is said to have none.
        moved = "\n".join(await world.desk_says(store, "price list add @alice:world regulars"))
        assert "No price stands on it yet" in moved
        said = await world.desk_says(store, "price lists")
        assert said == ["• regulars: 0 prices, 1 buyer\n• staff: 1 price, 0 buyers"]
        world.check()


async def test_only_managers_change_lists() -> None:
    async with Lists() as world:
        store, alice, bob = await world.staffed()
        for text in ("price lists", "price list staff", "price list add @bob:world staff"):
            said = await world.says(bob, text)
            assert said == ["That is for the staff of a merchant, in their staff room. To sell here yourself: “sell”."]
        await world.write(lambda hand: world.sellers.hire(hand, store.id, alice.user_id, Staff.CLERK))
        room = world.staff_room(store)
        await alice.joins(room)
        await alice.hears_all(room)
        await alice.says("!price list add @bob:world staff", room=room)
        assert "Only who is manager or above may do that here." in [each.body for each in await alice.hears_all(room)]
        assert await world.says(bob, "my prices") == ["You have no prices of your own with anybody here."]


async def test_a_wish_is_told_of_by_its_own_price() -> None:
    async with Lists() as world:
        store, alice, bob = await world.staffed()
        for person in (alice, bob):
            await world.says(person, "search mug", 1, "onto the wish list", "cancel")
            await world.hears(person)
        await world.desk_says(store, "price list set staff: mug 5.00")
        world.clock.advance(hours=6)
        await world.every_hour()
        assert not [each for each in await world.hears(bob) if "wish list" in each], "not theirs"
        told = await world.hears(alice)
        assert [each for each in told if "€5.00 instead of €6.00" in each], told


def test_rules_of_a_list() -> None:
    plain = Variant("one", "Mug", money("8.50"))
    listed = with_rule(with_rule(plain, "staff", money("6.00")), "staff", money("5.00"))
    assert listed.rules == (PriceRule(money("5.00"), tier="staff"),), "one price, not two"
    bulk = replace(listed, rules=(*listed.rules, PriceRule(money("4.00"), tier="staff", least=10)))
    assert with_rule(bulk, "staff", money("5.50")).rules == (
        PriceRule(money("4.00"), tier="staff", least=10), PriceRule(money("5.50"), tier="staff"),
    )  # fmt: skip
    assert with_rule(bulk, "staff", None).rules == ()


def test_names_of_lists_are_compared_in_small_letters() -> None:
    assert price_list_name("  Gäste   & Co ") == "gäste & co"
    assert PriceRule(money("1"), tier="Staff").tier == "staff"
    for bad in ("", "a" * 41, "x\ny!", "<b>"):
        with pytest.raises(CatalogueError, match=r"catalogue\.price_list"):
            price_list_name(bad)


def test_a_list_makes_nothing_dearer() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    variant = Variant("one", "Mug", money("8.50"), rules=(PriceRule(money("9.00"), tier="staff"),))
    assert price_at(variant, now, tier="staff") == money("8.50")
