"""The catalogue on both databases: products, categories, their order, stock, and the search."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import func, select

from appservice.database import Database
from bots.commerce.engines import BuiltIn
from bots.commerce.shelf import Shelf
from bots.domain.catalogue import CatalogueError, Category, Choice, Modifier, ModifierGroup, Stock, StockKind, Variant
from bots.domain.merchants import MerchantState
from bots.domain.money import Money
from bots.store import catalogue, merchants, stock
from bots.store.busy import TradeBusy
from bots.store.catalogue_tables import catalogue_postings, catalogue_shelves
from bots.store.order_tables import rating_sums
from tests.store.commerce_world import BOT, NOW, At, merchant, product


@pytest.fixture
async def at(database: Database) -> At:
    """With one merchant, whose id is ``shop``."""
    await database.write(lambda connection: merchants.apply(connection, replace(merchant(), id="shop"), NOW))
    return At(database)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(None, BOT)  # type: ignore[arg-type]


async def found(at: At, text: str, **options: str) -> list[str]:
    page = await BuiltIn(BOT).search(at, text, **options)  # type: ignore[arg-type]
    return [each.product.key for each in page.items]


async def test_kept_as_it_was(at: At, shelf: Shelf) -> None:
    extras = ModifierGroup("top", "Toppings", (Modifier("ham", "Ham", Money(150, "EUR")),), 0, 1)
    made = replace(product("pizza", "Pizza 披萨", count=3), groups=(extras,), images=("mxc://localhost/a",))
    shelf.put(at, "shop", made)
    await at.commit()
    assert await shelf.product(at, "shop", "pizza") == made
    assert await shelf.products(at, [("shop", "pizza"), ("shop", "gone"), ("else", "pizza")]) == {
        ("shop", "pizza"): made
    }
    assert await shelf.left(at, "shop", "pizza") == {"one": 3}
    shelf.put(at, "shop", replace(made, name="Pasta"), before=made)
    await at.commit()
    shelf.put(at, "shop", replace(made, name="Soup"), before=made)
    with pytest.raises(TradeBusy):
        await at.commit()


async def test_pages_in_the_order_of_the_menu(at: At, shelf: Shelf) -> None:
    for number in range(7):
        shelf.put(at, "shop", product(f"p{number}", f"Dish {6 - number}", active=number != 3))
    await at.commit()
    first = await shelf.browse(at, "shop", limit=4)
    assert [each.product.key for each in first.items] == ["p0", "p1", "p2", "p4"]
    second = await shelf.browse(at, "shop", after=first.next, limit=4)
    assert [each.product.key for each in second.items] == ["p5", "p6"]
    assert second.next == ""
    hidden, more = await shelf.all(at, "shop", limit=20)
    assert len(hidden) == 7 and more == ""
    assert len((await shelf.browse(at, "shop", after="no cursor at all", limit=4)).items) == 4


async def test_categories_hold_what_lies_in_them(at: At, shelf: Shelf) -> None:
    for category in (
        Category("drinks", "Drinks", position=2),
        Category("hot", "Hot", "drinks"),
        Category("cold", "Cold"),
    ):
        shelf.put_category(at, "shop", category)
    shelf.put(at, "shop", product("tea", "Tea", categories=("hot",)))
    shelf.put(at, "shop", product("cola", "Cola", categories=("drinks", "cold")))
    shelf.put(at, "shop", product("bread", "Bread"))
    await at.commit()
    assert [each.key for each in await shelf.categories(at, "shop")] == ["cold", "hot", "drinks"]
    inside = await shelf.browse(at, "shop", "drinks")
    assert [each.product.key for each in inside.items] == ["tea", "cola"]
    first = await shelf.browse(at, "shop", "drinks", limit=1)
    assert [each.product.key for each in (await shelf.browse(at, "shop", "drinks", first.next)).items] == ["cola"]
    assert [each.product.key for each in (await shelf.browse(at, "shop", "cold")).items] == ["cola"]
    shelf.put_category(at, "shop", Category("drinks", "Drinks", "hot"))
    with pytest.raises(CatalogueError):
        await at.commit()
    shelf.drop_category(at, "shop", "drinks")
    await at.commit()
    assert {each.key: each.parent for each in await shelf.categories(at, "shop")} == {"hot": "", "cold": ""}
    cola = await shelf.product(at, "shop", "cola")
    assert cola is not None and cola.categories == ("cold",)
    shelf.drop(at, "shop", "cola")
    await at.commit()
    left = select(func.count()).select_from(catalogue_shelves)
    assert await at.query(lambda connection: connection.execute(left).scalar_one()) == 1


async def test_what_is_on_the_shelf_is_counted_once(at: At, shelf: Shelf) -> None:
    made = product("tea", "Tea", count=20)
    shelf.put(at, "shop", made)
    await at.commit()
    claims = {"o1": [stock.Claim(stock.StockKey("shop", "tea", "one"), 5)]}
    await at.database.write(lambda connection: stock.hold(connection, claims, NOW))
    await at.database.write(lambda connection: stock.sell(connection, "o1", NOW))
    shelf.put(at, "shop", replace(made, name="Green tea"))
    await at.commit()
    assert await shelf.left(at, "shop", "tea") == {"one": 15}, "a new name brings nothing back"
    shelf.count(at, "shop", "tea", "one", 20)
    await at.commit()
    assert await shelf.left(at, "shop", "tea") == {"one": 20}, "the same number as at first is a count all the same"
    claims = {"o2": [stock.Claim(stock.StockKey("shop", "tea", "one"), 7)]}
    await at.database.write(lambda connection: stock.hold(connection, claims, NOW))
    shelf.count(at, "shop", "tea", "one", 3)
    await at.commit()
    assert await shelf.left(at, "shop", "tea") == {"one": 0}, "what is promised stays promised"
    shelf.set_available(at, "shop", "tea", "one", True)
    await at.commit()
    assert await shelf.left(at, "shop", "tea") == {"one": None}
    shelf.set_available(at, "shop", "tea", "one", False)
    await at.commit()
    assert (await shelf.browse(at, "shop")).items[0].left == 0


async def test_hidden_and_out(at: At, shelf: Shelf) -> None:
    extras = ModifierGroup("top", "Toppings", (Modifier("ham", "Ham", Money(150, "EUR")),), 0, 1)
    shelf.put(at, "shop", replace(product("pizza", "Pizza"), groups=(extras,)))
    shelf.set_available(at, "shop", "pizza", Choice("top", "ham"), False)
    shelf.set_available(at, "shop", "pizza", "", False)
    shelf.set_available(at, "shop", "nothing", "", False)
    await at.commit()
    made = await shelf.product(at, "shop", "pizza")
    assert made is not None and not made.active and not made.groups[0].options[0].available
    assert (await shelf.browse(at, "shop")).items == ()
    assert await found(at, "pizza") == []
    assert [each.key for each in await shelf.find(at, "shop", "Piza")] == ["pizza"]


async def test_variants_that_are_gone_have_no_stock(at: At, shelf: Shelf) -> None:
    two = tuple(Variant(key, key.upper(), Money(1, "EUR"), Stock.of(2)) for key in ("s", "m"))
    shelf.put(at, "shop", replace(product("shirt", "Shirt"), variants=two))
    await at.commit()
    shelf.put(
        at,
        "shop",
        replace(
            product("shirt", "Shirt"),
            variants=(two[0], Variant("l", "L", Money(1, "EUR"), Stock(StockKind.BY_SLOT, 3, 30))),
        ),
    )
    await at.commit()
    assert await shelf.left(at, "shop", "shirt") == {"s": 2, "l": None}
    levels = await at.query(lambda connection: stock.of_product(connection, "shop", "shirt"))
    assert set(levels) == {("s", "")}


# --- the search


WARES = {
    "mueller": "Müllermilch Schokolade",
    "strasse": "Straßenkreide",
    "chocolate": "Dark chocolate bar",
    "chocolates": "Box of chocolates",
    "cookie": "Cookie with chocolate",
    "falafel": "الفلافل المقرمش",
    "noodles": "牛肉拉面",
    "rice": "扬州炒饭",
    "tomato": "Tomato soup",
    "laptop": "Laptop 15 inch",
}


@pytest.fixture
async def wares(at: At, shelf: Shelf) -> At:
    for key, name in WARES.items():
        shelf.put(at, "shop", product(key, name))
    shelf.put(at, "shop", product("gift", "Gift box", description="Holds a chocolate of your choice"))
    await at.commit()
    return at


SEARCHES: list[tuple[str, list[str]]] = [
    ("Dark Chocolate", ["chocolate"]),
    ("chocolate", ["cookie", "chocolate", "gift", "chocolates"]),
    ("choclate", ["cookie", "chocolate", "chocolates", "gift"]),
    ("chocoltae bar", ["chocolate"]),
    ("choco", ["cookie", "chocolate", "chocolates", "gift"]),
    ("muellermilch", ["mueller"]),
    ("MÜLLERMILCH", ["mueller"]),
    ("mullermilch", ["mueller"]),
    ("mulermilch", ["mueller"]),
    ("strassenkreide", ["strasse"]),
    ("strasenkreide", ["strasse"]),
    ("فلافل", ["falafel"]),
    ("الفلافل", ["falafel"]),
    ("فلافيل", ["falafel"]),
    ("牛肉面", ["noodles"]),
    ("拉面", ["noodles"]),
    ("炒饭", ["rice"]),
    ("tomatoes", ["tomato"]),
    ("laptop 16 inch", ["laptop"]),
    ("lap", []),
    ("zzz", []),
    ("", []),
    ("!!! ???", []),
    ("' OR 1=1 --", []),
    ("%", []),
    ("x" * 5000, []),
]


async def test_found_however_it_is_written(wares: At) -> None:
    for text, expected in SEARCHES:
        keys = await found(wares, text)
        assert sorted(keys) == sorted(expected), text
        assert not expected or keys[0] in expected[:2], text


async def test_a_search_in_pages_and_for_one_merchant(wares: At, shelf: Shelf) -> None:
    await wares.database.write(lambda connection: merchants.apply(connection, merchant("other", id="other"), NOW))
    for number in range(25):
        shelf.put(wares, "other", product(f"c{number}", f"Chocolate number {number}"))
    await wares.commit()
    seen: list[str] = []
    after = ""
    while True:
        page = await shelf.search(wares, "chocolate", after=after)
        seen += [each.product.key for each in page.items]
        after = page.next
        if not after:
            break
    assert len(seen) == len(set(seen)) == 28
    assert await found(wares, "chocolate", merchant_id="shop", after="nonsense") == await found(
        wares, "chocolate", merchant_id="shop"
    )
    assert "c1" not in await found(wares, "chocolate", merchant_id="shop")
    assert await found(wares, "chocolate", merchant_id="nobody") == []
    before = await wares.query(lambda connection: merchants.get(connection, BOT, "other"))
    assert before is not None
    paused = replace(before, state=MerchantState.PAUSED)
    await wares.database.write(lambda connection: merchants.change(connection, before, paused, NOW))
    assert len(await found(wares, "chocolate")) == 4
    assert len(await found(wares, "chocolate", merchant_id="other")) == 10


async def test_ones_own_language_and_what_others_like_come_first(at: At, shelf: Shelf) -> None:
    for key, language in (("a", "en"), ("b", "de"), ("c", "de-AT")):
        shelf.put(at, "shop", product(key, "Pizza", language=language))
    await at.commit()
    assert await found(at, "pizza", language="de") == ["b", "c", "a"]
    assert await found(at, "pizza", language="en") == ["a", "b", "c"]
    row = {"merchant": "shop", "product": "c", "stars": 250, "ratings": 50}
    await at.database.write(lambda connection: connection.execute(rating_sums.insert(), row))
    assert await found(at, "pizza") == ["c", "a", "b"]
    listed = (await shelf.search(at, "pizza", limit=1)).items[0]
    assert (listed.stars, listed.ratings) == (5.0, 50)


async def test_the_index_follows_the_products(at: At, shelf: Shelf) -> None:
    shelf.put_category(at, "shop", Category("sweet", "Sweets"))
    shelf.put(at, "shop", product("bar", "Nougat bar", categories=("sweet",)))
    await at.commit()
    assert await found(at, "sweets") == ["bar"]
    shelf.put_category(at, "shop", Category("sweet", "Candy"))
    await at.commit()
    assert await found(at, "sweets") == [] and await found(at, "candy") == ["bar"]
    shelf.put(at, "shop", product("bar", "Marzipan bar"))
    await at.commit()
    assert await found(at, "nougat") == await found(at, "candy") == [] and await found(at, "marzipan") == ["bar"]
    shelf.drop(at, "shop", "bar")
    await at.commit()
    rows = select(func.count()).select_from(catalogue_postings)
    assert await at.query(lambda connection: connection.execute(rows).scalar_one()) == 0


async def test_no_such_merchant(at: At, shelf: Shelf) -> None:
    shelf.put(at, "nobody", product("x", "X"))
    with pytest.raises(TradeBusy):
        await at.commit()
    assert await at.query(lambda connection: catalogue.count(connection, "nobody")) == 0
