"""The demo city: every menu is without fault, and it is put in once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from appservice.clock import ManualClock
from bots.commerce.importing import planned
from bots.commerce.seed import Centre, Demo, DemoSettings, Seed, city, plant
from bots.commerce.sellers import Sellers
from bots.commerce.shelf import Shelf
from bots.commerce.trade import Trade
from bots.domain.merchants import MerchantState
from bots.domain.places import Point, distance_m
from bots.framework.testing.memory import MemoryDatabase
from tests.store.commerce_world import NOW, At

ALEX = Point(52.5219, 13.4132)


@pytest.fixture(scope="module")
def food() -> list[Seed]:
    return city("food", "food")


@pytest.fixture(scope="module")
def shops() -> list[Seed]:
    return city("shop", "shop")


def test_every_menu_is_without_fault(food: list[Seed], shops: list[Seed]) -> None:
    assert (len(food), len(shops)) == (12, 3)
    counts = {}
    for seed in (*food, *shops):
        who = seed.merchant
        plan = planned(seed.menu, "menu.yaml", [], [], currency=who.currency, language=who.language)
        assert [f"{each.line} {each.column} {each.message}" for each in plan.errors] == []
        assert plan.categories
        counts[who.slug] = len(plan.added)
        for product in plan.added:
            assert product.categories and product.tax < 1 and product.language == who.language
    assert all(counts[seed.merchant.slug] >= 7 for seed in food)
    assert sum(counts[seed.merchant.slug] for seed in shops) >= 58


def test_around_the_centre_and_somebody_is_always_open(food: list[Seed]) -> None:
    for seed in food:
        place = seed.merchant.where
        assert place is not None and place.point is not None
        assert distance_m(ALEX, place.point) < 3000
        assert seed.merchant.zone_of(ALEX) is not None, seed.merchant.slug
        assert seed.merchant.auto_accept and seed.merchant.state is MerchantState.ACTIVE
    begin = datetime(2026, 9, 21, tzinfo=UTC)
    for hour in range(24 * 7):
        assert any(seed.merchant.hours.open_at(begin + timedelta(hours=hour)) for seed in food)


def test_elsewhere() -> None:
    there = Centre(Point(1.29, 179.999), "Pacific/Fiji")
    moved = city("food", "food", "@alice:localhost", there)
    assert {seed.merchant.owner for seed in moved} == {"@alice:localhost"}
    assert {seed.merchant.hours.zone for seed in moved} == {"Pacific/Fiji"}
    assert all(seed.merchant.zone_of(there.point) is not None for seed in moved)


async def test_put_in_once(food: list[Seed]) -> None:
    database = MemoryDatabase()
    await database.start()
    at, few = At(database), food[:3]
    assert await plant(database, few, NOW) == 3
    sellers, shelf = Sellers(None, "food"), Shelf(None, "food")  # type: ignore[arg-type]
    pizzeria = await sellers.by_slug(at, "trattoria-ponte")
    assert pizzeria is not None
    sellers.change(at, pizzeria, replace(pizzeria, name="Another name"))
    shelf.drop(at, pizzeria.id, "margherita")
    await at.commit()
    assert await plant(database, few, NOW) == 0
    assert await shelf.product(at, pizzeria.id, "margherita") is None
    found = await sellers.near(at, ALEX, datetime(2026, 9, 21, 11, tzinfo=UTC), text="piza")
    assert [each.merchant.name for each in found] == ["Another name"]
    assert (await shelf.search(at, "牛肉面")).items[0].product.name.endswith("面")
    assert (await shelf.search(at, "فلافل")).items
    assert await shelf.undo_import(at, pizzeria.id) is None
    broken = replace(few[0], merchant=replace(few[0].merchant, id="x", slug="x"), menu=b"- {name: x, price: 1.12345}")
    with pytest.raises(ValueError, match=r"x\.yaml:1: price: EUR has at most 2 decimals"):
        await plant(database, [broken], NOW)
    assert await sellers.by_slug(at, "x") is None
    await database.stop()


async def test_a_plugin_puts_them_in_when_it_starts() -> None:
    database = MemoryDatabase()
    await database.start()

    async def nothing(_work: object) -> None:
        return None

    trade = Trade("k" * 32, database, nothing, ManualClock(NOW))
    for enabled, count in ((False, 0), (True, 3), (True, 3)):
        plugin = Demo()
        plugin.open_demo(DemoSettings(enabled=enabled, owner="@alice:localhost"), trade, "shop", "shop")
        await plugin.start()
        found = await Sellers(trade, "shop").of_person(At(database), "@alice:localhost")
        assert len(found) == count
    await database.stop()


def test_settings_are_checked() -> None:
    centre = {"latitude": -33.86, "longitude": 151.2, "zone": "Australia/Sydney"}
    made = DemoSettings.model_validate({"enabled": True, "centre": centre})
    assert made.seeds("food", "food")[0].merchant.hours.zone == "Australia/Sydney"
    for wrong in (
        {"owner": "alice"},
        {"centre": {**centre, "zone": "Mars/Olympus"}},
        {"centre": {**centre, "latitude": 99}},
    ):
        with pytest.raises(ValidationError):
            DemoSettings.model_validate(wrong)
