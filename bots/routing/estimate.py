"""Travel times without a map: the distance as the crow flies, how much longer roads are, and how fast one drives when.
The default, and what is said when a router does not answer.

Calibrated with published figures:

- Roads to the centres of 300 European cities are 1.343 times as long as the straight line, and in proportion to it
  (2023, doi 10.1177/23998083231168870); in cities of the United States 1.2 times (Newell 1980).
- Ten kilometres in the centre of Berlin take 22 min, of Paris 26.5, of Milan 28.8, of London 37 (TomTom Traffic Index
  2023): 27 to 16 km/h. The default is the first of these, averaged over the trips of a day.
- In the worst hour cars are 38 to 40 % slower than on empty roads (New York, Boston: Geotab 2018), and from 4 to 5 they
  are fastest. New York's taxis drive at 21.4 km/h over the whole day, at 18.5 from 8 to 19 o'clock (2013).

The shape of a weekday is drawn through these; of a weekend there were no figures: it has no rush hour in the morning,
and the rest is judgement. An operator sets the speed, the detour and, hour by hour, both shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Final

import numpy as np

from bots.domain.dispatch_near import metres_between, vectors
from bots.domain.places import Point, distance_m
from bots.routing.base import Floats, Legs, Route, RoutingError, Table

__all__ = ["DETOUR", "FREE_KMH", "POINTS_MAX", "WEEKDAY", "WEEKEND", "Estimate", "Speeds"]

DETOUR: Final = 1.343
FREE_KMH: Final = 36.5
"""Along roads when they are empty; with :data:`WEEKDAY` some 27 km/h on average over the trips of a day."""
LONGEST_M: Final = 1_000_000
"""As the crow flies: beyond, no way is known (there may be a sea between)."""
POINTS_MAX: Final = 25

WEEKDAY: Final = (
    0.93, 0.96, 0.98, 1.00, 1.00, 0.97, 0.87, 0.71, 0.63, 0.67, 0.71, 0.71,
    0.70, 0.70, 0.69, 0.66, 0.62, 0.60, 0.64, 0.72, 0.79, 0.84, 0.87, 0.90,
)  # fmt: skip
"""How fast traffic is in each hour, as a share of the speed on empty roads; each stands for the middle of its hour."""
WEEKEND: Final = (
    0.89, 0.92, 0.94, 0.97, 0.99, 1.00, 0.98, 0.95, 0.90, 0.84, 0.78, 0.74,
    0.72, 0.72, 0.72, 0.73, 0.73, 0.74, 0.76, 0.79, 0.83, 0.86, 0.88, 0.89,
)  # fmt: skip
_HOUR: Final = 3600
_SATURDAY: Final = 5


class Speeds:
    """How fast one drives when."""

    def __init__(
        self,
        zone: tzinfo,
        *,
        free_kmh: float = FREE_KMH,
        weekday: Sequence[float] = WEEKDAY,
        weekend: Sequence[float] = WEEKEND,
    ) -> None:
        """
        Args:
            zone: whose hours count.
            free_kmh: on empty roads.
            weekday, weekend: for each of the 24 hours the share of it.
        """
        if len(weekday) != 24 or len(weekend) != 24 or min(*weekday, *weekend) <= 0 or free_kmh <= 0:
            raise ValueError("speeds are more than 0, for each of the 24 hours of a day")
        self._zone = zone
        self._free = free_kmh / 3.6
        self._shares = (tuple(weekday), tuple(weekend))

    def share(self, at: datetime) -> float:
        """The share of the speed on empty roads, from one hour's middle to the next along a straight line."""
        local = at.astimezone(self._zone)
        before = local - timedelta(minutes=30)  # the hour whose middle was last
        after = local + timedelta(minutes=30)
        along = (before.minute * 60 + before.second) / _HOUR
        return self._of(before) * (1 - along) + self._of(after) * along

    def _of(self, local: datetime) -> float:
        return self._shares[local.weekday() >= _SATURDAY][local.hour]

    def metres_a_second(self, at: datetime) -> float:
        """Along roads."""
        return self._free * self.share(at)


class Estimate:
    """A router that knows no roads."""

    name = "estimate"

    def __init__(self, speeds: Speeds, *, detour: float = DETOUR) -> None:
        """
        Args:
            detour: how many times as long roads are as the straight line.
        """
        if detour < 1:
            raise ValueError("no road is shorter than the straight line")
        self._speeds = speeds
        self._detour = detour

    async def table(self, origins: Sequence[Point], destinations: Sequence[Point], at: datetime) -> Table:
        """From everywhere to everywhere."""
        metres = self.metres(vectors(origins)[:, None], vectors(destinations)[None])
        return Table(metres / self._speeds.metres_a_second(at), metres, self.name)

    async def legs(self, origins: Sequence[Point], destinations: Sequence[Point], at: datetime) -> Legs:
        """From each origin to the destination of the same number."""
        return self.legs_now(origins, destinations, at)

    def legs_now(self, origins: Sequence[Point], destinations: Sequence[Point], at: datetime) -> Legs:
        """The same for who does not wait."""
        if len(origins) != len(destinations):
            raise ValueError("there are as many destinations as origins")
        metres = self.metres(vectors(origins), vectors(destinations))
        return Legs(metres / self._speeds.metres_a_second(at), metres, self.name)

    def metres(self, one: Floats, other: Floats) -> Floats:
        """Along roads, between unit vectors; infinite: too far."""
        straight = metres_between(one, other)
        return np.where(straight > LONGEST_M, np.inf, straight * self._detour)

    async def route(self, points: Sequence[Point], at: datetime) -> Route:
        """The way through places: straight lines. Raises RoutingError."""
        if not 2 <= len(points) <= POINTS_MAX:
            raise RoutingError("route.points", most=POINTS_MAX)
        legs = []
        now = at
        for here, there in pairwise(points):
            straight = distance_m(here, there)
            if straight > LONGEST_M:
                raise RoutingError("route.none")
            metres = straight * self._detour
            seconds = metres / self._speeds.metres_a_second(now)
            now += timedelta(seconds=seconds)
            legs.append((seconds, metres))
        seconds, metres = sum(each[0] for each in legs), sum(each[1] for each in legs)
        return Route(seconds, metres, tuple(points), tuple(legs), self.name)
