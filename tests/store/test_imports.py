"""Imports on both databases: all or nothing, never over what has changed meanwhile, and back again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import func, select

from appservice.clock import ManualClock
from appservice.database import Database
from bots.commerce.importing import ImportPlan
from bots.commerce.shelf import Shelf
from bots.commerce.trade import Trade
from bots.domain.catalogue import Category, Product
from bots.domain.money import Money
from bots.store import merchants, stock
from bots.store.busy import TradeBusy
from bots.store.catalogue_tables import catalogue_products
from tests.store.commerce_world import BOT, NOW, At, merchant, product

MENU = """name,price,stock,category
Tea,2.00,20,Drinks > Hot
Cola,3.00,unlimited,Drinks
Bread,1.50,,
"""


@pytest.fixture
async def at(database: Database) -> At:
    await database.write(lambda connection: merchants.apply(connection, merchant(id="shop"), NOW))
    return At(database)


@pytest.fixture
def shelf(database: Database) -> Shelf:
    async def nothing(_work: object) -> None:
        return None

    return Shelf(Trade("k" * 32, database, nothing, ManualClock()), BOT)


async def whole(at: At, shelf: Shelf) -> tuple[list[Product], list[Category]]:
    products, _ = await shelf.all(at, "shop", limit=100)
    return products, await shelf.categories(at, "shop")


async def take(at: At, shelf: Shelf, text: str, *, complete: bool = False) -> ImportPlan:
    plan = await shelf.plan_import(at, "shop", text.encode(), "menu.csv", complete=complete)
    assert plan.errors == ()
    await shelf.apply_import(at, "shop", plan)
    await at.commit()
    return plan


async def sell(at: At, order: str, key: str, quantity: int) -> None:
    claims = {order: [stock.Claim(stock.StockKey("shop", key, "one"), quantity)]}
    await at.database.write(lambda connection: stock.hold(connection, claims, NOW))
    await at.database.write(lambda connection: stock.sell(connection, order, NOW))


async def test_there_and_back(at: At, shelf: Shelf) -> None:
    plan = await shelf.plan_import(at, "shop", MENU.encode(), "menu.csv")
    assert await whole(at, shelf) == ([], []), "a plan changes nothing"
    assert ([each.key for each in plan.added], plan.changed, plan.removed) == (["tea", "cola", "bread"], (), ())
    await take(at, shelf, MENU)
    products, shelves = await whole(at, shelf)
    assert [each.key for each in products] == ["tea", "cola", "bread"]
    assert [(each.key, each.parent) for each in shelves] == [("drinks", ""), ("hot", "drinks")]
    assert await shelf.left(at, "shop", "tea") == {"one": 20}
    again = await shelf.plan_import(at, "shop", MENU.encode(), "menu.csv")
    assert again.empty and again.same == 3
    undone = await shelf.undo_import(at, "shop")
    await at.commit()
    assert undone is not None and len(undone.removed) == 3 and undone.kept == ()
    assert await whole(at, shelf) == ([], [])
    assert await shelf.undo_import(at, "shop") is None, "one step back, and no further"


async def test_undo_brings_back_what_was_and_keeps_what_was_sold(at: At, shelf: Shelf) -> None:
    await take(at, shelf, MENU)
    await sell(at, "o1", "tea", 4)
    before = await whole(at, shelf)
    changed = await take(
        at, shelf, "key,name,price,stock,remove\ntea,Green tea,2.50,50,\nbread,,,,yes\nmilk,Milk,1,,\n"
    )
    assert changed.counted == {("tea", "one")}
    assert await shelf.left(at, "shop", "tea") == {"one": 50}
    await sell(at, "o2", "tea", 5)
    undone = await shelf.undo_import(at, "shop")
    await at.commit()
    assert undone is not None and undone.kept == ()
    after = await whole(at, shelf)
    assert [each.name for each in after[0]] == [each.name for each in before[0]] == ["Tea", "Cola", "Bread"]
    assert after[1] == before[1]
    assert await shelf.left(at, "shop", "tea") == {"one": 11}, "16 there were, 5 of them are sold"


async def test_what_changed_since_stays(at: At, shelf: Shelf) -> None:
    await take(at, shelf, MENU)
    await take(at, shelf, "key,price\ntea,9\ncola,9\n")
    tea = await shelf.product(at, "shop", "tea")
    assert tea is not None
    shelf.put(at, "shop", replace(tea, name="By hand"))
    await at.commit()
    undone = await shelf.undo_import(at, "shop")
    await at.commit()
    assert undone is not None and undone.kept == ("By hand",)
    prices = {each.name: each.variants[0].price for each in (await whole(at, shelf))[0]}
    assert prices == {"By hand": Money(900, "EUR"), "Cola": Money(300, "EUR"), "Bread": Money(150, "EUR")}


async def test_a_plan_that_is_old_is_not_applied(at: At, shelf: Shelf) -> None:
    await take(at, shelf, MENU)
    plan = await shelf.plan_import(
        at, "shop", b"key,price\ntea,9\ncola,9\nwater,1\n".replace(b"water", b"cola2"), "a.csv"
    )
    assert plan.errors, "a new product needs a name"
    plan = await shelf.plan_import(at, "shop", b"key,name,price\ntea,Tea,9\nwater,Water,1\n", "a.csv")
    await sell(at, "o1", "tea", 1)
    shelf.put(at, "shop", product("water", "Water by hand"))
    await at.commit()
    await shelf.apply_import(at, "shop", plan)
    with pytest.raises(TradeBusy):
        await at.commit()
    tea = await shelf.product(at, "shop", "tea")
    assert tea is not None and tea.variants[0].price == Money(200, "EUR"), "all or nothing"
    with pytest.raises(ValueError, match="errors"):
        await shelf.apply_import(at, "shop", await shelf.plan_import(at, "shop", b"x", "a.csv"))
    with pytest.raises(LookupError):
        await shelf.plan_import(at, "nobody", b"x", "a.csv")


async def test_the_whole_menu_anew(at: At, shelf: Shelf) -> None:
    await take(at, shelf, MENU)
    plan = await take(at, shelf, "name,price\nCola,3\nSoup,4\nTea,2\n", complete=True)
    assert [each.key for each in plan.removed] == ["bread"]
    assert [each.key for each in (await whole(at, shelf))[0]] == ["cola", "soup", "tea"]
    drinks = await shelf.browse(at, "shop", "drinks")
    assert [each.product.key for each in drinks.items] == ["cola", "tea"]
    await shelf.undo_import(at, "shop")
    await at.commit()
    assert [each.key for each in (await whole(at, shelf))[0]] == ["tea", "cola", "bread"]


async def test_written_and_read_back(at: At, shelf: Shelf) -> None:
    await take(at, shelf, MENU)
    await sell(at, "o1", "tea", 3)
    for kind in ("csv", "yaml"):
        data = await shelf.export(at, "shop", kind)
        plan = await shelf.plan_import(at, "shop", data, f"menu.{kind}", complete=True)
        assert (plan.errors, plan.empty, plan.same) == ((), True, 3)
        assert b"17" in data, "what is left of the tea"


async def test_thousands_at_once(at: At, shelf: Shelf) -> None:
    lines = "".join(f"Product {number},{number % 90 + 1}.00,{number}\n" for number in range(600))
    await take(at, shelf, "name,price,stock\n" + lines)
    count = select(func.count()).select_from(catalogue_products)
    assert await at.query(lambda connection: connection.execute(count).scalar_one()) == 600
    assert (await shelf.search(at, "product 599")).items[0].product.name == "Product 599"
