"""Places on the earth, distances, and the zones that are delivered to.

WGS 84 degrees: latitude from −90 to 90, longitude from −180 up to 180. A polygon is taken on the plane of its own
longitudes, unrolled at the date line: zones are some kilometres wide, where that is exact enough.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from bots.domain.errors import DomainError
from bots.domain.money import Money

__all__ = ["EARTH_M", "MESSAGES", "Circle", "Place", "PlaceError", "Point", "Polygon", "Shape", "Zone", "distance_m"]

EARTH_M: Final = 6_371_008.8
"""The mean radius of the earth in metres (IUGG)."""
CORNERS_MAX: Final = 200
RADIUS_MAX_M: Final = 200_000
TEXT_MAX: Final = 500

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "place.invalid": "A place has a latitude from −90 to 90 and a longitude from −180 to 180.",
        "place.text": "An address has 1 to {most} characters.",
        "zone.radius": "A zone's radius is more than 0 and at most {most} metres.",
        "zone.corners": "An area has 3 to {most} different corners.",
        "zone.flat": "The corners of an area lie on one line.",
        "zone.crosses": "The border of the area crosses itself between corner {first} and corner {second}.",
        "zone.wide": "An area is narrower than half of the earth and does not hold a pole.",
        "zone.fee": "Fees and minimums are not below nought, and in one currency.",
        "zone.name": "A zone has a name.",
    }
)
"""The sentence of every code: English texts with named fields, for the translator."""


class PlaceError(DomainError):
    """A place or a zone that cannot be."""

    messages = MESSAGES


@dataclass(frozen=True, slots=True)
class Point:
    """Degrees, WGS 84. Raises PlaceError."""

    latitude: float
    longitude: float

    def __post_init__(self) -> None:
        for value, most in ((self.latitude, 90), (self.longitude, 180)):
            if type(value) not in {int, float} or not math.isfinite(value) or abs(value) > most:
                raise PlaceError("place.invalid")


@dataclass(frozen=True, slots=True)
class Place:
    """Where something goes: an address as people write it, and where that is, if it is known."""

    text: str
    point: Point | None = None

    def __post_init__(self) -> None:
        if not self.text.strip() or len(self.text) > TEXT_MAX:
            raise PlaceError("place.text", most=TEXT_MAX)


def distance_m(one: Point, other: Point) -> float:
    """Metres along the great circle, by the haversine formula."""
    first, second = math.radians(one.latitude), math.radians(other.latitude)
    half = math.sin((second - first) / 2) ** 2
    across = math.radians(other.longitude - one.longitude)
    half += math.cos(first) * math.cos(second) * math.sin(across / 2) ** 2
    return 2 * EARTH_M * math.asin(math.sqrt(min(half, 1.0)))


@dataclass(frozen=True, slots=True)
class Circle:
    """Everything within ``radius_m`` metres of a point."""

    centre: Point
    radius_m: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.radius_m) or not 0 < self.radius_m <= RADIUS_MAX_M:
            raise PlaceError("zone.radius", most=RADIUS_MAX_M)

    def holds(self, point: Point) -> bool:
        """Whether a point lies in it; its border does."""
        return distance_m(self.centre, point) <= self.radius_m


@dataclass(frozen=True, slots=True)
class Polygon:
    """An area between its corners, in order; the last one is joined to the first."""

    corners: tuple[Point, ...]

    def __post_init__(self) -> None:
        corners = self.corners
        if not 3 <= len(corners) <= CORNERS_MAX or len(set(corners)) != len(corners):
            raise PlaceError("zone.corners", most=CORNERS_MAX)
        flat = self._flat()
        if max(x for x, _ in flat) - min(x for x, _ in flat) >= 180:
            raise PlaceError("zone.wide")
        if all(_turn(flat[0], flat[1], third) == 0 for third in flat[2:]):
            raise PlaceError("zone.flat")
        crossing = _crossing(flat)
        if crossing is not None:
            raise PlaceError("zone.crosses", first=crossing[0] + 1, second=crossing[1] + 1)

    def holds(self, point: Point) -> bool:
        """Whether a point lies in it; its border does."""
        flat = self._flat()
        # The point may be a whole turn away from where the corners were unrolled to.
        return any(_inside(flat, (point.longitude + turn, point.latitude)) for turn in (0.0, 360.0, -360.0))

    def _flat(self) -> list[tuple[float, float]]:
        x = self.corners[0].longitude
        flat = []
        for corner in self.corners:
            # Whole turns are added to what was given, and nothing is rounded: a corner stays exactly where it is.
            x = corner.longitude + 360 * _turns(x - corner.longitude)
            flat.append((x, corner.latitude))
        return flat


Shape = Circle | Polygon
_Flat = tuple[float, float]


def _turns(degrees: float) -> int:
    """How many whole turns are nearest to so many degrees; of half a turn, the one below."""
    return math.ceil((degrees - 180) / 360)


def _turn(one: _Flat, two: _Flat, three: _Flat) -> int:
    """1: three lies to the left of the way from one to two; −1: to the right; 0: on it."""
    area = (two[0] - one[0]) * (three[1] - one[1]) - (two[1] - one[1]) * (three[0] - one[0])
    return (area > 0) - (area < 0)


def _on(one: _Flat, two: _Flat, point: _Flat) -> bool:
    """Whether a point on the line through two others lies between them."""
    return min(one[0], two[0]) <= point[0] <= max(one[0], two[0]) and min(one[1], two[1]) <= point[1] <= max(
        one[1], two[1]
    )


def _meet(a: _Flat, b: _Flat, c: _Flat, d: _Flat) -> bool:
    turns = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if turns[0] != turns[1] and turns[2] != turns[3]:
        return True
    ends = ((a, b, c), (a, b, d), (c, d, a), (c, d, b))
    return any(turn == 0 and _on(*end) for turn, end in zip(turns, ends, strict=True))


def _crossing(flat: Sequence[_Flat]) -> tuple[int, int] | None:
    """The first corners of two sides that meet and should not."""
    count = len(flat)
    for first in range(count):
        a, b = flat[first], flat[(first + 1) % count]
        for second in range(first + 1, count):
            c, d = flat[second], flat[(second + 1) % count]
            neighbours = second == first + 1 or (first == 0 and second == count - 1)
            if neighbours:
                shared, far, other = (b, a, d) if second == first + 1 else (a, b, c)
                if _turn(far, shared, other) == 0 and (_on(far, shared, other) or _on(other, shared, far)):
                    return first, second  # it goes back on itself
            elif _meet(a, b, c, d):
                return first, second
    return None


def _inside(flat: Sequence[_Flat], point: _Flat) -> bool:
    inside = False
    for index, one in enumerate(flat):
        two = flat[index - 1]
        if _turn(one, two, point) == 0 and _on(one, two, point):
            return True
        if (one[1] > point[1]) != (two[1] > point[1]):
            at = one[0] + (point[1] - one[1]) * (two[0] - one[0]) / (two[1] - one[1])
            inside ^= point[0] < at
    return inside


@dataclass(frozen=True, slots=True)
class Zone:
    """Where is delivered to, and what that costs.

    Attributes:
        fee: of a delivery into it.
        per_km: on top, for each kilometre begun between sender and receiver as the crow flies.
        minimum: what the goods have to cost at least.
        free_from: goods of this worth are brought for nothing.
    """

    name: str
    shape: Shape
    fee: Money
    per_km: Money | None = None
    minimum: Money | None = None
    free_from: Money | None = None

    def __post_init__(self) -> None:
        if not self.name.strip() or len(self.name) > TEXT_MAX:
            raise PlaceError("zone.name")
        for money in (self.fee, self.per_km, self.minimum, self.free_from):
            if money is not None and (money.minor < 0 or money.currency != self.fee.currency):
                raise PlaceError("zone.fee")

    def fee_for(self, goods: Money, metres: float) -> Money:
        """What a delivery of goods of this worth over so many metres costs."""
        if self.free_from is not None and goods >= self.free_from:
            return Money.zero(self.fee.currency)
        if self.per_km is None:
            return self.fee
        return self.fee + self.per_km * math.ceil(metres / 1000)
