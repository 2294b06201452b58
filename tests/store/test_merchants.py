"""Merchants on both databases: kept as they were, changed by one at a time, found where they deliver."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time

import pytest

from appservice.database import Database
from bots.commerce.sellers import Sellers
from bots.commerce.shelf import Shelf
from bots.domain.merchants import MerchantAction, MerchantError, MerchantState, Staff, Way
from bots.domain.money import Money
from bots.domain.opening import Hours, Span
from bots.domain.orders import Fulfilment
from bots.domain.places import Circle, Place, Point, Polygon, Zone, distance_m
from bots.store import merchants
from bots.store.busy import TradeBusy
from tests.store.commerce_world import BOT, SQUARE, At, merchant, product

EUR = Money(250, "EUR")
MONDAY = datetime(2026, 9, 21, 12, tzinfo=UTC)


@pytest.fixture
def sellers() -> Sellers:
    return Sellers(None, BOT)  # type: ignore[arg-type]


@pytest.fixture
def at(database: Database) -> At:
    return At(database)


async def test_kept_as_they_were(at: At, sellers: Sellers) -> None:
    day = (Span(time(9), time(14)), Span(time(17), time(2)))
    corners = (Point(52.5, 13.3), Point(52.6, 13.3), Point(52.6, 13.5))
    made = merchant(
        description="Pizza 披萨 بيتزا",
        room_id="!staff:localhost",
        hours=Hours("Europe/Berlin", (day, *((),) * 6), {date(2026, 12, 24): (), date(2026, 12, 31): day[:1]}),
        zones=(
            Zone("near", Circle(SQUARE, 1500.5), EUR, Money(40, "EUR"), Money(1000, "EUR"), Money(5000, "EUR")),
            Zone("far", Polygon(corners), EUR),
        ),
        ways=(Way("Post", Fulfilment.PARCEL, EUR, Money(9000, "EUR"), ("DE", "AT"), (2, 5)),),
        minimum=Money(800, "EUR"),
        prepare=35,
        tags=("pizza", "halal"),
        auto_accept=True,
    )
    sellers.apply(at, made)
    await at.commit()
    assert await sellers.get(at, made.id) == made
    assert await sellers.by_slug(at, "corner") == made
    assert await sellers.of_room(at, "!staff:localhost") == made
    assert await sellers.of_room(at, "") is None
    assert await Sellers(None, "food").get(at, made.id) is None  # type: ignore[arg-type]
    assert await sellers.many(at, [made.id, "nobody"]) == {made.id: made}


async def test_one_changes_and_the_other_is_told(at: At, sellers: Sellers) -> None:
    sellers.apply(at, merchant(state=MerchantState.APPLIED))
    await at.commit()
    read = await sellers.by_slug(at, "corner")
    assert read is not None
    approved = sellers.act(at, read, MerchantAction.APPROVE)
    await at.commit()
    sellers.change(at, read, replace(read, name="Stale"))
    with pytest.raises(TradeBusy):
        await at.commit()
    sellers.change(at, approved, replace(approved, name="Fresh"))
    await at.commit()
    fresh = await sellers.by_slug(at, "corner")
    assert fresh is not None and (fresh.name, fresh.state, fresh.revision) == ("Fresh", MerchantState.ACTIVE, 2)
    with pytest.raises(MerchantError):
        sellers.act(at, fresh, MerchantAction.APPROVE)


async def test_a_short_name_is_one_merchants(at: At, sellers: Sellers) -> None:
    sellers.apply(at, merchant())
    await at.commit()
    sellers.apply(at, merchant(id="another"))
    with pytest.raises(TradeBusy):
        await at.commit()
    other = merchant("other")
    sellers.apply(at, other)
    await at.commit()
    sellers.change(at, other, replace(other, slug="corner"))
    with pytest.raises(TradeBusy):
        await at.commit()
    sellers.apply(at, merchant(bot="food", id="theirs"))
    await at.commit()


async def test_who_works_for_whom(at: At, sellers: Sellers) -> None:
    made, demo = merchant(), merchant("demo", owner="")
    sellers.apply(at, made)
    sellers.apply(at, demo)
    sellers.hire(at, made.id, "@bob:localhost", Staff.CLERK)
    sellers.hire(at, made.id, "@bob:localhost", Staff.MANAGER)
    sellers.hire(at, demo.id, "@bob:localhost", Staff.CLERK)
    await at.commit()
    assert await sellers.staff(at, made.id) == {"@alice:localhost": Staff.OWNER, "@bob:localhost": Staff.MANAGER}
    assert await sellers.of_person(at, "@bob:localhost") == [(made, Staff.MANAGER), (demo, Staff.CLERK)]
    sellers.dismiss(at, made.id, "@bob:localhost")
    await at.commit()
    assert set(await sellers.staff(at, made.id)) == {"@alice:localhost"}


async def test_listed_in_pages(at: At, sellers: Sellers) -> None:
    for number in range(5):
        sellers.apply(at, merchant(f"m{number}", state=MerchantState.APPLIED if number % 2 else MerchantState.ACTIVE))
    await at.commit()
    first = await sellers.list(at, [MerchantState.ACTIVE], limit=2)
    assert [each.slug for each in first] == ["m0", "m2"]
    assert [each.slug for each in await sellers.list(at, [MerchantState.ACTIVE], after=first[-1].id)] == ["m4"]
    both = await sellers.list(at, [MerchantState.ACTIVE, MerchantState.APPLIED])
    assert len(both) == 5


async def test_near_and_open_first(at: At, sellers: Sellers) -> None:
    evening = Hours("Europe/Berlin", ((Span(time(18), time(23)),),) * 7)
    never = Hours("Europe/Berlin")
    east = Point(52.5219, 13.43)
    for made in (
        merchant("open-far", where=Place("there", east)),
        merchant("open-near", tags=("Pizza",)),
        merchant("evening", hours=evening, description="Sushi & Ramen"),
        merchant("never", hours=never),
        merchant("paused", state=MerchantState.PAUSED),
        merchant("elsewhere", zones=(Zone("z", Circle(Point(48.1, 11.5), 3000), EUR),)),
        merchant("corner-of-box", zones=(Zone("z", Circle(Point(52.5, 13.40), 2500), EUR),)),
    ):
        sellers.apply(at, made)
    await at.commit()
    found = await sellers.near(at, SQUARE, MONDAY)
    assert [each.merchant.slug for each in found] == ["open-near", "open-far", "evening"]
    assert found[0].metres == 0 and found[1].metres == pytest.approx(distance_m(SQUARE, east))
    assert found[0].opens_at is None and found[2].opens_at == datetime(2026, 9, 21, 16, tzinfo=UTC)
    assert [each.merchant.slug for each in await sellers.near(at, SQUARE, MONDAY, after=1, limit=1)] == ["open-far"]
    assert [each.merchant.slug for each in await sellers.near(at, SQUARE, MONDAY, tag="PIZZA")] == ["open-near"]
    assert [each.merchant.slug for each in await sellers.near(at, SQUARE, MONDAY, text="suhsi")] == ["evening"]
    assert [each.merchant.slug for each in await sellers.near(at, SQUARE, MONDAY, text="sushi")] == ["evening"]
    shelf = Shelf(None, BOT)  # type: ignore[arg-type]
    shelf.put(at, found[1].merchant.id, product("ramen", "Ramen with egg"))
    await at.commit()
    assert [each.merchant.slug for each in await sellers.near(at, SQUARE, MONDAY, text="ramen")] == [
        "open-far",
        "evening",
    ]


async def test_zones_that_change_are_looked_for_anew(at: At, sellers: Sellers) -> None:
    made = merchant()
    sellers.apply(at, made)
    await at.commit()
    sellers.change(at, made, replace(made, zones=(Zone("z", Circle(Point(-17.8, 179.99), 5000), EUR),)))
    await at.commit()
    assert await sellers.near(at, SQUARE, MONDAY) == []
    for longitude in (179.98, -179.98, 180.0, -180.0):
        assert len(await sellers.near(at, Point(-17.8, longitude), MONDAY)) == 1, longitude
    assert await sellers.near(at, Point(-17.8, -179.9), MONDAY) == []


@pytest.mark.parametrize(
    "shape",
    [
        Circle(SQUARE, 3000),
        Circle(Point(89.99, 10), 5000),
        Circle(Point(-85, -179), 150_000),
        Circle(Point(0, 180), 200_000),
        Polygon((Point(10, 179), Point(10, -179), Point(12, -179.5))),
        Polygon((Point(-1, -170), Point(1, 175), Point(3, 178), Point(3, -171))),
    ],
)
def test_areas_hold_all_of_their_zones(shape: Circle | Polygon) -> None:
    """The sieve loses nothing: whatever point a zone holds lies in its area."""
    ((south, north, west, east),) = merchants.areas(shape)
    centre = shape.centre if isinstance(shape, Circle) else shape.corners[0]
    held = 0
    for up in range(-40, 41):
        for across in range(-60, 61):
            latitude = centre.latitude + up * 0.08
            if not -90 <= latitude <= 90:
                continue
            longitude = (centre.longitude + across * 0.4 + 180) % 360 - 180
            if not shape.holds(Point(latitude, longitude)):
                continue
            held += 1
            assert south <= latitude <= north
            assert west <= longitude <= east or west <= longitude + 360 <= east
    assert held
