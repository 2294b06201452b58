"""Tariffs: what an operator asks for trips, where, when, and what of it is whose. Pure.

All amounts of a tariff are whole minor units of its one currency. Shares are in basis points (hundredths of a percent),
surge in hundredths (100 is none). The hours are local times of the tariff's time zone, in minutes of the week from
Monday 00:00; those of one class in one zone cover a week exactly once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

from bots.domain.currencies import CURRENCIES
from bots.domain.errors import DomainError
from bots.domain.places import Point, Shape

__all__ = [
    "MESSAGES",
    "WEEK",
    "Area",
    "CancelFee",
    "Fees",
    "MissFee",
    "Rates",
    "ServiceClass",
    "SurgePoint",
    "SurgeRules",
    "Tariff",
    "TariffError",
    "Tax",
    "Window",
    "coverage",
    "week_minute",
]

DAY: Final = 1440
WEEK: Final = 7 * DAY
"""Minutes of a week."""
WHOLE: Final = 10_000
"""All of it, in basis points."""
SURGE_MOST: Final = 1000
"""Ten times the price: no operator's cap is above it."""
NAME_MAX: Final = 40
AMOUNT_MAX: Final = 10**12
"""No rate is above it: what is multiplied with a way stays within 64 bits."""

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "tariff.class": "There is no class “{name}” here.",
        "tariff.hours": "The rates of class “{name}” do not cover the week exactly once.",
        "fare.pickup_outside": "That pickup is outside of where we drive.",
        "fare.way_outside": "We do not go there: that is outside of where we drive.",
        "fare.no_pickup": "Nobody is picked up there ({area}): choose a place nearby.",
        "fare.long": "That is too far: a trip has at most {most} km.",
    }
)
"""The sentence of every code: English texts with named fields, for the translator."""


class TariffError(DomainError):
    """A way that is not driven at this tariff, or a tariff that cannot be."""

    messages = MESSAGES


def _amounts(*amounts: int | None) -> None:
    for amount in amounts:
        if amount is not None and (type(amount) is not int or not 0 <= amount <= AMOUNT_MAX):
            raise ValueError("a rate is a whole number of minor units, not below nought")


@dataclass(frozen=True, slots=True)
class ServiceClass:
    """What somebody can order.

    Attributes:
        name: as trips and drivers say it: "standard", "xl", "courier".
        label: as people read it, in the operator's words.
        seats: for passengers; 0: it brings things only.
    """

    name: str
    label: str
    seats: int

    @property
    def courier(self) -> bool:
        """Whether it brings things, and not people."""
        return self.seats == 0


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """From a minute of the week until just before another; 0 ≤ begin < end ≤ 10,080."""

    begin: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.begin < self.end <= WEEK:
            raise ValueError("a window lies within the week")


@dataclass(frozen=True, slots=True)
class Rates:
    """What a class costs in some hours; minor units.

    Attributes:
        base: of each trip.
        per_km: of the whole way, stops included, to the metre.
        per_minute: of the time that the way is estimated to take, to the second.
        minimum: base, way and time are at least this much.
        booking_fee: on top, never multiplied; it is the operator's alone.
        waiting_per_minute: for each minute begun that the driver waits at the pickup after ``free_minutes``.
    """

    windows: tuple[Window, ...]
    base: int
    per_km: int
    per_minute: int
    minimum: int = 0
    booking_fee: int = 0
    waiting_per_minute: int = 0
    free_minutes: int = 3

    def __post_init__(self) -> None:
        _amounts(self.base, self.per_km, self.per_minute, self.minimum, self.booking_fee, self.waiting_per_minute)
        _amounts(self.free_minutes)


@dataclass(frozen=True, slots=True)
class Area:
    """A part of the earth with a name; in the order of the tariff, the first that holds a point counts."""

    name: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class SurgePoint:
    """At so many who wait for a hundred free drivers, the price is multiplied by so many hundredths."""

    ratio: int
    multiplier: int


