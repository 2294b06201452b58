"""``POST /fleet/positions``: who may, what is taken, what comes back, and what is no batch."""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st

from appservice.clock import ManualClock
from bots.domain.drivers import Driver, DriverState, Position, Vehicle
from bots.domain.places import Place, Point, distance_m
from bots.fleet.fleet import Fleets
from bots.fleet.positions import Heard, Seen
from bots.framework.context import Context
from bots.framework.testing.memory import MemoryDatabase
from bots.rides.driving.app import DriverApp, Tokens
from bots.rides.driving.app.endpoint import BODY_MAX, DRIVER_S, _moving
from bots.rides.driving.app.fixes import FIXES_MAX, Malformed, interval, read
from bots.rides.driving.app.tokens import REMEMBERED_MS

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MS = int(NOW.timestamp() * 1000)
DAN = "@dan:world"
CAR = Vehicle("Toyota Prius", "blue", "B XY 12", 4)


def driver(state: DriverState = DriverState.ONLINE, **more: Any) -> Driver:
    """Dan."""
    return Driver(DAN, "Dan", CAR, frozenset({"standard"}), "!dan:world", state, NOW, NOW, **more)


class Positions:
    """Believes what a car can do; the same rule as the fleet's, in three lines."""

    def __init__(self) -> None:
        self.known: dict[str, list[Position]] = {}

    def update(self, person: str, position: Position) -> Heard:
        trail = self.known.setdefault(person, [])
        if trail and position.at <= trail[-1].at:
            return Heard.OLD
        if trail:
            seconds = (position.at - trail[-1].at).total_seconds()
            if distance_m(trail[-1].point, position.point) > 200 + 70 * seconds:
                return Heard.JUMPED
        trail.append(position)
        return Heard.TAKEN

    def last(self, person: str) -> Seen | None:
        trail = self.known.get(person)
        return Seen(trail[-1], MS) if trail else None

    def trail(self, person: str) -> list[Position]:
        return self.known.get(person, [])


@dataclass
class FakeFleet:
    """A fleet of one driver."""

    who: Driver | None = field(default_factory=driver)
    waiting: list[Point] = field(default_factory=list)
    multiplier: int = 100
    asked: int = 0

    def __post_init__(self) -> None:
        self.positions = Positions()
        self.drivers = SimpleNamespace(get=self._get)
        self.trips = SimpleNamespace(in_states=self._in_states)
        self.quotes = SimpleNamespace(surge=lambda _place: self.multiplier)

    async def _get(self, _reader: Any, person: str) -> Driver | None:
        self.asked += 1
        return self.who if self.who is not None and self.who.person == person else None

    async def _in_states(self, _reader: Any, _states: Any) -> list[Any]:
        return [SimpleNamespace(pickup=Place("there", point)) for point in self.waiting]


@dataclass
class Served:
    """The endpoint, and everything behind it."""

    client: TestClient[Any, Any]
    fleet: FakeFleet
    tokens: Tokens
    database: MemoryDatabase
    clock: ManualClock
    token: str
    time: list[float]

    async def post(self, body: Any, token: str | None = None, **more: Any) -> tuple[int, dict[str, Any]]:
        """Send something; status and answer. Errors are problems of RFC 9457."""
        headers = {"Authorization": f"Bearer {self.token if token is None else token}", **more.pop("headers", {})}
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        headers.setdefault("Content-Type", "application/json")
        async with self.client.post("/fleet/positions", data=body, headers=headers, **more) as response:
            answer = await response.json(content_type=None)
            kind = response.content_type
        assert kind == ("application/json" if response.status == 200 else "application/problem+json")
        if response.status != 200:
            assert answer["status"] == response.status
            assert answer["type"].startswith("urn:rialto:problem:")
        return response.status, answer

    async def make(self) -> str:
        """A new token of dan's."""
        hand = Hand(self.clock)
        token = self.tokens.make(cast(Context, hand), DAN)
        await hand.commit(self.database)
        return token


