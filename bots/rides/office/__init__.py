"""The operator's side of the conversation."""

from __future__ import annotations

from bots.framework import Setup
from bots.rides.office.cases import Cases
from bots.rides.office.drivers import Drivers
from bots.rides.office.surging import Surging
from bots.rides.office.trips import Trips
from bridge.audit import Audit

__all__ = ["Office"]


class Office(Trips, Drivers, Cases, Surging):
    """For the plugin to inherit, whose constructor sets :attr:`fleet` and calls :meth:`open_office`."""

    def open_office(self, setup: Setup) -> None:
        """Register what is told of trips and drivers. Whatever an operator decides is in the audit log."""
        self.audit = setup.service(Audit)
        self.fleet.trips.hooks.append(self.trip_told_office)
        self.fleet.drivers.hooks.append(self.driver_told_office)
