"""Fares: what a trip costs, what is due at its end, and whose it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bots.domain.fares import (
    LABELS,
    NO_SURGE,
    Fare,
    Part,
    Quote,
    Surge,
    cancel_fee,
    final_fare,
    miss_fee,
    multiplier,
    quote,
    ratio_of,
    smoothed,
)
from bots.domain.money import Money
from bots.domain.places import Circle, Point
from bots.domain.tariffs import (
    WEEK,
    Area,
    CancelFee,
    Fees,
    MissFee,
    Rates,
    ServiceClass,
    SurgePoint,
    SurgeRules,
    Tariff,
    TariffError,
    Tax,
    Window,
    coverage,
    week_minute,
)

HERE, THERE = Point(52.52, 13.41), Point(52.50, 13.45)
AIRPORT = Point(52.3667, 13.5033)
MONDAY_NOON = datetime(2026, 3, 2, 11, 0, tzinfo=UTC)
ALWAYS = (Window(0, WEEK),)
DAYTIME = tuple(Window(day * 1440 + 360, day * 1440 + 1320) for day in range(7))
NIGHT, _OVERLAP = coverage(DAYTIME)

amounts = st.integers(0, 5_000)
rates = st.builds(
    Rates,
    windows=st.just(ALWAYS),
    base=amounts,
    per_km=amounts,
    per_minute=amounts,
    minimum=st.integers(0, 20_000),
    booking_fee=amounts,
    waiting_per_minute=amounts,
    free_minutes=st.integers(0, 10),
)
taxes = st.builds(Tax, name=st.just("VAT"), rate=st.integers(0, 3_000), included=st.booleans())
fees = st.builds(
    Fees,
    cancel=st.builds(CancelFee, fixed=amounts, per_km=amounts, per_minute=amounts, cap=st.integers(0, 20_000)),
    miss=st.builds(MissFee, fixed=amounts),
)
surges = st.integers(100, 400).map(lambda number: Surge(number, "busy", 9, 2))
metres, seconds = st.integers(0, 300_000), st.integers(0, 20_000)


def tariff(rates: Rates | None = None, /, **changes: object) -> Tariff:
    """A tariff with one class."""
    found = rates or Rates(ALWAYS, 300, 150, 25, 600, 80, 50, 3)
    held: dict[str, object] = {
        "name": "Test",
        "currency": "EUR",
        "zone": "Europe/Berlin",
        "classes": {"standard": ServiceClass("standard", "Standard", 4), "courier": ServiceClass("courier", "C", 0)},
        "rates": {("standard", ""): (found,), ("courier", ""): (found,)},
        "surge": SurgeRules((SurgePoint(100, 100), SurgePoint(300, 300)), 10, 400),
        "surge_classes": frozenset({"standard"}),
        "fees": Fees(CancelFee(120, 300, 200, 80, 10, 600), MissFee(5, 600)),
    }
    return Tariff(**(held | changes))  # type: ignore[arg-type]


def quoted(of: Tariff, far: int = 5_000, long: int = 600, surge: Surge = NO_SURGE) -> Quote:
    return quote(of, "standard", [HERE, THERE], far, long, MONDAY_NOON, surge=surge)


def whole(fare: Fare) -> bool:
    """Lines add up, and nothing is lost between rider, driver and operator."""
    return (
        sum(line.amount.minor for line in fare.lines) == fare.total.minor
        and 0 <= fare.earning.minor <= fare.total.minor
        and fare.earning + fare.kept == fare.total
        and 0 <= fare.tax.minor <= fare.total.minor
        and all(line.label.format(**line.values) for line in fare.lines)
    )


# Quotes


def test_a_quote_says_what_it_is_made_of() -> None:
    found = quoted(tariff(), 5_000, 600)
    assert [(line.part, line.amount.minor) for line in found.lines] == [
        (Part.BASE, 300), (Part.WAY, 750), (Part.TIME, 250), (Part.BOOKING, 80),
    ]  # fmt: skip
    assert found.total == found.hold == Money(1_380, "EUR")
    assert found.earning == Money(1_040, "EUR")  # 80 % of 13.00; the booking fee is the operator's
    assert found.fare.kept == Money(340, "EUR")
    assert found.lines[1].label.format(**found.lines[1].values) == "Way (5.0 km)"
    assert found.valid_until == MONDAY_NOON + timedelta(seconds=90)
    assert found.stands(found.valid_until)
    assert not found.stands(found.valid_until + timedelta(seconds=1))


@pytest.mark.parametrize(
    ("far", "long", "way", "time"),
    [(3, 0, 0, 0), (4, 0, 1, 0), (999, 1, 150, 0), (1_003, 59, 150, 25), (1_004, 61, 151, 25), (0, 2, 0, 1)],
)
def test_each_line_is_rounded_half_up_by_itself(far: int, long: int, way: int, time: int) -> None:
    lines = {line.part: line.amount.minor for line in quoted(tariff(), far, long).lines}
    assert (lines.get(Part.WAY, 0), lines.get(Part.TIME, 0)) == (way, time)


def test_a_short_way_costs_the_minimum_and_surge_counts_on_it() -> None:
    found = quoted(tariff(), 500, 60, Surge(150, "busy", 9, 2))
    lines = {line.part: line.amount.minor for line in found.lines}
    assert lines == {Part.BASE: 300, Part.WAY: 75, Part.TIME: 25, Part.MINIMUM: 200, Part.SURGE: 300, Part.BOOKING: 80}
    assert found.surge.reason.format(waiting=9, free=2).endswith("9 wait, and 2 are free.")
    assert found.surge.times == "1.5"


@given(rates, metres, seconds, surges, taxes, st.integers(0, 10_000))
def test_lines_add_up_and_nothing_is_below_the_minimum(
    rates: Rates, far: int, long: int, surge: Surge, tax: Tax, share: int
) -> None:
    found = quoted(tariff(rates, tax=tax, share=share), far, long, surge)
    assert whole(found.fare)
    assert found.total.minor >= rates.minimum + rates.booking_fee
    assert found.hold >= found.total


@given(rates, metres, metres, seconds, seconds, surges, surges, taxes)
def test_more_costs_never_less(
    rates: Rates, far: int, farther: int, long: int, longer: int, one: Surge, other: Surge, tax: Tax
) -> None:
    far, farther = sorted((far, farther))
    long, longer = sorted((long, longer))
    low, high = sorted((one, other), key=lambda each: each.multiplier)
    of = tariff(rates, tax=tax)
    cheap, dear = quoted(of, far, long, low), quoted(of, farther, longer, high)
    assert cheap.total <= dear.total
    assert cheap.earning <= dear.earning


@given(rates, metres, seconds, surges, st.integers(100, 400))
def test_surge_is_never_above_its_cap(rates: Rates, far: int, long: int, surge: Surge, cap: int) -> None:
    capped = quoted(tariff(rates, surge=SurgeRules((), 10, cap)), far, long, surge)
    at_cap = quoted(tariff(rates, surge=SurgeRules((), 10, 400)), far, long, Surge(cap, "busy"))
    assert capped.surge.multiplier <= cap
    assert capped.total <= at_cap.total


def test_a_class_without_surge_has_none() -> None:
    found = quote(tariff(), "courier", [HERE, THERE], 5_000, 600, MONDAY_NOON, surge=Surge(300, "busy"))
    assert not found.surge
    assert found.surge.reason == ""
    assert Part.SURGE not in {line.part for line in found.lines}


def test_a_tax_on_top_is_a_line_and_one_that_is_included_is_not() -> None:
    top = quoted(tariff(tax=Tax("VAT", 1_900, included=False)))
    assert top.lines[-1].part == Part.TAX
    assert top.lines[-1].label.format(**top.lines[-1].values) == "VAT (19.0 %)"
    assert top.total.minor == 1_380 + 262  # 262.2
    assert top.fare.tax.minor == 262
    assert top.earning.minor == 1_040
    within = quoted(tariff(tax=Tax("VAT", 1_900)))
    assert within.total.minor == 1_380
    assert within.fare.tax.minor == 220  # 1380 × 19 / 119 = 220.3


def test_the_hour_and_the_zone_of_the_pickup_count() -> None:
    day, night = Rates(DAYTIME, 300, 100, 0), Rates(tuple(NIGHT), 400, 100, 0)
    far = Rates(ALWAYS, 900, 100, 0)
    of = tariff(
        rates={("standard", ""): (day, night), ("standard", "airport"): (far,), ("courier", ""): (day, night)},
        zones=(Area("airport", Circle(AIRPORT, 3_000)),),
    )

    def base(pickup: Point, at: datetime, wanted: datetime | None = None) -> int:
        found = quote(of, "standard", [pickup, THERE], 1_000, 0, at, wanted=wanted)
        return found.lines[0].amount.minor

    assert base(HERE, MONDAY_NOON) == 300
    before, after = (datetime(2026, 3, 2, 20, minute, tzinfo=UTC) for minute in (59, 0))  # 21:59, 21:00 in Berlin
    assert base(HERE, before) == 300
    assert base(HERE, after + timedelta(hours=1)) == 400
    assert base(HERE, MONDAY_NOON, wanted=datetime(2026, 3, 3, 3, tzinfo=UTC)) == 400
    assert base(AIRPORT, MONDAY_NOON) == 900
    assert base(AIRPORT, after + timedelta(hours=1)) == 900


def test_the_week_has_the_hours_of_the_clocks_there() -> None:
    # On 29 March 2026 clocks in Berlin go from 2 to 3: 00:59 UTC is 01:59, 01:00 UTC is 03:00.
    assert week_minute(datetime(2026, 3, 29, 0, 59, tzinfo=UTC), "Europe/Berlin") == 6 * 1440 + 119
    assert week_minute(datetime(2026, 3, 29, 1, 0, tzinfo=UTC), "Europe/Berlin") == 6 * 1440 + 180
    assert week_minute(datetime(2026, 3, 1, 23, 30, tzinfo=UTC), "Europe/Berlin") == 30


@given(st.lists(st.tuples(st.integers(0, WEEK - 1), st.integers(1, WEEK)), max_size=8))
def test_coverage_tells_each_minute_apart(spans: list[tuple[int, int]]) -> None:
    windows = [Window(begin, min(begin + length, WEEK)) for begin, length in spans]
    gaps, overlaps = coverage(windows)
    for minute in range(0, WEEK, 7):
        depth = sum(each.begin <= minute < each.end for each in windows)
        assert any(each.begin <= minute < each.end for each in gaps) == (depth == 0)
        assert any(each.begin <= minute < each.end for each in overlaps) == (depth > 1)


@pytest.mark.parametrize(
    ("pickup", "dropoff", "code"),
    [
        (Point(48.1, 11.5), HERE, "fare.pickup_outside"),
        (HERE, Point(48.1, 11.5), "fare.way_outside"),
        (HERE, Point(-33.8, 151.2), "fare.way_outside"),
        (HERE, Point(90.0, 0.0), "fare.way_outside"),
        (Point(13.41, 52.52), HERE, "fare.pickup_outside"),  # swapped
        (AIRPORT, HERE, "fare.no_pickup"),
    ],
)
def test_where_nobody_drives_there_is_no_price(pickup: Point, dropoff: Point, code: str) -> None:
    of = tariff(service=(Area("City", Circle(HERE, 30_000)),), no_pickup=(Area("Runway", Circle(AIRPORT, 500)),))
    with pytest.raises(TariffError) as caught:
        quote(of, "standard", [pickup, dropoff], 1_000, 60, MONDAY_NOON)
    assert caught.value.code == code
    assert caught.value.human


def test_an_unknown_class_and_a_way_that_is_too_far_are_refused() -> None:
    with pytest.raises(TariffError, match=r"tariff\.class"):
        quote(tariff(), "rocket", [HERE, THERE], 1_000, 60, MONDAY_NOON)
    with pytest.raises(TariffError, match=r"fare\.long"):
        quote(tariff(metres_most=10_000), "standard", [HERE, THERE], 10_001, 60, MONDAY_NOON)


def test_a_tariff_with_a_gap_or_without_rates_cannot_be() -> None:
    with pytest.raises(TariffError, match=r"tariff\.hours"):
        tariff(Rates((Window(0, WEEK - 1),), 1, 1, 1))
    with pytest.raises(TariffError, match=r"tariff\.hours"):
        tariff(rates={})


# The end


@given(rates, metres, seconds, surges, taxes, st.integers(0, 7_200), st.integers(0, 40_000), st.integers(0, 40_000))
def test_the_end_is_never_above_what_was_agreed(
    rates: Rates, far: int, long: int, surge: Surge, tax: Tax, waited: int, hold: int, agreed: int
) -> None:
    found = quoted(tariff(rates, tax=tax), far, long, surge)
    wait = timedelta(seconds=waited)
    held = Money(hold, "EUR")
    fare = final_fare(found, wait, held)
    assert whole(fare)
    assert fare.total <= held
    assert whole(final_fare(found, wait, held, Money(agreed, "EUR")))
    assert final_fare(found, wait, held, Money(agreed, "EUR")).total <= max(held, Money(agreed, "EUR"))
    plenty = final_fare(found, wait, Money(10**9, "EUR"))
    assert fare.total == min(plenty.total, held)
    assert plenty.total >= found.total
    if wait <= timedelta(minutes=rates.free_minutes):
        assert plenty == found.fare


def test_the_quote_stands_and_waiting_comes_on_top() -> None:
    of = tariff(waiting_minutes=5)
    found = quoted(of)
    assert found.hold == Money(1_380 + 5 * 50, "EUR")
    assert final_fare(found, timedelta(minutes=3), found.hold) == found.fare
    waited = final_fare(found, timedelta(minutes=4, seconds=1), found.hold)  # two minutes begun beyond three
    assert waited.lines[-1].values == {"minutes": 2}
    assert waited.total == Money(1_480, "EUR")
    assert waited.earning == Money(1_120, "EUR")
    long = final_fare(found, timedelta(minutes=60), found.hold)
    assert long.total == found.hold
    assert long.lines[-1].part == Part.CAP
    assert final_fare(found, timedelta(minutes=60), found.hold, Money(4_230, "EUR")).total == Money(4_230, "EUR")


def test_a_tariff_that_changes_meanwhile_changes_no_trip() -> None:
    found = quoted(tariff())
    dearer = tariff(Rates(ALWAYS, 9_999, 999, 999, 0, 0, 9_999, 0), share=9_000)
    assert quoted(dearer).total > found.total
    assert final_fare(found, timedelta(minutes=5), Money(9_999, "EUR")).total == Money(1_480, "EUR")


# Fees


@given(fees, rates, taxes, st.integers(0, 7_200), st.integers(0, 60_000), st.integers(0, 7_200), st.integers(0, 9_999))
def test_a_fee_is_never_above_its_cap_or_the_hold(
    fees: Fees, rates: Rates, tax: Tax, since: int, driven: int, drove: int, hold: int
) -> None:
    found = quoted(tariff(rates, fees=fees, tax=tax))
    held = Money(hold, "EUR")
    fare = cancel_fee(found, timedelta(seconds=since), held, driven_metres=driven, driven_seconds=drove)
    assert whole(fare)
    assert fare.total.minor <= min(fees.cancel.cap, hold)
    missed = miss_fee(found, timedelta(seconds=since), held)
    assert whole(missed)
    assert missed.total.minor == (0 if since < 300 else min(fees.miss.fixed, hold))
    if since <= fees.cancel.free_seconds:
        assert not fare.total
        assert fare.lines == ()


def test_cancelling_costs_what_was_driven_up_to_the_cap() -> None:
    found, hold = quoted(tariff()), Money(1_380, "EUR")

    def fee(since: int | None, late: int = 0, driven: int = 0) -> int:
        matched = None if since is None else timedelta(seconds=since)
        return cancel_fee(
            found, matched, hold, late=timedelta(seconds=late), driven_metres=driven, driven_seconds=60
        ).total.minor

    assert fee(None) == 0
    assert fee(120) == 0
    assert fee(121) == 210
    assert fee(121, driven=1_500) == 330
    assert fee(121, driven=50_000) == 600
    assert fee(121, late=299) == 210
    assert fee(121, late=300) == 0
    small = cancel_fee(found, timedelta(hours=1), Money(100, "EUR"), driven_metres=9_000)
    assert small.total == Money(100, "EUR")
    assert small.earning == Money(80, "EUR")


# Surge


@given(
    st.lists(st.tuples(st.integers(0, 2_000), st.integers(100, 1_000)), max_size=6),
    st.integers(1, 100),
    st.integers(100, 1_000),
    st.integers(0, 100_000),
    st.integers(0, 100_000),
    st.integers(0, 50),
)
def test_surge_rises_in_steps_and_stays_below_its_cap(
    points: list[tuple[int, int]], step: int, cap: int, one: int, other: int, waiting: int
) -> None:
    ratios, percents = sorted({ratio for ratio, _ in points}), sorted(percent for _, percent in points)
    assume(len(ratios) == len(percents))
    rules = SurgeRules(tuple(map(SurgePoint, ratios, percents)), step, cap)
    low, high = sorted((one, other))
    cheap, dear = multiplier(rules, low, waiting), multiplier(rules, high, waiting)
    assert 100 <= cheap <= dear <= cap
    assert (dear - 100) % step == 0 or dear == cap
    assert multiplier(rules, high, rules.least_waiting - 1) == 100


def test_surge_is_interpolated_and_rounded_down() -> None:
    rules = SurgeRules((SurgePoint(100, 100), SurgePoint(200, 140), SurgePoint(400, 180)), 10, 170)
    assert [multiplier(rules, ratio, 9) for ratio in (0, 99, 100, 130, 149, 150, 199, 200, 300, 399, 400, 9_999)] == [
        100, 100, 100, 110, 110, 120, 130, 140, 160, 170, 170, 170,
    ]  # fmt: skip
    assert multiplier(replace(rules, points=()), 9_999, 9) == 100


def test_a_ratio_is_measured_and_smoothed() -> None:
    assert [ratio_of(*each) for each in ((0, 0), (5, 0), (5, 2), (2, 3), (10**9, 1))] == [0, 500, 250, 66, 100_000]
    assert smoothed(100, 200, 30) == 130
    assert smoothed(100, 200, 100) == 200
    assert smoothed(0, 1, 50) == 1  # half up


def test_every_part_has_a_label() -> None:
    parts = {value for name, value in vars(Part).items() if not name.startswith("_")}
    assert parts == set(LABELS)
