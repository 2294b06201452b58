"""Fares: what a trip costs before it is ordered, what is due at its end, and what of it is whose. Pure, in whole minor
units.

Rounding is stated where it happens: what a way or a time costs is rounded half up to the minor unit, each line by
itself; the operator's share is rounded down (in favour of who drives); a tax that is included is rounded half up, and
changes nothing in what is paid. The lines of a breakdown add up to its total, always.

**The policy of the end.** The price that was quoted stands, whatever way was driven and however long it took, unless
the rider changed the way: then the quote that they confirmed for it stands. Waiting at the pickup beyond the free
minutes is added. Never more than the hold is taken, unless the rider has agreed to more.

A :class:`Quote` holds all that the end needs (:class:`Terms`), so that a tariff that changes meanwhile changes no trip
that was ordered before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from bots.domain.money import Money
from bots.domain.places import Point
from bots.domain.tariffs import WHOLE, Fees, Rates, SurgeRules, Tariff, TariffError, Tax

__all__ = [
    "LABELS",
    "NO_SURGE",
    "Fare",
    "Line",
    "Part",
    "Quote",
    "Surge",
    "Terms",
    "cancel_fee",
    "fare_of",
    "final_fare",
    "miss_fee",
    "multiplier",
    "quote",
    "ratio_of",
    "smoothed",
]

RATIO_MOST: Final = 100_000
"""A thousand who wait for each free car: more is not told apart."""


class Part:
    """Names of what a price is made of: keys of :data:`LABELS`."""

    BASE = "base"
    WAY = "way"
    TIME = "time"
    MINIMUM = "minimum"
    SURGE = "surge"
    BOOKING = "booking"
    TAX = "tax"
    WAITING = "waiting"
    CAP = "cap"
    CANCEL = "cancel"
    DRIVEN = "driven"
    MISS = "miss"


LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        Part.BASE: "Base fare",
        Part.WAY: "Way ({km} km)",
        Part.TIME: "Time ({minutes} min)",
        Part.MINIMUM: "Up to the minimum fare",
        Part.SURGE: "Busy just now (× {times})",
        Part.BOOKING: "Booking fee",
        Part.TAX: "{tax} ({percent} %)",
        Part.WAITING: "Waiting ({minutes} min)",
        Part.CAP: "Not more than was agreed",
        Part.CANCEL: "Cancellation fee",
        Part.DRIVEN: "What the driver has driven already",
        Part.MISS: "Fee for not coming",
    }
)
"""The label of every part: English, with the fields of :attr:`Line.values`, for the translator."""
REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "": "",
        "busy": "More people want to ride than cars are free just now: {waiting} wait, and {free} are free.",
        "operator": "It is very busy there just now.",
    }
)
"""Why there is a surge: English, with the fields ``waiting`` and ``free``, for the translator."""
VOCABULARIES: Final = (LABELS, REASONS)


@dataclass(frozen=True, slots=True)
class Surge:
    """How much more it costs just now, and why.

    Attributes:
        multiplier: in hundredths; 100 is none.
        cause: a key of :data:`REASONS`; empty where there is none.
        waiting, free: how many wait for a driver, and how many drivers are free, as counted for it.
    """

    multiplier: int = 100
    cause: str = ""
    waiting: int = 0
    free: int = 0

    def __post_init__(self) -> None:
        if self.multiplier < 100:
            raise ValueError("a surge is 100 at least")

    def __bool__(self) -> bool:
        return self.multiplier > 100

    @property
    def reason(self) -> str:
        """Why, as a sentence with the fields ``waiting`` and ``free``, for the translator; empty: no surge."""
        return REASONS[self.cause] if self else ""

    @property
    def times(self) -> str:
        """The multiplier as people write it: "1.5"."""
        return f"{self.multiplier // 100}.{self.multiplier % 100:02}".rstrip("0").rstrip(".")


NO_SURGE: Final = Surge()


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a breakdown; its label is ``LABELS[part]`` with ``values``."""

    part: str
    amount: Money
    values: Mapping[str, str | int | float] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """English, for the translator, with the fields of :attr:`values`."""
        return LABELS[self.part]


@dataclass(frozen=True, slots=True)
class Terms:
    """What the end of a trip is counted by, as it was when the trip was ordered. See the tariff's fields."""

    share: int
    tax: Tax
    fees: Fees
    booking_fee: int
    waiting_per_minute: int
    free_minutes: int


@dataclass(frozen=True, slots=True)
class Fare:
    """What is due, and what of it is whose.

    Attributes:
        lines: they add up to ``total``.
        total: what the rider pays.
        earning: what the driver gets of it, without a tip.
        tax: what of the total is tax.
    """

    lines: tuple[Line, ...]
    total: Money
    earning: Money
    tax: Money

    @property
    def kept(self) -> Money:
        """What the operator keeps; of a tax on top that it owes, that too."""
        return self.total - self.earning


