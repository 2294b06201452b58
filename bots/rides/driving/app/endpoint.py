"""``POST /fleet/positions``: an app of a driver says where they are, and hears how soon to say it again.

Whoever does not show a token learns nothing. What is wrong is a problem of RFC 9457; the whole protocol stands in
``docs/driver-app.md``. Nothing here is written to the log but codes: where people are is nobody's affair.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from aiohttp import web
from sqlalchemy import Connection

from appservice import json
from appservice.database import Database, DatabaseError
from bots.domain.drivers import Driver, DriverState, Position
from bots.domain.places import Place, Point, distance_m
from bots.domain.trips import TripState
from bots.fleet.fleet import Fleet, Fleets
from bots.fleet.positions import Heard
from bots.framework.clock import Clock
from bots.framework.limits import Limited, RateLimit, RateLimiter
from bots.rides.driving.app.fixes import Batch, Malformed, interval, read
from bots.rides.driving.app.tokens import Tokens
from bots.store.driver_tokens import TokenRow
from bridge.api.problems import Problem

__all__ = ["PREFIX", "DriverApp"]

log = logging.getLogger(__name__)

PREFIX: Final = "/fleet"
"""Where the endpoint is mounted."""
BODY_MAX: Final = 32 * 1024
"""Bytes: a hundred fixes with everything that may be said of each have 20."""
BODY_S: Final = 10.0
"""Seconds in which a body must have arrived."""
READING: Final = 64
"""Bodies that are read at the same time."""
CALLS: Final = RateLimit(60, 60)
"""Of one driver: twelve a minute are asked for at most, and what was kept without a network comes at once."""
DRIVER_S: Final = 3.0
"""So long it is remembered how a driver stands."""
DRIVERS: Final = 50_000
DEMAND_S: Final = 10.0
"""So long it is remembered who waits."""
NEAR_M: Final = 3_000.0
MOVED_M: Final = 100.0
MOVED_WITHIN: Final = timedelta(minutes=3)
MOVING_SPEED: Final = 1.5
"""Metres a second."""
KNOWN: Final = frozenset({DriverState.OFFLINE, DriverState.ONLINE, DriverState.BREAK})
"""Of these drivers positions are taken: who is offline wants trips in a moment, or hears 0 and sends no more."""

T = TypeVar("T")


@dataclass(slots=True)
class _Demand:
    until: float
    waiting: Sequence[Point]


class DriverApp:
    """The endpoint. ``server.mount(PREFIX, app.app())``."""

    def __init__(
        self,
        fleets: Fleets,
        tokens: Tokens,
        database: Database,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            monotonic: seconds, for rate limits and what is remembered for a moment.
        """
        self._fleets = fleets
        self._tokens = tokens
        self._database = database
        self._clock = clock
        self._monotonic = monotonic
        self._calls = RateLimiter(CALLS, capacity=DRIVERS)
        self._drivers: OrderedDict[tuple[str, str], tuple[Driver | None, float]] = OrderedDict()
        self._demand: dict[str, _Demand] = {}
        self._reading = 0

    def app(self) -> web.Application:
        """The routes below :data:`PREFIX`."""
        app = web.Application()
        app.router.add_post("/positions", self._post)
        return app

    async def query(self, work: Callable[[Connection], T]) -> T:
        """Read the database: what services are handed where no handler is at hand."""
        return await self._database.read(work)

    async def _post(self, request: web.Request) -> web.StreamResponse:
        try:
            answer = await self._answered(request)
        except Problem as problem:
            log.debug("positions were refused: %s", problem.code)
            return problem.response()
        except DatabaseError as error:
            log.error("positions cannot be taken now: %s", error)
            return Problem(503, error.code, "That cannot be known now; try again.", retry_after=5).response()
        return web.Response(body=json.dumps(answer) + b"\n", content_type="application/json")

    async def _answered(self, request: web.Request) -> Mapping[str, Any]:
        token = await self._caller(request)
        self._limit(token)
        fleet = self._fleet(token)
        batch = self._batch(await self._body(request))
        driver = await self._driver(fleet, token)
        if driver is None:
            raise Problem(403, "no_driver", "Whoever this token was made for does not drive here any more.")
        counts = dict.fromkeys(("taken", "old", "doubtful"), 0)
        counts["old"] = batch.passed_over
        if driver.state in KNOWN or driver.trip:
            for position in batch.positions:
                heard = fleet.positions.update(driver.person, position)
                counts["doubtful" if heard is Heard.JUMPED else heard.value] += 1
        return {
            **counts,
            "state": driver.state.value,
            "trip": bool(driver.trip),
            "next": await self._interval(fleet, token.bot, driver, batch),
        }

    # Who

    async def _caller(self, request: web.Request) -> TokenRow:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        row = await self._tokens.check(token.strip()) if scheme.lower() == "bearer" else None
        if row is None:
            raise Problem(
                401, "unauthorized", "This needs a token that counts: “app token” in the chat makes one.",
                headers={"WWW-Authenticate": "Bearer"},
            )  # fmt: skip
        return row

    def _limit(self, token: TokenRow) -> None:
        verdict = self._calls.check(f"{token.bot} {token.person}", self._monotonic())
        if isinstance(verdict, Limited):
            raise Problem(429, "too_many", "Send less often: “next” says how often.", retry_after=verdict.retry_after)

    def _fleet(self, token: TokenRow) -> Fleet:
        try:
            return self._fleets.of(token.bot)
        except LookupError:
            raise Problem(403, "no_driver", "Nobody drives for this bot any more.") from None

    async def _driver(self, fleet: Fleet, token: TokenRow) -> Driver | None:
        key, now = (token.bot, token.person), self._monotonic()
        known = self._drivers.get(key)
        if known is not None and now < known[1]:
            return known[0]
        driver = await fleet.drivers.get(self, token.person)
        self._drivers[key] = (driver, now + DRIVER_S)
        self._drivers.move_to_end(key)
        if len(self._drivers) > DRIVERS:
            self._drivers.popitem(last=False)
        return driver

    # What

    async def _body(self, request: web.Request) -> bytes:
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Problem(415, "wrong_encoding", "The body must not be compressed.")
        if request.content_type != "application/json":
            raise Problem(415, "wrong_type", "The body needs to be application/json.")
        if self._reading >= READING:
            raise Problem(503, "busy", "Too many requests are under way; try again.", retry_after=1)
        self._reading += 1
        try:
            async with asyncio.timeout(BODY_S):
                return await _bounded(request)
        except TimeoutError:
            raise Problem(408, "too_slow", "The body did not arrive in time.") from None
        finally:
            self._reading -= 1

    def _batch(self, body: bytes) -> Batch:
        try:
            return read(json.loads(body), datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC))
        except json.JSONError:
            raise Problem(400, "no_json", "The body is no JSON.") from None
        except Malformed as error:
            errors = [{"pointer": pointer, "detail": detail} for pointer, detail in error.errors[:20]]
            raise Problem(422, "malformed", "Nothing was taken: the request is not what it has to be.",
                          errors=errors) from None  # fmt: skip

    # When again

    async def _interval(self, fleet: Fleet, bot: str, driver: Driver, batch: Batch) -> int:
        seen = fleet.positions.last(driver.person)
        if seen is None:
            return interval(driver, moving=False, demand=False, low=batch.low)
        moving = _moving(fleet.positions.trail(driver.person), seen.position)
        demand = False
        # What is not asked for need not be found out.
        if driver.state is DriverState.ONLINE and not (driver.trip or moving or batch.low):
            demand = await self._wanted(fleet, bot, seen.position.point)
        return interval(driver, moving=moving, demand=demand, low=batch.low)

    async def _wanted(self, fleet: Fleet, bot: str, point: Point) -> bool:
        """Whether somebody near a driver waits, or more wait there than drive."""
        known, now = self._demand.get(bot), self._monotonic()
        if known is None or now >= known.until:
            trips = await fleet.trips.in_states(self, {TripState.SEARCHING})
            waiting = [trip.pickup.point for trip in trips if trip.pickup.point is not None]
            known = self._demand[bot] = _Demand(now + DEMAND_S, waiting)
        if any(distance_m(each, point) <= NEAR_M for each in known.waiting):
            return True
        return fleet.quotes.surge(Place("here", point)) > 100


def _moving(trail: Sequence[Position], last: Position) -> bool:
    if last.speed is not None and last.speed >= MOVING_SPEED:
        return True
    since = last.at - MOVED_WITHIN
    return any(each.at >= since and distance_m(each.point, last.point) > MOVED_M for each in trail)


async def _bounded(request: web.Request) -> bytes:
    """The body, of at most :data:`BODY_MAX` bytes, whatever its length is said to be."""
    pieces, length = [], 0
    try:
        async for piece in request.content.iter_chunked(8192):
            length += len(piece)
            if length > BODY_MAX:
                raise Problem(413, "too_large", f"The body has at most {BODY_MAX} bytes.")
            pieces.append(piece)
    except (ConnectionError, asyncio.IncompleteReadError, web.RequestPayloadError):
        raise Problem(400, "broken_off", "The body broke off.") from None
    return b"".join(pieces)
