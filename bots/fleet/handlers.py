"""What happens to trips, offers and drivers by itself: for plugins to inherit."""

from __future__ import annotations

from bots.fleet.fleet import Fleet
from bots.framework import Plugin

__all__ = ["FleetClient", "FleetKeeping"]


class FleetKeeping(Plugin):
    """Timers, deadlines, payments and what rounds did. The constructor of the plugin of rides sets :attr:`fleet`."""

    fleet: Fleet


class FleetClient(Plugin):
    """For a plugin that has things brought; its constructor sets :attr:`fleet_of_couriers`, or None where it has none."""

    fleet_of_couriers: Fleet | None = None
