"""How long the way takes, and where a place is: what a router and a geocoder are to the rest.

A router never makes a round or a quote wait for ever: what it cannot say in time, the estimate says
(:mod:`bots.routing.fallback`), and the answer says by whom it was given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from bots.domain.errors import DomainError
from bots.domain.places import Place, Point

__all__ = ["MESSAGES", "Floats", "Geocoder", "Legs", "Route", "Router", "RoutingError", "Table"]

Floats = npt.NDArray[np.float64]

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "route.none": "There is no way by road between these places.",
        "route.points": "A way has 2 to {most} places.",
        "route.unavailable": "I cannot work out the way just now. Please try again.",
        "geocoder.unavailable": "I cannot look addresses up just now: share a location, or write coordinates.",
    }
)
"""The sentence of every code: English texts with named fields, for the translator."""


class RoutingError(DomainError):
    """A way or a place that could not be found out."""

    messages = MESSAGES


@dataclass(frozen=True, slots=True)
class Route:
    """A way through places.

    Attributes:
        seconds, metres: of the whole way.
        line: what it looks like, from the first place to the last one; of an estimate the places themselves.
        legs: seconds and metres from each place to the next.
        source: which router says so ("estimate", "osrm", "valhalla").
    """

    seconds: float
    metres: float
    line: tuple[Point, ...]
    legs: tuple[tuple[float, float], ...]
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """From everywhere to everywhere: arrays of (origins, destinations). Infinite: there is no way."""

    seconds: Floats
    metres: Floats
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class Legs:
    """From each origin to the destination of the same number: arrays of (legs,). Infinite: there is no way."""

    seconds: Floats
    metres: Floats
    source: str


class Router(Protocol):
    """Knows how long ways take. ``at``: when one sets out (aware).

    Raises RoutingError ("route.unavailable") when it cannot be asked, and of :meth:`route` when there is no way.
    """

    name: str

    async def table(self, origins: Sequence[Point], destinations: Sequence[Point], at: datetime) -> Table:
        """From everywhere to everywhere."""
        ...

    async def legs(self, origins: Sequence[Point], destinations: Sequence[Point], at: datetime) -> Legs:
        """From each origin to the destination of the same number: what :func:`bots.domain.dispatch.assign` wants."""
        ...

    async def route(self, points: Sequence[Point], at: datetime) -> Route:
        """The way through two places or more, in this order."""
        ...


class Geocoder(Protocol):
    """Knows where places are.

    ``source``: what it is called. Raises RoutingError ("geocoder.unavailable") when it cannot be asked.
    """

    source: str

    async def find(
        self, text: str, *, near: Point | None = None, limit: int = 5, language: str = "en"
    ) -> tuple[Place, ...]:
        """Places that people may mean by this text, the likeliest first; each has its point. Empty: none is known.

        Args:
            text: what they wrote: an address, the name of a place, coordinates.
            near: places near this one are likelier.
            limit: so many at most.
            language: of the names (BCP 47).
        """
        ...

    async def name(self, point: Point, *, language: str = "en") -> Place | None:
        """What people call the place at this point; None: no name is known."""
        ...