class Hand:
    """The part of a context that tokens use."""

    instance = "rides"

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._operations: list[Any] = []
        self._after: list[Any] = []
        self.unit = SimpleNamespace(after_commit=self._after.append)

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def store(self, operation: Any) -> None:
        self._operations.append(operation)

    async def commit(self, database: MemoryDatabase) -> None:
        """Write, and call back."""
        await database.write(lambda connection: [each(connection) for each in self._operations])
        for callback in self._after:
            callback()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    database, clock, fleet, time = MemoryDatabase(), ManualClock(NOW), FakeFleet(), [1000.0]
    await database.start()
    tokens = Tokens(database, clock)

    def of(instance: str = "") -> Any:
        if instance != "rides":
            raise LookupError(instance)
        return fleet

    app = DriverApp(cast(Fleets, SimpleNamespace(of=of)), tokens, database, clock, lambda: time[0])
    root = web.Application(client_max_size=2**20)
    root.add_subapp("/fleet", app.app())
    async with TestClient(TestServer(root)) as client:
        made = Served(client, fleet, tokens, database, clock, "", time)
        made.token = await made.make()
        yield made
    await database.stop()


def fix(lat: float = 52.52, lon: float = 13.4, at: int = MS - 1000, **more: Any) -> dict[str, Any]:
    """A fix."""
    return {"lat": lat, "lon": lon, "at": at, **more}


async def test_a_batch_is_taken_in_the_order_of_its_times(served: Served) -> None:
    batch = [
        fix(52.5203, at=MS - 1000),
        fix(52.52, at=MS - 9000),
        fix(52.5201, at=MS - 5000, accuracy=8.5, heading=270),
    ]
    status, answer = await served.post({"fixes": batch, "battery": 0.8})
    assert (status, answer) == (
        200,
        {"taken": 3, "old": 0, "doubtful": 0, "state": "online", "trip": False, "next": 60},
    )
    trail = served.fleet.positions.trail(DAN)
    assert [round(each.point.latitude, 4) for each in trail] == [52.52, 52.5201, 52.5203]
    assert (trail[1].accuracy_m, trail[1].heading) == (8.5, 270)
    assert (await served.post({"fixes": batch}))[1]["old"] == 3, "the same again is nothing new"


async def test_nothing_to_say_is_a_question_too(served: Served) -> None:
    assert await served.post({"fixes": []}) == (
        200,
        {"taken": 0, "old": 0, "doubtful": 0, "state": "online", "trip": False, "next": 60},
    )


# Who


@pytest.mark.parametrize(
    "token",
    ["", "x", "rd_", "rd_0123456789abcdef_" + "a" * 43, "rd_0123456789ABCDEF_" + "a" * 43,
     "rd_0123456789abcdef_" + "ä" * 43, "x" * 4000],
)  # fmt: skip
async def test_a_token_that_is_none(served: Served, token: str) -> None:
    status, problem = await served.post({"fixes": [fix()]}, token)
    assert (status, problem["code"]) == (401, "unauthorized")
    assert served.fleet.positions.known == {}


async def test_a_token_that_is_nearly_right(served: Served) -> None:
    last = "A" if served.token[-1] != "A" else "B"
    assert (await served.post({"fixes": [fix()]}, served.token[:-1] + last))[0] == 401
    assert (await served.post({"fixes": [fix()]}))[0] == 200


async def test_without_a_header_and_with_another_scheme(served: Served) -> None:
    for headers in ({"Authorization": ""}, {"Authorization": f"Basic {served.token}"}, {"Authorization": served.token}):
        assert (await served.post({"fixes": []}, headers=headers))[0] == 401
    assert (await served.post({"fixes": []}, headers={"Authorization": f"bearer {served.token}"}))[0] == 200
    async with served.client.get("/fleet/positions") as response:
        assert response.status == 405