@dataclass(frozen=True, slots=True)
class SurgeRules:
    """How the price rises where more wait than are free.

    Attributes:
        points: by rising ratio, multipliers not falling. Below the first there is no surge; between two it is
            interpolated; above the last it is the last.
        step: the multiplier moves in steps of so many hundredths, rounded down.
        cap: never above; 100: there is no surge at all.
        least_waiting: no surge while fewer wait than this: two people are no rush.
        smoothing: how much of a new measurement counts, in hundredths: 100 is all of it.
    """

    points: tuple[SurgePoint, ...] = ()
    step: int = 10
    cap: int = 100
    least_waiting: int = 3
    smoothing: int = 30

    def __post_init__(self) -> None:
        ratios = [each.ratio for each in self.points]
        multipliers = [100, *(each.multiplier for each in self.points)]
        if ratios != sorted(set(ratios)) or any(each < 0 for each in ratios) or multipliers != sorted(multipliers):
            raise ValueError("surge rises with the ratio")
        if not 1 <= self.step <= 100 or not 100 <= self.cap <= SURGE_MOST or not 1 <= self.smoothing <= 100:
            raise ValueError("surge moves in steps between 100 and its cap")


@dataclass(frozen=True, slots=True)
class CancelFee:
    """What it costs to cancel when a driver is on the way.

    Attributes:
        free_seconds: after the match it costs nothing for so long.
        late_seconds: and nothing, whenever the driver is later than was promised by so long.
        fixed: in any case afterwards.
        per_km, per_minute: on top, for what the driver has driven towards the pickup.
        cap: never more.
    """

    free_seconds: int = 120
    late_seconds: int = 300
    fixed: int = 0
    per_km: int = 0
    per_minute: int = 0
    cap: int = 0

    def __post_init__(self) -> None:
        _amounts(self.free_seconds, self.late_seconds, self.fixed, self.per_km, self.per_minute, self.cap)


@dataclass(frozen=True, slots=True)
class MissFee:
    """What it costs not to come: after ``grace_minutes`` from the driver's arrival, in minor units."""

    grace_minutes: int = 5
    fixed: int = 0

    def __post_init__(self) -> None:
        _amounts(self.grace_minutes, self.fixed)


@dataclass(frozen=True, slots=True)
class Fees:
    """What is due when a ride does not take place."""

    cancel: CancelFee = CancelFee()
    miss: MissFee = MissFee()


@dataclass(frozen=True, slots=True)
class Tax:
    """A tax on what the rider pays.

    Attributes:
        name: in the operator's words: "VAT"; empty: there is none.
        rate: in basis points: 1900 is 19 %.
        included: the amounts of the tariff hold it already; otherwise it comes on top.
    """

    name: str = ""
    rate: int = 0
    included: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= WHOLE:
            raise ValueError("a tax is 0 to 100 %")


