"""A round of dispatch: nobody twice, nobody who must not, as cheap as can be, and the same every time."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bots.domain.dispatch import (
    FreeDriver,
    Plan,
    Policy,
    Pool,
    Request,
    Why,
    assign,
    offer_deadline,
    prepare,
    request_of,
    search_from,
    search_over,
    wave_size,
)
from bots.domain.dispatch_matching import cheapest_first, solve
from bots.domain.dispatch_near import Near, cell_of, metres_between, vectors
from bots.domain.money import Money
from bots.domain.places import Place, Point, distance_m
from bots.domain.trips import Trip, TripKind, TripState

CITY = Point(52.52, 13.405)
STANDARD = frozenset({"standard"})
SPEED = 6.0
NOW = 1_000_000.0
PLAIN = Policy(waiting_weight=0, idle_weight=0)


def legs(pool: Pool) -> tuple[np.ndarray, np.ndarray]:
    """Straight lines at a steady speed."""
    metres = metres_between(vectors(pool.origins), vectors(pool.destinations))
    return metres / SPEED, metres


def planned(
    requests: list[Request], drivers: list[FreeDriver], policy: Policy = PLAIN, now: float = NOW, seed: int = 0
) -> Plan:
    pool = prepare(requests, drivers, now, policy)
    return assign(pool, *legs(pool), seed=seed)


def at(north_m: float, east_m: float, of: Point = CITY) -> Point:
    """A point so many metres from another."""
    latitude = of.latitude + math.degrees(north_m / 6_371_008.8)
    longitude = of.longitude + math.degrees(east_m / 6_371_008.8 / math.cos(math.radians(of.latitude)))
    return Point(latitude, (longitude + 180) % 360 - 180)


def request(name: str, north: float = 0, east: float = 0, **changes: object) -> Request:
    plain = Request(name, at(north, east), at(north + 3000, east), STANDARD, NOW - 10)
    return replace(plain, **changes)  # type: ignore[arg-type]


def driver(name: str, north: float = 0, east: float = 0, **changes: object) -> FreeDriver:
    return replace(FreeDriver(f"@{name}:x", at(north, east), STANDARD, NOW - 60), **changes)  # type: ignore[arg-type]


def pairs_of(plan: Plan) -> dict[str, str]:
    return {each.requests[0]: each.driver for each in plan.matches if not each.backup}


SERVICES = st.sets(st.sampled_from(["standard", "xl", "courier"]), min_size=1).map(frozenset)
METRES = st.floats(-6000, 6000)
NAMES = [f"@d{number}:x" for number in range(9)]


@st.composite
def requests(draw: st.DrawFn, most: int = 8) -> list[Request]:
    return [
        Request(
            f"r{number}",
            at(draw(METRES), draw(METRES)),
            at(draw(METRES), draw(METRES)),
            draw(SERVICES),
            NOW - draw(st.floats(0, 115)),
            priority=draw(st.integers(0, 2)),
            declined=frozenset(draw(st.sets(st.sampled_from(NAMES), max_size=3))),
            waves=draw(st.integers(0, 3)),
            batchable=draw(st.booleans()),
        )
        for number in range(draw(st.integers(0, most)))
    ]


@st.composite
def drivers(draw: st.DrawFn, most: int = 8) -> list[FreeDriver]:
    return [
        FreeDriver(NAMES[number], at(draw(METRES), draw(METRES)), draw(SERVICES), NOW - draw(st.floats(-50, 4000)))
        for number in range(draw(st.integers(0, most)))
    ]


@settings(max_examples=150, deadline=None)
@given(requests(), drivers(), st.integers(0, 5), st.sampled_from([(1,), (1, 2), (3,)]))
def test_nobody_comes_twice_and_nobody_who_must_not(
    waiting: list[Request], free: list[FreeDriver], seed: int, waves: tuple[int, ...]
) -> None:
    policy = Policy(pickup_cap=700, wave_sizes=waves)
    plan = planned(waiting, free, policy, seed=seed)
    by_id, by_person = {each.id: each for each in waiting}, {each.person: each for each in free}
    asked = [each.driver for each in plan.matches]
    assert len(set(asked)) == len(asked)
    served = [name for each in plan.matches if not each.backup for name in each.requests]
    assert len(set(served)) == len(served)
    for match in plan.matches:
        assert match.seconds <= policy.pickup_cap
        for name in match.requests:
            assert match.driver not in by_id[name].declined
            assert not by_person[match.driver].services.isdisjoint(by_id[name].services)
            assert match.backup is False or name in served
        straight = distance_m(by_person[match.driver].point, by_id[match.requests[0]].pickup)
        assert match.seconds == pytest.approx(straight / SPEED, abs=1e-3)
    assert set(plan.unmatched) == set(by_id) - set(served)


@settings(max_examples=60, deadline=None)
@given(requests(), drivers())
def test_cells_find_what_looking_at_all_finds(waiting: list[Request], free: list[FreeDriver]) -> None:
    policy = Policy(pickup_cap=700)
    at_once = planned(waiting, free, policy)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bots.domain.dispatch_prefilter.ALL_PAIRS", 0)
        assert planned(waiting, free, policy) == at_once


@settings(max_examples=100, deadline=None)
@given(requests(), drivers(), st.integers(0, 3), st.randoms(use_true_random=False))
def test_it_is_the_same_whatever_the_order(
    waiting: list[Request], free: list[FreeDriver], seed: int, chance: random.Random
) -> None:
    once = planned(waiting, free, Policy(), seed=seed)
    chance.shuffle(waiting)
    chance.shuffle(free)
    assert planned(waiting, free, Policy(), seed=seed) == once


def worth(policy: Policy, one: Request, other: FreeDriver) -> float | None:
    """What a match adds, worked out by itself; None: it may not be."""
    seconds = distance_m(one.pickup, other.point) / SPEED
    if seconds > policy.pickup_cap or other.person in one.declined or one.services.isdisjoint(other.services):
        return None
    waited = min(max(NOW - one.since, 0), policy.waiting_most) * policy.waiting_weight
    idle = min(max(NOW - other.idle_since, 0), policy.idle_most) * policy.idle_weight
    return policy.unserved + one.priority * policy.first + waited + idle - seconds


@settings(max_examples=100, deadline=None)
@given(requests(most=5), drivers(most=5))
def test_it_is_worth_what_trying_everything_finds(waiting: list[Request], free: list[FreeDriver]) -> None:
    policy = Policy(pickup_cap=700)
    waiting = [replace(each, batchable=False) for each in waiting]
    by_id, by_person = {each.id: each for each in waiting}, {each.person: each for each in free}
    best = 0.0
    slots: list[FreeDriver | None] = [*free, *[None] * len(waiting)]
    for chosen in itertools.permutations(slots, len(waiting)):
        gains = [worth(policy, one, other) for one, other in zip(waiting, chosen, strict=True) if other is not None]
        if None not in gains:
            best = max(best, sum(gain for gain in gains if gain is not None))
    plan = planned(waiting, free, policy)
    got = [worth(policy, by_id[each.requests[0]], by_person[each.driver]) for each in plan.matches]
    assert None not in got
    assert sum(each for each in got if each is not None) == pytest.approx(best, abs=1e-3)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, int]]:
    shape = (draw(st.integers(1, 7)), draw(st.integers(1, 7)))
    cells = sorted(draw(st.sets(st.tuples(st.integers(0, shape[0] - 1), st.integers(0, shape[1] - 1)), min_size=1)))
    costs = [-draw(st.integers(1, 50)) for _ in cells]
    return np.array([r for r, _ in cells]), np.array([c for _, c in cells]), np.array(costs, float), shape


def price(graph: tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, int]], found: np.ndarray) -> float:
    table = {(int(r), int(c)): float(cost) for r, c, cost in zip(*graph[:3], strict=True)}
    used = [(row, int(column)) for row, column in enumerate(found) if column >= 0]
    assert len({column for _, column in used}) == len(used)
    return sum(table[each] for each in used)


@settings(max_examples=200, deadline=None)
@given(graphs())
def test_all_ways_of_solving_agree(graph: tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, int]]) -> None:
    rows, columns, costs, shape = graph
    best = price(graph, solve(rows, columns, costs, shape).columns)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bots.domain.dispatch_matching.DENSE_CELLS", 0)
        patch.setattr("bots.domain.dispatch_matching.DENSE_SECONDS", 1.0)
        assert price(graph, solve(rows, columns, costs, shape).columns) == pytest.approx(best)
    table = {(int(r), int(c)): float(cost) for r, c, cost in zip(rows, columns, costs, strict=True)}
    free = [*range(shape[1]), *[-1] * shape[0]]
    tried = (
        min(
            sum(table.get((row, column), 0.0) for row, column in enumerate(chosen))
            for chosen in set(itertools.permutations(free[: shape[1] + min(shape[0], 3)], shape[0]))
        )
        if shape[0] <= 3
        else best
    )
    assert best == pytest.approx(tried)
    assert price(graph, cheapest_first(rows, columns, costs, shape)) >= best


def city(count: int, seed: int = 1, side: float = 20_000) -> tuple[list[Request], list[FreeDriver]]:
    chance = random.Random(seed)
    waiting = [request(f"r{n:04}", chance.uniform(0, side), chance.uniform(0, side)) for n in range(count)]
    free = [driver(f"d{n:04}", chance.uniform(0, side), chance.uniform(0, side)) for n in range(count)]
    return waiting, free


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_pruning_costs_less_than_two_per_cent_and_greedy_a_quarter_more(seed: int) -> None:
    waiting, free = city(400, seed, side=9_000)
    policy = replace(PLAIN, pickup_cap=3600)
    pruned = planned(waiting, free, policy)
    whole = planned(waiting, free, replace(policy, candidates=400, budget=60))
    greedy = planned(waiting, free, replace(policy, candidates=400, budget=1e-9))
    assert len(pruned.matches) == len(whole.matches) == len(greedy.matches) == 400
    assert greedy.greedy == 400 and pruned.greedy == 0
    mean = [np.mean([each.seconds for each in plan.matches]) for plan in (pruned, whole, greedy)]
    assert mean[0] <= 1.02 * mean[1]
    assert mean[2] >= 1.25 * mean[0]


def test_who_waits_longer_goes_first() -> None:
    late, early = request("late", 0, 300, since=NOW - 5), request("early", 0, 330, since=NOW - 100)
    assert pairs_of(planned([late, early], [driver("d")], Policy())) == {"early": "@d:x"}
    assert pairs_of(planned([late, early], [driver("d")])) == {"late": "@d:x"}


def test_who_is_idle_longer_goes_first_of_those_that_are_equally_near() -> None:
    waits, fresh = driver("w", 600, idle_since=NOW - 1800), driver("f", -500, idle_since=NOW)
    assert pairs_of(planned([request("r")], [waits, fresh], Policy())) == {"r": "@w:x"}
    assert pairs_of(planned([request("r")], [driver("w", 5000, idle_since=0), fresh], Policy())) == {"r": "@f:x"}


def test_a_crowd_at_one_rank_is_served_by_who_waits_longest() -> None:
    rank = [driver(f"d{n:03}", idle_since=NOW - 10 * n) for n in range(100)]
    assert pairs_of(planned([request("r", 200)], rank, Policy())) == {"r": "@d099:x"}


def test_whoever_lost_a_driver_is_first_in_line() -> None:
    many = [request(f"r{n}", 0, 10 * n, since=NOW - 110) for n in range(5)]
    lost = request("lost", 2000, priority=1, since=NOW)
    assert pairs_of(planned([*many, lost], [driver("d")], Policy())) == {"lost": "@d:x"}


def test_one_more_is_served_though_it_takes_others_longer() -> None:
    # The driver in the middle is nearest to both; only they can reach the far one.
    far, near = request("far", -3000), request("near", 100)
    plan = planned([far, near], [driver("middle"), driver("north", 3500)], replace(PLAIN, pickup_cap=600))
    assert pairs_of(plan) == {"far": "@middle:x", "near": "@north:x"}


def test_a_driver_who_is_done_soon_counts_from_then_on() -> None:
    soon, free = driver("soon", 0, 60, free_in=120), driver("free", 0, 1200)
    plan = planned([request("r")], [soon, free])
    assert pairs_of(plan) == {"r": "@soon:x"} and plan.matches[0].seconds == pytest.approx(130, abs=0.5)
    assert pairs_of(planned([request("r")], [replace(soon, free_in=300), free])) == {"r": "@free:x"}


def test_why_nobody_is_asked() -> None:
    one = request("r")
    assert planned([one], []).unmatched == {"r": Why.NOBODY}
    assert planned([one], [driver("d", services=frozenset({"xl"}))]).unmatched == {"r": Why.NO_CLASS}
    assert planned([one], [driver("d", 20_000)]).unmatched == {"r": Why.TOO_FAR}
    assert planned([replace(one, declined=frozenset({"@d:x"}))], [driver("d")]).unmatched == {"r": Why.DECLINED}
    assert planned([replace(one, since=NOW - 118)], [driver("d")]).unmatched == {"r": Why.TIME_OVER}
    assert planned([one, request("s")], [driver("d")]).unmatched.keys() <= {"r", "s"}
    assert set(planned([one, request("s")], [driver("d")]).unmatched.values()) == {Why.TAKEN}


def test_where_the_router_knows_no_way_nobody_is_asked() -> None:
    pool = prepare([request("r")], [driver("d"), driver("e", 100)], NOW, PLAIN)
    for nothing in (math.inf, math.nan, -1.0):
        plan = assign(pool, np.full(2, nothing), np.full(2, nothing))
        assert plan.matches == () and plan.unmatched == {"r": Why.TOO_FAR}
    with pytest.raises(ValueError, match="2 legs"):
        assign(pool, np.zeros(1), np.zeros(1))


def test_nothing_to_do_is_done() -> None:
    assert planned([], []) == Plan((), {})
    assert planned([], [driver("d")]) == Plan((), {})


def test_the_same_name_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="once"):
        prepare([request("r"), request("r", 5)], [], NOW)
    with pytest.raises(ValueError, match="once"):
        prepare([], [driver("d"), driver("d", 5)], NOW)


# Places that are hard to handle


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (Point(0.0, 179.999), Point(0.0, -179.999)),
        (Point(-17.0, -180.0), Point(-17.0, 180.0)),
        (Point(89.999, 0.0), Point(89.999, 180.0)),
        (Point(-90.0, 12.0), Point(-89.9995, -170.0)),
        (Point(90.0, 0.0), Point(90.0, 77.0)),
        # In the middle of one of H3's twelve pentagons, and beside it.
        (Point(58.157706, 10.447345), Point(58.16, 10.46)),
    ],
)
def test_across_the_date_line_at_the_poles_and_on_pentagons(here: Point, there: Point) -> None:
    near = FreeDriver("@near:x", there, STANDARD, NOW)
    # Many others, so that rings of cells are looked through.
    others = [FreeDriver(f"@o{n:02}:x", Point(10 + n / 10, 20.0), STANDARD, NOW) for n in range(60)]
    one = Request("r", here, CITY, STANDARD, NOW)
    assert pairs_of(planned([one], [*others, near])) == {"r": "@near:x"}


def test_on_another_continent_there_is_nobody() -> None:
    sydney = Request("r", Point(-33.87, 151.21), Point(-33.9, 151.2), STANDARD, NOW)
    assert planned([sydney], [driver(f"d{n}", n * 50) for n in range(40)]).unmatched == {"r": Why.TOO_FAR}
    # With its coordinates swapped, Berlin lies off Somalia.
    swapped = Request("r", Point(CITY.longitude, CITY.latitude), CITY, STANDARD, NOW)
    assert planned([swapped], [driver("d")]).unmatched == {"r": Why.TOO_FAR}


def test_pickup_and_drop_off_in_one_place_do_no_harm() -> None:
    same = replace(request("r"), dropoff=CITY)
    assert pairs_of(planned([same], [driver("d")])) == {"r": "@d:x"}


def test_a_clock_that_is_ahead_gives_no_advantage() -> None:
    ahead = driver("ahead", 0, 100, idle_since=NOW + 7200)
    assert pairs_of(planned([request("r", since=NOW + 30)], [ahead, driver("d", 0, 90)], Policy())) == {"r": "@d:x"}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(METRES, METRES), min_size=1, max_size=120), METRES, METRES, st.integers(1, 12))
def test_the_nearest_are_among_those_that_are_found(
    places: list[tuple[float, float]], north: float, east: float, least: int
) -> None:
    points = [at(*each) for each in places]
    centre = at(north, east)
    near = Near(points, 9)
    wanted = np.arange(len(points)) % 3 != 0
    found = near.around(cell_of(centre, 9), wanted, least)
    assert all(wanted[found]) and sorted(set(found.tolist())) == found.tolist()
    ways = metres_between(near.vectors, vectors([centre]))
    possible = np.flatnonzero(wanted)
    assert len(found) >= min(least, len(possible))
    # Whatever is not found is farther than a ring of cells from the last that is needed.
    nearest = possible[np.argsort(ways[possible], kind="stable")][:least]
    missed = set(nearest.tolist()) - set(found.tolist())
    for each in missed:
        kept = np.sort(ways[found])[: len(nearest)]
        assert ways[each] >= kept[-1] - 2 * 201.0


# Time over


def test_a_large_round_falls_back_on_the_nearest_when_there_is_no_time() -> None:
    waiting, free = city(120, side=3_000)
    policy = replace(PLAIN, pickup_cap=3600, budget=1.0)
    pool = prepare(waiting, free, NOW, policy)
    ticks = itertools.count(0, 5)
    late = assign(pool, *legs(pool), clock=lambda: float(next(ticks)))
    assert late.greedy > 0 and len(late.matches) > 100
    assert len({each.driver for each in late.matches}) == len(late.matches)
    assert assign(pool, *legs(pool), clock=lambda: 0.0).greedy == 0


# Waves, deadlines, schedules


def test_a_later_wave_asks_several_and_none_of_them_twice() -> None:
    policy = replace(PLAIN, wave_sizes=(1, 3))
    crowd = [driver(f"d{n}", 100 * n) for n in range(5)]
    first, second = request("a", waves=0), request("b", 50, waves=1)
    plan = planned([first, second], crowd, policy)
    assert len(plan.matches) == 4 and len({each.driver for each in plan.matches}) == 4
    assert [each.backup for each in plan.matches if each.requests == ("b",)] == [False, True, True]
    # Nobody is asked besides while somebody has nobody.
    scarce = planned([first, second], crowd[:2], policy)
    assert [each.backup for each in scarce.matches] == [False, False]


def test_waves_and_deadlines() -> None:
    policy = Policy(wave_sizes=(1, 2, 4))
    assert [wave_size(policy, waves) for waves in (0, 1, 2, 3, 99)] == [1, 2, 4, 4, 4]
    one = request("r", since=NOW)
    assert offer_deadline(one, NOW + 30, policy) == NOW + 55
    assert offer_deadline(one, NOW + 110, policy) == NOW + 120
    assert not search_over(one, NOW + 115, policy)
    assert search_over(one, NOW + 115.1, policy)


def test_the_search_for_a_scheduled_ride_begins_in_time() -> None:
    wanted = datetime(2026, 5, 1, 8, 0, tzinfo=UTC)
    assert search_from(wanted, 240) == wanted - timedelta(seconds=240 + 120 + 300)
    assert search_from(wanted, math.inf) == wanted - timedelta(seconds=900 + 120 + 300)
    assert search_from(wanted, -5) == wanted - timedelta(seconds=120 + 300)


@pytest.mark.parametrize(
    "wrong",
    [
        {"pickup_cap": 0},
        {"candidates": 0},
        {"wave_sizes": ()},
        {"wave_sizes": (1, 0)},
        {"resolution": 16},
        {"unserved": 800},
        {"first": 10},
        {"waiting_weight": -1},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Policy(**wrong)  # type: ignore[arg-type]


def test_a_trip_as_a_request() -> None:
    opened = datetime(2026, 5, 1, 8, 0, tzinfo=UTC)
    trip = Trip(
        id="T",
        number="1",
        kind=TripKind.COURIER,
        state=TripState.SEARCHING,
        service="courier",
        pickup=Place("a", CITY),
        dropoff=Place("b", at(2000, 0)),
        quoted=Money(500, "EUR"),
        earning=Money(400, "EUR"),
        metres=2600,
        seconds=400,
        opened_at=opened,
        updated_at=opened,
        searching_since=opened + timedelta(seconds=7),
        ready_at=opened + timedelta(minutes=10),
        declined=("@d:x",),
        priority=2,
        waves=1,
    )
    made = request_of(trip)
    assert made.since == opened.timestamp() + 7 and made.ready == opened.timestamp() + 600 and made.latest is None
    assert made.services == {"courier"} and made.declined == {"@d:x"} and (made.priority, made.waves) == (2, 1)
    assert made.batchable and not request_of(replace(trip, kind=TripKind.RIDE)).batchable


# Two in one go


def order(name: str, north: float, east: float, to: tuple[float, float], **changes: object) -> Request:
    plain = Request(name, at(north, east), at(*to), frozenset({"courier"}), NOW, batchable=True)
    return replace(plain, **changes)  # type: ignore[arg-type]


COURIERS = [driver("c", 100, 0, services=frozenset({"courier"})), driver("d", 9000, 0, services=frozenset({"courier"}))]


def test_two_meals_from_one_street_to_one_street_go_together() -> None:
    one, other = order("a", 0, 0, (3000, 0)), order("b", 0, 150, (3200, 100))
    plan = planned([one, other], COURIERS[:1])
    (match,) = plan.matches
    assert set(match.requests) == {"a", "b"} == set(match.dropoffs) and match.driver == "@c:x"
    assert plan.unmatched == {}
    # Whoever is nearer to the courier is fetched first only where the way says so.
    assert match.dropoffs == ("a", "b")


def test_what_lies_apart_or_would_be_late_goes_alone() -> None:
    one = order("a", 0, 0, (3000, 0))
    apart = order("b", 0, 150, (-3000, 0))
    assert all(len(each.requests) == 1 for each in planned([one, apart], COURIERS).matches)
    far = order("b", 0, 900, (3200, 100))
    assert all(len(each.requests) == 1 for each in planned([one, far], COURIERS).matches)
    # Alone it takes 17 s there, 120 s to load and 500 s: in time. After another one it is not.
    tight = order("b", 0, 150, (3200, 100), latest=NOW + 700)
    assert all(len(each.requests) == 1 for each in planned([one, tight], COURIERS).matches)
    loose = replace(tight, latest=NOW + 1100)
    assert len(planned([one, loose], COURIERS).matches) == 1
    late = replace(loose, ready=NOW + 900)
    assert all(len(each.requests) == 1 for each in planned([one, late], COURIERS).matches)
    ride = replace(order("b", 0, 150, (3200, 100)), batchable=False)
    assert all(len(each.requests) == 1 for each in planned([one, ride], COURIERS).matches)


def test_two_in_one_go_are_brought_one_by_one_when_nobody_can_do_both() -> None:
    one = order("a", 0, 0, (3000, 0), declined=frozenset({"@c:x"}))
    other = order("b", 0, 150, (3200, 100), declined=frozenset({"@d:x"}))
    near = [replace(each, point=at(200, 0)) for each in COURIERS]
    assert pairs_of(planned([one, other], near)) == {"a": "@d:x", "b": "@c:x"}


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-400, 400), st.floats(-4000, 4000), st.floats(0, 3000)), min_size=2, max_size=6),
    st.integers(1, 4),
)
def test_what_goes_together_arrives_in_time(these: list[tuple[float, float, float]], couriers: int) -> None:
    policy = replace(PLAIN, pickup_cap=1500)
    waiting = [
        order(f"r{n}", north, -north, (east, 2500), latest=NOW + 600 + spare)
        for n, (north, east, spare) in enumerate(these)
    ]
    by_id = {each.id: each for each in waiting}
    free = [driver(f"c{n}", 300 * n, 0, services=frozenset({"courier"})) for n in range(couriers)]
    for match in planned(waiting, free, policy).matches:
        if len(match.requests) == 1:
            continue
        first, second = (by_id[name] for name in match.requests)
        time = NOW + match.seconds + policy.stop_seconds
        loaded = {first.id: time}
        time += distance_m(first.pickup, second.pickup) / SPEED + policy.stop_seconds
        loaded[second.id] = time
        here = second.pickup
        for name in match.dropoffs:
            time += distance_m(here, by_id[name].dropoff) / SPEED
            assert time <= (by_id[name].latest or 0) + 1e-3
            alone = distance_m(by_id[name].pickup, by_id[name].dropoff) / SPEED
            assert time - loaded[name] - alone <= policy.batch_detour + 1e-3
            time += policy.stop_seconds
            here = by_id[name].dropoff


@pytest.mark.parametrize("pairs", [0, 100_000])
def test_where_many_want_to_leave_one_place_all_are_served_from_around(
    pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bots.domain.dispatch_prefilter.ALL_PAIRS", pairs)
    chance = random.Random(4)
    crowd = [request(f"r{n:03}", chance.gauss(0, 150), chance.gauss(0, 150)) for n in range(200)]
    around = [driver(f"d{n:03}", chance.uniform(-5000, 5000), chance.uniform(-5000, 5000)) for n in range(230)]
    # Some have been declined by many, some are of a class that few drive for.
    crowd = [
        replace(each, declined=frozenset(other.person for other in chance.sample(around, 20)))
        if number % 5 == 0
        else each
        for number, each in enumerate(crowd)
    ]
    around = [replace(each, services=STANDARD | {"xl"}) if n % 3 == 0 else each for n, each in enumerate(around)]
    crowd = [replace(each, services=frozenset({"xl"})) if n % 7 == 0 else each for n, each in enumerate(crowd)]
    policy = replace(PLAIN, pickup_cap=3600)
    pruned = planned(crowd, around, policy)
    whole = planned(crowd, around, replace(policy, candidates=1000))
    assert len(pruned.matches) == len(whole.matches) == 200
    assert pruned.pairs < whole.pairs
    spent = [sum(each.seconds for each in plan.matches) for plan in (pruned, whole)]
    assert spent[0] <= 1.02 * spent[1]
