"""A fleet: the drivers and trips of one plugin of rides, and all that is done with them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bots.commerce.trade import Trade
from bots.domain.tariffs import Tariff
from bots.fleet.cases import TripCases
from bots.fleet.drivers import Drivers
from bots.fleet.news import TripHook
from bots.fleet.offers import Offers
from bots.fleet.positions import Positions
from bots.fleet.quotes import Quotes
from bots.fleet.surge import Surges
from bots.fleet.terms import Terms
from bots.fleet.trips import Trips
from bots.framework import Context, Setup
from bots.routing.base import Router

__all__ = ["Fleet", "Fleets"]


class Fleet:
    """One for a plugin instance of rides.

    Attributes:
        name: of the instance; ``consumer``: its name among those that hear events.
        trade: ids and seals, as of commerce.
    """

    name: str
    consumer: str
    trade: Trade
    terms: Terms
    tariff: Tariff
    router: Router
    trips: Trips
    drivers: Drivers
    offers: Offers
    positions: Positions
    cases: TripCases
    quotes: Quotes
    surges: Surges
    """Made with the tariff (``Surges(name, tariff)``): a round counts (``count``), a quote asks (``at``)."""

    def attach(self, setup: Setup, *, terms: Terms, tariff: Tariff, router: Router) -> None:
        """By the constructor of the plugin of rides: how it drives, and how it is paid. Hooks of before are gone."""
        raise NotImplementedError

    def listen(self, client: str, hook: TripHook) -> None:
        """By the constructor of a plugin that has things brought: told of what happens to its own trips, in handlers of
        its own. It inherits :class:`bots.fleet.handlers.FleetClient`, and sets ``fleet_of_couriers``."""
        raise NotImplementedError

    def call(
        self,
        ctx: Context,
        name: str,
        data: Mapping[str, Any],
        *,
        room: str,
        person: str,
        key: str,
        at: datetime | None = None,
    ) -> None:
        """Have ``@timer(name)`` of the plugin of rides called with ``data`` in the order of a room, in the language of a
        person, whichever plugin's handler is at hand: so a dialog can be begun in a driver's chat. One with the same
        key is replaced."""
        raise NotImplementedError


class Fleets:
    """The one object of all fleets in the composition root; a plugin gets it by its scope ``fleet``."""

    def of(self, instance: str = "") -> Fleet:
        """The fleet of a plugin instance of rides; without a name, the only one. Raises LookupError."""
        raise NotImplementedError