async def test_a_new_token_ends_the_old_one_and_revoking_ends_both(served: Served) -> None:
    old = served.token
    assert (await served.post({"fixes": []}, old))[0] == 200
    new = await served.make()
    assert (await served.post({"fixes": []}, old))[0] == 401, "at once in this process"
    assert (await served.post({"fixes": []}, new))[0] == 200
    hand = Hand(served.clock)
    served.tokens.revoke(cast(Context, hand), DAN)
    await hand.commit(served.database)
    assert (await served.post({"fixes": []}, new))[0] == 401


async def test_a_token_is_kept_as_a_digest(served: Served) -> None:
    rows = await served.database.read(
        lambda connection: connection.exec_driver_sql("select * from driver_tokens").all()
    )
    assert len(rows) == 1
    assert served.token not in repr(rows)
    assert served.token.rpartition("_")[2] not in repr(rows)


async def test_another_process_hears_of_it_soon(served: Served) -> None:
    other = Tokens(served.database, served.clock)
    assert await other.check(served.token) is not None
    await served.make()
    assert await other.check(served.token) is not None, "it is remembered for a moment"
    served.clock.advance(milliseconds=REMEMBERED_MS)
    assert await other.check(served.token) is None


async def test_who_drives_no_more_is_told_so(served: Served) -> None:
    served.fleet.who = None
    assert (await served.post({"fixes": [fix()]}))[0] == 403
    served.fleet.who, served.time[0] = driver(DriverState.SUSPENDED), 2000.0
    status, answer = await served.post({"fixes": [fix()]})
    assert (status, answer["taken"], answer["next"], answer["state"]) == (200, 0, 0, "suspended")
    assert served.fleet.positions.known == {}, "where somebody is who does not drive is nobody's affair"


# How soon


@pytest.mark.parametrize(
    ("who", "moving", "demand", "low", "seconds"),
    [
        (driver(trip="t"), False, False, False, 5),
        (driver(trip="t"), True, True, True, 15),
        (driver(offer="o"), False, False, False, 5),
        (driver(DriverState.SUSPENDED, trip="t"), False, False, False, 5),
        (driver(), True, False, False, 15),
        (driver(), False, True, False, 15),
        (driver(), False, False, False, 60),
        (driver(), True, True, True, 60),
        (driver(DriverState.BREAK), True, True, False, 60),
        (driver(DriverState.OFFLINE), True, True, False, 0),
        (driver(DriverState.APPLIED), True, True, False, 0),
    ],
)
def test_the_interval(who: Driver, moving: bool, demand: bool, low: bool, seconds: int) -> None:
    assert interval(who, moving=moving, demand=demand, low=low) == seconds


async def test_demand_near_a_driver_makes_it_shorter(served: Served) -> None:
    assert (await served.post({"fixes": [fix()]}))[1]["next"] == 60
    served.fleet.waiting = [Point(52.53, 13.41)]
    assert (await served.post({"fixes": []}))[1]["next"] == 60, "who waits is remembered for a moment"
    served.time[0] += 10
    assert (await served.post({"fixes": []}))[1]["next"] == 15
    assert (await served.post({"fixes": [], "battery": 0.1}))[1]["next"] == 60
    assert (await served.post({"fixes": [], "battery": 0.1, "charging": True}))[1]["next"] == 15
    served.fleet.waiting, served.fleet.multiplier = [], 130
    served.time[0] += 10
    assert (await served.post({"fixes": []}))[1]["next"] == 15, "there is surge"


async def test_a_trip_makes_it_shortest(served: Served) -> None:
    served.fleet.who = driver(trip="t")
    answer = (await served.post({"fixes": [fix()]}))[1]
    assert (answer["next"], answer["trip"]) == (5, True)
    served.fleet.who = driver(DriverState.OFFLINE)
    assert (await served.post({"fixes": []}))[1]["next"] == 5, "it is remembered for a moment"
    served.time[0] += DRIVER_S
    assert (await served.post({"fixes": []}))[1]["next"] == 0