@dataclass(frozen=True, slots=True)
class Tariff:
    """All that an operator asks for trips.

    Attributes:
        name: of the tariff, in the operator's words.
        zone: the time zone (IANA) that its hours are of.
        classes: by name, in the order in which they are shown.
        rates: by class and zone's name; "" is everywhere else. Each class has rates for "".
        zones: places where rates or surge are different.
        service: where is driven; empty: everywhere. Pickup and destination both lie in one of them.
        no_pickup: where nobody is picked up: inside of a station, on a motorway.
        share: the operator's, in basis points; the rest is the driver's.
        quote_seconds: how long a quote stands.
        waiting_minutes: so many paid minutes of waiting are held on top of the price, so that they can be taken.
        surge_classes: names of the classes that surge counts for.
        metres_most: no trip is longer.
    """

    name: str
    currency: str
    zone: str
    classes: Mapping[str, ServiceClass]
    rates: Mapping[tuple[str, str], tuple[Rates, ...]]
    zones: tuple[Area, ...] = ()
    service: tuple[Area, ...] = ()
    no_pickup: tuple[Area, ...] = ()
    surge: SurgeRules = SurgeRules()
    surge_zones: Mapping[str, SurgeRules] = field(default_factory=dict)
    surge_classes: frozenset[str] = frozenset()
    fees: Fees = Fees()
    tax: Tax = Tax()
    share: int = 2000
    quote_seconds: int = 90
    waiting_minutes: int = 0
    metres_most: int = 300_000

    def __post_init__(self) -> None:
        if self.currency not in CURRENCIES:
            raise ValueError("a tariff is in a currency of ISO 4217")
        if not 0 <= self.share <= WHOLE:
            raise ValueError("the operator's share is 0 to 100 %")
        ZoneInfo(self.zone)
        for name in self.classes:
            if (name, "") not in self.rates:
                raise TariffError("tariff.hours", name=name)
        for name in [*(name for name, _ in self.rates), *self.surge_classes]:
            if name not in self.classes:
                raise TariffError("tariff.class", name=name)
        for (name, _), rates in self.rates.items():
            gaps, overlaps = coverage([window for each in rates for window in each.windows])
            if gaps or overlaps:
                raise TariffError("tariff.hours", name=name)
        for mapping in ("classes", "rates", "surge_zones"):
            object.__setattr__(self, mapping, MappingProxyType(dict(getattr(self, mapping))))

    @property
    def quote_for(self) -> timedelta:
        """How long a quote stands."""
        return timedelta(seconds=self.quote_seconds)

    def service_class(self, name: str) -> ServiceClass:
        """A class by its name. Raises TariffError."""
        found = self.classes.get(name)
        if found is None:
            raise TariffError("tariff.class", name=name[:NAME_MAX])
        return found

    def zone_at(self, point: Point) -> str:
        """The name of the first zone that holds a point; empty: none does."""
        return next((each.name for each in self.zones if each.shape.holds(point)), "")

    def rates_at(self, name: str, point: Point, at: datetime) -> Rates:
        """What counts for a pickup at a point and a moment (aware). Raises TariffError: there is no such class."""
        self.service_class(name)
        rates = self.rates.get((name, self.zone_at(point))) or self.rates[name, ""]
        minute = week_minute(at, self.zone)
        return next(each for each in rates if any(w.begin <= minute < w.end for w in each.windows))

    def surge_at(self, zone: str) -> SurgeRules:
        """The rules of surge in a zone."""
        return self.surge_zones.get(zone, self.surge)

    def serve(self, pickup: Point, dropoff: Point, stops: Sequence[Point] = ()) -> None:
        """See whether such a way is driven. Raises TariffError."""
        for code, points in (("fare.pickup_outside", [pickup]), ("fare.way_outside", [*stops, dropoff])):
            for point in points:
                if self.service and not any(each.shape.holds(point) for each in self.service):
                    raise TariffError(code)
        area = next((each for each in self.no_pickup if each.shape.holds(pickup)), None)
        if area is not None:
            raise TariffError("fare.no_pickup", area=area.name)


def week_minute(at: datetime, zone: str) -> int:
    """The minute of the week (from Monday 00:00) that clocks in a time zone show at a moment (aware)."""
    local = at.astimezone(ZoneInfo(zone))
    return local.weekday() * DAY + local.hour * 60 + local.minute


def coverage(windows: Sequence[Window]) -> tuple[list[Window], list[Window]]:
    """What of the week no window covers, and what more than one does; each in order, neighbours joined."""
    moves: dict[int, int] = {0: 0, WEEK: 0}
    for window in windows:
        moves[window.begin] = moves.get(window.begin, 0) + 1
        moves[window.end] = moves.get(window.end, 0) - 1
    gaps: list[Window] = []
    overlaps: list[Window] = []
    depth, marks = 0, sorted(moves)
    for begin, end in pairwise(marks):
        depth += moves[begin]
        if depth != 1:
            into = gaps if depth == 0 else overlaps
            if into and into[-1].end == begin:
                into[-1] = Window(into[-1].begin, end)
            else:
                into.append(Window(begin, end))
    return gaps, overlaps
