"""What routers behind HTTP have in common: tables of the size that they allow, the hour of the day, how they fail."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from bots.domain.places import Point
from bots.framework.http import HttpClient
from bots.routing.base import Legs, Route, RoutingError, Table
from bots.routing.estimate import Speeds
from bots.routing.grouping import by_tables

__all__ = ["RemoteRouter"]

log = logging.getLogger(__name__)

AT_ONCE: Final = 4


class RemoteRouter(ABC):
    """A router that is asked in tables of at most ``places`` places, some at once."""

    name: str

    def __init__(
        self, http: HttpClient, url: str, *, timeout: float = 2.0, places: int = 100, speeds: Speeds | None = None
    ) -> None:
        """
        Args:
            url: where it is, without a path.
            timeout: seconds for one answer.
            places: in one table at most.
            speeds: by which times are stretched to the hour; None: as the router says.
        """
        self._http = http
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._places = places
        self._speeds = speeds
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def table(self, origins: Sequence[Point], destinations: Sequence[Point], at: datetime) -> Table:
        """From everywhere to everywhere. Raises RoutingError."""
        if len(origins) + len(destinations) <= self._places:
            return await self._table(origins, destinations, at)
        begins = [begin for begin in origins for _ in destinations]
        legs = await self.legs(begins, list(destinations) * len(origins), at)
        shape = (len(origins), len(destinations))
        return Table(legs.seconds.reshape(shape), legs.metres.reshape(shape), self.name)

    async def legs(self, origins: Sequence[Point], destinations: Sequence[Point], at: datetime) -> Legs:
        """From each origin to the destination of the same number. Raises RoutingError."""
        return await by_tables(
            origins,
            destinations,
            self._places,
            lambda begins, ends: self._table(begins, ends, at),
            self._gate,
            self.name,
        )

    @abstractmethod
    async def route(self, points: Sequence[Point], at: datetime) -> Route:
        """The way through places. Raises RoutingError."""

    @abstractmethod
    async def _table(self, origins: Sequence[Point], destinations: Sequence[Point], at: datetime) -> Table:
        """One table that is not too large, asked of the router."""

    def _longer(self, at: datetime) -> float:
        return 1.0 if self._speeds is None else 1.0 / self._speeds.share(at)

    def _failed(self, service: str, why: str) -> RoutingError:
        log.warning(
            "a router gave no answer that can be used", extra={"router": self.name, "service": service, "why": why}
        )
        return RoutingError("route.unavailable")

    def _nonsense(self, service: str, error: Exception) -> RoutingError:
        return self._failed(service, f"an answer that makes no sense: {type(error).__name__}")
