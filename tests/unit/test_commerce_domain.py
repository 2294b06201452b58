"""The domain of commerce, module by module: places, hours, catalogue, carts, coupons, merchants, cases, invoices."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bots.domain import carts, cases, catalogue, coupons, merchants, opening, orders, places
from bots.domain.carts import Cart, CartError, CartLine, priced
from bots.domain.cases import Case, CaseAction, CaseKind, CaseRefused, CaseState, begin, worth
from bots.domain.catalogue import (
    CatalogueError,
    Category,
    Choice,
    Modifier,
    ModifierGroup,
    PriceRule,
    Product,
    Stock,
    StockKind,
    Variant,
    chosen_price,
    price_at,
)
from bots.domain.coupons import Coupon, CouponError, Uses, canonical_code
from bots.domain.invoices import Invoice, InvoiceError, Line, line_refund
from bots.domain.merchants import Merchant, MerchantAction, MerchantError, MerchantState, Offer, Way
from bots.domain.money import Money
from bots.domain.opening import Hours, HoursError, Span
from bots.domain.orders import Delivery, Fulfilment, Order, OrderLine, OrderRefused, OrderState
from bots.domain.places import Circle, Place, PlaceError, Point, Polygon, Zone, distance_m

QUICK = settings(max_examples=150, deadline=None, derandomize=True, database=None)
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def eur(minor: int) -> Money:
    """So many cents."""
    return Money(minor, "EUR")


def refusal(work: Any) -> str:
    """The code of what is refused; its sentence can be said."""
    with pytest.raises(ValueError) as caught:
        work()
    assert getattr(caught.value, "human", "")
    return str(getattr(caught.value, "code", ""))


def polygon(*corners: tuple[float, float]) -> Polygon:
    """Of latitudes and longitudes."""
    return Polygon(tuple(Point(*corner) for corner in corners))


# Places


@pytest.mark.parametrize(
    ("latitude", "longitude"), [(91, 0), (-90.1, 0), (0, 180.5), (0, -181), (math.nan, 0), (0, math.inf), (True, 0)]
)
def test_points_that_are_none(latitude: float, longitude: float) -> None:
    assert refusal(lambda: Point(latitude, longitude)) == "place.invalid"


def test_distances() -> None:
    berlin, hamburg = Point(52.52, 13.405), Point(53.5511, 9.9937)
    assert distance_m(berlin, hamburg) == pytest.approx(255_000, rel=0.01)
    assert distance_m(berlin, berlin) == 0
    assert distance_m(Point(0, 179.9), Point(0, -179.9)) == pytest.approx(22_239, rel=0.01), "over the date line"
    assert distance_m(Point(90, 0), Point(90, 120)) == pytest.approx(0, abs=0.01), "a pole is one place"
    assert distance_m(Point(0, 0), Point(0, 180)) == pytest.approx(math.pi * places.EARTH_M, rel=1e-6)


def test_a_square() -> None:
    square = polygon((0, 0), (0, 2), (2, 2), (2, 0))
    for inside in ((1, 1), (0, 0), (0, 1), (2, 2), (1, 2)):
        assert square.holds(Point(*inside)), inside
    for outside in ((1, 2.1), (-0.1, 1), (2.1, 1), (1, -178)):
        assert not square.holds(Point(*outside)), outside


def test_a_square_over_the_date_line() -> None:
    for corners in (
        ((-1, 179), (-1, -179), (1, -179), (1, 179)),
        ((1, -179), (1, 179), (-1, 179), (-1, -179)),
    ):
        fiji = polygon(*corners)
        for inside in ((0, 179.5), (0, -179.5), (0, 180), (0, -180)):
            assert fiji.holds(Point(*inside)), inside
        for outside in ((0, 178.9), (0, -178.9), (0, 0), (2, 180)):
            assert not fiji.holds(Point(*outside)), outside


def test_a_hollow_corner_counts_as_outside() -> None:
    arrow = polygon((0, 0), (2, 2), (0, 4), (4, 2))
    assert not arrow.holds(Point(0.5, 2))
    assert arrow.holds(Point(3, 2))
    assert arrow.holds(Point(2, 2))


@pytest.mark.parametrize(
    ("corners", "code"),
    [
        (((0, 0), (1, 1)), "zone.corners"),
        (((0, 0), (0, 1), (0, 0)), "zone.corners"),
        (((0, 0), (0, 1), (0, 2)), "zone.flat"),
        (((0, 0), (2, 2), (0, 2), (2, 0)), "zone.crosses"),
        (((0, 0), (0, 4), (2, 4), (2, 2), (-1, 2), (-1, 1), (2, 1), (2, 0)), "zone.crosses"),
        (((0, 0), (0, 4), (0, 2), (2, 2)), "zone.crosses"),
        (((80, 0), (80, 90), (80, 180), (80, -90)), "zone.wide"),
        (((0, -100), (0, 0), (0, 100), (10, 0)), "zone.wide"),
    ],
)
def test_areas_that_cannot_be(corners: Any, code: str) -> None:
    assert refusal(lambda: polygon(*corners)) == code


def test_a_crossing_is_named_by_its_corners() -> None:
    with pytest.raises(PlaceError) as caught:
        polygon((0, 0), (2, 2), (0, 2), (2, 0))
    assert caught.value.values == {"first": 1, "second": 3}
    assert caught.value.human == "The border of the area crosses itself between corner 1 and corner 3."


@given(
    st.lists(st.tuples(st.floats(-60, 60), st.floats(0.05, 1)), min_size=3, max_size=12, unique_by=lambda x: x[0]),
    st.floats(-180, 179.99),
    st.floats(-50, 50),
)
@QUICK
def test_a_star_holds_its_middle_wherever_it_lies(
    rays: list[tuple[float, float]], longitude: float, latitude: float
) -> None:
    """Corners all around a point, in the order of their angles, are an area that holds it; shifted, it does so too."""
    count = len(rays)
    corners = []
    for index, (_, length) in enumerate(sorted(rays)):
        angle = 2 * math.pi * index / count
        x = longitude + length * math.cos(angle)
        corners.append(Point(latitude + length * math.sin(angle), (x + 180) % 360 - 180))
    star = Polygon(tuple(corners))
    assert star.holds(Point(latitude, longitude))
    assert not star.holds(Point(latitude, (longitude + 2.2 + 180) % 360 - 180))
    assert not star.holds(Point(latitude + 1.1, longitude))
    assert all(star.holds(corner) for corner in corners), "its border belongs to it"


def test_circles() -> None:
    circle = Circle(Point(52.52, 13.405), 1_000)
    assert circle.holds(Point(52.5289, 13.405))
    assert not circle.holds(Point(52.53, 13.405))
    over = Circle(Point(0, 179.999), 1_000)
    assert over.holds(Point(0, -179.999))
    pole = Circle(Point(89.9999, 0), 1_000)
    assert pole.holds(Point(89.9999, 180))
    for radius in (0, -1, math.nan, math.inf, 200_001):
        assert refusal(lambda radius=radius: Circle(Point(0, 0), radius)) == "zone.radius"


def test_fees_by_distance() -> None:
    circle = Circle(Point(0, 0), 9_000)
    zone = Zone("City", circle, eur(200), per_km=eur(50), free_from=eur(3_000))
    assert [zone.fee_for(eur(1_000), metres).minor for metres in (0, 1, 1_000, 1_001, 2_500)] == [
        200, 250, 250, 300, 350,
    ]  # fmt: skip
    assert zone.fee_for(eur(3_000), 5_000) == eur(0)
    assert refusal(lambda: Zone("City", circle, eur(-1))) == "zone.fee"
    assert refusal(lambda: Zone("City", circle, eur(1), minimum=Money(1, "USD"))) == "zone.fee"
    assert refusal(lambda: Zone(" ", circle, eur(1))) == "zone.name"
    assert refusal(lambda: Place(" ")) == "place.text"


# Opening hours

EVERY_DAY = (Span(time(9), time(18)),)


def at(text: str) -> datetime:
    """A moment."""
    return datetime.fromisoformat(text)


def test_open_from_until() -> None:
    hours = Hours("Europe/Berlin", (EVERY_DAY,) * 5 + ((), ()))
    assert hours.open_at(at("2026-01-05T08:00:00+00:00")), "nine o'clock there"
    assert not hours.open_at(at("2026-01-05T07:59:59+00:00"))
    assert hours.closes_at(at("2026-01-05T12:00:00+00:00")) == at("2026-01-05T17:00:00+00:00")
    assert not hours.open_at(at("2026-01-05T17:00:00+00:00"))
    assert hours.opens_at(at("2026-01-09T18:00:00+00:00")) == at("2026-01-12T08:00:00+00:00"), "after the weekend"
    assert Hours("UTC").opens_at(NOW) is None
    assert Hours.always().closes_at(NOW) is not None


def test_a_night_belongs_to_the_day_on_which_it_begins() -> None:
    bar = Hours("Europe/Berlin", ((),) * 5 + ((Span(time(20), time(2)),), ()))
    assert bar.open_at(at("2026-01-11T00:30:00+00:00")), "half past one on Sunday"
    assert not bar.open_at(at("2026-01-11T01:00:00+00:00"))
    assert not bar.open_at(at("2026-01-10T00:30:00+00:00"))
    closed = Hours(bar.zone, bar.week, {date(2026, 1, 10): ()})
    assert not closed.open_at(at("2026-01-11T00:30:00+00:00"))


def test_exceptions() -> None:
    new_year = {date(2026, 12, 31): (Span(time(10), time(14)),), date(2027, 1, 1): ()}
    hours = Hours("Europe/Berlin", (EVERY_DAY,) * 7, new_year)
    assert hours.closes_at(at("2026-12-31T12:00:00+00:00")) == at("2026-12-31T13:00:00+00:00")
    assert hours.opens_at(at("2026-12-31T13:00:00+00:00")) == at("2027-01-02T08:00:00+00:00")


def test_the_hour_that_is_left_out() -> None:
    """On 29 March 2026 clocks in Berlin go from two to three."""
    hours = Hours("Europe/Berlin", ((),) * 6 + ((Span(time(2, 30), time(5)),),))
    assert hours.opens_at(at("2026-03-29T00:00:00+00:00")) == at("2026-03-29T01:00:00+00:00"), "at the change"
    until = Hours("Europe/Berlin", ((),) * 6 + ((Span(time(1), time(2, 30)),),))
    assert until.closes_at(at("2026-03-29T00:30:00+00:00")) == at("2026-03-29T01:00:00+00:00")


def test_the_hour_that_comes_twice() -> None:
    """On 25 October 2026 clocks in Berlin go from three back to two."""
    hours = Hours("Europe/Berlin", ((),) * 6 + ((Span(time(2, 30), time(5)),),))
    assert hours.opens_at(at("2026-10-24T23:00:00+00:00")) == at("2026-10-25T00:30:00+00:00"), "the first of the two"
    until = Hours("Europe/Berlin", ((),) * 6 + ((Span(time(1), time(2, 30)),),))
    assert until.closes_at(at("2026-10-25T00:00:00+00:00")) == at("2026-10-25T01:30:00+00:00"), "the second"
    whole = Hours("Europe/Berlin", ((),) * 6 + ((Span(time(0), time(0)),),))
    begin = whole.opens_at(at("2026-10-24T21:00:00+00:00"))
    assert begin is not None
    end = whole.closes_at(begin)
    assert end is not None
    assert end - begin == timedelta(hours=25)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia", "UTC"])
@given(
    spans=st.lists(st.tuples(st.integers(0, 1439), st.integers(0, 1439)), min_size=1, max_size=3),
    minutes=st.integers(0, 2 * 366 * 1440),
)
@settings(QUICK, max_examples=60)
def test_hours_agree_with_themselves(zone: str, spans: list[tuple[int, int]], minutes: int) -> None:
    day = tuple(Span(time(*divmod(a, 60)), time(*divmod(b, 60))) for a, b in spans)
    try:
        hours = Hours(zone, (day,) * 7)
    except HoursError as error:
        assert error.code == "hours.overlap"
        return
    moment = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    opens, closes = hours.opens_at(moment), hours.closes_at(moment)
    assert opens is not None
    assert opens >= moment
    assert hours.open_at(opens), "who waits until then finds it open"
    assert (opens == moment) == hours.open_at(moment)
    if closes is not None:
        assert closes > moment
        assert hours.open_at(closes - timedelta(milliseconds=1))
    else:
        assert not hours.open_at(opens - timedelta(milliseconds=1)) or opens == moment


def test_hours_that_cannot_be() -> None:
    assert refusal(lambda: Hours("Europe/Nowhere")) == "hours.zone"
    assert refusal(lambda: Hours("../../etc/passwd")) == "hours.zone"
    twice = (Span(time(9), time(12)), Span(time(11), time(14)))
    assert refusal(lambda: Hours("UTC", (twice,) * 7)) == "hours.overlap"
    assert refusal(lambda: Hours("UTC", ((Span(time(1), time(2)),) * 9,) * 7)) == "hours.too_many"
    assert refusal(lambda: Span(time(9, 0, 1), time(10))) == "hours.minutes"
    assert refusal(lambda: Span(time(9, tzinfo=UTC), time(10))) == "hours.minutes"
    many = {date(2026, 1, 1) + timedelta(days=number): () for number in range(401)}
    assert refusal(lambda: Hours("UTC", exceptions=many)) == "hours.exceptions"


def test_a_night_may_not_reach_into_the_next_morning_that_begins_before_it_ends() -> None:
    night = (Span(time(20), time(4)), Span(time(3), time(5)))
    assert Hours("UTC", (night, *((),) * 6)).open_at(at("2026-01-05T03:30:00+00:00"))


# Catalogue


def pizza(**more: Any) -> Product:
    """With extras and sizes."""
    extras = ModifierGroup(
        "extras", "Extras",
        (Modifier("cheese", "Cheese", eur(150)), Modifier("gone", "Truffle", eur(500), available=False),
         Modifier("less", "No cheese", eur(-100))), 0, 2,
    )  # fmt: skip
    crust = ModifierGroup("crust", "Crust", (Modifier("thin", "Thin", eur(0)), Modifier("thick", "Thick", eur(50))), 1)
    sizes = (Variant("small", "Small", eur(700)), Variant("big", "Big", eur(1_000)))
    return Product("pizza", "Pizza", sizes, groups=(extras, crust), **more)


def test_what_extras_cost() -> None:
    product = pizza()
    total, taken = chosen_price(product, eur(700), [Choice("crust", "thick"), Choice("extras", "cheese")])
    assert total == eur(900)
    assert [each.name for each in taken] == ["Cheese", "Thick"], "in the order of the product"
    assert product.label(product.variants[1]) == "Pizza, Big"


@pytest.mark.parametrize(
    ("chosen", "code"),
    [
        ([], "catalogue.too_few"),
        ([("crust", "thin"), ("crust", "thick")], "catalogue.too_many"),
        ([("crust", "thin"), ("extras", "gone")], "catalogue.modifier_gone"),
        ([("crust", "thin"), ("extras", "gold")], "catalogue.no_such_modifier"),
        ([("crust", "thin"), ("crust", "thin")], "catalogue.no_such_modifier"),
    ],
)
def test_extras_that_cannot_be_chosen(chosen: list[tuple[str, str]], code: str) -> None:
    assert refusal(lambda: chosen_price(pizza(), eur(700), [Choice(*each) for each in chosen])) == code


def test_extras_do_not_make_it_cheaper_than_nothing() -> None:
    chosen = [Choice("crust", "thin"), Choice("extras", "less")]
    assert chosen_price(pizza(), eur(100), chosen)[0] == eur(0)
    assert refusal(lambda: chosen_price(pizza(), eur(99), chosen)) == "catalogue.negative"


def test_price_lists() -> None:
    rules = (
        PriceRule(eur(900), since=NOW, until=NOW + timedelta(days=1)),
        PriceRule(eur(800), tier="club"),
        PriceRule(eur(500), least=10),
    )
    variant = Variant("one", "One", eur(1_000), rules=rules)
    assert price_at(variant, NOW - timedelta(seconds=1)) == eur(1_000)
    assert price_at(variant, NOW) == eur(900)
    assert price_at(variant, NOW + timedelta(days=1)) == eur(1_000)
    assert price_at(variant, NOW, tier="club") == eur(800), "the lowest that applies"
    assert price_at(variant, NOW, quantity=10) == eur(500)


@pytest.mark.parametrize(
    ("work", "code"),
    [
        (lambda: Variant("one", "One", eur(-1)), "catalogue.price"),
        (lambda: Variant("one", "One", eur(1), rules=(PriceRule(Money(1, "USD")),)), "catalogue.price"),
        (lambda: PriceRule(eur(1), least=0), "catalogue.price"),
        (lambda: Category("a b", "Name"), "catalogue.key"),
        (lambda: Category("a", " "), "catalogue.name"),
        (lambda: Category("a", "Name", "a"), "catalogue.parent"),
        (lambda: ModifierGroup("g", "G", ()), "catalogue.options"),
        (lambda: ModifierGroup("g", "G", (Modifier("a", "A", eur(1)),), 2, 3), "catalogue.range"),
        (lambda: Stock(StockKind.BY_SLOT, 3), "catalogue.stock"),
        (lambda: Stock(StockKind.FINITE, -1), "catalogue.stock"),
        (lambda: Stock(StockKind.FINITE, 3, 30), "catalogue.stock"),
        (lambda: Product("p", "P", ()), "catalogue.variants"),
        (lambda: pizza(tax=Decimal("10")), "catalogue.tax"),
        (lambda: pizza(tax=Decimal("0.1234567")), "catalogue.tax"),
        (lambda: pizza(tax=Decimal("NaN")), "catalogue.tax"),
        (lambda: pizza(images=("http://x/y",)), "catalogue.images"),
        (lambda: pizza(description="x" * 4_001), "catalogue.description"),
        (lambda: Product("p", "P", (Variant("a", "A", eur(1)), Variant("b", "B", Money(1, "USD")))), "catalogue.price"),
        (lambda: Product("p", "P", (Variant("a", "A", eur(1)),) * 2), "catalogue.variants"),
    ],
)
def test_what_cannot_be_sold(work: Any, code: str) -> None:
    assert refusal(work) == code


def test_slots() -> None:
    stock = Stock(StockKind.BY_SLOT, 3, 30)
    assert stock.slot_of(at("2026-01-01T12:29:59+00:00")) == "2026-01-01T12:00:00+00:00"
    assert stock.slot_of(at("2026-01-01T13:30:00+01:00")) == "2026-01-01T12:30:00+00:00"
    assert Stock.of(3).slot_of(NOW) == ""
    assert Stock.of(None).kind is StockKind.UNLIMITED


# Carts


def test_prices_of_a_cart_are_those_of_now() -> None:
    cart = Cart().add(CartLine("m1", "pizza", "big", 2, (Choice("crust", "thin"),), shown=eur(1_100)))
    cart = cart.add(CartLine("m1", "pizza", "huge", 1)).add(CartLine("m1", "gone", "one", 1))
    cart = cart.add(CartLine("m1", "pizza", "big", 1, shown=eur(1_000)))
    cart = cart.add(CartLine("m1", "pizza", "small", 1, (Choice("crust", "thick"),), shown=Money(1, "USD")))
    found = priced(cart, lambda _merchant, key: pizza(tax=Decimal("0.19")) if key == "pizza" else None, NOW)
    assert [each.price for each in found] == [eur(1_000), None, None, None, eur(750)]
    assert [None if each.change is None else each.change.kind for each in found] == [
        "cheaper", "gone", "gone", "gone", "dearer",
    ]  # fmt: skip
    assert isinstance(found[3].problem, CatalogueError)
    assert found[0].total == eur(2_000)
    assert (found[0].name, found[0].extras, found[0].tax) == ("Pizza, Big", ("Thin",), Decimal("0.19"))
    hidden = priced(cart, lambda _merchant, _key: pizza(active=False), NOW)
    assert all(each.price is None for each in hidden)


def test_what_counts_for_a_price_by_quantity_is_all_of_the_variant() -> None:
    bread = Product("bread", "Bread", (Variant("one", "One", eur(300), rules=(PriceRule(eur(200), least=3),)),))
    cart = Cart().add(CartLine("m1", "bread", "one", 2)).add(CartLine("m1", "bread", "one", 1, note="sliced"))
    assert [each.price for each in priced(cart, lambda _m, _k: bread, NOW)] == [eur(200), eur(200)]
    other = Cart().add(CartLine("m1", "bread", "one", 2)).add(CartLine("m2", "bread", "one", 1))
    assert [each.price for each in priced(other, lambda _m, _k: bread, NOW)] == [eur(300), eur(300)]


def test_lines_of_a_cart_that_cannot_be() -> None:
    assert refusal(lambda: CartLine("m", "p", "v", 0)) == "cart.quantity"
    assert refusal(lambda: CartLine("m", "p", "v", True)) == "cart.quantity"
    assert refusal(lambda: CartLine("m", "p", "v", 1, note="x" * 301)) == "cart.note"
    assert refusal(lambda: Cart((CartLine("m", "p", "v", 1),) * 101)) == "cart.full"
    with pytest.raises(CartError, match=r"cart\.no_line"):
        Cart().remove(1)


# Coupons


def test_what_coupons_take_off() -> None:
    goods = eur(1_999)
    assert Coupon("TEN", percent=10).discount(goods, NOW, Uses()) == eur(200), "rounded half up"
    assert Coupon("TEN", percent=10, most=eur(150)).discount(goods, NOW, Uses()) == eur(150)
    assert Coupon("FIVE", amount=eur(500)).discount(goods, NOW, Uses()) == eur(500)
    assert Coupon("FIVE", amount=eur(500)).discount(eur(300), NOW, Uses()) == eur(300), "no more than there is"
    assert Coupon("ALL", percent=100).discount(goods, NOW, Uses()) == goods


@pytest.mark.parametrize(
    ("coupon", "uses", "code"),
    [
        (Coupon("TEN", percent=10, since=NOW + timedelta(seconds=1)), Uses(), "coupon.not_yet"),
        (Coupon("TEN", percent=10, until=NOW), Uses(), "coupon.over"),
        (Coupon("TEN", percent=10), Uses(person=1), "coupon.used"),
        (Coupon("TEN", percent=10, uses_each=2, uses=5), Uses(total=5, person=1), "coupon.gone"),
        (Coupon("TEN", percent=10, first_order=True), Uses(orders=1), "coupon.first"),
        (Coupon("TEN", amount=Money(5, "USD")), Uses(), "coupon.currency"),
        (Coupon("TEN", percent=10, minimum=Money(5, "USD")), Uses(), "coupon.currency"),
        (Coupon("TEN", percent=10, minimum=eur(1_001)), Uses(), "coupon.minimum"),
    ],
)
def test_coupons_that_do_not_count(coupon: Coupon, uses: Uses, code: str) -> None:
    assert refusal(lambda: coupon.discount(eur(1_000), NOW, uses)) == code


@pytest.mark.parametrize(
    "given_terms",
    [{}, {"percent": 0}, {"percent": 101}, {"percent": 5, "amount": eur(5)}, {"amount": eur(0)},
     {"percent": 5, "uses": 0}, {"percent": 5, "uses_each": 0}, {"amount": eur(5), "most": Money(5, "USD")}],
)  # fmt: skip
def test_coupons_that_cannot_be(given_terms: dict[str, Any]) -> None:
    assert refusal(lambda: Coupon("TEN", **given_terms)) == "coupon.invalid"


def test_codes_as_people_type_them() -> None:
    assert canonical_code(" summer_26 ") == "SUMMER-26"
    for wrong in ("", "ab", "x" * 33, "sömmer", "a;b;c"):
        with pytest.raises(CouponError, match=r"coupon\.code"):
            canonical_code(wrong)


@given(goods=st.integers(0, 10**9), percent=st.integers(1, 100), most=st.none() | st.integers(0, 10**6))
@QUICK
def test_a_discount_is_never_more_than_the_goods(goods: int, percent: int, most: int | None) -> None:
    coupon = Coupon("TEN", percent=percent, most=None if most is None else eur(most))
    off = coupon.discount(eur(goods), NOW, Uses())
    assert 0 <= off.minor <= goods
    assert most is None or off.minor <= most


# Merchants


def merchant(**more: Any) -> Merchant:
    """With two zones, a parcel and a door."""
    values: dict[str, Any] = {
        "id": "m1", "slug": "pizzeria", "bot": "food", "owner": "@carla:example.org", "name": "Pizzeria",
        "currency": "EUR", "state": MerchantState.ACTIVE, "hours": Hours.always(),
        "where": Place("Here", Point(0, 0)),
        "zones": (
            Zone("Near", Circle(Point(0, 0), 1_000), eur(100)),
            Zone("Far", Circle(Point(0, 0), 5_000), eur(300), per_km=eur(50), minimum=eur(2_000)),
        ),
        "ways": (Way("Parcel", Fulfilment.PARCEL, eur(490), eur(5_000)), Way("Pickup", Fulfilment.PICKUP, eur(0))),
        "minimum": eur(1_000),
    }  # fmt: skip
    return Merchant(**(values | more))


def offered(found: list[Offer]) -> list[tuple[str, int | str]]:
    """Each with its fee, or why not."""
    return [(each.option, each.fee.minor if each.refusal is None else each.refusal.code) for each in found]


def test_offers_of_delivery() -> None:
    near, far, away = (Place("x", Point(0, degrees)) for degrees in (0.005, 0.03, 1))
    assert offered(merchant().offers(eur(1_000), near)) == [("Near", 100), ("Parcel", 490), ("Pickup", 0)]
    assert offered(merchant().offers(eur(2_000), far)) == [("Far", 300 + 4 * 50), ("Parcel", 490), ("Pickup", 0)]
    assert offered(merchant().offers(eur(5_000), away)) == [("", "delivery.none"), ("Parcel", 0), ("Pickup", 0)]
    assert offered(merchant().offers(eur(999), near))[0] == ("", "delivery.minimum")
    assert offered(merchant().offers(eur(1_500), far))[0] == ("", "delivery.minimum"), "the zone's own"
    assert offered(merchant().offers(eur(1_000), Place("somewhere")))[0] == ("", "delivery.no_point")
    assert offered(merchant().offers(eur(1_000), None)) == [("", "delivery.no_point"), ("Pickup", 0)]
    assert offered(merchant(zones=(), ways=()).offers(eur(1), near)) == [("", "delivery.no_way")]
    refused = merchant().offers(eur(999), near)[0].refusal
    assert refused is not None
    assert refused.human == "Pizzeria delivers there from 10.00 EUR on; 0.01 EUR are missing."


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"slug": "Pizzeria"}, "merchant.slug"),
        ({"slug": "-a"}, "merchant.slug"),
        ({"slug": "a" * 41}, "merchant.slug"),
        ({"name": " "}, "merchant.name"),
        ({"description": "x" * 2_001}, "merchant.description"),
        ({"zones": (Zone("A", Circle(Point(0, 0), 1), eur(1)),) * 2}, "merchant.zones"),
        ({"ways": (Way("A", Fulfilment.PICKUP, eur(0)),) * 2}, "merchant.ways"),
        ({"prepare": 0}, "merchant.minutes"),
        ({"accept_within": 1_441}, "merchant.minutes"),
        ({"minimum": Money(5, "USD")}, "merchant.currency"),
        ({"ways": (Way("A", Fulfilment.PICKUP, Money(0, "USD")),)}, "merchant.currency"),
    ],
)
def test_merchants_that_cannot_be(more: dict[str, Any], code: str) -> None:
    assert refusal(lambda: merchant(**more)) == code


def test_what_follows_on_what_for_merchants() -> None:
    for state in MerchantState:
        for action in MerchantAction:
            follows = merchants.NEXT.get((state, action))
            if follows is None:
                with pytest.raises(MerchantError, match=r"merchant\.refused"):
                    merchants.advance(merchant(state=state), action)
            else:
                assert merchants.advance(merchant(state=state), action).state is follows
    assert set(merchants.WORDS) == set(MerchantState)


# Cases


def order(**more: Any) -> Order:
    """Of two lines, with everything that changes a price."""
    values: dict[str, Any] = {
        "id": "o1", "number": "N1", "checkout": "c1", "merchant": "m1", "buyer": "@alice:example.org",
        "room_id": "!a", "state": OrderState.DELIVERED,
        "lines": (OrderLine("pizza", "one", "Pizza", 3, eur(1_000)), OrderLine("salad", "one", "Salad", 1, eur(500))),
        "delivery": Delivery(Fulfilment.COURIER, eur(250)), "placed_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    return Order(**(values | more))


def case(**more: Any) -> Case:
    """A complaint."""
    values: dict[str, Any] = {
        "id": "k1", "order": "o1", "kind": CaseKind.COMPLAINT, "state": CaseState.OPEN, "text": "It was cold",
        "opened_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    return Case(**(values | more))


def test_what_follows_on_what_for_cases() -> None:
    for state in CaseState:
        for action in CaseAction:
            follows = cases.NEXT.get((state, action))
            if follows is None:
                with pytest.raises(CaseRefused, match=r"case\.refused"):
                    cases.advance(case(state=state), action, NOW)
            else:
                after = cases.advance(case(state=state), action, NOW, within=timedelta(days=1))
                assert (after.state, after.deadline) == (follows, NOW + timedelta(days=1))
    assert not [state for state, _action in cases.NEXT if state in cases.CLOSED]
    assert set(cases.WORDS) == set(CaseState)


def test_when_a_case_can_be_opened() -> None:
    for kind in CaseKind:
        for state in OrderState:
            wanted = case(kind=kind)
            if state in cases.POSSIBLE[kind]:
                assert begin(wanted, order(state=state), []) is wanted
            else:
                assert refusal(lambda w=wanted, s=state: begin(w, order(state=s), [])) == "case.not_now"
    assert refusal(lambda: begin(case(), order(), [case(id="k0")])) == "case.twice"
    assert begin(case(), order(), [case(id="k0", state=CaseState.CLOSED)])
    assert begin(case(), order(), [case(id="k0", kind=CaseKind.RETURN)])
    assert refusal(lambda: begin(case(lines={3: 1}), order(), [])) == "order.no_line"
    assert refusal(lambda: case(text=" ")) == "case.text"
    assert refusal(lambda: case(photos=("mxc://a/b",) * 6)) == "case.photos"
    assert refusal(lambda: case(amount=eur(0))) == "case.amount"


def test_what_lines_were_paid_with() -> None:
    assert worth(order(), {}) == eur(3_750)
    assert worth(order(), {1: 1}) == eur(1_000)
    assert worth(order(), {1: 99, 2: 1}) == eur(3_500), "no more than was bought"
    cheaper = order(discount=eur(350), delivery=Delivery(Fulfilment.PICKUP, eur(0)))
    assert worth(cheaper, {1: 3, 2: 1}) == eur(3_150)
    assert worth(cheaper, {2: 1}) == eur(450), "with its part of the discount"
    free = order(discount=eur(3_500), delivery=Delivery(Fulfilment.PICKUP, eur(0)))
    assert worth(free, {1: 1}) == eur(0)
    with pytest.raises(OrderRefused, match=r"order\.no_line"):
        worth(order(), {4: 1})


def test_a_coupon_takes_off_the_goods_and_not_the_delivery() -> None:
    brought = order(discount=eur(350), tip=eur(100))
    assert worth(brought, {1: 3, 2: 1}) == eur(3_150), "not a part of what the delivery costs"
    assert brought.total == eur(3_150 + 250 + 100) == brought.invoice("By courier").total
    with pytest.raises(InvoiceError, match=r"invoice\.discount_too_large"):
        Invoice((Line("Pizza", eur(100)), Line("By courier", eur(200), full=True)), discount=eur(101))


# Orders


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"lines": ()}, "order.lines"),
        ({"gift": "x" * 501}, "order.text"),
        ({"discount": eur(3_501)}, "order.amounts"),
        ({"tip": eur(-1)}, "order.amounts"),
        ({"tip": Money(1, "USD")}, "order.currency"),
        ({"delivery": Delivery(Fulfilment.PICKUP, Money(0, "USD"))}, "order.currency"),
    ],
)
def test_orders_that_cannot_be(more: dict[str, Any], code: str) -> None:
    assert refusal(lambda: order(**more)) == code


def test_lines_of_an_order() -> None:
    line = OrderLine("pizza", "one", "Pizza", 2, eur(1_000), extras=("Cheese", "Olives"))
    assert (line.label, line.total) == ("Pizza (Cheese, Olives)", eur(2_000))
    long = OrderLine("pizza", "one", "Pizza", 1, eur(1_000), extras=("x" * 120,) * 10)
    assert len(order(lines=(long,)).invoice("Delivery").lines[0].name) == 500
    assert refusal(lambda: OrderLine("p", "v", "P", 0, eur(1))) == "order.quantity"
    assert refusal(lambda: OrderLine("p", "v", "P", 1, eur(-1))) == "order.amounts"
    assert refusal(lambda: OrderLine("p", "v", "P", 1, eur(1), note="x" * 501)) == "order.text"
    assert refusal(lambda: order().line(3)) == "order.no_line"
    assert refusal(lambda: orders.amended(order(), {1: 3})) == "order.unchanged"
    assert refusal(lambda: orders.amended(order(), {1: 0, 2: 0})) == "order.nothing_left"
    assert refusal(lambda: orders.amended(order(), {9: 0})) == "order.no_line"
    assert [each.quantity for each in orders.amended(order(), {1: 1})] == [1, 1]
    assert [each.name for each in orders.amended(order(), {1: -5})] == ["Salad"]


# Invoices

amounts = st.tuples(st.integers(0, 99_999), st.integers(1, 40), st.sampled_from(["0", "0.07", "0.19", "0.255"]))


@given(
    lines=st.lists(amounts, min_size=1, max_size=6), part=st.integers(0, 100), tip=st.integers(0, 999),
    inclusive=st.booleans(), data=st.data(),
)  # fmt: skip
@QUICK
def test_invoices_add_up(
    lines: list[tuple[int, int, str]], part: int, tip: int, inclusive: bool, data: st.DataObject
) -> None:
    rows = tuple(Line(f"L{i}", eur(price), many, Decimal(tax)) for i, (price, many, tax) in enumerate(lines))
    subtotal = sum(price * many for price, many, _tax in lines)
    off = subtotal * part // 100
    if not subtotal - off + tip:
        return
    try:
        invoice = Invoice(rows, inclusive, eur(off), eur(tip))
    except ValueError as error:
        assert getattr(error, "code", "") == "invoice.nothing_to_pay"
        return
    assert sum(each.minor for each in invoice.discounted) == subtotal - off
    assert sum(each.minor for each in invoice.gross) + tip == invoice.total.minor
    for each in invoice.taxes:
        assert each.net + each.tax == each.gross
    if inclusive:
        assert invoice.total.minor == subtotal - off + tip
    # Given back one by one, in any order, it is what all of it cost.
    left = [index for index, row in enumerate(rows) for _one in range(min(row.quantity, 5))]
    back, before = 0, dict.fromkeys(range(len(rows)), 0)
    for index in data.draw(st.permutations(left)):
        back += line_refund(invoice, {index: 1}, before).minor
        before[index] += 1
    rest = {index: row.quantity - before[index] for index, row in enumerate(rows) if row.quantity > before[index]}
    back += line_refund(invoice, rest, before).minor if rest else 0
    assert back + tip == invoice.total.minor


@given(
    lines=st.lists(amounts, min_size=1, max_size=5), part=st.integers(0, 100), fee=st.integers(0, 900),
    tip=st.integers(0, 300), data=st.data(),
)  # fmt: skip
@QUICK
def test_line_by_line_buyers_get_back_what_the_goods_cost_them(
    lines: list[tuple[int, int, str]], part: int, fee: int, tip: int, data: st.DataObject
) -> None:
    goods = sum(price * many for price, many, _tax in lines)
    bought = order(
        lines=tuple(OrderLine(f"p{i}", "one", f"P{i}", many, eur(price), Decimal(tax))
                    for i, (price, many, tax) in enumerate(lines)),
        delivery=Delivery(Fulfilment.COURIER, eur(fee)), discount=eur(goods * part // 100), tip=eur(tip),
    )  # fmt: skip
    paid = goods - goods * part // 100
    if not bought.total:
        return
    assert worth(bought, {number: line.quantity for number, line in enumerate(bought.lines, 1)}) == eur(paid)
    # Complained of piece by piece, in any order, it is the same; and no line gives back more than its price.
    left = {number: line.quantity for number, line in enumerate(bought.lines, 1)}
    settled: list[Case] = []
    while left:
        number = data.draw(st.sampled_from(sorted(left)))
        many = data.draw(st.integers(1, left[number]))
        amount = worth(bought, {number: many}, settled)
        assert amount <= bought.line(number).price * many
        if amount:
            settled.append(case(state=CaseState.SETTLED, lines={number: many}, amount=amount))
        else:  # nothing can be settled with nothing: the rest of the line goes at once
            many = left[number]
            amount = worth(bought, {number: many}, settled)
            if amount:
                settled.append(case(state=CaseState.SETTLED, lines={number: many}, amount=amount))
        left[number] -= many
        if not left[number]:
            del left[number]
    assert sum(each.amount.minor for each in settled if each.amount) == paid


# Sentences


@pytest.mark.parametrize(
    "module", [carts, cases, catalogue, coupons, merchants, opening, orders, places], ids=lambda module: module.__name__
)
def test_every_code_belongs_to_its_area(module: Any) -> None:
    for code, sentence in module.MESSAGES.items():
        assert code.count(".") == 1
        assert sentence.endswith((".", "“{zone}”."))
