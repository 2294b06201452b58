"""Quotes: what a way costs by each class, and how soon somebody could be there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from bots.commerce.hand import Reader

from bots.domain.money import Money
from bots.domain.places import Place
from bots.domain.trips import Trip, Way
from bots.fleet.trips import Charge
from bots.routing.base import Route

if TYPE_CHECKING:
    from bots.domain.fares import Quote

__all__ = ["Offered", "Quotes"]


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

        Raises TariffError (it is not driven there), RoutingError (no way), TripRefused (the places).
        """
        raise NotImplementedError

    async def way(
        self, reader: Reader, trip: Trip, *, dropoff: Place | None = None, stops: Sequence[Place] | None = None
    ) -> Way:
        """A trip by another way, priced now: what is left of it by the tariff and surge that it was ordered at."""
        raise NotImplementedError

    def cancel_charge(self, trip: Trip, at: datetime) -> Charge | None:
        """What cancelling costs now; None: nothing."""
        raise NotImplementedError

    def miss_charge(self, trip: Trip, at: datetime) -> Charge:
        """What not coming costs."""
        raise NotImplementedError

    def final(self, trip: Trip, at: datetime) -> Charge:
        """What is due at the end."""
        raise NotImplementedError

    def surge(self, place: Place) -> int:
        """The multiplier at a place now, in hundredths."""
        raise NotImplementedError
