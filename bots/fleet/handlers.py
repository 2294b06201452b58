"""What happens to trips, offers and drivers by itself: for plugins to inherit."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from bots.fleet import calling, news_events
from bots.fleet.fleet import Fleet
from bots.framework import Context, PaymentChange, Plugin, every, payment_changed, timer

__all__ = ["FleetClient", "FleetKeeping"]


class FleetKeeping(Plugin):
    """Timers, deadlines, payments and what rounds did. The constructor of the plugin of rides sets :attr:`fleet`."""

    fleet: Fleet

    @timer(calling.SETTLE)
    async def fleet_settle(self, ctx: Context, data: dict[str, Any]) -> None:
        """Bring the money of a trip where it belongs."""
        await self.fleet.trips.settle(ctx, data["trip"])

    @timer(calling.DEADLINE)
    async def fleet_deadline(self, ctx: Context, data: dict[str, Any]) -> None:
        """The time of a trip's state is over."""
        await self.fleet.trips.deadline(ctx, data["trip"])

    @payment_changed
    async def fleet_payment_changed(self, ctx: Context, change: PaymentChange) -> None:
        """A payment has changed in the wallet."""
        await self.fleet.trips.payment_changed(ctx, change)

    @timer(calling.TRIP)
    async def fleet_trip(self, ctx: Context, data: dict[str, Any]) -> None:
        """Somebody else has changed a trip."""
        await self.fleet.trips.hear(ctx, news_events.trip_in(data))

    @timer(calling.OFFER)
    async def fleet_offer(self, ctx: Context, data: dict[str, Any]) -> None:
        """A round has made an offer, or ended one."""
        await self.fleet.offers.hear(ctx, news_events.offer_in(data))

    @timer(calling.DRIVER)
    async def fleet_driver(self, ctx: Context, data: dict[str, Any]) -> None:
        """Somebody else has changed a driver."""
        await self.fleet.drivers.hear(ctx, news_events.driver_in(data))

    @every(timedelta(minutes=1))
    async def fleet_sweep(self, ctx: Context) -> None:
        """Find what was forgotten, and who has fallen silent."""
        await self.fleet.trips.sweep(ctx)
        await self.fleet.drivers.sweep(ctx)


class FleetClient(Plugin):
    """For a plugin that has things brought. Its constructor sets :attr:`fleet_of_couriers`; None: it has no fleet."""

    fleet_of_couriers: Fleet | None = None

    @timer(calling.CLIENT)
    async def fleet_client(self, ctx: Context, data: dict[str, Any]) -> None:
        """Something has happened to a trip of the plugin's."""
        if self.fleet_of_couriers is not None:
            await self.fleet_of_couriers.trips.hear_client(ctx, news_events.trip_in(data))
