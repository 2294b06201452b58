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
from bots.store import catalogue, merchants
from bots.store.busy import TradeBusy
from bots.store.catalogue_tables import catalogue_postings, catalogue_shelves
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
