"""A fleet: the drivers and trips of one plugin of rides, and all that is done with them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from appservice.database import DatabaseError
from bots.commerce.trade import Trade
from bots.domain.dispatch import DEFAULT, Policy
from bots.domain.tariffs import Tariff
from bots.fleet import calling
from bots.fleet.book import Book
from bots.fleet.cases import TripCases
from bots.fleet.drivers import Drivers
from bots.fleet.free import Free
from bots.fleet.hand import Pending
from bots.fleet.news import TripHook
from bots.fleet.offers import Offers
from bots.fleet.positions import Positions
from bots.fleet.quotes import Quotes
from bots.fleet.rounds import Rounds
from bots.fleet.surge import Surges
from bots.fleet.terms import Terms
from bots.fleet.trips import Trips
from bots.framework import Context, Setup
from bots.payments.merchants import MerchantPayouts, Merchants
from bots.routing.base import Router

__all__ = ["Fleet", "Fleets"]

log = logging.getLogger(__name__)

UNBOUNDED: Final = 1e9
"""Seconds: a search ends by the trip's own deadline, and not by the policy's."""
WRITE_S: Final = 1.0


class Fleet:
    """One for a plugin instance of rides.

    Attributes:
        name: of the instance; ``consumer``: its name among those that hear events.
        trade: ids and seals, as of commerce.
        tariff, router, surges, merchants, payouts: of the plugin, from :meth:`attach` on.
        policy: of dispatch.
    """

    tariff: Tariff
    router: Router
    surges: Surges
    """Made with the tariff: a round counts (``count``), a quote asks (``at``)."""
    merchants: Merchants
    payouts: MerchantPayouts

    def __init__(self, trade: Trade, name: str, consumer: str) -> None:
        self.trade = trade
        self.name = name
        self.consumer = consumer
        self.terms = Terms()
        self.policy: Policy = DEFAULT
        self.book = Book(trade, name)
        self.pending = Pending()
        self.trips = Trips(self)
        self.drivers = Drivers(self)
        self.offers = Offers(self)
        self.positions = Positions(self)
        self.cases = TripCases(self)
        self.quotes = Quotes(self)
        self.free = Free(self)
        self.rounds = Rounds(self)
        self.attached = asyncio.Event()
        """Whether its plugin has been made."""

    def attach(self, setup: Setup, *, terms: Terms, tariff: Tariff, router: Router, policy: Policy = DEFAULT) -> None:
        """By the constructor of the plugin of rides: how it drives, and how it is paid. Hooks of before are gone.

        Args:
            policy: of dispatch; how long offers and searches last say the terms.
        """
        self.terms, self.tariff, self.router = terms, tariff, router
        offered = terms.offered.total_seconds()
        self.policy = replace(policy, offer_seconds=offered, search_seconds=UNBOUNDED)
        self.surges = Surges(self.name, tariff)
        self.merchants, self.payouts = setup.service(Merchants), setup.service(MerchantPayouts)
        for hooks in (self.trips.hooks, self.drivers.hooks, self.offers.hooks):
            hooks.clear()
        self.attached.set()

    def listen(self, client: str, hook: TripHook) -> None:
        """By the constructor of a plugin that has things brought: told of what happens to its own trips, in handlers of
        its own. It inherits :class:`bots.fleet.handlers.FleetClient`, and sets ``fleet_of_couriers``.

        Args:
            client: the plugin's name among those that hear events: "INSTANCE:USER_ID". One hook for each: a later one
                takes its place.
        """
        self.trips.clients[client] = [hook]

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
        """Have ``@timer(name)`` of the plugin of rides called with ``data`` in the order of a room, in a person's
        language, whichever plugin's handler is at hand: so a dialog can be begun in a driver's chat. One with the same
        key is replaced; at once unless told."""
        calling.at(ctx, self.consumer, at or ctx.now(), name, data, key=key, room=room, person=person)

    def now(self) -> datetime:
        """The time (UTC)."""
        return self.trade.clock.now()

    def wake(self) -> None:
        """Have the next round begin, where none is waited for."""
        self.rounds.wake()


class Fleets:
    """The one object of all fleets in the composition root; a plugin gets it by its scope ``fleet``."""

    def __init__(self, trade: Trade, consumers: Mapping[str, str]) -> None:
        """
        Args:
            trade: ids, seals, the database and the clock.
            consumers: by the instances of the plugin of rides, their names among those that hear events.
        """
        self.trade = trade
        self._fleets = {name: Fleet(trade, name, consumer) for name, consumer in consumers.items()}
        self._tasks: list[asyncio.Task[None]] = []

    def of(self, instance: str = "") -> Fleet:
        """The fleet of a plugin instance of rides; without a name, the only one. Raises LookupError."""
        if not instance and len(self._fleets) == 1:
            return next(iter(self._fleets.values()))
        try:
            return self._fleets[instance]
        except KeyError:
            raise LookupError(
                f"there is no fleet {instance!r}; there are {', '.join(self._fleets) or 'none'}"
            ) from None

    @property
    def all(self) -> list[Fleet]:
        """Every fleet."""
        return list(self._fleets.values())

    async def start(self) -> None:
        """Begin what runs by itself: rounds, and writing positions down."""
        for fleet in self.all:
            self._tasks.append(
                asyncio.create_task(self._attached(fleet, fleet.rounds.run), name=f"rounds-{fleet.name}")
            )
            self._tasks.append(asyncio.create_task(self._write(fleet), name=f"positions-{fleet.name}"))

    async def stop(self) -> None:
        """End it; what was heard last is written down."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for fleet in self.all:
            try:
                await fleet.positions.write()
            except DatabaseError as error:
                log.warning("positions were not written down: %s", error)

    @staticmethod
    async def _attached(fleet: Fleet, run: Callable[[], Any]) -> None:
        await fleet.attached.wait()
        await run()

    @staticmethod
    async def _write(fleet: Fleet) -> None:
        loaded = False
        while True:
            try:
                if not loaded:
                    await fleet.positions.load()
                    loaded = True
                await fleet.positions.write()
            except DatabaseError as error:
                log.warning("positions wait for the database: %s", error)
            except Exception:  # whatever it is, later positions must not be lost for it
                log.exception("positions could not be written down")
            await asyncio.sleep(WRITE_S)
