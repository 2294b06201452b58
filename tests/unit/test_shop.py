"""The shop in conversation: looking round, cards, the cart and what may come in between, wishes, addresses."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bots.domain.carts import Cart
from bots.domain.catalogue import Modifier, ModifierGroup, Product, Variant
from bots.domain.merchants import MerchantAction
from bots.framework.http import HttpClient
from tests.support.commerce import money, product
from tests.support.shop import ShopWorld, wares

pytestmark = pytest.mark.timeout(120)


async def test_from_merchants_to_the_cart() -> None:
    async with ShopWorld() as world:
        await world.two()
        alice = await world.buyer("alice")
        said = await world.says(alice, "browse")
        assert said[0].startswith("Who sells here:\n\n1. Pizzeria\n2. Store")
        # No categories: their goods at once.
        said = await world.says(alice, 1)
        assert said[0].startswith(
            "Pizzeria\n\n1. Margherita – €9.00\n2. Salad – €6.00 · 3 left\n3. Lemonade – from €3.00"
        )
        said = await world.says(alice, "lemonade")
        assert said[0].startswith("Lemonade\nfrom €3.00\nFrom Pizzeria\n\n1. Into the cart\n2. Several of it")
        said = await world.says(alice, "several")
        assert said[0].startswith("Lemonade: which one?\n\n1. Small – €3.00\n2. Large – €4.00")
        assert await world.says(alice, "large") == ["How many?"]
        assert await world.says(alice, "none") == ["That is no number from 1 to 999."]
        said = await world.says(alice, "3x")
        assert said[0].startswith("In the cart: 3 × Lemonade, Large\nThere are 3 things in the cart.")
        said = await world.says(alice, "show the cart")
        assert said[0].startswith("Your cart:\nPizzeria: €12.00\n\n1. 3 × Lemonade, Large – €12.00\n2. Check out")
        world.check()


async def test_a_number_of_another_list_shows_the_one_at_hand_again() -> None:
    async with ShopWorld() as world:
        await world.two()
        alice = await world.buyer("alice")
        await world.says(alice, "browse")
        said = "\n".join(await world.says(alice, "7"))
        assert said.startswith("That is none of the options.")
        assert "1. Pizzeria\n2. Store" in said
        assert "Margherita" in (await world.says(alice, 1))[0]


async def test_back_goes_from_screen_to_screen() -> None:
    async with ShopWorld() as world:
        await world.two()
        alice = await world.buyer("alice")
        lists = [(await world.says(alice, each))[-1] for each in ("browse", "store", "leather", 1)]
        assert "1. Into the cart" in lists[3]
        assert "1. Belt – €30.00" in lists[2]
        assert "1. ▸ Leather" in lists[1]
        for before in lists[2::-1]:
            assert (await world.says(alice, "back"))[-1] == before
        world.check()


async def test_a_card_shows_picture_and_stock_and_takes_reactions() -> None:
    async with ShopWorld() as world:
        _, store = await world.two()
        alice = await world.buyer("alice")
        room = await world.chat(alice)
        await alice.says("search mug", room=room)
        await alice.hears_all(room)
        await alice.says("1", room=room)
        picture, card = await alice.hears_all(room)
        assert (picture.content["msgtype"], picture.content["url"]) == ("m.image", "mxc://world/mug")
        assert "4. Read all of the description" in card.body
        assert "…" in card.body
        assert len((await world.says(alice, 4))[0]) == len(wares()[1].description)
        await alice.reacts("🛒", room=room)
        assert "In the cart: 1 × Mug" in (await world.hears(alice))[0]
        said = await world.says(alice, "search shirt", 1, 2)
        assert said == ["How many?"]
        assert await world.says(alice, 3) == ["That is no number from 1 to 2."]
        await world.write(lambda hand: world.shelf.count(hand, store.id, "shirt", "one", 0))
        said = await world.says(alice, "cancel", "search shirt", 1)
        assert "€20.00 · sold out" in said[0]
        assert "1. Onto the wish list\n2. Back to the list" in said[0]
        world.check()


async def test_many_things_come_in_pages_of_ten() -> None:
    async with ShopWorld() as world:
        await world.merchant("store", [product(f"thing-{number:02}", "1.00") for number in range(23)])
        alice = await world.buyer("alice")
        said = await world.says(alice, "browse store")
        assert "10. Thing-09" in said[0]
        assert "11. Show more" in said[0]
        assert "Thing-10" in (await world.says(alice, "more"))[0]
        last = (await world.says(alice, "show more"))[0]
        assert "3. Thing-22" in last
        assert "Show more" not in last
        assert "10. Thing-19" in (await world.says(alice, "back"))[0]
        world.check()


async def test_extras_are_asked_for_and_priced() -> None:
    extra = Modifier("cheese", "Cheese", money("1.50"))
    less = Modifier("thin", "Thin", money("-0.50"))
    gone = Modifier("gold", "Gold", money("99.00"), available=False)
    pizza = Product(
        "pizza",
        "Pizza",
        (Variant("one", "Pizza", money("8.00")),),
        groups=(
            ModifierGroup("dough", "Dough", (less, Modifier("thick", "Thick", money("0.00"))), 1, 1),
            ModifierGroup("top", "Toppings", (extra, Modifier("ham", "Ham", money("2.00")), gone), 0, 2),
            ModifierGroup("cut", "Cut", (Modifier("cut", "Cut up", money("0.00")),), 0, 1),
        ),
        tax=Decimal("0.07"),
    )
    async with ShopWorld() as world:
        pizzeria = await world.merchant("pizzeria", [pizza])
        alice = await world.buyer("alice")
        said = await world.says(alice, "browse pizzeria", 1, 1)
        assert said[0].startswith("Dough: which one?\n\n1. Thin (−€0.50)\n2. Thick")
        said = await world.says(alice, 1)
        assert "1. Cheese (+€1.50)\n2. Ham (+€2.00)" in said[0]
        assert "Gold" not in said[0]
        said = await world.says(alice, "1, 2")
        assert said[0].startswith("Cut: which one?\n\n1. Cut up\n2. Nothing of it")
        said = await world.says(alice, 2)
        assert "In the cart: 1 × Pizza – Thin, Cheese, Ham" in said[0]
        assert "€11.00 · Thin, Cheese, Ham" in (await world.says(alice, "cart"))[0]
        # Other extras of the line that is there.
        said = await world.says(alice, 1, "choose other extras", 2, "none", 1)
        assert "€8.00 · Thick, Cut up" in said[0]
        # What has to be chosen is not there any more.
        none = ModifierGroup("dough", "Dough", (Modifier("thin", "Thin", money("0.00"), available=False),), 1, 1)
        await world.changes_product(pizzeria, "pizza", groups=(none,))
        said = await world.says(alice, "browse pizzeria", 1, 1)
        assert said[0] == "This cannot be ordered now: there is not enough left of “Dough”."
        world.check()


async def test_a_search_forgives_and_says_when_it_finds_nothing() -> None:
    async with ShopWorld() as world:
        await world.two()
        alice = await world.buyer("alice")
        assert "1. Margherita – €9.00 · Pizzeria" in (await world.says(alice, "search margarita"))[0]
        said = await world.says(alice, "search xylophone")
        assert said == ["I have found nothing for “xylophone”. Try other words."]
        world.check()


async def test_what_is_gone_by_now_shows_the_list_again() -> None:
    async with ShopWorld() as world:
        _, store = await world.two()
        alice = await world.buyer("alice")
        await world.says(alice, "browse store", "everything")
        await world.write(lambda hand: world.shelf.drop(hand, store.id, "shirt"))
        said = await world.says(alice, "shirt")
        assert said[0] == "This is not sold any more."
        assert said[1].startswith("Store\n\n1. Mug")
        # The whole merchant.
        await world.says(alice, "browse")
        await world.write(lambda hand: world.sellers.act(hand, store, MerchantAction.SUSPEND))
        said = await world.says(alice, "store")
        assert said[0] == "This merchant does not sell here any more."
        assert "1. Pizzeria" in said[1]
        assert "2." not in said[1]
        world.check()


async def test_a_number_of_an_old_list() -> None:
    async with ShopWorld() as world:
        await world.two()
        alice = await world.buyer("alice")
        room = await world.chat(alice)
        await world.says(alice, "search mug")
        old = alice.last[room.room_id]
        shown = await world.says(alice, 1)
        # A reaction to a question that was answered shows the one that is open.
        await alice.reacts("1️⃣", old, room=room)
        assert (await world.hears(alice))[-1] == shown[-1]
        await world.pass_time(days=8)
        assert "so I stop here" in (await world.hears(alice))[0]
        said = await world.says(alice, "1")
        assert said[0] == "That list is not open any more. Here it is again:"
        assert "Found for “mug”" in said[1]
        world.check()


async def test_the_cart_is_changed_line_by_line_and_taken_back() -> None:
    async with ShopWorld() as world:
        pizzeria, store = await world.two()
        alice = await world.buyer("alice")
        await world.fills(alice, pizzeria, "margherita", 2)
        await world.fills(alice, store, "mug")
        shown = (await world.says(alice, "cart"))[0]
        assert "1. 2 × Margherita – €18.00 · Pizzeria\n2. 1 × Mug – €8.50 · Store" in shown
        assert "1. 5 × Margherita – €45.00" in (await world.says(alice, 1, 1, 5))[0]
        assert "note: no onions" in (await world.says(alice, 1, "write a note", "no  onions"))[0]
        said = await world.says(alice, 2, "take it out")
        assert said[0].startswith("Taken out. “cart undo” puts it back.\nYour cart:")
        assert "Mug" not in said[0]
        said = await world.says(alice, "take the last change back")
        assert "2. 1 × Mug" in said[0]
        assert "Take the last change back" not in said[0], "there is one step"
        assert "How many? 0 takes it out." in (await world.says(alice, 2, 1))[0]
        assert "Mug" not in (await world.says(alice, 0))[0]
        assert await world.says(alice, "empty the cart") == [
            "Everything is taken out. “cart undo” puts it back.\n\nThe cart is empty. Type “browse” to look round."
        ]
        assert "1. 5 × Margherita" in (await world.says(alice, "undo"))[0]
        world.check()


async def test_the_cart_by_commands() -> None:
    async with ShopWorld() as world:
        pizzeria, _ = await world.two()
        alice = await world.buyer("alice")
        await world.fills(alice, pizzeria, "margherita", 2)
        assert "1. 4 × Margherita" in (await world.says(alice, "cart quantity 1 4"))[0]
        assert "note: hot" in (await world.says(alice, "cart note 1 hot"))[0]
        assert "hot" not in (await world.says(alice, "cart note 1"))[0]
        assert (await world.says(alice, "cart remove 7"))[0].startswith("The cart has no line 7.")
        assert "from 1 to 999" in (await world.says(alice, "cart quantity 1 1000"))[0]
        assert "A note has at most 300" in (await world.says(alice, f"cart note 1 {'x' * 301}"))[0]
        assert (await world.says(alice, "cart remove 1"))[0].startswith("Taken out. “cart undo” puts it back.")
        assert "1. 4 × Margherita" in (await world.says(alice, "cart undo"))[0]
        assert (await world.says(alice, "cart empty"))[0].startswith("Everything is taken out.")
        await world.fills(alice, pizzeria, "salad")
        # Only what was changed last is taken back, and once.
        assert (await world.says(alice, "cart undo"))[0].startswith("There is nothing to take back.")
        world.check()


async def test_a_change_from_elsewhere_shows_the_cart_again() -> None:
    async with ShopWorld() as world:
        pizzeria, store = await world.two()
        alice = await world.buyer("alice")
        await world.fills(alice, pizzeria, "margherita", 2)
        await world.says(alice, "cart", 1)
        await world.fills(alice, store, "mug")
        said = await world.says(alice, "take it out")
        assert said[0].startswith("The cart was changed meanwhile. This is how it stands now.")
        assert "1. 2 × Margherita" in said[0]
        assert "2. 1 × Mug" in said[0]
        world.check()


async def test_the_cart_shows_what_has_changed() -> None:
    async with ShopWorld() as world:
        pizzeria, store = await world.two()
        alice = await world.buyer("alice")
        await world.fills(alice, pizzeria, "margherita")
        await world.fills(alice, store, "mug")
        await world.changes_product(pizzeria, "margherita", variants=(Variant("one", "One", money("9.90")),))
        await world.write(lambda hand: world.shelf.drop(hand, store.id, "mug"))
        said = (await world.says(alice, "cart"))[0]
        assert "⚠️ Margherita costs €9.90 now, not €9.00." in said
        assert "⚠️ Something that is not sold any more cannot be had now." in said
        again = (await world.says(alice, "cart"))[0]
        assert "costs €9.90 now" not in again, "it was seen"
        world.check()


async def test_it_survives_restarts() -> None:
    async with ShopWorld() as world:
        pizzeria, _ = await world.two()
        alice = await world.buyer("alice")
        await world.fills(alice, pizzeria, "margherita")
        await world.says(alice, "cart", 1, 1)
        await world.restart(kill=True)
        assert "1. 7 × Margherita" in (await world.says(alice, 7))[0]
        world.check()


@pytest.mark.parametrize("commits", range(1, 7))
async def test_killed_in_the_middle_of_a_purchase(commits: int) -> None:
    """What goes into the cart goes in once."""
    async with ShopWorld() as world:
        await world.two()
        alice = await world.buyer("alice")
        await world.says(alice, "browse pizzeria", "salad")
        world.kill_after(commits)
        said = await world.says(alice, 1)
        assert "In the cart: 1 × Salad" in said[-1]
        assert "1. 1 × Salad" in (await world.says(alice, "cart"))[-1]
        world.check()


async def test_wishes_and_what_is_told_of_them() -> None:
    async with ShopWorld() as world:
        _, store = await world.two()
        alice = await world.buyer("alice")
        assert "Your wish list is empty" in (await world.says(alice, "wish"))[0]
        await world.says(alice, "search belt", 1, "onto the wish list")
        await world.write(lambda hand: world.shelf.count(hand, store.id, "shirt", "one", 0))
        await world.says(alice, "cancel", "search shirt", 1, "onto the wish list", "cancel")
        said = await world.says(alice, "wish")
        assert "1. Belt – €30.00\n2. Shirt – €20.00 · sold out" in said[0]
        await world.changes_product(store, "belt", variants=(Variant("one", "One", money("25.00")),))
        await world.write(lambda hand: world.shelf.count(hand, store.id, "shirt", "one", 4))
        world.clock.advance(hours=6)
        await world.every_hour()
        heard = await world.hears(alice)
        assert "“Belt” from your wish list costs less now: €25.00 instead of €30.00." in heard
        assert "“Shirt” from your wish list can be had again: €20.00." in heard
        said = await world.says(alice, 1, "show it")
        assert said[-1].startswith("Belt\n€25.00")
        said = await world.says(alice, "wish", 2, "take it off the list")
        assert "Shirt" not in said[-1]
        world.check()


async def test_the_address_book() -> None:
    async with ShopWorld() as world:
        await world.two()
        alice = await world.buyer("alice")
        assert (await world.says(alice, "addresses"))[0].startswith("I keep no address for you yet.")
        assert await world.says(alice, 1, "12") == [
            "That is no address. Write street, number and town, or share a location."
        ]
        assert await world.says(alice, "Linden  Street 7, Berlin") == ["Under which name?"]
        assert "A name has 1 to 40" in (await world.says(alice, "x" * 41))[0]
        said = await world.says(alice, "home")
        assert "1. home – Linden Street 7, Berlin" in said[-1]
        await world.says(alice, "add an address")
        assert "How is it found" in (await world.shares(alice))[0]
        said = await world.says(alice, "Market 1", "HOME")
        assert said == ["You have an address called “HOME” already.", "Under which name?"]
        await world.says(alice, "work")
        said = await world.says(alice, 2, "make it the usual one")
        assert "1. work – Market 1\n2. home" in said[-1]
        said = await world.says(alice, 2, "rename it", "flat")
        assert "2. flat" in said[-1]
        assert "flat" not in (await world.says(alice, 2, "forget it"))[-1]
        world.check()


async def test_what_is_bought_is_nobody_elses_affair() -> None:
    async with ShopWorld() as world:
        pizzeria, _ = await world.two()
        alice, bob = await world.buyer("alice"), await world.buyer("bob")
        await world.fills(alice, pizzeria, "margherita")
        room = await world.room("friends", alice, bob)
        for word in ("cart", "orders", "addresses", "wish", "checkout", "coupon X123", "complain", "browse"):
            said = await world.says(alice, f"{world.seller} {word}", room=room)
            assert said[0] == "What you buy is private: please write to me in a chat of our own.", word
        # In a staff room the staff's commands are meant, and a buyer's are not answered with what is theirs.
        said = await world.says(world.user("carla"), f"{world.seller} cart", room=world.staff_room(pizzeria))
        assert said[0] == "What you buy is private: please write to me in a chat of our own."
        world.check()


async def test_names_are_read_and_never_obeyed() -> None:
    evil = "<b>Free</b> [x](http://evil.example) \u202eABC\u202c @room"
    async with ShopWorld() as world:
        await world.merchant("store", [Product("x", evil, (Variant("one", "One", money("1.00")),))], name=evil[:70])
        alice = await world.buyer("alice")
        room = await world.chat(alice)
        await alice.says("browse", room=room)
        (message,) = await alice.hears_all(room)
        assert "<b>" not in message.html
        assert "&lt;b&gt;" in message.html
        assert "\u202e" not in message.html
        assert message.content["m.mentions"] == {}
        said = await world.says(alice, 1, 1, 1)
        assert said[-1].startswith("In the cart: 1 × <b>Free</b> [x](http://evil.example) ABC @room")
        world.check()


async def test_menus_in_arabic_and_chinese() -> None:
    async with ShopWorld() as world:
        names = {"falafel": "فلافل", "dumplings": "饺子"}
        products = [Product(key, name, (Variant("one", name, money("5.00")),)) for key, name in names.items()]
        await world.merchant("store", products, name="مطعم 餐厅")
        alice = await world.buyer("alice")
        await world.says(alice, "browse", 1)
        said = await world.says(alice, "饺子")
        assert said[0].startswith("饺子\n€5.00")
        said = await world.says(alice, "search فلافل")
        assert "فلافل" in said[0]
        assert "In the cart: 1 ×" in (await world.says(alice, 1, 1))[0]
        world.check()


async def test_a_catalogue_elsewhere_that_does_not_answer() -> None:
    vendure = {"merchant": "store", "url": "http://127.0.0.1:1/shop-api"}  # the client's guard lets nobody there
    http = HttpClient()
    await http.start()
    async with ShopWorld(settings={"vendure": [vendure]}, services=lambda _world: {HttpClient: http}) as world:
        _, store = await world.two()
        alice = await world.buyer("alice")
        words = "The catalogue cannot be reached just now. Please try again in a moment."
        assert await world.says(alice, "browse store") == [words]
        # Others are not held up by it.
        assert "Margherita" in (await world.says(alice, "browse pizzeria"))[0]
        mug = world.cart(store, "mug")
        await world.write(lambda hand: world.plugin.market.baskets.put(hand, alice.user_id, Cart(), mug))
        assert await world.says(alice, "cart") == [words]
        assert await world.says(alice, "checkout") == [words]
        assert await world.says(alice, "coupon X123") == [words]
        world.check()
    await http.stop()


async def test_people_read_their_own_language() -> None:
    async with ShopWorld() as world:
        await world.two()
        alice = await world.buyer("alice")
        await world.says(alice, "language deutsch")
        assert (await world.says(alice, "browse"))[0].startswith("Wer hier verkauft:\n\n1. Pizzeria\n2. Store")
        said = await world.says(alice, 1, "salad")
        assert said[0].startswith("Salad\n6,00 € · noch 3\nVon Pizzeria\n\n1. In den Warenkorb")
        said = await world.says(alice, "in den warenkorb")
        assert "Im Warenkorb: 1 × Salad\n1 Ding ist im Warenkorb." in said[0]
        said = await world.says(alice, "zur kasse", "abholen")
        assert "1. Für 6,00 € bestellen" in said[0]
        assert "wartet auf Ihre Zahlung" in (await world.says(alice, 1))[0]
        world.check()
