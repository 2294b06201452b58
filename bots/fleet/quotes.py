"""Quotes: what a way costs by each class, and how soon somebody could be there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from bots.commerce.hand import Reader
from bots.domain import fares
from bots.domain.fares import NO_SURGE, Fare, Quote, Surge
from bots.domain.money import Money
from bots.domain.places import Place, Point, distance_m
from bots.domain.trips import NEAREST_M, STOPS_MAX, Stop, Trip, TripRefused, Way
from bots.fleet.terms import Charge
from bots.routing.base import Route, RoutingError

if TYPE_CHECKING:
    from bots.fleet.fleet import Fleet

__all__ = ["Offered", "Quotes"]

NEAR: Final = 6
"""Drivers of a class, nearest as the crow flies, whose ways to a pickup are looked at for a quote."""


@dataclass(frozen=True, slots=True)
class Offered:
    """What a way costs by one class.

    Attributes:
        pickup_seconds: until a driver could be there; None: none is near.
        until: the quote stands until then (aware).
        total: of the rider; ``hold``: what is held; ``earning``: of it the driver's.
    """

    service: str
    label: str
    seats: int
    quote: Quote
    route: Route
    pickup_seconds: int | None
    until: datetime
    total: Money
    hold: Money
    earning: Money


class Quotes:
    """Prices of a fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet

    async def offered(
        self,
        reader: Reader,
        pickup: Place,
        dropoff: Place,
        stops: Sequence[Place] = (),
        *,
        at: datetime,
        services: Sequence[str] = (),
    ) -> list[Offered]:
        """By each class (or those named) that is driven there, in the tariff's order.

        Args:
            at: when it is wanted (aware).
            services: names of classes; those for people unless told.

        Raises TariffError (it is not driven there), RoutingError (no way), TripRefused (the places).
        """
        way = _way(pickup, stops, dropoff)
        tariff, now = self.fleet.tariff, self.fleet.now()
        tariff.serve(way[0], way[-1], way[1:-1])
        route = await self.fleet.router.route(way, max(at, now))
        classes = [tariff.service_class(name) for name in services] if services else list(tariff.classes.values())
        wanted = [each for each in classes if services or not each.courier]
        later = at > now + self.fleet.terms.ahead
        # How many wait now says nothing of tomorrow.
        surge = NO_SURGE if later else await self.fleet.surges.at(reader, way[0], now)
        soon = {} if later else await self._pickups(reader, way[0], now)
        found = []
        for each in wanted:
            metres, seconds = round(route.metres), round(route.seconds)
            quote = fares.quote(
                tariff, each.name, way, metres, seconds, now, wanted=at if at > now else None, surge=surge
            )
            found.append(
                Offered(
                    each.name,
                    each.label,
                    each.seats,
                    quote,
                    route,
                    soon.get(each.name),
                    quote.valid_until,
                    quote.total,
                    quote.hold,
                    quote.earning,
                )
            )
        return found

    async def _pickups(self, reader: Reader, pickup: Point, now: datetime) -> dict[str, int]:
        """By class, seconds until the nearest free driver could be there, within the cap of dispatch."""
        policy = self.fleet.policy
        reach = policy.pickup_cap * policy.fastest
        near = [
            (metres, driver)
            for driver in await self.fleet.free.drivers(reader)
            if (metres := distance_m(driver.point, pickup)) <= reach
        ]
        near.sort(key=lambda each: each[0])
        chosen: dict[str, list[int]] = {}
        points: list[Point] = []
        for _metres, driver in near:
            lacking = [name for name in driver.services if len(chosen.get(name, ())) < NEAR]
            if lacking:
                for name in lacking:
                    chosen.setdefault(name, []).append(len(points))
                points.append(driver.point)
        if not points:
            return {}
        try:
            legs = await self.fleet.router.legs(points, [pickup] * len(points), now)
        except RoutingError:
            return {}
        best = {name: float(np.min(legs.seconds[numbers])) for name, numbers in chosen.items()}
        return {name: round(seconds) for name, seconds in best.items() if seconds <= policy.pickup_cap}

    async def way(
        self, reader: Reader, trip: Trip, *, dropoff: Place | None = None, stops: Sequence[Place] | None = None
    ) -> Way:
        """A trip by another way, priced as it was when it was ordered: only the way makes a difference.

        Args:
            dropoff: another destination; ``stops``: all stops on the way, those that were left already included.

        Raises TariffError, RoutingError, TripRefused as :meth:`offered`; TripRefused ("trip.unpaid") of a client's.
        """
        if trip.quote is None:
            raise TripRefused("trip.unpaid")
        end = dropoff or trip.dropoff
        between = [each.place for each in trip.stops] if stops is None else list(stops)
        points = _way(trip.pickup, between, end)
        route = await self.fleet.router.route(points, self.fleet.now())
        quoted, before = trip.quote, trip.quote
        quoted = fares.quote(
            self.fleet.tariff,
            trip.service,
            points,
            round(route.metres),
            round(route.seconds),
            before.made_at,
            wanted=trip.wanted,
            surge=Surge(before.surge.multiplier, before.surge.cause, before.surge.waiting, before.surge.free),
        )
        now = self.fleet.now()
        quoted = replace(quoted, terms=before.terms, made_at=now, valid_until=now + self.fleet.tariff.quote_for)
        left = {each.place: each.left_at for each in trip.stops}
        return Way(
            dropoff=end,
            stops=tuple(Stop(each, left.get(each)) for each in between),
            quoted=quoted.total,
            earning=quoted.earning,
            metres=quoted.metres,
            seconds=quoted.seconds,
            asked_at=now,
            hold=quoted.hold,
            quote=quoted,
        )

    def cancel_charge(self, trip: Trip, at: datetime) -> Charge | None:
        """What cancelling costs at a moment; None: nothing. Never more than is held."""
        if trip.quote is None or not trip.driver or trip.matched_at is None:
            return None
        late = timedelta()
        if trip.promised_at is not None and trip.arrived_at is None and at > trip.promised_at:
            late = at - trip.promised_at
        metres, seconds = self._driven(trip, at)
        fare = fares.cancel_fee(
            trip.quote,
            at - trip.matched_at,
            trip.held,
            late=late,
            driven_metres=metres,
            driven_seconds=seconds,
        )
        return self._charge(fare) if fare.total else None

    def _driven(self, trip: Trip, at: datetime) -> tuple[int, int]:
        """Metres and seconds that the driver has driven towards the pickup: of the way, the part that has passed of the
        time that was promised for it."""
        assert trip.matched_at is not None, "asked of a trip with a driver"
        until = trip.arrived_at or at
        spent = max((until - trip.matched_at).total_seconds(), 0.0)
        whole = 0.0 if trip.promised_at is None else (trip.promised_at - trip.matched_at).total_seconds()
        if trip.arrived_at is not None or whole <= 0:
            return trip.pickup_metres, round(spent)
        return round(trip.pickup_metres * min(spent / whole, 1.0)), round(spent)

    def miss_charge(self, trip: Trip, at: datetime) -> Charge:
        """What not coming costs."""
        if trip.quote is None or trip.arrived_at is None:
            return self._nothing(trip)
        return self._charge(fares.miss_fee(trip.quote, at - trip.arrived_at, trip.held))

    def final(self, trip: Trip, at: datetime | None = None) -> Charge:
        """What is due at the end: what was quoted, and waiting at the pickup, by the terms of the quote; never more
        than is held. Of a client's trip what was agreed."""
        fare = self.final_fare(trip)
        return self._made(trip.quoted, trip.earning) if fare is None else self._charge(fare)

    def final_fare(self, trip: Trip) -> Fare | None:
        """The same with its lines, for the receipt; None: of a client's trip."""
        if trip.quote is None:
            return None
        waited = timedelta()
        if trip.arrived_at is not None and trip.started_at is not None:
            begin = trip.arrived_at if trip.wanted is None else max(trip.arrived_at, trip.wanted)
            waited = max(trip.started_at - begin, timedelta())
        return fares.final_fare(trip.quote, waited, trip.held)

    def surge(self, place: Place) -> int:
        """The multiplier at a place now, in hundredths."""
        assert place.point is not None, "asked of a place that is known"
        return self.fleet.surges.now(place.point, self.fleet.now()).multiplier

    @classmethod
    def _charge(cls, fare: Fare) -> Charge:
        return cls._made(fare.total, fare.earning)

    @classmethod
    def _nothing(cls, trip: Trip) -> Charge:
        zero = Money.zero(trip.quoted.currency)
        return cls._made(zero, zero)

    @staticmethod
    def _made(due: Money, earning: Money) -> Charge:
        return Charge(due, earning)


def _way(pickup: Place, stops: Sequence[Place], dropoff: Place) -> list[Point]:
    """The points of a way. Raises TripRefused: one is not known, two are the same, or there are too many."""
    if len(stops) > STOPS_MAX:
        raise TripRefused("trip.stops", most=STOPS_MAX)
    points: list[Point] = []
    for place in (pickup, *stops, dropoff):
        if place.point is None:
            raise TripRefused("trip.no_point")
        if points and distance_m(points[-1], place.point) < NEAREST_M:
            raise TripRefused("trip.same_place")
        points.append(place.point)
    return points