@dataclass(frozen=True, slots=True)
class Quote:
    """What a trip costs if it is ordered in time.

    Attributes:
        service: name of the class.
        zone: name of the pickup's zone; empty: none.
        fare: the price with its lines.
        hold: what is held: the price, and the minutes of waiting that the tariff has held.
        surge: as it counts in the price.
        metres, seconds: of the whole way, stops included.
        made_at, valid_until: aware.
    """

    service: str
    zone: str
    fare: Fare
    hold: Money
    surge: Surge
    metres: int
    seconds: int
    made_at: datetime
    valid_until: datetime
    terms: Terms

    @property
    def total(self) -> Money:
        """What the rider pays."""
        return self.fare.total

    @property
    def earning(self) -> Money:
        """What the driver gets."""
        return self.fare.earning

    @property
    def lines(self) -> tuple[Line, ...]:
        """The breakdown."""
        return self.fare.lines

    def stands(self, at: datetime) -> bool:
        """Whether it still counts at a moment (aware)."""
        return at <= self.valid_until


def quote(
    tariff: Tariff,
    service: str,
    way: Sequence[Point],
    metres: int,
    seconds: int,
    at: datetime,
    *,
    wanted: datetime | None = None,
    surge: Surge = NO_SURGE,
) -> Quote:
    """What a trip costs.

    A way that is changed later is quoted by this too: with the ``wanted`` and the ``surge`` of the first quote, so that
    only the way makes a difference.

    Args:
        way: pickup, stops, destination: two points or more.
        metres, seconds: how far and how long, by the router.
        at: now (aware).
        wanted: the moment of the pickup, whose hour counts; None: now.
        surge: of the pickup's zone; never above its cap, and none where the class has none.

    Raises:
        TariffError: no such class, too far, or not where is driven.
    """
    if metres < 0 or seconds < 0:
        raise ValueError("a way is not below nought")
    tariff.serve(way[0], way[-1], way[1:-1])
    if metres > tariff.metres_most:
        raise TariffError("fare.long", most=tariff.metres_most // 1000)
    rates, zone = tariff.rates_at(service, way[0], wanted or at), tariff.zone_at(way[0])
    surge = _capped(surge, tariff.surge_at(zone).cap) if service in tariff.surge_classes else NO_SURGE
    fare = fare_of(tariff, rates, metres, seconds, surge)
    waiting = rates.waiting_per_minute * tariff.waiting_minutes
    hold = fare.total + Money(waiting + _on_top(tariff.tax, waiting), tariff.currency)
    until = at + tariff.quote_for
    return Quote(service, zone, fare, hold, surge, metres, seconds, at, until, _terms(tariff, rates))


def fare_of(tariff: Tariff, rates: Rates, metres: int, seconds: int, surge: Surge = NO_SURGE) -> Fare:
    """What a way costs by some rates of a tariff, whatever hour and zone they are of."""
    return _fare(_lines(rates, metres, seconds, surge, tariff.currency), _terms(tariff, rates), tariff.currency)


def final_fare(quoted: Quote, waited: timedelta, hold: Money, agreed: Money | None = None) -> Fare:
    """What is due for a trip that came to its end.

    Args:
        quoted: what was ordered; of a way that the rider changed, the quote that they confirmed for it.
        waited: between the driver's arrival and the start.
        hold: what is held; never more is taken
        agreed: unless the rider has agreed to more.
    """
    terms, currency = quoted.terms, quoted.total.currency
    lines = [line for line in quoted.lines if line.part != Part.TAX]
    minutes = _begun(waited - timedelta(minutes=terms.free_minutes))
    if minutes and terms.waiting_per_minute:
        amount = Money(minutes * terms.waiting_per_minute, currency)
        lines.append(Line(Part.WAITING, amount, {"minutes": minutes}))
    return _fare(lines, terms, currency, most=hold if agreed is None else max(hold, agreed))


def cancel_fee(
    quoted: Quote,
    since_match: timedelta | None,
    hold: Money,
    *,
    late: timedelta = timedelta(0),
    driven_metres: int = 0,
    driven_seconds: int = 0,
) -> Fare:
    """What it costs the rider to cancel now; nothing where it is free.

    Args:
        since_match: since a driver took it; None: nobody has.
        hold: never more is taken.
        late: by how much the driver is later than was promised.
        driven_metres, driven_seconds: what they drove towards the pickup.
    """
    rules, currency = quoted.terms.fees.cancel, quoted.total.currency
    free = since_match is None or since_match <= timedelta(seconds=rules.free_seconds)
    if free or late >= timedelta(seconds=rules.late_seconds):
        return _fare([], quoted.terms, currency)
    driven = _half_up(rules.per_km * driven_metres, 1000) + _half_up(rules.per_minute * driven_seconds, 60)
    lines = [Line(Part.CANCEL, Money(rules.fixed, currency)), Line(Part.DRIVEN, Money(driven, currency))]
    most = min(hold, Money(rules.cap, currency))
    return _fare([line for line in lines if line.amount], quoted.terms, currency, most=most, fee=True)


def miss_fee(quoted: Quote, waited: timedelta, hold: Money) -> Fare:
    """What it costs the rider not to have come, when the driver has waited so long; nothing within the grace time."""
    rules, currency = quoted.terms.fees.miss, quoted.total.currency
    if waited < timedelta(minutes=rules.grace_minutes) or not rules.fixed:
        return _fare([], quoted.terms, currency)
    lines = [Line(Part.MISS, Money(rules.fixed, currency))]
    return _fare(lines, quoted.terms, currency, most=hold, fee=True)


# Surge


def ratio_of(waiting: int, free: int) -> int:
    """How many wait for a hundred free drivers, rounded down; where nobody is free, as for one."""
    return min(waiting * 100 // max(free, 1), RATIO_MOST)


def smoothed(before: int, now: int, weight: int) -> int:
    """A measured ratio after those before it: ``weight`` hundredths of the new one; rounded half up."""
    return _half_up(before * (100 - weight) + now * weight, 100)


def multiplier(rules: SurgeRules, ratio: int, waiting: int) -> int:
    """By how many hundredths the price is multiplied: 100 to the cap.

    Args:
        ratio: how many wait for a hundred free drivers, smoothed.
        waiting: how many wait now: few are no rush.
    """
    points = rules.points
    if waiting < rules.least_waiting or not points or ratio < points[0].ratio:
        return 100
    found = points[-1].multiplier
    for low, high in pairwise(points):
        if low.ratio <= ratio < high.ratio:
            rise = (high.multiplier - low.multiplier) * (ratio - low.ratio)
            found = low.multiplier + rise // (high.ratio - low.ratio)
            break
    return min(100 + (found - 100) // rules.step * rules.step, rules.cap)


def _capped(surge: Surge, cap: int) -> Surge:
    if surge.multiplier <= cap:
        return surge
    return Surge(cap, surge.cause, surge.waiting, surge.free) if cap > 100 else NO_SURGE


# Lines and shares


def _terms(tariff: Tariff, rates: Rates) -> Terms:
    return Terms(
        share=tariff.share,
        tax=tariff.tax,
        fees=tariff.fees,
        booking_fee=rates.booking_fee,
        waiting_per_minute=rates.waiting_per_minute,
        free_minutes=rates.free_minutes,
    )


def _lines(rates: Rates, metres: int, seconds: int, surge: Surge, currency: str) -> list[Line]:
    base, way, time = rates.base, _half_up(rates.per_km * metres, 1000), _half_up(rates.per_minute * seconds, 60)
    driven = base + way + time
    missing = max(rates.minimum - driven, 0)
    more = _half_up((driven + missing) * (surge.multiplier - 100), 100)
    parts: list[tuple[str, int, dict[str, str | int | float]]] = [
        (Part.BASE, base, {}),
        (Part.WAY, way, {"km": round(metres / 1000, 1)}),
        (Part.TIME, time, {"minutes": _half_up(seconds, 60)}),
        (Part.MINIMUM, missing, {}),
        (Part.SURGE, more, {"times": surge.times}),
        (Part.BOOKING, rates.booking_fee, {}),
    ]
    return [Line(part, Money(amount, currency), values) for part, amount, values in parts if amount]


def _fare(lines: Sequence[Line], terms: Terms, currency: str, *, most: Money | None = None, fee: bool = False) -> Fare:
    """The lines with a tax on top and the cap; and what of the total is whose.

    Args:
        fee: a fee for what did not take place: no booking fee is in it, and a tax is in it already.
    """
    tax, found = terms.tax, list(lines)
    total = sum(line.amount.minor for line in found)
    if not fee and (on_top := _on_top(tax, total)):
        percent = round(tax.rate / 100, 2)
        found.append(Line(Part.TAX, Money(on_top, currency), {"tax": tax.name, "percent": percent}))
        total += on_top
    if most is not None and total > most.minor:
        found.append(Line(Part.CAP, Money(most.minor - total, currency)))
        total = most.minor
    held = _half_up(total * tax.rate, WHOLE + tax.rate)
    shared = total if tax.included else total - held
    shared -= 0 if fee else min(terms.booking_fee, shared)
    earning = shared - shared * terms.share // WHOLE
    return Fare(tuple(found), *(Money(each, currency) for each in (total, earning, held)))


def _on_top(tax: Tax, net: int) -> int:
    return 0 if tax.included else _half_up(net * tax.rate, WHOLE)


def _half_up(value: int, by: int) -> int:
    """A fraction of whole numbers that are not below nought, rounded to the nearest; of a half, up."""
    return (2 * value + by) // (2 * by)


def _begun(time: timedelta) -> int:
    """Minutes begun."""
    return max(-(-time // timedelta(minutes=1)), 0)
