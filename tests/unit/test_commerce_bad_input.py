"""What merchants upload and take away, seen from where it hurts: the buyers' side. (Each kind of input by itself is in
``test_desk_goods``, ``test_desk_house`` and ``test_import``.)"""

from __future__ import annotations

import pytest

from bots.domain.merchants import Merchant
from bots.domain.orders import OrderState
from tests.support.commerce import money
from tests.support.shop import ShopWorld

pytestmark = pytest.mark.timeout(120)

MENU = """
complete: yes
categories:
  - {key: hot, name: أطباق ساخنة}
  - {key: mian, name: 面条}
products:
  - key: kebab
    name: شاورما دجاج
    description: دجاج مشوي مع الثوم
    categories: [hot]
    language: ar
    price: 6.50
    extras:
      - name: الإضافات
        choose: 0-2
        options:
          - {name: ثوم, price: 0.50}
          - طحينة
  - key: mian
    name: 红烧牛肉面
    description: 麻辣,手工面
    categories: [mian]
    language: zh
    variants:
      - {name: 小碗, price: 8.00}
      - {name: 大碗, price: 10.50, stock: 3}
"""


def plain(text: str) -> str:
    """Without the marks that keep scripts apart."""
    return "".join(each for each in text if each not in "\u2066\u2067\u2068\u2069\u200e\u200f")


async def sends(world: ShopWorld, store: Merchant, data: str | bytes, name: str) -> list[str]:
    """The owner sends a file to the staff room; what the shop says then."""
    owner, room = world.people[store.owner], world.staff_room(store)
    await owner.hears_all(room)
    await owner.sends_file(data.encode() if isinstance(data, str) else data, name, room=room)
    return [plain(each.body) for each in await owner.hears_all(room) if each.sender == world.seller]


async def test_a_menu_in_arabic_and_chinese_is_found_and_bought() -> None:
    async with ShopWorld() as world:
        _, store = await world.two()
        asked = await sends(world, store, MENU, "menu.yaml")
        assert "2 new products: شاورما دجاج" in asked[-1] and "红烧牛肉面" in asked[-1], asked
        await world.says(world.people[store.owner], 1, room=world.staff_room(store))
        alice = await world.buyer("alice")
        # By a word with its article, by two characters out of the middle, by the beginning of a word.
        for words, name in (("الدجاج", "شاورما دجاج"), ("牛肉", "红烧牛肉面"), ("شاور", "شاورما دجاج")):
            assert f"1. {name}" in plain((await world.says(alice, f"search {words}"))[0]), words
        said = await world.says(alice, "search 牛肉", 1, 1)
        assert "1. 小碗 – €8.00\n2. 大碗 – €10.50 · 3 left" in plain(said[0])
        await world.says(alice, "大碗")
        said = await world.says(alice, "search شاورما", 1, 1)
        assert "1. ثوم (+€0.50)" in plain(said[0])
        said = await world.says(alice, "ثوم")
        assert "شاورما دجاج" in plain(said[0])
        (order,) = await world.orders_now(alice)
        assert order.total == money("17.50")
        await world.pays(alice)
        assert (await world.order(order)).state is OrderState.PAID
        said = await world.staff_says(store, f"order {order.number}")
        assert "红烧牛肉面, 大碗" in plain(said[0]) and "شاورما دجاج (ثوم)" in plain(said[0])
        world.check()


async def test_a_merchant_deletes_what_lies_in_carts_and_what_is_ordered() -> None:
    async with ShopWorld() as world:
        _, store = await world.two()
        alice, bob = await world.buyer("alice"), await world.buyer("bob")
        await world.fills(alice, store, "mug", 2)
        await world.fills(alice, store, "belt")
        order = await world.bought(bob, store, "mug")
        # Alice looks at the orders as they would be placed; meanwhile the mug goes.
        said = await world.says(alice, "checkout", "Fetch it")
        assert "Order for €47.00" in said[-1]
        await world.staff_says(store, "remove Mug", "yes")
        assert await world.shelf.product(world, store.id, "mug") is None
        said = await world.says(alice, 1)
        assert not await world.orders.of_buyer(world, alice.user_id), "nothing is placed that is not there"
        assert "cannot be had" in "\n".join(said)
        # It leaves the cart once she has seen it; the rest can be ordered.
        said = await world.says(alice, "checkout", "Go on with it so", "Fetch it")
        assert "Order for €30.00" in said[-1]
        await world.says(alice, 1)
        (mine,) = await world.orders.of_buyer(world, alice.user_id)
        assert [line.product for line in mine.lines] == ["belt"]
        # What was bought before goes its way, and comes back on no shelf when it comes to nothing.
        said = await world.staff_says(store, f"reject {order.number} sold out")
        assert (await world.order(order)).state is OrderState.REJECTED
        assert await world.has(bob) == money("100")
        assert "not sold any more" in "\n".join(await world.says(bob, f"reorder {order.number}"))
        world.check()


async def test_extras_that_go_round_in_circles_are_refused_with_their_line() -> None:
    async with ShopWorld() as world:
        _, store = await world.two()
        loop = (
            "products:\n  - name: Mug\n    price: 8.50\n    extras: &all\n      - name: Size\n        options: *all\n"
        )
        said = await sends(world, store, loop, "menu.yaml")
        assert "Line 4: References within a file" in said[-1]
        nested = (
            "products:\n  - name: Mug\n    price: 8.50\n    extras:\n      - name: Size\n        options:\n"
            "          - name: Small\n            extras:\n              - name: Size\n"
            "                options: [Small]\n"
        )
        said = await sends(world, store, nested, "menu.yaml")
        assert "nothing was changed" in said[-1] and "Line 8" in said[-1], said
        shelves = "categories:\n  - {key: a, name: A, parent: b}\n  - {key: b, name: B, parent: a}\n"
        said = await sends(world, store, shelves, "menu.yaml")
        assert "lies in itself" in said[-1]
        # More has to be chosen than there is; and chosen from nothing.
        impossible = "name,price,extras\nMug,8.50,Size [3-4]: Small | Large\nCup,3,Size [1]:\n"
        said = await sends(world, store, impossible, "menu.csv")
        assert "Line 2" in said[-1] and "Line 3" in said[-1] and "nothing was changed" in said[-1]
        found = await world.shelf.product(world, store.id, "mug")
        assert found is not None and not found.groups
        world.check()
