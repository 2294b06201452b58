"""The city of the benchmark: where and when people want to go, how fast one drives, and what people are like.

A strip like Manhattan: 21.6 km long and 3.7 km wide, turned 29 degrees, with most trips in its middle. The quietest and
the busiest hour are as New York's taxis had them (4,271 trips from 5 to 6, 28,916 from 19 to 20); the others are drawn
between them. Trips take 9 minutes on average (those of the open simulators 610 s), at about the speeds of taxis there
(21.4 km/h over the whole day, 18.5 from 8 to 19 o'clock), over streets of a grid: 4 / π of the straight line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from bots.domain.dispatch_near import vectors
from bots.domain.places import Point
from bots.routing.estimate import Estimate, Speeds

__all__ = ["BEHAVIOUR", "CALM", "MIDNIGHT", "Behaviour", "City", "Demand"]

Floats = npt.NDArray[np.float64]

MIDNIGHT: Final = datetime(2026, 5, 6, tzinfo=UTC)
"""A Wednesday; the hours are the city's own."""
DAY: Final = 86_400
BY_HOUR: Final = (
    15.5, 11.0, 8.2, 6.0, 4.6, 4.271, 9.5, 16.5, 20.5, 20.8, 20.2, 20.6,
    21.5, 21.3, 22.2, 21.2, 18.8, 22.5, 27.3, 28.916, 27.0, 26.2, 25.2, 21.5,
)  # fmt: skip
FREE_KMH: Final = 28.5
DETOUR: Final = 4 / math.pi
LONG_M: Final = 21_600.0
WIDE_M: Final = 3_700.0
TURNED: Final = math.radians(29)
SOUTH: Final = 40.7005
WEST: Final = -74.0170
HOT: Final = ((0.10, 0.05, 0.14), (0.24, 0.06, 0.18), (0.36, 0.05, 0.30), (0.47, 0.07, 0.22), (0.62, 0.16, 0.16))
"""Where trips begin and end along the strip: middle, spread and share."""
NEAR_M: Final = 2_050.0
"""The farther a destination, the fewer want to go there: by a factor of e for each so many metres."""
SHORTEST_M: Final = 350.0


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What people do; chances from 0 to 1, seconds otherwise.

    Attributes:
        answer: seconds that a driver takes to answer an offer, on average.
        decline: of an offer; ``ignore``: no answer at all.
        lose: of a driver who has accepted, to cancel on the way.
        patience: how long a rider waits for a driver to be found before they cancel, on average.
        regret: of a rider whose driver is on the way, to cancel; ``miss``: not to come.
        boarding, leaving: how long it takes.
        grace: how long a driver waits for a rider who does not come.
        stroll: after so long without a trip a driver goes where others begin.
        shift: hours; ``pause``: in the middle of it; ``change``: between two drivers of one car.
    """

    answer: float = 7.0
    decline: float = 0.06
    ignore: float = 0.02
    lose: float = 0.01
    patience: float = 900.0
    regret: float = 0.03
    miss: float = 0.01
    boarding: float = 40.0
    leaving: float = 20.0
    grace: float = 300.0
    stroll: float = 240.0
    shift: float = 12.0
    pause: float = 1_200.0
    change: float = 600.0


BEHAVIOUR: Final = Behaviour()
CALM: Final = replace(
    BEHAVIOUR,
    answer=0.0,
    decline=0.0,
    ignore=0.0,
    lose=0.0,
    patience=math.inf,
    regret=0.0,
    miss=0.0,
    boarding=0.0,
    leaving=0.0,
    shift=math.inf,
)
"""As in the published simulations: cars that obey at once and never stop, and riders who wait to the end."""


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """Trips that people want: seconds of the day in order, arrays of (trips, 2) degrees, and metres by road."""

    at: Floats
    pickups: Floats
    dropoffs: Floats
    metres: Floats


class City:
    """The strip, and its streets."""

    def __init__(self, seed: int) -> None:
        self._chance = np.random.default_rng(seed)
        self.speeds = Speeds(UTC, free_kmh=FREE_KMH)
        self.router = Estimate(self.speeds, detour=DETOUR)

    def demand(self, count: int) -> Demand:
        """So many trips of a day."""
        hours = self._chance.choice(24, size=count, p=np.array(BY_HOUR) / sum(BY_HOUR))
        at = np.sort(hours * 3600.0 + self._chance.random(count) * 3600.0)
        begins, ends = self._places(count), np.zeros((count, 2))
        left = np.arange(count)
        while len(left):  # of destinations at random as many are kept as want to go so far
            tried = self._places(len(left))
            way = np.hypot(*(tried - begins[left]).T)
            kept = (way > SHORTEST_M) & (self._chance.random(len(left)) < np.exp(-way / NEAR_M))
            ends[left[kept]] = tried[kept]
            left = left[~kept]
        pickups, dropoffs = self._degrees(begins), self._degrees(ends)
        metres = np.zeros(count)
        for first in range(0, count, 10_000):
            some = slice(first, first + 10_000)
            metres[some] = self.router.metres(_vectors(pickups[some]), _vectors(dropoffs[some]))
        return Demand(at, pickups, dropoffs, metres)

    def places(self, count: int) -> list[Point]:
        """Where trips begin."""
        return [Point(float(y), float(x)) for y, x in self._degrees(self._places(count))]

    def _places(self, count: int) -> Floats:
        """Metres along the strip and across it."""
        which = self._chance.choice(len(HOT), size=count, p=[share for _, _, share in HOT])
        middle, spread = np.array([each[0] for each in HOT]), np.array([each[1] for each in HOT])
        along = middle[which] + spread[which] * self._chance.standard_normal(count)
        along = np.abs(along)
        along = np.where(along > 1, 2 - along, along) * LONG_M
        # It narrows at its tip.
        across = (self._chance.random(count) - 0.5) * WIDE_M * np.minimum(1, 0.35 + along / 4_000)
        return np.column_stack((along, across))

    def seconds(self, metres: float, at: datetime) -> float:
        """How long one drives so far."""
        return metres / self.speeds.metres_a_second(at)

    def _degrees(self, metres: Floats) -> Floats:
        north = metres[:, 0] * math.cos(TURNED) - metres[:, 1] * math.sin(TURNED)
        east = metres[:, 0] * math.sin(TURNED) + metres[:, 1] * math.cos(TURNED)
        latitude = SOUTH + np.degrees(north / 6_371_008.8)
        return np.column_stack((latitude, WEST + np.degrees(east / 6_371_008.8) / math.cos(math.radians(40.78))))


def _vectors(degrees: Floats) -> Floats:
    return vectors([Point(float(y), float(x)) for y, x in degrees])
