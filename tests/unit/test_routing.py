"""Travel times: the estimate, OSRM and Valhalla over HTTP with answers as they are documented, what is remembered, and
what happens when nobody answers."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bots.domain.places import Point, distance_m
from bots.framework.breaker import BreakerSettings
from bots.framework.http import HttpClient
from bots.routing.base import Legs, Route, Router, RoutingError, Table
from bots.routing.cache import Cached
from bots.routing.estimate import DETOUR, FREE_KMH, WEEKDAY, Estimate, Speeds
from bots.routing.fallback import Fallback
from bots.routing.grouping import floats, group
from bots.routing.osrm import Osrm
from bots.routing.polyline import decoded, encoded
from bots.routing.settings import RoutingSettings
from bots.routing.valhalla import Valhalla

BERLIN = ZoneInfo("Europe/Berlin")
AT = datetime(2026, 5, 6, 8, 30, tzinfo=BERLIN)  # a Wednesday
A, B, C = Point(52.517037, 13.388860), Point(52.529407, 13.397634), Point(52.523219, 13.428555)

# As OSRM documents its answers: three places in Berlin.
OSRM_TABLE = {
    "code": "Ok",
    "durations": [[0, 192.6, 382.8], [199, 0, 283.9], [344.7, 222.3, None]],
    "distances": [[0, 1886.89, 3791.3], [1824, 0, 2838.09], [3275.36, 2361.73, None]],
    "sources": [{"location": [13.3888, 52.517033], "name": "Friedrichstraße", "hint": "PAMAgEVJ"}],
    "destinations": [],
}
OSRM_ROUTE = {
    "code": "Ok",
    "routes": [
        {
            "distance": 90.0,
            "duration": 300.0,
            "weight": 300.0,
            "weight_name": "duration",
            "geometry": {"type": "LineString", "coordinates": [[120.0, 10.0], [120.1, 10.0], [120.2, 10.0]]},
            "legs": [
                {"distance": 30.0, "duration": 100.0, "steps": [], "summary": "", "weight": 100.0},
                {"distance": 60.0, "duration": 200.0, "steps": [], "summary": "", "weight": 200.0},
            ],
        }
    ],
    "waypoints": [],
}
VALHALLA_TABLE = {
    "algorithm": "costmatrix",
    "units": "kilometers",
    "sources": [{"lon": -85.840729, "lat": 38.305391}],
    "targets": [{"lon": -85.814373, "lat": 38.244933}, {"lon": -85.8, "lat": 38.2}],
    "sources_to_targets": [
        [
            {"distance": 12.593, "time": 629, "to_index": 0, "from_index": 0},
            {"distance": None, "time": None, "to_index": 1, "from_index": 0},
        ]
    ],
}
VALHALLA_SHORT = {
    "sources_to_targets": {"durations": [[0, 105], [108, 0]], "distances": [[0.0, 0.147], [0.147, 0.0]]},
    "units": "kilometers",
    "algorithm": "timedistancematrix",
}
NO_PATH = {"error_code": 442, "error": "No path could be found for input", "status_code": 400, "status": "Bad Request"}


def valhalla_route() -> dict[str, Any]:
    lines = [(A, Point(52.52, 13.39), B), (B, C)]
    legs = [
        {"summary": {"time": time, "length": length, "has_toll": False}, "shape": encoded(line)}
        for line, time, length in zip(lines, (200.5, 300.0), (1.9, 2.8), strict=True)
    ]
    summary = {"time": 500.5, "length": 4.7}
    return {"trip": {"locations": [], "legs": legs, "summary": summary, "status": 0, "units": "kilometers"}}


@dataclass
class Service:
    """A routing service that says what it was told to."""

    url: str = ""
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    answer: Callable[[web.Request, Any], Any] = lambda _request, _body: {}
    status: int = 200
    delay: float = 0.0

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        self.asked.append((request.path, request.query_string, body))
        await asyncio.sleep(self.delay)
        said = self.answer(request, body)
        return web.Response(
            status=self.status,
            text=said if isinstance(said, str) else json.dumps(said),
            content_type="application/json",
        )


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    made = Service()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    async def at_once(_seconds: float) -> None: ...

    client = HttpClient(attempts=2, sleep=at_once, jitter=lambda: 0.0)
    await client.start()
    yield client
    await client.stop()


# The estimate


def test_the_shape_of_a_day_is_what_was_published() -> None:
    speeds = Speeds(BERLIN)
    shares = [speeds.share(datetime(2026, 5, 6, hour, 30, tzinfo=BERLIN)) for hour in range(24)]
    assert shares == list(WEEKDAY)
    assert max(shares) == shares[4] == 1.0
    # The worst hour is 38 to 40 % slower than empty roads.
    assert 0.38 <= 1 - min(shares) <= 0.40
    # Ten kilometres take some 22 minutes by day.
    by_day = [10 / (FREE_KMH * share) * 60 for share in shares[7:20]]
    assert 21 <= sum(by_day) / len(by_day) <= 25


def test_speeds_change_without_jumps_and_by_local_time() -> None:
    speeds = Speeds(BERLIN)
    minutes = [AT.replace(hour=0, minute=0) + timedelta(minutes=n) for n in range(3 * 24 * 60)]
    shares = [speeds.share(each) for each in minutes]
    assert max(abs(one - other) for one, other in pairwise(shares)) < 0.004
    assert speeds.share(AT.astimezone(UTC)) == speeds.share(AT)
    weekend = datetime(2026, 5, 9, 8, 30, tzinfo=BERLIN)
    assert speeds.share(weekend) > speeds.share(AT)


def test_what_makes_no_sense_is_refused() -> None:
    for wrong in ({"free_kmh": 0}, {"weekday": [1.0] * 23}, {"weekend": [0.0] * 24}):
        with pytest.raises(ValueError, match="more than 0"):
            Speeds(BERLIN, **wrong)
    with pytest.raises(ValueError, match="straight"):
        Estimate(Speeds(BERLIN), detour=0.9)


@pytest.fixture
def estimate() -> Estimate:
    return Estimate(Speeds(BERLIN))


async def test_the_estimate_agrees_with_itself(estimate: Estimate) -> None:
    points = [A, B, C, Point(0, 179.999), Point(0, -179.999), Point(90, 0), Point(89.99, 180)]
    table = await estimate.table(points, points, AT)
    for row, one in enumerate(points):
        for column, other in enumerate(points):
            straight = distance_m(one, other)
            if straight > 1_000_000:
                assert math.isinf(table.metres[row, column]) and math.isinf(table.seconds[row, column])
            else:
                assert table.metres[row, column] == pytest.approx(DETOUR * straight, abs=1e-3)
    legs = await estimate.legs([A, B], [B, C], AT)
    assert legs.seconds == pytest.approx([table.seconds[0, 1], table.seconds[1, 2]])
    route = await estimate.route([A, B, C], AT)
    assert route.metres == pytest.approx(legs.metres.sum()) and route.line == (A, B, C) and len(route.legs) == 2
    assert route.seconds == pytest.approx(legs.seconds.sum(), rel=0.02)
    assert {table.source, legs.source, route.source} == {"estimate"}
    # 1.5 km as the crow flies at half past eight.
    assert route.legs[0][0] == pytest.approx(DETOUR * distance_m(A, B) / (FREE_KMH / 3.6 * WEEKDAY[8]))


async def test_the_estimate_knows_what_it_does_not_know(estimate: Estimate) -> None:
    with pytest.raises(RoutingError) as none:
        await estimate.route([A, Point(-33.87, 151.21)], AT)
    assert none.value.code == "route.none"
    with pytest.raises(RoutingError) as few:
        await estimate.route([A], AT)
    assert few.value.code == "route.points"
    same = await estimate.route([A, A], AT)
    assert same.seconds == same.metres == 0
    with pytest.raises(ValueError, match="as many"):
        await estimate.legs([A], [], AT)
    empty = await estimate.table([], [A], AT)
    assert empty.seconds.shape == (0, 1)


# Lines and tables


def flat(points: Sequence[Point]) -> list[float]:
    return [degrees for each in points for degrees in (each.latitude, each.longitude)]


@given(st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), max_size=30), st.sampled_from([5, 6]))
def test_lines_survive_being_written(degrees: list[tuple[float, float]], places: int) -> None:
    points = tuple(Point(round(y, places), round(x, places)) for y, x in degrees)
    back = decoded(encoded(points, places), places)
    assert flat(back) == pytest.approx(flat(points))


def test_a_line_as_its_inventor_wrote_it() -> None:
    line = (Point(38.5, -120.2), Point(40.7, -120.95), Point(43.252, -126.453))
    assert encoded(line, 5) == "_p~iF~ps|U_ulLnnqC_mqNvxq`@"
    assert decoded("_p~iF~ps|U_ulLnnqC_mqNvxq`@", 5) == line


@pytest.mark.parametrize("broken", ["_", "_p~iF", "\x00", "~" * 40, "_p~iF~ps|U_ulL", "ü"])
def test_what_is_no_line_is_refused(broken: str) -> None:
    with pytest.raises(ValueError, match="line"):
        decoded(broken, 5)


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=80),
    st.integers(2, 9),
)
def test_every_leg_is_in_one_table_and_no_table_is_too_large(wanted: list[tuple[int, int]], most: int) -> None:
    points = [Point(52 + n / 100, 13 + n / 50) for n in range(13)]
    origins, destinations = [points[a] for a, _ in wanted], [points[b] for _, b in wanted]
    seen = []
    for begins, ends, legs in group(origins, destinations, most):
        assert len(begins) + len(ends) <= most and legs
        for number, row, column in legs:
            assert (begins[row], ends[column]) == (origins[number], destinations[number])
            seen.append(number)
    assert sorted(seen) == list(range(len(wanted)))


@pytest.mark.parametrize(
    "wrong", [None, [[1, 2]], [[1], [2]], [[1, "2"], [3, 4]], [[1, True], [2, 3]], [[-1, 2], [3, 4]]]
)
def test_numbers_that_are_none_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError):
        floats(wrong, (2, 2))


# OSRM


async def test_osrm_says_a_table_and_a_route(service: Service, http: HttpClient) -> None:
    osrm = Osrm(http, service.url + "/")
    service.answer = lambda _request, _body: OSRM_TABLE
    table = await osrm.table([A, B, C], [A, B, C], AT)
    assert table.seconds[0].tolist() == [0, 192.6, 382.8] and table.metres[2, 1] == 2361.73
    assert math.isinf(table.seconds[2, 2]) and math.isinf(table.metres[2, 2])
    assert table.source == "osrm"
    path, query, _ = service.asked[0]
    places = ";".join(["13.388860,52.517037", "13.397634,52.529407", "13.428555,52.523219"] * 2)
    assert path == f"/table/v1/driving/{places}"
    assert "sources=0%3B1%3B2" in query or "sources=0;1;2" in query
    assert "destinations=3" in query and "annotations=duration,distance" in query.replace("%2C", ",")
    service.answer = lambda _request, _body: OSRM_ROUTE
    route = await osrm.route([A, B, C], AT)
    assert (route.seconds, route.metres, route.legs) == (300, 90, ((100, 30), (200, 60)))
    assert route.line[0] == Point(10.0, 120.0) and len(route.line) == 3


async def test_osrm_is_stretched_by_the_hour(service: Service, http: HttpClient) -> None:
    osrm = Osrm(http, service.url, speeds=Speeds(BERLIN))
    service.answer = lambda _request, _body: OSRM_ROUTE
    route = await osrm.route([A, B, C], AT)
    assert route.seconds == pytest.approx(300 / WEEKDAY[8]) and route.metres == 90


async def test_osrm_is_asked_for_legs_in_tables_of_its_size(service: Service, http: HttpClient) -> None:
    points = [Point(52.5 + n / 1000, 13.4) for n in range(40)]

    def answer(request: web.Request, _body: Any) -> Any:
        rows = len(request.query["sources"].split(";"))
        columns = len(request.query["destinations"].split(";"))
        places = [tuple(map(float, each.split(","))) for each in request.path.rsplit("/", 1)[1].split(";")]
        assert rows + columns == len(places) <= 10
        metres = [[distance_m(Point(y, x), Point(v, u)) for u, v in places[rows:]] for x, y in places[:rows]]
        return {"code": "Ok", "durations": [[each / 10 for each in row] for row in metres], "distances": metres}

    service.answer = answer
    osrm = Osrm(http, service.url, places=10)
    wanted = [(points[n], points[(7 * n + 3 * k) % 40]) for n in range(40) for k in range(3)]
    legs = await osrm.legs([a for a, _ in wanted], [b for _, b in wanted], AT)
    assert legs.metres == pytest.approx([distance_m(a, b) for a, b in wanted], abs=0.5)
    table = await osrm.table(points[:8], points[8:20], AT)
    assert table.metres[3, 5] == pytest.approx(distance_m(points[3], points[13]), abs=0.5)


async def test_osrm_without_a_table_of_distances(service: Service, http: HttpClient) -> None:
    def answer(request: web.Request, _body: Any) -> Any:
        if "distance" in request.query["annotations"]:
            return {"code": "NotImplemented", "message": "This request is not supported"}
        return {"code": "Ok", "durations": [[100.0, None]]}

    service.answer = answer
    osrm = Osrm(http, service.url)
    for _ in range(2):
        table = await osrm.table([A], [B, C], AT)
        assert table.metres[0, 0] == pytest.approx(DETOUR * distance_m(A, B), rel=1e-6) and math.isinf(
            table.metres[0, 1]
        )
    assert len(service.asked) == 3  # it is asked in vain once


@pytest.mark.parametrize("code", ["NoRoute", "NoSegment"])
async def test_osrm_says_that_there_is_no_way(service: Service, http: HttpClient, code: str) -> None:
    service.status, service.answer = 400, lambda _request, _body: {"code": code, "message": "…"}
    with pytest.raises(RoutingError) as refused:
        await Osrm(http, service.url).route([A, B], AT)
    assert refused.value.code == "route.none"


BROKEN: list[Any] = [
    "no json",
    [],
    {},
    {"code": "Ok"},
    {"code": "TooBig"},
    {"code": "Ok", "routes": []},
    {"code": "Ok", "routes": [{"distance": 1, "duration": -1, "legs": [], "geometry": {"coordinates": []}}]},
    {"code": "Ok", "durations": [[1]], "distances": [["x"]]},
    {"code": "Ok", "durations": [[1, 2]], "distances": [[1, 2]]},
]


@pytest.mark.parametrize("said", BROKEN)
async def test_osrm_that_makes_no_sense_is_not_available(service: Service, http: HttpClient, said: Any) -> None:
    service.answer = lambda _request, _body: said
    osrm = Osrm(http, service.url)
    for ask in (osrm.route([A, B], AT), osrm.legs([A], [B], AT)):
        with pytest.raises(RoutingError) as failed:
            await ask
        assert failed.value.code == "route.unavailable"


async def test_a_router_that_is_down_or_slow_is_not_available(service: Service, http: HttpClient) -> None:
    service.status = 503
    for router in (Osrm(http, service.url), Valhalla(http, service.url)):
        with pytest.raises(RoutingError) as failed:
            await router.route([A, B], AT)
        assert failed.value.code == "route.unavailable"
    service.status, service.delay = 200, 1.0
    for router in (Osrm(http, service.url, timeout=0.1), Valhalla(http, service.url, timeout=0.1)):
        with pytest.raises(RoutingError):
            await router.route([A, B], AT)
    nobody = Osrm(http, "http://127.0.0.1:9")
    with pytest.raises(RoutingError):
        await nobody.legs([A], [B], AT)


# Valhalla


async def test_valhalla_says_a_table_long_or_short(service: Service, http: HttpClient) -> None:
    valhalla = Valhalla(http, service.url, costing="taxi")
    service.answer = lambda _request, _body: VALHALLA_TABLE
    table = await valhalla.table([A], [B, C], AT)
    assert table.seconds[0, 0] == 629 and table.metres[0, 0] == pytest.approx(12_593)
    assert math.isinf(table.seconds[0, 1]) and math.isinf(table.metres[0, 1])
    path, _, body = service.asked[0]
    assert path == "/sources_to_targets"
    assert body["sources"] == [{"lat": 52.517037, "lon": 13.38886}] and body["costing"] == "taxi"
    assert body["units"] == "kilometers" and len(body["targets"]) == 2
    service.answer = lambda _request, _body: VALHALLA_SHORT
    short = await valhalla.table([A, B], [A, B], AT)
    assert short.seconds.tolist() == [[0, 105], [108, 0]] and short.metres[0, 1] == pytest.approx(147)


async def test_valhalla_says_a_route_whose_legs_join(service: Service, http: HttpClient) -> None:
    service.answer = lambda _request, _body: valhalla_route()
    route = await Valhalla(http, service.url).route([A, B, C], AT)
    assert route.seconds == pytest.approx(500.5) and route.metres == pytest.approx(4_700)
    assert route.legs == ((200.5, 1900.0), (300.0, 2800.0))
    assert flat(route.line) == pytest.approx(flat((A, Point(52.52, 13.39), B, C)))
    assert route.source == "valhalla"


@pytest.mark.parametrize("code", [154, 170, 171, 442])
async def test_valhalla_says_that_there_is_no_way(service: Service, http: HttpClient, code: int) -> None:
    service.status, service.answer = 400, lambda _request, _body: NO_PATH | {"error_code": code}
    with pytest.raises(RoutingError) as refused:
        await Valhalla(http, service.url).route([A, B], AT)
    assert refused.value.code == "route.none"


@pytest.mark.parametrize(
    "said",
    [
        "<html>",
        [],
        {"trip": {}},
        {"trip": {"legs": [{"summary": {"time": 1, "length": 1}, "shape": "_"}]}},
        {"trip": {"legs": [], "units": "kilometers"}},
        {"sources_to_targets": [[{"time": 3}]]},
        {"sources_to_targets": [[]]},
        {"sources_to_targets": [[{"time": 3, "distance": 4}]], "units": "miles"},
    ],
)
async def test_valhalla_that_makes_no_sense_is_not_available(service: Service, http: HttpClient, said: Any) -> None:
    service.answer = lambda _request, _body: said
    valhalla = Valhalla(http, service.url)
    for ask in (valhalla.route([A, B], AT), valhalla.table([A], [B], AT)):
        with pytest.raises(RoutingError) as failed:
            await ask
        assert failed.value.code == "route.unavailable"
    service.status, service.answer = 400, lambda _request, _body: {"error_code": 100, "error": "Failed to parse"}
    with pytest.raises(RoutingError) as failed:
        await valhalla.table([A], [B], AT)
    assert failed.value.code == "route.unavailable"


# What is remembered, and what happens when nobody answers


class Counting:
    """A router that counts, and fails when it is told to."""

    name = "counting"

    def __init__(self) -> None:
        self.legs_asked = self.calls = 0
        self.failing: BaseException | None = None
        self.hanging = False

    async def _ask(self, legs: int) -> None:
        self.calls += 1
        self.legs_asked += legs
        if self.hanging:
            await asyncio.sleep(60)
        if self.failing is not None:
            raise self.failing

    async def table(self, origins: Sequence[Point], destinations: Sequence[Point], at: datetime) -> Table:
        await self._ask(len(origins) * len(destinations))
        metres = np.array([[distance_m(a, b) for b in destinations] for a in origins])
        return Table(metres / 10, metres, self.name)

    async def legs(self, origins: Sequence[Point], destinations: Sequence[Point], at: datetime) -> Legs:
        await self._ask(len(origins))
        metres = np.array([distance_m(a, b) for a, b in zip(origins, destinations, strict=True)])
        return Legs(metres / 10, metres, self.name)

    async def route(self, points: Sequence[Point], at: datetime) -> Route:
        await self._ask(1)
        return Route(1.0, 2.0, tuple(points), ((1.0, 2.0),), self.name)


async def test_what_is_known_is_not_asked_again_until_the_time_is_over() -> None:
    inner = Counting()
    cached = Cached(inner, seconds=600)
    first = await cached.legs([A, B], [C, C], AT)
    again = await cached.legs([A, B, C], [C, C, A], AT + timedelta(seconds=60))
    assert inner.legs_asked == 3 and again.seconds[:2].tolist() == first.seconds.tolist()
    # A few metres are no difference; another time is one.
    await cached.legs([Point(A.latitude + 1e-6, A.longitude)], [C], AT)
    assert inner.legs_asked == 3
    await cached.legs([A], [C], AT + timedelta(seconds=600))
    assert inner.legs_asked == 4
    table = await cached.table([A, B], [C], AT)
    assert inner.calls == 3 and table.metres.shape == (2, 1) and table.metres[0, 0] == pytest.approx(distance_m(A, C))
    await cached.table([A, B], [B, C], AT)
    assert inner.calls == 4
    assert await cached.route([A, B], AT) is await cached.route([A, B], AT)
    assert cached.hits > 0 and cached.misses > 0


async def test_the_memory_is_bounded() -> None:
    inner = Counting()
    cached = Cached(inner, entries=3, routes=1)
    for n in range(10):
        await cached.legs([A], [Point(50 + n, 13)], AT)
        await cached.route([A, Point(50 + n, 13)], AT)
    assert len(cached._legs) == 3 and len(cached._ways) == 1
    whole = await cached.legs([A] * 8, [Point(50 + n, 13) for n in range(8)], AT)
    assert len(whole.seconds) == 8 and len(cached._legs) == 3


async def test_failures_are_not_remembered() -> None:
    inner = Counting()
    inner.failing = RoutingError("route.unavailable")
    cached = Cached(inner)
    for _ in range(2):
        with pytest.raises(RoutingError):
            await cached.legs([A], [B], AT)
    inner.failing = None
    assert (await cached.legs([A], [B], AT)).source == "counting"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_the_estimate_answers_for_a_router_that_does_not(estimate: Estimate) -> None:
    inner, clock = Counting(), Clock()
    router: Router = Fallback(
        inner, estimate, timeout=0.05, settings=BreakerSettings(failures=3, pause=30), clock=clock
    )
    assert isinstance(router, Fallback)
    assert (await router.legs([A], [B], AT)).source == "counting"
    inner.failing = RoutingError("route.unavailable")
    for _ in range(3):
        assert (await router.table([A], [B], AT)).source == "estimate"
    assert router.open and inner.calls == 4
    # It is left alone for a while, then tried once, and used again when it answers.
    assert (await router.route([A, B], AT)).source == "estimate" and inner.calls == 4
    clock.now = 31
    assert (await router.legs([A], [B], AT)).source == "estimate" and inner.calls == 5
    clock.now = 31 + 61
    inner.failing = None
    assert (await router.route([A, B], AT)).source == "counting"
    assert not router.open
    inner.hanging = True
    assert (await router.legs([A], [B], AT)).source == "estimate"


async def test_no_way_is_an_answer(estimate: Estimate) -> None:
    inner = Counting()
    router = Fallback(inner, estimate, settings=BreakerSettings(failures=1))
    inner.failing = RoutingError("route.none")
    with pytest.raises(RoutingError):
        await router.route([A, B], AT)
    assert (await router.legs([A], [B], AT)).source == "estimate"
    assert (await router.table([A], [B], AT)).source == "estimate"
    assert not router.open


async def test_who_goes_away_while_it_is_tried_does_not_close_it_for_ever(estimate: Estimate) -> None:
    inner, clock = Counting(), Clock()
    router = Fallback(inner, estimate, settings=BreakerSettings(failures=1, pause=10), clock=clock)
    inner.failing = RoutingError("route.unavailable")
    await router.legs([A], [B], AT)
    assert router.open
    clock.now, inner.failing, inner.hanging = 11, None, True
    task = asyncio.create_task(router.legs([A], [B], AT))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    inner.hanging = False
    assert (await router.legs([A], [B], AT)).source == "counting"


# Settings


async def test_settings_make_routers(service: Service, http: HttpClient) -> None:
    assert isinstance(RoutingSettings().make(None), Estimate)
    service.answer = lambda _request, _body: OSRM_ROUTE
    osrm = RoutingSettings.model_validate({"router": "osrm", "url": service.url, "traffic": False}).make(http)
    assert (await osrm.route([A, B, C], AT)).source == "osrm"
    service.answer = lambda _request, _body: valhalla_route()
    valhalla = RoutingSettings.model_validate({"router": "valhalla", "url": service.url, "profile": "taxi"}).make(http)
    assert (await valhalla.route([A, B, C], AT)).source == "valhalla"
    assert service.asked[-1][2]["costing"] == "taxi"
    with pytest.raises(ValueError, match="client"):
        RoutingSettings.model_validate({"router": "osrm", "url": service.url}).make(None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"router": "osrm"},
        {"router": "google"},
        {"router": "osrm", "url": "ftp://x"},
        {"router": "osrm", "url": "http://user@x"},
        {"places": 1},
        {"estimate": {"timezone": "Europe/Atlantis"}},
        {"estimate": {"detour": 0.5}},
        {"estimate": {"weekday": [1.0] * 23}},
        {"estimate": {"weekend": [1.0] * 23 + [0.0]}},
        {"geocoder": {"kind": "nominatim", "url": "http://x"}},
        {"geocoder": {"kind": "photon", "user_agent": "x"}},
        {"geocoder": {"kind": "photon", "url": "http://x", "user_agent": "two\nlines"}},
        {"surprise": 1},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RoutingSettings.model_validate(wrong)