def test_who_moves() -> None:
    here, near, far = Point(52.52, 13.4), Point(52.5202, 13.4), Point(52.53, 13.4)
    last = Position(here, NOW)
    assert not _moving([last], last)
    assert not _moving([Position(near, NOW - timedelta(minutes=1)), last], last), "it parks, and the fix wanders"
    assert _moving([Position(far, NOW - timedelta(minutes=2)), last], last)
    assert not _moving([Position(far, NOW - timedelta(minutes=9)), last], last)
    assert _moving([last], replace(last, speed=8.0))


async def test_too_often(served: Served) -> None:
    answers = [await served.post({"fixes": []}) for _ in range(61)]
    assert [status for status, _ in answers] == [200] * 60 + [429]
    served.time[0] += 1
    assert (await served.post({"fixes": []}))[0] == 200


# What is no batch


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"NaN", b'{"fixes": [NaN]}', b"[" * 200_0])
async def test_no_json(served: Served, body: bytes) -> None:
    status, problem = await served.post(body)
    assert (status, problem["code"]) in {(400, "no_json"), (422, "malformed")}
    assert (await served.post({"fixes": []}))[0] == 200, "it goes on"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ([], ""),
        (7, ""),
        (None, ""),
        ({}, "/fixes"),
        ({"fixes": {}}, "/fixes"),
        ({"fixes": [fix()] * (FIXES_MAX + 1)}, "/fixes"),
        ({"fixes": [None]}, "/fixes/0"),
        ({"fixes": [fix(), [1, 2]]}, "/fixes/1"),
        ({"fixes": [{"lon": 1, "at": MS}]}, "/fixes/0/lat"),
        ({"fixes": [fix(90.0001)]}, "/fixes/0/lat"),
        ({"fixes": [fix(lon=-180.5)]}, "/fixes/0/lon"),
        ({"fixes": [{**fix(), "lat": True}]}, "/fixes/0/lat"),
        ({"fixes": [{**fix(), "lat": "52.5"}]}, "/fixes/0/lat"),
        ({"fixes": [{**fix(), "lat": 10**400}]}, "/fixes/0/lat"),
        ({"fixes": [{**fix(), "at": 1.5}]}, "/fixes/0/at"),
        ({"fixes": [{**fix(), "at": MS // 1000}]}, "/fixes/0/at"),
        ({"fixes": [{**fix(), "at": True}]}, "/fixes/0/at"),
        ({"fixes": [{**fix(), "at": 10**30}]}, "/fixes/0/at"),
        ({"fixes": [fix(accuracy=-1)]}, "/fixes/0/accuracy"),
        ({"fixes": [fix(heading=361)]}, "/fixes/0/heading"),
        ({"fixes": [fix(speed=300)]}, "/fixes/0/speed"),
        ({"fixes": [], "sent": "now"}, "/sent"),
        ({"fixes": [], "battery": 42}, "/battery"),
        ({"fixes": [], "charging": 1}, "/charging"),
    ],
)
async def test_malformed(served: Served, body: Any, pointer: str) -> None:
    """All is taken or nothing, and the app hears where it is wrong."""
    status, problem = await served.post(body)
    assert (status, problem["code"]) == (422, "malformed")
    assert [each["pointer"] for each in problem["errors"]] == [pointer]
    assert served.fleet.positions.known == {}


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_numbers_that_are_none(served: Served, word: str) -> None:
    status, _ = await served.post(f'{{"fixes": [{{"lat": {word}, "lon": 1, "at": {MS}}}]}}'.encode())
    assert status in {400, 422}
    assert served.fleet.positions.known == {}
    assert math.isnan(float("nan")), "and no such number comes out of read() either: see below"
    with pytest.raises(Malformed):
        read({"fixes": [{"lat": float(word), "lon": 1, "at": MS}]}, NOW)


async def test_too_large_a_body_is_not_read_to_its_end(served: Served) -> None:
    assert (await served.post(b" " * (BODY_MAX + 1)))[0] == 413

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b" " * 1024
            await asyncio.sleep(0)

    headers = {"Authorization": f"Bearer {served.token}", "Content-Type": "application/json"}
    async with served.client.post("/fleet/positions", data=endless(), headers=headers) as response:
        assert response.status == 413
    full = {"fixes": [fix(52.123456789, 13.987654321, MS - n, accuracy=12.345678, heading=123.4567, speed=12.34567)
                      for n in range(FIXES_MAX)]}  # fmt: skip
    assert len(json.dumps(full)) < BODY_MAX
    assert (await served.post(full))[0] == 200


async def test_what_is_not_json_by_its_type(served: Served) -> None:
    assert (await served.post({"fixes": []}, headers={"Content-Type": "text/plain"}))[0] == 415
    assert (await served.post({"fixes": []}, headers={"Content-Encoding": "gzip"}))[0] in {400, 415}


# Places and times that cannot be


async def test_a_jump_of_500_km_is_doubtful(served: Served) -> None:
    await served.post({"fixes": [fix(at=MS - 2000)]})
    assert (await served.post({"fixes": [fix(48.137, 11.575, MS - 1000)]}))[1]["doubtful"] == 1
    assert served.fleet.positions.trail(DAN)[-1].point == Point(52.52, 13.4)


@pytest.mark.parametrize("skew", [-86_400_000, -7_200_000, -3_000, 3_000, 7_200_000, 86_400_000])
async def test_a_clock_that_is_wrong_is_set_right(served: Served, skew: int) -> None:
    fixes = [fix(52.52, at=MS - 9000 + skew), fix(52.5201, at=MS - 1000 + skew)]
    answer = (await served.post({"fixes": fixes, "sent": MS + skew}))[1]
    assert answer["taken"] == 2
    trail = served.fleet.positions.trail(DAN)
    assert [each.at for each in trail] == [NOW - timedelta(seconds=9), NOW - timedelta(seconds=1)]


async def test_without_a_time_of_sending_the_future_is_now_and_the_past_is_old(served: Served) -> None:
    answer = (await served.post({"fixes": [fix(at=MS - 3_700_000), fix(at=MS + 3_600_000)]}))[1]
    assert (answer["taken"], answer["old"]) == (1, 1)
    assert served.fleet.positions.trail(DAN)[0].at == NOW


async def test_a_fix_that_says_nothing_is_passed_over(served: Served) -> None:
    answer = (await served.post({"fixes": [fix(accuracy=5000), fix(at=MS - 500, accuracy=30)]}))[1]
    assert (answer["taken"], answer["old"]) == (1, 1)


async def test_a_database_that_is_away(served: Served) -> None:
    async def gone(_reader: Any, _person: str) -> Any:
        from appservice.database import DatabaseError

        raise DatabaseError("gone")

    served.fleet.drivers.get = gone
    status, problem = await served.post({"fixes": []})
    assert status == 503
    assert "gone" not in json.dumps(problem)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["fixes", "lat", "lon", "at", "sent", "battery"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON)
def test_whatever_comes_is_a_batch_or_malformed(body: Any) -> None:
    try:
        batch = read(body, NOW)
    except Malformed as error:
        assert error.errors
        return
    assert isinstance(body, Mapping)
    assert all(each.at <= NOW for each in batch.positions)


async def test_bytes_by_chance(served: Served) -> None:
    """A valid batch with some bytes changed is answered, whatever it has become."""
    chance = random.Random(7)
    whole = json.dumps({"fixes": [fix(), fix(52.5201, at=MS - 500, speed=3.5)], "sent": MS, "battery": 0.5}).encode()
    statuses = set()
    for _ in range(150):
        body = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            body[chance.randrange(len(body))] = chance.choice([chance.randrange(256), *b"0123456789"])
        served.time[0] += 1
        statuses.add((await served.post(bytes(body)))[0])
    assert statuses <= {200, 400, 422}
    assert len(statuses) == 3
