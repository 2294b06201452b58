"""Offers: made by rounds, answered by drivers. Of two who take one trip, one has it."""

from __future__ import annotations

from bots.commerce.hand import Reader
from bots.domain.drivers import Driver, Offer
from bots.domain.trips import Trip
from bots.fleet.news import OfferHook
from bots.framework import Context

__all__ = ["Offers"]


class Offers:
    """The offers of a fleet."""

    hooks: list[OfferHook]
    """Told of everything, in order; of one that was made in the driver's room and order."""

    async def get(self, reader: Reader, offer_id: str) -> Offer | None:
        """An offer by its id."""
        raise NotImplementedError

    async def of_driver(self, reader: Reader, person: str) -> Offer | None:
        """The offer that a driver has before them; None: none that is open."""
        raise NotImplementedError

    async def of_trip(self, reader: Reader, trip_id: str) -> list[Offer]:
        """All offers of a trip, the newest first."""
        raise NotImplementedError

    async def accept(self, ctx: Context, person: str, offer_id: str) -> list[Trip]:
        """The driver takes it: the trips that are theirs now.

        Raises DriverError: "offer.gone" (lapsed, or another driver was faster: the state says which), "driver.busy",
        "driver.refused" (they are not online any more).
        """
        raise NotImplementedError

    async def decline(self, ctx: Context, person: str, offer_id: str) -> Driver:
        """They do not: they are not asked for these trips again. Raises DriverError ("offer.gone")."""
        raise NotImplementedError
