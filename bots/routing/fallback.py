"""A router that always answers: what another one cannot say in time, the estimate says, and the answer says so.

After some failures the other one is left alone for a while (a circuit breaker), so that not every quote waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

from bots.domain.places import Point
from bots.framework.breaker import Breaker, BreakerSettings, State
from bots.routing.base import Legs, Route, Router, RoutingError, Table

__all__ = ["Fallback"]

log = logging.getLogger(__name__)

T = TypeVar("T")


class Fallback:
    """A router with another one behind it. ``source`` of each answer says which of them it is from."""

    def __init__(
        self,
        first: Router,
        second: Router,
        *,
        timeout: float = 3.0,
        settings: BreakerSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            timeout: seconds that the first one has for a whole answer.
            settings: when it is left alone, and for how long.
            clock: seconds of a monotonic clock.
        """
        self._first, self._second = first, second
        self._timeout = timeout
        self._breaker = Breaker(settings or BreakerSettings())
        self._clock = clock
        self._asked = 0
        self.name = first.name

    @property
    def open(self) -> bool:
        """Whether the first one is left alone just now."""
        return self._breaker.state is not State.CLOSED

    async def table(self, origins: Sequence[Point], destinations: Sequence[Point], at: datetime) -> Table:
        """From everywhere to everywhere."""
        try:
            found = await self._tried(lambda: self._first.table(origins, destinations, at))
        except RoutingError:  # one place without a road spoils a whole table
            found = None
        return found or await self._second.table(origins, destinations, at)

    async def legs(self, origins: Sequence[Point], destinations: Sequence[Point], at: datetime) -> Legs:
        """From each origin to the destination of the same number."""
        try:
            found = await self._tried(lambda: self._first.legs(origins, destinations, at))
        except RoutingError:
            found = None
        return found or await self._second.legs(origins, destinations, at)

    async def route(self, points: Sequence[Point], at: datetime) -> Route:
        """The way through places. Raises RoutingError: the first one says that there is none."""
        found = await self._tried(lambda: self._first.route(points, at))
        return found or await self._second.route(points, at)

    async def _tried(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """What the first one says; None: nothing, or it is left alone.

        Raises:
            RoutingError: it answers, and there is no way.
        """
        if not self._breaker.admits(self._clock()):
            return None
        self._asked += 1
        event = str(self._asked)
        try:
            async with asyncio.timeout(self._timeout):
                found = await ask()
        except TimeoutError:
            self._failed(event)
            return None
        except RoutingError as error:
            if error.code == "route.unavailable":
                self._failed(event)
                return None
            self._succeeded(event)
            raise
        except BaseException:
            self._breaker.passed()  # whoever asked has gone: the next one is the trial
            raise
        self._succeeded(event)
        return found

    def _failed(self, event: str) -> None:
        now = self._clock()
        if self._breaker.failed(event, now):
            pause = round(self._breaker.until - now)
            log.error("travel times are estimated: the router fails", extra={"router": self.name, "pause": pause})

    def _succeeded(self, event: str) -> None:
        if self._breaker.succeeded(event, self._clock()):
            log.info("the router answers again", extra={"router": self.name})
