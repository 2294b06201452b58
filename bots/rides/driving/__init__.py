"""The driver's side of the conversation."""

from __future__ import annotations

from bots.framework import Setup
from bots.rides.driving.app import Tokens
from bots.rides.driving.earnings import Earnings
from bots.rides.driving.settings import DrivingSettings

__all__ = ["Driving", "DrivingSettings"]


class Driving(Earnings):
    """For the plugin to inherit, whose constructor sets :attr:`fleet` and calls :meth:`open_driving`.

    What is said, shared and reacted in a driver's chat is one of several things in one chat: the plugin asks
    :meth:`driver_said`, :meth:`driver_is_at` and :meth:`driver_reacted` first.
    """

    def open_driving(self, setup: Setup, settings: DrivingSettings) -> None:
        """Register what is told of trips, offers and drivers."""
        self.driving = settings
        tokens = setup.services.get(Tokens)
        if tokens is not None and tokens.url:  # without a listener there is nothing that an app could talk to
            self.tokens, self.app_url = tokens, tokens.url
        self.fleet.offers.hooks.append(self.offer_told)
        self.fleet.trips.hooks.append(self.job_told)
        self.fleet.drivers.hooks.append(self.driver_told)
